//! Holds: what they keep of each fund, who may pay for them, and how they end.

use std::collections::{BTreeMap, BTreeSet};

use tollgate::domain::account::AccountState;
use tollgate::domain::event::StandingChange;
use tollgate::domain::event::{
    Cause, Change, Event, HoldChange, MeterLine, PaymentChange, StaffChange,
};
use tollgate::domain::funds::Fund;
use tollgate::domain::holds::HeldShare;

use super::{DAY, Model, ensure, micros, number, paid};
use crate::Check;

/// An open hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenHold {
    pub(super) expires: i64,
    skus: BTreeSet<String>,
    /// Fund and amount, in the order in which they pay.
    pub(super) shares: Vec<(u32, i64)>,
    /// The project, if it had a budget when the hold was made.
    pub(super) counted_for: Option<String>,
}

impl Model {
    /// The balance less what is held.
    pub(super) fn free(&self) -> i64 {
        self.pots.values().map(|pot| pot.remaining - pot.held).sum()
    }

    /// Holds that are made, captured or ended, before the row's money is counted.
    pub(super) fn holds(&mut self, event: &Event, seq: u64) -> Check {
        let at = event.at.seconds();
        match &event.change {
            Change::Hold(change) => self.hold_row(change, seq, at)?,
            Change::Standing(StandingChange::Closed { .. } | StandingChange::ClosedByCustomer) => {
                self.holds.clear();
            }
            _ => {}
        }
        self.count_held();
        Ok(())
    }

    fn hold_row(&mut self, change: &HoldChange, seq: u64, at: i64) -> Check {
        match change {
            HoldChange::Held { project, skus, expires_at, shares } => {
                let project = project.as_str().to_owned();
                let skus: BTreeSet<String> =
                    skus.iter().map(|sku| sku.as_str().to_owned()).collect();
                let expires = expires_at.seconds();
                ensure!(self.holds.len() < 10, "an eleventh hold");
                ensure!((1..=DAY).contains(&(expires - at)), "held until {expires}");
                let shares = self.held_as_expected(&skus, shares, expires)?;
                ensure!(shares.iter().any(|(_, part)| *part > 0), "nothing is held");
                let amount: i64 = shares.iter().map(|(_, part)| part).sum();
                self.check_within_budget(&project, amount, at)?;
                let counted_for = Some(project).filter(|it| self.budgets.contains_key(it));
                self.holds.insert(seq, OpenHold { expires, skus, shares, counted_for });
            }
            HoldChange::HoldExtended { hold, expires_at, shares } => {
                let Some(old) = self.holds.remove(&hold.seq()) else {
                    return Err(format!("{hold} is extended and not open"));
                };
                self.count_held();
                let amount =
                    |shares: &[(u32, i64)]| shares.iter().map(|(_, part)| part).sum::<i64>();
                let expires = expires_at.seconds();
                let shares = self.held_as_expected(&old.skus, shares, expires)?;
                ensure!(amount(&shares) == amount(&old.shares), "{hold} changed its amount");
                if let Some(project) = &old.counted_for {
                    self.check_within_budget(project, amount(&shares), at)?;
                }
                self.holds.insert(hold.seq(), OpenHold { expires, shares, ..old });
            }
            HoldChange::HoldCaptured { hold, lines, left } => {
                let Some(mut open) = self.holds.remove(&hold.seq()) else {
                    return Err(format!("{hold} is captured and not open"));
                };
                self.count_held();
                self.captured(lines, &mut open.shares, at)?;
                let known: Option<Vec<(u32, i64)>> = left.as_ref().map(|left| shares_of(left));
                if let Some(known) = known {
                    ensure!(known == open.shares, "{hold} keeps {known:?}, not {:?}", open.shares);
                    self.holds.insert(hold.seq(), open);
                }
            }
            HoldChange::CapturedLate { hold, lines, .. } => {
                ensure!(!self.holds.contains_key(&hold.seq()), "{hold} is open, and late");
                ensure!(self.late_captures.insert(hold.seq()), "{hold} was captured late before");
                self.captured(lines, &mut Vec::new(), at)?;
            }
            HoldChange::HoldReleased { hold } => {
                ensure!(self.holds.remove(&hold.seq()).is_some(), "{hold} was not open");
            }
            HoldChange::HoldExpired { hold } => {
                let open = self.holds.remove(&hold.seq());
                let is_over = open.as_ref().is_some_and(|open| open.expires <= at);
                ensure!(is_over, "{hold} expired at {at}: {open:?}");
            }
        }
        Ok(())
    }

    /// What is held must come from grants that pay for all SKUs and do not end before, soonest
    /// expiry first, then from paid credit; and never more than is free in the end.
    fn held_as_expected(
        &self,
        skus: &BTreeSet<String>,
        shares: &[HeldShare],
        expires: i64,
    ) -> Result<Vec<(u32, i64)>, String> {
        let shares = shares_of(shares);
        let amount: i64 = shares.iter().map(|(_, part)| part).sum();
        let lasting = self.pots.iter().filter(|(n, pot)| **n > 0 && pot.expires >= expires);
        let paid = self.pots.get(&0).map_or(0, |pot| pot.remaining - pot.held);
        let all = paid + lasting.clone().map(|(_, pot)| pot.remaining - pot.held).sum::<i64>();
        ensure!(amount <= all.max(0), "{amount} are held of {all}");
        let mut may_pay: Vec<(i64, u32, i64)> = lasting
            .filter(|(_, pot)| pot.excludes.is_disjoint(skus))
            .map(|(n, pot)| (pot.expires, *n, pot.remaining - pot.held))
            .collect();
        may_pay.sort_unstable();
        may_pay.push((i64::MAX, 0, paid.max(0)));
        let mut rest = amount;
        let mut expected = Vec::new();
        for (_, fund, free) in may_pay {
            let part = rest.min(free);
            rest -= part;
            expected.extend((part > 0).then_some((fund, part)));
        }
        ensure!(rest == 0 && shares == expected, "{shares:?} are held, not {expected:?}");
        Ok(shares)
    }

