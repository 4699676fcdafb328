//! Disputes that move the credit of a payment to what Stripe moved, as often as it changes.

use std::collections::BTreeSet;

use tollgate::domain::account::DisputePhase;
use tollgate::domain::command::{BonusGrant, Command};
use tollgate::domain::event::{CreditKind, Event, PaymentFacts, TakeBack};
use tollgate::domain::ids::PaymentId;
use tollgate::domain::money::Usd;
use tollgate::domain::payment_records::{RecordedTotals, TakenTotals};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::taken;
use tollgate::domain::row_format::RowFormat;

use crate::world::{World, at, named};

/// $100.00 of credit, $119.00 received with tax.
pub(crate) fn taxed() -> PaymentFacts {
    PaymentFacts { payment: named("pi_a"), credit: named("100"), received_cents: 11_900 }
}

/// A payment that came with a bonus.
pub(crate) fn paid(bonus: &str) -> World {
    let mut world = World::opened();
    let bonus = (!bonus.is_empty()).then(|| BonusGrant {
        amount: named(bonus),
        expires_at: at("30T00:00"),
        excludes: BTreeSet::new(),
    });
    world
        .command(
            "11:00",
            Command::Credit {
                payment: taxed(),
                kind: CreditKind::TopUp,
                plan: None,
                bonus,
                also: Vec::new(),
            },
        )
        .unwrap()
        .shown_are_seen();
    world
}

fn moved(world: &World, dispute: &str, cents: i64) -> Command {
    let (head, dispute) = (world.state.next_seq - 1, named(dispute));
    let before = world.recorded_dispute(&named("pi_a"), &dispute);
    Command::MoveDispute { head, dispute, of: taxed(), cents, before }
}

fn move_to(world: &mut World, time: &str, cents: i64) {
    let command = moved(world, "dp_1", cents);
    world.command(time, command).unwrap();
}

fn change(world: &mut World, time: &str, phase: DisputePhase) {
    let (head, payment): (_, PaymentId) = (world.state.next_seq - 1, named("pi_a"));
    let dispute = named("dp_1");
    let before = world.recorded_dispute(&payment, &dispute);
    let command = Command::ChangeDispute { head, dispute, payment, phase, before };
    world.command(time, command).unwrap();
}

fn refund(world: &mut World, time: &str, id: &str, cents: i64) {
    let by = TakeBack::Refund(named(id));
    let before = RecordedTotals::default();
    world.command(time, Command::TakeBack { by, of: taxed(), cents, before }).unwrap();
}

/// The refund failed.
fn fail_refund(world: &mut World, time: &str, id: &str, cents: i64) {
    let is_refund = |event: &Event| event.change.name() == "refund";
    let row = world.events.iter().position(is_refund).expect("it was refunded");
    let taken = taken(&world.events[row], &world.states[row - 1]);
    let by = TakeBack::Refund(named(id));
    let before = RecordedTotals::default();
    world.command(time, Command::GiveBack { by, of: taxed(), cents, taken, before }).unwrap();
}

#[test]
fn dispute_moves_money_as_often_as_it_changes() {
    let mut world = paid("");
    change(&mut world, "11:10", DisputePhase::Open);
    move_to(&mut world, "11:11", 11_900);
    change(&mut world, "11:20", DisputePhase::Lost);
    assert!(!world.state.frozen.is_empty());
    move_to(&mut world, "11:30", 5_950);
    move_to(&mut world, "11:40", 0);
    change(&mut world, "11:41", DisputePhase::Over);
    assert!(world.state.frozen.is_empty());
    change(&mut world, "11:50", DisputePhase::Lost);
    move_to(&mut world, "11:51", 11_900);
    assert!(!world.state.frozen.is_empty());
    move_to(&mut world, "11:55", 0);
    change(&mut world, "11:56", DisputePhase::Over);
    world.rows(&[
        "11:10:00 dispute_opened 0.00 = 100.00",
        "11:11:00 dispute -100.00 = 0.00",
        "11:11:00 suspended 0.00 = 0.00 as of 11:11:00",
        "11:20:00 dispute_closed 0.00 = 0.00",
        "11:30:00 dispute_reversed 50.00 = 50.00",
        "11:40:00 dispute_reversed 50.00 = 100.00",
        "11:41:00 dispute_closed 0.00 = 100.00",
        "11:41:00 resumed 0.00 = 100.00",
        "11:50:00 dispute_closed 0.00 = 100.00",
        "11:51:00 dispute -100.00 = 0.00",
        "11:51:00 suspended 0.00 = 0.00 as of 11:51:00",
        "11:55:00 dispute_reversed 100.00 = 100.00",
        "11:56:00 dispute_closed 0.00 = 100.00",
        "11:56:00 resumed 0.00 = 100.00",
    ]);
    assert_eq!((world.state.disputes.len(), world.state.taken_back.len()), (0, 0));
}

