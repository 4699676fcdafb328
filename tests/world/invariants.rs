//! The invariants of the whole, checked from outside: over HTTP, as customers, the operator,
//! receivers of events and Stripe see it. It uses the functions' own code only for reading amounts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tollgate::domain::money::{Rate, Usd};
use tollgate_local::api::ApiClient;

use crate::support::{Customer, World};

/// Checks these accounts and all shared data. All work must be finished before.
pub(crate) async fn check(customers: &[&Customer<'_>]) {
    let Some(world) = customers.first().map(|customer| customer.world) else { return };
    let dead = world.api.get("/local/dead-letters").await.unwrap().json();
    assert_eq!(dead["count"], 0, "nothing is given up: {dead}");
    let outside = world.stripe().calls_outside();
    assert!(outside.is_empty(), "calls that Stripe does not know: {outside:?}");
    let payments = Payments::read(world).await;
    let events = events(world).await;
    for customer in customers {
        check_account(
            customer,
            &payments,
            events.get(&customer.account).map_or(&[], Vec::as_slice),
        )
        .await;
    }
}

async fn check_account(customer: &Customer<'_>, payments: &Payments, events: &[Value]) {
    let account = customer.account.as_str();
    let shown = customer.read("/v1/balance").await;
    let rows = rows(customer).await;
    check_chain(customer, &rows).await;
    assert_eq!(
        usd(&shown["balance"]),
        usd(&rows.last().unwrap()["balance"]),
        "{account}: the balance that is shown"
    );
    check_money(account, &rows);
    check_time(account, &rows);
    check_transactions(customer, &rows).await;
    check_causes(account, &rows);
    check_events(account, &rows, events);
    let moved: Usd = of_types(&rows, &PAID_TYPES).map(|row| usd(&row["amount"])).sum();
    assert_eq!(
        moved,
        payments.of(account),
        "{account}: what was credited is what Stripe has: {rows:#?}"
    );
}

/// Types of rows that record money at Stripe.
const PAID_TYPES: [&str; 8] = [
    "topup",
    "auto_refill",
    "refund",
    "refund_reversed",
    "refund_pending",
    "refund_failed",
    "dispute",
    "dispute_reversed",
];

fn of_types<'r>(rows: &'r [Value], types: &'r [&str]) -> impl Iterator<Item = &'r Value> {
    rows.iter().filter(|row| types.iter().any(|kind| row["type"] == *kind))
}

async fn rows(customer: &Customer<'_>) -> Vec<Value> {
    let path = format!("/local/ledger/{}", customer.account);
    let answer = customer.world.api.get(&path).await.unwrap().success().unwrap();
    answer["rows"].as_array().unwrap().clone()
}

/// No number is missing, and every row carries the hash of the one before it.
async fn check_chain(customer: &Customer<'_>, rows: &[Value]) {
    let account = customer.account.as_str();
    let numbers: Vec<u64> = rows.iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..rows.len() as u64).collect::<Vec<_>>(), "{account}: no gap");
    let world = customer.world;
    let verified =
        world.read(&world.operator, &format!("/v1/admin/accounts/{account}/verify")).await;
    assert_eq!(verified["verified"], true, "{account}: {verified}");
    assert_eq!(verified["rows"], rows.len(), "{account}: {verified}");
}

/// Each balance follows from the previous one, and billing for time never takes it below zero.
fn check_money(account: &str, rows: &[Value]) {
    let mut before = Usd::ZERO;
    for row in rows {
        let (amount, balance) = (usd(&row["amount"]), usd(&row["balance"]));
        assert_eq!(balance, before + amount, "{account}: row {row}");
        let is_for_time =
            ["usage", "started", "restored", "resumed"].iter().any(|kind| row["type"] == *kind);
        assert!(
            !(is_for_time && amount.is_negative() && balance.is_negative()),
            "{account}: into debt for time: {row}"
        );
        before = balance;
    }
}

