//! What is due next: the instants at which an account asks for something on its own.

use std::collections::BTreeSet;

use crate::domain::account::{
    AccountState, GrantKind, Standing, Suspension, SuspensionReason, TrialPhase,
};
use crate::domain::ids::PaymentId;
use crate::domain::policy::Policy;
use crate::domain::refill::charged_until;
use crate::domain::timestamp::{HOUR, Timestamp};

/// Something an account asks for at an instant. The order of the variants is the order in which
/// obligations of the same instant are met: what takes credit away or gives standing back comes
/// before what is paid from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DueObligation {
    /// A delayed payment no longer counts.
    EndPending(PaymentId),
    /// The trial is over.
    EndTrial,
    /// A grant's time is over.
    ExpireGrant(u32),
    /// Credit has come in: the standing is good again.
    Resume,
    /// More resources come back.
    Restart,
    /// A clock hour has begun: meters are billed.
    Meter,
    /// What was paid is used up.
    Pay,
    /// The grace ends soon.
    AnnounceDeletion,
    /// The grace is over.
    Delete,
    /// A deletion can no longer be undone.
    PurgeDeletion(u64),
    /// Single deletions can no longer be undone.
    PurgeResources,
    /// What stood in the way of a refill is over; or it has been wanted for as long as it may be.
    LookAtRefill,
}

/// The obligation that has been due for longest at `now`, but for those already met.
pub(crate) fn first_due(
    state: &AccountState,
    policy: &Policy,
    now: Timestamp,
    done: &BTreeSet<DueObligation>,
) -> Option<DueObligation> {
    obligations(state, policy)
        .into_iter()
        .filter(|(instant, obligation)| *instant <= now && !done.contains(obligation))
        .min()
        .map(|(_, obligation)| obligation)
}

/// When the account next needs a run of its own: what its item in the `due` index says. Ends of
/// *full* hours are left out: the hourly run walks all accounts with something running.
#[must_use]
pub fn due_at(state: &AccountState, policy: &Policy) -> Option<Timestamp> {
    let own =
        obligations(state, policy).into_iter().filter_map(
            |(instant, obligation)| match obligation {
                DueObligation::Pay if instant.hour().start() == instant => None,
                DueObligation::Meter => None,
                DueObligation::Pay
                | DueObligation::EndPending(_)
                | DueObligation::EndTrial
                | DueObligation::ExpireGrant(_)
                | DueObligation::Resume
                | DueObligation::Restart
                | DueObligation::AnnounceDeletion
                | DueObligation::Delete
                | DueObligation::PurgeDeletion(_)
                | DueObligation::PurgeResources
                | DueObligation::LookAtRefill => Some(instant),
            },
        );
    own.chain(outside_deadlines(state, policy)).min()
}

/// Whether the hourly run walks this account: something of it is billed by time or metered.
#[must_use]
pub fn is_billable(state: &AccountState) -> bool {
    state.billed.count() > 0 || state.meters > 0
}

/// Whether a refill must be driven on by the function that asks Stripe: it is wanted and has not
/// begun, or its attempt has been open for longer than an attempt takes, or the customer was waited
/// for long enough.
#[must_use]
pub fn refill_needs_driving(state: &AccountState, policy: &Policy, now: Timestamp) -> bool {
    state.refill.wanted.is_some()
        || attempt_due_at(state, policy).is_some_and(|due_at| due_at <= now)
}

fn attempt_due_at(state: &AccountState, policy: &Policy) -> Option<Timestamp> {
    let attempt = state.refill.attempt.as_ref()?;
    Some(
        attempt
            .void_at
            .unwrap_or_else(|| attempt.begun_at.plus(policy.refill.attempt_patience_seconds)),
    )
}

/// What waits for Stripe: a refill that is wanted or open, a deletion that must be confirmed.
fn outside_deadlines(state: &AccountState, policy: &Policy) -> impl Iterator<Item = Timestamp> {
    let wanted = state.refill.wanted.map(|wanted| wanted.since);
    let attempt = attempt_due_at(state, policy);
    let deleting = matches!(state.standing, Standing::Deleting(_)).then_some(state.at);
    [wanted, attempt, deleting].into_iter().flatten()
}

