//! The scope `tollgate/support`: it looks up, recovers, and moves money within limits.

use serde_json::{Value, json};
use tollgate::domain::money::Usd;
use tollgate_tests::api::{Answered, ApiEvent};
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{ACME, PaymentWorld, VISA};

use crate::staff_support::{ADMIN, ask_admin};

const SUPPORT: &str = "tollgate/support";
const REFUND: &str = "POST /v1/admin/payments/{id}/refunds";
const BONUS: &str = "POST /v1/admin/accounts/{account}/bonus";

/// A world with limits of $100 a payment and $150 a day, and a payment of $300.
async fn paid() -> (PaymentWorld, String) {
    let world =
        PaymentWorld::with(&[("SUPPORT_PAYMENT_MAX", "100"), ("SUPPORT_DAY_MAX", "150")]).await;
    let session = world.session("300.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let payment = world.objects("payment_intent")[0]["id"].as_str().unwrap().to_owned();
    (world, payment)
}

fn by(world: &PaymentWorld, who: &str, scope: &str, route: &str) -> ApiEvent {
    world.event(route).scope(scope).claim("sub", who)
}

async fn refund(
    world: &PaymentWorld,
    who: &str,
    payment: &str,
    key: &str,
    amount: &str,
) -> Answered {
    let body = json!({"amount": amount, "reason": "late"});
    ask_admin(world, by(world, who, SUPPORT, REFUND).at("id", payment).key(key).json(&body)).await
}

async fn bonus(world: &PaymentWorld, who: &str, key: &str, amount: &str) -> Answered {
    let body = json!({"amount": amount, "expires_at": "2027-01-01T00:00:00Z", "reason": "late"});
    ask_admin(world, by(world, who, SUPPORT, BONUS).at("account", ACME).key(key).json(&body)).await
}

fn refused(answered: &Answered, max: &str) {
    assert_eq!((answered.status, answered.code()), (403, "forbidden"), "{}", answered.shown());
    assert_eq!(answered.body["max"], max, "{}", answered.shown());
}

#[tokio::test]
async fn limit_of_a_payment_counts_all_that_went_back_of_it() {
    let (world, payment) = paid().await;
    assert_eq!(refund(&world, "sam", &payment, "k-1", "60.00").await.status, 201);
    refused(&refund(&world, "sam", &payment, "k-2", "60.00").await, "40.00");
    refused(&refund(&world, "kim", &payment, "k-3", "60.00").await, "40.00");
    // What was refused does not count for the day.
    assert_eq!(refund(&world, "sam", &payment, "k-4", "40.00").await.status, 201);
    refused(&refund(&world, "sam", &payment, "k-5", "0.01").await, "0.00");
    let body = json!({"amount": "60.00", "reason": "late"});
    let event = by(&world, "ada", ADMIN, REFUND).at("id", &payment);
    assert_eq!(ask_admin(&world, event.key("k-6").json(&body)).await.status, 201);
    assert_eq!(world.state().await.balance(), named("140"));
}

#[tokio::test]
async fn limit_of_a_day_counts_refunds_and_bonuses_of_one_member_of_staff() {
    let (world, payment) = paid().await;
    assert_eq!(refund(&world, "sam", &payment, "k-1", "70.00").await.status, 201);
    assert_eq!(bonus(&world, "sam", "k-1", "60.00").await.status, 200);
    // Repeated, and counted once.
    assert_eq!(refund(&world, "sam", &payment, "k-1", "70.00").await.status, 201);
    assert_eq!(bonus(&world, "sam", "k-1", "60.00").await.status, 200);
    refused(&bonus(&world, "sam", "k-2", "20.01").await, "150.00");
    refused(&refund(&world, "sam", &payment, "k-3", "20.01").await, "150.00");
    assert_eq!(bonus(&world, "sam", "k-4", "20.00").await.status, 200);
    refused(&bonus(&world, "sam", "k-5", "0.01").await, "150.00");
    // Somebody else, and another day.
    assert_eq!(bonus(&world, "kim", "k-6", "0.01").await.status, 200);
    world.advance(86_400);
    assert_eq!(bonus(&world, "sam", "k-7", "100.00").await.status, 200);
    refused(&bonus(&world, "sam", "k-8", "100.01").await, "100.00");
    let given: Usd = world.rows().await.iter().map(|row| row.event.amount()).sum();
    assert_eq!(given, named("410.01"));
}

#[tokio::test]
async fn simultaneous_refunds_stay_within_the_day() {
    let (world, payment) = paid().await;
    let second = world.session("100.00", None).await;
    world.pay(&second, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let intents = world.objects("payment_intent");
    let other = intents.iter().find(|intent| intent["amount"] == 10_000).unwrap();
    let other = other["id"].as_str().unwrap();
    let (one, two) = tokio::join!(
        refund(&world, "sam", &payment, "k-1", "80.00"),
        refund(&world, "sam", other, "k-2", "80.00"),
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403], "{} {}", one.shown(), two.shown());
}

#[tokio::test]
async fn support_looks_up_and_does_nothing_else() {
    let (world, payment) = paid().await;
    let on_payment = |route| by(&world, "sam", SUPPORT, route).at("id", &payment);
    let on_account = |route| by(&world, "sam", SUPPORT, route).at("account", ACME);
    for event in [
        on_payment("GET /v1/admin/payments/{id}"),
        on_payment("POST /v1/admin/payments/{id}/recover"),
        on_account("GET /v1/admin/accounts").with("query", ACME),
        on_account("GET /v1/admin/accounts/{account}"),
        on_account("GET /v1/admin/accounts/{account}/transactions"),
        on_account("GET /v1/admin/accounts/{account}/verify"),
    ] {
        let answered = ask_admin(&world, event).await;
        assert_eq!(answered.status, 200, "{}", answered.shown());
    }
    let before = world.api.everything().await;
    for route in [
        "POST /v1/admin/accounts/{account}/correction",
        "POST /v1/admin/accounts/{account}/freeze",
        "POST /v1/admin/accounts/{account}/unfreeze",
        "POST /v1/admin/accounts/{account}/suspend",
        "POST /v1/admin/accounts/{account}/resume",
        "POST /v1/admin/accounts/{account}/refill/abandon",
        "POST /v1/admin/accounts/{account}/close",
        "POST /v1/admin/accounts/{account}/reopen",
        "POST /v1/admin/accounts/{account}/erase",
        "PUT /v1/admin/accounts/{account}/quotas",
        "GET /v1/admin/prices",
        "PUT /v1/admin/prices",
        "GET /v1/admin/health",
    ] {
        let answered = ask_admin(&world, on_account(route).key("k-1").json(&json!({}))).await;
        assert_eq!((answered.status, answered.code()), (403, "forbidden"), "{route}");
    }
    let all = on_payment(REFUND).key("k-1").json(&json!({"reason": "late"}));
    let all = ask_admin(&world, all).await;
    assert_eq!((all.status, &all.body["parameter"]), (400, &json!("amount")), "{}", all.shown());
    // A client that is not staff's may hold the scope, and it counts for nothing.
    let event = on_account("GET /v1/admin/accounts/{account}").claim("azp", "the-page");
    assert_eq!(ask_admin(&world, event).await.body["code"], Value::from("forbidden"));
    assert_eq!(world.api.everything().await, before);
}
