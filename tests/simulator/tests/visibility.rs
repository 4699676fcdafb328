//! What reads see that DynamoDB does not promise to be current, and what follows a write.

use serde_json::{Value, json};
use tollgate_simulator::dynamodb::{
    ConflictPolicy, CurrentReads, DynamoErrorKind, MemoryDynamoDb, Staleness, WriteNumber,
};

use crate::memory::{
    ACCOUNTS, LEDGER, Reads, SetStaleness, account_item, at, call, database, done, failed, get,
    put, query, transaction,
};

fn version(number: u32) -> Value {
    json!({"version": {"N": number.to_string()}})
}

/// The versions that a read shows, by sort key.
fn seen(
    database: &mut MemoryDynamoDb,
    operation: &str,
    body: &Value,
    staleness: &mut dyn Staleness,
) -> Vec<(String, String)> {
    let answer = database.call(operation, body, at(0), staleness).result.unwrap();
    let one = answer.get("Item").into_iter();
    let items = one.chain(answer["Items"].as_array().into_iter().flatten());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    items.map(|item| (text(&item["sk"]["S"]), text(&item["version"]["N"]))).collect()
}

fn pairs(items: &[(&str, &str)]) -> Vec<(String, String)> {
    items.iter().map(|(sort, version)| ((*sort).to_owned(), (*version).to_owned())).collect()
}

#[test]
fn eventual_read_misses_newest_writes_of_its_partition() {
    let mut database = database();
    for (sort, number) in [("a", 1), ("b", 2), ("a", 3)] {
        done(&mut database, "PutItem", &put(sort, version(number)));
    }
    for (operation, body, partition, expected) in [
        ("Query", query(Reads::Eventual), 0, vec![("a", "3"), ("b", "2")]),
        ("Query", query(Reads::Eventual), 1, vec![("a", "1"), ("b", "2")]),
        ("Query", query(Reads::Eventual), 2, vec![("a", "1")]),
        ("Query", query(Reads::Eventual), 9, vec![]),
        ("Query", query(Reads::Consistent), 9, vec![("a", "3"), ("b", "2")]),
        ("GetItem", get("a", Reads::Eventual), 1, vec![("a", "1")]),
        ("GetItem", get("b", Reads::Eventual), 2, vec![]),
        ("GetItem", get("a", Reads::Consistent), 9, vec![("a", "3")]),
    ] {
        let mut lag = SetStaleness { partition, ..SetStaleness::default() };
        let seen = seen(&mut database, operation, &body, &mut lag);
        assert_eq!(seen, pairs(&expected), "{operation} {partition} writes behind");
    }
}

#[test]
fn staleness_is_asked_once_for_a_partition_and_read() {
    let mut database = database();
    for sort in ["a", "b", "c"] {
        done(&mut database, "PutItem", &put(sort, version(1)));
    }
    let mut staleness = SetStaleness::default();
    seen(&mut database, "Query", &query(Reads::Eventual), &mut staleness);
    seen(&mut database, "Query", &query(Reads::Consistent), &mut staleness);
    assert_eq!(staleness.partition_reads, 1);
}

#[test]
fn forgotten_versions_are_never_seen_again() {
    let mut database = database();
    for number in [1, 2, 3] {
        done(&mut database, "PutItem", &put("a", version(number)));
    }
    let mut oldest = SetStaleness { partition: 9, index: 9, ..SetStaleness::default() };

    database.forget_versions_before(WriteNumber(3));
    assert_eq!(
        seen(&mut database, "Query", &query(Reads::Eventual), &mut oldest),
        pairs(&[("a", "2")])
    );
    database.forget_versions_before(WriteNumber(4));
    assert_eq!(
        seen(&mut database, "Query", &query(Reads::Eventual), &mut oldest),
        pairs(&[("a", "3")])
    );
    let delete = json!({"TableName": ACCOUNTS, "Key": account_item("a", json!({}))});
    done(&mut database, "DeleteItem", &delete);
    assert_eq!(
        seen(&mut database, "Query", &query(Reads::Eventual), &mut oldest),
        pairs(&[("a", "3")])
    );
    database.forget_versions_before(WriteNumber(5));
    assert_eq!(seen(&mut database, "Query", &query(Reads::Eventual), &mut oldest), pairs(&[]));
}

