//! The standing of the account: opened, suspended, resumed, deleted, closed.

use serde::{Deserialize, Serialize};

use super::{BilledLines, ChangeFamily, ListChange, RowPlace};
use crate::domain::account::{
    AccountDeletion, AccountState, BalanceFloor, BilledTotals, RestartPolicy, Standing, Suspension,
    SuspensionReason,
};
use crate::domain::money::Rate;
use crate::domain::names::variant_names;
use crate::domain::resources::{ResourceRef, ResourceStatus};
use crate::domain::timestamp::Timestamp;
use crate::domain::yes_no;

/// A change to the account as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandingChange {
    /// The account was opened.
    Opened,
    /// All resources were stopped.
    Suspended {
        /// The time at which the resources stopped.
        as_of: Timestamp,
        /// Lack of credit, or staff.
        reason: SuspensionReason,
        /// When all resources will be deleted.
        delete_at: Option<Timestamp>,
        /// When the deletion will be announced. `None` if this row is the announcement, or no
        /// deletion is planned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warn_at: Option<Timestamp>,
        /// Unused time given back. Only a suspension by staff has any.
        lines: BilledLines,
        /// The reason that staff gave.
        note: Option<String>,
    },
    /// A suspension or deletion ended, or one more batch of resources restarted.
    Resumed {
        /// Resources that run again.
        resources: Vec<ResourceRef>,
        /// Whether more batches follow.
        #[serde(with = "yes_no")]
        more: bool,
        /// The totals from now on.
        billed: BilledTotals,
    },
    /// The grace period ends soon, and the customer is warned.
    DeletionAnnounced {
        /// When all resources will be deleted. Later than planned if the warning is late.
        delete_at: Timestamp,
    },
    /// The grace period is over. Stripe must be asked before anything is deleted.
    DeletionDue,
    Deleted,
    /// Staff closed the account.
    Closed {
        reason: String,
    },
    /// The customer closed the account. Refills are off from now on.
    ClosedByCustomer,
    /// Staff opened a closed account again. Refills stay off until they are agreed to anew.
    Reopened {
        reason: String,
        /// What is billed from now on, although nothing runs.
        billed: BilledTotals,
    },
    /// The customer chose whether resources restart after a suspension.
    #[serde(rename = "comeback_chosen")]
    RestartPolicyChosen(RestartPolicy),
}

variant_names! {
    /// The `type` attribute of rows of this kind.
    StandingChange {
        StandingChange::Opened => "opened",
        StandingChange::Suspended { .. } => "suspended",
        StandingChange::Resumed { .. } => "resumed",
        StandingChange::DeletionAnnounced { .. } => "deletion_announced",
        StandingChange::DeletionDue => "deleting",
        StandingChange::Deleted => "deleted",
        StandingChange::Closed { .. } | StandingChange::ClosedByCustomer => "closed",
        StandingChange::Reopened { .. } => "reopened",
        StandingChange::RestartPolicyChosen(_) => "comeback_chosen",
    }
}

impl ChangeFamily for StandingChange {
    fn reason(&self) -> Option<&str> {
        match self {
            StandingChange::Suspended { note, .. } => note.as_deref(),
            StandingChange::Closed { reason } | StandingChange::Reopened { reason, .. } => {
                Some(reason)
            }
            StandingChange::Opened
            | StandingChange::Resumed { .. }
            | StandingChange::DeletionAnnounced { .. }
            | StandingChange::DeletionDue
            | StandingChange::Deleted
            | StandingChange::ClosedByCustomer
            | StandingChange::RestartPolicyChosen(_) => None,
        }
    }

