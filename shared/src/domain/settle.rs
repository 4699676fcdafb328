//! `settle`: which rows bring an account up to `now`.
//!
//! The hourly run, the minute run and every command that depends on time use this planner. It
//! depends only on the state, the list and the time, so a repeated, late or missing trigger needs
//! no code of its own.
//!
//! Obligations are met in the order in which they were due, so a late run writes the same rows as
//! punctual runs. There are two exceptions. A suspension counts its grace period from its row,
//! because nobody knew of it before. The announcement of a deletion leaves 24 hours, however late
//! it is, so its row must carry the current time. Triggers that may have waited in a queue
//! therefore leave it to the next prompt trigger ([`TriggerDelivery`]).

pub mod due;
pub mod metered;
pub mod period;
pub mod runway;
mod trial;
pub mod trial_forecast;

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::account::{
    AccountState, BilledTotals, Budget, Grant, GrantKind, KeptCharge, RestartPolicy, Standing,
    SuspensionReason,
};
use crate::domain::budgets::{line_spends, needed, owed_within};
use crate::domain::command::ResourceStop;
use crate::domain::decide::{
    DecisionOutcome, RESOURCES_PER_ROW_MAX, check_room, check_time, finish, resources,
};
use crate::domain::event::{
    BilledLines, BillingChange, Cause, Event, GrantChange, HoldChange, PaymentChange, PendingEnd,
    RefillChange, ResourceChange, StandingChange,
};
use crate::domain::funds::{Fund, FundDelta, Purse};
use crate::domain::holds::HoldId;
use crate::domain::ids::{ProjectId, ResourceId};
use crate::domain::money::{Rate, Usd};
use crate::domain::refill::respite_until;
use crate::domain::refusal::Refusal;
use crate::domain::resources::{
    BilledMode, BilledResource, Resource, ResourceCondition, ResourceStatus, ReturningResources,
    rated_at, total,
};
use crate::domain::row_format::RowFormat;
use crate::domain::settle::due::{DueObligation, first_due};
use crate::domain::settle::metered::UnbilledList;
use crate::domain::settle::period::{
    BudgetLimit, ExhaustedResources, PeriodCharge, exhausted, order, pay, reach, used_up,
};
use crate::domain::snapshot::AccountSnapshot;
use crate::domain::timestamp::Timestamp;

/// The maximum number of rows in one run: two years of hours. The next run continues from there.
pub const ROWS_MAX: usize = 2 * 366 * 24;

/// How late a trigger may arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerDelivery {
    /// Up to days late, from a queue. It sends no warnings.
    Queued,
    Prompt,
}

/// Returns all rows that bring the account up to `now`, and updates the account.
///
/// # Errors
/// As [`next_due_row`].
pub fn settle(view: &mut AccountSnapshot<'_>, now: Timestamp) -> Result<Vec<Event>, Refusal> {
    let mut events = Vec::new();
    while let Some(event) = next_due_row(view, now, TriggerDelivery::Prompt)? {
        view.apply(&event);
        events.push(event);
        if events.len() == ROWS_MAX {
            break;
        }
    }
    Ok(events)
}

/// Returns the next due row. `None` if the account is settled, or if an open refill delays a
/// suspension.
///
/// # Errors
/// [`Refusal::TimeBeforeLastRow`]; [`Refusal::UnknownSku`] or [`Refusal::WrongUnit`] if the price
/// list lacks what runs.
pub fn next_due_row(
    view: &AccountSnapshot<'_>,
    now: Timestamp,
    delivery: TriggerDelivery,
) -> Result<Option<Event>, Refusal> {
    let state = view.state();
    if !state.is_open() {
        return Ok(None);
    }
    check_time(state, now)?;
    let mut done = match delivery {
        TriggerDelivery::Queued => BTreeSet::from([
            DueObligation::AnnounceTrialEnd,
            DueObligation::AnnounceDeletion,
            DueObligation::WarnOfCardExpiry,
        ]),
        TriggerDelivery::Prompt => BTreeSet::new(),
    };
    let unbilled = UnbilledList::of(view, now);
    let meters_due_at = unbilled.due_at(view, now);
    while let Some(obligation) = first_due(state, view.policy(), now, meters_due_at, &done) {
        if let Some(outcome) = carry_out(view, &unbilled, &obligation, now)? {
            return finish(state, outcome, Cause::Time, view.policy(), now).map(Some);
        }
        if obligation == DueObligation::Pay {
            // A refill delays the suspension, and later obligations wait with it. Usage already
            // happened, so it is billed.
            let is_due = meters_due_at.is_some_and(|due_at| due_at <= now);
            let usage = is_due.then(|| unbilled.bill(view, now)).flatten();
            return usage
                .map(|usage| finish(state, usage, Cause::Time, view.policy(), now))
                .transpose();
        }
        done.insert(obligation);
    }
    Ok(None)
}

