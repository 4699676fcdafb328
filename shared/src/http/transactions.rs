//! An account's history, newest first, by type and time, in pages: for its customer and for staff.

use std::ops::Range;
use std::str::FromStr;

use serde::Serialize;

use crate::domain::row::Row;
use crate::domain::timestamp::Timestamp;
use crate::http::call::ApiCall;
use crate::http::handler::{ApiError, OnAccount};
use crate::http::problem::{Problem, ProblemCode};
use crate::store::{RowOrder, StoreError};
use crate::views::transaction::{Transaction, TransactionType, transaction_type};

/// The limits of one page. A page that ends early has a cursor for the next.
#[derive(Clone, Copy, Debug)]
pub struct TransactionBounds {
    /// Default number of items.
    pub limit_default: u32,
    /// Maximum number of items.
    pub limit_max: u32,
    /// Rows per read.
    pub rows_per_read: u32,
    /// Maximum number of reads, for a filter that matches few rows.
    pub reads_max: usize,
    /// Maximum number of lines.
    pub lines_max: usize,
    /// Maximum number of rows with a payment. Each costs a read of about 5 ms, for the payment's
    /// other IDs.
    pub payments_max: usize,
}

/// Rows have up to 300 KB of lines. At 100 bytes each, 30,000 are 3 MB. Lambda's answers are
/// limited to 6 MB (docs.aws.amazon.com, "Lambda quotas").
pub const OF_JSON: TransactionBounds = TransactionBounds {
    limit_default: 50,
    limit_max: 200,
    rows_per_read: 200,
    reads_max: 10,
    lines_max: 30_000,
    payments_max: 200,
};

/// Some of an account's rows.
#[derive(Debug, Serialize)]
pub struct TransactionPage<T> {
    pub items: Vec<T>,
    /// The cursor of the next page.
    pub next: Option<String>,
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

/// The page that the query asks for, by `type`, `include`, `from`, `to`, `limit` and `cursor`, each row
/// as `show` makes it.
///
/// # Errors
/// [`ProblemCode::InvalidParameter`];
/// [`Refusal::AccountNotOpen`](crate::domain::refusal::Refusal::AccountNotOpen); [`StoreError`].
pub async fn page<T>(
    on: &OnAccount<'_>,
    call: &ApiCall,
    bounds: &TransactionBounds,
    show: impl Fn(&Row, Transaction) -> T,
) -> Result<TransactionPage<T>, ApiError> {
    let filter = TransactionFilter::of(call)?;
    let limit: u32 = call.query("limit")?.unwrap_or(bounds.limit_default);
    if !(1..=bounds.limit_max).contains(&limit) {
        let why = format!("limit: must be between 1 and {}.", bounds.limit_max);
        return Err(Problem::new(ProblemCode::InvalidParameter, why)
            .with("parameter", "limit")
            .into());
    }
    let (from, to) = (call.query::<Timestamp>("from")?, call.query::<Timestamp>("to")?);
    let cursor: Option<u64> = call.query("cursor")?;
    on.ensure_open().await?;
    let numbers = numbers(on, from, to).await?;
    let numbers = numbers.start..cursor.map_or(numbers.end, |cursor| cursor.min(numbers.end));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut items, mut lines, mut payments) = (Vec::new(), 0, 0);
    let start = numbers.start;
    let mut rest = Some(numbers);
    for _ in 0..bounds.reads_max {
        let Some(numbers) = rest.take() else { break };
        let read = on.rows(numbers, RowOrder::NewestFirst, bounds.rows_per_read).await?;
        for row in read.rows.iter().filter(|row| filter.passes(row)) {
            let shown = on.transaction(row).await?;
            lines += shown.lines.as_ref().map_or(0, Vec::len);
            payments += usize::from(shown.stripe.is_some());
            items.push(show(row, shown));
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

/// The numbers of the rows in this range: `from` inclusive, `to` exclusive.
async fn numbers(
    on: &OnAccount<'_>,
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
    on.numbers_between(from.unwrap_or_default(), until).await
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
