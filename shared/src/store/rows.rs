//! Rows of the ledger table, and the lines that stand in chunks: as items, and how they are read.

use std::ops::Range;

use super::item::{StoredItem, item, malformed, number, number_of, parsed, text, text_of};
use super::{Store, StoreError};
use crate::domain::event::{BilledLines, ChunkedLines, ResourceLine};
use crate::domain::ids::AccountId;
use crate::domain::row::{ChainHead, Row, RowError, StoredRow, chunks_digest, decode, join_lines};
use crate::domain::timestamp::Timestamp;

/// Which way rows are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// As they were written.
    OldestFirst,
    /// As a customer wants to see them.
    NewestFirst,
}

/// Some rows of an account. Lines that stand in chunks are left there: [`Store::row_with_lines`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPage {
    pub rows: Vec<Row>,
    /// The numbers to ask for next; `None` if there are no more.
    pub rest: Option<Range<u64>>,
}

/// A row as an item, with what tells it from another of the same words.
#[derive(Clone, Debug)]
pub(super) struct RowItem {
    pub(super) row: StoredRow,
    /// Two staff corrections of one second may have the same body and yet be two. Outside of body
    /// and hash.
    pub(super) nonce: Option<String>,
}

impl Store {
    /// The account's newest row, or `None` before its first: everything there is to know of it but
    /// the list of what it is billed for. One read, strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]; among them [`StoreError::NewerFormat`].
    pub async fn head(&self, account: &AccountId) -> Result<Option<ChainHead>, StoreError> {
        let page = self.rows(account, 0..u64::MAX, RowOrder::NewestFirst, 1).await?;
        Ok(page.rows.into_iter().next().map(ChainHead::from))
    }

    /// A row from its item.
    pub(super) fn decoded(&self, item: &StoredItem) -> Result<Row, RowError> {
        decode(&stored_row(item)?, self.readable)
    }

