//! Stripe's customer portal, and the list of invoices with their refunds and chargebacks.

use crate::account_stripe_support::{INVOICES, PORTAL, add, ask, call, refused};
use serde_json::{Value, json};
use stripe_stand_in::{DisputeEnd, DisputeKind, NewDispute, StripeFaultKind};
use tollgate_tests::api::ApiEvent;
use tollgate_tests::payments::{PaymentWorld, VISA, acme};

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

#[tokio::test]
async fn every_paid_credit_has_its_invoice_newest_first() {
    let world = PaymentWorld::new().await;
    assert_eq!(ask(&world, INVOICES).await.body, json!({"open": [], "items": [], "next": null}));
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
