//! Messages between services: an event for a bus, an asynchronous invocation.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::UtcDateTime;

use crate::runtime::clock;
use crate::runtime::names;

/// An event on its way to a bus.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Event {
    pub(crate) bus: String,
    /// As targets see it.
    pub(crate) event: Value,
}

/// An asynchronous invocation: its caller does not wait.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct AsynchronousInvocation {
    pub(super) function: String,
    pub(super) payload: String,
    pub(super) trigger: String,
    /// RFC 3339, of a schedule.
    pub(super) scheduled: Option<String>,
    pub(super) request_id: String,
    /// How often it was tried.
    pub(super) tries: u32,
    /// When it was accepted, RFC 3339.
    pub(super) since: String,
}

impl AsynchronousInvocation {
    pub(crate) fn new(
        function: &str,
        payload: String,
        trigger: &str,
        scheduled: Option<UtcDateTime>,
        since: UtcDateTime,
    ) -> Self {
        Self {
            function: function.to_owned(),
            payload,
            trigger: trigger.to_owned(),
            scheduled: scheduled.map(clock::format),
            request_id: names::new_id(),
            tries: 0,
            since: clock::format(since),
        }
    }
}
