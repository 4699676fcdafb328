//! `infra/openapi.yaml` matches the API: the routes and scopes of the template, and answers of the
//! described shape, on every route.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use stripe_stand_in::StripeFaultKind;
use tollgate_local::api::{ApiClient, ApiReply};
use tollgate_local::format_time;
use tollgate_local::wiring::RouteAuthorizer;

use crate::support::{HOUR, PLATFORM, Processes, World, key, token};

/// Routes of the page: files, not API.
const FILES: [&str; 5] =
    ["GET /", "GET /config.json", "GET /assets/{file+}", "GET /staff", "GET /staff/config.json"];

/// The description, and the operations whose answers matched it.
struct Description {
    document: Value,
    seen: BTreeSet<String>,
}

impl Description {
    async fn of(world: &World) -> Description {
        let document = world.api.get("/v1/openapi.json").await.unwrap().success().unwrap();
        Description { document, seen: BTreeSet::new() }
    }

    /// Operations by route key: `GET /v1/balance`.
    fn operations(&self) -> BTreeMap<String, &Value> {
        let paths = self.document["paths"].as_object().unwrap();
        let methods = |path: &str, item: &'_ Value| -> Vec<(String, String)> {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            methods
                .map(|method| (format!("{} {path}", method.to_uppercase()), method.clone()))
                .collect()
        };
        let all = paths.iter().flat_map(|(path, item)| {
            methods(path, item)
                .into_iter()
                .map(move |(route, method)| (route, &item[method.as_str()]))
        });
        all.collect()
    }

    /// The answer is as it is described: status, type, shape.
    fn check(&mut self, route: &str, answer: &ApiReply) {
        let operations = self.operations();
        let operation = operations.get(route).unwrap_or_else(|| panic!("{route} is not described"));
        let responses = &operation["responses"];
        let status = answer.status.to_string();
        let is_success = (200..300).contains(&answer.status);
        assert!(
            !is_success || !responses[&status].is_null(),
            "{route} answers {status}, which is not described"
        );
        let response = if is_success {
            &responses[&status]
        } else {
            &self.document["components"]["responses"]["Problem"]
        };
        let body = if answer.body.is_empty() { None } else { Some(answer.json()) };
        match (response["content"].as_object(), body) {
            (None, None) => {}
            (Some(content), Some(body)) => {
                let kind = answer.headers["content-type"].to_str().unwrap();
                let schema = &content.get(kind).unwrap_or_else(|| panic!("{route} answers {kind}"))
                    ["schema"];
                let errors = self.errors(schema, &body);
                assert!(errors.is_empty(), "{route}: {errors:#?}\n{body:#}");
            }
            (described, body) => panic!("{route}: described {described:?}, answered {body:?}"),
        }
        if is_success {
            self.seen.insert(route.to_owned());
        }
    }

    fn errors(&self, schema: &Value, instance: &Value) -> Vec<String> {
        // The components are included, so that references in the schema resolve.
        let whole = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema], "components": self.document["components"]});
        let validator = jsonschema::validator_for(&whole).unwrap();
        validator
            .iter_errors(instance)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect()
    }
}

#[tokio::test]
async fn template_and_openapi_have_the_same_routes_and_scopes() {
    let world = World::new(Processes::One).await;
    let description = Description::of(&world).await;
    let scopes_of = |security: &Value| match security.as_array().map(Vec::as_slice) {
        None => Some(Vec::new()),
        Some([]) => None,
        // Any of them is enough, as any scope of a route of the HTTP API is.
        Some(all) => {
            let scopes = all.iter().flat_map(|one| one["token"].as_array().unwrap());
            Some(scopes.map(|scope| scope.as_str().unwrap().to_owned()).collect())
        }
    };
    let described: BTreeMap<String, Option<Vec<String>>> = description
        .operations()
        .into_iter()
        .map(|(route, operation)| (route, scopes_of(&operation["security"])))
        .collect();
    let routes = world.cloud.wiring().api.as_ref().unwrap().routes.iter();
    let routes = routes.filter(|route| !FILES.contains(&route.key().as_str()));
    let wired: BTreeMap<String, Option<Vec<String>>> = routes
        .map(|route| {
            let scopes = match &route.authorizer {
                RouteAuthorizer::None => None,
                RouteAuthorizer::Jwt { scopes, .. } => Some(scopes.clone()),
            };
            (route.key(), scopes)
        })
        .collect();
    assert_eq!(described, wired);
    // A schema that accepts everything describes nothing.
    let balance = json!({"$ref": "#/components/schemas/Balance"});
    assert!(!description.errors(&balance, &json!({})).is_empty());
    let ids: BTreeSet<&str> = description
        .operations()
        .values()
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), described.len(), "every operation has a name of its own");
}

