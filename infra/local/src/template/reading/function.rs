//! Functions: `AWS::Serverless::Function` with the template's `Globals`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::template::document::TemplateError;
use crate::template::reading::properties::Properties;
use crate::template::reading::{events, http_api};
use crate::template::resolve::Resolver;
use crate::template::wiring::{
    Asynchronous, DueIndex, Function, PartitionIndex, Table, Target, Wiring,
};

/// Properties that mean something only to a deployment, or only to AWS's own machines.
const WITHOUT_MEANING: [&str; 20] = [
    "Architectures",
    "AutoPublishAlias",
    "CodeUri",
    "DeploymentPreference",
    "Description",
    "EphemeralStorage",
    "FunctionName",
    "Handler",
    "KmsKeyArn",
    "Layers",
    "LoggingConfig",
    "PackageType",
    "PermissionsBoundary",
    "Policies",
    "PropagateTags",
    "RecursiveLoop",
    "Role",
    "Runtime",
    "Tags",
    "Tracing",
];

const UNDERSTOOD: [&str; 7] = [
    "DeadLetterQueue",
    "Environment",
    "EventInvokeConfig",
    "Events",
    "MemorySize",
    "ReservedConcurrentExecutions",
    "Timeout",
];

/// By default asynchronous invocations are retried twice and kept for six hours
/// (docs.aws.amazon.com/lambda, "Asynchronous invocation").
const RETRIES: u32 = 2;
const AGE_MAX_SECONDS: u64 = 6 * 3600;

/// Reads every function and its triggers.
pub(super) fn read(resolver: &Resolver<'_>, wiring: &mut Wiring) -> Result<(), TemplateError> {
    let globals = resolver.section(&["Globals", "Function"]);
    for (logical_id, properties) in resolver.resources("AWS::Serverless::Function") {
        let merged = merge(&globals, &properties);
        let name = resolver.name(&logical_id, "FunctionName");
        let metadata = resolver.section(&["Resources", &logical_id, "Metadata"]);
        let properties = Properties::of(&logical_id, &merged);
        let own_schedules = wiring.schedules.len();
        let own_queues = wiring.queue_mappings.len();
        wiring.functions.push(function(&logical_id, name.clone(), &metadata, &properties)?);
        for (event, trigger) in properties.part("Events").all() {
            let kind = trigger["Type"].as_str().unwrap_or_default();
            let trigger_name = format!("{logical_id}{event}");
            let properties =
                Properties::of(&format!("{logical_id}.{event}"), &trigger["Properties"]);
            if kind == "HttpApi" {
                http_api::route(resolver, &name, &properties, wiring)?;
            } else {
                events::trigger(kind, trigger_name, &name, &properties, wiring)?;
            }
        }
        if let Some(due_index) = due_index(&logical_id, &metadata, &wiring.tables)? {
            for schedule in wiring.schedules.iter_mut().skip(own_schedules) {
                schedule.due_index = Some(due_index.clone());
            }
        }
        if let Some(index) = partition_index(&logical_id, &metadata, &wiring.tables)? {
            for mapping in wiring.queue_mappings.iter_mut().skip(own_queues) {
                mapping.partition_index = Some(index.clone());
            }
        }
    }
    Ok(())
}

fn function(
    logical_id: &str,
    name: String,
    metadata: &Value,
    properties: &Properties<'_>,
) -> Result<Function, TemplateError> {
    if let Some((unknown, _)) = properties.all().find(|(property, _)| {
        !UNDERSTOOD.contains(&property.as_str()) && !WITHOUT_MEANING.contains(&property.as_str())
    }) {
        return Err(properties.unknown(unknown));
    }
    let mut environment = BTreeMap::new();
    for (variable, value) in properties.part("Environment").part("Variables").all() {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err(TemplateError(format!(
                    "{logical_id}: the variable {variable} is {value}: not known here"
                )));
            }
        };
        environment.insert(variable.clone(), text);
    }
    Ok(Function {
        logical_id: logical_id.to_owned(),
        name,
        binary: binary(metadata, properties)?,
        environment,
        timeout: properties.seconds("Timeout", 3)?,
        memory_mb: properties.number("MemorySize")?.unwrap_or(128),
        reserved_concurrency: properties
            .optional("ReservedConcurrentExecutions")
            .map(|_| properties.size("ReservedConcurrentExecutions", 0))
            .transpose()?,
        asynchronous: asynchronous(properties)?,
    })
}

