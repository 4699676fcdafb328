//! `POST /v1/admin/payments/{id}/recover`: a payment whose events never came is recorded, once, as
//! they would have been.

use serde_json::{Value, json};
use stripe_stand_in::{DeliveryPlan, DisputeEnd, DisputeKind, NewDispute, Order, StripeFaultKind};
use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::event::{Cause, CreditKind, PaymentFacts};
use tollgate::store::Plan;
use tollgate_tests::api::Answered;
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, acme, die_everywhere};

use crate::account_stripe_support::call;
use crate::auto_refill_support::PAY;
use crate::staff_support::{ADMIN, ask_admin};

const RECOVER: &str = "POST /v1/admin/payments/{id}/recover";

pub(crate) async fn recover(world: &PaymentWorld, id: &str) -> Answered {
    ask_admin(world, world.event(RECOVER).scope(ADMIN).at("id", id)).await
}

/// Outcome, type and amount of the row, and how many refunds and disputes were recorded.
fn found(answered: &Answered) -> (Value, Value, Value, Value) {
    assert_eq!(answered.status, 200, "{}", answered.shown());
    let body = &answered.body;
    let row = &body["row"];
    (
        body["outcome"].clone(),
        row["type"].clone(),
        row["amount"].clone(),
        body["recorded_now"].clone(),
    )
}

