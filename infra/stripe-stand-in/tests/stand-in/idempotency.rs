//! Idempotency keys, as docs.stripe.com/api/idempotent_requests promises them, and answers that get
//! lost.

use std::sync::Arc;
use std::time::Duration;

use stripe_stand_in::{StandInConfig, StripeFault, StripeFaultKind};

use crate::support::{World, id, text};

#[tokio::test]
async fn the_first_answer_to_a_key_is_kept_and_given_again() {
    let world = World::new().await;
    let first = world.keyed("customer/acme", "/v1/customers", &[("name", "Acme")]).await.unwrap();
    let again = world.keyed("customer/acme", "/v1/customers", &[("name", "Acme")]).await.unwrap();
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("original-request"), first.header("request-id"));
    assert_ne!(again.header("request-id"), first.header("request-id"));
    assert_eq!(first.text, again.text);
    assert_eq!(world.get("/v1/customers", &[]).await["data"].as_array().unwrap().len(), 1);
    assert!(world.stripe.calls().iter().any(|call| call.replayed));
}

#[tokio::test]
async fn a_key_keeps_even_a_500() {
    let world = World::new().await;
    world.stripe.fail_next("POST /v1/customers", 1, StripeFaultKind::ServerError);
    for _ in 0..2 {
        let (status, error) = world.keyed("k", "/v1/customers", &[]).await.unwrap().refused();
        assert_eq!((status, text(&error, "type")), (500, "api_error"));
    }
    assert_eq!(world.keyed("k2", "/v1/customers", &[]).await.unwrap().status, 200);
    assert_eq!(world.get("/v1/customers", &[]).await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_keeps_a_decline() {
    let world = World::new().await;
    let customer = world.customer().await;
    let method = world.save_card(&customer, "4000000000000341").await;
    let invoice = world.open_invoice(&customer).await;
    let path = format!("/v1/invoices/{invoice}/pay");
    for _ in 0..2 {
        let answer =
            world.keyed("refill/1/pay", &path, &[("payment_method", &method)]).await.unwrap();
        assert_eq!(answer.status, 402);
    }
    assert_eq!(world.get("/v1/charges", &[]).await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_used_for_something_else_is_an_error() {
    let world = World::new().await;
    let first = world.keyed("k", "/v1/customers", &[("name", "a")]).await.unwrap().ok();
    let (status, error) =
        world.keyed("k", "/v1/customers", &[("name", "b")]).await.unwrap().refused();
    assert_eq!((status, text(&error, "type")), (400, "idempotency_error"));
    let path = format!("/v1/customers/{}", id(&first));
    let (status, error) = world.keyed("k", &path, &[("name", "a")]).await.unwrap().refused();
    assert_eq!((status, text(&error, "type")), (400, "idempotency_error"));
    assert!(text(&error, "message").contains("same endpoint"));
}

#[tokio::test]
async fn a_key_is_in_use_while_the_first_request_is_at_work() {
    let world = Arc::new(World::new().await);
    world.stripe.fail_next("POST /v1/customers", 1, StripeFaultKind::Held);
    let held = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.keyed("k", "/v1/customers", &[]).await.unwrap().ok() }
    });
    while world.stripe.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (status, error) = world.keyed("k", "/v1/customers", &[]).await.unwrap().refused();
    assert_eq!((status, text(&error, "code")), (409, "idempotency_key_in_use"));
    world.stripe.release_held();
    let first = held.await.unwrap();
    assert_eq!(world.keyed("k", "/v1/customers", &[]).await.unwrap().ok(), first);
}

#[tokio::test]
async fn a_key_keeps_nothing_of_what_never_began() {
    let world = World::new().await;
    assert_eq!(world.keyed("k", "/v1/customers", &[("nmae", "a")]).await.unwrap().status, 400);
    world.stripe.fail_next("POST /v1/customers", 1, StripeFaultKind::RateLimited);
    let limited = world.keyed("k", "/v1/customers", &[("name", "a")]).await.unwrap();
    assert_eq!(limited.status, 429);
    assert_eq!(world.keyed("k", "/v1/customers", &[("name", "a")]).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let world = World::new().await;
    let first = world.keyed("k", "/v1/customers", &[]).await.unwrap().ok();
    world.advance(24 * 3600 - 1);
    assert_eq!(world.keyed("k", "/v1/customers", &[]).await.unwrap().ok(), first);
    world.advance(1);
    assert_ne!(world.keyed("k", "/v1/customers", &[]).await.unwrap().ok(), first);
}

#[tokio::test]
async fn an_answer_lost_after_the_work_comes_with_the_same_key_again() {
    let world = World::new().await;
    world.stripe.fail_next("POST /v1/customers", 1, StripeFaultKind::AnswerLost);
    assert!(world.keyed("k", "/v1/customers", &[]).await.is_err(), "no answer at all");
    let answer = world.keyed("k", "/v1/customers", &[]).await.unwrap();
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    assert_eq!(world.get("/v1/customers", &[]).await["data"].as_array().unwrap().len(), 1);
    let statuses: Vec<Option<u16>> = world.stripe.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [None, Some(200), Some(200)]);
}

#[tokio::test]
async fn a_dropped_connection_did_nothing() {
    let world = World::new().await;
    let fault = StripeFault {
        endpoint: "*".to_owned(),
        after: 1,
        times: 1,
        kind: StripeFaultKind::ConnectionDropped,
    };
    world.stripe.fail(fault);
    world.keyed("k1", "/v1/customers", &[]).await.unwrap().ok();
    assert!(world.keyed("k2", "/v1/customers", &[]).await.is_err());
    assert_eq!(world.get("/v1/customers", &[]).await["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        world.keyed("k2", "/v1/customers", &[]).await.unwrap().header("idempotent-replayed"),
        None
    );
}

#[tokio::test]
async fn the_same_seed_and_calls_give_the_same_ids() {
    let (one, two) = (World::new().await, World::new().await);
    let other = World::with(StandInConfig { seed: 2, ..StandInConfig::default() }).await;
    let first = one.customer().await;
    assert_eq!(first, two.customer().await);
    assert_ne!(first, other.customer().await);
    assert!(first.starts_with("cus_") && first.len() == 18, "{first}");
}
