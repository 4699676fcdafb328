//! Refills that were interrupted: what their customer paid meanwhile is looked at before the card is
//! charged.

use stripe_stand_in::StripeFaultKind;
use tollgate::domain::timestamp::MINUTE;
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{PaymentWorld, VISA};

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
