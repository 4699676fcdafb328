//! [`AccountState`]: all facts on which decisions about an account depend. Every row stores a copy,
//! so the stored form is small. It leaves out defaults and empty values, and its names are short.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::fund::Fund;
use crate::domain::holds::{HeldShare, Hold, HoldId};
use crate::domain::ids::{CardId, CustomerId, DisputeId, Kind, PaymentId, ResourceId, Sku};
use crate::domain::money::{Rate, Usd};
use crate::domain::timestamp::{DAY, HOUR, Timestamp};
use crate::domain::yes_no;

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

/// Free credit with an expiry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The number within the account. It identifies the fund (0 is paid credit).
    #[serde(rename = "n")]
    pub number: u32,
    /// Why it was given.
    #[serde(rename = "k")]
    pub kind: GrantKind,
    /// The original amount, in USD. `remaining` never exceeds it.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// The unspent amount, in USD. Never below zero.
    #[serde(rename = "r", default, skip_serializing_if = "Usd::is_zero")]
    pub remaining: Usd,
    /// The part spent on the current period, in USD. It returns if everything stops.
    #[serde(rename = "u", default, skip_serializing_if = "Usd::is_zero")]
    pub used: Usd,
    /// The grant pays nothing from this instant on. Time paid earlier may extend beyond it.
    #[serde(rename = "x")]
    pub expires_at: Timestamp,
    /// SKUs that the grant does not pay for.
    #[serde(rename = "e", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub excludes: BTreeSet<Sku>,
    /// The payment that brought the grant. A refund of it takes the grant back too.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentId>,
}

/// The purpose of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    Trial,
    /// Given by staff.
    Bonus,
    /// The bonus of a commit plan.
    Commit,
}

/// A paid stretch of time, from `from` to `through`, exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidPeriod {
    /// The first paid second.
    #[serde(rename = "f")]
    pub from: Timestamp,
    /// The first unpaid second.
    #[serde(rename = "t")]
    pub through: Timestamp,
    /// The part paid from paid credit, in USD. It returns if everything stops.
    #[serde(rename = "u", default, skip_serializing_if = "Usd::is_zero")]
    pub used: Usd,
    /// Stopped resources that this period does not pay for. They get nothing back.
    #[serde(rename = "n", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unpaid: BTreeSet<ResourceId>,
}

/// Totals of everything billed by time. The list of resources must agree with them before billing:
/// [`BillableList::agree_with`](crate::domain::resources::BillableList::agree_with).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledTotals {
    /// The number of running resources by kind.
    #[serde(rename = "k", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub running: BTreeMap<Kind, u32>,
    /// The number of stopped resources that are still billed (volumes keep their data).
    #[serde(rename = "i", default, skip_serializing_if = "is_default")]
    pub idle: u32,
    /// The total rate, in USD per hour.
    #[serde(rename = "r", default, skip_serializing_if = "Rate::is_zero")]
    pub rate: Rate,
    /// The sum of the row numbers that last changed each resource. Count and rate alone would miss
    /// a swap of two resources with the same rate.
    #[serde(rename = "q", default, skip_serializing_if = "is_default")]
    pub seqs: u64,
}

impl BilledTotals {
    /// The number of resources billed by time, running or not.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.running.values().map(|count| u64::from(*count)).sum::<u64>() + u64::from(self.idle)
    }

    /// The number of running resources of a kind.
    #[must_use]
    pub fn running_of(&self, kind: &Kind) -> u32 {
        self.running.get(kind).copied().unwrap_or(0)
    }

    /// The number of running resources.
    #[must_use]
    pub fn running_count(&self) -> u64 {
        self.running.values().map(|count| u64::from(*count)).sum()
    }
}

/// Whether the account may run resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    #[default]
    Good,
    /// Out of credit, or suspended by staff. Everything is stopped, and deleted after the grace
    /// period.
    Suspended(Suspension),
    /// The grace period is over. Stripe is asked about pending payments before the deletion.
    Deleting(BalanceFloor),
    /// All resources are deleted. They can be restored for a while.
    Deleted(BalanceFloor),
    /// Closed by staff or on the customer's request. Confirmed payments are still credited.
    Closed,
}

