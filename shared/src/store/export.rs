//! Everything that is kept about a customer, page by page: the items of the account, then its rows.

use std::collections::BTreeMap;
use std::ops::Range;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;

use super::accounts::SortKeys;
use super::item::{StoredItem, account_partition, malformed, text_of};
use super::quotas::QUOTAS;
use super::rows::RowOrder;
use super::search::{PROFILE_NAME, SEARCH_ATTRIBUTES};
use super::staff_invoices::STAFF_INVOICES;
use super::{Store, StoreError};
use crate::domain::event::BilledLines;
use crate::domain::ids::AccountId;
use crate::domain::row::Row;

/// The most rows of one page. Big ones end it earlier.
const PAGE_ROWS: u32 = 100;

/// An item of the table `accounts` that belongs to an account.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedItem {
    /// Its sort key, such as `profile` or `project#prj-1`.
    pub key: String,
    /// Its other attributes. Text that is JSON is shown as such.
    pub content: BTreeMap<String, Value>,
}

/// Some of an account's items.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemPage {
    pub items: Vec<ExportedItem>,
    /// The key after which to go on. `None` if these were the last.
    pub next: Option<String>,
}

impl ExportedItem {
    /// Keys of requests count for a day, and what they repeat is in other items. So is what only
    /// makes the account found.
    fn is_repetition(&self) -> bool {
        let is_request =
            ["request#", "request-row#"].iter().any(|prefix| self.key.starts_with(prefix));
        is_request || self.key == PROFILE_NAME
    }
}

impl Store {
    /// The account's items among those that DynamoDB reads at once (1 MB), after this key, without the
    /// keys of requests. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn export_items(
        &self,
        account: &AccountId,
        after: Option<&str>,
    ) -> Result<ItemPage, StoreError> {
        let partition = account_partition(account);
        let (items, next) = self.items_page(&partition, SortKeys::All, after, None).await?;
        let kept = items.into_iter().map(|item| {
            let key = text_of(&item, "sk").map_err(malformed(&partition))?.to_owned();
            Ok(ExportedItem { content: content(&key, item), key })
        });
        let kept = kept.filter(|kept| !kept.as_ref().is_ok_and(ExportedItem::is_repetition));
        Ok(ItemPage { items: kept.collect::<Result<_, StoreError>>()?, next })
    }

    /// Some of the account's rows from this number on, oldest first, with their lines; and the
    /// number to go on with. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn export_rows(
        &self,
        account: &AccountId,
        from: u64,
    ) -> Result<(Vec<Row>, Option<u64>), StoreError> {
        let page = self.rows(account, from..u64::MAX, RowOrder::OldestFirst, PAGE_ROWS).await?;
        let mut rest = page.rest.map(|Range { start, .. }| start);
        let mut rows = Vec::new();
        for row in page.rows {
            let in_chunks = matches!(row.event.change.lines(), Some(BilledLines::Chunked(_)));
            let following = row.seq + 1;
            rows.push(self.with_lines(account, row).await?);
            // Its lines alone may fill an answer.
            if in_chunks {
                rest = Some(following);
                break;
            }
        }
        Ok((rows, rest))
    }
}

/// Without the keys, and without who of the staff set quotas or issued an invoice.
fn content(key: &str, item: StoredItem) -> BTreeMap<String, Value> {
    let is_by_staff = key == QUOTAS || key.starts_with(STAFF_INVOICES);
    let is_shown = |name: &str| {
        let is_key = matches!(name, "pk" | "sk");
        let is_staff = is_by_staff && matches!(name, "by" | "void_by");
        !is_key && !is_staff && !SEARCH_ATTRIBUTES.contains(&name)
    };
    let shown = item.into_iter().filter(|(name, _)| is_shown(name));
    shown.map(|(name, attribute)| (name, value(&attribute))).collect()
}

/// Items hold text and numbers only.
fn value(attribute: &AttributeValue) -> Value {
    let text = match (attribute.as_s(), attribute.as_n()) {
        (Ok(text), _) => text,
        (_, Ok(number)) => return Value::String(number.clone()),
        (Err(other), _) => return Value::String(format!("{other:?}")),
    };
    match serde_json::from_str(text) {
        Ok(read @ (Value::Object(_) | Value::Array(_))) => read,
        Ok(_) | Err(_) => Value::String(text.clone()),
    }
}
