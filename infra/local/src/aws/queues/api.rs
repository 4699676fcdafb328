//! SQS's own operations, in AWS JSON.

use std::time::Duration;

use serde_json::{Value, json};
use time::UtcDateTime;

use crate::aws::aws_json::{Failure, Failures};
use crate::aws::queues::{Message, Messages, Queues, md5_of, milliseconds, time_of};
use crate::runtime::names;
use crate::runtime::sync::lock;

/// The limit of a message, or of a batch of messages (docs.aws.amazon.com/sqs, "Message quotas").
const SIZE_MAX_BYTES: usize = 1024 * 1024;

const BATCH_MAX: usize = 10;

/// Executes an operation.
///
/// # Errors
///
/// Requests that SQS refuses, and operations that are not imitated.
pub(crate) fn handle(queues: &Queues, operation: &str, request: &Value) -> Result<Value, Failure> {
    if operation == "GetQueueUrl" {
        let queue = named(queues, request["QueueName"].as_str().unwrap_or_default())?;
        return Ok(json!({"QueueUrl": url(queues, &queue.queue.name)}));
    }
    if operation == "ListQueues" {
        let prefix = request["QueueNamePrefix"].as_str().unwrap_or_default();
        let names = queues.queues.keys().filter(|name| name.starts_with(prefix));
        return Ok(json!({"QueueUrls": names.map(|name| url(queues, name)).collect::<Vec<_>>()}));
    }
    let address = request["QueueUrl"].as_str().unwrap_or_default();
    let queue = named(queues, address.rsplit('/').next().unwrap_or_default())?;
    match operation {
        "SendMessage" => send_message(queues, queue, request),
        "SendMessageBatch" => batch(request, |entry| send_message(queues, queue, entry)),
        "ReceiveMessage" => receive_message(queues, queue, request),
        "DeleteMessage" => delete_message(queues, queue, request),
        "DeleteMessageBatch" => batch(request, |entry| delete_message(queues, queue, entry)),
        "ChangeMessageVisibility" => change_visibility(queues, queue, request),
        "ChangeMessageVisibilityBatch" => {
            batch(request, |entry| change_visibility(queues, queue, entry))
        }
        "GetQueueAttributes" => Ok(attributes(queues, queue)),
        "PurgeQueue" => {
            lock(&queue.messages).clear();
            Ok(json!({}))
        }
        _ => Err(Failures::QUEUES.unknown_operation(operation)),
    }
}

fn url(queues: &Queues, name: &str) -> String {
    format!("{}/{name}", queues.url)
}

fn named<'a>(queues: &'a Queues, name: &str) -> Result<&'a Messages, Failure> {
    queues.queues.get(name).ok_or_else(|| {
        Failures::QUEUES
            .named("QueueDoesNotExist", "The specified queue does not exist.")
            .query_error("AWS.SimpleQueueService.NonExistentQueue;Sender")
    })
}

fn missing(name: &str) -> Failure {
    Failures::QUEUES
        .named("MissingParameter", &format!("The request must contain the parameter {name}."))
}

fn invalid(message: &str) -> Failure {
    Failures::QUEUES
        .named("InvalidParameterValue", message)
        .query_error("InvalidParameterValue;Sender")
}

fn text<'a>(request: &'a Value, name: &str) -> Result<&'a str, Failure> {
    request[name].as_str().ok_or_else(|| missing(name))
}

/// A whole number between 0 and `max`, if there is one.
fn number(request: &Value, name: &str, max: u64) -> Result<Option<u64>, Failure> {
    let Some(value) = request.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
    let number = value.as_u64().filter(|number| *number <= max);
    let message = || {
        format!(
            "Value {value} for parameter {name} is invalid. Reason: Must be between 0 and {max}."
        )
    };
    number.map(Some).ok_or_else(|| invalid(&message()))
}

fn send_message(queues: &Queues, queue: &Messages, request: &Value) -> Result<Value, Failure> {
    let body = text(request, "MessageBody")?;
    let attributes = request["MessageAttributes"].clone();
    if body.is_empty() {
        return Err(missing("MessageBody"));
    }
    if body.len() + if attributes.is_null() { 0 } else { attributes.to_string().len() }
        > SIZE_MAX_BYTES
    {
        return Err(invalid(&format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {SIZE_MAX_BYTES} bytes."
        )));
    }
    let now = queues.common.clock.now();
    let delay =
        number(request, "DelaySeconds", 900)?.map_or(queue.queue.delay, Duration::from_secs);
    let message = Message::new(body.to_owned(), attributes, now, now + delay);
    let answer = json!({"MessageId": message.id, "MD5OfMessageBody": md5_of(body)});
    queues.put(queue, &message);
    Ok(answer)
}

