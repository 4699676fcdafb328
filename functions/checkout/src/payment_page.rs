//! The payment page of a purchase: of a top-up, or of a commit plan.

use serde::{Deserialize, Serialize};
use tollgate::domain::account::{AccountState, RefillAgreement, Standing};
use tollgate::domain::ids::{AccountId, CustomerId};
use tollgate::domain::money::Usd;
use tollgate::domain::plans::CommitOffer;
use tollgate::domain::policy::Policy;
use tollgate::domain::profile::EmailAddress;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::timestamp::{MINUTE, Timestamp};
use tollgate::http;
use tollgate::http::call::{Acting, ApiCall};
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::{PagePlace, Payments};
use tollgate::store::{RecordOutcome, StoreError};
use tollgate::stripe::calls::NewSession;
use tollgate::stripe::keys::IdempotencyKey;
use tollgate::stripe::metadata::{AgreedTerms, Purchase, PurchaseKind};
use tollgate::stripe::settings::RefillDefault;

/// How long the page can be used: the least Stripe allows, which it counts from when the request
/// reaches it.
const OPEN_SECONDS: i64 = 31 * MINUTE;
/// How often another request's page may be the newer one before this request gives up.
const REPLACES_MAX: u32 = 8;
/// What a refill charges unless the customer chose, in USD.
const REFILL_AMOUNT: u32 = 25;
/// The highest threshold unless the customer chose, in USD; else a fifth of the first purchase.
const REFILL_THRESHOLD_MAX: u32 = 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefillTermsRequest {
    enabled: bool,
    threshold: Option<String>,
    amount: Option<String>,
}

#[derive(Debug, Serialize)]
struct CheckoutSessionView {
    id: String,
    url: String,
    expires_at: String,
}

/// What the page is made from.
struct WantedPage {
    /// Before the request.
    state: AccountState,
    email: EmailAddress,
    purchase: Purchase,
}

/// What a customer wants to buy.
pub(crate) enum WantedPurchase {
    /// Credit of this amount, in USD.
    TopUp(Usd),
    Plan(CommitOffer),
}

impl WantedPurchase {
    fn price(&self) -> Usd {
        match self {
            WantedPurchase::TopUp(amount) => *amount,
            WantedPurchase::Plan(offer) => offer.price,
        }
    }

    /// Checks whether the account may buy it.
    fn check(&self, state: &AccountState, policy: &Policy, now: Timestamp) -> Result<(), Refusal> {
        match self {
            WantedPurchase::TopUp(amount) => policy.check_balance_after(state.balance(), *amount),
            WantedPurchase::Plan(_) => state.check_another_grant(now),
        }
    }

    fn into_purchase(self, account: AccountId, agreement: Option<AgreedTerms>) -> Purchase {
        let credit = self.price();
        let kind = match self {
            WantedPurchase::TopUp(_) => PurchaseKind::TopUp,
            WantedPurchase::Plan(offer) => PurchaseKind::Commit(offer.terms),
        };
        Purchase { account, credit, kind, agreement }
    }
}

/// Makes a payment page. The same request with the same key gets the same page. `wish` is asked only
/// if the key has no page yet.
pub(crate) async fn sell(
    payments: Payments<'_>,
    call: &ApiCall,
    auto_refill: Option<&RefillTermsRequest>,
    wish: impl AsyncFnOnce() -> Result<WantedPurchase, ApiError>,
) -> Result<ApiAnswer, ApiError> {
    if auto_refill.is_some() {
        call.caller()?.require_in_person("change auto-refill")?;
    }
    let on = OnAccount::of_caller(payments.billing, call)?;
    let account = on.account();
    on.ensure_open().await?;
    let email = on.required_email().await?;
    // Noted before Stripe is asked: the same key must be sent with the same parameters, the time
    // included. Before the account is looked at as well: a page that was made is answered again,
    // whatever became of the account.
    handler::once_since(payments.billing, account, call, |first_asked_at| async move {
        let wish = wish().await?;
        let wanted = wanted_page(payments, call, account, wish, auto_refill, email).await?;
        limited(payments, call, wanted, first_asked_at).await
    })
    .await
}

