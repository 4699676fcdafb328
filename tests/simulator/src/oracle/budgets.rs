//! Budgets: what the months of a project cost, where a budget stops it, and what it refuses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use time::UtcDateTime;

use super::amounts::{Micros, cost, micros};
use super::ensure;
use super::resources::{RatedResource, ResourceBooks};
use super::row::{BookedRow, array};
use super::time::HOUR;

/// How many budgets an account may have.
const BUDGETS_MAX: usize = 10;
/// Types of rows whose lines are of resources.
const LINED_TYPES: [&str; 7] =
    ["usage", "started", "restored", "stopped", "resources_deleted", "suspended", "start_failed"];

/// What a row costs, by project and month.
type Spends = BTreeMap<(String, i64), Micros>;

/// The budgets of an account, and what all its projects cost.
#[derive(Clone, Debug, Default)]
pub struct BudgetBooks {
    all: BTreeMap<String, BudgetBook>,
    /// By project and month.
    costs: BTreeMap<(String, i64), Micros>,
    /// What open holds keep of each project with a budget, before the row.
    pub held: BTreeMap<String, Micros>,
}

#[derive(Clone, Debug)]
struct BudgetBook {
    amount: Micros,
    stops: bool,
    /// The month that it counts.
    month: i64,
    /// The percentage of which its customer was told in that month.
    told: i128,
}

/// The start of the month of an instant.
fn month(instant: i64) -> i64 {
    let date = UtcDateTime::from_unix_timestamp(instant).ok().and_then(|at| at.replace_day(1).ok());
    date.map_or(instant, |first| {
        let seconds = first.unix_timestamp();
        seconds - seconds.rem_euclid(24 * HOUR)
    })
}

impl BudgetBooks {
    #[must_use]
    pub fn has(&self, project: &str) -> bool {
        self.all.contains_key(project)
    }

    fn spent(&self, project: &str, month: i64) -> Micros {
        self.costs.get(&(project.to_owned(), month)).copied().unwrap_or_default()
    }

    /// What is left of a budget that stops. `None`, too, of a month before the budget.
    fn left(&self, project: &str, instant: i64) -> Option<Micros> {
        let month = month(instant);
        let budget =
            self.all.get(project).filter(|budget| budget.stops && budget.month <= month)?;
        // What an earlier month gives back does not make it larger.
        Some(budget.amount - self.spent(project, month).max(0))
    }

    /// What time after the paid time is owed: of a project in which something runs, at most what its
    /// budget leaves.
    #[must_use]
    pub fn owed(&self, unpaid: &[(RatedResource, Micros)], paid_through: i64) -> Micros {
        let projects: BTreeSet<&str> = unpaid.iter().map(|(one, _)| one.project.as_str()).collect();
        let owed = projects.into_iter().map(|project| {
            let its = unpaid.iter().filter(|(one, _)| one.project == project);
            let sum: Micros = its.clone().map(|(_, amount)| amount).sum();
            match self.left(project, paid_through) {
                Some(left) if its.clone().any(|(one, _)| one.is_running) => sum.min(left.max(0)),
                _ => sum,
            }
        });
        owed.sum()
    }

    /// Whether nothing more may start in a project.
    #[must_use]
    pub fn is_used_up(&self, project: &str, instant: i64) -> bool {
        self.left(project, instant).is_some_and(|left| left <= 0)
    }

