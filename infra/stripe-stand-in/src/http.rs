//! The stand-in's HTTP listener.
//!
//! Unlike a framework's listener, it can close the connection without an answer ([`hang_up`]),
//! which is how an answer is lost.

use std::convert::Infallible;
use std::io;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

/// In the extensions of a response: close the connection instead of sending it.
#[derive(Clone, Copy, Debug)]
struct HangUp;

/// No answer at all.
pub fn hang_up() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(HangUp);
    response
}

/// Whether the connection is to be closed instead of sending this response.
#[must_use]
pub fn is_hang_up(response: &Response) -> bool {
    response.extensions().get::<HangUp>().is_some()
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, router: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Mostly out of file descriptors. Finished connections release theirs.
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
                    if is_hang_up(&response) {
                        return Err(io::Error::other("the answer is lost on demand"));
                    }
                    Ok(response)
                }
            });
            // A broken connection is not an error here. The client decides how to continue.
            let _broken = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// A request to a router in this process, without the network.
pub async fn call(router: &Router, request: Request) -> Response {
    into_ok(router.clone().oneshot(request).await)
}

fn into_ok(result: Result<Response, Infallible>) -> Response {
    match result {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
