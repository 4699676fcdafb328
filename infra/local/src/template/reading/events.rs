//! Rules, schedules, and the triggers of functions that are neither routes nor functions.

use std::time::Duration;

use serde_json::Value;

use crate::template::document::TemplateError;
use crate::template::expression::Expression;
use crate::template::pattern::Pattern;
use crate::template::reading::properties::Properties;
use crate::template::wiring::{
    AfterFailure, Input, QueueMapping, Rule, RuleTarget, Schedule, ScheduleKind, Start,
    StreamMapping, Target, Wiring,
};

/// EventBridge retries for a day and 185 times by default (docs.aws.amazon.com/eventbridge, "Retry
/// policy").
const RETRIES_MAX: u32 = 185;
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Reads an `AWS::Events::Rule`.
pub(super) fn rule(
    name: String,
    properties: &Properties<'_>,
    wiring: &mut Wiring,
) -> Result<(), TemplateError> {
    properties.only(&[
        "Name",
        "Description",
        "EventBusName",
        "EventPattern",
        "RoleArn",
        "ScheduleExpression",
        "State",
        "Tags",
        "Targets",
    ])?;
    if properties.is_disabled() {
        return Ok(());
    }
    let targets = properties
        .list("Targets")
        .iter()
        .map(|target| listed_target(properties, target))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(expression) = properties.optional_text("ScheduleExpression")? {
        for target in &targets {
            wiring.schedules.push(Schedule {
                name: name.clone(),
                expression: expression_of(properties, expression)?,
                target: target.target.clone(),
                input: constant_input(properties, target)?,
                kind: ScheduleKind::Rule,
                due_index: None,
            });
        }
    }
    if let Some(pattern) = properties.optional("EventPattern") {
        let bus = bus_of(properties)?;
        wiring.rules.push(Rule { name, bus, pattern: pattern_of(properties, pattern)?, targets });
    }
    Ok(())
}

/// A target in the list of a rule.
fn listed_target(properties: &Properties<'_>, target: &Value) -> Result<RuleTarget, TemplateError> {
    let target = Properties::of(&format!("{}.Targets", properties.owner()), target);
    target.only(&[
        "Id",
        "Arn",
        "RoleArn",
        "Input",
        "InputPath",
        "InputTransformer",
        "RetryPolicy",
        "DeadLetterConfig",
    ])?;
    rule_target(target.target("Arn")?, &target)
}

/// The input of a rule with a schedule, which has no event to take it from.
fn constant_input(
    properties: &Properties<'_>,
    target: &RuleTarget,
) -> Result<Option<String>, TemplateError> {
    match &target.input {
        Input::Event => Ok(None),
        Input::Constant(text) => Ok(Some(text.clone())),
        Input::Path(_) | Input::Transformer { .. } => Err(TemplateError(format!(
            "{}: a schedule has a constant input here",
            properties.owner()
        ))),
    }
}

/// Reads an `AWS::Scheduler::Schedule`.
pub(super) fn schedule(
    name: String,
    properties: &Properties<'_>,
    wiring: &mut Wiring,
) -> Result<(), TemplateError> {
    properties.only(&[
        "Name",
        "Description",
        "FlexibleTimeWindow",
        "GroupName",
        "ScheduleExpression",
        "ScheduleExpressionTimezone",
        "State",
        "Target",
    ])?;
    if properties.is_disabled() {
        return Ok(());
    }
    let target = properties.part("Target");
    target.only(&["Arn", "RoleArn", "Input", "RetryPolicy", "DeadLetterConfig"])?;
    let recipient = target.target("Arn")?;
    let input = target.optional_text("Input")?.map(str::to_owned);
    add_schedule(name, properties, recipient, input, wiring)
}

/// A trigger of a function other than a route of an HTTP API.
pub(super) fn trigger(
    kind: &str,
    name: String,
    function: &str,
    properties: &Properties<'_>,
    wiring: &mut Wiring,
) -> Result<(), TemplateError> {
    let target = Target::Function(function.to_owned());
    match kind {
        "Schedule" => rule_schedule_trigger(name, target, properties, wiring)?,
        "ScheduleV2" => scheduler_trigger(name, target, properties, wiring)?,
        "EventBridgeRule" | "CloudWatchEvent" => rule_trigger(name, target, properties, wiring)?,
        "SQS" => {
            if !properties.is_disabled() {
                wiring.queue_mappings.push(queue_mapping(name, function, properties)?);
            }
        }
        "DynamoDB" => {
            if !properties.is_disabled() {
                wiring.stream_mappings.push(stream_mapping(name, function, properties)?);
            }
        }
        unknown => {
            return Err(TemplateError(format!(
                "{}: the local cloud has no trigger {unknown}",
                properties.owner()
            )));
        }
    }
    Ok(())
}

