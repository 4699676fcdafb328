//! HTTP: the router of API and pages.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;

use super::pages;
use super::requests::{Incoming as Call, Outgone, Way};
use super::{StripeStandIn, account::Account};
use crate::http;

impl StripeStandIn {
    /// The API under `/v1/` and the pages.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/c/pay/{id}", get(pages::checkout).post(pages::submit_checkout))
            .route(
                "/authenticate/{id}",
                get(pages::authenticate).post(pages::submit_authentication),
            )
            .route("/i/{id}", get(pages::invoice).post(pages::pay_invoice))
            .route("/i/{id}/pdf", get(pages::invoice_pdf))
            .route("/receipts/{id}", get(pages::receipt))
            .route("/p/session/{id}", get(pages::portal).post(pages::submit_portal))
            .fallback(api)
            .with_state(self.clone())
    }

    /// Answers one request, of the API or of a browser, without a socket.
    ///
    /// The answer is ready at the first poll unless a fault holds it back, which needs a Tokio
    /// runtime. A simulation can therefore call it on its own clock, in one thread. An answer lost
    /// by a fault is [`http::is_hang_up`].
    pub async fn respond(&self, request: Request) -> Response {
        http::call(&self.router(), request).await
    }

    /// Serves until the task is dropped. An answer that a fault loses ends the connection.
    pub async fn serve(&self, listener: TcpListener) {
        http::serve(listener, self.router()).await;
    }
}

/// Every call of the API.
async fn api(
    State(stripe): State<StripeStandIn>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let is_form = |content: &str| content.starts_with("application/x-www-form-urlencoded");
    let mut form = uri.query().unwrap_or_default().as_bytes().to_vec();
    if !form.is_empty() && !body.is_empty() {
        form.push(b'&');
    }
    form.extend_from_slice(&body);
    let call = Call {
        method: method.to_string(),
        path: uri.path().to_owned(),
        authorization: text("authorization"),
        idempotency_key: text("idempotency-key"),
        foreign_content: text("content-type")
            .filter(|content| !body.is_empty() && !is_form(content)),
        form,
    };
    let mut released = stripe.release.subscribe();
    let outgone =
        stripe.with(|account: &mut Account| account.answer(&call, &stripe.config.secret_keys));
    if outgone.way == Way::Held {
        // In a task of its own, because Stripe continues when the caller disconnects.
        let (stripe, outgone, key) =
            (stripe.clone(), outgone.clone(), call.idempotency_key.clone());
        let waiting = tokio::spawn(async move {
            let _ = released.changed().await;
            if let Some(key) = key {
                stripe.with(|account| account.held_is_done(&key, outgone.status, &outgone.body));
            }
        });
        let _ = waiting.await;
    }
    response(&stripe, &headers, &outgone)
}

fn response(stripe: &StripeStandIn, headers: &HeaderMap, outgone: &Outgone) -> Response {
    if outgone.way == Way::Lost {
        return http::hang_up();
    }
    let body = serde_json::to_vec_pretty(&outgone.body).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(outgone.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let sent = response.headers_mut();
    sent.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let version =
        headers.get("stripe-version").cloned().or_else(|| value(&stripe.config.api_version));
    let original = outgone.replayed_of.as_ref().unwrap_or(&outgone.request_id);
    let key = headers.get("idempotency-key").cloned();
    let pairs = [
        ("request-id", value(&outgone.request_id)),
        ("stripe-version", version),
        ("original-request", key.as_ref().and_then(|_| value(original))),
        ("idempotency-key", key),
        ("idempotent-replayed", outgone.replayed_of.as_ref().and_then(|_| value("true"))),
        ("stripe-should-retry", outgone.should_retry.and_then(|should| value(&should.to_string()))),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            sent.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}
