//! Closing an account, what the page of a closed account leaves out, and storage that costs
//! something while it is off.

use serde_json::{Value, json};

use crate::paying::GOOD;
use crate::support::{ACCOUNT, Refill, Visit};

const PREVIEW: &str = "[data-testid=close-preview]";
const BANNER: &str = "[data-testid=closed-banner]";
const HOUR: u64 = 3600;

/// Opens the section with the account's settings and asks to close the account.
async fn look_at_closing(visit: &Visit) {
    visit.open("#company").await;
    visit.browser.click("close-account").await;
    visit.browser.see("close-preview").await;
}

async fn confirm(visit: &Visit, word: &str) {
    visit.browser.fill("[data-testid=close-word]", word).await;
    visit.browser.click("close-confirm").await;
}

async fn is_missing(visit: &Visit, parts: &[&str]) {
    for part in parts {
        visit.browser.counts(&format!("[data-testid={part}]"), 0).await;
    }
}

async fn balance(visit: &Visit) -> Value {
    visit.api.get("/v1/balance").await.unwrap().success().unwrap()
}

async fn stop(visit: &Visit, resource: &Value) {
    let id = resource["id"].as_str().unwrap();
    let path = format!("/v1/projects/{}/resources/{id}/stop", visit.project);
    visit.write("POST", &path, &json!({})).await;
}

/// Deletes the first resource of the project that is shown. `deleted` are deleted then.
async fn delete_one(visit: &Visit, deleted: usize) {
    visit.browser.click("resource-delete").await;
    visit.browser.click("dialog-confirm").await;
    visit.browser.counts("[data-testid=resource-row][data-state=deleted]", deleted).await;
}

/// What the page made a file of, as the browser gets it.
async fn downloaded(visit: &Visit) -> Value {
    let remember = "const make = URL.createObjectURL.bind(URL);
        URL.createObjectURL = (blob) => { window.saved = blob; return make(blob); };";
    visit.browser.script(remember).await;
    visit.browser.click("data-download").await;
    visit.browser.says("#live", "The file was downloaded.").await;
    let text = "return window.saved.text()";
    serde_json::from_str(visit.browser.script(text).await.as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn everything_that_is_kept_is_downloaded_as_one_file() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::On).await;
    visit.start("vm-small", "web").await;
    visit.open("#company").await;
    visit.browser.see("data-download").await;
    visit.pictures("your-data").await;
    let file = downloaded(&visit).await;
    assert_eq!(file["account"], ACCOUNT);
    let keys = file["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap());
    let keys: Vec<&str> = keys.collect();
    for kept in ["profile", "schedule"] {
        assert!(keys.contains(&kept), "{kept} is not in {keys:?}");
    }
    assert!(file["items"].to_string().contains("\"name\":\"web\""), "{file}");
    let rows = file["rows"].as_array().unwrap().iter().map(|row| row["type"].as_str().unwrap());
    let rows: Vec<&str> = rows.collect();
    assert_eq!((rows[0], rows.last()), ("opened", Some(&"started")), "{rows:?}");
    visit.end().await;
}

#[tokio::test]
async fn account_without_resources_closes_after_a_typed_word() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::On).await;
    visit.start("vm-small", "web").await;
    let volume = visit.start("volume-100gb", "data").await;
    stop(&visit, &volume).await;
    look_at_closing(&visit).await;
    visit.browser.says(PREVIEW, "Delete your 2 resources first.").await;
    is_missing(&visit, &["close-confirm"]).await;
    visit.pictures("close-refused").await;
    visit.browser.click("close-projects").await;
    visit.browser.counts("[data-testid=resource-row]", 2).await;
    delete_one(&visit, 1).await;
    delete_one(&visit, 2).await;

    look_at_closing(&visit).await;
    for loss in [
        "of credit can no longer be used. Ask support about a refund before you close.",
        "2 deleted resources can no longer be restored.",
        "Auto-refill is turned off.",
    ] {
        visit.browser.says(PREVIEW, loss).await;
    }
    visit.pictures("close-preview").await;
    confirm(&visit, "yes").await;
    visit.browser.says("#close-word-error", "Type “close” to close the account.").await;
    assert_eq!(balance(&visit).await["standing"], "good");
    visit.browser.click("close-cancel").await;
    is_missing(&visit, &["close-preview"]).await;

    visit.browser.click("close-account").await;
    confirm(&visit, "close").await;
    visit.browser.says(BANNER, "This account is closed.").await;
    visit.browser.says(BANNER, "Contact support to reopen it.").await;
    is_missing(&visit, &["close-account", "close-preview"]).await;
    assert_eq!(balance(&visit).await["reason"], "closed");
    assert_eq!(visit.api.get("/v1/auto-refill").await.unwrap().json()["enabled"], false);
    visit.end().await;
}

