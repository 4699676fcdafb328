//! Why a command is refused: one flat enum, in order of precedence.
//!
//! It holds business refusals only. Failures of DynamoDB or Stripe are
//! [`StoreError`](crate::store::StoreError)s and never share a type with "balance too low".

use crate::domain::holds::HoldId;
use crate::domain::ids::{CardId, Kind, PlanId, ProjectId, ResourceId, Sku};
use crate::domain::money::Usd;
use crate::domain::timestamp::{HOUR, MINUTE, Timestamp};

/// Why a command is refused. Nothing was written.
///
/// The order of the variants is the order of precedence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are named by the message")]
pub enum Refusal {
    // Account.
    /// The account was never opened.
    #[error("the account does not exist yet")]
    AccountNotOpen,
    /// The account exists already.
    #[error("the account is already open")]
    AccountAlreadyOpen,
    /// The trigger is older than the last row.
    #[error("the time {now} is earlier than the account's last row at {last}")]
    TimeBeforeLastRow { now: Timestamp, last: Timestamp },
    /// The idempotency key was used for another request.
    #[error("this idempotency key was already used for a different request. Use a new key")]
    KeyReused,
    /// Running resources are not paid up to now. The caller must settle first.
    #[error("usage is settled only through {paid_through}. Try again")]
    NotSettled { paid_through: Timestamp },

