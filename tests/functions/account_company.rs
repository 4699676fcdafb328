//! The company on invoices: its name, address and tax ID, as stored and as sent to Stripe.

use crate::account_stripe_support::{COMPANY, PUT_COMPANY, add, ask, call, german, refused};
use serde_json::{Value, json};
use tollgate_tests::api::ApiEvent;
use tollgate_tests::payments::{PaymentWorld, VISA, die_everywhere};

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
