//! The content of one table.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::expression::key_condition::SortRange;
use super::history::{ItemHistory, ItemState, ItemVersion, WriteNumber};
use super::number::DecimalNumber;
use super::schema::TableSchema;
use super::stream::StreamLog;
use super::value::{ItemKey, KeyValue, StoredAttributes, StoredValue};

#[derive(Clone, Debug)]
pub(super) struct MemoryTable {
    pub(super) schema: TableSchema,
    pub(super) stream: StreamLog,
    partitions: BTreeMap<KeyValue, TablePartition>,
    /// For each index of the schema: the items that some kept version puts into a partition.
    members: Vec<BTreeMap<KeyValue, BTreeSet<ItemKey>>>,
    /// The writes whose earlier versions are kept, in their order.
    kept: VecDeque<(WriteNumber, ItemKey)>,
}

#[derive(Clone, Debug, Default)]
struct TablePartition {
    /// By sort key.
    items: BTreeMap<Option<KeyValue>, ItemHistory>,
    /// The writes that a replica may not have yet.
    writes: VecDeque<WriteNumber>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReadDirection {
    Forward,
    Backward,
}

impl MemoryTable {
    pub(super) fn new(schema: TableSchema) -> Self {
        Self {
            members: vec![BTreeMap::new(); schema.indexes.len()],
            stream: StreamLog::default(),
            partitions: BTreeMap::new(),
            kept: VecDeque::new(),
            schema,
        }
    }

    pub(super) fn history(&self, key: &ItemKey) -> Option<&ItemHistory> {
        self.partitions.get(&key.partition)?.items.get(&key.sort)
    }

    pub(super) fn newest(&self, key: &ItemKey) -> ItemState {
        self.history(key).and_then(|history| history.newest().clone())
    }

    /// The writes to a partition that a replica may not have yet, from the oldest to the newest.
    pub(super) fn unsettled_writes(&self, partition: &KeyValue) -> Option<&VecDeque<WriteNumber>> {
        self.partitions.get(partition).map(|partition| &partition.writes)
    }

    pub(super) fn write(&mut self, key: &ItemKey, write: WriteNumber, state: ItemState) {
        if let Some(item) = &state {
            self.join_indexes(key, item);
        }
        let partition = self.partitions.entry(key.partition.clone()).or_default();
        if partition.writes.back() != Some(&write) {
            partition.writes.push_back(write);
        }
        let history = partition.items.entry(key.sort.clone()).or_default();
        history.push(ItemVersion { write, state });
        self.kept.push_back((write, key.clone()));
    }

    /// The histories of a partition in the order of their sort keys, within a range and after a
    /// key.
    pub(super) fn range(
        &self,
        partition: &KeyValue,
        range: &SortRange,
        after: Option<&ItemKey>,
        direction: ReadDirection,
    ) -> Box<dyn Iterator<Item = (&Option<KeyValue>, &ItemHistory)> + '_> {
        let Some(partition) = self.partitions.get(partition) else {
            return Box::new(std::iter::empty());
        };
        let (mut low, mut high) = (range.low.clone().map(Some), range.high.clone().map(Some));
        if let Some(after) = after {
            match direction {
                ReadDirection::Forward => low = Bound::Excluded(after.sort.clone()),
                ReadDirection::Backward => high = Bound::Excluded(after.sort.clone()),
            }
        }
        if is_empty(&low, &high) {
            return Box::new(std::iter::empty());
        }
        let items = partition.items.range((low, high));
        match direction {
            ReadDirection::Forward => Box::new(items),
            ReadDirection::Backward => Box::new(items.rev()),
        }
    }

    /// The items that may be in a partition of an index.
    pub(super) fn index_members(
        &self,
        index: &str,
        partition: &KeyValue,
    ) -> impl Iterator<Item = &ItemKey> {
        let place = self.schema.indexes.iter().position(|known| known.name == index);
        let members = place.and_then(|place| self.members.get(place));
        members.and_then(|members| members.get(partition)).into_iter().flatten()
    }

    /// All items as they are now, in the order of their keys.
    pub(super) fn items(&self) -> impl Iterator<Item = &Arc<StoredAttributes>> {
        let histories = self.partitions.values().flat_map(|partition| partition.items.values());
        histories.filter_map(|history| history.newest().as_ref())
    }

    /// The items whose time to live ended before `now` (Unix seconds).
    pub(super) fn expired(&self, now: i64) -> Vec<(ItemKey, Arc<StoredAttributes>)> {
        let Some(attribute) = &self.schema.expiry else { return Vec::new() };
        let now = StoredValue::Number(DecimalNumber::from(now));
        let has_expired = |item: &&Arc<StoredAttributes>| {
            let end = item.get(attribute);
            end.and_then(|end| end.order(&now)).is_some_and(Ordering::is_lt)
        };
        let with_key =
            |item: &Arc<StoredAttributes>| Some((self.schema.keys.key_in(item)?, Arc::clone(item)));
        self.items().filter(has_expired).filter_map(with_key).collect()
    }

    pub(super) fn forget_versions_before(&mut self, write: WriteNumber) {
        while let Some((_, key)) = self.kept.pop_front_if(|(kept, _)| *kept < write) {
            let Some(partition) = self.partitions.get_mut(&key.partition) else { continue };
            while partition.writes.pop_front_if(|known| *known < write).is_some() {}
            let Some(history) = partition.items.get_mut(&key.sort) else { continue };
            let forgotten = history.forget_before(write);
            let remaining: Vec<_> = history.states().cloned().collect();
            if history.is_empty() {
                partition.items.remove(&key.sort);
            }
            if partition.items.is_empty() {
                self.partitions.remove(&key.partition);
            }
            self.leave_indexes(&key, &forgotten, &remaining);
        }
    }

    fn join_indexes(&mut self, key: &ItemKey, item: &StoredAttributes) {
        for (index, members) in self.schema.indexes.iter().zip(&mut self.members) {
            if let Some(position) = index.position(item) {
                members.entry(position.partition).or_default().insert(key.clone());
            }
        }
    }

    fn leave_indexes(
        &mut self,
        key: &ItemKey,
        forgotten: &[Arc<StoredAttributes>],
        remaining: &[Arc<StoredAttributes>],
    ) {
        for (index, members) in self.schema.indexes.iter().zip(&mut self.members) {
            let partition =
                |item: &Arc<StoredAttributes>| index.position(item).map(|place| place.partition);
            let still: BTreeSet<KeyValue> = remaining.iter().filter_map(partition).collect();
            for left in forgotten.iter().filter_map(partition) {
                if still.contains(&left) {
                    continue;
                }
                let Some(keys) = members.get_mut(&left) else { continue };
                keys.remove(key);
                if keys.is_empty() {
                    members.remove(&left);
                }
            }
        }
    }
}

/// `BTreeMap::range` panics at such a range.
fn is_empty<T: Ord>(low: &Bound<T>, high: &Bound<T>) -> bool {
    match (low, high) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (
            Bound::Included(low) | Bound::Excluded(low),
            Bound::Included(high) | Bound::Excluded(high),
        ) => low >= high,
    }
}
