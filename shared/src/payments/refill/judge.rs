//! How far an attempt came, by what Stripe has of it, and what follows.

use crate::domain::account::RefillAttempt;
use crate::domain::event::RefillDecline;
use crate::domain::ids::AccountId;
use crate::domain::timestamp::HOUR;
use crate::payments::decline::{self, DeclineClass};
use crate::payments::refill::{Age, RefillStep, declined_of, intent, open, stuck};
use crate::payments::{PaymentError, Payments};
use crate::stripe::metadata::{Purchase, PurchaseKind};
use crate::stripe::objects::StripeInvoice;
use crate::stripe::{DeclinedCharge, StripeError};

/// How long a charge whose answer nobody knows may still turn out to have been made. After that it
/// is made void, which settles it either way.
const UNRESOLVED_SECONDS: i64 = HOUR;
/// Invoices are looked for from this long before the attempt began: clocks differ.
const CLOCKS_SECONDS: i64 = HOUR;

/// How far a walk came before it had to be settled by looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// It did not begin: the keys are too old.
    Nothing,
    /// Whether there is an invoice is not known.
    Invoice,
    /// Item or finalization are not known: nothing was charged.
    Draft,
    /// Whether the card was charged is not known.
    Pay,
    /// The customer was asked.
    Asked,
}

