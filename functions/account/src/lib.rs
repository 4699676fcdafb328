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
use tollgate::http;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError};
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

impl AccountClients {
    /// Ledger and Stripe at the time of one call.
    async fn payments(&self, call: &ApiCall) -> Result<Payments<'_>, ApiError> {
        Ok(http::payments::payments(&self.billing, &self.stripe, call).await?)
    }
}
