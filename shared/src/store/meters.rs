//! Readings and usage that are reported to meters. Nothing is billed here: that is the next
//! settling's.

use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use rust_decimal::Decimal;

use super::accounts::{meter_key, meter_of, quantity, unbuilt};
use super::claims::{claim_item, claimed};
use super::item::{account_partition, malformed, number};
use super::write::WriteOutcome;
use super::{Store, StoreError};
use crate::domain::event::{Claim, OnExisting};
use crate::domain::ids::{AccountId, ProjectId, RequestKey, Sku};
use crate::domain::money::{QUANTITY_MAX, Quantity};
use crate::domain::row::RowDigest;
use crate::domain::timestamp::{DAY, Timestamp};

/// How long the id of a usage report is kept: longer than any queue keeps a message (SQS: 14 days).
const REPORT_CLAIM_SECONDS: i64 = 30 * DAY;

/// A quantity that was used since the last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageReport {
    pub project: ProjectId,
    pub sku: Sku,
    pub quantity: Quantity,
    /// What makes it one report, however often it is sent.
    pub id: RequestKey,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The meter shows more now.
    Advanced,
    /// Nothing changed: the meter shows as much or more already (the reading it shows), which is
    /// what a repeated or overtaken report finds.
    NotNewer(Quantity),
    /// This report was counted before.
    Repeated,
    /// Its id was used for another report.
    KeyReused,
    /// The meter cannot show so much, or not after one report.
    TooMuch,
    /// There is no such meter.
    UnknownMeter,
}

impl Store {
    /// Reports an absolute reading of a counter that only grows, by at most `step_max` at once.
    /// Repeats and disorder are harmless.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn report_reading(
        &self,
        account: &AccountId,
        project: &ProjectId,
        sku: &Sku,
        reading: Quantity,
        step_max: Quantity,
    ) -> Result<ReportOutcome, StoreError> {
        let floor = reading.decimal() - step_max.decimal();
        let update = Update::builder()
            .table_name(&self.tables.accounts)
            .set_key(Some(meter_key(account, project, sku)))
            .update_expression("SET reading = :reading")
            .condition_expression(
                "attribute_exists(pk) AND reading < :reading AND reading >= :floor",
            )
            .expression_attribute_values(":reading", quantity(reading))
            .expression_attribute_values(":floor", number(floor.normalize()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| unbuilt(&error))?;
        let update = TransactWriteItem::builder().update(update).build();
        match self.write(&[update]).await? {
            WriteOutcome::Done => Ok(ReportOutcome::Advanced),
            WriteOutcome::Refused(mut obstacles) => match obstacles.found.remove(&0).flatten() {
                Some(meter) => {
                    let meter = meter_of(&meter).map_err(malformed(account_partition(account)))?;
                    let is_newer = meter.reading < reading;
                    Ok(if is_newer {
                        ReportOutcome::TooMuch
                    } else {
                        ReportOutcome::NotNewer(meter.reading)
                    })
                }
                None => Ok(ReportOutcome::UnknownMeter),
            },
        }
    }

    /// Reports usage since the last report, once for each id, at `now` (UTC).
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn report_usage(
        &self,
        account: &AccountId,
        report: &UsageReport,
        now: Timestamp,
    ) -> Result<ReportOutcome, StoreError> {
        let UsageReport { project, sku, quantity: used, id } = report;
        let digest = RowDigest::of(&[project.as_str(), sku.as_str(), &used.decimal().to_string()]);
        let claim = Claim {
            key: format!("usage#{account}#{id}"),
            on_existing: OnExisting::Stop,
            digest: Some(digest.as_str().to_owned()),
        };
        let mut item = claim_item(&claim, account, 0, now);
        item.insert("expires".to_owned(), number(now.plus(REPORT_CLAIM_SECONDS).seconds()));
        let writes = [self.put_in_ledger(item)?, self.addition(account, report)?];
        let WriteOutcome::Refused(mut obstacles) = self.write(&writes).await? else {
            return Ok(ReportOutcome::Advanced);
        };
        if let Some(found) = obstacles.found.remove(&0) {
            let known = found.map(|item| claimed(&claim.key, &item)).transpose()?;
            let is_same = known.is_none_or(|known| known.digest == claim.digest);
            return Ok(if is_same { ReportOutcome::Repeated } else { ReportOutcome::KeyReused });
        }
        let meter = obstacles.found.remove(&1).flatten();
        Ok(if meter.is_some() { ReportOutcome::TooMuch } else { ReportOutcome::UnknownMeter })
    }

    fn addition(
        &self,
        account: &AccountId,
        report: &UsageReport,
    ) -> Result<TransactWriteItem, StoreError> {
        let room = Decimal::from(QUANTITY_MAX) - report.quantity.decimal();
        let update = Update::builder()
            .table_name(&self.tables.accounts)
            .set_key(Some(meter_key(account, &report.project, &report.sku)))
            .update_expression("ADD reading :quantity")
            .condition_expression("attribute_exists(pk) AND reading <= :room")
            .expression_attribute_values(":quantity", quantity(report.quantity))
            .expression_attribute_values(":room", number(room))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| unbuilt(&error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}
