//! Customers who pay by hand while a refill is wanted or interrupted are charged once: by the page or
//! by the refill.

use crate::auto_refill_support::{declined, paying_by_hand};
use serde_json::{Value, json};
use stripe_stand_in::{DebitEnd, StripeFaultKind};
use tollgate::domain::account::RefillPause;
use tollgate::domain::timestamp::{DAY, MINUTE};
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{PaymentWorld, VISA, die_everywhere};

/// $25, refills below $30 that were paused since their card was removed, and a payment page for $100
/// that is paid with a new card. Stripe's events have not been delivered yet.
async fn paying_with_a_new_card(auto_refill: Option<Value>) -> PaymentWorld {
    let world = PaymentWorld::new().await;
    begin_to_pay_with_a_new_card(&world, auto_refill).await;
    world
}

async fn begin_to_pay_with_a_new_card(world: &PaymentWorld, auto_refill: Option<Value>) {
    world.wanting(VISA).await;
    let card = world.profile().await.cards[0].id.clone();
    world.stripe.detach(&card).await.unwrap();
    world.deliver_all().await;
    assert_eq!(world.state().await.refill.paused, Some(RefillPause::CardGone));
    let session = world.session("100.00", auto_refill).await;
    world.pay(&session, "card=5555555555554444").await;
}

/// Delivers only the events about cards.
async fn deliver_cards(world: &PaymentWorld) {
    for delivery in world.deliveries() {
        if delivery.event_type.starts_with("payment_method.") {
            assert_eq!(world.deliver(&delivery).await.status, 200);
        }
    }
}

#[tokio::test]
async fn card_event_before_its_payment_charges_nothing_else() {
    for auto_refill in [None, Some(json!({"enabled": false}))] {
        let world = paying_with_a_new_card(auto_refill).await;
        deliver_cards(&world).await;
        assert!(world.state().await.refill.card.is_some(), "the new card is the refill card");
        assert_eq!(world.refill().await.steps.len(), 0);
        world.deliver_all().await;
        world.advance(3 * MINUTE);
        assert_eq!(world.refill().await.steps.len(), 0);
        assert_eq!((world.state().await.balance(), world.charged_cents()), (named("125"), 12_500));
        world.check().await;
    }
}

#[tokio::test]
async fn refill_credits_a_paid_page_instead_of_charging() {
    let world = paying_with_a_new_card(None).await;
    deliver_cards(&world).await;
    world.advance(3 * MINUTE);
    // The events of the payment are lost.
    assert_refill_credits_the_page(&world).await;
}

/// A run of auto-refill credits what was paid by hand, and charges nothing.
async fn assert_refill_credits_the_page(world: &PaymentWorld) {
    assert_eq!(world.refill().await.charged, 0);
    assert_eq!((world.state().await.balance(), world.charged_cents()), (named("125"), 12_500));
    world.deliver_all().await;
    world.check().await;
}

#[tokio::test]
async fn a_process_that_dies_anywhere_credits_a_paid_page_and_charges_nothing() {
    let prepare = async |world: &PaymentWorld| {
        begin_to_pay_with_a_new_card(world, None).await;
        deliver_cards(world).await;
        world.advance(3 * MINUTE);
    };
    let process = async |world: &PaymentWorld| {
        world.refill().await;
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!((world.state().await.balance(), world.charged_cents()), (named("125"), 12_500));
        world.deliver_all().await;
        assert_eq!(world.state().await.balance(), named("125"));
        world.check().await;
    };
    die_everywhere(prepare, process, look).await;
}

/// The page that was opened last is not the one that was paid.
#[tokio::test]
async fn paid_page_is_credited_although_another_was_opened() {
    for is_canceled in [false, true] {
        let world = paying_with_a_new_card(Some(json!({"enabled": false}))).await;
        deliver_cards(&world).await;
        let other = world.session("5.00", None).await;
        if is_canceled {
            cancel(&world, &other).await;
        }
        world.advance(3 * MINUTE);
        assert_refill_credits_the_page(&world).await;
    }
}

