//! Invoices that staff issue, and the invoice of a payment that has only a receipt.

use serde_json::{Value, json};
use tollgate_tests::api::Answered;
use tollgate_tests::ledger::named;
use tollgate_tests::payments::{ACME, PaymentWorld, VISA, die_everywhere, die_everywhere_with};

use crate::account_stripe_support::call;
use crate::staff_support::{ADMIN, ask_admin};

const INVOICES: &str = "/v1/admin/accounts/{account}/invoices";
const VOID: &str = "POST /v1/admin/accounts/{account}/invoices/{invoice}/void";
const OF_PAYMENT: &str = "POST /v1/admin/payments/{id}/invoice";
const DAY: i64 = 86_400;

async fn issue(world: &PaymentWorld, key: &str, body: &Value) -> Answered {
    let event = world.event(&format!("POST {INVOICES}")).scope(ADMIN);
    ask_admin(world, event.at("account", ACME).key(key).json(body)).await
}

fn of(credit: &str) -> Value {
    json!({"credit": credit, "reason": "a contract"})
}

/// An open invoice for $5,000.00; its ID.
async fn issued(world: &PaymentWorld) -> String {
    let answered = issue(world, "k-1", &of("5000.00")).await;
    assert_eq!(answered.status, 201, "{}", answered.shown());
    answered.body["id"].as_str().unwrap().to_owned()
}

async fn listed(world: &PaymentWorld) -> Value {
    let event = world.event(&format!("GET {INVOICES}")).scope(ADMIN);
    let answered = ask_admin(world, event.at("account", ACME)).await;
    assert_eq!(answered.status, 200, "{}", answered.shown());
    answered.body["invoices"].clone()
}

async fn void(world: &PaymentWorld, invoice: &str) -> Answered {
    let event = world.event(VOID).scope(ADMIN).at("account", ACME).at("invoice", invoice);
    ask_admin(world, event.json(&json!({"reason": "a mistake"}))).await
}

/// What the customer is shown: invoices to pay, and those that are paid.
async fn shown(world: &PaymentWorld) -> (Value, Value) {
    let answered = call(world, &world.event("GET /v1/invoices")).await;
    assert_eq!(answered.status, 200, "{}", answered.shown());
    (answered.body["open"].clone(), answered.body["items"].clone())
}

/// An account with an address for mails.
async fn customer() -> PaymentWorld {
    let world = PaymentWorld::new().await;
    world.session("25.00", None).await;
    world
}

/// Everything is told, twice, and credits this balance in all.
async fn is_credited(world: &PaymentWorld, balance: &str) {
    world.deliver_all().await;
    world.deliver_everything_again().await;
    assert_eq!(world.state().await.balance(), named(balance));
    world.check().await;
}

#[tokio::test]
async fn invoice_is_sent_paid_by_card_and_credited_once() {
    let world = customer().await;
    let answered = issue(&world, "k-1", &of("5000.00")).await;
    assert_eq!(answered.status, 201, "{}", answered.shown());
    let view = &answered.body;
    assert_eq!(
        (&view["status"], &view["credit"], &view["amount"], &view["due_at"]),
        (&json!("open"), &json!("5000.00"), &json!("5000.00"), &json!("2026-12-22T10:00:00Z"))
    );
    assert_eq!(
        view["issued"],
        json!({"by": ACME, "at": "2026-11-22T10:00:00Z", "reason": "a contract"})
    );
    let invoice = &world.objects("invoice")[0];
    assert_eq!(invoice["collection_method"], "send_invoice");
    let methods = json!(["customer_balance", "us_bank_account", "card"]);
    assert_eq!(invoice["payment_settings"]["payment_method_types"], methods);
    assert!(world.stand_in.calls().iter().any(|call| call.path.ends_with("/send")));
    let id = view["id"].as_str().unwrap();
    let (open, paid) = shown(&world).await;
    assert_eq!((&open[0]["id"], &open[0]["amount"]), (&json!(id), &json!("5000.00")));
    assert_eq!(paid, json!([]));
    world.post(&format!("/i/{id}"), &format!("card={VISA}")).await;
    is_credited(&world, "5000").await;
    let (open, paid) = shown(&world).await;
    assert_eq!((open, &paid[0]["id"], &paid[0]["status"]), (json!([]), &json!(id), &json!("paid")));
    assert_eq!(listed(&world).await[0]["status"], "paid");
}

