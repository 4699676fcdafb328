//! Waiting before the next attempt.

use std::time::Duration;

use tokio::time::Instant;

/// A bounded number of attempts, with a growing pause between them. The pause is drawn evenly from
/// zero to its bound ("full jitter"): writers that met once should not meet again
/// (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
#[derive(Debug)]
pub(super) struct Backoff {
    attempts: u32,
    attempts_max: u32,
    unit: Unit,
    pause_max: Duration,
    /// When the current attempt began. Not business time: it only measures how long an attempt
    /// takes.
    begun: Instant,
    first_begun: Instant,
    /// No attempt begins later than this after the first.
    lasts_max: Duration,
}

/// What a pause is counted in.
#[derive(Clone, Copy, Debug)]
enum Unit {
    Fixed(Duration),
    /// The time the last attempt took.
    Attempt,
}

impl Backoff {
    /// For a write that failed for outside reasons: about three seconds at most, in a request that
    /// has ten or more.
    pub(super) fn for_faults() -> Backoff {
        let backoff =
            Backoff::new(8, Unit::Fixed(Duration::from_millis(25)), Duration::from_secs(1));
        // The SDK gives up on a call that is not answered after ten seconds. Another such call would
        // hold its function for too long.
        Backoff { lasts_max: Duration::from_secs(8), ..backoff }
    }

    /// For a row that another writer was faster with. Of the writers that decide at the same time
    /// one wins, so all that helps is that few do: their pauses must grow to as many times the
    /// duration of an attempt as there are writers. Counted in attempts, that holds whether one
    /// takes 20 ms, as it should, or ten times that under load. 64 writers are thinned out to one
    /// at a time after six losses; thirty more give each many chances.
    pub(super) fn for_losses() -> Backoff {
        Backoff::new(40, Unit::Attempt, Duration::from_secs(3))
    }

    /// For a list that does not agree with its state: a transaction becomes visible within
    /// milliseconds.
    pub(super) fn for_reads() -> Backoff {
        Backoff::new(10, Unit::Fixed(Duration::from_millis(4)), Duration::from_millis(250))
    }

    fn new(attempts_max: u32, unit: Unit, pause_max: Duration) -> Backoff {
        let (begun, lasts_max) = (Instant::now(), Duration::MAX);
        let first_begun = begun;
        Backoff { attempts: 1, attempts_max, unit, pause_max, begun, first_begun, lasts_max }
    }

    /// How many attempts there were.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Waits until the next attempt; [`AttemptsExhausted`] if there have been enough.
    pub(super) async fn pause(&mut self) -> Result<(), AttemptsExhausted> {
        if self.attempts >= self.attempts_max || self.first_begun.elapsed() > self.lasts_max {
            return Err(AttemptsExhausted);
        }
        let unit = match self.unit {
            Unit::Fixed(unit) => unit,
            Unit::Attempt => self.begun.elapsed(),
        };
        let bound = unit.saturating_mul(1 << (self.attempts - 1).min(7)).min(self.pause_max);
        let bound_us = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        tokio::time::sleep(Duration::from_micros(fastrand::u64(0..=bound_us))).await;
        self.attempts += 1;
        self.begun = Instant::now();
        Ok(())
    }
}

/// There have been enough attempts.
#[derive(Debug)]
pub(super) struct AttemptsExhausted;
