//! Money in and money back: payments, refunds, disputes, bonuses, corrections.

use std::collections::BTreeSet;

use tollgate::domain::account::PendingPayment;
use tollgate::domain::command::{BonusGrant, Command};
use tollgate::domain::event::{
    Cause, CreditKind, DisputeOutcome, KeyedRequest, PaymentChange, PaymentFacts, PendingEnd,
    TakeBack,
};
use tollgate::domain::money::Usd;
use tollgate::domain::payment_records::{RecordedTotals, TakenTotals};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::taken;
use tollgate::domain::row_format::RowFormat;

use crate::world::{World, at, named};

/// $100.00 of credit, $119.00 received with tax.
fn taxed(id: &str) -> PaymentFacts {
    PaymentFacts { payment: named(id), credit: named("100"), received_cents: 11_900 }
}

fn credit(payment: PaymentFacts) -> Command {
    Command::Credit { payment, kind: CreditKind::TopUp, plan: None, bonus: None, also: Vec::new() }
}

fn refund(id: &str, cents: i64) -> Command {
    let (by, before) = (TakeBack::Refund(named(id)), RecordedTotals::default());
    Command::TakeBack { by, of: taxed("pi_a"), cents, before }
}

/// The refund failed. The amount of its row is given back.
fn reversal(world: &World, id: &str, cents: i64) -> Command {
    let by = TakeBack::Refund(named(id));
    let of_this = |event: &&tollgate::domain::event::Event| matches!(&event.change, tollgate::domain::event::Change::Payment(PaymentChange::TakenBack { by: taken_by, .. }) if *taken_by == by);
    let index = world.events.iter().position(|event| of_this(&event));
    let taken = index.and_then(|index| taken(&world.events[index], &world.states[index - 1]));
    Command::GiveBack { by, of: taxed("pi_a"), cents, taken, before: RecordedTotals::default() }
}

#[test]
fn payment_is_credited_once_for_any_of_its_events() {
    let mut world = World::opened();
    world.command("11:00", credit(taxed("pi_a"))).unwrap();
    world.command("11:00", credit(taxed("pi_a"))).unwrap();
    world.command("11:05", credit(taxed("pi_b"))).unwrap();
    world.rows(&["11:00:00 topup 100.00 = 100.00", "11:05:00 topup 100.00 = 200.00"]);
}

#[test]
fn pending_payment_and_its_end_arrive_in_any_order() {
    let pending = || {
        Command::AwaitPayment(PendingPayment {
            payment: named("pi_a"),
            amount: named("100"),
            expires_at: at("28T00:00"),
        })
    };
    let failed = || Command::EndPayment { payment: named("pi_a"), how: PendingEnd::Failed };
    let mut world = World::opened();
    world.command("11:00", failed()).unwrap();
    world.command("11:01", pending()).unwrap();
    assert_eq!(world.state.pending, [], "the failure was told first");
    let mut world = World::opened();
    world.command("11:00", credit(taxed("pi_a"))).unwrap();
    world.command("11:01", pending()).unwrap();
    world.command("11:02", failed()).unwrap();
    assert_eq!((world.state.pending.len(), world.state.balance()), (0, named("100")));
    let mut world = World::opened();
    for command in [pending(), pending(), failed(), failed(), credit(taxed("pi_a"))] {
        world.command("11:00", command).unwrap();
    }
    assert_eq!(
        (world.state.pending.len(), world.state.balance()),
        (0, named("100")),
        "it came after all"
    );
}

#[test]
fn refund_takes_pre_tax_credit_and_parts_add_up() {
    let mut world = World::opened();
    world.command("11:00", credit(taxed("pi_a"))).unwrap();
    world.command("11:10", refund("re_1", 3_333)).unwrap();
    world.command("11:20", refund("re_2", 3_333)).unwrap();
    world.command("11:20", refund("re_2", 3_333)).unwrap();
    world.command("11:30", refund("re_3", 5_234)).unwrap();
    world.rows(&[
        "11:00:00 topup 100.00 = 100.00",
        "11:10:00 refund -28.008403 = 71.991597",
        "11:20:00 refund -28.008404 = 43.983193",
        "11:30:00 refund -43.983193 = 0.00",
        "11:30:00 suspended 0.00 = 0.00 as of 11:30:00",
    ]);
    // The total is kept: a dispute of the same payment must not take it again.
    let taken = world.recorded(&named("pi_a")).taken;
    assert_eq!(taken, Some(TakenTotals { cents: 11_900, credit: named("100") }));
}