impl Standing {
    /// The name in answers and events.
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

/// Why and since when everything is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Everything is paid up to this instant.
    #[serde(rename = "o")]
    pub as_of: Timestamp,
    /// Whether lack of credit or staff caused it.
    #[serde(rename = "y", default, skip_serializing_if = "is_default")]
    pub reason: SuspensionReason,
    /// The end of the grace period. `None` for a suspension by staff.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub delete_at: Option<Timestamp>,
    /// When the customer is warned of the deletion. `None` if the warning was sent or is not
    /// needed.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<Timestamp>,
    /// The available credit at the suspension. Only more of it ends the suspension. The
    /// remainder can be less than the cost of one second, and must not count as new credit.
    #[serde(rename = "l", default, skip_serializing_if = "Usd::is_zero")]
    pub floor: Usd,
    /// What the kept data costs. `None` if nothing is kept, and in rows of format 2.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptCharge>,
}

/// The cost of data that is kept while an account is suspended for lack of credit. It is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCharge {
    /// The total of the idle rates, in USD per hour.
    #[serde(rename = "r")]
    pub rate: Rate,
    /// The time before is part of what is owed already.
    #[serde(rename = "f")]
    pub from: Timestamp,
    /// The end of the grace period, exclusive. The time after is not owed.
    #[serde(rename = "t")]
    pub until: Timestamp,
}

impl KeptCharge {
    /// The cost up to `now`, in USD, rounded once.
    #[must_use]
    pub fn cost(&self, now: Timestamp) -> Usd {
        self.rate.for_seconds((now.min(self.until) - self.from).max(0))
    }

    /// The charge for the time after `now`, at another rate.
    #[must_use]
    pub fn from_now(&self, now: Timestamp, rate: Rate) -> KeptCharge {
        KeptCharge { rate, from: now.min(self.until).max(self.from), until: self.until }
    }
}

/// The cause of a suspension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspensionReason {
    /// The credit was used up.
    #[default]
    Credit,
    /// Suspended by staff. New credit does not end it.
    Staff,
}

/// The balance that must be exceeded to restore a deleted account, in USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceFloor {
    /// The balance at the suspension. Never below zero.
    #[serde(rename = "l", default, skip_serializing_if = "Usd::is_zero")]
    pub floor: Usd,
}

/// Whether resources restart when a suspension ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Resources stay stopped until the customer starts them.
    #[default]
    StayOff,
    /// Resources restart in the order of their last start, as far as the credit reaches.
    InOrder,
}

/// A deletion of all resources of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDeletion {
    /// The row of the deletion. It deletes all resources that were last changed before it.
    #[serde(rename = "q")]
    pub seq: u64,
    /// The time of the deletion (UTC).
    #[serde(rename = "a")]
    pub at: Timestamp,
}

/// Why new starts and card charges are blocked. Running resources continue and are billed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFreeze {
    /// Frozen by staff. The row records the reason.
    #[serde(rename = "s", with = "yes_no", default, skip_serializing_if = "is_default")]
    pub staff: bool,
    /// Open or lost disputes.
    #[serde(rename = "d", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub disputes: BTreeSet<DisputeId>,
}

impl AccountFreeze {
    /// True if the account is not frozen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.staff && self.disputes.is_empty()
    }
}

/// A delayed payment (a bank debit) that has not arrived yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingPayment {
    #[serde(rename = "p")]
    pub payment: PaymentId,
    /// The expected credit, in USD.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// The payment is ignored from this time on.
    #[serde(rename = "x")]
    pub expires_at: Timestamp,
}

/// A dispute, as Stripe last reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisputeState {
    #[serde(rename = "d")]
    pub dispute: DisputeId,
    #[serde(rename = "p")]
    pub payment: PaymentId,
    /// The recorded status. `None` if only rows of formats before 3 recorded it.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<DisputePhase>,
    /// The cents of the payment that the dispute holds, including tax.
    #[serde(rename = "c", default, skip_serializing_if = "is_default")]
    pub cents: i64,
    /// Grants that came with the payment. `remaining` is the amount that the dispute took.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// The status of a dispute, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputePhase {
    /// The bank has not decided yet. The account is frozen.
    Open,
    /// The customer won. The account stays frozen until staff decide.
    Lost,
    /// Won, closed or prevented. The dispute does not freeze the account.
    Over,
}

impl DisputePhase {
    /// Whether a dispute in this phase freezes its account.
    #[must_use]
    pub fn freezes(self) -> bool {
        match self {
            DisputePhase::Open | DisputePhase::Lost => true,
            DisputePhase::Over => false,
        }
    }
}

