//! Refills: one charge and one credit per attempt, with any interruption.

use serde_json::{Value, json};
use stripe_stand_in::{CardRule, StripeFaultKind};
use tollgate::domain::account::{AccountState, CardChoice, RefillPause, RefillPurpose, TaxMode};
use tollgate::domain::command::{Command, RefillSettings, RefillTerms};
use tollgate::domain::event::{Cause, Change, CreditKind, RefillChange, RefillDecline};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::row::Row;
use tollgate::domain::settle::due::refill_needs_driving;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::{HOUR, MINUTE};
use tollgate::runtime::delivery::DeliveryTime;
use tollgate::store::Plan;
use tollgate::stripe::calls::NewInvoice;
use tollgate::stripe::keys::IdempotencyKey;
use tollgate::stripe::metadata::Purchase;
use tollgate_tests::api::Answered;
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, acme, die_everywhere};

const PAY: &str = "POST /v1/invoices/{invoice}/pay";

/// A world where a refill is wanted and its card will be declined.
async fn declined(code: &str, advice: Option<&str>) -> PaymentWorld {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let card = world.profile().await.cards[0].id.to_string();
    let rule =
        CardRule { decline_code: code.to_owned(), network_advice_code: advice.map(str::to_owned) };
    world.stand_in.decline_card(&card, Some(rule));
    world
}

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

/// $25, refills below $30 that were paused since their card was removed, and a payment page for $100
/// that is paid with a new card. Stripe's events have not been delivered yet.
async fn paying_with_a_new_card(auto_refill: Option<Value>) -> PaymentWorld {
    let world = PaymentWorld::new().await;
    begin_to_pay_with_a_new_card(&world, auto_refill).await;
    world
}

async fn begin_to_pay_with_a_new_card(world: &PaymentWorld, auto_refill: Option<Value>) {
    world.wanting(VISA).await;
    let card = world.profile().await.cards[0].id.clone();
    world.stripe.detach(&card).await.unwrap();
    world.deliver_all().await;
    assert_eq!(world.state().await.refill.paused, Some(RefillPause::CardGone));
    let session = world.session("100.00", auto_refill).await;
    world.pay(&session, "card=5555555555554444").await;
}

/// Delivers only the events about cards.
async fn deliver_cards(world: &PaymentWorld) {
    for delivery in world.deliveries() {
        if delivery.event_type.starts_with("payment_method.") {
            assert_eq!(world.deliver(&delivery).await.status, 200);
        }
    }
}

#[tokio::test]
async fn card_event_before_its_payment_charges_nothing_else() {
    for auto_refill in [None, Some(json!({"enabled": false}))] {
        let world = paying_with_a_new_card(auto_refill).await;
        deliver_cards(&world).await;
        assert!(world.state().await.refill.card.is_some(), "the new card is the refill card");
        assert_eq!(world.refill().await.steps.len(), 0);
        world.deliver_all().await;
        world.advance(3 * MINUTE);
        assert_eq!(world.refill().await.steps.len(), 0);
        assert_eq!((world.state().await.balance(), world.charged_cents()), (named("125"), 12_500));
        world.check().await;
    }
}

#[tokio::test]
async fn refill_credits_a_paid_page_instead_of_charging() {
    let world = paying_with_a_new_card(None).await;
    deliver_cards(&world).await;
    world.advance(3 * MINUTE);
    // The events of the payment are lost.
    assert_eq!(world.refill().await.charged, 0);
    assert_eq!((world.state().await.balance(), world.charged_cents()), (named("125"), 12_500));
    world.deliver_all().await;
    world.check().await;
}

#[tokio::test]
async fn a_process_that_dies_anywhere_credits_a_paid_page_and_charges_nothing() {
    let prepare = async |world: &PaymentWorld| {
        begin_to_pay_with_a_new_card(world, None).await;
        deliver_cards(world).await;
        world.advance(3 * MINUTE);
    };
    let process = async |world: &PaymentWorld| {
        world.refill().await;
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!((world.state().await.balance(), world.charged_cents()), (named("125"), 12_500));
        world.deliver_all().await;
        assert_eq!(world.state().await.balance(), named("125"));
        world.check().await;
    };
    die_everywhere(prepare, process, look).await;
}

