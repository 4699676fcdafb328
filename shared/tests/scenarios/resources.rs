//! Starts, stops, failed starts, and restarts after a suspension.

use tollgate::domain::account::{BilledTotals, PendingPayment, RestartPolicy};
use tollgate::domain::command::Command;
use tollgate::domain::event::{Change, Event, PendingEnd, ResourceChange};
use tollgate::domain::ids::ResourceId;
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve;
use tollgate::domain::resources::{ResourceCondition, ResourceStatus};
use tollgate::domain::row::{ChainHead, encode};
use tollgate::domain::row_format::RowFormat;

use crate::world::{World, at, is_good, named, new, project};

fn condition(world: &World, id: &str) -> ResourceCondition {
    world.list.resources[&named::<ResourceId>(id)].condition(&world.state)
}

#[test]
fn several_resources_start_in_one_row_or_not_at_all() {
    let mut world = World::with_credit("5.50");
    let three = [new("a", "vm60"), new("b", "vm60"), new("c", "vm60")];
    let refused = world
        .ask("12:00", |view| resolve::start_new(view, &project("acme"), &three, at("12:00")))
        .err();
    assert_eq!(
        refused,
        Some(Refusal::CreditTooLow { required: named("6.20"), available: named("5.50") }),
        "$1.20 for two, and the $5 that the third start needs"
    );
    let two = [new("a", "free"), new("b", "vm60")];
    world
        .ask("12:00", |view| resolve::start_new(view, &project("acme"), &two, at("12:00")))
        .unwrap();
    world.rows(&["12:00:00 started -0.60 = 4.90 to 13:00:00"]);
    assert_eq!(world.state.billed.count(), 2);
}

#[test]
fn a_start_that_failed_gives_everything_back_even_hours_later() {
    let mut world = World::opened();
    world.grant("12:00", "5.25", "30T00:00", &[]);
    world.credit("12:00", "10");
    world.start("12:30", "a", "vm100").unwrap();
    world.settle("13:00").settle("14:00");
    // The grant paid 12:30 to 14:00 and is nearly used up; from 14:00 on paid credit would help.
    let before = (world.state.paid, world.state.grants[0].remaining);
    assert_eq!(before, (named("10"), named("2.75")));
    world.fail_start("14:15", "a").unwrap().rows(&[
        "12:00:00 bonus 5.25 = 5.25",
        "12:00:00 topup 10.00 = 15.25",
        "12:30:00 started -0.50 = 14.75 to 13:00:00",
        "13:00:00 usage -1.00 = 13.75 to 14:00:00",
        "14:00:00 usage -1.00 = 12.75 to 15:00:00",
        "14:15:00 start_failed 2.50 = 15.25",
    ]);
    assert_eq!((world.state.paid, world.state.grants[0].remaining), (named("10"), named("5.25")));
    assert_eq!(condition(&world, "a"), ResourceCondition::New);
    assert_eq!(
        world.fail_start("14:16", "a").err(),
        Some(Refusal::NotRunning { resource: named("a") })
    );
    world.restart("14:20", &["a"]).unwrap();
}

#[test]
fn failed_start_refills_a_used_grant_but_no_expired_one() {
    let mut world = World::opened();
    world.grant("12:00", "0.50", "30T00:00", &[]);
    world.grant("12:00", "0.25", "13:30", &[]);
    world.credit("12:00", "10");
    world.start("12:00", "a", "vm100").unwrap();
    world.settle("13:00").settle("14:00");
    assert_eq!(world.state.grants, [], "used up and expired");
    world.fail_start("14:10", "a").unwrap();
    assert_eq!(world.state.paid, named("10"));
    assert_eq!(
        world.state.grants.iter().map(|grant| grant.remaining).collect::<Vec<Usd>>(),
        [named("0.50")]
    );
}

/// $25 of credit, and "a" at $1.00 an hour since 12:30.
fn one_started() -> World {
    let mut world = World::with_credit("25");
    world.start("12:30", "a", "vm100").unwrap().skip_rows();
    world
}

