//! What was billed: time ahead and quantities.

use serde::{Deserialize, Serialize};

use super::{BilledLines, ChangeFamily, ListChange, MeterLine, RowPlace};
use crate::domain::account::{AccountState, BilledTotals};
use crate::domain::ids::ResourceId;
use crate::domain::timestamp::Timestamp;

/// A charge. The stored names of [`BillingChange::Usage`] are short because there is one such row
/// for each account and hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillingChange {
    /// Time was paid ahead.
    #[serde(rename = "u")]
    Usage {
        #[serde(rename = "f")]
        from: Timestamp,
        /// The end, exclusive.
        #[serde(rename = "t")]
        through: Timestamp,
        /// What each resource costs in this time.
        #[serde(rename = "l")]
        lines: BilledLines,
        /// What is billed from now on, if prices changed it.
        #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
        billed: Option<BilledTotals>,
        /// What is off, has no funds of its own left, and is kept for free in this period.
        #[serde(rename = "n", default, skip_serializing_if = "Vec::is_empty")]
        unpaid: Vec<ResourceId>,
    },
    /// Quantities that were used were billed.
    Metered {
        /// The hour at whose beginning it was; `None` if more rows of the same hour follow.
        hour: Option<Timestamp>,
        /// Meter by meter.
        lines: Vec<MeterLine>,
    },
}

impl ChangeFamily for BillingChange {
    fn name(&self) -> &'static str {
        match self {
            BillingChange::Usage { .. } => "usage",
            BillingChange::Metered { .. } => "metered",
        }
    }

    fn apply(&self, next: &mut AccountState, _row: RowPlace) {
        match self {
            BillingChange::Usage { billed, unpaid, .. } => {
                next.add_unpaid(unpaid);
                if let Some(billed) = billed {
                    next.billed = billed.clone();
                }
            }
            BillingChange::Metered { hour, .. } => next.metered_at = hour.or(next.metered_at),
        }
    }

    fn begin_period(&self, next: &mut AccountState, _at: Timestamp) {
        if let BillingChange::Usage { from, through, .. } = self {
            next.begin_period(*from, *through);
        }
    }

    fn lines(&self) -> Option<&BilledLines> {
        match self {
            BillingChange::Usage { lines, .. } => Some(lines),
            BillingChange::Metered { .. } => None,
        }
    }

    fn lines_mut(&mut self) -> Option<&mut BilledLines> {
        match self {
            BillingChange::Usage { lines, .. } => Some(lines),
            BillingChange::Metered { .. } => None,
        }
    }

    fn is_use(&self) -> bool {
        true
    }

    fn may_want_refill(&self) -> bool {
        true
    }

    fn list_change(&self, _at: Timestamp) -> ListChange<'_> {
        match self {
            BillingChange::Usage { .. } => ListChange::Nothing,
            BillingChange::Metered { lines, .. } => ListChange::BillMeters(lines),
        }
    }
}
