//! Simultaneous requests. In any order, everything is charged and credited once.

use serde_json::{Value, json};
use tollgate_local::api::ApiReply;

use crate::invariants::check;
use crate::support::{Customer, GOOD_CARD, HOUR, Processes, START, World, key};

/// The number of rounds of a race. Another request may win each time.
const ROUNDS: u32 = 6;

async fn named<'w>(world: &'w World, account: &str, credit: &str) -> (Customer<'w>, String) {
    let customer = world.customer(account);
    customer.bonus(credit).await;
    let project = customer.project().await;
    (customer, project)
}

async fn post(customer: &Customer<'_>, path: &str, key: &str, body: &Value) -> ApiReply {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    customer.api.send("POST", path, &headers, body.to_string()).await.unwrap()
}

#[tokio::test]
async fn two_workers_on_one_slice_charge_one_hour() {
    let world = World::new(Processes::Several).await;
    let (alice, project) = named(&world, "alice", "100.00").await;
    alice.start(&project, "gpu").await;
    world.without_schedule("settle-due");
    world.without_schedule("hourly-debit");
    for round in 1..=ROUNDS {
        let hour = START + HOUR * round;
        world.at(hour).await;
        let slice = || world.settle_slice("alice", hour);
        let answers = tokio::join!(slice(), slice(), slice(), slice());
        for answer in [answers.0, answers.1, answers.2, answers.3] {
            assert_eq!(answer.json()["batchItemFailures"], json!([]), "{}", answer.json());
        }
        assert_eq!(alice.story().len(), 3 + round as usize, "{:?}", alice.diary());
    }
    world.cloud.idle().await;
    check(&[&alice]).await;
}

#[tokio::test]
async fn duplicate_hourly_messages_charge_one_hour() {
    let world = World::new(Processes::Several).await;
    let mut customers = Vec::new();
    for n in 0..12 {
        let (customer, project) = named(&world, &format!("customer-{n}"), "50.00").await;
        customer.start(&project, "gpu").await;
        customers.push(customer);
    }
    world.without_schedule("settle-due");
    for delivery in ["schedule", "put-events", "event", "queue"] {
        world.fault(json!({"fault": "duplicate", "delivery": delivery, "times": 0}));
    }
    world.at(START + HOUR).await;
    for customer in &customers {
        assert_eq!(customer.story(), ["opened 0 0", "bonus 50 50", "started -4 46", "usage -4 42"]);
    }
    check(&customers.iter().collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn simultaneous_hour_stop_start_and_payment_are_serialized() {
    let world = World::new(Processes::Several).await;
    let (alice, project) = named(&world, "alice", "100.00").await;
    let mut runs = alice.start(&project, "gpu").await;
    world.without_schedule("settle-due");
    world.without_schedule("hourly-debit");
    for round in 1..=ROUNDS {
        let hour = START + HOUR * round;
        world.at(hour).await;
        let page = alice.page(&json!({"amount": "10.00"})).await;
        let (settled, _, started, ()) = tokio::join!(
            world.settle_slice("alice", hour),
            alice.stop(&runs),
            alice.start(&project, "gpu"),
            alice.pay(&page, GOOD_CARD),
        );
        assert_eq!(settled.json()["batchItemFailures"], json!([]), "{}", settled.json());
        world.cloud.idle().await;
        // The stopped resource costs nothing for the hour that it did not start. The new one costs
        // a full hour.
        let expected = 100 - 4 + i64::from(round) * (10 - 4);
        assert_eq!(alice.balance().await, format!("{expected}.00"), "{:#?}", alice.diary());
        assert_eq!(
            world
                .told_to_platform("alice")
                .await
                .iter()
                .filter(|shown| *shown == "gpu running")
                .count(),
            1
        );
        runs = started;
    }
    check(&[&alice]).await;
}

#[tokio::test]
async fn of_two_starts_covered_by_one_credit_one_is_refused() {
    let world = World::new(Processes::Several).await;
    let mut customers = Vec::new();
    for round in 0..ROUNDS {
        let (customer, project) = named(&world, &format!("customer-{round}"), "8.00").await;
        let path = format!("{project}/resources");
        let wish = json!({"sku": "gpu", "name": "one", "start": true});
        let (first, second) = (key(), key());
        let (first, second) = tokio::join!(
            post(&customer, &path, &first, &wish),
            post(&customer, &path, &second, &wish)
        );
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 402], "{first:?} {second:?}");
        let refused = if first.status == 402 { first } else { second };
        assert_eq!(refused.json()["code"], "credit_too_low");
        assert_eq!(customer.story(), ["opened 0 0", "bonus 8 8", "started -4 4"]);
        customers.push(customer);
    }
    world.cloud.idle().await;
    check(&customers.iter().collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn simultaneous_equal_requests_run_once_and_answer_alike() {
    let world = World::new(Processes::Several).await;
    let mut customers = Vec::new();
    for round in 0..ROUNDS {
        let (customer, project) = named(&world, &format!("customer-{round}"), "50.00").await;
        let path = format!("{project}/resources");
        let wish = json!({"sku": "gpu", "name": "one", "start": true});
        let key = key();
        let (first, second) =
            tokio::join!(post(&customer, &path, &key, &wish), post(&customer, &path, &key, &wish));
        assert_eq!((first.status, second.status), (201, 201), "{first:?} {second:?}");
        assert_eq!(first.json(), second.json());
        assert_eq!(customer.story(), ["opened 0 0", "bonus 50 50", "started -4 46"]);
        customers.push(customer);
    }
    world.cloud.idle().await;
    check(&customers.iter().collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_refill_that_is_asked_for_many_times_at_once_charges_once() {
    let world = World::new(Processes::Several).await;
    let mut customers = Vec::new();
    for round in 0..ROUNDS {
        let customer = world.customer(&format!("customer-{round}"));
        customer.top_up_with_refill("13.00", "10.00", "15.00").await;
        let project = customer.project().await;
        // Only the request below reads it.
        world
            .fault(json!({"fault": "drop", "delivery": "event", "name": "BalanceLow", "times": 0}));
        customer.start(&project, "gpu").await;
        world.cloud.idle().await;
        let event =
            json!({"time": "2026-11-22T10:00:00Z", "detail": {"account": customer.account}});
        let wanted = || world.api.write("POST", "/local/functions/auto-refill", &event);
        let answers = tokio::join!(wanted(), wanted(), wanted(), wanted());
        for answer in [answers.0, answers.1, answers.2, answers.3] {
            assert_eq!(answer.unwrap().status, 200);
        }
        world.cloud.idle().await;
        let told = customer.story();
        assert_eq!(told.iter().filter(|row| row.starts_with("auto_refill")).count(), 1, "{told:?}");
        assert_eq!(customer.balance().await, "24.00", "{told:?}");
        customers.push(customer);
    }
    world.no_faults();
    check(&customers.iter().collect::<Vec<_>>()).await;
}
