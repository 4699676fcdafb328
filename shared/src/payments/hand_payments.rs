//! Payments that a customer makes by hand while a refill is wanted. Nobody is charged twice: what
//! was paid is credited first, and what is being paid holds the refill back.

use crate::domain::account::{AccountState, PendingPayment, Standing};
use crate::domain::ids::{AccountId, CustomerId, PaymentId};
use crate::domain::payment_pages::MadePage;
use crate::domain::timestamp::{DAY, MINUTE, Timestamp};
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::stripe::metadata::{Purchase, PurchaseKind};
use crate::stripe::objects::{CheckoutSession, PaymentIntent, StripeCharge};
use crate::stripe::webhook_event::paid_intent;

/// How long a customer may take to verify a bank account.
const VERIFYING_SECONDS: i64 = 10 * DAY;
/// How long making a page at Stripe takes at most.
const MAKING_SECONDS: i64 = 2 * MINUTE;
/// For how long a payment holds a refill back at most: the time that a payment page is open. Only
/// delayed methods take longer, and they may take days.
const HOLD_SECONDS: i64 = 31 * MINUTE;
/// A refill begins at least this long before the account is suspended without it. The refill is
/// looked at every minute.
const BEFORE_SUSPENSION_SECONDS: i64 = 2 * MINUTE;

/// What a look at a customer's own payments came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HandPayments {
    None,
    /// The look credited at least one. The balance must be looked at again.
    Credited,
    /// Nobody is known to be paying, but somebody still can, at these payment pages (`cs_…`).
    OpenPages(Vec<String>),
    /// The customer may be paying.
    UnderWay {
        /// For the log.
        why: &'static str,
        /// As [`HandPayments::OpenPages`].
        open_pages: Vec<String>,
        /// Delayed payments that Stripe processes.
        processing: Vec<PaymentIntent>,
    },
}

/// For the log.
pub(super) const PAGE_OPEN: &str = "a payment page is open";
/// For the log.
pub(super) const PAGE_BEGUN: &str = "a payment page is being opened";