    /// Starts and holds are within the budget, beside open holds.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_room(&self, project: &str, amount: Micros, at: i64) -> Result<(), String> {
        let Some(left) = self.left(project, at) else { return Ok(()) };
        let left = left - self.held.get(project).copied().unwrap_or_default();
        ensure!(
            amount == 0 || (left > 0 && amount <= left),
            "{amount} for {project}, whose budget has {left} left"
        );
        Ok(())
    }

    /// The projects in which something runs and whose budgets do not pay a stretch of time.
    #[must_use]
    pub fn short(&self, charges: &[RatedResource], from: i64, through: i64) -> Vec<String> {
        let is_short = |project: &&String| {
            let Some(left) = self.left(project, from) else { return false };
            let of_project = charges.iter().filter(|one| one.project == **project);
            let needed: Micros = of_project
                .clone()
                .map(|one| {
                    let seconds = (through - from.max(one.since)).max(0);
                    cost(one.rate, seconds).max(i128::from(one.rate > 0 && seconds > 0))
                })
                .sum();
            let costs = |one: &RatedResource| one.is_running && one.rate > 0;
            of_project.clone().any(costs) && needed > left.max(0)
        };
        self.all.keys().filter(is_short).cloned().collect()
    }

    /// Enters a row: what it costs each project, and its own budget. The row says what it spends of
    /// budgets, and its state has them.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(&mut self, row: &BookedRow, resources: &ResourceBooks) -> Result<(), String> {
        let mut costs: BTreeMap<(String, i64), Micros> = BTreeMap::new();
        if LINED_TYPES.contains(&row.kind.as_str()) {
            let of = row.change["f"].as_i64().or(row.change["as_of"].as_i64());
            let of = month(of.unwrap_or(row.at));
            for line in row.lines()? {
                let project = resources.known(&line.resource)?.project.clone();
                *costs.entry((project, of)).or_default() -= line.amount;
            }
        } else if ["metered", "hold_captured"].contains(&row.kind.as_str()) {
            // Older releases count usage without its hour, in the hour before.
            let hour = row.change["hour"].as_i64().unwrap_or(row.at - row.at.rem_euclid(HOUR));
            for line in array(&row.change["lines"]) {
                let of = month(line["o"].as_i64().unwrap_or(hour - HOUR));
                let project = line["p"].as_str().unwrap_or_default().to_owned();
                *costs.entry((project, of)).or_default() -= micros(&line["a"])?;
            }
        }
        let mut spends: Spends = costs.clone();
        spends.retain(|(project, _), amount| self.has(project) && *amount != 0);
        for (key, amount) in costs {
            *self.costs.entry(key).or_default() += amount;
        }
        for (project, of) in spends.keys() {
            let budget = self.all.get_mut(project).filter(|budget| budget.month < *of);
            budget.into_iter().for_each(|budget| (budget.month, budget.told) = (*of, 0));
        }
        self.change(row)?;
        self.check_told(row, spends)?;
        self.check_state(&row.state)
    }

    /// The row says what it spends of budgets, and tells of 80 and 100 percent, once in a month of each.
    /// A stop tells of 100 percent, although a part of a second is left.
    fn check_told(&mut self, row: &BookedRow, spends: Spends) -> Result<(), String> {
        let mut expected: BTreeMap<(String, i64), (Micros, i128)> = BTreeMap::new();
        for (key, amount) in spends {
            expected.insert(key, (amount, 0));
        }
        let is_stop = row.change["why"] == "budget";
        let stopped = array(&row.change["resources"]).iter().filter(|_| is_stop);
        let of = month(row.change["as_of"].as_i64().unwrap_or(row.at));
        for project in stopped.filter_map(|one| one["project"].as_str()) {
            expected.insert((project.to_owned(), of), (0, 100));
        }
        if row.kind == "budget_set" {
            let project = row.change["p"].as_str().unwrap_or_default().to_owned();
            expected.insert((project, month(row.at)), (0, 0));
        }
        for ((project, of), (_, told)) in &mut expected {
            let spent = self.spent(project, *of);
            let Some(budget) = self.all.get_mut(project) else { continue };
            if is_stop && budget.month < *of {
                (budget.month, budget.told) = (*of, 0);
            }
            let is_past = |percent: &i128| spent * 100 >= budget.amount * percent;
            // Late usage of a month that is over is not told.
            let reached = [100, 80].into_iter().find(is_past).filter(|_| *of == month(row.at));
            let mark = reached.unwrap_or(0).max(*told);
            *told = if *of == budget.month && mark > budget.told { mark } else { 0 };
            budget.told = budget.told.max(*told);
        }
        expected.retain(|_, (amount, told)| *amount != 0 || *told != 0);
        let mut stored = BTreeMap::new();
        for one in array(&row.event["s"]) {
            let project = one["p"].as_str().unwrap_or_default().to_owned();
            let told = one["t"].as_i64().unwrap_or_default();
            let key = (project, one["m"].as_i64().unwrap_or_default());
            stored.insert(key, (micros(&one["a"])?, i128::from(told)));
        }
        ensure!(stored == expected, "the row says {stored:?} of budgets, not {expected:?}");
        Ok(())
    }

    /// A budget is set or removed.
    fn change(&mut self, row: &BookedRow) -> Result<(), String> {
        let project = row.change["p"].as_str().or(row.change["project"].as_str());
        let project = project.unwrap_or_default().to_owned();
        match row.kind.as_str() {
            "budget_set" => {
                let amount = micros(&row.change["a"])?;
                ensure!(amount > 0, "a budget of {amount}");
                let (stops, month) = (row.change["s"] == "yes", month(row.at));
                let is_same = |known: &&BudgetBook| (known.amount, known.month) == (amount, month);
                let told = self.all.get(&project).filter(is_same).map_or(0, |known| known.told);
                let book = BudgetBook { amount, stops, month, told };
                let spent = self.spent(&project, book.month);
                let stored = micros(&row.change["u"])?;
                ensure!(stored == spent, "{project} has cost {spent} so far, not {stored}");
                self.all.insert(project, book);
                ensure!(self.all.len() <= BUDGETS_MAX, "an eleventh budget");
            }
            "budget_removed" => {
                ensure!(self.all.remove(&project).is_some(), "{project} had no budget");
            }
            _ => {}
        }
        Ok(())
    }

    fn check_state(&self, state: &Value) -> Result<(), String> {
        let stored = array(&state["bu"]);
        ensure!(stored.len() == self.all.len(), "{} budgets are stored", stored.len());
        for one in stored {
            let project = one["p"].as_str().unwrap_or_default();
            let budget = self.all.get(project).ok_or_else(|| format!("{project} has no budget"))?;
            let spent = self.spent(project, budget.month);
            let is_same = micros(&one["a"])? == budget.amount
                && (one["s"] == "yes") == budget.stops
                && one["m"] == json!(budget.month)
                && i128::from(one["t"].as_i64().unwrap_or_default()) == budget.told
                && micros(&one["u"])? == spent;
            ensure!(is_same, "the state says {one}, and the books {budget:?} and {spent}");
        }
        Ok(())
    }
}
