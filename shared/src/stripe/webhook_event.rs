//! What a webhook's event means to us.
//!
//! | event | means |
//! |---|---|
//! | `payment_intent.succeeded`, `checkout.session.completed` (paid), `checkout.session.async_payment_succeeded`, `invoice.paid` | [`StripeNews::Paid`] |
//! | `checkout.session.completed` (unpaid), `payment_intent.processing` | [`StripeNews::Pending`] |
//! | `checkout.session.async_payment_failed`, `payment_intent.canceled` | [`StripeNews::Ended`] |
//! | `refund.created`, `.updated`, `.failed` | [`StripeNews::Refund`] |
//! | `charge.dispute.created`, `.funds_withdrawn`, `.updated`, `.closed`, `.funds_reinstated` | [`StripeNews::Dispute`] |
//! | `radar.early_fraud_warning.created` | [`StripeNews::FraudWarning`] |
//! | `payment_method.*`, `customer.updated`, `setup_intent.succeeded`, `checkout.session.completed` (setup) | [`StripeNews::Cards`] |
//! | `checkout.session.completed` (setup, for a trial) | [`StripeNews::TrialPage`] |
//! | `customer.deleted` | [`StripeNews::CustomerGone`] |
//! | anything else | [`StripeNews::Ignored`] |

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::metadata::{self, Purchase, RefundName, TrialOffer};
use super::objects::{
    CheckoutSession, Expandable, Id, PaymentIntent, PaymentMethod, SetupIntent, StripeDispute,
    StripeFraudWarning, StripeInvoice, StripeRefund,
};
use crate::domain::event::PendingEnd;
use crate::domain::ids::{AccountId, CustomerId, DisputeId, FraudWarningId, PaymentId, RefundId};

/// The events that matter, and the only place where they are listed: `stripe-setup` asks Stripe for
/// exactly these, and what is not among them is ignored.
pub const EVENTS: [&str; 23] = [
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "customer.deleted",
    "customer.updated",
    "invoice.paid",
    "payment_intent.canceled",
    "payment_intent.processing",
    "payment_intent.succeeded",
    "payment_method.attached",
    "payment_method.automatically_updated",
    "payment_method.detached",
    "payment_method.updated",
    "radar.early_fraud_warning.created",
    "refund.created",
    "refund.failed",
    "refund.updated",
    "setup_intent.succeeded",
];

/// What would be said of an event that is listed and nothing reads.
const UNREAD: &str = "it is subscribed to but not handled";

/// An event as Stripe tells it.
#[derive(Clone, Debug, Deserialize)]
pub struct StripeEvent {
    /// `evt_…`: Stripe keeps it for 30 days.
    pub id: String,
    /// Such as `payment_intent.succeeded`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is no test.
    pub livemode: Option<bool>,
    data: Data,
}

#[derive(Clone, Debug, Deserialize)]
struct Data {
    object: Value,
    previous_attributes: Option<Value>,
}

/// An event that matters cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event {id} ({kind}) cannot be parsed: {why}")]
pub struct EventError {
    /// The event, if it has an id.
    pub id: String,
    pub kind: String,
    pub why: String,
}

/// What an event means to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StripeNews {
    Paid(PaidPayment),
    /// A delayed payment was promised.
    Pending(PromisedPayment),
    /// A delayed payment will not come.
    Ended(EndedPayment),
    /// Money goes back to a customer, or came back.
    Refund(RefundNews),
    /// A customer disputes a payment.
    Dispute(DisputeNews),
    /// A card's issuer reported a payment as probably fraudulent.
    FraudWarning(FraudWarningNews),
    /// Something about a customer's cards.
    Cards {
        customer: CustomerId,
    },
    /// A page saved a card, and a trial starts with it.
    TrialPage(Box<CheckoutSession>),
    /// A customer was deleted at Stripe.
    CustomerGone {
        customer: CustomerId,
    },
    /// Understood, and nothing to us.
    Ignored,
}

