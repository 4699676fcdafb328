//! Invoices: those that refills make and pay, and all that a customer is shown, with charges where
//! there is no invoice.

use serde::{Deserialize, Serialize};
use stripe_billing::invoice::{
    CreateInvoice, CreateInvoiceAutomaticTax, CreateInvoicePendingInvoiceItemsBehavior,
    DeleteInvoice, FinalizeInvoiceInvoice, ListInvoice, PayInvoice, RetrieveInvoice,
    SendInvoiceInvoice, VoidInvoiceInvoice,
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
use crate::domain::ids::{AccountId, CardId, CustomerId, PaymentId};
use crate::domain::timestamp::Timestamp;
use crate::stripe::keys::IdempotencyKey;
use crate::stripe::metadata::{self, Purchase, of_sale};
use crate::stripe::objects::{
    InvoicePayment, NamedObject, ObjectList, StripeCharge, StripeInvoice,
};
use crate::stripe::{Stripe, StripeError};

/// What an invoice is asked for, so that one answer tells how it was paid.
const PAYMENTS: &str = "payments.data.payment.payment_intent";

/// The invoice of a refill or of staff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvoice {
    pub customer: CustomerId,
    pub purchase: Purchase,
    /// Whether Stripe computes tax on it.
    pub tax: TaxMode,
    pub collection: InvoiceCollection,
}

/// How an invoice is paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvoiceCollection {
    /// We charge a saved card.
    Charged,
    /// The customer gets it, and pays in so many days.
    Sent { due_days: u32, methods: Vec<InvoiceMethod> },
}

/// How a customer can pay an invoice that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceMethod {
    BankTransfer,
    /// A debit of an account in the United States (ACH).
    UsBankAccount,
    Card,
}

impl InvoiceMethod {
    pub const ALL: [InvoiceMethod; 3] =
        [InvoiceMethod::BankTransfer, InvoiceMethod::UsBankAccount, InvoiceMethod::Card];

    /// As Stripe names it.
    fn at_stripe(self) -> &'static str {
        match self {
            InvoiceMethod::BankTransfer => "customer_balance",
            InvoiceMethod::UsBankAccount => "us_bank_account",
            InvoiceMethod::Card => "card",
        }
    }
}

/// The invoice of a payment that was made without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReceiptInvoice {
    pub customer: CustomerId,
    pub account: AccountId,
    pub payment: PaymentId,
    pub credit_cents: i64,
    /// Tax included.
    pub received_cents: i64,
    pub paid_at: Timestamp,
}

/// A line of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceLine {
    pub cents: i64,
    description: String,
}

impl NewReceiptInvoice {
    /// The lines, each with a name that no other has. Tax is what was charged.
    #[must_use]
    pub fn lines(&self) -> Vec<(&'static str, InvoiceLine)> {
        let day: String = self.paid_at.to_string().chars().take(10).collect();
        let credit = InvoiceLine {
            cents: self.credit_cents,
            description: format!("Prepaid credit, paid on {day} (payment {})", self.payment),
        };
        let tax = self.received_cents - self.credit_cents;
        let tax = (tax > 0).then(|| InvoiceLine { cents: tax, description: "Tax".to_owned() });
        std::iter::once(("credit", credit)).chain(tax.map(|tax| ("tax", tax))).collect()
    }
}

/// Else the invoice has the customer's coupon. The SDK cannot send an empty list.
const WITHOUT_COUPON: &str = "&discounts=";

/// The SDK is written from a later version of the API, in which these parameters have another form.
fn methods_form(methods: &[InvoiceMethod]) -> String {
    let mut form = String::new();
    for (place, method) in methods.iter().enumerate() {
        let name = method.at_stripe();
        form.push_str(&format!("&payment_settings[payment_method_types][{place}]={name}"));
    }
    if methods.contains(&InvoiceMethod::BankTransfer) {
        let options = "payment_settings[payment_method_options][customer_balance]";
        form.push_str(&format!("&{options}[funding_type]=bank_transfer"));
        form.push_str(&format!("&{options}[bank_transfer][type]=us_bank_transfer"));
    }
    form
}

fn with_form(mut request: RequestBuilder, form: &str) -> RequestBuilder {
    request.body = request.body.map(|body| format!("{body}{form}"));
    request
}

impl Stripe {
    /// Makes a draft.
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
            .currency(Currency::USD)
            .metadata(hash(of_sale(&new.purchase, self.settings.installation.as_deref())));
        if new.tax == TaxMode::Automatic {
            request = request.automatic_tax(CreateInvoiceAutomaticTax::new(true));
        }
        request = match &new.collection {
            InvoiceCollection::Charged => {
                request.collection_method(InvoiceCollectionMethod::ChargeAutomatically)
            }
            InvoiceCollection::Sent { due_days, .. } => request
                .collection_method(InvoiceCollectionMethod::SendInvoice)
                .days_until_due(*due_days),
        };
        let mut form = WITHOUT_COUPON.to_owned();
        if let InvoiceCollection::Sent { methods, .. } = &new.collection {
            form.push_str(&methods_form(methods));
        }
        self.connection.order(with_form(request.build(), &form), key).await
    }

    /// Makes the draft of a receipt's invoice. Its metadata buys nothing.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn create_receipt_invoice(
        &self,
        new: &NewReceiptInvoice,
        key: &IdempotencyKey,
    ) -> Result<StripeInvoice, StripeError> {
        let ours = metadata::of_receipt(&new.account, &new.payment);
        let ours = metadata::of_installation(ours, self.settings.installation.as_deref());
        let request = CreateInvoice::new()
            .customer(new.customer.to_string())
            .auto_advance(false)
            .pending_invoice_items_behavior(CreateInvoicePendingInvoiceItemsBehavior::Exclude)
            .collection_method(InvoiceCollectionMethod::ChargeAutomatically)
            .currency(Currency::USD)
            .metadata(hash(ours));
        self.connection.order(with_form(request.build(), WITHOUT_COUPON), key).await
    }

    /// Puts a line on the draft of a receipt's invoice.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn create_receipt_item(
        &self,
        invoice: &str,
        new: &NewReceiptInvoice,
        line: &InvoiceLine,
        key: &IdempotencyKey,
    ) -> Result<NamedObject, StripeError> {
        let request = CreateInvoiceItem::new()
            .customer(new.customer.to_string())
            .invoice(invoice)
            .amount(line.cents)
            .currency(Currency::USD)
            .description(line.description.as_str());
        self.connection.order(request.build(), key).await
    }

    /// Sends an open invoice to its customer.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn send_invoice(
        &self,
        invoice: &str,
        key: &IdempotencyKey,
    ) -> Result<StripeInvoice, StripeError> {
        self.connection.order(SendInvoiceInvoice::new(invoice).build(), key).await
    }

    /// Marks an invoice as paid outside of Stripe. No money moves.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn mark_paid(
        &self,
        invoice: &str,
        key: &IdempotencyKey,
    ) -> Result<StripeInvoice, StripeError> {
        self.connection.order(PayInvoice::new(invoice).paid_out_of_band(true).build(), key).await
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
            .description(match new.collection {
                InvoiceCollection::Charged => format!("Auto-refill ${}", new.purchase.credit),
                InvoiceCollection::Sent { .. } => {
                    format!("Prepaid credit, ${}", new.purchase.credit)
                }
            });
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
