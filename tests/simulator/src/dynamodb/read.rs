//! `GetItem` and `Query`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::error::{DynamoError, invalid};
use super::expression::condition::Condition;
use super::expression::key_condition::KeyCondition;
use super::expression::placeholders::Placeholders;
use super::expression::projection::Projection;
use super::history::{Staleness, WriteNumber};
use super::locks::TransactionLocks;
use super::request::CallParameters;
use super::schema::{IndexProjection, IndexSchema, TableSchema};
use super::table::{MemoryTable, ReadDirection};
use super::value::{ItemKey, KeyValue, StoredAttributes, item_json, item_size};

/// A query reads at most this many bytes of items, counted before the filter.
const PAGE_BYTES_MAX: usize = 1_048_576;

const GET_PARAMETERS: [&str; 5] =
    ["TableName", "Key", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames"];

const QUERY_PARAMETERS: [&str; 12] = [
    "TableName",
    "IndexName",
    "KeyConditionExpression",
    "FilterExpression",
    "ProjectionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ConsistentRead",
    "ScanIndexForward",
    "Limit",
    "ExclusiveStartKey",
    "Select",
];

/// A read of one table.
pub(super) struct TableRead<'a> {
    pub(super) table: &'a MemoryTable,
    pub(super) locks: &'a mut TransactionLocks,
    pub(super) staleness: &'a mut dyn Staleness,
}

impl TableRead<'_> {
    pub(super) fn get_item(&mut self, body: &Value) -> Result<Value, DynamoError> {
        let call = CallParameters::read("GetItem", body, &GET_PARAMETERS)?;
        let mut placeholders = Placeholders::read(body)?;
        let projection = projection(&call, &mut placeholders)?;
        placeholders.check_all_used()?;
        let key = self.table.schema.keys.key_of_request(&call.item("Key")?)?;
        let first_unseen = self.first_unseen(&call, &key.partition)?;
        let Some(history) = self.table.history(&key) else { return Ok(json!({})) };
        let name = &self.table.schema.name;
        let state = self.locks.visible(name, &key, history, first_unseen, self.staleness);
        let shown = state.map(|item| match &projection {
            Some(projection) => json!({"Item": item_json(&projection.of(&item))}),
            None => json!({"Item": item_json(&item)}),
        });
        Ok(shown.unwrap_or_else(|| json!({})))
    }

    pub(super) fn query(&mut self, body: &Value) -> Result<Value, DynamoError> {
        let call = CallParameters::read("Query", body, &QUERY_PARAMETERS)?;
        let query = ItemQuery::read(&call, &self.table.schema)?;
        let page = match query.index {
            None => self.query_table(&call, &query)?,
            Some(index) => self.query_index(&query, index),
        };
        Ok(page.answer(&query))
    }

    fn query_table(
        &mut self,
        call: &CallParameters<'_>,
        query: &ItemQuery<'_>,
    ) -> Result<QueryPage, DynamoError> {
        let partition = &query.keys.partition;
        let first_unseen = self.first_unseen(call, partition)?;
        let after = query.start.as_ref().map(|start| &start.item);
        let range = self.table.range(partition, &query.keys.sort, after, query.direction);
        let mut page = QueryPage::default();
        for (sort, history) in range {
            let key = ItemKey { partition: partition.clone(), sort: sort.clone() };
            let name = &self.table.schema.name;
            let state = self.locks.visible(name, &key, history, first_unseen, self.staleness);
            let Some(item) = state else { continue };
            if page.add(query, item) == PageState::Full {
                break;
            }
        }
        Ok(page)
    }

    fn query_index(&mut self, query: &ItemQuery<'_>, index: &IndexSchema) -> QueryPage {
        let mut found = self.index_entries(query, index);
        let mut page = QueryPage::default();
        while let Some((place, item)) = match query.direction {
            ReadDirection::Forward => found.pop_first(),
            ReadDirection::Backward => found.pop_last(),
        } {
            let is_after_start = query.start.as_ref().is_none_or(|start| {
                let start = (start.index_sort.clone(), start.item.clone());
                match query.direction {
                    ReadDirection::Forward => place > start,
                    ReadDirection::Backward => place < start,
                }
            });
            if is_after_start && page.add(query, item) == PageState::Full {
                break;
            }
        }
        page
    }

    /// What a partition of an index shows, by sort key and then by the table's key. DynamoDB
    /// promises no order of items with equal index keys, but keeps the one it has.
    fn index_entries(
        &mut self,
        query: &ItemQuery<'_>,
        index: &IndexSchema,
    ) -> BTreeMap<(Option<KeyValue>, ItemKey), Arc<StoredAttributes>> {
        let mut entries = BTreeMap::new();
        let name = &self.table.schema.name;
        for key in self.table.index_members(&index.name, &query.keys.partition) {
            let Some(history) = self.table.history(key) else { continue };
            let versions = history.version_count();
            let mut lag = 0;
            if versions > 0 {
                lag = self.staleness.index_lag(name, &index.name, &key.text(), versions);
            }
            // An index has nothing that the table does not have yet.
            if lag == 0 {
                let hidden = self.locks.hiding_write(name, key, history, self.staleness, None);
                lag = usize::from(hidden.is_some());
            }
            let Some(item) = history.lagging_by(lag) else { continue };
            let Some(position) = index.position(item) else { continue };
            let is_wanted = position.partition == query.keys.partition
                && position.sort.as_ref().is_none_or(|sort| query.keys.sort.contains(sort));
            if is_wanted {
                let projected = projected(&self.table.schema, index, item);
                entries.insert((position.sort, key.clone()), projected);
            }
        }
        entries
    }

    /// The first write to the partition that a read does not see. `None` if it sees all.
    fn first_unseen(
        &mut self,
        call: &CallParameters<'_>,
        partition: &KeyValue,
    ) -> Result<Option<WriteNumber>, DynamoError> {
        if call.switch("ConsistentRead")? == Some(true) {
            return Ok(None);
        }
        let Some(writes) = self.table.unsettled_writes(partition).filter(|it| !it.is_empty())
        else {
            return Ok(None);
        };
        let name = &self.table.schema.name;
        let lag = self.staleness.partition_lag(name, &partition.text(), writes.len());
        let first = writes.len() - lag.min(writes.len());
        Ok(writes.get(first).copied())
    }
}

