//! An EventBridge for the real SDK. It records the entries of `PutEvents` and rejects some on
//! demand.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::config::retry::RetryConfig;
use aws_sdk_eventbridge::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use tollgate::runtime::bus::{Bus, BusEvent};

/// A bus that records its events.
#[derive(Clone, Debug, Default)]
pub struct RecordingBus {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    taken: Vec<BusEvent>,
    calls: usize,
    refusals: Vec<(String, usize)>,
    dead_calls: usize,
}

impl RecordingBus {
    /// An empty one.
    #[must_use]
    pub fn new() -> RecordingBus {
        RecordingBus::default()
    }

    /// Tollgate's way to it.
    #[must_use]
    pub fn bus(&self) -> Bus {
        let config = aws_sdk_eventbridge::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url("http://bus.test")
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "dummy"))
            .http_client(SharedHttpClient::new(self.clone()))
            .retry_config(RetryConfig::disabled())
            .build();
        Bus::new(Client::from_conf(config), "tollgate".to_owned())
    }

    /// Rejects the next `times` entries whose detail contains a text, as a throttled bus does.
    /// Other entries of the same call are accepted.
    pub fn refuse(&self, text: &str, times: usize) {
        self.lock().refusals.push((text.to_owned(), times));
    }

    /// Lets the next `calls` calls fail without an answer.
    pub fn die(&self, calls: usize) {
        self.lock().dead_calls = calls;
    }

    /// The events since the last call, in order.
    #[must_use]
    pub fn take(&self) -> Vec<BusEvent> {
        std::mem::take(&mut self.lock().taken)
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let mut inner = self.lock();
        inner.calls += 1;
        if inner.dead_calls > 0 {
            inner.dead_calls -= 1;
            return Err(ConnectorError::io("the bus does not answer".into()));
        }
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        assert_eq!(target, "AWSEvents.PutEvents", "nothing else is called");
        let body: Value = serde_json::from_slice(request.body().bytes().expect("a body in memory"))
            .expect("JSON");
        let entries = body["Entries"].as_array().expect("entries").clone();
        assert!((1..=10).contains(&entries.len()), "EventBridge takes one to ten entries");
        let answers: Vec<Value> = entries.iter().map(|entry| inner.take_entry(entry)).collect();
        let failed = answers.iter().filter(|answer| answer.get("ErrorCode").is_some()).count();
        let answer = json!({ "FailedEntryCount": failed, "Entries": answers });
        Ok(HttpResponse::new(
            StatusCode::try_from(200).expect("a status"),
            SdkBody::from(answer.to_string()),
        ))
    }
}

impl Inner {
    fn take_entry(&mut self, entry: &Value) -> Value {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (text("Source").as_str(), text("EventBusName").as_str()),
            ("tollgate", "tollgate")
        );
        assert!(entry.get("Time").is_none(), "EventBridge sets the time");
        let detail = text("Detail");
        if let Some((_, times)) = self
            .refusals
            .iter_mut()
            .find(|(text, times)| *times > 0 && detail.contains(text.as_str()))
        {
            *times -= 1;
            return json!({ "ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded" });
        }
        self.taken.push(BusEvent { detail_type: text("DetailType"), detail });
        json!({ "EventId": self.taken.len().to_string() })
    }
}

impl HttpClient for RecordingBus {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for RecordingBus {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(self.answer(&request))
    }
}
