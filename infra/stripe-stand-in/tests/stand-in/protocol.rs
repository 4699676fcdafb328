//! The protocol: keys, versions, parameters, errors, lists, expansion.

use serde_json::{Value, json};

use crate::support::{HOOK, KEY, START, World, id, text};

#[tokio::test]
async fn a_call_needs_the_secret_key_as_bearer_or_basic() {
    let world = World::new().await;
    let (status, error) = world.send("GET", "/v1/account", &[], &[]).await.unwrap().refused();
    assert_eq!((status, text(&error, "type")), (401, "invalid_request_error"));
    let wrong = world
        .send("GET", "/v1/account", &[("authorization", "Bearer sk_test_wrong")], &[])
        .await
        .unwrap();
    let (status, error) = wrong.refused();
    assert_eq!(status, 401);
    assert_eq!(
        text(&error, "message"),
        "Invalid API Key provided: *********rong".replace("*********", &"*".repeat(9))
    );
    // base64("sk_test_local:")
    let basic = [("authorization", "Basic c2tfdGVzdF9sb2NhbDo=")];
    assert_eq!(world.send("GET", "/v1/account", &basic, &[]).await.unwrap().status, 200);
}

#[tokio::test]
async fn every_answer_has_its_request_id_and_requested_version() {
    let world = World::new().await;
    let authorization = format!("Bearer {KEY}");
    let headers =
        [("authorization", authorization.as_str()), ("stripe-version", "2025-03-31.basil")];
    let answer = world.send("GET", "/v1/account", &headers, &[]).await.unwrap();
    assert_eq!(answer.header("stripe-version"), Some("2025-03-31.basil"));
    assert!(answer.header("request-id").unwrap().starts_with("req_"));
    assert_eq!(
        world.call("GET", "/v1/account", &[]).await.header("stripe-version"),
        Some("2026-08-26.dahlia")
    );
}

#[tokio::test]
async fn unsupported_call_gets_stripes_error_and_is_recorded() {
    let world = World::new().await;
    let (status, error) = world.refused("GET", "/v1/subscriptions", &[]).await;
    assert_eq!(status, 404);
    assert!(
        text(&error, "message").starts_with("Unrecognized request URL (GET: /v1/subscriptions).")
    );

    let (status, error) = world.refused("POST", "/v1/customers", &[("emial", "a@b.test")]).await;
    assert_eq!(
        (status, text(&error, "code"), text(&error, "param")),
        (400, "parameter_unknown", "emial")
    );
    assert_eq!(text(&error, "message"), "Received unknown parameter: emial");

    let (status, _) =
        world.refused("POST", "/v1/checkout/sessions", &[("mode", "subscription")]).await;
    assert_eq!(status, 400);
    let (status, error) =
        world.refused("GET", "/v1/charges", &[("expand[]", "latest_charge")]).await;
    assert_eq!(status, 400);
    assert!(text(&error, "message").contains("cannot be expanded"));

    let outside: Vec<String> =
        world.stripe.calls_outside().into_iter().map(|call| call.path).collect();
    assert_eq!(
        outside,
        ["/v1/subscriptions", "/v1/customers", "/v1/checkout/sessions", "/v1/charges"]
    );
    assert_eq!(world.get("/v1/customers", &[]).await["data"], json!([]), "nothing was made");
}

#[tokio::test]
async fn call_is_recorded_with_endpoint_parameters_key_and_status() {
    let world = World::new().await;
    let customer = world.customer().await;
    world
        .keyed("update/1", &format!("/v1/customers/{customer}"), &[("metadata[a]", "b")])
        .await
        .unwrap()
        .ok();
    let call = world.stripe.calls().pop().unwrap();
    assert_eq!(call.endpoint.as_deref(), Some("POST /v1/customers/{customer}"));
    assert_eq!(call.idempotency_key.as_deref(), Some("update/1"));
    assert_eq!(call.params.get("metadata[a]").map(String::as_str), Some("b"));
    assert_eq!((call.status, call.replayed, call.outside), (Some(200), false, None));
    assert!(world.stripe.calls_outside().is_empty());
}

