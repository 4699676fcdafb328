//! Metered usage: stores reports, and the quantities that rows billed. The next settling decides what
//! is billed.
//!
//! | `pk` | `sk` | what |
//! |---|---|---|
//! | `account#A` | `billable#meter#P#SKU` | that the meter is open; `reading` of the counter `main`, `read_at`; `billed` |
//! | `account#A` | `counter#P#SKU#<name>` | `reading`, `read_at` of another counter |
//! | `account#A` | `gauge#P#SKU#<name>` | `level`, `since`, `label_set` of a gauge; `counted_to` |
//! | `account#A` | `metered#<hour>#P#SKU#<labels>#<shard>` | what was reported: `quantity`, `label_set` |
//! | `account#A` | `metered#<hour>#P#SKU#<labels>#billed` | how much of it is billed: `quantity` |
//! | `account#A` | `label-sets#<hour>#P#SKU` | how many sets of labels that hour has: `set_count` |
//! | `account#A` | `metered#late#<hour>` | that something was reported late for that hour, and when: `noted_at` |
//!
//! Hours are Unix seconds of their start. Reports and the row that bills never write to the same
//! item, but for the counter `main`, whose `billed` both move on condition. Reports that meet at an
//! item spread over its shards.
//!
//! Releases before format 6 count everything in the meter's `reading`. What it has beyond `billed` is
//! usage without an hour.

mod gauge;

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{
    Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use rust_decimal::Decimal;

use super::accounts::{SortKeys, meter_key, meter_of, quantity, unbuilt};
use super::backoff::Backoff;
use super::claims::{claim_item, claimed};
use super::item::{
    StoredItem, account_partition, item, malformed, number, number_of, text, text_of,
};
use super::write::{Obstacles, UpdateOutcome, WriteOutcome};
use super::{Store, StoreError};
use crate::domain::event::{Claim, MeterLine, OnExisting};
use crate::domain::ids::{AccountId, CounterName, ProjectId, RequestKey, Sku};
use crate::domain::money::{QUANTITY_MAX, Quantity};
use crate::domain::row::RowDigest;
use crate::domain::row_format::RowFormat;
use crate::domain::settle::metered::USAGE_BY_HOUR;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};
use crate::domain::usage::{HourlyUsage, UsageKey, UsageLabels};

/// How long the ID of a usage report is kept: longer than any queue keeps a message (SQS: 14 days).
const REPORT_CLAIM_SECONDS: i64 = 30 * DAY;
/// How long after its hour usage may be removed at the earliest. It is billed within days.
const USAGE_KEPT_SECONDS: i64 = 45 * DAY;
/// How long after its hour the billed quantity is kept. It must outlive the usage, which would
/// otherwise be billed again.
const BILLED_KEPT_SECONDS: i64 = 90 * DAY;
/// Reports for hours further back than this are noted as late.
const LATE_AFTER_SECONDS: i64 = 2 * HOUR;
/// A settling reads the usage of so many hours before those that it bills. It is an hour more than
/// above, because a report may be written a while after its clock was read.
const READ_BACK_SECONDS: i64 = 3 * HOUR;
/// The shards of an item beside the first.
const MORE_SHARDS: u8 = 15;
/// The most sets of labels of a meter and hour. Each is an item that settlings read and a line of a
/// row. Further sets are counted together.
const LABEL_SETS_MAX: u32 = 1_000;

/// What was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageReport {
    pub project: ProjectId,
    pub sku: Sku,
    /// When it was used (UTC), never in the future.
    pub at: Timestamp,
    /// What the report gave as `at`. Without it, `at` is the time of the request, with an
    /// `Idempotency-Key` that of the first one.
    pub stated_at: Option<Timestamp>,
    pub labels: UsageLabels,
    pub amount: ReportedAmount,
}

/// How much was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportedAmount {
    /// So much. The ID makes it one report, however often it is sent.
    Quantity { quantity: Quantity, id: RequestKey },
    /// What a counter shows now, that only grows and began at zero.
    Reading { counter: CounterName, reading: Quantity },
    /// How much is kept from then on. It is counted in unit-hours, until the next report and for
    /// [`LATE_SECONDS_MAX`](crate::domain::usage::LATE_SECONDS_MAX) at most. Only from row format 6 on.
    Level { gauge: CounterName, level: Quantity },
}

