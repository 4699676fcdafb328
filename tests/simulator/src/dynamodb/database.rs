//! The database: its tables, and the calls that change them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::UtcDateTime;

use super::error::{ActionFailure, DynamoError, DynamoErrorKind, canceled, not_imitated};
use super::history::{ItemState, Staleness, WriteNumber};
use super::locks::TransactionLocks;
use super::read::TableRead;
use super::request::CallParameters;
use super::schema::TableSchema;
use super::stream::{ChangeOrigin, ItemChange};
use super::table::MemoryTable;
use super::transaction::{RequestTokens, TransactionCall, table};
use super::value::{ItemKey, item_json};
use super::write::{WriteAction, WriteKind, parameters, returns};

/// A DynamoDB in memory. Its content depends on nothing but the calls: it has no clock, no
/// randomness and no thread.
#[derive(Clone, Debug)]
pub struct MemoryDynamoDb {
    tables: BTreeMap<String, MemoryTable>,
    locks: TransactionLocks,
    tokens: RequestTokens,
    last_write: WriteNumber,
    conflicts: ConflictPolicy,
}

/// What writes meet on the items of a transaction that is not acknowledged yet.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ConflictPolicy {
    /// They are done, one after the other.
    #[default]
    Ordered,
    /// They are refused with a transaction conflict, as DynamoDB does while it commits.
    Refused,
}

/// The answer to a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DynamoAnswer {
    pub result: Result<Value, DynamoError>,
    /// The write that this call made. `None` if it made none, as with a repeated token.
    pub write: Option<WriteNumber>,
}

impl DynamoAnswer {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.result.as_ref().map_or_else(DynamoError::status, |_| 200)
    }

    /// The body of the response.
    #[must_use]
    pub fn body(&self) -> Value {
        self.result.as_ref().map_or_else(DynamoError::body, Value::clone)
    }
}

/// An item's state before and after a write.
struct ItemWrite {
    table: String,
    key: ItemKey,
    before: ItemState,
    after: ItemState,
    origin: ChangeOrigin,
}

impl MemoryDynamoDb {
    #[must_use]
    pub fn new(tables: Vec<TableSchema>) -> Self {
        let table = |schema: TableSchema| (schema.name.clone(), MemoryTable::new(schema));
        Self {
            tables: tables.into_iter().map(table).collect(),
            locks: TransactionLocks::default(),
            tokens: RequestTokens::default(),
            last_write: WriteNumber(0),
            conflicts: ConflictPolicy::default(),
        }
    }

    pub fn set_conflicts(&mut self, conflicts: ConflictPolicy) {
        self.conflicts = conflicts;
    }

    /// Carries out a call. `operation` is what follows the dot in `X-Amz-Target`, and `now` (UTC)
    /// is DynamoDB's own time.
    ///
    /// A transaction is done when this returns, but reads may still miss it until
    /// [`MemoryDynamoDb::acknowledge`].
    pub fn call(
        &mut self,
        operation: &str,
        body: &Value,
        now: UtcDateTime,
        staleness: &mut dyn Staleness,
    ) -> DynamoAnswer {
        let before = self.last_write;
        let result = match operation {
            "GetItem" => self.read(body, staleness).and_then(|mut read| read.get_item(body)),
            "Query" => self.read(body, staleness).and_then(|mut read| read.query(body)),
            "PutItem" => self.write(operation, body, WriteKind::Put, now),
            "UpdateItem" => self.write(operation, body, WriteKind::Update, now),
            "DeleteItem" => self.write(operation, body, WriteKind::Delete, now),
            "TransactWriteItems" => self.transact(body, now),
            other => Err(not_imitated(format!("the operation {other}"))),
        };
        let write = Some(self.last_write).filter(|last| *last > before);
        DynamoAnswer { result, write }
    }

    /// From now on every read sees all items of this transaction, except for stale replicas and
    /// indexes.
    pub fn acknowledge(&mut self, write: WriteNumber) {
        self.locks.release(write);
    }

    /// Acknowledges every transaction so far.
    pub fn acknowledge_all(&mut self) {
        self.locks.release_all();
    }

    /// The newest write. Zero if there was none.
    #[must_use]
    pub fn last_write(&self) -> WriteNumber {
        self.last_write
    }

    /// Brings every replica and index up to the last write before `write`, and forgets the versions
    /// before it. What an unacknowledged transaction may still hide is kept.
    pub fn forget_versions_before(&mut self, write: WriteNumber) {
        let write = self.locks.oldest().map_or(write, |oldest| oldest.min(write));
        for table in self.tables.values_mut() {
            table.forget_versions_before(write);
        }
    }

    /// The records of a table's stream after a sequence number, or from the oldest on, as Lambda
    /// delivers them. Empty if the table has no stream.
    #[must_use]
    pub fn stream_records(&self, table: &str, after: Option<&str>) -> Vec<Value> {
        let Some(table) = self.tables.get(table) else { return Vec::new() };
        let Some(images) = table.schema.stream else { return Vec::new() };
        table.stream.records_after(&table.schema, images, after)
    }

    /// Forgets the records of a table's stream up to a sequence number, as DynamoDB does after a
    /// day.
    pub fn forget_stream_records(&mut self, table: &str, last: &str) {
        if let Some(table) = self.tables.get_mut(table) {
            table.stream.forget_through(last);
        }
    }

