//! Disputes.

use stripe_client_core::{RequestBuilder, StripeMethod};

use super::Fields;
use crate::domain::ids::DisputeId;
use crate::stripe::objects::StripeDispute;
use crate::stripe::{Stripe, StripeError};

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
}
