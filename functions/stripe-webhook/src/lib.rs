//! `stripe-webhook`: `POST /v1/stripe/webhook`. Verifies, understands, records.
//!
//! The signature is the authentication, and it is verified before anything is parsed. A request
//! without a signature that could be valid is refused before its body is copied, a hash is computed
//! or a secret is read. Three outcomes:
//!
//! - **200**: recorded, recorded before, or understood and nothing to us;
//! - **400**: not signed by Stripe; nothing was looked at;
//! - **500** (503, 429): Stripe sends it again, for up to three days. What matters and cannot be
//!   understood is logged with its id and raises an alarm; the event itself is kept by Stripe for
//!   thirty days (`GET /v1/events/{id}`), which is where it is fetched from once it can be
//!   understood.

use lambda_http::{Body, Request, Response};
use serde_json::json;
use tollgate::domain::ids::AccountId;
use tollgate::http::call::{self, ApiCall};
use tollgate::http::handler::{self, ApiAnswer, ApiError};
use tollgate::http::payments::stripe_or_problem;
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::{PaymentError, PaymentOutcome, Payments};
use tollgate::runtime::billing::Billing;
use tollgate::runtime::metrics::MetricsSummary;
use tollgate::stripe::OnDemand;
use tollgate::stripe::objects::CheckoutSession;
use tollgate::stripe::secret::{Keyring, StripeSecret};
use tollgate::stripe::signature::{ClaimedSignature, SignatureError};
use tollgate::stripe::webhook_event::{EventError, StripeEvent, StripeNews};

/// What the function is built from.
#[derive(Debug)]
pub struct WebhookClients {
    pub billing: Billing,
    pub stripe: OnDemand,
}

/// What one delivery came to.
#[derive(Debug)]
pub struct WebhookDelivery {
    pub answer: Response<Body>,
    pub summary: MetricsSummary,
}

/// What became of an event, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WebhookOutcome {
    /// It is in the ledger, or what it says was noted.
    Handled,
    /// It is nothing to us.
    Ignored,
    /// It is not signed by Stripe, or no request that can be read.
    Refused,
    /// It matters and cannot be understood.
    NotUnderstood,
    /// It was understood and cannot be recorded.
    NotRecorded,
    /// Something failed meanwhile, and Stripe sends it again.
    SentAgain,
}

/// Each with the name of its metric.
const COUNTED: [(WebhookOutcome, &str); 6] = [
    (WebhookOutcome::Handled, "Handled"),
    (WebhookOutcome::Ignored, "Ignored"),
    (WebhookOutcome::Refused, "Refused"),
    (WebhookOutcome::NotUnderstood, "NotUnderstood"),
    (WebhookOutcome::NotRecorded, "NotRecorded"),
    (WebhookOutcome::SentAgain, "SentAgain"),
];

impl WebhookOutcome {
    fn count(self, summary: MetricsSummary) -> MetricsSummary {
        COUNTED
            .into_iter()
            .fold(summary, |summary, (one, name)| summary.count(name, u8::from(one == self)))
    }
}

/// Why an event is not answered with 200. What is to be known of it was logged.
struct WebhookError {
    outcome: WebhookOutcome,
    problem: Problem,
}

pub async fn handle(clients: &WebhookClients, request: Request) -> WebhookDelivery {
    let claimed = match claimed_signature(&request) {
        Ok(claimed) => claimed,
        Err(problem) => {
            let summary = WebhookOutcome::Refused.count(MetricsSummary::new("webhook"));
            return WebhookDelivery { answer: handler::refuse_unread(&request, problem), summary };
        }
    };
    let call = match handler::read(&clients.billing, request) {
        Ok(call) => call,
        Err(answer) => {
            let summary = WebhookOutcome::Refused.count(MetricsSummary::new("webhook"));
            return WebhookDelivery { answer: *answer, summary };
        }
    };
    let (result, summary) = match verified(clients, &claimed, &call).await {
        Ok((event, outcome)) => (answer(&outcome), summary(&call, &event, &outcome)),
        Err(WebhookError { outcome, problem }) => {
            let summary = MetricsSummary::new("webhook").field("request_id", &*call.request_id);
            (Err(problem.into()), outcome.count(summary))
        }
    };
    WebhookDelivery { answer: handler::respond(&clients.billing, &call, result), summary }
}

