//! One slice: a shard of the index, page by page, with several accounts at once.

use futures_util::StreamExt;
use serde::Serialize;
use tollgate::domain::ids::AccountId;
use tollgate::domain::timestamp::Timestamp;
use tollgate::runtime::billing::Visit;
use tollgate::runtime::bus::BusEvent;
use tollgate::runtime::settle_tally::{FailedAccount, SettleTally};
use tollgate::store::{CommandError, IndexShard, SettleReport};

use crate::{ACCOUNT, DebitClients, DebitError, DebitSlice, SLICE, SingleAccount, event};

/// Accounts per read of the index. Each takes about a hundred bytes, so a page costs a few read
/// units.
const PAGE: u32 = 200;
/// Accounts settled at once. Each mostly waits for DynamoDB. At 5 ms per call and three calls per
/// account, 32 at once are about 2,000 accounts per second. Their 2,000 reads per second are spread
/// over accounts, and a partition allows 3,000.
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
    let DebitClients { billing, .. } = clients;
    // An unreadable price list fails the slice, not each of its accounts.
    billing.prices(now).await?;
    let mut budget = std::pin::pin!(tokio::time::sleep(clients.budget));
    let mut after = slice.after.clone();
    loop {
        let page = billing.store.billable(shard, after.as_ref(), PAGE).await?;
        settle_page(clients, page.accounts, now, report).await;
        after = page.next;
        let Some(rest) = &after else { break };
        if is_spent(budget.as_mut()).await {
            hand_on(clients, &DebitSlice { after: Some(rest.clone()), ..slice.clone() }, now)
                .await?;
            report.handed_on.push(rest.clone());
            break;
        }
    }
    retry_alone(clients, slice, report).await?;
    report.hour = Some(now);
    report.slices += u32::from(after.is_none());
    Ok(())
}

/// Retries a single account. If it fails again, its message is redelivered.
pub(crate) async fn settle_one(
    clients: &DebitClients,
    account: &AccountId,
    now: Timestamp,
    report: &mut SliceReport,
) -> Result<(), CommandError> {
    let settled = settle_account(clients, account, now).await?;
    report.settled.count(account, &Ok(settled));
    Ok(())
}

async fn settle_page(
    clients: &DebitClients,
    accounts: Vec<AccountId>,
    now: Timestamp,
    report: &mut SliceReport,
) {
    let settle = |account: AccountId| async move {
        let settled = settle_account(clients, &account, now).await;
        (account, settled)
    };
    let mut settled =
        std::pin::pin!(futures_util::stream::iter(accounts).map(settle).buffer_unordered(AT_ONCE));
    while let Some((account, outcome)) = settled.next().await {
        report.settled.count(&account, &outcome);
    }
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
    rest: &DebitSlice,
    now: Timestamp,
) -> Result<(), DebitError> {
    let after = rest.after.as_ref().map_or("", |account| account.as_str());
    let key = format!("slice#{}#{}#{after}", rest.time, rest.shard);
    if clients.billing.store.is_run_claimed(&key).await? {
        return Ok(());
    }
    clients.bus.put(&[event(SLICE, rest)?]).await?;
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

/// Whether the budget is spent. Uses a timer, not a clock.
async fn is_spent(budget: std::pin::Pin<&mut tokio::time::Sleep>) -> bool {
    tokio::select! {
        biased;
        () = budget => true,
        () = std::future::ready(()) => false,
    }
}
