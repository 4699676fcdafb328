//! `stripe-webhook`: `POST /v1/stripe/webhook`. Verifies, understands, records.
//!
//! The signature is the authentication, and it is verified before anything is parsed. Three
//! outcomes:
//!
//! - **200**: recorded, recorded before, or understood and nothing to us;
//! - **400**: not signed by Stripe; nothing was looked at;
//! - **500** (503, 429): Stripe sends it again, for up to three days. What matters and cannot be
//!   understood is logged with its id and raises an alarm; the event itself is kept by Stripe for
//!   thirty days (`GET /v1/events/{id}`), which is where it is fetched from once it can be
//!   understood.

use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::json;
use tollgate::domain::ids::AccountId;
use tollgate::http::call::{ApiCall, answer, problem};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::{PaymentError, PaymentOutcome, Payments};
use tollgate::runtime::billing::Billing;
use tollgate::runtime::metrics::MetricsSummary;
use tollgate::stripe::OnDemand;
use tollgate::stripe::secret::{Keyring, StripeSecret};
use tollgate::stripe::signature::{self, SignatureError};
use tollgate::stripe::webhook_event::{EventError, StripeEvent, StripeNews};

/// What the function is built from.
#[derive(Debug)]
pub struct WebhookClients {
    /// Ledger, prices, settings.
    pub billing: Billing,
    /// Stripe.
    pub stripe: OnDemand,
}

/// What one delivery came to.
#[derive(Debug)]
pub struct WebhookDelivery {
    /// What Stripe is told.
    pub answer: Response<Body>,
    /// What is logged and counted.
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
    became: WebhookOutcome,
    problem: Problem,
}

/// Answers one delivery.
pub async fn handle(clients: &WebhookClients, request: Request) -> WebhookDelivery {
    let header = request
        .headers()
        .get("stripe-signature")
        .and_then(|header| header.to_str().ok())
        .map(str::to_owned);
    let call = match ApiCall::read(request, &clients.billing.settings.email_claim) {
        Ok(call) => call,
        Err(refused) => {
            return WebhookDelivery {
                answer: problem(&refused),
                summary: WebhookOutcome::Refused.count(MetricsSummary::new("webhook")),
            };
        }
    };
    match verified(clients, header.as_deref(), &call).await {
        Ok((event, outcome)) => WebhookDelivery {
            answer: answer(StatusCode::OK, &json!({"received": true, "outcome": name(&outcome)})),
            summary: summary(&event, &outcome),
        },
        Err(WebhookError { became, problem: why }) => WebhookDelivery {
            answer: problem(&why.of_request(&call.request_id)),
            summary: became.count(MetricsSummary::new("webhook").field("request", call.request_id)),
        },
    }
}

async fn verified(
    clients: &WebhookClients,
    header: Option<&str>,
    call: &ApiCall,
) -> Result<(StripeEvent, PaymentOutcome), WebhookError> {
    let stripe = clients.stripe.get().await.map_err(|error| {
        tracing::error!(alarm = "stripe_not_started", request = call.request_id, %error);
        let why = "The webhook signing secrets are temporarily unavailable. Try again.";
        WebhookError {
            became: WebhookOutcome::SentAgain,
            problem: Problem::new(ProblemCode::Unavailable, why),
        }
    })?;
    verify(stripe.keyring(), header, call).await?;
    deliver(Payments { billing: &clients.billing, stripe, now: call.now }, call.body()).await
}

/// A signature that fits none of the secrets may be made with a newer one: they are read again, at
/// most once in a minute.
async fn verify(
    keyring: &Keyring,
    header: Option<&str>,
    call: &ApiCall,
) -> Result<(), WebhookError> {
    let check = |secret: &StripeSecret| {
        signature::verify(header, call.body(), secret.webhook_secrets(), call.now)
    };
    let mut verified = check(&keyring.current());
    if verified == Err(SignatureError::Unknown) {
        match keyring.read_again(call.now).await {
            Ok(Some(secret)) => verified = check(&secret),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(alarm = "secret_not_read", request = call.request_id, %error);
                let why = "The signature matches no known secret. Reloading failed. Try again.";
                return Err(WebhookError {
                    became: WebhookOutcome::SentAgain,
                    problem: Problem::new(ProblemCode::Unavailable, why),
                });
            }
        }
    }
    verified.map_err(|bad| {
        tracing::warn!(request = call.request_id, %bad, "webhook refused");
        WebhookError {
            became: WebhookOutcome::Refused,
            problem: Problem::new(
                ProblemCode::InvalidSignature,
                format!("Webhook rejected: {bad}."),
            ),
        }
    })
}