#[test]
fn reversal_returns_its_refund_in_any_order() {
    for order in
        [[0, 1, 2, 3], [0, 2, 1, 3], [2, 0, 1, 3], [0, 1, 3, 2], [1, 3, 0, 2], [3, 2, 1, 0]]
    {
        let mut world = World::opened();
        world.command("11:00", credit(taxed("pi_a"))).unwrap();
        for step in order {
            let command = match step {
                0 => refund("re_1", 3_333),
                1 => refund("re_2", 8_567),
                2 => reversal(&world, "re_1", 3_333),
                _ => reversal(&world, "re_2", 8_567),
            };
            world.command("12:00", command).unwrap();
        }
        let recorded = world.recorded(&named("pi_a")).taken.unwrap_or_default();
        assert_eq!(
            (world.state.balance(), recorded),
            (named("100"), TakenTotals::default()),
            "{order:?}"
        );
    }
}

#[test]
fn refund_of_spent_credit_leaves_a_debt_paid_first() {
    let mut world = World::opened();
    world.command("11:00", credit(taxed("pi_a"))).unwrap();
    world.start("12:00", "a", "vm100").unwrap();
    world.grant("12:00", "10", "30T00:00", &[]);
    world.command("12:10", refund("re_1", 11_900)).unwrap();
    assert_eq!((world.state.paid, world.state.balance()), (named("-1"), named("9")));
    world.settle("22T23:00").rows(&[
        "11:00:00 topup 100.00 = 100.00",
        "12:00:00 started -1.00 = 99.00 to 13:00:00",
        "12:00:00 bonus 10.00 = 109.00 to 13:00:00",
        "12:10:00 refund -100.00 = 9.00 to 13:00:00",
        "23:00:00 usage -1.00 = 8.00 to 14:00:00",
        "23:00:00 usage -1.00 = 7.00 to 15:00:00",
        "23:00:00 usage -1.00 = 6.00 to 16:00:00",
        "23:00:00 usage -1.00 = 5.00 to 17:00:00",
        "23:00:00 usage -1.00 = 4.00 to 18:00:00",
        "23:00:00 usage -1.00 = 3.00 to 19:00:00",
        "23:00:00 usage -1.00 = 2.00 to 20:00:00",
        "23:00:00 usage -1.00 = 1.00 to 21:00:00",
        "23:00:00 usage -1.00 = 0.00 to 22:00:00",
        "23:00:00 suspended 0.00 = 0.00 as of 22:00:00",
    ]);
}

#[test]
fn refund_takes_the_bonus_and_its_reversal_returns_it() {
    let mut world = World::opened();
    let bonus =
        BonusGrant { amount: named("20"), expires_at: at("30T00:00"), excludes: BTreeSet::new() };
    let command = Command::Credit {
        payment: taxed("pi_a"),
        kind: CreditKind::Commit,
        plan: None,
        bonus: Some(bonus),
        also: Vec::new(),
    };
    world.command("11:00", command).unwrap();
    world.command("11:10", refund("re_1", 5_950)).unwrap();
    world.command("11:20", refund("re_2", 5_950)).unwrap();
    world.rows(&[
        "11:00:00 commit 120.00 = 120.00",
        "11:10:00 refund -60.00 = 60.00",
        "11:20:00 refund -60.00 = 0.00",
        "11:20:00 suspended 0.00 = 0.00 as of 11:20:00",
    ]);
    assert_eq!(world.state.grants, []);
    let back = reversal(&world, "re_2", 5_950);
    world
        .command("11:30", back)
        .unwrap()
        .rows(&["11:30:00 refund_reversed 60.00 = 60.00", "11:30:00 resumed 0.00 = 60.00"]);
    assert_eq!((world.state.paid, world.state.grants[0].remaining), (named("50"), named("10")));
    let back = reversal(&world, "re_1", 5_950);
    world.command("30T00:00", back).unwrap();
    assert_eq!(
        (world.state.balance(), world.state.grants.len()),
        (named("100"), 0),
        "the bonus has expired since"
    );
}

