//! DynamoDB: the engine of `dynoxide-rs` in this process, in a file.
//!
//! Functions reach it through [`crate::aws::services`], which records their calls and injects
//! faults. It performs DynamoDB's checks, but never returns a transaction conflict, throttling or
//! an eventually consistent read. Its own clock is the machine's, because a file cannot be opened
//! with another. It would stamp stream records and expire items by it. Records therefore get the
//! cloud's time when they are read, and items never expire here. On AWS, too, expired items stay
//! for days.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use dynoxide::Database;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::aws::engine;
use crate::runtime::sync::lock;
use crate::template::wiring::{DueIndex, PartitionIndex, Table};

/// How many stream records are read at once.
const RECORDS_MAX: usize = 1000;

pub(crate) struct DynamoDb {
    database: Database,
    /// The streams found so far, by table. Describing a stream makes the engine read all of its
    /// records.
    streams: Mutex<BTreeMap<String, Stream>>,
    /// Counts the calls that may have written something.
    writes: AtomicU64,
    /// The earliest time in an index, and how many writes there had been when it was looked for.
    earliest: Mutex<BTreeMap<DueIndex, (u64, Option<i64>)>>,
    /// Where it is reached over HTTP, without recording and faults.
    pub(crate) url: String,
}

/// A stream and its only shard.
#[derive(Clone, Debug)]
struct Stream {
    arn: String,
    shard: String,
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DynamoDb").field("url", &self.url).finish_non_exhaustive()
    }
}

impl DynamoDb {
    /// Opens the tables in `directory`, or in memory, creates the missing ones and serves them.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or a table cannot be created, as text.
    pub(crate) async fn start(directory: Option<&Path>, tables: &[Table]) -> Result<Self, String> {
        let database = match directory {
            Some(directory) => {
                let file = directory.join("dynamodb.sqlite");
                let file = file.to_str().ok_or("the state directory's name is not UTF-8")?;
                engine::open(file)?
            }
            None => engine::in_memory()?,
        };
        for table in tables {
            make(&database, table)
                .map_err(|error| format!("table {} cannot be made: {error}", table.name))?;
        }
        let listener =
            TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
        let url = format!("http://{}/", listener.local_addr().map_err(|error| error.to_string())?);
        tokio::spawn(dynoxide::server::serve_with_shutdown(
            listener,
            database.clone(),
            std::future::pending(),
        ));
        Ok(Self {
            database,
            streams: Mutex::default(),
            writes: AtomicU64::new(0),
            earliest: Mutex::default(),
            url,
        })
    }

    /// Records of a table's stream after a sequence number, or from the oldest on.
    ///
    /// # Errors
    ///
    /// If the table has no stream, as text.
    pub(crate) fn records(&self, table: &str, after: Option<&str>) -> Result<Vec<Value>, String> {
        let Some(Stream { arn, shard }) = self.stream(table)? else { return Ok(Vec::new()) };
        let mut position =
            json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        if let Some(after) = after {
            position["ShardIteratorType"] = json!("AFTER_SEQUENCE_NUMBER");
            position["SequenceNumber"] = json!(after);
        }
        let iterator =
            self.database.get_shard_iterator(request(position)?).map_err(text)?.shard_iterator;
        let records = json!({"ShardIterator": iterator.unwrap_or_default(), "Limit": RECORDS_MAX});
        let records = self.database.get_records(request(records)?).map_err(text)?.records;
        records
            .iter()
            .map(|record| serde_json::to_value(record).map_err(|error| error.to_string()))
            .collect()
    }

