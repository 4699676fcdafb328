//! The rows of the end of a trial: its announcement, and the end itself.
//!
//! Trials begin with row format 6, so a process that writes an older format ends one, too: the
//! format of a chain never goes back.

use crate::domain::account::{AccountState, Grant, TrialNotice, TrialState};
use crate::domain::decide::DecisionOutcome;
use crate::domain::event::GrantChange;
use crate::domain::funds::{Fund, FundDelta};
use crate::domain::money::Usd;
use crate::domain::policy::Policy;
use crate::domain::settle::due::trial_ends_at;
use crate::domain::settle::trial_forecast::{AfterTrial, TrialForecast, renewal, trial_forecast};
use crate::domain::snapshot::AccountSnapshot;
use crate::domain::timestamp::{HOUR, Timestamp};

/// Tells the customer that the trial ends, and what follows. Not of an end that is over: its own row
/// says so.
pub(super) fn announce_end(view: &AccountSnapshot<'_>, now: Timestamp) -> Option<DecisionOutcome> {
    let state = view.state();
    let TrialForecast { ends_at, then } = trial_forecast(state, view.policy())?;
    if ends_at <= now {
        return None;
    }
    let notice = if ends_at - now <= HOUR { TrialNotice::Hour } else { TrialNotice::Day };
    let told = state.trial.as_ref()?.told.and_then(|told| told.holds_for(ends_at));
    let is_told = told.is_some_and(|told| told >= notice);
    let renewal = match then {
        AfterTrial::Renewal(amount) => Some(amount),
        AfterTrial::Deletion => None,
        AfterTrial::Nothing => return None,
    };
    let told = GrantChange::TrialEnding { ends_at, notice, renewal };
    (!is_told).then(|| DecisionOutcome::of(told))
}

/// The end of the trial's time, or of its credit.
pub(super) fn end(state: &AccountState, policy: &Policy) -> Option<DecisionOutcome> {
    over(state, trial_ends_at(state)?, policy)
}

/// The end of a trial whose credit is used at `spent_at`. `None` if no trial runs. `None`, too, if
/// holds keep a part of its credit, which may come back, unless a renewal was agreed: its services run
/// on then.
pub(super) fn end_without_credit(
    state: &AccountState,
    spent_at: Timestamp,
    policy: &Policy,
) -> Option<DecisionOutcome> {
    let trial = state.trial.as_ref().filter(|_| state.is_in_trial())?;
    let is_held = |grant: &Grant| state.held_of(Fund::Grant(grant.number)).is_positive();
    let ended = TrialState { ends_at: spent_at, ..trial.clone() };
    let ends = !state.trial_grants().any(is_held) || renewal(state, &ended, policy).is_some();
    over(state, spent_at, policy).filter(|_| ends)
}

/// Free trial credit expires now. Held credit still pays captures, and expires when its hold ends.
fn over(state: &AccountState, ended_at: Timestamp, policy: &Policy) -> Option<DecisionOutcome> {
    let trial = state.trial.as_ref()?;
    let funds = state
        .trial_grants()
        .filter(|grant| grant.expires_at == trial.ends_at)
        .map(|grant| FundDelta {
            fund: Fund::Grant(grant.number),
            amount: -state.free_of_grant(grant.number),
            used: Usd::ZERO,
        })
        .filter(|delta| delta.amount.is_negative())
        .collect();
    let renewal = renewal(state, &TrialState { ends_at: ended_at, ..trial.clone() }, policy);
    Some(DecisionOutcome::moving(GrantChange::TrialOver { ended_at, renewal }, funds))
}
