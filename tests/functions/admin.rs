//! The API for staff: each route, each refusal, repeats and races.

use admin::AdminClients;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use stripe_stand_in::StandInConfig;
use tollgate::domain::profile::CompanyDetails;
use tollgate::runtime::billing::Billing;
use tollgate::store::PaymentIds;
use tollgate::stripe::keys::IdempotencyKey;
use tollgate::stripe::{Stripe, StripeSettings};
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, named};
use tollgate_tests::stand_in;

const PRICES: &str = "GET /v1/admin/prices";
const PUT_PRICES: &str = "PUT /v1/admin/prices";
const PAYMENT: &str = "GET /v1/admin/payments/{id}";
const ACCOUNT: &str = "GET /v1/admin/accounts/{account}";
const TRANSACTIONS: &str = "GET /v1/admin/accounts/{account}/transactions";
const VERIFY: &str = "GET /v1/admin/accounts/{account}/verify";
const BONUS: &str = "POST /v1/admin/accounts/{account}/bonus";
const WITHDRAW: &str = "POST /v1/admin/accounts/{account}/grants/{number}/withdraw";
const CORRECTION: &str = "POST /v1/admin/accounts/{account}/correction";
const FREEZE: &str = "POST /v1/admin/accounts/{account}/freeze";
const UNFREEZE: &str = "POST /v1/admin/accounts/{account}/unfreeze";
const SUSPEND: &str = "POST /v1/admin/accounts/{account}/suspend";
const RESUME: &str = "POST /v1/admin/accounts/{account}/resume";
const CLOSE: &str = "POST /v1/admin/accounts/{account}/close";

/// Stripe at an address.
fn stripe_at(address: &str) -> Stripe {
    let settings = StripeSettings::read(|variable| match variable {
        "STRIPE_SECRET_KEY" => Some("sk_test_local".to_owned()),
        "STRIPE_API_BASE" => Some(address.to_owned()),
        _ => None,
    });
    Stripe::new(settings.unwrap()).unwrap()
}

fn clients(billing: &Billing, stripe: Stripe) -> AdminClients {
    let billing = Billing::new(billing.store.clone(), billing.settings.clone());
    AdminClients { billing, stripe: stripe.into(), bus: Some("tollgate-test".to_owned()) }
}

/// Nothing listens where Stripe should be.
async fn send(billing: &Billing, event: &ApiEvent) -> Answered {
    admin::handle(&clients(billing, stripe_at("http://127.0.0.1:9")), event.request()).await.into()
}

async fn ask(api: &Api, event: ApiEvent) -> Answered {
    send(&api.billing, &event).await
}

/// By staff, about Alice.
fn staff(route: &str, now: &str) -> ApiEvent {
    ApiEvent::by("staff", route, now).scope("tollgate/admin").at("account", ALICE)
}

fn because(route: &str) -> ApiEvent {
    staff(route, "10:30:00").json(&json!({"reason": "a test"}))
}

fn bonus(amount: &str) -> ApiEvent {
    let body = json!({"amount": amount, "expires_at": "2026-12-22T00:00:00Z", "reason": "sorry"});
    staff(BONUS, "10:30:00").json(&body).key(&format!("bonus-{amount}"))
}

fn correction(amount: &str) -> ApiEvent {
    let body = json!({"amount": amount, "reason": "typo"});
    staff(CORRECTION, "10:30:00").json(&body).key(&format!("correction-{amount}"))
}

/// Takes back a bonus, by its number.
fn withdraw(number: &str) -> ApiEvent {
    let event = staff(WITHDRAW, "10:31:00").at("number", number);
    event.json(&json!({"reason": "given twice"})).key(&format!("withdraw-{number}"))
}

async fn with_credit(amount: &str) -> Api {
    let api = Api::new().await;
    api.ledger.open(ALICE, "10:00:00").await;
    api.ledger.credit(ALICE, "pi_1", amount, "10:00:00").await;
    api
}

/// Refused with this code, and nothing written.
async fn refused(api: &Api, event: ApiEvent, status: u16, code: &str) -> Answered {
    let before = api.everything().await;
    let answered = ask(api, event.clone()).await;
    assert_eq!(
        (answered.status, answered.code()),
        (status, code),
        "{event:?}: {}",
        answered.shown()
    );
    assert_eq!(api.everything().await, before, "nothing is written: {event:?}");
    answered
}

