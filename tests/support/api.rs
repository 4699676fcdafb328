//! A function of the HTTP API on a DynamoDB of a test's own, called as API Gateway calls it: by an
//! event of payload format 2.0 (docs.aws.amazon.com, "Create AWS Lambda proxy integrations for HTTP
//! APIs").

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::request::from_str;
use lambda_http::{Body, Request, Response};
use serde_json::{Value, json};
use tollgate::domain::timestamp::{MINUTE, Timestamp};
use tollgate::runtime::billing::Billing;
use tollgate::store::Store;

use crate::ledger::{Ledger, PLATFORM_CLIENT, STAFF_CLIENT, at};

/// Where credit is added, in a test's problem documents.
pub const BILLING_URL: &str = "https://billing.example/#add-credit";

/// A ledger, and the parts that a function is built from.
#[derive(Debug)]
pub struct Api {
    /// The ledger, for preparing and for looking.
    pub ledger: Ledger,
    /// The input of a handler.
    pub billing: Billing,
}

impl Api {
    /// A new one: the price list of [`Ledger`] is in the table, and no account is open.
    pub async fn new() -> Api {
        let ledger = Ledger::new().await;
        ledger.put_prices().await;
        let billing = ledger.billing(&[("BILLING_URL", BILLING_URL)]);
        Api { ledger, billing }
    }

    /// Another sandbox of the same function: nothing cached.
    #[must_use]
    pub fn another(&self) -> Billing {
        let store: Store = self.ledger.store.clone();
        Billing::new(store, self.billing.settings.clone())
    }

    /// All items of both tables, to see whether anything was written. Without the counters of
    /// requests, which count what is refused as well.
    pub async fn everything(&self) -> Vec<String> {
        let mut all = Vec::new();
        for table in [self.ledger.tables.ledger(), self.ledger.tables.accounts()] {
            let mut start = None;
            loop {
                let scan =
                    self.ledger.client.scan().table_name(table).set_exclusive_start_key(start);
                let page = scan.send().await.expect("a table is scanned");
                let is_counter = |item: &&HashMap<String, AttributeValue>| {
                    let key = item.get("sk").and_then(|key| key.as_s().ok());
                    key.is_some_and(|key| key.starts_with("requests-to-stripe#"))
                };
                for item in page.items().iter().filter(|item| !is_counter(item)) {
                    let sorted: BTreeMap<_, _> = item.iter().collect();
                    all.push(format!("{sorted:?}"));
                }
                start = page.last_evaluated_key;
                if start.is_none() {
                    break;
                }
            }
        }
        all.sort();
        all
    }

    /// How many rows an account has.
    pub async fn rows(&self, account: &str) -> u64 {
        let account = crate::ledger::named(account);
        let head = self.ledger.undisturbed.head(&account).await.expect("a head is read");
        head.map_or(0, |head| head.state.next_seq)
    }
}

/// A request as API Gateway delivers it.
#[derive(Clone, Debug)]
pub struct ApiEvent {
    route: String,
    path: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    claims: Option<BTreeMap<String, String>>,
    body: Option<String>,
    now: Timestamp,
}

impl ApiEvent {
    /// By an account, at a time. The route is the template's: `GET /v1/projects/{project}`; see
    /// [`ApiEvent::at`] for its parameters.
    #[must_use]
    pub fn by(account: &str, route: &str, now: &str) -> ApiEvent {
        let claims = BTreeMap::from([
            ("sub".to_owned(), account.to_owned()),
            ("email".to_owned(), format!("{account}@example.test")),
        ]);
        ApiEvent {
            route: route.to_owned(),
            path: BTreeMap::new(),
            query: BTreeMap::new(),
            headers: BTreeMap::from([("host".to_owned(), "api.example".to_owned())]),
            claims: Some(claims),
            body: None,
            now: at(now),
        }
    }

    /// Whether it is a request to this route.
    #[must_use]
    pub fn is_of(&self, route: &str) -> bool {
        self.route == route
    }

    /// With a parameter of the path.
    #[must_use]
    pub fn at(mut self, parameter: &str, value: &str) -> ApiEvent {
        self.path.insert(parameter.to_owned(), value.to_owned());
        self
    }

