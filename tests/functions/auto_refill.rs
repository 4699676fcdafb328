//! One attempt of a refill: a charge and a credit, with repeated and late triggers, declined cards,
//! failing calls to Stripe and crashes.

use crate::auto_refill_support::{PAY, declined, execute, with_open_attempt};
use serde_json::{Value, json};
use stripe_stand_in::{CardRule, StripeFaultKind};
use tollgate::domain::account::{AccountState, CardChoice, RefillPause};
use tollgate::domain::command::{Command, RefillSettings};
use tollgate::domain::timestamp::{HOUR, MINUTE};
use tollgate::runtime::account_event::AccountEvent;
use tollgate::runtime::delivery::{DeliveryTime, TriggerTimeError};
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{PaymentWorld, VISA, acme, die_everywhere};

#[tokio::test]
async fn repeated_triggers_charge_and_credit_a_refill_once() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let report = world.refill().await;
    assert_eq!((report.charged, report.steps.len()), (1, 1), "{report:?}");
    assert_eq!(world.state().await.balance(), named("50"));
    assert_eq!(world.refill().await, auto_refill::RefillReport::default());
    world.deliver_all().await;
    world.deliver_everything_again().await;
    assert_eq!(world.refill().await, auto_refill::RefillReport::default());
    assert_eq!((world.count("auto_refill").await, world.charged_cents()), (1, 5000));
    let keys: Vec<String> =
        world.stand_in.calls().into_iter().filter_map(|call| call.idempotency_key).collect();
    for step in ["invoice", "item", "finalize", "pay"] {
        assert!(keys.contains(&format!("refill/acme/1/{step}")), "{step} in {keys:?}");
    }
    let invoice = world
        .objects("invoice")
        .into_iter()
        .find(|invoice| invoice["metadata"]["tollgate_attempt"] == "1")
        .unwrap();
    let found =
        world.ledger().undisturbed.look_up(invoice["id"].as_str().unwrap()).await.unwrap().unwrap();
    assert_eq!(
        (found.account, found.seq > 0),
        (acme(), true),
        "the invoice leads to the row of its payment"
    );
    world.check().await;
}

#[tokio::test]
async fn webhook_credits_a_charge_whose_answer_was_lost() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    world.stand_in.fail_next(PAY, 9, StripeFaultKind::AnswerLost);
    let report = world.refill().await;
    assert_eq!(report.open, 1, "{report:?}");
    world.stand_in.clear_faults();
    assert_eq!((world.charged_cents(), world.count("auto_refill").await), (5000, 0));
    world.deliver_all().await;
    assert_eq!(world.count("auto_refill").await, 1);
    assert_eq!(world.refill().await, auto_refill::RefillReport::default());
    world.check().await;
}

#[tokio::test]
async fn refill_waits_while_stripe_cannot_tell_of_payments() {
    for endpoint in ["GET /v1/checkout/sessions", "GET /v1/payment_intents"] {
        for kind in [
            StripeFaultKind::ConnectionDropped,
            StripeFaultKind::ServerError,
            StripeFaultKind::RateLimited,
        ] {
            let world = PaymentWorld::new().await;
            world.wanting(VISA).await;
            world.stand_in.fail_next(endpoint, 99, kind);
            for _ in 0..2 {
                let report = world.refill().await;
                assert_eq!((report.open, report.charged), (1, 0), "{endpoint} {kind:?} {report:?}");
                world.advance(HOUR);
            }
            assert_eq!((world.state().await.refill.attempt, world.charged_cents()), (None, 2_500));
            world.stand_in.clear_faults();
            assert_eq!(world.refill().await.charged, 1, "{endpoint} {kind:?}");
            world.check().await;
        }
    }
}

