//! Invoices of refills that the card alone does not pay: credit balance and coupons at Stripe,
//! payments outside of Stripe, and attempts that staff abandon.

use crate::auto_refill_support::{PAY, declined};
use serde_json::{Value, json};
use stripe_stand_in::{CardRule, StripeFaultKind};
use tollgate::domain::account::{RefillPurpose, TaxMode};
use tollgate::domain::event::{Change, RefillChange};
use tollgate::stripe::calls::{InvoiceCollection, NewInvoice};
use tollgate::stripe::keys::IdempotencyKey;
use tollgate::stripe::metadata::{Purchase, PurchaseKind};
use tollgate_tests::api::Answered;
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, acme, die_everywhere};

/// A world where a refill of $25 is wanted, and the customer has so much credit balance at Stripe.
async fn with_credit_balance(cents: i64) -> PaymentWorld {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    give_credit_balance(&world, cents).await;
    world
}

async fn give_credit_balance(world: &PaymentWorld, cents: i64) {
    let customer = world.profile().await.customer.unwrap();
    world.stand_in.give_credit_balance(customer.as_str(), cents).unwrap();
}

/// The refill is credited once, and the card paid so much for it.
async fn check_refilled(world: &PaymentWorld, card_cents: i64) {
    for told in [world.deliver_all().await, world.deliver_everything_again().await] {
        assert!(told.iter().all(|(_, status, _)| *status == 200), "{told:?}");
    }
    assert_eq!(world.refill().await.steps.len(), 0);
    assert_eq!((world.count("auto_refill").await, world.state().await.refill.attempt), (1, None));
    assert_eq!(world.state().await.balance(), named("50"));
    assert_eq!(world.charged_cents(), 2_500 + card_cents);
    tollgate_tests::invariants::check(world.ledger(), "acme").await;
}

#[tokio::test]
async fn credit_balance_at_stripe_pays_a_refill_or_a_part_of_it() {
    for (balance_cents, card_cents) in [(1_000, 1_500), (2_500, 0), (9_900, 0)] {
        let world = with_credit_balance(balance_cents).await;
        assert_eq!(world.refill().await.charged, 1, "{balance_cents}");
        check_refilled(&world, card_cents).await;
    }
}

#[tokio::test]
async fn webhooks_alone_credit_a_refill_that_a_balance_paid_in_part() {
    let world = with_credit_balance(1_000).await;
    world.stand_in.fail_next(PAY, 9, StripeFaultKind::AnswerLost);
    assert_eq!(world.refill().await.open, 1);
    world.stand_in.clear_faults();
    check_refilled(&world, 1_500).await;
}

#[tokio::test]
async fn a_process_that_dies_anywhere_credits_what_a_balance_paid_in_part() {
    let prepare = async |world: &PaymentWorld| {
        world.wanting(VISA).await;
        give_credit_balance(world, 1_000).await;
    };
    let process = async |world: &PaymentWorld| {
        world.refill().await;
    };
    let look = async |world: &PaymentWorld| check_refilled(world, 1_500).await;
    die_everywhere(prepare, process, look).await;
}

#[tokio::test]
async fn coupon_of_a_customer_is_not_used_for_a_refill() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let customer = world.profile().await.customer.unwrap();
    world.stand_in.give_coupon(customer.as_str(), 40).unwrap();
    assert_eq!(world.refill().await.charged, 1);
    check_refilled(&world, 2_500).await;
}

#[tokio::test]
async fn invoice_paid_outside_of_stripe_ends_the_attempt_and_blocks_no_top_up() {
    for is_told in [true, false] {
        let world = declined("authentication_required", None).await;
        assert_eq!(world.refill().await.needs_customer, 1);
        let invoices = world.objects("invoice");
        let open = invoices.iter().find(|invoice| invoice["status"] == "open").unwrap();
        world.stand_in.pay_out_of_band(open["id"].as_str().unwrap()).unwrap();
        if is_told {
            world.deliver_all().await;
        } else {
            world.session("10.00", None).await;
        }
        check_refilled(&world, 0).await;
    }
}

/// Nobody paid it, and nothing is credited.
#[tokio::test]
async fn invoice_that_a_credit_note_canceled_ends_the_attempt() {
    for is_told in [true, false] {
        let world = declined("authentication_required", None).await;
        assert_eq!(world.refill().await.needs_customer, 1);
        let invoices = world.objects("invoice");
        let open = invoices.iter().find(|invoice| invoice["status"] == "open").unwrap();
        let cents = open["amount_due"].as_i64().unwrap();
        world.stand_in.credit_note(open["id"].as_str().unwrap(), cents).unwrap();
        if is_told {
            world.deliver_all().await;
        }
        world.advance(24 * 3_600);
        world.refill().await;
        assert_eq!(world.count("refill_failed").await, 1, "{is_told}: {:?}", world.names().await);
        assert_eq!(world.count("auto_refill").await, 0);
    }
}

