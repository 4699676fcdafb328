//! What was taken back of payments: items of the account, written in the transaction of the row that
//! changes them. `payment#P#taken` holds the totals, and `payment#P#dispute#D` what one dispute holds.

use aws_sdk_dynamodb::types::TransactWriteItem;

use super::accounts::{Appending, body_of, with_body};
use super::item::{StoredItem, account_partition, item, malformed, number, text, text_of};
use super::{Store, StoreError};
use crate::domain::ids::{AccountId, PaymentId};
use crate::domain::payment_records::PaymentRecords;

const TAKEN: &str = "taken";

impl Store {
    /// What is recorded of a payment outside the state. Strongly consistent. Read it after the head
    /// that is appended to: then a row that changes it makes the append lose.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn payment_records(
        &self,
        account: &AccountId,
        payment: &PaymentId,
    ) -> Result<PaymentRecords, StoreError> {
        let prefix = sort_key(payment, "");
        let mut records = PaymentRecords::default();
        for item in self.account_items(&account_partition(account), &prefix).await? {
            let key = text_of(&item, "sk").map_err(malformed(account.as_str()))?;
            if key == sort_key(payment, TAKEN) {
                records.taken = Some(body_of(account, &item)?);
            } else {
                records.disputes.push(body_of(account, &item)?);
            }
        }
        Ok(records)
    }

    /// The items of a payment that the row changes.
    pub(super) fn record_writes(
        &self,
        row: &Appending<'_>,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let Some(recorded) = row.event.recorded() else { return Ok(Vec::new()) };
        let payment = &recorded.payment;
        let taken = with_body(record_item(row, sort_key(payment, TAKEN)), &recorded.taken)?;
        let mut writes = vec![self.newer_account_item(row, taken)?];
        if let Some(dispute) = &recorded.dispute {
            let key = sort_key(payment, &format!("dispute#{}", dispute.dispute));
            let item = with_body(record_item(row, key), dispute)?;
            writes.push(self.newer_account_item(row, item)?);
        }
        Ok(writes)
    }
}

fn record_item(row: &Appending<'_>, sort_key: String) -> StoredItem {
    item([
        ("pk", text(account_partition(row.account))),
        ("sk", text(sort_key)),
        ("seq", number(row.before.next_seq)),
    ])
}

fn sort_key(payment: &PaymentId, part: &str) -> String {
    format!("payment#{payment}#{part}")
}
