//! The stream of a table, in the form in which Lambda delivers it (docs.aws.amazon.com/lambda,
//! "Using AWS Lambda with Amazon DynamoDB").

use std::collections::VecDeque;

use serde_json::{Value, json};
use time::UtcDateTime;
use tollgate_local::names;

use super::history::ItemState;
use super::schema::{StreamImages, TableSchema};
use super::value::{ItemKey, StoredAttributes, item_json, item_size};

/// All numbers have this length, so that their order is that of the texts.
const SEQUENCE_DIGITS: usize = 21;

/// The records of a table in the order of its writes.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamLog {
    records: VecDeque<ItemChange>,
    /// How many records were forgotten.
    forgotten: usize,
}

#[derive(Clone, Debug)]
pub(super) struct ItemChange {
    pub(super) key: ItemKey,
    pub(super) before: ItemState,
    pub(super) after: ItemState,
    pub(super) at: UtcDateTime,
    pub(super) origin: ChangeOrigin,
}

/// Who changed an item.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ChangeOrigin {
    Caller,
    /// DynamoDB itself, because the item has expired.
    Expiry,
}

impl StreamLog {
    pub(super) fn push(&mut self, change: ItemChange) {
        self.records.push_back(change);
    }

    /// The records after a sequence number, or from the oldest on.
    pub(super) fn records_after(
        &self,
        schema: &TableSchema,
        images: StreamImages,
        after: Option<&str>,
    ) -> Vec<Value> {
        let first = self.place_after(after);
        let records = self.records.iter().enumerate().skip(first);
        records
            .map(|(place, change)| {
                change.record(schema, images, &sequence_number(self.forgotten + place + 1))
            })
            .collect()
    }

    /// Forgets the records up to a sequence number.
    pub(super) fn forget_through(&mut self, last: &str) {
        let count = self.place_after(Some(last)).min(self.records.len());
        self.records.drain(..count);
        self.forgotten += count;
    }

    fn place_after(&self, after: Option<&str>) -> usize {
        let number: usize = after.and_then(|after| after.parse().ok()).unwrap_or_default();
        number.saturating_sub(self.forgotten)
    }
}

impl ItemChange {
    fn record(&self, schema: &TableSchema, images: StreamImages, sequence_number: &str) -> Value {
        let mut keys = StoredAttributes::new();
        schema.keys.write_key(&self.key, &mut keys);
        let mut size = item_size(&keys);
        let mut change = json!({
            "ApproximateCreationDateTime": self.at.unix_timestamp(),
            "Keys": item_json(&keys),
            "SequenceNumber": sequence_number,
            "StreamViewType": images.name(),
        });
        let shown = [
            ("NewImage", &self.after, images.shows_new()),
            ("OldImage", &self.before, images.shows_old()),
        ];
        for (name, state, is_shown) in shown {
            if let Some(item) = state.as_ref().filter(|_| is_shown) {
                size += item_size(item);
                change[name] = item_json(item);
            }
        }
        change["SizeBytes"] = json!(size);
        let mut record = json!({
            "eventID": format!("{sequence_number:0>32}"),
            "eventName": match (&self.before, &self.after) {
                (None, _) => "INSERT",
                (Some(_), Some(_)) => "MODIFY",
                (Some(_), None) => "REMOVE",
            },
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": names::REGION,
            "dynamodb": change,
            "eventSourceARN": format!(
                "arn:aws:dynamodb:{}:{}:table/{}/stream/2026-01-01T00:00:00.000",
                names::REGION,
                names::ACCOUNT,
                schema.name
            ),
        });
        if self.origin == ChangeOrigin::Expiry {
            record["userIdentity"] =
                json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"});
        }
        record
    }
}

fn sequence_number(number: usize) -> String {
    format!("{number:0>SEQUENCE_DIGITS$}")
}
