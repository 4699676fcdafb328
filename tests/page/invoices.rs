//! Invoices that staff issued, on the customer's page.

use serde_json::json;

use crate::paying::GOOD;
use crate::support::Visit;

#[tokio::test]
async fn invoice_by_staff_is_shown_paid_and_listed() {
    let Some(visit) = Visit::begin().await else { return };
    let wish = json!({"credit": "5000.00", "due_days": 14, "reason": "a contract"});
    // The first call opens the account, with an address for mails.
    visit.open("#invoices").await;
    visit.write("PUT", "/v1/account", &json!({"email": "acme@example.test"})).await;
    let path = "/v1/admin/accounts/acme/invoices";
    let headers = [("content-type", "application/json"), ("idempotency-key", "k-1")];
    let issued = visit.staff().send("POST", path, &headers, wish.to_string()).await.unwrap();
    let issued = issued.success().unwrap();
    visit.open("#invoices").await;
    visit.browser.says("[data-testid=invoices-open]", "$5,000.00 for invoice").await;
    visit.pictures("invoice-open").await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let url = issued["hosted_url"].as_str().unwrap();
    visit.api.send("POST", url, &form, format!("card={GOOD}")).await.unwrap();
    visit.cloud.idle().await;
    visit.open("#invoices").await;
    visit.browser.counts("[data-testid=invoices-open]", 0).await;
    visit.browser.says("[data-testid=invoices]", "$5,000.00").await;
    visit.pictures("invoice-paid").await;
    assert_eq!(visit.balance().await, "5000.00");
    visit.end().await;
}
