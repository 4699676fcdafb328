//! The hourly run on a real DynamoDB engine: each account once, with any number of workers and
//! deliveries.

use std::collections::BTreeSet;
use std::time::Duration;

use hourly_debit::{
    ACCOUNT, BUDGET, DebitClients, DebitError, DebitOutcome, DebitSlice, DebitTrigger, SLICE,
    WorkedBatch, handle,
};
use serde_json::{Value, json};
use tollgate::runtime::bus::BusEvent;
use tollgate::runtime::delivery::{DeliveryTime, TriggerTimeError};
use tollgate::store::{IndexShard, SHARDS, Store};
use tollgate_tests::faults::{Calls, DynamoFault, Operation};
use tollgate_tests::ledger::{Ledger, named};
use tollgate_tests::newer_format::append_row_of_newer_format;

use crate::bus_world::BusWorld;

type World = BusWorld<DebitClients>;

/// Accounts with $25 each and one `vm` at $0.60 an hour since 10:20, paid to 11:00.
async fn world(accounts: &[&str]) -> World {
    let ledger = Ledger::new().await;
    for account in accounts {
        ledger.open(account, "10:00:00").await;
        ledger.credit(account, &format!("pi_{account}"), "25", "10:00:00").await;
        ledger.start(account, "vm", &[&format!("vm-of-{account}")], "10:20:00").await;
    }
    BusWorld::on(ledger, &[], |billing, bus| DebitClients { billing, bus, budget: BUDGET }).await
}

/// A delivery later than all triggers here.
fn on_time() -> DeliveryTime {
    DeliveryTime::at(named("2027-01-01T00:00:00Z"))
}

impl World {
    async fn schedule(&self, time: &str) -> Vec<BusEvent> {
        let trigger: DebitTrigger = serde_json::from_value(json!({ "time": time })).unwrap();
        handle(&self.clients, trigger, on_time()).await.unwrap();
        self.bus.take()
    }

    /// Hands events to a worker, as the rule and the queue do.
    async fn work(&self, events: &[BusEvent]) -> WorkedBatch {
        let message = |(place, event): (usize, &BusEvent)| {
            let detail: Value = serde_json::from_str(&event.detail).unwrap();
            let body = json!({ "version": "0", "source": "tollgate", "detail-type": event.detail_type, "detail": detail });
            json!({ "messageId": place.to_string(), "receiptHandle": "r", "body": body.to_string(), "eventSource": "aws:sqs" })
        };
        let records: Vec<Value> = events.iter().enumerate().map(message).collect();
        let trigger: DebitTrigger = serde_json::from_value(json!({ "Records": records })).unwrap();
        match handle(&self.clients, trigger, on_time()).await.unwrap() {
            DebitOutcome::Worked(worked) => worked,
            DebitOutcome::Started { .. } => panic!("messages start nothing"),
        }
    }

    /// The accounts of one shard, opened as in [`world`].
    async fn in_one_shard(&self, count: usize) -> (IndexShard, Vec<String>) {
        let shard = IndexShard::of(&"a0".parse().unwrap());
        let names = (0..).map(|number| format!("a{number}"));
        let of_shard = names.filter(|name| IndexShard::of(&name.parse().unwrap()) == shard);
        let names: Vec<String> = of_shard.take(count).collect();
        for name in &names {
            self.ledger.open(name, "10:00:00").await;
            self.ledger.credit(name, &format!("pi_{name}"), "25", "10:00:00").await;
            self.ledger.start(name, "vm", &[&format!("vm-of-{name}")], "10:20:00").await;
        }
        (shard, names)
    }

    async fn balances(&self, accounts: &[String]) -> BTreeSet<String> {
        let balances = accounts.iter().map(|account| self.balance(account));
        futures_util::future::join_all(balances).await.into_iter().collect()
    }

    async fn balance(&self, account: &str) -> String {
        self.ledger.head(account).await.state.balance().to_string()
    }
}

