//! What customers do with their cards: add, list, choose the default, remove. Refills follow their
//! cards.

use crate::account_stripe_support::{
    ADD, DEFAULT, DELETE, MASTERCARD, add, ask, call, cards, id, on_card, refused,
};
use serde_json::{Value, json};
use stripe_stand_in::StripeFaultKind;
use tollgate_tests::api::{Answered, ApiEvent};
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{ACME, PaymentWorld, VISA};

#[tokio::test]
async fn a_card_is_added_without_paying_and_there_before_the_webhook() {
    let world = PaymentWorld::new().await;
    assert_eq!(cards(&world).await, Vec::<Value>::new());
    assert_eq!(world.stand_in.calls(), [], "without a customer there is nothing to ask");
    let created = ask(&world, ADD).await;
    assert_eq!(created.status, 201);
    let session = created.body["id"].as_str().unwrap();
    assert_eq!(
        created.body,
        json!({"id": session, "url": format!("{}", created.body["url"].as_str().unwrap())})
    );
    let calls = world.stand_in.calls();
    let asked = calls.iter().find(|call| call.path == "/v1/checkout/sessions").unwrap();
    for (name, expected) in [
        ("mode", "setup"),
        ("payment_method_types[0]", "card"),
        ("wallet_options[link][display]", "never"),
        ("metadata[tollgate_account]", ACME),
        ("setup_intent_data[metadata][tollgate_account]", ACME),
        ("success_url", "https://billing.example/?card=added"),
        ("cancel_url", "https://billing.example/?card=canceled"),
    ] {
        assert_eq!(
            asked.params.get(name).map(String::as_str),
            Some(expected),
            "{name} in {:?}",
            asked.params
        );
    }
    assert!(asked.idempotency_key.as_deref().unwrap().starts_with("setup/acme/"));
    world.pay(session, &format!("card={VISA}")).await;
    let shown = cards(&world).await;
    let expected = json!({"id": id(&shown[0]), "brand": "visa", "last4": "4242", "exp_month": shown[0]["exp_month"],
        "exp_year": shown[0]["exp_year"], "wallet": null, "default": true, "refill": false});
    assert_eq!(shown, [expected]);
    let told = world.deliver_all().await;
    let kinds: Vec<&str> = told.iter().map(|(kind, _, _)| kind.as_str()).collect();
    assert!(
        kinds.contains(&"setup_intent.succeeded") && kinds.contains(&"checkout.session.completed"),
        "{kinds:?}"
    );
    assert!(told.iter().all(|(_, status, _)| *status == 200), "{told:?}");
    let again = world.deliver_everything_again().await;
    assert!(again.iter().all(|(_, status, _)| *status == 200), "{again:?}");
    assert_eq!(cards(&world).await, shown);
    assert_eq!(world.names().await, ["opened"], "no money moved");
    world.check().await;
}

#[tokio::test]
async fn refills_without_a_named_card_charge_the_default_card() {
    let world = PaymentWorld::new().await;
    let session = world.session("25.00", Some(json!({"enabled": false}))).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let visa = id(&cards(&world).await[0]).to_owned();
    let terms = json!({"enabled": true, "threshold": "30", "amount": "25"});
    let set = call(&world, &world.event("PUT /v1/auto-refill").json(&terms)).await;
    let shown = |answered: &Answered| {
        let body = &answered.body;
        [&body["payment_method"], &body["charged_card"], &body["state"]].map(Clone::clone)
    };
    assert_eq!(shown(&set), [Value::Null, json!(visa), json!("wanted")], "{}", set.shown());
    assert_eq!(world.refill().await.charged, 1);
    assert_eq!(world.charged_cents(), 5_000);

    let mastercard = add(&world, MASTERCARD).await;
    on_card(&world, DEFAULT, &mastercard).await;
    let moved = ask(&world, "GET /v1/auto-refill").await;
    assert_eq!(shown(&moved)[..2], [Value::Null, json!(mastercard)], "{}", moved.shown());

    let named = json!({"payment_method": visa});
    let set = call(&world, &world.event("PUT /v1/auto-refill").json(&named)).await;
    assert_eq!(shown(&set)[..2], [json!(visa), json!(visa)]);
    let default = json!({"payment_method": null});
    let set = call(&world, &world.event("PUT /v1/auto-refill").json(&default)).await;
    assert_eq!(shown(&set)[..2], [Value::Null, json!(mastercard)]);
    world.check().await;
}

