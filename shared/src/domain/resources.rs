//! The billed items of an account: resources (by time) and meters (by quantity).
//!
//! Each is an item in the table, changed in the transaction of its row. An item is valid only
//! *together with the account's state*: a suspension or deletion of the whole account is one row
//! and touches no item. [`Resource::condition`] is the only place that combines the two.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::account::{AccountState, BilledTotals, Standing};
use crate::domain::ids::{Kind, ProjectId, ResourceId, Sku};
use crate::domain::money::{Quantity, Rate};
use crate::domain::prices::{PriceList, PriceUnit};
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{HourlyUsage, UsageKey};

/// Anything billed by time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Unique within the account.
    pub id: ResourceId,
    /// The project of the resource.
    pub project: ProjectId,
    pub sku: Sku,
    /// Such as `service` or `volume`.
    pub kind: Kind,
    /// The customer's name for it. Since row format 6 it stands in the item only, so that it can be
    /// erased: a resource of a row has none, and neither has one whose name was erased.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The agreed rate, in USD per hour. `None` for the list price of each hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The status in the item. [`Resource::condition`] combines it with the account's state.
    pub status: ResourceStatus,
    /// The time of the last change (UTC).
    pub since: Timestamp,
    /// The row that last changed it.
    pub seq: u64,
    pub created_at: Timestamp,
    /// The status before the last start. It applies again if the start fails.
    #[serde(
        default = "ResourceStatus::stopped",
        skip_serializing_if = "ResourceStatus::is_stopped"
    )]
    pub before: ResourceStatus,
    /// Whether the resource is billed while stopped (a volume keeps its data). Set by the price at
    /// the last start, so that a later price cannot change it.
    #[serde(default, skip_serializing_if = "KeptData::is_nothing")]
    pub keeps: KeptData,
    /// Whether it was restored and needs a new address.
    #[serde(default, skip_serializing_if = "ResourceAddress::is_kept")]
    pub address: ResourceAddress,
}

/// The status in a resource's item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceStatus {
    /// It never ran. There is no data and nothing to bill.
    New,
    Running,
    /// Stopped. Kept data may cost something.
    Stopped,
    Deleted,
}

impl ResourceStatus {
    fn stopped() -> ResourceStatus {
        ResourceStatus::Stopped
    }

    fn is_stopped(&self) -> bool {
        *self == ResourceStatus::Stopped
    }
}

/// Whether a resource is billed while stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptData {
    /// It is free while stopped.
    #[default]
    Nothing,
    /// It is billed at the list price for kept data.
    Data,
}

impl KeptData {
    fn is_nothing(&self) -> bool {
        *self == KeptData::Nothing
    }
}

/// Whether the platform must assign a new address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceAddress {
    /// The address is unchanged.
    #[default]
    Kept,
    /// The resource was restored, and its old address is released.
    New,
}

impl ResourceAddress {
    fn is_kept(&self) -> bool {
        *self == ResourceAddress::Kept
    }
}

/// The actual condition of a resource, including the account's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceCondition {
    /// It never ran.
    New,
    Running,
    /// It ran when the account was suspended, and was not started since.
    Suspended,
    Stopped,
    /// Deleted, individually or with the account. It can be restored.
    Deleted {
        at: Timestamp,
    },
    Purged,
}

/// A resource as named in rows that change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRef {
    pub id: ResourceId,
    pub project: ProjectId,
    pub sku: Sku,
    /// Such as `service` or `volume`.
    pub kind: Kind,
    /// The row that last changed it. The item must match, or it was read too early.
    pub seq: u64,
}