    fn apply(&self, next: &mut AccountState, row: RowPlace) {
        match self {
            StandingChange::Opened => {}
            StandingChange::Suspended { as_of, reason, delete_at, warn_at, .. } => {
                next.standing = Standing::Suspended(Suspension {
                    as_of: *as_of,
                    reason: *reason,
                    delete_at: *delete_at,
                    warn_at: *warn_at,
                    floor: next.available().or_zero(),
                    kept: None,
                });
                next.suspended_seq = Some(row.seq);
                next.billed = BilledTotals::default();
                next.restarting = false;
            }
            StandingChange::Resumed { more, billed, .. } => {
                next.standing = Standing::Good;
                next.restarting = *more;
                next.billed = billed.clone();
                if billed.count() > 0 && next.period.is_none() {
                    next.begin_period(row.at, row.at);
                }
            }
            StandingChange::DeletionAnnounced { delete_at } => {
                if let Standing::Suspended(suspension) = &mut next.standing {
                    (suspension.delete_at, suspension.warn_at) = (Some(*delete_at), None);
                }
            }
            StandingChange::DeletionDue => {
                next.standing = Standing::Deleting(BalanceFloor { floor: next.floor() });
            }
            StandingChange::Deleted => {
                next.standing = Standing::Deleted(BalanceFloor { floor: next.floor() });
                next.deletions.push(AccountDeletion { seq: row.seq, at: row.at });
            }
            StandingChange::Closed { .. } => {
                next.standing = Standing::Closed;
                next.holds.clear();
            }
            StandingChange::ClosedByCustomer => {
                next.standing = Standing::Closed;
                next.holds.clear();
                end_agreement(next);
            }
            StandingChange::Reopened { billed, .. } => {
                next.standing = Standing::Good;
                next.restarting = false;
                end_agreement(next);
                next.billed = billed.clone();
                if billed.count() > 0 && next.period.is_none() {
                    next.begin_period(row.at, row.at);
                }
            }
            StandingChange::RestartPolicyChosen(policy) => {
                next.restart_policy = *policy;
                if *policy == RestartPolicy::StayOff {
                    next.restarting = false;
                }
            }
        }
    }

    fn lines(&self) -> Option<&BilledLines> {
        match self {
            StandingChange::Suspended { lines, .. } => Some(lines),
            StandingChange::Opened
            | StandingChange::Resumed { .. }
            | StandingChange::DeletionAnnounced { .. }
            | StandingChange::DeletionDue
            | StandingChange::Deleted
            | StandingChange::Closed { .. }
            | StandingChange::ClosedByCustomer
            | StandingChange::Reopened { .. }
            | StandingChange::RestartPolicyChosen(_) => None,
        }
    }

    fn lines_mut(&mut self) -> Option<&mut BilledLines> {
        if let StandingChange::Suspended { lines, .. } = self { Some(lines) } else { None }
    }

    fn list_change(&self, at: Timestamp) -> ListChange<'_> {
        match self {
            StandingChange::Resumed { resources, .. } => {
                let status = ResourceStatus::Running;
                ListChange::SetStatus { resources, status, since: at }
            }
            // A suspension or deletion of the whole account changes no item.
            StandingChange::Opened
            | StandingChange::Suspended { .. }
            | StandingChange::DeletionAnnounced { .. }
            | StandingChange::DeletionDue
            | StandingChange::Deleted
            | StandingChange::Closed { .. }
            | StandingChange::ClosedByCustomer
            | StandingChange::Reopened { .. }
            | StandingChange::RestartPolicyChosen(_) => ListChange::Nothing,
        }
    }

    fn rate_before(&self, state: &AccountState) -> Option<Rate> {
        match self {
            StandingChange::Resumed { .. } | StandingChange::Reopened { .. } => None,
            StandingChange::Opened
            | StandingChange::Suspended { .. }
            | StandingChange::DeletionAnnounced { .. }
            | StandingChange::DeletionDue
            | StandingChange::Deleted
            | StandingChange::Closed { .. }
            | StandingChange::ClosedByCustomer
            | StandingChange::RestartPolicyChosen(_) => Some(state.billed.rate),
        }
    }
}

/// Refills are off, and a trial is not renewed.
fn end_agreement(next: &mut AccountState) {
    next.refill.agreement = None;
    if let Some(trial) = &mut next.trial {
        trial.has_renewal_terms = false;
    }
}
