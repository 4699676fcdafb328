//! Reports of metered usage over the HTTP API: counted once, refused by field, and billed at once
//! when they are worth much.

use serde_json::{Value, json};
use tollgate::domain::account::{AccountState, Standing};
use tollgate::domain::command::Command;
use tollgate::domain::event::{BillingChange, Cause, Change};
use tollgate::domain::money::Usd;
use tollgate::runtime::billing::Billing;
use tollgate::store::Plan;
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::faults::{Calls, DynamoFault, Operation};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, at, named};

const PROJECTS: &str = "POST /v1/projects";
const CREATE: &str = "POST /v1/projects/{project}/resources";
const USAGE: &str = "POST /v1/usage";
const SCOPE: &str = "tollgate/platform";

async fn send(billing: &Billing, event: &ApiEvent) -> Answered {
    if event.is_of(USAGE) {
        return ::usage::handle(billing, event.request()).await.into();
    }
    resources::handle(billing, event.request()).await.into()
}

async fn ask(api: &Api, event: ApiEvent) -> Answered {
    send(&api.billing, &event).await
}

/// Refused with this code, and nothing written.
async fn refused(api: &Api, event: ApiEvent, status: u16, code: &str) -> Answered {
    let before = api.everything().await;
    let answered = ask(api, event.clone()).await;
    assert_eq!((answered.status, answered.code()), (status, code), "{event:?}: {answered:?}");
    assert_eq!(api.everything().await, before, "{event:?}");
    answered
}

/// Alice with credit and a project.
async fn with_credit(amount: &str) -> (Api, String) {
    let api = Api::new().await;
    api.ledger.open(ALICE, "10:00:00").await;
    api.ledger.credit(ALICE, "pi_1", amount, "10:00:00").await;
    let event = ApiEvent::by(ALICE, PROJECTS, "10:00:00").json(&json!({"name": "site"}));
    let made = ask(&api, event).await;
    assert_eq!(made.status, 201);
    let project = made.body["id"].as_str().unwrap().to_owned();
    (api, project)
}

/// A dollar a call, and 49 more of the kind.
async fn put_calls(api: &Api) {
    for number in 0..50 {
        let sku = json!({"sku": format!("call-{number}"), "unit": "quantity", "kind": "meter",
            "rate": "1", "valid_from": "2026-11-22T10:00:00Z"});
        api.ledger.put_stored_price(&sku).await;
    }
}

/// So many calls, reported then under that ID.
fn calls(project: &str, sku: u32, quantity: &str, id: &str, now: &str) -> ApiEvent {
    let body = json!({"project": project, "sku": format!("call-{sku}"), "quantity": quantity,
        "id": id});
    let event = ApiEvent::by("platform", USAGE, now).scope(SCOPE);
    event.header("Tollgate-Account", ALICE).json(&body)
}

async fn balance(api: &Api) -> Usd {
    api.ledger.head(ALICE).await.state.balance()
}

async fn is_suspended(api: &Api) -> bool {
    matches!(api.ledger.head(ALICE).await.state.standing, Standing::Suspended(_))
}

#[tokio::test]
async fn usage_opens_its_meter_and_counts_once() {
    let (api, project) = with_credit("10").await;
    let report = |body: Value| {
        ApiEvent::by("platform", USAGE, "10:21:00")
            .scope(SCOPE)
            .header("Tollgate-Account", ALICE)
            .json(&body)
    };
    let reading =
        |reading: &str| report(json!({"project": project, "sku": "tokens", "reading": reading}));
    assert_eq!(ask(&api, reading("100")).await.body, json!({"status": "counted"}));
    assert_eq!(
        ask(&api, reading("100")).await.body,
        json!({"status": "not_newer", "reading": "100"})
    );
    let used = |quantity: &str, id: &str| {
        report(json!({"project": project, "sku": "tokens", "quantity": quantity, "id": id}))
    };
    for _ in 0..2 {
        assert_eq!(ask(&api, used("5", "u-1")).await.body, json!({"status": "counted"}));
    }
    refused(&api, used("6", "u-1"), 422, "idempotency_key_reused").await;
    assert_eq!(ask(&api, reading("100.5")).await.body, json!({"status": "counted"}));
    let other = api.another();
    let both = used("1", "u-2");
    let (first, second) = tokio::join!(send(&api.billing, &both), send(&other, &both));
    assert_eq!(
        (&first.body["status"], &second.body["status"]),
        (&json!("counted"), &json!("counted"))
    );
    assert_eq!(ask(&api, reading("100.5")).await.body["status"], "not_newer");
    // A lower reading of the same second counts as an old one.
    assert_eq!(
        ask(&api, reading("3")).await.body,
        json!({"status": "not_newer", "reading": "100.5"})
    );
    api.ledger.settle(ALICE, "11:00:00").await;
    let account = check(&api.ledger, ALICE).await;
    // 106.5 units of $0.000002.
    assert_eq!(account.balance(), named("9.999787"));
}

