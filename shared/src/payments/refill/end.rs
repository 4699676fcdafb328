//! How an attempt ends: paid, failed, called off, abandoned by staff, or with the customer, who has
//! to confirm it. Its invoice is void before it fails.

use crate::domain::account::{AccountState, RefillAttempt};
use crate::domain::command::Command;
use crate::domain::event::{Cause, RefillDecline};
use crate::domain::ids::{AccountId, StaffId};
use crate::domain::refusal::Refusal;
use crate::payments::refill::{RefillStep, intent, open, purchase, stuck};
use crate::payments::{PaymentError, PaymentOutcome, Payments, decline};
use crate::store::{Plan, RefillConfirmation};
use crate::stripe::objects::StripeInvoice;
use crate::stripe::webhook_event::{PaidPayment, StripeIds, paid_invoice};
use crate::stripe::{DeclinedCharge, StripeError};

/// What became of an invoice that was to be made void.
enum Voided {
    Void,
    Paid(Box<StripeInvoice>),
    StillOpen,
}

/// How an attempt ends without a charge.
struct AttemptEnd<'t> {
    decline: RefillDecline,
    code: &'t str,
    /// Why staff ended it.
    reason: Option<&'t str>,
    cause: Cause,
}

impl Payments<'_> {
    /// Calls off an attempt that waits for its customer, who is paying by hand instead. If it was
    /// paid after all, it is credited. The next attempt does not begin while the page is open.
    ///
    /// # Errors
    /// [`PaymentError`]; that Stripe fails is an error here: nothing else may be charged before this is
    /// settled.
    pub async fn supersede(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
    ) -> Result<(), PaymentError> {
        let Some(invoice) = self.find(account, attempt).await? else { return Ok(()) };
        Box::pin(self.give_up(account, attempt, &invoice, RefillDecline::CalledOff, "superseded"))
            .await
            .map(drop)
    }

    /// Ends the open attempt on behalf of staff, for example if it is stuck: makes its invoice void
    /// first, then records the reason. If the invoice was paid after all, it is credited. The step is
    /// [`RefillStep::Open`] while Stripe still processes the payment.
    ///
    /// # Errors
    /// [`Refusal::AttemptNotOpen`] if no attempt is open; [`PaymentError`].
    pub async fn abandon(
        &self,
        account: &AccountId,
        by: StaffId,
        reason: &str,
    ) -> Result<RefillStep, PaymentError> {
        let head = self.billing.store.head(account).await?;
        let state = head.map(|head| head.state).ok_or(Refusal::AccountNotOpen);
        let state = state.map_err(PaymentError::Refused)?;
        let not_open = Refusal::AttemptNotOpen { attempt: state.refill.attempts_so_far };
        let attempt = state.refill.attempt.ok_or(PaymentError::Refused(not_open))?;
        if let Some(invoice) = self.find(account, &attempt).await? {
            match self.void(&invoice.id).await? {
                Voided::Void => {}
                Voided::Paid(invoice) => {
                    match Box::pin(self.paid(account, &attempt, &invoice)).await {
                        // What was paid is not what was to be bought. Staff settle it by hand.
                        Err(PaymentError::Mismatch { payment, why }) => {
                            stuck(account, &attempt, format!("{payment} is abandoned: {why}"));
                        }
                        step => return step,
                    }
                }
                Voided::StillOpen => {
                    return Ok(open(&attempt, format!("{} cannot be made void yet", invoice.id)));
                }
            }
        }
        let end = AttemptEnd {
            decline: RefillDecline::NotCharged,
            code: "abandoned",
            reason: Some(reason),
            // The request itself was noted under its key.
            cause: Cause::Staff { by, request: None },
        };
        Box::pin(self.fail_as(account, &attempt, end)).await
    }

    pub(super) async fn paid(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        invoice: &StripeInvoice,
    ) -> Result<RefillStep, PaymentError> {
        let succeeded =
            intent(invoice).filter(|intent| intent.status.as_deref() == Some("succeeded"));
        if !invoice.is_paid() && succeeded.is_none() {
            return Ok(open(
                attempt,
                format!("{} has the status {:?}", invoice.id, invoice.status),
            ));
        }
        let unreadable = |why| PaymentError::Mismatch { payment: invoice.id.clone(), why };
        let read = paid_invoice(invoice, None).map_err(unreadable)?;
        // The invoice may not know yet what its payment received.
        let received_cents = succeeded
            .and_then(|intent| intent.amount_received)
            .unwrap_or_default()
            .max(read.received_cents);
        let ids = StripeIds { invoice: Some(invoice.id.clone()), ..read.ids };
        // What was to be bought, and by whom, stands in the row, not in what Stripe was told:
        // nothing to be looked up.
        let purchase = Some(purchase(account, attempt).lowered_by_notes(invoice));
        let installation = self.stripe.settings().installation.clone();
        let paid =
            PaidPayment { received_cents, purchase, ids, customer: None, installation, ..read };
        match Box::pin(self.credit(&paid)).await? {
            PaymentOutcome::Recorded { .. } | PaymentOutcome::AlreadyRecorded { .. } => {
                Ok(RefillStep::Charged { attempt: attempt.number })
            }
            PaymentOutcome::Noted { .. } | PaymentOutcome::Foreign | PaymentOutcome::Ignored => {
                Ok(stuck(account, attempt, format!("{} was paid and not credited", invoice.id)))
            }
        }
    }

    pub(super) async fn declined(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        invoice: &StripeInvoice,
        declined: &DeclinedCharge,
    ) -> Result<RefillStep, PaymentError> {
        match decline::class(declined).decline() {
            Some(decline) => self.give_up(account, attempt, invoice, decline, &declined.code).await,
            None => Box::pin(self.ask(account, attempt, &invoice.id)).await,
        }
    }

    /// Leaves the invoice open for the customer, and publishes where it can be paid.
    pub(super) async fn ask(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        invoice: &str,
    ) -> Result<RefillStep, PaymentError> {
        let invoice = self.stripe.invoice(invoice).await?;
        // An old answer is returned again: meanwhile it may have been paid, or made void.
        match invoice.status.as_deref() {
            Some("paid") => return self.paid(account, attempt, &invoice).await,
            Some("void" | "uncollectible") => {
                return self
                    .fail(account, attempt, RefillDecline::Later, "authentication_required")
                    .await;
            }
            Some(_) | None => {}
        }
        let url = invoice.hosted_invoice_url;
        if let Some(url) = url.clone() {
            let confirmation = RefillConfirmation { attempt: attempt.number, url };
            self.billing.store.set_confirmation(account, &confirmation).await?;
        }
        let ask = |_: &AccountState| {
            Ok(Command::AskCustomer { attempt: attempt.number, url: url.clone() })
        };
        // Boxed, like the one below: tests poll this deep in a stack of 2 MB.
        match Box::pin(self.append(account, Cause::Command, Plan::on_state(&ask))).await {
            Ok(_)
            | Err(PaymentError::Refused(
                Refusal::CustomerAlreadyAsked { .. } | Refusal::AttemptNotOpen { .. },
            )) => Ok(RefillStep::NeedsCustomer { attempt: attempt.number }),
            Err(failure) => Err(failure),
        }
    }

    /// Makes the invoice void (a draft is deleted), then records the failure; or credits it, if it
    /// was paid.
    pub(super) async fn give_up(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        invoice: &StripeInvoice,
        decline: RefillDecline,
        code: &str,
    ) -> Result<RefillStep, PaymentError> {
        match self.void(&invoice.id).await? {
            Voided::Void => self.fail(account, attempt, decline, code).await,
            Voided::Paid(invoice) => self.paid(account, attempt, &invoice).await,
            Voided::StillOpen => {
                Ok(open(attempt, format!("{} cannot be made void yet", invoice.id)))
            }
        }
    }

    async fn void(&self, invoice: &str) -> Result<Voided, StripeError> {
        match self.stripe.void_invoice(invoice).await {
            Ok(_) => return Ok(Voided::Void),
            Err(StripeError::Rejected(_) | StripeError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let found = match self.stripe.invoice(invoice).await {
            // It was a draft, and is deleted.
            Err(StripeError::NotFound { .. }) => return Ok(Voided::Void),
            found => found?,
        };
        Ok(match found.status.as_deref() {
            Some("paid") => Voided::Paid(Box::new(found)),
            Some("void" | "uncollectible") => Voided::Void,
            Some("draft") => match self.stripe.delete_invoice(invoice).await {
                Ok(_) | Err(StripeError::NotFound { .. }) => Voided::Void,
                // It was made final in between.
                Err(StripeError::Rejected(_)) => Voided::StillOpen,
                Err(error) => return Err(error),
            },
            Some(_) | None => Voided::StillOpen,
        })
    }

    pub(super) async fn fail(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        decline: RefillDecline,
        code: &str,
    ) -> Result<RefillStep, PaymentError> {
        let end = AttemptEnd { decline, code, reason: None, cause: Cause::Command };
        self.fail_as(account, attempt, end).await
    }

    async fn fail_as(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        end: AttemptEnd<'_>,
    ) -> Result<RefillStep, PaymentError> {
        let (AttemptEnd { decline, code, reason, cause }, attempt) = (end, attempt.number);
        let fail = |_: &AccountState| {
            let (code, reason) = (code.to_owned(), reason.map(str::to_owned));
            Ok(Command::FailRefill { attempt, decline, code, reason })
        };
        match Box::pin(self.append(account, cause, Plan::on_state(&fail))).await {
            Ok(_) | Err(PaymentError::Refused(Refusal::AttemptNotOpen { .. })) => {
                Ok(RefillStep::Failed { attempt, code: code.to_owned() })
            }
            Err(failure) => Err(failure),
        }
    }
}
