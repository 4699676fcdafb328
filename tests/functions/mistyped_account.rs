//! A platform that mistypes the customer's name opens no account, on any route of the template.

use account::AccountClients;
use serde_json::{Value, json};
use tollgate_tests::api::{Answered, ApiEvent};
use tollgate_tests::ledger::named;
use tollgate_tests::payments::PaymentWorld;
use tollgate_tests::template::TestTemplate;

/// These answer the same whoever the customer is, and read no account.
const OF_NO_ACCOUNT: [&str; 3] =
    ["GET /v1/prices", "GET /v1/commit-plans", "GET /v1/platform/resources"];
/// Nobody may do this for a customer.
const IN_PERSON: [&str; 7] = [
    "GET /v1/account/export",
    "DELETE /v1/account",
    "PUT /v1/auto-refill",
    "POST /v1/auto-refill/now",
    "PUT /v1/payment-methods/{id}/default",
    "DELETE /v1/payment-methods/{id}",
    "POST /v1/portal-sessions",
];

/// Every route with a token that staff's scope is not needed for, and the function's name.
fn routes() -> Vec<(String, String)> {
    let mut routes = Vec::new();
    let template = TestTemplate::of_this_repository();
    for resource in template.document()["Resources"].as_object().unwrap().values() {
        let function = resource["Metadata"]["BuildProperties"]["Binary"].as_str();
        for event in resource["Properties"]["Events"].as_object().into_iter().flatten() {
            let properties = &event.1["Properties"];
            let auth = properties["Auth"].to_string();
            if event.1["Type"] != "HttpApi" || auth.contains("NONE") || auth.contains("admin") {
                continue;
            }
            let text = |name: &str| properties[name].as_str().unwrap().to_owned();
            let route = format!("{} {}", text("Method"), text("Path"));
            routes.push((function.unwrap().to_owned(), route));
        }
    }
    routes
}

fn body(route: &str) -> Value {
    match route {
        "POST /v1/checkout-sessions" => json!({"amount": "25.00"}),
        "POST /v1/commit-plans/{plan}/checkout" => json!({"version": 0}),
        "POST /v1/projects" => json!({"name": "first"}),
        "POST /v1/projects/{project}/resources" => {
            json!({"sku": "vm", "name": "web", "start": true, "rate": "0.5"})
        }
        "POST /v1/usage" => json!({"project": "p", "sku": "tokens", "reading": "1"}),
        "POST /v1/holds" => json!({"project": "p", "skus": ["tokens"], "amount": "1.00"}),
        "PUT /v1/account" => json!({"email": "a@example.test"}),
        "DELETE /v1/account" => json!({"balance": "0.00"}),
        "PUT /v1/account/restart-policy" => json!({"restart": "in_order"}),
        "PUT /v1/auto-refill" => json!({"enabled": false}),
        "PUT /v1/projects/{project}/budget" => json!({"amount": "5.00"}),
        "POST /v1/account/stop" => json!({"resources": ["srv-1"]}),
        _ => json!({}),
    }
}

#[tokio::test]
async fn mistyped_account_is_not_found_and_not_opened() {
    let world = PaymentWorld::new().await;
    let accounts =
        AccountClients { billing: world.api.another(), stripe: world.stripe.clone().into() };
    let mut seen = 0;
    for (function, route) in routes() {
        let event = ApiEvent::by("platform", &route, "10:00:00").scope("tollgate/platform");
        let event = event.header("Tollgate-Account", "alcie").at("project", "p").at("id", "x");
        let event = event.at("id", if route.contains("checkout") { "cs_1" } else { "pm_1" });
        let event = event.at("hold", "hold-1").at("plan", "year");
        let is_allowance = route == "GET /v1/allowance";
        let event =
            if is_allowance { event.with("project", "p").with("sku", "tokens") } else { event };
        let event = if route.starts_with("GET") { event } else { event.json(&body(&route)) };
        let request = event.key("k-1").request();
        let answered: Answered = match function.as_str() {
            "account" => Box::pin(account::handle(&accounts, request)).await.into(),
            "checkout" => Box::pin(checkout::handle(&world.checkout, request)).await.into(),
            "resources" => resources::handle(&world.api.billing, request).await.into(),
            "usage" => ::usage::handle(&world.api.billing, request).await.into(),
            other => panic!("{other} has a route that a platform can call: try it here"),
        };
        let expected = match route.as_str() {
            route if OF_NO_ACCOUNT.contains(&route) => (200, ""),
            route if IN_PERSON.contains(&route) => (403, "forbidden"),
            _ => (404, "not_found"),
        };
        assert_eq!((answered.status, answered.code()), expected, "{route}: {answered:?}");
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
    assert!(world.ledger().undisturbed.head(&named("alcie")).await.unwrap().is_none());
    let written = world.api.everything().await;
    assert!(!written.iter().any(|item| item.contains("alcie")), "{written:?}");
}