/// The same event at once from two sandboxes, and again: one row, and the same answer.
async fn once(api: &Api, event: ApiEvent) -> Answered {
    let event = event.key("k-1");
    let before = api.rows(ALICE).await;
    let other = api.another();
    let (first, second) = tokio::join!(send(&api.billing, &event), send(&other, &event));
    let third = send(&other, &event.clone().minutes_later(1)).await;
    assert_eq!((&first, &first), (&second, &third), "the same answer");
    assert_eq!(api.rows(ALICE).await, before + 1, "{}", first.shown());
    check(&api.ledger, ALICE).await;
    first
}

fn price(sku: &str, rate: &str) -> Value {
    json!({"sku": sku, "unit": "hour", "kind": "instance", "rate": rate})
}

fn put(prices: &Value) -> ApiEvent {
    staff(PUT_PRICES, "10:30:00").json(&json!({"prices": prices}))
}

#[tokio::test]
async fn prices_are_added_and_hold_from_the_earliest_time_allowed() {
    let api = Api::new().await;
    let answered = ask(&api, put(&json!([price("gpu", "2.5"), price("vm", "0.7")]))).await;
    insta::assert_snapshot!(answered.shown(), @r#"
    200 {
      "prices": [
        {
          "idle_rate": "0.00",
          "kind": "instance",
          "name": null,
          "rate": "2.50",
          "sku": "gpu",
          "unit": "hour",
          "unit_name": null,
          "unit_size": null,
          "valid_from": "2026-11-22T10:30:00Z"
        },
        {
          "idle_rate": "0.00",
          "kind": "instance",
          "name": null,
          "rate": "0.70",
          "sku": "vm",
          "unit": "hour",
          "unit_name": null,
          "unit_size": null,
          "valid_from": "2026-11-22T11:00:00Z"
        }
      ]
    }
    "#);
    let all = ask(&api, staff(PRICES, "10:31:00")).await.body;
    let of = |sku: &str| {
        let all = all["prices"].as_array().unwrap().iter();
        all.filter(|price| price["sku"] == sku)
            .map(|price| price["rate"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (of("gpu"), of("vm")),
        (vec!["\"2.50\"".to_owned()], vec!["\"0.60\"".to_owned(), "\"0.70\"".to_owned()])
    );
}

#[tokio::test]
async fn the_same_prices_again_add_nothing() {
    let api = Api::new().await;
    let timed = json!({
        "sku": "vm", "unit": "hour", "kind": "instance", "rate": "0.7", "idle_rate": "0.1",
        "valid_from": "2026-11-22T12:00:00Z",
    });
    let event = put(&json!([price("gpu", "2.5"), timed]));
    let (first, other) = (ask(&api, event.clone()).await, api.another());
    assert_eq!(first.status, 200, "{}", first.shown());
    let before = api.everything().await;
    let (second, third) = tokio::join!(send(&api.billing, &event), send(&other, &event));
    assert_eq!((&first, &first), (&second, &third));
    let later = ask(&api, put(&json!([price("gpu", "2.5")])).minutes_later(90)).await;
    assert_eq!(
        later.body["prices"][0]["valid_from"], "2026-11-22T10:30:00Z",
        "what holds anyway is not set again"
    );
    assert_eq!(api.everything().await, before);
}

#[tokio::test]
async fn simultaneous_equal_prices_add_one() {
    let api = Api::new().await;
    let (event, other) = (put(&json!([price("gpu", "2.5")])), api.another());
    let (first, second) = tokio::join!(send(&api.billing, &event), send(&other, &event));
    assert_eq!((first.status, &first), (200, &second), "{}", first.shown());
    assert_eq!(api.ledger.undisturbed.prices().await.unwrap().iter().count(), 6);
}

#[tokio::test]
async fn prices_are_added_all_or_none() {
    let api = Api::new().await;
    let with = |name: &str, value: Value| {
        let mut price = price("vm", "0.7");
        price[name] = value;
        json!([{"sku": "gpu", "unit": "hour", "kind": "instance", "rate": "1"}, price])
    };
    for (prices, status, code) in [
        (with("valid_from", json!("2026-11-22T10:35:00Z")), 422, "unusable"),
        (with("valid_from", json!("2026-11-22T12:30:00Z")), 422, "unusable"),
        (with("valid_from", json!("noon")), 400, "invalid_body"),
        (with("valid_from", json!(7)), 400, "invalid_body"),
        (with("idle_rate", json!("0.8")), 422, "unusable"),
        (with("unit", json!("quantity")), 422, "unusable"),
        (with("kind", json!("service")), 422, "unusable"),
        (with("unit", json!("month")), 400, "invalid_body"),
        (with("rate", json!(0.7)), 400, "invalid_body"),
        (with("rate", json!("-1")), 400, "invalid_body"),
        (with("sku", json!("v#m")), 400, "invalid_body"),
        (with("surprise", json!(1)), 400, "invalid_body"),
        (json!([price("vm", "0.7"), price("vm", "0.8")]), 409, "already_exists"),
        (json!([]), 400, "invalid_body"),
    ] {
        refused(&api, put(&prices), status, code).await;
    }
    let soon = with("valid_from", json!("2026-11-22T10:35:00Z"));
    assert_eq!(
        refused(&api, put(&soon), 422, "unusable").await.body["earliest"],
        "2026-11-22T11:00:00Z"
    );
}

#[tokio::test]
async fn a_payment_is_found_by_each_of_its_ids() {
    let api = with_credit("25").await;
    let (alice, store) = (named(ALICE), &api.ledger.undisturbed);
    store.note_look_ups(&alice, 1, &["cs_1", "ch_1", "in_1", "re_9"]).await.unwrap();
    store.note_look_ups(&alice, 0, &["cus_1"]).await.unwrap();
    // The page was known before its payment.
    store.note_owner(&alice, "cs_1").await.unwrap();
    let ids = PaymentIds {
        session: Some("cs_1".to_owned()),
        charge: Some("ch_1".to_owned()),
        invoice: None,
    };
    store.note_payment(&alice, &named("pi_1"), &ids).await.unwrap();
    let mut by_payment = ask(&api, staff(PAYMENT, "10:30:00").at("id", "pi_1")).await;
    let why = by_payment.body["stripe_error"].take();
    assert!(
        why.as_str().unwrap().starts_with("GET /payment_intents/pi_1: Stripe did not respond"),
        "{why}"
    );
    insta::assert_snapshot!(by_payment.shown(), @r#"
    200 {
      "account": "alice",
      "id": "pi_1",
      "row": {
        "amount": "25.00",
        "at": "2026-11-22T10:00:00Z",
        "balance_after": "25.00",
        "cause": "stripe",
        "description": "Stripe top-up $25.00",
        "id": "alice#1",
        "lines": [],
        "seq": 1,
        "stripe": {
          "charge": "ch_1",
          "invoice": null,
          "payment_intent": "pi_1",
          "session": "cs_1"
        },
        "type": "topup"
      },
      "stripe": null,
      "stripe_error": null
    }
    "#);
    let of_customer = ask(&api, staff(PAYMENT, "10:30:00").at("id", "cus_1")).await.body;
    assert_eq!(
        (&of_customer["account"], &of_customer["row"]["type"]),
        (&json!("alice"), &json!("opened"))
    );
    for id in ["cs_1", "ch_1", "in_1", "re_9"] {
        let found = ask(&api, staff(PAYMENT, "10:30:00").at("id", id)).await.body;
        assert_eq!((&found["id"], &found["row"]), (&json!(id), &by_payment.body["row"]));
    }
    for id in ["pi_2", "cs_2", "re_2", "cus_2", "acme", "a#b"] {
        refused(&api, staff(PAYMENT, "10:30:00").at("id", id), 404, "not_found").await;
    }
}

#[tokio::test]
async fn payment_shows_stripes_status_beside_its_row() {
    let api = with_credit("25").await;
    let (stand_in, address) = stand_in::serve(StandInConfig::default(), || 1_795_341_600).await;
    let stripe = stripe_at(&address);
    let (account, email) = (named(ALICE), "alice@example.test".parse().unwrap());
    let customer = stripe
        .create_customer(
            &account,
            &email,
            &CompanyDetails::default(),
            &IdempotencyKey::customer(&account),
        )
        .await
        .unwrap();
    let store = &api.ledger.undisturbed;
    store.note_look_ups(&account, 1, &[&customer.id, "cus_nobody", "cs_1/../x"]).await.unwrap();
    let look = async |id: &str| {
        let event = staff(PAYMENT, "10:30:00").at("id", id);
        let found: Answered =
            admin::handle(&clients(&api.billing, stripe.clone()), event.request()).await.into();
        assert_eq!(
            (found.status, &found.body["stripe_error"]),
            (200, &Value::Null),
            "{}",
            found.shown()
        );
        found.body["stripe"].clone()
    };
    let said = look(&customer.id).await;
    let expected = json!({"created": 1_795_341_600, "currency": null, "id": customer.id, "livemode": false, "object": "customer"});
    assert_eq!((&said, look("cus_nobody").await), (&expected, Value::Null));
    assert_eq!(look("cs_1/../x").await, Value::Null);
    assert_eq!(stand_in.calls_outside(), [], "an id is never a path");
}

#[tokio::test]
async fn staff_gives_corrects_freezes_suspends_and_closes_each_once() {
    let api = with_credit("25").await;
    insta::assert_snapshot!(once(&api, bonus("5")).await.shown(), @r#"
    200 {
      "account": "alice",
      "amount": "5.00",
      "at": "2026-11-22T10:30:00Z",
      "balance": "30.00",
      "frozen": false,
      "seq": 2,
      "standing": "good",
      "type": "bonus"
    }
    "#);
    let mut seen = Vec::new();
    for event in [
        correction("-1.5"),
        because(FREEZE),
        because(UNFREEZE),
        because(SUSPEND),
        because(RESUME),
        because(CLOSE),
    ] {
        let body = once(&api, event).await.body;
        seen.push(format!(
            "{} {} {} {}",
            body["type"], body["balance"], body["standing"], body["frozen"]
        ));
    }
    assert_eq!(
        seen,
        [
            r#""correction" "28.50" "good" false"#,
            r#""frozen" "28.50" "good" true"#,
            r#""unfrozen" "28.50" "good" false"#,
            r#""suspended" "28.50" "suspended" false"#,
            r#""resumed" "28.50" "good" false"#,
            r#""closed" "28.50" "closed" false"#,
        ]
    );
}

#[tokio::test]
async fn history_for_staff_says_who_did_it_and_why() {
    let api = with_credit("25").await;
    ask(&api, bonus("5")).await;
    let other = ApiEvent::by("staff-2", FREEZE, "10:40:00").scope("tollgate/admin");
    let freeze = other.at("account", ALICE).json(&json!({"reason": "a test"}));
    assert_eq!(ask(&api, freeze).await.status, 200);
    let listed = ask(&api, staff(TRANSACTIONS, "10:50:00").with("include", "all")).await;
    let told = listed.body["items"].as_array().unwrap().iter();
    let told: Vec<String> = told
        .map(|item| format!("{} {} {}", item["row"]["type"], item["by"], item["reason"]))
        .collect();
    assert_eq!(
        told,
        [
            r#""frozen" "staff-2" "a test""#,
            r#""bonus" "staff" "sorry""#,
            r#""topup" null null"#,
            r#""opened" null null"#,
        ]
    );
    let newest = staff(TRANSACTIONS, "10:50:00").with("limit", "1");
    let page = ask(&api, newest).await.body;
    assert_eq!(page["items"][0]["row"]["type"], "bonus");
    let rest = staff(TRANSACTIONS, "10:50:00").with("cursor", page["next"].as_str().unwrap());
    assert_eq!(ask(&api, rest).await.body["items"][0]["row"]["type"], "topup");
    let nobody = staff(TRANSACTIONS, "10:50:00").at("account", "nobody");
    refused(&api, nobody, 404, "not_found").await;
    refused(&api, staff(TRANSACTIONS, "10:50:00").with("limit", "0"), 400, "invalid_parameter")
        .await;
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn suspension_by_staff_returns_prepaid_time() {
    let api = with_credit("25").await;
    api.ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    let body = ask(&api, because(SUSPEND)).await.body;
    assert_eq!((&body["amount"], &body["balance"]), (&json!("0.30"), &json!("24.90")));
    refused(&api, because(SUSPEND), 409, "account_suspended").await;
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn repeated_bonus_is_given_once_for_each_key() {
    let api = with_credit("25").await;
    for key in ["k-2", "k-2", "k-3"] {
        ask(&api, bonus("5").key(key)).await;
    }
    assert_eq!(check(&api.ledger, ALICE).await.balance().to_string(), "35.00");
    ask(&api, bonus("5").key("k-1")).await;
    refused(&api, bonus("6").key("k-1"), 422, "idempotency_key_reused").await;
}

#[tokio::test]
async fn changes_of_standing_are_made_once_for_each_key() {
    let api = with_credit("25").await;
    let routes = [FREEZE, UNFREEZE, SUSPEND, RESUME, CLOSE];
    let mut first = Vec::new();
    for route in routes {
        first.push(once(&api, because(route)).await);
    }
    // Each would be refused by now.
    for (route, first) in routes.into_iter().zip(first) {
        assert_eq!(ask(&api, because(route).key("k-1").minutes_later(5)).await, first, "{route}");
        let other = because(route).json(&json!({"reason": "another"})).key("k-1");
        refused(&api, other, 422, "idempotency_key_reused").await;
    }
    let names = check(&api.ledger, ALICE).await;
    assert_eq!(names.rows.len(), 2 + routes.len());
}

#[tokio::test]
async fn an_account_is_summed_up_without_being_changed() {
    let api = with_credit("25").await;
    api.ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    let before = api.everything().await;
    let mut shown = ask(&api, staff(ACCOUNT, "23:00:00")).await;
    assert_eq!(api.everything().await, before);
    assert_eq!(shown.body["head"].as_str().unwrap().len(), 43);
    shown.body["head"] = json!("…");
    insta::assert_snapshot!(shown.shown(), @r#"
    200 {
      "account": "alice",
      "at": "2026-11-22T10:20:00Z",
      "auto_refill": null,
      "available": "24.60",
      "balance": "24.60",
      "budgets": [],
      "email": null,
      "erased": false,
      "frozen": false,
      "grants": [],
      "head": "…",
      "held": "0.00",
      "holds": [],
      "idle": 0,
      "meters": 0,
      "open_refunds": 0,
      "owed": "0.00",
      "paid_credit": "24.60",
      "paid_through": "2026-11-22T11:00:00Z",
      "pending_payments": 0,
      "quotas": {
        "projects": 100,
        "reason": null,
        "resources": 1000,
        "set_at": null,
        "set_by": null
      },
      "rate_per_hour": "0.60",
      "rows": 3,
      "running": 1,
      "standing": "good"
    }
    "#);
}

#[tokio::test]
async fn a_chain_is_verified_and_a_changed_row_shows() {
    let api = with_credit("25").await;
    let verified = ask(&api, staff(VERIFY, "10:30:00")).await.body;
    assert_eq!((&verified["verified"], &verified["rows"]), (&json!(true), &json!(2)));
    let key = |name: &str| {
        api.ledger
            .client
            .update_item()
            .table_name(api.ledger.tables.ledger())
            .key("account", AttributeValue::S(name.to_owned()))
    };
    let tampered = key(ALICE)
        .key("seq", AttributeValue::N("1".to_owned()))
        .update_expression("SET balance = :b");
    tampered
        .expression_attribute_values(":b", AttributeValue::N("1000".to_owned()))
        .send()
        .await
        .unwrap();
    let broken = ask(&api, staff(VERIFY, "10:30:00")).await;
    assert_eq!((broken.status, &broken.body["verified"]), (200, &json!(false)));
    assert_eq!(broken.body["wrong"], "row 1 has an attribute balance that differs from its body");
}

#[tokio::test]
async fn every_refusal_of_staff_names_its_problem_and_writes_nothing() {
    let api = with_credit("25").await;
    api.ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    let past = json!({"amount": "5", "expires_at": "2026-11-22T10:00:00Z", "reason": "x"});
    for (event, status, code) in [
        (bonus("0"), 422, "invalid_amount"),
        (bonus("0.001"), 422, "invalid_amount"),
        (staff(BONUS, "10:30:00").json(&past).key("k-1"), 422, "unusable"),
        (correction("0"), 422, "invalid_amount"),
        (correction("999999999999"), 422, "unusable"),
        (because(UNFREEZE), 409, "conflict"),
        (because(RESUME), 409, "conflict"),
        (because(CLOSE), 409, "conflict"),
    ] {
        refused(&api, event, status, code).await;
    }
    let long = "x".repeat(501);
    for route in [FREEZE, UNFREEZE, SUSPEND, RESUME, CLOSE] {
        for reason in ["", "  ", &long] {
            refused(
                &api,
                staff(route, "10:30:00").json(&json!({"reason": reason})),
                422,
                "unusable",
            )
            .await;
        }
    }
    for route in [ACCOUNT, VERIFY] {
        refused(&api, staff(route, "10:30:00").at("account", "nobody"), 404, "not_found").await;
    }
    for event in [bonus("5"), correction("5"), because(FREEZE), because(SUSPEND), because(CLOSE)] {
        refused(&api, event.clone().at("account", "nobody"), 404, "not_found").await;
        refused(&api, event.at("account", "a#b"), 404, "not_found").await;
    }
    refused(&api, staff("GET /v1/admin/nothing", "10:30:00"), 404, "not_found").await;
}

#[tokio::test]
async fn bad_requests_are_refused_on_every_route() {
    let api = with_credit("25").await;
    let huge = format!("\"{}\"", "x".repeat(300_000));
    let reason = json!({"reason": "x"});
    let routes = [
        (PUT_PRICES, json!({"prices": [price("gpu", "1")]})),
        (BONUS, json!({"amount": "5", "expires_at": "2026-12-22T00:00:00Z", "reason": "x"})),
        (CORRECTION, json!({"amount": "5", "reason": "x"})),
        (FREEZE, reason.clone()),
        (UNFREEZE, reason.clone()),
        (SUSPEND, reason.clone()),
        (RESUME, reason.clone()),
        (CLOSE, reason),
    ];
    for (route, good) in &routes {
        let event = staff(route, "10:30:00");
        let mut unknown = good.clone();
        unknown["surprise"] = json!(1);
        let mut wrong = good.clone();
        wrong["reason"] = json!(7);
        for body in ["not json", "", "[1]", "null", &unknown.to_string(), &wrong.to_string()] {
            refused(&api, event.clone().body(body), 400, "invalid_body").await;
        }
        refused(&api, event.clone().body(&huge), 413, "body_too_large").await;
        refused(&api, event.json(good).key("a b"), 400, "invalid_parameter").await;
    }
    for body in [
        json!({"amount": 5, "expires_at": "2026-12-22T00:00:00Z", "reason": "x"}),
        json!({"amount": "5", "expires_at": "soon", "reason": "x"}),
        json!({"amount": "5", "expires_at": "2026-12-22T00:00:00Z", "excludes": "vm", "reason": "x"}),
        json!({"amount": "5", "expires_at": "2026-12-22T00:00:00Z"}),
    ] {
        refused(&api, staff(BONUS, "10:30:00").json(&body), 400, "invalid_body").await;
    }
    let reading = [PRICES, PAYMENT, ACCOUNT, VERIFY].map(|route| (route, json!({})));
    for (route, good) in routes.iter().chain(&reading) {
        let event =
            ApiEvent::by(ALICE, route, "10:30:00").at("account", ALICE).at("id", "pi_1").json(good);
        refused(&api, event.clone(), 403, "forbidden").await;
        refused(
            &api,
            event.clone().scope("tollgate/platform tollgate/administrator"),
            403,
            "forbidden",
        )
        .await;
        refused(&api, event.without_token(), 401, "unauthorized").await;
    }
}

#[tokio::test]
async fn prices_are_put_once_for_each_key() {
    let api = Api::new().await;
    let first = ask(&api, put(&json!([price("gpu", "2.5")])).key("k-1")).await;
    assert_eq!(first.status, 200, "{}", first.shown());
    let changed = ask(&api, put(&json!([price("gpu", "3")])).minutes_later(5)).await;
    assert_eq!(changed.status, 200, "{}", changed.shown());
    let written = api.everything().await;
    // Hours later the same request would be another price, were it not for its key.
    assert_eq!(
        ask(&api, put(&json!([price("gpu", "2.5")])).key("k-1").minutes_later(300)).await,
        first
    );
    refused(&api, put(&json!([price("gpu", "4")])).key("k-1"), 422, "idempotency_key_reused").await;
    refused(&api, put(&json!([])).key("k-2"), 400, "invalid_body").await;
    assert_eq!(api.everything().await, written);
}

#[tokio::test]
async fn staff_scope_counts_only_from_listed_clients() {
    let api = with_credit("25").await;
    let by_page = correction("1000").key("k-1").claim("azp", "page");
    let answered = refused(&api, by_page, 403, "forbidden").await;
    let detail = answered.body["detail"].as_str().unwrap();
    assert!(detail.contains("StaffClients") && detail.contains("page"), "{detail}");
    refused(&api, correction("1000").key("k-1").without_claim("azp"), 403, "forbidden").await;
    let as_list = correction("10").key("k-1").claim("scope", "[openid tollgate/admin]");
    assert_eq!(ask(&api, as_list).await.status, 200);
    let as_scp = correction("10").key("k-2").without_claim("scope").claim("scp", "tollgate/admin");
    assert_eq!(ask(&api, as_scp).await.status, 200);
    let nobody = api.ledger.billing(&[("STAFF_CLIENTS", "")]);
    let answered = send(&nobody, &correction("1000").key("k-3")).await;
    assert_eq!(answered.code(), "forbidden");
    let detail = answered.body["detail"].as_str().unwrap();
    assert!(detail.contains("StaffClients is empty"), "{detail}");
}

#[tokio::test]
async fn price_outside_its_range_is_refused_by_field() {
    let api = Api::new().await;
    for (field, rate) in [
        ("rate", "100000000000000000000000000"),
        ("rate", "1000000.01"),
        ("rate", "0.000000000000000001"),
        ("idle_rate", "100000000000000000000000000"),
    ] {
        let mut wanted = price("gpu", "1");
        wanted[field] = json!(rate);
        let answered = refused(&api, put(&json!([wanted])), 400, "invalid_body").await;
        let detail = answered.body["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("prices[0].{field}: must")), "{detail}");
        assert!(!detail.contains("column"), "{detail}");
    }
}

#[tokio::test]
async fn a_bonus_is_found_by_its_number_and_withdrawn_once() {
    let api = with_credit("25").await;
    once(&api, bonus("5")).await;
    let shown = ask(&api, staff(ACCOUNT, "10:31:00")).await.body;
    assert_eq!(
        shown["grants"],
        json!([{"number": 1, "kind": "bonus", "amount": "5.00", "remaining": "5.00", "held": "0.00",
                "expires_at": "2026-12-22T00:00:00Z", "excludes": []}])
    );
    refused(&api, withdraw("1").claim("scope", "tollgate/support"), 403, "forbidden").await;
    let body = once(&api, withdraw("1")).await.body;
    assert_eq!((&body["type"], &body["amount"]), (&json!("bonus_withdrawn"), &json!("-5.00")));
    assert_eq!(body["balance"], "25.00");
    let again = withdraw("1").key("another");
    refused(&api, again, 404, "not_found").await;
    refused(&api, withdraw("one"), 404, "not_found").await;
    assert_eq!(ask(&api, staff(ACCOUNT, "10:32:00")).await.body["grants"], json!([]));
}

#[tokio::test]
async fn bonus_and_correction_require_an_idempotency_key() {
    let api = with_credit("25").await;
    let bonus = json!({"amount": "5", "expires_at": "2026-12-22T00:00:00Z", "reason": "x"});
    for (route, body) in [(BONUS, bonus), (CORRECTION, json!({"amount": "5", "reason": "x"}))] {
        let event = staff(route, "10:30:00").json(&body);
        let answered = refused(&api, event, 400, "idempotency_key_required").await;
        let detail = answered.body["detail"].as_str().unwrap();
        assert!(detail.contains("Idempotency-Key"), "{detail}");
    }
}
