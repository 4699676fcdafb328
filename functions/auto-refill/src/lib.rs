//! `auto-refill`: charges the saved card off session.
//!
//! Triggered by `BalanceLow` (a refill is wanted) and by `RefillDue` (`settle-due` found one wanted
//! or open). It takes no hint from either: it looks at the account and does what that asks for. A
//! trigger that is repeated, late or without reason finds nothing to do.

use serde::{Deserialize, Serialize};
use tollgate::domain::ids::AccountId;
use tollgate::domain::timestamp::Timestamp;
use tollgate::payments::refill::RefillStep;
use tollgate::payments::{PaymentError, Payments};
use tollgate::runtime::billing::Billing;
use tollgate::runtime::metrics::MetricsSummary;
use tollgate::stripe::{OnDemand, StartError};

/// What the function is built from.
#[derive(Debug)]
pub struct RefillClients {
    pub billing: Billing,
    pub stripe: OnDemand,
}

/// An event of the bus.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RefillTrigger {
    /// The event's own time (RFC 3339, UTC).
    pub time: String,
    /// Which account to look at.
    pub detail: RefillDetail,
}

/// Which account to look at; everything else in the event is a hint, and not taken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RefillDetail {
    pub account: AccountId,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RefillReport {
    /// Attempts that were charged and credited.
    pub charged: u32,
    /// Attempts that failed; their invoices are void.
    pub failed: u32,
    /// Attempts whose customer has to confirm the payment.
    pub needs_customer: u32,
    /// Attempts that stay open and are driven on later.
    pub open: u32,
    /// Attempts, or wanted refills, that somebody must look at.
    pub stuck: u32,
    /// In words, in order.
    pub steps: Vec<String>,
}

/// Why a run came to nothing; the bus sends the event again.
#[derive(Debug, thiserror::Error)]
pub enum RefillError {
    /// The trigger's time cannot be read: a mistake in the wiring.
    #[error("the trigger cannot be read: {0}")]
    Unreadable(String),
    /// Stripe cannot be asked without its secret.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The ledger failed.
    #[error(transparent)]
    Failure(#[from] PaymentError),
}

/// Does what the account asks for about refills.
///
/// # Errors
/// [`RefillError`]. That Stripe declines, fails or does not answer is in the report instead: `settle-due`
/// comes again.
pub async fn handle(
    clients: &RefillClients,
    trigger: &RefillTrigger,
) -> Result<RefillReport, RefillError> {
    let unreadable = |error| RefillError::Unreadable(format!("time {:?}: {error}", trigger.time));
    let now: Timestamp = trigger.time.parse().map_err(unreadable)?;
    let account = &trigger.detail.account;
    let stripe = clients.stripe.get().await.inspect_err(|error| {
        tracing::error!(alarm = "stripe_not_started", %account, %error);
    })?;
    let desk = Payments { billing: &clients.billing, stripe, now };
    // Boxed: it is many futures deep.
    let steps = Box::pin(desk.refill(account)).await.inspect_err(|failure| {
        tracing::error!(alarm = "refill_failed_to_run", %account, %failure);
    })?;
    let mut report = RefillReport::default();
    for step in &steps {
        report.count(step);
    }
    Ok(report)
}

impl RefillReport {
    /// What is logged and counted of it.
    #[must_use]
    pub fn summary(&self, trigger: &RefillTrigger) -> MetricsSummary {
        MetricsSummary::new("refill run")
            .field("account", trigger.detail.account.as_str())
            .field("steps", self.steps.as_slice())
            .count("Charged", self.charged)
            .count("Failed", self.failed)
            .count("NeedsCustomer", self.needs_customer)
            .count("Open", self.open)
            .count("Stuck", self.stuck)
            .count("NothingToDo", u8::from(self.steps.is_empty()))
    }

    fn count(&mut self, step: &RefillStep) {
        let (counter, words) = match step {
            RefillStep::Charged { attempt } => {
                (&mut self.charged, format!("attempt {attempt}: charged"))
            }
            RefillStep::Failed { attempt, code } => {
                (&mut self.failed, format!("attempt {attempt}: {code}"))
            }
            RefillStep::NeedsCustomer { attempt } => (
                &mut self.needs_customer,
                format!("attempt {attempt}: the customer has to confirm it"),
            ),
            RefillStep::Open { attempt, why } => {
                (&mut self.open, format!("attempt {attempt}: open, {why}"))
            }
            RefillStep::Stuck { attempt, why } => {
                (&mut self.stuck, format!("attempt {attempt}: stuck, {why}"))
            }
            RefillStep::NoCustomer => {
                (&mut self.stuck, "there is no customer to charge".to_owned())
            }
        };
        *counter += 1;
        self.steps.push(words);
    }
}
