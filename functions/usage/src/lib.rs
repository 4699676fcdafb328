//! Metered usage: what the platform reports of it, and the credit that is held for it.

mod allowance;
mod holds;
mod priced;
mod report;

use lambda_http::{Body, Request, Response};
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError};
use tollgate::runtime::billing::Billing;

pub async fn handle(billing: &Billing, request: Request) -> Response<Body> {
    let call = match handler::read(billing, request) {
        Ok(call) => call,
        Err(answer) => return *answer,
    };
    let result = route(billing, &call).await;
    handler::respond(billing, &call, result)
}

async fn route(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller()?;
    match call.route.as_str() {
        "POST /v1/usage" => report::report(billing, call).await,
        "GET /v1/allowance" => allowance::get(billing, call).await,
        "POST /v1/holds" => holds::create(billing, call).await,
        "GET /v1/holds/{hold}" => holds::get(billing, call).await,
        "POST /v1/holds/{hold}/capture" => holds::capture(billing, call).await,
        "POST /v1/holds/{hold}/extend" => holds::extend(billing, call).await,
        "POST /v1/holds/{hold}/release" => holds::release(billing, call).await,
        _ => Err(handler::no_such_route(call)),
    }
}
