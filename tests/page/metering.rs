//! A customer who runs nothing and is billed by what the platform counts: from the first dollar to
//! zero and back.

use serde_json::{Value, json};

use crate::support::{Refill, Visit};

const GOOD: &str = "4242424242424242";

/// Tokens of $2.50 a million.
async fn put_price(visit: &Visit) {
    let price = json!({"sku": "output-tokens", "unit": "quantity", "kind": "meter",
        "rate": "0.0000025", "name": "Output tokens", "unit_name": "1M tokens",
        "unit_size": "1000000"});
    let prices = json!({"prices": [price]});
    visit.staff().write("PUT", "/v1/admin/prices", &prices).await.unwrap().success().unwrap();
}

async fn ask(visit: &Visit, path: &str, body: &Value) -> Value {
    visit.platform().write("POST", path, body).await.unwrap().success().unwrap()
}

#[tokio::test]
async fn metered_customer_goes_to_zero_and_back() {
    let Some(visit) = Visit::begin().await else { return };
    put_price(&visit).await;
    visit.pay("5.00", GOOD, Refill::Off).await;
    for (number, (key, tokens)) in [("k1", "300000"), ("k2", "100000")].into_iter().enumerate() {
        let report = json!({"project": visit.project, "sku": "output-tokens", "quantity": tokens,
            "id": format!("u-{number}"), "labels": {"api_key": key}});
        ask(&visit, "/v1/usage", &report).await;
    }
    let hold = json!({"project": visit.project, "skus": ["output-tokens"], "amount": "2.00"});
    let hold = ask(&visit, "/v1/holds", &hold).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=held]", "$2.00").await;
    // A dollar was billed at once.
    visit.browser.says("[data-testid=available]", "$2.00").await;
    visit.pictures("metered-held").await;

    let usage = json!({"usage": [{"sku": "output-tokens", "quantity": "800000",
        "labels": {"api_key": "k1"}}]});
    let capture = format!("/v1/holds/{}/capture", hold["id"].as_str().unwrap());
    ask(&visit, &capture, &usage).await;
    visit.open(&format!("#projects/{}", visit.project)).await;
    visit.browser.says("[data-testid=bill-row]", "Output tokens").await;
    visit.browser.says("[data-testid=bill-row]", "$2.50 / 1M tokens").await;
    visit.browser.says("[data-testid=bill-row]", "1.2 \u{d7} 1M tokens").await;
    visit.browser.says("[data-testid=bill-label-row]", "api_key k1").await;
    visit.browser.says("[data-testid=bill-total]", "$3.00").await;
    visit.pictures("metered-bill").await;
    visit.open("#transactions").await;
    visit.browser.click_css("[data-testid=tx-row][data-type=usage] [data-testid=tx-open]").await;
    visit.browser.says("[data-testid=tx-lines]", "800,000").await;

    visit.pass(60).await;
    let report = json!({"project": visit.project, "sku": "output-tokens", "quantity": "900000",
        "id": "u-9"});
    ask(&visit, "/v1/usage", &report).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=banner]", "suspended").await;
    visit.pictures("metered-suspended").await;
    visit.pay("5.00", GOOD, Refill::Off).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=balance]", "$4.75").await;
    assert_eq!(visit.balance().await, "4.75");
    visit.end().await;
}
