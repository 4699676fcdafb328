//! `checkout`: the page, hosted by Stripe, where a customer buys credit. No money moves here: the
//! credit comes with Stripe's confirmation, by the webhook.
//!
//! - `POST /v1/checkout-sessions {"amount": "25.00", "auto_refill": {"enabled", "threshold",
//!   "amount"}?}` → 201 `{"id", "url", "expires_at"}`
//! - `GET /v1/checkout-sessions/{id}` → `{"id", "status": "open" | "processing" | "paid" |
//!   "expired", "row"?}`
//! - `POST /v1/checkout-sessions/{id}/cancel` → the same

mod create;
mod status;

use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::Value;
use tollgate::domain::ids::AccountId;
use tollgate::http::call::{Call, Caller, answer, problem};
use tollgate::http::problem::{Code, Problem};
use tollgate::payments::{Desk, Failure};
use tollgate::runtime::billing::Billing;
use tollgate::store::Fault;
use tollgate::stripe::{OnDemand, StripeError};

/// What the function is built from.
#[derive(Debug)]
pub struct Clients {
    /// Ledger, prices, settings.
    pub billing: Billing,
    /// Stripe.
    pub stripe: OnDemand,
}

/// Answers one request.
pub async fn handle(clients: &Clients, request: Request) -> Response<Body> {
    let call = match Call::read(request, &clients.billing.settings.email_claim) {
        Ok(call) => call,
        Err(refused) => return problem(&refused),
    };
    // Boxed: it is many futures deep.
    match Box::pin(route(clients, &call)).await {
        Ok((status, body)) => answer(status, &body),
        Err(refused) => problem(&refused.of_request(&call.request_id)),
    }
}

async fn route(clients: &Clients, call: &Call) -> Result<(StatusCode, Value), Problem> {
    let caller = call.caller()?;
    let stripe = clients.stripe.get().await.map_err(|error| {
        tracing::error!(alarm = "stripe_not_started", request = call.request_id, %error);
        Problem::new(Code::Unavailable, "Stripe is temporarily unavailable. Try again in a moment.")
    })?;
    let desk = Desk { billing: &clients.billing, stripe, now: call.now };
    let answered = match call.route.as_str() {
        "POST /v1/checkout-sessions" => {
            create::create(desk, call, caller).await.map(|created| (StatusCode::CREATED, created))
        }
        "GET /v1/checkout-sessions/{id}" => {
            let session = own_session(desk, call, caller).await?;
            status::status(desk, &session).await.map(|status| (StatusCode::OK, status))
        }
        "POST /v1/checkout-sessions/{id}/cancel" => {
            call.no_body()?;
            let session = own_session(desk, call, caller).await?;
            status::cancel(desk, &session).await.map(|status| (StatusCode::OK, status))
        }
        route => return Err(Problem::new(Code::NotFound, format!("There is no route {route}."))),
    };
    answered.map_err(|refused| refused.problem(&caller.account, call))
}

/// The session in the path, if it is the caller's: nobody learns of others.
async fn own_session(desk: Desk<'_>, call: &Call, caller: &Caller) -> Result<String, Problem> {
    let unknown = || Problem::new(Code::NotFound, "No such checkout session.");
    let session: String = call.path("id")?;
    let is_plain = session.starts_with("cs_") && session.len() <= 255;
    let is_plain =
        is_plain && session.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_plain {
        return Err(unknown());
    }
    let owner = desk.billing.store.owner(&session).await;
    let owner = owner.map_err(|fault| Refused::from(fault).problem(&caller.account, call))?;
    owner.filter(|owner| *owner == caller.account).map(|_| session).ok_or_else(unknown)
}

/// Why a request is not answered as it wished.
#[derive(Debug)]
enum Refused {
    /// It cannot be.
    Problem(Box<Problem>),
    /// Something failed.
    Failure(Failure),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        Refused::Problem(Box::new(problem))
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        Refused::Failure(failure)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Refused {
        Refused::Failure(fault.into())
    }
}

impl From<StripeError> for Refused {
    fn from(error: StripeError) -> Refused {
        Refused::Failure(error.into())
    }
}

impl Refused {
    /// As the caller is told; logged here, once.
    fn problem(self, account: &AccountId, call: &Call) -> Problem {
        let (request, route) = (&call.request_id, &call.route);
        let failure = match self {
            Refused::Problem(problem) => {
                tracing::info!(request, route, %account, code = problem.code(), "refused");
                return *problem;
            }
            Refused::Failure(failure) => failure,
        };
        match &failure {
            Failure::Fault(fault) => {
                tracing::warn!(request, route, %account, %fault, "the ledger failed")
            }
            Failure::Refused(refusal) => {
                tracing::info!(request, route, %account, %refusal, "refused")
            }
            Failure::Stripe(StripeError::KeyMisused { .. }) => {
                tracing::warn!(request, route, %account, %failure, "the request changed under its key");
            }
            Failure::Stripe(error) if error.may_pass() => {
                tracing::warn!(request, route, %account, %failure, "Stripe does not answer");
            }
            Failure::Stripe(_) | Failure::Mismatch { .. } => {
                tracing::error!(alarm = "checkout_failed", request, route, %account, %failure);
            }
        }
        failure.problem()
    }
}
