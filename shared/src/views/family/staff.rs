use super::{FamilyView, credit_added, credit_taken};
use crate::domain::event::{Event, StaffChange};
use crate::domain::row::Row;
use crate::views::event_detail::DomainEventDetail;
use crate::views::transaction_type::TransactionType;

impl FamilyView for StaffChange {
    fn description(&self, _event: &Event) -> String {
        match self {
            StaffChange::Frozen { .. } => "Account frozen".to_owned(),
            StaffChange::Unfrozen { .. } => "Account unfrozen".to_owned(),
            StaffChange::Corrected { reason } => format!("Correction: {reason}"),
            StaffChange::Imported { reference, .. } => format!("Opening balance: {reference}"),
            StaffChange::Erased { .. } => "Personal data erased".to_owned(),
        }
    }

    fn domain_events(&self, row: &Row) -> Vec<DomainEventDetail> {
        let event = match self {
            StaffChange::Frozen { .. } => DomainEventDetail::Frozen {},
            StaffChange::Unfrozen { .. } => DomainEventDetail::Unfrozen {},
            StaffChange::Corrected { .. } if row.event.amount().is_negative() => credit_taken(row),
            StaffChange::Imported { .. } if row.event.amount().is_zero() => return Vec::new(),
            StaffChange::Corrected { .. } | StaffChange::Imported { .. } => credit_added(row),
            StaffChange::Erased { .. } => DomainEventDetail::Erased {},
        };
        vec![event]
    }

    fn transaction_type(&self) -> Option<TransactionType> {
        match self {
            StaffChange::Corrected { .. } => Some(TransactionType::Correction),
            StaffChange::Imported { .. } => Some(TransactionType::OpeningBalance),
            StaffChange::Frozen { .. }
            | StaffChange::Unfrozen { .. }
            | StaffChange::Erased { .. } => None,
        }
    }
}
