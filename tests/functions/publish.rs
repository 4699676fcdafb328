//! The outbox: rows of a real stream image become events on the bus, and nothing is skipped.

use publish::{BatchResponse, PublishClients, StreamEvent, handle};
use serde_json::{Value, json};
use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::event::Cause;
use tollgate::domain::policy::Policy;
use tollgate::domain::row::{ChainHead, encode};
use tollgate::domain::row_format::RowFormat;
use tollgate::runtime::bus::BusEvent;
use tollgate::store::{Store, TableNames};
use tollgate_tests::faults::{Calls, DynamoFault, Operation};
use tollgate_tests::ledger::{ALICE, Ledger, named};

use crate::bus_world::BusWorld;

type World = BusWorld<PublishClients>;

impl World {
    async fn new() -> World {
        let address = [("BILLING_URL", "https://cloud.example/billing")];
        let ledger = Ledger::new().await;
        BusWorld::on(ledger, &address, |billing, bus| PublishClients { billing, bus }).await
    }

    async fn publish(&self, records: Vec<Value>) -> BatchResponse {
        let event: StreamEvent = serde_json::from_value(json!({ "Records": records })).unwrap();
        handle(&self.clients, event).await
    }

    /// Alice's last row, as the stream brings it.
    async fn last_row(&self, sequence_number: &str) -> Value {
        let seq = self.ledger.head(ALICE).await.state.next_seq - 1;
        let rows = self.ledger.client.query().table_name(self.ledger.tables.ledger());
        let rows = rows.key_condition_expression("account = :account").expression_attribute_values(
            ":account",
            aws_sdk_dynamodb::types::AttributeValue::S(ALICE.to_owned()),
        );
        let items = rows.scan_index_forward(false).limit(1).send().await.unwrap().items.unwrap();
        let image: Value = items[0]
            .iter()
            .map(|(name, value)| {
                let value = value.as_s().map_or_else(
                    |_| json!({"N": value.as_n().unwrap()}),
                    |text| json!({"S": text}),
                );
                (name.clone(), value)
            })
            .collect();
        assert_eq!(image["seq"]["N"], seq.to_string());
        insert(sequence_number, &image)
    }

    /// Writes Alice's profile as no release does.
    async fn profile(&self, attributes: &[(&str, &str)]) {
        let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
        let put = self.ledger.client.put_item().table_name(self.ledger.names().accounts);
        let put = put.item("pk", text(&format!("account#{ALICE}"))).item("sk", text("profile"));
        let put = attributes.iter().fold(put, |put, (name, value)| put.item(*name, text(value)));
        put.send().await.unwrap();
    }

    /// The stream's record of Alice's suspension, at 12:00.
    async fn suspended(&self) -> Value {
        self.ledger.open(ALICE, "10:00:00").await;
        self.ledger.credit(ALICE, "pi_1", "5", "10:00:00").await;
        self.ledger.start(ALICE, "big", &["a"], "11:00:00").await;
        self.ledger.settle(ALICE, "23:00:00").await;
        self.last_row("7").await
    }
}

