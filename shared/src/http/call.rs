//! The edge of the HTTP API: a request as a handler needs it, and its answer.
//!
//! The token was checked by the HTTP API's JWT authorizer before the function ran; `caller.rs` makes
//! its claims an [`ApiCaller`]. The time of a request is API Gateway's `requestContext.timeEpoch`, never
//! the machine's clock.

use std::any::Any;
use std::collections::BTreeMap;
use std::num::ParseIntError;

use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;
use lambda_http::http::{HeaderValue, StatusCode, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::event::{Cause, KeyedRequest};
use crate::domain::ids::RequestKey;
use crate::domain::row::RowDigest;
use crate::domain::timestamp::Timestamp;
pub use crate::http::caller::{ADMIN_SCOPE, Acting, ApiCaller, PLATFORM_SCOPE, SUPPORT_SCOPE};
use crate::http::problem::{Problem, ProblemCode};
use crate::http::{body, caller};
use crate::runtime::settings::Settings;

/// The largest body of a request, in bytes, unless its route takes a larger one.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// The longest `Idempotency-Key`, in bytes; Stripe's own limit is the same.
const KEY_BYTES_MAX: usize = 255;

/// A request as a handler needs it.
#[derive(Clone, Debug)]
pub struct ApiCall {
    /// The route it came by, as the template writes it: `POST /v1/projects/{project}/resources`.
    pub route: String,
    /// When it reached the API (UTC).
    pub now: Timestamp,
    /// API Gateway's id of it, for logs and problem documents.
    pub request_id: String,
    /// Who called; `None` on routes without an authorizer.
    pub caller: Option<ApiCaller>,
    pub path: BTreeMap<String, String>,
    /// The query's parameters; of repeated ones the last.
    pub query: BTreeMap<String, String>,
    idempotency_key: Option<String>,
    accept: String,
    target: String,
    body: Vec<u8>,
}

impl ApiCall {
    /// Reads a request. The settings name the claim with the caller's e-mail address, and the
    /// clients that may use the scopes of staff and of the platform.
    ///
    /// # Errors
    /// A problem if the event is none of an HTTP API, the body is too large, or a header cannot be
    /// used.
    pub fn read(
        request: Request,
        settings: &Settings,
        bytes_max: fn(&str) -> usize,
    ) -> Result<ApiCall, Problem> {
        let context = api_context(&request)?;
        let now = time(&context)?;
        let request_id = context.request_id.unwrap_or_default();
        let claims = context
            .authorizer
            .and_then(|authorizer| authorizer.jwt)
            .map(|jwt| jwt.claims.into_iter().collect());
        let acting_for = request.headers().get("tollgate-account");
        let caller =
            claims.map(|claims| caller::read(&claims, acting_for, settings)).transpose()?;
        let idempotency_key = idempotency_key(&request)?;
        let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let accept = accept.unwrap_or_default().to_owned();
        let path = request
            .path_parameters()
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let query = request.query_string_parameters();
        let query = query.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let target = format!("{} {}", request.method(), request.raw_http_path());
        let route = context.route_key.unwrap_or_default();
        let body = body_bytes(request.into_body(), bytes_max(&route))?;
        Ok(ApiCall {
            route,
            now,
            request_id,
            caller,
            path,
            query,
            idempotency_key,
            accept,
            target,
            body,
        })
    }

    /// The body as it came.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as JSON of the shape that is needed.
    ///
    /// # Errors
    /// [`ProblemCode::InvalidBody`], with the field and why.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        body::read(&self.body)
    }

    /// Makes sure that the body says nothing: there is none, or it is `{}`.
    ///
    /// # Errors
    /// [`ProblemCode::InvalidBody`], with where and why.
    pub fn no_body(&self) -> Result<(), Problem> {
        if self.body.is_empty() { Ok(()) } else { self.json::<Nothing>().map(drop) }
    }

    /// Who called.
    ///
    /// # Errors
    /// [`ProblemCode::Unauthorized`] on a route without an authorizer.
    pub fn caller(&self) -> Result<&ApiCaller, Problem> {
        self.caller.as_ref().ok_or_else(|| {
            Problem::new(
                ProblemCode::Unauthorized,
                "Send a bearer token in the Authorization header.",
            )
        })
    }

    /// Who called, if the token has the scope.
    ///
    /// # Errors
    /// [`ProblemCode::Unauthorized`], [`ProblemCode::Forbidden`].
    pub fn caller_with(&self, scope: &str) -> Result<&ApiCaller, Problem> {
        let caller = self.caller()?;
        caller.require(scope, || format!("The token lacks the scope {scope}."))?;
        Ok(caller)
    }

    /// A parameter of the path.
    ///
    /// # Errors
    /// [`ProblemCode::NotFound`] if it is not what such a parameter looks like: there cannot be such a
    /// thing.
    pub fn path<T: std::str::FromStr>(&self, name: &str) -> Result<T, Problem> {
        let value = self.path.get(name).and_then(|value| value.parse().ok());
        value.ok_or_else(|| Problem::new(ProblemCode::NotFound, format!("No such {name}.")))
    }

    /// A parameter of the query, if it is there.
    ///
    /// # Errors
    /// [`ProblemCode::InvalidParameter`] if it cannot be read.
    pub fn query<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: std::str::FromStr<Err: std::fmt::Display + 'static>,
    {
        let parse = |value: &String| {
            value.parse().map_err(|error: T::Err| {
                let is_number = (&error as &dyn Any).is::<ParseIntError>();
                let why = match name {
                    "cursor" => "must come from an earlier page of this list".to_owned(),
                    _ if is_number => "must be a whole number".to_owned(),
                    _ => error.to_string(),
                };
                Problem::new(ProblemCode::InvalidParameter, format!("{name}: {why}."))
                    .with("parameter", name)
            })
        };
        self.query.get(name).map(parse).transpose()
    }

    /// Whether the caller asks for CSV: `Accept` names it, and JSON no more than it. Browsers and
    /// clients that take anything get JSON.
    #[must_use]
    pub fn wants_csv(&self) -> bool {
        let csv = weight(&self.accept, "text/csv");
        csv > 0 && csv >= weight(&self.accept, "application/json")
    }

    /// What makes the row of this request single: its `Idempotency-Key` with the digest of the
    /// request, if it has one.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.keyed_request().map_or(Cause::Command, Cause::Request)
    }

    /// The same for a request of the operator's staff, with who called.
    ///
    /// # Errors
    /// [`ProblemCode::Unauthorized`] on a route without an authorizer.
    pub fn staff_cause(&self) -> Result<Cause, Problem> {
        let by = self.caller()?.subject.clone();
        Ok(Cause::Staff { by, request: self.keyed_request() })
    }

    fn keyed_request(&self) -> Option<KeyedRequest> {
        let key = self.request_key()?;
        Some(KeyedRequest { key, digest: self.digest().as_str().to_owned() })
    }

    /// Makes sure that there is an `Idempotency-Key`, for what must never happen twice.
    ///
    /// # Errors
    /// [`ProblemCode::IdempotencyKeyRequired`].
    pub fn require_key(&self) -> Result<(), Problem> {
        if self.idempotency_key.is_some() {
            return Ok(());
        }
        let why = "Send an Idempotency-Key header. A request that is repeated with its key moves \
                   money only once.";
        Err(Problem::new(ProblemCode::IdempotencyKeyRequired, why)
            .with("parameter", "Idempotency-Key"))
    }

    /// The `Idempotency-Key`, if there is one, under the route's name.
    #[must_use]
    pub fn request_key(&self) -> Option<RequestKey> {
        // The route keeps the same key apart for different things; its spaces and braces are not
        // wanted in a key.
        let route = RowDigest::of(&[&self.route]);
        let route: String = route.as_str().chars().take(12).collect();
        self.idempotency_key.as_ref().and_then(|key| format!("{route}:{key}").parse().ok())
    }

    /// Tells this request from others at Stripe: its [`request_key`](ApiCall::request_key), or a
    /// random key that no other request will ever have.
    #[must_use]
    pub fn key_at_stripe(&self) -> String {
        self.request_key().map_or_else(|| format!("none:{:032x}", fastrand::u128(..)), String::from)
    }

    /// The digest of what was asked: method, path and body.
    #[must_use]
    pub fn digest(&self) -> RowDigest {
        RowDigest::of(&[&self.target, &String::from_utf8_lossy(&self.body)])
    }
}

