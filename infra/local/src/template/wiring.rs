//! What is connected with what: the template in the local cloud's own types.
//!
//! Whatever changes behaviour and is not known here is refused when the cloud starts, with the
//! resource and the property: a local cloud that silently leaves something out teaches the wrong
//! thing. Resources that mean nothing on one machine (roles, alarms, log groups) are left out.

mod events;
mod function;
mod http_api;
mod properties;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::template::expression::Expression;
use crate::template::pattern::Pattern;
use crate::template::{Resolver, TemplateError};

pub use http_api::{Cors, HttpApi, JwtAuthorizer, Route, RouteAuthorizer, Throttling};
use properties::Properties;

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
    /// Queues.
    pub queues: Vec<Queue>,
    /// Queues that invoke functions.
    pub queue_mappings: Vec<QueueMapping>,
    /// Streams that invoke functions.
    pub stream_mappings: Vec<StreamMapping>,
    /// Tables, as requests to create them.
    pub tables: Vec<Table>,
}

/// A function.
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
    /// Memory in MB. Only told to the function, not enforced.
    pub memory_mb: u64,
    /// How many invocations may run at once.
    pub reserved_concurrency: Option<usize>,
    /// What happens to asynchronous invocations that fail.
    pub asynchronous: Asynchronous,
}

/// What happens to asynchronous invocations that fail, or succeed.
#[derive(Clone, Debug)]
pub struct Asynchronous {
    /// How often one is tried again, at most two.
    pub retries: u32,
    /// How old one may become, by the cloud's clock.
    pub age_max: Duration,
    /// Who is told of one that has failed for good.
    pub on_failure: Option<Target>,
    /// Who is told of one that succeeded.
    pub on_success: Option<Target>,
    /// The older form of `on_failure`: the payload itself goes to this queue.
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
    /// Its name.
    pub name: String,
    /// The bus it listens to.
    pub bus: String,
    /// What it listens for.
    pub pattern: Pattern,
    /// Who gets what matches.
    pub targets: Vec<RuleTarget>,
}

/// One target of a rule.
#[derive(Clone, Debug)]
pub struct RuleTarget {
    /// Who gets the event.
    pub target: Target,
    /// What it gets of the event.
    pub input: Input,
    /// How often a delivery that fails is tried again.
    pub retries: u32,
    /// How long a delivery that fails is tried, by the cloud's clock.
    pub age_max: Duration,
    /// The queue for what could not be delivered.
    pub dead_letters: Option<String>,
}

/// What of an event a target gets.
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
        /// Names and the paths they stand for.
        paths: BTreeMap<String, String>,
        /// The text, with the names in `<…>`.
        template: String,
    },
}

/// Something that happens again and again.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// When it happens.
    pub expression: Expression,
    /// Who is invoked.
    pub target: Target,
    /// With what, `<aws.scheduler.…>` replaced; None is the default event.
    pub input: Option<String>,
    /// Which of the two services it belongs to.
    pub kind: ScheduleKind,
}

/// Which service runs a schedule: their default events differ.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ScheduleKind {
    /// EventBridge Scheduler (`ScheduleV2`).
    Scheduler,
    /// A rule with a schedule (`Schedule`).
    Rule,
}

/// A queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Its name.
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
    /// The queue.
    pub queue: String,
    /// The function, by name.
    pub function: String,
    /// How many messages one invocation gets at most.
    pub batch_size: usize,
    /// How many invocations there are at once.
    pub concurrency: usize,
    /// Whether the function says which messages failed.
    pub reports_failures: bool,
    /// Messages that match none of these are deleted unseen; empty is all.
    pub filters: Vec<Pattern>,
}

/// A table's stream that invokes a function.
#[derive(Clone, Debug)]
pub struct StreamMapping {
    /// Its name, for faults, reports and its place in the stream.
    pub name: String,
    /// The table.
    pub table: String,
    /// The function, by name.
    pub function: String,
    /// Whether it begins at the oldest record there is.
    pub start: Start,
    /// How many records one invocation gets at most.
    pub batch_size: usize,
    /// What happens to a batch that failed.
    pub after_failure: AfterFailure,
    /// Whether the function says where it failed.
    pub reports_failures: bool,
    /// How often a batch that failed is tried again; None is until its records expire.
    pub retries: Option<u32>,
    /// Where a batch goes that is given up.
    pub on_failure: Option<Target>,
    /// Records that match none of these are skipped; empty is all.
    pub filters: Vec<Pattern>,
}

