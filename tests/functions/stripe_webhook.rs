//! The webhook: reports from Stripe, in any order and any number of times, become rows once.

use serde_json::json;
use stripe_stand_in::{DebitEnd, DeliveryPlan, DisputeEnd, DisputeKind, NewDispute, Order};
use tollgate::domain::account::{AccountState, RefillPause};
use tollgate::domain::command::Command;
use tollgate::domain::event::Cause;
use tollgate::domain::row_format::RowFormat;
use tollgate::runtime::billing::Billing;
use tollgate::store::Plan;
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, acme, die_everywhere};

/// A world with a payment of $25 that has not been reported yet.
async fn paid(world: &PaymentWorld) -> String {
    let session = world.session("25.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    session
}

#[tokio::test]
async fn payment_is_credited_once_for_any_event_in_any_order() {
    for order in [
        Order::AsHappened,
        Order::Reversed,
        Order::Shuffled(1),
        Order::Shuffled(2),
        Order::Shuffled(3),
    ] {
        let world = PaymentWorld::new().await;
        let session = paid(&world).await;
        world.stand_in.plan_deliveries(DeliveryPlan {
            copies: 2,
            order,
            ..DeliveryPlan::default()
        });
        let told = world.deliver_all().await;
        assert!(told.iter().all(|(_, status, _)| *status == 200), "{order:?}: {told:?}");
        assert!(told.iter().any(|(kind, _, _)| kind == "invoice.paid"), "{told:?}");
        world.deliver_everything_again().await;
        assert_eq!(world.names().await, ["opened", "topup"], "{order:?}");
        assert_eq!(world.state().await.balance(), named("25"));
        // Every id of the payment leads to its row.
        let payment = world.objects("payment_intent")[0].clone();
        let ids = world
            .ledger()
            .undisturbed
            .payment_ids(&acme(), &named(payment["id"].as_str().unwrap()))
            .await
            .unwrap();
        let charge = payment["latest_charge"].as_str().unwrap();
        assert_eq!(
            (ids.session.as_deref(), ids.charge.as_deref()),
            (Some(session.as_str()), Some(charge))
        );
        for id in
            [payment["id"].as_str().unwrap(), &session, charge, ids.invoice.as_deref().unwrap()]
        {
            let found = world.ledger().undisturbed.look_up(id).await.unwrap().unwrap();
            assert_eq!((found.account.as_str(), found.seq), (ACME, 1), "{id}");
        }
        world.check().await;
    }
}

#[tokio::test]
async fn a_process_that_dies_anywhere_loses_nothing_and_credits_once() {
    for kind in ["payment_intent.succeeded", "checkout.session.completed", "invoice.paid"] {
        let prepare = async |world: &PaymentWorld| {
            world
                .session("25.00", Some(json!({"enabled": true, "threshold": "5", "amount": "25"})))
                .await;
            let session = world.objects("checkout.session")[0]["id"].as_str().unwrap().to_owned();
            world.pay(&session, &format!("card={VISA}")).await;
        };
        let process = async |world: &PaymentWorld| {
            world.stand_in.redeliver_all();
            for delivery in world.deliveries().iter().filter(|delivery| delivery.event_type == kind)
            {
                assert_eq!(world.deliver(delivery).await.status, 200);
            }
        };
        let look = async |world: &PaymentWorld| {
            assert_eq!(world.count("topup").await, 1);
            assert_eq!(world.count("refill_changed").await, 1);
            assert_eq!(world.state().await.balance(), named("25"));
            assert!(
                world.state().await.refill.card.is_some(),
                "the card that paid is charged for refills"
            );
            world.check().await;
        };
        let calls = die_everywhere(prepare, process, look).await;
        assert!((10..60).contains(&calls), "{kind}: {calls} calls");
    }
}

#[tokio::test]
async fn unsigned_event_is_rejected_unread() {
    let world = PaymentWorld::new().await;
    paid(&world).await;
    let before = world.api.everything().await;
    let deliveries = world.deliveries();
    let delivery = &deliveries[0];
    let event = || world.event("POST /v1/stripe/webhook").without_token();
    let (_, signed) = delivery
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("stripe-signature"))
        .unwrap();
    let refused = [
        event().body(&delivery.body),
        event().body(&delivery.body).header("stripe-signature", "t=1,v1=00"),
        event().body(&format!("{} ", delivery.body)).header("stripe-signature", signed),
        event().body(&delivery.body).header("stripe-signature", signed).minutes_later(6),
        event().body(&delivery.body).header("stripe-signature", signed).minutes_later(-6),
        event().body("not json").header("stripe-signature", signed),
    ];
    for event in refused {
        let answered: tollgate_tests::api::Answered =
            stripe_webhook::handle(&world.webhook, event.request()).await.answer.into();
        assert_eq!((answered.status, answered.code()), (400, "invalid_signature"), "{event:?}");
    }
    assert_eq!(world.api.everything().await, before, "nothing was written");
    let huge = "x".repeat(256 * 1024 + 1);
    let huge = event().body(&huge);
    let answered: tollgate_tests::api::Answered =
        stripe_webhook::handle(&world.webhook, huge.request()).await.answer.into();
    assert_eq!((answered.status, answered.code()), (400, "invalid_signature"));
    let huge = huge.header("stripe-signature", signed);
    let answered: tollgate_tests::api::Answered =
        stripe_webhook::handle(&world.webhook, huge.request()).await.answer.into();
    assert_eq!((answered.status, answered.code()), (413, "body_too_large"));
    assert_eq!(world.deliver(delivery).await.status, 200);
}

