//! The price list. A price is valid from a full hour on and never changes afterwards. Rows store
//! the rate they used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Kind, Sku};
use crate::domain::money::{Quantity, Rate};
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::{MINUTE, Timestamp};

/// How long before its hour a price must be known. Price lists are cached for a tenth of this time.
const NOTICE_SECONDS: i64 = 10 * MINUTE;

/// The price of a SKU from an instant on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    pub sku: Sku,
    /// How the SKU is billed.
    pub unit: PriceUnit,
    /// Such as `service` or `volume`.
    pub kind: Kind,
    /// USD per hour while running, or per unit.
    pub rate: Rate,
    /// USD per hour while stopped (a volume keeps its data). Zero for most SKUs. At most `rate`.
    #[serde(default, skip_serializing_if = "Rate::is_zero")]
    pub idle_rate: Rate,
    /// The first instant. A full hour, except for the first price of a SKU.
    pub valid_from: Timestamp,
    /// How customers read it.
    #[serde(default, skip_serializing_if = "PriceDisplay::is_plain")]
    pub display: PriceDisplay,
}

/// How customers read a price, such as "Input tokens, $0.15 for 1M tokens".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceDisplay {
    /// `None`: the SKU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
    /// Of a metered SKU. `None`: single units without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<DisplayUnit>,
}

/// The unit in which a quantity is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplayUnit {
    /// Such as "1M tokens".
    pub name: DisplayName,
    /// How many counted units it has. Above zero.
    pub size: Quantity,
}

/// A text that customers read: 1 to 64 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DisplayName(String);

/// The text cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {DISPLAY_BYTES_MAX} bytes and no control characters")]
pub struct DisplayNameError;

const DISPLAY_BYTES_MAX: usize = 64;

impl TryFrom<String> for DisplayName {
    type Error = DisplayNameError;

    fn try_from(text: String) -> Result<DisplayName, DisplayNameError> {
        let fits = !text.trim().is_empty() && text.len() <= DISPLAY_BYTES_MAX;
        if fits && !text.chars().any(char::is_control) {
            Ok(DisplayName(text))
        } else {
            Err(DisplayNameError)
        }
    }
}

impl From<DisplayName> for String {
    fn from(name: DisplayName) -> String {
        name.0
    }
}

impl DisplayName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PriceDisplay {
    /// Whether it says nothing.
    fn is_plain(&self) -> bool {
        *self == PriceDisplay::default()
    }
}

impl Price {
    /// Whether both rates are within the range of a price. Older releases stored larger ones.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.rate.is_price() && self.idle_rate.is_price()
    }
}

/// How a SKU is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceUnit {
    /// By time: resources.
    Hour,
    /// By quantity: meters.
    Quantity,
}

/// All past, current and future prices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceList {
    prices: BTreeMap<Sku, BTreeMap<Timestamp, Price>>,
}

impl PriceList {
    /// The price of a SKU at an instant. `None` before its first price.
    #[must_use]
    pub fn at(&self, sku: &Sku, instant: Timestamp) -> Option<&Price> {
        self.prices.get(sku)?.range(..=instant).next_back().map(|(_, price)| price)
    }

    /// The price of a SKU with the given unit.
    ///
    /// # Errors
    /// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`].
    pub fn require(
        &self,
        sku: &Sku,
        unit: PriceUnit,
        instant: Timestamp,
    ) -> Result<&Price, Refusal> {
        let price =
            self.at(sku, instant).ok_or_else(|| Refusal::UnknownSku { sku: sku.clone() })?;
        if price.unit != unit {
            let unit = match unit {
                PriceUnit::Hour => "hour",
                PriceUnit::Quantity => "quantity",
            };
            return Err(Refusal::WrongUnit { sku: sku.clone(), unit });
        }
        Ok(price)
    }

    /// The earliest start of a new price: now for a new SKU, else the first full hour that is at
    /// least ten minutes away.
    #[must_use]
    pub fn earliest(&self, sku: &Sku, now: Timestamp) -> Timestamp {
        if self.prices.contains_key(sku) { now.plus(NOTICE_SECONDS - 1).hour().end() } else { now }
    }

