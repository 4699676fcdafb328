//! Refunds by staff. The first row takes the credit, then Stripe is asked, and another row ends it:
//! `refund_sent`, or `refund_failed`, which gives the credit back.
//!
//! The state of the account holds each refund until Stripe has answered, so none is forgotten. The
//! refund at Stripe names account and row. The row is ended by the request, by the event, or by the
//! run that looks for late ones, and only once.

use crate::domain::account::OpenRefund;
use crate::domain::command::Command;
use crate::domain::event::{Cause, Change, PaymentChange, PaymentFacts, StaffRefund, TakeBack};
use crate::domain::ids::{AccountId, PaymentId, RefundId};
use crate::domain::refusal::Refusal;
use crate::domain::row::Row;
use crate::domain::settle::due::refund_is_late;
use crate::domain::timestamp::HOUR;
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::store::{CreditedPayment, ExistingClaim, Plan, RowOrder};
use crate::stripe::metadata::RefundName;
use crate::stripe::objects::StripeRefund;
use crate::stripe::webhook_event::{RefundCourse, RefundNews, refund_news};
use crate::stripe::{StripeError, StripeRejection};

/// Rows per read in the search for the row that ended a refund.
const PAGE: u32 = 100;
/// Stripe refuses the key of the call, which says nothing about the refund.
const KEY_REFUSED: [u16; 2] = [401, 403];

/// What was credited, and the payments at Stripe that can be refunded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundablePayment {
    pub account: AccountId,
    pub facts: PaymentFacts,
    /// `pi_…`. Several may have paid an invoice. None, if it was paid outside of Stripe.
    pub payments: Vec<PaymentId>,
}

/// The outcome of a step of a refund by staff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundStep {
    /// Stripe accepted it.
    Sent { number: u64, refund: RefundId },
    /// Stripe refused it, or it failed. Its credit was given back.
    Failed { number: u64, why: String },
    /// Stripe has not answered, or the answer was lost. It is asked again.
    Open { number: u64, why: String },
}

/// A refund as its row has it.
struct BegunRefund {
    name: RefundName,
    staff: StaffRefund,
    of: PaymentFacts,
    cents: i64,
}

