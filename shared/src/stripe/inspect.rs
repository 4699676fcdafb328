//! What Stripe says of one of its objects, for whoever looks into a payment: passed on as it is,
//! without card data.

use serde_json::{Map, Value};
use stripe_client_core::{RequestBuilder, StripeMethod};

use super::{Stripe, StripeError};
use crate::domain::ids::PaymentId;

/// Where objects are found, by what their ids begin with.
const PATHS: [(&str, &str); 9] = [
    ("cs_", "/checkout/sessions"),
    ("pi_", "/payment_intents"),
    ("ch_", "/charges"),
    ("in_", "/invoices"),
    ("cus_", "/customers"),
    ("re_", "/refunds"),
    ("pyr_", "/refunds"),
    ("dp_", "/disputes"),
    ("du_", "/disputes"),
];

/// What is passed on: state, amounts in cents, time, and the objects beside it. Nothing else leaves
/// Stripe.
const FIELDS: [&str; 26] = [
    "amount",
    "amount_captured",
    "amount_due",
    "amount_paid",
    "amount_received",
    "amount_refunded",
    "amount_total",
    "cancellation_reason",
    "charge",
    "created",
    "currency",
    "customer",
    "deleted",
    "disputed",
    "failure_code",
    "failure_reason",
    "id",
    "invoice",
    "latest_charge",
    "livemode",
    "mode",
    "object",
    "payment_intent",
    "payment_status",
    "refunded",
    "status",
];

impl Stripe {
    /// What Stripe says of a session, payment, charge, invoice, customer, refund or dispute, by its id;
    /// `None` if it has no such object, or the id is of none of these kinds.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn inspect(&self, id: &PaymentId) -> Result<Option<Map<String, Value>>, StripeError> {
        // The id becomes a part of the path: nothing in it may mean something there.
        let is_plain = id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let found = PATHS.iter().find(|(prefix, _)| is_plain && id.as_str().starts_with(prefix));
        let Some((_, path)) = found else { return Ok(None) };
        let request = RequestBuilder::new(StripeMethod::Get, format!("{path}/{id}"));
        let said: Map<String, Value> = match self.connection.ask(request).await {
            Err(StripeError::NotFound { .. }) => return Ok(None),
            answer => answer?,
        };
        Ok(Some(said.into_iter().filter(|(field, _)| FIELDS.contains(&field.as_str())).collect()))
    }
}
