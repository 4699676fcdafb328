//! The outbox: rows of a real stream image become events on the bus, and nothing is skipped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use publish::{BatchResponse, StreamEvent, handle};
use serde_json::{Value, json};
use tollgate::bus::BusEvent;
use tollgate::command::Command;
use tollgate::event::Cause;
use tollgate::policy::Policy;
use tollgate::row::{Head, next_row};
use tollgate::state::AccountState;
use tollgate_tests::bus::RecordingBus;

/// The stream's image of the first row of an account.
fn opened(account: &str, sequence_number: &str) -> Value {
    let at = "2026-11-22T10:00:00Z".parse().unwrap();
    let opened =
        tollgate::decide::decide(&AccountState::default(), &Command::Open, Cause::Command, &Policy::default(), at);
    let row = next_row(&account.parse().unwrap(), &Head::none(), &opened.unwrap()).unwrap().stored;
    insert(
        sequence_number,
        &json!({
            "account": {"S": account}, "seq": {"N": "0"}, "at": {"N": row.at.seconds().to_string()},
            "type": {"S": row.kind}, "amount": {"N": row.amount.to_string()}, "balance": {"N": row.balance.to_string()},
            "body": {"S": row.body}, "nonce": {"S": "abc"},
        }),
    )
}

fn insert(sequence_number: &str, image: &Value) -> Value {
    json!({
        "eventID": "1", "eventName": "INSERT", "eventVersion": "1.1", "eventSource": "aws:dynamodb", "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1.5, "Keys": {"account": image["account"], "seq": {"N": "0"}},
            "NewImage": image, "SequenceNumber": sequence_number, "SizeBytes": 26, "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-west-1:1:table/ledger/stream/1",
    })
}

async fn publish(bus: &RecordingBus, records: Vec<Value>) -> BatchResponse {
    let event: StreamEvent = serde_json::from_value(json!({ "Records": records })).unwrap();
    handle(&bus.bus(), event).await
}

fn accounts(events: &[BusEvent]) -> Vec<String> {
    let account = |event: &BusEvent| {
        serde_json::from_str::<Value>(&event.detail).unwrap()["account"].as_str().unwrap().to_owned()
    };
    events.iter().map(account).collect()
}

fn again_from(response: &BatchResponse) -> Vec<&str> {
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
}

#[tokio::test]
async fn each_row_becomes_its_events_and_what_is_no_row_becomes_nothing() {
    let bus = RecordingBus::new();
    let claim =
        insert("2", &json!({"account": {"S": "claim#stripe#pi_1#credit"}, "seq": {"N": "0"}, "owner": {"S": "a"}}));
    let response = publish(&bus, vec![opened("a", "1"), claim, opened("b", "3")]).await;
    assert_eq!(again_from(&response), Vec::<&str>::new());
    let taken = bus.take();
    assert_eq!(accounts(&taken), ["a", "b"]);
    assert_eq!(taken[0].detail_type, "AccountOpened");
    let detail: Value = serde_json::from_str(&taken[0].detail).unwrap();
    assert_eq!((detail["id"].as_str(), detail["seq"].as_u64()), (Some("a#0#0"), Some(0)));
}

#[tokio::test]
async fn an_entry_that_is_refused_for_a_while_is_put_again_alone() {
    let bus = RecordingBus::new();
    bus.refuse("\"account\":\"b\"", 2);
    let response = publish(&bus, vec![opened("a", "1"), opened("b", "2"), opened("c", "3")]).await;
    assert_eq!(again_from(&response), Vec::<&str>::new());
    assert_eq!(accounts(&bus.take()), ["a", "c", "b"], "each once");
    assert_eq!(bus.calls(), 3);
}

#[tokio::test]
async fn what_is_never_taken_is_delivered_again_from_its_row_on() {
    let bus = RecordingBus::new();
    bus.refuse("\"account\":\"b\"", usize::MAX);
    let response = publish(&bus, vec![opened("a", "1"), opened("b", "2"), opened("c", "3")]).await;
    assert_eq!(again_from(&response), ["2"]);
    let bus = RecordingBus::new();
    bus.die(usize::MAX);
    assert_eq!(again_from(&publish(&bus, vec![opened("a", "1"), opened("b", "2")]).await), ["1"]);
}

#[tokio::test]
async fn a_row_of_a_newer_release_is_kept_for_it_and_what_came_before_is_published() {
    let mut newer = opened("b", "2");
    let body = newer["dynamodb"]["NewImage"]["body"]["S"].as_str().unwrap().replacen("\"v\":1", "\"v\":2", 1);
    newer["dynamodb"]["NewImage"]["body"]["S"] = Value::from(body);
    let bus = RecordingBus::new();
    let response = publish(&bus, vec![opened("a", "1"), newer, opened("c", "3")]).await;
    assert_eq!(again_from(&response), ["2"]);
    assert_eq!(accounts(&bus.take()), ["a"]);
}

#[tokio::test]
async fn changes_of_the_table_publish_nothing_and_do_not_stop_the_rest() {
    let mut changed = opened("a", "1");
    changed["eventName"] = Value::from("MODIFY");
    let mut removed = opened("a", "2");
    removed["eventName"] = Value::from("REMOVE");
    removed["userIdentity"] = json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"});
    removed["dynamodb"].as_object_mut().unwrap().remove("NewImage");
    let bus = RecordingBus::new();
    let response = publish(&bus, vec![changed, removed, opened("c", "3")]).await;
    assert_eq!(again_from(&response), Vec::<&str>::new());
    assert_eq!(accounts(&bus.take()), ["c"]);
}
