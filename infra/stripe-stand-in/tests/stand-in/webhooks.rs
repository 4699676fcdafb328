//! Webhooks: signed, repeated, copied, delayed, reordered.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use stripe_stand_in::{Delivery, DeliveryPlan, Order};

use crate::support::{HOOK, START, World, id, text};

/// HMAC-SHA256 by its definition (RFC 2104), not by the crate that signs.
fn hmac(secret: &str, message: &str) -> String {
    let mut key = [0_u8; 64];
    key[..secret.len()].copy_from_slice(secret.as_bytes());
    let inner =
        Sha256::digest([key.map(|byte| byte ^ 0x36).as_slice(), message.as_bytes()].concat());
    let outer = Sha256::digest([key.map(|byte| byte ^ 0x5c).as_slice(), inner.as_slice()].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn deliveries_are_signed_with_every_secret_of_the_endpoint() {
    let world = World::new().await;
    let endpoint = world.stripe.add_endpoint(HOOK, "whsec_old", &["customer.created"]);
    world.stripe.set_secrets(&endpoint, &["whsec_new", "whsec_old"]);
    world.clock.fetch_add(7, Ordering::SeqCst);
    world.customer().await;
    let delivery = world.due().pop().unwrap();
    assert_eq!((delivery.url.as_str(), delivery.event_type.as_str()), (HOOK, "customer.created"));
    let signature =
        &delivery.headers.iter().find(|(name, _)| name == "Stripe-Signature").unwrap().1;
    let at = START + 7;
    let signed = format!("{at}.{}", delivery.body);
    assert_eq!(
        *signature,
        format!("t={at},v1={},v1={}", hmac("whsec_new", &signed), hmac("whsec_old", &signed))
    );
    let event: Value = serde_json::from_str(&delivery.body).unwrap();
    assert_eq!(
        (text(&event, "object"), text(&event, "type"), &event["livemode"]),
        ("event", "customer.created", &json!(false))
    );
    assert_eq!(text(&event, "api_version"), "2026-08-26.dahlia");
    assert_eq!(event["pending_webhooks"], 1);
    assert!(text(&event["request"], "id").starts_with("req_"));
    assert_eq!(event["data"]["object"]["object"], "customer");
}

#[tokio::test]
async fn an_endpoint_gets_the_events_it_asked_for_in_its_own_version() {
    let world = World::new().await;
    let params = [
        ("url", HOOK),
        ("enabled_events[]", "customer.updated"),
        ("api_version", "2025-03-31.basil"),
    ];
    let endpoint = world.post("/v1/webhook_endpoints", &params).await;
    assert!(text(&endpoint, "secret").starts_with("whsec_"));
    let listed = world.get("/v1/webhook_endpoints", &[]).await;
    assert!(listed["data"][0].get("secret").is_none(), "shown once only");
    let customer = world.customer().await;
    assert!(world.due().is_empty());
    world
        .keyed("rename/1", &format!("/v1/customers/{customer}"), &[("name", "a")])
        .await
        .unwrap()
        .ok();
    let due = world.due();
    let event: Value = serde_json::from_str(&due[0].body).unwrap();
    assert_eq!(text(&event, "api_version"), "2025-03-31.basil");
    assert_eq!(event["request"]["idempotency_key"], "rename/1");
    let path = format!("/v1/webhook_endpoints/{}", id(&endpoint));
    world.post(&path, &[("disabled", "true")]).await;
    world.post(&format!("/v1/customers/{customer}"), &[("name", "b")]).await;
    assert!(world.due().is_empty());
    assert_eq!(world.call("DELETE", &path, &[]).await.ok()["deleted"], true);
    assert_eq!(world.refused("GET", &path, &[]).await.0, 404);
}

#[tokio::test]
async fn a_failed_delivery_is_repeated_ever_later_for_three_days() {
    let world = World::new().await;
    world.stripe.add_endpoint(HOOK, "whsec_a", &["*"]);
    world.customer().await;
    let mut attempts = Vec::new();
    while let Some(at) = world.stripe.next_due() {
        world.clock.store(at, Ordering::SeqCst);
        let due = world.due();
        assert_eq!(due.len(), 1);
        attempts.push((at - START) / 60);
        world.stripe.delivered(due[0].id, if attempts.len() % 2 == 0 { None } else { Some(500) });
    }
    assert_eq!(attempts, [0, 5, 35, 155, 455, 1055, 1775, 2495, 3215, 3935], "in minutes");
    let failed = world.get("/v1/events", &[("delivery_success", "false")]).await;
    assert_eq!(failed["data"].as_array().unwrap().len(), 1);
    world.stripe.redeliver_all();
    let again = world.due();
    world.stripe.delivered(again[0].id, Some(200));
    assert_eq!(world.stripe.next_due(), None);
    assert_eq!(world.get("/v1/events", &[]).await["data"][0]["pending_webhooks"], 0);
}

#[tokio::test]
async fn deliveries_are_copied_delayed_and_reordered_on_demand() {
    let world = World::new().await;
    world.stripe.add_endpoint(HOOK, "whsec_a", &["*"]);
    let kinds = |due: &[Delivery]| {
        due.iter().map(|delivery| delivery.event_type.clone()).collect::<Vec<_>>()
    };
    let customer = world.customer().await;
    world.post(&format!("/v1/customers/{customer}"), &[("name", "a")]).await;
    assert_eq!(kinds(&world.due()), ["customer.created", "customer.updated"]);
    assert!(world.due().is_empty(), "handed out once");

    world.stripe.plan_deliveries(DeliveryPlan {
        order: Order::Reversed,
        copies: 2,
        ..DeliveryPlan::default()
    });
    assert_eq!(world.stripe.redeliver_all(), 4, "two events, two copies");
    assert_eq!(
        kinds(&world.due()),
        ["customer.updated", "customer.updated", "customer.created", "customer.created"]
    );

    let only = vec!["customer.created".to_owned()];
    world.stripe.plan_deliveries(DeliveryPlan {
        delay_seconds: 60,
        only,
        ..DeliveryPlan::default()
    });
    world.stripe.redeliver_all();
    assert_eq!(kinds(&world.due()), ["customer.updated"]);
    world.advance(60);
    assert_eq!(kinds(&world.due()), ["customer.created"]);

    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..10 {
        world.stripe.plan_deliveries(DeliveryPlan {
            order: Order::Shuffled(seed),
            copies: 3,
            ..DeliveryPlan::default()
        });
        world.stripe.redeliver_all();
        orders.insert(kinds(&world.due()));
    }
    assert!(orders.len() > 3);
    let event = world.get("/v1/events", &[("type", "customer.*"), ("limit", "1")]).await;
    assert_eq!(world.stripe.redeliver(&id(&event["data"][0])), 3);
}