/// A client that checks each answer with the description.
struct Reader<'w> {
    world: &'w World,
    description: Description,
}

impl Reader<'_> {
    /// The path is the route with its parameters filled in. The body must be described as well.
    async fn send(&mut self, api: &ApiClient, route: &str, path: &str, body: &Value) -> Value {
        let (method, _) = route.split_once(' ').unwrap();
        if !body.is_null() {
            let operations = self.description.operations();
            let schema = &operations[route]["requestBody"]["content"]["application/json"]["schema"];
            assert_eq!(
                self.description.errors(schema, body),
                Vec::<String>::new(),
                "{route}: the request {body}"
            );
        }
        let key = key();
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = api.send(method, path, &headers, text).await.unwrap();
        self.description.check(route, &answer);
        self.world.cloud.idle().await;
        answer.json()
    }

    async fn get(&mut self, api: &ApiClient, route: &str, query: &str) -> Value {
        self.send(api, &format!("GET {route}"), &format!("{route}{query}"), &Value::Null).await
    }
}

/// A hold is extended and captured in parts, another is released, and a third one stays open.
async fn hold(reader: &mut Reader<'_>, acting: &ApiClient, project: &str) {
    let query = format!("?project={project}&sku=tokens");
    reader.get(acting, "/v1/allowance", &query).await;
    reader.get(acting, "/v1/allowance", &format!("{query}&amount=1000000.00")).await;
    let wish =
        json!({"project": project, "skus": ["tokens"], "amount": "1.00", "expires_in": 86_400});
    let mut holds = Vec::new();
    for _ in 0..3 {
        let hold = reader.send(acting, "POST /v1/holds", "/v1/holds", &wish).await;
        holds.push(format!("/v1/holds/{}", hold["id"].as_str().unwrap()));
    }
    let [captured, released, _open] = holds.try_into().unwrap();
    let route = |verb: &str| format!("POST /v1/holds/{{hold}}/{verb}");
    let extension = json!({"expires_in": 3_600});
    reader.send(acting, &route("extend"), &format!("{captured}/extend"), &extension).await;
    let labels = json!({"api_key": "key-1"});
    let usage = json!([{"sku": "tokens", "quantity": "100", "labels": labels}]);
    let part = json!({"usage": usage, "final": false});
    for body in [part, json!({"usage": usage}), json!({})] {
        reader.send(acting, &route("capture"), &format!("{captured}/capture"), &body).await;
    }
    for body in [json!({}), Value::Null] {
        reader.send(acting, &route("release"), &format!("{released}/release"), &body).await;
    }
    for path in [&captured, &released] {
        reader.send(acting, "GET /v1/holds/{hold}", path, &Value::Null).await;
    }
    // Refusals have their shape too.
    reader.send(acting, &route("release"), &format!("{captured}/release"), &Value::Null).await;
    let much = json!({"project": project, "skus": ["tokens"], "amount": "1000000.00"});
    reader.send(acting, "POST /v1/holds", "/v1/holds", &much).await;
}