/// The page that was opened last is not the one that was paid.
#[tokio::test]
async fn paid_page_is_credited_although_another_was_opened() {
    for is_canceled in [false, true] {
        let world = paying_with_a_new_card(Some(json!({"enabled": false}))).await;
        deliver_cards(&world).await;
        let other = world.session("5.00", None).await;
        if is_canceled {
            cancel(&world, &other).await;
        }
        world.advance(3 * MINUTE);
        assert_eq!(world.refill().await.charged, 0);
        assert_eq!((world.state().await.balance(), world.charged_cents()), (named("125"), 12_500));
        world.deliver_all().await;
        world.check().await;
    }
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
async fn refill_waits_for_a_payment_that_its_customer_confirms() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let session = world.session("100.00", None).await;
    world.pay(&session, "card=4000002760003184").await;
    let waits = |intent: &Value| intent["status"] == "requires_action";
    let payments = world.objects("payment_intent");
    let payment = payments.into_iter().find(waits).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(world.refill().await.steps, ["waits, a payment is being made"]);
    world.advance(MINUTE);
    world.post(&format!("/authenticate/{payment}"), "result=approve").await;
    // Its events are lost.
    assert_eq!(world.refill().await.steps, [""; 0]);
    assert_eq!((world.state().await.balance(), world.charged_cents()), (named("125"), 12_500));
    world.deliver_all().await;
    world.check().await;
}

#[tokio::test]
async fn abandoned_page_holds_a_refill_back_half_an_hour_at_most() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    world.advance(5 * MINUTE);
    let session = world.session("100.00", None).await;
    world.advance(25 * MINUTE);
    assert_eq!(world.refill().await.steps, ["waits, a payment page is open"]);
    world.advance(MINUTE);
    assert_eq!(world.refill().await.charged, 1);
    // Nobody pays there as well.
    let sessions = world.objects("checkout.session");
    let page = sessions.iter().find(|page| page["id"] == session.as_str()).unwrap();
    assert_eq!(page["status"], "expired");
    world.check().await;
}

async fn cancel(world: &PaymentWorld, session: &str) {
    let event = world.event("POST /v1/checkout-sessions/{id}/cancel").at("id", session);
    let canceled = world.call(&event).await;
    assert_eq!((canceled.status, &canceled.body["status"]), (200, &json!("expired")));
}

/// The customer changed their mind: the card is good again, and nothing was declined.
#[tokio::test]
async fn refill_goes_on_at_once_after_a_canceled_page() {
    let world = declined("authentication_required", None).await;
    assert_eq!(world.refill().await.needs_customer, 1);
    let session = world.session("25", None).await;
    let card = world.profile().await.cards[0].id.to_string();
    world.stand_in.decline_card(&card, None);
    assert_eq!(world.refill().await.steps, ["waits, a payment page is open"]);
    cancel(&world, &session).await;
    assert_eq!(world.refill().await.steps, ["attempt 2: charged"]);
    assert_eq!(world.charged_cents(), 5_000);
    world.check().await;
}

/// Another card was chosen, refills were switched off, or the customer paid by hand.
#[tokio::test]
async fn confirmation_that_is_no_longer_needed_is_called_off() {
    let other_card = |state: &AccountState| {
        let terms = Some(RefillTerms::multiple(named("30"), named("25")));
        let card = Some(named("pm_another"));
        Ok(Command::ChangeRefill(RefillSettings {
            terms,
            card,
            card_choice: CardChoice::Named,
            monthly_cap: state.refill.monthly_cap,
            ..RefillSettings::default()
        }))
    };
    let off = |_: &AccountState| Ok(Command::ChangeRefill(RefillSettings::default()));
    let paid = |_: &AccountState| {
        Ok(Command::Correct { amount: named("500"), reason: "paid by wire".to_owned() })
    };
    type Change<'a> = &'a (dyn Fn(&AccountState) -> Result<Command, Refusal> + Sync);
    for (nth, change) in [&other_card as Change<'_>, &off, &paid].into_iter().enumerate() {
        for is_void in [false, true] {
            let world = declined("authentication_required", None).await;
            assert_eq!(world.refill().await.needs_customer, 1);
            let policy = &world.refill.billing.settings.policy;
            let is_due = async || refill_needs_driving(&world.state().await, policy, world.now());
            assert!(!is_due().await, "{nth}");
            let account = acme();
            let trigger = world.ledger().trigger(&account, world.now());
            let store = &world.ledger().undisturbed;
            store.execute(trigger, Cause::Command, Plan::on_state(&change)).await.unwrap();
            assert!(is_due().await, "{nth}");
            let invoice_of = |invoice: &Value| invoice["metadata"]["tollgate_attempt"] == "1";
            let invoice = || world.objects("invoice").into_iter().find(invoice_of).unwrap();
            if is_void {
                // A run died before its row.
                world.stripe.void_invoice(invoice()["id"].as_str().unwrap()).await.unwrap();
            }
            assert_eq!(world.refill().await.steps, ["attempt 1: called_off"], "{nth}");
            let refill = world.state().await.refill;
            assert_eq!((refill.attempt, refill.failed_at, refill.failures), (None, None, 0));
            assert_eq!(invoice()["status"], "void", "{nth}");
            assert_eq!(world.charged_cents(), 2_500, "{nth}");
            world.check().await;
        }
    }
}

