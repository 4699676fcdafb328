//! Bad input on every route of the template leads to the right problem document and writes nothing.
//!
//! The routes come from the template, so that none can be forgotten. A new route needs a good body
//! here, and all bad ones are derived from it.

use serde_json::{Map, Value, json};
use tollgate_local::api::{ApiClient, ApiReply};
use tollgate_local::calls::RecordedCall;
use tollgate_local::control::TokenRequest;
use tollgate_local::wiring::{Route, RouteAuthorizer};

use crate::invariants::check;
use crate::support::{ADMIN, Customer, PLATFORM, Processes, World, key, token};

/// More than other routes accept, and less than API Gateway's limit.
const HUGE_BYTES: usize = 300 * 1024;
/// More than an import may have.
const IMPORT_BYTES: usize = 4_000_001;
/// More than API Gateway takes.
const TOO_HUGE_BYTES: usize = 11 * 1024 * 1024;

/// A world with two customers, of whom one has something to lose.
struct Scene<'w> {
    world: &'w World,
    alice: Customer<'w>,
    mallory: Customer<'w>,
    project: String,
    resource: String,
    hold: String,
    session: String,
    payment: String,
    card: String,
    routes: Vec<Route>,
}

impl<'w> Scene<'w> {
    async fn new(world: &'w World) -> Scene<'w> {
        let (alice, mallory) = (world.customer("alice"), world.customer("mallory"));
        alice.top_up("25.00").await;
        let project = alice.project().await;
        let resource = alice.start(&project, "vm-small").await;
        let page = alice.page(&json!({"amount": "10.00"})).await;
        let hold = hold(world, &project).await;
        world.offer_plans(0).await;
        mallory.top_up("5.00").await;
        mallory.project().await;
        world.read(&world.operator, "/v1/account").await;
        world.cloud.idle().await;
        let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let routes = world.cloud.wiring().api.as_ref().unwrap().routes.clone();
        let (session, payment) = (page["id"].as_str().unwrap().to_owned(), alice.payment("topup"));
        let cards = world.read(&alice.api, "/v1/payment-methods").await;
        let card = cards["items"][0]["id"].as_str().unwrap().to_owned();
        let (project, resource) = (last(&project), last(&resource));
        Scene { world, alice, mallory, project, resource, hold, session, payment, card, routes }
    }

    /// A route with Alice's things in it.
    fn path(&self, route: &Route) -> String {
        let id = match route.path.split('/').nth(2) {
            Some("checkout-sessions") => &self.session,
            Some("payment-methods") => &self.card,
            Some("admin") => &self.payment,
            _ => &self.resource,
        };
        let path = route
            .path
            .replace("{project}", &self.project)
            .replace("{account}", "alice")
            .replace("{hold}", &self.hold)
            .replace("{number}", "1")
            .replace("{plan}", "year")
            .replace("{invoice}", "in_nothing")
            .replace("{id}", id);
        assert!(!path.contains('{'), "{path}: say what stands there");
        match route.key().as_str() {
            "POST /v1/admin/accounts" => format!("{path}?issuer={}", self.world.issuer()),
            _ => path,
        }
    }

    /// A body that this route takes; null if it reads none.
    fn good_body(&self, route: &Route) -> Value {
        let reason = json!({"reason": "a test"});
        match route.key().as_str() {
            key if key.starts_with("GET ") => Value::Null,
            "POST /v1/stripe/webhook" => Value::Null,
            "POST /v1/checkout-sessions" => {
                let refill = json!({"enabled": true, "threshold": "5.00", "amount": "20.00"});
                json!({"amount": "25.00", "auto_refill": refill})
            }
            "POST /v1/trial" => json!({"auto_refill": {"enabled": true}}),
            "POST /v1/commit-plans/{plan}/checkout" => {
                json!({"version": 1, "auto_refill": {"enabled": true}})
            }
            "POST /v1/projects" => json!({"name": "second"}),
            "POST /v1/projects/{project}/resources" => {
                json!({"sku": "vm-small", "name": "two", "start": true})
            }
            "PUT /v1/company" => json!({"name": "Acme"}),
            "POST /v1/checkout-sessions/{id}/cancel"
            | "POST /v1/auto-refill/now"
            | "POST /v1/payment-methods/sessions"
            | "PUT /v1/payment-methods/{id}/default"
            | "DELETE /v1/payment-methods/{id}"
            | "POST /v1/portal-sessions"
            | "POST /v1/holds/{hold}/release"
            | "POST /v1/admin/payments/{id}/recover"
            | "POST /v1/admin/payments/{id}/invoice"
            | "POST /v1/account/start"
            | "POST /v1/account/restore"
            | "POST /v1/projects/{project}/resources/{id}/start"
            | "POST /v1/projects/{project}/resources/{id}/stop"
            | "POST /v1/projects/{project}/resources/{id}/restore"
            | "DELETE /v1/projects/{project}/budget"
            | "DELETE /v1/projects/{project}/resources/{id}" => json!({}),
            "PUT /v1/projects/{project}/budget" => json!({"amount": "5.00", "stop": true}),
            "POST /v1/account/stop" => json!({"resources": ["srv-1"]}),
            "POST /v1/usage" => {
                json!({"project": self.project, "sku": "vm-small", "reading": "10"})
            }
            "POST /v1/holds" => {
                json!({"project": self.project, "skus": ["tokens"], "amount": "1.00", "expires_in": 60})
            }
            "POST /v1/holds/{hold}/capture" => {
                json!({"usage": [{"sku": "tokens", "quantity": "10"}], "final": true})
            }
            "POST /v1/holds/{hold}/extend" => json!({"expires_in": 60}),
            "PUT /v1/account" => json!({"email": "new@example.test"}),
            "DELETE /v1/account" => json!({"balance": "0.01"}),
            "PUT /v1/account/restart-policy" => json!({"restart": "in_order"}),
            "PUT /v1/auto-refill" => {
                json!({"enabled": true, "threshold": "5.00", "amount": "20.00"})
            }
            "PUT /v1/admin/prices" => {
                let price =
                    json!({"sku": "new", "unit": "hour", "kind": "instance", "rate": "1.00"});
                json!({"prices": [price]})
            }
            "PUT /v1/admin/commit-offers" => {
                let offer =
                    json!({"id": "year", "months": 12, "price": "120.00", "bonus": "12.00"});
                json!({"version": 1, "offers": [offer], "reason": "a test"})
            }
            "POST /v1/admin/accounts" => {
                json!({"accounts": [{"sub": "mallory", "credit": "5.00", "reference": "a test"}]})
            }
            "PUT /v1/admin/accounts/{account}/quotas" => {
                json!({"resources": 2000, "projects": 200, "reason": "a test"})
            }
            "POST /v1/admin/accounts/{account}/bonus" => {
                json!({"amount": "5.00", "expires_at": "2027-01-01T00:00:00Z", "reason": "a test"})
            }
            "POST /v1/admin/accounts/{account}/correction" => {
                json!({"amount": "5.00", "reason": "a test"})
            }
            "POST /v1/admin/accounts/{account}/invoices" => {
                json!({"credit": "50.00", "due_days": 30, "methods": ["card"], "reason": "a test"})
            }
            "POST /v1/admin/payments/{id}/refunds" => {
                json!({"amount": "1.00", "reason": "a test"})
            }
            "POST /v1/admin/accounts/{account}/grants/{number}/withdraw"
            | "POST /v1/admin/accounts/{account}/invoices/{invoice}/void"
            | "POST /v1/admin/accounts/{account}/freeze"
            | "POST /v1/admin/accounts/{account}/unfreeze"
            | "POST /v1/admin/accounts/{account}/suspend"
            | "POST /v1/admin/accounts/{account}/resume"
            | "POST /v1/admin/accounts/{account}/refill/abandon"
            | "POST /v1/admin/accounts/{account}/close"
            | "POST /v1/admin/accounts/{account}/erase"
            | "POST /v1/admin/accounts/{account}/reopen" => reason,
            other => panic!("{other} is new: say here what a good body of it is"),
        }
    }

    /// The routes that need a token, with their scopes.
    fn guarded(&self) -> Vec<(&Route, &[String])> {
        let guarded = |route: &'_ Route| matches!(route.authorizer, RouteAuthorizer::Jwt { .. });
        let routes = self.routes.iter().filter(|route| guarded(route));
        routes
            .map(|route| match &route.authorizer {
                RouteAuthorizer::Jwt { scopes, .. } => (route, scopes.as_slice()),
                RouteAuthorizer::None => (route, [].as_slice()),
            })
            .collect()
    }

    /// A client of Alice with the permissions for a route.
    fn allowed(&self, scopes: &[String]) -> ApiClient {
        let scope = scopes.first().map_or("", String::as_str);
        let account = match scope {
            ADMIN => "operator",
            _ => "alice",
        };
        self.world.api.with_token(token(&self.world.cloud, account, scope))
    }

    async fn send(
        &self,
        api: &ApiClient,
        route: &Route,
        headers: &[(&str, &str)],
        body: &str,
    ) -> ApiReply {
        let content = [("content-type", "application/json")];
        let all: Vec<(&str, &str)> = content.iter().chain(headers).copied().collect();
        api.send(&route.method, &self.path(route), &all, body.to_owned()).await.unwrap()
    }

    /// Asserts that nothing was written since this number of calls, and that no ledger changed.
    async fn unchanged(&self, before: &Before) {
        self.only_written(before, |_| false).await;
    }

    /// The same for requests that are counted for the account's budget of calls to Stripe.
    async fn unchanged_but_for_counters(&self, before: &Before) {
        let is_counter = |call: &RecordedCall| {
            call.operation == "UpdateItem" && ["account", "checkout"].contains(&&*call.function)
        };
        self.only_written(before, is_counter).await;
    }

    async fn only_written(&self, before: &Before, is_expected: impl Fn(&RecordedCall) -> bool) {
        self.world.cloud.idle().await;
        let writes = [
            "PutItem",
            "UpdateItem",
            "DeleteItem",
            "TransactWriteItems",
            "BatchWriteItem",
            "PutEvents",
        ];
        for call in self.world.cloud.calls(before.calls) {
            let is_write =
                writes.contains(&call.operation.as_str()) || call.operation.starts_with("POST ");
            assert!(!is_write || is_expected(&call), "something was written: {call:?}");
        }
        assert_eq!(self.ledgers(), before.ledgers, "no ledger differs");
    }

    fn before(&self) -> Before {
        Before { calls: self.world.cloud.calls_count(), ledgers: self.ledgers() }
    }

    fn ledgers(&self) -> Vec<Vec<Value>> {
        ["alice", "mallory", "operator"]
            .map(|account| self.world.cloud.ledger(account).unwrap())
            .into()
    }
}

/// The ID of a hold of Alice's, for tokens.
async fn hold(world: &World, project: &str) -> String {
    let tokens = json!({"sku": "tokens", "unit": "quantity", "kind": "meter", "rate": "0.001"});
    world.write(&world.operator, "PUT", "/v1/admin/prices", &json!({"prices": [tokens]})).await;
    let platform = world.api.with_token(token(&world.cloud, "alice", PLATFORM));
    let project = project.rsplit('/').next().unwrap();
    let wish = json!({"project": project, "skus": ["tokens"], "amount": "1.00"});
    let hold = world.write(&platform, "POST", "/v1/holds", &wish).await;
    hold["id"].as_str().unwrap().to_owned()
}

struct Before {
    calls: u64,
    ledgers: Vec<Vec<Value>>,
}

/// A problem document with this status and code.
#[track_caller]
fn is_problem(answer: &ApiReply, status: u16, code: &str, what: &str) {
    let document = answer.json();
    assert_eq!((answer.status, &document["code"]), (status, &json!(code)), "{what}: {document}");
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{what}");
    assert_eq!(document["type"], format!("urn:tollgate:problem:{code}"), "{what}");
    assert_eq!(document["status"], status, "{what}");
    for member in ["title", "detail"] {
        assert!(
            document[member].as_str().is_some_and(|text| !text.is_empty()),
            "{what}: {document}"
        );
    }
}

#[tokio::test]
async fn call_without_a_valid_token_is_unauthorized() {
    let world = World::new(Processes::Several).await;
    let scene = Scene::new(&world).await;
    let (before, runs) = (scene.before(), world.cloud.runs(0).len());
    let all = format!("{ADMIN} {PLATFORM}");
    let with = |claims: Value| {
        let claims: Map<String, Value> = claims.as_object().unwrap().clone();
        let scope = Some(all.clone());
        world
            .cloud
            .token(&TokenRequest {
                account: "alice".to_owned(),
                scope,
                claims,
                ..TokenRequest::default()
            })
            .unwrap()
    };
    let good = with(json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let tampered: String = signature.chars().rev().collect();
    let tokens = [
        ("none", None),
        ("expired", Some(with(json!({"exp": 0})))),
        ("of another issuer", Some(with(json!({"iss": "https://issuer.example"})))),
        ("for another audience", Some(with(json!({"aud": "another"})))),
        ("not valid yet", Some(with(json!({"nbf": 4_000_000_000_u64})))),
        ("with another signature", Some(format!("{signed}.{tampered}"))),
        ("no token", Some("nonsense".to_owned())),
    ];
    assert!(!scene.guarded().is_empty());
    for (route, _) in scene.guarded() {
        let body = scene.good_body(route).to_string();
        for (what, token) in &tokens {
            let api = token
                .as_ref()
                .map_or_else(|| world.api.clone(), |token| world.api.with_token(token.clone()));
            let answer = scene.send(&api, route, &[], &body).await;
            assert_eq!(answer.status, 401, "{}, a token {what}: {answer:?}", route.key());
            assert_eq!(answer.json()["message"], "Unauthorized", "{}, a token {what}", route.key());
        }
    }
    assert_eq!(world.cloud.runs(0).len(), runs, "no function was asked");
    scene.unchanged(&before).await;
}

#[tokio::test]
async fn call_without_the_required_scope_is_forbidden() {
    let world = World::new(Processes::Several).await;
    let scene = Scene::new(&world).await;
    let before = scene.before();
    let mut seen = 0;
    for (route, scopes) in scene.guarded() {
        let body = scene.good_body(route).to_string();
        if let Some(needed) = scopes.first() {
            seen += 1;
            let other = if needed == ADMIN { PLATFORM } else { ADMIN };
            for scope in ["", "openid", other] {
                let api = world.api.with_token(token(&world.cloud, "alice", scope));
                let answer = scene.send(&api, route, &[], &body).await;
                assert_eq!(answer.status, 403, "{} with {scope:?}: {answer:?}", route.key());
            }
        } else {
            // A caller without the platform's scope cannot act for another account.
            let answer = scene
                .send(&scene.mallory.api, route, &[("tollgate-account", "alice")], &body)
                .await;
            is_problem(&answer, 403, "forbidden", &route.key());
        }
    }
    assert!(seen > 10, "the admin's and the platform's routes were tried: {seen}");
    scene.unchanged(&before).await;
}

#[tokio::test]
async fn objects_of_other_accounts_are_not_found() {
    let world = World::new(Processes::Several).await;
    let scene = Scene::new(&world).await;
    let before = scene.before();
    let mut seen = 0;
    for (route, scopes) in scene.guarded() {
        // A plan is on offer to everybody.
        let is_of_somebody = route.path.contains('{') && !route.path.contains("{plan}");
        if !is_of_somebody || scopes.iter().any(|scope| scope == ADMIN) {
            continue;
        }
        seen += 1;
        let scope = scopes.first().map_or("", String::as_str);
        let mallory = world.api.with_token(token(&world.cloud, "mallory", scope));
        let body = scene.good_body(route);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        // Without a key, because a used key may be recorded: for Mallory, even if she is refused.
        let answer = scene.send(&mallory, route, &[], &body).await;
        is_problem(&answer, 404, "not_found", &route.key());
        let text = String::from_utf8_lossy(&answer.body);
        assert!(!text.contains("alice"), "{}: it says whose it is: {text}", route.key());
    }
    assert!(seen >= 13, "{seen}");
    scene.unchanged_but_for_counters(&before).await;
}

#[tokio::test]
async fn unusable_body_is_refused() {
    let world = World::new(Processes::Several).await;
    let scene = Scene::new(&world).await;
    let before = scene.before();
    for (route, scopes) in scene.guarded() {
        let good = scene.good_body(route);
        let Value::Object(fields) = &good else { continue };
        let api = scene.allowed(scopes);
        let mut bad: Vec<(String, &str)> =
            ["{", "nonsense", "null", "[]", "42", "\"text\"", "[{}]", "{} {}"]
                .map(|text| (text.to_owned(), "shape"))
                .into();
        bad.push((with_field(&good, "unknown_field", json!(1)), "unknown field"));
        bad.push((json!(fields.values().collect::<Vec<_>>()).to_string(), "list of values"));
        for name in fields.keys() {
            let is_scalar = fields[name].is_boolean() || fields[name].is_string();
            let wrong =
                if is_scalar || fields[name].is_number() { json!({"a": 1}) } else { json!(7) };
            bad.push((with_field(&good, name, wrong), name));
            // Amounts are texts: a number may have lost a cent on its way.
            bad.push((with_field(&good, name, json!(5.25)), name));
        }
        for (body, what) in bad {
            let answer = scene.send(&api, route, &[("idempotency-key", &key())], &body).await;
            is_problem(&answer, 400, "invalid_body", &format!("{} ({what}): {body}", route.key()));
            assert!(answer.json()["request_id"].is_string(), "{}: {}", route.key(), answer.json());
        }
    }
    scene.unchanged(&before).await;
}

fn with_field(good: &Value, name: &str, value: Value) -> String {
    let mut body = good.clone();
    body[name] = value;
    body.to_string()
}

#[tokio::test]
async fn a_body_that_is_huge_is_refused_unread() {
    let world = World::new(Processes::Several).await;
    let scene = Scene::new(&world).await;
    let before = scene.before();
    let of_bytes = |bytes: usize| json!({"name": "x".repeat(bytes)}).to_string();
    let (huge, larger) = (of_bytes(HUGE_BYTES), of_bytes(IMPORT_BYTES));
    for route in &scene.routes {
        if route.method == "GET" {
            continue;
        }
        let scopes: &[String] = match &route.authorizer {
            RouteAuthorizer::Jwt { scopes, .. } => scopes,
            RouteAuthorizer::None => &[],
        };
        let is_import = route.key() == "POST /v1/admin/accounts";
        let body = if is_import { &larger } else { &huge };
        let answer = scene.send(&scene.allowed(scopes), route, &[], body).await;
        if route.path == "/v1/stripe/webhook" {
            // Without a signature the body is not even looked at.
            is_problem(&answer, 400, "invalid_signature", &route.key());
            continue;
        }
        is_problem(&answer, 413, "body_too_large", &route.key());
    }
    let too_huge = "x".repeat(TOO_HUGE_BYTES);
    let answer = scene.alice.api.send("POST", "/v1/projects", &[], too_huge).await;
    assert!(answer.is_err() || answer.unwrap().status == 413, "API Gateway itself refuses it");
    scene.unchanged(&before).await;
}

#[tokio::test]
async fn parameters_and_keys_that_cannot_be_used_are_refused() {
    let world = World::new(Processes::Several).await;
    let scene = Scene::new(&world).await;
    let before = scene.before();
    let long = "k".repeat(256);
    for (route, scopes) in scene.guarded() {
        let api = scene.allowed(scopes);
        let body = scene.good_body(route);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        for bad in ["a b", "", "a#b", long.as_str()] {
            let answer = scene.send(&api, route, &[("idempotency-key", bad)], &body).await;
            is_problem(
                &answer,
                400,
                "invalid_parameter",
                &format!("{} with the key {bad:?}", route.key()),
            );
        }
    }
    for path in
        ["/v1/projects", "/v1/transactions", &format!("/v1/projects/{}/resources", scene.project)]
    {
        for query in ["limit=0", "limit=201", "limit=-1", "limit=many"] {
            let answer = scene.alice.api.get(&format!("{path}?{query}")).await.unwrap();
            is_problem(&answer, 400, "invalid_parameter", &format!("{path}?{query}"));
        }
    }
    for query in ["type=nothing", "from=yesterday", "cursor=x"] {
        let answer = scene.alice.api.get(&format!("/v1/transactions?{query}")).await.unwrap();
        is_problem(&answer, 400, "invalid_parameter", query);
    }
    for (method, path) in
        [("GET", "/v1/nothing"), ("PATCH", "/v1/account"), ("DELETE", "/v1/balance")]
    {
        let answer = scene.alice.api.send(method, path, &[], "").await.unwrap();
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    scene.unchanged(&before).await;
}

#[tokio::test]
async fn a_key_that_was_used_for_something_else_is_refused() {
    let world = World::new(Processes::Several).await;
    let scene = Scene::new(&world).await;
    let resources = format!("/v1/projects/{}/resources", scene.project);
    let requests = [
        ("/v1/checkout-sessions", json!({"amount": "10.00"}), json!({"amount": "20.00"})),
        ("/v1/projects", json!({"name": "a"}), json!({"name": "b"})),
        (
            resources.as_str(),
            json!({"sku": "vm-small", "name": "a", "start": true}),
            json!({"sku": "vm-small", "name": "b", "start": true}),
        ),
    ];
    for (path, first, second) in requests {
        let key = key();
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let made = scene.alice.api.send("POST", path, &headers, first.to_string()).await.unwrap();
        assert_eq!(made.status, 201, "{path}: {made:?}");
        world.cloud.idle().await;
        let ledgers = scene.ledgers();
        let refused =
            scene.alice.api.send("POST", path, &headers, second.to_string()).await.unwrap();
        is_problem(&refused, 422, "idempotency_key_reused", path);
        let again = scene.alice.api.send("POST", path, &headers, first.to_string()).await.unwrap();
        assert_eq!(
            (again.status, again.json()),
            (201, made.json()),
            "{path}: the same request has the same answer"
        );
        world.cloud.idle().await;
        assert_eq!(scene.ledgers(), ledgers);
    }
    check(&[&scene.alice, &scene.mallory]).await;
}
