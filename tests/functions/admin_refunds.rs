//! `POST /v1/admin/payments/{id}/refunds`: the credit is taken before Stripe is asked, and each
//! refund ends once, whoever sees its end first.

use std::ops::Range;

use serde_json::{Value, json};
use stripe_stand_in::{DeliveryPlan, DisputeKind, NewDispute, Order, StripeFaultKind};
use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::event::{Cause, CreditKind, PaymentFacts};
use tollgate::domain::settle::due::{due_at, refunds_need_driving};
use tollgate::store::Plan;
use tollgate_tests::api::{Answered, ApiEvent};
use tollgate_tests::faults::{Calls, DynamoFault, Operation};
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, acme, die_everywhere};

use crate::account_stripe_support::call;
use crate::staff_support::{ADMIN, ask_admin};

const ROUTE: &str = "POST /v1/admin/payments/{id}/refunds";
const AT_STRIPE: &str = "POST /v1/refunds";
/// Refunds of this card succeed at first and fail later.
const REFUND_FAILS: &str = "4000000000005126";

async fn staff(world: &PaymentWorld, event: ApiEvent) -> Answered {
    ask_admin(world, event.scope(ADMIN)).await
}

async fn refund(world: &PaymentWorld, id: &str, key: &str, body: &Value) -> Answered {
    staff(world, world.event(ROUTE).at("id", id).key(key).json(body)).await
}

fn of(amount: &str) -> Value {
    json!({"amount": amount, "reason": "too much"})
}

/// $25 that were paid and told; the payment.
async fn paid(world: &PaymentWorld, card: &str) -> String {
    let session = world.session("25.00", None).await;
    world.pay(&session, &format!("card={card}")).await;
    world.deliver_all().await;
    let payments = world.objects("payment_intent");
    let payment = payments.iter().rfind(|payment| payment["status"] == "succeeded").unwrap();
    payment["id"].as_str().unwrap().to_owned()
}

/// What Stripe refunded of all payments, in cents.
fn refunded_cents(world: &PaymentWorld) -> i64 {
    let refunds = world.objects("refund");
    let went = refunds.iter().filter(|refund| refund["status"] != "failed");
    went.map(|refund| refund["amount"].as_i64().unwrap()).sum()
}

/// All that Stripe has to tell arrives, twice, and changes no balance.
async fn all_is_told(world: &PaymentWorld) {
    let before = world.state().await.balance();
    world.deliver_all().await;
    world.deliver_everything_again().await;
    assert_eq!(world.state().await.balance(), before);
    assert_eq!(world.state().await.open_refunds, []);
    world.check().await;
}

#[tokio::test]
async fn part_and_rest_of_a_payment_go_back_once() {
    let world = PaymentWorld::new().await;
    let payment = paid(&world, VISA).await;
    let part = refund(&world, &payment, "k-1", &of("10.00")).await;
    assert_eq!((part.status, &part.body["status"]), (201, &json!("sent")), "{}", part.shown());
    let row = &part.body["row"];
    assert_eq!((&row["type"], &row["amount"]), (&json!("refund"), &json!("-10.00")));
    assert_eq!(row["description"], "Refund, $10.00 arrives within 5 to 10 business days");
    let again = refund(&world, &payment, "k-1", &of("10.00")).await;
    assert_eq!((again.status, &again.body), (201, &part.body), "the same request");
    let rest = refund(&world, &payment, "k-2", &json!({"reason": "all of it"})).await;
    assert_eq!(rest.body["row"]["amount"], "-15.00", "{}", rest.shown());
    let nothing = refund(&world, &payment, "k-3", &json!({"reason": "more"})).await;
    assert_eq!((nothing.status, nothing.code()), (409, "conflict"), "{}", nothing.shown());
    all_is_told(&world).await;
    for name in ["refund_pending", "refund_sent"] {
        assert_eq!(world.count(name).await, 2, "{name}");
    }
    assert_eq!((world.state().await.balance(), refunded_cents(&world)), (named("0"), 2_500));
}

