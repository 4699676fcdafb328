//! The next obligation of an account, and when it is due.

use std::collections::BTreeSet;

use crate::domain::account::{
    AccountState, Grant, GrantKind, OpenRefund, Standing, Suspension, SuspensionReason,
    TrialNotice, TrialPhase,
};
use crate::domain::funds::Purse;
use crate::domain::holds::HoldId;
use crate::domain::ids::{AccountId, PaymentId};
use crate::domain::money::Usd;
use crate::domain::policy::Policy;
use crate::domain::refill::{charged_until, respite_until};
use crate::domain::settle::trial_forecast::{AfterTrial, TrialForecast, trial_forecast};
use crate::domain::timestamp::{DAY, HOUR, MINUTE, Timestamp};

const TEN_MINUTES: i64 = 10 * MINUTE;
/// How long the request that began a refund waits for Stripe.
const REFUND_PATIENCE: i64 = 2 * MINUTE;

/// An obligation that time brings. The order of the variants is the order within an instant:
/// usage comes before the end of the funds that pay for it, and what removes credit or restores
/// standing comes before what spends credit on time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DueObligation {
    /// A pending payment expires.
    EndPending(PaymentId),
    /// A hold expires.
    EndHold(HoldId),
    /// Metered usage is to be billed.
    Meter,
    /// The trial ends soon.
    AnnounceTrialEnd,
    /// The trial ends.
    EndTrial,
    /// A grant expires.
    ExpireGrant(u32),
    /// There is credit, and something is owed.
    PayOwed,
    /// Credit arrived, and good standing returns.
    Resume,
    /// More resources restart.
    Restart,
    /// The last credit is used up, and nothing is billed by time.
    SuspendAtZero,
    /// The paid time is over.
    Pay,
    /// The grace period ends soon.
    AnnounceDeletion,
    /// The grace period is over.
    Delete,
    /// A deletion of the account can no longer be restored.
    PurgeDeletion(u64),
    /// Individual deletions can no longer be restored.
    PurgeResources,
    /// The card that refills charge expires within a month.
    WarnOfCardExpiry,
    /// The card that refills charge has expired.
    ExpireCard,
    /// A refill is no longer blocked, or has been wanted for the maximum time.
    LookAtRefill,
}

/// The obligation that has been due longest at `now`, except for those already met. `meters_due_at` is
/// the time when metered usage is next billed.
pub(crate) fn first_due(
    state: &AccountState,
    policy: &Policy,
    now: Timestamp,
    meters_due_at: Option<Timestamp>,
    done: &BTreeSet<DueObligation>,
) -> Option<DueObligation> {
    let meters = meters_due_at.map(|instant| (instant, DueObligation::Meter));
    obligations(state, policy)
        .into_iter()
        .chain(meters)
        .filter(|(instant, obligation)| *instant <= now && !done.contains(obligation))
        .min()
        .map(|(_, obligation)| obligation)
}

/// When the account next needs a run of its own, as stored in the index `due`. Ends of *full* hours
/// are left out, because the hourly run covers them. If that run may leave the hour to a respite, the
/// end of the respite is there instead.
#[must_use]
pub fn due_at(state: &AccountState, policy: &Policy) -> Option<Timestamp> {
    let own =
        obligations(state, policy).into_iter().filter_map(
            |(instant, obligation)| match obligation {
                DueObligation::Pay if instant.hour().start() == instant => {
                    respite_until(state, policy).filter(|until| *until > instant)
                }
                DueObligation::Meter => None,
                DueObligation::Pay
                | DueObligation::EndPending(_)
                | DueObligation::EndHold(_)
                | DueObligation::AnnounceTrialEnd
                | DueObligation::EndTrial
                | DueObligation::ExpireGrant(_)
                | DueObligation::PayOwed
                | DueObligation::Resume
                | DueObligation::Restart
                | DueObligation::SuspendAtZero
                | DueObligation::AnnounceDeletion
                | DueObligation::Delete
                | DueObligation::PurgeDeletion(_)
                | DueObligation::PurgeResources
                | DueObligation::WarnOfCardExpiry
                | DueObligation::ExpireCard
                | DueObligation::LookAtRefill => Some(instant),
            },
        );
    own.chain(outside_deadlines(state, policy)).min()
}

