//! After a suspension or deletion: why it is, what ends it, what a start needs, and what returns.

use crate::account_support::{ask, by, with_credit};
use serde_json::{Value, json};
use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::command::TakenForDispute;
use tollgate::domain::event::Cause;
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::store::Plan;
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, at, named};

const BALANCE: &str = "GET /v1/balance";
const RESTART: &str = "PUT /v1/account/restart-policy";

async fn choose(api: &Api, restart: &str, time: &str) -> Answered {
    ask(api, by(RESTART, time).json(&json!({"restart": restart}))).await
}

async fn command(api: &Api, time: &str, command: Command) {
    let account = named(ALICE);
    let trigger = api.ledger.trigger(&account, at(time));
    let plan = |_: &AccountState| -> Result<Command, Refusal> { Ok(command.clone()) };
    api.ledger.store.execute(trigger, Cause::Command, Plan::on_state(&plan)).await.unwrap();
}

/// Reason, credit that ends the suspension, and credit that is missing for a start.
async fn needs(api: &Api, time: &str) -> [Value; 3] {
    let shown = ask(api, by(BALANCE, time)).await.body;
    ["reason", "needed_to_resume", "needed_to_start"].map(|name| shown[name].clone())
}

/// A request to the function `resources`.
async fn resources(api: &Api, event: ApiEvent) -> Answered {
    resources::handle(&api.billing, event.request()).await.into()
}

async fn offers(api: &Api, time: &str) -> Value {
    let shown = resources(api, by("GET /v1/account/returning", time)).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    shown.body
}

/// Two machines that cost $0.60 an hour each, and credit for five hours.
async fn suspended() -> Api {
    let api = with_credit("6").await;
    api.ledger.start(ALICE, "vm", &["r1", "r2"], "10:00:00").await;
    api.ledger.settle(ALICE, "15:00:00").await;
    api
}

#[tokio::test]
async fn who_is_out_of_credit_learns_what_a_start_takes() {
    let api = with_credit("6").await;
    assert_eq!(needs(&api, "10:00:00").await, [Value::Null, Value::Null, json!("0.00")]);
    api.ledger.start(ALICE, "vm", &["r1", "r2"], "10:00:00").await;
    assert_eq!(needs(&api, "10:00:00").await, [Value::Null, Value::Null, json!("0.20")]);
    assert_eq!(needs(&api, "15:00:00").await, [json!("credit"), json!("0.01"), json!("5.00")]);
}

#[tokio::test]
async fn no_credit_is_asked_for_what_credit_does_not_end() {
    let api = suspended().await;
    let reason = || "a test".to_owned();
    let staff = [json!("staff"), Value::Null, Value::Null];
    command(&api, "15:01:00", Command::Freeze { reason: reason() }).await;
    assert_eq!(needs(&api, "15:01:00").await, staff, "frozen");
    command(&api, "15:02:00", Command::Unfreeze { reason: reason() }).await;
    assert_eq!(needs(&api, "15:02:00").await[0], json!("credit"));

    let api = with_credit("6").await;
    let dispute = Command::ChangeDispute {
        head: api.ledger.head(ALICE).await.state.next_seq - 1,
        before: TakenForDispute::default(),
        dispute: named("du_1"),
        payment: named("pi_1"),
        phase: tollgate::domain::account::DisputePhase::Open,
    };
    command(&api, "15:01:00", dispute).await;
    assert_eq!(needs(&api, "15:01:00").await, [json!("dispute"), Value::Null, Value::Null]);

    let api = with_credit("6").await;
    command(&api, "15:01:00", Command::Close { reason: reason() }).await;
    assert_eq!(needs(&api, "15:01:00").await, [json!("closed"), Value::Null, Value::Null]);
}

