//! Budgets of projects: set and removed.

use serde::{Deserialize, Serialize};

use super::{ChangeFamily, RowPlace};
use crate::domain::account::{AccountState, Budget};
use crate::domain::ids::ProjectId;
use crate::domain::names::variant_names;

/// A change of the customer's budgets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetChange {
    /// A project has this budget from now on.
    BudgetSet(Budget),
    BudgetRemoved {
        project: ProjectId,
    },
}

variant_names! {
    /// The `type` attribute of rows of this kind.
    BudgetChange {
        BudgetChange::BudgetSet(_) => "budget_set",
        BudgetChange::BudgetRemoved { .. } => "budget_removed",
    }
}

impl ChangeFamily for BudgetChange {
    fn apply(&self, next: &mut AccountState, _row: RowPlace) {
        let project = match self {
            BudgetChange::BudgetSet(budget) => &budget.project,
            BudgetChange::BudgetRemoved { project } => project,
        };
        let known = next.budgets.iter().position(|budget| budget.project == *project);
        match (self, known) {
            (BudgetChange::BudgetSet(budget), Some(place)) => next.budgets[place] = budget.clone(),
            (BudgetChange::BudgetSet(budget), None) => next.budgets.push(budget.clone()),
            (BudgetChange::BudgetRemoved { .. }, Some(place)) => {
                next.budgets.remove(place);
            }
            (BudgetChange::BudgetRemoved { .. }, None) => {}
        }
    }
}
