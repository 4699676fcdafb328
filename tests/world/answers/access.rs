//! Who is let in, who is new, and what is answered without credit, without Stripe, and for old keys.

use serde_json::{Map, Value, json};
use tollgate_local::control::TokenRequest;

use crate::answers::recorder::{Recorder, bonus, last, top_up};
use crate::support::{GOOD_CARD, HOUR, PLATFORM};

pub(super) async fn files(r: &mut Recorder<'_>) {
    let anybody = r.world.api.clone();
    let page = r.send(&anybody, "GET /", &Value::Null).await;
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    // The path of the files contains a digest of all files.
    let script = page.split('"').find(|part| part.ends_with("/app.js")).unwrap();
    let script = format!("/{}", script.trim_start_matches('/'));
    for path in ["/", "/config.json", "/staff", "/staff/config.json", &script, "/v1/openapi.json"] {
        r.ask(&anybody, "good", &format!("GET {path}"), &Value::Null).await;
    }
    r.ask(&anybody, "no such file", "GET /assets/nothing.js", &Value::Null).await;
}

/// Who is not let in, and what is not looked at.
pub(super) async fn doors(r: &mut Recorder<'_>) {
    let (anybody, alice) = (r.world.api.clone(), r.api("alice", ""));
    r.ask(&alice, "no such route", "GET /v1/nothing", &Value::Null).await;
    r.ask(&anybody, "without a token", "GET /v1/balance", &Value::Null).await;
    r.ask(&alice, "without the scope", "GET /v1/admin/prices", &Value::Null).await;
    let acting = [("tollgate-account", "bob")];
    r.ask_with(&alice, "for another account", "GET /v1/balance", &acting, &Value::Null).await;
    let platform = r.api("platform", PLATFORM);
    let nobody = [("tollgate-account", "a#b")];
    r.ask_with(&platform, "for no account", "GET /v1/balance", &nobody, &Value::Null).await;
    // One of each function: they read requests in the same way.
    let huge = json!({"name": "x".repeat(300 * 1024)});
    let admin = r.world.operator.clone();
    for (api, request) in [
        (&alice, "PUT /v1/account"),
        (&alice, "POST /v1/projects"),
        (&alice, "POST /v1/checkout-sessions"),
        (&admin, "PUT /v1/admin/prices"),
        (&anybody, "POST /v1/stripe/webhook"),
    ] {
        r.ask(api, "a huge body", request, &huge).await;
        if request != "POST /v1/stripe/webhook" {
            let bad = [("idempotency-key", "a b")];
            r.ask_with(api, "a key that is none", request, &bad, &json!({})).await;
            r.ask(api, "a body that is no JSON", request, &json!("{")).await;
            r.ask(api, "a body that is a list", request, &json!([1])).await;
            r.ask(api, "a field that is unknown", request, &json!({"unknown_field": 1})).await;
        }
    }
}

pub(super) async fn somebody_new(r: &mut Recorder<'_>) {
    let new = r.api("new", "");
    for path in [
        "account",
        "balance",
        "balance/history",
        "transactions",
        "spending",
        "invoices",
        "company",
        "auto-refill",
        "payment-methods",
        "projects",
        "prices",
    ] {
        r.ask(&new, "somebody new", &format!("GET /v1/{path}"), &Value::Null).await;
    }
    r.ask(&new, "nothing to see yet", "POST /v1/portal-sessions", &json!({})).await;
    let mut claims = Map::new();
    claims.insert("email".to_owned(), json!(""));
    let request = TokenRequest { account: "shy".to_owned(), claims, ..TokenRequest::default() };
    let shy = r.world.api.with_token(r.world.cloud.token(&request).unwrap());
    let wish = json!({"amount": "25.00"});
    r.ask(&shy, "no e-mail address", "GET /v1/account", &Value::Null).await;
    r.ask(&shy, "no e-mail address", "POST /v1/checkout-sessions", &wish).await;
    r.ask(&shy, "no e-mail address", "POST /v1/payment-methods/sessions", &json!({})).await;
}

pub(super) async fn no_credit(r: &mut Recorder<'_>) {
    bonus(r, "gus", "9.00").await;
    let gus = r.api("gus", "");
    let project = r.done(&gus, "POST /v1/projects", &json!({"name": "site"})).await;
    let new = format!("POST /v1/projects/{}/resources", last(&project));
    let gpu = json!({"sku": "gpu", "name": "one", "start": true});
    r.done(&gus, &new, &gpu).await;
    let all = json!({"amount": "-5.00", "reason": "a test"});
    let admin = r.world.operator.clone();
    r.done(&admin, "POST /v1/admin/accounts/gus/correction", &all).await;
    r.ask(&gus, "too little credit", &new, &gpu).await;
    r.world.without_schedule("settle-due");
    r.world.later(HOUR).await;
    r.world.no_faults();
    not_allowed(r, "gus", "suspended").await;
}

