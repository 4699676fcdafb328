//! Conditional writes: repeated until they are done or a condition says no.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    CancellationReason, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};

use super::backoff::Backoff;
use super::item::StoredItem;
use super::{Store, StoreError};

/// What became of some writes that go together.
#[derive(Debug)]
pub(super) enum WriteOutcome {
    /// All of them are done.
    Done,
    /// None of them: conditions failed.
    Refused(Obstacles),
}

/// The outcome of an update of one item.
#[derive(Debug)]
pub(super) enum UpdateOutcome {
    /// It is done. The attributes that it replaced.
    Done(StoredItem),
    /// Its condition failed. What was there; `None` if nothing was.
    Refused(Option<StoredItem>),
}

/// The writes whose conditions failed.
#[derive(Debug)]
pub(super) struct Obstacles {
    /// What was there, by the number of the write; `None` if nothing was.
    pub(super) found: BTreeMap<usize, Option<StoredItem>>,
    /// Whether an earlier attempt of the same writes may have been applied.
    pub(super) earlier: EarlierAttempts,
}

/// The earlier attempts of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EarlierAttempts {
    /// There were none, or each was answered.
    Answered,
    /// One was not answered: it may have been applied.
    Unanswered,
}

impl Store {
    /// **The door to the ledger**: whatever is put into it, is put where nothing is yet.
    ///
    /// A `PutItem` without its condition would replace what is there, and no permission could
    /// forbid that, so this is the only function of the crate that puts into this table.
    pub(super) fn put_in_ledger(&self, item: StoredItem) -> Result<TransactWriteItem, StoreError> {
        let put = Put::builder()
            .table_name(&self.tables.ledger)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(account)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| StoreError::Rejected { call: "PutItem", why: error.to_string() })?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Writes all or nothing: one item by itself costs a plain write, several go in one
    /// transaction.
    ///
    /// # Errors
    /// The last [`StoreError`], after several attempts; the writes may then have been applied.
    pub(super) async fn write(
        &self,
        writes: &[TransactWriteItem],
    ) -> Result<WriteOutcome, StoreError> {
        let mut backoff = Backoff::for_faults();
        let mut earlier = EarlierAttempts::Answered;
        loop {
            let fault = match self.write_once(writes).await {
                Ok(found) if found.is_empty() => return Ok(WriteOutcome::Done),
                Ok(found) => return Ok(WriteOutcome::Refused(Obstacles { found, earlier })),
                Err(fault) => fault,
            };
            if matches!(fault, StoreError::Unavailable { .. }) {
                earlier = EarlierAttempts::Unanswered;
            }
            if !fault.may_retry() || backoff.pause().await.is_err() {
                return Err(with_attempts(fault, backoff.attempts()));
            }
        }
    }

