//! What is owed: time that ran without credit in a respite, and what is kept while suspended.

use serde_json::{Value, json};

use super::amounts::{HourlyRate, Micros, cost, hourly_rate, micros};
use super::ensure;
use super::row::BookedRow;
use super::time::{AccountBefore, PeriodBook};

/// The grace period of the policy.
pub const GRACE_SECONDS: i64 = 3 * 24 * 3_600;

#[derive(Clone, Debug, Default)]
pub struct OwedBooks {
    /// What rows recorded, less what was paid of it.
    recorded: Micros,
    kept: Option<KeptBook>,
}

/// What is kept while suspended, and costs its rate. Time before `from` is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptBook {
    pub rate: HourlyRate,
    pub from: i64,
    pub until: i64,
}

impl KeptBook {
    #[must_use]
    pub fn cost(&self, now: i64) -> Micros {
        cost(self.rate, (now.min(self.until) - self.from).max(0))
    }

    /// The same from now on, at another rate.
    fn later(&self, now: i64, rate: HourlyRate) -> Option<Self> {
        let from = now.min(self.until).max(self.from);
        Some(Self { rate, from, ..*self }).filter(|kept| kept.rate != 0)
    }
}

/// How many seconds ran in a respite after the paid time. `state` is that before the row.
fn seconds_in_respite(state: &Value, period: Option<&PeriodBook>, now: i64) -> i64 {
    let respite = &state["r"]["ru"];
    match (period, respite["f"].as_i64(), respite["t"].as_i64()) {
        (Some(period), Some(from), Some(until)) => {
            (until.min(now) - from.max(period.through)).max(0)
        }
        _ => 0,
    }
}

impl OwedBooks {
    #[must_use]
    pub fn at(&self, now: i64) -> Micros {
        self.recorded + self.kept.map_or(0, |kept| kept.cost(now))
    }

    /// What a row must do to what is owed. `state` is that before the row, and `paid` is what an
    /// `owed_paid` row pays.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(
        &mut self,
        row: &BookedRow,
        before: AccountBefore<'_>,
        state: &Value,
    ) -> Result<(), String> {
        let was = self.recorded;
        // What a budget ends is not owed.
        let unpaid = match row.change["why"] == "budget" {
            true => 0,
            false => seconds_in_respite(state, before.period, row.at),
        };
        match row.kind.as_str() {
            "suspended" | "stopped" | "resources_deleted" => {
                let ending = before.ending(row)?.into_iter();
                let costs: Vec<_> = ending.map(|(one, rate)| (one, cost(rate, unpaid))).collect();
                let paid_through = before.period.map_or(row.at, |period| period.through);
                self.recorded += before.budgets.owed(&costs, paid_through);
                match row.kind.as_str() {
                    "suspended" => self.keep(row, before, unpaid)?,
                    "resources_deleted" => self.delete(row, before, state)?,
                    _ => {}
                }
            }
            "owed_paid" => self.pay(row, before, state),
            "start_failed" => self.fail_start(row)?,
            "deleting" => {
                self.recorded += self.kept.take().map_or(0, |kept| kept.cost(row.at));
            }
            "deleted" => self.recorded = 0,
            "resumed" | "closed" | "reopened" => self.kept = None,
            _ => {}
        }
        let change = micros(&row.event["o"])?;
        ensure!(
            self.recorded - was == change,
            "{} more is owed, not {change}",
            self.recorded - was
        );
        Ok(())
    }

    /// What keeps data while suspended for lack of credit costs its idle rate.
    fn keep(
        &mut self,
        row: &BookedRow,
        before: AccountBefore<'_>,
        unpaid: i64,
    ) -> Result<(), String> {
        if row.change["reason"] != "credit" {
            return Ok(());
        }
        // Nothing was billed by time, so nothing is kept that costs anything.
        let Some(period) = before.period else { return Ok(()) };
        let paid_through = period.through;
        let mut rate = 0;
        for one in before.resources.rated(before.prices, paid_through)? {
            let resource = before.resources.known(&one.id)?;
            rate += resource.idle_rate(before.prices, paid_through).unwrap_or_default();
        }
        let grace = row.change["delete_at"].as_i64().ok_or("no deletion")? - row.at;
        let from = paid_through + unpaid;
        let kept = KeptBook { rate, from, until: from + grace };
        self.kept = Some(kept).filter(|_| rate != 0 && grace > 0);
        Ok(())
    }

    /// What is deleted is kept no longer.
    fn delete(
        &mut self,
        row: &BookedRow,
        before: AccountBefore<'_>,
        state: &Value,
    ) -> Result<(), String> {
        let Some(kept) = self.kept else { return Ok(()) };
        let as_of = state["s"]["suspended"]["o"].as_i64().ok_or("kept, and not suspended")?;
        let mut rate = kept.rate;
        for id in row.resources() {
            let resource = before.resources.known(&id)?;
            if resource.status == super::resources::StatusBook::Off {
                rate -= resource.idle_rate(before.prices, as_of).unwrap_or_default();
            }
        }
        self.recorded += kept.cost(row.at);
        self.kept = kept.later(row.at, rate.max(0));
        Ok(())
    }

    /// The suspension ends with the payment of all that is owed, and what is kept is paid anew then.
    fn pay(&mut self, row: &BookedRow, before: AccountBefore<'_>, state: &Value) {
        let last_at = before.last_at;
        let left = self.at(last_at) + row.amount;
        let available = before.funds.available() + row.amount;
        let floor = state["s"]["suspended"]["l"].as_str();
        let floor = floor.map_or(0, |floor| micros(&json!(floor)).unwrap_or_default());
        let is_frozen = state["f"].is_object();
        let ends = left == 0 && available > floor && !is_frozen;
        self.recorded = left;
        self.kept =
            self.kept.and_then(|kept| kept.later(last_at, if ends { 0 } else { kept.rate }));
    }

    /// What never ran is not owed. The row says how much that was.
    fn fail_start(&mut self, row: &BookedRow) -> Result<(), String> {
        let before = self.at(row.at);
        self.recorded += micros(&row.event["o"])?;
        if row.event["k"].is_object() {
            self.kept = kept_of(&row.event["k"])?;
        }
        ensure!(self.recorded >= 0, "less than nothing is owed");
        ensure!(self.at(row.at) <= before, "a failed start adds to what is owed");
        Ok(())
    }

    /// The stored state owes the same.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_state(&self, state: &Value) -> Result<(), String> {
        let recorded = micros(&state["o"])?;
        ensure!(recorded == self.recorded, "{} is owed, not {recorded}", self.recorded);
        let kept = kept_of(&state["s"]["suspended"]["k"])?;
        ensure!(kept == self.kept, "{:?} is kept, and the state says {kept:?}", self.kept);
        Ok(())
    }
}

fn kept_of(stored: &Value) -> Result<Option<KeptBook>, String> {
    if stored.is_null() {
        return Ok(None);
    }
    let seconds = |name: &str| stored[name].as_i64().ok_or("a charge without time");
    let (rate, from, until) = (hourly_rate(&stored["r"])?, seconds("f")?, seconds("t")?);
    Ok(Some(KeptBook { rate, from, until }).filter(|kept| kept.rate != 0))
}
