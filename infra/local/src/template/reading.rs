//! Reads the wiring from the template.
//!
//! A property that changes behavior and is not known here is refused when the cloud starts, with
//! the resource and the property. A local cloud that silently leaves something out teaches the
//! wrong thing. Resources that mean nothing on one machine (roles, alarms, log groups) are left
//! out.

mod events;
mod function;
mod http_api;
mod properties;

use serde_json::json;

use crate::template::document::TemplateError;
use crate::template::resolve::Resolver;
use crate::template::wiring::{Queue, Table, Target, Wiring};

use properties::Properties;

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
    /// If a parameter has no value, or the template has a feature that the local cloud would run
    /// differently from AWS. The message names the resource and the feature.
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

    /// Every target, stream and bus that is named exists.
    fn check(&self) -> Result<(), TemplateError> {
        if let Some(target) = self.named_targets().find(|target| !self.has(target)) {
            return Err(TemplateError(format!(
                "the template has no {target:?}, which something in it names"
            )));
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

    /// The targets that functions, rules, schedules, queues and mappings name.
    fn named_targets(&self) -> impl Iterator<Item = Target> {
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
        functions
            .chain(rules)
            .chain(schedules)
            .chain(queues)
            .chain(mappings)
            .chain(streams)
            .flatten()
    }

    fn has(&self, target: &Target) -> bool {
        match target {
            Target::Function(name) => self.functions.iter().any(|function| function.name == *name),
            Target::Queue(name) => self.queues.iter().any(|queue| queue.name == *name),
            Target::Bus(name) => self.buses.contains(name),
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
                expires = value["AttributeName"].as_str().map(str::to_owned);
            }
            // Properties for protection and billing of a deployed table have no effect here. Only
            // --fresh deletes a table here.
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
