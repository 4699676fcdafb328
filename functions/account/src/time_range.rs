//! `from` and `to`: a time range that ends at the latest now.

use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::ApiCall;
use tollgate::http::problem::{Problem, ProblemCode};

/// A time range, never empty.
pub(crate) struct TimeRange {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// Whether it ends now.
    pub(crate) open: RangeEnd,
}

/// The end of a time range.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeEnd {
    /// Now. Everything up to this request counts, including its own second.
    Now,
    Earlier,
}

impl TimeRange {
    /// The requested range. `to` defaults to now, and `from` is computed from `to` if it is
    /// missing.
    ///
    /// # Errors
    /// [`ProblemCode::InvalidParameter`] if the range is empty.
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

/// An invalid parameter, and the reason.
pub(crate) fn invalid(name: &str, why: &str) -> Problem {
    Problem::new(ProblemCode::InvalidParameter, format!("{name}: {why}.")).with("parameter", name)
}

/// The range needs more reads than a request may do.
pub(crate) fn too_much() -> Problem {
    Problem::new(
        ProblemCode::TooMuch,
        "This time range contains too much data for one request. Use a shorter range.",
    )
}
