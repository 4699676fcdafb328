//! What is refused: by DynamoDB, and by an imitation that imitates no more than the product uses.

use serde_json::{Value, json};

use crate::memory::{
    ACCOUNTS, LEDGER, Reads, account_item, call, database, done, failed, get, put, query,
    transaction,
};

/// A body with one more parameter.
fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn update(expression: &str, values: Value) -> Value {
    let key = account_item("a", json!({}));
    let body = json!({"TableName": ACCOUNTS, "Key": key, "UpdateExpression": expression});
    with(body, "ExpressionAttributeValues", values)
}

fn conditional(condition: &str, values: Value) -> Value {
    let body = with(put("a", json!({})), "ConditionExpression", json!(condition));
    with(body, "ExpressionAttributeValues", values)
}

#[test]
fn what_is_not_imitated_is_named() {
    let one = || json!({":v": {"N": "1"}});
    for (operation, body, named) in [
        ("Scan", json!({"TableName": ACCOUNTS}), "the operation Scan"),
        ("BatchGetItem", json!({}), "the operation BatchGetItem"),
        (
            "GetItem",
            with(get("a", Reads::Consistent), "AttributesToGet", json!(["x"])),
            "AttributesToGet",
        ),
        (
            "Query",
            with(query(Reads::Consistent), "Select", json!("ALL_ATTRIBUTES")),
            "Select ALL_ATTRIBUTES",
        ),
        ("Query", with(query(Reads::Consistent), "QueryFilter", json!({})), "QueryFilter"),
        ("PutItem", put("a", json!({"x": {"SS": ["a"]}})), "the type SS"),
        ("PutItem", put("a", json!({"x": {"B": "YQ=="}})), "the type B"),
        ("PutItem", conditional("contains(x, :v)", one()), "the function contains"),
        ("PutItem", conditional("size(x) > :v", one()), "the function size"),
        ("PutItem", conditional("x.y = :v", one()), "paths into an attribute"),
        ("UpdateItem", update("SET x[0] = :v", one()), "paths into an attribute"),
        ("UpdateItem", update("DELETE x :v", one()), "DELETE"),
        ("UpdateItem", update("SET x = list_append(x, :v)", one()), "list_append"),
    ] {
        let (kind, message) = failed(&mut database(), operation, &body);
        assert_eq!(kind, "ValidationException", "{body}");
        assert!(message.starts_with("not imitated: ") && message.contains(named), "{message}");
    }
}