/// A page for $25 that was paid, and nothing was told of it; its payment.
async fn paid(world: &PaymentWorld) -> (String, String) {
    let session = world.session("25.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    let payment = world.objects("payment_intent")[0]["id"].as_str().unwrap().to_owned();
    (session, payment)
}

fn invoice_of(world: &PaymentWorld) -> String {
    world.objects("invoice")[0]["id"].as_str().unwrap().to_owned()
}

/// The events come after all, and change nothing.
async fn all_is_told(world: &PaymentWorld) -> AccountState {
    let before = world.state().await;
    world.deliver_all().await;
    world.deliver_everything_again().await;
    let after = world.state().await;
    assert_eq!(after, before);
    world.check().await;
    after
}

#[tokio::test]
async fn payment_is_recovered_once_under_each_of_its_ids() {
    for first in 0..3 {
        let world = PaymentWorld::new().await;
        let (session, payment) = paid(&world).await;
        let mut ids = [session, payment, invoice_of(&world)];
        ids.rotate_left(first);
        let expected = |outcome: &str| (json!(outcome), json!("topup"), json!("25.00"), json!(0));
        assert_eq!(found(&recover(&world, &ids[0]).await), expected("credited"));
        for id in &ids {
            assert_eq!(found(&recover(&world, id).await), expected("already_credited"), "{id}");
        }
        assert_eq!(all_is_told(&world).await.balance(), named("25"));
        assert_eq!(world.names().await, ["opened", "topup"]);
    }
}

#[tokio::test]
async fn what_went_back_of_a_payment_is_recorded_with_it() {
    let world = PaymentWorld::new().await;
    let (_, payment) = paid(&world).await;
    world.stand_in.refund_in_dashboard(&payment, Some(500)).unwrap();
    let (reason, kind) = ("fraudulent".to_owned(), DisputeKind::Chargeback);
    let of = payment.clone();
    world.stand_in.dispute(&NewDispute { payment: of, amount: Some(1_000), reason, kind }).unwrap();
    let expected = (json!("credited"), json!("topup"), json!("25.00"), json!(2));
    assert_eq!(found(&recover(&world, &payment).await), expected);
    let state = all_is_told(&world).await;
    assert_eq!(state.balance(), named("10"));
    assert!(!state.frozen.is_empty());
    let expected = (json!("already_credited"), json!("topup"), json!("25.00"), json!(0));
    assert_eq!(found(&recover(&world, &payment).await), expected);
}

#[tokio::test]
async fn refund_that_cannot_be_read_stops_no_other_and_is_named() {
    let world = PaymentWorld::new().await;
    let (_, payment) = paid(&world).await;
    let unreadable = world.stand_in.refund_in_dashboard(&payment, Some(100)).unwrap();
    world.stand_in.remove_refund_status(&unreadable).unwrap();
    world.stand_in.refund_in_dashboard(&payment, Some(500)).unwrap();
    for (outcome, recorded_now) in [("credited", 1), ("already_credited", 0)] {
        let answered = recover(&world, &payment).await;
        let expected = (json!(outcome), json!("topup"), json!("25.00"), json!(recorded_now));
        assert_eq!(found(&answered), expected);
        let missing = answered.body["not_recorded"].as_array().unwrap();
        assert!(missing.len() == 1 && missing[0].to_string().contains("status"), "{missing:?}");
    }
    assert_eq!(world.state().await.balance(), named("20"));
}

#[tokio::test]
async fn refunds_of_each_payment_of_an_invoice_are_recorded() {
    let world = PaymentWorld::new().await;
    let (_, first) = paid(&world).await;
    paid(&world).await;
    let all = world.objects("payment_intent");
    let second = all.iter().find(|intent| intent["id"] != first.as_str()).unwrap()["id"].clone();
    let second = second.as_str().unwrap();
    // One row credits both, as that of an invoice does which two payments paid.
    let payment =
        PaymentFacts { payment: named(&first), credit: named("50"), received_cents: 5_000 };
    let (kind, also) = (CreditKind::TopUp, vec![named(second)]);
    let credit = Command::Credit { payment, kind, plan: None, bonus: None, also };
    let (account, plan) = (acme(), |_: &AccountState| Ok(credit.clone()));
    let trigger = world.ledger().trigger(&account, world.now());
    let store = &world.ledger().undisturbed;
    store.execute(trigger, Cause::Stripe, Plan::on_state(&plan)).await.unwrap();
    world.stand_in.refund_in_dashboard(second, Some(500)).unwrap();
    let expected = (json!("already_credited"), json!("topup"), json!("50.00"), json!(1));
    assert_eq!(found(&recover(&world, &first).await), expected);
    assert_eq!(all_is_told(&world).await.balance(), named("45"));
}

#[tokio::test]
async fn recovery_beside_the_events_records_everything_once() {
    for seed in 0..8 {
        let world = PaymentWorld::new().await;
        let (session, payment) = paid(&world).await;
        world.stand_in.refund_in_dashboard(&payment, Some(500)).unwrap();
        world.stand_in.plan_deliveries(DeliveryPlan {
            copies: 2,
            order: Order::Shuffled(seed),
            ..DeliveryPlan::default()
        });
        let id = if seed % 2 == 0 { &session } else { &payment };
        let (answered, told) = tokio::join!(recover(&world, id), world.deliver_all());
        assert_eq!(answered.status, 200, "{}", answered.shown());
        assert!(told.iter().all(|(_, status, _)| *status == 200), "{told:?}");
        assert_eq!(all_is_told(&world).await.balance(), named("20"));
        assert_eq!((world.count("topup").await, world.count("refund").await), (1, 1));
    }
}

#[tokio::test]
async fn dispute_that_is_over_is_recorded_as_it_ended() {
    for (end, balance, is_frozen) in [(DisputeEnd::Won, "25", false), (DisputeEnd::Lost, "0", true)]
    {
        let world = PaymentWorld::new().await;
        let (_, payment) = paid(&world).await;
        let (reason, kind) = ("fraudulent".to_owned(), DisputeKind::Chargeback);
        let new = NewDispute { payment: payment.clone(), amount: None, reason, kind };
        let dispute = world.stand_in.dispute(&new).unwrap();
        world.stand_in.close_dispute(&dispute, end).unwrap();
        assert_eq!(recover(&world, &payment).await.body["outcome"], "credited");
        let state = all_is_told(&world).await;
        assert_eq!(
            (state.balance(), !state.frozen.is_empty()),
            (named(balance), is_frozen),
            "{end:?}"
        );
    }
}

#[tokio::test]
async fn refill_is_recovered_by_its_invoice_and_ends_its_attempt() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    world.stand_in.fail_next(PAY, 9, StripeFaultKind::AnswerLost);
    assert_eq!(world.refill().await.open, 1);
    world.stand_in.clear_faults();
    let paid = world.objects("invoice").into_iter().rfind(|invoice| invoice["status"] == "paid");
    let invoice = paid.unwrap()["id"].as_str().unwrap().to_owned();
    let expected = (json!("credited"), json!("auto_refill"), json!("25.00"), json!(0));
    assert_eq!(found(&recover(&world, &invoice).await), expected);
    assert_eq!(world.state().await.refill.attempt, None);
    assert_eq!(world.refill().await.steps.len(), 0);
    world.deliver_all().await;
    let balance = world.state().await.balance();
    assert_eq!((world.count("auto_refill").await, balance), (1, named("50")));
    world.check().await;
}

