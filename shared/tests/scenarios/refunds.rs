//! Refunds by staff: the credit goes first, and comes back if Stripe refuses.

use tollgate::domain::account::{DisputePhase, OpenRefund};
use tollgate::domain::command::{Command, RefundTerms};
use tollgate::domain::decide::REASON_BYTES_MAX;
use tollgate::domain::event::{StaffRefund, TakeBack};
use tollgate::domain::payment_records::TakenTotals;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::taken;
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::settle::due::due_at;

use crate::disputes::{paid, taxed};
use crate::world::{World, at, named};

fn terms(amount: Option<&str>, reason: &str) -> RefundTerms {
    let (payment, amount) = (named("pi_a"), amount.map(named));
    let (reason, may_leave_debt) = (reason.to_owned(), false);
    RefundTerms { payment, amount, reason, may_leave_debt, payment_max: None }
}

fn begin(world: &mut World, time: &str, amount: Option<&str>) -> Result<u64, Refusal> {
    begin_with(world, time, terms(amount, "too much"))
}

fn begin_with(world: &mut World, time: &str, terms: RefundTerms) -> Result<u64, Refusal> {
    world.settle(time);
    let (of, before) = (taxed(), world.recorded(&named("pi_a")));
    let number = world.state.next_seq;
    world.command(time, Command::BeginRefund { of, terms, before })?;
    Ok(number)
}

fn confirm(world: &mut World, time: &str, number: u64, refund: &str) -> Result<(), Refusal> {
    let (refund, payment) = (named(refund), named("pi_a"));
    world.command(time, Command::ConfirmRefund { number, refund, payment }).map(|_| ())
}

fn undo(world: &mut World, time: &str, number: u64) -> Result<(), Refusal> {
    let place = usize::try_from(number).unwrap();
    let taken = taken(&world.events[place], &world.states[place - 1]).unwrap();
    let (of, before) = (taxed(), world.recorded(&named("pi_a")));
    let refund =
        StaffRefund { number, payment: named("pi_a"), reason: "charge_disputed".to_owned() };
    world.command(time, Command::UndoRefund { refund, of, taken, before }).map(|_| ())
}

#[test]
fn parts_take_their_credit_and_add_up() {
    let mut world = paid("");
    let first = begin(&mut world, "11:10", Some("33.33")).unwrap();
    let second = begin(&mut world, "11:20", Some("33.33")).unwrap();
    confirm(&mut world, "11:21", second, "re_2").unwrap();
    let third = begin(&mut world, "11:30", None).unwrap();
    undo(&mut world, "11:31", first).unwrap();
    confirm(&mut world, "11:32", third, "re_3").unwrap();
    world.rows(&[
        // 39.66 of 119.00 went back: rounded down to whole cents of the payment.
        "11:10:00 refund_pending -33.327731 = 66.672269",
        "11:20:00 refund_pending -33.327731 = 33.344538",
        "11:21:00 refund_sent 0.00 = 33.344538",
        "11:30:00 refund_pending -33.344538 = 0.00",
        "11:30:00 suspended 0.00 = 0.00 as of 11:30:00",
        "11:31:00 refund_failed 33.327731 = 33.327731",
        "11:31:00 resumed 0.00 = 33.327731",
        "11:32:00 refund_sent 0.00 = 33.327731",
    ]);
    assert_eq!(world.state.open_refunds, []);
    let taken = world.recorded(&named("pi_a")).taken;
    assert_eq!(taken, Some(TakenTotals { cents: 11_900 - 3_966, credit: named("66.672269") }));
}

#[test]
fn bonus_of_the_payment_goes_and_returns_in_proportion() {
    let mut world = paid("20");
    let number = begin(&mut world, "11:10", Some("50")).unwrap();
    assert_eq!((world.state.paid, world.state.balance()), (named("50"), named("60")));
    undo(&mut world, "11:11", number).unwrap();
    assert_eq!((world.state.paid, world.state.balance()), (named("100"), named("120")));
}

/// The Dashboard refunded all of the payment meanwhile, and the bonus with it.
#[test]
fn bonus_of_a_refused_refund_stays_with_another_refund() {
    for (dashboard, credit, balance) in [(11_900, "0", "0"), (8_925, "25", "30")] {
        let mut world = paid("20");
        let number = begin(&mut world, "11:10", Some("50")).unwrap();
        let (by, of) = (TakeBack::Refund(named("re_1")), taxed());
        let before = world.recorded(&named("pi_a"));
        let command = Command::TakeBack { by, of, cents: dashboard, before };
        world.command("11:11", command).unwrap();
        undo(&mut world, "11:12", number).unwrap();
        let (paid, all) = (named(credit), named(balance));
        assert_eq!((world.state.paid, world.state.balance()), (paid, all), "{dashboard}");
    }
}

#[test]
fn refund_ends_once() {
    let mut world = paid("");
    let number = begin(&mut world, "11:10", Some("50")).unwrap();
    let open = OpenRefund { number, begun_at: at("11:10") };
    assert_eq!(world.state.open_refunds, [open]);
    assert_eq!(due_at(&world.state, &world.policy), Some(at("11:12")));
    confirm(&mut world, "11:11", number, "re_1").unwrap();
    assert_eq!(due_at(&world.state, &world.policy), None);
    let not_open = Err(Refusal::RefundNotOpen { number });
    assert_eq!(confirm(&mut world, "11:12", number, "re_1"), not_open);
    assert_eq!(undo(&mut world, "11:12", number), not_open);
    // Its event comes as any refund's, and takes nothing again.
    let (by, of) = (TakeBack::Refund(named("re_1")), taxed());
    let before = world.recorded(&named("pi_a"));
    let rows = world.events.len();
    world.command("11:13", Command::TakeBack { by, of, cents: 5_950, before }).unwrap();
    assert_eq!((world.events.len(), world.state.balance()), (rows, named("50")));
}

