//! The state that is saved between two runs.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tollgate_local::{Cloud, CloudConfig, CloudStartError};

use crate::world::{START, bearer, config, got, post, queues, send, tables};

/// A directory of its own for one test, removed afterwards.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("tollgate-local-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        Self(directory)
    }

    fn config(&self) -> CloudConfig {
        let mut config = config();
        config.state = Some(self.0.clone());
        config
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn tables_clock_keys_and_planned_jobs_survive_a_restart() {
    let directory = Directory::new("restart");
    let cloud = Cloud::start(directory.config()).await.unwrap();
    cloud.advance(Duration::from_secs(300)).await;
    let token = bearer(&cloud, "acme", "", &json!({}));
    let put = tables(&cloud).put_item().table_name("test-ledger");
    let (account, seq) =
        (aws_sdk_dynamodb::types::AttributeValue::S("acme".to_owned()), "0".to_owned());
    put.item("account", account)
        .item("seq", aws_sdk_dynamodb::types::AttributeValue::N(seq))
        .send()
        .await
        .unwrap();
    let client = queues(&cloud);
    let url = client.get_queue_url().queue_name("work").send().await.unwrap().queue_url.unwrap();
    client
        .send_message()
        .queue_url(&url)
        .message_body("later")
        .delay_seconds(600)
        .send()
        .await
        .unwrap();
    let lambda = format!("{}/2015-03-31/functions/worker/invocations", cloud.urls().lambda);
    send(&cloud, "POST", &lambda, &[("x-amz-invocation-type", "Event")], "{\"do\": \"fail\"}")
        .await;
    cloud.idle().await;
    assert_eq!(got(&cloud, "publisher").len(), 1);
    drop(cloud);

    let cloud = Cloud::start(directory.config()).await.unwrap();
    assert_eq!(cloud.now(), START + Duration::from_secs(300));
    assert_eq!(cloud.ledger("acme").unwrap().len(), 1);
    assert_eq!(
        send(&cloud, "GET", "/v1/things/1", &[("authorization", token.as_str())], "").await.status,
        200
    );
    let ran = cloud.advance(Duration::from_secs(600)).await;
    // The row was processed before. The message, the second and the third attempt were still
    // pending.
    assert!(got(&cloud, "publisher").is_empty());
    assert_eq!(got(&cloud, "consumer").len(), 1);
    let tries = ran
        .iter()
        .filter(|run| run.function == "worker" && run.trigger == "invoked directly")
        .count();
    assert_eq!(tries, 2);
}

#[tokio::test]
async fn two_clouds_never_share_a_state() {
    let directory = Directory::new("shared");
    let cloud = Cloud::start(directory.config()).await.unwrap();
    let error = Cloud::start(directory.config()).await.unwrap_err();
    assert!(matches!(error, CloudStartError::StateInUse(_)), "{error}");
    drop(cloud);
    Cloud::start(directory.config()).await.unwrap();
}

#[tokio::test]
async fn bad_port_binary_or_template_fails_the_start() {
    let cloud = crate::world::cloud().await;
    let port: u16 = cloud.urls().api.rsplit(':').next().unwrap().parse().unwrap();
    let mut busy = config();
    busy.port = port;
    assert!(
        matches!(Cloud::start(busy).await.unwrap_err(), CloudStartError::PortInUse(own) if own == port)
    );

    let mut missing = config();
    missing.binaries.remove("web");
    assert!(
        matches!(Cloud::start(missing).await.unwrap_err(), CloudStartError::NoBinary(own) if own == "web")
    );

    for (yaml, reason) in [
        ("A: { Type: AWS::Lambda::Function }", "A: the local cloud has no AWS::Lambda::Function"),
        (
            "A: { Type: AWS::SQS::Queue, Properties: { FifoQueue: true } }",
            "A: the local cloud does not know the property FifoQueue",
        ),
        (
            "A: { Type: AWS::Serverless::Function, Properties: { CodeUri: x/web, Events: { E: { Type: S3, Properties: {} } } } }",
            "A.E: the local cloud has no trigger S3",
        ),
        (
            "A: { Type: AWS::Serverless::Function, Properties: { CodeUri: x/web, Events: { E: { Type: Schedule, Properties: { Schedule: often } } } } }",
            "A.E: often is no schedule: it has no parentheses",
        ),
        (
            "A: { Type: AWS::Serverless::Function, Metadata: { LocalCloud: { DueIndex: { Table: b, Index: c } } }, Properties: { CodeUri: x/web } }",
            "A.Metadata.LocalCloud.DueIndex: Table is \"b\", not a table of the template",
        ),
        (
            "A: { Type: AWS::Events::Rule, Properties: { EventPattern: { a: [b] }, Targets: [{ Id: x, Arn: !GetAtt Q.Arn }] } }",
            "A.Targets: Arn is {\"Fn::GetAtt\":[\"Q\",\"Arn\"]}, not a text",
        ),
    ] {
        let mut config = config();
        config.template =
            tollgate_local::template::Template::parse(&format!("Resources:\n  {yaml}\n")).unwrap();
        let error = Cloud::start(config).await.unwrap_err().to_string();
        assert!(error.ends_with(reason), "{error}");
    }
}

#[tokio::test]
async fn no_process_outlives_its_cloud() {
    let cloud = crate::world::cloud().await;
    let answer = post(&cloud, "/local/functions/worker", &json!({})).await.json();
    let process = PathBuf::from(format!("/proc/{}", answer["pid"]));
    assert!(process.exists() || !cfg!(target_os = "linux"));
    drop(cloud);
    crate::world::until("the process is gone", || !process.exists()).await;
}
