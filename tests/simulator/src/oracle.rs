//! The books that a run is checked against. They use no code of the domain: amounts are whole
//! millionths of a dollar here, and rows are read as they are stored.
//!
//! - [`account`] takes the rows of an account and asks the others what each must say.
//! - [`time`] bills what runs and is kept, at [`prices`], and [`failed_starts`] gives it back.
//! - [`funds`] are paid credit and grants. [`payments`] fill them, and refunds and disputes take back.
//! - [`holds`] keep parts of the funds, and bill what was used under them. [`budgets`] end projects.
//! - [`owed`], [`standing`] and [`schedule`] say what lack of credit leads to, and when.
//! - [`hashes`], [`causes`], [`charges`], [`captured`] and [`published`] check rows against what is
//!   outside.

pub mod account;
pub mod amounts;
pub mod budgets;
pub mod captured;
pub mod causes;
pub mod charges;
pub mod failed_starts;
pub mod funds;
pub mod hashes;
pub mod holds;
pub mod metered;
pub mod owed;
pub mod payments;
pub mod prices;
pub mod published;
pub mod resources;
pub mod respite;
pub mod row;
pub mod schedule;
pub mod standing;
pub mod stripe;
pub mod tables;
pub mod time;

use std::collections::BTreeMap;

use ::time::UtcDateTime;
use serde_json::Value;

use crate::captures::{AccountCaptures, CaptureLog};
use crate::dynamodb::MemoryDynamoDb;
use crate::functions::LEDGER;
use crate::journal::Journal;
use crate::usage::ReportedUsage;

use account::AccountBooks;
use prices::PriceBooks;
pub use published::{PublishedEvent, check_event};
use row::{BookedRow, attribute_text};
use stripe::StripeBooks;
use tables::{items_of, rows_from};

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub(crate) use ensure;

/// How late a schedule may be when nothing goes wrong, in seconds.
const LATE_SECONDS: i64 = 120;
/// So long a payment by hand that is under way holds a refill back, in seconds.
const HELD_SECONDS: i64 = 31 * 60;

/// The rows of all accounts, checked in their order.
#[derive(Debug, Default)]
pub struct RunBooks {
    accounts: BTreeMap<String, AccountBooks>,
    prices: PriceBooks,
    /// Whether some processes decide as releases before the newest row format did.
    pub has_older_writers: bool,
}

impl RunBooks {
    /// Checks the rows that are new, and the items that go with the last one.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn advance(
        &mut self,
        database: &mut MemoryDynamoDb,
        accounts: &[String],
        now: UtcDateTime,
        journal: &Journal,
    ) -> Result<(), String> {
        self.prices.add(&items_of(database, "price-list", "sku#", now)?)?;
        for account in accounts {
            let books = self.accounts.entry(account.clone()).or_default();
            books.has_older_writers = self.has_older_writers;
            books.names_staff = !self.has_older_writers;
            for row in rows_from(database, account, books.next_seq, now)? {
                note(&row, account, journal);
                books.add(&row, &self.prices).map_err(|why| format!("{account}: {why}: {row}"))?;
            }
            let checked = check_items(books, database, account, now);
            checked.map_err(|why| format!("{account}: {why}"))?;
        }
        Ok(())
    }

    /// What must hold after everything was delivered.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn finish(
        &self,
        stripe: &Value,
        published: &[PublishedEvent],
        database: &mut MemoryDynamoDb,
        now: UtcDateTime,
    ) -> Result<(), String> {
        self.check_claims(&database.items(LEDGER))?;
        let stripe = &StripeBooks::of(stripe);
        for (account, books) in &self.accounts {
            let (credited, received) = (books.received, stripe.received(account));
            ensure!(
                credited == received,
                "{account}: Stripe has {received} millionths, and {credited} are credited"
            );
            books.check_ended(stripe, account)?;
            books.payments.check_sold(stripe).map_err(|why| format!("{account}: {why}"))?;
            books.payments.check_refunds_ended().map_err(|why| format!("{account}: {why}"))?;
            books.events.check(account, published)?;
            books.charges.check(stripe, account)?;
            let rows = rows_from(database, account, 0, now)?;
            let rows: Vec<BookedRow> =
                rows.iter().map(BookedRow::read).collect::<Result<_, _>>()?;
            books.hashes.check_unchanged(&rows).map_err(|why| format!("{account}: {why}"))?;
            check_nothing_due(books, database, account, now)?;
        }
        Ok(())
    }

    /// What must hold hours after the last fault, while resources run. `stripe` is what Stripe has, if
    /// it has told all of it.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_calm(
        &self,
        stripe: Option<&Value>,
        database: &mut MemoryDynamoDb,
        now: UtcDateTime,
    ) -> Result<(), String> {
        if let Some(stripe) = stripe.map(StripeBooks::of) {
            for (account, books) in &self.accounts {
                books.check_disputes(&stripe, account)?;
            }
        }
        let mut all = self.accounts.iter();
        all.try_for_each(|(account, books)| check_nothing_due(books, database, account, now))
    }

    /// Each reported unit was billed, and none twice.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_usage(&self, reported: &ReportedUsage) -> Result<(), String> {
        for (account, books) in &self.accounts {
            let (least, most) = reported.bounds(account);
            let billed = books.meters.units_billed();
            ensure!(
                (i128::from(least)..=i128::from(most)).contains(&billed),
                "{account}: {billed} units are billed, and {least} to {most} are reported"
            );
        }
        Ok(())
    }

    /// What gateways captured is billed once, as they were told.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn check_captures(&self, log: &CaptureLog) -> Result<(), String> {
        let nothing = AccountCaptures::default();
        for (account, books) in &self.accounts {
            let sent = log.accounts.get(account).unwrap_or(&nothing);
            books.holds.check_answers(sent).map_err(|why| format!("{account}: {why}"))?;
        }
        Ok(())
    }

    /// All rows are of accounts of this run, and whatever names a row has one.
    fn check_claims(&self, items: &[Value]) -> Result<(), String> {
        for item in items {
            let account = item["account"]["S"].as_str().unwrap_or_default();
            let (owner, row) = if item["type"].is_object() {
                (account, &item["seq"])
            } else {
                (item["owner"]["S"].as_str().unwrap_or_default(), &item["row"])
            };
            let books = self.accounts.get(owner);
            let rows = books.map_or(0, |books| books.next_seq);
            ensure!(row::number::<u64>(row)? < rows, "{item} has no row");
        }
        Ok(())
    }

    /// How many rows were checked.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.accounts.values().map(|books| books.next_seq).sum()
    }
}