/// The binary that `sam build` would build: the one in the metadata, or else the one with the name
/// of the code's directory.
fn binary(metadata: &Value, properties: &Properties<'_>) -> Result<String, TemplateError> {
    if let Some(binary) = metadata["BuildProperties"]["Binary"].as_str() {
        return Ok(binary.to_owned());
    }
    let code = properties.text("CodeUri")?;
    let directory = code.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if directory.is_empty() || directory.starts_with('.') {
        return Err(TemplateError(format!(
            "{}: neither Metadata.BuildProperties.Binary nor CodeUri says which binary it is",
            properties.owner()
        )));
    }
    Ok(directory.to_owned())
}

/// `Metadata: {LocalCloud: {DueIndex: {Table: …, Index: …}}}`: scheduled runs of the function only
/// process due items of this index. AWS does not read it.
fn due_index(
    logical_id: &str,
    metadata: &Value,
    tables: &[Table],
) -> Result<Option<DueIndex>, TemplateError> {
    let metadata = Properties::of(&format!("{logical_id}.Metadata"), metadata);
    let named = metadata.part("LocalCloud").part("DueIndex");
    if named.value().is_null() {
        return Ok(None);
    }
    named.only(&["Table", "Index"])?;
    let table = table(&named, tables)?;
    let index = named.text("Index")?;
    let attribute = table
        .sort_key(index)
        .ok_or_else(|| named.wrong("Index", "an index of the table with a sort key"))?;
    Ok(Some(DueIndex {
        table: table.name.clone(),
        index: index.to_owned(),
        attribute: attribute.to_owned(),
    }))
}

/// `Metadata: {LocalCloud: {PartitionIndex: {Table: …, Index: …, Path: …}}}`: a message of the
/// function's queue names a partition of this index and concerns only its items.
fn partition_index(
    logical_id: &str,
    metadata: &Value,
    tables: &[Table],
) -> Result<Option<PartitionIndex>, TemplateError> {
    let metadata = Properties::of(&format!("{logical_id}.Metadata"), metadata);
    let named = metadata.part("LocalCloud").part("PartitionIndex");
    if named.value().is_null() {
        return Ok(None);
    }
    named.only(&["Table", "Index", "Path"])?;
    let index = named.text("Index")?;
    let table = table(&named, tables)?;
    let attribute =
        table.partition_key(index).ok_or_else(|| named.wrong("Index", "an index of the table"))?;
    Ok(Some(PartitionIndex {
        table: table.name.clone(),
        index: index.to_owned(),
        attribute: attribute.to_owned(),
        path: named.text("Path")?.to_owned(),
    }))
}

fn table<'a>(named: &Properties<'_>, tables: &'a [Table]) -> Result<&'a Table, TemplateError> {
    let name = named.text("Table")?;
    tables
        .iter()
        .find(|table| table.name == name)
        .ok_or_else(|| named.wrong("Table", "a table of the template"))
}

fn asynchronous(properties: &Properties<'_>) -> Result<Asynchronous, TemplateError> {
    let config = properties.part("EventInvokeConfig");
    config.only(&["MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"])?;
    let destination = |name: &str| -> Result<Option<Target>, TemplateError> {
        let destination = config.part("DestinationConfig").part(name);
        if destination.value().is_null() {
            return Ok(None);
        }
        // Without a destination SAM makes a queue of its own, which has no name here.
        destination.target("Destination").map(Some)
    };
    let dead_letters = properties.part("DeadLetterQueue");
    Ok(Asynchronous {
        retries: config.optional_count("MaximumRetryAttempts")?.unwrap_or(RETRIES),
        age_max: config.seconds("MaximumEventAgeInSeconds", AGE_MAX_SECONDS)?,
        on_failure: destination("OnFailure")?,
        on_success: destination("OnSuccess")?,
        dead_letters: dead_letters
            .optional("TargetArn")
            .map(|_| dead_letters.queue("TargetArn"))
            .transpose()?,
    })
}

/// A function's own properties win; maps are merged and lists are joined, the global ones first
/// (docs.aws.amazon.com/serverless-application-model, "Globals section").
fn merge(globals: &Value, own: &Value) -> Value {
    match (globals, own) {
        (Value::Object(globals), Value::Object(own)) => {
            let mut merged = globals.clone();
            for (key, value) in own {
                let value =
                    globals.get(key).map_or_else(|| value.clone(), |global| merge(global, value));
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(globals), Value::Array(own)) => globals.iter().chain(own).cloned().collect(),
        (globals, Value::Null) => globals.clone(),
        (_, own) => own.clone(),
    }
}