/// Stripe cannot be asked, has too much to do, or refuses.
pub(super) async fn stripe_down(r: &mut Recorder<'_>) {
    bonus(r, "hal", "9.00").await;
    let hal = r.api("hal", "");
    top_up(r, "hal", &json!({"amount": "5.00"}), GOOD_CARD).await;
    for (case, fault) in [("Stripe fails", "error"), ("Stripe has too much to do", "throttle")] {
        r.world.fault(json!({"fault": fault, "service": "stripe", "times": 0}));
        r.ask(&hal, case, "POST /v1/checkout-sessions", &json!({"amount": "5.00"})).await;
        r.ask(&hal, case, "POST /v1/portal-sessions", &json!({})).await;
        r.world.no_faults();
    }
}

/// A start that is too long ago to have failed.
pub(super) async fn long_ago(r: &mut Recorder<'_>) {
    bonus(r, "joe", "9.00").await;
    let joe = r.api("joe", "");
    let project = r.done(&joe, "POST /v1/projects", &json!({"name": "site"})).await;
    let new = format!("/v1/projects/{}/resources", last(&project));
    let wish = json!({"sku": "vm-small", "name": "one", "start": true});
    let resource = r.done(&joe, &format!("POST {new}"), &wish).await;
    r.world.without_schedule("settle-due");
    r.world.later(HOUR * 25).await;
    r.world.no_faults();
    let acting = r.api("platform", PLATFORM).acting_for("joe");
    let stop = format!("POST {new}/{}/stop", last(&resource));
    r.ask(&acting, "too long ago", &stop, &json!({"reason": "start_failed"})).await;
}

/// What an account in bad standing is answered.
pub(super) async fn not_allowed(r: &mut Recorder<'_>, account: &str, case: &str) {
    let api = r.api(account, "");
    let null = &Value::Null;
    let projects = r.done(&api, "GET /v1/projects", null).await;
    let project = format!("/v1/projects/{}", projects["items"][0]["id"].as_str().unwrap());
    let list = r.ask(&api, case, &format!("GET {project}/resources"), null).await;
    let new = json!({"sku": "vm-small", "name": "more", "start": true});
    r.ask(&api, case, &format!("POST {project}/resources"), &new).await;
    let resource = format!("{project}/resources/{}", last(&list["items"][0]));
    r.ask(&api, case, &format!("POST {resource}/start"), &json!({})).await;
    r.ask(&api, case, "GET /v1/balance", null).await;
    r.ask(&api, case, "POST /v1/payment-methods/sessions", &json!({})).await;
    r.ask(&api, case, "POST /v1/checkout-sessions", &json!({"amount": "5.00"})).await;
    let refill = json!({"enabled": true, "threshold": "0.01", "amount": "25.00"});
    r.ask(&api, case, "PUT /v1/auto-refill", &refill).await;
    let usage = json!({"project": last(&projects["items"][0]), "sku": "tokens", "reading": "1"});
    let acting = r.api("platform", PLATFORM).acting_for(account);
    r.ask(&acting, case, "POST /v1/usage", &usage).await;
    let project = last(&projects["items"][0]);
    let hold = json!({"project": project, "skus": ["tokens"], "amount": "0.01"});
    r.ask_with(&acting, case, "POST /v1/holds", &[], &hold).await;
    let allowance = format!("GET /v1/allowance?project={project}&sku=tokens");
    r.ask_with(&acting, case, &allowance, &[], null).await;
}

/// A customer closes an account that has no resources.
pub(super) async fn leaving(r: &mut Recorder<'_>) {
    let (zoe, close) = (r.api("zoe", ""), "DELETE /v1/account");
    r.ask(&zoe, "nothing is lost", "GET /v1/account/closing", &Value::Null).await;
    r.ask(&zoe, "no balance", close, &json!({})).await;
    r.ask(&zoe, "another balance", close, &json!({"balance": "5.00"})).await;
    r.ask(&zoe, "good", close, &json!({"balance": "0.00"})).await;
    r.ask(&zoe, "closed already", close, &json!({"balance": "0.00"})).await;
    r.ask(&zoe, "closed", "GET /v1/account/closing", &Value::Null).await;
    r.ask(&zoe, "no cursor", "GET /v1/account/export?cursor=3", &Value::Null).await;
    r.ask(&zoe, "rows", "GET /v1/account/export?cursor=rows-0", &Value::Null).await;
}
