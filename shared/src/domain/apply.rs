//! `apply`: the state after a row. It cannot fail and decides nothing. The event carries every
//! decision.

use crate::domain::account::{AccountState, RefillPause, RefillRespite, Standing, WantedRefill};
use crate::domain::credit_low;
use crate::domain::event::{Change, Event, RefillWant, RowPlace};
use crate::domain::funds::{Fund, FundDelta};
use crate::domain::money::Usd;

/// Returns the account after `event` became its next row.
#[must_use]
pub fn apply(state: &AccountState, event: &Event) -> AccountState {
    let mut next = state.clone();
    next.next_seq = state.next_seq + 1;
    next.at = event.at;

    event.change.begin_period(&mut next, event.at);
    for grant in &event.grants {
        if next.grant(grant.number).is_none() {
            next.grants.push(grant.clone());
            next.grants.sort_by_key(|grant| grant.number);
        }
        next.grants_so_far = next.grants_so_far.max(grant.number);
    }
    for delta in &event.funds {
        apply_funds(&mut next, delta);
    }
    count_trial_use(&mut next, state, event);
    event.change.apply(&mut next, RowPlace { seq: state.next_seq, at: event.at });
    for cut in &event.cuts {
        next.set_held(cut.id, &cut.left);
    }
    for spend in &event.spends {
        let budget = next.budgets.iter_mut().find(|budget| budget.project == spend.project);
        budget.into_iter().for_each(|budget| budget.count(spend));
    }
    if event.amount().is_positive() && !event.change.is_use() {
        next.refill.respite = None;
        end_look_at_refill(&mut next);
        end_wait_for_confirmation(&mut next);
    }
    if let Some(until) = event.respite_until {
        let from = event.respite_from.unwrap_or(event.at);
        next.refill.respite = Some(RefillRespite { from, until });
    }
    next.owed += event.owed;
    if let (Some(kept), Standing::Suspended(suspension)) = (event.kept, &mut next.standing) {
        suspension.kept = Some(kept).filter(|kept| !kept.rate.is_zero());
    }
    credit_low::record_told(&mut next.low_told, event);
    apply_want(&mut next, state, event);
    if let (Some(warn_at), Standing::Suspended(suspension)) = (event.warn_at, &mut next.standing) {
        suspension.warn_at = Some(warn_at);
    }
    next.credit_used_up |= event.uses_up_credit;
    tidy(&mut next);
    if let Change::Hold(_) = &event.change {
        end_unused_respite(&mut next, state);
    }
    next
}

/// A hold may end before the refill begins that only it made necessary. Its respite ends with it, if
/// nothing ran unpaid in it. Otherwise a later refill would have no respite.
fn end_unused_respite(next: &mut AccountState, before: &AccountState) {
    let is_unused = next.paid_through().is_none_or(|paid_through| paid_through > next.at);
    let refill = &mut next.refill;
    let is_over = before.refill.wanted.is_some() && refill.wanted.is_none();
    if is_over && refill.attempt.is_none() && is_unused {
        refill.respite = None;
    }
}

fn apply_funds(state: &mut AccountState, delta: &FundDelta) {
    match delta.fund {
        Fund::Paid => {
            state.paid += delta.amount;
            if let Some(period) = &mut state.period {
                period.used += delta.used;
            }
        }
        Fund::Grant(number) => {
            if let Some(grant) = state.grants.iter_mut().find(|grant| grant.number == number) {
                grant.remaining += delta.amount;
                grant.used += delta.used;
            }
        }
    }
}

/// A credit answers the question for which a refill waited after a change of the saved cards.
fn end_look_at_refill(state: &mut AccountState) {
    let refill = &mut state.refill;
    if refill.look_at.take().is_some_and(|look_at| refill.retry_at == Some(look_at)) {
        refill.retry_at = None;
    }
}

/// A customer who adds credit has returned, so refills need not wait any longer.
fn end_wait_for_confirmation(state: &mut AccountState) {
    let refill = &mut state.refill;
    refill.paused = refill.paused.filter(|why| *why != RefillPause::Unconfirmed);
}

/// Adds up the usage during a trial, less the amounts that were given back. A renewal is computed
/// from it.
fn count_trial_use(next: &mut AccountState, before: &AccountState, event: &Event) {
    if event.change.is_use()
        && before.is_in_trial()
        && let Some(trial) = &mut next.trial
    {
        trial.used = (trial.used - event.amount()).or_zero();
    }
}

fn apply_want(next: &mut AccountState, before: &AccountState, event: &Event) {
    match event.want {
        Some(RefillWant::Now { amount, purpose }) => {
            // Changed settings do not restart the time for which a suspension is delayed.
            let since = before.refill.wanted.map_or(event.at, |wanted| wanted.since);
            next.refill.wanted = Some(WantedRefill { since, amount, purpose });
            next.refill.retry_at = None;
        }
        Some(RefillWant::At(retry_at)) => next.refill.retry_at = Some(retry_at),
        None => {}
    }
}

/// Whether a good account has no credit left, and nothing is billed by time.
pub(crate) fn is_without_credit(state: &AccountState) -> bool {
    state.standing == Standing::Good && state.billed.count() == 0 && !state.balance().is_positive()
}

/// Restores the invariants that depend on the state alone.
fn tidy(next: &mut AccountState) {
    // If nothing is billed, nothing is prepaid and nothing can be given back.
    if next.billed.count() == 0 {
        next.period = None;
        for grant in &mut next.grants {
            grant.used = Usd::ZERO;
        }
    }
    next.credit_used_up &= is_without_credit(next);
    // A spent grant stays as long as it may get something back.
    next.grants.retain(|grant| grant.remaining.is_positive() || grant.used.is_positive());
    next.refill.look_at = next.refill.look_at.filter(|look_at| *look_at > next.at);
    // A wanted refill is a level: it ends as soon as the reason for it ends.
    if !next.still_wants_refill() {
        next.refill.wanted = None;
        next.refill.retry_at = None;
    }
}
