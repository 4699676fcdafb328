//! Half an hour of two customers, undisturbed, and with everything twice, late, out of order, lost
//! or throttled: the ledger is the same.

use serde_json::{Value, json};
use stripe_stand_in::{DeliveryPlan, DisputeEnd, DisputeKind, NewDispute, Order};

use crate::invariants::check;
use crate::support::{Processes, World, today};

/// How many calls a fault on every so-many-th call is set for: more than there are of most.
const CALLS_MAX: u64 = 600;

/// Type, amount and balance of each of Alice's rows.
const ALICE: [&str; 13] = [
    "opened 0 0",
    "topup 14 14",
    "refill_changed 0 14",
    "started -0.266667 13.733333",
    "usage -4 9.733333",
    "refill_begun 0 9.733333",
    "auto_refill 15 24.733333",
    "stopped 3.533333 28.266666",
    "refund -4 24.266666",
    "dispute_opened 0 24.266666",
    "dispute -15 9.266666",
    "dispute_reversed 15 24.266666",
    "dispute_closed 0 24.266666",
];

/// The same of Bob's: $16.00 an hour, which end at 12:18:30.
const BOB: [&str; 8] = [
    "opened 0 0",
    "topup 6 6",
    "started -0.266667 5.733333",
    "started -0.266667 5.466666",
    "started -0.266667 5.199999",
    "started -0.266667 4.933332",
    "usage -4.933332 0",
    "suspended 0 0",
];

/// The time around noon. There is time between two steps for all repetitions.
async fn live(world: &World) {
    let (alice, bob) = (world.customer("alice"), world.customer("bob"));
    alice.top_up_with_refill("14.00", "10.00", "15.00").await;
    bob.top_up("6.00").await;
    world.at_time("11:56:00").await;
    let (of_alice, of_bob) = (alice.project().await, bob.project().await);
    let gpu = alice.start(&of_alice, "gpu").await;
    for _ in 0..4 {
        bob.start(&of_bob, "gpu").await;
    }
    // The hour is paid, Alice's card is charged.
    world.at_time("12:07:00").await;
    alice.stop(&gpu).await;
    world.stripe().refund_in_dashboard(&alice.payment("topup"), Some(400)).unwrap();
    world.at_time("12:13:00").await;
    let payment = alice.payment("auto_refill");
    let (reason, kind) = ("fraudulent".to_owned(), DisputeKind::Chargeback);
    let dispute =
        world.stripe().dispute(&NewDispute { payment, amount: None, reason, kind }).unwrap();
    // Bob's credit ends on the way.
    world.at_time("12:20:00").await;
    world.stripe().close_dispute(&dispute, DisputeEnd::Won).unwrap();
    world.at_time("12:26:00").await;
    world.no_faults();
    world.stripe().plan_deliveries(DeliveryPlan::default());
    world.at_time("12:28:00").await;
    assert_eq!(alice.story(), ALICE);
    assert_eq!(bob.story(), BOB);
    check(&[&alice, &bob]).await;
}

async fn world() -> World {
    World::from(today("11:50:00"), Processes::Several).await
}

/// Lives with deliveries that go wrong.
async fn live_with_deliveries(fault: &Value, deliveries: &[&str]) {
    let world = world().await;
    for delivery in deliveries {
        let mut fault = fault.clone();
        fault["delivery"] = json!(delivery);
        fault["times"] = json!(0);
        world.fault(fault);
    }
    live(&world).await;
}

/// Lives with every `every`-th of some calls going wrong.
async fn live_with_calls(faults: Vec<(Value, u64)>) {
    let world = world().await;
    for (fault, every) in faults {
        for nth in (1..=CALLS_MAX / every).map(|n| n * every) {
            let mut fault = fault.clone();
            fault["nth"] = json!(nth);
            world.fault(fault);
        }
    }
    live(&world).await;
}

async fn live_with_webhooks(order: Order) {
    let world = world().await;
    world.stripe().plan_deliveries(DeliveryPlan { copies: 2, order, ..DeliveryPlan::default() });
    live(&world).await;
}

#[tokio::test]
async fn undisturbed_day_is_the_reference() {
    live(&world().await).await;
}

#[tokio::test]
async fn every_webhook_comes_twice_and_the_last_first() {
    live_with_webhooks(Order::Reversed).await;
}

#[tokio::test]
async fn every_webhook_comes_twice_in_any_order() {
    for seed in 1..=2 {
        live_with_webhooks(Order::Shuffled(seed)).await;
    }
}

#[tokio::test]
async fn every_schedule_fires_twice() {
    live_with_deliveries(&json!({"fault": "duplicate"}), &["schedule"]).await;
}

#[tokio::test]
async fn every_event_message_and_batch_of_the_stream_comes_twice() {
    let deliveries = ["put-events", "event", "queue", "stream", "webhook"];
    live_with_deliveries(&json!({"fault": "duplicate"}), &deliveries).await;
}

#[tokio::test]
async fn late_deliveries_change_no_outcome() {
    let deliveries = ["event", "queue", "stream", "schedule", "webhook"];
    live_with_deliveries(&json!({"fault": "delay", "by": "35s"}), &deliveries).await;
}

/// At the same time, because a client waits in real time before it repeats a call.
#[tokio::test]
async fn lost_answers_and_throttling_change_no_outcome() {
    let writes = ["PutItem", "UpdateItem", "TransactWriteItems"];
    let lost = |operation: &str| json!({"fault": "lose_answer", "service": "dynamodb", "operation": operation});
    let throttled =
        |table: &str| json!({"fault": "throttle", "service": "dynamodb", "table": table});
    let stripe = |fault: &str| json!({"fault": fault, "service": "stripe"});
    tokio::join!(
        live_with_calls(writes.map(|operation| (lost(operation), 5)).into()),
        live_with_calls(vec![(throttled("ledger"), 17), (throttled("accounts"), 70)]),
        live_with_calls(vec![
            (stripe("lose_answer"), 4),
            (stripe("throttle"), 7),
            (stripe("lose_call"), 9)
        ]),
    );
}