fn due(shard: &str) -> Value {
    json!({
        "TableName": ACCOUNTS,
        "IndexName": "due",
        "KeyConditionExpression": "due_shard = :shard",
        "ExpressionAttributeValues": {":shard": {"S": shard}},
    })
}

#[test]
fn index_lags_behind_its_table() {
    let mut database = database();
    for shard in ["0", "1"] {
        let item = json!({"due_shard": {"S": shard}, "due_at": {"N": "5"}});
        done(&mut database, "PutItem", &put("schedule", item));
    }
    let mut late = SetStaleness { index: 1, ..SetStaleness::default() };
    let schedule = || pairs(&[("schedule", "")]);

    assert_eq!(seen(&mut database, "Query", &due("0"), &mut late), schedule());
    assert_eq!(seen(&mut database, "Query", &due("1"), &mut late), []);
    assert_eq!(seen(&mut database, "Query", &due("0"), &mut CurrentReads), []);
    assert_eq!(seen(&mut database, "Query", &due("1"), &mut CurrentReads), schedule());
    database.forget_versions_before(WriteNumber(9));
    assert_eq!(seen(&mut database, "Query", &due("1"), &mut late), schedule());
    assert_eq!(seen(&mut database, "Query", &due("0"), &mut late), []);
}

#[test]
fn consistent_query_sees_half_of_an_unacknowledged_transaction() {
    let mut database = database();
    done(&mut database, "PutItem", &put("a", version(1)));
    let both = transaction("t", &[("a", version(2)), ("b", version(2))]);
    let write = call(&mut database, "TransactWriteItems", &both).write.unwrap();
    let mut torn = SetStaleness { hidden: ["account#a a"].into(), ..SetStaleness::default() };
    let mut hiding_b = SetStaleness { hidden: ["account#a b"].into(), ..SetStaleness::default() };

    let half = pairs(&[("a", "1"), ("b", "2")]);
    assert_eq!(seen(&mut database, "Query", &query(Reads::Consistent), &mut torn), half);
    assert_eq!(
        seen(&mut database, "GetItem", &get("a", Reads::Consistent), &mut torn),
        pairs(&[("a", "1")])
    );
    // What was seen once stays seen.
    assert_eq!(
        seen(&mut database, "GetItem", &get("b", Reads::Consistent), &mut hiding_b),
        pairs(&[("b", "2")])
    );
    database.acknowledge(write);
    let all = pairs(&[("a", "2"), ("b", "2")]);
    assert_eq!(seen(&mut database, "Query", &query(Reads::Consistent), &mut torn), all);
}

#[test]
fn write_to_an_unacknowledged_transaction_conflicts() {
    let mut database = database();
    database.set_conflicts(ConflictPolicy::Refused);
    let first = transaction("t", &[("a", version(1)), ("b", version(1))]);
    let write = call(&mut database, "TransactWriteItems", &first).write.unwrap();

    let (kind, _) = failed(&mut database, "PutItem", &put("a", version(2)));
    assert_eq!(kind, "TransactionConflictException");
    let second = transaction("u", &[("c", version(2)), ("b", version(2))]);
    let canceled = call(&mut database, "TransactWriteItems", &second).result.unwrap_err();
    assert_eq!(canceled.kind, DynamoErrorKind::TransactionCanceled);
    let codes: Vec<_> = canceled.cancellation_reasons.iter().map(|it| &it["Code"]).collect();
    assert_eq!(codes, ["None", "TransactionConflict"]);
    let (kind, _) = failed(&mut database, "TransactWriteItems", &first);
    assert_eq!(kind, "TransactionInProgressException");

    database.acknowledge(write);
    done(&mut database, "PutItem", &put("a", version(2)));
    done(&mut database, "TransactWriteItems", &second);
}

#[test]
fn token_is_known_for_ten_minutes() {
    let mut database = database();
    let add = |token: &str, number: &str| {
        let update = json!({
            "TableName": ACCOUNTS,
            "Key": account_item("a", json!({})),
            "UpdateExpression": "ADD version :n",
            "ExpressionAttributeValues": {":n": {"N": number}},
        });
        json!({"TransactItems": [{"Update": update}], "ClientRequestToken": token})
    };
    let mut send = |body: &Value, seconds: i64| {
        database.call("TransactWriteItems", body, at(seconds), &mut CurrentReads)
    };

    assert_eq!(send(&add("t", "1"), 0).write, Some(WriteNumber(1)));
    let again = send(&add("t", "1"), 599);
    assert_eq!((again.write, again.status()), (None, 200));
    let other = send(&add("t", "2"), 599).result.unwrap_err();
    assert_eq!(other.kind, DynamoErrorKind::IdempotentParameterMismatch);
    assert_eq!(send(&add("t", "1"), 600).write, Some(WriteNumber(2)));
    let item = done(&mut database, "GetItem", &get("a", Reads::Consistent));
    assert_eq!(item["Item"]["version"]["N"], "2");
}

