//! What a worker does once for a run, such as handing on the rest of its slice: a claim without a
//! row.

use super::claims::claim_partition;
use super::item::{StoredItem, item, number, text};
use super::{Store, StoreError};
use crate::domain::timestamp::{DAY, Timestamp};

/// How long such a claim is kept: longer than any message of the run is delivered again (SQS keeps
/// one four days by default), and then DynamoDB removes it.
const RUN_CLAIM_SECONDS: i64 = 7 * DAY;

impl Store {
    /// Whether something was done for a run. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn is_run_claimed(&self, key: &str) -> Result<bool, StoreError> {
        let partition = claim_partition(key);
        let found = self
            .client
            .get_item()
            .table_name(&self.tables.ledger)
            .set_key(Some(run_key(&partition)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::of("GetItem", &error))?;
        Ok(found.item.is_some())
    }

    /// Remembers that it was done, for a week; doing so twice is one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn claim_run(&self, key: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut claim = run_key(&claim_partition(key));
        claim.insert("expires".to_owned(), number(now.plus(RUN_CLAIM_SECONDS).seconds()));
        self.write(&[self.put_in_ledger(claim)?]).await.map(drop)
    }
}

fn run_key(partition: &str) -> StoredItem {
    item([("account", text(partition)), ("seq", number(0))])
}
