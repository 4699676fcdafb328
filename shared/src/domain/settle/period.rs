//! The cost of a period by line, and how far the credit reaches.

use std::collections::BTreeSet;

use crate::domain::event::ResourceLine;
use crate::domain::funds::{Fund, Purse};
use crate::domain::ids::{ProjectId, ResourceId, Sku};
use crate::domain::money::{Rate, Usd};
use crate::domain::resources::BilledResource;
use crate::domain::timestamp::Timestamp;

/// A resource to pay for by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodCharge<'a> {
    pub resource: &'a ResourceId,
    /// Determines which budget pays.
    pub project: &'a ProjectId,
    /// Determines which grants may pay.
    pub sku: &'a Sku,
    /// In USD per hour.
    pub rate: Rate,
    /// The start of billing, if it is later than the start of the period.
    pub since: Timestamp,
}

impl<'a> From<&BilledResource<'a>> for PeriodCharge<'a> {
    fn from(billed: &BilledResource<'a>) -> PeriodCharge<'a> {
        let resource = billed.resource;
        PeriodCharge {
            resource: &resource.id,
            project: &resource.project,
            sku: &resource.sku,
            rate: billed.rate,
            since: resource.since,
        }
    }
}

impl PeriodCharge<'_> {
    fn seconds(&self, from: Timestamp, through: Timestamp) -> i64 {
        (through - from.max(self.since)).max(0)
    }

    fn cost(&self, from: Timestamp, through: Timestamp) -> Usd {
        self.rate.for_seconds(self.seconds(from, through))
    }

    /// The credit that must be available: the cost, and at least a micro-dollar unless the resource
    /// is free. A stretch that rounds to zero would otherwise fit an empty balance, again and
    /// again.
    fn needed(&self, from: Timestamp, through: Timestamp) -> Usd {
        if self.rate.is_zero() || self.seconds(from, through) == 0 {
            return Usd::ZERO;
        }
        self.cost(from, through).max(Usd::from_micros(1))
    }
}

/// What a budget leaves for a period of a project in which something runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLimit<'a> {
    pub project: &'a ProjectId,
    /// In USD. Below zero if the budget was exceeded.
    pub left: Usd,
}

impl BudgetLimit<'_> {
    /// Whether it covers what the project costs. What is free needs no budget.
    fn covers(&self, charges: &[PeriodCharge<'_>], from: Timestamp, through: Timestamp) -> bool {
        let of_project = charges.iter().filter(|charge| charge.project == self.project);
        let needed: Usd = of_project.map(|charge| charge.needed(from, through)).sum();
        needed.is_zero() || needed <= self.left
    }
}

/// The projects whose budgets do not cover one more second at `from`.
#[must_use]
pub fn used_up<'a>(
    limits: &[BudgetLimit<'a>],
    charges: &[PeriodCharge<'_>],
    from: Timestamp,
) -> BTreeSet<&'a ProjectId> {
    let ends = limits.iter().filter(|limit| !limit.covers(charges, from, from.plus(1)));
    ends.map(|limit| limit.project).collect()
}

