//! A database with the tables of the template, called without the SDK.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use time::UtcDateTime;
use tollgate_simulator::dynamodb::{
    CurrentReads, DynamoAnswer, MemoryDynamoDb, Staleness, Visibility, WriteNumber,
};

use crate::comparison::schemas;

pub(crate) const LEDGER: &str = "tollgate-test-ledger";
pub(crate) const ACCOUNTS: &str = "tollgate-test-accounts";

pub(crate) fn database() -> MemoryDynamoDb {
    MemoryDynamoDb::new(schemas("test"))
}

pub(crate) fn at(seconds: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(seconds).unwrap()
}

/// A call whose reads are current.
pub(crate) fn call(database: &mut MemoryDynamoDb, operation: &str, body: &Value) -> DynamoAnswer {
    database.call(operation, body, at(0), &mut CurrentReads)
}

/// The answer of a call that must succeed.
pub(crate) fn done(database: &mut MemoryDynamoDb, operation: &str, body: &Value) -> Value {
    call(database, operation, body).result.unwrap()
}

/// The exception of a call that must fail, and its message.
pub(crate) fn failed(
    database: &mut MemoryDynamoDb,
    operation: &str,
    body: &Value,
) -> (&'static str, String) {
    let error = call(database, operation, body).result.unwrap_err();
    (error.kind.name(), error.message)
}

/// An item of the accounts table: `account#a` with this sort key.
pub(crate) fn account_item(sort: &str, more: Value) -> Value {
    let mut item = json!({"pk": {"S": "account#a"}, "sk": {"S": sort}});
    for (name, value) in more.as_object().unwrap() {
        item[name] = value.clone();
    }
    item
}

pub(crate) fn put(sort: &str, more: Value) -> Value {
    json!({"TableName": ACCOUNTS, "Item": account_item(sort, more)})
}

#[test]
fn zero_has_no_sign_however_it_came_about() {
    let mut database = database();
    let values = json!({":none": {"N": "-0"}, ":zero": {"N": "0"}});
    let update = json!({
        "TableName": ACCOUNTS,
        "Key": {"pk": {"S": "account#a"}, "sk": {"S": "one"}},
        "UpdateExpression": "SET taken = :none - :zero",
        "ExpressionAttributeValues": values,
    });
    done(&mut database, "UpdateItem", &update);
    assert_eq!(database.items(ACCOUNTS)[0]["taken"], json!({"N": "0"}));
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reads {
    Eventual,
    Consistent,
}

pub(crate) fn get(sort: &str, reads: Reads) -> Value {
    let key = account_item(sort, json!({}));
    json!({"TableName": ACCOUNTS, "Key": key, "ConsistentRead": reads == Reads::Consistent})
}

pub(crate) fn query(reads: Reads) -> Value {
    json!({
        "TableName": ACCOUNTS,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": "account#a"}},
        "ConsistentRead": reads == Reads::Consistent,
    })
}

/// Puts of `account#a` in one transaction.
pub(crate) fn transaction(token: &str, puts: &[(&str, Value)]) -> Value {
    let puts = puts.iter().map(|(sort, more)| json!({"Put": put(sort, more.clone())}));
    json!({"TransactItems": puts.collect::<Vec<_>>(), "ClientRequestToken": token})
}

/// Lags as they are set, and items of unacknowledged transactions that no read sees.
#[derive(Debug, Default)]
pub(crate) struct SetStaleness {
    pub(crate) partition: usize,
    pub(crate) index: usize,
    pub(crate) hidden: BTreeSet<&'static str>,
    /// How often a partition was asked for.
    pub(crate) partition_reads: usize,
}

impl Staleness for SetStaleness {
    fn partition_lag(&mut self, _table: &str, _partition: &str, _writes: usize) -> usize {
        self.partition_reads += 1;
        self.partition
    }

    fn index_lag(&mut self, _table: &str, _index: &str, _item: &str, _versions: usize) -> usize {
        self.index
    }

    fn sees_unacknowledged(&mut self, _table: &str, item: &str, _write: WriteNumber) -> Visibility {
        if self.hidden.contains(item) { Visibility::Before } else { Visibility::After }
    }
}
