//! `publish`: the ledger's stream is the outbox. Each new row becomes its events on the bus, at
//! least once.
//!
//! A function that appended a row does not send events itself, because it could die in between. If
//! some events of a row are not accepted here, the row is reported back. Lambda delivers it and the
//! following rows again, so nothing is skipped. Receivers use the row's number to skip what they
//! have seen.
//!
//! Events that a customer should read in a mail get a `notice` with address, amount, deadline and
//! link. The address is in the profile and not in the row, so it is looked up for these events
//! only. If it cannot be read now, the row is delivered again. If it can never be read, the notice
//! has no address. One account's profile does not delay other accounts' events.
//!
//! Any change other than an insert means that the append-only table was modified, and raises an
//! alarm. DynamoDB's own removal of expired request claims is marked as such and ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate::domain::ids::AccountId;
use tollgate::domain::profile::EmailAddress;
use tollgate::domain::row::{StoredRow, decode};
use tollgate::domain::row_format::RowFormat;
use tollgate::runtime::billing::Billing;
use tollgate::runtime::bus::{Bus, BusEvent};
use tollgate::runtime::metrics::MetricsSummary;
use tollgate::store::StoreError;
use tollgate::views::customer_notice::{CustomerNotice, NoticePlace};
use tollgate::views::domain_event::{DomainEvent, notices};

/// The parts that the function is built from.
#[derive(Debug)]
pub struct PublishClients {
    /// Profiles and the operator's settings.
    pub billing: Billing,
    pub bus: Bus,
}

/// A batch of the table's stream, as Lambda delivers it (docs.aws.amazon.com, "Using AWS Lambda
/// with Amazon DynamoDB").
#[derive(Clone, Debug, Deserialize)]
pub struct StreamEvent {
    /// In the order of the shard.
    #[serde(rename = "Records")]
    pub records: Vec<StreamRecord>,
}

/// A change of an item.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRecord {
    event_name: String,
    user_identity: Option<UserIdentity>,
    dynamodb: StreamChange,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity {
    principal_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamChange {
    #[serde(default)]
    keys: RowImage,
    #[serde(default)]
    new_image: RowImage,
    sequence_number: String,
}

type RowImage = BTreeMap<String, StreamAttribute>;

/// An attribute of a row: a string or a number. Other types do not occur in rows and are ignored.
#[derive(Clone, Debug, Deserialize)]
struct StreamAttribute {
    #[serde(rename = "S")]
    string: Option<String>,
    #[serde(rename = "N")]
    number: Option<String>,
}

/// The first record that was not published. Lambda delivers it and all later records again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// Empty if everything was published.
    pub batch_item_failures: Vec<RecordFailure>,
    pub report: PublishReport,
}

/// The outcome of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PublishReport {
    pub records: usize,
    /// Their events, up to the first record that cannot be read.
    pub events: usize,
    /// Events that the bus did not accept.
    pub not_taken: usize,
}

impl BatchResponse {
    /// The log line and metrics of a batch.
    #[must_use]
    pub fn summary(&self) -> MetricsSummary {
        let PublishReport { records, events, not_taken } = self.report;
        MetricsSummary::new("published")
            .field("complete", self.batch_item_failures.is_empty())
            .count("Records", records)
            .count("Events", events)
            .count("NotTaken", not_taken)
    }
}

/// A record that must be delivered again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordFailure {
    pub item_identifier: String,
}

/// The detail of an event: the content of the row, and its account.
#[derive(Serialize)]
struct EventDetail<'a> {
    #[serde(flatten)]
    told: &'a DomainEvent,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<NoticeDetail<'a>>,
}

/// The content of a mail to the customer. All fields are always present.
#[derive(Serialize)]
struct NoticeDetail<'a> {
    /// `null` if the profile has no address or cannot be read.
    email: Option<&'a EmailAddress>,
    /// In USD. See [`CustomerNotice::amount`].
    amount: Option<String>,
    /// RFC 3339, UTC. See [`CustomerNotice::deadline`].
    deadline: Option<String>,
    /// `null` if the operator has not set `BILLING_URL`.
    link: Option<String>,
}

/// Why a record has no events yet.
enum PublishRecordError {
    /// This release can never read it.
    Unreadable(String),
    /// The address cannot be read at the moment.
    Profile(StoreError),
}

/// The addresses that a batch has read.
type AddressCache = BTreeMap<AccountId, Option<EmailAddress>>;

/// Publishes a batch. Returns the first record to deliver again, if any.
pub async fn handle(clients: &PublishClients, batch: StreamEvent) -> BatchResponse {
    let mut events = Vec::new();
    let mut record_of_event = Vec::new();
    let mut failed = None;
    let mut report = PublishReport { records: batch.records.len(), ..PublishReport::default() };
    let mut addresses = AddressCache::new();
    for (place, record) in batch.records.iter().enumerate() {
        match events_of(record, &clients.billing, &mut addresses).await {
            Ok(told) => {
                record_of_event.extend(told.iter().map(|_| place));
                events.extend(told);
                continue;
            }
            Err(PublishRecordError::Unreadable(why)) => {
                tracing::error!(
                    alarm = "unreadable_row",
                    record = record.dynamodb.sequence_number,
                    why
                );
            }
            Err(PublishRecordError::Profile(fault)) if !fault.may_retry() => {
                tracing::error!(alarm = "profiles_refused", record = record.dynamodb.sequence_number, %fault);
            }
            // No alarm here. Most of these succeed when the record is delivered again, and the
            // alarm PublishBehind fires if not.
            Err(PublishRecordError::Profile(fault)) => {
                tracing::warn!(record = record.dynamodb.sequence_number, %fault, "no address for a notice");
            }
        }
        failed = Some(place);
        break;
    }
    report.events = events.len();
    if let Err(not_taken) = clients.bus.put(&events).await {
        report.not_taken = not_taken.places.len();
        tracing::error!(
            alarm = "events_not_taken",
            events = not_taken.places.len(),
            why = not_taken.why
        );
        let first = not_taken.places.first().and_then(|place| record_of_event.get(*place)).copied();
        failed = first.or(failed);
    }
    let again = failed.and_then(|place| batch.records.get(place));
    let again = again
        .map(|record| RecordFailure { item_identifier: record.dynamodb.sequence_number.clone() });
    BatchResponse { batch_item_failures: again.into_iter().collect(), report }
}

