//! The in-memory DynamoDB answers like the embedded engine (or, with `AWS_ENDPOINT_URL_DYNAMODB`,
//! like AWS's own DynamoDB Local), through the real SDK.

use std::collections::BTreeMap;
use std::env;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use serde_json::{Value, json};
use time::UtcDateTime;
use tollgate_simulator::connector::MemoryConnector;
use tollgate_simulator::dynamodb::{MemoryDynamoDb, TableSchema};
use tollgate_tests::dynamodb::{DynamoDb, Tables};
use tollgate_tests::template::TestTemplate;

use crate::generator::Generator;
use crate::sdk::{Answered, Outcome, SdkCall, SdkItem, client, ordered};

/// Each with its own tables, so that they can be compared at the same time.
const WORLDS: u64 = 4;
const CALLS_PER_WORLD: usize = 2_500;

/// The tables of the template under the names that `stage` gives them.
pub(crate) fn schemas(stage: &str) -> Vec<TableSchema> {
    let parameters = BTreeMap::from([("Stage", stage)]);
    let tables = TestTemplate::of_this_repository().resources("AWS::DynamoDB::Table", &parameters);
    let schema = |(_, properties): &(String, _)| TableSchema::from_cloudformation(properties);
    tables.iter().map(schema).collect::<Result<_, _>>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_calls_have_the_answers_of_the_engine() {
    let seed = env::var("TOLLGATE_COMPARISON_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed: u64 = seed.unwrap_or(1);
    let worlds = (0..WORLDS).map(|world| tokio::spawn(compare(seed.wrapping_add(world))));
    let mut errors = BTreeMap::<String, usize>::new();
    for world in worlds.collect::<Vec<_>>() {
        for (error, count) in world.await.unwrap() {
            *errors.entry(error).or_default() += count;
        }
    }
    println!("{errors:?}");
    // The calls met what they are there to meet.
    for error in ["none", "ConditionalCheckFailedException", "TransactionCanceledException"] {
        assert!(errors.get(error).is_some_and(|count| *count > 200), "{error}: {errors:?}");
    }
}

async fn compare(seed: u64) -> BTreeMap<String, usize> {
    let engine = DynamoDb::start();
    let engine_client = engine.client();
    let tables = Tables::create(&engine_client, &TestTemplate::of_this_repository()).await;
    let stage = tables.ledger().split('-').nth(1).unwrap();
    let memory = MemoryConnector::new(MemoryDynamoDb::new(schemas(stage)), UtcDateTime::UNIX_EPOCH);
    let memory_client = client(&memory);
    let mut generator = Generator::new(seed, tables.ledger(), tables.accounts());
    let mut errors = BTreeMap::<String, usize>::new();
    for number in 0..CALLS_PER_WORLD {
        let call = generator.call();
        let expected = call.send(&engine_client).await;
        let actual = call.send(&memory_client).await;
        assert!(
            actual.outcome == expected.outcome || engine_deviates(&call, &expected, &actual),
            "call {number} of world {seed}: {call:?}\nmemory: {actual:?}\nengine: {expected:?}"
        );
        if let (SdkCall::Query(query), Some(last)) = (call, expected.last_key) {
            generator.cut = Some((query, last));
        }
        let error = expected.outcome.error.unwrap_or_else(|| "none".to_owned());
        *errors.entry(error).or_default() += 1;
    }
    for table in [tables.ledger(), tables.accounts()] {
        let mut expected = scan(&engine_client, table).await;
        let mut actual = memory.with_database(|database| database.items(table));
        expected.sort_by_key(Value::to_string);
        actual.sort_by_key(Value::to_string);
        assert_eq!(actual, expected, "world {seed}: {table}");
    }
    tables.delete(&engine_client).await;
    errors
}

/// Known deviations of the engine from DynamoDB. The in-memory DynamoDB follows DynamoDB.
fn engine_deviates(call: &SdkCall, expected: &Answered, actual: &Answered) -> bool {
    // An update that creates its item returns nothing as the old item. The engine returns the key.
    if let SdkCall::Write(write, ReturnValue::AllOld) = call
        && let Some(update) = &write.update
        && expected.outcome.items == [ordered(&update.key)]
    {
        return actual.outcome == Outcome::default();
    }
    false
}

async fn scan(client: &Client, table: &str) -> Vec<Value> {
    let pages = client.scan().table_name(table).consistent_read(true).into_paginator().items();
    let items = pages.send().collect::<Result<Vec<_>, _>>().await.unwrap();
    items.iter().map(item_json).collect()
}

fn item_json(item: &SdkItem) -> Value {
    item.iter().map(|(name, value)| (name.clone(), value_json(value))).collect()
}

fn value_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::Bool(value) => json!({"BOOL": value}),
        AttributeValue::Null(value) => json!({"NULL": value}),
        AttributeValue::L(list) => json!({"L": list.iter().map(value_json).collect::<Vec<_>>()}),
        AttributeValue::M(map) => json!({"M": item_json(map)}),
        _ => panic!("{value:?} was never written"),
    }
}