#[test]
fn invalid_requests_are_refused() {
    let one = || json!({":v": {"N": "1"}});
    let two = |low: &str, high: &str| json!({":v": {"N": low}, ":w": {"N": high}});
    let big = "x".repeat(400 * 1024);
    let digits = "1".repeat(39);
    let empty = json!({"TableName": ACCOUNTS, "Item": {"pk": {"S": ""}, "sk": {"S": "a"}}});
    let mistyped = json!({"TableName": LEDGER, "Key": {"account": {"S": "a"}, "seq": {"S": "0"}}});
    for (operation, body, why) in [
        ("PutItem", empty, "empty string value. Key: pk"),
        (
            "PutItem",
            json!({"TableName": ACCOUNTS, "Item": {"pk": {"S": "a"}}}),
            "Missing the key sk",
        ),
        ("PutItem", put("a", json!({"x": {"S": big}})), "Item size has exceeded"),
        ("PutItem", put("a", json!({"x": {"N": digits}})), "more than 38 significant digits"),
        ("PutItem", put("a", json!({"x": {"N": "1e126"}})), "Number overflow"),
        ("PutItem", put("a", json!({"x": {"N": "1e-131"}})), "Number underflow"),
        ("PutItem", put("a", json!({"x": {"N": "1,5"}})), "numeric value"),
        ("PutItem", put("a", json!({"due_at": {"S": "x"}})), "Type mismatch for Index Key due_at"),
        ("PutItem", put("a", json!({"due_shard": {"S": ""}})), "IndexKey: due_shard"),
        ("GetItem", mistyped, "does not match the schema"),
        ("PutItem", conditional("x = :w", one()), "is not defined"),
        ("PutItem", conditional("attribute_exists(x)", one()), "unused in expressions: keys: {:v}"),
        ("PutItem", conditional("owner = :v", one()), "reserved keyword: owner"),
        ("PutItem", conditional("x = :v AND", one()), "Syntax error"),
        ("PutItem", conditional("((x = :v))", one()), "redundant parentheses"),
        ("PutItem", conditional("x = x OR x = :v", one()), "must be distinct"),
        ("PutItem", conditional("x BETWEEN :v AND :w", two("2", "1")), "upper bound"),
        ("PutItem", conditional("begins_with(x, :v)", one()), "Incorrect operand type"),
        ("PutItem", conditional("exists(x, :v)", one()), "Invalid function name"),
        ("UpdateItem", update("SET x = :v, x = :v", one()), "overlap"),
        ("UpdateItem", update("SET x = :v SET y = :v", one()), "only be used once"),
        ("UpdateItem", update("SET pk = :v", one()), "part of the key"),
        ("UpdateItem", update("SET x = y + :v", one()), "does not exist in the item"),
        ("Query", with(query(Reads::Consistent), "IndexName", json!("none")), "specified index"),
        (
            "Query",
            with(query(Reads::Consistent), "FilterExpression", json!("pk = :pk")),
            "non-primary key",
        ),
        (
            "Query",
            with(query(Reads::Consistent), "KeyConditionExpression", json!("sk = :pk")),
            "element: pk",
        ),
        ("Query", with(query(Reads::Consistent), "Limit", json!(0)), "limit"),
    ] {
        let (kind, message) = failed(&mut database(), operation, &body);
        assert_eq!(kind, "ValidationException", "{message}");
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn consistent_read_of_an_index_is_refused() {
    let body = json!({
        "TableName": ACCOUNTS,
        "IndexName": "billable",
        "KeyConditionExpression": "billable_shard = :shard",
        "ExpressionAttributeValues": {":shard": {"S": "0"}},
        "ConsistentRead": true,
    });
    let (_, message) = failed(&mut database(), "Query", &body);
    assert_eq!(message, "Consistent reads are not supported on global secondary indexes");
}

#[test]
fn unknown_table_is_not_found() {
    let body = with(get("a", Reads::Consistent), "TableName", json!("none"));
    assert_eq!(failed(&mut database(), "GetItem", &body).0, "ResourceNotFoundException");
    let body = with(put("a", json!({})), "TableName", json!("none"));
    assert_eq!(failed(&mut database(), "PutItem", &body).0, "ResourceNotFoundException");
}

#[test]
fn transaction_is_one_action_for_an_item_and_at_most_a_hundred() {
    let mut database = database();
    let twice = transaction("t", &[("a", json!({})), ("a", json!({}))]);
    let (kind, message) = failed(&mut database, "TransactWriteItems", &twice);
    assert_eq!(kind, "ValidationException");
    assert!(message.contains("multiple operations on one item"), "{message}");
    let names: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    let puts: Vec<_> = names.iter().map(|name| (name.as_str(), json!({}))).collect();
    let (kind, _) = failed(&mut database, "TransactWriteItems", &transaction("t", &puts));
    assert_eq!(kind, "ValidationException");
    done(&mut database, "TransactWriteItems", &transaction("t", &puts[..100]));
    assert_eq!(database.items(ACCOUNTS).len(), 100);
}

/// The key check needs the table's schema, so it is an action's own failure.
#[test]
fn invalid_update_cancels_its_transaction() {
    let mut database = database();
    let actions = json!([
        {"Put": put("b", json!({}))},
        {"Update": update("SET pk = :v", json!({":v": {"S": "x"}}))},
    ]);
    let body = json!({"TransactItems": actions});
    let canceled = call(&mut database, "TransactWriteItems", &body).result.unwrap_err();
    let codes: Vec<_> = canceled.cancellation_reasons.iter().map(|it| &it["Code"]).collect();
    assert_eq!(codes, ["None", "ValidationError"]);
    assert_eq!(database.items(ACCOUNTS), Vec::<Value>::new());
}

#[test]
fn page_ends_before_a_megabyte() {
    let mut database = database();
    let text = "x".repeat(300 * 1024);
    for sort in ["a", "b", "c", "d"] {
        done(&mut database, "PutItem", &put(sort, json!({"x": {"S": text}})));
    }
    let first = done(&mut database, "Query", &query(Reads::Consistent));
    assert_eq!((&first["Count"], &first["LastEvaluatedKey"]["sk"]["S"]), (&json!(3), &json!("c")));
    let rest =
        with(query(Reads::Consistent), "ExclusiveStartKey", first["LastEvaluatedKey"].clone());
    let rest = done(&mut database, "Query", &rest);
    assert_eq!((&rest["Count"], &rest["LastEvaluatedKey"]), (&json!(1), &Value::Null));
}

#[test]
fn sums_are_exact_to_38_digits() {
    let add = |before: &str, number: &str| {
        let mut database = database();
        done(&mut database, "PutItem", &put("a", json!({"x": {"N": before}})));
        let body = update("ADD x :v", json!({":v": {"N": number}}));
        let answer = call(&mut database, "UpdateItem", &body);
        answer.result.map(|_| {
            let item = done(&mut database, "GetItem", &get("a", Reads::Consistent));
            item["Item"]["x"]["N"].as_str().unwrap().to_owned()
        })
    };
    let ones = "9".repeat(38);
    for (before, number, sum) in [
        ("0.1", "0.2", "0.3"),
        ("1.50", "-1.5", "0"),
        ("-0.001", "1e3", "999.999"),
        (ones.as_str(), "1", &format!("1{}", "0".repeat(38))),
        ("1e38", "-1", &ones),
        ("1e-20", "1e17", "100000000000000000.00000000000000000001"),
    ] {
        assert_eq!(add(before, number).as_deref(), Ok(sum), "{before} + {number}");
    }
    for (before, number) in [("1e39", "-1"), ("1e-20", "1e18"), (ones.as_str(), "0.1")] {
        assert!(add(before, number).unwrap_err().message.contains("38 significant digits"));
    }
}
