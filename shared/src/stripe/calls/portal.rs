//! The customer portal. Written out: `async-stripe` would need a feature for one short request.

use stripe_client_core::{RequestBuilder, StripeMethod};

use super::Fields;
use crate::domain::ids::CustomerId;
use crate::stripe::keys::IdempotencyKey;
use crate::stripe::objects::PortalSession;
use crate::stripe::{Stripe, StripeError};

impl Stripe {
    /// Opens the customer portal.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn create_portal_session(
        &self,
        customer: &CustomerId,
        return_url: &str,
        key: &IdempotencyKey,
    ) -> Result<PortalSession, StripeError> {
        let mut form = Fields::from([
            ("customer", customer.to_string()),
            ("return_url", return_url.to_owned()),
        ]);
        if let Some(configuration) = &self.settings.portal_configuration {
            form.insert("configuration", configuration.clone());
        }
        let request =
            RequestBuilder::new(StripeMethod::Post, "/billing_portal/sessions").form(&form);
        self.connection.order(request, key).await
    }
}
