//! After a suspension: why it is, what ends it, what a start needs, and what restarts.

use crate::account_support::{ask, by, with_credit};
use serde_json::{Value, json};
use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::command::TakenForDispute;
use tollgate::domain::event::Cause;
use tollgate::domain::refusal::Refusal;
use tollgate::store::Plan;
use tollgate_tests::api::{Answered, Api};
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
async fn unknown_choice_is_refused_and_names_the_field() {
    let api = suspended().await;
    for body in [json!({"restart": "later"}), json!({}), json!({"restart": "manual", "x": 1})] {
        let answer = ask(&api, by(RESTART, "15:01:00").json(&body)).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_body"), "{answer:?}");
    }
}