/// Whether the hourly run covers this account: it has resources billed by time, or meters.
#[must_use]
pub fn is_billable(state: &AccountState) -> bool {
    state.billed.count() > 0 || state.meters > 0
}

/// Whether the refill function must act: a refill is wanted and has not started, its attempt takes
/// too long, or the time for the customer's confirmation is over, or the confirmation is no longer
/// needed.
#[must_use]
pub fn refill_needs_driving(state: &AccountState, policy: &Policy, now: Timestamp) -> bool {
    state.refill.wanted.is_some()
        || attempt_due_at(state, policy).is_some_and(|due_at| due_at <= now)
}

/// Whether the account's deletion only waits for Stripe's word that no payment comes. A promised
/// payment or an open refill comes first, and credit ends the deletion.
#[must_use]
pub fn is_deletion_to_confirm(state: &AccountState) -> bool {
    let money_may_come = state.refill.attempt.is_some() || !state.pending.is_empty();
    matches!(state.standing, Standing::Deleting(_)) && !money_may_come && !state.is_above_floor()
}

/// Whether Stripe is asked at `now` about the deletion of `account`: each minute at first, and less
/// often the longer it cannot be confirmed. Later on, accounts take turns.
#[must_use]
pub fn asks_about_deletion(account: &AccountId, state: &AccountState, now: Timestamp) -> bool {
    is_deletion_to_confirm(state) && takes_turn(account, state.at, now)
}

/// Whether an account that has waited since then is looked at in this minute.
fn takes_turn(account: &AccountId, since: Timestamp, now: Timestamp) -> bool {
    let pause_minutes = match now - since {
        ..TEN_MINUTES => 1,
        TEN_MINUTES..HOUR => 5,
        HOUR.. => 15,
    };
    let turn: i64 = account.as_str().bytes().map(i64::from).sum();
    (now.seconds() / MINUTE + turn) % pause_minutes == 0
}

/// Whether Stripe is asked at `now` about refunds by staff that it has not answered: each minute at
/// first, and less often the longer that takes.
#[must_use]
pub fn refunds_need_driving(account: &AccountId, state: &AccountState, now: Timestamp) -> bool {
    state.open_refunds.first().is_some_and(|oldest| {
        let due_at = refund_due_at(oldest);
        due_at <= now && takes_turn(account, due_at, now)
    })
}

/// Whether Stripe is asked again about an open refund. The request that began it asks at once.
#[must_use]
pub fn refund_is_late(open: &OpenRefund, now: Timestamp) -> bool {
    refund_due_at(open) <= now
}

fn refund_due_at(open: &OpenRefund) -> Timestamp {
    open.begun_at.plus(REFUND_PATIENCE)
}

fn attempt_due_at(state: &AccountState, policy: &Policy) -> Option<Timestamp> {
    let attempt = state.refill.attempt.as_ref()?;
    if state.is_asked_in_vain() {
        return Some(state.at);
    }
    Some(
        attempt
            .void_at
            .unwrap_or_else(|| attempt.begun_at.plus(policy.refill.attempt_patience_seconds)),
    )
}

/// Deadlines that depend on Stripe: a wanted or open refill, an open refund, or a deletion to
/// confirm.
fn outside_deadlines(state: &AccountState, policy: &Policy) -> impl Iterator<Item = Timestamp> {
    let wanted = state.refill.wanted.map(|wanted| wanted.since);
    let attempt = attempt_due_at(state, policy);
    let deleting = is_deletion_to_confirm(state).then_some(state.at);
    let refund = state.open_refunds.first().map(refund_due_at);
    [wanted, attempt, refund, deleting].into_iter().flatten()
}