impl Payments<'_> {
    /// A step before the charge came to nothing. What Stripe does not accept (no tax without an
    /// address, a key without the permission) is the operator's to repair, not a decline, as long
    /// as a refill may still be charged.
    pub(super) async fn unfinished(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        reached: Reached,
        error: StripeError,
    ) -> Result<RefillStep, PaymentError> {
        if error.may_pass() {
            return Err(error.into());
        }
        let head = self.billing.store.head(account).await?;
        let is_possible = head.is_some_and(|head| head.state.is_refill_possible());
        if is_possible && matches!(error, StripeError::Rejected(_)) {
            return Err(error.into());
        }
        self.look_after(account, attempt, reached, &error).await
    }

    pub(super) async fn look_after(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        reached: Reached,
        error: &StripeError,
    ) -> Result<RefillStep, PaymentError> {
        tracing::error!(alarm = "refill_unresolved", %account, attempt = attempt.number, ?reached, %error);
        self.look(account, attempt, reached).await
    }

    /// Finds out how far an attempt came, and settles it.
    pub(super) async fn look(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        reached: Reached,
    ) -> Result<RefillStep, PaymentError> {
        let Some(invoice) = self.find(account, attempt).await? else {
            // Nothing that could be paid: whatever may still be made is a draft that nobody
            // finalizes.
            return self.fail(account, attempt, RefillDecline::NotCharged, "not_invoiced").await;
        };
        Box::pin(self.judge(account, attempt, &invoice, reached)).await
    }

    pub(super) async fn judge(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        invoice: &StripeInvoice,
        reached: Reached,
    ) -> Result<RefillStep, PaymentError> {
        match (invoice.status.as_deref(), reached) {
            // A credit note canceled it: nobody paid.
            (Some("paid"), _) if invoice.settled_cents() == Some(0) => {
                self.fail(account, attempt, RefillDecline::NotCharged, "void").await
            }
            (Some("paid"), _) => self.paid(account, attempt, invoice).await,
            (Some("draft"), Reached::Invoice) => {
                Box::pin(self.walk_from(account, attempt, invoice, Age::Known)).await
            }
            // Deleted first: another run might still make it final and pay it.
            (Some("draft"), _) => {
                self.give_up(account, attempt, invoice, RefillDecline::NotCharged, "not_finalized")
                    .await
            }
            (Some("open"), _) => {
                Box::pin(self.judge_open(account, attempt, invoice, reached)).await
            }
            // Made void before its time, because it was no longer needed. Whoever did it died
            // before its row.
            // If it is still needed, staff made it void at Stripe, and it is not charged again at
            // once.
            (Some("void"), Reached::Asked)
                if attempt.void_at.is_some_and(|void_at| self.now < void_at) =>
            {
                let (decline, code) = if self.is_agreed(account, attempt).await? {
                    (RefillDecline::NotCharged, "void")
                } else {
                    (RefillDecline::CalledOff, "called_off")
                };
                self.fail(account, attempt, decline, code).await
            }
            (Some("void" | "uncollectible"), _) => {
                let declined = intent(invoice).and_then(declined_of);
                let undeclined = match reached {
                    // A run made it void after the customer's time, and died before its row.
                    Reached::Asked => (RefillDecline::Later, "authentication_required"),
                    Reached::Nothing | Reached::Invoice | Reached::Draft | Reached::Pay => {
                        (RefillDecline::NotCharged, "void")
                    }
                };
                let (decline, code) =
                    declined.map_or((undeclined.0, undeclined.1.to_owned()), classed);
                self.fail(account, attempt, decline, &code).await
            }
            (status, _) => {
                Ok(stuck(account, attempt, format!("{} has the status {status:?}", invoice.id)))
            }
        }
    }

    async fn judge_open(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
        invoice: &StripeInvoice,
        reached: Reached,
    ) -> Result<RefillStep, PaymentError> {
        let intent = intent(invoice);
        match intent.and_then(|intent| intent.status.as_deref()) {
            Some("processing" | "requires_capture") => {
                return Ok(open(attempt, "the payment is processing".to_owned()));
            }
            Some("succeeded") => return self.paid(account, attempt, invoice).await,
            Some(_) | None => {}
        }
        let is_over = attempt.void_at.is_some_and(|void_at| void_at <= self.now);
        match (intent.and_then(declined_of), reached) {
            (_, Reached::Asked) if is_over => {
                self.give_up(
                    account,
                    attempt,
                    invoice,
                    RefillDecline::Later,
                    "authentication_required",
                )
                .await
            }
            (_, Reached::Asked) => {
                if self.is_agreed(account, attempt).await? {
                    return Ok(RefillStep::NeedsCustomer { attempt: attempt.number });
                }
                self.give_up(account, attempt, invoice, RefillDecline::CalledOff, "called_off")
                    .await
            }
            (Some(declined), _) if decline::class(&declined) == DeclineClass::NeedsCustomer => {
                Box::pin(self.ask(account, attempt, &invoice.id)).await
            }
            (Some(declined), _) => self.declined(account, attempt, invoice, &declined).await,
            (None, _)
                if intent
                    .is_some_and(|intent| intent.status.as_deref() == Some("requires_action")) =>
            {
                Box::pin(self.ask(account, attempt, &invoice.id)).await
            }
            // It was never tried, as far as Stripe knows: perhaps it is just being tried.
            (None, Reached::Pay) if self.now - attempt.begun_at < UNRESOLVED_SECONDS => {
                Ok(stuck(account, attempt, "whether the card was charged is not known".to_owned()))
            }
            (None, _) => {
                self.give_up(account, attempt, invoice, RefillDecline::NotCharged, "unresolved")
                    .await
            }
        }
    }

    /// The attempt's invoice, by its metadata, with its payment.
    pub(super) async fn find(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
    ) -> Result<Option<StripeInvoice>, StripeError> {
        let since = attempt.begun_at.plus(-CLOCKS_SECONDS);
        let invoices = self.stripe.invoices_since(&attempt.customer, since).await?;
        let settings = self.stripe.settings();
        let is_ours = |invoice: &&StripeInvoice| {
            let purchase = Purchase::read(&invoice.metadata).ok().flatten();
            purchase.is_some_and(|purchase| {
                let of_attempt = matches!(purchase.kind, PurchaseKind::Refill { attempt: n, .. } if n == attempt.number);
                purchase.account == *account && of_attempt
            }) && settings.is_own(&invoice.metadata)
        };
        // There is one; should there ever be more, what was paid counts, then what can be paid.
        let order = ["paid", "open", "draft", "uncollectible", "void"];
        let rank = |invoice: &&StripeInvoice| {
            order.iter().position(|status| invoice.status.as_deref() == Some(*status))
        };
        let Some(found) = invoices.iter().filter(is_ours).min_by_key(rank) else { return Ok(None) };
        self.stripe.invoice(&found.id).await.map(Some)
    }

    /// Whether the attempt is still needed and agreed, by the account as it is now.
    pub(super) async fn is_agreed(
        &self,
        account: &AccountId,
        attempt: &RefillAttempt,
    ) -> Result<bool, PaymentError> {
        let head = self.billing.store.head(account).await?;
        Ok(head.is_some_and(|head| head.state.is_refill_agreed(attempt, self.now)))
    }
}

fn classed(declined: DeclinedCharge) -> (RefillDecline, String) {
    (decline::class(&declined).decline().unwrap_or(RefillDecline::Later), declined.code)
}
