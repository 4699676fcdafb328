//! The lines of what was billed or given back, resource by resource and meter by meter.

use serde::{Deserialize, Serialize};

use crate::domain::funds::{Fund, FundShare};
use crate::domain::ids::{ProjectId, ResourceId, Sku};
use crate::domain::money::{Quantity, Rate, Usd};

/// What was billed or given back for time, resource by resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BilledLines {
    Here(Vec<ResourceLine>),
    /// In chunks of their own, because they do not fit one item.
    Chunked(ChunkedLines),
}

impl BilledLines {
    #[must_use]
    pub fn none() -> BilledLines {
        BilledLines::Here(Vec::new())
    }
}

/// Lines that stand in immutable items of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkedLines {
    /// SHA-256 over all chunks in order: what the row commits to.
    pub digest: String,
    pub chunks: u32,
    pub count: u32,
}

/// What one resource cost or got back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "LineForm", into = "LineForm")]
pub struct ResourceLine {
    pub resource: ResourceId,
    /// At which rate an hour; for a change between running and off, the difference.
    pub rate: Rate,
    /// For how many seconds.
    pub seconds: i64,
    /// Below zero: paid. Above: given back. Rounded once, half to even.
    pub amount: Usd,
    /// Which fund paid or got what.
    pub shares: Vec<FundShare>,
}

/// What one meter cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterLine {
    #[serde(rename = "p")]
    pub project: ProjectId,
    #[serde(rename = "s")]
    pub sku: Sku,
    /// The reading up to which it had been billed.
    #[serde(rename = "f")]
    pub from: Quantity,
    /// The reading up to which it is billed now.
    #[serde(rename = "t")]
    pub to: Quantity,
    /// At which rate a unit.
    #[serde(rename = "r")]
    pub rate: Rate,
    /// Below zero, or zero.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// Which fund paid what.
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
