//! Calls of functions are recorded, and a function can be killed before and after each.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_local::Cloud;

use crate::world::{cloud, get, post, send};

async fn work(cloud: &Cloud) -> (u16, Value) {
    let answer = post(cloud, "/local/functions/worker", &json!({"do": "work"})).await;
    (answer.status, answer.json())
}

async fn set(cloud: &Cloud, fault: Value) {
    let answer = post(cloud, "/local/faults", &fault).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn every_outside_call_of_a_function_is_recorded() {
    let cloud = cloud().await;
    assert_eq!(work(&cloud).await, (200, json!("worked")));
    cloud.idle().await;
    let calls = get(&cloud, "/local/calls").await.json();
    let of_worker: Vec<_> = calls["calls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|call| call["function"] == "worker")
        .collect();
    let operations: Vec<_> = of_worker
        .iter()
        .map(|call| (call["service"].as_str().unwrap(), call["operation"].as_str().unwrap()))
        .collect();
    assert_eq!(
        operations,
        [("dynamodb", "PutItem"), ("events", "PutEvents"), ("sqs", "SendMessage")]
    );
    assert_eq!(of_worker[0]["tables"], json!(["test-ledger"]));
    assert_eq!((&of_worker[0]["outcome"], &of_worker[0]["n"]), (&json!("200"), &json!(1)));
    assert!(of_worker[0]["invocation"].is_string());
    let after = get(&cloud, "/local/calls?after=2").await.json();
    assert_eq!(after["calls"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_function_is_killed_before_and_after_every_single_call() {
    let cloud = cloud().await;
    assert_eq!(work(&cloud).await.0, 200);
    let count = cloud.calls_count();
    assert_eq!(count, 3);
    for kind in ["kill_before", "kill_after"] {
        for nth in 1..=count {
            let calls_before = cloud.calls_count();
            set(&cloud, json!({"fault": kind, "function": "worker", "nth": nth})).await;
            let (status, error) = work(&cloud).await;
            assert_eq!(
                (status, &error["errorType"]),
                (502, &json!("Runtime.ExitError")),
                "{kind} {nth}"
            );
            let calls = cloud.calls(calls_before);
            assert_eq!(u64::try_from(calls.len()).unwrap(), nth, "{kind} {nth}: {calls:?}");
            let expected = if kind == "kill_before" { "killed before" } else { "killed after 200" };
            assert_eq!(calls.last().unwrap().outcome.as_deref(), Some(expected));
            set(&cloud, json!({"clear": true})).await;
        }
    }
    assert_eq!(work(&cloud).await.0, 200);
    // Three undisturbed rounds would be: once at the beginning, at the end, and after the last
    // call.
    cloud.idle().await;
    let sent: usize = crate::world::got(&cloud, "consumer")
        .iter()
        .map(|batch| batch["Records"].as_array().unwrap().len())
        .sum();
    assert_eq!(sent, 3);
}

#[tokio::test]
async fn sdk_retries_lost_answers_and_throttled_calls() {
    let cloud = cloud().await;
    for (fault, outcome) in [
        (json!({"fault": "lose_answer", "service": "dynamodb"}), "lost 200"),
        (json!({"fault": "lose_call", "service": "dynamodb", "operation": "PutItem"}), "lost"),
        (json!({"fault": "throttle", "table": "ledger"}), "throttled"),
        (json!({"fault": "throttle", "service": "sqs", "function": "test-worker"}), "throttled"),
        (json!({"fault": "error", "service": "events"}), "failed"),
        (json!({"fault": "delay", "service": "events", "by": "50ms"}), "200"),
    ] {
        set(&cloud, json!({"clear": true})).await;
        let before = cloud.calls_count();
        set(&cloud, fault.clone()).await;
        assert_eq!(work(&cloud).await, (200, json!("worked")), "{fault}");
        let outcomes: Vec<_> =
            cloud.calls(before).into_iter().filter_map(|call| call.outcome).collect();
        assert!(outcomes.iter().any(|own| own == outcome), "{fault}: {outcomes:?}");
    }
    let faults = get(&cloud, "/local/faults").await.json();
    assert_eq!(faults["faults"][0]["seen"], 1);
}

#[tokio::test]
async fn a_table_that_is_throttled_for_good_fails_the_function() {
    let cloud = cloud().await;
    set(&cloud, json!({"fault": "throttle", "table": "ledger", "times": 0})).await;
    assert_eq!(work(&cloud).await.0, 502);
    let outcomes: Vec<_> = cloud.calls(0).into_iter().filter_map(|call| call.outcome).collect();
    assert!(
        outcomes.len() > 1 && outcomes.iter().all(|outcome| outcome == "throttled"),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn a_running_function_is_killed_on_demand() {
    let cloud = cloud().await;
    let hang = async { post(&cloud, "/local/functions/worker", &json!({"do": "hang"})).await };
    let kill = async {
        crate::world::until("the function hangs", || {
            !crate::world::got(&cloud, "worker").is_empty()
        })
        .await;
        post(&cloud, "/local/faults", &json!({"kill": "worker"})).await.json()
    };
    let (answer, killed) = tokio::join!(hang, kill);
    assert_eq!(killed, json!({"killed": 1}));
    assert_eq!(answer.json()["errorType"], "Runtime.ExitError");
}

#[tokio::test]
async fn a_fault_that_could_never_happen_is_refused() {
    let cloud = cloud().await;
    for wrong in [
        json!({}),
        json!({"fault": "unknown"}),
        json!({"fault": "drop"}),
        json!({"fault": "kill_before", "delivery": "event"}),
        json!({"fault": "kill_before", "function": "nothing"}),
        json!({"fault": "delay", "delivery": "event"}),
        json!({"fault": "delay", "delivery": "event", "by": "soon"}),
        json!({"fault": "drop", "delivery": "event", "nth": 0}),
        json!({"fault": "drop", "delivery": "event", "other": 1}),
        json!({"kill": "nothing"}),
    ] {
        let answer = post(&cloud, "/local/faults", &wrong).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
    assert_eq!(send(&cloud, "POST", "/local/faults", &[], "no").await.status, 400);
}

#[tokio::test]
async fn tokens_are_made_for_whoever_asks() {
    let cloud = cloud().await;
    let answer = post(
        &cloud,
        "/local/tokens",
        &json!({"account": "acme", "scope": "tollgate/admin", "email": "a@b.test"}),
    )
    .await;
    let token = format!("Bearer {}", answer.json()["token"].as_str().unwrap());
    let event =
        send(&cloud, "GET", "/v1/admin", &[("authorization", token.as_str())], "").await.json();
    assert_eq!(event["requestContext"]["authorizer"]["jwt"]["claims"]["email"], "a@b.test");
    for wrong in [
        json!({}),
        json!({"account": ""}),
        json!({"account": 1}),
        json!({"account": "a", "more": 1}),
    ] {
        assert_eq!(post(&cloud, "/local/tokens", &wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(get(&cloud, "/local/nothing").await.status, 404);
}

#[tokio::test]
async fn function_killed_in_an_asynchronous_invocation_is_retried() {
    let cloud = cloud().await;
    set(&cloud, json!({"fault": "kill_after", "function": "worker", "operation": "PutEvents"}))
        .await;
    let url = format!("{}/2015-03-31/functions/worker/invocations", cloud.urls().lambda);
    send(&cloud, "POST", &url, &[("x-amz-invocation-type", "Event")], "{\"do\": \"work\"}").await;
    let ran = cloud.advance(Duration::from_secs(60)).await;
    let outcomes: Vec<_> = cloud
        .runs(0)
        .into_iter()
        .filter(|run| run.function == "worker")
        .map(|run| run.outcome)
        .collect();
    assert!(outcomes[0].starts_with("Runtime.ExitError"), "{outcomes:?}");
    assert_eq!(outcomes[1], "ok");
    assert!(!ran.is_empty());
    assert_eq!(cloud.events().len(), 2);
}

#[tokio::test]
async fn what_is_killed_while_idle_takes_no_invocation_with_it() {
    let cloud = cloud().await;
    for _ in 0..20 {
        post(&cloud, "/local/faults", &json!({"kill": "worker"})).await.json();
        let answer = post(&cloud, "/local/functions/worker", &json!({})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
