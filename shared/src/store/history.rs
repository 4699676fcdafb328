//! Long stretches of an account's history, read in a bounded number of reads: what an answer to one
//! request may cost.

use std::ops::Range;

use super::item::{malformed, number, number_of, text};
use super::rows::{PAGE_ROWS, after};
use super::{RowOrder, Store, StoreError};
use crate::domain::event::BilledLines;
use crate::domain::ids::AccountId;
use crate::domain::money::Usd;
use crate::domain::prices::PriceList;
use crate::domain::resources::BillableList;
use crate::domain::row::Row;
use crate::domain::timestamp::Timestamp;
use crate::views::spending::{ServiceTime, SpendingReport, SpendingSteps, SpendingTally};

/// The most reads for one answer. A read is at most a megabyte and takes some 30 ms: three seconds,
/// or a thousand rows of 100 KB (a row for each hour of a month, with a thousand resources).
pub const READS_MAX: u32 = 100;
/// How many rows are read at a time after the end of a range, to find those that pay for it.
const ROWS_AFTER: u32 = 4;
/// The name in a row's `type` under which resources that were deleted one by one can be found
/// again.
const RESOURCES_DELETED: &str = "resources_deleted";

/// Something that was read whole, or is more than one answer may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundedRead<T> {
    All(T),
    /// Too much: ask for a shorter time.
    TooMuch,
}

/// Some rows of certain types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRows {
    /// The rows; fewer than asked for if others had to be read between them.
    pub rows: Vec<Row>,
    /// The numbers to ask for next; `None` if there are no more.
    pub rest: Option<Range<u64>>,
}