async fn wanted_page(
    payments: Payments<'_>,
    call: &ApiCall,
    account: &AccountId,
    wish: WantedPurchase,
    auto_refill: Option<&RefillTermsRequest>,
    email: EmailAddress,
) -> Result<WantedPage, ApiError> {
    let head = payments.billing.store.head(account).await?;
    let state = head.map(|head| head.state).unwrap_or_default();
    if state.standing == Standing::Closed {
        return Err(Refusal::Closed.into());
    }
    let terms = default_terms(wish.price());
    let agreement = agreement_of(payments, call, auto_refill, terms, &state)?;
    wish.check(&state, &payments.billing.settings.policy, payments.now)?;
    let purchase = wish.into_purchase(account.clone(), agreement);
    Ok(WantedPage { state, email, purchase })
}

/// Makes a page within the limits on pages and on requests.
async fn limited(
    payments: Payments<'_>,
    call: &ApiCall,
    wanted: WantedPage,
    first_asked_at: Timestamp,
) -> Result<ApiAnswer, ApiError> {
    let account = wanted.purchase.account.clone();
    let key = call.key_at_stripe();
    let state = wanted.state.clone();
    let place = payments.reserve_page(&account, &state, &key).await?;
    let made = async {
        http::payments::take_from_budget(payments.billing, &account, call).await?;
        make_page(payments, call, wanted, &key, first_asked_at).await
    };
    // Boxed: it is many futures deep.
    let made = Box::pin(made).await;
    if made.is_err()
        && place == PagePlace::Taken
        && let Err(fault) = payments.release_page(&account, &state, &key).await
    {
        // The place stays taken for an hour, which limits this account only.
        tracing::warn!(%account, %fault, "a page that was not made is counted");
    }
    made
}

async fn make_page(
    payments: Payments<'_>,
    call: &ApiCall,
    wanted: WantedPage,
    key: &str,
    first_asked_at: Timestamp,
) -> Result<ApiAnswer, ApiError> {
    let WantedPage { state, email, purchase } = wanted;
    let Purchase { account, credit: amount, .. } = purchase.clone();
    // Whoever pays by hand is not charged for the refill that waits for a confirmation as well.
    if let Some(attempt) = state.refill.attempt.as_ref().filter(|attempt| attempt.void_at.is_some())
    {
        payments.supersede(&account, attempt).await?;
    }
    let customer = payments.customer(&account, &email).await?;
    // The same call for a minute; then Stripe would find its time too short, or repeat for a day
    // that it had failed. Of two pages that were made so, nobody knows the first one's address.
    let round = (payments.now - first_asked_at).max(0) / MINUTE;
    let key_at_stripe = if round == 0 { key.to_owned() } else { format!("{key}/{round}") };
    let at = first_asked_at.plus(round * MINUTE);
    let new = page(payments, &state, customer, email, purchase, at)?;
    let key_at_stripe = IdempotencyKey::checkout(&account, &key_at_stripe);
    let session = payments.stripe.create_session(&new, &key_at_stripe).await?;
    payments.billing.store.note_owner(&account, &session.id).await?;
    payments.note_page(&account, key, &session.id).await?;
    replace_open(payments, &account, &session.id).await?;

    let created = CheckoutSessionView {
        url: session.url.unwrap_or_default(),
        expires_at: session
            .expires_at
            .and_then(|at| Timestamp::from_seconds(at).ok())
            .unwrap_or(new.expires_at)
            .to_string(),
        id: session.id,
    };
    let (request_id, session) = (&call.request_id, &created.id);
    tracing::info!(request_id, %account, session, %amount, "checkout session");
    ApiAnswer::created(&created)
}

/// What is agreed about refills: only what was said, or else what the operator's configuration says
/// for the first top-up of an account. What was not said is as `default` says.
pub(crate) fn agreement_of(
    payments: Payments<'_>,
    call: &ApiCall,
    auto_refill: Option<&RefillTermsRequest>,
    default: DefaultTerms,
    state: &AccountState,
) -> Result<Option<AgreedTerms>, Problem> {
    // With the first top-up: whoever paid before has been asked, and may have said no.
    let is_new = state.refill.agreement.is_none() && !state.ever_paid;
    let by_default = is_new
        && payments.stripe.settings().refill_default == RefillDefault::On
        && call.caller()?.acting == Acting::ForItself;
    let (threshold, amount) = match auto_refill {
        Some(refill) if !refill.enabled => return Ok(Some(AgreedTerms::Off)),
        Some(refill) => (refill.threshold.as_deref(), refill.amount.as_deref()),
        None if by_default => (None, None),
        None => return Ok(None),
    };
    let threshold = threshold.map(|text| usd(text, "auto_refill.threshold")).transpose()?;
    let amount = amount.map(|text| usd(text, "auto_refill.amount")).transpose()?;
    let threshold = threshold.unwrap_or(default.threshold);
    let amount = amount.unwrap_or(default.amount);
    let policy = &payments.billing.settings.policy;
    match state.check_refill_terms(threshold, amount, state.refill.monthly_cap, policy) {
        Ok(()) => Ok(Some(AgreedTerms::On { threshold, amount })),
        // The customer asked for no refills, and the operator's default does not fit the cap.
        Err(_) if auto_refill.is_none() => Ok(None),
        Err(refusal) => Err(Problem::from(&refusal)),
    }
}

