//! Free credit, given by staff or for a trial.

use serde::{Deserialize, Serialize};

use super::{ChangeFamily, Claim, RowPlace};
use crate::domain::account::{AccountState, TrialPhase, TrialState};
use crate::domain::ids::{AccountId, CardFingerprint};
use crate::domain::money::Usd;
use crate::domain::names::variant_names;
use crate::domain::timestamp::Timestamp;

/// A grant, its expiry, or the trial. The row stores the grant itself beside the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantChange {
    /// Staff gave credit.
    Granted {
        number: u32,
        reason: String,
    },
    /// A grant expired.
    GrantExpired {
        number: u32,
    },
    TrialStarted {
        number: u32,
        ends_at: Timestamp,
        /// The card that secures the trial.
        fingerprint: CardFingerprint,
    },
    TrialEnded,
}

variant_names! {
    /// The `type` attribute of rows of this kind.
    GrantChange {
        GrantChange::Granted { .. } => "bonus",
        GrantChange::GrantExpired { .. } => "expired",
        GrantChange::TrialStarted { .. } => "trial",
        GrantChange::TrialEnded => "trial_ended",
    }
}

impl ChangeFamily for GrantChange {
    fn apply(&self, next: &mut AccountState, row: RowPlace) {
        match self {
            GrantChange::Granted { .. } | GrantChange::GrantExpired { .. } => {}
            GrantChange::TrialStarted { ends_at, .. } => {
                next.trial = Some(TrialState {
                    started_at: row.at,
                    ends_at: *ends_at,
                    phase: TrialPhase::Active,
                    used: Usd::ZERO,
                });
            }
            GrantChange::TrialEnded => next.set_trial_phase(TrialPhase::Ended),
        }
    }

    fn claims(&self, account: &AccountId) -> Vec<Claim> {
        match self {
            GrantChange::TrialStarted { fingerprint, .. } => vec![
                Claim::once(format!("trial#{account}")),
                Claim::once(format!("fingerprint#{fingerprint}")),
            ],
            GrantChange::Granted { .. }
            | GrantChange::GrantExpired { .. }
            | GrantChange::TrialEnded => Vec::new(),
        }
    }

    fn may_want_refill(&self) -> bool {
        match self {
            GrantChange::GrantExpired { .. } | GrantChange::TrialEnded => true,
            GrantChange::Granted { .. } | GrantChange::TrialStarted { .. } => false,
        }
    }
}
