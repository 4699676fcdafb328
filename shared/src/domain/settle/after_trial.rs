//! When a trial ends, and what follows, from the state alone.

use crate::domain::account::{AccountState, TrialState};
use crate::domain::money::Usd;
use crate::domain::policy::Policy;
use crate::domain::refill::renewal_amount;
use crate::domain::settle::runway::lasts_until;
use crate::domain::timestamp::Timestamp;

/// When the trial ends if nothing changes (UTC): its time is over, or its credit is used. `None` if no
/// trial runs, or if a payment has made it an account like any other.
#[must_use]
pub fn trial_ends_at(state: &AccountState) -> Option<Timestamp> {
    let trial = state.trial.as_ref().filter(|_| state.is_in_trial())?;
    Some(lasts_until(state).map_or(trial.ends_at, |spent_at| spent_at.min(trial.ends_at)))
}

/// What follows the end of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterTrial {
    /// Nothing costs anything, so nothing is charged or deleted.
    Nothing,
    /// The card is charged about so much, in USD before tax.
    Renewal(Usd),
    /// Everything is stopped for lack of credit, and deleted.
    Deletion,
}

/// What follows the end of the trial if nothing changes. `None` if no trial runs.
#[must_use]
pub fn after_trial(state: &AccountState, policy: &Policy) -> Option<AfterTrial> {
    let ends_at = trial_ends_at(state)?;
    let trial = state.trial.as_ref()?;
    let paid_through = state.paid_through().unwrap_or(state.at);
    let to_come = state.billed.rate.for_seconds((ends_at - paid_through).max(0));
    let whole = TrialState { ends_at, used: trial.used + to_come, ..trial.clone() };
    if let Some(amount) = renewal(state, &whole, policy).filter(|_| state.is_refill_possible()) {
        return Some(AfterTrial::Renewal(amount));
    }
    let goes_on = lasts_until(state).is_none_or(|until| until > trial.ends_at);
    Some(if goes_on { AfterTrial::Nothing } else { AfterTrial::Deletion })
}

/// The charge of the renewal of a trial that is over, in USD before tax: within the customer's monthly
/// cap. `None` if its customer did not agree to one, if no service is running, or if the cap is too low.
pub(super) fn renewal(state: &AccountState, trial: &TrialState, policy: &Policy) -> Option<Usd> {
    let is_wanted = trial.has_renewal_terms && state.runs_service() && !state.ever_paid;
    let amount = renewal_amount(trial, policy);
    let amount = state.refill.monthly_cap.map_or(amount, |cap| cap.min(amount));
    (is_wanted && amount >= policy.trial.renewal_min).then_some(amount)
}
