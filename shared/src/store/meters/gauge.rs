//! Gauges: what is kept, such as gigabytes. A gauge shows a level, and each level counts until the next
//! report, in unit-hours: its quantity times its time.

use std::cmp::Ordering;

use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};

use super::{ReportOutcome, ReportRules, UsageReport, label_set};
use crate::domain::ids::{AccountId, CounterName};
use crate::domain::money::Quantity;
use crate::domain::timestamp::{HOUR, Timestamp};
use crate::domain::usage::{LATE_SECONDS_MAX, UsageLabels, level_hours};
use crate::store::accounts::quantity;
use crate::store::backoff::Backoff;
use crate::store::item::{
    StoredItem, account_partition, item, malformed, number, number_of, text, text_of,
};
use crate::store::write::WriteOutcome;
use crate::store::{Store, StoreError};

/// A level that was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KnownLevel {
    /// The start of the level (UTC), by the clock of the platform.
    since: Timestamp,
    level: Quantity,
    labels: UsageLabels,
    /// The end of what is counted (UTC), by our clock.
    counted_to: Timestamp,
}

/// Usage that one transaction counts, and the gauge after it.
struct GaugeStep {
    /// When the use begins (UTC).
    from: Timestamp,
    used: Quantity,
    after: KnownLevel,
    is_last: bool,
}

#[derive(Clone, Copy)]
enum StepOutcome {
    Counted,
    /// Another report was faster.
    Interfered,
    /// The hour is full.
    TooMuch,
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
        let mut losses = Backoff::for_losses();
        loop {
            let mut known = self.known_level(account, report, gauge).await?;
            loop {
                if let Some(known) = known.as_ref().filter(|known| !known.is_before(report, level))
                {
                    return Ok(ReportOutcome::NotNewer(known.level));
                }
                let step = GaugeStep::next(known.as_ref(), report, level, rules.now);
                match self.take_step(account, report, gauge, (known.as_ref(), &step), rules).await?
                {
                    StepOutcome::Counted => {}
                    StepOutcome::Interfered => break,
                    StepOutcome::TooMuch => return Ok(ReportOutcome::TooMuch),
                }
                counted = counted.and(step.used);
                if step.is_last {
                    return Ok(ReportOutcome::Counted(counted));
                }
                known = Some(step.after);
            }
            let attempts = losses.attempts();
            losses.pause().await.map_err(|_| StoreError::Contended { attempts })?;
        }
    }

    async fn take_step(
        &self,
        account: &AccountId,
        report: &UsageReport,
        gauge: &CounterName,
        (known, step): (Option<&KnownLevel>, &GaugeStep),
        rules: ReportRules,
    ) -> Result<StepOutcome, StoreError> {
        let write = self.gauge_write(account, report, gauge, known, &step.after)?;
        let written = match known.filter(|_| step.used != Quantity::ZERO) {
            Some(KnownLevel { labels, .. }) => {
                self.note_late(account, step.from, rules.now).await?;
                let used = UsageReport { at: step.from, labels: labels.clone(), ..report.clone() };
                self.write_usage(account, &used, step.used, (gauge.as_str(), &write)).await?
            }
            None => self.write(&[write]).await?,
        };
        let WriteOutcome::Refused(mut obstacles) = written else { return Ok(StepOutcome::Counted) };
        let Some(found) = obstacles.found.remove(&0) else { return Ok(StepOutcome::TooMuch) };
        let found = found.as_ref().map(KnownLevel::read).transpose();
        let found = found.map_err(malformed(format!("a gauge of {account}")))?;
        // The answer to the first attempt may have been lost.
        let is_ours = found.as_ref() == Some(&step.after);
        Ok(if is_ours { StepOutcome::Counted } else { StepOutcome::Interfered })
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
    /// Whether a report is newer. Of all levels of one second the lowest counts, in any order and
    /// however often they are repeated.
    fn is_before(&self, report: &UsageReport, level: Quantity) -> bool {
        match start_of(report).cmp(&self.since) {
            Ordering::Less => false,
            Ordering::Equal => (level, &report.labels) < (self.level, &self.labels),
            Ordering::Greater => true,
        }
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
            since: start_of(report),
            level,
            labels: report.labels.clone(),
            // Another report may have counted further and died.
            counted_to: known_to.max(report.at),
        };
        let (from, used) = (report.at, Quantity::ZERO);
        let last = GaugeStep { from, used, after: new.clone(), is_last: true };
        let Some(known) = before.filter(|known| known.level != Quantity::ZERO) else { return last };
        let ends_at = report.at.min(known.since.plus(LATE_SECONDS_MAX));
        let from = known.counted_to.max(now.plus(-LATE_SECONDS_MAX));
        if from >= ends_at {
            return last;
        }
        let counted_to = ends_at.min(from.hour().start().plus(HOUR));
        let is_last = counted_to == ends_at;
        let after = if is_last { new } else { KnownLevel { counted_to, ..known.clone() } };
        GaugeStep { from, used: level_hours(known.level, from, counted_to), after, is_last }
    }
}

/// The start of a level by the clock of the platform, which may be ahead of ours. By our own, a repeat
/// of the report would be newer than the report.
fn start_of(report: &UsageReport) -> Timestamp {
    report.stated_at.unwrap_or(report.at)
}

fn sort_key(report: &UsageReport, gauge: &CounterName) -> String {
    format!("gauge#{}#{}#{gauge}", report.project, report.sku)
}
