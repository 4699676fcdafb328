//! The business rules in numbers. The operator can change all of them. The defaults are the
//! product's promises.
//!
//! A row records the decision, never the policy behind it, so a policy change does not alter
//! history.

use std::collections::BTreeSet;

use crate::domain::ids::Sku;
use crate::domain::money::Usd;
use crate::domain::payment_pages::PagePolicy;
use crate::domain::quotas::AccountQuotas;
use crate::domain::refusal::Refusal;
use crate::domain::row_format::RowFormat;
use crate::domain::timestamp::{DAY, HOUR, MINUTE};

/// The business rules in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The smallest top-up. $1 by default.
    pub topup_min: Usd,
    /// The largest top-up. $1,000 by default.
    pub topup_max: Usd,
    /// The highest balance that a payment page may lead to. $20,000 by default. Refills, plans and
    /// invoices by staff are not limited by it, and a confirmed payment is always credited.
    pub balance_max: Usd,
    /// The limits on payment pages.
    pub pages: PagePolicy,
    /// The maximum number of requests of an account in ten seconds to routes that call Stripe. 15 by
    /// default. A route makes three calls as a rule. So in any second one account causes at most 2 ×
    /// 15 × 3 = 90 calls, which is less than the 100 that Stripe accepts in live mode.
    pub stripe_requests_max: u32,
    /// The maximum number of resources and projects of an account.
    pub quotas: AccountQuotas,
    /// The minimum eligible credit for a start, whatever its cost. $5 by default. It prevents
    /// starts that would stop again within minutes.
    pub start_credit_min: Usd,
    /// The time from a suspension to the deletion. Three days by default.
    pub grace_seconds: i64,
    /// The same for resources created in a trial without a later payment. None by default.
    pub trial_grace_seconds: i64,
    /// The time between the warning and the deletion, at least. 24 hours by default.
    pub deletion_warning_seconds: i64,
    /// How long deleted resources can be restored. 14 days by default.
    pub restore_seconds: i64,
    /// How long after a start the platform may report that it failed. One day by default.
    pub start_failure_seconds: i64,
    /// How long a wanted or open refill delays a suspension, once between two credits. Ten minutes
    /// by default.
    pub respite_seconds: i64,
    /// For how long after the end of the paid time a start must leave credit for everything that
    /// then runs. Ten minutes by default. It bounds what a fleet started at the end of an hour costs
    /// the operator.
    pub start_reserve_seconds: i64,
    /// Unbilled usage worth this much is billed at once, before the end of its hour. $1 by default. It
    /// limits the unbilled debt, but not the size of one report.
    pub unbilled_max: Usd,
    /// How many holds of an account may be open. 10 by default. Each stands in every row of the account
    /// while it is open.
    pub holds_max: u32,
    /// What staff with the scope `tollgate/support` may move.
    pub support: SupportLimits,
    pub trial: TrialPolicy,
    /// Refills from the saved card.
    pub refill: RefillPolicy,
    /// The format of rows to be written, which also bounds what they may say.
    pub row_format: RowFormat,
}

/// What staff with the scope `tollgate/support` may move, in USD. `tollgate/admin` has no limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportLimits {
    /// What may go back of a payment in all, and the largest bonus. $100 by default.
    pub payment_max: Usd,
    /// Refunds and bonuses of one member of staff in a day (UTC). $500 by default.
    pub day_max: Usd,
}

/// The rules of the trial in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialPolicy {
    /// The trial credit. $20 by default.
    pub credit: Usd,
    /// The length of the trial. Three days by default.
    pub seconds: i64,
    /// The maximum number of running resources of kind `service`. Four by default.
    pub services_max: u32,
    /// SKUs that the trial credit does not pay for. None by default.
    pub excludes: BTreeSet<Sku>,
    /// The smallest renewal charge. $1 by default.
    pub renewal_min: Usd,
    /// The largest renewal charge. $25 by default.
    pub renewal_max: Usd,
}