/// The paid time of each resource is unbroken from its start to its stop, or to the end of the paid
/// time.
fn check_time(account: &str, rows: &[Value]) {
    let mut paid_through: BTreeMap<&str, i64> = BTreeMap::new();
    for row in rows {
        let at = row["at"].as_i64().unwrap();
        let event = &row["body"]["x"]["e"];
        match row["type"].as_str().unwrap() {
            "started" | "restored" => {
                for line in lines(&event["started"]["lines"]) {
                    let before = paid_through.insert(line.resource, at + line.seconds);
                    assert_eq!(before, None, "{account}: starts what runs: {row}");
                    assert_eq!(event["started"]["through"], at + line.seconds, "{account}: {row}");
                }
            }
            "usage" => {
                let (from, through) =
                    (event["u"]["f"].as_i64().unwrap(), event["u"]["t"].as_i64().unwrap());
                let charged: BTreeMap<&str, i64> =
                    lines(&event["u"]["l"]).map(|line| (line.resource, line.seconds)).collect();
                for (resource, paid) in &mut paid_through {
                    assert_eq!(
                        *paid, from,
                        "{account}: {resource} is charged twice or not at all: {row}"
                    );
                    assert_eq!(
                        charged.get(resource),
                        Some(&(through - from)),
                        "{account}: {resource}: {row}"
                    );
                    *paid = through;
                }
                // What keeps data costs its rate while it is off, too.
                let idle = row["body"]["s"]["b"]["i"].as_u64().unwrap_or_default();
                assert_eq!(
                    charged.len(),
                    paid_through.len() + usize::try_from(idle).unwrap(),
                    "{account}: what does not run is charged: {row}"
                );
            }
            "stopped" | "resources_deleted" => {
                let change = event.as_object().unwrap().values().next().unwrap();
                for line in lines(&change["lines"]) {
                    let paid = paid_through.get(line.resource).unwrap();
                    assert_eq!(paid - at, line.seconds, "{account}: the unused time: {row}");
                }
                for resource in change["resources"].as_array().unwrap() {
                    paid_through.remove(resource["id"].as_str().unwrap());
                }
            }
            "suspended" => paid_through.clear(),
            // A restarted resource has paid for nothing yet. The next row pays from now on.
            "resumed" => {
                for resource in event["resumed"]["resources"].as_array().into_iter().flatten() {
                    paid_through.insert(resource["id"].as_str().unwrap(), at);
                }
            }
            _ => {}
        }
    }
}

struct Line<'r> {
    resource: &'r str,
    seconds: i64,
}

/// Lines are written as lists: resource, rate, seconds, amount, …
fn lines(lines: &Value) -> impl Iterator<Item = Line<'_>> {
    let lines = lines.as_array().into_iter().flatten();
    lines.map(|line| Line {
        resource: line[0].as_str().unwrap(),
        seconds: line[2].as_i64().unwrap(),
    })
}

/// The history that the customer is shown is the ledger.
async fn check_transactions(customer: &Customer<'_>, rows: &[Value]) {
    let mut shown = Vec::new();
    let mut path = "/v1/transactions?include=all&limit=200".to_owned();
    loop {
        let page = customer.read(&path).await;
        shown.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/transactions?include=all&limit=200&cursor={next}");
    }
    shown.reverse();
    assert_eq!(shown.len(), rows.len(), "{}: all rows are shown", customer.account);
    for (shown, row) in shown.iter().zip(rows) {
        let meaning = (shown["seq"].as_u64(), usd(&shown["amount"]), usd(&shown["balance_after"]));
        let stored = (row["seq"].as_u64(), usd(&row["amount"]), usd(&row["balance"]));
        assert_eq!(meaning, stored, "{}: {shown}", customer.account);
    }
}

/// A payment, a refund, a dispute, an attempt and a request have one row each.
fn check_causes(account: &str, rows: &[Value]) {
    let mut causes = BTreeSet::new();
    for row in rows {
        let (kind, event) = (row["type"].as_str().unwrap(), &row["body"]["x"]["e"]);
        let change =
            event.as_object().and_then(|event| event.values().next()).unwrap_or(&Value::Null);
        let cause = match kind {
            "topup" | "auto_refill" => format!("paid {}", change["payment"]),
            "refund_sent" => format!("end of refund {}", change["number"]),
            "refund_failed" => format!("end of refund {}", change["by"]["staff"]["n"]),
            "refund" | "dispute" | "refund_reversed" | "dispute_reversed" | "refund_pending" => {
                format!("{kind} {}{}", change["by"], change["dispute"])
            }
            "refill_failed" | "refill_begun" => {
                format!("{kind} {}{}", change["attempt"], change["n"])
            }
            _ => {
                let key = &row["body"]["x"]["y"]["request"]["k"];
                if key.is_null() {
                    continue;
                }
                format!("request {key}")
            }
        };
        assert!(causes.insert(cause.clone()), "{account}: {cause} has two rows");
    }
}

