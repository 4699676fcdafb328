//! When a trial ends, and what follows, from the state alone.

use crate::domain::account::{AccountState, TrialState};
use crate::domain::money::Usd;
use crate::domain::policy::Policy;
use crate::domain::refill::renewal_amount;
use crate::domain::settle::runway::lasts_until;
use crate::domain::timestamp::Timestamp;

/// The end of a trial if nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialForecast {
    /// When its time is over, or its credit is used (UTC).
    pub ends_at: Timestamp,
    pub then: AfterTrial,
}

/// What follows the end of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterTrial {
    /// Nothing is charged or deleted: nothing costs anything, or other credit pays for it.
    Nothing,
    /// The card is charged about so much, in USD before tax.
    Renewal(Usd),
    /// Everything is stopped for lack of credit, and deleted.
    Deletion,
}

/// The forecast of the trial. `None` if none is running, or if a payment has made the account one like
/// any other.
#[must_use]
pub fn trial_forecast(state: &AccountState, policy: &Policy) -> Option<TrialForecast> {
    let trial = state.trial.as_ref().filter(|_| state.is_in_trial())?;
    // Held credit is not spent yet.
    let spent_at = lasts_until(&AccountState { holds: Vec::new(), ..state.clone() });
    let ends_at = spent_at.map_or(trial.ends_at, |spent_at| spent_at.min(trial.ends_at));
    let paid_through = state.paid_through().unwrap_or(state.at);
    let to_come = state.billed.rate.for_seconds((ends_at - paid_through).max(0));
    let whole = TrialState { ends_at, used: trial.used + to_come, ..trial.clone() };
    let then = match renewal(state, &whole, policy).filter(|_| state.is_refill_possible()) {
        Some(amount) => AfterTrial::Renewal(amount),
        None if spent_at.is_none_or(|spent_at| spent_at > trial.ends_at) => AfterTrial::Nothing,
        None => AfterTrial::Deletion,
    };
    Some(TrialForecast { ends_at, then })
}

/// The charge of the renewal of a trial that is over, in USD before tax: within the customer's monthly
/// cap. `None` if its customer did not agree to one, if no service is running, or if the cap is too low.
pub(super) fn renewal(state: &AccountState, trial: &TrialState, policy: &Policy) -> Option<Usd> {
    let is_wanted = trial.has_renewal_terms && state.runs_service() && !state.ever_paid;
    let amount = renewal_amount(trial, policy);
    let amount = state.refill.monthly_cap.map_or(amount, |cap| cap.min(amount));
    (is_wanted && amount >= policy.trial.renewal_min).then_some(amount)
}