impl Resource {
    /// What it is called: its ID, if its name was erased.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        if self.name.is_empty() { self.id.as_str() } else { &self.name }
    }

    /// Combines the item's status with the account's state.
    #[must_use]
    pub fn condition(&self, state: &AccountState) -> ResourceCondition {
        if state.purged_seq.is_some_and(|purged| self.seq < purged) {
            return ResourceCondition::Purged;
        }
        if let Some(deletion) = state.deletions.iter().find(|deletion| self.seq < deletion.seq) {
            return match self.status {
                // It was deleted earlier, individually.
                ResourceStatus::Deleted => ResourceCondition::Deleted { at: self.since },
                ResourceStatus::New | ResourceStatus::Running | ResourceStatus::Stopped => {
                    ResourceCondition::Deleted { at: deletion.at }
                }
            };
        }
        match self.status {
            ResourceStatus::New => ResourceCondition::New,
            ResourceStatus::Running
                if state.suspended_seq.is_some_and(|suspended| self.seq < suspended) =>
            {
                ResourceCondition::Suspended
            }
            ResourceStatus::Running => ResourceCondition::Running,
            ResourceStatus::Stopped => ResourceCondition::Stopped,
            ResourceStatus::Deleted => ResourceCondition::Deleted { at: self.since },
        }
    }

    /// The rate while running, in USD per hour.
    ///
    /// # Errors
    /// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`] if the price list lacks it.
    pub fn rate_at(&self, prices: &PriceList, instant: Timestamp) -> Result<Rate, Refusal> {
        match self.rate {
            Some(agreed) => Ok(agreed),
            None => prices.require(&self.sku, PriceUnit::Hour, instant).map(|price| price.rate),
        }
    }

    /// The rate while stopped, in USD per hour. Never above the rate while running. `None` if it is
    /// not billed while stopped.
    #[must_use]
    pub fn idle_rate_at(&self, prices: &PriceList, instant: Timestamp) -> Option<Rate> {
        let idle = || prices.at(&self.sku, instant).map_or(Rate::ZERO, |price| price.idle_rate);
        match self.keeps {
            KeptData::Nothing => None,
            KeptData::Data => Some(self.rate.map_or_else(idle, |agreed| idle().min(agreed))),
        }
    }

    /// What it costs at `instant`, in USD per hour: its own rate while it runs, else that of the data
    /// that is kept. During a suspension for lack of credit, that is owed.
    ///
    /// # Errors
    /// As [`Resource::rate_at`].
    pub fn cost_at(
        &self,
        state: &AccountState,
        prices: &PriceList,
        instant: Timestamp,
    ) -> Result<Rate, Refusal> {
        let is_kept = state.standing == Standing::Good || state.kept().is_some();
        match self.condition(state) {
            ResourceCondition::Running => self.rate_at(prices, instant),
            ResourceCondition::Stopped | ResourceCondition::Suspended
                if is_kept && !state.is_unpaid(&self.id) =>
            {
                Ok(self.idle_rate_at(prices, instant).unwrap_or_default())
            }
            ResourceCondition::New
            | ResourceCondition::Stopped
            | ResourceCondition::Suspended
            | ResourceCondition::Deleted { .. }
            | ResourceCondition::Purged => Ok(Rate::ZERO),
        }
    }

    /// The form used in rows.
    #[must_use]
    pub fn reference(&self) -> ResourceRef {
        ResourceRef {
            id: self.id.clone(),
            project: self.project.clone(),
            sku: self.sku.clone(),
            kind: self.kind.clone(),
            seq: self.seq,
        }
    }
}

/// Anything billed by quantity, with a reading that only grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    pub project: ProjectId,
    pub sku: Sku,
    /// The last reported reading of the counter `main`. Releases before format 6 counted everything
    /// in it.
    pub reading: Quantity,
    /// How much of `reading` is billed, or counted by its hour. The rest is usage without an hour.
    pub billed: Quantity,
}

/// A resource billed by time, and its mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledResource<'a> {
    pub resource: &'a Resource,
    /// Running or stopped.
    pub mode: BilledMode,
    /// In USD per hour.
    pub rate: Rate,
}

/// Whether a resource is billed because it runs or because it keeps data while stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BilledMode {
    Running,
    /// It is stopped and keeps data.
    Idle,
}

/// Resources that the account's standing ended, and that may return together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturningResources {
    /// They ran when the account was suspended, and nobody started or stopped them since.
    StoppedBySuspension,
    /// They ran when the account was suspended, and were deleted at the end of the grace period. What
    /// had been stopped or deleted before, or never ran, is not among them: it is restored
    /// individually.
    DeletedWithAccount,
}

/// All resources and meters of an account, read at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BillableList {
    pub resources: BTreeMap<ResourceId, Resource>,
    /// By project and SKU.
    pub meters: BTreeMap<(ProjectId, Sku), Meter>,
    /// Metered usage of the hours that are not billed, and of some before.
    pub usage: BTreeMap<UsageKey, HourlyUsage>,
}

