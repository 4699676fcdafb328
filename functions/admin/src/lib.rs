//! The API for the operator's staff: prices, payments by Stripe ID, bonuses, corrections, and the
//! standing of an account. Every change that staff decide needs a reason. `tollgate/admin` may do
//! everything, and `tollgate/support` what `support.rs` lists.

mod accounts;
mod health;
mod imports;
mod invoices;
mod offers;
mod payments;
mod prices;
mod quotas;
mod refunds;
mod search;
mod support;

use lambda_http::{Body, Request, Response};
use tollgate::http::call::{ADMIN_SCOPE, ApiCall, BODY_BYTES_MAX};
use tollgate::http::handler::{self, ApiAnswer, ApiError};
use tollgate::runtime::billing::Billing;
use tollgate::stripe::OnDemand;

/// The parts that the function is built from.
#[derive(Debug)]
pub struct AdminClients {
    pub billing: Billing,
    /// Used for payments and for the health check.
    pub stripe: OnDemand,
    /// `EVENT_BUS`. The function sends no events, but the health check reports whether it is set.
    pub bus: Option<String>,
}

pub async fn handle(clients: &AdminClients, request: Request) -> Response<Body> {
    let billing = &clients.billing;
    let call = match handler::read_up_to(bytes_max, billing, request) {
        Ok(call) => call,
        Err(answer) => return *answer,
    };
    // Boxed because the future is deeply nested.
    let result = Box::pin(route(clients, &call)).await;
    handler::respond(billing, &call, result)
}

/// The largest body of a route, in bytes.
fn bytes_max(route: &str) -> usize {
    if route == imports::ROUTE { imports::BODY_BYTES_MAX } else { BODY_BYTES_MAX }
}

async fn route(clients: &AdminClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let billing = &clients.billing;
    if !support::may(call)? {
        call.caller_with(ADMIN_SCOPE)?;
    }
    match call.route.as_str() {
        "GET /v1/admin/prices" => prices::get(billing, call).await,
        "PUT /v1/admin/prices" => prices::put(billing, call).await,
        "GET /v1/admin/commit-offers" => offers::get(billing, call).await,
        "PUT /v1/admin/commit-offers" => offers::put(billing, call).await,
        "GET /v1/admin/payments/{id}" => payments::get(clients, call).await,
        "POST /v1/admin/payments/{id}/recover" => payments::recover(clients, call).await,
        "POST /v1/admin/payments/{id}/refunds" => refunds::refund(clients, call).await,
        "POST /v1/admin/payments/{id}/invoice" => invoices::of_payment(clients, call).await,
        "GET /v1/admin/health" => health::get(clients, call).await,
        "GET /v1/admin/accounts" => search::search(billing, call).await,
        imports::ROUTE => imports::import(billing, call).await,
        "GET /v1/admin/accounts/{account}" => accounts::get(billing, call).await,
        "GET /v1/admin/accounts/{account}/transactions" => {
            accounts::transactions(billing, call).await
        }
        "GET /v1/admin/accounts/{account}/verify" => accounts::verify(billing, call).await,
        "PUT /v1/admin/accounts/{account}/quotas" => quotas::put(billing, call).await,
        "GET /v1/admin/accounts/{account}/invoices" => invoices::list(clients, call).await,
        "POST /v1/admin/accounts/{account}/invoices" => invoices::issue(clients, call).await,
        "POST /v1/admin/accounts/{account}/invoices/{invoice}/void" => {
            invoices::void(clients, call).await
        }
        "POST /v1/admin/accounts/{account}/bonus" => accounts::bonus(billing, call).await,
        "POST /v1/admin/accounts/{account}/correction" => accounts::correction(billing, call).await,
        "POST /v1/admin/accounts/{account}/grants/{number}/withdraw" => {
            accounts::withdraw(billing, call).await
        }
        "POST /v1/admin/accounts/{account}/freeze" => accounts::freeze(billing, call).await,
        "POST /v1/admin/accounts/{account}/unfreeze" => accounts::unfreeze(billing, call).await,
        "POST /v1/admin/accounts/{account}/suspend" => accounts::suspend(billing, call).await,
        "POST /v1/admin/accounts/{account}/resume" => accounts::resume(billing, call).await,
        "POST /v1/admin/accounts/{account}/refill/abandon" => {
            accounts::abandon_refill(clients, call).await
        }
        "POST /v1/admin/accounts/{account}/close" => accounts::close(clients, call).await,
        "POST /v1/admin/accounts/{account}/erase" => accounts::erase(clients, call).await,
        "POST /v1/admin/accounts/{account}/reopen" => accounts::reopen(billing, call).await,
        _ => Err(handler::no_such_route(call)),
    }
}