impl Payments<'_> {
    /// Looks at the customer's own payments of the last `looked_back_seconds` at Stripe, and
    /// credits those that are paid. `pages` are the account's unpaid ones.
    pub(super) async fn hand_payments(
        &self,
        account: &AccountId,
        customer: &CustomerId,
        pages: &[MadePage],
        looked_back_seconds: i64,
    ) -> Result<HandPayments, PaymentError> {
        // A page that is being made is not at Stripe yet.
        let mut under_way = self.is_one_begun(pages).then_some(PAGE_BEGUN);
        let mut processing = Vec::new();
        let since = self.now.plus(-looked_back_seconds);
        let (mut has_credited, mut open_pages) = (false, Vec::new());
        let is_payment = |session: &&CheckoutSession| session.mode.as_deref() == Some("payment");
        let sessions = self.stripe.sessions_since(customer, since).await?;
        let settings = self.stripe.settings();
        for session in sessions.iter().filter(is_payment) {
            if session.status.as_deref() == Some("open") {
                let is_sale = Purchase::read(&session.metadata).is_ok_and(|sale| sale.is_some());
                if is_sale && settings.is_own(&session.metadata) {
                    open_pages.push(session.id.clone());
                }
            } else if self.billing.store.look_up(&session.id).await?.is_none() {
                match Box::pin(self.credit_session(session)).await {
                    Ok(outcome) => has_credited |= is_recorded(outcome.as_ref()),
                    Err(failure) => {
                        let intent = session.payment_intent.as_ref().map(|intent| &*intent.id);
                        let left = self.uncreditable(&session.id, intent, failure).await?;
                        under_way = left.or(under_way);
                    }
                }
            }
        }
        for intent in self.stripe.payments_since(customer, since).await? {
            match intent.status.as_deref() {
                Some("succeeded") => match Box::pin(self.credit_intent(&intent)).await {
                    Ok(outcome) => has_credited |= is_recorded(outcome.as_ref()),
                    Err(failure) => {
                        let left = self.uncreditable(&intent.id, Some(&intent.id), failure).await?;
                        under_way = left.or(under_way);
                    }
                },
                Some(status)
                    if self.may_succeed(status, intent.created)
                        && is_of_page(&intent)
                        && settings.is_own(&intent.metadata) =>
                {
                    under_way = Some("a payment is being made");
                    if status == "processing" {
                        processing.push(intent);
                    }
                }
                Some(_) | None => {}
            }
        }
        match self.invoice_payments(account).await? {
            HandPayments::None | HandPayments::OpenPages(_) => {}
            HandPayments::Credited => has_credited = true,
            HandPayments::UnderWay { why, .. } => under_way = Some(why),
        }
        Ok(match under_way {
            _ if has_credited => HandPayments::Credited,
            Some(why) => HandPayments::UnderWay { why, open_pages, processing },
            None if open_pages.is_empty() => HandPayments::None,
            None => HandPayments::OpenPages(open_pages),
        })
    }

    /// Credits invoices of staff that are paid, and says whether one is being paid. Their payments may have
    /// been made long before, and carry no metadata.
    pub(super) async fn invoice_payments(
        &self,
        account: &AccountId,
    ) -> Result<HandPayments, PaymentError> {
        let (mut has_credited, mut under_way) = (false, None);
        for noted in self.billing.store.staff_invoices(account).await? {
            if noted.is_over {
                continue;
            }
            match self.look_at_invoice(account, &noted).await {
                Ok(looked) => {
                    has_credited |= looked.has_credited;
                    if looked.invoice.is_some_and(|invoice| invoice.is_being_paid()) {
                        under_way = Some("an invoice is being paid");
                    }
                }
                Err(failure) => {
                    let invoice = self.stripe.invoice(noted.id.as_str()).await?;
                    let intent = invoice.paying_intent().map(|intent| &*intent.id);
                    let left = self.uncreditable(noted.id.as_str(), intent, failure).await?;
                    under_way = left.or(under_way);
                }
            }
        }
        Ok(match under_way {
            _ if has_credited => HandPayments::Credited,
            Some(why) => {
                let (open_pages, processing) = (Vec::new(), Vec::new());
                HandPayments::UnderWay { why, open_pages, processing }
            }
            None => HandPayments::None,
        })
    }

    /// Whether one of these pages is being made at Stripe.
    pub(super) fn is_one_begun(&self, pages: &[MadePage]) -> bool {
        let is_new = |page: &MadePage| self.now - page.made_at < MAKING_SECONDS;
        pages.iter().any(|page| page.session.is_none() && is_new(page))
    }

    /// A payment that cannot be credited has its alarm by the webhook. It is money all the same,
    /// unless all of it was refunded.
    async fn uncreditable(
        &self,
        what: &str,
        intent: Option<&str>,
        failure: PaymentError,
    ) -> Result<Option<&'static str>, PaymentError> {
        match failure {
            PaymentError::Refused(_)
            | PaymentError::Mismatch { .. }
            | PaymentError::UnknownCustomer { .. } => {}
            PaymentError::Fault(_) | PaymentError::Stripe(_) => return Err(failure),
        }
        if let Some(payment) = intent.and_then(|intent| intent.parse().ok())
            && self.is_returned(&payment).await?
        {
            return Ok(None);
        }
        tracing::warn!(what, %failure, "a payment by hand is not credited");
        Ok(Some("a payment cannot be credited"))
    }

    async fn is_returned(&self, payment: &PaymentId) -> Result<bool, PaymentError> {
        let charges = self.stripe.charges_of(payment).await?;
        let mut paid =
            charges.iter().filter(|charge| charge.status.as_deref() == Some("succeeded"));
        let is_refunded = |charge: &StripeCharge| charge.amount_refunded >= charge.amount;
        Ok(paid.next().is_some_and(is_refunded) && paid.all(is_refunded))
    }

    /// Whether the payment of a page may still succeed. Only delayed methods take longer than a page
    /// is open: a bank account is verified within ten days (docs.stripe.com/payments/ach-direct-debit).
    fn may_succeed(&self, status: &str, created: Option<i64>) -> bool {
        let is_new = created.is_none_or(|created| self.now.seconds() - created < VERIFYING_SECONDS);
        match status {
            "processing" => true,
            "requires_action" | "requires_confirmation" | "requires_capture" => is_new,
            _ => false,
        }
    }

    /// Looks at promised payments, which may have been begun days ago, and credits those that came.
    /// Returns whether there was one.
    pub(super) async fn credit_promised(
        &self,
        pending: &[PendingPayment],
    ) -> Result<bool, PaymentError> {
        let mut has_credited = false;
        for promised in pending {
            let intent = self.stripe.payment_intent(&promised.payment).await?;
            if intent.status.as_deref() != Some("succeeded") {
                continue;
            }
            match Box::pin(self.credit_intent(&intent)).await {
                Ok(outcome) => has_credited |= is_recorded(outcome.as_ref()),
                Err(failure) => {
                    self.uncreditable(&intent.id, Some(&intent.id), failure).await?;
                }
            }
        }
        Ok(has_credited)
    }

    async fn credit_intent(
        &self,
        intent: &PaymentIntent,
    ) -> Result<Option<PaymentOutcome>, PaymentError> {
        let mismatch = |why| PaymentError::Mismatch { payment: intent.id.clone(), why };
        let payment: PaymentId = intent.id.parse().map_err(|error| mismatch(format!("{error}")))?;
        if self.billing.store.credited(&payment).await?.is_some() {
            return Ok(None);
        }
        let is_live = self.stripe.mode().livemode();
        let paid = paid_intent(intent, Some(is_live)).map_err(mismatch)?;
        self.credit(&paid).await.map(Some)
    }
}

