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
use tollgate::http::call::{ApiCall, ApiCaller, answer, problem};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::{PaymentError, Payments};
use tollgate::runtime::billing::Billing;
use tollgate::store::StoreError;
use tollgate::stripe::{OnDemand, StripeError};

/// What the function is built from.
#[derive(Debug)]
pub struct CheckoutClients {
    /// Ledger, prices, settings.
    pub billing: Billing,
    /// Stripe.
    pub stripe: OnDemand,
}

/// Answers one request.
pub async fn handle(clients: &CheckoutClients, request: Request) -> Response<Body> {
    let call = match ApiCall::read(request, &clients.billing.settings.email_claim) {
        Ok(call) => call,
        Err(refused) => return problem(&refused),
    };
    // Boxed: it is many futures deep.
    match Box::pin(route(clients, &call)).await {
        Ok((status, body)) => answer(status, &body),
        Err(refused) => problem(&refused.of_request(&call.request_id)),
    }
}

async fn route(clients: &CheckoutClients, call: &ApiCall) -> Result<(StatusCode, Value), Problem> {
    let caller = call.caller()?;
    let stripe = clients.stripe.get().await.map_err(|error| {
        tracing::error!(alarm = "stripe_not_started", request = call.request_id, %error);
        Problem::new(
            ProblemCode::Unavailable,
            "Stripe is temporarily unavailable. Try again in a moment.",
        )
    })?;
    let desk = Payments { billing: &clients.billing, stripe, now: call.now };
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
        route => {
            return Err(Problem::new(ProblemCode::NotFound, format!("There is no route {route}.")));
        }
    };
    answered.map_err(|refused| refused.problem(&caller.account, call))
}

/// The session in the path, if it is the caller's: nobody learns of others.
async fn own_session(
    desk: Payments<'_>,
    call: &ApiCall,
    caller: &ApiCaller,
) -> Result<String, Problem> {
    let unknown = || Problem::new(ProblemCode::NotFound, "No such checkout session.");
    let session: String = call.path("id")?;
    let is_plain = session.starts_with("cs_") && session.len() <= 255;
    let is_plain =
        is_plain && session.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_plain {
        return Err(unknown());
    }
    let owner = desk.billing.store.owner(&session).await;
    let owner = owner.map_err(|fault| CheckoutError::from(fault).problem(&caller.account, call))?;
    owner.filter(|owner| *owner == caller.account).map(|_| session).ok_or_else(unknown)
}

/// Why a request is not answered as it wished.
#[derive(Debug)]
enum CheckoutError {
    /// It cannot be.
    Problem(Box<Problem>),
    /// Something failed.
    Failure(PaymentError),
}

impl From<Problem> for CheckoutError {
    fn from(problem: Problem) -> CheckoutError {
        CheckoutError::Problem(Box::new(problem))
    }
}

impl From<PaymentError> for CheckoutError {
    fn from(failure: PaymentError) -> CheckoutError {
        CheckoutError::Failure(failure)
    }
}

impl From<StoreError> for CheckoutError {
    fn from(fault: StoreError) -> CheckoutError {
        CheckoutError::Failure(fault.into())
    }
}

impl From<StripeError> for CheckoutError {
    fn from(error: StripeError) -> CheckoutError {
        CheckoutError::Failure(error.into())
    }
}

impl CheckoutError {
    /// As the caller is told; logged here, once.
    fn problem(self, account: &AccountId, call: &ApiCall) -> Problem {
        let (request, route) = (&call.request_id, &call.route);
        let failure = match self {
            CheckoutError::Problem(problem) => {
                tracing::info!(request, route, %account, code = problem.code(), "refused");
                return *problem;
            }
            CheckoutError::Failure(failure) => failure,
        };
        match &failure {
            PaymentError::Fault(fault) => {
                tracing::warn!(request, route, %account, %fault, "the ledger failed");
            }
            PaymentError::Refused(refusal) => {
                tracing::info!(request, route, %account, %refusal, "refused");
            }
            PaymentError::Stripe(StripeError::KeyMisused { .. }) => {
                tracing::warn!(request, route, %account, %failure, "the request changed under its key");
            }
            PaymentError::Stripe(error) if error.may_pass() => {
                tracing::warn!(request, route, %account, %failure, "Stripe does not answer");
            }
            PaymentError::Stripe(_) | PaymentError::Mismatch { .. } => {
                tracing::error!(alarm = "checkout_failed", request, route, %account, %failure);
            }
        }
        failure.problem()
    }
}
