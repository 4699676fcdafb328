//! The Stripe stand-in over real HTTP: what Stripe promises, the stand-in keeps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test may panic")]

#[path = "stripe/openapi.rs"]
mod openapi;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tollgate_local::stripe::{
    CardRule, Config, DebitEnd, Delivery, DeliveryPlan, DisputeEnd, DisputeKind, Fault, FaultKind, NewDispute, Order,
    StripeStandIn,
};

/// 2026-11-22 00:00:00 UTC.
const START: i64 = 1_795_305_600;
const KEY: &str = "sk_test_local";
const HOOK: &str = "http://tollgate.test/v1/stripe/webhook";

/// A running stand-in and its clock.
struct World {
    stripe: StripeStandIn,
    clock: Arc<AtomicI64>,
    address: String,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: hyper::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The object of a successful answer.
    fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// Status and error of a refusal.
    fn refused(self) -> (u16, Value) {
        assert_ne!(self.status, 200, "{}", self.text);
        (self.status, self.json()["error"].clone())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn location(&self) -> String {
        assert_eq!(self.status, 303, "{}", self.text);
        self.header("location").unwrap().to_owned()
    }
}

impl World {
    async fn new() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        Self::from(config, None).await
    }

    async fn from(config: Config, saved: Option<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let config = Config { public_url: format!("http://{address}"), ..config };
        let clock = Arc::new(AtomicI64::new(START));
        let reads = Arc::clone(&clock);
        let reads = move || reads.load(Ordering::SeqCst);
        let stripe = match saved {
            Some(saved) => StripeStandIn::load(saved, config, reads).unwrap(),
            None => StripeStandIn::new(config, reads),
        };
        let served = stripe.clone();
        tokio::spawn(async move { served.serve(listener).await });
        Self { stripe, clock, address }
    }

    fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    fn advance(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
        self.stripe.settle(self.now());
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        params: &[(&str, &str)],
    ) -> Result<Answer, hyper::Error> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        let (target, body) = match method {
            "GET" if !form.is_empty() => (format!("{path}?{form}"), String::new()),
            _ => (path.to_owned(), form),
        };
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(target)
            .header("host", &self.address)
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await?;
        let (parts, body) = answer.into_parts();
        let text = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, text })
    }

    async fn call(&self, method: &str, path: &str, params: &[(&str, &str)]) -> Answer {
        let authorization = format!("Bearer {KEY}");
        self.send(method, path, &[("authorization", &authorization)], params).await.unwrap()
    }

    async fn get(&self, path: &str, params: &[(&str, &str)]) -> Value {
        self.call("GET", path, params).await.ok()
    }

    async fn post(&self, path: &str, params: &[(&str, &str)]) -> Value {
        self.call("POST", path, params).await.ok()
    }

    async fn refused(&self, method: &str, path: &str, params: &[(&str, &str)]) -> (u16, Value) {
        self.call(method, path, params).await.refused()
    }

    async fn keyed(&self, key: &str, path: &str, params: &[(&str, &str)]) -> Result<Answer, hyper::Error> {
        let authorization = format!("Bearer {KEY}");
        self.send("POST", path, &[("authorization", &authorization), ("idempotency-key", key)], params).await
    }

    async fn browse(&self, url: &str, fields: Option<&[(&str, &str)]>) -> Answer {
        let path = url.trim_start_matches(&format!("http://{}", self.address)).to_owned();
        match fields {
            None => self.send("GET", &path, &[], &[]).await.unwrap(),
            Some(fields) => self.send("POST", &path, &[], fields).await.unwrap(),
        }
    }

    async fn customer(&self) -> String {
        let customer =
            self.post("/v1/customers", &[("email", "acme@example.test"), ("metadata[account]", "acme")]).await;
        id(&customer)
    }

    async fn session(&self, customer: &str, extra: &[(&str, &str)]) -> Value {
        let mut params = TOP_UP.to_vec();
        params.push(("customer", customer));
        params.extend_from_slice(extra);
        self.post("/v1/checkout/sessions", &params).await
    }

    /// A top-up of $25 with a card at the page.
    async fn top_up(&self, customer: &str, card: &str) -> Value {
        let session = self.session(customer, &[]).await;
        self.browse(text(&session, "url"), Some(&[("card", card)])).await.location();
        self.get(&format!("/v1/checkout/sessions/{}", id(&session)), &[]).await
    }

    /// Saves a card without paying, and answers with its payment method.
    async fn save_card(&self, customer: &str, card: &str) -> String {
        let params = [("mode", "setup"), ("customer", customer), ("success_url", "http://shop.test/done")];
        let session = self.post("/v1/checkout/sessions", &params).await;
        let answer = self.browse(text(&session, "url"), Some(&[("card", card)])).await;
        let mut location = answer.location();
        if location.starts_with("/authenticate/") {
            location = self.browse(&location, Some(&[("result", "approve")])).await.location();
        }
        assert_eq!(location, "http://shop.test/done");
        let intent = self
            .get(
                &format!("/v1/setup_intents/{}", text(&self.stripe.object(&id(&session)).unwrap(), "setup_intent")),
                &[],
            )
            .await;
        text(&intent, "payment_method").to_owned()
    }

    /// An open invoice of $25, as a refill makes it.
    async fn open_invoice(&self, customer: &str) -> String {
        let invoice = self
            .post(
                "/v1/invoices",
                &[
                    ("customer", customer),
                    ("auto_advance", "false"),
                    ("pending_invoice_items_behavior", "exclude"),
                    ("collection_method", "charge_automatically"),
                    ("metadata[attempt]", "1"),
                ],
            )
            .await;
        let invoice = id(&invoice);
        let item = [
            ("customer", customer),
            ("invoice", &invoice),
            ("amount", "2500"),
            ("currency", "usd"),
            ("description", "Refill"),
        ];
        self.post("/v1/invoiceitems", &item).await;
        self.post(&format!("/v1/invoices/{invoice}/finalize"), &[("auto_advance", "false")]).await;
        invoice
    }

    async fn pay(&self, invoice: &str, method: &str) -> Answer {
        let params = [("off_session", "true"), ("payment_method", method)];
        self.call("POST", &format!("/v1/invoices/{invoice}/pay"), &params).await
    }

    /// The types of all events so far, oldest first.
    async fn events(&self) -> Vec<String> {
        let events = self.get("/v1/events", &[("limit", "100")]).await;
        events["data"].as_array().unwrap().iter().rev().map(|event| text(event, "type").to_owned()).collect()
    }

    /// The object of the latest event of a type.
    async fn told(&self, kind: &str) -> Value {
        let events = self.get("/v1/events", &[("type", kind), ("limit", "1")]).await;
        events["data"][0]["data"]["object"].clone()
    }

    fn due(&self) -> Vec<Delivery> {
        self.stripe.due_deliveries(self.now())
    }
}

const TOP_UP: &[(&str, &str)] = &[
    ("mode", "payment"),
    ("success_url", "http://shop.test/done?session={CHECKOUT_SESSION_ID}"),
    ("cancel_url", "http://shop.test/cancelled"),
    ("line_items[0][quantity]", "1"),
    ("line_items[0][price_data][currency]", "usd"),
    ("line_items[0][price_data][unit_amount]", "2500"),
    ("line_items[0][price_data][tax_behavior]", "exclusive"),
    ("line_items[0][price_data][product_data][name]", "Credit of $25.00"),
    ("payment_method_types[0]", "card"),
    ("wallet_options[link][display]", "never"),
    ("adaptive_pricing[enabled]", "false"),
    ("payment_intent_data[setup_future_usage]", "off_session"),
    ("payment_intent_data[metadata][account]", "acme"),
    ("metadata[kind]", "topup"),
    ("saved_payment_method_options[allow_redisplay_filters][0]", "always"),
    ("saved_payment_method_options[allow_redisplay_filters][1]", "limited"),
    ("saved_payment_method_options[allow_redisplay_filters][2]", "unspecified"),
    ("custom_text[submit][message]", "We charge $25 when your balance falls below $5."),
    ("invoice_creation[enabled]", "true"),
    ("invoice_creation[invoice_data][metadata][account]", "acme"),
];

fn id(object: &Value) -> String {
    text(object, "id").to_owned()
}

#[track_caller]
fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_else(|| panic!("no text {field} in {object}"))
}

/// The events of `all` that are in `wanted`, in order.
fn only<'a>(all: &'a [String], wanted: &[&str]) -> Vec<&'a str> {
    all.iter().map(String::as_str).filter(|kind| wanted.contains(kind)).collect()
}

// The protocol.

#[tokio::test]
async fn a_call_needs_the_secret_key_as_bearer_or_basic() {
    let world = World::new().await;
    let (status, error) = world.send("GET", "/v1/account", &[], &[]).await.unwrap().refused();
    assert_eq!((status, text(&error, "type")), (401, "invalid_request_error"));
    let wrong = world.send("GET", "/v1/account", &[("authorization", "Bearer sk_test_wrong")], &[]).await.unwrap();
    let (status, error) = wrong.refused();
    assert_eq!(status, 401);
    assert_eq!(text(&error, "message"), "Invalid API Key provided: *********rong".replace("*********", &"*".repeat(9)));
    // base64("sk_test_local:")
    let basic = [("authorization", "Basic c2tfdGVzdF9sb2NhbDo=")];
    assert_eq!(world.send("GET", "/v1/account", &basic, &[]).await.unwrap().status, 200);
}

