//! Why a command is refused: one flat enum, in order of precedence (the first that applies is the
//! answer).
//!
//! Only the domain's own refusals are here. That DynamoDB throttles or Stripe is down is a
//! [`Fault`](crate::store::StoreError) and never shares a type with "balance too low".

use crate::domain::ids::{CardId, Kind, ProjectId, ResourceId, Sku};
use crate::domain::money::Usd;
use crate::domain::timestamp::Timestamp;

/// Why a command is refused. The caller did not get what it wanted, and nothing was written.
///
/// The order of the variants is the order of precedence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named by the message")]
pub enum Refusal {
    // The account.
    /// A command for an account that was never opened.
    #[error("the account does not exist yet")]
    AccountNotOpen,
    /// The account exists already.
    #[error("the account is already open")]
    AccountAlreadyOpen,
    /// Its trigger's time lies before the last row's.
    #[error("the time {now} is earlier than the account's last row at {last}")]
    TimeBeforeLastRow { now: Timestamp, last: Timestamp },
    /// The idempotency key was used for another request.
    #[error("this idempotency key was already used for a different request. Use a new key")]
    KeyReused,
    /// Running resources are unpaid up to now: the caller must settle first.
    #[error("usage is settled only through {paid_through}. Try again")]
    NotSettled { paid_through: Timestamp },

    // What was named.
    /// An amount of zero or less.
    #[error("the amount must be greater than zero")]
    AmountNotPositive,
    /// An amount that is not in whole cents.
    #[error("the amount must be in whole cents")]
    FractionOfCent,
    /// Below the least that is allowed.
    #[error("the amount must be at least ${min}")]
    AmountTooSmall { min: Usd },
    /// Above the most that is allowed.
    #[error("the amount must be at most ${max}")]
    AmountTooLarge { max: Usd },
    /// Stripe received less than the credit that is to be given for it.
    #[error("credit of ${credit} exceeds the {received_cents} cents received")]
    ReceivedTooLittle { credit: Usd, received_cents: i64 },
    /// An expiry that is not in the future.
    #[error("the expiry must be later than {now}")]
    ExpiryPast { now: Timestamp },
    /// No reason given where one is needed.
    #[error("a reason of 1 to {bytes_max} bytes is required")]
    ReasonNeeded { bytes_max: usize },
    /// Nothing, or more than fits one row, was named.
    #[error("a request must name 1 to {max} resources, not {count}")]
    TooManyAtOnce { count: usize, max: usize },
    /// The same resource twice in one command.
    #[error("resource {resource} is listed twice")]
    NamedTwice { resource: ResourceId },
    /// The project does not exist, or is another account's: nobody learns which.
    #[error("project {project} not found")]
    UnknownProject { project: ProjectId },
    /// The SKU is not on the price list.
    #[error("SKU {sku} has no price at this time")]
    UnknownSku { sku: Sku },
    /// The SKU is sold by the other unit.
    #[error("SKU {sku} cannot be billed by {unit}")]
    WrongUnit { sku: Sku, unit: &'static str },
    /// A name that cannot be shown.
    #[error("a name must have 1 to {bytes_max} bytes")]
    NameNotUsable { bytes_max: usize },
    /// The id is taken.
    #[error("resource {resource} already exists")]
    ResourceExists { resource: ResourceId },
    /// No such resource, or it is gone for good.
    #[error("resource {resource} not found")]
    UnknownResource { resource: ResourceId },
    #[error("project {project} has no meter for {sku}")]
    UnknownMeter { project: ProjectId, sku: Sku },
    /// The meter exists.
    #[error("project {project} already has a meter for {sku}")]
    MeterExists { project: ProjectId, sku: Sku },
    /// A price that begins at another time than a full hour.
    #[error("a price must start on the hour")]
    PriceNotAtFullHour,
    /// A price that begins too soon.
    #[error("a price cannot start before {earliest}")]
    PriceTooSoon { earliest: Timestamp },
    /// A price for a time that has one.
    #[error("SKU {sku} already has a price starting at {valid_from}, and prices cannot be changed")]
    PriceExists { sku: Sku, valid_from: Timestamp },
    /// A rate for stopped resources above the one for running ones.
    #[error("the idle rate must not exceed the running rate")]
    IdleRateTooHigh,

    // The resource's condition.
    #[error("resource {resource} is already running")]
    AlreadyRunning { resource: ResourceId },
    /// It does not run.
    #[error("resource {resource} is not running")]
    NotRunning { resource: ResourceId },
    /// It was deleted; it can be restored, not started.
    #[error("resource {resource} is deleted. Restore it first")]
    Deleted { resource: ResourceId },
    /// It was not deleted.
    #[error("resource {resource} is not deleted")]
    NotDeleted { resource: ResourceId },
    /// Its start is too long ago to have failed.
    #[error("resource {resource} started at {started_at}, too long ago to report a failed start")]
    StartTooLongAgo { resource: ResourceId, started_at: Timestamp },

    // The account's standing.
    /// The account was closed.
    #[error("the account is closed")]
    Closed,
    /// The account is frozen.
    #[error("the account is frozen")]
    Frozen,
    /// It is not frozen by staff.
    #[error("the account is not frozen by staff")]
    NotFrozen,
    /// Suspended or deleted for lack of credit.
    #[error("the account is suspended. If it ran out of credit, add credit to resume it")]
    Suspended,
    /// It is not suspended by staff.
    #[error("the account is not suspended by staff")]
    NotSuspended,
    /// Nothing is to be deleted, or a row came in between.
    #[error("the account is not due for deletion, or it changed in the meantime")]
    NotDeleting,
    /// Running resources are in the way.
    #[error("the account still has running resources ({count}). Stop them first")]
    StillRunning { count: u64 },
    /// A payment that may still arrive is in the way.
    #[error("a payment is pending")]
    PaymentPending,
    /// A refill decides within minutes whether the account is suspended; starts wait for it.
    #[error("an auto-refill is in progress. Try again at {until}")]
    RefillInProgress { until: Timestamp },

    // The trial.
    /// There was one, or a payment.
    #[error("trials are only for accounts that have never paid or had a trial")]
    TrialUsed,
    /// Prepaid and unknown funding, and wallets, cannot open a trial.
    #[error("this card cannot be used for a trial. Use a credit or debit card")]
    TrialCard,
    /// A limit of the trial.
    #[error(
        "a trial allows at most {max} running resources of kind {kind}. Add credit to run more"
    )]
    TrialLimit { kind: Kind, max: u32 },

    // The money.
    /// Too little eligible credit.
    #[error("this requires ${required} of credit, and ${available} is available")]
    CreditTooLow { required: Usd, available: Usd },

    // Refills.
    /// The issuer said never again.
    #[error("card {card} was permanently declined by its issuer. Use another card")]
    CardRefused { card: CardId },
    /// Another attempt is open.
    #[error("refill attempt {attempt} is open")]
    AttemptOpen { attempt: u32 },
    /// No attempt of that number is open.
    #[error("refill attempt {attempt} is not open")]
    AttemptNotOpen { attempt: u32 },
    /// The customer was asked to confirm this attempt's payment before.
    #[error("the customer was already asked to confirm refill attempt {attempt}")]
    CustomerAlreadyAsked { attempt: u32 },
    /// Nothing is to be refilled.
    #[error("no refill is due")]
    RefillNotWanted,
    /// Refills cannot be agreed to by halves.
    #[error("auto-refill is off. To turn it on, set enabled, threshold and amount")]
    RefillTermsNeeded,
    /// No refill depends on this card.
    #[error("card {card} is not used for auto-refill")]
    CardNotUsed { card: CardId },

    // The ledger.
    /// The balance would be beyond what a ledger row can hold.
    #[error("the balance would exceed one trillion dollars")]
    BalanceOverflow,
}

