//! The Stripe stand-in is part of the cloud. Functions call it, and its webhooks reach the API.

use serde_json::{Value, json};
use tollgate_local::Cloud;

use crate::world::{cloud, get, got, post, send};

const KEY: [(&str, &str); 2] = [
    ("authorization", "Bearer sk_test_local"),
    ("content-type", "application/x-www-form-urlencoded"),
];

/// Makes a customer; where it is.
async fn customer(cloud: &Cloud) -> String {
    let customers = format!("{}/v1/customers", cloud.urls().stripe.as_ref().unwrap());
    let customer = send(cloud, "POST", &customers, &KEY, "email=a@b.test").await.json();
    format!("{customers}/{}", customer["id"].as_str().unwrap())
}

#[tokio::test]
async fn what_happens_at_stripe_comes_to_the_api_signed() {
    let cloud = cloud().await;
    let customer = customer(&cloud).await;
    cloud.idle().await;
    assert_eq!(
        got(&cloud, "web"),
        Vec::<Value>::new(),
        "a deployment's endpoint does not get customer.created"
    );
    let answer = send(&cloud, "POST", &customer, &KEY, "email=b@b.test").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    cloud.idle().await;
    let [webhook] = got(&cloud, "web").try_into().unwrap();
    assert_eq!(webhook["rawPath"], "/v1/stripe/webhook");
    assert!(webhook["headers"]["stripe-signature"].as_str().unwrap().contains("v1="));
    assert!(webhook["body"].as_str().unwrap().contains("customer.updated"));
}

#[tokio::test]
async fn webhooks_are_doubled_lost_and_sent_again_on_demand() {
    let cloud = cloud().await;
    let customer = customer(&cloud).await;
    let change = async |email: &str, expected: usize| {
        let before = got(&cloud, "web").len();
        send(&cloud, "POST", &customer, &KEY, format!("email={email}")).await;
        cloud.idle().await;
        assert_eq!(got(&cloud, "web").len() - before, expected);
    };
    post(
        &cloud,
        "/local/faults",
        &json!({"fault": "duplicate", "delivery": "webhook", "name": "customer.updated"}),
    )
    .await;
    change("b@b.test", 2).await;
    post(&cloud, "/local/faults", &json!({"fault": "drop", "delivery": "webhook"})).await;
    change("c@b.test", 0).await;
    // A lost webhook is retried, by the cloud's clock.
    cloud.advance(std::time::Duration::from_secs(3600)).await;
    assert_eq!(got(&cloud, "web").len(), 3);
    let answer = post(&cloud, "/local/faults", &json!({"redeliver": "all"})).await.json();
    assert_eq!(answer, json!({"redelivered": 2}));
    cloud.idle().await;
    assert_eq!(got(&cloud, "web").len(), 5);
    assert_eq!(get(&cloud, "/local/faults").await.json()["faults"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn webhook_of_a_change_in_the_portal_arrives_before_idle() {
    let cloud = cloud().await;
    let customers = format!("{}/v1/customers", cloud.urls().stripe.as_ref().unwrap());
    let customer = send(&cloud, "POST", &customers, &KEY, "email=a@b.test").await.json();
    cloud.idle().await;
    let before = got(&cloud, "web").len();
    cloud
        .stripe()
        .unwrap()
        .set_default_in_portal(customer["id"].as_str().unwrap(), "pm_1")
        .unwrap();
    cloud.idle().await;
    let webhooks = got(&cloud, "web");
    assert_eq!(webhooks.len() - before, 1);
    assert!(webhooks[before]["body"].as_str().unwrap().contains("customer.updated"));
}
