//! Stripe's objects as far as they are used, read leniently: unknown fields and values are ignored,
//! and what an older or newer version of the API leaves out is simply not there. The same types
//! read the answers to calls and the objects in webhooks.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::error::ErrorDetail;
use crate::domain::ids::PaymentId;
use crate::domain::timestamp::Timestamp;

/// An id that may be expanded into the object, which then stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expandable<T> {
    pub id: String,
    /// The object, if it was expanded and can be read.
    pub object: Option<Box<T>>,
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for Expandable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        if let serde_json::Value::String(id) = value {
            return Ok(Expandable { id, object: None });
        }
        let id = value.get("id").and_then(serde_json::Value::as_str).map(str::to_owned);
        let id = id.ok_or_else(|| serde::de::Error::custom("an object without an id"))?;
        Ok(Expandable { id, object: serde_json::from_value(value).ok().map(Box::new) })
    }
}

/// An object of which nothing but the id is used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NamedObject {
    pub id: String,
}

/// An id, expanded or not.
pub type Id = Expandable<NamedObject>;

pub type Metadata = BTreeMap<String, String>;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ObjectList<T> {
    /// The objects, newest first.
    #[serde(default = "Vec::new")]
    pub data: Vec<T>,
    /// Whether there are more.
    #[serde(default)]
    pub has_more: bool,
}

/// A Checkout Session.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CheckoutSession {
    /// A Stripe ID, `cs_…`.
    pub id: String,
    /// `payment`, `setup`, `subscription`.
    pub mode: Option<String>,
    /// `open`, `complete`, `expired`.
    pub status: Option<String>,
    /// `paid`, `unpaid`, `no_payment_required`.
    pub payment_status: Option<String>,
    /// Where the customer pays; gone once it is not open.
    pub url: Option<String>,
    /// In Unix seconds.
    pub expires_at: Option<i64>,
    /// In cents, tax included.
    pub amount_total: Option<i64>,
    /// Lowercase, such as `usd`.
    pub currency: Option<String>,
    /// Whether it is no test.
    pub livemode: Option<bool>,
    /// A Stripe ID, `cus_…`.
    pub customer: Option<Id>,
    /// A Stripe ID, `pi_…`.
    pub payment_intent: Option<Expandable<PaymentIntent>>,
    /// A Stripe ID, `in_…`.
    pub invoice: Option<Id>,
    /// A Stripe ID, `seti_…`. Only in the mode `setup`.
    pub setup_intent: Option<Id>,
    /// Metadata set by Tollgate.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Metadata,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PaymentIntent {
    /// A Stripe ID, `pi_…`.
    pub id: String,
    /// `succeeded`, `processing`, `requires_action`, `requires_payment_method`, `canceled`, …
    pub status: Option<String>,
    /// What was received, in cents, tax included.
    pub amount_received: Option<i64>,
    /// What is to be paid, in cents, tax included.
    pub amount: Option<i64>,
    /// Lowercase, such as `usd`.
    pub currency: Option<String>,
    /// Whether it is no test.
    pub livemode: Option<bool>,
    /// A Stripe ID, `cus_…`.
    pub customer: Option<Id>,
    /// A Stripe ID, `ch_…`.
    pub latest_charge: Option<Expandable<StripeCharge>>,
    /// A Stripe ID, `pm_…`.
    pub payment_method: Option<Id>,
    /// When it was made, in seconds of Unix time.
    pub created: Option<i64>,
    /// `in_…`, in versions before 2025-03-31.
    pub invoice: Option<Id>,
    /// What the customer has to do.
    pub(crate) next_action: Option<NextAction>,
    /// Why the last attempt failed.
    pub(crate) last_payment_error: Option<ErrorDetail>,
    /// Metadata set by Tollgate.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Metadata,
}

/// What a customer has to do for a payment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct NextAction {
    /// Such as `verify_with_microdeposits`.
    #[serde(rename = "type")]
    kind: Option<String>,
    display_bank_transfer_instructions: Option<BankTransferInstructions>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct BankTransferInstructions {
    /// In cents.
    amount_remaining: Option<i64>,
}