#[tokio::test]
async fn refund_is_asked_for_by_any_id_of_its_payment() {
    let world = PaymentWorld::new().await;
    let payment = paid(&world, VISA).await;
    let charge = world.objects("charge")[0]["id"].clone();
    let (session, invoice) = (
        world.objects("checkout.session")[0]["id"].clone(),
        world.objects("invoice")[0]["id"].clone(),
    );
    for (number, id) in [charge, session, invoice].iter().enumerate() {
        let id = id.as_str().unwrap();
        let answered = refund(&world, id, &format!("k-{number}"), &of("1.00")).await;
        assert_eq!((answered.status, &answered.body["payment"]), (201, &json!(payment)), "{id}");
    }
    all_is_told(&world).await;
    assert_eq!((world.state().await.balance(), refunded_cents(&world)), (named("22"), 300));
}

#[tokio::test]
async fn no_more_than_is_left_and_available_goes_back() {
    let world = PaymentWorld::new().await;
    let payment = paid(&world, VISA).await;
    let amount = |amount: &str| json!({"amount": amount, "reason": "too much"});
    for (body, status, code, max) in [
        (amount("25.01"), 422, "amount_too_large", json!("25.00")),
        (amount("0"), 422, "invalid_amount", Value::Null),
        (amount("-1.00"), 422, "invalid_amount", Value::Null),
        (amount("1.001"), 422, "invalid_amount", Value::Null),
        (json!({"amount": "1.00", "reason": " "}), 422, "unusable", Value::Null),
        (json!({"amount": "1.00"}), 400, "invalid_body", Value::Null),
        (json!({"reason": "x", "amont": "1.00"}), 400, "invalid_body", Value::Null),
    ] {
        let refused = refund(&world, &payment, "k-1", &body).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{}", refused.shown());
        assert_eq!(refused.body["max"], max, "{body}");
    }
    for (id, status, code) in [
        ("pi_nothing", 404, "not_found"),
        ("re_1", 400, "invalid_parameter"),
        ("acme", 400, "invalid_parameter"),
    ] {
        let refused = refund(&world, id, "k-1", &of("1.00")).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{}", refused.shown());
    }
    // A dollar was taken otherwise.
    let event = world.event("POST /v1/admin/accounts/{account}/correction").at("account", ACME);
    let event = event.key("k-9").json(&json!({"amount": "-1.00", "reason": "spent"}));
    assert_eq!(staff(&world, event).await.status, 200);
    let refused = refund(&world, &payment, "k-2", &of("25.00")).await;
    assert_eq!((refused.code(), &refused.body["max"]), ("amount_too_large", &json!("24.00")));
    assert_eq!(world.count("refund_pending").await, 0);
    let body = json!({"amount": "25.00", "reason": "goodwill", "allow_negative": true});
    assert_eq!(refund(&world, &payment, "k-3", &body).await.status, 201);
    all_is_told(&world).await;
    assert_eq!(world.state().await.balance(), named("-1"));
}

#[tokio::test]
async fn refund_that_stripe_refuses_gives_its_credit_back() {
    let world = PaymentWorld::new().await;
    let payment = paid(&world, VISA).await;
    // Refunded in the dashboard, and not told yet.
    world.stand_in.refund_in_dashboard(&payment, Some(2_000)).unwrap();
    let failed = refund(&world, &payment, "k-1", &of("10.00")).await;
    assert_eq!((failed.status, &failed.body["status"]), (201, &json!("failed")));
    assert!(failed.body["why"].to_string().contains("greater than"), "{}", failed.shown());
    assert_eq!(world.state().await.balance(), named("25"));
    let again = refund(&world, &payment, "k-1", &of("10.00")).await;
    assert_eq!(again.body, failed.body, "the same request");
    all_is_told_later(&world, "5").await;
    assert_eq!(refunded_cents(&world), 2_000);
}

async fn all_is_told_later(world: &PaymentWorld, balance: &str) {
    world.deliver_all().await;
    assert_eq!(world.state().await.balance(), named(balance));
    all_is_told(world).await;
}