#[tokio::test]
async fn repeated_schedules_charge_each_account_one_hour() {
    let world = world(&["a", "b", "c"]).await;
    let slices = world.schedule("2026-11-22T11:00:00Z").await;
    assert_eq!(slices.len(), usize::from(SHARDS));
    assert!(slices.iter().all(|slice| slice.detail_type == SLICE));
    let worked = world.work(&slices).await;
    assert_eq!((worked.report.settled.accounts, worked.report.settled.appended), (3, 3));
    for account in ["a", "b", "c"] {
        assert_eq!(world.balance(account).await, "24.00");
    }
    let again = world.schedule("2026-11-22T11:00:00Z").await;
    let worked = world.work(&again).await;
    assert_eq!(
        (
            worked.report.settled.accounts,
            worked.report.settled.appended,
            worked.batch_item_failures.len()
        ),
        (3, 0, 0)
    );
}

#[tokio::test]
async fn two_workers_on_one_slice_bill_each_account_once() {
    let world = world(&["a", "b", "c", "d"]).await;
    let slices = world.schedule("2026-11-22T11:00:00Z").await;
    let (one, two) = tokio::join!(world.work(&slices), world.work(&slices));
    assert_eq!(one.batch_item_failures.len() + two.batch_item_failures.len(), 0);
    for account in ["a", "b", "c", "d"] {
        assert_eq!(world.balance(account).await, "24.00");
    }
}

fn slice_of(shard: IndexShard) -> BusEvent {
    let time = "2026-11-22T11:00:00Z".to_owned();
    let slice = DebitSlice { time, shard: shard.number(), after: None };
    BusEvent { detail_type: SLICE.to_owned(), detail: serde_json::to_string(&slice).unwrap() }
}

#[tokio::test]
async fn slice_short_of_time_hands_on_its_rest_once() {
    let mut world = world(&[]).await;
    world.clients.budget.starting = Duration::ZERO;
    let (shard, names) = world.in_one_shard(3).await;
    let event = slice_of(shard);
    let worked = world.work(std::slice::from_ref(&event)).await;
    assert_eq!((worked.report.settled.accounts, worked.report.handed_on.len()), (1, 1));
    let handed_on = world.bus.take();
    assert_eq!(handed_on.len(), 1);
    // The same message again: its accounts are paid, and the rest is not handed on a second time,
    // however far this delivery gets.
    let worked = world.work(std::slice::from_ref(&event)).await;
    assert_eq!((worked.report.settled.appended, world.bus.take().len()), (0, 0));
    let worked = world.work(&handed_on).await;
    assert_eq!((worked.report.settled.accounts, worked.report.settled.appended), (1, 1));
    let handed_on = world.bus.take();
    let worked = world.work(&handed_on).await;
    assert_eq!((worked.report.settled.appended, worked.report.handed_on.len()), (1, 0));
    assert_eq!((worked.report.slices, world.bus.take().len()), (1, 0));
    assert_eq!(world.balances(&names).await, BTreeSet::from(["24.00".to_owned()]));
}

#[tokio::test]
async fn failed_account_is_retried_before_the_rest_is_handed_on() {
    let mut world = world(&[]).await;
    let budget = &mut world.clients.budget;
    (budget.starting, budget.finishing) = (Duration::ZERO, Duration::from_secs(1));
    let (shard, names) = world.in_one_shard(3).await;
    world.ledger.faults.set(
        Calls::of(Operation::PutItem).containing(&format!("\"{}\"", names[0])),
        DynamoFault::Slow { before: Duration::from_secs(3600), after: Duration::ZERO },
    );
    world.work(&[slice_of(shard)]).await;
    let sent: Vec<String> = world.bus.take().into_iter().map(|event| event.detail_type).collect();
    assert_eq!(sent, [ACCOUNT, SLICE], "a second delivery may not reach it");
}

