//! Billing for time: what a row must charge or give back, line by line.

use std::collections::{BTreeMap, BTreeSet};

use super::amounts::{DOLLAR, HourlyRate, Micros, cost};
use super::budgets::BudgetBooks;
use super::ensure;
use super::funds::{FundBooks, Wallet};
use super::prices::PriceBooks;
use super::resources::{RatedResource, ResourceBooks, StatusBook};
use super::row::{BookedLine, BookedRow, FundMoves};

pub const HOUR: i64 = 3_600;
/// A start needs so much credit at least, as the policy says.
const START_CREDIT_MIN: Micros = 5 * DOLLAR;
/// A start must leave credit for so long after the paid time, as the policy says.
const RESERVE_SECONDS: i64 = 600;

/// The stretch of time that is paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodBook {
    pub from: i64,
    /// The first second that is not paid.
    pub through: i64,
    /// What is off and kept for free in this period.
    pub unpaid: BTreeSet<String>,
}

impl PeriodBook {
    #[must_use]
    pub fn new(from: i64, through: i64) -> Self {
        Self { from, through, unpaid: BTreeSet::new() }
    }

    /// The second whose prices the period has. Prices change at full hours only.
    #[must_use]
    pub fn rated_at(&self) -> i64 {
        self.from.max(self.through - 1)
    }
}

/// What a row must say.
#[derive(Clone, Debug, Default)]
pub struct ExpectedRow {
    pub lines: Vec<BookedLine>,
    pub moves: FundMoves,
}

/// An account as it is before a row.
#[derive(Clone, Copy, Debug)]
pub struct AccountBefore<'a> {
    pub funds: &'a FundBooks,
    pub resources: &'a ResourceBooks,
    pub prices: &'a PriceBooks,
    pub budgets: &'a BudgetBooks,
    pub period: Option<&'a PeriodBook>,
    pub last_at: i64,
}

#[must_use]
pub fn hour_end(instant: i64) -> i64 {
    instant - instant.rem_euclid(HOUR) + HOUR
}

fn seconds_of(one: &RatedResource, from: i64, through: i64) -> i64 {
    (through - from.max(one.since)).max(0)
}

/// Sorts by how few grants can pay, then by ID: the order of payment.
fn sort(charges: &mut [RatedResource], wallet: &Wallet) {
    charges.sort_by_key(|one| (wallet.eligible_grants(&one.sku), one.id.clone()));
}

/// The resources that the credit does not pay to an instant, in the order of payment. A stretch that
/// rounds to nothing needs a millionth all the same.
fn unaffordable(
    wallet: &Wallet,
    charges: &[RatedResource],
    from: i64,
    through: i64,
) -> BTreeSet<String> {
    let mut wallet = wallet.clone();
    let mut unaffordable = BTreeSet::new();
    for one in charges {
        let seconds = seconds_of(one, from, through);
        let needed = cost(one.rate, seconds).max(i128::from(one.rate > 0 && seconds > 0));
        if wallet.pay(&one.sku, needed).is_none() {
            unaffordable.insert(one.id.clone());
        }
    }
    unaffordable
}

