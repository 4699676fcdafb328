//! The calls of the Billing page to Stripe: cards, the portal, invoices and billing details, on a
//! ledger and the Stripe stand-in.

use account::AccountClients;
use serde_json::{Value, json};
use stripe_stand_in::{DisputeEnd, DisputeKind, NewDispute, StripeFaultKind};
use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::event::Cause;
use tollgate::store::Plan;
use tollgate_tests::api::{Answered, ApiEvent};
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, acme, die_everywhere};

const CARDS: &str = "GET /v1/payment-methods";
const ADD: &str = "POST /v1/payment-methods/sessions";
const DEFAULT: &str = "PUT /v1/payment-methods/{id}/default";
const DELETE: &str = "DELETE /v1/payment-methods/{id}";
const PORTAL: &str = "POST /v1/portal-sessions";
const INVOICES: &str = "GET /v1/invoices";
const COMPANY: &str = "GET /v1/company";
const PUT_COMPANY: &str = "PUT /v1/company";
const MASTERCARD: &str = "5555555555554444";

async fn call(world: &PaymentWorld, event: &ApiEvent) -> Answered {
    let clients =
        AccountClients { billing: world.api.another(), stripe: world.stripe.clone().into() };
    Box::pin(account::handle(&clients, event.request())).await.into()
}

async fn ask(world: &PaymentWorld, route: &str) -> Answered {
    call(world, &world.event(route)).await
}

async fn on_card(world: &PaymentWorld, route: &str, card: &str) -> Answered {
    call(world, &world.event(route).at("id", card)).await
}

async fn refused(world: &PaymentWorld, event: ApiEvent, status: u16, code: &str) -> Answered {
    let before = world.api.everything().await;
    let answered = call(world, &event).await;
    assert_eq!(
        (answered.status, answered.code()),
        (status, code),
        "{event:?}: {}",
        answered.shown()
    );
    assert_eq!(world.api.everything().await, before, "nothing is written: {event:?}");
    answered
}

async fn cards(world: &PaymentWorld) -> Vec<Value> {
    let listed = ask(world, CARDS).await;
    assert_eq!((listed.status, &listed.body["next"]), (200, &Value::Null), "{}", listed.shown());
    listed.body["items"].as_array().unwrap().clone()
}

/// Saves a card without paying, as its owner does; its id.
async fn add(world: &PaymentWorld, number: &str) -> String {
    let created = ask(world, ADD).await;
    assert_eq!(created.status, 201, "{}", created.shown());
    world.pay(created.body["id"].as_str().unwrap(), &format!("card={number}")).await;
    let methods = world.objects("payment_method");
    methods.last().unwrap()["id"].as_str().unwrap().to_owned()
}

fn id(card: &Value) -> &str {
    card["id"].as_str().unwrap()
}

// Cards.

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
async fn a_card_that_stripe_does_not_let_go_is_not_called_removed() {
    let world = PaymentWorld::new().await;
    let card = add(&world, VISA).await;
    let before = cards(&world).await;
    world.stand_in.fail_next(
        "POST /v1/payment_methods/{payment_method}/detach",
        9,
        StripeFaultKind::Refused,
    );
    assert_eq!(on_card(&world, DELETE, &card).await.code(), "internal");
    assert_eq!(cards(&world).await, before);
    world.stand_in.clear_faults();
    assert_eq!(on_card(&world, DELETE, &card).await.status, 204);
    assert!(cards(&world).await.is_empty());
}

