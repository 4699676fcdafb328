//! `apply`: the state after a row. It cannot fail and decides nothing: every decision stands in the
//! event.

use std::collections::BTreeSet;

use crate::domain::account::{
    AccountDeletion, AccountFreeze, AccountState, BalanceFloor, BilledTotals, ByStaff, ComingBack,
    EverPaid, PaidPeriod, RefillPause, RefillPurpose, RestartPolicy, Standing, Suspension,
    SuspensionReason, TakenBack, TrialPhase, TrialState, WantedRefill,
};
use crate::domain::event::{
    Change, CreditKind, DisputeOutcome, Event, Known, PaymentFacts, RefillDecline, RefillWant,
    StartKind,
};
use crate::domain::funds::{Fund, FundDelta};
use crate::domain::ids::{PaymentId, ResourceId};
use crate::domain::money::Usd;
use crate::domain::timestamp::Timestamp;

/// The account after `event` became its next row.
#[must_use]
pub fn apply(state: &AccountState, event: &Event) -> AccountState {
    let mut next = state.clone();
    next.next_seq = state.next_seq + 1;
    next.at = event.at;
    let seq = state.next_seq;

    if let Change::Usage { from, through, .. } = &event.change {
        begin_period(&mut next, *from, *through);
    }
    for grant in &event.grants {
        if next.grant(grant.number).is_none() {
            next.grants.push(grant.clone());
            next.grants.sort_by_key(|grant| grant.number);
        }
        next.grants_so_far = next.grants_so_far.max(grant.number);
    }
    // Whoever starts something while nothing is billed begins a period; its funds are counted in
    // it.
    if let Change::Started { through, .. } = &event.change
        && next.period.is_none()
    {
        begin_period(&mut next, event.at, *through);
    }
    for delta in &event.funds {
        apply_funds(&mut next, delta);
    }
    count_trial_use(&mut next, state, event);
    apply_change(&mut next, event, seq);
    apply_want(&mut next, state, event);
    if let (Some(warn_at), Standing::Suspended(suspension)) = (event.warn_at, &mut next.standing) {
        suspension.warn_at = Some(warn_at);
    }
    tidy(&mut next);
    next
}

