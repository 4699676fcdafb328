//! Payments, cards, and refills.

use serde_json::{Value, json};
use stripe_stand_in::CardRule;

use crate::answers::recorder::{Recorder, bonus, last, pay, top_up};
use crate::support::{GOOD_CARD, HOUR};

/// A card whose bank asks the customer at each payment.
const CARD_THAT_ASKS: &str = "4000002760003184";
const PREPAID_CARD: &str = "5105105105105100";

pub(super) async fn money_and_cards(r: &mut Recorder<'_>) {
    let ada = r.api("ada", "");
    r.ask(&ada, "good", "PUT /v1/account", &json!({"email": "ada@example.test"})).await;
    r.ask(&ada, "no address", "PUT /v1/account", &json!({"email": "ada"})).await;
    let restart = "PUT /v1/account/restart-policy";
    r.ask(&ada, "good", restart, &json!({"restart": "in_order"})).await;
    r.ask(&ada, "chosen before", restart, &json!({"restart": "in_order"})).await;
    r.ask(&ada, "no such choice", restart, &json!({"restart": "now"})).await;
    r.ask(&ada, "no choice", restart, &json!({})).await;
    r.ask(&ada, "good again", restart, &json!({"restart": "manual"})).await;
    let address = |country: &str| json!({"line1": "1 Main St", "line2": null, "city": "Berlin", "postal_code": "10115", "state": null, "country": country});
    let company = |country: &str, tax_id: &str| json!({"name": "Ada GmbH", "address": address(country), "tax_id": {"type": "eu_vat", "value": tax_id}});
    r.ask(&ada, "good", "PUT /v1/company", &company("DE", "DE123456789")).await;

    let sessions = "POST /v1/checkout-sessions";
    for (case, amount) in [
        ("no amount", "many"),
        ("not positive", "0"),
        ("a fraction of a cent", "5.001"),
        ("too small", "0.99"),
        ("too large", "1000.01"),
    ] {
        r.ask(&ada, case, sessions, &json!({"amount": amount})).await;
    }
    let wish = |threshold: &str| json!({"amount": "25.00", "auto_refill": {"enabled": true, "threshold": threshold, "amount": "25.00"}});
    r.ask(&ada, "a threshold too large", sessions, &wish("10000.01")).await;
    let session = r.ask(&ada, "good", sessions, &wish("5.00")).await;
    let path = format!("/v1/checkout-sessions/{}", last(&session));
    r.ask(&ada, "open", &format!("GET {path}"), &Value::Null).await;
    r.ask(&ada, "good", &format!("POST {path}/cancel"), &json!({})).await;
    r.ask(&ada, "cancelled", &format!("GET {path}"), &Value::Null).await;
    let used = [("idempotency-key", "used")];
    r.ask_with(&ada, "good again", sessions, &used, &json!({"amount": "5.00"})).await;
    r.ask_with(&ada, "a key used for another", sessions, &used, &json!({"amount": "6.00"})).await;
    let rich = r.api("rich", "");
    bonus(r, "rich", "19990.00").await;
    r.ask(&rich, "a balance too high", sessions, &json!({"amount": "25.00"})).await;
    let bob = r.api("bob", "");
    r.ask(&bob, "of another account", &format!("GET {path}"), &Value::Null).await;
    r.ask(&bob, "of another account", &format!("POST {path}/cancel"), &json!({})).await;
    r.ask(&bob, "no such session", "GET /v1/checkout-sessions/cs_nothing", &Value::Null).await;
    let path = top_up(r, "ada", &wish("5.00"), GOOD_CARD).await;
    r.ask(&ada, "paid", &format!("GET {path}"), &Value::Null).await;
    r.ask(&ada, "paid", &format!("POST {path}/cancel"), &json!({})).await;

    // Now Stripe knows her.
    r.ask(&ada, "another address", "PUT /v1/account", &json!({"email": "a@example.test"})).await;
    r.ask(&ada, "told to Stripe", "PUT /v1/company", &company("AT", "ATU12345678")).await;
    r.ask(&ada, "a tax id that is none", "PUT /v1/company", &company("DE", "nonsense")).await;
    r.ask(&ada, "no such country", "PUT /v1/company", &company("XX", "DE123456789")).await;
    r.ask(
        &ada,
        "no tax there",
        "PUT /v1/company",
        &json!({"address": {"line1": "x", "country": "AQ"}}),
    )
    .await;
    r.ask(&ada, "good", "GET /v1/company", &Value::Null).await;
    r.ask(&ada, "good", "POST /v1/payment-methods/sessions", &json!({})).await;
    r.ask(&ada, "good", "POST /v1/portal-sessions", &json!({})).await;
    r.ask(&ada, "good", "GET /v1/invoices", &Value::Null).await;
    r.ask(&ada, "a limit that is none", "GET /v1/invoices?limit=0", &Value::Null).await;
    let cards = r.ask(&ada, "good", "GET /v1/payment-methods", &Value::Null).await;
    let card = cards["items"][0]["id"].as_str().unwrap();
    let default = format!("PUT /v1/payment-methods/{card}/default");
    r.ask(&ada, "good", &default, &json!({})).await;
    r.ask(&ada, "a body with something in it", &default, &json!({"a": 1})).await;
    r.ask(&bob, "of another account", &default, &json!({})).await;
    let delete = format!("DELETE /v1/payment-methods/{card}");
    r.ask(&bob, "of another account", &delete, &Value::Null).await;
    r.ask(&ada, "no card", "PUT /v1/payment-methods/x/default", &json!({})).await;

    let refill = "PUT /v1/auto-refill";
    let good =
        json!({"enabled": true, "threshold": "5.00", "amount": "25.00", "monthly_cap": "500.00"});
    r.ask(&ada, "good", refill, &good).await;
    r.ask(&ada, "another cap", refill, &json!({"monthly_cap": null})).await;
    r.ask(&ada, "good", "GET /v1/auto-refill", &Value::Null).await;
    r.ask(&ada, "the balance is not low", "POST /v1/auto-refill/now", &json!({})).await;
    for (case, body) in [
        ("a threshold below zero", json!({"threshold": "-1.00"})),
        ("a fraction of a cent", json!({"threshold": "5.001"})),
        ("an amount too small", json!({"amount": "0.99"})),
        ("an amount too large", json!({"amount": "1000.01"})),
        ("a cap of nothing", json!({"monthly_cap": "0"})),
        ("an amount that is a number", json!({"amount": 5.25})),
        ("no card", json!({"payment_method": "x"})),
        ("a card of nobody", json!({"payment_method": "pm_nothing"})),
    ] {
        r.ask(&ada, case, refill, &body).await;
    }
    r.ask(&bob, "by halves", refill, &json!({"enabled": true, "threshold": "5.00"})).await;
    r.ask(&ada, "off", refill, &json!({"enabled": false})).await;
    r.ask(&ada, "good", &delete, &Value::Null).await;
}

