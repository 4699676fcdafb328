//! The books that a run is checked against. They use no code of the domain: amounts are whole
//! millionths of a dollar here, and rows are read as they are stored.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use time::UtcDateTime;

use crate::dynamodb::{CurrentReads, MemoryDynamoDb};
use crate::functions::{ACCOUNTS, LEDGER};
use crate::journal::Journal;

/// An event that the bus took.
#[derive(Clone, Debug)]
pub struct PublishedEvent {
    pub name: String,
    pub detail: Value,
}

/// The rows of all accounts, checked in their order.
#[derive(Debug, Default)]
pub struct RunBooks {
    accounts: BTreeMap<String, AccountBooks>,
}

/// What follows from the rows of one account so far.
#[derive(Debug, Default)]
struct AccountBooks {
    next_seq: u64,
    last_at: i64,
    /// Whether the account waits for its deletion, which no function confirms yet.
    is_deleting: bool,
    /// The event that each row must have, where there is one.
    expected: BTreeMap<u64, &'static str>,
    balance: i64,
    /// What stood after each row.
    after: Vec<AfterRow>,
    /// Until when each running resource is paid.
    paid_through: BTreeMap<String, i64>,
    causes: BTreeSet<String>,
    /// Sums of amounts by type.
    sums: BTreeMap<String, i64>,
    /// The payments that were credited, with the number of the row.
    credited: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug)]
struct AfterRow {
    at: i64,
    balance: i64,
    /// Below which a refill is agreed to.
    threshold: Option<i64>,
}

/// So long before a charge its reason must have been there, in seconds: `auto-refill` takes two
/// minutes at most.
const BEFORE_CHARGE_SECONDS: i64 = 180;

/// Types of rows that record money at Stripe.
const PAID_TYPES: [&str; 6] =
    ["topup", "auto_refill", "refund", "refund_reversed", "dispute", "dispute_reversed"];

const MILLIONTHS_PER_CENT: i64 = 10_000;

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

impl RunBooks {
    /// Checks the rows that are new.
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
        for account in accounts {
            let books = self.accounts.entry(account.clone()).or_default();
            for row in rows_from(database, account, books.next_seq, now)? {
                let kind = text(&row["type"]["S"]);
                journal.reach(format!("row {kind}"));
                journal.note(format!(
                    "row {account}#{} {kind} {} = {}",
                    row["seq"]["N"].as_str().unwrap_or_default(),
                    amount_text(&row["amount"]),
                    amount_text(&row["balance"]),
                ));
                books.add(&row).map_err(|why| format!("{account}: {why}: {row}"))?;
            }
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
        let stripe = &StripeBooks::of(stripe);
        for (account, books) in &self.accounts {
            let credited: i64 = PAID_TYPES.iter().filter_map(|kind| books.sums.get(*kind)).sum();
            let received = stripe.received(account);
            ensure!(
                credited == received,
                "{account}: Stripe has {received} millionths, and {credited} are credited"
            );
            books.check_published(account, published)?;
            books.check_charges(stripe, account)?;
            // Such an account stays due.
            if !books.is_deleting {
                check_nothing_due(database, account, now)?;
            }
        }
        Ok(())
    }

    /// How many rows were checked.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.accounts.values().map(|books| books.next_seq).sum()
    }
}

impl AccountBooks {
    fn add(&mut self, row: &Value) -> Result<(), String> {
        let seq: u64 = number(&row["seq"])?;
        ensure!(seq == self.next_seq, "row {seq} follows row {}", self.next_seq);
        self.next_seq += 1;
        let at: i64 = number(&row["at"])?;
        ensure!(at >= self.last_at, "time runs backwards from {}", self.last_at);
        self.last_at = at;
        let body = row["body"]["S"].as_str().unwrap_or_default();
        let body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let kind = text(&row["type"]["S"]);
        self.is_deleting = body["s"]["s"]["deleting"].is_object();
        if let Some(name) = event_of(&kind) {
            self.expected.insert(seq, name);
        }
        self.add_money(row, &kind)?;
        let threshold = body["s"]["r"]["a"]["t"].as_str().map(decimal).transpose()?;
        self.after.push(AfterRow { at, balance: self.balance, threshold });
        self.add_time(&body, &kind, at)?;
        self.add_cause(&body, &kind)
    }