/// The signature in the header. Not verified yet.
fn claimed_signature(request: &Request) -> Result<ClaimedSignature, Problem> {
    let header = request.headers().get("stripe-signature");
    let header = header.and_then(|header| header.to_str().ok());
    ClaimedSignature::read(header, call::time_of(request)?).map_err(rejected)
}

fn rejected(bad: SignatureError) -> Problem {
    Problem::new(ProblemCode::InvalidSignature, format!("Webhook rejected: {bad}."))
}

fn answer(outcome: &PaymentOutcome) -> Result<ApiAnswer, ApiError> {
    let answer = ApiAnswer::ok(&json!({"received": true, "outcome": name(outcome)}))?;
    Ok(match outcome {
        PaymentOutcome::Recorded { account, seq }
        | PaymentOutcome::AlreadyRecorded { account, seq } => {
            answer.of_account(account).of_row(*seq)
        }
        PaymentOutcome::Noted { account } => answer.of_account(account),
        PaymentOutcome::Foreign | PaymentOutcome::Ignored => answer,
    })
}

async fn verified(
    clients: &WebhookClients,
    claimed: &ClaimedSignature,
    call: &ApiCall,
) -> Result<(StripeEvent, PaymentOutcome), WebhookError> {
    let detail = "The webhook signing secrets are temporarily unavailable. Try again.";
    let stripe = stripe_or_problem(&clients.stripe, call, detail)
        .await
        .map_err(|problem| WebhookError { outcome: WebhookOutcome::SentAgain, problem })?;
    verify(stripe.keyring(), claimed, call).await?;
    deliver(Payments { billing: &clients.billing, stripe, now: call.now }, call.body()).await
}

/// A signature that fits none of the secrets may be made with a newer one: they are read again, at
/// most once in a minute.
async fn verify(
    keyring: &Keyring,
    claimed: &ClaimedSignature,
    call: &ApiCall,
) -> Result<(), WebhookError> {
    let check = |secret: &StripeSecret| claimed.verify(call.body(), secret.webhook_secrets());
    let mut verified = check(&keyring.current());
    if verified == Err(SignatureError::Unknown) {
        match keyring.read_again(call.now).await {
            Ok(Some(secret)) => verified = check(&secret),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(alarm = "secret_not_read", request_id = call.request_id, %error);
                let why = "The signature matches no known secret. Reloading failed. Try again.";
                return Err(WebhookError {
                    outcome: WebhookOutcome::SentAgain,
                    problem: Problem::new(ProblemCode::Unavailable, why),
                });
            }
        }
    }
    verified.map_err(|bad| {
        tracing::warn!(request_id = call.request_id, %bad, "webhook refused");
        WebhookError { outcome: WebhookOutcome::Refused, problem: rejected(bad) }
    })
}

async fn deliver(
    payments: Payments<'_>,
    body: &[u8],
) -> Result<(StripeEvent, PaymentOutcome), WebhookError> {
    let read = StripeEvent::read(body).and_then(|event| event.news().map(|news| (event, news)));
    let (event, news) = read.map_err(|not_understood| refuse_unreadable(&not_understood))?;
    // Boxed: it is many futures deep.
    match Box::pin(record(payments, &news)).await {
        Ok(outcome) => Ok((event, outcome)),
        Err(failure) => Err(refuse(&event, &failure)),
    }
}

fn summary(call: &ApiCall, event: &StripeEvent, outcome: &PaymentOutcome) -> MetricsSummary {
    let (counted, account, row) = match outcome {
        PaymentOutcome::Recorded { account, seq }
        | PaymentOutcome::AlreadyRecorded { account, seq } => {
            (WebhookOutcome::Handled, Some(account), Some(*seq))
        }
        PaymentOutcome::Noted { account } => (WebhookOutcome::Handled, Some(account), None),
        PaymentOutcome::Foreign | PaymentOutcome::Ignored => (WebhookOutcome::Ignored, None, None),
    };
    let summary = MetricsSummary::new("webhook")
        .field("request_id", &*call.request_id)
        .field("event", event.id.as_str())
        .field("kind", event.kind.as_str())
        .field("account", account.map(AccountId::as_str))
        .field("row", row)
        .field("outcome", name(outcome));
    counted.count(summary)
}