#[tokio::test]
async fn refund_of_a_disputed_payment_is_refused_by_stripe() {
    let world = PaymentWorld::new().await;
    let payment = paid(&world, VISA).await;
    let (reason, kind) = ("fraudulent".to_owned(), DisputeKind::Chargeback);
    world
        .stand_in
        .dispute(&NewDispute { payment: payment.clone(), amount: None, reason, kind })
        .unwrap();
    let failed = refund(&world, &payment, "k-1", &of("25.00")).await;
    assert_eq!(failed.body["status"], "failed", "{}", failed.shown());
    all_is_told_later(&world, "0").await;
}

#[tokio::test]
async fn refund_that_fails_later_gives_its_credit_back() {
    for seed in 0..12 {
        let world = PaymentWorld::new().await;
        let payment = paid(&world, REFUND_FAILS).await;
        let plan =
            DeliveryPlan { copies: 2, order: Order::Shuffled(seed), ..DeliveryPlan::default() };
        world.stand_in.plan_deliveries(plan);
        // Sometimes the answer is lost, and an event is the first to tell.
        if seed % 3 == 0 {
            world.stand_in.fail_next(AT_STRIPE, 9, StripeFaultKind::AnswerLost);
        }
        let answered = refund(&world, &payment, "k-1", &of("10.00")).await;
        let expected = if seed % 3 == 0 { "pending" } else { "sent" };
        assert_eq!(answered.body["status"], expected, "{}", answered.shown());
        assert_eq!(world.state().await.balance(), named("15"));
        world.stand_in.clear_faults();
        world.advance(3_600);
        world.deliver_all().await;
        world.deliver_all().await;
        assert_eq!(world.state().await.balance(), named("25"), "{seed}");
        all_is_told(&world).await;
        assert_eq!(refunded_cents(&world), 0);
        let names = world.names().await;
        let expected = ["opened", "topup", "refund_pending", "refund_sent", "refund_reversed"];
        assert_eq!(names, expected, "{seed}");
        let again = refund(&world, &payment, "k-1", &of("10.00")).await;
        assert_eq!(again.body["status"], "failed", "{seed}: {}", again.shown());
    }
}

#[tokio::test]
async fn refund_whose_answer_is_lost_is_driven_to_its_end() {
    for fault in [
        StripeFaultKind::AnswerLost,
        StripeFaultKind::ConnectionDropped,
        StripeFaultKind::RateLimited,
        StripeFaultKind::ServerError,
        StripeFaultKind::Forbidden,
    ] {
        let world = PaymentWorld::new().await;
        let payment = paid(&world, VISA).await;
        world.stand_in.fail_next(AT_STRIPE, 99, fault);
        let pending = refund(&world, &payment, "k-1", &of("10.00")).await;
        assert_eq!(
            (pending.status, &pending.body["status"]),
            (201, &json!("pending")),
            "{fault:?}"
        );
        assert_eq!(world.state().await.balance(), named("15"));
        let report = world.refill().await;
        assert_eq!((report.refunds, report.refunds_open), (0, 0), "{fault:?}: it is not late");
        world.stand_in.clear_faults();
        // A 500 is told again as long as Stripe keeps its key.
        world.advance(if fault == StripeFaultKind::ServerError { 25 * 3_600 } else { 180 });
        let report = world.refill().await;
        assert_eq!((report.refunds, report.refunds_open), (1, 0), "{fault:?}: {report:?}");
        let report = world.refill().await;
        assert_eq!((report.refunds, report.refunds_open), (0, 0), "{fault:?}");
        // The key of a request lasts a day.
        if fault != StripeFaultKind::ServerError {
            let sent = refund(&world, &payment, "k-1", &of("10.00")).await;
            assert_eq!(sent.body["status"], "sent", "{fault:?}: {}", sent.shown());
        }
        all_is_told(&world).await;
        assert_eq!((world.state().await.balance(), refunded_cents(&world)), (named("15"), 1_000));
    }
}