#[tokio::test]
async fn resources_restart_with_the_credit_if_their_owner_chose_so() {
    for (choice, running) in [("in_order", 2), ("manual", 0)] {
        let api = suspended().await;
        let answer = choose(&api, choice, "15:01:00").await;
        assert_eq!((answer.status, answer.body), (200, json!({"restart": choice})));
        assert_eq!(ask(&api, by(BALANCE, "15:01:00")).await.body["restart"], choice);
        api.ledger.credit(ALICE, "pi_2", "10", "15:02:00").await;
        let state = api.ledger.head(ALICE).await.state;
        assert_eq!((state.standing.name(), state.billed.count()), ("good", running), "{choice}");
        check(&api.ledger, ALICE).await;
    }
}

#[tokio::test]
async fn what_the_credit_does_not_reach_stays_off() {
    let api = suspended().await;
    choose(&api, "in_order", "15:01:00").await;
    // Less than a start needs.
    api.ledger.credit(ALICE, "pi_2", "4.99", "15:02:00").await;
    assert_eq!(api.ledger.head(ALICE).await.state.billed.count(), 0);
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn choice_that_is_in_force_has_no_second_row() {
    let api = suspended().await;
    let rows = api.rows(ALICE).await;
    choose(&api, "manual", "15:01:00").await;
    assert_eq!(api.rows(ALICE).await, rows, "manual is the default");
    for _ in 0..2 {
        assert_eq!(choose(&api, "in_order", "15:01:00").await.status, 200);
    }
    assert_eq!(api.rows(ALICE).await, rows + 1);
}

#[tokio::test]
async fn a_repeated_request_undoes_no_later_choice() {
    let api = suspended().await;
    for (restart, key) in [("manual", "k-1"), ("in_order", "k-2"), ("manual", "k-1")] {
        let event = by(RESTART, "15:01:00").json(&json!({"restart": restart})).key(key);
        assert_eq!(ask(&api, event).await.status, 200);
    }
    assert_eq!(ask(&api, by(BALANCE, "15:02:00")).await.body["restart"], "in_order");
    let reused = by(RESTART, "15:02:00").json(&json!({"restart": "in_order"})).key("k-1");
    let reused = ask(&api, reused).await;
    assert_eq!((reused.status, reused.code()), (422, "idempotency_key_reused"));
}

#[tokio::test]
async fn unknown_choice_is_refused_and_names_the_field() {
    let api = suspended().await;
    for body in [json!({"restart": "later"}), json!({}), json!({"restart": "manual", "x": 1})] {
        let answer = ask(&api, by(RESTART, "15:01:00").json(&body)).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_body"), "{answer:?}");
    }
}

const START: &str = "POST /v1/account/start";
const RESTORE: &str = "POST /v1/account/restore";

fn offer(resources: usize, rate: &str, needed: &str) -> Value {
    json!({"resources": resources, "rate_per_hour": rate, "needed": needed})
}

#[tokio::test]
async fn everything_that_a_suspension_stopped_starts_in_one_request() {
    let api = suspended().await;
    // $0.60 for the first, and the $5 that the second start needs.
    assert_eq!(offers(&api, "15:00:00").await["start"], offer(2, "1.20", "5.60"));
    let start = by(START, "15:10:00").key("k-1");
    assert_eq!(resources(&api, start.clone()).await.code(), "account_suspended");
    api.ledger.credit(ALICE, "pi_2", "10", "15:02:00").await;
    assert_eq!(offers(&api, "15:10:00").await["start"], offer(2, "1.20", "0.00"));
    let started = resources(&api, start.clone()).await;
    assert_eq!((started.status, &started.body), (200, &json!({"resources": ["r1", "r2"]})));
    let rows = api.rows(ALICE).await;
    assert_eq!(resources(&api, start.minutes_later(5)).await, started, "the first answer again");
    assert_eq!(api.rows(ALICE).await, rows);
    let again = resources(&api, by(START, "15:11:00").key("k-2")).await;
    assert_eq!((again.status, again.code()), (409, "wrong_condition"), "{again:?}");
    assert_eq!(offers(&api, "15:11:00").await["start"], offer(0, "0.00", "0.00"));
    check(&api.ledger, ALICE).await;
}

const STOP: &str = "POST /v1/account/stop";

#[tokio::test]
async fn named_resources_start_and_stop_in_one_request() {
    let api = with_credit("20").await;
    api.ledger.start(ALICE, "vm", &["r1", "r2", "r3"], "10:00:00").await;
    let ids = |ids: &[&str]| json!({"resources": ids});
    let stop = by(STOP, "10:30:00").key("k-1").json(&ids(&["r3", "r1"]));
    let stopped = resources(&api, stop.clone()).await;
    assert_eq!((stopped.status, &stopped.body), (200, &ids(&["r3", "r1"])));
    let rows = api.rows(ALICE).await;
    assert_eq!(resources(&api, stop.minutes_later(5)).await, stopped, "the first answer again");
    assert_eq!(api.rows(ALICE).await, rows);
    // None of them, if one cannot.
    for (route, resources_named, code) in [
        (STOP, ids(&["r2", "r1"]), "wrong_condition"),
        (STOP, ids(&["r2", "r9"]), "not_found"),
        (START, ids(&["r1", "r2"]), "wrong_condition"),
        (RESTORE, ids(&["r1"]), "wrong_condition"),
    ] {
        let refused = resources(&api, by(route, "10:40:00").json(&resources_named)).await;
        assert_eq!(refused.code(), code, "{route} {resources_named}: {refused:?}");
    }
    assert_eq!(api.rows(ALICE).await, rows);
    let started = resources(&api, by(START, "10:45:00").json(&ids(&["r1", "r3"]))).await;
    assert_eq!((started.status, &started.body), (200, &ids(&["r1", "r3"])));
    // Both for a quarter of an hour.
    let checked = check(&api.ledger, ALICE).await;
    assert_eq!(checked.rows.last().unwrap().event.amount(), -named::<Usd>("0.30"));
}

#[tokio::test]
async fn named_resources_are_restored_in_one_request() {
    let api = suspended().await;
    become_deleted(&api).await;
    let in_time = "2026-12-02T10:00:00Z";
    api.ledger.credit(ALICE, "pi_2", "10", in_time).await;
    let second = json!({"resources": ["r2"]});
    let restored = resources(&api, by(RESTORE, in_time).json(&second)).await;
    assert_eq!((restored.status, &restored.body), (200, &second));
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn list_of_resources_must_fit_one_row() {
    let api = with_credit("100").await;
    let many: Vec<String> = (0..81).map(|number| format!("r{number}")).collect();
    let ids: Vec<&str> = many.iter().map(String::as_str).collect();
    for batch in ids.chunks(40) {
        api.ledger.start(ALICE, "vm", batch, "10:00:00").await;
    }
    let before = api.everything().await;
    for (route, body) in [
        (START, json!({"resources": [""]})),
        (START, json!({"resource": ["r1"]})),
        (RESTORE, json!({"resources": "r1"})),
        (STOP, json!({})),
        (STOP, json!({"resources": null})),
    ] {
        let answer = resources(&api, by(route, "10:10:00").json(&body)).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_body"), "{body}: {answer:?}");
    }
    for (named, detail) in [
        (json!([]), "A request must name 1 to 80 resources, not 0."),
        (json!(many), "A request must name 1 to 80 resources, not 81."),
        (json!(["r1", "r2", "r1"]), "Resource r1 is listed twice."),
    ] {
        let stop = by(STOP, "10:10:00").json(&json!({"resources": named}));
        let answer = resources(&api, stop).await;
        assert_eq!((answer.status, answer.code()), (422, "unusable"), "{named}: {answer:?}");
        assert_eq!(answer.body["detail"], detail);
    }
    assert_eq!(api.everything().await, before);
}

#[tokio::test]
async fn of_two_requests_at_once_one_starts_and_charges() {
    for (keys, expected) in [(["k-1", "k-1"], [200, 200]), (["k-1", "k-2"], [200, 409])] {
        let api = suspended().await;
        api.ledger.credit(ALICE, "pi_2", "10", "15:02:00").await;
        let other = api.another();
        let [first, second] = keys.map(|key| by(START, "15:10:00").key(key));
        let send = async |billing, event: ApiEvent| -> Answered {
            resources::handle(billing, event.request()).await.into()
        };
        let (one, two) = tokio::join!(send(&api.billing, first), send(&other, second));
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, expected, "{one:?} {two:?}");
        let state = api.ledger.head(ALICE).await.state;
        // Two machines for the last fifty minutes of the hour.
        assert_eq!((state.balance(), state.billed.count()), (named("9.00"), 2));
        check(&api.ledger, ALICE).await;
    }
}

#[tokio::test]
async fn all_start_or_none_and_the_refusal_says_what_is_missing() {
    let api = with_credit("20").await;
    let ids: Vec<String> = (0..20).map(|number| format!("r{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    api.ledger.start(ALICE, "vm", &ids, "10:00:00").await;
    api.ledger.settle(ALICE, "12:00:00").await;
    api.ledger.credit(ALICE, "pi_2", "6", "12:00:00").await;
    // $11.40 for the first nineteen, and the $5 that the last start needs.
    assert_eq!(offers(&api, "12:00:00").await["start"], offer(20, "12.00", "10.40"));
    // Paying takes time, and a new hour may begin.
    assert_eq!(offers(&api, "12:50:00").await["start"], offer(20, "12.00", "10.40"));
    let refused = resources(&api, by(START, "12:50:00")).await;
    assert_eq!(refused.body["required"], "6.90", "nineteen for ten minutes: {refused:?}");
    let refused = resources(&api, by(START, "13:00:00")).await;
    assert_eq!((refused.status, refused.code()), (402, "credit_too_low"));
    assert_eq!(
        (&refused.body["required"], &refused.body["available"]),
        (&json!("16.40"), &json!("6.00"))
    );
    assert_eq!(api.ledger.head(ALICE).await.state.billed.count(), 0);
    api.ledger.credit(ALICE, "pi_3", "10.40", "13:00:00").await;
    assert_eq!(resources(&api, by(START, "13:00:00")).await.status, 200);
    check(&api.ledger, ALICE).await;
}

/// The grace period of a suspended account ends, and everything is deleted.
async fn become_deleted(api: &Api) {
    for time in ["2026-11-24T16:00:00Z", "2026-11-25T16:00:00Z"] {
        api.ledger.settle(ALICE, time).await;
    }
    let head = api.ledger.head(ALICE).await.state.next_seq - 1;
    command(api, "2026-11-25T16:01:00Z", Command::ConfirmDeletion { head }).await;
}

#[tokio::test]
async fn what_was_deleted_with_the_account_is_restored_in_one_request() {
    let api = with_credit("7").await;
    api.ledger.start(ALICE, "vm", &["r1", "r2", "r3", "r4"], "10:00:00").await;
    api.ledger.stop(ALICE, &["r4"], "10:00:00").await;
    let account = named(ALICE);
    let delete = |view: &AccountSnapshot<'_>| resolve::delete(view, &[named("r3")]);
    let trigger = api.ledger.trigger(&account, at("10:00:00"));
    api.ledger.store.execute(trigger, Cause::Command, Plan::on_snapshot(&delete)).await.unwrap();
    // $1.20 an hour.
    api.ledger.settle(ALICE, "15:50:00").await;
    become_deleted(&api).await;
    let (early, late) = ("2026-12-02T10:00:00Z", "2026-12-09T16:01:00Z");
    assert_eq!(offers(&api, early).await["restore"], offer(2, "1.20", "5.60"));
    api.ledger.credit(ALICE, "pi_2", "10", early).await;
    let restored = resources(&api, by(RESTORE, early).key("k-1")).await;
    assert_eq!((restored.status, &restored.body), (200, &json!({"resources": ["r1", "r2"]})));
    let none = resources(&api, by(RESTORE, early).key("k-2")).await;
    assert_eq!(
        (none.status, none.code()),
        (409, "wrong_condition"),
        "r3 was deleted by itself, and r4 was off"
    );
    check(&api.ledger, ALICE).await;
    assert_eq!(offers(&api, late).await["restore"]["resources"], 0);
}

#[tokio::test]
async fn nothing_is_restored_after_two_weeks() {
    let api = suspended().await;
    become_deleted(&api).await;
    let (in_time, late) = ("2026-12-09T16:00:59Z", "2026-12-09T16:01:00Z");
    assert_eq!(offers(&api, in_time).await["restore"]["resources"], 2);
    assert_eq!(offers(&api, late).await["restore"]["resources"], 0);
    api.ledger.credit(ALICE, "pi_2", "10", late).await;
    assert_eq!(resources(&api, by(RESTORE, late)).await.code(), "wrong_condition");
}

#[tokio::test]
async fn a_hundred_machines_start_in_two_requests() {
    let api = with_credit("200").await;
    api.ledger.start_many(ALICE, "vm", 100, "10:00:00").await;
    api.ledger.settle(ALICE, "15:00:00").await;
    api.ledger.credit(ALICE, "pi_2", "100", "15:00:00").await;
    // 80 machines: $48.00 for the hour and $8.00 for ten minutes more.
    assert_eq!(offers(&api, "15:00:00").await["start"], offer(100, "48.00", "0.00"));
    for (key, count) in [("k-1", 80), ("k-2", 20)] {
        let started = resources(&api, by(START, "15:00:00").key(key)).await;
        assert_eq!(started.body["resources"].as_array().map(Vec::len), Some(count), "{started:?}");
    }
    check(&api.ledger, ALICE).await;
}

/// What a machine and a volume cost, and what the account costs, in each state.
#[tokio::test]
async fn kept_data_costs_the_same_on_every_page() {
    let api = with_credit("6").await;
    let create = by("POST /v1/projects", "10:00:00").json(&json!({"name": "site"}));
    let project = resources(&api, create).await.body["id"].as_str().unwrap().to_owned();
    let to = |route: &str, time: &str| by(route, time).at("project", &project);
    for sku in ["vm", "volume"] {
        let new = json!({"sku": sku, "name": sku, "start": true});
        let made = to("POST /v1/projects/{project}/resources", "10:00:00").json(&new);
        assert_eq!(resources(&api, made).await.status, 201);
    }
    let costs = async |time: &str| {
        let listed = resources(&api, to("GET /v1/projects/{project}/resources", time)).await.body;
        let cost = |sku: &str| {
            let items = listed["items"].as_array().unwrap();
            items.iter().find(|item| item["sku"] == sku).unwrap()["cost_per_hour"].clone()
        };
        let balance = ask(&api, by(BALANCE, time)).await.body;
        [cost("vm"), cost("volume"), balance["rate_per_hour"].clone()]
    };
    assert_eq!(costs("10:10:00").await, ["0.60", "0.10", "0.70"]);
    // The credit is used up after eight and a half hours. Kept data is owed from then on.
    assert_eq!(costs("19:00:00").await, ["0.00", "0.04", "0.04"]);
    api.ledger.credit(ALICE, "pi_2", "10", "19:05:00").await;
    assert_eq!(costs("19:05:00").await, ["0.00", "0.04", "0.04"]);
    let suspend = |view: &AccountSnapshot<'_>| resolve::suspend(view, "a test");
    let account = named(ALICE);
    let trigger = api.ledger.trigger(&account, at("19:10:00"));
    let plan = Plan::on_snapshot(&suspend);
    api.ledger.store.execute(trigger, Cause::Command, plan).await.unwrap();
    assert_eq!(costs("19:10:00").await, ["0.00", "0.00", "0.00"], "staff suspend without a charge");
    check(&api.ledger, ALICE).await;
}