#[tokio::test]
async fn expired_card_pauses_refills_until_its_bank_renews_it() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    world.refill().await;
    let card = world.profile().await.cards[0].id.to_string();
    let renew = async |month: i64, year: i64| {
        world.stand_in.update_card(&card, month, year).unwrap();
        world.deliver_all().await;
        world.deliver_everything_again().await;
    };
    let shown = async || {
        let body = ask(&world, "GET /v1/auto-refill").await.body;
        ["state", "why", "card_ends_at"].map(|name| body[name].clone())
    };
    renew(12, 2026).await;
    let ends_at = json!("2027-01-01T00:00:00Z");
    assert_eq!(shown().await[2], ends_at);
    let warned = "2026-12-01T00:00:00Z";
    world.ledger().settle(ACME, warned).await;
    world.set_now(warned);
    assert_eq!(shown().await[1..], [Value::Null, ends_at]);
    assert_eq!(world.count("card_expiring").await, 1);
    world.set_now("2027-01-01T00:00:00Z");
    assert_eq!(shown().await, [json!("paused"), json!("card_expired"), Value::Null]);
    cards(&world).await;
    world.deliver_everything_again().await;
    assert_eq!((world.count("card_expiring").await, world.count("card_expired").await), (1, 1));
    renew(6, 2031).await;
    assert_eq!(shown().await[1..], [Value::Null, json!("2031-07-01T00:00:00Z")]);
    world.check().await;
}

#[tokio::test]
async fn refill_now_charges_a_new_card_at_once() {
    const NOW: &str = "POST /v1/auto-refill/now";
    let world = PaymentWorld::new().await;
    let terms = json!({"enabled": true, "threshold": "30", "amount": "25"});
    call(&world, &world.event("PUT /v1/auto-refill").json(&terms)).await;
    let refusal = call(&world, &world.event(NOW)).await;
    assert_eq!((refusal.status, refusal.code()), (409, "conflict"), "there is no card");
    add(&world, VISA).await;
    cards(&world).await;
    let waiting = ask(&world, "GET /v1/auto-refill").await.body;
    assert_eq!((&waiting["state"], &waiting["why"]), (&json!("wanted"), &json!("card_changed")));
    assert_eq!(world.refill().await.charged, 0);
    let event = world.event(NOW).header("idempotency-key", "once");
    let answered = call(&world, &event).await;
    assert_eq!((answered.status, &answered.body["why"]), (200, &Value::Null));
    assert_eq!(call(&world, &event.minutes_later(5)).await, answered, "a repeat");
    assert_eq!((world.refill().await.charged, world.charged_cents()), (1, 2_500));
    world.check().await;
}

#[tokio::test]
async fn a_card_is_found_by_the_webhook_alone_too() {
    let world = PaymentWorld::new().await;
    let card = add(&world, VISA).await;
    world.deliver_all().await;
    let profile = world.profile().await;
    assert_eq!(profile.default_card, Some(named(&card)));
    assert_eq!(profile.cards.len(), 1);
}

#[tokio::test]
async fn same_key_gets_the_same_page_and_refuses_another_request() {
    let world = PaymentWorld::new().await;
    let request = world.event(ADD).key("k1").json(&json!({}));
    let first = call(&world, &request).await;
    world.advance(600);
    assert_eq!(call(&world, &request).await, first);
    let reused = call(&world, &world.event(ADD).key("k1")).await;
    assert_eq!(
        (reused.status, reused.code()),
        (422, "idempotency_key_reused"),
        "another body is another request"
    );
    assert_ne!(
        ask(&world, ADD).await.body["id"],
        first.body["id"],
        "without a key each is another"
    );
    assert_eq!(world.objects("customer").len(), 1);
}

#[tokio::test]
async fn first_card_is_default_until_changed_and_refills_follow() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let first = world.profile().await.default_card.unwrap().to_string();
    let second = add(&world, MASTERCARD).await;
    let shown = cards(&world).await;
    assert_eq!(
        (id(&shown[0]), id(&shown[1])),
        (first.as_str(), second.as_str()),
        "the default comes first"
    );
    let marks =
        |card: &Value| (card["default"].as_bool().unwrap(), card["refill"].as_bool().unwrap());
    assert_eq!((marks(&shown[0]), marks(&shown[1])), ((true, true), (false, false)));

    let answered = on_card(&world, DEFAULT, &second).await;
    assert_eq!(
        (answered.status, id(&answered.body), marks(&answered.body)),
        (200, second.as_str(), (true, true))
    );
    assert_eq!(
        world.objects("customer")[0]["invoice_settings"]["default_payment_method"],
        second.as_str()
    );
    assert_eq!(on_card(&world, DEFAULT, &second).await.body, answered.body);
    let rows = world.rows().await.len();
    world.deliver_all().await;
    assert_eq!(world.rows().await.len(), rows, "the webhook finds nothing new");
    assert_eq!(marks(&cards(&world).await[1]), (false, false));
    world.check().await;
}

