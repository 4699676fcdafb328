//! Decisions about resources: start, stop, delete, restore and failed starts.

use std::collections::{BTreeMap, BTreeSet};

use super::budgets::check_room;
use super::{
    DecisionOutcome, RESOURCES_PER_ROW_MAX, check_reason, check_settled, check_standing,
    respite_until,
};
use crate::domain::account::{
    AccountState, BilledTotals, Grant, GrantKind, Standing, SuspensionReason, TrialPhase,
};
use crate::domain::budgets::{line_spends, needed, owed_within};
use crate::domain::command::{
    EndedStart, PastCharge, PastChargeKind, ResourceStart, ResourceStop, StartFailure,
};
use crate::domain::event::{
    BilledLines, ResourceChange, ResourceLine, StandingChange, StartKind, StopReason,
};
use crate::domain::funds::{Fund, FundShare, Purse};
use crate::domain::ids::{ProjectId, ResourceId, Sku};
use crate::domain::money::{Rate, Usd};
use crate::domain::policy::Policy;
use crate::domain::refill::SERVICE;
use crate::domain::refusal::Refusal;
use crate::domain::resources::{BilledMode, Meter, Resource, ResourceRef, ResourceStatus};
use crate::domain::timestamp::Timestamp;

pub(super) fn create(
    state: &AccountState,
    resources: &[Resource],
) -> Result<DecisionOutcome, Refusal> {
    check_batch(resources.iter().map(|resource| &resource.id))?;
    check_standing(state)?;
    Ok(DecisionOutcome::of(ResourceChange::Created { resources: resources.to_vec() }))
}

/// In any standing, because what was used is counted.
pub(super) fn open_meter(meter: &Meter) -> DecisionOutcome {
    DecisionOutcome::of(ResourceChange::MeterOpened(meter.clone()))
}

/// Starts resources and charges them at once, from now to `paid_through`. If nothing is billed yet,
/// the charge covers the rest of this hour.
pub(super) fn start(
    state: &AccountState,
    starts: &[ResourceStart],
    how: StartKind,
    running: &[(Sku, Rate)],
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_settled(state, policy, now)?;
    check_batch(starts.iter().map(|start| &start.resource.id))?;
    check_standing(state)?;
    if let (Some(paid_through), Some(until)) = (state.paid_through(), respite_until(state, policy))
        && paid_through <= now
    {
        return Err(Refusal::RefillInProgress { until });
    }
    let through = state.paid_through().unwrap_or_else(|| now.hour().end());
    check_budgets(state, starts, through, now)?;
    check_trial_limit(state, starts, policy)?;

    let mut purse = Purse::within_period(state, now);
    let mut billed = state.billed.clone();
    let mut lines = Vec::new();
    for start in starts {
        let resource = &start.resource;
        let rate = added_rate(state, start);
        let cost = rate.for_seconds(through - now);
        let required = cost.max(policy.start_credit_min);
        let available = purse.eligible_credit(&resource.sku);
        let shares = if available < required { None } else { purse.draw(&resource.sku, cost) };
        let Some(shares) = shares else {
            let spent = spent(&purse);
            let all = credit_for_starts(state, starts, running, policy, through - now);
            return Err(Refusal::CreditTooLow {
                required: all.max((spent + required).up_to_cents()),
                available: spent + available,
            });
        };
        lines.push(ResourceLine {
            resource: resource.id.clone(),
            rate,
            seconds: through - now,
            amount: -cost,
            shares,
        });
        if let Some((rate, seq)) = start.idle {
            billed = billed.without(BilledMode::Idle, &resource.kind, rate, seq);
        }
        billed = billed.with(BilledMode::Running, &resource.kind, start.rate, resource.seq);
    }
    check_reserve(&purse, starts, running, policy, through)?;
    let resources = starts.iter().map(|start| start.resource.clone()).collect();
    let change = ResourceChange::Started {
        resources,
        how,
        lines: BilledLines::Here(lines),
        through,
        billed,
    };
    Ok(DecisionOutcome::moving(change, purse.deltas()))
}

