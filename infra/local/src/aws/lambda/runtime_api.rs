//! The Runtime API, version 2018-06-01 (docs.aws.amazon.com/lambda, "Using the Lambda runtime
//! API").

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use time::UtcDateTime;
use tokio::time::Instant;

use crate::aws::lambda::invocation::{Outcome, PAYLOAD_MAX_BYTES, failure};
use crate::aws::lambda::process::{Current, Instance};
use crate::runtime::http;
use crate::runtime::names;
use crate::runtime::sync::lock;

/// Answers a process. `path` begins after the part that names it.
pub(crate) async fn handle(instance: &Arc<Instance>, path: &str, request: Request) -> Response {
    let Some(path) = path.strip_prefix("/2018-06-01/runtime/") else {
        return problem(StatusCode::NOT_FOUND, "InvalidPath", "no such version of the Runtime API");
    };
    let parts: Vec<&str> = path.split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => next(instance).await,
        (&Method::POST, ["invocation", id, "response"]) => respond(instance, id, request).await,
        (&Method::POST, ["invocation", id, "error"]) => {
            let (headers, body) = read(request).await;
            finish(instance, id, Outcome::Failed(error_of(&headers, body)))
        }
        (&Method::POST, ["init", "error"]) => {
            let (headers, body) = read(request).await;
            instance.set_init_error(error_of(&headers, body));
            accepted()
        }
        _ => problem(StatusCode::NOT_FOUND, "InvalidPath", "no such path of the Runtime API"),
    }
}

async fn next(instance: &Instance) -> Response {
    instance.ready.store(true, Ordering::Release);
    let mut mailbox = instance.mailbox.lock().await;
    loop {
        let Some(handed) = mailbox.recv().await else { return http::hang_up() };
        if handed.taken.is_closed() || handed.taken.send(()).is_err() {
            continue;
        }
        let deadline_ms = deadline_ms(handed.handed_at, handed.timeout);
        let headers = [
            ("lambda-runtime-aws-request-id", handed.request_id.clone()),
            ("lambda-runtime-deadline-ms", deadline_ms),
            ("lambda-runtime-invoked-function-arn", names::function_arn(&instance.function)),
            ("lambda-runtime-trace-id", trace_id()),
        ];
        *lock(&instance.current) =
            Some(Current { request_id: handed.request_id, reply: handed.reply });
        let mut response = http::answer(StatusCode::OK, "application/json", handed.payload);
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        return response;
    }
}

/// By the cloud's clock, because functions compute the time of their delivery from it. A process that
/// takes too long is killed in real time.
fn deadline_ms(handed_at: UtcDateTime, timeout: Duration) -> String {
    let milliseconds = handed_at.unix_timestamp_nanos() / 1_000_000;
    (milliseconds + i128::try_from(timeout.as_millis()).unwrap_or(0)).to_string()
}

fn trace_id() -> String {
    let seconds = Instant::now().elapsed().as_secs();
    format!(
        "Root=1-{seconds:08x}-{:024x};Parent={:016x};Sampled=0",
        fastrand::u128(..) >> 32,
        fastrand::u64(..)
    )
}

async fn respond(instance: &Instance, id: &str, request: Request) -> Response {
    match http::read_body(request.into_body(), PAYLOAD_MAX_BYTES).await {
        Some(body) => finish(instance, id, Outcome::Answer(body)),
        None => {
            let message = "Exceeded maximum allowed payload size (6291556 bytes).";
            let outcome = Outcome::Failed(failure("Function.ResponseSizeTooLarge", message));
            drop(finish(instance, id, outcome));
            problem(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
        }
    }
}

fn finish(instance: &Instance, id: &str, outcome: Outcome) -> Response {
    let mut current = lock(&instance.current);
    if current.as_ref().is_none_or(|current| current.request_id != id) {
        return problem(
            StatusCode::BAD_REQUEST,
            "InvalidRequestID",
            "this is not the invocation in progress",
        );
    }
    if let Some(current) = current.take() {
        // Without a receiver, the invocation has timed out.
        let _late = current.reply.send(outcome);
    }
    accepted()
}

async fn read(request: Request) -> (HeaderMap, Value) {
    let (parts, body) = request.into_parts();
    let body = http::read_body(body, PAYLOAD_MAX_BYTES).await.unwrap_or_default();
    (parts.headers, serde_json::from_slice(&body).unwrap_or_default())
}

fn error_of(headers: &HeaderMap, body: Value) -> Value {
    let header =
        headers.get("lambda-runtime-function-error-type").and_then(|kind| kind.to_str().ok());
    let mut error = if body.is_object() { body } else { json!({"errorMessage": body.to_string()}) };
    if error["errorType"].is_null() {
        error["errorType"] = json!(header.unwrap_or("Runtime.Unknown"));
    }
    error
}

fn accepted() -> Response {
    http::json(StatusCode::ACCEPTED, &json!({"status": "OK"}))
}

fn problem(status: StatusCode, kind: &str, message: &str) -> Response {
    http::json(status, &json!({"errorType": kind, "errorMessage": message}))
}
