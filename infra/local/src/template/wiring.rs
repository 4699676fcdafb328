//! The wiring: everything the template connects, in the local cloud's own types.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::template::expression::Expression;
pub use crate::template::http_api::{
    Cors, HttpApi, JwtAuthorizer, Route, RouteAuthorizer, Throttling,
};
use crate::template::pattern::Pattern;

/// Everything the template connects.
#[derive(Clone, Debug, Default)]
pub struct Wiring {
    /// The functions, by logical id.
    pub functions: Vec<Function>,
    /// The HTTP API, if there is one.
    pub api: Option<HttpApi>,
    /// Names of the event buses, the default one included.
    pub buses: Vec<String>,
    /// Rules on buses, each with its pattern.
    pub rules: Vec<Rule>,
    /// Schedules of EventBridge Scheduler and of rules.
    pub schedules: Vec<Schedule>,
    pub queues: Vec<Queue>,
    /// Queues that invoke functions.
    pub queue_mappings: Vec<QueueMapping>,
    /// Streams that invoke functions.
    pub stream_mappings: Vec<StreamMapping>,
    /// Tables, as requests to create them.
    pub tables: Vec<Table>,
}

#[derive(Clone, Debug)]
pub struct Function {
    /// Its id in the template.
    pub logical_id: String,
    /// Its name, which is part of its ARN.
    pub name: String,
    /// The binary that is run, also its short name in logs, reports and faults.
    pub binary: String,
    /// The template's environment variables.
    pub environment: BTreeMap<String, String>,
    /// How long an invocation may take, in real time.
    pub timeout: Duration,
    /// Memory in MB. Passed to the function, not enforced.
    pub memory_mb: u64,
    /// How many invocations may run at once.
    pub reserved_concurrency: Option<usize>,
    /// The handling of failed asynchronous invocations.
    pub asynchronous: Asynchronous,
}

/// The handling of failed and successful asynchronous invocations.
#[derive(Clone, Debug)]
pub struct Asynchronous {
    /// How often one is tried again, at most two.
    pub retries: u32,
    /// How old one may become, by the cloud's clock.
    pub age_max: Duration,
    /// The destination of invocations whose retries are used up.
    pub on_failure: Option<Target>,
    /// The destination of invocations that succeeded.
    pub on_success: Option<Target>,
    /// The older form of `on_failure`. The payload itself goes to this queue.
    pub dead_letters: Option<String>,
}

/// Something that takes a message.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Target {
    /// A function, by name.
    Function(String),
    /// A queue, by name.
    Queue(String),
    /// An event bus, by name.
    Bus(String),
}

/// A rule on a bus.
#[derive(Clone, Debug)]
pub struct Rule {
    pub name: String,
    /// The bus it listens to.
    pub bus: String,
    /// The events that it matches.
    pub pattern: Pattern,
    /// The targets of a matching event.
    pub targets: Vec<RuleTarget>,
}

/// One target of a rule.
#[derive(Clone, Debug)]
pub struct RuleTarget {
    pub target: Target,
    /// The part of the event that it gets.
    pub input: Input,
    /// How often a delivery that fails is tried again.
    pub retries: u32,
    /// How long a delivery that fails is tried, by the cloud's clock.
    pub age_max: Duration,
    /// The queue for undeliverable events.
    pub dead_letters: Option<String>,
}

/// The part of an event that a target gets.
#[derive(Clone, Debug)]
pub enum Input {
    /// All of it.
    Event,
    /// Always the same text.
    Constant(String),
    /// The part at this path.
    Path(String),
    /// A text with parts of the event in it.
    Transformer {
        /// Names and their paths.
        paths: BTreeMap<String, String>,
        /// The text, with the names in `<…>`.
        template: String,
    },
}

/// Something that happens again and again.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub name: String,
    pub expression: Expression,
    /// The target of each run.
    pub target: Target,
    /// The input, with `<aws.scheduler.…>` replaced. `None` for the default event.
    pub input: Option<String>,
    /// Which of the two services it belongs to.
    pub kind: ScheduleKind,
    /// The index that its runs process. While it has nothing due, a run does nothing.
    pub due_index: Option<DueIndex>,
}

/// An index by which a function finds its work, partition by partition.
#[derive(Clone, Debug)]
pub struct PartitionIndex {
    pub table: String,
    pub index: String,
    /// Its partition key, a text.
    pub attribute: String,
    /// Where a message names its partition, such as `detail.shard`.
    pub path: String,
}

/// An index of things that are due at a time.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct DueIndex {
    pub table: String,
    /// The index. Its sort key is the time.
    pub index: String,
    /// The sort key: a number, in Unix seconds.
    pub attribute: String,
}

