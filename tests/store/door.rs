//! The one door to the ledger: what settles before a command, what opens an account, and what is
//! recorded although the account cannot be settled.

use tollgate::domain::account::{AccountState, PendingPayment, Standing};
use tollgate::domain::command::{Command, RefundTerms};
use tollgate::domain::decide::decide;
use tollgate::domain::event::{Cause, PendingEnd, TakeBack};
use tollgate::domain::ids::AccountId;
use tollgate::domain::prices::PriceList;
use tollgate::domain::refusal::Refusal;
use tollgate::runtime::billing::{Opening, Visit};
use tollgate::store::{CommandError, Plan, StoreError, TakenPart, Trigger};
use tollgate_tests::faults::{Calls, Operation};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, Ledger, at, named, receipt, topup};

/// An account whose credit ends between 12:00 and 12:30, settled at 10:00.
async fn short_of_credit() -> Ledger {
    let ledger = Ledger::with_credit("8").await;
    ledger.start(ALICE, "big", &["r1", "r2", "r3"], "10:00:00").await;
    ledger
}

/// `settle-due` has not run yet, so the resources still run in the newest row.
#[tokio::test]
async fn closing_is_allowed_once_settling_stopped_all_resources() {
    let ledger = short_of_credit().await;
    let (alice, now): (AccountId, _) = (named(ALICE), at("12:30:00"));
    let close = Command::Close { reason: "a test".to_owned() };
    let head = ledger.head(ALICE).await;
    assert_eq!(
        decide(&head.state, &close, Cause::Command, &ledger.policy, head.state.at),
        Err(Refusal::StillRunning { count: 3 }),
        "as the account stands"
    );
    let closing = |_: &AccountState| Ok(close.clone());
    let trigger = ledger.trigger(&alice, now);
    let closed = ledger.store.execute(trigger, Cause::Command, Plan::on_state(&closing)).await;
    assert_eq!(receipt(closed).head.state.standing, Standing::Closed);
    let account = check(&ledger, ALICE).await;
    assert_eq!((account.count("suspended"), account.count("closed")), (1, 1));
}

/// Here the plan itself refuses, and there is no command yet to say whether it settles first.
#[tokio::test]
async fn a_plan_that_refuses_is_asked_again_after_settling() {
    let ledger = short_of_credit().await;
    let alice: AccountId = named(ALICE);
    ledger.settle(ALICE, "12:30:00").await;
    let deadline = |state: AccountState| match state.standing {
        Standing::Suspended(suspension) => (suspension.warn_at, suspension.delete_at.unwrap()),
        other => panic!("{other:?}"),
    };
    let warn_at = deadline(ledger.head(ALICE).await.state).0.unwrap();
    ledger.store.settle(ledger.trigger(&alice, warn_at)).await.unwrap();
    let delete_at = deadline(ledger.head(ALICE).await.state).1;
    let confirm = |state: &AccountState| match &state.standing {
        Standing::Deleting(_) => Ok(Command::ConfirmDeletion { head: state.next_seq - 1 }),
        _ => Err(Refusal::NotDeleting),
    };
    let early = ledger.trigger(&alice, delete_at.plus(-1));
    assert_eq!(
        ledger.store.execute(early, Cause::Command, Plan::on_state(&confirm)).await,
        Err(CommandError::Refused(Refusal::NotDeleting))
    );
    let due = ledger.trigger(&alice, delete_at);
    let deleted = ledger.store.execute(due, Cause::Command, Plan::on_state(&confirm)).await;
    assert!(matches!(receipt(deleted).head.state.standing, Standing::Deleted(_)));
    let account = check(&ledger, ALICE).await;
    assert_eq!((account.count("deleting"), account.count("deleted")), (1, 1));
}

/// Two requests of a customer who is seen for the first time. The first waits before it writes the
/// row `opened`, until the second is answered.
#[tokio::test]
async fn two_openings_at_once_open_once_and_answer_both() {
    let ledger = Ledger::new().await;
    ledger.put_prices().await;
    let (billing, alice) = (ledger.billing(&[]), named::<AccountId>(ALICE));
    let visit =
        Visit { opening: Opening::Allowed { email: None }, ..Visit::of(&alice, at("10:00:00")) };
    let credited = async |payment: &str| {
        let payment = topup(payment, "5");
        let credit = |_: &AccountState| {
            Ok(Command::Credit {
                payment: payment.clone(),
                kind: tollgate::domain::event::CreditKind::TopUp,
                plan: None,
                bonus: None,
                also: Vec::new(),
            })
        };
        receipt(billing.execute(visit, Cause::Stripe, Plan::on_state(&credit)).await).row.seq
    };
    let gate = ledger.faults.gate_before(Calls::of(Operation::PutItem).first(1));
    let (first, second) = tokio::join!(credited("pi_1"), async {
        gate.reached().await;
        let second = credited("pi_2").await;
        gate.open();
        second
    });
    assert_eq!((first, second), (2, 1));
    let account = check(&ledger, ALICE).await;
    assert_eq!((account.count("opened"), account.count("topup")), (1, 2));
    assert_eq!((account.rows.len(), account.balance()), (3, named("10")));
}

