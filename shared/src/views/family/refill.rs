use super::FamilyView;
use crate::domain::account::RefillAgreement;
use crate::domain::event::{Event, RefillChange, RefillDecline};
use crate::domain::row::Row;
use crate::views::event_detail::DomainEventDetail;

impl FamilyView for RefillChange {
    fn description(&self, _event: &Event) -> String {
        match self {
            RefillChange::RefillChanged {
                agreement: Some(RefillAgreement { threshold, target: Some(target), .. }),
                ..
            } => {
                format!("Auto-refill set to ${target} when balance falls below ${threshold}")
            }
            RefillChange::RefillChanged { agreement: Some(agreed), .. } => {
                format!(
                    "Auto-refill set to ${} when balance falls below ${}",
                    agreed.amount, agreed.threshold
                )
            }
            RefillChange::RefillChanged { agreement: None, .. } => {
                "Auto-refill turned off".to_owned()
            }
            RefillChange::CardRemoved { .. } => "Saved card removed".to_owned(),
            RefillChange::CardExpiring { .. } => "Card for auto-refill expires soon".to_owned(),
            RefillChange::CardExpired { .. } => "Card for auto-refill expired".to_owned(),
            RefillChange::RefillDue => "Auto-refill re-evaluated".to_owned(),
            RefillChange::RefillBegun(attempt) => {
                format!("Auto-refill of ${} started", attempt.amount)
            }
            RefillChange::RefillNeedsCustomer { .. } => {
                "Auto-refill awaiting your confirmation".to_owned()
            }
            RefillChange::RefillFailed { decline: RefillDecline::CalledOff, .. } => {
                "Auto-refill canceled".to_owned()
            }
            RefillChange::RefillFailed { .. } => "Auto-refill failed".to_owned(),
        }
    }

    fn domain_events(&self, _row: &Row) -> Vec<DomainEventDetail> {
        match self {
            RefillChange::RefillFailed { attempt, pause, .. } => {
                vec![DomainEventDetail::RefillFailed { attempt: *attempt, paused: pause.is_some() }]
            }
            RefillChange::RefillNeedsCustomer { attempt, void_at, .. } => {
                let (attempt, void_at) = (*attempt, void_at.to_string());
                vec![DomainEventDetail::RefillNeedsCustomer { attempt, void_at }]
            }
            RefillChange::CardExpiring { card, ends_at } => {
                let (card, ends_at) = (card.to_string(), ends_at.to_string());
                vec![DomainEventDetail::CardExpiring { card, ends_at }]
            }
            RefillChange::CardExpired { card } => {
                vec![DomainEventDetail::CardExpired { card: card.to_string() }]
            }
            RefillChange::RefillChanged { .. }
            | RefillChange::CardRemoved { .. }
            | RefillChange::RefillDue
            | RefillChange::RefillBegun(_) => Vec::new(),
        }
    }
}
