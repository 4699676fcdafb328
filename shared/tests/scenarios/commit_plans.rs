//! Commit plans: what was paid never expires, the bonus does, and a refund takes both back.

use std::collections::BTreeSet;

use tollgate::domain::command::{BonusGrant, Command};
use tollgate::domain::event::{CreditKind, PaymentFacts, TakeBack};
use tollgate::domain::payment_records::RecordedTotals;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::row_format::RowFormat;

use crate::world::{World, at, named};

/// $100.00 of credit, $119.00 received with tax.
fn plan() -> PaymentFacts {
    PaymentFacts { payment: named("pi_plan"), credit: named("100"), received_cents: 11_900 }
}

fn credit(bonus: Option<BonusGrant>) -> Command {
    let (kind, plan_id) = (CreditKind::Commit, Some(named("year")));
    Command::Credit { payment: plan(), kind, plan: plan_id, bonus, also: Vec::new() }
}

/// The plan, with a bonus of $20.00 that lasts until the time.
fn bought(until: &str, excludes: &[&str]) -> World {
    let mut world = World::opened();
    let bonus = BonusGrant {
        amount: named("20"),
        expires_at: at(until),
        excludes: excludes.iter().map(|sku| named(sku)).collect(),
    };
    world.command("10:00", credit(Some(bonus))).unwrap();
    world.rows(&["10:00:00 commit 120.00 = 120.00"]);
    world
}

/// A part of the payment goes back.
fn refund(world: &mut World, time: &str, id: &str, cents: i64) {
    let before = RecordedTotals::default();
    let by = TakeBack::Refund(named(id));
    world.command(time, Command::TakeBack { by, of: plan(), cents, before }).unwrap();
}

/// What is left of the plan: paid credit, and the bonus.
#[track_caller]
fn left(world: &World, paid: &str, bonus: &str) {
    let of_bonus: tollgate::domain::money::Usd =
        world.state.grants.iter().map(|grant| grant.remaining).sum();
    assert_eq!((world.state.paid, of_bonus), (named(paid), named(bonus)));
}

const HALF: i64 = 5_950;

#[test]
fn refund_after_spending_takes_same_share_of_bonus_left() {
    let mut world = bought("30T00:00", &[]);
    world.start("10:00", "a", "x").unwrap().stop("18:00", &["a"]).unwrap();
    left(&world, "100", "12");
    refund(&mut world, "18:10", "re_1", HALF);
    left(&world, "50", "6");
    refund(&mut world, "18:20", "re_2", HALF);
    left(&world, "0", "0");
}

#[test]
fn refund_before_spending_leaves_same_share_of_bonus() {
    let mut world = bought("30T00:00", &[]);
    refund(&mut world, "10:00", "re_1", HALF);
    left(&world, "50", "10");
    world.start("10:00", "a", "x").unwrap().stop("18:00", &["a"]).unwrap();
    left(&world, "50", "2");
    refund(&mut world, "18:20", "re_2", HALF);
    left(&world, "0", "0");
}

#[test]
fn refund_takes_no_paid_credit_for_spent_or_expired_bonus() {
    let mut spent = bought("30T00:00", &[]);
    spent.start("10:00", "a", "x").unwrap().stop("23T10:00", &["a"]).unwrap();
    left(&spent, "96", "0");
    refund(&mut spent, "23T10:10", "re_1", HALF);
    left(&spent, "46", "0");

    let mut expired = bought("12:00", &[]);
    expired.settle("12:00").skip_rows();
    left(&expired, "100", "0");
    refund(&mut expired, "12:10", "re_1", HALF);
    refund(&mut expired, "12:20", "re_2", HALF);
    left(&expired, "0", "0");
}

#[test]
fn bonus_expires_after_a_refund_without_what_went_back() {
    let mut world = bought("12:00", &[]);
    refund(&mut world, "11:00", "re_1", HALF);
    world
        .settle("12:00")
        .rows(&["11:00:00 refund -60.00 = 60.00", "12:00:00 expired -10.00 = 50.00"]);
    left(&world, "50", "0");
}

#[test]
fn refund_during_use_takes_prepaid_bonus_time() {
    let mut world = bought("30T00:00", &[]);
    world.start("10:00", "a", "vm120").unwrap();
    refund(&mut world, "10:10", "re_1", 11_900);
    // The hour was paid with the bonus, and its rest comes back to nobody.
    world.stop("10:30", &["a"]).unwrap();
    left(&world, "0", "0");
}

#[test]
fn excluded_skus_are_paid_with_the_credit_of_the_plan() {
    let mut world = bought("30T00:00", &["x"]);
    world.start("10:00", "a", "x").unwrap().start("10:00", "b", "vm100").unwrap();
    left(&world, "99", "19");
}

#[test]
fn row_says_which_plan_was_bought_from_format_six_on() {
    for (format, expected) in [(6, Some("year")), (5, None)] {
        let mut world = World::opened();
        world.policy.row_format = RowFormat::new(format);
        world.command("10:00", credit(None)).unwrap();
        let written = serde_json::to_value(&world.events.last().unwrap().change).unwrap();
        assert_eq!(written["credited"]["plan"].as_str(), expected, "{format}: {written}");
    }
}

/// Each grant stands in every row.
#[test]
fn paid_plan_beyond_twenty_grants_is_credited() {
    let mut world = World::with_credit("10");
    for _ in 0..20 {
        world.grant("10:00", "1", "12:00", &[]);
    }
    let bonus =
        || BonusGrant { amount: named("1"), expires_at: at("23T00:00"), excludes: BTreeSet::new() };
    let grant = || Command::Grant { bonus: bonus(), reason: "one more".to_owned() };
    let refused = world.command("10:00", grant()).map(drop);
    assert_eq!(refused, Err(Refusal::TooManyGrants { max: 20 }));
    assert!(world.state.check_another_grant(at("10:00")).is_err());
    world.command("10:00", credit(Some(bonus()))).unwrap();
    assert_eq!(world.state.grants.len(), 21);
    world.command("12:00", grant()).unwrap();
    assert_eq!(world.state.grants.len(), 2);
}
