//! Rows as they are stored.

use std::collections::BTreeMap;

use serde_json::Value;

use super::amounts::{HourlyRate, Micros, hourly_rate, micros, scaled};
use super::ensure;

/// A row with its body.
#[derive(Clone, Debug)]
pub struct BookedRow {
    pub account: String,
    pub seq: u64,
    /// Unix seconds.
    pub at: i64,
    pub kind: String,
    /// The name of the change in the body.
    pub tag: String,
    pub amount: Micros,
    pub balance: Micros,
    pub body: String,
    /// The hash of the row before.
    pub previous: String,
    /// The event. Its change stands in `change`.
    pub event: Value,
    pub change: Value,
    /// The account after the row.
    pub state: Value,
}

/// Paid credit is fund 0. The others are grants.
pub type FundNumber = u32;
pub const PAID: FundNumber = 0;

/// Amounts by fund, without zeros.
pub type FundShares = BTreeMap<FundNumber, Micros>;

/// What a row changes of a fund.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FundMove {
    pub amount: Micros,
    /// The change of what the fund spent on the current period.
    pub used: Micros,
}

pub type FundMoves = BTreeMap<FundNumber, FundMove>;

/// The charge of one resource, below zero, or what it gets back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedLine {
    pub resource: String,
    pub rate: HourlyRate,
    pub seconds: i64,
    pub amount: Micros,
    pub shares: FundShares,
}

impl BookedRow {
    /// Reads an item of the ledger. The attributes must say what the body says.
    ///
    /// # Errors
    /// What is wrong, as text.
    pub fn read(item: &Value) -> Result<Self, String> {
        let text = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
        let body = text("body");
        let parsed: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let (tag, change) = match &parsed["x"]["e"] {
            Value::String(tag) => (tag.clone(), Value::Null),
            Value::Object(tagged) => {
                let (tag, change) = tagged.iter().next().ok_or("no change")?;
                (tag.clone(), change.clone())
            }
            other => return Err(format!("{other} is no change")),
        };
        let row = Self {
            account: text("account"),
            seq: number(&item["seq"])?,
            at: number(&item["at"])?,
            kind: text("type"),
            amount: scaled(&attribute_text(&item["amount"]), 6)?,
            balance: scaled(&attribute_text(&item["balance"]), 6)?,
            previous: parsed["p"].as_str().unwrap_or("no hash").to_owned(),
            event: parsed["x"].clone(),
            change,
            state: parsed["s"].clone(),
            tag,
            body,
        };
        ensure!(parsed["t"] == row.at, "the body has the time {}", parsed["t"]);
        let kind = kind_of(&row.tag, &row.change);
        ensure!(kind == row.kind, "the body says {kind}, and the type is {}", row.kind);
        Ok(row)
    }

    /// What the row says that it changes of each fund.
    ///
    /// # Errors
    /// What is wrong, as text.
    pub fn moves(&self) -> Result<FundMoves, String> {
        let mut moves = FundMoves::new();
        for stored in array(&self.event["f"]) {
            let amount = micros(&stored[1])?;
            let used = if stored[2].is_null() { -amount } else { micros(&stored[2])? };
            let before = moves.insert(fund(&stored[0])?, FundMove { amount, used });
            ensure!(before.is_none(), "fund {} moves twice", stored[0]);
        }
        moves.retain(|_, fund| *fund != FundMove::default());
        Ok(moves)
    }

    /// The lines of the row, in the order of the row.
    ///
    /// # Errors
    /// What is wrong, as text.
    pub fn lines(&self) -> Result<Vec<BookedLine>, String> {
        let stored = if self.kind == "usage" { &self.change["l"] } else { &self.change["lines"] };
        ensure!(stored.is_array(), "the lines stand elsewhere: {stored}");
        array(stored).iter().map(BookedLine::read).collect()
    }

    /// The IDs of the resources that the row names.
    #[must_use]
    pub fn resources(&self) -> Vec<String> {
        let named = array(&self.change["resources"]).iter();
        named.chain(Some(&self.change["resource"])).filter_map(id_of).collect()
    }
}

fn id_of(resource: &Value) -> Option<String> {
    resource["id"].as_str().map(str::to_owned)
}

impl BookedLine {
    fn read(stored: &Value) -> Result<Self, String> {
        let amount = micros(&stored[3])?;
        let mut shares = FundShares::new();
        if stored[4].is_u64() {
            shares.insert(fund(&stored[4])?, amount);
        }
        for share in array(&stored[4]) {
            shares.insert(fund(&share[0])?, micros(&share[1])?);
        }
        shares.retain(|_, share| *share != 0);
        Ok(Self {
            resource: stored[0].as_str().unwrap_or_default().to_owned(),
            rate: hourly_rate(&stored[1])?,
            seconds: stored[2].as_i64().ok_or("a line without seconds")?,
            amount,
            shares,
        })
    }
}

/// The number of a fund.
///
/// # Errors
/// What is wrong, as text.
pub fn fund(value: &Value) -> Result<FundNumber, String> {
    let number = value.as_u64().and_then(|number| FundNumber::try_from(number).ok());
    number.ok_or_else(|| format!("{value} is no fund"))
}

/// The elements of a list. None if it is no list.
#[must_use]
pub fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A number of an item.
///
/// # Errors
/// What is wrong, as text.
pub fn number<T: std::str::FromStr>(attribute: &Value) -> Result<T, String> {
    let parsed = attribute["N"].as_str().and_then(|digits| digits.parse().ok());
    parsed.ok_or_else(|| format!("{attribute} is no number"))
}

#[must_use]
pub fn attribute_text(attribute: &Value) -> String {
    attribute["N"].as_str().or(attribute["S"].as_str()).unwrap_or("?").to_owned()
}

/// The type of a row with this change.
fn kind_of(tag: &str, change: &Value) -> String {
    let is_refund = change["by"]["refund"].is_string();
    let is_by_staff = change["by"]["staff"].is_object();
    let kind = match tag {
        "u" => "usage",
        "credited" if change["kind"] == "top_up" => "topup",
        "credited" if change["kind"] == "commit" => "commit",
        "credited" => "auto_refill",
        "taken_back" if is_by_staff => "refund_pending",
        "given_back" if is_by_staff => "refund_failed",
        "taken_back" => {
            if is_refund {
                "refund"
            } else {
                "dispute"
            }
        }
        "given_back" => {
            if is_refund {
                "refund_reversed"
            } else {
                "dispute_reversed"
            }
        }
        "dispute_moved" if change["cents"].as_i64() < Some(0) => "dispute_reversed",
        "dispute_moved" => "dispute",
        "dispute_changed" if change["phase"] == "open" => "dispute_opened",
        "dispute_changed" => "dispute_closed",
        "fraud_warned" => "fraud_warning",
        "granted" => "bonus",
        "grant_withdrawn" => "bonus_withdrawn",
        "grant_expired" => "expired",
        "trial_started" => "trial",
        "trial_over" => "trial_ended",
        "closed_by_customer" => "closed",
        "started" if change["how"] == "started" => "started",
        "started" => "restored",
        "deletion_due" => "deleting",
        "corrected" => "correction",
        "held" => "hold",
        "captured_late" => "hold_captured",
        same => same,
    };
    kind.to_owned()
}
