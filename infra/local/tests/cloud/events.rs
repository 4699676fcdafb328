//! EventBridge takes events, finds the rules they match, and delivers.

use std::time::Duration;

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_eventbridge::types::builders::PutEventsRequestEntryBuilder;
use serde_json::json;
use tollgate_local::Cloud;

use crate::world::{bus, cloud, got, post};

fn entry(detail_type: &str, detail: &str) -> PutEventsRequestEntryBuilder {
    PutEventsRequestEntry::builder()
        .event_bus_name("test-bus")
        .source("test")
        .detail_type(detail_type)
        .detail(detail)
}

async fn put(cloud: &Cloud, detail_type: &str, detail: &str) {
    let answer =
        bus(cloud).put_events().entries(entry(detail_type, detail).build()).send().await.unwrap();
    assert_eq!(answer.failed_entry_count(), 0, "{answer:?}");
}

fn copies(cloud: &Cloud) -> usize {
    let prefix = "test-bus";
    cloud
        .events()
        .iter()
        .filter(|event| event.bus == prefix && event.rules.contains(&"CopyRule".to_owned()))
        .count()
}

#[tokio::test]
async fn an_event_reaches_every_target_of_the_rules_it_matches() {
    let cloud = cloud().await;
    put(&cloud, "Do", "{\"n\": 2}").await;
    put(&cloud, "Other", "{\"n\": 0}").await;
    cloud.idle().await;

    let [event] = got(&cloud, "worker").try_into().unwrap();
    assert_eq!(event["detail-type"], "Do");
    assert_eq!(event["time"], "2026-11-01T12:10:00Z");
    assert_eq!(event["detail"], json!({"n": 2}));
    let queues = queues(&cloud).await;
    assert_eq!(queues["copies"][0]["body"], json!({"n": 2, "rule": "CopyRule"}));
    assert_eq!(queues["copies"].as_array().unwrap().len(), 1);
    let rules: Vec<_> = cloud.events().iter().map(|event| event.rules.clone()).collect();
    assert_eq!(rules, [vec!["WorkerAsked".to_owned(), "CopyRule".to_owned()], vec![]]);
}

async fn queues(cloud: &Cloud) -> serde_json::Value {
    crate::world::get(cloud, "/local/queues").await.json()["queues"].clone()
}

#[tokio::test]
async fn an_entry_that_is_wrong_is_refused_alone() {
    let cloud = cloud().await;
    let answer = bus(&cloud)
        .put_events()
        .entries(entry("Do", "{}").build())
        .entries(entry("Do", "[]").build())
        .entries(entry("Do", "{").build())
        .entries(entry("Do", "{}").source("aws.s3").build())
        .entries(entry("Do", "{}").event_bus_name("nowhere").build())
        .entries(PutEventsRequestEntry::builder().source("test").detail("{}").build())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.failed_entry_count(), 5);
    let codes: Vec<_> =
        answer.entries().iter().map(|entry| entry.error_code().unwrap_or("ok")).collect();
    assert_eq!(
        codes,
        [
            "ok",
            "MalformedDetail",
            "MalformedDetail",
            "NotAuthorizedForSourceException",
            "ResourceNotFoundException",
            "InvalidArgument"
        ]
    );
    cloud.idle().await;
    assert_eq!(cloud.events().len(), 1);
}

#[tokio::test]
async fn request_with_too_many_bytes_or_entries_is_refused() {
    let cloud = cloud().await;
    let bus = bus(&cloud);
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(256 * 1024));
    let error = bus
        .put_events()
        .entries(entry("Do", &large).build())
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert_eq!(error.meta().code(), Some("ValidationException"));
    let entries = (0..11).map(|_| entry("Do", "{}").build()).collect();
    let error =
        bus.put_events().set_entries(Some(entries)).send().await.unwrap_err().into_service_error();
    assert_eq!(error.meta().code(), Some("ValidationException"));
}

#[tokio::test]
async fn failed_delivery_is_retried_and_then_dead_lettered() {
    let cloud = cloud().await;
    let fault = json!({"fault": "fail", "delivery": "target", "name": "copies", "times": 3});
    assert_eq!(post(&cloud, "/local/faults", &fault).await.status, 200);
    put(&cloud, "Other", "{\"n\": 1}").await;
    cloud.advance(Duration::from_secs(60)).await;
    assert_eq!(queues(&cloud).await["copies"].as_array().unwrap().len(), 1);
    assert_eq!(cloud.dead_letters()["count"], 0);

    let fault = json!({"fault": "fail", "delivery": "target", "name": "copies", "times": 0});
    assert_eq!(post(&cloud, "/local/faults", &fault).await.status, 200);
    put(&cloud, "Other", "{\"n\": 2}").await;
    cloud.advance(Duration::from_secs(3600)).await;
    let dead = &cloud.dead_letters()["queues"]["rule-dead"][0];
    assert_eq!(dead["body"]["detail"]["n"], 2);
    assert_eq!(dead["attributes"]["RETRY_ATTEMPTS"]["StringValue"], "3");
    assert_eq!(copies(&cloud), 2);
}

#[tokio::test]
async fn deliveries_are_dropped_doubled_and_delayed_on_demand() {
    let cloud = cloud().await;
    for (fault, expected) in [
        (json!({"fault": "drop", "delivery": "event", "name": "Do"}), 0),
        (json!({"fault": "duplicate", "delivery": "put-events", "name": "Do"}), 2),
        (json!({"fault": "duplicate", "delivery": "event", "name": "Do"}), 2),
        (json!({"fault": "drop", "delivery": "event", "name": "Do", "nth": 2}), 1),
    ] {
        post(&cloud, "/local/faults", &json!({"clear": true})).await;
        assert_eq!(post(&cloud, "/local/faults", &fault).await.status, 200);
        let before = got(&cloud, "worker").len();
        put(&cloud, "Do", "{}").await;
        cloud.idle().await;
        assert_eq!(got(&cloud, "worker").len() - before, expected, "{fault}");
    }
    post(&cloud, "/local/faults", &json!({"clear": true})).await;
    post(&cloud, "/local/faults", &json!({"fault": "delay", "delivery": "event", "by": "5m"}))
        .await;
    let before = got(&cloud, "worker").len();
    put(&cloud, "Do", "{}").await;
    cloud.advance(Duration::from_secs(299)).await;
    assert_eq!(got(&cloud, "worker").len(), before);
    cloud.advance(Duration::from_secs(1)).await;
    assert_eq!(got(&cloud, "worker").len(), before + 1);
}
