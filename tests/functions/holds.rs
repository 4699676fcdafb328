//! Holds over the HTTP API: set aside, captured once, extended, released, expired, and refused by
//! field. No number of them at once spends more than there is.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::event::Cause;
use tollgate::domain::money::Usd;
use tollgate::runtime::billing::Billing;
use tollgate::store::Plan;
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::faults::{Calls, DynamoFault, Operation};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, at, named};

const PROJECTS: &str = "POST /v1/projects";
const HOLDS: &str = "POST /v1/holds";
const HOLD: &str = "GET /v1/holds/{hold}";
const CAPTURE: &str = "POST /v1/holds/{hold}/capture";
const EXTEND: &str = "POST /v1/holds/{hold}/extend";
const RELEASE: &str = "POST /v1/holds/{hold}/release";
const ALLOWANCE: &str = "GET /v1/allowance";
const SCOPE: &str = "tollgate/platform";

async fn send(billing: &Billing, event: &ApiEvent) -> Answered {
    if event.is_of(PROJECTS) {
        return resources::handle(billing, event.request()).await.into();
    }
    ::usage::handle(billing, event.request()).await.into()
}

/// Alice with credit, a project, and calls at a dollar each.
struct Gateway {
    api: Api,
    project: String,
}

impl Gateway {
    async fn with_credit(amount: &str) -> Gateway {
        let api = Api::new().await;
        let sku = json!({"sku": "call", "unit": "quantity", "kind": "meter", "rate": "1",
            "valid_from": "2026-11-22T10:00:00Z"});
        api.ledger.put_stored_price(&sku).await;
        let mut gateway = Gateway { api, project: String::new() };
        gateway.project = gateway.customer(ALICE, amount).await;
        gateway
    }

    /// Opens an account with credit; its project.
    async fn customer(&self, account: &str, amount: &str) -> String {
        let ledger = &self.api.ledger;
        ledger.open(account, "10:00:00").await;
        ledger.credit(account, &format!("pi_{account}"), amount, "10:00:00").await;
        let event = ApiEvent::by(account, PROJECTS, "10:00:00").json(&json!({"name": "site"}));
        let made = self.ask(event).await;
        made.body["id"].as_str().unwrap().to_owned()
    }

    fn event(route: &str, now: &str) -> ApiEvent {
        of_platform(ALICE, route, now)
    }

    fn hold(&self, amount: &str, now: &str) -> ApiEvent {
        let body = json!({"project": self.project, "skus": ["call"], "amount": amount});
        Gateway::event(HOLDS, now).json(&body)
    }

    async fn ask(&self, event: ApiEvent) -> Answered {
        send(&self.api.billing, &event).await
    }

    /// The ID of a hold that is made now.
    async fn held(&self, amount: &str, now: &str) -> String {
        let made = self.ask(self.hold(amount, now)).await;
        assert_eq!((made.status, &made.body["status"]), (201, &json!("open")), "{made:?}");
        made.body["id"].as_str().unwrap().to_owned()
    }

    async fn capture(&self, id: &str, calls: &str, now: &str) -> Answered {
        self.ask(captures(id, calls, now)).await
    }

    async fn show(&self, id: &str, now: &str) -> Value {
        self.ask(Gateway::event(HOLD, now).at("hold", id)).await.body
    }

    async fn refused(&self, event: ApiEvent, status: u16, code: &str) -> Answered {
        let before = self.api.everything().await;
        let answered = self.ask(event.clone()).await;
        assert_eq!((answered.status, answered.code()), (status, code), "{event:?}: {answered:?}");
        assert_eq!(self.api.everything().await, before, "{event:?}");
        answered
    }

    async fn balance(&self) -> Usd {
        check(&self.api.ledger, ALICE).await.balance()
    }
}

fn of_platform(account: &str, route: &str, now: &str) -> ApiEvent {
    ApiEvent::by("platform", route, now).scope(SCOPE).header("Tollgate-Account", account)
}