    /// At most `limit` of the account's rows with these numbers; fewer if they are big. Strongly
    /// consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn rows(
        &self,
        account: &AccountId,
        numbers: Range<u64>,
        order: RowOrder,
        limit: u32,
    ) -> Result<RowPage, StoreError> {
        let (items, rest) = self.row_items(account, numbers, order, limit).await?;
        let rows = items.iter().map(|item| self.decoded(item));
        Ok(RowPage { rows: rows.collect::<Result<_, _>>()?, rest })
    }

    /// The numbers of the account's rows from one instant (inclusive) to another (exclusive): what
    /// to page through with [`Store::rows`].
    ///
    /// Rows are in time order, so both ends are found by halving: about two reads for each doubling
    /// of the chain.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn numbers_between(
        &self,
        account: &AccountId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Range<u64>, StoreError> {
        let count = self.head(account).await?.map_or(0, |head| head.state.next_seq);
        let first = self.first_not_before(account, from, 0..count).await?;
        let end = self.first_not_before(account, until, first..count).await?;
        Ok(first..end)
    }

    /// One row with its lines in place, wherever they stand; `None` if there is no such row.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Broken`] if its chunks are not those it committed to.
    pub async fn row_with_lines(
        &self,
        account: &AccountId,
        seq: u64,
    ) -> Result<Option<Row>, StoreError> {
        let page = self.rows(account, seq..seq.saturating_add(1), RowOrder::OldestFirst, 1).await?;
        match page.rows.into_iter().next() {
            Some(row) => self.with_lines(account, row).await.map(Some),
            None => Ok(None),
        }
    }

    /// All rows with these numbers, oldest first, with their lines in place.
    pub(super) async fn all_rows_with_lines(
        &self,
        account: &AccountId,
        numbers: Range<u64>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        let mut rest = Some(numbers);
        while let Some(numbers) = rest {
            let page = self.rows(account, numbers, RowOrder::OldestFirst, PAGE_ROWS).await?;
            for row in page.rows {
                rows.push(self.with_lines(account, row).await?);
            }
            rest = page.rest;
        }
        Ok(rows)
    }

    /// The lines of a row that stand in chunks, checked against what it committed to.
    pub(super) async fn joined_lines(
        &self,
        account: &AccountId,
        seq: u64,
        committed: &ChunkedLines,
    ) -> Result<Vec<ResourceLine>, StoreError> {
        let partition = chunk_partition(account, &committed.digest);
        let mut chunks = Vec::new();
        for number in 0..committed.chunks {
            let Some(found) = self.ledger_item(&partition, u64::from(number), &["lines"]).await?
            else {
                return Err(RowError::Lines { seq }.into());
            };
            chunks.push(text_of(&found, "lines").map_err(malformed(&partition))?.to_owned());
        }
        Ok(join_lines(seq, committed, &chunks)?)
    }

    /// Puts the chunks of a row's lines; those that are there already are the same, because their
    /// key says what they hold.
    pub(super) async fn put_chunks(
        &self,
        account: &AccountId,
        chunks: &[String],
    ) -> Result<(), StoreError> {
        let partition = chunk_partition(account, chunks_digest(chunks).as_str());
        for (seq, chunk) in chunks.iter().enumerate() {
            let chunk =
                item([("account", text(&partition)), ("seq", number(seq)), ("lines", text(chunk))]);
            self.write(&[self.put_in_ledger(chunk)?]).await?;
        }
        Ok(())
    }

    /// The row of that number as its item; used to see whether it is the very row that was to be
    /// written.
    pub(super) async fn row_item(
        &self,
        account: &AccountId,
        seq: u64,
    ) -> Result<Option<StoredItem>, StoreError> {
        let (items, _) =
            self.row_items(account, seq..seq.saturating_add(1), RowOrder::OldestFirst, 1).await?;
        Ok(items.into_iter().next())
    }

    /// Rows as items, and the numbers that remain.
    pub(super) async fn row_items(
        &self,
        account: &AccountId,
        numbers: Range<u64>,
        order: RowOrder,
        limit: u32,
    ) -> Result<(Vec<StoredItem>, Option<Range<u64>>), StoreError> {
        if numbers.is_empty() || limit == 0 {
            return Ok((Vec::new(), None));
        }
        let answer = self
            .client
            .query()
            .table_name(&self.tables.ledger)
            .key_condition_expression("account = :account AND seq BETWEEN :first AND :last")
            .expression_attribute_values(":account", text(account.as_str()))
            .expression_attribute_values(":first", number(numbers.start))
            .expression_attribute_values(":last", number(numbers.end - 1))
            .scan_index_forward(order == RowOrder::OldestFirst)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::of("Query", &error))?;
        let rest = match answer.last_evaluated_key() {
            Some(last) => Some(after(
                numbers,
                order,
                number_of(last, "seq").map_err(malformed(account.as_str()))?,
            )),
            None => None,
        };
        Ok((answer.items.unwrap_or_default(), rest.filter(|rest| !rest.is_empty())))
    }

    /// The first of these rows whose time is not before an instant; the end, if there is none.
    pub(super) async fn first_not_before(
        &self,
        account: &AccountId,
        instant: Timestamp,
        numbers: Range<u64>,
    ) -> Result<u64, StoreError> {
        let Range { start: mut first, mut end } = numbers;
        while first < end {
            let middle = first + (end - first) / 2;
            let Some(found) = self.ledger_item(account.as_str(), middle, &["at"]).await? else {
                return Err(RowError::Missing { expected: middle, found: end }.into());
            };
            let at: i64 =
                number_of(&found, "at").map_err(malformed(format!("row {middle} of {account}")))?;
            if at < instant.seconds() {
                first = middle + 1;
            } else {
                end = middle;
            }
        }
        Ok(first)
    }

    pub(super) async fn with_lines(
        &self,
        account: &AccountId,
        row: Row,
    ) -> Result<Row, StoreError> {
        let Some(BilledLines::Chunked(committed)) = row.event.change.lines() else {
            return Ok(row);
        };
        let lines = self.joined_lines(account, row.seq, committed).await?;
        let mut row = row;
        row.event.change = row.event.change.with_lines(BilledLines::Here(lines));
        Ok(row)
    }

    /// Some attributes of one item, strongly consistent.
    pub(super) async fn ledger_item(
        &self,
        partition: &str,
        seq: u64,
        attributes: &[&str],
    ) -> Result<Option<StoredItem>, StoreError> {
        // By placeholders, because some of the names are reserved words of DynamoDB's.
        let placeholders: Vec<String> = attributes.iter().map(|name| format!("#{name}")).collect();
        let names =
            placeholders.iter().cloned().zip(attributes.iter().map(|name| (*name).to_owned()));
        let request = self
            .client
            .get_item()
            .table_name(&self.tables.ledger)
            .key("account", text(partition))
            .key("seq", number(seq))
            .projection_expression(placeholders.join(", "))
            .set_expression_attribute_names(Some(names.collect()))
            .consistent_read(true);
        let answer = request.send().await.map_err(|error| StoreError::of("GetItem", &error))?;
        Ok(answer.item)
    }
}