/// Two processes count for themselves, and one begins anew.
#[tokio::test]
async fn counters_are_named_after_their_processes() {
    let (api, project) = with_credit("10").await;
    let report = |counter: &str, reading: &str, now: &str| {
        let body =
            json!({"project": project, "sku": "tokens", "counter": counter, "reading": reading});
        let event = ApiEvent::by("platform", USAGE, now).scope(SCOPE);
        event.header("Tollgate-Account", ALICE).json(&body)
    };
    for (counter, reading, now) in
        [("main", "100", "10:20:00"), ("p-2", "5", "10:21:00"), ("p-2", "20", "10:22:00")]
    {
        assert_eq!(
            ask(&api, report(counter, reading, now)).await.body,
            json!({"status": "counted"})
        );
    }
    assert_eq!(
        ask(&api, report("p-2", "7", "10:23:00")).await.body,
        json!({"status": "reading_went_back", "reading": "20"})
    );
    api.ledger.settle(ALICE, "11:00:00").await;
    assert_eq!(check(&api.ledger, ALICE).await.balance(), named("9.99976"));
}

#[tokio::test]
async fn late_usage_has_its_hour_and_its_labels() {
    let (api, project) = with_credit("10").await;
    let report = |id: &str, at: &str, labels: Value| {
        let body = json!({"project": project, "sku": "tokens", "quantity": "100000", "id": id,
            "at": at, "labels": labels});
        let event = ApiEvent::by("platform", USAGE, "14:30:00").scope(SCOPE);
        event.header("Tollgate-Account", ALICE).json(&body)
    };
    for (id, at, labels) in [
        ("u-1", "2026-11-22T10:10:00Z", json!({})),
        ("u-2", "2026-11-22T10:20:00Z", json!({"api_key": "k1"})),
        ("u-3", "2026-11-22T14:30:00Z", json!({"api_key": "k1", "model": "small"})),
    ] {
        let answered = ask(&api, report(id, at, labels)).await;
        assert_eq!(answered.body, json!({"status": "counted"}), "{id}: {answered:?}");
    }
    for (at, status, code) in [
        ("2026-11-22T09:59:00Z", 422, "unusable"),
        ("2026-11-19T14:29:00Z", 400, "invalid_body"),
        ("2026-11-22T14:36:00Z", 400, "invalid_body"),
        ("yesterday", 400, "invalid_body"),
    ] {
        let answered = refused(&api, report("u-4", at, json!({})), status, code).await;
        assert!(answered.body["detail"].as_str().unwrap().starts_with("at: "), "{answered:?}");
    }
    let six: serde_json::Map<String, Value> =
        (0..6).map(|number| (format!("l{number}"), json!("x"))).collect();
    for labels in [json!(six), json!({"": "x"}), json!({"a": ""}), json!({"a": 1})] {
        let event = report("u-5", "2026-11-22T14:30:00Z", labels);
        refused(&api, event, 400, "invalid_body").await;
    }
    api.ledger.settle(ALICE, "15:00:00").await;
    let account = check(&api.ledger, ALICE).await;
    let hours: Vec<String> = account
        .rows
        .iter()
        .filter_map(|row| match &row.event.change {
            Change::Billing(BillingChange::Metered { lines, .. }) => Some(lines),
            _ => None,
        })
        .flatten()
        .map(|line| {
            let labels: String =
                line.labels.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            let hour: String = line.hour.unwrap().to_string().chars().skip(11).take(5).collect();
            format!("{hour}{labels}")
        })
        .collect();
    assert_eq!(hours, ["10:00", "10:00 api_key=k1", "14:00 api_key=k1 model=small"]);
}

