//! What staff do, and the webhook.

use serde_json::{Value, json};
use stripe_stand_in::Delivery;

use crate::answers::access::not_allowed;
use crate::answers::recorder::{Recorder, bonus, last, pay};
use crate::support::GOOD_CARD;

pub(super) async fn staff(r: &mut Recorder<'_>) {
    let admin = r.world.operator.clone();
    let null = &Value::Null;
    let prices = "PUT /v1/admin/prices";
    r.ask(&admin, "good", "GET /v1/admin/prices", null).await;
    let price = |more: Value| {
        let mut price =
            json!({"sku": "vm-small", "unit": "hour", "kind": "instance", "rate": "1.00"});
        price.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"prices": [price]})
    };
    r.ask(&admin, "a new price", prices, &price(json!({"valid_from": "2026-12-01T00:00:00Z"})))
        .await;
    for (case, body) in [
        ("none at all", json!({"prices": []})),
        ("no time", price(json!({"valid_from": "tomorrow"}))),
        ("not at a full hour", price(json!({"valid_from": "2026-12-01T00:30:00Z"}))),
        ("too soon", price(json!({"valid_from": "2026-11-22T11:00:00Z"}))),
        (
            "another for the same time",
            price(json!({"valid_from": "2026-12-01T00:00:00Z", "rate": "2.00"})),
        ),
        ("more while off", price(json!({"idle_rate": "1.01"}))),
        ("by another unit", price(json!({"unit": "quantity"}))),
    ] {
        r.ask(&admin, case, prices, &body).await;
    }
    offers(r).await;
    r.ask(&admin, "good", "GET /v1/admin/health", null).await;
    let payment = r.world.customer("ada").payment("topup");
    invoices(r, &payment).await;
    r.ask(&admin, "good", &format!("GET /v1/admin/payments/{payment}"), null).await;
    r.ask(&admin, "no such payment", "GET /v1/admin/payments/pi_nothing", null).await;
    r.ask(&admin, "no id of Stripe's", "GET /v1/admin/payments/nothing", null).await;
    let recover = |id: &str| format!("POST /v1/admin/payments/{id}/recover");
    r.ask(&admin, "credited already", &recover(&payment), null).await;
    let open = r.world.customer("ada").page(&json!({"amount": "10.00"})).await;
    r.ask(&admin, "not paid", &recover(open["id"].as_str().unwrap()), null).await;
    r.ask(&admin, "no such payment", &recover("pi_nothing"), null).await;
    r.ask(&admin, "a refund", &recover("re_nothing"), null).await;

    let reason = json!({"reason": "a test"});
    let of = |method: &str, account: &str, verb: &str| {
        format!("{method} /v1/admin/accounts/{account}{verb}")
    };
    let expiring = |expires_at: &str| json!({"amount": "5.00", "expires_at": expires_at, "excludes": ["vm-large"], "reason": "a test"});
    let good_bonus = expiring("2027-01-01T00:00:00Z");
    let correction = |amount: &str| json!({"amount": amount, "reason": "a test"});
    for (method, verb, body) in [
        ("GET", "", null),
        ("GET", "/verify", null),
        ("GET", "/transactions", null),
        ("PUT", "/quotas", &reason),
        ("POST", "/bonus", &good_bonus),
        ("POST", "/grants/1/withdraw", &reason),
        ("POST", "/correction", &correction("1.00")),
        ("GET", "/invoices", null),
        ("POST", "/invoices", &json!({"credit": "500.00", "reason": "a test"})),
        ("POST", "/invoices/in_nothing/void", &reason),
        ("POST", "/freeze", &reason),
        ("POST", "/unfreeze", &reason),
        ("POST", "/suspend", &reason),
        ("POST", "/resume", &reason),
        ("POST", "/refill/abandon", &reason),
        ("POST", "/close", &reason),
    ] {
        r.ask(&admin, "no such account", &of(method, "nobody", verb), body).await;
    }
    r.ask(&admin, "good", &of("GET", "ada", ""), null).await;
    r.ask(&admin, "good", "GET /v1/admin/accounts?query=ADA@", null).await;
    r.ask(&admin, "nothing to find", "GET /v1/admin/accounts?query=%20", null).await;
    let import = format!("POST /v1/admin/accounts?issuer={}", r.world.issuer());
    let moved = |credit: &str| json!({"accounts": [{"sub": "mia", "email": "mia@example.test", "credit": credit, "reference": "customer 17"}]});
    for (case, query, credit) in [
        ("a dry run", "&dry_run=true", "5.00"),
        ("good", "", "5.00"),
        ("again", "", "5.00"),
        ("with another balance", "", "6.00"),
        ("below zero", "", "-1.00"),
        ("beyond the end", "&from=2", "5.00"),
    ] {
        r.ask(&admin, case, &format!("{import}{query}"), &moved(credit)).await;
    }
    r.ask(&admin, "without an issuer", "POST /v1/admin/accounts", &moved("5.00")).await;
    r.ask(&admin, "good", &of("GET", "ada", "/verify"), null).await;
    let quotas = of("PUT", "ada", "/quotas");
    let none = json!({"projects": 0, "reason": "a test"});
    r.ask(&admin, "no more projects", &quotas, &none).await;
    r.ask(&r.api("ada", ""), "a project too many", "POST /v1/projects", &json!({"name": "more"}))
        .await;
    r.ask(&admin, "good", &quotas, &reason).await;
    r.ask(&admin, "too many", &quotas, &json!({"resources": 10_001, "reason": "a test"})).await;
    r.ask(&admin, "without a reason", &quotas, &json!({"reason": ""})).await;
    for (verb, case, body) in [
        ("/bonus", "good", good_bonus.clone()),
        ("/bonus", "expired", expiring("2026-11-22T10:00:00Z")),
        ("/bonus", "no time", expiring("tomorrow")),
        (
            "/bonus",
            "not positive",
            json!({"amount": "0", "expires_at": "2027-01-01T00:00:00Z", "reason": "a test"}),
        ),
        ("/grants/1/withdraw", "good", reason.clone()),
        ("/grants/1/withdraw", "withdrawn already", reason.clone()),
        ("/grants/one/withdraw", "no number", reason.clone()),
        ("/correction", "good", correction("-1.00")),
        ("/correction", "nothing", correction("0")),
        ("/correction", "without a reason", json!({"amount": "1.00", "reason": " "})),
        ("/correction", "beyond all measure", correction("1000000000000")),
        ("/refill/abandon", "no refill is open", reason.clone()),
        ("/refill/abandon", "without a reason", json!({"reason": ""})),
        ("/close", "something runs", reason.clone()),
        ("/unfreeze", "not frozen", reason.clone()),
        ("/resume", "not suspended", reason.clone()),
        ("/resume", "without a reason", json!({"reason": ""})),
        ("/freeze", "good", reason.clone()),
    ] {
        r.ask(&admin, case, &of("POST", "ada", verb), &body).await;
    }
    r.ask_with(&admin, "without a key", &of("POST", "ada", "/bonus"), &[], &good_bonus).await;
    not_allowed(r, "ada", "frozen").await;
    r.ask(&admin, "good", &of("POST", "ada", "/unfreeze"), &reason).await;
    let newest = of("GET", "ada", "/transactions?include=all&limit=2");
    r.ask(&admin, "good", &newest, null).await;
    r.ask(&admin, "good", &of("POST", "ada", "/suspend"), &reason).await;
    r.ask(&admin, "suspended already", &of("POST", "ada", "/suspend"), &reason).await;
    not_allowed(r, "ada", "suspended by staff").await;
    r.ask(&admin, "good", &of("POST", "ada", "/resume"), &reason).await;

    let refund = |id: &str| format!("POST /v1/admin/payments/{id}/refunds");
    let part = json!({"amount": "1.00", "reason": "a test"});
    for (case, id, body) in [
        ("good", &*payment, part.clone()),
        ("more than is left", &payment, json!({"amount": "1000.00", "reason": "a test"})),
        ("without a reason", &payment, json!({"amount": "1.00", "reason": ""})),
        ("no such payment", "pi_nothing", part.clone()),
        ("a refund", "re_nothing", part.clone()),
    ] {
        r.ask(&admin, case, &refund(id), &body).await;
    }
    r.ask_with(&admin, "without a key", &refund(&payment), &[], &part).await;

    // Closed, and not again.
    bonus(r, "eve", "10.00").await;
    let eve = r.api("eve", "");
    let project = r.done(&eve, "POST /v1/projects", &json!({"name": "last"})).await;
    let new = format!("POST /v1/projects/{}/resources", last(&project));
    r.done(&eve, &new, &json!({"sku": "vm-small", "name": "a", "start": false})).await;
    r.ask(&admin, "good", &of("POST", "eve", "/close"), &reason).await;
    r.ask(&admin, "closed already", &of("POST", "eve", "/close"), &reason).await;
    r.ask(&admin, "not closed", &of("POST", "ada", "/reopen"), &reason).await;
    r.ask(&admin, "closed", &of("POST", "eve", "/suspend"), &reason).await;
    not_allowed(r, "eve", "closed").await;
    r.ask(&admin, "good", &of("POST", "eve", "/reopen"), &reason).await;

    // Erased, for good.
    r.ask(&admin, "not closed", &of("POST", "eve", "/erase"), &reason).await;
    r.done(&admin, &of("POST", "eve", "/close"), &reason).await;
    r.ask(&admin, "good", &of("POST", "eve", "/erase"), &reason).await;
    r.ask(&admin, "erased", &of("POST", "eve", "/reopen"), &reason).await;
    r.ask(&eve, "erased", "POST /v1/projects", &json!({"name": "new"})).await;
    r.ask(&eve, "erased", "PUT /v1/account", &json!({"email": "eve@example.test"})).await;
    r.ask(&eve, "erased", "PUT /v1/company", &json!({"name": "Eve"})).await;
}

