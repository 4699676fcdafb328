//! The API behind the Billing page: account, balance, history, refills from the saved card, cards,
//! invoices and billing details.
//!
//! Most routes read only the ledger. The Stripe client is created when the first route needs it.

mod auto_refill;
mod balance;
mod closing;
mod company;
mod csv;
mod export;
mod history;
mod invoices;
mod last_attempt;
mod payment_methods;
mod portal;
mod profile;
mod restart_policy;
mod spending;
mod time_range;
mod transactions;

use std::pin::Pin;

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
        "GET /v1/account" => boxed(|| profile::get(billing, call)).await,
        "PUT /v1/account" => boxed(|| profile::put(clients, call)).await,
        "DELETE /v1/account" => boxed(|| closing::close(clients, call)).await,
        "GET /v1/account/closing" => boxed(|| closing::get(billing, call)).await,
        "GET /v1/account/export" => boxed(|| export::get(billing, call)).await,
        "PUT /v1/account/restart-policy" => boxed(|| restart_policy::put(billing, call)).await,
        "GET /v1/balance" => boxed(|| balance::get(billing, call)).await,
        "GET /v1/balance/history" => boxed(|| history::get(billing, call)).await,
        "GET /v1/transactions" => boxed(|| transactions::list(billing, call)).await,
        "GET /v1/spending" => boxed(|| spending::get(billing, call)).await,
        "GET /v1/auto-refill" => boxed(|| auto_refill::get(billing, call)).await,
        "PUT /v1/auto-refill" => boxed(|| auto_refill::put(billing, call)).await,
        "POST /v1/auto-refill/now" => boxed(|| auto_refill::refill_now(billing, call)).await,
        "GET /v1/payment-methods" => boxed(|| payment_methods::list(clients, call)).await,
        "POST /v1/payment-methods/sessions" => boxed(|| payment_methods::add(clients, call)).await,
        "PUT /v1/payment-methods/{id}/default" => {
            boxed(|| payment_methods::make_default(clients, call)).await
        }
        "DELETE /v1/payment-methods/{id}" => boxed(|| payment_methods::remove(clients, call)).await,
        "POST /v1/portal-sessions" => boxed(|| portal::open(clients, call)).await,
        "GET /v1/invoices" => boxed(|| invoices::list(clients, call)).await,
        "GET /v1/company" => boxed(|| company::get(billing, call)).await,
        "PUT /v1/company" => boxed(|| company::put(clients, call)).await,
        _ => Err(handler::no_such_route(call)),
    }
}

/// Makes a future on the heap. It is made in a frame of its own: without optimizations, the frame of
/// `route` would hold the futures of all routes, which are many futures deep.
fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}

impl AccountClients {
    /// Ledger and Stripe at the time of one call, within the account's budget for calls to Stripe.
    async fn payments(&self, call: &ApiCall) -> Result<Payments<'_>, ApiError> {
        let account = &call.caller()?.account;
        http::payments::take_from_budget(&self.billing, account, call).await?;
        self.unlimited_payments(call).await
    }

    /// The same for a request that does not call Stripe.
    async fn unlimited_payments(&self, call: &ApiCall) -> Result<Payments<'_>, ApiError> {
        Ok(http::payments::payments(&self.billing, &self.stripe, call).await?)
    }
}
