//! Credit that is not paid for, and expires.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{PaymentId, Sku};
use crate::domain::money::Usd;
use crate::domain::timestamp::Timestamp;

/// The maximum number of grants of an account that have not expired. Every row of the account stores
/// them.
pub const GRANTS_MAX: usize = 20;

/// Free credit with an expiry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The number within the account. It identifies the fund (0 is paid credit).
    #[serde(rename = "n")]
    pub number: u32,
    /// Why it was given.
    #[serde(rename = "k")]
    pub kind: GrantKind,
    /// The original amount, in USD. `remaining` never exceeds it.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// The unspent amount, in USD. Never below zero.
    #[serde(rename = "r", default, skip_serializing_if = "Usd::is_zero")]
    pub remaining: Usd,
    /// The part spent on the current period, in USD. It returns if everything stops.
    #[serde(rename = "u", default, skip_serializing_if = "Usd::is_zero")]
    pub used: Usd,
    /// When it was given (UTC). It pays for no metered usage of hours before. `None` in rows of format 5
    /// and older.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub given_at: Option<Timestamp>,
    /// The grant pays nothing from this instant on. Time paid earlier may extend beyond it.
    #[serde(rename = "x")]
    pub expires_at: Timestamp,
    /// SKUs that the grant does not pay for.
    #[serde(rename = "e", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub excludes: BTreeSet<Sku>,
    /// The payment that brought the grant. A refund of it takes the grant back too.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentId>,
}

/// The purpose of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    Trial,
    /// Given by staff.
    Bonus,
    /// The bonus of a commit plan.
    Commit,
}

impl GrantKind {
    /// As callers of the API know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            GrantKind::Trial => "trial",
            GrantKind::Bonus => "bonus",
            GrantKind::Commit => "commit",
        }
    }
}
