//! Invoices: those that refills make and pay, and all that a customer is shown, with charges where
//! there is no invoice.

use stripe_billing::invoice::{
    CreateInvoice, CreateInvoiceAutomaticTax, CreateInvoicePendingInvoiceItemsBehavior,
    DeleteInvoice, FinalizeInvoiceInvoice, ListInvoice, PayInvoice, RetrieveInvoice,
    VoidInvoiceInvoice,
};
use stripe_billing::invoice_item::{CreateInvoiceItem, CreateInvoiceItemTaxBehavior};
use stripe_billing::invoice_payment::{
    ListInvoicePayment, ListInvoicePaymentPayment, ListInvoicePaymentPaymentType,
};
use stripe_client_core::{RequestBuilder, StripeMethod, StripeRequest};
use stripe_shared::InvoiceCollectionMethod;
use stripe_types::{Currency, RangeBoundsTs, RangeQueryTs};

use super::{Fields, PAGE, hash};
use crate::domain::account::TaxMode;
use crate::domain::ids::{CardId, CustomerId, PaymentId};
use crate::domain::timestamp::Timestamp;
use crate::stripe::keys::IdempotencyKey;
use crate::stripe::metadata::{Purchase, of_sale};
use crate::stripe::objects::{
    InvoicePayment, NamedObject, ObjectList, StripeCharge, StripeInvoice,
};
use crate::stripe::{Stripe, StripeError};

/// What an invoice is asked for, so that one answer tells how it was paid.
const PAYMENTS: &str = "payments.data.payment.payment_intent";

/// One refill's invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvoice {
    pub customer: CustomerId,
    pub purchase: Purchase,
    /// Whether Stripe computes tax on it.
    pub tax: TaxMode,
}

impl Stripe {
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
            .metadata(hash(of_sale(&new.purchase, self.settings.installation.as_deref())));
        if new.tax == TaxMode::Automatic {
            request = request.automatic_tax(CreateInvoiceAutomaticTax::new(true));
        }
        let mut request = request.build();
        // Else the invoice has the customer's coupon. The SDK cannot send an empty list.
        request.body = request.body.map(|form| format!("{form}&discounts="));
        self.connection.order(request, key).await
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

    /// A customer's invoices made in this time, both ends included, newest first.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn invoices_between(
        &self,
        customer: &CustomerId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<StripeInvoice>, StripeError> {
        let id_of = |invoice: &StripeInvoice| invoice.id.clone();
        self.made("/invoices", customer, (from, Some(to)), id_of).await
    }

    /// A customer's charges made in this time, both ends included, newest first.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn charges_between(
        &self,
        customer: &CustomerId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<StripeCharge>, StripeError> {
        let id_of = |charge: &StripeCharge| charge.id.clone();
        self.made("/charges", customer, (from, Some(to)), id_of).await
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
}
