//! A request to change an account. The edge translates it, and [`resolve`](crate::domain::resolve)
//! looks up resources and prices, so that [`decide`](crate::domain::decide::decide) needs the state
//! alone.

use std::collections::BTreeSet;

use crate::domain::account::{
    BilledTotals, CardChoice, DisputePhase, Grant, PendingPayment, RestartPolicy, TaxMode,
};
use crate::domain::event::{
    CreditKind, DisputeOutcome, PaymentFacts, PendingEnd, RefillDecline, StaffRefund, StartKind,
    TakeBack,
};
use crate::domain::funds::FundShare;
use crate::domain::holds::HoldId;
use crate::domain::ids::{
    CardFingerprint, CardId, CustomerId, DisputeId, FraudWarningId, PaymentId, PlanId, ProjectId,
    RefundId, Sku,
};
use crate::domain::money::{Quantity, Rate, Usd};
use crate::domain::payment_records::{RecordedTotals, TakenTotals};
use crate::domain::profile::NonEmptyText;
use crate::domain::resources::{BilledMode, Meter, Resource, ResourceRef, ResourceStatus};
use crate::domain::timestamp::{HOUR, Timestamp};
use crate::domain::usage::UsageLabels;

/// A request to change an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Opens the account with its first row.
    Open,
    /// Credits a payment that Stripe confirmed. Top-up limits and the account's standing never
    /// block it.
    Credit {
        /// The payment, its credit, and the amount that Stripe received.
        payment: PaymentFacts,
        /// The purpose of the payment.
        kind: CreditKind,
        /// The commit plan that was bought.
        plan: Option<PlanId>,
        /// The bonus of a commit plan.
        bonus: Option<BonusGrant>,
        /// The invoice that was paid, and its further payments.
        also: Vec<PaymentId>,
    },
    /// Records a delayed payment.
    AwaitPayment(PendingPayment),
    /// Records that a delayed payment will not arrive.
    EndPayment {
        payment: PaymentId,
        how: PendingEnd,
    },
    /// Gives free credit.
    Grant {
        /// Amount, expiry and excluded SKUs.
        bonus: BonusGrant,
        reason: String,
    },
    /// Takes back what is left of a bonus.
    WithdrawGrant {
        number: u32,
        reason: String,
    },
    /// Adds resources without starting them.
    Create {
        /// The new items.
        resources: Vec<Resource>,
    },
    /// Starts or restores resources.
    Start {
        starts: Vec<ResourceStart>,
        how: StartKind,
        /// The total rate of everything that is billed by time before the start, by SKU.
        running: Vec<(Sku, Rate)>,
    },
    /// Reverses a start that failed on the platform.
    FailStart(StartFailure),
    Stop {
        stops: Vec<ResourceStop>,
    },
    /// Deletes resources. They can be restored for a while.
    Delete {
        stops: Vec<ResourceStop>,
    },
    OpenMeter(Meter),
    /// Sets credit aside for usage to come.
    Hold {
        project: ProjectId,
        /// What it may pay for.
        skus: BTreeSet<Sku>,
        /// In USD, above zero.
        amount: Usd,
        /// For how long.
        seconds: i64,
    },
    ExtendHold {
        hold: HoldId,
        /// What it may pay for.
        skus: BTreeSet<Sku>,
        /// For how long from now on.
        seconds: i64,
    },
    /// Bills what was used under a hold.
    CaptureHold {
        hold: HoldId,
        usage: Vec<CapturedUsage>,
        /// Whether the rest of the hold is released.
        is_last: bool,
    },
    /// Bills what was used under a hold that was released or has expired.
    CaptureLate {
        hold: HoldId,
        usage: Vec<CapturedUsage>,
        /// Whether no row is known that ended the hold.
        ends: bool,
    },
    ReleaseHold {
        hold: HoldId,
    },
    /// Gives a project a budget, or another one.
    SetBudget {
        terms: BudgetTerms,
        /// `None` if the project has a budget already.
        so_far: Option<MonthSoFar>,
    },
    RemoveBudget {
        project: ProjectId,
    },
    /// Stops everything, by staff.
    Suspend {
        /// All billed resources.
        stops: Vec<ResourceStop>,
        reason: String,
    },
    /// Ends a suspension by staff.
    Resume {
        /// The totals that are billed from now on, although nothing runs.
        billed: BilledTotals,
        /// Whether resources restart in further rows.
        more: bool,
    },
    /// Deletes everything, after Stripe reported no pending payment.
    ConfirmDeletion {
        /// The last row at the time Stripe was asked.
        head: u64,
    },
    Close {
        reason: String,
    },
    /// Closes the account, by its customer.
    CloseByCustomer {
        /// The credit that the customer was told can no longer be used, in USD.
        shown: Usd,
        /// How many resources exist that are not deleted.
        resources: usize,
    },
    /// Opens a closed account again, by staff.
    Reopen {
        reason: String,
        /// The totals that are billed from now on, although nothing runs.
        billed: BilledTotals,
    },
    /// Records that the personal data of a closed account's customer is erased, by staff.
    Erase {
        reason: String,
    },
    StartTrial {
        /// The card that secures the trial.
        card: TrialCard,
        /// The refill terms that the customer accepts with it. `None`: refills stay as they are.
        refill: Option<RefillSettings>,
    },
    /// Replaces all refill settings.
    ChangeRefill(RefillSettings),
    /// Charges another saved card from now on, because the saved cards changed at Stripe.
    FollowCards {
        card: CardId,
        card_choice: CardChoice,
        /// The first instant after the card's last month (UTC).
        card_ends_at: Option<Timestamp>,
    },
    /// Begins a refill at the customer's request, if the balance is below the threshold.
    RefillNow,
    /// Records that a saved card was removed at Stripe.
    RemoveCard {
        card: CardId,
    },
    /// Starts the wanted refill.
    BeginRefill {
        customer: CustomerId,
        /// Whether Stripe computes tax.
        tax: TaxMode,
    },
    /// Records that the customer must confirm the payment of a refill.
    AskCustomer {
        attempt: u32,
        /// The confirmation page at Stripe, if there is one.
        url: Option<String>,
    },
    /// Records a failed refill. Its invoice is void.
    FailRefill {
        attempt: u32,
        /// How refills continue.
        decline: RefillDecline,
        code: String,
        /// The reason of staff, if they ended the attempt.
        reason: Option<String>,
    },
    /// Sets whether resources restart after a suspension.
    ChooseRestartPolicy(RestartPolicy),
    /// Takes credit back for a refund or dispute.
    TakeBack {
        by: TakeBack,
        /// The payment that is refunded or disputed.
        of: PaymentFacts,
        /// The amount in cents, including tax.
        cents: i64,
        /// What is recorded of the payment.
        before: RecordedTotals,
    },
    /// Returns credit after a failed refund or a won dispute.
    GiveBack {
        /// The refund or dispute that is reversed.
        by: TakeBack,
        /// The payment that was refunded or disputed.
        of: PaymentFacts,
        /// The amount in cents, including tax.
        cents: i64,
        /// The credit taken earlier. `None` if the refund or dispute was not recorded.
        taken: Option<TakenCredit>,
        /// What is recorded of the payment.
        before: RecordedTotals,
    },
    /// Takes the credit of a refund by staff. Stripe is asked after the row.
    BeginRefund {
        /// The payment that is refunded.
        of: PaymentFacts,
        terms: RefundTerms,
        /// What is recorded of the payment.
        before: RecordedTotals,
    },
    /// Records that Stripe accepted a refund by staff.
    ConfirmRefund {
        /// The row that took the credit.
        number: u64,
        refund: RefundId,
        /// The refunded payment.
        payment: PaymentId,
    },
    /// Returns the credit of a refund by staff that Stripe refused.
    UndoRefund {
        /// As the row has it that took the credit, with the reason why Stripe refused it.
        refund: StaffRefund,
        /// The payment that was to be refunded.
        of: PaymentFacts,
        /// What the row took.
        taken: TakenCredit,
        /// What is recorded of the payment.
        before: RecordedTotals,
    },
    /// Records a new dispute and freezes the account.
    OpenDispute {
        dispute: DisputeId,
        payment: PaymentId,
    },
    /// Records the bank's decision on a dispute.
    CloseDispute {
        dispute: DisputeId,
        outcome: DisputeOutcome,
    },
    /// Records the status of a dispute, as often as it changes.
    ChangeDispute {
        /// The last row at the time Stripe was asked.
        head: u64,
        dispute: DisputeId,
        payment: PaymentId,
        phase: DisputePhase,
        /// What was recorded before.
        before: TakenForDispute,
    },
    /// Moves the credit taken for a dispute to what Stripe moved.
    MoveDispute {
        /// The last row at the time Stripe was asked.
        head: u64,
        dispute: DisputeId,
        /// The disputed payment.
        of: PaymentFacts,
        /// The target: the cents of the payment that Stripe withdrew and did not reinstate.
        cents: i64,
        /// What was recorded before.
        before: TakenForDispute,
    },
    /// Records an early fraud warning, which pauses refills.
    WarnOfFraud {
        warning: FraudWarningId,
        payment: PaymentId,
    },
    /// Freezes the account, by staff.
    Freeze {
        reason: String,
    },
    /// Unfreezes the account, whether staff or a dispute froze it.
    Unfreeze {
        reason: String,
    },
    /// Corrects paid credit, by staff.
    Correct {
        /// Positive or negative, in USD.
        amount: Usd,
        reason: String,
    },
    /// Takes over what a customer had elsewhere, by staff. Once an account.
    Import(OpeningBalance),
}