/// Every row has its events, however often they were delivered, and every event has its row.
fn check_events(account: &str, rows: &[Value], events: &[Value]) {
    let told: BTreeSet<String> = events
        .iter()
        .map(|event| format!("{} {}", event["detail"]["id"], event["detail-type"]))
        .collect();
    let mut expected = BTreeSet::new();
    let before = std::iter::once(None).chain(rows.iter().map(Some));
    for (before, row) in before.zip(rows) {
        for (n, name) in names_of_events(before, row).iter().enumerate() {
            expected.insert(format!(
                "{} {}",
                json!(format!("{account}#{}#{n}", row["seq"])),
                json!(name)
            ));
        }
    }
    assert_eq!(told, expected, "{account}: no row without its events, no event without its row");
    for event in events {
        let detail = &event["detail"];
        let row = &rows[usize::try_from(detail["seq"].as_u64().unwrap()).unwrap()];
        assert_eq!(usd(&detail["state"]["balance"]), usd(&row["balance"]), "{account}: {event}");
        let held: Usd = held(row).map(|share| usd(&share[1])).sum();
        let available = usd(&row["balance"]) - held;
        assert_eq!(usd(&detail["state"]["available"]), available, "{account}: {event}");
        let decline = &row["body"]["x"]["e"]["refill_failed"]["decline"];
        let is_called_off = ["not_charged", "called_off"].iter().any(|quiet| decline == quiet);
        let name = event["detail-type"].as_str().unwrap();
        let is_renewed = name == "TrialEnded" && row["body"]["x"]["w"].is_object();
        let is_notice =
            NOTICES.contains(&name) && !(is_called_off && name == "RefillFailed") && !is_renewed;
        let fields = detail["notice"]
            .as_object()
            .map(|notice| notice.keys().map(String::as_str).collect::<Vec<_>>());
        let expected = is_notice.then(|| vec!["amount", "deadline", "email", "link"]);
        assert_eq!(fields, expected, "{account}: {event}");
    }
}

/// The events that a customer should read in a mail.
const NOTICES: [&str; 16] = [
    "BalanceLow",
    "CreditLow",
    "RefillFailed",
    "RefillNeedsCustomer",
    "CardExpiring",
    "CardExpired",
    "BudgetSpent",
    "TrialStarted",
    "TrialEnding",
    "TrialEnded",
    "Suspended",
    "DeletionSoon",
    "DeletionDue",
    "Deleted",
    "Closed",
    "Reopened",
];

/// The events of a row.
fn names_of_events(before: Option<&Value>, row: &Value) -> Vec<&'static str> {
    let event = &row["body"]["x"];
    let mut names = match row["type"].as_str().unwrap() {
        "opened" => vec!["AccountOpened"],
        "imported" if usd(&row["amount"]).is_zero() => Vec::new(),
        "topup" | "auto_refill" | "bonus" | "imported" | "refund_reversed" | "refund_failed"
        | "dispute_reversed" => vec!["CreditAdded"],
        "refund" | "refund_pending" | "dispute" | "bonus_withdrawn" => vec!["CreditTaken"],
        "correction" if usd(&row["amount"]).is_negative() => vec!["CreditTaken"],
        "correction" => vec!["CreditAdded"],
        "started" => {
            vec!["ResourceStarted"; event["e"]["started"]["resources"].as_array().unwrap().len()]
        }
        "restored" => vec!["ResourceRestored"],
        "stopped" => vec!["ResourceStopped"],
        "resources_deleted" => vec!["ResourceDeleted"],
        "suspended" => vec!["Suspended"],
        "deletion_announced" => vec!["DeletionSoon"],
        "deleting" => vec!["DeletionDue"],
        "deleted" => vec!["Deleted"],
        "resumed" => {
            let started = event["e"]["resumed"]["resources"].as_array().map_or(0, Vec::len);
            std::iter::once("Resumed")
                .chain(std::iter::repeat_n("ResourceStarted", started))
                .collect()
        }
        "refill_failed" => vec!["RefillFailed"],
        "card_expiring" => vec!["CardExpiring"],
        "card_expired" => vec!["CardExpired"],
        "trial" => vec!["TrialStarted", "CreditAdded"],
        "closed" => vec!["Closed"],
        "reopened" => vec!["Reopened"],
        "erased" => vec!["Erased"],
        "trial_ending" => vec!["TrialEnding"],
        "trial_ended" => vec!["TrialEnded"],
        "frozen" | "dispute_opened" => vec!["Frozen"],
        "unfrozen" | "dispute_closed" => vec!["Unfrozen"],
        "usage" | "created" | "refill_changed" | "refill_begun" | "refill_due" | "card_removed"
        | "fraud_warning" | "owed_paid" | "comeback_chosen" | "hold" | "hold_captured"
        | "hold_extended" | "hold_released" | "hold_expired" | "meter_opened" | "metered"
        | "budget_set" | "budget_removed" => vec![],
        other => panic!("no test here makes a row {other}: say what it tells"),
    };
    if event["w"]["now"].is_object() {
        names.push("BalanceLow");
    }
    let is_told = event["l"].is_string();
    let told_before = before.map_or(&Value::Null, |before| &before["body"]["s"]["lt"]);
    let is_low = becomes_low(before, row);
    assert!(is_low || !is_told, "credit is not low: {row}");
    assert!(is_told || !is_low || told_before.is_object(), "low credit is not told: {row}");
    if is_told {
        names.push("CreditLow");
    }
    names
}

