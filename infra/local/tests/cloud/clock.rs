//! The clock, and jobs that it starts.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use time::macros::utc_datetime;
use tollgate_local::Cloud;
use tollgate_local::clock::Pace;

use crate::world::{START, cloud, config, get, got, post, send, tables, until};

#[tokio::test]
async fn every_schedule_on_the_way_runs_in_order() {
    let cloud = cloud().await;
    let answer = post(&cloud, "/local/clock", &json!({"advance": "2h"})).await.json();
    assert_eq!(answer["now"], "2026-11-01T14:10:00Z");
    let ran: Vec<_> = answer["ran"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["scheduled"].as_str().unwrap())
        .collect();
    assert!(ran.is_sorted(), "{ran:?}");
    assert_eq!(ran.len(), 6);
    for run in answer["ran"].as_array().unwrap() {
        assert_eq!((&run["function"], &run["outcome"]), (&json!("worker"), &json!("ok")));
        assert_eq!(run["at"], run["scheduled"]);
    }
    let hours: Vec<_> = got(&cloud, "worker")
        .iter()
        .filter_map(|event| event["hour"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(hours, ["2026-11-01T13:00:00Z", "2026-11-01T14:00:00Z"]);
    let often =
        got(&cloud, "worker").into_iter().find(|event| event["source"] == "aws.events").unwrap();
    assert_eq!(
        (&often["detail-type"], &often["time"]),
        (&json!("Scheduled Event"), &json!("2026-11-01T12:30:00Z"))
    );
}

#[tokio::test]
async fn the_clock_moves_only_forward_and_to_a_time() {
    let cloud = cloud().await;
    let to = post(&cloud, "/local/clock", &json!({"to": "2026-11-01T13:15:00+01:00"})).await;
    assert_eq!((to.status, to.json()["now"].clone()), (200, json!("2026-11-01T12:15:00Z")));
    for wrong in [
        json!({"to": "2026-11-01T12:00:00Z"}),
        json!({"to": "tomorrow"}),
        json!({"advance": "an hour"}),
        json!({"advance": "1h", "to": "2026-12-01T00:00:00Z"}),
        json!({"advance": "9999d"}),
        json!({"back": "1h"}),
        json!({}),
    ] {
        let answer = post(&cloud, "/local/clock", &wrong).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.json()["message"].is_string());
    }
    assert_eq!(send(&cloud, "POST", "/local/clock", &[], "{").await.status, 400);
    assert_eq!(send(&cloud, "DELETE", "/local/clock", &[], "").await.status, 405);
    assert_eq!(get(&cloud, "/local/clock").await.json(), json!({"now": "2026-11-01T12:15:00Z"}));
}

#[tokio::test]
async fn a_running_clock_runs_schedules_by_itself() {
    let mut config = config();
    config.pace = Pace::Running;
    config.start = Some(utc_datetime!(2026-11-01 12:59:59.5));
    let cloud = Cloud::start(config).await.unwrap();
    until("two schedules of the full hour ran", || cloud.runs(0).len() == 2).await;
    assert!(cloud.now() >= utc_datetime!(2026-11-01 13:00));
}

#[tokio::test]
async fn a_frozen_clock_runs_nothing_by_itself() {
    let cloud = cloud().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(cloud.now(), START);
    assert_eq!(cloud.runs(0).len(), 0);
}

#[tokio::test]
async fn a_schedule_is_dropped_doubled_and_delayed_on_demand() {
    let cloud = cloud().await;
    let fault = async |fault: Value| {
        assert_eq!(post(&cloud, "/local/faults", &fault).await.status, 200, "{fault}");
    };
    fault(json!({"fault": "drop", "delivery": "schedule", "name": "WorkerHourly"})).await;
    fault(json!({"fault": "duplicate", "delivery": "schedule", "name": "WorkerHourly", "nth": 2}))
        .await;
    fault(json!({"fault": "delay", "delivery": "schedule", "name": "WorkerHourly", "nth": 3, "by": "7m"})).await;
    let ran = cloud.advance_to(utc_datetime!(2026-11-01 15:10)).await;
    let hourly: Vec<_> = ran
        .iter()
        .filter(|run| run.trigger == "schedule WorkerHourly")
        .map(|run| run.at.as_str())
        .collect();
    assert_eq!(hourly, ["2026-11-01T14:00:00Z", "2026-11-01T14:00:00Z", "2026-11-01T15:07:00Z"]);
}

#[tokio::test]
async fn runs_are_skipped_while_nothing_is_due_in_their_index() {
    let cloud = cloud().await;
    let minutes = async |minutes: u64| {
        let ran = cloud.advance(Duration::from_secs(60 * minutes)).await;
        ran.into_iter()
            .filter(|run| run.trigger == "schedule ConsumerMinute")
            .map(|run| run.at.get(11..16).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(minutes(10).await, Vec::<String>::new());
    assert_eq!(cloud.skipped_runs(), 10);
    let line = cloud.log().pop().unwrap();
    assert!(
        line.text.starts_with(
            "clock: moved 10m to 2026-11-01T12:20:00Z: 0 events, 0 runs, 10 skipped, "
        ),
        "{line:?}"
    );

    let client = tables(&cloud);
    let due_at = (START + Duration::from_secs(12 * 60 + 1)).unix_timestamp().to_string();
    client
        .put_item()
        .table_name("test-deadlines")
        .item("name", AttributeValue::S("first".to_owned()))
        .item("shard", AttributeValue::S("7".to_owned()))
        .item("due_at", AttributeValue::N(due_at))
        .send()
        .await
        .unwrap();
    assert_eq!(minutes(5).await, ["12:23", "12:24", "12:25"]);

    let delete = client.delete_item().table_name("test-deadlines");
    delete.key("name", AttributeValue::S("first".to_owned())).send().await.unwrap();
    assert_eq!(minutes(2).await, Vec::<String>::new());
    cloud.run_every_minute();
    assert_eq!(minutes(2).await, ["12:28", "12:29"]);
    cloud.skip_idle_runs();
    assert_eq!(minutes(2).await, Vec::<String>::new());
}
