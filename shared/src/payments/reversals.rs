//! Money that goes back from a credited payment, and money that comes back after all.

use crate::domain::event::{Cause, Change, PaymentChange, TakeBack};
use crate::domain::ids::PaymentId;
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::store::{CreditedPayment, Plan, RowOrder, StoreError, TakenPart};
use crate::stripe::StripeError;
use crate::stripe::webhook_event::{RefundCourse, RefundNews, paid_intent};

impl Payments<'_> {
    /// Records a refund, or that it came back.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn refund(&self, news: &RefundNews) -> Result<PaymentOutcome, PaymentError> {
        let Some(credited) = self.credited(news.payment.as_ref(), news.charge.as_deref()).await?
        else {
            return Ok(PaymentOutcome::Foreign);
        };
        if let Some(confirmed) = self.confirm_refund(&credited, news).await?
            && news.course == RefundCourse::Goes
        {
            return Ok(confirmed);
        }
        let by = TakeBack::Refund(news.refund.clone());
        let outcome = match news.course {
            RefundCourse::Goes => {
                self.take_back(&credited, &by, TakenPart::Cents(news.cents)).await?
            }
            RefundCourse::CameBack => self.give_back(&credited, &by, news.cents).await?,
        };
        self.note_ids(&outcome, &[news.refund.as_str()]).await?;
        Ok(outcome)
    }

    /// The payment that money goes back from, credited by now if it is ours: what takes it back may
    /// be told first.
    pub(super) async fn credited(
        &self,
        payment: Option<&PaymentId>,
        charge: Option<&str>,
    ) -> Result<Option<CreditedPayment>, PaymentError> {
        let Some(payment) = payment else { return self.credited_by_charge(charge).await };
        if let Some(credited) = self.billing.store.credited(payment).await? {
            return Ok(Some(credited));
        }
        let intent = match self.stripe.payment_intent(payment).await {
            Ok(intent) => intent,
            Err(StripeError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let is_live = self.stripe.mode().livemode();
        let mismatch = |why| PaymentError::Mismatch { payment: payment.to_string(), why };
        let paid = paid_intent(&intent, Some(is_live)).map_err(mismatch)?;
        match Box::pin(self.credit(&paid)).await? {
            PaymentOutcome::Recorded { .. } | PaymentOutcome::AlreadyRecorded { .. } => {
                Ok(self.billing.store.credited(payment).await?)
            }
            PaymentOutcome::Noted { .. } | PaymentOutcome::Foreign | PaymentOutcome::Ignored => {
                Ok(None)
            }
        }
    }

    /// Older events name the charge alone. Ours always have a payment, which noted its charge.
    async fn credited_by_charge(
        &self,
        charge: Option<&str>,
    ) -> Result<Option<CreditedPayment>, PaymentError> {
        let Some(charge) = charge else { return Ok(None) };
        let Some(claimed) = self.billing.store.look_up(charge).await? else { return Ok(None) };
        let page = self
            .billing
            .store
            .rows(&claimed.account, claimed.seq..claimed.seq + 1, RowOrder::OldestFirst, 1)
            .await?;
        let payment = page.rows.into_iter().find_map(|row| {
            let Change::Payment(PaymentChange::Credited { payment, .. }) = row.event.change else {
                return None;
            };
            Some(payment)
        });
        match payment {
            Some(payment) => Ok(self.billing.store.credited(&payment).await?),
            None => Ok(None),
        }
    }

    pub(super) async fn take_back(
        &self,
        credited: &CreditedPayment,
        by: &TakeBack,
        cents: TakenPart,
    ) -> Result<PaymentOutcome, PaymentError> {
        let plan = Plan::take_back(by, &credited.facts, cents);
        let done = self.append_opened(&credited.account, plan).await?;
        Ok(self.outcome(&credited.account, done))
    }

    pub(super) async fn give_back(
        &self,
        credited: &CreditedPayment,
        by: &TakeBack,
        cents: i64,
    ) -> Result<PaymentOutcome, PaymentError> {
        let plan = Plan::give_back(by, &credited.facts, cents);
        let done = self.append(&credited.account, Cause::Stripe, plan).await?;
        Ok(self.outcome(&credited.account, done))
    }

    pub(super) async fn note_ids(
        &self,
        outcome: &PaymentOutcome,
        ids: &[&str],
    ) -> Result<(), StoreError> {
        match outcome {
            PaymentOutcome::Recorded { account, seq }
            | PaymentOutcome::AlreadyRecorded { account, seq } => {
                self.billing.store.note_look_ups(account, *seq, ids).await
            }
            PaymentOutcome::Noted { .. } | PaymentOutcome::Foreign | PaymentOutcome::Ignored => {
                Ok(())
            }
        }
    }
}
