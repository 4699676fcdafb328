//! Asks, and keeps what is answered, with what differs from run to run replaced.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tollgate_local::api::{ApiClient, ApiReply};
use tollgate_local::wiring::Route;

use crate::support::{World, token};

/// Ids of Stripe's begin with these. They follow from how many calls Stripe had before, so each is
/// replaced by a number that counts those of its kind.
const STRIPE_IDS: [&str; 14] = [
    "cs_test_", "pi_", "in_", "ii_", "cus_", "pm_", "ch_", "re_", "dp_", "bps_", "seti_", "evt_",
    "txi_", "inpay_",
];

pub(super) struct Recorder<'w> {
    pub(super) world: &'w World,
    pub(super) routes: Vec<Route>,
    /// By function, route, in the order they were asked for.
    pub(super) answers: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    keys: usize,
    ids: BTreeMap<String, String>,
}

impl<'w> Recorder<'w> {
    pub(super) fn new(world: &'w World) -> Recorder<'w> {
        let routes = world.cloud.wiring().api.as_ref().unwrap().routes.clone();
        Recorder { world, routes, answers: BTreeMap::new(), keys: 0, ids: BTreeMap::new() }
    }

    pub(super) fn api(&self, account: &str, scope: &str) -> ApiClient {
        self.world.api.with_token(token(&self.world.cloud, account, scope))
    }

    /// Keys are counted, as ids of projects and resources follow from them.
    fn key(&mut self) -> String {
        self.keys += 1;
        format!("key-{}", self.keys)
    }

    pub(super) async fn send(&mut self, api: &ApiClient, request: &str, body: &Value) -> ApiReply {
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
    pub(super) async fn done(&mut self, api: &ApiClient, request: &str, body: &Value) -> Value {
        let answer = self.send(api, request, body).await;
        answer.success().unwrap_or_else(|error| panic!("{request} {body}: {error}"))
    }

    /// Asks, and keeps the answer as that of a case.
    pub(super) async fn ask(
        &mut self,
        api: &ApiClient,
        case: &str,
        request: &str,
        body: &Value,
    ) -> Value {
        let answer = self.send(api, request, body).await;
        self.keep(case, request, &answer);
        answer.json()
    }

    pub(super) async fn ask_with(
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

pub(super) fn last(value: &Value) -> &str {
    value["id"].as_str().unwrap_or_else(|| panic!("no id in {value}"))
}

/// Adds credit and keeps nothing; the page's path.
pub(super) async fn top_up(
    r: &mut Recorder<'_>,
    account: &str,
    wish: &Value,
    card: &str,
) -> String {
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
pub(super) async fn pay(r: &Recorder<'_>, page: &Value, card: &str) {
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

pub(super) async fn bonus(r: &mut Recorder<'_>, account: &str, amount: &str) {
    let api = r.api(account, "");
    r.done(&api, "GET /v1/account", &Value::Null).await;
    let bonus = json!({"amount": amount, "expires_at": "2027-01-01T00:00:00Z", "reason": "a test"});
    let admin = r.world.operator.clone();
    r.done(&admin, &format!("POST /v1/admin/accounts/{account}/bonus"), &bonus).await;
}