#[test]
fn parts_of_a_dispute_add_up_to_the_micro_dollar() {
    let mut world = paid("");
    for cents in [3_333, 6_666, 1, 11_899, 11_900, 7, 0] {
        move_to(&mut world, "11:10", cents);
        let taken = Usd::dollars(100).pro_rata(cents, 11_900);
        assert_eq!(world.state.balance(), Usd::dollars(100) - taken, "{cents}");
    }
}

#[test]
fn refund_and_dispute_of_a_payment_take_its_credit_once() {
    for refund_first in [true, false] {
        let mut world = paid("");
        if refund_first {
            refund(&mut world, "11:05", "re_1", 5_950);
        }
        move_to(&mut world, "11:10", 11_900);
        if !refund_first {
            refund(&mut world, "11:15", "re_1", 5_950);
        }
        assert_eq!(world.state.balance(), Usd::ZERO, "refund first: {refund_first}");
        // The dispute is won, and the refund remains. Then the refund fails as well.
        move_to(&mut world, "11:20", 0);
        assert_eq!(world.state.balance(), named("50"), "refund first: {refund_first}");
        fail_refund(&mut world, "11:30", "re_1", 5_950);
        assert_eq!(world.state.balance(), named("100"), "refund first: {refund_first}");
        let recorded = world.recorded(&named("pi_a")).taken;
        assert_eq!(recorded, Some(TakenTotals::default()));
    }
}

#[test]
fn failed_refund_of_a_disputed_payment_returns_nothing() {
    let mut world = paid("");
    move_to(&mut world, "11:10", 11_900);
    refund(&mut world, "11:15", "re_1", 11_900);
    fail_refund(&mut world, "11:20", "re_1", 11_900);
    assert_eq!(world.state.balance(), Usd::ZERO);
    move_to(&mut world, "11:30", 0);
    world.rows(&[
        "11:10:00 dispute -100.00 = 0.00",
        "11:10:00 suspended 0.00 = 0.00 as of 11:10:00",
        "11:15:00 refund 0.00 = 0.00",
        "11:20:00 refund_reversed 0.00 = 0.00",
        "11:30:00 dispute_reversed 100.00 = 100.00",
        "11:30:00 resumed 0.00 = 100.00",
    ]);
}

#[test]
fn second_dispute_of_a_payment_takes_what_is_left() {
    let mut world = paid("");
    move_to(&mut world, "11:10", 8_000);
    let second = moved(&world, "dp_2", 8_000);
    world.command("11:20", second).unwrap();
    assert_eq!(world.state.balance(), Usd::ZERO);
    move_to(&mut world, "11:30", 0);
    assert_eq!(
        world.state.balance(),
        Usd::dollars(100) - Usd::dollars(100).pro_rata(8_000, 11_900)
    );
    let second = moved(&world, "dp_2", 0);
    world.command("11:40", second).unwrap();
    assert_eq!(world.state.balance(), named("100"));
}

#[test]
fn dispute_takes_the_bonus_and_returns_it_until_it_expires() {
    let mut world = paid("20");
    move_to(&mut world, "11:10", 11_900);
    assert_eq!((world.state.balance(), world.state.grants.len()), (Usd::ZERO, 0));
    move_to(&mut world, "11:20", 5_950);
    assert_eq!((world.state.paid, world.state.grants[0].remaining), (named("50"), named("10")));
    move_to(&mut world, "11:30", 11_900);
    move_to(&mut world, "11:40", 0);
    assert_eq!((world.state.paid, world.state.grants[0].remaining), (named("100"), named("20")));
    move_to(&mut world, "11:50", 11_900);
    move_to(&mut world, "30T00:00", 0);
    assert_eq!((world.state.balance(), world.state.grants.len()), (named("100"), 0));
}

