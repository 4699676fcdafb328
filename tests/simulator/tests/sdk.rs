//! Calls as values, sent through the real SDK, and their outcomes in comparable form.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, Select, TransactWriteItem};
use tollgate_simulator::connector::MemoryConnector;

pub(crate) type SdkItem = HashMap<String, AttributeValue>;

#[derive(Clone, Debug)]
pub(crate) enum SdkCall {
    Get(GetCall),
    Query(QueryCall),
    Write(Box<TransactWriteItem>, ReturnValue),
    Transact(Vec<TransactWriteItem>, Option<String>),
}

#[derive(Clone, Debug)]
pub(crate) struct GetCall {
    pub(crate) table: String,
    pub(crate) key: SdkItem,
    pub(crate) consistent: bool,
    pub(crate) projection: Option<String>,
    pub(crate) names: Option<HashMap<String, String>>,
}

#[derive(Clone, Debug)]
pub(crate) struct QueryCall {
    pub(crate) table: String,
    pub(crate) index: Option<String>,
    pub(crate) keys: String,
    pub(crate) filter: Option<String>,
    pub(crate) projection: Option<String>,
    pub(crate) names: Option<HashMap<String, String>>,
    pub(crate) values: Option<SdkItem>,
    pub(crate) consistent: bool,
    pub(crate) forward: bool,
    pub(crate) limit: Option<i32>,
    pub(crate) start: Option<SdkItem>,
    pub(crate) select: Option<Select>,
}

/// Maps in an order, so that equal outcomes are also printed equally.
pub(crate) type OrderedItem = BTreeMap<String, String>;

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) error: Option<String>,
    pub(crate) items: Vec<OrderedItem>,
    pub(crate) counts: Option<(i32, i32)>,
    pub(crate) last_key: Option<OrderedItem>,
    pub(crate) reasons: Vec<(String, Option<OrderedItem>)>,
}

/// The outcome, and what it leaves out: the error's message, and where a query goes on.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) outcome: Outcome,
    pub(crate) message: String,
    pub(crate) last_key: Option<SdkItem>,
}

pub(crate) fn client(connector: &MemoryConnector) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url("http://memory")
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "dummy"))
        .http_client(connector.client())
        .retry_config(RetryConfig::disabled());
    Client::from_conf(config.build())
}

pub(crate) fn ordered(item: &SdkItem) -> OrderedItem {
    item.iter().map(|(name, value)| (name.clone(), printed(value))).collect()
}

