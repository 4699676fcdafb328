//! Each cause has one row, and what staff did says who it was.

use std::collections::BTreeSet;

use serde_json::Value;

use super::ensure;
use super::row::BookedRow;

/// What only staff do.
const OF_STAFF: [&str; 9] = [
    "granted",
    "grant_withdrawn",
    "corrected",
    "imported",
    "frozen",
    "unfrozen",
    "closed",
    "reopened",
    "erased",
];
/// The `sub` of the only member of staff here.
pub const STAFF: &str = "staff-1";

#[derive(Debug, Default)]
pub struct CauseBooks {
    causes: BTreeSet<String>,
}

impl CauseBooks {
    /// A payment, a refund, an attempt and a request have one row each.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(&mut self, row: &BookedRow) -> Result<(), String> {
        let (change, cause) = (&row.change, &row.event["y"]);
        let cause = match row.kind.as_str() {
            "topup" | "auto_refill" | "commit" => format!("paid {}", change["payment"]),
            "refund" | "refund_reversed" | "refund_pending" => {
                format!("{} {}", row.kind, change["by"])
            }
            "refund_sent" => format!("refund {}", change["number"]),
            "refund_failed" => format!("refund {}", change["by"]["staff"]["n"]),
            "imported" => "import".to_owned(),
            "refill_begun" => format!("refill {}", change["n"]),
            _ => match [&cause["request"]["k"], &cause["staff"]["r"]["k"]].map(Value::as_str) {
                [Some(key), _] | [_, Some(key)] => format!("request {key}"),
                [None, None] => return Ok(()),
            },
        };
        ensure!(self.causes.insert(cause.clone()), "{cause} has two rows");
        Ok(())
    }
}

/// What staff did says who it was. Processes of an older release may leave it out.
///
/// # Errors
/// The rule that is broken, as text.
pub fn check_named(row: &BookedRow) -> Result<(), String> {
    let cause = &row.event["y"];
    let is_named = cause["staff"]["s"] == STAFF;
    let is_of_staff = OF_STAFF.contains(&row.tag.as_str()) || row.kind == "refund_pending";
    ensure!(is_named || !is_of_staff, "{} was done by nobody", row.tag);
    ensure!(is_named || cause["staff"].is_null(), "it was done by unknown staff: {cause}");
    Ok(())
}
