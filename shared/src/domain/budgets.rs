//! Budgets: what a project may cost in a calendar month (UTC).
//!
//! A budget counts what the project's month costs, whichever credit pays for it. A line counts in the
//! month that it pays for, as in the project's bill ([`views::spending`](crate::views::spending)). Rows
//! carry what they spend of each budget, because their lines name resources and not projects.
//!
//! A budget that stops ends the time of its project at its last affordable second: everything is paid
//! to that second, then what runs in the project is stopped, and the rest goes on. What is kept while
//! stopped is still billed. Metered usage beyond it is counted, because it happened. Starts and holds
//! beyond it are refused. No budget counts time that ran in a respite when it is paid later. What is
//! owed for it is limited by the budget.

use std::collections::BTreeMap;

use crate::domain::account::{AccountState, BudgetSpend};
use crate::domain::event::{
    BilledLines, BillingChange, BudgetChange, Change, ResourceChange, ResourceLine, StopReason,
};
use crate::domain::ids::{ProjectId, ResourceId};
use crate::domain::money::{Rate, Usd};
use crate::domain::resources::BilledMode;
use crate::domain::row_format::RowFormat;
use crate::domain::timestamp::{HOUR, Timestamp};

/// The first format with budgets.
pub const BUDGETS_KNOWN: RowFormat = RowFormat::new(6);
/// How many budgets an account may have. Each stands in every row of the account.
pub const BUDGETS_MAX: usize = 10;

/// What lines cost a project at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProjectCost<'a> {
    project: &'a ProjectId,
    /// An instant of the time that is paid.
    at: Timestamp,
    /// In USD. Below zero if it is given back.
    amount: Usd,
}

/// What a budget must have left for so many seconds, in USD. Time that is too short to cost anything
/// needs a millionth all the same: only what is free runs without a budget.
pub(crate) fn needed(rate: Rate, seconds: i64) -> Usd {
    if rate.is_zero() { Usd::ZERO } else { rate.for_seconds(seconds).max(Usd::from_micros(1)) }
}

/// What the lines of a change spend of budgets, if the change names their projects. The lines of
/// [`BillingChange::Usage`] and of suspensions need the list of resources: [`line_spends`].
pub(crate) fn named_spends(
    state: &AccountState,
    change: &Change,
    now: Timestamp,
) -> Vec<BudgetSpend> {
    if state.budgets.is_empty() { Vec::new() } else { spends(state, named_costs(change, now)) }
}

/// What lines spend of budgets. `owners` are resources and their projects. They are not looked at in an
/// account without budgets, whose every hour comes through here.
pub(crate) fn line_spends<'a>(
    state: &AccountState,
    lines: &[ResourceLine],
    at: Timestamp,
    owners: impl Iterator<Item = (&'a ResourceId, &'a ProjectId)>,
) -> Vec<BudgetSpend> {
    if state.budgets.is_empty() {
        return Vec::new();
    }
    spends(state, costs_of(lines, at, &owners.collect()))
}

/// What costs add up to, for each budget and month.
fn spends(state: &AccountState, costs: Vec<ProjectCost<'_>>) -> Vec<BudgetSpend> {
    let mut sums: BTreeMap<(&ProjectId, Timestamp), Usd> = BTreeMap::new();
    for cost in costs {
        if state.budget(cost.project).is_some() {
            *sums.entry((cost.project, cost.at.month_start())).or_default() += cost.amount;
        }
    }
    sums.retain(|_, amount| !amount.is_zero());
    let spend = |((project, month), amount): ((&ProjectId, Timestamp), Usd)| BudgetSpend {
        project: project.clone(),
        month,
        amount,
        told: None,
    };
    sums.into_iter().map(spend).collect()
}

fn named_costs(change: &Change, now: Timestamp) -> Vec<ProjectCost<'_>> {
    let metered = change.meter_lines().iter().map(|line| ProjectCost {
        project: &line.project,
        at: line.hour.unwrap_or_else(|| hour_before(change, now)),
        amount: -line.amount,
    });
    let mut costs: Vec<ProjectCost<'_>> = metered.collect();
    #[allow(clippy::wildcard_enum_match_arm, reason = "no other row has lines and names resources")]
    let (lines, at, projects): (_, _, BTreeMap<&ResourceId, &ProjectId>) = match change {
        Change::Resource(ResourceChange::Started { resources, lines, .. }) => {
            (lines, now, resources.iter().map(|one| (&one.id, &one.project)).collect())
        }
        Change::Resource(ResourceChange::StartFailed { resource, lines, .. }) => {
            (lines, now, BTreeMap::from([(&resource.id, &resource.project)]))
        }
        Change::Resource(ResourceChange::Stopped { resources, lines, as_of, .. }) => {
            (lines, *as_of, resources.iter().map(|one| (&one.id, &one.project)).collect())
        }
        Change::Resource(ResourceChange::ResourcesDeleted { resources, lines, .. }) => {
            (lines, now, resources.iter().map(|one| (&one.id, &one.project)).collect())
        }
        _ => return costs,
    };
    if let BilledLines::Here(lines) = lines {
        costs.extend(costs_of(lines, at, &projects));
    }
    costs
}

