//! When a trigger was delivered, to refuse one that is dated ahead of it.
//!
//! Accounts are settled up to a trigger's time. A time in the future would bill hours that nobody
//! has used, and rows are never taken back.

use std::time::Duration;

use crate::domain::timestamp::{Timestamp, TimestampError};

/// How far a trigger's time may be ahead of its delivery, in seconds. Clocks differ by much less.
pub const AHEAD_SECONDS_MAX: i64 = 300;

/// The time at which a trigger was delivered (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryTime(Timestamp);

/// Why nothing is settled up to a trigger's time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TriggerTimeError {
    /// It is no time. This is a wiring error.
    #[error("the trigger cannot be read: time {text:?}: {why}")]
    Unreadable { text: String, why: TimestampError },
    /// It is ahead of the delivery.
    #[error("the trigger is dated {time}, but was delivered at {delivered_at}")]
    Ahead { time: Timestamp, delivered_at: Timestamp },
}

impl DeliveryTime {
    #[must_use]
    pub fn at(delivered_at: Timestamp) -> DeliveryTime {
        DeliveryTime(delivered_at)
    }

    /// From the invocation's deadline in milliseconds since 1970, which Lambda sets to the delivery
    /// plus the function's timeout (docs.aws.amazon.com/lambda, "Runtime API").
    #[must_use]
    pub fn before_deadline(deadline_ms: u64, timeout: Duration) -> DeliveryTime {
        let deadline = i64::try_from(deadline_ms / 1_000).unwrap_or(i64::MAX);
        let timeout = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        let delivered_at = Timestamp::from_seconds(deadline.saturating_sub(timeout));
        DeliveryTime(delivered_at.unwrap_or_default())
    }

    /// The trigger's time, from its text (RFC 3339, UTC). A time ahead of the delivery is an alarm.
    ///
    /// # Errors
    /// [`TriggerTimeError`] if it is no time, or more than five minutes ahead of the delivery.
    pub fn time_of(self, text: &str) -> Result<Timestamp, TriggerTimeError> {
        let DeliveryTime(delivered_at) = self;
        let unreadable = |why| TriggerTimeError::Unreadable { text: text.to_owned(), why };
        let time: Timestamp = text.parse().map_err(unreadable)?;
        if time - delivered_at <= AHEAD_SECONDS_MAX {
            return Ok(time);
        }
        tracing::error!(alarm = "trigger_ahead", %time, %delivered_at, "a trigger is dated ahead");
        Err(TriggerTimeError::Ahead { time, delivered_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_the_deadline_less_the_timeout() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let deadline = at("2026-11-22T11:02:00Z").seconds();
        let deadline_ms = u64::try_from(deadline).unwrap() * 1_000 + 999;
        let delivery = DeliveryTime::before_deadline(deadline_ms, Duration::from_secs(120));
        assert_eq!(delivery, DeliveryTime::at(at("2026-11-22T11:00:00Z")));
        for text in ["2026-11-22T11:05:00Z", "2020-01-01T00:00:00Z"] {
            assert_eq!(delivery.time_of(text), Ok(at(text)), "late is fine");
        }
        let (ahead, delivered_at) = (at("2026-11-22T11:05:01Z"), at("2026-11-22T11:00:00Z"));
        let refused = Err(TriggerTimeError::Ahead { time: ahead, delivered_at });
        assert_eq!(delivery.time_of("2026-11-22T11:05:01Z"), refused);
        let unreadable = delivery.time_of("now");
        assert!(matches!(unreadable, Err(TriggerTimeError::Unreadable { .. })), "{unreadable:?}");
    }
}