impl Command {
    /// Whether the account must be settled before the command is decided.
    ///
    /// Incoming money is recorded first. It may pay for time that is due and prevent a suspension.
    /// Reports from Stripe must also be recorded when settling is not possible at the moment.
    #[must_use]
    pub fn settles_first(&self) -> bool {
        match self {
            Command::Open
            | Command::Credit { .. }
            | Command::AwaitPayment(_)
            | Command::EndPayment { .. }
            | Command::GiveBack { .. }
            | Command::ConfirmRefund { .. }
            | Command::UndoRefund { .. } => false,
            Command::MoveDispute { cents, before, .. } => *cents > before.dispute_cents,
            Command::Grant { .. }
            | Command::WithdrawGrant { .. }
            | Command::Create { .. }
            | Command::Start { .. }
            | Command::FailStart(_)
            | Command::Stop { .. }
            | Command::Delete { .. }
            | Command::OpenMeter(_)
            | Command::Hold { .. }
            | Command::ExtendHold { .. }
            | Command::CaptureHold { .. }
            | Command::CaptureLate { .. }
            | Command::ReleaseHold { .. }
            | Command::SetBudget { .. }
            | Command::RemoveBudget { .. }
            | Command::Suspend { .. }
            | Command::Resume { .. }
            | Command::ConfirmDeletion { .. }
            | Command::Close { .. }
            | Command::CloseByCustomer { .. }
            | Command::Reopen { .. }
            | Command::Erase { .. }
            | Command::StartTrial { .. }
            | Command::ChangeRefill(_)
            | Command::FollowCards { .. }
            | Command::RefillNow
            | Command::RemoveCard { .. }
            | Command::BeginRefill { .. }
            | Command::AskCustomer { .. }
            | Command::FailRefill { .. }
            | Command::ChooseRestartPolicy(_)
            | Command::TakeBack { .. }
            | Command::BeginRefund { .. }
            | Command::OpenDispute { .. }
            | Command::CloseDispute { .. }
            | Command::ChangeDispute { .. }
            | Command::WarnOfFraud { .. }
            | Command::Freeze { .. }
            | Command::Unfreeze { .. }
            | Command::Correct { .. }
            | Command::Import(_) => true,
        }
    }
}