#[tokio::test]
async fn every_answer_names_its_request_and_the_version_that_was_asked_for() {
    let world = World::new().await;
    let authorization = format!("Bearer {KEY}");
    let headers = [("authorization", authorization.as_str()), ("stripe-version", "2025-03-31.basil")];
    let answer = world.send("GET", "/v1/account", &headers, &[]).await.unwrap();
    assert_eq!(answer.header("stripe-version"), Some("2025-03-31.basil"));
    assert!(answer.header("request-id").unwrap().starts_with("req_"));
    assert_eq!(world.call("GET", "/v1/account", &[]).await.header("stripe-version"), Some("2026-08-26.dahlia"));
}

#[tokio::test]
async fn what_is_not_on_the_list_gets_stripes_error_and_shows_as_outside() {
    let world = World::new().await;
    let (status, error) = world.refused("GET", "/v1/subscriptions", &[]).await;
    assert_eq!(status, 404);
    assert!(text(&error, "message").starts_with("Unrecognized request URL (GET: /v1/subscriptions)."));

    let (status, error) = world.refused("POST", "/v1/customers", &[("emial", "a@b.test")]).await;
    assert_eq!((status, text(&error, "code"), text(&error, "param")), (400, "parameter_unknown", "emial"));
    assert_eq!(text(&error, "message"), "Received unknown parameter: emial");

    let (status, _) = world.refused("POST", "/v1/checkout/sessions", &[("mode", "subscription")]).await;
    assert_eq!(status, 400);
    let (status, error) = world.refused("GET", "/v1/charges", &[("expand[]", "latest_charge")]).await;
    assert_eq!(status, 400);
    assert!(text(&error, "message").contains("cannot be expanded"));

    let outside: Vec<String> = world.stripe.calls_outside().into_iter().map(|call| call.path).collect();
    assert_eq!(outside, ["/v1/subscriptions", "/v1/customers", "/v1/checkout/sessions", "/v1/charges"]);
    assert_eq!(world.get("/v1/customers", &[]).await["data"], json!([]), "nothing was made");
}

#[tokio::test]
async fn a_call_is_recorded_with_its_endpoint_parameters_key_and_status() {
    let world = World::new().await;
    let customer = world.customer().await;
    world.keyed("update/1", &format!("/v1/customers/{customer}"), &[("metadata[a]", "b")]).await.unwrap().ok();
    let call = world.stripe.calls().pop().unwrap();
    assert_eq!(call.endpoint.as_deref(), Some("POST /v1/customers/{customer}"));
    assert_eq!(call.idempotency_key.as_deref(), Some("update/1"));
    assert_eq!(call.params.get("metadata[a]").map(String::as_str), Some("b"));
    assert_eq!((call.status, call.replayed, call.outside), (Some(200), false, None));
    assert!(world.stripe.calls_outside().is_empty());
}

#[tokio::test]
async fn brackets_say_the_same_with_and_without_numbers() {
    let world = World::new().await;
    let numbered = [("url", HOOK), ("enabled_events[0]", "a.b"), ("enabled_events[1]", "c.d")];
    let empty = [("url", HOOK), ("enabled_events[]", "a.b"), ("enabled_events[]", "c.d")];
    for params in [numbered, empty] {
        let endpoint = world.post("/v1/webhook_endpoints", &params).await;
        assert_eq!(endpoint["enabled_events"], json!(["a.b", "c.d"]));
    }
    let customer = world
        .post("/v1/customers", &[("tax_id_data[][type]", "eu_vat"), ("tax_id_data[][value]", "DE123456789")])
        .await;
    let expanded = world.get(&format!("/v1/customers/{}", id(&customer)), &[("expand[]", "tax_ids")]).await;
    assert_eq!(expanded["tax_ids"]["data"][0]["value"], "DE123456789");
}

#[tokio::test]
async fn values_of_the_wrong_type_are_refused() {
    let world = World::new().await;
    let (_, error) = world.refused("GET", "/v1/customers", &[("limit", "ten")]).await;
    assert_eq!((text(&error, "code"), text(&error, "param")), ("parameter_invalid_integer", "limit"));
    for limit in ["0", "101"] {
        assert_eq!(world.refused("GET", "/v1/customers", &[("limit", limit)]).await.0, 400);
    }
    let (_, error) = world.refused("POST", "/v1/invoices", &[("auto_advance", "yes")]).await;
    assert_eq!(text(&error, "message"), "Invalid boolean: yes");
    let (_, error) = world.refused("POST", "/v1/invoices", &[]).await;
    assert_eq!((text(&error, "code"), text(&error, "param")), ("parameter_missing", "customer"));
}

#[tokio::test]
async fn an_object_that_is_not_there_is_a_404_in_the_url_and_a_400_in_a_parameter() {
    let world = World::new().await;
    let (status, error) = world.refused("GET", "/v1/customers/cus_none", &[]).await;
    assert_eq!((status, text(&error, "code")), (404, "resource_missing"));
    assert_eq!(text(&error, "message"), "No such customer: 'cus_none'");
    let (status, error) = world.refused("POST", "/v1/invoices", &[("customer", "cus_none")]).await;
    assert_eq!((status, text(&error, "param")), (400, "customer"));
}

#[tokio::test]
async fn a_list_is_walked_by_its_cursors_newest_first() {
    let world = World::new().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(world.customer().await);
        world.advance(10);
    }
    made.reverse();
    let ids = |page: &Value| page["data"].as_array().unwrap().iter().map(id).collect::<Vec<_>>();
    let first = world.get("/v1/customers", &[("limit", "2")]).await;
    assert_eq!((ids(&first), &first["has_more"]), (made[..2].to_vec(), &json!(true)));
    assert_eq!((text(&first, "object"), text(&first, "url")), ("list", "/v1/customers"));
    let next = world.get("/v1/customers", &[("limit", "3"), ("starting_after", &made[1])]).await;
    assert_eq!((ids(&next), &next["has_more"]), (made[2..].to_vec(), &json!(false)));
    let back = world.get("/v1/customers", &[("limit", "1"), ("ending_before", &made[2])]).await;
    assert_eq!((ids(&back), &back["has_more"]), (vec![made[1].clone()], &json!(true)));
    let (status, _) = world.refused("GET", "/v1/customers", &[("starting_after", "cus_none")]).await;
    assert_eq!(status, 400);
    let since = (START + 30).to_string();
    assert_eq!(ids(&world.get("/v1/customers", &[("created[gte]", &since)]).await), made[..2].to_vec());
    assert_eq!(ids(&world.get("/v1/customers", &[("created[lt]", &since)]).await), made[2..].to_vec());
}

#[tokio::test]
async fn expansion_puts_the_object_in_the_place_of_its_id() {
    let world = World::new().await;
    let customer = world.customer().await;
    let session = world.top_up(&customer, "4242424242424242").await;
    let intent = text(&session, "payment_intent");
    let expanded = world
        .get(
            &format!("/v1/payment_intents/{intent}"),
            &[("expand[]", "latest_charge.balance_transaction"), ("expand[]", "payment_method")],
        )
        .await;
    assert_eq!(expanded["latest_charge"]["object"], "charge");
    assert_eq!(expanded["latest_charge"]["balance_transaction"]["net"], 2500 - 102);
    assert_eq!(expanded["payment_method"]["card"]["last4"], "4242");
    let list =
        world.get("/v1/checkout/sessions", &[("customer", &customer), ("expand[0]", "data.payment_intent")]).await;
    assert_eq!(list["data"][0]["payment_intent"]["id"], intent);
}

// Idempotency.

#[tokio::test]
async fn the_first_answer_to_a_key_is_kept_and_given_again() {
    let world = World::new().await;
    let first = world.keyed("customer/acme", "/v1/customers", &[("name", "Acme")]).await.unwrap();
    let again = world.keyed("customer/acme", "/v1/customers", &[("name", "Acme")]).await.unwrap();
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("original-request"), first.header("request-id"));
    assert_ne!(again.header("request-id"), first.header("request-id"));
    assert_eq!(first.text, again.text);
    assert_eq!(world.get("/v1/customers", &[]).await["data"].as_array().unwrap().len(), 1);
    assert!(world.stripe.calls().iter().any(|call| call.replayed));
}