fn obligations(state: &AccountState, policy: &Policy) -> Vec<(Timestamp, DueObligation)> {
    let mut all: Vec<(Timestamp, DueObligation)> = Vec::new();
    let mut add = |instant: Option<Timestamp>, obligation: DueObligation| {
        all.extend(instant.map(|instant| (instant, obligation)));
    };
    for pending in &state.pending {
        add(Some(pending.expires_at), DueObligation::EndPending(pending.payment.clone()));
    }
    for hold in &state.holds {
        add(Some(hold.expires_at), DueObligation::EndHold(hold.id));
    }
    let trial_ends_at = trial_ends_at(state);
    add(announces_trial_end_at(state, policy), DueObligation::AnnounceTrialEnd);
    add(trial_ends_at, DueObligation::EndTrial);
    let is_free = |grant: &&Grant| state.free_of_grant(grant.number).is_positive();
    for grant in state.grants.iter().filter(is_free) {
        // The trial's own grant ends with the trial, in the same row.
        let in_trial = grant.kind == GrantKind::Trial && trial_ends_at.is_some();
        add((!in_trial).then_some(grant.expires_at), DueObligation::ExpireGrant(grant.number));
    }
    add(pays_owed_at(state), DueObligation::PayOwed);
    add(resumes_at(state), DueObligation::Resume);
    let restarts = state.restarting && state.standing == Standing::Good && state.frozen.is_empty();
    // Never within paid time, because restarted resources have not paid for it.
    let restarts_at =
        state.paid_through().map_or(state.at, |paid_through| paid_through.max(state.at));
    add(restarts.then_some(restarts_at), DueObligation::Restart);
    if state.standing == Standing::Good && state.billed.count() > 0 {
        add(state.paid_through(), DueObligation::Pay);
    }
    if state.credit_used_up {
        let respite = respite_until(state, policy).filter(|until| *until > state.at);
        add(Some(respite.unwrap_or(state.at)), DueObligation::SuspendAtZero);
    }
    add(warns_at(state), DueObligation::AnnounceDeletion);
    add(deletes_at(state), DueObligation::Delete);
    for deletion in &state.deletions {
        add(
            Some(deletion.at.plus(policy.restore_seconds)),
            DueObligation::PurgeDeletion(deletion.seq),
        );
    }
    add(state.purge_due, DueObligation::PurgeResources);
    if let Some(expiry) = state.refill.card_expiry.filter(|_| state.is_refill_possible()) {
        add(expiry.warn_at, DueObligation::WarnOfCardExpiry);
        add(Some(expiry.ends_at), DueObligation::ExpireCard);
    }
    if state.is_refill_possible() && state.refill.attempt.is_none() {
        // A wanted refill that cannot start must not delay the deletion forever.
        let look_at = if state.refill.wanted.is_some() {
            charged_until(state, policy)
        } else {
            // The end of a freeze is a reason to look at once, but not while the customer may be
            // paying with a new card.
            let look_at = state.refill.look_at;
            state.refill.retry_at.map(|at| at.max(look_at.unwrap_or(at)))
        };
        add(look_at, DueObligation::LookAtRefill);
    }
    all
}

/// When the running trial is to end: with its time, or as soon as its credit is used while everything
/// is off.
pub(super) fn trial_ends_at(state: &AccountState) -> Option<Timestamp> {
    let trial = state.trial.as_ref().filter(|trial| trial.phase == TrialPhase::Active)?;
    let is_off = match &state.standing {
        Standing::Suspended(suspension) => suspension.reason == SuspensionReason::Credit,
        Standing::Deleting(_) | Standing::Deleted(_) => true,
        Standing::Good | Standing::Closed => false,
    };
    // Credit up to the floor pays for nothing.
    let left: Usd = state.trial_grants().map(|grant| grant.remaining).sum();
    let is_used = is_off && state.is_in_trial() && left <= state.floor();
    Some(if is_used { state.at.min(trial.ends_at) } else { trial.ends_at })
}