/// Money that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidPayment {
    /// Which payment; `None` if the event does not say.
    pub payment: Option<PaymentId>,
    /// The invoice that was paid, and its further payments.
    pub also: Vec<PaymentId>,
    /// In cents, tax included.
    pub received_cents: i64,
    /// Lowercase, such as `usd`.
    pub currency: String,
    /// Whether the money is real; `None` if the event does not say.
    pub livemode: Option<bool>,
    pub customer: Option<CustomerId>,
    /// What it buys; `None` if the object does not carry it.
    pub purchase: Option<Purchase>,
    /// The installation in the metadata. `None` if the metadata name none.
    pub installation: Option<String>,
    /// What else the payment is known by.
    pub ids: StripeIds,
}

/// The other ids of a payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StripeIds {
    /// A Stripe ID, `cs_…`.
    pub session: Option<String>,
    /// A Stripe ID, `ch_…`.
    pub charge: Option<String>,
    /// A Stripe ID, `in_…`.
    pub invoice: Option<String>,
}

/// A delayed payment that was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromisedPayment {
    pub payment: PaymentId,
    /// What it will buy.
    pub purchase: Purchase,
    pub customer: Option<CustomerId>,
    /// The installation in the metadata. `None` if the metadata name none.
    pub installation: Option<String>,
    /// What else it is known by.
    pub ids: StripeIds,
}

/// A delayed payment that will not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedPayment {
    pub payment: PaymentId,
    pub account: AccountId,
    pub customer: Option<CustomerId>,
    /// The installation in the metadata. `None` if the metadata name none.
    pub installation: Option<String>,
    pub how: PendingEnd,
}

/// Money that goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundNews {
    pub refund: RefundId,
    /// Of which payment; `None` if the event names only the charge.
    pub payment: Option<PaymentId>,
    pub charge: Option<String>,
    /// In cents, tax included.
    pub cents: i64,
    /// Whether it goes, or will not go after all.
    pub course: RefundCourse,
    /// Of a refund by staff. `None` of a refund in Stripe's Dashboard.
    pub by_staff: Option<RefundName>,
}

/// What became of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundCourse {
    /// It is on its way, or has arrived.
    Goes,
    /// It failed or was cancelled.
    CameBack,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeNews {
    pub dispute: DisputeId,
    /// Of which payment; `None` if the event names only the charge.
    pub payment: Option<PaymentId>,
    pub charge: Option<String>,
    /// In cents, tax included. It may exceed the charge.
    pub cents: i64,
    /// The steps to record under row format 2, in this order. From format 3 on, the dispute is
    /// retrieved from Stripe instead: an event is a snapshot of its time.
    pub steps: Vec<DisputeStep>,
}

/// An early fraud warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FraudWarningNews {
    pub warning: FraudWarningId,
    /// `None` if the event names only the charge.
    pub payment: Option<PaymentId>,
    pub charge: Option<String>,
}

/// What is to be recorded of a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisputeStep {
    /// The account is frozen.
    Open,
    /// The money was taken.
    Debit,
    /// The money came back.
    Reversal,
    /// The bank decided for us.
    Won,
    /// The bank decided for the customer.
    Lost,
}

impl StripeEvent {
    /// Reads an event whose signature was verified.
    ///
    /// # Errors
    /// [`EventError`]
    pub fn read(body: &[u8]) -> Result<StripeEvent, EventError> {
        serde_json::from_slice(body).map_err(|error| {
            // What can be said of it, so that somebody may find it at Stripe.
            let value: Value = serde_json::from_slice(body).unwrap_or_default();
            let text = |name: &str| {
                value.get(name).and_then(Value::as_str).unwrap_or("unknown").to_owned()
            };
            EventError { id: text("id"), kind: text("type"), why: error.to_string() }
        })
    }

    /// What it means.
    ///
    /// # Errors
    /// [`EventError`] if it matters and lacks what is needed.
    pub fn news(&self) -> Result<StripeNews, EventError> {
        self.meaning().map_err(|why| EventError {
            id: self.id.clone(),
            kind: self.kind.clone(),
            why,
        })
    }

