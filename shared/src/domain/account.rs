//! [`AccountState`]: everything that decides what an account may do next. A snapshot of it stands
//! in every row, so it is small: what is empty or at its default is left out, and names in the
//! stored form are short.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::ids::{CardId, CustomerId, DisputeId, Kind, PaymentId, ResourceId, Sku};
use crate::domain::money::{Rate, Usd};
use crate::domain::timestamp::Timestamp;
use crate::domain::yes_no;

/// An account after some row of its chain.
///
/// `seq` and `at` are the row's own key and time; they are not stored a second time inside the
/// snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// The number the next row will have; zero before the account is opened.
    #[serde(skip)]
    pub next_seq: u64,
    /// The time of the last row (UTC).
    #[serde(skip)]
    pub at: Timestamp,
    /// Credit that was paid for, in USD. Below zero after a refund or dispute of credit that was
    /// spent.
    #[serde(rename = "c", default, skip_serializing_if = "Usd::is_zero")]
    pub paid: Usd,
    /// Credit that was not paid for, by number.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// How many grants there have been: their numbers are never used again.
    #[serde(rename = "gn", default, skip_serializing_if = "is_default")]
    pub grants_so_far: u32,
    /// What is paid at the moment; `None` while nothing is billed by time.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PaidPeriod>,
    /// What is billed by time.
    #[serde(rename = "b", default, skip_serializing_if = "is_default")]
    pub billed: BilledTotals,
    /// How many meters the account has.
    #[serde(rename = "m", default, skip_serializing_if = "is_default")]
    pub meters: u32,
    /// The last clock hour at whose beginning meters were billed.
    #[serde(rename = "ma", default, skip_serializing_if = "Option::is_none")]
    pub metered_at: Option<Timestamp>,
    /// Whether it may run anything.
    #[serde(rename = "s", default, skip_serializing_if = "is_default")]
    pub standing: Standing,
    /// The row of the last suspension: what was started before it does not run.
    #[serde(rename = "ss", default, skip_serializing_if = "Option::is_none")]
    pub suspended_seq: Option<u64>,
    /// Whether resources restart when a suspension ends, as the customer chose.
    #[serde(rename = "rc", default, skip_serializing_if = "is_default")]
    pub restart_policy: RestartPolicy,
    /// A suspension has ended and resources are being started again, batch by batch.
    #[serde(rename = "ri", with = "yes_no", default, skip_serializing_if = "is_default")]
    pub restarting: bool,
    /// Deletions of the whole account that can still be undone, oldest first.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    pub deletions: Vec<AccountDeletion>,
    /// What was last changed before this row is gone for good.
    #[serde(rename = "ps", default, skip_serializing_if = "Option::is_none")]
    pub purged_seq: Option<u64>,
    /// When the first of the resources that were deleted one by one can no longer be restored.
    #[serde(rename = "pd", default, skip_serializing_if = "Option::is_none")]
    pub purge_due: Option<Timestamp>,
    /// Why nothing new may be started and no card charged.
    #[serde(rename = "f", default, skip_serializing_if = "AccountFreeze::is_empty")]
    pub frozen: AccountFreeze,
    /// Delayed payments that may still arrive: nothing is deleted while there is one.
    #[serde(rename = "pp", default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingPayment>,
    /// Payments of which a part has been refunded or disputed.
    #[serde(rename = "tb", default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<TakenBack>,
    /// Whether any payment was ever credited.
    #[serde(rename = "pe", with = "yes_no", default, skip_serializing_if = "is_default")]
    pub ever_paid: bool,
    /// The trial, if there was one.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialState>,
    /// Refills from the saved card.
    #[serde(rename = "r", default, skip_serializing_if = "is_default")]
    pub refill: RefillState,
}

/// Credit that was not paid for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its number within the account; funds are named by it (0 is paid credit).
    #[serde(rename = "n")]
    pub number: u32,
    /// What it was given for.
    #[serde(rename = "k")]
    pub kind: GrantKind,
    /// What was given, in USD: never is more of it left.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// What is left of it, in USD; never below zero.
    #[serde(rename = "r", default, skip_serializing_if = "Usd::is_zero")]
    pub remaining: Usd,
    /// What it paid of the current period and would get back if everything stopped, in USD.
    #[serde(rename = "u", default, skip_serializing_if = "Usd::is_zero")]
    pub used: Usd,
    /// From this instant on it pays nothing (it may have paid for time beyond it).
    #[serde(rename = "x")]
    pub expires_at: Timestamp,
    /// SKUs it does not pay for.
    #[serde(rename = "e", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub excludes: BTreeSet<Sku>,
    /// The payment it came with, so that a refund takes it back as well.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentId>,
}