#[tokio::test]
async fn simultaneous_first_reports_open_one_meter() {
    let (api, project) = with_credit("10").await;
    let event = ApiEvent::by(ALICE, USAGE, "10:21:00").scope(SCOPE);
    let report = |id: &str| {
        event.clone().json(&json!({"project": project, "sku": "tokens", "quantity": "1", "id": id}))
    };
    let (one, two, other) = (report("u-1"), report("u-2"), api.another());
    let (first, second) = tokio::join!(send(&api.billing, &one), send(&other, &two));
    assert_eq!(
        (first.body["status"].as_str(), second.body["status"].as_str()),
        (Some("counted"), Some("counted"))
    );
    assert_eq!(check(&api.ledger, ALICE).await.count("meter_opened"), 1);
}

#[tokio::test]
async fn a_report_that_cannot_be_counted_is_refused() {
    let (api, project) = with_credit("10").await;
    let event = ApiEvent::by(ALICE, USAGE, "10:21:00");
    let good = json!({"project": project, "sku": "tokens", "reading": "1"});
    refused(&api, event.clone().json(&good), 403, "forbidden").await;
    let event = event.scope(SCOPE);
    for (body, status, code) in [
        (json!({"project": "prj-none", "sku": "tokens", "reading": "1"}), 404, "not_found"),
        (json!({"project": project, "sku": "nope", "reading": "1"}), 422, "unknown_sku"),
        (json!({"project": project, "sku": "vm", "reading": "1"}), 422, "unusable"),
        (json!({"project": project, "sku": "tokens"}), 400, "invalid_body"),
        (json!({"project": project, "sku": "tokens", "quantity": "1"}), 400, "invalid_body"),
        (
            json!({"project": project, "sku": "tokens", "reading": "1", "id": "u"}),
            400,
            "invalid_body",
        ),
        (json!({"project": project, "sku": "tokens", "reading": 1}), 400, "invalid_body"),
        (json!({"project": project, "sku": "tokens", "reading": "-1"}), 400, "invalid_body"),
        (
            json!({"project": project, "sku": "tokens", "quantity": "1", "id": "a#b"}),
            400,
            "invalid_body",
        ),
    ] {
        refused(&api, event.clone().json(&body), status, code).await;
    }
}

#[tokio::test]
async fn usage_that_costs_absurdly_much_is_refused() {
    let (api, project) = with_credit("10").await;
    let gold = json!({"sku": "gold", "unit": "quantity", "kind": "meter", "rate": "1000",
        "valid_from": "2026-11-22T10:00:00Z"});
    api.ledger.put_stored_price(&gold).await;
    let report = |body: Value| {
        let event = ApiEvent::by("platform", USAGE, "10:21:00").scope(SCOPE);
        event.header("Tollgate-Account", ALICE).json(&body)
    };
    let used = |quantity: &str| {
        report(json!({"project": project, "sku": "gold", "quantity": quantity, "id": "u-1"}))
    };
    assert_eq!(ask(&api, used("1")).await.body["status"], "counted");
    let much = json!({"project": project, "sku": "gold", "quantity": "1000.1", "id": "u-2"});
    refused(&api, report(much), 422, "unusable").await;
    let jump = json!({"project": project, "sku": "gold", "reading": "1002"});
    refused(&api, report(jump), 422, "unusable").await;
}

