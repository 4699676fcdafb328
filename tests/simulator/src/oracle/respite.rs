//! The respite: for ten minutes a refill that is wanted puts off a suspension, once between two
//! credits.

use serde_json::Value;

use super::ensure;
use super::holds::HOLD_TYPES;
use super::row::BookedRow;

/// How long a respite lasts, as the policy says.
const RESPITE_SECONDS: i64 = 600;

/// Types of rows that give back what was prepaid. They are no credit.
const USE_TYPES: [&str; 4] = ["stopped", "resources_deleted", "suspended", "start_failed"];
/// Types of rows that are decided after the account is settled.
const SETTLED_TYPES: [&str; 6] =
    ["started", "restored", "stopped", "resources_deleted", "hold", "hold_extended"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Respite {
    from: i64,
    until: i64,
}

impl Respite {
    fn of(state: &Value) -> Option<Self> {
        let stored = &state["r"]["ru"];
        Some(Self { from: stored["f"].as_i64()?, until: stored["t"].as_i64()? })
    }
}

/// Checks the respite after a row against the one before it. `before` is the state before the row.
///
/// # Errors
/// The rule that is broken, as text.
pub fn check_respite(row: &BookedRow, before: &Value) -> Result<(), String> {
    let (was, is) = (Respite::of(before), Respite::of(&row.state));
    let is_credit = row.amount > 0 && !USE_TYPES.contains(&row.kind.as_str());
    if was.is_some() && ends_unused(row, before) {
        ensure!(is.is_none(), "a respite that nothing used outlasts its reason");
        return Ok(());
    }
    if is == was {
        return Ok(());
    }
    let (Some(was), Some(is)) = (was.filter(|_| !is_credit), is) else {
        // A credit ends a respite, and what leaves a refill wanted may begin one.
        ensure!(is.is_some() || is_credit, "a respite ends without a credit");
        let begun = Respite { from: row.at, until: row.at + RESPITE_SECONDS };
        ensure!(is.is_none_or(|is| is == begun), "a respite is {is:?}, not {begun:?}");
        return Ok(());
    };
    // A rejection of the card ends it.
    let ended = Respite { until: was.until.min(row.at), ..was };
    let is_ended = row.kind == "refill_failed" && is == ended;
    ensure!(is_ended, "a second respite between two credits: {is:?} after {was:?}");
    Ok(())
}

/// Whether the end of a hold ends the only reason for a refill, and nothing ran unpaid.
fn ends_unused(row: &BookedRow, before: &Value) -> bool {
    let (was, is) = (&before["r"], &row.state["r"]);
    let is_over = was["w"].is_object() && is["w"].is_null() && is["o"].is_null();
    let is_unused = row.state["p"]["t"].as_i64().is_none_or(|paid_through| paid_through > row.at);
    HOLD_TYPES.contains(&row.kind.as_str()) && is_over && is_unused
}

/// Nothing that costs time runs on without credit, but in a respite. A request settles the account
/// before its own row. `paid_through` and `before` are those before the row.
///
/// # Errors
/// The rule that is broken, as text.
pub fn check_unpaid_time(
    row: &BookedRow,
    paid_through: Option<i64>,
    before: &Value,
) -> Result<(), String> {
    let is_settled = SETTLED_TYPES.contains(&row.kind.as_str()) && !row.event["y"].is_null();
    let Some(paid_through) = paid_through.filter(|_| is_settled) else { return Ok(()) };
    let until = Respite::of(before).map_or(paid_through, |respite| respite.until.max(paid_through));
    ensure!(row.at < until, "it runs on at {}, and is paid or has a respite to {until}", row.at);
    Ok(())
}
