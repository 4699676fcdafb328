//! HTTP in both directions: the listeners of the local cloud, which the Stripe stand-in shares, and
//! the client for forwarded requests.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::Response;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
pub(crate) use stripe_stand_in::http::{call, hang_up, serve};

/// A client for plain HTTP, to this machine.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    client: HyperClient<HttpConnector, Full<Bytes>>,
}

impl Client {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: HyperClient::builder(TokioExecutor::new()).build(connector) }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// If no answer arrives.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, HeaderMap, Bytes), String> {
        let mut request = hyper::Request::builder().method(method).uri(url);
        if let Some(target) = request.headers_mut() {
            let own = |name: &&HeaderName| {
                **name != header::HOST
                    && **name != header::CONTENT_LENGTH
                    && **name != header::CONNECTION
            };
            for name in headers.keys().filter(own) {
                for value in headers.get_all(name) {
                    target.append(name.clone(), value.clone());
                }
            }
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((parts.status, parts.headers, body))
    }
}

/// Reads a body up to a limit.
///
/// # Errors
///
/// None if the body is larger or breaks off.
pub(crate) async fn read_body(body: Body, size_max_bytes: usize) -> Option<Bytes> {
    axum::body::to_bytes(body, size_max_bytes).await.ok()
}

/// A header map from text pairs. Invalid headers are left out.
pub(crate) fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> HeaderMap {
    let header = |(name, value): (&str, &str)| {
        let name: HeaderName = name.parse().ok()?;
        Some((name, value.parse().ok()?))
    };
    pairs.into_iter().filter_map(header).collect()
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response {
    answer(status, "application/json", value.to_string())
}

/// An answer of any type.
pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
