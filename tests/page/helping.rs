//! Where a customer is sent for help, and what support is given to find a payment.

use serde_json::json;

use crate::browser::{DESKTOP, PHONE, Scheme};
use crate::paying::{GOOD, continue_with};
use crate::support::{ACCOUNT, Refill, Visit};

#[tokio::test]
async fn help_carries_account_address_and_ids_to_copy() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::Off).await;
    // From a transaction.
    visit.open("#transactions").await;
    visit.browser.click_css("[data-type=topup] [data-testid=tx-open]").await;
    visit.browser.says("[data-testid=tx-ids]", "pi_").await;
    let origin = visit.cloud.urls().api.clone();
    let permissions =
        json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": origin});
    visit.browser.devtools("Browser.grantPermissions", permissions).await;
    visit.browser.click_css("[data-testid=copy-id][aria-label^='Copy Charge']").await;
    visit.browser.says("[data-testid=tx-ids]", "Copied.").await;
    let copied = visit.browser.script("return navigator.clipboard.readText()").await;
    assert!(copied.as_str().unwrap().starts_with("ch_"), "{copied}");
    for (size, scheme, name) in [
        (PHONE, Scheme::Light, "transaction-ids-phone"),
        (PHONE, Scheme::Dark, "transaction-ids-phone-dark"),
        (DESKTOP, Scheme::Light, "transaction-ids"),
    ] {
        visit.browser.look(size, scheme).await;
        visit.browser.picture(name).await;
    }
    visit.browser.click_css("[data-testid=tx-ids] [data-testid=get-help]").await;
    let details = "[data-testid=help-details]";
    let transaction = format!("{ACCOUNT}#1");
    for expected in [ACCOUNT, &format!("{ACCOUNT}@example.test"), &transaction] {
        visit.browser.says(details, expected).await;
    }
    let mail = visit.browser.see("contact").await.attr("href").await.unwrap().unwrap();
    assert!(mail.starts_with("mailto:ops@example.test?subject=Billing&body=Account"), "{mail}");
    assert!(mail.contains("Transaction%3A%20acme%231"), "{mail}");
    // From a payment page.
    continue_with(&visit, "add-amount-5").await;
    visit.browser.client.back().await.unwrap();
    visit.browser.see("banner-info").await;
    visit.browser.click("foot-help").await;
    visit.browser.says(details, "cs_test_").await;
    visit.browser.click("help-copy").await;
    visit.browser.says("[data-testid=help-contact]", "Copied.").await;
    let copied = visit.browser.script("return navigator.clipboard.readText()").await;
    assert!(copied.as_str().unwrap().contains("Checkout session: cs_test_"), "{copied}");
    visit.browser.click_css("[data-testid=help-currency] summary").await;
    visit.browser.says("[data-testid=help-currency]", "US dollars (USD) only").await;
    visit.browser.click_css("[data-testid=help-declined] summary").await;
    visit.browser.says("[data-testid=help-declined]", "You were not charged.").await;
    for (size, scheme, name) in [
        (DESKTOP, Scheme::Light, "help"),
        (PHONE, Scheme::Light, "help-phone"),
        (PHONE, Scheme::Dark, "help-phone-dark"),
    ] {
        visit.browser.look(size, scheme).await;
        visit.browser.picture(name).await;
    }
    visit.end().await;
}

#[tokio::test]
async fn amount_above_the_maximum_leads_to_sales() {
    let Some(visit) = Visit::begin().await else { return };
    visit.open("#balance").await;
    visit.browser.fill("[data-testid=custom-amount]", "1000.01").await;
    visit.browser.says("#custom-amount-error", "The maximum is $1,000.00.").await;
    visit.browser.picture("amount-too-large").await;
    visit.browser.click("larger").await;
    visit.browser.says("[data-testid=help-larger]", "contact our sales team").await;
    let mail = visit.browser.see("contact-sales").await.attr("href").await.unwrap().unwrap();
    assert!(mail.starts_with("mailto:ops@example.test?subject=Top-up"), "{mail}");
    visit.end().await;
}

#[tokio::test]
async fn every_error_and_warning_leads_to_help() {
    let Some(visit) = Visit::begin().await else { return };
    visit.create_machine("web").await;
    visit.browser.see_css("[data-testid=problem] [data-testid=get-help]").await;
    visit.pay("5.00", GOOD, Refill::Off).await;
    visit.start("vm-gpu", "trainer").await;
    visit.open("#balance").await;
    visit.browser.see_css("[data-testid=banner] [data-testid=get-help]").await;
    visit.pass(3 * 3600).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=banner]", "suspended").await;
    visit.browser.click_css("[data-testid=banner] [data-testid=get-help]").await;
    visit.browser.says("[data-testid=help-details]", ACCOUNT).await;
    visit.browser.client.clone().close().await.unwrap();
}