/// What a project may cost in a calendar month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetTerms {
    pub project: ProjectId,
    /// In USD, above zero.
    pub amount: Usd,
    /// Whether what runs in the project is stopped when the budget is used up.
    pub stops: bool,
}

/// What a project's month has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthSoFar {
    /// The newest row that was counted.
    pub head: u64,
    /// The start of the month (UTC).
    pub month: Timestamp,
    /// In USD.
    pub spent: Usd,
}

/// Free credit to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BonusGrant {
    pub amount: Usd,
    /// The grant pays nothing from this instant on.
    pub expires_at: Timestamp,
    /// SKUs that the grant does not pay for.
    pub excludes: BTreeSet<Sku>,
}

impl BonusGrant {
    /// When its grant ends: at a full hour, so that each hour is paid by the same funds.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.expires_at.plus(HOUR - 1).hour().start()
    }
}

/// What a customer had before the account was moved to Tollgate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningBalance {
    /// Paid credit in USD, zero or more.
    pub credit: Usd,
    /// Free credit.
    pub bonus: Option<BonusGrant>,
    /// Where the history of the balance is found. The customer reads it.
    pub reference: NonEmptyText,
}

/// What was used under a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedUsage {
    pub project: ProjectId,
    pub sku: Sku,
    pub labels: UsageLabels,
    pub quantity: Quantity,
    /// The price, in USD per unit.
    pub rate: Rate,
}

