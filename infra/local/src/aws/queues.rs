//! SQS: queues, and the mappings that invoke functions with their messages.
//!
//! Visibility, delay and retention follow the cloud's clock. A message that reached its queue's
//! maximum number of receives goes to the dead-letter queue at the next receive, as on AWS. Batches
//! do not wait: available messages are delivered at once.

pub(crate) mod api;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::UtcDateTime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::aws::dynamodb::DynamoDb;
use crate::aws::lambda::Lambda;
use crate::aws::lambda::invocation::{Invocation, Outcome, failures};
use crate::aws::skips::Skips;
use crate::runtime::agenda::Planner;
use crate::runtime::common::Common;
use crate::runtime::names;
use crate::runtime::sync::lock;
use crate::template::wiring::{Queue, QueueMapping, Wiring};

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Message {
    id: String,
    body: String,
    /// As `SendMessage` takes them; null is none.
    attributes: Value,
    sent_ms: i64,
    /// From when on it can be received.
    visible_ms: i64,
    receives: u32,
    first_received_ms: Option<i64>,
    /// The receipt of the last time it was received.
    receipt: String,
}

/// All queues and their messages.
#[derive(Debug)]
pub(crate) struct Queues {
    common: Common,
    lambda: Arc<Lambda>,
    dynamodb: Arc<DynamoDb>,
    skips: Arc<Skips>,
    /// Looks into the queue of this name.
    polls: Planner<String>,
    /// The queue URLs without the names.
    url: String,
    mappings: Vec<QueueMapping>,
    queues: BTreeMap<String, Messages>,
    /// How many batches a mapping may have out, by its name.
    slots: BTreeMap<String, Arc<Semaphore>>,
}

#[derive(Debug)]
struct Messages {
    queue: Queue,
    messages: Mutex<VecDeque<Message>>,
}

impl Queues {
    pub(crate) fn new(
        wiring: &Wiring,
        url: String,
        common: Common,
        lambda: Arc<Lambda>,
        dynamodb: Arc<DynamoDb>,
        skips: Arc<Skips>,
        polls: Planner<String>,
    ) -> Self {
        let mappings = &wiring.queue_mappings;
        let slots = |mapping: &QueueMapping| {
            (mapping.name.clone(), Arc::new(Semaphore::new(mapping.concurrency)))
        };
        Self {
            common,
            lambda,
            dynamodb,
            skips,
            polls,
            url,
            mappings: mappings.clone(),
            queues: wiring
                .queues
                .iter()
                .map(|queue| {
                    (
                        queue.name.clone(),
                        Messages { queue: queue.clone(), messages: Mutex::default() },
                    )
                })
                .collect(),
            slots: mappings.iter().map(slots).collect(),
        }
    }

    /// Every queue with its messages.
    pub(crate) fn all(&self) -> Vec<(String, Vec<Message>)> {
        let all = self.queues.iter();
        all.map(|(name, queue)| (name.clone(), lock(&queue.messages).iter().cloned().collect()))
            .collect()
    }

    pub(crate) fn resume(&self, kept: Vec<(String, Vec<Message>)>) {
        for (name, messages) in kept {
            if let Some(queue) = self.queues.get(&name) {
                lock(&queue.messages).extend(messages);
            }
        }
    }

    /// Messages of dead-letter queues, with their source as far as it is known.
    pub(crate) fn shown(&self, queue: &str) -> Vec<Value> {
        let Some(queue) = self.queues.get(queue) else { return Vec::new() };
        let shown = |message: &Message| {
            json!({
                "id": message.id,
                "body": serde_json::from_str(&message.body).unwrap_or_else(|_| json!(message.body)),
                "attributes": message.attributes,
                "sent": crate::runtime::clock::format(time_of(message.sent_ms)),
                "receives": message.receives,
            })
        };
        lock(&queue.messages).iter().map(shown).collect()
    }

    /// When an invisible message becomes visible.
    fn next_visible(&self, queue: &str, now_ms: i64) -> Option<i64> {
        let queue = self.queues.get(queue)?;
        lock(&queue.messages)
            .iter()
            .map(|message| message.visible_ms)
            .filter(|visible| *visible > now_ms)
            .min()
    }