#[tokio::test]
async fn slice_with_two_pages_settles_each_account_once() {
    let world = world(&[]).await;
    let (shard, names) = world.in_one_shard(201).await;
    let worked = world.work(&[slice_of(shard)]).await;
    assert_eq!((worked.report.settled.accounts, worked.report.settled.appended), (201, 201));
    assert_eq!(world.balances(&names).await, BTreeSet::from(["24.00".to_owned()]));
}

#[tokio::test]
async fn hanging_account_is_retried_alone_and_the_others_are_billed() {
    let mut world = world(&[]).await;
    world.clients.budget.finishing = Duration::from_secs(3);
    let (shard, names) = world.in_one_shard(40).await;
    let (hanging, others) = names.split_first().unwrap();
    let hour = Duration::from_secs(3600);
    world.ledger.faults.set(
        Calls::of(Operation::PutItem).containing(&format!("\"{hanging}\"")),
        DynamoFault::Slow { before: hour, after: Duration::ZERO },
    );
    let worked = world.work(&[slice_of(shard)]).await;
    let failed: Vec<&str> =
        worked.report.settled.failed.iter().map(|failed| failed.account.as_str()).collect();
    assert_eq!((failed, worked.batch_item_failures.len()), (vec![hanging.as_str()], 0));
    assert_eq!(world.balances(others).await, BTreeSet::from(["24.00".to_owned()]));
    let alone = world.bus.take();
    assert_eq!(alone.len(), 1);
    assert_eq!(alone[0].detail_type, ACCOUNT);

    // It still hangs. Its message is redelivered, and then it is billed.
    assert_eq!(world.work(&alone).await.batch_item_failures.len(), 1);
    world.ledger.faults.clear();
    assert_eq!(world.work(&alone).await.report.settled.appended, 1);
    assert_eq!(world.balance(hanging).await, "24.00");
}

/// The time-outs of a deployed function, so that nothing waits for the budget.
#[tokio::test]
async fn put_that_is_never_answered_ends_within_twelve_seconds() {
    let mut world = world(&[]).await;
    let (shard, names) = world.in_one_shard(3).await;
    let (hanging, others) = names.split_first().unwrap();
    let client = world.ledger.dynamodb.client_as_deployed(&world.ledger.faults);
    world.ledger.store = Store::new(client, world.ledger.names());
    world.clients.billing = world.ledger.billing(&[]);
    let hour = Duration::from_secs(3600);
    world.ledger.faults.set(
        Calls::of(Operation::PutItem).containing(&format!("\"{hanging}\"")),
        DynamoFault::Slow { before: hour, after: Duration::ZERO },
    );
    let slice = [slice_of(shard)];
    let worked = tokio::time::timeout(Duration::from_secs(12), world.work(&slice)).await.unwrap();
    assert_eq!((worked.report.settled.appended, worked.report.settled.failed.len()), (2, 1));
    assert_eq!(world.balances(others).await, BTreeSet::from(["24.00".to_owned()]));
    assert_eq!(world.bus.take().len(), 1, "the account is retried alone");
}

#[tokio::test]
async fn failing_account_is_retried_alone_without_stopping_others() {
    let world = world(&["a", "b", "c"]).await;
    // A row of a newer release: this one may not append to it.
    append_row_of_newer_format(&world.ledger, "b").await;
    let slices = world.schedule("2026-11-22T11:00:00Z").await;
    let worked = world.work(&slices).await;
    assert_eq!(
        (
            worked.report.settled.appended,
            worked.report.settled.failed.len(),
            worked.batch_item_failures.len()
        ),
        (2, 1, 0)
    );
    let alone = world.bus.take();
    assert_eq!(alone.len(), 1);
    assert_eq!(alone[0].detail_type, ACCOUNT);
    let worked = world.work(&alone).await;
    assert_eq!(
        worked.batch_item_failures.len(),
        1,
        "the queue delivers it again, and in the end to the dead letters"
    );
}

