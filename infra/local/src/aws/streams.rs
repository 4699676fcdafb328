//! DynamoDB streams: the mappings that invoke functions with the records of writes.
//!
//! A stream is read after each write, from the mapping's saved position. A failed batch blocks the
//! following records, as on AWS. It is retried by the cloud's clock with growing pauses, and halved
//! if the mapping says so, until it succeeds or its retries are used up and it goes to the
//! mapping's destination. There is one shard per table.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use time::UtcDateTime;

use crate::aws::dynamodb::DynamoDb;
use crate::aws::lambda::Lambda;
use crate::aws::lambda::invocation::{Invocation, Outcome, failures};
use crate::aws::targets::Targets;
use crate::runtime::agenda::Planner;
use crate::runtime::clock;
use crate::runtime::common::Common;
use crate::runtime::names;
use crate::runtime::sync::lock;
use crate::template::wiring::{AfterFailure, Start, StreamMapping};

/// Pauses between tries double from a second up to this. AWS documents only that they grow.
const RETRY_SECONDS_MAX: u64 = 60;

/// The mappings, and how far each of them got.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) common: Common,
    pub(crate) dynamodb: Arc<DynamoDb>,
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) targets: Arc<Targets>,
    /// Looks whether the mapping of this name has something to read.
    pub(crate) polls: Planner<String>,
    pub(crate) mappings: Vec<StreamMapping>,
    pub(crate) readers: Readers,
}

/// How far every mapping got, by its name.
#[derive(Debug)]
pub(crate) struct Readers(BTreeMap<String, Reader>);

#[derive(Debug, Default)]
struct Reader {
    /// A read of the stream is already planned.
    wanted: AtomicBool,
    reading: tokio::sync::Mutex<Retry>,
    /// The last sequence number that was dealt with.
    position: Mutex<Option<String>>,
}

/// The state of a batch that failed.
#[derive(Debug, Default)]
struct Retry {
    tries: u32,
    /// Not before this.
    after: Option<UtcDateTime>,
    /// No more records than this at once, after halving.
    size_max: Option<usize>,
    /// A delay on demand was waited for.
    delayed: bool,
}

impl Readers {
    pub(crate) fn new(mappings: &[StreamMapping]) -> Self {
        Self(mappings.iter().map(|mapping| (mapping.name.clone(), Reader::default())).collect())
    }
}

impl Streams {
    /// How far every mapping got.
    pub(crate) fn positions(&self) -> Vec<(String, String)> {
        let known = |(name, reader): (&String, &Reader)| {
            Some((name.clone(), lock(&reader.position).clone()?))
        };
        self.readers.0.iter().filter_map(known).collect()
    }

    pub(crate) fn resume(&self, positions: Vec<(String, String)>) {
        for (name, position) in positions {
            if let Some(reader) = self.readers.0.get(&name) {
                *lock(&reader.position) = Some(position);
            }
        }
    }

    /// Sets the start of mappings that begin with the latest record, unless they have a saved
    /// position.
    pub(crate) fn skip_to_latest(&self) {
        for mapping in self.mappings.iter().filter(|mapping| mapping.start == Start::Latest) {
            let Some(reader) = self.readers.0.get(&mapping.name) else { continue };
            while lock(&reader.position).is_none() {
                let records = self.dynamodb.records(&mapping.table, None).unwrap_or_default();
                let Some(last) = records.last() else { break };
                *lock(&reader.position) = Some(sequence_number(last).to_owned());
            }
        }
    }

    /// Something was written: every mapping looks.
    pub(crate) fn wake(&self) {
        for (name, reader) in &self.readers.0 {
            if !reader.wanted.swap(true, Ordering::AcqRel) {
                self.polls.now(name.clone());
            }
        }
    }

    /// Delivers the unprocessed records of a mapping to its function.
    pub(crate) async fn poll(&self, name: &str) {
        let Some(reader) = self.readers.0.get(name) else { return };
        let Some(mapping) = self.mappings.iter().find(|mapping| mapping.name == name) else {
            return;
        };
        let mut retry = reader.reading.lock().await;
        reader.wanted.store(false, Ordering::Release);
        loop {
            if retry.after.is_some_and(|after| after > self.common.clock.now()) {
                return;
            }
            let position = lock(&reader.position).clone();
            let records = match self.dynamodb.records(&mapping.table, position.as_deref()) {
                Ok(records) => records,
                Err(error) => {
                    self.common
                        .log
                        .note(&format!("the stream of {} cannot be read: {error}", mapping.table));
                    return;
                }
            };
            let Some((batch, last)) = self.next_batch(mapping, records, &retry) else { return };
            let done = if batch.is_empty() {
                Done::All
            } else {
                self.deliver(mapping, &batch, &mut retry).await
            };
            match done {
                Done::All => {
                    *lock(&reader.position) = Some(last);
                    *retry = Retry::default();
                }
                Done::Until(before) => {
                    if let Some(before) = before {
                        *lock(&reader.position) = Some(before);
                    }
                    self.try_again(mapping, reader, &mut retry, &batch);
                }
                Done::Later => {}
            }
        }
    }

