//! Customers, and what their invoices say of them.
//!
//! Written out where `async-stripe` would need a feature, and minutes of compiling, for one short
//! request.

use stripe_client_core::{RequestBuilder, StripeMethod, StripeRequest};
use stripe_core::customer::{
    CreateCustomer, CreateCustomerTax, CreateCustomerTaxValidateLocation, DeleteCustomer,
    OptionalFieldsCustomerAddress, RetrieveCustomer, UpdateCustomer, UpdateCustomerTax,
    UpdateCustomerTaxValidateLocation,
};

use super::{Fields, PAGE, hash};
use crate::domain::account::TaxMode;
use crate::domain::ids::{AccountId, CustomerId};
use crate::domain::profile::{
    CompanyDetails, EmailAddress, NonEmptyText, PostalAddress, TaxNumber,
};
use crate::stripe::keys::IdempotencyKey;
use crate::stripe::metadata;
use crate::stripe::objects::{NamedObject, ObjectList, StripeCustomer, TaxId};
use crate::stripe::{Stripe, StripeError};

/// Whether Stripe is told of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// As it stands here, also that there is none.
    AsItIs,
    /// Nothing: what the customer typed at the payment page stays.
    Nothing,
}

impl Stripe {
    /// Makes a customer; its tax id is added later.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn create_customer(
        &self,
        account: &AccountId,
        email: &EmailAddress,
        company: &CompanyDetails,
        key: &IdempotencyKey,
    ) -> Result<NamedObject, StripeError> {
        let mut request = CreateCustomer::new()
            .email(email.as_str())
            .metadata(hash(metadata::of_account(account)));
        if let Some(name) = &company.name {
            request = request.name(name.as_str());
        }
        if company.address.is_some() {
            request = request.address(address(company.address.as_ref()));
            if self.settings.tax == TaxMode::Automatic {
                let mut tax = CreateCustomerTax::new();
                tax.validate_location = Some(CreateCustomerTaxValidateLocation::Immediately);
                request = request.tax(tax);
            }
        }
        self.connection.order(request.build(), key).await
    }

    /// A customer, or what is left of it.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn customer(&self, customer: &CustomerId) -> Result<StripeCustomer, StripeError> {
        self.connection.ask(RetrieveCustomer::new(customer.as_str()).build()).await
    }

    /// Deletes a customer with its cards, for ever. Payments and invoices stay.
    ///
    /// # Errors
    /// [`StripeError`]; [`StripeError::NotFound`] if it is deleted.
    pub async fn delete_customer(&self, customer: &CustomerId) -> Result<NamedObject, StripeError> {
        self.connection.ask(DeleteCustomer::new(customer.as_str()).build()).await
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
}

/// All of it, what is empty too: an empty value unsets.
fn address(address: Option<&PostalAddress>) -> OptionalFieldsCustomerAddress {
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