/// The decision for an obligation. `None` if there is nothing to record.
fn carry_out(
    view: &AccountSnapshot<'_>,
    unbilled: &UnbilledList<'_>,
    obligation: &DueObligation,
    now: Timestamp,
) -> Result<Option<DecisionOutcome>, Refusal> {
    let state = view.state();
    match obligation {
        DueObligation::EndHold(hold) => Ok(Some(end_hold(*hold))),
        DueObligation::EndPending(payment) => {
            let (payment, how) = (payment.clone(), PendingEnd::Expired);
            Ok(Some(DecisionOutcome::of(PaymentChange::PaymentEnded { payment, how, known: true })))
        }
        DueObligation::AnnounceTrialEnd => Ok(trial::announce_end(view, now)),
        DueObligation::EndTrial => Ok(trial::end(state, view.policy())),
        DueObligation::ExpireGrant(number) => Ok(Some(expire_grant(state, *number))),
        DueObligation::PayOwed => Ok(Some(pay_owed(state))),
        DueObligation::Resume => resume(view, now).map(Some),
        DueObligation::Restart => restart(view, now).map(Some),
        DueObligation::Meter => Ok(unbilled.bill(view, now)),
        DueObligation::SuspendAtZero => Ok(Some(suspend_at_zero(view, now))),
        DueObligation::Pay => pay_ahead(view, now),
        DueObligation::AnnounceDeletion => Ok(announce_deletion(view, now)),
        DueObligation::Delete => {
            let owed = state.kept().map_or(Usd::ZERO, |kept| kept.cost(now));
            Ok(Some(DecisionOutcome::of(StandingChange::DeletionDue).owing(owed)))
        }
        DueObligation::PurgeDeletion(seq) => {
            let (resources, deletion, purge_due) = (Vec::new(), Some(*seq), state.purge_due);
            Ok(Some(DecisionOutcome::of(ResourceChange::Purged { resources, deletion, purge_due })))
        }
        DueObligation::PurgeResources => Ok(Some(purge_resources(view, now))),
        DueObligation::WarnOfCardExpiry => Ok(warn_of_card_expiry(state, now)),
        DueObligation::ExpireCard => Ok(expire_card(state)),
        DueObligation::LookAtRefill => Ok(Some(DecisionOutcome::of(RefillChange::RefillDue))),
    }
}