#[tokio::test]
async fn old_versions_new_values_and_unknown_types_lose_nothing() {
    let world = PaymentWorld::new().await;
    paid(&world).await;
    let payment = world.objects("payment_intent")[0].clone();
    let told = world
        .tell(&json!({
            "id": "evt_old", "type": "payment_intent.succeeded", "api_version": "2017-08-15",
            "data": {"object": {
                "id": payment["id"], "object": "payment_intent", "status": "a_new_status", "amount_received": 2500, "currency": "usd",
                "livemode": false, "customer": payment["customer"], "charges": {"data": []}, "metadata": payment["metadata"],
                "latest_charge": {"id": payment["latest_charge"], "object": "charge"}, "a_new_field": {"a": [1]},
            }},
        }))
        .await;
    assert_eq!((told.status, told.body["outcome"].as_str()), (200, Some("recorded")));
    let ignored = json!({"id": "evt_1", "type": "v2.something.new", "data": {"object": {}}});
    assert_eq!(world.tell(&ignored).await.body["outcome"], "ignored");
    world.deliver_all().await;
    assert_eq!(world.count("topup").await, 1);
    world.check().await;
}

#[tokio::test]
async fn relevant_event_that_cannot_be_parsed_is_retried() {
    let world = PaymentWorld::new().await;
    paid(&world).await;
    let payment = world.objects("payment_intent")[0].clone();
    let event = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut event = json!({"id": "evt_1", "type": "payment_intent.succeeded", "livemode": false, "data": {"object": payment}});
        change(&mut event["data"]["object"]);
        event
    };
    let broken: [&dyn Fn(&mut serde_json::Value); 7] = [
        &|object| object["id"] = json!(null),
        &|object| object["amount_received"] = json!(null),
        &|object| object["currency"] = json!("eur"),
        &|object| object["livemode"] = json!(true),
        &|object| object["amount_received"] = json!(2499),
        &|object| object["metadata"]["tollgate_credit_cents"] = json!("many"),
        &|object| object["metadata"]["tollgate_kind"] = json!("present"),
    ];
    for change in broken {
        let told = world.tell(&event(change)).await;
        assert_eq!((told.status, told.code()), (500, "internal"), "{:?}", event(change));
    }
    assert_eq!(world.tell(&json!({"id": "evt_1"})).await.status, 500);
    assert_eq!(world.names().await, ["opened"]);
    assert_eq!(world.tell(&event(&|_| ())).await.status, 200);
}

#[tokio::test]
async fn foreign_and_unknown_payments_are_not_credited() {
    let world = PaymentWorld::new().await;
    paid(&world).await;
    let ours = world.profile().await.customer.unwrap();
    let payment = |customer: serde_json::Value| {
        json!({"id": "evt_1", "type": "payment_intent.succeeded", "livemode": false, "data": {"object": {
            "id": "pi_other", "amount_received": 900, "currency": "eur", "customer": customer, "metadata": {}}}})
    };
    for customer in [json!(null), json!("cus_other"), json!(ours)] {
        assert_eq!(world.tell(&payment(customer)).await.body["outcome"], "foreign");
    }
    let refund = json!({"id": "evt_2", "type": "refund.created", "data": {"object": {"id": "re_1", "amount": 5, "status": "succeeded",
        "payment_intent": "pi_other", "charge": "ch_other"}}});
    assert_eq!(world.tell(&refund).await.body["outcome"], "foreign");
    let card = json!({"id": "evt_3", "type": "payment_method.attached", "data": {"object": {"id": "pm_1", "customer": "cus_other"}}});
    assert_eq!(world.tell(&card).await.body["outcome"], "foreign");
    assert_eq!(world.names().await, ["opened"]);
}