    // Input.
    /// An amount of zero or less.
    #[error("the amount must be greater than zero")]
    AmountNotPositive,
    /// A threshold of refills of zero or less.
    #[error("the threshold must be greater than zero")]
    ThresholdNotPositive,
    /// The amount is not in whole cents.
    #[error("the amount must be in whole cents")]
    FractionOfCent,
    /// Below the minimum.
    #[error("the amount must be at least ${min}")]
    AmountTooSmall { min: Usd },
    /// Above the maximum.
    #[error("the amount must be at most ${max}")]
    AmountTooLarge { max: Usd },
    /// Stripe received less than the credit.
    #[error("credit of ${credit} exceeds the {received_cents} cents received")]
    ReceivedTooLittle { credit: Usd, received_cents: i64 },
    /// The expiry is not in the future.
    #[error("the expiry must be later than {now}")]
    ExpiryPast { now: Timestamp },
    /// The excluded SKUs do not fit into one value of metadata at Stripe.
    #[error("the excluded SKUs must have at most {max} characters together")]
    TooManyExcluded { max: usize },
    #[error(
        "the ID of a plan must have letters, digits, '-', '_' and '.', of which the first is a letter \
         or digit"
    )]
    PlanNotPlain,
    #[error("an ID of a plan may be used once, and {plan} is used twice")]
    PlanNamedTwice { plan: PlanId },
    #[error("there may be at most {max} offers")]
    TooManyOffers { max: usize },
    #[error("available_until must be later than available_from")]
    OfferNeverAvailable,
    /// The reason is missing.
    #[error("a reason of 1 to {bytes_max} bytes is required")]
    ReasonNeeded { bytes_max: usize },
    /// No resources, or more than fit a row.
    #[error("a request must name 1 to {max} resources, not {count}")]
    TooManyAtOnce { count: usize, max: usize },
    /// The same resource twice in a command.
    #[error("resource {resource} is listed twice")]
    NamedTwice { resource: ResourceId },
    /// The project does not exist or belongs to another account. The answer does not say which.
    #[error("project {project} not found")]
    UnknownProject { project: ProjectId },
    /// The SKU is not on the price list.
    #[error("SKU {sku} has no price at this time")]
    UnknownSku { sku: Sku },
    /// The SKU has the other unit.
    #[error("SKU {sku} cannot be billed by {unit}")]
    WrongUnit { sku: Sku, unit: &'static str },
    /// The name is empty, too long, or has control characters.
    #[error("a name must have 1 to {bytes_max} bytes")]
    NameNotUsable { bytes_max: usize },
    /// The ID is taken.
    #[error("resource {resource} already exists")]
    ResourceExists { resource: ResourceId },
    /// The resource does not exist or was purged.
    #[error("resource {resource} not found")]
    UnknownResource { resource: ResourceId },
    /// The card is not one of the account's. The answer does not say whose it is.
    #[error("no such payment method")]
    UnknownCard,
    #[error("project {project} has no meter for {sku}")]
    UnknownMeter { project: ProjectId, sku: Sku },
    #[error("no such hold")]
    UnknownHold { hold: HoldId },
    /// There is no such grant, or it has ended.
    #[error("the account has no grant {number}, or it has ended")]
    UnknownGrant { number: u32 },
    /// It came with a trial or a payment.
    #[error(
        "grant {number} is not a bonus from staff. Trial credit ends with its trial. A payment's bonus goes back when the payment is refunded"
    )]
    GrantNotByStaff { number: u32 },
    #[error("project {project} has no budget")]
    UnknownBudget { project: ProjectId },
    /// A capture of a SKU that the hold was not made for.
    #[error("the hold {hold} is not for {sku}. Report that usage by POST /v1/usage")]
    SkuNotHeld { hold: HoldId, sku: Sku },
    /// The meter exists.
    #[error("project {project} already has a meter for {sku}")]
    MeterExists { project: ProjectId, sku: Sku },
    /// The price does not start at a full hour.
    #[error("a price must start on the hour")]
    PriceNotAtFullHour,
    /// The price starts too soon.
    #[error("a price cannot start before {earliest}")]
    PriceTooSoon { earliest: Timestamp },
    /// The SKU has a price for this time.
    #[error("SKU {sku} already has a price starting at {valid_from}, and prices cannot be changed")]
    PriceExists { sku: Sku, valid_from: Timestamp },
    /// The rate while stopped exceeds the rate while running.
    #[error("the idle rate must not exceed the running rate")]
    IdleRateTooHigh,

    // Condition of the resource.
    #[error("resource {resource} is already running")]
    AlreadyRunning { resource: ResourceId },
    /// The resource is not running.
    #[error("resource {resource} is not running")]
    NotRunning { resource: ResourceId },
    /// The resource was deleted. It can be restored, not started.
    #[error("resource {resource} is deleted. Restore it first")]
    Deleted { resource: ResourceId },
    /// The resource was not deleted.
    #[error("resource {resource} is not deleted")]
    NotDeleted { resource: ResourceId },
    /// No resource returns together with others.
    #[error("no resource was stopped by a suspension")]
    NothingStopped,
    /// No resource returns together with others.
    #[error("no resource was deleted with the account, or it is too late to restore it")]
    NothingDeleted,
    /// The hold was captured in full, released, has expired, or ended with its account.
    #[error("the hold {hold} has ended")]
    HoldEnded { hold: HoldId },
    /// The start is too old to be reported as failed.
    #[error("resource {resource} started at {started_at}, too long ago to report a failed start")]
    StartTooLongAgo { resource: ResourceId, started_at: Timestamp },

    // Standing of the account.
    /// The account was closed.
    #[error("the account is closed")]
    Closed,
    /// The account is frozen.
    #[error("the account is frozen")]
    Frozen,
    /// The account is not frozen by staff.
    #[error("the account is not frozen by staff")]
    NotFrozen,
    /// Suspended or deleted for lack of credit.
    #[error("the account is suspended. If it ran out of credit, add credit to resume it")]
    Suspended,
    /// Suspended by staff. Credit does not end it.
    #[error("this account was suspended by our staff. Contact support to resume it")]
    SuspendedByStaff,
    /// The account is not suspended by staff.
    #[error("the account is not suspended by staff")]
    NotSuspended,
    /// No deletion is due, or a row was appended in between.
    #[error("the account is not due for deletion, or it changed in the meantime")]
    NotDeleting,
    /// A row was appended since another system was asked.
    #[error("the account changed in the meantime. Try again")]
    AccountChanged,
    /// Running resources block the command.
    #[error("the account still has running resources ({count}). Stop them first")]
    StillRunning { count: u64 },
    /// A customer closes an account with resources that are not deleted.
    #[error("delete all resources first. {count} are left")]
    ResourcesLeft { count: usize },
    /// The balance is another one than the customer was shown.
    #[error("the balance has changed to ${balance}. Look again before you close the account")]
    BalanceChanged { balance: Usd },
    #[error("the account is not closed")]
    NotClosed,
    #[error("the personal data of the account's customer was erased. The account stays closed")]
    Erased,
    /// A pending payment blocks the command.
    #[error("a payment is pending")]
    PaymentPending,
    /// The monthly cap must allow one refill.
    #[error("the monthly cap must be at least the refill amount, ${amount}")]
    CapBelowAmount { amount: Usd },
    /// A refill must bring the balance above the threshold.
    #[error("the target must be above the threshold, ${threshold}")]
    TargetBelowThreshold { threshold: Usd },
    /// A refill decides within minutes whether the account is suspended. Starts wait for it.
    #[error("an auto-refill is in progress. Try again at {until}")]
    RefillInProgress { until: Timestamp },

    // Limits.
    /// Too many payment pages of the account are open or failed.
    #[error(
        "too many payment pages were opened without a payment. Try again in {}",
        wait(*wait_seconds)
    )]
    TooManyPages { wait_seconds: i64 },
    /// Too many payment pages of accounts that never paid.
    #[error("payment pages for new customers are limited at the moment. Try again in {}", wait(*wait_seconds))]
    TooManyNewPages { wait_seconds: i64 },
    /// The account's requests to routes that call Stripe.
    #[error("this account made too many requests. Try again in {}", wait(*wait_seconds))]
    TooManyRequests { wait_seconds: i64 },
    /// The account's resources, including deleted ones that can be restored.
    #[error(
        "this account has reached its limit of {max} resources. Deleted resources count until they \
         can no longer be restored. Contact support for a higher limit"
    )]
    ResourceQuota { max: u32 },
    #[error(
        "this account has reached its limit of {max} projects. Contact support for a higher limit"
    )]
    ProjectQuota { max: u32 },
    #[error(
        "this account has {max} open holds, the most it may have. Capture or release one first"
    )]
    TooManyHolds { max: u32 },
    /// The operator does not write rows of format 6 yet.
    #[error("holds are not available yet, because the service is being updated")]
    HoldsNotYet,
    #[error("this account has {max} budgets, the most it may have. Remove one first")]
    TooManyBudgets { max: usize },
    #[error(
        "this account has reached its limit of {max} bonuses. Use one up, or wait until one expires"
    )]
    TooManyGrants { max: usize },
    /// The operator does not write rows of format 6 yet.
    #[error("bonuses cannot be withdrawn yet, because the service is being updated")]
    WithdrawalsNotYet,
    /// The operator does not write rows of format 6 yet.
    #[error("budgets are not available yet, because the service is being updated")]
    BudgetsNotYet,
    /// The customer's own limit of a project.
    #[error(
        "this requires ${required} of the budget of project {project}, and ${left} is left this \
         month. Set a higher budget to go on"
    )]
    BudgetExceeded { project: ProjectId, required: Usd, left: Usd },
    /// The balance after a top-up.
    #[error("the balance must be at most ${max} after a top-up. You can add at most ${room}")]
    BalanceTooHigh { max: Usd, room: Usd },

    // Trial.
    /// The operator offers none.
    #[error("no trial is offered at the moment. Add credit to start")]
    TrialNotOffered,
    /// The account had a trial or a payment.
    #[error("trials are only for accounts that have never paid or had a trial")]
    TrialUsed,
    /// Prepaid cards, unknown funding and wallets cannot secure a trial.
    #[error("this card cannot be used for a trial. Use a credit or debit card")]
    TrialCard,
    /// The card secured the trial of another account.
    #[error("this card was used for a trial before. Use another card, or add credit")]
    TrialCardUsed,
    /// A limit of the trial.
    #[error(
        "a trial allows at most {max} running resources of kind {kind}. Add credit to run more"
    )]
    TrialLimit { kind: Kind, max: u32 },

    // Money.
    /// Too little eligible credit.
    #[error("this requires ${required} of credit, and ${available} is available")]
    CreditTooLow { required: Usd, available: Usd },

    // Refunds by staff.
    #[error(
        "${credit} would go back, and ${available} of paid credit is available. Refund less, or \
         allow a negative balance"
    )]
    RefundAboveCredit { credit: Usd, available: Usd },
    /// A limit of the scope `tollgate/support`.
    #[error("${left} more of this payment may go back with the scope tollgate/support")]
    SupportPaymentLimit { left: Usd },
    /// A limit of the scope `tollgate/support`.
    #[error("with the scope tollgate/support, one bonus may be ${max} at most")]
    SupportBonusLimit { max: Usd },
    /// A limit of the scope `tollgate/support`.
    #[error("with the scope tollgate/support, refunds and bonuses of a day may be ${max} at most")]
    SupportDayLimit { max: Usd },
    /// All of it was refunded or disputed.
    #[error("nothing is left to refund of this payment")]
    NothingLeftToRefund,
    #[error(
        "{max} refunds of this account are open, the most it may have. Wait until Stripe has answered one"
    )]
    TooManyRefunds { max: usize },
    #[error("{max} invoices of this account are open, the most it may have. Void one first")]
    TooManyInvoices { max: usize },
    /// It would pay an invoice that only documents a payment, or be charged with it.
    #[error(
        "the customer has a balance at Stripe, which would change the invoice. Settle it in the \
         Dashboard first"
    )]
    BalanceAtStripe,
    #[error("the account has no customer at Stripe any more")]
    NoCustomer,
    #[error("refund {number} is not open")]
    RefundNotOpen { number: u64 },
    /// The operator does not write rows of format 6 yet.
    #[error("refunds are not available yet, because the service is being updated")]
    RefundsNotYet,
    /// The operator does not write rows of format 6 yet.
    #[error("accounts cannot be imported yet, because the service is being updated")]
    ImportsNotYet,
    /// The trial runs. An import would end its terms.
    #[error(
        "the account is in a trial and cannot be imported. Correct its balance or give a bonus"
    )]
    InTrial,
    /// The account has another opening balance.
    #[error("the account was imported before with another balance or reference, in row {seq}")]
    ImportedOtherwise { seq: u64 },

    // Refills.
    /// The issuer refused the card permanently.
    #[error("card {card} was permanently declined by its issuer. Use another card")]
    CardRefused { card: CardId },
    /// Another attempt is open.
    #[error("refill attempt {attempt} is open")]
    AttemptOpen { attempt: u32 },
    /// No attempt with this number is open.
    #[error("refill attempt {attempt} is not open")]
    AttemptNotOpen { attempt: u32 },
    /// The customer was already asked to confirm this payment.
    #[error("the customer was already asked to confirm refill attempt {attempt}")]
    CustomerAlreadyAsked { attempt: u32 },
    /// No refill is wanted.
    #[error(
        "no refill is due: auto-refill is off or paused, or the balance is not below the threshold"
    )]
    RefillNotWanted,
    /// The refill terms are incomplete.
    #[error("auto-refill needs complete terms. Set enabled, threshold, and amount or target")]
    RefillTermsNeeded,
    /// No refill depends on this card.
    #[error("card {card} is not used for auto-refill")]
    CardNotUsed { card: CardId },

    // Ledger.
    /// The balance would exceed the maximum of a row.
    #[error("the balance would exceed one trillion dollars")]
    BalanceOverflow,
}

