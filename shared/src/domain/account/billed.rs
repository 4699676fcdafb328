//! The period that is paid, and what is billed in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::defaults::is_default;
use crate::domain::ids::{Kind, ResourceId};
use crate::domain::money::{Rate, Usd};
use crate::domain::timestamp::Timestamp;

/// A paid stretch of time, from `from` to `through`, exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidPeriod {
    /// The first paid second.
    #[serde(rename = "f")]
    pub from: Timestamp,
    /// The first unpaid second.
    #[serde(rename = "t")]
    pub through: Timestamp,
    /// The part paid from paid credit, in USD. It returns if everything stops.
    #[serde(rename = "u", default, skip_serializing_if = "Usd::is_zero")]
    pub used: Usd,
    /// Stopped resources that this period does not pay for. They get nothing back.
    #[serde(rename = "n", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unpaid: BTreeSet<ResourceId>,
}

/// Totals of everything billed by time. The list of resources must agree with them before billing:
/// [`BillableList::agree_with`](crate::domain::resources::BillableList::agree_with).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledTotals {
    /// The number of running resources by kind.
    #[serde(rename = "k", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub running: BTreeMap<Kind, u32>,
    /// The number of stopped resources that are still billed (volumes keep their data).
    #[serde(rename = "i", default, skip_serializing_if = "is_default")]
    pub idle: u32,
    /// The total rate, in USD per hour.
    #[serde(rename = "r", default, skip_serializing_if = "Rate::is_zero")]
    pub rate: Rate,
    /// The sum of the row numbers that last changed each resource. Count and rate alone would miss
    /// a swap of two resources with the same rate.
    #[serde(rename = "q", default, skip_serializing_if = "is_default")]
    pub seqs: u64,
}

impl BilledTotals {
    /// The number of resources billed by time, running or not.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.running.values().map(|count| u64::from(*count)).sum::<u64>() + u64::from(self.idle)
    }

    /// The number of running resources of a kind.
    #[must_use]
    pub fn running_of(&self, kind: &Kind) -> u32 {
        self.running.get(kind).copied().unwrap_or(0)
    }

    /// The number of running resources.
    #[must_use]
    pub fn running_count(&self) -> u64 {
        self.running.values().map(|count| u64::from(*count)).sum()
    }
}
