//! Free credit, given by staff or for a trial.

use serde::{Deserialize, Serialize};

use super::{ChangeFamily, Claim, RefillChange, RowPlace};
use crate::domain::account::{
    AccountState, CardChoice, GrantKind, RefillAgreement, ToldTrialEnd, TrialNotice, TrialPhase,
    TrialState,
};
use crate::domain::ids::{AccountId, CardFingerprint, CardId};
use crate::domain::money::Usd;
use crate::domain::names::variant_names;
use crate::domain::timestamp::Timestamp;

/// A grant, its expiry, or the trial. The row stores the grant itself beside the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantChange {
    /// Staff gave credit.
    Granted { number: u32, reason: String },
    /// Staff took back what is left of a bonus. It ends now, so that nothing comes back to it.
    GrantWithdrawn { number: u32, reason: String },
    /// A grant expired.
    GrantExpired { number: u32 },
    TrialStarted {
        number: u32,
        ends_at: Timestamp,
        /// The card that secures the trial.
        fingerprint: CardFingerprint,
        /// The refill terms that were accepted with the trial. Its renewal is charged by them.
        /// `None` in rows of formats before 6.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refill: Option<AcceptedRefill>,
    },
    /// The time of a trial was over. Formats before 6.
    TrialEnded,
    /// The time of a trial is over, or its credit is used.
    TrialOver {
        ended_at: Timestamp,
        /// The charge of the renewal, in USD before tax. `None` if nothing is renewed.
        renewal: Option<Usd>,
    },
    /// The customer is told that the trial ends soon.
    TrialEnding {
        /// When, if nothing changes.
        ends_at: Timestamp,
        notice: TrialNotice,
        /// What the card is charged then, as far as it is known, in USD before tax. `None` if
        /// everything is deleted instead.
        renewal: Option<Usd>,
    },
}

variant_names! {
    /// The `type` attribute of rows of this kind.
    GrantChange {
        GrantChange::Granted { .. } => "bonus",
        GrantChange::GrantWithdrawn { .. } => "bonus_withdrawn",
        GrantChange::GrantExpired { .. } => "expired",
        GrantChange::TrialStarted { .. } => "trial",
        GrantChange::TrialEnded | GrantChange::TrialOver { .. } => "trial_ended",
        GrantChange::TrialEnding { .. } => "trial_ending",
    }
}

impl ChangeFamily for GrantChange {
    fn reason(&self) -> Option<&str> {
        match self {
            GrantChange::Granted { reason, .. } | GrantChange::GrantWithdrawn { reason, .. } => {
                Some(reason)
            }
            GrantChange::GrantExpired { .. }
            | GrantChange::TrialStarted { .. }
            | GrantChange::TrialEnded
            | GrantChange::TrialOver { .. }
            | GrantChange::TrialEnding { .. } => None,
        }
    }

    fn apply(&self, next: &mut AccountState, row: RowPlace) {
        match self {
            GrantChange::Granted { .. } | GrantChange::GrantExpired { .. } => {}
            // What comes back later is forfeit, as of any grant that has expired.
            GrantChange::GrantWithdrawn { number, .. } => {
                for grant in next.grants.iter_mut().filter(|grant| grant.number == *number) {
                    grant.expires_at = row.at;
                }
            }
            GrantChange::TrialStarted { ends_at, refill, .. } => {
                if let Some(refill) = refill {
                    refill.as_change(next.refill.monthly_cap).apply(next, row);
                }
                // No card is charged while the trial runs.
                (next.refill.wanted, next.refill.retry_at) = (None, None);
                next.trial = Some(TrialState {
                    started_at: row.at,
                    ends_at: *ends_at,
                    phase: TrialPhase::Active,
                    used: Usd::ZERO,
                    has_renewal_terms: refill.as_ref().is_some_and(|it| it.agreement.is_some()),
                    renewal: None,
                    told: None,
                });
            }
            GrantChange::TrialEnded => next.set_trial_phase(TrialPhase::Ended),
            GrantChange::TrialOver { ended_at, renewal } => {
                next.set_trial_phase(TrialPhase::Ended);
                if let Some(trial) = &mut next.trial {
                    (trial.ends_at, trial.renewal) = (*ended_at, *renewal);
                }
                // What comes back later is forfeit, as of any grant that has expired.
                for grant in &mut next.grants {
                    if grant.kind == GrantKind::Trial {
                        grant.expires_at = *ended_at;
                    }
                }
            }
            GrantChange::TrialEnding { ends_at, notice, .. } => {
                if let Some(trial) = &mut next.trial {
                    trial.told = Some(ToldTrialEnd { notice: *notice, ends_at: *ends_at });
                }
            }
        }
    }

    fn claims(&self, account: &AccountId) -> Vec<Claim> {
        match self {
            GrantChange::TrialStarted { fingerprint, .. } => vec![
                Claim::once(format!("trial#{account}")),
                Claim::once(format!("fingerprint#{fingerprint}")),
            ],
            GrantChange::Granted { .. }
            | GrantChange::GrantWithdrawn { .. }
            | GrantChange::GrantExpired { .. }
            | GrantChange::TrialEnded
            | GrantChange::TrialOver { .. }
            | GrantChange::TrialEnding { .. } => Vec::new(),
        }
    }

    fn may_want_refill(&self) -> bool {
        match self {
            GrantChange::GrantExpired { .. }
            | GrantChange::TrialEnded
            | GrantChange::TrialOver { .. } => true,
            GrantChange::Granted { .. }
            | GrantChange::GrantWithdrawn { .. }
            | GrantChange::TrialStarted { .. }
            | GrantChange::TrialEnding { .. } => false,
        }
    }
}

/// Refill terms that a customer accepted with something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedRefill {
    /// `None` if refills are off.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<RefillAgreement>,
    /// The card to charge.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub card: Option<CardId>,
    /// How the card was chosen.
    #[serde(rename = "cc", default, skip_serializing_if = "CardChoice::is_named")]
    pub card_choice: CardChoice,
    /// The first instant after the card's last month (UTC). `None` if it is not known.
    #[serde(rename = "ce", default, skip_serializing_if = "Option::is_none")]
    pub card_ends_at: Option<Timestamp>,
    /// The sentences in which the customer read the terms.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

impl AcceptedRefill {
    /// The change of the settings, which keeps the monthly cap.
    fn as_change(&self, monthly_cap: Option<Usd>) -> RefillChange {
        RefillChange::RefillChanged {
            agreement: self.agreement,
            card: self.card.clone(),
            card_choice: self.card_choice,
            card_ends_at: self.card_ends_at,
            monthly_cap,
            words: self.words.clone(),
            look_at: None,
        }
    }
}
