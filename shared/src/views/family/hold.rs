use super::FamilyView;
use crate::domain::event::{Event, HoldChange, MeterLine};
use crate::domain::holds::HeldShare;
use crate::domain::ids::Sku;
use crate::domain::money::Usd;
use crate::domain::row::Row;
use crate::views::event_detail::DomainEventDetail;
use crate::views::transaction_type::TransactionType;

impl FamilyView for HoldChange {
    fn description(&self, _event: &Event) -> String {
        match self {
            HoldChange::Held { skus, shares, .. } => {
                let skus: Vec<&str> = skus.iter().map(Sku::as_str).collect();
                format!("${} set aside for {}", held(shares), skus.join(", "))
            }
            HoldChange::HoldExtended { expires_at, shares, .. } => {
                format!("${} set aside until {expires_at}", held(shares))
            }
            HoldChange::HoldCaptured { lines, .. } | HoldChange::CapturedLate { lines, .. } => {
                usage(lines)
            }
            HoldChange::HoldReleased { .. } => "Credit is no longer set aside".to_owned(),
            HoldChange::HoldExpired { .. } => {
                "Credit is no longer set aside: its time is over".to_owned()
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

fn held(shares: &[HeldShare]) -> Usd {
    shares.iter().map(|share| share.amount).sum()
}

fn usage(lines: &[MeterLine]) -> String {
    match lines {
        [] => "Nothing was used".to_owned(),
        [line] => format!("Usage of {}, {}", line.sku, line.to),
        _ => format!("Usage in {} parts", lines.len()),
    }
}