fn receive_message(queues: &Queues, queue: &Messages, request: &Value) -> Result<Value, Failure> {
    let count = number(request, "MaxNumberOfMessages", 10)?.unwrap_or(1);
    let visibility = number(request, "VisibilityTimeout", 43_200)?.map(Duration::from_secs);
    // Long polling would wait by the machine's clock, but messages arrive by the cloud's clock.
    number(request, "WaitTimeSeconds", 20)?;
    let messages =
        queues.receive(&queue.queue.name, usize::try_from(count).unwrap_or(1), visibility);
    let shown = |message: &Message| {
        let mut shown = json!({
            "MessageId": message.id,
            "ReceiptHandle": message.receipt,
            "Body": message.body,
            "MD5OfBody": message.md5(),
            "Attributes": message.system_attributes(),
        });
        if message.attributes.is_object() {
            shown["MessageAttributes"] = message.attributes.clone();
        }
        shown
    };
    for message in &messages {
        queues.poll_at(&queue.queue.name, time_of(message.visible_ms));
    }
    Ok(json!({"Messages": messages.iter().map(shown).collect::<Vec<_>>()}))
}

fn delete_message(queues: &Queues, queue: &Messages, request: &Value) -> Result<Value, Failure> {
    // Deleting a message that was already deleted succeeds.
    queues.delete(&queue.queue.name, text(request, "ReceiptHandle")?);
    Ok(json!({}))
}

fn change_visibility(queues: &Queues, queue: &Messages, request: &Value) -> Result<Value, Failure> {
    let receipt = text(request, "ReceiptHandle")?;
    let seconds = number(request, "VisibilityTimeout", 43_200)?
        .ok_or_else(|| missing("VisibilityTimeout"))?;
    let visible: UtcDateTime = queues.common.clock.now() + Duration::from_secs(seconds);
    let mut messages = lock(&queue.messages);
    let message = messages.iter_mut().find(|message| message.receipt == receipt);
    let Some(message) = message else {
        return Err(Failures::QUEUES
            .named("ReceiptHandleIsInvalid", "The input receipt handle is invalid."));
    };
    message.visible_ms = milliseconds(visible);
    drop(messages);
    queues.poll_at(&queue.queue.name, visible);
    Ok(json!({}))
}

fn attributes(queues: &Queues, queue: &Messages) -> Value {
    let now_ms = milliseconds(queues.common.clock.now());
    let messages = lock(&queue.messages);
    let count = |matches: fn(&Message, i64) -> bool| {
        messages.iter().filter(|message| matches(message, now_ms)).count().to_string()
    };
    let mut attributes = json!({
        "QueueArn": names::arn("sqs", &queue.queue.name),
        "VisibilityTimeout": queue.queue.visibility.as_secs().to_string(),
        "DelaySeconds": queue.queue.delay.as_secs().to_string(),
        "MessageRetentionPeriod": queue.queue.retention.as_secs().to_string(),
        "ApproximateNumberOfMessages": count(|message, now| message.visible_ms <= now),
        "ApproximateNumberOfMessagesNotVisible": count(|message, now| message.visible_ms > now && message.receives > 0),
        "ApproximateNumberOfMessagesDelayed": count(|message, now| message.visible_ms > now && message.receives == 0),
    });
    if let Some((target, receives_max)) = &queue.queue.redrive {
        let policy = json!({"deadLetterTargetArn": names::arn("sqs", target), "maxReceiveCount": receives_max});
        attributes["RedrivePolicy"] = json!(policy.to_string());
    }
    json!({"Attributes": attributes})
}

/// Handles every entry on its own. The answer names the entries that failed.
fn batch(
    request: &Value,
    one: impl Fn(&Value) -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    let entries = request["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    check_batch(entries)?;
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        match one(entry) {
            Ok(mut answer) => {
                answer["Id"] = entry["Id"].clone();
                successful.push(answer);
            }
            Err(failure) => {
                let (code, message) = failure.parts();
                failed.push(json!({"Id": entry["Id"], "SenderFault": true, "Code": code, "Message": message}));
            }
        }
    }
    Ok(json!({"Successful": successful, "Failed": failed}))
}

fn check_batch(entries: &[Value]) -> Result<(), Failure> {
    let refused = |name: &'static str, message: &str| {
        // The name is that of the query protocol; the newer one is its last part.
        let kind = name.trim_end_matches(";Sender").rsplit('.').next().unwrap_or(name);
        Err(Failures::QUEUES.named(kind, message).query_error(name))
    };
    if entries.is_empty() {
        return refused(
            "AWS.SimpleQueueService.EmptyBatchRequest;Sender",
            "There should be at least one entry in the request.",
        );
    }
    if entries.len() > BATCH_MAX {
        return refused(
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest;Sender",
            "Maximum number of entries per request are 10.",
        );
    }
    let ids: Vec<&str> = entries.iter().filter_map(|entry| entry["Id"].as_str()).collect();
    if ids.len() < entries.len()
        || ids.iter().enumerate().any(|(place, id)| ids.iter().take(place).any(|other| other == id))
    {
        return refused(
            "AWS.SimpleQueueService.BatchEntryIdsNotDistinct;Sender",
            "Every entry needs an Id of its own.",
        );
    }
    let size: usize =
        entries.iter().map(|entry| entry["MessageBody"].as_str().map_or(0, str::len)).sum();
    if size > SIZE_MAX_BYTES {
        return refused(
            "AWS.SimpleQueueService.BatchRequestTooLong;Sender",
            "Batch requests cannot be longer than 1048576 bytes.",
        );
    }
    Ok(())
}
