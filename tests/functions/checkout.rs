//! The payment page: created once per key, visible only to its own account, and its outcome.

use serde_json::{Value, json};
use stripe_stand_in::StripeFaultKind;
use tollgate::domain::account::{AccountState, CardChoice};
use tollgate::domain::command::{Command, RefillSettings};
use tollgate::domain::event::Cause;
use tollgate::store::Plan;
use tollgate_tests::api::ApiEvent;
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, acme, die_everywhere};

const CREATE: &str = "POST /v1/checkout-sessions";

#[tokio::test]
async fn a_page_is_made_paid_and_credited() {
    let world = PaymentWorld::new().await;
    let created = world.create(&json!({"amount": "25.00"})).await;
    assert_eq!(created.status, 201);
    let session = created.body["id"].as_str().unwrap().to_owned();
    assert!(created.body["url"].as_str().unwrap().starts_with("http://127.0.0.1"));
    assert_eq!(created.body["expires_at"], "2026-11-22T10:31:00Z");
    assert_eq!(world.status(&session).await.body, json!({"id": session, "status": "open"}));
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let status = world.status(&session).await.body;
    assert_eq!(
        (status["status"].as_str(), status["row"]["type"].as_str()),
        (Some("paid"), Some("topup"))
    );
    assert_eq!(status["row"]["balance_after"], "25.00");
    world.check().await;
}

/// Every webhook is lost.
#[tokio::test]
async fn paid_session_is_credited_by_its_status_without_a_webhook() {
    let world = PaymentWorld::new().await;
    let session = world.session("25.00", Some(json!({"enabled": true}))).await;
    world.pay(&session, &format!("card={VISA}")).await;
    for _ in 0..2 {
        let status = world.status(&session).await.body;
        assert_eq!(
            (status["status"].as_str(), status["row"]["type"].as_str()),
            (Some("paid"), Some("topup")),
            "{status}"
        );
        assert_eq!(status["row"]["balance_after"], "25.00");
    }
    assert_eq!(world.names().await, ["opened", "topup", "refill_changed"]);
    assert_eq!(world.state().await.balance(), named("25"));
    // The webhook comes after all.
    world.deliver_all().await;
    world.deliver_everything_again().await;
    assert_eq!(world.names().await, ["opened", "topup", "refill_changed"]);
    world.check().await;
}

