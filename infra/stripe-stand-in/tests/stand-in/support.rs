//! A running stand-in, its clock, and its client.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use stripe_stand_in::{Delivery, StandInConfig, StripeStandIn};
use tokio::net::{TcpListener, TcpStream};

/// 2026-11-22 00:00:00 UTC.
pub(super) const START: i64 = 1_795_305_600;
pub(super) const KEY: &str = "sk_test_local";
pub(super) const HOOK: &str = "http://tollgate.test/v1/stripe/webhook";

/// A running stand-in and its clock.
pub(super) struct World {
    pub(super) stripe: StripeStandIn,
    pub(super) clock: Arc<AtomicI64>,
    pub(super) address: String,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: hyper::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The object of a successful answer.
    pub(super) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// Status and error of a refusal.
    pub(super) fn refused(self) -> (u16, Value) {
        assert_ne!(self.status, 200, "{}", self.text);
        (self.status, self.json()["error"].clone())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn location(&self) -> String {
        assert_eq!(self.status, 303, "{}", self.text);
        self.header("location").unwrap().to_owned()
    }
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(StandInConfig::default()).await
    }

    pub(super) async fn with(config: StandInConfig) -> Self {
        Self::from(config, None).await
    }

    pub(super) async fn from(config: StandInConfig, saved: Option<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let config = StandInConfig { public_url: format!("http://{address}"), ..config };
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

    pub(super) fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(super) fn advance(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
        self.stripe.settle(self.now());
    }

    pub(super) async fn send(
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
        let answer =
            sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await?;
        let (parts, body) = answer.into_parts();
        let text = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, text })
    }

    pub(super) async fn call(&self, method: &str, path: &str, params: &[(&str, &str)]) -> Answer {
        let authorization = format!("Bearer {KEY}");
        self.send(method, path, &[("authorization", &authorization)], params).await.unwrap()
    }

    pub(super) async fn get(&self, path: &str, params: &[(&str, &str)]) -> Value {
        self.call("GET", path, params).await.ok()
    }

    pub(super) async fn post(&self, path: &str, params: &[(&str, &str)]) -> Value {
        self.call("POST", path, params).await.ok()
    }

    pub(super) async fn refused(
        &self,
        method: &str,
        path: &str,
        params: &[(&str, &str)],
    ) -> (u16, Value) {
        self.call(method, path, params).await.refused()
    }

    pub(super) async fn keyed(
        &self,
        key: &str,
        path: &str,
        params: &[(&str, &str)],
    ) -> Result<Answer, hyper::Error> {
        let authorization = format!("Bearer {KEY}");
        self.send(
            "POST",
            path,
            &[("authorization", &authorization), ("idempotency-key", key)],
            params,
        )
        .await
    }

    pub(super) async fn browse(&self, url: &str, fields: Option<&[(&str, &str)]>) -> Answer {
        let path = url.trim_start_matches(&format!("http://{}", self.address)).to_owned();
        match fields {
            None => self.send("GET", &path, &[], &[]).await.unwrap(),
            Some(fields) => self.send("POST", &path, &[], fields).await.unwrap(),
        }
    }

    pub(super) async fn customer(&self) -> String {
        let customer = self
            .post("/v1/customers", &[("email", "acme@example.test"), ("metadata[account]", "acme")])
            .await;
        id(&customer)
    }

    pub(super) async fn session(&self, customer: &str, extra: &[(&str, &str)]) -> Value {
        let mut params = TOP_UP.to_vec();
        params.push(("customer", customer));
        params.extend_from_slice(extra);
        self.post("/v1/checkout/sessions", &params).await
    }

    /// A top-up of $25 with a card at the page.
    pub(super) async fn top_up(&self, customer: &str, card: &str) -> Value {
        let session = self.session(customer, &[]).await;
        self.browse(text(&session, "url"), Some(&[("card", card)])).await.location();
        self.get(&format!("/v1/checkout/sessions/{}", id(&session)), &[]).await
    }

    /// Saves a card without paying, and answers with its payment method.
    pub(super) async fn save_card(&self, customer: &str, card: &str) -> String {
        let params =
            [("mode", "setup"), ("customer", customer), ("success_url", "http://shop.test/done")];
        let session = self.post("/v1/checkout/sessions", &params).await;
        let answer = self.browse(text(&session, "url"), Some(&[("card", card)])).await;
        let mut location = answer.location();
        if location.starts_with("/authenticate/") {
            location = self.browse(&location, Some(&[("result", "approve")])).await.location();
        }
        assert_eq!(location, "http://shop.test/done");
        let intent = self
            .get(
                &format!(
                    "/v1/setup_intents/{}",
                    text(&self.stripe.object(&id(&session)).unwrap(), "setup_intent")
                ),
                &[],
            )
            .await;
        text(&intent, "payment_method").to_owned()
    }

    /// An open invoice of $25, as a refill makes it.
    pub(super) async fn open_invoice(&self, customer: &str) -> String {
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

    pub(super) async fn pay(&self, invoice: &str, method: &str) -> Answer {
        let params = [("off_session", "true"), ("payment_method", method)];
        self.call("POST", &format!("/v1/invoices/{invoice}/pay"), &params).await
    }

    /// The types of all events so far, oldest first.
    pub(super) async fn events(&self) -> Vec<String> {
        let events = self.get("/v1/events", &[("limit", "100")]).await;
        events["data"]
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|event| text(event, "type").to_owned())
            .collect()
    }

    /// The object of the latest event of a type.
    pub(super) async fn told(&self, kind: &str) -> Value {
        let events = self.get("/v1/events", &[("type", kind), ("limit", "1")]).await;
        events["data"][0]["data"]["object"].clone()
    }

    pub(super) fn due(&self) -> Vec<Delivery> {
        self.stripe.due_deliveries(self.now())
    }
}

pub(super) const TOP_UP: &[(&str, &str)] = &[
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

pub(super) fn id(object: &Value) -> String {
    text(object, "id").to_owned()
}

#[track_caller]
pub(super) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_else(|| panic!("no text {field} in {object}"))
}

/// The events of `all` that are in `wanted`, in order.
pub(super) fn only<'a>(all: &'a [String], wanted: &[&str]) -> Vec<&'a str> {
    all.iter().map(String::as_str).filter(|kind| wanted.contains(kind)).collect()
}