/// When a request reached the API (UTC), before it is read.
///
/// # Errors
/// [`ProblemCode::Internal`] if the event is none of an HTTP API.
pub fn time_of(request: &Request) -> Result<Timestamp, Problem> {
    time(&api_context(request)?)
}

fn time(context: &ApiGatewayV2httpRequestContext) -> Result<Timestamp, Problem> {
    Timestamp::from_milliseconds(context.time_epoch)
        .map_err(|_| Problem::new(ProblemCode::Internal, "The request has no timestamp."))
}

/// A body that says nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// An answer with a JSON body.
#[must_use]
pub fn answer(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    match serde_json::to_string(body) {
        Ok(text) => with_type(status, "application/json", text),
        Err(error) => problem(&Problem::new(
            ProblemCode::Internal,
            format!("The response could not be serialized: {error}."),
        )),
    }
}

/// An answer that is a table. `next` is where it goes on, as a reference relative to this one (RFC
/// 8288).
#[must_use]
pub fn csv(text: String, next: Option<&str>) -> Response<Body> {
    let mut response = with_type(StatusCode::OK, "text/csv; charset=utf-8", text);
    let link = next.and_then(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")).ok());
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// The answer to what is done and leaves nothing to say.
#[must_use]
pub fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A text as the value of a parameter in a query (RFC 3986, section 2.3).
#[must_use]
pub fn query_value(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(
            |byte| {
                if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}

/// An answer that is a problem document.
#[must_use]
pub fn problem(problem: &Problem) -> Response<Body> {
    let status =
        StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // A problem consists of strings: it can always be written.
    let text = serde_json::to_string(problem).unwrap_or_default();
    let mut response = with_type(status, "application/problem+json", text);
    if let Some(seconds) = problem.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn with_type(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Balances are nobody else's business, and old ones nobody's.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// How much a media type is wanted, in thousandths; zero if it is not named (RFC 9110, section
/// 12.5.1).
fn weight(accept: &str, kind: &str) -> u32 {
    let weight_of = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        parts.next().filter(|named| named.eq_ignore_ascii_case(kind))?;
        let q = parts.find_map(|parameter| {
            parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))
        });
        Some(q.map_or(1_000, thousandths))
    };
    accept.split(',').filter_map(|range| weight_of(range.trim())).max().unwrap_or(0)
}

/// `0.25` is 250; what is no such number counts in full.
fn thousandths(q: &str) -> u32 {
    match q.split_once('.') {
        None if q == "0" => 0,
        Some(("0", fraction)) if fraction.len() <= 3 => {
            format!("{fraction:0<3}").parse().unwrap_or(1_000)
        }
        Some(_) | None => 1_000,
    }
}

/// The context of an HTTP API's request.
fn api_context(request: &Request) -> Result<ApiGatewayV2httpRequestContext, Problem> {
    // Other kinds of events exist only if `lambda_http` is built with their features.
    #[allow(irrefutable_let_patterns, clippy::infallible_destructuring_match, reason = "see above")]
    let RequestContext::ApiGatewayV2(context) = request.request_context() else {
        return Err(Problem::new(
            ProblemCode::Internal,
            "This function accepts only HTTP API requests.",
        ));
    };
    Ok(context)
}

fn body_bytes(body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let body = match body {
        Body::Text(text) => text.into_bytes(),
        Body::Binary(bytes) => bytes,
        // The enum may grow.
        Body::Empty | _ => Vec::new(),
    };
    if body.len() > bytes_max {
        return Err(Problem::new(
            ProblemCode::BodyTooLarge,
            format!("The request body must be at most {bytes_max} bytes."),
        ));
    }
    Ok(body)
}

fn idempotency_key(request: &Request) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX);
    let key = key.filter(|key| key.as_bytes().iter().all(is_plain));
    let why = format!(
        "Idempotency-Key: must be 1 to {KEY_BYTES_MAX} visible ASCII characters other than '#'."
    );
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        Problem::new(ProblemCode::InvalidParameter, why).with("parameter", "Idempotency-Key")
    })
}