#[test]
fn expired_bonus_does_not_block_its_payment() {
    let mut world = World::opened();
    let bonus =
        BonusGrant { amount: named("20"), expires_at: at("11:00"), excludes: BTreeSet::new() };
    let command = Command::Credit {
        payment: taxed("pi_a"),
        kind: CreditKind::Commit,
        plan: None,
        bonus: Some(bonus),
        also: Vec::new(),
    };
    world.command("11:00", command).unwrap().rows(&["11:00:00 commit 100.00 = 100.00"]);
}

#[test]
fn dispute_freezes_and_debits_once_and_returns_once_if_won() {
    let mut world = World::opened();
    world.command("11:00", credit(taxed("pi_a"))).unwrap();
    world.start("12:00", "a", "vm100").unwrap();
    let opened = || Command::OpenDispute { dispute: named("dp_1"), payment: named("pi_a") };
    let by = || TakeBack::Dispute(named("dp_1"));
    let before = RecordedTotals::default();
    let funds = || Command::TakeBack { by: by(), of: taxed("pi_a"), cents: 11_900, before };
    for command in [opened(), opened(), funds(), funds()] {
        world.command("12:10", command).unwrap();
    }
    assert_eq!((world.state.paid, world.state.frozen.is_empty()), (named("-1"), false));
    assert_eq!(world.start("12:20", "b", "vm100").err(), Some(Refusal::Frozen));
    let index = world.events.len() - 1;
    let taken = taken(&world.events[index], &world.states[index - 1]);
    let back = || Command::GiveBack {
        by: by(),
        of: taxed("pi_a"),
        cents: 11_900,
        taken: taken.clone(),
        before,
    };
    let won = || Command::CloseDispute { dispute: named("dp_1"), outcome: DisputeOutcome::Won };
    for command in [won(), back(), back(), won()] {
        world.command("12:30", command).unwrap();
    }
    assert_eq!((world.state.paid, world.state.frozen.is_empty()), (named("99"), true));
    // The opening, reported after the end, freezes nothing.
    world.command("12:40", opened()).unwrap();
    assert!(world.state.frozen.is_empty());
}

#[test]
fn a_lost_dispute_leaves_the_account_frozen_until_staff_decides() {
    let mut world = World::opened();
    let closed = Command::CloseDispute { dispute: named("dp_1"), outcome: DisputeOutcome::Lost };
    world.command("11:00", closed).unwrap();
    world
        .command("11:01", Command::OpenDispute { dispute: named("dp_1"), payment: named("pi_a") })
        .unwrap();
    assert!(!world.state.frozen.is_empty());
    world.command("11:02", Command::Unfreeze { reason: "forgiven".to_owned() }).unwrap();
    assert!(world.state.frozen.is_empty());
    assert_eq!(
        world.command("11:03", Command::Unfreeze { reason: "x".to_owned() }).err(),
        Some(Refusal::NotFrozen)
    );
}