/// Whether a row leaves less sure credit than the cost of a day (or than the threshold, if a refill
/// is allowed and that is lower), no refill is pending, and the previous row did not or cannot
/// decide.
fn becomes_low(before: Option<&Value>, row: &Value) -> bool {
    let (state, Some(before)) = (&row["body"]["s"], before) else { return false };
    let refill = &state["r"];
    let is_refilled = !refill["w"].is_null() || !refill["o"].is_null();
    let threshold =
        is_refill_allowed(state, row["at"].as_i64().unwrap()).then(|| usd(&refill["a"]["t"]));
    let is_low = |row: &Value| {
        let rate: Rate =
            row["body"]["s"]["b"]["r"].as_str().map_or(Rate::ZERO, |rate| rate.parse().unwrap());
        let day = rate.for_seconds(24 * 3_600);
        let limit = threshold
            .filter(|threshold| threshold.is_positive())
            .map_or(day, |threshold| threshold.min(day));
        !rate.is_zero() && sure_credit(row) < limit
    };
    let moves_limit = [
        "resumed",
        "refill_changed",
        "card_removed",
        "card_expired",
        "frozen",
        "unfrozen",
        "dispute_opened",
        "dispute_closed",
        "refill_failed",
        "auto_refill",
    ];
    let cannot_tell = moves_limit.contains(&row["type"].as_str().unwrap());
    let failed = &row["body"]["x"]["e"]["refill_failed"];
    // Of a declined card one mail is enough.
    let is_told = ["later", "never"].iter().any(|decline| failed["decline"] == *decline);
    state["s"].is_null()
        && !is_told
        && !is_refilled
        && is_low(row)
        && (cannot_tell || !is_low(before))
}

/// Whether a refill could begin at this time.
fn is_refill_allowed(state: &Value, at: i64) -> bool {
    let refill = &state["r"];
    let is_refused = refill["nc"].as_array().is_some_and(|cards| cards.contains(&refill["c"]));
    let is_possible = refill["a"].is_object()
        && refill["c"].is_string()
        && refill["p"].is_null()
        && state["f"].is_null();
    let is_backing_off = refill["fa"].as_i64().is_some_and(|failed_at| failed_at + 3_600 > at);
    // No story here has ten refills a day or continues into another month.
    let charged = if refill["mo"].is_null() { Usd::ZERO } else { usd(&refill["mo"][1]) };
    let is_capped = refill["m"].is_string() && charged + usd(&refill["a"]["a"]) > usd(&refill["m"]);
    is_possible && !is_refused && !is_backing_off && !is_capped
}