impl PaymentIntent {
    /// Whether money is on its way, a bank account is being verified, or a part of a bank transfer has
    /// come.
    fn is_under_way(&self) -> bool {
        let Some(next) = self.next_action.as_ref() else {
            return self.status.as_deref() == Some("processing");
        };
        let remaining =
            next.display_bank_transfer_instructions.as_ref().and_then(|told| told.amount_remaining);
        next.kind.as_deref() == Some("verify_with_microdeposits")
            || remaining.zip(self.amount).is_some_and(|(remaining, amount)| remaining < amount)
    }

    /// When it was made (UTC), if Stripe says it.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        self.created.and_then(|created| Timestamp::from_seconds(created).ok())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StripeCharge {
    /// A Stripe ID, `ch_…`.
    pub id: String,
    /// `succeeded`, `pending` or `failed`.
    pub status: Option<String>,
    /// In cents, tax included.
    pub amount: Option<i64>,
    /// The sum of the refunds that did not fail, in cents, tax included.
    pub amount_refunded: Option<i64>,
    /// Stripe's page with the receipt.
    pub receipt_url: Option<String>,
    /// A Stripe ID, `pi_…`.
    pub payment_intent: Option<Id>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StripeInvoice {
    /// A Stripe ID, `in_…`.
    pub id: String,
    /// `draft`, `open`, `paid`, `uncollectible`, `void`.
    pub status: Option<String>,
    /// What was paid, in cents, tax included.
    pub amount_paid: Option<i64>,
    /// The sum before tax and discounts, in cents.
    pub subtotal: Option<i64>,
    /// The sum after discounts, in cents, tax included.
    pub total: Option<i64>,
    /// What is to be paid, in cents: the total less what the customer's credit balance pays.
    pub amount_due: Option<i64>,
    /// What is still to be paid, in cents.
    pub amount_remaining: Option<i64>,
    /// By how much credit notes lowered what was to be paid, in cents. Nobody paid that.
    pub pre_payment_credit_notes_amount: Option<i64>,
    /// Lowercase, such as `usd`.
    pub currency: Option<String>,
    /// Whether it is no test.
    pub livemode: Option<bool>,
    /// A Stripe ID, `cus_…`.
    pub customer: Option<Id>,
    /// Stripe's page where the customer can pay it.
    pub hosted_invoice_url: Option<String>,
    /// The same as a file.
    pub invoice_pdf: Option<String>,
    /// What stands on it; gone as long as it is a draft.
    pub number: Option<String>,
    /// `pi_…`, in versions before 2025-03-31.
    pub payment_intent: Option<Expandable<PaymentIntent>>,
    /// How it is or was to be paid; only if it was expanded.
    pub payments: Option<ObjectList<InvoicePayment>>,
    /// Metadata set by Tollgate.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Metadata,
}

impl StripeInvoice {
    #[must_use]
    pub fn is_paid(&self) -> bool {
        self.status.as_deref() == Some("paid")
    }

    /// The payments of the invoice, as far as they were expanded.
    pub fn intents(&self) -> impl Iterator<Item = &PaymentIntent> {
        let listed = self.payments.iter().flat_map(|payments| &payments.data);
        let listed = listed.filter_map(|payment| payment.payment.as_ref()?.payment_intent.as_ref());
        listed.chain(self.payment_intent.as_ref()).filter_map(|intent| intent.object.as_deref())
    }

    /// The payment that paid the invoice. `None` if the customer's credit balance paid it, or it
    /// was paid outside of Stripe.
    #[must_use]
    pub fn paying_intent(&self) -> Option<&Expandable<PaymentIntent>> {
        let payments = self.payments.iter().flat_map(|payments| &payments.data);
        let mut paid = payments.filter(|payment| payment.status.as_deref() == Some("paid"));
        self.payment_intent.as_ref().or_else(|| paid.find_map(intent_of))
    }

    /// The invoice's own ID and the payments that paid it, except for one of them. They are claimed
    /// together, so that an invoice that several payments paid counts once.
    #[must_use]
    pub fn further_ids(&self, payment: &PaymentId) -> Vec<PaymentId> {
        let payments = self.payments.iter().flat_map(|payments| &payments.data);
        let paid = payments.filter(|payment| payment.status.as_deref() == Some("paid"));
        let ids = paid.filter_map(intent_of).map(|intent| &intent.id).chain([&self.id]);
        let mut further: Vec<PaymentId> = ids.filter_map(|id| id.parse().ok()).collect();
        further.retain(|id| id != payment);
        further.sort();
        further.dedup();
        further
    }