pub(super) async fn webhooks(r: &mut Recorder<'_>) {
    let anybody = r.world.api.clone();
    let webhook = "POST /v1/stripe/webhook";
    r.ask(&anybody, "without a signature", webhook, &json!("{}")).await;
    let ivy = r.api("ivy", "");
    let page = r.done(&ivy, "POST /v1/checkout-sessions", &json!({"amount": "25.00"})).await;
    r.world.fault(json!({"fault": "drop", "delivery": "webhook", "times": 0}));
    pay(r, &page, GOOD_CARD).await;
    r.world.cloud.idle().await;
    // Taken before the cloud brings them.
    r.world.stripe().redeliver_all();
    let all = r.world.stripe().due_deliveries(r.world.cloud.now().unix_timestamp());
    for (case, event) in [
        ("good", "payment_intent.succeeded"),
        ("again", "payment_intent.succeeded"),
        ("the same payment by another event", "checkout.session.completed"),
    ] {
        let is_it = |delivery: &&Delivery| delivery.event_type == event;
        let delivery = all.iter().rfind(is_it).unwrap_or_else(|| panic!("no {event}"));
        let headers: Vec<(&str, &str)> = delivery
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("stripe-signature"))
            .map(|(_, value)| ("stripe-signature", value.as_str()))
            .collect();
        r.ask_with(&anybody, case, webhook, &headers, &json!(delivery.body)).await;
    }
    r.world.no_faults();
}

