//! What happened in a run, line by line. The same seed gives the same lines.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::VirtualClock;

/// The log of a run. Clones share it.
#[derive(Clone, Debug)]
pub struct Journal {
    clock: VirtualClock,
    inner: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    lines: Vec<String>,
    /// How often each thing was reached: faults by kind and place, rows by type, answers by code.
    reached: BTreeMap<String, u64>,
    /// The first rule that was broken where nobody could return it.
    violation: Option<String>,
}

impl Journal {
    #[must_use]
    pub fn new(clock: VirtualClock) -> Self {
        Self { clock, inner: Arc::default() }
    }

    /// Adds a line with the time.
    pub fn note(&self, line: impl AsRef<str>) {
        let line = format!("{} {}", self.clock.text(), line.as_ref());
        self.lock().lines.push(line);
    }

    /// Counts something that a run should reach.
    pub fn reach(&self, what: impl Into<String>) {
        *self.lock().reached.entry(what.into()).or_default() += 1;
    }

    /// Notes a rule that is broken. The run fails when it is checked next.
    pub fn violate(&self, rule: impl Into<String>) {
        self.lock().violation.get_or_insert(rule.into());
    }

    /// The first rule that was broken.
    #[must_use]
    pub fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    #[must_use]
    pub fn reached(&self) -> BTreeMap<String, u64> {
        self.lock().reached.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