    fn meaning(&self) -> Result<StripeNews, String> {
        if !EVENTS.contains(&self.kind.as_str()) {
            return Ok(StripeNews::Ignored);
        }
        match self.kind.as_str() {
            "payment_intent.succeeded" => {
                Ok(StripeNews::Paid(paid_intent(&self.object()?, self.livemode)?))
            }
            "payment_intent.processing" => self.promised_intent(),
            "payment_intent.canceled" => self.ended_intent(),
            "checkout.session.completed" => self.session_completed(),
            "checkout.session.async_payment_succeeded" => self.session_paid(&self.object()?),
            "checkout.session.async_payment_failed" => self.ended_session(),
            "invoice.paid" => self.paid_invoice(),
            "refund.created" | "refund.updated" | "refund.failed" => refund(&self.object()?),
            "charge.dispute.created"
            | "charge.dispute.funds_withdrawn"
            | "charge.dispute.updated"
            | "charge.dispute.closed"
            | "charge.dispute.funds_reinstated" => dispute(&self.object()?, &self.kind),
            "radar.early_fraud_warning.created" => fraud_warning(&self.object()?),
            "payment_method.attached"
            | "payment_method.detached"
            | "payment_method.updated"
            | "payment_method.automatically_updated" => self.card(),
            "customer.updated" => Ok(StripeNews::Cards { customer: self.own_id()? }),
            "customer.deleted" => Ok(StripeNews::CustomerGone { customer: self.own_id()? }),
            "setup_intent.succeeded" => {
                let intent: SetupIntent = self.object()?;
                cards_of(intent.customer.as_ref())
            }
            _ => Err(UNREAD.to_owned()),
        }
    }

    fn object<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_value(self.data.object.clone()).map_err(|error| error.to_string())
    }

    fn own_id(&self) -> Result<CustomerId, String> {
        parsed(self.data.object.get("id").and_then(Value::as_str), "id")
    }

    fn promised_intent(&self) -> Result<StripeNews, String> {
        let intent: PaymentIntent = self.object()?;
        Ok(promised_intent(&intent)?.map_or(StripeNews::Ignored, StripeNews::Pending))
    }

    fn ended_intent(&self) -> Result<StripeNews, String> {
        let intent: PaymentIntent = self.object()?;
        let Some(purchase) = Purchase::read(&intent.metadata)? else {
            return Ok(StripeNews::Ignored);
        };
        Ok(StripeNews::Ended(EndedPayment {
            payment: parsed(Some(&intent.id), "id")?,
            account: purchase.account,
            customer: customer(intent.customer.as_ref()),
            installation: metadata::installation(&intent.metadata),
            how: PendingEnd::Canceled,
        }))
    }

    fn session_completed(&self) -> Result<StripeNews, String> {
        let session: CheckoutSession = self.object()?;
        match (session.mode.as_deref(), session.payment_status.as_deref()) {
            (Some("setup"), _) if TrialOffer::read(&session.metadata)?.is_some() => {
                Ok(StripeNews::TrialPage(Box::new(session)))
            }
            (Some("setup"), _) => cards_of(session.customer.as_ref()),
            (Some("subscription"), _) | (_, Some("no_payment_required")) => Ok(StripeNews::Ignored),
            (_, Some("paid")) => self.session_paid(&session),
            (_, Some("unpaid")) => {
                let Some(purchase) = Purchase::read(&session.metadata)? else {
                    return Ok(StripeNews::Ignored);
                };
                let payment = parsed(
                    session.payment_intent.as_ref().map(|id| id.id.as_str()),
                    "payment_intent",
                )?;
                Ok(StripeNews::Pending(PromisedPayment {
                    payment,
                    purchase,
                    customer: customer(session.customer.as_ref()),
                    installation: metadata::installation(&session.metadata),
                    ids: ids_of_session(&session),
                }))
            }
            (_, status) if Purchase::read(&session.metadata)?.is_some() => {
                Err(format!("payment_status is {status:?}"))
            }
            (_, _) => Ok(StripeNews::Ignored),
        }
    }

    fn session_paid(&self, session: &CheckoutSession) -> Result<StripeNews, String> {
        Ok(paid_session(session, self.livemode)?.map_or(StripeNews::Ignored, StripeNews::Paid))
    }

    fn ended_session(&self) -> Result<StripeNews, String> {
        let session: CheckoutSession = self.object()?;
        let Some(purchase) = Purchase::read(&session.metadata)? else {
            return Ok(StripeNews::Ignored);
        };
        let payment =
            parsed(session.payment_intent.as_ref().map(|id| id.id.as_str()), "payment_intent")?;
        Ok(StripeNews::Ended(EndedPayment {
            payment,
            account: purchase.account,
            customer: customer(session.customer.as_ref()),
            installation: metadata::installation(&session.metadata),
            how: PendingEnd::Failed,
        }))
    }

    fn paid_invoice(&self) -> Result<StripeNews, String> {
        let invoice: StripeInvoice = self.object()?;
        if metadata::is_receipt(&invoice.metadata) {
            return Ok(StripeNews::Ignored);
        }
        Ok(StripeNews::Paid(paid_invoice(&invoice, self.livemode)?))
    }

    /// A card that is detached names its customer only as what it was before.
    fn card(&self) -> Result<StripeNews, String> {
        let method: PaymentMethod = self.object()?;
        let before =
            self.data.previous_attributes.as_ref().and_then(|before| before.get("customer"));
        let before: Option<Id> =
            before.and_then(|before| serde_json::from_value(before.clone()).ok());
        cards_of(method.customer.as_ref().or(before.as_ref()))
    }
}

