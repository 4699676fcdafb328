//! The API of the Billing page: each route, each refusal, repeats and races.

use crate::account_support::{ask, by, refused, send, with_credit};
use serde_json::{Value, json};
use tollgate::domain::command::Command;
use tollgate::domain::event::{Cause, Change, RefillChange};
use tollgate::store::{PaymentIds, Plan, RowOrder};
use tollgate_tests::api::{Answered, Api};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, at, named, receipt};

const ACCOUNT: &str = "GET /v1/account";
const PUT_ACCOUNT: &str = "PUT /v1/account";
const BALANCE: &str = "GET /v1/balance";
const TRANSACTIONS: &str = "GET /v1/transactions";
const REFILL: &str = "GET /v1/auto-refill";
const PUT_REFILL: &str = "PUT /v1/auto-refill";

#[tokio::test]
async fn the_first_call_opens_the_account_with_the_tokens_address() {
    for route in [ACCOUNT, BALANCE, TRANSACTIONS, REFILL] {
        let api = Api::new().await;
        let (event, other) = (by(route, "10:00:00"), api.another());
        let (first, second) = tokio::join!(send(&api.billing, &event), send(&other, &event));
        assert_eq!((first.status, second.status), (200, 200), "{route}: {}", first.shown());
        assert_eq!(api.rows(ALICE).await, 1, "{route}");
        let shown = ask(&api, by(ACCOUNT, "10:00:01").without_claim("email")).await;
        assert_eq!(shown.body, json!({"id": "alice", "email": "alice@example.test"}), "{route}");
    }
}

#[tokio::test]
async fn the_customers_own_address_is_kept_whatever_tokens_say() {
    let api = Api::new().await;
    let none = ask(&api, by(ACCOUNT, "10:00:00").claim("email", "nonsense")).await;
    assert_eq!(none.body, json!({"id": "alice", "email": null}));
    let put = by(PUT_ACCOUNT, "10:00:00").json(&json!({"email": "billing@alice.test"}));
    let other = api.another();
    let (first, second) = tokio::join!(send(&api.billing, &put), send(&other, &put));
    assert_eq!((first.status, &first), (200, &second));
    assert_eq!(ask(&api, put).await, first);
    assert_eq!(
        ask(&api, by(ACCOUNT, "10:00:01")).await.body,
        json!({"id": "alice", "email": "billing@alice.test"})
    );
    assert_eq!(api.rows(ALICE).await, 1);
}

#[tokio::test]
async fn an_address_is_set_once_for_each_key() {
    let api = Api::new().await;
    let put = |email: &str| by(PUT_ACCOUNT, "10:00:00").json(&json!({ "email": email })).key("k-1");
    refused_as_body(&api, put("nobody")).await;
    let first = ask(&api, put("one@alice.test")).await;
    let other = by(PUT_ACCOUNT, "10:00:01").json(&json!({"email": "two@alice.test"}));
    assert_eq!(ask(&api, other).await.status, 200);
    assert_eq!(
        ask(&api, put("one@alice.test").minutes_later(5)).await,
        first,
        "the first answer again"
    );
    assert_eq!(
        ask(&api, by(ACCOUNT, "10:06:00")).await.body["email"],
        "two@alice.test",
        "and nothing was done"
    );
    let reused = ask(&api, put("three@alice.test")).await;
    assert_eq!((reused.status, reused.code()), (422, "idempotency_key_reused"));
}

/// A body that cannot be read uses up no key.
async fn refused_as_body(api: &Api, event: tollgate_tests::api::ApiEvent) {
    refused(api, event, 400, "invalid_body").await;
}

#[tokio::test]
async fn an_address_that_comes_later_is_kept_then() {
    let api = Api::new().await;
    ask(&api, by(BALANCE, "10:00:00").without_claim("email")).await;
    assert_eq!(
        ask(&api, by(ACCOUNT, "10:00:01").without_claim("email")).await.body["email"],
        Value::Null
    );
    assert_eq!(ask(&api, by(ACCOUNT, "10:00:02")).await.body["email"], "alice@example.test");
    assert_eq!(
        ask(&api, by(ACCOUNT, "10:00:03").without_claim("email")).await.body["email"],
        "alice@example.test"
    );
}

