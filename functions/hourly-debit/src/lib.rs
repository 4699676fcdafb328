//! `hourly-debit`: at the start of each hour, every account with running resources pays for the
//! hour ahead.
//!
//! The schedule starts one run. It cuts the index `billable` into slices and puts each on the bus.
//! A queue distributes them to the workers. A worker settles the accounts of its slice. If its time
//! runs short, it hands on the rest. An account that failed or took too long is put on the bus
//! alone, where it is retried and in the end dead-lettered, and the others continue.
//!
//! This function decides nothing. [`Store::settle`] does what the state asks for, so a repeated,
//! late or missing run needs no code of its own.
//!
//! [`Store::settle`]: tollgate::store::Store::settle

mod slice;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate::domain::ids::AccountId;
use tollgate::runtime::billing::Billing;
use tollgate::runtime::bus::{Bus, BusEvent, PublishError};
use tollgate::runtime::delivery::{DeliveryTime, TriggerTimeError};
use tollgate::runtime::metrics::MetricsSummary;
use tollgate::runtime::run_budget::RunBudget;
use tollgate::store::{CommandError, IndexShard, StoreError};

pub use slice::SliceReport;

/// The `detail-type` of a slice of the index.
pub const SLICE: &str = "HourlyDebitSlice";
/// The `detail-type` of a single account that is retried.
pub const ACCOUNT: &str = "HourlyDebitAccount";

/// The function's timeout in the template.
pub const TIMEOUT: Duration = Duration::from_secs(120);
/// The time of a slice. The rest of the timeout is for the bus, which the slice's rest and its
/// failed accounts are put on.
pub const BUDGET: RunBudget =
    RunBudget { starting: Duration::from_secs(60), finishing: Duration::from_secs(90) };

/// The parts that the function is built from.
#[derive(Debug)]
pub struct DebitClients {
    pub billing: Billing,
    pub bus: Bus,
    pub budget: RunBudget,
}

/// The trigger: the schedule or the queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum DebitTrigger {
    /// From EventBridge Scheduler, with `<aws.scheduler.scheduled-time>`.
    Schedule {
        /// The time it was scheduled for (RFC 3339, UTC).
        time: String,
    },
    /// From the queue, with events of the bus.
    Queue {
        /// One event per record.
        #[serde(rename = "Records")]
        records: Vec<QueueMessage>,
    },
}

/// A message of the queue with an event of the bus.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueMessage {
    message_id: String,
    body: String,
}

/// An event as rules forward it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BusEnvelope {
    detail_type: String,
    detail: serde_json::Value,
}

/// A part of one hour's run: a shard of the index, after an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebitSlice {
    /// The scheduled time of the run (RFC 3339, UTC). Accounts are settled up to it.
    pub time: String,
    pub shard: u8,
    /// The account after which the slice starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<AccountId>,
}

/// A single account to retry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SingleAccount {
    time: String,
    account: AccountId,
}

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum DebitOutcome {
    /// Slices were put on the bus.
    Started { slices: usize },
    /// Messages were processed. The queue needs the result.
    Worked(WorkedBatch),
}

/// The outcome of a batch of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkedBatch {
    /// Messages that must be redelivered.
    pub batch_item_failures: Vec<BatchItemFailure>,
    pub report: SliceReport,
}

/// A message that must be redelivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    pub item_identifier: String,
}

