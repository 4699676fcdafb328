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
use tollgate::http::call::{Call, answer, problem};
use tollgate::http::problem::{Code, Problem};
use tollgate::payments::{Desk, Failure, Outcome};
use tollgate::runtime::billing::Billing;
use tollgate::runtime::metrics::Summary;
use tollgate::stripe::OnDemand;
use tollgate::stripe::secret::{Keyring, Secret};
use tollgate::stripe::signature::{self, BadSignature};
use tollgate::stripe::webhook_event::{News, NotUnderstood, StripeEvent};

/// What the function is built from.
#[derive(Debug)]
pub struct Clients {
    /// Ledger, prices, settings.
    pub billing: Billing,
    /// Stripe.
    pub stripe: OnDemand,
}

/// What one delivery came to.
#[derive(Debug)]
pub struct Delivered {
    /// What Stripe is told.
    pub answer: Response<Body>,
    /// What is logged and counted.
    pub summary: Summary,
}

/// What became of an event, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
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
const COUNTED: [(Became, &str); 6] = [
    (Became::Handled, "Handled"),
    (Became::Ignored, "Ignored"),
    (Became::Refused, "Refused"),
    (Became::NotUnderstood, "NotUnderstood"),
    (Became::NotRecorded, "NotRecorded"),
    (Became::SentAgain, "SentAgain"),
];

impl Became {
    fn count(self, summary: Summary) -> Summary {
        COUNTED
            .into_iter()
            .fold(summary, |summary, (one, name)| summary.count(name, u8::from(one == self)))
    }
}

/// Why an event is not answered with 200. What is to be known of it was logged.
struct NotDone {
    became: Became,
    problem: Problem,
}

/// Answers one delivery.
pub async fn handle(clients: &Clients, request: Request) -> Delivered {
    let header = request
        .headers()
        .get("stripe-signature")
        .and_then(|header| header.to_str().ok())
        .map(str::to_owned);
    let call = match Call::read(request, &clients.billing.settings.email_claim) {
        Ok(call) => call,
        Err(refused) => {
            return Delivered {
                answer: problem(&refused),
                summary: Became::Refused.count(Summary::new("webhook")),
            };
        }
    };
    match verified(clients, header.as_deref(), &call).await {
        Ok((event, outcome)) => Delivered {
            answer: answer(StatusCode::OK, &json!({"received": true, "outcome": name(&outcome)})),
            summary: summary(&event, &outcome),
        },
        Err(NotDone { became, problem: why }) => Delivered {
            answer: problem(&why.of_request(&call.request_id)),
            summary: became.count(Summary::new("webhook").field("request", call.request_id)),
        },
    }
}

async fn verified(
    clients: &Clients,
    header: Option<&str>,
    call: &Call,
) -> Result<(StripeEvent, Outcome), NotDone> {
    let stripe = clients.stripe.get().await.map_err(|error| {
        tracing::error!(alarm = "stripe_not_started", request = call.request_id, %error);
        let why = "The webhook signing secrets are temporarily unavailable. Try again.";
        NotDone { became: Became::SentAgain, problem: Problem::new(Code::Unavailable, why) }
    })?;
    verify(stripe.keyring(), header, call).await?;
    deliver(Desk { billing: &clients.billing, stripe, now: call.now }, call.body()).await
}

/// A signature that fits none of the secrets may be made with a newer one: they are read again, at
/// most once in a minute.
async fn verify(keyring: &Keyring, header: Option<&str>, call: &Call) -> Result<(), NotDone> {
    let check = |secret: &Secret| {
        signature::verify(header, call.body(), secret.webhook_secrets(), call.now)
    };
    let mut verified = check(&keyring.current());
    if verified == Err(BadSignature::Unknown) {
        match keyring.read_again(call.now).await {
            Ok(Some(secret)) => verified = check(&secret),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(alarm = "secret_not_read", request = call.request_id, %error);
                let why = "The signature matches no known secret. Reloading failed. Try again.";
                return Err(NotDone {
                    became: Became::SentAgain,
                    problem: Problem::new(Code::Unavailable, why),
                });
            }
        }
    }
    verified.map_err(|bad| {
        tracing::warn!(request = call.request_id, %bad, "webhook refused");
        NotDone {
            became: Became::Refused,
            problem: Problem::new(Code::InvalidSignature, format!("Webhook rejected: {bad}.")),
        }
    })
}

