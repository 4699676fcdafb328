//! Invoices and cards off session.

use serde_json::{Value, json};
use stripe_stand_in::{CardRule, DebitEnd, StandInConfig};

use crate::support::{World, id, only, text};

#[tokio::test]
async fn a_refill_is_an_invoice_drafted_filled_finalized_and_paid() {
    let world = World::new().await;
    let customer = world.customer().await;
    let method = world.save_card(&customer, "4242424242424242").await;
    let invoice = world.open_invoice(&customer).await;
    let open = world.get(&format!("/v1/invoices/{invoice}"), &[]).await;
    assert_eq!(
        (text(&open, "status"), &open["amount_due"], &open["attempted"]),
        ("open", &json!(2500), &json!(false))
    );
    assert_eq!(open["metadata"], json!({ "attempt": "1" }));
    let item = [("customer", customer.as_str()), ("invoice", &invoice), ("amount", "1")];
    assert_eq!(
        world.refused("POST", "/v1/invoiceitems", &item).await.1["code"],
        "invoice_not_editable"
    );

    let paid = world.pay(&invoice, &method).await.ok();
    assert_eq!((text(&paid, "status"), &paid["amount_remaining"]), ("paid", &json!(0)));
    let payments = world
        .get(
            "/v1/invoice_payments",
            &[("invoice", &invoice), ("expand[]", "data.payment.payment_intent")],
        )
        .await;
    let intent = &payments["data"][0]["payment"]["payment_intent"];
    assert_eq!(
        (text(intent, "status"), &intent["metadata"]),
        ("succeeded", &json!({})),
        "its metadata stays on the invoice"
    );
    let expanded = world.get(&format!("/v1/invoices/{invoice}"), &[("expand[]", "payments")]).await;
    assert_eq!(expanded["payments"]["data"][0]["status"], "paid");

    let (status, error) = world.pay(&invoice, &method).await.refused();
    assert_eq!((status, text(&error, "message")), (400, "Invoice is already paid"));
    assert_eq!(world.refused("POST", &format!("/v1/invoices/{invoice}/void"), &[]).await.0, 400);
    let list = world.get("/v1/invoices", &[("customer", &customer), ("status", "paid")]).await;
    assert_eq!(list["data"][0]["id"], invoice.as_str());
    let told = world.events().await;
    let wanted = [
        "invoice.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.paid",
        "invoice_payment.paid",
    ];
    assert_eq!(only(&told, &wanted), wanted);
}

#[tokio::test]
async fn each_test_card_does_off_session_what_stripe_publishes() {
    let world = World::new().await;
    let customer = world.customer().await;
    let table = [
        ("4242424242424242", None),
        ("5555555555554444", None),
        ("5105105105105100", None),
        // Authenticated once when it was saved; the other one wants it each time.
        ("4000002500003155", None),
        ("4000002760003184", Some(("authentication_required", "authentication_required"))),
        ("4000000000000341", Some(("card_declined", "generic_decline"))),
    ];
    for (card, decline) in table {
        let method = world.save_card(&customer, card).await;
        let invoice = world.open_invoice(&customer).await;
        let answer = world.pay(&invoice, &method).await;
        let Some((code, decline_code)) = decline else {
            assert_eq!(text(&answer.ok(), "status"), "paid", "{card}");
            continue;
        };
        let (status, error) = answer.refused();
        assert_eq!((status, text(&error, "type")), (402, "card_error"), "{card}");
        assert_eq!(
            (text(&error, "code"), text(&error, "decline_code")),
            (code, decline_code),
            "{card}"
        );
        assert_eq!(error["payment_intent"]["status"], "requires_payment_method");
        assert_eq!(error["payment_method"]["id"], method.as_str());
        assert!(text(&error, "charge").starts_with("ch_"));
        let failed = world.told("invoice.payment_failed").await;
        assert_eq!((&failed["id"], &failed["attempt_count"]), (&json!(invoice), &json!(1)));

        let voided = world.post(&format!("/v1/invoices/{invoice}/void"), &[]).await;
        assert_eq!(text(&voided, "status"), "void");
        assert_eq!(
            text(&world.told("payment_intent.canceled").await, "cancellation_reason"),
            "void_invoice"
        );
        assert_eq!(world.pay(&invoice, &method).await.status, 400);
    }
    // A card that is declined at once cannot be saved at all.
    for card in [
        "4000000000000002",
        "4000000000009995",
        "4000000000009987",
        "4000000000009979",
        "4000000000000069",
        "4000000000000127",
        "4000000000000119",
    ] {
        let params = [
            ("mode", "setup"),
            ("customer", customer.as_str()),
            ("success_url", "http://shop.test/done"),
        ];
        let session = world.post("/v1/checkout/sessions", &params).await;
        assert_eq!(
            world.browse(text(&session, "url"), Some(&[("card", card)])).await.status,
            402,
            "{card}"
        );
    }
}

