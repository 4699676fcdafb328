//! Closing an account: what it loses, what stands in its way, and what staff can undo.

use serde_json::{Value, json};
use tollgate::domain::account::Standing;
use tollgate_tests::api::{Answered, ApiEvent};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, named};
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, die_everywhere};

use crate::account_stripe_support::call;
use crate::account_support::{ask, by, clients, with_credit};

const CLOSING: &str = "GET /v1/account/closing";
const CLOSE: &str = "DELETE /v1/account";

fn close(time: &str, balance: &str) -> ApiEvent {
    by(CLOSE, time).json(&json!({"balance": balance}))
}

#[track_caller]
fn refused(answered: &Answered, code: &str, detail: &str) {
    assert_eq!((answered.status, answered.code()), (409, code), "{}", answered.shown());
    assert!(answered.shown().contains(detail), "{}", answered.shown());
}

#[tokio::test]
async fn customer_sees_what_is_lost_and_closes_the_account() {
    let api = with_credit("6").await;
    api.ledger.start(ALICE, "vm", &["r1", "r2"], "10:00:00").await;
    let shown = ask(&api, by(CLOSING, "10:05:00")).await.body;
    let expected = json!({"can_close": false, "why": "resources", "resources": 2, "restorable": 0, "balance": "4.80", "auto_refill": false});
    assert_eq!(shown, expected);
    let answered = ask(&api, close("10:05:00", "4.80")).await;
    refused(&answered, "conflict", "Delete all resources first. 2 are left.");
    for id in ["r1", "r2"] {
        let event = by("DELETE /v1/projects/{project}/resources/{id}", "10:30:00");
        let event = event.at("project", "p").at("id", id);
        let deleted: Answered = resources::handle(&api.billing, event.request()).await.into();
        assert_eq!(deleted.status, 200, "{}", deleted.shown());
    }
    let shown = ask(&api, by(CLOSING, "10:31:00")).await.body;
    let expected = json!({"can_close": true, "why": null, "resources": 0, "restorable": 2, "balance": "5.40", "auto_refill": false});
    assert_eq!(shown, expected);
    let answered = ask(&api, close("10:31:00", "4.80")).await;
    refused(&answered, "balance_changed", "The balance has changed to $5.40.");
    let event = close("10:31:00", "5.40").key("k-1");
    for _ in 0..2 {
        let closed = ask(&api, event.clone()).await;
        assert_eq!((closed.status, closed.body), (200, json!({"closed": true})));
    }
    assert_eq!(api.ledger.head(ALICE).await.state.standing, Standing::Closed);
    refused(&ask(&api, close("10:32:00", "5.40")).await, "account_closed", "closed");
    assert_eq!(ask(&api, by(CLOSING, "10:32:00")).await.body["why"], "closed");
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn volume_that_costs_something_while_off_is_deleted_first() {
    let api = with_credit("6").await;
    api.ledger.start(ALICE, "volume", &["r1"], "10:00:00").await;
    api.ledger.stop(ALICE, &["r1"], "10:01:00").await;
    let shown = ask(&api, by(CLOSING, "10:05:00")).await.body;
    assert_eq!((&shown["why"], &shown["resources"]), (&json!("resources"), &json!(1)));
}

#[tokio::test]
async fn platform_closes_no_account_and_bad_requests_close_none() {
    let api = with_credit("6").await;
    let platform = ApiEvent::by("platform", CLOSE, "10:05:00")
        .scope("tollgate/platform")
        .header("Tollgate-Account", ALICE)
        .json(&json!({"balance": "6.00"}));
    assert_eq!(ask(&api, platform).await.status, 403);
    for body in [json!({}), json!({"balance": "all"}), json!({"balance": "6.00", "sure": true})] {
        assert_eq!(ask(&api, by(CLOSE, "10:05:00").json(&body)).await.status, 400, "{body}");
    }
    assert_eq!(api.ledger.head(ALICE).await.state.standing, Standing::Good);
}

fn staff(world: &PaymentWorld, action: &str) -> ApiEvent {
    let route = format!("POST /v1/admin/accounts/{{account}}/{action}");
    ApiEvent::by("staff", &route, &world.now().to_string())
        .scope("tollgate/admin")
        .at("account", ACME)
        .json(&json!({"reason": "a test"}))
}

async fn by_staff(world: &PaymentWorld, action: &str) -> Answered {
    let clients = admin::AdminClients {
        billing: world.api.another(),
        stripe: world.stripe.clone().into(),
        bus: None,
    };
    admin::handle(&clients, staff(world, action).request()).await.into()
}

/// Nobody agreed to refills after the account was open again.
#[tokio::test]
async fn reopened_account_charges_no_card_by_itself() {
    let world = PaymentWorld::new().await;
    let terms = json!({"enabled": true, "threshold": "5", "amount": "25"});
    let session = world.session("25.00", Some(terms)).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    refused(&by_staff(&world, "reopen").await, "conflict", "The account is not closed.");
    let shown = call(&world, &world.event(CLOSING)).await.body;
    assert_eq!((&shown["can_close"], &shown["auto_refill"]), (&json!(true), &json!(true)));
    let closed = call(&world, &world.event(CLOSE).json(&json!({"balance": "25.00"}))).await;
    assert_eq!(closed.status, 200, "{}", closed.shown());
    let refused_page = world.create(&json!({"amount": "25.00"})).await;
    refused(&refused_page, "account_closed", "closed");

    let reopened = by_staff(&world, "reopen").await;
    assert_eq!((reopened.status, &reopened.body["standing"]), (200, &json!("good")));
    let state = world.state().await;
    assert_eq!((state.balance(), state.refill.agreement), (named("25"), None));
    world.ledger().start(ACME, "big", &["a"], "10:10:00").await;
    for hour in 11..48 {
        let (day, hour) = (22 + hour / 24, hour % 24);
        world.ledger().settle(ACME, &format!("2026-11-{day}T{hour:02}:00:00Z")).await;
    }
    assert!(matches!(world.state().await.standing, Standing::Suspended(_)));
    assert_eq!(world.charged_cents(), 2500);
    let trial = world.call(&world.event("POST /v1/trial").json(&json!({}))).await;
    assert_ne!(trial.status, 201, "an account that comes back has no trial");
    world.check().await;
}

/// A promised payment is credited before its account is closed.
#[tokio::test]
async fn account_with_a_payment_under_way_stays_open() {
    let world = PaymentWorld::with(&[("STRIPE_PAYMENT_METHODS", "card,us_bank_account")]).await;
    let session = world.session("25.00", None).await;
    world.pay(&session, "method=us_bank_account&account=000123456789").await;
    world.deliver_all().await;
    let shown: Value = call(&world, &world.event(CLOSING)).await.body;
    assert_eq!(shown["why"], "payment", "{:?}", world.names().await);
    let answered = call(&world, &world.event(CLOSE).json(&json!({"balance": "0.00"}))).await;
    refused(&answered, "conflict", "payment");
    world.check().await;
}

#[tokio::test]
async fn open_payment_page_ends_with_the_account() {
    let world = PaymentWorld::new().await;
    let session = world.session("25.00", None).await;
    let answered = call(&world, &world.event(CLOSE).json(&json!({"balance": "1.00"}))).await;
    refused(&answered, "balance_changed", "$0.00");
    assert_eq!(world.status(&session).await.body["status"], "open", "nothing was closed");
    let closed = call(&world, &world.event(CLOSE).json(&json!({"balance": "0.00"}))).await;
    assert_eq!(closed.status, 200, "{}", closed.shown());
    assert_eq!(world.status(&session).await.body["status"], "expired");
    world.check().await;
}

/// Nothing was told of the payment yet.
#[tokio::test]
async fn payment_just_made_is_credited_before_anything_is_closed() {
    let world = PaymentWorld::new().await;
    let session = world.session("25.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    let answered = call(&world, &world.event(CLOSE).json(&json!({"balance": "0.00"}))).await;
    refused(&answered, "balance_changed", "$25.00");
    assert_eq!(world.names().await, ["opened", "topup"]);
    world.deliver_all().await;
    world.check().await;
}

#[tokio::test]
async fn closing_that_dies_anywhere_closes_once() {
    let prepare = async |world: &PaymentWorld| {
        world.session("25.00", None).await;
    };
    let process = async |world: &PaymentWorld| {
        let event = world.event(CLOSE).key("k-1").json(&json!({"balance": "0.00"}));
        let closed = call(world, &event).await;
        assert_eq!(closed.status, 200, "{}", closed.shown());
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!(world.names().await, ["opened", "closed"]);
        let pages = world.objects("checkout.session");
        assert!(pages.iter().all(|page| page["status"] == "expired"), "{pages:?}");
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((6..60).contains(&calls), "{calls} calls");
}

/// Whatever comes first decides: a closed account runs nothing.
#[tokio::test]
async fn closing_beside_a_start_leaves_nothing_running() {
    for order in 0..4 {
        let api = with_credit("6").await;
        let create = by("POST /v1/projects", "10:00:00").json(&json!({"name": "site"}));
        let made: Answered = resources::handle(&api.billing, create.request()).await.into();
        let project = made.body["id"].as_str().unwrap().to_owned();
        let start = by("POST /v1/projects/{project}/resources", "10:05:00")
            .at("project", &project)
            .json(&json!({"sku": "vm", "name": "web", "start": true}));
        let (closing, close) = (clients(&api.billing), close("10:05:00", "6.00"));
        let start = async {
            tokio::time::sleep(std::time::Duration::from_millis(order)).await;
            Answered::from(resources::handle(&api.billing, start.request()).await)
        };
        let close = async { Answered::from(account::handle(&closing, close.request()).await) };
        let (started, closed) = tokio::join!(start, close);
        let state = api.ledger.head(ALICE).await.state;
        let is_closed = state.standing == Standing::Closed;
        assert_eq!((started.status == 201, closed.status == 200), (!is_closed, is_closed));
        assert_eq!(state.billed.running_count(), u64::from(!is_closed));
        check(&api.ledger, ALICE).await;
    }
}

#[tokio::test]
async fn staff_close_and_reopen_once_for_each_key() {
    let world = PaymentWorld::new().await;
    let session = world.session("25.00", None).await;
    let clients = admin::AdminClients {
        billing: world.api.another(),
        stripe: world.stripe.clone().into(),
        bus: None,
    };
    for action in ["close", "reopen"] {
        let event = staff(&world, action).key(action);
        for _ in 0..2 {
            let done: Answered = admin::handle(&clients, event.request()).await.into();
            assert_eq!(done.status, 200, "{}", done.shown());
        }
        assert_eq!(world.status(&session).await.body["status"], "expired", "nobody pays there");
    }
    assert_eq!(world.names().await, ["opened", "closed", "reopened"]);
    world.check().await;
}
