//! What Stripe told of money, recorded in the ledger: credits, promises, refunds, disputes.
//!
//! Every method may be called any number of times, in any order, by the webhook and by whoever got
//! the answer first: the claims of the rows make each cause count once. What was missing at first
//! (look-ups, a payment's other ids) is added by whoever comes later.

pub mod cards;
pub mod company;
mod credit;
mod customer;
pub mod decline;
pub mod deletion;
mod disputes;
mod fraud_warnings;
mod hand_payments;
mod invoices;
mod pages;
mod recovery;
pub mod refill;
mod refunds;
mod reversals;
mod trial;

pub use cards::CardAsked;
pub use invoices::{LookedAtInvoice, VoidOutcome, WantedInvoice};
pub use pages::PagePlace;
pub use recovery::{RecoveredPayment, Recovery};
pub use refunds::{RefundStep, RefundablePayment};

use crate::domain::event::Cause;
use crate::domain::ids::{AccountId, CustomerId};
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::Timestamp;
use crate::runtime::billing::{Billing, Opening, Visit};
use crate::store::{self, CommandOutcome, Plan, StoreError};
use crate::stripe::{Stripe, StripeError};

/// Where Stripe and the ledger meet, at the time of one trigger.
#[derive(Clone, Copy, Debug)]
pub struct Payments<'a> {
    /// The ledger, prices, and what the operator set.
    pub billing: &'a Billing,
    pub stripe: &'a Stripe,
    /// The trigger's time (UTC).
    pub now: Timestamp,
}

/// What news came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// A row was appended.
    Recorded { account: AccountId, seq: u64 },
    /// It has its row already.
    AlreadyRecorded { account: AccountId, seq: u64 },
    /// It concerns an account of ours, and changes nothing in the ledger.
    Noted { account: AccountId },
    /// It concerns somebody who is no customer of ours: other products may use the same Stripe
    /// account.
    Foreign,
    /// It is nothing to us.
    Ignored,
}

/// Why news could not be recorded: Stripe is asked to send it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaymentError {
    #[error(transparent)]
    Fault(#[from] StoreError),
    /// The ledger refused what Stripe confirmed: somebody must look.
    #[error("the ledger refused a payment that Stripe confirmed: {0}")]
    Refused(Refusal),
    /// Stripe had to be asked, and failed.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// A payment is not what it should be: wrong currency, test instead of real, too little. No
    /// credit; somebody must look.
    #[error("{payment} cannot be credited: {why}")]
    Mismatch { payment: String, why: String },
    /// A payment with this installation's metadata, by a customer that is not known here. The
    /// customer's look-up may have been lost with a table. An alarm fired.
    #[error("a payment for {account} was made by the unknown customer {customer}")]
    UnknownCustomer { account: AccountId, customer: CustomerId },
}

impl From<store::CommandError> for PaymentError {
    fn from(failure: store::CommandError) -> PaymentError {
        match failure {
            store::CommandError::Refused(refusal) => PaymentError::Refused(refusal),
            store::CommandError::Fault(fault) => PaymentError::Fault(fault),
        }
    }
}

impl Payments<'_> {
    /// Records what Stripe confirmed. Money that arrives opens its account, should it not be open.
    async fn append_opened(
        &self,
        account: &AccountId,
        plan: Plan<'_>,
    ) -> Result<CommandOutcome, PaymentError> {
        Ok(self.billing.execute(self.opening(account), Cause::Stripe, plan).await?)
    }

    /// Records what concerns an account that is open.
    async fn append(
        &self,
        account: &AccountId,
        cause: Cause,
        plan: Plan<'_>,
    ) -> Result<CommandOutcome, PaymentError> {
        Ok(self.billing.execute(Visit::of(account, self.now), cause, plan).await?)
    }

    fn opening<'v>(&self, account: &'v AccountId) -> Visit<'v> {
        let opening = Opening::Allowed { email: None };
        Visit { opening, ..Visit::of(account, self.now) }
    }

    /// Whose customer it is.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn account_of(
        &self,
        customer: Option<&CustomerId>,
    ) -> Result<Option<AccountId>, StoreError> {
        let Some(customer) = customer else { return Ok(None) };
        match self.billing.store.look_up(customer.as_str()).await? {
            Some(noted) => Ok(Some(noted.account)),
            // Releases of November 2026 noted some as owners.
            None => self.billing.store.owner(customer.as_str()).await,
        }
    }

    /// What a command came to. A cause whose row is in another account's chain is somebody's
    /// mistake.
    fn outcome(&self, account: &AccountId, done: CommandOutcome) -> PaymentOutcome {
        match done {
            CommandOutcome::Appended(receipt) => {
                if let Some(fault) = &receipt.unsettled {
                    tracing::warn!(%account, seq = receipt.row.seq, %fault, "recorded, but the account is not settled yet");
                }
                PaymentOutcome::Recorded { account: account.clone(), seq: receipt.row.seq }
            }
            CommandOutcome::AlreadyAppended(claimed) => {
                if claimed.account != *account {
                    let key = claimed.key.as_str();
                    tracing::error!(alarm = "claimed_by_another", %account, by = %claimed.account, key);
                }
                PaymentOutcome::AlreadyRecorded { account: claimed.account, seq: claimed.seq }
            }
        }
    }
}