/// Staff end the open attempt.
async fn abandon(world: &PaymentWorld, key: &str) -> Answered {
    let clients = admin::AdminClients {
        billing: world.api.another(),
        stripe: world.stripe.clone().into(),
        bus: None,
    };
    let event = world
        .event("POST /v1/admin/accounts/{account}/refill/abandon")
        .scope("tollgate/admin")
        .at("account", ACME)
        .json(&json!({"reason": "stuck since Monday"}))
        .key(key);
    Box::pin(admin::handle(&clients, event.request())).await.into()
}

#[tokio::test]
async fn staff_ends_a_refill_once_and_says_why() {
    let world = declined("authentication_required", None).await;
    assert_eq!(world.refill().await.needs_customer, 1);
    let ended = abandon(&world, "one").await;
    let expected = json!({"account": ACME, "attempt": 1, "outcome": "abandoned"});
    assert_eq!((ended.status, &ended.body), (200, &expected));
    assert_eq!(abandon(&world, "one").await, ended, "the same request");
    let again = abandon(&world, "two").await;
    assert_eq!((again.status, again.code()), (409, "conflict"), "{}", again.shown());
    let failed = world.rows().await.into_iter().find_map(|row| match row.event.change {
        Change::Refill(RefillChange::RefillFailed { code, reason, .. }) => Some((code, reason)),
        _ => None,
    });
    assert_eq!(failed, Some(("abandoned".to_owned(), Some("stuck since Monday".to_owned()))));
    let invoices = world.objects("invoice");
    let of_attempt = |invoice: &&Value| invoice["metadata"]["tollgate_attempt"] == "1";
    assert_eq!(invoices.iter().find(of_attempt).unwrap()["status"], "void");
    world.check().await;
}

#[tokio::test]
async fn abandoned_refill_that_was_paid_is_credited() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    world.stand_in.fail_next(PAY, 9, StripeFaultKind::AnswerLost);
    assert_eq!(world.refill().await.open, 1);
    world.stand_in.clear_faults();
    let ended = abandon(&world, "one").await;
    assert_eq!(ended.body["outcome"], "credited", "{}", ended.shown());
    check_refilled(&world, 2_500).await;
}

#[tokio::test]
async fn refill_that_was_paid_too_little_is_abandoned_all_the_same() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    world.stand_in.fail_next("POST /v1/invoices", 9, StripeFaultKind::ConnectionDropped);
    assert_eq!(world.refill().await.open, 1);
    world.stand_in.clear_faults();
    // An invoice of this attempt over less than its credit, which somebody marked as paid.
    let kind = PurchaseKind::Refill { attempt: 1, purpose: RefillPurpose::Threshold };
    let purchase = Purchase { account: acme(), credit: named("10"), kind, agreement: None };
    let customer = world.profile().await.customer.unwrap();
    let new = NewInvoice {
        customer,
        purchase,
        tax: TaxMode::Off,
        collection: InvoiceCollection::Charged,
    };
    let key = IdempotencyKey::once;
    let invoice = world.stripe.create_invoice(&new, &key("invoice")).await.unwrap().id;
    world.stripe.create_invoice_item(&invoice, &new, &key("item")).await.unwrap();
    world.stripe.finalize_invoice(&invoice, &key("finalize")).await.unwrap();
    world.stand_in.pay_out_of_band(&invoice).unwrap();
    assert_eq!(world.refill().await.stuck, 1);
    let ended = abandon(&world, "one").await;
    assert_eq!(ended.body["outcome"], "abandoned", "{}", ended.shown());
    let state = world.state().await;
    assert_eq!((&state.refill.attempt, state.balance()), (&None, named("25")));
}

#[tokio::test]
async fn crash_at_any_call_of_an_abandonment_ends_the_refill_once() {
    let prepare = async |world: &PaymentWorld| {
        world.wanting(VISA).await;
        let card = world.profile().await.cards[0].id.to_string();
        let decline_code = "authentication_required".to_owned();
        let rule = CardRule { decline_code, network_advice_code: None };
        world.stand_in.decline_card(&card, Some(rule));
        world.refill().await;
    };
    let process = async |world: &PaymentWorld| {
        abandon(world, "one").await;
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!((world.count("refill_failed").await, world.charged_cents()), (1, 2_500));
        assert_eq!(world.state().await.refill.attempt, None);
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((5..40).contains(&calls), "{calls} calls");
}
