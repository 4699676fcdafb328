//! Disputes: each step that Stripe tells is a row of its own.

use crate::domain::account::AccountState;
use crate::domain::command::Command;
use crate::domain::event::{DisputeOutcome, TakeBack};
use crate::payments::{PaymentError, PaymentOutcome, Payments};
use crate::store::Plan;
use crate::stripe::webhook_event::{DisputeNews, DisputeStep};

impl Payments<'_> {
    /// Records what became of a dispute.
    ///
    /// # Errors
    /// [`PaymentError`]
    pub async fn dispute(&self, news: &DisputeNews) -> Result<PaymentOutcome, PaymentError> {
        let Some(credited) = self.credited(news.payment.as_ref(), news.charge.as_deref()).await?
        else {
            return Ok(PaymentOutcome::Foreign);
        };
        let dispute = &news.dispute;
        let by = TakeBack::Dispute(dispute.clone());
        let close = |outcome| Command::CloseDispute { dispute: dispute.clone(), outcome };
        let mut outcome = PaymentOutcome::Ignored;
        for step in &news.steps {
            let command = match step {
                DisputeStep::Debit => {
                    outcome = self.take_back(&credited, &by, news.cents).await?;
                    continue;
                }
                DisputeStep::Reversal => {
                    outcome = self.give_back(&credited, &by, news.cents).await?;
                    continue;
                }
                DisputeStep::Open => Command::OpenDispute {
                    dispute: dispute.clone(),
                    payment: credited.facts.payment.clone(),
                },
                DisputeStep::Won => close(DisputeOutcome::Won),
                DisputeStep::Lost => close(DisputeOutcome::Lost),
            };
            let decide = |_: &AccountState| Ok(command.clone());
            let done = self.append_opened(&credited.account, Plan::on_state(&decide)).await?;
            outcome = self.outcome(&credited.account, done);
        }
        self.note_ids(&outcome, &[dispute.as_str()]).await?;
        Ok(outcome)
    }
}