    /// The same, but `None` where somebody else writes to one of the items at this moment.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub(super) async fn write_if_free(
        &self,
        writes: &[TransactWriteItem],
    ) -> Result<Option<WriteOutcome>, StoreError> {
        let earlier = EarlierAttempts::Answered;
        match self.write_once(writes).await {
            Ok(found) if found.is_empty() => Ok(Some(WriteOutcome::Done)),
            Ok(found) => Ok(Some(WriteOutcome::Refused(Obstacles { found, earlier }))),
            Err(StoreError::Contended { .. }) => Ok(None),
            Err(fault) if fault.may_retry() => self.write(writes).await.map(Some),
            Err(fault) => Err(fault),
        }
    }

    /// Updates one item, and returns the values that it replaced. A repeated attempt meets its own
    /// condition after a lost answer.
    ///
    /// # Errors
    /// The last [`StoreError`], after several attempts; the update may then have been applied.
    pub(super) async fn update_returning_old(
        &self,
        update: Update,
    ) -> Result<UpdateOutcome, StoreError> {
        let mut backoff = Backoff::for_faults();
        loop {
            let request = self.update_request(&update).return_values(ReturnValue::UpdatedOld);
            let error = match request.send().await {
                Ok(done) => return Ok(UpdateOutcome::Done(done.attributes.unwrap_or_default())),
                Err(error) => error,
            };
            if let SdkError::ServiceError(answer) = &error
                && let UpdateItemError::ConditionalCheckFailedException(refused) = answer.err()
            {
                return Ok(UpdateOutcome::Refused(refused.item().cloned()));
            }
            let fault = StoreError::of("UpdateItem", &error);
            if !fault.may_retry() || backoff.pause().await.is_err() {
                return Err(with_attempts(fault, backoff.attempts()));
            }
        }
    }

    async fn write_once(
        &self,
        writes: &[TransactWriteItem],
    ) -> Result<BTreeMap<usize, Option<StoredItem>>, StoreError> {
        match writes {
            [only] => match (only.put(), only.update()) {
                (Some(put), _) => self.put(put).await,
                (None, Some(update)) => self.update(update).await,
                (None, None) => self.transact(writes).await,
            },
            _ => self.transact(writes).await,
        }
    }

    async fn put(&self, put: &Put) -> Result<BTreeMap<usize, Option<StoredItem>>, StoreError> {
        let request = self
            .client
            .put_item()
            .table_name(&put.table_name)
            .set_item(Some(put.item.clone()))
            .set_condition_expression(put.condition_expression.clone())
            .set_expression_attribute_names(put.expression_attribute_names.clone())
            .set_expression_attribute_values(put.expression_attribute_values.clone())
            .set_return_values_on_condition_check_failure(
                put.return_values_on_condition_check_failure.clone(),
            );
        let Err(error) = request.send().await else {
            return Ok(BTreeMap::new());
        };
        if let SdkError::ServiceError(answer) = &error
            && let PutItemError::ConditionalCheckFailedException(refused) = answer.err()
        {
            return Ok(BTreeMap::from([(0, refused.item().cloned())]));
        }
        Err(StoreError::of("PutItem", &error))
    }

    async fn update(
        &self,
        update: &Update,
    ) -> Result<BTreeMap<usize, Option<StoredItem>>, StoreError> {
        let request = self.update_request(update);
        let Err(error) = request.send().await else {
            return Ok(BTreeMap::new());
        };
        if let SdkError::ServiceError(answer) = &error
            && let UpdateItemError::ConditionalCheckFailedException(refused) = answer.err()
        {
            return Ok(BTreeMap::from([(0, refused.item().cloned())]));
        }
        Err(StoreError::of("UpdateItem", &error))
    }

    fn update_request(&self, update: &Update) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&update.table_name)
            .set_key(Some(update.key.clone()))
            .update_expression(&update.update_expression)
            .set_condition_expression(update.condition_expression.clone())
            .set_expression_attribute_names(update.expression_attribute_names.clone())
            .set_expression_attribute_values(update.expression_attribute_values.clone())
            .set_return_values_on_condition_check_failure(
                update.return_values_on_condition_check_failure.clone(),
            )
    }

    async fn transact(
        &self,
        writes: &[TransactWriteItem],
    ) -> Result<BTreeMap<usize, Option<StoredItem>>, StoreError> {
        let request = self.client.transact_write_items().set_transact_items(Some(writes.to_vec()));
        let Err(error) = request.send().await else {
            return Ok(BTreeMap::new());
        };
        if let SdkError::ServiceError(answer) = &error
            && let TransactWriteItemsError::TransactionCanceledException(canceled) = answer.err()
        {
            return obstacles(canceled.cancellation_reasons());
        }
        Err(StoreError::of("TransactWriteItems", &error))
    }
}

/// Sorts the reasons, one for each write. As long as one of them is passing (a conflict,
/// throttling), the others may not be the whole truth: the transaction is repeated.
fn obstacles(
    reasons: &[CancellationReason],
) -> Result<BTreeMap<usize, Option<StoredItem>>, StoreError> {
    let call = "TransactWriteItems";
    let mut found = BTreeMap::new();
    for (number, reason) in reasons.iter().enumerate() {
        match reason.code().unwrap_or("None") {
            "None" => {}
            "ConditionalCheckFailed" => {
                found.insert(number, reason.item().filter(|item| !item.is_empty()).cloned());
            }
            "TransactionConflict" => return Err(StoreError::Contended { attempts: 1 }),
            "ThrottlingError" | "ProvisionedThroughputExceeded" => {
                return Err(StoreError::Throttled { call });
            }
            code => {
                let why = format!("{code}: {}", reason.message().unwrap_or_default());
                return Err(StoreError::Rejected { call, why });
            }
        }
    }
    if found.is_empty() {
        return Err(StoreError::Unavailable { call, why: "cancelled without a reason".to_owned() });
    }
    Ok(found)
}

fn with_attempts(fault: StoreError, attempts: u32) -> StoreError {
    if matches!(fault, StoreError::Contended { .. }) {
        StoreError::Contended { attempts }
    } else {
        fault
    }
}
