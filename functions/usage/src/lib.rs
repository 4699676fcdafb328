//! Metered usage: what the platform reports of it.

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
        _ => Err(handler::no_such_route(call)),
    }
}
