//! Commit plans: offered by staff, listed, bought, credited once with their bonus, and refunded.

use serde_json::{Value, json};
use tollgate::domain::event::{Change, PaymentChange};
use tollgate_tests::api::Answered;
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{PaymentWorld, VISA, acme, die_everywhere};

use crate::account_stripe_support::call;
use crate::staff_support::{ADMIN, ask_admin};

const OFFERS: &str = "/v1/admin/commit-offers";
const BUY: &str = "POST /v1/commit-plans/{plan}/checkout";

fn year() -> Value {
    json!({"id": "year", "months": 12, "price": "1200.00", "bonus_percent": 20})
}

fn quarter() -> Value {
    json!({"id": "quarter", "months": 3, "price": "300.00", "bonus": "15.00", "excludes": ["vm"]})
}

async fn staff(world: &PaymentWorld, method: &str, body: &Value) -> Answered {
    let event = world.event(&format!("{method} {OFFERS}")).scope(ADMIN);
    let event = if body.is_null() { event } else { event.json(body) };
    ask_admin(world, event).await
}

async fn staff_version(world: &PaymentWorld, version: u64) -> Answered {
    let event = world.event(&format!("GET {OFFERS}")).scope(ADMIN);
    ask_admin(world, event.with("version", &version.to_string())).await
}

async fn set(world: &PaymentWorld, version: u64, offers: &Value) -> Answered {
    staff(world, "PUT", &json!({"version": version, "offers": offers, "reason": "spring"})).await
}

async fn plans(world: &PaymentWorld) -> Value {
    let listed = world.call(&world.event("GET /v1/commit-plans")).await;
    assert_eq!(listed.status, 200, "{}", listed.shown());
    listed.body["plans"].clone()
}

/// Buys a plan of the first offers.
async fn buy(world: &PaymentWorld, plan: &str) -> Answered {
    buy_of(world, plan, &json!({"version": 1})).await
}

async fn buy_of(world: &PaymentWorld, plan: &str, body: &Value) -> Answered {
    world.call(&world.event(BUY).at("plan", plan).json(body)).await
}

/// A page on which the plan can be paid.
async fn page(world: &PaymentWorld, plan: &str) -> String {
    let page = buy(world, plan).await;
    assert_eq!(page.status, 201, "{}", page.shown());
    page.body["id"].as_str().unwrap().to_owned()
}

async fn world() -> PaymentWorld {
    let world = PaymentWorld::new().await;
    assert_eq!(set(&world, 0, &json!([year(), quarter()])).await.status, 200);
    world
}

#[tokio::test]
async fn plan_is_offered_bought_and_credited_once_with_its_bonus() {
    let world = world().await;
    let listed = plans(&world).await;
    assert_eq!(listed[0]["id"], "quarter", "the cheapest is first: {listed}");
    let expected = json!({
        "id": "year", "price": "1200.00", "bonus": "240.00", "credit": "1440.00", "months": 12,
        "excludes": [], "available_until": null,
    });
    assert_eq!(listed[1], expected);

    let session = page(&world, "year").await;
    let calls = world.stand_in.calls();
    let created = calls.iter().find(|call| call.path == "/v1/checkout/sessions").unwrap();
    let param = |name: &str| created.params.get(name).map(String::as_str);
    for (name, expected) in [
        ("line_items[0][price_data][unit_amount]", "120000"),
        (
            "line_items[0][price_data][product_data][name]",
            "Commit plan: $1200.00 of credit plus a $240.00 bonus",
        ),
        (
            "line_items[0][price_data][product_data][description]",
            "The $240.00 bonus expires 12 months after it is added. The credit you pay for never expires.",
        ),
        ("payment_intent_data[description]", "Commit plan $1200.00"),
        ("payment_intent_data[metadata][tollgate_plan]", "year"),
        ("metadata[tollgate_bonus_cents]", "24000"),
        ("invoice_creation[invoice_data][metadata][tollgate_kind]", "plan"),
    ] {
        assert_eq!(param(name), Some(expected), "{name}");
    }
    world.pay(&session, &format!("card={VISA}")).await;
    assert_eq!(world.status(&session).await.body["row"]["type"], "commit");
    world.deliver_all().await;
    world.deliver_everything_again().await;

    let state = world.state().await;
    assert_eq!((state.balance(), state.paid), (named("1440"), named("1200")));
    let [grant] = state.grants.as_slice() else { panic!("{:?}", state.grants) };
    assert_eq!(grant.remaining, named("240"));
    // Rounded up to a full hour.
    assert_eq!(grant.expires_at.to_string(), "2027-11-22T10:00:00Z");
    let rows = world.rows().await;
    let is_of_plan = |change: &Change| matches!(change, Change::Payment(PaymentChange::Credited { plan: Some(plan), .. }) if plan.as_str() == "year");
    assert_eq!(rows.iter().filter(|row| is_of_plan(&row.event.change)).count(), 1);
    let invoices = call(&world, &world.event("GET /v1/invoices")).await;
    assert_eq!(invoices.body["items"][0]["kind"], "commit", "{}", invoices.shown());
    let shown = call(&world, &world.event("GET /v1/transactions")).await;
    assert_eq!(shown.body["items"][0]["type"], "commit");
    assert_eq!(
        shown.body["items"][0]["description"],
        "Commit plan $1200.00 with $240.00 bonus",
        "{}",
        shown.shown()
    );
    world.check().await;
}

