//! Paid credit and grants, and which of them pays.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::amounts::{Micros, micros};
use super::ensure;
use super::row::{BookedRow, FundMove, FundMoves, FundNumber, FundShares, PAID, array};
use super::time::HOUR;

/// The funds of an account.
#[derive(Clone, Debug, Default)]
pub struct FundBooks {
    pub paid: Micros,
    /// What paid credit spent on the current period.
    pub paid_used: Micros,
    /// All grants that ever were. A spent one may get something back.
    pub grants: BTreeMap<FundNumber, GrantBook>,
    /// What holds keep of each fund. Only their captures are paid from it.
    pub held: FundShares,
}

#[derive(Clone, Debug)]
pub struct GrantBook {
    pub kind: String,
    pub amount: Micros,
    pub left: Micros,
    /// What the grant spent on the current period.
    pub used: Micros,
    /// When it was given. Older releases do not say so.
    pub given_at: Option<i64>,
    /// It pays for nothing from this second on.
    pub expires_at: i64,
    pub excludes: BTreeSet<String>,
    /// The payment that it came with.
    pub payment: Option<String>,
    /// Whether that payment was taken back, all of it. Nothing returns to the grant then.
    pub is_void: bool,
}

impl GrantBook {
    fn read(stored: &Value) -> Result<Self, String> {
        let excluded = array(&stored["e"]).iter().filter_map(Value::as_str);
        Ok(Self {
            kind: stored["k"].as_str().unwrap_or_default().to_owned(),
            amount: micros(&stored["a"])?,
            left: micros(&stored["r"])?,
            used: micros(&stored["u"])?,
            given_at: stored["b"].as_i64(),
            expires_at: stored["x"].as_i64().ok_or("a grant without end")?,
            excludes: excluded.map(str::to_owned).collect(),
            payment: stored["p"].as_str().map(str::to_owned),
            is_void: false,
        })
    }

    /// Whether the account's state still has the grant.
    #[must_use]
    pub fn is_in_state(&self) -> bool {
        self.left > 0 || self.used > 0
    }

    /// What can still be given back to it.
    fn room(&self) -> Micros {
        (self.amount - self.left - self.used).max(0)
    }
}

impl FundBooks {
    #[must_use]
    pub fn balance(&self) -> Micros {
        self.paid + self.grants.values().map(|grant| grant.left).sum::<Micros>()
    }

    /// The balance without what holds keep. Below zero if more was used.
    #[must_use]
    pub fn available(&self) -> Micros {
        self.balance() - self.held.values().sum::<Micros>()
    }

    /// What no hold keeps of a fund.
    #[must_use]
    pub fn free(&self, fund: FundNumber) -> Micros {
        let left = match fund {
            PAID => self.paid,
            number => self.grants.get(&number).map_or(0, |grant| grant.left),
        };
        left - self.held.get(&fund).copied().unwrap_or_default()
    }

    /// What no hold keeps of the grants that have not ended.
    fn free_of_grants(&self, instant: i64) -> Micros {
        let lasting = self.grants.iter().filter(|(_, grant)| grant.expires_at > instant);
        lasting.map(|(fund, _)| self.free(*fund)).sum()
    }

    /// Whether a grant can pay for a SKU.
    fn pays(&self, fund: FundNumber, sku: &str, instant: i64) -> bool {
        let may_pay =
            |grant: &GrantBook| grant.expires_at > instant && !grant.excludes.contains(sku);
        self.free(fund) > 0 && self.grants.get(&fund).is_some_and(may_pay)
    }

    /// The grants that can pay for a SKU.
    fn paying(&self, sku: &str, instant: i64) -> impl Iterator<Item = FundNumber> {
        self.grants.keys().copied().filter(move |fund| self.pays(*fund, sku, instant))
    }

    /// What can be held until an instant: how much each fund keeps, in the order in which they pay.
    /// Grants that end no earlier and exclude none of the SKUs come first, the one that ends first
    /// before others, then paid credit.
    ///
    /// # Errors
    /// That there is less.
    pub fn hold(
        &self,
        skus: &BTreeSet<String>,
        amount: Micros,
        until: i64,
    ) -> Result<Vec<(FundNumber, Micros)>, String> {
        let lasting = self.in_order().into_iter().filter(|fund| {
            self.grants[fund].expires_at >= until && self.grants[fund].excludes.is_disjoint(skus)
        });
        // A debt comes first, and other grants that last pay it.
        let all = self.free(PAID) + self.free_of_grants(until - 1);
        ensure!(amount <= all.max(0), "{amount} are held, and {all} are free until {until}");
        let (mut rest, mut shares) = (amount, Vec::new());
        for fund in lasting.chain([PAID]) {
            let part = rest.min(self.free(fund)).max(0);
            rest -= part;
            if part > 0 {
                shares.push((fund, part));
            }
        }
        ensure!(rest == 0, "{amount} are held, and nothing may pay {rest} of it");
        Ok(shares)
    }

