//! `GET /v1/transactions`: the account's history, newest first, by type and time, page by page.

use std::ops::Range;
use std::str::FromStr;

use serde::Serialize;
use tollgate::api::{Answer, Failed, OnAccount};
use tollgate::http::Call;
use tollgate::ids::AccountId;
use tollgate::problem::{Code, Problem};
use tollgate::row::Row;
use tollgate::shell::Billing;
use tollgate::store::{Fault, Order};
use tollgate::timestamp::Timestamp;
use tollgate::transaction::{Transaction, TransactionType, transaction_type};

/// Items of a page, if the caller does not say.
const LIMIT_DEFAULT: u32 = 50;
/// The most items of a page: rows hold up to 300 KB of lines, so a page of big ones is cut by its bytes instead.
const LIMIT_MAX: u32 = 200;
/// How many rows are read at a time.
const ROWS_PER_READ: u32 = 200;
/// How many reads one page may cost if its filter passes little: it is then short, or empty, and says how to go on.
const READS_MAX: usize = 10;
/// A page ends after so many lines: at 100 bytes each 3 MB, and Lambda answers at most 6 MB
/// (docs.aws.amazon.com, "Lambda quotas").
const LINES_PER_PAGE: usize = 30_000;

#[derive(Debug, Serialize)]
struct Page {
    items: Vec<Transaction>,
    next: Option<String>,
}

/// What the caller wants to see.
struct Filter {
    kind: Wanted,
    include: Include,
}

enum Wanted {
    Any,
    Type(TransactionType),
    /// A row type that is no transaction's.
    Row(String),
}

/// `include`: whether rows that moved no money are shown as well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Include {
    Money,
    All,
}

impl FromStr for Include {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Include, &'static str> {
        if text == "all" { Ok(Include::All) } else { Err("only all can be included") }
    }
}

/// `GET /v1/transactions`.
pub(crate) async fn list(billing: &Billing, call: &Call) -> Result<Answer, Failed> {
    let filter = Filter::of(call)?;
    let limit: u32 = call.query("limit")?.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let why = format!("limit: between 1 and {LIMIT_MAX}.");
        return Err(Problem::new(Code::InvalidParameter, why).with("parameter", "limit").into());
    }
    let (from, to) = (call.query::<Timestamp>("from")?, call.query::<Timestamp>("to")?);
    let cursor: Option<u64> = call.query("cursor")?;
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    let numbers = numbers(billing, on.account(), from, to).await?;
    let numbers = numbers.start..cursor.map_or(numbers.end, |cursor| cursor.min(numbers.end));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Answer::ok(&page(billing, &on, &filter, numbers, limit).await?)
}

/// The numbers of the rows in this time: `from` inclusive, `to` exclusive.
async fn numbers(
    billing: &Billing,
    account: &AccountId,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<Range<u64>, Fault> {
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
    filter: &Filter,
    numbers: Range<u64>,
    limit: usize,
) -> Result<Page, Fault> {
    let (mut items, mut lines) = (Vec::new(), 0);
    let start = numbers.start;
    let mut rest = Some(numbers);
    for _ in 0..READS_MAX {
        let Some(numbers) = rest.take() else { break };
        let read = billing.store.rows(on.account(), numbers, Order::NewestFirst, ROWS_PER_READ).await?;
        for row in read.rows.iter().filter(|row| filter.passes(row)) {
            let shown = on.transaction(row).await?;
            lines += shown.lines.as_ref().map_or(0, Vec::len);
            items.push(shown);
            if items.len() == limit || lines >= LINES_PER_PAGE {
                let next = (row.seq > start).then(|| row.seq.to_string());
                return Ok(Page { items, next });
            }
        }
        rest = read.rest;
    }
    Ok(Page { items, next: rest.map(|rest| rest.end.to_string()) })
}

impl Filter {
    fn of(call: &Call) -> Result<Filter, Problem> {
        let include = call.query("include")?.unwrap_or(Include::Money);
        let kind = match (call.query::<TransactionType>("type"), include) {
            (Ok(None), _) => Wanted::Any,
            (Ok(Some(kind)), _) => Wanted::Type(kind),
            (Err(_), Include::All) => Wanted::Row(call.query("type")?.unwrap_or_default()),
            (Err(problem), Include::Money) => return Err(problem),
        };
        Ok(Filter { kind, include })
    }

    fn passes(&self, row: &Row) -> bool {
        let kind = transaction_type(&row.event);
        let moved = kind.is_some() || self.include == Include::All;
        moved
            && match &self.kind {
                Wanted::Any => true,
                Wanted::Type(wanted) => kind == Some(*wanted),
                Wanted::Row(wanted) => kind.is_none() && row.event.change.name() == wanted,
            }
    }
}