#[tokio::test]
async fn finished_accounts_count_even_if_the_rest_is_not_handed_on() {
    let world = world(&["a", "b"]).await;
    append_row_of_newer_format(&world.ledger, "b").await;
    let slices = world.schedule("2026-11-22T11:00:00Z").await;
    world.bus.die(usize::MAX);
    let worked = world.work(&slices).await;
    let WorkedBatch { batch_item_failures, report } = worked;
    assert_eq!(
        (report.settled.appended, report.settled.failed.len(), batch_item_failures.len()),
        (1, 1, 1)
    );
    assert_eq!(
        usize::try_from(report.slices).unwrap(),
        slices.len() - 1,
        "a slice that is delivered again is not settled"
    );
}

#[tokio::test]
async fn a_message_that_cannot_be_read_fails_alone() {
    let world = world(&["a"]).await;
    let mut events = world.schedule("2026-11-22T11:00:00Z").await;
    events.push(BusEvent { detail_type: "Nonsense".to_owned(), detail: "{}".to_owned() });
    events.push(BusEvent {
        detail_type: SLICE.to_owned(),
        detail: r#"{"time":"yesterday","shard":1}"#.to_owned(),
    });
    events.push(BusEvent {
        detail_type: SLICE.to_owned(),
        detail: r#"{"time":"2026-11-22T11:00:00Z","shard":64}"#.to_owned(),
    });
    let worked = world.work(&events).await;
    assert_eq!((worked.batch_item_failures.len(), worked.report.settled.appended), (3, 1));
}

#[tokio::test]
async fn run_fails_for_redelivery_while_the_bus_is_down() {
    let world = world(&[]).await;
    world.bus.die(usize::MAX);
    let trigger: DebitTrigger =
        serde_json::from_value(json!({ "time": "2026-11-22T11:00:00Z" })).unwrap();
    assert!(matches!(handle(&world.clients, trigger, on_time()).await, Err(DebitError::Bus(_))));
    let trigger: DebitTrigger = serde_json::from_value(json!({ "time": "now" })).unwrap();
    assert!(matches!(
        handle(&world.clients, trigger, on_time()).await,
        Err(DebitError::Time(TriggerTimeError::Unreadable { .. }))
    ));
}

#[tokio::test]
async fn a_trigger_dated_ahead_bills_nothing() {
    let world = world(&["alice"]).await;
    let delivered = DeliveryTime::at(named("2026-11-22T10:59:00Z"));
    let ahead = json!({ "time": "2026-12-08T11:00:00Z" });
    let trigger: DebitTrigger = serde_json::from_value(ahead).unwrap();
    let refused = handle(&world.clients, trigger, delivered).await;
    assert!(
        matches!(refused, Err(DebitError::Time(TriggerTimeError::Ahead { .. }))),
        "{refused:?}"
    );
    assert!(world.bus.take().is_empty());

    // Nor does a slice, nor a single account, that somebody put on the queue.
    let slice = json!({ "time": "2026-12-08T11:00:00Z", "shard": 0 });
    let account = json!({ "time": "2026-12-08T11:00:00Z", "account": "alice" });
    let before = world.balance("alice").await;
    for (kind, detail) in [("HourlyDebitSlice", slice), ("HourlyDebitAccount", account)] {
        let body = json!({ "detail-type": kind, "detail": detail }).to_string();
        let records = json!({ "Records": [{ "messageId": "1", "body": body }] });
        let trigger: DebitTrigger = serde_json::from_value(records).unwrap();
        let worked = handle(&world.clients, trigger, delivered).await.unwrap();
        let DebitOutcome::Worked(worked) = worked else { panic!("messages start nothing") };
        assert_eq!(worked.batch_item_failures.len(), 1, "{kind}");
    }
    assert_eq!(world.balance("alice").await, before);
}

