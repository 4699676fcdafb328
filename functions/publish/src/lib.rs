//! `publish`: the ledger's stream is the outbox. Each new row becomes its events on the bus, at least once.
//!
//! A function that appended a row does not send events itself: it could die in between. Here a row whose events were
//! not all taken is reported back, and Lambda delivers it and what follows again; nothing is skipped. Receivers know
//! by the row's number what they have seen.
//!
//! Anything but an insert means that the append-only table was changed, and is an alarm. (DynamoDB itself removes
//! expired request claims; it says so.)

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate::bus::{Bus, BusEvent};
use tollgate::metrics::Summary;
use tollgate::notice::notices;
use tollgate::row::{StoredRow, read};

/// A batch of the table's stream, as Lambda delivers it (docs.aws.amazon.com, "Using AWS Lambda with Amazon DynamoDB").
#[derive(Clone, Debug, Deserialize)]
pub struct StreamEvent {
    /// In the order of the shard.
    #[serde(rename = "Records")]
    pub records: Vec<StreamRecord>,
}

/// One change of one item.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRecord {
    event_name: String,
    user_identity: Option<UserIdentity>,
    dynamodb: Change,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity {
    principal_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    #[serde(default)]
    keys: Image,
    #[serde(default)]
    new_image: Image,
    sequence_number: String,
}

type Image = BTreeMap<String, Attribute>;

/// An attribute of a row: a string or a number. Other types do not occur in rows, and are read as nothing.
#[derive(Clone, Debug, Deserialize)]
struct Attribute {
    #[serde(rename = "S")]
    string: Option<String>,
    #[serde(rename = "N")]
    number: Option<String>,
}

/// Which records must be delivered again: the first that was not published, and with it all after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// Empty if everything was published.
    pub batch_item_failures: Vec<BatchItemFailure>,
    /// What was done.
    pub report: Report,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records delivered.
    pub records: usize,
    /// Events they tell of, up to the first record that cannot be read.
    pub events: usize,
    /// Events that the bus did not take.
    pub not_taken: usize,
}

impl BatchResponse {
    /// What is logged and counted of it.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let Report { records, events, not_taken } = self.report;
        Summary::new("published")
            .field("complete", self.batch_item_failures.is_empty())
            .count("Records", records)
            .count("Events", events)
            .count("NotTaken", not_taken)
    }
}

/// A record that must be delivered again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// Its sequence number.
    pub item_identifier: String,
}

/// Publishes a batch. Returns where to begin again, if anything was left.
pub async fn handle(bus: &Bus, batch: StreamEvent) -> BatchResponse {
    let mut events = Vec::new();
    let mut record_of_event = Vec::new();
    let mut failed = None;
    let mut report = Report { records: batch.records.len(), ..Report::default() };
    for (place, record) in batch.records.iter().enumerate() {
        match events_of(record) {
            Ok(told) => {
                record_of_event.extend(told.iter().map(|_| place));
                events.extend(told);
            }
            Err(why) => {
                tracing::error!(alarm = "unreadable_row", record = record.dynamodb.sequence_number, why);
                failed = Some(place);
                break;
            }
        }
    }
    report.events = events.len();
    if let Err(not_taken) = bus.put(&events).await {
        report.not_taken = not_taken.places.len();
        tracing::error!(alarm = "events_not_taken", events = not_taken.places.len(), why = not_taken.why);
        let first = not_taken.places.first().and_then(|place| record_of_event.get(*place)).copied();
        failed = first.or(failed);
    }
    let again = failed.and_then(|place| batch.records.get(place));
    let again = again.map(|record| BatchItemFailure { item_identifier: record.dynamodb.sequence_number.clone() });
    BatchResponse { batch_item_failures: again.into_iter().collect(), report }
}

/// What a record tells the world; nothing if it is not a row.
fn events_of(record: &StreamRecord) -> Result<Vec<BusEvent>, String> {
    if record.event_name != "INSERT" {
        report_change(record);
        return Ok(Vec::new());
    }
    let Some(stored) = stored_row(&record.dynamodb.new_image)? else {
        return Ok(Vec::new());
    };
    let row = read(&stored).map_err(|fault| fault.to_string())?;
    notices(&stored.account, &row)
        .into_iter()
        .map(|notice| {
            let detail = serde_json::to_string(&notice).map_err(|error| error.to_string())?;
            Ok(BusEvent { detail_type: notice.news.name().to_owned(), detail })
        })
        .collect()
}

/// Rows are never changed or removed, by nobody. DynamoDB's own removal of expired claims is the one exception.
fn report_change(record: &StreamRecord) {
    let principal = record.user_identity.as_ref().and_then(|identity| identity.principal_id.as_deref());
    let key = record.dynamodb.keys.get("account").and_then(|key| key.string.as_deref()).unwrap_or("unknown");
    let expired = record.event_name == "REMOVE" && principal == Some("dynamodb.amazonaws.com");
    if expired && key.starts_with("claim#") {
        return;
    }
    tracing::error!(alarm = "ledger_changed", event = record.event_name, key, "the append-only ledger was changed");
}

/// The row of an image; `None` for claims, look-ups and chunks, whose keys contain `#` as no account's does.
fn stored_row(image: &Image) -> Result<Option<StoredRow>, String> {
    let text = |name: &'static str| {
        let attribute = image.get(name).and_then(|attribute| attribute.string.as_ref().or(attribute.number.as_ref()));
        attribute.ok_or(format!("{name} is missing"))
    };
    let account = text("account")?;
    if account.contains('#') {
        return Ok(None);
    }
    let number = |name: &'static str| text(name)?.parse::<i64>().map_err(|error| format!("{name}: {error}"));
    let amount = |name: &'static str| text(name)?.parse().map_err(|error| format!("{name}: {error}"));
    Ok(Some(StoredRow {
        account: account.parse().map_err(|error| format!("account: {error}"))?,
        seq: number("seq")?.try_into().map_err(|error| format!("seq: {error}"))?,
        at: number("at")?.try_into().map_err(|error| format!("at: {error}"))?,
        kind: text("type")?.clone(),
        amount: amount("amount")?,
        balance: amount("balance")?,
        body: text("body")?.clone(),
    }))
}
