//! Sends Stripe's webhooks to the HTTP API by the cloud's clock, and connects the stand-in to the
//! local cloud.
//!
//! [`crate::stripe`] decides which webhooks are due, signs them and retries. This module sends them
//! after each change at Stripe and when one is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::Response;
use stripe_stand_in::{Delivery, StripeStandIn};
use time::UtcDateTime;
use tokio::task::JoinSet;

use crate::aws::gateway::Gateway;
use crate::runtime::agenda::Planner;
use crate::runtime::common::Common;
use crate::runtime::http;

/// The secret webhooks are signed with.
pub(crate) const SECRET: &str = "whsec_local";

/// The key that the stand-in accepts.
pub(crate) const KEY: &str = "sk_test_local";

/// Stripe's secrets as a deployment keeps them.
pub(crate) fn secret_text(key: &str, webhook_secrets: &[&str]) -> String {
    serde_json::json!({ "secret_key": key, "webhook_secrets": webhook_secrets }).to_string()
}

/// The address of webhooks. Only the path counts, because they are sent to this cloud's API on any
/// port.
pub(crate) const ENDPOINT: &str = "http://127.0.0.1/v1/stripe/webhook";

/// The events for which `cargo stripe-setup` creates the endpoint. Events that a deployment does
/// not get are not sent here either.
///
/// The functions' own list is `tollgate::stripe::webhook_event::EVENTS`. It is repeated here
/// because this crate is built first, and that one depends on the Stripe client. If they differ,
/// `GET /v1/admin/health` reports it, and a test of the world fails.
pub(crate) const EVENTS: [&str; 23] = [
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "customer.deleted",
    "customer.updated",
    "invoice.paid",
    "payment_intent.canceled",
    "payment_intent.processing",
    "payment_intent.succeeded",
    "payment_method.attached",
    "payment_method.automatically_updated",
    "payment_method.detached",
    "payment_method.updated",
    "radar.early_fraud_warning.created",
    "refund.created",
    "refund.failed",
    "refund.updated",
    "setup_intent.succeeded",
];

/// The stand-in, and the delivery of its webhooks.
#[derive(Debug)]
pub(crate) struct Stripe {
    pub(crate) stand_in: StripeStandIn,
    common: Common,
    gateway: Arc<Gateway>,
    deliveries: Planner<()>,
    /// A look for webhooks is planned: no other is needed.
    wanted: AtomicBool,
}

impl Stripe {
    pub(crate) fn new(
        stand_in: StripeStandIn,
        common: Common,
        gateway: Arc<Gateway>,
        deliveries: Planner<()>,
    ) -> Self {
        Self { stand_in, common, gateway, deliveries, wanted: AtomicBool::new(false) }
    }

    /// Stripe's API and pages. After every request webhooks are looked for.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        let state = Arc::clone(self);
        self.stand_in.router().layer(middleware::from_fn_with_state(state, then_wake))
    }

    /// Looks for webhooks.
    pub(crate) fn wake(&self) {
        if !self.wanted.swap(true, Ordering::AcqRel) {
            self.deliveries.now(());
        }
    }

    /// Sends the webhooks that are due, and plans the next look.
    pub(crate) async fn deliver(self: &Arc<Self>) {
        self.wanted.store(false, Ordering::Release);
        loop {
            let now = self.common.clock.now().unix_timestamp();
            let due = self.stand_in.due_deliveries(now);
            if due.is_empty() {
                break;
            }
            let mut deliveries = JoinSet::new();
            for delivery in due {
                let stripe = Arc::clone(self);
                deliveries.spawn(async move { stripe.send(delivery).await });
            }
            deliveries.join_all().await;
        }
        let next = self.stand_in.next_due();
        let next = next.and_then(|next| UtcDateTime::from_unix_timestamp(next).ok());
        if let Some(next) = next.filter(|next| *next > self.common.clock.now()) {
            self.deliveries.once_at(next, ());
        }
    }

    async fn send(&self, delivery: Delivery) {
        let fault = self.common.faults.delivery("webhook", &delivery.event_type);
        let mut status = None;
        for _ in 0..fault.copies() {
            status = Some(self.post(&delivery).await.status().as_u16());
        }
        self.stand_in.delivered(delivery.id, status);
    }

    async fn post(&self, delivery: &Delivery) -> Response {
        let path = delivery.url.splitn(4, '/').nth(3).unwrap_or_default();
        let mut request = Request::new(Body::from(delivery.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("/{path}").parse().unwrap_or_default();
        let headers = delivery.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        *request.headers_mut() = http::headers(headers);
        self.gateway.handle(request).await
    }
}

async fn then_wake(State(stripe): State<Arc<Stripe>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    stripe.wake();
    response
}
