//! Faults between the real SDK and the network.
//!
//! A [`Faults`] is the HTTP client of an SDK client (see
//! [`DynamoDb::client_through`](crate::dynamodb::DynamoDb::client_through)). Every call passes
//! through it and is recorded. It may be refused, answered in DynamoDB's name, applied without an
//! answer, sent twice, delayed, or stopped at a [`Gate`] while the test acts. The store under test
//! runs unchanged.
//!
//! Calls are counted from 1, **from the moment a fault, gate or crash is set**. Earlier calls do
//! not count. If several are set for one call, a crash comes first, then the oldest scripted fault,
//! then the plan. Gates always apply.

mod answers;
mod gate;
mod plan;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;
use tokio::sync::watch;

pub use gate::Gate;
pub use plan::FaultPlan;

use gate::Barrier;

/// A fault of a call.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DynamoFault {
    /// No connection: nothing was sent.
    Refused,
    /// The whole call is throttled (HTTP 400, `ProvisionedThroughputExceededException`), not
    /// applied.
    Throttled,
    /// A transaction is canceled because its first item is throttled
    /// (`TransactionCanceledException`, reason `ThrottlingError`), not applied.
    ItemThrottled,
    /// A transaction or a write meets another transaction on its (first) item, not applied:
    /// `TransactionCanceledException` with the reason `TransactionConflict`, or for a single write
    /// `TransactionConflictException`.
    TransactionConflict,
    /// HTTP 500, not applied.
    InternalError,
    /// HTTP 500, although the call was applied. DynamoDB does not report which of the two happened.
    InternalErrorApplied,
    /// The call is applied, but the connection is lost before the answer arrives.
    AnswerLost,
    /// The call is sent twice, one after the other; the second answer is returned.
    AppliedTwice,
    /// A batch answers that it processed nothing (`UnprocessedKeys`, `UnprocessedItems`).
    Unprocessed,
    /// A query or scan answers with one item and where to go on, as it may at any time. Rewrites
    /// the request, so an endpoint that checks signatures refuses it.
    ShortPage,
    /// The call waits before it is sent, and its answer before it is returned.
    Slow {
        /// How long the call waits.
        before: Duration,
        /// How long the answer waits.
        after: Duration,
    },
}

impl DynamoFault {
    /// Whether DynamoDB would ever do this to such a call.
    #[must_use]
    pub fn applies_to(self, operation: &Operation) -> bool {
        use Operation as Op;
        match self {
            Self::Refused
            | Self::Throttled
            | Self::InternalError
            | Self::InternalErrorApplied
            | Self::AnswerLost
            | Self::AppliedTwice
            | Self::Slow { .. } => true,
            Self::ItemThrottled => operation.is_transaction(),
            Self::TransactionConflict => {
                operation.is_transaction()
                    || matches!(operation, Op::PutItem | Op::UpdateItem | Op::DeleteItem)
            }
            Self::Unprocessed => matches!(operation, Op::BatchGetItem | Op::BatchWriteItem),
            Self::ShortPage => matches!(operation, Op::Query | Op::Scan),
        }
    }
}

/// The operation of a call, from its header `x-amz-target`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "DynamoDB's own names")]
pub enum Operation {
    BatchGetItem,
    BatchWriteItem,
    DeleteItem,
    GetItem,
    PutItem,
    Query,
    Scan,
    TransactGetItems,
    TransactWriteItems,
    UpdateItem,
    /// Any other operation, by name.
    Other(String),
}

impl Operation {
    fn is_transaction(&self) -> bool {
        matches!(self, Self::TransactWriteItems | Self::TransactGetItems)
    }