fn printed(value: &AttributeValue) -> String {
    match value {
        AttributeValue::M(map) => format!("M({:?})", ordered(map)),
        AttributeValue::L(list) => format!("L({:?})", list.iter().map(printed).collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}

impl SdkCall {
    pub(crate) async fn send(&self, client: &Client) -> Answered {
        match self {
            Self::Get(call) => call.send(client).await,
            Self::Query(call) => call.send(client).await,
            Self::Write(write, returns) => send_write(client, write, returns).await,
            Self::Transact(writes, token) => {
                let call = client
                    .transact_write_items()
                    .set_transact_items(Some(writes.clone()))
                    .set_client_request_token(token.clone());
                match call.send().await {
                    Ok(_) => Answered::default(),
                    Err(error) => canceled(&error),
                }
            }
        }
    }
}

impl GetCall {
    async fn send(&self, client: &Client) -> Answered {
        let call = client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(self.key.clone()))
            .consistent_read(self.consistent)
            .set_projection_expression(self.projection.clone())
            .set_expression_attribute_names(self.names.clone());
        match call.send().await {
            Ok(answer) => with_item(answer.item.as_ref()),
            Err(error) => refused(&error, None),
        }
    }
}

impl QueryCall {
    async fn send(&self, client: &Client) -> Answered {
        let call = client
            .query()
            .table_name(&self.table)
            .set_index_name(self.index.clone())
            .key_condition_expression(&self.keys)
            .set_filter_expression(self.filter.clone())
            .set_projection_expression(self.projection.clone())
            .set_expression_attribute_names(self.names.clone())
            .set_expression_attribute_values(self.values.clone())
            .consistent_read(self.consistent)
            .scan_index_forward(self.forward)
            .set_limit(self.limit)
            .set_exclusive_start_key(self.start.clone())
            .set_select(self.select.clone());
        match call.send().await {
            Ok(answer) => Answered {
                outcome: Outcome {
                    items: answer.items().iter().map(ordered).collect(),
                    counts: Some((answer.count, answer.scanned_count)),
                    last_key: answer.last_evaluated_key.as_ref().map(ordered),
                    ..Outcome::default()
                },
                last_key: answer.last_evaluated_key,
                ..Answered::default()
            },
            Err(error) => refused(&error, None),
        }
    }
}

async fn send_write(client: &Client, write: &TransactWriteItem, returns: &ReturnValue) -> Answered {
    let returns = returns.clone();
    if let Some(put) = write.put.clone() {
        let call = client
            .put_item()
            .table_name(put.table_name)
            .set_item(Some(put.item))
            .set_condition_expression(put.condition_expression)
            .set_expression_attribute_names(put.expression_attribute_names)
            .set_expression_attribute_values(put.expression_attribute_values)
            .set_return_values_on_condition_check_failure(
                put.return_values_on_condition_check_failure,
            )
            .return_values(returns);
        return match call.send().await {
            Ok(answer) => with_item(answer.attributes.as_ref()),
            Err(error) => {
                let item = match error.as_service_error() {
                    Some(PutItemError::ConditionalCheckFailedException(it)) => it.item(),
                    _ => None,
                };
                refused(&error, item)
            }
        };
    }
    if let Some(update) = write.update.clone() {
        let call = client
            .update_item()
            .table_name(update.table_name)
            .set_key(Some(update.key))
            .update_expression(update.update_expression)
            .set_condition_expression(update.condition_expression)
            .set_expression_attribute_names(update.expression_attribute_names)
            .set_expression_attribute_values(update.expression_attribute_values)
            .set_return_values_on_condition_check_failure(
                update.return_values_on_condition_check_failure,
            )
            .return_values(returns);
        return match call.send().await {
            Ok(answer) => with_item(answer.attributes.as_ref()),
            Err(error) => {
                let item = match error.as_service_error() {
                    Some(UpdateItemError::ConditionalCheckFailedException(it)) => it.item(),
                    _ => None,
                };
                refused(&error, item)
            }
        };
    }
    let delete = write.delete.clone().expect("a single write puts, updates or deletes");
    let call = client
        .delete_item()
        .table_name(delete.table_name)
        .set_key(Some(delete.key))
        .set_condition_expression(delete.condition_expression)
        .set_expression_attribute_names(delete.expression_attribute_names)
        .set_expression_attribute_values(delete.expression_attribute_values)
        .set_return_values_on_condition_check_failure(
            delete.return_values_on_condition_check_failure,
        )
        .return_values(returns);
    match call.send().await {
        Ok(answer) => with_item(answer.attributes.as_ref()),
        Err(error) => {
            let item = match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(it)) => it.item(),
                _ => None,
            };
            refused(&error, item)
        }
    }
}

fn with_item(item: Option<&SdkItem>) -> Answered {
    // An empty map and none are the same to DynamoDB's callers.
    let items = item.filter(|item| !item.is_empty()).map(ordered).into_iter().collect();
    Answered { outcome: Outcome { items, ..Outcome::default() }, ..Answered::default() }
}

fn refused<E: ProvideErrorMetadata + std::fmt::Debug>(
    error: &SdkError<E>,
    item: Option<&SdkItem>,
) -> Answered {
    let code = error.code().map_or_else(|| format!("{error:?}"), str::to_owned);
    let mut answered = with_item(item);
    answered.outcome.error = Some(code);
    answered.message = error.message().unwrap_or_default().to_owned();
    answered
}

fn canceled(error: &SdkError<TransactWriteItemsError>) -> Answered {
    let mut answered = refused(error, None);
    if let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
        error.as_service_error()
    {
        let reason = |reason: &aws_sdk_dynamodb::types::CancellationReason| {
            let item = reason.item().filter(|item| !item.is_empty()).map(ordered);
            (reason.code().unwrap_or("None").to_owned(), item)
        };
        answered.outcome.reasons = canceled.cancellation_reasons().iter().map(reason).collect();
    }
    answered
}
