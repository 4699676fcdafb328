//! When a trigger was delivered, to refuse one that is dated ahead of it.
//!
//! Accounts are settled up to a trigger's time. A time in the future would bill hours that nobody
//! has used, and rows are never taken back.

use std::time::Duration;

use crate::domain::timestamp::Timestamp;

/// How far a trigger's time may be ahead of its delivery, in seconds. Clocks differ by much less.
pub const AHEAD_SECONDS_MAX: i64 = 300;

/// The time at which a trigger was delivered (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryTime(Timestamp);

/// A trigger's time is ahead of its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the trigger is dated {time}, but was delivered at {delivered_at}")]
pub struct TriggerAheadError {
    pub time: Timestamp,
    pub delivered_at: Timestamp,
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

    /// Checks a trigger's time. A refusal is an alarm.
    ///
    /// # Errors
    /// [`TriggerAheadError`] if it is more than five minutes ahead of the delivery.
    pub fn check(self, time: Timestamp) -> Result<(), TriggerAheadError> {
        let DeliveryTime(delivered_at) = self;
        if time - delivered_at <= AHEAD_SECONDS_MAX {
            return Ok(());
        }
        tracing::error!(alarm = "trigger_ahead", %time, %delivered_at, "a trigger is dated ahead");
        Err(TriggerAheadError { time, delivered_at })
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
        assert_eq!(delivery.check(at("2026-11-22T11:05:00Z")), Ok(()));
        assert!(delivery.check(at("2026-11-22T11:05:01Z")).is_err());
        assert_eq!(delivery.check(at("2020-01-01T00:00:00Z")), Ok(()), "late is fine");
    }
}