#[test]
fn amounts_that_no_payment_can_have_are_refused() {
    let mut world = World::opened();
    let mut pay = |credit: &str| {
        let received_cents = 100_000_000_000_000;
        let payment =
            PaymentFacts { payment: named("pi_a"), credit: named(credit), received_cents };
        world
            .command(
                "11:00",
                Command::Credit {
                    payment,
                    kind: CreditKind::TopUp,
                    plan: None,
                    bonus: None,
                    also: Vec::new(),
                },
            )
            .err()
    };
    assert_eq!(pay("0"), Some(Refusal::AmountNotPositive));
    assert_eq!(pay("-5"), Some(Refusal::AmountNotPositive));
    assert_eq!(pay("5.001"), Some(Refusal::FractionOfCent));
    assert_eq!(pay("1000000000000"), None, "however large: it was confirmed");
    let payment = PaymentFacts { payment: named("pi_b"), credit: named("1"), received_cents: 100 };
    let too_much = world
        .command(
            "11:00",
            Command::Credit {
                payment,
                kind: CreditKind::TopUp,
                plan: None,
                bonus: None,
                also: Vec::new(),
            },
        )
        .err();
    assert_eq!(too_much, Some(Refusal::BalanceOverflow));
    let payment =
        PaymentFacts { payment: named("pi_c"), credit: named("1.01"), received_cents: 100 };
    let unpaid = world
        .command(
            "11:00",
            Command::Credit {
                payment,
                kind: CreditKind::TopUp,
                plan: None,
                bonus: None,
                also: Vec::new(),
            },
        )
        .err();
    assert_eq!(
        unpaid,
        Some(Refusal::ReceivedTooLittle { credit: named("1.01"), received_cents: 100 })
    );
    assert_eq!(world.command("11:00", refund("re_1", 0)).err(), Some(Refusal::AmountNotPositive));
    let over = Refusal::AmountTooLarge { max: named("119") };
    assert_eq!(world.command("11:00", refund("re_1", 11_901)).err(), Some(over));
}

#[test]
fn payment_limits_are_checked_before_payment() {
    let policy = tollgate::domain::policy::Policy::default();
    let check = |amount: &str| policy.check_topup(named(amount));
    assert_eq!(check("0"), Err(Refusal::AmountNotPositive));
    assert_eq!(check("-1"), Err(Refusal::AmountNotPositive));
    assert_eq!(check("5.001"), Err(Refusal::FractionOfCent));
    assert_eq!(check("0.99"), Err(Refusal::AmountTooSmall { min: Usd::dollars(1) }));
    assert_eq!(check("1"), Ok(()));
    assert_eq!(check("1000"), Ok(()));
    assert_eq!(check("1000.01"), Err(Refusal::AmountTooLarge { max: Usd::dollars(1_000) }));
}

#[test]
fn corrections_and_bonuses_need_a_reason_and_an_amount() {
    let mut world = World::with_credit("10");
    let mut correct = |amount: &str, reason: &str| {
        world
            .command("11:00", Command::Correct { amount: named(amount), reason: reason.to_owned() })
            .err()
    };
    assert_eq!(correct("0", "why"), Some(Refusal::AmountNotPositive));
    assert_eq!(correct("1", " "), Some(Refusal::ReasonNeeded { bytes_max: 500 }));
    assert_eq!(correct("1", &"x".repeat(501)), Some(Refusal::ReasonNeeded { bytes_max: 500 }));
    assert_eq!(correct("-12.000001", "a mistake of ours"), None);
    assert_eq!(world.state.balance(), named("-2.000001"));
    let bonus =
        BonusGrant { amount: named("5"), expires_at: at("11:00"), excludes: BTreeSet::new() };
    let expired = world.command("11:00", Command::Grant { bonus, reason: "hi".to_owned() }).err();
    assert_eq!(expired, Some(Refusal::ExpiryPast { now: at("11:00") }));
}

fn withdraw(number: u32) -> Command {
    Command::WithdrawGrant { number, reason: "given twice".to_owned() }
}

#[test]
fn nothing_comes_back_to_a_bonus_that_was_withdrawn() {
    let mut world = World::with_credit("10");
    world.grant("10:00", "3", "23T00:00", &[]).start("10:00", "a", "x").unwrap().skip_rows();
    world.command("10:15", withdraw(1)).unwrap().stop("10:30", &["a"]).unwrap().rows(&[
        "10:15:00 bonus_withdrawn -2.00 = 10.00 to 11:00:00",
        "10:30:00 stopped 0.00 = 10.00",
    ]);
    for (number, time) in [(1, "10:31"), (2, "10:31"), (0, "10:31")] {
        let refused = world.command(time, withdraw(number)).map(drop);
        assert_eq!(refused, Err(Refusal::UnknownGrant { number }));
    }
    let silent = Command::WithdrawGrant { number: 1, reason: String::new() };
    let refused = world.command("10:31", silent).map(drop);
    assert_eq!(refused, Err(Refusal::ReasonNeeded { bytes_max: 500 }));
}