async fn deliver(
    desk: Payments<'_>,
    body: &[u8],
) -> Result<(StripeEvent, PaymentOutcome), WebhookError> {
    let read = StripeEvent::read(body).and_then(|event| event.news().map(|news| (event, news)));
    let (event, news) = read.map_err(|not_understood| refuse_unreadable(&not_understood))?;
    // Boxed: it is many futures deep.
    match Box::pin(record(desk, &news)).await {
        Ok(outcome) => Ok((event, outcome)),
        Err(failure) => Err(refuse(&event, &failure)),
    }
}

fn summary(event: &StripeEvent, outcome: &PaymentOutcome) -> MetricsSummary {
    let (became, account, row) = match outcome {
        PaymentOutcome::Recorded { account, seq }
        | PaymentOutcome::AlreadyRecorded { account, seq } => {
            (WebhookOutcome::Handled, Some(account), Some(*seq))
        }
        PaymentOutcome::Noted { account } => (WebhookOutcome::Handled, Some(account), None),
        PaymentOutcome::Foreign | PaymentOutcome::Ignored => (WebhookOutcome::Ignored, None, None),
    };
    let summary = MetricsSummary::new("webhook")
        .field("event", event.id.as_str())
        .field("kind", event.kind.as_str())
        .field("account", account.map(AccountId::as_str))
        .field("row", row)
        .field("outcome", name(outcome));
    became.count(summary)
}

async fn record(desk: Payments<'_>, news: &StripeNews) -> Result<PaymentOutcome, PaymentError> {
    match news {
        StripeNews::Paid(paid) => desk.credit(paid).await,
        StripeNews::Pending(promised) => desk.promise(promised).await,
        StripeNews::Ended { payment, account, how } => desk.end(account, payment, *how).await,
        StripeNews::Refund(refund) => desk.refund(refund).await,
        StripeNews::Dispute(dispute) => desk.dispute(dispute).await,
        StripeNews::Cards { customer } => desk.cards_changed(customer).await,
        StripeNews::CustomerGone { customer } => desk.customer_gone(customer).await,
        StripeNews::Ignored => Ok(PaymentOutcome::Ignored),
    }
}

fn refuse_unreadable(not_understood: &EventError) -> WebhookError {
    let EventError { id, kind, why } = not_understood;
    tracing::error!(alarm = "event_not_understood", event = id, kind, why);
    let why = "The event could not be parsed. The error was logged and we're looking into it.";
    WebhookError {
        became: WebhookOutcome::NotUnderstood,
        problem: Problem::new(ProblemCode::Internal, why),
    }
}

fn refuse(event: &StripeEvent, failure: &PaymentError) -> WebhookError {
    let (event, kind) = (&event.id, &event.kind);
    match failure {
        PaymentError::Fault(fault) => {
            tracing::warn!(event, kind, %fault, "the ledger failed: Stripe sends it again");
            WebhookError { became: WebhookOutcome::SentAgain, problem: Problem::from(fault) }
        }
        PaymentError::Stripe(error) => {
            tracing::warn!(event, kind, %error, "Stripe could not be asked: it sends the event again");
            let why = "A request to Stripe failed. Send the event again.";
            WebhookError {
                became: WebhookOutcome::SentAgain,
                problem: Problem::new(ProblemCode::Unavailable, why),
            }
        }
        PaymentError::Refused(_) | PaymentError::Mismatch { .. } => {
            tracing::error!(alarm = "event_not_recorded", event, kind, why = %failure);
            let why =
                "The event could not be recorded. The error was logged and we're looking into it.";
            WebhookError {
                became: WebhookOutcome::NotRecorded,
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
