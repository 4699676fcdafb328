use super::{FamilyView, credit_added, credit_taken};
use crate::domain::event::{Event, GrantChange};
use crate::domain::row::Row;
use crate::views::event_detail::DomainEventDetail;
use crate::views::transaction_type::TransactionType;

impl FamilyView for GrantChange {
    fn description(&self, event: &Event) -> String {
        let amount = event.amount();
        match self {
            GrantChange::Granted { reason, .. } => format!("Bonus ${amount}: {reason}"),
            GrantChange::GrantWithdrawn { reason, .. } => {
                format!("Bonus of ${} withdrawn: {reason}", -amount)
            }
            GrantChange::GrantExpired { .. } => format!("Credit of ${} expired", -amount),
            GrantChange::TrialStarted { .. } => format!("Trial credit ${amount}"),
            GrantChange::TrialEnded | GrantChange::TrialOver { .. } if amount.is_zero() => {
                "Trial ended".to_owned()
            }
            GrantChange::TrialEnded | GrantChange::TrialOver { .. } => {
                format!("Trial ended, credit of ${} expired", -amount)
            }
            GrantChange::TrialEnding { ends_at, .. } => format!("Trial ends at {ends_at}"),
        }
    }

    fn domain_events(&self, row: &Row) -> Vec<DomainEventDetail> {
        match self {
            GrantChange::Granted { .. } => vec![credit_added(row)],
            GrantChange::GrantWithdrawn { .. } if row.event.amount().is_zero() => Vec::new(),
            GrantChange::GrantWithdrawn { .. } => vec![credit_taken(row)],
            GrantChange::GrantExpired { .. } => {
                vec![DomainEventDetail::CreditExpired { amount: (-row.event.amount()).to_string() }]
            }
            GrantChange::TrialStarted { ends_at, .. } => {
                let ends_at = ends_at.to_string();
                vec![DomainEventDetail::TrialStarted { ends_at }, credit_added(row)]
            }
            GrantChange::TrialEnded | GrantChange::TrialOver { .. } => {
                vec![DomainEventDetail::TrialEnded {}]
            }
            GrantChange::TrialEnding { ends_at, renewal, .. } => {
                let ends_at = ends_at.to_string();
                let renewal = renewal.map(|amount| amount.to_string());
                vec![DomainEventDetail::TrialEnding { ends_at, renewal }]
            }
        }
    }

    fn transaction_type(&self) -> Option<TransactionType> {
        match self {
            GrantChange::Granted { .. }
            | GrantChange::GrantWithdrawn { .. }
            | GrantChange::GrantExpired { .. } => Some(TransactionType::Bonus),
            GrantChange::TrialStarted { .. }
            | GrantChange::TrialEnded
            | GrantChange::TrialOver { .. } => Some(TransactionType::Trial),
            GrantChange::TrialEnding { .. } => None,
        }
    }
}