/// Sorts lines in payment order: fewest eligible grants first (they have the fewest alternatives),
/// then by resource ID.
pub fn order(charges: &mut [PeriodCharge<'_>], purse: &Purse<'_>) {
    charges.sort_by(|a, b| {
        let grants = |charge: &PeriodCharge<'_>| purse.eligible_grants(charge.sku);
        grants(a).cmp(&grants(b)).then_with(|| a.resource.cmp(b.resource))
    });
}

/// Pays for `[from, through)`, line by line in the given order. `None` if the funds do not cover
/// every line. The purse is then unusable.
#[must_use]
pub fn pay(
    purse: &mut Purse<'_>,
    charges: &[PeriodCharge<'_>],
    from: Timestamp,
    through: Timestamp,
) -> Option<Vec<ResourceLine>> {
    charges
        .iter()
        .map(|charge| {
            let cost = charge.cost(from, through);
            let shares = purse.draw(charge.sku, cost)?;
            Some(ResourceLine {
                resource: charge.resource.clone(),
                rate: charge.rate,
                seconds: charge.seconds(from, through),
                amount: -cost,
                shares,
            })
        })
        .collect()
}

/// How far credit and budgets reach: the last instant up to `end` for which the sum of the *rounded*
/// lines, spread over the eligible funds, still fits. Returns `from` if not even a second fits.
///
/// A longer period never leaves more in any fund (each line's rounded cost grows with time, and a
/// fund's remainder shrinks with every cost). The fitting instants are therefore contiguous, and a
/// binary search finds the last one.
#[must_use]
pub fn reach(
    purse: &Purse<'_>,
    charges: &[PeriodCharge<'_>],
    limits: &[BudgetLimit<'_>],
    from: Timestamp,
    end: Timestamp,
) -> Timestamp {
    let fits = |through: Timestamp| {
        let mut trial = purse.clone();
        let mut lines = charges.iter();
        lines.all(|charge| trial.draw(charge.sku, charge.needed(from, through)).is_some())
            && limits.iter().all(|limit| limit.covers(charges, from, through))
    };
    if fits(end) {
        return end;
    }
    let (mut fitting, mut failing) = (from, end);
    while failing - fitting > 1 {
        let middle = fitting.plus((failing - fitting) / 2);
        if fits(middle) {
            fitting = middle;
        } else {
            failing = middle;
        }
    }
    fitting
}

/// The resources whose funds end at `from`: those that cannot pay one more second, and all others
/// that depend on the same funds.
#[must_use]
pub fn exhausted<'a>(
    purse: &Purse<'_>,
    charges: &[PeriodCharge<'a>],
    from: Timestamp,
) -> ExhaustedResources<'a> {
    let mut trial = purse.clone();
    let mut grants_ended = BTreeSet::new();
    let mut any = false;
    for charge in charges {
        if trial.draw(charge.sku, charge.needed(from, from.plus(1))).is_none() {
            any = true;
            grants_ended.extend(purse.eligible_grant_numbers(charge.sku));
        }
    }
    if !any {
        return ExhaustedResources::default();
    }
    let resources = charges
        .iter()
        .filter(|charge| purse.eligible_grant_numbers(charge.sku).is_subset(&grants_ended))
        .map(|charge| charge.resource)
        .collect();
    ExhaustedResources { resources, grants: grants_ended }
}

/// The result of [`exhausted`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExhaustedResources<'a> {
    /// The resources that must stop.
    pub resources: BTreeSet<&'a ResourceId>,
    /// The grants that hold too little for them. Paid credit always does.
    pub grants: BTreeSet<u32>,
}

/// The sum of some lines, in USD.
#[must_use]
pub fn sum(lines: &[ResourceLine]) -> Usd {
    lines.iter().map(|line| line.amount).sum()
}

/// The amount that the lines took from or gave to a fund, in USD.
#[must_use]
pub fn sum_of_fund(lines: &[ResourceLine], fund: Fund) -> Usd {
    lines
        .iter()
        .flat_map(|line| &line.shares)
        .filter(|share| share.fund == fund)
        .map(|share| share.amount)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::{AccountState, Grant, GrantKind};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    fn named<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    /// The reach in seconds of lines (id, SKU, rate) over paid credit and one grant (amount,
    /// excluded SKU).
    #[track_caller]
    fn check_reach(paid: &str, grant: (&str, &str), lines: &[(&str, &str, &str)], expected: i64) {
        let state = AccountState {
            paid: named(paid),
            grants: vec![Grant {
                number: 1,
                kind: GrantKind::Bonus,
                amount: named("100"),
                remaining: named(grant.0),
                used: Usd::ZERO,
                given_at: None,
                expires_at: at(1_000_000),
                excludes: grant.1.parse().into_iter().collect(),
                payment: None,
            }],
            ..AccountState::default()
        };
        let ids: Vec<(ResourceId, Sku)> =
            lines.iter().map(|(id, sku, _)| (named(id), named(sku))).collect();
        let project: ProjectId = named("p");
        let mut charges: Vec<PeriodCharge<'_>> = ids
            .iter()
            .zip(lines)
            .map(|((resource, sku), (_, _, rate))| PeriodCharge {
                resource,
                project: &project,
                sku,
                rate: named(rate),
                since: at(0),
            })
            .collect();
        let purse = Purse::for_new_period(&state, at(0));
        order(&mut charges, &purse);
        let through = reach(&purse, &charges, &[], at(0), at(3600));
        assert_eq!(through - at(0), expected);
        assert!(pay(&mut purse.clone(), &charges, at(0), at(expected)).is_some());
    }

    #[test]
    fn the_reach_is_the_last_second_whose_rounded_lines_fit() {
        check_reach("0.50", ("0", ""), &[("a", "vm", "1")], 1800);
        check_reach("1", ("0", ""), &[("a", "vm", "1")], 3600);
        check_reach("0", ("0", ""), &[("a", "vm", "1")], 0);
        check_reach("0", ("0", ""), &[("a", "vm", "0")], 3600);
        check_reach("0", ("0", ""), &[("a", "disk", "0.0002")], 0);
        check_reach("0.000001", ("0", ""), &[("a", "disk", "0.0002")], 26);
        check_reach("-5", ("4", ""), &[("a", "vm", "1")], 0);
    }

    #[test]
    fn lines_rounded_up_need_more_than_their_exact_sum() {
        // $0.0000006 a second each: after one second each line is rounded to $0.000001.
        let lines = [("a", "vm", "0.00216"), ("b", "vm", "0.00216"), ("c", "vm", "0.00216")];
        check_reach("0.000002", ("0", ""), &lines, 0);
        check_reach("0.000003", ("0", ""), &lines, 2);
        check_reach("0.000006", ("0", ""), &lines, 4);
    }

    #[test]
    fn an_excluded_line_is_limited_by_paid_credit_and_goes_first() {
        check_reach("0.25", ("19", "x"), &[("a", "vm", "1"), ("b", "x", "1")], 900);
        check_reach("1", ("19", "x"), &[("a", "vm", "1"), ("b", "x", "1")], 3600);
        check_reach("0.25", ("0.5", "x"), &[("a", "vm", "1"), ("b", "x", "0.25")], 2160);
    }
}
