//! The trial of an account.

use serde::{Deserialize, Serialize};

use crate::domain::defaults::is_default;
use crate::domain::money::Usd;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};
use crate::domain::yes_no;

/// The trial of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialState {
    #[serde(rename = "f")]
    pub started_at: Timestamp,
    /// The end of the trial, past or future. It is earlier than planned if the credit was used.
    #[serde(rename = "t")]
    pub ends_at: Timestamp,
    /// Whether the trial is running, over or renewed.
    #[serde(rename = "s", default, skip_serializing_if = "is_default")]
    pub phase: TrialPhase,
    /// Usage during the trial, in USD. The renewal amount is computed from it.
    #[serde(rename = "u", default, skip_serializing_if = "Usd::is_zero")]
    pub used: Usd,
    /// Whether the present refill terms are those that were accepted with the trial. Only then it is
    /// renewed.
    #[serde(rename = "rt", with = "yes_no", default, skip_serializing_if = "is_default")]
    pub has_renewal_terms: bool,
    /// The charge of the renewal that was due at the end, in USD before tax.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Usd>,
    /// The last notice that the trial ends soon. `None` in rows of formats before 6.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub told: Option<ToldTrialEnd>,
}

/// What a customer was told of the end of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldTrialEnd {
    #[serde(rename = "n")]
    pub notice: TrialNotice,
    /// The end as it was foreseen then.
    #[serde(rename = "t")]
    pub ends_at: Timestamp,
}

impl ToldTrialEnd {
    /// The notice that still holds for an end at `ends_at`. An end that moved away is told again.
    #[must_use]
    pub fn holds_for(&self, ends_at: Timestamp) -> Option<TrialNotice> {
        let moved = ends_at - self.ends_at;
        match self.notice {
            _ if moved > DAY => None,
            TrialNotice::Hour if moved > HOUR => Some(TrialNotice::Day),
            TrialNotice::Day | TrialNotice::Hour => Some(self.notice),
        }
    }
}

/// When a customer is told that a trial ends soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialNotice {
    /// A day before, or less if the end was not foreseen earlier.
    Day,
    /// An hour before, or less.
    Hour,
}

/// The phase of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialPhase {
    #[default]
    Active,
    Ended,
    /// Over, and continued with a charge to the saved card.
    Renewed,
}
