//! Stored rows stay readable and are written with the same bytes, forever. The fixtures hold rows
//! of every kind, with each field in at least one of them, as an earlier build wrote them.
//!
//! The fixtures are data. A failing test means that stored rows would be read or written
//! differently, and the code must change. The only reason to touch a fixture is to *add* rows.
//!
//! - **A new kind of row, or a new optional field** (an addition that older rows simply lack):
//!   write a story with an account of its own in [`stories`], and run this test once with
//!   `WRITE_FIXTURES=1`. It appends the accounts that the fixture lacks and leaves the others
//!   alone.
//! - **A new format**: the old fixture stays and is read. The stories write a new one,
//!   `every_kind_of_format_<FORMAT>.json`, in the same way.

mod coverage;
mod stories;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate::domain::account::AccountState;
use tollgate::domain::event::{BilledLines, Change, Event};
use tollgate::domain::ids::AccountId;
use tollgate::domain::money::Usd;
use tollgate::domain::row::{self, ChainHead, StoredRow};
use tollgate::domain::row_format::RowFormat;
use tollgate::domain::timestamp::Timestamp;

use coverage::Coverage;

/// Rows of 10 kinds, written by releases that knew only format 1.
const FORMAT_1: &str = include_str!("../fixtures/rows_of_format_1.json");
/// Rows of all kinds of format 2, written by a release that knew no newer one.
const FORMAT_2: &str = include_str!("../fixtures/every_kind_of_format_2.json");
/// Rows of all kinds of format 3, written by a release that knew no newer one.
const FORMAT_3: &str = include_str!("../fixtures/every_kind_of_format_3.json");
/// Rows of all kinds of format 4, written by a release that knew no newer one.
const FORMAT_4: &str = include_str!("../fixtures/every_kind_of_format_4.json");
/// Rows of all kinds of format 5, written by a release that knew no newer one.
const FORMAT_5: &str = include_str!("../fixtures/every_kind_of_format_5.json");
/// Rows of every kind.
const FORMAT_6: &str = include_str!("../fixtures/every_kind_of_format_6.json");
const CURRENT_PATH: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/every_kind_of_format_6.json");

/// Stored names that are always left out, because they are the default.
const NEVER_STORED: [&str; 7] = [
    "CardChoice::named",
    "Cause::time",
    "KeptData::nothing",
    "ResourceAddress::kept",
    "Standing::good",
    "TaxMode::off",
    "TrialPhase::active",
];

/// Names that only older formats store, so that their fixtures hold them.
const BEFORE_6: [&str; 6] = [
    "AccountState::dp",
    "AccountState::tb",
    "Change::given_back::k",
    "Change::taken_back::k",
    "Change::trial_ended",
    "Resource::name",
];

/// A row in a fixture, with numbers as DynamoDB writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FixtureRow {
    /// Fixtures of format 1 hold one account, without its name.
    #[serde(default = "account_of_format_1")]
    account: AccountId,
    seq: String,
    at: String,
    #[serde(rename = "type")]
    kind: String,
    amount: Usd,
    balance: Usd,
    body: String,
    /// The lines stored in separate items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chunks: Vec<String>,
}

fn account_of_format_1() -> AccountId {
    crate::world::named("alice")
}

impl FixtureRow {
    fn new(stored: &StoredRow, chunks: &[String]) -> FixtureRow {
        FixtureRow {
            account: stored.account.clone(),
            seq: stored.seq.to_string(),
            at: stored.at.seconds().to_string(),
            kind: stored.kind.clone(),
            amount: stored.amount,
            balance: stored.balance,
            body: stored.body.clone(),
            chunks: chunks.to_vec(),
        }
    }

    fn stored(&self) -> StoredRow {
        let at = self.at.parse().unwrap();
        StoredRow {
            account: self.account.clone(),
            seq: self.seq.parse().unwrap(),
            at: Timestamp::from_seconds(at).unwrap(),
            kind: self.kind.clone(),
            amount: self.amount,
            balance: self.balance,
            body: self.body.clone(),
        }
    }
}