impl Payments<'_> {
    /// The credited payment with a Stripe ID: `pi_…`, `cs_…`, `ch_…` or `in_…`. `None` if nothing was
    /// credited for it.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn refundable(
        &self,
        id: &PaymentId,
    ) -> Result<Option<RefundablePayment>, PaymentError> {
        let store = &self.billing.store;
        let (account, seq) = match store.credited(id).await? {
            Some(CreditedPayment { account, seq, .. }) => (account, seq),
            None => match store.look_up(id.as_str()).await? {
                Some(ExistingClaim { account, seq, .. }) => (account, seq),
                None => return Ok(None),
            },
        };
        let row = self.row(&account, seq).await?;
        let Some(Change::Payment(PaymentChange::Credited {
            payment,
            credit,
            received_cents,
            also,
            ..
        })) = row.map(|row| row.event.change)
        else {
            return Ok(None);
        };
        let paid_by = std::iter::once(&payment).chain(&also).filter(|id| is_of_stripe(id));
        // Its own ID names one of several.
        let payments = paid_by.filter(|paid| *paid == id || !is_of_stripe(id)).cloned().collect();
        let facts = PaymentFacts { payment, credit, received_cents };
        Ok(Some(RefundablePayment { account, facts, payments }))
    }

    /// Asks Stripe for a refund whose row is there. One that has ended is reported as it ended.
    ///
    /// # Errors
    /// [`PaymentError`] if the ledger fails. Stripe's answer is part of the result.
    pub async fn carry_out_refund(
        &self,
        account: &AccountId,
        number: u64,
    ) -> Result<RefundStep, PaymentError> {
        let open = self.open_refunds(account).await?;
        match open.into_iter().find(|open| open.number == number) {
            // The request was repeated after a while: Stripe may have it, and may have dropped its
            // key.
            Some(open) if refund_is_late(&open, self.now) => self.drive_refund(account, open).await,
            Some(open) => self.ask_for_refund(self.begun_refund(account, open).await?).await,
            None => self.ended_refund(account, number).await,
        }
    }

    /// Drives the account's late refunds on: looks whether Stripe has them, and asks again if not. A
    /// refund that fails does not stop the others.
    ///
    /// # Errors
    /// [`PaymentError`] if the ledger fails.
    pub async fn drive_refunds(
        &self,
        account: &AccountId,
    ) -> Result<Vec<RefundStep>, PaymentError> {
        let mut steps = Vec::new();
        let mut failed = None;
        for open in self.open_refunds(account).await? {
            if !refund_is_late(&open, self.now) {
                continue;
            }
            let (number, waited) = (open.number, self.now - open.begun_at);
            let step = self.drive_refund(account, open).await.unwrap_or_else(|failure| {
                let why = failure.to_string();
                failed = Some(failure);
                RefundStep::Open { number, why }
            });
            if let RefundStep::Open { why, .. } = &step
                && waited >= HOUR
            {
                tracing::error!(alarm = "refund_open", %account, number, why);
            }
            steps.push(step);
        }
        failed.map_or(Ok(steps), Err)
    }

    async fn drive_refund(
        &self,
        account: &AccountId,
        open: OpenRefund,
    ) -> Result<RefundStep, PaymentError> {
        let begun = self.begun_refund(account, open).await?;
        match self.known_refund(&begun).await {
            Ok(Some(refund)) => self.end_refund(&begun, &refund).await,
            Ok(None) => self.ask_for_refund(begun).await,
            // Nothing is decided as long as Stripe may have it.
            Err(error) => Ok(RefundStep::Open { number: open.number, why: error.to_string() }),
        }
    }

    async fn ask_for_refund(&self, begun: BegunRefund) -> Result<RefundStep, PaymentError> {
        let BegunRefund { name, staff, cents, .. } = &begun;
        let number = staff.number;
        match self.stripe.create_refund(name, &staff.payment, *cents).await {
            Ok(refund) => self.end_refund(&begun, &refund).await,
            Err(error) => match refusal_of(&error) {
                Some(why) => self.undo_refund(begun, why).await,
                None => Ok(RefundStep::Open { number, why: error.to_string() }),
            },
        }
    }

    /// The refund at Stripe, if it was made although its answer was lost.
    async fn known_refund(&self, begun: &BegunRefund) -> Result<Option<StripeRefund>, StripeError> {
        let made = self.stripe.refunds_of(&begun.staff.payment).await?;
        let is_it = |refund: &StripeRefund| {
            RefundName::read(&refund.metadata).as_ref() == Some(&begun.name)
        };
        Ok(made.into_iter().find(is_it))
    }

    /// Records a refund that Stripe has, as its event is recorded.
    async fn end_refund(
        &self,
        begun: &BegunRefund,
        refund: &StripeRefund,
    ) -> Result<RefundStep, PaymentError> {
        let number = begun.staff.number;
        let news = match refund_news(refund) {
            Ok(news) => news,
            Err(why) => return Ok(RefundStep::Open { number, why }),
        };
        Box::pin(self.refund(&news)).await?;
        if self.open_refunds(&begun.name.account).await?.contains(&begun.name.row) {
            let why = format!("{} is recorded as another refund", news.refund);
            return Ok(RefundStep::Open { number, why });
        }
        Ok(match news.course {
            RefundCourse::Goes => RefundStep::Sent { number, refund: news.refund },
            RefundCourse::CameBack => RefundStep::Failed { number, why: failure_of(&news.refund) },
        })
    }

    /// Ends the refund by staff that Stripe tells of, if it is open.
    pub(super) async fn confirm_refund(
        &self,
        credited: &CreditedPayment,
        news: &RefundNews,
    ) -> Result<Option<PaymentOutcome>, PaymentError> {
        let Some(RefundName { account, row }) = &news.by_staff else { return Ok(None) };
        if *account != credited.account || !self.open_refunds(account).await?.contains(row) {
            return Ok(None);
        }
        let (refund, payment) = (news.refund.clone(), credited.facts.payment.clone());
        let command = Command::ConfirmRefund { number: row.number, refund, payment };
        let confirm = |_: &_| Ok(command.clone());
        match self.append(account, Cause::Stripe, Plan::on_state(&confirm)).await {
            Ok(done) => {
                let outcome = self.outcome(account, done);
                self.note_ids(&outcome, &[news.refund.as_str()]).await?;
                Ok(Some(outcome))
            }
            Err(PaymentError::Refused(Refusal::RefundNotOpen { .. })) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn undo_refund(
        &self,
        begun: BegunRefund,
        why: String,
    ) -> Result<RefundStep, PaymentError> {
        let account = begun.name.account;
        let refund = StaffRefund { reason: why.clone(), ..begun.staff };
        match self.append(&account, Cause::Stripe, Plan::undo_refund(&refund, &begun.of)).await {
            Ok(_) => Ok(RefundStep::Failed { number: refund.number, why }),
            Err(PaymentError::Refused(Refusal::RefundNotOpen { number })) => {
                self.ended_refund(&account, number).await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn open_refunds(&self, account: &AccountId) -> Result<Vec<OpenRefund>, PaymentError> {
        let head = self.billing.store.head(account).await?;
        Ok(head.map(|head| head.state.open_refunds).unwrap_or_default())
    }

    async fn begun_refund(
        &self,
        account: &AccountId,
        open: OpenRefund,
    ) -> Result<BegunRefund, PaymentError> {
        let number = open.number;
        let row = self.row(account, number).await?;
        let Some(Change::Payment(PaymentChange::TakenBack {
            by: TakeBack::Staff(staff),
            of,
            cents,
            ..
        })) = row.map(|row| row.event.change)
        else {
            return Err(PaymentError::Refused(Refusal::RefundNotOpen { number }));
        };
        let name = RefundName { account: account.clone(), row: open };
        Ok(BegunRefund { name, staff, of, cents })
    }

    /// How a refund ended that is no longer open.
    async fn ended_refund(
        &self,
        account: &AccountId,
        number: u64,
    ) -> Result<RefundStep, PaymentError> {
        let mut rest = Some(number + 1..u64::MAX);
        while let Some(numbers) = rest {
            let page =
                self.billing.store.rows(account, numbers, RowOrder::OldestFirst, PAGE).await?;
            rest = page.rest;
            let end = page.rows.into_iter().find_map(|row| end_of(number, row.event.change));
            let Some(end) = end else { continue };
            let RefundStep::Sent { refund, .. } = &end else { return Ok(end) };
            let reversal = TakeBack::Refund(refund.clone()).claim_key("reversal");
            return match reversal {
                Some(key) if self.billing.store.claim(&key).await?.is_some() => {
                    Ok(RefundStep::Failed { number, why: failure_of(refund) })
                }
                Some(_) | None => Ok(end),
            };
        }
        Err(PaymentError::Refused(Refusal::RefundNotOpen { number }))
    }

    async fn row(&self, account: &AccountId, seq: u64) -> Result<Option<Row>, PaymentError> {
        let page = self.billing.store.rows(account, seq..seq + 1, RowOrder::OldestFirst, 1).await?;
        Ok(page.rows.into_iter().next())
    }
}

fn is_of_stripe(payment: &PaymentId) -> bool {
    payment.as_str().starts_with("pi_")
}

fn failure_of(refund: &RefundId) -> String {
    format!("the bank did not accept {refund}")
}

/// The step that a row tells of this refund.
fn end_of(refund: u64, change: Change) -> Option<RefundStep> {
    let Change::Payment(change) = change else { return None };
    if let PaymentChange::RefundSent { number, refund: sent, .. } = &change
        && *number == refund
    {
        return Some(RefundStep::Sent { number: refund, refund: sent.clone() });
    }
    if let PaymentChange::GivenBack { by: TakeBack::Staff(failed), .. } = change
        && failed.number == refund
    {
        return Some(RefundStep::Failed { number: refund, why: failed.reason });
    }
    None
}

/// Why Stripe refuses a refund for good: it was not made, and never will be. `None` if another
/// attempt may succeed, or if it may have been made.
fn refusal_of(error: &StripeError) -> Option<String> {
    match error {
        StripeError::Rejected(StripeRejection { status, code, message, .. })
            if !KEY_REFUSED.contains(status) =>
        {
            let why = [code.as_str(), message].join(": ");
            Some(why.trim_start_matches(": ").to_owned())
        }
        StripeError::NotFound { .. } => Some("Stripe has no such payment".to_owned()),
        StripeError::Declined(declined) => Some(declined.code.clone()),
        StripeError::Rejected(_)
        | StripeError::AuthenticationRequired { .. }
        | StripeError::KeyMisused { .. }
        | StripeError::RateLimited { .. }
        | StripeError::Unavailable { .. }
        | StripeError::Unresolved { .. } => None,
    }
}
