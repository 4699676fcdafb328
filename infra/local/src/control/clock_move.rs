//! The output of a move of the clock: progress, results and cost.

use std::time::{Duration, Instant};

use time::UtcDateTime;

use crate::runtime::clock;
use crate::runtime::log::Log;

/// A long move shows how far it is this often, in real time.
const PROGRESS_EACH: Duration = Duration::from_secs(2);

/// One move of the clock.
#[derive(Debug)]
pub(crate) struct ClockMove {
    from: UtcDateTime,
    to: UtcDateTime,
    begun: Instant,
    shown: Instant,
}

/// The work of a local cloud since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// Events on a bus.
    pub(crate) events: u64,
    /// Functions that were run.
    pub(crate) runs: u64,
    /// Runs of schedules that were skipped, since they would have found nothing.
    pub(crate) skipped: u64,
}

impl ClockMove {
    pub(crate) fn begin(from: UtcDateTime, to: UtcDateTime) -> Self {
        let begun = Instant::now();
        Self { from, to, begun, shown: begun }
    }

    /// Prints the position of the clock, at most once in a while.
    pub(crate) fn show_progress(&mut self, now: UtcDateTime, log: &Log) {
        if self.shown.elapsed() < PROGRESS_EACH {
            return;
        }
        self.shown = Instant::now();
        let (passed, whole) = (now - self.from, self.to - self.from);
        let percent = passed.whole_seconds() * 100 / whole.whole_seconds().max(1);
        log.note(&format!("clock: {} ({percent} %)", clock::format_seconds(now)));
    }

    /// Prints the results, if the clock moved.
    pub(crate) fn end(self, before: &Counts, after: &Counts, log: &Log) {
        if self.to <= self.from {
            return;
        }
        let took = self.begun.elapsed();
        log.note(&format!(
            "clock: moved {} to {}: {} events, {} runs, {} skipped, {}.{} s",
            length(self.to - self.from),
            clock::format_seconds(self.to),
            after.events - before.events,
            after.runs - before.runs,
            after.skipped - before.skipped,
            took.as_secs(),
            took.subsec_millis() / 100,
        ));
    }
}

/// As people write a length of time: `30d`, `1h30m`.
fn length(length: time::Duration) -> String {
    let seconds = length.whole_seconds();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let text: String = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() { format!("{}ms", length.whole_milliseconds()) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    #[test]
    fn a_move_says_what_happened() {
        let log = Log::new(None);
        let (from, to) = (utc_datetime!(2026-11-01 12:00), utc_datetime!(2026-12-01 13:30));
        let before = Counts { events: 1, runs: 2, skipped: 3 };
        let after = Counts { events: 11, runs: 22, skipped: 43_003 };
        ClockMove::begin(from, to).end(&before, &after, &log);
        ClockMove::begin(to, to).end(&after, &after, &log);
        let lines: Vec<_> = log.kept().into_iter().map(|line| line.text).collect();
        assert_eq!(
            lines,
            [
                "clock: moved 30d1h30m to 2026-12-01T13:30:00Z: 10 events, 20 runs, 43000 skipped, 0.0 s"
            ]
        );
    }

    #[test]
    fn a_long_move_says_how_far_it_is() {
        let log = Log::new(None);
        let (from, to) = (utc_datetime!(2026-11-01 12:00), utc_datetime!(2026-11-05 12:00));
        let mut clock_move = ClockMove::begin(from, to);
        clock_move.show_progress(utc_datetime!(2026-11-02 12:00), &log);
        assert!(log.kept().is_empty(), "it has only begun");
        clock_move.shown -= PROGRESS_EACH;
        clock_move.show_progress(utc_datetime!(2026-11-03 12:00), &log);
        assert_eq!(log.kept()[0].text, "clock: 2026-11-03T12:00:00Z (50 %)");
    }
}