    fn of(request: &HttpRequest) -> Self {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        match target.rsplit('.').next().unwrap_or_default() {
            "BatchGetItem" => Self::BatchGetItem,
            "BatchWriteItem" => Self::BatchWriteItem,
            "DeleteItem" => Self::DeleteItem,
            "GetItem" => Self::GetItem,
            "PutItem" => Self::PutItem,
            "Query" => Self::Query,
            "Scan" => Self::Scan,
            "TransactGetItems" => Self::TransactGetItems,
            "TransactWriteItems" => Self::TransactWriteItems,
            "UpdateItem" => Self::UpdateItem,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// Which calls something is set for: of one operation or any, and which of them.
#[derive(Clone, Debug)]
pub struct Calls {
    operation: Option<Operation>,
    text: Option<String>,
    first: usize,
    last: usize,
}

impl Calls {
    /// Every call of one operation.
    #[must_use]
    pub fn of(operation: Operation) -> Self {
        Self { operation: Some(operation), text: None, first: 1, last: usize::MAX }
    }

    #[must_use]
    pub fn any() -> Self {
        Self { operation: None, text: None, first: 1, last: usize::MAX }
    }

    /// Of these, only those whose request contains a text, such as an account's key.
    #[must_use]
    pub fn containing(self, text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..self }
    }

    /// Of these, only the n-th, counted from 1.
    ///
    /// # Panics
    /// If n is 0, which would be no call.
    #[must_use]
    pub fn nth(self, n: usize) -> Self {
        assert!(n > 0, "calls are counted from 1");
        Self { first: n, last: n, ..self }
    }

    /// Of these, only the first n.
    #[must_use]
    pub fn first(self, n: usize) -> Self {
        Self { first: 1, last: n, ..self }
    }

    /// Of these, the n-th and all after it.
    #[must_use]
    pub fn starting_with(self, n: usize) -> Self {
        Self { first: n, last: usize::MAX, ..self }
    }
}

/// Where a process dies, counted in calls from the moment it is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Crash {
    /// Before the k-th call is sent.
    BeforeCall(usize),
    /// After the k-th call was applied, before its answer is seen.
    AfterCall(usize),
}

/// The process died. [`Faults::until_crash`] returns it instead of a result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Crashed;

impl fmt::Display for Crashed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the process died here, by order of its test")
    }
}

impl std::error::Error for Crashed {}

#[derive(Clone, Debug)]
pub struct DynamoCall {
    pub operation: Operation,
    /// The request as it was to be sent.
    pub body: String,
    /// The fault that was applied.
    pub fault: Option<DynamoFault>,
    /// The HTTP status that the caller was given; none if it got no answer (yet).
    pub status: Option<u16>,
}

impl DynamoCall {
    /// The request's JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a request to DynamoDB is JSON")
    }
}

/// The handle of a test on its network, and at the same time the network: see the
/// [module](crate::faults). Clones are the same handle.
#[derive(Clone, Debug)]
pub struct Faults {
    network: SharedHttpClient,
    state: Arc<Mutex<State>>,
    dead: Arc<watch::Sender<Life>>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<DynamoCall>,
    /// How many calls were recorded before `calls` begins.
    forgotten: usize,
    faults: Vec<Rule<DynamoFault>>,
    gates_before: Vec<Rule<Barrier>>,
    gates_after: Vec<Rule<Barrier>>,
    plan: Option<FaultPlan>,
    crash: Option<Rule<CrashPoint>>,
}

#[derive(Clone, Copy, Debug)]
enum CrashPoint {
    Before,
    After,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    Alive,
    Dead,
}

/// A setting for certain calls, and the number of its operation's calls since then.
#[derive(Debug)]
struct Rule<T> {
    calls: Calls,
    seen: usize,
    what: T,
}

impl<T: Clone> Rule<T> {
    fn new(calls: Calls, what: T) -> Self {
        Self { calls, seen: 0, what }
    }

    /// Counts this call, and returns the setting for it.
    fn count(&mut self, operation: &Operation, body: &str) -> Option<T> {
        if self.calls.operation.as_ref().is_some_and(|wanted| wanted != operation)
            || self.calls.text.as_ref().is_some_and(|text| !body.contains(text.as_str()))
        {
            return None;
        }
        self.seen += 1;
        (self.calls.first..=self.calls.last).contains(&self.seen).then(|| self.what.clone())
    }
}

impl Faults {
    /// A network on which nothing happens until something is set.
    #[must_use]
    pub fn none() -> Self {
        // The only way of the SDK to a client without TLS; hidden from its documentation, but
        // public.
        Self::over(aws_smithy_http_client::Builder::new().build_http())
    }

    /// The same over another HTTP client.
    #[must_use]
    pub fn over(network: SharedHttpClient) -> Self {
        Self { network, state: Arc::default(), dead: Arc::new(watch::Sender::new(Life::Alive)) }
    }

    /// The same network for a client that is none of the SDK's.
    #[must_use]
    pub fn connector(&self) -> SharedHttpConnector {
        let network = aws_smithy_http_client::Connector::builder().build_http();
        let network = SharedHttpConnector::new(network);
        SharedHttpConnector::new(FaultyConnector { faults: self.clone(), network })
    }

