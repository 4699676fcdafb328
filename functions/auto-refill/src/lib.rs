//! `auto-refill`: charges the saved card off session, and drives on refunds by staff that Stripe has
//! not answered.
//!
//! `BalanceLow` (a refill is wanted) and `RefillDue` (`settle-due` found a wanted or open refill, or a
//! refund) trigger it. It reads the account and acts on its state alone. A repeated, late or
//! unnecessary trigger finds nothing to do.

use std::time::Duration;

use serde::Serialize;
use tollgate::payments::refill::RefillStep;
use tollgate::payments::{PaymentError, Payments, RefundStep};
use tollgate::runtime::account_event::AccountEvent;
use tollgate::runtime::billing::Billing;
use tollgate::runtime::delivery::{DeliveryTime, TriggerTimeError};
use tollgate::runtime::metrics::MetricsSummary;
use tollgate::stripe::{OnDemand, StripeStartError};

/// The function's timeout in the template.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// The parts that the function is built from.
#[derive(Debug)]
pub struct RefillClients {
    pub billing: Billing,
    pub stripe: OnDemand,
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RefillReport {
    /// Attempts charged and credited.
    pub charged: u32,
    /// Failed attempts. Their invoices are void.
    pub failed: u32,
    /// Attempts that wait for the customer's confirmation.
    pub needs_customer: u32,
    /// Attempts that stay open, and wanted refills that cannot begin yet. They continue later.
    pub open: u32,
    /// Attempts or wanted refills that need manual attention.
    pub stuck: u32,
    /// Refunds that ended.
    pub refunds: u32,
    /// Refunds that Stripe has still not answered.
    pub refunds_open: u32,
    /// The steps in words, in order.
    pub steps: Vec<String>,
}

/// Why a run failed. The bus delivers the event again.
#[derive(Debug, thiserror::Error)]
pub enum RefillError {
    #[error(transparent)]
    Time(#[from] TriggerTimeError),
    /// The Stripe secret cannot be read.
    #[error(transparent)]
    Start(#[from] StripeStartError),
    /// The ledger failed.
    #[error(transparent)]
    Failure(#[from] PaymentError),
}

/// Runs the refill that the account's state asks for.
///
/// # Errors
/// [`RefillError`]. A decline, a failure or a missing response from Stripe is part of the
/// report instead. `settle-due` tries again.
pub async fn handle(
    clients: &RefillClients,
    trigger: &AccountEvent,
    delivered: DeliveryTime,
) -> Result<RefillReport, RefillError> {
    let now = delivered.time_of(&trigger.time)?;
    let account = &trigger.detail.account;
    let stripe = clients.stripe.get().await.inspect_err(|error| {
        tracing::error!(alarm = "stripe_not_started", %account, %error);
    })?;
    let payments = Payments { billing: &clients.billing, stripe, now };
    let failed_to_run = |failure: &PaymentError| {
        tracing::error!(alarm = "refill_failed_to_run", %account, %failure);
    };
    // Boxed because the futures are deeply nested. The card first: machines depend on it. A failure
    // of one does not stop the other.
    let steps = Box::pin(payments.refill(account)).await.inspect_err(failed_to_run);
    let refunds = Box::pin(payments.drive_refunds(account)).await.inspect_err(failed_to_run);
    let (steps, refunds) = (steps?, refunds?);
    let mut report = RefillReport::default();
    for step in &steps {
        report.count(step);
    }
    for step in &refunds {
        report.count_refund(step);
    }
    Ok(report)
}

impl RefillReport {
    /// The log line and metrics of a run.
    #[must_use]
    pub fn summary(&self, trigger: &AccountEvent) -> MetricsSummary {
        MetricsSummary::new("refill run")
            .field("account", trigger.detail.account.as_str())
            .field("steps", self.steps.as_slice())
            .count("Charged", self.charged)
            .count("Failed", self.failed)
            .count("NeedsCustomer", self.needs_customer)
            .count("Open", self.open)
            .count("Stuck", self.stuck)
            .count("Refunds", self.refunds)
            .count("RefundsOpen", self.refunds_open)
            .count("NothingToDo", u8::from(self.steps.is_empty()))
    }

    fn count_refund(&mut self, step: &RefundStep) {
        let (counter, words) = match step {
            RefundStep::Sent { number, refund } => {
                (&mut self.refunds, format!("refund {number}: accepted as {refund}"))
            }
            RefundStep::Failed { number, why } => {
                (&mut self.refunds, format!("refund {number}: failed, {why}"))
            }
            RefundStep::Open { number, why } => {
                (&mut self.refunds_open, format!("refund {number}: open, {why}"))
            }
        };
        *counter += 1;
        self.steps.push(words);
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
            RefillStep::Waits { why } => (&mut self.open, format!("waits, {why}")),
            RefillStep::NoCustomer => {
                (&mut self.stuck, "there is no customer to charge".to_owned())
            }
        };
        *counter += 1;
        self.steps.push(words);
    }
}
