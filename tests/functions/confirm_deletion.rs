//! The end of the grace period: nothing is deleted while Stripe knows of a payment.

use aws_sdk_dynamodb::types::AttributeValue;
use confirm_deletion::{DeletionError, DeletionReport, handle};
use serde_json::json;
use stripe_stand_in::{DebitEnd, StripeFaultKind};
use tollgate::domain::account::Standing;
use tollgate::domain::timestamp::MINUTE;
use tollgate::payments::Payments;
use tollgate::runtime::account_event::AccountEvent;
use tollgate::runtime::delivery::{DeliveryTime, TriggerTimeError};
use tollgate_tests::ledger::{at, named};
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, acme, die_everywhere};

use crate::staff_support::{ADMIN, ask_admin};

const SESSIONS: &str = "GET /v1/checkout/sessions";

/// Paid $6 and ran a machine until all was used. The grace period ended at 16:00 four days later.
async fn deleting() -> PaymentWorld {
    deleting_with(&[]).await
}

async fn deleting_with(variables: &[(&'static str, &'static str)]) -> PaymentWorld {
    let world = PaymentWorld::with(variables).await;
    become_deleting(&world).await;
    world
}

async fn become_deleting(world: &PaymentWorld) {
    let session = world.session("6.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    run_until_deleting(world).await;
}

async fn run_until_deleting(world: &PaymentWorld) {
    world.ledger().start(ACME, "big", &["srv-1"], "10:00:00").await;
    for time in ["2026-11-22T15:00:00Z", "2026-11-24T15:00:00Z", "2026-11-25T16:00:00Z"] {
        world.ledger().settle(ACME, time).await;
    }
    assert!(
        matches!(world.state().await.standing, Standing::Deleting(_)),
        "{:?}",
        world.names().await
    );
    world.set_now("2026-11-25T16:01:00Z");
}

/// A page that was opened a minute before the grace period ended.
async fn page_at_the_last_minute(world: &PaymentWorld) -> String {
    world.set_now("2026-11-25T15:59:00Z");
    let session = world.session("25.00", None).await;
    world.set_now("2026-11-25T16:01:00Z");
    session
}

fn waits(report: &DeletionReport) -> &str {
    let DeletionReport::Waits { since, why } = report else { panic!("{report:?}") };
    assert_eq!(since.to_string(), "2026-11-25T16:00:00Z");
    why
}

#[tokio::test]
async fn account_without_payment_is_deleted_once() {
    let world = deleting().await;
    assert_eq!(world.confirm_deletion().await, DeletionReport::Deleted);
    assert!(matches!(world.state().await.standing, Standing::Deleted(_)));
    assert_eq!(world.confirm_deletion().await, DeletionReport::NothingToDo);
    assert_eq!(world.count("deleted").await, 1);
    world.check().await;
}

#[tokio::test]
async fn of_two_runs_at_once_one_deletes() {
    let world = deleting().await;
    let (one, other) = tokio::join!(world.confirm_deletion(), world.confirm_deletion());
    let mut reports = [one, other];
    reports.sort_by_key(|report| *report != DeletionReport::Deleted);
    assert_eq!(reports, [DeletionReport::Deleted, DeletionReport::NothingToDo]);
    assert_eq!(world.count("deleted").await, 1);
}

#[tokio::test]
async fn account_that_never_had_a_customer_is_deleted_without_stripe() {
    let world = PaymentWorld::new().await;
    world.ledger().open(ACME, "10:00:00").await;
    world.ledger().credit(ACME, "pi_1", "6", "10:00:00").await;
    run_until_deleting(&world).await;
    world.stand_in.fail_next(SESSIONS, 9, StripeFaultKind::ConnectionDropped);
    assert_eq!(world.confirm_deletion().await, DeletionReport::Deleted);
}

#[tokio::test]
async fn account_in_good_standing_is_left_alone() {
    let world = PaymentWorld::new().await;
    let session = world.session("25.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let before = world.names().await;
    assert_eq!(world.confirm_deletion().await, DeletionReport::NothingToDo);
    assert_eq!(world.names().await, before);
}

#[tokio::test]
async fn payment_whose_events_are_lost_is_credited_and_nothing_is_deleted() {
    let world = deleting().await;
    let session = page_at_the_last_minute(&world).await;
    world.pay(&session, &format!("card={VISA}")).await;
    assert_eq!(world.confirm_deletion().await, DeletionReport::Paid);
    assert_eq!(world.state().await.standing, Standing::Good);
    assert_eq!((world.count("resumed").await, world.count("deleted").await), (1, 0));
    // The events come late, and change nothing.
    world.deliver_all().await;
    assert_eq!(world.state().await.balance(), named("25"));
    world.check().await;
}

#[tokio::test]
async fn event_of_a_payment_beside_the_run_credits_once_and_nothing_is_deleted() {
    let world = deleting().await;
    let session = page_at_the_last_minute(&world).await;
    world.pay(&session, &format!("card={VISA}")).await;
    let (report, _delivered) = tokio::join!(world.confirm_deletion(), world.deliver_all());
    assert_ne!(report, DeletionReport::Deleted);
    assert_eq!(world.state().await.balance(), named("25"));
    assert_eq!((world.count("topup").await, world.count("deleted").await), (2, 0));
    world.check().await;
}

#[tokio::test]
async fn a_process_that_dies_anywhere_credits_a_payment_once() {
    let prepare = async |world: &PaymentWorld| {
        become_deleting(world).await;
        let session = page_at_the_last_minute(world).await;
        world.pay(&session, &format!("card={VISA}")).await;
    };
    let process = async |world: &PaymentWorld| {
        world.confirm_deletion().await;
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!(world.state().await.balance(), named("25"));
        assert_eq!((world.count("topup").await, world.count("deleted").await), (2, 0));
        world.check().await;
    };
    assert!(die_everywhere(prepare, process, look).await >= 8);
}

#[tokio::test]
async fn payment_of_three_weeks_ago_is_credited() {
    let world = deleting().await;
    let session = page_at_the_last_minute(&world).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.set_now("2026-12-16T16:01:00Z");
    assert_eq!(world.confirm_deletion().await, DeletionReport::Paid);
    assert_eq!(world.state().await.balance(), named("25"));
}

#[tokio::test]
async fn open_page_is_ended_before_the_deletion() {
    let world = deleting().await;
    let session = page_at_the_last_minute(&world).await;
    assert_eq!(world.confirm_deletion().await, DeletionReport::Deleted);
    world.pay(&session, &format!("card={VISA}")).await;
    assert_eq!(world.charged_cents(), 600, "nobody can pay there any longer");
}

#[tokio::test]
async fn page_that_is_being_made_delays_the_deletion() {
    let world = deleting().await;
    let payments =
        Payments { billing: &world.deletion.billing, stripe: &world.stripe, now: world.now() };
    payments.reserve_page(&acme(), &world.state().await, "a request").await.unwrap();
    let report = world.confirm_deletion().await;
    assert_eq!(waits(&report), "a payment page is being opened");
    world.advance(3 * MINUTE);
    assert_eq!(world.confirm_deletion().await, DeletionReport::Deleted);
}

#[tokio::test]
async fn first_page_that_is_being_made_delays_the_deletion() {
    let world = PaymentWorld::new().await;
    world.ledger().open(ACME, "10:00:00").await;
    world.ledger().credit(ACME, "pi_1", "6", "10:00:00").await;
    run_until_deleting(&world).await;
    let payments =
        Payments { billing: &world.deletion.billing, stripe: &world.stripe, now: world.now() };
    payments.reserve_page(&acme(), &world.state().await, "a request").await.unwrap();
    assert_eq!(waits(&world.confirm_deletion().await), "a payment page is being opened");
}

#[tokio::test]
async fn payment_that_the_bank_confirms_goes_on() {
    let world = deleting().await;
    let session = page_at_the_last_minute(&world).await;
    world.pay(&session, "card=4000002760003184").await;
    assert_eq!(waits(&world.confirm_deletion().await), "a payment is being made");
    let intents = world.objects("payment_intent");
    let confirmed = intents.iter().find(|intent| intent["status"] == "requires_action").unwrap();
    let id = confirmed["id"].as_str().unwrap();
    world.post(&format!("/authenticate/{id}"), "result=approve").await;
    assert_eq!(world.confirm_deletion().await, DeletionReport::Paid);
    assert_eq!(world.state().await.balance(), named("25"));
}

#[tokio::test]
async fn bank_debit_whose_events_are_lost_is_waited_for() {
    let world = deleting_with(&[("STRIPE_PAYMENT_METHODS", "card,us_bank_account")]).await;
    let session = page_at_the_last_minute(&world).await;
    world.pay(&session, "method=us_bank_account").await;
    assert_eq!(waits(&world.confirm_deletion().await), "a payment is being made");
    // It is recorded now, and the account is no longer asked about.
    assert_eq!(world.state().await.pending.len(), 1);
    assert_eq!(world.confirm_deletion().await, DeletionReport::NothingToDo);
}

/// The invoice was sent before the grace period, and is being paid when it ends. No event comes.
#[tokio::test]
async fn invoice_that_is_being_paid_is_waited_for() {
    for is_paid in [true, false] {
        let world = PaymentWorld::new().await;
        world.session("6.00", None).await;
        let wish = json!({"credit": "500.00", "reason": "a contract"});
        let event = world.event("POST /v1/admin/accounts/{account}/invoices").scope(ADMIN);
        let event = event.at("account", ACME).key("k-1").json(&wish);
        let invoice = ask_admin(&world, event).await.body["id"].as_str().unwrap().to_owned();
        become_deleting(&world).await;
        world.post(&format!("/i/{invoice}"), "method=us_bank_account").await;
        assert_eq!(waits(&world.confirm_deletion().await), "an invoice is being paid");
        let payments = world.objects("payment_intent");
        let paying = payments.iter().find(|payment| payment["status"] == "processing").unwrap();
        let end = if is_paid { DebitEnd::Succeeded } else { DebitEnd::Failed };
        world.stand_in.resolve_debit(paying["id"].as_str().unwrap(), end).unwrap();
        let expected = if is_paid { DeletionReport::Paid } else { DeletionReport::Deleted };
        assert_eq!(world.confirm_deletion().await, expected);
        let balance = if is_paid { "500" } else { "0" };
        assert_eq!(world.state().await.balance(), named(balance));
    }
}

#[tokio::test]
async fn uncreditable_payment_delays_the_deletion_until_it_is_refunded() {
    let world = deleting().await;
    let session = page_at_the_last_minute(&world).await;
    // The first card is declined, which is a charge, too.
    for card in ["4000000000000002", VISA] {
        world.pay(&session, &format!("card={card}")).await;
    }
    // Its customer is known no more.
    let customer = world.profile().await.customer.unwrap();
    let ledger = world.ledger();
    let look_up = ledger.client.delete_item().table_name(&ledger.names().ledger);
    let look_up = look_up.key("account", AttributeValue::S(format!("lookup#{customer}")));
    look_up.key("seq", AttributeValue::N("0".to_owned())).send().await.unwrap();
    let page = world.session("25.00", None).await;
    assert_eq!(waits(&world.confirm_deletion().await), "a payment cannot be credited");
    let open = world.stripe.retrieve_session(&page).await.unwrap();
    assert_eq!(open.status.as_deref(), Some("open"), "the customer can pay meanwhile");

    let payment = world.objects("payment_intent");
    let payment = payment.iter().find(|intent| intent["amount"] == 2500).unwrap();
    world.stand_in.refund_in_dashboard(payment["id"].as_str().unwrap(), None).unwrap();
    assert_eq!(world.confirm_deletion().await, DeletionReport::Deleted);
}

#[tokio::test]
async fn payment_is_found_behind_a_hundred_pages() {
    let world = deleting().await;
    let session = page_at_the_last_minute(&world).await;
    world.pay(&session, &format!("card={VISA}")).await;
    for _ in 0..100 {
        world.advance(MINUTE);
        world.session("5.00", None).await;
    }
    assert_eq!(world.confirm_deletion().await, DeletionReport::Paid);
}

#[tokio::test]
async fn deletion_waits_while_stripe_cannot_be_asked() {
    for kind in [
        StripeFaultKind::ConnectionDropped,
        StripeFaultKind::RateLimited,
        StripeFaultKind::Forbidden,
    ] {
        let world = deleting().await;
        let before = world.names().await;
        world.stand_in.fail_next(SESSIONS, 9, kind);
        let report = world.confirm_deletion().await;
        assert!(!waits(&report).is_empty());
        assert_eq!(world.names().await, before, "{kind:?}");
        world.stand_in.clear_faults();
        world.advance(MINUTE);
        assert_eq!(world.confirm_deletion().await, DeletionReport::Deleted);
    }
}

#[tokio::test]
async fn page_that_cannot_be_ended_delays_the_deletion() {
    let world = deleting().await;
    page_at_the_last_minute(&world).await;
    let expire = "POST /v1/checkout/sessions/{session}/expire";
    world.stand_in.fail_next(expire, 9, StripeFaultKind::ConnectionDropped);
    waits(&world.confirm_deletion().await);
    assert_eq!(world.count("deleted").await, 0);
}

#[tokio::test]
async fn a_process_that_dies_anywhere_deletes_once() {
    let prepare = async |world: &PaymentWorld| {
        become_deleting(world).await;
        page_at_the_last_minute(world).await;
    };
    let process = async |world: &PaymentWorld| {
        world.confirm_deletion().await;
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!(world.count("deleted").await, 1);
        world.check().await;
    };
    assert!(die_everywhere(prepare, process, look).await >= 8);
}

#[tokio::test]
async fn a_run_dated_ahead_deletes_nothing() {
    let world = deleting().await;
    let event = json!({"time": "2026-11-25T16:07:00Z", "detail": {"account": ACME}});
    let trigger: AccountEvent = serde_json::from_value(event).unwrap();
    let delivered = DeliveryTime::at(at("2026-11-25T16:01:00Z"));
    let refused = handle(&world.deletion, &trigger, delivered).await;
    let is_ahead = matches!(refused, Err(DeletionError::Time(TriggerTimeError::Ahead { .. })));
    assert!(is_ahead, "{refused:?}");
    assert_eq!(world.count("deleted").await, 0);
}