#[tokio::test]
async fn bodies_that_are_no_report_are_refused() {
    let (api, project) = with_credit("10").await;
    let event = ApiEvent::by(ALICE, USAGE, "10:21:00").scope(SCOPE);
    let unknown = json!({"project": project, "sku": "tokens", "reading": "1", "surprise": 1});
    for body in ["not json", "[1]", "7", "\"x\"", &unknown.to_string()] {
        refused(&api, event.clone().body(body), 400, "invalid_body").await;
    }
    let huge = format!("\"{}\"", "x".repeat(300_000));
    refused(&api, event.clone().body(&huge), 413, "body_too_large").await;
    refused(&api, event.clone().key("a b"), 400, "invalid_parameter").await;
    refused(&api, event.clone().without_token(), 401, "unauthorized").await;
    refused(&api, event.without_claim("sub"), 401, "unauthorized").await;
}

/// 2.5 calls are kept from 10:20 on, at a dollar for each and an hour.
#[tokio::test]
async fn what_is_kept_is_billed_by_its_time() {
    let (api, project) = with_credit("10").await;
    put_calls(&api).await;
    let report = |level: &str, now: &str| {
        let at = format!("2026-11-22T{now}Z");
        let body = json!({"project": project, "sku": "call-1", "gauge": "disk-1", "level": level,
            "at": at});
        let event = ApiEvent::by("platform", USAGE, now).scope(SCOPE);
        event.header("Tollgate-Account", ALICE).json(&body)
    };
    let counted = json!({"status": "counted"});
    assert_eq!(ask(&api, report("2.5", "10:20:00")).await.body, counted);
    assert_eq!(ask(&api, report("2.5", "10:32:00")).await.body, counted);
    assert_eq!(balance(&api).await, named("10"), "half a dollar is not billed at once");
    assert_eq!(ask(&api, report("0", "10:50:00")).await.body, counted);
    assert_eq!(balance(&api).await, named("8.75"));
    let known = json!({"status": "not_newer", "level": "0"});
    assert_eq!(ask(&api, report("4", "10:45:00")).await.body, known);
    assert_eq!(check(&api.ledger, ALICE).await.balance(), named("8.75"));
    refused(&api, report("2000000000000", "10:51:00"), 422, "unusable").await;
    let without_time = json!({"project": project, "sku": "call-1", "level": "1"});
    let event = ApiEvent::by("platform", USAGE, "10:52:00").scope(SCOPE);
    let event = event.header("Tollgate-Account", ALICE).json(&without_time);
    let answered = refused(&api, event, 400, "invalid_body").await;
    assert_eq!(answered.body["parameter"], "at");
    for other in ["reading", "quantity", "counter"] {
        let body = json!({"project": project, "sku": "call-1", "level": "1", other: "1",
            "at": "2026-11-22T10:52:00Z"});
        let event = ApiEvent::by("platform", USAGE, "10:52:00").scope(SCOPE);
        let event = event.header("Tollgate-Account", ALICE).json(&body);
        refused(&api, event, 400, "invalid_body").await;
    }
}

#[tokio::test]
async fn quantity_outside_its_range_is_refused_by_field() {
    let (api, project) = with_credit("10").await;
    let report = |body: Value| {
        let event = ApiEvent::by("platform", USAGE, "10:21:00").scope(SCOPE);
        event.header("Tollgate-Account", ALICE).json(&body)
    };
    let used = |quantity: &str| {
        report(json!({"project": project, "sku": "tokens", "quantity": quantity, "id": "u-1"}))
    };
    let answered = refused(&api, used("2000000000000"), 400, "invalid_body").await;
    assert!(answered.body["detail"].as_str().unwrap().starts_with("quantity: must"));
    // A reading may grow over years, but not by so much at once.
    let reading =
        |reading: &str| report(json!({"project": project, "sku": "tokens", "reading": reading}));
    assert_eq!(ask(&api, reading("5")).await.body["status"], "counted");
    refused(&api, reading("2000000000005"), 422, "unusable").await;
    assert_eq!(ask(&api, used("6")).await.body["status"], "counted");
}

