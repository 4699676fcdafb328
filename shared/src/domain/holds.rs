//! Holds: credit that is set aside for usage to come, so that the usage is paid however many calls
//! run at once. Telecoms call it two-phase spending.
//!
//! A hold keeps a part of each fund that pays for it. That part is still in the balance, but no
//! longer available: nothing else is paid from it. A capture bills the real usage and pays it from
//! the hold first.
//!
//! A hold ends once: captured in full, released, expired, or with the account. One capture that
//! comes later is billed like any other usage.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::fund::{Fund, FundShare};
use crate::domain::ids::{AccountId, ProjectId};
use crate::domain::money::Usd;
use crate::domain::row_format::RowFormat;
use crate::domain::timestamp::{DAY, MINUTE, Timestamp};

/// The first format with holds.
pub const HOLDS_KNOWN: RowFormat = RowFormat::new(6);
/// How long a hold lasts if its request does not say, in seconds.
pub const HOLD_SECONDS: i64 = 10 * MINUTE;
/// How long a hold lasts at most, in seconds.
pub const HOLD_SECONDS_MAX: i64 = DAY;
/// How many SKUs a hold may be for, and how many lines one capture may have.
pub const HOLD_LINES_MAX: usize = 20;

/// The ID of a hold within its account: `hold-` and the number of the row that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HoldId(u64);

const PREFIX: &str = "hold-";

impl HoldId {
    /// The hold that this row made.
    #[must_use]
    pub fn of_row(seq: u64) -> HoldId {
        HoldId(seq)
    }

    /// The number of the row that made it.
    #[must_use]
    pub fn seq(self) -> u64 {
        self.0
    }

    /// The claim of the row that ends the hold.
    #[must_use]
    pub fn end_claim(self, account: &AccountId) -> String {
        format!("hold#{account}#{}#end", self.0)
    }

    /// The claim of the capture after the end.
    #[must_use]
    pub fn late_claim(self, account: &AccountId) -> String {
        format!("hold#{account}#{}#late", self.0)
    }
}

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

/// The text is not the ID of a hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldIdError {
    #[error("must begin with {PREFIX}")]
    Prefix,
    #[error("must end with a number: {0}")]
    Number(#[from] ParseIntError),
    #[error("must not have zeros or signs before its number")]
    Form,
}

impl FromStr for HoldId {
    type Err = HoldIdError;

    fn from_str(text: &str) -> Result<HoldId, HoldIdError> {
        let number = text.strip_prefix(PREFIX).ok_or(HoldIdError::Prefix)?;
        let hold = HoldId(number.parse()?);
        if hold.to_string() == text { Ok(hold) } else { Err(HoldIdError::Form) }
    }
}

/// The part of a fund that a hold keeps, in USD. Stored as `[fund, amount]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Fund, Usd)", into = "(Fund, Usd)")]
pub struct HeldShare {
    pub fund: Fund,
    pub amount: Usd,
}

impl From<(Fund, Usd)> for HeldShare {
    fn from((fund, amount): (Fund, Usd)) -> HeldShare {
        HeldShare { fund, amount }
    }
}

impl From<HeldShare> for (Fund, Usd) {
    fn from(share: HeldShare) -> (Fund, Usd) {
        (share.fund, share.amount)
    }
}

/// An open hold. The row that made it has its SKUs and its project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    #[serde(rename = "q")]
    pub id: HoldId,
    /// It holds nothing from this instant on.
    #[serde(rename = "x")]
    pub expires_at: Timestamp,
    /// In the order in which they pay. Empty if a refund took all of it.
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<HeldShare>,
    /// The project, if it had a budget when the hold was made. What is held counts against it.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
}

impl Hold {
    /// What it holds, in USD.
    #[must_use]
    pub fn amount(&self) -> Usd {
        self.shares.iter().map(|share| share.amount).sum()
    }

    /// What it keeps of a fund, in USD.
    pub(crate) fn of_fund(&self, fund: Fund) -> Usd {
        self.shares.iter().filter(|share| share.fund == fund).map(|share| share.amount).sum()
    }
}

/// What a row leaves of a hold, because a refund or dispute took credit that was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldCut {
    #[serde(rename = "q")]
    pub id: HoldId,
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<HeldShare>,
}

/// What is left of held shares after a part of them paid.
pub(crate) fn left_after(shares: &[HeldShare], paid: &[FundShare]) -> Vec<HeldShare> {
    let left = shares.iter().map(|share| {
        let of_fund = paid.iter().filter(|one| one.fund == share.fund);
        let paid: Usd = of_fund.map(|one| -one.amount).sum();
        HeldShare { amount: share.amount - paid, ..*share }
    });
    left.filter(|share| share.amount.is_positive()).collect()
}
