//! Stripe's secrets: read when they are needed, and again once they were replaced, without a
//! deployment.

use serde_json::{Value, json};
use tollgate_local::api::ApiClient;
use tollgate_tests::cloudformation::CloudFormation;

use crate::support::{GOOD_CARD, Processes, World};

/// How often a function has read the secret.
fn reads(world: &World, function: &str) -> usize {
    let calls = world.cloud.calls(0);
    calls
        .iter()
        .filter(|call| call.function == function && call.service == "secretsmanager")
        .count()
}

#[tokio::test]
async fn secret_is_read_only_for_requests_that_need_stripe() {
    let world = World::new(Processes::One).await;
    let alice = world.customer("alice");
    alice.read("/v1/balance").await;
    assert_eq!(
        (reads(&world, "account"), reads(&world, "admin")),
        (0, 0),
        "prices were written, a balance was read"
    );
    alice.write("PUT", "/v1/account", &json!({"email": "alice@example.test"})).await;
    alice.write("POST", "/v1/payment-methods/sessions", &Value::Null).await;
    let health = world.read(&world.operator, "/v1/admin/health").await;
    assert_eq!(health["checks"][3]["name"], "stripe", "{health}");
    assert_eq!(health["ok"], true, "what `cargo stripe-setup` makes is here, too: {health}");
    world.read(&world.operator, "/v1/admin/health").await;
    assert_eq!((reads(&world, "account"), reads(&world, "admin")), (1, 1));
}

#[tokio::test]
async fn replaced_webhook_secret_is_read_when_the_old_one_fails() {
    let world = World::new(Processes::One).await;
    let alice = world.customer("alice");
    alice.top_up("10.00").await;
    assert_eq!((alice.balance().await.as_str(), reads(&world, "stripe-webhook")), ("10.00", 1));
    let stripe =
        ApiClient::new(world.cloud.urls().stripe.as_ref().unwrap()).with_token("sk_test_local");
    let endpoints = stripe.get("/v1/webhook_endpoints").await.unwrap().json();
    world.stripe().set_secrets(endpoints["data"][0]["id"].as_str().unwrap(), &["whsec_new"]);
    world.cloud.put_stripe_secret("sk_test_local", &["whsec_new"]);
    alice.top_up("10.00").await;
    assert_eq!((alice.balance().await.as_str(), reads(&world, "stripe-webhook")), ("20.00", 2));
}

#[tokio::test]
async fn replaced_key_is_read_when_stripe_rejects_the_old_one() {
    let world = World::new(Processes::One).await;
    let alice = world.customer("alice");
    world.cloud.put_stripe_secret("sk_test_old", &["whsec_local"]);
    let headers = [("content-type", "application/json"), ("idempotency-key", "with-the-old-key")];
    let wish = json!({"amount": "10.00"}).to_string();
    let refused = alice.api.send("POST", "/v1/checkout-sessions", &headers, wish).await.unwrap();
    let before = reads(&world, "checkout");
    assert_eq!((refused.status, before), (500, 2), "{}", refused.json());
    world.cloud.put_stripe_secret("sk_test_local", &["whsec_local"]);
    let page = alice.page(&json!({"amount": "10.00"})).await;
    assert_eq!(reads(&world, "checkout"), 3);
    alice.pay(&page, GOOD_CARD).await;
    world.cloud.idle().await;
    assert_eq!(alice.balance().await, "10.00");
    let printed = world.cloud.log().into_iter().map(|line| line.text).collect::<String>();
    assert!(!printed.contains("sk_test") && !printed.contains("whsec"), "no secret is ever logged");
}

#[tokio::test]
async fn deployment_fails_while_its_secret_holds_no_key() {
    let world = World::new(Processes::One).await;
    let cloudformation = CloudFormation::new().await;
    let check = "/local/functions/deployment-check";
    for (key, expected) in [("pk_test_wrong", "FAILED"), ("sk_test_local", "SUCCESS")] {
        world.cloud.put_stripe_secret(key, &[]);
        let answered =
            world.write(&world.operator, "POST", check, &cloudformation.request("Update")).await;
        assert_eq!(cloudformation.take(), std::slice::from_ref(&answered));
        assert_eq!(answered["Status"], expected, "{answered}");
        let names_it =
            answered["Reason"].as_str().unwrap().contains("(STRIPE_SECRET_ARN) cannot be used");
        assert_eq!(
            (names_it, answered.to_string().contains(key)),
            (expected == "FAILED", false),
            "{answered}"
        );
    }
    let no_request =
        world.api.write("POST", check, &json!({"RequestType": "Create"})).await.unwrap();
    assert_eq!((no_request.status, cloudformation.take().len()), (502, 0), "{}", no_request.json());
}
