//! Signing in at an OpenID provider, also at one that misbehaves, and routes that nobody meant.

use std::time::Duration;

use serde_json::json;
use tollgate_local::control::TokenRequest;

use crate::browser::{DESKTOP, PHONE, Scheme};
use crate::provider::{Authorization, Provider, Refreshes};
use crate::support::{ACCOUNT, Visit};

/// A page that signs in at this provider.
async fn begin() -> Option<(Visit, Provider)> {
    let provider = Provider::start();
    let visit = Visit::begin_with(&[("PageConnect", &provider.url)]).await?;
    let token =
        visit.cloud.token(&TokenRequest { account: ACCOUNT.to_owned(), ..TokenRequest::default() });
    provider.issue(token.unwrap());
    let settings = json!({"mode": "oidc", "issuer": provider.url, "client_id": "page"});
    let source = format!(
        "const real = window.fetch;
         window.fetch = async (url, init) => {{
           const response = await real(url, init);
           if (!String(url).endsWith('config.json')) return response;
           const body = JSON.stringify({{ ...(await response.json()), ...{settings} }});
           return new Response(body, {{ status: 200, headers: {{ 'content-type': 'application/json' }} }});
         }};"
    );
    visit
        .browser
        .devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": source}))
        .await;
    Some((visit, provider))
}

async fn open(visit: &Visit, section: &str) {
    visit.browser.open("about:blank").await;
    visit.browser.open(&format!("{}/{section}", visit.cloud.urls().api)).await;
}

async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test]
async fn sign_in_that_cannot_complete_ends_with_a_button() {
    let Some((visit, provider)) = begin().await else { return };
    for authorization in [Authorization::ErrorWithoutState, Authorization::OtherState] {
        let before = provider.asked().authorizations;
        provider.behave(|conduct| conduct.authorization = authorization);
        open(&visit, "#transactions").await;
        visit.browser.says("[data-testid=problem]", "Sign-in").await;
        visit.browser.see("problem-sign-in").await;
        pause(2).await;
        let asked = provider.asked().authorizations - before;
        assert!(asked <= 2, "{authorization:?}: {asked} round trips");
        visit.browser.picture("sign-in-failed").await;
        provider.behave(|conduct| conduct.authorization = Authorization::Granted);
        visit.browser.click("problem-sign-in").await;
        visit.browser.says("[data-testid=who]", "acme@example.test").await;
    }
    visit.end().await;
}

#[tokio::test]
async fn address_from_the_sign_in_is_offered_where_the_api_has_none() {
    let Some((visit, provider)) = begin().await else { return };
    // An access token without an address, as Cognito and Entra ID issue them.
    let claims = json!({"email": "none"}).as_object().unwrap().clone();
    let request =
        TokenRequest { account: "newcomer".to_owned(), claims, ..TokenRequest::default() };
    provider.issue(visit.cloud.token(&request).unwrap());
    provider.behave(|conduct| conduct.person = "newcomer");
    open(&visit, "#company").await;
    visit.browser.see("account-email").await;
    let offered = "return document.getElementById('account-email').value";
    assert_eq!(visit.browser.script(offered).await, "newcomer@example.test");
    visit.browser.says("#account-email-hint", "From your sign-in.").await;
    visit.browser.picture("email-offered").await;
    visit.browser.click("email-save").await;
    visit.browser.says("main", "Saved.").await;
    visit.open("#company").await;
    visit.browser.see("account-email").await;
    assert_eq!(visit.browser.text("#account-email-hint").await, "");
    visit.end().await;
}

#[tokio::test]
async fn clock_of_the_machine_does_not_matter() {
    let Some((visit, provider)) = begin().await else { return };
    provider.behave(|conduct| (conduct.expires_in, conduct.behind) = (300, 660));
    open(&visit, "#balance").await;
    visit.browser.says("[data-testid=balance]", "$0.00").await;
    visit.end().await;
}

#[tokio::test]
async fn tokens_of_a_second_cause_no_endless_redirects() {
    let Some((visit, provider)) = begin().await else { return };
    provider.behave(|conduct| conduct.expires_in = 1);
    open(&visit, "#balance").await;
    for _ in 0..4 {
        pause(2).await;
        visit.browser.script("dispatchEvent(new Event('online'))").await;
    }
    pause(2).await;
    let asked = provider.asked().authorizations;
    assert!(asked <= 3, "{asked} round trips");
    visit.browser.see("problem-sign-in").await;
}

