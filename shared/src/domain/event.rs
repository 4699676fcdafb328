//! What a row says happened: [`Event`], its [`Change`], and the lines of what was billed.
//!
//! An event carries every decision that was taken, so that [`apply`](crate::domain::apply::apply) needs
//! nothing but the state before it: no price list, no policy, no list of resources. Whoever reads a
//! row can check it.

use serde::{Deserialize, Serialize};

use crate::domain::account::{
    BilledTotals, ComingBack, Grant, PendingPayment, RefillAgreement, RefillAttempt, RefillPause,
    RefillPurpose, RestartPolicy, SuspensionReason,
};
use crate::domain::funds::{Fund, FundDelta, FundShare};
use crate::domain::ids::{
    AccountId, CardFingerprint, CardId, DisputeId, PaymentId, ProjectId, RefundId, RequestKey,
    ResourceId, Sku,
};
use crate::domain::money::{Quantity, Rate, Usd};
use crate::domain::resources::{Meter, Resource, ResourceRef, ResourceStatus};
use crate::domain::timestamp::Timestamp;

/// One fact about an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was decided (UTC): the trigger's time, never before the row before it.
    #[serde(skip)]
    pub at: Timestamp,
    /// What made it.
    #[serde(rename = "y", default, skip_serializing_if = "Cause::is_time")]
    pub cause: Cause,
    /// What happened.
    #[serde(rename = "e")]
    pub change: Change,
    /// Grants this row adds to the account (or brings back), without money: that is in `funds`.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// What each fund pays or gains.
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub funds: Vec<FundDelta>,
    /// Whether this row leaves a refill wanted.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub want: Option<RefillWant>,
    /// Since this row nothing holds the deletion any more: from when on the customer is warned of
    /// it again.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<Timestamp>,
}

impl Event {
    /// What the row does to the balance, in USD: the sum over the funds.
    #[must_use]
    pub fn amount(&self) -> Usd {
        self.funds.iter().map(|delta| delta.amount).sum()
    }

    /// The keys of which each may be used once: written in the row's transaction.
    #[must_use]
    pub fn claims(&self, account: &AccountId) -> Vec<Claim> {
        let mut claims = self.change.claims(account);
        if let Cause::Request { key, digest } = &self.cause {
            claims.push(Claim {
                key: request_claim(account, key),
                on_existing: OnExisting::Stop,
                digest: Some(digest.clone()),
            });
        }
        claims
    }
}

/// The key of the claim that makes a request of the API repeatable.
#[must_use]
pub fn request_claim(account: &AccountId, key: &RequestKey) -> String {
    format!("api#{account}#{key}")
}

/// What made a row. One cause, at most one row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Time: `paid_through` and the deadlines in the state say what is due, so the append itself
    /// makes it single.
    #[default]
    Time,
    /// Something Stripe told: the change names the object, whose claim makes it single.
    Stripe,
    /// A request, with the key that makes it repeatable and the digest of what was asked.
    Request {
        /// Route and `Idempotency-Key`.
        #[serde(rename = "k")]
        key: RequestKey,
        /// SHA-256 of the request: the same key with another request is an error.
        #[serde(rename = "d")]
        digest: String,
    },
    /// A request without a key: it may be repeated, as plain HTTP may.
    Command,
}

impl Cause {
    fn is_time(&self) -> bool {
        *self == Cause::Time
    }
}

/// A refill as a row leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillWant {
    /// Wanted now.
    Now {
        /// The credit to buy, in USD, before tax.
        #[serde(rename = "a")]
        amount: Usd,
        /// For the threshold or the end of a trial.
        #[serde(rename = "y")]
        purpose: RefillPurpose,
    },
    /// It would be wanted, but a back-off, the daily number or the monthly cap stands in the way
    /// until then.
    At(Timestamp),
}

/// A key of which there is one use, kept in the ledger table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The key, unique over all accounts.
    pub key: String,
    /// What to do if somebody claimed it before.
    pub on_existing: OnExisting,
    /// The digest of the request it answers, if it does.
    pub digest: Option<String>,
}

/// What a claim that already exists means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExisting {
    /// The cause has its row: append nothing.
    Stop,
    /// Fine: it only had to exist.
    GoOn,
}

