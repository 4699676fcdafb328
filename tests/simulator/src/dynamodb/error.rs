//! Errors as DynamoDB's JSON protocol has them.

use std::fmt;

use serde_json::{Value, json};

use super::value::{StoredAttributes, item_json};

/// The exceptions that [`MemoryDynamoDb`](super::MemoryDynamoDb) answers with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DynamoErrorKind {
    ConditionalCheckFailed,
    IdempotentParameterMismatch,
    ResourceNotFound,
    Serialization,
    TransactionCanceled,
    TransactionConflict,
    TransactionInProgress,
    Validation,
}

impl DynamoErrorKind {
    /// The name that stands in `__type` after the namespace.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConditionalCheckFailed => "ConditionalCheckFailedException",
            Self::IdempotentParameterMismatch => "IdempotentParameterMismatchException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::Serialization => "SerializationException",
            Self::TransactionCanceled => "TransactionCanceledException",
            Self::TransactionConflict => "TransactionConflictException",
            Self::TransactionInProgress => "TransactionInProgressException",
            Self::Validation => "ValidationException",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::Serialization => "com.amazon.coral.service",
            Self::Validation => "com.amazon.coral.validate",
            Self::ConditionalCheckFailed
            | Self::IdempotentParameterMismatch
            | Self::ResourceNotFound
            | Self::TransactionCanceled
            | Self::TransactionConflict
            | Self::TransactionInProgress => "com.amazonaws.dynamodb.v20120810",
        }
    }
}

/// A refused call. Nothing was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DynamoError {
    pub kind: DynamoErrorKind,
    pub message: String,
    /// The item that a failed condition met, if the call asked for it.
    pub item: Option<Value>,
    /// One for each action of a canceled transaction.
    pub cancellation_reasons: Vec<Value>,
}

impl DynamoError {
    pub(super) fn new(kind: DynamoErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), item: None, cancellation_reasons: Vec::new() }
    }

    /// The HTTP status. DynamoDB's own exceptions are all the caller's fault.
    #[must_use]
    pub fn status(&self) -> u16 {
        400
    }

    #[must_use]
    pub fn body(&self) -> Value {
        let kind = format!("{}#{}", self.kind.namespace(), self.kind.name());
        // The one exception that DynamoDB capitalises the member of.
        let message =
            if self.kind == DynamoErrorKind::TransactionCanceled { "Message" } else { "message" };
        let mut body = json!({"__type": kind, message: self.message});
        if let Some(item) = &self.item {
            body["Item"] = item.clone();
        }
        if !self.cancellation_reasons.is_empty() {
            body["CancellationReasons"] = json!(self.cancellation_reasons);
        }
        body
    }
}

impl fmt::Display for DynamoError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind.name(), self.message)
    }
}

impl std::error::Error for DynamoError {}

/// Why one action of a call cannot be done.
#[derive(Debug)]
pub(super) enum ActionFailure {
    /// With the item that was met, if it is to be returned.
    Condition(Option<StoredAttributes>),
    Conflict,
    Invalid(String),
}

impl ActionFailure {
    /// The error of a call with this action alone.
    pub(super) fn into_error(self) -> DynamoError {
        match self {
            Self::Condition(item) => DynamoError {
                item: item.as_ref().map(item_json),
                ..DynamoError::new(
                    DynamoErrorKind::ConditionalCheckFailed,
                    "The conditional request failed",
                )
            },
            Self::Conflict => DynamoError::new(
                DynamoErrorKind::TransactionConflict,
                "Transaction is ongoing for the item",
            ),
            Self::Invalid(message) => invalid(message),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Condition(_) => "ConditionalCheckFailed",
            Self::Conflict => "TransactionConflict",
            Self::Invalid(_) => "ValidationError",
        }
    }
}

/// The error of a transaction of which at least one action failed.
pub(super) fn canceled(outcomes: Vec<Option<ActionFailure>>) -> DynamoError {
    let code =
        |outcome: &Option<ActionFailure>| outcome.as_ref().map_or("None", ActionFailure::code);
    let codes: Vec<&str> = outcomes.iter().map(code).collect();
    let message = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    );
    let reason = |outcome: Option<ActionFailure>| {
        let Some(failure) = outcome else { return json!({"Code": "None"}) };
        let code = failure.code();
        let error = failure.into_error();
        let mut reason = json!({"Code": code, "Message": error.message});
        if let Some(item) = error.item {
            reason["Item"] = item;
        }
        reason
    };
    DynamoError {
        cancellation_reasons: outcomes.into_iter().map(reason).collect(),
        ..DynamoError::new(DynamoErrorKind::TransactionCanceled, message)
    }
}

pub(super) fn invalid(message: impl Into<String>) -> DynamoError {
    DynamoError::new(DynamoErrorKind::Validation, message)
}

/// A parameter or part of an expression that DynamoDB knows and this imitation does not. The
/// product must not silently get less than it asked for.
pub(super) fn not_imitated(what: impl fmt::Display) -> DynamoError {
    invalid(format!("not imitated: {what}"))
}

pub(super) fn malformed(message: impl Into<String>) -> DynamoError {
    DynamoError::new(DynamoErrorKind::Serialization, message)
}
