//! The events of the bus, and the rows that they tell of.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use time::UtcDateTime;

use super::amounts::scaled;
use super::ensure;
use super::row::{BookedRow, attribute_text};
use crate::dynamodb::{CurrentReads, MemoryDynamoDb};
use crate::functions::LEDGER;

/// An event that the bus took.
#[derive(Clone, Debug)]
pub struct PublishedEvent {
    pub name: String,
    pub detail: Value,
}

/// The event that each row must have, where there is one.
#[derive(Debug, Default)]
pub struct EventBooks {
    expected: BTreeMap<u64, &'static str>,
}

impl EventBooks {
    pub fn add(&mut self, row: &BookedRow) {
        if let Some(name) = event_of(&row.kind) {
            self.expected.insert(row.seq, name);
        }
    }

    /// No row without its event.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check(&self, account: &str, published: &[PublishedEvent]) -> Result<(), String> {
        let of_account = published.iter().filter(|event| event.detail["account"] == account);
        let found: BTreeSet<(u64, &str)> = of_account
            .filter_map(|event| Some((event.detail["seq"].as_u64()?, event.name.as_str())))
            .collect();
        for (seq, name) in &self.expected {
            ensure!(found.contains(&(*seq, *name)), "{account}: row {seq} has no event {name}");
        }
        Ok(())
    }
}

/// The event of a row of this type, if it always has one.
fn event_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "opened" => "AccountOpened",
        "topup" | "auto_refill" | "bonus" | "refund_reversed" | "dispute_reversed" => "CreditAdded",
        "refund" | "dispute" => "CreditTaken",
        "started" => "ResourceStarted",
        "stopped" => "ResourceStopped",
        "resources_deleted" => "ResourceDeleted",
        "suspended" => "Suspended",
        "resumed" => "Resumed",
        "refill_failed" => "RefillFailed",
        "frozen" => "Frozen",
        "unfrozen" => "Unfrozen",
        _ => return None,
    })
}

/// An event has its row when the bus takes it, and shows the row's balance.
///
/// # Errors
/// What is wrong, as text.
pub fn check_event(
    event: &PublishedEvent,
    database: &mut MemoryDynamoDb,
    now: UtcDateTime,
) -> Result<(), String> {
    let (account, seq) =
        (event.detail["account"].as_str().unwrap_or_default(), &event.detail["seq"]);
    let key = json!({"account": {"S": account}, "seq": {"N": seq.to_string()}});
    let get = json!({"TableName": LEDGER, "Key": key, "ConsistentRead": true});
    let found = database.call("GetItem", &get, now, &mut CurrentReads).body();
    let row = &found["Item"];
    ensure!(row.is_object(), "{account}: an event has no row: {event:?}");
    let shown = scaled(event.detail["state"]["balance"].as_str().unwrap_or_default(), 6)?;
    let stored = scaled(&attribute_text(&row["balance"]), 6)?;
    ensure!(stored == shown, "{account}: an event shows another balance than {stored}: {event:?}");
    Ok(())
}
