//! Faults in the handling of money that were found in attacks, through the real binaries: each with
//! its right value.

use serde_json::{Value, json};
use stripe_stand_in::{DisputeEnd, DisputeKind, NewDispute};
use time::macros::utc_datetime;

use crate::invariants::check;
use crate::support::{Customer, GOOD_CARD, HOUR, MINUTE, Processes, World, today};

const OTHER_CARD: &str = "5555555555554444";

/// The prices of these tests, for which there is no seed.
async fn world() -> World {
    let world = World::new(Processes::Several).await;
    let prices = json!({"prices": [
        {"sku": "rack", "unit": "hour", "kind": "instance", "rate": "100"},
        {"sku": "archive", "unit": "hour", "kind": "volume", "rate": "12", "idle_rate": "12"},
    ]});
    world.write(&world.operator, "PUT", "/v1/admin/prices", &prices).await;
    world
}

/// The total that the customer's cards paid, in cents.
fn charged_cents(customer: &Customer<'_>) -> i64 {
    let id = stripe_customer(customer);
    let charges = objects(customer.world, "charge");
    let own = charges
        .iter()
        .filter(|charge| charge["customer"] == id.as_str() && charge["status"] == "succeeded");
    own.map(|charge| charge["amount"].as_i64().unwrap()).sum()
}

fn objects(world: &World, kind: &str) -> Vec<Value> {
    let saved = world.stripe().save().unwrap();
    let objects = saved["objects"].as_array().unwrap().iter();
    objects.filter(|object| object["object"] == kind).cloned().collect()
}

fn stripe_customer(customer: &Customer<'_>) -> String {
    let customers = objects(customer.world, "customer");
    let own = customers
        .iter()
        .find(|object| object["metadata"]["tollgate_account"] == customer.account.as_str());
    own.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn agree(customer: &Customer<'_>, threshold: &str, amount: &str) -> Value {
    let terms = json!({"enabled": true, "threshold": threshold, "amount": amount});
    let answer = customer.write("PUT", "/v1/auto-refill", &terms).await;
    customer.world.cloud.idle().await;
    answer
}

#[tokio::test]
async fn refills_charge_the_right_card_the_right_amount_once() {
    let world = world().await;

    // Without a named card the default card is charged.
    let dora = world.customer("dora");
    dora.top_up("25.00").await;
    let shown = agree(&dora, "26.00", "25.00").await;
    assert_eq!(shown["payment_method"], Value::Null, "{shown}");
    assert_eq!((dora.balance().await.as_str(), charged_cents(&dora)), ("50.00", 5_000));

    // Credit on the customer's balance at Stripe pays a part.
    let bella = world.customer("bella");
    bella.top_up("25.00").await;
    world.stripe().give_credit_balance(&stripe_customer(&bella), 1_000).unwrap();
    agree(&bella, "26.00", "25.00").await;
    assert_eq!((bella.balance().await.as_str(), charged_cents(&bella)), ("50.00", 4_000));
    assert_eq!(bella.read("/v1/auto-refill").await["state"], "idle");

    // A card's event that comes before its payment's charges nothing else.
    let carl = world.customer("carl");
    carl.top_up("17.00").await;
    agree(&carl, "10.00", "50.00").await;
    let cards = carl.read("/v1/payment-methods").await;
    let card = cards["items"][0]["id"].as_str().unwrap().to_owned();
    carl.write("DELETE", &format!("/v1/payment-methods/{card}"), &Value::Null).await;
    agree(&carl, "20.00", "50.00").await;
    world.only_webhook("payment_method.attached");
    let page = carl.page(&json!({"amount": "100.00"})).await;
    carl.pay(&page, OTHER_CARD).await;
    world.cloud.idle().await;
    world.later(4 * MINUTE).await;
    world.no_faults();
    world.later(10 * MINUTE).await;
    assert_eq!((carl.balance().await.as_str(), charged_cents(&carl)), ("117.00", 11_700));

    check(&[&dora, &bella, &carl]).await;
}

#[tokio::test]
async fn confirmed_money_counts_whatever_webhooks_and_banks_do() {
    let world = world().await;

    // No webhook comes. The return to the page credits.
    let rosa = world.customer("rosa");
    world.fault(json!({"fault": "drop", "delivery": "webhook", "times": 0}));
    let page = rosa.page(&json!({"amount": "25.00"})).await;
    rosa.pay(&page, GOOD_CARD).await;
    let path = format!("/v1/checkout-sessions/{}", page["id"].as_str().unwrap());
    assert_eq!(rosa.read(&path).await["status"], "paid");
    assert_eq!(rosa.balance().await, "25.00");
    world.no_faults();

    // A dispute above its charge takes the payment and no more, and all of it returns.
    let dan = world.customer("dan");
    dan.top_up("25.00").await;
    let dispute = NewDispute {
        payment: dan.payment("topup"),
        amount: Some(2_600),
        reason: "fraudulent".to_owned(),
        kind: DisputeKind::Chargeback,
    };
    let dispute = world.stripe().dispute(&dispute).unwrap();
    world.cloud.idle().await;
    let balance = dan.read("/v1/balance").await;
    assert_eq!((&balance["balance"], &balance["frozen"]), (&json!("0.00"), &json!(true)));
    world.stripe().close_dispute(&dispute, DisputeEnd::Won).unwrap();
    world.cloud.idle().await;
    let balance = dan.read("/v1/balance").await;
    assert_eq!((&balance["balance"], &balance["frozen"]), (&json!("25.00"), &json!(false)));

    check(&[&rosa, &dan]).await;
}

#[tokio::test]
async fn time_is_paid_ahead_and_kept_data_is_owed() {
    let world = world().await;

    // A volume that costs the same while it is off, at $12 an hour.
    let vera = world.customer("vera");
    vera.top_up("24.00").await;
    let project = vera.project().await;
    vera.start(&project, "archive").await;
    world.later(2 * HOUR).await;
    let kept = vera.read("/v1/balance").await;
    assert_eq!((&kept["standing"], &kept["owed"]), (&json!("suspended"), &json!("0.00")), "{kept}");
    world.later(3 * HOUR).await;
    vera.top_up("1.00").await;
    let kept = vera.read("/v1/balance").await;
    assert_eq!(
        (&kept["standing"], &kept["owed"]),
        (&json!("suspended"), &json!("35.00")),
        "{kept}"
    );
    assert_eq!(kept["needed_to_resume"], "47.01", "with an hour in which to pay");
    vera.top_up("47.01").await;
    let kept = vera.read("/v1/balance").await;
    assert_eq!((&kept["standing"], &kept["balance"]), (&json!("good"), &json!("0.01")), "{kept}");

    // A fleet that is started a second before the hour needs credit for ten minutes beyond it.
    let fred = world.customer("fred");
    fred.top_up("10.00").await;
    let project = fred.project().await;
    world.at_time("15:59:59").await;
    let wish = json!({"sku": "rack", "name": "one", "start": true});
    let refused = world.ask(&fred.api, "POST", &format!("{project}/resources"), &wish).await;
    assert_eq!((refused.status, refused.json()["code"].clone()), (402, json!("credit_too_low")));

    // A run dated ahead is refused and bills nothing.
    let before = vera.rows().len();
    let ahead = world.settle_slice("vera", utc_datetime!(2026-12-08 16:00)).await;
    assert_eq!(ahead.json()["batchItemFailures"], json!([{"itemIdentifier": "m-1"}]));
    assert_eq!(vera.rows().len(), before);
    assert_eq!(world.cloud.now(), today("15:59:59"));

    check(&[&vera, &fred]).await;
}