#[tokio::test]
async fn cards_of_others_do_not_exist() {
    let world = PaymentWorld::new().await;
    let card = add(&world, VISA).await;
    let theirs = ApiEvent::by("mallory", ADD, "10:00:00");
    let page = call(&world, &theirs).await;
    assert_eq!(page.status, 201);
    world.pay(page.body["id"].as_str().unwrap(), &format!("card={MASTERCARD}")).await;
    cards(&world).await;
    for id in [
        card.as_str(),
        "pm_unknown",
        "pm_",
        "cs_test_1",
        "../customers",
        "pm_1/detach",
        "pm_a#b",
        "x",
    ] {
        for route in [DEFAULT, DELETE] {
            let event = ApiEvent::by("mallory", route, "10:00:00").at("id", id);
            refused(&world, event, 404, "not_found").await;
        }
    }
    assert_eq!(cards(&world).await.len(), 1);
    // Nor when they belong to no customer.
    assert_eq!(on_card(&world, DELETE, &card).await.status, 204);
    refused(&world, ApiEvent::by("mallory", DELETE, "10:00:00").at("id", &card), 404, "not_found")
        .await;
    let stranger = call(&world, &ApiEvent::by("nobody", DELETE, "10:00:00").at("id", &card)).await;
    assert_eq!((stranger.status, stranger.code()), (404, "not_found"));
}

#[tokio::test]
async fn the_last_card_that_is_removed_pauses_refills() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    world.refill().await;
    let card = world.profile().await.default_card.unwrap().to_string();
    let removed = on_card(&world, DELETE, &card).await;
    assert_eq!((removed.status, &removed.body), (204, &Value::Null));
    assert_eq!(cards(&world).await, Vec::<Value>::new());
    let refill = ask(&world, "GET /v1/auto-refill").await.body;
    assert_eq!((&refill["state"], &refill["why"]), (&json!("paused"), &json!("card_removed")));
    assert_eq!(world.count("card_removed").await, 1);
    assert_eq!(on_card(&world, DELETE, &card).await.status, 204, "already detached is success");
    world.deliver_all().await;
    assert_eq!(world.count("card_removed").await, 1);
    world.check().await;
}

#[tokio::test]
async fn a_card_that_was_saved_twice_is_shown_once_and_removed_as_one() {
    let world = PaymentWorld::new().await;
    let (first, second) = (add(&world, VISA).await, add(&world, VISA).await);
    let other = add(&world, MASTERCARD).await;
    let shown = cards(&world).await;
    assert_eq!(
        shown.iter().map(id).collect::<Vec<_>>(),
        [first.as_str(), other.as_str()],
        "{shown:?}"
    );
    assert_ne!(first, second);
    assert_eq!(on_card(&world, DELETE, &first).await.status, 204);
    let left = cards(&world).await;
    assert_eq!(left.iter().map(id).collect::<Vec<_>>(), [other.as_str()]);
    assert_eq!(left[0]["default"], true, "what is left becomes the default");
}

#[tokio::test]
async fn no_card_is_removed_while_an_attempt_is_open() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let card = world.profile().await.default_card.unwrap().to_string();
    world.stand_in.fail_next("POST /v1/invoices", 9, StripeFaultKind::ConnectionDropped);
    world.refill().await;
    assert!(world.state().await.refill.attempt.is_some());
    refused(&world, world.event(DELETE).at("id", &card), 409, "conflict").await;
    assert_eq!(cards(&world).await.len(), 1);
    world.stand_in.clear_faults();
    world.advance(180);
    world.refill().await;
    assert_eq!(on_card(&world, DELETE, &card).await.status, 204);
    world.check().await;
}

#[tokio::test]
async fn changes_made_in_the_portal_win() {
    let world = PaymentWorld::new().await;
    let (first, second) = (add(&world, VISA).await, add(&world, MASTERCARD).await);
    cards(&world).await;
    let customer = world.profile().await.customer.unwrap().to_string();
    world.stand_in.set_default_in_portal(&customer, &second).unwrap();
    let shown = cards(&world).await;
    assert_eq!((id(&shown[0]), &shown[0]["default"]), (second.as_str(), &json!(true)));
    world.stand_in.detach_in_portal(&first).unwrap();
    assert_eq!(on_card(&world, DELETE, &first).await.status, 204, "it was ours, and is gone");
    refused(&world, world.event(DEFAULT).at("id", &first), 404, "not_found").await;
    assert_eq!(cards(&world).await.len(), 1);
}

/// Refills are off, so the payment that waits for its customer is called off first.
#[tokio::test]
async fn card_of_a_confirmation_that_is_no_longer_needed_is_removed() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let card = world.profile().await.cards[0].id.to_string();
    let rule = stripe_stand_in::CardRule {
        decline_code: "authentication_required".to_owned(),
        network_advice_code: None,
    };
    world.stand_in.decline_card(&card, Some(rule));
    assert_eq!(world.refill().await.needs_customer, 1);
    let answered = on_card(&world, DELETE, &card).await;
    assert_eq!((answered.status, answered.code()), (409, "conflict"));
    let off = world.event("PUT /v1/auto-refill").json(&json!({"enabled": false}));
    assert_eq!(call(&world, &off).await.status, 200);
    assert_eq!(on_card(&world, DELETE, &card).await.status, 204);
    let invoices = world.objects("invoice");
    let refill = invoices.iter().find(|invoice| invoice["metadata"]["tollgate_attempt"] == "1");
    assert_eq!(refill.unwrap()["status"], "void");
    world.deliver_all().await;
    world.check().await;
}
