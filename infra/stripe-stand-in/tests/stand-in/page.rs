//! The payment page.

use serde_json::{Value, json};
use stripe_stand_in::{DebitEnd, StandInConfig};

use crate::support::{START, TOP_UP, World, id, text};

#[tokio::test]
async fn a_top_up_charges_saves_the_card_and_makes_an_invoice() {
    let world = World::new().await;
    let customer = world.customer().await;
    let session = world.session(&customer, &[]).await;
    assert_eq!((text(&session, "status"), text(&session, "payment_status")), ("open", "unpaid"));
    assert_eq!(
        session["payment_intent"],
        Value::Null,
        "Stripe makes it when the page is submitted"
    );
    assert_eq!(session["amount_total"], 2500);

    let page = world.browse(text(&session, "url"), None).await;
    assert_eq!(page.status, 200);
    for shown in [
        "$25.00",
        "Credit of $25.00",
        "We charge $25 when your balance falls below $5.",
        "http://shop.test/cancelled",
    ] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    assert!(!page.text.contains("<script"));

    let fields =
        [("card", "4242 4242 4242 4242"), ("exp", "12/34"), ("cvc", "123"), ("unknown", "x")];
    let location = world.browse(text(&session, "url"), Some(&fields)).await.location();
    assert_eq!(location, format!("http://shop.test/done?session={}", id(&session)));

    let session = world.get(&format!("/v1/checkout/sessions/{}", id(&session)), &[]).await;
    assert_eq!((text(&session, "status"), text(&session, "payment_status")), ("complete", "paid"));
    assert_eq!(session["url"], Value::Null);
    assert_eq!(session["customer_details"]["email"], "acme@example.test");

    let intent =
        world.get(&format!("/v1/payment_intents/{}", text(&session, "payment_intent")), &[]).await;
    assert_eq!(text(&intent, "status"), "succeeded");
    assert_eq!((&intent["amount_received"], &intent["currency"]), (&json!(2500), &json!("usd")));
    assert_eq!(intent["metadata"], json!({ "account": "acme" }), "not the session's own");
    assert!(intent.get("invoice").is_none());
    let charge = world.get(&format!("/v1/charges/{}", text(&intent, "latest_charge")), &[]).await;
    assert_eq!(
        (&charge["paid"], &charge["captured"], &charge["metadata"]["account"]),
        (&json!(true), &json!(true), &json!("acme"))
    );
    let receipt = world.browse(text(&charge, "receipt_url"), None).await;
    assert!(receipt.status == 200 && receipt.text.contains("$25.00"));

    let method =
        world.get(&format!("/v1/payment_methods/{}", text(&intent, "payment_method")), &[]).await;
    assert_eq!(
        (text(&method, "customer"), text(&method, "allow_redisplay")),
        (customer.as_str(), "limited")
    );
    assert_eq!(
        (
            &method["card"]["brand"],
            &method["card"]["funding"],
            &method["card"]["exp_month"],
            &method["card"]["exp_year"]
        ),
        (&json!("visa"), &json!("credit"), &json!(12), &json!(2034))
    );

    let invoice = world.get(&format!("/v1/invoices/{}", text(&session, "invoice")), &[]).await;
    assert_eq!((text(&invoice, "status"), &invoice["amount_paid"]), ("paid", &json!(2500)));
    assert_eq!(invoice["metadata"], json!({ "account": "acme" }));
    assert!(
        world
            .browse(text(&invoice, "hosted_invoice_url"), None)
            .await
            .text
            .contains(text(&invoice, "number"))
    );
    let pdf = world.browse(text(&invoice, "invoice_pdf"), None).await;
    assert_eq!(pdf.header("content-type"), Some("application/pdf"));
    assert!(pdf.text.starts_with("%PDF-1.4") && pdf.text.ends_with("%%EOF\n"));
    let payments = world
        .get(
            "/v1/invoice_payments",
            &[("payment[type]", "payment_intent"), ("payment[payment_intent]", &id(&intent))],
        )
        .await;
    assert_eq!(payments["data"][0]["invoice"], invoice["id"]);

    let told = world.events().await;
    assert_eq!(
        told,
        [
            "customer.created",
            "payment_intent.created",
            "charge.succeeded",
            "payment_method.attached",
            "payment_intent.succeeded",
            "invoice.created",
            "invoiceitem.created",
            "invoice.finalized",
            "invoice.updated",
            "invoice.paid",
            "invoice.payment_succeeded",
            "invoice_payment.paid",
            "checkout.session.completed",
        ]
    );
    let completed = world.told("checkout.session.completed").await;
    assert_eq!(completed["invoice"], invoice["id"]);
    assert_eq!(world.browse(&format!("/c/pay/{}", id(&session)), None).await.status, 410);
    let again = world
        .browse(&format!("/c/pay/{}", id(&session)), Some(&[("card", "4242424242424242")]))
        .await;
    assert_eq!(again.status, 410, "a page cannot be paid twice");
    assert!(world.stripe.calls_outside().is_empty());
}