#[test]
fn a_failed_start_gives_nothing_to_a_bonus_that_was_withdrawn() {
    for stops in [false, true] {
        let mut world = World::with_credit("10");
        world.grant("10:00", "0.5", "23T00:00", &[]).grant("10:00", "5", "24T00:00", &[]);
        world.start("10:00", "a", "x").unwrap();
        if stops {
            world.stop("10:30", &["a"]).unwrap();
        }
        world.command("10:31", withdraw(1)).unwrap();
        world.fail_start("10:40", "a").unwrap();
        let bonus = world.state.grant(1).map(|grant| grant.remaining);
        assert!(bonus.is_none_or(|left| left.is_zero()), "{stops}: {bonus:?}");
        assert_eq!(world.state.grant(2).unwrap().remaining, named("5"));
    }
}

#[test]
fn withdrawal_of_a_commit_bonus_is_refused() {
    let mut world = World::opened();
    let bonus =
        BonusGrant { amount: named("20"), expires_at: at("23T00:00"), excludes: BTreeSet::new() };
    let payment = taxed("pi_a");
    let kind = CreditKind::Commit;
    let credit =
        Command::Credit { payment, kind, plan: None, bonus: Some(bonus), also: Vec::new() };
    world.command("10:00", credit).unwrap();
    let refused = world.command("10:01", withdraw(1)).map(drop);
    assert_eq!(refused, Err(Refusal::GrantNotByStaff { number: 1 }));
}

#[test]
fn withdrawal_of_the_last_credit_suspends() {
    let mut world = World::opened();
    world.grant("10:00", "5", "23T00:00", &[]).skip_rows();
    world.command("10:01", withdraw(1)).unwrap().settle("10:01").rows(&[
        "10:01:00 bonus_withdrawn -5.00 = 0.00",
        "10:01:00 suspended 0.00 = 0.00 as of 10:01:00",
    ]);
}

#[test]
fn older_formats_withdraw_nothing() {
    let mut world = World::opened();
    world.grant("10:00", "5", "23T00:00", &[]);
    world.policy.row_format = RowFormat::new(5);
    let refused = world.command("10:02", withdraw(1)).map(drop);
    assert_eq!(refused, Err(Refusal::WithdrawalsNotYet));
}

#[test]
fn what_is_held_of_a_withdrawn_bonus_expires_with_its_hold() {
    let mut world = World::opened();
    world.grant("10:00", "5", "23T00:00", &[]);
    world.credit("10:00", "1");
    world.hold("10:00", "2", 10).unwrap();
    world.skip_rows();
    world.command("10:01", withdraw(1)).unwrap().settle("10:10").rows(&[
        "10:01:00 bonus_withdrawn -3.00 = 3.00",
        "10:10:00 hold_expired 0.00 = 3.00",
        "10:10:00 expired -2.00 = 1.00",
    ]);
}

#[test]
fn rows_say_who_of_the_staff_caused_them_from_format_6_on() {
    let request = KeyedRequest { key: named("correction:k1"), digest: "of the body".to_owned() };
    let with_key = Cause::Request(request.clone());
    for (request, before) in [(Some(request), with_key), (None, Cause::Command)] {
        let staff = Cause::Staff { by: named("staff-1"), request };
        for (format, expected) in [(5, &before), (6, &staff)] {
            let mut world = World::with_credit("25");
            (world.policy.row_format, world.cause) = (RowFormat::new(format), staff.clone());
            let (amount, reason) = (named("1"), "a test".to_owned());
            world.command("11:00", Command::Correct { amount, reason }).unwrap();
            let cause = &world.events.last().unwrap().cause;
            assert_eq!((cause, cause.request()), (expected, staff.request()), "{format}");
        }
    }
}
