//! Payload format 2.0: a request as a function gets it.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use time::UtcDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

use crate::aws::gateway::authorizer::Caller;
use crate::aws::gateway::route::Matched;
use crate::runtime::names;

/// The text form of the time in API Gateway's events. `timeEpoch` has the number.
const TIME: &[FormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

const API_ID: &str = "local";

/// The event of a request. Absent fields are absent, as on AWS: `body`, `cookies`, `pathParameters`
/// and `queryStringParameters` are there only if there is something in them.
pub(super) fn build(
    now: UtcDateTime,
    matched: &Matched<'_>,
    caller: Option<&Caller>,
    parts: &Parts,
    body: &Bytes,
    request_id: &str,
) -> Value {
    let headers = headers(&parts.headers);
    let mut event = json!({
        "version": "2.0",
        "routeKey": matched.route.key(),
        "rawPath": parts.uri.path(),
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": &headers,
        "requestContext": request_context(now, matched, parts, request_id, &headers),
        "isBase64Encoded": false,
    });
    let cookies: Vec<&str> = parts
        .headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split("; "))
        .collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) {
        event["queryStringParameters"] = query_parameters(query);
    }
    if !matched.parameters.is_empty() {
        event["pathParameters"] = json!(matched.parameters);
    }
    if let Some(caller) = caller {
        event["requestContext"]["authorizer"] =
            json!({"jwt": {"claims": claims(&caller.claims), "scopes": caller.scopes}});
    }
    if !has_no_body(&parts.method, body) {
        set_body(&mut event, body, text(&headers, "content-type"));
    }
    event
}

fn request_context(
    now: UtcDateTime,
    matched: &Matched<'_>,
    parts: &Parts,
    request_id: &str,
    headers: &BTreeMap<String, String>,
) -> Value {
    let host = text(headers, "host");
    json!({
        "accountId": names::ACCOUNT,
        "apiId": API_ID,
        "domainName": host,
        "domainPrefix": host.split('.').next(),
        "http": {
            "method": parts.method.as_str(),
            "path": parts.uri.path(),
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": text(headers, "user-agent"),
        },
        "requestId": request_id,
        "routeKey": matched.route.key(),
        "stage": "$default",
        "time": now.format(TIME).unwrap_or_default(),
        "timeEpoch": i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default(),
    })
}

/// The body as text if its type is one of text and it is UTF-8, otherwise in base64.
fn set_body(event: &mut Value, body: &Bytes, content_type: &str) {
    let readable = if is_text(content_type) { std::str::from_utf8(body).ok() } else { None };
    match readable {
        Some(text) => event["body"] = json!(text),
        None => {
            event["body"] = json!(BASE64.encode(body));
            event["isBase64Encoded"] = json!(true);
        }
    }
}

fn text<'a>(headers: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    headers.get(name).map_or("", String::as_str)
}

/// Lower-case names, with the values of one name joined by commas, without cookies, and with the
/// headers that API Gateway adds.
fn headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut result = BTreeMap::new();
    for name in
        headers.keys().filter(|name| **name != header::COOKIE && **name != header::CONNECTION)
    {
        let values =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        result.insert(name.as_str().to_owned(), values.collect::<Vec<_>>().join(","));
    }
    let forwarded = [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
    ];
    for (name, value) in forwarded {
        result.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    let trace = format!("Root=1-00000000-{:024x}", fastrand::u128(..) >> 32);
    result.insert("x-amzn-trace-id".to_owned(), trace);
    result
}

/// Decoded, the values of one name joined by commas.
fn query_parameters(query: &str) -> Value {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        parameters
            .entry(name.into_owned())
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    json!(parameters)
}

/// Every claim is a text: numbers and booleans as JSON writes them, a list as `[a b]`.
fn claims(claims: &Value) -> Value {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                .collect();
            format!("[{}]", items.join(" "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    };
    let fields = claims.as_object().into_iter().flatten();
    Value::Object(
        fields
            .map(|(name, value)| (name.clone(), Value::String(text(value))))
            .collect::<Map<_, _>>(),
    )
}

/// Bodies of these types are passed as they are; all others, forms among them, in base64.
fn is_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(
            kind.as_str(),
            "application/json" | "application/javascript" | "application/xml"
        )
}

/// Whether the request's method carries no body.
fn has_no_body(method: &Method, body: &Bytes) -> bool {
    body.is_empty() || method == Method::HEAD
}
