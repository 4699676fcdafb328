use super::{FamilyView, hours, resources_called};
use crate::domain::event::{BilledLines, BillingChange, Event};
use crate::domain::row::Row;
use crate::views::event_detail::DomainEventDetail;
use crate::views::transaction_type::TransactionType;

impl FamilyView for BillingChange {
    fn description(&self, _event: &Event) -> String {
        match self {
            BillingChange::Usage { from, through, lines, .. } => {
                format!("Usage {}, {}", hours(*from, *through), resources_called(count(lines)))
            }
            BillingChange::Metered { lines, .. } => match lines.as_slice() {
                [line] => format!("Usage of {}, {} to {}", line.sku, line.from, line.to),
                _ => format!("Usage of {} meters", lines.len()),
            },
            BillingChange::OwedPaid => {
                "Usage and storage that were not paid at the time".to_owned()
            }
        }
    }

    fn domain_events(&self, _row: &Row) -> Vec<DomainEventDetail> {
        Vec::new()
    }

    fn transaction_type(&self) -> Option<TransactionType> {
        Some(TransactionType::Usage)
    }
}

fn count(lines: &BilledLines) -> usize {
    match lines {
        BilledLines::Here(lines) => lines.len(),
        BilledLines::Chunked(chunked) => usize::try_from(chunked.count).unwrap_or(usize::MAX),
    }
}