/// What happened. The stored names are short where rows are many (`u`, one for each account and
/// hour).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The account was opened.
    Opened,

    // Money in.
    /// A payment was confirmed by Stripe.
    Credited {
        /// Which.
        payment: PaymentId,
        /// What it was for.
        kind: CreditKind,
        /// The credit bought, in USD, before tax.
        credit: Usd,
        /// What Stripe received, in cents, tax included.
        received_cents: i64,
    },
    /// A delayed payment was promised.
    PaymentPending(PendingPayment),
    /// A delayed payment will not come.
    PaymentEnded {
        /// Which.
        payment: PaymentId,
        /// How it ended.
        how: PendingEnd,
        /// Whether the chain had been told that it was pending.
        known: Known,
    },
    /// Staff gave credit.
    Granted {
        /// The new grant.
        number: u32,
        /// Why.
        reason: String,
    },
    /// A grant's time was over.
    GrantExpired {
        /// Which.
        number: u32,
    },

    // Resources.
    /// Resources were created without being started.
    Created {
        /// The new resources.
        resources: Vec<Resource>,
    },
    /// Resources were started, or restored, and paid to `through`.
    Started {
        /// As they are now.
        resources: Vec<Resource>,
        /// Started or restored.
        how: StartKind,
        /// What each of them costs from now to `through`.
        lines: BilledLines,
        /// Paid through.
        through: Timestamp,
        /// What is billed from now on.
        billed: BilledTotals,
    },
    /// The platform could not carry out a start: everything it was charged is given back.
    StartFailed {
        /// Which.
        resource: ResourceRef,
        /// What it is now: as it was before the start.
        status: ResourceStatus,
        /// What was given back.
        lines: BilledLines,
        /// What is billed from now on.
        billed: BilledTotals,
        /// When the first of all deleted resources is gone for good.
        purge_due: Option<Timestamp>,
        /// Whether it is off and could not be paid for the rest of the period: it is kept for free
        /// until then.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unpaid: Vec<ResourceId>,
    },
    /// Resources were stopped and their unused time given back.
    Stopped {
        /// Which.
        resources: Vec<ResourceRef>,
        /// Why.
        why: StopReason,
        /// As of when: the row's time, or the end of what their funds had paid.
        as_of: Timestamp,
        /// What was given back.
        lines: BilledLines,
        /// What is billed from now on.
        billed: BilledTotals,
    },
    /// Resources were deleted one by one; they can be restored for a while.
    ResourcesDeleted {
        /// Which.
        resources: Vec<ResourceRef>,
        /// What was given back.
        lines: BilledLines,
        /// What is billed from now on.
        billed: BilledTotals,
        /// When the first of all deleted resources is gone for good.
        purge_due: Option<Timestamp>,
    },
    /// What was deleted too long ago is gone for good.
    Purged {
        /// Resources that had been deleted one by one.
        resources: Vec<ResourceRef>,
        /// The deletion of the whole account that can no longer be undone.
        deletion: Option<u64>,
        /// When the next ones are.
        purge_due: Option<Timestamp>,
    },
    /// A meter was opened.
    MeterOpened(Meter),

    // Billing.
    /// Time was paid ahead.
    #[serde(rename = "u")]
    Usage {
        /// From.
        #[serde(rename = "f")]
        from: Timestamp,
        /// Through, exclusive.
        #[serde(rename = "t")]
        through: Timestamp,
        /// What each resource costs in this time.
        #[serde(rename = "l")]
        lines: BilledLines,
        /// What is billed from now on, if prices changed it.
        #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
        billed: Option<BilledTotals>,
        /// What is off, has no funds of its own left, and is kept for free in this period.
        #[serde(rename = "n", default, skip_serializing_if = "Vec::is_empty")]
        unpaid: Vec<ResourceId>,
    },
    /// Quantities that were used were billed.
    Metered {
        /// The hour at whose beginning it was; `None` if more rows of the same hour follow.
        hour: Option<Timestamp>,
        /// Meter by meter.
        lines: Vec<MeterLine>,
    },

    // Standing.
    /// Everything was switched off.
    Suspended {
        /// As of when.
        as_of: Timestamp,
        /// For lack of credit or by staff.
        reason: SuspensionReason,
        /// When everything will be deleted.
        delete_at: Option<Timestamp>,
        /// When the deletion will be announced; `None` if this row is the warning, or there is
        /// nothing to warn of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warn_at: Option<Timestamp>,
        /// Unused time given back (only if staff did it: for lack of credit there is none).
        lines: BilledLines,
        /// Staff's words.
        note: Option<String>,
    },
    /// A suspension or deletion ended; or one more batch of resources came back.
    Resumed {
        /// Resources that run again.
        resources: Vec<ResourceRef>,
        /// Whether more batches follow.
        more: ComingBack,
        /// What is billed from now on.
        billed: BilledTotals,
    },
    /// The grace ends soon: the customer is warned.
    DeletionAnnounced {
        /// When everything will be deleted: later than planned if the warning comes late.
        delete_at: Timestamp,
    },
    /// The grace is over; Stripe must be asked before anything is deleted.
    DeletionDue,
    /// Everything was deleted.
    Deleted,
    /// The account was closed.
    Closed {
        /// Why.
        reason: String,
    },

    // Trial.
    /// A trial began.
    TrialStarted {
        /// Its grant.
        number: u32,
        /// When it ends.
        ends_at: Timestamp,
        /// The card that vouched for it.
        fingerprint: CardFingerprint,
    },
    /// A trial ended.
    TrialEnded,

    // Refill.
    /// Settings were changed: the whole of what is agreed to now.
    RefillChanged {
        /// What was agreed to; `None`: refills are off.
        agreement: Option<RefillAgreement>,
        /// The card to charge.
        card: Option<CardId>,
        /// The most to charge in a month.
        monthly_cap: Option<Usd>,
    },
    /// A saved card is gone.
    CardRemoved {
        /// Which.
        card: CardId,
    },
    /// The time came to look at the balance again. What was wanted before is no more, unless this
    /// row wants it.
    RefillDue,
    /// An attempt began; nothing has been asked of Stripe before this row.
    RefillBegun(RefillAttempt),
    /// The customer has to confirm the payment.
    RefillNeedsCustomer {
        /// Which attempt.
        attempt: u32,
        /// When it is given up.
        void_at: Timestamp,
        /// Stripe's page where it is confirmed, if Stripe named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// An attempt failed; its invoice is void.
    RefillFailed {
        /// Which attempt.
        attempt: u32,
        /// How to go on.
        decline: RefillDecline,
        /// Stripe's decline code, for staff.
        code: String,
        /// Whether attempts pause now.
        pause: Option<RefillPause>,
        /// The credit it was to buy, in USD, before tax; `None` in rows of format 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Usd>,
    },
    /// Whether resources come back by themselves after a suspension.
    ComebackChosen(RestartPolicy),

    // Money back.
    /// Stripe gave money back, or had it taken: its credit is gone.
    TakenBack {
        /// By what.
        by: TakeBack,
        /// Of which payment.
        of: PaymentFacts,
        /// Cents of the payment, tax included.
        cents: i64,
        /// The share of the payment's credit that is gone, before tax, in USD.
        credit: Usd,
    },
    /// The taking back was undone.
    GivenBack {
        /// What was undone.
        by: TakeBack,
        /// Of which payment.
        of: PaymentFacts,
        /// Cents of the payment, tax included.
        cents: i64,
        /// The share of the payment's credit that is back; zero if it was undone before it was
        /// done.
        credit: Usd,
        /// Whether the taking had been recorded.
        known: Known,
    },
    /// A customer disputes a payment: the account is frozen.
    DisputeOpened {
        /// Which.
        dispute: DisputeId,
        /// Which payment.
        payment: PaymentId,
    },
    /// The bank decided.
    DisputeClosed {
        /// Which.
        dispute: DisputeId,
        /// For whom.
        outcome: DisputeOutcome,
    },

    // Staff.
    /// Frozen by staff.
    Frozen {
        /// Why.
        reason: String,
    },
    /// No longer frozen, neither by staff nor by lost disputes.
    Unfrozen {
        /// Why.
        reason: String,
    },
    /// Paid credit was corrected.
    Corrected {
        /// Why.
        reason: String,
    },
}

