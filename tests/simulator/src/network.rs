//! The network below the SDK's clients and the client of Stripe: every call of a function takes
//! virtual time here, reaches a service in memory, and may go wrong on the way.

use std::fmt;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use axum::body::Body;
use futures_util::future::{Either, select};
use serde_json::{Value, json};
use stripe_stand_in::{StripeFaultKind, StripeStandIn};
use tokio::sync::{Notify, mpsc};
use tollgate::runtime::bus::BusEvent;

use crate::chance::Chance;
use crate::clock::{ServiceClocks, VirtualClock};
use crate::connector::http_response;
use crate::dynamodb::{DynamoAnswer, MemoryDynamoDb, Staleness, Visibility, WriteNumber};
use crate::faults::{CallFault, FaultWeather};
use crate::journal::Journal;

/// The endpoint of the bus for its SDK client.
pub const BUS_URL: &str = "http://bus.test";
/// The endpoint of DynamoDB for its SDK client.
pub const DYNAMODB_URL: &str = "http://dynamodb.test";
/// The address of Stripe.
pub const STRIPE_URL: &str = "http://stripe.test";

/// How long the client of Stripe waits for an answer, as in `stripe.rs`.
const STRIPE_TIMEOUT: Duration = Duration::from_secs(25);

/// Answers of Stripe are small.
const ANSWER_BYTES_MAX: usize = 10 * 1024 * 1024;

tokio::task_local! {
    static INVOCATION: Invocation;
}

/// A run of a handler, which can die at any of its calls.
#[derive(Clone, Debug)]
struct Invocation {
    function: &'static str,
    died: Arc<Notify>,
}

/// The process died before the handler returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Died {
    Killed,
    TimedOut,
}

/// Runs a handler until it returns, its process is killed at a call, or its time is over.
///
/// # Errors
/// [`Died`] if it did not return.
pub async fn invoke<T>(
    function: &'static str,
    timeout: Duration,
    handler: impl Future<Output = T>,
) -> Result<T, Died> {
    let invocation = Invocation { function, died: Arc::default() };
    let died = Arc::clone(&invocation.died);
    let run = async move {
        let (handler, died) = (pin!(handler), pin!(died.notified()));
        match select(handler, died).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(((), _)) => Err(Died::Killed),
        }
    };
    let run = INVOCATION.scope(invocation, run);
    tokio::time::timeout(timeout, run).await.unwrap_or(Err(Died::TimedOut))
}

/// The services and the way to them. Clones share all of it.
#[derive(Clone)]
pub struct SimulatedNetwork(Arc<NetworkParts>);

pub struct NetworkParts {
    pub database: Mutex<MemoryDynamoDb>,
    pub stand_in: StripeStandIn,
    pub bus: mpsc::UnboundedSender<BusEvent>,
    /// Something was written to a table with a stream.
    pub written: Notify,
    /// Something happened at Stripe.
    pub charged: Notify,
    pub clock: VirtualClock,
    pub clocks: ServiceClocks,
    pub chance: Chance,
    pub weather: FaultWeather,
    pub journal: Journal,
}

impl SimulatedNetwork {
    #[must_use]
    pub fn new(parts: NetworkParts) -> Self {
        Self(Arc::new(parts))
    }

    #[must_use]
    pub fn parts(&self) -> &NetworkParts {
        &self.0
    }

    /// As an HTTP client of the SDKs.
    #[must_use]
    pub fn client(&self) -> SharedHttpClient {
        let network = self.clone();
        http_client_fn(move |_, _| SharedHttpConnector::new(network.clone()))
    }