/// `Schedule`: a rule of EventBridge with a schedule.
fn rule_schedule_trigger(
    name: String,
    target: Target,
    properties: &Properties<'_>,
    wiring: &mut Wiring,
) -> Result<(), TemplateError> {
    properties.only(&[
        "Name",
        "Description",
        "Schedule",
        "Input",
        "State",
        "Enabled",
        "RetryPolicy",
        "DeadLetterConfig",
    ])?;
    if properties.is_disabled() {
        return Ok(());
    }
    let expression = expression_of(properties, properties.text("Schedule")?)?;
    let input = properties.optional_text("Input")?.map(str::to_owned);
    wiring.schedules.push(Schedule {
        name,
        expression,
        target,
        input,
        kind: ScheduleKind::Rule,
        due_index: None,
    });
    Ok(())
}

/// `ScheduleV2`: a schedule of EventBridge Scheduler.
fn scheduler_trigger(
    name: String,
    target: Target,
    properties: &Properties<'_>,
    wiring: &mut Wiring,
) -> Result<(), TemplateError> {
    properties.only(&[
        "Name",
        "Description",
        "FlexibleTimeWindow",
        "GroupName",
        "Input",
        "OmitName",
        "PermissionsBoundary",
        "RetryPolicy",
        "RoleArn",
        "DeadLetterConfig",
        "ScheduleExpression",
        "ScheduleExpressionTimezone",
        "State",
    ])?;
    if properties.is_disabled() {
        return Ok(());
    }
    let input = properties.optional_text("Input")?.map(str::to_owned);
    add_schedule(name, properties, target, input, wiring)
}

/// `EventBridgeRule`: a rule with a pattern and this one target.
fn rule_trigger(
    name: String,
    target: Target,
    properties: &Properties<'_>,
    wiring: &mut Wiring,
) -> Result<(), TemplateError> {
    properties.only(&[
        "EventBusName",
        "Pattern",
        "Input",
        "InputPath",
        "InputTransformer",
        "RetryPolicy",
        "DeadLetterConfig",
        "RuleName",
        "State",
        "Enabled",
        "Target",
    ])?;
    if properties.is_disabled() {
        return Ok(());
    }
    let pattern = pattern_of(properties, properties.part("Pattern").value())?;
    let name = properties.optional_text("RuleName")?.map_or(name, str::to_owned);
    let targets = vec![rule_target(target, properties)?];
    wiring.rules.push(Rule { name, bus: bus_of(properties)?, pattern, targets });
    Ok(())
}

fn add_schedule(
    name: String,
    properties: &Properties<'_>,
    target: Target,
    input: Option<String>,
    wiring: &mut Wiring,
) -> Result<(), TemplateError> {
    if properties.optional_text("ScheduleExpressionTimezone")?.is_some_and(|zone| zone != "UTC") {
        return Err(properties.wrong("ScheduleExpressionTimezone", "UTC"));
    }
    let expression = expression_of(properties, properties.text("ScheduleExpression")?)?;
    wiring.schedules.push(Schedule {
        name,
        expression,
        target,
        input,
        kind: ScheduleKind::Scheduler,
        due_index: None,
    });
    Ok(())
}

fn rule_target(target: Target, properties: &Properties<'_>) -> Result<RuleTarget, TemplateError> {
    let transformer = properties.part("InputTransformer");
    let input = if let Some(text) = properties.optional_text("Input")? {
        Input::Constant(text.to_owned())
    } else if let Some(path) = properties.optional_text("InputPath")? {
        Input::Path(path.to_owned())
    } else if transformer.value().is_null() {
        Input::Event
    } else {
        let paths = transformer.part("InputPathsMap");
        let paths =
            paths.all().filter_map(|(name, path)| Some((name.clone(), path.as_str()?.to_owned())));
        Input::Transformer {
            paths: paths.collect(),
            template: transformer.text("InputTemplate")?.to_owned(),
        }
    };
    let retry = properties.part("RetryPolicy");
    let dead_letters = properties.part("DeadLetterConfig");
    if dead_letters.optional("Type").is_some() {
        return Err(TemplateError(format!("{}: name the queue by its Arn", dead_letters.owner())));
    }
    Ok(RuleTarget {
        target,
        input,
        retries: retry.optional_count("MaximumRetryAttempts")?.unwrap_or(RETRIES_MAX),
        age_max: retry.seconds("MaximumEventAgeInSeconds", AGE_MAX.as_secs())?,
        dead_letters: dead_letters
            .optional("Arn")
            .map(|_| dead_letters.queue("Arn"))
            .transpose()?,
    })
}