    /// Puts a message into a queue, which can be received from `when` on, plus the queue's own
    /// delay.
    pub(crate) fn send(&self, queue: &str, body: String, attributes: Value, when: UtcDateTime) {
        let Some(target) = self.queues.get(queue) else {
            self.common.log.note(&format!("there is no queue {queue}: a message is lost"));
            return;
        };
        let visible = when + target.queue.delay;
        self.put(target, &Message::new(body, attributes, self.common.clock.now(), visible));
    }

    /// Puts a message into a queue, with the copies and delays of the active faults.
    fn put(&self, target: &Messages, message: &Message) {
        let fault = self.common.faults.delivery("queue", &target.queue.name);
        for _ in 0..fault.copies() {
            let mut message = message.clone();
            let visible = time_of(message.visible_ms) + fault.delay();
            message.visible_ms = milliseconds(visible);
            lock(&target.messages).push_back(message);
            self.poll_at(&target.queue.name, visible);
        }
    }

    /// Looks into a queue again at a time, if a function gets its messages.
    fn poll_at(&self, queue: &str, when: UtcDateTime) {
        if self.mappings.iter().any(|mapping| mapping.queue == queue) {
            self.polls.at(when, queue.to_owned());
        }
    }

    /// Receives messages. Those with too many receives go to the dead-letter queue instead.
    fn receive(
        &self,
        queue: &str,
        count: usize,
        visibility: Option<std::time::Duration>,
    ) -> Vec<Message> {
        let Some(source) = self.queues.get(queue) else { return Vec::new() };
        let now = self.common.clock.now();
        let now_ms = milliseconds(now);
        let visible_ms = milliseconds(now + visibility.unwrap_or(source.queue.visibility));
        let expired_ms = milliseconds(now - source.queue.retention);
        let mut received = Vec::new();
        let mut dead = Vec::new();
        let mut messages = lock(&source.messages);
        messages.retain(|message| message.sent_ms > expired_ms);
        let mut place = 0;
        while received.len() < count
            && let Some(message) = messages.get_mut(place)
        {
            if message.visible_ms > now_ms {
                place += 1;
                continue;
            }
            let redrive = source
                .queue
                .redrive
                .as_ref()
                .filter(|(_, receives_max)| message.receives >= *receives_max);
            if let Some((target, _)) = redrive {
                dead.extend(messages.remove(place).map(|message| (target, message)));
                continue;
            }
            message.receives += 1;
            message.first_received_ms.get_or_insert(now_ms);
            message.visible_ms = visible_ms;
            message.receipt = names::new_id();
            received.push(message.clone());
            place += 1;
        }
        drop(messages);
        for (target, message) in dead {
            self.common.log.note(&format!("queue {queue}: a message goes to {target}"));
            self.move_to_dead_letters(target, message, now_ms);
        }
        received
    }

    fn move_to_dead_letters(&self, target: &str, message: Message, now_ms: i64) {
        let Some(target) = self.queues.get(target) else { return };
        let fresh = Message { visible_ms: now_ms, receives: 0, first_received_ms: None, ..message };
        self.put(target, &fresh);
    }

    /// Deletes the message with this receipt; false if there is none.
    fn delete(&self, queue: &str, receipt: &str) -> bool {
        let Some(queue) = self.queues.get(queue) else { return false };
        let mut messages = lock(&queue.messages);
        let before = messages.len();
        messages.retain(|message| message.receipt.is_empty() || message.receipt != receipt);
        messages.len() < before
    }

    /// Gives the visible messages of a queue to the functions that get them.
    pub(crate) async fn poll(self: &Arc<Self>, queue: &str) {
        let mut batches = JoinSet::new();
        for mapping in self.mappings.iter().filter(|mapping| mapping.queue == queue) {
            let Some(slots) = self.slots.get(&mapping.name) else { continue };
            loop {
                let Ok(slot) = Arc::clone(slots).acquire_owned().await else { break };
                let messages = self.receive(queue, mapping.batch_size, None);
                if messages.is_empty() {
                    break;
                }
                let queues = Arc::clone(self);
                let mapping = mapping.clone();
                batches.spawn(async move {
                    queues.deliver(&mapping, messages).await;
                    drop(slot);
                });
            }
        }
        batches.join_all().await;
        if let Some(next) = self.next_visible(queue, milliseconds(self.common.clock.now())) {
            self.poll_at(queue, time_of(next));
        }
    }