#[tokio::test]
async fn a_card_that_was_never_set_up_needs_its_owner() {
    let world = World::new().await;
    let customer = world.customer().await;
    let attach = "/v1/payment_methods/pm_card_authenticationRequiredOnSetup/attach";
    let method = id(&world.post(attach, &[("customer", &customer)]).await);
    let invoice = world.open_invoice(&customer).await;
    let (_, error) = world.pay(&invoice, &method).await.refused();
    assert_eq!(text(&error, "code"), "authentication_required");
    // The invoice stays open and is paid at its own page.
    let page = text(&world.stripe.object(&invoice).unwrap(), "hosted_invoice_url").to_owned();
    let bank = world.browse(&page, Some(&[("payment_method", &method)])).await.location();
    let done = world.browse(&bank, Some(&[("result", "approve")])).await.location();
    assert_eq!(done, format!("/i/{invoice}"));
    assert_eq!(text(&world.get(&format!("/v1/invoices/{invoice}"), &[]).await, "status"), "paid");
    // On session, Stripe reports it differently.
    let invoice = world.open_invoice(&customer).await;
    let on_session = [("off_session", "false"), ("payment_method", "pm_card_visa")];
    assert_eq!(
        world.refused("POST", &format!("/v1/invoices/{invoice}/pay"), &on_session).await.0,
        400
    );
    let attach = "/v1/payment_methods/pm_card_authenticationRequired/attach";
    let always = id(&world.post(attach, &[("customer", &customer)]).await);
    let on_session = [("off_session", "false"), ("payment_method", always.as_str())];
    let (status, error) =
        world.refused("POST", &format!("/v1/invoices/{invoice}/pay"), &on_session).await;
    assert_eq!((status, text(&error, "code")), (402, "invoice_payment_intent_requires_action"));
}

#[tokio::test]
async fn a_card_starts_to_decline_on_demand_with_the_networks_advice() {
    let world = World::new().await;
    let customer = world.customer().await;
    let method = world.save_card(&customer, "4242424242424242").await;
    let rule = CardRule {
        decline_code: "stolen_card".to_owned(),
        network_advice_code: Some("03".to_owned()),
    };
    world.stripe.decline_card(&method, Some(rule));
    let invoice = world.open_invoice(&customer).await;
    let (_, error) = world.pay(&invoice, &method).await.refused();
    assert_eq!(
        (text(&error, "decline_code"), text(&error, "network_advice_code")),
        ("stolen_card", "03")
    );
    assert_eq!(text(&error, "advice_code"), "do_not_try_again");
    world.stripe.decline_card(&method, None);
    assert_eq!(text(&world.pay(&invoice, &method).await.ok(), "status"), "paid");
}

