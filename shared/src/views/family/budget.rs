use super::FamilyView;
use crate::domain::event::{BudgetChange, Event};
use crate::domain::row::Row;
use crate::views::event_detail::DomainEventDetail;

impl FamilyView for BudgetChange {
    fn description(&self, _event: &Event) -> String {
        match self {
            BudgetChange::BudgetSet(budget) => {
                let then = if budget.stops { ". At the limit, its resources stop" } else { "" };
                format!(
                    "Budget of project {} set to ${} per month{then}",
                    budget.project, budget.amount
                )
            }
            BudgetChange::BudgetRemoved { project } => {
                format!("Budget of project {project} removed")
            }
        }
    }

    fn domain_events(&self, _row: &Row) -> Vec<DomainEventDetail> {
        Vec::new()
    }
}