fn is_recorded(outcome: Option<&PaymentOutcome>) -> bool {
    matches!(outcome, Some(PaymentOutcome::Recorded { .. }))
}

/// Whether it is the payment of a page of ours. A refill's own payment carries nothing: its invoice
/// does.
fn is_of_page(intent: &PaymentIntent) -> bool {
    let purchase = Purchase::read(&intent.metadata).ok().flatten();
    purchase.is_some_and(|purchase| match purchase.kind {
        PurchaseKind::TopUp | PurchaseKind::Commit(_) => true,
        PurchaseKind::Refill { .. } => false,
    })
}

/// Until when a payment that is under way holds a refill back. An abandoned page suspends nobody
/// whose card is good.
pub(super) fn holds_until(state: &AccountState, wanted_since: Timestamp) -> Timestamp {
    let at_most = wanted_since.plus(HOLD_SECONDS);
    let paid_through = state.paid_through().filter(|_| state.standing == Standing::Good);
    paid_through.map_or(at_most, |paid_through| {
        let respite = state.refill.respite.map(|respite| respite.until);
        let suspends_at = respite.map_or(paid_through, |until| until.max(paid_through));
        at_most.min(suspends_at.plus(-BEFORE_SUSPENSION_SECONDS))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::account::{PaidPeriod, RefillRespite};
    use crate::domain::money::Usd;

    fn at(time: &str) -> Timestamp {
        format!("2026-11-22T{time}:00Z").parse().unwrap()
    }

    #[test]
    fn hold_ends_before_the_suspension() {
        let held = |paid_through: Option<&str>, respite: Option<&str>| {
            let period = paid_through.map(|through| PaidPeriod {
                from: at("11:00"),
                through: at(through),
                used: Usd::ZERO,
                unpaid: BTreeSet::new(),
            });
            let mut state = AccountState { period, ..AccountState::default() };
            let until = |until| RefillRespite { from: at("12:00"), until: at(until) };
            state.refill.respite = respite.map(until);
            holds_until(&state, at("12:00"))
        };
        for (paid_through, respite, expected) in [
            (None, None, "12:31"),
            (None, Some("12:10"), "12:31"),
            (Some("13:00"), Some("12:10"), "12:31"),
            (Some("12:20"), Some("12:10"), "12:18"),
            (Some("12:05"), Some("12:10"), "12:08"),
            (Some("11:00"), None, "10:58"),
        ] {
            assert_eq!(held(paid_through, respite), at(expected), "{paid_through:?} {respite:?}");
        }
    }
}