#[tokio::test]
async fn another_report_under_a_known_id_is_refused() {
    let (api, project) = with_credit("10").await;
    let report = |quantity: &str, labels: Value, at: Value| {
        let body = json!({"project": project, "sku": "tokens", "quantity": quantity, "id": "u-1",
            "labels": labels, "at": at});
        let event = ApiEvent::by("platform", USAGE, "10:40:00").scope(SCOPE);
        event.header("Tollgate-Account", ALICE).json(&body)
    };
    let at = json!("2026-11-22T10:30:00Z");
    let first = report("5", json!({"key": "k1"}), at.clone());
    assert_eq!(ask(&api, first.clone()).await.body, json!({"status": "counted"}));
    assert_eq!(ask(&api, first).await.body, json!({"status": "counted"}));
    for other in [
        report("6", json!({"key": "k1"}), at.clone()),
        report("5", json!({"key": "k2"}), at.clone()),
        report("5", json!({}), at),
        report("5", json!({"key": "k1"}), json!("2026-11-22T10:31:00Z")),
        report("5", json!({"key": "k1"}), Value::Null),
    ] {
        refused(&api, other, 422, "idempotency_key_reused").await;
    }
}

/// The platform's clock is ahead of ours, and then ours has caught up.
#[tokio::test]
async fn repeat_of_a_report_from_the_future_is_the_same_report() {
    let (api, project) = with_credit("10").await;
    for now in ["10:30:00", "10:30:01", "10:31:00"] {
        let body = json!({"project": project, "sku": "tokens", "quantity": "100000", "id": "u-1",
            "at": "2026-11-22T10:30:02Z"});
        let event = ApiEvent::by("platform", USAGE, now).scope(SCOPE);
        let event = event.header("Tollgate-Account", ALICE).json(&body);
        assert_eq!(ask(&api, event).await.body, json!({"status": "counted"}), "{now}");
    }
    api.ledger.settle(ALICE, "11:00:00").await;
    assert_eq!(check(&api.ledger, ALICE).await.balance(), named("9.80"));
}

#[tokio::test]
async fn usage_of_frozen_and_closed_accounts_is_counted_and_billed() {
    let (api, project) = with_credit("10").await;
    put_calls(&api).await;
    for (sku, now, command) in [
        (0, "10:20:00", Command::Freeze { reason: "a test".to_owned() }),
        (1, "10:30:00", Command::Close { reason: "a test".to_owned() }),
    ] {
        let account = named(ALICE);
        let trigger = api.ledger.trigger(&account, at(now));
        let plan = |_: &AccountState| Ok(command.clone());
        api.ledger.store.execute(trigger, Cause::Command, Plan::on_state(&plan)).await.unwrap();
        // The first report of a SKU, and a further one.
        for id in ["a", "b"] {
            let event = calls(&project, sku, "1", &format!("{id}-{sku}"), now);
            assert_eq!(ask(&api, event).await.body, json!({"status": "counted"}), "{now}");
        }
    }
    ask(&api, calls(&project, 1, "1", "c", "10:30:01")).await;
    assert_eq!(balance(&api).await, named("5"));
    check(&api.ledger, ALICE).await;
}

/// The end of an hour bills without a look at the sum of what is not billed. Reports put it right.
#[tokio::test]
async fn sum_of_unbilled_usage_follows_what_the_hour_billed() {
    let (api, project) = with_credit("10").await;
    // A token costs 0.000002.
    let used = |quantity: &str, now: &str| {
        let body = json!({"project": project, "sku": "tokens", "quantity": quantity, "id": now});
        let event = ApiEvent::by("platform", USAGE, now).scope(SCOPE);
        event.header("Tollgate-Account", ALICE).json(&body)
    };
    ask(&api, used("300000", "10:20:00")).await;
    api.ledger.settle(ALICE, "11:00:00").await;
    // The sum says $1.20, and $0.60 is not billed.
    ask(&api, used("300000", "11:20:00")).await;
    assert_eq!(balance(&api).await, named("9.40"));
    let _before = api.ledger.faults.take_calls();
    ask(&api, used("50000", "11:20:30")).await;
    let calls = api.ledger.faults.take_calls();
    let queries = calls.iter().filter(|call| call.operation == Operation::Query);
    assert_eq!(queries.count(), 1, "the newest row, and no list: {calls:?}");
    ask(&api, used("200000", "11:40:00")).await;
    assert_eq!(balance(&api).await, named("8.30"), "it reached a dollar");
    check(&api.ledger, ALICE).await;
}

