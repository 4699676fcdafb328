//! `checkout`: the page, hosted by Stripe, where a customer buys credit. The credit comes with
//! Stripe's confirmation: by the webhook, or by the status of a session that is paid at Stripe.
//!
//! - `POST /v1/checkout-sessions {"amount": "25.00", "auto_refill": {"enabled", "threshold",
//!   "amount"}?}` → 201 `{"id", "url", "expires_at"}`
//! - `GET /v1/checkout-sessions/{id}` → `{"id", "status": "open" | "processing" | "paid" |
//!   "expired", "row"?}`
//! - `POST /v1/checkout-sessions/{id}/cancel` → the same
//! - `GET /v1/commit-plans` → `{"version", "plans": [{"id", "price", "bonus", "credit", "months",
//!   "excludes", "available_until"}]}`
//! - `POST /v1/commit-plans/{plan}/checkout {"version", "auto_refill"?}` → as
//!   `POST /v1/checkout-sessions`

mod payment_page;
mod plans;
mod status;
mod top_up;
mod trial;

use lambda_http::{Body, Request, Response};
use tollgate::domain::ids::AccountId;
use tollgate::http;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError, FailureSeverity};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::stripe::OnDemand;

/// What the function is built from.
#[derive(Debug)]
pub struct CheckoutClients {
    pub billing: Billing,
    pub stripe: OnDemand,
}

pub async fn handle(clients: &CheckoutClients, request: Request) -> Response<Body> {
    let billing = &clients.billing;
    let call = match handler::read(billing, request) {
        Ok(call) => call,
        Err(answer) => return *answer,
    };
    // Boxed: it is many futures deep.
    let result = Box::pin(route(clients, &call)).await;
    if let Err(ApiError::Elsewhere { cause, severity: FailureSeverity::Defect, .. }) = &result {
        let account = call.caller.as_ref().map(|caller| caller.account.as_str());
        let (route, request_id) = (&call.route, &call.request_id);
        tracing::error!(alarm = "checkout_failed", account, route, request_id, cause);
    }
    handler::respond(billing, &call, result)
}

async fn route(clients: &CheckoutClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let account = &call.caller()?.account;
    let payments = async || http::payments::payments(&clients.billing, &clients.stripe, call).await;
    match call.route.as_str() {
        "POST /v1/checkout-sessions" => top_up::checkout(payments().await?, call).await,
        "GET /v1/commit-plans" => plans::list(&clients.billing, call).await,
        "POST /v1/commit-plans/{plan}/checkout" => plans::checkout(payments().await?, call).await,
        "GET /v1/trial" => trial::get(clients, call).await,
        "POST /v1/trial" => trial::start(payments().await?, call).await,
        "GET /v1/checkout-sessions/{id}" => {
            let session = own_session(&clients.billing, call.path("id")?, account).await?;
            http::payments::take_from_budget(&clients.billing, account, call).await?;
            status::status(payments().await?, &session).await
        }
        "POST /v1/checkout-sessions/{id}/cancel" => {
            call.no_body()?;
            let session = own_session(&clients.billing, call.path("id")?, account).await?;
            let cancel = async {
                http::payments::take_from_budget(&clients.billing, account, call).await?;
                status::cancel(payments().await?, &session).await
            };
            handler::once(&clients.billing, account, call, cancel).await
        }
        _ => Err(handler::no_such_route(call)),
    }
}

/// The session, if it is the caller's: nobody learns of others.
async fn own_session(
    billing: &Billing,
    session: String,
    account: &AccountId,
) -> Result<String, ApiError> {
    let unknown = || Problem::new(ProblemCode::NotFound, "No such checkout session.");
    let is_plain = session.starts_with("cs_") && session.len() <= 255;
    let is_plain =
        is_plain && session.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_plain {
        return Err(unknown().into());
    }
    let owner = billing.store.owner(&session).await?;
    let own = owner.filter(|owner| owner == account).map(|_| session);
    Ok(own.ok_or_else(unknown)?)
}
