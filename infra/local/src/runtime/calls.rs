//! The calls of functions to other services, in order.
//!
//! A test runs a flow once, reads its calls here, and then repeats it once per call, killing the
//! function before and after that call.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde::Serialize;

use crate::runtime::sync::lock;

/// How many calls and runs are kept.
const KEPT_MAX: usize = 100_000;

/// One call of a function to another service.
#[derive(Clone, Debug, Serialize)]
pub struct RecordedCall {
    /// Counts from 1.
    pub n: u64,
    /// RFC 3339, by the cloud's clock.
    pub at: String,
    pub function: String,
    /// The request id of the invocation it was made in, if any.
    pub invocation: Option<String>,
    /// `dynamodb`, `events`, `sqs`, `lambda`, `secretsmanager` or `stripe`.
    pub service: String,
    /// `PutItem`, `PutEvents`, `SendMessage`, `POST /v1/customers`, …
    pub operation: String,
    /// The DynamoDB tables it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// The permissions that the function's role needs, where AWS checks them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Permission>,
    /// The HTTP status of the answer, or the fault that happened instead.
    pub outcome: Option<String>,
}

/// A permission that a role needs for a call. A transaction needs those of its items.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Permission {
    /// `dynamodb:PutItem`, `events:PutEvents`, …
    pub action: String,
    /// The ARN of the table, index, bus or queue.
    pub resource: String,
}

/// One invocation of a function.
#[derive(Clone, Debug, Serialize)]
pub struct RecordedRun {
    /// RFC 3339, by the cloud's clock, when it began.
    pub at: String,
    pub function: String,
    /// The trigger, such as `schedule WorkerHourly`.
    pub trigger: String,
    /// The scheduled time of a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<String>,
    /// `ok`, or the error.
    pub outcome: String,
}

/// A list that forgets its oldest entries.
#[derive(Debug)]
pub(crate) struct Recorded<T> {
    entries: Mutex<(u64, VecDeque<T>)>,
}

impl<T> Default for Recorded<T> {
    fn default() -> Self {
        Self { entries: Mutex::new((0, VecDeque::new())) }
    }
}

impl<T: Clone> Recorded<T> {
    /// Adds an entry that knows its number, from 1.
    pub(crate) fn add(&self, entry: impl FnOnce(u64) -> T) -> u64 {
        let mut entries = lock(&self.entries);
        entries.0 += 1;
        let number = entries.0;
        if entries.1.len() == KEPT_MAX {
            entries.1.pop_front();
        }
        entries.1.push_back(entry(number));
        number
    }

    pub(crate) fn change(&self, number: u64, change: impl FnOnce(&mut T)) {
        let mut entries = lock(&self.entries);
        let from_last = entries.0.saturating_sub(number);
        let place = usize::try_from(from_last)
            .ok()
            .and_then(|from_last| entries.1.len().checked_sub(from_last + 1));
        if let Some(entry) = place.and_then(|place| entries.1.get_mut(place)) {
            change(entry);
        }
    }

    /// How many there have been.
    pub(crate) fn count(&self) -> u64 {
        lock(&self.entries).0
    }

    /// Those after the first `after`, as far as they are kept.
    pub(crate) fn since(&self, after: u64) -> Vec<T> {
        let entries = lock(&self.entries);
        let kept_from = entries.0 - u64::try_from(entries.1.len()).unwrap_or_default();
        let skip = usize::try_from(after.saturating_sub(kept_from)).unwrap_or(usize::MAX);
        entries.1.iter().skip(skip).cloned().collect()
    }
}