/// Checks that the budgets of their projects leave room for these starts.
fn check_budgets(
    state: &AccountState,
    starts: &[ResourceStart],
    through: Timestamp,
    now: Timestamp,
) -> Result<(), Refusal> {
    let mut costs: BTreeMap<&ProjectId, Usd> = BTreeMap::new();
    for start in starts {
        let cost = added_rate(state, start).for_seconds(through - now);
        let least = needed(start.rate, 0);
        *costs.entry(&start.resource.project).or_default() += cost.max(least);
    }
    costs.into_iter().try_for_each(|(project, cost)| check_room(state, project, cost, now))
}

/// The credit that these starts need, in USD, up to the cent: for the `seconds` that are left of the
/// hour, and ten more minutes of everything that then runs. Before each start there must be what
/// every start needs. Grants may exclude some of it, so more can be needed.
pub(crate) fn credit_for_starts(
    state: &AccountState,
    starts: &[ResourceStart],
    running: &[(Sku, Rate)],
    policy: &Policy,
    seconds: i64,
) -> Usd {
    let (mut spent, mut needed) = (Usd::ZERO, Usd::ZERO);
    for start in starts {
        let cost = added_rate(state, start).for_seconds(seconds);
        needed = needed.max(spent + cost.max(policy.start_credit_min));
        spent += cost;
    }
    needed.max(spent + reserve(starts, running, policy)).up_to_cents()
}

/// What a start adds to the rate. The amount paid for the stopped resource counts. Free idle time
/// does not.
fn added_rate(state: &AccountState, start: &ResourceStart) -> Rate {
    let paid_idle = start.idle.filter(|_| !state.is_unpaid(&start.resource.id));
    start.rate.without(paid_idle.map_or(Rate::ZERO, |(rate, _)| rate))
}

/// Checks that the credit left after a start pays for ten more minutes of everything that then runs,
/// from the end of the paid time on. Else a fleet could be started seconds before that for almost
/// nothing, or with a grant that ends there.
///
/// The refusal says what the account needs for all of it: what the start cost, and the reserve.
fn check_reserve(
    purse: &Purse<'_>,
    starts: &[ResourceStart],
    running: &[(Sku, Rate)],
    policy: &Policy,
    through: Timestamp,
) -> Result<(), Refusal> {
    let mut left = purse.at(through);
    let mut all: Vec<(&Sku, Rate)> = rates_after(starts, running).collect();
    all.sort_by_key(|(sku, _)| (left.eligible_grants(sku), *sku));
    let seconds = policy.start_reserve_seconds;
    if all.iter().all(|(sku, rate)| left.draw(sku, rate.for_seconds(seconds)).is_some()) {
        return Ok(());
    }
    let (spent, left) = (spent(purse), purse.at(through));
    let skus: BTreeSet<&Sku> = all.iter().map(|(sku, _)| *sku).collect();
    let available = skus.into_iter().map(|sku| left.eligible_credit(sku)).min();
    Err(Refusal::CreditTooLow {
        required: (spent + reserve(starts, running, policy)).up_to_cents(),
        available: available.unwrap_or(Usd::ZERO) + spent,
    })
}

/// The price of ten minutes of everything that runs after a start.
fn reserve(starts: &[ResourceStart], running: &[(Sku, Rate)], policy: &Policy) -> Usd {
    let rates = rates_after(starts, running);
    rates.map(|(_, rate)| rate.for_seconds(policy.start_reserve_seconds)).sum()
}

fn rates_after<'a>(
    starts: &'a [ResourceStart],
    running: &'a [(Sku, Rate)],
) -> impl Iterator<Item = (&'a Sku, Rate)> {
    let started = starts.iter().map(|start| (&start.resource.sku, start.rate));
    running.iter().map(|(sku, rate)| (sku, *rate)).chain(started)
}