    /// Checks a new price.
    ///
    /// # Errors
    /// [`Refusal::IdleRateTooHigh`]. [`Refusal::WrongUnit`] if the SKU had another unit or
    /// kind before. [`Refusal::PriceTooSoon`]. [`Refusal::PriceNotAtFullHour`].
    /// [`Refusal::PriceExists`].
    pub fn check(&self, price: &Price, now: Timestamp) -> Result<(), Refusal> {
        if price.idle_rate > price.rate {
            return Err(Refusal::IdleRateTooHigh);
        }
        let earliest = self.earliest(&price.sku, now);
        if price.valid_from < earliest {
            return Err(Refusal::PriceTooSoon { earliest });
        }
        let at_full_hour = price.valid_from.hour().start() == price.valid_from;
        let Some(known) = self.prices.get(&price.sku) else {
            // At once, or from a full hour on. An hour has one price from its first use.
            return if at_full_hour || price.valid_from == now {
                Ok(())
            } else {
                Err(Refusal::PriceNotAtFullHour)
            };
        };
        if let Some((_, before)) = known.iter().next_back()
            && (before.unit != price.unit || before.kind != price.kind)
        {
            return Err(Refusal::WrongUnit {
                sku: price.sku.clone(),
                unit: "a different unit or kind than before",
            });
        }
        if !at_full_hour {
            return Err(Refusal::PriceNotAtFullHour);
        }
        if known.contains_key(&price.valid_from) {
            return Err(Refusal::PriceExists {
                sku: price.sku.clone(),
                valid_from: price.valid_from,
            });
        }
        Ok(())
    }

    /// All prices, by SKU and time.
    pub fn iter(&self) -> impl Iterator<Item = &Price> {
        self.prices.values().flat_map(BTreeMap::values)
    }
}

impl FromIterator<Price> for PriceList {
    fn from_iter<I: IntoIterator<Item = Price>>(all: I) -> PriceList {
        let mut prices: BTreeMap<Sku, BTreeMap<Timestamp, Price>> = BTreeMap::new();
        for price in all {
            prices.entry(price.sku.clone()).or_default().insert(price.valid_from, price);
        }
        PriceList { prices }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn price(rate: &str, valid_from: &str) -> Price {
        Price {
            sku: "vm".parse().unwrap(),
            unit: PriceUnit::Hour,
            kind: "instance".parse().unwrap(),
            rate: rate.parse().unwrap(),
            idle_rate: Rate::ZERO,
            valid_from: at(valid_from),
            display: PriceDisplay::default(),
        }
    }

    #[test]
    fn price_change_needs_a_full_hour_ten_minutes_away() {
        let now = at("2026-11-22T10:50:00Z");
        let empty = PriceList::default();
        assert_eq!(empty.check(&price("1", "2026-11-22T10:50:00Z"), now), Ok(()));
        assert_eq!(
            empty.check(&price("1", "2026-11-22T10:49:59Z"), now),
            Err(Refusal::PriceTooSoon { earliest: now })
        );

        let list: PriceList = [price("1", "2026-11-22T10:00:00Z")].into_iter().collect();
        let (eleven, twelve) = (at("2026-11-22T11:00:00Z"), at("2026-11-22T12:00:00Z"));
        assert_eq!(list.check(&price("2", "2026-11-22T11:00:00Z"), now), Ok(()));
        let late = at("2026-11-22T10:50:01Z");
        assert_eq!(
            list.check(&price("2", "2026-11-22T11:00:00Z"), late),
            Err(Refusal::PriceTooSoon { earliest: twelve })
        );
        assert_eq!(
            list.check(&price("2", "2026-11-22T11:30:00Z"), now),
            Err(Refusal::PriceNotAtFullHour)
        );
        let list: PriceList =
            list.iter().cloned().chain([price("2", "2026-11-22T11:00:00Z")]).collect();
        assert_eq!(
            list.check(&price("3", "2026-11-22T11:00:00Z"), now),
            Err(Refusal::PriceExists { sku: "vm".parse().unwrap(), valid_from: eleven })
        );
        assert_eq!(list.at(&"vm".parse().unwrap(), late).map(|price| price.rate), "1".parse().ok());
        assert_eq!(
            list.at(&"vm".parse().unwrap(), eleven).map(|price| price.rate),
            "2".parse().ok()
        );
        assert_eq!(list.at(&"vm".parse().unwrap(), at("2026-11-22T09:59:59Z")), None);
    }

    #[test]
    fn a_sku_keeps_its_unit_and_kind_and_costs_no_more_off_than_on() {
        let now = at("2026-11-22T10:00:00Z");
        let list: PriceList = [price("1", "2026-11-22T09:00:00Z")].into_iter().collect();
        let by_quantity = Price { unit: PriceUnit::Quantity, ..price("1", "2026-11-22T12:00:00Z") };
        assert!(matches!(list.check(&by_quantity, now), Err(Refusal::WrongUnit { .. })));
        let idle =
            Price { idle_rate: "1.01".parse().unwrap(), ..price("1", "2026-11-22T12:00:00Z") };
        assert_eq!(list.check(&idle, now), Err(Refusal::IdleRateTooHigh));
        assert!(matches!(
            list.require(&"vm".parse().unwrap(), PriceUnit::Quantity, now),
            Err(Refusal::WrongUnit { .. })
        ));
        assert!(matches!(
            list.require(&"db".parse().unwrap(), PriceUnit::Hour, now),
            Err(Refusal::UnknownSku { .. })
        ));
    }
}
