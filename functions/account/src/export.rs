//! `GET /v1/account/export`: everything that is kept about a customer, page by page.

use std::collections::BTreeMap;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::Value;
use tollgate::domain::account::AccountState;
use tollgate::domain::event::Event;
use tollgate::domain::row::Row;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::runtime::billing::Billing;
use tollgate::store::ExportedItem;
use tollgate::views::transaction::transaction;

/// The longest sort key (docs.aws.amazon.com/amazondynamodb, "Quotas").
const SORT_KEY_BYTES_MAX: usize = 1_024;

#[derive(Debug, Serialize)]
struct ExportView {
    account: String,
    /// What can change: profile, projects, resources, requests.
    items: Vec<ItemView>,
    /// What has happened, oldest first.
    rows: Vec<RowView>,
    /// Where the next page begins. Null on the last one.
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct ItemView {
    key: String,
    content: BTreeMap<String, Value>,
}

#[derive(Debug, Serialize)]
struct RowView {
    seq: u64,
    at: String,
    #[serde(rename = "type")]
    kind: &'static str,
    description: String,
    /// USD.
    amount: String,
    /// USD, after the row.
    balance: String,
    /// As it is stored.
    event: Event,
    /// The account after the row, as it is stored.
    state: AccountState,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ExportCursor {
    /// After the item with this key.
    Items(String),
    /// At this row.
    Rows(u64),
}

#[derive(Debug, thiserror::Error)]
#[error("must be the `next` of a page")]
struct ExportCursorError;

impl ExportCursor {
    fn written(&self) -> String {
        match self {
            ExportCursor::Items(key) => format!("items-{}", URL_SAFE_NO_PAD.encode(key)),
            ExportCursor::Rows(seq) => format!("rows-{seq}"),
        }
    }
}

impl FromStr for ExportCursor {
    type Err = ExportCursorError;

    fn from_str(text: &str) -> Result<ExportCursor, ExportCursorError> {
        let items = |key: &str| {
            let key = URL_SAFE_NO_PAD.decode(key).ok()?;
            let is_key = |key: &String| (1..=SORT_KEY_BYTES_MAX).contains(&key.len());
            String::from_utf8(key).ok().filter(is_key).map(ExportCursor::Items)
        };
        let rows = |seq: &str| seq.parse().ok().map(ExportCursor::Rows);
        let cursor = match text.split_once('-') {
            Some(("items", key)) => items(key),
            Some(("rows", seq)) => rows(seq),
            _ => None,
        };
        cursor.ok_or(ExportCursorError)
    }
}

/// Handles `GET /v1/account/export`. Only the customer gets it: it holds personal data.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller()?.require_in_person("export the account's data")?;
    let cursor: Option<ExportCursor> = call.query("cursor")?;
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    let (store, account) = (&billing.store, on.account());
    let view = |items, rows, next: Option<ExportCursor>| ExportView {
        account: account.to_string(),
        items,
        rows,
        next: next.as_ref().map(ExportCursor::written),
    };
    let after = match cursor {
        Some(ExportCursor::Rows(from)) => {
            let (rows, next) = store.export_rows(account, from).await?;
            let rows = rows.into_iter().map(|row| shown(row, &on)).collect();
            return ApiAnswer::ok(&view(Vec::new(), rows, next.map(ExportCursor::Rows)));
        }
        Some(ExportCursor::Items(key)) => Some(key),
        None => None,
    };
    let page = store.export_items(account, after.as_deref()).await?;
    let next = page.next.map_or(ExportCursor::Rows(0), ExportCursor::Items);
    let items = page.items.into_iter();
    let items = items.map(|ExportedItem { key, content }| ItemView { key, content });
    ApiAnswer::ok(&view(items.collect(), Vec::new(), Some(next)))
}

fn shown(row: Row, on: &OnAccount<'_>) -> RowView {
    let description = transaction(on.account(), &row).description;
    RowView {
        seq: row.seq,
        at: row.event.at.to_string(),
        kind: row.event.change.name(),
        description,
        amount: row.event.amount().to_string(),
        balance: row.state.balance().to_string(),
        event: row.event,
        state: row.state,
    }
}
