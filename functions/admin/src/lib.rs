//! What the operator's staff does: prices, payments by Stripe's ids, credit that was not paid for, corrections, and an
//! account's standing. Every route needs the scope `tollgate/admin`, and every change has a reason.

mod accounts;
mod payments;
mod prices;

use lambda_http::{Body, Request, Response};
use tollgate::api::{self, Answer, Failed};
use tollgate::http::{ADMIN_SCOPE, Call};
use tollgate::shell::Billing;
use tollgate::stripe::Stripe;

/// Answers one request. Stripe is asked only about payments.
pub async fn handle(billing: &Billing, stripe: &Stripe, request: Request) -> Response<Body> {
    let call = match api::read(billing, request) {
        Ok(call) => call,
        Err(answer) => return *answer,
    };
    let result = route(billing, stripe, &call).await;
    api::respond(billing, &call, result)
}

async fn route(billing: &Billing, stripe: &Stripe, call: &Call) -> Result<Answer, Failed> {
    call.caller_with(ADMIN_SCOPE)?;
    match call.route.as_str() {
        "GET /v1/admin/prices" => prices::get(billing, call).await,
        "PUT /v1/admin/prices" => prices::put(billing, call).await,
        "GET /v1/admin/payments/{id}" => payments::get(billing, stripe, call).await,
        "GET /v1/admin/accounts/{account}" => accounts::get(billing, call).await,
        "GET /v1/admin/accounts/{account}/verify" => accounts::verify(billing, call).await,
        "POST /v1/admin/accounts/{account}/bonus" => accounts::bonus(billing, call).await,
        "POST /v1/admin/accounts/{account}/correction" => accounts::correction(billing, call).await,
        "POST /v1/admin/accounts/{account}/freeze" => accounts::freeze(billing, call).await,
        "POST /v1/admin/accounts/{account}/unfreeze" => accounts::unfreeze(billing, call).await,
        "POST /v1/admin/accounts/{account}/suspend" => accounts::suspend(billing, call).await,
        "POST /v1/admin/accounts/{account}/resume" => accounts::resume(billing, call).await,
        "POST /v1/admin/accounts/{account}/close" => accounts::close(billing, call).await,
        _ => Err(api::no_such_route(call)),
    }
}
