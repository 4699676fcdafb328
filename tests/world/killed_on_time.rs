//! The flows that the clock sets in motion, killed before and after every call: the hourly run and
//! the suspension.

use std::time::Duration;

use serde_json::json;
use time::UtcDateTime;
use tollgate::store::IndexShard;
use tollgate_local::calls::RecordedCall;

use crate::invariants::check;
use crate::killed::{DEATHS, listed};
use crate::recorded::{compare_calls, compare_calls_in_any_order};
use crate::support::{Customer, HOUR, MINUTE, Processes, START, World, today};

/// How many calls a worker of the hourly run makes for a slice with one account.
const SLICE_CALLS: usize = 5;
/// How many calls a whole hourly run makes with one account: the slices are put on the bus by ten.
/// The local cloud runs no worker for an empty slice, and the one with the account makes five calls.
const HOUR_CALLS: usize = 12;
/// By how many calls the slices are put on the bus.
const PUTS: usize = 7;
/// How many calls a run of `settle-due` makes if one account is suspended.
const SUSPENSION_CALLS: usize = 68;
/// The first of those look for accounts that are due, one for each part of the index, several at
/// once.
const LOOKS: usize = 64;
/// More than ten minutes of a `farm` cost, in dollars.
const RESERVE: u32 = 60;
/// How many calls a worker of the hourly run makes for a slice with no account, once it has read
/// the price list.
const EMPTY_SLICE_CALLS: usize = 1;

/// A customer whose resource runs for a day from [`START`] on.
async fn running<'w>(world: &'w World) -> Customer<'w> {
    let customer = world.customer("alice");
    customer.bonus("100.00").await;
    let project = customer.project().await;
    customer.start(&project, "gpu").await;
    world.cloud.idle().await;
    customer
}

/// From now on nothing is done by itself.
fn only_by_hand(world: &World) {
    world.without_schedule("hourly-debit");
    world.without_schedule("settle-due");
}

fn of_function(world: &World, before: u64, function: &str) -> Vec<RecordedCall> {
    world.cloud.calls(before).into_iter().filter(|call| call.function == function).collect()
}

fn assert_killed(world: &World, before: u64, what: &str) {
    let calls = world.cloud.calls(before);
    let killed = |call: &&RecordedCall| {
        call.outcome.as_deref().is_some_and(|outcome| outcome.starts_with("killed"))
    };
    assert_eq!(calls.iter().filter(killed).count(), 1, "{what}: {:#?}", listed(&calls));
}

/// One row for each hour, with $4.00 each.
fn assert_hours(customer: &Customer<'_>, hours: usize) {
    let mut expected =
        vec!["opened 0 0".to_owned(), "bonus 100 100".to_owned(), "started -4 96".to_owned()];
    expected.extend((0..hours).map(|hour| format!("usage -4 {}", 92 - 4 * hour)));
    assert_eq!(customer.story(), expected);
}

#[tokio::test]
async fn an_hour_is_charged_once_wherever_a_worker_dies() {
    let world = World::new(Processes::One).await;
    let alice = running(&world).await;
    only_by_hand(&world);
    let mut hour = START + HOUR;
    world.at(hour).await;
    world.fault(json!({"kill": "hourly-debit"}));
    let before = world.cloud.calls_count();
    assert_eq!(world.settle_slice("alice", hour).await.status, 200);
    let calls = of_function(&world, before, "hourly-debit");
    assert_eq!(calls.len(), SLICE_CALLS, "{:#?}", listed(&calls));
    compare_calls("hour_of_a_slice", &calls);

    let mut hours = 1;
    for death in DEATHS {
        for nth in 1..=SLICE_CALLS {
            hour += HOUR;
            hours += 1;
            world.at(hour).await;
            world.fault(json!({"kill": "hourly-debit"}));
            world.fault(json!({"fault": death, "nth": nth, "function": "hourly-debit"}));
            let before = world.cloud.calls_count();
            assert_eq!(world.settle_slice("alice", hour).await.status, 502, "{death} {nth}");
            assert_killed(&world, before, &format!("{death} {nth}"));
            // The queue hands the message out again.
            assert_eq!(world.settle_slice("alice", hour).await.status, 200, "{death} {nth}");
            assert_hours(&alice, hours);
        }
    }
    check(&[&alice]).await;
}

