//! The jobs of the local cloud, by the cloud's clock, and whether any is running.
//!
//! Every retry, schedule and delayed message of the local cloud is a job here. The clock can
//! therefore be moved from one to the next ([`Agenda::next`]), and "idle" has one meaning: only
//! work that waits for a time is left ([`Activity`]).
//!
//! The agenda does not know the content of a job. A service plans its own kind of job by a
//! [`Planner`], and the worker that is set when the cloud is complete runs them all.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};

use time::UtcDateTime;
use tokio::sync::{Notify, watch};

use crate::runtime::clock::Clock;
use crate::runtime::sync::lock;

/// The work of a job.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The waiting jobs and the running ones.
pub(crate) struct Agenda<J> {
    clock: Arc<Clock>,
    activity: Activity,
    entries: Mutex<Entries<J>>,
    changed: Notify,
    worker: OnceLock<Box<dyn Fn(J) -> Work + Send + Sync>>,
}

#[derive(Debug)]
struct Entries<J> {
    last_id: u64,
    waiting: BTreeMap<(UtcDateTime, u64), J>,
    running: BTreeMap<u64, J>,
}

impl<J> fmt::Debug for Agenda<J> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = lock(&self.entries);
        formatter
            .debug_struct("Agenda")
            .field("waiting", &entries.waiting.len())
            .field("running", &entries.running.len())
            .finish_non_exhaustive()
    }
}

impl<J> Agenda<J> {
    pub(crate) fn new(clock: Arc<Clock>, activity: Activity) -> Self {
        let entries = Entries { last_id: 0, waiting: BTreeMap::new(), running: BTreeMap::new() };
        Self {
            clock,
            activity,
            entries: Mutex::new(entries),
            changed: Notify::new(),
            worker: OnceLock::new(),
        }
    }

    /// Sets the worker that runs jobs. Only the first call counts.
    pub(crate) fn set_worker(&self, worker: impl Fn(J) -> Work + Send + Sync + 'static) {
        let _first = self.worker.set(Box::new(worker));
    }

    pub(crate) fn add(&self, when: UtcDateTime, job: J) {
        let mut entries = lock(&self.entries);
        entries.last_id += 1;
        let id = entries.last_id;
        entries.waiting.insert((when, id), job);
        drop(entries);
        self.changed.notify_one();
    }

    /// Adds a job, unless one of its kind is planned for that time.
    fn add_once(&self, when: UtcDateTime, job: J) {
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
    fn take_due(&self, now: UtcDateTime) -> Option<J> {
        let mut entries = lock(&self.entries);
        let entry = entries.waiting.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        Some(entry.remove())
    }

    /// Waits until the agenda has a new entry.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until nothing is being done.
    pub(crate) async fn idle(&self) {
        self.activity.idle().await;
    }
}

impl<J: Clone + Send + 'static> Agenda<J> {
    /// Does a job when the clock shows `when`, which may be now.
    fn schedule(self: &Arc<Self>, when: UtcDateTime, job: J) {
        if when <= self.clock.now() {
            self.start(job);
        } else {
            self.add(when, job);
        }
    }

    /// Begins a job now. The cloud is not idle before it is done. It is kept until then, and done
    /// again after a crash.
    pub(crate) fn start(self: &Arc<Self>, job: J) {
        let Some(worker) = self.worker.get() else {
            return self.add(self.clock.now(), job);
        };
        let working = self.activity.begin();
        let id = self.begin(job.clone());
        let work = worker(job);
        let agenda = Arc::clone(self);
        tokio::spawn(async move {
            work.await;
            lock(&agenda.entries).running.remove(&id);
            drop(working);
        });
    }

    fn begin(&self, job: J) -> u64 {
        let mut entries = lock(&self.entries);
        entries.last_id += 1;
        let id = entries.last_id;
        entries.running.insert(id, job);
        id
    }

    /// Starts the jobs that are due at the clock's time.
    pub(crate) fn run_due(self: &Arc<Self>) {
        while let Some(job) = self.take_due(self.clock.now()) {
            self.start(job);
        }
    }

    /// Every job with its time. Running jobs have the earliest possible time.
    pub(crate) fn all(&self) -> Vec<(UtcDateTime, J)> {
        let entries = lock(&self.entries);
        let running = entries.running.values().map(|job| (UtcDateTime::UNIX_EPOCH, job.clone()));
        let waiting = entries.waiting.iter().map(|((when, _), job)| (*when, job.clone()));
        running.chain(waiting).collect()
    }

    /// A handle for jobs that `job` makes of a service's own `P`.
    pub(crate) fn planner<P: 'static>(self: &Arc<Self>, job: fn(P) -> J) -> Planner<P> {
        Arc::new(Planned { agenda: Arc::clone(self), job })
    }
}

/// Plans one kind of job for a service.
pub(crate) type Planner<P> = Arc<dyn Plan<P>>;

/// Plans jobs of one kind. Used as a [`Planner`].
pub(crate) trait Plan<P>: fmt::Debug + Send + Sync {
    /// Does it when the clock shows `when`, which may be now.
    fn at(&self, when: UtcDateTime, what: P);
    /// Does it at `when`, unless that is planned already.
    fn once_at(&self, when: UtcDateTime, what: P);
    fn now(&self, what: P);
}

struct Planned<J, P> {
    agenda: Arc<Agenda<J>>,
    job: fn(P) -> J,
}

impl<J, P> fmt::Debug for Planned<J, P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Planner")
    }
}

impl<J: Clone + Send + 'static, P> Plan<P> for Planned<J, P> {
    fn at(&self, when: UtcDateTime, what: P) {
        self.agenda.schedule(when, (self.job)(what));
    }

    fn once_at(&self, when: UtcDateTime, what: P) {
        self.agenda.add_once(when, (self.job)(what));
    }

    fn now(&self, what: P) {
        self.agenda.start((self.job)(what));
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

    async fn idle(&self) {
        // The sender is a field of self, so this cannot fail.
        let mut count = self.count.subscribe();
        let _idle = count.wait_for(|count| *count == 0).await;
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.count.send_modify(|count| *count -= 1);
    }
}