/// Commit plans, set by staff and bought by a customer.
async fn offers(r: &mut Recorder<'_>) {
    let (admin, null) = (r.world.operator.clone(), &Value::Null);
    let (get, put) = ("GET /v1/admin/commit-offers", "PUT /v1/admin/commit-offers");
    let offers = |version: u64, offers: Value| json!({"version": version, "offers": offers, "reason": "a test"});
    let year = |name: &str, value: Value| {
        let mut offer = json!({"id": "year", "months": 12, "price": "1200.00", "bonus": "240.00"});
        offer[name] = value;
        offer
    };
    let good = offers(0, json!([year("excludes", json!(["vm-large"]))]));
    r.ask(&admin, "nothing offered", get, null).await;
    r.ask(&admin, "good", put, &good).await;
    r.ask(&admin, "changed meanwhile", put, &good).await;
    for (case, offer) in [
        ("for five months", year("months", json!(5))),
        ("no price", year("price", json!("much"))),
        ("a price too large", year("price", json!("500000.01"))),
        ("a bonus above the price", year("bonus", json!("1200.01"))),
        ("two bonuses", year("bonus_percent", json!(20))),
        ("an unknown SKU", year("excludes", json!(["vm-lager"]))),
        ("an id that is no path", year("id", json!(".."))),
        (
            "never available",
            json!({"id": "year", "months": 12, "price": "1200.00", "bonus": "240.00",
            "available_from": "2026-12-01T00:00:00Z", "available_until": "2026-12-01T00:00:00Z"}),
        ),
    ] {
        r.ask(&admin, case, put, &offers(1, json!([offer]))).await;
    }
    let twice = json!([year("months", json!(3)), year("months", json!(6))]);
    r.ask(&admin, "named twice", put, &offers(1, twice)).await;
    r.ask(&admin, "good", get, null).await;
    r.ask(&admin, "no such version", &format!("{get}?version=2"), null).await;
    let (ada, buy) = (r.api("ada", ""), "POST /v1/commit-plans/year/checkout");
    r.ask(&ada, "good", "GET /v1/commit-plans", null).await;
    let version = json!({"version": 1});
    r.ask(&ada, "good", buy, &version).await;
    let threshold = json!({"enabled": true, "threshold": "10000.01"});
    let wish = json!({"version": 1, "auto_refill": threshold});
    r.ask(&ada, "a threshold too large", buy, &wish).await;
    r.ask(&ada, "offers changed", buy, &json!({"version": 2})).await;
    r.ask(&ada, "not offered", "POST /v1/commit-plans/decade/checkout", &version).await;
}

