//! `from` and `to`: a stretch of time that ends now at the latest.

use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::ApiCall;
use tollgate::http::problem::{Problem, ProblemCode};

/// A stretch of time, never empty.
pub(crate) struct TimeRange {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// Whether it ends now.
    pub(crate) open: RangeEnd,
}

/// Where a stretch of time ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeEnd {
    /// Now: everything up to this request belongs to it, its own second too.
    Now,
    Earlier,
}

impl TimeRange {
    /// The one that is asked for; `to` is now unless it is given, `from` then follows from it.
    ///
    /// # Errors
    /// [`ProblemCode::InvalidParameter`] if it is empty.
    pub(crate) fn of(
        call: &ApiCall,
        from: impl FnOnce(Timestamp) -> Timestamp,
    ) -> Result<TimeRange, Problem> {
        let (open, to) = match call.query::<Timestamp>("to")?.filter(|to| *to < call.now) {
            Some(to) => (RangeEnd::Earlier, to),
            None => (RangeEnd::Now, call.now),
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
    Problem::new(ProblemCode::InvalidParameter, format!("{name}: {why}.")).with("parameter", name)
}

/// More than one request may read.
pub(crate) fn too_much() -> Problem {
    Problem::new(
        ProblemCode::TooMuch,
        "This time range contains too much data for one request. Use a shorter range.",
    )
}
