//! Transactions that are written and not acknowledged yet.

use std::collections::BTreeMap;

use super::history::{ItemHistory, ItemState, Staleness, Visibility, WriteNumber};
use super::value::ItemKey;

/// The items of unacknowledged transactions, by table and key.
#[derive(Clone, Debug, Default)]
pub(super) struct TransactionLocks(BTreeMap<(String, ItemKey), TransactionLock>);

#[derive(Clone, Copy, Debug)]
struct TransactionLock {
    write: WriteNumber,
    /// Some read or write saw the item as it is after the transaction.
    is_seen: bool,
}

impl TransactionLocks {
    pub(super) fn lock(&mut self, table: &str, key: &ItemKey, write: WriteNumber) {
        let lock = TransactionLock { write, is_seen: false };
        self.0.insert((table.to_owned(), key.clone()), lock);
    }

    pub(super) fn is_locked(&self, table: &str, key: &ItemKey) -> bool {
        self.0.contains_key(&(table.to_owned(), key.clone()))
    }

    /// From now on every read sees the newest version of the item: a write has met it.
    pub(super) fn reveal(&mut self, table: &str, key: &ItemKey) {
        if let Some(lock) = self.0.get_mut(&(table.to_owned(), key.clone())) {
            lock.is_seen = true;
        }
    }

    pub(super) fn release(&mut self, write: WriteNumber) {
        self.0.retain(|_, lock| lock.write != write);
    }

    pub(super) fn release_all(&mut self) {
        self.0.clear();
    }

    pub(super) fn holds(&self, write: WriteNumber) -> bool {
        self.0.values().any(|lock| lock.write == write)
    }

    pub(super) fn oldest(&self) -> Option<WriteNumber> {
        self.0.values().map(|lock| lock.write).min()
    }

    /// What a read sees that has all writes before `first_unseen`.
    pub(super) fn visible(
        &mut self,
        table: &str,
        key: &ItemKey,
        history: &ItemHistory,
        first_unseen: Option<WriteNumber>,
        staleness: &mut dyn Staleness,
    ) -> ItemState {
        let hiding = self.hiding_write(table, key, history, staleness, first_unseen);
        let first_unseen = [hiding, first_unseen].into_iter().flatten().min();
        first_unseen.map_or_else(|| history.newest(), |write| history.before(write)).clone()
    }

    /// The newest write of an item if it is a transaction's that the read does not see yet.
    pub(super) fn hiding_write(
        &mut self,
        table: &str,
        key: &ItemKey,
        history: &ItemHistory,
        staleness: &mut dyn Staleness,
        first_unseen: Option<WriteNumber>,
    ) -> Option<WriteNumber> {
        // Most reads meet no transaction, and then need no copy of the key.
        if self.0.is_empty() {
            return None;
        }
        let lock = self.0.get_mut(&(table.to_owned(), key.clone()))?;
        let write = lock.write;
        let is_beyond = first_unseen.is_some_and(|first| first <= write);
        if lock.is_seen || is_beyond || history.newest_write() != Some(write) {
            return None;
        }
        match staleness.sees_unacknowledged(table, &key.text(), write) {
            Visibility::Before => Some(write),
            Visibility::After => {
                lock.is_seen = true;
                None
            }
        }
    }
}
