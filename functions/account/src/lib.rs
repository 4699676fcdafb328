//! What the Billing page shows and sets: the account, its balance, its history, and refills from the saved card.

mod auto_refill;
mod balance;
mod profile;
mod transactions;

use lambda_http::{Body, Request, Response};
use tollgate::api::{self, Answer, Failed};
use tollgate::http::Call;
use tollgate::shell::Billing;

/// Answers one request.
pub async fn handle(billing: &Billing, request: Request) -> Response<Body> {
    let call = match api::read(billing, request) {
        Ok(call) => call,
        Err(answer) => return *answer,
    };
    let result = route(billing, &call).await;
    api::respond(billing, &call, result)
}

async fn route(billing: &Billing, call: &Call) -> Result<Answer, Failed> {
    call.caller()?;
    match call.route.as_str() {
        "GET /v1/account" => profile::get(billing, call).await,
        "PUT /v1/account" => profile::put(billing, call).await,
        "GET /v1/balance" => balance::get(billing, call).await,
        "GET /v1/transactions" => transactions::list(billing, call).await,
        "GET /v1/auto-refill" => auto_refill::get(billing, call).await,
        "PUT /v1/auto-refill" => auto_refill::put(billing, call).await,
        _ => Err(api::no_such_route(call)),
    }
}
