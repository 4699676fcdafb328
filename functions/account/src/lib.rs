//! The API behind the Billing page: account, balance, history, refills from the saved card, cards,
//! invoices and billing details.
//!
//! Most routes read only the ledger. The Stripe client is created when the first route needs it.

mod auto_refill;
mod balance;
mod company;
mod csv;
mod history;
mod invoices;
mod last_attempt;
mod payment_methods;
mod portal;
mod profile;
mod spending;
mod time_range;
mod transactions;

use lambda_http::{Body, Request, Response};
use serde_json::json;
use tollgate::domain::profile::EmailAddress;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::Payments;
use tollgate::runtime::billing::Billing;
use tollgate::stripe::OnDemand;

/// The parts that the function is built from.
#[derive(Debug)]
pub struct AccountClients {
    pub billing: Billing,
    pub stripe: OnDemand,
}

pub async fn handle(clients: &AccountClients, request: Request) -> Response<Body> {
    let billing = &clients.billing;
    let call = match handler::read(billing, request) {
        Ok(call) => call,
        Err(answer) => return *answer,
    };
    // Boxed because the future is deeply nested.
    let result = Box::pin(route(clients, &call)).await;
    handler::respond(billing, &call, result)
}

async fn route(clients: &AccountClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let billing = &clients.billing;
    call.caller()?;
    match call.route.as_str() {
        "GET /v1/account" => profile::get(billing, call).await,
        "PUT /v1/account" => profile::put(clients, call).await,
        "GET /v1/balance" => balance::get(billing, call).await,
        "GET /v1/balance/history" => history::get(billing, call).await,
        "GET /v1/transactions" => transactions::list(billing, call).await,
        "GET /v1/spending" => spending::get(billing, call).await,
        "GET /v1/auto-refill" => auto_refill::get(billing, call).await,
        "PUT /v1/auto-refill" => auto_refill::put(billing, call).await,
        "GET /v1/payment-methods" => payment_methods::list(clients, call).await,
        "POST /v1/payment-methods/sessions" => payment_methods::add(clients, call).await,
        "PUT /v1/payment-methods/{id}/default" => {
            payment_methods::make_default(clients, call).await
        }
        "DELETE /v1/payment-methods/{id}" => payment_methods::remove(clients, call).await,
        "POST /v1/portal-sessions" => portal::open(clients, call).await,
        "GET /v1/invoices" => invoices::list(clients, call).await,
        "GET /v1/company" => company::get(billing, call).await,
        "PUT /v1/company" => company::put(clients, call).await,
        _ => Err(handler::no_such_route(call)),
    }
}

/// Where ledger and Stripe meet.
async fn desk<'a>(clients: &'a AccountClients, call: &ApiCall) -> Result<Payments<'a>, ApiError> {
    let stripe = clients.stripe.get().await.map_err(|error| {
        tracing::error!(alarm = "stripe_not_started", request = call.request_id, %error);
        Problem::new(
            ProblemCode::Unavailable,
            "Stripe is temporarily unavailable. Try again in a moment.",
        )
    })?;
    Ok(Payments { billing: &clients.billing, stripe, now: call.now })
}

/// The address that a customer at Stripe is made with.
async fn email(on: &OnAccount<'_>) -> Result<EmailAddress, ApiError> {
    let why = "Set an e-mail address first. It is used for receipts and notices.";
    let problem = || {
        Problem::new(ProblemCode::EmailRequired, why)
            .with_action(json!({"set_email": "PUT /v1/account"}))
    };
    Ok(on.email().await?.ok_or_else(problem)?)
}

/// What tells a request from others at Stripe: its own key, or one that no other request will ever
/// have.
fn key_at_stripe(call: &ApiCall) -> String {
    call.request_key().map_or_else(|| format!("none:{:032x}", fastrand::u128(..)), String::from)
}
