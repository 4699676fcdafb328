//! `/v1/trial`: whether a trial is offered, its start at Stripe's page that saves a card, and where it
//! stands.

use serde::{Deserialize, Serialize};
use tollgate::domain::account::{AccountState, Grant, GrantKind, Standing, TrialPhase, TrialState};
use tollgate::domain::decide::check_trial_offered;
use tollgate::domain::ids::AccountId;
use tollgate::domain::money::Usd;
use tollgate::domain::policy::Policy;
use tollgate::domain::profile::EmailAddress;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::settle::trial_forecast::{AfterTrial, trial_forecast};
use tollgate::http;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::{PagePlace, Payments};
use tollgate::stripe::calls::NewSetupSession;
use tollgate::stripe::keys::IdempotencyKey;
use tollgate::stripe::metadata::{self, AgreedTerms, TrialOffer};

use crate::payment_page::{DefaultTerms, RefillTermsRequest, agreement_of, default_below};
use crate::{CheckoutClients, own_session};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrialRequest {
    auto_refill: Option<RefillTermsRequest>,
}

#[derive(Debug, Serialize)]
struct TrialPageView {
    id: String,
    url: String,
}

#[derive(Debug, Serialize)]
struct TrialView {
    /// `offered`, `unavailable`, `running`, `ended`, or `renewed` once a payment followed.
    status: &'static str,
    /// Why none is offered: `not_offered`, `used` or `standing`.
    why: Option<&'static str>,
    /// What a trial gives, or what this one gave, in USD.
    credit: String,
    /// How long it lasts, rounded up to a full hour.
    seconds: i64,
    services_max: u32,
    /// SKUs that it does not pay for.
    excludes: Vec<String>,
    renewal_min: String,
    renewal_max: String,
    /// The refill terms that are offered with it.
    auto_refill: Option<TrialTermsView>,
    started_at: Option<String>,
    /// While it runs: when it ends if nothing changes.
    ends_at: Option<String>,
    credit_left: Option<String>,
    /// What follows its end: `nothing`, `renewal` or `deletion`.
    then: Option<&'static str>,
    /// About how much the card is charged then, in USD before tax.
    renewal: Option<String>,
}

#[derive(Debug, Serialize)]
struct TrialTermsView {
    threshold: String,
    amount: String,
    /// The sentences that the customer agrees to.
    words: Option<String>,
}

/// Handles `GET /v1/trial`. With `session`, the page that a customer comes back from, the trial starts
/// here if the webhook has not started it yet.
pub(crate) async fn get(clients: &CheckoutClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let billing = &clients.billing;
    let on = OnAccount::of_caller(billing, call)?;
    let look = async || on.look(|view| view.state().clone()).await;
    let mut state = look().await?;
    if let Some(session) = call.query::<String>("session")? {
        let session = own_session(billing, session, on.account()).await?;
        if state.trial.is_none() {
            http::payments::take_from_budget(billing, on.account(), call).await?;
            let payments = http::payments::payments(billing, &clients.stripe, call).await?;
            let session = payments.stripe.retrieve_session(&session).await?;
            // Boxed: it is many futures deep.
            Box::pin(payments.start_trial(&session)).await?;
            state = look().await?;
        }
    }
    ApiAnswer::ok(&shown(&state, &billing.settings.policy))
}

/// Handles `POST /v1/trial`: makes the page that saves the card. The webhook, or the customer's return,
/// starts the trial.
pub(crate) async fn start(payments: Payments<'_>, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let wish: TrialRequest = call.json()?;
    if wish.auto_refill.is_some() {
        call.caller()?.require_in_person("change auto-refill")?;
    }
    let on = OnAccount::of_caller(payments.billing, call)?;
    let account = on.account();
    on.ensure_open().await?;
    let email = on.required_email().await?;
    let work = async {
        let head = payments.billing.store.head(account).await?;
        let state = head.map(|head| head.state).unwrap_or_default();
        let policy = &payments.billing.settings.policy;
        check_trial_offered(&state, policy)?;
        let terms = wish.auto_refill.as_ref();
        let agreement = agreement_of(payments, call, terms, default_terms(policy), &state)?;
        let words = agreement.and_then(|agreed| words_of(&agreed, policy));
        limited(
            payments,
            call,
            &state,
            email,
            TrialOffer { account: account.clone(), agreement, words },
        )
        .await
    };
    handler::once(payments.billing, account, call, work).await
}

