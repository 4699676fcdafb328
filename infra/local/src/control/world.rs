//! All parts of a running local cloud, and the state that is kept between runs.
//!
//! A part has handles to the parts it needs, and no more. Only the modules of `control` see all of
//! them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use time::UtcDateTime;

use crate::aws::asynchronous::AsynchronousInvoker;
use crate::aws::dynamodb::DynamoDb;
use crate::aws::events::Events;
use crate::aws::gateway::Gateway;
use crate::aws::lambda::Lambda;
use crate::aws::queues::{Message, Queues};
use crate::aws::scheduler::Scheduler;
use crate::aws::secrets::Secrets;
use crate::aws::streams::Streams;
use crate::aws::tokens::Keys;
use crate::control::clock_move::{ClockMove, Counts};
use crate::control::job::Job;
use crate::control::stripe::Stripe;
use crate::runtime::agenda::Agenda;
use crate::runtime::calls::{Recorded, RecordedCall, RecordedRun};
use crate::runtime::clock;
use crate::runtime::common::Common;
use crate::runtime::store::Store;
use crate::template::wiring::Wiring;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) wiring: Wiring,
    pub(crate) common: Common,
    pub(crate) agenda: Arc<Agenda<Job>>,
    pub(crate) calls: Arc<Recorded<RecordedCall>>,
    pub(crate) runs: Arc<Recorded<RecordedRun>>,
    pub(crate) store: Store,
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) asynchronous: AsynchronousInvoker,
    pub(crate) events: Arc<Events>,
    pub(crate) queues: Arc<Queues>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) scheduler: Scheduler,
    pub(crate) dynamodb: Arc<DynamoDb>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) stripe: Option<Arc<Stripe>>,
    /// Held while the clock is moved.
    pub(crate) moving: tokio::sync::Mutex<()>,
    /// Where the API is.
    pub(crate) api_url: String,
}

/// The state in `cloud.json`, so that no message is lost between two runs.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Kept {
    /// RFC 3339 and the job of that time.
    pub(crate) agenda: Vec<(String, Job)>,
    /// Messages by queue.
    pub(crate) queues: Vec<(String, Vec<Message>)>,
    /// The last sequence number that was dealt with, by stream mapping.
    pub(crate) streams: Vec<(String, String)>,
    /// The stand-in's state. Null without a stand-in.
    #[serde(default)]
    pub(crate) stripe: serde_json::Value,
}

/// The longest time until the loop looks again, although nothing is due: it also keeps the state.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

impl World {
    pub(crate) async fn perform(&self, job: Job) {
        match job {
            Job::Invoke(invocation) => self.asynchronous.attempt(invocation).await,
            Job::Publish(event) => self.events.publish(&event),
            Job::Deliver(delivery) => self.events.deliver(delivery),
            Job::Fire(occurrence) => self.scheduler.fire(&occurrence),
            Job::PollQueue(queue) => self.queues.poll(&queue).await,
            Job::PollStream(mapping) => self.streams.poll(&mapping).await,
            Job::DeliverWebhooks => {
                if let Some(stripe) = &self.stripe {
                    stripe.deliver().await;
                }
            }
        }
    }

    /// Looks for webhooks, if the stand-in is used.
    pub(crate) fn wake_stripe(&self) {
        if let Some(stripe) = &self.stripe {
            stripe.wake();
        }
    }

    /// Writes the state for the next run.
    pub(crate) fn keep(&self) {
        if !self.store.keeps() {
            return;
        }
        let kept = Kept {
            agenda: self
                .agenda
                .all()
                .into_iter()
                .map(|(when, job)| (clock::format(when), job))
                .collect(),
            queues: self.queues.all(),
            streams: self.streams.positions(),
            stripe: self
                .stripe
                .as_ref()
                .and_then(|stripe| stripe.stand_in.save().ok())
                .unwrap_or_default(),
        };
        let written = self.store.write(&kept).and_then(|()| self.common.clock.keep());
        if let Err(error) = written {
            self.common.log.note(&format!("the state cannot be kept: {error}"));
        }
    }

    /// Takes up the state of the last run.
    pub(crate) fn resume(&self, kept: Kept) {
        self.streams.resume(kept.streams);
        self.streams.skip_to_latest();
        self.queues.resume(kept.queues);
        let mut planned = Vec::new();
        for (when, job) in kept.agenda {
            if let Job::Fire(occurrence) = &job {
                if !self.scheduler.has(&occurrence.schedule) {
                    continue;
                }
                planned.push(occurrence.schedule.clone());
            }
            self.agenda.add(clock::parse(&when).unwrap_or(UtcDateTime::UNIX_EPOCH), job);
        }
        self.scheduler.start(&planned);
        for mapping in &self.wiring.stream_mappings {
            self.agenda.start(Job::PollStream(mapping.name.clone()));
        }
        for mapping in &self.wiring.queue_mappings {
            self.agenda.start(Job::PollQueue(mapping.queue.clone()));
        }
        self.agenda.start(Job::DeliverWebhooks);
    }

    /// Starts due jobs while the clock runs, and saves the state, until the task is dropped.
    pub(crate) async fn run(&self) {
        let mut kept: Option<Instant> = None;
        loop {
            self.agenda.run_due();
            // Not at every change: a month has 43,200 minutes.
            if kept.is_none_or(|kept| kept.elapsed() >= LOOK_AGAIN) {
                self.keep();
                kept = Some(Instant::now());
            }
            let next = self.agenda.next().and_then(|when| self.common.clock.until(when));
            tokio::select! {
                () = tokio::time::sleep(next.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN)) => {}
                () = self.agenda.changed() => {}
            }
        }
    }

    /// Moves the clock to `to`, stopping at everything that is due on the way, and waits until
    /// nothing is being done. Returns the invocations.
    pub(crate) async fn advance(&self, to: UtcDateTime) -> Vec<RecordedRun> {
        let _one_at_a_time = self.moving.lock().await;
        let clock = &self.common.clock;
        let before = self.counts();
        // A program may have used the stand-in directly, without a request that would wake it.
        self.wake_stripe();
        clock.hold();
        let mut clock_move = ClockMove::begin(clock.now(), to);
        self.agenda.idle().await;
        while let Some(next) = self.agenda.next().filter(|next| *next <= to) {
            clock.advance_to(next);
            self.agenda.run_due();
            self.agenda.idle().await;
            clock_move.show_progress(next, &self.common.log);
        }
        clock.advance_to(to);
        clock.release();
        self.keep();
        clock_move.end(&before, &self.counts(), &self.common.log);
        self.runs.since(before.runs)
    }

    fn counts(&self) -> Counts {
        Counts {
            events: self.events.count(),
            runs: self.runs.count(),
            skipped: self.scheduler.skips.count(),
        }
    }
}
