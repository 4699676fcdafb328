//! Charges: prepaid time and metered quantities.

use serde::{Deserialize, Serialize};

use super::{BilledLines, ChangeFamily, ListChange, MeterLine, RowPlace};
use crate::domain::account::{AccountState, BilledTotals};
use crate::domain::ids::ResourceId;
use crate::domain::money::Rate;
use crate::domain::names::variant_names;
use crate::domain::timestamp::Timestamp;

/// A charge. The stored names of [`BillingChange::Usage`] are short because every account has one
/// such row per hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillingChange {
    /// Time was paid in advance.
    #[serde(rename = "u")]
    Usage {
        #[serde(rename = "f")]
        from: Timestamp,
        /// The end, exclusive.
        #[serde(rename = "t")]
        through: Timestamp,
        /// The cost of each resource for this time.
        #[serde(rename = "l")]
        lines: BilledLines,
        /// The new totals, if prices changed.
        #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
        billed: Option<BilledTotals>,
        /// Stopped resources that have no funds left and are kept for free in this period.
        #[serde(rename = "n", default, skip_serializing_if = "Vec::is_empty")]
        unpaid: Vec<ResourceId>,
    },
    /// Metered quantities were billed.
    Metered {
        /// All known usage before this hour is billed. `None` if some is left: more rows follow, usage
        /// was skipped, or a process of an older format left it.
        hour: Option<Timestamp>,
        /// One line per meter, hour and set of labels.
        lines: Vec<MeterLine>,
    },
    /// Time that ran in a respite was paid afterwards.
    OwedPaid,
}

variant_names! {
    /// The `type` attribute of rows of this kind.
    BillingChange {
        BillingChange::Usage { .. } => "usage",
        BillingChange::Metered { .. } => "metered",
        BillingChange::OwedPaid => "owed_paid",
    }
}

impl ChangeFamily for BillingChange {
    fn apply(&self, next: &mut AccountState, row: RowPlace) {
        match self {
            BillingChange::Usage { billed, unpaid, .. } => {
                next.add_unpaid(unpaid);
                if let Some(billed) = billed {
                    next.billed = billed.clone();
                }
            }
            BillingChange::Metered { hour, lines } => {
                next.metered_at = hour.or(next.metered_at);
                if hour.is_some() && lines.iter().any(|line| line.hour.is_some()) {
                    next.usage_billed_at = Some(row.at);
                }
            }
            BillingChange::OwedPaid => {}
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
            BillingChange::Metered { .. } | BillingChange::OwedPaid => None,
        }
    }

    fn lines_mut(&mut self) -> Option<&mut BilledLines> {
        match self {
            BillingChange::Usage { lines, .. } => Some(lines),
            BillingChange::Metered { .. } | BillingChange::OwedPaid => None,
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
            BillingChange::Usage { .. } | BillingChange::OwedPaid => ListChange::Nothing,
            BillingChange::Metered { lines, .. } => ListChange::BillMeters(lines),
        }
    }

    fn rate_before(&self, state: &AccountState) -> Option<Rate> {
        match self {
            BillingChange::Usage { billed: Some(_), .. } => None,
            BillingChange::Usage { billed: None, .. }
            | BillingChange::Metered { .. }
            | BillingChange::OwedPaid => Some(state.billed.rate),
        }
    }
}
