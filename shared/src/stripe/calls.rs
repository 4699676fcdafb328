//! The calls that the product makes. `async-stripe` writes the requests; the answers are read
//! leniently.

pub(crate) mod pages;

use std::collections::HashMap;

use stripe_billing::invoice::{
    CreateInvoice, CreateInvoiceAutomaticTax, CreateInvoicePendingInvoiceItemsBehavior,
    DeleteInvoice, FinalizeInvoiceInvoice, ListInvoice, PayInvoice, RetrieveInvoice,
    VoidInvoiceInvoice,
};
use stripe_billing::invoice_item::{CreateInvoiceItem, CreateInvoiceItemTaxBehavior};
use stripe_billing::invoice_payment::{
    ListInvoicePayment, ListInvoicePaymentPayment, ListInvoicePaymentPaymentType,
};
use stripe_checkout::checkout_session::{
    CreateCheckoutSession, CreateCheckoutSessionAdaptivePricing, CreateCheckoutSessionAutomaticTax,
    CreateCheckoutSessionCustomText, CreateCheckoutSessionCustomerUpdate,
    CreateCheckoutSessionCustomerUpdateAddress, CreateCheckoutSessionCustomerUpdateName,
    CreateCheckoutSessionInvoiceCreation, CreateCheckoutSessionInvoiceCreationInvoiceData,
    CreateCheckoutSessionLineItems, CreateCheckoutSessionLineItemsPriceData,
    CreateCheckoutSessionLineItemsPriceDataTaxBehavior, CreateCheckoutSessionPaymentIntentData,
    CreateCheckoutSessionPaymentIntentDataSetupFutureUsage,
    CreateCheckoutSessionSavedPaymentMethodOptions,
    CreateCheckoutSessionSavedPaymentMethodOptionsAllowRedisplayFilters as Redisplay,
    CreateCheckoutSessionTaxIdCollection, CreateCheckoutSessionWalletOptions,
    CreateCheckoutSessionWalletOptionsLink, CreateCheckoutSessionWalletOptionsLinkDisplay,
    CustomTextPositionParam, ExpireCheckoutSession, ProductData, RetrieveCheckoutSession,
};
use stripe_client_core::{RequestBuilder, StripeRequest};
use stripe_core::customer::{
    CreateCustomer, CreateCustomerTax, CreateCustomerTaxValidateLocation,
    ListPaymentMethodsCustomer, ListPaymentMethodsCustomerType, RetrieveCustomer, UpdateCustomer,
    UpdateCustomerInvoiceSettings,
};
use stripe_core::payment_intent::RetrievePaymentIntent;
use stripe_shared::{
    CheckoutSessionBillingAddressCollection, CheckoutSessionMode, InvoiceCollectionMethod,
};
use stripe_types::{Currency, RangeBoundsTs, RangeQueryTs};

use super::keys::IdempotencyKey;
use super::metadata::{self, Purchase};
use super::objects::{
    CheckoutSession, InvoicePayment, Metadata, NamedObject, ObjectList, PaymentIntent,
    PaymentMethod, StripeCustomer, StripeInvoice,
};
use super::settings::InvoicePolicy;
use super::{Stripe, StripeError};
use crate::domain::account::TaxMode;
use crate::domain::ids::{AccountId, CardId, CustomerId, PaymentId};
use crate::domain::profile::{CompanyDetails, EmailAddress};
use crate::domain::timestamp::Timestamp;
use crate::stripe::calls::pages::address;

/// The most objects of one page.
const PAGE: i64 = 100;
/// The most pages that are read of a list: ten thousand objects of one customer are a mistake.
const PAGES_MAX: u32 = 100;
/// What an invoice is asked for, so that one answer tells how it was paid.
const PAYMENTS: &str = "payments.data.payment.payment_intent";

/// A top-up, as the payment page will show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// Who pays.
    pub customer: CustomerId,
    /// What is bought.
    pub purchase: Purchase,
    /// When the page can no longer be used.
    pub expires_at: Timestamp,
    /// Where the customer comes back to.
    pub success_url: String,
    /// The same, without having paid.
    pub cancel_url: String,
    /// What the page says about refills, beside the button.
    pub notice: Option<String>,
}