/// What happens to a batch of a stream that failed.
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
    /// With what comes next.
    Latest,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The `CreateTable` request.
    pub request: Value,
    /// The attribute by which items expire.
    pub expires: Option<String>,
}

/// Resources that mean nothing on one machine, by the beginning of their type.
const WITHOUT_MEANING: [&str; 20] = [
    "AWS::ApplicationInsights::",
    "AWS::Budgets::",
    "AWS::CloudFront::",
    "AWS::CloudWatch::",
    "AWS::Events::Archive",
    "AWS::Events::EventBusPolicy",
    "AWS::IAM::",
    "AWS::KMS::",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::Logs::",
    "AWS::Route53::",
    "AWS::S3::",
    "AWS::SNS::",
    "AWS::SQS::QueuePolicy",
    "AWS::SSM::",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::SecretsManager::",
    "AWS::CloudFormation::",
    "AWS::StepFunctions::",
];

const UNDERSTOOD: [&str; 7] = [
    "AWS::DynamoDB::Table",
    "AWS::Events::EventBus",
    "AWS::Events::Rule",
    "AWS::SQS::Queue",
    "AWS::Scheduler::Schedule",
    "AWS::Serverless::Function",
    "AWS::Serverless::HttpApi",
];

impl Wiring {
    /// Reads everything the template connects.
    ///
    /// # Errors
    ///
    /// If a parameter has no value, or the template has something that the local cloud would do
    /// differently from AWS: the message names the resource and what it is.
    pub fn read(resolver: &Resolver<'_>) -> Result<Self, TemplateError> {
        resolver.check_parameters()?;
        for (logical_id, kind) in resolver.types() {
            let known = UNDERSTOOD.contains(&kind)
                || WITHOUT_MEANING.iter().any(|prefix| kind.starts_with(prefix));
            if !known {
                return Err(TemplateError(format!("{logical_id}: the local cloud has no {kind}")));
            }
        }
        let mut wiring = Self { buses: vec!["default".to_owned()], ..Self::default() };
        for (logical_id, _) in resolver.resources("AWS::Events::EventBus") {
            wiring.buses.push(resolver.name(&logical_id, "Name"));
        }
        for (logical_id, properties) in resolver.resources("AWS::SQS::Queue") {
            let name = resolver.name(&logical_id, "QueueName");
            wiring.queues.push(queue(name, &Properties::of(&logical_id, &properties))?);
        }
        for (logical_id, properties) in resolver.resources("AWS::DynamoDB::Table") {
            let name = resolver.name(&logical_id, "TableName");
            wiring.tables.push(table(name, &Properties::of(&logical_id, &properties))?);
        }
        http_api::read(resolver, &mut wiring)?;
        function::read(resolver, &mut wiring)?;
        for (logical_id, properties) in resolver.resources("AWS::Events::Rule") {
            let name = resolver.name(&logical_id, "Name");
            events::rule(name, &Properties::of(&logical_id, &properties), &mut wiring)?;
        }
        for (logical_id, properties) in resolver.resources("AWS::Scheduler::Schedule") {
            let name = resolver.name(&logical_id, "Name");
            events::schedule(name, &Properties::of(&logical_id, &properties), &mut wiring)?;
        }
        wiring.check()?;
        Ok(wiring)
    }

