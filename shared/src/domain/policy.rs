//! The rules in numbers. All are the operator's to change; the defaults are what the product
//! promises.
//!
//! A row records what was decided, never the policy it was decided under, so a change of policy
//! changes no history.

use std::collections::BTreeSet;

use crate::domain::ids::Sku;
use crate::domain::money::Usd;
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::{DAY, HOUR, MINUTE};

/// The rules in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The least one top-up may be; $1 by default.
    pub topup_min: Usd,
    /// The most one top-up may be; $1,000 by default.
    pub topup_max: Usd,
    /// The eligible credit a start needs at the least, whatever it costs; $5 by default. It keeps
    /// an account from starting what would stop again within minutes.
    pub start_credit_min: Usd,
    /// From a suspension to the deletion; three days by default.
    pub grace_seconds: i64,
    /// The same for what was created in a trial nobody paid after; none by default.
    pub trial_grace_seconds: i64,
    /// How long before the deletion the customer is warned of it, and has at the least from then
    /// on; 24 hours by default.
    pub deletion_warning_seconds: i64,
    /// How long what was deleted can be restored; 14 days by default.
    pub restore_seconds: i64,
    /// How long after its start the platform may report that a resource did not come up; a day by
    /// default.
    pub start_failure_seconds: i64,
    /// How long a refill that is wanted or in flight holds back a suspension, at the most; ten
    /// minutes by default.
    pub suspension_hold_seconds: i64,
    pub trial: TrialPolicy,
    /// Refills from the saved card.
    pub refill: RefillPolicy,
}

/// The trial's rules in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialPolicy {
    /// The credit given; $20 by default.
    pub credit: Usd,
    /// How long it lasts; three days by default.
    pub seconds: i64,
    /// How many resources of kind `service` may run in it; four by default.
    pub services_max: u32,
    /// SKUs the trial's credit does not pay for; none by default.
    pub excludes: BTreeSet<Sku>,
    /// The least a renewal charges; $1 by default.
    pub renewal_min: Usd,
    /// The most a renewal charges; $25 by default.
    pub renewal_max: Usd,
}

/// The rules in numbers of refills from the saved card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefillPolicy {
    /// The highest threshold a customer may set; $10,000 by default (the lowest is zero).
    pub threshold_max: Usd,
    /// The least one refill may charge; $1 by default.
    pub amount_min: Usd,
    /// The most one refill may charge; $1,000 by default.
    pub amount_max: Usd,
    /// The pause after a failed attempt; an hour by default. Card networks count repeats: Visa
    /// allows 15 in 30 days (docs.stripe.com/declines/card).
    pub backoff_seconds: i64,
    /// For how long, after the end of what was paid, the card of an account that is off is still
    /// charged; 14 days by default, and never less than the grace. An attempt holds back the
    /// deletion, and without an end those that fail would do so for ever.
    pub suspended_seconds: i64,
    /// Failed attempts in a row after which refills pause; four by default.
    pub failures_max: u32,
    /// Successful refills a UTC day; ten by default.
    pub per_day_max: u32,
    /// How long an attempt may be open before `settle-due` drives it again; two minutes by default.
    pub attempt_patience_seconds: i64,
    /// How long a payment that needs its customer stays open; 23 hours by default, inside the 24
    /// for which Stripe keeps idempotency keys.
    pub customer_patience_seconds: i64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            topup_min: Usd::dollars(1),
            topup_max: Usd::dollars(1_000),
            start_credit_min: Usd::dollars(5),
            grace_seconds: 3 * DAY,
            trial_grace_seconds: 0,
            deletion_warning_seconds: DAY,
            restore_seconds: 14 * DAY,
            start_failure_seconds: DAY,
            suspension_hold_seconds: 10 * MINUTE,
            trial: TrialPolicy::default(),
            refill: RefillPolicy::default(),
        }
    }
}

impl Default for TrialPolicy {
    fn default() -> TrialPolicy {
        TrialPolicy {
            credit: Usd::dollars(20),
            seconds: 3 * DAY,
            services_max: 4,
            excludes: BTreeSet::new(),
            renewal_min: Usd::dollars(1),
            renewal_max: Usd::dollars(25),
        }
    }
}

impl Default for RefillPolicy {
    fn default() -> RefillPolicy {
        RefillPolicy {
            threshold_max: Usd::dollars(10_000),
            amount_min: Usd::dollars(1),
            amount_max: Usd::dollars(1_000),
            backoff_seconds: HOUR,
            suspended_seconds: 14 * DAY,
            failures_max: 4,
            per_day_max: 10,
            attempt_patience_seconds: 2 * MINUTE,
            customer_patience_seconds: 23 * HOUR,
        }
    }
}

impl Policy {
    /// Checks the amount of a top-up *before* anybody pays it. What Stripe has confirmed is
    /// credited whatever it is: money that arrived is never refused.
    ///
    /// # Errors
    /// [`Refusal::AmountNotPositive`], [`Refusal::FractionOfCent`], [`Refusal::AmountTooSmall`],
    /// [`Refusal::AmountTooLarge`], in this order.
    pub fn check_topup(&self, amount: Usd) -> Result<(), Refusal> {
        check_charge(amount, self.topup_min, self.topup_max)
    }

    /// Checks what a customer wants to agree to about refills: below which balance, and by how
    /// much, in USD.
    ///
    /// # Errors
    /// [`Refusal::AmountTooSmall`], [`Refusal::AmountTooLarge`], [`Refusal::FractionOfCent`] for
    /// the threshold, then for the amount as [`Policy::check_topup`].
    pub fn check_refill(&self, threshold: Usd, amount: Usd) -> Result<(), Refusal> {
        if threshold.is_negative() {
            return Err(Refusal::AmountTooSmall { min: Usd::ZERO });
        }
        if threshold > self.refill.threshold_max {
            return Err(Refusal::AmountTooLarge { max: self.refill.threshold_max });
        }
        threshold.to_cents().map_err(|_| Refusal::FractionOfCent)?;
        check_charge(amount, self.refill.amount_min, self.refill.amount_max)
    }
}

/// An amount to charge to a card: above zero, in whole cents, within limits.
pub(crate) fn check_charge(amount: Usd, min: Usd, max: Usd) -> Result<(), Refusal> {
    check_cents(amount)?;
    if amount < min {
        return Err(Refusal::AmountTooSmall { min });
    }
    if amount > max {
        return Err(Refusal::AmountTooLarge { max });
    }
    Ok(())
}

/// An amount of money that moves outside: above zero and in whole cents.
pub(crate) fn check_cents(amount: Usd) -> Result<(), Refusal> {
    if !amount.is_positive() {
        return Err(Refusal::AmountNotPositive);
    }
    amount.to_cents().map(drop).map_err(|_| Refusal::FractionOfCent)
}