#[tokio::test]
async fn an_hour_is_charged_once_wherever_the_hourly_run_dies() {
    let world = World::new(Processes::One).await;
    let alice = running(&world).await;
    let mut hour = START + HOUR;
    world.without_schedule("settle-due");
    world.fault(json!({"kill": "hourly-debit"}));
    let before = world.cloud.calls_count();
    world.at(hour).await;
    let calls = of_function(&world, before, "hourly-debit");
    assert_eq!(calls.len(), HOUR_CALLS, "{:#?}", listed(&calls));
    // The queue hands slices out in any order.
    compare_calls_in_any_order("hour", &calls);
    assert_eq!(
        calls.iter().filter(|call| call.operation == "PutEvents").count(),
        PUTS,
        "{:#?}",
        listed(&calls)
    );

    let mut hours = 1;
    for death in DEATHS {
        for nth in 1..=PUTS {
            hour += HOUR;
            hours += 1;
            let before = world.cloud.calls_count();
            world.fault(json!({"fault": death, "nth": nth, "function": "hourly-debit", "operation": "PutEvents"}));
            // The schedule's invocation is tried again after a minute.
            world.at(hour + MINUTE * 2).await;
            assert_killed(&world, before, &format!("{death} {nth}"));
            assert_hours(&alice, hours);
            world.no_faults();
            world.without_schedule("settle-due");
        }
    }
    check(&[&alice]).await;
}

/// The other calls of the hourly run: the single read of each empty slice.
#[tokio::test]
async fn a_slice_with_nobody_in_it_stays_one_wherever_its_worker_dies() {
    let world = World::new(Processes::One).await;
    let alice = running(&world).await;
    only_by_hand(&world);
    let hour = START + HOUR;
    world.at(hour).await;
    let own = IndexShard::of(&alice.account.parse().unwrap());
    let empty: Vec<IndexShard> = IndexShard::all().filter(|shard| *shard != own).collect();
    for shard in empty {
        for death in DEATHS {
            // A new process reads the price list first: there, the test above kills it.
            world.fault(json!({"kill": "hourly-debit"}));
            world.fault(
                json!({"fault": death, "nth": 1 + EMPTY_SLICE_CALLS, "function": "hourly-debit"}),
            );
            let before = world.cloud.calls_count();
            assert_eq!(world.settle_shard(shard, hour).await.status, 502, "{death} {shard:?}");
            assert_killed(&world, before, &format!("{death} {shard:?}"));
        }
        let before = world.cloud.calls_count();
        assert_eq!(world.settle_shard(shard, hour).await.status, 200, "{shard:?}");
        let calls = of_function(&world, before, "hourly-debit");
        assert_eq!(calls.len(), 1 + EMPTY_SLICE_CALLS, "{:#?}", listed(&calls));
        compare_calls("hour_of_an_empty_slice", &calls);
    }
    assert_hours(&alice, 0);
    assert_eq!(world.settle_slice("alice", hour).await.status, 200);
    assert_hours(&alice, 1);
    // After the hour less than a day's cost is left, and an event reports it.
    world.cloud.idle().await;
    check(&[&alice]).await;
}

/// A customer whose credit ends this number of minutes after the hour.
struct Ending<'w> {
    customer: Customer<'w>,
    minutes: u32,
}

