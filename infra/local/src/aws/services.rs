//! The services that functions call, each at a path that names the calling process.
//!
//! `/<process>/runtime/…` is its Runtime API. `/<process>/dynamodb`, `/events`, `/sqs`, `/lambda`,
//! `/secretsmanager` and `/stripe` are services. Every call is therefore recorded with its function
//! and invocation, and a fault can kill exactly that process before or after exactly that call. The
//! process `-` represents callers that are not functions, such as a developer's AWS CLI or a test.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use crate::aws::aws_json::{self, Failures};
use crate::aws::dynamodb::DynamoDb;
use crate::aws::events::{self, Events};
use crate::aws::lambda::invocation::{Invocation, Outcome};
use crate::aws::lambda::process::Instance;
use crate::aws::lambda::{Lambda, runtime_api};
use crate::aws::message::AsynchronousInvocation;
use crate::aws::queues::{self, Queues};
use crate::aws::secrets::Secrets;
use crate::aws::streams::Streams;
use crate::aws::targets::Targets;
use crate::runtime::agenda::Activity;
use crate::runtime::calls::{Permission, Recorded, RecordedCall};
use crate::runtime::clock;
use crate::runtime::common::Common;
use crate::runtime::faults::{CallFault, LocalFaultKind};
use crate::runtime::http::{self, Client};
use crate::runtime::names;
use crate::template::wiring::Target;

/// The process that is none.
pub(crate) const NOBODY: &str = "-";

/// No service takes more than DynamoDB does.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Everything functions call.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) common: Common,
    pub(crate) activity: Activity,
    pub(crate) calls: Arc<Recorded<RecordedCall>>,
    pub(crate) client: Client,
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) dynamodb: Arc<DynamoDb>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) events: Arc<Events>,
    pub(crate) queues: Arc<Queues>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) targets: Arc<Targets>,
    /// The API of the Stripe stand-in, if it is used.
    pub(crate) stripe: Option<Router>,
}

impl Services {
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(handle).with_state(Arc::clone(self))
    }
}

async fn handle(State(services): State<Arc<Services>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let mut parts = path.trim_start_matches('/').splitn(3, '/');
    let (caller, service) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let rest = format!("/{}", parts.next().unwrap_or_default());
    let instance = services.lambda.instance(caller);
    if instance.is_none() && caller != NOBODY {
        return http::json(
            StatusCode::NOT_FOUND,
            &json!({"message": format!("there is no process {caller}")}),
        );
    }
    if let (Some(instance), "runtime") = (&instance, service) {
        return runtime_api::handle(instance, &rest, request).await;
    }
    let (parts, body) = request.into_parts();
    let Some(body) = http::read_body(body, BODY_MAX_BYTES).await else {
        return http::json(
            StatusCode::PAYLOAD_TOO_LARGE,
            &json!({"message": "the body is too large"}),
        );
    };
    let request = ServiceRequest { service: service.to_owned(), rest, parts, body };
    // A service finishes a request even if the caller disconnects.
    let working = services.activity.begin();
    let answered = tokio::spawn(async move {
        let _working = working;
        match instance {
            None => request.answer(&services).await,
            Some(instance) => observed(&services, &instance, request).await,
        }
    });
    answered.await.unwrap_or_else(|_panicked| http::hang_up())
}

/// Records a call of a function, and applies the fault that is set for it.
async fn observed(
    services: &Arc<Services>,
    instance: &Instance,
    request: ServiceRequest,
) -> Response {
    let call = request.described(services, instance);
    let fault = fault_of(services, instance, &call);
    let number = services.calls.add(|n| RecordedCall { n, ..call });
    let end = |outcome: String, response: Response| {
        services.calls.change(number, |call| call.outcome = Some(outcome));
        response
    };
    let Some(CallFault { kind, delay }) = fault else {
        let response = request.answer(services).await;
        return end(response.status().as_u16().to_string(), response);
    };
    match kind {
        LocalFaultKind::KillBefore => {
            // Recorded first: a caller that waits for the function sees its end at once.
            let response = end("killed before".to_owned(), http::hang_up());
            kill(instance).await;
            response
        }
        LocalFaultKind::KillAfter => {
            let answered = request.answer(services).await.status().as_u16();
            let response = end(format!("killed after {answered}"), http::hang_up());
            kill(instance).await;
            response
        }
        LocalFaultKind::LoseAnswer => {
            let answered = request.answer(services).await.status().as_u16();
            end(format!("lost {answered}"), http::hang_up())
        }
        LocalFaultKind::LoseCall => end("lost".to_owned(), http::hang_up()),
        LocalFaultKind::Throttle => end("throttled".to_owned(), request.throttled()),
        LocalFaultKind::Error => end("failed".to_owned(), request.failed()),
        LocalFaultKind::Delay => {
            tokio::time::sleep(delay).await;
            let response = request.answer(services).await;
            end(response.status().as_u16().to_string(), response)
        }
        LocalFaultKind::Drop | LocalFaultKind::Duplicate | LocalFaultKind::Fail => {
            let response = request.answer(services).await;
            end(response.status().as_u16().to_string(), response)
        }
    }
}

