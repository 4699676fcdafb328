//! The expected figures of the demonstration, calculated by hand. The demonstrated program computes
//! none of them.

use serde_json::Value;

/// A row: RFC 3339, type, amount and the balance after it, in USD.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    at: &'static str,
    kind: &'static str,
    amount: &'static str,
    balance: &'static str,
}

const fn row(
    at: &'static str,
    kind: &'static str,
    amount: &'static str,
    balance: &'static str,
) -> Row {
    Row { at, kind, amount, balance }
}

/// When the credit is used up.
pub(super) const ZERO: &str = "2026-11-03T02:46:50Z";

/// The GPU costs $2.50 an hour and the database $0.35, together $2.85.
pub(super) const ROWS: [Row; 37] = [
    row("2026-11-02T09:12:00Z", "opened", "0.00", "0.00"),
    row("2026-11-02T09:12:00Z", "topup", "25.00", "25.00"),
    row("2026-11-02T09:12:00Z", "refill_changed", "0.00", "25.00"),
    // 48 minutes of the GPU, 30 of the database.
    row("2026-11-02T09:12:00Z", "usage", "-2.00", "23.00"),
    row("2026-11-02T09:30:00Z", "usage", "-0.175", "22.825"),
    row("2026-11-02T10:00:00Z", "usage", "-2.85", "19.975"),
    row("2026-11-02T11:00:00Z", "usage", "-2.85", "17.125"),
    row("2026-11-02T12:00:00Z", "usage", "-2.85", "14.275"),
    row("2026-11-02T13:00:00Z", "usage", "-2.85", "11.425"),
    row("2026-11-02T14:00:00Z", "usage", "-2.85", "8.575"),
    row("2026-11-02T15:00:00Z", "usage", "-2.85", "5.725"),
    row("2026-11-02T16:00:00Z", "usage", "-2.85", "2.875"),
    row("2026-11-02T16:00:00Z", "refill_begun", "0.00", "2.875"),
    row("2026-11-02T16:00:00Z", "auto_refill", "25.00", "27.875"),
    row("2026-11-02T17:00:00Z", "usage", "-2.85", "25.025"),
    row("2026-11-02T18:00:00Z", "usage", "-2.85", "22.175"),
    row("2026-11-02T19:00:00Z", "usage", "-2.85", "19.325"),
    row("2026-11-02T20:00:00Z", "usage", "-2.85", "16.475"),
    row("2026-11-02T21:00:00Z", "usage", "-2.85", "13.625"),
    row("2026-11-02T22:00:00Z", "usage", "-2.85", "10.775"),
    row("2026-11-02T23:00:00Z", "usage", "-2.85", "7.925"),
    row("2026-11-03T00:00:00Z", "usage", "-2.85", "5.075"),
    row("2026-11-03T01:00:00Z", "usage", "-2.85", "2.225"),
    row("2026-11-03T01:00:00Z", "refill_begun", "0.00", "2.225"),
    row("2026-11-03T01:00:00Z", "refill_failed", "0.00", "2.225"),
    // 2,810 seconds: $1.951389 and $0.273194. One second more would be $2.225375.
    row("2026-11-03T02:00:00Z", "usage", "-2.224583", "0.000417"),
    row("2026-11-03T02:00:00Z", "refill_begun", "0.00", "0.000417"),
    row("2026-11-03T02:00:00Z", "refill_failed", "0.00", "0.000417"),
    row("2026-11-03T02:47:00Z", "suspended", "0.00", "0.000417"),
    // An hour after the last attempt failed, the next may be made.
    row("2026-11-03T03:00:00Z", "refill_due", "0.00", "0.000417"),
    row("2026-11-03T03:00:00Z", "refill_begun", "0.00", "0.000417"),
    row("2026-11-03T03:00:00Z", "refill_failed", "0.00", "0.000417"),
    row("2026-11-03T03:10:00Z", "topup", "25.00", "25.000417"),
    row("2026-11-03T03:10:00Z", "resumed", "0.00", "25.000417"),
    // 50 minutes of each.
    row("2026-11-03T03:10:00Z", "usage", "-2.083333", "22.917084"),
    row("2026-11-03T03:10:00Z", "usage", "-0.291667", "22.625417"),
    row("2026-11-03T04:00:00Z", "usage", "-2.85", "19.775417"),
];

/// Events by name, and how many of each there are.
pub(super) const EVENTS: [(&str, usize); 8] = [
    ("AccountOpened", 1),
    ("CreditAdded", 3),
    ("ResourceStarted", 4),
    ("BalanceLow", 4),
    ("RefillFailed", 3),
    // At 03:10: $22.92 of the $60.00 that a day of the GPU costs, and for an hour after a decline
    // no refill is to be expected.
    ("CreditLow", 1),
    ("Suspended", 1),
    ("Resumed", 1),
];

/// Sums of payments and usage.
pub(super) const TOTALS: [(&str, &str); 4] =
    [("paid", "75.00"), ("used", "-55.224583"), ("balance", "19.775417"), ("standing", "good")];

impl Row {
    pub(super) fn is(&self, row: &Value) -> bool {
        [
            ("at", self.at),
            ("type", self.kind),
            ("amount", self.amount),
            ("balance_after", self.balance),
        ]
        .iter()
        .all(|(field, expected)| row[*field] == *expected)
    }
}

/// Where the rows are not those.
pub(super) fn differences(expected: &[Row], rows: &[Value]) -> Vec<String> {
    let mut found: Vec<String> = expected
        .iter()
        .zip(rows)
        .filter(|(expected, row)| !expected.is(row))
        .map(|(expected, row)| format!("row {} should be {expected:?}", row["seq"]))
        .collect();
    if expected.len() != rows.len() {
        found.push(format!("there should be {} rows, not {}", expected.len(), rows.len()));
    }
    found
}

/// Where the events are not those.
pub(super) fn different_events(expected: &[(&str, usize)], events: &[Value]) -> Vec<String> {
    let count = |name: &str| events.iter().filter(|event| event["detail-type"] == name).count();
    let mut found: Vec<String> = expected
        .iter()
        .filter(|(name, expected)| count(name) != *expected)
        .map(|(name, expected)| format!("there should be {expected} {name}, not {}", count(name)))
        .collect();
    let known = |event: &&Value| expected.iter().any(|(name, _)| event["detail-type"] == *name);
    found.extend(
        events
            .iter()
            .filter(|event| !known(event))
            .map(|event| format!("unexpected: {}", event["detail-type"])),
    );
    found
}

/// Where the totals are not those.
pub(super) fn different_totals(expected: &[(&str, &str)], totals: &Value) -> Vec<String> {
    let wrong = expected.iter().filter(|(field, expected)| totals[*field] != *expected);
    let mut found: Vec<String> = wrong
        .map(|(field, expected)| format!("{field} should be {expected}, not {}", totals[*field]))
        .collect();
    if totals["dead_letters"] != 0 {
        found.push(format!("{} messages could not be delivered", totals["dead_letters"]));
    }
    found
}