/// What a grant was given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// To try the product.
    Trial,
    /// By the operator's staff, for whatever reason they gave.
    Bonus,
    /// With a commit plan's payment.
    Commit,
}

/// The stretch of time that is paid: from its first second to `through`, exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidPeriod {
    /// Its first second.
    #[serde(rename = "f")]
    pub from: Timestamp,
    /// Paid through: the first second that is not paid.
    #[serde(rename = "t")]
    pub through: Timestamp,
    /// What paid credit paid of it and would get back if everything stopped, in USD.
    #[serde(rename = "u", default, skip_serializing_if = "Usd::is_zero")]
    pub used: Usd,
    /// What is off and was not paid for this period: nothing of it is given back.
    #[serde(rename = "n", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unpaid: BTreeSet<ResourceId>,
}

/// What is billed by time. The list of resources must agree with it before it is billed:
/// [`BillableList::agree_with`](crate::domain::resources::BillableList::agree_with).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledTotals {
    /// How many resources run, by kind.
    #[serde(rename = "k", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub running: BTreeMap<Kind, u32>,
    /// How many more are billed although they are off (a volume that keeps its data).
    #[serde(rename = "i", default, skip_serializing_if = "is_default")]
    pub idle: u32,
    /// What all of them cost together, in USD per hour.
    #[serde(rename = "r", default, skip_serializing_if = "Rate::is_zero")]
    pub rate: Rate,
    /// The sum of the numbers of the rows that last changed each of them. Count and rate alone
    /// would not notice that one resource was swapped for another of the same rate.
    #[serde(rename = "q", default, skip_serializing_if = "is_default")]
    pub seqs: u64,
}

impl BilledTotals {
    /// How many resources are billed by time, running or not.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.running.values().map(|count| u64::from(*count)).sum::<u64>() + u64::from(self.idle)
    }

    /// How many resources of a kind run.
    #[must_use]
    pub fn running_of(&self, kind: &Kind) -> u32 {
        self.running.get(kind).copied().unwrap_or(0)
    }

    /// How many resources run.
    #[must_use]
    pub fn running_count(&self) -> u64 {
        self.running.values().map(|count| u64::from(*count)).sum()
    }
}

/// Whether the account may run anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    #[default]
    Good,
    /// Its credit was used up, or staff stopped it. Everything is off; after the grace it is
    /// deleted.
    Suspended(Suspension),
    /// The grace is over; Stripe is being asked whether money is on its way.
    Deleting(BalanceFloor),
    /// Everything was deleted; it can be restored for a while.
    Deleted(BalanceFloor),
    /// Closed by staff or on the customer's wish. It still takes credit that was paid.
    Closed,
}

impl Standing {
    /// Its name in answers and events.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Standing::Good => "good",
            Standing::Suspended(_) => "suspended",
            Standing::Deleting(_) => "deleting",
            Standing::Deleted(_) => "deleted",
            Standing::Closed => "closed",
        }
    }
}

/// Why and since when everything is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// The instant up to which everything was paid.
    #[serde(rename = "o")]
    pub as_of: Timestamp,
    /// Who caused it.
    #[serde(rename = "y", default, skip_serializing_if = "is_default")]
    pub reason: SuspensionReason,
    /// The end of the grace; `None` if it was not for lack of credit.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub delete_at: Option<Timestamp>,
    /// When the customer is warned of it; `None` if that was done, or need not be.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<Timestamp>,
    /// The dust that was left: only a balance above it ends the suspension. (Less than one second's
    /// cost can be left over; without this it would look like credit.)
    #[serde(rename = "l", default, skip_serializing_if = "Usd::is_zero")]
    pub floor: Usd,
}

/// Why everything is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspensionReason {
    /// The credit was used up.
    #[default]
    Credit,
    /// Staff stopped it: credit does not end this one.
    Staff,
}

/// The balance above which a deleted account is good again, in USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceFloor {
    /// What was left when everything was suspended; never below zero.
    #[serde(rename = "l", default, skip_serializing_if = "Usd::is_zero")]
    pub floor: Usd,
}

/// Whether resources restart when a suspension ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// They stay off until they are started.
    #[default]
    StayOff,
    /// They are started again, oldest start first, as far as the credit goes.
    InOrder,
}

