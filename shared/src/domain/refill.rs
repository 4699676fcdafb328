//! Whether, when and how much to refill.
//!
//! A wanted refill is a *level*, not an edge. Any row that leaves the balance below the threshold
//! records it. A manual top-up alone never does, because a customer who has just paid is not
//! charged again.

use rust_decimal::Decimal;

use crate::domain::account::{
    AccountState, RefillAgreement, RefillAttempt, RefillPurpose, RefillState, Standing,
    SuspensionReason, TrialPhase, TrialState, WantedRefill,
};
use crate::domain::event::{Change, CreditKind, PaymentChange, RefillWant};
use crate::domain::ids::Kind;
use crate::domain::money::Usd;
use crate::domain::policy::{Policy, RefillPolicy};
use crate::domain::refusal::Refusal;
use crate::domain::row_format::RowFormat;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};

/// When backoff, daily limit and monthly cap allow a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeTiming {
    Now,
    /// At this instant or later.
    At(Timestamp),
    /// Never under the present settings: a single refill exceeds the cap.
    Never,
}

/// When a refill of `amount` (USD, before tax) may be charged: the latest of all limits.
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
    if refill.monthly_cap.is_some_and(|cap| amount > cap) {
        return ChargeTiming::Never;
    }
    let monthly = (!refill.is_within_cap(amount, now)).then(|| now.next_month());
    match [backoff, daily, monthly].into_iter().flatten().filter(|at| *at > now).max() {
        Some(at) => ChargeTiming::At(at),
        None => ChargeTiming::Now,
    }
}

impl RefillState {
    /// The amount that refills charged in the UTC month of `now`, in USD before tax.
    #[must_use]
    pub fn charged_in_month(&self, now: Timestamp) -> Usd {
        let (month, charged) = self.this_month;
        if month == now.month() { charged } else { Usd::ZERO }
    }

    /// Whether the monthly cap has room for a charge of `amount` (USD, before tax) at `now`.
    #[must_use]
    pub fn is_within_cap(&self, amount: Usd, now: Timestamp) -> bool {
        self.monthly_cap.is_none_or(|cap| self.charged_in_month(now) + amount <= cap)
    }

    /// Whether the monthly cap blocks the agreed refill.
    #[must_use]
    pub fn is_capped(&self, now: Timestamp) -> bool {
        self.retry_at.is_some()
            && self.agreement.is_some_and(|agreed| !self.is_within_cap(agreed.amount, now))
    }

    pub(crate) fn record_success(&mut self, attempt: u32, credit: Usd, at: Timestamp) {
        if self.attempt.as_ref().is_some_and(|open| open.number == attempt) {
            self.attempt = None;
        }
        self.failures = 0;
        self.failed_at = None;
        let (day, today) = self.today;
        self.today = (at.day(), if day == at.day() { today + 1 } else { 1 });
        self.this_month = (at.month(), self.charged_in_month(at) + credit);
    }
}

impl AccountState {
    /// Checks terms before the customer agrees to them. `monthly_cap` is the cap with them, and the
    /// amounts are in USD, before tax.
    ///
    /// # Errors
    /// Those of the limits of amounts, then [`Refusal::ThresholdNotPositive`] and
    /// [`Refusal::CapBelowAmount`].
    pub fn check_refill_terms(
        &self,
        threshold: Usd,
        amount: Usd,
        monthly_cap: Option<Usd>,
        policy: &Policy,
    ) -> Result<(), Refusal> {
        policy.check_refill(threshold, amount)?;
        // A refill begins below the threshold, and time never takes a balance below zero. The
        // renewal of a trial needs no threshold.
        let in_trial = self.trial.as_ref().is_some_and(|trial| trial.phase == TrialPhase::Active);
        if !threshold.is_positive() && !in_trial {
            return Err(Refusal::ThresholdNotPositive);
        }
        if monthly_cap.is_some_and(|cap| cap < amount) {
            return Err(Refusal::CapBelowAmount { amount });
        }
        Ok(())
    }

