//! Holds and the allowance, as the platform asks for them.

use serde_json::{Value, json};
use tollgate_local::api::ApiClient;

use crate::answers::recorder::{Recorder, bonus, last};
use crate::support::{MINUTE, PLATFORM};

const HOLDS: &str = "POST /v1/holds";

/// The platform, acting for a customer with credit and a project.
struct Platform {
    acting: ApiClient,
    project: String,
}

pub(super) async fn holds(r: &mut Recorder<'_>) {
    bonus(r, "kim", "20.00").await;
    let project = r.done(&r.api("kim", ""), "POST /v1/projects", &json!({"name": "site"})).await;
    let acting = r.api("platform", PLATFORM).acting_for("kim");
    let platform = Platform { acting, project: last(&project).to_owned() };
    allowance(r, &platform).await;
    new_holds(r, &platform).await;
    captures(r, &platform).await;
    ends(r, &platform).await;
    too_many(r, &platform).await;
}

impl Platform {
    /// A hold for tokens, with other fields instead.
    fn wish(&self, other: &Value) -> Value {
        let mut wish = json!({"project": self.project, "skus": ["tokens"], "amount": "2.00"});
        wish.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        wish
    }

    /// The path of a new hold.
    async fn hold(&self, r: &mut Recorder<'_>) -> String {
        let hold = r.done(&self.acting, HOLDS, &self.wish(&json!({}))).await;
        format!("/v1/holds/{}", last(&hold))
    }
}

async fn allowance(r: &mut Recorder<'_>, platform: &Platform) {
    let project = &platform.project;
    for (case, query) in [
        ("good", format!("project={project}&sku=tokens&amount=2.00")),
        ("no amount", format!("project={project}&sku=tokens")),
        ("more than there is", format!("project={project}&sku=tokens&amount=20.01")),
        ("no project", "sku=tokens".to_owned()),
        ("no SKU", format!("project={project}")),
        ("an amount that is none", format!("project={project}&sku=tokens&amount=much")),
        ("no such project", "project=prj-nothing&sku=tokens".to_owned()),
        ("no such SKU", format!("project={project}&sku=nothing")),
        ("billed by the hour", format!("project={project}&sku=vm-small")),
    ] {
        let request = format!("GET /v1/allowance?{query}");
        r.ask(&platform.acting, case, &request, &Value::Null).await;
    }
}

async fn new_holds(r: &mut Recorder<'_>, platform: &Platform) {
    for (case, other) in [
        ("no SKU", json!({"skus": []})),
        ("an amount that is none", json!({"amount": "much"})),
        ("not positive", json!({"amount": "0"})),
        ("too long", json!({"expires_in": 86_401})),
        ("no such project", json!({"project": "prj-nothing"})),
        ("no such SKU", json!({"skus": ["nothing"]})),
        ("billed by the hour", json!({"skus": ["vm-small"]})),
        ("more than there is", json!({"amount": "20.01"})),
    ] {
        r.ask(&platform.acting, case, HOLDS, &platform.wish(&other)).await;
    }
    let used = [("idempotency-key", "used-hold")];
    let short = platform.wish(&json!({"expires_in": 60}));
    for (case, body) in [("good", &short), ("the same again", &short)] {
        r.ask_with(&platform.acting, case, HOLDS, &used, body).await;
    }
    let other = platform.wish(&json!({"amount": "3.00"}));
    r.ask_with(&platform.acting, "a key used for another", HOLDS, &used, &other).await;
}

async fn captures(r: &mut Recorder<'_>, platform: &Platform) {
    let (acting, null) = (&platform.acting, &Value::Null);
    let hold = platform.hold(r).await;
    let get = format!("GET {hold}");
    r.ask(acting, "open", &get, null).await;
    r.ask(acting, "no such hold", "GET /v1/holds/hold-99", null).await;
    r.ask(acting, "an ID that is none", "GET /v1/holds/nothing", null).await;
    let bob = r.api("platform", PLATFORM).acting_for("bob");
    r.ask(&bob, "of another account", &get, null).await;

    let capture = format!("POST {hold}/capture");
    let tokens = |quantity: &str| json!([{"sku": "tokens", "quantity": quantity}]);
    let part = json!({"usage": tokens("500"), "final": false});
    r.ask_with(acting, "a part without a key", &capture, &[], &part).await;
    for (case, body) in [
        ("a part", part),
        ("a part of nothing", json!({"final": false})),
        ("another SKU", json!({"usage": [{"sku": "vm-small", "quantity": "1"}]})),
        ("too much", json!({"usage": tokens("1000000001")})),
        ("good", json!({"usage": tokens("250.5")})),
        ("captured before", json!({"usage": tokens("1000")})),
    ] {
        r.ask(acting, case, &capture, &body).await;
    }
    r.ask(acting, "captured", &get, null).await;
    r.ask(acting, "captured", &format!("POST {hold}/extend"), &json!({})).await;
    r.ask(acting, "captured", &format!("POST {hold}/release"), null).await;
    r.ask(acting, "no such hold", "POST /v1/holds/hold-99/capture", &json!({})).await;
    // What it cost.
    let kim = r.api("kim", "");
    for path in ["/v1/spending?by=sku", "/v1/transactions?include=all"] {
        r.ask(&kim, "with holds", &format!("GET {path}"), null).await;
    }
    let billing = format!("GET /v1/projects/{}/billing", platform.project);
    r.ask(&kim, "with holds", &billing, null).await;
}

/// Holds are extended, released, and expire. They are captured late.
async fn ends(r: &mut Recorder<'_>, platform: &Platform) {
    let (acting, null) = (&platform.acting, &Value::Null);
    let (released, expired) = (platform.hold(r).await, platform.hold(r).await);
    let extend = format!("POST {expired}/extend");
    r.ask(acting, "good", &extend, &json!({"expires_in": 120})).await;
    r.ask(acting, "too long", &extend, &json!({"expires_in": 86_401})).await;
    r.ask(acting, "no body", &extend, null).await;
    r.ask(acting, "no such hold", "POST /v1/holds/hold-99/extend", &json!({})).await;
    let release = format!("POST {released}/release");
    r.ask(acting, "good", &release, null).await;
    r.ask(acting, "released before", &release, &json!({})).await;
    r.ask(acting, "a body with something in it", &release, &json!({"a": 1})).await;
    r.ask(acting, "no such hold", "POST /v1/holds/hold-99/release", null).await;
    let (kim, admin) = (r.api("kim", ""), r.world.operator.clone());
    r.ask(&kim, "with a hold", "GET /v1/balance", null).await;
    r.ask(&admin, "with a hold", "GET /v1/admin/accounts/kim", null).await;
    r.world.later(MINUTE * 3).await;
    for (case, path) in [("released", &released), ("expired", &expired)] {
        r.ask(acting, case, &format!("GET {path}"), null).await;
        let used = json!({"usage": [{"sku": "tokens", "quantity": "100"}]});
        for case in [case.to_owned(), format!("{case}, again")] {
            r.ask(acting, &case, &format!("POST {path}/capture"), &used).await;
        }
        r.ask(acting, &format!("{case}, captured late"), &format!("GET {path}"), null).await;
    }
    r.ask(acting, "expired", &extend, &json!({})).await;
    r.ask(acting, "expired", &format!("POST {expired}/release"), null).await;
}

async fn too_many(r: &mut Recorder<'_>, platform: &Platform) {
    let small = platform.wish(&json!({"amount": "0.01"}));
    for _ in 0..10 {
        r.done(&platform.acting, HOLDS, &small).await;
    }
    r.ask(&platform.acting, "too many", HOLDS, &small).await;
}
