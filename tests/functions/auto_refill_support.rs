//! Helpers for the tests of `auto-refill`: worlds in which a refill is wanted, and changes that
//! arrive while it is attempted.

use stripe_stand_in::{CardRule, StripeFaultKind};
use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::event::Cause;
use tollgate::domain::refusal::Refusal;
use tollgate::store::Plan;
use tollgate_tests::payments::{PaymentWorld, VISA, acme};

pub(crate) const PAY: &str = "POST /v1/invoices/{invoice}/pay";

/// A world where a refill is wanted and its card will be declined.
pub(crate) async fn declined(code: &str, advice: Option<&str>) -> PaymentWorld {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let card = world.profile().await.cards[0].id.to_string();
    let rule =
        CardRule { decline_code: code.to_owned(), network_advice_code: advice.map(str::to_owned) };
    world.stand_in.decline_card(&card, Some(rule));
    world
}

/// A world where an attempt is open, because Stripe could not be reached before its invoice was final.
pub(crate) async fn with_open_attempt() -> PaymentWorld {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    world.stand_in.fail_next(
        "POST /v1/invoices/{invoice}/finalize",
        9,
        StripeFaultKind::ConnectionDropped,
    );
    assert_eq!(world.refill().await.open, 1);
    world.stand_in.clear_faults();
    world
}

/// A world where a refill is wanted and its customer is paying by hand as well, with another card.
/// Stripe's events have not been delivered yet.
pub(crate) async fn paying_by_hand(amount: &str, card: &str) -> PaymentWorld {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let session = world.session(amount, None).await;
    world.pay(&session, &format!("card={card}")).await;
    world
}

/// Executes a command on the account, without faults.
pub(crate) async fn execute(
    world: &PaymentWorld,
    command: &(impl Fn(&AccountState) -> Result<Command, Refusal> + Sync),
) {
    let account = acme();
    let trigger = world.ledger().trigger(&account, world.now());
    let store = &world.ledger().undisturbed;
    store.execute(trigger, Cause::Command, Plan::on_state(command)).await.unwrap();
}