    /// Something may have been written.
    pub(crate) fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Release);
    }

    /// The earliest time in an index, in Unix seconds. `None` if the index is empty. Reads every
    /// partition, but only after a write.
    ///
    /// # Errors
    ///
    /// If the index cannot be read, as text.
    pub(crate) fn earliest(&self, index: &DueIndex) -> Result<Option<i64>, String> {
        let writes = self.writes.load(Ordering::Acquire);
        if let Some((known_at, earliest)) = lock(&self.earliest).get(index)
            && *known_at == writes
        {
            return Ok(*earliest);
        }
        let mut earliest: Option<i64> = None;
        let mut start = Value::Null;
        loop {
            let mut scan = json!({"TableName": index.table, "IndexName": index.index});
            if !start.is_null() {
                scan["ExclusiveStartKey"] = start;
            }
            let mut answer =
                serde_json::to_value(self.database.scan(request(scan)?).map_err(text)?)
                    .map_err(text)?;
            for item in answer["Items"].as_array().into_iter().flatten() {
                let time = item[&index.attribute]["N"].as_str().unwrap_or_default();
                let time = time.parse().map_err(|_| {
                    format!("{} of {} is no whole number", index.attribute, index.table)
                })?;
                earliest = Some(earliest.map_or(time, |earliest| earliest.min(time)));
            }
            start = answer["LastEvaluatedKey"].take();
            if start.is_null() {
                break;
            }
        }
        lock(&self.earliest).insert(index.clone(), (writes, earliest));
        Ok(earliest)
    }

    /// Whether a partition of an index has an item.
    ///
    /// # Errors
    ///
    /// If the index cannot be read, as text.
    pub(crate) fn has_partition(
        &self,
        index: &PartitionIndex,
        value: &str,
    ) -> Result<bool, String> {
        let query = json!({
            "TableName": index.table,
            "IndexName": index.index,
            "KeyConditionExpression": "#key = :key",
            "ExpressionAttributeNames": {"#key": index.attribute},
            "ExpressionAttributeValues": {":key": {"S": value}},
            "Limit": 1,
        });
        let answer = self.database.query(request(query)?).map_err(text)?;
        let answer = serde_json::to_value(answer).map_err(text)?;
        Ok(answer["Items"].as_array().is_some_and(|items| !items.is_empty()))
    }

    /// The stream of a table and its only shard.
    fn stream(&self, table: &str) -> Result<Option<Stream>, String> {
        if let Some(known) = lock(&self.streams).get(table) {
            return Ok(Some(known.clone()));
        }
        let described =
            self.database.describe_table(request(json!({"TableName": table}))?).map_err(text)?;
        let described = serde_json::to_value(described).map_err(|error| error.to_string())?;
        let arn = described["Table"]["LatestStreamArn"].as_str().unwrap_or_default().to_owned();
        let described =
            self.database.describe_stream(request(json!({"StreamArn": arn}))?).map_err(text)?;
        let Some(shard) = described.stream_description.shards.into_iter().next() else {
            return Ok(None);
        };
        let stream = Stream { arn, shard: shard.shard_id };
        lock(&self.streams).insert(table.to_owned(), stream.clone());
        Ok(Some(stream))
    }

    /// Every item with this partition key, in DynamoDB's JSON, ordered by sort key.
    ///
    /// # Errors
    ///
    /// If there is no such table or key, as text.
    pub(crate) fn items(&self, table: &str, key: &str, value: &str) -> Result<Vec<Value>, String> {
        let mut items = Vec::new();
        let mut start = Value::Null;
        loop {
            let mut query = json!({
                "TableName": table,
                "KeyConditionExpression": "#key = :key",
                "ExpressionAttributeNames": {"#key": key},
                "ExpressionAttributeValues": {":key": {"S": value}},
                "ConsistentRead": true,
            });
            if !start.is_null() {
                query["ExclusiveStartKey"] = start;
            }
            let mut answer =
                serde_json::to_value(self.database.query(request(query)?).map_err(text)?)
                    .map_err(|error| error.to_string())?;
            if let Some(page) = answer["Items"].as_array_mut() {
                items.append(page);
            }
            start = answer["LastEvaluatedKey"].take();
            if start.is_null() {
                return Ok(items);
            }
        }
    }
}

fn make(database: &Database, table: &Table) -> Result<(), String> {
    let exists = database.describe_table(request(json!({"TableName": table.name}))?).is_ok();
    if exists {
        return Ok(());
    }
    database.create_table(request(table.request.clone())?).map_err(text)?;
    if let Some(attribute) = &table.expires {
        let specification = json!({"AttributeName": attribute, "Enabled": true});
        let update = json!({"TableName": table.name, "TimeToLiveSpecification": specification});
        database.update_time_to_live(request(update)?).map_err(text)?;
    }
    Ok(())
}

fn request<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// DynamoDB's JSON as plain JSON: `{"S": "x"}` is `"x"`, a number keeps its digits as a text if it
/// is not a whole number.
pub(crate) fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|fields| fields.iter().next()) else {
        return value.clone();
    };
    match kind.as_str() {
        "N" => {
            let digits = inner.as_str().unwrap_or_default();
            digits.parse::<i64>().map_or_else(|_| json!(digits), Value::from)
        }
        "NULL" => Value::Null,
        "L" => inner.as_array().into_iter().flatten().map(plain).collect(),
        "M" => plain_item(inner),
        _ => inner.clone(),
    }
}

/// An item as plain JSON.
pub(crate) fn plain_item(item: &Value) -> Value {
    let fields = item.as_object().into_iter().flatten();
    Value::Object(fields.map(|(name, value)| (name.clone(), plain(value))).collect())
}