/// One refill's invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvoice {
    /// Who pays.
    pub customer: CustomerId,
    /// What is bought.
    pub purchase: Purchase,
    /// Whether Stripe computes tax on it.
    pub tax: TaxMode,
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

    /// Makes a payment page.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn create_session(
        &self,
        new: &NewSession,
        key: &IdempotencyKey,
    ) -> Result<CheckoutSession, StripeError> {
        let mut request = self.session(new).build();
        // `async-stripe` is written from a later version of the API, where this parameter has
        // another name.
        let body = request.body.get_or_insert_default();
        for (place, method) in self.settings.payment_methods.iter().enumerate() {
            body.push_str(&format!("&payment_method_types[{place}]={method}"));
        }
        self.connection.order(request, key).await
    }

    /// A payment page, with its payment.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn retrieve_session(&self, session: &str) -> Result<CheckoutSession, StripeError> {
        let request =
            RetrieveCheckoutSession::new(session).expand(vec!["payment_intent".to_owned()]);
        self.connection.ask(request.build()).await
    }

    /// Ends a payment page. One that is not open is rejected.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn expire_session(&self, session: &str) -> Result<CheckoutSession, StripeError> {
        self.connection.ask(ExpireCheckoutSession::new(session).build()).await
    }

    /// A payment.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn payment_intent(&self, payment: &PaymentId) -> Result<PaymentIntent, StripeError> {
        self.connection.ask(RetrievePaymentIntent::new(payment.as_str()).build()).await
    }

    /// Makes the draft of a refill's invoice.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn create_invoice(
        &self,
        new: &NewInvoice,
        key: &IdempotencyKey,
    ) -> Result<StripeInvoice, StripeError> {
        let mut request = CreateInvoice::new()
            .customer(new.customer.to_string())
            .auto_advance(false)
            .pending_invoice_items_behavior(CreateInvoicePendingInvoiceItemsBehavior::Exclude)
            .collection_method(InvoiceCollectionMethod::ChargeAutomatically)
            .currency(Currency::USD)
            .metadata(hash(new.purchase.write()));
        if new.tax == TaxMode::Automatic {
            request = request.automatic_tax(CreateInvoiceAutomaticTax::new(true));
        }
        self.connection.order(request.build(), key).await
    }

    /// Puts the credit on a draft.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn create_invoice_item(
        &self,
        invoice: &str,
        new: &NewInvoice,
        key: &IdempotencyKey,
    ) -> Result<NamedObject, StripeError> {
        let mut request = CreateInvoiceItem::new()
            .customer(new.customer.to_string())
            .invoice(invoice)
            .amount(new.purchase.credit.to_cents().unwrap_or_default())
            .currency(Currency::USD)
            .description(format!("Auto-refill ${}", new.purchase.credit));
        if new.tax == TaxMode::Automatic {
            request = request.tax_behavior(CreateInvoiceItemTaxBehavior::Exclusive);
            if let Some(code) = &self.settings.tax_code {
                request = request.tax_code(code.as_str());
            }
        }
        self.connection.order(request.build(), key).await
    }

    /// Makes a draft final.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn finalize_invoice(
        &self,
        invoice: &str,
        key: &IdempotencyKey,
    ) -> Result<StripeInvoice, StripeError> {
        self.connection
            .order(FinalizeInvoiceInvoice::new(invoice).auto_advance(false).build(), key)
            .await
    }

    /// Charges a card for an invoice, without its owner.
    ///
    /// # Errors
    /// [`StripeError`]; a decline is [`StripeError::Declined`].
    pub async fn pay_invoice(
        &self,
        invoice: &str,
        card: &CardId,
        key: &IdempotencyKey,
    ) -> Result<StripeInvoice, StripeError> {
        let request = PayInvoice::new(invoice).off_session(true).payment_method(card.as_str());
        self.connection.order(request.expand(vec![PAYMENTS.to_owned()]).build(), key).await
    }

    /// Makes an invoice unpayable. One that is paid is rejected.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn void_invoice(&self, invoice: &str) -> Result<StripeInvoice, StripeError> {
        self.connection.ask(VoidInvoiceInvoice::new(invoice).build()).await
    }

    /// Deletes a draft. What is final is rejected.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn delete_invoice(&self, invoice: &str) -> Result<NamedObject, StripeError> {
        self.connection.ask(DeleteInvoice::new(invoice).build()).await
    }

    /// An invoice, and how it was or is to be paid.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn invoice(&self, invoice: &str) -> Result<StripeInvoice, StripeError> {
        self.connection
            .ask(RetrieveInvoice::new(invoice).expand(vec![PAYMENTS.to_owned()]).build())
            .await
    }

    /// All invoices of a customer made since an instant, newest first. (Lists cannot be filtered by
    /// metadata, and searching lags behind.)
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn invoices_since(
        &self,
        customer: &CustomerId,
        since: Timestamp,
    ) -> Result<Vec<StripeInvoice>, StripeError> {
        let created = RangeBoundsTs { gte: Some(since.seconds()), ..RangeBoundsTs::default() };
        let request = ListInvoice::new()
            .customer(customer.to_string())
            .created(RangeQueryTs::Bounds(created))
            .limit(PAGE);
        self.all(|last: Option<&StripeInvoice>| match last {
            Some(last) => request.clone().starting_after(last.id.as_str()).build(),
            None => request.build(),
        })
        .await
    }

    /// What leads from a payment to the invoice it pays.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn invoice_payments_of(
        &self,
        payment: &PaymentId,
    ) -> Result<ObjectList<InvoicePayment>, StripeError> {
        let mut of = ListInvoicePaymentPayment::new(ListInvoicePaymentPaymentType::PaymentIntent);
        of.payment_intent = Some(payment.to_string());
        let request = ListInvoicePayment::new().payment(of);
        self.connection.ask(request.build()).await
    }

    fn session(&self, new: &NewSession) -> CreateCheckoutSession {
        let ours = hash(new.purchase.write());
        let mut product = ProductData::new(format!("${} of credit", new.purchase.credit));
        let mut price = CreateCheckoutSessionLineItemsPriceData::new(Currency::USD);
        price.unit_amount = new.purchase.credit.to_cents().ok();
        let is_taxed = self.settings.tax == TaxMode::Automatic;
        if is_taxed {
            price.tax_behavior =
                Some(CreateCheckoutSessionLineItemsPriceDataTaxBehavior::Exclusive);
            product.tax_code.clone_from(&self.settings.tax_code);
        }
        price.product_data = Some(product);
        let mut item = CreateCheckoutSessionLineItems::new();
        (item.price_data, item.quantity) = (Some(price), Some(1));

        let mut payment = CreateCheckoutSessionPaymentIntentData::new();
        payment.description = Some(format!("Top-up ${}", new.purchase.credit));
        payment.metadata = Some(ours.clone());
        payment.setup_future_usage =
            Some(CreateCheckoutSessionPaymentIntentDataSetupFutureUsage::OffSession);

        // Without this, a card that was saved is not offered the next time.
        let mut saved = CreateCheckoutSessionSavedPaymentMethodOptions::new();
        saved.allow_redisplay_filters =
            Some(vec![Redisplay::Always, Redisplay::Limited, Redisplay::Unspecified]);
        // Link would hide fingerprint and funding of the card.
        let mut link = CreateCheckoutSessionWalletOptionsLink::new();
        link.display = Some(CreateCheckoutSessionWalletOptionsLinkDisplay::Never);
        let mut wallets = CreateCheckoutSessionWalletOptions::new();
        wallets.link = Some(link);
        let mut pricing = CreateCheckoutSessionAdaptivePricing::new();
        pricing.enabled = Some(false);

        let mut request = CreateCheckoutSession::new()
            .mode(CheckoutSessionMode::Payment)
            .customer(new.customer.to_string())
            .client_reference_id(
                new.purchase.account.as_str().chars().take(200).collect::<String>(),
            )
            .line_items(vec![item])
            .payment_intent_data(payment)
            .saved_payment_method_options(saved)
            .wallet_options(wallets)
            .adaptive_pricing(pricing)
            .allow_promotion_codes(false)
            .expires_at(new.expires_at.seconds())
            .success_url(new.success_url.as_str())
            .cancel_url(new.cancel_url.as_str())
            .metadata(ours.clone());
        if is_taxed {
            let mut update = CreateCheckoutSessionCustomerUpdate::new();
            update.address = Some(CreateCheckoutSessionCustomerUpdateAddress::Auto);
            update.name = Some(CreateCheckoutSessionCustomerUpdateName::Auto);
            request = request
                .automatic_tax(CreateCheckoutSessionAutomaticTax::new(true))
                .billing_address_collection(CheckoutSessionBillingAddressCollection::Required)
                .customer_update(update)
                .tax_id_collection(CreateCheckoutSessionTaxIdCollection::new(true));
        }
        if self.settings.invoices == InvoicePolicy::On {
            let mut data = CreateCheckoutSessionInvoiceCreationInvoiceData::new();
            data.metadata = Some(ours);
            let mut creation = CreateCheckoutSessionInvoiceCreation::new(true);
            creation.invoice_data = Some(data);
            request = request.invoice_creation(creation);
        }
        if let Some(notice) = &new.notice {
            let mut text = CreateCheckoutSessionCustomText::new();
            text.submit = Some(CustomTextPositionParam::new(notice.as_str()));
            request = request.custom_text(text);
        }
        request
    }

    /// All pages of a list; the request is written by what the last page ended with.
    async fn all<T>(
        &self,
        request: impl Fn(Option<&T>) -> RequestBuilder,
    ) -> Result<Vec<T>, StripeError>
    where
        T: serde::de::DeserializeOwned,
    {
        let mut all: Vec<T> = Vec::new();
        for _ in 0..PAGES_MAX {
            let page: ObjectList<T> = self.connection.ask(request(all.last())).await?;
            let is_last = !page.has_more || page.data.is_empty();
            all.extend(page.data);
            if is_last {
                break;
            }
        }
        Ok(all)
    }
}

fn hash(map: Metadata) -> HashMap<String, String> {
    map.into_iter().collect()
}