/// Somebody whose next start leaves too little, so that the card is charged; the request.
async fn running_low(r: &mut Recorder<'_>, account: &str, card: &str) -> String {
    let refill = json!({"enabled": true, "threshold": "10.00", "amount": "15.00"});
    top_up(r, account, &json!({"amount": "13.00", "auto_refill": refill}), card).await;
    let api = r.api(account, "");
    let project = r.done(&api, "POST /v1/projects", &json!({"name": "site"})).await;
    format!("POST /v1/projects/{}/resources", last(&project))
}

pub(super) async fn refills(r: &mut Recorder<'_>) {
    let gpu = json!({"sku": "gpu", "name": "one", "start": true});
    let null = &Value::Null;

    // The bank asks the customer.
    let (cyd, new) = (r.api("cyd", ""), running_low(r, "cyd", CARD_THAT_ASKS).await);
    r.done(&cyd, &new, &gpu).await;
    r.ask(&cyd, "the customer is asked", "GET /v1/auto-refill", null).await;
    let cards = r.done(&cyd, "GET /v1/payment-methods", null).await;
    let card = last(&cards["items"][0]).to_owned();
    r.ask(&cyd, "it is being charged", &format!("DELETE /v1/payment-methods/{card}"), null).await;
    let close = "POST /v1/admin/accounts/cyd/close";
    let admin = r.world.operator.clone();
    let reason = json!({"reason": "x"});
    r.ask(&admin, "something runs and a refill is open", close, &reason).await;
    r.ask(&admin, "good", "POST /v1/admin/accounts/cyd/refill/abandon", &reason).await;

    // The bank says never again.
    let (dan, new) = (r.api("dan", ""), running_low(r, "dan", GOOD_CARD).await);
    let never = CardRule { decline_code: "stolen_card".to_owned(), network_advice_code: None };
    r.world.stripe().decline_card(GOOD_CARD, Some(never));
    r.done(&dan, &new, &gpu).await;
    r.world.stripe().decline_card(GOOD_CARD, None);
    r.ask(&dan, "the card is refused", "GET /v1/auto-refill", null).await;
    let cards = r.done(&dan, "GET /v1/payment-methods", null).await;
    let same = json!({"enabled": true, "threshold": "10.00", "amount": "15.00", "payment_method": last(&cards["items"][0])});
    r.ask(&dan, "a card that was refused", "PUT /v1/auto-refill", &same).await;

    // The refill decides whether the account goes on.
    let (fay, new) = (r.api("fay", ""), running_low(r, "fay", GOOD_CARD).await);
    for name in ["BalanceLow", "RefillDue"] {
        r.world.fault(json!({"fault": "drop", "delivery": "event", "name": name, "times": 0}));
    }
    r.world.without_schedule("settle-due");
    r.done(&fay, &new, &gpu).await;
    let all = json!({"amount": "-9.00", "reason": "a test"});
    r.done(&admin, "POST /v1/admin/accounts/fay/correction", &all).await;
    r.ask(&fay, "a refill is wanted", "GET /v1/auto-refill", null).await;
    r.ask(&fay, "good", "POST /v1/auto-refill/now", &json!({})).await;
    let cap = json!({"monthly_cap": "1.00"});
    r.ask(&fay, "a cap below the amount", "PUT /v1/auto-refill", &cap).await;
    r.world.later(HOUR).await;
    r.ask(&fay, "the respite is over", &new, &gpu).await;
    r.world.no_faults();
}