impl BillableList {
    /// The resources billed by time, ordered by ID, with the rates at an instant.
    ///
    /// # Errors
    /// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`] if the price list lacks a running
    /// resource's SKU.
    pub fn billed<'a>(
        &'a self,
        state: &AccountState,
        prices: &PriceList,
        instant: Timestamp,
    ) -> Result<Vec<BilledResource<'a>>, Refusal> {
        if state.standing != Standing::Good {
            return Ok(Vec::new());
        }
        let mut billed = Vec::new();
        for resource in self.resources.values() {
            match resource.condition(state) {
                ResourceCondition::Running => {
                    let rate = resource.rate_at(prices, instant)?;
                    billed.push(BilledResource { resource, mode: BilledMode::Running, rate });
                }
                ResourceCondition::Stopped | ResourceCondition::Suspended => {
                    let idle = resource.idle_rate_at(prices, instant);
                    billed.extend(idle.map(|rate| BilledResource {
                        resource,
                        mode: BilledMode::Idle,
                        rate,
                    }));
                }
                ResourceCondition::New
                | ResourceCondition::Deleted { .. }
                | ResourceCondition::Purged => {}
            }
        }
        Ok(billed)
    }

    /// What may return together, oldest change first.
    #[must_use]
    pub fn returning(&self, which: ReturningResources, state: &AccountState) -> Vec<&Resource> {
        let returns = |resource: &&Resource| match (which, resource.condition(state)) {
            (ReturningResources::StoppedBySuspension, ResourceCondition::Suspended) => true,
            (ReturningResources::DeletedWithAccount, ResourceCondition::Deleted { .. }) => {
                resource.status == ResourceStatus::Running
            }
            _ => false,
        };
        let mut returning: Vec<&Resource> = self.resources.values().filter(returns).collect();
        returning.sort_by(|a, b| (a.since, a.seq, &a.id).cmp(&(b.since, b.seq, &b.id)));
        returning
    }

    /// Whether the list and the state match. If not, one of them was read before a newer row, and
    /// both must be read again.
    ///
    /// # Errors
    /// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`] if the price list lacks a running
    /// resource's SKU.
    pub fn agree_with(&self, state: &AccountState, prices: &PriceList) -> Result<bool, Refusal> {
        let billed = self.billed(state, prices, rated_at(state))?;
        Ok(total(&billed) == state.billed && u32::try_from(self.meters.len()) == Ok(state.meters))
    }
}

/// The totals of a set of billed resources.
#[must_use]
pub fn total(billed: &[BilledResource<'_>]) -> BilledTotals {
    billed.iter().fold(BilledTotals::default(), |total, one| {
        total.with(one.mode, &one.resource.kind, one.rate, one.resource.seq)
    })
}

impl BilledTotals {
    /// The totals with one resource more.
    #[must_use]
    pub fn with(mut self, mode: BilledMode, kind: &Kind, rate: Rate, seq: u64) -> BilledTotals {
        match mode {
            BilledMode::Running => *self.running.entry(kind.clone()).or_default() += 1,
            BilledMode::Idle => self.idle += 1,
        }
        self.rate = self.rate + rate;
        self.seqs += seq;
        self
    }

    /// The totals with one resource less.
    #[must_use]
    pub fn without(mut self, mode: BilledMode, kind: &Kind, rate: Rate, seq: u64) -> BilledTotals {
        match mode {
            BilledMode::Running => {
                let left = self.running.get(kind).map_or(0, |count| count.saturating_sub(1));
                if left == 0 {
                    self.running.remove(kind);
                } else {
                    self.running.insert(kind.clone(), left);
                }
            }
            BilledMode::Idle => self.idle = self.idle.saturating_sub(1),
        }
        self.rate = self.rate.without(rate);
        self.seqs = self.seqs.saturating_sub(seq);
        self
    }
}

/// The instant whose prices the state's total rate uses: the last paid second. Prices change at
/// full hours only, so the rate is constant within a period. While nothing is billed, the value
/// does not matter.
#[must_use]
pub fn rated_at(state: &AccountState) -> Timestamp {
    state.period.as_ref().map_or(state.at, |period| period.from.max(period.through.plus(-1)))
}
