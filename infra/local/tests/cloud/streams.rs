//! Writes to a table reach the function of its stream, in order.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tollgate_local::Cloud;

use crate::world::{cloud, get, got, post, tables};

async fn put(cloud: &Cloud, seq: u32, text: &str) {
    let put = tables(cloud).put_item().table_name("test-ledger");
    put.item("account", AttributeValue::S("acme".to_owned()))
        .item("seq", AttributeValue::N(seq.to_string()))
        .item("body", AttributeValue::S(format!("{{\"text\": \"{text}\"}}")))
        .send()
        .await
        .unwrap();
}

/// The sequence of `seq` the function got, batch by batch.
fn batches(cloud: &Cloud) -> Vec<Vec<String>> {
    let seq = |record: &Value| record["dynamodb"]["Keys"]["seq"]["N"].as_str().unwrap().to_owned();
    got(cloud, "publisher")
        .iter()
        .map(|batch| batch["Records"].as_array().unwrap().iter().map(seq).collect())
        .collect()
}

#[tokio::test]
async fn a_row_reaches_the_function_with_its_images() {
    let cloud = cloud().await;
    put(&cloud, 0, "first").await;
    cloud.idle().await;
    let [batch] = got(&cloud, "publisher").try_into().unwrap();
    let record = &batch["Records"][0];
    assert_eq!(
        (&record["eventName"], &record["eventSource"]),
        (&json!("INSERT"), &json!("aws:dynamodb"))
    );
    assert_eq!(record["dynamodb"]["NewImage"]["account"]["S"], "acme");
    assert_eq!(record["dynamodb"]["ApproximateCreationDateTime"], 1_793_535_000);
    assert!(
        record["eventSourceARN"]
            .as_str()
            .unwrap()
            .starts_with("arn:aws:dynamodb:us-east-1:000000000000:table/test-ledger/stream/")
    );
    let rows = get(&cloud, "/local/ledger/acme").await.json();
    assert_eq!(rows["rows"], json!([{"account": "acme", "seq": 0, "body": {"text": "first"}}]));
}

#[tokio::test]
async fn records_that_no_filter_wants_are_skipped() {
    let cloud = cloud().await;
    put(&cloud, 0, "first").await;
    cloud.idle().await;
    put(&cloud, 0, "changed").await;
    put(&cloud, 1, "second").await;
    cloud.idle().await;
    assert_eq!(batches(&cloud).concat(), ["0", "1"]);
}

#[tokio::test]
async fn a_batch_goes_on_where_the_function_says_it_failed() {
    let cloud = cloud().await;
    let hold = json!({"fault": "fail", "delivery": "stream"});
    post(&cloud, "/local/faults", &hold).await;
    put(&cloud, 0, "a").await;
    cloud.idle().await;
    for (seq, text) in [(1, "b"), (2, "wrong"), (3, "c")] {
        put(&cloud, seq, text).await;
    }
    cloud.advance(Duration::from_secs(600)).await;
    let batches = batches(&cloud);
    // In the end the bad record is retried alone and given up after its retries, and the following
    // records continue.
    assert_eq!(batches.first().unwrap(), &["0", "1", "2", "3"]);
    assert!(batches.iter().filter(|batch| batch.as_slice() == ["2"]).count() >= 3, "{batches:?}");
    assert_eq!(batches.last().unwrap(), &["3"]);
    let dead = cloud.dead_letters();
    let record = &dead["queues"]["stream-dead"][0]["body"];
    assert_eq!(record["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(record["DDBStreamBatchInfo"]["batchSize"], 1);
}

#[tokio::test]
async fn failing_record_blocks_its_shard_until_given_up() {
    let cloud = cloud().await;
    put(&cloud, 0, "poison").await;
    cloud.idle().await;
    put(&cloud, 1, "fine").await;
    cloud.idle().await;
    assert_eq!(batches(&cloud), [["0"]]);
    cloud.advance(Duration::from_secs(60)).await;
    assert_eq!(batches(&cloud).last().unwrap(), &["1"]);
    assert_eq!(cloud.dead_letters()["count"], 1, "{} {:?}", cloud.dead_letters(), cloud.runs(0));
}

#[tokio::test]
async fn stream_deliveries_are_doubled_and_delayed_on_demand() {
    let cloud = cloud().await;
    post(&cloud, "/local/faults", &json!({"fault": "duplicate", "delivery": "stream"})).await;
    put(&cloud, 0, "a").await;
    cloud.idle().await;
    assert_eq!(batches(&cloud), [["0"], ["0"]]);
    post(&cloud, "/local/faults", &json!({"fault": "delay", "delivery": "stream", "by": "10m"}))
        .await;
    put(&cloud, 1, "b").await;
    cloud.advance(Duration::from_secs(599)).await;
    assert_eq!(batches(&cloud).len(), 2);
    cloud.advance(Duration::from_secs(1)).await;
    assert_eq!(batches(&cloud).len(), 3);
}