/// Neither the limit of a top-up nor that of the balance applies.
#[tokio::test]
async fn plans_are_sold_above_the_limits_of_topups() {
    let world = PaymentWorld::new().await;
    let large = json!([{"id": "large", "months": 6, "price": "50000", "bonus": "10000"}]);
    assert_eq!(set(&world, 0, &large).await.status, 200);
    let refused = world.create(&json!({"amount": "50000"})).await;
    assert_eq!((refused.status, refused.code()), (422, "amount_too_large"));
    let session = page(&world, "large").await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    assert_eq!(world.state().await.balance(), named("60000"));
    world.check().await;
}

#[tokio::test]
async fn plan_is_sold_as_it_was_when_its_page_was_made() {
    let world = world().await;
    let session = page(&world, "quarter").await;
    assert_eq!(set(&world, 1, &json!([])).await.status, 200);
    assert_eq!(plans(&world).await, json!([]));
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let state = world.state().await;
    assert_eq!(state.balance(), named("315"));
    assert_eq!(state.grants[0].expires_at.to_string(), "2027-02-22T10:00:00Z");
    assert_eq!(state.grants[0].excludes, [named("vm")].into());
    let changed = buy(&world, "quarter").await;
    assert_eq!((changed.status, changed.code()), (409, "offers_changed"), "{}", changed.shown());
    let gone = buy_of(&world, "quarter", &json!({"version": 2})).await;
    assert_eq!((gone.status, gone.code()), (404, "not_found"));
    world.check().await;
}

/// The same page, also after the offer has ended.
#[tokio::test]
async fn repeated_purchase_gets_the_same_page() {
    let world = world().await;
    let request = || world.event(BUY).at("plan", "year").key("k-1").json(&json!({"version": 1}));
    let first = world.call(&request()).await;
    assert_eq!(set(&world, 1, &json!([])).await.status, 200);
    let again = world.call(&request()).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
}

#[tokio::test]
async fn plan_is_available_in_its_time_only() {
    let world = PaymentWorld::new().await;
    let mut offer = year();
    offer["available_from"] = json!("2026-11-22T11:00:00Z");
    offer["available_until"] = json!("2026-11-22T12:00:00Z");
    let set = set(&world, 0, &json!([offer])).await;
    assert_eq!(set.body["offers"][0]["is_available"], false, "{}", set.shown());
    for (now, is_available) in [
        ("2026-11-22T10:59:59Z", false),
        ("2026-11-22T11:00:00Z", true),
        ("2026-11-22T11:59:59Z", true),
        ("2026-11-22T12:00:00Z", false),
    ] {
        world.set_now(now);
        assert_eq!(plans(&world).await.as_array().unwrap().len(), usize::from(is_available));
        let page = buy(&world, "year").await;
        assert_eq!(page.status, if is_available { 201 } else { 404 }, "{now}: {}", page.shown());
        let shown = staff(&world, "GET", &Value::Null).await;
        assert_eq!(shown.body["offers"][0]["is_available"], is_available);
    }
}

#[tokio::test]
async fn refills_are_agreed_with_a_plan_as_with_a_topup() {
    let world = world().await;
    let terms = json!({"version": 1, "auto_refill": {"enabled": true}});
    let bought = buy_of(&world, "year", &terms).await;
    world.pay(bought.body["id"].as_str().unwrap(), &format!("card={VISA}")).await;
    world.deliver_all().await;
    let agreed = world.state().await.refill.agreement.unwrap();
    assert_eq!((agreed.threshold, agreed.amount), (named("10"), named("25")));
}