#[tokio::test]
async fn a_key_keeps_even_a_500() {
    let world = World::new().await;
    world.stripe.fail_next("POST /v1/customers", 1, FaultKind::ServerError);
    for _ in 0..2 {
        let (status, error) = world.keyed("k", "/v1/customers", &[]).await.unwrap().refused();
        assert_eq!((status, text(&error, "type")), (500, "api_error"));
    }
    assert_eq!(world.keyed("k2", "/v1/customers", &[]).await.unwrap().status, 200);
    assert_eq!(world.get("/v1/customers", &[]).await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_keeps_a_decline() {
    let world = World::new().await;
    let customer = world.customer().await;
    let method = world.save_card(&customer, "4000000000000341").await;
    let invoice = world.open_invoice(&customer).await;
    let path = format!("/v1/invoices/{invoice}/pay");
    for _ in 0..2 {
        let answer = world.keyed("refill/1/pay", &path, &[("payment_method", &method)]).await.unwrap();
        assert_eq!(answer.status, 402);
    }
    assert_eq!(world.get("/v1/charges", &[]).await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_used_for_something_else_is_an_error() {
    let world = World::new().await;
    let first = world.keyed("k", "/v1/customers", &[("name", "a")]).await.unwrap().ok();
    let (status, error) = world.keyed("k", "/v1/customers", &[("name", "b")]).await.unwrap().refused();
    assert_eq!((status, text(&error, "type")), (400, "idempotency_error"));
    let path = format!("/v1/customers/{}", id(&first));
    let (status, error) = world.keyed("k", &path, &[("name", "a")]).await.unwrap().refused();
    assert_eq!((status, text(&error, "type")), (400, "idempotency_error"));
    assert!(text(&error, "message").contains("same endpoint"));
}

#[tokio::test]
async fn a_key_is_in_use_while_the_first_request_is_at_work() {
    let world = Arc::new(World::new().await);
    world.stripe.fail_next("POST /v1/customers", 1, FaultKind::Held);
    let held = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.keyed("k", "/v1/customers", &[]).await.unwrap().ok() }
    });
    while world.stripe.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (status, error) = world.keyed("k", "/v1/customers", &[]).await.unwrap().refused();
    assert_eq!((status, text(&error, "code")), (409, "idempotency_key_in_use"));
    world.stripe.release_held();
    let first = held.await.unwrap();
    assert_eq!(world.keyed("k", "/v1/customers", &[]).await.unwrap().ok(), first);
}

#[tokio::test]
async fn a_key_keeps_nothing_of_what_never_began() {
    let world = World::new().await;
    assert_eq!(world.keyed("k", "/v1/customers", &[("nmae", "a")]).await.unwrap().status, 400);
    world.stripe.fail_next("POST /v1/customers", 1, FaultKind::RateLimited);
    let limited = world.keyed("k", "/v1/customers", &[("name", "a")]).await.unwrap();
    assert_eq!(limited.status, 429);
    assert_eq!(world.keyed("k", "/v1/customers", &[("name", "a")]).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let world = World::new().await;
    let first = world.keyed("k", "/v1/customers", &[]).await.unwrap().ok();
    world.advance(24 * 3600 - 1);
    assert_eq!(world.keyed("k", "/v1/customers", &[]).await.unwrap().ok(), first);
    world.advance(1);
    assert_ne!(world.keyed("k", "/v1/customers", &[]).await.unwrap().ok(), first);
}

#[tokio::test]
async fn an_answer_lost_after_the_work_comes_with_the_same_key_again() {
    let world = World::new().await;
    world.stripe.fail_next("POST /v1/customers", 1, FaultKind::AnswerLost);
    assert!(world.keyed("k", "/v1/customers", &[]).await.is_err(), "no answer at all");
    let answer = world.keyed("k", "/v1/customers", &[]).await.unwrap();
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    assert_eq!(world.get("/v1/customers", &[]).await["data"].as_array().unwrap().len(), 1);
    let statuses: Vec<Option<u16>> = world.stripe.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [None, Some(200), Some(200)]);
}

#[tokio::test]
async fn a_dropped_connection_did_nothing() {
    let world = World::new().await;
    let fault = Fault { endpoint: "*".to_owned(), after: 1, times: 1, kind: FaultKind::ConnectionDropped };
    world.stripe.fail(fault);
    world.keyed("k1", "/v1/customers", &[]).await.unwrap().ok();
    assert!(world.keyed("k2", "/v1/customers", &[]).await.is_err());
    assert_eq!(world.get("/v1/customers", &[]).await["data"].as_array().unwrap().len(), 1);
    assert_eq!(world.keyed("k2", "/v1/customers", &[]).await.unwrap().header("idempotent-replayed"), None);
}

#[tokio::test]
async fn the_same_seed_and_calls_give_the_same_ids() {
    let (one, two) = (World::new().await, World::new().await);
    let other = World::with(Config { seed: 2, ..Config::default() }).await;
    let first = one.customer().await;
    assert_eq!(first, two.customer().await);
    assert_ne!(first, other.customer().await);
    assert!(first.starts_with("cus_") && first.len() == 18, "{first}");
}

// The payment page.

#[tokio::test]
async fn a_top_up_charges_saves_the_card_and_makes_an_invoice() {
    let world = World::new().await;
    let customer = world.customer().await;
    let session = world.session(&customer, &[]).await;
    assert_eq!((text(&session, "status"), text(&session, "payment_status")), ("open", "unpaid"));
    assert_eq!(session["payment_intent"], Value::Null, "Stripe makes it when the page is submitted");
    assert_eq!(session["amount_total"], 2500);

    let page = world.browse(text(&session, "url"), None).await;
    assert_eq!(page.status, 200);
    for shown in
        ["$25.00", "Credit of $25.00", "We charge $25 when your balance falls below $5.", "http://shop.test/cancelled"]
    {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    assert!(!page.text.contains("<script"));

    let fields = [("card", "4242 4242 4242 4242"), ("exp", "12/34"), ("cvc", "123"), ("unknown", "x")];
    let location = world.browse(text(&session, "url"), Some(&fields)).await.location();
    assert_eq!(location, format!("http://shop.test/done?session={}", id(&session)));

    let session = world.get(&format!("/v1/checkout/sessions/{}", id(&session)), &[]).await;
    assert_eq!((text(&session, "status"), text(&session, "payment_status")), ("complete", "paid"));
    assert_eq!(session["url"], Value::Null);
    assert_eq!(session["customer_details"]["email"], "acme@example.test");

    let intent = world.get(&format!("/v1/payment_intents/{}", text(&session, "payment_intent")), &[]).await;
    assert_eq!(text(&intent, "status"), "succeeded");
    assert_eq!((&intent["amount_received"], &intent["currency"]), (&json!(2500), &json!("usd")));
    assert_eq!(intent["metadata"], json!({ "account": "acme" }), "not the session's own");
    assert!(intent.get("invoice").is_none());
    let charge = world.get(&format!("/v1/charges/{}", text(&intent, "latest_charge")), &[]).await;
    assert_eq!(
        (&charge["paid"], &charge["captured"], &charge["metadata"]["account"]),
        (&json!(true), &json!(true), &json!("acme"))
    );
    let receipt = world.browse(text(&charge, "receipt_url"), None).await;
    assert!(receipt.status == 200 && receipt.text.contains("$25.00"));

    let method = world.get(&format!("/v1/payment_methods/{}", text(&intent, "payment_method")), &[]).await;
    assert_eq!((text(&method, "customer"), text(&method, "allow_redisplay")), (customer.as_str(), "limited"));
    assert_eq!(
        (
            &method["card"]["brand"],
            &method["card"]["funding"],
            &method["card"]["exp_month"],
            &method["card"]["exp_year"]
        ),
        (&json!("visa"), &json!("credit"), &json!(12), &json!(2034))
    );

    let invoice = world.get(&format!("/v1/invoices/{}", text(&session, "invoice")), &[]).await;
    assert_eq!((text(&invoice, "status"), &invoice["amount_paid"]), ("paid", &json!(2500)));
    assert_eq!(invoice["metadata"], json!({ "account": "acme" }));
    assert!(world.browse(text(&invoice, "hosted_invoice_url"), None).await.text.contains(text(&invoice, "number")));
    let pdf = world.browse(text(&invoice, "invoice_pdf"), None).await;
    assert_eq!(pdf.header("content-type"), Some("application/pdf"));
    assert!(pdf.text.starts_with("%PDF-1.4") && pdf.text.ends_with("%%EOF\n"));
    let payments = world
        .get("/v1/invoice_payments", &[("payment[type]", "payment_intent"), ("payment[payment_intent]", &id(&intent))])
        .await;
    assert_eq!(payments["data"][0]["invoice"], invoice["id"]);

    let told = world.events().await;
    assert_eq!(
        told,
        [
            "customer.created",
            "payment_intent.created",
            "charge.succeeded",
            "payment_method.attached",
            "payment_intent.succeeded",
            "invoice.created",
            "invoiceitem.created",
            "invoice.finalized",
            "invoice.updated",
            "invoice.paid",
            "invoice.payment_succeeded",
            "invoice_payment.paid",
            "checkout.session.completed",
        ]
    );
    let completed = world.told("checkout.session.completed").await;
    assert_eq!(completed["invoice"], invoice["id"]);
    assert_eq!(world.browse(&format!("/c/pay/{}", id(&session)), None).await.status, 410);
    let again = world.browse(&format!("/c/pay/{}", id(&session)), Some(&[("card", "4242424242424242")])).await;
    assert_eq!(again.status, 410, "a page cannot be paid twice");
    assert!(world.stripe.calls_outside().is_empty());
}

#[tokio::test]
async fn a_saved_card_is_offered_next_time_and_pays_without_being_typed() {
    let world = World::new().await;
    let customer = world.customer().await;
    world.top_up(&customer, "5555555555554444").await;
    let cards = world.get("/v1/payment_methods", &[("customer", &customer), ("type", "card")]).await;
    let saved = id(&cards["data"][0]);
    let session = world.session(&customer, &[]).await;
    let page = world.browse(text(&session, "url"), None).await;
    assert!(page.text.contains(&saved) && page.text.contains("4444"));
    world.browse(text(&session, "url"), Some(&[("payment_method", &saved)])).await.location();
    let of_customer = world.get(&format!("/v1/customers/{customer}/payment_methods"), &[]).await;
    assert_eq!(of_customer["data"].as_array().unwrap().len(), 1, "not saved a second time");
    let stranger = world.customer().await;
    let session = world.session(&stranger, &[]).await;
    let answer = world.browse(text(&session, "url"), Some(&[("payment_method", &saved)])).await;
    assert_eq!(answer.status, 402);
}

#[tokio::test]
async fn each_test_card_does_at_the_page_what_stripe_publishes() {
    let world = World::new().await;
    let customer = world.customer().await;
    let table = [
        ("4000000000000002", "card_declined", Some("generic_decline"), "Your card was declined."),
        ("4000000000009995", "card_declined", Some("insufficient_funds"), "Your card has insufficient funds."),
        ("4000000000009987", "card_declined", Some("lost_card"), "Your card was declined."),
        ("4000000000009979", "card_declined", Some("stolen_card"), "Your card was declined."),
        ("4000000000000069", "expired_card", Some("expired_card"), "Your card has expired."),
        ("4000000000000127", "incorrect_cvc", Some("incorrect_cvc"), "Your card&#39;s security code is incorrect."),
        ("4000000000000119", "processing_error", Some("processing_error"), "An error occurred"),
    ];
    for (card, code, decline_code, message) in table {
        let session = world.session(&customer, &[]).await;
        let answer = world.browse(text(&session, "url"), Some(&[("card", card)])).await;
        assert_eq!(answer.status, 402, "{card}");
        assert!(answer.text.contains(message) && answer.text.contains("name=\"card\""), "{card}: the page stays open");
        let session = world.get(&format!("/v1/checkout/sessions/{}", id(&session)), &[]).await;
        assert_eq!(text(&session, "status"), "open");
        let intent = world.get(&format!("/v1/payment_intents/{}", text(&session, "payment_intent")), &[]).await;
        assert_eq!(text(&intent, "status"), "requires_payment_method");
        let error = &intent["last_payment_error"];
        assert_eq!((error["code"].as_str(), error["decline_code"].as_str()), (Some(code), decline_code), "{card}");
        assert_eq!(world.told("payment_intent.payment_failed").await["id"], intent["id"]);
        assert_eq!(world.told("charge.failed").await["failure_code"], code);
        // The same page, another card.
        world.browse(&format!("/c/pay/{}", id(&session)), Some(&[("card", "4242424242424242")])).await.location();
        let intent = world.get(&format!("/v1/payment_intents/{}", id(&intent)), &[]).await;
        assert_eq!((text(&intent, "status"), &intent["last_payment_error"]), ("succeeded", &Value::Null));
    }
    for card in ["4242424242424242", "5555555555554444", "5105105105105100", "4000000000000341"] {
        assert_eq!(text(&world.top_up(&customer, card).await, "payment_status"), "paid", "{card}");
    }
    let prepaid = world.get("/v1/charges", &[("limit", "2")]).await;
    assert_eq!(prepaid["data"][1]["payment_method_details"]["card"]["funding"], "prepaid");
}

#[tokio::test]
async fn a_number_or_a_date_that_cannot_be_is_refused_by_the_page() {
    let world = World::new().await;
    let session = world.session(&world.customer().await, &[]).await;
    let table: [(&[(&str, &str)], &str); 5] = [
        (&[("card", "4242424242424241")], "Your card number is incorrect."),
        (&[("card", "4111111111111111")], "live"),
        (&[("card", "")], "incomplete"),
        (&[("card", "4242424242424242"), ("exp", "10/26")], "expiration year"),
        (&[("card", "4242424242424242"), ("exp", "13/34")], "expiration month"),
    ];
    for (fields, message) in table {
        let answer = world.browse(text(&session, "url"), Some(fields)).await;
        assert!(answer.status == 402 && answer.text.contains(message), "{fields:?}: {}", answer.text);
    }
    assert_eq!(world.get("/v1/payment_intents", &[]).await["data"], json!([]), "no bank was asked");
}

#[tokio::test]
async fn a_card_with_3d_secure_asks_the_customer_first() {
    let world = World::new().await;
    let customer = world.customer().await;
    for card in ["4000002500003155", "4000002760003184"] {
        let session = world.session(&customer, &[]).await;
        let bank = world.browse(text(&session, "url"), Some(&[("card", card)])).await.location();
        assert!(bank.starts_with("/authenticate/pi_"));
        assert!(world.browse(&bank, None).await.text.contains("$25.00"));
        assert_eq!(text(&world.told("payment_intent.requires_action").await, "status"), "requires_action");
        let refused = world.browse(&bank, Some(&[("result", "fail")])).await;
        assert!(refused.status == 402 && refused.text.contains("unable to authenticate"));
        assert_eq!(world.browse(&bank, None).await.status, 410, "asked once only");
        let bank = world.browse(text(&session, "url"), Some(&[("card", card)])).await.location();
        let done = world.browse(&bank, Some(&[("result", "approve")])).await.location();
        assert!(done.starts_with("http://shop.test/done"));
        let session = world.get(&format!("/v1/checkout/sessions/{}", id(&session)), &[]).await;
        assert_eq!(text(&session, "payment_status"), "paid");
    }
}

#[tokio::test]
async fn the_same_number_has_the_same_fingerprint_for_everybody() {
    let world = World::new().await;
    let (one, two) = (world.customer().await, world.customer().await);
    let mut fingerprints = Vec::new();
    for (customer, card) in [(&one, "4242424242424242"), (&two, "4242424242424242"), (&two, "5555555555554444")] {
        let method = world.save_card(customer, card).await;
        let method = world.get(&format!("/v1/payment_methods/{method}"), &[]).await;
        fingerprints.push(method["card"]["fingerprint"].as_str().unwrap().to_owned());
    }
    assert_eq!(fingerprints[0], fingerprints[1]);
    assert_ne!(fingerprints[1], fingerprints[2]);
}

#[tokio::test]
async fn a_bank_debit_completes_unpaid_and_succeeds_or_fails_later() {
    let world = World::with(Config { bank_debit_seconds: Some(600), ..Config::default() }).await;
    let customer = world.customer().await;
    let delayed = [("payment_method_types[1]", "us_bank_account")];
    let pay = async |fields: &[(&str, &str)]| {
        let session = world.session(&customer, &delayed).await;
        let mut all = vec![("method", "us_bank_account")];
        all.extend_from_slice(fields);
        world.browse(text(&session, "url"), Some(&all)).await.location();
        let session = world.get(&format!("/v1/checkout/sessions/{}", id(&session)), &[]).await;
        assert_eq!((text(&session, "status"), text(&session, "payment_status")), ("complete", "unpaid"));
        assert_eq!(world.told("payment_intent.processing").await["id"], session["payment_intent"]);
        session
    };
    let status = async |session: &Value| {
        let intent = world.get(&format!("/v1/payment_intents/{}", text(session, "payment_intent")), &[]).await;
        text(&intent, "status").to_owned()
    };

    let on_demand = pay(&[]).await;
    world.stripe.resolve_debit(&id(&on_demand), DebitEnd::Succeeded).unwrap();
    assert_eq!(status(&on_demand).await, "succeeded");
    let told = world.told("checkout.session.async_payment_succeeded").await;
    assert_eq!((text(&told, "payment_status"), &told["id"]), ("paid", &on_demand["id"]));
    assert!(told["invoice"].is_string(), "the invoice comes with the money");
    assert!(world.stripe.resolve_debit(&id(&on_demand), DebitEnd::Failed).is_err(), "answered once only");

    let fails = pay(&[]).await;
    world.stripe.resolve_debit(text(&fails, "payment_intent"), DebitEnd::Failed).unwrap();
    assert_eq!(status(&fails).await, "requires_payment_method");
    assert_eq!(text(&world.told("checkout.session.async_payment_failed").await, "payment_status"), "unpaid");
    let canceled = format!("/v1/payment_intents/{}/cancel", text(&fails, "payment_intent"));
    assert_eq!(text(&world.post(&canceled, &[]).await, "status"), "canceled");

    let by_clock = pay(&[]).await;
    let by_account = pay(&[("account", "000222222227")]).await;
    world.advance(599);
    assert_eq!(status(&by_clock).await, "processing");
    world.advance(1);
    assert_eq!(status(&by_clock).await, "succeeded");
    assert_eq!(status(&by_account).await, "requires_payment_method");

    let card_only = world.session(&customer, &[]).await;
    let answer = world.browse(text(&card_only, "url"), Some(&[("method", "us_bank_account")])).await;
    assert_eq!(answer.status, 402);
}

#[tokio::test]
async fn a_session_expires_by_the_clock_or_by_the_call() {
    let world = World::new().await;
    let customer = world.customer().await;
    let soon = (START + 1800).to_string();
    let by_clock = world.session(&customer, &[("expires_at", &soon)]).await;
    world.browse(text(&by_clock, "url"), Some(&[("card", "4000000000000002")])).await;
    assert_eq!(world.stripe.next_due(), Some(START + 1800));
    world.advance(1799);
    assert_eq!(text(&world.stripe.object(&id(&by_clock)).unwrap(), "status"), "open");
    world.advance(3600);
    let session = world.get(&format!("/v1/checkout/sessions/{}", id(&by_clock)), &[]).await;
    assert_eq!((text(&session, "status"), &session["url"]), ("expired", &Value::Null));
    let events = world.get("/v1/events", &[("type", "checkout.session.expired")]).await;
    assert_eq!(events["data"][0]["created"], START + 1800, "at its own time, not when it was noticed");
    let canceled = world.told("payment_intent.canceled").await;
    assert_eq!((&canceled["id"], text(&canceled, "cancellation_reason")), (&session["payment_intent"], "expired"));
    assert_eq!(world.browse(text(&by_clock, "url"), None).await.status, 410);
    assert_eq!(world.browse(text(&by_clock, "url"), Some(&[("card", "4242424242424242")])).await.status, 410);

    let by_call = id(&world.session(&customer, &[]).await);
    let expire = format!("/v1/checkout/sessions/{by_call}/expire");
    assert_eq!(text(&world.post(&expire, &[]).await, "status"), "expired");
    let (status, error) = world.refused("POST", &expire, &[]).await;
    assert_eq!(status, 400);
    assert!(text(&error, "message").contains("status of `expired`"));
    let open = world.get("/v1/checkout/sessions", &[("customer", &customer), ("status", "open")]).await;
    assert_eq!(open["data"], json!([]));

    for life in [1799, 24 * 3600 + 1] {
        let at = (world.now() + life).to_string();
        let mut params = TOP_UP.to_vec();
        params.extend([("customer", customer.as_str()), ("expires_at", at.as_str())]);
        let (status, error) = world.refused("POST", "/v1/checkout/sessions", &params).await;
        assert_eq!((status, text(&error, "param")), (400, "expires_at"));
    }
}

#[tokio::test]
async fn a_card_is_added_without_paying() {
    let world = World::new().await;
    let customer = world.customer().await;
    let params = [
        ("mode", "setup"),
        ("customer", customer.as_str()),
        ("success_url", "http://shop.test/done"),
        ("setup_intent_data[metadata][account]", "acme"),
    ];
    let session = world.post("/v1/checkout/sessions", &params).await;
    let refused = world.browse(text(&session, "url"), Some(&[("card", "4000000000000002")])).await;
    assert_eq!(refused.status, 402);
    world.browse(text(&session, "url"), Some(&[("card", "4242424242424242")])).await.location();
    let completed = world.told("checkout.session.completed").await;
    assert_eq!((text(&completed, "mode"), text(&completed, "payment_status")), ("setup", "no_payment_required"));
    let intent = world.told("setup_intent.succeeded").await;
    assert_eq!((&intent["metadata"]["account"], &intent["id"]), (&json!("acme"), &completed["setup_intent"]));
    assert_eq!(world.told("payment_method.attached").await["id"], intent["payment_method"]);
    assert_eq!(world.get("/v1/charges", &[]).await["data"], json!([]));
    assert!(world.save_card(&customer, "4000002500003155").await.starts_with("pm_"));
}

#[tokio::test]
async fn automatic_tax_comes_on_top_of_the_credit() {
    let world = World::with(Config { tax_basis_points: 875, ..Config::default() }).await;
    let customer = world.customer().await;
    let mut params = TOP_UP.to_vec();
    params.extend([("customer", customer.as_str()), ("automatic_tax[enabled]", "true")]);
    let (_, error) = world.refused("POST", "/v1/checkout/sessions", &params).await;
    assert_eq!(text(&error, "code"), "customer_tax_location_invalid");
    let taxed = [
        ("automatic_tax[enabled]", "true"),
        ("billing_address_collection", "required"),
        ("customer_update[address]", "auto"),
        ("customer_update[name]", "auto"),
        ("tax_id_collection[enabled]", "true"),
    ];
    let session = world.session(&customer, &taxed).await;
    assert_eq!(session["automatic_tax"]["status"], "requires_location_inputs");
    let without = world.browse(text(&session, "url"), Some(&[("card", "4242424242424242")])).await;
    assert_eq!(without.status, 402);
    let fields = [
        ("card", "4242424242424242"),
        ("name", "Acme GmbH"),
        ("country", "US"),
        ("postal_code", "94103"),
        ("tax_id", "DE123456789"),
    ];
    world.browse(text(&session, "url"), Some(&fields)).await.location();
    let session = world.get(&format!("/v1/checkout/sessions/{}", id(&session)), &[("expand[]", "invoice")]).await;
    // 8.75 % of $25.00 is $2.1875.
    assert_eq!((&session["amount_subtotal"], &session["amount_total"]), (&json!(2500), &json!(2719)));
    assert_eq!(session["total_details"]["amount_tax"], 219);
    assert_eq!(
        (&session["invoice"]["total"], &session["invoice"]["total_excluding_tax"]),
        (&json!(2719), &json!(2500))
    );
    let intent = world.get(&format!("/v1/payment_intents/{}", text(&session, "payment_intent")), &[]).await;
    assert_eq!(intent["amount_received"], 2719);
    let told = world.told("customer.updated").await;
    assert_eq!((&told["name"], &told["address"]["postal_code"]), (&json!("Acme GmbH"), &json!("94103")));
    let tax_ids = world.get(&format!("/v1/customers/{customer}/tax_ids"), &[]).await;
    assert_eq!(tax_ids["data"][0]["value"], "DE123456789");
    assert_eq!(text(&world.get("/v1/tax/settings", &[]).await, "status"), "active");
}

#[tokio::test]
async fn a_session_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    let customer = world.customer().await;
    let base = [("success_url", "http://shop.test/done"), ("customer", customer.as_str())];
    let table: [(&[(&str, &str)], &str); 5] = [
        (&[("mode", "payment")], "line_items"),
        (&[("mode", "setup"), ("payment_intent_data[description]", "x")], "payment_intent_data"),
        (&[("mode", "setup"), ("line_items[0][quantity]", "1")], "line_items"),
        (&[("mode", "payment"), ("customer_email", "a@b.test")], "customer_email"),
        (&[], "mode"),
    ];
    for (params, param) in table {
        let params: Vec<(&str, &str)> = base.iter().chain(params).copied().collect();
        let (status, error) = world.refused("POST", "/v1/checkout/sessions", &params).await;
        assert_eq!((status, text(&error, "param")), (400, param));
    }
    let small: Vec<(&str, &str)> = TOP_UP
        .iter()
        .map(|(name, value)| (*name, if name.ends_with("[unit_amount]") { "49" } else { value }))
        .collect();
    let (_, error) = world.refused("POST", "/v1/checkout/sessions", &small).await;
    assert_eq!(text(&error, "code"), "amount_too_small");
}

// Invoices and cards off session.

#[tokio::test]
async fn a_refill_is_an_invoice_drafted_filled_finalized_and_paid() {
    let world = World::new().await;
    let customer = world.customer().await;
    let method = world.save_card(&customer, "4242424242424242").await;
    let invoice = world.open_invoice(&customer).await;
    let open = world.get(&format!("/v1/invoices/{invoice}"), &[]).await;
    assert_eq!((text(&open, "status"), &open["amount_due"], &open["attempted"]), ("open", &json!(2500), &json!(false)));
    assert_eq!(open["metadata"], json!({ "attempt": "1" }));
    let item = [("customer", customer.as_str()), ("invoice", &invoice), ("amount", "1")];
    assert_eq!(world.refused("POST", "/v1/invoiceitems", &item).await.1["code"], "invoice_not_editable");

    let paid = world.pay(&invoice, &method).await.ok();
    assert_eq!((text(&paid, "status"), &paid["amount_remaining"]), ("paid", &json!(0)));
    let payments =
        world.get("/v1/invoice_payments", &[("invoice", &invoice), ("expand[]", "data.payment.payment_intent")]).await;
    let intent = &payments["data"][0]["payment"]["payment_intent"];
    assert_eq!(
        (text(intent, "status"), &intent["metadata"]),
        ("succeeded", &json!({})),
        "its metadata stays on the invoice"
    );
    let expanded = world.get(&format!("/v1/invoices/{invoice}"), &[("expand[]", "payments")]).await;
    assert_eq!(expanded["payments"]["data"][0]["status"], "paid");

    let (status, error) = world.pay(&invoice, &method).await.refused();
    assert_eq!((status, text(&error, "message")), (400, "Invoice is already paid"));
    assert_eq!(world.refused("POST", &format!("/v1/invoices/{invoice}/void"), &[]).await.0, 400);
    let list = world.get("/v1/invoices", &[("customer", &customer), ("status", "paid")]).await;
    assert_eq!(list["data"][0]["id"], invoice.as_str());
    let told = world.events().await;
    let wanted = [
        "invoice.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.paid",
        "invoice_payment.paid",
    ];
    assert_eq!(only(&told, &wanted), wanted);
}

#[tokio::test]
async fn each_test_card_does_off_session_what_stripe_publishes() {
    let world = World::new().await;
    let customer = world.customer().await;
    let table = [
        ("4242424242424242", None),
        ("5555555555554444", None),
        ("5105105105105100", None),
        // Authenticated once when it was saved; the other one wants it each time.
        ("4000002500003155", None),
        ("4000002760003184", Some(("authentication_required", "authentication_required"))),
        ("4000000000000341", Some(("card_declined", "generic_decline"))),
    ];
    for (card, decline) in table {
        let method = world.save_card(&customer, card).await;
        let invoice = world.open_invoice(&customer).await;
        let answer = world.pay(&invoice, &method).await;
        let Some((code, decline_code)) = decline else {
            assert_eq!(text(&answer.ok(), "status"), "paid", "{card}");
            continue;
        };
        let (status, error) = answer.refused();
        assert_eq!((status, text(&error, "type")), (402, "card_error"), "{card}");
        assert_eq!((text(&error, "code"), text(&error, "decline_code")), (code, decline_code), "{card}");
        assert_eq!(error["payment_intent"]["status"], "requires_payment_method");
        assert_eq!(error["payment_method"]["id"], method.as_str());
        assert!(text(&error, "charge").starts_with("ch_"));
        let failed = world.told("invoice.payment_failed").await;
        assert_eq!((&failed["id"], &failed["attempt_count"]), (&json!(invoice), &json!(1)));

        let voided = world.post(&format!("/v1/invoices/{invoice}/void"), &[]).await;
        assert_eq!(text(&voided, "status"), "void");
        assert_eq!(text(&world.told("payment_intent.canceled").await, "cancellation_reason"), "void_invoice");
        assert_eq!(world.pay(&invoice, &method).await.status, 400);
    }
    // What is declined at once cannot be saved at all.
    for card in [
        "4000000000000002",
        "4000000000009995",
        "4000000000009987",
        "4000000000009979",
        "4000000000000069",
        "4000000000000127",
        "4000000000000119",
    ] {
        let params = [("mode", "setup"), ("customer", customer.as_str()), ("success_url", "http://shop.test/done")];
        let session = world.post("/v1/checkout/sessions", &params).await;
        assert_eq!(world.browse(text(&session, "url"), Some(&[("card", card)])).await.status, 402, "{card}");
    }
}

#[tokio::test]
async fn a_card_that_was_never_set_up_needs_its_owner() {
    let world = World::new().await;
    let customer = world.customer().await;
    let attach = "/v1/payment_methods/pm_card_authenticationRequiredOnSetup/attach";
    let method = id(&world.post(attach, &[("customer", &customer)]).await);
    let invoice = world.open_invoice(&customer).await;
    let (_, error) = world.pay(&invoice, &method).await.refused();
    assert_eq!(text(&error, "code"), "authentication_required");
    // The invoice stays open and is paid at its own page.
    let page = text(&world.stripe.object(&invoice).unwrap(), "hosted_invoice_url").to_owned();
    let bank = world.browse(&page, Some(&[("payment_method", &method)])).await.location();
    let done = world.browse(&bank, Some(&[("result", "approve")])).await.location();
    assert_eq!(done, format!("/i/{invoice}"));
    assert_eq!(text(&world.get(&format!("/v1/invoices/{invoice}"), &[]).await, "status"), "paid");
    // On session, Stripe says so in another way.
    let invoice = world.open_invoice(&customer).await;
    let on_session = [("off_session", "false"), ("payment_method", "pm_card_visa")];
    assert_eq!(world.refused("POST", &format!("/v1/invoices/{invoice}/pay"), &on_session).await.0, 400);
    let attach = "/v1/payment_methods/pm_card_authenticationRequired/attach";
    let always = id(&world.post(attach, &[("customer", &customer)]).await);
    let on_session = [("off_session", "false"), ("payment_method", always.as_str())];
    let (status, error) = world.refused("POST", &format!("/v1/invoices/{invoice}/pay"), &on_session).await;
    assert_eq!((status, text(&error, "code")), (402, "invoice_payment_intent_requires_action"));
}

#[tokio::test]
async fn a_card_starts_to_decline_on_demand_with_the_networks_advice() {
    let world = World::new().await;
    let customer = world.customer().await;
    let method = world.save_card(&customer, "4242424242424242").await;
    let rule = CardRule { decline_code: "stolen_card".to_owned(), network_advice_code: Some("03".to_owned()) };
    world.stripe.decline_card(&method, Some(rule));
    let invoice = world.open_invoice(&customer).await;
    let (_, error) = world.pay(&invoice, &method).await.refused();
    assert_eq!((text(&error, "decline_code"), text(&error, "network_advice_code")), ("stolen_card", "03"));
    assert_eq!(text(&error, "advice_code"), "do_not_try_again");
    world.stripe.decline_card(&method, None);
    assert_eq!(text(&world.pay(&invoice, &method).await.ok(), "status"), "paid");
}

#[tokio::test]
async fn a_card_of_somebody_else_or_detached_is_not_charged() {
    let world = World::new().await;
    let (customer, stranger) = (world.customer().await, world.customer().await);
    let method = world.save_card(&customer, "4242424242424242").await;
    let invoice = world.open_invoice(&stranger).await;
    let (status, error) = world.pay(&invoice, &method).await.refused();
    assert_eq!((status, text(&error, "param")), (400, "payment_method"));

    world.post(&format!("/v1/customers/{customer}"), &[("invoice_settings[default_payment_method]", &method)]).await;
    let detached = world.post(&format!("/v1/payment_methods/{method}/detach"), &[]).await;
    assert_eq!(detached["customer"], Value::Null);
    let events = world.get("/v1/events", &[("type", "payment_method.detached")]).await;
    assert_eq!(events["data"][0]["data"]["previous_attributes"], json!({ "customer": customer }));
    assert_eq!(world.told("customer.updated").await["invoice_settings"]["default_payment_method"], Value::Null);
    assert_eq!(world.refused("POST", &format!("/v1/payment_methods/{method}/detach"), &[]).await.0, 400);
    let invoice = world.open_invoice(&customer).await;
    assert_eq!(world.pay(&invoice, &method).await.status, 400);
    let attach = format!("/v1/payment_methods/{method}/attach");
    let (_, error) = world.refused("POST", &attach, &[("customer", &customer)]).await;
    assert!(text(&error, "message").contains("may not be used again"));
    let (_, error) = world.refused("POST", &format!("/v1/invoices/{invoice}/pay"), &[]).await;
    assert!(text(&error, "message").contains("default_payment_method"));
}

#[tokio::test]
async fn a_refill_by_bank_debit_is_paid_when_the_bank_says_so() {
    let world = World::new().await;
    let customer = world.customer().await;
    let session = world.session(&customer, &[("payment_method_types[1]", "us_bank_account")]).await;
    world.browse(text(&session, "url"), Some(&[("method", "us_bank_account")])).await.location();
    let methods = world.get("/v1/payment_methods", &[("customer", &customer), ("type", "us_bank_account")]).await;
    let invoice = world.open_invoice(&customer).await;
    let pending = world.pay(&invoice, &id(&methods["data"][0])).await.ok();
    assert_eq!(text(&pending, "status"), "open");
    assert_eq!(world.refused("POST", &format!("/v1/invoices/{invoice}/void"), &[]).await.0, 400);
    let payments = world.get("/v1/invoice_payments", &[("invoice", &invoice)]).await;
    let intent = text(&payments["data"][0]["payment"], "payment_intent").to_owned();
    world.stripe.resolve_debit(&intent, DebitEnd::Succeeded).unwrap();
    assert_eq!(text(&world.told("invoice.paid").await, "status"), "paid");
}

#[tokio::test]
async fn tax_that_cannot_be_worked_out_is_no_decline() {
    let world = World::with(Config { tax_basis_points: 1000, ..Config::default() }).await;
    let customer = world.customer().await;
    let params = [("customer", customer.as_str()), ("automatic_tax[enabled]", "true")];
    let (status, error) = world.refused("POST", "/v1/invoices", &params).await;
    assert_eq!((status, text(&error, "code")), (400, "customer_tax_location_invalid"));
    let unknown = [("tax[validate_location]", "immediately"), ("address[country]", "US")];
    let (_, error) = world.refused("POST", &format!("/v1/customers/{customer}"), &unknown).await;
    assert_eq!(text(&error, "code"), "customer_tax_location_invalid");
    let known =
        [("tax[validate_location]", "immediately"), ("address[country]", "US"), ("address[postal_code]", "94103")];
    world.post(&format!("/v1/customers/{customer}"), &known).await;
    let invoice = id(&world.post("/v1/invoices", &params).await);
    let item =
        [("customer", customer.as_str()), ("invoice", &invoice), ("amount", "2500"), ("tax_behavior", "exclusive")];
    world.post("/v1/invoiceitems", &item).await;
    let invoice = world.post(&format!("/v1/invoices/{invoice}/finalize"), &[]).await;
    assert_eq!((&invoice["amount_due"], &invoice["subtotal"]), (&json!(2750), &json!(2500)));
}

// Customers.

#[tokio::test]
async fn a_customer_is_kept_up_to_date_and_deleted() {
    let world = World::new().await;
    let customer = world.customer().await;
    let path = format!("/v1/customers/{customer}");
    world.post(&path, &[("name", "Acme"), ("metadata[plan]", "a"), ("metadata[account]", "")]).await;
    let events = world.get("/v1/events", &[("type", "customer.updated")]).await;
    assert_eq!(events["data"][0]["data"]["previous_attributes"]["name"], Value::Null);
    let updated = world.get(&path, &[]).await;
    assert_eq!((&updated["name"], &updated["metadata"]), (&json!("Acme"), &json!({ "plan": "a" })));
    world.post(&path, &[("name", "Acme")]).await;
    assert_eq!(world.get("/v1/events", &[("type", "customer.updated")]).await["data"].as_array().unwrap().len(), 1);

    let tax_id = world.post(&format!("{path}/tax_ids"), &[("type", "eu_vat"), ("value", "DE123456789")]).await;
    assert_eq!(
        world.refused("POST", &format!("{path}/tax_ids"), &[("type", "eu_vat"), ("value", "x")]).await.1["code"],
        "tax_id_invalid"
    );
    let deleted = world.call("DELETE", &format!("{path}/tax_ids/{}", id(&tax_id)), &[]).await.ok();
    assert_eq!(deleted["deleted"], true);
    assert_eq!(world.get(&format!("{path}/tax_ids"), &[]).await["data"], json!([]));

    let method = world.save_card(&customer, "4242424242424242").await;
    world.call("DELETE", &path, &[]).await.ok();
    assert_eq!(world.get(&path, &[]).await, json!({ "id": customer, "object": "customer", "deleted": true }));
    assert_eq!(world.get(&format!("/v1/payment_methods/{method}"), &[]).await["customer"], Value::Null);
    assert_eq!(world.told("customer.deleted").await["id"], customer.as_str());
    assert_eq!(world.refused("POST", "/v1/invoices", &[("customer", &customer)]).await.0, 400);
}

#[tokio::test]
async fn the_portal_changes_and_removes_cards() {
    let world = World::new().await;
    let customer = world.customer().await;
    let one = world.save_card(&customer, "4242424242424242").await;
    let (status, _) = world.refused("POST", "/v1/billing_portal/sessions", &[("customer", &customer)]).await;
    assert_eq!(status, 400, "no default configuration");
    let features =
        [("features[payment_method_update][enabled]", "true"), ("features[invoice_history][enabled]", "true")];
    let configuration = id(&world.post("/v1/billing_portal/configurations", &features).await);
    world
        .post(
            &format!("/v1/billing_portal/configurations/{configuration}"),
            &[("default_return_url", "http://shop.test/billing")],
        )
        .await;
    let params = [("customer", customer.as_str()), ("configuration", &configuration)];
    let session = world.post("/v1/billing_portal/sessions", &params).await;
    assert_eq!(text(&session, "return_url"), "http://shop.test/billing");
    let url = text(&session, "url");
    assert!(world.browse(url, None).await.text.contains("4242"));
    world.browse(url, Some(&[("action", "add"), ("card", "5555555555554444")])).await.location();
    let two = text(&world.told("customer.updated").await["invoice_settings"], "default_payment_method").to_owned();
    assert_ne!(one, two);
    world.browse(url, Some(&[("action", "default"), ("payment_method", &one)])).await.location();
    assert_eq!(world.told("customer.updated").await["invoice_settings"]["default_payment_method"], one.as_str());
    world.browse(url, Some(&[("action", "detach"), ("payment_method", &two)])).await.location();
    assert_eq!(world.told("payment_method.detached").await["id"], two.as_str());
    world.stripe.update_card(&one, 1, 2040).unwrap();
    assert_eq!(world.told("payment_method.automatically_updated").await["card"]["exp_year"], 2040);
    world.stripe.detach_in_portal(&one).unwrap();
    assert!(world.stripe.detach_in_portal(&one).is_err());

    // As soon as somebody has saved the portal's settings in the dashboard, a session needs to name none.
    let default = world.stripe.save_portal_settings().unwrap();
    let session = world.post("/v1/billing_portal/sessions", &[("customer", &customer)]).await;
    assert_eq!(text(&session, "configuration"), default);
    let listed = world.get("/v1/billing_portal/configurations", &[("is_default", "true")]).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}

// Money that goes back.

#[tokio::test]
async fn refunds_are_partial_cumulative_and_never_more_than_was_paid() {
    let world = World::new().await;
    let customer = world.customer().await;
    let session = world.top_up(&customer, "4242424242424242").await;
    let intent = text(&session, "payment_intent");
    let refund =
        world.post("/v1/refunds", &[("payment_intent", intent), ("amount", "1000"), ("metadata[a]", "b")]).await;
    assert_eq!((text(&refund, "status"), &refund["amount"]), ("succeeded", &json!(1000)));
    let (_, error) = world.refused("POST", "/v1/refunds", &[("payment_intent", intent), ("amount", "1501")]).await;
    assert_eq!(text(&error, "message"), "Refund amount ($15.01) is greater than unrefunded amount on charge ($15.00)");
    world.post("/v1/refunds", &[("charge", text(&refund, "charge"))]).await;
    let (_, error) = world.refused("POST", "/v1/refunds", &[("payment_intent", intent)]).await;
    assert_eq!(text(&error, "code"), "charge_already_refunded");
    let charge = world.get(&format!("/v1/charges/{}", text(&refund, "charge")), &[("expand[]", "refunds")]).await;
    assert_eq!((&charge["amount_refunded"], &charge["refunded"]), (&json!(2500), &json!(true)));
    assert_eq!(charge["refunds"]["data"].as_array().unwrap().len(), 2);
    let list = world.get("/v1/refunds", &[("payment_intent", intent)]).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    let told = world.events().await;
    assert_eq!(
        only(&told, &["charge.refunded", "refund.created"]),
        ["charge.refunded", "refund.created", "charge.refunded", "refund.created"]
    );
    assert!(world.told("charge.refunded").await.get("refunds").is_none(), "not since 2022-11-15");
}

#[tokio::test]
async fn a_refund_fails_later_by_its_card_or_on_demand() {
    let world = World::new().await;
    let customer = world.customer().await;
    let refund_of = async |card: &str| {
        let session = world.top_up(&customer, card).await;
        world.post("/v1/refunds", &[("payment_intent", text(&session, "payment_intent"))]).await
    };
    let fails = refund_of("4000000000005126").await;
    let arrives = refund_of("4000000000007726").await;
    let on_demand = refund_of("4242424242424242").await;
    assert_eq!((text(&fails, "status"), text(&arrives, "status")), ("succeeded", "pending"));
    world.advance(60);
    let fails = world.get(&format!("/v1/refunds/{}", id(&fails)), &[]).await;
    assert_eq!((text(&fails, "status"), text(&fails, "failure_reason")), ("failed", "lost_or_stolen_card"));
    let charge = world.get(&format!("/v1/charges/{}", text(&fails, "charge")), &[]).await;
    assert_eq!((&charge["amount_refunded"], &charge["refunded"]), (&json!(0), &json!(false)));
    assert_eq!(world.get(&format!("/v1/refunds/{}", id(&arrives)), &[]).await["status"], "succeeded");
    assert_eq!(world.told("refund.failed").await["id"], fails["id"]);
    world.stripe.fail_refund(&id(&on_demand)).unwrap();
    assert_eq!(world.told("refund.failed").await["id"], on_demand["id"]);
    let intent = text(&on_demand, "payment_intent");
    assert!(world.stripe.refund_in_dashboard(intent, Some(100)).unwrap().starts_with("re_"));
}

#[tokio::test]
async fn a_dispute_takes_the_money_and_gives_it_back_if_won() {
    let world = World::new().await;
    let customer = world.customer().await;
    let by_card = world.top_up(&customer, "4000000000000259").await;
    let list = world.get("/v1/disputes", &[("payment_intent", text(&by_card, "payment_intent"))]).await;
    let dispute = &list["data"][0];
    assert_eq!((text(dispute, "status"), text(dispute, "reason")), ("needs_response", "fraudulent"));
    assert_eq!(dispute["balance_transactions"][0]["amount"], -2500);
    let (_, error) =
        world.refused("POST", "/v1/refunds", &[("payment_intent", text(&by_card, "payment_intent"))]).await;
    assert_eq!(text(&error, "code"), "charge_disputed");
    world.stripe.close_dispute(&id(dispute), DisputeEnd::Won).unwrap();
    assert_eq!(text(&world.told("charge.dispute.closed").await, "status"), "won");
    assert!(world.stripe.close_dispute(&id(dispute), DisputeEnd::Lost).is_err());

    let paid = world.top_up(&customer, "4242424242424242").await;
    let new = |kind| NewDispute {
        payment: text(&paid, "payment_intent").to_owned(),
        amount: Some(1000),
        reason: "product_not_received".to_owned(),
        kind,
    };
    let lost = world.stripe.dispute(&new(DisputeKind::Chargeback)).unwrap();
    world.stripe.close_dispute(&lost, DisputeEnd::Lost).unwrap();
    let lost = world.get(&format!("/v1/disputes/{lost}"), &[("expand[]", "charge")]).await;
    assert_eq!(
        (text(&lost, "status"), &lost["amount"], &lost["charge"]["disputed"]),
        ("lost", &json!(1000), &json!(true))
    );
    let inquiry = world.stripe.dispute(&new(DisputeKind::Inquiry)).unwrap();
    assert_eq!(world.stripe.object(&inquiry).unwrap()["balance_transactions"], json!([]));
    world.stripe.close_dispute(&inquiry, DisputeEnd::Won).unwrap();
    assert_eq!(text(&world.told("charge.dispute.closed").await, "status"), "warning_closed");
    let told = world.events().await;
    let disputes: Vec<&String> = told.iter().filter(|kind| kind.starts_with("charge.dispute")).collect();
    assert_eq!(
        disputes,
        [
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.closed",
            "charge.dispute.funds_reinstated",
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.closed",
            "charge.dispute.created",
            "charge.dispute.closed",
        ]
    );
}

// Webhooks.

/// HMAC-SHA256 by its definition (RFC 2104), not by the crate that signs.
fn hmac(secret: &str, message: &str) -> String {
    let mut key = [0_u8; 64];
    key[..secret.len()].copy_from_slice(secret.as_bytes());
    let inner = Sha256::digest([key.map(|byte| byte ^ 0x36).as_slice(), message.as_bytes()].concat());
    let outer = Sha256::digest([key.map(|byte| byte ^ 0x5c).as_slice(), inner.as_slice()].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn deliveries_are_signed_with_every_secret_of_the_endpoint() {
    let world = World::new().await;
    let endpoint = world.stripe.add_endpoint(HOOK, "whsec_old", &["customer.created"]);
    world.stripe.set_secrets(&endpoint, &["whsec_new", "whsec_old"]);
    world.clock.fetch_add(7, Ordering::SeqCst);
    world.customer().await;
    let delivery = world.due().pop().unwrap();
    assert_eq!((delivery.url.as_str(), delivery.event_type.as_str()), (HOOK, "customer.created"));
    let signature = &delivery.headers.iter().find(|(name, _)| name == "Stripe-Signature").unwrap().1;
    let at = START + 7;
    let signed = format!("{at}.{}", delivery.body);
    assert_eq!(*signature, format!("t={at},v1={},v1={}", hmac("whsec_new", &signed), hmac("whsec_old", &signed)));
    let event: Value = serde_json::from_str(&delivery.body).unwrap();
    assert_eq!(
        (text(&event, "object"), text(&event, "type"), &event["livemode"]),
        ("event", "customer.created", &json!(false))
    );
    assert_eq!(text(&event, "api_version"), "2026-08-26.dahlia");
    assert_eq!(event["pending_webhooks"], 1);
    assert!(text(&event["request"], "id").starts_with("req_"));
    assert_eq!(event["data"]["object"]["object"], "customer");
}

#[tokio::test]
async fn an_endpoint_gets_the_events_it_asked_for_in_its_own_version() {
    let world = World::new().await;
    let params = [("url", HOOK), ("enabled_events[]", "customer.updated"), ("api_version", "2025-03-31.basil")];
    let endpoint = world.post("/v1/webhook_endpoints", &params).await;
    assert!(text(&endpoint, "secret").starts_with("whsec_"));
    let listed = world.get("/v1/webhook_endpoints", &[]).await;
    assert!(listed["data"][0].get("secret").is_none(), "shown once only");
    let customer = world.customer().await;
    assert!(world.due().is_empty());
    world.keyed("rename/1", &format!("/v1/customers/{customer}"), &[("name", "a")]).await.unwrap().ok();
    let due = world.due();
    let event: Value = serde_json::from_str(&due[0].body).unwrap();
    assert_eq!(text(&event, "api_version"), "2025-03-31.basil");
    assert_eq!(event["request"]["idempotency_key"], "rename/1");
    let path = format!("/v1/webhook_endpoints/{}", id(&endpoint));
    world.post(&path, &[("disabled", "true")]).await;
    world.post(&format!("/v1/customers/{customer}"), &[("name", "b")]).await;
    assert!(world.due().is_empty());
    assert_eq!(world.call("DELETE", &path, &[]).await.ok()["deleted"], true);
    assert_eq!(world.refused("GET", &path, &[]).await.0, 404);
}

#[tokio::test]
async fn a_failed_delivery_is_repeated_ever_later_for_three_days() {
    let world = World::new().await;
    world.stripe.add_endpoint(HOOK, "whsec_a", &["*"]);
    world.customer().await;
    let mut attempts = Vec::new();
    while let Some(at) = world.stripe.next_due() {
        world.clock.store(at, Ordering::SeqCst);
        let due = world.due();
        assert_eq!(due.len(), 1);
        attempts.push((at - START) / 60);
        world.stripe.delivered(due[0].id, if attempts.len() % 2 == 0 { None } else { Some(500) });
    }
    assert_eq!(attempts, [0, 5, 35, 155, 455, 1055, 1775, 2495, 3215, 3935], "in minutes");
    let failed = world.get("/v1/events", &[("delivery_success", "false")]).await;
    assert_eq!(failed["data"].as_array().unwrap().len(), 1);
    world.stripe.redeliver_all();
    let again = world.due();
    world.stripe.delivered(again[0].id, Some(200));
    assert_eq!(world.stripe.next_due(), None);
    assert_eq!(world.get("/v1/events", &[]).await["data"][0]["pending_webhooks"], 0);
}

#[tokio::test]
async fn deliveries_are_copied_delayed_and_reordered_on_demand() {
    let world = World::new().await;
    world.stripe.add_endpoint(HOOK, "whsec_a", &["*"]);
    let kinds = |due: &[Delivery]| due.iter().map(|delivery| delivery.event_type.clone()).collect::<Vec<_>>();
    let customer = world.customer().await;
    world.post(&format!("/v1/customers/{customer}"), &[("name", "a")]).await;
    assert_eq!(kinds(&world.due()), ["customer.created", "customer.updated"]);
    assert!(world.due().is_empty(), "handed out once");

    world.stripe.plan_deliveries(DeliveryPlan { order: Order::Reversed, copies: 2, ..DeliveryPlan::default() });
    assert_eq!(world.stripe.redeliver_all(), 4, "two events, two copies");
    assert_eq!(kinds(&world.due()), ["customer.updated", "customer.updated", "customer.created", "customer.created"]);

    let only = vec!["customer.created".to_owned()];
    world.stripe.plan_deliveries(DeliveryPlan { delay_seconds: 60, only, ..DeliveryPlan::default() });
    world.stripe.redeliver_all();
    assert_eq!(kinds(&world.due()), ["customer.updated"]);
    world.advance(60);
    assert_eq!(kinds(&world.due()), ["customer.created"]);

    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..10 {
        world.stripe.plan_deliveries(DeliveryPlan {
            order: Order::Shuffled(seed),
            copies: 3,
            ..DeliveryPlan::default()
        });
        world.stripe.redeliver_all();
        orders.insert(kinds(&world.due()));
    }
    assert!(orders.len() > 3);
    let event = world.get("/v1/events", &[("type", "customer.*"), ("limit", "1")]).await;
    assert_eq!(world.stripe.redeliver(&id(&event["data"][0])), 3);
}

// Keeping.

#[tokio::test]
async fn what_was_saved_goes_on_where_it_ended() {
    let world = World::new().await;
    world.stripe.add_endpoint(HOOK, "whsec_a", &["*"]);
    let customer = world.customer().await;
    let kept = world.keyed("k", "/v1/customers", &[]).await.unwrap().ok();
    let method = world.save_card(&customer, "4000002500003155").await;
    let session = world.session(&customer, &[]).await;
    let sent = world.due();
    assert!(!sent.is_empty());
    world.stripe.delivered(sent[0].id, Some(200));

    let saved: Value = serde_json::from_str(&world.stripe.save().unwrap().to_string()).unwrap();
    let later = World::from(Config::default(), Some(saved)).await;
    assert_eq!(later.keyed("k", "/v1/customers", &[]).await.unwrap().ok(), kept);
    assert_eq!(later.due().len(), sent.len() - 1, "what was not answered is sent again");
    let invoice = later.open_invoice(&customer).await;
    assert_eq!(text(&later.pay(&invoice, &method).await.ok(), "status"), "paid", "it remembers the card's number");
    later.browse(&format!("/c/pay/{}", id(&session)), Some(&[("card", "4242424242424242")])).await.location();
    assert_ne!(later.customer().await, customer, "ids go on");
    later.advance(25 * 3600);
    assert_eq!(later.stripe.calls().len(), world.stripe.calls().len() + 6);
}