/// Another installation on the same Stripe account has accounts of the same names.
#[tokio::test]
async fn a_payment_is_credited_to_the_account_of_its_customer_alone() {
    let world = PaymentWorld::with(&[("INSTALLATION", "ours")]).await;
    paid(&world).await;
    let store = &world.ledger().undisturbed;
    store.note_look_ups(&named("another"), 0, &["cus_another"]).await.unwrap();
    let ours = world.profile().await.customer.unwrap().to_string();
    let told_of = |kind: &str| {
        let object = match kind {
            "payment_intent.succeeded" => "payment_intent",
            "invoice.paid" => "invoice",
            _ => "checkout.session",
        };
        (kind.to_owned(), world.objects(object)[0].clone())
    };
    for kind in ["payment_intent.succeeded", "checkout.session.completed", "invoice.paid"] {
        let (kind, object) = told_of(kind);
        assert_eq!(object["metadata"]["tollgate_installation"], "ours");
        for (installation, customer, answered) in [
            (json!("theirs"), "cus_elsewhere", (200, "foreign")),
            // The customer's look-up was lost: Stripe sends the event again.
            (json!("ours"), "cus_elsewhere", (500, "")),
            (json!(null), "cus_elsewhere", (200, "foreign")),
            (json!("theirs"), &ours, (200, "foreign")),
            (json!("theirs"), "", (200, "foreign")),
            (json!(null), "", (200, "foreign")),
            (json!("ours"), "cus_another", (500, "")),
        ] {
            let mut object = object.clone();
            object["customer"] = json!(Some(customer).filter(|customer| !customer.is_empty()));
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.insert("tollgate_installation".to_owned(), installation.clone());
            metadata.retain(|_, value| !value.is_null());
            let told =
                world.tell(&json!({"id": "evt_1", "type": kind, "livemode": false, "data": {"object": object}})).await;
            let outcome = told.body["outcome"].as_str().unwrap_or_default();
            assert_eq!(
                (told.status, outcome),
                answered,
                "{kind} {installation} {customer}: {told:?}"
            );
        }
    }
    assert_eq!(world.names().await, ["opened"]);
    // Sent again once the look-up is restored, each is credited.
    store.note_look_ups(&acme(), 0, &["cus_elsewhere"]).await.unwrap();
    let (kind, mut object) = told_of("payment_intent.succeeded");
    object["customer"] = json!("cus_elsewhere");
    let told = world
        .tell(&json!({"id": "evt_1", "type": kind, "livemode": false, "data": {"object": object}}))
        .await;
    assert_eq!((told.status, told.body["outcome"].as_str()), (200, Some("recorded")));
    world.deliver_all().await;
    assert_eq!(world.count("topup").await, 1);
    world.check().await;
}

