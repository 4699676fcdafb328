//! What an account is billed for: its resources (by time) and meters (by quantity).
//!
//! These are items of their own, changed in the transaction of the row that says so. What an item
//! says is read *together with the account's state*: a suspension or deletion of everything is one
//! row, and no item is touched by it. [`Resource::condition`] is the one place where both are put
//! together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::account::{AccountState, BilledTotals, Standing};
use crate::domain::ids::{Kind, ProjectId, ResourceId, Sku};
use crate::domain::money::{Quantity, Rate};
use crate::domain::prices::{PriceList, PriceUnit};
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::Timestamp;

/// Anything billed by time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its id, unique within the account.
    pub id: ResourceId,
    /// The project it belongs to.
    pub project: ProjectId,
    pub sku: Sku,
    /// What kind of thing that is.
    pub kind: Kind,
    /// What the customer calls it.
    pub name: String,
    /// The rate agreed for it, in USD per hour; `None`: the price list's at each hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// What its item says; [`Resource::condition`] says what that means.
    pub status: ResourceStatus,
    /// Since when (UTC).
    pub since: Timestamp,
    /// The row that last changed it.
    pub seq: u64,
    /// When it was created (UTC).
    pub created_at: Timestamp,
    /// What it was before its last start: what it falls back to if the start fails.
    #[serde(
        default = "ResourceStatus::stopped",
        skip_serializing_if = "ResourceStatus::is_stopped"
    )]
    pub before: ResourceStatus,
    /// Whether it keeps something that is billed while it is off (a volume its data). Set by the
    /// price at its last start and never by a later one, so that what is billed does not change
    /// behind the account's back.
    #[serde(default, skip_serializing_if = "KeptData::is_nothing")]
    pub keeps: KeptData,
    /// Whether it came back from a deletion and needs a new address.
    #[serde(default, skip_serializing_if = "ResourceAddress::is_kept")]
    pub address: ResourceAddress,
}

/// What a resource's item says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceStatus {
    /// It never came up: there is nothing to keep and nothing to bill.
    New,
    Running,
    /// Stopped; what it keeps may cost something.
    Stopped,
    /// Deleted on its own.
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

/// Whether a resource is billed while it is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptData {
    /// It is not.
    #[default]
    Nothing,
    /// It is, at the price list's rate for that.
    Data,
}

impl KeptData {
    fn is_nothing(&self) -> bool {
        *self == KeptData::Nothing
    }
}

/// Whether the platform must give a resource a new address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceAddress {
    /// It has the one it had.
    #[default]
    Kept,
    /// It was restored: the old one is gone.
    New,
}

impl ResourceAddress {
    fn is_kept(&self) -> bool {
        *self == ResourceAddress::Kept
    }
}

/// What a resource really is, its account's state considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceCondition {
    /// It never came up.
    New,
    Running,
    /// It ran when the account was suspended, and was not started since.
    Suspended,
    Stopped,
    /// Deleted, alone or with everything; it can be restored.
    Deleted {
        at: Timestamp,
    },
    Purged,
}

/// A resource as rows name it when they change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRef {
    pub id: ResourceId,
    pub project: ProjectId,
    pub sku: Sku,
    /// What kind of thing that is.
    pub kind: Kind,
    /// The row that had changed it last: the item must still say so.
    pub seq: u64,
}

impl Resource {
    /// What it really is.
    #[must_use]
    pub fn condition(&self, state: &AccountState) -> ResourceCondition {
        if state.purged_seq.is_some_and(|purged| self.seq < purged) {
            return ResourceCondition::Purged;
        }
        if let Some(deletion) = state.deletions.iter().find(|deletion| self.seq < deletion.seq) {
            return match self.status {
                // It was deleted earlier, on its own.
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

    /// Its rate while running, in USD per hour.
    ///
    /// # Errors
    /// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`] if the price list lacks it.
    pub fn rate_at(&self, prices: &PriceList, instant: Timestamp) -> Result<Rate, Refusal> {
        match self.rate {
            Some(agreed) => Ok(agreed),
            None => prices.require(&self.sku, PriceUnit::Hour, instant).map(|price| price.rate),
        }
    }

    /// Its rate while off, in USD per hour, never above the one while running; `None` if it is not
    /// billed then.
    #[must_use]
    pub fn idle_rate_at(&self, prices: &PriceList, instant: Timestamp) -> Option<Rate> {
        let idle = || prices.at(&self.sku, instant).map_or(Rate::ZERO, |price| price.idle_rate);
        match self.keeps {
            KeptData::Nothing => None,
            KeptData::Data => Some(self.rate.map_or_else(idle, |agreed| idle().min(agreed))),
        }
    }

    /// How rows name it.
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

/// Anything billed by quantity: a reading that only grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    pub project: ProjectId,
    pub sku: Sku,
    /// The last reading reported.
    pub reading: Quantity,
    /// The reading up to which it is billed.
    pub billed: Quantity,
}

/// One resource that is billed by time, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledResource<'a> {
    pub resource: &'a Resource,
    /// Running or off.
    pub mode: BilledMode,
    /// In USD per hour.
    pub rate: Rate,
}

/// Whether a resource is billed because it runs or because of what it keeps while off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BilledMode {
    Running,
    /// It is off and keeps something.
    Idle,
}

/// All resources and meters of an account, as read at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BillableList {
    pub resources: BTreeMap<ResourceId, Resource>,
    /// By project and SKU.
    pub meters: BTreeMap<(ProjectId, Sku), Meter>,
}

impl BillableList {
    /// What is billed by time, by resource id, at the rates of an instant.
    ///
    /// # Errors
    /// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`] if the price list lacks what runs.
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

    /// Whether the list and the state tell of the same resources. If not, one of the two was read
    /// before a row the other knows: read both again.
    ///
    /// # Errors
    /// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`] if the price list lacks what runs.
    pub fn agree_with(&self, state: &AccountState, prices: &PriceList) -> Result<bool, Refusal> {
        let billed = self.billed(state, prices, rated_at(state))?;
        Ok(total(&billed) == state.billed && u32::try_from(self.meters.len()) == Ok(state.meters))
    }
}

/// What a set of billed resources comes to.
#[must_use]
pub fn total(billed: &[BilledResource<'_>]) -> BilledTotals {
    billed.iter().fold(BilledTotals::default(), |total, one| {
        total.with(one.mode, &one.resource.kind, one.rate, one.resource.seq)
    })
}

impl BilledTotals {
    /// With one resource more.
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

    /// With one resource less.
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

/// The instant at whose prices the state's total rate was computed: the last second that is paid.
/// (Prices change at full hours only, so the rate was the same in all of the period.) While nothing
/// is billed, it does not matter.
#[must_use]
pub fn rated_at(state: &AccountState) -> Timestamp {
    state.period.as_ref().map_or(state.at, |period| period.from.max(period.through.plus(-1)))
}
