//! Saved cards.
//!
//! Written out where `async-stripe` would need a feature, and minutes of compiling, for one short
//! request.

use std::collections::BTreeMap;

use stripe_client_core::{RequestBuilder, StripeMethod, StripeRequest};
use stripe_core::customer::{
    ListPaymentMethodsCustomer, ListPaymentMethodsCustomerType, UpdateCustomer,
    UpdateCustomerInvoiceSettings,
};

use super::PAGE;
use crate::domain::ids::{CardId, CustomerId};
use crate::stripe::keys::IdempotencyKey;
use crate::stripe::objects::{
    CheckoutSession, Metadata, PaymentMethod, SetupIntent, StripeCustomer,
};
use crate::stripe::{Stripe, StripeError};

/// A page on which a card is saved without paying.
#[derive(Clone, Debug)]
pub struct NewSetupSession<'a> {
    pub customer: &'a CustomerId,
    /// Where the customer comes back to.
    pub success_url: &'a str,
    /// The same, without a card.
    pub cancel_url: &'a str,
    pub metadata: Metadata,
    /// What the page says beside the button.
    pub notice: Option<&'a str>,
}

impl Stripe {
    /// A payment method, whoever's it is.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn payment_method(&self, card: &CardId) -> Result<PaymentMethod, StripeError> {
        self.connection
            .ask(RequestBuilder::new(StripeMethod::Get, format!("/payment_methods/{card}")))
            .await
    }

    /// Takes a payment method from its customer, for ever. One that has none is rejected.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn detach(&self, card: &CardId) -> Result<PaymentMethod, StripeError> {
        self.connection
            .ask(RequestBuilder::new(StripeMethod::Post, format!("/payment_methods/{card}/detach")))
            .await
    }

    /// What saved a card at a page.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn setup_intent(&self, intent: &str) -> Result<SetupIntent, StripeError> {
        let request = RequestBuilder::new(StripeMethod::Get, format!("/setup_intents/{intent}"));
        self.connection.ask(request).await
    }

    /// Makes a page on which a card is saved without paying.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn create_setup_session(
        &self,
        new: &NewSetupSession<'_>,
        key: &IdempotencyKey,
    ) -> Result<CheckoutSession, StripeError> {
        let NewSetupSession { customer, success_url, cancel_url, metadata, notice } = new;
        let ours = metadata;
        let of_session =
            ours.iter().map(|(name, value)| (format!("metadata[{name}]"), value.clone()));
        let of_intent = ours
            .iter()
            .map(|(name, value)| (format!("setup_intent_data[metadata][{name}]"), value.clone()));
        let fields = [
            ("mode", "setup"),
            ("customer", customer.as_str()),
            ("payment_method_types[0]", "card"),
            // Link would hide fingerprint and funding of the card.
            ("wallet_options[link][display]", "never"),
            ("success_url", success_url),
            ("cancel_url", cancel_url),
        ];
        let notice = notice.map(|notice| ("custom_text[submit][message]", notice));
        let fields = fields
            .into_iter()
            .chain(notice)
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let form: BTreeMap<String, String> = fields.chain(of_session).chain(of_intent).collect();
        let request = RequestBuilder::new(StripeMethod::Post, "/checkout/sessions").form(&form);
        self.connection.order(request, key).await
    }

    /// Makes a card the one that a customer's invoices are paid with.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn set_default_card(
        &self,
        customer: &CustomerId,
        card: &CardId,
    ) -> Result<StripeCustomer, StripeError> {
        let mut settings = UpdateCustomerInvoiceSettings::new();
        settings.default_payment_method = Some(card.to_string());
        let request = UpdateCustomer::new(customer.as_str()).invoice_settings(settings);
        self.connection.ask(request.build()).await
    }

    /// All saved cards of a customer, newest first.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn cards_of(&self, customer: &CustomerId) -> Result<Vec<PaymentMethod>, StripeError> {
        let request = ListPaymentMethodsCustomer::new(customer.as_str());
        let request = request.type_(ListPaymentMethodsCustomerType::Card).limit(PAGE);
        self.all(|last: Option<&PaymentMethod>| match last {
            Some(last) => request.clone().starting_after(last.id.as_str()).build(),
            None => request.build(),
        })
        .await
    }
}
