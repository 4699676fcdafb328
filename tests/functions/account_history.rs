//! Answers from the ledger alone: transactions as CSV, the balance over time, spending, the last
//! refill attempt.

use crate::account_support::{ask, by, refused, send, with_credit};
use serde_json::{Value, json};
use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::event::{BillingChange, Cause, Change, RefillDecline};
use tollgate::domain::money::Usd;
use tollgate::domain::row::Row;
use tollgate::domain::timestamp::Timestamp;
use tollgate::store::{PaymentIds, Plan, RowOrder};
use tollgate::views::transaction::{TransactionType, transaction_type};
use tollgate_tests::api::{Api, ApiEvent};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, at, named, receipt};

const TRANSACTIONS: &str = "GET /v1/transactions";
const HISTORY: &str = "GET /v1/balance/history";
const SPENDING: &str = "GET /v1/spending";
const REFILL: &str = "GET /v1/auto-refill";
const PUT_REFILL: &str = "PUT /v1/auto-refill";

fn csv(now: &str) -> ApiEvent {
    by(TRANSACTIONS, now).header("Accept", "text/csv")
}

#[tokio::test]
async fn transactions_are_a_table_for_spreadsheets() {
    let api = with_credit("25").await;
    let ids = PaymentIds { session: None, charge: None, invoice: Some("in_1".to_owned()) };
    api.ledger.undisturbed.note_payment(&named(ALICE), &named("pi_1"), &ids).await.unwrap();
    api.ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    let reason = "=HYPERLINK(\"http://evil\"), sorry";
    let alice = named(ALICE);
    let correct = |_: &tollgate::domain::snapshot::AccountSnapshot<'_>| {
        Ok(Command::Correct { amount: named("-1"), reason: reason.to_owned() })
    };
    receipt(
        api.ledger
            .store
            .execute(
                api.ledger.trigger(&alice, at("10:30:00")),
                Cause::Command,
                Plan::on_snapshot(&correct),
            )
            .await,
    );
    let answered = ask(&api, csv("10:40:00")).await;
    assert_eq!((answered.status, answered.link.as_deref()), (200, None));
    insta::assert_snapshot!(answered.body.as_str().unwrap().replace("\r\n", "⏎\n"), @r#"
    at,type,amount,balance_after,description,id,payment_intent,invoice⏎
    2026-11-22T10:30:00Z,correction,-1.00,23.60,"Correction: =HYPERLINK(""http://evil""), sorry",alice#3,,⏎
    2026-11-22T10:20:00Z,usage,-0.40,24.60,"Usage 10:20–11:00, 1 resource started",alice#2,,⏎
    2026-11-22T10:00:00Z,topup,25.00,25.00,Stripe top-up $25.00,alice#1,pi_1,in_1⏎
    "#);
    let page =
        ask(&api, csv("10:40:00").with("limit", "1").with("from", "2026-11-22T10:00:00Z")).await;
    assert_eq!(
        page.link.as_deref(),
        Some("</v1/transactions?cursor=3&from=2026-11-22T10%3A00%3A00Z&limit=1>; rel=\"next\"")
    );
    let next =
        csv("10:40:00").with("limit", "1").with("from", "2026-11-22T10:00:00Z").with("cursor", "3");
    assert!(ask(&api, next).await.body.as_str().unwrap().contains("alice#2"));
    let only = ask(&api, csv("10:40:00").with("type", "topup")).await.body;
    assert_eq!(only.as_str().unwrap().lines().count(), 2);
    refused(&api, csv("10:40:00").with("limit", "5001"), 400, "invalid_parameter").await;
    refused(&api, by(TRANSACTIONS, "10:40:00").with("limit", "5000"), 400, "invalid_parameter")
        .await;
    let json = ask(&api, by(TRANSACTIONS, "10:40:00").header("Accept", "text/html, */*")).await;
    assert_eq!(json.kind, "application/json");
}

fn points(body: &Value) -> Vec<String> {
    let items = body["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| {
            format!(
                "{} {}",
                item["at"].as_str().unwrap().get(11..19).unwrap(),
                item["balance"].as_str().unwrap()
            )
        })
        .collect()
}