#[tokio::test]
async fn status_that_dies_anywhere_credits_once_and_agrees_once() {
    let prepare = async |world: &PaymentWorld| {
        let terms = json!({"enabled": true, "threshold": "5", "amount": "25"});
        let session = world.session("25.00", Some(terms)).await;
        world.pay(&session, &format!("card={VISA}")).await;
    };
    let process = async |world: &PaymentWorld| {
        let session = world.objects("checkout.session")[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(world.status(&session).await.body["status"], "paid");
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!(world.names().await, ["opened", "topup", "refill_changed"]);
        assert_eq!(world.state().await.balance(), named("25"));
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((10..60).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn the_platform_opens_no_account_by_a_mistyped_name() {
    let world = PaymentWorld::new().await;
    let request = world.event(CREATE).scope("tollgate/platform");
    let request = request.header("Tollgate-Account", "nobody").json(&json!({"amount": "25.00"}));
    let answered = world.call(&request).await;
    assert_eq!((answered.status, answered.code()), (404, "not_found"));
    assert!(world.ledger().undisturbed.head(&named("nobody")).await.unwrap().is_none());
}

#[tokio::test]
async fn requests_to_stripe_are_exactly_as_designed() {
    let world = PaymentWorld::new().await;
    world.session("25.00", Some(json!({"enabled": true, "threshold": "5", "amount": "20"}))).await;
    let calls = world.stand_in.calls();
    let created = calls.iter().find(|call| call.path == "/v1/checkout/sessions").unwrap();
    let param = |name: &str| created.params.get(name).map(String::as_str);
    for (name, expected) in [
        ("mode", "payment"),
        ("payment_method_types[0]", "card"),
        ("wallet_options[link][display]", "never"),
        ("adaptive_pricing[enabled]", "false"),
        ("allow_promotion_codes", "false"),
        ("payment_intent_data[setup_future_usage]", "off_session"),
        ("payment_intent_data[receipt_email]", "acme@example.test"),
        ("saved_payment_method_options[allow_redisplay_filters][0]", "always"),
        ("invoice_creation[enabled]", "true"),
        ("line_items[0][price_data][unit_amount]", "2500"),
        ("metadata[tollgate_account]", ACME),
        ("payment_intent_data[metadata][tollgate_credit_cents]", "2500"),
        ("invoice_creation[invoice_data][metadata][tollgate_kind]", "topup"),
        ("success_url", "https://billing.example/?session={CHECKOUT_SESSION_ID}"),
    ] {
        assert_eq!(param(name), Some(expected), "{name} in {:?}", created.params);
    }
    assert!(
        param("custom_text[submit][message]")
            .unwrap()
            .contains("below $5.00, your saved card is charged $20.00")
    );
    assert!(created.idempotency_key.as_deref().unwrap().starts_with("checkout/acme/"));
    let customer = calls.iter().find(|call| call.path == "/v1/customers").unwrap();
    assert_eq!(customer.idempotency_key.as_deref(), Some("customer/acme"));
    assert_eq!(world.stand_in.calls_outside(), []);
}

#[tokio::test]
async fn unchargeable_amount_is_refused_before_asking_stripe() {
    let world = PaymentWorld::new().await;
    let cases: [(Value, u16, &str); 14] = [
        (json!({"amount": "0.99"}), 422, "amount_too_small"),
        (json!({"amount": "1000.01"}), 422, "amount_too_large"),
        (json!({"amount": "25.001"}), 422, "invalid_amount"),
        (json!({"amount": "0"}), 422, "invalid_amount"),
        (json!({"amount": "-5"}), 422, "invalid_amount"),
        (json!({"amount": "1e3"}), 422, "invalid_amount"),
        (json!({"amount": 25}), 400, "invalid_body"),
        (json!({}), 400, "invalid_body"),
        (json!([]), 400, "invalid_body"),
        (
            json!({"amount": "25", "auto_refill": {"enabled": true, "threshold": "10001"}}),
            422,
            "amount_too_large",
        ),
        (
            json!({"amount": "25", "auto_refill": {"enabled": true, "amount": "0.5"}}),
            422,
            "amount_too_small",
        ),
        (
            json!({"amount": "25", "auto_refill": {"enabled": true, "amount": "x"}}),
            422,
            "invalid_amount",
        ),
        (json!({"amount": "25", "auto_refill": {"threshold": "5"}}), 400, "invalid_body"),
        (json!({"amount": "25", "auto_refill": true}), 400, "invalid_body"),
    ];
    for (body, status, code) in cases {
        let refused = world.create(&body).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{body}");
    }
    let over = world.create(&json!({"amount": "5000"})).await;
    assert_eq!(
        (over.body["max"].as_str(), over.body["action"]["contact"].as_str()),
        (Some("1000.00"), Some("sales@billing.example"))
    );
    let without =
        world.call(&world.event(CREATE).without_token().json(&json!({"amount": "25"}))).await;
    assert_eq!(without.status, 401);
    assert_eq!(world.call(&world.event(CREATE).body("{")).await.code(), "invalid_body");
    for (body, parameter, why) in [
        (json!({"amount": 25}), "amount", "must be a string."),
        (json!({}), "amount", "is required."),
        (
            json!({"amount": "25", "auto_refill": {"enabled": 1}}),
            "auto_refill.enabled",
            "must be true or false.",
        ),
        (
            json!({"amount": "25", "autorefill": null}),
            "autorefill",
            "is not a field of this request. Use amount or auto_refill.",
        ),
    ] {
        let refused = world.create(&body).await.body;
        assert_eq!(refused["parameter"], parameter, "{refused}");
        assert_eq!(refused["detail"], format!("{parameter}: {why}"), "{body}");
    }
    let huge = "x".repeat(256 * 1024 + 1);
    assert_eq!(world.call(&world.event(CREATE).body(&huge)).await.code(), "body_too_large");
    assert_eq!(world.stand_in.calls(), []);
}

#[tokio::test]
async fn an_account_needs_an_address_and_takes_the_tokens() {
    let world = PaymentWorld::new().await;
    let request = world.event(CREATE).without_claim("email").json(&json!({"amount": "25"}));
    let refused = world.call(&request).await;
    assert_eq!((refused.status, refused.code()), (409, "email_required"));
    world.session("25", None).await;
    assert_eq!(world.call(&request).await.status, 201, "the account has an address now");
    assert_eq!(world.objects("customer")[0]["email"], "acme@example.test");
}

#[tokio::test]
async fn same_key_gets_the_same_page_and_refuses_another_request() {
    let world = PaymentWorld::new().await;
    let request = |amount: &str| world.event(CREATE).key("k1").json(&json!({"amount": amount}));
    let first = world.call(&request("25")).await;
    world.advance(600);
    assert_eq!(world.call(&request("25")).await, first);
    let reused = world.call(&request("26")).await;
    assert_eq!((reused.status, reused.code()), (422, "idempotency_key_reused"));
    let other = ApiEvent::by("other", CREATE, "10:20:00").key("k1").json(&json!({"amount": "26"}));
    assert_eq!(world.call(&other).await.status, 201, "another account's keys are its own");
    assert_eq!(world.objects("checkout.session").len(), 2);
    assert_ne!(
        world.session("25", None).await,
        world.session("25", None).await,
        "without a key each is another"
    );
    assert_eq!(world.objects("customer").len(), 2, "one customer for each account");
}

#[tokio::test]
async fn new_page_expires_the_old_one_and_canceled_is_unpayable() {
    let world = PaymentWorld::new().await;
    let (first, second) = (world.session("25", None).await, world.session("5", None).await);
    assert_eq!(world.status(&first).await.body["status"], "expired");
    assert_eq!(world.status(&second).await.body["status"], "open");
    let cancel = world.event("POST /v1/checkout-sessions/{id}/cancel").at("id", &second);
    for _ in 0..2 {
        assert_eq!(world.call(&cancel).await.body, json!({"id": second, "status": "expired"}));
    }
    world.pay(&second, &format!("card={VISA}")).await;
    world.deliver_all().await;
    assert_eq!(world.charged_cents(), 0);
    let paid = world.session("5", None).await;
    world.pay(&paid, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let cancel = world.event("POST /v1/checkout-sessions/{id}/cancel").at("id", &paid);
    assert_eq!(world.call(&cancel).await.body["status"], "paid", "what is paid is not canceled");
    let third = world.session("5", None).await;
    world.advance(31 * 60);
    assert_eq!(world.status(&third).await.body["status"], "expired");
}

#[tokio::test]
async fn other_accounts_sessions_do_not_exist() {
    let world = PaymentWorld::new().await;
    let session = world.session("25", None).await;
    for id in [session.as_str(), "cs_test_unknown", "pi_1", "cs_/../x", "cs_a#b"] {
        for route in ["GET /v1/checkout-sessions/{id}", "POST /v1/checkout-sessions/{id}/cancel"] {
            let event = ApiEvent::by("mallory", route, "10:20:00").at("id", id);
            let refused = world.call(&event).await;
            assert_eq!((refused.status, refused.code()), (404, "not_found"), "{route} {id}");
        }
    }
    assert_eq!(world.status(&session).await.body["status"], "open");
}

#[tokio::test]
async fn a_process_that_dies_anywhere_makes_one_page_under_one_key() {
    let prepare = async |world: &PaymentWorld| {
        world.session("5", None).await;
    };
    let process = async |world: &PaymentWorld| {
        let event = ApiEvent::by(ACME, CREATE, "10:20:00").key("k1").json(&json!({"amount": "25"}));
        assert_eq!(world.call(&event).await.status, 201);
    };
    let look = async |world: &PaymentWorld| {
        let sessions = world.objects("checkout.session");
        let open = sessions.iter().filter(|session| session["status"] == "open").count();
        assert_eq!((sessions.len(), open, world.objects("customer").len()), (2, 1, 1));
        assert_eq!(world.names().await, ["opened"]);
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((8..40).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn failure_of_stripe_says_whether_to_retry() {
    let world = PaymentWorld::new().await;
    let endpoint = "POST /v1/checkout/sessions";
    let request = |key: &str| world.event(CREATE).key(key).json(&json!({"amount": "25"}));
    for (kind, code) in [
        (StripeFaultKind::ConnectionDropped, "unavailable"),
        (StripeFaultKind::RateLimited, "throttled"),
        (StripeFaultKind::ServerError, "internal"),
    ] {
        let key = format!("k-{kind:?}");
        world.stand_in.fail_next(endpoint, 4, kind);
        assert_eq!(world.call(&request(&key)).await.code(), code, "{kind:?}");
        world.stand_in.clear_faults();
        let again = world.call(&request(&key)).await;
        // Stripe repeats a stored 500 under its key forever.
        let expected = if kind == StripeFaultKind::ServerError { 500 } else { 201 };
        assert_eq!(again.status, expected, "{kind:?}");
    }
    world.stand_in.fail_next(endpoint, 1, StripeFaultKind::AnswerLost);
    assert_eq!(
        world.call(&request("k-lost")).await.status,
        201,
        "the same key gets the lost answer"
    );
    assert_eq!(world.objects("checkout.session").len(), 3);
}

#[tokio::test]
async fn failure_replayed_by_stripe_does_not_block_a_new_customer() {
    let world = PaymentWorld::new().await;
    world.stand_in.fail_next("POST /v1/customers", 1, StripeFaultKind::ServerError);
    let created = world.call(&world.event(CREATE).json(&json!({"amount": "25"}))).await;
    assert_eq!(created.status, 201, "{}", created.shown());
    assert_eq!(world.objects("customer").len(), 1);
}

#[tokio::test]
async fn refills_are_agreed_to_when_the_payment_arrives() {
    let world = PaymentWorld::new().await;
    let session = world.session("25", Some(json!({"enabled": true}))).await;
    assert!(world.state().await.refill.agreement.is_none(), "nothing was paid yet");
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let refill = world.state().await.refill;
    let agreed = refill.agreement.unwrap();
    assert_eq!(
        (agreed.threshold, agreed.amount),
        (named("5"), named("25")),
        "a fifth of the first top-up, and $25"
    );
    assert!(refill.card.is_some());

    let world = PaymentWorld::with(&[("REFILL_DEFAULT", "on")]).await;
    let session = world.session("100", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    assert_eq!(
        world.state().await.refill.agreement.unwrap().threshold,
        named("10"),
        "ten dollars at the most"
    );

    let world = PaymentWorld::new().await;
    let session = world.session("100", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    assert_eq!(
        world.state().await.refill.agreement,
        None,
        "nothing was said, and nothing is agreed"
    );
}

#[tokio::test]
async fn tax_comes_on_top_of_the_credit() {
    let world =
        PaymentWorld::with(&[("STRIPE_TAX", "automatic"), ("STRIPE_TAX_CODE", "txcd_10000000")])
            .await;
    let session = world.create(&json!({"amount": "25"})).await;
    assert_eq!(session.status, 201, "{session:?}");
    let calls = world.stand_in.calls();
    let created = calls.iter().find(|call| call.path == "/v1/checkout/sessions").unwrap();
    for (name, expected) in [
        ("automatic_tax[enabled]", "true"),
        ("line_items[0][price_data][tax_behavior]", "exclusive"),
        ("line_items[0][price_data][product_data][tax_code]", "txcd_10000000"),
        ("billing_address_collection", "required"),
        ("customer_update[address]", "auto"),
        ("tax_id_collection[enabled]", "true"),
    ] {
        assert_eq!(created.params.get(name).map(String::as_str), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn late_webhook_does_not_undo_newer_refill_settings() {
    let world = PaymentWorld::new().await;
    let session = world.session("25.00", Some(json!({"enabled": true}))).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.advance(300);
    // Meanwhile, on the Billing page.
    world.agree("5", "20").await;
    let off = |_: &AccountState| {
        Ok(Command::ChangeRefill(RefillSettings {
            terms: None,
            card: None,
            card_choice: CardChoice::Named,
            monthly_cap: None,
            ..RefillSettings::default()
        }))
    };
    let account = acme();
    let trigger = world.ledger().trigger(&account, world.now());
    world.ledger().store.execute(trigger, Cause::Command, Plan::on_state(&off)).await.unwrap();
    world.advance(3_000);
    world.deliver_all().await;
    assert_eq!(
        (world.state().await.balance(), world.state().await.refill.agreement),
        (named("25"), None)
    );
}

#[tokio::test]
async fn this_card_is_the_one_that_paid() {
    let world = PaymentWorld::new().await;
    let first = world.session("25.00", None).await;
    world.pay(&first, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let other = "5555555555554444";
    let session = world.session("25.00", Some(json!({"enabled": true}))).await;
    world.pay(&session, &format!("card={other}")).await;
    world.deliver_all().await;
    let charged = world.state().await.refill.card.unwrap();
    let profile = world.profile().await;
    let card = profile.cards.iter().find(|card| card.id == charged).unwrap();
    assert_eq!(card.last4.as_deref(), Some("4444"), "not the default, which is the first one");
    assert_ne!(profile.default_card, Some(charged));
}

/// Else the customer reads the terms and pays, and they are dropped.
#[tokio::test]
async fn terms_that_could_never_charge_are_refused_before_the_page() {
    let world = PaymentWorld::new().await;
    let store = &world.ledger().undisturbed;
    let created = world.create(&json!({"amount": "25.00"})).await;
    assert_eq!(created.status, 201, "{}", created.shown());
    let account = acme();
    let cap = |_: &AccountState| {
        let monthly_cap = Some(named("20"));
        Ok(Command::ChangeRefill(RefillSettings { monthly_cap, ..RefillSettings::default() }))
    };
    let trigger = world.ledger().trigger(&account, world.now());
    store.execute(trigger, Cause::Command, Plan::on_state(&cap)).await.unwrap();
    let pages = world.objects("checkout.session").len();
    for (threshold, amount, code) in [
        ("5", Some("20.01"), "cap_below_amount"),
        // The default amount.
        ("5", None, "cap_below_amount"),
        ("0", Some("20"), "invalid_amount"),
        ("0.00", Some("20"), "invalid_amount"),
        ("-1", Some("20"), "amount_too_small"),
    ] {
        let mut terms = json!({"enabled": true, "threshold": threshold});
        if let Some(amount) = amount {
            terms["amount"] = json!(amount);
        }
        let answered = world.create(&json!({"amount": "25.00", "auto_refill": terms})).await;
        assert_eq!((answered.status, answered.code()), (422, code), "{}", answered.shown());
        assert_eq!(world.objects("checkout.session").len(), pages, "no page was made");
    }
    world.advance(60);
    let terms = json!({"enabled": true, "threshold": "0.01", "amount": "20"});
    let session = world.session("25.00", Some(terms)).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let agreed = world.state().await.refill.agreement.unwrap();
    assert_eq!((agreed.threshold, agreed.amount), (named("0.01"), named("20")));
}

#[tokio::test]
async fn platform_cannot_agree_to_refills_at_checkout() {
    let world = PaymentWorld::with(&[("REFILL_DEFAULT", "on")]).await;
    let own = world.create(&json!({"amount": "25.00", "auto_refill": {"enabled": false}})).await;
    assert_eq!(own.status, 201);
    let by_platform = |body: Value| {
        let event = ApiEvent::by("platform", CREATE, "10:00:00").scope("tollgate/platform");
        event.header("Tollgate-Account", ACME).json(&body)
    };
    let terms = json!({"enabled": true, "threshold": "5", "amount": "25"});
    let agreeing = by_platform(json!({"amount": "25.00", "auto_refill": terms}));
    let answered = world.call(&agreeing).await;
    assert_eq!((answered.status, answered.code()), (403, "forbidden"));
    let silent = world.call(&by_platform(json!({"amount": "25.00"}))).await;
    assert_eq!(silent.status, 201, "{}", silent.shown());
    let session = silent.body["id"].as_str().unwrap().to_owned();
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    assert_eq!(world.names().await, ["opened", "topup"]);
}

#[tokio::test]
async fn cancel_is_answered_once_for_each_key() {
    let world = PaymentWorld::new().await;
    let (first, second) = (world.session("10.00", None).await, world.session("20.00", None).await);
    let cancel = |session: &str| {
        world.event("POST /v1/checkout-sessions/{id}/cancel").at("id", session).key("k-1")
    };
    let canceled = world.call(&cancel(&second)).await;
    assert_eq!(canceled.body["status"], "expired");
    let calls = world.stand_in.calls().len();
    assert_eq!(world.call(&cancel(&second)).await, canceled);
    assert_eq!(world.stand_in.calls().len(), calls, "Stripe is not asked again");
    let other = world.call(&cancel(&first)).await;
    assert_eq!((other.status, other.code()), (422, "idempotency_key_reused"));
}

#[tokio::test]
async fn pages_made_at_once_leave_one_open() {
    let world = PaymentWorld::new().await;
    world.session("5.00", None).await;
    let wish = |amount: &str| json!({ "amount": amount });
    let (ten, twenty, thirty) = (wish("10.00"), wish("20.00"), wish("30.00"));
    let made = tokio::join!(world.create(&ten), world.create(&twenty), world.create(&thirty));
    for created in [&made.0, &made.1, &made.2] {
        assert_eq!(created.status, 201, "{}", created.shown());
    }
    let sessions = world.objects("checkout.session");
    let open: Vec<&str> = sessions
        .iter()
        .filter(|session| session["status"] == "open")
        .map(|session| session["id"].as_str().unwrap())
        .collect();
    assert_eq!((sessions.len(), open.len()), (4, 1), "{open:?}");
    assert_eq!(world.profile().await.open_session.as_deref(), Some(open[0]));
}
