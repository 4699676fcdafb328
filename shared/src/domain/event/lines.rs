//! The lines of a charge or refund, one per resource or meter.

use serde::{Deserialize, Serialize};

use crate::domain::funds::{Fund, FundShare};
use crate::domain::ids::{ProjectId, ResourceId, Sku};
use crate::domain::money::{Quantity, Rate, Usd};
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{UsageKey, UsageLabels};

/// The amounts billed or given back for time, by resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BilledLines {
    Here(Vec<ResourceLine>),
    /// Stored in separate items, because they do not fit the row.
    Chunked(ChunkedLines),
}

impl MeterLine {
    /// What the usage is counted by. `None` if a release before format 6 counted it.
    #[must_use]
    pub fn usage_key(&self) -> Option<UsageKey> {
        let (project, sku) = (self.project.clone(), self.sku.clone());
        self.hour.map(|hour| UsageKey { hour, project, sku, labels: self.labels.clone() })
    }
}

impl BilledLines {
    #[must_use]
    pub fn none() -> BilledLines {
        BilledLines::Here(Vec::new())
    }
}

/// Lines that are stored in separate, immutable items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkedLines {
    /// SHA-256 over all chunks in order. The row's hash covers it.
    pub digest: String,
    pub chunks: u32,
    pub count: u32,
}

/// The charge or refund of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "LineForm", into = "LineForm")]
pub struct ResourceLine {
    pub resource: ResourceId,
    /// USD per hour. For a change between running and stopped, the difference of the two rates.
    pub rate: Rate,
    /// The number of seconds.
    pub seconds: i64,
    /// Below zero if paid, above zero if given back. Rounded once, half to even.
    pub amount: Usd,
    /// The share of each fund.
    pub shares: Vec<FundShare>,
}

/// The charge of one meter, hour and set of labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterLine {
    #[serde(rename = "p")]
    pub project: ProjectId,
    #[serde(rename = "s")]
    pub sku: Sku,
    /// The clock hour of the usage, by its start. `None` for usage that a release before format 6
    /// counted.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub hour: Option<Timestamp>,
    #[serde(rename = "b", default, skip_serializing_if = "UsageLabels::is_empty")]
    pub labels: UsageLabels,
    /// The quantity of that hour that was billed before this row. Of usage without an hour, the
    /// meter's billed reading.
    #[serde(rename = "f")]
    pub from: Quantity,
    /// The same after this row, which bills the difference.
    #[serde(rename = "t")]
    pub to: Quantity,
    /// USD per unit.
    #[serde(rename = "r")]
    pub rate: Rate,
    /// Below zero, or zero.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// The share of each fund.
    #[serde(rename = "h")]
    pub shares: Vec<FundShare>,
}

/// A line is stored as `[resource, rate, seconds, amount, fund]`, or with `[[fund, amount], …]` in
/// the last place if more than one fund took part.
#[derive(Serialize, Deserialize)]
struct LineForm(ResourceId, Rate, i64, Usd, SharesForm);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SharesForm {
    One(Fund),
    Several(Vec<FundShare>),
}

impl From<LineForm> for ResourceLine {
    fn from(LineForm(resource, rate, seconds, amount, shares): LineForm) -> ResourceLine {
        let shares = match shares {
            SharesForm::One(fund) => vec![FundShare { fund, amount }],
            SharesForm::Several(shares) => shares,
        };
        ResourceLine { resource, rate, seconds, amount, shares }
    }
}

impl From<ResourceLine> for LineForm {
    fn from(line: ResourceLine) -> LineForm {
        let shares = match line.shares.as_slice() {
            [share] if share.amount == line.amount => SharesForm::One(share.fund),
            _ => SharesForm::Several(line.shares),
        };
        LineForm(line.resource, line.rate, line.seconds, line.amount, shares)
    }
}

/// A share is stored as `[fund, amount]`.
impl Serialize for FundShare {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.fund, self.amount).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FundShare {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<FundShare, D::Error> {
        let (fund, amount) = Deserialize::deserialize(deserializer)?;
        Ok(FundShare { fund, amount })
    }
}
