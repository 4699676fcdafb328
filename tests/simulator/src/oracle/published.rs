//! The events of the bus, and the rows that they tell of.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use time::UtcDateTime;

use super::amounts::scaled;
use super::ensure;
use super::holds::available_in;
use super::row::{BookedRow, array, attribute_text};
use crate::dynamodb::{CurrentReads, MemoryDynamoDb};
use crate::functions::LEDGER;

/// An event that the bus took.
#[derive(Clone, Debug)]
pub struct PublishedEvent {
    pub name: String,
    pub detail: Value,
}

/// The events that each row must have.
#[derive(Debug, Default)]
pub struct EventBooks {
    /// One of each list, with the number of the row.
    expected: Vec<(u64, &'static [&'static str])>,
}

impl EventBooks {
    pub fn add(&mut self, row: &BookedRow) {
        let own = events_of(&row.kind);
        // What was restored or deleted anew meanwhile is not purged yet, and the row tells nothing.
        let purges_nothing = row.kind == "purged"
            && array(&row.change["resources"]).is_empty()
            && row.change["deletion"].is_null();
        // All of it was held or spent.
        let takes_nothing = row.kind == "bonus_withdrawn" && row.amount == 0;
        if !own.is_empty() && !purges_nothing && !takes_nothing {
            self.expected.push((row.seq, own));
        }
        if row.event["w"]["now"].is_object() {
            self.expected.push((row.seq, &["BalanceLow"]));
        }
        if array(&row.event["s"]).iter().any(|spend| spend["t"].is_u64()) {
            self.expected.push((row.seq, &["BudgetSpent"]));
        }
        if row.event["l"].is_string() {
            self.expected.push((row.seq, &["CreditLow"]));
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
        for (seq, names) in &self.expected {
            let is_told = names.iter().any(|name| found.contains(&(*seq, *name)));
            ensure!(is_told, "{account}: row {seq} has no event {names:?}");
        }
        Ok(())
    }
}

/// The events of a row of this type: it has at least one of them, and of others only those that tell
/// of low credit and of budgets.
fn events_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "opened" => &["AccountOpened"],
        "topup" | "auto_refill" | "commit" | "bonus" | "imported" | "refund_reversed"
        | "refund_failed" | "dispute_reversed" => &["CreditAdded"],
        "refund" | "refund_pending" | "dispute" | "bonus_withdrawn" => &["CreditTaken"],
        "correction" => &["CreditAdded", "CreditTaken"],
        "expired" => &["CreditExpired"],
        "payment_pending" => &["PaymentPending"],
        "payment_ended" => &["PaymentFailed"],
        "started" => &["ResourceStarted"],
        "restored" => &["ResourceRestored"],
        "stopped" => &["ResourceStopped"],
        "start_failed" => &["ResourceStopped", "ResourceDeleted"],
        "resources_deleted" => &["ResourceDeleted"],
        "purged" => &["Purged", "ResourcePurged"],
        "suspended" => &["Suspended"],
        "resumed" => &["Resumed", "ResourceStarted"],
        "deletion_announced" => &["DeletionSoon"],
        "deleting" => &["DeletionDue"],
        "deleted" => &["Deleted"],
        "closed" => &["Closed"],
        "reopened" => &["Reopened"],
        "erased" => &["Erased"],
        "refill_failed" => &["RefillFailed"],
        "refill_needs_customer" => &["RefillNeedsCustomer"],
        "card_expiring" => &["CardExpiring"],
        "card_expired" => &["CardExpired"],
        "trial" => &["TrialStarted", "CreditAdded"],
        "trial_ending" => &["TrialEnding"],
        "trial_ended" => &["TrialEnded"],
        "frozen" | "dispute_opened" => &["Frozen"],
        "unfrozen" => &["Unfrozen"],
        "dispute_closed" => &["Unfrozen", "Frozen"],
        _ => &[],
    }
}

/// An event has its row when the bus takes it, fits it, and shows its balance and what of it is
/// available.
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
    let kind = row["type"]["S"].as_str().unwrap_or_default();
    let is_own = events_of(kind).contains(&event.name.as_str());
    let is_low = ["BalanceLow", "CreditLow", "BudgetSpent"].contains(&event.name.as_str());
    ensure!(is_own || is_low, "{account}: a row {kind} tells {event:?}");
    let shown = scaled(event.detail["state"]["balance"].as_str().unwrap_or_default(), 6)?;
    let stored = scaled(&attribute_text(&row["balance"]), 6)?;
    ensure!(stored == shown, "{account}: an event shows another balance than {stored}: {event:?}");
    let body = row["body"]["S"].as_str().unwrap_or_default();
    let body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let shown = scaled(event.detail["state"]["available"].as_str().unwrap_or_default(), 6)?;
    let tells = |spend: &Value| {
        spend["t"] == event.detail["percent"] && spend["p"] == event.detail["project"]
    };
    let is_told = array(&body["x"]["s"]).iter().any(tells);
    ensure!(is_told || event.name != "BudgetSpent", "{account}: nothing of a budget: {event:?}");
    let available = available_in(&body["s"])?;
    ensure!(available == shown, "{account}: {available} are available, not as in {event:?}");
    Ok(())
}