    /// The cents with which the invoice was paid, tax included, whoever paid which part. Zero if a
    /// credit note canceled it. `None` if it is not paid yet.
    #[must_use]
    pub fn settled_cents(&self) -> Option<i64> {
        let noted = self.pre_payment_credit_notes_amount.unwrap_or_default();
        self.total.filter(|_| self.is_paid()).map(|total| total - noted)
    }

    /// Whether a credit note lowered what was to be paid.
    #[must_use]
    pub fn is_lowered(&self) -> bool {
        self.pre_payment_credit_notes_amount.is_some_and(|cents| cents > 0)
    }

    /// Whether money for it is on its way, or a part of it has come.
    #[must_use]
    pub fn is_being_paid(&self) -> bool {
        let has_part = self.amount_paid.is_some_and(|paid| paid > 0) && !self.is_paid();
        has_part || self.intents().any(PaymentIntent::is_under_way)
    }

    /// The payment by which it is or was to be paid: the one that paid it if there is one, and a
    /// canceled one only of an invoice that can no longer be paid.
    #[must_use]
    pub fn payment_intent(&self) -> Option<&Expandable<PaymentIntent>> {
        let is_over = matches!(self.status.as_deref(), Some("void" | "uncollectible"));
        let rank = |payment: &&InvoicePayment| match payment.status.as_deref() {
            Some("paid") => 0,
            Some("canceled") => 2,
            Some(_) | None => 1,
        };
        let newer = self.payments.iter().flat_map(|payments| &payments.data);
        let newer =
            newer.filter(|payment| is_over || payment.status.as_deref() != Some("canceled"));
        let newer = newer
            .filter(|payment| intent_of(payment).is_some())
            .min_by_key(rank)
            .and_then(intent_of);
        self.payment_intent.as_ref().or(newer)
    }
}

fn intent_of(payment: &InvoicePayment) -> Option<&Expandable<PaymentIntent>> {
    payment.payment.as_ref()?.payment_intent.as_ref()
}

/// What leads from an invoice to its payments.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct InvoicePayment {
    /// A Stripe ID, `in_…`.
    pub invoice: Option<Expandable<Box<StripeInvoice>>>,
    /// `open`, `paid`, `canceled`.
    pub status: Option<String>,
    pub payment: Option<PaymentOfInvoice>,
}

/// By what an invoice is paid.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PaymentOfInvoice {
    /// A Stripe ID, `pi_…`.
    pub payment_intent: Option<Expandable<PaymentIntent>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StripeRefund {
    /// A Stripe ID, `re_…`.
    pub id: String,
    /// In cents, tax included.
    pub amount: Option<i64>,
    /// Lowercase, such as `usd`.
    pub currency: Option<String>,
    /// `pending`, `requires_action`, `succeeded`, `failed`, `canceled`.
    pub status: Option<String>,
    /// A Stripe ID, `pi_…`.
    pub payment_intent: Option<Id>,
    /// A Stripe ID, `ch_…`.
    pub charge: Option<Id>,
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Metadata,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StripeDispute {
    /// A Stripe ID, `dp_…`.
    pub id: String,
    /// In cents, tax included.
    pub amount: Option<i64>,
    /// Lowercase, such as `usd`.
    pub currency: Option<String>,
    /// `warning_…`, `needs_response`, `under_review`, `won`, `lost`, `prevented`.
    pub status: Option<String>,
    /// A Stripe ID, `pi_…`.
    pub payment_intent: Option<Id>,
    /// A Stripe ID, `ch_…`.
    pub charge: Option<Expandable<StripeCharge>>,
    /// The balance transactions: withdrawals are below zero. Empty for an inquiry.
    #[serde(default, deserialize_with = "or_default")]
    pub balance_transactions: Vec<serde_json::Value>,
}

/// A Radar early fraud warning.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StripeFraudWarning {
    /// A Stripe ID, `issfr_…`.
    pub id: String,
    /// A Stripe ID, `pi_…`.
    pub payment_intent: Option<Id>,
    /// A Stripe ID, `ch_…`.
    pub charge: Option<Id>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PaymentMethod {
    /// A Stripe ID, `pm_…`.
    pub id: String,
    /// `card`, `us_bank_account`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What is known of the card.
    pub card: Option<CardDetails>,
    /// `cus_…`; gone once it is detached.
    pub customer: Option<Id>,
}

/// What is known of a card.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CardDetails {
    /// Such as `visa`.
    pub brand: Option<String>,
    /// The last four digits.
    pub last4: Option<String>,
    /// 1 to 12.
    pub exp_month: Option<u8>,
    pub exp_year: Option<u16>,
    /// The same for the same number.
    pub fingerprint: Option<String>,
    /// `credit`, `debit`, `prepaid`, `unknown`.
    pub funding: Option<String>,
    /// Present for Apple Pay, Google Pay, Link, ….
    pub wallet: Option<serde_json::Value>,
}

