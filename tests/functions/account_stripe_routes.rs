//! Rules for all routes of `account` that call Stripe: invalid requests, repeated requests, and the
//! limits of the platform.

use crate::account_stripe_support::{
    ADD, CARDS, COMPANY, DEFAULT, DELETE, INVOICES, MASTERCARD, PORTAL, PUT_COMPANY, add, ask,
    call, cards, german, id, on_card, refused,
};
use serde_json::{Value, json};
use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::event::Cause;
use tollgate::store::Plan;
use tollgate_tests::api::ApiEvent;
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, acme};

#[tokio::test]
async fn bad_requests_are_refused_before_stripe_is_asked() {
    let world = PaymentWorld::new().await;
    ask(&world, COMPANY).await;
    for route in [ADD, DEFAULT, DELETE, PORTAL] {
        for body in ["[1]", "not json", "{\"surprise\":1}"] {
            refused(
                &world,
                world.event(route).at("id", "pm_1").body(body).key("k1"),
                400,
                "invalid_body",
            )
            .await;
        }
    }
    for route in [CARDS, ADD, DEFAULT, DELETE, PORTAL, INVOICES, COMPANY, PUT_COMPANY] {
        let event = world.event(route).at("id", "pm_1").json(&json!({}));
        refused(&world, event.clone().without_token(), 401, "unauthorized").await;
        refused(&world, event.clone().header("Tollgate-Account", "bob"), 403, "forbidden").await;
        let platform =
            event.scope("tollgate/platform").header("Tollgate-Account", "nobody").key("k2");
        // The platform never decides which card refills charge.
        let (status, code) = match route {
            DEFAULT | DELETE | PORTAL => (403, "forbidden"),
            _ => (404, "not_found"),
        };
        refused(&world, platform, status, code).await;
    }
    let nameless = ApiEvent::by("nameless", ADD, "10:00:00").without_claim("email");
    let answered = call(&world, &nameless).await;
    assert_eq!((answered.status, answered.code()), (409, "email_required"));
    assert_eq!(world.stand_in.calls(), []);
}

/// Whatever became of card and account since, a repeat gets the first answer, and moves nothing.
#[tokio::test]
async fn repeats_are_answered_alike_on_an_account_that_was_closed() {
    let world = PaymentWorld::with(&[("STRIPE_PORTAL_CONFIGURATION", "")]).await;
    world.stand_in.save_portal_settings().unwrap();
    add(&world, VISA).await;
    let card = id(&cards(&world).await[0]).to_owned();
    let with = |route: &str, body: &Value| world.event(route).key("k1").json(body);
    let terms = json!({"enabled": true, "threshold": "10", "amount": "25", "payment_method": card});
    let nothing = json!({});
    let events = [
        with("POST /v1/checkout-sessions", &json!({"amount": "25"})),
        with(ADD, &nothing),
        with(PORTAL, &nothing),
        with("PUT /v1/account", &json!({"email": "new@example.test"})),
        with(PUT_COMPANY, &german()),
        with(DEFAULT, &nothing).at("id", &card),
        with("PUT /v1/auto-refill", &terms),
        with(DELETE, &nothing).at("id", &card),
    ];
    let ask = async |event: &ApiEvent| {
        let is_page = event.is_of("POST /v1/checkout-sessions");
        if is_page { world.call(event).await } else { call(&world, event).await }
    };
    let mut first = Vec::new();
    for event in &events {
        let answered = ask(event).await;
        assert!(answered.status < 300, "{event:?}: {}", answered.shown());
        first.push(answered);
    }
    world.deliver_all().await;
    let close = |_: &AccountState| Ok(Command::Close { reason: "a test".to_owned() });
    let acme = acme();
    let trigger = world.ledger().trigger(&acme, world.now());
    world.ledger().store.execute(trigger, Cause::Command, Plan::on_state(&close)).await.unwrap();

    let before = world.api.everything().await;
    let calls = world.stand_in.calls().len();
    for (event, first) in events.iter().zip(&first) {
        assert_eq!(ask(&event.clone().minutes_later(5)).await, *first, "{event:?}");
        let other = ask(&event.clone().body("{ }")).await;
        assert!(
            other.code() == "idempotency_key_reused" || other.status == 400,
            "{event:?}: {}",
            other.shown()
        );
    }
    assert_eq!(world.api.everything().await, before);
    assert_eq!(world.stand_in.calls().len(), calls, "Stripe is not asked again");
}

#[tokio::test]
async fn platform_cannot_change_which_card_refills_charge() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let other = add(&world, MASTERCARD).await;
    world.deliver_all().await;
    let charged = world.state().await.refill.card.unwrap().to_string();
    let by_platform = |route: &str, card: &str| {
        let event = ApiEvent::by("platform", route, "10:00:00").scope("tollgate/platform");
        event.header("Tollgate-Account", ACME).at("id", card)
    };
    for (route, card) in [(DEFAULT, &other), (DELETE, &charged), (DELETE, &other), (PORTAL, &other)]
    {
        let answered = refused(&world, by_platform(route, card), 403, "forbidden").await;
        assert!(answered.body["detail"].as_str().unwrap().starts_with("Only the customer can"));
    }
    for route in [CARDS, INVOICES, COMPANY] {
        let answered = call(&world, &by_platform(route, &other)).await;
        assert_eq!(answered.status, 200, "{}", answered.shown());
    }
    assert_eq!(world.state().await.refill.card.unwrap().as_str(), charged);
    assert_eq!(on_card(&world, DEFAULT, &other).await.status, 200);
}