#[tokio::test]
async fn brackets_say_the_same_with_and_without_numbers() {
    let world = World::new().await;
    let numbered = [("url", HOOK), ("enabled_events[0]", "a.b"), ("enabled_events[1]", "c.d")];
    let empty = [("url", HOOK), ("enabled_events[]", "a.b"), ("enabled_events[]", "c.d")];
    for params in [numbered, empty] {
        let endpoint = world.post("/v1/webhook_endpoints", &params).await;
        assert_eq!(endpoint["enabled_events"], json!(["a.b", "c.d"]));
    }
    let customer = world
        .post(
            "/v1/customers",
            &[("tax_id_data[][type]", "eu_vat"), ("tax_id_data[][value]", "DE123456789")],
        )
        .await;
    let expanded =
        world.get(&format!("/v1/customers/{}", id(&customer)), &[("expand[]", "tax_ids")]).await;
    assert_eq!(expanded["tax_ids"]["data"][0]["value"], "DE123456789");
}

#[tokio::test]
async fn values_of_the_wrong_type_are_refused() {
    let world = World::new().await;
    let (_, error) = world.refused("GET", "/v1/customers", &[("limit", "ten")]).await;
    assert_eq!(
        (text(&error, "code"), text(&error, "param")),
        ("parameter_invalid_integer", "limit")
    );
    for limit in ["0", "101"] {
        assert_eq!(world.refused("GET", "/v1/customers", &[("limit", limit)]).await.0, 400);
    }
    let (_, error) = world.refused("POST", "/v1/invoices", &[("auto_advance", "yes")]).await;
    assert_eq!(text(&error, "message"), "Invalid boolean: yes");
    let (_, error) = world.refused("POST", "/v1/invoices", &[]).await;
    assert_eq!((text(&error, "code"), text(&error, "param")), ("parameter_missing", "customer"));
}

#[tokio::test]
async fn missing_object_is_404_in_the_url_and_400_in_a_parameter() {
    let world = World::new().await;
    let (status, error) = world.refused("GET", "/v1/customers/cus_none", &[]).await;
    assert_eq!((status, text(&error, "code")), (404, "resource_missing"));
    assert_eq!(text(&error, "message"), "No such customer: 'cus_none'");
    let (status, error) = world.refused("POST", "/v1/invoices", &[("customer", "cus_none")]).await;
    assert_eq!((status, text(&error, "param")), (400, "customer"));
}

#[tokio::test]
async fn a_list_is_walked_by_its_cursors_newest_first() {
    let world = World::new().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(world.customer().await);
        world.advance(10);
    }
    made.reverse();
    let ids = |page: &Value| page["data"].as_array().unwrap().iter().map(id).collect::<Vec<_>>();
    let first = world.get("/v1/customers", &[("limit", "2")]).await;
    assert_eq!((ids(&first), &first["has_more"]), (made[..2].to_vec(), &json!(true)));
    assert_eq!((text(&first, "object"), text(&first, "url")), ("list", "/v1/customers"));
    let next = world.get("/v1/customers", &[("limit", "3"), ("starting_after", &made[1])]).await;
    assert_eq!((ids(&next), &next["has_more"]), (made[2..].to_vec(), &json!(false)));
    let back = world.get("/v1/customers", &[("limit", "1"), ("ending_before", &made[2])]).await;
    assert_eq!((ids(&back), &back["has_more"]), (vec![made[1].clone()], &json!(true)));
    let (status, _) =
        world.refused("GET", "/v1/customers", &[("starting_after", "cus_none")]).await;
    assert_eq!(status, 400);
    let since = (START + 30).to_string();
    assert_eq!(
        ids(&world.get("/v1/customers", &[("created[gte]", &since)]).await),
        made[..2].to_vec()
    );
    assert_eq!(
        ids(&world.get("/v1/customers", &[("created[lt]", &since)]).await),
        made[2..].to_vec()
    );
}

#[tokio::test]
async fn expansion_puts_the_object_in_the_place_of_its_id() {
    let world = World::new().await;
    let customer = world.customer().await;
    let session = world.top_up(&customer, "4242424242424242").await;
    let intent = text(&session, "payment_intent");
    let expanded = world
        .get(
            &format!("/v1/payment_intents/{intent}"),
            &[("expand[]", "latest_charge.balance_transaction"), ("expand[]", "payment_method")],
        )
        .await;
    assert_eq!(expanded["latest_charge"]["object"], "charge");
    assert_eq!(expanded["latest_charge"]["balance_transaction"]["net"], 2500 - 102);
    assert_eq!(expanded["payment_method"]["card"]["last4"], "4242");
    let list = world
        .get(
            "/v1/checkout/sessions",
            &[("customer", &customer), ("expand[0]", "data.payment_intent")],
        )
        .await;
    assert_eq!(list["data"][0]["payment_intent"]["id"], intent);
}