fn spent(purse: &Purse<'_>) -> Usd {
    purse.deltas().iter().map(|delta| -delta.amount).sum()
}

pub(super) fn stop(
    state: &AccountState,
    stops: &[ResourceStop],
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_settled(state, policy, now)?;
    check_batch(stops.iter().map(|stop| &stop.resource.id))?;
    let stopped = StoppedResources::plan(state, stops, now);
    let (resources, why) = (references(stops), StopReason::Requested);
    let (as_of, lines) = (now, BilledLines::Here(stopped.lines));
    let change = ResourceChange::Stopped { resources, why, as_of, lines, billed: stopped.billed };
    Ok(DecisionOutcome::moving(change, stopped.purse.deltas()).owing(stopped.owed))
}

pub(super) fn delete(
    state: &AccountState,
    stops: &[ResourceStop],
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_settled(state, policy, now)?;
    check_batch(stops.iter().map(|stop| &stop.resource.id))?;
    let stopped = StoppedResources::plan(state, stops, now);
    let purge_due = earliest_purge(state, policy, now);
    let (resources, lines) = (references(stops), BilledLines::Here(stopped.lines));
    let change =
        ResourceChange::ResourcesDeleted { resources, lines, billed: stopped.billed, purge_due };
    let kept_until_now = state.kept().map_or(Usd::ZERO, |kept| kept.cost(now));
    let kept = state.kept().map(|kept| {
        let deleted = stops.iter().map(|stop| stop.kept).sum();
        kept.from_now(now, kept.rate.without(deleted))
    });
    Ok(DecisionOutcome::moving(change, stopped.purse.deltas())
        .owing(stopped.owed + kept_until_now)
        .keeping(kept))
}

pub(super) fn suspend(
    state: &AccountState,
    stops: &[ResourceStop],
    reason: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_settled(state, policy, now)?;
    let note = Some(check_reason(reason)?);
    check_standing_for_suspension(state)?;
    let stopped = StoppedResources::plan(state, stops, now);
    let owners = stops.iter().map(|stop| (&stop.resource.id, &stop.resource.project));
    let spends = line_spends(state, &stopped.lines, now, owners);
    let change = StandingChange::Suspended {
        as_of: now,
        reason: SuspensionReason::Staff,
        delete_at: None,
        warn_at: None,
        lines: BilledLines::Here(stopped.lines),
        note,
    };
    let outcome = DecisionOutcome::moving(change, stopped.purse.deltas());
    Ok(outcome.owing(stopped.owed).spending(spends))
}

pub(super) fn check_suspended_by_staff(state: &AccountState) -> Result<(), Refusal> {
    match &state.standing {
        Standing::Suspended(suspension) if suspension.reason == SuspensionReason::Staff => Ok(()),
        Standing::Good
        | Standing::Suspended(_)
        | Standing::Deleting(_)
        | Standing::Deleted(_)
        | Standing::Closed => Err(Refusal::NotSuspended),
    }
}

