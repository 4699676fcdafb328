//! Queues deliver their messages to functions, and to other clients on request.

use std::time::Duration;

use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use serde_json::json;
use tollgate_local::Cloud;

use crate::world::{cloud, got, post, queues};

async fn url(cloud: &Cloud, name: &str) -> String {
    queues(cloud).get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap()
}

async fn send(cloud: &Cloud, queue: &str, body: &str) {
    let url = url(cloud, queue).await;
    queues(cloud).send_message().queue_url(url).message_body(body).send().await.unwrap();
}

#[tokio::test]
async fn a_function_gets_a_message_once_it_is_sent() {
    let cloud = cloud().await;
    send(&cloud, "work", "hello").await;
    cloud.idle().await;
    let [batch] = got(&cloud, "consumer").try_into().unwrap();
    let record = &batch["Records"][0];
    assert_eq!(record["body"], "hello");
    assert_eq!(record["md5OfBody"], "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(record["eventSourceARN"], "arn:aws:sqs:us-east-1:000000000000:work");
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    cloud.advance(Duration::from_secs(3600)).await;
    assert_eq!(got(&cloud, "consumer").len(), 1);
}

#[tokio::test]
async fn only_messages_reported_as_failed_are_redelivered() {
    let cloud = cloud().await;
    let entries = ["good", "wrong", "fine"].iter().enumerate().map(|(place, body)| {
        SendMessageBatchRequestEntry::builder()
            .id(place.to_string())
            .message_body(*body)
            .build()
            .unwrap()
    });
    let (client, url) = (queues(&cloud), url(&cloud, "work").await);
    let answer = client
        .send_message_batch()
        .queue_url(&url)
        .set_entries(Some(entries.collect()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.successful().len(), 3);
    cloud.idle().await;
    let records = |batch: &serde_json::Value| batch["Records"].as_array().unwrap().len();
    assert_eq!(got(&cloud, "consumer").iter().map(records).sum::<usize>(), 3);
    cloud.advance(Duration::from_secs(59)).await;
    assert_eq!(got(&cloud, "consumer").iter().map(records).sum::<usize>(), 3);
    cloud.advance(Duration::from_secs(1)).await;
    assert_eq!(got(&cloud, "consumer").iter().map(records).sum::<usize>(), 4);
    cloud.advance(Duration::from_secs(600)).await;
    assert_eq!(got(&cloud, "consumer").iter().map(records).sum::<usize>(), 5);
    let dead = cloud.dead_letters();
    assert_eq!((&dead["count"], &dead["queues"]["dead"][0]["body"]), (&json!(1), &json!("wrong")));
}

#[tokio::test]
async fn a_batch_whose_function_fails_comes_again_as_a_whole() {
    let cloud = cloud().await;
    send(&cloud, "work", "poison").await;
    cloud.advance(Duration::from_secs(3600)).await;
    assert_eq!(got(&cloud, "consumer").len(), 3);
    assert_eq!(cloud.dead_letters()["queues"]["dead"][0]["body"], "poison");
}

#[tokio::test]
async fn received_message_is_hidden_until_its_timeout_or_deletion() {
    let cloud = cloud().await;
    let (client, url) = (queues(&cloud), url(&cloud, "copies").await);
    send(&cloud, "copies", "one").await;
    let receive = || async {
        client.receive_message().queue_url(&url).send().await.unwrap().messages.unwrap_or_default()
    };
    let first = receive().await;
    assert_eq!(first[0].body(), Some("one"));
    assert!(receive().await.is_empty());
    cloud.advance(Duration::from_secs(30)).await;
    let second = receive().await;
    assert_eq!(second[0].message_id(), first[0].message_id());
    assert_ne!(second[0].receipt_handle(), first[0].receipt_handle());

    let change = client
        .change_message_visibility()
        .queue_url(&url)
        .receipt_handle(second[0].receipt_handle().unwrap());
    change.visibility_timeout(0).send().await.unwrap();
    let third = receive().await;
    client
        .delete_message()
        .queue_url(&url)
        .receipt_handle(third[0].receipt_handle().unwrap())
        .send()
        .await
        .unwrap();
    cloud.advance(Duration::from_secs(60)).await;
    assert!(receive().await.is_empty());
}

#[tokio::test]
async fn a_queue_says_how_much_is_in_it_and_can_be_emptied() {
    let cloud = cloud().await;
    let (client, url) = (queues(&cloud), url(&cloud, "copies").await);
    send(&cloud, "copies", "one").await;
    client
        .send_message()
        .queue_url(&url)
        .message_body("two")
        .delay_seconds(5)
        .send()
        .await
        .unwrap();
    let count = |name: QueueAttributeName| {
        let attributes =
            client.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All);
        async move { attributes.send().await.unwrap().attributes.unwrap()[&name].clone() }
    };
    assert_eq!(count(QueueAttributeName::ApproximateNumberOfMessages).await, "1");
    assert_eq!(count(QueueAttributeName::ApproximateNumberOfMessagesDelayed).await, "1");
    cloud.advance(Duration::from_secs(5)).await;
    assert_eq!(count(QueueAttributeName::ApproximateNumberOfMessages).await, "2");
    client.purge_queue().queue_url(&url).send().await.unwrap();
    assert_eq!(count(QueueAttributeName::ApproximateNumberOfMessages).await, "0");
}

#[tokio::test]
async fn what_sqs_refuses_is_refused() {
    let cloud = cloud().await;
    let (client, url) = (queues(&cloud), url(&cloud, "copies").await);
    let error =
        client.get_queue_url().queue_name("nothing").send().await.unwrap_err().into_service_error();
    assert!(error.is_queue_does_not_exist(), "{error:?}");
    let error = client
        .send_message()
        .queue_url(&url)
        .message_body("")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert_eq!(error.meta().code(), Some("MissingParameter"));
    let send = client.send_message().queue_url(&url).message_body("x").delay_seconds(901);
    assert!(send.send().await.is_err());
    let error =
        client.send_message_batch().queue_url(&url).send().await.unwrap_err().into_service_error();
    assert!(error.is_empty_batch_request(), "{error:?}");
    let twice =
        || SendMessageBatchRequestEntry::builder().id("1").message_body("x").build().unwrap();
    let batch = client.send_message_batch().queue_url(&url).entries(twice()).entries(twice());
    assert!(batch.send().await.unwrap_err().into_service_error().is_batch_entry_ids_not_distinct());
    let change = client
        .change_message_visibility()
        .queue_url(&url)
        .receipt_handle("x")
        .visibility_timeout(1);
    assert!(change.send().await.unwrap_err().into_service_error().is_receipt_handle_is_invalid());
}

#[tokio::test]
async fn a_message_is_doubled_on_demand() {
    let cloud = cloud().await;
    post(
        &cloud,
        "/local/faults",
        &json!({"fault": "duplicate", "delivery": "queue", "name": "work"}),
    )
    .await;
    send(&cloud, "work", "twin").await;
    cloud.idle().await;
    let records: usize = got(&cloud, "consumer")
        .iter()
        .map(|batch| batch["Records"].as_array().unwrap().len())
        .sum();
    assert_eq!(records, 2);
}
