//! The free trial: the offer, Stripe's page that saves a card, the time it runs, and its end.

use serde_json::{Value, json};

use crate::paying::{GOOD, continue_with, type_card};
use crate::support::Visit;

const PREPAID: &str = "5105105105105100";
const HOUR: u64 = 3600;

/// Refills are first offered with the switch off.
const UNSELECTED: (&str, &str) = ("RefillConsent", "unselected");

/// Waits until the offer can be accepted.
async fn offered(visit: &Visit) {
    visit.open("#balance").await;
    visit.browser.see_css("[data-testid=trial-start]:not([aria-busy])").await;
}

/// From the offer to Stripe's page.
async fn start(visit: &Visit) {
    visit.browser.click("trial-start").await;
    visit.browser.see_css("input[name=card]").await;
}

async fn trial(visit: &Visit) -> Value {
    visit.api.get("/v1/trial").await.unwrap().success().unwrap()
}

async fn is_checked(visit: &Visit, switch: &str) -> bool {
    let checked = format!("return document.getElementById('{switch}').checked");
    visit.browser.script(&checked).await == json!(true)
}

#[tokio::test]
async fn trial_with_refills_runs_and_is_renewed() {
    let Some(visit) = Visit::begin().await else { return };
    offered(&visit).await;
    visit.browser.says("[data-testid=trial-offer]", "Try it free: $20.00 for 3 days").await;
    visit.browser.says("[data-testid=trial-offer]", "at most 4 services").await;
    let offer = trial(&visit).await;
    let words = offer["auto_refill"]["words"].as_str().unwrap();
    visit.browser.says("[data-testid=trial-words]", words).await;
    visit.pictures("trial-offer").await;
    start(&visit).await;
    // Stripe's page shows the same terms.
    visit.browser.says("body", words).await;
    visit.browser.picture("trial-card-page").await;
    type_card(&visit, GOOD).await;
    visit.browser.says("[data-testid=banner-success]", "Your trial has started.").await;
    visit.browser.says("[data-testid=trial-left]", "$20.00 of $20.00 left").await;
    visit.browser.says("[data-testid=trial-then]", "Nothing will be charged.").await;
    visit.browser.says("[data-testid=balance]", "$20.00").await;
    visit.browser.counts("[data-testid=trial-offer]", 0).await;
    assert_eq!(visit.browser.script("return location.search").await, "");
    visit.pictures("trial-started").await;
    let refill = visit.api.get("/v1/auto-refill").await.unwrap().json();
    assert_eq!(refill["enabled"], true, "{refill}");

    // $0.35 an hour use the credit in 57 hours.
    visit.start("postgres", "orders").await;
    visit.open("#projects").await;
    let left = "2 days 9 hours left, $19.65 of $20.00 left";
    visit.browser.says("[data-testid=trial-left]", left).await;
    let then = "your card is charged about $25.00 plus any tax";
    visit.browser.says("[data-testid=trial-then]", then).await;
    visit.pictures("trial-running").await;

    visit.pass(58 * HOUR).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=balance]", "$24.").await;
    assert_eq!(trial(&visit).await["status"], "renewed");
    for part in ["trial-running", "trial-ended", "trial-offer"] {
        visit.browser.counts(&format!("[data-testid={part}]"), 0).await;
    }
    visit.browser.picture("trial-renewed").await;
    visit.end().await;
}

#[tokio::test]
async fn trial_without_refills_ends_and_credit_is_asked_for() {
    let Some(visit) = Visit::begin().await else { return };
    offered(&visit).await;
    assert!(is_checked(&visit, "trial-refill").await);
    visit.browser.click("trial-refill").await;
    visit.browser.says("[data-testid=trial-words]", "deleted when it ends").await;
    visit.pictures("trial-offer-without-refills").await;
    start(&visit).await;
    type_card(&visit, GOOD).await;
    visit.browser.says("[data-testid=trial-then]", "Nothing will be charged.").await;
    assert_eq!(visit.api.get("/v1/auto-refill").await.unwrap().json()["enabled"], false);

    visit.start("vm-small", "web").await;
    visit.pass(50 * HOUR).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=trial-then]", "everything is stopped and deleted").await;
    visit.browser.see("trial-add-credit").await;
    visit.browser.counts(".notice.warning[data-testid=trial-running]", 1).await;
    // Its end is announced once.
    assert_eq!(visit.browser.text("[data-testid=banner]").await, "");
    visit.pictures("trial-ends-soon").await;

    visit.pass(24 * HOUR).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=banner]", "Your trial ended and no credit was added.").await;
    // The banner says it.
    visit.browser.counts("[data-testid=trial-ended]", 0).await;
    visit.pictures("trial-ended").await;
    // The customer has decided against refills.
    visit.browser.see_css("[data-testid=add-credit] .refill-line:not([aria-busy])").await;
    assert!(!is_checked(&visit, "refill-switch").await);
    continue_with(&visit, "add-amount-25").await;
    type_card(&visit, GOOD).await;
    visit.browser.says("[data-testid=banner-success]", "$25.00 was added").await;
    visit.end().await;
}

#[tokio::test]
async fn trial_canceled_at_stripe_is_offered_again() {
    let Some(visit) = Visit::begin_with(&[UNSELECTED]).await else { return };
    offered(&visit).await;
    // The operator preselects nothing.
    assert!(
        !is_checked(&visit, "trial-refill").await && !is_checked(&visit, "refill-switch").await
    );
    start(&visit).await;
    visit.browser.click_css("a[href*='trial=canceled']").await;
    let canceled = "Trial not started. Your card was not charged.";
    visit.browser.says("[data-testid=banner-info]", canceled).await;
    visit.browser.see("trial-offer").await;
    assert_eq!(visit.browser.script("return location.search").await, "");
    visit.pictures("trial-canceled").await;
    assert_eq!(trial(&visit).await["status"], "offered");
    visit.end().await;
}

#[tokio::test]
async fn prepaid_card_is_refused_and_another_one_starts_the_trial() {
    let Some(visit) = Visit::begin().await else { return };
    offered(&visit).await;
    start(&visit).await;
    type_card(&visit, PREPAID).await;
    let refused = "This card cannot be used for a trial. Use a credit or debit card.";
    visit.browser.says("[data-testid=banner]", refused).await;
    visit.pictures("trial-card-refused").await;
    visit.browser.click("trial-another-card").await;
    visit.browser.see_css("[data-testid=trial-start]:not([aria-busy])").await;
    start(&visit).await;
    type_card(&visit, GOOD).await;
    visit.browser.says("[data-testid=banner-success]", "Your trial has started.").await;
    visit.pass(73 * HOUR).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=trial-ended]", "Your trial ended on").await;
    // The refusal itself is in the browser's log, and nothing else.
    let complaints = visit.complaints().await;
    assert!(complaints.iter().all(|complaint| complaint.contains("409")), "{complaints:?}");
    visit.end().await;
}