/// The events of a record. Empty if it is not a row.
async fn events_of(
    record: &StreamRecord,
    billing: &Billing,
    addresses: &mut AddressCache,
) -> Result<Vec<BusEvent>, PublishRecordError> {
    if record.event_name != "INSERT" {
        report_change(record);
        return Ok(Vec::new());
    }
    let Some(stored) =
        stored_row(&record.dynamodb.new_image).map_err(PublishRecordError::Unreadable)?
    else {
        return Ok(Vec::new());
    };
    let row = decode(&stored, RowFormat::READABLE)
        .map_err(|fault| PublishRecordError::Unreadable(fault.to_string()))?;
    let told = notices(&stored.account, &row, &billing.settings.policy);
    if told.iter().any(|notice| notice.warning.is_some())
        && !addresses.contains_key(&stored.account)
    {
        let email = address(billing, &stored.account).await.map_err(PublishRecordError::Profile)?;
        addresses.insert(stored.account.clone(), email);
    }
    let email = addresses.get(&stored.account).and_then(Option::as_ref);
    let page = billing.settings.billing_url.as_deref();
    told.iter()
        .map(|told| {
            let notice = told.warning.as_ref().map(|warning| letter(warning, email, page));
            let detail = serde_json::to_string(&EventDetail { told, notice });
            let detail =
                detail.map_err(|error| PublishRecordError::Unreadable(error.to_string()))?;
            Ok(BusEvent { detail_type: told.news.name().to_owned(), detail })
        })
        .collect()
}

/// The customer's address. `None`, with an alarm, if the profile stays unreadable until it is
/// repaired.
async fn address(
    billing: &Billing,
    account: &AccountId,
) -> Result<Option<EmailAddress>, StoreError> {
    match billing.store.email(account).await {
        // Only this account's item is malformed. A rejected call is different: a missing permission
        // would remove the address from every notice, so these rows wait until it is fixed.
        Err(fault @ StoreError::Malformed { .. }) => {
            // The error names the item and never quotes it, so no address is logged.
            tracing::error!(alarm = "profile_unreadable", %account, %fault, "a notice is published without an address");
            Ok(None)
        }
        read => read,
    }
}

fn letter<'a>(
    warning: &CustomerNotice,
    email: Option<&'a EmailAddress>,
    page: Option<&str>,
) -> NoticeDetail<'a> {
    // The section replaces a fragment in the operator's own URL.
    let section =
        |name: &str| page.map(|page| format!("{}#{name}", page.split('#').next().unwrap_or(page)));
    let link = match &warning.place {
        NoticePlace::Page => page.map(str::to_owned),
        NoticePlace::AddCredit => section("add-credit"),
        NoticePlace::Refill => section("refill"),
        NoticePlace::Project(project) => section(&format!("projects/{project}")),
        NoticePlace::Invoice(url) => Some(url.clone()),
    };
    NoticeDetail {
        email,
        amount: warning.amount.map(|amount| amount.to_string()),
        deadline: warning.deadline.map(|deadline| deadline.to_string()),
        link,
    }
}

/// Reports changes and removals of rows, which must never happen. DynamoDB's own removal of expired
/// claims is the only exception.
fn report_change(record: &StreamRecord) {
    let principal =
        record.user_identity.as_ref().and_then(|identity| identity.principal_id.as_deref());
    let key = record
        .dynamodb
        .keys
        .get("account")
        .and_then(|key| key.string.as_deref())
        .unwrap_or("unknown");
    let expired = record.event_name == "REMOVE" && principal == Some("dynamodb.amazonaws.com");
    if expired && key.starts_with("claim#") {
        return;
    }
    tracing::error!(
        alarm = "ledger_changed",
        event = record.event_name,
        key,
        "the append-only ledger was changed"
    );
}

/// The row of an image. `None` for claims, look-ups and chunks, whose keys contain `#`. Account IDs
/// never do.
fn stored_row(image: &RowImage) -> Result<Option<StoredRow>, String> {
    let text = |name: &'static str| {
        let attribute = image
            .get(name)
            .and_then(|attribute| attribute.string.as_ref().or(attribute.number.as_ref()));
        attribute.ok_or(format!("{name} is missing"))
    };
    let account = text("account")?;
    if account.contains('#') {
        return Ok(None);
    }
    let number =
        |name: &'static str| text(name)?.parse::<i64>().map_err(|error| format!("{name}: {error}"));
    let amount =
        |name: &'static str| text(name)?.parse().map_err(|error| format!("{name}: {error}"));
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
