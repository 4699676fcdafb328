//! Commit plans on the page: compared, bought, and gone when staff end the offer.

use serde_json::{Value, json};

use crate::paying::{GOOD, type_card};
use crate::support::Visit;

const PLAN: &str = "[data-testid=plan]";
const PLANS: &str = "[data-testid=plans]";
const GO: &str = "[data-testid=plan-continue]";

fn two_plans() -> [Value; 2] {
    [
        json!({"id": "year", "months": 12, "price": "1200.00", "bonus_percent": 20}),
        json!({"id": "half", "months": 6, "price": "600.00", "bonus": "60.00",
            "excludes": ["vm-large"], "available_until": "2026-12-24T12:00:00Z"}),
    ]
}

async fn offer(visit: &Visit, version: u64, offers: &[Value]) {
    let body = json!({"version": version, "offers": offers, "reason": "a test"});
    let set = visit.staff().write("PUT", "/v1/admin/commit-offers", &body).await;
    set.unwrap().success().unwrap();
}

#[tokio::test]
async fn plan_is_chosen_bought_and_shown_with_its_bonus() {
    let Some(visit) = Visit::begin().await else { return };
    offer(&visit, 1, &two_plans()).await;
    visit.open("#balance").await;
    visit.browser.counts(PLAN, 2).await;
    visit.browser.says(PLANS, "Pay $600.00, get $660.00").await;
    visit
        .browser
        .says(PLANS, "bonus expires 6 months after it is added and does not pay for")
        .await;
    visit.browser.says(PLANS, "Offered until").await;
    visit.browser.says(GO, "Continue with $600.00").await;
    visit.browser.click("plan-year").await;
    // The choice is the same above and here.
    visit.browser.click("refill-switch").await;
    let switched = "return document.getElementById('plan-refill-switch').checked";
    assert_eq!(visit.browser.script(switched).await, false);
    visit.browser.click("plan-refill-switch").await;
    visit.browser.says(GO, "Continue with $1,200.00").await;
    visit.pictures("plans").await;
    visit.browser.click("plan-continue").await;
    visit.browser.see_css("input[name=card]").await;
    visit.browser.says("body", "Commit plan: $1200.00 of credit plus a $240.00 bonus").await;
    visit.browser.picture("plan-payment-page").await;
    type_card(&visit, GOOD).await;
    visit.browser.says("[data-testid=banner-success]", "$1,440.00 was added").await;
    visit.browser.says("[data-testid=balance]", "$1,440.00").await;
    visit.browser.says("[data-testid=grants]", "Commit bonus").await;
    visit.pictures("plan-bought").await;
    // The customer agreed to the terms below the plans.
    let refill = visit.api.get("/v1/auto-refill").await.unwrap().json();
    assert_eq!((&refill["enabled"], &refill["threshold"]), (&json!(true), &json!("10.00")));
    visit.open("#invoices").await;
    visit.browser.says("[data-testid=invoices]", "Commit plan").await;
    visit.open("#transactions").await;
    visit.browser.says("main", "Commit plan $1200.00 with $240.00 bonus").await;
    visit.end().await;
}

#[tokio::test]
async fn amount_above_the_limit_names_plans_and_sales() {
    let Some(visit) = Visit::begin().await else { return };
    offer(&visit, 1, &two_plans()).await;
    visit.open("#balance").await;
    visit.browser.counts(PLAN, 2).await;
    visit.browser.fill("[data-testid=custom-amount]", "1500").await;
    let complaint = "[data-testid=add-credit] .field-error";
    visit.browser.says(complaint, "see commit plans or contact sales").await;
    visit.pictures("amount-too-large").await;
    visit.browser.click("see-plans").await;
    visit.browser.see_css("#h-plans:focus").await;
    visit.end().await;
}

#[tokio::test]
async fn plan_that_staff_ended_is_not_sold() {
    let Some(visit) = Visit::begin().await else { return };
    offer(&visit, 1, &two_plans()).await;
    visit.open("#balance").await;
    visit.browser.counts(PLAN, 2).await;
    offer(&visit, 2, &[]).await;
    visit.browser.click("plan-continue").await;
    visit.browser.says(PLANS, "The plans on offer have changed. You were not charged.").await;
    visit.pictures("plan-ended").await;
    visit.browser.click("plans-again").await;
    visit.browser.counts(PLAN, 0).await;
    visit.browser.fill("[data-testid=custom-amount]", "1500").await;
    visit.browser.says("[data-testid=add-credit] .field-error", "Contact sales").await;
    // The browser logs the refusal.
    let complaints = visit.complaints().await;
    assert!(complaints.iter().all(|complaint| complaint.contains("409")), "{complaints:?}");
}