    /// Each balance follows from the one before, and billing for time never leads below zero.
    fn add_money(&mut self, row: &Value, kind: &str) -> Result<(), String> {
        let (amount, balance) = (millionths(&row["amount"])?, millionths(&row["balance"])?);
        ensure!(
            balance == self.balance + amount,
            "the balance does not follow from {}",
            self.balance
        );
        let is_for_time = ["usage", "started", "restored", "resumed", "owed_paid"].contains(&kind);
        ensure!(!(is_for_time && amount < 0 && balance < 0), "into debt for time");
        self.balance = balance;
        *self.sums.entry(kind.to_owned()).or_default() += amount;
        Ok(())
    }

    /// The paid time of each resource is unbroken from its start to its stop.
    fn add_time(&mut self, body: &Value, kind: &str, at: i64) -> Result<(), String> {
        let event = &body["x"]["e"];
        match kind {
            "started" | "restored" => {
                let change = event.as_object().and_then(|event| event.values().next());
                for (resource, seconds) in lines(&change.unwrap_or(&Value::Null)["lines"]) {
                    let before = self.paid_through.insert(resource.clone(), at + seconds);
                    ensure!(before.is_none(), "{resource} is started while it runs");
                }
            }
            "usage" => {
                let (from, through) = (event["u"]["f"].as_i64(), event["u"]["t"].as_i64());
                let (from, through) = (from.ok_or("no start")?, through.ok_or("no end")?);
                let charged: BTreeMap<String, i64> = lines(&event["u"]["l"]).collect();
                for (resource, paid) in &mut self.paid_through {
                    ensure!(*paid == from, "{resource} is paid to {paid}: twice or not at all");
                    ensure!(
                        charged.get(resource) == Some(&(through - from)),
                        "{resource} is not charged"
                    );
                    *paid = through;
                }
                // What keeps data costs its rate while it is off, too.
                let idle = body["s"]["b"]["i"].as_u64().unwrap_or_default();
                let idle = usize::try_from(idle).unwrap_or_default();
                ensure!(
                    charged.len() == self.paid_through.len() + idle,
                    "other lines than of what runs and what is kept"
                );
            }
            "stopped" | "resources_deleted" => {
                let change = event.as_object().and_then(|event| event.values().next());
                let change = change.unwrap_or(&Value::Null);
                for resource in change["resources"].as_array().into_iter().flatten() {
                    self.paid_through.remove(&text(&resource["id"]));
                }
            }
            "start_failed" => {
                self.paid_through.remove(&text(&event["start_failed"]["resource"]["id"]));
            }
            "suspended" => self.paid_through.clear(),
            // A restarted resource has paid for nothing yet. The next row pays from now on.
            "resumed" => {
                for resource in event["resumed"]["resources"].as_array().into_iter().flatten() {
                    self.paid_through.insert(text(&resource["id"]), at);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A payment, a refund, an attempt and a request have one row each.
    fn add_cause(&mut self, body: &Value, kind: &str) -> Result<(), String> {
        let event = &body["x"]["e"];
        let change = event.as_object().and_then(|event| event.values().next());
        let change = change.unwrap_or(&Value::Null);
        let cause = match kind {
            "topup" | "auto_refill" => {
                // The row of an invoice names its payments, too.
                let also = change["also"].as_array().into_iter().flatten();
                for payment in std::iter::once(&change["payment"]).chain(also) {
                    let before = self.credited.insert(text(payment), self.next_seq - 1);
                    ensure!(before.is_none(), "{payment} is credited twice");
                }
                format!("paid {}", change["payment"])
            }
            "refund" | "refund_reversed" => format!("{kind} {}", change["by"]),
            "refill_begun" => format!("{kind} {}{}", change["attempt"], change["n"]),
            _ => {
                let key = &body["x"]["y"]["request"]["k"];
                if key.is_null() {
                    return Ok(());
                }
                format!("request {key}")
            }
        };
        ensure!(self.causes.insert(cause.clone()), "{cause} has two rows");
        Ok(())
    }

    /// No row without its event.
    fn check_published(&self, account: &str, published: &[PublishedEvent]) -> Result<(), String> {
        let of_account = published.iter().filter(|event| event.detail["account"] == account);
        let found: BTreeSet<(u64, &str)> = of_account
            .filter_map(|event| Some((event.detail["seq"].as_u64()?, event.name.as_str())))
            .collect();
        for (seq, name) in &self.expected {
            ensure!(found.contains(&(*seq, *name)), "{account}: row {seq} has no event {name}");
        }
        Ok(())
    }
}

/// The event of a row of this type, if it always has one.
fn event_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "opened" => "AccountOpened",
        "topup" | "auto_refill" | "bonus" | "refund_reversed" | "dispute_reversed" => "CreditAdded",
        "refund" | "dispute" => "CreditTaken",
        "started" => "ResourceStarted",
        "stopped" => "ResourceStopped",
        "resources_deleted" => "ResourceDeleted",
        "suspended" => "Suspended",
        "resumed" => "Resumed",
        "refill_failed" => "RefillFailed",
        "frozen" => "Frozen",
        "unfrozen" => "Unfrozen",
        _ => return None,
    })
}

/// An event has its row when the bus takes it, and shows the row's balance.
///
/// # Errors
/// What is wrong, as text.
pub fn check_event(
    event: &PublishedEvent,
    database: &mut MemoryDynamoDb,
    now: UtcDateTime,
) -> Result<(), String> {
    let (account, seq) = (text(&event.detail["account"]), &event.detail["seq"]);
    let key = json!({"account": {"S": account}, "seq": {"N": seq.to_string()}});
    let get = json!({"TableName": LEDGER, "Key": key, "ConsistentRead": true});
    let found = database.call("GetItem", &get, now, &mut CurrentReads).body();
    let row = &found["Item"];
    ensure!(row.is_object(), "{account}: an event has no row: {event:?}");
    let shown = decimal(event.detail["state"]["balance"].as_str().unwrap_or_default())?;
    let stored = millionths(&row["balance"])?;
    ensure!(stored == shown, "{account}: an event shows another balance than {stored}: {event:?}");
    Ok(())
}

impl AccountBooks {
    /// A card is charged only while the credit is below the threshold, with everything that Stripe
    /// has received.
    fn check_charges(&self, stripe: &StripeBooks<'_>, account: &str) -> Result<(), String> {
        let mut attempts = BTreeSet::new();
        for invoice in stripe.of_kind("invoice").filter(|invoice| invoice["status"] == "paid") {
            let metadata = &invoice["metadata"];
            if metadata["tollgate_account"] != account || metadata["tollgate_attempt"].is_null() {
                continue;
            }
            let attempt = metadata["tollgate_attempt"].to_string();
            ensure!(attempts.insert(attempt.clone()), "{account}: attempt {attempt} is paid twice");
            let Some(paid_at) = invoice["status_transitions"]["paid_at"].as_i64() else { continue };
            let looked_from = paid_at - BEFORE_CHARGE_SECONDS;
            // Rows have the time of their trigger, which may have waited. The row that credits this
            // charge can therefore be older than the charge.
            let credited = self.credited.get(&text(&invoice["id"]));
            let credited = credited.and_then(|seq| usize::try_from(*seq).ok());
            let before = self.after.get(..credited.unwrap_or(self.after.len()));
            let before = before.unwrap_or_default();
            let first = before.iter().rposition(|after| after.at <= looked_from).unwrap_or(0);
            let within = before.iter().enumerate().skip(first);
            let mut within = within.take_while(|(_, after)| after.at <= paid_at);
            let has_reason = within.any(|(seq, after)| {
                let uncredited = self.uncredited(stripe, account, seq, looked_from);
                after.threshold.is_some_and(|threshold| after.balance + uncredited < threshold)
            });
            ensure!(
                has_reason,
                "{account}: {} was charged above the threshold at {paid_at}, after {:?}",
                invoice["id"],
                before.get(first..)
            );
        }
        Ok(())
    }