#[tokio::test]
async fn refund_by_staff_takes_the_bonus_with_the_credit() {
    let world = world().await;
    let session = page(&world, "year").await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    for (key, amount, balance) in [("k-1", Some("300.00"), "1080"), ("k-2", None, "0")] {
        let mut body = json!({"reason": "too much"});
        body["amount"] = json!(amount);
        let event = world.event("POST /v1/admin/payments/{id}/refunds").scope(ADMIN);
        let event = event.at("id", &session).key(key).json(&body);
        let answered = ask_admin(&world, event).await;
        assert_eq!(answered.status, 201, "{}", answered.shown());
        world.deliver_all().await;
        assert_eq!(world.state().await.balance(), named(balance));
    }
    world.check().await;
}

#[tokio::test]
async fn plan_without_webhook_is_recovered_with_its_bonus() {
    let world = world().await;
    let session = page(&world, "year").await;
    world.pay(&session, &format!("card={VISA}")).await;
    let event = world.event("POST /v1/admin/payments/{id}/recover").scope(ADMIN);
    let answered = ask_admin(&world, event.at("id", &session).json(&json!({}))).await;
    assert_eq!(answered.status, 200, "{}", answered.shown());
    world.deliver_all().await;
    assert_eq!(world.state().await.balance(), named("1440"));
    world.check().await;
}