#[test]
fn failed_start_that_was_stopped_gives_back_the_rest() {
    let mut world = one_started();
    world.stop("12:45", &["a"]).unwrap();
    world
        .fail_start("12:50", "a")
        .unwrap()
        .rows(&["12:45:00 stopped 0.25 = 24.75", "12:50:00 start_failed 0.25 = 25.00"]);
    assert_eq!(condition(&world, "a"), ResourceCondition::New);
    let refused = world.fail_start("12:51", "a").err();
    assert_eq!(refused, Some(Refusal::NotRunning { resource: named("a") }), "only once");

    let mut world = one_started();
    world.settle("13:00").stop("13:15", &["a"]).unwrap();
    world.fail_start("13:20", "a").unwrap();
    assert_eq!(world.state.balance(), named("25"), "of all periods");
}

#[test]
fn failed_start_that_was_deleted_or_suspended_gives_back_the_rest() {
    let mut world = one_started();
    world.delete("12:45", &["a"]).unwrap();
    world.fail_start("12:50", "a").unwrap();
    assert_eq!(world.state.balance(), named("25"));
    assert!(matches!(condition(&world, "a"), ResourceCondition::Deleted { .. }));

    let mut world = one_started();
    let rest = Command::Correct { amount: named("-24.50"), reason: "a loss".to_owned() };
    world.command("12:40", rest).unwrap();
    world.settle("13:00");
    assert!(!is_good(&world));
    world.fail_start("13:10", "a").unwrap();
    assert_eq!(world.state.balance(), named("0.50"));
    assert!(is_good(&world), "the credit is there again");
    assert_eq!(condition(&world, "a"), ResourceCondition::New);

    let mut world = one_started();
    world
        .ask("12:45", |view| resolve::suspend(view, "a test"))
        .unwrap()
        .fail_start("12:50", "a")
        .unwrap();
    assert_eq!(world.state.balance(), named("25"));
}

#[test]
fn failed_start_is_not_owed() {
    // The data that was kept of it: two hours of $0.10, and those of another volume stay.
    let mut world = World::with_credit("25");
    world.start("12:30", "v", "volume").unwrap().start("12:30", "w", "volume").unwrap();
    let rest = Command::Correct { amount: named("-24.80"), reason: "a loss".to_owned() };
    world.command("12:40", rest).unwrap();
    world.settle("13:00").delete("14:00", &["w"]).unwrap();
    assert_eq!(world.state.owed_at(at("15:00")), named("0.30"));
    world.fail_start("15:00", "v").unwrap();
    // What comes back pays the hour of the other one.
    assert_eq!((world.state.owed_at(at("15:00")), world.state.balance()), (Usd::ZERO, Usd::ZERO));

    // Its time in a respite.
    let mut world = World::with_credit("25");
    world.start("12:30", "a", "vm100").unwrap();
    let rest = Command::Correct { amount: named("-24.50"), reason: "a loss".to_owned() };
    world.command("12:40", rest).unwrap();
    world.agree_to_refill("12:58", ("5", "25"), None).settle("13:00").settle("13:08");
    assert_eq!(world.state.owed, named("0.133333"));
    world.fail_start("13:11", "a").unwrap();
    assert_eq!((world.state.owed, world.state.balance()), (Usd::ZERO, named("0.50")));
}

#[test]
fn failed_restart_of_a_stopped_volume_pays_nothing_twice() {
    let mut world = World::with_credit("25");
    world.start("12:00", "v", "volume").unwrap().stop("12:30", &["v"]).unwrap();
    world.settle("13:00").skip_rows();
    world.restart("13:00", &["v"]).unwrap().stop("13:30", &["v"]).unwrap();
    world.fail_start("13:40", "v").unwrap().rows(&[
        "13:00:00 started -0.10 = 24.65 to 14:00:00",
        "13:30:00 stopped 0.05 = 24.70 to 14:00:00",
        "13:40:00 start_failed 0.05 = 24.75 to 14:00:00",
    ]);
    // Its hour as a stopped volume stays paid.
    world.delete("13:45", &["v"]).unwrap().rows(&["13:45:00 resources_deleted 0.025 = 24.775"]);
}

