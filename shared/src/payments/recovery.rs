//! Recovery of a payment whose events never came: it is looked up at Stripe, and recorded as they
//! would have recorded it.

use crate::domain::event::{Change, PaymentChange};
use crate::domain::ids::{AccountId, PaymentId};
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::store::RowOrder;
use crate::stripe::StripeError;
use crate::stripe::metadata::{self, Purchase};
use crate::stripe::objects::{CheckoutSession, Metadata, PaymentIntent, StripeInvoice};
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
    /// How many of its refunds and disputes were recorded now.
    pub recorded_now: u32,
    /// Why others could not be recorded.
    pub not_recorded: Vec<String>,
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
    /// credit, and then what went back of it. A row that exists stays as it is.
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
            Some("cs") => self.of_session(&self.stripe.retrieve_session(id.as_str()).await?),
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
        let (mut recorded_now, mut not_recorded) = (0, Vec::new());
        for payment in self.payments_of_row(&account, seq).await? {
            for news in self.news_of(&payment).await? {
                match Box::pin(self.record_news(news)).await {
                    Ok(is_recorded) => recorded_now += u32::from(is_recorded),
                    // One that cannot be recorded never blocks the others.
                    Err(
                        failure @ (PaymentError::Mismatch { .. }
                        | PaymentError::UnknownCustomer { .. }
                        | PaymentError::Refused(_)),
                    ) => {
                        tracing::warn!(%account, %payment, %failure, "not recovered");
                        not_recorded.push(failure.to_string());
                    }
                    Err(failure @ (PaymentError::Fault(_) | PaymentError::Stripe(_))) => {
                        return Err(failure);
                    }
                }
            }
        }
        let recovered = RecoveredPayment { account, seq, is_new, recorded_now, not_recorded };
        Ok(Recovery::Credited(recovered))
    }

    /// The payments that the row credited. An invoice may have several.
    async fn payments_of_row(
        &self,
        account: &AccountId,
        seq: u64,
    ) -> Result<Vec<PaymentId>, PaymentError> {
        let page = self.billing.store.rows(account, seq..seq + 1, RowOrder::OldestFirst, 1).await?;
        let Some(Change::Payment(PaymentChange::Credited { payment, also, .. })) =
            page.rows.into_iter().next().map(|row| row.event.change)
        else {
            return Ok(Vec::new());
        };
        let all = std::iter::once(payment).chain(also);
        Ok(all.filter(|paid| paid.as_str().starts_with("pi_")).collect())
    }

    /// The refunds and disputes of a payment, oldest first, each as it is read.
    async fn news_of(
        &self,
        payment: &PaymentId,
    ) -> Result<Vec<Result<StripeNews, PaymentError>>, PaymentError> {
        let refunds = self.stripe.refunds_of(payment).await?;
        let disputes = self.stripe.disputes_of(payment).await?;
        let read = refunds.iter().rev().map(refund);
        let read = read.chain(disputes.iter().rev().map(dispute_now));
        let mismatch = |why| PaymentError::Mismatch { payment: payment.to_string(), why };
        Ok(read.map(|news| news.map_err(mismatch)).collect())
    }

    /// Whether a refund or dispute is recorded now.
    async fn record_news(
        &self,
        news: Result<StripeNews, PaymentError>,
    ) -> Result<bool, PaymentError> {
        let outcome = match news? {
            StripeNews::Refund(refund) => self.refund(&refund).await?,
            StripeNews::Dispute(dispute) => self.dispute(&dispute).await?,
            StripeNews::Paid(_)
            | StripeNews::Pending(_)
            | StripeNews::Ended(_)
            | StripeNews::FraudWarning(_)
            | StripeNews::Cards { .. }
            | StripeNews::TrialPage(_)
            | StripeNews::CustomerGone { .. }
            | StripeNews::Ignored => return Ok(false),
        };
        Ok(matches!(outcome, PaymentOutcome::Recorded { .. }))
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
            Some("paid") if metadata::is_receipt(&invoice.metadata) => Ok(FoundPayment::Unknown),
            Some("paid") => Ok(FoundPayment::Paid(Box::new(paid_invoice(invoice, is_live)?))),
            status => Ok(self.unpaid_of_ours(&invoice.metadata, status)),
        }
    }

    fn of_session(&self, session: &CheckoutSession) -> Result<FoundPayment, String> {
        if session.payment_status.as_deref() == Some("paid") {
            let paid = paid_session(session, None)?;
            return Ok(
                paid.map_or(FoundPayment::Unknown, |paid| FoundPayment::Paid(Box::new(paid)))
            );
        }
        let intent = session.payment_intent.as_ref().and_then(|intent| intent.object.as_ref());
        match intent {
            Some(intent) if intent.status.as_deref() == Some("processing") => processing(intent),
            _ => Ok(self.unpaid_of_ours(&session.metadata, session.status.as_deref())),
        }
    }

    /// Another product or stage may use the same account at Stripe. A page that only saves a card is
    /// no payment either.
    fn unpaid_of_ours(&self, metadata: &Metadata, status: Option<&str>) -> FoundPayment {
        let is_ours = self.stripe.settings().is_own(metadata)
            && matches!(Purchase::read(metadata), Ok(Some(_)));
        if is_ours { unpaid(status) } else { FoundPayment::Unknown }
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