fn rows(fixture: &str) -> Vec<FixtureRow> {
    serde_json::from_str(fixture).unwrap()
}

/// One row per line, so that a diff shows the addition.
fn written(rows: &[FixtureRow]) -> String {
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        text.push_str(if index == 0 { "[\n" } else { ",\n" });
        write!(text, "{}", serde_json::to_string(row).unwrap()).unwrap();
    }
    text + "\n]\n"
}

/// Reads and verifies the chains of a fixture and writes each row again in its own format: the same
/// bytes must come out.
#[track_caller]
fn check(format: u16, fixture: &[FixtureRow]) {
    let mut head = ChainHead::none();
    let mut account = None;
    for expected in fixture {
        if account != Some(&expected.account) {
            (head, account) = (ChainHead::none(), Some(&expected.account));
        }
        let shown = format!("{} {} {}", expected.account, expected.seq, expected.kind);
        let stored = expected.stored();
        let read = row::decode(&stored, RowFormat::READABLE)
            .unwrap_or_else(|fault| panic!("{shown}: {fault}"));
        row::check_follows(&head, &read).unwrap_or_else(|fault| panic!("{shown}: {fault}"));
        if let Some(BilledLines::Chunked(committed)) = read.event.change.lines() {
            let lines = row::join_lines(read.seq, committed, &expected.chunks).unwrap();
            row::check_lines(&read, &lines).unwrap_or_else(|fault| panic!("{shown}: {fault}"));
        }
        assert_eq!(read.event.change.name(), expected.kind, "{shown}");

        let again =
            row::encode(&expected.account, &head, &read.event, RowFormat::new(format)).unwrap();
        assert_eq!(again.stored, stored, "{shown} is written otherwise");
        head = ChainHead::from(read);
    }
}

#[test]
fn stored_rows_are_read_verified_and_written_the_same_forever() {
    check(1, &rows(FORMAT_1));
    check(2, &rows(FORMAT_2));
    check(3, &rows(FORMAT_3));
    check(4, &rows(FORMAT_4));
    check(5, &rows(FORMAT_5));
    check(6, &rows(FORMAT_6));
}

#[test]
fn the_fixture_holds_every_kind_of_row() {
    let all: BTreeSet<&str> = Change::names().collect();
    let fixture = rows(FORMAT_6);
    let held: BTreeSet<&str> = fixture.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(held, all);
}

#[test]
fn the_fixture_holds_every_field_and_variant_of_a_row() {
    let older: BTreeSet<String> = BEFORE_6.map(str::to_owned).into();
    assert!(names_missing_in(FORMAT_4).is_disjoint(&older));
    let missing = names_missing_in(FORMAT_6);
    let expected = &older | &NEVER_STORED.map(str::to_owned).into();
    assert_eq!(missing, expected);
}

/// The names that a row could hold, and none of the fixture does.
fn names_missing_in(fixture: &str) -> BTreeSet<String> {
    let coverage = Coverage::default();
    for row in rows(fixture) {
        let body: Value = serde_json::from_str(&row.body).unwrap();
        coverage.read::<Event>(&body["x"]);
        coverage.read::<AccountState>(&body["s"]);
    }
    coverage.missing().into_iter().collect()
}

#[test]
fn the_stories_write_the_rows_of_the_fixture() {
    let mut fixture = rows(FORMAT_6);
    let stories: Vec<FixtureRow> = stories::all()
        .iter()
        .flat_map(|world| &world.stored)
        .map(|row| FixtureRow::new(&row.stored, &row.chunks))
        .collect();
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        let known: BTreeSet<AccountId> = fixture.iter().map(|row| row.account.clone()).collect();
        fixture.extend(stories.iter().filter(|row| !known.contains(&row.account)).cloned());
        std::fs::write(CURRENT_PATH, written(&fixture)).unwrap();
    }
    for (story, stored) in stories.iter().zip(&fixture) {
        assert_eq!(story, stored);
    }
    assert_eq!(stories.len(), fixture.len());
}
