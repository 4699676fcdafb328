//! `settle-due`: each minute, settles every account that is due: ends of partial hours, grants and
//! trials, and other deadlines. Work that needs Stripe is put on the bus for the function that
//! calls it.
//!
//! The index may name an account that is no longer due, or miss one that has just become due.
//! Settling an account with nothing due writes nothing, and the next run follows in a minute.

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tollgate::domain::ids::AccountId;
use tollgate::domain::settle::TriggerDelivery;
use tollgate::domain::settle::due::refill_needs_driving;
use tollgate::domain::timestamp::Timestamp;
use tollgate::runtime::billing::{Billing, Visit};
use tollgate::runtime::bus::{Bus, BusEvent, PublishError};
use tollgate::runtime::delivery::{DeliveryTime, TriggerAheadError};
use tollgate::runtime::metrics::MetricsSummary;
use tollgate::runtime::settle_tally::SettleTally;
use tollgate::store::{
    CommandError, DueAccount, IndexShard, SettleReport, SettledAccount, StoreError,
};

/// The `detail-type` of a wanted or open refill that must continue.
pub const REFILL_DUE: &str = "RefillDue";

/// Accounts per read of a shard of the index.
const PAGE: u32 = 100;
/// Shards, or accounts, processed at once.
const AT_ONCE: usize = 16;

/// The parts that the function is built from.
#[derive(Debug)]
pub struct SettleDueClients {
    pub billing: Billing,
    pub bus: Bus,
}

/// From EventBridge Scheduler, with `<aws.scheduler.scheduled-time>`.
#[derive(Clone, Debug, Deserialize)]
pub struct MinuteTrigger {
    /// The time it was scheduled for (RFC 3339, UTC).
    pub time: String,
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SettleDueReport {
    /// The accounts in the index. The next run retries the failed ones.
    #[serde(flatten)]
    pub settled: SettleTally,
    /// Accounts whose refill was put on the bus.
    pub refills: u32,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum SettleDueError {
    /// The trigger's time is invalid. This is a wiring error.
    #[error("the trigger cannot be read: {0}")]
    Unreadable(String),
    /// The trigger's time is ahead of its delivery. Nothing is settled up to it.
    #[error(transparent)]
    Ahead(#[from] TriggerAheadError),
    /// The bus did not accept all events. The next run sends wanted refills again.
    #[error("{why}")]
    Bus {
        why: PublishError,
        /// The completed part: accounts were settled.
        report: Box<SettleDueReport>,
    },
    /// The index or the price list could not be read.
    #[error(transparent)]
    Fault(#[from] StoreError),
}

/// Settles all accounts that are due at the trigger's time.
///
/// # Errors
/// [`SettleDueError`] if the index, the price list or the bus fails. A failed account is
/// part of the report instead.
pub async fn handle(
    clients: &SettleDueClients,
    trigger: &MinuteTrigger,
    delivered: DeliveryTime,
) -> Result<SettleDueReport, SettleDueError> {
    let unreadable =
        |error| SettleDueError::Unreadable(format!("time {:?}: {error}", trigger.time));
    let now: Timestamp = trigger.time.parse().map_err(unreadable)?;
    delivered.check(now)?;
    let due = all_due(clients, now).await?;
    // An unreadable price list fails the run, not each of its accounts.
    clients.billing.prices(now).await?;
    let mut report = SettleDueReport::default();
    let mut refills = Vec::new();
    let settle = |account| settle_one(clients, account, now);
    let mut settled =
        std::pin::pin!(futures_util::stream::iter(due).map(settle).buffer_unordered(AT_ONCE));
    while let Some((account, outcome)) = settled.next().await {
        let (settled, needs_refill) = match outcome {
            Ok((report, needs_refill)) => (Ok(report), needs_refill),
            Err(error) => (Err(error), false),
        };
        report.settled.count(&account, &settled);
        if needs_refill {
            refills.push(account);
        }
    }
    // In a fixed order, so that runs can be compared.
    refills.sort();
    let events: Vec<BusEvent> = refills.iter().map(refill_due).collect();
    match clients.bus.put(&events).await {
        Ok(()) => Ok(SettleDueReport {
            refills: u32::try_from(refills.len()).unwrap_or(u32::MAX),
            ..report
        }),
        Err(why) => Err(SettleDueError::Bus { why, report: Box::new(report) }),
    }
}

/// The report of a run, even if the run failed.
#[must_use]
pub fn report_of(run: &Result<SettleDueReport, SettleDueError>) -> Option<&SettleDueReport> {
    match run {
        Ok(report) => Some(report),
        Err(SettleDueError::Bus { report, .. }) => Some(report),
        Err(
            SettleDueError::Unreadable(_) | SettleDueError::Ahead(_) | SettleDueError::Fault(_),
        ) => None,
    }
}

impl SettleDueReport {
    /// The log line and metrics of a run.
    #[must_use]
    pub fn summary(&self, trigger: &MinuteTrigger) -> MetricsSummary {
        let summary = MetricsSummary::new("settle-due run").field("time", trigger.time.as_str());
        self.settled.summarize(summary).count("Refills", self.refills)
    }
}

/// Settles an account. Returns whether its refill must continue.
async fn settle_one(
    clients: &SettleDueClients,
    account: AccountId,
    now: Timestamp,
) -> (AccountId, Result<(SettleReport, bool), CommandError>) {
    let policy = &clients.billing.settings.policy;
    // The template drops a minute's trigger after five minutes, so only this run announces
    // deletions.
    let visit = Visit { delivery: TriggerDelivery::Prompt, ..Visit::of(&account, now) };
    let look = |settled: &SettledAccount<'_>| {
        let needs_refill = refill_needs_driving(settled.view.state(), policy, now);
        (settled.report.clone(), needs_refill)
    };
    let settled = clients.billing.settle(visit, look).await;
    (account, settled)
}

async fn all_due(clients: &SettleDueClients, now: Timestamp) -> Result<Vec<AccountId>, StoreError> {
    let of_shard = |shard| due_of_shard(clients, shard, now);
    let shards: Vec<Result<Vec<AccountId>, StoreError>> =
        futures_util::stream::iter(IndexShard::all())
            .map(of_shard)
            .buffered(AT_ONCE)
            .collect()
            .await;
    Ok(shards.into_iter().collect::<Result<Vec<_>, StoreError>>()?.into_iter().flatten().collect())
}

async fn due_of_shard(
    clients: &SettleDueClients,
    shard: IndexShard,
    now: Timestamp,
) -> Result<Vec<AccountId>, StoreError> {
    let mut accounts = Vec::new();
    let mut after: Option<DueAccount> = None;
    loop {
        let page = clients.billing.store.due(shard, now, after.as_ref(), PAGE).await?;
        accounts.extend(page.accounts.into_iter().map(|due| due.account));
        after = page.next;
        if after.is_none() {
            return Ok(accounts);
        }
    }
}

fn refill_due(account: &AccountId) -> BusEvent {
    BusEvent {
        detail_type: REFILL_DUE.to_owned(),
        detail: serde_json::json!({ "account": account }).to_string(),
    }
}
