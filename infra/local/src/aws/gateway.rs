//! The HTTP API: routes, authorizer, payload format 2.0, and API Gateway's own answers.
//!
//! Sources: docs.aws.amazon.com/apigateway, "Working with routes for HTTP APIs", "Working with AWS
//! Lambda proxy integrations for HTTP APIs", "Control access to HTTP APIs with JWT authorizers",
//! "Configuring CORS for HTTP APIs".

mod answer;
mod authorizer;
mod cors;
mod payload;
mod route;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::aws::gateway::answer::refusal;
use crate::aws::gateway::authorizer::Caller;
use crate::aws::gateway::route::Matched;
use crate::aws::gateway::throttle::Throttle;
use crate::aws::lambda::Lambda;
use crate::aws::lambda::invocation::{Invocation, Outcome, PAYLOAD_MAX_BYTES};
use crate::aws::tokens::Keys;
use crate::runtime::clock::Clock;
use crate::runtime::http;
use crate::runtime::names;
use crate::template::wiring::HttpApi;

/// The limit of a request (docs.aws.amazon.com/apigateway, "Quotas").
const BODY_MAX_BYTES: usize = 10 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Gateway {
    clock: Arc<Clock>,
    api: Option<HttpApi>,
    keys: Arc<Keys>,
    lambda: Arc<Lambda>,
    throttle: Throttle,
}

impl Gateway {
    pub(crate) fn new(
        clock: Arc<Clock>,
        api: Option<HttpApi>,
        keys: Arc<Keys>,
        lambda: Arc<Lambda>,
    ) -> Self {
        Self { clock, api, keys, lambda, throttle: Throttle::default() }
    }

    /// Answers a request as the API would.
    pub(crate) async fn handle(&self, request: Request) -> Response {
        let request_id = names::new_id();
        let origin = request.headers().get(header::ORIGIN).cloned();
        let Some(api) = &self.api else { return refusal(StatusCode::NOT_FOUND, "Not Found") };
        let mut response = match &api.cors {
            Some(cors) if cors::is_preflight(&request) => cors::preflight(cors, &request),
            Some(_) | None => self.routed(api, request, &request_id).await,
        };
        if let Some(cors) = &api.cors {
            cors::allow(cors, origin.as_ref(), response.headers_mut());
        }
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert("apigw-requestid", id);
        }
        response
    }

    async fn routed(&self, api: &HttpApi, request: Request, request_id: &str) -> Response {
        let Some(matched) =
            route::find(&api.routes, request.method().as_str(), request.uri().path())
        else {
            return refusal(StatusCode::NOT_FOUND, "Not Found");
        };
        let key = matched.route.key();
        let limits = api.route_throttling.get(&key).copied().unwrap_or(api.throttling);
        if !self.throttle.admits(&key, limits) {
            return refusal(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
        }
        let caller = match authorizer::authorize(
            &self.keys,
            self.clock.now(),
            api,
            &matched,
            request.headers(),
        ) {
            Ok(caller) => caller,
            Err(response) => return *response,
        };
        let (parts, body) = request.into_parts();
        let Some(body) = http::read_body(body, BODY_MAX_BYTES).await else {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        };
        self.integrate(&matched, caller.as_ref(), &parts, &body, request_id).await
    }

    async fn integrate(
        &self,
        matched: &Matched<'_>,
        caller: Option<&Caller>,
        parts: &Parts,
        body: &Bytes,
        request_id: &str,
    ) -> Response {
        let payload =
            payload::build(self.clock.now(), matched, caller, parts, body, request_id).to_string();
        if payload.len() > PAYLOAD_MAX_BYTES {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        }
        let trigger = format!("http {} {}", parts.method, parts.uri.path());
        let invocation = Invocation::new(payload, &trigger).or_throttle();
        let invoked = self.lambda.invoke(&matched.route.function, invocation);
        match tokio::time::timeout(Duration::from_millis(matched.route.timeout_ms), invoked).await {
            Ok(Outcome::Answer(body)) => answer::of(&body).unwrap_or_else(|| {
                refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }),
            Ok(Outcome::Failed(_)) => {
                refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
            Ok(Outcome::Throttled) | Err(_) => {
                refusal(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            }
        }
    }
}
