//! The calls that the product makes. `async-stripe` writes the requests; the answers are read
//! leniently.

mod cards;
mod customers;
mod disputes;
mod invoices;
mod portal;

use std::collections::{BTreeMap, HashMap};

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
use stripe_client_core::{RequestBuilder, StripeMethod, StripeRequest};
use stripe_core::payment_intent::RetrievePaymentIntent;
use stripe_shared::{CheckoutSessionBillingAddressCollection, CheckoutSessionMode};
use stripe_types::Currency;

pub use cards::NewSetupSession;
pub use customers::WriteResult;
pub use invoices::{InvoiceCollection, InvoiceMethod, NewInvoice, NewReceiptInvoice};

use super::keys::IdempotencyKey;
use super::metadata::{Purchase, of_sale};
use super::objects::{CheckoutSession, Metadata, ObjectList, PaymentIntent};
use super::settings::InvoicePolicy;
use super::{Stripe, StripeError};
use crate::domain::account::TaxMode;
use crate::domain::ids::{CustomerId, PaymentId, Sku};
use crate::domain::plans::PlanTerms;
use crate::domain::profile::EmailAddress;
use crate::domain::timestamp::Timestamp;

/// The most objects of one page.
const PAGE: i64 = 100;
/// The most pages that are read of a list: ten thousand objects of one customer are a mistake.
const PAGES_MAX: u32 = 100;
/// Names and values, as a form or a query has them.
type Fields<'a> = BTreeMap<&'a str, String>;

/// A purchase, as the payment page will show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    pub customer: CustomerId,
    pub purchase: Purchase,
    /// Where Stripe sends the receipt.
    pub receipt_email: EmailAddress,
    /// When the page can no longer be used.
    pub expires_at: Timestamp,
    /// Where the customer comes back to.
    pub success_url: String,
    /// The same, without having paid.
    pub cancel_url: String,
    /// What the page says about refills, beside the button.
    pub notice: Option<String>,
}

impl Stripe {
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