    /// The wanted records of the next batch, and the last sequence number it covers.
    fn next_batch(
        &self,
        mapping: &StreamMapping,
        records: Vec<Value>,
        retry: &Retry,
    ) -> Option<(Vec<Value>, String)> {
        let size = retry.size_max.unwrap_or(mapping.batch_size);
        let arn = names::stream_arn(&mapping.table);
        let mut batch = Vec::new();
        let mut last = None;
        for mut record in records {
            record["eventSourceARN"] = json!(arn);
            record["awsRegion"] = json!(names::REGION);
            record["dynamodb"]["ApproximateCreationDateTime"] =
                json!(self.common.clock.now().unix_timestamp());
            let is_wanted = mapping.filters.is_empty()
                || mapping.filters.iter().any(|filter| filter.matches(&record));
            if is_wanted && batch.len() == size {
                break;
            }
            last = Some(sequence_number(&record).to_owned());
            if is_wanted {
                batch.push(record);
            }
        }
        Some((batch, last?))
    }

    async fn deliver(&self, mapping: &StreamMapping, batch: &[Value], retry: &mut Retry) -> Done {
        let fault = self.common.faults.delivery("stream", &mapping.name);
        if fault.delay() > Duration::ZERO && !retry.delayed {
            let after = self.common.clock.now() + fault.delay();
            *retry = Retry { after: Some(after), delayed: true, ..Retry::default() };
            self.polls.at(after, mapping.name.clone());
            return Done::Later;
        }
        if self.common.faults.fails("stream", &mapping.name) {
            return Done::Until(None);
        }
        let payload = json!({"Records": batch}).to_string();
        let trigger = format!("stream {}", mapping.table);
        let mut done = Done::All;
        for _ in 0..fault.copies() {
            let invocation = Invocation::new(payload.clone(), &trigger);
            done = match self.lambda.invoke(&mapping.function, invocation).await {
                Outcome::Failed(_) | Outcome::Throttled => Done::Until(None),
                Outcome::Answer(_) if !mapping.reports_failures => Done::All,
                Outcome::Answer(answer) => reported(&answer, batch),
            };
        }
        done
    }

    /// Decides when a batch is tried again, or gives it up.
    fn try_again(
        &self,
        mapping: &StreamMapping,
        reader: &Reader,
        retry: &mut Retry,
        batch: &[Value],
    ) {
        // The records before were dealt with: this is another batch now.
        let position = lock(&reader.position).clone();
        let left: Vec<&Value> = batch
            .iter()
            .filter(|record| {
                position.as_deref().is_none_or(|position| sequence_number(record) > position)
            })
            .collect();
        if left.len() < batch.len() {
            retry.tries = 0;
        }
        if mapping.after_failure == AfterFailure::Halved && left.len() > 1 {
            // Halving uses up no retry.
            retry.size_max = Some(left.len().div_ceil(2));
            return;
        }
        retry.tries += 1;
        if mapping.retries.is_some_and(|retries| retry.tries > retries) {
            self.give_up(mapping, &left, retry.tries);
            if let Some(last) = left.last() {
                *lock(&reader.position) = Some(sequence_number(last).to_owned());
            }
            *retry = Retry::default();
            return;
        }
        let seconds = 2_u64.saturating_pow(retry.tries - 1).min(RETRY_SECONDS_MAX);
        let after = self.common.clock.now() + Duration::from_secs(seconds);
        retry.after = Some(after);
        self.polls.at(after, mapping.name.clone());
    }

    /// Sends the destination the numbers of the records that were given up, not the records.
    fn give_up(&self, mapping: &StreamMapping, records: &[&Value], tries: u32) {
        self.common.log.note(&format!(
            "stream {}: {} records are given up after {tries} tries",
            mapping.table,
            records.len()
        ));
        let Some(destination) = &mapping.on_failure else { return };
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        let now = self.common.clock.now();
        let arrival = |record: &Value| {
            let seconds =
                record["dynamodb"]["ApproximateCreationDateTime"].as_i64().unwrap_or_default();
            clock::format(UtcDateTime::from_unix_timestamp(seconds).unwrap_or(now))
        };
        let payload = json!({
            "version": "1.0",
            "timestamp": clock::format(now),
            "requestContext": {
                "requestId": names::new_id(),
                "functionArn": names::function_arn(&mapping.function),
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": tries,
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "DDBStreamBatchInfo": {
                "shardId": "shardId-00000000000000000000-00000000",
                "startSequenceNumber": sequence_number(first),
                "endSequenceNumber": sequence_number(last),
                "approximateArrivalOfFirstRecord": arrival(first),
                "approximateArrivalOfLastRecord": arrival(last),
                "batchSize": records.len(),
                "streamArn": names::stream_arn(&mapping.table),
            },
        });
        self.targets.send(
            now,
            destination,
            payload.to_string(),
            &format!("stream {}", mapping.table),
            None,
        );
    }
}

/// The outcome of a batch.
enum Done {
    All,
    /// It failed. The records up to this sequence number were dealt with.
    Until(Option<String>),
    /// It was not tried.
    Later,
}

/// The lowest of the reported sequence numbers is where to go on
/// (docs.aws.amazon.com/lambda, "Configuring partial batch response with DynamoDB and Lambda").
fn reported(answer: &[u8], batch: &[Value]) -> Done {
    let Some(failed) = failures(answer) else { return Done::Until(None) };
    if failed.is_empty() {
        return Done::All;
    }
    let first = batch
        .iter()
        .position(|record| failed.iter().any(|number| number == sequence_number(record)));
    let before = first.and_then(|first| first.checked_sub(1)).and_then(|before| batch.get(before));
    Done::Until(before.map(|record| sequence_number(record).to_owned()))
}

/// All of one length, so that their order is that of the texts.
fn sequence_number(record: &Value) -> &str {
    record["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default()
}