#[tokio::test]
async fn bank_transfer_in_parts_is_credited_when_it_is_enough() {
    let world = customer().await;
    let invoice = issued(&world).await;
    for cents in [200_000, 299_999] {
        world.stand_in.bank_transfer(&invoice, cents).unwrap();
        is_credited(&world, "0").await;
    }
    // More than is missing.
    world.stand_in.bank_transfer(&invoice, 5_000).unwrap();
    is_credited(&world, "5000").await;
}

#[tokio::test]
async fn bank_debit_is_credited_days_after_the_invoice_was_due() {
    let world = customer().await;
    let invoice = issued(&world).await;
    world.advance(40 * DAY);
    world.post(&format!("/i/{invoice}"), "method=us_bank_account").await;
    is_credited(&world, "0").await;
    let refused = void(&world, &invoice).await;
    assert_eq!((refused.status, refused.code()), (409, "conflict"), "{}", refused.shown());
    let intent = world.objects("payment_intent");
    let intent = intent.iter().find(|intent| intent["status"] == "processing").unwrap();
    let intent = intent["id"].as_str().unwrap();
    world.stand_in.resolve_debit(intent, stripe_stand_in::DebitEnd::Succeeded).unwrap();
    is_credited(&world, "5000").await;
}

/// A note for all of it makes the invoice paid, and nobody paid.
#[tokio::test]
async fn invoice_that_a_credit_note_canceled_credits_nothing() {
    for is_told in [true, false] {
        let world = customer().await;
        let invoice = issued(&world).await;
        world.stand_in.credit_note(&invoice, 500_000).unwrap();
        if is_told {
            world.deliver_all().await;
        }
        assert_eq!(shown(&world).await.0, json!([]));
        assert_eq!(listed(&world).await[0]["status"], "paid");
        is_credited(&world, "0").await;
    }
}

#[tokio::test]
async fn invoice_that_a_credit_note_lowered_is_credited_in_proportion() {
    let world = customer().await;
    let invoice = issued(&world).await;
    world.stand_in.credit_note(&invoice, 400_000).unwrap();
    assert_eq!(shown(&world).await.0[0]["amount"], "1000.00");
    world.post(&format!("/i/{invoice}"), &format!("card={VISA}")).await;
    is_credited(&world, "1000").await;
    assert_eq!(listed(&world).await[0]["status"], "paid");
}

/// The account finds the payment when it looks, and is not held up by it.
#[tokio::test]
async fn lowered_invoice_whose_event_is_lost_is_credited_and_the_account_closes() {
    let world = customer().await;
    let invoice = issued(&world).await;
    world.stand_in.credit_note(&invoice, 400_000).unwrap();
    world.post(&format!("/i/{invoice}"), &format!("card={VISA}")).await;
    // With the credit that it finds, the balance is another than was confirmed.
    for (balance, status) in [("0.00", 409), ("1000.00", 200)] {
        let close = world.event("DELETE /v1/account").json(&json!({"balance": balance}));
        let answered = call(&world, &close).await;
        assert_eq!(answered.status, status, "{}", answered.shown());
    }
    is_credited(&world, "1000").await;
}

/// Whoever pays afterwards could not use the credit.
#[tokio::test]
async fn open_invoices_end_with_the_account() {
    for is_by_staff in [true, false] {
        let world = customer().await;
        let invoice = issued(&world).await;
        let closed = if is_by_staff {
            let event = world.event("POST /v1/admin/accounts/{account}/close").scope(ADMIN);
            let body = json!({"reason": "asked to"});
            ask_admin(&world, event.at("account", ACME).json(&body)).await
        } else {
            call(&world, &world.event("DELETE /v1/account").json(&json!({"balance": "0.00"}))).await
        };
        assert_eq!(closed.status, 200, "{}", closed.shown());
        let noted = &listed(&world).await[0];
        assert_eq!(noted["voided"]["reason"], "the account was closed", "{noted}");
        world.post(&format!("/i/{invoice}"), &format!("card={VISA}")).await;
        is_credited(&world, "0").await;
    }
}