/// Why a call failed. The trigger is delivered again.
#[derive(Debug, thiserror::Error)]
pub enum DebitError {
    /// The trigger's content is invalid. This is a wiring error.
    #[error("the trigger cannot be read: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Time(#[from] TriggerTimeError),
    /// The bus did not accept all events.
    #[error(transparent)]
    Bus(#[from] PublishError),
    /// The infrastructure failed.
    #[error(transparent)]
    Fault(#[from] StoreError),
    /// A single account failed again.
    #[error(transparent)]
    Account(#[from] CommandError),
    /// The index or a single account took longer than the budget.
    #[error("the slice or account was not settled in time")]
    OutOfTime,
}

impl DebitOutcome {
    /// The log line and metrics of a call.
    #[must_use]
    pub fn summary(&self) -> MetricsSummary {
        match self {
            DebitOutcome::Started { slices } => MetricsSummary::new("hourly run started")
                .count("HoursStarted", 1_u8)
                .count("SlicesStarted", *slices),
            DebitOutcome::Worked(worked) => worked.summary(),
        }
    }
}

impl WorkedBatch {
    fn summary(&self) -> MetricsSummary {
        let report = &self.report;
        let handed_on: Vec<&str> = report.handed_on.iter().map(AccountId::as_str).collect();
        let summary = MetricsSummary::new("slice settled").field("handed_on", handed_on);
        let summary = report
            .settled
            .summarize(summary)
            .count("SlicesSettled", report.slices)
            .count("SlicesHandedOn", report.handed_on.len())
            .count("DeliveredAgain", self.batch_item_failures.len());
        match report.hour {
            Some(hour) => summary.seconds_since("SecondsAfterHour", hour),
            None => summary,
        }
    }
}

/// Starts a run, or works on slices and single accounts.
///
/// # Errors
/// [`DebitError`] of the schedule's call. A failed message is reported in [`WorkedBatch`]
/// instead, without the others.
pub async fn handle(
    clients: &DebitClients,
    trigger: DebitTrigger,
    delivered: DeliveryTime,
) -> Result<DebitOutcome, DebitError> {
    match trigger {
        DebitTrigger::Schedule { time } => start(clients, &time, delivered).await,
        DebitTrigger::Queue { records } => {
            Ok(DebitOutcome::Worked(work(clients, &records, delivered).await))
        }
    }
}

/// Puts one slice per shard on the bus. A second call settles the accounts again, and nothing is
/// due then.
async fn start(
    clients: &DebitClients,
    time: &str,
    delivered: DeliveryTime,
) -> Result<DebitOutcome, DebitError> {
    delivered.time_of(time)?;
    let slices = IndexShard::all().map(|shard| DebitSlice {
        time: time.to_owned(),
        shard: shard.number(),
        after: None,
    });
    let events: Vec<BusEvent> =
        slices.map(|slice| event(SLICE, &slice)).collect::<Result<_, _>>()?;
    clients.bus.put(&events).await?;
    Ok(DebitOutcome::Started { slices: events.len() })
}

async fn work(
    clients: &DebitClients,
    messages: &[QueueMessage],
    delivered: DeliveryTime,
) -> WorkedBatch {
    let mut worked = WorkedBatch::default();
    for message in messages {
        let mut report = SliceReport::default();
        if let Err(failure) = work_on(clients, message, delivered, &mut report).await {
            tracing::error!(alarm = "slice_failed", message = message.message_id, %failure);
            worked
                .batch_item_failures
                .push(BatchItemFailure { item_identifier: message.message_id.clone() });
        }
        worked.report.add(report);
    }
    worked
}

async fn work_on(
    clients: &DebitClients,
    message: &QueueMessage,
    delivered: DeliveryTime,
    report: &mut SliceReport,
) -> Result<(), DebitError> {
    let unreadable = |error: serde_json::Error| DebitError::Unreadable(error.to_string());
    let envelope: BusEnvelope = serde_json::from_str(&message.body).map_err(unreadable)?;
    match envelope.detail_type.as_str() {
        SLICE => {
            let slice: DebitSlice = serde_json::from_value(envelope.detail).map_err(unreadable)?;
            slice::settle(clients, &slice, delivered.time_of(&slice.time)?, report).await
        }
        ACCOUNT => {
            let SingleAccount { time, account } =
                serde_json::from_value(envelope.detail).map_err(unreadable)?;
            slice::settle_one(clients, account, delivered.time_of(&time)?, report).await
        }
        other => Err(DebitError::Unreadable(format!("unknown detail-type {other}"))),
    }
}

fn event(detail_type: &str, detail: &impl Serialize) -> Result<BusEvent, DebitError> {
    let detail =
        serde_json::to_string(detail).map_err(|error| DebitError::Unreadable(error.to_string()))?;
    Ok(BusEvent { detail_type: detail_type.to_owned(), detail })
}
