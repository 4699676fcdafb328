//! A local cloud with the template in this folder. All its functions are the same binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_types::SdkConfig;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use time::UtcDateTime;
use time::macros::utc_datetime;
use tollgate_local::clock::Pace;
use tollgate_local::control::TokenRequest;
use tollgate_local::template::Template;
use tollgate_local::{Cloud, CloudConfig};

/// Where every test's clock begins.
pub(crate) const START: UtcDateTime = utc_datetime!(2026-11-01 12:10);

pub(crate) const FUNCTIONS: [&str; 6] =
    ["web", "worker", "single", "broken", "consumer", "publisher"];

/// The binary of `examples/test-function.rs`, which `cargo test` builds together with the tests.
fn function() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let file = test.ancestors().nth(2).unwrap().join("examples/test-function");
    assert!(
        file.exists(),
        "{} is missing: cargo build -p tollgate-local --examples",
        file.display()
    );
    file
}

pub(crate) fn config() -> CloudConfig {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cloud/template.yaml");
    let binaries: BTreeMap<_, _> = FUNCTIONS.map(|name| (name.to_owned(), function())).into();
    let mut config = CloudConfig::new(Template::read(&template).unwrap(), binaries);
    config.pace = Pace::Frozen;
    config.start = Some(START);
    config
}

pub(crate) async fn cloud() -> Cloud {
    Cloud::start(config()).await.unwrap()
}

/// The SDK's configuration for the service at `url`.
fn sdk(url: &str) -> SdkConfig {
    let config = tollgate::runtime::aws::read(|variable| match variable {
        "AWS_REGION" => Some("us-east-1".to_owned()),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("local".to_owned()),
        "AWS_ENDPOINT_URL" => Some(url.to_owned()),
        _ => None,
    });
    config.unwrap()
}

pub(crate) fn tables(cloud: &Cloud) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(&sdk(&cloud.urls().dynamodb))
}

pub(crate) fn bus(cloud: &Cloud) -> aws_sdk_eventbridge::Client {
    aws_sdk_eventbridge::Client::new(&sdk(&cloud.urls().events))
}

pub(crate) fn queues(cloud: &Cloud) -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::new(&sdk(&cloud.urls().sqs))
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Sends a request to the API, or to another address.
pub(crate) async fn send(
    cloud: &Cloud,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let url = if path.starts_with("http") {
        path.to_owned()
    } else {
        format!("{}{path}", cloud.urls().api)
    };
    let mut request = hyper::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let response = client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

pub(crate) async fn get(cloud: &Cloud, path: &str) -> Answer {
    send(cloud, "GET", path, &[], "").await
}

pub(crate) async fn post(cloud: &Cloud, path: &str, body: &Value) -> Answer {
    send(cloud, "POST", path, &[("content-type", "application/json")], body.to_string()).await
}

/// `Bearer …` for an account, with a scope if it is not empty and other claims.
pub(crate) fn bearer(cloud: &Cloud, account: &str, scope: &str, claims: &Value) -> String {
    let request = TokenRequest {
        account: account.to_owned(),
        scope: (!scope.is_empty()).then(|| scope.to_owned()),
        email: None,
        claims: claims.as_object().cloned().unwrap_or_default(),
    };
    format!("Bearer {}", cloud.token(&request).unwrap())
}

/// The events a function printed that it got.
pub(crate) fn got(cloud: &Cloud, function: &str) -> Vec<Value> {
    let lines = cloud.log();
    let lines = lines.iter().filter(|line| line.function == function);
    lines
        .filter_map(|line| Some(serde_json::from_str(line.text.strip_prefix("got ")?).unwrap()))
        .collect()
}

/// Waits for something that happens in another process.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it does not come true: {what}");
}