fn captures(id: &str, calls: &str, now: &str) -> ApiEvent {
    let body = json!({"usage": [{"sku": "call", "quantity": calls}]});
    Gateway::event(CAPTURE, now).at("hold", id).json(&body)
}

fn parts(id: &str, calls: &str, now: &str) -> ApiEvent {
    let body = json!({"usage": [{"sku": "call", "quantity": calls}], "final": false});
    Gateway::event(CAPTURE, now).at("hold", id).json(&body)
}

#[tokio::test]
async fn a_hold_is_captured_once_whatever_the_key() {
    let gateway = Gateway::with_credit("10").await;
    let made = gateway.ask(gateway.hold("6", "10:01:00")).await;
    let id = made.body["id"].as_str().unwrap();
    let expected = json!({"id": id, "status": "open", "project": gateway.project,
        "skus": ["call"], "amount": "6.00", "held": "6.00", "expires_at": "2026-11-22T10:11:00Z",
        "balance": "10.00", "available": "4.00"});
    assert_eq!((made.status, &made.body), (201, &expected));
    assert_eq!(gateway.show(id, "10:02:00").await, expected);

    let first = gateway.capture(id, "2.5", "10:03:00").await;
    let expected = json!({"id": id, "status": "captured", "captured": "2.50", "held": "0.00",
        "lines": [{"sku": "call", "quantity": "2.5", "rate": "1.00", "amount": "2.50"}],
        "balance": "7.50", "available": "7.50"});
    assert_eq!((first.status, &first.body), (200, &expected));
    for again in [captures(id, "2.5", "10:04:00"), captures(id, "9", "10:05:00").key("k-1")] {
        assert_eq!(gateway.ask(again).await.body, expected);
    }
    assert_eq!(gateway.show(id, "10:06:00").await["status"], "captured");
    for route in [EXTEND, RELEASE] {
        let event = Gateway::event(route, "10:06:00").at("hold", id).body("{}");
        gateway.refused(event, 409, "hold_ended").await;
    }
    assert_eq!(gateway.balance().await, named("7.5"));
}

#[tokio::test]
async fn parts_need_a_key_and_count_once() {
    let gateway = Gateway::with_credit("10").await;
    let id = gateway.held("6", "10:01:00").await;
    gateway.refused(parts(&id, "1", "10:02:00"), 400, "idempotency_key_required").await;
    for _ in 0..3 {
        let part = gateway.ask(parts(&id, "1", "10:02:00").key("part-1")).await;
        let shown = (&part.body["status"], &part.body["held"], &part.body["available"]);
        assert_eq!(shown, (&json!("open"), &json!("5.00"), &json!("4.00")), "{part:?}");
    }
    let other = parts(&id, "2", "10:03:00").key("part-1");
    gateway.refused(other, 422, "idempotency_key_reused").await;
    gateway.ask(parts(&id, "2", "10:03:00").key("part-2")).await;
    let last = gateway.capture(&id, "4", "10:04:00").await;
    assert_eq!((&last.body["captured"], &last.body["balance"]), (&json!("4.00"), &json!("3.00")));
}

