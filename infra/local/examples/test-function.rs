//! A function for the tests of the local cloud: a real binary on the real runtime. It prints every
//! event and does what the event asks for. `cargo test` builds it, as it builds every example.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it prints is what the tests look at"
)]

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if std::env::var("DIES_AT_START").is_ok() {
        eprintln!("no table is set");
        std::process::exit(3);
    }
    let config = tollgate::runtime::aws::config()?;
    let clients = Clients {
        tables: aws_sdk_dynamodb::Client::new(&config),
        bus: aws_sdk_eventbridge::Client::new(&config),
        queues: aws_sdk_sqs::Client::new(&config),
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| handle(&clients, event).await))
        .await
}

struct Clients {
    tables: aws_sdk_dynamodb::Client,
    bus: aws_sdk_eventbridge::Client,
    queues: aws_sdk_sqs::Client,
}

async fn handle(
    clients: &Clients,
    LambdaEvent { payload, context }: LambdaEvent<Value>,
) -> Result<Value, Error> {
    println!("got {payload}");
    if let Some(records) = payload["Records"].as_array() {
        return batch(records);
    }
    if payload["version"] == "2.0" {
        return Ok(http(&payload));
    }
    match payload["do"].as_str().or(payload["detail"]["do"].as_str()).unwrap_or_default() {
        "fail" => Err("as asked for".into()),
        "exit" => std::process::exit(7),
        "hang" => {
            std::thread::sleep(std::time::Duration::from_secs(3600));
            Ok(Value::Null)
        }
        "large" => Ok(json!("x".repeat(7 * 1024 * 1024))),
        "wait" => {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            Ok(json!(std::process::id()))
        }
        "work" => work(clients).await,
        "environment" => Ok(json!(std::env::vars().collect::<std::collections::BTreeMap<_, _>>())),
        "context" => Ok(
            json!({"id": context.request_id, "arn": context.invoked_function_arn, "deadline": context.deadline}),
        ),
        _ => Ok(json!({"pid": std::process::id()})),
    }
}

/// Fails for records with `poison` and reports those with `wrong`. No hexadecimal ID can contain
/// either.
fn batch(records: &[Value]) -> Result<Value, Error> {
    let said = |record: &Value, word: &str| record.to_string().contains(word);
    if records.iter().any(|record| said(record, "poison")) {
        return Err("poison".into());
    }
    let identifier = |record: &Value| {
        let id = record["messageId"].as_str().or(record["dynamodb"]["SequenceNumber"].as_str());
        json!({"itemIdentifier": id})
    };
    let failed: Vec<Value> =
        records.iter().filter(|record| said(record, "wrong")).map(identifier).collect();
    Ok(json!({"batchItemFailures": failed}))
}

fn http(event: &Value) -> Value {
    match event["rawPath"].as_str().unwrap_or_default() {
        "/answers/full" => json!({
            "statusCode": 201,
            "headers": {"content-type": "text/css", "x-a": "b", "access-control-allow-origin": "wrong"},
            "cookies": ["a=1", "b=2"],
            "body": "AP8=",
            "isBase64Encoded": true,
        }),
        "/answers/inferred" => json!({"a": 1}),
        "/answers/text" => json!("text"),
        "/answers/broken" => json!({"statusCode": "none"}),
        "/answers/exit" => std::process::exit(1),
        _ => {
            json!({"statusCode": 200, "headers": {"content-type": "application/json"}, "body": event.to_string()})
        }
    }
}

/// One call of each service.
async fn work(clients: &Clients) -> Result<Value, Error> {
    let table = std::env::var("TABLE")?;
    let item = |text: &str| AttributeValue::S(text.to_owned());
    clients
        .tables
        .put_item()
        .table_name(table)
        .item("account", item("work"))
        .item("seq", AttributeValue::N("1".to_owned()))
        .send()
        .await?;
    let entry = PutEventsRequestEntry::builder()
        .event_bus_name(std::env::var("BUS")?)
        .source("test")
        .detail_type("Worked")
        .detail("{\"n\": 1}")
        .build();
    clients.bus.put_events().entries(entry).send().await?;
    clients
        .queues
        .send_message()
        .queue_url(std::env::var("QUEUE")?)
        .message_body("from work")
        .send()
        .await?;
    Ok(json!("worked"))
}
