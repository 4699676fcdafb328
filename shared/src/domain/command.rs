//! What somebody wants of an account, translated at the edge and resolved against the list of
//! resources and the price list ([`request`](crate::domain::resolve)), so that
//! [`decide`](crate::domain::decide::decide) needs the state alone.

use std::collections::BTreeSet;

use crate::domain::account::{BilledTotals, Grant, PendingPayment, RestartPolicy, TaxMode};
use crate::domain::event::{
    CreditKind, DisputeOutcome, PaymentFacts, PendingEnd, RefillDecline, StartKind, TakeBack,
};
use crate::domain::funds::FundShare;
use crate::domain::ids::{CardFingerprint, CardId, CustomerId, DisputeId, PaymentId, Sku};
use crate::domain::money::{Rate, Usd};
use crate::domain::resources::{BilledMode, Meter, Resource, ResourceRef, ResourceStatus};
use crate::domain::timestamp::Timestamp;

/// What somebody wants of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Open it: the first row.
    Open,
    /// Credit a payment that Stripe confirmed. Never refused for the top-up limits or the account's
    /// standing.
    Credit {
        /// Which, how much credit, and what Stripe received.
        payment: PaymentFacts,
        /// What it was for.
        kind: CreditKind,
        /// A commit plan's bonus.
        bonus: Option<BonusGrant>,
    },
    /// Remember that a delayed payment was promised.
    AwaitPayment(PendingPayment),
    /// Remember that it will not come.
    EndPayment {
        payment: PaymentId,
        how: PendingEnd,
    },
    /// Give credit that was not paid for.
    Grant {
        /// How much, how long, and for what.
        bonus: BonusGrant,
        reason: String,
    },
    /// Add resources without starting them.
    Create {
        /// As their items will be.
        resources: Vec<Resource>,
    },
    /// Start or restore resources.
    Start {
        starts: Vec<ResourceStart>,
        how: StartKind,
    },
    /// The platform could not carry out a start.
    FailStart(StartFailure),
    Stop {
        stops: Vec<ResourceStop>,
    },
    /// Delete resources; they can be restored for a while.
    Delete {
        stops: Vec<ResourceStop>,
    },
    OpenMeter(Meter),
    /// Switch everything off, by staff.
    Suspend {
        /// All that is billed.
        stops: Vec<ResourceStop>,
        reason: String,
    },
    /// End a suspension by staff.
    Resume {
        /// What is billed although it is off, from now on.
        billed: BilledTotals,
        /// Whether resources restart.
        more: bool,
    },
    /// Stripe was asked and knows of no money on its way: delete everything.
    ConfirmDeletion {
        /// The row after which Stripe was asked.
        head: u64,
    },
    Close {
        reason: String,
    },
    StartTrial {
        /// The card that vouches for it.
        card: TrialCard,
        /// SKUs its credit does not pay for.
        excludes: BTreeSet<Sku>,
    },
    /// Set what is agreed about refills: the whole of it.
    ChangeRefill(RefillSettings),
    /// A saved card is gone at Stripe.
    RemoveCard {
        card: CardId,
    },
    /// Begin the refill that is wanted.
    BeginRefill {
        customer: CustomerId,
        /// Whether Stripe computes tax on it.
        tax: TaxMode,
    },
    /// The customer has to confirm the refill's payment.
    AskCustomer {
        attempt: u32,
        /// Stripe's page where it is confirmed, if Stripe named one.
        url: Option<String>,
    },
    /// The refill failed and its invoice is void.
    FailRefill {
        attempt: u32,
        /// How to go on.
        decline: RefillDecline,
        code: String,
    },
    /// Choose whether resources restart after a suspension.
    ChooseRestartPolicy(RestartPolicy),
    /// Money of a payment went back: by refund or dispute.
    TakeBack {
        by: TakeBack,
        /// Of which payment.
        of: PaymentFacts,
        /// Cents of the payment, tax included.
        cents: i64,
    },
    /// A refund failed, or a dispute was won.
    GiveBack {
        /// What is undone.
        by: TakeBack,
        /// Of which payment.
        of: PaymentFacts,
        /// Cents of the payment, tax included.
        cents: i64,
        /// What had been taken for it; `None` if nothing yet.
        taken: Option<TakenCredit>,
    },
    /// A customer disputes a payment.
    OpenDispute {
        dispute: DisputeId,
        payment: PaymentId,
    },
    /// The bank decided.
    CloseDispute {
        dispute: DisputeId,
        outcome: DisputeOutcome,
    },
    /// Freeze the account, by staff.
    Freeze {
        reason: String,
    },
    /// Unfreeze it, whoever froze it.
    Unfreeze {
        reason: String,
    },
    /// Correct paid credit, by staff.
    Correct {
        /// Above or below zero, in USD.
        amount: Usd,
        reason: String,
    },
}