/// A day and an hour before the end of the trial, or at once if the end comes sooner; again if
/// the end moved away since. Never while nothing would be charged or deleted.
fn announces_trial_end_at(state: &AccountState, policy: &Policy) -> Option<Timestamp> {
    let TrialForecast { ends_at, then } = trial_forecast(state, policy)?;
    if then == AfterTrial::Nothing {
        return None;
    }
    match state.trial.as_ref()?.told.and_then(|told| told.holds_for(ends_at)) {
        None => Some(ends_at.plus(-DAY)),
        Some(TrialNotice::Day) => Some(ends_at.plus(-HOUR)),
        Some(TrialNotice::Hour) => None,
    }
}

/// At once if the balance exceeds the remainder at the suspension. Never while frozen or suspended
/// by staff.
fn resumes_at(state: &AccountState) -> Option<Timestamp> {
    let may = match &state.standing {
        Standing::Suspended(suspension) => suspension.reason == SuspensionReason::Credit,
        Standing::Deleting(_) | Standing::Deleted(_) => true,
        Standing::Good | Standing::Closed => false,
    };
    let may = may && state.owed_at(state.at).is_zero();
    (may && state.is_above_floor() && state.frozen.is_empty()).then_some(state.at)
}

/// At once, and before the next hour is paid. What was left at a suspension pays nothing.
fn pays_owed_at(state: &AccountState) -> Option<Timestamp> {
    let credit = Purse::within_period(state, state.at).credit_of_any_kind();
    let has_new_credit = match &state.standing {
        Standing::Good => true,
        Standing::Suspended(_) | Standing::Deleting(_) | Standing::Deleted(_) => {
            state.is_above_floor()
        }
        Standing::Closed => false,
    };
    let instant = state.paid_through().map_or(state.at, |paid_through| paid_through.min(state.at));
    let is_owed = state.owed_at(state.at).is_positive();
    (has_new_credit && is_owed && credit.is_positive()).then_some(instant)
}

/// A day before the end of the grace period, and again when a delayed deletion is no longer
/// delayed. Never if nothing would be deleted.
fn warns_at(state: &AccountState) -> Option<Timestamp> {
    suspension_that_deletes(state)?.warn_at
}

/// The end of the grace period. Never before the warning, because a late announcement moves the
/// deletion.
fn deletes_at(state: &AccountState) -> Option<Timestamp> {
    suspension_that_deletes(state).filter(|suspension| suspension.warn_at.is_none())?.delete_at
}

/// Whether a row ends the last reason for delaying the deletion without a new warning: an expected
/// payment failed, received money was taken back, or held credit was used. The deadline may have
/// passed long ago, and a customer who was warned before may think that it no longer applies.
pub(crate) fn ends_hold_of_deletion(
    before: &AccountState,
    after: impl FnOnce() -> AccountState,
) -> bool {
    let is_held = matches!(before.standing, Standing::Suspended(_))
        && suspension_that_deletes(before).is_none();
    if !is_held {
        return false;
    }
    let after = after();
    before.suspended_seq == after.suspended_seq
        && suspension_that_deletes(&after)
            .is_some_and(|one| one.delete_at.is_some() && one.warn_at.is_none())
}

/// The suspension whose grace period is running. `None` while money may still arrive, or credit is
/// left or held.
fn suspension_that_deletes(state: &AccountState) -> Option<&Suspension> {
    let Standing::Suspended(suspension) = &state.standing else {
        return None;
    };
    let refill = state.refill.attempt.is_some() || state.refill.wanted.is_some();
    let money_may_come = refill || !state.pending.is_empty();
    let has_credit = state.is_above_floor() || state.held().is_positive();
    (!money_may_come && !has_credit).then_some(suspension)
}