#[test]
fn failed_restart_of_a_volume_that_was_deleted_takes_nothing_of_what_it_had_paid() {
    // Stopped, the volume had paid $0.10 for the hour. Its start paid the other $0.10.
    for (deleted, failed, given) in
        [("13:00", "13:10", "0.00"), ("13:30", "13:40", "0.05"), ("13:30", "14:10", "0.05")]
    {
        let mut world = World::with_credit("25");
        world.start("12:00", "v", "volume").unwrap().stop("12:30", &["v"]).unwrap();
        world.settle("13:00").restart("13:00", &["v"]).unwrap();
        world.delete(deleted, &["v"]).unwrap();
        let before = world.state.balance();
        world.fail_start(failed, "v").unwrap();
        assert_eq!(world.state.balance() - before, named(given), "{deleted} {failed}");
        // As if it had been deleted without the start.
        let mut other = World::with_credit("25");
        other.start("12:00", "v", "volume").unwrap().stop("12:30", &["v"]).unwrap();
        other.settle("13:00").delete(deleted, &["v"]).unwrap();
        assert_eq!(world.state.balance(), other.state.balance(), "{deleted} {failed}");
    }
}

/// A volume that was stopped at 12:30 and has paid the hour from 13:00 on.
fn stopped_volume() -> World {
    let mut world = World::with_credit("25");
    world.start("12:00", "v", "volume").unwrap().stop("12:30", &["v"]).unwrap();
    world.settle("13:00");
    world
}

#[test]
fn failed_restart_leaves_the_balance_that_there_would_be_without_it() {
    // With another resource the period goes on.
    for other in [false, true] {
        let world = || {
            let mut world = stopped_volume();
            if other {
                world.start("13:00", "other", "vm60").unwrap();
            }
            world
        };
        let mut stopped_and_deleted = world();
        stopped_and_deleted.restart("13:00", &["v"]).unwrap().stop("13:10", &["v"]).unwrap();
        stopped_and_deleted.delete("13:20", &["v"]).unwrap().fail_start("13:30", "v").unwrap();
        let mut only_deleted = world();
        only_deleted.delete("13:20", &["v"]).unwrap();
        assert_eq!(stopped_and_deleted.state.balance(), only_deleted.state.balance(), "{other}");

        let suspend = |world: &mut World| {
            world.ask("13:10", |view| resolve::suspend(view, "a test")).unwrap();
        };
        let mut suspended = world();
        suspended.restart("13:00", &["v"]).unwrap();
        suspend(&mut suspended);
        suspended.fail_start("13:20", "v").unwrap();
        let mut only_suspended = world();
        suspend(&mut only_suspended);
        let more = suspended.state.balance() - only_suspended.state.balance();
        assert!((Usd::ZERO..=named("0.000001")).contains(&more), "{other}: rounded, {more}");
    }
}

#[test]
fn failed_start_takes_nothing_from_a_period_that_began_later() {
    let mut world = one_started();
    world.stop("12:40", &["a"]).unwrap();
    world.start("12:48", "b", "vm100").unwrap();
    world.fail_start("12:54", "a").unwrap().stop("12:54", &["b"]).unwrap();
    assert_eq!(world.state.balance(), named("24.90"), "six minutes of the other one");
}

#[test]
fn a_start_that_failed_long_ago_did_not_fail() {
    let mut world = World::with_credit("100");
    world.start("12:00", "a", "vm60").unwrap();
    let too_late = Refusal::StartTooLongAgo { resource: named("a"), started_at: at("12:00") };
    assert_eq!(world.fail_start("23T12:00:01", "a").err(), Some(too_late));
}

#[test]
fn volume_whose_restart_failed_is_billed_as_idle() {
    let mut world = World::with_credit("25");
    world.start("12:00", "v", "volume").unwrap();
    world.stop("12:30", &["v"]).unwrap();
    world.restart("13:00", &["v"]).unwrap();
    world.fail_start("13:30", "v").unwrap().rows(&[
        "12:00:00 started -0.20 = 24.80 to 13:00:00",
        "12:30:00 stopped 0.05 = 24.85 to 13:00:00",
        "13:00:00 usage -0.10 = 24.75 to 14:00:00",
        "13:00:00 started -0.10 = 24.65 to 14:00:00",
        "13:30:00 start_failed 0.10 = 24.75 to 14:00:00",
    ]);
    assert_eq!(world.list.resources[&named::<ResourceId>("v")].status, ResourceStatus::Stopped);
}

