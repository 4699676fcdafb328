//! `/local/…`: what a developer or a test can do with the cloud itself.
//!
//! | request | does |
//! |---|---|
//! | `GET /local/clock` | `{"now"}` |
//! | `POST /local/clock` `{"advance": "1h"}` or `{"to": RFC 3339}` | moves the clock, running everything on the way; answers when all is idle, with `{"now", "ran"}`. `{"advance": "0s"}` only waits |
//! | `POST /local/tokens` `{"account", "scope"?, "email"?, "claims"?}` | `{"token"}`; `claims` beat the usual ones (`{"exp": 0}` is an expired token) |
//! | `GET /local/jwks.json`, `GET /local/.well-known/openid-configuration` | the issuer |
//! | `GET /local/events` | every event that came to a bus, with the rules it matched |
//! | `GET /local/dead-letters` | messages in dead-letter queues |
//! | `GET /local/queues` | messages in all queues |
//! | `GET /local/ledger/{account}` | the account's rows |
//! | `GET /local/calls?after=N`, `GET /local/runs?after=N` | calls of functions, and invocations |
//! | `GET /local/logs` | what functions printed |
//! | `GET /local/faults`, `POST /local/faults` | see [`crate::runtime::faults::LocalFault`]; also `{"clear": true}`, `{"kill": "function"}`, `{"redeliver": "all"}` |
//! | `POST /local/functions/{function}` | invokes a function with the body and waits |

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::UtcDateTime;

use crate::aws::dynamodb;
use crate::aws::lambda::invocation::{Invocation, Outcome, PAYLOAD_MAX_BYTES};
use crate::control::world::World;
use crate::runtime::clock;
use crate::runtime::faults::LocalFault;
use crate::runtime::http;
use crate::runtime::names;
use crate::template::wiring::{Target, Wiring};

/// How far the clock can be moved at once: a schedule of each minute is half a million runs in a
/// year.
const ADVANCE_MAX_DAYS: i64 = 366;

/// The routes of the API and of the control.
pub(crate) fn router(world: &Arc<World>) -> Router {
    Router::new()
        .route("/local/clock", get(get_clock).post(move_clock))
        .route("/local/tokens", post(make_token))
        .route(
            "/local/jwks.json",
            get(async |State(world): State<Arc<World>>| ok(&world.keys.jwks())),
        )
        .route("/local/.well-known/openid-configuration", get(openid_configuration))
        .route(
            "/local/events",
            get(async |State(world): State<Arc<World>>| {
                ok(&json!({"events": world.events.kept()}))
            }),
        )
        .route("/local/dead-letters", get(dead_letters))
        .route("/local/queues", get(queues))
        .route("/local/ledger/{account}", get(ledger))
        .route("/local/calls", get(calls))
        .route("/local/runs", get(runs))
        .route(
            "/local/logs",
            get(async |State(world): State<Arc<World>>| {
                ok(&json!({"lines": world.common.log.kept()}))
            }),
        )
        .route("/local/faults", get(get_faults).post(set_faults))
        .route("/local/functions/{function}", post(invoke))
        .route(
            "/local/{*rest}",
            axum::routing::any(async || {
                problem(StatusCode::NOT_FOUND, "there is no such path under /local")
            }),
        )
        .method_not_allowed_fallback(async || {
            problem(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
        })
        .layer(DefaultBodyLimit::max(PAYLOAD_MAX_BYTES))
        .fallback(async |State(world): State<Arc<World>>, request: Request| {
            world.gateway.handle(request).await
        })
        .with_state(Arc::clone(world))
}

fn ok(value: &Value) -> Response {
    http::json(StatusCode::OK, value)
}

fn problem(status: StatusCode, message: &str) -> Response {
    http::json(status, &json!({"message": message}))
}

fn bad(message: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, message)
}