async fn deliver(desk: Desk<'_>, body: &[u8]) -> Result<(StripeEvent, Outcome), NotDone> {
    let read = StripeEvent::read(body).and_then(|event| event.news().map(|news| (event, news)));
    let (event, news) = read.map_err(|not_understood| refuse_unreadable(&not_understood))?;
    // Boxed: it is many futures deep.
    match Box::pin(record(desk, &news)).await {
        Ok(outcome) => Ok((event, outcome)),
        Err(failure) => Err(refuse(&event, &failure)),
    }
}

fn summary(event: &StripeEvent, outcome: &Outcome) -> Summary {
    let (became, account, row) = match outcome {
        Outcome::Recorded { account, seq } | Outcome::AlreadyRecorded { account, seq } => {
            (Became::Handled, Some(account), Some(*seq))
        }
        Outcome::Noted { account } => (Became::Handled, Some(account), None),
        Outcome::Foreign | Outcome::Ignored => (Became::Ignored, None, None),
    };
    let summary = Summary::new("webhook")
        .field("event", event.id.as_str())
        .field("kind", event.kind.as_str())
        .field("account", account.map(AccountId::as_str))
        .field("row", row)
        .field("outcome", name(outcome));
    became.count(summary)
}

async fn record(desk: Desk<'_>, news: &News) -> Result<Outcome, Failure> {
    match news {
        News::Paid(paid) => desk.credit(paid).await,
        News::Pending(promised) => desk.promise(promised).await,
        News::Ended { payment, account, how } => desk.end(account, payment, *how).await,
        News::Refund(refund) => desk.refund(refund).await,
        News::Dispute(dispute) => desk.dispute(dispute).await,
        News::Cards { customer } => desk.cards_changed(customer).await,
        News::CustomerGone { customer } => desk.customer_gone(customer).await,
        News::Ignored => Ok(Outcome::Ignored),
    }
}

fn refuse_unreadable(not_understood: &NotUnderstood) -> NotDone {
    let NotUnderstood { id, kind, why } = not_understood;
    tracing::error!(alarm = "event_not_understood", event = id, kind, why);
    let why = "The event could not be parsed. The error was logged and we're looking into it.";
    NotDone { became: Became::NotUnderstood, problem: Problem::new(Code::Internal, why) }
}

fn refuse(event: &StripeEvent, failure: &Failure) -> NotDone {
    let (event, kind) = (&event.id, &event.kind);
    match failure {
        Failure::Fault(fault) => {
            tracing::warn!(event, kind, %fault, "the ledger failed: Stripe sends it again");
            NotDone { became: Became::SentAgain, problem: Problem::from(fault) }
        }
        Failure::Stripe(error) => {
            tracing::warn!(event, kind, %error, "Stripe could not be asked: it sends the event again");
            let why = "A request to Stripe failed. Send the event again.";
            NotDone { became: Became::SentAgain, problem: Problem::new(Code::Unavailable, why) }
        }
        Failure::Refused(_) | Failure::Mismatch { .. } => {
            tracing::error!(alarm = "event_not_recorded", event, kind, why = %failure);
            let why =
                "The event could not be recorded. The error was logged and we're looking into it.";
            NotDone { became: Became::NotRecorded, problem: Problem::new(Code::Internal, why) }
        }
    }
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Recorded { .. } => "recorded",
        Outcome::AlreadyRecorded { .. } => "already_recorded",
        Outcome::Noted { .. } => "noted",
        Outcome::Foreign => "foreign",
        Outcome::Ignored => "ignored",
    }
}