#[tokio::test]
async fn refund_stays_open_while_stripe_cannot_be_asked() {
    let world = PaymentWorld::new().await;
    let payment = paid(&world, VISA).await;
    world.stand_in.fail_next(AT_STRIPE, 99, StripeFaultKind::AnswerLost);
    refund(&world, &payment, "k-1", &of("10.00")).await;
    world.stand_in.fail_next("GET /v1/refunds", 99, StripeFaultKind::Refused);
    world.advance(180);
    let report = world.refill().await;
    assert_eq!((report.refunds, report.refunds_open), (0, 1), "nothing is given back on a guess");
    assert_eq!(world.state().await.balance(), named("15"));
    world.stand_in.clear_faults();
    assert_eq!(world.refill().await.refunds, 1);
    all_is_told(&world).await;
    assert_eq!(refunded_cents(&world), 1_000);
}

/// The list of resources cannot be read, so a refill fails.
#[tokio::test]
async fn refund_goes_on_although_the_account_cannot_be_settled() {
    let world = PaymentWorld::new().await;
    let payment = paid(&world, VISA).await;
    world.stand_in.fail_next(AT_STRIPE, 99, StripeFaultKind::AnswerLost);
    refund(&world, &payment, "k-1", &of("10.00")).await;
    world.stand_in.clear_faults();
    world.advance(180);
    let lists = Calls::of(Operation::Query).containing("billable");
    world.faults().set(lists, DynamoFault::InternalError);
    assert!(world.try_refill().await.is_err());
    world.faults().clear();
    assert_eq!(world.count("refund_sent").await, 1);
    all_is_told(&world).await;
    assert_eq!((world.state().await.balance(), refunded_cents(&world)), (named("15"), 1_000));
}

#[tokio::test]
async fn two_of_the_staff_at_once_refund_no_more_than_the_payment() {
    let world = PaymentWorld::new().await;
    let payment = paid(&world, VISA).await;
    let (sum, other) = (of("15.00"), of("15.00"));
    let (one, other) = tokio::join!(
        refund(&world, &payment, "k-1", &sum),
        refund(&world, &payment, "k-2", &other),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422], "{} {}", one.shown(), other.shown());
    all_is_told(&world).await;
    assert_eq!((world.state().await.balance(), refunded_cents(&world)), (named("10"), 1_500));
}