    /// Does this to those calls. Of several faults set for one call the oldest happens.
    ///
    /// # Panics
    ///
    /// If DynamoDB would never do that to such an operation. Set for any operation, the fault
    /// passes over (but counts) the calls that it does not apply to.
    pub fn set(&self, calls: Calls, fault: DynamoFault) {
        if let Some(operation) = &calls.operation {
            assert!(fault.applies_to(operation), "{fault:?} never happens to {operation:?}");
        }
        self.state().faults.push(Rule::new(calls, fault));
    }

    /// Draws faults for the calls that no set fault is for; none ends an earlier plan.
    pub fn plan(&self, plan: impl Into<Option<FaultPlan>>) {
        self.state().plan = plan.into();
    }

    /// Stops the first of those calls before it is sent, until the gate opens.
    pub fn gate_before(&self, calls: Calls) -> Gate {
        let (gate, barrier) = gate::gate();
        self.state().gates_before.push(Rule::new(calls, barrier));
        gate
    }

    /// Stops the first of those calls when it was applied, before its answer is returned, until
    /// the gate opens.
    pub fn gate_after(&self, calls: Calls) -> Gate {
        let (gate, barrier) = gate::gate();
        self.state().gates_after.push(Rule::new(calls, barrier));
        gate
    }

    /// Kills the process at a call. From then on every call fails without SDK retries, until
    /// [`Faults::revive`]. Replaces an earlier crash that has not happened yet.
    pub fn crash(&self, crash: Crash) {
        let (n, point) = match crash {
            Crash::BeforeCall(n) => (n, CrashPoint::Before),
            Crash::AfterCall(n) => (n, CrashPoint::After),
        };
        self.state().crash = Some(Rule::new(Calls::any().nth(n), point));
    }

    /// Runs the process until it ends or dies. When it dies, its future is dropped at once and none
    /// of its code continues, except spawned tasks, whose calls fail.
    ///
    /// # Errors
    ///
    /// [`Crashed`] after a crash.
    pub async fn until_crash<T>(&self, process: impl Future<Output = T>) -> Result<T, Crashed> {
        let mut dead = self.dead.subscribe();
        tokio::select! {
            biased;
            _ = dead.wait_for(|life| *life == Life::Dead) => Err(Crashed),
            result = process => Ok(result),
        }
    }

    /// Whether a crash happened.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        *self.dead.borrow() == Life::Dead
    }

    /// Restarts the process. Calls pass, and a crash that has not happened yet is canceled.
    pub fn revive(&self) {
        self.state().crash = None;
        self.dead.send_replace(Life::Alive);
    }

    /// Removes all settings: faults, plan, gates and crash. Gates that hold a call stay closed.
    pub fn clear(&self) {
        self.revive();
        let mut state = self.state();
        state.faults.clear();
        state.plan = None;
        state.gates_before.clear();
        state.gates_after.clear();
    }

    /// The calls so far, in the order in which they arrived.
    #[must_use]
    pub fn calls(&self) -> Vec<DynamoCall> {
        self.state().calls.clone()
    }

    /// The operations of the calls so far, in the order in which they arrived.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.state().calls.iter().map(|call| call.operation.clone()).collect()
    }

    /// Returns the calls so far and resets the list.
    #[must_use]
    pub fn take_calls(&self) -> Vec<DynamoCall> {
        let mut state = self.state();
        state.forgotten += state.calls.len();
        std::mem::take(&mut state.calls)
    }

    /// How many calls of one operation there were.
    #[must_use]
    pub fn count(&self, operation: &Operation) -> usize {
        self.state().calls.iter().filter(|call| call.operation == *operation).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }

    async fn call(
        self,
        request: HttpRequest,
        network: SharedHttpConnector,
    ) -> Result<HttpResponse, ConnectorError> {
        let arrival = self.state().arrive(&request);
        if let Some(gate) = arrival.gate_before {
            gate.pass().await;
        }
        let result = match arrival.crash {
            Some(CrashPoint::Before) => Err(self.die().await),
            Some(CrashPoint::After) => {
                let _unseen = network.call(request).await;
                Err(self.die().await)
            }
            None if self.has_crashed() => Err(already_dead()),
            None => inflict(arrival.fault, &arrival.operation, request, &network).await,
        };
        if let Some(gate) = arrival.gate_after {
            gate.pass().await;
        }
        let result = if self.has_crashed() { Err(already_dead()) } else { result };
        if let Ok(response) = &result {
            self.state().answered(arrival.number, response.status().as_u16());
        }
        result
    }

    async fn die(&self) -> ConnectorError {
        self.dead.send_replace(Life::Dead);
        // `until_crash` drops the process here, before it sees the error.
        tokio::task::yield_now().await;
        already_dead()
    }
}