impl Change {
    /// The name rows of this kind have in the table's `type` attribute.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Change::Opened => "opened",
            Change::Credited { kind: CreditKind::TopUp, .. } => "topup",
            Change::Credited { kind: CreditKind::Refill { .. }, .. } => "auto_refill",
            Change::Credited { kind: CreditKind::Commit, .. } => "commit",
            Change::PaymentPending(_) => "payment_pending",
            Change::PaymentEnded { .. } => "payment_ended",
            Change::Granted { .. } => "bonus",
            Change::GrantExpired { .. } => "expired",
            Change::Created { .. } => "created",
            Change::Started { how: StartKind::Started, .. } => "started",
            Change::Started { how: StartKind::Restored { .. }, .. } => "restored",
            Change::StartFailed { .. } => "start_failed",
            Change::Stopped { .. } => "stopped",
            Change::ResourcesDeleted { .. } => "resources_deleted",
            Change::Purged { .. } => "purged",
            Change::MeterOpened(_) => "meter_opened",
            Change::Usage { .. } => "usage",
            Change::Metered { .. } => "metered",
            Change::Suspended { .. } => "suspended",
            Change::Resumed { .. } => "resumed",
            Change::DeletionAnnounced { .. } => "deletion_announced",
            Change::DeletionDue => "deleting",
            Change::Deleted => "deleted",
            Change::Closed { .. } => "closed",
            Change::TrialStarted { .. } => "trial",
            Change::TrialEnded => "trial_ended",
            Change::RefillChanged { .. } => "refill_changed",
            Change::CardRemoved { .. } => "card_removed",
            Change::RefillDue => "refill_due",
            Change::RefillBegun(_) => "refill_begun",
            Change::RefillNeedsCustomer { .. } => "refill_needs_customer",
            Change::RefillFailed { .. } => "refill_failed",
            Change::ComebackChosen(_) => "comeback_chosen",
            Change::TakenBack { by: TakeBack::Refund(_), .. } => "refund",
            Change::TakenBack { by: TakeBack::Dispute(_), .. } => "dispute",
            Change::GivenBack { by: TakeBack::Refund(_), .. } => "refund_reversed",
            Change::GivenBack { by: TakeBack::Dispute(_), .. } => "dispute_reversed",
            Change::DisputeOpened { .. } => "dispute_opened",
            Change::DisputeClosed { .. } => "dispute_closed",
            Change::Frozen { .. } => "frozen",
            Change::Unfrozen { .. } => "unfrozen",
            Change::Corrected { .. } => "correction",
        }
    }

    /// What was billed or given back for time, if the row has lines.
    #[must_use]
    pub fn lines(&self) -> Option<&BilledLines> {
        match self {
            Change::Started { lines, .. }
            | Change::StartFailed { lines, .. }
            | Change::Stopped { lines, .. }
            | Change::ResourcesDeleted { lines, .. }
            | Change::Usage { lines, .. }
            | Change::Suspended { lines, .. } => Some(lines),
            Change::Opened
            | Change::Credited { .. }
            | Change::PaymentPending(_)
            | Change::PaymentEnded { .. }
            | Change::Granted { .. }
            | Change::GrantExpired { .. }
            | Change::Created { .. }
            | Change::Purged { .. }
            | Change::MeterOpened(_)
            | Change::Metered { .. }
            | Change::Resumed { .. }
            | Change::DeletionAnnounced { .. }
            | Change::DeletionDue
            | Change::Deleted
            | Change::Closed { .. }
            | Change::TrialStarted { .. }
            | Change::TrialEnded
            | Change::RefillChanged { .. }
            | Change::CardRemoved { .. }
            | Change::RefillDue
            | Change::RefillBegun(_)
            | Change::RefillNeedsCustomer { .. }
            | Change::RefillFailed { .. }
            | Change::ComebackChosen(_)
            | Change::TakenBack { .. }
            | Change::GivenBack { .. }
            | Change::DisputeOpened { .. }
            | Change::DisputeClosed { .. }
            | Change::Frozen { .. }
            | Change::Unfrozen { .. }
            | Change::Corrected { .. } => None,
        }
    }

    /// The same row with other lines: how rows that do not fit one item are stored.
    #[must_use]
    pub fn with_lines(mut self, replacement: BilledLines) -> Change {
        if let Change::Started { lines, .. }
        | Change::StartFailed { lines, .. }
        | Change::Stopped { lines, .. }
        | Change::ResourcesDeleted { lines, .. }
        | Change::Usage { lines, .. }
        | Change::Suspended { lines, .. } = &mut self
        {
            *lines = replacement;
        }
        self
    }

    fn claims(&self, account: &AccountId) -> Vec<Claim> {
        let once = |key: String| Claim { key, on_existing: OnExisting::Stop, digest: None };
        let mark = |key: String| Claim { key, on_existing: OnExisting::GoOn, digest: None };
        match self {
            // A credit also ends whatever may still be told of the payment being pending.
            Change::Credited { payment, .. } => {
                vec![
                    once(format!("stripe#{payment}#credit")),
                    mark(format!("stripe#{payment}#pending")),
                ]
            }
            Change::PaymentPending(pending) => {
                vec![once(format!("stripe#{}#pending", pending.payment))]
            }
            // A failure that is told before the promise uses up the promise.
            Change::PaymentEnded { payment, known: Known::No, .. } => {
                vec![once(format!("stripe#{payment}#pending"))]
            }
            Change::TakenBack { by, .. } => vec![once(format!("stripe#{}#debit", by.as_str()))],
            Change::GivenBack { by, known: Known::Yes, .. } => {
                vec![once(format!("stripe#{}#reversal", by.as_str()))]
            }
            // A reversal that comes first claims both and moves nothing.
            Change::GivenBack { by, known: Known::No, .. } => {
                vec![
                    once(format!("stripe#{}#reversal", by.as_str())),
                    once(format!("stripe#{}#debit", by.as_str())),
                ]
            }
            Change::DisputeOpened { dispute, .. } => vec![once(format!("stripe#{dispute}#opened"))],
            // The end of a dispute uses up its beginning, should that be told later.
            Change::DisputeClosed { dispute, .. } => {
                vec![
                    once(format!("stripe#{dispute}#closed")),
                    mark(format!("stripe#{dispute}#opened")),
                ]
            }
            Change::TrialStarted { fingerprint, .. } => {
                vec![once(format!("trial#{account}")), once(format!("fingerprint#{fingerprint}"))]
            }
            Change::Opened
            | Change::PaymentEnded { known: Known::Yes, .. }
            | Change::Granted { .. }
            | Change::GrantExpired { .. }
            | Change::Created { .. }
            | Change::Started { .. }
            | Change::StartFailed { .. }
            | Change::Stopped { .. }
            | Change::ResourcesDeleted { .. }
            | Change::Purged { .. }
            | Change::MeterOpened(_)
            | Change::Usage { .. }
            | Change::Metered { .. }
            | Change::Suspended { .. }
            | Change::Resumed { .. }
            | Change::DeletionAnnounced { .. }
            | Change::DeletionDue
            | Change::Deleted
            | Change::Closed { .. }
            | Change::TrialEnded
            | Change::RefillChanged { .. }
            | Change::CardRemoved { .. }
            | Change::RefillDue
            | Change::RefillBegun(_)
            | Change::RefillNeedsCustomer { .. }
            | Change::RefillFailed { .. }
            | Change::ComebackChosen(_)
            | Change::Frozen { .. }
            | Change::Unfrozen { .. }
            | Change::Corrected { .. } => Vec::new(),
        }
    }
}