#[tokio::test]
async fn saved_card_is_offered_and_pays_without_its_number() {
    let world = World::new().await;
    let customer = world.customer().await;
    world.top_up(&customer, "5555555555554444").await;
    let cards =
        world.get("/v1/payment_methods", &[("customer", &customer), ("type", "card")]).await;
    let saved = id(&cards["data"][0]);
    let session = world.session(&customer, &[]).await;
    let page = world.browse(text(&session, "url"), None).await;
    assert!(page.text.contains(&saved) && page.text.contains("4444"));
    world.browse(text(&session, "url"), Some(&[("payment_method", &saved)])).await.location();
    let of_customer = world.get(&format!("/v1/customers/{customer}/payment_methods"), &[]).await;
    assert_eq!(of_customer["data"].as_array().unwrap().len(), 1, "not saved a second time");
    let stranger = world.customer().await;
    let session = world.session(&stranger, &[]).await;
    let answer = world.browse(text(&session, "url"), Some(&[("payment_method", &saved)])).await;
    assert_eq!(answer.status, 402);
}

#[tokio::test]
async fn each_test_card_does_at_the_page_what_stripe_publishes() {
    let world = World::new().await;
    let customer = world.customer().await;
    let table = [
        ("4000000000000002", "card_declined", Some("generic_decline"), "Your card was declined."),
        (
            "4000000000009995",
            "card_declined",
            Some("insufficient_funds"),
            "Your card has insufficient funds.",
        ),
        ("4000000000009987", "card_declined", Some("lost_card"), "Your card was declined."),
        ("4000000000009979", "card_declined", Some("stolen_card"), "Your card was declined."),
        ("4000000000000069", "expired_card", Some("expired_card"), "Your card has expired."),
        (
            "4000000000000127",
            "incorrect_cvc",
            Some("incorrect_cvc"),
            "Your card&#39;s security code is incorrect.",
        ),
        ("4000000000000119", "processing_error", Some("processing_error"), "An error occurred"),
    ];
    for (card, code, decline_code, message) in table {
        let session = world.session(&customer, &[]).await;
        let answer = world.browse(text(&session, "url"), Some(&[("card", card)])).await;
        assert_eq!(answer.status, 402, "{card}");
        assert!(
            answer.text.contains(message) && answer.text.contains("name=\"card\""),
            "{card}: the page stays open"
        );
        let session = world.get(&format!("/v1/checkout/sessions/{}", id(&session)), &[]).await;
        assert_eq!(text(&session, "status"), "open");
        let intent = world
            .get(&format!("/v1/payment_intents/{}", text(&session, "payment_intent")), &[])
            .await;
        assert_eq!(text(&intent, "status"), "requires_payment_method");
        let error = &intent["last_payment_error"];
        assert_eq!(
            (error["code"].as_str(), error["decline_code"].as_str()),
            (Some(code), decline_code),
            "{card}"
        );
        assert_eq!(world.told("payment_intent.payment_failed").await["id"], intent["id"]);
        assert_eq!(world.told("charge.failed").await["failure_code"], code);
        // The same page, another card.
        world
            .browse(&format!("/c/pay/{}", id(&session)), Some(&[("card", "4242424242424242")]))
            .await
            .location();
        let intent = world.get(&format!("/v1/payment_intents/{}", id(&intent)), &[]).await;
        assert_eq!(
            (text(&intent, "status"), &intent["last_payment_error"]),
            ("succeeded", &Value::Null)
        );
    }
    for card in ["4242424242424242", "5555555555554444", "5105105105105100", "4000000000000341"] {
        assert_eq!(text(&world.top_up(&customer, card).await, "payment_status"), "paid", "{card}");
    }
    let prepaid = world.get("/v1/charges", &[("limit", "2")]).await;
    assert_eq!(prepaid["data"][1]["payment_method_details"]["card"]["funding"], "prepaid");
}