/// A price as an older release accepted it.
#[tokio::test]
async fn poisoned_price_is_skipped_and_alarmed_and_the_hour_is_billed() {
    let world = world(&["a", "b"]).await;
    let poisoned = json!({"sku": "vm", "unit": "hour", "kind": "instance",
        "rate": "100000000000000000000000000", "valid_from": "2026-11-22T11:00:00Z"});
    world.ledger.put_stored_price(&poisoned).await;
    let slices = world.schedule("2026-11-22T11:00:00Z").await;
    let worked = world.work(&slices).await;
    assert_eq!(worked.report.settled.appended, 2, "{:?}", worked.report.settled.failed);
    for account in ["a", "b"] {
        assert_eq!(world.balance(account).await, "24.00", "at the price before");
    }
}

/// A reading as an older release accepted it.
#[tokio::test]
async fn poisoned_reading_is_skipped_and_counted() {
    let world = world(&["a"]).await;
    let dear = json!({"sku": "gold", "unit": "quantity", "kind": "meter", "rate": "1000",
        "valid_from": "2026-01-01T00:00:00Z"});
    world.ledger.put_stored_price(&dear).await;
    let prices = world.ledger.undisturbed.prices().await.unwrap();
    world.ledger.open_meter_at("a", "gold", "10:30:00", &prices).await;
    world.ledger.put_stored_reading("a", "gold", "900000000000000").await;
    let slices = world.schedule("2026-11-22T11:00:00Z").await;
    let worked = world.work(&slices).await;
    assert_eq!(worked.report.settled.failed, []);
    assert_eq!(world.balance("a").await, "24.00");
    assert_eq!(worked.report.settled.skipped, 1);
}

/// Accounts of a slice that are settled at once, and the resources of each, unless
/// `TOLLGATE_LARGE` names others. The sizes of production are `TOLLGATE_LARGE=32,1000`.
const LARGE: &str = "4,150";

/// The memory of a worker in the template.
const WORKER_MEGABYTES: u64 = 1_769;

#[tokio::test]
async fn large_accounts_at_once_fit_the_memory_of_a_worker() {
    let on_request = std::env::var("TOLLGATE_LARGE").ok();
    let sizes = on_request.clone().unwrap_or_else(|| LARGE.to_owned());
    let (accounts, resources) = sizes.split_once(',').unwrap();
    let (accounts, resources): (u32, usize) =
        (accounts.parse().unwrap(), resources.parse().unwrap());
    let world = world(&[]).await;
    let shard = IndexShard::of(&"a0".parse().unwrap());
    let names = (0..).map(|number| format!("a{number}"));
    let of_shard = names.filter(|name| IndexShard::of(&name.parse().unwrap()) == shard);
    let names: Vec<String> = of_shard.take(accounts as usize).collect();
    for name in &names {
        world.ledger.open(name, "10:00:00").await;
        world.ledger.credit(name, &format!("pi_{name}"), "2000", "10:00:00").await;
        world.ledger.start_many(name, "vm", resources, "10:30:00").await;
    }
    let before = forget_peak();
    let worked = world.work(&[slice_of(shard)]).await;
    let settled = worked.report.settled;
    assert_eq!((settled.accounts, settled.appended), (accounts, accounts));
    // The other tests of this process use memory, too, so it is checked on request.
    if let (Some(_), Some(before), Some(peak)) = (on_request, before, megabytes("VmHWM")) {
        // The embedded database is in this process, too.
        println!("{accounts} accounts of {resources}: {before} MB before, {peak} MB at most");
        assert!(
            peak.saturating_sub(before) < WORKER_MEGABYTES / 2,
            "{before} MB before, {peak} MB at most"
        );
    }
}

/// Lets the peak of this process's memory begin anew (Linux: proc_pid_clear_refs(5)). What is in
/// memory now, in megabytes.
fn forget_peak() -> Option<u64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    megabytes("VmRSS")
}

fn megabytes(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1_024)
}
