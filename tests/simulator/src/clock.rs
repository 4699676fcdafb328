//! The virtual clock: Tokio's paused time. It moves to the next timer as soon as nothing can run, so
//! a run never waits.

use std::time::Duration;

use time::UtcDateTime;
use tokio::time::Instant;

/// The clock of a run. It is used inside a runtime whose time is paused.
#[derive(Clone, Copy, Debug)]
pub struct VirtualClock {
    began: Instant,
    start: UtcDateTime,
}

impl VirtualClock {
    /// A clock that shows `start` now.
    #[must_use]
    pub fn starting_at(start: UtcDateTime) -> Self {
        Self { began: Instant::now(), start }
    }

    #[must_use]
    pub fn now(&self) -> UtcDateTime {
        self.start + self.began.elapsed()
    }

    /// Unix seconds.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.now().unix_timestamp()
    }

    pub async fn sleep_until(&self, when: UtcDateTime) {
        let ahead = Duration::try_from(when - self.now()).unwrap_or_default();
        tokio::time::sleep(ahead).await;
    }

    /// RFC 3339 in whole seconds.
    #[must_use]
    pub fn text(&self) -> String {
        text_of(self.now())
    }
}

/// RFC 3339 in whole seconds.
#[must_use]
pub fn text_of(when: UtcDateTime) -> String {
    let (date, (hour, minute, second)) = (when.date(), when.time().as_hms());
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}
