//! Billing by quantity.

use std::collections::BTreeMap;

use serde_json::Value;

use super::amounts::{divide, hourly_rate, micros, scaled};
use super::ensure;
use super::funds::Wallet;
use super::row::{BookedRow, FundMoves, FundShares, array};
use super::time::{AccountBefore, HOUR};

/// Project, SKU, hour and labels of usage.
type UsageName = (String, String, Option<i64>, String);

/// What is billed of each meter and hour, in millionths of a millionth.
#[derive(Clone, Debug, Default)]
pub struct MeterBooks {
    billed: BTreeMap<UsageName, i128>,
    /// All units, in millionths of a millionth.
    units: i128,
}

impl MeterBooks {
    /// How many whole units were billed.
    #[must_use]
    pub fn units_billed(&self) -> i128 {
        self.units / 10_i128.pow(12)
    }

    /// Each unit is billed once, at the price of its hour, by a fund that could pay in that hour.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(&mut self, row: &BookedRow, before: AccountBefore<'_>) -> Result<FundMoves, String> {
        let mut wallet = Wallet::at(before.funds, i64::MIN);
        for line in array(&row.change["lines"]) {
            let text = |name: &str| line[name].as_str().unwrap_or_default();
            let (from, to) = (scaled(text("f"), 12)?, scaled(text("t"), 12)?);
            let hour = line["o"].as_i64();
            let name = (text("p").to_owned(), text("s").to_owned(), hour, line["b"].to_string());
            let billed = self.billed.insert(name, to).unwrap_or_default();
            // What a counter shows is counted by the hour, but for what an older release counted.
            let follows = if hour.is_some() { from == billed } else { from >= billed };
            ensure!(follows, "a meter is billed from {from}, and was billed to {billed}");
            self.units += to - from;
            ensure!(from < to, "nothing was used from {from} to {to}");
            let is_of_hour = hour.is_none_or(|hour| hour.rem_euclid(HOUR) == 0 && hour <= row.at);
            ensure!(is_of_hour, "{hour:?} is no hour before the row");
            // Older releases count usage without its hour, and bill it by the hour before.
            let priced_at = hour.unwrap_or(row.at - row.at.rem_euclid(HOUR) - HOUR) + HOUR - 1;
            let price = before.prices.at(text("s"), priced_at);
            let price = price.or_else(|_| before.prices.at(text("s"), row.at))?;
            ensure!(hourly_rate(&line["r"])? == price.rate, "a meter has another price");
            let exact =
                |units: i128| price.rate.checked_mul(units).ok_or("a quantity beyond bounds");
            // Rates and quantities have twelve decimals each, and amounts have six. What an hour
            // costs does not depend on how often it is billed.
            let rounded = |units: i128| exact(units).map(|exact| divide(exact, 10_i128.pow(18)));
            let amount =
                if hour.is_some() { rounded(to)? - rounded(from)? } else { rounded(to - from)? };
            ensure!(micros(&line["a"])? == -amount, "a meter costs {amount}");
            wallet.move_to_hour(hour);
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