#[tokio::test]
async fn a_hold_that_is_over_takes_one_capture_more() {
    let gateway = Gateway::with_credit("10").await;
    let expired = gateway.held("6", "10:01:00").await;
    let released = gateway.held("2", "10:01:30").await;
    for _ in 0..2 {
        let event = Gateway::event(RELEASE, "10:02:00").at("hold", &released);
        let shown = gateway.ask(event).await.body;
        assert_eq!((&shown["status"], &shown["held"]), (&json!("released"), &json!("0.00")));
    }
    // Past its expiry it holds nothing, although no row says so.
    let shown = gateway.show(&expired, "10:11:00").await;
    let told = (&shown["status"], &shown["held"], &shown["available"], &shown["expires_at"]);
    assert_eq!(told, (&json!("expired"), &json!("0.00"), &json!("10.00"), &Value::Null));
    for (id, balance) in [(&expired, "9.00"), (&released, "8.00")] {
        for calls in ["1", "1", "5"] {
            let late = gateway.capture(id, calls, "10:12:00").await;
            let shown = (&late.body["status"], &late.body["captured"], &late.body["balance"]);
            assert_eq!(shown, (&json!("captured"), &json!("1.00"), &json!(balance)), "{late:?}");
        }
    }
    assert_eq!(gateway.show(&expired, "10:13:00").await["status"], "expired");
    let event = Gateway::event(EXTEND, "10:13:00").at("hold", &expired).body("{}");
    gateway.refused(event, 409, "hold_ended").await;
}

#[tokio::test]
async fn a_hold_has_expired_though_its_capture_was_written_first() {
    let gateway = Gateway::with_credit("10").await;
    let id = gateway.held("6", "10:01:00").await;
    let rows = gateway.api.rows(ALICE).await;
    let faults = &gateway.api.ledger.faults;
    let expiry = Calls::of(Operation::TransactWriteItems).containing("hold_expired");
    faults.set(expiry, DynamoFault::Refused);
    let late = gateway.capture(&id, "1", "10:12:00").await;
    assert_eq!((late.status, &late.body["balance"]), (200, &json!("9.00")), "{late:?}");
    assert_eq!(gateway.show(&id, "10:13:00").await["status"], "expired");
    let event = Gateway::event(RELEASE, "10:13:00").at("hold", &id);
    assert_eq!(gateway.ask(event).await.body["status"], "expired");
    assert_eq!(gateway.api.rows(ALICE).await, rows + 1, "one row captured and ended it");
}

#[tokio::test]
async fn a_hold_ends_with_its_account_and_takes_one_capture_more() {
    let gateway = Gateway::with_credit("10").await;
    let id = gateway.held("6", "10:01:00").await;
    let close = |_: &AccountState| Ok(Command::Close { reason: "moved away".to_owned() });
    let (ledger, account) = (&gateway.api.ledger, named(ALICE));
    let trigger = ledger.trigger(&account, at("10:02:00"));
    ledger.store.execute(trigger, Cause::Command, Plan::on_state(&close)).await.unwrap();
    assert_eq!(gateway.show(&id, "10:03:00").await["status"], "released");
    for _ in 0..2 {
        let late = gateway.capture(&id, "1", "10:03:00").await;
        assert_eq!((late.status, &late.body["balance"]), (200, &json!("9.00")), "{late:?}");
    }
    gateway.refused(gateway.hold("1", "10:04:00"), 409, "account_closed").await;
}

#[tokio::test]
async fn extension_keeps_the_amount_and_moves_the_end() {
    let gateway = Gateway::with_credit("10").await;
    let id = gateway.held("6", "10:01:00").await;
    let event = Gateway::event(EXTEND, "10:10:00").at("hold", &id).json(&json!({"expires_in": 60}));
    let shown = gateway.ask(event).await.body;
    assert_eq!(shown["expires_at"], "2026-11-22T10:11:00Z");
    let event = Gateway::event(EXTEND, "10:10:30").at("hold", &id).json(&json!({}));
    let shown = gateway.ask(event).await.body;
    assert_eq!(
        (&shown["expires_at"], &shown["held"]),
        (&json!("2026-11-22T10:20:30Z"), &json!("6.00"))
    );
}

