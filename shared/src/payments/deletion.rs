//! The end of the grace period: nothing is deleted before Stripe was asked for payments, and while
//! one may still arrive.

use crate::domain::account::AccountState;
use crate::domain::command::Command;
use crate::domain::event::Cause;
use crate::domain::ids::AccountId;
use crate::domain::payment_pages::MadePage;
use crate::domain::refusal::Refusal;
use crate::domain::settle::due::is_deletion_to_confirm;
use crate::domain::timestamp::{DAY, Timestamp};
use crate::payments::hand_payments::{HandPayments, PAGE_BEGUN, PAGE_OPEN};
use crate::payments::{PaymentError, Payments};
use crate::runtime::billing::Visit;
use crate::store::{CommandError, CommandOutcome, Plan};
use crate::stripe::objects::PaymentIntent;
use crate::stripe::webhook_event::promised_intent;

/// Payments of so many days are looked at. Longer than the longest delayed payment method takes, and
/// than Stripe repeats an event.
const LOOKED_BACK_SECONDS: i64 = 30 * DAY;

/// What one look at an account came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeletionStep {
    /// No deletion waits to be confirmed, or another row came in between.
    NotDue,
    /// Everything that was kept is deleted.
    Deleted,
    /// A payment was found and credited.
    Paid,
    /// The customer may be paying, or Stripe cannot tell. Later again.
    Waits {
        /// When the last row was appended: the one that ended the grace period, or a later one.
        since: Timestamp,
        why: String,
    },
}

impl Payments<'_> {
    /// Ends the customer's payment pages, asks Stripe for payments, and deletes what the account
    /// keeps if there are none. Only if neither a row nor a page came in meanwhile.
    ///
    /// # Errors
    /// [`PaymentError`] if the ledger fails. That Stripe fails is a [`DeletionStep`].
    pub async fn confirm_deletion(
        &self,
        account: &AccountId,
    ) -> Result<DeletionStep, PaymentError> {
        let visit = Visit::of(account, self.now);
        let state = match self.billing.settle(visit, |settled| settled.view.state().clone()).await {
            Ok(state) => state,
            Err(CommandError::Refused(Refusal::AccountNotOpen)) => return Ok(DeletionStep::NotDue),
            Err(error) => return Err(error.into()),
        };
        if !is_deletion_to_confirm(&state) {
            return Ok(DeletionStep::NotDue);
        }
        let waits = |why| Ok(DeletionStep::Waits { since: state.at, why });
        match self.no_payment_comes(account).await {
            Ok(Clearance::Clear) => self.delete(account, &state).await,
            Ok(Clearance::Credited) => Ok(DeletionStep::Paid),
            Ok(Clearance::UnderWay(why)) => waits(why.to_owned()),
            Err(PaymentError::Stripe(error)) => waits(error.to_string()),
            Err(failure) => Err(failure),
        }
    }

    /// Ends payment pages at which nobody is known to be paying, and looks again: one that was just
    /// paid cannot be ended.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn no_payment_comes(&self, account: &AccountId) -> Result<Clearance, PaymentError> {
        let store = &self.billing.store;
        // Before the customer, who is made before the first page is.
        let pages = store.unpaid_pages(account).await?.pages;
        let Some(customer) = store.customer_profile(account).await?.customer else {
            return Ok(match self.invoice_payments(account).await? {
                HandPayments::Credited => Clearance::Credited,
                HandPayments::UnderWay { why, .. } => Clearance::UnderWay(why),
                HandPayments::None | HandPayments::OpenPages(_) if self.is_one_begun(&pages) => {
                    Clearance::UnderWay(PAGE_BEGUN)
                }
                HandPayments::None | HandPayments::OpenPages(_) => Clearance::Clear,
            });
        };
        let look =
            async || self.hand_payments(account, &customer, &pages, LOOKED_BACK_SECONDS).await;
        let mut found = look().await?;
        if let HandPayments::OpenPages(open_pages) = &found {
            for page in open_pages {
                self.end_page(page).await?;
            }
            found = look().await?;
        }
        match found {
            HandPayments::None => {}
            HandPayments::Credited => return Ok(Clearance::Credited),
            HandPayments::OpenPages(_) => return Ok(Clearance::UnderWay(PAGE_OPEN)),
            HandPayments::UnderWay { why, processing, .. } => {
                self.promise_all(&processing).await?;
                return Ok(Clearance::UnderWay(why));
            }
        }
        // A page that was begun since then has no row that would be in the way.
        let has_new = |now: &[MadePage]| now.iter().any(|page| !pages.contains(page));
        if has_new(&store.unpaid_pages(account).await?.pages) {
            return Ok(Clearance::UnderWay(PAGE_BEGUN));
        }
        Ok(Clearance::Clear)
    }

    /// Records the delayed payments whose events are missing. The account then waits for them, and is
    /// not asked about until they end.
    async fn promise_all(&self, processing: &[PaymentIntent]) -> Result<(), PaymentError> {
        for intent in processing {
            let unreadable = |why| PaymentError::Mismatch { payment: intent.id.clone(), why };
            if let Some(promised) = promised_intent(intent).map_err(unreadable)? {
                Box::pin(self.promise(&promised)).await?;
            }
        }
        Ok(())
    }

    async fn delete(
        &self,
        account: &AccountId,
        state: &AccountState,
    ) -> Result<DeletionStep, PaymentError> {
        let head = state.next_seq - 1;
        let confirm = |_: &AccountState| Ok(Command::ConfirmDeletion { head });
        match self.append(account, Cause::Command, Plan::on_state(&confirm)).await {
            Ok(CommandOutcome::Appended(_)) => Ok(DeletionStep::Deleted),
            // Another row was faster. What it asks for comes first.
            Ok(CommandOutcome::AlreadyAppended(_)) | Err(PaymentError::Refused(_)) => {
                Ok(DeletionStep::NotDue)
            }
            Err(failure) => Err(failure),
        }
    }
}

/// Whether anything can still be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clearance {
    Clear,
    /// A payment was credited.
    Credited,
    /// The customer may be paying.
    UnderWay(
        /// For the log.
        &'static str,
    ),
}
