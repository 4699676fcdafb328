//! Prices of metered SKUs.

use tollgate::domain::ids::Sku;
use tollgate::domain::money::Rate;
use tollgate::domain::prices::PriceList;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::settle::metered::price_of_hour;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::handler::ApiError;
use tollgate::runtime::billing::Billing;

/// The prices of SKUs in a clock hour, in their order, in USD per unit.
///
/// # Errors
/// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`]; [`StoreError`](tollgate::store::StoreError).
pub(crate) async fn rates<'a>(
    billing: &Billing,
    skus: impl Iterator<Item = &'a Sku> + Clone,
    hour: Timestamp,
    now: Timestamp,
) -> Result<Vec<Rate>, ApiError> {
    let priced = |prices: &PriceList| -> Result<Vec<Rate>, Refusal> {
        skus.clone().map(|sku| price_of_hour(prices, sku, hour, now)).collect()
    };
    let kept = billing.prices(now).await?;
    match priced(&kept) {
        Ok(rates) => Ok(rates),
        // The first price of a SKU may be newer than the list that is kept here.
        Err(_) => Ok(priced(&*billing.fresh_prices(now).await?)?),
    }
}
