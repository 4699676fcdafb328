//! The stand-in compared with Stripe's own OpenAPI, which is not part of this repository
//! (<https://github.com/stripe/openapi>). `STRIPE_OPENAPI=…/spec3.json` names it. Without it
//! nothing is compared, and the tests print a message.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stripe_stand_in::{
    AnswerShape, ENDPOINTS, Endpoint, Parameter, ParameterKind, StandInConfig, StripeFaultKind,
};

use crate::support::{HOOK, World, id, text};

/// Stripe's OpenAPI, if available.
fn specification() -> Option<Value> {
    let Some(path) = std::env::var_os("STRIPE_OPENAPI") else {
        eprintln!("not run: STRIPE_OPENAPI does not name Stripe's spec3.json");
        return None;
    };
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

/// Follows a `$ref`.
fn resolve<'a>(spec: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => spec.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// The schema of a parameter, by the segments of its name; several where Stripe allows several
/// forms.
fn parameter<'a>(spec: &'a Value, schema: &'a Value, path: &[&str]) -> Vec<&'a Value> {
    let schema = resolve(spec, schema);
    if let Some(any) = schema["anyOf"].as_array() {
        return any.iter().flat_map(|schema| parameter(spec, schema, path)).collect();
    }
    let Some((first, rest)) = path.split_first() else { return vec![schema] };
    let next = if first.is_empty() { &schema["items"] } else { &schema["properties"][*first] };
    if next.is_null() { Vec::new() } else { parameter(spec, next, rest) }
}

fn segments(name: &str) -> Vec<&str> {
    name.split('[').map(|segment| segment.trim_end_matches(']')).collect()
}

fn operation<'a>(spec: &'a Value, endpoint: &Endpoint) -> &'a Value {
    &spec["paths"][endpoint.path][endpoint.method.to_lowercase()]
}

fn schemas_of<'a>(spec: &'a Value, endpoint: &Endpoint, name: &str) -> Vec<&'a Value> {
    let operation = operation(spec, endpoint);
    let path = segments(name);
    if endpoint.method == "POST" {
        let body =
            &operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
        return parameter(spec, body, &path);
    }
    let listed = operation["parameters"].as_array().into_iter().flatten();
    let named =
        listed.filter(|parameter| parameter["in"] == "query" && parameter["name"] == path[0]);
    named.flat_map(|named| parameter(spec, &named["schema"], &path[1..])).collect()
}

fn fits(schema: &Value, parameter: &Parameter) -> bool {
    let kind = schema["type"].as_str().unwrap_or_default();
    match parameter.kind {
        ParameterKind::Text => kind == "string",
        ParameterKind::Integer => kind == "integer",
        ParameterKind::Boolean => kind == "boolean",
        ParameterKind::Map => kind == "object" && schema["additionalProperties"].is_object(),
        ParameterKind::OneOf(values) => {
            let known = schema["enum"].as_array();
            // `allow_redisplay_filters` and a few others are plain texts in the OpenAPI.
            kind == "string"
                && known
                    .is_none_or(|known| values.iter().all(|value| known.contains(&json!(value))))
        }
    }
}