fn suspended_with_three_running(restart_policy: RestartPolicy) -> World {
    let mut world = World::with_credit("10");
    world.command("10:30", Command::ChooseRestartPolicy(restart_policy)).unwrap();
    for (time, id) in [("11:00", "c"), ("11:10", "a"), ("11:20", "b")] {
        world.start(time, id, "vm60").unwrap();
    }
    let rest = world.state.balance();
    let command = Command::Correct { amount: -rest, reason: "all".to_owned() };
    world.command("11:30", command).unwrap();
    world.settle("12:00");
    assert!(!is_good(&world));
    assert_eq!(world.state.billed.count(), 0);
    world
}

#[test]
fn suspended_resources_stay_off_until_started() {
    let mut world = suspended_with_three_running(RestartPolicy::StayOff);
    assert_eq!(world.restart("12:10", &["a"]).err(), Some(Refusal::Suspended));
    world.credit("12:20", "10");
    assert!(is_good(&world));
    assert_eq!(condition(&world, "a"), ResourceCondition::Suspended);
    world.settle("13:00").settle("14:00");
    assert_eq!(world.state.balance(), named("10"));
    world.restart("14:00", &["a", "b"]).unwrap();
    assert_eq!(
        (condition(&world, "a"), condition(&world, "c")),
        (ResourceCondition::Running, ResourceCondition::Suspended)
    );
}

#[test]
fn resume_restarts_oldest_first_within_credit() {
    let mut world = suspended_with_three_running(RestartPolicy::InOrder);
    world.credit("12:20", "1");
    assert_eq!(condition(&world, "c"), ResourceCondition::Suspended, "below what a start needs");
    let mut world = suspended_with_three_running(RestartPolicy::InOrder);
    world.shown_are_seen();
    world.credit("12:20", "10").rows(&[
        "12:20:00 topup 10.00 = 10.00",
        "12:20:00 resumed 0.00 = 10.00",
        "12:20:00 resumed 0.00 = 10.00 to 12:20:00",
        "12:20:00 usage -1.20 = 8.80 to 13:00:00",
    ]);
    world.settle("13:00").rows(&["13:00:00 usage -1.80 = 7.00 to 14:00:00"]);
}

#[test]
fn a_restart_leaves_credit_for_ten_minutes_beyond_the_hour() {
    // 120 machines of $0.60 cost $0.02 for the last second of the hour, and $12 for ten minutes.
    let mut world = World::with_credit("100");
    world.command("10:30", Command::ChooseRestartPolicy(RestartPolicy::InOrder)).unwrap();
    for batch in 0..3 {
        let new: Vec<_> = (0..40).map(|n| new(&format!("r{batch}-{n}"), "vm60")).collect();
        world
            .ask("11:50", |view| resolve::start_new(view, &project("acme"), &new, at("11:50")))
            .unwrap();
    }
    let rest = world.state.balance();
    world.command("11:59", Command::Correct { amount: -rest, reason: "all".to_owned() }).unwrap();
    world.settle("12:00");
    world.credit("12:59:59", "6");
    assert_eq!(world.state.billed.count(), 59, "as many as six dollars keep for ten minutes");
}

#[test]
fn resume_of_160_resources_pays_from_each_batchs_start() {
    let mut world = World::with_credit("100");
    world.command("10:30", Command::ChooseRestartPolicy(RestartPolicy::InOrder)).unwrap();
    for batch in 0..4 {
        let new: Vec<_> = (0..40).map(|n| new(&format!("r{batch}-{n}"), "vm60")).collect();
        world.policy.start_credit_min = Usd::ZERO;
        world
            .ask("11:59", |view| resolve::start_new(view, &project("acme"), &new, at("11:59")))
            .unwrap();
    }
    let rest = world.state.balance();
    world.command("11:59", Command::Correct { amount: -rest, reason: "all".to_owned() }).unwrap();
    world.settle("12:00").shown_are_seen();
    world.credit("12:30", "100").rows(&[
        "12:30:00 topup 100.00 = 100.00",
        "12:30:00 resumed 0.00 = 100.00",
        "12:30:00 resumed 0.00 = 100.00 to 12:30:00",
        "12:30:00 resumed 0.00 = 100.00 to 12:30:00",
        "12:30:00 usage -48.00 = 52.00 to 13:00:00",
    ]);
    assert_eq!(world.state.billed.count(), 160);
}

