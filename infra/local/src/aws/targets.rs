//! The way from one service to the next: functions, queues and buses as targets.

use std::sync::Arc;

use serde_json::Value;
use time::UtcDateTime;

use crate::aws::message::{AsynchronousInvocation, Event};
use crate::aws::queues::Queues;
use crate::runtime::agenda::Planner;
use crate::template::wiring::Target;

/// Everything that takes a message.
#[derive(Debug)]
pub(crate) struct Targets {
    pub(crate) invocations: Planner<AsynchronousInvocation>,
    pub(crate) events: Planner<Event>,
    pub(crate) queues: Arc<Queues>,
}

impl Targets {
    /// Hands a payload to a target at a time: a function is invoked asynchronously, a queue gets a
    /// message, a bus an event.
    pub(crate) fn send(
        &self,
        when: UtcDateTime,
        target: &Target,
        payload: String,
        trigger: &str,
        scheduled: Option<UtcDateTime>,
    ) {
        match target {
            Target::Function(function) => self
                .invocations
                .at(when, AsynchronousInvocation::new(function, payload, trigger, scheduled, when)),
            Target::Queue(queue) => self.queues.send(queue, payload, Value::Null, when),
            Target::Bus(bus) => {
                let event = serde_json::from_str(&payload).unwrap_or_default();
                self.events.at(when, Event { bus: bus.clone(), event });
            }
        }
    }

    /// Puts a failed payload into a dead-letter queue, with the reason as attributes.
    pub(crate) fn dead_letter(
        &self,
        queue: &str,
        body: String,
        attributes: Value,
        now: UtcDateTime,
    ) {
        self.queues.send(queue, body, attributes, now);
    }
}