#[tokio::test]
async fn account_with_an_invoice_that_is_being_paid_stays_open() {
    let world = customer().await;
    let invoice = issued(&world).await;
    world.stand_in.bank_transfer(&invoice, 499_999).unwrap();
    let close = || world.event("DELETE /v1/account").json(&json!({"balance": "0.00"}));
    let refused = call(&world, &close()).await;
    assert_eq!((refused.status, refused.code()), (409, "conflict"), "{}", refused.shown());
}

#[tokio::test]
async fn invoice_paid_outside_of_stripe_is_credited() {
    let world = customer().await;
    let invoice = issued(&world).await;
    world.stand_in.pay_out_of_band(&invoice).unwrap();
    world.deliver_all().await;
    world.deliver_everything_again().await;
    assert_eq!(world.names().await, ["opened", "topup"]);
    assert_eq!(world.state().await.balance(), named("5000"));
}

/// No event ever comes.
#[tokio::test]
async fn paid_invoice_is_recovered_by_its_id() {
    let world = customer().await;
    let invoice = issued(&world).await;
    world.post(&format!("/i/{invoice}"), &format!("card={VISA}")).await;
    let event = world.event("POST /v1/admin/payments/{id}/recover").scope(ADMIN);
    let answered = ask_admin(&world, event.at("id", &invoice).json(&json!({}))).await;
    assert_eq!(answered.body["outcome"], "credited", "{}", answered.shown());
    is_credited(&world, "5000").await;
}

#[tokio::test]
async fn void_invoice_cannot_be_paid_and_a_paid_one_cannot_be_voided() {
    let world = customer().await;
    let invoice = issued(&world).await;
    for _ in 0..2 {
        let answered = void(&world, &invoice).await;
        assert_eq!((answered.status, &answered.body["status"]), (200, &json!("void")));
        assert_eq!(answered.body["voided"]["reason"], "a mistake", "{}", answered.shown());
    }
    assert_eq!(listed(&world).await[0]["voided"]["by"], ACME);
    assert_eq!(shown(&world).await.0, json!([]));
    world.post(&format!("/i/{invoice}"), &format!("card={VISA}")).await;
    is_credited(&world, "0").await;

    let other = issue(&world, "k-2", &of("10.00")).await;
    let other = other.body["id"].as_str().unwrap();
    world.post(&format!("/i/{other}"), &format!("card={VISA}")).await;
    // Its events have not come yet.
    let refused = void(&world, other).await;
    assert_eq!((refused.status, refused.code()), (409, "conflict"), "{}", refused.shown());
    assert_eq!(world.state().await.balance(), named("10"));
    is_credited(&world, "10").await;
    let unknown = void(&world, "in_nothing").await;
    assert_eq!((unknown.status, unknown.code()), (404, "not_found"));
}

