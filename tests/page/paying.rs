//! Payments on the page: successful and failed top-ups, refills, and too little credit.

use serde_json::json;

use crate::browser::{DESKTOP, PHONE, Scheme};
use crate::support::{Refill, Visit};

pub(crate) const GOOD: &str = "4242424242424242";
const DECLINED: &str = "4000000000000002";
const ASKS: &str = "4000002760003184";
const DECLINED_LATER: &str = "4000000000000341";

/// From the page to Stripe's, with an amount.
pub(crate) async fn continue_with(visit: &Visit, preset: &str) {
    visit.open("#balance").await;
    visit.browser.click(preset).await;
    visit.browser.click("continue").await;
    visit.browser.see_css("input[name=card]").await;
}

/// A card typed into Stripe's page.
pub(crate) async fn type_card(visit: &Visit, card: &str) {
    visit.browser.fill("input[name=card]", card).await;
    visit.browser.click_css("form button:not(.quiet)").await;
}

#[tokio::test]
async fn a_top_up_ends_with_a_green_banner_and_the_credit() {
    let Some(visit) = Visit::begin().await else { return };
    visit.open("#balance").await;
    visit.browser.says("[data-testid=balance]", "$0.00").await;
    visit.browser.picture("new-account").await;
    continue_with(&visit, "add-amount-25").await;
    visit.browser.picture("payment-page").await;
    type_card(&visit, GOOD).await;
    visit.browser.says("[data-testid=banner-success]", "$25.00 was added").await;
    visit.browser.says("[data-testid=balance]", "$25.00").await;
    visit.browser.picture("top-up-paid").await;
    assert_eq!(visit.balance().await, "25.00");
    // The customer agreed to the terms below the amount: a fifth of the first top-up.
    let refill = visit.api.get("/v1/auto-refill").await.unwrap().json();
    assert_eq!(
        (&refill["enabled"], &refill["threshold"], &refill["amount"]),
        (&json!(true), &json!("5.00"), &json!("25.00"))
    );
    visit.end().await;
}

#[tokio::test]
async fn amount_is_validated_while_typed_and_refills_stay_off() {
    let Some(visit) = Visit::begin().await else { return };
    visit.open("#balance").await;
    for (typed, complaint) in [("1.234", "decimals"), ("abc", ""), ("99999", "maximum")] {
        visit.browser.fill("[data-testid=custom-amount]", typed).await;
        visit.browser.says("[data-testid=add-credit] .field-error, [data-testid=add-credit] [role=alert], [data-testid=add-credit] .error", complaint).await;
    }
    visit.browser.fill("[data-testid=custom-amount]", "12.50").await;
    visit.browser.click("refill-switch").await;
    visit.browser.click("continue").await;
    visit.browser.see_css("input[name=card]").await;
    type_card(&visit, GOOD).await;
    visit.browser.says("[data-testid=banner-success]", "$12.50 was added").await;
    assert_eq!(visit.api.get("/v1/auto-refill").await.unwrap().json()["enabled"], false);
    visit.end().await;
}

#[tokio::test]
async fn amount_limits_are_the_operators_parameters() {
    let parameters = [("TopupMin", "10.00"), ("TopupMax", "250.00"), ("RefillMin", "20.00")];
    let Some(visit) = Visit::begin_with(&parameters).await else { return };
    visit.open("#balance").await;
    visit.browser.counts(".preset", 2).await;
    let complaint = "[data-testid=add-credit] .field-error";
    for (typed, expected) in
        [("9.99", "The minimum is $10.00."), ("250.01", "The maximum is $250.00.")]
    {
        visit.browser.fill("[data-testid=custom-amount]", typed).await;
        visit.browser.says(complaint, expected).await;
    }
    visit.browser.fill("[data-testid=custom-amount]", "10").await;
    visit.browser.says("[data-testid=continue]", "Continue with $10.00").await;
    assert_eq!(visit.browser.text(complaint).await, "");
    visit.open("#refill").await;
    visit.browser.click("refill-enabled").await;
    visit.browser.fill("[data-testid=refill-amount]", "19.99").await;
    visit.browser.says("#refill-amount-error", "The minimum is $20.00.").await;
    visit.end().await;
}