/// Also if the account does not exist: a foreign payment opens none.
#[tokio::test]
async fn a_foreign_delayed_payment_is_neither_pending_nor_ended() {
    let world = PaymentWorld::with(&[
        ("INSTALLATION", "ours"),
        ("STRIPE_PAYMENT_METHODS", "card,us_bank_account"),
    ])
    .await;
    let session = world.session("25.00", None).await;
    world.pay(&session, "method=us_bank_account").await;
    let ours = world.profile().await.customer.unwrap().to_string();
    let (intent, session) =
        (world.objects("payment_intent")[0].clone(), world.objects("checkout.session")[0].clone());
    let tell = async |kind: &str, account: &str, installation: Option<&str>, customer: &str| {
        let is_session = kind.starts_with("checkout");
        let mut object = if is_session { session.clone() } else { intent.clone() };
        object["customer"] = json!(Some(customer).filter(|customer| !customer.is_empty()));
        object["metadata"]["tollgate_account"] = json!(account);
        object["metadata"]["tollgate_installation"] = json!(installation);
        object["metadata"].as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let event =
            json!({"id": "evt_1", "type": kind, "livemode": false, "data": {"object": object}});
        let told = world.tell(&event).await;
        (told.status, told.body["outcome"].as_str().unwrap_or_default().to_owned())
    };
    let foreign = [
        (Some("theirs"), "cus_elsewhere"),
        (Some("theirs"), ours.as_str()),
        (Some("theirs"), ""),
        (None, "cus_elsewhere"),
        (None, ""),
    ];
    let told = [
        "payment_intent.processing",
        "checkout.session.completed",
        "payment_intent.canceled",
        "checkout.session.async_payment_failed",
    ];
    for kind in told {
        for (installation, customer) in foreign {
            for account in [ACME, "nobody"] {
                let told = tell(kind, account, installation, customer).await;
                let said = format!("{kind} {account} {installation:?} {customer}");
                assert_eq!(told, (200, "foreign".to_owned()), "{said}");
            }
        }
        // The customer's look-up was lost, or the customer is another account's.
        for (account, customer) in [(ACME, "cus_elsewhere"), ("nobody", ours.as_str())] {
            let told = tell(kind, account, Some("ours"), customer).await;
            assert_eq!(told, (500, String::new()), "{kind} {account} {customer}");
        }
    }
    assert_eq!(world.names().await, ["opened"]);
    let nobody = world.ledger().undisturbed.head(&named("nobody")).await.unwrap();
    assert!(nobody.is_none(), "no account was opened");
    // An older release named no installation.
    let told = tell("payment_intent.processing", ACME, None, &ours).await;
    assert_eq!(told, (200, "recorded".to_owned()));
    for (installation, customer) in foreign {
        tell("payment_intent.canceled", ACME, installation, customer).await;
    }
    assert_eq!(world.state().await.pending.len(), 1, "a foreign payment ended ours");
    let told = tell("payment_intent.canceled", ACME, Some("ours"), &ours).await;
    assert_eq!((told, world.state().await.pending), ((200, "recorded".to_owned()), vec![]));
}

#[tokio::test]
async fn a_bank_debit_is_pending_until_it_arrives_or_fails() {
    for (end, copies) in [
        (DebitEnd::Succeeded, 1),
        (DebitEnd::Failed, 1),
        (DebitEnd::Succeeded, 2),
        (DebitEnd::Failed, 2),
    ] {
        for order in [Order::AsHappened, Order::Reversed] {
            let world =
                PaymentWorld::with(&[("STRIPE_PAYMENT_METHODS", "card,us_bank_account")]).await;
            let session = world.session("25.00", None).await;
            world.pay(&session, "method=us_bank_account").await;
            if order == Order::AsHappened {
                world.deliver_all().await;
                assert_eq!(world.state().await.pending.len(), 1);
                assert_eq!(world.status(&session).await.body["status"], "processing");
            }
            world.stand_in.plan_deliveries(DeliveryPlan {
                copies,
                order,
                ..DeliveryPlan::default()
            });
            world.stand_in.resolve_debit(&session, end).unwrap();
            world.deliver_all().await;
            world.deliver_everything_again().await;
            let state = world.state().await;
            assert_eq!(state.pending, [], "{end:?} {order:?}: {:?}", world.names().await);
            let (credited, status) =
                if end == DebitEnd::Succeeded { ("25", "paid") } else { ("0", "expired") };
            assert_eq!(state.balance(), named(credited));
            assert_eq!(world.status(&session).await.body["status"], status, "{end:?}");
            world.check().await;
        }
    }
}