/// By which rules a report is counted.
#[derive(Clone, Copy, Debug)]
pub struct ReportRules {
    /// The most that one report may add, in units.
    pub step_max: Quantity,
    /// The format that rows are written in. Before format 6 usage has no hour.
    pub format: RowFormat,
    /// The time of the request (UTC).
    pub now: Timestamp,
}

/// The outcome of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The meter counts so much more now.
    Counted(Quantity),
    /// This report was counted before, with this quantity.
    Repeated(Quantity),
    /// Nothing changed. The counter or gauge is known to show this much, and the report equals it or is
    /// older.
    NotNewer(Quantity),
    /// The counter showed this much at an earlier time, which is more than now.
    WentBack(Quantity),
    /// Its ID was used for another report.
    KeyReused,
    /// The report adds more than one report may, or the sum would exceed the maximum.
    TooMuch,
    /// The meter is not open.
    UnknownMeter,
}

impl Store {
    /// Counts a report, once.
    ///
    /// # Errors
    /// [`StoreError`]. It may have been counted then, and is not counted twice if it is repeated.
    pub async fn report(
        &self,
        account: &AccountId,
        report: &UsageReport,
        rules: ReportRules,
    ) -> Result<ReportOutcome, StoreError> {
        match (&report.amount, rules.format >= USAGE_BY_HOUR) {
            (ReportedAmount::Quantity { quantity, .. }, _) if *quantity > rules.step_max => {
                Ok(ReportOutcome::TooMuch)
            }
            (ReportedAmount::Quantity { quantity, id }, true) => {
                self.count_quantity(account, report, (*quantity, id), rules.now).await
            }
            (ReportedAmount::Quantity { quantity, id }, false) => {
                self.add_to_reading(account, report, (*quantity, id), rules.now).await
            }
            (ReportedAmount::Reading { counter, reading }, true) => {
                self.count_reading(account, report, (counter, *reading), rules).await
            }
            (ReportedAmount::Reading { reading, .. }, false) => {
                self.set_reading(account, report, *reading, rules.step_max).await
            }
            (ReportedAmount::Level { gauge, level }, _) => {
                Box::pin(self.count_level(account, report, (gauge, *level), rules)).await
            }
        }
    }