#[tokio::test]
async fn a_number_or_a_date_that_cannot_be_is_refused_by_the_page() {
    let world = World::new().await;
    let session = world.session(&world.customer().await, &[]).await;
    let table: [(&[(&str, &str)], &str); 5] = [
        (&[("card", "4242424242424241")], "Your card number is incorrect."),
        (&[("card", "4111111111111111")], "live"),
        (&[("card", "")], "incomplete"),
        (&[("card", "4242424242424242"), ("exp", "10/26")], "expiration year"),
        (&[("card", "4242424242424242"), ("exp", "13/34")], "expiration month"),
    ];
    for (fields, message) in table {
        let answer = world.browse(text(&session, "url"), Some(fields)).await;
        assert!(
            answer.status == 402 && answer.text.contains(message),
            "{fields:?}: {}",
            answer.text
        );
    }
    assert_eq!(world.get("/v1/payment_intents", &[]).await["data"], json!([]), "no bank was asked");
}

#[tokio::test]
async fn a_card_with_3d_secure_asks_the_customer_first() {
    let world = World::new().await;
    let customer = world.customer().await;
    for card in ["4000002500003155", "4000002760003184"] {
        let session = world.session(&customer, &[]).await;
        let bank = world.browse(text(&session, "url"), Some(&[("card", card)])).await.location();
        assert!(bank.starts_with("/authenticate/pi_"));
        assert!(world.browse(&bank, None).await.text.contains("$25.00"));
        assert_eq!(
            text(&world.told("payment_intent.requires_action").await, "status"),
            "requires_action"
        );
        let refused = world.browse(&bank, Some(&[("result", "fail")])).await;
        assert!(refused.status == 402 && refused.text.contains("unable to authenticate"));
        assert_eq!(world.browse(&bank, None).await.status, 410, "asked once only");
        let bank = world.browse(text(&session, "url"), Some(&[("card", card)])).await.location();
        let done = world.browse(&bank, Some(&[("result", "approve")])).await.location();
        assert!(done.starts_with("http://shop.test/done"));
        let session = world.get(&format!("/v1/checkout/sessions/{}", id(&session)), &[]).await;
        assert_eq!(text(&session, "payment_status"), "paid");
    }
}

#[tokio::test]
async fn the_same_number_has_the_same_fingerprint_for_everybody() {
    let world = World::new().await;
    let (one, two) = (world.customer().await, world.customer().await);
    let mut fingerprints = Vec::new();
    for (customer, card) in
        [(&one, "4242424242424242"), (&two, "4242424242424242"), (&two, "5555555555554444")]
    {
        let method = world.save_card(customer, card).await;
        let method = world.get(&format!("/v1/payment_methods/{method}"), &[]).await;
        fingerprints.push(method["card"]["fingerprint"].as_str().unwrap().to_owned());
    }
    assert_eq!(fingerprints[0], fingerprints[1]);
    assert_ne!(fingerprints[1], fingerprints[2]);
}

#[tokio::test]
async fn a_bank_debit_completes_unpaid_and_succeeds_or_fails_later() {
    let world =
        World::with(StandInConfig { bank_debit_seconds: Some(600), ..StandInConfig::default() })
            .await;
    let customer = world.customer().await;
    let delayed = [("payment_method_types[1]", "us_bank_account")];
    let pay = async |fields: &[(&str, &str)]| {
        let session = world.session(&customer, &delayed).await;
        let mut all = vec![("method", "us_bank_account")];
        all.extend_from_slice(fields);
        world.browse(text(&session, "url"), Some(&all)).await.location();
        let session = world.get(&format!("/v1/checkout/sessions/{}", id(&session)), &[]).await;
        assert_eq!(
            (text(&session, "status"), text(&session, "payment_status")),
            ("complete", "unpaid")
        );
        assert_eq!(world.told("payment_intent.processing").await["id"], session["payment_intent"]);
        session
    };
    let status = async |session: &Value| {
        let intent = world
            .get(&format!("/v1/payment_intents/{}", text(session, "payment_intent")), &[])
            .await;
        text(&intent, "status").to_owned()
    };

    let on_demand = pay(&[]).await;
    world.stripe.resolve_debit(&id(&on_demand), DebitEnd::Succeeded).unwrap();
    assert_eq!(status(&on_demand).await, "succeeded");
    let told = world.told("checkout.session.async_payment_succeeded").await;
    assert_eq!((text(&told, "payment_status"), &told["id"]), ("paid", &on_demand["id"]));
    assert!(told["invoice"].is_string(), "the invoice comes with the money");
    assert!(
        world.stripe.resolve_debit(&id(&on_demand), DebitEnd::Failed).is_err(),
        "answered once only"
    );

    let fails = pay(&[]).await;
    world.stripe.resolve_debit(text(&fails, "payment_intent"), DebitEnd::Failed).unwrap();
    assert_eq!(status(&fails).await, "requires_payment_method");
    assert_eq!(
        text(&world.told("checkout.session.async_payment_failed").await, "payment_status"),
        "unpaid"
    );
    let canceled = format!("/v1/payment_intents/{}/cancel", text(&fails, "payment_intent"));
    assert_eq!(text(&world.post(&canceled, &[]).await, "status"), "canceled");

    let by_clock = pay(&[]).await;
    let by_account = pay(&[("account", "000222222227")]).await;
    world.advance(599);
    assert_eq!(status(&by_clock).await, "processing");
    world.advance(1);
    assert_eq!(status(&by_clock).await, "succeeded");
    assert_eq!(status(&by_account).await, "requires_payment_method");

    let card_only = world.session(&customer, &[]).await;
    let answer =
        world.browse(text(&card_only, "url"), Some(&[("method", "us_bank_account")])).await;
    assert_eq!(answer.status, 402);
}