/// What a payment was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreditKind {
    /// Bought by hand.
    TopUp,
    /// By the saved card, on its own.
    Refill {
        /// The attempt's number.
        attempt: u32,
        /// For the threshold or the end of a trial.
        purpose: RefillPurpose,
    },
    /// A commit plan, whose bonus is a grant in the same row.
    Commit,
}

/// How a delayed payment ended without money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingEnd {
    /// Stripe said it failed.
    Failed,
    /// It was cancelled.
    Canceled,
    /// Nothing was heard of it for too long. If it comes after all, it is credited.
    Expired,
}

/// Whether the chain had been told of something before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// It had.
    Yes,
    /// It had not: the news came out of order.
    No,
}

/// Started or restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartKind {
    /// For the first time, or after a stop.
    Started,
    /// After a deletion: with a new address.
    Restored {
        /// When the first of what is still deleted is gone for good.
        purge_due: Option<Timestamp>,
    },
}

/// Why resources were stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Somebody asked for it.
    Requested,
    /// The funds that may pay for them were used up, while others' were not.
    Credit,
}

/// What took money back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakeBack {
    /// A refund.
    Refund(RefundId),
    /// A dispute whose money moved.
    Dispute(DisputeId),
}

/// What was credited for a payment, and what Stripe received for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentFacts {
    /// Which payment.
    #[serde(rename = "p")]
    pub payment: PaymentId,
    /// The credit bought, in USD, before tax.
    #[serde(rename = "c")]
    pub credit: Usd,
    /// What Stripe received, in cents, tax included.
    #[serde(rename = "r")]
    pub received_cents: i64,
}

