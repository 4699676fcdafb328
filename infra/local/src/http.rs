//! HTTP, both ways: the listeners of the local cloud, and the client for what it forwards.
//!
//! A listener can do what a framework's cannot: hang up without an answer ([`hang_up`]), which is
//! how an answer is lost.

use std::convert::Infallible;
use std::io;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

/// In the extensions of a response: close the connection instead of sending it.
#[derive(Clone, Copy, Debug)]
struct HangUp;

/// No answer at all.
pub(crate) fn hang_up() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(HangUp);
    response
}

/// Serves until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, mostly: those of finished connections come back.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        // An answer in several writes must not wait for the other side's acknowledgement.
        let _unsupported = stream.set_nodelay(true);
        let router = router.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let router = router.clone();
                async move {
                    let response = into_ok(router.oneshot(request.map(Body::new)).await);
                    if response.extensions().get::<HangUp>().is_some() {
                        return Err(io::Error::other("the answer is lost on demand"));
                    }
                    Ok(response)
                }
            });
            // A connection that breaks is the client's affair.
            let _broken = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// A request to a router in this process, without the network.
pub(crate) async fn call(router: &Router, request: Request) -> Response {
    into_ok(router.clone().oneshot(request).await)
}

fn into_ok(result: Result<Response, Infallible>) -> Response {
    match result {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

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
    /// If no answer comes.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, HeaderMap, Bytes), String> {
        let mut request = hyper::Request::builder().method(method).uri(url);
        if let Some(target) = request.headers_mut() {
            let own = |name: &&header::HeaderName| {
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
