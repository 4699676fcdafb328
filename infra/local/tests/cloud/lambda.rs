//! Functions run in processes of their own, as on Lambda.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_local::Cloud;

use crate::world::{cloud, got, post, send};

async fn invoke(cloud: &Cloud, function: &str, payload: Value) -> (u16, Value) {
    let answer = post(cloud, &format!("/local/functions/{function}"), &payload).await;
    (answer.status, answer.json())
}

async fn invoke_asynchronously(cloud: &Cloud, function: &str, payload: Value) {
    let url = format!("{}/2015-03-31/functions/{function}/invocations", cloud.urls().lambda);
    let answer =
        send(cloud, "POST", &url, &[("x-amz-invocation-type", "Event")], payload.to_string()).await;
    assert_eq!(answer.status, 202);
}

#[tokio::test]
async fn a_process_is_used_again_and_replaced_when_it_has_crashed() {
    let cloud = cloud().await;
    let (_, first) = invoke(&cloud, "worker", json!({})).await;
    let (_, second) = invoke(&cloud, "worker", json!({})).await;
    assert_eq!(first["pid"], second["pid"]);

    let (status, error) = invoke(&cloud, "worker", json!({"do": "exit"})).await;
    assert_eq!((status, &error["errorType"]), (502, &json!("Runtime.ExitError")));
    assert!(error["errorMessage"].as_str().unwrap().contains("exit status: 7"), "{error}");
    let (status, third) = invoke(&cloud, "worker", json!({})).await;
    assert_eq!(status, 200);
    assert_ne!(first["pid"], third["pid"]);
}

#[tokio::test]
async fn handler_error_is_returned_and_the_process_survives() {
    let cloud = cloud().await;
    let (_, first) = invoke(&cloud, "worker", json!({})).await;
    let (status, error) = invoke(&cloud, "worker", json!({"do": "fail"})).await;
    assert_eq!((status, &error["errorMessage"]), (502, &json!("as asked for")));
    assert_eq!(invoke(&cloud, "worker", json!({})).await.1["pid"], first["pid"]);
}

#[tokio::test]
async fn an_invocation_that_takes_too_long_is_killed() {
    let cloud = cloud().await;
    let (status, error) = invoke(&cloud, "single", json!({"do": "hang"})).await;
    assert_eq!((status, &error["errorType"]), (502, &json!("Sandbox.Timedout")));
    assert!(error["errorMessage"].as_str().unwrap().ends_with("Task timed out after 1.00 seconds"));
    assert_eq!(invoke(&cloud, "single", json!({})).await.0, 200);
}

#[tokio::test]
async fn function_that_exits_at_start_fails_and_its_output_is_logged() {
    let cloud = cloud().await;
    let (status, error) = invoke(&cloud, "broken", json!({})).await;
    assert_eq!((status, &error["errorType"]), (502, &json!("Runtime.InitError")));
    assert!(
        cloud.log().iter().any(|line| line.function == "broken" && line.text == "no table is set")
    );
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_an_error() {
    let cloud = cloud().await;
    let (status, error) = invoke(&cloud, "worker", json!({"do": "large"})).await;
    assert_eq!((status, &error["errorType"]), (502, &json!("Function.ResponseSizeTooLarge")));
}

#[tokio::test]
async fn environment_has_only_variables_of_template_and_lambda() {
    let cloud = cloud().await;
    let (_, environment) = invoke(&cloud, "worker", json!({"do": "environment"})).await;
    assert_eq!(environment["STAGE"], "test");
    assert_eq!(environment["OWN"], "1");
    assert_eq!(environment["TABLE"], "test-ledger");
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_NAME"], "test-worker");
    assert_eq!(environment["AWS_REGION"], "us-east-1");
    assert!(environment["QUEUE"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(environment["STRIPE_API_BASE"].as_str().unwrap().ends_with("/stripe"));
    for foreign in ["HOME", "PATH", "CARGO_MANIFEST_DIR", "CARGO_TARGET_DIR"] {
        assert_eq!(environment[foreign], Value::Null, "{foreign}");
    }
}

#[tokio::test]
async fn the_runtime_api_says_which_invocation_it_is_and_when_it_ends() {
    let cloud = cloud().await;
    let (_, context) = invoke(&cloud, "worker", json!({"do": "context"})).await;
    assert_eq!(context["arn"], "arn:aws:lambda:us-east-1:000000000000:function:test-worker");
    assert_eq!(context["id"].as_str().unwrap().len(), 36);
    // By the cloud's clock, which stands still. The function's timeout is twenty seconds.
    let now = cloud.now().unix_timestamp();
    assert_eq!(context["deadline"].as_i64(), Some((now + 20) * 1_000));
}

#[tokio::test]
async fn invocations_at_the_same_time_have_processes_of_their_own() {
    let cloud = cloud().await;
    let wait = || invoke(&cloud, "worker", json!({"do": "wait"}));
    let ((_, first), (_, second)) = tokio::join!(wait(), wait());
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_function_is_throttled_beyond_its_reserved_concurrency() {
    let cloud = cloud().await;
    let wait = || invoke(&cloud, "single", json!({"do": "wait"}));
    let ((first, _), (second, _)) = tokio::join!(wait(), wait());
    let mut statuses = [first, second];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 429]);
}

#[tokio::test]
async fn asynchronous_invocation_fails_thrice_and_is_dead_lettered() {
    let cloud = cloud().await;
    invoke_asynchronously(&cloud, "test-worker", json!({"do": "fail", "n": 1})).await;
    cloud.idle().await;
    assert_eq!(got(&cloud, "worker").len(), 1);
    assert_eq!(cloud.advance(Duration::from_secs(59)).await.len(), 0);
    assert_eq!(cloud.advance(Duration::from_secs(1)).await.len(), 1);
    assert_eq!(cloud.advance(Duration::from_secs(119)).await.len(), 0);
    assert_eq!(cloud.dead_letters()["count"], 0);
    assert_eq!(cloud.advance(Duration::from_secs(1)).await.len(), 1);

    let dead = cloud.dead_letters();
    let record = &dead["queues"]["invocation-dead"][0]["body"];
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(record["requestPayload"]["n"], 1);
    assert_eq!(record["responsePayload"]["errorMessage"], "as asked for");
    assert_eq!(cloud.advance(Duration::from_secs(600)).await.len(), 0);
}

#[tokio::test]
async fn what_is_no_function_and_no_json_is_refused() {
    let cloud = cloud().await;
    assert_eq!(post(&cloud, "/local/functions/nothing", &json!({})).await.status, 404);
    assert_eq!(send(&cloud, "POST", "/local/functions/worker", &[], "{").await.status, 400);
    let url = format!("{}/2015-03-31/functions/nothing/invocations", cloud.urls().lambda);
    assert_eq!(send(&cloud, "POST", &url, &[], "{}").await.status, 404);
    let other = cloud
        .urls()
        .lambda
        .replace("/-/lambda", "/worker-99/runtime/2018-06-01/runtime/invocation/next");
    assert_eq!(send(&cloud, "GET", &other, &[], "").await.status, 404);
    let unknown = cloud.urls().lambda.replace("/-/lambda", "/-/unknown");
    assert_eq!(send(&cloud, "POST", &unknown, &[], "{}").await.status, 501);
}
