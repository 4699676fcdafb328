//! The two AWS JSON protocols: an operation in `X-Amz-Target`, JSON in and out, errors by `__type`.

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use crate::runtime::http;

/// A refusal in AWS's form.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    kind: String,
    message: String,
    /// SQS clients look here for the name the error had before there was JSON.
    query_error: Option<&'static str>,
}

/// How one service names its errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failures {
    namespace: &'static str,
    throttled: &'static str,
}

impl Failures {
    pub(crate) const EVENTS: Self =
        Self { namespace: "com.amazonaws.eventbridge", throttled: "ThrottlingException" };
    pub(crate) const QUEUES: Self =
        Self { namespace: "com.amazonaws.sqs", throttled: "RequestThrottled" };
    pub(crate) const SECRETS: Self =
        Self { namespace: "com.amazonaws.secretsmanager", throttled: "ThrottlingException" };
    pub(crate) const TABLES: Self = Self {
        namespace: "com.amazonaws.dynamodb.v20120810",
        throttled: "ProvisionedThroughputExceededException",
    };

    pub(crate) fn named(self, kind: &str, message: &str) -> Failure {
        Failure {
            status: StatusCode::BAD_REQUEST,
            kind: format!("{}#{kind}", self.namespace),
            message: message.to_owned(),
            query_error: None,
        }
    }

    pub(crate) fn validation(self, message: &str) -> Failure {
        self.named("ValidationException", message)
    }

    pub(crate) fn throttled(self) -> Failure {
        self.named(self.throttled, "Throttled on demand, by a fault of the local cloud.")
    }

    pub(crate) fn internal(self) -> Failure {
        let failure =
            self.named("InternalServerError", "Failed on demand, by a fault of the local cloud.");
        Failure { status: StatusCode::INTERNAL_SERVER_ERROR, ..failure }
    }

    pub(crate) fn unknown_operation(self, operation: &str) -> Failure {
        self.named(
            "UnknownOperationException",
            &format!("The local cloud does not know the operation {operation}."),
        )
    }
}

impl Failure {
    /// With the name SQS's errors had in the query protocol.
    pub(crate) fn query_error(self, name: &'static str) -> Self {
        Self { query_error: Some(name), ..self }
    }

    /// Type, without its namespace, and message.
    pub(crate) fn parts(&self) -> (&str, &str) {
        (self.kind.rsplit('#').next().unwrap_or_default(), &self.message)
    }

    pub(crate) fn response(&self) -> Response {
        let body = json!({"__type": self.kind, "message": self.message}).to_string();
        let mut response = http::answer(self.status, "application/x-amz-json-1.0", body);
        if let Some(name) = self.query_error {
            response.headers_mut().insert("x-amzn-query-error", HeaderValue::from_static(name));
        }
        response
    }
}

/// The operation a request asks for: `PutItem` of `DynamoDB_20120810.PutItem`.
pub(crate) fn operation(headers: &HeaderMap) -> String {
    let target =
        headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default().to_owned()
}

/// The answer of an operation.
pub(crate) fn response(result: Result<Value, Failure>) -> Response {
    match result {
        Ok(value) => http::answer(StatusCode::OK, "application/x-amz-json-1.0", value.to_string()),
        Err(failure) => failure.response(),
    }
}
