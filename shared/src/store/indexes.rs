//! The two sparse indexes: which accounts the hourly run walks, and which are due.
//!
//! Both are eventually consistent and may miss an account: the next run settles it.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use sha2::{Digest as _, Sha256};

use super::item::{
    StoredItem, account_partition, item, malformed, number, number_of, text, text_of,
};
use super::{Store, StoreError};
use crate::domain::account::AccountState;
use crate::domain::ids::AccountId;
use crate::domain::policy::Policy;
use crate::domain::settle::due::{due_at, is_billable};
use crate::domain::timestamp::Timestamp;

/// How many shards each index has; never to be changed, because accounts' items carry their shard.
///
/// A partition of an index takes 1,000 writes a second and holds up the table's writes if it is
/// throttled (docs.aws.amazon.com, "Throttling behavior for global secondary indexes"): 64
/// partitions take 64,000 accounts that start or stop billing in the same second. More would cost
/// only more queries: the minute run asks each shard every minute, 64 × 43,200 half read units a
/// month, less than a dollar.
pub const SHARDS: u8 = 64;

/// One of the [`SHARDS`] parts of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexShard(u8);

impl IndexShard {
    /// The shard of that number; `None` from [`SHARDS`] on.
    #[must_use]
    pub fn new(number: u8) -> Option<IndexShard> {
        (number < SHARDS).then_some(IndexShard(number))
    }

    /// The one this account's entries are in: evenly spread, whatever accounts are called.
    #[must_use]
    pub fn of(account: &AccountId) -> IndexShard {
        let digest = Sha256::digest(account.as_str().as_bytes());
        IndexShard(digest.first().copied().unwrap_or_default() % SHARDS)
    }

    pub fn all() -> impl Iterator<Item = IndexShard> {
        (0..SHARDS).map(IndexShard)
    }

    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

/// Some accounts that have something running or metered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountPage {
    /// In the order of their ids.
    pub accounts: Vec<AccountId>,
    /// The account after which to go on; `None` if these were the last.
    pub next: Option<AccountId>,
}

/// An account with a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueAccount {
    pub account: AccountId,
    /// Its deadline (UTC).
    pub due_at: Timestamp,
}

/// Some accounts that are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueAccounts {
    /// Earliest deadline first.
    pub accounts: Vec<DueAccount>,
    /// After which to go on; `None` if these were the last.
    pub next: Option<DueAccount>,
}

impl Store {
    /// At most `limit` accounts of a shard that have something running or metered, after the given
    /// one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn billable(
        &self,
        shard: IndexShard,
        after: Option<&AccountId>,
        limit: u32,
    ) -> Result<AccountPage, StoreError> {
        let query = self
            .index("billable", limit)
            .key_condition_expression("billable_shard = :shard")
            .expression_attribute_values(":shard", text(shard.number().to_string()))
            .set_exclusive_start_key(after.map(|account| {
                let mut key = schedule_key(account);
                key.insert("billable_shard".to_owned(), text(shard.number().to_string()));
                key
            }));
        let answer = query.send().await.map_err(|error| StoreError::of("Query", &error))?;
        let next = answer.last_evaluated_key.as_ref().map(account_of).transpose()?;
        let accounts = answer.items().iter().map(account_of).collect::<Result<_, _>>()?;
        Ok(AccountPage { accounts, next })
    }

    /// At most `limit` accounts of a shard whose deadline is not after `until` (UTC), after the
    /// given one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn due(
        &self,
        shard: IndexShard,
        until: Timestamp,
        after: Option<&DueAccount>,
        limit: u32,
    ) -> Result<DueAccounts, StoreError> {
        let query = self
            .index("due", limit)
            .key_condition_expression("due_shard = :shard AND due_at <= :until")
            .expression_attribute_values(":shard", text(shard.number().to_string()))
            .expression_attribute_values(":until", number(until.seconds()))
            .set_exclusive_start_key(after.map(|due| {
                let mut key = schedule_key(&due.account);
                key.insert("due_shard".to_owned(), text(shard.number().to_string()));
                key.insert("due_at".to_owned(), number(due.due_at.seconds()));
                key
            }));
        let answer = query.send().await.map_err(|error| StoreError::of("Query", &error))?;
        let next = answer.last_evaluated_key.as_ref().map(due_of).transpose()?;
        let accounts = answer.items().iter().map(due_of).collect::<Result<_, _>>()?;
        Ok(DueAccounts { accounts, next })
    }

    pub(super) fn index(&self, name: &str, limit: u32) -> QueryFluentBuilder {
        let limit = i32::try_from(limit.max(1)).unwrap_or(i32::MAX);
        self.client.query().table_name(&self.tables.accounts).index_name(name).limit(limit)
    }
}

/// Where an account stands in the two indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    is_billable: bool,
    due_at: Option<Timestamp>,
}

pub(super) fn schedule(state: &AccountState, policy: &Policy) -> Schedule {
    Schedule { is_billable: is_billable(state), due_at: due_at(state, policy) }
}

impl Schedule {
    /// The keys of the indexes, each only while it applies: that is what makes them sparse.
    pub(super) fn attributes(self, account: &AccountId) -> StoredItem {
        let shard = || text(IndexShard::of(account).number().to_string());
        let mut keys = StoredItem::new();
        if self.is_billable {
            keys.insert("billable_shard".to_owned(), shard());
        }
        if let Some(due_at) = self.due_at {
            keys.insert("due_shard".to_owned(), shard());
            keys.insert("due_at".to_owned(), number(due_at.seconds()));
        }
        keys
    }
}

fn schedule_key(account: &AccountId) -> StoredItem {
    item([("pk", text(account_partition(account))), ("sk", text("schedule"))])
}

pub(super) fn account_of(item: &StoredItem) -> Result<AccountId, StoreError> {
    let wrong = malformed("an entry of an index");
    let partition = text_of(item, "pk").map_err(&wrong)?;
    let id = partition.strip_prefix("account#").unwrap_or(partition);
    id.parse().map_err(|error: crate::domain::ids::IdError| wrong(error.to_string()))
}

fn due_of(item: &StoredItem) -> Result<DueAccount, StoreError> {
    let account = account_of(item)?;
    let wrong = malformed(format!("the entry of {account} in the index due"));
    let due_at: i64 = number_of(item, "due_at").map_err(&wrong)?;
    let due_at = Timestamp::from_seconds(due_at).map_err(|error| wrong(error.to_string()))?;
    Ok(DueAccount { account, due_at })
}