    /// What Stripe had received by a time, and what no row up to this one credits.
    fn uncredited(&self, stripe: &StripeBooks<'_>, account: &str, seq: usize, until: i64) -> i64 {
        let is_credited = |payment: &str| {
            let row = self.credited.get(payment).and_then(|row| usize::try_from(*row).ok());
            row.is_some_and(|row| row <= seq)
        };
        stripe
            .charges_of(account)
            .filter(|charge| charge["created"].as_i64().is_some_and(|created| created <= until))
            .filter(|charge| !is_credited(charge["payment_intent"].as_str().unwrap_or_default()))
            .map(|charge| stripe.kept_until(charge, until))
            .sum()
    }
}

/// Nothing waits that should have happened.
fn check_nothing_due(
    database: &mut MemoryDynamoDb,
    account: &str,
    now: UtcDateTime,
) -> Result<(), String> {
    let key = json!({"pk": {"S": format!("account#{account}")}, "sk": {"S": "schedule"}});
    let get = json!({"TableName": ACCOUNTS, "Key": key, "ConsistentRead": true});
    let found = database.call("GetItem", &get, now, &mut CurrentReads).body();
    let due = found["Item"]["due_at"]["N"].as_str().and_then(|due| due.parse::<i64>().ok());
    ensure!(
        due.is_none_or(|due| due > now.unix_timestamp() - 120),
        "{account}: something is due since {due:?}, and nothing happens"
    );
    Ok(())
}

/// What Stripe has, as its stand-in saves it.
struct StripeBooks<'a> {
    objects: &'a [Value],
}