/// The payment of a session whose `payment_status` is `paid`. `None` if the session belongs to
/// another product and names no payment.
///
/// # Errors
/// What is missing.
pub fn paid_session(
    session: &CheckoutSession,
    livemode: Option<bool>,
) -> Result<Option<PaidPayment>, String> {
    let purchase = Purchase::read(&session.metadata)?;
    let payment = session.payment_intent.as_ref().map(|intent| intent.id.as_str());
    if purchase.is_none() && payment.is_none() {
        return Ok(None);
    }
    Ok(Some(PaidPayment {
        payment: Some(parsed(payment, "payment_intent")?),
        also: Vec::new(),
        received_cents: session.amount_total.ok_or("amount_total is missing")?,
        currency: session.currency.clone().ok_or("currency is missing")?,
        livemode: session.livemode.or(livemode),
        customer: customer(session.customer.as_ref()),
        purchase,
        installation: metadata::installation(&session.metadata),
        ids: ids_of_session(session),
    }))
}

/// A payment that Stripe still processes. `None` if it carries nothing of ours, as a refill's payment,
/// whose attempt is open anyway.
///
/// # Errors
/// What cannot be understood, in words.
pub(crate) fn promised_intent(intent: &PaymentIntent) -> Result<Option<PromisedPayment>, String> {
    let Some(purchase) = Purchase::read(&intent.metadata)? else { return Ok(None) };
    let charge = intent.latest_charge.as_ref().map(|charge| charge.id.clone());
    Ok(Some(PromisedPayment {
        payment: parsed(Some(&intent.id), "id")?,
        purchase,
        customer: customer(intent.customer.as_ref()),
        installation: metadata::installation(&intent.metadata),
        ids: StripeIds { charge, ..StripeIds::default() },
    }))
}