#[tokio::test]
async fn refill_waits_for_a_payment_that_its_customer_confirms() {
    let world = paying_by_hand("100.00", "4000002760003184").await;
    let waits = |intent: &Value| intent["status"] == "requires_action";
    let payments = world.objects("payment_intent");
    let payment = payments.into_iter().find(waits).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(world.refill().await.steps, ["waits, a payment is being made"]);
    world.advance(MINUTE);
    world.post(&format!("/authenticate/{payment}"), "result=approve").await;
    // Its events are lost.
    assert_eq!(world.refill().await.steps, [""; 0]);
    assert_eq!((world.state().await.balance(), world.charged_cents()), (named("125"), 12_500));
    world.deliver_all().await;
    world.check().await;
}

#[tokio::test]
async fn bank_debit_that_came_after_days_is_credited_instead_of_charging() {
    let methods = ("STRIPE_PAYMENT_METHODS", "card,us_bank_account");
    let world = PaymentWorld::with(&[methods]).await;
    world.wanting(VISA).await;
    let session = world.session("100.00", None).await;
    world.pay(&session, "method=us_bank_account").await;
    world.deliver_all().await;
    assert_eq!(world.state().await.pending.len(), 1);
    // It was begun longer ago than payments are looked for, and its last events are lost.
    world.advance(5 * DAY);
    world.stand_in.resolve_debit(&session, DebitEnd::Succeeded).unwrap();
    assert_eq!(world.refill().await.steps, [""; 0]);
    assert_eq!((world.state().await.balance(), world.charged_cents()), (named("125"), 12_500));
    assert_eq!(world.state().await.pending.len(), 0);
    world.deliver_all().await;
    world.check().await;
}

#[tokio::test]
async fn bank_debit_that_did_not_come_charges_as_agreed() {
    let methods = ("STRIPE_PAYMENT_METHODS", "card,us_bank_account");
    let world = PaymentWorld::with(&[methods]).await;
    world.wanting(VISA).await;
    let session = world.session("100.00", None).await;
    world.pay(&session, "method=us_bank_account").await;
    world.deliver_all().await;
    world.advance(5 * DAY);
    world.stand_in.resolve_debit(&session, DebitEnd::Failed).unwrap();
    assert_eq!(world.refill().await.charged, 1);
    // While Stripe cannot be asked about one, nothing is charged, and nobody has to look.
    let world = PaymentWorld::with(&[methods]).await;
    world.wanting(VISA).await;
    let session = world.session("100.00", None).await;
    world.pay(&session, "method=us_bank_account").await;
    world.deliver_all().await;
    world.advance(5 * DAY);
    let look = "GET /v1/payment_intents/{intent}";
    world.stand_in.fail_next(look, 9, StripeFaultKind::ConnectionDropped);
    let report = world.refill().await;
    assert_eq!((report.charged, report.open, report.stuck), (0, 1, 0), "{report:?}");
}

#[tokio::test]
async fn event_of_a_bank_debit_beside_a_refill_credits_once_and_charges_nothing() {
    let methods = ("STRIPE_PAYMENT_METHODS", "card,us_bank_account");
    let world = PaymentWorld::with(&[methods]).await;
    world.wanting(VISA).await;
    let session = world.session("100.00", None).await;
    world.pay(&session, "method=us_bank_account").await;
    world.deliver_all().await;
    world.advance(5 * DAY);
    world.stand_in.resolve_debit(&session, DebitEnd::Succeeded).unwrap();
    let (report, _delivered) = tokio::join!(world.refill(), world.deliver_all());
    assert_eq!(report.charged, 0, "{report:?}");
    assert_eq!((world.state().await.balance(), world.charged_cents()), (named("125"), 12_500));
    world.deliver_everything_again().await;
    world.check().await;
}

#[tokio::test]
async fn abandoned_page_holds_a_refill_back_half_an_hour_at_most() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    world.advance(5 * MINUTE);
    let session = world.session("100.00", None).await;
    world.advance(25 * MINUTE);
    assert_eq!(world.refill().await.steps, ["waits, a payment page is open"]);
    world.advance(MINUTE);
    assert_eq!(world.refill().await.charged, 1);
    // Nobody pays there as well.
    let sessions = world.objects("checkout.session");
    let page = sessions.iter().find(|page| page["id"] == session.as_str()).unwrap();
    assert_eq!(page["status"], "expired");
    world.check().await;
}