    /// Grants in the order in which they pay.
    #[must_use]
    pub fn in_order(&self) -> Vec<FundNumber> {
        let mut funds: Vec<FundNumber> = self.grants.keys().copied().collect();
        funds.sort_by_key(|fund| (self.grants[fund].expires_at, *fund));
        funds
    }

    /// Adds the grants of a row. What they hold is in the row's moves.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add_grants(&mut self, row: &BookedRow) -> Result<(), String> {
        for stored in array(&row.event["g"]) {
            let number = stored["n"].as_u64().and_then(|number| FundNumber::try_from(number).ok());
            let number = number.ok_or("a grant without number")?;
            let new = GrantBook::read(stored)?;
            ensure!(!new.is_in_state(), "grant {number} comes with money beside the moves");
            if let Some(known) = self.grants.get(&number) {
                ensure!(known.amount == new.amount, "grant {number} had another amount");
                ensure!(known.expires_at == new.expires_at, "grant {number} had another end");
                ensure!(known.given_at == new.given_at, "grant {number} was given at another time");
                ensure!(new.expires_at > row.at, "grant {number} returns after its end");
                continue;
            }
            let is_of_now = new.given_at.is_none_or(|given_at| given_at == row.at);
            ensure!(is_of_now, "grant {number} was given at {:?}", new.given_at);
            let next = self.grants.keys().next_back().map_or(1, |last| last + 1);
            ensure!(number == next, "grant {number} follows grant {}", next - 1);
            ensure!(new.expires_at > row.at, "grant {number} has ended before it begins");
            self.grants.insert(number, new);
        }
        Ok(())
    }

    /// From now on another period is paid.
    pub fn begin_period(&mut self) {
        self.paid_used = 0;
        for grant in self.grants.values_mut() {
            grant.used = 0;
        }
    }

    /// The trial is over: its grant pays nothing and gets nothing back from then on. Only captures of
    /// what is held of it are paid.
    pub fn end_trial(&mut self, ended_at: i64) {
        for grant in self.grants.values_mut().filter(|grant| grant.kind == "trial") {
            grant.expires_at = ended_at;
        }
    }

    /// Staff took a grant back.
    pub fn end_grant(&mut self, number: FundNumber, ended_at: i64) {
        self.grants.entry(number).and_modify(|grant| grant.expires_at = ended_at);
    }

    /// Applies what a row moves.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn apply(&mut self, moves: &FundMoves) -> Result<(), String> {
        for (fund, moved) in moves {
            if *fund == PAID {
                self.paid += moved.amount;
                self.paid_used += moved.used;
                ensure!(self.paid_used >= 0, "paid credit gets back more than it paid");
                continue;
            }
            let grant = self.grants.get_mut(fund).ok_or("a grant moves that is not known")?;
            grant.left += moved.amount;
            grant.used += moved.used;
            ensure!(grant.left >= 0, "grant {fund} is below zero");
            ensure!(grant.left <= grant.amount, "grant {fund} holds more than was given");
            ensure!(grant.used >= 0, "grant {fund} gets back more than it paid");
        }
        Ok(())
    }

    /// The stored state has the same funds.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_state(&self, state: &Value) -> Result<(), String> {
        let paid = micros(&state["c"])?;
        ensure!(paid == self.paid, "paid credit is {}, and the state says {paid}", self.paid);
        let used = micros(&state["p"]["u"])?;
        ensure!(used == self.paid_used, "{} was paid of the period, not {used}", self.paid_used);
        let ever = state["gn"].as_u64().unwrap_or_default();
        ensure!(ever == self.grants.len() as u64, "there were {} grants", self.grants.len());
        let mut stored: BTreeMap<FundNumber, GrantBook> = BTreeMap::new();
        for grant in array(&state["g"]) {
            let number = grant["n"].as_u64().and_then(|number| FundNumber::try_from(number).ok());
            stored.insert(number.ok_or("a grant without number")?, GrantBook::read(grant)?);
        }
        for (number, known) in &self.grants {
            let Some(grant) = stored.remove(number) else {
                ensure!(!known.is_in_state(), "the state has lost grant {number}: {known:?}");
                continue;
            };
            let is_same = (grant.left, grant.used, grant.amount, grant.expires_at)
                == (known.left, known.used, known.amount, known.expires_at)
                && grant.excludes == known.excludes
                && grant.payment == known.payment
                && grant.given_at == known.given_at
                && grant.kind == known.kind;
            ensure!(is_same, "grant {number} is {known:?}, and the state says {grant:?}");
        }
        ensure!(stored.is_empty(), "the state has grants that were never given: {stored:?}");
        Ok(())
    }
}

