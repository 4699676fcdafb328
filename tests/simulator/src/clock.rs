//! The virtual clock: Tokio's paused time. It moves to the next timer as soon as nothing can run, so
//! a run never waits. And the clocks of services, which show it with small errors.

use std::collections::BTreeMap;
use std::time::Duration;

use time::UtcDateTime;
use tokio::time::Instant;

use crate::chance::Chance;

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

/// Whose clock a time is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClockOwner {
    /// API Gateway, which stamps requests.
    Gateway,
    Scheduler,
    /// `EventBridge`, which stamps events.
    Bus,
    /// The machines that run the functions.
    Machine,
    Stripe,
}

impl ClockOwner {
    const ALL: [Self; 5] = [Self::Gateway, Self::Scheduler, Self::Bus, Self::Machine, Self::Stripe];
}

/// The clocks of the services, which are apart by some seconds in some runs.
#[derive(Clone, Debug)]
pub struct ServiceClocks {
    clock: VirtualClock,
    /// How many seconds each is ahead.
    ahead: BTreeMap<ClockOwner, i64>,
}

impl ServiceClocks {
    /// Clocks whose errors are drawn. In half of the runs there are none.
    #[must_use]
    pub fn drawn(clock: VirtualClock, chance: &Chance) -> Self {
        let most = *chance.pick(&[0, 0, 3, 20]);
        let error = |_| {
            let drawn = i64::try_from(chance.number(..=2 * most)).unwrap_or_default();
            drawn - i64::try_from(most).unwrap_or_default()
        };
        let ahead = ClockOwner::ALL.into_iter().map(|owner| (owner, error(owner))).collect();
        Self { clock, ahead }
    }

    /// How many seconds this clock is ahead.
    #[must_use]
    pub fn ahead(&self, owner: ClockOwner) -> i64 {
        self.ahead.get(&owner).copied().unwrap_or_default()
    }

    /// Unix seconds.
    #[must_use]
    pub fn seconds_at(&self, owner: ClockOwner) -> i64 {
        self.clock.seconds() + self.ahead(owner)
    }

    /// RFC 3339 in whole seconds.
    ///
    /// # Panics
    /// After the year 9999.
    #[must_use]
    pub fn text_at(&self, owner: ClockOwner) -> String {
        let when = UtcDateTime::from_unix_timestamp(self.seconds_at(owner));
        text_of(when.expect("a time before the year 10000"))
    }
}

/// RFC 3339 in whole seconds.
#[must_use]
pub fn text_of(when: UtcDateTime) -> String {
    let (date, (hour, minute, second)) = (when.date(), when.time().as_hms());
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}