#[tokio::test]
async fn bad_input_is_refused_by_field() {
    let gateway = Gateway::with_credit("10").await;
    let project = &gateway.project;
    let id = gateway.held("6", "10:01:00").await;
    for (body, status, code, field) in [
        (json!({"skus": ["call"], "amount": "1"}), 400, "invalid_body", "project"),
        (json!({"project": project, "skus": [], "amount": "1"}), 400, "invalid_body", "skus"),
        (json!({"project": project, "skus": ["call"]}), 400, "invalid_body", "amount"),
        (json!({"project": project, "skus": ["call"], "amount": 1}), 400, "invalid_body", "amount"),
        (
            json!({"project": project, "skus": ["call"], "amount": "1", "expires_in": 86_401}),
            400,
            "invalid_body",
            "expires_in",
        ),
        (
            json!({"project": project, "skus": ["call"], "amount": "1", "expires_in": 0}),
            400,
            "invalid_body",
            "expires_in",
        ),
        (json!({"project": project, "skus": ["call"], "amount": "0"}), 422, "invalid_amount", ""),
        (json!({"project": project, "skus": ["call"], "amount": "-1"}), 422, "invalid_amount", ""),
        (json!({"project": project, "skus": ["gone"], "amount": "1"}), 422, "unknown_sku", ""),
        (json!({"project": project, "skus": ["vm"], "amount": "1"}), 422, "unusable", ""),
        (json!({"project": "other", "skus": ["call"], "amount": "1"}), 404, "not_found", ""),
    ] {
        let answered =
            gateway.refused(Gateway::event(HOLDS, "10:02:00").json(&body), status, code).await;
        let named = answered.body["parameter"].as_str().unwrap_or_default();
        assert_eq!(named, field, "{body}: {answered:?}");
    }
    let capture = |body: Value| Gateway::event(CAPTURE, "10:02:00").at("hold", &id).json(&body);
    for (body, status, code) in [
        (json!({"usage": [{"sku": "tokens", "quantity": "1"}]}), 422, "unusable"),
        (json!({"usage": [{"sku": "call", "quantity": "1e30"}]}), 400, "invalid_body"),
        (json!({"usage": [{"sku": "call", "quantity": "-1"}]}), 400, "invalid_body"),
        (json!({"usage": [{"sku": "call", "quantity": "1000000.1"}]}), 422, "unusable"),
        (json!({"usage": [], "final": false}), 400, "invalid_body"),
        (json!({"usage": vec![json!({"sku": "call", "quantity": "1"}); 21]}), 400, "invalid_body"),
    ] {
        gateway.refused(capture(body), status, code).await;
    }
    for unknown in ["hold-0", "hold-99", "hold-x", "hold-+3", "hold-03", "17"] {
        gateway
            .refused(Gateway::event(HOLD, "10:02:00").at("hold", unknown), 404, "not_found")
            .await;
    }
    let refused = gateway.refused(gateway.hold("4.5", "10:02:00"), 402, "credit_too_low").await;
    let shown = (&refused.body["required"], &refused.body["available"]);
    assert_eq!(shown, (&json!("4.50"), &json!("4.00")));
    // Customers hold nothing themselves.
    let body = json!({"project": project, "skus": ["call"], "amount": "1"});
    let event = ApiEvent::by(ALICE, HOLDS, "10:02:00").json(&body);
    gateway.refused(event, 403, "forbidden").await;
}

#[tokio::test]
async fn ten_holds_are_open_at_most() {
    let gateway = Gateway::with_credit("100").await;
    for _ in 0..10 {
        gateway.held("1", "10:01:00").await;
    }
    let refused = gateway.refused(gateway.hold("1", "10:02:00"), 409, "quota_reached").await;
    assert_eq!(refused.body["max"], 10);
}

#[tokio::test]
async fn lost_answers_neither_hold_nor_capture_twice() {
    for fault in
        [DynamoFault::AnswerLost, DynamoFault::InternalErrorApplied, DynamoFault::AppliedTwice]
    {
        let gateway = Gateway::with_credit("10").await;
        let faults = &gateway.api.ledger.faults;
        faults.set(Calls::of(Operation::TransactWriteItems).nth(1), fault);
        let made = gateway.ask(gateway.hold("6", "10:01:00").key("h-1")).await;
        let id = made.body["id"].as_str().unwrap();
        faults.clear();
        faults.set(Calls::of(Operation::TransactWriteItems).nth(1), fault);
        let captured = gateway.capture(id, "5", "10:02:00").await;
        assert_eq!((captured.status, &captured.body["balance"]), (200, &json!("5.00")));
        assert_eq!(gateway.balance().await, named("5"));
    }
}

