//! [`DomainEventDetail`]: the domain events there are.

use serde::Serialize;

use crate::domain::resources::{Resource, ResourceRef};

/// What happened. Amounts are strings in USD, times RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the fields are named by what they hold")]
pub enum DomainEventDetail {
    /// The account was opened.
    AccountOpened {},
    /// Credit came in; `kind` is the row's [`Change::name`](crate::domain::event::Change::name).
    CreditAdded { kind: &'static str, amount: String },
    /// Credit was taken by a refund or dispute; `kind` is the row's [`Change::name`](crate::domain::event::Change::name).
    CreditTaken { kind: &'static str, amount: String },
    /// A grant's time was over with something left of it.
    CreditExpired { amount: String },
    /// A delayed payment was promised.
    PaymentPending { payment: String, amount: String },
    /// A delayed payment will not come: `failed`, `canceled` or `expired`.
    PaymentFailed { payment: String, reason: &'static str },
    /// A refill of this much is wanted.
    BalanceLow { refill: String },
    /// The credit that surely pays lasts for less than a day (or is below the agreed threshold, if
    /// that is lower and a refill would be allowed), and no refill is on its way. Told by the row
    /// that crosses the limit, and again by rows that cannot tell whether it was crossed before:
    /// those that change the limit or end a refill.
    CreditLow {},
    /// A refill attempt failed.
    RefillFailed { attempt: u32, paused: bool },
    /// A refill's payment waits for its customer.
    RefillNeedsCustomer { attempt: u32, void_at: String },
    /// A resource runs now.
    ResourceStarted { resource: DomainEventResource },
    /// A resource that had been deleted runs again and needs a new address.
    ResourceRestored { resource: DomainEventResource },
    /// A resource was stopped: `requested`, `credit` or `start_failed`.
    ResourceStopped { resource: DomainEventResource, reason: &'static str },
    /// A resource was deleted; it can be restored for a while.
    ResourceDeleted { resource: DomainEventResource },
    /// A resource is gone for good.
    ResourcePurged { resource: DomainEventResource },
    /// Everything is off as of an instant.
    Suspended { as_of: String },
    /// The standing is good again.
    Resumed {},
    /// Everything will be deleted, in a day at the earliest.
    DeletionSoon { delete_at: String },
    /// The grace is over.
    DeletionDue {},
    /// Everything was deleted.
    Deleted {},
    /// What was deleted with the whole account is gone for good.
    Purged {},
    /// The account was closed.
    Closed {},
    /// The account is frozen.
    Frozen {},
    /// The account is no longer frozen.
    Unfrozen {},
    /// A trial began.
    TrialStarted { ends_at: String },
    /// A trial ended.
    TrialEnded {},
}

/// A resource as events name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainEventResource {
    pub id: String,
    pub project: String,
    pub sku: String,
    /// Such as `service` or `volume`.
    pub kind: String,
}

impl DomainEventDetail {
    /// The bus's `detail-type`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
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
            DomainEventDetail::Frozen {} => "Frozen",
            DomainEventDetail::Unfrozen {} => "Unfrozen",
            DomainEventDetail::TrialStarted { .. } => "TrialStarted",
            DomainEventDetail::TrialEnded {} => "TrialEnded",
        }
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
