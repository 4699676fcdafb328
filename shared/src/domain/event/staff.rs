//! Staff actions other than grants and suspensions.

use serde::{Deserialize, Serialize};

use super::{ChangeFamily, Claim, RowPlace};
use crate::domain::account::{AccountFreeze, AccountState};
use crate::domain::ids::AccountId;
use crate::domain::money::{Rate, Usd};
use crate::domain::names::variant_names;
use crate::domain::profile::NonEmptyText;

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
    /// What the customer had elsewhere was taken over.
    Imported {
        /// The paid credit of it, in USD. The rest is a grant.
        credit: Usd,
        /// Where the history of the balance is found.
        reference: NonEmptyText,
    },
    /// The personal data of the customer of a closed account is erased, outside of the ledger.
    Erased {
        reason: String,
    },
}

/// The claim key of which an account has one: it is imported once.
#[must_use]
pub fn import_claim(account: &AccountId) -> String {
    format!("import#{account}")
}

variant_names! {
    /// The `type` attribute of rows of this kind.
    StaffChange {
        StaffChange::Frozen { .. } => "frozen",
        StaffChange::Unfrozen { .. } => "unfrozen",
        StaffChange::Corrected { .. } => "correction",
        StaffChange::Imported { .. } => "imported",
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
            // A trial is for customers who have never paid.
            StaffChange::Imported { credit, .. } => next.ever_paid |= credit.is_positive(),
            StaffChange::Erased { .. } => next.erased = true,
        }
    }

    fn claims(&self, account: &AccountId) -> Vec<Claim> {
        match self {
            StaffChange::Imported { .. } => vec![Claim::once(import_claim(account))],
            StaffChange::Frozen { .. }
            | StaffChange::Unfrozen { .. }
            | StaffChange::Corrected { .. }
            | StaffChange::Erased { .. } => Vec::new(),
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            StaffChange::Frozen { reason }
            | StaffChange::Unfrozen { reason }
            | StaffChange::Corrected { reason }
            | StaffChange::Erased { reason } => Some(reason),
            StaffChange::Imported { .. } => None,
        }
    }

    fn rate_before(&self, state: &AccountState) -> Option<Rate> {
        match self {
            StaffChange::Frozen { .. } | StaffChange::Unfrozen { .. } => None,
            StaffChange::Corrected { .. }
            | StaffChange::Imported { .. }
            | StaffChange::Erased { .. } => Some(state.billed.rate),
        }
    }
}
