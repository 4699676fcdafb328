//! Refusals in their order of precedence: everything that could be wrong at once, put right one by
//! one.

use std::collections::BTreeSet;

use tollgate::domain::account::AccountState;
use tollgate::domain::command::{BonusGrant, Command};
use tollgate::domain::decide::decide;
use tollgate::domain::event::{Cause, CreditKind, PaymentFacts};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::start_new;

use crate::world::{World, at, named, new, project};

/// Resolves a start of `sku` now and decides it at `time`, without settling.
fn start_without_settling(world: &World, time: &str, sku: &str) -> Option<Refusal> {
    let command = start_new(&world.view(), &project("acme"), &[new("new", sku)], at(time)).unwrap();
    decide(&world.state, &command, Cause::Command, &world.policy, at(time)).err()
}

#[test]
fn a_start_is_refused_for_the_first_reason_that_applies() {
    let world = World::opened();
    let command =
        start_new(&world.view(), &project("acme"), &[new("new", "app")], at("11:00")).unwrap();
    let unopened =
        decide(&AccountState::default(), &command, Cause::Command, &world.policy, at("11:00"));
    assert_eq!(unopened.err(), Some(Refusal::AccountNotOpen));

    // Wrong all at once: before the last row, unsettled, frozen, suspended by staff, and with no
    // credit.
    let mut world = World::with_credit("5.00");
    world.start("11:00", "a", "vm100").unwrap();
    world
        .command("11:10", Command::Correct { amount: named("-4"), reason: "all".to_owned() })
        .unwrap();
    world.command("11:10", Command::Freeze { reason: "odd".to_owned() }).unwrap();
    let before = Refusal::TimeBeforeLastRow { now: at("11:09:59"), last: at("11:10") };
    assert_eq!(start_without_settling(&world, "11:09:59", "app"), Some(before));
    let unsettled = Refusal::NotSettled { paid_through: at("12:00") };
    assert_eq!(start_without_settling(&world, "12:00", "app"), Some(unsettled));
    world.settle("12:00");
    assert_eq!(start_without_settling(&world, "12:00", "app"), Some(Refusal::Frozen));
    world.command("12:01", Command::Unfreeze { reason: "fine".to_owned() }).unwrap();
    assert_eq!(start_without_settling(&world, "12:01", "app"), Some(Refusal::Suspended));
    world.credit("12:02", "4.99");
    let too_low = |required: &str, available: &str| {
        Some(Refusal::CreditTooLow { required: named(required), available: named(available) })
    };
    assert_eq!(start_without_settling(&world, "12:02", "app"), too_low("5", "4.99"));
    world.credit("12:03", "0.01");
    assert_eq!(start_without_settling(&world, "12:03", "app"), None);
}

#[test]
fn start_needs_five_dollars_or_its_cost_if_higher() {
    let mut world = World::with_credit("4.99");
    let refused = world.start("11:00", "a", "app").err();
    assert_eq!(
        refused,
        Some(Refusal::CreditTooLow { required: named("5"), available: named("4.99") })
    );
    assert_eq!(world.state.next_seq, 2, "nothing was written");
    world.policy.start_credit_min = named("0");
    world.credit("11:00", "0.01");
    world.start("11:00", "a", "vm100").unwrap();
}

#[test]
fn a_start_waits_for_a_refill_that_decides_about_the_suspension() {
    let mut world = World::opened();
    world.grant("11:00", "50", "30T00:00", &["x"]);
    world.credit("11:00", "5");
    world.agree_to_refill("11:00", ("10", "25"), None);
    world.start("11:00", "x", "x").unwrap();
    world
        .command("11:59", Command::Correct { amount: named("-4"), reason: "all".to_owned() })
        .unwrap();
    world.agree_to_refill("11:59:59", ("100", "25"), None);
    world.settle("12:05");
    let waits = Refusal::RefillInProgress { until: at("12:09:59") };
    assert_eq!(world.start("12:05", "vm", "vm60").err(), Some(waits));
    world.stop("12:06", &["x"]).unwrap();
    world.start("12:07", "vm", "vm60").unwrap();
}

#[test]
fn an_account_is_opened_once() {
    let mut world = World::opened();
    assert_eq!(world.command("10:00", Command::Open).err(), Some(Refusal::AccountAlreadyOpen));
}

#[test]
fn unopened_account_gets_neither_bonus_nor_credit() {
    let world = World::opened();
    let payment = PaymentFacts { payment: named("pi_a"), credit: named("5"), received_cents: 500 };
    let credit = Command::Credit {
        payment,
        kind: CreditKind::TopUp,
        plan: None,
        bonus: None,
        also: Vec::new(),
    };
    let bonus =
        BonusGrant { amount: named("5"), expires_at: at("30T00:00"), excludes: BTreeSet::new() };
    for command in [credit, Command::Grant { bonus, reason: "hi".to_owned() }] {
        let refused =
            decide(&AccountState::default(), &command, Cause::Command, &world.policy, at("11:00"))
                .err();
        assert_eq!(refused, Some(Refusal::AccountNotOpen));
    }
}