/// Returns all charges since the start to the funds that paid. An expired fund gets nothing. A
/// spent grant is added again.
pub(super) fn fail_start(
    state: &AccountState,
    failure: &StartFailure,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_settled(state, policy, now)?;
    let StartFailure { resource, started_at, .. } = failure;
    if now - *started_at > policy.start_failure_seconds {
        return Err(Refusal::StartTooLongAgo {
            resource: resource.id.clone(),
            started_at: *started_at,
        });
    }
    let revived = revived_grants(state, &failure.grants, now);
    let mut with_revived = state.clone();
    with_revived.grants.extend(revived.iter().cloned());
    let mut purse = Purse::within_period(&with_revived, now);
    let current = state.paid_through();

    // A period that began after the charge does not contain it, even if both end at the same time.
    let began = state.period.as_ref().map(|period| period.from);
    let is_current = |charge: &&PastCharge| {
        Some(charge.through) == current && began.is_some_and(|began| began <= charge.from)
    };
    let in_period: Usd = failure
        .charges
        .iter()
        .filter(is_current)
        .flat_map(|charge| &charge.shares)
        .map(|share| -share.amount)
        .sum();
    let mut given: Vec<FundShare> = Vec::new();
    for share in purse.give_back(&resource.sku, in_period) {
        add_share(&mut given, share);
    }
    let past: Vec<&PastCharge> =
        failure.charges.iter().filter(|charge| !is_current(charge)).collect();
    for share in past_shares(&past) {
        for back in purse.give_back_to(share.fund, share.amount) {
            add_share(&mut given, back);
        }
    }
    let amount = given.iter().map(|share| share.amount).sum();
    let seconds = failure.ended.as_ref().map_or(now, |ended| ended.at) - *started_at;
    let mut lines = vec![ResourceLine {
        resource: resource.id.clone(),
        rate: failure.rate,
        seconds,
        amount,
        shares: given,
    }];
    let mut unpaid = Vec::new();
    let mut billed = state.billed.clone();
    match &failure.ended {
        None => {
            billed =
                billed.without(BilledMode::Running, &resource.kind, failure.rate, resource.seq);
        }
        Some(EndedStart { idle: Some(idle), .. }) => {
            billed = billed.without(BilledMode::Idle, &resource.kind, *idle, resource.seq);
        }
        Some(EndedStart { idle: None, .. }) => {}
    }
    // After a billed stop, the start paid only the difference between running and stopped.
    let paid_already = failure.charges.iter().filter(is_current).any(|charge| {
        let is_charge = charge.kind == PastChargeKind::Paid;
        is_charge && failure.then.is_some_and(|idle| charge.rate == failure.rate.without(idle))
    });
    if let (Some(rate), Some(_)) = (failure.then, &failure.ended) {
        if !paid_already {
            // The charge that was given back paid for the rest of the period, too.
            unpaid.push(resource.id.clone());
        }
        billed = billed.with(BilledMode::Idle, &resource.kind, rate, state.next_seq);
    } else if let Some(rate) = failure.then {
        purse.recount();
        let seconds = current.map_or(0, |through| (through - now).max(0));
        let cost = if paid_already { Usd::ZERO } else { rate.for_seconds(seconds) };
        // If the credit does not cover the stopped resource, it is kept for free until the next
        // period.
        match purse.draw(&resource.sku, cost) {
            Some(_) if paid_already => {}
            Some(shares) => {
                lines.push(ResourceLine {
                    resource: resource.id.clone(),
                    rate,
                    seconds,
                    amount: -cost,
                    shares,
                });
            }
            None => unpaid.push(resource.id.clone()),
        }
        billed = billed.with(BilledMode::Idle, &resource.kind, rate, state.next_seq);
    }
    let deltas = purse.deltas();
    let revived = revived
        .into_iter()
        .filter(|grant| deltas.iter().any(|delta| delta.fund == Fund::Grant(grant.number)));
    let grants = revived.collect();
    let purge_due = match failure.status {
        ResourceStatus::Deleted => earliest_purge(state, policy, now),
        ResourceStatus::New | ResourceStatus::Running | ResourceStatus::Stopped => state.purge_due,
    };
    let (resource, status, lines) = (resource.clone(), failure.status, BilledLines::Here(lines));
    let change = ResourceChange::StartFailed { resource, status, lines, billed, purge_due, unpaid };
    let outcome = DecisionOutcome::granting(change, grants, deltas);
    Ok(match &failure.ended {
        Some(ended) => without_owed(outcome, state, ended, status, now),
        None => outcome,
    })
}

