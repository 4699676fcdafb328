//! Callers who send as much as they can. Everybody else is served all the same.

use std::time::{Duration, Instant};

use serde_json::json;
use tollgate_local::Cloud;
use tollgate_local::api::ApiClient;

use crate::invariants::check;
use crate::support::{GOOD_CARD, Processes, START, World, config, key};

/// How long senders flood the webhook's route.
const FLOOD: Duration = Duration::from_secs(3);

#[tokio::test]
async fn customer_who_floods_payment_pages_stops_nobody_else() {
    let mut config = config(Processes::Several, START);
    for name in ["PagesPerHour", "PagesPerDay", "StripeRequestsMax"] {
        config.parameters.remove(name);
    }
    let world = World::of(Cloud::start(config).await.unwrap()).await;
    let (mallory, alice) = (world.customer("mallory"), world.customer("alice"));
    mallory.read("/v1/account").await;
    let page = async |customer: &ApiClient| {
        let key = key();
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let body = json!({"amount": "25.00"}).to_string();
        customer.send("POST", "/v1/checkout-sessions", &headers, body).await.unwrap()
    };
    let flood = futures_util::future::join_all((0..60).map(|_| page(&mallory.api)));
    let (flood, other) = tokio::join!(flood, page(&alice.api));
    assert_eq!(other.status, 201);
    let made = flood.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 5, "the account's pages for an hour");
    for refused in flood.iter().filter(|answer| answer.status != 201) {
        assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("too_many_pages")));
        assert_eq!(refused.headers["retry-after"], "3600");
    }
    alice.pay(&other.json(), GOOD_CARD).await;
    world.cloud.idle().await;
    assert_eq!(alice.balance().await, "25.00");
    check(&[&alice]).await;
}

#[tokio::test]
async fn forged_webhooks_do_not_displace_stripes() {
    let mut config = config(Processes::Several, START);
    for name in ["ApiRateLimit", "ApiBurstLimit"] {
        config.parameters.remove(name);
    }
    let world = World::of(Cloud::start(config).await.unwrap()).await;
    let alice = world.customer("alice");
    let page = alice.page(&json!({"amount": "25.00"})).await;

    let garbage = async || {
        let begun = Instant::now();
        let (mut sent, mut displaced) = (0_u32, 0_u32);
        while begun.elapsed() < FLOOD {
            let headers = [("content-type", "application/json")];
            let body = "x".repeat(2_000);
            let answer = world.api.send("POST", "/v1/stripe/webhook", &headers, body).await;
            sent += 1;
            displaced += u32::from(answer.unwrap().status != 400);
        }
        (sent, displaced)
    };
    let flood = futures_util::future::join_all((0..24).map(|_| garbage()));
    let payment = async {
        tokio::time::sleep(FLOOD / 2).await;
        alice.pay(&page, GOOD_CARD).await;
        world.cloud.idle().await;
        alice.story()
    };
    let (flood, story) = tokio::join!(flood, payment);
    let (sent, displaced) = flood.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(sent > 600, "only {sent} requests are no flood");
    assert_eq!(displaced, 0, "of {sent} requests");
    assert_eq!(story, ["opened 0 0", "topup 25 25"], "Stripe's first attempts are answered");
    check(&[&alice]).await;
}