impl<'a> StripeBooks<'a> {
    fn of(saved: &'a Value) -> Self {
        Self { objects: saved["objects"].as_array().map(Vec::as_slice).unwrap_or_default() }
    }

    fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["object"] == kind)
    }

    fn charges_of(&self, account: &str) -> impl Iterator<Item = &'a Value> {
        let customers: BTreeSet<&str> = self
            .of_kind("customer")
            .filter(|customer| customer["metadata"]["tollgate_account"] == account)
            .filter_map(|customer| customer["id"].as_str())
            .collect();
        self.of_kind("charge").filter(|charge| charge["status"] == "succeeded").filter(
            move |charge| charge["customer"].as_str().is_some_and(|id| customers.contains(id)),
        )
    }

    /// What is left of a charge, in millionths of a dollar.
    fn kept(charge: &Value) -> i64 {
        let cents = |name: &str| charge[name].as_i64().unwrap_or_default();
        (cents("amount") - cents("amount_refunded")) * MILLIONTHS_PER_CENT
    }

    /// What was left of a charge at a time, in millionths of a dollar.
    fn kept_until(&self, charge: &Value, until: i64) -> i64 {
        let refunds = self
            .of_kind("refund")
            .filter(|refund| refund["payment_intent"] == charge["payment_intent"])
            .filter(|refund| refund["created"].as_i64().is_some_and(|created| created <= until));
        let refunded: i64 = refunds.filter_map(|refund| refund["amount"].as_i64()).sum();
        (charge["amount"].as_i64().unwrap_or_default() - refunded).max(0) * MILLIONTHS_PER_CENT
    }

    /// What Stripe received of an account and has not given back, in millionths of a dollar.
    fn received(&self, account: &str) -> i64 {
        let kept_of = |charge: &Value| {
            let disputes =
                self.of_kind("dispute").filter(|dispute| dispute["charge"] == charge["id"]);
            let moved = disputes.flat_map(|dispute| {
                dispute["balance_transactions"].as_array().into_iter().flatten()
            });
            let cents: i64 = moved.filter_map(|moved| moved["amount"].as_i64()).sum();
            // A payment that was disputed twice is taken once.
            (Self::kept(charge) + cents * MILLIONTHS_PER_CENT).max(0)
        };
        self.charges_of(account).map(kept_of).sum()
    }
}

fn rows_from(
    database: &mut MemoryDynamoDb,
    account: &str,
    first: u64,
    now: UtcDateTime,
) -> Result<Vec<Value>, String> {
    let mut rows = Vec::new();
    let mut start = Value::Null;
    loop {
        let mut query = json!({
            "TableName": LEDGER,
            "KeyConditionExpression": "account = :account AND seq BETWEEN :first AND :last",
            "ExpressionAttributeValues": {
                ":account": {"S": account},
                ":first": {"N": first.to_string()},
                ":last": {"N": u64::MAX.to_string()},
            },
            "ConsistentRead": true,
        });
        if !start.is_null() {
            query["ExclusiveStartKey"] = start;
        }
        let answered = database.call("Query", &query, now, &mut CurrentReads);
        let body = answered.result.map_err(|error| format!("{error:?}"))?;
        rows.extend(body["Items"].as_array().cloned().unwrap_or_default());
        start = body["LastEvaluatedKey"].clone();
        if start.is_null() {
            return Ok(rows);
        }
    }
}

/// Lines are stored as lists: resource, rate, seconds, amount, …
fn lines(lines: &Value) -> impl Iterator<Item = (String, i64)> {
    let lines = lines.as_array().into_iter().flatten();
    lines.map(|line| (text(&line[0]), line[2].as_i64().unwrap_or_default()))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number<T: std::str::FromStr>(attribute: &Value) -> Result<T, String> {
    let parsed = attribute["N"].as_str().and_then(|digits| digits.parse().ok());
    parsed.ok_or_else(|| format!("{attribute} is no number"))
}

fn amount_text(attribute: &Value) -> String {
    attribute["N"].as_str().or(attribute["S"].as_str()).unwrap_or("?").to_owned()
}

fn millionths(attribute: &Value) -> Result<i64, String> {
    decimal(&amount_text(attribute))
}

/// A decimal number in millionths.
fn decimal(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no amount");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if part.len() > 6 {
        return Err(wrong());
    }
    let whole: i64 = whole.parse().map_err(|_| wrong())?;
    let part: i64 = format!("{part:0<6}").parse().map_err(|_| wrong())?;
    Ok(sign * (whole * 1_000_000 + part))
}