async fn get_clock(State(world): State<Arc<World>>) -> Response {
    ok(&json!({"now": clock::format(world.common.clock.now())}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    advance: Option<String>,
    to: Option<String>,
}

async fn move_clock(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let Ok(wanted) = serde_json::from_slice::<Move>(&body) else {
        return bad("the body is {\"advance\": \"1h\"} or {\"to\": \"2026-12-01T00:00:00Z\"}");
    };
    match advance(&world, wanted.advance.as_deref(), wanted.to.as_deref()).await {
        Ok(answer) => ok(&answer),
        Err(reason) => bad(&reason),
    }
}

/// Moves the clock by a duration, or to a time.
///
/// # Errors
///
/// If neither or both are given, or the time is past or too far ahead, as text.
pub(crate) async fn advance(
    world: &Arc<World>,
    by: Option<&str>,
    to: Option<&str>,
) -> Result<Value, String> {
    let now = world.common.clock.now();
    let to = match (by, to) {
        (Some(by), None) => {
            now + clock::parse_duration(by)
                .ok_or_else(|| format!("{by:?} is no length of time such as 90s, 15m or 1h"))?
        }
        (None, Some(to)) => clock::parse(to)
            .ok_or_else(|| format!("{to:?} is no time such as 2026-12-01T00:00:00Z"))?,
        _ => return Err("either `advance` or `to` is needed".to_owned()),
    };
    check_move(now, to)?;
    if world.stripe.is_none() {
        return Err(
            "the clock cannot be moved while Stripe itself is used, whose clock cannot".to_owned()
        );
    }
    let task_world = Arc::clone(world);
    // The move is finished even if the client disconnects.
    let ran = tokio::spawn(async move { task_world.advance(to).await }).await;
    let ran = ran.map_err(|error| error.to_string())?;
    Ok(json!({"now": clock::format(world.common.clock.now()), "ran": ran}))
}

fn check_move(now: UtcDateTime, to: UtcDateTime) -> Result<(), String> {
    if to < now {
        return Err(format!(
            "the clock moves only forward, and it is {} already",
            clock::format(now)
        ));
    }
    if to - now > time::Duration::days(ADVANCE_MAX_DAYS) {
        return Err(format!("the clock moves at most {ADVANCE_MAX_DAYS} days at once"));
    }
    Ok(())
}

/// The claims of a token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The account: `sub`.
    pub account: String,
    /// Scopes, separated by blanks.
    #[serde(default)]
    pub scope: Option<String>,
    /// The e-mail address, by default that of the account at `example.test`.
    #[serde(default)]
    pub email: Option<String>,
    /// Claims that beat the usual ones.
    #[serde(default)]
    pub claims: Map<String, Value>,
}

async fn make_token(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let request = match serde_json::from_slice::<TokenRequest>(&body) {
        Ok(request) => request,
        Err(error) => {
            return bad(&format!(
                "the body is {{\"account\", \"scope\"?, \"email\"?, \"claims\"?}}: {error}"
            ));
        }
    };
    match token(&world, &request) {
        Ok(token) => ok(&json!({"token": token})),
        Err(reason) => bad(&reason),
    }
}

/// A token for the API.
///
/// # Errors
///
/// If the request has no account, as text.
pub(crate) fn token(world: &World, request: &TokenRequest) -> Result<String, String> {
    if request.account.is_empty() {
        return Err("the account is empty".to_owned());
    }
    let email =
        request.email.clone().unwrap_or_else(|| format!("{}@example.test", request.account));
    let scope = request.scope.as_deref().unwrap_or_default();
    let mut claims =
        json!({"sub": request.account, "email": email, "azp": names::client_for(scope)});
    if let Some(scope) = &request.scope {
        claims["scope"] = json!(scope);
    }
    for (name, value) in &request.claims {
        claims[name] = value.clone();
    }
    let authorizer = world.wiring.api.as_ref().and_then(|api| api.authorizer_of(scope));
    world.keys.token(authorizer, world.common.clock.now(), &claims)
}

async fn openid_configuration(State(world): State<Arc<World>>) -> Response {
    let authorizer = world.wiring.api.as_ref().and_then(|api| api.authorizer_of(""));
    ok(&json!({
        "issuer": authorizer.map(|authorizer| &authorizer.issuer),
        "jwks_uri": format!("{}/local/jwks.json", world.api_url),
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
    }))
}

/// Queues that are the dead-letter queue of a queue, rule or function.
fn dead_letter_queues(wiring: &Wiring) -> Vec<&str> {
    let of_target = |target: &'_ Target| matches!(target, Target::Queue(_));
    let functions = wiring.functions.iter().flat_map(|function| {
        let rules = &function.asynchronous;
        let on_failure =
            rules.on_failure.as_ref().filter(|target| of_target(target)).map(Target::name);
        [rules.dead_letters.as_deref(), on_failure]
    });
    let rules = wiring
        .rules
        .iter()
        .flat_map(|rule| &rule.targets)
        .map(|target| target.dead_letters.as_deref());
    let queues =
        wiring.queues.iter().map(|queue| queue.redrive.as_ref().map(|(name, _)| name.as_str()));
    let streams = wiring.stream_mappings.iter();
    let streams = streams.map(|mapping| {
        mapping.on_failure.as_ref().filter(|target| of_target(target)).map(Target::name)
    });
    let mut names: Vec<&str> =
        functions.chain(rules).chain(queues).chain(streams).flatten().collect();
    names.sort_unstable();
    names.dedup();
    names
}

async fn dead_letters(State(world): State<Arc<World>>) -> Response {
    ok(&dead_letters_of(&world))
}

/// Messages by dead-letter queue, and their total number.
pub(crate) fn dead_letters_of(world: &World) -> Value {
    let queues = dead_letter_queues(&world.wiring);
    let shown: Map<String, Value> = queues
        .iter()
        .map(|queue| ((*queue).to_owned(), Value::Array(world.queues.shown(queue))))
        .collect();
    let count: usize =
        shown.values().filter_map(|messages| messages.as_array().map(Vec::len)).sum();
    json!({"count": count, "queues": shown})
}

async fn queues(State(world): State<Arc<World>>) -> Response {
    let queues = world.wiring.queues.iter();
    let shown =
        queues.map(|queue| (queue.name.clone(), Value::Array(world.queues.shown(&queue.name))));
    ok(&json!({"queues": shown.collect::<Map<_, _>>()}))
}

async fn ledger(State(world): State<Arc<World>>, Path(account): Path<String>) -> Response {
    match ledger_of(&world, &account) {
        Ok(rows) => ok(&json!({"rows": rows})),
        Err(reason) => problem(StatusCode::NOT_FOUND, &reason),
    }
}

/// Every row of an account, with its body parsed as JSON.
///
/// # Errors
///
/// If the template has no ledger, as text.
pub(crate) fn ledger_of(world: &World, account: &str) -> Result<Vec<Value>, String> {
    let table = world.wiring.tables.iter().find(|table| table.name.ends_with("ledger"));
    let table = table.ok_or("the template has no table whose name ends with `ledger`")?;
    let key = table.request["KeySchema"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|key| key["KeyType"] == "HASH");
    let key = key
        .and_then(|key| key["AttributeName"].as_str())
        .ok_or("the ledger has no partition key")?;
    let rows = world.dynamodb.items(&table.name, key, account)?;
    let row = |item: &Value| {
        let mut row = dynamodb::plain_item(item);
        if let Some(body) = row["body"].as_str().and_then(|body| serde_json::from_str(body).ok()) {
            row["body"] = body;
        }
        row
    };
    Ok(rows.iter().map(row).collect())
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn calls(State(world): State<Arc<World>>, Query(query): Query<After>) -> Response {
    ok(&json!({"count": world.calls.count(), "calls": world.calls.since(query.after)}))
}

async fn runs(State(world): State<Arc<World>>, Query(query): Query<After>) -> Response {
    ok(&json!({"count": world.runs.count(), "runs": world.runs.since(query.after)}))
}

async fn get_faults(State(world): State<Arc<World>>) -> Response {
    let faults = world
        .common
        .faults
        .all()
        .into_iter()
        .map(|(fault, seen)| json!({"fault": fault, "seen": seen}));
    ok(&json!({"faults": faults.collect::<Vec<_>>()}))
}

async fn set_faults(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return bad("the body is not JSON");
    };
    match faults(&world, request) {
        Ok(answer) => ok(&answer),
        Err(reason) => bad(&reason),
    }
}

/// Sets a fault, or clears, kills or redelivers at once.
///
/// # Errors
///
/// If the request is none of these, as text.
pub(crate) fn faults(world: &Arc<World>, request: Value) -> Result<Value, String> {
    if request["clear"] == true {
        world.common.faults.clear();
        if let Some(stripe) = &world.stripe {
            stripe.stand_in.clear_faults();
        }
        return Ok(json!({"cleared": true}));
    }
    if let Some(name) = request["kill"].as_str() {
        let function =
            world.wiring.function(name).ok_or_else(|| format!("there is no function {name}"))?;
        return Ok(json!({"killed": world.lambda.kill(&function.name)}));
    }
    if let Some(which) = request["redeliver"].as_str() {
        let stripe = world.stripe.as_ref().ok_or("there is no Stripe stand-in")?;
        let count = if which == "all" {
            stripe.stand_in.redeliver_all()
        } else {
            stripe.stand_in.redeliver(which)
        };
        world.wake_stripe();
        return Ok(json!({"redelivered": count}));
    }
    let fault: LocalFault = serde_json::from_value(request).map_err(|error| error.to_string())?;
    if let Some(function) = &fault.function
        && world.wiring.function(function).is_none()
    {
        return Err(format!("there is no function {function}"));
    }
    world.common.faults.set(fault)?;
    Ok(json!({"set": true}))
}

async fn invoke(
    State(world): State<Arc<World>>,
    Path(function): Path<String>,
    body: Bytes,
) -> Response {
    let Some(function) = world.wiring.function(&function) else {
        return problem(StatusCode::NOT_FOUND, &format!("there is no function {function}"));
    };
    let body = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
    if serde_json::from_slice::<Value>(&body).is_err() {
        return bad("the body is not JSON");
    }
    let name = function.name.clone();
    match world.lambda.invoke(&name, Invocation::new(body, "invoked directly").or_throttle()).await
    {
        Outcome::Answer(answer) => http::answer(StatusCode::OK, "application/json", answer),
        Outcome::Failed(error) => http::json(StatusCode::BAD_GATEWAY, &error),
        Outcome::Throttled => problem(StatusCode::TOO_MANY_REQUESTS, "Rate Exceeded."),
    }
}
