//! The versions of items, and who sees which of them.

use std::sync::Arc;

use super::value::StoredAttributes;

/// The number of a write. Later writes have higher numbers. All items of a transaction are written
/// by one write.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WriteNumber(pub u64);

/// An item, or `None` where there is none.
pub(super) type ItemState = Option<Arc<StoredAttributes>>;

/// Decides what reads see that DynamoDB does not promise to be current. Answers above the number of
/// the known versions see the oldest of them.
///
/// The defaults see everything at once.
pub trait Staleness {
    /// How many of the newest writes to one partition an eventually consistent read of the table
    /// does not see. Asked once for each read, if the partition has writes to miss.
    fn partition_lag(&mut self, table: &str, partition: &str, writes: usize) -> usize {
        let _ = (table, partition, writes);
        0
    }

    /// How many of the newest versions of one item a read of an index does not see. Asked once for
    /// each item and read, if the item has versions to miss.
    fn index_lag(&mut self, table: &str, index: &str, item: &str, versions: usize) -> usize {
        let _ = (table, index, item, versions);
        0
    }

    /// Whether a read sees one item of a transaction that is not acknowledged yet. After a `true`
    /// every later read of the item sees it.
    fn sees_unacknowledged(&mut self, table: &str, item: &str, write: WriteNumber) -> Visibility {
        let _ = (table, item, write);
        Visibility::After
    }
}

/// What a read sees of an item that a transaction is being written to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Visibility {
    /// The item before the transaction.
    Before,
    After,
}

/// A [`Staleness`] for which every read is current.
#[derive(Clone, Copy, Debug, Default)]
pub struct CurrentReads;

impl Staleness for CurrentReads {}

#[derive(Clone, Debug)]
pub(super) struct ItemVersion {
    pub(super) write: WriteNumber,
    pub(super) state: ItemState,
}

/// One item over time.
#[derive(Clone, Debug, Default)]
pub(super) struct ItemHistory {
    /// Before the oldest kept version.
    base: ItemState,
    /// From the oldest to the newest.
    versions: Vec<ItemVersion>,
}

impl ItemHistory {
    pub(super) fn newest(&self) -> &ItemState {
        self.versions.last().map_or(&self.base, |version| &version.state)
    }

    pub(super) fn newest_write(&self) -> Option<WriteNumber> {
        self.versions.last().map(|version| version.write)
    }

    pub(super) fn push(&mut self, version: ItemVersion) {
        self.versions.push(version);
    }

    /// How many versions a read could miss.
    pub(super) fn version_count(&self) -> usize {
        self.versions.len()
    }

    /// Without the newest versions.
    pub(super) fn lagging_by(&self, versions: usize) -> &ItemState {
        let seen = self.versions.len().saturating_sub(versions);
        self.state_after(seen)
    }

    /// Before a write and all later ones.
    pub(super) fn before(&self, write: WriteNumber) -> &ItemState {
        let seen = self.versions.partition_point(|version| version.write < write);
        self.state_after(seen)
    }

    fn state_after(&self, versions: usize) -> &ItemState {
        let last = versions.checked_sub(1).and_then(|last| self.versions.get(last));
        last.map_or(&self.base, |version| &version.state)
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &Arc<StoredAttributes>> {
        let versions = self.versions.iter().map(|version| &version.state);
        [&self.base].into_iter().chain(versions).flatten()
    }

    /// Forgets what was before the last version older than `write`. Returns the forgotten states.
    pub(super) fn forget_before(&mut self, write: WriteNumber) -> Vec<Arc<StoredAttributes>> {
        let old = self.versions.partition_point(|version| version.write < write);
        let mut forgotten = Vec::new();
        for version in self.versions.drain(..old) {
            forgotten.extend(std::mem::replace(&mut self.base, version.state));
        }
        forgotten
    }

    /// No read can find anything.
    pub(super) fn is_empty(&self) -> bool {
        self.base.is_none() && self.versions.is_empty()
    }
}