#[test]
fn stopping_a_suspended_resource_prevents_its_restart() {
    let mut world = suspended_with_three_running(RestartPolicy::InOrder);
    world.stop("12:10", &["a"]).unwrap();
    world.credit("12:20", "10");
    let conditions: Vec<_> = ["a", "b", "c"].iter().map(|id| condition(&world, id)).collect();
    assert_eq!(
        conditions,
        [ResourceCondition::Stopped, ResourceCondition::Running, ResourceCondition::Running]
    );
}

#[test]
fn credit_does_not_lift_a_suspension_by_staff() {
    let mut world = World::with_credit("25");
    world.start("12:00", "a", "vm60").unwrap();
    world.ask("12:30", |view| resolve::suspend(view, "mining")).unwrap();
    world.credit("12:40", "25").settle("30T00:00").rows(&[
        "12:00:00 started -0.60 = 24.40 to 13:00:00",
        "12:30:00 suspended 0.30 = 24.70 as of 12:30:00",
        "12:40:00 topup 25.00 = 49.70",
    ]);
    assert_eq!(world.restart("30T00:00", &["a"]).err(), Some(Refusal::SuspendedByStaff));
    world.ask("30T00:00", |view| resolve::resume(view, at("30T00:00"))).unwrap();
    world.restart("30T00:01", &["a"]).unwrap();
}

#[test]
fn idle_account_can_be_closed_and_still_takes_payments() {
    let mut world = World::with_credit("25");
    world.start("12:00", "a", "vm60").unwrap();
    let close = || Command::Close { reason: "moving on".to_owned() };
    assert_eq!(world.command("12:10", close()).err(), Some(Refusal::StillRunning { count: 1 }));
    world.delete("12:20", &["a"]).unwrap();
    world.command("12:30", close()).unwrap();
    assert_eq!(world.command("12:31", close()).err(), Some(Refusal::Closed));
    assert_eq!(world.start("12:40", "b", "vm60").err(), Some(Refusal::Closed));
    world.credit("12:50", "10");
    assert_eq!(world.state.balance(), named("34.80"));
    assert!(!is_good(&world));
    assert_eq!(world.restore("12:55", &["a"]).err(), Some(Refusal::Closed));
}

#[test]
fn customer_of_a_closed_account_is_erased_and_it_stays_closed() {
    let mut world = World::with_credit("25");
    let reason = || "asked by mail".to_owned();
    let erase = || Command::Erase { reason: reason() };
    let reopen = || Command::Reopen { reason: reason(), billed: BilledTotals::default() };
    assert_eq!(world.command("12:10", erase()).err(), Some(Refusal::NotClosed));
    let pending =
        PendingPayment { payment: named("pi_9"), amount: named("25"), expires_at: at("26T12:00") };
    world.command("12:20", Command::AwaitPayment(pending)).unwrap();
    world.command("12:30", Command::Close { reason: reason() }).unwrap();
    assert_eq!(world.command("12:40", erase()).err(), Some(Refusal::PaymentPending));
    let failed = Command::EndPayment { payment: named("pi_9"), how: PendingEnd::Failed };
    world.command("12:50", failed).unwrap();
    world.policy.row_format = RowFormat::new(5);
    assert_eq!(world.command("13:00", erase()).err(), Some(Refusal::NotClosed));
    world.policy.row_format = RowFormat::WRITTEN;
    // Once more, if the first request was not finished.
    for time in ["13:10", "13:20"] {
        world.command(time, erase()).unwrap();
    }
    assert_eq!(world.command("13:30", reopen()).err(), Some(Refusal::Erased));
    world.credit("13:40", "5");
    assert_eq!(world.state.balance(), named("30"), "a payment counts all the same");
}