#[test]
fn every_endpoint_and_parameter_of_the_list_exists_at_stripe() {
    let Some(spec) = specification() else { return };
    let mut wrong = Vec::new();
    for endpoint in ENDPOINTS {
        let name = format!("{} {}", endpoint.method, endpoint.path);
        if operation(&spec, endpoint).is_null() {
            wrong.push(format!("{name} does not exist"));
        }
        for parameter in endpoint.parameters() {
            let schemas = schemas_of(&spec, endpoint, parameter.name);
            if !schemas.iter().any(|schema| fits(schema, parameter)) {
                wrong.push(format!("{name}: {} is not as at Stripe: {schemas:?}", parameter.name));
            }
        }
        if endpoint.method != "DELETE" && schemas_of(&spec, endpoint, "expand[]").is_empty() {
            wrong.push(format!("{name} cannot expand"));
        }
        let schema = match endpoint.answers {
            AnswerShape::One(kind) | AnswerShape::List(kind) => {
                &spec["components"]["schemas"][kind]
            }
        };
        if schema.is_null() {
            wrong.push(format!("{name}: no schema of what it answers"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The differences between a value and its schema.
fn compare(spec: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let schema = resolve(spec, schema);
    if value.is_null() {
        let nullable = schema["nullable"] == true;
        return if nullable { Vec::new() } else { vec![format!("{at} must not be null")] };
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let tried: Vec<Vec<String>> =
            any.iter().map(|schema| compare(spec, schema, value, at)).collect();
        if tried.iter().any(Vec::is_empty) {
            return Vec::new();
        }
        // The differences come from the best-matching form.
        return tried
            .into_iter()
            .filter(|wrong| !wrong.iter().any(|w| w.starts_with(&format!("{at} is no"))))
            .min_by_key(Vec::len)
            .unwrap_or_else(|| vec![format!("{at} fits no form: {value}")]);
    }
    let of_type = match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    };
    if !of_type {
        return vec![format!("{at} is no {}: {value}", schema["type"])];
    }
    if schema["enum"].as_array().is_some_and(|known| !known.contains(value)) {
        return vec![format!("{at} is none of the known values: {value}")];
    }
    match value {
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .flat_map(|(place, element)| {
                compare(spec, &schema["items"], element, &format!("{at}[{place}]"))
            })
            .collect(),
        Value::Object(fields) => {
            let required =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let mut wrong: Vec<String> = required
                .filter(|name| !fields.contains_key(*name))
                .map(|name| format!("{at}.{name} is missing"))
                .collect();
            for (name, field) in fields {
                let of_field = &schema["properties"][name];
                if !of_field.is_null() {
                    wrong.extend(compare(spec, of_field, field, &format!("{at}.{name}")));
                } else if schema["additionalProperties"].is_object() {
                    wrong.extend(compare(
                        spec,
                        &schema["additionalProperties"],
                        field,
                        &format!("{at}.{name}"),
                    ));
                } else if schema["properties"].is_object() {
                    wrong.push(format!("{at}.{name} is unknown"));
                }
            }
            wrong
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => Vec::new(),
    }
}

/// Makes one of everything, in many states.
async fn everything() -> World {
    let config = StandInConfig {
        tax_basis_points: 1000,
        bank_debit_seconds: Some(600),
        ..StandInConfig::default()
    };
    let world = World::with(config).await;
    world
        .post(
            "/v1/webhook_endpoints",
            &[("url", HOOK), ("enabled_events[]", "*"), ("metadata[a]", "b")],
        )
        .await;
    let customer = world.customer().await;
    let address =
        [("address[country]", "US"), ("address[postal_code]", "94103"), ("business_name", "Acme")];
    world.post(&format!("/v1/customers/{customer}"), &address).await;
    world
        .post(
            &format!("/v1/customers/{customer}/tax_ids"),
            &[("type", "eu_vat"), ("value", "DE123456789")],
        )
        .await;
    for card in [
        "4242424242424242",
        "4000000000000259",
        "4000000000001976",
        "4000000000005126",
        "4000000000007726",
    ] {
        let session = world.top_up(&customer, card).await;
        let intent = text(&session, "payment_intent");
        if !card.ends_with("0259") {
            world
                .post(
                    "/v1/refunds",
                    &[("payment_intent", intent), ("amount", "100"), ("reason", "duplicate")],
                )
                .await;
        }
    }
    let declined = world
        .session(
            &customer,
            &[("customer_update[name]", "auto"), ("tax_id_collection[enabled]", "true")],
        )
        .await;
    for card in ["4000000000000002", "4000002760003184"] {
        world.browse(text(&declined, "url"), Some(&[("card", card)])).await;
    }
    let taxed = [
        ("automatic_tax[enabled]", "true"),
        ("billing_address_collection", "required"),
        ("locale", "en"),
        ("client_reference_id", "1"),
        ("submit_type", "pay"),
        ("consent_collection[payment_method_reuse_agreement][position]", "hidden"),
        ("payment_method_types[1]", "us_bank_account"),
    ];
    for account in ["000123456789", "000111111116"] {
        let session = world.session(&customer, &taxed).await;
        world
            .browse(
                text(&session, "url"),
                Some(&[("method", "us_bank_account"), ("account", account)]),
            )
            .await
            .location();
    }
    world.session(&customer, &[]).await;
    let expired = world.session(&customer, &[]).await;
    world.post(&format!("/v1/checkout/sessions/{}/expire", id(&expired)), &[]).await;
    let setup = [
        ("mode", "setup"),
        ("customer", customer.as_str()),
        ("success_url", "http://shop.test/done"),
    ];
    for _ in 0..2 {
        let session = world.post("/v1/checkout/sessions", &setup).await;
        for card in ["4000000000000002", "4000002760003184"] {
            world.browse(text(&session, "url"), Some(&[("card", card)])).await;
        }
    }
    for (card, taxed) in [("4242424242424242", "true"), ("4000000000000341", "false")] {
        let method = world.save_card(&customer, card).await;
        let params = [
            ("customer", customer.as_str()),
            ("automatic_tax[enabled]", taxed),
            ("default_payment_method", &method),
        ];
        let invoice = id(&world.post("/v1/invoices", &params).await);
        let item = [
            ("customer", customer.as_str()),
            ("invoice", &invoice),
            ("amount", "2500"),
            ("metadata[a]", "b"),
        ];
        world.post("/v1/invoiceitems", &item).await;
        world.call("POST", &format!("/v1/invoices/{invoice}/pay"), &[]).await;
        world.call("POST", &format!("/v1/invoices/{invoice}/void"), &[]).await;
    }
    world.open_invoice(&customer).await;
    world.post("/v1/invoices", &[("customer", &customer)]).await;
    let configuration = [
        ("features[customer_update][enabled]", "true"),
        ("features[customer_update][allowed_updates][]", "tax_id"),
        ("features[payment_method_update][enabled]", "true"),
        ("business_profile[headline]", "Tollgate"),
        ("login_page[enabled]", "false"),
    ];
    let configuration = id(&world.post("/v1/billing_portal/configurations", &configuration).await);
    let flow = [
        ("flow_data[type]", "payment_method_update"),
        ("flow_data[after_completion][type]", "redirect"),
        ("flow_data[after_completion][redirect][return_url]", "http://shop.test"),
    ];
    for flow in [&[] as &[(&str, &str)], &flow] {
        let mut params =
            vec![("customer", customer.as_str()), ("configuration", configuration.as_str())];
        params.extend_from_slice(flow);
        world.post("/v1/billing_portal/sessions", &params).await;
    }
    world.advance(7200);
    world.call("DELETE", &format!("/v1/customers/{}", world.customer().await), &[]).await.ok();
    world
}

fn schema_of(object: &Value) -> String {
    let kind = text(object, "object");
    if object["deleted"] == true { format!("deleted_{kind}") } else { kind.to_owned() }
}

#[test]
fn comparison_finds_missing_unknown_and_mistyped_fields() {
    let Some(spec) = specification() else { return };
    let schema = &spec["components"]["schemas"]["deleted_customer"];
    let wrong = |object: &Value| compare(&spec, schema, object, "it");
    assert_eq!(
        wrong(&json!({ "id": "cus_1", "object": "customer", "deleted": true })),
        Vec::<String>::new()
    );
    assert_eq!(wrong(&json!({ "id": "cus_1", "object": "customer" })), ["it.deleted is missing"]);
    assert_eq!(wrong(&json!({ "id": 1, "object": "charge", "deleted": null, "more": 1 })).len(), 4);
}

#[tokio::test]
async fn every_object_answered_is_as_stripe_describes_it() {
    let Some(spec) = specification() else { return };
    let world = everything().await;
    let mut wrong = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut check = |kind: &str, object: &Value| {
        seen.insert(kind.to_owned());
        let schema = &spec["components"]["schemas"][kind];
        assert!(!schema.is_null(), "no schema {kind}");
        wrong.extend(compare(&spec, schema, object, kind));
    };
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.method == "GET") {
        let AnswerShape::List(kind) = endpoint.answers else { continue };
        if endpoint.path.contains('{') || endpoint.path == "/v1/payment_methods" {
            continue;
        }
        let mut params = vec![("limit".to_owned(), "100".to_owned())];
        params.extend(
            endpoint.expandable.iter().map(|path| ("expand[]".to_owned(), format!("data.{path}"))),
        );
        let params: Vec<(&str, &str)> =
            params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let list = world.get(endpoint.path, &params).await;
        let elements = list["data"].as_array().unwrap();
        assert!(!elements.is_empty(), "{}", endpoint.path);
        for object in elements {
            check(kind, object);
        }
        let plain = world.get(endpoint.path, &[("limit", "100")]).await;
        plain["data"].as_array().unwrap().iter().for_each(|object| check(kind, object));
    }
    for path in ["/v1/tax/settings", "/v1/account"] {
        let object = world.get(path, &[]).await;
        check(&schema_of(&object), &object);
    }
    let saved = world.stripe.save().unwrap();
    for object in saved["objects"].as_array().unwrap() {
        if object["object"] == "event" {
            let of_event = &object["data"]["object"];
            check(&schema_of(of_event), of_event);
        } else if !text(object, "object").starts_with("deleted_") {
            check(&schema_of(object), object);
        }
    }
    let items = saved["hidden"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(|known| known["line_items"].as_array());
    items.flatten().for_each(|item| check("item", item));
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
    for kind in [
        "checkout.session",
        "invoice",
        "refund",
        "dispute",
        "payment_method",
        "balance_transaction",
        "setup_intent",
        "deleted_customer",
        "tax_id",
        "invoice_payment",
        "invoiceitem",
        "billing_portal.session",
        "webhook_endpoint",
    ] {
        assert!(seen.contains(kind), "none of {kind} was made");
    }
}

#[tokio::test]
async fn every_error_is_as_stripe_describes_it() {
    let Some(spec) = specification() else { return };
    let world = everything().await;
    let saved = world.stripe.save().unwrap();
    let customer = world.customer().await;
    let method = world.save_card(&customer, "4000002760003184").await;
    let invoice = world.open_invoice(&customer).await;
    let mut errors = vec![
        world.pay(&invoice, &method).await.json(),
        world.call("GET", "/v1/nothing", &[]).await.json(),
        world.call("GET", "/v1/customers/none", &[]).await.json(),
        world.call("POST", "/v1/customers", &[("x", "y")]).await.json(),
        world.send("GET", "/v1/account", &[], &[]).await.unwrap().json(),
    ];
    for kind in [StripeFaultKind::ServerError, StripeFaultKind::RateLimited] {
        world.stripe.fail_next("*", 1, kind);
        errors.push(world.call("GET", "/v1/account", &[]).await.json());
    }
    let schema = &spec["components"]["schemas"]["error"];
    let wrong: Vec<String> =
        errors.iter().flat_map(|error| compare(&spec, schema, error, "error")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let events = &spec["paths"]["/v1/webhook_endpoints"]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
        ["schema"]["properties"]["enabled_events"]["items"]["enum"];
    let unknown: BTreeSet<&str> = saved["objects"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|object| {
            object["object"] == "event" && !events.as_array().unwrap().contains(&object["type"])
        })
        .map(|event| text(event, "type"))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