    /// Removes the items of a table that have expired, as DynamoDB does at some time within days.
    /// Items of unacknowledged transactions stay. Returns how many were removed.
    pub fn expire_items(&mut self, name: &str, now: UtcDateTime) -> usize {
        let Some(table) = self.tables.get(name) else { return 0 };
        let is_locked = |key: &ItemKey| self.locks.is_locked(name, key);
        let mut expired = table.expired(now.unix_timestamp());
        expired.retain(|(key, _)| !is_locked(key));
        let count = expired.len();
        for (key, item) in expired {
            let write = self.next_write();
            let (table, origin) = (name.to_owned(), ChangeOrigin::Expiry);
            let removal = ItemWrite { table, key, before: Some(item), after: None, origin };
            self.commit(write, removal, now);
        }
        count
    }

    /// All items of a table as they are now, in the order of their keys. Empty if there is no such
    /// table.
    #[must_use]
    pub fn items(&self, table: &str) -> Vec<Value> {
        let items = self.tables.get(table).into_iter().flat_map(MemoryTable::items);
        items.map(|item| item_json(item)).collect()
    }

    /// All items as they are now. The same bytes for the same content, whatever led to it.
    #[must_use]
    pub fn canonical_dump(&self) -> String {
        let mut dump = String::new();
        for name in self.tables.keys() {
            dump.push_str(&format!("table {name}\n"));
            for item in self.items(name) {
                dump.push_str(&format!("{item}\n"));
            }
        }
        dump
    }

    fn read<'a>(
        &'a mut self,
        body: &Value,
        staleness: &'a mut dyn Staleness,
    ) -> Result<TableRead<'a>, DynamoError> {
        let name = body["TableName"].as_str().unwrap_or_default();
        Ok(TableRead { table: table(&self.tables, name)?, locks: &mut self.locks, staleness })
    }

    fn write(
        &mut self,
        operation: &str,
        body: &Value,
        kind: WriteKind,
        now: UtcDateTime,
    ) -> Result<Value, DynamoError> {
        let call: CallParameters<'_> = parameters(operation, body, kind, &["ReturnValues"])?;
        let name = call.required_text("TableName")?;
        let schema = &table(&self.tables, name)?.schema;
        let returns = returns(&call, kind)?;
        let action = WriteAction::read(&call, kind, schema)?;
        let done = self.attempt(name, &action).map_err(ActionFailure::into_error)?;
        let answer = action.answer(returns, &done.before, &done.after);
        let write = self.next_write();
        self.commit(write, done, now);
        Ok(answer)
    }

    fn transact(&mut self, body: &Value, now: UtcDateTime) -> Result<Value, DynamoError> {
        let call = TransactionCall::read(body)?;
        if let Some(token) = call.token
            && let Some(earlier) = self.tokens.earlier(token, &call, now)?
        {
            if self.conflicts == ConflictPolicy::Refused && self.locks.holds(earlier) {
                return Err(DynamoError::new(
                    DynamoErrorKind::TransactionInProgress,
                    "The transaction with the given request token is already in progress",
                ));
            }
            return Ok(json!({}));
        }
        let actions = call.actions(&self.tables)?;
        let (mut done, mut failures) = (Vec::new(), Vec::new());
        for (name, action) in &actions {
            match self.attempt(name, action) {
                Ok(write) => {
                    done.push(write);
                    failures.push(None);
                }
                Err(failure) => failures.push(Some(failure)),
            }
        }
        if failures.iter().any(Option::is_some) {
            return Err(canceled(failures));
        }
        let write = self.next_write();
        for ((name, action), item) in actions.iter().zip(done) {
            if action.writes() {
                self.commit(write, item, now);
            }
            self.locks.lock(name, &action.key, write);
        }
        self.tokens.note(&call, now, write);
        Ok(json!({}))
    }

    /// What a write would do, without doing it. It meets the newest version, and whatever it meets
    /// is seen from then on.
    fn attempt(&mut self, name: &str, action: &WriteAction) -> Result<ItemWrite, ActionFailure> {
        if self.conflicts == ConflictPolicy::Refused && self.locks.is_locked(name, &action.key) {
            return Err(ActionFailure::Conflict);
        }
        self.locks.reveal(name, &action.key);
        let table =
            table(&self.tables, name).map_err(|error| ActionFailure::Invalid(error.message))?;
        let before = table.newest(&action.key);
        let after = action.outcome(&table.schema, &before)?;
        let (table, key) = (name.to_owned(), action.key.clone());
        Ok(ItemWrite { table, key, before, after, origin: ChangeOrigin::Caller })
    }

    /// A write that changes nothing leaves no version and no record of the stream.
    fn commit(&mut self, write: WriteNumber, done: ItemWrite, at: UtcDateTime) {
        let ItemWrite { table, key, before, after, origin } = done;
        let Some(table) = self.tables.get_mut(&table) else { return };
        if before == after {
            return;
        }
        table.write(&key, write, after.clone());
        if table.schema.stream.is_some() {
            table.stream.push(ItemChange { key, before, after, at, origin });
        }
    }

    fn next_write(&mut self) -> WriteNumber {
        self.last_write = WriteNumber(self.last_write.0 + 1);
        self.last_write
    }
}
