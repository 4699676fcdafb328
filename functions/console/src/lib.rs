//! `console`: the Billing page and the staff page. It serves files and decides nothing. The pages use
//! the public HTTP API, as any other frontend can.
//!
//! - `GET /` is the Billing page, and `GET /config.json` its sign-in configuration. Both are missing if
//!   no client ID is configured.
//! - `GET /staff` is the staff page, and `GET /staff/config.json` its sign-in configuration. Both are
//!   missing if no client ID of staff's page is configured.
//! - `GET /assets/{file+}` are its files. Their path contains a digest of all files, so browsers
//!   cache them forever, and a new version has new paths.
//! - `GET /v1/openapi.json` is the description of the HTTP API, for other frontends.
//!
//! The binary contains everything. There is no request to another origin and no storage to set up.

mod asset;
mod settings;

use lambda_http::http::header::{self, HeaderValue};
use lambda_http::http::{HeaderMap, StatusCode};
use lambda_http::{Body, Request, RequestExt as _, Response};

pub use settings::{ConsoleSettings, PageSettingsError};

use asset::PageAsset;

/// For content that never changes under its name.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
/// For content that names the current version. Browsers revalidate it each time.
const ASKED_FOR: &str = "no-cache";

#[must_use]
pub fn handle(console: &ConsoleSettings, request: &Request) -> Response<Body> {
    let path = request.raw_http_path();
    let config = match path {
        "/config.json" => console.config(),
        "/staff/config.json" => console.staff_config(),
        _ => None,
    };
    if let Some(config) = config {
        let body = Body::Text(config.to_owned());
        return answer(console, StatusCode::OK, "application/json", ASKED_FOR, body);
    }
    let (has_page, has_staff) = (console.config().is_some(), console.staff_config().is_some());
    let asset = match (path.strip_prefix("/assets/"), path) {
        (Some(name), _) if has_page || has_staff => {
            PageAsset::versioned(name).map(|asset| (asset, FOR_GOOD))
        }
        (None, "/") if has_page => PageAsset::page().map(|page| (page, ASKED_FOR)),
        (None, "/staff") if has_staff => PageAsset::staff_page().map(|page| (page, ASKED_FOR)),
        (None, "/v1/openapi.json") => PageAsset::openapi().map(|openapi| (openapi, ASKED_FOR)),
        _ => None,
    };
    match asset {
        Some((asset, caching)) => asset_answer(console, request, &asset, caching),
        None => {
            let body = Body::Text("Page not found.".to_owned());
            answer(console, StatusCode::NOT_FOUND, "text/plain; charset=utf-8", ASKED_FOR, body)
        }
    }
}

fn asset_answer(
    console: &ConsoleSettings,
    request: &Request,
    asset: &PageAsset,
    caching: &'static str,
) -> Response<Body> {
    let is_known = request
        .headers()
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known == asset.tag().as_str());
    let mut response = if is_known {
        answer(console, StatusCode::NOT_MODIFIED, asset.content_type(), caching, Body::Empty)
    } else if takes_gzip(request.headers()) {
        let body = Body::Binary(asset.gzip.to_vec());
        let mut response = answer(console, StatusCode::OK, asset.content_type(), caching, body);
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        // API Gateway could misread this one kind of text, so it is also sent as bytes.
        answer(
            console,
            StatusCode::OK,
            asset.content_type(),
            caching,
            Body::Binary(asset.plain.to_vec()),
        )
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::try_from(asset.tag()) {
        headers.insert(header::ETAG, tag);
    }
    response
}

fn answer(
    console: &ConsoleSettings,
    status: StatusCode,
    content_type: &'static str,
    caching: &'static str,
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::CONTENT_SECURITY_POLICY, console.content_security_policy());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert(
        "permissions-policy",
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=()"),
    );
    response
}

/// Whether the browser accepts gzip, as nearly all do. `gzip;q=0` means no.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted =
        headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = quality.trim().trim_start_matches("q=");
        name.trim() == "gzip"
            && !(quality.starts_with('0')
                && quality.trim_end_matches('0').trim_end_matches('.').is_empty())
    })
}