#[tokio::test]
async fn invoice_paid_in_parts_is_credited_once_for_all_of_them() {
    let world = PaymentWorld::new().await;
    paid(&world).await;
    world.deliver_all().await;
    let customer = world.profile().await.customer.unwrap();
    let part = |payment: &str| json!({"status": "paid", "payment": {"type": "payment_intent", "payment_intent": payment}});
    let invoice = |first: &str, second: &str| {
        json!({"id": "in_parts", "object": "invoice", "status": "paid", "total": 3_000, "amount_paid": 3_000,
            "currency": "usd", "livemode": false, "customer": customer.as_str(),
            "metadata": {"tollgate_account": ACME, "tollgate_credit_cents": "3000", "tollgate_kind": "topup"},
            "payments": {"data": [part(first), part(second)]}})
    };
    for (first, second) in [("pi_a", "pi_b"), ("pi_b", "pi_a")] {
        let event = json!({"id": "evt_1", "type": "invoice.paid", "livemode": false, "data": {"object": invoice(first, second)}});
        let told = world.tell(&event).await;
        assert_eq!(told.status, 200, "{}", told.shown());
    }
    assert_eq!(world.state().await.balance(), named("55"));
    let store = &world.ledger().undisturbed;
    let rows = ["pi_a", "pi_b", "in_parts"].map(|id| store.look_up(id));
    for found in rows {
        assert_eq!(found.await.unwrap().map(|found| found.seq), Some(2));
    }
    // Each part can be refunded, and takes its share of the credit.
    let refund = json!({"id": "evt_2", "type": "refund.created", "livemode": false,
        "data": {"object": {"id": "re_b", "amount": 1_000, "status": "succeeded", "payment_intent": "pi_b"}}});
    assert_eq!(world.tell(&refund).await.status, 200);
    assert_eq!(world.state().await.balance(), named("45"));
}

#[tokio::test]
async fn refunds_take_their_part_and_come_back_when_they_fail() {
    for order in [Order::AsHappened, Order::Reversed] {
        let world = PaymentWorld::new().await;
        paid(&world).await;
        let payment = world.objects("payment_intent")[0]["id"].as_str().unwrap().to_owned();
        world.stand_in.plan_deliveries(DeliveryPlan {
            copies: 2,
            order,
            ..DeliveryPlan::default()
        });
        world.stand_in.refund_in_dashboard(&payment, Some(1000)).unwrap();
        let second = world.stand_in.refund_in_dashboard(&payment, Some(1000)).unwrap();
        // Told before anything else: the payment is looked up and credited first.
        world.deliver_all().await;
        assert_eq!(
            world.state().await.balance(),
            named("5"),
            "{order:?} {:?}",
            world.names().await
        );
        world.stand_in.fail_refund(&second).unwrap();
        world.deliver_all().await;
        world.deliver_everything_again().await;
        assert_eq!(world.state().await.balance(), named("15"));
        assert_eq!((world.count("refund").await, world.count("refund_reversed").await), (2, 1));
        let found = world.ledger().undisturbed.look_up(&second).await.unwrap();
        assert!(found.is_some(), "a refund leads to its row");
        world.check().await;
    }
}

#[tokio::test]
async fn disputes_freeze_take_and_give_back_once() {
    for end in [DisputeEnd::Won, DisputeEnd::Lost] {
        for order in [Order::AsHappened, Order::Reversed, Order::Shuffled(7)] {
            let world = PaymentWorld::new().await;
            paid(&world).await;
            world.deliver_all().await;
            let payment = world.objects("payment_intent")[0]["id"].as_str().unwrap().to_owned();
            world.stand_in.plan_deliveries(DeliveryPlan {
                copies: 2,
                order,
                ..DeliveryPlan::default()
            });
            let new = NewDispute {
                payment,
                amount: None,
                reason: "fraudulent".to_owned(),
                kind: DisputeKind::Chargeback,
            };
            let dispute = world.stand_in.dispute(&new).unwrap();
            if order == Order::AsHappened {
                world.deliver_all().await;
                let state = world.state().await;
                assert!(
                    !state.frozen.is_empty() && state.balance().is_zero(),
                    "{:?}",
                    world.names().await
                );
            }
            world.stand_in.close_dispute(&dispute, end).unwrap();
            world.deliver_all().await;
            world.deliver_everything_again().await;
            let state = world.state().await;
            let expected = if end == DisputeEnd::Won { ("25", true) } else { ("0", false) };
            assert_eq!(
                (state.balance(), state.frozen.is_empty()),
                (named(expected.0), expected.1),
                "{end:?} {order:?}"
            );
            world.check().await;
        }
    }
}

/// A world with a credited payment of $25. Returns the payment.
async fn credited(world: &PaymentWorld) -> String {
    paid(world).await;
    world.deliver_all().await;
    world.objects("payment_intent")[0]["id"].as_str().unwrap().to_owned()
}

fn chargeback(world: &PaymentWorld, payment: &str, cents: Option<i64>) -> String {
    let new = NewDispute {
        payment: payment.to_owned(),
        amount: cents,
        reason: "fraudulent".to_owned(),
        kind: DisputeKind::Chargeback,
    };
    world.stand_in.dispute(&new).unwrap()
}