#[tokio::test]
async fn stale_list_does_not_remove_a_newly_saved_card() {
    let world = PaymentWorld::new().await;
    add(&world, MASTERCARD).await;
    cards(&world).await;
    // The list is read, and arrives only when another card has been saved, and refills are charged
    // to it.
    let list = "GET /v1/customers/{customer}/payment_methods";
    world.stand_in.forget_calls();
    world.stand_in.fail_next(list, 1, StripeFaultKind::Held);
    let late = async { cards(&world).await };
    let meanwhile = async {
        while !world.stand_in.calls().iter().any(|call| call.endpoint.as_deref() == Some(list)) {
            tokio::task::yield_now().await;
        }
        world.wanting(VISA).await;
        world.stand_in.release_held();
    };
    let (_, ()) = tokio::join!(late, meanwhile);
    let refill = world.state().await.refill;
    let charged = refill.card.map(|card| card.to_string());
    let visa = world.objects("payment_method").last().unwrap()["id"].as_str().map(str::to_owned);
    assert_eq!((charged, refill.paused), (visa, None), "{:?}", world.names().await);
    assert_eq!((world.count("card_removed").await, cards(&world).await.len()), (0, 2));
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

#[tokio::test]
async fn a_process_that_dies_anywhere_removes_a_card_once() {
    let prepare = async |world: &PaymentWorld| {
        world.wanting(VISA).await;
        world.refill().await;
        world.deliver_all().await;
    };
    let process = async |world: &PaymentWorld| {
        let card = world.objects("payment_method")[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(call(world, &world.event(DELETE).at("id", &card).key("k1")).await.status, 204);
    };
    let look = async |world: &PaymentWorld| {
        assert!(world.objects("payment_method").iter().all(|method| method["customer"].is_null()));
        assert_eq!((world.count("card_removed").await, world.profile().await.cards.len()), (1, 0));
        world.check().await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((10..40).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn crash_at_any_call_makes_one_card_page_per_key() {
    let process = async |world: &PaymentWorld| {
        let created = call(world, &world.event(ADD).key("k1")).await;
        assert_eq!(created.status, 201, "{}", created.shown());
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!(
            (world.objects("checkout.session").len(), world.objects("customer").len()),
            (1, 1)
        );
    };
    die_everywhere(async |_| {}, process, look).await;
}

#[tokio::test]
async fn cards_are_shown_as_last_seen_while_stripe_is_down() {
    let world = PaymentWorld::new().await;
    let card = add(&world, VISA).await;
    let seen = cards(&world).await;
    for endpoint in [
        "GET /v1/customers/{customer}",
        "GET /v1/payment_methods/{payment_method}",
        "POST /v1/checkout/sessions",
    ] {
        world.stand_in.fail_next(endpoint, 9, StripeFaultKind::ConnectionDropped);
    }
    assert_eq!(cards(&world).await, seen);
    for event in [world.event(DELETE).at("id", &card), world.event(ADD)] {
        refused(&world, event, 503, "unavailable").await;
    }
    world.stand_in.clear_faults();
    assert_eq!(on_card(&world, DELETE, &card).await.status, 204);
}

#[tokio::test]
async fn bad_requests_are_refused_before_stripe_is_asked() {
    let world = PaymentWorld::new().await;
    ask(&world, COMPANY).await;
    for route in [ADD, DEFAULT, DELETE, PORTAL] {
        for body in ["[1]", "not json", "{\"surprise\":1}"] {
            refused(
                &world,
                world.event(route).at("id", "pm_1").body(body).key("k1"),
                400,
                "invalid_body",
            )
            .await;
        }
    }
    for route in [CARDS, ADD, DEFAULT, DELETE, PORTAL, INVOICES, COMPANY, PUT_COMPANY] {
        let event = world.event(route).at("id", "pm_1").json(&json!({}));
        refused(&world, event.clone().without_token(), 401, "unauthorized").await;
        refused(&world, event.clone().header("Tollgate-Account", "bob"), 403, "forbidden").await;
        let platform =
            event.scope("tollgate/platform").header("Tollgate-Account", "nobody").key("k2");
        // The platform never decides which card refills charge.
        let (status, code) = match route {
            DEFAULT | DELETE | PORTAL => (403, "forbidden"),
            _ => (404, "not_found"),
        };
        refused(&world, platform, status, code).await;
    }
    let nameless = ApiEvent::by("nameless", ADD, "10:00:00").without_claim("email");
    let answered = call(&world, &nameless).await;
    assert_eq!((answered.status, answered.code()), (409, "email_required"));
    assert_eq!(world.stand_in.calls(), []);
}

/// Whatever became of card and account since, a repeat gets the first answer, and moves nothing.
#[tokio::test]
async fn repeats_are_answered_alike_on_an_account_that_was_closed() {
    let world = PaymentWorld::with(&[("STRIPE_PORTAL_CONFIGURATION", "")]).await;
    world.stand_in.save_portal_settings().unwrap();
    add(&world, VISA).await;
    let card = id(&cards(&world).await[0]).to_owned();
    let with = |route: &str, body: &Value| world.event(route).key("k1").json(body);
    let terms = json!({"enabled": true, "threshold": "10", "amount": "25", "payment_method": card});
    let nothing = json!({});
    let events = [
        with("POST /v1/checkout-sessions", &json!({"amount": "25"})),
        with(ADD, &nothing),
        with(PORTAL, &nothing),
        with("PUT /v1/account", &json!({"email": "new@example.test"})),
        with(PUT_COMPANY, &german()),
        with(DEFAULT, &nothing).at("id", &card),
        with("PUT /v1/auto-refill", &terms),
        with(DELETE, &nothing).at("id", &card),
    ];
    let ask = async |event: &ApiEvent| {
        let is_page = event.is_of("POST /v1/checkout-sessions");
        if is_page { world.call(event).await } else { call(&world, event).await }
    };
    let mut first = Vec::new();
    for event in &events {
        let answered = ask(event).await;
        assert!(answered.status < 300, "{event:?}: {}", answered.shown());
        first.push(answered);
    }
    world.deliver_all().await;
    let close = |_: &AccountState| Ok(Command::Close { reason: "a test".to_owned() });
    let acme = acme();
    let trigger = world.ledger().trigger(&acme, world.now());
    world.ledger().store.execute(trigger, Cause::Command, Plan::on_state(&close)).await.unwrap();

    let before = world.api.everything().await;
    let calls = world.stand_in.calls().len();
    for (event, first) in events.iter().zip(&first) {
        assert_eq!(ask(&event.clone().minutes_later(5)).await, *first, "{event:?}");
        let other = ask(&event.clone().body("{ }")).await;
        assert!(
            other.code() == "idempotency_key_reused" || other.status == 400,
            "{event:?}: {}",
            other.shown()
        );
    }
    assert_eq!(world.api.everything().await, before);
    assert_eq!(world.stand_in.calls().len(), calls, "Stripe is not asked again");
}

#[tokio::test]
async fn platform_cannot_change_which_card_refills_charge() {
    let world = PaymentWorld::new().await;
    world.wanting(VISA).await;
    let other = add(&world, MASTERCARD).await;
    world.deliver_all().await;
    let charged = world.state().await.refill.card.unwrap().to_string();
    let by_platform = |route: &str, card: &str| {
        let event = ApiEvent::by("platform", route, "10:00:00").scope("tollgate/platform");
        event.header("Tollgate-Account", ACME).at("id", card)
    };
    for (route, card) in [(DEFAULT, &other), (DELETE, &charged), (DELETE, &other), (PORTAL, &other)]
    {
        let answered = refused(&world, by_platform(route, card), 403, "forbidden").await;
        assert!(answered.body["detail"].as_str().unwrap().starts_with("Only the customer can"));
    }
    for route in [CARDS, INVOICES, COMPANY] {
        let answered = call(&world, &by_platform(route, &other)).await;
        assert_eq!(answered.status, 200, "{}", answered.shown());
    }
    assert_eq!(world.state().await.refill.card.unwrap().as_str(), charged);
    assert_eq!(on_card(&world, DEFAULT, &other).await.status, 200);
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

// The portal.

#[tokio::test]
async fn the_portal_opens_for_a_customer_and_leads_back() {
    let world = PaymentWorld::with(&[("STRIPE_PORTAL_CONFIGURATION", "")]).await;
    world.stand_in.save_portal_settings().unwrap();
    let none = call(&world, &world.event(PORTAL)).await;
    assert_eq!((none.status, none.code()), (409, "conflict"));
    add(&world, VISA).await;
    let opened = call(&world, &world.event(PORTAL).key("k1")).await;
    assert_eq!(opened.status, 201, "{}", opened.shown());
    assert!(opened.body["url"].as_str().unwrap().contains("/p/session/bps_"));
    assert_eq!(call(&world, &world.event(PORTAL).key("k1")).await, opened);
    assert_ne!(ask(&world, PORTAL).await.body, opened.body);
    let session = world.objects("billing_portal.session")[0].clone();
    assert_eq!(session["return_url"], "https://billing.example/");
    assert_eq!(world.stand_in.calls_outside(), []);
}

// Invoices.

#[tokio::test]
async fn every_paid_credit_has_its_invoice_newest_first() {
    let world = PaymentWorld::new().await;
    assert_eq!(ask(&world, INVOICES).await.body, json!({"items": [], "next": null}));
    world.wanting(VISA).await;
    world.advance(60);
    world.refill().await;
    world.deliver_all().await;
    let listed = ask(&world, INVOICES).await;
    assert_eq!(listed.status, 200, "{}", listed.shown());
    let invoices = world.objects("invoice");
    let items = listed.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let expected = |place: usize, kind: &str| {
        let invoice = &invoices[place];
        let row = &items[1 - place];
        json!({"id": invoice["id"], "number": invoice["number"], "date": row["date"], "amount": "25.00",
            "refunded": "0.00", "charged_back": "0.00", "status": "paid",
            "hosted_url": invoice["hosted_invoice_url"], "pdf_url": invoice["invoice_pdf"], "kind": kind, "seq": row["seq"]})
    };
    assert_eq!(items, &[expected(1, "auto_refill"), expected(0, "topup")]);
    assert!(items[0]["seq"].as_u64() > items[1]["seq"].as_u64() && items[0]["pdf_url"].is_string());
    let calls: Vec<String> =
        world.stand_in.calls().iter().rev().take(2).map(|call| call.path.clone()).collect();
    assert_eq!(calls[0], "/v1/invoices", "one call tells of both: {calls:?}");

    let first = call(&world, &world.event(INVOICES).with("limit", "1")).await.body;
    let cursor = first["next"].as_str().unwrap().to_owned();
    assert_eq!(&first["items"][0], &items[0]);
    let second =
        call(&world, &world.event(INVOICES).with("limit", "1").with("cursor", &cursor)).await.body;
    assert_eq!(&second["items"][0], &items[1]);
    let end = second["next"].as_str().unwrap_or("0");
    assert_eq!(
        call(&world, &world.event(INVOICES).with("cursor", end)).await.body["items"],
        json!([])
    );
    for (name, value) in [("limit", "0"), ("limit", "201"), ("cursor", "x")] {
        refused(&world, world.event(INVOICES).with(name, value), 400, "invalid_parameter").await;
    }
    let mallory = call(&world, &ApiEvent::by("mallory", INVOICES, "10:30:00")).await;
    assert_eq!(mallory.body["items"], json!([]));
}

#[tokio::test]
async fn refunds_and_chargebacks_show_on_their_invoice() {
    let world = PaymentWorld::new().await;
    for amount in ["25.00", "40.00"] {
        let session = world.session(amount, None).await;
        world.pay(&session, &format!("card={VISA}")).await;
        world.deliver_all().await;
        world.advance(60);
    }
    let back = async |world: &PaymentWorld| {
        world.deliver_all().await;
        let listed = ask(world, INVOICES).await.body;
        let items = listed["items"].as_array().unwrap().clone();
        let shown = |item: &Value| (item["refunded"].clone(), item["charged_back"].clone());
        items.iter().map(shown).collect::<Vec<_>>()
    };
    let pair = |refunded: &str, charged_back: &str| (json!(refunded), json!(charged_back));
    let payment = |amount: i64| {
        let intents = world.objects("payment_intent");
        let of = intents.iter().find(|intent| intent["amount"] == amount).unwrap();
        of["id"].as_str().unwrap().to_owned()
    };
    world.stand_in.refund_in_dashboard(&payment(2500), Some(1000)).unwrap();
    let failing = world.stand_in.refund_in_dashboard(&payment(2500), Some(500)).unwrap();
    assert_eq!(back(&world).await, [pair("0.00", "0.00"), pair("15.00", "0.00")]);
    world.stand_in.fail_refund(&failing).unwrap();
    assert_eq!(back(&world).await, [pair("0.00", "0.00"), pair("10.00", "0.00")]);
    let new = NewDispute {
        payment: payment(4000),
        amount: None,
        kind: DisputeKind::Chargeback,
        reason: "fraudulent".to_owned(),
    };
    let dispute = world.stand_in.dispute(&new).unwrap();
    assert_eq!(back(&world).await, [pair("0.00", "40.00"), pair("10.00", "0.00")]);
    world.stand_in.close_dispute(&dispute, DisputeEnd::Won).unwrap();
    assert_eq!(back(&world).await, [pair("0.00", "0.00"), pair("10.00", "0.00")]);
}

#[tokio::test]
async fn without_invoices_the_receipt_stands_in_their_place() {
    let world = PaymentWorld::with(&[("STRIPE_INVOICES", "off")]).await;
    let session = world.session("25.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let charge = world.objects("charge")[0].clone();
    let listed = ask(&world, INVOICES).await.body;
    let expected = json!({"id": charge["payment_intent"], "number": null, "date": "2026-11-22T10:00:00Z", "amount": "25.00",
        "refunded": "0.00", "charged_back": "0.00", "status": "paid", "hosted_url": charge["receipt_url"], "pdf_url": null, "kind": "topup", "seq": 1});
    assert_eq!(listed["items"], json!([expected]));
    // The payments of a customer deleted at Stripe cannot be listed, but they can be read one by
    // one.
    let customer = world.profile().await.customer.unwrap();
    world.ledger().undisturbed.forget_customer(&acme(), &customer).await.unwrap();
    assert_eq!(ask(&world, INVOICES).await.body, listed);
    world.stand_in.fail_next("GET /v1/charges", 9, StripeFaultKind::ConnectionDropped);
    refused(&world, world.event(INVOICES), 503, "unavailable").await;
}

// The company.

fn german() -> Value {
    json!({
        "name": "Acme GmbH",
        "address": {"line1": "Hauptstr. 1", "line2": null, "city": "Berlin", "postal_code": "10115", "state": null, "country": "DE"},
        "tax_id": {"type": "eu_vat", "value": "DE123456789"},
    })
}

fn put(world: &PaymentWorld, body: &Value) -> ApiEvent {
    world.event(PUT_COMPANY).json(body)
}

fn live(objects: &[Value]) -> Vec<String> {
    objects.iter().map(|object| object["value"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn company_is_sent_to_stripe_once_a_customer_exists() {
    let world = PaymentWorld::new().await;
    let nothing = json!({"name": null, "address": null, "tax_id": null});
    assert_eq!(ask(&world, COMPANY).await.body, nothing);
    let answered = call(&world, &put(&world, &german())).await;
    assert_eq!((answered.status, &answered.body), (200, &german()));
    assert_eq!(ask(&world, COMPANY).await.body, german());
    assert_eq!(world.stand_in.calls(), [], "there is nobody to tell");
    world.session("25.00", None).await;
    let customer = world.objects("customer")[0].clone();
    assert_eq!(
        (&customer["name"], &customer["address"]["city"]),
        (&json!("Acme GmbH"), &json!("Berlin"))
    );
    assert_eq!(live(&world.objects("tax_id")), ["DE123456789"]);
    world.session("5.00", None).await;
    assert_eq!((world.objects("customer").len(), world.objects("tax_id").len()), (1, 1));
    assert_eq!(world.stand_in.calls_outside(), []);
}

#[tokio::test]
async fn a_company_is_written_through_and_replaced_as_a_whole() {
    let world = PaymentWorld::new().await;
    add(&world, VISA).await;
    assert_eq!(call(&world, &put(&world, &german()).key("k1")).await.status, 200);
    let mut british = german();
    british["tax_id"] = json!({"type": "gb_vat", "value": "GB999999973"});
    british["address"]["country"] = json!("GB");
    for _ in 0..2 {
        assert_eq!(call(&world, &put(&world, &british)).await.body, british);
    }
    assert_eq!(live(&world.objects("tax_id")), ["GB999999973"]);
    assert_eq!(world.objects("customer")[0]["address"]["country"], "GB");
    // The same number in another notation is the same number.
    british["tax_id"]["value"] = json!("GB 999 9999 73");
    assert_eq!(call(&world, &put(&world, &british)).await.status, 200);
    assert_eq!(live(&world.objects("tax_id")), ["GB999999973"]);
    assert_eq!(
        call(&world, &put(&world, &german()).key("k1")).await.body,
        german(),
        "the first answer again"
    );
    assert_eq!(ask(&world, COMPANY).await.body["address"]["country"], "GB", "and nothing was done");
    let reused = call(&world, &put(&world, &british).key("k1")).await;
    assert_eq!((reused.status, reused.code()), (422, "idempotency_key_reused"));

    let nothing = json!({"name": null, "address": null, "tax_id": null});
    assert_eq!(call(&world, &put(&world, &json!({}))).await.body, nothing);
    let customer = world.objects("customer")[0].clone();
    assert_eq!(
        (&customer["address"]["line1"], live(&world.objects("tax_id")).len()),
        (&Value::Null, 0),
        "{customer}"
    );
    // A removed number can be added again.
    assert_eq!(call(&world, &put(&world, &german())).await.status, 200);
    assert_eq!(live(&world.objects("tax_id")), ["DE123456789"]);
    assert_eq!(world.stand_in.calls_outside(), []);
}

#[tokio::test]
async fn refusal_by_stripe_changes_nothing() {
    let world =
        PaymentWorld::with(&[("STRIPE_TAX", "automatic"), ("STRIPE_TAX_CODE", "txcd_10000000")])
            .await;
    add(&world, VISA).await;
    assert_eq!(call(&world, &put(&world, &german())).await.status, 200);
    let updated = world.stand_in.calls();
    let updated = updated
        .iter()
        .rev()
        .find(|call| call.params.contains_key("tax[validate_location]"))
        .unwrap();
    assert_eq!(updated.params["tax[validate_location]"], "immediately");
    let before = (world.objects("customer"), live(&world.objects("tax_id")));

    let mut wrong = german();
    wrong["tax_id"] = json!({"type": "eu_vat", "value": "DE1"});
    let answered = refused(&world, put(&world, &wrong), 422, "tax_id_refused").await;
    assert!(answered.body["detail"].as_str().unwrap().contains("eu_vat"), "{}", answered.shown());
    let mut unknown = german();
    unknown["tax_id"] = json!({"type": "moon_vat", "value": "123456"});
    refused(&world, put(&world, &unknown), 422, "tax_id_refused").await;
    // In the United States tax depends on the postal code. The new tax ID is sent again with the
    // address.
    let mut nowhere = german();
    nowhere["tax_id"] = json!({"type": "us_ein", "value": "12-3456789"});
    nowhere["address"] = json!({"line1": "1 Main St", "country": "US"});
    refused(&world, put(&world, &nowhere), 422, "address_refused").await;
    assert_eq!((world.objects("customer"), live(&world.objects("tax_id"))), before);
    assert_eq!(ask(&world, COMPANY).await.body, german());
}

#[tokio::test]
async fn company_refused_by_stripe_does_not_block_payment() {
    let world = PaymentWorld::new().await;
    let mut wrong = german();
    wrong["tax_id"] = json!({"type": "eu_vat", "value": "DE1"});
    assert_eq!(call(&world, &put(&world, &wrong)).await.status, 200, "nobody can say yet");
    world.session("25.00", None).await;
    let customer = world.objects("customer")[0].clone();
    assert_eq!((&customer["name"], live(&world.objects("tax_id")).len()), (&json!("Acme GmbH"), 0));

    let world =
        PaymentWorld::with(&[("STRIPE_TAX", "automatic"), ("STRIPE_TAX_CODE", "txcd_10000000")])
            .await;
    let mut nowhere = german();
    nowhere["tax_id"] = json!({"type": "us_ein", "value": "12-3456789"});
    nowhere["address"] = json!({"line1": "1 Main St", "country": "US"});
    assert_eq!(call(&world, &put(&world, &nowhere)).await.status, 200);
    world.session("25.00", None).await;
    let customers = world.objects("customer");
    assert_eq!(
        (customers.len(), &customers[0]["address"]["country"]),
        (1, &Value::Null),
        "Checkout asks for it"
    );
    assert_eq!(live(&world.objects("tax_id")), ["12-3456789"]);
}

#[tokio::test]
async fn a_company_that_cannot_be_written_is_refused() {
    let world = PaymentWorld::new().await;
    ask(&world, COMPANY).await;
    let with = |name: &str, value: Value| {
        let mut body = german();
        body[name] = value;
        body
    };
    let address = |name: &str, value: Value| {
        let mut body = german();
        body["address"][name] = value;
        body
    };
    for body in [
        json!([]),
        json!({"surprise": 1}),
        with("name", json!("a\nb")),
        with("name", json!("x".repeat(201))),
        with("name", json!(7)),
        with("address", json!({"line1": "x"})),
        with("address", json!("Berlin")),
        with("tax_id", json!({"type": "eu_vat"})),
        with("tax_id", json!({"type": "", "value": "1"})),
        address("country", json!("Germany")),
        address("country", json!("de")),
        address("line1", json!("")),
        address("planet", json!("Mars")),
    ] {
        refused(&world, put(&world, &body).key("k1"), 400, "invalid_body").await;
    }
    let blank = with("name", json!("  "));
    assert_eq!(call(&world, &put(&world, &blank)).await.body["name"], Value::Null);
}

#[tokio::test]
async fn a_process_that_dies_anywhere_leaves_one_tax_id() {
    let prepare = async |world: &PaymentWorld| {
        add(world, VISA).await;
        let mut old = german();
        old["tax_id"] = json!({"type": "eu_vat", "value": "DE999999973"});
        assert_eq!(call(world, &put(world, &old)).await.status, 200);
    };
    let process = async |world: &PaymentWorld| {
        let answered = call(world, &put(world, &german()).key("k1")).await;
        assert_eq!((answered.status, answered.body), (200, german()));
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!(live(&world.objects("tax_id")), ["DE123456789"]);
        assert_eq!(ask(world, COMPANY).await.body, german());
    };
    die_everywhere(prepare, process, look).await;
}

#[tokio::test]
async fn tax_id_of_another_country_is_not_stored() {
    let world = PaymentWorld::new().await;
    ask(&world, COMPANY).await;
    for (kind, value, field, names) in [
        ("gb_vat", "GB999999973", "tax_id.type", "eu_vat"),
        ("us_ein", "12-3456789", "tax_id.type", "de_stn"),
        ("moon_vat", "123456", "tax_id.type", "eu_vat"),
        ("eu_vat", "FR12345678901", "tax_id.value", "DE"),
        ("eu_vat", "123456789", "tax_id.value", "DE"),
    ] {
        let mut wrong = german();
        wrong["tax_id"] = json!({"type": kind, "value": value});
        let answered = refused(&world, put(&world, &wrong), 422, "tax_id_refused").await;
        assert_eq!(answered.body["parameter"], field, "{}", answered.shown());
        let detail = answered.body["detail"].as_str().unwrap();
        assert!(detail.starts_with(field) && detail.contains(names), "{detail}");
    }
}

#[tokio::test]
async fn address_without_line1_says_what_it_needs() {
    let world = PaymentWorld::new().await;
    ask(&world, COMPANY).await;
    let body = json!({"address": {"city": "Berlin", "country": "DE"}});
    let answered = refused(&world, put(&world, &body), 400, "invalid_body").await;
    assert_eq!(answered.body["detail"], "address.line1: is required.");
}

#[tokio::test]
async fn address_stays_while_refills_need_it_for_tax() {
    let world =
        PaymentWorld::with(&[("STRIPE_TAX", "automatic"), ("STRIPE_TAX_CODE", "txcd_10000000")])
            .await;
    add(&world, VISA).await;
    assert_eq!(call(&world, &put(&world, &german())).await.status, 200);
    world.agree("5", "25").await;
    let mut without = german();
    without["address"] = Value::Null;
    let answered = refused(&world, put(&world, &without), 409, "conflict").await;
    assert_eq!(answered.body["parameter"], "address");
    // Another address is welcome, and without refills none is needed.
    let mut moved = german();
    moved["address"]["city"] = json!("Hamburg");
    assert_eq!(call(&world, &put(&world, &moved)).await.status, 200);
    let off = world.event("PUT /v1/auto-refill").json(&json!({"enabled": false}));
    assert_eq!(call(&world, &off).await.status, 200);
    assert_eq!(call(&world, &put(&world, &without)).await.status, 200);
}
