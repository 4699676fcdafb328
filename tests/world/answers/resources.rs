//! Projects and resources, what the platform asks for, and the history of an account.

use serde_json::{Value, json};
use tollgate_local::format_time;

use crate::answers::recorder::{Recorder, bonus, last};
use crate::support::{HOUR, PLATFORM};

pub(super) async fn resources(r: &mut Recorder<'_>) {
    let (ada, bob) = (r.api("ada", ""), r.api("bob", ""));
    let null = &Value::Null;
    let projects = "POST /v1/projects";
    let project = r.ask(&ada, "good", projects, &json!({"name": "site"})).await;
    r.ask(&ada, "no name", projects, &json!({"name": " "})).await;
    let used = [("idempotency-key", "used")];
    r.ask_with(&ada, "another", projects, &used, &json!({"name": "shop"})).await;
    r.ask_with(&ada, "a key used for another", projects, &used, &json!({"name": "more"})).await;
    r.ask(&ada, "good", "GET /v1/projects", null).await;
    r.ask(&ada, "the first page", "GET /v1/projects?limit=1", null).await;
    r.ask(&ada, "a limit that is none", "GET /v1/projects?limit=0", null).await;
    let project = format!("/v1/projects/{}", last(&project));
    r.ask(&ada, "good", &format!("GET {project}"), null).await;
    r.ask(&bob, "of another account", &format!("GET {project}"), null).await;

    let new = format!("POST {project}/resources");
    let wish = |sku: &str| json!({"sku": sku, "name": "web", "start": true});
    let web = r.ask(&ada, "good", &new, &wish("vm-small")).await;
    let quiet = json!({"sku": "volume-100gb", "name": "disk", "start": false, "id": "disk"});
    let (platform, for_ada) = (r.api("platform", PLATFORM), [("tollgate-account", "ada")]);
    r.ask_with(&platform, "not started", &new, &for_ada, &quiet).await;
    let no_path = json!({"sku": "vm-small", "name": "a", "start": true, "id": "a/b"});
    for (case, body) in [("an id that is taken", &quiet), ("an id for no address", &no_path)] {
        r.ask_with(&platform, case, &new, &for_ada, body).await;
    }
    for (case, body) in [
        ("an id of one's own", quiet.clone()),
        ("no such SKU", wish("nothing")),
        ("no name", json!({"sku": "vm-small", "name": "", "start": true})),
        (
            "a rate of one's own",
            json!({"sku": "vm-small", "name": "a", "start": true, "rate": "0.01"}),
        ),
    ] {
        r.ask(&ada, case, &new, &body).await;
    }
    r.ask(&bob, "of another account", &new, &wish("vm-small")).await;
    r.ask_with(&ada, "another", &new, &used, &wish("vm-large")).await;
    r.ask_with(&ada, "a key used for another", &new, &used, &wish("vm-small")).await;
    let web = format!("{project}/resources/{}", last(&web));
    let verb = |verb: &str| format!("POST {web}/{verb}");
    r.ask(&ada, "good", &format!("GET {web}"), null).await;
    r.ask(&ada, "it runs", &verb("start"), &json!({})).await;
    r.ask(&ada, "it is not deleted", &verb("restore"), &json!({})).await;
    r.ask(&ada, "a body with something in it", &verb("start"), &json!({"a": 1})).await;
    r.ask(&ada, "a reason of the platform's", &verb("stop"), &json!({"reason": "start_failed"}))
        .await;
    r.ask(&ada, "good", &verb("stop"), &json!({})).await;
    r.ask(&ada, "it does not run", &verb("stop"), &json!({})).await;
    r.ask(&ada, "good", &verb("start"), &json!({})).await;
    r.world.later(HOUR).await;
    let delete = format!("DELETE {web}");
    r.ask(&ada, "good", &delete, null).await;
    r.ask(&ada, "it is deleted", &delete, null).await;
    r.ask(&ada, "it is deleted", &verb("start"), &json!({})).await;
    r.ask(&ada, "it is deleted", &verb("stop"), &json!({})).await;
    r.ask(&ada, "deleted", &format!("GET {web}"), null).await;
    r.ask(&ada, "good", &verb("restore"), &json!({})).await;
    r.ask(&ada, "nothing was stopped", "GET /v1/account/returning", null).await;
    r.ask(&ada, "nothing was stopped", "POST /v1/account/start", &json!({})).await;
    r.ask(&ada, "nothing was deleted", "POST /v1/account/restore", &json!({})).await;
    for request in [
        format!("GET {web}"),
        verb("start"),
        verb("stop"),
        verb("restore"),
        delete,
        format!("GET {project}/resources"),
        format!("GET {project}/billing"),
    ] {
        r.ask(&bob, "of another account", &request, null).await;
    }
    r.ask(&ada, "good", &format!("GET {project}/resources"), null).await;
    r.ask(&ada, "the first page", &format!("GET {project}/resources?limit=1"), null).await;
    r.ask(&ada, "good", &format!("GET {project}/billing"), null).await;
    r.ask(&ada, "no month", &format!("GET {project}/billing?month=13"), null).await;
    r.ask(&ada, "a month to come", &format!("GET {project}/billing?month=2027-01"), null).await;
    let (set, remove) = (format!("PUT {project}/budget"), format!("DELETE {project}/budget"));
    r.ask(&ada, "good", &set, &json!({"amount": "50.00", "stop": true})).await;
    r.ask(&ada, "in force already", &set, &json!({"amount": "50.00", "stop": true})).await;
    r.ask(&ada, "another amount", &set, &json!({"amount": "0.01", "stop": true})).await;
    r.ask(&ada, "not positive", &set, &json!({"amount": "0.00"})).await;
    r.ask(&ada, "no amount", &set, &json!({"stop": true})).await;
    r.ask(&bob, "of another account", &set, &json!({"amount": "5.00"})).await;
    r.ask(&ada, "good", "GET /v1/budgets", null).await;
    r.ask(&ada, "with a budget", &format!("GET {project}/billing"), null).await;
    let more = json!({"sku": "vm-small", "name": "more", "start": true});
    r.ask(&ada, "beyond the budget", &format!("POST {project}/resources"), &more).await;
    r.ask(&ada, "good", &remove, null).await;
    r.ask(&ada, "there is none", &remove, null).await;
    r.ask(&ada, "good", "GET /v1/prices", null).await;
    r.ask(&ada, "the first page", "GET /v1/prices?limit=1", null).await;
    r.ask(&ada, "a limit that is none", "GET /v1/prices?limit=201", null).await;
}