#[tokio::test]
async fn page_that_only_saves_a_card_is_no_payment() {
    let world = PaymentWorld::new().await;
    paid(&world).await;
    world.deliver_all().await;
    let setup = world.event("POST /v1/payment-methods/sessions").key("k-1");
    let page = call(&world, &setup).await;
    let id = world
        .objects("checkout.session")
        .into_iter()
        .find(|session| session["mode"] == "setup")
        .unwrap_or_else(|| panic!("{}", page.shown()))["id"]
        .clone();
    let refused = recover(&world, id.as_str().unwrap()).await;
    assert_eq!((refused.status, refused.code()), (404, "not_found"), "{}", refused.shown());
}

#[tokio::test]
async fn process_that_dies_in_a_recovery_loses_nothing_and_credits_once() {
    let prepare = async |world: &PaymentWorld| {
        let (_, payment) = paid(world).await;
        world.stand_in.refund_in_dashboard(&payment, Some(500)).unwrap();
    };
    let process = async |world: &PaymentWorld| {
        let payment = world.objects("payment_intent")[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(recover(world, &payment).await.status, 200);
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!(world.names().await, ["opened", "topup", "refund"]);
        assert_eq!(world.state().await.balance(), named("20"));
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((10..60).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn what_is_not_paid_is_said_and_credits_nothing() {
    let world = PaymentWorld::new().await;
    let session = world.session("25.00", None).await;
    let open = recover(&world, &session).await;
    assert_eq!((open.status, &open.body["outcome"]), (200, &json!("unpaid")));
    assert_eq!(open.body["stripe_status"], "open");
    assert_eq!(open.body["row"], Value::Null);
    assert_eq!(world.names().await, ["opened"]);
}

#[tokio::test]
async fn bank_debit_under_way_is_awaited() {
    let world = PaymentWorld::with(&[("STRIPE_PAYMENT_METHODS", "card,us_bank_account")]).await;
    let session = world.session("25.00", None).await;
    world.pay(&session, "method=us_bank_account").await;
    let pending = recover(&world, &session).await;
    assert_eq!((pending.status, &pending.body["outcome"]), (200, &json!("pending")));
    assert_eq!(pending.body["account"], ACME);
    assert_eq!(world.names().await, ["opened", "payment_pending"]);
    all_is_told(&world).await;
}

#[tokio::test]
async fn recovery_of_what_is_no_payment_of_ours_is_refused() {
    let world = PaymentWorld::new().await;
    let before = world.api.everything().await;
    for (id, status, code) in [
        ("pi_nothing", 404, "not_found"),
        ("cs_test_nothing", 404, "not_found"),
        ("in_nothing", 404, "not_found"),
        ("pi_../../refunds", 404, "not_found"),
        ("re_1", 400, "invalid_parameter"),
        ("ch_1", 400, "invalid_parameter"),
        ("7", 400, "invalid_parameter"),
    ] {
        let refused = recover(&world, id).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{id}: {}", refused.shown());
    }
    let customer = ask_admin(&world, world.event(RECOVER).at("id", "pi_1")).await;
    assert_eq!(customer.status, 403);
    assert_eq!(world.api.everything().await, before);
}

#[tokio::test]
async fn simultaneous_recoveries_credit_once() {
    let world = PaymentWorld::new().await;
    let (session, payment) = paid(&world).await;
    let (one, other) = tokio::join!(recover(&world, &session), recover(&world, &payment));
    let outcomes = [&one, &other].map(|answered| answered.body["outcome"].clone());
    assert!(outcomes.contains(&json!("credited")), "{outcomes:?}");
    assert!(outcomes.contains(&json!("already_credited")), "{outcomes:?}");
    assert_eq!(all_is_told(&world).await.balance(), named("25"));
}