#[tokio::test]
async fn the_balance_over_time_ends_with_the_balance_of_now() {
    let api = with_credit("25").await;
    api.ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    let from = |event: ApiEvent, from: &str| event.with("from", from);
    let hours = by(HISTORY, "13:30:00").with("granularity", "hour");
    let shown = ask(&api, from(hours.clone(), "2026-11-22T08:30:00Z")).await.body;
    assert_eq!(
        (&shown["granularity"], &shown["from"]),
        (&json!("hour"), &json!("2026-11-22T08:30:00Z"))
    );
    let expected = [
        "09:00:00 0.00",
        "10:00:00 25.00",
        // Settled late, in one go: the rows are of the time at which it was settled.
        "11:00:00 24.60",
        "12:00:00 24.60",
        "13:00:00 24.60",
        "13:30:00 22.80",
    ];
    assert_eq!(points(&shown), expected);
    let balance = ask(&api, by("GET /v1/balance", "13:30:00")).await.body;
    assert_eq!(shown["items"].as_array().unwrap().last().unwrap()["balance"], balance["balance"]);
    assert_eq!(
        ask(&api, by(HISTORY, "13:30:00")).await.body["items"].as_array().unwrap().len(),
        49
    );
    let earlier = from(hours, "2026-11-22T09:15:00Z").with("to", "2026-11-22T10:20:00Z");
    assert_eq!(
        points(&ask(&api, earlier).await.body),
        ["10:00:00 25.00", "10:20:00 24.60"],
        "its last second counts"
    );
    let days = ask(&api, by(HISTORY, "13:30:00").with("granularity", "day")).await.body;
    let items = days["items"].as_array().unwrap();
    assert_eq!(
        (items.len(), &items[0]),
        (31, &json!({"at": "2026-10-24T00:00:00Z", "balance": "0.00"}))
    );
    assert_eq!(days["from"], "2026-10-23T13:30:00Z");
    let ahead = by(HISTORY, "13:30:00").with("to", "2027-01-01T00:00:00Z");
    assert_eq!(
        ask(&api, ahead).await.body["to"],
        "2026-11-22T13:30:00Z",
        "nobody knows the future"
    );
}

#[tokio::test]
async fn a_history_is_right_over_many_pages_of_rows() {
    let api = with_credit("500").await;
    api.ledger.start(ALICE, "vm", &["r1"], "10:00:00").await;
    for day in ["2026-11-24T10:00:00Z", "2026-11-26T10:00:00Z", "2026-11-28T10:00:00Z"] {
        api.ledger.settle(ALICE, day).await;
    }
    let rows = api
        .ledger
        .undisturbed
        .rows(&named(ALICE), 0..u64::MAX, RowOrder::OldestFirst, 1_000)
        .await
        .unwrap()
        .rows;
    let shown = ask(&api, by(HISTORY, "2026-11-28T10:30:00Z").with("from", "2026-11-22T09:00:00Z"))
        .await
        .body;
    let items = shown["items"].as_array().unwrap();
    assert_eq!(items.len(), 146);
    for item in items {
        let end = at(item["at"].as_str().unwrap());
        let last = rows.iter().rfind(|row| row.event.at <= end);
        let expected = last.map_or(Usd::ZERO, |row| row.state.balance());
        assert_eq!(item["balance"], expected.to_string(), "at {end}");
    }
}

#[tokio::test]
async fn stretches_of_time_that_cannot_be_asked_for_are_refused() {
    let api = with_credit("25").await;
    for (route, name, value) in [
        (HISTORY, "granularity", "minute"),
        (HISTORY, "from", "yesterday"),
        (HISTORY, "from", "2026-11-22T10:30:00Z"),
        (HISTORY, "from", "2026-12-01T00:00:00Z"),
        (HISTORY, "from", "2026-10-01T00:00:00Z"),
        (HISTORY, "to", "2026"),
        (SPENDING, "by", "colour"),
        (SPENDING, "from", "2026-08-01T00:00:00Z"),
        (SPENDING, "from", "2026-11-23T00:00:00Z"),
        (SPENDING, "to", "now"),
    ] {
        let answered =
            refused(&api, by(route, "10:30:00").with(name, value), 400, "invalid_parameter").await;
        assert_eq!(answered.body["parameter"], name, "{route}");
    }
    let longest = by(HISTORY, "10:30:00").with("from", "2026-10-20T03:30:00Z");
    assert_eq!(ask(&api, longest).await.body["items"].as_array().unwrap().len(), 800);
    for route in [HISTORY, SPENDING] {
        refused(&api, by(route, "10:30:00").without_token(), 401, "unauthorized").await;
    }
}

