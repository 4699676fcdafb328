//! The HTTP API: routes, authorizer, payload format 2.0, and API Gateway's own answers.
//!
//! Sources: docs.aws.amazon.com/apigateway, "Working with routes for HTTP APIs", "Working with AWS
//! Lambda proxy integrations for HTTP APIs", "Control access to HTTP APIs with JWT authorizers",
//! "Configuring CORS for HTTP APIs".

mod answer;
mod cors;
mod payload;
mod route;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use crate::aws::lambda::{self, Invocation, Outcome, PAYLOAD_MAX_BYTES};
use crate::aws::tokens::{self, Rejection};
use crate::control::world::World;
use crate::runtime::http;
use crate::runtime::names;
use crate::template::wiring::{HttpApi, RouteAuthorizer};

use route::Matched;
use throttle::Throttle;

/// What a request may carry (docs.aws.amazon.com/apigateway, "Quotas").
const BODY_MAX_BYTES: usize = 10 * 1024 * 1024;

/// What the API keeps between two requests.
#[derive(Debug, Default)]
pub(crate) struct Gateway {
    throttle: Throttle,
}

/// Who called, if the route asks.
#[derive(Clone, Debug)]
struct Caller {
    claims: Value,
    scopes: Value,
}

/// Answers a request as the API would.
pub(crate) async fn handle(world: &Arc<World>, request: Request) -> Response {
    let request_id = names::new_id();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let Some(api) = &world.wiring.api else { return refusal(StatusCode::NOT_FOUND, "Not Found") };
    let mut response = match &api.cors {
        Some(cors) if cors::is_preflight(&request) => cors::preflight(cors, &request),
        Some(_) | None => routed(world, api, request, &request_id).await,
    };
    if let Some(cors) = &api.cors {
        cors::allow(cors, origin.as_ref(), response.headers_mut());
    }
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("apigw-requestid", id);
    }
    response
}

async fn routed(world: &Arc<World>, api: &HttpApi, request: Request, request_id: &str) -> Response {
    let Some(matched) = route::find(&api.routes, request.method().as_str(), request.uri().path())
    else {
        return refusal(StatusCode::NOT_FOUND, "Not Found");
    };
    let key = matched.route.key();
    let limits = api.route_throttling.get(&key).copied().unwrap_or(api.throttling);
    if !world.gateway.throttle.admits(&key, limits) {
        return refusal(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
    }
    let caller = match authorize(world, api, &matched, request.headers()) {
        Ok(caller) => caller,
        Err(response) => return *response,
    };
    let (parts, body) = request.into_parts();
    let Some(body) = http::read_body(body, BODY_MAX_BYTES).await else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    integrate(world, &matched, caller.as_ref(), &parts, &body, request_id).await
}

/// Invokes the function.
async fn integrate(
    world: &Arc<World>,
    matched: &Matched<'_>,
    caller: Option<&Caller>,
    parts: &Parts,
    body: &Bytes,
    request_id: &str,
) -> Response {
    let payload = payload::build(world, matched, caller, parts, body, request_id).to_string();
    if payload.len() > PAYLOAD_MAX_BYTES {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    }
    let trigger = format!("http {} {}", parts.method, parts.uri.path());
    let invocation = Invocation::new(payload, &trigger).or_throttle();
    let invoked = lambda::invoke(world, &matched.route.function, invocation);
    match tokio::time::timeout(Duration::from_millis(matched.route.timeout_ms), invoked).await {
        Ok(Outcome::Answer(body)) => answer::of(&body)
            .unwrap_or_else(|| refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")),
        Ok(Outcome::Failed(_)) => {
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
        Ok(Outcome::Throttled) | Err(_) => {
            refusal(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
        }
    }
}

/// Who called; None on a route that asks nobody.
fn authorize(
    world: &World,
    api: &HttpApi,
    matched: &Matched<'_>,
    headers: &HeaderMap,
) -> Result<Option<Caller>, Box<Response>> {
    let RouteAuthorizer::Jwt { name, scopes } = &matched.route.authorizer else { return Ok(None) };
    let Some(authorizer) = api.authorizers.get(name) else {
        return Err(Box::new(refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")));
    };
    let unauthorized = |rejection: Rejection| {
        let detail = if rejection == Rejection::Missing {
            "Bearer".to_owned()
        } else {
            format!(
                "Bearer scope=\"{}\" error=\"invalid_token\" error_description=\"{rejection}\"",
                scopes.join(" ")
            )
        };
        Box::new(with_challenge(refusal(StatusCode::UNAUTHORIZED, "Unauthorized"), &detail))
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.ok_or_else(|| unauthorized(Rejection::Missing))?;
    // The word `Bearer` may be left out.
    let token = match given.split_once(' ') {
        Some((kind, token)) if kind.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => return Err(unauthorized(Rejection::NotAToken)),
        None => given,
    };
    let claims = world.keys.check(authorizer, world.clock.now(), token).map_err(unauthorized)?;
    let own = tokens::scopes(&claims);
    if !scopes.is_empty() && !scopes.iter().any(|scope| own.contains(scope)) {
        let detail = format!(
            "Bearer scope=\"{}\" error=\"insufficient_scope\" error_description=\"insufficient scope\"",
            scopes.join(" ")
        );
        return Err(Box::new(with_challenge(refusal(StatusCode::FORBIDDEN, "Forbidden"), &detail)));
    }
    let scopes = if scopes.is_empty() { Value::Null } else { json!(own) };
    Ok(Some(Caller { claims, scopes }))
}

fn with_challenge(mut response: Response, challenge: &str) -> Response {
    if let Ok(challenge) = HeaderValue::from_str(challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// API Gateway's own answers.
fn refusal(status: StatusCode, message: &str) -> Response {
    http::json(status, &json!({"message": message}))
}

/// Whether a request comes with a method that carries nothing.
fn has_no_body(method: &Method, body: &Bytes) -> bool {
    body.is_empty() || method == Method::HEAD
}
