//! Gauges: what is kept, such as gigabytes. A gauge shows a level, and each level counts until the next
//! report, in unit-hours: its quantity times its time.

use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};

use super::{READING_ATTEMPTS, ReportOutcome, ReportRules, UsageReport, label_set};
use crate::domain::ids::{AccountId, CounterName};
use crate::domain::money::Quantity;
use crate::domain::timestamp::{HOUR, Timestamp};
use crate::domain::usage::{LEVEL_LATE_SECONDS_MAX, LEVEL_SECONDS_MAX, UsageLabels, level_hours};
use crate::store::accounts::quantity;
use crate::store::item::{
    StoredItem, account_partition, item, malformed, number, number_of, text, text_of,
};
use crate::store::write::WriteOutcome;
use crate::store::{Store, StoreError};

/// A level that was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KnownLevel {
    level: Quantity,
    /// The start of the level (UTC).
    since: Timestamp,
    /// Until when it is counted.
    counted_to: Timestamp,
    labels: UsageLabels,
}

/// Usage that one transaction counts, and the gauge after it.
struct GaugeStep {
    /// When the use begins (UTC).
    from: Timestamp,
    used: Quantity,
    after: KnownLevel,
    is_last: bool,
}

impl Store {
    /// Counts the last level up to the report, one clock hour in each transaction, and then stores the
    /// new one. A crash loses nothing. The repeat continues at `counted_to`.
    pub(super) async fn count_level(
        &self,
        account: &AccountId,
        report: &UsageReport,
        (gauge, level): (&CounterName, Quantity),
        rules: ReportRules,
    ) -> Result<ReportOutcome, StoreError> {
        if self.meter(account, report).await?.is_none() {
            return Ok(ReportOutcome::UnknownMeter);
        }
        // Each step counts at most one hour, so the limit of one report applies to the level.
        if level > rules.step_max {
            return Ok(ReportOutcome::TooMuch);
        }
        let mut counted = Quantity::ZERO;
        let mut attempts = 0;
        while attempts < READING_ATTEMPTS {
            let before = self.known_level(account, report, gauge).await?;
            if let Some(known) = before.as_ref().filter(|known| !known.is_before(report, level)) {
                return Ok(ReportOutcome::NotNewer(known.level));
            }
            let step = GaugeStep::next(before.as_ref(), report, level, rules.now);
            let write = self.gauge_write(account, report, gauge, before.as_ref(), &step.after)?;
            let written = match before.filter(|_| step.used != Quantity::ZERO) {
                Some(KnownLevel { labels, .. }) => {
                    self.note_late(account, step.from, rules.now).await?;
                    let used = UsageReport { at: step.from, labels, ..report.clone() };
                    self.write_usage(account, &used, step.used, (gauge.as_str(), &write)).await?
                }
                None => self.write(&[write]).await?,
            };
            let is_written = match written {
                WriteOutcome::Done => true,
                WriteOutcome::Refused(mut obstacles) => match obstacles.found.remove(&0) {
                    // The answer to the first attempt may have been lost.
                    Some(found) => found.as_ref().map(KnownLevel::read) == Some(Ok(step.after)),
                    None => return Ok(ReportOutcome::TooMuch),
                },
            };
            if !is_written {
                attempts += 1;
                continue;
            }
            counted = counted.and(step.used);
            if step.is_last {
                return Ok(ReportOutcome::Counted(counted));
            }
        }
        Err(StoreError::Contended { attempts: u32::try_from(attempts).unwrap_or(u32::MAX) })
    }

    async fn known_level(
        &self,
        account: &AccountId,
        report: &UsageReport,
        gauge: &CounterName,
    ) -> Result<Option<KnownLevel>, StoreError> {
        let item = self.account_item(account, &sort_key(report, gauge)).await?;
        let read = item.as_ref().map(KnownLevel::read).transpose();
        read.map_err(malformed(format!("a gauge of {account}")))
    }

    /// The gauge as it is after a step, if it is still as it was read.
    fn gauge_write(
        &self,
        account: &AccountId,
        report: &UsageReport,
        gauge: &CounterName,
        before: Option<&KnownLevel>,
        after: &KnownLevel,
    ) -> Result<TransactWriteItem, StoreError> {
        let mut stored = item([
            ("pk", text(account_partition(account))),
            ("sk", text(sort_key(report, gauge))),
            ("level", quantity(after.level)),
            ("since", number(after.since.seconds())),
            ("counted_to", number(after.counted_to.seconds())),
        ]);
        if !after.labels.is_empty() {
            stored.insert("label_set".to_owned(), text(label_set(&after.labels)?));
        }
        let put = Put::builder()
            .set_item(Some(stored))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        self.account_put(match before {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(known) => put
                .condition_expression("#l = :level AND since = :since AND counted_to = :counted_to")
                // Its name is a word of DynamoDB's.
                .expression_attribute_names("#l", "level")
                .expression_attribute_values(":level", quantity(known.level))
                .expression_attribute_values(":since", number(known.since.seconds()))
                .expression_attribute_values(":counted_to", number(known.counted_to.seconds())),
        })
    }
}

impl KnownLevel {
    /// Whether a report is newer. Of two reports of one second the last one counts.
    fn is_before(&self, report: &UsageReport, level: Quantity) -> bool {
        report.at > self.since
            || (report.at == self.since && (level, &report.labels) != (self.level, &self.labels))
    }

    fn read(item: &StoredItem) -> Result<KnownLevel, String> {
        let at = |name| {
            Timestamp::from_seconds(number_of(item, name)?).map_err(|error| error.to_string())
        };
        let labels = match item.get("label_set") {
            Some(_) => serde_json::from_str(text_of(item, "label_set")?)
                .map_err(|error| error.to_string())?,
            None => UsageLabels::default(),
        };
        let (since, counted_to) = (at("since")?, at("counted_to")?);
        Ok(KnownLevel { level: number_of(item, "level")?, since, counted_to, labels })
    }
}

impl GaugeStep {
    /// The next step of a report that is newer than what is known.
    fn next(
        before: Option<&KnownLevel>,
        report: &UsageReport,
        level: Quantity,
        now: Timestamp,
    ) -> GaugeStep {
        let known_to = before.map_or(report.at, |known| known.counted_to);
        let new = KnownLevel {
            level,
            since: report.at,
            // Another report may have counted further and died.
            counted_to: known_to.max(report.at),
            labels: report.labels.clone(),
        };
        let (from, used) = (report.at, Quantity::ZERO);
        let last = GaugeStep { from, used, after: new.clone(), is_last: true };
        let Some(known) = before.filter(|known| known.level != Quantity::ZERO) else { return last };
        let ends_at = report.at.min(known.since.plus(LEVEL_SECONDS_MAX));
        let from = known.counted_to.max(now.plus(-LEVEL_LATE_SECONDS_MAX));
        if from >= ends_at {
            return last;
        }
        let counted_to = ends_at.min(from.hour().start().plus(HOUR));
        let is_last = counted_to == ends_at;
        let after = if is_last { new } else { KnownLevel { counted_to, ..known.clone() } };
        GaugeStep { from, used: level_hours(known.level, from, counted_to), after, is_last }
    }
}

fn sort_key(report: &UsageReport, gauge: &CounterName) -> String {
    format!("gauge#{}#{}#{gauge}", report.project, report.sku)
}
