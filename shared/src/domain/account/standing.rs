//! The standing of an account: whether it may run anything, and until when it is kept.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::defaults::is_default;
use crate::domain::ids::DisputeId;
use crate::domain::money::{Rate, Usd};
use crate::domain::timestamp::Timestamp;
use crate::domain::yes_no;

/// Whether the account may run resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    #[default]
    Good,
    /// Out of credit, or suspended by staff. Everything is stopped, and deleted after the grace
    /// period.
    Suspended(Suspension),
    /// The grace period is over. Stripe is asked about pending payments before the deletion.
    Deleting(BalanceFloor),
    /// All resources are deleted. They can be restored for a while.
    Deleted(BalanceFloor),
    /// Closed by staff or on the customer's request. Confirmed payments are still credited.
    Closed,
}

impl Standing {
    /// The name in answers and events.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Standing::Good => "good",
            Standing::Suspended(_) => "suspended",
            Standing::Deleting(_) => "deleting",
            Standing::Deleted(_) => "deleted",
            Standing::Closed => "closed",
        }
    }
}

/// Why and since when everything is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Everything is paid up to this instant.
    #[serde(rename = "o")]
    pub as_of: Timestamp,
    /// Whether lack of credit or staff caused it.
    #[serde(rename = "y", default, skip_serializing_if = "is_default")]
    pub reason: SuspensionReason,
    /// The end of the grace period. `None` for a suspension by staff.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub delete_at: Option<Timestamp>,
    /// When the customer is warned of the deletion. `None` if the warning was sent or is not
    /// needed.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<Timestamp>,
    /// The available credit at the suspension. Only more of it ends the suspension. The
    /// remainder can be less than the cost of one second, and must not count as new credit.
    #[serde(rename = "l", default, skip_serializing_if = "Usd::is_zero")]
    pub floor: Usd,
    /// What the kept data costs. `None` if nothing is kept, and in rows of format 2.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptCharge>,
}

/// The cost of data that is kept while an account is suspended for lack of credit. It is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCharge {
    /// The total of the idle rates, in USD per hour.
    #[serde(rename = "r")]
    pub rate: Rate,
    /// The time before is part of what is owed already.
    #[serde(rename = "f")]
    pub from: Timestamp,
    /// The end of the grace period, exclusive. The time after is not owed.
    #[serde(rename = "t")]
    pub until: Timestamp,
}

impl KeptCharge {
    /// The cost up to `now`, in USD, rounded once.
    #[must_use]
    pub fn cost(&self, now: Timestamp) -> Usd {
        self.rate.for_seconds((now.min(self.until) - self.from).max(0))
    }

    /// The charge for the time after `now`, at another rate.
    #[must_use]
    pub fn from_now(&self, now: Timestamp, rate: Rate) -> KeptCharge {
        KeptCharge { rate, from: now.min(self.until).max(self.from), until: self.until }
    }
}

/// The cause of a suspension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspensionReason {
    /// The credit was used up.
    #[default]
    Credit,
    /// Suspended by staff. New credit does not end it.
    Staff,
}

/// The balance that must be exceeded to restore a deleted account, in USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceFloor {
    /// The balance at the suspension. Never below zero.
    #[serde(rename = "l", default, skip_serializing_if = "Usd::is_zero")]
    pub floor: Usd,
}

/// Whether resources restart when a suspension ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Resources stay stopped until the customer starts them.
    #[default]
    StayOff,
    /// Resources restart in the order of their last start, as far as the credit reaches.
    InOrder,
}

/// A deletion of all resources of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDeletion {
    /// The row of the deletion. It deletes all resources that were last changed before it.
    #[serde(rename = "q")]
    pub seq: u64,
    /// The time of the deletion (UTC).
    #[serde(rename = "a")]
    pub at: Timestamp,
}

/// Why new starts and card charges are blocked. Running resources continue and are billed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFreeze {
    /// Frozen by staff. The row records the reason.
    #[serde(rename = "s", with = "yes_no", default, skip_serializing_if = "is_default")]
    pub staff: bool,
    /// Open or lost disputes.
    #[serde(rename = "d", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub disputes: BTreeSet<DisputeId>,
}

impl AccountFreeze {
    /// True if the account is not frozen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.staff && self.disputes.is_empty()
    }
}
