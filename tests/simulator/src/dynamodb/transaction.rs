//! `TransactWriteItems`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use time::{Duration, UtcDateTime};

use super::error::{DynamoError, DynamoErrorKind, invalid, not_imitated};
use super::history::WriteNumber;
use super::request::CallParameters;
use super::table::MemoryTable;
use super::write::{WriteAction, WriteKind, parameters};

const ACTIONS_MAX: usize = 100;
const BYTES_MAX: usize = 4 * 1024 * 1024;
const TOKEN_LENGTH_MAX: usize = 36;

/// How long DynamoDB knows a token again.
const TOKEN_LIFE: Duration = Duration::minutes(10);

/// The parts of a call, before its actions are read.
#[derive(Debug)]
pub(super) struct TransactionCall<'a> {
    pub(super) token: Option<&'a str>,
    items: &'a [Value],
}

impl<'a> TransactionCall<'a> {
    pub(super) fn read(body: &'a Value) -> Result<Self, DynamoError> {
        let known = ["TransactItems", "ClientRequestToken"];
        let call = CallParameters::read("TransactWriteItems", body, &known)?;
        let token = call.text("ClientRequestToken")?;
        if token.is_some_and(|token| token.is_empty() || token.len() > TOKEN_LENGTH_MAX) {
            return Err(invalid("Value at 'clientRequestToken' has a wrong length"));
        }
        let items = call.list("TransactItems")?;
        if items.is_empty() || items.len() > ACTIONS_MAX {
            return Err(invalid(format!(
                "Value at 'transactItems' failed to satisfy constraint: {} actions instead of 1 to \
                 {ACTIONS_MAX}",
                items.len()
            )));
        }
        Ok(Self { token, items })
    }

    /// The actions, each with the name of its table.
    pub(super) fn actions(
        &self,
        tables: &BTreeMap<String, MemoryTable>,
    ) -> Result<Vec<(String, WriteAction)>, DynamoError> {
        let actions: Vec<_> =
            self.items.iter().map(|item| action(item, tables)).collect::<Result<_, _>>()?;
        let mut targets = BTreeSet::new();
        if !actions.iter().all(|(table, action)| targets.insert((table, &action.key))) {
            return Err(invalid(
                "Transaction request cannot include multiple operations on one item",
            ));
        }
        let bytes: usize = actions.iter().map(|(_, action)| action.request_bytes()).sum();
        if bytes > BYTES_MAX {
            return Err(invalid(
                "Collection size of items exceeded, which can also be caused by the aggregate size \
                 of the items in the transaction exceeding the 4MB limit",
            ));
        }
        Ok(actions)
    }
}

fn action(
    item: &Value,
    tables: &BTreeMap<String, MemoryTable>,
) -> Result<(String, WriteAction), DynamoError> {
    let names = WriteKind::IN_TRANSACTIONS.map(|(name, _)| name);
    CallParameters::read("an action of TransactWriteItems", item, &names)?;
    let mut found =
        WriteKind::IN_TRANSACTIONS.into_iter().filter(|(name, _)| !item[name].is_null());
    let (Some((name, kind)), None) = (found.next(), found.next()) else {
        return Err(invalid("TransactItems can only contain one of Check, Put, Update or Delete"));
    };
    let call = parameters(name, &item[name], kind, &[])?;
    let table_name = call.required_text("TableName")?;
    if kind == WriteKind::Update {
        call.required_text("UpdateExpression")?;
    }
    let schema = &table(tables, table_name)?.schema;
    Ok((table_name.to_owned(), WriteAction::read(&call, kind, schema)?))
}

pub(super) fn table<'a>(
    tables: &'a BTreeMap<String, MemoryTable>,
    name: &str,
) -> Result<&'a MemoryTable, DynamoError> {
    if name.starts_with("arn:") {
        return Err(not_imitated("a table named by its ARN"));
    }
    tables.get(name).ok_or_else(|| {
        DynamoError::new(DynamoErrorKind::ResourceNotFound, "Requested resource not found")
    })
}

/// The transactions of the last ten minutes, by `ClientRequestToken`.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestTokens(BTreeMap<String, TokenUse>);

#[derive(Clone, Debug)]
struct TokenUse {
    at: UtcDateTime,
    actions: Vec<Value>,
    write: WriteNumber,
}

impl RequestTokens {
    /// The earlier transaction with this token.
    ///
    /// # Errors
    /// If it had other actions.
    pub(super) fn earlier(
        &mut self,
        token: &str,
        call: &TransactionCall<'_>,
        now: UtcDateTime,
    ) -> Result<Option<WriteNumber>, DynamoError> {
        self.0.retain(|_, used| now - used.at < TOKEN_LIFE);
        let Some(used) = self.0.get(token) else { return Ok(None) };
        if used.actions != call.items {
            return Err(DynamoError::new(
                DynamoErrorKind::IdempotentParameterMismatch,
                "The provided client token was already used with different parameters",
            ));
        }
        Ok(Some(used.write))
    }

    pub(super) fn note(&mut self, call: &TransactionCall<'_>, at: UtcDateTime, write: WriteNumber) {
        let Some(token) = call.token else { return };
        self.0.insert(token.to_owned(), TokenUse { at, actions: call.items.to_vec(), write });
    }
}
