//! Helpers for the tests of `account` that call Stripe: the routes, a function connected to the
//! stand-in, cards and a company.

use account::AccountClients;
use serde_json::{Value, json};
use tollgate_tests::api::{Answered, ApiEvent};
use tollgate_tests::payments::PaymentWorld;

pub(crate) const CARDS: &str = "GET /v1/payment-methods";
pub(crate) const ADD: &str = "POST /v1/payment-methods/sessions";
pub(crate) const DEFAULT: &str = "PUT /v1/payment-methods/{id}/default";
pub(crate) const DELETE: &str = "DELETE /v1/payment-methods/{id}";
pub(crate) const PORTAL: &str = "POST /v1/portal-sessions";
pub(crate) const INVOICES: &str = "GET /v1/invoices";
pub(crate) const COMPANY: &str = "GET /v1/company";
pub(crate) const PUT_COMPANY: &str = "PUT /v1/company";
pub(crate) const MASTERCARD: &str = "5555555555554444";

pub(crate) async fn call(world: &PaymentWorld, event: &ApiEvent) -> Answered {
    let clients =
        AccountClients { billing: world.api.another(), stripe: world.stripe.clone().into() };
    Box::pin(account::handle(&clients, event.request())).await.into()
}

pub(crate) async fn ask(world: &PaymentWorld, route: &str) -> Answered {
    call(world, &world.event(route)).await
}

pub(crate) async fn on_card(world: &PaymentWorld, route: &str, card: &str) -> Answered {
    call(world, &world.event(route).at("id", card)).await
}

/// Refused with this code, and nothing written.
pub(crate) async fn refused(
    world: &PaymentWorld,
    event: ApiEvent,
    status: u16,
    code: &str,
) -> Answered {
    let before = world.api.everything().await;
    let answered = call(world, &event).await;
    assert_eq!(
        (answered.status, answered.code()),
        (status, code),
        "{event:?}: {}",
        answered.shown()
    );
    assert_eq!(world.api.everything().await, before, "nothing is written: {event:?}");
    answered
}

pub(crate) async fn cards(world: &PaymentWorld) -> Vec<Value> {
    let listed = ask(world, CARDS).await;
    assert_eq!((listed.status, &listed.body["next"]), (200, &Value::Null), "{}", listed.shown());
    listed.body["items"].as_array().unwrap().clone()
}

/// Saves a card without paying, as its owner does. Returns its ID.
pub(crate) async fn add(world: &PaymentWorld, number: &str) -> String {
    let created = ask(world, ADD).await;
    assert_eq!(created.status, 201, "{}", created.shown());
    world.pay(created.body["id"].as_str().unwrap(), &format!("card={number}")).await;
    let methods = world.objects("payment_method");
    methods.last().unwrap()["id"].as_str().unwrap().to_owned()
}

pub(crate) fn id(card: &Value) -> &str {
    card["id"].as_str().unwrap()
}

pub(crate) fn german() -> Value {
    json!({
        "name": "Acme GmbH",
        "address": {"line1": "Hauptstr. 1", "line2": null, "city": "Berlin", "postal_code": "10115", "state": null, "country": "DE"},
        "tax_id": {"type": "eu_vat", "value": "DE123456789"},
    })
}
