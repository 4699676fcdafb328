//! [`AccountState`]: all facts on which decisions about an account depend. Every row stores a copy,
//! so the stored form is small. It leaves out defaults and empty values, and its names are short.

mod billed;
mod budget;
mod grant;
mod payments;
mod refill;
mod standing;
mod trial;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::defaults::is_default;
use crate::domain::fund::Fund;
use crate::domain::holds::{HeldShare, Hold, HoldId};
use crate::domain::ids::{DisputeId, PaymentId, ResourceId};
use crate::domain::money::Usd;
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::{HOUR, Timestamp};
use crate::domain::yes_no;

pub use billed::{BilledTotals, PaidPeriod};
pub use budget::{Budget, BudgetSpend};
pub use grant::{GRANTS_MAX, Grant, GrantKind};
pub use payments::{DisputePhase, DisputeState, OpenRefund, PendingPayment, TakenBack};
pub use refill::{
    CardChoice, CardExpiry, RefillAgreement, RefillAttempt, RefillPause, RefillPurpose,
    RefillRespite, RefillState, TaxMode, WantedRefill,
};
pub use standing::{
    AccountDeletion, AccountFreeze, BalanceFloor, KeptCharge, RestartPolicy, Standing, Suspension,
    SuspensionReason,
};
pub use trial::{ToldTrialEnd, TrialNotice, TrialPhase, TrialState};

/// The state of an account after a row of its chain.
///
/// `seq` and `at` are the row's own key and time. The stored copy leaves them out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// The number of the next row. Zero before the account is opened.
    #[serde(skip)]
    pub next_seq: u64,
    /// The time of the last row (UTC).
    #[serde(skip)]
    pub at: Timestamp,
    /// Paid credit, in USD. Below zero after a refund or dispute of credit that was already spent.
    #[serde(rename = "c", default, skip_serializing_if = "Usd::is_zero")]
    pub paid: Usd,
    /// Open holds, oldest first. What they keep is part of the funds.
    #[serde(rename = "h", default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// Free credit (trials and bonuses), by number.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// The number of grants ever made. Grant numbers are never reused.
    #[serde(rename = "gn", default, skip_serializing_if = "is_default")]
    pub grants_so_far: u32,
    /// The period that is paid for. `None` while nothing is billed by time.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PaidPeriod>,
    /// The totals of everything billed by time.
    #[serde(rename = "b", default, skip_serializing_if = "is_default")]
    pub billed: BilledTotals,
    /// The number of open meters.
    #[serde(rename = "m", default, skip_serializing_if = "is_default")]
    pub meters: u32,
    /// The clock hour before which all known usage is billed.
    #[serde(rename = "ma", default, skip_serializing_if = "Option::is_none")]
    pub metered_at: Option<Timestamp>,
    /// The time of the last row that billed all known usage, with usage of an hour among it.
    #[serde(rename = "mb", default, skip_serializing_if = "Option::is_none")]
    pub usage_billed_at: Option<Timestamp>,
    /// Whether the account may run resources.
    #[serde(rename = "s", default, skip_serializing_if = "is_default")]
    pub standing: Standing,
    /// The row of the last suspension. Resources started before it do not run.
    #[serde(rename = "ss", default, skip_serializing_if = "Option::is_none")]
    pub suspended_seq: Option<u64>,
    /// The customer's choice whether resources restart after a suspension.
    #[serde(rename = "rc", default, skip_serializing_if = "is_default")]
    pub restart_policy: RestartPolicy,
    /// True after a suspension while resources restart, batch by batch.
    #[serde(rename = "ri", with = "yes_no", default, skip_serializing_if = "is_default")]
    pub restarting: bool,
    /// Deletions of the whole account that can still be restored, oldest first.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    pub deletions: Vec<AccountDeletion>,
    /// Resources last changed before this row are purged.
    #[serde(rename = "ps", default, skip_serializing_if = "Option::is_none")]
    pub purged_seq: Option<u64>,
    /// When the oldest individual deletion can no longer be restored.
    #[serde(rename = "pd", default, skip_serializing_if = "Option::is_none")]
    pub purge_due: Option<Timestamp>,
    /// The reasons why new starts and card charges are blocked.
    #[serde(rename = "f", default, skip_serializing_if = "AccountFreeze::is_empty")]
    pub frozen: AccountFreeze,
    /// Delayed payments that may still arrive. They block the deletion of resources.
    #[serde(rename = "pp", default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingPayment>,
    /// Refunds by staff that Stripe has not answered yet, oldest first.
    #[serde(rename = "rf", default, skip_serializing_if = "Vec::is_empty")]
    pub open_refunds: Vec<OpenRefund>,
    /// Partly refunded or disputed payments.
    #[serde(rename = "tb", default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<TakenBack>,
    /// Disputes that are open or lost, or hold money. Disputes of formats before 3 are not here.
    #[serde(rename = "dp", default, skip_serializing_if = "Vec::is_empty")]
    pub disputes: Vec<DisputeState>,
    /// Whether the account ever had a payment.
    #[serde(rename = "pe", with = "yes_no", default, skip_serializing_if = "is_default")]
    pub ever_paid: bool,
    /// The trial, if there was one.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialState>,
    /// The cost of time that ran without credit and is still to be paid, in USD: what ran in a
    /// respite, and what was kept while suspended, as far as rows recorded it. The next credit pays
    /// it first. It is not part of the balance. [`AccountState::owed_at`] adds the time since.
    #[serde(rename = "o", default, skip_serializing_if = "Usd::is_zero")]
    pub owed: Usd,
    /// Whether the last credit is used up and nothing is billed by time, so that the account is to
    /// be suspended. Ends with credit, with the suspension, or when something is billed by time.
    #[serde(rename = "z", with = "yes_no", default, skip_serializing_if = "is_default")]
    pub credit_used_up: bool,
    /// When the customer was told of low credit, by cause, within a day.
    #[serde(rename = "lt", default, skip_serializing_if = "LowTold::is_empty")]
    pub low_told: LowTold,
    /// The state of refills from the saved card.
    #[serde(rename = "r", default, skip_serializing_if = "is_default")]
    pub refill: RefillState,
    /// Budgets of projects, in the order in which they were first set.
    #[serde(rename = "bu", default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
    /// Whether the personal data of the customer was erased. The account stays closed.
    #[serde(rename = "er", with = "yes_no", default, skip_serializing_if = "is_default")]
    pub erased: bool,
}

