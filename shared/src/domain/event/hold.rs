//! Holds: credit that is set aside, and the usage that is billed on it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{ChangeFamily, Claim, MeterLine, RowPlace};
use crate::domain::account::AccountState;
use crate::domain::holds::{HeldShare, Hold, HoldId};
use crate::domain::ids::{AccountId, ProjectId, Sku};
use crate::domain::names::variant_names;
use crate::domain::timestamp::Timestamp;
use crate::domain::yes_no;

/// A hold, what is billed on it, or its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldChange {
    /// Credit was set aside. The number of this row identifies the hold.
    Held {
        project: ProjectId,
        /// What it may pay for.
        skus: BTreeSet<Sku>,
        expires_at: Timestamp,
        shares: Vec<HeldShare>,
    },
    /// The hold lasts longer. The same amount was set aside anew.
    HoldExtended { hold: HoldId, expires_at: Timestamp, shares: Vec<HeldShare> },
    /// Usage was billed, and paid from the hold first.
    HoldCaptured {
        hold: HoldId,
        lines: Vec<MeterLine>,
        /// What is still held. `None` if this was the last capture.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<Vec<HeldShare>>,
    },
    /// Usage was billed after the hold had been released or had expired.
    CapturedLate {
        hold: HoldId,
        lines: Vec<MeterLine>,
        /// Whether no row was known that ended the hold. Then this row must be the only one that does.
        #[serde(with = "yes_no", default)]
        ends: bool,
    },
    /// What was still held is available again.
    HoldReleased { hold: HoldId },
    /// Nobody captured or released the hold in its time.
    HoldExpired { hold: HoldId },
}

variant_names! {
    /// The `type` attribute of rows of this kind.
    HoldChange {
        HoldChange::Held { .. } => "hold",
        HoldChange::HoldExtended { .. } => "hold_extended",
        HoldChange::HoldCaptured { .. } | HoldChange::CapturedLate { .. } => "hold_captured",
        HoldChange::HoldReleased { .. } => "hold_released",
        HoldChange::HoldExpired { .. } => "hold_expired",
    }
}

impl HoldChange {
    /// The usage that the row bills.
    #[must_use]
    pub fn lines(&self) -> &[MeterLine] {
        match self {
            HoldChange::HoldCaptured { lines, .. } | HoldChange::CapturedLate { lines, .. } => {
                lines
            }
            HoldChange::Held { .. }
            | HoldChange::HoldExtended { .. }
            | HoldChange::HoldReleased { .. }
            | HoldChange::HoldExpired { .. } => &[],
        }
    }

    /// The hold that an earlier row made. `None` of the row that makes one.
    #[must_use]
    pub fn hold(&self) -> Option<HoldId> {
        match self {
            HoldChange::Held { .. } => None,
            HoldChange::HoldExtended { hold, .. }
            | HoldChange::HoldCaptured { hold, .. }
            | HoldChange::CapturedLate { hold, .. }
            | HoldChange::HoldReleased { hold }
            | HoldChange::HoldExpired { hold } => Some(*hold),
        }
    }
}

impl ChangeFamily for HoldChange {
    fn apply(&self, next: &mut AccountState, row: RowPlace) {
        match self {
            HoldChange::Held { project, expires_at, shares, .. } => {
                let budget = next.budget(project).map(|budget| budget.project.clone());
                next.holds.push(Hold {
                    id: HoldId::of_row(row.seq),
                    expires_at: *expires_at,
                    shares: shares.clone(),
                    project: budget,
                });
            }
            HoldChange::HoldExtended { hold, expires_at, shares } => {
                next.set_held(*hold, shares);
                for one in next.holds.iter_mut().filter(|one| one.id == *hold) {
                    one.expires_at = *expires_at;
                }
            }
            HoldChange::HoldCaptured { hold, left: Some(left), .. } => next.set_held(*hold, left),
            HoldChange::HoldCaptured { hold, left: None, .. }
            | HoldChange::CapturedLate { hold, .. }
            | HoldChange::HoldReleased { hold }
            | HoldChange::HoldExpired { hold } => next.end_hold(*hold),
        }
    }

    fn is_use(&self) -> bool {
        !self.lines().is_empty()
    }

    fn claims(&self, account: &AccountId) -> Vec<Claim> {
        match self {
            HoldChange::HoldCaptured { hold, left: None, .. }
            | HoldChange::HoldReleased { hold }
            | HoldChange::HoldExpired { hold } => vec![Claim::once(hold.end_claim(account))],
            HoldChange::CapturedLate { hold, ends, .. } => {
                let end = ends.then(|| Claim::once(hold.end_claim(account)));
                end.into_iter().chain([Claim::once(hold.late_claim(account))]).collect()
            }
            HoldChange::Held { .. }
            | HoldChange::HoldExtended { .. }
            | HoldChange::HoldCaptured { left: Some(_), .. } => Vec::new(),
        }
    }

    /// Held credit is not available, so a hold may want a refill as usage does.
    fn may_want_refill(&self) -> bool {
        match self {
            HoldChange::Held { .. }
            | HoldChange::HoldExtended { .. }
            | HoldChange::HoldCaptured { .. }
            | HoldChange::CapturedLate { .. } => true,
            HoldChange::HoldReleased { .. } | HoldChange::HoldExpired { .. } => false,
        }
    }
}