/// A payment that succeeded.
///
/// # Errors
/// What is missing.
pub fn paid_intent(intent: &PaymentIntent, livemode: Option<bool>) -> Result<PaidPayment, String> {
    Ok(PaidPayment {
        payment: Some(parsed(Some(&intent.id), "id")?),
        also: Vec::new(),
        received_cents: intent.amount_received.ok_or("amount_received is missing")?,
        currency: intent.currency.clone().ok_or("currency is missing")?,
        livemode: intent.livemode.or(livemode),
        customer: customer(intent.customer.as_ref()),
        purchase: Purchase::read(&intent.metadata)?,
        installation: metadata::installation(&intent.metadata),
        ids: StripeIds {
            session: None,
            charge: intent.latest_charge.as_ref().map(|charge| charge.id.clone()),
            invoice: intent.invoice.as_ref().map(|invoice| invoice.id.clone()),
        },
    })
}

/// An invoice that was paid.
///
/// # Errors
/// What is missing.
pub fn paid_invoice(
    invoice: &StripeInvoice,
    livemode: Option<bool>,
) -> Result<PaidPayment, String> {
    let intent = invoice.paying_intent();
    let charge = intent.and_then(|intent| intent.object.as_ref()?.latest_charge.as_ref());
    let payment: Option<PaymentId> =
        intent.map(|intent| parsed(Some(&intent.id), "payment_intent")).transpose()?;
    Ok(PaidPayment {
        also: payment.as_ref().map(|payment| invoice.further_ids(payment)).unwrap_or_default(),
        payment,
        received_cents: invoice
            .settled_cents()
            .or(invoice.amount_paid)
            .ok_or("amount_paid is missing")?,
        currency: invoice.currency.clone().ok_or("currency is missing")?,
        livemode: invoice.livemode.or(livemode),
        customer: customer(invoice.customer.as_ref()),
        purchase: Purchase::read(&invoice.metadata)?.map(|bought| bought.lowered_by_notes(invoice)),
        installation: metadata::installation(&invoice.metadata),
        ids: StripeIds {
            session: None,
            charge: charge.map(|charge| charge.id.clone()),
            invoice: Some(invoice.id.clone()),
        },
    })
}

fn ids_of_session(session: &CheckoutSession) -> StripeIds {
    let intent = session.payment_intent.as_ref().and_then(|intent| intent.object.as_ref());
    let charge = intent.and_then(|intent| intent.latest_charge.as_ref());
    StripeIds {
        session: Some(session.id.clone()),
        charge: charge.map(|charge| charge.id.clone()),
        invoice: session.invoice.as_ref().map(|invoice| invoice.id.clone()),
    }
}

fn cards_of(id: Option<&Id>) -> Result<StripeNews, String> {
    Ok(customer(id).map_or(StripeNews::Ignored, |customer| StripeNews::Cards { customer }))
}

/// A refund, as it is.
///
/// # Errors
/// What cannot be understood, in words.
pub(crate) fn refund(refund: &StripeRefund) -> Result<StripeNews, String> {
    refund_news(refund).map(StripeNews::Refund)
}

pub(crate) fn refund_news(refund: &StripeRefund) -> Result<RefundNews, String> {
    let course = match refund.status.as_deref() {
        Some("pending" | "requires_action" | "succeeded") => RefundCourse::Goes,
        Some("failed" | "canceled") => RefundCourse::CameBack,
        other => return Err(format!("status is {other:?}")),
    };
    Ok(RefundNews {
        refund: parsed(Some(&refund.id), "id")?,
        payment: optional(refund.payment_intent.as_ref(), "payment_intent")?,
        charge: refund.charge.as_ref().map(|charge| charge.id.clone()),
        cents: refund.amount.ok_or("amount is missing")?,
        course,
        by_staff: RefundName::read(&refund.metadata),
    })
}

/// A dispute as it is now, of which no event is known.
///
/// # Errors
/// What cannot be understood, in words.
pub(crate) fn dispute_now(news: &StripeDispute) -> Result<StripeNews, String> {
    let is_closed = matches!(news.status.as_deref(), Some("won" | "lost"));
    dispute(news, if is_closed { "charge.dispute.closed" } else { "charge.dispute.created" })
}