/// Paid credit, and grants that pay for everything for another day, without what is held.
fn sure_credit(row: &Value) -> Usd {
    let at = row["body"]["x"]["e"]["usage"]["f"].as_i64().or(row["at"].as_i64()).unwrap();
    let grants = row["body"]["s"]["g"].as_array().into_iter().flatten();
    let unsure: Vec<&Value> = grants
        .filter(|grant| !grant["e"].is_null() || grant["x"].as_i64().unwrap() <= at + 24 * 3_600)
        .collect();
    let remaining =
        |grant: &&Value| if grant["r"].is_null() { Usd::ZERO } else { usd(&grant["r"]) };
    let is_sure = |share: &&Value| !unsure.iter().any(|grant| grant["n"] == share[0]);
    let held: Usd = held(row).filter(is_sure).map(|share| usd(&share[1])).sum();
    usd(&row["balance"]) - unsure.iter().map(remaining).sum() - held
}

/// What the open holds keep after a row, as `[fund, amount]`. The fund of paid credit is 0.
fn held(row: &Value) -> impl Iterator<Item = &Value> {
    let holds = row["body"]["s"]["h"].as_array().into_iter().flatten();
    holds.flat_map(|hold| hold["f"].as_array().into_iter().flatten())
}

/// The events of rows on the bus, by account.
async fn events(world: &World) -> BTreeMap<String, Vec<Value>> {
    let mut events: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let all = world.api.get("/local/events").await.unwrap().json();
    for kept in all["events"].as_array().unwrap() {
        // Slices and reminders are no news of a row.
        if let (Some(account), Some(_)) =
            (kept["event"]["detail"]["account"].as_str(), kept["event"]["detail"]["seq"].as_u64())
        {
            events.entry(account.to_owned()).or_default().push(kept["event"].clone());
        }
    }
    events
}

/// The amounts that Stripe received and has not given back, by account.
struct Payments {
    received: BTreeMap<String, Usd>,
}

impl Payments {
    async fn read(world: &World) -> Payments {
        let stripe =
            ApiClient::new(world.cloud.urls().stripe.as_ref().unwrap()).with_token("sk_test_local");
        let mut received: BTreeMap<String, Usd> = BTreeMap::new();
        let mut account_of_charge = BTreeMap::new();
        for charge in all(&stripe, "/v1/charges")
            .await
            .iter()
            .filter(|charge| charge["status"] == "succeeded")
        {
            let customer = world.stripe().object(charge["customer"].as_str().unwrap()).unwrap();
            let account = customer["metadata"]["tollgate_account"].as_str().unwrap().to_owned();
            let cents =
                charge["amount"].as_i64().unwrap() - charge["amount_refunded"].as_i64().unwrap();
            *received.entry(account.clone()).or_default() += Usd::from_cents(cents).unwrap();
            account_of_charge.insert(charge["id"].as_str().unwrap().to_owned(), account);
        }
        // A customer's credit balance pays a part of its invoices.
        for invoice in all(&stripe, "/v1/invoices?status=paid").await {
            let account = invoice["metadata"]["tollgate_account"].as_str().unwrap_or_default();
            let cents =
                invoice["total"].as_i64().unwrap() - invoice["amount_due"].as_i64().unwrap();
            *received.entry(account.to_owned()).or_default() += Usd::from_cents(cents).unwrap();
        }
        for dispute in all(&stripe, "/v1/disputes").await {
            let account = &account_of_charge[dispute["charge"].as_str().unwrap()];
            let moved = dispute["balance_transactions"].as_array().unwrap().iter();
            let cents = moved.map(|moved| moved["amount"].as_i64().unwrap()).sum();
            *received.get_mut(account).unwrap() += Usd::from_cents(cents).unwrap();
        }
        Payments { received }
    }

    fn of(&self, account: &str) -> Usd {
        self.received.get(account).copied().unwrap_or_default()
    }
}

/// Every object of a list at Stripe.
async fn all(stripe: &ApiClient, list: &str) -> Vec<Value> {
    let sign = if list.contains('?') { '&' } else { '?' };
    let mut objects: Vec<Value> = Vec::new();
    loop {
        let after =
            objects.last().map(|last| format!("&starting_after={}", last["id"].as_str().unwrap()));
        let page = stripe
            .get(&format!("{list}{sign}limit=100{}", after.unwrap_or_default()))
            .await
            .unwrap();
        let page = page.success().unwrap();
        objects.extend(page["data"].as_array().unwrap().clone());
        if page["has_more"] != true {
            return objects;
        }
    }
}

/// An amount as it is stored or shown.
fn usd(amount: &Value) -> Usd {
    let text = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
    text.parse().unwrap_or_else(|error| panic!("{amount}: {error}"))
}
