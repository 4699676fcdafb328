use std::collections::BTreeSet;

use super::{FamilyView, hours, resources_called};
use crate::domain::event::{BilledLines, BillingChange, Event, MeterLine};
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
                lines => of_meters(lines),
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

/// A meter may have several lines: one for each hour and set of labels.
fn of_meters(lines: &[MeterLine]) -> String {
    let meters: BTreeSet<_> = lines.iter().map(|line| (&line.project, &line.sku)).collect();
    match lines {
        [line, ..] if meters.len() == 1 => format!("Usage of {}", line.sku),
        _ => format!("Usage of {} meters", meters.len()),
    }
}

fn count(lines: &BilledLines) -> usize {
    match lines {
        BilledLines::Here(lines) => lines.len(),
        BilledLines::Chunked(chunked) => usize::try_from(chunked.count).unwrap_or(usize::MAX),
    }
}
