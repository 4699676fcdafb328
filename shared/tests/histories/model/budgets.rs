//! Budgets: what each project's months cost, and what a budget that stops forbids.

use std::collections::BTreeMap;

use tollgate::domain::account::AccountState;
use tollgate::domain::event::{
    BillingChange, BudgetChange, Change, Event, ResourceChange, StopReason,
};
use tollgate::domain::timestamp::Timestamp;

use super::{Due, HOUR, Mode, Model, cost, ensure, here, micros};
use crate::Check;

/// The start of the month of an instant.
fn month(at: i64) -> i64 {
    Timestamp::from_seconds(at).map_or(at, |at| at.month_start().seconds())
}

/// What the customer set: micro-dollars a month, and whether it stops the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BudgetBook {
    amount: i64,
    stops: bool,
    /// The month that it counts. It limits none before.
    month: i64,
}

impl Model {
    /// What a month of a project has cost so far.
    fn spent(&self, project: &str, month: i64) -> i64 {
        self.costs.get(&(project.to_owned(), month)).copied().unwrap_or_default()
    }

    /// What a budget that stops leaves of a month.
    fn budget_left(&self, project: &str, at: i64) -> Option<i64> {
        let budget = self.budgets.get(project).filter(|budget| budget.stops)?;
        if budget.month > month(at) {
            return None;
        }
        Some(budget.amount - self.spent(project, month(at)).max(0))
    }

    /// Whether starts and holds that cost so much are within the budget of their project.
    pub(super) fn check_within_budget(&self, project: &str, amount: i64, at: i64) -> Check {
        let Some(left) = self.budget_left(project, at) else { return Ok(()) };
        let counted =
            self.holds.values().filter(|hold| hold.counted_for == Some(project.to_owned()));
        let held: i64 = counted.flat_map(|hold| &hold.shares).map(|(_, part)| part).sum();
        ensure!(
            amount == 0 || (amount <= left - held && left - held > 0),
            "{amount} more for {project}, whose budget has {left} left and {held} held"
        );
        Ok(())
    }

    /// Whether nothing more may start in a project.
    pub(super) fn is_over_budget(&self, project: &str, at: i64) -> bool {
        self.budget_left(project, at).is_some_and(|left| left <= 0)
    }

    /// Whether the budgets of all projects in which something runs cover `[from, through)`.
    pub(super) fn budgets_fit(&self, due: &[Due<'_>], from: i64, through: i64) -> bool {
        self.budgets.keys().all(|project| self.budget_fits(project, due, from, through))
    }

    fn budget_fits(&self, project: &str, due: &[Due<'_>], from: i64, through: i64) -> bool {
        let Some(left) = self.budget_left(project, from) else { return true };
        let of_project: Vec<&Due<'_>> = due.iter().filter(|one| one.project == project).collect();
        let needed: i64 = of_project
            .iter()
            .map(|one| {
                let least = i64::from(one.picos > 0 && through > one.start);
                cost(one.picos, through - one.start).max(least)
            })
            .sum();
        let runs = of_project.iter().any(|one| one.mode == Mode::Running && one.picos > 0);
        !runs || needed == 0 || needed <= left
    }

    /// What is stopped for a budget runs in a project whose budget does not cover a second more.
    pub(super) fn check_stopped_for_budget(&self, ids: &[&str], as_of: i64) -> Check {
        let due = self.due(as_of, as_of + 1);
        for id in ids {
            let Some(thing) = self.things.get(*id) else { return Err(format!("{id} is unknown")) };
            let runs = thing.phase.is_some_and(|phase| {
                phase.mode == Mode::Running && self.rate(thing, Mode::Running, as_of) > 0
            });
            ensure!(runs, "{id} is stopped for a budget and does not run");
            ensure!(
                !self.budget_fits(&thing.project, &due, as_of, as_of + 1),
                "{id} is stopped, although its budget covers a further second"
            );
        }
        Ok(())
    }

    /// Enters what a row costs each project, by the month that it pays for.
    pub(super) fn count_costs(&mut self, event: &Event) -> Check {
        let at = event.at.seconds();
        for line in event.change.meter_lines() {
            let older = match &event.change {
                Change::Billing(BillingChange::Metered { hour: Some(hour), .. }) => {
                    hour.seconds() - HOUR
                }
                _ => at - at.rem_euclid(HOUR) - HOUR,
            };
            let of = month(line.hour.map_or(older, Timestamp::seconds));
            let project = line.project.as_str().to_owned();
            *self.costs.entry((project, of)).or_default() -= micros(line.amount);
        }
        let of = match &event.change {
            Change::Billing(BillingChange::Usage { from, .. }) => from.seconds(),
            Change::Resource(ResourceChange::Stopped { resources, why, as_of, .. }) => {
                // A budget that stops something counts that month from then on.
                for stopped in resources.iter().filter(|_| *why == StopReason::Budget) {
                    let project = stopped.project.as_str().to_owned();
                    self.costs.entry((project, month(as_of.seconds()))).or_default();
                }
                as_of.seconds()
            }
            _ => at,
        };
        let Some(lines) = event.change.lines() else { return Ok(()) };
        for line in here(lines)? {
            let Some(thing) = self.things.get(line.resource.as_str()) else {
                return Err(format!("{} is billed and not known", line.resource));
            };
            let key = (thing.project.clone(), month(of));
            *self.costs.entry(key).or_default() -= micros(line.amount);
        }
        Ok(())
    }

    /// The state has the budgets that were set, with what their projects cost.
    pub(super) fn budgets(&mut self, event: &Event, after: &AccountState) -> Check {
        match &event.change {
            Change::Budget(BudgetChange::BudgetSet(set)) => {
                let month_of = set.month.seconds();
                let book =
                    BudgetBook { amount: micros(set.amount), stops: set.stops, month: month_of };
                ensure!(book.amount > 0, "a budget of {}", set.amount);
                ensure!(
                    set.month.seconds() == month(event.at.seconds()),
                    "a budget counts from {}",
                    set.month
                );
                self.budgets.insert(set.project.as_str().to_owned(), book);
                ensure!(self.budgets.len() <= 10, "an eleventh budget");
            }
            Change::Budget(BudgetChange::BudgetRemoved { project }) => {
                let known = self.budgets.remove(project.as_str());
                ensure!(known.is_some(), "{project} had no budget");
            }
            _ => {}
        }
        let stored: BTreeMap<String, BudgetBook> = after
            .budgets
            .iter()
            .map(|budget| {
                let (amount, stops) = (micros(budget.amount), budget.stops);
                let book = BudgetBook { amount, stops, month: budget.month.seconds() };
                (budget.project.as_str().to_owned(), book)
            })
            .collect();
        for (project, book) in &mut self.budgets {
            // What is counted in a later month begins that month.
            let counted = self.costs.keys().filter(|(p, _)| p == project).map(|(_, month)| *month);
            let began = stored.get(project).map_or(book.month, |stored| stored.month);
            book.month =
                counted.chain([book.month]).filter(|month| *month <= began).max().unwrap_or(0);
        }
        ensure!(stored == self.budgets, "the budgets are {stored:?}, not {:?}", self.budgets);
        for budget in &after.budgets {
            let (project, of) = (budget.project.as_str(), budget.month.seconds());
            let (stored, spent) = (micros(budget.spent), self.spent(project, of));
            ensure!(stored == spent, "{project} has cost {spent} since {of}, not {stored}");
            let later = self
                .costs
                .iter()
                .find(|((p, month), amount)| p == project && *month > of && **amount != 0);
            ensure!(later.is_none(), "{project} is counted in {of} and not in {later:?}");
        }
        Ok(())
    }
}