    /// Invokes a function with one batch, and deletes the processed messages.
    async fn deliver(&self, mapping: &QueueMapping, messages: Vec<Message>) {
        let (wanted, unwanted): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| is_wanted(mapping, message));
        let (wanted, idle): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|message| !self.is_idle(mapping, message));
        for message in &unwanted {
            self.delete(&mapping.queue, &message.receipt);
        }
        for message in &idle {
            self.skips.add(&self.common.clock);
            self.delete(&mapping.queue, &message.receipt);
        }
        if wanted.is_empty() {
            return;
        }
        let records: Vec<Value> =
            wanted.iter().map(|message| message.record(&mapping.queue)).collect();
        let payload = json!({"Records": records}).to_string();
        let trigger = format!("queue {}", mapping.queue);
        let outcome =
            self.lambda.invoke(&mapping.function, Invocation::new(payload, &trigger)).await;
        let done: Vec<&Message> = match outcome {
            Outcome::Failed(_) | Outcome::Throttled => Vec::new(),
            Outcome::Answer(_) if !mapping.reports_failures => wanted.iter().collect(),
            Outcome::Answer(answer) => match failures(&answer) {
                // An unreadable report, or one with an unknown message, fails the whole batch.
                Some(failed)
                    if failed.iter().all(|id| wanted.iter().any(|message| message.id == *id)) =>
                {
                    wanted.iter().filter(|message| !failed.contains(&message.id)).collect()
                }
                Some(_) | None => Vec::new(),
            },
        };
        for message in done {
            self.delete(&mapping.queue, &message.receipt);
        }
    }

    /// Whether a message names a partition of an index in which nothing is.
    fn is_idle(&self, mapping: &QueueMapping, message: &Message) -> bool {
        let Some(index) = &mapping.partition_index else { return false };
        if self.skips.are_off() {
            return false;
        }
        let body: Value = serde_json::from_str(&message.body).unwrap_or_default();
        let partition = match index.path.split('.').fold(&body, |value, name| &value[name]) {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return false,
        };
        match self.dynamodb.has_partition(index, &partition) {
            Ok(has) => !has,
            Err(error) => {
                let queue = &mapping.queue;
                self.common.log.note(&format!("queue {queue} is delivered, to be safe: {error}"));
                false
            }
        }
    }
}

impl Message {
    fn new(body: String, attributes: Value, sent: UtcDateTime, visible: UtcDateTime) -> Self {
        Self {
            id: names::new_id(),
            body,
            attributes,
            sent_ms: milliseconds(sent),
            visible_ms: milliseconds(visible),
            receives: 0,
            first_received_ms: None,
            receipt: String::new(),
        }
    }

    fn system_attributes(&self) -> Value {
        json!({
            "ApproximateReceiveCount": self.receives.to_string(),
            "SentTimestamp": self.sent_ms.to_string(),
            "SenderId": names::ACCOUNT,
            "ApproximateFirstReceiveTimestamp": self.first_received_ms.unwrap_or_default().to_string(),
        })
    }

    fn md5(&self) -> String {
        md5_of(&self.body)
    }

    /// As a function gets it.
    fn record(&self, queue: &str) -> Value {
        let attributes = self.attributes.as_object().into_iter().flatten().map(|(name, value)| {
            let attribute = json!({
                "stringValue": value["StringValue"],
                "binaryValue": value["BinaryValue"],
                "dataType": value["DataType"],
                "stringListValues": [],
                "binaryListValues": [],
            });
            (name.clone(), attribute)
        });
        json!({
            "messageId": self.id,
            "receiptHandle": self.receipt,
            "body": self.body,
            "attributes": self.system_attributes(),
            "messageAttributes": Value::Object(attributes.collect()),
            "md5OfBody": self.md5(),
            "eventSource": "aws:sqs",
            "eventSourceARN": names::arn("sqs", queue),
            "awsRegion": names::REGION,
        })
    }
}

fn is_wanted(mapping: &QueueMapping, message: &Message) -> bool {
    if mapping.filters.is_empty() {
        return true;
    }
    let mut record = message.record(&mapping.queue);
    // A filter on fields of the body sees it as JSON.
    if let Ok(body) = serde_json::from_str::<Value>(&message.body) {
        record["body"] = body;
    }
    mapping.filters.iter().any(|filter| filter.matches(&record))
}

fn md5_of(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn milliseconds(when: UtcDateTime) -> i64 {
    i64::try_from(when.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn time_of(milliseconds: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(UtcDateTime::MAX)
}
