//! CORS: the headers for browsers on other origins. A function's own CORS headers are ignored, as
//! on AWS, where the API has a configuration.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use crate::template::wiring::Cors;

pub(super) fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// API Gateway answers preflights itself, regardless of routes.
pub(super) fn preflight(cors: &Cors, request: &Request) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    if allowed_origin(cors, request.headers().get(header::ORIGIN)).is_some() {
        let headers = response.headers_mut();
        insert(headers, header::ACCESS_CONTROL_ALLOW_METHODS, &cors.methods);
        insert(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, &cors.headers);
        if let Some(seconds) = cors.age_max {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
        }
    }
    response
}

/// Adds the headers that every answer has for an origin.
pub(super) fn allow(cors: &Cors, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("access-control-"))
        .cloned()
        .collect();
    let is_preflight = headers.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS);
    for name in own.iter().filter(|_| !is_preflight) {
        headers.remove(name);
    }
    let Some(allowed) = allowed_origin(cors, origin) else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    insert(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &cors.exposed);
    if cors.credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

fn allowed_origin(cors: &Cors, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    let origin = origin?;
    if cors.origins.iter().any(|allowed| allowed == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    let given = origin.to_str().ok()?;
    let is_allowed = |allowed: &String| {
        // `https://*.example.com`, and `http://*` for every host.
        match allowed.split_once('*') {
            Some((before, after)) => {
                given.starts_with(before)
                    && given.ends_with(after)
                    && given.len() > allowed.len() - 1
            }
            None => given.eq_ignore_ascii_case(allowed),
        }
    };
    cors.origins.iter().any(is_allowed).then(|| origin.clone())
}

fn insert(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if let Ok(value) = HeaderValue::from_str(&values.join(","))
        && !values.is_empty()
    {
        headers.insert(name, value);
    }
}
