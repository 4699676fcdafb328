//! Resources and meters: created, started, stopped, deleted.

use serde::{Deserialize, Serialize};

use super::{BilledLines, ChangeFamily, ListChange, RowPlace};
use crate::domain::account::{AccountState, BilledTotals};
use crate::domain::ids::ResourceId;
use crate::domain::money::Rate;
use crate::domain::names::variant_names;
use crate::domain::resources::{Meter, Resource, ResourceRef, ResourceStatus};
use crate::domain::timestamp::Timestamp;

/// A change to the billed resources and meters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceChange {
    /// Resources were created without being started.
    Created { resources: Vec<Resource> },
    /// Resources were started or restored, and paid up to `through`.
    Started {
        /// The items after the start.
        resources: Vec<Resource>,
        how: StartKind,
        /// The cost of each resource from now to `through`.
        lines: BilledLines,
        through: Timestamp,
        /// The totals from now on.
        billed: BilledTotals,
    },
    /// A start failed on the platform. All its charges are given back.
    StartFailed {
        resource: ResourceRef,
        /// The status before the start, which applies again.
        status: ResourceStatus,
        /// The amounts given back.
        lines: BilledLines,
        /// The totals from now on.
        billed: BilledTotals,
        /// When the oldest deleted resource is purged.
        purge_due: Option<Timestamp>,
        /// The resource, if it is stopped and cannot be paid for the rest of the period. It is kept
        /// for free until then.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unpaid: Vec<ResourceId>,
    },
    /// Resources were stopped. Their unused time was given back.
    Stopped {
        resources: Vec<ResourceRef>,
        why: StopReason,
        /// The row's time, or the end of the time that their funds paid for.
        as_of: Timestamp,
        /// The amounts given back.
        lines: BilledLines,
        /// The totals from now on.
        billed: BilledTotals,
    },
    /// Resources were deleted individually. They can be restored for a while.
    ResourcesDeleted {
        resources: Vec<ResourceRef>,
        /// The amounts given back.
        lines: BilledLines,
        /// The totals from now on.
        billed: BilledTotals,
        /// When the oldest deleted resource is purged.
        purge_due: Option<Timestamp>,
    },
    /// Deleted resources can no longer be restored.
    Purged {
        /// Individually deleted resources.
        resources: Vec<ResourceRef>,
        /// The deletion of the whole account that is purged.
        deletion: Option<u64>,
        /// When the next resources are purged.
        purge_due: Option<Timestamp>,
    },
    /// A meter was opened.
    MeterOpened(Meter),
}

variant_names! {
    /// The `type` attribute of rows of this kind.
    ResourceChange {
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

impl ChangeFamily for ResourceChange {
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

    /// Starts a period if nothing is billed yet.
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

    fn forget_names(&mut self) {
        if let ResourceChange::Created { resources } | ResourceChange::Started { resources, .. } =
            self
        {
            resources.iter_mut().for_each(|resource| resource.name.clear());
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

    fn rate_before(&self, state: &AccountState) -> Option<Rate> {
        let rate = state.billed.rate;
        match self {
            ResourceChange::Started { lines: BilledLines::Here(lines), .. } => {
                Some(rate.without(lines.iter().map(|line| line.rate).sum()))
            }
            ResourceChange::Started { lines: BilledLines::Chunked(_), .. } => None,
            ResourceChange::Created { .. }
            | ResourceChange::StartFailed { .. }
            | ResourceChange::Stopped { .. }
            | ResourceChange::ResourcesDeleted { .. }
            | ResourceChange::Purged { .. }
            | ResourceChange::MeterOpened(_) => Some(rate),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartKind {
    /// The first start, or a start after a stop.
    Started,
    /// A start after a deletion, with a new address.
    Restored {
        /// When the oldest resource that is still deleted is purged.
        purge_due: Option<Timestamp>,
    },
}

/// Why resources were stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    Requested,
    /// The funds for these resources are spent, while other funds are not.
    Credit,
    /// The budgets of their projects are used up.
    Budget,
}
