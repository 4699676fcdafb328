//! Staff actions other than grants and suspensions.

use serde::{Deserialize, Serialize};

use super::{ChangeFamily, RowPlace};
use crate::domain::account::{AccountFreeze, AccountState};
use crate::domain::money::Rate;
use crate::domain::names::variant_names;

/// A change by staff, with a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaffChange {
    Frozen {
        reason: String,
    },
    /// The freeze by staff and by lost disputes ended.
    Unfrozen {
        reason: String,
    },
    /// Paid credit was corrected.
    Corrected {
        reason: String,
    },
    /// The personal data of the customer of a closed account is erased, outside of the ledger.
    Erased {
        reason: String,
    },
}

variant_names! {
    /// The `type` attribute of rows of this kind.
    StaffChange {
        StaffChange::Frozen { .. } => "frozen",
        StaffChange::Unfrozen { .. } => "unfrozen",
        StaffChange::Corrected { .. } => "correction",
        StaffChange::Erased { .. } => "erased",
    }
}

impl ChangeFamily for StaffChange {
    fn apply(&self, next: &mut AccountState, row: RowPlace) {
        match self {
            StaffChange::Frozen { .. } => next.frozen.staff = true,
            StaffChange::Unfrozen { .. } => {
                next.frozen = AccountFreeze::default();
                // The balance was not checked while the card could not be charged.
                next.refill.retry_at = Some(row.at);
            }
            StaffChange::Corrected { .. } => {}
            StaffChange::Erased { .. } => next.erased = true,
        }
    }

    fn reason(&self) -> Option<&str> {
        let (StaffChange::Frozen { reason }
        | StaffChange::Unfrozen { reason }
        | StaffChange::Corrected { reason }
        | StaffChange::Erased { reason }) = self;
        Some(reason)
    }

    fn rate_before(&self, state: &AccountState) -> Option<Rate> {
        match self {
            StaffChange::Frozen { .. } | StaffChange::Unfrozen { .. } => None,
            StaffChange::Corrected { .. } | StaffChange::Erased { .. } => Some(state.billed.rate),
        }
    }
}