/// The funds while a row is decided.
#[derive(Clone, Debug)]
pub struct Wallet {
    before: FundBooks,
    now: FundBooks,
    /// A debt comes first, so no more than this can be spent.
    budget: Micros,
    instant: i64,
    /// Grants that were given from then on do not pay.
    given_before: i64,
}

impl Wallet {
    /// The funds that can pay from an instant on.
    #[must_use]
    pub fn at(funds: &FundBooks, instant: i64) -> Self {
        let mut wallet = Self {
            before: funds.clone(),
            now: funds.clone(),
            budget: 0,
            instant,
            given_before: i64::MAX,
        };
        wallet.count_budget();
        wallet
    }

    /// From now on pays what can pay for usage of an hour. Older releases counted it without its hour.
    pub fn move_to_hour(&mut self, hour: Option<i64>) {
        self.instant = hour.unwrap_or(i64::MIN);
        self.given_before = hour.map_or(i64::MAX, |hour| hour + HOUR);
    }

    /// The same for a period that begins then.
    #[must_use]
    pub fn of_new_period(funds: &FundBooks, instant: i64) -> Self {
        let mut funds = funds.clone();
        funds.begin_period();
        Self::at(&funds, instant)
    }

    /// Counts what was given back as spendable.
    pub fn count_budget(&mut self) {
        self.budget = (self.now.free(PAID) + self.now.free_of_grants(self.instant)).max(0);
    }

    /// How many grants can pay for a SKU.
    #[must_use]
    pub fn eligible_grants(&self, sku: &str) -> usize {
        self.now.paying(sku, self.instant).count()
    }

    /// The credit that can pay for a SKU.
    #[must_use]
    pub fn eligible(&self, sku: &str) -> Micros {
        let grants = self.now.paying(sku, self.instant);
        let free: Micros = grants.map(|fund| self.now.free(fund)).sum();
        (free + self.now.free(PAID).max(0)).min(self.budget)
    }

    /// Pays for time: the grant that ends first, then paid credit. Nothing if it does not suffice.
    pub fn pay(&mut self, sku: &str, amount: Micros) -> Option<FundShares> {
        if amount > self.eligible(sku) {
            return None;
        }
        self.budget -= amount;
        let (mut shares, rest) = self.pay_by_grants(sku, amount);
        for (fund, share) in &shares {
            if let Some(grant) = self.now.grants.get_mut(fund) {
                grant.used -= share;
            }
        }
        if rest > 0 {
            self.now.paid -= rest;
            self.now.paid_used += rest;
            shares.insert(PAID, -rest);
        }
        Some(shares)
    }

    /// Pays for what was used already. Paid credit may go below zero.
    pub fn pay_beyond(&mut self, sku: &str, amount: Micros) -> FundShares {
        self.budget = (self.budget - amount).max(0);
        let (mut shares, rest) = self.pay_by_grants(sku, amount);
        if rest > 0 {
            self.now.paid -= rest;
            shares.insert(PAID, -rest);
        }
        shares
    }

    /// Pays for what was used from what a hold keeps, and takes it out of `kept`. What each part paid.
    pub fn pay_held(
        &mut self,
        kept: &mut Vec<(FundNumber, Micros)>,
        amount: Micros,
    ) -> Vec<(FundNumber, Micros)> {
        let (mut rest, mut shares) = (amount, Vec::new());
        for (fund, part) in kept.iter_mut() {
            let paid = rest.min(*part);
            *part -= paid;
            rest -= paid;
            *self.now.held.entry(*fund).or_default() -= paid;
            if *fund == PAID {
                self.now.paid -= paid;
            } else if let Some(grant) = self.now.grants.get_mut(fund) {
                grant.left -= paid;
            }
            if paid > 0 {
                shares.push((*fund, -paid));
            }
        }
        kept.retain(|(_, part)| *part > 0);
        shares
    }

