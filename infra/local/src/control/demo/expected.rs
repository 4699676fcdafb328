//! What a story is compared with. The demonstrated program computes none of it.

use serde_json::{Value, json};

/// A row: RFC 3339, type, amount and the balance after it, in USD.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    at: &'static str,
    kind: &'static str,
    amount: &'static str,
    balance: &'static str,
}

pub(super) const fn row(
    at: &'static str,
    kind: &'static str,
    amount: &'static str,
    balance: &'static str,
) -> Row {
    Row { at, kind, amount, balance }
}

/// A mail: RFC 3339, the event it is about, an amount in USD and a time in RFC 3339; empty for none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mail(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
);

/// Everything that is known of a story before it is played.
#[derive(Debug)]
pub(super) struct ExpectedStory {
    pub(super) account: &'static str,
    pub(super) rows: &'static [Row],
    /// Events by name, and how many of each there are.
    pub(super) events: &'static [(&'static str, usize)],
    pub(super) mails: &'static [Mail],
    /// Sums of payments and usage.
    pub(super) totals: &'static [(&'static str, &'static str)],
}

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

impl Mail {
    pub(super) fn is(&self, mail: &Value) -> bool {
        let Mail(at, what, amount, deadline) = *self;
        *mail == json!({"at": at, "what": what, "amount": amount, "deadline": deadline})
    }
}

/// Where the mails are not those.
pub(super) fn different_mails(expected: &[Mail], mails: &[Value]) -> Vec<String> {
    let mut found: Vec<String> = expected
        .iter()
        .zip(mails)
        .filter(|(expected, mail)| !expected.is(mail))
        .map(|(expected, mail)| format!("{mail} should be {expected:?}"))
        .collect();
    if expected.len() != mails.len() {
        found.push(format!("there should be {} mails, not {}", expected.len(), mails.len()));
    }
    found
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