/// The refunded or disputed part of a payment, and the credit taken for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    #[serde(rename = "p")]
    pub payment: PaymentId,
    /// The total refunded or disputed, in cents, including tax. It exceeds the payment if it was
    /// refunded and disputed. The credit taken never does.
    #[serde(rename = "c")]
    pub cents: i64,
    /// The credit taken, before tax, in USD.
    #[serde(rename = "t")]
    pub credit: Usd,
}

/// The trial of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialState {
    #[serde(rename = "f")]
    pub started_at: Timestamp,
    /// The end of the trial, past or future. It is earlier than planned if the credit was used.
    #[serde(rename = "t")]
    pub ends_at: Timestamp,
    /// Whether the trial is running, over or renewed.
    #[serde(rename = "s", default, skip_serializing_if = "is_default")]
    pub phase: TrialPhase,
    /// Usage during the trial, in USD. The renewal amount is computed from it.
    #[serde(rename = "u", default, skip_serializing_if = "Usd::is_zero")]
    pub used: Usd,
    /// Whether the present refill terms are those that were accepted with the trial. Only then it is
    /// renewed.
    #[serde(rename = "rt", with = "yes_no", default, skip_serializing_if = "is_default")]
    pub has_renewal_terms: bool,
    /// The charge of the renewal that was due at the end, in USD before tax.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Usd>,
    /// The last notice that the trial ends soon. `None` in rows of formats before 6.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub told: Option<ToldTrialEnd>,
}

/// What a customer was told of the end of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldTrialEnd {
    #[serde(rename = "n")]
    pub notice: TrialNotice,
    /// The end as it was foreseen then.
    #[serde(rename = "t")]
    pub ends_at: Timestamp,
}

impl ToldTrialEnd {
    /// The notice that still holds for an end at `ends_at`. An end that moved away is told again.
    #[must_use]
    pub fn holds_for(&self, ends_at: Timestamp) -> Option<TrialNotice> {
        let moved = ends_at - self.ends_at;
        match self.notice {
            _ if moved > DAY => None,
            TrialNotice::Hour if moved > HOUR => Some(TrialNotice::Day),
            TrialNotice::Day | TrialNotice::Hour => Some(self.notice),
        }
    }
}

/// When a customer is told that a trial ends soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialNotice {
    /// A day before, or less if the end was not foreseen earlier.
    Day,
    /// An hour before, or less.
    Hour,
}

/// The phase of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialPhase {
    #[default]
    Active,
    Ended,
    /// Over, and continued with a charge to the saved card.
    Renewed,
}

/// Refills from the saved card: the agreement and the current attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefillState {
    /// The terms that the customer accepted. `None` while refills are off.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<RefillAgreement>,
    /// The card that is charged.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub card: Option<CardId>,
    /// How the card was chosen. `Named` in rows of format 2.
    #[serde(rename = "cc", default, skip_serializing_if = "is_default")]
    pub card_choice: CardChoice,
    /// When the card expires. `None` if it is not known, and in rows of formats before 4.
    #[serde(rename = "ce", default, skip_serializing_if = "Option::is_none")]
    pub card_expiry: Option<CardExpiry>,
    /// No refill begins before this time, because the saved cards changed a moment ago and the
    /// customer may be paying. A credit ends it. `None` in rows of format 2.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub look_at: Option<Timestamp>,
    /// The maximum to charge per UTC calendar month, in USD, before tax.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub monthly_cap: Option<Usd>,
    /// A refill that is wanted and has not started yet.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<WantedRefill>,
    /// When to check again, because a backoff, the daily limit or the monthly cap blocks a refill.
    #[serde(rename = "ra", default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// The respite since the last credit. `None` in rows of format 2.
    #[serde(rename = "ru", default, skip_serializing_if = "Option::is_none")]
    pub respite: Option<RefillRespite>,
    /// The open attempt. There is at most one.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<RefillAttempt>,
    /// The number of attempts ever made. It is part of Stripe's idempotency keys.
    #[serde(rename = "n", default, skip_serializing_if = "is_default")]
    pub attempts_so_far: u32,
    /// The number of consecutive failures.
    #[serde(rename = "fs", default, skip_serializing_if = "is_default")]
    pub failures: u32,
    /// When the last attempt failed.
    #[serde(rename = "fa", default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// Why refills are paused.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<RefillPause>,
    /// Cards that the issuer refused permanently.
    #[serde(rename = "nc", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub never: BTreeSet<CardId>,
    /// The UTC day of the last successful refill, and the number on that day.
    #[serde(rename = "d", default, skip_serializing_if = "is_default")]
    pub today: (u32, u32),
    /// The UTC month of the last successful refill, and the amount charged in that month, in USD
    /// before tax.
    #[serde(rename = "mo", default, skip_serializing_if = "is_default")]
    pub this_month: (u32, Usd),
}

