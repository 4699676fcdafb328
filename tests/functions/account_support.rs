//! Helpers for the tests of `account` that need no Stripe.

use account::AccountClients;
use tollgate::runtime::billing::Billing;
use tollgate::store::SavedCard;
use tollgate::stripe::{OnDemand, StripeSettings};
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::ledger::{ALICE, named};

/// A function without a Stripe server. Calls to Stripe fail.
pub(crate) fn clients(billing: &Billing) -> AccountClients {
    let variable = |name: &'static str| match name {
        "STRIPE_SECRET_KEY" => Some("sk_test_nowhere".to_owned()),
        "STRIPE_API_BASE" => Some("http://127.0.0.1:9".to_owned()),
        "BILLING_URL" => billing.settings.billing_url.clone(),
        _ => None,
    };
    let stripe = OnDemand::new(StripeSettings::read(variable).expect("settings of Stripe"));
    AccountClients {
        billing: Billing::new(billing.store.clone(), billing.settings.clone()),
        stripe,
    }
}

pub(crate) async fn send(billing: &Billing, event: &ApiEvent) -> Answered {
    account::handle(&clients(billing), event.request()).await.into()
}

pub(crate) async fn ask(api: &Api, event: ApiEvent) -> Answered {
    send(&api.billing, &event).await
}

pub(crate) fn by(route: &str, now: &str) -> ApiEvent {
    ApiEvent::by(ALICE, route, now)
}

pub(crate) async fn with_credit(amount: &str) -> Api {
    let api = Api::new().await;
    api.ledger.open(ALICE, "10:00:00").await;
    api.ledger.credit(ALICE, "pi_1", amount, "10:00:00").await;
    let card = SavedCard {
        id: named("pm_1"),
        brand: Some("visa".to_owned()),
        last4: Some("4242".to_owned()),
        exp_month: Some(12),
        exp_year: Some(2034),
        fingerprint: Some("print_1".to_owned()),
        funding: Some("credit".to_owned()),
        wallet: None,
    };
    let written = api.ledger.undisturbed.put_cards(&named(ALICE), &[card], None, 0).await;
    assert!(written.is_ok(), "{written:?}");
    api
}

/// Refused with this code, and nothing written.
pub(crate) async fn refused(api: &Api, event: ApiEvent, status: u16, code: &str) -> Answered {
    let before = api.everything().await;
    let answered = ask(api, event.clone()).await;
    assert_eq!(
        (answered.status, answered.code()),
        (status, code),
        "{event:?}: {}",
        answered.shown()
    );
    assert_eq!(api.everything().await, before, "nothing is written: {event:?}");
    answered
}