    /// Each line is paid by the hold first, then by free credit, then below zero.
    fn captured(&self, lines: &[MeterLine], held: &mut Vec<(u32, i64)>, at: i64) -> Check {
        // What other holds keep is left alone.
        let mut pots = self.pots.clone();
        for (fund, part) in held.iter() {
            pots.entry(*fund).or_default().held += part;
        }
        for line in lines {
            let exact = micros(line.rate.for_quantity(line.to));
            ensure!(micros(line.amount) == -exact, "{} costs {}", line.sku, line.amount);
            let (mut rest, mut expected) = (exact, Vec::new());
            for (fund, kept) in held.iter_mut() {
                let part = rest.min(*kept);
                (rest, *kept) = (rest - part, *kept - part);
                let pot = pots.entry(*fund).or_default();
                (pot.remaining, pot.held) = (pot.remaining - part, pot.held - part);
                expected.extend((part > 0).then_some((*fund, part)));
            }
            held.retain(|(_, kept)| *kept > 0);
            for fund in self.eligible(&pots, line.sku.as_str(), at).1 {
                let pot = pots.entry(fund).or_default();
                let part = rest.min(pot.remaining - pot.held);
                (rest, pot.remaining) = (rest - part, pot.remaining - part);
                expected.extend((part > 0).then_some((fund, part)));
            }
            pots.entry(0).or_default().remaining -= rest;
            expected.extend((rest > 0).then_some((0, rest)));
            let shares = paid(&line.shares);
            ensure!(shares == expected, "{} is paid by {shares:?}, not {expected:?}", line.sku);
        }
        Ok(())
    }

    /// Refunds, disputes and corrections take free credit first, then held credit, the newest hold
    /// first. No other row takes from holds.
    pub(super) fn cut_holds(&mut self, event: &Event, after: &AccountState) -> Check {
        let takes = matches!(
            &event.change,
            Change::Payment(PaymentChange::TakenBack { .. } | PaymentChange::DisputeMoved { .. })
                | Change::Staff(StaffChange::Corrected { .. })
        );
        let of_paid = event.funds.iter().filter(|delta| takes && delta.fund == Fund::Paid);
        let taken: i64 = of_paid.map(|delta| -micros(delta.amount)).sum();
        let over = |(fund, pot): (&u32, &super::Pot)| {
            let excess = pot.held - pot.remaining.max(0);
            // Usage may have gone below zero before.
            let of_paid = (pot.held - pot.remaining).min(taken).min(pot.held);
            let excess = if *fund > 0 { excess } else { of_paid };
            (excess > 0).then_some((*fund, excess))
        };
        let mut excess: BTreeMap<u32, i64> = self.pots.iter().filter_map(over).collect();
        let mut expected = BTreeSet::new();
        let keeping = self.holds.iter_mut().filter(|(_, hold)| hold.expires > self.held_from);
        for (seq, hold) in keeping.rev() {
            for (fund, part) in &mut hold.shares {
                let Some(excess) = excess.get_mut(fund) else { continue };
                let cut = (*excess).min(*part);
                (*excess, *part) = (*excess - cut, *part - cut);
                expected.extend((cut > 0).then_some(*seq));
            }
            hold.shares.retain(|(_, part)| *part > 0);
        }
        self.count_held();
        let cut: BTreeSet<u64> = event.cuts.iter().map(|cut| cut.id.seq()).collect();
        ensure!(cut == expected, "{cut:?} are cut, not {expected:?}");
        let known: BTreeMap<u64, (i64, Vec<(u32, i64)>)> = after
            .holds
            .iter()
            .map(|hold| (hold.id.seq(), (hold.expires_at.seconds(), shares_of(&hold.shares))))
            .collect();
        let books = self.holds.iter().map(|(seq, one)| (*seq, (one.expires, one.shares.clone())));
        let books: BTreeMap<_, _> = books.collect();
        ensure!(known == books, "{known:?} are held, not {books:?}");
        for (fund, pot) in self.pots.iter().filter(|(fund, _)| **fund > 0) {
            let (held, remaining) = (pot.held, pot.remaining);
            ensure!(held <= remaining, "grant {fund} keeps {held} of {remaining} for holds");
        }
        Ok(())
    }

    /// Counts what holds keep. For a command, what has expired keeps nothing, written or not.
    pub(super) fn count_held_for(&mut self, event: Option<&Event>) {
        let commanded = event.filter(|event| event.cause != Cause::Time);
        self.held_from = commanded.map_or(i64::MIN, |event| event.at.seconds());
        self.count_held();
    }

    fn count_held(&mut self) {
        self.pots.values_mut().for_each(|pot| pot.held = 0);
        let keeping = self.holds.values().filter(|hold| hold.expires > self.held_from);
        for (fund, part) in keeping.flat_map(|hold| &hold.shares) {
            self.pots.entry(*fund).or_default().held += part;
        }
    }
}

fn shares_of(shares: &[HeldShare]) -> Vec<(u32, i64)> {
    shares.iter().map(|share| (number(share.fund), micros(share.amount))).collect()
}
