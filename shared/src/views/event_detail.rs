//! [`DomainEventDetail`]: the list of domain events.

use serde::Serialize;

use crate::domain::names::variant_names;
use crate::domain::resources::{Resource, ResourceRef};

/// The content of a domain event. Amounts are strings in USD, times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the fields are named by what they hold")]
pub enum DomainEventDetail {
    /// The account was opened.
    AccountOpened {},
    /// Credit was added. `kind` is the row's [`Change::name`](crate::domain::event::Change::name).
    /// `bonus` is the part of the amount that is free credit. `plan` is a commit plan that was bought.
    CreditAdded { kind: &'static str, amount: String, bonus: String, plan: Option<String> },
    /// A refund, dispute or correction took credit. `kind` is the row's
    /// [`Change::name`](crate::domain::event::Change::name).
    CreditTaken { kind: &'static str, amount: String },
    /// A grant expired with credit left.
    CreditExpired { amount: String },
    /// A delayed payment started.
    PaymentPending { payment: String, amount: String },
    /// A delayed payment will not arrive: `failed`, `canceled` or `expired`.
    PaymentFailed { payment: String, reason: &'static str },
    /// A refill of this amount is wanted.
    BalanceLow { refill: String },
    /// The credit that surely pays lasts for less than a day, or is below the refill threshold if
    /// that is lower and a refill is allowed. No refill is pending.
    ///
    /// The row that crosses the limit emits it. So do rows that cannot tell whether the limit was
    /// crossed before: those that change the limit or end a refill.
    CreditLow {},
    /// A refill attempt failed.
    RefillFailed { attempt: u32, paused: bool },
    /// The payment of a refill waits for the customer's confirmation.
    RefillNeedsCustomer { attempt: u32, void_at: String },
    /// The card that refills charge expires within a month.
    CardExpiring { card: String, ends_at: String },
    /// The card that refills charge has expired, and refills are paused.
    CardExpired { card: String },
    /// A project has spent 80 or 100 percent of its month's budget, or more. `stop`: what runs in it is
    /// stopped at 100 percent.
    BudgetSpent { project: String, percent: u8, amount: String, spent: String, stop: bool },
    /// A resource is running.
    ResourceStarted { resource: DomainEventResource },
    /// A deleted resource runs again and needs a new address.
    ResourceRestored { resource: DomainEventResource },
    /// A resource was stopped: `requested`, `credit`, `budget` or `start_failed`.
    ResourceStopped { resource: DomainEventResource, reason: &'static str },
    /// A resource was deleted. It can be restored for a while.
    ResourceDeleted { resource: DomainEventResource },
    /// A resource was purged and cannot be restored.
    ResourcePurged { resource: DomainEventResource },
    /// All resources are stopped as of this instant.
    Suspended { as_of: String },
    /// Good standing is restored.
    Resumed {},
    /// All resources will be deleted, in a day or later.
    DeletionSoon { delete_at: String },
    /// The grace period is over.
    DeletionDue {},
    /// All resources were deleted.
    Deleted {},
    /// The resources deleted with the account were purged and cannot be restored.
    Purged {},
    /// The account was closed.
    Closed {},
    /// Staff opened the closed account again.
    Reopened {},
    /// The personal data of the closed account's customer is erased. Receivers erase theirs.
    Erased {},
    /// The account is frozen.
    Frozen {},
    /// The account is no longer frozen.
    Unfrozen {},
    /// A trial started.
    TrialStarted { ends_at: String },
    /// The trial ends soon. Then the card is charged the renewal, roughly, or everything is deleted.
    TrialEnding { ends_at: String, renewal: Option<String> },
    /// The trial ended. Its renewal has events of its own.
    TrialEnded {},
}

/// A resource as named in events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainEventResource {
    pub id: String,
    pub project: String,
    pub sku: String,
    /// Such as `service` or `volume`.
    pub kind: String,
}

variant_names! {
    /// The bus's `detail-type`.
    DomainEventDetail {
        DomainEventDetail::AccountOpened {} => "AccountOpened",
        DomainEventDetail::CreditAdded { .. } => "CreditAdded",
        DomainEventDetail::CreditTaken { .. } => "CreditTaken",
        DomainEventDetail::CreditExpired { .. } => "CreditExpired",
        DomainEventDetail::PaymentPending { .. } => "PaymentPending",
        DomainEventDetail::PaymentFailed { .. } => "PaymentFailed",
        DomainEventDetail::BalanceLow { .. } => "BalanceLow",
        DomainEventDetail::CreditLow {} => "CreditLow",
        DomainEventDetail::RefillFailed { .. } => "RefillFailed",
        DomainEventDetail::RefillNeedsCustomer { .. } => "RefillNeedsCustomer",
        DomainEventDetail::CardExpiring { .. } => "CardExpiring",
        DomainEventDetail::CardExpired { .. } => "CardExpired",
        DomainEventDetail::BudgetSpent { .. } => "BudgetSpent",
        DomainEventDetail::ResourceStarted { .. } => "ResourceStarted",
        DomainEventDetail::ResourceRestored { .. } => "ResourceRestored",
        DomainEventDetail::ResourceStopped { .. } => "ResourceStopped",
        DomainEventDetail::ResourceDeleted { .. } => "ResourceDeleted",
        DomainEventDetail::ResourcePurged { .. } => "ResourcePurged",
        DomainEventDetail::Suspended { .. } => "Suspended",
        DomainEventDetail::Resumed {} => "Resumed",
        DomainEventDetail::DeletionSoon { .. } => "DeletionSoon",
        DomainEventDetail::DeletionDue {} => "DeletionDue",
        DomainEventDetail::Deleted {} => "Deleted",
        DomainEventDetail::Purged {} => "Purged",
        DomainEventDetail::Closed {} => "Closed",
        DomainEventDetail::Reopened {} => "Reopened",
        DomainEventDetail::Erased {} => "Erased",
        DomainEventDetail::Frozen {} => "Frozen",
        DomainEventDetail::Unfrozen {} => "Unfrozen",
        DomainEventDetail::TrialStarted { .. } => "TrialStarted",
        DomainEventDetail::TrialEnding { .. } => "TrialEnding",
        DomainEventDetail::TrialEnded {} => "TrialEnded",
    }
}

impl From<&Resource> for DomainEventResource {
    fn from(resource: &Resource) -> DomainEventResource {
        DomainEventResource::from(&resource.reference())
    }
}

impl From<&ResourceRef> for DomainEventResource {
    fn from(resource: &ResourceRef) -> DomainEventResource {
        DomainEventResource {
            id: resource.id.to_string(),
            project: resource.project.to_string(),
            sku: resource.sku.to_string(),
            kind: resource.kind.to_string(),
        }
    }
}