#[tokio::test]
async fn a_process_that_dies_anywhere_charges_and_credits_once() {
    let prepare = async |world: &PaymentWorld| world.wanting(VISA).await;
    let process = async |world: &PaymentWorld| {
        world.refill().await;
    };
    let look = async |world: &PaymentWorld| {
        world.deliver_all().await;
        assert_eq!(
            (world.count("auto_refill").await, world.charged_cents()),
            (1, 5000),
            "{:?}",
            world.names().await
        );
        assert_eq!(world.state().await.refill.attempt, None);
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((20..80).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn crash_at_any_call_of_a_decline_fails_once_without_charge() {
    let prepare = async |world: &PaymentWorld| {
        world.wanting(VISA).await;
        let card = world.profile().await.cards[0].id.to_string();
        let rule =
            CardRule { decline_code: "insufficient_funds".to_owned(), network_advice_code: None };
        world.stand_in.decline_card(&card, Some(rule));
    };
    let process = async |world: &PaymentWorld| {
        world.refill().await;
    };
    let look = async |world: &PaymentWorld| {
        world.deliver_all().await;
        assert_eq!(
            (world.count("refill_failed").await, world.charged_cents()),
            (1, 2500),
            "{:?}",
            world.names().await
        );
        let invoices = world.objects("invoice");
        let refills =
            invoices.iter().filter(|invoice| invoice["metadata"]["tollgate_attempt"].is_string());
        assert!(refills.into_iter().all(|invoice| invoice["status"] == "void"), "{invoices:?}");
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((15..80).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn each_class_of_decline_has_its_own_consequence() {
    for (code, advice, paused) in [
        ("insufficient_funds", None, false),
        ("generic_decline", None, false),
        ("a_code_of_next_year", None, false),
        ("lost_card", None, true),
        ("stolen_card", None, true),
        ("pickup_card", None, true),
        ("fraudulent", None, true),
        ("revocation_of_authorization", None, true),
        ("generic_decline", Some("03"), true),
        ("do_not_honor", Some("21"), true),
    ] {
        let world = declined(code, advice).await;
        let report = world.refill().await;
        assert_eq!(
            (report.failed, report.steps.as_slice()),
            (1, [format!("attempt 1: {code}")].as_slice())
        );
        let refill = world.state().await.refill;
        assert_eq!(refill.paused.is_some(), paused, "{code} {advice:?}");
        assert_eq!(refill.never.len(), usize::from(paused));
        // Not again within an hour, and never with a permanently refused card.
        world.advance(59 * MINUTE);
        assert_eq!(world.refill().await.failed, 0);
        world.advance(2 * MINUTE);
        assert_eq!(world.refill().await.failed, u32::from(!paused), "{code} {advice:?}");
        assert_eq!(world.charged_cents(), 2500);
        world.check().await;
    }
}

#[tokio::test]
async fn four_failures_in_a_row_pause_until_there_is_another_card() {
    let world = declined("insufficient_funds", None).await;
    for _ in 0..10 {
        world.refill().await;
        world.advance(HOUR + MINUTE);
    }
    assert_eq!(
        (world.count("refill_failed").await, world.state().await.refill.paused),
        (4, Some(RefillPause::Failures))
    );
    let session = world.session("1", None).await;
    world.pay(&session, "card=5555555555554444").await;
    world.deliver_all().await;
    let refill = world.state().await.refill;
    assert_eq!((refill.paused, refill.wanted), (None, None), "another card, and a manual payment");
    world.agree("40", "25").await;
    assert_eq!(world.refill().await.charged, 1);
    world.check().await;
}

#[tokio::test]
async fn every_step_that_fails_at_stripe_is_settled_in_the_end() {
    let steps =
        ["POST /v1/invoices", "POST /v1/invoiceitems", "POST /v1/invoices/{invoice}/finalize", PAY];
    for endpoint in steps {
        for kind in [
            StripeFaultKind::ConnectionDropped,
            StripeFaultKind::AnswerLost,
            StripeFaultKind::RateLimited,
            StripeFaultKind::ServerError,
        ] {
            for times in [1, 5] {
                let world = PaymentWorld::new().await;
                world.wanting(VISA).await;
                world.stand_in.fail_next(endpoint, times, kind);
                for minutes in [0, 3, 62, 62, 62, 62, 62, 62, 62, 62, 62] {
                    if world.count("auto_refill").await > 0 {
                        break;
                    }
                    world.advance(minutes * MINUTE);
                    world.refill().await;
                }
                world.refill().await;
                world.deliver_all().await;
                let refills = world.count("auto_refill").await;
                assert_eq!(refills, 1, "{endpoint} {kind:?} {times}: {:?}", world.names().await);
                assert_eq!(world.charged_cents(), 5000);
                world.check().await;
            }
        }
    }
}

#[tokio::test]
async fn after_twenty_hours_the_outcome_is_looked_up_not_resent() {
    for endpoint in
        ["POST /v1/invoices", "POST /v1/invoiceitems", "POST /v1/invoices/{invoice}/finalize", PAY]
    {
        for kind in [StripeFaultKind::ConnectionDropped, StripeFaultKind::AnswerLost] {
            let world = PaymentWorld::new().await;
            world.wanting(VISA).await;
            world.stand_in.fail_next(endpoint, 9, kind);
            assert_eq!(world.refill().await.open, 1);
            world.stand_in.clear_faults();
            world.advance(21 * HOUR);
            world.stand_in.forget_calls();
            // No webhook arrived either.
            let report = world.refill().await;
            let was_paid = endpoint == PAY && kind == StripeFaultKind::AnswerLost;
            assert_eq!(
                (report.charged, report.failed),
                (u32::from(was_paid), u32::from(!was_paid)),
                "{endpoint} {kind:?} {report:?}"
            );
            let sent = world.stand_in.calls();
            assert!(sent.iter().all(|call| call.idempotency_key.is_none()), "{sent:?}");
            let invoices = world.objects("invoice");
            let is_payable =
                |invoice: &Value| invoice["status"] == "draft" || invoice["status"] == "open";
            assert!(
                !invoices.iter().any(is_payable),
                "{endpoint} {kind:?}: no other run may pay it: {invoices:?}"
            );
            world.deliver_all().await;
            world.check().await;
        }
    }
}

/// A trigger that was kept for thirty hours takes the attempt for a young one, and Stripe has
/// forgotten its keys.
#[tokio::test]
async fn trigger_thirty_hours_late_charges_a_begun_refill_once() {
    for endpoint in
        ["POST /v1/invoices", "POST /v1/invoiceitems", "POST /v1/invoices/{invoice}/finalize", PAY]
    {
        for kind in [StripeFaultKind::ConnectionDropped, StripeFaultKind::AnswerLost] {
            let world = PaymentWorld::new().await;
            world.wanting(VISA).await;
            world.stand_in.fail_next(endpoint, 9, kind);
            assert_eq!(world.refill().await.open, 1);
            world.stand_in.clear_faults();
            let began = world.now();
            world.advance(30 * HOUR);
            let report = world.try_refill_at(began.plus(3 * MINUTE)).await.unwrap();
            assert_eq!(
                (report.charged, world.charged_cents()),
                (1, 5000),
                "{endpoint} {kind:?}: {report:?}"
            );
            let invoices = world.objects("invoice");
            let of_attempt =
                invoices.iter().filter(|invoice| invoice["metadata"]["tollgate_attempt"] == "1");
            assert_eq!(of_attempt.count(), 1, "{endpoint} {kind:?}");
            world.deliver_all().await;
            assert_eq!(world.count("auto_refill").await, 1);
            world.check().await;
        }
    }
}

#[tokio::test]
async fn frozen_account_or_disabled_refills_charge_nothing() {
    for command in [
        Command::Freeze { reason: "a test".to_owned() },
        Command::ChangeRefill(RefillSettings {
            terms: None,
            card: None,
            card_choice: CardChoice::Named,
            monthly_cap: None,
            ..RefillSettings::default()
        }),
    ] {
        let world = with_open_attempt().await;
        execute(&world, &|_: &AccountState| Ok(command.clone())).await;
        let report = world.refill().await;
        assert_eq!(report.failed, 1, "{report:?}");
        assert_eq!(world.charged_cents(), 2500);
        world.check().await;
    }
}

#[tokio::test]
async fn card_that_declines_later_is_declined_off_session() {
    let world = PaymentWorld::new().await;
    world.wanting("4000000000000341").await;
    let report = world.refill().await;
    assert_eq!((report.failed, world.charged_cents()), (1, 2500), "{report:?}");
    world.check().await;
}

#[tokio::test]
async fn workers_that_run_at_once_charge_once() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let (one, two, three) =
        tokio::join!(world.try_refill(), world.try_refill(), world.try_refill());
    for report in [one, two, three] {
        report.unwrap();
    }
    world.refill().await;
    world.deliver_all().await;
    assert_eq!(
        (world.count("auto_refill").await, world.charged_cents()),
        (1, 5000),
        "{:?}",
        world.names().await
    );
    world.check().await;
}

#[tokio::test]
async fn a_trigger_that_cannot_be_read_is_an_error() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let trigger: AccountEvent =
        serde_json::from_value(json!({"time": "today", "detail": {"account": "acme"}})).unwrap();
    let delivered = DeliveryTime::at(world.now());
    let unreadable = auto_refill::handle(&world.refill, &trigger, delivered).await;
    assert!(matches!(
        unreadable,
        Err(auto_refill::RefillError::Time(TriggerTimeError::Unreadable { .. }))
    ));
    let unknown: AccountEvent = serde_json::from_value(
        json!({"time": "2026-11-22T10:00:00Z", "detail": {"account": "nobody"}}),
    )
    .unwrap();
    assert_eq!(
        auto_refill::handle(&world.refill, &unknown, delivered).await.unwrap(),
        auto_refill::RefillReport::default()
    );
}

#[tokio::test]
async fn an_event_dated_ahead_charges_and_settles_nothing() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let rows = world.state().await.next_seq;
    let trigger: AccountEvent = serde_json::from_value(
        json!({"time": "2026-12-08T11:00:00Z", "detail": {"account": "acme"}}),
    )
    .unwrap();
    let delivered = DeliveryTime::at(world.now());
    let refused = auto_refill::handle(&world.refill, &trigger, delivered).await;
    assert!(
        matches!(refused, Err(auto_refill::RefillError::Time(TriggerTimeError::Ahead { .. }))),
        "{refused:?}"
    );
    assert_eq!((world.state().await.next_seq, world.charged_cents()), (rows, 2500));
}