    /// Whether a refill is possible at all, now or later. It needs an agreement and a card that was
    /// not refused. The account must not be frozen, closed, deleted or suspended by staff.
    #[must_use]
    pub fn is_refill_possible(&self) -> bool {
        let standing = match &self.standing {
            Standing::Good => true,
            Standing::Suspended(suspension) => suspension.reason == SuspensionReason::Credit,
            Standing::Deleting(_) | Standing::Deleted(_) | Standing::Closed => false,
        };
        let refill = &self.refill;
        let card = refill.card.as_ref().is_some_and(|card| !refill.never.contains(card));
        standing
            && card
            && refill.agreement.is_some()
            && refill.paused.is_none()
            && self.frozen.is_empty()
    }

    /// Whether no card is charged but for a renewal that is due. It is so while a trial runs, and after
    /// it as long as only its own terms are accepted, until the first payment.
    #[must_use]
    pub fn is_on_trial_terms(&self) -> bool {
        let is_active = |trial: &TrialState| trial.phase == TrialPhase::Active;
        let trial = self.trial.as_ref().filter(|_| !self.ever_paid);
        trial.is_some_and(|trial| is_active(trial) || trial.has_renewal_terms)
    }

    /// The charge of the renewal that is due, in USD before tax. It is due until the first payment, as
    /// long as a service is running, or was when everything was stopped for lack of credit.
    #[must_use]
    pub fn renewal_due(&self) -> Option<Usd> {
        let trial = self.trial.as_ref().filter(|trial| trial.has_renewal_terms)?;
        let was_stopped = matches!(
            &self.standing,
            Standing::Suspended(suspension) if suspension.as_of >= trial.ends_at
        );
        let is_needed = !self.ever_paid && (was_stopped || self.runs_service());
        trial.renewal.filter(|_| is_needed)
    }

    /// Whether the renewal that was due at the end of the trial is due no longer. Trials of formats
    /// before 6 do not tell, and end with the first payment.
    fn is_renewal_withdrawn(&self) -> bool {
        let is_recorded = self.trial.as_ref().is_some_and(|trial| trial.renewal.is_some());
        self.ever_paid || (is_recorded && self.renewal_due().is_none())
    }

    /// Whether a service is running. Only then a trial is renewed.
    #[must_use]
    pub fn runs_service(&self) -> bool {
        let is_running_service =
            |(kind, count): (&Kind, &u32)| kind.as_str() == SERVICE && *count > 0;
        self.billed.running.iter().any(is_running_service)
    }

    /// Whether what an attempt charges is still needed. A payment of any kind renews a trial.
    fn still_needs(&self, attempt: &RefillAttempt) -> bool {
        let is_low = |agreed: RefillAgreement| self.available() < agreed.threshold;
        match attempt.purpose {
            RefillPurpose::TrialRenewal => !self.is_renewal_withdrawn(),
            RefillPurpose::Threshold => self.refill.agreement.is_some_and(is_low),
        }
    }

    /// Whether there is still a reason for a refill. A wanted refill ends with its reason.
    #[must_use]
    pub(crate) fn still_wants_refill(&self) -> bool {
        let wanted = self.refill.wanted;
        let is_renewal = wanted.is_some_and(|wanted| wanted.purpose == RefillPurpose::TrialRenewal);
        let is_low = |agreed: RefillAgreement| self.available() < agreed.threshold;
        let has_reason = if is_renewal {
            !self.is_renewal_withdrawn()
        } else {
            self.refill.agreement.is_some_and(is_low) || self.renewal_due().is_some()
        };
        has_reason
            && wanted.is_none_or(|wanted| self.refill.is_within_cap(wanted.amount, self.at))
            && self.is_refill_possible()
    }

    /// Whether the customer is asked to confirm a payment that is no longer needed or agreed: the
    /// card was replaced, refills are off, or the balance is high enough. It is called off.
    #[must_use]
    pub fn is_asked_in_vain(&self) -> bool {
        let asked = self.refill.attempt.as_ref().filter(|attempt| attempt.void_at.is_some());
        asked.is_some_and(|attempt| !self.is_refill_agreed(attempt, self.at))
    }