#[tokio::test]
async fn a_card_of_somebody_else_or_detached_is_not_charged() {
    let world = World::new().await;
    let (customer, stranger) = (world.customer().await, world.customer().await);
    let method = world.save_card(&customer, "4242424242424242").await;
    let invoice = world.open_invoice(&stranger).await;
    let (status, error) = world.pay(&invoice, &method).await.refused();
    assert_eq!((status, text(&error, "param")), (400, "payment_method"));

    world
        .post(
            &format!("/v1/customers/{customer}"),
            &[("invoice_settings[default_payment_method]", &method)],
        )
        .await;
    let detached = world.post(&format!("/v1/payment_methods/{method}/detach"), &[]).await;
    assert_eq!(detached["customer"], Value::Null);
    let events = world.get("/v1/events", &[("type", "payment_method.detached")]).await;
    assert_eq!(events["data"][0]["data"]["previous_attributes"], json!({ "customer": customer }));
    assert_eq!(
        world.told("customer.updated").await["invoice_settings"]["default_payment_method"],
        Value::Null
    );
    assert_eq!(
        world.refused("POST", &format!("/v1/payment_methods/{method}/detach"), &[]).await.0,
        400
    );
    let invoice = world.open_invoice(&customer).await;
    assert_eq!(world.pay(&invoice, &method).await.status, 400);
    let attach = format!("/v1/payment_methods/{method}/attach");
    let (_, error) = world.refused("POST", &attach, &[("customer", &customer)]).await;
    assert!(text(&error, "message").contains("may not be used again"));
    let (_, error) = world.refused("POST", &format!("/v1/invoices/{invoice}/pay"), &[]).await;
    assert!(text(&error, "message").contains("default_payment_method"));
}

#[tokio::test]
async fn a_refill_by_bank_debit_is_paid_when_the_bank_says_so() {
    let world = World::new().await;
    let customer = world.customer().await;
    let session = world.session(&customer, &[("payment_method_types[1]", "us_bank_account")]).await;
    world.browse(text(&session, "url"), Some(&[("method", "us_bank_account")])).await.location();
    let methods = world
        .get("/v1/payment_methods", &[("customer", &customer), ("type", "us_bank_account")])
        .await;
    let invoice = world.open_invoice(&customer).await;
    let pending = world.pay(&invoice, &id(&methods["data"][0])).await.ok();
    assert_eq!(text(&pending, "status"), "open");
    assert_eq!(world.refused("POST", &format!("/v1/invoices/{invoice}/void"), &[]).await.0, 400);
    let payments = world.get("/v1/invoice_payments", &[("invoice", &invoice)]).await;
    let intent = text(&payments["data"][0]["payment"], "payment_intent").to_owned();
    world.stripe.resolve_debit(&intent, DebitEnd::Succeeded).unwrap();
    assert_eq!(text(&world.told("invoice.paid").await, "status"), "paid");
}

#[tokio::test]
async fn tax_that_cannot_be_worked_out_is_no_decline() {
    let world =
        World::with(StandInConfig { tax_basis_points: 1000, ..StandInConfig::default() }).await;
    let customer = world.customer().await;
    let params = [("customer", customer.as_str()), ("automatic_tax[enabled]", "true")];
    let (status, error) = world.refused("POST", "/v1/invoices", &params).await;
    assert_eq!((status, text(&error, "code")), (400, "customer_tax_location_invalid"));
    let unknown = [("tax[validate_location]", "immediately"), ("address[country]", "US")];
    let (_, error) = world.refused("POST", &format!("/v1/customers/{customer}"), &unknown).await;
    assert_eq!(text(&error, "code"), "customer_tax_location_invalid");
    let known = [
        ("tax[validate_location]", "immediately"),
        ("address[country]", "US"),
        ("address[postal_code]", "94103"),
    ];
    world.post(&format!("/v1/customers/{customer}"), &known).await;
    let invoice = id(&world.post("/v1/invoices", &params).await);
    let item = [
        ("customer", customer.as_str()),
        ("invoice", &invoice),
        ("amount", "2500"),
        ("tax_behavior", "exclusive"),
    ];
    world.post("/v1/invoiceitems", &item).await;
    let invoice = world.post(&format!("/v1/invoices/{invoice}/finalize"), &[]).await;
    assert_eq!((&invoice["amount_due"], &invoice["subtotal"]), (&json!(2750), &json!(2500)));
}
