//! What the usage of an account is worth that is not billed yet: a hint, by which one report of many
//! bills at once.
//!
//! | `pk` | `sk` | what |
//! |---|---|---|
//! | `account#A` | `unbilled` | `amount`, in USD |
//!
//! A report adds its worth after it is counted. A report that bills then subtracts the sum that it
//! saw. The sum is only a hint: after a crash or two simultaneous bills it can be too high (the next
//! report bills early) or too low (usage waits for the next report or the end of its hour).

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValue;

use super::item::{StoredItem, account_partition, item, malformed, number, number_of, text};
use super::{Store, StoreError};
use crate::domain::ids::AccountId;
use crate::domain::money::Usd;

impl Store {
    /// Adds what a report is worth, in USD. Returns the worth of everything that is not billed.
    ///
    /// # Errors
    /// [`StoreError`]. It may have been added then.
    pub async fn add_unbilled(&self, account: &AccountId, worth: Usd) -> Result<Usd, StoreError> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.tables.accounts)
            .set_key(Some(unbilled_key(account)))
            .update_expression("ADD amount :worth")
            .expression_attribute_values(":worth", number(worth.decimal().normalize()))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(|error| StoreError::of("UpdateItem", &error))?;
        number_of(&answer.attributes.unwrap_or_default(), "amount")
            .map_err(malformed(format!("the unbilled usage of {account}")))
    }

    /// What is not billed, in USD. It may be a moment old.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn unbilled(&self, account: &AccountId) -> Result<Usd, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.tables.accounts)
            .set_key(Some(unbilled_key(account)))
            .send()
            .await
            .map_err(|error| StoreError::of("GetItem", &error))?;
        let Some(found) = answer.item else { return Ok(Usd::ZERO) };
        let sum: Usd = number_of(&found, "amount")
            .map_err(malformed(format!("the unbilled usage of {account}")))?;
        Ok(sum.or_zero())
    }

    /// Subtracts what was seen, which is billed now. Does nothing if the sum is already smaller.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn take_unbilled(&self, account: &AccountId, seen: Usd) -> Result<(), StoreError> {
        let done = self
            .client
            .update_item()
            .table_name(&self.tables.accounts)
            .set_key(Some(unbilled_key(account)))
            .update_expression("SET amount = amount - :seen")
            .condition_expression("amount >= :seen")
            .expression_attribute_values(":seen", number(seen.decimal().normalize()))
            .send()
            .await;
        match done {
            Err(SdkError::ServiceError(answer))
                if matches!(answer.err(), UpdateItemError::ConditionalCheckFailedException(_)) =>
            {
                Ok(())
            }
            done => done.map(|_| ()).map_err(|error| StoreError::of("UpdateItem", &error)),
        }
    }
}

fn unbilled_key(account: &AccountId) -> StoredItem {
    item([("pk", text(account_partition(account))), ("sk", text("unbilled"))])
}