    /// Looks at the database directly. Nothing goes wrong here.
    pub fn with_database<T>(&self, look: impl FnOnce(&mut MemoryDynamoDb) -> T) -> T {
        look(&mut self.0.database.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Carries a call there and its answer back. Whoever waits for it may be gone by then.
    async fn carry(
        &self,
        caller: &str,
        call: &ServiceCall,
        request: HttpRequest,
    ) -> Result<HttpResponse, LostAnswer> {
        let (parts, site) = (&self.0, format!("{caller}: {}", call.operation()));
        parts.journal.reach(format!("call {site}"));
        let is_down = matches!(call, ServiceCall::Stripe { .. }) && parts.weather.is_down("stripe");
        let fault = if is_down { None } else { parts.weather.of_call(&site) };
        let slow = if let Some(CallFault::Slow(by)) = fault { by / 2 } else { 0 };
        pause(parts.chance.number(1..=15) + slow).await;
        match fault {
            Some(CallFault::Refused) => {
                return Err(ConnectorError::io("connection refused".into()).into());
            }
            Some(CallFault::Throttled) => return Ok(call.throttled()?),
            Some(CallFault::ServerError) => return Ok(self.fail(call, request).await?),
            Some(CallFault::KilledBefore) => return Err(LostAnswer::CallerDies),
            _ if is_down => {
                let down = json!({"error": {"type": "api_error", "message": "down"}});
                return Ok(answer(503, &down)?);
            }
            _ => {}
        }
        let (answered, write) = self.apply(call, request).await?;
        pause(parts.chance.number(1..=15) + slow).await;
        if let Some(write) = write {
            self.with_database(|database| database.acknowledge(write));
        }
        match fault {
            Some(CallFault::AnswerLost) => {
                Err(ConnectorError::io("connection reset".into()).into())
            }
            Some(CallFault::KilledAfter) => Err(LostAnswer::CallerDies),
            _ => Ok(answered),
        }
    }

    /// Stripe keeps its failure for the request's key.
    async fn fail(
        &self,
        call: &ServiceCall,
        request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let body = match call {
            ServiceCall::DynamoDb { .. } => {
                json!({"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "failed"})
            }
            ServiceCall::Bus => json!({"__type": "InternalException", "message": "failed"}),
            ServiceCall::Stripe { .. } => {
                self.0.stand_in.fail_next("*", 1, StripeFaultKind::ServerError);
                return self.ask_stripe(request).await;
            }
        };
        answer(500, &body)
    }

    async fn apply(
        &self,
        call: &ServiceCall,
        request: HttpRequest,
    ) -> Result<(HttpResponse, Option<WriteNumber>), ConnectorError> {
        match call {
            ServiceCall::DynamoDb { operation } => {
                let answered = self.ask_database(operation, &body_of(&request)?);
                if answered.write.is_some() {
                    self.0.written.notify_one();
                }
                Ok((http_response(&answered)?, answered.write))
            }
            ServiceCall::Bus => Ok((self.put_events(&body_of(&request)?)?, None)),
            ServiceCall::Stripe { .. } => {
                let answered = self.ask_stripe(request).await?;
                self.0.charged.notify_one();
                Ok((answered, None))
            }
        }
    }

    fn ask_database(&self, operation: &str, body: &Value) -> DynamoAnswer {
        let now = self.0.clock.now();
        let mut staleness = SometimesStale { chance: &self.0.chance, weather: &self.0.weather };
        self.with_database(|database| database.call(operation, body, now, &mut staleness))
    }

    fn put_events(&self, body: &Value) -> Result<HttpResponse, ConnectorError> {
        let entries = body["Entries"].as_array().cloned().unwrap_or_default();
        let mut failed = 0;
        let mut results = Vec::new();
        for entry in entries {
            // A bus accepts some entries of a call and rejects others.
            if self.0.weather.rejects_entry() {
                failed += 1;
                results.push(
                    json!({"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}),
                );
                continue;
            }
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            let event = BusEvent { detail_type: text("DetailType"), detail: text("Detail") };
            // The run has ended if nobody listens.
            let _ = self.0.bus.send(event);
            results.push(json!({"EventId": "e"}));
        }
        answer(200, &json!({"FailedEntryCount": failed, "Entries": results}))
    }

    async fn ask_stripe(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request
            .try_into_http1x()
            .map_err(|error| ConnectorError::user(error.into()))?
            .map(|body| Body::from(body.bytes().unwrap_or_default().to_vec()));
        let response = self.0.stand_in.respond(request).await;
        if stripe_stand_in::http::is_hang_up(&response) {
            return Err(ConnectorError::io("connection reset".into()));
        }
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, ANSWER_BYTES_MAX).await;
        let body = body.map_err(|error| ConnectorError::io(error.into()))?;
        let status = StatusCode::try_from(head.status.as_u16());
        let status = status.map_err(|error| ConnectorError::other(error.into(), None))?;
        let mut answered = HttpResponse::new(status, SdkBody::from(body));
        for (name, value) in &head.headers {
            if let Ok(value) = value.to_str() {
                answered.headers_mut().insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        Ok(answered)
    }
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Why a call has no answer.
enum LostAnswer {
    Connection(ConnectorError),
    /// The caller's process dies.
    CallerDies,
}

impl From<ConnectorError> for LostAnswer {
    fn from(error: ConnectorError) -> Self {
        Self::Connection(error)
    }
}

/// What a request asks for.
enum ServiceCall {
    DynamoDb { operation: String },
    Bus,
    Stripe { method: String, path: String },
}

impl ServiceCall {
    fn of(request: &HttpRequest) -> Self {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        match target.split_once('.') {
            Some((service, operation)) if service.starts_with("DynamoDB") => {
                Self::DynamoDb { operation: operation.to_owned() }
            }
            Some(_) => Self::Bus,
            None => {
                let path = request.uri().trim_start_matches(STRIPE_URL);
                let path = path.split('?').next().unwrap_or_default();
                // Without IDs. The names of collections have small letters and no digits.
                let is_id = |part: &str| {
                    part.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
                };
                let parts = path.split('/');
                let parts =
                    parts.map(|part| if part != "v1" && is_id(part) { "{id}" } else { part });
                let path = parts.collect::<Vec<_>>().join("/");
                Self::Stripe { method: request.method().to_owned(), path }
            }
        }
    }

    fn operation(&self) -> String {
        match self {
            Self::DynamoDb { operation } => operation.clone(),
            Self::Bus => "PutEvents".to_owned(),
            Self::Stripe { method, path } => format!("{method} {path}"),
        }
    }

    fn throttled(&self) -> Result<HttpResponse, ConnectorError> {
        match self {
            Self::DynamoDb { .. } => answer(
                400,
                &json!({
                    "__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException",
                    "message": "Rate of requests exceeds the allowed throughput.",
                }),
            ),
            Self::Bus => {
                answer(400, &json!({"__type": "ThrottlingException", "message": "Rate exceeded"}))
            }
            Self::Stripe { .. } => answer(
                429,
                &json!({"error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests"}}),
            ),
        }
    }
}

fn answer(status: u16, body: &Value) -> Result<HttpResponse, ConnectorError> {
    let status =
        StatusCode::try_from(status).map_err(|error| ConnectorError::other(error.into(), None))?;
    Ok(HttpResponse::new(status, SdkBody::from(body.to_string())))
}

fn body_of(request: &HttpRequest) -> Result<Value, ConnectorError> {
    let bytes = request.body().bytes().unwrap_or_default();
    serde_json::from_slice(bytes).map_err(|error| ConnectorError::user(error.into()))
}

/// Replicas and indexes that lag a little, and half-seen transactions.
struct SometimesStale<'a> {
    chance: &'a Chance,
    weather: &'a FaultWeather,
}

impl SometimesStale<'_> {
    fn lag(&self, per_mille: u32, known: usize) -> usize {
        if self.weather.is_over() || !self.chance.happens(per_mille) {
            return 0;
        }
        let most = u64::try_from(known.min(3)).unwrap_or(3);
        usize::try_from(self.chance.number(1..=most.max(1))).unwrap_or(1)
    }
}

impl Staleness for SometimesStale<'_> {
    fn partition_lag(&mut self, _table: &str, _partition: &str, writes: usize) -> usize {
        self.lag(100, writes)
    }

    fn index_lag(&mut self, _table: &str, _index: &str, _item: &str, versions: usize) -> usize {
        self.lag(200, versions)
    }

    fn sees_unacknowledged(&mut self, _: &str, _: &str, _: WriteNumber) -> Visibility {
        if self.chance.happens(500) { Visibility::Before } else { Visibility::After }
    }
}

impl fmt::Debug for SimulatedNetwork {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SimulatedNetwork").finish_non_exhaustive()
    }
}

impl HttpConnector for SimulatedNetwork {
    /// The call is a task of its own. If its caller gives up or dies, it arrives all the same, and
    /// perhaps after the caller's next one.
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let invocation = INVOCATION.try_with(Clone::clone).ok();
        let (network, call) = (self.clone(), ServiceCall::of(&request));
        let caller = invocation.as_ref().map_or("nobody", |invocation| invocation.function);
        let timeout = match call {
            // The SDKs have their own time-outs.
            ServiceCall::DynamoDb { .. } | ServiceCall::Bus => Duration::MAX,
            ServiceCall::Stripe { .. } => STRIPE_TIMEOUT,
        };
        HttpConnectorFuture::new(async move {
            let carried = tokio::spawn(async move { network.carry(caller, &call, request).await });
            match tokio::time::timeout(timeout, carried).await {
                Ok(Ok(Ok(answered))) => Ok(answered),
                Ok(Ok(Err(LostAnswer::Connection(error)))) => Err(error),
                Ok(Ok(Err(LostAnswer::CallerDies))) => {
                    // Calls outside of a function, such as a browser's, do not die.
                    let Some(invocation) = invocation else {
                        return Err(ConnectorError::io("connection reset".into()));
                    };
                    invocation.died.notify_one();
                    pending().await
                }
                Ok(Err(panicked)) => Err(ConnectorError::other(panicked.into(), None)),
                Err(_) => Err(ConnectorError::timeout("no answer".into())),
            }
        })
    }
}
