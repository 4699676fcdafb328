use super::FamilyView;
use crate::domain::event::{Event, StandingChange};
use crate::domain::row::Row;
use crate::views::event_detail::DomainEventDetail;
use crate::views::transaction_type::TransactionType;

impl FamilyView for StandingChange {
    fn description(&self, _event: &Event) -> String {
        match self {
            StandingChange::Opened => "Account opened".to_owned(),
            StandingChange::Suspended { .. } => "Account suspended".to_owned(),
            StandingChange::Resumed { .. } => "Account resumed".to_owned(),
            StandingChange::DeletionAnnounced { delete_at } => {
                format!("All resources will be deleted at {delete_at}")
            }
            StandingChange::DeletionDue => "Grace period ended".to_owned(),
            StandingChange::Deleted => "All resources deleted".to_owned(),
            StandingChange::Closed { .. } | StandingChange::ClosedByCustomer => {
                "Account closed".to_owned()
            }
            StandingChange::Reopened { .. } => "Account reopened".to_owned(),
            StandingChange::RestartPolicyChosen(_) => "Restart preference changed".to_owned(),
        }
    }

    fn domain_events(&self, _row: &Row) -> Vec<DomainEventDetail> {
        match self {
            StandingChange::Opened => vec![DomainEventDetail::AccountOpened {}],
            StandingChange::Suspended { as_of, .. } => {
                vec![DomainEventDetail::Suspended { as_of: as_of.to_string() }]
            }
            StandingChange::Resumed { resources, .. } => {
                let started = resources.iter().map(|resource| DomainEventDetail::ResourceStarted {
                    resource: resource.into(),
                });
                std::iter::once(DomainEventDetail::Resumed {}).chain(started).collect()
            }
            StandingChange::DeletionAnnounced { delete_at } => {
                vec![DomainEventDetail::DeletionSoon { delete_at: delete_at.to_string() }]
            }
            StandingChange::DeletionDue => vec![DomainEventDetail::DeletionDue {}],
            StandingChange::Deleted => vec![DomainEventDetail::Deleted {}],
            StandingChange::Closed { .. } | StandingChange::ClosedByCustomer => {
                vec![DomainEventDetail::Closed {}]
            }
            StandingChange::Reopened { .. } => vec![DomainEventDetail::Reopened {}],
            StandingChange::RestartPolicyChosen(_) => Vec::new(),
        }
    }

    /// Of these rows, only a suspension by staff moves money: it gives back unused time.
    fn transaction_type(&self) -> Option<TransactionType> {
        match self {
            StandingChange::Suspended { .. } => Some(TransactionType::Unused),
            StandingChange::Opened
            | StandingChange::Resumed { .. }
            | StandingChange::DeletionAnnounced { .. }
            | StandingChange::DeletionDue
            | StandingChange::Deleted
            | StandingChange::Closed { .. }
            | StandingChange::ClosedByCustomer
            | StandingChange::Reopened { .. }
            | StandingChange::RestartPolicyChosen(_) => None,
        }
    }
}