/// Which service runs a schedule: their default events differ.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ScheduleKind {
    /// EventBridge Scheduler (`ScheduleV2`).
    Scheduler,
    /// A rule with a schedule (`Schedule`).
    Rule,
}

#[derive(Clone, Debug)]
pub struct Queue {
    pub name: String,
    /// How long a received message is hidden.
    pub visibility: Duration,
    /// How long a message waits before it can be received.
    pub delay: Duration,
    /// How long a message is kept.
    pub retention: Duration,
    /// Where messages go that were received too often, and how often that is.
    pub redrive: Option<(String, u32)>,
}

/// A queue that invokes a function.
#[derive(Clone, Debug)]
pub struct QueueMapping {
    /// Its name, for faults and reports.
    pub name: String,
    pub queue: String,
    /// The function, by name.
    pub function: String,
    /// How many messages one invocation gets at most.
    pub batch_size: usize,
    /// How many invocations there are at once.
    pub concurrency: usize,
    /// Whether the function reports failed messages.
    pub reports_failures: bool,
    /// Messages that match none of these are deleted unseen; empty is all.
    pub filters: Vec<Pattern>,
    /// The index in which messages name a partition. A message does nothing while that is empty.
    pub partition_index: Option<PartitionIndex>,
}

/// A table's stream that invokes a function.
#[derive(Clone, Debug)]
pub struct StreamMapping {
    /// Its name, for faults, reports and its place in the stream.
    pub name: String,
    pub table: String,
    /// The function, by name.
    pub function: String,
    /// Whether it begins at the oldest record there is.
    pub start: Start,
    /// How many records one invocation gets at most.
    pub batch_size: usize,
    /// The handling of a failed batch.
    pub after_failure: AfterFailure,
    /// Whether the function reports the failed record.
    pub reports_failures: bool,
    /// How often a batch that failed is tried again; None is until its records expire.
    pub retries: Option<u32>,
    /// The destination of a batch that is given up.
    pub on_failure: Option<Target>,
    /// Records that match none of these are skipped; empty is all.
    pub filters: Vec<Pattern>,
}

/// The handling of a failed batch of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AfterFailure {
    /// It is tried again.
    Again,
    /// Its halves are tried.
    Halved,
}

/// Where a new stream mapping begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// At the oldest record.
    Oldest,
    /// At the next new record.
    Latest,
}

#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    /// The `CreateTable` request.
    pub request: Value,
    /// The attribute by which items expire.
    pub expires: Option<String>,
}

impl Wiring {
    /// A function by any of its names: binary, function name or logical id.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.is_named(name))
    }
}

impl Table {
    /// The sort key of an index, if there is such an index and it has one.
    pub(super) fn sort_key(&self, index: &str) -> Option<&str> {
        self.key(index, "RANGE")
    }

    /// The partition key of an index, if there is such an index.
    pub(super) fn partition_key(&self, index: &str) -> Option<&str> {
        self.key(index, "HASH")
    }

    fn key(&self, index: &str, kind: &str) -> Option<&str> {
        let mut indexes = self.request["GlobalSecondaryIndexes"].as_array()?.iter();
        let index = indexes.find(|own| own["IndexName"] == index)?;
        let mut keys = index["KeySchema"].as_array()?.iter();
        keys.find(|key| key["KeyType"] == kind)?["AttributeName"].as_str()
    }
}

impl Function {
    /// Whether `name` is its binary, its name or its logical id.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        [&self.binary, &self.name, &self.logical_id].iter().any(|own| *own == name)
    }
}

impl Target {
    /// The target with this ARN, if it is of a kind the local cloud has.
    #[must_use]
    pub fn of_arn(arn: &str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':').skip(2);
        let service = parts.next()?;
        let rest = parts.nth(2)?;
        match service {
            "lambda" => rest.strip_prefix("function:").map(|name| Self::Function(name.to_owned())),
            "sqs" => Some(Self::Queue(rest.to_owned())),
            "events" => rest.strip_prefix("event-bus/").map(|name| Self::Bus(name.to_owned())),
            _ => None,
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Function(name) | Self::Queue(name) | Self::Bus(name) => name,
        }
    }

    #[must_use]
    pub fn arn(&self) -> String {
        match self {
            Self::Function(name) => crate::runtime::names::function_arn(name),
            Self::Queue(name) => crate::runtime::names::arn("sqs", name),
            Self::Bus(name) => crate::runtime::names::arn("events", &format!("event-bus/{name}")),
        }
    }
}