impl AccountBefore<'_> {
    /// The period that is paid.
    ///
    /// # Errors
    /// That there is none.
    pub fn paid_period(&self) -> Result<&PeriodBook, String> {
        self.period.ok_or_else(|| "no period is paid".to_owned())
    }

    /// What is billed, at the prices of an instant, and the funds of a period that begins there.
    fn charges(&self, from: i64) -> Result<(Vec<RatedResource>, Wallet), String> {
        let mut charges = self.resources.rated(self.prices, from)?;
        let wallet = Wallet::of_new_period(self.funds, from);
        sort(&mut charges, &wallet);
        Ok((charges, wallet))
    }

    /// A period is paid: every line at the price of its hour, to the last second that the credit
    /// pays.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn usage(&self, row: &BookedRow, unpaid: &BTreeSet<String>) -> Result<ExpectedRow, String> {
        let (from, through) = (row.change["f"].as_i64(), row.change["t"].as_i64());
        let (from, through) = (from.ok_or("no start")?, through.ok_or("no end")?);
        let before = self.paid_period()?;
        ensure!(before.through == from, "time is paid to {}: twice or not at all", before.through);
        ensure!(from < through && through <= hour_end(from), "{through} is not within its hour");
        ensure!(from <= row.at, "time is paid before it begins");
        for (number, grant) in &self.funds.grants {
            // What a hold keeps of it ends with the hold.
            let is_late = grant.expires_at <= from && self.funds.free(*number) > 0;
            ensure!(!is_late, "grant {number} has ended and is still there");
        }
        let (mut charges, wallet) = self.charges(from)?;
        let short = unaffordable(&wallet, &charges, from, from + 1);
        for id in unpaid {
            let is_off = self.resources.known(id)?.status == StatusBook::Off;
            ensure!(is_off, "{id} is not billed and not off");
            ensure!(!short.is_empty(), "{id} is not billed, and the credit would pay it");
        }
        charges.retain(|one| !unpaid.contains(&one.id));
        let one_more = through + 1;
        let over = self.budgets.short(&charges, from, through);
        ensure!(over.is_empty(), "the budgets of {over:?} do not pay to {through}");
        let is_last = through == hour_end(from)
            || !unaffordable(&wallet, &charges, from, one_more).is_empty()
            || !self.budgets.short(&charges, from, one_more).is_empty();
        ensure!(is_last, "credit and budgets pay more than to {through}");
        let mut expected = pay_all(wallet, &charges, from, through)?;
        expected.lines.sort_by(|one, other| one.resource.cmp(&other.resource));
        Ok(expected)
    }

    /// Started resources pay to the end of the period at once, less what was paid for them while
    /// they were off.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn start(&self, row: &BookedRow) -> Result<ExpectedRow, String> {
        let through = self.period.map_or(hour_end(row.at), |period| period.through);
        ensure!(row.change["through"] == through, "a start is paid to another time than {through}");
        ensure!(row.at < through, "a start is not paid ahead");
        let rated = self.rated_now()?;
        let mut wallet = Wallet::at(self.funds, row.at);
        let mut expected = ExpectedRow::default();
        let mut running: Vec<RatedResource> = rated.clone();
        let mut costs: BTreeMap<String, Micros> = BTreeMap::new();
        for stored in super::row::array(&row.change["resources"]) {
            let (id, sku) = (stored["id"].as_str(), stored["sku"].as_str());
            let (id, sku) = (id.unwrap_or_default(), sku.unwrap_or_default());
            let rate = match stored["rate"].as_str() {
                Some(agreed) => super::amounts::scaled(agreed, 12)?,
                None => self.prices.at(sku, row.at)?.rate,
            };
            let added = (rate - self.paid_while_off(&rated, id)).max(0);
            let seconds = through - row.at;
            let amount = cost(added, seconds);
            let credit = wallet.eligible(sku);
            ensure!(credit >= START_CREDIT_MIN.max(amount), "{id} starts with {credit}");
            let shares = wallet.pay(sku, amount).ok_or("a start that the credit does not pay")?;
            let resource = id.to_owned();
            expected.lines.push(BookedLine {
                resource,
                rate: added,
                seconds,
                amount: -amount,
                shares,
            });
            running.retain(|one| one.id != id);
            let project = stored["project"].as_str().unwrap_or_default().to_owned();
            *costs.entry(project.clone()).or_default() += amount;
            let (id, sku, since) = (id.to_owned(), sku.to_owned(), through);
            running.push(RatedResource { id, project, sku, rate, since, is_running: true });
        }
        for (project, amount) in costs {
            self.budgets.check_room(&project, amount, row.at)?;
        }
        expected.moves = wallet.moves();
        self.check_reserve(&expected.moves, running, through)?;
        Ok(expected)
    }

    /// After a start, the credit reaches ten minutes beyond the paid time, for all that then runs.
    fn check_reserve(
        &self,
        moves: &FundMoves,
        mut running: Vec<RatedResource>,
        through: i64,
    ) -> Result<(), String> {
        let mut funds = self.funds.clone();
        funds.apply(moves)?;
        let mut wallet = Wallet::at(&funds, through);
        sort(&mut running, &wallet);
        // By SKU a sum is rounded once, here each resource: they differ by less than this.
        let rounding = running.len() as i128;
        let mut missing = 0;
        for one in &running {
            let needed = cost(one.rate, RESERVE_SECONDS);
            if wallet.pay(&one.sku, needed).is_none() {
                missing += needed - wallet.eligible(&one.sku);
            }
        }
        ensure!(missing <= rounding, "a start leaves too little for ten minutes: {missing}");
        Ok(())
    }

    /// What is billed now, at the rates of the period.
    ///
    /// # Errors
    /// That there is no price.
    pub fn rated_now(&self) -> Result<Vec<RatedResource>, String> {
        match self.period {
            Some(period) => self.resources.rated(self.prices, period.rated_at()),
            None => Ok(Vec::new()),
        }
    }

    fn is_unpaid(&self, id: &str) -> bool {
        self.period.is_some_and(|period| period.unpaid.contains(id))
    }

    fn paid_while_off(&self, rated: &[RatedResource], id: &str) -> HourlyRate {
        let paid = rated.iter().find(|one| one.id == id && !self.is_unpaid(id));
        paid.map_or(0, |one| one.rate)
    }

    /// The difference that a stop makes: the resource, its rate, and that rate less what it still
    /// costs while it is off.
    ///
    /// # Errors
    /// That there is no price.
    pub fn ending(&self, row: &BookedRow) -> Result<Vec<(RatedResource, HourlyRate)>, String> {
        let rated = self.rated_now()?;
        if row.kind == "suspended" {
            return Ok(rated.into_iter().map(|one| (one.clone(), one.rate)).collect());
        }
        let mut ending = Vec::new();
        for id in row.resources() {
            let Some(one) = rated.iter().find(|one| one.id == id) else { continue };
            let instant = self.paid_period()?.rated_at();
            let goes_on = row.kind == "stopped";
            let then = self.resources.known(&id)?.idle_rate(self.prices, instant);
            let then = then.filter(|_| goes_on).unwrap_or(0);
            ending.push((one.clone(), (one.rate - then).max(0)));
        }
        Ok(ending)
    }

    /// What ends gets its unused seconds back, at the rate that they were charged.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn give_back(&self, row: &BookedRow) -> Result<ExpectedRow, String> {
        let unused = self.period.map_or(0, |period| (period.through - row.at).max(0));
        let mut wallet = Wallet::at(self.funds, row.at);
        let mut lines = Vec::new();
        for (one, rate) in self.ending(row)? {
            let seconds = if self.is_unpaid(&one.id) { 0 } else { unused };
            let shares = wallet.give_back(&one.sku, cost(rate, seconds));
            let amount = shares.values().sum();
            lines.push(BookedLine { resource: one.id, rate, seconds, amount, shares });
        }
        Ok(ExpectedRow { lines, moves: wallet.moves() })
    }

    /// What stops because its credit is spent could not pay another second.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_spent(&self, as_of: i64) -> Result<(), String> {
        let through = self.paid_period()?.through;
        ensure!(as_of == through, "what was paid to {through} stops at {as_of}");
        let (charges, wallet) = self.charges(as_of)?;
        let short = unaffordable(&wallet, &charges, as_of, as_of + 1);
        ensure!(!short.is_empty(), "the credit pays another second of everything");
        Ok(())
    }

    /// What stops for a budget runs in a project whose budget does not pay another second.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_over_budget(
        &self,
        as_of: i64,
        (stopped, in_respite): (&[String], bool),
    ) -> Result<(), String> {
        let through = self.paid_period()?.through;
        ensure!(as_of == through, "what was paid to {through} stops at {as_of}");
        let (charges, wallet) = self.charges(as_of)?;
        let short = unaffordable(&wallet, &charges, as_of, as_of + 1);
        // Some may be off, and kept for free.
        let some_paid = short.len() < charges.len();
        ensure!(some_paid || in_respite, "a budget and the credit end together");
        let over = self.budgets.short(&charges, as_of, as_of + 1);
        for id in stopped {
            let runs = charges.iter().find(|one| one.id == *id && one.is_running && one.rate > 0);
            let runs = runs.ok_or_else(|| format!("{id} does not run"))?;
            ensure!(over.contains(&runs.project), "{id} stops, and its budget goes on");
        }
        Ok(())
    }
}

fn pay_all(
    mut wallet: Wallet,
    charges: &[RatedResource],
    from: i64,
    through: i64,
) -> Result<ExpectedRow, String> {
    let mut lines = Vec::new();
    for one in charges {
        let seconds = seconds_of(one, from, through);
        let amount = cost(one.rate, seconds);
        let shares = wallet.pay(&one.sku, amount);
        let shares = shares.ok_or_else(|| format!("the credit does not pay {}", one.id))?;
        lines.push(BookedLine {
            resource: one.id.clone(),
            rate: one.rate,
            seconds,
            amount: -amount,
            shares,
        });
    }
    Ok(ExpectedRow { lines, moves: wallet.moves() })
}