    /// With a parameter of the query.
    #[must_use]
    pub fn with(mut self, parameter: &str, value: &str) -> ApiEvent {
        self.query.insert(parameter.to_owned(), value.to_owned());
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> ApiEvent {
        self.headers.insert(name.to_ascii_lowercase(), value.to_owned());
        self
    }

    /// With an `Idempotency-Key`.
    #[must_use]
    pub fn key(self, key: &str) -> ApiEvent {
        self.header("idempotency-key", key)
    }

    /// Replaces the scopes of the token, which comes from a client that may use them.
    #[must_use]
    pub fn scope(self, scopes: &str) -> ApiEvent {
        let of_staff = ["tollgate/admin", "tollgate/support"];
        let is_staff = scopes.split_whitespace().any(|scope| of_staff.contains(&scope));
        let client = if is_staff { STAFF_CLIENT } else { PLATFORM_CLIENT };
        self.claim("scope", scopes).claim("azp", client)
    }

    /// With a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: &str) -> ApiEvent {
        self.claims.get_or_insert_default().insert(name.to_owned(), value.to_owned());
        self
    }

    /// Without a claim.
    #[must_use]
    pub fn without_claim(mut self, name: &str) -> ApiEvent {
        self.claims.get_or_insert_default().remove(name);
        self
    }

    /// Without a token.
    #[must_use]
    pub fn without_token(mut self) -> ApiEvent {
        self.claims = None;
        self
    }

    /// With this JSON as body.
    #[must_use]
    pub fn json(self, body: &Value) -> ApiEvent {
        self.body(&body.to_string())
    }

    /// With this text as body.
    #[must_use]
    pub fn body(mut self, body: &str) -> ApiEvent {
        self.body = Some(body.to_owned());
        self
    }

    /// As the function's runtime makes it of API Gateway's JSON.
    #[must_use]
    pub fn request(&self) -> Request {
        let (method, pattern) = self.route.split_once(' ').expect("a route is a method and a path");
        let fill = |path: String, (name, value): (&String, &String)| {
            path.replace(&format!("{{{name}}}"), value)
        };
        let path = self.path.iter().fold(pattern.to_owned(), fill);
        let encoded = |text: &str| {
            text.replace('%', "%25").replace('#', "%23").replace('&', "%26").replace(' ', "%20")
        };
        let query: Vec<String> =
            self.query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let mut context = json!({
            "accountId": "123456789012", "apiId": "api", "domainName": "api.example", "domainPrefix": "api",
            "requestId": "r-1", "routeKey": self.route, "stage": "$default",
            "time": "22/Nov/2026:10:20:00 +0000", "timeEpoch": self.now.seconds() * 1000 + 123,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "t"},
        });
        if let Some(claims) = &self.claims {
            context["authorizer"] = json!({"jwt": {"claims": claims, "scopes": null}});
        }
        let event = json!({
            "version": "2.0", "routeKey": self.route, "rawPath": path, "rawQueryString": query.join("&"),
            "headers": self.headers, "queryStringParameters": self.query, "pathParameters": self.path,
            "requestContext": context, "body": self.body, "isBase64Encoded": false,
        });
        from_str(&event.to_string()).expect("an event of API Gateway's")
    }

    /// The same some minutes later.
    #[must_use]
    pub fn minutes_later(mut self, minutes: i64) -> ApiEvent {
        self.now = self.now.plus(minutes * MINUTE);
        self
    }
}

/// An answer as its caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub status: u16,
    pub kind: String,
    /// The body: JSON; a table as text; null if there is none.
    pub body: Value,
    /// The link to the next page of a table, from the header.
    pub link: Option<String>,
    /// How many seconds to wait, from the header.
    pub retry_after: Option<String>,
}

impl Answered {
    /// A problem's code; empty for an answer that is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Status and body, for a snapshot.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{} {}", self.status, serde_json::to_string_pretty(&self.body).expect("JSON"))
    }
}

impl From<Response<Body>> for Answered {
    fn from(response: Response<Body>) -> Answered {
        let kind = response
            .headers()
            .get("content-type")
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (link, retry_after) = (header("link"), header("retry-after"));
        let (status, kind) = (response.status().as_u16(), kind.to_owned());
        let body = match kind.as_str() {
            "text/csv; charset=utf-8" => {
                String::from_utf8(response.body().to_vec()).expect("text").into()
            }
            "" if status == 204 && response.body().is_empty() => Value::Null,
            _ => serde_json::from_slice(response.body()).expect("an answer is JSON"),
        };
        let answered = Answered { status, kind, body, link, retry_after };
        if answered.kind == "application/problem+json" {
            assert_eq!(answered.body["status"], status, "a problem says its status");
            assert_eq!(answered.body["request_id"], "r-1", "a problem says which request it was");
        } else {
            let is_usual =
                ["application/json", "text/csv; charset=utf-8"].contains(&answered.kind.as_str());
            assert!(
                status < 400 && (is_usual || status == 204),
                "an error is a problem: {answered:?}"
            );
        }
        answered
    }
}