    /// The usage of the hours that are not billed, with the hours before them that may have been
    /// reported late. `metered_at` is the hour before which all known usage is billed. Strongly
    /// consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(super) async fn hourly_usage(
        &self,
        account: &AccountId,
        metered_at: Option<Timestamp>,
    ) -> Result<BTreeMap<UsageKey, HourlyUsage>, StoreError> {
        let metered_at = metered_at.unwrap_or_default();
        let from = metered_at.plus(-READ_BACK_SECONDS);
        let partition = account_partition(account);
        let first = format!("metered#{:010}", from.seconds().max(0));
        let mut items = self.items_of(&partition, SortKeys::Between(&first, "metered#~")).await?;
        let mut late = Vec::new();
        for item in &items {
            let wrong = malformed(format!("usage of {account}"));
            let key = text_of(item, "sk").map_err(&wrong)?;
            let Some(hour) = key.strip_prefix(LATE) else { continue };
            let hour: i64 = hour.parse().map_err(|error| wrong(format!("{key}: {error}")))?;
            let noted_at: i64 = number_of(item, "noted_at").map_err(&wrong)?;
            // What was noted before the last billing was billed by it, but for reports that were
            // written a while after they were noted.
            let is_new = noted_at > metered_at.plus(-HOUR).seconds();
            if is_new && hour < from.seconds() {
                late.push(hour);
            }
        }
        // A level of days is late in each of their hours.
        for hours in late.chunk_by(|hour, next| hour + HOUR == *next) {
            let (Some(first), Some(last)) = (hours.first(), hours.last()) else { continue };
            let keys = (format!("metered#{first:010}#"), format!("metered#{last:010}#~"));
            items.extend(self.items_of(&partition, SortKeys::Between(&keys.0, &keys.1)).await?);
        }
        let mut usage: BTreeMap<UsageKey, HourlyUsage> = BTreeMap::new();
        let mut labels: BTreeMap<String, UsageLabels> = BTreeMap::new();
        let mut counted = Vec::new();
        for item in &items {
            let wrong = malformed(format!("usage of {account}"));
            let key = text_of(item, "sk").map_err(&wrong)?;
            if key.starts_with(LATE) {
                continue;
            }
            let part = UsagePart::read(key, item).map_err(&wrong)?;
            if let Some(set) = &part.labels {
                labels.insert(part.label_digest.clone(), set.clone());
            }
            counted.push(part);
        }
        for part in counted {
            let known = labels.get(&part.label_digest).cloned();
            // What was billed outlives the usage itself.
            let Some(labels) =
                known.or((part.label_digest == NO_LABELS).then(UsageLabels::default))
            else {
                continue;
            };
            let UsagePart { hour, project, sku, quantity, is_billed, .. } = part;
            let of_hour = usage.entry(UsageKey { hour, project, sku, labels }).or_default();
            let sum = if is_billed { &mut of_hour.billed } else { &mut of_hour.reported };
            *sum = sum.and(quantity);
        }
        Ok(usage)
    }

    /// What the row that bills writes for a line.
    pub(super) fn billed_write(
        &self,
        account: &AccountId,
        line: &MeterLine,
    ) -> Result<TransactWriteItem, StoreError> {
        let update = match line.usage_key() {
            None => Update::builder()
                .set_key(Some(meter_key(account, &line.project, &line.sku)))
                .update_expression("SET billed = :to")
                .condition_expression("billed = :from")
                .expression_attribute_values(":from", quantity(line.from)),
            Some(key) => {
                let expires = number(key.hour.plus(BILLED_KEPT_SECONDS).seconds());
                let update = Update::builder()
                    .set_key(Some(usage_item_key(account, &key, BILLED)))
                    .update_expression("SET quantity = :to, expires = :expires")
                    .expression_attribute_values(":expires", expires);
                if line.from == Quantity::ZERO {
                    update.condition_expression("attribute_not_exists(pk)")
                } else {
                    update
                        .condition_expression("quantity = :from")
                        .expression_attribute_values(":from", quantity(line.from))
                }
            }
        };
        self.account_update(update.expression_attribute_values(":to", quantity(line.to)))
    }

    async fn count_quantity(
        &self,
        account: &AccountId,
        report: &UsageReport,
        (used, id): (Quantity, &RequestKey),
        now: Timestamp,
    ) -> Result<ReportOutcome, StoreError> {
        if self.meter(account, report).await?.is_none() {
            return Ok(ReportOutcome::UnknownMeter);
        }
        self.note_late(account, report.at, now).await?;
        let (claim, put) = self.report_claim(account, report, (used, id), now)?;
        let written = self.write_usage(account, report, used, (id.as_str(), &put)).await?;
        let Obstacles { mut found, .. } = match written {
            WriteOutcome::Done => return Ok(ReportOutcome::Counted(used)),
            WriteOutcome::Refused(obstacles) => obstacles,
        };
        match found.remove(&0) {
            Some(known) => repeated(&claim, known.as_ref(), used),
            None => Ok(ReportOutcome::TooMuch),
        }
    }

    /// Adds what a counter shows beyond its last reading. The counter and the usage are written
    /// together, so a reading counts once, whatever becomes of its answer.
    async fn count_reading(
        &self,
        account: &AccountId,
        report: &UsageReport,
        (counter, reading): (&CounterName, Quantity),
        rules: ReportRules,
    ) -> Result<ReportOutcome, StoreError> {
        let mut losses = Backoff::for_losses();
        loop {
            let Some(meter) = self.meter(account, report).await? else {
                return Ok(ReportOutcome::UnknownMeter);
            };
            let key = counter_key(account, report, counter);
            let known = if *counter == CounterName::main() {
                Some(meter)
            } else {
                let name = text_of(&key, "sk").map_err(malformed(account.as_str()))?.to_owned();
                self.account_item(account, &name).await?
            };
            let before = KnownReading::of(known.as_ref(), counter)
                .map_err(malformed(format!("a counter of {account}")))?;
            if reading <= before.reading {
                let is_older = reading == before.reading || report.at <= before.read_at;
                let known = before.reading;
                return Ok(if is_older {
                    ReportOutcome::NotNewer(known)
                } else {
                    ReportOutcome::WentBack(known)
                });
            }
            let used = reading.since(before.reading);
            if used > rules.step_max {
                return Ok(ReportOutcome::TooMuch);
            }
            self.note_late(account, report.at, rules.now).await?;
            let read = self.counter_write(key, &before, (reading, used), report.at)?;
            match self.write_usage(account, report, used, (counter.as_str(), &read)).await? {
                WriteOutcome::Done => return Ok(ReportOutcome::Counted(used)),
                WriteOutcome::Refused(mut obstacles) => {
                    let Some(found) = obstacles.found.remove(&0) else {
                        return Ok(ReportOutcome::TooMuch);
                    };
                    let found = KnownReading::of(found.as_ref(), counter)
                        .map_err(malformed(format!("a counter of {account}")))?;
                    // The answer to the first attempt was lost.
                    if (found.reading, found.read_at) == (reading, report.at) {
                        return Ok(ReportOutcome::Counted(used));
                    }
                }
            }
            let attempts = losses.attempts();
            losses.pause().await.map_err(|_| StoreError::Contended { attempts })?;
        }
    }

    /// Counts what was used together with another write, which obstacle 0 is about. Labels of which
    /// the hour has too many sets are replaced.
    async fn write_usage(
        &self,
        account: &AccountId,
        report: &UsageReport,
        used: Quantity,
        (id, beside): (&str, &TransactWriteItem),
    ) -> Result<WriteOutcome, StoreError> {
        let UsageReport { project, sku, at, labels, .. } = report.clone();
        let mut key = UsageKey { hour: at.hour().start(), project, sku, labels };
        if !key.labels.is_empty() && !self.is_label_set_known(account, &key).await? {
            let new = self.usage_write(account, &key, used, UsageShard::NewSet)?;
            let writes = [beside.clone(), new, self.label_set_count(account, &key)?];
            match self.write(&writes).await? {
                WriteOutcome::Refused(obstacles) if obstacles.found.contains_key(&0) => {
                    return Ok(WriteOutcome::Refused(obstacles));
                }
                // Somebody else was faster with the same labels, be it with the last set.
                WriteOutcome::Refused(obstacles) if obstacles.found.contains_key(&1) => {}
                WriteOutcome::Refused(_) => {
                    tracing::warn!(%account, sku = %key.sku, "an hour has too many sets of labels");
                    key.labels = UsageLabels::other();
                }
                WriteOutcome::Done => return Ok(WriteOutcome::Done),
            }
        }
        let writes = |shard| {
            let usage = self.usage_write(account, &key, used, UsageShard::Any(shard))?;
            Ok::<_, StoreError>([beside.clone(), usage])
        };
        self.write_spread(id, writes).await
    }

    async fn is_label_set_known(
        &self,
        account: &AccountId,
        key: &UsageKey,
    ) -> Result<bool, StoreError> {
        let first = usage_item_key(account, key, "0");
        let name = text_of(&first, "sk").map_err(malformed(account.as_str()))?.to_owned();
        Ok(self.account_item(account, &name).await?.is_some())
    }

    /// One more set of labels of the hour, if it may have one.
    fn label_set_count(
        &self,
        account: &AccountId,
        key: &UsageKey,
    ) -> Result<TransactWriteItem, StoreError> {
        let sort_key = format!("label-sets#{:010}#{}#{}", key.hour.seconds(), key.project, key.sku);
        let expires = number(key.hour.plus(USAGE_KEPT_SECONDS).seconds());
        let count = Update::builder()
            .set_key(Some(item([("pk", text(account_partition(account))), ("sk", text(sort_key))])))
            .update_expression("ADD set_count :one SET expires = :expires")
            .condition_expression("attribute_not_exists(set_count) OR set_count < :most")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":most", number(LABEL_SETS_MAX))
            .expression_attribute_values(":expires", expires);
        self.account_update(count)
    }

    /// Writes to the first shard, and where others write at the same time, to another one.
    async fn write_spread(
        &self,
        id: &str,
        writes: impl Fn(u8) -> Result<[TransactWriteItem; 2], StoreError>,
    ) -> Result<WriteOutcome, StoreError> {
        match self.write_if_free(&writes(0)?).await? {
            Some(outcome) => Ok(outcome),
            None => {
                let sum =
                    id.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
                self.write(&writes(1 + sum % MORE_SHARDS)?).await
            }
        }
    }

    /// That a report is for an hour that settlings no longer read by themselves. Written before the
    /// report, so none is missed.
    async fn note_late(
        &self,
        account: &AccountId,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let hour = at.hour().start();
        if hour >= now.hour().start().plus(-LATE_AFTER_SECONDS) {
            return Ok(());
        }
        let key = format!("{LATE}{:010}", hour.seconds());
        let mut note = item([("pk", text(account_partition(account))), ("sk", text(key))]);
        note.insert("noted_at".to_owned(), number(now.seconds()));
        note.insert("expires".to_owned(), number(hour.plus(USAGE_KEPT_SECONDS).seconds()));
        self.write(&[self.account_put(Put::builder().set_item(Some(note)))?]).await.map(|_| ())
    }

    /// The meter's item, if it is open.
    async fn meter(
        &self,
        account: &AccountId,
        report: &UsageReport,
    ) -> Result<Option<StoredItem>, StoreError> {
        let key = meter_key(account, &report.project, &report.sku);
        let name = text_of(&key, "sk").map_err(malformed(account.as_str()))?.to_owned();
        self.account_item(account, &name).await
    }

    fn report_claim(
        &self,
        account: &AccountId,
        report: &UsageReport,
        (used, id): (Quantity, &RequestKey),
        now: Timestamp,
    ) -> Result<(Claim, TransactWriteItem), StoreError> {
        let UsageReport { project, sku, stated_at, labels, .. } = report;
        let quantity = used.decimal().to_string();
        let stated_at = stated_at.map(|at| at.to_string());
        let mut parts = vec![project.as_str(), sku.as_str(), &quantity];
        // As releases before format 6 wrote it, unless there is more.
        for (name, value) in labels.iter() {
            parts.extend([name.as_str(), value.as_str()]);
        }
        parts.extend(stated_at.as_deref());
        let digest = RowDigest::of(&parts);
        let claim = Claim {
            key: format!("usage#{account}#{id}"),
            on_existing: OnExisting::Stop,
            digest: Some(digest.as_str().to_owned()),
        };
        let mut item = claim_item(&claim, account, 0, now);
        item.insert("expires".to_owned(), number(now.plus(REPORT_CLAIM_SECONDS).seconds()));
        let put = self.put_in_ledger(item)?;
        Ok((claim, put))
    }

    fn usage_write(
        &self,
        account: &AccountId,
        key: &UsageKey,
        used: Quantity,
        shard: UsageShard,
    ) -> Result<TransactWriteItem, StoreError> {
        let room = Decimal::from(QUANTITY_MAX) - used.decimal();
        let expires = number(key.hour.plus(USAGE_KEPT_SECONDS).seconds());
        let update = Update::builder()
            .expression_attribute_values(":used", quantity(used))
            .expression_attribute_values(":expires", expires);
        let update = match shard {
            UsageShard::NewSet => update
                .set_key(Some(usage_item_key(account, key, "0")))
                .condition_expression("attribute_not_exists(pk)"),
            UsageShard::Any(shard) => update
                .set_key(Some(usage_item_key(account, key, &shard.to_string())))
                .condition_expression("attribute_not_exists(quantity) OR quantity <= :room")
                .expression_attribute_values(":room", number(room)),
        };
        let update = update
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let update = if key.labels.is_empty() {
            update.update_expression("ADD quantity :used SET expires = :expires")
        } else {
            let labels = label_set(&key.labels)?;
            update
                .update_expression("ADD quantity :used SET expires = :expires, label_set = :labels")
                .expression_attribute_values(":labels", text(labels))
        };
        self.account_update(update)
    }

    /// The reading of a counter, if it is still as it was read. What the counter `main` counted
    /// before stays billed or unbilled as it is.
    fn counter_write(
        &self,
        key: StoredItem,
        before: &KnownReading,
        (reading, used): (Quantity, Quantity),
        at: Timestamp,
    ) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .set_key(Some(key))
            .expression_attribute_values(":reading", quantity(reading))
            .expression_attribute_values(":at", number(at.seconds()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let update = match (before.is_known, before.is_meter) {
            (false, _) => update
                .update_expression("SET reading = :reading, read_at = :at")
                .condition_expression("attribute_not_exists(pk)"),
            (true, false) => update
                .update_expression("SET reading = :reading, read_at = :at")
                .condition_expression("reading = :before")
                .expression_attribute_values(":before", quantity(before.reading)),
            (true, true) => update
                .update_expression("SET reading = :reading, read_at = :at ADD billed :used")
                .condition_expression("reading = :before")
                .expression_attribute_values(":before", quantity(before.reading))
                .expression_attribute_values(":used", quantity(used)),
        };
        self.account_update(update)
    }

    /// As releases before format 6 count a quantity.
    async fn add_to_reading(
        &self,
        account: &AccountId,
        report: &UsageReport,
        (used, id): (Quantity, &RequestKey),
        now: Timestamp,
    ) -> Result<ReportOutcome, StoreError> {
        let (claim, put) = self.report_claim(account, report, (used, id), now)?;
        let room = Decimal::from(QUANTITY_MAX) - used.decimal();
        let update = Update::builder()
            .set_key(Some(meter_key(account, &report.project, &report.sku)))
            .update_expression("ADD reading :quantity")
            .condition_expression("attribute_exists(pk) AND reading <= :room")
            .expression_attribute_values(":quantity", quantity(used))
            .expression_attribute_values(":room", number(room))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let writes = [put, self.account_update(update)?];
        let WriteOutcome::Refused(mut obstacles) = self.write(&writes).await? else {
            return Ok(ReportOutcome::Counted(used));
        };
        if let Some(known) = obstacles.found.remove(&0) {
            return repeated(&claim, known.as_ref(), used);
        }
        let meter = obstacles.found.remove(&1).flatten();
        Ok(if meter.is_some() { ReportOutcome::TooMuch } else { ReportOutcome::UnknownMeter })
    }

    /// As releases before format 6 count a reading, by at most `step_max` at once.
    async fn set_reading(
        &self,
        account: &AccountId,
        report: &UsageReport,
        reading: Quantity,
        step_max: Quantity,
    ) -> Result<ReportOutcome, StoreError> {
        let floor = reading.decimal() - step_max.decimal();
        let update = Update::builder()
            .table_name(&self.tables.accounts)
            .set_key(Some(meter_key(account, &report.project, &report.sku)))
            .update_expression("SET reading = :reading")
            .condition_expression(
                "attribute_exists(pk) AND reading < :reading AND reading >= :floor",
            )
            .expression_attribute_values(":reading", quantity(reading))
            .expression_attribute_values(":floor", number(floor.normalize()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| unbuilt(&error))?;
        let wrong = malformed(format!("a meter of {account}"));
        match self.update_returning_old(update).await? {
            UpdateOutcome::Done(before) => {
                let before: Quantity = number_of(&before, "reading").map_err(wrong)?;
                Ok(ReportOutcome::Counted(reading.since(before)))
            }
            UpdateOutcome::Refused(Some(meter)) => {
                let meter = meter_of(&meter).map_err(wrong)?;
                let is_newer = meter.reading < reading;
                Ok(if is_newer {
                    ReportOutcome::TooMuch
                } else {
                    ReportOutcome::NotNewer(meter.reading)
                })
            }
            UpdateOutcome::Refused(None) => Ok(ReportOutcome::UnknownMeter),
        }
    }
}

const LATE: &str = "metered#late#";
/// The last part of the key of what is billed.
const BILLED: &str = "billed";
const NO_LABELS: &str = "-";

/// Labels as they are stored.
fn label_set(labels: &UsageLabels) -> Result<String, StoreError> {
    serde_json::to_string(labels).map_err(|error| StoreError::Rejected {
        call: "TransactWriteItems",
        why: error.to_string(),
    })
}

/// Where usage is counted.
#[derive(Clone, Copy)]
enum UsageShard {
    /// In the first item of a set of labels that the hour does not have.
    NewSet,
    Any(u8),
}

/// One item of the usage of an hour.
struct UsagePart {
    hour: Timestamp,
    project: ProjectId,
    sku: Sku,
    label_digest: String,
    /// `None` in items of what is billed.
    labels: Option<UsageLabels>,
    is_billed: bool,
    quantity: Quantity,
}

impl UsagePart {
    fn read(key: &str, item: &StoredItem) -> Result<UsagePart, String> {
        let parts: Vec<&str> = key.split('#').collect();
        let ["metered", hour, project, sku, digest, shard] = parts.as_slice() else {
            return Err(format!("{key} is no key of usage"));
        };
        let seconds: i64 = hour.parse().map_err(|error| format!("{key}: {error}"))?;
        let labels = match item.get("label_set") {
            Some(_) => {
                let read = serde_json::from_str(text_of(item, "label_set")?);
                Some(read.map_err(|error| format!("label_set: {error}"))?)
            }
            None => None,
        };
        Ok(UsagePart {
            hour: Timestamp::from_seconds(seconds).map_err(|error| format!("{key}: {error}"))?,
            project: project.parse().map_err(|error| format!("{key}: {error}"))?,
            sku: sku.parse().map_err(|error| format!("{key}: {error}"))?,
            label_digest: (*digest).to_owned(),
            labels,
            is_billed: *shard == BILLED,
            quantity: number_of(item, "quantity")?,
        })
    }
}

/// A counter as it was read.
struct KnownReading {
    reading: Quantity,
    read_at: Timestamp,
    /// Whether its item is there.
    is_known: bool,
    /// Whether it is the meter's own item.
    is_meter: bool,
}

impl KnownReading {
    fn of(item: Option<&StoredItem>, counter: &CounterName) -> Result<KnownReading, String> {
        let is_meter = *counter == CounterName::main();
        let Some(item) = item else {
            let (reading, read_at) = (Quantity::ZERO, Timestamp::default());
            return Ok(KnownReading { reading, read_at, is_known: false, is_meter });
        };
        let read_at = match item.get("read_at") {
            Some(_) => Timestamp::from_seconds(number_of(item, "read_at")?)
                .map_err(|error| error.to_string())?,
            None => Timestamp::default(),
        };
        Ok(KnownReading { reading: number_of(item, "reading")?, read_at, is_known: true, is_meter })
    }
}

fn usage_item_key(account: &AccountId, key: &UsageKey, last: &str) -> StoredItem {
    let UsageKey { hour, project, sku, labels } = key;
    let digest = if labels.is_empty() { NO_LABELS.to_owned() } else { digest_of(labels) };
    let sort_key = format!("metered#{:010}#{project}#{sku}#{digest}#{last}", hour.seconds());
    item([("pk", text(account_partition(account))), ("sk", text(sort_key))])
}

/// A short name for a set of labels.
fn digest_of(labels: &UsageLabels) -> String {
    let parts: Vec<&str> =
        labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect();
    RowDigest::of(&parts).as_str().chars().take(22).collect()
}

fn counter_key(account: &AccountId, report: &UsageReport, counter: &CounterName) -> StoredItem {
    if *counter == CounterName::main() {
        return meter_key(account, &report.project, &report.sku);
    }
    let sort_key = format!("counter#{}#{}#{counter}", report.project, report.sku);
    item([("pk", text(account_partition(account))), ("sk", text(sort_key))])
}

/// What a claim that is there says of a report.
fn repeated(
    claim: &Claim,
    known: Option<&StoredItem>,
    used: Quantity,
) -> Result<ReportOutcome, StoreError> {
    let known = known.map(|item| claimed(&claim.key, item)).transpose()?;
    let is_same = known.is_none_or(|known| known.digest == claim.digest);
    Ok(if is_same { ReportOutcome::Repeated(used) } else { ReportOutcome::KeyReused })
}
