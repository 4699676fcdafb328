//! The answer of every route of the template: a good one, and each refusal that HTTP can reach. The
//! answers are recorded in `recorded/answers`, one file for each function.
//!
//! Other tests say what an answer should be. This test says whether an answer changed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use stripe_stand_in::{CardRule, Delivery};
use tollgate::http::problem::ProblemCode;
use tollgate_local::api::{ApiClient, ApiReply};
use tollgate_local::control::TokenRequest;
use tollgate_local::wiring::Route;

use crate::recorded::compare;
use crate::support::{GOOD_CARD, HOUR, PLATFORM, Processes, World, token};

/// A card whose bank asks the customer at each payment.
const CARD_THAT_ASKS: &str = "4000002760003184";

/// Codes without a recorded answer. Trials have no route, and API Gateway itself answers a missing
/// token and a wrong method. The last five need more data or other faults than are made here. The
/// tests of the functions have them.
const NOT_RECORDED: [ProblemCode; 9] = [
    ProblemCode::TrialNotAllowed,
    ProblemCode::TrialLimit,
    ProblemCode::MethodNotAllowed,
    ProblemCode::Unauthorized,
    ProblemCode::AddressRefused,
    ProblemCode::TooMuch,
    ProblemCode::Unavailable,
    ProblemCode::RefillInProgress,
    ProblemCode::TooManyPages,
];

/// Ids of Stripe's begin with these. They follow from how many calls Stripe had before, so each is
/// replaced by a number that counts those of its kind.
const STRIPE_IDS: [&str; 14] = [
    "cs_test_", "pi_", "in_", "ii_", "cus_", "pm_", "ch_", "re_", "dp_", "bps_", "seti_", "evt_",
    "txi_", "inpay_",
];

/// Asks, and keeps what is answered.
struct Recorder<'w> {
    world: &'w World,
    routes: Vec<Route>,
    /// By function, route, in the order they were asked for.
    answers: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    keys: usize,
    ids: BTreeMap<String, String>,
}