/// The default card was replaced at Stripe, and its events are lost.
#[tokio::test]
async fn card_that_is_gone_is_replaced_by_the_default_of_today() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let session = world.session("25.00", None).await;
    world.pay(&session, "card=5555555555554444").await;
    world.deliver_all().await;
    let cards = world.profile().await.cards;
    let old = world.profile().await.default_card.unwrap();
    let new = cards.iter().find(|card| card.id != old).unwrap().id.clone();
    let account = acme();
    let default = |_: &AccountState| {
        Ok(Command::ChangeRefill(RefillSettings {
            terms: Some(RefillTerms::multiple(named("60"), named("25"))),
            card: Some(old.clone()),
            card_choice: CardChoice::Default,
            ..RefillSettings::default()
        }))
    };
    let trigger = world.ledger().trigger(&account, world.now());
    let store = &world.ledger().undisturbed;
    store.execute(trigger, Cause::Command, Plan::on_state(&default)).await.unwrap();
    let customer = world.profile().await.customer.unwrap();
    world.stand_in.detach_in_portal(old.as_str()).unwrap();
    world.stand_in.set_default_in_portal(customer.as_str(), new.as_str()).unwrap();
    assert_eq!(world.refill().await.steps, ["attempt 1: called_off"]);
    world.advance(2 * MINUTE);
    assert_eq!(world.refill().await.steps, ["attempt 2: charged"]);
    let charges = world.objects("charge");
    assert!(charges.iter().filter(|charge| charge["payment_method"] == new.as_str()).count() == 2);
    world.deliver_all().await;
    world.check().await;
}

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
async fn payment_needing_authentication_waits_for_its_customer() {
    let world = declined("authentication_required", None).await;
    let report = world.refill().await;
    assert_eq!(report.needs_customer, 1, "{report:?}");
    let confirmation = world.profile().await.confirmation.unwrap();
    assert_eq!(confirmation.attempt, 1);
    assert_eq!(world.refill().await.needs_customer, 1);
    world.advance(22 * HOUR);
    assert_eq!(world.refill().await.needs_customer, 1);
    assert_eq!(world.count("refill_needs_customer").await, 1);
    let rows = world.rows().await;
    let says_where = |row: &Row| matches!(&row.event.change, Change::Refill(RefillChange::RefillNeedsCustomer { url: Some(url), .. }) if *url == confirmation.url);
    assert!(rows.iter().any(says_where), "its event leads the customer there");
    let card = world.profile().await.cards[0].id.to_string();
    world.stand_in.decline_card(&card, None);
    let path = confirmation.url.split_once("/i/").map(|(_, id)| format!("/i/{id}")).unwrap();
    world.post(&path, &format!("card={VISA}")).await;
    assert_eq!(world.charged_cents(), 5000, "paid at the invoice's own page");
    assert_eq!(world.refill().await.charged, 1);
    world.deliver_all().await;
    assert_eq!((world.count("auto_refill").await, world.state().await.refill.attempt), (1, None));
    world.check().await;
}

