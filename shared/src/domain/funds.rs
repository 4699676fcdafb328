//! How an amount is spread over an account's funds: paid credit and grants.
//!
//! A [`Purse`] is a working copy of the funds. Charges draw on it, and refunds return to it. At the
//! end it reports the changes, and the row records them.
//!
//! Two rules are enforced here and nowhere else: *billing for time never takes the balance below
//! zero*, and *no fund gets back more than it paid*. The second keeps grant money from becoming
//! paid credit.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::account::AccountState;
pub use crate::domain::fund::{Fund, FundShare};
use crate::domain::holds::HeldShare;
use crate::domain::ids::Sku;
use crate::domain::money::Usd;
use crate::domain::timestamp::{HOUR, Timestamp};

/// The change of a fund in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "DeltaForm", into = "DeltaForm")]
pub struct FundDelta {
    pub fund: Fund,
    /// The amount gained (above zero) or paid (below zero), in USD.
    pub amount: Usd,
    /// The change of the amount spent on the current period, in USD.
    pub used: Usd,
}

/// The funds of an account while a row is decided.
#[derive(Clone, Debug)]
pub struct Purse<'a> {
    paid: FundPot,
    /// The maximum that can still be drawn for time. It never exceeds the balance, so a debt comes
    /// first.
    budget: Usd,
    /// The grants in the order in which they pay: soonest expiry first.
    grants: Vec<GrantPot<'a>>,
    instant: Timestamp,
    /// Only grants that were given before may pay, if there is such a time.
    given_before: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct FundPot {
    remaining_before: Usd,
    used_before: Usd,
    remaining: Usd,
    used: Usd,
    /// The part that holds keep. Only a capture of such a hold draws it.
    held: Usd,
}

#[derive(Clone, Debug)]
struct GrantPot<'a> {
    number: u32,
    amount: Usd,
    given_at: Option<Timestamp>,
    expires_at: Timestamp,
    excludes: &'a BTreeSet<Sku>,
    pot: FundPot,
}

impl<'a> Purse<'a> {
    /// The funds that can pay from `instant` on, within the current period.
    #[must_use]
    pub fn within_period(state: &'a AccountState, instant: Timestamp) -> Purse<'a> {
        let used = state.period.as_ref().map_or(Usd::ZERO, |period| period.used);
        Purse::new(state, used, instant)
    }

    /// The funds that can pay for a period that starts at `instant`. Amounts spent on the previous
    /// period are final.
    #[must_use]
    pub fn for_new_period(state: &'a AccountState, instant: Timestamp) -> Purse<'a> {
        let mut purse = Purse::new(state, Usd::ZERO, instant);
        for grant in &mut purse.grants {
            grant.pot.used_before = Usd::ZERO;
            grant.pot.used = Usd::ZERO;
        }
        purse
    }

    /// The same funds, as far as they can pay at a later instant.
    #[must_use]
    pub fn at(&self, instant: Timestamp) -> Purse<'a> {
        let later = Purse { instant, given_before: None, ..self.clone() };
        Purse { budget: self.budget.min(later.free()), ..later }
    }

    /// The same funds, as far as they can pay for metered usage of a clock hour: neither grants that
    /// ended before it, nor those that were given after it.
    #[must_use]
    pub(crate) fn of_hour(&self, hour: Timestamp) -> Purse<'a> {
        Purse { given_before: Some(hour.plus(HOUR)), ..self.at(hour) }
    }