/// Makes a page within the limits on pages and on requests.
async fn limited(
    payments: Payments<'_>,
    call: &ApiCall,
    state: &AccountState,
    email: EmailAddress,
    offer: TrialOffer,
) -> Result<ApiAnswer, ApiError> {
    let (account, key) = (offer.account.clone(), call.key_at_stripe());
    let place = payments.reserve_page(&account, state, &key).await?;
    let made = async {
        http::payments::take_from_budget(payments.billing, &account, call).await?;
        make_page(payments, &account, &email, &key, &offer).await
    };
    // Boxed: it is many futures deep.
    let made = Box::pin(made).await;
    if made.is_err()
        && place == PagePlace::Taken
        && let Err(fault) = payments.release_page(&account, state, &key).await
    {
        // The place stays taken for an hour, which limits this account only.
        tracing::warn!(%account, %fault, "a page that was not made is counted");
    }
    made
}

async fn make_page(
    payments: Payments<'_>,
    account: &AccountId,
    email: &EmailAddress,
    key: &str,
    offer: &TrialOffer,
) -> Result<ApiAnswer, ApiError> {
    let settings = payments.stripe.settings();
    let urls = settings.trial_url.as_deref().zip(settings.trial_canceled_url.as_deref());
    let unset =
        || Problem::new(ProblemCode::Internal, "The operator has not configured a return URL.");
    let (success_url, cancel_url) = urls.ok_or_else(unset)?;
    let customer = payments.customer(account, email).await?;
    let new = NewSetupSession {
        customer: &customer,
        success_url,
        cancel_url,
        metadata: metadata::of_installation(offer.write(), settings.installation.as_deref()),
        notice: offer.words.as_deref(),
    };
    let key_at_stripe = IdempotencyKey::trial(account, key);
    let session = payments.stripe.create_setup_session(&new, &key_at_stripe).await?;
    payments.billing.store.note_owner(account, &session.id).await?;
    payments.note_page(account, key, &session.id).await?;
    ApiAnswer::created(&TrialPageView { url: session.url.unwrap_or_default(), id: session.id })
}

fn words_of(agreed: &AgreedTerms, policy: &Policy) -> Option<String> {
    agreed.words_of_trial(policy.trial.renewal_min, policy.trial.renewal_max)
}

fn shown(state: &AccountState, policy: &Policy) -> TrialView {
    let trial = state.trial.as_ref();
    let running = trial.filter(|_| state.is_in_trial());
    let (status, why) = match trial {
        Some(_) if state.standing == Standing::Closed => ("ended", None),
        Some(_) if running.is_some() => ("running", None),
        Some(trial) if trial.phase == TrialPhase::Renewed || state.ever_paid => ("renewed", None),
        Some(_) => ("ended", None),
        None => match check_trial_offered(state, policy) {
            Ok(()) => ("offered", None),
            Err(Refusal::TrialNotOffered) => ("unavailable", Some("not_offered")),
            Err(Refusal::TrialUsed) => ("unavailable", Some("used")),
            Err(_) => ("unavailable", Some("standing")),
        },
    };
    let forecast = trial_forecast(state, policy);
    let ends_at = |trial: &TrialState| {
        forecast.map_or(trial.ends_at, |forecast| forecast.ends_at).to_string()
    };
    let renewal = match forecast.map(|forecast| forecast.then) {
        Some(AfterTrial::Renewal(amount)) => Some(amount.to_string()),
        Some(AfterTrial::Nothing | AfterTrial::Deletion) | None => None,
    };
    TrialView {
        status,
        why,
        credit: of_trial(state).map_or(policy.trial.credit, |grant| grant.amount).to_string(),
        seconds: policy.trial.seconds,
        services_max: policy.trial.services_max,
        excludes: policy.trial.excludes.iter().map(ToString::to_string).collect(),
        renewal_min: policy.trial.renewal_min.to_string(),
        renewal_max: policy.trial.renewal_max.to_string(),
        auto_refill: (status == "offered").then(|| terms(policy)),
        started_at: trial.map(|trial| trial.started_at.to_string()),
        ends_at: trial.map(ends_at),
        credit_left: running
            .map(|_| of_trial(state).map_or(Usd::ZERO, |grant| grant.remaining).to_string()),
        then: forecast.map(|forecast| match forecast.then {
            AfterTrial::Nothing => "nothing",
            AfterTrial::Renewal(_) => "renewal",
            AfterTrial::Deletion => "deletion",
        }),
        renewal,
    }
}

fn terms(policy: &Policy) -> TrialTermsView {
    let DefaultTerms { threshold, amount } = default_terms(policy);
    TrialTermsView {
        threshold: threshold.to_string(),
        amount: amount.to_string(),
        words: words_of(&AgreedTerms::On { threshold, amount }, policy),
    }
}

/// Below half of the least renewal. With more, a customer who used little would be charged twice
/// within hours.
fn default_terms(policy: &Policy) -> DefaultTerms {
    let half = policy.trial.renewal_min.to_cents().unwrap_or_default() / 2;
    default_below(Usd::from_cents(half).unwrap_or_default())
}

/// The credit of the trial, as long as something is left of it.
fn of_trial(state: &AccountState) -> Option<&Grant> {
    state.grants.iter().find(|grant| grant.kind == GrantKind::Trial)
}