/// Resources in two projects, meters, grants, stops, deletions, a volume with kept data, and a
/// purged one.
async fn eventful() -> Api {
    let api = with_credit("100").await;
    let make = |name: &str, key: &str| {
        ApiEvent::by(ALICE, "POST /v1/projects", "10:00:00").key(key).json(&json!({ "name": name }))
    };
    let mut projects = Vec::new();
    for (name, key) in [("shop", "k1"), ("blog", "k2")] {
        let made: tollgate_tests::api::Answered =
            resources::handle(&api.billing, make(name, key).request()).await.into();
        projects.push(made.body["id"].as_str().unwrap().to_owned());
    }
    api.ledger.grant(ALICE, "3", "2026-11-22T12:30:00Z", "10:00:00").await;
    for (project, sku, id, now) in [
        (0, "vm", "web", "10:05:00"),
        (0, "volume", "disk", "10:10:00"),
        (1, "big", "db", "10:15:00"),
        (1, "web", "site", "11:40:00"),
    ] {
        let body = json!({"sku": sku, "name": format!("the {id}"), "start": true, "id": id});
        let event = ApiEvent::by(ALICE, "POST /v1/projects/{project}/resources", now)
            .at("project", &projects[project]);
        on(&api, event.scope("tollgate/platform").json(&body), 201).await;
    }
    let change = |project: usize, id: &str, what: &str, now: &str| {
        ApiEvent::by(ALICE, &format!("POST /v1/projects/{{project}}/resources/{{id}}/{what}"), now)
            .at("project", &projects[project])
            .at("id", id)
    };
    on(&api, change(0, "disk", "stop", "12:20:00"), 200).await;
    on(&api, change(1, "db", "stop", "13:07:13"), 200).await;
    on(&api, change(0, "disk", "start", "14:30:00"), 200).await;
    on(&api, change(1, "db", "start", "14:45:10"), 200).await;
    let report = json!({"project": projects[1], "sku": "tokens", "reading": "1234567"});
    let event = ApiEvent::by("platform", "POST /v1/usage", "14:50:00").scope("tollgate/platform");
    on(&api, event.header("Tollgate-Account", ALICE).json(&report), 200).await;
    let delete = ApiEvent::by(ALICE, "DELETE /v1/projects/{project}/resources/{id}", "15:10:00");
    on(&api, delete.at("project", &projects[1]).at("id", "db"), 200).await;
    api
}

async fn on(api: &Api, event: ApiEvent, status: u16) {
    let answered: tollgate_tests::api::Answered = if event.is_of("POST /v1/usage") {
        ::usage::handle(&api.billing, event.request()).await.into()
    } else {
        resources::handle(&api.billing, event.request()).await.into()
    };
    assert_eq!(answered.status, status, "{event:?}: {}", answered.shown());
}

fn sum(body: &Value) -> Usd {
    body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| named::<Usd>(item["amount"].as_str().unwrap()))
        .sum()
}

/// When the time begins that a row pays for.
fn service_time(row: &Row) -> Timestamp {
    match &row.event.change {
        Change::Billing(BillingChange::Usage { from, .. }) => *from,
        Change::Billing(BillingChange::Metered { lines, .. }) => lines[0].hour.unwrap(),
        _ => row.event.at,
    }
}

/// Usage and unused of this time, as the transactions show them.
async fn billed(api: &Api, from: &str, to: &str) -> Usd {
    let rows = api
        .ledger
        .undisturbed
        .rows(&named(ALICE), 0..u64::MAX, RowOrder::OldestFirst, 1_000)
        .await
        .unwrap()
        .rows;
    let counts = |row: &&Row| {
        let kind = transaction_type(&row.event);
        let is_billing = matches!(kind, Some(TransactionType::Usage | TransactionType::Unused));
        is_billing && (at(from)..at(to)).contains(&service_time(row))
    };
    rows.iter().filter(counts).map(|row| -row.event.amount()).sum()
}

