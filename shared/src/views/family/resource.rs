use super::{FamilyView, hours, resources_called, with_unused};
use crate::domain::event::{Event, ResourceChange, StartKind, StopReason};
use crate::domain::resources::ResourceStatus;
use crate::domain::row::Row;
use crate::views::event_detail::DomainEventDetail;
use crate::views::transaction_type::TransactionType;

impl FamilyView for ResourceChange {
    fn description(&self, event: &Event) -> String {
        let amount = event.amount();
        match self {
            ResourceChange::Created { resources } => {
                format!("{} created", resources_called(resources.len()))
            }
            ResourceChange::Started { resources, how, through, .. } => {
                let what = match how {
                    StartKind::Started => "started",
                    StartKind::Restored { .. } => "restored",
                };
                let (hours, count) = (hours(event.at, *through), resources_called(resources.len()));
                format!("Usage {hours}, {count} {what}")
            }
            ResourceChange::StartFailed { .. } => "Start failed, charge credited back".to_owned(),
            ResourceChange::Stopped { resources, .. } => {
                with_unused(resources.len(), "stopped", amount)
            }
            ResourceChange::ResourcesDeleted { resources, .. } => {
                with_unused(resources.len(), "deleted", amount)
            }
            ResourceChange::Purged { .. } => "Deleted resources permanently removed".to_owned(),
            ResourceChange::MeterOpened(meter) => format!("Meter for {} created", meter.sku),
        }
    }

    fn domain_events(&self, _row: &Row) -> Vec<DomainEventDetail> {
        match self {
            ResourceChange::Started { resources, how: StartKind::Started, .. } => resources
                .iter()
                .map(|resource| DomainEventDetail::ResourceStarted { resource: resource.into() })
                .collect(),
            ResourceChange::Started { resources, how: StartKind::Restored { .. }, .. } => resources
                .iter()
                .map(|resource| DomainEventDetail::ResourceRestored { resource: resource.into() })
                .collect(),
            ResourceChange::StartFailed { resource, status, .. } => {
                let resource = resource.into();
                vec![match status {
                    ResourceStatus::Deleted => DomainEventDetail::ResourceDeleted { resource },
                    ResourceStatus::New | ResourceStatus::Running | ResourceStatus::Stopped => {
                        DomainEventDetail::ResourceStopped { resource, reason: "start_failed" }
                    }
                }]
            }
            ResourceChange::Stopped { resources, why, .. } => {
                let reason = match why {
                    StopReason::Requested => "requested",
                    StopReason::Credit => "credit",
                    StopReason::Budget => "budget",
                };
                let stopped = resources.iter().map(|resource| DomainEventDetail::ResourceStopped {
                    resource: resource.into(),
                    reason,
                });
                stopped.collect()
            }
            ResourceChange::ResourcesDeleted { resources, .. } => resources
                .iter()
                .map(|resource| DomainEventDetail::ResourceDeleted { resource: resource.into() })
                .collect(),
            ResourceChange::Purged { resources, deletion, .. } => {
                let account = deletion.map(|_| DomainEventDetail::Purged {});
                let single = resources.iter().map(|resource| DomainEventDetail::ResourcePurged {
                    resource: resource.into(),
                });
                account.into_iter().chain(single).collect()
            }
            ResourceChange::Created { .. } | ResourceChange::MeterOpened(_) => Vec::new(),
        }
    }

    fn transaction_type(&self) -> Option<TransactionType> {
        match self {
            ResourceChange::Started { .. } => Some(TransactionType::Usage),
            ResourceChange::Stopped { .. }
            | ResourceChange::ResourcesDeleted { .. }
            | ResourceChange::StartFailed { .. } => Some(TransactionType::Unused),
            ResourceChange::Created { .. }
            | ResourceChange::Purged { .. }
            | ResourceChange::MeterOpened(_) => None,
        }
    }
}