    /// Whether an attempt is still open, still needed, and still matches the agreement.
    #[must_use]
    pub fn is_refill_agreed(&self, attempt: &RefillAttempt, now: Timestamp) -> bool {
        let refill = &self.refill;
        let is_open = refill.attempt.as_ref().is_some_and(|open| open.number == attempt.number);
        // The charge of a trial renewal follows from the usage in the trial.
        let is_renewal = attempt.purpose == RefillPurpose::TrialRenewal;
        let is_within_terms =
            refill.agreement.is_some_and(|agreed| is_renewal || attempt.amount <= agreed.max());
        // A charge to a target is what is still missing, however much was when it began. The amount
        // that the customer is asked to confirm stays, or a cent given back would ask anew.
        let is_fixed = is_renewal || attempt.void_at.is_some();
        let is_still_missing = |agreed: RefillAgreement| {
            is_fixed || agreed.target.is_none() || attempt.amount <= charge(self, agreed, now)
        };
        self.is_refill_possible()
            && refill.agreement.is_some_and(is_still_missing)
            && is_open
            && refill.card.as_ref() == Some(&attempt.card)
            && is_within_terms
            && self.still_needs(attempt)
            // A trigger may be late, but a row is not.
            && refill.is_within_cap(attempt.amount, now.max(self.at))
    }
}

/// Whether the row that leads to `after` leaves a refill wanted, and when.
#[must_use]
pub fn want(
    after: &AccountState,
    change: &Change,
    policy: &Policy,
    now: Timestamp,
) -> Option<RefillWant> {
    if !change.may_want_refill() || !after.is_refill_possible() {
        return None;
    }
    if after.refill.attempt.is_some() || after.refill.wanted.is_some() {
        return None;
    }
    if is_off_too_long(after, policy, now) {
        return None;
    }
    // What blocked a charge still does, unless the customer changed something since.
    if after.refill.retry_at.is_some_and(|retry_at| retry_at > now) {
        return None;
    }
    let agreed = after.refill.agreement?;
    let (amount, purpose) = match after.renewal_due() {
        Some(amount) => (amount, RefillPurpose::TrialRenewal),
        None if after.is_on_trial_terms() => return None,
        None if after.available() < agreed.threshold => {
            (charge(after, agreed, now), RefillPurpose::Threshold)
        }
        None => return None,
    };
    // The customer may be paying manually with the card that was just saved. The renewal of what runs
    // does not wait.
    let look_at = after.refill.look_at.filter(|look_at| *look_at > now);
    let waits = purpose == RefillPurpose::Threshold || after.standing != Standing::Good;
    if let Some(look_at) = look_at.filter(|_| waits) {
        return Some(RefillWant::At(look_at));
    }
    if is_refill_credit(change) {
        // The last charge was all that one charge may be. Many in a row would look like a mistake
        // to the customer and the bank.
        return Some(RefillWant::At(now.plus(policy.refill.backoff_seconds)));
    }
    match allowed(&after.refill, amount, &policy.refill, now) {
        ChargeTiming::Now => Some(RefillWant::Now { amount, purpose }),
        ChargeTiming::At(at) => Some(RefillWant::At(at)),
        ChargeTiming::Never => None,
    }
}

/// What one charge buys: the smallest multiple of the agreed amount that pays what is owed and
/// brings the balance to the threshold, or exactly what brings it to the target. Within the agreed
/// maximum and what is left of the monthly cap, and never less than the amount.
fn charge(state: &AccountState, agreed: RefillAgreement, now: Timestamp) -> Usd {
    let goal = agreed.target.unwrap_or(agreed.threshold);
    let missing = goal + state.owed_at(now.plus(HOUR)) - state.available();
    let room = state.refill.monthly_cap.map(|cap| cap - state.refill.charged_in_month(now));
    let max = room.map_or(agreed.max(), |room| room.min(agreed.max())).decimal();
    let amount = agreed.amount.decimal();
    if agreed.target.is_some() {
        let exact = missing.up_to_cents().decimal();
        return Usd::new(exact.min(max).max(amount)).unwrap_or(agreed.amount);
    }
    let needed = missing.decimal().checked_div(amount);
    let (Some(needed), Some(fitting)) = (needed, max.checked_div(amount)) else {
        return agreed.amount;
    };
    let count = needed.ceil().min(fitting.floor()).max(Decimal::ONE);
    Usd::new(amount * count).unwrap_or(agreed.amount)
}