#[tokio::test]
async fn spending_equals_what_was_billed_in_every_grouping() {
    let api = eventful().await;
    let until =
        ["10:00:00", "10:10:00", "12:20:00", "13:07:13", "14:30:00", "15:10:00", "16:00:00"];
    let now = "16:30:00";
    ask(&api, by("GET /v1/balance", now)).await;
    for (place, from) in until.iter().enumerate() {
        for to in &until[place + 1..] {
            let day = |clock: &str| format!("2026-11-22T{clock}Z");
            let expected = billed(&api, from, to).await;
            for group in ["project", "sku", "resource"] {
                let event = by(SPENDING, now)
                    .with("by", group)
                    .with("from", &day(from))
                    .with("to", &day(to));
                let shown = ask(&api, event).await.body;
                assert_eq!(sum(&shown), expected, "{group} from {from} to {to}: {shown}");
                assert_eq!(shown["total"], expected.to_string(), "{group} from {from} to {to}");
            }
        }
    }
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn hour_of_november_settled_in_december_is_novembers() {
    let api = Api::new().await;
    api.ledger.open(ALICE, "2026-11-30T10:00:00Z").await;
    api.ledger.credit(ALICE, "pi_1", "100", "2026-11-30T10:00:00Z").await;
    api.ledger.start(ALICE, "vm", &["r1"], "2026-11-30T22:30:00Z").await;
    // Nothing settles for six hours, and then a payment comes.
    let now = "2026-12-01T04:30:00Z";
    api.ledger.credit(ALICE, "pi_2", "5", now).await;
    let spent = async |from: &str, to: &str| {
        let event = ApiEvent::by(ALICE, SPENDING, now).with("from", from).with("to", to);
        ask(&api, event).await.body["total"].clone()
    };
    let (start, end) = ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
    // $0.60 an hour.
    assert_eq!(spent(start, end).await, "0.90");
    assert_eq!(spent("2026-11-30T23:00:00Z", end).await, "0.60");
    assert_eq!(spent(end, "2026-12-01T04:00:00Z").await, "2.40");
    assert_eq!(spent(start, now).await, "3.90");
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn what_was_owed_and_paid_later_is_spending_too() {
    let api = Api::new().await;
    api.ledger.open(ALICE, "10:00:00").await;
    api.ledger.credit(ALICE, "pi_1", "5", "10:00:00").await;
    api.ledger.start(ALICE, "volume", &["disk"], "10:00:00").await;
    // At $0.10 an hour the credit lasts for 50 hours, and then the data is kept at $0.04.
    api.ledger.settle(ALICE, "2026-11-24T12:00:00Z").await;
    let now = "2026-11-25T00:00:00Z";
    api.ledger.credit(ALICE, "pi_2", "5", now).await;
    for group in ["project", "sku", "resource"] {
        let event = ApiEvent::by(ALICE, SPENDING, now).with("by", group);
        let shown = ask(&api, event).await.body;
        let later = shown["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["name"] == "Usage and storage paid later")
            .unwrap_or_else(|| panic!("{shown}"));
        assert_eq!((&later["amount"], &later["key"]), (&json!("0.48"), &Value::Null));
        assert_eq!(shown["items"].as_array().unwrap().len(), 2, "{shown}");
        let balance = ask(&api, ApiEvent::by(ALICE, "GET /v1/balance", now)).await.body;
        let left: Usd = named(balance["balance"].as_str().unwrap());
        assert_eq!(shown["total"], (named::<Usd>("10") - left).to_string(), "{group}: {balance}");
    }
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn spending_shows_names_seconds_and_the_largest_first() {
    let api = eventful().await;
    let shown = |group: &str| by(SPENDING, "15:30:00").with("by", group);
    insta::assert_snapshot!(ask(&api, shown("resource")).await.shown(), @r#"
    200 {
      "by": "resource",
      "from": "2026-11-01T00:00:00Z",
      "items": [
        {
          "amount": "3.941",
          "key": "db",
          "name": "the db",
          "quantity": null,
          "rate": null,
          "seconds": 11823,
          "unit_name": null,
          "unit_size": null
        },
        {
          "amount": "3.55",
          "key": "web",
          "name": "the web",
          "quantity": null,
          "rate": null,
          "seconds": 21300,
          "unit_name": null,
          "unit_size": null
        },
        {
          "amount": "2.469134",
          "key": "prj-8eq3g2scq39k5sen6g68/tokens",
          "name": "tokens",
          "quantity": "1234567",
          "rate": "0.000002",
          "seconds": 0,
          "unit_name": null,
          "unit_size": null
        },
        {
          "amount": "0.453333",
          "key": "disk",
          "name": "the disk",
          "quantity": null,
          "rate": null,
          "seconds": 13200,
          "unit_name": null,
          "unit_size": null
        },
        {
          "amount": "0.090276",
          "key": "site",
          "name": "the site",
          "quantity": null,
          "rate": null,
          "seconds": 15600,
          "unit_name": null,
          "unit_size": null
        }
      ],
      "to": "2026-11-22T15:30:00Z",
      "total": "10.503743"
    }
    "#);
    let projects = ask(&api, by(SPENDING, "15:30:00")).await.body;
    let names: Vec<&str> = projects["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect();
    assert_eq!((names, &projects["by"]), (vec!["blog", "shop"], &json!("project")));
    assert_eq!(
        (&projects["from"], &projects["to"]),
        (&json!("2026-11-01T00:00:00Z"), &json!("2026-11-22T15:30:00Z"))
    );
    let skus = ask(&api, shown("sku")).await.body;
    assert_eq!(skus["items"][0]["name"], skus["items"][0]["key"]);
}

#[tokio::test]
async fn purged_resources_still_count_for_their_project() {
    let api = eventful().await;
    api.ledger.settle(ALICE, "2026-12-08T00:00:00Z").await;
    let list = api.ledger.undisturbed.billables(&named(ALICE)).await.unwrap();
    assert!(!list.resources.contains_key("db"), "it can no longer be restored");
    let then = |group: &str, from: &str| {
        by(SPENDING, "2026-12-08T00:10:00Z")
            .with("by", group)
            .with("from", from)
            .with("to", "2026-11-22T15:00:00Z")
    };
    // Neither its start nor its deletion is in this range. Only the later row of its deletion has
    // its identity.
    let projects = ask(&api, then("project", "2026-11-22T11:50:00Z")).await.body;
    let names: Vec<&Value> =
        projects["items"].as_array().unwrap().iter().map(|item| &item["name"]).collect();
    assert_eq!(names, ["blog", "shop"]);
    let resources = ask(&api, then("resource", "2026-11-22T11:50:00Z")).await.body;
    let db =
        resources["items"].as_array().unwrap().iter().find(|item| item["key"] == "db").unwrap();
    assert_eq!(db["name"], Value::Null);
    assert_eq!(sum(&projects), sum(&resources));
}

#[tokio::test]
async fn range_with_too_many_rows_is_refused() {
    // Nothing was spent before there was anything.
    let api = Api::new().await;
    let empty = ask(&api, by(SPENDING, "10:00:00")).await;
    assert_eq!(
        (empty.status, &empty.body["items"], &empty.body["total"]),
        (200, &json!([]), &json!("0.00"))
    );
    assert_eq!(
        ask(&api, by(HISTORY, "10:00:00")).await.body["items"].as_array().unwrap().len(),
        48
    );
}

async fn refill_step(api: &Api, now: &str, command: Command) {
    let alice = named(ALICE);
    let decide = |_: &AccountState| Ok(command.clone());
    let trigger = api.ledger.trigger(&alice, at(now));
    receipt(api.ledger.store.execute(trigger, Cause::Stripe, Plan::on_state(&decide)).await);
}

fn begin() -> Command {
    Command::BeginRefill { customer: named("cus_1"), tax: tollgate::domain::account::TaxMode::Off }
}

async fn last_attempt(api: &Api, now: &str) -> Value {
    ask(api, by(REFILL, now)).await.body["last_attempt"].clone()
}

#[tokio::test]
async fn last_attempt_is_described_in_plain_words() {
    let api = with_credit("5").await;
    let body = json!({"enabled": true, "threshold": "10", "amount": "20", "payment_method": "pm_1", "monthly_cap": "30"});
    let put = ask(&api, by(PUT_REFILL, "10:05:00").json(&body).key("k-1")).await;
    assert_eq!((put.status, &put.body["last_attempt"]), (200, &Value::Null));
    let cap = |cap: Value| by(PUT_REFILL, "10:06:00").json(&json!({ "monthly_cap": cap }));
    ask(&api, cap(json!("30"))).await;

    refill_step(&api, "10:10:00", begin()).await;
    let open = json!({"number": 1, "at": "2026-11-22T10:10:00Z", "amount": "20.00", "outcome": "open", "code": null,
        "message": null, "action": null});
    assert_eq!(last_attempt(&api, "10:11:00").await, open);

    refill_step(&api, "10:12:00", Command::AskCustomer { attempt: 1, url: None }).await;
    let url = "https://invoice.example/1".to_owned();
    let confirmation = tollgate::store::RefillConfirmation { attempt: 1, url: url.clone() };
    api.ledger.undisturbed.set_confirmation(&named(ALICE), &confirmation).await.unwrap();
    let asked = last_attempt(&api, "10:13:00").await;
    assert_eq!(
        (&asked["outcome"], &asked["code"], &asked["action"]),
        (
            &json!("needs_customer"),
            &json!("authentication_required"),
            &json!({"kind": "confirm", "label": "Confirm payment", "url": url})
        )
    );

    let fail = |attempt, decline, code: &str| Command::FailRefill {
        attempt,
        decline,
        code: code.to_owned(),
        reason: None,
    };
    refill_step(&api, "10:15:00", fail(1, RefillDecline::NotCharged, "superseded")).await;
    let given_up = last_attempt(&api, "10:16:00").await;
    assert_eq!(
        (&given_up["code"], &given_up["action"]["kind"]),
        (&json!("superseded"), &json!("retry_later"))
    );

    // An hour later the next one is wanted and may begin.
    ask(&api, by("GET /v1/balance", "11:20:00")).await;
    ask(&api, cap(json!("30")).minutes_later(80)).await;
    refill_step(&api, "11:30:00", begin()).await;
    refill_step(&api, "11:31:00", fail(2, RefillDecline::Later, "insufficient_funds")).await;
    let declined = json!({"number": 2, "at": "2026-11-22T11:31:00Z", "amount": "20.00", "outcome": "failed",
        "code": "insufficient_funds", "message": "Your card has insufficient funds or has reached its limit.",
        "action": {"kind": "update_card", "label": "Use another card"}});
    assert_eq!(last_attempt(&api, "11:32:00").await, declined);

    ask(&api, cap(json!("30")).minutes_later(150)).await;
    refill_step(&api, "12:40:00", begin()).await;
    let payment = tollgate_tests::ledger::topup("pi_2", "20");
    let kind = tollgate::domain::event::CreditKind::Refill {
        attempt: 3,
        purpose: tollgate::domain::account::RefillPurpose::Threshold,
    };
    refill_step(
        &api,
        "12:41:00",
        Command::Credit { payment, kind, plan: None, bonus: None, also: Vec::new() },
    )
    .await;
    let paid = last_attempt(&api, "12:42:00").await;
    let expected = json!({"number": 3, "at": "2026-11-22T12:41:00Z", "amount": "20.00", "outcome": "paid", "code": null,
        "message": null, "action": null});
    assert_eq!(paid, expected);
    // The same request again is answered as of its own row.
    assert_eq!(
        send(&api.another(), &by(PUT_REFILL, "12:43:00").json(&body).key("k-1")).await.body,
        put.body
    );
}

#[tokio::test]
async fn a_stolen_card_looks_like_any_other_decline() {
    for code in ["stolen_card", "lost_card", "fraudulent", "generic_decline"] {
        let api = with_credit("5").await;
        let body =
            json!({"enabled": true, "threshold": "10", "amount": "20", "payment_method": "pm_1"});
        ask(&api, by(PUT_REFILL, "10:05:00").json(&body)).await;
        refill_step(&api, "10:10:00", begin()).await;
        let decline =
            if code == "generic_decline" { RefillDecline::Later } else { RefillDecline::Never };
        refill_step(
            &api,
            "10:11:00",
            Command::FailRefill { attempt: 1, decline, code: code.to_owned(), reason: None },
        )
        .await;
        let told = last_attempt(&api, "10:12:00").await;
        let expected = json!({"number": 1, "at": "2026-11-22T10:11:00Z", "amount": "20.00", "outcome": "failed",
            "code": "declined", "message": "Your card was declined. Contact your bank for details.",
            "action": {"kind": "update_card", "label": "Use another card"}});
        assert_eq!(told, expected, "{code}");
    }
}