#[tokio::test]
async fn delivery_that_dies_anywhere_credits_the_plan_once() {
    let prepare = async |world: &PaymentWorld| {
        assert_eq!(set(world, 0, &json!([year()])).await.status, 200);
        let session = page(world, "year").await;
        world.pay(&session, &format!("card={VISA}")).await;
    };
    let process = async |world: &PaymentWorld| {
        world.deliver_all().await;
    };
    let look = async |world: &PaymentWorld| {
        world.deliver_everything_again().await;
        let state = world.state().await;
        assert_eq!((state.balance(), state.grants.len()), (named("1440"), 1));
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((5..80).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn account_with_twenty_grants_buys_no_plan() {
    let world = world().await;
    page(&world, "year").await;
    for number in 0..20 {
        let bonus =
            json!({"amount": "1.00", "expires_at": "2026-12-22T00:00:00Z", "reason": "many"});
        let event = world.event("POST /v1/admin/accounts/{account}/bonus").scope(ADMIN);
        let event = event.at("account", acme().as_str()).key(&format!("b-{number}")).json(&bonus);
        assert_eq!(ask_admin(&world, event).await.status, 200);
    }
    let refused = buy(&world, "year").await;
    assert_eq!((refused.status, refused.code()), (409, "quota_reached"), "{}", refused.shown());
    assert_eq!(refused.body["max"], 20);
}

#[tokio::test]
async fn offers_with_stale_version_are_refused() {
    let world = world().await;
    let stale = set(&world, 0, &json!([])).await;
    assert_eq!((stale.status, stale.code()), (409, "offers_changed"), "{}", stale.shown());
    let ahead = set(&world, 7, &json!([])).await;
    assert_eq!((ahead.status, ahead.code()), (409, "offers_changed"), "{}", ahead.shown());
    let next = set(&world, 1, &json!([quarter()])).await;
    assert_eq!((next.status, &next.body["version"]), (200, &json!(2)), "{}", next.shown());
    let shown = staff(&world, "GET", &Value::Null).await;
    assert_eq!(shown.body, next.body);
    assert_eq!((&shown.body["set_by"], &shown.body["reason"]), (&json!("acme"), &json!("spring")));
    let first = staff_version(&world, 1).await;
    assert_eq!(first.body["offers"].as_array().map(Vec::len), Some(2), "{}", first.shown());
    assert_eq!(staff_version(&world, 3).await.status, 404);
    let none = PaymentWorld::new().await;
    let shown = staff(&none, "GET", &Value::Null).await;
    let expected = json!({
        "version": 0, "offers": [], "set_by": null, "set_at": null, "reason": null,
    });
    assert_eq!(shown.body, expected);
    assert_eq!(plans(&none).await, json!([]));
}

/// A repeated request must not undo what was decided since.
#[tokio::test]
async fn repeated_request_sets_offers_once() {
    let world = PaymentWorld::new().await;
    let body = json!({"version": 0, "offers": [year()], "reason": "spring"});
    let request = || world.event(&format!("PUT {OFFERS}")).scope(ADMIN).key("k-1").json(&body);
    let first = ask_admin(&world, request()).await;
    assert_eq!(set(&world, 1, &json!([])).await.status, 200);
    let again = ask_admin(&world, request()).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(plans(&world).await, json!([]));
}

#[tokio::test]
async fn wrong_offers_are_refused_by_field_and_nothing_changes() {
    let world = world().await;
    let before = staff(&world, "GET", &Value::Null).await.body;
    let with = |name: &str, value: Value| {
        let mut offer = quarter();
        offer[name] = value;
        json!([offer])
    };
    let mut neither = quarter();
    neither.as_object_mut().unwrap().remove("bonus");
    let many: Vec<Value> = (0..21)
        .map(|n| json!({"id": format!("p{n}"), "months": 3, "price": "9", "bonus": "1"}))
        .collect();
    let skus: Vec<String> = (0..9).map(|n| format!("{n}{}", "x".repeat(60))).collect();
    let mut percent = quarter();
    percent["bonus"] = Value::Null;
    percent["bonus_percent"] = json!(101);
    let mut never = quarter();
    never["available_from"] = json!("2026-12-01T00:00:00Z");
    never["available_until"] = json!("2026-12-01T00:00:00Z");
    for (offers, status, code, parameter) in [
        (with("months", json!(5)), 400, "invalid_body", "months"),
        (with("price", json!("-1")), 422, "invalid_amount", "price"),
        (with("price", json!("much")), 422, "invalid_amount", "price"),
        (with("price", json!("500000.01")), 422, "amount_too_large", "price"),
        (with("bonus", json!("300.01")), 422, "amount_too_large", "bonus"),
        (with("bonus", json!("0.001")), 422, "invalid_amount", "bonus"),
        (with("bonus_percent", json!(5)), 400, "invalid_body", "bonus"),
        (json!([percent]), 422, "amount_too_large", "bonus_percent"),
        (json!([neither]), 400, "invalid_body", "bonus"),
        (with("available_from", json!("tomorrow")), 400, "invalid_body", "available_from"),
        (json!([never]), 422, "unusable", "available_until"),
        (with("excludes", json!(skus)), 422, "unusable", "excludes"),
        (with("excludes", json!(["vm-lager"])), 422, "unknown_sku", "excludes"),
        (with("id", json!("a/b")), 422, "unusable", "id"),
        (json!([quarter(), quarter()]), 422, "unusable", "offers"),
        (json!(many), 422, "unusable", "offers"),
    ] {
        let refused = set(&world, 1, &offers).await;
        let seen = (refused.status, refused.code(), refused.body["parameter"].as_str());
        assert_eq!(seen, (status, code, Some(parameter)), "{offers}: {}", refused.shown());
    }
    for offers in [with("excludes", json!(["a b"])), with("id", json!("")), with("extra", json!(1))]
    {
        let refused = set(&world, 1, &offers).await;
        assert_eq!((refused.status, refused.code()), (400, "invalid_body"), "{offers}");
    }
    let silent = json!({"version": 1, "offers": [], "reason": ""});
    assert_eq!(staff(&world, "PUT", &silent).await.status, 422);
    assert_eq!(staff(&world, "GET", &Value::Null).await.body, before);
}

/// The answer to the write is lost, and the request is sent again with its key. So is another one's.
#[tokio::test]
async fn offers_are_set_once_if_an_answer_is_lost() {
    let prepare = async |_: &PaymentWorld| {};
    let process = async |world: &PaymentWorld| {
        let body = json!({"version": 0, "offers": [year()], "reason": "spring"});
        let event = world.event(&format!("PUT {OFFERS}")).scope(ADMIN).key("k-1").json(&body);
        let answered = ask_admin(world, event).await;
        assert_eq!(answered.status, 200, "{}", answered.shown());
    };
    let look = async |world: &PaymentWorld| {
        let shown = staff(world, "GET", &Value::Null).await;
        assert_eq!(shown.body["version"], 1, "{}", shown.shown());
        assert_eq!(plans(world).await.as_array().map(Vec::len), Some(1));
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((3..30).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn one_of_two_changes_at_once_wins() {
    let world = PaymentWorld::new().await;
    let (year, quarter) = (json!([year()]), json!([quarter()]));
    let (one, other) = tokio::join!(set(&world, 0, &year), set(&world, 0, &quarter));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let shown = staff(&world, "GET", &Value::Null).await;
    let winner = if one.status == 200 { "year" } else { "quarter" };
    assert_eq!(
        (&shown.body["version"], &shown.body["offers"][0]["id"]),
        (&json!(1), &json!(winner))
    );
}