#[tokio::test]
async fn a_payment_nobody_confirmed_is_given_up_after_23_hours() {
    let world = declined("authentication_required", None).await;
    assert_eq!(world.refill().await.needs_customer, 1);
    world.advance(23 * HOUR);
    let report = world.refill().await;
    assert_eq!(
        (report.failed, report.steps.as_slice()),
        (1, ["attempt 1: authentication_required".to_owned()].as_slice())
    );
    let invoices = world.objects("invoice");
    assert!(invoices.iter().any(
        |invoice| invoice["metadata"]["tollgate_attempt"] == "1" && invoice["status"] == "void"
    ));
    world.check().await;
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
    let kind = CreditKind::Refill { attempt: 1, purpose: RefillPurpose::Threshold };
    let purchase = Purchase { account: acme(), credit: named("10"), kind, agreement: None };
    let customer = world.profile().await.customer.unwrap();
    let new = NewInvoice { customer, purchase, tax: TaxMode::Off };
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
async fn crash_between_void_and_row_counts_as_not_confirmed() {
    let world = declined("authentication_required", None).await;
    assert_eq!(world.refill().await.needs_customer, 1);
    world.advance(23 * HOUR);
    let invoices = world.objects("invoice");
    let open = invoices.iter().find(|invoice| invoice["status"] == "open").unwrap();
    world.stripe.void_invoice(open["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(world.refill().await.failed, 1);
    let rows = world.rows().await;
    let failed = rows.iter().find_map(|row| match &row.event.change {
        Change::Refill(RefillChange::RefillFailed { decline, .. }) => Some(*decline),
        _ => None,
    });
    assert_eq!(failed, Some(RefillDecline::Later));
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

#[tokio::test]
async fn manual_payment_replaces_the_refill_and_charges_once() {
    let world = declined("authentication_required", None).await;
    assert_eq!(world.refill().await.needs_customer, 1);
    let session = world.session("25", None).await;
    let state = world.state().await;
    assert_eq!((state.refill.attempt, world.count("refill_failed").await), (None, 1));
    // The card would be charged now, while the customer types another.
    let card = world.profile().await.cards[0].id.to_string();
    world.stand_in.decline_card(&card, None);
    assert_eq!(world.refill().await.steps, ["waits, a payment page is open"]);
    world.advance(10 * MINUTE);
    assert_eq!(world.refill().await.steps, ["waits, a payment page is open"]);
    world.pay(&session, "card=5555555555554444").await;
    world.deliver_all().await;
    assert_eq!(world.charged_cents(), 5000);
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

/// The card changed or the amount was lowered, so the customer no longer agrees to the charge. Or the
/// balance is high enough without it.
#[tokio::test]
async fn attempt_no_longer_agreed_is_canceled_and_not_counted() {
    type Change = Box<dyn Fn(&AccountState) -> Result<Command, Refusal> + Sync>;
    let settings = |card: Option<&str>, amount: &str| -> Change {
        let (card, terms) =
            (card.map(named), Some(RefillTerms::multiple(named("30"), named(amount))));
        Box::new(move |state| {
            let card = card.clone().or_else(|| state.refill.card.clone());
            let settings = RefillSettings {
                terms,
                card,
                card_choice: CardChoice::Named,
                monthly_cap: None,
                ..RefillSettings::default()
            };
            Ok(Command::ChangeRefill(settings))
        })
    };
    let paid = |_: &AccountState| {
        Ok(Command::Correct { amount: named("500"), reason: "paid by wire".to_owned() })
    };
    let changes =
        [settings(Some("pm_another"), "25"), settings(None, "20"), Box::new(paid) as Change];
    for (nth, change) in changes.into_iter().enumerate() {
        let world = PaymentWorld::new().await;
        world.wanting(VISA).await;
        world.stand_in.fail_next(
            "POST /v1/invoices/{invoice}/finalize",
            9,
            StripeFaultKind::ConnectionDropped,
        );
        assert_eq!(world.refill().await.open, 1);
        world.stand_in.clear_faults();
        let account = acme();
        let trigger = world.ledger().trigger(&account, world.now());
        let store = &world.ledger().undisturbed;
        store.execute(trigger, Cause::Command, Plan::on_state(&change)).await.unwrap();
        let report = world.refill().await;
        assert_eq!(report.steps, ["attempt 1: called_off"], "{nth}");
        let refill = world.state().await.refill;
        assert_eq!(
            (refill.failures, refill.paused, world.charged_cents()),
            (0, None, 2500),
            "{nth}"
        );
        let invoices = world.objects("invoice");
        let mut refills =
            invoices.iter().filter(|invoice| invoice["metadata"]["tollgate_attempt"] == "1");
        assert!(refills.all(|invoice| invoice["status"] == "void"), "{nth}: {invoices:?}");
        world.check().await;
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
        let world = PaymentWorld::new().await;
        world.wanting(VISA).await;
        world.stand_in.fail_next(
            "POST /v1/invoices/{invoice}/finalize",
            9,
            StripeFaultKind::ConnectionDropped,
        );
        assert_eq!(world.refill().await.open, 1);
        world.stand_in.clear_faults();
        let account = acme();
        let trigger = world.ledger().trigger(&account, world.now());
        world
            .ledger()
            .undisturbed
            .execute(
                trigger,
                Cause::Command,
                Plan::on_snapshot(&|_: &AccountSnapshot<'_>| Ok(command.clone())),
            )
            .await
            .unwrap();
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
    let trigger: auto_refill::RefillTrigger =
        serde_json::from_value(json!({"time": "today", "detail": {"account": "acme"}})).unwrap();
    let delivered = DeliveryTime::at(world.now());
    assert!(auto_refill::handle(&world.refill, &trigger, delivered).await.is_err());
    let unknown: auto_refill::RefillTrigger = serde_json::from_value(
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
    let trigger: auto_refill::RefillTrigger = serde_json::from_value(
        json!({"time": "2026-12-08T11:00:00Z", "detail": {"account": "acme"}}),
    )
    .unwrap();
    let delivered = DeliveryTime::at(world.now());
    let refused = auto_refill::handle(&world.refill, &trigger, delivered).await;
    assert!(matches!(refused, Err(auto_refill::RefillError::Ahead(_))), "{refused:?}");
    assert_eq!((world.state().await.next_seq, world.charged_cents()), (rows, 2500));
}