#[tokio::test]
async fn allowance_is_what_is_free_and_writes_nothing() {
    let gateway = Gateway::with_credit("10").await;
    let ask = |amount: &str, now: &str| {
        let event = Gateway::event(ALLOWANCE, now).with("project", &gateway.project);
        gateway.ask(event.with("sku", "call").with("amount", amount))
    };
    let expected =
        json!({"allowed": true, "available": "10.00", "standing": "good", "reason": null});
    assert_eq!(ask("10", "10:01:00").await.body, expected);
    gateway.held("6", "10:01:00").await;
    let before = gateway.api.everything().await;
    let low = ask("5", "10:02:00").await.body;
    let expected =
        json!({"allowed": false, "available": "4.00", "standing": "good", "reason": "credit"});
    assert_eq!(low, expected);
    assert_eq!(ask("10", "10:11:00").await.body["allowed"], true, "the hold has expired");
    assert_eq!(gateway.api.everything().await, before);
    // What is used and not billed is no longer there.
    let body = json!({"project": gateway.project, "sku": "call", "quantity": "0.5", "id": "u-1"});
    gateway.ask(Gateway::event("POST /v1/usage", "10:12:00").json(&body)).await;
    assert_eq!(ask("10", "10:12:00").await.body["available"], "9.50");
    for (parameter, status) in [("project", 400), ("sku", 400)] {
        let event = Gateway::event(ALLOWANCE, "10:13:00");
        let other = if parameter == "sku" { "project" } else { "sku" };
        let answered = gateway.ask(event.with(other, "call")).await;
        let named = answered.body["parameter"].clone();
        assert_eq!((answered.status, named), (status, json!(parameter)));
    }
}

#[tokio::test]
async fn holds_at_once_never_exceed_what_is_available() {
    let gateway = Gateway::with_credit("5").await;
    for accounts in [1, 4, 10] {
        let names: Vec<String> = (0..accounts).map(|one| format!("{accounts}-{one}")).collect();
        let mut projects = Vec::new();
        for name in &names {
            projects.push(gateway.customer(name, "5").await);
        }
        let tasks = (0..64).map(|task| {
            let (name, project) = (&names[task % accounts], &projects[task % accounts]);
            holds_in_turn(&gateway, name, project)
        });
        let held: usize = join_all(tasks).await.into_iter().sum();
        assert_eq!(held, 5 * accounts, "of {accounts} accounts");
        for name in &names {
            assert_eq!(check(&gateway.api.ledger, name).await.balance(), Usd::ZERO, "{name}");
        }
    }
}

/// Ten times a dollar is held and captured, if it is there; how often it was.
async fn holds_in_turn(gateway: &Gateway, account: &str, project: &str) -> usize {
    let billing = gateway.api.another();
    let mut held = 0;
    for _ in 0..10 {
        let wish = json!({"project": project, "skus": ["call"], "amount": "1"});
        let made = send(&billing, &of_platform(account, HOLDS, "10:01:00").json(&wish)).await;
        match made.status {
            201 => {
                let id = made.body["id"].as_str().unwrap();
                let usage = json!({"usage": [{"sku": "call", "quantity": "1"}]});
                let capture = of_platform(account, CAPTURE, "10:01:00").at("hold", id).json(&usage);
                let captured = send(&billing, &capture).await;
                assert_eq!(captured.status, 200, "{captured:?}");
                held += 1;
            }
            402 | 409 | 429 => {}
            _ => panic!("{made:?}"),
        }
    }
    held
}