/// A first price that is newer than the usage holds for it, and bounds it.
#[tokio::test]
async fn usage_before_the_first_price_costs_that_price() {
    let (api, project) = with_credit("10").await;
    let sku = json!({"sku": "gold", "unit": "quantity", "kind": "meter", "rate": "1000",
        "valid_from": "2026-11-22T12:00:00Z"});
    api.ledger.put_stored_price(&sku).await;
    let report = |quantity: &str, id: &str| {
        let body = json!({"project": project, "sku": "gold", "quantity": quantity, "id": id,
            "at": "2026-11-22T10:30:00Z"});
        let event = ApiEvent::by("platform", USAGE, "12:40:00").scope(SCOPE);
        event.header("Tollgate-Account", ALICE).json(&body)
    };
    refused(&api, report("1000.1", "u-1"), 422, "unusable").await;
    assert_eq!(ask(&api, report("0.002", "u-2")).await.body, json!({"status": "counted"}));
    assert_eq!(balance(&api).await, named("8"), "it was worth two dollars");
}

/// The second request under a key is the first one, or is refused.
#[tokio::test]
async fn idempotency_key_repeats_the_first_answer() {
    let (api, project) = with_credit("10").await;
    let report = |reading: &str, now: &str| {
        let event = ApiEvent::by("platform", USAGE, now).scope(SCOPE);
        event
            .header("Tollgate-Account", ALICE)
            .key("k-1")
            .json(&json!({"project": project, "sku": "tokens", "reading": reading}))
    };
    let counted = json!({"status": "counted"});
    assert_eq!(ask(&api, report("5", "10:21:00")).await.body, counted);
    refused(&api, report("6", "10:22:00"), 422, "idempotency_key_reused").await;
    assert_eq!(ask(&api, report("5", "11:30:00")).await.body, counted, "not `not_newer`");
    // Nothing is noted for an account that does not exist.
    let unknown = ApiEvent::by("platform", USAGE, "10:21:00").scope(SCOPE).key("k-2");
    let body = json!({"project": project, "sku": "tokens", "reading": "1"});
    refused(&api, unknown.header("Tollgate-Account", "alcie").json(&body), 404, "not_found").await;
}

