//! Disputes that move the credit of a payment to what Stripe moved, as often as it changes.

use std::collections::BTreeSet;

use tollgate::domain::account::DisputePhase;
use tollgate::domain::command::{BonusGrant, Command, TakenForDispute};
use tollgate::domain::event::{CreditKind, PaymentFacts, TakeBack};
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::taken;

use crate::world::{World, at, named};

/// $100.00 of credit, $119.00 received with tax.
fn taxed() -> PaymentFacts {
    PaymentFacts { payment: named("pi_a"), credit: named("100"), received_cents: 11_900 }
}

/// A payment that came with a bonus.
fn paid(bonus: &str) -> World {
    let mut world = World::opened();
    let bonus = (!bonus.is_empty()).then(|| BonusGrant {
        amount: named(bonus),
        expires_at: at("30T00:00"),
        excludes: BTreeSet::new(),
    });
    world
        .command(
            "11:00",
            Command::Credit { payment: taxed(), kind: CreditKind::TopUp, bonus, also: Vec::new() },
        )
        .unwrap()
        .shown_are_seen();
    world
}

fn moved(world: &World, dispute: &str, cents: i64) -> Command {
    let (head, dispute) = (world.state.next_seq - 1, named(dispute));
    let known = world.state.dispute(&dispute);
    let (payment_cents, payment_credit) =
        world.state.taken_back_of(&named("pi_a")).unwrap_or((0, Usd::ZERO));
    let before = TakenForDispute {
        dispute_cents: known.map_or(0, |known| known.cents),
        grants: known.map(|known| known.grants.clone()).unwrap_or_default(),
        payment_cents,
        payment_credit,
    };
    Command::MoveDispute { head, dispute, of: taxed(), cents, before }
}

fn move_to(world: &mut World, time: &str, cents: i64) {
    let command = moved(world, "dp_1", cents);
    world.command(time, command).unwrap();
}

fn change(world: &mut World, time: &str, phase: DisputePhase) {
    let (head, payment) = (world.state.next_seq - 1, named("pi_a"));
    let command = Command::ChangeDispute { head, dispute: named("dp_1"), payment, phase };
    world.command(time, command).unwrap();
}

fn refund(world: &mut World, time: &str, id: &str, cents: i64) {
    let by = TakeBack::Refund(named(id));
    world.command(time, Command::TakeBack { by, of: taxed(), cents }).unwrap();
}

/// The refund in the row with this number failed.
fn fail_refund(world: &mut World, time: &str, id: &str, row: usize, cents: i64) {
    let taken = taken(&world.events[row], &world.states[row - 1]);
    let by = TakeBack::Refund(named(id));
    world.command(time, Command::GiveBack { by, of: taxed(), cents, taken }).unwrap();
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
        "11:20:00 dispute_closed 0.00 = 0.00",
        "11:30:00 dispute_reversed 50.00 = 50.00",
        "11:40:00 dispute_reversed 50.00 = 100.00",
        "11:41:00 dispute_closed 0.00 = 100.00",
        "11:50:00 dispute_closed 0.00 = 100.00",
        "11:51:00 dispute -100.00 = 0.00",
        "11:55:00 dispute_reversed 100.00 = 100.00",
        "11:56:00 dispute_closed 0.00 = 100.00",
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
        let row = if refund_first { 2 } else { 3 };
        assert_eq!(world.state.balance(), Usd::ZERO, "refund first: {refund_first}");
        // The dispute is won, and the refund remains. Then the refund fails as well.
        move_to(&mut world, "11:20", 0);
        assert_eq!(world.state.balance(), named("50"), "refund first: {refund_first}");
        fail_refund(&mut world, "11:30", "re_1", row, 5_950);
        assert_eq!(world.state.balance(), named("100"), "refund first: {refund_first}");
        assert_eq!(world.state.taken_back, []);
    }
}

#[test]
fn failed_refund_of_a_disputed_payment_returns_nothing() {
    let mut world = paid("");
    move_to(&mut world, "11:10", 11_900);
    refund(&mut world, "11:15", "re_1", 11_900);
    fail_refund(&mut world, "11:20", "re_1", 3, 11_900);
    assert_eq!(world.state.balance(), Usd::ZERO);
    move_to(&mut world, "11:30", 0);
    world.rows(&[
        "11:10:00 dispute -100.00 = 0.00",
        "11:15:00 refund 0.00 = 0.00",
        "11:20:00 refund_reversed 0.00 = 0.00",
        "11:30:00 dispute_reversed 100.00 = 100.00",
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
    let known = world.state.dispute(&named("dp_1")).unwrap();
    assert_eq!(known.phase, Some(DisputePhase::Lost), "a repeated event changes nothing");
}
