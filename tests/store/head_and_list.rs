//! A start or stop commits between the reads of head and list. Neither is billed with the other's
//! list.

use aws_sdk_dynamodb::types::AttributeValue;
use tollgate::domain::command::Command;
use tollgate::domain::event::Cause;
use tollgate::domain::resolve;
use tollgate::domain::resources::Resource;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::store::Plan;
use tollgate::store::StoreError;
use tollgate_tests::faults::{Calls, DynamoFault, Operation};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, Ledger, at, named, new_resources, project, receipt};

/// An undisturbed change, made while a settling pauses between its two reads.
async fn settle_while(
    ledger: &Ledger,
    between: impl Future<Output = ()>,
) -> tollgate::store::SettleReport {
    // The first query is the head's, the second the list's.
    let gate = ledger.faults.gate_after(Calls::of(Operation::Query).nth(1));
    let (settled, ()) = tokio::join!(ledger.settle(ALICE, "11:00:00"), async {
        gate.reached().await;
        between.await;
        gate.open();
    });
    settled
}

async fn execute(
    ledger: &Ledger,
    now: &str,
    command: impl Fn(&AccountSnapshot<'_>) -> Result<Command, tollgate::domain::refusal::Refusal> + Sync,
) {
    let alice = named(ALICE);
    receipt(
        ledger
            .undisturbed
            .execute(ledger.trigger(&alice, at(now)), Cause::Command, Plan::on_snapshot(&command))
            .await,
    );
}

async fn start(ledger: &Ledger, id: &str, now: &str) {
    let (alice, new) = (named(ALICE), new_resources("vm", &[id]));
    execute(ledger, now, |view| resolve::start_new(view, &project(&alice), &new, at(now))).await;
}

async fn stop(ledger: &Ledger, id: &str, now: &str) {
    execute(ledger, now, |view| resolve::stop(view, &[named(id)])).await;
}

#[tokio::test]
async fn a_start_between_the_reads_is_noticed_and_billed_once() {
    let ledger = Ledger::with_credit("50").await;
    ledger.start(ALICE, "vm", &["r1"], "10:00:00").await;
    settle_while(&ledger, start(&ledger, "r2", "10:40:00")).await;
    let account = check(&ledger, ALICE).await;
    // r1 from 10:00 to 12:00, r2 from 10:40.
    assert_eq!((account.count("usage"), account.balance()), (1, named("48")));
}

#[tokio::test]
async fn a_stop_between_the_reads_is_noticed_and_not_billed() {
    let ledger = Ledger::with_credit("50").await;
    ledger.start(ALICE, "vm", &["r1", "r2"], "10:00:00").await;
    settle_while(&ledger, stop(&ledger, "r2", "10:40:00")).await;
    // r1 from 10:00 to 12:00, r2 to 10:40.
    assert_eq!(check(&ledger, ALICE).await.balance(), named("48.4"));
}

#[tokio::test]
async fn swap_of_equal_rates_between_the_reads_is_noticed() {
    let ledger = Ledger::with_credit("50").await;
    ledger.start(ALICE, "vm", &["r1"], "10:00:00").await;
    settle_while(&ledger, async {
        stop(&ledger, "r1", "10:40:00").await;
        start(&ledger, "r2", "10:40:00").await;
    })
    .await;
    let account = check(&ledger, ALICE).await;
    assert_eq!((account.count("usage"), account.balance()), (1, named("48.8")));
}

#[tokio::test]
async fn stop_and_restart_between_the_reads_is_noticed() {
    let ledger = Ledger::with_credit("50").await;
    ledger.start(ALICE, "vm", &["r1"], "10:00:00").await;
    settle_while(&ledger, async {
        stop(&ledger, "r1", "10:40:00").await;
        execute(&ledger, "10:50:00", |view| resolve::start(view, &[named("r1")], at("10:50:00")))
            .await;
    })
    .await;
    // 50 minutes of the first hour, and the second.
    assert_eq!(check(&ledger, ALICE).await.balance(), named("48.9"));
}

#[tokio::test]
async fn a_start_after_both_reads_makes_the_debit_decide_again() {
    let ledger = Ledger::with_credit("50").await;
    ledger.start(ALICE, "vm", &["r1"], "10:00:00").await;
    let gate = ledger.faults.gate_before(Calls::of(Operation::PutItem).nth(1));
    let (settled, ()) = tokio::join!(ledger.settle(ALICE, "11:00:00"), async {
        gate.reached().await;
        start(&ledger, "r2", "10:40:00").await;
        gate.open();
    });
    assert_eq!((settled.lost, settled.appended), (1, 1));
    assert_eq!(check(&ledger, ALICE).await.balance(), named("48"));
}

#[tokio::test]
async fn debit_during_a_start_is_not_overwritten() {
    let ledger = Ledger::with_credit("50").await;
    ledger.start(ALICE, "vm", &["r1"], "10:00:00").await;
    let gate = ledger.faults.gate_before(Calls::of(Operation::TransactWriteItems).nth(1));
    let (started, ()) = tokio::join!(ledger.start(ALICE, "vm", &["r2"], "10:59:59"), async {
        gate.reached().await;
        let alice = named(ALICE);
        ledger.undisturbed.settle(ledger.trigger(&alice, at("11:00:00"))).await.unwrap();
        gate.open();
    });
    assert_eq!((started.report.lost, started.row.event.at), (1, at("11:00:00")));
    assert_eq!(check(&ledger, ALICE).await.balance(), named("48.2"));
}

/// DynamoDB may show one item of a transaction before another. The engine never does, so the test
/// resets the list to its state before a stop.
#[tokio::test]
async fn a_list_older_than_its_head_is_read_again_until_it_agrees() {
    let ledger = Ledger::with_credit("50").await;
    ledger.start(ALICE, "vm", &["r1", "r2"], "10:00:00").await;
    let before = item(&ledger).await;
    stop(&ledger, "r2", "10:40:00").await;
    let after = item(&ledger).await;
    put(&ledger, before).await;

    let gate = ledger.faults.gate_after(Calls::of(Operation::Query).nth(2));
    let (settled, ()) = tokio::join!(ledger.settle(ALICE, "11:00:00"), async {
        gate.reached().await;
        put(&ledger, after).await;
        gate.open();
    });
    assert_eq!((settled.appended, settled.lost), (1, 0));
    assert_eq!(check(&ledger, ALICE).await.balance(), named("48.4"));
}

#[tokio::test]
async fn a_list_that_never_agrees_is_a_fault_and_nothing_is_billed() {
    let ledger = Ledger::with_credit("50").await;
    ledger.start(ALICE, "vm", &["r1", "r2"], "10:00:00").await;
    let before = item(&ledger).await;
    stop(&ledger, "r2", "10:40:00").await;
    put(&ledger, before).await;
    let rows = ledger.head(ALICE).await.state.next_seq;
    let fault = ledger.try_settle(ALICE, "11:00:00").await.unwrap_err();
    assert_eq!((&fault, fault.may_retry()), (&StoreError::ListDisagrees, true));
    assert_eq!(ledger.head(ALICE).await.state.next_seq, rows);
}

#[tokio::test]
async fn a_list_in_many_pages_is_read_to_its_end() {
    let ledger = Ledger::with_credit("50").await;
    let ids: Vec<String> = (0..30).map(|number| format!("r{number}")).collect();
    ledger
        .start(ALICE, "web", &ids.iter().map(String::as_str).collect::<Vec<_>>(), "10:00:00")
        .await;
    ledger.faults.set(Calls::of(Operation::Query), DynamoFault::ShortPage);
    assert_eq!(ledger.settle(ALICE, "11:00:00").await.appended, 1);
    check(&ledger, ALICE).await;
}

type Item = std::collections::HashMap<String, AttributeValue>;

async fn item(ledger: &Ledger) -> Item {
    let get = ledger.client.get_item().table_name(ledger.tables.accounts());
    let get = get.key("pk", AttributeValue::S("account#alice".to_owned()));
    let item = get
        .key("sk", AttributeValue::S("billable#resource#r2".to_owned()))
        .send()
        .await
        .unwrap()
        .item
        .unwrap();
    let _resource: Resource = serde_json::from_str(item["body"].as_s().unwrap()).unwrap();
    item
}

async fn put(ledger: &Ledger, item: Item) {
    ledger
        .client
        .put_item()
        .table_name(ledger.tables.accounts())
        .set_item(Some(item))
        .send()
        .await
        .unwrap();
}