#[tokio::test]
async fn usage_worth_a_dollar_is_billed_at_once() {
    let (api, project) = with_credit("10").await;
    put_calls(&api).await;
    let rows = api.rows(ALICE).await;
    ask(&api, calls(&project, 0, "0.6", "u-1", "10:20:00")).await;
    ask(&api, calls(&project, 1, "0.3", "u-2", "10:20:01")).await;
    assert_eq!(api.rows(ALICE).await, rows + 2, "two meters, and nothing billed");
    ask(&api, calls(&project, 0, "0.2", "u-3", "10:20:02")).await;
    assert_eq!((api.rows(ALICE).await, balance(&api).await), (rows + 3, named("8.90")));
    // The hint is used up.
    ask(&api, calls(&project, 0, "0.9", "u-4", "10:20:03")).await;
    assert_eq!(balance(&api).await, named("8.90"));
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn usage_beyond_the_credit_suspends_and_is_counted() {
    let (api, project) = with_credit("5").await;
    put_calls(&api).await;
    for second in 0..10 {
        let (id, now) = (format!("u-{second}"), format!("10:20:{second:02}"));
        let answered = ask(&api, calls(&project, 0, "1", &id, &now)).await;
        assert_eq!(answered.body["status"], "counted");
        let left = Usd::dollars(5) - Usd::dollars(second + 1);
        assert_eq!(balance(&api).await, left, "each dollar is billed at once");
        assert_eq!(is_suspended(&api).await, second >= 4, "{second}");
    }
    let new = json!({"sku": "vm", "name": "web", "start": true});
    let start = ApiEvent::by(ALICE, CREATE, "10:21:00").at("project", &project).json(&new);
    refused(&api, start, 409, "account_suspended").await;
    // The first report of another SKU is counted, too.
    let answered = ask(&api, calls(&project, 7, "2", "u-x", "10:22:00")).await;
    assert_eq!(answered.body["status"], "counted");
    let account = check(&api.ledger, ALICE).await;
    assert_eq!((account.count("suspended"), account.balance()), (1, named("-7")));
}

/// When it is suspended, the whole account, not each meter, is below zero by at most a dollar and one
/// report.
#[tokio::test]
async fn fifty_meters_overdraw_no_further_than_one() {
    let (api, project) = with_credit("5").await;
    put_calls(&api).await;
    for sku in 0..50 {
        let (id, now) = (format!("u-{sku}"), format!("10:20:{sku:02}"));
        ask(&api, calls(&project, sku, "0.99", &id, &now)).await;
        if is_suspended(&api).await {
            break;
        }
    }
    assert!(is_suspended(&api).await, "nothing stopped it");
    let left = balance(&api).await;
    assert!(left >= named("-1.99") && left <= Usd::ZERO, "{left}");
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn report_is_counted_when_it_cannot_be_billed_at_once() {
    let (api, project) = with_credit("10").await;
    put_calls(&api).await;
    ask(&api, calls(&project, 0, "0.5", "u-0", "10:20:00")).await;
    for (number, fault) in
        [DynamoFault::AnswerLost, DynamoFault::InternalError].into_iter().enumerate()
    {
        // The first update of one item is the hint.
        api.ledger.faults.set(Calls::of(Operation::UpdateItem).first(9), fault);
        let now = format!("10:30:{number:02}");
        let answered = ask(&api, calls(&project, 0, "3", &format!("u-{now}"), &now)).await;
        assert_eq!((answered.status, answered.body["status"].as_str()), (200, Some("counted")));
        api.ledger.faults.clear();
        let again = ask(&api, calls(&project, 0, "3", &format!("u-{now}"), &now)).await;
        assert_eq!(again.body["status"], "counted", "and bills what the first left");
    }
    api.ledger.settle(ALICE, "11:00:00").await;
    assert_eq!(check(&api.ledger, ALICE).await.balance(), named("3.50"));
}

/// A batch, for Alice unless a report says otherwise.
fn batch(reports: &[Value], now: &str) -> ApiEvent {
    let event = ApiEvent::by("platform", USAGE, now).scope(SCOPE);
    event.header("Tollgate-Account", ALICE).json(&json!({"reports": reports}))
}

#[tokio::test]
async fn batch_is_answered_item_by_item() {
    let (api, project) = with_credit("10").await;
    let used = |quantity: &str, id: &str| json!({"project": project, "sku": "tokens", "quantity": quantity, "id": id});
    let read = |reading: &str| json!({"project": project, "sku": "tokens", "reading": reading});
    let with = |mut report: Value, name: &str, value: &str| {
        report[name] = json!(value);
        report
    };
    let reports = [
        used("25", "u-1"),
        with(used("25", "u-2"), "account", "nobody"),
        used("25", "u-1"),
        used("9", "u-1"),
        read("100"),
        read("250"),
        read("200"),
        with(used("0.25", "u-3"), "sku", "gone"),
        with(used("0.25", "u-4"), "colour", "red"),
        json!(7),
    ];
    let event = batch(&reports, "10:21:00");
    let answered = ask(&api, event.clone()).await;
    let shown = |answered: &Answered| -> Vec<String> {
        let results = answered.body["results"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let shown = results.map(|one| text(&one["status"]) + &text(&one["problem"]["code"]));
        shown.collect()
    };
    let expected = [
        "counted",
        "refusednot_found",
        "counted",
        "refusedidempotency_key_reused",
        "counted",
        "counted",
        "not_newer",
        "refusedunknown_sku",
        "refusedinvalid_body",
        "refusedinvalid_body",
    ];
    assert_eq!((answered.status, shown(&answered)), (200, expected.map(str::to_owned).to_vec()));
    let problem = &answered.body["results"][8]["problem"];
    assert_eq!((&problem["parameter"], &problem["status"]), (&json!("colour"), &json!(400)));
    // The same batch again counts nothing twice.
    ask(&api, event).await;
    api.ledger.settle(ALICE, "11:00:00").await;
    // 275 tokens of $0.000002.
    assert_eq!(check(&api.ledger, ALICE).await.balance(), named("9.99945"));
}

#[tokio::test]
async fn batch_of_many_accounts_counts_for_each_and_bills_what_is_much() {
    let (api, project) = with_credit("10").await;
    put_calls(&api).await;
    let mut reports = Vec::new();
    let mut accounts = vec![(ALICE.to_owned(), project)];
    for number in 0..9 {
        let account = format!("customer-{number}");
        api.ledger.open(&account, "10:00:00").await;
        api.ledger.credit(&account, &format!("pi_1{number}"), "10", "10:00:00").await;
        let event = ApiEvent::by(&account, PROJECTS, "10:00:00").json(&json!({"name": "site"}));
        let project = ask(&api, event).await.body["id"].as_str().unwrap().to_owned();
        accounts.push((account, project));
    }
    for report in 0..100 {
        let (account, project) = &accounts[report % 10];
        reports.push(json!({"account": account, "project": project, "sku": "call-0",
            "quantity": "0.2", "id": format!("u-{report}")}));
    }
    let answered = ask(&api, batch(&reports, "10:21:00")).await;
    let results = answered.body["results"].as_array().unwrap();
    assert!(results.iter().all(|one| *one == json!({"status": "counted"})), "{answered:?}");
    for (account, _) in &accounts {
        assert_eq!(check(&api.ledger, account).await.balance(), named("8"), "{account}");
    }
}

#[tokio::test]
async fn batch_that_cannot_be_read_is_refused_whole() {
    let (api, project) = with_credit("10").await;
    let report = json!({"project": project, "sku": "tokens", "reading": "1"});
    for (reports, code) in [
        (json!([]), "invalid_body"),
        (json!(vec![report.clone(); 101]), "invalid_body"),
        (json!({"0": report}), "invalid_body"),
        (json!(null), "invalid_body"),
    ] {
        let event = ApiEvent::by("platform", USAGE, "10:21:00").scope(SCOPE);
        let event = event.header("Tollgate-Account", ALICE).json(&json!({"reports": reports}));
        let answered = refused(&api, event, 400, code).await;
        assert_eq!(answered.body["parameter"], "reports");
    }
    let event = batch(std::slice::from_ref(&report), "10:21:00").key("k-1");
    refused(&api, event, 400, "invalid_parameter").await;
    // Without the header each report names its account, and a single report never does.
    let mut named = report.clone();
    named["account"] = json!(ALICE);
    let event = ApiEvent::by("platform", USAGE, "10:21:00").scope(SCOPE);
    let answered = ask(&api, event.clone().json(&json!({"reports": [report, named]}))).await;
    let results = &answered.body["results"];
    assert_eq!(results[0]["problem"]["parameter"], "account");
    assert_eq!(results[1], json!({"status": "counted"}));
    let event = event.header("Tollgate-Account", ALICE).json(&named);
    refused(&api, event, 400, "invalid_body").await;
}

#[tokio::test]
async fn labelled_usage_worth_a_dollar_is_billed_at_once() {
    let (api, project) = with_credit("5").await;
    put_calls(&api).await;
    for (number, (key, quantity)) in [("k1", "0.75"), ("k2", "0.25")].into_iter().enumerate() {
        let body = json!({"project": project, "sku": "call-0", "quantity": quantity,
            "id": format!("u-{number}"), "labels": {"api_key": key}});
        let event = ApiEvent::by("platform", USAGE, "10:21:00").scope(SCOPE);
        let event = event.header("Tollgate-Account", ALICE).json(&body);
        assert_eq!(ask(&api, event).await.body, json!({"status": "counted"}));
    }
    assert_eq!(balance(&api).await, named("4"));
}