impl Refusal {
    /// Whether a retry of the same request may succeed without any change by the customer.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Refusal::NotSettled { .. }
            | Refusal::TimeBeforeLastRow { .. }
            | Refusal::RefillInProgress { .. }
            | Refusal::PaymentPending
            | Refusal::NotDeleting
            | Refusal::AccountChanged
            | Refusal::AttemptOpen { .. }
            | Refusal::HoldsNotYet
            | Refusal::BudgetsNotYet
            | Refusal::WithdrawalsNotYet
            | Refusal::RefundsNotYet
            | Refusal::ImportsNotYet
            | Refusal::TooManyRefunds { .. }
            | Refusal::TooManyHolds { .. }
            | Refusal::TooManyPages { .. }
            | Refusal::TooManyNewPages { .. }
            | Refusal::TooManyRequests { .. } => true,
            Refusal::AccountNotOpen
            | Refusal::AccountAlreadyOpen
            | Refusal::KeyReused
            | Refusal::AmountNotPositive
            | Refusal::ThresholdNotPositive
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
            | Refusal::UnknownCard
            | Refusal::UnknownMeter { .. }
            | Refusal::UnknownHold { .. }
            | Refusal::UnknownGrant { .. }
            | Refusal::GrantNotByStaff { .. }
            | Refusal::UnknownBudget { .. }
            | Refusal::TooManyBudgets { .. }
            | Refusal::TooManyGrants { .. }
            | Refusal::TooManyExcluded { .. }
            | Refusal::OfferNeverAvailable
            | Refusal::PlanNotPlain
            | Refusal::PlanNamedTwice { .. }
            | Refusal::TooManyOffers { .. }
            | Refusal::BudgetExceeded { .. }
            | Refusal::SkuNotHeld { .. }
            | Refusal::HoldEnded { .. }
            | Refusal::MeterExists { .. }
            | Refusal::PriceNotAtFullHour
            | Refusal::PriceTooSoon { .. }
            | Refusal::PriceExists { .. }
            | Refusal::IdleRateTooHigh
            | Refusal::AlreadyRunning { .. }
            | Refusal::NotRunning { .. }
            | Refusal::Deleted { .. }
            | Refusal::NotDeleted { .. }
            | Refusal::NothingStopped
            | Refusal::NothingDeleted
            | Refusal::StartTooLongAgo { .. }
            | Refusal::Closed
            | Refusal::Frozen
            | Refusal::NotFrozen
            | Refusal::Suspended
            | Refusal::SuspendedByStaff
            | Refusal::NotSuspended
            | Refusal::StillRunning { .. }
            | Refusal::ResourcesLeft { .. }
            | Refusal::BalanceChanged { .. }
            | Refusal::NotClosed
            | Refusal::Erased
            | Refusal::ResourceQuota { .. }
            | Refusal::ProjectQuota { .. }
            | Refusal::BalanceTooHigh { .. }
            | Refusal::TrialNotOffered
            | Refusal::TrialUsed
            | Refusal::TrialCard
            | Refusal::TrialCardUsed
            | Refusal::TrialLimit { .. }
            | Refusal::CreditTooLow { .. }
            | Refusal::RefundAboveCredit { .. }
            | Refusal::SupportPaymentLimit { .. }
            | Refusal::SupportBonusLimit { .. }
            | Refusal::SupportDayLimit { .. }
            | Refusal::NothingLeftToRefund
            | Refusal::RefundNotOpen { .. }
            | Refusal::TooManyInvoices { .. }
            | Refusal::BalanceAtStripe
            | Refusal::NoCustomer
            | Refusal::InTrial
            | Refusal::ImportedOtherwise { .. }
            | Refusal::CardRefused { .. }
            | Refusal::AttemptNotOpen { .. }
            | Refusal::CustomerAlreadyAsked { .. }
            | Refusal::RefillNotWanted
            | Refusal::RefillTermsNeeded
            | Refusal::CapBelowAmount { .. }
            | Refusal::TargetBelowThreshold { .. }
            | Refusal::CardNotUsed { .. }
            | Refusal::BalanceOverflow => false,
        }
    }
}

/// A wait in words, rounded up: `50 seconds`, `1 minute`, `3 hours`.
fn wait(seconds: i64) -> String {
    let (unit, name) = match seconds {
        ..100 => (1, "second"),
        100..6_000 => (MINUTE, "minute"),
        6_000.. => (HOUR, "hour"),
    };
    let count = (seconds.max(1) + unit - 1) / unit;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_rounded_up_to_plain_words() {
        for (seconds, expected) in [
            (0, "1 second"),
            (1, "1 second"),
            (99, "99 seconds"),
            (100, "2 minutes"),
            (3_300, "55 minutes"),
            (3_599, "60 minutes"),
            (6_000, "2 hours"),
            (86_400, "24 hours"),
        ] {
            assert_eq!(wait(seconds), expected, "{seconds}");
        }
    }
}
