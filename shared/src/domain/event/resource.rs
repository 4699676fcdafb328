//! Resources and meters: created, started, stopped, deleted.

use serde::{Deserialize, Serialize};

use super::{BilledLines, ChangeFamily, ListChange, RowPlace};
use crate::domain::account::{AccountState, BilledTotals};
use crate::domain::ids::ResourceId;
use crate::domain::resources::{Meter, Resource, ResourceRef, ResourceStatus};
use crate::domain::timestamp::Timestamp;

/// A change to what the account is billed for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceChange {
    /// Resources were created without being started.
    Created { resources: Vec<Resource> },
    /// Resources were started, or restored, and paid to `through`.
    Started {
        /// As they are now.
        resources: Vec<Resource>,
        how: StartKind,
        /// What each of them costs from now to `through`.
        lines: BilledLines,
        through: Timestamp,
        /// What is billed from now on.
        billed: BilledTotals,
    },
    /// The platform could not carry out a start: everything it was charged is given back.
    StartFailed {
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
        resources: Vec<ResourceRef>,
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
}

impl ChangeFamily for ResourceChange {
    fn name(&self) -> &'static str {
        match self {
            ResourceChange::Created { .. } => "created",
            ResourceChange::Started { how: StartKind::Started, .. } => "started",
            ResourceChange::Started { how: StartKind::Restored { .. }, .. } => "restored",
            ResourceChange::StartFailed { .. } => "start_failed",
            ResourceChange::Stopped { .. } => "stopped",
            ResourceChange::ResourcesDeleted { .. } => "resources_deleted",
            ResourceChange::Purged { .. } => "purged",
            ResourceChange::MeterOpened(_) => "meter_opened",
        }
    }

    fn apply(&self, next: &mut AccountState, _row: RowPlace) {
        match self {
            ResourceChange::Created { .. } => {}
            ResourceChange::Started { resources, billed, how, .. } => {
                next.billed = billed.clone();
                if let Some(period) = &mut next.period {
                    period
                        .unpaid
                        .retain(|unpaid| resources.iter().all(|started| started.id != *unpaid));
                }
                if let StartKind::Restored { purge_due } = how {
                    next.purge_due = *purge_due;
                }
            }
            ResourceChange::StartFailed { billed, purge_due, unpaid, .. } => {
                next.billed = billed.clone();
                next.purge_due = *purge_due;
                next.add_unpaid(unpaid);
            }
            ResourceChange::Stopped { billed, .. } => next.billed = billed.clone(),
            ResourceChange::ResourcesDeleted { billed, purge_due, .. } => {
                next.billed = billed.clone();
                next.purge_due = *purge_due;
            }
            ResourceChange::Purged { deletion, purge_due, .. } => {
                next.purge_due = *purge_due;
                if let Some(deletion) = deletion {
                    next.purged_seq = next.purged_seq.max(Some(*deletion));
                    next.deletions.retain(|kept| kept.seq != *deletion);
                }
            }
            ResourceChange::MeterOpened(_) => next.meters += 1,
        }
    }

    /// A start while nothing is billed begins a period.
    fn begin_period(&self, next: &mut AccountState, at: Timestamp) {
        if let ResourceChange::Started { through, .. } = self
            && next.period.is_none()
        {
            next.begin_period(at, *through);
        }
    }

    fn lines(&self) -> Option<&BilledLines> {
        match self {
            ResourceChange::Started { lines, .. }
            | ResourceChange::StartFailed { lines, .. }
            | ResourceChange::Stopped { lines, .. }
            | ResourceChange::ResourcesDeleted { lines, .. } => Some(lines),
            ResourceChange::Created { .. }
            | ResourceChange::Purged { .. }
            | ResourceChange::MeterOpened(_) => None,
        }
    }

    fn lines_mut(&mut self) -> Option<&mut BilledLines> {
        if let ResourceChange::Started { lines, .. }
        | ResourceChange::StartFailed { lines, .. }
        | ResourceChange::Stopped { lines, .. }
        | ResourceChange::ResourcesDeleted { lines, .. } = self
        {
            Some(lines)
        } else {
            None
        }
    }

    fn may_want_refill(&self) -> bool {
        match self {
            ResourceChange::Started { .. } => true,
            ResourceChange::Created { .. }
            | ResourceChange::StartFailed { .. }
            | ResourceChange::Stopped { .. }
            | ResourceChange::ResourcesDeleted { .. }
            | ResourceChange::Purged { .. }
            | ResourceChange::MeterOpened(_) => false,
        }
    }

    fn list_change(&self, at: Timestamp) -> ListChange<'_> {
        match self {
            ResourceChange::Created { resources } | ResourceChange::Started { resources, .. } => {
                ListChange::Put(resources)
            }
            ResourceChange::StartFailed { resource, status, .. } => ListChange::SetStatus {
                resources: std::slice::from_ref(resource),
                status: *status,
                since: at,
            },
            ResourceChange::Stopped { resources, as_of, .. } => {
                let (status, since) = (ResourceStatus::Stopped, *as_of);
                ListChange::SetStatus { resources, status, since }
            }
            ResourceChange::ResourcesDeleted { resources, .. } => {
                let status = ResourceStatus::Deleted;
                ListChange::SetStatus { resources, status, since: at }
            }
            ResourceChange::Purged { resources, .. } => ListChange::Remove(resources),
            ResourceChange::MeterOpened(meter) => ListChange::AddMeter(meter),
        }
    }
}

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
