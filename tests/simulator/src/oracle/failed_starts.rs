//! What a failed start gives back: everything that it was charged.

use std::collections::BTreeSet;

use super::amounts::{HourlyRate, Micros, cost};
use super::ensure;
use super::funds::Wallet;
use super::resources::{PastBook, ResourceBook, StatusBook};
use super::row::{BookedLine, BookedRow, FundNumber, FundShares, PAID};
use super::time::{AccountBefore, ExpectedRow, PeriodBook};

/// A failed start, as the books see it.
#[derive(Clone, Debug)]
pub struct FailedStart {
    pub resource: String,
    /// The status that it has again.
    pub status: StatusBook,
    /// Whether it is kept for free until the end of the period.
    pub is_unpaid: bool,
    pub expected: ExpectedRow,
}

impl AccountBefore<'_> {
    /// Gives back every charge since the start, once.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn fail_start(&self, row: &BookedRow) -> Result<FailedStart, String> {
        let id = row.resources().into_iter().next().ok_or("no resource")?;
        let resource = self.resources.known(&id)?;
        let start = resource.start.as_ref().ok_or_else(|| format!("{id} never started"))?;
        ensure!(!start.has_failed, "the start of {id} fails twice");
        let status = match resource.status {
            StatusBook::Deleted => StatusBook::Deleted,
            _ => start.before,
        };
        let is_over = start.end.is_some();
        // What existed before goes on to be billed after the end of the run.
        let count = start.end.filter(|_| status == StatusBook::Off).map(|(_, count)| count);
        let charges = start.charges.get(..count.unwrap_or(start.charges.len()));
        let mut charges = charges.unwrap_or_default().to_vec();
        let rated_at = self.period.map_or(self.last_at, PeriodBook::rated_at);
        if let (StatusBook::Off, Some(idle)) =
            (start.before, resource.idle_rate(self.prices, rated_at))
        {
            keep_idle(&mut charges, resource.rate(self.prices, rated_at)?, idle);
        }
        let (current, past): (Vec<&PastBook>, Vec<&PastBook>) =
            charges.iter().partition(|charge| self.is_current(charge));

        let mut wallet = Wallet::at(self.funds, row.at);
        let shares = give_back_all(&mut wallet, &resource.sku, &current, &past);
        let rate = resource.rate(self.prices, rated_at)?;
        let ended_at = start.end.map_or(row.at, |(ended_at, _)| ended_at);
        let (amount, seconds) = (shares.values().sum(), ended_at - start.at);
        let line = BookedLine { resource: id.clone(), rate, seconds, amount, shares };
        let mut failed = FailedStart {
            resource: id,
            status,
            is_unpaid: false,
            expected: ExpectedRow { lines: vec![line], moves: wallet.moves() },
        };
        let idle = resource.idle_rate(self.prices, rated_at);
        if let Some(idle) = idle.filter(|_| status == StatusBook::Off) {
            let was_paid = current
                .iter()
                .any(|charge| charge.is_charge && charge.rate == (rate - idle).max(0));
            if is_over {
                failed.is_unpaid = !was_paid && self.is_billed(&failed.resource)?;
            } else if !was_paid {
                self.pay_idle(&mut failed, wallet, resource, (idle, row.at));
            }
        }
        Ok(failed)
    }

    /// A charge of an earlier period does not count, even if both end at the same time.
    fn is_current(&self, charge: &PastBook) -> bool {
        self.period.is_some_and(|now| charge.through == now.through && now.from <= charge.from)
    }

    fn is_billed(&self, id: &str) -> Result<bool, String> {
        Ok(self.rated_now()?.iter().any(|one| one.id == id))
    }

    /// It is off again, and costs what that costs, unless the credit does not pay it.
    fn pay_idle(
        &self,
        failed: &mut FailedStart,
        mut wallet: Wallet,
        resource: &ResourceBook,
        (rate, at): (HourlyRate, i64),
    ) {
        wallet.count_budget();
        let seconds = self.period.map_or(0, |period| (period.through - at).max(0));
        let amount = cost(rate, seconds);
        let Some(shares) = wallet.pay(&resource.sku, amount) else {
            failed.is_unpaid = true;
            return;
        };
        let resource = failed.resource.clone();
        failed.expected.lines.push(BookedLine { resource, rate, seconds, amount: -amount, shares });
        failed.expected.moves = wallet.moves();
    }
}

/// What was off had paid for the hour, and its start paid only the difference. What ended it gave both
/// back, and the failure of the start takes nothing of what had been paid before it.
fn keep_idle(charges: &mut [PastBook], rate: HourlyRate, idle: HourlyRate) {
    let difference = (rate - idle).max(0);
    let Some(start) = charges.first().filter(|start| start.rate == difference) else { return };
    let through = start.through;
    for back in charges.iter_mut().filter(|charge| charge.through == through) {
        let Some(seconds) = back.ended_with else { continue };
        let given: Micros = back.shares.values().sum();
        let of_start = if back.rate == rate { cost(difference, seconds) } else { 0 };
        let mut kept = (given - of_start).max(0);
        // Of paid credit first, which is the last to be given something.
        let mut funds: Vec<FundNumber> = back.shares.keys().copied().collect();
        funds.sort_by_key(|fund| *fund != PAID);
        for fund in funds {
            let share = back.shares.entry(fund).or_default();
            let part = kept.min(*share).max(0);
            *share -= part;
            kept -= part;
        }
    }
}

fn give_back_all(
    wallet: &mut Wallet,
    sku: &str,
    current: &[&PastBook],
    past: &[&PastBook],
) -> FundShares {
    let in_period: Micros = -current.iter().flat_map(|one| one.shares.values()).sum::<Micros>();
    let mut given = wallet.give_back(sku, in_period);
    let all = current.iter().chain(past);
    let holders: BTreeSet<FundNumber> = all.flat_map(|one| one.shares.keys().copied()).collect();
    for (fund, amount) in owed_by_fund(past) {
        for (fund, part) in wallet.give_back_past(fund, amount, &holders) {
            *given.entry(fund).or_default() += part;
        }
    }
    given
}

/// What past periods took of each fund. A stop gives to grants first, so one fund may have got more
/// than it paid, and the others get less.
fn owed_by_fund(past: &[&PastBook]) -> Vec<(FundNumber, Micros)> {
    let mut by_fund: Vec<(FundNumber, Micros)> = Vec::new();
    for (fund, share) in past.iter().flat_map(|charge| &charge.shares) {
        match by_fund.iter_mut().find(|(known, _)| known == fund) {
            Some((_, amount)) => *amount -= share,
            None => by_fund.push((*fund, -share)),
        }
    }
    // Grants paid before paid credit did.
    by_fund.sort_by_key(|(fund, _)| *fund == PAID);
    let mut left: Micros = by_fund.iter().map(|(_, amount)| amount).sum();
    by_fund.retain(|(_, amount)| *amount > 0);
    for (_, amount) in &mut by_fund {
        *amount = (*amount).min(left.max(0));
        left -= *amount;
    }
    by_fund
}