#[tokio::test]
async fn amount_from_the_minimum_on_is_not_refused_while_typed() {
    let Some(visit) = Visit::begin().await else { return };
    visit.open("#balance").await;
    for typed in ["1", "3", "4.99"] {
        visit.browser.fill("[data-testid=custom-amount]", typed).await;
        visit.browser.says("[data-testid=continue]", &format!("Continue with ${typed}")).await;
        assert_eq!(
            visit.browser.text("[data-testid=add-credit] .field-error").await,
            "",
            "{typed}"
        );
    }
    visit.end().await;
}

#[tokio::test]
async fn going_back_cancels_and_charges_nothing() {
    let Some(visit) = Visit::begin().await else { return };
    continue_with(&visit, "add-amount-5").await;
    visit.browser.click_css("a[href*='checkout=canceled']").await;
    visit.browser.says("[data-testid=banner-info]", "Top-up cancelled. No charge was made.").await;
    visit.browser.picture("top-up-cancelled").await;
    visit.cloud.idle().await;
    assert_eq!(visit.balance().await, "0.00");
    visit.end().await;
}

#[tokio::test]
async fn declined_card_shows_at_stripe_and_another_card_pays() {
    let Some(visit) = Visit::begin().await else { return };
    continue_with(&visit, "add-amount-25").await;
    type_card(&visit, DECLINED).await;
    visit.browser.says("body", "declined").await;
    assert_eq!(visit.balance().await, "0.00");
    type_card(&visit, ASKS).await;
    // 3-D Secure: the bank asks.
    visit.browser.click_css("button[value=approve]").await;
    visit.browser.says("[data-testid=banner-success]", "$25.00 was added").await;
    assert_eq!(visit.balance().await, "25.00");
    visit.end().await;
}

#[tokio::test]
async fn decline_of_a_refill_shows_what_to_do() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", DECLINED_LATER, Refill::Off).await;
    visit.open("#refill").await;
    visit.browser.see("refill-form").await;
    visit.browser.click("refill-enabled").await;
    visit.browser.fill("#refill-threshold", "20").await;
    visit.browser.fill("#refill-amount", "30").await;
    visit.browser.fill("#refill-cap", "100").await;
    visit.browser.says("[data-testid=refill-sentence]", "$30.00").await;
    visit.browser.click("refill-save").await;
    visit.browser.says("main", "$30.00").await;
    visit.browser.picture("refill-set").await;
    let refill = visit.api.get("/v1/auto-refill").await.unwrap().json();
    assert_eq!((&refill["threshold"], &refill["monthly_cap"]), (&json!("20.00"), &json!("100.00")));
    // Below the threshold at once. The card is charged, and its bank declines.
    visit.start("vm-gpu", "trainer").await;
    visit.pass(3 * 3600).await;
    visit.open("#refill").await;
    visit.browser.see("last-attempt").await;
    visit.browser.see("decline-message").await;
    visit.browser.see("decline-action").await;
    visit.browser.picture("refill-declined").await;
    visit.browser.look(PHONE, Scheme::Dark).await;
    visit.browser.picture("refill-declined-phone-dark").await;
    visit.browser.look(DESKTOP, Scheme::Light).await;
    visit.end().await;
}