impl Refusal {
    /// Whether the same request may succeed later although nobody changes anything: the caller may
    /// simply try again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Refusal::NotSettled { .. }
            | Refusal::TimeBeforeLastRow { .. }
            | Refusal::RefillInProgress { .. }
            | Refusal::PaymentPending
            | Refusal::NotDeleting
            | Refusal::AttemptOpen { .. } => true,
            Refusal::AccountNotOpen
            | Refusal::AccountAlreadyOpen
            | Refusal::KeyReused
            | Refusal::AmountNotPositive
            | Refusal::FractionOfCent
            | Refusal::AmountTooSmall { .. }
            | Refusal::AmountTooLarge { .. }
            | Refusal::ReceivedTooLittle { .. }
            | Refusal::ExpiryPast { .. }
            | Refusal::ReasonNeeded { .. }
            | Refusal::TooManyAtOnce { .. }
            | Refusal::NamedTwice { .. }
            | Refusal::UnknownProject { .. }
            | Refusal::UnknownSku { .. }
            | Refusal::WrongUnit { .. }
            | Refusal::NameNotUsable { .. }
            | Refusal::ResourceExists { .. }
            | Refusal::UnknownResource { .. }
            | Refusal::UnknownMeter { .. }
            | Refusal::MeterExists { .. }
            | Refusal::PriceNotAtFullHour
            | Refusal::PriceTooSoon { .. }
            | Refusal::PriceExists { .. }
            | Refusal::IdleRateTooHigh
            | Refusal::AlreadyRunning { .. }
            | Refusal::NotRunning { .. }
            | Refusal::Deleted { .. }
            | Refusal::NotDeleted { .. }
            | Refusal::StartTooLongAgo { .. }
            | Refusal::Closed
            | Refusal::Frozen
            | Refusal::NotFrozen
            | Refusal::Suspended
            | Refusal::NotSuspended
            | Refusal::StillRunning { .. }
            | Refusal::TrialUsed
            | Refusal::TrialCard
            | Refusal::TrialLimit { .. }
            | Refusal::CreditTooLow { .. }
            | Refusal::CardRefused { .. }
            | Refusal::AttemptNotOpen { .. }
            | Refusal::CustomerAlreadyAsked { .. }
            | Refusal::RefillNotWanted
            | Refusal::RefillTermsNeeded
            | Refusal::CardNotUsed { .. }
            | Refusal::BalanceOverflow => false,
        }
    }
}
