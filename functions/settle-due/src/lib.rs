//! `settle-due`: each minute, settles every account that is due: ends of partial hours, grants and
//! trials, and other deadlines. Work that needs Stripe is put on the bus for the function that
//! calls it: refills as soon as they are found, deletions at the end.
//!
//! The index may name an account that is no longer due, or miss one that has just become due.
//! Settling an account with nothing due writes nothing, and the next run follows in a minute. A run
//! whose time is over leaves the rest to the next one, which starts with other shards.

mod deletions;
mod refills;

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::join;
use futures_util::stream::{self, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tollgate::domain::ids::AccountId;
use tollgate::domain::settle::TriggerDelivery;
use tollgate::domain::settle::due::{
    asks_about_deletion, refill_needs_driving, refunds_need_driving,
};
use tollgate::domain::timestamp::{MINUTE, Timestamp};
use tollgate::runtime::billing::{Billing, Visit};
use tollgate::runtime::bus::{Bus, BusEvent, PublishError};
use tollgate::runtime::delivery::{DeliveryTime, TriggerTimeError};
use tollgate::runtime::metrics::MetricsSummary;
use tollgate::runtime::run_budget::{RunBudget, RunEnd};
use tollgate::runtime::settle_tally::SettleTally;
use tollgate::store::{
    CommandError, DueAccount, DueAccounts, IndexShard, SettleReport, SettledAccount, StoreError,
};

use deletions::WaitingDeletion;
pub use deletions::{DELETION_UNCONFIRMED, DELETIONS_MAX};
pub use refills::REFILL_DUE;
use refills::RefillsSent;

/// The function's timeout in the template, below the minute after which the next run starts.
pub const TIMEOUT: Duration = Duration::from_secs(55);
/// The time of a run. The rest of the timeout is for its last refills.
pub const BUDGET: RunBudget =
    RunBudget { starting: Duration::from_secs(35), finishing: Duration::from_secs(45) };

/// Accounts per read of a shard of the index.
const PAGE: u32 = 100;
/// Shards read at once.
const SHARDS_AT_ONCE: usize = 16;
/// How many shards later the next run starts. It is odd, so that each of the 64 shards comes first in
/// turn.
const SHARDS_A_TURN: usize = 17;
/// Accounts settled at once. Each mostly waits for DynamoDB.
const AT_ONCE: usize = 32;

/// The parts that the function is built from.
#[derive(Debug)]
pub struct SettleDueClients {
    pub billing: Billing,
    pub bus: Bus,
    pub budget: RunBudget,
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
    /// Accounts whose refill or refund was put on the bus.
    pub refills: u32,
    /// Accounts whose deletion was put on the bus.
    pub deletions: u32,
    /// Whether accounts are left to the next run, because the time was over.
    pub cut_off: bool,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum SettleDueError {
    #[error(transparent)]
    Time(#[from] TriggerTimeError),
    /// The price list could not be read.
    #[error(transparent)]
    Fault(#[from] StoreError),
    /// Shards of the index could not be read. The accounts of the others were settled.
    #[error("{why}")]
    Index {
        /// The last failure.
        why: StoreError,
        report: Box<SettleDueReport>,
    },
    /// The bus did not accept all events. Accounts were settled. The next run sends the refills and
    /// deletions again.
    #[error("{why}")]
    Bus { why: PublishError, report: Box<SettleDueReport> },
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
    let now = delivered.time_of(&trigger.time)?;
    // An unreadable price list fails the run, not each of its accounts.
    clients.billing.prices(now).await?;
    let unlisted = RefCell::new(None);
    let (refills, to_send) = mpsc::unbounded_channel();
    let due = all_due(clients, now, &unlisted);
    let deletions = RefCell::default();
    let settle = settle_all(clients, due, now, FollowUps { refills, deletions: &deletions });
    let send = refills::send(clients, to_send);
    let (mut report, RefillsSent { sent, failed }) = join(settle, send).await;
    report.refills = sent;
    // After the refills, which keep customers' machines running.
    let (sent, not_deleted) = deletions::send(clients, deletions.into_inner(), now).await;
    report.deletions = sent;
    let failed = failed.or(not_deleted);
    if let Some(why) = unlisted.into_inner() {
        return Err(SettleDueError::Index { why, report: Box::new(report) });
    }
    match failed {
        Some(why) => Err(SettleDueError::Bus { why, report: Box::new(report) }),
        None => Ok(report),
    }
}

/// The report of a run, even if the run failed.
#[must_use]
pub fn report_of(run: &Result<SettleDueReport, SettleDueError>) -> Option<&SettleDueReport> {
    match run {
        Ok(report) => Some(report),
        Err(SettleDueError::Index { report, .. } | SettleDueError::Bus { report, .. }) => {
            Some(report)
        }
        Err(SettleDueError::Time(_) | SettleDueError::Fault(_)) => None,
    }
}

impl SettleDueReport {
    /// The log line and metrics of a run.
    #[must_use]
    pub fn summary(&self, trigger: &MinuteTrigger) -> MetricsSummary {
        let summary = MetricsSummary::new("settle-due run").field("time", trigger.time.as_str());
        self.settled
            .summarize(summary)
            .count("Refills", self.refills)
            .count("Deletions", self.deletions)
            .count("CutOff", u8::from(self.cut_off))
    }
}

type Settled = Result<SettleReport, CommandError>;

/// The accounts about which Stripe must be asked.
struct FollowUps<'a> {
    /// Sent while others are still settled.
    refills: mpsc::UnboundedSender<AccountId>,
    deletions: &'a RefCell<Vec<WaitingDeletion>>,
}

/// What Stripe must be asked about an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct FollowUp {
    /// Whether a refill or a refund must continue.
    refill: bool,
    /// Since when the account's deletion has been due.
    deletion_since: Option<Timestamp>,
}

/// Settles accounts, and names those about which Stripe must be asked.
async fn settle_all(
    clients: &SettleDueClients,
    due: impl Stream<Item = AccountId>,
    now: Timestamp,
    follow_ups: FollowUps<'_>,
) -> SettleDueReport {
    let mut report = SettleDueReport::default();
    let settle = async |account: AccountId| settle_one(clients, &account, now).await;
    let done = |account: AccountId, (settled, follow_up): (Settled, FollowUp)| {
        report.settled.count(&account, &settled);
        if follow_up.refill && follow_ups.refills.send(account.clone()).is_err() {
            tracing::debug!("refills are no longer sent");
        }
        if let Some(since) = follow_up.deletion_since {
            follow_ups.deletions.borrow_mut().push(WaitingDeletion { since, account });
        }
    };
    let run = clients.budget.work(AT_ONCE, due, settle, done).await;
    report.settled.count_unfinished(run.unfinished);
    report.cut_off = match run.end {
        RunEnd::Complete => false,
        RunEnd::CutOff { .. } => true,
    };
    report
}

/// Settles an account, and finds what Stripe must be asked. Refunds do not wait for an account that
/// cannot be settled until staff repair it.
async fn settle_one(
    clients: &SettleDueClients,
    account: &AccountId,
    now: Timestamp,
) -> (Settled, FollowUp) {
    let policy = &clients.billing.settings.policy;
    // The template drops a minute's trigger after five minutes, so only this run announces
    // deletions.
    let visit = Visit { delivery: TriggerDelivery::Prompt, ..Visit::of(account, now) };
    let look = |settled: &SettledAccount<'_>| {
        let state = settled.view.state();
        let follow_up = FollowUp {
            refill: refill_needs_driving(state, policy, now)
                || refunds_need_driving(account, state, now),
            deletion_since: asks_about_deletion(account, state, now).then_some(state.at),
        };
        (settled.report.clone(), follow_up)
    };
    match clients.billing.settle(visit, look).await {
        Ok((report, follow_up)) => (Ok(report), follow_up),
        Err(error @ CommandError::Fault(StoreError::Unpriced(_) | StoreError::ListDisagrees)) => {
            let head = clients.billing.store.head(account).await.ok().flatten();
            let refill = head.is_some_and(|head| refunds_need_driving(account, &head.state, now));
            (Err(error), FollowUp { refill, ..FollowUp::default() })
        }
        Err(error) => (Err(error), FollowUp::default()),
    }
}

/// An event that asks a function to look at an account.
fn event_of(detail_type: &str, account: &AccountId) -> BusEvent {
    let detail = serde_json::json!({ "account": account }).to_string();
    BusEvent { detail_type: detail_type.to_owned(), detail }
}

/// The accounts that are due. The first page of each shard is read before any account is settled,
/// and the others as they are needed. An error ends the list of its shard and is left in `failed`.
fn all_due<'a>(
    clients: &'a SettleDueClients,
    now: Timestamp,
    failed: &'a RefCell<Option<StoreError>>,
) -> impl Stream<Item = AccountId> + 'a {
    let first_page = move |shard| async move {
        let page = page(clients, shard, now, None, failed).await;
        (shard, page)
    };
    let first_pages = stream::iter(shards_from(now)).map(first_page).buffered(SHARDS_AT_ONCE);
    let accounts = move |(shard, page): (IndexShard, Option<DueAccounts>)| {
        stream::iter(page).flat_map(move |page| after_first(clients, shard, now, page, failed))
    };
    stream::once(first_pages.collect::<Vec<_>>()).flat_map(stream::iter).flat_map(accounts)
}