/// A resource to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceStart {
    /// The item after the start.
    pub resource: Resource,
    /// The rate in this hour, in USD per hour.
    pub rate: Rate,
    /// For a stopped resource that is billed: its rate and the row that last changed it.
    pub idle: Option<(Rate, u64)>,
}

/// A resource to stop or delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceStop {
    pub resource: ResourceRef,
    /// How it is billed until now. `None` if it is not billed.
    pub billed: Option<(BilledMode, Rate)>,
    /// The rate after the stop, in USD per hour. `None` if it costs nothing.
    pub then: Option<Rate>,
    /// The part of the charge for kept data that ends when the resource is deleted during a
    /// suspension, in USD per hour.
    pub kept: Rate,
}

/// A start that failed on the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    pub resource: ResourceRef,
    /// When it was started.
    pub started_at: Timestamp,
    /// The charged rate, in USD per hour.
    pub rate: Rate,
    /// The status before the start, which applies again.
    pub status: ResourceStatus,
    /// The rate from now on, in USD per hour. `None` if it costs nothing.
    pub then: Option<Rate>,
    /// All charges since the start.
    pub charges: Vec<PastCharge>,
    /// The grants that paid, as they were. A grant that was spent since then is added again.
    pub grants: Vec<Grant>,
    /// Set if the resource no longer runs.
    pub ended: Option<EndedStart>,
}

/// A failed start whose resource was stopped, suspended or deleted before the failure was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedStart {
    /// When it ended.
    pub at: Timestamp,
    /// The rate at which kept data is billed now, in USD per hour.
    pub idle: Option<Rate>,
    /// The part of the charge for kept data during a suspension that ends with it, in USD per hour.
    pub kept: Rate,
    /// Since when that part is owed. `None` outside of such a suspension.
    pub kept_since: Option<Timestamp>,
    /// What its time in the respite was owed, in USD.
    pub respite: Usd,
}

/// The charge of one row for a resource, or the amount that a row gave back of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastCharge {
    /// The beginning of the time that the row paid for.
    pub from: Timestamp,
    /// The end of the time that the row paid for.
    pub through: Timestamp,
    /// The charged rate, in USD per hour. After a billed stop it is the difference to the rate
    /// while stopped.
    pub rate: Rate,
    /// The funds that paid (amounts below zero), or got something back (above zero).
    pub shares: Vec<FundShare>,
    pub kind: PastChargeKind,
}

/// Whether something was paid or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastChargeKind {
    Paid,
    /// A stop gave it back. It goes on to be billed as stopped.
    GivenBackByStop,
    /// A deletion or suspension gave it back, and ended all billing.
    GivenBackAtEnd {
        /// The time that was not used.
        unused_seconds: i64,
    },
}