/// A deletion of everything the account had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDeletion {
    /// Its row: what was last changed before it is deleted.
    #[serde(rename = "q")]
    pub seq: u64,
    /// When it was (UTC).
    #[serde(rename = "a")]
    pub at: Timestamp,
}

/// Why nothing new may be started and no card charged. What runs goes on and is billed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFreeze {
    /// By staff; their reason stands in the row.
    #[serde(rename = "s", with = "yes_no", default, skip_serializing_if = "is_default")]
    pub staff: bool,
    /// By disputes that are open or were lost.
    #[serde(rename = "d", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub disputes: BTreeSet<DisputeId>,
}

impl AccountFreeze {
    /// Whether nothing freezes the account.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.staff && self.disputes.is_empty()
    }
}

/// A delayed payment (a bank debit) that was promised and has not arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingPayment {
    #[serde(rename = "p")]
    pub payment: PaymentId,
    /// The credit it would bring, in USD.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// When it no longer counts.
    #[serde(rename = "x")]
    pub expires_at: Timestamp,
}

/// How much of a payment Stripe took back, and how much credit was taken for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    #[serde(rename = "p")]
    pub payment: PaymentId,
    /// Cents of the payment, tax included, refunded or disputed so far.
    #[serde(rename = "c")]
    pub cents: i64,
    /// Credit taken for them, before tax, in USD.
    #[serde(rename = "t")]
    pub credit: Usd,
}

/// The trial of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialState {
    #[serde(rename = "f")]
    pub started_at: Timestamp,
    /// When it ends or ended.
    #[serde(rename = "t")]
    pub ends_at: Timestamp,
    /// Where it is.
    #[serde(rename = "s", default, skip_serializing_if = "is_default")]
    pub phase: TrialPhase,
    /// What was used during it, in USD: what a renewal is computed from.
    #[serde(rename = "u", default, skip_serializing_if = "Usd::is_zero")]
    pub used: Usd,
}

/// Where a trial is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialPhase {
    #[default]
    Active,
    Ended,
    /// Over, and continued with the saved card.
    Renewed,
}

/// Refills from the saved card: what was agreed, and what is going on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefillState {
    /// What the customer agreed to; `None` while refills are off.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<RefillAgreement>,
    /// The card that is charged.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub card: Option<CardId>,
    /// The most to charge in one UTC calendar month, in USD, before tax.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub monthly_cap: Option<Usd>,
    /// Since when a refill is wanted and has not begun, and how much.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<WantedRefill>,
    /// When to look again: a back-off, the daily number or the monthly cap stands in the way.
    #[serde(rename = "ra", default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// The attempt that is open; one at a time.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<RefillAttempt>,
    /// How many attempts there have been: their numbers are part of Stripe's idempotency keys.
    #[serde(rename = "n", default, skip_serializing_if = "is_default")]
    pub attempts_so_far: u32,
    /// Failed attempts in a row.
    #[serde(rename = "fs", default, skip_serializing_if = "is_default")]
    pub failures: u32,
    /// When the last attempt failed.
    #[serde(rename = "fa", default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// Why no attempt is made.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<RefillPause>,
    /// Cards whose issuer said never again.
    #[serde(rename = "nc", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub never: BTreeSet<CardId>,
    /// The UTC day of the last success, and how many there were on it.
    #[serde(rename = "d", default, skip_serializing_if = "is_default")]
    pub today: (u32, u32),
    /// The UTC month of the last success, and what was charged in it, in USD before tax.
    #[serde(rename = "mo", default, skip_serializing_if = "is_default")]
    pub this_month: (u32, Usd),
}

/// What the customer was shown and agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefillAgreement {
    #[serde(rename = "at")]
    pub at: Timestamp,
    /// Refill when the balance is below this, in USD.
    #[serde(rename = "t")]
    pub threshold: Usd,
    /// By this much, in USD, before tax.
    #[serde(rename = "a")]
    pub amount: Usd,
}

/// A refill that is wanted and has not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedRefill {
    #[serde(rename = "s")]
    pub since: Timestamp,
    /// The credit to buy, in USD, before tax.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// For the threshold or the end of a trial.
    #[serde(rename = "y", default, skip_serializing_if = "is_default")]
    pub purpose: RefillPurpose,
}

/// What a refill is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillPurpose {
    /// The balance went below the threshold.
    #[default]
    Threshold,
    /// The trial ended while a service ran.
    TrialRenewal,
}