struct ItemQuery<'a> {
    schema: &'a TableSchema,
    index: Option<&'a IndexSchema>,
    keys: KeyCondition,
    filter: Option<Condition>,
    projection: Option<Projection>,
    direction: ReadDirection,
    limit: Option<usize>,
    start: Option<StartKey>,
    returns: QueryReturns,
}

/// Where a query goes on.
struct StartKey {
    item: ItemKey,
    /// Its sort key in the index, if an index is read.
    index_sort: Option<KeyValue>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum QueryReturns {
    Items,
    Count,
}

impl<'a> ItemQuery<'a> {
    fn read(call: &CallParameters<'_>, schema: &'a TableSchema) -> Result<Self, DynamoError> {
        let index = call.text("IndexName")?.map(|name| schema.index(name)).transpose()?;
        if index.is_some() && call.switch("ConsistentRead")? == Some(true) {
            return Err(invalid("Consistent reads are not supported on global secondary indexes"));
        }
        let key_schema = index.map_or(&schema.keys, |index| &index.keys);
        let mut placeholders = Placeholders::read(call.body())?;
        let expression = call.required_text("KeyConditionExpression")?;
        let keys = KeyCondition::parse(expression, &mut placeholders, key_schema)?;
        let filter = call.condition("FilterExpression", &mut placeholders)?;
        let projection = projection(call, &mut placeholders)?;
        placeholders.check_all_used()?;
        let attributes = filter.iter().flat_map(Condition::attributes);
        if let Some(key) = attributes.into_iter().find(|name| key_schema.contains(name)) {
            return Err(invalid(format!(
                "Filter Expression can only contain non-primary key attributes: Primary key \
                 attribute: {key}"
            )));
        }
        let query = Self {
            schema,
            index,
            filter,
            projection,
            direction: match call.switch("ScanIndexForward")?.unwrap_or(true) {
                true => ReadDirection::Forward,
                false => ReadDirection::Backward,
            },
            limit: call.limit()?,
            start: start_key(call, schema, index, &keys)?,
            returns: call
                .one_of("Select", &[("COUNT", QueryReturns::Count)])?
                .unwrap_or(QueryReturns::Items),
            keys,
        };
        query.check_projected()?;
        Ok(query)
    }

    /// Refuses attributes that the index does not have.
    fn check_projected(&self) -> Result<(), DynamoError> {
        let (Some(index), Some(projection)) = (self.index, &self.projection) else {
            return Ok(());
        };
        let is_there = |name: &String| {
            index.projection == IndexProjection::All
                || index.keys.contains(name)
                || self.schema.keys.contains(name)
        };
        let missing = projection.0.iter().find(|name| !is_there(name));
        missing.map_or(Ok(()), |name| {
            Err(invalid(format!(
                "One or more parameter values were invalid: Global secondary index {} does not \
                 project [{name}]",
                index.name
            )))
        })
    }