fn queue_mapping(
    name: String,
    function: &str,
    properties: &Properties<'_>,
) -> Result<QueueMapping, TemplateError> {
    properties.only(&[
        "Queue",
        "BatchSize",
        "Enabled",
        "FilterCriteria",
        "FunctionResponseTypes",
        "MaximumBatchingWindowInSeconds",
        "ScalingConfig",
    ])?;
    Ok(QueueMapping {
        name,
        queue: properties.queue("Queue")?,
        function: function.to_owned(),
        batch_size: properties.size("BatchSize", 10)?.max(1),
        concurrency: properties.part("ScalingConfig").size("MaximumConcurrency", 5)?.max(1),
        reports_failures: reports_failures(properties),
        filters: filters(properties)?,
        partition_index: None,
    })
}

fn stream_mapping(
    name: String,
    function: &str,
    properties: &Properties<'_>,
) -> Result<StreamMapping, TemplateError> {
    properties.only(&[
        "Stream",
        "BatchSize",
        "BisectBatchOnFunctionError",
        "DestinationConfig",
        "Enabled",
        "FilterCriteria",
        "FunctionResponseTypes",
        "MaximumBatchingWindowInSeconds",
        "MaximumRecordAgeInSeconds",
        "MaximumRetryAttempts",
        "ParallelizationFactor",
        "StartingPosition",
    ])?;
    let stream = properties.text("Stream")?;
    let table = stream
        .split('/')
        .nth(1)
        .ok_or_else(|| properties.wrong("Stream", "the ARN of a stream"))?;
    let on_failure = properties.part("DestinationConfig").part("OnFailure");
    Ok(StreamMapping {
        name,
        table: table.to_owned(),
        function: function.to_owned(),
        start: match properties.text("StartingPosition")? {
            "TRIM_HORIZON" => Start::Oldest,
            "LATEST" => Start::Latest,
            _ => return Err(properties.wrong("StartingPosition", "TRIM_HORIZON or LATEST")),
        },
        batch_size: properties.size("BatchSize", 100)?.max(1),
        after_failure: if properties.is_true("BisectBatchOnFunctionError") {
            AfterFailure::Halved
        } else {
            AfterFailure::Again
        },
        reports_failures: reports_failures(properties),
        retries: record_retries(properties)?,
        on_failure: on_failure
            .optional("Destination")
            .map(|_| on_failure.target("Destination"))
            .transpose()?,
        filters: filters(properties)?,
    })
}

/// -1, the default, is "until the records expire".
fn record_retries(properties: &Properties<'_>) -> Result<Option<u32>, TemplateError> {
    match properties.optional("MaximumRetryAttempts").and_then(Value::as_i64) {
        Some(-1) => Ok(None),
        _ => properties.optional_count("MaximumRetryAttempts"),
    }
}

fn reports_failures(properties: &Properties<'_>) -> bool {
    properties.texts("FunctionResponseTypes").iter().any(|kind| kind == "ReportBatchItemFailures")
}

/// `FilterCriteria: {Filters: [{Pattern: '…'}]}`, each pattern in JSON.
fn filters(properties: &Properties<'_>) -> Result<Vec<Pattern>, TemplateError> {
    properties
        .part("FilterCriteria")
        .list("Filters")
        .iter()
        .map(|filter| {
            let text = filter["Pattern"].as_str().unwrap_or_default();
            let pattern: Value = serde_json::from_str(text).map_err(|error| {
                TemplateError(format!("{}: a filter is not JSON: {error}", properties.owner()))
            })?;
            pattern_of(properties, &pattern)
        })
        .collect()
}

fn bus_of(properties: &Properties<'_>) -> Result<String, TemplateError> {
    let name = properties.optional_text("EventBusName")?.unwrap_or("default");
    Ok(Target::of_arn(name).map_or_else(|| name.to_owned(), |target| target.name().to_owned()))
}

fn pattern_of(properties: &Properties<'_>, pattern: &Value) -> Result<Pattern, TemplateError> {
    Pattern::read(pattern)
        .map_err(|error| TemplateError(format!("{}: {error}", properties.owner())))
}

fn expression_of(properties: &Properties<'_>, text: &str) -> Result<Expression, TemplateError> {
    Expression::read(text)
        .map_err(|error| TemplateError(format!("{}: {error}", properties.owner())))
}