/// The terms of refills unless the customer chooses others, in USD.
#[derive(Clone, Copy)]
pub(crate) struct DefaultTerms {
    pub(crate) threshold: Usd,
    pub(crate) amount: Usd,
}

/// With a purchase: below a fifth of its price in whole cents, $10 at the most.
fn default_terms(price: Usd) -> DefaultTerms {
    let fifth = price.to_cents().unwrap_or_default() / 5;
    let fifth = Usd::from_cents(fifth).unwrap_or_default();
    default_below(fifth.min(Usd::dollars(REFILL_THRESHOLD_MAX)))
}

pub(crate) fn default_below(threshold: Usd) -> DefaultTerms {
    DefaultTerms { threshold, amount: Usd::dollars(REFILL_AMOUNT) }
}

fn page(
    payments: Payments<'_>,
    state: &AccountState,
    customer: CustomerId,
    receipt_email: EmailAddress,
    purchase: Purchase,
    at: Timestamp,
) -> Result<NewSession, Problem> {
    let settings = payments.stripe.settings();
    let unset = || {
        Problem::new(
            ProblemCode::Internal,
            "The operator has not configured the return URLs for payments.",
        )
    };
    let notice = match purchase.agreement {
        Some(terms) => terms.words(),
        None => state.refill.agreement.and_then(|agreed| words(&agreed)),
    };
    Ok(NewSession {
        customer,
        purchase,
        receipt_email,
        expires_at: at.plus(OPEN_SECONDS),
        success_url: settings.success_url.clone().ok_or_else(unset)?,
        cancel_url: settings.cancel_url.clone().ok_or_else(unset)?,
        notice,
    })
}

/// The terms that were agreed to before, for the page.
fn words(agreed: &RefillAgreement) -> Option<String> {
    let RefillAgreement { threshold, amount, .. } = *agreed;
    match agreed.target {
        None if agreed.max() > amount => Some(format!(
            "Auto-refill is on. When your balance falls below ${threshold}, your saved card is \
             charged ${amount} or a multiple of it, at most ${} plus any tax. You can turn it off at \
             any time on the Billing page.",
            agreed.max()
        )),
        None => AgreedTerms::On { threshold, amount }.words(),
        Some(target) => Some(format!(
            "Auto-refill is on. When your balance falls below ${threshold}, your saved card is \
             charged what brings it to ${target}, at most ${} plus any tax. You can turn it off at \
             any time on the Billing page.",
            agreed.max()
        )),
    }
}

/// Ends the page that was open before: two open pages are two chances to pay twice.
///
/// A page is expired before another takes its place in the profile. So of several requests at once,
/// each ends the page of the one before it, and the last page alone stays open.
async fn replace_open(
    payments: Payments<'_>,
    account: &AccountId,
    session: &str,
) -> Result<(), ApiError> {
    let store = &payments.billing.store;
    for _ in 0..REPLACES_MAX {
        let open = store.customer_profile(account).await?.open_session;
        if open.as_deref() == Some(session) {
            return Ok(());
        }
        if let Some(open) = &open {
            payments.end_page(open).await?;
        }
        match store.replace_open_session(account, open.as_deref(), session).await? {
            RecordOutcome::New => return Ok(()),
            // Another request was faster. Its page is the one to end now.
            RecordOutcome::Existing => {}
        }
    }
    payments.end_page(session).await?;
    Err(StoreError::Contended { attempts: REPLACES_MAX }.into())
}

pub(crate) fn usd(text: &str, name: &str) -> Result<Usd, Problem> {
    text.parse().map_err(|error| {
        Problem::new(ProblemCode::InvalidAmount, format!("{name}: {error}."))
            .with("parameter", name)
    })
}