async fn cancel(world: &PaymentWorld, session: &str) {
    let event = world.event("POST /v1/checkout-sessions/{id}/cancel").at("id", session);
    let canceled = world.call(&event).await;
    assert_eq!((canceled.status, &canceled.body["status"]), (200, &json!("expired")));
}

/// The customer changed their mind: the card is good again, and nothing was declined.
#[tokio::test]
async fn refill_goes_on_at_once_after_a_canceled_page() {
    let world = declined("authentication_required", None).await;
    assert_eq!(world.refill().await.needs_customer, 1);
    let session = world.session("25", None).await;
    let card = world.profile().await.cards[0].id.to_string();
    world.stand_in.decline_card(&card, None);
    assert_eq!(world.refill().await.steps, ["waits, a payment page is open"]);
    cancel(&world, &session).await;
    assert_eq!(world.refill().await.steps, ["attempt 2: charged"]);
    assert_eq!(world.charged_cents(), 5_000);
    world.check().await;
}

#[tokio::test]
async fn manual_payment_replaces_the_refill_and_charges_once() {
    let world = declined("authentication_required", None).await;
    assert_eq!(world.refill().await.needs_customer, 1);
    let session = world.session("25", None).await;
    let state = world.state().await;
    assert_eq!((state.refill.attempt, world.count("refill_failed").await), (None, 1));
    // The card would be charged now, while the customer types another.
    let card = world.profile().await.cards[0].id.to_string();
    world.stand_in.decline_card(&card, None);
    assert_eq!(world.refill().await.steps, ["waits, a payment page is open"]);
    world.advance(10 * MINUTE);
    assert_eq!(world.refill().await.steps, ["waits, a payment page is open"]);
    world.pay(&session, "card=5555555555554444").await;
    world.deliver_all().await;
    assert_eq!(world.charged_cents(), 5000);
    world.check().await;
}

/// $25 and a refill of $25 that has begun while Stripe refuses more calls. Its customer opens a page
/// for $100.
async fn interrupted() -> (PaymentWorld, String) {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    world.stand_in.fail_next("POST /v1/invoices", 99, StripeFaultKind::RateLimited);
    let begun = world.refill().await;
    assert_eq!((begun.charged, begun.open), (0, 1), "{begun:?}");
    assert!(world.state().await.refill.attempt.is_some());
    let page = world.session("100.00", None).await;
    (world, page)
}

#[tokio::test]
async fn payment_by_hand_while_stripe_was_down_is_credited_instead() {
    let (world, page) = interrupted().await;
    world.pay(&page, &format!("card={VISA}")).await;
    // Its events are late.
    world.stand_in.clear_faults();
    world.advance(3 * MINUTE);
    assert_eq!(world.refill().await.charged, 0);
    let state = world.state().await;
    assert_eq!((state.balance(), state.refill.attempt), (named("125"), None));
    assert_eq!(world.charged_cents(), 12_500);
    world.deliver_all().await;
    world.deliver_everything_again().await;
    assert_eq!(world.refill().await.charged, 0);
    assert_eq!(world.charged_cents(), 12_500);
    world.check().await;
}

#[tokio::test]
async fn open_page_holds_an_interrupted_refill_and_expires_before_the_charge() {
    let (world, page) = interrupted().await;
    world.stand_in.clear_faults();
    world.advance(3 * MINUTE);
    assert_eq!(world.refill().await.steps, ["attempt 1: open, a payment page is open"]);
    assert_eq!(world.charged_cents(), 2_500);
    world.advance(29 * MINUTE);
    assert_eq!(world.refill().await.charged, 1);
    let sessions = world.objects("checkout.session");
    let opened = sessions.iter().find(|session| session["id"] == page.as_str()).unwrap();
    assert_eq!(opened["status"], "expired");
    world.deliver_all().await;
    world.check().await;
}
