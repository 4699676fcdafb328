//! Faults in the handling of money that were found in attacks, through the real binaries: each with
//! its right value.

use serde_json::{Value, json};
use stripe_stand_in::{DisputeEnd, DisputeKind, NewDispute};
use time::macros::utc_datetime;

use crate::invariants::check;
use crate::support::{Customer, GOOD_CARD, HOUR, MINUTE, Processes, START, World, today};

const OTHER_CARD: &str = "5555555555554444";

/// The prices of these tests, for which there is no seed.
async fn world() -> World {
    priced(World::new(Processes::Several).await).await
}

/// The same with tax, which Stripe computes from the customer's address.
async fn taxed_world() -> World {
    let tax = [("StripeTax", "automatic"), ("StripeTaxCode", "txcd_10000000")];
    priced(World::with(START, Processes::Several, &tax).await).await
}

async fn priced(world: World) -> World {
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

/// From now on no invoice can be created at Stripe, so an attempt stays open. All else works.
fn without_invoices(world: &World) {
    world.fault(json!({
        "fault": "lose_call", "service": "stripe", "operation": "POST /v1/invoices", "times": 0,
    }));
}

/// The outcomes of attempts that failed, as their rows have them.
fn declines(customer: &Customer<'_>) -> Vec<String> {
    let failed = |row: &Value| {
        let failed = &row["body"]["x"]["e"]["refill_failed"];
        failed["decline"].as_str().map(str::to_owned)
    };
    customer.rows().iter().filter_map(failed).collect()
}

async fn cards(customer: &Customer<'_>) -> Vec<String> {
    let cards = customer.read("/v1/payment-methods").await;
    let items = cards["items"].as_array().unwrap().iter();
    items.map(|card| card["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn attempt_without_a_reason_is_called_off_not_declined() {
    let world = world().await;

    // Stripe is down for invoices, and the customer pays manually meanwhile.
    let mona = world.customer("mona");
    mona.top_up("25.00").await;
    without_invoices(&world);
    agree(&mona, "26.00", "50.00").await;
    assert!(mona.story().iter().any(|row| row.starts_with("refill_begun")), "{:?}", mona.story());
    mona.top_up("493.00").await;
    world.no_faults();
    world.later(5 * MINUTE).await;
    assert_eq!((mona.balance().await.as_str(), charged_cents(&mona)), ("518.00", 51_800));
    assert_eq!(declines(&mona), ["called_off"]);
    let transactions = mona.read("/v1/transactions?include=all").await.to_string();
    assert!(transactions.contains("Auto-refill canceled"), "{transactions}");
    let names: Vec<String> = mona.notices().await.into_iter().map(|(name, _)| name).collect();
    assert!(!names.iter().any(|name| name == "RefillFailed"), "{names:?}");
    // Nothing was declined, so the next refill does not wait.
    agree(&mona, "560.00", "50.00").await;
    assert_eq!((mona.balance().await.as_str(), charged_cents(&mona)), ("568.00", 56_800));

    // The customer chooses another card while an attempt for the first one is open.
    let otto = world.customer("otto");
    otto.top_up("25.00").await;
    let first = cards(&otto).await;
    let page = otto.page(&json!({"amount": "5.00"})).await;
    otto.pay(&page, OTHER_CARD).await;
    world.cloud.idle().await;
    let second = cards(&otto).await.into_iter().find(|card| !first.contains(card)).unwrap();
    without_invoices(&world);
    let mut terms = json!({"enabled": true, "threshold": "40.00", "amount": "50.00"});
    terms["payment_method"] = json!(first[0]);
    otto.write("PUT", "/v1/auto-refill", &terms).await;
    world.cloud.idle().await;
    terms["payment_method"] = json!(second);
    otto.write("PUT", "/v1/auto-refill", &terms).await;
    world.no_faults();
    world.later(5 * MINUTE).await;
    assert_eq!((otto.balance().await.as_str(), charged_cents(&otto)), ("80.00", 8_000));
    assert_eq!(declines(&otto), ["called_off"]);
    let charges = objects(&world, "charge");
    let refill = charges
        .iter()
        .find(|charge| charge["amount"] == 5_000 && charge["payment_method"] == second.as_str());
    assert!(refill.is_some(), "{charges:#?}");

    check(&[&mona, &otto]).await;
}

#[tokio::test]
async fn respite_is_given_once_whatever_is_switched() {
    let world = taxed_world().await;
    let hank = world.customer("hank");
    let named = json!({"name": "Hank GmbH", "address": {
        "line1": "Weg 1", "city": "Berlin", "postal_code": "10115", "country": "DE",
    }});
    hank.write("PUT", "/v1/company", &named).await;
    hank.top_up("34.00").await;
    let saved = cards(&hank).await;
    let project = hank.project().await;
    world.at_time("10:50:00").await;
    // $100 an hour: $16.67 up to the hour, and then $17.33 for ten minutes and 24 seconds.
    hank.start(&project, "rack").await;
    world.at_time("11:08:00").await;
    assert_eq!(hank.balance().await, "0.00");
    without_invoices(&world);
    let terms =
        |threshold: &str| json!({"enabled": true, "threshold": threshold, "amount": "50.00"});
    agree(&hank, "10.00", "50.00").await;

    // From here on the respite ends at 11:18, whatever the customer does.
    let nameless = json!({"name": "Hank GmbH"});
    let refused = world.ask(&hank.api, "PUT", "/v1/company", &nameless).await;
    assert_eq!((refused.status, &refused.json()["parameter"]), (409, &json!("address")));
    for (time, change) in [
        ("11:11:00", json!({"enabled": false})),
        ("11:11:00", terms("10.00")),
        ("11:13:00", terms("20.00")),
        (
            "11:15:00",
            json!({"enabled": true, "threshold": "30.00", "amount": "50.00", "payment_method": saved[0]}),
        ),
        ("11:17:00", json!({"enabled": false})),
        ("11:17:00", terms("15.00")),
    ] {
        world.at_time(time).await;
        hank.write("PUT", "/v1/auto-refill", &change).await;
        world.cloud.idle().await;
    }
    world.at_time("11:17:59").await;
    let balance = hank.read("/v1/balance").await;
    assert_eq!((&balance["standing"], &balance["balance"]), (&json!("good"), &json!("0.00")));
    world.at_time("11:19:00").await;
    let suspended = hank.read("/v1/balance").await;
    // 7 minutes and 36 seconds at $100 an hour.
    assert_eq!(
        (&suspended["standing"], &suspended["owed"]),
        (&json!("suspended"), &json!("12.666667")),
        "{suspended}"
    );

    // Nothing that is switched now starts anything again.
    hank.write("PUT", "/v1/auto-refill", &json!({"enabled": false})).await;
    world.at_time("11:25:00").await;
    hank.write("PUT", "/v1/company", &nameless).await;
    hank.write("PUT", "/v1/auto-refill", &terms("10.00")).await;
    world.at_time("12:10:00").await;
    let still = hank.read("/v1/balance").await;
    assert_eq!((&still["standing"], &still["owed"]), (&json!("suspended"), &json!("12.666667")));

    // The next credit pays it first.
    world.no_faults();
    hank.write("PUT", "/v1/company", &named).await;
    world.later(5 * MINUTE).await;
    let story = hank.story();
    let refill = story.iter().position(|row| row.starts_with("auto_refill 50 50"));
    let refill = refill.unwrap_or_else(|| panic!("{story:#?}"));
    assert!(story[refill + 1].starts_with("owed_paid -12.666667"), "{story:#?}");

    check(&[&hank]).await;
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
