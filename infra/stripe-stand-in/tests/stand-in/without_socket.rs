//! The stand-in as a function from request to response, on a clock that only the caller moves.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::extract::Request;
use serde_json::Value;
use stripe_stand_in::http::is_hang_up;
use stripe_stand_in::{StandInConfig, StripeFaultKind, StripeStandIn};

use crate::support::{KEY, START};

/// The result of a future that waits for nothing. There is no runtime here.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the stand-in waits for something"),
    }
}

fn request(method: &str, path: &str, form: &str) -> Request {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form.to_owned()))
        .unwrap()
}

#[test]
fn requests_are_answered_without_socket_or_runtime() {
    let clock = Arc::new(AtomicI64::new(START));
    let reads = Arc::clone(&clock);
    let stripe = StripeStandIn::new(StandInConfig::default(), move || reads.load(Ordering::SeqCst));
    let created = |clock: i64| {
        let response = at_once(stripe.respond(request("POST", "/v1/customers", "name=Ada")));
        assert_eq!(response.status(), 200);
        let body = at_once(axum::body::to_bytes(response.into_body(), usize::MAX)).unwrap();
        let customer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(customer["created"], clock);
    };
    created(START);
    clock.store(START + 3600, Ordering::SeqCst);
    created(START + 3600);

    stripe.fail_next("POST /v1/customers", 1, StripeFaultKind::AnswerLost);
    let lost = at_once(stripe.respond(request("POST", "/v1/customers", "name=Ada")));
    assert!(is_hang_up(&lost));
    assert_eq!(stripe.calls().len(), 3, "a lost answer belongs to a request that was carried out");
}