/// An inquiry (`warning_…`) takes nothing and freezes nothing: it is no dispute yet. When it
/// becomes one, money is withdrawn, which has an event.
fn dispute(dispute: &StripeDispute, kind: &str) -> Result<StripeNews, String> {
    let status = dispute.status.as_deref().unwrap_or_default();
    let has_moved = !dispute.balance_transactions.is_empty();
    let steps = match kind {
        _ if status.starts_with("warning_") || status == "prevented" => Vec::new(),
        "charge.dispute.created" if has_moved => vec![DisputeStep::Open, DisputeStep::Debit],
        "charge.dispute.created" => vec![DisputeStep::Open],
        "charge.dispute.funds_withdrawn" => vec![DisputeStep::Open, DisputeStep::Debit],
        "charge.dispute.funds_reinstated" => vec![DisputeStep::Reversal],
        "charge.dispute.updated" => Vec::new(),
        _ => match status {
            // The money first: an account that is thawed without it may be below its threshold, and
            // its card charged.
            "won" => vec![DisputeStep::Reversal, DisputeStep::Won],
            "lost" => vec![DisputeStep::Debit, DisputeStep::Lost],
            other => return Err(format!("closed with the status {other:?}")),
        },
    };
    Ok(StripeNews::Dispute(DisputeNews {
        dispute: parsed(Some(&dispute.id), "id")?,
        payment: optional(dispute.payment_intent.as_ref(), "payment_intent")?,
        charge: dispute.charge.as_ref().map(|charge| charge.id.clone()),
        cents: dispute.amount.ok_or("amount is missing")?,
        steps,
    }))
}

fn fraud_warning(warning: &StripeFraudWarning) -> Result<StripeNews, String> {
    Ok(StripeNews::FraudWarning(FraudWarningNews {
        warning: parsed(Some(&warning.id), "id")?,
        payment: optional(warning.payment_intent.as_ref(), "payment_intent")?,
        charge: warning.charge.as_ref().map(|charge| charge.id.clone()),
    }))
}

fn customer<T>(id: Option<&Expandable<T>>) -> Option<CustomerId> {
    id.and_then(|id| id.id.parse().ok())
}

fn optional<T: std::str::FromStr<Err: std::fmt::Display>>(
    id: Option<&Id>,
    name: &str,
) -> Result<Option<T>, String> {
    id.map(|id| parsed(Some(&id.id), name)).transpose()
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: Option<&str>,
    name: &str,
) -> Result<T, String> {
    text.ok_or_else(|| format!("{name} is missing"))?
        .parse()
        .map_err(|error| format!("{name}: {error}"))
}