    fn pay_by_grants(&mut self, sku: &str, amount: Micros) -> (FundShares, Micros) {
        let (mut rest, mut shares) = (amount, FundShares::new());
        for fund in self.now.in_order() {
            let given_at = self.now.grants.get(&fund).and_then(|grant| grant.given_at);
            let is_late = given_at.is_some_and(|given_at| given_at >= self.given_before);
            if rest == 0 || is_late || !self.now.pays(fund, sku, self.instant) {
                continue;
            }
            let part = rest.min(self.now.free(fund));
            let Some(grant) = self.now.grants.get_mut(&fund) else { continue };
            grant.left -= part;
            rest -= part;
            shares.insert(fund, -part);
        }
        (shares, rest)
    }

    /// Pays what is owed, by any credit, as far as it reaches. What was paid.
    pub fn pay_owed(&mut self, owed: Micros) -> Micros {
        let instant = self.instant;
        let free = self.now.free_of_grants(instant) + self.now.free(PAID).max(0);
        let paid = owed.min(free.min(self.budget));
        let mut rest = paid;
        for fund in self.now.in_order() {
            let free = self.now.free(fund);
            let Some(grant) = self.now.grants.get_mut(&fund) else { continue };
            if grant.expires_at > instant {
                let part = rest.min(free);
                grant.left -= part;
                rest -= part;
            }
        }
        self.now.paid -= rest;
        paid
    }

    /// Gives back unused time: to the grants that paid for the period and pay for the SKU, then to
    /// paid credit, then to other grants. No fund gets more than it paid. What an expired grant paid
    /// is lost.
    pub fn give_back(&mut self, sku: &str, amount: Micros) -> FundShares {
        let (mut rest, mut shares) = (amount, FundShares::new());
        let funds = self.now.in_order();
        let (may_pay, others): (Vec<FundNumber>, Vec<FundNumber>) =
            funds.into_iter().partition(|fund| !self.now.grants[fund].excludes.contains(sku));
        for fund in may_pay {
            rest -= self.return_to_grant(fund, rest, &mut shares);
        }
        let to_paid = rest.min(self.now.paid_used);
        if to_paid > 0 {
            self.now.paid_used -= to_paid;
            self.now.paid += to_paid;
            rest -= to_paid;
            shares.insert(PAID, to_paid);
        }
        for fund in others {
            rest -= self.return_to_grant(fund, rest, &mut shares);
        }
        shares
    }

    fn return_to_grant(
        &mut self,
        fund: FundNumber,
        amount: Micros,
        shares: &mut FundShares,
    ) -> Micros {
        let Some(grant) = self.now.grants.get_mut(&fund) else { return 0 };
        let part = amount.min(grant.used);
        grant.used -= part;
        if part > 0 && grant.expires_at > self.instant {
            grant.left += part;
            shares.insert(fund, part);
        }
        part
    }

    /// Gives back what a fund paid in a period that is over. `holders` are the grants that may hold
    /// it, besides those with something left.
    pub fn give_back_past(
        &mut self,
        fund: FundNumber,
        amount: Micros,
        holders: &BTreeSet<FundNumber>,
    ) -> FundShares {
        let (mut rest, mut shares) = (amount, FundShares::new());
        if fund != PAID {
            let mut alive = self.now.in_order();
            alive.retain(|other| {
                let grant = &self.now.grants[other];
                let may_hold = self.before.grants[other].is_in_state() || holders.contains(other);
                grant.expires_at > self.instant && may_hold && !grant.is_void
            });
            if !alive.contains(&fund) {
                return shares;
            }
            alive.sort_by_key(|other| *other != fund);
            for other in alive {
                let Some(grant) = self.now.grants.get_mut(&other) else { continue };
                let part = rest.min(grant.room());
                grant.left += part;
                rest -= part;
                if part > 0 {
                    shares.insert(other, part);
                }
            }
        }
        if rest > 0 {
            self.now.paid += rest;
            shares.insert(PAID, rest);
        }
        shares
    }

    /// What changed so far.
    #[must_use]
    pub fn moves(&self) -> FundMoves {
        let of_paid = FundMove {
            amount: self.now.paid - self.before.paid,
            used: self.now.paid_used - self.before.paid_used,
        };
        let of_grants = self.now.grants.iter().map(|(fund, grant)| {
            let before = &self.before.grants[fund];
            let (amount, used) = (grant.left - before.left, grant.used - before.used);
            (*fund, FundMove { amount, used })
        });
        let all = std::iter::once((PAID, of_paid)).chain(of_grants);
        all.filter(|(_, moved)| *moved != FundMove::default()).collect()
    }
}