#[cfg(test)]
mod tests {
    use lambda_http::request::from_str;

    use crate::domain::profile::EmailAddress;

    use super::*;

    fn request(headers: &str, claims: &str, body: &str) -> Request {
        let event = format!(
            r#"{{"version":"2.0","routeKey":"POST /v1/projects/{{project}}","rawPath":"/v1/projects/p1","rawQueryString":"limit=5",
            "headers":{headers},"queryStringParameters":{{"limit":"5"}},"pathParameters":{{"project":"p1"}},
            "requestContext":{{"accountId":"1","apiId":"a","domainName":"d","domainPrefix":"d","requestId":"r-1",
            "routeKey":"POST /v1/projects/{{project}}","stage":"$default","time":"22/Nov/2026:10:20:00 +0000","timeEpoch":1795342800123,
            "authorizer":{{"jwt":{{"claims":{claims},"scopes":null}}}},
            "http":{{"method":"POST","path":"/v1/projects/p1","protocol":"HTTP/1.1","sourceIp":"127.0.0.1","userAgent":"t"}}}},
            "body":{body},"isBase64Encoded":false}}"#
        );
        from_str(&event).unwrap()
    }

    fn read(headers: &str, claims: &str, body: &str) -> Result<ApiCall, Problem> {
        let settings = Settings::read(|variable| match variable {
            "STAFF_CLIENTS" => Some("backoffice".to_owned()),
            "PLATFORM_CLIENTS" => Some("runner, runner-2".to_owned()),
            "LEDGER_TABLE" | "ACCOUNTS_TABLE" => Some(variable.to_owned()),
            _ => None,
        });
        ApiCall::read(request(headers, claims, body), &settings.unwrap(), |_route| BODY_BYTES_MAX)
    }

    #[test]
    fn a_request_becomes_a_call_with_the_gateways_time() {
        let call = read(
            r#"{"host":"x","idempotency-key":"k1"}"#,
            r#"{"sub":"acme","scope":"a tollgate/platform","azp":"runner","email":"a@example.test"}"#,
            r#""{\"n\":1}""#,
        );
        let call = call.unwrap();
        assert_eq!(call.now.to_string(), "2026-11-22T10:20:00Z");
        assert_eq!(
            (call.request_id.as_str(), call.route.as_str()),
            ("r-1", "POST /v1/projects/{project}")
        );
        let caller = call.caller().unwrap();
        assert_eq!(
            (caller.account.as_str(), caller.email.as_ref().map(EmailAddress::as_str)),
            ("acme", Some("a@example.test"))
        );
        assert!(caller.has(PLATFORM_SCOPE));
        assert_eq!(call.path::<String>("project").unwrap(), "p1");
        assert_eq!(call.query::<u32>("limit").unwrap(), Some(5));
        assert_eq!(call.json::<BTreeMap<String, u32>>().unwrap()["n"], 1);
        assert!(matches!(call.cause(), Cause::Request(_)));
    }

    #[test]
    fn a_table_is_sent_to_who_asks_for_it_by_name() {
        for (accept, expected) in [
            ("text/csv", true),
            ("Text/CSV; header=present", true),
            ("application/json, text/csv", true),
            ("application/json, text/csv;q=0.9", false),
            ("text/csv;q=0.5, application/json;q=0.25", true),
            ("text/csv;q=0", false),
            ("text/csv;q=0.000", false),
            ("text/html, */*;q=0.8", false),
            ("", false),
        ] {
            let headers = format!(r#"{{"host":"x","accept":"{accept}"}}"#);
            let call = read(&headers, r#"{"sub":"acme"}"#, "null").unwrap();
            assert_eq!(call.wants_csv(), expected, "{accept}");
        }
        assert_eq!(query_value("2026-11-22T10:20:00+01:00"), "2026-11-22T10%3A20%3A00%2B01%3A00");
    }

    #[test]
    fn only_the_platform_acts_for_others() {
        let acting = r#"{"host":"x","tollgate-account":"other"}"#;
        for scope in ["a", "tollgate/admin"] {
            let refused = read(acting, &format!(r#"{{"sub":"acme","scope":"{scope}"}}"#), "null")
                .unwrap_err();
            assert_eq!(refused.code(), "forbidden", "{scope}");
        }
        let call = read(
            acting,
            r#"{"sub":"p","scope":"tollgate/platform","azp":"runner-2","email":"p@example.test"}"#,
            "null",
        )
        .unwrap();
        let caller = call.caller().unwrap();
        assert_eq!(
            (caller.account.as_str(), caller.email.as_ref().map(EmailAddress::as_str)),
            ("other", None)
        );
        assert_eq!(call.caller_with(ADMIN_SCOPE).unwrap_err().code(), "forbidden");
    }

    #[test]
    fn staff_and_platform_scopes_count_from_listed_clients() {
        let table = [
            (r#""scope":"tollgate/admin","azp":"backoffice""#, true, false),
            (r#""scope":"tollgate/admin","client_id":"backoffice""#, true, false),
            (r#""scp":"tollgate/admin","appid":"backoffice""#, true, false),
            (r#""scp":"[openid tollgate/platform]","azp":"runner""#, false, true),
            (r#""scp":"[tollgate/admin]","cid":"backoffice""#, true, false),
            (r#""scp":"[tollgate/admin]","cid":"page""#, false, false),
            // The gateway does not read them.
            (r#""roles":"[tollgate/admin]","azp":"backoffice""#, false, false),
            (r#""scope":"[tollgate/admin tollgate/platform]","azp":"backoffice""#, true, false),
            (r#""scope":"openid","scp":"tollgate/admin","azp":"backoffice""#, false, false),
            (r#""scope":"tollgate/admin tollgate/platform""#, false, false),
            (r#""scope":"tollgate/admin tollgate/platform","azp":"page""#, false, false),
            (r#""scope":"tollgate/admin","azp":"backoffice","client_id":"page""#, false, false),
            (r#""scope":"tollgate/admin","azp":"""#, false, false),
        ];
        for (claims, staff, platform) in table {
            let call = read("{}", &format!(r#"{{"sub":"acme",{claims}}}"#), "null").unwrap();
            let caller = call.caller().unwrap();
            assert_eq!(
                (caller.has(ADMIN_SCOPE), caller.has(PLATFORM_SCOPE)),
                (staff, platform),
                "{claims}"
            );
        }
        let page = read("{}", r#"{"sub":"a","scope":"tollgate/admin","azp":"page"}"#, "null");
        let refused = page.unwrap().caller_with(ADMIN_SCOPE).unwrap_err();
        let detail = serde_json::to_value(&refused).unwrap()["detail"].clone();
        assert_eq!(
            detail,
            "Only clients in the parameter StaffClients may use the scope tollgate/admin. \
             This token's client is \"page\"."
        );
    }

    #[test]
    fn a_list_is_no_body_although_its_values_would_fit_the_fields() {
        #[derive(Debug, Deserialize)]
        struct Wish {
            _name: String,
        }
        let read = |body: &str| {
            read("{}", r#"{"sub":"acme"}"#, &serde_json::to_string(body).unwrap()).unwrap()
        };
        assert_eq!(read(r#"["a"]"#).json::<Wish>().unwrap_err().code(), "invalid_body");
        assert_eq!(read("[]").no_body().unwrap_err().code(), "invalid_body");
        assert_eq!(read(r#"{"a":1}"#).no_body().unwrap_err().code(), "invalid_body");
        read(r#" {"_name":"a"}"#).json::<Wish>().unwrap();
        assert_eq!((read("{}").no_body(), read("").no_body()), (Ok(()), Ok(())));
    }

    #[test]
    fn what_cannot_be_read_is_a_problem() {
        let claims = r#"{"sub":"acme"}"#;
        assert_eq!(
            read(r#"{"idempotency-key":"a b"}"#, claims, "null").unwrap_err().code(),
            "invalid_parameter"
        );
        assert_eq!(read("{}", r#"{"scope":"x"}"#, "null").unwrap_err().code(), "unauthorized");
        assert_eq!(read("{}", r#"{"sub":"a#b"}"#, "null").unwrap_err().code(), "unauthorized");
        let huge = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX + 1));
        assert_eq!(read("{}", claims, &huge).unwrap_err().code(), "body_too_large");
        let call = read("{}", claims, r#""not json""#).unwrap();
        assert_eq!(call.json::<BTreeMap<String, u32>>().unwrap_err().code(), "invalid_body");
        assert_eq!(call.no_body().unwrap_err().code(), "invalid_body");
        let list = read("{}", claims, r#""[]""#).unwrap();
        assert_eq!(list.json::<Vec<u32>>().unwrap_err().code(), "invalid_body");
        assert_eq!(call.path::<u32>("project").unwrap_err().code(), "not_found");
        assert_eq!(call.cause(), Cause::Command);
    }
}