#[tokio::test]
async fn refill_to_a_target_is_agreed_to_in_the_words_shown() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::Off).await;
    visit.open("#refill").await;
    visit.browser.see("refill-form").await;
    visit.browser.click("refill-enabled").await;
    visit.browser.choose("#refill-mode", "to_target").await;
    visit.browser.fill("#refill-threshold", "20").await;
    visit.browser.fill("#refill-target", "20.50").await;
    visit.browser.says("#refill-target-error", "Enter at least $21.00.").await;
    visit.browser.fill("#refill-target", "80").await;
    let words = "When your balance falls below $20.00, your card is charged what brings it to $80.00, at most $80.00 plus any tax.";
    visit.browser.says("[data-testid=refill-sentence]", words).await;
    visit.browser.picture("refill-to-target").await;
    visit.browser.look(PHONE, Scheme::Dark).await;
    visit.browser.picture("refill-to-target-phone-dark").await;
    visit.browser.look(DESKTOP, Scheme::Light).await;
    visit.browser.click("refill-save").await;
    visit.browser.says("main", "Saved. Auto-refill is on.").await;
    let refill = visit.api.get("/v1/auto-refill").await.unwrap().json();
    let expected = [json!("to_target"), json!("80.00"), json!("80.00"), json!(null)];
    let shown = ["mode", "target", "max_charge", "amount"].map(|name| refill[name].clone());
    assert_eq!(shown, expected, "{refill}");
    // A top-up on the page keeps the agreement.
    continue_with(&visit, "add-amount-5").await;
    visit.browser.says("body", "what brings it to $80.00, at most $80.00").await;
    type_card(&visit, GOOD).await;
    visit.browser.says("[data-testid=banner-success]", "$5.00 was added").await;
    let kept = visit.api.get("/v1/auto-refill").await.unwrap().json();
    assert_eq!((&kept["mode"], &kept["target"]), (&json!("to_target"), &json!("80.00")));
    visit.end().await;
}

#[tokio::test]
async fn declined_refill_shows_on_balance_with_the_next_try() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", DECLINED_LATER, Refill::On).await;
    visit.start("vm-gpu", "trainer").await;
    visit.pass(8 * 3600 + 120).await;
    let refill = visit.api.get("/v1/auto-refill").await.unwrap().json();
    assert_eq!(refill["last_attempt"]["outcome"], "failed", "{refill}");
    visit.open("#balance").await;
    let warning = "[data-testid=refill-warning]";
    visit.browser.says(warning, "Your refill of $25.00 was declined.").await;
    visit.browser.says(warning, "Your card was declined. Contact your bank for details.").await;
    visit.browser.says(warning, "The next attempt is on").await;
    visit.browser.says(warning, "Use another card").await;
    for (size, scheme, name) in [
        (DESKTOP, Scheme::Light, "balance-declined"),
        (PHONE, Scheme::Dark, "balance-declined-phone-dark"),
        (PHONE, Scheme::Light, "balance-declined-phone"),
    ] {
        visit.browser.look(size, scheme).await;
        visit.browser.picture(name).await;
    }
    visit.browser.look(DESKTOP, Scheme::Light).await;
    // Auto-refill says the same, and not that it was a limit or a decline.
    visit.open("#refill").await;
    visit.browser.says("[data-testid=refill-state]", "Your refill of $25.00 was declined.").await;
    visit.browser.picture("refill-section-declined").await;
    // The button leads to Stripe's page for another card.
    visit.open("#balance").await;
    visit.browser.click_css("[data-testid=refill-warning] [data-testid=refill-add-card]").await;
    visit.browser.see_css("input[name=card]").await;
    visit.end().await;
}

#[tokio::test]
async fn working_refills_leave_no_warning_that_everything_stops() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::On).await;
    visit.start("vm-gpu", "trainer").await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=lasts-until]", "in ").await;
    visit.browser.says("[data-testid=balance-card]", "without refills").await;
    for text in ["Your credit lasts only", "All resources stop", "Deletion if no credit"] {
        assert!(!visit.browser.text("body").await.contains(text), "{text}");
    }
    visit.browser.picture("balance-with-refills").await;
    // Switched off, the same credit is a warning.
    visit.write("PUT", "/v1/auto-refill", &json!({"enabled": false})).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=banner]", "Your credit lasts only").await;
    visit.end().await;
}

#[tokio::test]
async fn start_with_too_little_credit_shows_what_is_missing() {
    let Some(visit) = Visit::begin().await else { return };
    visit.create_machine("web").await;
    visit.browser.says("[data-testid=resource-form]", "$5.00").await;
    visit.browser.picture("start-refused").await;
    visit.browser.see("problem-add-credit").await;
    // The refusal itself is in the browser's log, and nothing else.
    let complaints = visit.complaints().await;
    assert!(complaints.iter().all(|complaint| complaint.contains("402")), "{complaints:?}");
    visit.end().await;
}

