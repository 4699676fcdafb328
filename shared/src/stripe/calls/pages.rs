//! The calls behind the Billing page: cards, the customer portal, invoices, company facts.
//!
//! Written out where `async-stripe` would need a feature, and minutes of compiling, for one short
//! request.

use std::collections::BTreeMap;

use stripe_client_core::{RequestBuilder, StripeMethod, StripeRequest};
use stripe_core::customer::{
    OptionalFieldsCustomerAddress, UpdateCustomer, UpdateCustomerTax,
    UpdateCustomerTaxValidateLocation,
};

use crate::domain::account::TaxMode;
use crate::domain::ids::{AccountId, CardId, CustomerId, PaymentId};
use crate::domain::profile::{
    CompanyDetails, EmailAddress, NonEmptyText, PostalAddress, TaxNumber,
};
use crate::domain::timestamp::Timestamp;
use crate::stripe::keys::IdempotencyKey;
use crate::stripe::metadata;
use crate::stripe::objects::{
    CheckoutSession, NamedObject, ObjectList, PaymentMethod, PortalSession, StripeCharge,
    StripeCustomer, StripeInvoice, TaxId,
};
use crate::stripe::{Stripe, StripeError};

/// The most objects of one page, which is all that is read: what is not on it is asked for by its
/// id.
const PAGE: u32 = 100;

/// Names and values, as a form or a query has them.
type Fields<'a> = BTreeMap<&'a str, String>;

/// Whether Stripe is told of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// As it stands here, also that there is none.
    AsItIs,
    /// Nothing: what the customer typed at the payment page stays.
    Nothing,
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

    /// Makes a page on which a card is saved without paying.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn create_setup_session(
        &self,
        account: &AccountId,
        customer: &CustomerId,
        urls: [&str; 2],
        key: &IdempotencyKey,
    ) -> Result<CheckoutSession, StripeError> {
        let [success_url, cancel_url] = urls;
        let ours = metadata::of_account(account);
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
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let form: BTreeMap<String, String> = fields.chain(of_session).chain(of_intent).collect();
        let request = RequestBuilder::new(StripeMethod::Post, "/checkout/sessions").form(&form);
        self.connection.order(request, key).await
    }

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

    /// The newest hundred of a customer's invoices made in this time, both ends included.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn invoices_between(
        &self,
        customer: &CustomerId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<StripeInvoice>, StripeError> {
        self.made_between("/invoices", customer, from, to).await
    }

    /// The newest hundred of a customer's charges made in this time, both ends included.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn charges_between(
        &self,
        customer: &CustomerId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<StripeCharge>, StripeError> {
        self.made_between("/charges", customer, from, to).await
    }

    /// The charges of a payment, newest first.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn charges_of(&self, payment: &PaymentId) -> Result<Vec<StripeCharge>, StripeError> {
        let query = Fields::from([("payment_intent", payment.to_string())]);
        let request = RequestBuilder::new(StripeMethod::Get, "/charges").query(&query);
        let page: ObjectList<StripeCharge> = self.connection.ask(request).await?;
        Ok(page.data)
    }

    /// Writes name and address of a company to its customer. With automatic tax, Stripe says at
    /// once whether it can work out tax for the address: refills would fail later.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn write_company(
        &self,
        customer: &CustomerId,
        company: &CompanyDetails,
        told: WriteResult,
    ) -> Result<StripeCustomer, StripeError> {
        let name = company.name.as_ref().map_or("", NonEmptyText::as_str);
        let mut request = UpdateCustomer::new(customer.as_str()).name(name);
        if told == WriteResult::AsItIs {
            request = request.address(address(company.address.as_ref()));
        }
        if self.settings.tax == TaxMode::Automatic && company.address.is_some() {
            let mut tax = UpdateCustomerTax::new();
            tax.validate_location = Some(UpdateCustomerTaxValidateLocation::Immediately);
            request = request.tax(tax);
        }
        self.connection.ask(request.build()).await
    }

    /// Tells Stripe where receipts go.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn write_email(
        &self,
        customer: &CustomerId,
        email: &EmailAddress,
    ) -> Result<StripeCustomer, StripeError> {
        self.connection
            .ask(UpdateCustomer::new(customer.as_str()).email(email.as_str()).build())
            .await
    }

    /// A customer's tax ids.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn tax_ids(&self, customer: &CustomerId) -> Result<Vec<TaxId>, StripeError> {
        let query = Fields::from([("limit", PAGE.to_string())]);
        let request =
            RequestBuilder::new(StripeMethod::Get, format!("/customers/{customer}/tax_ids"))
                .query(&query);
        let page: ObjectList<TaxId> = self.connection.ask(request).await?;
        Ok(page.data)
    }

    /// Adds a tax id to a customer. One that is none is rejected.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn create_tax_id(
        &self,
        customer: &CustomerId,
        number: &TaxNumber,
        key: &IdempotencyKey,
    ) -> Result<TaxId, StripeError> {
        let form =
            Fields::from([("type", number.kind.to_string()), ("value", number.value.to_string())]);
        let request =
            RequestBuilder::new(StripeMethod::Post, format!("/customers/{customer}/tax_ids"))
                .form(&form);
        self.connection.order(request, key).await
    }

    /// Removes a tax id.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn delete_tax_id(
        &self,
        customer: &CustomerId,
        id: &str,
    ) -> Result<NamedObject, StripeError> {
        let path = format!("/customers/{customer}/tax_ids/{id}");
        self.connection.ask(RequestBuilder::new(StripeMethod::Delete, path)).await
    }

    async fn made_between<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        customer: &CustomerId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<T>, StripeError> {
        let query = Fields::from([
            ("customer", customer.to_string()),
            ("created[gte]", from.seconds().to_string()),
            ("created[lte]", to.seconds().to_string()),
            ("limit", PAGE.to_string()),
        ]);
        let page: ObjectList<T> =
            self.connection.ask(RequestBuilder::new(StripeMethod::Get, path).query(&query)).await?;
        Ok(page.data)
    }
}

/// All of it, what is empty too: an empty value unsets.
pub(super) fn address(address: Option<&PostalAddress>) -> OptionalFieldsCustomerAddress {
    let text = |part: Option<&str>| Some(part.unwrap_or_default().to_owned());
    let mut all = OptionalFieldsCustomerAddress::new();
    all.line1 = text(address.map(|address| address.line1.as_str()));
    all.line2 = text(address.and_then(|address| address.line2.as_ref()).map(NonEmptyText::as_str));
    all.city = text(address.and_then(|address| address.city.as_ref()).map(NonEmptyText::as_str));
    all.postal_code =
        text(address.and_then(|address| address.postal_code.as_ref()).map(NonEmptyText::as_str));
    all.state = text(address.and_then(|address| address.state.as_ref()).map(NonEmptyText::as_str));
    all.country = text(address.map(|address| address.country.as_str()));
    all
}