/// The rules of refills in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefillPolicy {
    /// The highest threshold a customer may set. $10,000 by default. The lowest is zero.
    pub threshold_max: Usd,
    /// The smallest refill. $1 by default.
    pub amount_min: Usd,
    /// The largest refill. $1,000 by default.
    pub amount_max: Usd,
    /// The wait after a failed attempt. One hour by default. Card networks count retries: Visa
    /// allows 15 in 30 days (docs.stripe.com/declines/card).
    pub backoff_seconds: i64,
    /// How long the card of a suspended account is charged after the end of its paid time. 14 days
    /// by default, and never less than the grace period. An open attempt delays the deletion, so
    /// without a limit failing attempts would delay it forever.
    pub suspended_seconds: i64,
    /// The number of consecutive failures that pauses refills. Four by default.
    pub failures_max: u32,
    /// The maximum number of successful refills per UTC day. Ten by default.
    pub per_day_max: u32,
    /// How long an attempt may be open before `settle-due` restarts it. Two minutes by default.
    pub attempt_patience_seconds: i64,
    /// How long no refill begins after a change of the saved cards, because the customer may be
    /// paying with the new card. Two minutes by default.
    pub card_patience_seconds: i64,
    /// How long a payment waits for the customer's confirmation. 23 hours by default, within the 24
    /// hours for which Stripe keeps idempotency keys.
    pub customer_patience_seconds: i64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            topup_min: Usd::dollars(1),
            topup_max: Usd::dollars(1_000),
            balance_max: Usd::dollars(20_000),
            pages: PagePolicy::default(),
            stripe_requests_max: 15,
            quotas: AccountQuotas::default(),
            start_credit_min: Usd::dollars(5),
            grace_seconds: 3 * DAY,
            trial_grace_seconds: 0,
            deletion_warning_seconds: DAY,
            restore_seconds: 14 * DAY,
            start_failure_seconds: DAY,
            respite_seconds: 10 * MINUTE,
            start_reserve_seconds: 10 * MINUTE,
            unbilled_max: Usd::dollars(1),
            holds_max: 10,
            support: SupportLimits { payment_max: Usd::dollars(100), day_max: Usd::dollars(500) },
            trial: TrialPolicy::default(),
            refill: RefillPolicy::default(),
            row_format: RowFormat::WRITTEN,
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
            card_patience_seconds: 2 * MINUTE,
            customer_patience_seconds: 23 * HOUR,
        }
    }
}

impl Policy {
    /// Checks the amount of a top-up *before* the payment. A payment that Stripe confirmed is
    /// always credited.
    ///
    /// # Errors
    /// [`Refusal::AmountNotPositive`], [`Refusal::FractionOfCent`],
    /// [`Refusal::AmountTooSmall`], [`Refusal::AmountTooLarge`], in this order.
    pub fn check_topup(&self, amount: Usd) -> Result<(), Refusal> {
        check_charge(amount, self.topup_min, self.topup_max)
    }

    /// Checks the balance that a top-up leads to, in USD, *before* the payment.
    ///
    /// # Errors
    /// [`Refusal::BalanceTooHigh`].
    pub fn check_balance_after(&self, balance: Usd, topup: Usd) -> Result<(), Refusal> {
        if balance + topup <= self.balance_max {
            return Ok(());
        }
        let room = (self.balance_max - balance).max(Usd::ZERO);
        Err(Refusal::BalanceTooHigh { max: self.balance_max, room })
    }

    /// Checks the refill threshold and amount that a customer wants to accept, in USD.
    ///
    /// # Errors
    /// [`Refusal::AmountTooSmall`], [`Refusal::AmountTooLarge`],
    /// [`Refusal::FractionOfCent`] for the threshold, then for the amount as
    /// [`Policy::check_topup`].
    pub(crate) fn check_refill(&self, threshold: Usd, amount: Usd) -> Result<(), Refusal> {
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

/// Checks an amount to charge: above zero, in whole cents, within limits.
///
/// # Errors
/// [`Refusal::AmountNotPositive`], [`Refusal::FractionOfCent`], [`Refusal::AmountTooSmall`],
/// [`Refusal::AmountTooLarge`], in this order.
pub fn check_charge(amount: Usd, min: Usd, max: Usd) -> Result<(), Refusal> {
    check_cents(amount)?;
    if amount < min {
        return Err(Refusal::AmountTooSmall { min });
    }
    if amount > max {
        return Err(Refusal::AmountTooLarge { max });
    }
    Ok(())
}

/// Checks an amount that moves outside the ledger: above zero and in whole cents.
pub(crate) fn check_cents(amount: Usd) -> Result<(), Refusal> {
    if !amount.is_positive() {
        return Err(Refusal::AmountNotPositive);
    }
    amount.to_cents().map(drop).map_err(|_| Refusal::FractionOfCent)
}