/// Delivers everything, and everything once more, and compares the balance and the freeze.
async fn ends_at(world: &PaymentWorld, (balance, is_frozen): (&str, bool), case: &str) {
    for again in [false, true] {
        let told =
            if again { world.deliver_everything_again().await } else { world.deliver_all().await };
        assert!(told.iter().all(|(_, status, _)| *status == 200), "{case}: {told:?}");
        let state = world.state().await;
        assert_eq!(
            (state.balance(), !state.frozen.is_empty()),
            (named(balance), is_frozen),
            "{case}, again {again}: {:?}",
            world.names().await
        );
    }
    world.check().await;
}

/// Exchange rates make a dispute larger than its charge.
#[tokio::test]
async fn dispute_above_its_charge_takes_the_charge_and_returns_it() {
    for format in ["2", "3"] {
        let world = PaymentWorld::with(&[("ROW_FORMAT", format)]).await;
        let payment = credited(&world).await;
        let dispute = chargeback(&world, &payment, Some(2600));
        ends_at(&world, ("0", true), format).await;
        world.stand_in.close_dispute(&dispute, DisputeEnd::Won).unwrap();
        ends_at(&world, ("25", false), format).await;
    }
}

#[tokio::test]
async fn dispute_follows_each_outcome_it_closes_with() {
    for order in [Order::AsHappened, Order::Reversed, Order::Shuffled(3)] {
        let world = PaymentWorld::new().await;
        let payment = credited(&world).await;
        world.stand_in.plan_deliveries(DeliveryPlan {
            copies: 2,
            order,
            ..DeliveryPlan::default()
        });
        let dispute = chargeback(&world, &payment, None);
        for (end, balance, is_frozen) in [
            (DisputeEnd::Lost, "0", true),
            (DisputeEnd::Won, "25", false),
            (DisputeEnd::Lost, "0", true),
            (DisputeEnd::LostInPart(1000), "10", true),
            (DisputeEnd::Won, "25", false),
            (DisputeEnd::LostInPart(500), "5", true),
            (DisputeEnd::Prevented, "5", false),
        ] {
            world.advance(24 * 3600);
            world.stand_in.close_dispute(&dispute, end).unwrap();
            ends_at(&world, (balance, is_frozen), &format!("{order:?} {end:?}")).await;
        }
    }
}

#[tokio::test]
async fn early_fraud_warning_pauses_refills_and_nothing_else() {
    let world = PaymentWorld::new().await;
    let terms = json!({"enabled": true, "threshold": "5", "amount": "25"});
    let session = world.session("25.00", Some(terms)).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let payment = world.objects("payment_intent")[0]["id"].as_str().unwrap().to_owned();
    world.stand_in.warn_of_fraud(&payment).unwrap();
    ends_at(&world, ("25", false), "warned").await;
    assert_eq!(world.state().await.refill.paused, Some(RefillPause::FraudWarning));
    assert_eq!(world.count("fraud_warning").await, 1);
    // Refills are on and paused: a low balance charges nothing.
    assert!(world.state().await.refill.agreement.is_some());
    world.refill().await;
    assert_eq!(world.charged_cents(), 2500);
    // The customer turns them on again.
    world.agree("30", "25").await;
    assert_eq!(world.state().await.refill.paused, None);
}

#[tokio::test]
async fn support_finds_a_dispute_and_a_refund_by_id() {
    let world = PaymentWorld::new().await;
    let payment = credited(&world).await;
    let refund = world.stand_in.refund_in_dashboard(&payment, Some(500)).unwrap();
    let dispute = chargeback(&world, &payment, Some(1000));
    world.deliver_all().await;
    let billing = &world.webhook.billing;
    let clients = admin::AdminClients {
        billing: Billing::new(billing.store.clone(), billing.settings.clone()),
        stripe: world.stripe.clone().into(),
        bus: None,
    };
    for (id, row, status) in
        [(&refund, "refund", "succeeded"), (&dispute, "dispute_opened", "needs_response")]
    {
        let event = world.event("GET /v1/admin/payments/{id}").scope("tollgate/admin").at("id", id);
        let found: tollgate_tests::api::Answered =
            admin::handle(&clients, event.request()).await.into();
        assert_eq!(found.status, 200, "{id}: {}", found.shown());
        assert_eq!(
            (&found.body["account"], &found.body["row"]["type"], &found.body["stripe"]["status"]),
            (&json!(ACME), &json!(row), &json!(status)),
            "{id}"
        );
    }
}