#[tokio::test]
async fn refresh_token_renews_without_losing_a_form() {
    let Some((visit, provider)) = begin().await else { return };
    provider.behave(|conduct| {
        conduct.expires_in = 2;
        conduct.refreshes = Refreshes::Offered;
    });
    open(&visit, "#balance").await;
    visit.browser.says("[data-testid=balance]", "$0.00").await;
    visit.browser.fill("[data-testid=custom-amount]", "77").await;
    pause(3).await;
    visit.browser.script("dispatchEvent(new Event('online'))").await;
    pause(2).await;
    let asked = provider.asked();
    assert!(asked.refreshes > 0, "{asked:?}");
    assert_eq!(asked.authorizations, 1);
    let typed = visit.browser.script("return document.getElementById('custom-amount').value").await;
    assert_eq!(typed, "77");
    // A write renews, too.
    pause(3).await;
    visit.browser.click("continue").await;
    visit.browser.see_css("input[name=card]").await;
    visit.end().await;
}

#[tokio::test]
async fn half_filled_form_outlives_a_token_without_refresh() {
    let Some((visit, provider)) = begin().await else { return };
    provider.behave(|conduct| conduct.expires_in = 8);
    open(&visit, "#balance").await;
    visit.browser.says("[data-testid=balance]", "$0.00").await;
    visit.browser.fill("[data-testid=custom-amount]", "77").await;
    pause(5).await;
    visit.browser.script("document.activeElement.blur(); dispatchEvent(new Event('online'))").await;
    pause(2).await;
    assert_eq!(provider.asked().authorizations, 1);
    let typed = visit.browser.script("return document.getElementById('custom-amount').value").await;
    assert_eq!(typed, "77");
    // In a section without a form, all its reads need one authorization together.
    visit.browser.script("location.hash = '#projects'").await;
    visit.browser.says("#title", "Projects").await;
    pause(3).await;
    assert_eq!(provider.asked().authorizations, 2);
    visit.browser.client.clone().close().await.unwrap();
}

#[tokio::test]
async fn signing_out_lasts_until_the_customer_signs_in() {
    let Some((visit, provider)) = begin().await else { return };
    open(&visit, "#balance").await;
    visit.browser.says("[data-testid=who]", "acme@example.test").await;
    for (size, scheme, name) in [
        (DESKTOP, Scheme::Light, "signed-in"),
        (PHONE, Scheme::Light, "signed-in-phone"),
        (PHONE, Scheme::Dark, "signed-in-phone-dark"),
    ] {
        visit.browser.look(size, scheme).await;
        visit.browser.picture(name).await;
    }
    visit.browser.click("sign-out").await;
    visit.browser.says("[data-testid=problem]", "You are signed out.").await;
    visit.browser.picture("signed-out").await;
    open(&visit, "#cards").await;
    visit.browser.says("[data-testid=problem]", "You are signed out.").await;
    let asked = provider.asked();
    assert_eq!((asked.authorizations, asked.logouts), (1, 1));
    visit.browser.click("problem-sign-in").await;
    visit.browser.says("[data-testid=who]", "acme@example.test").await;
    visit.browser.says("#title", "Payment methods").await;
    visit.end().await;
}

#[tokio::test]
async fn tab_never_silently_becomes_another_persons() {
    let Some((visit, provider)) = begin().await else { return };
    provider.behave(|conduct| conduct.expires_in = 4);
    open(&visit, "#transactions").await;
    visit.browser.says("[data-testid=who]", "acme@example.test").await;
    provider.behave(|conduct| conduct.person = "mallory");
    pause(3).await;
    visit.browser.script("dispatchEvent(new Event('online'))").await;
    visit
        .browser
        .says("[data-testid=problem]", "You are now signed in as mallory@example.test")
        .await;
    assert_eq!(visit.browser.text("[data-testid=who]").await, "");
    visit.end().await;
}

#[tokio::test]
async fn routes_that_name_no_section_show_the_balance() {
    let Some(visit) = Visit::begin().await else { return };
    for hash in ["#__proto__", "#constructor", "#toString/valueOf", "#%E0%A4%A", "#nothing"] {
        visit.open(hash).await;
        visit.browser.says("#title", "Balance").await;
        visit.browser.says("[data-testid=balance]", "$0.00").await;
    }
    visit.end().await;
}
