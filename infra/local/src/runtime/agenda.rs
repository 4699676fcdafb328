//! What is to be done, and when by the cloud's clock; and whether anything is being done.
//!
//! Every retry, schedule and delayed message of the local cloud is a [`Job`] here. So the clock can
//! be moved from one to the next ([`Agenda::next`]), and "idle" has one meaning: nothing runs that
//! was not begun by waiting for a time ([`Activity`]).

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use time::UtcDateTime;
use tokio::sync::{Notify, watch};

use crate::aws::events::{Delivery, Event};
use crate::aws::lambda::AsynchronousInvocation;
use crate::aws::scheduler::Occurrence;
use crate::runtime::sync::lock;

/// Something to be done.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Job {
    /// An asynchronous invocation, the first time or again.
    Invoke(AsynchronousInvocation),
    /// An event comes to the bus.
    Publish(Event),
    /// An event goes to a target of a rule, the first time or again.
    Deliver(Delivery),
    /// A schedule is due.
    Fire(Occurrence),
    /// A message of this queue may be visible.
    PollQueue(String),
    /// The records of this stream mapping may be tried (again).
    PollStream(String),
    /// A webhook may be due.
    DeliverWebhooks,
}

/// The jobs that wait for their time, and those that are being done.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    entries: Mutex<Entries>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    last_id: u64,
    waiting: BTreeMap<(UtcDateTime, u64), Job>,
    running: BTreeMap<u64, Job>,
}

impl Agenda {
    pub(crate) fn add(&self, when: UtcDateTime, job: Job) {
        let mut entries = lock(&self.entries);
        entries.last_id += 1;
        let id = entries.last_id;
        entries.waiting.insert((when, id), job);
        drop(entries);
        self.changed.notify_one();
    }

    /// Adds a job that is the same however often it is there, unless it is there for that time.
    pub(crate) fn add_once(&self, when: UtcDateTime, job: Job) {
        let same = std::mem::discriminant(&job);
        let entries = lock(&self.entries);
        let mut there = entries.waiting.range((when, 0)..=(when, u64::MAX));
        let is_there = there.any(|(_, waiting)| std::mem::discriminant(waiting) == same);
        drop(entries);
        if !is_there {
            self.add(when, job);
        }
    }

    /// When the next job is due.
    pub(crate) fn next(&self) -> Option<UtcDateTime> {
        lock(&self.entries).waiting.keys().next().map(|(when, _)| *when)
    }

    /// Takes one job that is due at `now`, the earliest first.
    pub(crate) fn take_due(&self, now: UtcDateTime) -> Option<Job> {
        let mut entries = lock(&self.entries);
        let entry = entries.waiting.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        Some(entry.remove())
    }

    /// Keeps a job that is being done, until [`Agenda::done`]: after a crash it is done again.
    pub(crate) fn begin(&self, job: Job) -> u64 {
        let mut entries = lock(&self.entries);
        entries.last_id += 1;
        let id = entries.last_id;
        entries.running.insert(id, job);
        id
    }

    pub(crate) fn done(&self, id: u64) {
        lock(&self.entries).running.remove(&id);
    }

    /// Waits until the agenda has a new entry.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Every job with its time, those that are being done with the earliest there is.
    pub(crate) fn all(&self) -> Vec<(UtcDateTime, Job)> {
        let entries = lock(&self.entries);
        let running = entries.running.values().map(|job| (UtcDateTime::UNIX_EPOCH, job.clone()));
        let waiting = entries.waiting.iter().map(|((when, _), job)| (*when, job.clone()));
        running.chain(waiting).collect()
    }
}

/// How many things are being done.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    count: watch::Sender<usize>,
}

/// One of the things that are being done, until this is dropped.
#[derive(Debug)]
pub(crate) struct Working {
    count: watch::Sender<usize>,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self { count: watch::Sender::new(0) }
    }

    pub(crate) fn begin(&self) -> Working {
        self.count.send_modify(|count| *count += 1);
        Working { count: self.count.clone() }
    }

    /// Waits until nothing is being done.
    pub(crate) async fn idle(&self) {
        // An error means that the sender is gone, and it is a field of self.
        let mut count = self.count.subscribe();
        let _idle = count.wait_for(|count| *count == 0).await;
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.count.send_modify(|count| *count -= 1);
    }
}
