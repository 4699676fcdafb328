//! `GET` and `PUT /v1/admin/prices`: the price list. Prices are added and never changed.

use serde::{Deserialize, Serialize};
use tollgate::domain::ids::{Kind, Sku};
use tollgate::domain::money::{Quantity, Rate, RequestedRate};
use tollgate::domain::prices::{
    DisplayName, DisplayUnit, Price, PriceDisplay, PriceList, PriceUnit,
};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::views::price_display::DisplayView;

/// The maximum number of prices per request. Each is a separate write.
const PRICES_MAX: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceRequest {
    prices: Vec<WantedPrice>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedPrice {
    sku: Sku,
    unit: PriceUnit,
    kind: Kind,
    rate: RequestedRate,
    #[serde(default)]
    idle_rate: Option<RequestedRate>,
    /// What customers read instead of the SKU.
    #[serde(default)]
    name: Option<DisplayName>,
    /// What customers read as the unit, such as "1M tokens". Of a metered SKU.
    #[serde(default)]
    unit_name: Option<DisplayName>,
    /// How many counted units that is. One by default.
    #[serde(default)]
    unit_size: Option<Quantity>,
    /// A time in RFC 3339. Defaults to the earliest allowed time.
    #[serde(default)]
    valid_from: Option<String>,
}

#[derive(Debug, Serialize)]
struct PriceView {
    prices: Vec<ListedPriceView>,
}

#[derive(Debug, Serialize)]
struct ListedPriceView {
    sku: String,
    unit: PriceUnit,
    kind: String,
    rate: String,
    idle_rate: String,
    valid_from: String,
    #[serde(flatten)]
    display: DisplayView,
}

/// Handles `GET /v1/admin/prices`: all past, current and future prices.
pub(crate) async fn get(billing: &Billing, _: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let prices = billing.store.prices().await?;
    ApiAnswer::ok(&PriceView { prices: prices.iter().map(ListedPriceView::from).collect() })
}

/// Handles `PUT /v1/admin/prices`. All prices are checked before any is added. Existing prices stay
/// as they are, so the request is idempotent. The answer has the prices as they will apply.
pub(crate) async fn put(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let PriceRequest { prices } = call.json()?;
    if prices.is_empty() || prices.len() > PRICES_MAX {
        return Err(Problem::new(
            ProblemCode::InvalidBody,
            format!("prices: must contain 1 to {PRICES_MAX} prices."),
        )
        .with("parameter", "prices")
        .into());
    }
    handler::once(billing, &call.caller()?.account, call, add(billing, call, prices)).await
}

async fn add(
    billing: &Billing,
    call: &ApiCall,
    prices: Vec<WantedPrice>,
) -> Result<ApiAnswer, ApiError> {
    let mut list = billing.store.prices().await?;
    let (mut shown, mut new) = (Vec::new(), Vec::new());
    for wanted in prices {
        let price = wanted.over(&list, call.now)?;
        if list.at(&price.sku, price.valid_from) != Some(&price) {
            list.check(&price, call.now)?;
            list = list.iter().cloned().chain([price.clone()]).collect();
            new.push(price.clone());
        }
        shown.push(ListedPriceView::from(&price));
    }
    for price in &new {
        billing.store.put_price(price, call.now).await?;
    }
    billing.fresh_prices(call.now).await?;
    ApiAnswer::ok(&PriceView { prices: shown })
}

impl WantedPrice {
    fn display(&self) -> Result<PriceDisplay, Problem> {
        let wrong = |field: &str, why: &str| {
            let text = format!("{field} of {}: {why}.", self.sku);
            Problem::new(ProblemCode::InvalidBody, text).with("parameter", field)
        };
        let unit = match (&self.unit_name, self.unit_size, self.unit) {
            (None, None, _) => None,
            (_, _, PriceUnit::Hour) => {
                return Err(wrong("unit_name", "is for SKUs with the unit quantity"));
            }
            (None, Some(_), _) => return Err(wrong("unit_name", "is required with unit_size")),
            (Some(_), Some(size), _) if size == Quantity::ZERO => {
                return Err(wrong("unit_size", "must be greater than zero"));
            }
            (Some(name), size, _) => {
                let (name, size) = (name.clone(), size.unwrap_or(Quantity::ONE));
                Some(DisplayUnit { name, size })
            }
        };
        Ok(PriceDisplay { name: self.name.clone(), unit })
    }

    /// The price as it will apply. A price without its own time that equals the price in force at
    /// the earliest time adds nothing.
    fn over(self, list: &PriceList, now: Timestamp) -> Result<Price, ApiError> {
        let display = self.display()?;
        let WantedPrice { sku, unit, kind, rate, idle_rate, valid_from, .. } = self;
        let is_given = valid_from.is_some();
        let valid_from = match valid_from {
            Some(text) => text.parse().map_err(|error| {
                Problem::new(ProblemCode::InvalidBody, format!("valid_from of {sku}: {error}."))
                    .with("parameter", "valid_from")
            })?,
            None => list.earliest(&sku, now),
        };
        let (rate, idle_rate) = (rate.into(), idle_rate.map_or(Rate::ZERO, Rate::from));
        let price = Price { sku, unit, kind, rate, idle_rate, valid_from, display };
        if price.idle_rate > price.rate {
            return Err(Refusal::IdleRateTooHigh.into());
        }
        match list.at(&price.sku, valid_from) {
            Some(known)
                if !is_given
                    && (Price { valid_from: known.valid_from, ..price.clone() }) == *known =>
            {
                Ok(known.clone())
            }
            Some(_) | None => Ok(price),
        }
    }
}

impl From<&Price> for ListedPriceView {
    fn from(price: &Price) -> ListedPriceView {
        ListedPriceView {
            sku: price.sku.to_string(),
            unit: price.unit,
            kind: price.kind.to_string(),
            rate: price.rate.shown(),
            idle_rate: price.idle_rate.shown(),
            valid_from: price.valid_from.to_string(),
            display: DisplayView::of(&price.display),
        }
    }
}
