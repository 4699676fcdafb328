//! Customers, and the portal in which they change their cards.

use serde_json::{Value, json};

use crate::support::{World, id, text};

#[tokio::test]
async fn a_customer_is_kept_up_to_date_and_deleted() {
    let world = World::new().await;
    let customer = world.customer().await;
    let path = format!("/v1/customers/{customer}");
    world
        .post(&path, &[("name", "Acme"), ("metadata[plan]", "a"), ("metadata[account]", "")])
        .await;
    let events = world.get("/v1/events", &[("type", "customer.updated")]).await;
    assert_eq!(events["data"][0]["data"]["previous_attributes"]["name"], Value::Null);
    let updated = world.get(&path, &[]).await;
    assert_eq!((&updated["name"], &updated["metadata"]), (&json!("Acme"), &json!({ "plan": "a" })));
    world.post(&path, &[("name", "Acme")]).await;
    assert_eq!(
        world.get("/v1/events", &[("type", "customer.updated")]).await["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let tax_id = world
        .post(&format!("{path}/tax_ids"), &[("type", "eu_vat"), ("value", "DE123456789")])
        .await;
    assert_eq!(
        world
            .refused("POST", &format!("{path}/tax_ids"), &[("type", "eu_vat"), ("value", "x")])
            .await
            .1["code"],
        "tax_id_invalid"
    );
    let deleted = world.call("DELETE", &format!("{path}/tax_ids/{}", id(&tax_id)), &[]).await.ok();
    assert_eq!(deleted["deleted"], true);
    assert_eq!(world.get(&format!("{path}/tax_ids"), &[]).await["data"], json!([]));

    let method = world.save_card(&customer, "4242424242424242").await;
    world.call("DELETE", &path, &[]).await.ok();
    assert_eq!(
        world.get(&path, &[]).await,
        json!({ "id": customer, "object": "customer", "deleted": true })
    );
    assert_eq!(
        world.get(&format!("/v1/payment_methods/{method}"), &[]).await["customer"],
        Value::Null
    );
    assert_eq!(world.told("customer.deleted").await["id"], customer.as_str());
    assert_eq!(world.refused("POST", "/v1/invoices", &[("customer", &customer)]).await.0, 400);
}

#[tokio::test]
async fn the_portal_changes_and_removes_cards() {
    let world = World::new().await;
    let customer = world.customer().await;
    let one = world.save_card(&customer, "4242424242424242").await;
    let (status, _) =
        world.refused("POST", "/v1/billing_portal/sessions", &[("customer", &customer)]).await;
    assert_eq!(status, 400, "no default configuration");
    let features = [
        ("features[payment_method_update][enabled]", "true"),
        ("features[invoice_history][enabled]", "true"),
    ];
    let configuration = id(&world.post("/v1/billing_portal/configurations", &features).await);
    world
        .post(
            &format!("/v1/billing_portal/configurations/{configuration}"),
            &[("default_return_url", "http://shop.test/billing")],
        )
        .await;
    let params = [("customer", customer.as_str()), ("configuration", &configuration)];
    let session = world.post("/v1/billing_portal/sessions", &params).await;
    assert_eq!(text(&session, "return_url"), "http://shop.test/billing");
    let url = text(&session, "url");
    assert!(world.browse(url, None).await.text.contains("4242"));
    world.browse(url, Some(&[("action", "add"), ("card", "5555555555554444")])).await.location();
    let two =
        text(&world.told("customer.updated").await["invoice_settings"], "default_payment_method")
            .to_owned();
    assert_ne!(one, two);
    world.browse(url, Some(&[("action", "default"), ("payment_method", &one)])).await.location();
    assert_eq!(
        world.told("customer.updated").await["invoice_settings"]["default_payment_method"],
        one.as_str()
    );
    world.browse(url, Some(&[("action", "detach"), ("payment_method", &two)])).await.location();
    assert_eq!(world.told("payment_method.detached").await["id"], two.as_str());
    world.stripe.update_card(&one, 1, 2040).unwrap();
    assert_eq!(world.told("payment_method.automatically_updated").await["card"]["exp_year"], 2040);
    world.stripe.detach_in_portal(&one).unwrap();
    assert!(world.stripe.detach_in_portal(&one).is_err());

    // After the portal's settings were saved in the dashboard, a session need not name a
    // configuration.
    let default = world.stripe.save_portal_settings().unwrap();
    let session = world.post("/v1/billing_portal/sessions", &[("customer", &customer)]).await;
    assert_eq!(text(&session, "configuration"), default);
    let listed = world.get("/v1/billing_portal/configurations", &[("is_default", "true")]).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}
