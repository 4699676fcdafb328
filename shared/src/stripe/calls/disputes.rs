//! Disputes, and refunds.

use serde::de::DeserializeOwned;
use stripe_client_core::{RequestBuilder, StripeMethod, StripeRequest};
use stripe_core::refund::CreateRefund;

use super::{Fields, hash};
use crate::domain::ids::{DisputeId, PaymentId};
use crate::stripe::keys::IdempotencyKey;
use crate::stripe::metadata::{RefundName, of_installation};
use crate::stripe::objects::{ObjectList, StripeDispute, StripeRefund};
use crate::stripe::{Stripe, StripeError};

/// The most objects of a page at Stripe.
const PAGE_OBJECTS: u32 = 100;

impl Stripe {
    /// A dispute, with its charge.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn dispute(&self, dispute: &DisputeId) -> Result<StripeDispute, StripeError> {
        // The ID becomes a part of the path.
        let is_plain =
            dispute.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_plain {
            return Err(StripeError::NotFound { call: format!("GET /disputes/{dispute}") });
        }
        let query = Fields::from([("expand[]", "charge".to_owned())]);
        let path = format!("/disputes/{dispute}");
        self.connection.ask(RequestBuilder::new(StripeMethod::Get, path).query(&query)).await
    }

    /// The disputes of a payment, newest first. It has a few at the most.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn disputes_of(
        &self,
        payment: &PaymentId,
    ) -> Result<Vec<StripeDispute>, StripeError> {
        self.of_payment("/disputes", payment).await
    }

    /// The newest hundred refunds of a payment, newest first.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn refunds_of(&self, payment: &PaymentId) -> Result<Vec<StripeRefund>, StripeError> {
        self.of_payment("/refunds", payment).await
    }

    /// Refunds cents of a payment, tax included.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn create_refund(
        &self,
        name: &RefundName,
        payment: &PaymentId,
        cents: i64,
    ) -> Result<StripeRefund, StripeError> {
        let metadata = of_installation(name.write(), self.settings.installation.as_deref());
        let request = CreateRefund::new()
            .payment_intent(payment.as_str())
            .amount(cents)
            .metadata(hash(metadata));
        let key = IdempotencyKey::refund(name);
        self.connection.order(request.build(), &key).await
    }

    async fn of_payment<T: DeserializeOwned>(
        &self,
        path: &str,
        payment: &PaymentId,
    ) -> Result<Vec<T>, StripeError> {
        let query = Fields::from([
            ("payment_intent", payment.to_string()),
            ("limit", PAGE_OBJECTS.to_string()),
        ]);
        let request = RequestBuilder::new(StripeMethod::Get, path).query(&query);
        let page: ObjectList<T> = self.connection.ask(request).await?;
        Ok(page.data)
    }
}