/// The stream's image of the first row of an account.
fn opened(account: &str, sequence_number: &str) -> Value {
    let at = "2026-11-22T10:00:00Z".parse().unwrap();
    let opened = tollgate::domain::decide::decide(
        &AccountState::default(),
        &Command::Open,
        Cause::Command,
        &Policy::default(),
        at,
    );
    let row =
        encode(&account.parse().unwrap(), &ChainHead::none(), &opened.unwrap(), RowFormat::WRITTEN)
            .unwrap()
            .stored;
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

fn accounts(events: &[BusEvent]) -> Vec<String> {
    let account = |event: &BusEvent| {
        serde_json::from_str::<Value>(&event.detail).unwrap()["account"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    events.iter().map(account).collect()
}

fn again_from(response: &BatchResponse) -> Vec<&str> {
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
}

#[tokio::test]
async fn rows_become_events_and_other_records_do_not() {
    let world = World::new().await;
    let claim = insert(
        "2",
        &json!({"account": {"S": "claim#stripe#pi_1#credit"}, "seq": {"N": "0"}, "owner": {"S": "a"}}),
    );
    let response = world.publish(vec![opened("a", "1"), claim, opened("b", "3")]).await;
    assert_eq!(again_from(&response), Vec::<&str>::new());
    let taken = world.bus.take();
    assert_eq!(accounts(&taken), ["a", "b"]);
    assert_eq!(taken[0].detail_type, "AccountOpened");
    let detail: Value = serde_json::from_str(&taken[0].detail).unwrap();
    assert_eq!((detail["id"].as_str(), detail["seq"].as_u64()), (Some("a#0#0"), Some(0)));
}

#[tokio::test]
async fn an_entry_that_is_refused_for_a_while_is_put_again_alone() {
    let world = World::new().await;
    world.bus.refuse("\"account\":\"b\"", 2);
    let response = world.publish(vec![opened("a", "1"), opened("b", "2"), opened("c", "3")]).await;
    assert_eq!(again_from(&response), Vec::<&str>::new());
    assert_eq!(accounts(&world.bus.take()), ["a", "c", "b"], "each once");
    assert_eq!(world.bus.calls(), 3);
}

#[tokio::test]
async fn rejected_event_is_delivered_again_from_its_row_on() {
    let world = World::new().await;
    world.bus.refuse("\"account\":\"b\"", usize::MAX);
    let response = world.publish(vec![opened("a", "1"), opened("b", "2"), opened("c", "3")]).await;
    assert_eq!(again_from(&response), ["2"]);
    let world = World::new().await;
    world.bus.die(usize::MAX);
    assert_eq!(again_from(&world.publish(vec![opened("a", "1"), opened("b", "2")]).await), ["1"]);
}

#[tokio::test]
async fn row_of_newer_release_blocks_only_what_follows() {
    let mut newer = opened("b", "2");
    let body = newer["dynamodb"]["NewImage"]["body"]["S"].as_str().unwrap().replacen(
        &format!("\"v\":{}", RowFormat::WRITTEN),
        &format!("\"v\":{}", RowFormat::READABLE.number() + 1),
        1,
    );
    newer["dynamodb"]["NewImage"]["body"]["S"] = Value::from(body);
    let world = World::new().await;
    let response = world.publish(vec![opened("a", "1"), newer, opened("c", "3")]).await;
    assert_eq!(again_from(&response), ["2"]);
    assert_eq!(accounts(&world.bus.take()), ["a"]);
}

#[tokio::test]
async fn table_changes_publish_nothing_and_block_nothing() {
    let mut changed = opened("a", "1");
    changed["eventName"] = Value::from("MODIFY");
    let mut removed = opened("a", "2");
    removed["eventName"] = Value::from("REMOVE");
    removed["userIdentity"] = json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"});
    removed["dynamodb"].as_object_mut().unwrap().remove("NewImage");
    let world = World::new().await;
    let response = world.publish(vec![changed, removed, opened("c", "3")]).await;
    assert_eq!(again_from(&response), Vec::<&str>::new());
    assert_eq!(accounts(&world.bus.take()), ["c"]);
}

#[tokio::test]
async fn notice_carries_address_amount_deadline_and_link() {
    let world = World::new().await;
    let record = world.suspended().await;
    let email = "alice@example.test".parse().unwrap();
    world.ledger.undisturbed.set_email(&named(ALICE), &email).await.unwrap();
    world.publish(vec![record]).await;
    let [event] = world.bus.take().try_into().unwrap();
    let detail: Value = serde_json::from_str(&event.detail).unwrap();
    let deadline = &detail["state"]["delete_at"];
    assert_eq!(deadline, "2026-11-25T23:00:00Z");
    assert_eq!(
        (event.detail_type.as_str(), &detail["notice"]),
        (
            "Suspended",
            &json!({
                "email": "alice@example.test", "amount": "1.00", "deadline": deadline,
                "link": "https://cloud.example/billing#add-credit",
            })
        )
    );
}

#[tokio::test]
async fn only_notices_look_up_an_address_and_each_batch_once() {
    let world = World::new().await;
    let record = world.suspended().await;
    drop(world.ledger.faults.take_calls());
    world.publish(vec![opened("b", "1"), opened("c", "2")]).await;
    assert_eq!(world.ledger.faults.calls().len(), 0);
    let details: Vec<Value> =
        world.bus.take().iter().map(|event| serde_json::from_str(&event.detail).unwrap()).collect();
    assert!(details.iter().all(|detail| detail.get("notice").is_none()), "{details:?}");

    world.publish(vec![record.clone(), opened("b", "8"), record]).await;
    assert_eq!(world.ledger.faults.operations(), [Operation::GetItem]);
    let detail: Value = serde_json::from_str(&world.bus.take()[0].detail).unwrap();
    assert_eq!(detail["notice"]["email"], Value::Null, "nobody told an address");
}

#[tokio::test]
async fn unreadable_address_retries_its_row_and_delays_none_before() {
    let world = World::new().await;
    let record = world.suspended().await;
    world.ledger.faults.set(Calls::of(Operation::GetItem).first(1), DynamoFault::Refused);
    let batch = vec![opened("b", "1"), record.clone(), opened("c", "8")];
    let response = world.publish(batch).await;
    assert_eq!(again_from(&response), ["7"]);
    assert_eq!(accounts(&world.bus.take()), ["b"]);
    let response = world.publish(vec![record, opened("c", "8")]).await;
    assert_eq!(again_from(&response), Vec::<&str>::new());
    assert_eq!(accounts(&world.bus.take()), [ALICE, "c"]);
}

#[tokio::test]
async fn while_nobody_may_read_addresses_notices_wait() {
    let mut world = World::new().await;
    let record = world.suspended().await;
    let tables = TableNames { accounts: "no-table-of-ours".to_owned(), ..world.ledger.names() };
    let permitted = std::mem::replace(
        &mut world.clients.billing.store,
        Store::new(world.ledger.client.clone(), tables),
    );
    let batch = vec![opened("b", "1"), record];
    assert_eq!(again_from(&world.publish(batch.clone()).await), ["7"]);
    assert_eq!(accounts(&world.bus.take()), ["b"]);
    world.clients.billing.store = permitted;
    assert_eq!(again_from(&world.publish(batch).await), Vec::<&str>::new());
    assert_eq!(accounts(&world.bus.take()), ["b", ALICE]);
}

#[tokio::test]
async fn unreadable_profile_sends_notices_without_an_address() {
    let world = World::new().await;
    let record = world.suspended().await;
    world.profile(&[("email", "no address"), ("company", "no JSON")]).await;
    let response = world.publish(vec![record.clone(), opened("b", "8")]).await;
    assert_eq!(again_from(&response), Vec::<&str>::new());
    let taken = world.bus.take();
    assert_eq!(accounts(&taken), [ALICE, "b"]);
    let detail: Value = serde_json::from_str(&taken[0].detail).unwrap();
    assert_eq!(
        (&detail["notice"]["email"], &detail["notice"]["amount"]),
        (&Value::Null, &json!("1.00"))
    );

    // Billing details do not concern this function.
    world.profile(&[("email", "alice@example.test"), ("company", "no JSON")]).await;
    assert_eq!(again_from(&world.publish(vec![record]).await), Vec::<&str>::new());
    let detail: Value = serde_json::from_str(&world.bus.take()[0].detail).unwrap();
    assert_eq!(detail["notice"]["email"], "alice@example.test");
}