/// A trial with a prepaid card, with a good one, and at the limit of services.
pub(super) async fn trial(r: &mut Recorder<'_>) {
    let (tess, null) = (r.api("tess", ""), &Value::Null);
    let (get, start) = ("GET /v1/trial", "POST /v1/trial");
    r.ask(&tess, "offered", get, null).await;
    let threshold = json!({"auto_refill": {"enabled": true, "threshold": "10000.01"}});
    r.ask(&tess, "a threshold too large", start, &threshold).await;
    let offer = json!({"auto_refill": {"enabled": true}});
    let page = r.ask(&tess, "good", start, &offer).await;
    let back = format!("{get}?session={}", last(&page));
    r.ask(&tess, "still open", &back, null).await;
    r.world.only_webhook("none");
    pay(r, &page, PREPAID_CARD).await;
    r.ask(&tess, "a prepaid card", &back, null).await;
    let page = r.ask(&tess, "good again", start, &offer).await;
    pay(r, &page, GOOD_CARD).await;
    let back = format!("{get}?session={}", last(&page));
    r.ask(&tess, "started", &back, null).await;
    r.ask(&tess, "a second one", start, &offer).await;
    let bob = r.api("bob", "");
    r.ask(&bob, "of another account", &back, null).await;
    r.world.cloud.idle().await;
    r.world.no_faults();
    let project = r.done(&tess, "POST /v1/projects", &json!({"name": "site"})).await;
    let new = format!("POST /v1/projects/{}/resources", last(&project));
    for name in ["one", "two", "three", "four"] {
        r.done(&tess, &new, &json!({"sku": "postgres", "name": name, "start": true})).await;
    }
    let fifth = json!({"sku": "postgres", "name": "five", "start": true});
    r.ask(&tess, "a fifth service of a trial", &new, &fifth).await;
    r.ask(&tess, "running", get, null).await;
}