async fn record(payments: Payments<'_>, news: &StripeNews) -> Result<PaymentOutcome, PaymentError> {
    match news {
        StripeNews::Paid(paid) => payments.credit(paid).await,
        StripeNews::Pending(promised) => payments.promise(promised).await,
        StripeNews::Ended(ended) => payments.end(ended).await,
        StripeNews::Refund(refund) => payments.refund(refund).await,
        StripeNews::Dispute(dispute) => Box::pin(payments.dispute(dispute)).await,
        StripeNews::FraudWarning(warning) => Box::pin(payments.warn_of_fraud(warning)).await,
        StripeNews::Cards { customer } => payments.cards_changed(customer).await,
        StripeNews::TrialPage(session) => Box::pin(trial_page(payments, session)).await,
        StripeNews::CustomerGone { customer } => payments.customer_gone(customer).await,
        StripeNews::Ignored => Ok(PaymentOutcome::Ignored),
    }
}

/// A card that cannot secure a trial is the customer's business: the page tells it.
async fn trial_page(
    payments: Payments<'_>,
    session: &CheckoutSession,
) -> Result<PaymentOutcome, PaymentError> {
    match payments.start_trial(session).await {
        Err(PaymentError::Refused(refusal)) => {
            tracing::info!(session = session.id, %refusal, "no trial starts");
            let customer = session.customer.as_ref().and_then(|customer| customer.id.parse().ok());
            let account = payments.account_of(customer.as_ref()).await?;
            Ok(account.map_or(PaymentOutcome::Foreign, |account| PaymentOutcome::Noted { account }))
        }
        outcome => outcome,
    }
}

fn refuse_unreadable(not_understood: &EventError) -> WebhookError {
    let EventError { id, kind, why } = not_understood;
    tracing::error!(alarm = "event_not_understood", event = id, kind, why);
    let why = "The event could not be parsed. The error was logged and we're looking into it.";
    WebhookError {
        outcome: WebhookOutcome::NotUnderstood,
        problem: Problem::new(ProblemCode::Internal, why),
    }
}

fn refuse(event: &StripeEvent, failure: &PaymentError) -> WebhookError {
    let (event, kind) = (&event.id, &event.kind);
    match failure {
        PaymentError::Fault(fault) => {
            tracing::warn!(event, kind, %fault, "the ledger failed: Stripe sends it again");
            WebhookError { outcome: WebhookOutcome::SentAgain, problem: Problem::from(fault) }
        }
        PaymentError::Stripe(error) => {
            tracing::warn!(event, kind, %error, "Stripe could not be asked: it sends the event again");
            let why = "A request to Stripe failed. Send the event again.";
            WebhookError {
                outcome: WebhookOutcome::SentAgain,
                problem: Problem::new(ProblemCode::Unavailable, why),
            }
        }
        PaymentError::Refused(_)
        | PaymentError::Mismatch { .. }
        | PaymentError::UnknownCustomer { .. } => {
            tracing::error!(alarm = "event_not_recorded", event, kind, why = %failure);
            let why =
                "The event could not be recorded. The error was logged and we're looking into it.";
            WebhookError {
                outcome: WebhookOutcome::NotRecorded,
                problem: Problem::new(ProblemCode::Internal, why),
            }
        }
    }
}

fn name(outcome: &PaymentOutcome) -> &'static str {
    match outcome {
        PaymentOutcome::Recorded { .. } => "recorded",
        PaymentOutcome::AlreadyRecorded { .. } => "already_recorded",
        PaymentOutcome::Noted { .. } => "noted",
        PaymentOutcome::Foreign => "foreign",
        PaymentOutcome::Ignored => "ignored",
    }
}
