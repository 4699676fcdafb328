//! The prices that staff set, as they are stored.

use std::collections::BTreeMap;

use serde_json::Value;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use super::amounts::{HourlyRate, hourly_rate};
use super::ensure;

/// All prices by SKU and first second.
#[derive(Clone, Debug, Default)]
pub struct PriceBooks {
    prices: BTreeMap<String, BTreeMap<i64, SkuPrice>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkuPrice {
    pub rate: HourlyRate,
    /// The rate of what is kept while it is off.
    pub idle: HourlyRate,
}

impl PriceBooks {
    /// Adds stored prices. A price that is known never changes and never goes.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(&mut self, items: &[Value]) -> Result<(), String> {
        let mut stored = Self::default();
        for item in items {
            let body = item["body"]["S"].as_str().unwrap_or_default();
            let price: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
            let sku = price["sku"].as_str().ok_or("a price without SKU")?;
            let known = SkuPrice {
                rate: hourly_rate(&price["rate"])?,
                idle: hourly_rate(&price["idle_rate"])?,
            };
            let from = seconds(&price["valid_from"])?;
            stored.prices.entry(sku.to_owned()).or_default().insert(from, known);
        }
        for (sku, known) in &self.prices {
            for (from, price) in known {
                let now = stored.prices.get(sku).and_then(|prices| prices.get(from));
                ensure!(now == Some(price), "the price of {sku} from {from} on was changed");
            }
        }
        *self = stored;
        Ok(())
    }

    /// The price of a SKU at an instant.
    ///
    /// # Errors
    /// That there is none.
    pub fn at(&self, sku: &str, instant: i64) -> Result<SkuPrice, String> {
        let price = self.prices.get(sku).and_then(|prices| prices.range(..=instant).next_back());
        price.map(|(_, price)| *price).ok_or_else(|| format!("{sku} has no price at {instant}"))
    }
}

/// An instant that is stored as a number or as text.
fn seconds(value: &Value) -> Result<i64, String> {
    if let Some(seconds) = value.as_i64() {
        return Ok(seconds);
    }
    let text = value.as_str().unwrap_or_default();
    UtcDateTime::parse(text, &Rfc3339)
        .map(UtcDateTime::unix_timestamp)
        .map_err(|_| format!("{value} is no time"))
}