    fn new(state: &'a AccountState, used: Usd, instant: Timestamp) -> Purse<'a> {
        let mut grants: Vec<GrantPot<'a>> = state
            .grants
            .iter()
            .map(|grant| GrantPot {
                number: grant.number,
                amount: grant.amount,
                given_at: grant.given_at,
                expires_at: grant.expires_at,
                excludes: &grant.excludes,
                pot: FundPot::new(
                    grant.remaining,
                    grant.used,
                    state.held_of(Fund::Grant(grant.number)),
                ),
            })
            .collect();
        grants.sort_by_key(|grant| (grant.expires_at, grant.number));
        let paid = FundPot::new(state.paid, used, state.held_of(Fund::Paid));
        let purse = Purse { paid, budget: Usd::ZERO, grants, instant, given_before: None };
        Purse { budget: purse.free(), ..purse }
    }

    /// All credit that has not expired and is not held, in USD. Never below zero.
    fn free(&self) -> Usd {
        let lasting = self.grants.iter().filter(|grant| grant.expires_at > self.instant);
        (self.paid.free() + lasting.map(|grant| grant.pot.free()).sum()).or_zero()
    }

    /// The number of grants that can pay for a SKU. Lines with the fewest are paid first.
    #[must_use]
    pub fn eligible_grants(&self, sku: &Sku) -> usize {
        self.grants.iter().filter(|grant| grant.can_pay(sku, self.instant)).count()
    }

    /// The grants that can pay for a SKU.
    pub(crate) fn eligible_grant_numbers(&self, sku: &Sku) -> BTreeSet<u32> {
        self.grants
            .iter()
            .filter(|grant| grant.can_pay(sku, self.instant))
            .map(|grant| grant.number)
            .collect()
    }

    /// The credit that can pay for a SKU, in USD. Never below zero.
    #[must_use]
    pub fn eligible_credit(&self, sku: &Sku) -> Usd {
        let grants: Usd = self
            .grants
            .iter()
            .filter(|grant| grant.can_pay(sku, self.instant))
            .map(|grant| grant.pot.free())
            .sum();
        (grants + self.paid.free().or_zero()).min(self.budget)
    }

    /// Pays for time: from the eligible grant with the soonest expiry, then the next, then paid
    /// credit. Returns `None` and draws nothing if the funds do not cover the amount.
    #[must_use]
    pub fn draw(&mut self, sku: &Sku, amount: Usd) -> Option<Vec<FundShare>> {
        if amount > self.eligible_credit(sku) {
            return None;
        }
        self.budget -= amount;
        let (mut shares, rest) = self.draw_grants(sku, amount, Counted::InPeriod);
        if !rest.is_zero() {
            self.paid.remaining -= rest;
            self.paid.used += rest;
            shares.push(FundShare { fund: Fund::Paid, amount: -rest });
        }
        Some(shares)
    }

    /// Pays for a quantity that was already used, in the same order. Paid credit goes below zero if
    /// needed.
    pub fn draw_beyond(&mut self, sku: &Sku, amount: Usd) -> Vec<FundShare> {
        self.budget = (self.budget - amount).or_zero();
        let (mut shares, rest) = self.draw_grants(sku, amount, Counted::Not);
        if !rest.is_zero() {
            self.paid.remaining -= rest;
            shares.push(FundShare { fund: Fund::Paid, amount: -rest });
        }
        shares
    }

    /// Sets an amount aside until an instant, for usage of any of these SKUs: from grants that may
    /// pay for all of them and do not end before, soonest expiry first, then from paid credit.
    ///
    /// # Errors
    /// The credit that can be held, in USD, if it is less.
    pub fn hold(
        &self,
        skus: &BTreeSet<Sku>,
        amount: Usd,
        until: Timestamp,
    ) -> Result<Vec<HeldShare>, Usd> {
        let purse = self.at(until.plus(-1));
        let pays_for_all =
            |grant: &&GrantPot<'_>| skus.iter().all(|sku| grant.can_pay(sku, purse.instant));
        let grants = purse.grants.iter().filter(pays_for_all);
        let mut parts: Vec<HeldShare> = grants
            .map(|grant| HeldShare { fund: Fund::Grant(grant.number), amount: grant.pot.free() })
            .collect();
        parts.push(HeldShare { fund: Fund::Paid, amount: purse.paid.free().or_zero() });
        let can_be_held = parts.iter().map(|part| part.amount).sum::<Usd>().min(purse.budget);
        if amount > can_be_held {
            return Err(can_be_held);
        }
        let mut rest = amount;
        for part in &mut parts {
            part.amount = part.amount.min(rest);
            rest -= part.amount;
        }
        parts.retain(|part| part.amount.is_positive());
        Ok(parts)
    }

    /// Pays for a quantity that was already used from what a hold keeps. Returns what each share
    /// paid. The rest is for [`Purse::draw_beyond`].
    pub fn draw_held(&mut self, shares: &[HeldShare], amount: Usd) -> Vec<FundShare> {
        let (mut rest, mut paid) = (amount, Vec::new());
        for share in shares {
            let part = rest.min(share.amount);
            let pot = match share.fund {
                Fund::Paid => Some(&mut self.paid),
                Fund::Grant(number) => self
                    .grants
                    .iter_mut()
                    .find(|grant| grant.number == number)
                    .map(|grant| &mut grant.pot),
            };
            let Some(pot) = pot.filter(|_| part.is_positive()) else { continue };
            pot.remaining -= part;
            pot.held -= part;
            rest -= part;
            paid.push(FundShare { fund: share.fund, amount: -part });
        }
        paid
    }

    /// The credit that can pay for anything, in USD: paid credit and grants that exclude no SKU.
    /// Never below zero.
    #[must_use]
    pub fn unrestricted_credit(&self) -> Usd {
        let grants: Usd = self
            .grants
            .iter()
            .filter(|grant| grant.pays_for_anything(self.instant))
            .map(|grant| grant.pot.free())
            .sum();
        (grants + self.paid.free().or_zero()).min(self.budget)
    }

    /// The credit of any kind, in USD, whatever it excludes. Never below zero.
    #[must_use]
    pub fn credit_of_any_kind(&self) -> Usd {
        let grants: Usd = self
            .grants
            .iter()
            .filter(|grant| grant.expires_at > self.instant)
            .map(|grant| grant.pot.free())
            .sum();
        (grants + self.paid.free().or_zero()).min(self.budget)
    }

    /// Pays an amount that is not for time or one SKU, as far as credit of any kind reaches.
    /// Returns what was paid. Nothing of it is given back.
    pub fn draw_of_any_kind(&mut self, amount: Usd) -> Usd {
        let amount = amount.min(self.credit_of_any_kind());
        self.budget -= amount;
        let mut rest = amount;
        let instant = self.instant;
        for grant in self.grants.iter_mut().filter(|grant| grant.expires_at > instant) {
            let part = rest.min(grant.pot.free());
            grant.pot.remaining -= part;
            rest -= part;
        }
        self.paid.remaining -= rest;
        amount
    }

    /// Gives back the price of unused time for a SKU. It goes first to eligible grants that paid
    /// for this period, then to paid credit, then to other grants that paid. No fund gets more than
    /// it paid. The share of an expired grant is forfeited.
    pub fn give_back(&mut self, sku: &Sku, amount: Usd) -> Vec<FundShare> {
        let instant = self.instant;
        let mut rest = amount;
        let mut shares = Vec::new();
        for grant in self.grants.iter_mut().filter(|grant| !grant.excludes.contains(sku)) {
            rest -= grant.get_back(rest, instant, &mut shares);
        }
        let to_paid = rest.min(self.paid.used);
        if !to_paid.is_zero() {
            self.paid.used -= to_paid;
            self.paid.remaining += to_paid;
            rest -= to_paid;
            shares.push(FundShare { fund: Fund::Paid, amount: to_paid });
        }
        for grant in &mut self.grants {
            rest -= grant.get_back(rest, instant, &mut shares);
        }
        shares
    }

    /// Gives back amounts of past periods to the fund that paid.
    ///
    /// A grant never exceeds its original amount. The excess belongs to paid credit, because an
    /// earlier refund exchanged the two. An expired grant gets nothing.
    pub(crate) fn give_back_to(&mut self, fund: Fund, amount: Usd) -> Vec<FundShare> {
        let instant = self.instant;
        let mut shares = Vec::new();
        let mut rest = amount;
        if let Fund::Grant(number) = fund {
            if self.grants.iter().all(|grant| grant.number != number || grant.expires_at <= instant)
            {
                return shares;
            }
            // The grant itself comes first, then other grants with room, which may hold money that
            // this one paid.
            let mut alive: Vec<_> =
                self.grants.iter_mut().filter(|grant| grant.expires_at > instant).collect();
            alive.sort_by_key(|grant| grant.number != number);
            for grant in alive {
                let part =
                    rest.min((grant.amount - grant.pot.remaining - grant.pot.used).or_zero());
                if part.is_zero() {
                    continue;
                }
                grant.pot.remaining += part;
                rest -= part;
                shares.push(FundShare { fund: Fund::Grant(grant.number), amount: part });
            }
        }
        let to_paid = rest;
        if !to_paid.is_zero() {
            self.paid.remaining += to_paid;
            shares.push(FundShare { fund: Fund::Paid, amount: to_paid });
        }
        shares
    }

    /// Makes amounts that were given back available again, before more is drawn in the same row.
    pub(crate) fn recount(&mut self) {
        self.budget = self.free();
    }

    /// The changes by fund.
    #[must_use]
    pub fn deltas(&self) -> Vec<FundDelta> {
        let paid = self.paid.delta(Fund::Paid);
        let grants =
            self.grants.iter().filter_map(|grant| grant.pot.delta(Fund::Grant(grant.number)));
        paid.into_iter().chain(grants).collect()
    }

    fn draw_grants(&mut self, sku: &Sku, amount: Usd, counted: Counted) -> (Vec<FundShare>, Usd) {
        let mut rest = amount;
        let mut shares = Vec::new();
        for grant in &mut self.grants {
            let is_late = self.given_before.zip(grant.given_at).is_some_and(|(end, at)| at >= end);
            if rest.is_zero() || is_late || !grant.can_pay(sku, self.instant) {
                continue;
            }
            let part = rest.min(grant.pot.free());
            grant.pot.remaining -= part;
            match counted {
                Counted::InPeriod => grant.pot.used += part,
                Counted::Not => {}
            }
            rest -= part;
            shares.push(FundShare { fund: Fund::Grant(grant.number), amount: -part });
        }
        (shares, rest)
    }
}

/// Whether a payment counts toward the current period, and so can be given back for unused time.
#[derive(Clone, Copy)]
enum Counted {
    InPeriod,
    Not,
}

impl FundPot {
    fn new(remaining: Usd, used: Usd, held: Usd) -> FundPot {
        FundPot { remaining_before: remaining, used_before: used, remaining, used, held }
    }