impl TakeBack {
    /// Stripe's id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            TakeBack::Refund(refund) => refund.as_str(),
            TakeBack::Dispute(dispute) => dispute.as_str(),
        }
    }
}

/// How a dispute ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeOutcome {
    /// For the operator: the account is no longer frozen by it.
    Won,
    /// For the customer: staff decides when the account is unfrozen.
    Lost,
}

/// How to go on after a declined refill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillDecline {
    /// Never again with this card: lost, stolen, fraud, revoked, Mastercard's advice 03 and 21.
    Never,
    /// Anything else: later again.
    Later,
    /// It was not the card's fault: Stripe failed, or the attempt was called off. It counts for no
    /// pause.
    NotCharged,
}

/// What was billed or given back for time, resource by resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BilledLines {
    /// All of them.
    Here(Vec<ResourceLine>),
    /// In chunks of their own, because they do not fit one item.
    Chunked(ChunkedLines),
}

impl BilledLines {
    /// No lines.
    #[must_use]
    pub fn none() -> BilledLines {
        BilledLines::Here(Vec::new())
    }
}

/// Lines that stand in immutable items of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkedLines {
    /// SHA-256 over all chunks in order: what the row commits to.
    pub digest: String,
    /// How many chunks.
    pub chunks: u32,
    /// How many lines.
    pub count: u32,
}

