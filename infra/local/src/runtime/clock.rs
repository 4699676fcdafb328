//! The one clock of the local cloud.
//!
//! All times in the local cloud come from it: requests, events, schedules, tokens, queues. It runs
//! in real time from where it was last set, or stands still ([`Pace`]), and can only be moved
//! forward. It is saved between runs and **stands still while the cloud is stopped**, so nothing
//! falls due in a stopped cloud.
//!
//! After a crash it continues a few seconds later than any time it has shown.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use crate::runtime::sync::lock;

/// How the clock moves by itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pace {
    /// In real time: a developer sees minutes pass.
    #[default]
    Running,
    /// It does not run. A test sees only the times that it set.
    Frozen,
}

/// How far the saved time is ahead of the clock. After a crash the clock continues there.
const AHEAD: Duration = Duration::from_secs(5);

/// The clock of the local cloud.
#[derive(Debug)]
pub struct Clock {
    pace: Pace,
    file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The time at `since`.
    set: UtcDateTime,
    since: Instant,
    /// Held while the clock is moved step by step.
    held: bool,
    /// The time in the file. The clock has shown no later one.
    written: UtcDateTime,
}

impl Clock {
    /// The clock in `directory`, or a new one that starts at `start`, by default at the current
    /// time.
    ///
    /// # Errors
    ///
    /// If the file of the clock can be neither read nor written.
    pub fn open(
        directory: Option<&Path>,
        pace: Pace,
        start: Option<UtcDateTime>,
    ) -> std::io::Result<Self> {
        let file = directory.map(|directory| directory.join("clock"));
        let kept = match &file {
            Some(file) if file.exists() => read(&std::fs::read_to_string(file)?)?,
            Some(_) | None => None,
        };
        let set = kept.or(start).unwrap_or_else(time_of_day);
        let state = State { set, since: Instant::now(), held: false, written: UtcDateTime::MIN };
        let clock = Self { pace, file, state: Mutex::new(state) };
        clock.keep()?;
        Ok(clock)
    }

    /// The time, with its fraction of a second.
    #[must_use]
    pub fn now(&self) -> UtcDateTime {
        let state = lock(&self.state);
        self.time(&state)
    }

    /// Moves the clock to `to`, if that is later.
    pub fn advance_to(&self, to: UtcDateTime) {
        let mut state = lock(&self.state);
        state.set = self.time(&state).max(to);
        state.since = Instant::now();
    }

    /// Stops the clock where it is, until [`Clock::release`].
    pub(crate) fn hold(&self) {
        let mut state = lock(&self.state);
        state.set = self.time(&state);
        state.held = true;
    }

    /// Lets the clock run again, if it ran.
    pub(crate) fn release(&self) {
        let mut state = lock(&self.state);
        state.held = false;
        state.since = Instant::now();
    }

    /// Whether the clock is being moved.
    pub(crate) fn is_held(&self) -> bool {
        lock(&self.state).held
    }

    /// How long it takes in real time until the clock shows `when`; None if it will not by itself.
    pub(crate) fn until(&self, when: UtcDateTime) -> Option<Duration> {
        let state = lock(&self.state);
        let left = when - self.time(&state);
        if left <= time::Duration::ZERO {
            return Some(Duration::ZERO);
        }
        if state.held || self.pace == Pace::Frozen {
            return None;
        }
        left.try_into().ok()
    }

    /// Writes the file again if the clock is about to pass the time in it.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(crate) fn keep(&self) -> std::io::Result<()> {
        let mut state = lock(&self.state);
        let now = self.time(&state);
        if now + Duration::from_secs(1) < state.written {
            return Ok(());
        }
        let ahead = if self.pace == Pace::Frozen { Duration::ZERO } else { AHEAD };
        state.written = now + ahead;
        self.write(state.written)
    }

    /// Writes the exact time, for the next run.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(crate) fn stop(&self) -> std::io::Result<()> {
        self.hold();
        self.write(self.now())
    }

    fn write(&self, when: UtcDateTime) -> std::io::Result<()> {
        match &self.file {
            Some(file) => crate::runtime::store::replace(file, format(when).as_bytes()),
            None => Ok(()),
        }
    }

    fn time(&self, state: &State) -> UtcDateTime {
        if state.held || self.pace == Pace::Frozen {
            state.set
        } else {
            state.set + state.since.elapsed()
        }
    }
}

/// RFC 3339, with as many digits of the second as there are.
#[must_use]
pub fn format(when: UtcDateTime) -> String {
    when.format(&Rfc3339).unwrap_or_else(|_| when.to_string())
}

/// RFC 3339 to the second, as AWS writes the `time` of an event.
#[must_use]
pub fn format_seconds(when: UtcDateTime) -> String {
    format(when.replace_nanosecond(0).unwrap_or(when))
}

/// Reads RFC 3339 with any offset.
#[must_use]
pub fn parse(text: &str) -> Option<UtcDateTime> {
    let local = time::OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(local.to_utc())
}

/// Reads a length of time: `90s`, `15m`, `1h`, `2d`, or several in a row (`1h30m`).
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let unit = after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let part = match unit.trim() {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            "d" => Duration::from_secs(number.checked_mul(86_400)?),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = after;
    }
    Some(total)
}

fn read(text: &str) -> std::io::Result<Option<UtcDateTime>> {
    match parse(text.trim()) {
        Some(when) => Ok(Some(when)),
        None => Err(std::io::Error::other(format!(
            "the file of the clock says {text:?}, which is no time"
        ))),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the only place where the local cloud asks for the time of day"
)]
fn time_of_day() -> UtcDateTime {
    UtcDateTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    const START: UtcDateTime = utc_datetime!(2026-11-01 12:00);

    #[test]
    fn a_frozen_clock_moves_only_when_it_is_moved_and_only_forward() {
        let clock = Clock::open(None, Pace::Frozen, Some(START)).unwrap();
        assert_eq!(clock.now(), START);
        clock.advance_to(START + Duration::from_secs(60));
        clock.advance_to(START);
        assert_eq!(clock.now(), START + Duration::from_secs(60));
        assert_eq!(clock.until(clock.now() + Duration::from_secs(1)), None);
    }

    #[test]
    fn a_running_clock_runs_from_where_it_was_set() {
        let clock = Clock::open(None, Pace::Running, Some(START)).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let before = clock.now();
        assert!(before > START);
        clock.hold();
        let held = clock.now();
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(clock.now(), held);
        clock.release();
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.now() > held);
    }

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_duration("2d"), Some(Duration::from_secs(172_800)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for wrong in ["", "1", "h", "-1h", "1 week", "99999999999999999999h"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