#[test]
fn dispute_read_before_another_row_is_refused() {
    let mut world = paid("");
    let stale = moved(&world, "dp_1", 11_900);
    move_to(&mut world, "11:10", 0);
    assert_eq!(world.command("11:20", stale).err(), Some(Refusal::AccountChanged));
}

#[test]
fn staff_unfreezes_a_lost_dispute_until_its_status_changes() {
    let mut world = paid("");
    change(&mut world, "11:10", DisputePhase::Lost);
    world.command("11:20", Command::Unfreeze { reason: "forgiven".to_owned() }).unwrap();
    assert!(world.state.frozen.is_empty());
    let known = world.recorded_dispute(&named("pi_a"), &named("dp_1"));
    assert_eq!(known.phase, Some(DisputePhase::Lost), "a repeated event changes nothing");
}

#[test]
fn state_stays_small_however_many_payments_are_taken_back() {
    let mut world = World::opened();
    let size = |world: &World| serde_json::to_string(&world.state).unwrap().len();
    let (mut before, mut now) = (0, at("11:00"));
    for number in 0..200 {
        let time = |minutes: i64| now.plus(60 * minutes).to_string();
        let payment: PaymentId = named(&format!("pi_{number:03}"));
        let of = PaymentFacts { payment: payment.clone(), ..taxed() };
        let credit = Command::Credit {
            payment: of,
            kind: CreditKind::TopUp,
            plan: None,
            bonus: None,
            also: Vec::new(),
        };
        world.command(&time(0), credit).unwrap();
        let of = PaymentFacts { payment: payment.clone(), ..taxed() };
        let (by, before_it) =
            (TakeBack::Refund(named(&format!("re_{number:03}"))), world.recorded(&payment));
        let refund = Command::TakeBack { by, of: of.clone(), cents: 1_190, before: before_it };
        world.command(&time(1), refund).unwrap();
        let dispute = named(&format!("dp_{number:03}"));
        let (head, before_it) =
            (world.state.next_seq - 1, world.recorded_dispute(&payment, &dispute));
        let lost = Command::MoveDispute { head, dispute, of, cents: 10_710, before: before_it };
        world.command(&time(2), lost).unwrap();
        assert_eq!(world.recorded(&payment).taken.map(|taken| taken.cents), Some(11_900));
        if number == 0 {
            before = size(&world);
        }
        now = now.plus(180);
    }
    // Row numbers have three digits now, and nothing else is larger.
    assert!(size(&world) <= before + 4, "{} bytes, {before} at first", size(&world));
}

#[test]
fn totals_of_older_rows_move_to_items_and_stay_there() {
    let mut world = paid("20");
    world.policy.row_format = RowFormat::new(4);
    change(&mut world, "11:01", DisputePhase::Open);
    move_to(&mut world, "11:02", 5_950);
    refund(&mut world, "11:03", "re_1", 1_190);
    assert_eq!((world.state.taken_back.len(), world.state.disputes.len()), (1, 1));
    let before = world.recorded_dispute(&named("pi_a"), &named("dp_1"));
    assert!(!before.in_items);

    world.policy.row_format = RowFormat::new(5);
    change(&mut world, "11:10", DisputePhase::Lost);
    assert_eq!((world.state.taken_back.len(), world.state.disputes.len()), (0, 0));
    let after = world.recorded_dispute(&named("pi_a"), &named("dp_1"));
    assert!(after.in_items && after.phase == Some(DisputePhase::Lost));
    assert_eq!(
        (after.dispute_cents, after.payment_cents, after.payment_credit),
        (before.dispute_cents, before.payment_cents, before.payment_credit)
    );
    assert_eq!(after.grants, before.grants);

    // The release was rolled back: what stands in items is not taken a second time.
    world.policy.row_format = RowFormat::new(4);
    refund(&mut world, "11:20", "re_2", 4_760);
    assert_eq!(world.state.taken_back, []);
    assert_eq!(world.recorded(&named("pi_a")).taken.map(|taken| taken.credit), Some(named("100")));
    assert_eq!(world.state.balance(), Usd::ZERO);
    move_to(&mut world, "11:30", 0);
    fail_refund(&mut world, "11:31", "re_1", 1_190);
    // Of $100.00 and the bonus of $20.00, the second refund takes 40 %.
    assert_eq!(world.state.balance(), named("72"));
    assert_eq!(world.state.disputes, []);
}