/// What never ran is not owed either: neither its time in a respite nor the data that was kept of it.
/// What a credit has paid of it already stays paid.
fn without_owed(
    outcome: DecisionOutcome,
    state: &AccountState,
    ended: &EndedStart,
    status: ResourceStatus,
    now: Timestamp,
) -> DecisionOutcome {
    let nothing_kept = state.kept().filter(|_| status != ResourceStatus::Stopped);
    let Some(kept) = nothing_kept else {
        return outcome.owing((-ended.respite).max(-state.owed));
    };
    let since = ended.kept_since.unwrap_or(kept.from);
    let of_it = ended.kept.for_seconds((now.min(kept.until) - since).max(0));
    outcome
        .owing((kept.cost(now) - of_it - ended.respite).max(-state.owed))
        .keeping(Some(kept.from_now(now, kept.rate.without(ended.kept))))
}

/// What is given back of past periods, fund by fund. A fund may have got more back at the stop than
/// it paid, because a stop gives to grants first. What is left is then less for the others.
fn past_shares(past: &[&PastCharge]) -> Vec<FundShare> {
    let mut by_fund: Vec<FundShare> = Vec::new();
    for share in past.iter().flat_map(|charge| &charge.shares) {
        add_share(&mut by_fund, FundShare { amount: -share.amount, ..*share });
    }
    let mut left: Usd = by_fund.iter().map(|share| share.amount).sum();
    by_fund.retain(|share| share.amount.is_positive());
    for share in &mut by_fund {
        share.amount = share.amount.min(left.or_zero());
        left -= share.amount;
    }
    by_fund.retain(|share| share.amount.is_positive());
    by_fund
}

/// The amounts given back for stopped resources, and the new totals.
struct StoppedResources<'a> {
    lines: Vec<ResourceLine>,
    billed: BilledTotals,
    purse: Purse<'a>,
    /// The cost of their time in the respite, which nothing paid.
    owed: Usd,
}

impl<'a> StoppedResources<'a> {
    fn plan(
        state: &'a AccountState,
        stops: &[ResourceStop],
        now: Timestamp,
    ) -> StoppedResources<'a> {
        let unused = state.paid_through().map_or(0, |through| (through - now).max(0));
        let mut purse = Purse::within_period(state, now);
        let mut billed = state.billed.clone();
        let mut lines = Vec::new();
        let (mut unpaid_costs, unpaid) = (Vec::new(), seconds_in_respite(state, now));
        for stop in stops {
            let Some((mode, rate)) = stop.billed else {
                continue;
            };
            let resource = &stop.resource;
            billed = billed.without(mode, &resource.kind, rate, resource.seq);
            if let Some(then) = stop.then {
                billed = billed.with(BilledMode::Idle, &resource.kind, then, state.next_seq);
            }
            let rate = rate.without(stop.then.unwrap_or(Rate::ZERO));
            unpaid_costs.push((&resource.project, mode, rate.for_seconds(unpaid)));
            // A resource kept for free gets nothing back.
            let unused = if state.is_unpaid(&resource.id) { 0 } else { unused };
            let shares = purse.give_back(&resource.sku, rate.for_seconds(unused));
            let amount = shares.iter().map(|share| share.amount).sum();
            lines.push(ResourceLine {
                resource: resource.id.clone(),
                rate,
                seconds: unused,
                amount,
                shares,
            });
        }
        let paid_through = state.paid_through().unwrap_or(now);
        let owed = owed_within(state, paid_through, unpaid_costs.into_iter());
        StoppedResources { lines, billed, purse, owed }
    }
}

/// How many seconds ran in the respite since the end of the paid time, up to `now`.
pub(crate) fn seconds_in_respite(state: &AccountState, now: Timestamp) -> i64 {
    match (state.paid_through(), state.refill.respite) {
        (Some(paid_through), Some(respite)) => {
            (respite.until.min(now) - respite.from.max(paid_through)).max(0)
        }
        (None, _) | (_, None) => 0,
    }
}

/// The earliest purge time if one more resource is deleted now.
fn earliest_purge(state: &AccountState, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    let restorable_until = now.plus(policy.restore_seconds);
    Some(state.purge_due.map_or(restorable_until, |due| due.min(restorable_until)))
}

