//! A [`MemoryDynamoDb`] as the network below an SDK client.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;
use time::UtcDateTime;

use crate::dynamodb::{CurrentReads, DynamoAnswer, MemoryDynamoDb};

/// Answers every request at once, acknowledges every transaction and shows only current reads.
/// Clones share one database.
#[derive(Clone)]
pub struct MemoryConnector {
    database: Arc<Mutex<MemoryDynamoDb>>,
    now: UtcDateTime,
}

impl MemoryConnector {
    /// `now` is DynamoDB's time for all calls.
    #[must_use]
    pub fn new(database: MemoryDynamoDb, now: UtcDateTime) -> Self {
        Self { database: Arc::new(Mutex::new(database)), now }
    }

    /// As the HTTP client of an SDK.
    #[must_use]
    pub fn client(&self) -> SharedHttpClient {
        let connector = self.clone();
        http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone()))
    }

    /// Looks at the database, or changes it.
    pub fn with_database<T>(&self, look: impl FnOnce(&mut MemoryDynamoDb) -> T) -> T {
        // A test that panicked in between has failed already.
        look(&mut self.database.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default())
            .map_err(|error| ConnectorError::user(error.into()))?;
        let answer = self.with_database(|database| {
            let answer = database.call(operation, &body, self.now, &mut CurrentReads);
            if let Some(write) = answer.write {
                database.acknowledge(write);
            }
            answer
        });
        http_response(&answer)
    }
}

/// An answer in the form in which the SDK expects it.
///
/// # Errors
/// Never: the statuses are valid.
pub fn http_response(answer: &DynamoAnswer) -> Result<HttpResponse, ConnectorError> {
    let status = StatusCode::try_from(answer.status())
        .map_err(|error| ConnectorError::other(error.into(), None))?;
    let mut response = HttpResponse::new(status, SdkBody::from(answer.body().to_string()));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    Ok(response)
}

impl fmt::Debug for MemoryConnector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MemoryConnector").field("now", &self.now).finish_non_exhaustive()
    }
}

impl HttpConnector for MemoryConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(self.answer(&request))
    }
}