/// The fault that is set for a call, by any name of its function.
fn fault_of(services: &Services, instance: &Instance, call: &RecordedCall) -> Option<CallFault> {
    let function = services.lambda.function(&instance.function);
    let names = function.map_or_else(Vec::new, |function| {
        vec![function.binary.as_str(), function.name.as_str(), function.logical_id.as_str()]
    });
    services.common.faults.call(call, &names)
}

async fn kill(instance: &Instance) {
    instance.kill();
    instance.ended().await;
}

struct ServiceRequest {
    service: String,
    /// The path after the service.
    rest: String,
    parts: Parts,
    body: Bytes,
}

impl ServiceRequest {
    /// The record of the call, before it is counted and answered.
    fn described(&self, services: &Services, instance: &Instance) -> RecordedCall {
        RecordedCall {
            n: 0,
            at: clock::format(services.common.clock.now()),
            function: instance.binary.clone(),
            invocation: instance.working_on(),
            service: self.service.clone(),
            operation: self.operation(),
            tables: self.tables(),
            permissions: self.permissions(),
            outcome: None,
        }
    }

    fn operation(&self) -> String {
        match self.service.as_str() {
            "dynamodb" | "events" | "sqs" | "secretsmanager" => {
                aws_json::operation(&self.parts.headers)
            }
            _ => format!("{} {}", self.parts.method, self.rest),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The tables a call of DynamoDB is about.
    fn tables(&self) -> Vec<String> {
        if self.service != "dynamodb" {
            return Vec::new();
        }
        let body = self.json();
        let of_items = body["TransactItems"].as_array().into_iter().flatten().filter_map(|item| {
            let (_, action) = item.as_object()?.iter().next()?;
            action["TableName"].as_str()
        });
        let of_batch = body["RequestItems"]
            .as_object()
            .into_iter()
            .flat_map(serde_json::Map::keys)
            .map(String::as_str);
        let mut tables: Vec<String> = body["TableName"]
            .as_str()
            .into_iter()
            .chain(of_items)
            .chain(of_batch)
            .map(str::to_owned)
            .collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    /// The IAM permissions that the call needs.
    fn permissions(&self) -> Vec<Permission> {
        let (body, operation) = (self.json(), self.operation());
        let permission = |resource: String| self.permission(&operation, resource);
        let mut permissions: Vec<Permission> = match self.service.as_str() {
            "dynamodb" => self.table_permissions(&body, &operation),
            "events" => {
                let buses = body["Entries"].as_array().into_iter().flatten();
                let bus =
                    |entry: &Value| entry["EventBusName"].as_str().unwrap_or("default").to_owned();
                buses.map(|entry| permission(Target::Bus(bus(entry)).arn())).collect()
            }
            "sqs" => {
                let queue = body["QueueUrl"]
                    .as_str()
                    .and_then(|url| url.rsplit('/').next())
                    .unwrap_or_default();
                vec![permission(Target::Queue(queue.to_owned()).arn())]
            }
            "secretsmanager" => {
                vec![permission(body["SecretId"].as_str().unwrap_or_default().to_owned())]
            }
            _ => Vec::new(),
        };
        permissions.sort_unstable();
        permissions.dedup();
        permissions
    }

    fn table_permissions(&self, body: &Value, operation: &str) -> Vec<Permission> {
        let of_items = body["TransactItems"].as_array().into_iter().flatten().filter_map(|item| {
            let (kind, write) = item.as_object()?.iter().next()?;
            let table = write["TableName"].as_str()?;
            // `Put` needs PutItem, `ConditionCheck` ConditionCheckItem, and so on.
            Some(self.permission(&format!("{kind}Item"), names::table_arn(table)))
        });
        let of_batch = body["RequestItems"].as_object().into_iter().flat_map(serde_json::Map::keys);
        let of_batch = of_batch.map(|table| self.permission(operation, names::table_arn(table)));
        let of_table = body["TableName"].as_str().map(|table| {
            let index = body["IndexName"]
                .as_str()
                .map(|index| format!("/index/{index}"))
                .unwrap_or_default();
            self.permission(operation, names::table_arn(table) + &index)
        });
        of_items.chain(of_batch).chain(of_table).collect()
    }

    fn permission(&self, action: &str, resource: String) -> Permission {
        Permission { action: format!("{}:{action}", self.service), resource }
    }

    async fn answer(self, services: &Arc<Services>) -> Response {
        let operation = self.operation();
        match self.service.as_str() {
            "dynamodb" => self.dynamodb(services, &operation).await,
            "events" => aws_json::response(match operation.as_str() {
                "PutEvents" => events::api::put_events(&services.events, &self.json()),
                _ => Err(Failures::EVENTS.unknown_operation(&operation)),
            }),
            "sqs" => {
                aws_json::response(queues::api::handle(&services.queues, &operation, &self.json()))
            }
            "secretsmanager" => aws_json::response(match operation.as_str() {
                "GetSecretValue" => services.secrets.value(&self.json()),
                _ => Err(Failures::SECRETS.unknown_operation(&operation)),
            }),
            "lambda" => self.invoke(services).await,
            "stripe" if services.stripe.is_some() => self.stripe(services).await,
            _ => {
                let service =
                    self.parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
                let message = format!(
                    "the local cloud does not imitate the service of {} {} ({})",
                    self.parts.method,
                    self.parts.uri.path(),
                    service.unwrap_or("no x-amz-target")
                );
                services.common.log.note(&message);
                http::json(
                    StatusCode::NOT_IMPLEMENTED,
                    &json!({"__type": "NotImplemented", "message": message}),
                )
            }
        }
    }

    async fn dynamodb(self, services: &Arc<Services>, operation: &str) -> Response {
        let answered = services
            .client
            .send(self.parts.method, &services.dynamodb.url, &self.parts.headers, self.body)
            .await;
        let writes = !matches!(
            operation,
            "GetItem" | "Query" | "Scan" | "BatchGetItem" | "TransactGetItems"
        );
        if writes {
            services.dynamodb.wrote();
            services.streams.wake();
        }
        match answered {
            Ok((status, headers, body)) => {
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                response
            }
            Err(error) => {
                services
                    .common
                    .log
                    .note(&format!("the embedded DynamoDB does not answer: {error}"));
                http::hang_up()
            }
        }
    }

    /// `Invoke`: a function is called directly.
    async fn invoke(self, services: &Arc<Services>) -> Response {
        let name = self
            .rest
            .strip_prefix("/2015-03-31/functions/")
            .and_then(|rest| rest.strip_suffix("/invocations"));
        let function =
            name.and_then(|name| services.lambda.function(name.rsplit(':').next().unwrap_or(name)));
        let (&Method::POST, Some(function)) = (&self.parts.method, function) else {
            let error =
                json!({"Type": "User", "Message": format!("Function not found: {}", self.rest)});
            return http::json(StatusCode::NOT_FOUND, &error);
        };
        let is_event =
            self.parts.headers.get("x-amz-invocation-type").is_some_and(|kind| kind == "Event");
        let trigger = "invoked directly";
        if is_event {
            let payload = String::from_utf8_lossy(&self.body).into_owned();
            let now = services.common.clock.now();
            let invocation =
                AsynchronousInvocation::new(&function.name, payload, trigger, None, now);
            services.targets.invocations.now(invocation);
            return http::json(StatusCode::ACCEPTED, &Value::Null);
        }
        let payload = if self.body.is_empty() { Bytes::from_static(b"{}") } else { self.body };
        match services
            .lambda
            .invoke(&function.name, Invocation::new(payload, trigger).or_throttle())
            .await
        {
            Outcome::Answer(answer) => http::answer(StatusCode::OK, "application/json", answer),
            Outcome::Failed(error) => {
                let mut response = http::json(StatusCode::OK, &error);
                let unhandled = axum::http::HeaderValue::from_static("Unhandled");
                response.headers_mut().insert("x-amz-function-error", unhandled);
                response
            }
            Outcome::Throttled => {
                let error = json!({"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "Type": "User", "message": "Rate Exceeded."});
                http::json(StatusCode::TOO_MANY_REQUESTS, &error)
            }
        }
    }

    /// Stripe sees the path it knows.
    async fn stripe(self, services: &Arc<Services>) -> Response {
        let Some(stripe) = &services.stripe else { return http::hang_up() };
        let query = self.parts.uri.query().map_or_else(String::new, |query| format!("?{query}"));
        let uri: Uri = format!("{}{query}", self.rest).parse().unwrap_or_default();
        let mut request = Request::new(Body::from(self.body));
        *request.method_mut() = self.parts.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.parts.headers;
        http::call(stripe, request).await
    }

    fn failures(&self) -> Option<Failures> {
        match self.service.as_str() {
            "dynamodb" => Some(Failures::TABLES),
            "events" => Some(Failures::EVENTS),
            "sqs" => Some(Failures::QUEUES),
            "secretsmanager" => Some(Failures::SECRETS),
            _ => None,
        }
    }

    fn throttled(&self) -> Response {
        match self.failures() {
            Some(failures) => failures.throttled().response(),
            None => {
                let error = json!({"error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Throttled on demand."}});
                http::json(StatusCode::TOO_MANY_REQUESTS, &error)
            }
        }
    }

    fn failed(&self) -> Response {
        match self.failures() {
            Some(failures) => failures.internal().response(),
            None => {
                let error = json!({"error": {"type": "api_error", "message": "Failed on demand."}});
                http::json(StatusCode::INTERNAL_SERVER_ERROR, &error)
            }
        }
    }
}
