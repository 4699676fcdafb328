//! Limits that protect customers from each other: payment pages, calls to Stripe, quotas.

use account::AccountClients;
use serde_json::json;
use stripe_stand_in::StripeFaultKind;
use tollgate::domain::account::AccountState;
use tollgate::payments::{PagePlace, Payments};
use tollgate_tests::api::{Answered, ApiEvent};
use tollgate_tests::payments::{PaymentWorld, VISA, acme};

const CREATE: &str = "POST /v1/checkout-sessions";
const HOUR: i64 = 3_600;

/// The template's defaults.
const DEFAULTS: [(&str, &str); 3] =
    [("PAGES_PER_HOUR", "5"), ("PAGES_PER_DAY", "20"), ("STRIPE_REQUESTS_MAX", "1000")];

fn wish(world: &PaymentWorld, account: &str) -> ApiEvent {
    let now = world.now().to_string();
    ApiEvent::by(account, CREATE, &now).json(&json!({"amount": "25.00"}))
}

#[track_caller]
fn refused(answered: &Answered, code: &str, retry_after: &str) {
    assert_eq!((answered.status, answered.code()), (429, code), "{}", answered.shown());
    assert_eq!(answered.retry_after.as_deref(), Some(retry_after), "{}", answered.shown());
}

#[tokio::test]
async fn one_account_opens_five_unpaid_pages_an_hour() {
    let world = PaymentWorld::with(&DEFAULTS).await;
    let event = wish(&world, "acme");
    let all = futures_util::future::join_all((0..60).map(|_| world.call(&event))).await;
    let created = all.iter().filter(|answered| answered.status == 201).count();
    assert_eq!(created, 5);
    for answered in all.iter().filter(|answered| answered.status != 201) {
        refused(answered, "too_many_pages", "3600");
        assert_eq!(
            answered.body["detail"],
            "Too many payment pages were opened without a payment. Try again in 60 minutes."
        );
    }
    assert_eq!(world.call(&wish(&world, "bob")).await.status, 201, "nobody else is refused");

    world.advance(HOUR - 1);
    refused(&world.call(&wish(&world, "acme")).await, "too_many_pages", "1");
    world.advance(1);
    assert_eq!(world.call(&wish(&world, "acme")).await.status, 201);
    world.check().await;
}

#[tokio::test]
async fn paid_pages_count_for_no_limit() {
    let world = PaymentWorld::with(&DEFAULTS).await;
    // More than a day allows. The event that names the session comes late or never.
    for number in 0..24 {
        let session = world.session("25.00", None).await;
        world.pay(&session, &format!("card={VISA}")).await;
        if number % 2 == 0 {
            world.deliver_all().await;
        } else {
            assert_eq!(world.status(&session).await.body["status"], "paid");
        }
    }
    for _ in 0..5 {
        world.session("25.00", None).await;
    }
    refused(&world.call(&wish(&world, "acme")).await, "too_many_pages", "3600");
    let last = world.objects("checkout.session").pop().unwrap()["id"].as_str().unwrap().to_owned();
    world.pay(&last, &format!("card={VISA}")).await;
    world.deliver_all().await;
    assert_eq!(world.call(&wish(&world, "acme")).await.status, 201, "a paid page makes room");
    world.check().await;
}

#[tokio::test]
async fn repeated_request_takes_one_place() {
    let world = PaymentWorld::with(&DEFAULTS).await;
    let first = world.call(&wish(&world, "acme").key("k-1")).await;
    for number in 2..6 {
        let key = format!("k-{number}");
        assert_eq!(world.call(&wish(&world, "acme").key(&key)).await.status, 201);
        assert_eq!(world.call(&wish(&world, "acme").key(&key)).await.status, 201);
    }
    refused(&world.call(&wish(&world, "acme").key("k-6")).await, "too_many_pages", "3600");
    assert_eq!(world.call(&wish(&world, "acme").key("k-1")).await, first);
}

#[tokio::test]
async fn page_that_stripe_does_not_make_takes_no_place() {
    let world = PaymentWorld::with(&DEFAULTS).await;
    world.session("25.00", None).await;
    for _ in 0..8 {
        world.stand_in.fail_next(
            "POST /v1/checkout/sessions",
            4,
            StripeFaultKind::ConnectionDropped,
        );
        assert_eq!(world.call(&wish(&world, "acme")).await.code(), "unavailable");
        world.stand_in.clear_faults();
    }
    for _ in 0..4 {
        assert_eq!(world.call(&wish(&world, "acme")).await.status, 201);
    }
    refused(&world.call(&wish(&world, "acme")).await, "too_many_pages", "3600");
}

