//! `GET /v1/transactions`: the account's history, newest first, by type and time, in pages. CSV if
//! the caller accepts `text/csv`.

use std::ops::Range;
use std::str::FromStr;

use serde::Serialize;
use tollgate::domain::ids::AccountId;
use tollgate::domain::row::Row;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::{ApiCall, query_value};
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::store::{RowOrder, StoreError};
use tollgate::views::transaction::{Transaction, TransactionType, transaction_type};

use crate::csv;

/// The limits of one page. A page that ends early has a cursor for the next.
struct TransactionBounds {
    /// Default number of items.
    limit_default: u32,
    /// Maximum number of items.
    limit_max: u32,
    /// Rows per read.
    rows_per_read: u32,
    /// Maximum number of reads, for a filter that matches few rows.
    reads_max: usize,
    /// Maximum number of lines.
    lines_max: usize,
    /// Maximum number of rows with a payment. Each costs a read of about 5 ms, for the payment's
    /// other IDs.
    payments_max: usize,
}

/// Rows have up to 300 KB of lines. At 100 bytes each, 30,000 are 3 MB. Lambda's answers are
/// limited to 6 MB (docs.aws.amazon.com, "Lambda quotas").
const OF_JSON: TransactionBounds = TransactionBounds {
    limit_default: 50,
    limit_max: 200,
    rows_per_read: 200,
    reads_max: 10,
    lines_max: 30_000,
    payments_max: 200,
};
/// CSV contains no lines. 5,000 rows are less than 1 MB.
const OF_CSV: TransactionBounds = TransactionBounds {
    limit_default: 5_000,
    limit_max: 5_000,
    rows_per_read: 500,
    reads_max: 40,
    lines_max: usize::MAX,
    payments_max: 500,
};

#[derive(Debug, Serialize)]
struct TransactionPage {
    items: Vec<Transaction>,
    next: Option<String>,
}

/// The filter of the request.
struct TransactionFilter {
    kind: WantedFormat,
    include: IncludedRows,
}

enum WantedFormat {
    Any,
    Type(TransactionType),
    /// A row type that is not a transaction type.
    Row(String),
}

/// `include`: whether rows that moved no money are included.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IncludedRows {
    Money,
    All,
}

impl FromStr for IncludedRows {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<IncludedRows, &'static str> {
        if text == "all" { Ok(IncludedRows::All) } else { Err("must be all") }
    }
}

/// Handles `GET /v1/transactions`.
pub(crate) async fn list(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let filter = TransactionFilter::of(call)?;
    let is_csv = call.wants_csv();
    let bounds = if is_csv { &OF_CSV } else { &OF_JSON };
    let limit: u32 = call.query("limit")?.unwrap_or(bounds.limit_default);
    if !(1..=bounds.limit_max).contains(&limit) {
        let why = format!("limit: must be between 1 and {}.", bounds.limit_max);
        return Err(Problem::new(ProblemCode::InvalidParameter, why)
            .with("parameter", "limit")
            .into());
    }
    let (from, to) = (call.query::<Timestamp>("from")?, call.query::<Timestamp>("to")?);
    let cursor: Option<u64> = call.query("cursor")?;
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    let numbers = numbers(billing, on.account(), from, to).await?;
    let numbers = numbers.start..cursor.map_or(numbers.end, |cursor| cursor.min(numbers.end));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = page(billing, &on, &filter, numbers, limit, bounds).await?;
    if is_csv {
        let next = page.next.map(|cursor| next_page(call, &cursor));
        return Ok(ApiAnswer::csv(csv::table(&page.items), next));
    }
    ApiAnswer::ok(&page)
}

/// The same request with a cursor at the end of this page.
fn next_page(call: &ApiCall, cursor: &str) -> String {
    let same = call.query.iter().filter(|(name, _)| *name != "cursor");
    let same: String = same
        .map(|(name, value)| format!("&{}={}", query_value(name), query_value(value)))
        .collect();
    format!("/v1/transactions?cursor={cursor}{same}")
}

/// The numbers of the rows in this range: `from` inclusive, `to` exclusive.
async fn numbers(
    billing: &Billing,
    account: &AccountId,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<Range<u64>, StoreError> {
    if from.is_none() && to.is_none() {
        return Ok(0..u64::MAX);
    }
    let until = match to {
        Some(to) => to,
        None => Timestamp::default().plus(i64::MAX),
    };
    billing.store.numbers_between(account, from.unwrap_or_default(), until).await
}

async fn page(
    billing: &Billing,
    on: &OnAccount<'_>,
    filter: &TransactionFilter,
    numbers: Range<u64>,
    limit: usize,
    bounds: &TransactionBounds,
) -> Result<TransactionPage, StoreError> {
    let (mut items, mut lines, mut payments) = (Vec::new(), 0, 0);
    let start = numbers.start;
    let mut rest = Some(numbers);
    for _ in 0..bounds.reads_max {
        let Some(numbers) = rest.take() else { break };
        let read = billing
            .store
            .rows(on.account(), numbers, RowOrder::NewestFirst, bounds.rows_per_read)
            .await?;
        for row in read.rows.iter().filter(|row| filter.passes(row)) {
            let shown = on.transaction(row).await?;
            lines += shown.lines.as_ref().map_or(0, Vec::len);
            payments += usize::from(shown.stripe.is_some());
            items.push(shown);
            if items.len() == limit || lines >= bounds.lines_max || payments >= bounds.payments_max
            {
                let next = (row.seq > start).then(|| row.seq.to_string());
                return Ok(TransactionPage { items, next });
            }
        }
        rest = read.rest;
    }
    Ok(TransactionPage { items, next: rest.map(|rest| rest.end.to_string()) })
}

impl TransactionFilter {
    fn of(call: &ApiCall) -> Result<TransactionFilter, Problem> {
        let include = call.query("include")?.unwrap_or(IncludedRows::Money);
        let kind = match (call.query::<TransactionType>("type"), include) {
            (Ok(None), _) => WantedFormat::Any,
            (Ok(Some(kind)), _) => WantedFormat::Type(kind),
            (Err(_), IncludedRows::All) => {
                WantedFormat::Row(call.query("type")?.unwrap_or_default())
            }
            (Err(problem), IncludedRows::Money) => return Err(problem),
        };
        Ok(TransactionFilter { kind, include })
    }

    fn passes(&self, row: &Row) -> bool {
        let kind = transaction_type(&row.event);
        let moved = kind.is_some() || self.include == IncludedRows::All;
        moved
            && match &self.kind {
                WantedFormat::Any => true,
                WantedFormat::Type(wanted) => kind == Some(*wanted),
                WantedFormat::Row(wanted) => kind.is_none() && row.event.change.name() == wanted,
            }
    }
}
