//! What projects may cost, and what they have cost.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::AccountState;
use crate::domain::defaults::is_default;
use crate::domain::holds::Hold;
use crate::domain::ids::ProjectId;
use crate::domain::money::Usd;
use crate::domain::timestamp::Timestamp;
use crate::domain::yes_no;

/// What a project may cost in a calendar month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    #[serde(rename = "p")]
    pub project: ProjectId,
    /// In USD, above zero.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// Whether what runs in the project is stopped when the budget is used up.
    #[serde(rename = "s", with = "yes_no")]
    pub stops: bool,
    /// The start of the month that `spent` counts (UTC): the latest in which the budget was set, was
    /// spent from, or stopped the project.
    #[serde(rename = "m")]
    pub month: Timestamp,
    /// What that month has cost so far, in USD, less what was given back.
    #[serde(rename = "u", default, skip_serializing_if = "Usd::is_zero")]
    pub spent: Usd,
    /// The highest percentage of which the customer was notified in that month. Zero if no notice was
    /// sent.
    #[serde(rename = "t", default, skip_serializing_if = "is_default")]
    pub told: u8,
}

/// What a row spends of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetSpend {
    #[serde(rename = "p")]
    pub project: ProjectId,
    /// The start of the month that it pays for (UTC).
    #[serde(rename = "m")]
    pub month: Timestamp,
    /// In USD. Below zero if more is given back than charged.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// The percentage of the budget of which the row notifies the customer.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub told: Option<u8>,
}

/// The parts of a budget of which the customer is notified, in percent, the highest first.
const NOTICE_PERCENTS: [u8; 2] = [100, 80];

impl Budget {
    /// What is counted for the month of an instant, in USD. Zero for any month but [`Budget::month`].
    #[must_use]
    pub fn spent_in(&self, instant: Timestamp) -> Usd {
        if self.month == instant.month_start() { self.spent } else { Usd::ZERO }
    }

    /// What is left of it for the month of an instant, in USD. Below zero if it was exceeded. What is
    /// given back of an earlier month does not make it larger.
    #[must_use]
    pub fn left_in(&self, instant: Timestamp) -> Usd {
        self.amount - self.spent_in(instant).or_zero()
    }

    /// What it allows in the month of an instant, in USD. `None` if it stops nothing, or if the count
    /// is already in a later month.
    #[must_use]
    pub fn limit_in(&self, instant: Timestamp) -> Option<Usd> {
        (self.stops && self.month <= instant.month_start()).then(|| self.left_in(instant))
    }

    /// Late usage of an earlier month is in that month's bill only.
    pub(crate) fn count(&mut self, spend: &BudgetSpend) {
        if spend.month > self.month {
            (self.month, self.spent, self.told) = (spend.month, Usd::ZERO, 0);
        }
        if spend.month == self.month {
            self.spent += spend.amount;
            self.told = self.told.max(spend.told.unwrap_or_default());
        }
    }

    /// The highest percentage that is spent, of those of which the customer is notified.
    #[must_use]
    pub fn reached_percent(&self) -> Option<u8> {
        let spent = self.spent.decimal() * Decimal::ONE_HUNDRED;
        NOTICE_PERCENTS
            .into_iter()
            .find(|part| spent >= self.amount.decimal() * Decimal::from(*part))
    }
}

impl AccountState {
    /// The budget of a project, if it has one.
    #[must_use]
    pub fn budget(&self, project: &ProjectId) -> Option<&Budget> {
        self.budgets.iter().find(|budget| budget.project == *project)
    }

    /// What the open holds of a project keep, in USD. Only holds that were made while the project had a
    /// budget are counted.
    #[must_use]
    pub fn held_for(&self, project: &ProjectId) -> Usd {
        let of_project = self.holds.iter().filter(|hold| hold.project.as_ref() == Some(project));
        of_project.map(Hold::amount).sum()
    }
}
