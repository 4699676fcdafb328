//! `GET /v1/prices`: what can be started and what it costs, now and as far as it is announced.

use serde::Serialize;
use tollgate::domain::ids::Sku;
use tollgate::domain::prices::{Price, PriceList, PriceUnit};
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::runtime::billing::Billing;
use tollgate::views::price_display::DisplayView;

use crate::paging::{ListPage, limit};

#[derive(Debug, Serialize)]
struct SkuPriceView {
    sku: String,
    #[serde(flatten)]
    display: DisplayView,
    /// `hour` or `quantity`.
    unit: PriceUnit,
    kind: String,
    /// USD for each unit while it runs.
    rate: String,
    /// USD for each hour in which it is off.
    idle_rate: String,
    valid_from: String,
    /// Prices that will hold, the next one first.
    upcoming: Vec<UpcomingPrice>,
}

#[derive(Debug, Serialize)]
struct UpcomingPrice {
    rate: String,
    idle_rate: String,
    valid_from: String,
}

/// Handles `GET /v1/prices`.
pub(crate) async fn list(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let (limit, after) = (limit(call)?, call.query::<Sku>("cursor")?);
    // For whoever has a token: prices are no secret, but they are not a public page either.
    OnAccount::of_caller(billing, call)?;
    let prices = billing.prices(call.now).await?;
    let mut items: Vec<SkuPriceView> = Vec::new();
    let mut next = None;
    for price in prices.iter().filter(|price| prices.at(&price.sku, call.now) == Some(price)) {
        if after.as_ref().is_some_and(|after| price.sku <= *after) {
            continue;
        }
        if items.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            next = items.last().map(|last| last.sku.clone());
            break;
        }
        items.push(shown(price, &prices, call.now));
    }
    ApiAnswer::ok(&ListPage { items, next })
}

fn shown(price: &Price, prices: &PriceList, now: Timestamp) -> SkuPriceView {
    let upcoming = prices.iter().filter(|other| other.sku == price.sku && other.valid_from > now);
    let upcoming = upcoming.map(|other| UpcomingPrice {
        rate: other.rate.shown(),
        idle_rate: other.idle_rate.shown(),
        valid_from: other.valid_from.to_string(),
    });
    SkuPriceView {
        sku: price.sku.to_string(),
        display: DisplayView::of(&price.display),
        unit: price.unit,
        kind: price.kind.to_string(),
        rate: price.rate.shown(),
        idle_rate: price.idle_rate.shown(),
        valid_from: price.valid_from.to_string(),
        upcoming: upcoming.collect(),
    }
}
