//! The end of a trial: what it is, when it is announced, and what follows.
//!
//! Trials begin with row format 6, so a process that writes an older format ends one, too: the
//! format of a chain never goes back.

use crate::domain::account::{AccountState, GrantKind, TrialNotice, TrialState};
use crate::domain::decide::DecisionOutcome;
use crate::domain::event::GrantChange;
use crate::domain::funds::{Fund, FundDelta};
use crate::domain::money::Usd;
use crate::domain::policy::Policy;
use crate::domain::refill::renewal_amount;
use crate::domain::settle::due::trial_ends_at;
use crate::domain::snapshot::AccountSnapshot;
use crate::domain::timestamp::{HOUR, Timestamp};

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
    if state.billed.count() == 0 {
        return Some(AfterTrial::Nothing);
    }
    if !state.runs_service() || !state.is_refill_possible() {
        return Some(AfterTrial::Deletion);
    }
    let paid_through = state.paid_through().unwrap_or(state.at);
    let to_come = state.billed.rate.for_seconds((ends_at - paid_through).max(0));
    let whole = TrialState { ends_at, used: trial.used + to_come, ..trial.clone() };
    Some(AfterTrial::Renewal(renewal_amount(&whole, policy)))
}

/// Tells the customer that the trial ends, and what follows. Not of an end that is over: its own row
/// says so.
pub(super) fn announce_end(view: &AccountSnapshot<'_>, now: Timestamp) -> Option<DecisionOutcome> {
    let state = view.state();
    let ends_at = trial_ends_at(state).filter(|ends_at| now < *ends_at)?;
    let notice = if ends_at - now <= HOUR { TrialNotice::Hour } else { TrialNotice::Day };
    let is_told = state.trial.as_ref()?.told.is_some_and(|told| told >= notice);
    let renewal = match after_trial(state, view.policy())? {
        AfterTrial::Renewal(amount) => Some(amount),
        AfterTrial::Nothing | AfterTrial::Deletion => None,
    };
    let told = GrantChange::TrialEnding { ends_at, notice, renewal };
    (!is_told).then(|| DecisionOutcome::of(told))
}

/// The end of the trial's time.
pub(super) fn end(state: &AccountState) -> Option<DecisionOutcome> {
    Some(over(state, state.trial.as_ref()?.ends_at))
}

/// The end of a trial whose credit is used at `spent_at`. `None` if no trial runs.
pub(super) fn end_without_credit(
    state: &AccountState,
    spent_at: Timestamp,
) -> Option<DecisionOutcome> {
    state.is_in_trial().then(|| over(state, spent_at))
}

/// What is left of the trial's credit expires. It is less than the next second costs if the credit is
/// used.
fn over(state: &AccountState, ended_at: Timestamp) -> DecisionOutcome {
    let ends_at = state.trial.as_ref().map(|trial| trial.ends_at);
    let is_its_grant = |kind, expires_at| kind == GrantKind::Trial && Some(expires_at) == ends_at;
    let funds = state
        .grants
        .iter()
        .filter(|grant| is_its_grant(grant.kind, grant.expires_at) && grant.remaining.is_positive())
        .map(|grant| FundDelta {
            fund: Fund::Grant(grant.number),
            amount: -grant.remaining,
            used: Usd::ZERO,
        })
        .collect();
    DecisionOutcome::moving(GrantChange::TrialOver { ended_at }, funds)
}
