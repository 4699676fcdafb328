//! `GET /v1/transactions`: the account's history, newest first, by type and time, in pages. CSV if
//! the caller accepts `text/csv`.

use tollgate::http::call::{ApiCall, query_value};
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::transactions::{self, OF_JSON, TransactionBounds};
use tollgate::runtime::billing::Billing;

use crate::csv;

/// CSV contains no lines. 5,000 rows are less than 1 MB.
const OF_CSV: TransactionBounds = TransactionBounds {
    limit_default: 5_000,
    limit_max: 5_000,
    rows_per_read: 500,
    reads_max: 40,
    lines_max: usize::MAX,
    payments_max: 500,
};

/// Handles `GET /v1/transactions`.
pub(crate) async fn list(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let on = OnAccount::of_caller(billing, call)?;
    if call.wants_csv() {
        let page = transactions::page(&on, call, &OF_CSV, |_, shown| shown).await?;
        let next = page.next.map(|cursor| next_page(call, &cursor));
        return Ok(ApiAnswer::csv(csv::table(&page.items), next));
    }
    ApiAnswer::ok(&transactions::page(&on, call, &OF_JSON, |_, shown| shown).await?)
}

/// The same request with a cursor at the end of this page.
fn next_page(call: &ApiCall, cursor: &str) -> String {
    let same = call.query.iter().filter(|(name, _)| *name != "cursor");
    let same: String = same
        .map(|(name, value)| format!("&{}={}", query_value(name), query_value(value)))
        .collect();
    format!("/v1/transactions?cursor={cursor}{same}")
}