fn costs_of<'a>(
    lines: &[ResourceLine],
    at: Timestamp,
    projects: &BTreeMap<&ResourceId, &'a ProjectId>,
) -> Vec<ProjectCost<'a>> {
    let cost = |line: &ResourceLine| {
        let project = projects.get(&line.resource)?;
        Some(ProjectCost { project, at, amount: -line.amount })
    };
    lines.iter().filter_map(cost).collect()
}

/// Releases before format 6 counted usage without its hour, and billed the hour before.
fn hour_before(change: &Change, now: Timestamp) -> Timestamp {
    let billed = if let Change::Billing(BillingChange::Metered { hour, .. }) = change {
        *hour
    } else {
        None
    };
    billed.unwrap_or_else(|| now.hour().start()).plus(-HOUR)
}

/// What is owed for unpaid time, in USD. A project in which something runs owes at most what its budget
/// leaves. `costs` are projects, modes and amounts.
pub(crate) fn owed_within<'a>(
    state: &AccountState,
    paid_through: Timestamp,
    costs: impl Iterator<Item = (&'a ProjectId, BilledMode, Usd)>,
) -> Usd {
    let mut sums: BTreeMap<&ProjectId, (Usd, bool)> = BTreeMap::new();
    for (project, mode, amount) in costs {
        let (sum, runs) = sums.entry(project).or_default();
        *sum += amount;
        *runs |= mode == BilledMode::Running;
    }
    let limit = |project| state.budget(project).and_then(|budget| budget.limit_in(paid_through));
    let owed = sums.into_iter().map(|(project, (sum, runs))| match limit(project) {
        Some(left) if runs => sum.min(left.or_zero()),
        Some(_) | None => sum,
    });
    owed.sum()
}

/// Adds to each spend the percentage of its budget of which the row notifies the customer, once a month
/// for each percentage. A stop notifies of 100 percent, because what is left does not pay another
/// second. Late usage of a month that is over notifies of nothing.
pub(crate) fn with_notices(
    state: &AccountState,
    spends: Vec<BudgetSpend>,
    change: &Change,
    now: Timestamp,
) -> Vec<BudgetSpend> {
    let mut all: BTreeMap<(ProjectId, Timestamp), BudgetSpend> = BTreeMap::new();
    for spend in spends.into_iter().chain(without_amount(change)) {
        let spend = with_notice(state, spend, change, now);
        all.insert((spend.project.clone(), spend.month), spend);
    }
    all.retain(|_, spend| !spend.amount.is_zero() || spend.told.is_some());
    all.into_values().collect()
}

/// The budgets that a row sets, or for which it stops something. It spends nothing of them.
fn without_amount(change: &Change) -> Vec<BudgetSpend> {
    let spend = |project: &ProjectId, month| BudgetSpend {
        project: project.clone(),
        month,
        amount: Usd::ZERO,
        told: None,
    };
    match change {
        Change::Resource(ResourceChange::Stopped {
            resources,
            why: StopReason::Budget,
            as_of,
            ..
        }) => resources.iter().map(|one| spend(&one.project, as_of.month_start())).collect(),
        Change::Budget(BudgetChange::BudgetSet(budget)) => {
            vec![spend(&budget.project, budget.month)]
        }
        Change::Resource(_)
        | Change::Payment(_)
        | Change::Grant(_)
        | Change::Billing(_)
        | Change::Standing(_)
        | Change::Refill(_)
        | Change::Staff(_)
        | Change::Hold(_)
        | Change::Budget(_) => Vec::new(),
    }
}

fn with_notice(
    state: &AccountState,
    spend: BudgetSpend,
    change: &Change,
    now: Timestamp,
) -> BudgetSpend {
    let set =
        if let Change::Budget(BudgetChange::BudgetSet(set)) = change { Some(set) } else { None };
    let Some(budget) = set.or_else(|| state.budget(&spend.project)) else { return spend };
    let mut after = budget.clone();
    after.count(&spend);
    let is_stop = matches!(change, Change::Resource(_)) && spend.amount.is_zero();
    let reached = if is_stop {
        Some(100)
    } else {
        after.reached_percent().filter(|_| spend.month == now.month_start())
    };
    let is_new = |percent: &u8| after.month == spend.month && *percent > after.told;
    BudgetSpend { told: reached.filter(is_new), ..spend }
}