#[tokio::test]
async fn wrong_invoices_are_refused_by_field() {
    let world = customer().await;
    let with = |name: &str, value: Value| {
        let mut body = of("5000.00");
        body[name] = value;
        body
    };
    for (body, status, code, parameter) in [
        (with("credit", json!("0")), 422, "invalid_amount", "credit"),
        (with("credit", json!("0.99")), 422, "amount_too_small", "credit"),
        (with("credit", json!("500000.01")), 422, "amount_too_large", "credit"),
        (with("credit", json!("5.001")), 422, "invalid_amount", "credit"),
        (with("due_days", json!(0)), 400, "invalid_body", "due_days"),
        (with("due_days", json!(366)), 400, "invalid_body", "due_days"),
        (with("methods", json!([])), 400, "invalid_body", "methods"),
        (with("methods", json!(["card", "card"])), 400, "invalid_body", "methods"),
    ] {
        let refused = issue(&world, "k-1", &body).await;
        let seen = (refused.status, refused.code(), refused.body["parameter"].as_str());
        assert_eq!(seen, (status, code, Some(parameter)), "{body}: {}", refused.shown());
    }
    let cheque = issue(&world, "k-1", &with("methods", json!(["cheque"]))).await;
    assert_eq!((cheque.status, cheque.code()), (400, "invalid_body"), "{}", cheque.shown());
    let silent = issue(&world, "k-1", &with("reason", json!(""))).await;
    assert_eq!((silent.status, silent.code()), (422, "unusable"));
    assert_eq!(world.objects("invoice"), Vec::<Value>::new());
    for number in 0..10 {
        assert_eq!(issue(&world, &format!("k-{number}"), &of("5.00")).await.status, 201);
    }
    let more = issue(&world, "k-10", &of("5.00")).await;
    assert_eq!((more.status, more.code()), (409, "quota_reached"), "{}", more.shown());
    // The last one again is the same one, and one that is paid makes room.
    assert_eq!(issue(&world, "k-9", &of("5.00")).await.status, 201);
    let paid = world.objects("invoice")[0]["id"].as_str().unwrap().to_owned();
    world.post(&format!("/i/{paid}"), &format!("card={VISA}")).await;
    assert_eq!(issue(&world, "k-11", &of("5.00")).await.status, 201);
}

#[tokio::test]
async fn request_that_dies_anywhere_makes_one_invoice() {
    let prepare = async |world: &PaymentWorld| {
        world.session("25.00", None).await;
    };
    let process = async |world: &PaymentWorld| {
        let answered = issue(world, "k-1", &of("5000.00")).await;
        assert_eq!(answered.status, 201, "{}", answered.shown());
    };
    let look = async |world: &PaymentWorld| {
        let invoices = world.objects("invoice");
        assert_eq!((invoices.len(), &invoices[0]["status"]), (1, &json!("open")));
        let lines = invoices[0]["lines"]["data"].as_array().map(Vec::len);
        assert_eq!((lines, &invoices[0]["total"]), (Some(1), &json!(500_000)));
        assert_eq!(listed(world).await.as_array().map(Vec::len), Some(1));
        let invoice = invoices[0]["id"].as_str().unwrap();
        world.post(&format!("/i/{invoice}"), &format!("card={VISA}")).await;
        is_credited(world, "5000").await;
    };
    let calls = die_everywhere(prepare, process, look).await;
    assert!((8..60).contains(&calls), "{calls} calls");
}