/// What a wanted refill buys. The balance may have risen since it was wanted, and a charge is never
/// more than what is missing then.
#[must_use]
pub(crate) fn still_missing(state: &AccountState, wanted: WantedRefill, now: Timestamp) -> Usd {
    let is_by_balance = wanted.purpose == RefillPurpose::Threshold;
    let agreed = state.refill.agreement.filter(|_| is_by_balance);
    agreed.map_or(wanted.amount, |agreed| wanted.amount.min(charge(state, agreed, now)))
}

fn is_refill_credit(change: &Change) -> bool {
    matches!(
        change,
        Change::Payment(PaymentChange::Credited { kind: CreditKind::Refill { .. }, .. })
    )
}

impl RefillAgreement {
    /// The maximum of one charge, in USD, before tax.
    #[must_use]
    pub fn max(&self) -> Usd {
        self.max_charge.unwrap_or(self.amount)
    }
}

/// Whether an account has been suspended for so long that its card is no longer charged. The
/// customer must then add credit manually.
#[must_use]
pub fn is_off_too_long(state: &AccountState, policy: &Policy, now: Timestamp) -> bool {
    charged_until(state, policy).is_some_and(|until| until <= now)
}

/// Until when the card of a suspended account is charged. Never before the end of the grace period.
pub(crate) fn charged_until(state: &AccountState, policy: &Policy) -> Option<Timestamp> {
    let Standing::Suspended(suspension) = &state.standing else { return None };
    Some(suspension.as_of.plus(policy.refill.suspended_seconds.max(policy.grace_seconds)))
}

/// The charge of a trial renewal: the usage in the trial, projected to 30 days, rounded up to the
/// cent, within the policy's limits. A trial lasts less than 30 days.
#[must_use]
pub fn renewal_amount(trial: &TrialState, policy: &Policy) -> Usd {
    let seconds = (trial.ends_at - trial.started_at).max(HOUR);
    let projected = trial.used.pro_rata(30 * DAY, seconds).up_to_cents();
    projected.clamp(policy.trial.renewal_min, policy.trial.renewal_max)
}

/// How many whole hours an amount lasts at the current rate. Shown to the customer with the refill
/// settings. `None` if nothing runs.
#[must_use]
pub fn hours_covered(amount: Usd, state: &AccountState) -> Option<i64> {
    let rate = state.billed.rate.decimal();
    if rate.is_zero() {
        return None;
    }
    i64::try_from((amount.decimal() / rate).floor()).ok()
}

/// The kind of resource that the trial's limit and renewal apply to.
pub const SERVICE: &str = "service";

/// Until when a wanted or open refill delays a suspension.
///
/// Ten minutes by default, from the first row since the last credit that left the balance below the
/// threshold while a refill was wanted or open. There is one such respite between two credits,
/// whatever happens to the refill meanwhile, so the time that runs without credit is bounded. A
/// payment that waits for the customer's confirmation delays nothing, because that may take a day.
pub(crate) fn respite_until(state: &AccountState, policy: &Policy) -> Option<Timestamp> {
    let since = refill_under_way_since(state)?;
    if policy.row_format < RowFormat::new(3) {
        return Some(since.plus(policy.respite_seconds));
    }
    state.refill.respite.map(|respite| respite.until)
}

/// Since when a refill is wanted or open, unless it waits for the customer.
pub(crate) fn refill_under_way_since(state: &AccountState) -> Option<Timestamp> {
    let at_work = state.refill.attempt.as_ref().filter(|attempt| attempt.void_at.is_none());
    let wanted = state.refill.wanted.map(|wanted| wanted.since);
    at_work.map(|attempt| attempt.wanted_since).or(wanted)
}
