//! What goes wrong outside the domain.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::domain::refusal::Refusal;
use crate::domain::row::RowError;
use crate::domain::row_format::RowFormat;

/// A fault of the infrastructure, or of what it holds. Nobody's request is to blame for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named by the message")]
pub enum StoreError {
    /// DynamoDB throttles, and went on doing so.
    #[error("{call} is throttled")]
    Throttled { call: &'static str },
    /// No answer, or one that says nothing (HTTP 5xx). A write may have been applied.
    #[error("{call} got no response: {why}")]
    Unavailable { call: &'static str, why: String },
    /// Other writers were faster, or in the way, every time.
    #[error("lost to concurrent writers {attempts} times")]
    Contended { attempts: u32 },
    /// List and state tell of different resources, and went on doing so: each was read several
    /// times.
    #[error("the list of resources does not agree with the account's last row")]
    ListDisagrees,
    /// The price list lacks what runs. Prices are never removed, so a list that was cached may be
    /// too old.
    #[error("running resources cannot be priced: {0}")]
    Unpriced(Refusal),
    /// The account was written by a newer release: nothing may be appended by this one.
    #[error("row {seq} has format {found}, which this release cannot read")]
    NewerFormat { seq: u64, found: RowFormat },
    /// A row is not what it should be.
    #[error(transparent)]
    Broken(RowError),
    /// An item is not what it should be.
    #[error("{key}: {why}")]
    Malformed { key: String, why: String },
    /// DynamoDB does not accept the call: a mistake in the program or its permissions.
    #[error("{call} was rejected: {why}")]
    Rejected { call: &'static str, why: String },
    /// A defect of ours, met by this account. The others go on.
    #[error("the account cannot be processed: {why}")]
    Panicked { why: String },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody doing anything.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        match self {
            StoreError::Throttled { .. }
            | StoreError::Unavailable { .. }
            | StoreError::Contended { .. }
            | StoreError::ListDisagrees
            | StoreError::Unpriced(_) => true,
            StoreError::NewerFormat { .. }
            | StoreError::Broken(_)
            | StoreError::Malformed { .. }
            | StoreError::Rejected { .. }
            | StoreError::Panicked { .. } => false,
        }
    }

    /// Sorts what the SDK says. A failed condition and a canceled transaction must have been
    /// looked at before.
    pub(super) fn of<E>(call: &'static str, error: &SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let why = reason(error);
        match error {
            SdkError::ConstructionFailure(_) => StoreError::Rejected { call, why },
            SdkError::ServiceError(answer) if answer.raw().status().is_server_error() => {
                StoreError::Unavailable { call, why }
            }
            SdkError::ServiceError(answer) => match answer.err().code().unwrap_or_default() {
                "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "LimitExceededException" => StoreError::Throttled { call },
                "TransactionConflictException"
                | "TransactionInProgressException"
                | "ReplicatedWriteConflictException" => StoreError::Contended { attempts: 1 },
                _ => StoreError::Rejected { call, why },
            },
            // The enum may grow, and what is unknown may have been applied.
            SdkError::TimeoutError(_)
            | SdkError::DispatchFailure(_)
            | SdkError::ResponseError(_)
            | _ => StoreError::Unavailable { call, why },
        }
    }
}

/// The error and what caused it, in words. (The SDK's own way to say it shows the whole answer.)
fn reason<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if let SdkError::ServiceError(answer) = error {
        let (code, message) = (answer.err().code(), answer.err().message());
        return format!("{}: {}", code.unwrap_or("no code"), message.unwrap_or("no message"));
    }
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

impl From<RowError> for StoreError {
    fn from(fault: RowError) -> StoreError {
        match fault {
            RowError::NewerFormat { seq, found, .. } => StoreError::NewerFormat { seq, found },
            RowError::Unreadable { .. }
            | RowError::Missing { .. }
            | RowError::Hash { .. }
            | RowError::Attribute { .. }
            | RowError::Time { .. }
            | RowError::State { .. }
            | RowError::Lines { .. } => StoreError::Broken(fault),
        }
    }
}

/// Why a command came to nothing: it was refused, or something failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The account's state, or the command itself, does not allow it. Nothing was written for it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The infrastructure failed. The same request may be sent again; with a key it cannot count
    /// twice.
    #[error(transparent)]
    Fault(#[from] StoreError),
}