    /// What is not held. Below zero if usage was billed beyond it.
    fn free(&self) -> Usd {
        self.remaining - self.held
    }

    fn delta(&self, fund: Fund) -> Option<FundDelta> {
        let amount = self.remaining - self.remaining_before;
        let used = self.used - self.used_before;
        (!amount.is_zero() || !used.is_zero()).then_some(FundDelta { fund, amount, used })
    }
}

impl GrantPot<'_> {
    fn can_pay(&self, sku: &Sku, instant: Timestamp) -> bool {
        self.pot.free().is_positive() && self.expires_at > instant && !self.excludes.contains(sku)
    }

    fn pays_for_anything(&self, instant: Timestamp) -> bool {
        self.pot.free().is_positive() && self.expires_at > instant && self.excludes.is_empty()
    }

    fn get_back(&mut self, amount: Usd, instant: Timestamp, shares: &mut Vec<FundShare>) -> Usd {
        let part = amount.min(self.pot.used);
        if part.is_zero() {
            return Usd::ZERO;
        }
        self.pot.used -= part;
        if self.expires_at > instant {
            self.pot.remaining += part;
            shares.push(FundShare { fund: Fund::Grant(self.number), amount: part });
        }
        part
    }
}

/// Stored as `[fund, amount]` if the fund paid exactly the amount spent on the period (every usage
/// row), else as `[fund, amount, used]`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum DeltaForm {
    Paying(Fund, Usd),
    Other(Fund, Usd, Usd),
}