/// The account that an object names in its metadata, whatever else it is.
#[must_use]
pub fn account_of(metadata: &super::objects::Metadata) -> Option<AccountId> {
    metadata::account(metadata)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn news(kind: &str, object: &Value, previous: &Value) -> Result<StripeNews, EventError> {
        let event = json!({"id": "evt_1", "type": kind, "livemode": false, "api_version": "2019-01-01", "pending_webhooks": 1,
            "data": {"object": object, "previous_attributes": previous}});
        StripeEvent::read(event.to_string().as_bytes()).unwrap().news()
    }

    fn ours() -> Value {
        json!({"tollgate_account": "acme", "tollgate_credit_cents": "2500", "tollgate_kind": "topup"})
    }

    #[test]
    fn a_paid_session_pays_and_an_unpaid_one_promises() {
        let session = |status: &str| {
            json!({"id": "cs_1", "object": "checkout.session", "mode": "payment", "payment_status": status, "amount_total": 2975,
                "currency": "usd", "customer": "cus_1", "payment_intent": "pi_1", "invoice": null, "metadata": ours()})
        };
        let Ok(StripeNews::Paid(paid)) =
            news("checkout.session.completed", &session("paid"), &Value::Null)
        else {
            panic!()
        };
        assert_eq!((paid.received_cents, paid.livemode), (2975, Some(false)));
        assert_eq!(paid.purchase.unwrap().credit.to_string(), "25.00");
        assert!(matches!(
            news("checkout.session.completed", &session("unpaid"), &Value::Null),
            Ok(StripeNews::Pending(_))
        ));
        assert!(news("checkout.session.completed", &session("a_new_word"), &Value::Null).is_err());
        assert!(matches!(
            news("checkout.session.async_payment_failed", &session("unpaid"), &Value::Null),
            Ok(StripeNews::Ended(_))
        ));
    }

    #[test]
    fn every_event_that_is_listed_is_read() {
        for kind in EVENTS {
            let read = news(kind, &json!({}), &Value::Null);
            assert_ne!(
                read.err().map(|not_understood| not_understood.why).as_deref(),
                Some(UNREAD),
                "{kind}"
            );
        }
    }

    #[test]
    fn sessions_of_others_and_new_types_are_nothing_to_us() {
        let foreign = json!({"id": "cs_1", "mode": "subscription", "payment_status": "paid"});
        assert_eq!(
            news("checkout.session.completed", &foreign, &Value::Null),
            Ok(StripeNews::Ignored)
        );
        assert_eq!(news("a.new.type", &json!({}), &Value::Null), Ok(StripeNews::Ignored));
        assert_eq!(
            news("payment_intent.canceled", &json!({"id": "pi_1"}), &Value::Null),
            Ok(StripeNews::Ignored)
        );
    }

    #[test]
    fn what_matters_and_lacks_what_is_needed_is_not_understood() {
        let broken = json!({"id": "pi_1", "currency": "usd", "metadata": ours()});
        assert!(
            news("payment_intent.succeeded", &broken, &Value::Null)
                .unwrap_err()
                .why
                .contains("amount_received")
        );
        assert!(news("payment_intent.succeeded", &json!({"id": 5}), &Value::Null).is_err());
        assert_eq!(StripeEvent::read(br#"{"id":"evt_1","type":"x"}"#).unwrap_err().id, "evt_1");
        assert_eq!(StripeEvent::read(b"nonsense").unwrap_err().id, "unknown");
    }

    #[test]
    fn a_detached_card_is_its_former_customers() {
        let card = json!({"id": "pm_1", "type": "card", "customer": null});
        let before = json!({"customer": "cus_1"});
        assert_eq!(
            news("payment_method.detached", &card, &before),
            Ok(StripeNews::Cards { customer: "cus_1".parse().unwrap() })
        );
        assert_eq!(news("payment_method.detached", &card, &Value::Null), Ok(StripeNews::Ignored));
    }

    #[test]
    fn disputes_move_money_only_once_money_moved() {
        let dispute = |status: &str, moved: &Value| json!({"id": "dp_1", "amount": 2500, "charge": "ch_1", "payment_intent": "pi_1", "status": status, "balance_transactions": moved});
        let steps = |kind: &str, status: &str, moved: Value| {
            let told = news(kind, &dispute(status, &moved), &Value::Null).unwrap();
            let StripeNews::Dispute(dispute) = told else { panic!("{told:?}") };
            dispute.steps
        };
        use DisputeStep::{Debit, Lost, Open, Reversal, Won};
        assert_eq!(steps("charge.dispute.created", "warning_needs_response", json!([])), []);
        assert_eq!(steps("charge.dispute.created", "needs_response", json!([])), [Open]);
        assert_eq!(
            steps("charge.dispute.created", "needs_response", json!([{"id": "txn_1"}])),
            [Open, Debit]
        );
        assert_eq!(
            steps("charge.dispute.funds_withdrawn", "needs_response", Value::Null),
            [Open, Debit]
        );
        assert_eq!(steps("charge.dispute.closed", "won", json!([])), [Reversal, Won]);
        assert_eq!(steps("charge.dispute.closed", "lost", json!([])), [Debit, Lost]);
        assert_eq!(steps("charge.dispute.closed", "warning_closed", json!([])), []);
        assert_eq!(steps("charge.dispute.updated", "needs_response", json!([])), []);
    }
}