/// Pays for the next hour, as far as credit and budgets reach. Where a budget ends, stops its project.
/// Where the credit ends, stops the resources that have no funds left, or suspends the account.
fn pay_ahead(
    view: &AccountSnapshot<'_>,
    now: Timestamp,
) -> Result<Option<DecisionOutcome>, Refusal> {
    let state = view.state();
    let Some(from) = state.paid_through() else {
        return Ok(None);
    };
    let end = from.hour().end();
    let billed = view.billables().billed(state, view.prices(), from)?;
    let mut charges: Vec<PeriodCharge<'_>> = billed.iter().map(PeriodCharge::from).collect();
    let purse = Purse::for_new_period(state, from);
    order(&mut charges, &purse);

    let limits = budget_limits(state, &billed, from);
    let through = reach(&purse, &charges, &limits, from, end);
    if through > from {
        return Ok(usage(state, &billed, purse, &charges, Vec::new(), (from, through)));
    }
    let over_budget = used_up(&limits, &charges, from);
    let respite_until = respite_until(state, view.policy());
    // Where the credit ends, too, it ends everything, unless a refill may still come.
    let credit_lasts = || reach(&purse, &charges, &[], from, from.plus(1)) > from;
    if !over_budget.is_empty() && (respite_until.is_some() || credit_lasts()) {
        return Ok(Some(stop_over_budget(view, &billed, &over_budget, (from, now))));
    }
    // A hold that ended in the respite holds nothing, although its end was due later than this.
    let waited_until = respite_until.map(|until| until.min(now));
    let over =
        waited_until.and_then(|until| state.holds.iter().find(|one| one.expires_at <= until));
    if let Some(hold) = over {
        return Ok(Some(end_hold(hold.id)));
    }
    if respite_until.is_some_and(|until| now < until) {
        return Ok(None);
    }
    let ended = exhausted(&purse, &charges, from);
    let everything_ended = ended.resources.len() == charges.len();
    if everything_ended && !has_other_funds(state, &ended, from) {
        // What ran in the respite is owed. What ran after it, because this trigger is late, is the
        // operator's loss.
        if let Some(over) = trial::end_without_credit(state, from, view.policy()) {
            return Ok(Some(over));
        }
        let seconds = resources::seconds_in_respite(state, now);
        let costs = billed
            .iter()
            .map(|one| (&one.resource.project, one.mode, one.rate.for_seconds(seconds)));
        let owed = owed_within(state, from, costs);
        let idle = billed.iter().filter_map(|one| one.resource.idle_rate_at(view.prices(), from));
        let kept = (idle.sum(), from.plus(seconds));
        return Ok(Some(suspend(view, from, now, kept).owing(owed)));
    }
    let stops = stops(view, &billed, |one| ended.resources.contains(&one.id));
    if !stops.is_empty() {
        return Ok(Some(resources::stop_exhausted(state, &stops, now)));
    }
    // Only stopped resources have no funds left. They cannot be stopped again and must not be lost
    // while the account has credit, so they are kept for free until then.
    charges.retain(|charge| !ended.resources.contains(charge.resource));
    let through = reach(&purse, &charges, &limits, from, end);
    if through == from {
        return Ok(Some(stop_over_budget(view, &billed, &over_budget, (from, now))));
    }
    let unpaid = ended.resources.iter().map(|id| (*id).clone()).collect();
    Ok(usage(state, &billed, purse, &charges, unpaid, (from, through)))
}