fn obligations(state: &AccountState, policy: &Policy) -> Vec<(Timestamp, DueObligation)> {
    let mut all: Vec<(Timestamp, DueObligation)> = Vec::new();
    let mut add = |instant: Option<Timestamp>, obligation: DueObligation| {
        all.extend(instant.map(|instant| (instant, obligation)));
    };
    for pending in &state.pending {
        add(Some(pending.expires_at), DueObligation::EndPending(pending.payment.clone()));
    }
    let trial = state.trial.as_ref().filter(|trial| trial.phase == TrialPhase::Active);
    add(trial.map(|trial| trial.ends_at), DueObligation::EndTrial);
    for grant in state.grants.iter().filter(|grant| grant.remaining.is_positive()) {
        // The trial's own grant ends with it, in the same row.
        let in_trial = grant.kind == GrantKind::Trial && trial.is_some();
        add((!in_trial).then_some(grant.expires_at), DueObligation::ExpireGrant(grant.number));
    }
    add(resumes_at(state), DueObligation::Resume);
    let restarts = state.restarting && state.standing == Standing::Good && state.frozen.is_empty();
    // Never into a stretch that is paid already: what comes back then has not been paid for.
    let restarts_at =
        state.paid_through().map_or(state.at, |paid_through| paid_through.max(state.at));
    add(restarts.then_some(restarts_at), DueObligation::Restart);
    if state.standing == Standing::Good && state.billed.count() > 0 {
        add(state.paid_through(), DueObligation::Pay);
    }
    if state.meters > 0 {
        let metered_at =
            state.metered_at.map_or(Timestamp::default(), |metered_at| metered_at.plus(HOUR));
        add(Some(metered_at), DueObligation::Meter);
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
    if state.is_refill_possible() && state.refill.attempt.is_none() {
        // What is wanted and cannot begin must not hold back the deletion for ever.
        let look_at = if state.refill.wanted.is_some() {
            charged_until(state, policy)
        } else {
            state.refill.retry_at
        };
        add(look_at, DueObligation::LookAtRefill);
    }
    all
}

/// At once, when there is more credit than the dust that was left; but neither while frozen nor
/// against staff.
fn resumes_at(state: &AccountState) -> Option<Timestamp> {
    let may = match &state.standing {
        Standing::Suspended(suspension) => suspension.reason == SuspensionReason::Credit,
        Standing::Deleting(_) | Standing::Deleted(_) => true,
        Standing::Good | Standing::Closed => false,
    };
    (may && state.is_above_floor() && state.frozen.is_empty()).then_some(state.at)
}

/// A day before the end of the grace, and again when a deletion that was held is so no more; not
/// while nothing would be deleted.
fn warns_at(state: &AccountState) -> Option<Timestamp> {
    suspension_that_deletes(state)?.warn_at
}

/// The end of the grace. Never before the warning, however late that is: the announcement moves the
/// deletion.
fn deletes_at(state: &AccountState) -> Option<Timestamp> {
    suspension_that_deletes(state).filter(|suspension| suspension.warn_at.is_none())?.delete_at
}

/// Whether a row (the account before it, and after it) ends what held the deletion, and no warning
/// is to come: money was awaited and does not come, or what came is gone. The deadline may have
/// passed long ago, and whoever was warned of it had reason to think that it was over.
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

/// The suspension whose grace counts: not while money may still arrive, nor if there is any.
fn suspension_that_deletes(state: &AccountState) -> Option<&Suspension> {
    let Standing::Suspended(suspension) = &state.standing else {
        return None;
    };
    let refill = state.refill.attempt.is_some() || state.refill.wanted.is_some();
    let money_may_come = refill || !state.pending.is_empty();
    (!money_may_come && !state.is_above_floor()).then_some(suspension)
}