#[tokio::test]
async fn invoices_and_cards_are_there_after_a_payment() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::On).await;
    visit.open("#invoices").await;
    visit.browser.counts("[data-testid=invoice-row]", 1).await;
    visit.browser.says("[data-testid=invoice-row]", "$25.00").await;
    visit.browser.picture("invoices").await;
    let invoice = visit.browser.see("invoice-view").await.attr("href").await.unwrap().unwrap();
    visit.open("#cards").await;
    visit.browser.counts("[data-testid=card-row]", 1).await;
    visit.browser.says("[data-testid=card-row]", "4242").await;
    visit.browser.picture("cards").await;
    visit.browser.click("card-remove").await;
    visit.browser.see("dialog-confirm").await;
    visit.browser.picture("card-remove-dialog").await;
    visit.browser.click("dialog-confirm").await;
    visit.browser.counts("[data-testid=card-row]", 0).await;
    visit.cloud.idle().await;
    assert_eq!(visit.api.get("/v1/auto-refill").await.unwrap().json()["state"], "paused");
    assert_eq!(visit.complaints().await, Vec::<String>::new());
    visit.browser.open(&invoice).await;
    visit.browser.says("body", "$25.00").await;
    visit.end().await;
}

#[tokio::test]
async fn refund_by_staff_says_when_it_arrives() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::Off).await;
    let paid = visit.api.get("/v1/transactions?type=topup").await.unwrap().json();
    let payment = paid["items"][0]["stripe"]["payment_intent"].as_str().unwrap();
    let path = format!("/v1/admin/payments/{payment}/refunds");
    let headers = [("content-type", "application/json"), ("idempotency-key", "k-1")];
    let body = json!({"amount": "10.00", "reason": "too much"}).to_string();
    let refund = visit.staff().send("POST", &path, &headers, body).await.unwrap().json();
    assert_eq!(refund["status"], "sent", "{refund}");
    visit.cloud.idle().await;
    visit.open("#transactions").await;
    let row = "[data-testid=tx-row][data-type=refund]";
    visit.browser.says(row, "$10.00 arrives within 5 to 10 business days").await;
    assert_eq!(visit.balance().await, "15.00");
    visit.pictures("refund").await;
    visit.open("#invoices").await;
    visit.browser.says("[data-testid=invoice-row]", "$10.00 refunded").await;
    visit.pictures("refund-invoice").await;
    assert_eq!(visit.complaints().await, Vec::<String>::new());
    visit.end().await;
}

#[tokio::test]
async fn added_card_is_the_default_and_refills_at_once_on_request() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::Off).await;
    let terms = json!({"enabled": true, "threshold": "10.00", "amount": "25.00"});
    visit.write("PUT", "/v1/auto-refill", &terms).await;
    visit.open("#refill").await;
    visit.browser.says("[data-testid=refill-card]", "Default card (Visa ending in 4242)").await;
    visit.browser.picture("refill-default-card").await;

    let cards = visit.api.get("/v1/payment-methods").await.unwrap().json();
    let card = format!("/v1/payment-methods/{}", cards["items"][0]["id"].as_str().unwrap());
    let removed = visit.api.send("DELETE", &card, &[], String::new()).await.unwrap();
    assert_eq!(removed.status, 204);
    visit.write("PUT", "/v1/auto-refill", &json!({"threshold": "30.00"})).await;
    visit.open("#balance").await;
    visit.open("#refill").await;
    visit.browser.says("[data-testid=refill-state]", "There is no card to charge").await;
    visit.browser.click("refill-add-card").await;
    type_card(&visit, "5555555555554444").await;
    visit.browser.says("[data-testid=banner-success]", "Card added").await;
    visit.open("#balance").await;
    visit
        .browser
        .says("[data-testid=refill-warning]", "Your card for auto-refill has changed")
        .await;
    visit.browser.picture("refill-now").await;
    visit.browser.click("refill-now").await;
    visit.browser.says("[data-testid=balance]", "$50.00").await;
    visit.end().await;
}
