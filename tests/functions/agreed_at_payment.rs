//! What a customer agreed to about refills on a payment page: it counts however late the payment is
//! recorded, unless it is outdated by then.

use serde_json::{Value, json};
use tollgate::domain::account::AccountState;
use tollgate::domain::command::{Command, RefillSettings};
use tollgate::domain::event::Cause;
use tollgate::domain::resolve;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::store::Plan;
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{PaymentWorld, VISA, acme};

use crate::admin_recovery::recover;

const DAY: i64 = 24 * 3_600;

fn on() -> Value {
    json!({"enabled": true, "threshold": "5", "amount": "25"})
}

fn off() -> Value {
    json!({"enabled": false})
}

/// A page with these terms that was paid, and whose events are still to come.
async fn paid(world: &PaymentWorld, terms: Value) -> String {
    let session = world.session("25.00", Some(terms)).await;
    world.pay(&session, &format!("card={VISA}")).await;
    session
}

async fn are_refills_on(world: &PaymentWorld) -> bool {
    world.state().await.refill.agreement.is_some()
}

async fn execute(world: &PaymentWorld, plan: Plan<'_>) {
    let account = acme();
    let trigger = world.ledger().trigger(&account, world.now());
    let done = world.ledger().undisturbed.execute(trigger, Cause::Command, plan).await;
    done.expect("the command is carried out");
}

async fn command(world: &PaymentWorld, command: Command) {
    execute(world, Plan::on_state(&|_: &AccountState| Ok(command.clone()))).await;
}

fn turn_off() -> Command {
    Command::ChangeRefill(RefillSettings { terms: None, card: None, ..RefillSettings::default() })
}

#[tokio::test]
async fn terms_of_the_newest_page_count_in_whatever_order_payments_are_told() {
    for (older, newer) in [(on(), off()), (off(), on())] {
        for is_newer_first in [true, false] {
            let world = PaymentWorld::new().await;
            paid(&world, older.clone()).await;
            let of_older = world.deliveries();
            world.advance(60);
            paid(&world, newer.clone()).await;
            let mut of_newer = world.deliveries();
            of_newer.retain(|told| of_older.iter().all(|known| known.id != told.id));
            let told = if is_newer_first { [&of_newer, &of_older] } else { [&of_older, &of_newer] };
            for delivery in told.into_iter().flatten() {
                world.deliver(delivery).await;
            }
            world.deliver_everything_again().await;
            let case = format!("{older} then {newer}, the newer first: {is_newer_first}");
            assert_eq!(are_refills_on(&world).await, newer["enabled"], "{case}");
            assert_eq!(world.state().await.balance(), named("50"), "{case}");
        }
    }
}

#[tokio::test]
async fn decision_since_the_payment_counts_however_much_happened_after_it() {
    let world = PaymentWorld::new().await;
    paid(&world, on()).await;
    world.advance(60);
    world.agree("30", "25").await;
    command(&world, turn_off()).await;
    for _ in 0..120 {
        let reason = "a test".to_owned();
        command(&world, Command::Correct { amount: named("0.01"), reason }).await;
    }
    world.advance(DAY);
    world.deliver_all().await;
    assert!(!are_refills_on(&world).await, "the customer turned them off");
    assert_eq!(world.state().await.balance(), named("26.20"));
}

#[tokio::test]
async fn account_that_was_closed_since_has_no_refills() {
    let world = PaymentWorld::new().await;
    paid(&world, on()).await;
    world.advance(60);
    command(&world, Command::Close { reason: "moved away".to_owned() }).await;
    world.advance(60);
    let now = world.now();
    let reopen = |view: &AccountSnapshot<'_>| resolve::reopen(view, "came back".to_owned(), now);
    execute(&world, Plan::on_snapshot(&reopen)).await;
    world.deliver_all().await;
    assert!(!are_refills_on(&world).await);
    assert_eq!(world.state().await.balance(), named("25"));
}

#[tokio::test]
async fn terms_are_outdated_after_two_weeks() {
    for (days, is_agreed) in [(3, true), (13, true), (15, false)] {
        let world = PaymentWorld::new().await;
        let session = paid(&world, on()).await;
        world.advance(days * DAY);
        assert_eq!(recover(&world, &session).await.body["outcome"], "credited");
        assert_eq!(are_refills_on(&world).await, is_agreed, "{days} days");
        world.deliver_all().await;
        world.deliver_everything_again().await;
        assert_eq!(are_refills_on(&world).await, is_agreed, "{days} days, told again");
        assert_eq!(world.state().await.balance(), named("25"), "{days} days");
    }
}
