//! Webhooks that Stripe did not send, or not now.

use serde_json::json;
use stripe_stand_in::Delivery;
use tollgate_local::api::ApiReply;

use crate::invariants::check;
use crate::support::{GOOD_CARD, MINUTE, Processes, World};

const PATH: &str = "/v1/stripe/webhook";

async fn post(world: &World, signature: Option<&str>, body: &str) -> ApiReply {
    let signature = signature.iter().map(|signature| ("stripe-signature", *signature));
    let headers: Vec<(&str, &str)> =
        std::iter::once(("content-type", "application/json")).chain(signature).collect();
    world.api.send("POST", PATH, &headers, body.to_owned()).await.unwrap()
}

/// The webhook of a payment, which was never delivered.
async fn held_back(world: &World) -> Delivery {
    let alice = world.customer("alice");
    let page = alice.page(&json!({"amount": "25.00"})).await;
    world.fault(json!({"fault": "drop", "delivery": "webhook", "times": 0}));
    alice.pay(&page, GOOD_CARD).await;
    world.cloud.idle().await;
    assert_eq!(alice.story(), ["opened 0 0"]);
    // Taken before the cloud brings it.
    world.stripe().redeliver_all();
    let deliveries = world.stripe().due_deliveries(world.cloud.now().unix_timestamp());
    deliveries
        .into_iter()
        .find(|delivery| delivery.event_type == "payment_intent.succeeded")
        .unwrap()
}

fn signature(delivery: &Delivery) -> &str {
    let of_name = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("stripe-signature");
    &delivery.headers.iter().find(of_name).unwrap().1
}

#[tokio::test]
async fn unsigned_webhook_is_rejected_unread() {
    let world = World::new(Processes::Several).await;
    let delivery = held_back(&world).await;
    let (good, body) = (signature(&delivery), delivery.body.as_str());
    let (time, _) = good.split_once(",v1=").unwrap();
    let older = format!("t={}", world.cloud.now().unix_timestamp() - 1);
    let more = body.replace("2500", "9900");
    assert_ne!(more, body);
    let wrong = format!("{time},v1={}", "0".repeat(64));
    let moved = good.replace(time, &older);
    let bad = [
        (None, body),
        (Some(""), body),
        (Some("nonsense"), body),
        (Some(wrong.as_str()), body),
        (Some(time), body),
        (Some(moved.as_str()), body),
        (Some(good), more.as_str()),
        (Some(good), "{}"),
        (Some(good), ""),
    ];
    // A body that matches none of the secrets makes the function read them again, at most once a
    // minute. The clock stands still, so no further reads follow.
    assert_eq!(post(&world, Some(&wrong), body).await.status, 400);
    let before = world.cloud.calls_count();
    for (signature, body) in bad {
        let answer = post(&world, signature, body).await;
        let document = answer.json();
        assert_eq!(
            (answer.status, &document["code"]),
            (400, &json!("invalid_signature")),
            "{signature:?}: {document}"
        );
    }
    world.cloud.idle().await;
    assert_eq!(world.cloud.calls_count(), before, "nothing was even asked");
    assert_eq!(world.customer("alice").story(), ["opened 0 0"]);
}

#[tokio::test]
async fn replayed_webhook_credits_once_and_an_old_one_never() {
    let world = World::new(Processes::Several).await;
    let delivery = held_back(&world).await;
    let alice = world.customer("alice");
    world.later(MINUTE * 5 - std::time::Duration::from_secs(1)).await;
    for _ in 0..3 {
        let answer = post(&world, Some(signature(&delivery)), &delivery.body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        world.cloud.idle().await;
        assert_eq!(alice.story(), ["opened 0 0", "topup 25 25"]);
    }
    world.later(std::time::Duration::from_secs(2)).await;
    let answer = post(&world, Some(signature(&delivery)), &delivery.body).await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (400, &json!("invalid_signature")),
        "{answer:?}"
    );
    assert_eq!(alice.story(), ["opened 0 0", "topup 25 25"]);
    world.no_faults();
    world.later(MINUTE * 40).await;
    check(&[&alice]).await;
}
