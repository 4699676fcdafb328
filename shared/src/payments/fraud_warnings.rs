//! Early fraud warnings: an issuer's report that a payment was probably fraudulent. A dispute often
//! follows.

use crate::domain::account::AccountState;
use crate::domain::command::Command;
use crate::domain::row_format::RowFormat;
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::store::Plan;
use crate::stripe::webhook_event::FraudWarningNews;

/// The first format that has a row for a warning. Under older ones only the alarm fires.
const RECORDED: RowFormat = RowFormat::new(3);

impl Payments<'_> {
    /// Pauses the refills of the account that the payment belongs to, and alarms staff. Nothing
    /// else: the payment may be genuine.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn warn_of_fraud(
        &self,
        news: &FraudWarningNews,
    ) -> Result<PaymentOutcome, PaymentError> {
        let FraudWarningNews { warning, payment, charge } = news;
        let Some(credited) = self.credited(payment.as_ref(), charge.as_deref()).await? else {
            return Ok(PaymentOutcome::Foreign);
        };
        let (account, payment) = (&credited.account, &credited.facts.payment);
        let mut outcome = PaymentOutcome::Noted { account: account.clone() };
        if self.billing.settings.policy.row_format >= RECORDED {
            let (warning, payment) = (warning.clone(), payment.clone());
            let warn = |_: &AccountState| {
                let (warning, payment) = (warning.clone(), payment.clone());
                Ok(Command::WarnOfFraud { warning, payment })
            };
            let done = self.append_opened(account, Plan::on_state(&warn)).await?;
            outcome = self.outcome(account, done);
        }
        if !matches!(outcome, PaymentOutcome::AlreadyRecorded { .. }) {
            tracing::error!(
                alarm = "early_fraud_warning", %account, %payment, %warning,
                "the card's issuer reported a payment as probably fraudulent"
            );
        }
        Ok(outcome)
    }
}