/// Invoices by staff, and that of a payment.
async fn invoices(r: &mut Recorder<'_>, payment: &str) {
    let (admin, null) = (r.world.operator.clone(), &Value::Null);
    let issue = "POST /v1/admin/accounts/ada/invoices";
    let with = |name: &str, value: Value| {
        let mut wish = json!({"credit": "500.00", "due_days": 14, "reason": "a test"});
        wish[name] = value;
        wish
    };
    let made = r.ask(&admin, "good", issue, &with("methods", json!(["card"]))).await;
    for (case, body) in [
        ("too small", with("credit", json!("0.50"))),
        ("due too late", with("due_days", json!(366))),
        ("no method", with("methods", json!([]))),
        ("without a reason", with("reason", json!(""))),
    ] {
        r.ask(&admin, case, issue, &body).await;
    }
    r.ask(&admin, "good", "GET /v1/admin/accounts/ada/invoices", null).await;
    r.ask(&r.api("ada", ""), "one to pay", "GET /v1/invoices", null).await;
    let void = format!("{issue}/{}/void", last(&made));
    let reason = json!({"reason": "a test"});
    r.ask(&admin, "good", &void, &reason).await;
    r.ask(&admin, "no such invoice", &format!("{issue}/in_nothing/void"), &reason).await;
    let of = |id: &str| format!("POST /v1/admin/payments/{id}/invoice");
    r.ask(&admin, "it has one", &of(payment), null).await;
    r.ask(&admin, "no such payment", &of("pi_nothing"), null).await;
    r.ask(&admin, "an invoice", &of("in_nothing"), null).await;
}
