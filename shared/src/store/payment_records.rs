//! What was taken back of payments: items of the account, written in the transaction of the row that
//! changes them. `payment#P#taken` holds the totals, and `payment#P#dispute#D` what one dispute holds.
//! Each has its `cents`, the row's number as `seq`, and the rest as `body`.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use serde::Serialize;

use super::accounts::{Appending, body_of, with_body};
use super::item::{account_partition, item, malformed, number, text, text_of};
use super::{Store, StoreError};
use crate::domain::ids::{AccountId, PaymentId};
use crate::domain::payment_records::{PaymentRecords, RecordedChange};

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
        let RecordedChange { payment, cents, taken, dispute } = &recorded;
        let mut writes =
            vec![self.record_write(row, payment, TAKEN, (*cents, taken.cents), taken)?];
        if let Some(dispute) = dispute {
            let part = format!("dispute#{}", dispute.dispute);
            writes.push(self.record_write(
                row,
                payment,
                &part,
                (*cents, dispute.cents),
                dispute,
            )?);
        }
        Ok(writes)
    }

    /// The item must hold what the row was decided on. The head's own transaction may just be
    /// becoming visible: then its head was read, and its items as they were before. An item of a
    /// payment that only older rows told of is new.
    fn record_write(
        &self,
        row: &Appending<'_>,
        payment: &PaymentId,
        part: &str,
        (moved, cents): (i64, i64),
        body: &impl Serialize,
    ) -> Result<TransactWriteItem, StoreError> {
        let record = item([
            ("pk", text(account_partition(row.account))),
            ("sk", text(sort_key(payment, part))),
            ("seq", number(row.before.next_seq)),
            ("cents", number(cents)),
        ]);
        let put = Put::builder()
            .condition_expression("attribute_not_exists(pk) OR cents = :before")
            .expression_attribute_values(":before", number(cents - moved));
        self.account_put(put.set_item(Some(with_body(record, body)?)))
    }
}

fn sort_key(payment: &PaymentId, part: &str) -> String {
    format!("payment#{payment}#{part}")
}