/// All shards, starting with another one each minute. If every run is cut off, each shard still has
/// its turn.
fn shards_from(now: Timestamp) -> impl Iterator<Item = IndexShard> {
    let shards: Vec<IndexShard> = IndexShard::all().collect();
    let turn = now.seconds().div_euclid(MINUTE).unsigned_abs();
    let turns = usize::try_from(turn).unwrap_or_default().wrapping_mul(SHARDS_A_TURN);
    let first = turns.checked_rem(shards.len()).unwrap_or_default();
    let count = shards.len();
    shards.into_iter().cycle().skip(first).take(count)
}

/// The accounts of a shard, from its first page on.
fn after_first<'a>(
    clients: &'a SettleDueClients,
    shard: IndexShard,
    now: Timestamp,
    first: DueAccounts,
    failed: &'a RefCell<Option<StoreError>>,
) -> impl Stream<Item = AccountId> + 'a {
    let others = stream::unfold(first.next, move |after| async move {
        let page = page(clients, shard, now, Some(&after?), failed).await?;
        Some((stream::iter(page.accounts), page.next))
    });
    stream::iter(first.accounts).chain(others.flatten()).map(|due| due.account)
}

async fn page(
    clients: &SettleDueClients,
    shard: IndexShard,
    now: Timestamp,
    after: Option<&DueAccount>,
    failed: &RefCell<Option<StoreError>>,
) -> Option<DueAccounts> {
    match clients.billing.store.due(shard, now, after, PAGE).await {
        Ok(page) => Some(page),
        Err(error) => {
            tracing::warn!(shard = shard.number(), fault = %error, "a shard cannot be read");
            failed.replace(Some(error));
            None
        }
    }
}