#[test]
fn no_more_goes_back_than_is_left_and_available() {
    let mut world = paid("");
    let too_large = |max: &str| Err(Refusal::AmountTooLarge { max: named(max) });
    assert_eq!(begin(&mut world, "11:10", Some("100.01")), too_large("100"));
    begin(&mut world, "11:10", Some("40")).unwrap();
    assert_eq!(begin(&mut world, "11:11", Some("60.01")), too_large("60"));
    world.start("12:00", "a", "vm100").unwrap();
    let above = Refusal::RefundAboveCredit { credit: named("60"), available: named("59") };
    assert_eq!(begin(&mut world, "12:01", None), Err(above));
    let terms = RefundTerms { may_leave_debt: true, ..terms(None, "goodwill") };
    begin_with(&mut world, "12:02", terms).unwrap();
    assert_eq!(world.state.balance(), named("-1"));
    assert_eq!(begin(&mut world, "12:03", None), Err(Refusal::NothingLeftToRefund));
}

#[test]
fn support_refunds_no_more_of_a_payment_than_its_limit() {
    let mut world = paid("");
    let limited = |amount| RefundTerms { payment_max: Some(named("60")), ..terms(amount, "late") };
    let above = |left: &str| Err(Refusal::SupportPaymentLimit { left: named(left) });
    assert_eq!(begin_with(&mut world, "11:10", limited(Some("60.01"))), above("60"));
    begin_with(&mut world, "11:10", limited(Some("40"))).unwrap();
    assert_eq!(begin_with(&mut world, "11:11", limited(Some("20.01"))), above("20"));
    begin_with(&mut world, "11:11", limited(Some("20"))).unwrap();
    assert_eq!(begin_with(&mut world, "11:12", limited(Some("0.01"))), above("0"));
    begin_with(&mut world, "11:13", terms(None, "the rest, by somebody else")).unwrap();
}

#[test]
fn what_was_disputed_is_not_left_to_refund() {
    let mut world = paid("");
    let (dispute, payment) = (named("dp_1"), named("pi_a"));
    let head = world.state.next_seq - 1;
    let before = world.recorded_dispute(&payment, &dispute);
    let command = Command::MoveDispute { head, dispute, of: taxed(), cents: 5_950, before };
    world.command("11:10", command).unwrap();
    let too_large = Err(Refusal::AmountTooLarge { max: named("50") });
    assert_eq!(begin(&mut world, "11:11", Some("50.01")), too_large);
    begin(&mut world, "11:12", None).unwrap();
    assert_eq!(world.state.balance(), named("0"));
    let (dispute, payment) = (named("dp_1"), named("pi_a"));
    let before = world.recorded_dispute(&payment, &dispute);
    let head = world.state.next_seq - 1;
    let phase = DisputePhase::Open;
    let command = Command::ChangeDispute { head, dispute, payment, phase, before };
    world.command("11:13", command).unwrap();
}

#[test]
fn held_credit_stays_for_what_it_is_held_for() {
    let mut world = paid("");
    world.hold("11:05", "30", 10).unwrap();
    let above = Refusal::RefundAboveCredit { credit: named("100"), available: named("70") };
    assert_eq!(begin(&mut world, "11:06", None), Err(above));
    begin(&mut world, "11:06", Some("70")).unwrap();
    assert_eq!(world.state.available(), named("0"));
}

#[test]
fn few_refunds_are_open_at_once() {
    let mut world = paid("");
    for _ in 0..10 {
        begin(&mut world, "11:10", Some("1")).unwrap();
    }
    assert_eq!(begin(&mut world, "11:11", Some("1")), Err(Refusal::TooManyRefunds { max: 10 }));
    let first = world.state.open_refunds[0].number;
    confirm(&mut world, "11:12", first, "re_1").unwrap();
    begin(&mut world, "11:13", Some("1")).unwrap();
}

#[test]
fn refund_needs_a_reason_and_format_6() {
    let mut world = paid("");
    for reason in ["", " ", &"x".repeat(REASON_BYTES_MAX + 1)] {
        let terms = terms(None, reason);
        let needed = Refusal::ReasonNeeded { bytes_max: REASON_BYTES_MAX };
        assert_eq!(begin_with(&mut world, "11:10", terms), Err(needed));
    }
    world.policy.row_format = RowFormat::new(5);
    assert_eq!(begin(&mut world, "11:10", None), Err(Refusal::RefundsNotYet));
}

#[test]
fn closed_account_is_refunded_its_unused_credit() {
    let mut world = paid("");
    world.command("11:10", Command::Close { reason: "moved away".to_owned() }).unwrap();
    let number = begin(&mut world, "11:20", None).unwrap();
    confirm(&mut world, "11:21", number, "re_1").unwrap();
    assert_eq!(world.state.balance(), named("0"));
    assert_eq!(world.state.standing.name(), "closed");
}