#[tokio::test]
async fn two_looks_at_once_open_once_and_answer_both() {
    let ledger = Ledger::new().await;
    ledger.put_prices().await;
    let (billing, alice) = (ledger.billing(&[]), named::<AccountId>(ALICE));
    let visit =
        Visit { opening: Opening::Allowed { email: None }, ..Visit::of(&alice, at("10:00:00")) };
    let look = || billing.look(visit, |view| view.state().next_seq);
    let gate = ledger.faults.gate_before(Calls::of(Operation::PutItem).first(1));
    let (first, second) = tokio::join!(look(), async {
        gate.reached().await;
        let second = look().await;
        gate.open();
        second
    });
    assert_eq!((first, second), (Ok(1), Ok(1)));
    assert_eq!(check(&ledger, ALICE).await.count("opened"), 1);
}

/// An account whose running resource has no price, so it cannot be settled.
async fn without_a_price() -> (Ledger, PriceList) {
    let ledger = Ledger::with_credit("10").await;
    ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    (ledger, PriceList::default())
}

fn unpriced() -> StoreError {
    StoreError::Unpriced(Refusal::UnknownSku { sku: named("vm") })
}

/// What Stripe or staff confirmed is recorded, whether or not the command would settle first.
#[tokio::test]
async fn commands_on_the_state_are_recorded_without_a_price() {
    let (ledger, no_prices) = without_a_price().await;
    let alice: AccountId = named(ALICE);
    let trigger = Trigger { prices: &no_prices, ..ledger.trigger(&alice, at("10:30:00")) };
    let pending = PendingPayment {
        payment: named("pi_2"),
        amount: named("5"),
        expires_at: at("2026-12-22T10:00:00Z"),
    };
    let commands = [
        (Command::AwaitPayment(pending), false),
        (Command::EndPayment { payment: named("pi_2"), how: PendingEnd::Failed }, false),
        (Command::Correct { amount: named("1"), reason: "a test".to_owned() }, true),
        (Command::Freeze { reason: "a test".to_owned() }, true),
    ];
    for (command, settles_first) in commands {
        assert_eq!(command.settles_first(), settles_first, "{command:?}");
        let plan = |_: &AccountState| Ok(command.clone());
        let before = ledger.head(ALICE).await.state.next_seq;
        let done = ledger.store.execute(trigger, Cause::Stripe, Plan::on_state(&plan)).await;
        let receipt = receipt(done);
        assert_eq!((receipt.row.seq, receipt.unsettled), (before, Some(unpriced())), "{command:?}");
    }
    assert_eq!(check(&ledger, ALICE).await.balance(), named("10.6"));
}

/// Staff refund what is available, which is not known. They may refund all the same.
#[tokio::test]
async fn refund_by_staff_waits_for_a_price() {
    let (ledger, no_prices) = without_a_price().await;
    let alice: AccountId = named(ALICE);
    let trigger = Trigger { prices: &no_prices, ..ledger.trigger(&alice, at("10:30:00")) };
    let of = topup("pi_first", "10");
    let terms = |may_leave_debt| RefundTerms {
        payment: named("pi_first"),
        amount: Some(named("4")),
        reason: "a test".to_owned(),
        may_leave_debt,
        payment_max: None,
    };
    let (careful, bold) = (terms(false), terms(true));
    let before = ledger.head(ALICE).await.state.next_seq;
    let refused = ledger.store.execute(trigger, Cause::Stripe, Plan::begin_refund(&of, &careful));
    assert_eq!(refused.await, Err(CommandError::Fault(unpriced())));
    assert_eq!(ledger.head(ALICE).await.state.next_seq, before);
    let done = ledger.store.execute(trigger, Cause::Stripe, Plan::begin_refund(&of, &bold)).await;
    assert_eq!(receipt(done).row.event.amount(), named("-4"));
}

/// A refund that failed returns the credit that it took.
#[tokio::test]
async fn credit_is_given_back_without_a_price() {
    let (ledger, no_prices) = without_a_price().await;
    let alice: AccountId = named(ALICE);
    let trigger = Trigger { prices: &no_prices, ..ledger.trigger(&alice, at("10:30:00")) };
    let (by, of) = (TakeBack::Refund(named("re_1")), topup("pi_first", "10"));
    let take = Plan::take_back(&by, &of, TakenPart::Cents(400));
    let taken = ledger.store.execute(trigger, Cause::Stripe, take).await;
    assert_eq!(receipt(taken).unsettled, Some(unpriced()));
    let plan = Plan::give_back(&by, &of, 400);
    let given = receipt(ledger.store.execute(trigger, Cause::Stripe, plan).await);
    assert_eq!((given.row.event.amount(), given.unsettled), (named("4"), Some(unpriced())));
    assert_eq!(check(&ledger, ALICE).await.balance(), named("9.6"));
}

/// The counterpart: a command that needs the list needs the prices of everything in it.
#[tokio::test]
async fn commands_on_the_list_write_nothing_without_a_price() {
    let (mut ledger, no_prices) = without_a_price().await;
    let prices = std::mem::replace(&mut ledger.prices, no_prices);
    let before = ledger.head(ALICE).await;
    let started = ledger.try_start(Cause::Command, ALICE, "vm", &["r2"], "10:30:00").await;
    assert_eq!(started, Err(CommandError::Fault(unpriced())));
    assert_eq!(ledger.head(ALICE).await, before);
    ledger.prices = prices;
    ledger.start(ALICE, "vm", &["r2"], "10:30:00").await;
    check(&ledger, ALICE).await;
}
