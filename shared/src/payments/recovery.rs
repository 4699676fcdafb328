//! Recovery: a payment whose events never came is looked up at Stripe, and recorded as they would have
//! been.

use crate::domain::ids::{AccountId, PaymentId};
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::stripe::StripeError;
use crate::stripe::objects::{CheckoutSession, PaymentIntent, StripeInvoice};
use crate::stripe::webhook_event::{
    PaidPayment, PromisedPayment, StripeNews, dispute_now, paid_intent, paid_invoice, paid_session,
    promised_intent, refund,
};

/// What a recovery found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It was paid, and is credited.
    Credited(RecoveredPayment),
    /// Stripe still processes it. Its account waits for it.
    Pending { account: AccountId },
    /// It is not paid. The status is Stripe's.
    Unpaid { status: String },
    /// Stripe has no payment of this installation under this ID.
    Unknown,
}

/// A payment that is credited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredPayment {
    pub account: AccountId,
    /// The row that credited it.
    pub seq: u64,
    /// Whether this recovery appended that row.
    pub is_new: bool,
    /// How many refunds and disputes of it were recorded now.
    pub taken_back: u32,
}

/// A payment as it is at Stripe.
enum FoundPayment {
    Paid(Box<PaidPayment>),
    Processing(Box<PromisedPayment>),
    Unpaid(String),
    Unknown,
}

impl Payments<'_> {
    /// Records what Stripe says of a page (`cs_…`), a payment (`pi_…`) or an invoice (`in_…`): its
    /// credit, and then what went back of it. What is recorded already stays as it is.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn recover(&self, id: &PaymentId) -> Result<Recovery, PaymentError> {
        let found = match self.found(id).await {
            Err(PaymentError::Stripe(StripeError::NotFound { .. })) => FoundPayment::Unknown,
            found => found?,
        };
        match found {
            FoundPayment::Paid(paid) => Box::pin(self.recover_paid(&paid)).await,
            FoundPayment::Processing(promised) => Ok(match self.promise(&promised).await? {
                PaymentOutcome::Recorded { account, .. }
                | PaymentOutcome::AlreadyRecorded { account, .. }
                | PaymentOutcome::Noted { account } => Recovery::Pending { account },
                PaymentOutcome::Foreign | PaymentOutcome::Ignored => Recovery::Unknown,
            }),
            FoundPayment::Unpaid(status) => Ok(Recovery::Unpaid { status }),
            FoundPayment::Unknown => Ok(Recovery::Unknown),
        }
    }

    async fn found(&self, id: &PaymentId) -> Result<FoundPayment, PaymentError> {
        let is_plain = id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let found = match id.as_str().split('_').next().filter(|_| is_plain) {
            Some("cs") => of_session(&self.stripe.retrieve_session(id.as_str()).await?),
            Some("pi") => self.of_intent(&self.stripe.payment_intent(id).await?),
            Some("in") => self.of_invoice(&self.stripe.invoice(id.as_str()).await?),
            Some(_) | None => Ok(FoundPayment::Unknown),
        };
        found.map_err(|why| PaymentError::Mismatch { payment: id.to_string(), why })
    }

    async fn recover_paid(&self, paid: &PaidPayment) -> Result<Recovery, PaymentError> {
        let (account, seq, is_new) = match self.credit(paid).await? {
            PaymentOutcome::Recorded { account, seq } => (account, seq, true),
            PaymentOutcome::AlreadyRecorded { account, seq } => (account, seq, false),
            PaymentOutcome::Noted { .. } => {
                return Ok(Recovery::Unpaid { status: "partly_paid".to_owned() });
            }
            PaymentOutcome::Foreign | PaymentOutcome::Ignored => return Ok(Recovery::Unknown),
        };
        let mut taken_back = 0;
        if let Some(payment) = &paid.payment {
            for news in self.taken_from(payment).await? {
                let outcome = if let StripeNews::Refund(refund) = news {
                    self.refund(&refund).await?
                } else if let StripeNews::Dispute(dispute) = news {
                    Box::pin(self.dispute(&dispute)).await?
                } else {
                    continue;
                };
                taken_back += u32::from(matches!(outcome, PaymentOutcome::Recorded { .. }));
            }
        }
        Ok(Recovery::Credited(RecoveredPayment { account, seq, is_new, taken_back }))
    }

    /// The refunds and disputes of a payment, oldest first.
    async fn taken_from(&self, payment: &PaymentId) -> Result<Vec<StripeNews>, PaymentError> {
        let mut news = Vec::new();
        for one in self.stripe.refunds_of(payment).await?.iter().rev() {
            news.push(refund(one));
        }
        for one in self.stripe.disputes_of(payment).await?.iter().rev() {
            news.push(dispute_now(one));
        }
        let read: Result<Vec<StripeNews>, String> = news.into_iter().collect();
        read.map_err(|why| PaymentError::Mismatch { payment: payment.to_string(), why })
    }

    fn of_intent(&self, intent: &PaymentIntent) -> Result<FoundPayment, String> {
        let is_live = Some(self.stripe.mode().livemode());
        match intent.status.as_deref() {
            Some("succeeded") => Ok(FoundPayment::Paid(Box::new(paid_intent(intent, is_live)?))),
            Some("processing") => processing(intent),
            status => Ok(unpaid(status)),
        }
    }

    fn of_invoice(&self, invoice: &StripeInvoice) -> Result<FoundPayment, String> {
        let is_live = Some(self.stripe.mode().livemode());
        match invoice.status.as_deref() {
            Some("paid") => Ok(FoundPayment::Paid(Box::new(paid_invoice(invoice, is_live)?))),
            status => Ok(unpaid(status)),
        }
    }
}

fn of_session(session: &CheckoutSession) -> Result<FoundPayment, String> {
    if session.payment_status.as_deref() == Some("paid") {
        let paid = paid_session(session, None)?;
        return Ok(paid.map_or(FoundPayment::Unknown, |paid| FoundPayment::Paid(Box::new(paid))));
    }
    let intent = session.payment_intent.as_ref().and_then(|intent| intent.object.as_ref());
    match intent {
        Some(intent) if intent.status.as_deref() == Some("processing") => processing(intent),
        // A page that only saves a card.
        _ if session.payment_status.as_deref() == Some("no_payment_required") => {
            Ok(unpaid(session.payment_status.as_deref()))
        }
        _ => Ok(unpaid(session.status.as_deref())),
    }
}

fn processing(intent: &PaymentIntent) -> Result<FoundPayment, String> {
    let promised = promised_intent(intent)?;
    Ok(promised.map_or(FoundPayment::Unpaid("processing".to_owned()), |promised| {
        FoundPayment::Processing(Box::new(promised))
    }))
}

fn unpaid(status: Option<&str>) -> FoundPayment {
    FoundPayment::Unpaid(status.unwrap_or("unknown").to_owned())
}
