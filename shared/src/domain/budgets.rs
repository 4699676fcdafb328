//! Budgets: what a project may cost in a calendar month (UTC).
//!
//! A budget counts what the project's month costs, whoever pays for it: paid credit, a trial or a
//! bonus. A line counts in the month that it pays for, as in the project's bill
//! ([`views::spending`](crate::views::spending)). Rows carry what they spend of each budget, because
//! their lines name resources and not projects.
//!
//! A budget that stops ends the time of its project at its last affordable second: everything is paid
//! to that second, then what runs in the project is stopped, and the rest goes on. What is kept while
//! stopped is still billed. Metered usage beyond it is counted, because it happened. Starts and holds
//! beyond it are refused. Time that is owed, because it ran in a respite, is in no budget when it is
//! paid, and is owed within the budget only.

use std::collections::BTreeMap;

use crate::domain::account::{AccountState, BudgetSpend};
use crate::domain::event::{
    BilledLines, BillingChange, BudgetChange, Change, ResourceChange, ResourceLine, StopReason,
};
use crate::domain::ids::{ProjectId, ResourceId};
use crate::domain::money::Usd;
use crate::domain::resources::BilledMode;
use crate::domain::row_format::RowFormat;
use crate::domain::timestamp::{HOUR, Timestamp};

/// The first format with budgets.
pub const BUDGETS_KNOWN: RowFormat = RowFormat::new(6);
/// How many budgets an account may have. Each stands in every row of the account.
pub const BUDGETS_MAX: usize = 10;

/// What lines cost a project at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProjectCost<'a> {
    pub(crate) project: &'a ProjectId,
    /// An instant of the time that is paid.
    pub(crate) at: Timestamp,
    /// In USD. Below zero if it is given back.
    pub(crate) amount: Usd,
}

/// What costs add up to, for each budget and month.
pub(crate) fn spends<'a>(
    state: &AccountState,
    costs: impl IntoIterator<Item = ProjectCost<'a>>,
) -> Vec<BudgetSpend> {
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

/// The costs of a change whose lines and resources name their projects. Those of the lines of
/// [`BillingChange::Usage`] and of suspensions need the list of resources.
pub(crate) fn named_costs(change: &Change, now: Timestamp) -> Vec<ProjectCost<'_>> {
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

/// The costs of lines by resource.
pub(crate) fn costs_of<'a>(
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

/// What time after the end of the paid time is owed, in USD: of a project in which something runs, at
/// most what its budget leaves. `costs` are projects, modes and amounts.
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

/// Says of which percentage of a budget the row tells: once in a month of each. What a budget that
/// stops has left does not pay another second, so its stop tells of 100 percent.
pub(crate) fn tell(
    state: &AccountState,
    spends: Vec<BudgetSpend>,
    change: &Change,
) -> Vec<BudgetSpend> {
    let mut all: BTreeMap<(ProjectId, Timestamp), BudgetSpend> =
        spends.into_iter().map(|spend| ((spend.project.clone(), spend.month), spend)).collect();
    let mut set = None;
    match change {
        Change::Resource(ResourceChange::Stopped {
            resources,
            why: StopReason::Budget,
            as_of,
            ..
        }) => {
            for resource in resources {
                let (project, month) = (resource.project.clone(), as_of.month_start());
                let amount = Usd::ZERO;
                let told = Some(100);
                let entry = all.entry((project.clone(), month));
                entry.or_insert(BudgetSpend { project, month, amount, told: None }).told = told;
            }
        }
        Change::Budget(BudgetChange::BudgetSet(budget)) => {
            let (project, month, amount) = (budget.project.clone(), budget.month, Usd::ZERO);
            let spend = BudgetSpend { project: project.clone(), month, amount, told: None };
            all.insert((project, month), spend);
            set = Some(budget);
        }
        Change::Resource(_)
        | Change::Payment(_)
        | Change::Grant(_)
        | Change::Billing(_)
        | Change::Standing(_)
        | Change::Refill(_)
        | Change::Staff(_)
        | Change::Hold(_)
        | Change::Budget(_) => {}
    }
    for spend in all.values_mut() {
        let Some(budget) = set.or_else(|| state.budget(&spend.project)) else { continue };
        let (mut after, asked) = (budget.clone(), spend.told);
        after.count(&BudgetSpend { told: None, ..spend.clone() });
        let mark = if after.month == spend.month { asked.max(after.mark()) } else { None };
        spend.told = mark.filter(|mark| *mark > after.told);
    }
    all.retain(|_, spend| !spend.amount.is_zero() || spend.told.is_some());
    all.into_values().collect()
}