    /// A customer's payment pages made since an instant, newest first.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn sessions_since(
        &self,
        customer: &CustomerId,
        since: Timestamp,
    ) -> Result<Vec<CheckoutSession>, StripeError> {
        let id_of = |session: &CheckoutSession| session.id.clone();
        self.made("/checkout/sessions", customer, (since, None), id_of).await
    }

    /// A customer's payments made since an instant, newest first.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn payments_since(
        &self,
        customer: &CustomerId,
        since: Timestamp,
    ) -> Result<Vec<PaymentIntent>, StripeError> {
        let id_of = |intent: &PaymentIntent| intent.id.clone();
        self.made("/payment_intents", customer, (since, None), id_of).await
    }

    /// A customer's objects made in this time, both ends included, newest first.
    async fn made<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        customer: &CustomerId,
        (from, to): (Timestamp, Option<Timestamp>),
        id_of: impl Fn(&T) -> String,
    ) -> Result<Vec<T>, StripeError> {
        self.all(|last: Option<&T>| {
            let mut query = Fields::from([
                ("customer", customer.to_string()),
                ("created[gte]", from.seconds().to_string()),
                ("limit", PAGE.to_string()),
            ]);
            if let Some(to) = to {
                query.insert("created[lte]", to.seconds().to_string());
            }
            if let Some(last) = last {
                query.insert("starting_after", id_of(last));
            }
            RequestBuilder::new(StripeMethod::Get, path).query(&query)
        })
        .await
    }

    fn session(&self, new: &NewSession) -> CreateCheckoutSession {
        let ours = hash(of_sale(&new.purchase, self.settings.installation.as_deref()));
        let mut pricing = CreateCheckoutSessionAdaptivePricing::new();
        pricing.enabled = Some(false);
        let mut request = CreateCheckoutSession::new()
            .mode(CheckoutSessionMode::Payment)
            .customer(new.customer.to_string())
            .client_reference_id(
                new.purchase.account.as_str().chars().take(200).collect::<String>(),
            )
            .line_items(vec![self.line_item(&new.purchase)])
            .payment_intent_data(payment_data(new, ours.clone()))
            .saved_payment_method_options(every_saved_card())
            .wallet_options(without_link())
            .adaptive_pricing(pricing)
            .allow_promotion_codes(false)
            .expires_at(new.expires_at.seconds())
            .success_url(new.success_url.as_str())
            .cancel_url(new.cancel_url.as_str())
            .metadata(ours.clone());
        if self.settings.tax == TaxMode::Automatic {
            request = with_tax(request);
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

    /// The credit as the one item of the page.
    fn line_item(&self, purchase: &Purchase) -> CreateCheckoutSessionLineItems {
        let mut product = ProductData::new(product_name(purchase));
        product.description = purchase.kind.plan().map(bonus_terms);
        let mut price = CreateCheckoutSessionLineItemsPriceData::new(Currency::USD);
        price.unit_amount = purchase.credit.to_cents().ok();
        if self.settings.tax == TaxMode::Automatic {
            price.tax_behavior =
                Some(CreateCheckoutSessionLineItemsPriceDataTaxBehavior::Exclusive);
            product.tax_code.clone_from(&self.settings.tax_code);
        }
        price.product_data = Some(product);
        let mut item = CreateCheckoutSessionLineItems::new();
        (item.price_data, item.quantity) = (Some(price), Some(1));
        item
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

fn product_name(purchase: &Purchase) -> String {
    let credit = purchase.credit;
    match purchase.kind.plan() {
        Some(terms) => format!("Commit plan: ${credit} of credit plus a ${} bonus", terms.bonus),
        None => format!("${credit} of credit"),
    }
}

/// The terms of a plan's bonus, as the page and the invoice show them.
fn bonus_terms(PlanTerms { months, bonus, excludes, .. }: &PlanTerms) -> String {
    let lasting =
        format!("The ${bonus} bonus expires {} months after it is added", u8::from(*months));
    if excludes.is_empty() {
        return format!("{lasting}. The credit you pay for never expires.");
    }
    let names: Vec<&str> = excludes.iter().map(Sku::as_str).collect();
    format!(
        "{lasting} and does not pay for {}. The credit you pay for never expires.",
        names.join(", ")
    )
}

fn payment_data(
    new: &NewSession,
    metadata: HashMap<String, String>,
) -> CreateCheckoutSessionPaymentIntentData {
    let mut payment = CreateCheckoutSessionPaymentIntentData::new();
    payment.description = Some(match new.purchase.kind.plan() {
        Some(_) => format!("Commit plan ${}", new.purchase.credit),
        None => format!("Top-up ${}", new.purchase.credit),
    });
    payment.receipt_email = Some(new.receipt_email.as_str().to_owned());
    payment.metadata = Some(metadata);
    payment.setup_future_usage =
        Some(CreateCheckoutSessionPaymentIntentDataSetupFutureUsage::OffSession);
    payment
}

/// Without this, a card that was saved is not offered the next time.
fn every_saved_card() -> CreateCheckoutSessionSavedPaymentMethodOptions {
    let mut saved = CreateCheckoutSessionSavedPaymentMethodOptions::new();
    saved.allow_redisplay_filters =
        Some(vec![Redisplay::Always, Redisplay::Limited, Redisplay::Unspecified]);
    saved
}

/// Link would hide fingerprint and funding of the card.
fn without_link() -> CreateCheckoutSessionWalletOptions {
    let mut link = CreateCheckoutSessionWalletOptionsLink::new();
    link.display = Some(CreateCheckoutSessionWalletOptionsLinkDisplay::Never);
    let mut wallets = CreateCheckoutSessionWalletOptions::new();
    wallets.link = Some(link);
    wallets
}

/// Tax is computed from the address, which the page then asks for.
fn with_tax(request: CreateCheckoutSession) -> CreateCheckoutSession {
    let mut update = CreateCheckoutSessionCustomerUpdate::new();
    update.address = Some(CreateCheckoutSessionCustomerUpdateAddress::Auto);
    update.name = Some(CreateCheckoutSessionCustomerUpdateName::Auto);
    request
        .automatic_tax(CreateCheckoutSessionAutomaticTax::new(true))
        .billing_address_collection(CheckoutSessionBillingAddressCollection::Required)
        .customer_update(update)
        .tax_id_collection(CreateCheckoutSessionTaxIdCollection::new(true))
}

fn hash(map: Metadata) -> HashMap<String, String> {
    map.into_iter().collect()
}