/// The decision for a call on its arrival.
struct Arrival {
    number: usize,
    operation: Operation,
    fault: Option<DynamoFault>,
    gate_before: Option<Barrier>,
    gate_after: Option<Barrier>,
    crash: Option<CrashPoint>,
}

impl State {
    fn arrive(&mut self, request: &HttpRequest) -> Arrival {
        let operation = Operation::of(request);
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let scripted =
            first(&mut self.faults, &operation, &body).filter(|it| it.applies_to(&operation));
        let planned = self.plan.as_mut().and_then(|plan| match scripted {
            Some(_) => None,
            None => plan.draw(&operation),
        });
        let fault = scripted.or(planned);
        let number = self.forgotten + self.calls.len();
        let arrival = Arrival {
            number,
            fault,
            gate_before: first(&mut self.gates_before, &operation, &body),
            gate_after: first(&mut self.gates_after, &operation, &body),
            crash: self.crash.as_mut().and_then(|crash| crash.count(&operation, &body)),
            operation: operation.clone(),
        };
        self.calls.push(DynamoCall { operation, body, fault, status: None });
        arrival
    }

    fn answered(&mut self, number: usize, status: u16) {
        let index = number.checked_sub(self.forgotten);
        if let Some(call) = index.and_then(|index| self.calls.get_mut(index)) {
            call.status = Some(status);
        }
    }
}

/// Counts a call in every rule, and returns the setting of the oldest matching one.
fn first<T: Clone>(rules: &mut [Rule<T>], operation: &Operation, body: &str) -> Option<T> {
    rules.iter_mut().fold(None, |found, rule| {
        let counted = rule.count(operation, body);
        found.or(counted)
    })
}

async fn inflict(
    fault: Option<DynamoFault>,
    operation: &Operation,
    mut request: HttpRequest,
    network: &SharedHttpConnector,
) -> Result<HttpResponse, ConnectorError> {
    let Some(fault) = fault else {
        return network.call(request).await;
    };
    match fault {
        DynamoFault::Refused => {
            let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
            Err(ConnectorError::io(refused.into()).never_connected())
        }
        DynamoFault::Throttled => Ok(answers::throttled()),
        DynamoFault::ItemThrottled => Ok(answers::canceled(&request, answers::THROTTLED)),
        DynamoFault::TransactionConflict if operation.is_transaction() => {
            Ok(answers::canceled(&request, answers::CONFLICT))
        }
        DynamoFault::TransactionConflict => Ok(answers::conflict()),
        DynamoFault::InternalError => Ok(answers::internal_error()),
        DynamoFault::InternalErrorApplied => {
            network.call(request).await?;
            Ok(answers::internal_error())
        }
        DynamoFault::AnswerLost => {
            network.call(request).await?;
            let lost = io::Error::from(io::ErrorKind::ConnectionReset);
            Err(ConnectorError::io(lost.into()))
        }
        DynamoFault::AppliedTwice => {
            let again = request.try_clone().expect("a request to DynamoDB has its body in memory");
            network.call(request).await?;
            network.call(again).await
        }
        DynamoFault::Unprocessed => Ok(answers::unprocessed(&request, operation)),
        DynamoFault::ShortPage => {
            limit_to_one(&mut request);
            network.call(request).await
        }
        DynamoFault::Slow { before, after } => {
            tokio::time::sleep(before).await;
            let answer = network.call(request).await;
            tokio::time::sleep(after).await;
            answer
        }
    }
}

fn limit_to_one(request: &mut HttpRequest) {
    let mut body = answers::json(request);
    body["Limit"] = 1.into();
    let body = body.to_string();
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body);
}

/// Of the kind that the SDK never retries.
fn already_dead() -> ConnectorError {
    ConnectorError::user(Crashed.into())
}

impl HttpClient for Faults {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let network = self.network.http_connector(settings, components);
        SharedHttpConnector::new(FaultyConnector { faults: self.clone(), network })
    }
}

#[derive(Debug)]
struct FaultyConnector {
    faults: Faults,
    network: SharedHttpConnector,
}

impl HttpConnector for FaultyConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.faults.clone().call(request, self.network.clone()))
    }
}