#[tokio::test]
async fn every_route_answers_as_it_is_described() {
    let world = World::new(Processes::Several).await;
    let (ada, admin) = (world.customer("ada"), world.operator.clone());
    let platform = world.api.with_token(token(&world.cloud, "platform", PLATFORM));
    let description = Description::of(&world).await;
    let mut reader = Reader { world: &world, description };
    let me = &ada.api;

    // A new customer.
    for route in [
        "account",
        "balance",
        "balance/history",
        "transactions",
        "spending",
        "invoices",
        "company",
        "auto-refill",
        "payment-methods",
        "projects",
        "trial",
    ] {
        reader.get(me, &format!("/v1/{route}"), "").await;
    }
    reader.send(me, "PUT /v1/account", "/v1/account", &json!({"email": "ada@example.test"})).await;
    let restart = "/v1/account/restart-policy";
    let manual = json!({"restart": "manual"});
    reader.send(me, "PUT /v1/account/restart-policy", restart, &manual).await;
    let address = json!({"line1": "1 Main St", "line2": null, "city": "Berlin", "postal_code": "10115", "state": null, "country": "DE"});
    let company = json!({"name": "Ada GmbH", "address": address, "tax_id": {"type": "eu_vat", "value": "DE123456789"}});
    reader.send(me, "PUT /v1/company", "/v1/company", &company).await;

    // Money, and cards.
    let offer = json!({"auto_refill": {"enabled": true, "threshold": "5.00", "amount": "25.00"}});
    reader.send(me, "POST /v1/trial", "/v1/trial", &offer).await;
    let wish = json!({"amount": "25.00", "auto_refill": {"enabled": true, "threshold": "5.00", "amount": "25.00"}});
    let session =
        reader.send(me, "POST /v1/checkout-sessions", "/v1/checkout-sessions", &wish).await;
    let path = format!("/v1/checkout-sessions/{}", session["id"].as_str().unwrap());
    reader.send(me, "GET /v1/checkout-sessions/{id}", &path, &Value::Null).await;
    reader
        .send(me, "POST /v1/checkout-sessions/{id}/cancel", &format!("{path}/cancel"), &json!({}))
        .await;
    let year = json!({"id": "year", "months": 12, "price": "1200.00", "bonus": "240.00",
        "excludes": ["vm-large"], "available_from": "2026-01-01T00:00:00Z",
        "available_until": "2030-01-01T00:00:00Z"});
    let half = json!({"id": "half", "months": 6, "price": "600.00", "bonus_percent": 10});
    let offers = json!({"version": 0, "offers": [year, half], "reason": "a test"});
    let path = "/v1/admin/commit-offers";
    reader.send(&admin, "PUT /v1/admin/commit-offers", path, &offers).await;
    reader.get(&admin, path, "").await;
    reader.get(&admin, path, "?version=1").await;
    reader.get(me, "/v1/commit-plans", "").await;
    let (buy, path) = ("POST /v1/commit-plans/{plan}/checkout", "/v1/commit-plans/year/checkout");
    let bought = json!({"version": 1, "auto_refill": offer["auto_refill"]});
    reader.send(me, buy, path, &bought).await;
    ada.top_up("25.00").await;
    let refill =
        json!({"enabled": true, "threshold": "5.00", "amount": "25.00", "monthly_cap": "500.00"});
    // Nothing is charged yet.
    ada.world
        .fault(json!({"fault": "drop", "delivery": "event", "name": "BalanceLow", "times": 0}));
    let high = json!({"enabled": true, "threshold": "500.00", "amount": "25.00"});
    reader.send(me, "PUT /v1/auto-refill", "/v1/auto-refill", &high).await;
    reader.send(me, "POST /v1/auto-refill/now", "/v1/auto-refill/now", &json!({})).await;
    ada.world.no_faults();
    // Stripe does not answer, and staff end the attempt.
    let pay = "POST /v1/invoices/{invoice}/pay";
    ada.world.stripe().fail_next(pay, 99, StripeFaultKind::ConnectionDropped);
    reader.send(me, "POST /v1/auto-refill/now", "/v1/auto-refill/now", &json!({})).await;
    ada.world.cloud.idle().await;
    let (route, path) = (
        "POST /v1/admin/accounts/{account}/refill/abandon",
        "/v1/admin/accounts/ada/refill/abandon",
    );
    reader.send(&admin, route, path, &json!({"reason": "a test"})).await;
    ada.world.stripe().clear_faults();
    reader.send(me, "PUT /v1/auto-refill", "/v1/auto-refill", &refill).await;
    reader
        .send(me, "POST /v1/payment-methods/sessions", "/v1/payment-methods/sessions", &json!({}))
        .await;
    reader.send(me, "POST /v1/portal-sessions", "/v1/portal-sessions", &json!({})).await;
    let cards = reader.get(me, "/v1/payment-methods", "").await;
    let card = format!("/v1/payment-methods/{}", cards["items"][0]["id"].as_str().unwrap());
    reader
        .send(me, "PUT /v1/payment-methods/{id}/default", &format!("{card}/default"), &json!({}))
        .await;

    // Projects, resources, hours.
    let project =
        reader.send(me, "POST /v1/projects", "/v1/projects", &json!({"name": "site"})).await;
    let project = format!("/v1/projects/{}", project["id"].as_str().unwrap());
    reader.send(me, "GET /v1/projects/{project}", &project, &Value::Null).await;
    let list = format!("{project}/resources");
    let new = json!({"sku": "vm-small", "name": "web", "start": true});
    let web = reader.send(me, "POST /v1/projects/{project}/resources", &list, &new).await;
    let web = format!("{list}/{}", web["id"].as_str().unwrap());
    let route = |verb: &str| format!("POST /v1/projects/{{project}}/resources/{{id}}/{verb}");
    world.later(HOUR).await;
    reader.send(me, &route("stop"), &format!("{web}/stop"), &json!({})).await;
    reader.send(me, &route("start"), &format!("{web}/start"), &json!({})).await;
    reader.send(me, "GET /v1/projects/{project}/resources/{id}", &web, &Value::Null).await;
    reader.send(me, "DELETE /v1/projects/{project}/resources/{id}", &web, &Value::Null).await;
    reader.send(me, "GET /v1/projects/{project}/resources", &list, &Value::Null).await;
    reader.send(me, &route("restore"), &format!("{web}/restore"), &json!({})).await;
    reader
        .send(me, "GET /v1/projects/{project}/billing", &format!("{project}/billing"), &Value::Null)
        .await;
    let (budget, limit) = (format!("{project}/budget"), json!({"amount": "50.00", "stop": true}));
    reader.send(me, "PUT /v1/projects/{project}/budget", &budget, &limit).await;
    reader.get(me, "/v1/budgets", "").await;
    reader
        .send(me, "GET /v1/projects/{project}/billing", &format!("{project}/billing"), &Value::Null)
        .await;
    reader.send(me, "DELETE /v1/projects/{project}/budget", &budget, &Value::Null).await;
    reader.get(me, "/v1/prices", "").await;
    reader.get(me, "/v1/account/returning", "").await;
    // A machine is stopped by a suspension, later deleted, and comes back each time.
    let leo = world.customer("leo");
    leo.bonus("5.00").await;
    let gpu = leo.project().await;
    leo.start(&gpu, "vm-gpu").await;
    for (path, hours) in [("/v1/account/start", 3), ("/v1/account/restore", 80)] {
        world.later(HOUR * hours).await;
        reader.send(&leo.api, &format!("POST {path}"), path, &Value::Null).await;
        leo.bonus("10.00").await;
        let returned = reader.send(&leo.api, &format!("POST {path}"), path, &Value::Null).await;
        let stop = "/v1/account/stop";
        reader.send(&leo.api, &format!("POST {stop}"), stop, &returned).await;
        reader.send(&leo.api, "POST /v1/account/start", "/v1/account/start", &returned).await;
    }

    // The platform, with a meter.
    let tokens = json!({"prices": [{"sku": "tokens", "unit": "quantity", "kind": "meter", "rate": "0.001"}]});
    reader.send(&admin, "PUT /v1/admin/prices", "/v1/admin/prices", &tokens).await;
    let project_id = project.rsplit('/').next().unwrap();
    let usage = json!({"project": project_id, "sku": "tokens", "reading": "100"});
    let acting = platform.acting_for("ada");
    reader.send(&acting, "POST /v1/usage", "/v1/usage", &usage).await;
    let now = format_time(world.cloud.now());
    let level = json!({"project": project_id, "sku": "tokens", "level": "2", "at": now});
    for _ in 0..2 {
        reader.send(&acting, "POST /v1/usage", "/v1/usage", &level).await;
    }
    let batch = json!({"reports": [
        {"account": "ada", "project": project_id, "sku": "tokens", "quantity": "1", "id": "one"},
        {"project": "prj-nothing", "sku": "tokens", "quantity": "1", "id": "two"}]});
    let answer = acting.write("POST", "/v1/usage", &batch).await.unwrap();
    reader.description.check("POST /v1/usage", &answer);
    hold(&mut reader, &acting, project_id).await;
    reader.get(&platform, "/v1/platform/resources", "?limit=5").await;
    world.later(HOUR).await;

    // The same again, with something in it.
    for route in [
        "balance",
        "balance/history",
        "transactions",
        "spending",
        "invoices",
        "company",
        "auto-refill",
        "projects",
    ] {
        reader.get(me, &format!("/v1/{route}"), "").await;
    }
    for query in ["?include=all", "?type=usage&limit=1"] {
        reader.get(me, "/v1/transactions", query).await;
    }
    for by in ["sku", "resource"] {
        reader.get(me, "/v1/spending", &format!("?by={by}")).await;
    }
    reader.get(me, "/v1/balance/history", "?granularity=day").await;

    // The operator's staff.
    reader.get(&admin, "/v1/admin/prices", "").await;
    reader.get(&admin, "/v1/admin/health", "").await;
    let payment = format!("/v1/admin/payments/{}", ada.payment("topup"));
    reader.send(&admin, "GET /v1/admin/payments/{id}", &payment, &Value::Null).await;
    let recover = format!("{payment}/recover");
    reader.send(&admin, "POST /v1/admin/payments/{id}/recover", &recover, &Value::Null).await;
    let account = "/v1/admin/accounts/ada";
    let of = |verb: &str| {
        (format!("POST /v1/admin/accounts/{{account}}/{verb}"), format!("{account}/{verb}"))
    };
    reader.send(&admin, "GET /v1/admin/accounts/{account}", account, &Value::Null).await;
    reader.get(&admin, "/v1/admin/accounts", "?query=ada").await;
    let import = json!({"accounts": [{"sub": "moved", "email": "moved@example.test", "credit": "5.00",
        "bonus": "1.00", "bonus_expires_at": "2027-01-01T00:00:00Z", "bonus_excludes": ["vm-gpu"],
        "reference": "a test"}, {"sub": "ada", "bonus": "1.00", "bonus_expires_at": "2026-01-01T00:00:00Z",
        "reference": "a test"}]});
    let path = format!("/v1/admin/accounts?issuer={}", world.issuer());
    for dry_run in [true, false] {
        let path = format!("{path}&dry_run={dry_run}");
        reader.send(&admin, "POST /v1/admin/accounts", &path, &import).await;
    }
    let (rows, path) = of("transactions");
    let rows = rows.replace("POST", "GET");
    reader.send(&admin, &rows, &format!("{path}?include=all"), &Value::Null).await;
    reader
        .send(
            &admin,
            "GET /v1/admin/accounts/{account}/verify",
            &format!("{account}/verify"),
            &Value::Null,
        )
        .await;
    let quotas = json!({"resources": 2_000, "reason": "a test"});
    let route = "PUT /v1/admin/accounts/{account}/quotas";
    reader.send(&admin, route, &format!("{account}/quotas"), &quotas).await;
    let bonus = json!({"amount": "5.00", "expires_at": "2027-01-01T00:00:00Z", "excludes": ["vm-large"], "reason": "a test"});
    let correction = json!({"amount": "-1.00", "reason": "a test"});
    for (verb, body) in [("bonus", bonus), ("correction", correction)] {
        let (route, path) = of(verb);
        reader.send(&admin, &route, &path, &body).await;
    }
    let shown =
        reader.send(&admin, "GET /v1/admin/accounts/{account}", account, &Value::Null).await;
    let number = &shown["grants"].as_array().unwrap().last().unwrap()["number"];
    let route = "POST /v1/admin/accounts/{account}/grants/{number}/withdraw";
    let path = format!("{account}/grants/{number}/withdraw");
    reader.send(&admin, route, &path, &json!({"reason": "a test"})).await;
    let wish = json!({"credit": "500.00", "due_days": 14, "methods": ["card"], "reason": "a test"});
    let (route, path) = of("invoices");
    let invoice = reader.send(&admin, &route, &path, &wish).await;
    let invoice = invoice["id"].as_str().unwrap().to_owned();
    reader.get(me, "/v1/invoices", "").await;
    let route = "POST /v1/admin/accounts/{account}/invoices/{invoice}/void";
    let path = format!("{account}/invoices/{invoice}/void");
    reader.send(&admin, route, &path, &json!({"reason": "a test"})).await;
    let route = "GET /v1/admin/accounts/{account}/invoices";
    reader.send(&admin, route, &format!("{account}/invoices"), &Value::Null).await;
    let route = "POST /v1/admin/payments/{id}/invoice";
    reader.send(&admin, route, &format!("{payment}/invoice"), &json!({})).await;
    let refund = json!({"amount": "1.00", "reason": "a test"});
    let (route, path) = ("POST /v1/admin/payments/{id}/refunds", format!("{payment}/refunds"));
    reader.send(&admin, route, &path, &refund).await;
    reader.get(me, "/v1/balance", "").await;
    reader.send(me, "DELETE /v1/payment-methods/{id}", &card, &Value::Null).await;
    for verb in ["freeze", "unfreeze", "suspend", "resume", "close"] {
        let (route, path) = of(verb);
        if verb == "close" {
            // Only an account without running resources can be closed.
            reader
                .send(me, "DELETE /v1/projects/{project}/resources/{id}", &web, &Value::Null)
                .await;
        }
        reader.send(&admin, &route, &path, &json!({"reason": "a test"})).await;
    }

    reader.get(me, "/v1/account/closing", "").await;
    let (route, path) = of("reopen");
    reader.send(&admin, &route, &path, &json!({"reason": "a test"})).await;
    let lost = reader.get(me, "/v1/account/closing", "").await;
    let shown = json!({"balance": lost["balance"]});
    reader.send(me, "DELETE /v1/account", "/v1/account", &shown).await;
    let items = reader.get(me, "/v1/account/export", "").await;
    assert!(!items["items"].as_array().unwrap().is_empty(), "{items}");
    reader
        .get(me, "/v1/account/export", &format!("?cursor={}", items["next"].as_str().unwrap()))
        .await;
    let (route, path) = of("erase");
    reader.send(&admin, &route, &path, &json!({"reason": "a test"})).await;

    // Refusals have their shape too.
    reader.send(me, "GET /v1/projects/{project}", "/v1/projects/prj-nothing", &Value::Null).await;
    reader.send(me, "POST /v1/projects/{project}/resources", &list, &new).await;

    let mut expected: BTreeSet<String> = reader.description.operations().into_keys().collect();
    // Stripe's own calls and this file were answered all the time.
    for other in ["POST /v1/stripe/webhook", "GET /v1/openapi.json"] {
        expected.remove(other);
    }
    let missing: Vec<&String> = expected.difference(&reader.description.seen).collect();
    assert!(missing.is_empty(), "never seen to succeed: {missing:?}");
}