impl Store {
    /// The account's balance after each of these rows, with the row's time, oldest first; in at
    /// most so many reads.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn balances(
        &self,
        account: &AccountId,
        numbers: Range<u64>,
        reads_max: u32,
    ) -> Result<BoundedRead<Vec<(Timestamp, Usd)>>, StoreError> {
        let mut balances = Vec::new();
        let mut start = numbers.start;
        for _ in 0..reads_max {
            if start >= numbers.end {
                return Ok(BoundedRead::All(balances));
            }
            let answer = self
                .client
                .query()
                .table_name(&self.tables.ledger)
                .key_condition_expression("account = :account AND seq BETWEEN :first AND :last")
                .expression_attribute_values(":account", text(account.as_str()))
                .expression_attribute_values(":first", number(start))
                .expression_attribute_values(":last", number(numbers.end - 1))
                .projection_expression("#at, balance")
                .expression_attribute_names("#at", "at")
                .consistent_read(true)
                .send()
                .await
                .map_err(|error| StoreError::of("Query", &error))?;
            for item in answer.items() {
                let wrong = malformed(format!("a row of {account}"));
                let at: i64 = number_of(item, "at").map_err(&wrong)?;
                let at = Timestamp::from_seconds(at).map_err(|error| wrong(error.to_string()))?;
                balances.push((at, number_of(item, "balance").map_err(&wrong)?));
            }
            match answer.last_evaluated_key() {
                Some(last) => {
                    start = number_of::<u64>(last, "seq").map_err(malformed(account.as_str()))? + 1;
                }
                None => return Ok(BoundedRead::All(balances)),
            }
        }
        Ok(BoundedRead::TooMuch)
    }

    /// What was spent on this time, thing by thing; in at most so many reads. `list` is what the
    /// account has now, `prices` all there are.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn spending(
        &self,
        account: &AccountId,
        (time, steps): (ServiceTime, SpendingSteps),
        list: &BillableList,
        prices: &PriceList,
        reads_max: u32,
    ) -> Result<BoundedRead<SpendingReport>, StoreError> {
        let mut tally = SpendingTally::new(list, prices, time, steps);
        let mut reads = reads_max;
        let mut end = self.head(account).await?.map_or(0, |head| head.state.next_seq);
        let first = self.first_not_before(account, time.from, 0..end).await?;
        let within = first..self.first_not_before(account, time.until, first..end).await?;
        // Rows that pay for this time may follow after it, mostly one or two.
        let mut rest = Some(first..end);
        while let Some(numbers) = rest.filter(|numbers| numbers.start < end) {
            if reads == 0 {
                return Ok(BoundedRead::TooMuch);
            }
            reads -= 1;
            let is_within = numbers.start < within.end;
            let (numbers, limit) = if is_within {
                (numbers.start..within.end, PAGE_ROWS)
            } else {
                (numbers, ROWS_AFTER)
            };
            let page = self.rows(account, numbers, RowOrder::OldestFirst, limit).await?;
            for mut row in page.rows {
                if row.seq >= end {
                    break;
                }
                if time.ends_with(&row) {
                    end = row.seq + 1;
                }
                if let Some(BilledLines::Chunked(committed)) = row.event.change.lines() {
                    let Some(left) = reads.checked_sub(committed.chunks) else {
                        return Ok(BoundedRead::TooMuch);
                    };
                    reads = left;
                    let lines = self.joined_lines(account, row.seq, committed).await?;
                    row.event.change = row.event.change.with_lines(BilledLines::Here(lines));
                }
                tally.add(&row);
            }
            rest = page.rest.or_else(|| is_within.then_some(within.end..end));
        }
        self.identify(account, end.min(within.end), &mut tally, reads).await?;
        Ok(BoundedRead::All(tally.end()))
    }

    /// What is gone for good was deleted one by one, after it was billed: that row tells what it
    /// was.
    async fn identify(
        &self,
        account: &AccountId,
        from: u64,
        tally: &mut SpendingTally<'_>,
        reads: u32,
    ) -> Result<(), StoreError> {
        let mut rest = Some(from..u64::MAX);
        for _ in 0..reads {
            let Some(numbers) = rest.take().filter(|_| !tally.nameless().is_empty()) else { break };
            let found = self.rows_of_types(
                account,
                numbers,
                RowOrder::OldestFirst,
                &[RESOURCES_DELETED],
                PAGE_ROWS,
                1,
            );
            let found = found.await?;
            for row in &found.rows {
                tally.identify(row);
            }
            rest = found.rest;
        }
        Ok(())
    }

    /// At most `limit` rows whose type is one of these, in at most so many reads. Lines that stand
    /// in chunks are left there.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn rows_of_types(
        &self,
        account: &AccountId,
        numbers: Range<u64>,
        order: RowOrder,
        types: &[&str],
        limit: u32,
        reads_max: u32,
    ) -> Result<FoundRows, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let names: Vec<String> = (0..types.len()).map(|place| format!(":type{place}")).collect();
        let (mut rows, mut rest) = (Vec::new(), Some(numbers));
        for _ in 0..reads_max {
            let Some(numbers) = rest.take().filter(|numbers| !numbers.is_empty()) else { break };
            let mut request = self
                .client
                .query()
                .table_name(&self.tables.ledger)
                .key_condition_expression("account = :account AND seq BETWEEN :first AND :last")
                .filter_expression(format!("#type IN ({})", names.join(", ")))
                .expression_attribute_names("#type", "type")
                .expression_attribute_values(":account", text(account.as_str()))
                .expression_attribute_values(":first", number(numbers.start))
                .expression_attribute_values(":last", number(numbers.end - 1))
                .scan_index_forward(order == RowOrder::OldestFirst)
                .consistent_read(true);
            for (name, kind) in names.iter().zip(types) {
                request = request.expression_attribute_values(name, text(*kind));
            }
            let answer = request.send().await.map_err(|error| StoreError::of("Query", &error))?;
            if let Some(last) = answer.last_evaluated_key() {
                let last: u64 = number_of(last, "seq").map_err(malformed(account.as_str()))?;
                rest = Some(after(numbers.clone(), order, last));
            }
            for item in answer.items() {
                let row = self.decoded(item)?;
                let seq = row.seq;
                rows.push(row);
                if rows.len() == limit {
                    rest = Some(after(numbers, order, seq));
                    return Ok(FoundRows { rows, rest: rest.filter(|rest| !rest.is_empty()) });
                }
            }
        }
        Ok(FoundRows { rows, rest: rest.filter(|rest| !rest.is_empty()) })
    }
}
