//! What the operator's staff did to an account, other than grants and suspensions.

use serde::{Deserialize, Serialize};

use super::{ChangeFamily, RowPlace};
use crate::domain::account::{AccountFreeze, AccountState};

/// A change by staff, with their reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaffChange {
    Frozen {
        reason: String,
    },
    /// No longer frozen, neither by staff nor by lost disputes.
    Unfrozen {
        reason: String,
    },
    /// Paid credit was corrected.
    Corrected {
        reason: String,
    },
}

impl ChangeFamily for StaffChange {
    fn name(&self) -> &'static str {
        match self {
            StaffChange::Frozen { .. } => "frozen",
            StaffChange::Unfrozen { .. } => "unfrozen",
            StaffChange::Corrected { .. } => "correction",
        }
    }

    fn apply(&self, next: &mut AccountState, row: RowPlace) {
        match self {
            StaffChange::Frozen { .. } => next.frozen.staff = true,
            StaffChange::Unfrozen { .. } => {
                next.frozen = AccountFreeze::default();
                // Nobody looked at the balance while no card could be charged.
                next.refill.retry_at = Some(row.at);
            }
            StaffChange::Corrected { .. } => {}
        }
    }
}