pub(super) async fn platform(r: &mut Recorder<'_>) {
    let (admin, platform) = (r.world.operator.clone(), r.api("platform", PLATFORM));
    let acting = platform.acting_for("ada");
    let null = &Value::Null;
    let tokens = json!({"prices": [{"sku": "tokens", "unit": "quantity", "kind": "meter", "rate": "0.001"}]});
    r.ask(&admin, "good", "PUT /v1/admin/prices", &tokens).await;
    let ada = r.api("ada", "");
    let projects = r.done(&ada, "GET /v1/projects", null).await;
    let project = projects["items"][0]["id"].as_str().unwrap();
    let new = format!("POST /v1/projects/{project}/resources");
    let wish = json!({"sku": "tokens", "name": "a", "start": true});
    r.ask(&ada, "not billed by the hour", &new, &wish).await;
    let agreed = json!({"sku": "vm-small", "name": "agreed", "start": true, "rate": "0.01"});
    let agreed = r.ask(&acting, "a rate of one's own, by the platform", &new, &agreed).await;
    let stop = format!("POST /v1/projects/{project}/resources/{}/stop", last(&agreed));
    let failed = json!({"reason": "start_failed"});
    r.ask(&acting, "the start failed", &stop, &failed).await;
    r.ask(&acting, "the start failed before", &stop, &failed).await;

    let usage = "POST /v1/usage";
    let now = format_time(r.world.cloud.now());
    let of = |project: &str, sku: &str, more: Value| {
        let mut body = json!({"project": project, "sku": sku});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (case, body) in [
        ("good", of(project, "tokens", json!({"reading": "100"}))),
        ("not newer", of(project, "tokens", json!({"reading": "50"}))),
        ("a level", of(project, "tokens", json!({"gauge": "disk", "level": "50", "at": now}))),
        ("not lower", of(project, "tokens", json!({"gauge": "disk", "level": "51", "at": now}))),
        ("a level at no time", of(project, "tokens", json!({"level": "50"}))),
        ("a quantity", of(project, "tokens", json!({"quantity": "5", "id": "one"}))),
        ("the same quantity", of(project, "tokens", json!({"quantity": "5", "id": "one"}))),
        ("another under the same id", of(project, "tokens", json!({"quantity": "6", "id": "one"}))),
        (
            "more than a meter shows",
            of(project, "tokens", json!({"quantity": "1000000000000000", "id": "two"})),
        ),
        ("both at once", of(project, "tokens", json!({"reading": "1", "quantity": "5"}))),
        ("no such project", of("prj-nothing", "tokens", json!({"reading": "1"}))),
        ("no such SKU", of(project, "nothing", json!({"reading": "1"}))),
        ("billed by the hour", of(project, "vm-small", json!({"reading": "1"}))),
    ] {
        r.ask(&acting, case, usage, &body).await;
    }
    let list = "GET /v1/platform/resources";
    r.ask(&platform, "good", list, null).await;
    r.ask(&platform, "of one account", &format!("{list}?account=ada"), null).await;
    r.ask(&platform, "no such account", &format!("{list}?account=nobody"), null).await;
    r.ask(&platform, "a cursor that is none", &format!("{list}?cursor=x"), null).await;
    r.ask(&platform, "a time that is none", &format!("{list}?since=x"), null).await;
    r.ask(&platform, "a limit that is none", &format!("{list}?limit=0"), null).await;
    r.world.later(HOUR).await;
}

/// What there is to read once something has happened.
pub(super) async fn history(r: &mut Recorder<'_>) {
    let ada = r.api("ada", "");
    let null = &Value::Null;
    for path in ["account", "balance", "balance/history", "transactions", "spending", "invoices"] {
        r.ask(&ada, "good", &format!("GET /v1/{path}"), null).await;
    }
    for (case, path) in [
        ("all rows", "transactions?include=all"),
        ("one type", "transactions?type=usage&limit=1"),
        ("no such type", "transactions?type=nothing"),
        ("a limit that is none", "transactions?limit=0"),
        ("a cursor that is none", "transactions?cursor=x"),
        ("no time", "transactions?from=yesterday"),
        ("by SKU", "spending?by=sku"),
        ("by resource", "spending?by=resource"),
        ("by nothing", "spending?by=nothing"),
        ("an empty time", "spending?from=2026-11-22T11:00:00Z&to=2026-11-22T10:00:00Z"),
        ("too long a time", "spending?from=2020-01-01T00:00:00Z"),
        ("by day", "balance/history?granularity=day"),
        ("by year", "balance/history?granularity=year"),
        ("too long a time", "balance/history?from=2020-01-01T00:00:00Z"),
    ] {
        r.ask(&ada, case, &format!("GET /v1/{path}"), null).await;
    }
    let csv = [("accept", "text/csv")];
    for path in ["transactions", "spending"] {
        r.ask_with(&ada, "as a table", &format!("GET /v1/{path}"), &csv, null).await;
    }
}

/// Two machines are stopped by a suspension, started together, suspended again, deleted, and restored
/// together.
pub(super) async fn coming_back(r: &mut Recorder<'_>) {
    let (leo, null) = (r.api("leo", ""), &Value::Null);
    bonus(r, "leo", "10.00").await;
    let project = r.done(&leo, "POST /v1/projects", &json!({"name": "site"})).await;
    let new = format!("POST /v1/projects/{}/resources", last(&project));
    for name in ["one", "two"] {
        r.done(&leo, &new, &json!({"sku": "vm-gpu", "name": name, "start": true})).await;
    }
    r.world.later(HOUR * 3).await;
    let returning = "GET /v1/account/returning";
    r.ask(&leo, "two were stopped", returning, null).await;
    r.ask(&leo, "still suspended", "POST /v1/account/start", null).await;
    bonus(r, "leo", "5.00").await;
    r.ask(&leo, "too little credit for two", "POST /v1/account/start", null).await;
    bonus(r, "leo", "10.00").await;
    r.ask(&leo, "two start", "POST /v1/account/start", null).await;
    let listed = format!("GET /v1/projects/{}/resources", last(&project));
    let listed = r.done(&leo, &listed, null).await;
    let ids = json!({"resources": [listed["items"][0]["id"], listed["items"][1]["id"]]});
    r.ask(&leo, "those named", "POST /v1/account/stop", &ids).await;
    r.ask(&leo, "they are off", "POST /v1/account/stop", &ids).await;
    r.ask(&leo, "nothing named", "POST /v1/account/stop", &json!({"resources": []})).await;
    r.ask(&leo, "those named", "POST /v1/account/start", &ids).await;
    r.world.later(HOUR * 80).await;
    r.ask(&leo, "two were deleted", returning, null).await;
    r.ask(&leo, "deleted", "POST /v1/account/restore", null).await;
    bonus(r, "leo", "20.00").await;
    r.ask(&leo, "two are restored", "POST /v1/account/restore", null).await;
}