#[tokio::test]
async fn refund_and_dispute_of_a_payment_take_it_once() {
    for order in [Order::AsHappened, Order::Reversed] {
        let world = PaymentWorld::new().await;
        let payment = credited(&world).await;
        world.stand_in.plan_deliveries(DeliveryPlan { order, ..DeliveryPlan::default() });
        let refund = world.stand_in.refund_in_dashboard(&payment, None).unwrap();
        if order == Order::AsHappened {
            ends_at(&world, ("0", false), "refunded").await;
        }
        let dispute = chargeback(&world, &payment, None);
        ends_at(&world, ("0", true), "refunded and disputed").await;
        world.stand_in.close_dispute(&dispute, DisputeEnd::Won).unwrap();
        ends_at(&world, ("0", false), "refunded, and the dispute won").await;
        world.stand_in.fail_refund(&refund).unwrap();
        ends_at(&world, ("25", false), "the refund failed, too").await;
    }
}

/// The first steps are recorded under format 2, by a release of which some functions still run.
#[tokio::test]
async fn dispute_of_older_rows_goes_on_in_newer_ones() {
    let mut world = PaymentWorld::with(&[("ROW_FORMAT", "2")]).await;
    let payment = credited(&world).await;
    let dispute = chargeback(&world, &payment, None);
    ends_at(&world, ("0", true), "format 2").await;
    world.stand_in.close_dispute(&dispute, DisputeEnd::Lost).unwrap();
    ends_at(&world, ("0", true), "format 2").await;
    let newest = RowFormat::READABLE;
    world.webhook.billing.settings.policy.row_format = newest;
    ends_at(&world, ("0", true), "format 3").await;
    let rows = world.names().await.len();
    for (end, balance, is_frozen) in [
        (DisputeEnd::Won, "25", false),
        (DisputeEnd::LostInPart(1000), "10", true),
        (DisputeEnd::Won, "25", false),
    ] {
        world.stand_in.close_dispute(&dispute, end).unwrap();
        ends_at(&world, (balance, is_frozen), &format!("{end:?}")).await;
    }
    assert_eq!(world.names().await.len(), rows + 6);
    // Rolled back, the release goes on with what newer rows recorded.
    world.stand_in.close_dispute(&dispute, DisputeEnd::Lost).unwrap();
    ends_at(&world, ("0", true), "format 3").await;
    world.webhook.billing.settings.policy.row_format = RowFormat::new(2);
    world.stand_in.close_dispute(&dispute, DisputeEnd::Won).unwrap();
    ends_at(&world, ("25", false), "rolled back").await;
}

/// What format 2 took is known to every newer one, whichever row comes first.
#[tokio::test]
async fn money_that_older_rows_took_is_not_taken_again() {
    for format in [3, 4, 5].map(RowFormat::new) {
        let mut world = PaymentWorld::with(&[("ROW_FORMAT", "2")]).await;
        let payment = credited(&world).await;
        let dispute = chargeback(&world, &payment, None);
        ends_at(&world, ("0", true), "format 2").await;
        world.webhook.billing.settings.policy.row_format = format;
        world.stand_in.close_dispute(&dispute, DisputeEnd::Lost).unwrap();
        ends_at(&world, ("0", true), &format!("lost, format {format}")).await;
        world.stand_in.close_dispute(&dispute, DisputeEnd::Won).unwrap();
        ends_at(&world, ("25", false), &format!("won, format {format}")).await;
    }
}

#[tokio::test]
async fn staff_decision_about_a_lost_dispute_outlasts_repeated_events() {
    let world = PaymentWorld::new().await;
    let payment = credited(&world).await;
    let dispute = chargeback(&world, &payment, None);
    world.stand_in.close_dispute(&dispute, DisputeEnd::Lost).unwrap();
    ends_at(&world, ("0", true), "lost").await;
    let account = acme();
    let unfreeze = |_: &AccountState| Ok(Command::Unfreeze { reason: "forgiven".to_owned() });
    let trigger = world.ledger().trigger(&account, world.now());
    let store = &world.ledger().undisturbed;
    store.execute(trigger, Cause::Command, Plan::on_state(&unfreeze)).await.unwrap();
    ends_at(&world, ("0", false), "forgiven").await;
}