#[tokio::test]
async fn process_that_dies_in_a_refund_takes_and_refunds_once() {
    let prepare = async |world: &PaymentWorld| {
        paid(world, VISA).await;
    };
    let process = async |world: &PaymentWorld| {
        let payment = world.objects("payment_intent")[0]["id"].as_str().unwrap().to_owned();
        let answered = refund(world, &payment, "k-1", &of("10.00")).await;
        assert_eq!(answered.body["status"], "sent", "{}", answered.shown());
    };
    let look = async |world: &PaymentWorld| {
        all_is_told(world).await;
        let names = world.names().await;
        assert_eq!(names, ["opened", "topup", "refund_pending", "refund_sent"]);
        assert_eq!((world.state().await.balance(), refunded_cents(world)), (named("15"), 1_000));
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((5..40).contains(&calls), "{calls} calls");
}

/// The request is not repeated: the run that looks for late refunds continues what it began.
#[tokio::test]
async fn refund_of_a_process_that_died_is_driven_to_its_end() {
    let prepare = async |world: &PaymentWorld| {
        paid(world, VISA).await;
    };
    let process = async |world: &PaymentWorld| {
        if world.count("refund_pending").await == 0 {
            let payment = world.objects("payment_intent")[0]["id"].as_str().unwrap().to_owned();
            refund(world, &payment, "k-1", &of("10.00")).await;
        } else {
            world.refill().await;
        }
    };
    let look = async |world: &PaymentWorld| {
        all_is_told(world).await;
        assert_eq!((world.state().await.balance(), refunded_cents(world)), (named("15"), 1_000));
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((5..40).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn each_payment_of_an_invoice_is_refunded_by_its_own_id() {
    let world = PaymentWorld::new().await;
    paid(&world, VISA).await;
    let session = world.session("40.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    let intents = world.objects("payment_intent");
    let second = intents.iter().find(|intent| intent["amount"] == 4_000).unwrap();
    let second = second["id"].as_str().unwrap().to_owned();
    // One row credits both, as that of an invoice does which two payments paid.
    let payment =
        PaymentFacts { payment: named("pi_invoiced"), credit: named("40"), received_cents: 4_000 };
    let (kind, also) = (CreditKind::TopUp, vec![named(&second), named("in_of_both")]);
    let credit = Command::Credit { payment, kind, plan: None, bonus: None, also };
    let (account, plan) = (acme(), |_: &AccountState| Ok(credit.clone()));
    let trigger = world.ledger().trigger(&account, world.now());
    let store = &world.ledger().undisturbed;
    store.execute(trigger, Cause::Stripe, Plan::on_state(&plan)).await.unwrap();
    let seq = world.rows().await.last().unwrap().seq;
    store.note_look_ups(&account, seq, &["in_of_both"]).await.unwrap();
    let which = refund(&world, "in_of_both", "k-1", &of("5.00")).await;
    assert_eq!((which.status, which.code()), (422, "unusable"), "{}", which.shown());
    assert!(which.body["detail"].to_string().contains(&second), "{}", which.shown());
    let sent = refund(&world, &second, "k-2", &of("5.00")).await;
    assert_eq!((&sent.body["status"], &sent.body["payment"]), (&json!("sent"), &json!(second)));
    let refunds = world.objects("refund");
    assert_eq!((refunds.len(), &refunds[0]["payment_intent"]), (1, &json!(second)));
    world.deliver_all().await;
    assert_eq!(world.state().await.balance(), named("60"));
}

#[tokio::test]
async fn late_refund_is_looked_at_less_often_the_longer_it_takes() {
    let world = PaymentWorld::new().await;
    let payment = paid(&world, VISA).await;
    world.stand_in.fail_next(AT_STRIPE, 9, StripeFaultKind::AnswerLost);
    refund(&world, &payment, "k-1", &of("10.00")).await;
    let policy = &world.webhook.billing.settings.policy;
    let (state, now, account) = (world.state().await, world.now(), acme());
    assert_eq!(due_at(&state, policy), Some(now.plus(120)));
    let is_driven = |seconds| refunds_need_driving(&account, &state, now.plus(seconds));
    assert!(!is_driven(119) && is_driven(120));
    let count = |minutes: Range<i64>| minutes.filter(|n| is_driven(120 + n * 60)).count();
    assert_eq!((count(0..10), count(10..60), count(60..120)), (10, 10, 4));
}

#[tokio::test]
async fn customer_and_staff_read_what_went_back() {
    let world = PaymentWorld::new().await;
    let payment = paid(&world, VISA).await;
    refund(&world, &payment, "k-1", &of("10.00")).await;
    world.deliver_all().await;
    let rows = world.rows().await;
    let begun = rows.iter().find(|row| row.event.change.name() == "refund_pending").unwrap();
    let object = &world.objects("refund")[0];
    let name = format!("{}-{}", begun.seq, begun.event.at.seconds());
    assert_eq!(object["metadata"]["tollgate_account"], "acme");
    assert_eq!(object["metadata"]["tollgate_refund"], name);

    let event = world.event("GET /v1/admin/payments/{id}").at("id", object["id"].as_str().unwrap());
    let found = staff(&world, event).await;
    assert_eq!(found.body["row"]["amount"], "-10.00", "{}", found.shown());
    let event = world.event("GET /v1/admin/accounts/{account}/transactions").at("account", ACME);
    let listed = staff(&world, event).await;
    let row = &listed.body["items"][0];
    assert_eq!((&row["row"]["type"], &row["reason"]), (&json!("refund"), &json!("too much")));
    assert!(row["by"].is_string(), "{row}");
    let event = world.event("GET /v1/admin/accounts/{account}").at("account", ACME);
    assert_eq!(staff(&world, event).await.body["open_refunds"], 0);
    let invoices = call(&world, &world.event("GET /v1/invoices")).await;
    assert_eq!(invoices.body["items"][0]["refunded"], "10.00", "{}", invoices.shown());
    let transactions = call(&world, &world.event("GET /v1/transactions")).await;
    let row = &transactions.body["items"][0];
    assert_eq!((&row["type"], &row["amount"]), (&json!("refund"), &json!("-10.00")), "{row}");
}
