//! The entries of an import, as JSON or as CSV with the same names.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate::domain::command::{BonusGrant, OpeningBalance};
use tollgate::domain::ids::{AccountId, Sku};
use tollgate::domain::money::Usd;
use tollgate::domain::prices::PriceList;
use tollgate::domain::profile::{EmailAddress, NonEmptyText};
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::ApiCall;
use tollgate::http::handler;
use tollgate::http::problem::{Problem, ProblemCode};

use super::ENTRIES_MAX;

/// What spreadsheets write before the first column.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The column that holds several values, separated by spaces.
const LIST_COLUMN: &str = "bonus_excludes";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportRequest {
    accounts: Vec<Value>,
}

/// A customer and its balance.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportEntry {
    /// The `sub` of the customer's tokens, which is the account.
    pub(super) sub: AccountId,
    /// Kept unless the account has an address.
    #[serde(default)]
    pub(super) email: Option<EmailAddress>,
    /// Paid credit in USD.
    #[serde(default)]
    credit: Usd,
    /// Free credit in USD.
    #[serde(default)]
    bonus: Option<Usd>,
    /// A time in RFC 3339.
    #[serde(default)]
    bonus_expires_at: Option<String>,
    #[serde(default)]
    bonus_excludes: BTreeSet<Sku>,
    /// Where the history of the balance is found. The customer reads it.
    reference: NonEmptyText,
}

impl ImportEntry {
    /// The balance that the account opens with.
    pub(super) fn opening(&self, prices: &PriceList) -> Result<OpeningBalance, Problem> {
        let is_known = |sku: &&Sku| prices.iter().any(|price| price.sku == **sku);
        if let Some(sku) = self.bonus_excludes.iter().find(|sku| !is_known(sku)) {
            let why = format!("there is no price of {sku}. In CSV, separate SKUs by spaces");
            return Err(unusable(LIST_COLUMN, &why));
        }
        let bonus = match (self.bonus, &self.bonus_expires_at) {
            (Some(amount), Some(expires_at)) => {
                let expires_at: Timestamp = expires_at
                    .parse()
                    .map_err(|error| unusable("bonus_expires_at", &format!("{error}")))?;
                let excludes = self.bonus_excludes.clone();
                Some(BonusGrant { amount, expires_at, excludes })
            }
            (Some(_), None) => {
                return Err(unusable("bonus_expires_at", "is required with a bonus"));
            }
            (None, Some(_)) => return Err(unusable("bonus", "is required with its expiry")),
            (None, None) if !self.bonus_excludes.is_empty() => {
                return Err(unusable("bonus", "is required with what it excludes"));
            }
            (None, None) => None,
        };
        if self.credit.is_negative() {
            return Err(unusable("credit", "must not be negative"));
        }
        Ok(OpeningBalance { credit: self.credit, bonus, reference: self.reference.clone() })
    }
}

/// The entries of a body. A body that begins with `{` or `[` is JSON, any other is CSV with a header.
///
/// # Errors
/// [`ProblemCode::InvalidBody`] if it has no entries, too many, or is neither. An entry that cannot be
/// used is an error of its own.
pub(super) fn read_entries(call: &ApiCall) -> Result<Vec<Result<ImportEntry, Problem>>, Problem> {
    let body = call.body().strip_prefix(BYTE_ORDER_MARK).unwrap_or(call.body());
    let is_json = |first: &u8| [b'{', b'['].contains(first);
    let values = if body.trim_ascii_start().first().is_some_and(is_json) {
        let ImportRequest { accounts } = call.json()?;
        accounts.into_iter().map(Ok).collect()
    } else {
        csv_values(body)?
    };
    if values.is_empty() || values.len() > ENTRIES_MAX {
        let why = format!("accounts: must be 1 to {ENTRIES_MAX} entries.");
        return Err(Problem::new(ProblemCode::InvalidBody, why).with("parameter", "accounts"));
    }
    let mut known = BTreeSet::new();
    let read = values.into_iter().map(|value| {
        let entry: ImportEntry = handler::item_json(&value?)?;
        if known.insert(entry.sub.clone()) {
            Ok(entry)
        } else {
            Err(unusable("sub", "is in an entry before this one"))
        }
    });
    Ok(read.collect())
}

/// The records of a CSV file (RFC 4180) as JSON objects. An empty field is left out.
fn csv_values(body: &[u8]) -> Result<Vec<Result<Value, Problem>>, Problem> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(body);
    let columns = reader.headers().map_err(|error| unreadable(&error))?.clone();
    if !columns.iter().any(|column| column == "sub") {
        let why = "The first line of the CSV must name the columns, and sub is one of them.";
        return Err(Problem::new(ProblemCode::InvalidBody, why));
    }
    let mut named = BTreeSet::new();
    if let Some(column) = columns.iter().find(|column| !named.insert(*column)) {
        let why = format!("{column}: is a column of the CSV twice.");
        return Err(Problem::new(ProblemCode::InvalidBody, why).with("parameter", column));
    }
    let value = |record: csv::StringRecord| -> Value {
        let fields = columns.iter().zip(&record).filter(|(_, field)| !field.is_empty());
        let fields = fields.map(|(column, field)| {
            let value = if column == LIST_COLUMN {
                field.split_whitespace().map(str::to_owned).collect::<Vec<_>>().into()
            } else {
                field.into()
            };
            (column.to_owned(), value)
        });
        Value::Object(fields.collect::<Map<String, Value>>())
    };
    Ok(reader
        .records()
        .map(|record| record.map(value).map_err(|error| unreadable(&error)))
        .collect())
}

fn unreadable(error: &csv::Error) -> Problem {
    let line = error.position().map_or(1, csv::Position::line);
    let why = if let csv::ErrorKind::UnequalLengths { expected_len, len, .. } = error.kind() {
        format!("Line {line} of the CSV has {len} fields, and the first has {expected_len}.")
    } else {
        format!("Line {line} of the CSV is not in UTF-8.")
    };
    Problem::new(ProblemCode::InvalidBody, why)
}

fn unusable(field: &str, why: &str) -> Problem {
    Problem::new(ProblemCode::InvalidBody, format!("{field}: {why}.")).with("parameter", field)
}