/// Why credit is low.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LowCause {
    /// Usage spent it.
    Usage,
    /// Resources were started or changed.
    Resources,
    /// No refill comes any more.
    Refills,
    /// Credit was taken, expired or corrected, or the account was resumed.
    Account,
}

/// When each cause was last told, within a day.
pub type LowTold = BTreeMap<LowCause, Timestamp>;

impl AccountState {
    /// Paid credit plus unspent grants, in USD.
    #[must_use]
    pub fn balance(&self) -> Usd {
        self.paid + self.grants.iter().map(|grant| grant.remaining).sum()
    }

    /// Whether the account exists.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.next_seq > 0
    }

    /// The first unpaid second. `None` while nothing is billed by time.
    #[must_use]
    pub fn paid_through(&self) -> Option<Timestamp> {
        self.period.as_ref().map(|period| period.through)
    }

    /// Whether a resource is stopped and this period does not pay for it.
    #[must_use]
    pub fn is_unpaid(&self, resource: &ResourceId) -> bool {
        self.period.as_ref().is_some_and(|period| period.unpaid.contains(resource))
    }

    /// Finds a grant by number.
    #[must_use]
    pub fn grant(&self, number: u32) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.number == number)
    }

    /// Checks that the account may get another grant. One that comes with a confirmed payment is never
    /// refused.
    ///
    /// # Errors
    /// [`Refusal::TooManyGrants`]
    pub fn check_another_grant(&self, now: Timestamp) -> Result<(), Refusal> {
        let lasting = self.grants.iter().filter(|grant| grant.expires_at > now);
        if lasting.count() < GRANTS_MAX {
            return Ok(());
        }
        Err(Refusal::TooManyGrants { max: GRANTS_MAX })
    }

    /// Whether a trial is running and the account never had a payment.
    #[must_use]
    pub fn is_in_trial(&self) -> bool {
        !self.ever_paid
            && self.trial.as_ref().is_some_and(|trial| trial.phase == TrialPhase::Active)
    }

    pub(crate) fn trial_grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants.iter().filter(|grant| grant.kind == GrantKind::Trial)
    }

    /// Whether the available credit exceeds the remainder at the suspension.
    #[must_use]
    pub fn is_above_floor(&self) -> bool {
        self.available() > self.floor()
    }

    /// What is owed at `now`, in USD, with the data that was kept since the last row.
    #[must_use]
    pub fn owed_at(&self, now: Timestamp) -> Usd {
        self.owed + self.kept().map_or(Usd::ZERO, |kept| kept.cost(now))
    }

    /// The cost of data that is kept during a suspension.
    #[must_use]
    pub fn kept(&self) -> Option<&KeptCharge> {
        match &self.standing {
            Standing::Suspended(suspension) => suspension.kept.as_ref(),
            Standing::Good | Standing::Deleting(_) | Standing::Deleted(_) | Standing::Closed => {
                None
            }
        }
    }

    /// The credit that ends a suspension for lack of credit, in USD, rounded up to the cent. It pays
    /// what will be owed in an hour, because paying takes time, and leaves more than was left at the
    /// suspension. `None` if credit alone ends nothing.
    #[must_use]
    pub fn needed_to_resume(&self, now: Timestamp) -> Option<Usd> {
        let is_ended_by_credit = match &self.standing {
            Standing::Suspended(suspension) => suspension.reason == SuspensionReason::Credit,
            Standing::Deleting(_) | Standing::Deleted(_) => true,
            Standing::Good | Standing::Closed => false,
        };
        let owed = self.owed_at(now.plus(HOUR));
        let missing = (self.floor() + owed - self.available()).or_zero();
        let cents = (missing.decimal() * Decimal::ONE_HUNDRED).floor() + Decimal::ONE;
        let needed = Usd::new(cents / Decimal::ONE_HUNDRED).ok();
        needed.filter(|_| is_ended_by_credit && self.frozen.is_empty())
    }

    /// The remainder at the suspension, in USD. Zero in good standing.
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
    /// The planned time of the deletion, if there is one.
    #[must_use]
    pub fn delete_at(&self) -> Option<Timestamp> {
        match &self.standing {
            Standing::Suspended(suspension) => suspension.delete_at,
            Standing::Good | Standing::Deleting(_) | Standing::Deleted(_) | Standing::Closed => {
                None
            }
        }
    }

    /// The cents and credit taken back from a payment, if a part was taken back.
    #[must_use]
    pub fn taken_back_of(&self, payment: &PaymentId) -> Option<(i64, Usd)> {
        let entry = self.taken_back.iter().find(|entry| entry.payment == *payment);
        entry.map(|entry| (entry.cents, entry.credit))
    }

    /// The recorded state of a dispute.
    #[must_use]
    pub fn dispute(&self, dispute: &DisputeId) -> Option<&DisputeState> {
        self.disputes.iter().find(|known| known.dispute == *dispute)
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

impl AccountState {
    /// An open hold.
    #[must_use]
    pub fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.id == id)
    }

    /// What all holds keep, in USD.
    #[must_use]
    pub fn held(&self) -> Usd {
        self.holds.iter().map(Hold::amount).sum()
    }

    /// What all holds keep of a fund, in USD.
    #[must_use]
    pub fn held_of(&self, fund: Fund) -> Usd {
        self.holds.iter().map(|hold| hold.of_fund(fund)).sum()
    }

    /// The balance less what is held, in USD. Below zero if usage was billed beyond it.
    #[must_use]
    pub fn available(&self) -> Usd {
        self.balance() - self.held()
    }

    /// The paid credit that is not held, in USD.
    #[must_use]
    pub fn free_paid(&self) -> Usd {
        self.paid - self.held_of(Fund::Paid)
    }

    /// The credit of a grant that is not held, in USD.
    #[must_use]
    pub fn free_of_grant(&self, number: u32) -> Usd {
        let remaining = self.grant(number).map_or(Usd::ZERO, |grant| grant.remaining);
        remaining - self.held_of(Fund::Grant(number))
    }

    /// The same account without holds that have expired at an instant. They hold nothing, although no
    /// row says so yet.
    #[must_use]
    pub fn without_expired_holds(&self, now: Timestamp) -> Cow<'_, AccountState> {
        let lasts = |hold: &Hold| hold.expires_at > now;
        if self.holds.iter().all(lasts) {
            return Cow::Borrowed(self);
        }
        let mut state = self.clone();
        state.holds.retain(lasts);
        Cow::Owned(state)
    }

    pub(crate) fn end_hold(&mut self, id: HoldId) {
        self.holds.retain(|hold| hold.id != id);
    }

    pub(crate) fn set_held(&mut self, id: HoldId, shares: &[HeldShare]) {
        for hold in self.holds.iter_mut().filter(|hold| hold.id == id) {
            hold.shares = shares.to_vec();
        }
    }
}