#[test]
fn names_of_resources_stand_in_rows_of_older_formats_only() {
    let mut world = World::with_credit("25");
    world.start("12:00", "my-machine", "vm60").unwrap();
    let resource = world.list.resources[&named::<ResourceId>("my-machine")].clone();
    assert_eq!(resource.name, "my-machine", "its item has the name");
    let change = Change::Resource(ResourceChange::Created { resources: vec![resource] });
    let event = Event { change, ..world.events[0].clone() };
    for (format, has_name) in [(5, true), (6, false)] {
        let format = RowFormat::new(format);
        let row = encode(&named("acme"), &ChainHead::none(), &event, format).unwrap().stored.body;
        assert_eq!(row.contains("\"name\":\"my-machine\""), has_name, "{row}");
    }
}

#[test]
fn late_hours_are_billed_at_their_own_rate() {
    let run = |late: bool| {
        let mut world = World::with_credit("25");
        world.start("12:00", "a", "vm60").unwrap();
        let mut price = world.prices.at(&named("vm60"), at("12:00")).unwrap().clone();
        price.valid_from = at("14:00");
        price.rate = named("0.90");
        assert_eq!(world.prices.check(&price, at("12:30")), Ok(()));
        world.prices = world.prices.iter().cloned().chain([price]).collect();
        if !late {
            world.settle("13:00").settle("14:00");
        }
        world.settle("15:00");
        world.stop("15:00", &["a"]).unwrap();
        world.state.balance()
    };
    assert_eq!((run(false), run(true)), (named("22.90"), named("22.90")));
}

#[test]
fn ids_that_are_wrong_are_refused_one_by_one() {
    let mut world = World::with_credit("25");
    world.start("12:00", "a", "vm60").unwrap();
    let unknown = |id: &str| Some(Refusal::UnknownResource { resource: named(id) });
    assert_eq!(
        world.start("12:01", "a", "vm60").err(),
        Some(Refusal::ResourceExists { resource: named("a") })
    );
    assert_eq!(
        world.start("12:01", "b", "nothing").err(),
        Some(Refusal::UnknownSku { sku: named("nothing") })
    );
    assert!(matches!(world.start("12:01", "b", "tokens").err(), Some(Refusal::WrongUnit { .. })));
    assert_eq!(
        world.restart("12:01", &["a"]).err(),
        Some(Refusal::AlreadyRunning { resource: named("a") })
    );
    assert_eq!(world.restart("12:01", &["b"]).err(), unknown("b"));
    assert_eq!(world.stop("12:01", &["b"]).err(), unknown("b"));
    assert_eq!(world.delete("12:01", &["b"]).err(), unknown("b"));
    assert_eq!(
        world.restore("12:01", &["a"]).err(),
        Some(Refusal::NotDeleted { resource: named("a") })
    );
    assert_eq!(
        world.stop("12:01", &["a", "a"]).err(),
        Some(Refusal::NamedTwice { resource: named("a") })
    );
    assert_eq!(world.stop("12:01", &[]).err(), Some(Refusal::TooManyAtOnce { count: 0, max: 80 }));
    let foreign = world.ask("12:01", |view| {
        resolve::create(view, &project("other"), &[new("b", "vm60")], at("12:01"))
    });
    assert_eq!(foreign.err(), Some(Refusal::UnknownProject { project: named("p") }));
    let mut nameless = new("b", "vm60");
    nameless.name = " ".to_owned();
    let refused = world
        .ask("12:01", |view| resolve::create(view, &project("acme"), &[nameless], at("12:01")));
    assert_eq!(refused.err(), Some(Refusal::NameNotUsable { bytes_max: 128 }));
    world.delete("12:02", &["a"]).unwrap();
    assert_eq!(
        world.restart("12:03", &["a"]).err(),
        Some(Refusal::Deleted { resource: named("a") })
    );
    assert_eq!(
        world.delete("12:03", &["a"]).err(),
        Some(Refusal::Deleted { resource: named("a") })
    );
}