fn begin_period(state: &mut AccountState, from: Timestamp, through: Timestamp) {
    state.period = Some(PaidPeriod { from, through, used: Usd::ZERO, unpaid: BTreeSet::new() });
    for grant in &mut state.grants {
        grant.used = Usd::ZERO;
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

/// What a trial's renewal will be computed from: everything billed in it, less what was given back.
fn count_trial_use(next: &mut AccountState, before: &AccountState, event: &Event) {
    let is_use = event.change.lines().is_some() || matches!(event.change, Change::Metered { .. });
    if is_use
        && before.is_in_trial()
        && let Some(trial) = &mut next.trial
    {
        trial.used = (trial.used - event.amount()).or_zero();
    }
}

fn apply_change(next: &mut AccountState, event: &Event, seq: u64) {
    match &event.change {
        Change::Opened | Change::Granted { .. } | Change::GrantExpired { .. } => {}
        Change::Corrected { .. } | Change::Created { .. } => {}
        Change::Credited { payment, kind, credit, .. } => {
            apply_credit(next, payment, *kind, *credit, event.at)
        }
        Change::PaymentPending(pending) => next.pending.push(pending.clone()),
        Change::PaymentEnded { payment, .. } => end_pending(next, payment),
        Change::Started { resources, billed, how, .. } => {
            next.billed = billed.clone();
            if let Some(period) = &mut next.period {
                period
                    .unpaid
                    .retain(|unpaid| resources.iter().all(|started| started.id != *unpaid));
            }
            if let StartKind::Restored { purge_due } = how {
                next.purge_due = *purge_due;
            }
        }
        Change::Stopped { billed, .. } => next.billed = billed.clone(),
        Change::StartFailed { billed, purge_due, unpaid, .. } => {
            next.billed = billed.clone();
            next.purge_due = *purge_due;
            set_unpaid(next, unpaid);
        }
        Change::ResourcesDeleted { billed, purge_due, .. } => {
            next.billed = billed.clone();
            next.purge_due = *purge_due;
        }
        Change::Purged { deletion, purge_due, .. } => {
            next.purge_due = *purge_due;
            if let Some(deletion) = deletion {
                next.purged_seq = next.purged_seq.max(Some(*deletion));
                next.deletions.retain(|kept| kept.seq != *deletion);
            }
        }
        Change::MeterOpened(_) => next.meters += 1,
        Change::Usage { billed, unpaid, .. } => {
            set_unpaid(next, unpaid);
            if let Some(billed) = billed {
                next.billed = billed.clone();
            }
        }
        Change::Metered { hour, .. } => next.metered_at = hour.or(next.metered_at),
        Change::Suspended { as_of, reason, delete_at, warn_at, .. } => {
            let floor = next.balance().or_zero();
            let (as_of, reason, delete_at, warn_at) = (*as_of, *reason, *delete_at, *warn_at);
            next.standing =
                Standing::Suspended(Suspension { as_of, reason, delete_at, warn_at, floor });
            next.suspended_seq = Some(seq);
            next.billed = BilledTotals::default();
            next.coming_back = ComingBack::No;
        }
        Change::Resumed { more, billed, .. } => {
            next.standing = Standing::Good;
            next.coming_back = *more;
            next.billed = billed.clone();
            if billed.count() > 0 && next.period.is_none() {
                begin_period(next, event.at, event.at);
            }
        }
        Change::DeletionAnnounced { delete_at } => {
            if let Standing::Suspended(suspension) = &mut next.standing {
                (suspension.delete_at, suspension.warn_at) = (Some(*delete_at), None);
            }
        }
        Change::DeletionDue => next.standing = Standing::Deleting(floor_of(next)),
        Change::Deleted => {
            next.standing = Standing::Deleted(floor_of(next));
            next.deletions.push(AccountDeletion { seq, at: event.at });
        }
        Change::Closed { .. } => next.standing = Standing::Closed,
        Change::TrialStarted { ends_at, .. } => {
            let (started_at, ends_at) = (event.at, *ends_at);
            next.trial = Some(TrialState {
                started_at,
                ends_at,
                phase: TrialPhase::Active,
                used: Usd::ZERO,
            });
        }
        Change::TrialEnded => set_trial_phase(next, TrialPhase::Ended),
        Change::RefillChanged { agreement, card, monthly_cap } => {
            // What was wanted under the old settings is looked at anew, in the same row.
            next.refill.wanted =
                next.refill.wanted.filter(|wanted| wanted.purpose == RefillPurpose::TrialRenewal);
            next.refill.retry_at = None;
            next.refill.agreement = *agreement;
            next.refill.card.clone_from(card);
            next.refill.monthly_cap = *monthly_cap;
            // Another card, or the customer's renewed wish, ends every pause; the back-off stays.
            next.refill.paused = None;
            next.refill.failures = 0;
        }
        Change::CardRemoved { card } => {
            next.refill.never.remove(card);
            if next.refill.card.as_ref() == Some(card) {
                next.refill.card = None;
                next.refill.paused = Some(RefillPause::CardGone);
            }
        }
        Change::RefillDue => (next.refill.retry_at, next.refill.wanted) = (None, None),
        Change::RefillBegun(attempt) => {
            next.refill.attempts_so_far = attempt.number;
            next.refill.attempt = Some(attempt.clone());
            next.refill.wanted = None;
            next.refill.retry_at = None;
        }
        Change::RefillNeedsCustomer { void_at, .. } => {
            if let Some(attempt) = &mut next.refill.attempt {
                attempt.void_at = Some(*void_at);
            }
        }
        Change::RefillFailed { decline, pause, .. } => {
            let attempt = next.refill.attempt.take();
            let is_current =
                attempt.as_ref().map(|attempt| &attempt.card) == next.refill.card.as_ref();
            if is_current && *decline != RefillDecline::NotCharged {
                next.refill.failures += 1;
            }
            next.refill.failed_at = Some(event.at);
            next.refill.paused = next.refill.paused.or(*pause);
            if let (RefillDecline::Never, Some(attempt)) = (decline, attempt) {
                next.refill.never.insert(attempt.card);
            }
        }
        Change::ComebackChosen(comeback) => {
            next.comeback = *comeback;
            if *comeback == RestartPolicy::StayOff {
                next.coming_back = ComingBack::No;
            }
        }
        Change::TakenBack { of, cents, credit, .. } => take_back(next, of, *cents, *credit),
        Change::GivenBack { known: Known::No, .. } => {}
        Change::GivenBack { of, cents, credit, known: Known::Yes, .. } => {
            give_back(next, of, *cents, *credit)
        }
        Change::DisputeOpened { dispute, .. }
        | Change::DisputeClosed { dispute, outcome: DisputeOutcome::Lost } => {
            next.frozen.disputes.insert(dispute.clone());
        }
        Change::DisputeClosed { dispute, outcome: DisputeOutcome::Won } => {
            next.frozen.disputes.remove(dispute);
            next.refill.retry_at = Some(event.at);
        }
        Change::Frozen { .. } => next.frozen.staff = ByStaff::Yes,
        Change::Unfrozen { .. } => {
            next.frozen = AccountFreeze::default();
            // Nobody looked at the balance while no card could be charged.
            next.refill.retry_at = Some(event.at);
        }
    }
}

fn set_unpaid(next: &mut AccountState, unpaid: &[ResourceId]) {
    if let Some(period) = &mut next.period {
        period.unpaid.extend(unpaid.iter().cloned());
    }
}

fn apply_credit(
    next: &mut AccountState,
    payment: &PaymentId,
    kind: CreditKind,
    credit: Usd,
    at: Timestamp,
) {
    end_pending(next, payment);
    next.ever_paid = EverPaid::Yes;
    let CreditKind::Refill { attempt, purpose } = kind else {
        return;
    };
    if next.refill.attempt.as_ref().is_some_and(|open| open.number == attempt) {
        next.refill.attempt = None;
    }
    next.refill.failures = 0;
    next.refill.failed_at = None;
    let (day, today) = next.refill.today;
    next.refill.today = (at.day(), if day == at.day() { today + 1 } else { 1 });
    let (month, charged) = next.refill.this_month;
    next.refill.this_month =
        (at.month(), if month == at.month() { charged + credit } else { credit });
    if purpose == RefillPurpose::TrialRenewal {
        set_trial_phase(next, TrialPhase::Renewed);
    }
}

fn end_pending(next: &mut AccountState, payment: &PaymentId) {
    next.pending.retain(|pending| pending.payment != *payment);
}

fn set_trial_phase(next: &mut AccountState, phase: TrialPhase) {
    if let Some(trial) = &mut next.trial {
        trial.phase = phase;
    }
}

fn floor_of(state: &AccountState) -> BalanceFloor {
    BalanceFloor { floor: state.floor() }
}

/// A payment of which nothing or everything is taken back has no entry: the state stays small, and
/// because every entry is a sum, news in any order come to the same end.
fn take_back(next: &mut AccountState, of: &PaymentFacts, cents: i64, credit: Usd) {
    let before = taken_back(next, &of.payment).unwrap_or((0, Usd::ZERO));
    set_taken_back(next, of, before.0 + cents, before.1 + credit);
}

fn give_back(next: &mut AccountState, of: &PaymentFacts, cents: i64, credit: Usd) {
    let before = taken_back(next, &of.payment).unwrap_or((of.received_cents, of.credit));
    set_taken_back(next, of, before.0 - cents, before.1 - credit);
}

/// Cents and credit of a payment that are taken back, if it is a part of it.
#[must_use]
pub(crate) fn taken_back(state: &AccountState, payment: &PaymentId) -> Option<(i64, Usd)> {
    state
        .taken_back
        .iter()
        .find(|entry| entry.payment == *payment)
        .map(|entry| (entry.cents, entry.credit))
}

fn set_taken_back(next: &mut AccountState, of: &PaymentFacts, cents: i64, credit: Usd) {
    next.taken_back.retain(|entry| entry.payment != of.payment);
    let (none, all) = ((0, Usd::ZERO), (of.received_cents, of.credit));
    if (cents, credit) != none && (cents, credit) != all {
        next.taken_back.push(TakenBack { payment: of.payment.clone(), cents, credit });
    }
}

fn apply_want(next: &mut AccountState, before: &AccountState, event: &Event) {
    match event.want {
        Some(RefillWant::Now { amount, purpose }) => {
            // Changed settings do not begin the time anew for which a suspension is held back.
            let since = before.refill.wanted.map_or(event.at, |wanted| wanted.since);
            next.refill.wanted = Some(WantedRefill { since, amount, purpose });
            next.refill.retry_at = None;
        }
        Some(RefillWant::At(retry_at)) => next.refill.retry_at = Some(retry_at),
        None => {}
    }
}

/// What follows from the state alone.
fn tidy(next: &mut AccountState) {
    // Nothing billed: nothing is paid ahead, and there is nothing left to give back.
    if next.billed.count() == 0 {
        next.period = None;
        for grant in &mut next.grants {
            grant.used = Usd::ZERO;
        }
    }
    // A grant that is used up stays as long as it might get something back.
    next.grants.retain(|grant| grant.remaining.is_positive() || grant.used.is_positive());
    // Refill is a level: once nothing asks for it any more, nothing is wanted.
    if !wants_refill_still(next) {
        next.refill.wanted = None;
        next.refill.retry_at = None;
    }
}

fn wants_refill_still(state: &AccountState) -> bool {
    let (month, charged) = state.refill.this_month;
    let charged = if month == state.at.month() { charged } else { Usd::ZERO };
    let fits = |wanted: WantedRefill| {
        state.refill.monthly_cap.is_none_or(|cap| charged + wanted.amount <= cap)
    };
    if !state.refill.wanted.is_none_or(fits) {
        return false;
    }
    let renewal =
        state.refill.wanted.is_some_and(|wanted| wanted.purpose == RefillPurpose::TrialRenewal);
    is_refill_possible(state)
        && state.refill.agreement.is_some_and(|agreed| {
            state.balance() < agreed.threshold || (renewal && state.ever_paid == EverPaid::No)
        })
}

/// Whether a refill may be charged at all, now or later: agreed to, with a card that was not
/// refused, and the account neither frozen nor closed, deleted or stopped by staff.
#[must_use]
pub(crate) fn is_refill_possible(state: &AccountState) -> bool {
    let standing = match &state.standing {
        Standing::Good => true,
        Standing::Suspended(suspension) => suspension.reason == SuspensionReason::Credit,
        Standing::Deleting(_) | Standing::Deleted(_) | Standing::Closed => false,
    };
    let card = state.refill.card.as_ref().is_some_and(|card| !state.refill.never.contains(card));
    standing
        && card
        && state.refill.agreement.is_some()
        && state.refill.paused.is_none()
        && state.frozen.is_empty()
}