#[tokio::test]
async fn new_accounts_have_a_limit_together() {
    let world = PaymentWorld::with(&[("NEW_ACCOUNT_PAGES_PER_HOUR", "3")]).await;
    let session = world.session("25.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    world.advance(1_500);
    for account in ["bob", "carol"] {
        assert_eq!(world.call(&wish(&world, account)).await.status, 201, "{account}");
    }
    let dave = world.call(&wish(&world, "dave")).await;
    refused(&dave, "too_many_pages", "2100");
    assert_eq!(
        dave.body["detail"],
        "Payment pages for new customers are limited at the moment. Try again in 35 minutes."
    );
    assert_eq!(world.call(&wish(&world, "acme")).await.status, 201, "acme has paid before");
    world.advance(2_100);
    assert_eq!(world.call(&wish(&world, "dave")).await.status, 201);
}

#[tokio::test]
async fn pages_that_are_not_made_leave_room_for_new_accounts() {
    let limits = [("PAGES_PER_HOUR", "2"), ("NEW_ACCOUNT_PAGES_PER_HOUR", "4")];
    let world = PaymentWorld::with(&limits).await;
    for _ in 0..5 {
        world.stand_in.fail_next(
            "POST /v1/checkout/sessions",
            4,
            StripeFaultKind::ConnectionDropped,
        );
        assert_eq!(world.call(&wish(&world, "acme")).await.code(), "unavailable");
        world.stand_in.clear_faults();
    }
    // Many requests at once count no more than the pages that the account may have.
    let event = wish(&world, "mallory");
    let all = futures_util::future::join_all((0..20).map(|_| world.call(&event))).await;
    assert_eq!(all.iter().filter(|answered| answered.status == 201).count(), 2);
    for account in ["bob", "carol"] {
        assert_eq!(world.call(&wish(&world, account)).await.status, 201, "{account}");
    }
    assert_eq!(world.call(&wish(&world, "dave")).await.code(), "too_many_pages");
}

#[tokio::test]
async fn page_of_the_same_request_keeps_its_place() {
    let world = PaymentWorld::with(&DEFAULTS).await;
    let (billing, stripe, now) = (&world.checkout.billing, &world.stripe, world.now());
    let (payments, account) = (Payments { billing, stripe, now }, acme());
    let (state, key) = (AccountState::default(), "k-1");
    let place = async || payments.reserve_page(&account, &state, key).await.unwrap();
    assert_eq!(place().await, PagePlace::Taken);
    assert_eq!(place().await, PagePlace::OfAnotherRequest);
    payments.note_page(&account, key, "cs_1").await.unwrap();
    payments.release_page(&account, &state, key).await.unwrap();
    assert_eq!(place().await, PagePlace::OfAnotherRequest, "the page exists");
}

#[tokio::test]
async fn one_account_cannot_use_up_the_calls_to_stripe() {
    let world = PaymentWorld::with(&[("STRIPE_REQUESTS_MAX", "3")]).await;
    let accounts = AccountClients {
        billing: tollgate::runtime::billing::Billing::new(
            world.ledger().store.clone(),
            world.checkout.billing.settings.clone(),
        ),
        stripe: world.stripe.clone().into(),
    };
    let session = world.session("25.00", None).await;
    world.advance(3);
    for _ in 0..2 {
        assert_eq!(world.status(&session).await.status, 200);
    }
    let before = world.stand_in.calls().len();
    refused(&world.status(&session).await, "throttled", "7");
    for route in
        ["GET /v1/payment-methods", "POST /v1/payment-methods/sessions", "POST /v1/portal-sessions"]
    {
        let event = world.event(route).request();
        let answered: Answered = Box::pin(account::handle(&accounts, event)).await.into();
        refused(&answered, "throttled", "7");
    }
    refused(&world.call(&wish(&world, "acme")).await, "throttled", "7");
    let company = json!({"name": "Acme", "address": null, "tax_id": null});
    let company = world.event("PUT /v1/company").json(&company).request();
    let answered: Answered = Box::pin(account::handle(&accounts, company)).await.into();
    refused(&answered, "throttled", "7");
    assert_eq!(world.stand_in.calls().len(), before, "Stripe is not asked");
    // What needs no call is answered, and so is everybody else.
    let balance = world.event("GET /v1/balance").request();
    let balance: Answered = Box::pin(account::handle(&accounts, balance)).await.into();
    assert_eq!(balance.status, 200);
    assert_eq!(world.call(&wish(&world, "bob")).await.status, 201);
    world.advance(7);
    assert_eq!(world.status(&session).await.status, 200);
    world.check().await;
}

#[tokio::test]
async fn payment_page_leads_to_no_balance_above_the_limit() {
    let world = PaymentWorld::with(&[("BALANCE_MAX", "100")]).await;
    let session = world.session("60.00", None).await;
    world.pay(&session, &format!("card={VISA}")).await;
    world.deliver_all().await;
    let answered = world.create(&json!({"amount": "40.01"})).await;
    assert_eq!((answered.status, answered.code()), (422, "balance_too_high"));
    assert_eq!(
        answered.body["detail"],
        "The balance must be at most $100.00 after a top-up. You can add at most $40.00."
    );
    assert_eq!(
        (answered.body["max"].as_str(), answered.body["action"]["contact"].as_str()),
        (Some("40.00"), Some("sales@billing.example"))
    );
    // Two pages at once may lead above it. Confirmed money is always credited.
    let (one, other) = (world.session("40.00", None).await, world.session("40.00", None).await);
    assert_ne!(one, other);
    world.pay(&other, &format!("card={VISA}")).await;
    world.deliver_all().await;
    assert_eq!(world.create(&json!({"amount": "1"})).await.body["max"], "0.00");
    world.check().await;
}