/// A payment of $25.00 with only a receipt.
async fn with_receipt() -> (PaymentWorld, String) {
    let world = PaymentWorld::with(&[("STRIPE_INVOICES", "off")]).await;
    let session = world.session("25.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    (world, session)
}

async fn of_payment(world: &PaymentWorld, id: &str) -> Answered {
    let event = world.event(OF_PAYMENT).scope(ADMIN).at("id", id);
    ask_admin(world, event.json(&json!({}))).await
}

#[tokio::test]
async fn payment_with_a_receipt_gets_an_invoice_and_no_money_moves() {
    let (world, session) = with_receipt().await;
    let answered = of_payment(&world, &session).await;
    assert_eq!(answered.status, 200, "{}", answered.shown());
    assert_eq!(
        (&answered.body["status"], &answered.body["amount"]),
        (&json!("paid"), &json!("25.00"))
    );
    let charges = world.objects("charge").len();
    is_credited(&world, "25").await;
    let again = of_payment(&world, &session).await;
    assert_eq!((again.status, &again.body), (200, &answered.body));
    assert_eq!((world.objects("invoice").len(), world.objects("charge").len()), (1, charges));
    let (_, paid) = shown(&world).await;
    assert_eq!(
        (&paid[0]["id"], &paid[0]["number"]),
        (&answered.body["id"], &answered.body["number"])
    );
    // Support finds the payment by it, and nothing is credited for it.
    let id = answered.body["id"].as_str().unwrap();
    let event = world.event("GET /v1/admin/payments/{id}").scope(ADMIN).at("id", id);
    let found = ask_admin(&world, event).await;
    assert_eq!(found.body["row"]["type"], "topup", "{}", found.shown());
    let event = world.event("POST /v1/admin/payments/{id}/recover").scope(ADMIN).at("id", id);
    let recovered = ask_admin(&world, event.json(&json!({}))).await;
    assert_eq!(recovered.status, 404, "{}", recovered.shown());
    is_credited(&world, "25").await;
}

#[tokio::test]
async fn payment_that_has_an_invoice_keeps_it() {
    let world = PaymentWorld::new().await;
    let session = world.session("25.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let invoice = world.objects("invoice")[0]["id"].clone();
    assert_eq!(of_payment(&world, &session).await.body["id"], invoice);
    assert_eq!(world.objects("invoice").len(), 1);
    let unknown = of_payment(&world, "pi_nothing").await;
    assert_eq!((unknown.status, unknown.code()), (404, "not_found"));
    let wrong = of_payment(&world, "in_1").await;
    assert_eq!((wrong.status, wrong.code()), (400, "invalid_parameter"));
}

/// Only the event of the payment came, which names no invoice.
#[tokio::test]
async fn invoice_that_checkout_made_is_found_at_stripe() {
    let world = PaymentWorld::new().await;
    let session = world.session("25.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    for delivery in world.deliveries() {
        if delivery.event_type == "payment_intent.succeeded" {
            world.deliver(&delivery).await;
        }
    }
    let payments = world.objects("payment_intent");
    let payment = payments.iter().find(|payment| payment["status"] == "succeeded").unwrap();
    let answered = of_payment(&world, payment["id"].as_str().unwrap()).await;
    assert_eq!(answered.body["id"], world.objects("invoice")[0]["id"], "{}", answered.shown());
    assert_eq!(world.objects("invoice").len(), 1);
}

/// It would pay the invoice, and the customer would pay twice.
#[tokio::test]
async fn credit_at_stripe_does_not_pay_the_invoice_of_a_receipt() {
    let (world, session) = with_receipt().await;
    let customer = world.objects("customer")[0]["id"].as_str().unwrap().to_owned();
    world.stand_in.give_credit_balance(&customer, 1_000).unwrap();
    let refused = of_payment(&world, &session).await;
    assert_eq!((refused.status, refused.code()), (409, "conflict"), "{}", refused.shown());
    assert_eq!(world.objects("invoice"), Vec::<Value>::new());
}

#[tokio::test]
async fn invoice_of_a_receipt_that_dies_anywhere_is_made_once() {
    let prepare = async |world: &PaymentWorld| {
        let session = world.session("25.00", None).await;
        world.pay(&session, &format!("card={VISA}")).await;
        world.deliver_all().await;
    };
    let process = async |world: &PaymentWorld| {
        let session = world.objects("checkout.session")[0]["id"].as_str().unwrap().to_owned();
        let answered = of_payment(world, &session).await;
        assert_eq!(answered.status, 200, "{}", answered.shown());
    };
    let look = async |world: &PaymentWorld| {
        let invoices = world.objects("invoice");
        assert_eq!(invoices.iter().filter(|invoice| invoice["status"] == "paid").count(), 1);
        assert!(invoices.iter().all(|invoice| invoice["status"] != "open"), "{invoices:?}");
        is_credited(world, "25").await;
    };
    let calls = die_everywhere_with(&[("STRIPE_INVOICES", "off")], prepare, process, look).await;
    assert!((8..60).contains(&calls), "{calls} calls");
    // Stripe has forgotten the keys of the first request when the second comes.
    let later = async |world: &PaymentWorld| {
        world.advance(3 * DAY);
        process(world).await;
    };
    let look = async |world: &PaymentWorld| {
        assert_eq!(world.objects("invoice").len(), 1);
        look(world).await;
    };
    die_everywhere_with(&[("STRIPE_INVOICES", "off")], prepare, later, look).await;
}
