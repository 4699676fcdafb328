//! The way back from Stripe's payment page: paid, canceled, or by the browser's own Back button.

use serde_json::{Value, json};

use crate::browser::{DESKTOP, PHONE, Scheme};
use crate::paying::{GOOD, continue_with, type_card};
use crate::support::{Refill, Visit};

const CANCELLED: &str = "Top-up cancelled. No charge was made.";

/// The session of Stripe's page that the browser shows.
async fn session_shown(visit: &Visit) -> String {
    let url = visit.browser.client.current_url().await.unwrap();
    url.path_segments().unwrap().next_back().unwrap().to_owned()
}

async fn status(visit: &Visit, session: &str) -> Value {
    let path = format!("/v1/checkout-sessions/{session}");
    visit.api.get(&path).await.unwrap().success().unwrap()["status"].clone()
}

#[tokio::test]
async fn back_from_stripe_expires_the_session_and_says_so() {
    let Some(visit) = Visit::begin().await else { return };
    continue_with(&visit, "add-amount-5").await;
    let session = session_shown(&visit).await;
    visit.browser.client.back().await.unwrap();
    visit.browser.says("[data-testid=banner-info]", CANCELLED).await;
    visit.browser.picture("back-cancelled").await;
    visit.browser.look(PHONE, Scheme::Dark).await;
    visit.browser.picture("back-cancelled-phone-dark").await;
    visit.browser.look(DESKTOP, Scheme::Light).await;
    assert_eq!(status(&visit, &session).await, "expired");
    // It is said once.
    visit.open("#balance").await;
    visit.browser.says("[data-testid=balance]", "$0.00").await;
    assert_eq!(visit.browser.text("[data-testid=banner-info]").await, "");
    visit.end().await;
}

#[tokio::test]
async fn page_that_comes_from_the_back_cache_notices_the_return() {
    let Some(visit) = Visit::begin().await else { return };
    continue_with(&visit, "add-amount-5").await;
    let session = session_shown(&visit).await;
    // What the tab remembers, put into a page that did not load again.
    visit.open("#transactions").await;
    visit.browser.says("[data-testid=banner-info]", CANCELLED).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=balance]", "$0.00").await;
    let second = visit.write("POST", "/v1/checkout-sessions", &json!({"amount": "5.00"})).await;
    let second = second["id"].as_str().unwrap();
    visit
        .browser
        .script(&format!(
            "sessionStorage.setItem('tollgate.checkout', JSON.stringify({{id: '{second}'}}));
             dispatchEvent(new PageTransitionEvent('pageshow', {{persisted: true}}));"
        ))
        .await;
    visit.browser.says("[data-testid=banner-info]", CANCELLED).await;
    assert_eq!(status(&visit, &session).await, "expired");
    assert_eq!(status(&visit, second).await, "expired");
    visit.end().await;
}

#[tokio::test]
async fn back_after_the_session_ended_tells_what_became_of_it() {
    let Some(visit) = Visit::begin().await else { return };
    continue_with(&visit, "add-amount-5").await;
    visit.pass(40 * 60).await;
    visit.browser.client.back().await.unwrap();
    visit.browser.says("[data-testid=banner-info]", CANCELLED).await;
    continue_with(&visit, "add-amount-25").await;
    // Paid in another tab.
    let url = visit.browser.client.current_url().await.unwrap().to_string();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    visit.api.send("POST", &url, &form, format!("card={GOOD}")).await.unwrap();
    visit.browser.client.back().await.unwrap();
    visit.browser.says("[data-testid=banner-success]", "$25.00 was added").await;
    visit.end().await;
}

/// For its first reads after the return, the page gets the settings from before the agreement, as
/// between the rows `topup` and `refill_changed`. It keeps whatever the switch ever showed.
const STALE_READS: &str = "
if (location.search.includes('session=')) {
  const real = window.fetch;
  let left = 6;
  window.shown = [];
  window.fetch = async (url, init) => {
    const response = await real(url, init);
    if (!String(url).endsWith('v1/auto-refill') || (init?.method ?? 'GET') !== 'GET' || left-- <= 0) return response;
    const stale = { ...(await response.json()), STALE };
    return new Response(JSON.stringify(stale), { status: 200, headers: { 'content-type': 'application/json' } });
  };
  setInterval(() => {
    const line = document.querySelector('.refill-line');
    const input = document.querySelector('#refill-switch, #refill-enabled');
    if (input && line?.getAttribute('aria-busy') !== 'true') window.shown.push(input.checked);
  }, 5);
}";

async fn stale_for_a_while(visit: &Visit, stale: &str) {
    let source = STALE_READS.replace("STALE", stale);
    visit
        .browser
        .devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": source}))
        .await;
}

/// Whether the switch showed only this, and whether it shows it once the answers are current.
async fn showed_only(visit: &Visit, agreed: Refill) {
    let on = matches!(agreed, Refill::On);
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    visit.browser.click("nav-refill").await;
    visit.browser.see("refill-form").await;
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let shown = visit.browser.script("return [...new Set(window.shown)]").await;
    assert_eq!(shown, json!([on]));
    assert_eq!(visit.api.get("/v1/auto-refill").await.unwrap().json()["enabled"], on);
}

#[tokio::test]
async fn refill_switch_keeps_the_agreement_until_answers_carry_it() {
    let Some(visit) = Visit::begin().await else { return };
    stale_for_a_while(&visit, "enabled: false, threshold: null, amount: null, agreed_at: null")
        .await;
    continue_with(&visit, "add-amount-25").await;
    type_card(&visit, GOOD).await;
    visit.browser.says("[data-testid=banner-success]", "$25.00 was added").await;
    showed_only(&visit, Refill::On).await;
    visit.end().await;
}

#[tokio::test]
async fn refill_switch_stays_off_after_it_was_switched_off() {
    let Some(visit) = Visit::begin().await else { return };
    stale_for_a_while(&visit, "enabled: true, threshold: '5.00', amount: '25.00'").await;
    visit.pay("25.00", GOOD, Refill::On).await;
    visit.open("#balance").await;
    visit.browser.see_css(".refill-line:not([aria-busy])").await;
    visit.browser.click("refill-switch").await;
    visit.browser.click("continue").await;
    visit.browser.see_css("input[name=card]").await;
    type_card(&visit, GOOD).await;
    visit.browser.says("[data-testid=banner-success]", "$25.00 was added").await;
    showed_only(&visit, Refill::Off).await;
    visit.end().await;
}