#[tokio::test]
async fn dispute_that_dies_anywhere_moves_money_once() {
    let prepare = async |world: &PaymentWorld| {
        let payment = credited(world).await;
        chargeback(world, &payment, None);
        let _undelivered = world.deliveries();
    };
    let process = async |world: &PaymentWorld| {
        world.stand_in.redeliver_all();
        for delivery in world.deliveries() {
            if delivery.event_type == "charge.dispute.created" {
                assert_eq!(world.deliver(&delivery).await.status, 200);
            }
        }
    };
    let look = async |world: &PaymentWorld| {
        // The suspension that follows may be left to the minute run.
        let names = world.names().await;
        assert_eq!(names[..4], ["opened", "topup", "dispute_opened", "dispute"]);
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((10..60).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn an_inquiry_moves_and_freezes_nothing() {
    let world = PaymentWorld::new().await;
    paid(&world).await;
    world.deliver_all().await;
    let payment = world.objects("payment_intent")[0]["id"].as_str().unwrap().to_owned();
    let new = NewDispute {
        payment,
        amount: None,
        reason: "general".to_owned(),
        kind: DisputeKind::Inquiry,
    };
    let inquiry = world.stand_in.dispute(&new).unwrap();
    world.deliver_all().await;
    assert_eq!(world.names().await, ["opened", "topup"]);
    world.stand_in.close_dispute(&inquiry, DisputeEnd::Lost).unwrap();
    world.deliver_all().await;
    let state = world.state().await;
    assert!(
        !state.frozen.is_empty() && state.balance().is_zero(),
        "an inquiry became a dispute: {:?}",
        world.names().await
    );
}

#[tokio::test]
async fn cards_follow_stripe_and_a_detached_card_pauses_refills() {
    let world = PaymentWorld::new().await;
    let terms = json!({"enabled": true, "threshold": "5", "amount": "25"});
    let session = world.session("25.00", Some(terms)).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.stand_in.plan_deliveries(DeliveryPlan {
        copies: 2,
        order: Order::Reversed,
        ..DeliveryPlan::default()
    });
    world.deliver_all().await;
    let (profile, state) = (world.profile().await, world.state().await);
    assert_eq!((profile.cards.len(), profile.cards[0].last4.as_deref()), (1, Some("4242")));
    assert_eq!(
        profile.default_card.as_ref(),
        Some(&profile.cards[0].id),
        "the first card becomes the default"
    );
    assert_eq!(state.refill.card.as_ref(), Some(&profile.cards[0].id));

    world.stand_in.update_card(profile.cards[0].id.as_str(), 7, 2031).unwrap();
    world.deliver_all().await;
    assert_eq!(world.profile().await.cards[0].exp_year, Some(2031));

    world.stand_in.detach_in_portal(profile.cards[0].id.as_str()).unwrap();
    world.deliver_all().await;
    world.deliver_everything_again().await;
    let (after, state) = (world.profile().await, world.state().await);
    assert_eq!(
        (after.cards.len(), after.default_card),
        (0, None),
        "old news do not bring a card back"
    );
    assert_eq!(state.refill.paused, Some(RefillPause::CardGone));

    let session = world.session("25.00", None).await;
    world.pay(&session, "card=5555555555554444").await;
    world.deliver_all().await;
    let state = world.state().await;
    assert_eq!(
        (state.refill.paused, state.refill.card),
        (None, world.profile().await.default_card),
        "a new card ends the pause"
    );
    world.check().await;
}

#[tokio::test]
async fn old_agreement_does_not_replace_a_newer_one() {
    let world = PaymentWorld::new().await;
    let terms = json!({"enabled": true, "threshold": "5", "amount": "25"});
    let session = world.session("25.00", Some(terms)).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    assert!(world.state().await.refill.agreement.is_some());
    let off = world.session("5.00", Some(json!({"enabled": false}))).await;
    world.pay(&off, &format!("card={VISA}")).await;
    world.deliver_all().await;
    assert!(world.state().await.refill.agreement.is_none());
    for hours in [1, 10, 14, 40] {
        world.advance(hours * 3600);
        world.deliver_everything_again().await;
        assert!(world.state().await.refill.agreement.is_none(), "after {hours} hours");
    }
    assert_eq!(world.count("refill_changed").await, 2);
}