/// How the card that refills charge was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardChoice {
    /// The customer named the card.
    #[default]
    Named,
    /// The customer's default card at the time of the charge. The state has a copy of its ID, which
    /// changes of the saved cards keep up to date.
    Default,
}

impl CardChoice {
    pub(crate) fn is_named(&self) -> bool {
        *self == CardChoice::Named
    }
}

/// When the card that refills charge expires. No event of Stripe's reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardExpiry {
    /// The first instant after the card's last month (UTC).
    #[serde(rename = "t")]
    pub ends_at: Timestamp,
    /// When the customer is told, a month before. `None` once the customer was told.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<Timestamp>,
}

impl CardExpiry {
    /// The expiry of a card that is valid until `ends_at`, exclusive. The customer is told at the
    /// beginning of its last month.
    #[must_use]
    pub fn ending(ends_at: Timestamp) -> CardExpiry {
        CardExpiry { ends_at, warn_at: Some(ends_at.plus(-1).month_start()) }
    }
}

/// The time for which a wanted or open refill delays a suspension. It begins once between two
/// credits. A rejection brings its end forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefillRespite {
    #[serde(rename = "f")]
    pub from: Timestamp,
    /// The end, exclusive.
    #[serde(rename = "t")]
    pub until: Timestamp,
}

/// The refill terms that the customer saw and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefillAgreement {
    #[serde(rename = "at")]
    pub at: Timestamp,
    /// A balance below this amount triggers a refill, in USD.
    #[serde(rename = "t")]
    pub threshold: Usd,
    /// The credit of one refill, in USD, before tax. A charge is a multiple of it. With a target, it
    /// is the least that a charge buys: the target less the threshold.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// The maximum of one charge, in USD, before tax. `None`: the amount.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub max_charge: Option<Usd>,
    /// The balance that a charge brings the account to, in USD. `None`: a charge buys a multiple of
    /// the amount. `None` in rows of formats before 4.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Usd>,
}

/// A refill that is wanted and has not started yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedRefill {
    #[serde(rename = "s")]
    pub since: Timestamp,
    /// The credit to buy, in USD, before tax.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// The threshold, or the end of a trial.
    #[serde(rename = "y", default, skip_serializing_if = "is_default")]
    pub purpose: RefillPurpose,
}

/// The purpose of a refill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillPurpose {
    /// The balance is below the threshold.
    #[default]
    Threshold,
    /// The trial ended while a service was running.
    TrialRenewal,
}

/// An open refill attempt. Its values are fixed before the first request to Stripe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefillAttempt {
    /// Its number within the account.
    #[serde(rename = "n")]
    pub number: u32,
    /// When the refill was first wanted. The delay of a suspension counts from here.
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
    /// Whether Stripe computes tax.
    #[serde(rename = "x", default, skip_serializing_if = "is_default")]
    pub tax: TaxMode,
    /// What it is for.
    #[serde(rename = "y", default, skip_serializing_if = "is_default")]
    pub purpose: RefillPurpose,
    /// When a payment that needs confirmation is canceled. `None` while Stripe processes the
    /// charge.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub void_at: Option<Timestamp>,
}

/// Whether Stripe computes tax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxMode {
    /// No tax is computed.
    #[default]
    Off,
    /// Stripe Tax (`automatic_tax`) is on.
    Automatic,
}

/// Why refills are paused although they are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillPause {
    /// The issuer refused the card permanently. Refills resume with another card.
    CardRefused,
    /// Too many consecutive failures. Refills resume with another card or when the customer turns
    /// them on again.
    Failures,
    /// The card was removed.
    CardGone,
    /// The card's issuer reported a payment as fraudulent. Refills resume when they are turned on
    /// again.
    FraudWarning,
    /// The card has expired. Refills resume when the issuer renews it, with another card, or when
    /// the customer agrees to this one again.
    CardExpired,
    /// Everything is off, and the customer did not confirm the payment of a refill. Refills resume
    /// with credit, with another card, or when the customer asks for one.
    Unconfirmed,
}

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

/// For `skip_serializing_if`: fields at their default are not stored.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
