//! One slice: a shard of the index, page by page, with several accounts at once.

use std::cell::RefCell;

use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use tollgate::domain::ids::AccountId;
use tollgate::domain::timestamp::Timestamp;
use tollgate::runtime::billing::Visit;
use tollgate::runtime::bus::BusEvent;
use tollgate::runtime::run_budget::RunEnd;
use tollgate::runtime::settle_tally::{FailedAccount, SettleTally};
use tollgate::store::{CommandError, IndexShard, SettleReport, StoreError};

use crate::{ACCOUNT, DebitClients, DebitError, DebitSlice, SLICE, SingleAccount, event};

/// Accounts per read of the index. Each takes about a hundred bytes, so a page costs a few read
/// units.
const PAGE: u32 = 200;
/// Accounts settled at once. Each mostly waits for DynamoDB. At 5 ms per call and three calls per
/// account, 32 at once would be about 2,000 accounts per second. That is enough, because one vCPU
/// settles about 1,600 per second. Their reads are spread over accounts, and a partition allows
/// 3,000 per second.
const AT_ONCE: usize = 32;

/// The result of settling one or more slices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SliceReport {
    /// The scheduled time of the slice, or the earliest of several. `None` if only single accounts
    /// were settled, because an account retried for hours does not make the hour slow.
    pub hour: Option<Timestamp>,
    pub slices: u32,
    /// Accounts of slices, and single accounts. Failed accounts are retried alone.
    #[serde(flatten)]
    pub settled: SettleTally,
    /// Where another worker continues, for each slice handed on.
    pub handed_on: Vec<AccountId>,
}

impl SliceReport {
    /// Adds the report of another slice.
    pub fn add(&mut self, other: SliceReport) {
        self.hour = self.hour.into_iter().chain(other.hour).min();
        self.slices += other.slices;
        self.settled.add(other.settled);
        self.handed_on.extend(other.handed_on);
    }
}

/// Settles the accounts of a slice until its end or until the budget is spent, and then hands on
/// the rest. The report is complete even if the slice then fails.
pub(crate) async fn settle(
    clients: &DebitClients,
    slice: &DebitSlice,
    now: Timestamp,
    report: &mut SliceReport,
) -> Result<(), DebitError> {
    let shard = IndexShard::new(slice.shard)
        .ok_or_else(|| DebitError::Unreadable(format!("shard {}", slice.shard)))?;
    // An unreadable price list fails the slice, not each of its accounts.
    clients.billing.prices(now).await?;
    let unlisted = RefCell::new(None);
    let accounts = billable(clients, shard, slice.after.clone(), &unlisted);
    let end = settle_all(clients, accounts, now, report).await;
    if let Some(error) = unlisted.into_inner() {
        return Err(error.into());
    }
    // Before the rest is handed on: a second delivery may get less far, and then knows only the
    // failures up to there.
    retry_alone(clients, slice, report).await?;
    let is_complete = match end {
        RunEnd::Complete => true,
        RunEnd::CutOff { after: Some(after) } => {
            hand_on(clients, slice, &after, now).await?;
            report.handed_on.push(after);
            false
        }
        RunEnd::CutOff { after: None } => return Err(DebitError::OutOfTime),
    };
    report.hour = Some(now);
    report.slices += u32::from(is_complete);
    Ok(())
}

/// Retries a single account. If it fails again, its message is redelivered.
pub(crate) async fn settle_one(
    clients: &DebitClients,
    account: AccountId,
    now: Timestamp,
    report: &mut SliceReport,
) -> Result<(), DebitError> {
    let settled = settle_account(clients, &account, now);
    let settled = tokio::time::timeout(clients.budget.finishing, settled).await;
    let settled = settled.map_err(|_late| DebitError::OutOfTime)??;
    report.settled.count(&account, &Ok(settled));
    Ok(())
}

async fn settle_all(
    clients: &DebitClients,
    accounts: impl Stream<Item = AccountId>,
    now: Timestamp,
    report: &mut SliceReport,
) -> RunEnd {
    let settle = async |account: AccountId| settle_account(clients, &account, now).await;
    let done = |account: AccountId, outcome| report.settled.count(&account, &outcome);
    let run = clients.budget.work(AT_ONCE, accounts, settle, done).await;
    report.settled.count_unfinished(run.unfinished);
    run.end
}

/// The accounts of a shard in the order of the index, read page by page as they are needed. An
/// error ends the list and is left in `failed`.
fn billable<'a>(
    clients: &'a DebitClients,
    shard: IndexShard,
    after: Option<AccountId>,
    failed: &'a RefCell<Option<StoreError>>,
) -> impl Stream<Item = AccountId> + 'a {
    let pages = stream::unfold(Some(after), move |next| async move {
        match clients.billing.store.billable(shard, next?.as_ref(), PAGE).await {
            Ok(page) => Some((stream::iter(page.accounts), page.next.map(Some))),
            Err(error) => {
                failed.replace(Some(error));
                None
            }
        }
    });
    pages.flatten()
}

async fn settle_account(
    clients: &DebitClients,
    account: &AccountId,
    now: Timestamp,
) -> Result<SettleReport, CommandError> {
    clients.billing.settle(Visit::of(account, now), |settled| settled.report.clone()).await
}

/// Hands on the rest of a slice once, however often this message is delivered. The event comes
/// before the claim. If a worker dies in between, the rest is handed on again instead of never.
async fn hand_on(
    clients: &DebitClients,
    slice: &DebitSlice,
    after: &AccountId,
    now: Timestamp,
) -> Result<(), DebitError> {
    // Named after the message. A second delivery may get less far and would find another rest.
    let start = slice.after.as_ref().map_or("", |account| account.as_str());
    let key = format!("slice-rest#{}#{}#{start}", slice.time, slice.shard);
    if clients.billing.store.is_run_claimed(&key).await? {
        return Ok(());
    }
    let rest = DebitSlice { after: Some(after.clone()), ..slice.clone() };
    clients.bus.put(&[event(SLICE, &rest)?]).await?;
    clients.billing.store.claim_run(&key, now).await?;
    Ok(())
}

async fn retry_alone(
    clients: &DebitClients,
    slice: &DebitSlice,
    report: &SliceReport,
) -> Result<(), DebitError> {
    let single = |failed: &FailedAccount| {
        event(ACCOUNT, &SingleAccount { time: slice.time.clone(), account: failed.account.clone() })
    };
    let events: Vec<BusEvent> =
        report.settled.failed.iter().map(single).collect::<Result<_, _>>()?;
    clients.bus.put(&events).await?;
    Ok(())
}
