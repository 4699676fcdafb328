//! Projects and what runs in them: create, start, stop, delete and restore, alone and together;
//! for the platform what should run; what a project cost, and what it may cost.
//!
//! Each write route is translate → command → row → translate. An answer is made from the row that
//! records the request, so a request that is repeated with its `Idempotency-Key` gets the same
//! answer.

mod billing;
mod budgets;
mod ids;
mod lifecycle;
mod paging;
mod platform;
mod prices;
mod projects;
mod shown;
mod together;

use lambda_http::{Body, Request, Response};
use tollgate::domain::resources::ReturningResources;
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
        "POST /v1/projects" => projects::create(billing, call).await,
        "GET /v1/projects" => projects::list(billing, call).await,
        "GET /v1/projects/{project}" => projects::get(billing, call).await,
        "GET /v1/projects/{project}/billing" => billing::get(billing, call).await,
        "PUT /v1/projects/{project}/budget" => budgets::put(billing, call).await,
        "DELETE /v1/projects/{project}/budget" => budgets::delete(billing, call).await,
        "GET /v1/budgets" => budgets::list(billing, call).await,
        "POST /v1/projects/{project}/resources" => lifecycle::create(billing, call).await,
        "GET /v1/projects/{project}/resources" => lifecycle::list(billing, call).await,
        "GET /v1/projects/{project}/resources/{id}" => lifecycle::get(billing, call).await,
        "POST /v1/projects/{project}/resources/{id}/start" => lifecycle::start(billing, call).await,
        "POST /v1/projects/{project}/resources/{id}/stop" => lifecycle::stop(billing, call).await,
        "POST /v1/projects/{project}/resources/{id}/restore" => {
            lifecycle::restore(billing, call).await
        }
        "DELETE /v1/projects/{project}/resources/{id}" => lifecycle::delete(billing, call).await,
        "GET /v1/account/returning" => together::get(billing, call).await,
        "POST /v1/account/start" => {
            together::start(billing, call, ReturningResources::StoppedBySuspension).await
        }
        "POST /v1/account/restore" => {
            together::start(billing, call, ReturningResources::DeletedWithAccount).await
        }
        "POST /v1/account/stop" => together::stop(billing, call).await,
        "GET /v1/prices" => prices::list(billing, call).await,
        "GET /v1/platform/resources" => platform::what_should_run(billing, call).await,
        _ => Err(handler::no_such_route(call)),
    }
}