    /// The key after which the next page begins.
    fn key_of(&self, item: &StoredAttributes) -> StoredAttributes {
        let names = self.schema.keys.attributes();
        let names = names.chain(self.index.into_iter().flat_map(|index| index.keys.attributes()));
        let kept = |name: &String| Some((name.clone(), item.get(name)?.clone()));
        names.filter_map(|attribute| kept(&attribute.name)).collect()
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum PageState {
    Open,
    Full,
}

/// The items of one answer.
#[derive(Debug, Default)]
struct QueryPage {
    items: Vec<Value>,
    count: usize,
    scanned: usize,
    bytes: usize,
    last: Option<Arc<StoredAttributes>>,
    /// Items may come after the last one.
    is_cut: bool,
}

impl QueryPage {
    /// The limits count items before the filter. An item that would exceed the bytes is left for
    /// the next page. A page at its limit is cut, even if nothing follows: DynamoDB does not look.
    fn add(&mut self, query: &ItemQuery<'_>, item: Arc<StoredAttributes>) -> PageState {
        let bytes = self.bytes + item_size(&item);
        if bytes > PAGE_BYTES_MAX && self.scanned > 0 {
            self.is_cut = true;
            return PageState::Full;
        }
        self.bytes = bytes;
        self.scanned += 1;
        if query.filter.as_ref().is_none_or(|filter| filter.is_met(&item)) {
            self.count += 1;
            if query.returns == QueryReturns::Items {
                self.items.push(match &query.projection {
                    Some(projection) => item_json(&projection.of(&item)),
                    None => item_json(&item),
                });
            }
        }
        self.last = Some(item);
        self.is_cut = query.limit.is_some_and(|limit| self.scanned >= limit);
        if self.is_cut { PageState::Full } else { PageState::Open }
    }

    fn answer(self, query: &ItemQuery<'_>) -> Value {
        let mut answer = json!({"Count": self.count, "ScannedCount": self.scanned});
        if query.returns == QueryReturns::Items {
            answer["Items"] = Value::Array(self.items);
        }
        if let Some(last) = self.last.filter(|_| self.is_cut) {
            answer["LastEvaluatedKey"] = item_json(&query.key_of(&last));
        }
        answer
    }
}

fn projection(
    call: &CallParameters<'_>,
    placeholders: &mut Placeholders,
) -> Result<Option<Projection>, DynamoError> {
    let expression = call.text("ProjectionExpression")?;
    expression.map(|expression| Projection::parse(expression, placeholders)).transpose()
}

fn projected(
    schema: &TableSchema,
    index: &IndexSchema,
    item: &Arc<StoredAttributes>,
) -> Arc<StoredAttributes> {
    match index.projection {
        IndexProjection::All => Arc::clone(item),
        IndexProjection::KeysOnly => {
            let is_key = |name: &str| schema.keys.contains(name) || index.keys.contains(name);
            let kept = item.iter().filter(|(name, _)| is_key(name));
            Arc::new(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
    }
}

fn start_key(
    call: &CallParameters<'_>,
    schema: &TableSchema,
    index: Option<&IndexSchema>,
    keys: &KeyCondition,
) -> Result<Option<StartKey>, DynamoError> {
    if call.body()["ExclusiveStartKey"].is_null() {
        return Ok(None);
    }
    let start = call.item("ExclusiveStartKey")?;
    let mismatch = || {
        invalid(
            "The provided starting key is invalid: The provided key element does not match the \
             schema",
        )
    };
    let is_key = |name: &String| {
        schema.keys.contains(name) || index.is_some_and(|index| index.keys.contains(name))
    };
    if !start.keys().all(is_key) {
        return Err(mismatch());
    }
    let item = schema.keys.key_of_item(&start).map_err(|_| mismatch())?;
    let place = match index {
        Some(index) => index.keys.key_of_item(&start).map_err(|_| mismatch())?,
        None => item.clone(),
    };
    let is_in_range = place.sort.as_ref().is_none_or(|sort| keys.sort.contains(sort));
    if place.partition != keys.partition || !is_in_range {
        return Err(invalid(
            "The provided starting key is outside query boundaries based on provided conditions",
        ));
    }
    Ok(Some(StartKey { item, index_sort: index.and(place.sort) }))
}
