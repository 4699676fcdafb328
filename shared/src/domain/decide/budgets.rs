//! Decisions about budgets.

use super::DecisionOutcome;
use crate::domain::account::{AccountState, Budget, Standing};
use crate::domain::budgets::{BUDGETS_KNOWN, BUDGETS_MAX};
use crate::domain::command::{BudgetTerms, MonthSoFar};
use crate::domain::event::BudgetChange;
use crate::domain::ids::ProjectId;
use crate::domain::money::Usd;
use crate::domain::policy::Policy;
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::Timestamp;

/// Gives a project a budget, or another one. What its month has cost so far counts.
pub(super) fn set(
    state: &AccountState,
    terms: &BudgetTerms,
    so_far: Option<&MonthSoFar>,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    if policy.row_format < BUDGETS_KNOWN {
        return Err(Refusal::BudgetsNotYet);
    }
    if !terms.amount.is_positive() {
        return Err(Refusal::AmountNotPositive);
    }
    if state.standing == Standing::Closed {
        return Err(Refusal::Closed);
    }
    let spent = match (state.budget(&terms.project), so_far) {
        (Some(known), _) => known.spent_in(now),
        (None, _) if state.budgets.len() >= BUDGETS_MAX => {
            return Err(Refusal::TooManyBudgets { max: BUDGETS_MAX });
        }
        (None, Some(so_far)) if so_far.month == now.month_start() => {
            super::check_head(state, so_far.head)?;
            so_far.spent
        }
        // It was removed after it had been read, or another month has begun.
        (None, Some(_) | None) => return Err(Refusal::AccountChanged),
    };
    let BudgetTerms { project, amount, stops } = terms.clone();
    let month = now.month_start();
    // Another amount has notices of its own.
    let same =
        state.budget(&project).filter(|known| known.amount == amount && known.month == month);
    let told = same.map_or(0, |known| known.told);
    let budget = Budget { project, amount, stops, month, spent, told };
    Ok(DecisionOutcome::of(BudgetChange::BudgetSet(budget)))
}

pub(super) fn remove(
    state: &AccountState,
    project: &ProjectId,
) -> Result<DecisionOutcome, Refusal> {
    let project = project.clone();
    if state.budget(&project).is_none() {
        return Err(Refusal::UnknownBudget { project });
    }
    Ok(DecisionOutcome::of(BudgetChange::BudgetRemoved { project }))
}

/// Checks that a budget that stops leaves room for a cost to come, beside the open holds of its
/// project. What is free needs no room.
///
/// # Errors
/// [`Refusal::BudgetExceeded`].
pub fn check_room(
    state: &AccountState,
    project: &ProjectId,
    cost: Usd,
    now: Timestamp,
) -> Result<(), Refusal> {
    let limit = state.budget(project).and_then(|budget| budget.limit_in(now));
    let Some(limit) = limit else { return Ok(()) };
    let left = limit - state.held_for(project);
    if cost.is_zero() || (left.is_positive() && cost <= left) {
        return Ok(());
    }
    Err(Refusal::BudgetExceeded { project: project.clone(), required: cost, left: left.or_zero() })
}
