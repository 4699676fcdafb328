//! `/v1/payment-methods`: the saved cards. Each request reads the list at Stripe, so that a new
//! card shows as soon as its customer returns. New and removed cards take effect at once, as with
//! the webhook.

use serde::Serialize;
use tollgate::domain::account::{AccountState, Standing};
use tollgate::domain::ids::{AccountId, CardId};
use tollgate::domain::refusal::Refusal;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::CardAsked;
use tollgate::payments::PaymentError;
use tollgate::runtime::billing::Billing;
use tollgate::store::{CustomerProfile, SavedCard, StoreError};
use tollgate::stripe::calls::NewSetupSession;
use tollgate::stripe::keys::IdempotencyKey;
use tollgate::stripe::metadata;

use crate::AccountClients;

#[derive(Debug, Serialize)]
struct CardPage {
    items: Vec<CardView>,
    /// Always null, because an account has only a few cards.
    next: Option<String>,
}

#[derive(Debug, Serialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "two marks that a card is shown with, decided by nobody"
)]
struct CardView {
    id: String,
    brand: Option<String>,
    last4: Option<String>,
    exp_month: Option<u8>,
    exp_year: Option<u16>,
    /// `apple_pay`, `google_pay`, or null.
    wallet: Option<String>,
    default: bool,
    /// Whether refills charge it.
    refill: bool,
}

#[derive(Debug, Serialize)]
struct SetupSessionView {
    id: String,
    url: String,
}

/// Handles `GET /v1/payment-methods`.
pub(crate) async fn list(clients: &AccountClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let on = OnAccount::of_caller(&clients.billing, call)?;
    on.ensure_open().await?;
    let account = on.account();
    if let Some(customer) = clients.billing.store.customer_profile(account).await?.customer {
        let payments = clients.payments(call).await?;
        match Box::pin(payments.look_at_cards(account, &customer)).await {
            Ok(()) => {}
            // If Stripe does not respond, the last known cards are better than none.
            Err(PaymentError::Stripe(error)) if error.may_pass() => {
                tracing::warn!(%account, %error, "cards are shown as they were last seen");
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    let (profile, state) = known(&clients.billing, account).await?;
    let items =
        profile.shown_cards().into_iter().map(|card| shown(card, &profile, &state)).collect();
    ApiAnswer::ok(&CardPage { items, next: None })
}

/// Handles `POST /v1/payment-methods/sessions`: creates Stripe's page that saves a card without a
/// payment. The webhook or the next read of the list finds the card.
pub(crate) async fn add(clients: &AccountClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.no_body()?;
    let on = OnAccount::of_caller(&clients.billing, call)?;
    on.ensure_open().await?;
    let account = on.account();
    let email = on.required_email().await?;
    let work = async {
        let head = clients.billing.store.head(account).await?;
        if head.is_some_and(|head| head.state.standing == Standing::Closed) {
            return Err(Refusal::Closed.into());
        }
        let payments = clients.payments(call).await?;
        let settings = payments.stripe.settings();
        let urls = settings.card_added_url.as_deref().zip(settings.card_canceled_url.as_deref());
        let unset =
            || Problem::new(ProblemCode::Internal, "The operator has not configured a return URL.");
        let (added, canceled) = urls.ok_or_else(unset)?;
        let customer = payments.customer(account, &email).await?;
        let key = IdempotencyKey::setup(account, &call.key_at_stripe());
        let new = NewSetupSession {
            customer: &customer,
            success_url: added,
            cancel_url: canceled,
            metadata: metadata::of_account(account),
            notice: None,
        };
        let session = payments.stripe.create_setup_session(&new, &key).await?;
        ApiAnswer::created(&SetupSessionView {
            url: session.url.unwrap_or_default(),
            id: session.id,
        })
    };
    handler::once(&clients.billing, account, call, work).await
}

/// Handles `PUT /v1/payment-methods/{id}/default`. Refills charge the default card, and the
/// platform never agrees to refills.
pub(crate) async fn make_default(
    clients: &AccountClients,
    call: &ApiCall,
) -> Result<ApiAnswer, ApiError> {
    call.no_body()?;
    call.caller()?.require_in_person("choose the default card")?;
    let card = card_of(call)?;
    let on = OnAccount::of_caller(&clients.billing, call)?;
    on.ensure_open().await?;
    let work = async {
        let payments = clients.payments(call).await?;
        asked(Box::pin(payments.make_default(on.account(), &card)).await?)?;
        let (profile, state) = known(&clients.billing, on.account()).await?;
        let found = profile.cards.iter().find(|known| known.id == card).ok_or_else(unknown)?;
        ApiAnswer::ok(&shown(found, &profile, &state))
    };
    handler::once(&clients.billing, on.account(), call, work).await
}

/// Handles `DELETE /v1/payment-methods/{id}`. Without the card, refills charge another one or
/// pause.
pub(crate) async fn remove(
    clients: &AccountClients,
    call: &ApiCall,
) -> Result<ApiAnswer, ApiError> {
    call.no_body()?;
    call.caller()?.require_in_person("remove a saved card")?;
    let card = card_of(call)?;
    let on = OnAccount::of_caller(&clients.billing, call)?;
    on.ensure_open().await?;
    let work = async {
        let payments = clients.payments(call).await?;
        asked(Box::pin(payments.remove_card(on.account(), &card)).await?)?;
        Ok(ApiAnswer::nothing())
    };
    handler::once(&clients.billing, on.account(), call, work).await
}

fn asked(asked: CardAsked) -> Result<(), ApiError> {
    match asked {
        CardAsked::Done => Ok(()),
        CardAsked::NotOurs => Err(unknown().into()),
        CardAsked::AttemptOpen { attempt } => Err(Refusal::AttemptOpen { attempt }.into()),
    }
}

/// The same answer for unknown cards and cards of other customers.
fn unknown() -> Problem {
    Problem::new(ProblemCode::NotFound, "No such payment method.")
}

/// The ID in the path, checked against the form of Stripe IDs because it becomes part of a path
/// there.
fn card_of(call: &ApiCall) -> Result<CardId, Problem> {
    let card: CardId = call.path("id").map_err(|_| unknown())?;
    let is_plain = card.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_card = ["pm_", "card_"].iter().any(|prefix| card.as_str().starts_with(prefix));
    if is_plain && is_card { Ok(card) } else { Err(unknown()) }
}

async fn known(
    billing: &Billing,
    account: &AccountId,
) -> Result<(CustomerProfile, AccountState), StoreError> {
    let profile = billing.store.customer_profile(account).await?;
    let head = billing.store.head(account).await?;
    Ok((profile, head.map(|head| head.state).unwrap_or_default()))
}

/// One card represents all entries with its number. It is the refill card if any of them is.
fn shown(card: &SavedCard, profile: &CustomerProfile, state: &AccountState) -> CardView {
    let is_same = |other: &&SavedCard| {
        other.id == card.id || (card.fingerprint.is_some() && other.fingerprint == card.fingerprint)
    };
    let charged = state.refill.card.as_ref();
    CardView {
        id: card.id.to_string(),
        brand: card.brand.clone(),
        last4: card.last4.clone(),
        exp_month: card.exp_month,
        exp_year: card.exp_year,
        wallet: card
            .wallet
            .clone()
            .filter(|wallet| ["apple_pay", "google_pay"].contains(&wallet.as_str())),
        default: profile.default_card.as_ref() == Some(&card.id),
        refill: profile.cards.iter().filter(is_same).any(|same| Some(&same.id) == charged),
    }
}
