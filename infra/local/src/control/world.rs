//! Everything the local cloud consists of, and how its parts reach each other.
//!
//! Parts keep no references to each other: each does its work with the [`World`] it is given, so
//! that a rule can invoke a function, whose failure goes to a queue, which invokes another.

use std::sync::Arc;
use std::time::Duration;

use time::UtcDateTime;

use crate::aws::dynamodb::DynamoDb;
use crate::aws::events::{self, Event, Events};
use crate::aws::gateway::Gateway;
use crate::aws::lambda::{self, AsynchronousInvocation, Lambda};
use crate::aws::queues::{self, Queues};
use crate::aws::scheduler;
use crate::aws::secrets::Secrets;
use crate::aws::streams::{self, Streams};
use crate::aws::tokens::Keys;
use crate::control::routes::Control;
use crate::control::webhooks::{self, Stripe};
use crate::runtime::agenda::{Activity, Agenda, Job};
use crate::runtime::calls::{Call, Recorded, Run};
use crate::runtime::clock::{self, Clock};
use crate::runtime::faults::Faults;
use crate::runtime::http::Client;
use crate::runtime::log::Log;
use crate::runtime::store::{Kept, Store};
use crate::template::wiring::{Target, Wiring};

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) wiring: Wiring,
    pub(crate) clock: Arc<Clock>,
    pub(crate) agenda: Agenda,
    pub(crate) activity: Activity,
    pub(crate) faults: Faults,
    pub(crate) calls: Recorded<Call>,
    pub(crate) runs: Recorded<Run>,
    pub(crate) log: Log,
    pub(crate) store: Store,
    pub(crate) client: Client,
    pub(crate) lambda: Lambda,
    pub(crate) events: Events,
    pub(crate) queues: Queues,
    pub(crate) streams: Streams,
    pub(crate) dynamodb: DynamoDb,
    pub(crate) gateway: Gateway,
    pub(crate) keys: Keys,
    pub(crate) secrets: Secrets,
    pub(crate) stripe: Option<Stripe>,
    pub(crate) control: Control,
}

/// The longest time until the loop looks again, although nothing is due: it also keeps the state.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

impl World {
    /// A function by any of its names: binary, function name or logical id.
    pub(crate) fn function(&self, name: &str) -> Option<&crate::template::wiring::Function> {
        let functions = &self.wiring.functions;
        functions.iter().find(|function| {
            [&function.binary, &function.name, &function.logical_id].iter().any(|own| *own == name)
        })
    }

    /// What is kept for the next run.
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
        let written = self.store.write(&kept).and_then(|()| self.clock.keep());
        if let Err(error) = written {
            self.log.note(&format!("the state cannot be kept: {error}"));
        }
    }

    /// Takes up what the last run left.
    pub(crate) fn resume(self: &Arc<Self>, kept: Kept) {
        self.streams.resume(kept.streams);
        self.streams.skip_to_latest(self);
        self.queues.resume(kept.queues);
        let mut planned = Vec::new();
        for (when, job) in kept.agenda {
            if let Job::Fire(occurrence) = &job {
                let known = |schedule: &crate::template::wiring::Schedule| {
                    schedule.name == occurrence.schedule
                };
                if !self.wiring.schedules.iter().any(known) {
                    continue;
                }
                planned.push(occurrence.schedule.clone());
            }
            self.agenda.add(clock::parse(&when).unwrap_or(UtcDateTime::UNIX_EPOCH), job);
        }
        scheduler::start(self, &planned);
        for mapping in &self.wiring.stream_mappings {
            start(self, Job::PollStream(mapping.name.clone()));
        }
        for mapping in &self.wiring.queue_mappings {
            start(self, Job::PollQueue(mapping.queue.clone()));
        }
        start(self, Job::DeliverWebhooks);
    }
}

/// Does a job when the cloud's clock shows `when`, which may be now.
pub(crate) fn schedule(world: &Arc<World>, when: UtcDateTime, job: Job) {
    if when <= world.clock.now() {
        start(world, job);
    } else {
        world.agenda.add(when, job);
    }
}

/// Begins a job now. The world is not idle before it is done.
pub(crate) fn start(world: &Arc<World>, job: Job) {
    let working = world.activity.begin();
    let id = world.agenda.begin(job.clone());
    let world = Arc::clone(world);
    tokio::spawn(async move {
        perform(&world, job).await;
        world.agenda.done(id);
        drop(working);
    });
}

async fn perform(world: &Arc<World>, job: Job) {
    match job {
        Job::Invoke(invocation) => lambda::attempt(world, invocation).await,
        Job::Publish(event) => events::publish(world, &event),
        Job::Deliver(delivery) => events::deliver(world, delivery),
        Job::Fire(occurrence) => scheduler::fire(world, &occurrence),
        Job::PollQueue(queue) => queues::poll(world, &queue).await,
        Job::PollStream(mapping) => streams::poll(world, &mapping).await,
        Job::DeliverWebhooks => webhooks::deliver(world).await,
    }
}

/// Hands a payload to a target at a time, as every service does that has targets: a function is
/// invoked asynchronously, a queue gets a message, a bus an event.
pub(crate) fn send(
    world: &Arc<World>,
    when: UtcDateTime,
    target: &Target,
    payload: String,
    trigger: &str,
    scheduled: Option<UtcDateTime>,
) {
    match target {
        Target::Function(function) => {
            let invocation =
                AsynchronousInvocation::new(function, payload, trigger, scheduled, when);
            schedule(world, when, Job::Invoke(invocation));
        }
        Target::Queue(queue) => queues::send(world, queue, payload, serde_json::Value::Null, when),
        Target::Bus(bus) => {
            let event = serde_json::from_str(&payload).unwrap_or_default();
            schedule(world, when, Job::Publish(Event { bus: bus.clone(), event }));
        }
    }
}

/// Begins what is due at the clock's time.
pub(crate) fn run_due(world: &Arc<World>) {
    while let Some(job) = world.agenda.take_due(world.clock.now()) {
        start(world, job);
    }
}

/// Begins what falls due while the clock runs, and keeps the state, until the task is dropped.
pub(crate) async fn run(world: Arc<World>) {
    loop {
        run_due(&world);
        world.keep();
        let next =
            world.agenda.next().and_then(|when| world.clock.until(when)).unwrap_or(LOOK_AGAIN);
        tokio::select! {
            () = tokio::time::sleep(next.min(LOOK_AGAIN)) => {}
            () = world.agenda.changed() => {}
        }
    }
}

/// Moves the clock to `to`, stopping at everything that is due on the way, and waits until nothing
/// is being done. Returns what was invoked.
pub(crate) async fn advance(world: &Arc<World>, to: UtcDateTime) -> Vec<Run> {
    let _one_at_a_time = world.control.moving.lock().await;
    let before = world.runs.count();
    // What a program did to the stand-in itself came by no request that would have told of it.
    webhooks::wake(world);
    world.clock.hold();
    world.activity.idle().await;
    while let Some(next) = world.agenda.next().filter(|next| *next <= to) {
        world.clock.advance_to(next);
        run_due(world);
        world.activity.idle().await;
    }
    world.clock.advance_to(to);
    world.clock.release();
    world.keep();
    world.runs.since(before)
}