impl CardDetails {
    /// `apple_pay`, `google_pay`, …, if the card came from a wallet.
    #[must_use]
    pub fn wallet_name(&self) -> Option<&str> {
        self.wallet.as_ref()?.get("type")?.as_str()
    }
}

/// A tax id of a customer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TaxId {
    /// A Stripe ID, `txi_…`.
    pub id: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// As it was given.
    pub value: Option<String>,
}

/// A session of the customer portal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PortalSession {
    /// A Stripe ID, `bps_…`.
    pub id: String,
    /// Where the customer goes.
    pub url: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StripeCustomer {
    /// A Stripe ID, `cus_…`.
    pub id: String,
    /// Whether it was deleted.
    #[serde(default)]
    pub deleted: bool,
    /// In cents. Below zero it is credit, which pays the next invoices.
    pub balance: Option<i64>,
    /// How its invoices are paid.
    pub invoice_settings: Option<InvoiceSettings>,
    /// Metadata set by Tollgate.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Metadata,
}

/// How a customer's invoices are paid.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct InvoiceSettings {
    /// A Stripe ID, `pm_…`.
    pub default_payment_method: Option<Id>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SetupIntent {
    /// A Stripe ID, `seti_…`.
    pub id: String,
    /// A Stripe ID, `cus_…`.
    pub customer: Option<Id>,
    /// The card that was saved. A Stripe ID, `pm_…`.
    pub payment_method: Option<Id>,
}

/// `null` is the default, too.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A code that some versions write as a number.
pub(super) fn number_or_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().map(str::to_owned).or_else(|| value.as_number().map(ToString::to_string)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invoice_names_its_payment_in_every_version_of_the_api() {
        let newer = r#"{"id":"in_1","payments":{"object":"list","data":[{"id":"inpay_1","invoice":"in_1","payment":{"type":"payment_intent",
            "payment_intent":{"id":"pi_1","status":"succeeded","amount_received":2500,"metadata":null,"new_field":{"a":1}}}}]},"metadata":{"a":"b"}}"#;
        let invoice: StripeInvoice = serde_json::from_str(newer).unwrap();
        let intent = invoice.payment_intent().unwrap();
        assert_eq!(
            (intent.id.as_str(), intent.object.as_ref().unwrap().amount_received),
            ("pi_1", Some(2500))
        );
        let older: StripeInvoice =
            serde_json::from_str(r#"{"id":"in_1","payment_intent":"pi_1"}"#).unwrap();
        assert_eq!(older.payment_intent().unwrap().id, "pi_1");
    }

    #[test]
    fn paid_payment_of_an_invoice_precedes_canceled_ones() {
        let named = |status: &str, payments: &[(&str, &str)]| {
            let payment = |(id, status): &(&str, &str)| serde_json::json!({"id": "inpay_1", "status": status, "payment": {"type": "payment_intent", "payment_intent": id}});
            let data: Vec<serde_json::Value> = payments.iter().map(payment).collect();
            let invoice =
                serde_json::json!({"id": "in_1", "status": status, "payments": {"data": data}});
            let invoice: StripeInvoice = serde_json::from_value(invoice).unwrap();
            invoice.payment_intent().map(|intent| intent.id.clone())
        };
        let three = [("pi_1", "canceled"), ("pi_2", "open"), ("pi_3", "paid")];
        assert_eq!(named("paid", &three).as_deref(), Some("pi_3"));
        assert_eq!(named("open", &three[..2]).as_deref(), Some("pi_2"));
        assert_eq!(named("paid", &three[..1]), None);
        assert_eq!(named("void", &three[..1]).as_deref(), Some("pi_1"));
    }
}