impl Command {
    /// Whether the account must be settled before this is decided. Money that comes in is recorded
    /// first: it may pay for time that is due and would otherwise end in a suspension. And what
    /// Stripe tells must be recorded even if settling is impossible at the moment.
    #[must_use]
    pub fn settles_first(&self) -> bool {
        match self {
            Command::Open
            | Command::Credit { .. }
            | Command::AwaitPayment(_)
            | Command::EndPayment { .. }
            | Command::GiveBack { .. } => false,
            Command::Grant { .. }
            | Command::Create { .. }
            | Command::Start { .. }
            | Command::FailStart(_)
            | Command::Stop { .. }
            | Command::Delete { .. }
            | Command::OpenMeter(_)
            | Command::Suspend { .. }
            | Command::Resume { .. }
            | Command::ConfirmDeletion { .. }
            | Command::Close { .. }
            | Command::StartTrial { .. }
            | Command::ChangeRefill(_)
            | Command::RemoveCard { .. }
            | Command::BeginRefill { .. }
            | Command::AskCustomer { .. }
            | Command::FailRefill { .. }
            | Command::ChooseRestartPolicy(_)
            | Command::TakeBack { .. }
            | Command::OpenDispute { .. }
            | Command::CloseDispute { .. }
            | Command::Freeze { .. }
            | Command::Unfreeze { .. }
            | Command::Correct { .. } => true,
        }
    }
}

/// Credit that is not paid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BonusGrant {
    /// How much, in USD.
    pub amount: Usd,
    /// From when on it pays nothing any more.
    pub expires_at: Timestamp,
    /// SKUs it does not pay for.
    pub excludes: BTreeSet<Sku>,
}

/// One resource to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceStart {
    /// As its item will be.
    pub resource: Resource,
    /// Its rate at this hour, in USD per hour.
    pub rate: Rate,
    /// How it has been billed until now, if it was: off, at this rate, last changed by this row.
    pub idle: Option<(Rate, u64)>,
}

/// One resource to be stopped or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceStop {
    pub resource: ResourceRef,
    /// How it has been billed until now; `None`: not at all.
    pub billed: Option<(BilledMode, Rate)>,
    /// What it costs from now on, in USD per hour; `None` for most: nothing.
    pub then: Option<Rate>,
}

/// A start the platform could not carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    pub resource: ResourceRef,
    /// When it was started.
    pub started_at: Timestamp,
    /// Its rate as charged now, in USD per hour.
    pub rate: Rate,
    /// What it was before the start, and is again.
    pub status: ResourceStatus,
    /// What it costs from now on, in USD per hour; `None` for most: nothing.
    pub then: Option<Rate>,
    /// Everything it was charged since the start.
    pub charges: Vec<PastCharge>,
    /// The grants that paid, as they were: one that was used up meanwhile comes back.
    pub grants: Vec<Grant>,
}

/// What a resource was charged in one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastCharge {
    /// Through when the row paid.
    pub through: Timestamp,
    /// At which rate, in USD per hour: for a start from being off, what running costs more than
    /// that.
    pub rate: Rate,
    /// Which fund paid what (below zero).
    pub shares: Vec<FundShare>,
}

/// What was taken for a refund or a dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenCredit {
    /// From paid credit, in USD, above zero.
    pub credit: Usd,
    /// From grants that had come with the payment: each as it was, with what was taken as
    /// `remaining`.
    pub grants: Vec<Grant>,
}

/// What a customer agrees to about refills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefillSettings {
    /// Threshold and amount in USD, as they were shown; `None`: off.
    pub terms: Option<(Usd, Usd)>,
    /// The card to charge; `None`: none saved yet.
    pub card: Option<CardId>,
    /// The most to charge in one UTC calendar month, in USD before tax.
    pub monthly_cap: Option<Usd>,
}

/// The card that vouches for a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialCard {
    /// The same for the same card in other hands.
    pub fingerprint: CardFingerprint,
    /// What Stripe says of its funding.
    pub funding: CardFunding,
    /// Whether it came out of a wallet, which hides it.
    pub wallet: CardWallet,
}

/// The field `card.funding` of a payment method at Stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardFunding {
    Credit,
    Debit,
    /// Prepaid: worth little as a voucher.
    Prepaid,
    /// Stripe does not know.
    Unknown,
}

/// Whether a card came out of a wallet (Apple Pay, Google Pay, Link).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardWallet {
    /// The card number was typed in.
    None,
    /// Out of a wallet.
    Some,
}