#[tokio::test]
async fn settle_due_killed_at_any_call_suspends_once_on_time() {
    let world = World::from(today("10:58:00"), Processes::One).await;
    // $5.00 a minute.
    let price = json!({"sku": "farm", "unit": "hour", "kind": "instance", "rate": "300.00"});
    world.write(&world.operator, "PUT", "/v1/admin/prices", &json!({"prices": [price]})).await;
    world.at_time("10:59:00").await;

    // All reads are alike. The first and the last represent them, and the test below covers all.
    let places: Vec<usize> = [1, LOOKS].into_iter().chain(LOOKS + 1..=SUSPENSION_CALLS).collect();
    let deaths =
        DEATHS.iter().flat_map(|death| places.iter().map(move |place| Some((*death, *place))));
    let mut minutes = 0;
    let mut endings = Vec::new();
    for death in std::iter::once(None).chain(deaths) {
        minutes += 4;
        endings.push((death, ending(&world, minutes).await));
    }
    for (death, Ending { customer, minutes }) in &endings {
        let suspension = today("11:00:00") + MINUTE * *minutes;
        world.at(suspension - Duration::from_secs(1)).await;
        assert_eq!(customer.story().len(), 5, "{:?}", customer.diary());
        world.fault(json!({"kill": "settle-due"}));
        if let Some((death, nth)) = death {
            world.fault(json!({"fault": death, "nth": nth, "function": "settle-due"}));
        }
        let before = world.cloud.calls_count();
        world.at(suspension).await;
        let calls = of_function(&world, before, "settle-due");
        match death {
            None => {
                assert_eq!(calls.len(), SUSPENSION_CALLS, "{:#?}", listed(&calls));
                compare_calls("suspended", &calls);
            }
            Some((death, nth)) => assert_killed(&world, before, &format!("{death} {nth}")),
        }
        world.no_faults();
    }
    world.later(MINUTE * 3).await;
    let mut all = Vec::new();
    for (death, Ending { customer, minutes }) in &endings {
        let (credit, left) = (RESERVE + 5 + 5 * minutes, 5 * minutes);
        let expected = [
            "opened 0 0".to_owned(),
            format!("bonus {credit} {credit}"),
            format!("started -5 {}", credit - 5),
            format!("correction -{RESERVE} {left}"),
            format!("usage -{left} 0"),
            "suspended 0 0".to_owned(),
        ];
        assert_eq!(customer.story(), expected, "{death:?}");
        let as_of = customer.rows()[5]["body"]["x"]["e"]["suspended"]["as_of"].as_i64().unwrap();
        let suspension = today("11:00:00") + MINUTE * *minutes;
        assert_eq!(UtcDateTime::from_unix_timestamp(as_of).unwrap(), suspension, "{death:?}");
        all.push(customer);
    }
    check(&all).await;
}

/// The run dies at each look in turn, before and after it, for more than two hours in a row.
#[tokio::test]
async fn settle_due_killed_at_every_search_still_suspends_on_time() {
    let world = World::from(today("10:58:00"), Processes::One).await;
    let price = json!({"sku": "farm", "unit": "hour", "kind": "instance", "rate": "300.00"});
    world.write(&world.operator, "PUT", "/v1/admin/prices", &json!({"prices": [price]})).await;
    world.at_time("10:59:00").await;
    let Ending { customer, minutes } = ending(&world, 4).await;
    let suspension = today("11:00:00") + MINUTE * minutes;
    world.at(suspension - Duration::from_secs(1)).await;
    only_by_hand(&world);
    world.at(suspension).await;
    world.fault(json!({"kill": "settle-due"}));
    for death in DEATHS {
        for nth in 1..=LOOKS {
            world.later(MINUTE).await;
            world.fault(json!({"fault": death, "nth": nth, "function": "settle-due"}));
            let before = world.cloud.calls_count();
            assert_eq!(world.run_settle_due().await.status, 502, "{death} {nth}");
            assert_killed(&world, before, &format!("{death} {nth}"));
            world.no_faults();
            only_by_hand(&world);
        }
    }
    assert_eq!(customer.story().len(), 5, "{:?}", customer.diary());
    assert_eq!(world.run_settle_due().await.status, 200);
    world.cloud.idle().await;
    assert_eq!(customer.story()[5], "suspended 0 0");
    let as_of = customer.rows()[5]["body"]["x"]["e"]["suspended"]["as_of"].as_i64().unwrap();
    assert_eq!(UtcDateTime::from_unix_timestamp(as_of).unwrap(), suspension);
    check(&[&customer]).await;
}

async fn ending<'w>(world: &'w World, minutes: u32) -> Ending<'w> {
    let customer = world.customer(&format!("ends-after-{minutes}"));
    // A start needs credit for ten more minutes. It is taken away afterwards.
    customer.bonus(&format!("{}.00", RESERVE + 5 + 5 * minutes)).await;
    let project = customer.project().await;
    customer.start(&project, "farm").await;
    let path = format!("/v1/admin/accounts/{}/correction", customer.account);
    let taken = json!({"amount": format!("-{RESERVE}.00"), "reason": "a test"});
    world.write(&world.operator, "POST", &path, &taken).await;
    Ending { customer, minutes }
}
