//! Billing by quantity.

use std::collections::BTreeMap;

use serde_json::Value;

use super::amounts::{divide, hourly_rate, micros, scaled};
use super::ensure;
use super::funds::Wallet;
use super::row::{BookedRow, FundMoves, FundShares, array};
use super::time::{AccountBefore, HOUR};

/// The reading of each meter that is billed, in millionths of a millionth.
#[derive(Clone, Debug, Default)]
pub struct MeterBooks {
    billed: BTreeMap<(String, String), i128>,
}

impl MeterBooks {
    /// How many whole units were billed.
    #[must_use]
    pub fn units_billed(&self) -> i128 {
        self.billed.values().sum::<i128>() / 10_i128.pow(12)
    }

    /// Each unit is billed once, at the price of the hour before.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(&mut self, row: &BookedRow, before: AccountBefore<'_>) -> Result<FundMoves, String> {
        let mut wallet = Wallet::at(before.funds, row.at);
        for line in array(&row.change["lines"]) {
            let text = |name: &str| line[name].as_str().unwrap_or_default();
            let (from, to) = (scaled(text("f"), 12)?, scaled(text("t"), 12)?);
            let meter = (text("p").to_owned(), text("s").to_owned());
            let billed = self.billed.insert(meter, to).unwrap_or_default();
            ensure!(from == billed, "a meter is billed from {from}, and was billed to {billed}");
            let hour_before = row.at - row.at.rem_euclid(HOUR) - 1;
            let price = before.prices.at(text("s"), hour_before);
            let price = price.or_else(|_| before.prices.at(text("s"), row.at))?;
            ensure!(hourly_rate(&line["r"])? == price.rate, "a meter has another price");
            let exact = price.rate.checked_mul(to - from).ok_or("a quantity beyond all bounds")?;
            // Rates and quantities have twelve decimals each, and amounts have six.
            let amount = divide(exact, 10_i128.pow(18));
            ensure!(micros(&line["a"])? == -amount, "a meter costs {amount}");
            let mut shares = wallet.pay_beyond(text("s"), amount);
            shares.retain(|_, share| *share != 0);
            ensure!(shares == shares_of(line)?, "a meter is paid by {shares:?}");
        }
        Ok(wallet.moves())
    }
}

fn shares_of(line: &Value) -> Result<FundShares, String> {
    let shares = array(&line["h"]).iter().map(|share| {
        let fund = share[0].as_u64().and_then(|fund| u32::try_from(fund).ok());
        Ok((fund.ok_or("a share without fund")?, micros(&share[1])?))
    });
    shares.collect()
}