impl From<DeltaForm> for FundDelta {
    fn from(form: DeltaForm) -> FundDelta {
        match form {
            DeltaForm::Paying(fund, amount) => FundDelta { fund, amount, used: -amount },
            DeltaForm::Other(fund, amount, used) => FundDelta { fund, amount, used },
        }
    }
}

impl From<FundDelta> for DeltaForm {
    fn from(delta: FundDelta) -> DeltaForm {
        if delta.used == -delta.amount {
            DeltaForm::Paying(delta.fund, delta.amount)
        } else {
            DeltaForm::Other(delta.fund, delta.amount, delta.used)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::{Grant, GrantKind, PaidPeriod};

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    fn sku(text: &str) -> Sku {
        text.parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    /// Grants of (number, remaining, used, expiry, excluded SKU).
    fn state(paid: &str, paid_used: &str, grants: &[(u32, &str, &str, i64, &str)]) -> AccountState {
        AccountState {
            paid: usd(paid),
            period: Some(PaidPeriod {
                from: at(0),
                through: at(3600),
                used: usd(paid_used),
                unpaid: BTreeSet::new(),
            }),
            grants: grants
                .iter()
                .map(|&(number, remaining, used, expires, excluded)| Grant {
                    number,
                    kind: GrantKind::Bonus,
                    amount: usd("100"),
                    remaining: usd(remaining),
                    used: usd(used),
                    given_at: None,
                    expires_at: at(expires),
                    excludes: excluded.parse().into_iter().collect(),
                    payment: None,
                })
                .collect(),
            ..AccountState::default()
        }
    }

    fn shares(shares: &[FundShare]) -> Vec<(Fund, String)> {
        shares.iter().map(|share| (share.fund, share.amount.to_string())).collect()
    }

    #[test]
    fn soonest_expiring_grant_pays_first_and_paid_credit_last() {
        let state = state(
            "5",
            "0",
            &[(1, "1", "0", 900, ""), (2, "1", "0", 500, ""), (3, "9", "0", 400, "vm")],
        );
        let mut purse = Purse::within_period(&state, at(100));
        assert_eq!(
            shares(&purse.draw(&sku("vm"), usd("2.5")).unwrap()),
            [
                (Fund::Grant(2), "-1.00".into()),
                (Fund::Grant(1), "-1.00".into()),
                (Fund::Paid, "-0.50".into())
            ]
        );
        assert_eq!(purse.eligible_credit(&sku("vm")), usd("4.5"));
        assert_eq!(purse.draw(&sku("vm"), usd("4.500001")), None);
        assert_eq!(
            shares(&purse.draw(&sku("db"), usd("1")).unwrap()),
            [(Fund::Grant(3), "-1.00".into())]
        );
    }

    #[test]
    fn expired_grant_pays_nothing_and_debt_comes_first() {
        let state = state("-4", "0", &[(1, "10", "0", 900, ""), (2, "7", "0", 100, "")]);
        let mut purse = Purse::within_period(&state, at(100));
        assert_eq!(purse.eligible_credit(&sku("vm")), usd("6"));
        assert_eq!(purse.draw(&sku("vm"), usd("6.01")), None);
        assert!(purse.draw(&sku("vm"), usd("6")).is_some());
        assert_eq!(purse.draw(&sku("vm"), usd("0.000001")), None);
    }

    #[test]
    fn funds_get_back_what_they_paid_unless_expired() {
        let state = state(
            "0",
            "0.1",
            &[(1, "0", "0.5", 900, ""), (2, "0", "0.4", 50, ""), (3, "0", "0.3", 900, "vm")],
        );
        let mut purse = Purse::within_period(&state, at(100));
        // Grant 2 has expired, so its 0.40 are forfeited. Grant 3 does not pay for vm and comes
        // last.
        assert_eq!(
            shares(&purse.give_back(&sku("vm"), usd("1.2"))),
            [
                (Fund::Grant(1), "0.50".into()),
                (Fund::Paid, "0.10".into()),
                (Fund::Grant(3), "0.20".into())
            ]
        );
        assert_eq!(
            shares(&purse.give_back(&sku("vm"), usd("1.2"))),
            [(Fund::Grant(3), "0.10".into())]
        );
    }

    #[test]
    fn metered_usage_may_go_below_zero() {
        let state = state("1", "0", &[(1, "1", "0", 900, "")]);
        let mut purse = Purse::within_period(&state, at(100));
        purse.draw_beyond(&sku("tokens"), usd("3"));
        assert_eq!(
            purse.deltas(),
            [
                FundDelta { fund: Fund::Paid, amount: usd("-2"), used: Usd::ZERO },
                FundDelta { fund: Fund::Grant(1), amount: usd("-1"), used: Usd::ZERO },
            ]
        );
        assert_eq!(purse.eligible_credit(&sku("vm")), Usd::ZERO);
    }

    #[test]
    fn a_delta_is_stored_short_where_the_fund_paid_what_it_used() {
        let json = |amount, used| {
            serde_json::to_string(&FundDelta {
                fund: Fund::Grant(7),
                amount: usd(amount),
                used: usd(used),
            })
            .unwrap()
        };
        assert_eq!(json("-0.6", "0.6"), r#"[7,"-0.6"]"#);
        assert_eq!(json("25", "0"), r#"[7,"25","0"]"#);
        let back: FundDelta = serde_json::from_str(r#"[0,"25","0"]"#).unwrap();
        assert_eq!(back, FundDelta { fund: Fund::Paid, amount: usd("25"), used: Usd::ZERO });
    }
}