#[tokio::test]
async fn closed_account_shows_its_history_and_nothing_to_buy() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::On).await;
    visit.start("vm-small", "web").await;
    visit.pass(HOUR).await;
    visit.open("#projects").await;
    delete_one(&visit, 1).await;
    look_at_closing(&visit).await;
    confirm(&visit, "close").await;
    visit.browser.see("closed-banner").await;

    visit.open("#balance").await;
    visit.browser.says(BANNER, "This account is closed.").await;
    visit.browser.says("[data-testid=rate]", "$0.00 per hour").await;
    let offers = ["add-credit", "continue", "trial-offer", "lasts-until", "refill-warning"];
    is_missing(&visit, &offers).await;
    visit.pictures("closed-balance").await;
    // The address of the form leads to the section without it.
    visit.open("#add-credit").await;
    visit.browser.see("closed-banner").await;
    is_missing(&visit, &["add-credit"]).await;

    visit.open("#projects").await;
    visit.browser.counts("[data-testid=resource-row]", 1).await;
    visit.browser.see("closed-banner").await;
    is_missing(&visit, &["project-new", "resource-new", "resource-restore", "restart-switch"])
        .await;
    visit.pictures("closed-projects").await;
    visit.open(&format!("#projects/{}", visit.project)).await;
    visit.browser.see("bill-total").await;
    visit.browser.see("closed-banner").await;
    is_missing(&visit, &["project-budget"]).await;
    visit.open("#refill").await;
    visit.browser.says("[data-testid=refill-state]", "The account is closed.").await;
    is_missing(&visit, &["refill-form"]).await;
    visit.pictures("closed-refill").await;
    visit.open("#cards").await;
    visit.browser.counts("[data-testid=card-row]", 1).await;
    visit.browser.see("closed-banner").await;
    is_missing(&visit, &["card-add"]).await;

    visit.open("#transactions").await;
    visit.browser.see_css("[data-testid=tx-row][data-type=topup]").await;
    visit.browser.see_css("[data-testid=tx-row][data-type=usage]").await;
    visit.open("#invoices").await;
    visit.browser.counts("[data-testid=invoice-row]", 1).await;
    visit.browser.see("invoice-view").await;
    visit.end().await;
}

#[tokio::test]
async fn new_account_that_is_closed_is_offered_no_trial() {
    let Some(visit) = Visit::begin().await else { return };
    visit.open("#balance").await;
    visit.browser.see("trial-offer").await;
    look_at_closing(&visit).await;
    let losses = visit.browser.text(PREVIEW).await;
    assert!(!losses.contains("of credit") && !losses.contains("restored"), "{losses}");
    confirm(&visit, "close").await;
    visit.browser.see("closed-banner").await;
    visit.open("#balance").await;
    visit.browser.see("closed-banner").await;
    is_missing(&visit, &["trial-offer", "add-credit"]).await;
    visit.browser.says("main", "No transactions yet").await;
    visit.pictures("closed-new-account").await;
    visit.end().await;
}

#[tokio::test]
async fn changed_balance_is_shown_before_the_account_closes() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("10.00", GOOD, Refill::Off).await;
    look_at_closing(&visit).await;
    visit.browser.says(PREVIEW, "$10.00 of credit can no longer be used.").await;
    let text = visit.browser.text(PREVIEW).await;
    assert!(!text.contains("Auto-refill"), "{text}");

    let path = format!("/v1/admin/accounts/{ACCOUNT}/bonus");
    let bonus = json!({"amount": "5.00", "expires_at": "2026-12-22T00:00:00Z", "reason": "thanks"});
    let headers = [("content-type", "application/json"), ("idempotency-key", "bonus")];
    let given = visit.staff().send("POST", &path, &headers, bonus.to_string()).await.unwrap();
    given.success().unwrap();
    confirm(&visit, "close").await;
    visit.browser.says("[data-testid=close-changed]", "Your balance has changed.").await;
    visit.browser.says(PREVIEW, "$15.00 of credit can no longer be used.").await;
    visit.pictures("close-changed").await;
    assert_eq!(balance(&visit).await["standing"], "good");

    confirm(&visit, "close").await;
    visit.browser.says(BANNER, "This account is closed.").await;
    assert_eq!(balance(&visit).await["standing"], "closed");
    // The refusal itself is in the browser's log, and nothing else.
    let complaints = visit.complaints().await;
    assert!(complaints.iter().all(|complaint| complaint.contains("409")), "{complaints:?}");
}

#[tokio::test]
async fn stopped_volume_shows_that_its_storage_is_billed() {
    const STOPPED: &str = "[data-testid=resource-row][data-state=stopped]";
    const RATE: &str = "[data-testid=project-rate]";
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::Off).await;
    let machine = visit.start("vm-large", "web").await;
    let volume = visit.start("volume-100gb", "data").await;
    let project = format!("#projects/{}", visit.project);
    stop(&visit, &volume).await;
    visit.open(&project).await;
    visit.browser.says(STOPPED, "storage billed").await;
    visit.browser.says(STOPPED, "$0.012 per hour").await;
    visit.browser.says(RATE, "$0.262 per hour").await;
    visit.pictures("volume-stopped").await;

    // A machine costs nothing while it is off.
    stop(&visit, &machine).await;
    visit.open(&project).await;
    visit.browser.counts(STOPPED, 2).await;
    let id = machine["id"].as_str().unwrap();
    let row = visit.browser.text(&format!("[data-testid=resource-row][data-id='{id}']")).await;
    assert!(row.contains("$0.00 per hour") && row.contains("$0.25 when running"), "{row}");
    assert!(!row.contains("storage billed"), "{row}");
    visit.browser.says(RATE, "$0.012 per hour").await;
    // The account's rate is the same one.
    assert_eq!(balance(&visit).await["rate_per_hour"], "0.012");
    visit.open("#balance").await;
    visit.browser.says("[data-testid=rate]", "$0.012 per hour").await;
    visit.end().await;
}