#[tokio::test]
async fn a_new_account_has_nothing() {
    let api = Api::new().await;
    insta::assert_snapshot!(ask(&api, by(BALANCE, "10:00:00")).await.shown(), @r#"
    200 {
      "available": "0.00",
      "balance": "0.00",
      "currency": "usd",
      "frozen": false,
      "grants": [],
      "held": "0.00",
      "needed_to_resume": null,
      "needed_to_start": "5.00",
      "owed": "0.00",
      "paid_through": null,
      "rate_per_hour": "0.00",
      "reason": null,
      "restart": "manual",
      "runway": {
        "deleted_at": null,
        "zero_at": null
      },
      "standing": "good"
    }
    "#);
}

#[tokio::test]
async fn the_balance_is_true_now_because_it_is_settled_first() {
    let api = with_credit("10").await;
    api.ledger.grant(ALICE, "5", "2026-12-01T00:00:00Z", "10:00:00").await;
    api.ledger.start(ALICE, "vm", &["r1", "r2"], "10:20:00").await;
    insta::assert_snapshot!(ask(&api, by(BALANCE, "11:30:00")).await.shown(), @r#"
    200 {
      "available": "13.00",
      "balance": "13.00",
      "currency": "usd",
      "frozen": false,
      "grants": [
        {
          "excludes": [],
          "expires_at": "2026-12-01T00:00:00Z",
          "kind": "bonus",
          "remaining": "3.00"
        }
      ],
      "held": "0.00",
      "needed_to_resume": null,
      "needed_to_start": "0.00",
      "owed": "0.00",
      "paid_through": "2026-11-22T12:00:00Z",
      "rate_per_hour": "1.20",
      "reason": null,
      "restart": "manual",
      "runway": {
        "deleted_at": "2026-11-25T22:50:00Z",
        "zero_at": "2026-11-22T22:50:00Z"
      },
      "standing": "good"
    }
    "#);
    let rows = api.rows(ALICE).await;
    let (event, other) = (by(BALANCE, "12:30:00"), api.another());
    let (first, second) = tokio::join!(send(&api.billing, &event), send(&other, &event));
    assert_eq!(first, second);
    assert_eq!(api.rows(ALICE).await, rows + 1, "the hour is paid once");
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn a_suspended_account_shows_when_it_will_be_deleted() {
    let api = with_credit("5").await;
    api.ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    let shown = ask(&api, by(BALANCE, "22:00:00")).await.body;
    assert_eq!(
        (&shown["balance"], &shown["standing"], &shown["paid_through"], &shown["rate_per_hour"]),
        (&json!("0.00"), &json!("suspended"), &Value::Null, &json!("0.00"))
    );
    assert_eq!(shown["runway"], json!({"zero_at": null, "deleted_at": "2026-11-25T22:00:00Z"}));
}

#[tokio::test]
async fn transactions_describe_money_movements_in_plain_words() {
    let api = with_credit("25").await;
    api.ledger.start(ALICE, "vm", &["r1", "r2"], "10:20:00").await;
    api.ledger.settle(ALICE, "11:00:00").await;
    api.ledger.stop(ALICE, &["r1"], "11:30:00").await;
    let ids = PaymentIds {
        session: Some("cs_1".to_owned()),
        charge: Some("ch_1".to_owned()),
        invoice: None,
    };
    api.ledger.undisturbed.note_payment(&named(ALICE), &named("pi_1"), &ids).await.unwrap();
    insta::assert_snapshot!(ask(&api, by(TRANSACTIONS, "11:40:00")).await.shown(), @r#"
    200 {
      "items": [
        {
          "amount": "0.30",
          "at": "2026-11-22T11:30:00Z",
          "balance_after": "23.30",
          "cause": "request",
          "description": "Unused time credited, 1 resource stopped",
          "id": "alice#4",
          "lines": [
            {
              "amount": "0.30",
              "rate": "0.60",
              "resource": "r1",
              "seconds": 1800
            }
          ],
          "seq": 4,
          "stripe": null,
          "type": "unused"
        },
        {
          "amount": "-1.20",
          "at": "2026-11-22T11:00:00Z",
          "balance_after": "23.00",
          "cause": "time",
          "description": "Usage 11:00–12:00, 2 resources",
          "id": "alice#3",
          "lines": [
            {
              "amount": "-0.60",
              "rate": "0.60",
              "resource": "r1",
              "seconds": 3600
            },
            {
              "amount": "-0.60",
              "rate": "0.60",
              "resource": "r2",
              "seconds": 3600
            }
          ],
          "seq": 3,
          "stripe": null,
          "type": "usage"
        },
        {
          "amount": "-0.80",
          "at": "2026-11-22T10:20:00Z",
          "balance_after": "24.20",
          "cause": "request",
          "description": "Usage 10:20–11:00, 2 resources started",
          "id": "alice#2",
          "lines": [
            {
              "amount": "-0.40",
              "rate": "0.60",
              "resource": "r1",
              "seconds": 2400
            },
            {
              "amount": "-0.40",
              "rate": "0.60",
              "resource": "r2",
              "seconds": 2400
            }
          ],
          "seq": 2,
          "stripe": null,
          "type": "usage"
        },
        {
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
        }
      ],
      "next": null
    }
    "#);
}

fn described(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| {
            format!(
                "{} {} {}",
                item["seq"],
                item["type"].as_str().unwrap(),
                item["amount"].as_str().unwrap()
            )
        })
        .collect()
}

#[tokio::test]
async fn transactions_are_found_by_type_and_time_page_by_page() {
    let api = with_credit("25").await;
    api.ledger.start(ALICE, "vm", &["r1"], "10:20:00").await;
    api.ledger.settle(ALICE, "14:00:00").await;
    api.ledger.credit(ALICE, "pi_2", "5", "14:10:00").await;
    let list = |with: &[(&str, &str)]| {
        with.iter()
            .fold(by(TRANSACTIONS, "14:30:00"), |event, (name, value)| event.with(name, value))
    };
    assert_eq!(
        described(&ask(&api, list(&[("type", "topup")])).await.body),
        ["7 topup 5.00", "1 topup 25.00"]
    );
    let all = ask(&api, list(&[("include", "all"), ("type", "opened")])).await.body;
    assert_eq!(described(&all), ["0 opened 0.00"]);
    let between = list(&[("from", "2026-11-22T11:00:00Z"), ("to", "2026-11-22T13:00:00Z")]);
    assert_eq!(
        described(&ask(&api, between).await.body),
        Vec::<String>::new(),
        "a late run's rows are of its own time"
    );
    let later = list(&[("from", "2026-11-22T14:10:00Z")]);
    assert_eq!(described(&ask(&api, later).await.body), ["7 topup 5.00"]);
    let earlier = list(&[("to", "2026-11-22T10:20:00Z"), ("include", "all")]);
    assert_eq!(described(&ask(&api, earlier).await.body), ["1 topup 25.00", "0 opened 0.00"]);
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = list(&[("limit", "2"), ("type", "usage")]);
        let page = match &cursor {
            Some(cursor) => page.with("cursor", cursor),
            None => page,
        };
        let page = ask(&api, page).await.body;
        found.extend(described(&page));
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(
        found,
        ["6 usage -0.60", "5 usage -0.60", "4 usage -0.60", "3 usage -0.60", "2 usage -0.40"]
    );
}

#[tokio::test]
async fn transactions_that_cannot_be_asked_for_are_refused() {
    let api = with_credit("25").await;
    for (name, value) in [
        ("type", "opened"),
        ("type", ""),
        ("from", "yesterday"),
        ("to", "2026-11-22"),
        ("cursor", "x"),
        ("cursor", "-1"),
        ("limit", "0"),
        ("limit", "201"),
        ("include", "some"),
    ] {
        let answered =
            refused(&api, by(TRANSACTIONS, "10:30:00").with(name, value), 400, "invalid_parameter")
                .await;
        assert_eq!(answered.body["parameter"], name);
    }
}

#[tokio::test]
async fn omitted_auto_refill_fields_keep_their_values() {
    let api = with_credit("25").await;
    let off = ask(&api, by(REFILL, "10:10:00")).await;
    insta::assert_snapshot!(off.shown(), @r#"
    200 {
      "agreed_at": null,
      "amount": null,
      "card_ends_at": null,
      "charged_card": null,
      "confirm_url": null,
      "enabled": false,
      "hours_covered": null,
      "last_attempt": null,
      "max_charge": null,
      "mode": null,
      "monthly_cap": null,
      "payment_method": null,
      "state": "idle",
      "target": null,
      "threshold": null,
      "until": null,
      "warning": null,
      "why": null
    }
    "#);
    let put = |body: Value| by(PUT_REFILL, "10:15:00").json(&body);
    let body = json!({
        "enabled": true, "threshold": "10", "amount": "20.00", "payment_method": "pm_1", "monthly_cap": "100.00",
    });
    let on = ask(&api, put(body)).await;
    assert_eq!(on.status, 200, "{}", on.shown());
    assert_eq!(ask(&api, by(REFILL, "10:15:01")).await.body, on.body);
    let expected = json!({
        "enabled": true, "mode": "fixed", "threshold": "10.00", "amount": "20.00", "target": null,
        "payment_method": "pm_1", "charged_card": "pm_1", "card_ends_at": "2035-01-01T00:00:00Z",
        "monthly_cap": "100.00", "max_charge": "20.00", "state": "idle", "why": null, "until": null, "confirm_url": null, "agreed_at": "2026-11-22T10:15:00Z",
        "hours_covered": null, "warning": null, "last_attempt": null,
    });
    assert_eq!(on.body, expected);
    let changed = ask(&api, put(json!({"amount": "30"})).minutes_later(1)).await.body;
    assert_eq!(
        (&changed["amount"], &changed["agreed_at"]),
        (&json!("30.00"), &json!("2026-11-22T10:16:00Z"))
    );
    let changed = ask(&api, put(json!({"max_charge": "90"})).minutes_later(1)).await.body;
    assert_eq!(changed["max_charge"], "90.00");
    let low = put(json!({"monthly_cap": "29.99"})).minutes_later(1);
    refused(&api, low, 422, "cap_below_amount").await;
    let low = put(json!({"max_charge": "29.99"})).minutes_later(1);
    refused(&api, low, 422, "amount_too_small").await;
    let changed =
        ask(&api, put(json!({"monthly_cap": null, "payment_method": null})).minutes_later(2))
            .await
            .body;
    assert_eq!((&changed["monthly_cap"], &changed["payment_method"]), (&Value::Null, &Value::Null));
    assert_eq!((&changed["state"], &changed["why"]), (&json!("paused"), &json!("no_card")));
    assert_eq!(
        (&changed["threshold"], &changed["agreed_at"]),
        (&json!("10.00"), &json!("2026-11-22T10:16:00Z"))
    );
    let off = ask(&api, put(json!({"enabled": false})).minutes_later(3)).await.body;
    assert_eq!(
        (&off["enabled"], &off["threshold"], &off["state"]),
        (&json!(false), &Value::Null, &json!("idle"))
    );
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn refills_to_a_target_are_agreed_to_with_their_words() {
    let api = with_credit("25").await;
    let put = |body: Value| by(PUT_REFILL, "10:15:00").json(&body);
    let words =
        "When your balance falls below $10.00, your card is charged what brings it to $60.00.";
    let body = json!({
        "enabled": true, "mode": "to_target", "threshold": "10", "target": "60", "payment_method": "pm_1",
        "shown_text": words,
    });
    let on = ask(&api, put(body)).await;
    let shown = |answered: &Answered| {
        ["mode", "threshold", "amount", "target", "max_charge"]
            .map(|name| answered.body[name].clone())
    };
    let expected = ["to_target", "10.00", "", "60.00", "60.00"]
        .map(|text| if text.is_empty() { Value::Null } else { json!(text) });
    assert_eq!(shown(&on), expected, "{}", on.shown());
    assert_eq!(shown(&ask(&api, by(REFILL, "10:15:01")).await), expected);
    let rows = api.ledger.undisturbed.rows(&named(ALICE), 0..9, RowOrder::NewestFirst, 1).await;
    let row = rows.unwrap().rows.remove(0);
    let Change::Refill(RefillChange::RefillChanged { words: recorded, .. }) = row.event.change
    else {
        panic!("{row:?}");
    };
    assert_eq!(recorded.as_deref(), Some(words));

    let kept = ask(&api, put(json!({"threshold": "20"})).minutes_later(1)).await;
    assert_eq!((&kept.body["mode"], &kept.body["target"]), (&json!("to_target"), &json!("60.00")));
    let higher = ask(&api, put(json!({"target": "200"})).minutes_later(1)).await;
    assert_eq!(higher.body["max_charge"], "200.00", "the default follows: {}", higher.shown());
    let fixed = ask(&api, put(json!({"amount": "25"})).minutes_later(2)).await;
    let expected = [json!("fixed"), json!("20.00"), json!("25.00"), Value::Null, json!("25.00")];
    assert_eq!(shown(&fixed), expected);

    for (body, status, code, parameter) in [
        (json!({"mode": "to_target", "amount": "25"}), 400, "invalid_body", "amount"),
        (json!({"amount": "25", "target": "60"}), 400, "invalid_body", "amount"),
        (json!({"mode": "fixed", "target": "60"}), 400, "invalid_body", "target"),
        (json!({"amount": "25", "shown_text": " "}), 400, "invalid_body", "shown_text"),
        (json!({"amount": "25", "shown_text": "x".repeat(501)}), 400, "invalid_body", "shown_text"),
        (json!({"target": "20"}), 422, "amount_too_small", ""),
        (json!({"target": "1020.01"}), 422, "amount_too_large", ""),
        (json!({"mode": "to_target"}), 422, "unusable", ""),
    ] {
        let answered = refused(&api, put(body).minutes_later(3), status, code).await;
        let named = answered.body["parameter"].as_str().unwrap_or_default();
        assert_eq!(named, parameter, "{}", answered.shown());
    }
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn auto_refill_is_set_once_for_each_key() {
    let api = with_credit("25").await;
    let body =
        json!({"enabled": true, "threshold": "10", "amount": "20", "payment_method": "pm_1"});
    let event = by(PUT_REFILL, "10:15:00").json(&body).key("k-1");
    let (before, other) = (api.rows(ALICE).await, api.another());
    let (first, second) = tokio::join!(send(&api.billing, &event), send(&other, &event));
    ask(&api, by(PUT_REFILL, "10:16:00").json(&json!({"enabled": false}))).await;
    let third = ask(&api, event.minutes_later(5)).await;
    assert_eq!((&first, &first), (&second, &third), "{}", first.shown());
    assert_eq!(api.rows(ALICE).await, before + 2);
    let reused = by(PUT_REFILL, "10:15:00").json(&json!({"enabled": false})).key("k-1");
    refused(&api, reused, 422, "idempotency_key_reused").await;
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn frequent_refills_are_pointed_out_and_wanted_ones_shown() {
    let api = with_credit("25").await;
    api.ledger.start(ALICE, "vm", &["r1", "r2"], "10:20:00").await;
    let body =
        json!({"enabled": true, "threshold": "10", "amount": "20", "payment_method": "pm_1"});
    let shown = ask(&api, by(PUT_REFILL, "10:25:00").json(&body)).await.body;
    assert_eq!(
        (&shown["hours_covered"], &shown["warning"]),
        (&json!(16), &json!("At the current rate, one refill lasts 16 hours."))
    );
    let body = json!({"threshold": "30"});
    let shown = ask(&api, by(PUT_REFILL, "10:26:00").json(&body)).await.body;
    assert_eq!((&shown["state"], &shown["why"]), (&json!("wanted"), &Value::Null));
    let alice = named(ALICE);
    let begin = |_: &tollgate::domain::account::AccountState| {
        Ok(Command::BeginRefill {
            customer: named("cus_1"),
            tax: tollgate::domain::account::TaxMode::Off,
        })
    };
    let now = at("10:27:00");
    let store = &api.ledger.store;
    let trigger = api.ledger.trigger(&alice, now);
    receipt(store.execute(trigger, Cause::Stripe, Plan::on_state(&begin)).await);
    assert_eq!(ask(&api, by(REFILL, "10:28:00")).await.body["state"], "charging");
    let ask_customer = |_: &tollgate::domain::account::AccountState| {
        Ok(Command::AskCustomer { attempt: 1, url: None })
    };
    receipt(store.execute(trigger, Cause::Stripe, Plan::on_state(&ask_customer)).await);
    let confirmation = tollgate::store::RefillConfirmation {
        attempt: 1,
        url: "https://invoice.example/1".to_owned(),
    };
    api.ledger.undisturbed.set_confirmation(&alice, &confirmation).await.unwrap();
    let shown = ask(&api, by(REFILL, "10:28:00")).await.body;
    assert_eq!(
        (&shown["state"], &shown["confirm_url"]),
        (&json!("needs_customer"), &json!("https://invoice.example/1"))
    );
    let fail = |_: &tollgate::domain::account::AccountState| {
        let decline = tollgate::domain::event::RefillDecline::Never;
        Ok(Command::FailRefill {
            attempt: 1,
            decline,
            code: "stolen_card".to_owned(),
            reason: None,
        })
    };
    receipt(store.execute(trigger, Cause::Stripe, Plan::on_state(&fail)).await);
    let shown = ask(&api, by(REFILL, "10:29:00")).await.body;
    assert_eq!((&shown["state"], &shown["why"]), (&json!("paused"), &json!("card_refused")));
    let again = by(PUT_REFILL, "10:30:00").json(&json!({"payment_method": "pm_1"}));
    refused(&api, again, 409, "card_refused").await;
}

#[tokio::test]
async fn after_two_weeks_off_the_answer_says_no_card_is_charged() {
    let api = with_credit("5").await;
    api.ledger.start(ALICE, "big", &["r1"], "11:00:00").await;
    api.ledger.settle(ALICE, "23:00:00").await;
    let body =
        json!({"enabled": true, "threshold": "10", "amount": "20", "payment_method": "pm_1"});
    let shown = ask(&api, by(PUT_REFILL, "2026-12-08T10:00:00Z").json(&body)).await.body;
    assert_eq!((&shown["state"], &shown["why"]), (&json!("paused"), &json!("off_too_long")));
    let shown = ask(&api, by(REFILL, "2026-12-08T10:01:00Z")).await.body;
    assert_eq!((&shown["enabled"], &shown["why"]), (&json!(true), &json!("off_too_long")));
    assert_eq!(api.ledger.head(ALICE).await.state.refill.wanted, None);
}

#[tokio::test]
async fn refused_auto_refill_names_its_problem_and_writes_nothing() {
    let api = with_credit("25").await;
    let put = |body: Value| by(PUT_REFILL, "10:15:00").json(&body);
    for (body, status, code) in [
        (json!({"enabled": true}), 422, "unusable"),
        (json!({"enabled": true, "threshold": "5"}), 422, "unusable"),
        (json!({"amount": "5"}), 422, "unusable"),
        (json!({"enabled": false, "amount": "5"}), 422, "unusable"),
        (json!({"enabled": true, "threshold": "-1", "amount": "5"}), 422, "amount_too_small"),
        (json!({"enabled": true, "threshold": "0", "amount": "5"}), 422, "invalid_amount"),
        (
            json!({"enabled": true, "threshold": "5", "amount": "25", "monthly_cap": "24.99"}),
            422,
            "cap_below_amount",
        ),
        (json!({"enabled": true, "threshold": "10001", "amount": "5"}), 422, "amount_too_large"),
        (json!({"enabled": true, "threshold": "5", "amount": "0.50"}), 422, "amount_too_small"),
        (json!({"enabled": true, "threshold": "5", "amount": "1001"}), 422, "amount_too_large"),
        (json!({"enabled": true, "threshold": "5", "amount": "5.001"}), 422, "invalid_amount"),
        (json!({"enabled": true, "threshold": "5", "amount": "0"}), 422, "invalid_amount"),
        (json!({"monthly_cap": "0"}), 422, "invalid_amount"),
        (json!({"payment_method": "4242424242424242"}), 400, "invalid_body"),
        (json!({"payment_method": "pm_of_another"}), 404, "not_found"),
        (json!({"enabled": "yes"}), 400, "invalid_body"),
        (json!({"enabled": null, "amount": 5}), 400, "invalid_body"),
        (json!({"threshold": "a lot"}), 400, "invalid_body"),
        (json!({"monthly_cap": 5}), 400, "invalid_body"),
    ] {
        refused(&api, put(body), status, code).await;
    }
    let alice = named(ALICE);
    let close = |_: &tollgate::domain::account::AccountState| {
        Ok(Command::Close { reason: "gone".to_owned() })
    };
    let trigger = api.ledger.trigger(&alice, at("10:15:00"));
    receipt(api.ledger.store.execute(trigger, Cause::Command, Plan::on_state(&close)).await);
    let body = json!({"enabled": true, "threshold": "5", "amount": "5"});
    refused(&api, put(body), 409, "account_closed").await;
}

#[tokio::test]
async fn bad_requests_are_refused_on_every_route() {
    let api = with_credit("25").await;
    let huge = format!("\"{}\"", "x".repeat(300_000));
    for (route, good) in
        [(PUT_ACCOUNT, json!({"email": "a@example.test"})), (PUT_REFILL, json!({"enabled": false}))]
    {
        let mut unknown = good;
        unknown["surprise"] = json!(1);
        for body in ["not json", "", "[1]", "7", "null", &unknown.to_string()] {
            refused(&api, by(route, "10:15:00").body(body), 400, "invalid_body").await;
        }
        refused(&api, by(route, "10:15:00").body(&huge), 413, "body_too_large").await;
    }
    for email in [json!("nobody"), json!(7), json!(null), json!("a@b"), json!("a@example.test\n")] {
        refused(
            &api,
            by(PUT_ACCOUNT, "10:15:00").json(&json!({ "email": email })),
            400,
            "invalid_body",
        )
        .await;
    }
    for route in [ACCOUNT, PUT_ACCOUNT, BALANCE, TRANSACTIONS, REFILL, PUT_REFILL] {
        let event = by(route, "10:15:00").json(&json!({}));
        let event = if route.starts_with("PUT /v1/account") {
            event.json(&json!({"email": "a@example.test"}))
        } else {
            event
        };
        refused(&api, event.clone().without_token(), 401, "unauthorized").await;
        refused(&api, event.clone().claim("sub", "a#b"), 401, "unauthorized").await;
        refused(&api, event.clone().header("Tollgate-Account", "bob"), 403, "forbidden").await;
        let platform = event.scope("tollgate/platform").header("Tollgate-Account", "nobody");
        if route != PUT_REFILL {
            refused(&api, platform, 404, "not_found").await;
        }
    }
    refused(&api, by("GET /v1/nothing", "10:15:00"), 404, "not_found").await;
}

#[tokio::test]
async fn platform_cannot_change_or_begin_a_customers_refills() {
    let api = Api::new().await;
    ask(&api, by(ACCOUNT, "10:00:00")).await;
    for terms in
        [json!({"enabled": true, "threshold": "5", "amount": "25"}), json!({"enabled": false})]
    {
        let event = by(PUT_REFILL, "10:15:00").claim("sub", "platform").json(&terms);
        let event = event.scope("tollgate/platform").header("Tollgate-Account", ALICE);
        refused(&api, event, 403, "forbidden").await;
    }
    let event = by("POST /v1/auto-refill/now", "10:15:00").claim("sub", "platform");
    let event = event.scope("tollgate/platform").header("Tollgate-Account", ALICE);
    refused(&api, event, 403, "forbidden").await;
}
