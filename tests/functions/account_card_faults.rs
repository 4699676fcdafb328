//! Cards when something goes wrong: crashes, an unreachable Stripe, a detach that Stripe refuses, an
//! answer that arrives late.

use crate::account_stripe_support::{ADD, DELETE, MASTERCARD, add, call, cards, on_card, refused};
use stripe_stand_in::StripeFaultKind;
use tollgate_tests::payments::{PaymentWorld, VISA, die_everywhere};

#[tokio::test]
async fn a_card_that_stripe_does_not_let_go_is_not_called_removed() {
    let world = PaymentWorld::new().await;
    let card = add(&world, VISA).await;
    let before = cards(&world).await;
    world.stand_in.fail_next(
        "POST /v1/payment_methods/{payment_method}/detach",
        9,
        StripeFaultKind::Refused,
    );
    assert_eq!(on_card(&world, DELETE, &card).await.code(), "internal");
    assert_eq!(cards(&world).await, before);
    world.stand_in.clear_faults();
    assert_eq!(on_card(&world, DELETE, &card).await.status, 204);
    assert!(cards(&world).await.is_empty());
}

#[tokio::test]
async fn stale_list_does_not_remove_a_newly_saved_card() {
    let world = PaymentWorld::new().await;
    add(&world, MASTERCARD).await;
    cards(&world).await;
    // The list is read, and arrives only when another card has been saved, and refills are charged
    // to it.
    let list = "GET /v1/customers/{customer}/payment_methods";
    world.stand_in.forget_calls();
    world.stand_in.fail_next(list, 1, StripeFaultKind::Held);
    let late = async { cards(&world).await };
    let meanwhile = async {
        while !world.stand_in.calls().iter().any(|call| call.endpoint.as_deref() == Some(list)) {
            tokio::task::yield_now().await;
        }
        world.wanting(VISA).await;
        world.stand_in.release_held();
    };
    let (_, ()) = tokio::join!(late, meanwhile);
    let refill = world.state().await.refill;
    let charged = refill.card.map(|card| card.to_string());
    let visa = world.objects("payment_method").last().unwrap()["id"].as_str().map(str::to_owned);
    assert_eq!((charged, refill.paused), (visa, None), "{:?}", world.names().await);
    assert_eq!((world.count("card_removed").await, cards(&world).await.len()), (0, 2));
    world.check().await;
}

#[tokio::test]
async fn a_process_that_dies_anywhere_removes_a_card_once() {
    let prepare = async |world: &PaymentWorld| {
        world.wanting(VISA).await;
        world.refill().await;
        world.deliver_all().await;
    };
    let process = async |world: &PaymentWorld| {
        let card = world.objects("payment_method")[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(call(world, &world.event(DELETE).at("id", &card).key("k1")).await.status, 204);
    };
    let look = async |world: &PaymentWorld| {
        assert!(world.objects("payment_method").iter().all(|method| method["customer"].is_null()));
        assert_eq!((world.count("card_removed").await, world.profile().await.cards.len()), (1, 0));
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((10..40).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn crash_at_any_call_makes_one_card_page_per_key() {
    let process = async |world: &PaymentWorld| {
        let created = call(world, &world.event(ADD).key("k1")).await;
        assert_eq!(created.status, 201, "{}", created.shown());
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!(
            (world.objects("checkout.session").len(), world.objects("customer").len()),
            (1, 1)
        );
    };
    die_everywhere(async |_| {}, process, look).await;
}

#[tokio::test]
async fn cards_are_shown_as_last_seen_while_stripe_is_down() {
    let world = PaymentWorld::new().await;
    let card = add(&world, VISA).await;
    let seen = cards(&world).await;
    for endpoint in [
        "GET /v1/customers/{customer}",
        "GET /v1/payment_methods/{payment_method}",
        "POST /v1/checkout/sessions",
    ] {
        world.stand_in.fail_next(endpoint, 9, StripeFaultKind::ConnectionDropped);
    }
    assert_eq!(cards(&world).await, seen);
    for event in [world.event(DELETE).at("id", &card), world.event(ADD)] {
        refused(&world, event, 503, "unavailable").await;
    }
    world.stand_in.clear_faults();
    assert_eq!(on_card(&world, DELETE, &card).await.status, 204);
}