impl<'w> Recorder<'w> {
    fn new(world: &'w World) -> Recorder<'w> {
        let routes = world.cloud.wiring().api.as_ref().unwrap().routes.clone();
        Recorder { world, routes, answers: BTreeMap::new(), keys: 0, ids: BTreeMap::new() }
    }

    fn api(&self, account: &str, scope: &str) -> ApiClient {
        self.world.api.with_token(token(&self.world.cloud, account, scope))
    }

    /// Keys are counted, as ids of projects and resources follow from them.
    fn key(&mut self) -> String {
        self.keys += 1;
        format!("key-{}", self.keys)
    }

    async fn send(&mut self, api: &ApiClient, request: &str, body: &Value) -> ApiReply {
        let key = self.key();
        self.send_with(api, request, &[("idempotency-key", &key)], body).await
    }

    async fn send_with(
        &self,
        api: &ApiClient,
        request: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> ApiReply {
        let (method, path) = request.split_once(' ').unwrap();
        let content = [("content-type", "application/json")];
        let headers: Vec<(&str, &str)> = content.iter().chain(headers).copied().collect();
        let text = match body {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        let answer = api.send(method, path, &headers, text).await.unwrap();
        self.world.cloud.idle().await;
        answer
    }

    /// Asks for something that must succeed, and keeps nothing.
    async fn done(&mut self, api: &ApiClient, request: &str, body: &Value) -> Value {
        let answer = self.send(api, request, body).await;
        answer.success().unwrap_or_else(|error| panic!("{request} {body}: {error}"))
    }

    /// Asks, and keeps the answer as that of a case.
    async fn ask(&mut self, api: &ApiClient, case: &str, request: &str, body: &Value) -> Value {
        let answer = self.send(api, request, body).await;
        self.keep(case, request, &answer);
        answer.json()
    }

    async fn ask_with(
        &mut self,
        api: &ApiClient,
        case: &str,
        request: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Value {
        let answer = self.send_with(api, request, headers, body).await;
        self.keep(case, request, &answer);
        answer.json()
    }

    fn keep(&mut self, case: &str, request: &str, answer: &ApiReply) {
        let kind =
            answer.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned();
        let mut kept = json!({"case": case, "status": answer.status});
        match kind.as_str() {
            "application/json" | "application/problem+json" if !is_file(request) => {
                kept["body"] = self.steady(&answer.json());
            }
            "text/csv; charset=utf-8" => {
                let text = String::from_utf8(answer.body.to_vec()).unwrap();
                kept["body"] = text.lines().map(|line| self.steady(&json!(line))).collect();
            }
            // Files have tests of their own.
            _ => {}
        }
        if kind != "application/json" {
            kept["content_type"] = json!(kind);
        }
        let (function, route) = self.route(request);
        let routes = self.answers.entry(function).or_default();
        routes.entry(route).or_default().push(kept);
    }

    /// The function and route that a request is for.
    fn route(&self, request: &str) -> (String, String) {
        let (method, path) = request.split_once(' ').unwrap();
        let path = path.split('?').next().unwrap();
        let fits = |route: &&Route| {
            let (wanted, given) = (route.path.split('/'), path.split('/'));
            let takes_all = route.path.ends_with("+}");
            route.method == method
                && (takes_all || wanted.clone().count() == given.clone().count())
                && wanted.zip(given).all(|(want, part)| want.starts_with('{') || want == part)
        };
        let holes = |route: &&Route| route.path.matches('{').count();
        let Some(route) = self.routes.iter().filter(fits).min_by_key(holes) else {
            return ("api-gateway".to_owned(), "a route that is not there".to_owned());
        };
        let functions = &self.world.cloud.wiring().functions;
        let function = functions.iter().find(|function| function.name == route.function).unwrap();
        (function.binary.clone(), route.key())
    }

    /// The same without what differs from run to run, and with its keys in order.
    fn steady(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => json!(self.steady_text(text)),
            Value::Array(all) => all.iter().map(|one| self.steady(one)).collect(),
            Value::Object(fields) => {
                let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
                let steady = |(name, value): (&String, &Value)| match name.as_str() {
                    "request_id" => (name.clone(), json!("{request}")),
                    _ => (name.clone(), self.steady(value)),
                };
                Value::Object(sorted.into_iter().map(steady).collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }

    fn steady_text(&mut self, text: &str) -> String {
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut steady = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()).max(1);
            let end = (end..).find(|end| rest.is_char_boundary(*end)).unwrap();
            let (word, after) = rest.split_at(end);
            steady += &self.steady_word(word);
            rest = after;
        }
        // The local cloud listens wherever there is room.
        match steady.split_once("://127.0.0.1:") {
            Some((before, after)) => {
                format!(
                    "{before}://{{cloud}}{}",
                    after.trim_start_matches(|c: char| c.is_ascii_digit())
                )
            }
            None => steady,
        }
    }

    fn steady_word(&mut self, word: &str) -> String {
        let Some(kind) = STRIPE_IDS
            .iter()
            .find(|kind| word.strip_prefix(*kind).is_some_and(|rest| rest.len() >= 10))
        else {
            return word.to_owned();
        };
        let next = self.ids.values().filter(|known| known.starts_with(kind)).count() + 1;
        self.ids.entry(word.to_owned()).or_insert_with(|| format!("{kind}{next}")).clone()
    }
}

/// Whether the route answers with a file.
fn is_file(request: &str) -> bool {
    request == "GET /v1/openapi.json"
}

fn last(value: &Value) -> &str {
    value["id"].as_str().unwrap_or_else(|| panic!("no id in {value}"))
}

#[tokio::test]
async fn answers_are_those_that_were_recorded() {
    let world = World::new(Processes::One).await;
    let mut recorder = Recorder::new(&world);
    let r = &mut recorder;
    files(r).await;
    doors(r).await;
    somebody_new(r).await;
    money_and_cards(r).await;
    resources(r).await;
    platform(r).await;
    history(r).await;
    staff(r).await;
    refills(r).await;
    no_credit(r).await;
    stripe_down(r).await;
    webhooks(r).await;
    long_ago(r).await;
    coming_back(r).await;

    let all: BTreeSet<String> = recorder.routes.iter().map(Route::key).collect();
    let is_good = |answer: &Value| answer["status"].as_u64().is_some_and(|status| status < 300);
    let kept = recorder.answers.values().flatten();
    let good: BTreeSet<String> = kept
        .filter(|(_, answers)| answers.iter().any(is_good))
        .map(|(route, _)| route.clone())
        .collect();
    assert_eq!(good, all, "every route of the template has a good answer here");
    for (function, routes) in &recorder.answers {
        let text = serde_json::to_string_pretty(&json!(routes)).unwrap() + "\n";
        compare(&format!("answers/{function}.json"), &text);
    }
    let kept = recorder.answers.values().flat_map(BTreeMap::values).flatten();
    let codes: BTreeSet<&str> = kept.filter_map(|answer| answer["body"]["code"].as_str()).collect();
    let expected = ProblemCode::ALL.iter().filter(|code| !NOT_RECORDED.contains(code));
    assert_eq!(codes, expected.map(|code| code.name()).collect());
}

/// Two machines are stopped by a suspension, started together, suspended again, deleted, and restored
/// together.
async fn coming_back(r: &mut Recorder<'_>) {
    let (leo, null) = (r.api("leo", ""), &Value::Null);
    bonus(r, "leo", "10.00").await;
    let project = r.done(&leo, "POST /v1/projects", &json!({"name": "site"})).await;
    let new = format!("POST /v1/projects/{}/resources", last(&project));
    for name in ["one", "two"] {
        r.done(&leo, &new, &json!({"sku": "vm-gpu", "name": name, "start": true})).await;
    }
    r.world.later(HOUR * 3).await;
    let returning = "GET /v1/account/returning";
    r.ask(&leo, "two were stopped", returning, null).await;
    r.ask(&leo, "still suspended", "POST /v1/account/start", null).await;
    bonus(r, "leo", "5.00").await;
    r.ask(&leo, "too little credit for two", "POST /v1/account/start", null).await;
    bonus(r, "leo", "10.00").await;
    r.ask(&leo, "two start", "POST /v1/account/start", null).await;
    r.world.later(HOUR * 80).await;
    r.ask(&leo, "two were deleted", returning, null).await;
    r.ask(&leo, "deleted", "POST /v1/account/restore", null).await;
    bonus(r, "leo", "20.00").await;
    r.ask(&leo, "two are restored", "POST /v1/account/restore", null).await;
}

async fn files(r: &mut Recorder<'_>) {
    let anybody = r.world.api.clone();
    let page = r.send(&anybody, "GET /", &Value::Null).await;
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    // The path of the files contains a digest of all files.
    let script = page.split('"').find(|part| part.ends_with("/app.js")).unwrap();
    let script = format!("/{}", script.trim_start_matches('/'));
    for path in ["/", "/config.json", &script, "/v1/openapi.json"] {
        r.ask(&anybody, "good", &format!("GET {path}"), &Value::Null).await;
    }
    r.ask(&anybody, "no such file", "GET /assets/nothing.js", &Value::Null).await;
}

/// Who is not let in, and what is not looked at.
async fn doors(r: &mut Recorder<'_>) {
    let (anybody, alice) = (r.world.api.clone(), r.api("alice", ""));
    r.ask(&alice, "no such route", "GET /v1/nothing", &Value::Null).await;
    r.ask(&anybody, "without a token", "GET /v1/balance", &Value::Null).await;
    r.ask(&alice, "without the scope", "GET /v1/admin/prices", &Value::Null).await;
    let acting = [("tollgate-account", "bob")];
    r.ask_with(&alice, "for another account", "GET /v1/balance", &acting, &Value::Null).await;
    let platform = r.api("platform", PLATFORM);
    let nobody = [("tollgate-account", "a#b")];
    r.ask_with(&platform, "for no account", "GET /v1/balance", &nobody, &Value::Null).await;
    // One of each function: they read requests in the same way.
    let huge = json!({"name": "x".repeat(300 * 1024)});
    let admin = r.world.operator.clone();
    for (api, request) in [
        (&alice, "PUT /v1/account"),
        (&alice, "POST /v1/projects"),
        (&alice, "POST /v1/checkout-sessions"),
        (&admin, "PUT /v1/admin/prices"),
        (&anybody, "POST /v1/stripe/webhook"),
    ] {
        r.ask(api, "a huge body", request, &huge).await;
        if request != "POST /v1/stripe/webhook" {
            let bad = [("idempotency-key", "a b")];
            r.ask_with(api, "a key that is none", request, &bad, &json!({})).await;
            r.ask(api, "a body that is no JSON", request, &json!("{")).await;
            r.ask(api, "a body that is a list", request, &json!([1])).await;
            r.ask(api, "a field that is unknown", request, &json!({"unknown_field": 1})).await;
        }
    }
}

async fn somebody_new(r: &mut Recorder<'_>) {
    let new = r.api("new", "");
    for path in [
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
        "prices",
    ] {
        r.ask(&new, "somebody new", &format!("GET /v1/{path}"), &Value::Null).await;
    }
    r.ask(&new, "nothing to see yet", "POST /v1/portal-sessions", &json!({})).await;
    let mut claims = Map::new();
    claims.insert("email".to_owned(), json!(""));
    let request = TokenRequest { account: "shy".to_owned(), claims, ..TokenRequest::default() };
    let shy = r.world.api.with_token(r.world.cloud.token(&request).unwrap());
    let wish = json!({"amount": "25.00"});
    r.ask(&shy, "no e-mail address", "GET /v1/account", &Value::Null).await;
    r.ask(&shy, "no e-mail address", "POST /v1/checkout-sessions", &wish).await;
    r.ask(&shy, "no e-mail address", "POST /v1/payment-methods/sessions", &json!({})).await;
}

/// Adds credit and keeps nothing; the page's path.
async fn top_up(r: &mut Recorder<'_>, account: &str, wish: &Value, card: &str) -> String {
    let api = r.api(account, "");
    let page = r.done(&api, "POST /v1/checkout-sessions", wish).await;
    // Of the many events one comes at once, so that the order of the rows is known.
    r.world.only_webhook("checkout.session.completed");
    pay(r, &page, card).await;
    r.world.cloud.idle().await;
    r.world.no_faults();
    format!("/v1/checkout-sessions/{}", last(&page))
}

/// Pays as a browser does, and confirms if the bank asks.
async fn pay(r: &Recorder<'_>, page: &Value, card: &str) {
    let url = page["url"].as_str().unwrap();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let paid = r.world.api.send("POST", url, &form, format!("card={card}")).await.unwrap();
    assert_eq!(paid.status, 303, "{card}: {}", String::from_utf8_lossy(&paid.body));
    let next = paid.headers["location"].to_str().unwrap();
    if next.starts_with("/authenticate/") {
        let stripe = url.split_inclusive('/').take(3).collect::<String>();
        let next = format!("{}{next}", stripe.trim_end_matches('/'));
        let confirmed =
            r.world.api.send("POST", &next, &form, "result=approve".to_owned()).await.unwrap();
        assert_eq!(confirmed.status, 303, "{}", String::from_utf8_lossy(&confirmed.body));
    }
}

async fn bonus(r: &mut Recorder<'_>, account: &str, amount: &str) {
    let api = r.api(account, "");
    r.done(&api, "GET /v1/account", &Value::Null).await;
    let bonus = json!({"amount": amount, "expires_at": "2027-01-01T00:00:00Z", "reason": "a test"});
    let admin = r.world.operator.clone();
    r.done(&admin, &format!("POST /v1/admin/accounts/{account}/bonus"), &bonus).await;
}

async fn money_and_cards(r: &mut Recorder<'_>) {
    let ada = r.api("ada", "");
    r.ask(&ada, "good", "PUT /v1/account", &json!({"email": "ada@example.test"})).await;
    r.ask(&ada, "no address", "PUT /v1/account", &json!({"email": "ada"})).await;
    let restart = "PUT /v1/account/restart-policy";
    r.ask(&ada, "good", restart, &json!({"restart": "in_order"})).await;
    r.ask(&ada, "chosen before", restart, &json!({"restart": "in_order"})).await;
    r.ask(&ada, "no such choice", restart, &json!({"restart": "now"})).await;
    r.ask(&ada, "no choice", restart, &json!({})).await;
    r.ask(&ada, "good again", restart, &json!({"restart": "manual"})).await;
    let address = |country: &str| json!({"line1": "1 Main St", "line2": null, "city": "Berlin", "postal_code": "10115", "state": null, "country": country});
    let company = |country: &str, tax_id: &str| json!({"name": "Ada GmbH", "address": address(country), "tax_id": {"type": "eu_vat", "value": tax_id}});
    r.ask(&ada, "good", "PUT /v1/company", &company("DE", "DE123456789")).await;

    let sessions = "POST /v1/checkout-sessions";
    for (case, amount) in [
        ("no amount", "many"),
        ("not positive", "0"),
        ("a fraction of a cent", "5.001"),
        ("too small", "0.99"),
        ("too large", "1000.01"),
    ] {
        r.ask(&ada, case, sessions, &json!({"amount": amount})).await;
    }
    let wish = |threshold: &str| json!({"amount": "25.00", "auto_refill": {"enabled": true, "threshold": threshold, "amount": "25.00"}});
    r.ask(&ada, "a threshold too large", sessions, &wish("10000.01")).await;
    let session = r.ask(&ada, "good", sessions, &wish("5.00")).await;
    let path = format!("/v1/checkout-sessions/{}", last(&session));
    r.ask(&ada, "open", &format!("GET {path}"), &Value::Null).await;
    r.ask(&ada, "good", &format!("POST {path}/cancel"), &json!({})).await;
    r.ask(&ada, "cancelled", &format!("GET {path}"), &Value::Null).await;
    let used = [("idempotency-key", "used")];
    r.ask_with(&ada, "good again", sessions, &used, &json!({"amount": "5.00"})).await;
    r.ask_with(&ada, "a key used for another", sessions, &used, &json!({"amount": "6.00"})).await;
    let rich = r.api("rich", "");
    bonus(r, "rich", "19990.00").await;
    r.ask(&rich, "a balance too high", sessions, &json!({"amount": "25.00"})).await;
    let bob = r.api("bob", "");
    r.ask(&bob, "of another account", &format!("GET {path}"), &Value::Null).await;
    r.ask(&bob, "of another account", &format!("POST {path}/cancel"), &json!({})).await;
    r.ask(&bob, "no such session", "GET /v1/checkout-sessions/cs_nothing", &Value::Null).await;
    let path = top_up(r, "ada", &wish("5.00"), GOOD_CARD).await;
    r.ask(&ada, "paid", &format!("GET {path}"), &Value::Null).await;
    r.ask(&ada, "paid", &format!("POST {path}/cancel"), &json!({})).await;

    // Now Stripe knows her.
    r.ask(&ada, "another address", "PUT /v1/account", &json!({"email": "a@example.test"})).await;
    r.ask(&ada, "told to Stripe", "PUT /v1/company", &company("AT", "ATU12345678")).await;
    r.ask(&ada, "a tax id that is none", "PUT /v1/company", &company("DE", "nonsense")).await;
    r.ask(&ada, "no such country", "PUT /v1/company", &company("XX", "DE123456789")).await;
    r.ask(
        &ada,
        "no tax there",
        "PUT /v1/company",
        &json!({"address": {"line1": "x", "country": "AQ"}}),
    )
    .await;
    r.ask(&ada, "good", "GET /v1/company", &Value::Null).await;
    r.ask(&ada, "good", "POST /v1/payment-methods/sessions", &json!({})).await;
    r.ask(&ada, "good", "POST /v1/portal-sessions", &json!({})).await;
    r.ask(&ada, "good", "GET /v1/invoices", &Value::Null).await;
    r.ask(&ada, "a limit that is none", "GET /v1/invoices?limit=0", &Value::Null).await;
    let cards = r.ask(&ada, "good", "GET /v1/payment-methods", &Value::Null).await;
    let card = cards["items"][0]["id"].as_str().unwrap();
    let default = format!("PUT /v1/payment-methods/{card}/default");
    r.ask(&ada, "good", &default, &json!({})).await;
    r.ask(&ada, "a body with something in it", &default, &json!({"a": 1})).await;
    r.ask(&bob, "of another account", &default, &json!({})).await;
    let delete = format!("DELETE /v1/payment-methods/{card}");
    r.ask(&bob, "of another account", &delete, &Value::Null).await;
    r.ask(&ada, "no card", "PUT /v1/payment-methods/x/default", &json!({})).await;

    let refill = "PUT /v1/auto-refill";
    let good =
        json!({"enabled": true, "threshold": "5.00", "amount": "25.00", "monthly_cap": "500.00"});
    r.ask(&ada, "good", refill, &good).await;
    r.ask(&ada, "another cap", refill, &json!({"monthly_cap": null})).await;
    r.ask(&ada, "good", "GET /v1/auto-refill", &Value::Null).await;
    r.ask(&ada, "the balance is not low", "POST /v1/auto-refill/now", &json!({})).await;
    for (case, body) in [
        ("a threshold below zero", json!({"threshold": "-1.00"})),
        ("a fraction of a cent", json!({"threshold": "5.001"})),
        ("an amount too small", json!({"amount": "0.99"})),
        ("an amount too large", json!({"amount": "1000.01"})),
        ("a cap of nothing", json!({"monthly_cap": "0"})),
        ("an amount that is a number", json!({"amount": 5.25})),
        ("no card", json!({"payment_method": "x"})),
        ("a card of nobody", json!({"payment_method": "pm_nothing"})),
    ] {
        r.ask(&ada, case, refill, &body).await;
    }
    r.ask(&bob, "by halves", refill, &json!({"enabled": true, "threshold": "5.00"})).await;
    r.ask(&ada, "off", refill, &json!({"enabled": false})).await;
    r.ask(&ada, "good", &delete, &Value::Null).await;
}

async fn resources(r: &mut Recorder<'_>) {
    let (ada, bob) = (r.api("ada", ""), r.api("bob", ""));
    let null = &Value::Null;
    let projects = "POST /v1/projects";
    let project = r.ask(&ada, "good", projects, &json!({"name": "site"})).await;
    r.ask(&ada, "no name", projects, &json!({"name": " "})).await;
    let used = [("idempotency-key", "used")];
    r.ask_with(&ada, "another", projects, &used, &json!({"name": "shop"})).await;
    r.ask_with(&ada, "a key used for another", projects, &used, &json!({"name": "more"})).await;
    r.ask(&ada, "good", "GET /v1/projects", null).await;
    r.ask(&ada, "the first page", "GET /v1/projects?limit=1", null).await;
    r.ask(&ada, "a limit that is none", "GET /v1/projects?limit=0", null).await;
    let project = format!("/v1/projects/{}", last(&project));
    r.ask(&ada, "good", &format!("GET {project}"), null).await;
    r.ask(&bob, "of another account", &format!("GET {project}"), null).await;

    let new = format!("POST {project}/resources");
    let wish = |sku: &str| json!({"sku": sku, "name": "web", "start": true});
    let web = r.ask(&ada, "good", &new, &wish("vm-small")).await;
    let quiet = json!({"sku": "volume-100gb", "name": "disk", "start": false, "id": "disk"});
    let (platform, for_ada) = (r.api("platform", PLATFORM), [("tollgate-account", "ada")]);
    r.ask_with(&platform, "not started", &new, &for_ada, &quiet).await;
    let no_path = json!({"sku": "vm-small", "name": "a", "start": true, "id": "a/b"});
    for (case, body) in [("an id that is taken", &quiet), ("an id for no address", &no_path)] {
        r.ask_with(&platform, case, &new, &for_ada, body).await;
    }
    for (case, body) in [
        ("an id of one's own", quiet.clone()),
        ("no such SKU", wish("nothing")),
        ("no name", json!({"sku": "vm-small", "name": "", "start": true})),
        (
            "a rate of one's own",
            json!({"sku": "vm-small", "name": "a", "start": true, "rate": "0.01"}),
        ),
    ] {
        r.ask(&ada, case, &new, &body).await;
    }
    r.ask(&bob, "of another account", &new, &wish("vm-small")).await;
    r.ask_with(&ada, "another", &new, &used, &wish("vm-large")).await;
    r.ask_with(&ada, "a key used for another", &new, &used, &wish("vm-small")).await;
    let web = format!("{project}/resources/{}", last(&web));
    let verb = |verb: &str| format!("POST {web}/{verb}");
    r.ask(&ada, "good", &format!("GET {web}"), null).await;
    r.ask(&ada, "it runs", &verb("start"), &json!({})).await;
    r.ask(&ada, "it is not deleted", &verb("restore"), &json!({})).await;
    r.ask(&ada, "a body with something in it", &verb("start"), &json!({"a": 1})).await;
    r.ask(&ada, "a reason of the platform's", &verb("stop"), &json!({"reason": "start_failed"}))
        .await;
    r.ask(&ada, "good", &verb("stop"), &json!({})).await;
    r.ask(&ada, "it does not run", &verb("stop"), &json!({})).await;
    r.ask(&ada, "good", &verb("start"), &json!({})).await;
    r.world.later(HOUR).await;
    let delete = format!("DELETE {web}");
    r.ask(&ada, "good", &delete, null).await;
    r.ask(&ada, "it is deleted", &delete, null).await;
    r.ask(&ada, "it is deleted", &verb("start"), &json!({})).await;
    r.ask(&ada, "it is deleted", &verb("stop"), &json!({})).await;
    r.ask(&ada, "deleted", &format!("GET {web}"), null).await;
    r.ask(&ada, "good", &verb("restore"), &json!({})).await;
    r.ask(&ada, "nothing was stopped", "GET /v1/account/returning", null).await;
    r.ask(&ada, "nothing was stopped", "POST /v1/account/start", &json!({})).await;
    r.ask(&ada, "nothing was deleted", "POST /v1/account/restore", &json!({})).await;
    for request in [
        format!("GET {web}"),
        verb("start"),
        verb("stop"),
        verb("restore"),
        delete,
        format!("GET {project}/resources"),
        format!("GET {project}/billing"),
    ] {
        r.ask(&bob, "of another account", &request, null).await;
    }
    r.ask(&ada, "good", &format!("GET {project}/resources"), null).await;
    r.ask(&ada, "the first page", &format!("GET {project}/resources?limit=1"), null).await;
    r.ask(&ada, "good", &format!("GET {project}/billing"), null).await;
    r.ask(&ada, "no month", &format!("GET {project}/billing?month=13"), null).await;
    r.ask(&ada, "a month to come", &format!("GET {project}/billing?month=2027-01"), null).await;
    r.ask(&ada, "good", "GET /v1/prices", null).await;
    r.ask(&ada, "the first page", "GET /v1/prices?limit=1", null).await;
    r.ask(&ada, "a limit that is none", "GET /v1/prices?limit=201", null).await;
}

async fn platform(r: &mut Recorder<'_>) {
    let (admin, platform) = (r.world.operator.clone(), r.api("platform", PLATFORM));
    let acting = platform.acting_for("ada");
    let null = &Value::Null;
    let tokens = json!({"prices": [{"sku": "tokens", "unit": "quantity", "kind": "meter", "rate": "0.001"}]});
    r.ask(&admin, "good", "PUT /v1/admin/prices", &tokens).await;
    let ada = r.api("ada", "");
    let projects = r.done(&ada, "GET /v1/projects", null).await;
    let project = projects["items"][0]["id"].as_str().unwrap();
    let new = format!("POST /v1/projects/{project}/resources");
    let wish = json!({"sku": "tokens", "name": "a", "start": true});
    r.ask(&ada, "not billed by the hour", &new, &wish).await;
    let agreed = json!({"sku": "vm-small", "name": "agreed", "start": true, "rate": "0.01"});
    let agreed = r.ask(&acting, "a rate of one's own, by the platform", &new, &agreed).await;
    let stop = format!("POST /v1/projects/{project}/resources/{}/stop", last(&agreed));
    let failed = json!({"reason": "start_failed"});
    r.ask(&acting, "the start failed", &stop, &failed).await;
    r.ask(&acting, "the start failed before", &stop, &failed).await;

    let usage = "POST /v1/usage";
    let of = |project: &str, sku: &str, more: Value| {
        let mut body = json!({"project": project, "sku": sku});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (case, body) in [
        ("good", of(project, "tokens", json!({"reading": "100"}))),
        ("not newer", of(project, "tokens", json!({"reading": "50"}))),
        ("a quantity", of(project, "tokens", json!({"quantity": "5", "id": "one"}))),
        ("the same quantity", of(project, "tokens", json!({"quantity": "5", "id": "one"}))),
        ("another under the same id", of(project, "tokens", json!({"quantity": "6", "id": "one"}))),
        (
            "more than a meter shows",
            of(project, "tokens", json!({"quantity": "1000000000000000", "id": "two"})),
        ),
        ("both at once", of(project, "tokens", json!({"reading": "1", "quantity": "5"}))),
        ("no such project", of("prj-nothing", "tokens", json!({"reading": "1"}))),
        ("no such SKU", of(project, "nothing", json!({"reading": "1"}))),
        ("billed by the hour", of(project, "vm-small", json!({"reading": "1"}))),
    ] {
        r.ask(&acting, case, usage, &body).await;
    }
    let list = "GET /v1/platform/resources";
    r.ask(&platform, "good", list, null).await;
    r.ask(&platform, "of one account", &format!("{list}?account=ada"), null).await;
    r.ask(&platform, "no such account", &format!("{list}?account=nobody"), null).await;
    r.ask(&platform, "a cursor that is none", &format!("{list}?cursor=x"), null).await;
    r.ask(&platform, "a time that is none", &format!("{list}?since=x"), null).await;
    r.ask(&platform, "a limit that is none", &format!("{list}?limit=0"), null).await;
    r.world.later(HOUR).await;
}

/// What there is to read once something has happened.
async fn history(r: &mut Recorder<'_>) {
    let ada = r.api("ada", "");
    let null = &Value::Null;
    for path in ["account", "balance", "balance/history", "transactions", "spending", "invoices"] {
        r.ask(&ada, "good", &format!("GET /v1/{path}"), null).await;
    }
    for (case, path) in [
        ("all rows", "transactions?include=all"),
        ("one type", "transactions?type=usage&limit=1"),
        ("no such type", "transactions?type=nothing"),
        ("a limit that is none", "transactions?limit=0"),
        ("a cursor that is none", "transactions?cursor=x"),
        ("no time", "transactions?from=yesterday"),
        ("by SKU", "spending?by=sku"),
        ("by resource", "spending?by=resource"),
        ("by nothing", "spending?by=nothing"),
        ("an empty time", "spending?from=2026-11-22T11:00:00Z&to=2026-11-22T10:00:00Z"),
        ("too long a time", "spending?from=2020-01-01T00:00:00Z"),
        ("by day", "balance/history?granularity=day"),
        ("by year", "balance/history?granularity=year"),
        ("too long a time", "balance/history?from=2020-01-01T00:00:00Z"),
    ] {
        r.ask(&ada, case, &format!("GET /v1/{path}"), null).await;
    }
    let csv = [("accept", "text/csv")];
    for path in ["transactions", "spending"] {
        r.ask_with(&ada, "as a table", &format!("GET /v1/{path}"), &csv, null).await;
    }
}

async fn staff(r: &mut Recorder<'_>) {
    let admin = r.world.operator.clone();
    let null = &Value::Null;
    let prices = "PUT /v1/admin/prices";
    r.ask(&admin, "good", "GET /v1/admin/prices", null).await;
    let price = |more: Value| {
        let mut price =
            json!({"sku": "vm-small", "unit": "hour", "kind": "instance", "rate": "1.00"});
        price.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"prices": [price]})
    };
    r.ask(&admin, "a new price", prices, &price(json!({"valid_from": "2026-12-01T00:00:00Z"})))
        .await;
    for (case, body) in [
        ("none at all", json!({"prices": []})),
        ("no time", price(json!({"valid_from": "tomorrow"}))),
        ("not at a full hour", price(json!({"valid_from": "2026-12-01T00:30:00Z"}))),
        ("too soon", price(json!({"valid_from": "2026-11-22T11:00:00Z"}))),
        (
            "another for the same time",
            price(json!({"valid_from": "2026-12-01T00:00:00Z", "rate": "2.00"})),
        ),
        ("more while off", price(json!({"idle_rate": "1.01"}))),
        ("by another unit", price(json!({"unit": "quantity"}))),
    ] {
        r.ask(&admin, case, prices, &body).await;
    }
    r.ask(&admin, "good", "GET /v1/admin/health", null).await;
    let payment = r.world.customer("ada").payment("topup");
    r.ask(&admin, "good", &format!("GET /v1/admin/payments/{payment}"), null).await;
    r.ask(&admin, "no such payment", "GET /v1/admin/payments/pi_nothing", null).await;
    r.ask(&admin, "no id of Stripe's", "GET /v1/admin/payments/nothing", null).await;

    let reason = json!({"reason": "a test"});
    let of = |method: &str, account: &str, verb: &str| {
        format!("{method} /v1/admin/accounts/{account}{verb}")
    };
    let expiring = |expires_at: &str| json!({"amount": "5.00", "expires_at": expires_at, "excludes": ["vm-large"], "reason": "a test"});
    let good_bonus = expiring("2027-01-01T00:00:00Z");
    let correction = |amount: &str| json!({"amount": amount, "reason": "a test"});
    for (method, verb, body) in [
        ("GET", "", null),
        ("GET", "/verify", null),
        ("PUT", "/quotas", &reason),
        ("POST", "/bonus", &good_bonus),
        ("POST", "/correction", &correction("1.00")),
        ("POST", "/freeze", &reason),
        ("POST", "/unfreeze", &reason),
        ("POST", "/suspend", &reason),
        ("POST", "/resume", &reason),
        ("POST", "/refill/abandon", &reason),
        ("POST", "/close", &reason),
    ] {
        r.ask(&admin, "no such account", &of(method, "nobody", verb), body).await;
    }
    r.ask(&admin, "good", &of("GET", "ada", ""), null).await;
    r.ask(&admin, "good", &of("GET", "ada", "/verify"), null).await;
    let quotas = of("PUT", "ada", "/quotas");
    let none = json!({"projects": 0, "reason": "a test"});
    r.ask(&admin, "no more projects", &quotas, &none).await;
    r.ask(&r.api("ada", ""), "a project too many", "POST /v1/projects", &json!({"name": "more"}))
        .await;
    r.ask(&admin, "good", &quotas, &reason).await;
    r.ask(&admin, "too many", &quotas, &json!({"resources": 10_001, "reason": "a test"})).await;
    r.ask(&admin, "without a reason", &quotas, &json!({"reason": ""})).await;
    for (verb, case, body) in [
        ("/bonus", "good", good_bonus.clone()),
        ("/bonus", "expired", expiring("2026-11-22T10:00:00Z")),
        ("/bonus", "no time", expiring("tomorrow")),
        (
            "/bonus",
            "not positive",
            json!({"amount": "0", "expires_at": "2027-01-01T00:00:00Z", "reason": "a test"}),
        ),
        ("/correction", "good", correction("-1.00")),
        ("/correction", "nothing", correction("0")),
        ("/correction", "without a reason", json!({"amount": "1.00", "reason": " "})),
        ("/correction", "beyond all measure", correction("1000000000000")),
        ("/refill/abandon", "no refill is open", reason.clone()),
        ("/refill/abandon", "without a reason", json!({"reason": ""})),
        ("/close", "something runs", reason.clone()),
        ("/unfreeze", "not frozen", reason.clone()),
        ("/resume", "not suspended", reason.clone()),
        ("/resume", "without a reason", json!({"reason": ""})),
        ("/freeze", "good", reason.clone()),
    ] {
        r.ask(&admin, case, &of("POST", "ada", verb), &body).await;
    }
    r.ask_with(&admin, "without a key", &of("POST", "ada", "/bonus"), &[], &good_bonus).await;
    not_allowed(r, "ada", "frozen").await;
    r.ask(&admin, "good", &of("POST", "ada", "/unfreeze"), &reason).await;
    r.ask(&admin, "good", &of("POST", "ada", "/suspend"), &reason).await;
    r.ask(&admin, "suspended already", &of("POST", "ada", "/suspend"), &reason).await;
    not_allowed(r, "ada", "suspended by staff").await;
    r.ask(&admin, "good", &of("POST", "ada", "/resume"), &reason).await;

    // Closed, and not again.
    bonus(r, "eve", "10.00").await;
    let eve = r.api("eve", "");
    let project = r.done(&eve, "POST /v1/projects", &json!({"name": "last"})).await;
    let new = format!("POST /v1/projects/{}/resources", last(&project));
    r.done(&eve, &new, &json!({"sku": "vm-small", "name": "a", "start": false})).await;
    r.ask(&admin, "good", &of("POST", "eve", "/close"), &reason).await;
    r.ask(&admin, "closed already", &of("POST", "eve", "/close"), &reason).await;
    r.ask(&admin, "closed", &of("POST", "eve", "/suspend"), &reason).await;
    not_allowed(r, "eve", "closed").await;
}

/// What an account in bad standing is answered.
async fn not_allowed(r: &mut Recorder<'_>, account: &str, case: &str) {
    let api = r.api(account, "");
    let null = &Value::Null;
    let projects = r.done(&api, "GET /v1/projects", null).await;
    let project = format!("/v1/projects/{}", projects["items"][0]["id"].as_str().unwrap());
    let list = r.ask(&api, case, &format!("GET {project}/resources"), null).await;
    let new = json!({"sku": "vm-small", "name": "more", "start": true});
    r.ask(&api, case, &format!("POST {project}/resources"), &new).await;
    let resource = format!("{project}/resources/{}", last(&list["items"][0]));
    r.ask(&api, case, &format!("POST {resource}/start"), &json!({})).await;
    r.ask(&api, case, "GET /v1/balance", null).await;
    r.ask(&api, case, "POST /v1/payment-methods/sessions", &json!({})).await;
    r.ask(&api, case, "POST /v1/checkout-sessions", &json!({"amount": "5.00"})).await;
    let refill = json!({"enabled": true, "threshold": "0.01", "amount": "25.00"});
    r.ask(&api, case, "PUT /v1/auto-refill", &refill).await;
    let usage = json!({"project": last(&projects["items"][0]), "sku": "tokens", "reading": "1"});
    let acting = r.api("platform", PLATFORM).acting_for(account);
    r.ask(&acting, case, "POST /v1/usage", &usage).await;
}

/// Somebody whose next start leaves too little, so that the card is charged; the request.
async fn running_low(r: &mut Recorder<'_>, account: &str, card: &str) -> String {
    let refill = json!({"enabled": true, "threshold": "10.00", "amount": "15.00"});
    top_up(r, account, &json!({"amount": "13.00", "auto_refill": refill}), card).await;
    let api = r.api(account, "");
    let project = r.done(&api, "POST /v1/projects", &json!({"name": "site"})).await;
    format!("POST /v1/projects/{}/resources", last(&project))
}

async fn refills(r: &mut Recorder<'_>) {
    let gpu = json!({"sku": "gpu", "name": "one", "start": true});
    let null = &Value::Null;

    // The bank asks the customer.
    let (cyd, new) = (r.api("cyd", ""), running_low(r, "cyd", CARD_THAT_ASKS).await);
    r.done(&cyd, &new, &gpu).await;
    r.ask(&cyd, "the customer is asked", "GET /v1/auto-refill", null).await;
    let cards = r.done(&cyd, "GET /v1/payment-methods", null).await;
    let card = last(&cards["items"][0]).to_owned();
    r.ask(&cyd, "it is being charged", &format!("DELETE /v1/payment-methods/{card}"), null).await;
    let close = "POST /v1/admin/accounts/cyd/close";
    let admin = r.world.operator.clone();
    let reason = json!({"reason": "x"});
    r.ask(&admin, "something runs and a refill is open", close, &reason).await;
    r.ask(&admin, "good", "POST /v1/admin/accounts/cyd/refill/abandon", &reason).await;

    // The bank says never again.
    let (dan, new) = (r.api("dan", ""), running_low(r, "dan", GOOD_CARD).await);
    let never = CardRule { decline_code: "stolen_card".to_owned(), network_advice_code: None };
    r.world.stripe().decline_card(GOOD_CARD, Some(never));
    r.done(&dan, &new, &gpu).await;
    r.world.stripe().decline_card(GOOD_CARD, None);
    r.ask(&dan, "the card is refused", "GET /v1/auto-refill", null).await;
    let cards = r.done(&dan, "GET /v1/payment-methods", null).await;
    let same = json!({"enabled": true, "threshold": "10.00", "amount": "15.00", "payment_method": last(&cards["items"][0])});
    r.ask(&dan, "a card that was refused", "PUT /v1/auto-refill", &same).await;

    // The refill decides whether the account goes on.
    let (fay, new) = (r.api("fay", ""), running_low(r, "fay", GOOD_CARD).await);
    for name in ["BalanceLow", "RefillDue"] {
        r.world.fault(json!({"fault": "drop", "delivery": "event", "name": name, "times": 0}));
    }
    r.world.without_schedule("settle-due");
    r.done(&fay, &new, &gpu).await;
    let all = json!({"amount": "-9.00", "reason": "a test"});
    r.done(&admin, "POST /v1/admin/accounts/fay/correction", &all).await;
    r.ask(&fay, "a refill is wanted", "GET /v1/auto-refill", null).await;
    r.ask(&fay, "good", "POST /v1/auto-refill/now", &json!({})).await;
    let cap = json!({"monthly_cap": "1.00"});
    r.ask(&fay, "a cap below the amount", "PUT /v1/auto-refill", &cap).await;
    r.world.later(HOUR).await;
    r.ask(&fay, "the respite is over", &new, &gpu).await;
    r.world.no_faults();
}

async fn no_credit(r: &mut Recorder<'_>) {
    bonus(r, "gus", "9.00").await;
    let gus = r.api("gus", "");
    let project = r.done(&gus, "POST /v1/projects", &json!({"name": "site"})).await;
    let new = format!("POST /v1/projects/{}/resources", last(&project));
    let gpu = json!({"sku": "gpu", "name": "one", "start": true});
    r.done(&gus, &new, &gpu).await;
    let all = json!({"amount": "-5.00", "reason": "a test"});
    let admin = r.world.operator.clone();
    r.done(&admin, "POST /v1/admin/accounts/gus/correction", &all).await;
    r.ask(&gus, "too little credit", &new, &gpu).await;
    r.world.without_schedule("settle-due");
    r.world.later(HOUR).await;
    r.world.no_faults();
    not_allowed(r, "gus", "suspended").await;
}

/// Stripe cannot be asked, has too much to do, or refuses.
async fn stripe_down(r: &mut Recorder<'_>) {
    bonus(r, "hal", "9.00").await;
    let hal = r.api("hal", "");
    top_up(r, "hal", &json!({"amount": "5.00"}), GOOD_CARD).await;
    for (case, fault) in [("Stripe fails", "error"), ("Stripe has too much to do", "throttle")] {
        r.world.fault(json!({"fault": fault, "service": "stripe", "times": 0}));
        r.ask(&hal, case, "POST /v1/checkout-sessions", &json!({"amount": "5.00"})).await;
        r.ask(&hal, case, "POST /v1/portal-sessions", &json!({})).await;
        r.world.no_faults();
    }
}

async fn webhooks(r: &mut Recorder<'_>) {
    let anybody = r.world.api.clone();
    let webhook = "POST /v1/stripe/webhook";
    r.ask(&anybody, "without a signature", webhook, &json!("{}")).await;
    let ivy = r.api("ivy", "");
    let page = r.done(&ivy, "POST /v1/checkout-sessions", &json!({"amount": "25.00"})).await;
    r.world.fault(json!({"fault": "drop", "delivery": "webhook", "times": 0}));
    pay(r, &page, GOOD_CARD).await;
    r.world.cloud.idle().await;
    // Taken before the cloud brings them.
    r.world.stripe().redeliver_all();
    let all = r.world.stripe().due_deliveries(r.world.cloud.now().unix_timestamp());
    for (case, event) in [
        ("good", "payment_intent.succeeded"),
        ("again", "payment_intent.succeeded"),
        ("the same payment by another event", "checkout.session.completed"),
    ] {
        let is_it = |delivery: &&Delivery| delivery.event_type == event;
        let delivery = all.iter().rfind(is_it).unwrap_or_else(|| panic!("no {event}"));
        let headers: Vec<(&str, &str)> = delivery
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("stripe-signature"))
            .map(|(_, value)| ("stripe-signature", value.as_str()))
            .collect();
        r.ask_with(&anybody, case, webhook, &headers, &json!(delivery.body)).await;
    }
    r.world.no_faults();
}

/// A start that is too long ago to have failed.
async fn long_ago(r: &mut Recorder<'_>) {
    bonus(r, "joe", "9.00").await;
    let joe = r.api("joe", "");
    let project = r.done(&joe, "POST /v1/projects", &json!({"name": "site"})).await;
    let new = format!("/v1/projects/{}/resources", last(&project));
    let wish = json!({"sku": "vm-small", "name": "one", "start": true});
    let resource = r.done(&joe, &format!("POST {new}"), &wish).await;
    r.world.without_schedule("settle-due");
    r.world.later(HOUR * 25).await;
    r.world.no_faults();
    let acting = r.api("platform", PLATFORM).acting_for("joe");
    let stop = format!("POST {new}/{}/stop", last(&resource));
    r.ask(&acting, "too long ago", &stop, &json!({"reason": "start_failed"})).await;
}