/// A refill attempt that is open. What Stripe is asked is frozen here before it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefillAttempt {
    /// Its number within the account.
    #[serde(rename = "n")]
    pub number: u32,
    /// When it was first wanted: the hold on a suspension counts from here.
    #[serde(rename = "w")]
    pub wanted_since: Timestamp,
    #[serde(rename = "b")]
    pub begun_at: Timestamp,
    /// The credit it buys, in USD, before tax.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// The card it charges.
    #[serde(rename = "c")]
    pub card: CardId,
    #[serde(rename = "u")]
    pub customer: CustomerId,
    /// Whether Stripe computes tax on it.
    #[serde(rename = "x", default, skip_serializing_if = "is_default")]
    pub tax: TaxMode,
    /// What it is for.
    #[serde(rename = "y", default, skip_serializing_if = "is_default")]
    pub purpose: RefillPurpose,
    /// When a payment that needs its customer is given up; `None` while Stripe is at work.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub void_at: Option<Timestamp>,
}

/// Whether Stripe computes tax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxMode {
    /// It does not.
    #[default]
    Off,
    /// It does (`automatic_tax`).
    Automatic,
}

/// Why no refill is attempted although it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillPause {
    /// The issuer said never again: only another card helps.
    CardRefused,
    /// Too many failures in a row: another card, or switching refill on again, helps.
    Failures,
    /// The card was removed.
    CardGone,
}

impl AccountState {
    /// Paid credit and what is left of the grants, in USD.
    #[must_use]
    pub fn balance(&self) -> Usd {
        self.paid + self.grants.iter().map(|grant| grant.remaining).sum()
    }

    /// Whether the account exists.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.next_seq > 0
    }

    /// The first second that is not paid; `None` while nothing is billed by time.
    #[must_use]
    pub fn paid_through(&self) -> Option<Timestamp> {
        self.period.as_ref().map(|period| period.through)
    }

    /// Whether a resource is off and was not paid for the current period.
    #[must_use]
    pub fn is_unpaid(&self, resource: &ResourceId) -> bool {
        self.period.as_ref().is_some_and(|period| period.unpaid.contains(resource))
    }

    /// The grant of that number, unless it is gone.
    #[must_use]
    pub fn grant(&self, number: u32) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.number == number)
    }

    /// Whether a trial is going on that nobody has paid after.
    #[must_use]
    pub fn is_in_trial(&self) -> bool {
        !self.ever_paid
            && self.trial.as_ref().is_some_and(|trial| trial.phase == TrialPhase::Active)
    }

    /// Whether more credit than was left at the suspension has come in since.
    #[must_use]
    pub fn is_above_floor(&self) -> bool {
        self.balance() > self.floor()
    }

    /// The dust that was left at the suspension, in USD; zero in good standing.
    #[must_use]
    pub fn floor(&self) -> Usd {
        match &self.standing {
            Standing::Suspended(suspension) => suspension.floor,
            Standing::Deleting(floor) | Standing::Deleted(floor) => floor.floor,
            Standing::Good | Standing::Closed => Usd::ZERO,
        }
    }
}

impl AccountState {
    /// When everything will be deleted, if it will.
    #[must_use]
    pub fn delete_at(&self) -> Option<Timestamp> {
        match &self.standing {
            Standing::Suspended(suspension) => suspension.delete_at,
            Standing::Good | Standing::Deleting(_) | Standing::Deleted(_) | Standing::Closed => {
                None
            }
        }
    }

    /// Cents and credit taken back of a payment, if they are a part of it.
    #[must_use]
    pub(crate) fn taken_back_of(&self, payment: &PaymentId) -> Option<(i64, Usd)> {
        let entry = self.taken_back.iter().find(|entry| entry.payment == *payment);
        entry.map(|entry| (entry.cents, entry.credit))
    }

    pub(crate) fn begin_period(&mut self, from: Timestamp, through: Timestamp) {
        self.period = Some(PaidPeriod { from, through, used: Usd::ZERO, unpaid: BTreeSet::new() });
        for grant in &mut self.grants {
            grant.used = Usd::ZERO;
        }
    }

    pub(crate) fn add_unpaid(&mut self, unpaid: &[ResourceId]) {
        if let Some(period) = &mut self.period {
            period.unpaid.extend(unpaid.iter().cloned());
        }
    }

    pub(crate) fn set_trial_phase(&mut self, phase: TrialPhase) {
        if let Some(trial) = &mut self.trial {
            trial.phase = phase;
        }
    }
}

/// For `skip_serializing_if`: whether a field has its default and need not be stored.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
