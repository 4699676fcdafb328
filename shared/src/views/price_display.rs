//! How a price is shown to customers.

use serde::Serialize;

use crate::domain::prices::{DisplayName, PriceDisplay};

/// The names of a price, and the unit in which its quantities are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DisplayView {
    /// Null: the SKU is its name.
    pub name: Option<String>,
    /// Such as "1M tokens". Null: single units.
    pub unit_name: Option<String>,
    /// How many counted units that is. Null: one.
    pub unit_size: Option<String>,
}

impl DisplayView {
    #[must_use]
    pub fn of(display: &PriceDisplay) -> DisplayView {
        let text = |name: &DisplayName| name.as_str().to_owned();
        DisplayView {
            name: display.name.as_ref().map(text),
            unit_name: display.unit.as_ref().map(|unit| text(&unit.name)),
            unit_size: display.unit.as_ref().map(|unit| unit.size.to_string()),
        }
    }
}