    /// Every target exists.
    fn check(&self) -> Result<(), TemplateError> {
        let functions = self.functions.iter().flat_map(|function| {
            let asynchronous = &function.asynchronous;
            let dead_letters = asynchronous.dead_letters.clone().map(Target::Queue);
            [asynchronous.on_failure.clone(), asynchronous.on_success.clone(), dead_letters]
        });
        let rules = self.rules.iter().flat_map(|rule| &rule.targets).flat_map(|target| {
            [Some(target.target.clone()), target.dead_letters.clone().map(Target::Queue)]
        });
        let schedules = self.schedules.iter().map(|schedule| Some(schedule.target.clone()));
        let queues = self
            .queues
            .iter()
            .map(|queue| queue.redrive.clone().map(|(name, _)| Target::Queue(name)));
        let mappings =
            self.queue_mappings.iter().map(|mapping| Some(Target::Queue(mapping.queue.clone())));
        let streams = self.stream_mappings.iter().map(|mapping| mapping.on_failure.clone());
        for target in functions
            .chain(rules)
            .chain(schedules)
            .chain(queues)
            .chain(mappings)
            .chain(streams)
            .flatten()
        {
            let known = match &target {
                Target::Function(name) => {
                    self.functions.iter().any(|function| function.name == *name)
                }
                Target::Queue(name) => self.queues.iter().any(|queue| queue.name == *name),
                Target::Bus(name) => self.buses.contains(name),
            };
            if !known {
                return Err(TemplateError(format!(
                    "the template has no {target:?}, which something in it names"
                )));
            }
        }
        for mapping in &self.stream_mappings {
            let has_stream = |table: &Table| {
                table.name == mapping.table && !table.request["StreamSpecification"].is_null()
            };
            if !self.tables.iter().any(has_stream) {
                return Err(TemplateError(format!(
                    "{}: table {} has no stream",
                    mapping.name, mapping.table
                )));
            }
        }
        if let Some(rule) = self.rules.iter().find(|rule| !self.buses.contains(&rule.bus)) {
            return Err(TemplateError(format!(
                "rule {} is on the bus {}, which there is not",
                rule.name, rule.bus
            )));
        }
        Ok(())
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

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Function(name) | Self::Queue(name) | Self::Bus(name) => name,
        }
    }

    /// Its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        match self {
            Self::Function(name) => crate::runtime::names::function_arn(name),
            Self::Queue(name) => crate::runtime::names::arn("sqs", name),
            Self::Bus(name) => crate::runtime::names::arn("events", &format!("event-bus/{name}")),
        }
    }
}

fn queue(name: String, properties: &Properties<'_>) -> Result<Queue, TemplateError> {
    properties.only(&[
        "QueueName",
        "VisibilityTimeout",
        "DelaySeconds",
        "MessageRetentionPeriod",
        "RedrivePolicy",
        "RedriveAllowPolicy",
        "SqsManagedSseEnabled",
        "KmsMasterKeyId",
        "KmsDataKeyReusePeriodSeconds",
        "MaximumMessageSize",
        "ReceiveMessageWaitTimeSeconds",
        "Tags",
    ])?;
    let redrive = match properties.optional("RedrivePolicy") {
        None => None,
        Some(policy) => {
            let policy = Properties::of(properties.owner(), policy);
            let target = policy.target("deadLetterTargetArn")?;
            Some((target.name().to_owned(), policy.count("maxReceiveCount")?))
        }
    };
    Ok(Queue {
        name,
        visibility: properties.seconds("VisibilityTimeout", 30)?,
        delay: properties.seconds("DelaySeconds", 0)?,
        retention: properties.seconds("MessageRetentionPeriod", 345_600)?,
        redrive,
    })
}

fn table(name: String, properties: &Properties<'_>) -> Result<Table, TemplateError> {
    let mut request = json!({"TableName": name});
    let mut expires = None;
    for (property, value) in properties.all() {
        match property.as_str() {
            "AttributeDefinitions" | "BillingMode" | "GlobalSecondaryIndexes" | "KeySchema" => {
                request[property] = value.clone();
            }
            "StreamSpecification" => {
                request[property] =
                    json!({"StreamEnabled": true, "StreamViewType": value["StreamViewType"]});
            }
            "TimeToLiveSpecification" => {
                expires = value["AttributeName"].as_str().map(str::to_owned)
            }
            // What protects and pays for a deployed table means nothing here. Nor can a table be
            // deleted here, but by --fresh.
            "TableName"
            | "DeletionProtectionEnabled"
            | "PointInTimeRecoverySpecification"
            | "ResourcePolicy"
            | "SSESpecification"
            | "ContributorInsightsSpecification"
            | "OnDemandThroughput"
            | "WarmThroughput"
            | "TableClass"
            | "Tags" => {}
            unknown => return Err(properties.unknown(unknown)),
        }
    }
    Ok(Table { name, request, expires })
}