#[tokio::test]
async fn a_session_expires_by_the_clock_or_by_the_call() {
    let world = World::new().await;
    let customer = world.customer().await;
    let soon = (START + 1800).to_string();
    let by_clock = world.session(&customer, &[("expires_at", &soon)]).await;
    world.browse(text(&by_clock, "url"), Some(&[("card", "4000000000000002")])).await;
    assert_eq!(world.stripe.next_due(), Some(START + 1800));
    world.advance(1799);
    assert_eq!(text(&world.stripe.object(&id(&by_clock)).unwrap(), "status"), "open");
    world.advance(3600);
    let session = world.get(&format!("/v1/checkout/sessions/{}", id(&by_clock)), &[]).await;
    assert_eq!((text(&session, "status"), &session["url"]), ("expired", &Value::Null));
    let events = world.get("/v1/events", &[("type", "checkout.session.expired")]).await;
    assert_eq!(
        events["data"][0]["created"],
        START + 1800,
        "at its own time, not when it was noticed"
    );
    let canceled = world.told("payment_intent.canceled").await;
    assert_eq!(
        (&canceled["id"], text(&canceled, "cancellation_reason")),
        (&session["payment_intent"], "expired")
    );
    assert_eq!(world.browse(text(&by_clock, "url"), None).await.status, 410);
    assert_eq!(
        world.browse(text(&by_clock, "url"), Some(&[("card", "4242424242424242")])).await.status,
        410
    );

    let by_call = id(&world.session(&customer, &[]).await);
    let expire = format!("/v1/checkout/sessions/{by_call}/expire");
    assert_eq!(text(&world.post(&expire, &[]).await, "status"), "expired");
    let (status, error) = world.refused("POST", &expire, &[]).await;
    assert_eq!(status, 400);
    assert!(text(&error, "message").contains("status of `expired`"));
    let open =
        world.get("/v1/checkout/sessions", &[("customer", &customer), ("status", "open")]).await;
    assert_eq!(open["data"], json!([]));

    for life in [1799, 24 * 3600 + 1] {
        let at = (world.now() + life).to_string();
        let mut params = TOP_UP.to_vec();
        params.extend([("customer", customer.as_str()), ("expires_at", at.as_str())]);
        let (status, error) = world.refused("POST", "/v1/checkout/sessions", &params).await;
        assert_eq!((status, text(&error, "param")), (400, "expires_at"));
    }
}

#[tokio::test]
async fn a_card_is_added_without_paying() {
    let world = World::new().await;
    let customer = world.customer().await;
    let params = [
        ("mode", "setup"),
        ("customer", customer.as_str()),
        ("success_url", "http://shop.test/done"),
        ("setup_intent_data[metadata][account]", "acme"),
    ];
    let session = world.post("/v1/checkout/sessions", &params).await;
    let refused = world.browse(text(&session, "url"), Some(&[("card", "4000000000000002")])).await;
    assert_eq!(refused.status, 402);
    world.browse(text(&session, "url"), Some(&[("card", "4242424242424242")])).await.location();
    let completed = world.told("checkout.session.completed").await;
    assert_eq!(
        (text(&completed, "mode"), text(&completed, "payment_status")),
        ("setup", "no_payment_required")
    );
    let intent = world.told("setup_intent.succeeded").await;
    assert_eq!(
        (&intent["metadata"]["account"], &intent["id"]),
        (&json!("acme"), &completed["setup_intent"])
    );
    assert_eq!(world.told("payment_method.attached").await["id"], intent["payment_method"]);
    assert_eq!(world.get("/v1/charges", &[]).await["data"], json!([]));
    assert!(world.save_card(&customer, "4000002500003155").await.starts_with("pm_"));
}

