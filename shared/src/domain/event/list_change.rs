//! The change that a row makes to the list of resources and meters.

use super::{Event, MeterLine};
use crate::domain::ids::ResourceId;
use crate::domain::resources::{BillableList, Meter, Resource, ResourceRef, ResourceStatus};
use crate::domain::timestamp::Timestamp;

/// The change that a row makes to the list. The items in the table are written from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "variants and fields are named by what they hold")]
pub enum ListChange<'a> {
    Nothing,
    /// Resources that are new or replace those with the same ID.
    Put(&'a [Resource]),
    SetStatus {
        resources: &'a [ResourceRef],
        status: ResourceStatus,
        since: Timestamp,
    },
    Remove(&'a [ResourceRef]),
    AddMeter(&'a Meter),
    BillMeters(&'a [MeterLine]),
}

impl<'a> ListChange<'a> {
    /// The resources that change.
    #[must_use]
    pub fn resources(self) -> Vec<&'a ResourceId> {
        match self {
            ListChange::Put(resources) => resources.iter().map(|resource| &resource.id).collect(),
            ListChange::SetStatus { resources, .. } | ListChange::Remove(resources) => {
                resources.iter().map(|resource| &resource.id).collect()
            }
            ListChange::Nothing | ListChange::AddMeter(_) | ListChange::BillMeters(_) => Vec::new(),
        }
    }
}

impl BillableList {
    /// Applies a row to the list, as its transaction does.
    pub fn apply(&mut self, event: &Event, seq: u64) {
        match event.list_change() {
            ListChange::Nothing => {}
            ListChange::Put(resources) => {
                for resource in resources {
                    self.resources.insert(resource.id.clone(), resource.clone());
                }
            }
            ListChange::SetStatus { resources, status, since } => {
                for reference in resources {
                    if let Some(resource) = self.resources.get_mut(&reference.id) {
                        resource.status = status;
                        resource.since = since;
                        resource.seq = seq;
                        if status == ResourceStatus::Running {
                            resource.before = ResourceStatus::Stopped;
                        }
                    }
                }
            }
            ListChange::Remove(resources) => {
                for resource in resources {
                    self.resources.remove(&resource.id);
                }
            }
            ListChange::AddMeter(meter) => {
                self.meters.insert((meter.project.clone(), meter.sku.clone()), meter.clone());
            }
            ListChange::BillMeters(lines) => {
                for line in lines {
                    let key = (line.project.clone(), line.sku.clone());
                    if let Some(key) = line.usage_key() {
                        self.usage.entry(key).or_default().billed = line.to;
                    } else if let Some(meter) = self.meters.get_mut(&key) {
                        meter.billed = line.to;
                    }
                }
            }
        }
    }
}
