//! Whether, when and how much to refill.
//!
//! Wanted is a *level*, not an edge: any row that leaves the balance below the threshold says so,
//! in the same row. A top-up by hand alone never does: who has just paid is not charged again for
//! it.

use crate::domain::account::{
    AccountState, EverPaid, RefillPurpose, RefillState, Standing, TrialPhase, TrialState,
};
use crate::domain::apply::is_refill_possible;
use crate::domain::event::{Change, CreditKind, RefillWant};
use crate::domain::money::Usd;
use crate::domain::policy::{Policy, RefillPolicy};
use crate::domain::timestamp::{DAY, HOUR, Timestamp};

/// When a charge of some amount is allowed by back-off, daily number and monthly cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeTiming {
    /// Now.
    Now,
    /// At this instant at the earliest.
    At(Timestamp),
    /// Never under the present settings: one refill alone is above the cap.
    Never,
}

/// When a refill of `amount` (USD, before tax) may be charged: the latest of what stands in its
/// way.
#[must_use]
pub fn allowed(
    refill: &RefillState,
    amount: Usd,
    policy: &RefillPolicy,
    now: Timestamp,
) -> ChargeTiming {
    let backoff = refill.failed_at.map(|failed_at| failed_at.plus(policy.backoff_seconds));
    let (day, today) = refill.today;
    let daily = (day == now.day() && today >= policy.per_day_max).then(|| now.next_day());
    let monthly = match refill.monthly_cap {
        Some(cap) if amount > cap => return ChargeTiming::Never,
        Some(cap) => {
            let (month, charged) = refill.this_month;
            (month == now.month() && charged + amount > cap).then(|| now.next_month())
        }
        None => None,
    };
    match [backoff, daily, monthly].into_iter().flatten().filter(|at| *at > now).max() {
        Some(at) => ChargeTiming::At(at),
        None => ChargeTiming::Now,
    }
}

/// What a row that leads to `after` leaves wanted.
#[must_use]
pub fn want(
    after: &AccountState,
    change: &Change,
    policy: &Policy,
    now: Timestamp,
) -> Option<RefillWant> {
    if !may_want(change) || !is_refill_possible(after) {
        return None;
    }
    if after.refill.attempt.is_some() || after.refill.wanted.is_some() {
        return None;
    }
    if is_off_too_long(after, policy, now) {
        return None;
    }
    let agreed = after.refill.agreement?;
    let (amount, purpose) = match renewal(after, change, policy) {
        Some(amount) => (amount, RefillPurpose::TrialRenewal),
        None if after.balance() < agreed.threshold => (agreed.amount, RefillPurpose::Threshold),
        None => return None,
    };
    match allowed(&after.refill, amount, &policy.refill, now) {
        ChargeTiming::Now => Some(RefillWant::Now { amount, purpose }),
        ChargeTiming::At(at) => Some(RefillWant::At(at)),
        ChargeTiming::Never => None,
    }
}

/// Whether an account has been suspended for so long that its card is no longer charged: whoever
/// comes back after that adds credit by hand.
#[must_use]
pub fn is_off_too_long(state: &AccountState, policy: &Policy, now: Timestamp) -> bool {
    charged_until(state, policy).is_some_and(|until| until <= now)
}

/// Until when a suspended account's card is charged; never less than the grace.
pub(crate) fn charged_until(state: &AccountState, policy: &Policy) -> Option<Timestamp> {
    let Standing::Suspended(suspension) = &state.standing else { return None };
    Some(suspension.as_of.plus(policy.refill.suspended_seconds.max(policy.grace_seconds)))
}

/// What a trial's renewal charges: what was used in it (it lasts less than the 30 days that are
/// looked at), projected to 30 days, rounded up to the cent, within the policy's limits.
#[must_use]
pub fn renewal_amount(trial: &TrialState, policy: &Policy) -> Usd {
    let seconds = (trial.ends_at - trial.started_at).max(HOUR);
    let projected = trial.used.pro_rata(30 * DAY, seconds);
    let cents = projected.decimal() * rust_decimal::Decimal::ONE_HUNDRED;
    Usd::new(cents.ceil() / rust_decimal::Decimal::ONE_HUNDRED)
        .unwrap_or(policy.trial.renewal_max)
        .clamp(policy.trial.renewal_min, policy.trial.renewal_max)
}

/// How many whole hours an amount lasts at a rate: what the customer is told when refills are set.
/// `None` if nothing runs.
#[must_use]
pub fn hours_covered(amount: Usd, state: &AccountState) -> Option<i64> {
    let rate = state.billed.rate.decimal();
    if rate.is_zero() {
        return None;
    }
    i64::try_from((amount.decimal() / rate).floor()).ok()
}

fn renewal(after: &AccountState, change: &Change, policy: &Policy) -> Option<Usd> {
    let trial = after.trial.as_ref()?;
    let ends_now = matches!(change, Change::TrialEnded) && trial.phase == TrialPhase::Ended;
    let service =
        after.billed.running.iter().any(|(kind, count)| kind.as_str() == SERVICE && *count > 0);
    (ends_now && service && after.ever_paid == EverPaid::No).then(|| renewal_amount(trial, policy))
}

/// The kind of resource the trial's limit and renewal are about.
pub const SERVICE: &str = "service";

/// Rows after which a balance below the threshold makes a refill wanted: those that spend, and
/// those that change what was agreed. Money coming in by hand, money taken back and staff's doings
/// never charge a card by themselves.
fn may_want(change: &Change) -> bool {
    match change {
        Change::Usage { .. }
        | Change::Metered { .. }
        | Change::Started { .. }
        | Change::GrantExpired { .. }
        | Change::TrialEnded
        | Change::RefillChanged { .. }
        | Change::RefillDue
        | Change::RefillFailed { .. }
        | Change::Credited { kind: CreditKind::Refill { .. }, .. } => true,
        Change::Opened
        | Change::Credited { kind: CreditKind::TopUp | CreditKind::Commit, .. }
        | Change::PaymentPending(_)
        | Change::PaymentEnded { .. }
        | Change::Granted { .. }
        | Change::Created { .. }
        | Change::StartFailed { .. }
        | Change::Stopped { .. }
        | Change::ResourcesDeleted { .. }
        | Change::Purged { .. }
        | Change::MeterOpened(_)
        | Change::Suspended { .. }
        | Change::Resumed { .. }
        | Change::DeletionAnnounced { .. }
        | Change::DeletionDue
        | Change::Deleted
        | Change::Closed { .. }
        | Change::TrialStarted { .. }
        | Change::CardRemoved { .. }
        | Change::RefillBegun(_)
        | Change::RefillNeedsCustomer { .. }
        | Change::ComebackChosen(_)
        | Change::TakenBack { .. }
        | Change::GivenBack { .. }
        | Change::DisputeOpened { .. }
        | Change::DisputeClosed { .. }
        | Change::Frozen { .. }
        | Change::Unfrozen { .. }
        | Change::Corrected { .. } => false,
    }
}
