//! `confirm-deletion`: asks Stripe once more whether the customer pays, and only then deletes.
//!
//! `DeletionUnconfirmed` (`settle-due` found an account whose grace period is over) triggers it. It
//! reads the account and acts on its state alone. A repeated, late or unnecessary trigger finds
//! nothing to do.

use std::time::Duration;

use serde::Serialize;
use tollgate::domain::timestamp::Timestamp;
use tollgate::payments::deletion::DeletionStep;
use tollgate::payments::{PaymentError, Payments};
use tollgate::runtime::account_event::AccountEvent;
use tollgate::runtime::billing::Billing;
use tollgate::runtime::delivery::{DeliveryTime, TriggerTimeError};
use tollgate::runtime::metrics::MetricsSummary;
use tollgate::stripe::{OnDemand, StripeStartError};

/// The function's timeout in the template.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// The parts that the function is built from.
#[derive(Debug)]
pub struct DeletionClients {
    pub billing: Billing,
    pub stripe: OnDemand,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum DeletionReport {
    NothingToDo,
    Deleted,
    /// A payment was found and credited. Nothing is deleted.
    Paid,
    /// The account stays as it is. `settle-due` triggers the next run, and reports a long wait.
    Waits {
        since: Timestamp,
        why: String,
    },
}

/// Why a run failed. The bus delivers the event again.
#[derive(Debug, thiserror::Error)]
pub enum DeletionError {
    #[error(transparent)]
    Time(#[from] TriggerTimeError),
    /// The Stripe secret cannot be read.
    #[error(transparent)]
    Start(#[from] StripeStartError),
    /// The ledger failed.
    #[error(transparent)]
    Failure(#[from] PaymentError),
}

/// Deletes everything that the account keeps, if its grace period is over and no payment is on its
/// way.
///
/// # Errors
/// [`DeletionError`]. That Stripe cannot be asked is part of the report instead.
pub async fn handle(
    clients: &DeletionClients,
    trigger: &AccountEvent,
    delivered: DeliveryTime,
) -> Result<DeletionReport, DeletionError> {
    let now = delivered.time_of(&trigger.time)?;
    let account = &trigger.detail.account;
    let stripe = clients.stripe.get().await.inspect_err(|error| {
        tracing::error!(alarm = "stripe_not_started", %account, %error);
    })?;
    let payments = Payments { billing: &clients.billing, stripe, now };
    // Boxed because the future is deeply nested.
    let step = Box::pin(payments.confirm_deletion(account)).await.inspect_err(|failure| {
        tracing::error!(alarm = "deletion_failed_to_run", %account, %failure);
    })?;
    Ok(match step {
        DeletionStep::NotDue => DeletionReport::NothingToDo,
        DeletionStep::Deleted => DeletionReport::Deleted,
        DeletionStep::Paid => DeletionReport::Paid,
        DeletionStep::Waits { since, why } => DeletionReport::Waits { since, why },
    })
}

impl DeletionReport {
    /// The log line and metrics of a run.
    #[must_use]
    pub fn summary(&self, trigger: &AccountEvent) -> MetricsSummary {
        let is = |report: bool| u8::from(report);
        let summary = MetricsSummary::new("deletion run")
            .field("account", trigger.detail.account.as_str())
            .count("Deleted", is(*self == DeletionReport::Deleted))
            .count("Paid", is(*self == DeletionReport::Paid))
            .count("Waiting", is(matches!(self, DeletionReport::Waits { .. })))
            .count("NothingToDo", is(*self == DeletionReport::NothingToDo));
        match self {
            DeletionReport::Waits { why, .. } => summary.field("why", why.as_str()),
            DeletionReport::NothingToDo | DeletionReport::Deleted | DeletionReport::Paid => summary,
        }
    }
}