/// What one resource cost or got back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "LineForm", into = "LineForm")]
pub struct ResourceLine {
    /// Which resource.
    pub resource: ResourceId,
    /// At which rate an hour; for a change between running and off, the difference.
    pub rate: Rate,
    /// For how many seconds.
    pub seconds: i64,
    /// Below zero: paid. Above: given back. Rounded once, half to even.
    pub amount: Usd,
    /// Which fund paid or got what.
    pub shares: Vec<FundShare>,
}

/// What one meter cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterLine {
    /// The project.
    #[serde(rename = "p")]
    pub project: ProjectId,
    /// The SKU.
    #[serde(rename = "s")]
    pub sku: Sku,
    /// The reading up to which it had been billed.
    #[serde(rename = "f")]
    pub from: Quantity,
    /// The reading up to which it is billed now.
    #[serde(rename = "t")]
    pub to: Quantity,
    /// At which rate a unit.
    #[serde(rename = "r")]
    pub rate: Rate,
    /// Below zero, or zero.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// Which fund paid what.
    #[serde(rename = "h")]
    pub shares: Vec<FundShare>,
}

/// A line is stored as `[resource, rate, seconds, amount, fund]`, or with `[[fund, amount], …]` in
/// the last place if more than one fund took part.
#[derive(Serialize, Deserialize)]
struct LineForm(ResourceId, Rate, i64, Usd, SharesForm);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SharesForm {
    One(Fund),
    Several(Vec<FundShare>),
}

impl From<LineForm> for ResourceLine {
    fn from(LineForm(resource, rate, seconds, amount, shares): LineForm) -> ResourceLine {
        let shares = match shares {
            SharesForm::One(fund) => vec![FundShare { fund, amount }],
            SharesForm::Several(shares) => shares,
        };
        ResourceLine { resource, rate, seconds, amount, shares }
    }
}

impl From<ResourceLine> for LineForm {
    fn from(line: ResourceLine) -> LineForm {
        let shares = match line.shares.as_slice() {
            [share] if share.amount == line.amount => SharesForm::One(share.fund),
            _ => SharesForm::Several(line.shares),
        };
        LineForm(line.resource, line.rate, line.seconds, line.amount, shares)
    }
}

/// A share is stored as `[fund, amount]`.
impl Serialize for FundShare {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.fund, self.amount).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FundShare {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<FundShare, D::Error> {
        let (fund, amount) = Deserialize::deserialize(deserializer)?;
        Ok(FundShare { fund, amount })
    }
}