fn note(row: &Value, account: &str, journal: &Journal) {
    let kind = row["type"]["S"].as_str().unwrap_or_default();
    journal.reach(format!("row {kind}"));
    journal.note(format!(
        "row {account}#{} {kind} {} = {}",
        row["seq"]["N"].as_str().unwrap_or_default(),
        attribute_text(&row["amount"]),
        attribute_text(&row["balance"]),
    ));
    note_holds(row, kind, journal);
}

/// Counts what is rare about holds.
fn note_holds(row: &Value, kind: &str, journal: &Journal) {
    const ABOUT_HOLDS: [&str; 7] = [
        "hold",
        "hold_captured",
        "refund",
        "refund_pending",
        "dispute",
        "correction",
        "trial_ended",
    ];
    if !ABOUT_HOLDS.contains(&kind) {
        return;
    }
    let body = serde_json::from_str(row["body"]["S"].as_str().unwrap_or_default());
    let body: Value = body.unwrap_or_default();
    let (event, change) = (&body["x"], &body["x"]["e"]);
    let mut shares = row::array(&change["held"]["shares"]).iter();
    if shares.any(|share| share[0] != row::PAID) {
        journal.reach("hold of a grant");
    }
    if change["captured_late"].is_object() {
        journal.reach("hold captured after its end");
    }
    if event["h"].is_array() {
        journal.reach(format!("hold cut by {kind}"));
    }
    if kind == "trial_ended" && body["s"]["h"].is_array() {
        journal.reach("hold beside the end of a trial");
    }
}

/// The schedule and the resources of an account are those of its last row.
fn check_items(
    books: &AccountBooks,
    database: &mut MemoryDynamoDb,
    account: &str,
    now: UtcDateTime,
) -> Result<(), String> {
    let partition = format!("account#{account}");
    let schedule = items_of(database, &partition, "schedule", now)?;
    books.check_schedule(account, schedule.first().unwrap_or(&Value::Null))?;
    let resources = items_of(database, &partition, "billable#resource#", now)?;
    books.resources.check_items(&resources)
}

/// Nothing waits that should have happened.
fn check_nothing_due(
    books: &AccountBooks,
    database: &mut MemoryDynamoDb,
    account: &str,
    now: UtcDateTime,
) -> Result<(), String> {
    let partition = format!("account#{account}");
    let schedule = items_of(database, &partition, "schedule", now)?;
    let due = schedule.first().and_then(|item| item["due_at"]["N"].as_str()?.parse::<i64>().ok());
    let late = now.unix_timestamp() - LATE_SECONDS;
    let held = if books.wants_refill() { HELD_SECONDS } else { 0 };
    ensure!(
        due.is_none_or(|due| due > late - held),
        "{account}: something is due since {due:?}, and nothing happens"
    );
    let paid = books.paid_through();
    ensure!(paid.is_none_or(|paid| paid > late), "{account}: time is paid to {paid:?} only");
    Ok(())
}
