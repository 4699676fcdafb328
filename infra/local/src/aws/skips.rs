//! Runs that are skipped because they would find nothing to do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::runtime::clock::Clock;

/// The runs that were skipped, and whether any are.
#[derive(Debug)]
pub(crate) struct Skips {
    every_minute: AtomicBool,
    count: AtomicU64,
    /// How many since the last run while the clock ran by itself.
    since_run: AtomicU64,
}

impl Skips {
    pub(crate) fn new(every_minute: AtomicBool) -> Self {
        Self { every_minute, count: AtomicU64::new(0), since_run: AtomicU64::new(0) }
    }

    /// How many there have been.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts a run that was skipped.
    pub(crate) fn add(&self, clock: &Clock) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if !clock.is_held() {
            self.since_run.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of runs skipped since the last call while the clock ran by itself.
    pub(crate) fn take_since_run(&self) -> u64 {
        self.since_run.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn are_off(&self) -> bool {
        self.every_minute.load(Ordering::Relaxed)
    }

    /// From now on no run is skipped.
    pub(crate) fn off(&self) {
        self.every_minute.store(true, Ordering::Relaxed);
    }

    /// From now on runs that would do nothing are skipped.
    pub(crate) fn on(&self) {
        self.every_minute.store(false, Ordering::Relaxed);
    }
}