/// How many rows are read at a time: at 1 KB each well below the megabyte of one query.
pub(super) const PAGE_ROWS: u32 = 500;

pub(super) fn row_item(row: &RowItem) -> StoredItem {
    let RowItem { row, nonce } = row;
    let mut attributes = item([
        ("account", text(row.account.as_str())),
        ("seq", number(row.seq)),
        ("at", number(row.at.seconds())),
        ("type", text(&row.kind)),
        ("amount", number(row.amount.decimal())),
        ("balance", number(row.balance.decimal())),
        ("body", text(&row.body)),
    ]);
    if let Some(nonce) = nonce {
        attributes.insert("nonce".to_owned(), text(nonce));
    }
    attributes
}

/// A row from its item, unchecked: [`decode`] checks it.
fn stored_row(item: &StoredItem) -> Result<StoredRow, RowError> {
    let seq = number_of(item, "seq").map_err(|why| RowError::Unreadable { seq: 0, why })?;
    let unreadable = |why| RowError::Unreadable { seq, why };
    let at: i64 = number_of(item, "at").map_err(unreadable)?;
    Ok(StoredRow {
        account: parsed(item, "account").map_err(unreadable)?,
        seq,
        at: Timestamp::from_seconds(at).map_err(|error| unreadable(error.to_string()))?,
        kind: text_of(item, "type").map_err(unreadable)?.to_owned(),
        amount: number_of(item, "amount").map_err(unreadable)?,
        balance: number_of(item, "balance").map_err(unreadable)?,
        body: text_of(item, "body").map_err(unreadable)?.to_owned(),
    })
}

/// Whether the item is this very row: the same words, written by the same hand. Rows that time
/// alone made have no nonce: two workers that record the same fact have recorded it.
pub(super) fn is_same_row(item: &StoredItem, row: &RowItem) -> bool {
    let is_text = |name: &str, expected: Option<&str>| {
        item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str) == expected
    };
    is_text("body", Some(&row.row.body)) && is_text("nonce", row.nonce.as_deref())
}

/// Something random, for a row of its own.
pub(super) fn nonce() -> String {
    format!("{:016x}", fastrand::u64(..))
}

fn chunk_partition(account: &AccountId, digest: &str) -> String {
    format!("{account}#lines#{digest}")
}

/// What remains of some numbers after one of them.
pub(super) fn after(numbers: Range<u64>, order: RowOrder, last: u64) -> Range<u64> {
    match order {
        RowOrder::OldestFirst => last.saturating_add(1)..numbers.end,
        RowOrder::NewestFirst => numbers.start..last,
    }
}
