//! EventBridge: buses, rules and their targets.
//!
//! An event that matches a rule goes to each of its targets separately. A failed delivery is
//! retried by the cloud's clock with growing pauses, for a day or as the rule's retry policy sets.
//! Then it goes to the dead-letter queue, or is dropped. A function is invoked asynchronously, and
//! Lambda retries that invocation itself, as on AWS.

pub(crate) mod api;
mod input;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::UtcDateTime;

use crate::aws::message::Event;
use crate::aws::targets::Targets;
use crate::runtime::agenda::Planner;
use crate::runtime::clock;
use crate::runtime::common::Common;
use crate::runtime::sync::lock;
use crate::template::wiring::{Rule, RuleTarget, Wiring};

/// How many events are kept for `GET /local/events`.
const KEPT_MAX: usize = 100_000;

/// Pauses between tries double from a second up to this. AWS documents only that they grow.
const RETRY_SECONDS_MAX: u64 = 600;

/// An event on its way to one target.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Delivery {
    rule: String,
    /// Which of the rule's targets.
    target: usize,
    event: Value,
    /// How often it was tried.
    tries: u32,
    /// The time of arrival at the bus, RFC 3339.
    since: String,
}

/// An event on a bus, with the rules that it matched.
#[derive(Clone, Debug, Serialize)]
pub struct KeptEvent {
    pub bus: String,
    /// The event as targets see it.
    pub event: Value,
    /// Names of the rules it matched.
    pub rules: Vec<String>,
}

/// The buses and all their events.
#[derive(Debug)]
pub(crate) struct Events {
    common: Common,
    /// Names of the buses.
    buses: Vec<String>,
    rules: Vec<Rule>,
    targets: Arc<Targets>,
    deliveries: Planner<Delivery>,
    kept: Mutex<VecDeque<KeptEvent>>,
    count: AtomicU64,
}

impl Events {
    pub(crate) fn new(
        common: Common,
        wiring: &Wiring,
        targets: Arc<Targets>,
        deliveries: Planner<Delivery>,
    ) -> Self {
        Self {
            common,
            buses: wiring.buses.clone(),
            rules: wiring.rules.clone(),
            targets,
            deliveries,
            kept: Mutex::default(),
            count: AtomicU64::new(0),
        }
    }

    /// The number of events so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn kept(&self) -> Vec<KeptEvent> {
        lock(&self.kept).iter().cloned().collect()
    }

    /// Puts an event on its bus.
    pub(crate) fn publish(&self, event: &Event) {
        let detail_type = event.event["detail-type"].as_str().unwrap_or_default();
        let matching: Vec<&Rule> = self
            .rules
            .iter()
            .filter(|rule| rule.bus == event.bus && rule.pattern.matches(&event.event))
            .collect();
        let rules = matching.iter().map(|rule| rule.name.clone()).collect();
        let mut kept = lock(&self.kept);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(KeptEvent { bus: event.bus.clone(), event: event.event.clone(), rules });
        drop(kept);
        self.count.fetch_add(1, Ordering::Relaxed);

        let now = self.common.clock.now();
        for rule in matching {
            for target in 0..rule.targets.len() {
                let fault = self.common.faults.delivery("event", detail_type);
                for _ in 0..fault.copies() {
                    let delivery = Delivery {
                        rule: rule.name.clone(),
                        target,
                        event: event.event.clone(),
                        tries: 0,
                        since: clock::format(now),
                    };
                    self.deliveries.at(now + fault.delay(), delivery);
                }
            }
        }
    }

    pub(crate) fn deliver(&self, mut delivery: Delivery) {
        let Some(rule) = self.rules.iter().find(|rule| rule.name == delivery.rule) else {
            return;
        };
        let Some(target) = rule.targets.get(delivery.target) else { return };
        let now = self.common.clock.now();
        let payload = input::apply(&target.input, &delivery.event, &rule.name, now);
        let trigger =
            format!("event {}", delivery.event["detail-type"].as_str().unwrap_or_default());
        // A delivery fails here if the target does not take its input, or if a fault asks for it.
        let failure = match payload {
            Err(reason) => reason,
            Ok(_) if self.common.faults.fails("target", target.target.name()) => {
                "the target did not answer".to_owned()
            }
            Ok(payload) => {
                self.targets.send(now, &target.target, payload, &trigger, None);
                return;
            }
        };
        delivery.tries += 1;
        let since = clock::parse(&delivery.since).unwrap_or(now);
        let next = now + retry_after(delivery.tries);
        if delivery.tries <= target.retries && next - since <= target.age_max {
            self.deliveries.at(next, delivery);
        } else {
            self.give_up(rule, target, &delivery, &failure, now);
        }
    }

    /// Puts the event itself into the dead-letter queue, with the reason as attributes
    /// (docs.aws.amazon.com/eventbridge, "Using dead-letter queues").
    fn give_up(
        &self,
        rule: &Rule,
        target: &RuleTarget,
        delivery: &Delivery,
        failure: &str,
        now: UtcDateTime,
    ) {
        let Some(queue) = &target.dead_letters else {
            self.common.log.note(&format!("rule {}: an event is dropped: {failure}", rule.name));
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
        self.targets.dead_letter(queue, delivery.event.to_string(), attributes, now);
    }
}

fn retry_after(tries: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(tries - 1).min(RETRY_SECONDS_MAX))
}