/// How staff refund a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundTerms {
    /// The payment at Stripe that the money goes back to, `pi_…`.
    pub payment: PaymentId,
    /// The credit that goes back, in USD, before tax. `None`: all that is left of the payment.
    pub amount: Option<Usd>,
    pub reason: String,
    /// Whether credit that was already spent is refunded, too.
    pub may_leave_debt: bool,
    /// How much of the payment's credit may be taken back in all, in USD. `None`: all of it.
    pub payment_max: Option<Usd>,
}

/// Credit taken for a refund or dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenCredit {
    /// The cents of the payment, including tax.
    pub cents: i64,
    /// Taken from paid credit, in USD, above zero.
    pub credit: Usd,
    /// Grants that came with the payment. `remaining` is the amount taken.
    pub grants: Vec<Grant>,
}

/// What is recorded of a dispute and its payment. The items of the payment have it. From formats
/// before 5 the state has it, and from formats before 3 only the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenForDispute {
    /// The cents of the payment that the dispute holds, including tax.
    pub dispute_cents: i64,
    /// Grants that came with the payment. `remaining` is the amount that the dispute took.
    pub grants: Vec<Grant>,
    /// The total refunded or disputed of the payment, in cents, including tax.
    pub payment_cents: i64,
    /// The credit taken of the payment, before tax, in USD.
    pub payment_credit: Usd,
    /// The recorded status. `None` if there is none.
    pub phase: Option<DisputePhase>,
    /// Whether items hold it.
    pub in_items: bool,
}

impl TakenForDispute {
    /// What is recorded of the disputed payment.
    #[must_use]
    pub fn payment(&self) -> RecordedTotals {
        let (cents, credit) = (self.payment_cents, self.payment_credit);
        RecordedTotals { taken: Some(TakenTotals { cents, credit }), in_item: self.in_items }
    }
}

/// Refill settings that a customer accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefillSettings {
    /// `None` turns refills off.
    pub terms: Option<RefillTerms>,
    /// The sentence in which the customer read the terms. `None` if it is not known.
    pub words: Option<String>,
    /// The card to charge. `None` if no card is saved yet.
    pub card: Option<CardId>,
    pub card_choice: CardChoice,
    /// The first instant after the card's last month (UTC). `None` if it is not known.
    pub card_ends_at: Option<Timestamp>,
    /// The maximum to charge per UTC calendar month, in USD before tax.
    pub monthly_cap: Option<Usd>,
    /// The maximum of one charge, in USD before tax. `None`: the amount, or the target.
    pub max_charge: Option<Usd>,
}

/// When to refill, and by how much, as shown to the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefillTerms {
    /// A balance below this amount wants a refill, in USD.
    pub threshold: Usd,
    pub charge: RefillCharge,
}

/// How much a refill buys, in USD, before tax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefillCharge {
    /// The smallest multiple of the amount that brings the balance to the threshold.
    Multiple { amount: Usd },
    /// The credit that brings the balance to the target.
    ToTarget { target: Usd },
}

impl RefillTerms {
    /// Refills by multiples of an amount.
    #[must_use]
    pub fn multiple(threshold: Usd, amount: Usd) -> RefillTerms {
        RefillTerms { threshold, charge: RefillCharge::Multiple { amount } }
    }
}

/// The card that secures a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialCard {
    /// The same number for the same card, whichever customer saved it.
    pub fingerprint: CardFingerprint,
    /// The funding type that Stripe reports.
    pub funding: CardFunding,
    /// Whether the card comes from a wallet, which hides its number.
    pub wallet: CardWallet,
}

/// `card.funding` of a PaymentMethod at Stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardFunding {
    Credit,
    Debit,
    /// Prepaid cards give little security.
    Prepaid,
    /// Stripe does not know the funding.
    Unknown,
}

/// Whether a card comes from a wallet (Apple Pay, Google Pay, Link).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardWallet {
    /// The card number was typed in.
    None,
    /// The card comes from a wallet.
    Some,
}