#[test]
fn stream_records_have_the_form_of_lambda() {
    let mut database = database();
    let row = |body: &str| {
        json!({
            "TableName": LEDGER,
            "Item": {"account": {"S": "a"}, "seq": {"N": "00"}, "body": {"S": body}},
        })
    };
    let delete = json!({"TableName": LEDGER, "Key": {"account": {"S": "a"}, "seq": {"N": "0"}}});
    done(&mut database, "PutItem", &row("x"));
    // A write that changes nothing has no record.
    done(&mut database, "PutItem", &row("x"));
    done(&mut database, "PutItem", &row("yz"));
    database.call("DeleteItem", &delete, at(7), &mut CurrentReads).result.unwrap();
    done(&mut database, "PutItem", &put("a", version(1)));

    let records = database.stream_records(LEDGER, None);
    let names: Vec<_> = records.iter().map(|record| &record["eventName"]).collect();
    assert_eq!(names, ["INSERT", "MODIFY", "REMOVE"]);
    let key = json!({"account": {"S": "a"}, "seq": {"N": "0"}});
    let image = |body: &str| json!({"account": {"S": "a"}, "seq": {"N": "0"}, "body": {"S": body}});
    assert_eq!(
        records[1],
        json!({
            "eventID": "00000000000000000000000000000002",
            "eventName": "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": 0,
                "Keys": key,
                "NewImage": image("yz"),
                "OldImage": image("x"),
                "SequenceNumber": "000000000000000000002",
                // Key 12, images 18 and 17: names count, too.
                "SizeBytes": 12 + 18 + 17,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
            "eventSourceARN": format!(
                "arn:aws:dynamodb:us-east-1:000000000000:table/{LEDGER}/stream/\
                 2026-01-01T00:00:00.000"
            ),
        })
    );
    assert_eq!(records[2]["dynamodb"]["ApproximateCreationDateTime"], 7);
    assert!(records[2]["dynamodb"]["NewImage"].is_null());
    let after = database.stream_records(LEDGER, Some("000000000000000000002"));
    assert_eq!(after, records[2..]);
    database.forget_stream_records(LEDGER, "000000000000000000001");
    assert_eq!(database.stream_records(LEDGER, None), records[1..]);
    assert_eq!(database.stream_records(LEDGER, Some("000000000000000000002")), records[2..]);
    assert_eq!(database.stream_records(ACCOUNTS, None), Vec::<Value>::new());
}

#[test]
fn expired_items_are_removed_by_dynamodb() {
    let mut database = database();
    for (sort, expires) in
        [("a", json!({"N": "5"})), ("b", json!({"N": "6"})), ("c", json!({"S": "5"}))]
    {
        let item = json!({"account": {"S": sort}, "seq": {"N": "0"}, "expires": expires});
        done(&mut database, "PutItem", &json!({"TableName": LEDGER, "Item": item}));
    }

    assert_eq!(database.expire_items(LEDGER, at(5)), 0);
    assert_eq!(database.expire_items(LEDGER, at(6)), 1);
    assert_eq!(database.items(LEDGER).len(), 2);
    let last = database.stream_records(LEDGER, None).pop().unwrap();
    assert_eq!(last["eventName"], "REMOVE");
    let by = json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"});
    assert_eq!(last["userIdentity"], by);
}

#[test]
fn dump_is_the_same_for_the_same_content() {
    let (mut one, mut other) = (database(), database());
    for sort in ["a", "b"] {
        done(&mut one, "PutItem", &put(sort, version(1)));
    }
    for (sort, number) in [("b", 2), ("a", 1), ("b", 1)] {
        done(&mut other, "PutItem", &put(sort, version(number)));
    }
    assert_eq!(one.canonical_dump(), other.canonical_dump());
    done(&mut other, "PutItem", &put("c", version(1)));
    assert_ne!(one.canonical_dump(), other.canonical_dump());
}
