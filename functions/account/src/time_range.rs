//! `from` and `to`: a stretch of time that ends now at the latest.

use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::Call;
use tollgate::http::problem::{Code, Problem};

/// A stretch of time, never empty.
pub(crate) struct TimeRange {
    /// Its first second.
    pub(crate) from: Timestamp,
    /// Its end.
    pub(crate) to: Timestamp,
    /// Whether it ends now.
    pub(crate) open: End,
}

/// Where a stretch of time ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Now: everything up to this request belongs to it, its own second too.
    Now,
    /// Before.
    Earlier,
}

impl TimeRange {
    /// The one that is asked for; `to` is now unless it is given, `from` then follows from it.
    ///
    /// # Errors
    /// [`Code::InvalidParameter`] if it is empty.
    pub(crate) fn of(
        call: &Call,
        from: impl FnOnce(Timestamp) -> Timestamp,
    ) -> Result<TimeRange, Problem> {
        let (open, to) = match call.query::<Timestamp>("to")?.filter(|to| *to < call.now) {
            Some(to) => (End::Earlier, to),
            None => (End::Now, call.now),
        };
        let from = call.query::<Timestamp>("from")?.unwrap_or_else(|| from(to));
        if from >= to {
            return Err(invalid("from", "must be before to, and in the past"));
        }
        Ok(TimeRange { from, to, open })
    }
}

/// A parameter that cannot be used, and why.
pub(crate) fn invalid(name: &str, why: &str) -> Problem {
    Problem::new(Code::InvalidParameter, format!("{name}: {why}.")).with("parameter", name)
}

/// More than one request may read.
pub(crate) fn too_much() -> Problem {
    Problem::new(
        Code::TooMuch,
        "This time range contains too much data for one request. Use a shorter range.",
    )
}
