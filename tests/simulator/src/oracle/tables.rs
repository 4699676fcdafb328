//! Reads what is stored, whatever replicas say.

use serde_json::{Value, json};
use time::UtcDateTime;

use crate::dynamodb::{CurrentReads, MemoryDynamoDb};
use crate::functions::{ACCOUNTS, LEDGER};

/// The rows of an account from a number on.
///
/// # Errors
/// What is wrong, as text.
pub fn rows_from(
    database: &mut MemoryDynamoDb,
    account: &str,
    first: u64,
    now: UtcDateTime,
) -> Result<Vec<Value>, String> {
    let query = json!({
        "TableName": LEDGER,
        "KeyConditionExpression": "account = :account AND seq BETWEEN :first AND :last",
        "ExpressionAttributeValues": {
            ":account": {"S": account},
            ":first": {"N": first.to_string()},
            ":last": {"N": u64::MAX.to_string()},
        },
        "ConsistentRead": true,
    });
    all_items(database, query, now)
}

/// The items of a partition whose sort key begins like this.
///
/// # Errors
/// What is wrong, as text.
pub fn items_of(
    database: &mut MemoryDynamoDb,
    partition: &str,
    prefix: &str,
    now: UtcDateTime,
) -> Result<Vec<Value>, String> {
    let query = json!({
        "TableName": ACCOUNTS,
        "KeyConditionExpression": "pk = :pk AND begins_with(sk, :prefix)",
        "ExpressionAttributeValues": {":pk": {"S": partition}, ":prefix": {"S": prefix}},
        "ConsistentRead": true,
    });
    all_items(database, query, now)
}

fn all_items(
    database: &mut MemoryDynamoDb,
    mut query: Value,
    now: UtcDateTime,
) -> Result<Vec<Value>, String> {
    let mut items = Vec::new();
    loop {
        let answered = database.call("Query", &query, now, &mut CurrentReads);
        let body = answered.result.map_err(|error| format!("{error:?}"))?;
        items.extend(body["Items"].as_array().cloned().unwrap_or_default());
        if body["LastEvaluatedKey"].is_null() {
            return Ok(items);
        }
        query["ExclusiveStartKey"] = body["LastEvaluatedKey"].clone();
    }
}