#[tokio::test]
async fn automatic_tax_comes_on_top_of_the_credit() {
    let world =
        World::with(StandInConfig { tax_basis_points: 875, ..StandInConfig::default() }).await;
    let customer = world.customer().await;
    let mut params = TOP_UP.to_vec();
    params.extend([("customer", customer.as_str()), ("automatic_tax[enabled]", "true")]);
    let (_, error) = world.refused("POST", "/v1/checkout/sessions", &params).await;
    assert_eq!(text(&error, "code"), "customer_tax_location_invalid");
    let taxed = [
        ("automatic_tax[enabled]", "true"),
        ("billing_address_collection", "required"),
        ("customer_update[address]", "auto"),
        ("customer_update[name]", "auto"),
        ("tax_id_collection[enabled]", "true"),
    ];
    let session = world.session(&customer, &taxed).await;
    assert_eq!(session["automatic_tax"]["status"], "requires_location_inputs");
    let without = world.browse(text(&session, "url"), Some(&[("card", "4242424242424242")])).await;
    assert_eq!(without.status, 402);
    let fields = [
        ("card", "4242424242424242"),
        ("name", "Acme GmbH"),
        ("country", "US"),
        ("postal_code", "94103"),
        ("tax_id", "DE123456789"),
    ];
    world.browse(text(&session, "url"), Some(&fields)).await.location();
    let session = world
        .get(&format!("/v1/checkout/sessions/{}", id(&session)), &[("expand[]", "invoice")])
        .await;
    // 8.75 % of $25.00 is $2.1875.
    assert_eq!(
        (&session["amount_subtotal"], &session["amount_total"]),
        (&json!(2500), &json!(2719))
    );
    assert_eq!(session["total_details"]["amount_tax"], 219);
    assert_eq!(
        (&session["invoice"]["total"], &session["invoice"]["total_excluding_tax"]),
        (&json!(2719), &json!(2500))
    );
    let intent =
        world.get(&format!("/v1/payment_intents/{}", text(&session, "payment_intent")), &[]).await;
    assert_eq!(intent["amount_received"], 2719);
    let told = world.told("customer.updated").await;
    assert_eq!(
        (&told["name"], &told["address"]["postal_code"]),
        (&json!("Acme GmbH"), &json!("94103"))
    );
    let tax_ids = world.get(&format!("/v1/customers/{customer}/tax_ids"), &[]).await;
    assert_eq!(tax_ids["data"][0]["value"], "DE123456789");
    assert_eq!(text(&world.get("/v1/tax/settings", &[]).await, "status"), "active");
}

#[tokio::test]
async fn a_session_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    let customer = world.customer().await;
    let base = [("success_url", "http://shop.test/done"), ("customer", customer.as_str())];
    let table: [(&[(&str, &str)], &str); 5] = [
        (&[("mode", "payment")], "line_items"),
        (&[("mode", "setup"), ("payment_intent_data[description]", "x")], "payment_intent_data"),
        (&[("mode", "setup"), ("line_items[0][quantity]", "1")], "line_items"),
        (&[("mode", "payment"), ("customer_email", "a@b.test")], "customer_email"),
        (&[], "mode"),
    ];
    for (params, param) in table {
        let params: Vec<(&str, &str)> = base.iter().chain(params).copied().collect();
        let (status, error) = world.refused("POST", "/v1/checkout/sessions", &params).await;
        assert_eq!((status, text(&error, "param")), (400, param));
    }
    let small: Vec<(&str, &str)> = TOP_UP
        .iter()
        .map(|(name, value)| (*name, if name.ends_with("[unit_amount]") { "49" } else { value }))
        .collect();
    let (_, error) = world.refused("POST", "/v1/checkout/sessions", &small).await;
    assert_eq!(text(&error, "code"), "amount_too_small");
}
