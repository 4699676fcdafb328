use super::{FamilyView, credit_added, credit_taken};
use crate::domain::account::DisputePhase;
use crate::domain::event::{CreditKind, Event, PaymentChange, PendingEnd, TakeBack};
use crate::domain::ids::PaymentId;
use crate::domain::money::Usd;
use crate::domain::row::Row;
use crate::views::event_detail::DomainEventDetail;
use crate::views::transaction_type::TransactionType;

impl FamilyView for PaymentChange {
    fn description(&self, event: &Event) -> String {
        let amount = event.amount();
        match self {
            PaymentChange::Credited { kind: CreditKind::TopUp, credit, .. } => {
                format!("Stripe top-up ${credit}")
            }
            PaymentChange::Credited { kind: CreditKind::Refill { .. }, credit, .. } => {
                format!("Auto-refill ${credit}")
            }
            PaymentChange::Credited { kind: CreditKind::Commit, credit, .. } => {
                commit(event, *credit)
            }
            PaymentChange::PaymentPending(pending) => {
                format!("Payment of ${} pending", pending.amount)
            }
            PaymentChange::PaymentEnded { .. } => "Payment not completed".to_owned(),
            PaymentChange::TakenBack { by: TakeBack::Refund(_), .. } => {
                format!("Refund ${}", -amount)
            }
            PaymentChange::TakenBack { by: TakeBack::Dispute(_), .. } => {
                format!("Disputed payment ${}", -amount)
            }
            PaymentChange::TakenBack { by: TakeBack::Staff(_), cents, .. } => {
                // With tax, and without the bonus that is no money.
                let paid_out = Usd::from_cents(*cents).unwrap_or(-amount);
                format!("Refund, ${paid_out} arrives within 5 to 10 business days")
            }
            PaymentChange::RefundSent { .. } => "Refund accepted by Stripe".to_owned(),
            PaymentChange::GivenBack { by: TakeBack::Refund(_) | TakeBack::Staff(_), .. } => {
                format!("Refund failed, ${amount} credited back")
            }
            PaymentChange::GivenBack { by: TakeBack::Dispute(_), .. } => {
                format!("Dispute closed, ${amount} credited back")
            }
            PaymentChange::DisputeMoved { cents, .. } if *cents < 0 => {
                format!("Dispute closed, ${amount} credited back")
            }
            PaymentChange::DisputeMoved { .. } => format!("Disputed payment ${}", -amount),
            PaymentChange::DisputeOpened { .. }
            | PaymentChange::DisputeChanged { phase: DisputePhase::Open, .. } => {
                "Payment disputed".to_owned()
            }
            PaymentChange::DisputeClosed { .. }
            | PaymentChange::DisputeChanged {
                phase: DisputePhase::Lost | DisputePhase::Over,
                ..
            } => "Dispute closed".to_owned(),
            PaymentChange::FraudWarned { .. } => "Auto-refill paused".to_owned(),
        }
    }

    fn domain_events(&self, row: &Row) -> Vec<DomainEventDetail> {
        let event = match self {
            PaymentChange::Credited { .. } | PaymentChange::GivenBack { .. } => credit_added(row),
            PaymentChange::DisputeMoved { cents, .. } if *cents < 0 => credit_added(row),
            PaymentChange::FraudWarned { .. } | PaymentChange::RefundSent { .. } => {
                return Vec::new();
            }
            PaymentChange::TakenBack { .. } | PaymentChange::DisputeMoved { .. } => {
                credit_taken(row)
            }
            PaymentChange::PaymentPending(pending) => {
                let (payment, amount) = (pending.payment.to_string(), pending.amount.to_string());
                DomainEventDetail::PaymentPending { payment, amount }
            }
            PaymentChange::PaymentEnded { payment, how, .. } => {
                let reason = match how {
                    PendingEnd::Failed => "failed",
                    PendingEnd::Canceled => "canceled",
                    PendingEnd::Expired => "expired",
                };
                DomainEventDetail::PaymentFailed { payment: payment.to_string(), reason }
            }
            PaymentChange::DisputeOpened { .. } => DomainEventDetail::Frozen {},
            PaymentChange::DisputeClosed { .. } | PaymentChange::DisputeChanged { .. }
                if row.state.frozen.is_empty() =>
            {
                DomainEventDetail::Unfrozen {}
            }
            PaymentChange::DisputeClosed { .. } | PaymentChange::DisputeChanged { .. } => {
                DomainEventDetail::Frozen {}
            }
        };
        vec![event]
    }

    fn transaction_type(&self) -> Option<TransactionType> {
        match self {
            PaymentChange::Credited { kind: CreditKind::TopUp, .. } => Some(TransactionType::TopUp),
            PaymentChange::Credited { kind: CreditKind::Refill { .. }, .. } => {
                Some(TransactionType::AutoRefill)
            }
            PaymentChange::Credited { kind: CreditKind::Commit, .. } => {
                Some(TransactionType::Commit)
            }
            PaymentChange::TakenBack { by, .. } | PaymentChange::GivenBack { by, .. } => match by {
                TakeBack::Refund(_) | TakeBack::Staff(_) => Some(TransactionType::Refund),
                TakeBack::Dispute(_) => Some(TransactionType::Dispute),
            },
            PaymentChange::DisputeMoved { .. } => Some(TransactionType::Dispute),
            PaymentChange::PaymentPending(_)
            | PaymentChange::PaymentEnded { .. }
            | PaymentChange::RefundSent { .. }
            | PaymentChange::DisputeOpened { .. }
            | PaymentChange::DisputeClosed { .. }
            | PaymentChange::DisputeChanged { .. }
            | PaymentChange::FraudWarned { .. } => None,
        }
    }

    fn payment(&self) -> Option<&PaymentId> {
        match self {
            PaymentChange::Credited { payment, .. }
            | PaymentChange::PaymentEnded { payment, .. }
            | PaymentChange::RefundSent { payment, .. }
            | PaymentChange::DisputeOpened { payment, .. }
            | PaymentChange::DisputeChanged { payment, .. }
            | PaymentChange::FraudWarned { payment, .. } => Some(payment),
            PaymentChange::PaymentPending(pending) => Some(&pending.payment),
            PaymentChange::TakenBack { of, .. }
            | PaymentChange::GivenBack { of, .. }
            | PaymentChange::DisputeMoved { of, .. } => Some(&of.payment),
            PaymentChange::DisputeClosed { .. } => None,
        }
    }
}

fn commit(event: &Event, credit: Usd) -> String {
    let bonus: Usd = event.grants.iter().map(|grant| grant.amount).sum();
    if bonus.is_zero() {
        format!("Commit plan ${credit}")
    } else {
        format!("Commit plan ${credit} with ${bonus} bonus")
    }
}
