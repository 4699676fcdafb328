//! Signing in at npm `oidc-provider`, a certified OpenID provider that signs with the key of the
//! local cloud's issuer. Nothing is replaced: page, functions and authorizer are the deployed ones.
//!
//! Where the package is not installed, these tests print a message and pass.

use std::time::Duration;

use serde_json::json;

use crate::certified::CertifiedProvider;
use crate::support::{ACCOUNT, Visit};

/// A page that signs in at the provider. Its tokens are checked with a clock that runs.
async fn begin(settings: serde_json::Value) -> Option<(Visit, CertifiedProvider)> {
    let mut provider = CertifiedProvider::start().await?;
    let parameters = [
        ("SignIn", "oidc"),
        ("TokenIssuer", provider.url.as_str()),
        ("TokenAudience", "tollgate,page"),
        ("PageClientId", "page"),
        ("PageScopes", "openid email offline_access"),
    ];
    let visit = Visit::begin_now(&parameters).await?;
    let mut settings = settings;
    settings["page"] = json!(format!("{}/", visit.cloud.urls().api));
    provider.set(&settings).await;
    Some((visit, provider))
}

async fn open(visit: &Visit, section: &str) {
    visit.browser.open("about:blank").await;
    visit.browser.open(&format!("{}/{section}", visit.cloud.urls().api)).await;
}

/// Fills in the provider's form.
async fn sign_in(visit: &Visit, person: &str) {
    visit.browser.fill("[data-testid=person]", person).await;
    visit.browser.click("go").await;
}

/// Some seconds later the page reads again.
async fn read_again_after(visit: &Visit, seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    visit.browser.script("dispatchEvent(new Event('online'))").await;
}

/// Asserts that the browser complains about nothing but a provider that refused.
async fn end(visit: Visit, provider: &CertifiedProvider) {
    let complaints = visit.complaints().await;
    let others: Vec<&String> =
        complaints.iter().filter(|complaint| !complaint.contains(&provider.url)).collect();
    assert!(others.is_empty(), "{others:?}");
    visit.browser.client.clone().close().await.unwrap();
}

#[tokio::test]
async fn customer_signs_in_with_code_and_pkce_and_signs_out() {
    let Some((visit, provider)) = begin(json!({})).await else { return };
    open(&visit, "#cards").await;
    sign_in(&visit, ACCOUNT).await;
    visit.browser.says("[data-testid=who]", "acme@example.test").await;
    visit.browser.says("#title", "Payment methods").await;
    let counts = |event| provider.count(event);
    assert_eq!((counts("authorization"), counts("grant authorization_code")), (1, 1));
    assert_eq!(counts("userinfo"), 0, "the ID token has the address");

    // A new tab signs in without the form, because the provider's session goes on.
    open(&visit, "#balance").await;
    visit.browser.says("[data-testid=balance]", "$0.00").await;
    assert_eq!(counts("grant authorization_code"), 2);

    visit.browser.click("sign-out").await;
    visit.browser.click_css("button[name=logout]").await;
    visit.browser.says("[data-testid=problem]", "You are signed out.").await;
    assert_eq!(counts("end of session"), 1);
    visit.browser.click("problem-sign-in").await;
    sign_in(&visit, ACCOUNT).await;
    visit.browser.says("[data-testid=who]", "acme@example.test").await;
    assert_eq!(provider.errors(), Vec::<serde_json::Value>::new());
    end(visit, &provider).await;
}

#[tokio::test]
async fn rotated_refresh_tokens_renew_without_a_redirect() {
    let Some((visit, provider)) = begin(json!({"lifetime": 4})).await else { return };
    open(&visit, "#balance").await;
    sign_in(&visit, ACCOUNT).await;
    visit.browser.says("[data-testid=balance]", "$0.00").await;
    visit.browser.fill("[data-testid=custom-amount]", "77").await;
    for _ in 0..3 {
        read_again_after(&visit, 5).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Each refresh token is used once. The provider would end the session at a second use.
    assert!(
        provider.count("grant refresh_token") >= 3,
        "{}",
        provider.count("grant refresh_token")
    );
    assert_eq!(provider.errors(), Vec::<serde_json::Value>::new());
    assert_eq!(provider.count("grant authorization_code"), 1);
    let typed = visit.browser.script("return document.getElementById('custom-amount').value").await;
    assert_eq!(typed, "77");
    end(visit, &provider).await;
}

#[tokio::test]
async fn ended_session_asks_once_and_returns_to_the_page() {
    let Some((visit, mut provider)) = begin(json!({"lifetime": 4})).await else { return };
    open(&visit, "#projects").await;
    sign_in(&visit, ACCOUNT).await;
    visit.browser.says("#title", "Projects").await;
    provider.forget().await;
    read_again_after(&visit, 5).await;
    visit.browser.see("person").await;
    assert_eq!(provider.count("grant error"), 1, "the refresh token has ended, too");
    sign_in(&visit, ACCOUNT).await;
    visit.browser.says("[data-testid=who]", "acme@example.test").await;
    visit.browser.says("#title", "Projects").await;
    assert_eq!(provider.count("grant authorization_code"), 2);
    end(visit, &provider).await;
}

#[tokio::test]
async fn refused_sign_in_ends_with_a_button() {
    let Some((visit, provider)) = begin(json!({})).await else { return };
    open(&visit, "#balance").await;
    visit.browser.click("cancel").await;
    visit.browser.says("[data-testid=problem]", "The sign-in was canceled").await;
    // An error without a state is not an answer to this page.
    open(&visit, "?error=server_error&error_description=Pay+elsewhere").await;
    visit.browser.says("[data-testid=problem]", "The sign-in service returned an error.").await;
    assert!(!visit.browser.text("body").await.contains("Pay elsewhere"));
    assert_eq!(provider.count("grant authorization_code"), 0);
    visit.browser.click("problem-sign-in").await;
    sign_in(&visit, ACCOUNT).await;
    visit.browser.says("[data-testid=who]", "acme@example.test").await;
    end(visit, &provider).await;
}

/// With opaque access tokens, the provider's default: the ID token has no address either.
#[tokio::test]
async fn address_comes_from_userinfo_if_no_token_has_it() {
    let Some((visit, mut provider)) = begin(json!({"tokens": "opaque"})).await else { return };
    open(&visit, "#company").await;
    sign_in(&visit, "newcomer").await;
    visit.browser.says("[data-testid=who]", "newcomer@example.test").await;
    visit.browser.see("account-email").await;
    let offered = "return document.getElementById('account-email').value";
    assert_eq!(visit.browser.script(offered).await, "newcomer@example.test");
    assert_eq!(provider.count("userinfo"), 1);

    // A userinfo endpoint that does not answer delays the page by seconds and breaks nothing.
    provider.set(&json!({"userinfo": 60_000})).await;
    open(&visit, "#company").await;
    visit.browser.see("account-email").await;
    assert_eq!(visit.browser.text("[data-testid=who]").await, "newcomer");
    assert_eq!(visit.browser.script(offered).await, "");
    end(visit, &provider).await;
}