/// Stops what runs in these projects and costs anything.
fn stop_over_budget(
    view: &AccountSnapshot<'_>,
    billed: &[BilledResource<'_>],
    over_budget: &BTreeSet<&ProjectId>,
    (from, now): (Timestamp, Timestamp),
) -> DecisionOutcome {
    let is_charged =
        |one: &Resource| one.rate_at(view.prices(), from).is_ok_and(|it| !it.is_zero());
    let stops = stops(view, billed, |one| over_budget.contains(&one.project) && is_charged(one));
    resources::stop_for_budgets(view.state(), &stops, now)
}

/// Pays what is owed, as far as the credit reaches. It has been due since the last row, so grants
/// that have expired since then still pay, and data that was kept after that row is not counted.
fn pay_owed(state: &AccountState) -> DecisionOutcome {
    let owed = state.owed_at(state.at);
    let mut purse = Purse::within_period(state, state.at);
    let paid = purse.draw_of_any_kind(owed);
    // The suspension ends with the next row, and the charge for kept data with it. A frozen account
    // does not come back, and its data is still kept.
    let is_above_floor = state.available() - paid > state.floor();
    let ends = paid == owed && is_above_floor && state.frozen.is_empty();
    let kept =
        state.kept().map(|kept| kept.from_now(state.at, if ends { Rate::ZERO } else { kept.rate }));
    DecisionOutcome::moving(BillingChange::OwedPaid, purse.deltas())
        .owing(owed - state.owed - paid)
        .keeping(kept)
}

fn usage(
    state: &AccountState,
    billed: &[BilledResource<'_>],
    mut purse: Purse<'_>,
    charges: &[PeriodCharge<'_>],
    unpaid: Vec<ResourceId>,
    (from, through): (Timestamp, Timestamp),
) -> Option<DecisionOutcome> {
    let mut lines = pay(&mut purse, charges, from, through)?;
    lines.sort_by(|a, b| a.resource.cmp(&b.resource));
    let owners = billed.iter().map(|one| (&one.resource.id, &one.resource.project));
    let spends = line_spends(state, &lines, from, owners);
    let total = total(billed);
    let billed = (total != state.billed).then_some(total);
    let change =
        BillingChange::Usage { from, through, lines: BilledLines::Here(lines), billed, unpaid };
    Some(DecisionOutcome::moving(change, purse.deltas()).spending(spends))
}

/// The budgets that stop something that runs at `from`.
fn budget_limits<'a>(
    state: &'a AccountState,
    billed: &[BilledResource<'_>],
    from: Timestamp,
) -> Vec<BudgetLimit<'a>> {
    // What is free goes on without a budget.
    let runs = |project: &ProjectId| {
        let mut running = billed.iter().filter(|one| one.mode == BilledMode::Running);
        running.any(|one| one.resource.project == *project && !one.rate.is_zero())
    };
    let limit = |budget: &'a Budget| {
        let left = budget.limit_in(from).filter(|_| runs(&budget.project))?;
        Some(BudgetLimit { project: &budget.project, left })
    };
    state.budgets.iter().filter_map(limit).collect()
}

/// Whether there is credit that none of the exhausted resources may use. The account is then not
/// suspended for lack of credit.
fn has_other_funds(state: &AccountState, ended: &ExhaustedResources<'_>, from: Timestamp) -> bool {
    let other = state.grants.iter().any(|grant| {
        state.free_of_grant(grant.number).is_positive()
            && grant.expires_at > from
            && !ended.grants.contains(&grant.number)
    });
    other && state.available().is_positive()
}

/// `kept`: the total of the idle rates, and since when the kept data is owed.
fn suspend(
    view: &AccountSnapshot<'_>,
    as_of: Timestamp,
    now: Timestamp,
    kept: (Rate, Timestamp),
) -> DecisionOutcome {
    let grace_seconds = grace_seconds(view);
    let delete_at = keeps_something(view).then(|| now.plus(grace_seconds));
    // With a grace period of a day or less this row is itself the warning.
    let warn_at = delete_at.map(|at| at.plus(-view.policy().deletion_warning_seconds));
    DecisionOutcome::of(StandingChange::Suspended {
        as_of,
        reason: SuspensionReason::Credit,
        delete_at,
        warn_at: warn_at.filter(|warn_at| *warn_at > now),
        lines: BilledLines::none(),
        note: None,
    })
    .keeping(kept_charge(view, kept, grace_seconds))
}

/// Suspends an account that has no credit and nothing billed by time. If its trial's credit is used
/// up, the trial ends first.
fn suspend_at_zero(view: &AccountSnapshot<'_>, now: Timestamp) -> DecisionOutcome {
    let state = view.state();
    // A trial goes on while its own credit pays for other things.
    let is_left = |grant: &Grant| grant.kind == GrantKind::Trial && grant.remaining.is_positive();
    let over = if state.grants.iter().any(is_left) {
        None
    } else {
        trial::end_without_credit(state, state.at, view.policy())
    };
    over.unwrap_or_else(|| suspend(view, state.at, now, (Rate::ZERO, now)))
}

/// Whether a deletion would delete something: a resource that ran and was not deleted.
fn keeps_something(view: &AccountSnapshot<'_>) -> bool {
    let keeps = |condition| match condition {
        ResourceCondition::Running | ResourceCondition::Suspended | ResourceCondition::Stopped => {
            true
        }
        ResourceCondition::New | ResourceCondition::Deleted { .. } | ResourceCondition::Purged => {
            false
        }
    };
    view.billables().resources.values().any(|one| keeps(one.condition(view.state())))
}

/// Format 2 does not know it. Data that is kept is free there.
fn kept_charge(
    view: &AccountSnapshot<'_>,
    (rate, from): (Rate, Timestamp),
    grace_seconds: i64,
) -> Option<KeptCharge> {
    let is_known = view.policy().row_format >= RowFormat::new(3);
    let kept = KeptCharge { rate, from, until: from.plus(grace_seconds) };
    (is_known && !rate.is_zero() && grace_seconds > 0).then_some(kept)
}

/// Announces the deletion and leaves the full warning time.
///
/// The deletion is later than planned if nothing ran at the hour of the warning, or if the reason
/// for a delay ended after it (an expected payment failed, or a refill failed). A customer who was
/// warned before is warned again in that case: [`Event::warn_at`].
fn announce_deletion(view: &AccountSnapshot<'_>, now: Timestamp) -> Option<DecisionOutcome> {
    let Standing::Suspended(suspension) = &view.state().standing else {
        return None;
    };
    let delete_at = suspension.delete_at?.max(now.plus(view.policy().deletion_warning_seconds));
    Some(DecisionOutcome::of(StandingChange::DeletionAnnounced { delete_at }))
}

/// The time from a suspension of this account to the deletion.
fn grace_seconds(view: &AccountSnapshot<'_>) -> i64 {
    let state = view.state();
    // Nothing is deleted while the renewal or another refill may still succeed.
    let may_succeed = state.refill.retry_at.is_some() || state.renewal_due().is_some();
    let is_tried_again = may_succeed && state.is_refill_possible();
    if was_all_created_in_unpaid_trial(view) && !is_tried_again {
        view.policy().trial_grace_seconds
    } else {
        view.policy().grace_seconds
    }
}

/// Whether all resources were created in a trial that no payment followed. Resources created
/// outside of it have the full grace period.
fn was_all_created_in_unpaid_trial(view: &AccountSnapshot<'_>) -> bool {
    let state = view.state();
    let Some(trial) = &state.trial else {
        return false;
    };
    let in_trial = trial.started_at..trial.ends_at;
    !state.ever_paid
        && view
            .billables()
            .resources
            .values()
            .filter(|resource| resource.condition(state) != ResourceCondition::Purged)
            .all(|resource| in_trial.contains(&resource.created_at))
}

/// The stops of what runs and is chosen, as many as one row takes.
fn stops(
    view: &AccountSnapshot<'_>,
    billed: &[BilledResource<'_>],
    is_chosen: impl Fn(&Resource) -> bool,
) -> Vec<ResourceStop> {
    let rated = rated_at(view.state());
    billed
        .iter()
        .filter(|one| one.mode == BilledMode::Running && is_chosen(one.resource))
        .take(RESOURCES_PER_ROW_MAX)
        .map(|one| ResourceStop {
            resource: one.resource.reference(),
            // As stored in the state, at the rates of the past period.
            billed: Some((
                one.mode,
                one.resource.rate_at(view.prices(), rated).unwrap_or(one.rate),
            )),
            then: one.resource.idle_rate_at(view.prices(), rated),
            kept: Rate::ZERO,
        })
        .collect()
}

fn end_hold(hold: HoldId) -> DecisionOutcome {
    DecisionOutcome::of(HoldChange::HoldExpired { hold })
}

fn expire_grant(state: &AccountState, number: u32) -> DecisionOutcome {
    // Held credit still pays for captures.
    let amount = -state.free_of_grant(number);
    let delta = FundDelta { fund: Fund::Grant(number), amount, used: Usd::ZERO };
    DecisionOutcome::moving(GrantChange::GrantExpired { number }, vec![delta])
}

/// Restores good standing after new credit. Resources stay stopped, unless the customer chose
/// otherwise.
fn resume(view: &AccountSnapshot<'_>, now: Timestamp) -> Result<DecisionOutcome, Refusal> {
    let state = view.state();
    let (billed, more) = (idle_after_resume(view, now)?, restarts(view));
    debug_assert!(state.standing != Standing::Good, "only what is off comes back");
    Ok(DecisionOutcome::of(StandingChange::Resumed { resources: Vec::new(), more, billed }))
}

/// Whether resources restart in good standing. They do if the customer chose so and the credit
/// suffices for a start.
pub(crate) fn restarts(view: &AccountSnapshot<'_>) -> bool {
    let state = view.state();
    let any = view
        .billables()
        .resources
        .values()
        .any(|resource| resource.condition(state) == ResourceCondition::Suspended);
    let enough = state.available() >= view.policy().start_credit_min;
    match state.restart_policy {
        RestartPolicy::InOrder => any && enough,
        RestartPolicy::StayOff => false,
    }
}

/// A late run does not warn of a card that has expired. Its next row says so.
fn warn_of_card_expiry(state: &AccountState, now: Timestamp) -> Option<DecisionOutcome> {
    let expiry = state.refill.card_expiry.filter(|expiry| now < expiry.ends_at)?;
    let card = state.refill.card.clone()?;
    Some(DecisionOutcome::of(RefillChange::CardExpiring { card, ends_at: expiry.ends_at }))
}

fn expire_card(state: &AccountState) -> Option<DecisionOutcome> {
    let card = state.refill.card.clone()?;
    Some(DecisionOutcome::of(RefillChange::CardExpired { card }))
}

/// The totals of stopped resources that are billed again in good standing.
pub(crate) fn idle_after_resume(
    view: &AccountSnapshot<'_>,
    now: Timestamp,
) -> Result<BilledTotals, Refusal> {
    let good = AccountState { standing: Standing::Good, ..view.state().clone() };
    view.billables().billed(&good, view.prices(), now).map(|billed| total(&billed))
}

/// The next batch of resources to restart, oldest start first, as far as the credit pays for the
/// rest of this hour and the reserve that every start needs beyond it.
fn restart(view: &AccountSnapshot<'_>, now: Timestamp) -> Result<DecisionOutcome, Refusal> {
    let state = view.state();
    let waiting = view.billables().returning(ReturningResources::StoppedBySuspension, state);

    let (end, rated) = (now.hour().end(), state.period.as_ref().map_or(now, |_| rated_at(state)));
    let reserve = view.policy().start_reserve_seconds;
    let mut purse = Purse::for_new_period(state, now);
    // Resources that are already billed are not paid yet. They come first.
    for one in view.billables().billed(state, view.prices(), rated)? {
        let is_waiting = one.resource.condition(state) == ResourceCondition::Suspended;
        let seconds = end - state.paid_through().unwrap_or(now).min(end);
        if !is_waiting
            && purse.draw(&one.resource.sku, one.rate.for_seconds(seconds + reserve)).is_none()
        {
            return Ok(DecisionOutcome::of(StandingChange::Resumed {
                resources: Vec::new(),
                more: false,
                billed: state.billed.clone(),
            }));
        }
    }
    let mut billed = state.billed.clone();
    let (mut resources, mut spent_of) = (Vec::new(), BTreeMap::new());
    let mut more = false;
    for resource in &waiting {
        if resources.len() == RESOURCES_PER_ROW_MAX {
            more = true;
            break;
        }
        let rate = resource.rate_at(view.prices(), rated)?;
        let spent = spent_of.entry(&resource.project).or_insert(Usd::ZERO);
        let cost = *spent + needed(rate, end - now);
        if check_room(state, &resource.project, cost, now).is_err() {
            continue;
        }
        if purse.draw(&resource.sku, rate.for_seconds(end - now + reserve)).is_none() {
            continue;
        }
        if let Some(idle) = resource.idle_rate_at(view.prices(), rated) {
            billed = billed.without(BilledMode::Idle, &resource.kind, idle, resource.seq);
        }
        billed = billed.with(BilledMode::Running, &resource.kind, rate, state.next_seq);
        *spent = cost;
        resources.push(resource.reference());
    }
    Ok(DecisionOutcome::of(StandingChange::Resumed { resources, more, billed }))
}

fn purge_resources(view: &AccountSnapshot<'_>, now: Timestamp) -> DecisionOutcome {
    let (state, restore_seconds) = (view.state(), view.policy().restore_seconds);
    let mut deleted: Vec<(Timestamp, &ResourceId)> = view
        .billables()
        .resources
        .values()
        .filter(|resource| {
            resource.status == ResourceStatus::Deleted
                && resource.condition(state) != ResourceCondition::Purged
        })
        .map(|resource| (resource.since.plus(restore_seconds), &resource.id))
        .collect();
    deleted.sort();
    let gone = deleted.iter().take(RESOURCES_PER_ROW_MAX).filter(|(gone_at, _)| *gone_at <= now);
    let resources: Vec<_> = gone
        .filter_map(|(_, id)| view.billables().resources.get(*id))
        .map(Resource::reference)
        .collect();
    let purge_due = deleted.get(resources.len()).map(|(gone_at, _)| *gone_at);
    DecisionOutcome::of(ResourceChange::Purged { resources, deletion: None, purge_due })
}