fn references(stops: &[ResourceStop]) -> Vec<ResourceRef> {
    stops.iter().map(|stop| stop.resource.clone()).collect()
}

/// Grants that are spent, and may get something back. A trial that is over gets nothing.
fn revived_grants(state: &AccountState, grants: &[Grant], now: Timestamp) -> Vec<Grant> {
    let mut numbers = BTreeSet::new();
    let runs = state.trial.as_ref().is_some_and(|trial| trial.phase == TrialPhase::Active);
    grants
        .iter()
        .filter(|grant| {
            state.grant(grant.number).is_none()
                && grant.expires_at > now
                && (grant.kind != GrantKind::Trial || runs)
                && numbers.insert(grant.number)
        })
        .map(|grant| Grant { remaining: Usd::ZERO, used: Usd::ZERO, ..grant.clone() })
        .collect()
}

fn add_share(shares: &mut Vec<FundShare>, share: FundShare) {
    match shares.iter_mut().find(|known| known.fund == share.fund) {
        Some(known) => known.amount += share.amount,
        None => shares.push(share),
    }
}

fn check_batch<'a>(ids: impl ExactSizeIterator<Item = &'a ResourceId>) -> Result<(), Refusal> {
    let count = ids.len();
    if count == 0 || count > RESOURCES_PER_ROW_MAX {
        return Err(Refusal::TooManyAtOnce { count, max: RESOURCES_PER_ROW_MAX });
    }
    let mut seen = BTreeSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(Refusal::NamedTwice { resource: id.clone() });
        }
    }
    Ok(())
}

fn check_standing_for_suspension(state: &AccountState) -> Result<(), Refusal> {
    match &state.standing {
        Standing::Good => Ok(()),
        Standing::Suspended(_) | Standing::Deleting(_) | Standing::Deleted(_) => {
            Err(Refusal::Suspended)
        }
        Standing::Closed => Err(Refusal::Closed),
    }
}

fn check_trial_limit(
    state: &AccountState,
    starts: &[ResourceStart],
    policy: &Policy,
) -> Result<(), Refusal> {
    let max = policy.trial.services_max;
    let services = starts.iter().filter(|start| start.resource.kind.as_str() == SERVICE);
    let Some(first) = services.clone().next() else {
        return Ok(());
    };
    let running =
        usize::try_from(state.billed.running_of(&first.resource.kind)).unwrap_or(usize::MAX);
    if state.is_in_trial()
        && running + services.count() > usize::try_from(max).unwrap_or(usize::MAX)
    {
        return Err(Refusal::TrialLimit { kind: first.resource.kind.clone(), max });
    }
    Ok(())
}

/// Stops every resource whose own funds are spent. Only `settle` calls it, never a request.
pub(crate) fn stop_exhausted(
    state: &AccountState,
    stops: &[ResourceStop],
    now: Timestamp,
) -> DecisionOutcome {
    let stopped = StoppedResources::plan(state, stops, now);
    let change = ResourceChange::Stopped {
        resources: references(stops),
        why: StopReason::Credit,
        as_of: state.paid_through().unwrap_or(now),
        lines: BilledLines::none(),
        billed: stopped.billed,
    };
    DecisionOutcome::of(change).owing(stopped.owed)
}

/// Stops what runs in projects whose budgets are used up, as of the end of the paid time. Only `settle`
/// calls it. If the trigger is late, time that ran since then is the operator's loss. This includes time
/// in a respite.
pub(crate) fn stop_for_budgets(
    state: &AccountState,
    stops: &[ResourceStop],
    now: Timestamp,
) -> DecisionOutcome {
    DecisionOutcome::of(ResourceChange::Stopped {
        resources: references(stops),
        why: StopReason::Budget,
        as_of: state.paid_through().unwrap_or(now),
        lines: BilledLines::none(),
        billed: StoppedResources::plan(state, stops, now).billed,
    })
}
