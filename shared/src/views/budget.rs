//! A project's budget, as customers and staff read it.

use serde::Serialize;

use crate::domain::account::Budget;
use crate::domain::timestamp::Timestamp;

/// A budget in the current month. Amounts are in USD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetView {
    project: String,
    /// What the project may cost in a calendar month.
    amount: String,
    /// Whether what runs in it is stopped when the budget is used up.
    stop: bool,
    /// Such as `2026-11`.
    month: String,
    /// What the month has cost so far.
    spent: String,
    /// Zero if more was spent.
    left: String,
}

impl BudgetView {
    #[must_use]
    pub fn of(budget: &Budget, now: Timestamp) -> BudgetView {
        BudgetView {
            project: budget.project.to_string(),
            amount: budget.amount.to_string(),
            stop: budget.stops,
            month: now.month_name(),
            spent: budget.spent_in(now).to_string(),
            left: budget.left_in(now).or_zero().to_string(),
        }
    }
}
