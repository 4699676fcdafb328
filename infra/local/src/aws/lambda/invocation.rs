//! An invocation and its outcome.

use axum::body::Bytes;
use serde_json::{Value, json};
use time::UtcDateTime;

use crate::runtime::names;

/// The limit of a synchronous invocation's request and response (docs.aws.amazon.com/lambda,
/// "Lambda quotas").
pub(crate) const PAYLOAD_MAX_BYTES: usize = 6 * 1024 * 1024;

/// The outcome of an invocation.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The function's answer.
    Answer(Bytes),
    /// The function failed: `errorType`, `errorMessage`.
    Failed(Value),
    /// It was not invoked: too many invocations at once.
    Throttled,
}

/// The reaction when a function is at its limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AtLimit {
    /// The invocation is throttled, if the limit is the function's own.
    Throttle,
    /// The invocation waits.
    Wait,
}

/// The purpose of an invocation.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    pub(crate) request_id: String,
    pub(crate) payload: Bytes,
    pub(crate) trigger: String,
    pub(crate) scheduled: Option<UtcDateTime>,
    pub(crate) at_limit: AtLimit,
}

impl Outcome {
    pub(super) fn summary(&self) -> String {
        match self {
            Self::Answer(_) => "ok".to_owned(),
            Self::Throttled => "throttled".to_owned(),
            Self::Failed(error) => format!(
                "{}: {}",
                error["errorType"].as_str().unwrap_or("error"),
                error["errorMessage"].as_str().unwrap_or_default()
            ),
        }
    }
}

impl Invocation {
    /// An invocation that waits while the function is at its limit.
    pub(crate) fn new(payload: impl Into<Bytes>, trigger: &str) -> Self {
        Self {
            request_id: names::new_id(),
            payload: payload.into(),
            trigger: trigger.to_owned(),
            scheduled: None,
            at_limit: AtLimit::Wait,
        }
    }

    pub(crate) fn or_throttle(self) -> Self {
        Self { at_limit: AtLimit::Throttle, ..self }
    }
}

/// `{"batchItemFailures": [{"itemIdentifier": "…"}]}`: the identifiers. An empty answer, or one
/// without the list, is a full success; None is a report that AWS would take for a full failure.
pub(crate) fn failures(answer: &[u8]) -> Option<Vec<String>> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let items = match &answer["batchItemFailures"] {
        Value::Null => return Some(Vec::new()),
        Value::Array(items) => items,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => return None,
    };
    let identifier = |item: &Value| {
        item["itemIdentifier"].as_str().filter(|id| !id.is_empty()).map(str::to_owned)
    };
    items.iter().map(identifier).collect()
}

pub(super) fn failure(kind: &str, message: &str) -> Value {
    json!({"errorType": kind, "errorMessage": message})
}
