//! Budgets of the two projects.

use tollgate::domain::command::{BudgetTerms, Command, MonthSoFar};
use tollgate::domain::ids::ProjectId;
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::views::spending::{ServiceTime, SpendingSteps, SpendingTally};

use super::{World, id};
use crate::model::Asked;
use crate::steps::Action;

impl World {
    pub(super) fn budget(&mut self, action: &Action) -> Result<Option<Refusal>, String> {
        match *action {
            Action::SetBudget { project, micros, stops } => {
                self.settle()?;
                let project = project_of(project)?;
                let so_far = match self.state().budget(&project) {
                    Some(_) => None,
                    None => Some(self.month_so_far(&project)),
                };
                let (amount, stops) = (Usd::from_micros(micros), stops != 0);
                let terms = BudgetTerms { project, amount, stops };
                self.command(&Command::SetBudget { terms, so_far }, Asked::default())
            }
            Action::RemoveBudget { project } => {
                let project = project_of(project)?;
                self.command(&Command::RemoveBudget { project }, Asked::default())
            }
            _ => Ok(None),
        }
    }

    /// As the bill of the project says.
    fn month_so_far(&self, project: &ProjectId) -> MonthSoFar {
        let from = self.now.month_start();
        let time = ServiceTime { from, until: from.next_month() };
        let mut tally =
            SpendingTally::new(&self.billables, &self.prices, time, SpendingSteps::Whole);
        self.rows.iter().for_each(|row| tally.add(row));
        let spending = tally.end();
        let of_project = spending.iter().filter(|((_, item), _)| item.project() == Some(project));
        let spent = of_project.map(|(_, spent)| spent.amount).sum();
        MonthSoFar { head: self.state().next_seq - 1, month: from, spent }
    }
}

/// One of the account's two projects.
pub(super) fn project_of(number: u8) -> Result<ProjectId, String> {
    id(if number % 3 == 2 { "p2" } else { "p" })
}
