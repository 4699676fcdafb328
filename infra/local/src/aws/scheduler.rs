//! EventBridge Scheduler, and rules with a schedule: recurring invocations.
//!
//! Every occurrence runs, in order, however far the clock is moved. There is one exception: a run
//! that only reads an index is skipped while the index has nothing due
//! ([`DueIndex`](crate::template::wiring::DueIndex)), because a month has 43,200 minutes.
//!
//! `rate(…)` counts from the Unix epoch, so that a rate of an hour is the full hour in every local
//! cloud. On AWS it counts from the creation of the schedule.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::UtcDateTime;

use crate::aws::dynamodb::DynamoDb;
use crate::aws::skips::Skips;
use crate::aws::targets::Targets;
use crate::runtime::agenda::Planner;
use crate::runtime::clock;
use crate::runtime::common::Common;
use crate::runtime::names;
use crate::template::wiring::{Schedule, ScheduleKind};

/// One time at which a schedule is due.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Occurrence {
    pub(crate) schedule: String,
    /// A time in RFC 3339.
    pub(crate) at: String,
}

#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(crate) common: Common,
    pub(crate) schedules: Vec<Schedule>,
    pub(crate) targets: Arc<Targets>,
    pub(crate) dynamodb: Arc<DynamoDb>,
    pub(crate) occurrences: Planner<Occurrence>,
    pub(crate) skips: Arc<Skips>,
}

impl Scheduler {
    /// Puts the next occurrence of every schedule on the agenda that has none there.
    pub(crate) fn start(&self, kept: &[String]) {
        for schedule in &self.schedules {
            if !kept.contains(&schedule.name) {
                self.plan(schedule, self.common.clock.now());
            }
        }
    }

    fn plan(&self, schedule: &Schedule, after: UtcDateTime) {
        if let Some(at) = schedule.expression.next(after) {
            let occurrence = Occurrence { schedule: schedule.name.clone(), at: clock::format(at) };
            self.occurrences.at(at, occurrence);
        }
    }

    /// Whether there is a schedule of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.schedules.iter().any(|schedule| schedule.name == name)
    }

    /// Runs one occurrence and plans the next.
    pub(crate) fn fire(&self, occurrence: &Occurrence) {
        let Some(schedule) =
            self.schedules.iter().find(|schedule| schedule.name == occurrence.schedule)
        else {
            return;
        };
        let Some(at) = clock::parse(&occurrence.at) else { return };
        self.plan(schedule, at);
        let fault = self.common.faults.delivery("schedule", &schedule.name);
        if fault.delay().is_zero() && fault.copies() == 1 && self.is_idle(schedule, at) {
            self.skips.add(&self.common.clock);
            return;
        }
        self.note_skipped(schedule);
        let payload = payload(schedule, at).to_string();
        for _ in 0..fault.copies() {
            let when = self.common.clock.now() + fault.delay();
            let trigger = format!("schedule {}", schedule.name);
            self.targets.send(when, &schedule.target, payload.clone(), &trigger, Some(at));
        }
    }

    /// Logs how many runs were skipped before this one. A move of the clock reports its own.
    fn note_skipped(&self, schedule: &Schedule) {
        if schedule.due_index.is_none() {
            return;
        }
        let skipped = self.skips.take_since_run();
        if skipped > 0 {
            let name = &schedule.name;
            self.common.log.note(&format!("schedule {name}: {skipped} runs were skipped"));
        }
    }

    /// Whether a run would find nothing to do.
    fn is_idle(&self, schedule: &Schedule, at: UtcDateTime) -> bool {
        let Some(index) = &schedule.due_index else { return false };
        if self.skips.are_off() {
            return false;
        }
        match self.dynamodb.earliest(index) {
            Ok(earliest) => earliest.is_none_or(|earliest| earliest > at.unix_timestamp()),
            Err(error) => {
                let name = &schedule.name;
                self.common.log.note(&format!("schedule {name} runs, to be safe: {error}"));
                false
            }
        }
    }
}

/// The input of the target. Documented in docs.aws.amazon.com/scheduler, "Adding context
/// attributes", and docs.aws.amazon.com/eventbridge, "Scheduled event".
fn payload(schedule: &Schedule, at: UtcDateTime) -> Value {
    let time = clock::format_seconds(at);
    if let Some(input) = &schedule.input {
        let text = input
            .replace("<aws.scheduler.schedule-arn>", &arn(schedule))
            .replace("<aws.scheduler.scheduled-time>", &time)
            .replace("<aws.scheduler.execution-id>", &names::new_id())
            .replace("<aws.scheduler.attempt-number>", "1");
        // Input that is not JSON goes to the function as a JSON string.
        return serde_json::from_str(&text).unwrap_or(Value::String(text));
    }
    let (source, detail) = match schedule.kind {
        ScheduleKind::Scheduler => ("aws.scheduler", json!("{}")),
        ScheduleKind::Rule => ("aws.events", json!({})),
    };
    json!({
        "version": "0",
        "id": names::new_id(),
        "detail-type": "Scheduled Event",
        "source": source,
        "account": names::ACCOUNT,
        "time": time,
        "region": names::REGION,
        "resources": [arn(schedule)],
        "detail": detail,
    })
}

fn arn(schedule: &Schedule) -> String {
    match schedule.kind {
        ScheduleKind::Scheduler => {
            names::arn("scheduler", &format!("schedule/default/{}", schedule.name))
        }
        ScheduleKind::Rule => names::arn("events", &format!("rule/{}", schedule.name)),
    }
}
