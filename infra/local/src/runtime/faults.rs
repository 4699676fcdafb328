//! Faults on demand, as networks, services under load and dying processes cause them.
//!
//! A [`LocalFault`] is set for **calls** (from functions to other services) or for **deliveries** (by
//! the local cloud itself). It applies from the `nth` match since it was set, `times` times.

use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::runtime::calls::RecordedCall;
use crate::runtime::clock;
use crate::runtime::sync::lock;

/// A fault, as `POST /local/faults` takes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LocalFault {
    pub fault: LocalFaultKind,
    /// For calls: `dynamodb`, `events`, `sqs`, `lambda`, `stripe`. None is every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// For calls: the operation, such as `PutItem` or `POST /v1/invoices`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// For calls: the function that makes the call, by any of its names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// For calls of DynamoDB: the table, by the end of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// For deliveries: `event` (to a target), `put-events` (to the bus), `queue`, `stream`,
    /// `schedule`, `webhook`, `invoke` (of a function).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// For deliveries: the detail type, queue, mapping, schedule, type of webhook or function. For
    /// `fail` of `target`: the name of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The first match to which it applies, from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// How often it happens; 0 is until the faults are cleared.
    #[serde(default = "one")]
    pub times: u64,
    /// For `delay`: how long. Calls wait in real time, deliveries by the cloud's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The effect on a call or a delivery.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalFaultKind {
    /// The function is killed before the call is carried out.
    KillBefore,
    /// The function is killed after the call was carried out, before it has the answer.
    KillAfter,
    /// The call is carried out, and the connection closed without an answer.
    LoseAnswer,
    /// The call is not carried out, and the connection closed without an answer.
    LoseCall,
    /// The call is refused as throttled.
    Throttle,
    /// The call is refused with an internal error.
    Error,
    /// The call or delivery waits.
    Delay,
    /// The delivery does not happen.
    Drop,
    /// The delivery happens twice.
    Duplicate,
    /// The delivery is tried, and fails.
    Fail,
}

/// The effect on a delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliveryFault {
    copies: usize,
    delay: Duration,
}

impl DeliveryFault {
    /// How often it is delivered.
    pub(crate) fn copies(self) -> usize {
        self.copies
    }

    /// How much later, by the cloud's clock.
    pub(crate) fn delay(self) -> Duration {
        self.delay
    }
}

/// The effect on a call.
#[derive(Clone, Debug)]
pub(crate) struct CallFault {
    pub(crate) kind: LocalFaultKind,
    pub(crate) delay: Duration,
}

/// The faults that are set.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<Rule>>,
}

#[derive(Debug)]
struct Rule {
    fault: LocalFault,
    delay: Duration,
    seen: u64,
}

fn one() -> u64 {
    1
}

impl Faults {
    /// Sets a fault.
    ///
    /// # Errors
    ///
    /// If the fault is impossible, as text.
    pub(crate) fn set(&self, fault: LocalFault) -> Result<(), String> {
        let of_calls = [&fault.service, &fault.operation, &fault.function, &fault.table]
            .iter()
            .any(|part| part.is_some());
        let of_deliveries = fault.delivery.is_some();
        let fits = match fault.fault {
            LocalFaultKind::KillBefore
            | LocalFaultKind::KillAfter
            | LocalFaultKind::LoseAnswer
            | LocalFaultKind::LoseCall
            | LocalFaultKind::Throttle
            | LocalFaultKind::Error => !of_deliveries,
            LocalFaultKind::Drop | LocalFaultKind::Duplicate | LocalFaultKind::Fail => {
                of_deliveries && !of_calls
            }
            LocalFaultKind::Delay => of_calls != of_deliveries,
        };
        if !fits {
            return Err("this fault needs either a call (service, operation, function, table) or a delivery".to_owned());
        }
        let delay = match (&fault.by, fault.fault) {
            (Some(text), _) => clock::parse_duration(text)
                .ok_or_else(|| format!("{text:?} is no length of time such as 90s or 1h"))?,
            (None, LocalFaultKind::Delay) => {
                return Err("a delay needs `by`, such as 90s or 1h".to_owned());
            }
            (None, _) => Duration::ZERO,
        };
        if fault.nth == 0 {
            return Err("`nth` counts from 1".to_owned());
        }
        lock(&self.rules).push(Rule { fault, delay, seen: 0 });
        Ok(())
    }

    pub(crate) fn clear(&self) {
        lock(&self.rules).clear();
    }

    /// The faults that are set, and how often something matched each.
    pub(crate) fn all(&self) -> Vec<(LocalFault, u64)> {
        lock(&self.rules).iter().map(|rule| (rule.fault.clone(), rule.seen)).collect()
    }

    /// The fault for a call.
    pub(crate) fn call(&self, call: &RecordedCall, names: &[&str]) -> Option<CallFault> {
        self.first(|fault| {
            let is = |wanted: &Option<String>, value: &str| {
                wanted.as_ref().is_none_or(|wanted| wanted == value)
            };
            fault.delivery.is_none()
                && is(&fault.service, &call.service)
                && is(&fault.operation, &call.operation)
                && fault.function.as_ref().is_none_or(|wanted| names.contains(&wanted.as_str()))
                && fault
                    .table
                    .as_ref()
                    .is_none_or(|wanted| call.tables.iter().any(|table| table.ends_with(wanted)))
        })
        .map(|(kind, delay)| CallFault { kind, delay })
    }

    /// How often and how much later something is delivered.
    pub(crate) fn delivery(&self, kind: &str, name: &str) -> DeliveryFault {
        let found = self
            .first(|fault| fault.fault != LocalFaultKind::Fail && is_delivery(fault, kind, name));
        let (copies, delay) = match found {
            Some((LocalFaultKind::Drop, _)) => (0, Duration::ZERO),
            Some((LocalFaultKind::Duplicate, _)) => (2, Duration::ZERO),
            Some((_, delay)) => (1, delay),
            None => (1, Duration::ZERO),
        };
        DeliveryFault { copies, delay }
    }

    /// Whether a delivery fails.
    pub(crate) fn fails(&self, kind: &str, name: &str) -> bool {
        self.first(|fault| fault.fault == LocalFaultKind::Fail && is_delivery(fault, kind, name))
            .is_some()
    }

    /// Counts the match for every fault, and returns the first that applies.
    fn first(&self, matches: impl Fn(&LocalFault) -> bool) -> Option<(LocalFaultKind, Duration)> {
        let mut found = None;
        for rule in lock(&self.rules).iter_mut().filter(|rule| matches(&rule.fault)) {
            rule.seen += 1;
            let last = if rule.fault.times == 0 {
                u64::MAX
            } else {
                rule.fault.nth.saturating_add(rule.fault.times - 1)
            };
            if found.is_none() && (rule.fault.nth..=last).contains(&rule.seen) {
                found = Some((rule.fault.fault, rule.delay));
            }
        }
        found
    }
}

fn is_delivery(fault: &LocalFault, kind: &str, name: &str) -> bool {
    fault.delivery.as_deref() == Some(kind)
        && fault.name.as_ref().is_none_or(|wanted| wanted == name)
}
