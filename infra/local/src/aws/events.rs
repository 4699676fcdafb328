//! EventBridge: buses, rules and their targets.
//!
//! An event that matches a rule goes to each of its targets on its own. A delivery that fails is
//! tried again for a day (or what the rule's retry policy says) by the cloud's clock, with growing
//! distance, and then goes to the dead-letter queue, or is dropped. A function is invoked
//! asynchronously: what becomes of that invocation is Lambda's affair, as on AWS.

mod input;
mod put_events;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::UtcDateTime;

pub(crate) use put_events::put_events;

use crate::control::world::{self, World};
use crate::runtime::agenda::Job;
use crate::runtime::clock;
use crate::runtime::sync::lock;
use crate::template::wiring::{Rule, RuleTarget};

/// How many events are kept for `GET /local/events`.
const KEPT_MAX: usize = 100_000;

/// Distances between tries double from a second up to this; AWS says only that they grow.
const RETRY_SECONDS_MAX: u64 = 600;

/// An event on its way to a bus.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Event {
    pub(crate) bus: String,
    /// As targets see it.
    pub(crate) event: Value,
}

/// An event on its way to one target.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Delivery {
    rule: String,
    /// Which of the rule's targets.
    target: usize,
    event: Value,
    /// How often it was tried.
    tries: u32,
    /// When it came to the bus, RFC 3339.
    since: String,
}

/// An event that came to a bus, with the rules that it matched.
#[derive(Clone, Debug, Serialize)]
pub struct KeptEvent {
    /// The bus.
    pub bus: String,
    /// The event as targets see it.
    pub event: Value,
    /// Names of the rules it matched.
    pub rules: Vec<String>,
}

/// The events that came so far.
#[derive(Debug, Default)]
pub(crate) struct Events {
    kept: Mutex<VecDeque<KeptEvent>>,
}

impl Events {
    pub(crate) fn kept(&self) -> Vec<KeptEvent> {
        lock(&self.kept).iter().cloned().collect()
    }
}

/// An event comes to its bus.
pub(crate) fn publish(world: &Arc<World>, event: &Event) {
    let detail_type = event.event["detail-type"].as_str().unwrap_or_default();
    let matching: Vec<&Rule> = world
        .wiring
        .rules
        .iter()
        .filter(|rule| rule.bus == event.bus && rule.pattern.matches(&event.event))
        .collect();
    let rules = matching.iter().map(|rule| rule.name.clone()).collect();
    let mut kept = lock(&world.events.kept);
    if kept.len() == KEPT_MAX {
        kept.pop_front();
    }
    kept.push_back(KeptEvent { bus: event.bus.clone(), event: event.event.clone(), rules });
    drop(kept);

    let now = world.clock.now();
    for rule in matching {
        for target in 0..rule.targets.len() {
            let fault = world.faults.delivery("event", detail_type);
            for _ in 0..fault.copies() {
                let delivery = Delivery {
                    rule: rule.name.clone(),
                    target,
                    event: event.event.clone(),
                    tries: 0,
                    since: clock::format(now),
                };
                world::schedule(world, now + fault.delay(), Job::Deliver(delivery));
            }
        }
    }
}

/// Tries a delivery.
pub(crate) fn deliver(world: &Arc<World>, mut delivery: Delivery) {
    let Some(rule) = world.wiring.rules.iter().find(|rule| rule.name == delivery.rule) else {
        return;
    };
    let Some(target) = rule.targets.get(delivery.target) else { return };
    let now = world.clock.now();
    let payload = input::apply(&target.input, &delivery.event, &rule.name, now);
    let trigger = format!("event {}", delivery.event["detail-type"].as_str().unwrap_or_default());
    // What cannot be delivered here: an input that is not what its target takes, and, on demand, a
    // target that is not there.
    let failure = match payload {
        Err(reason) => reason,
        Ok(_) if world.faults.fails("target", target.target.name()) => {
            "the target did not answer".to_owned()
        }
        Ok(payload) => {
            world::send(world, now, &target.target, payload, &trigger, None);
            return;
        }
    };
    delivery.tries += 1;
    let since = clock::parse(&delivery.since).unwrap_or(now);
    let next = now + retry_after(delivery.tries);
    if delivery.tries <= target.retries && next - since <= target.age_max {
        world.agenda.add(next, Job::Deliver(delivery));
    } else {
        give_up(world, rule, target, &delivery, &failure, now);
    }
}

fn retry_after(tries: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(tries - 1).min(RETRY_SECONDS_MAX))
}

/// The event itself goes to the dead-letter queue, with the reason as attributes
/// (docs.aws.amazon.com/eventbridge, "Using dead-letter queues").
fn give_up(
    world: &Arc<World>,
    rule: &Rule,
    target: &RuleTarget,
    delivery: &Delivery,
    failure: &str,
    now: UtcDateTime,
) {
    let Some(queue) = &target.dead_letters else {
        world.log.note(&format!("rule {}: an event is dropped: {failure}", rule.name));
        return;
    };
    let text = |value: &str| json!({"DataType": "String", "StringValue": value});
    let attributes = json!({
        "RULE_ARN": text(&crate::runtime::names::arn("events", &format!("rule/{}", rule.name))),
        "TARGET_ARN": text(&target.target.arn()),
        "ERROR_CODE": text("SDK_CLIENT_ERROR"),
        "ERROR_MESSAGE": text(failure),
        "RETRY_ATTEMPTS": text(&delivery.tries.saturating_sub(1).to_string()),
    });
    crate::aws::queues::send(world, queue, delivery.event.to_string(), attributes, now);
}
