//! Projects and resources over the HTTP API: each route, each refusal, repeats and races.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tollgate::domain::prices::Price;
use tollgate::runtime::billing::Billing;
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{ALICE, at};

const PROJECTS: &str = "POST /v1/projects";
const PROJECT: &str = "GET /v1/projects/{project}";
const CREATE: &str = "POST /v1/projects/{project}/resources";
const LIST: &str = "GET /v1/projects/{project}/resources";
const GET: &str = "GET /v1/projects/{project}/resources/{id}";
const START: &str = "POST /v1/projects/{project}/resources/{id}/start";
const STOP: &str = "POST /v1/projects/{project}/resources/{id}/stop";
const RESTORE: &str = "POST /v1/projects/{project}/resources/{id}/restore";
const DELETE: &str = "DELETE /v1/projects/{project}/resources/{id}";
const PLATFORM: &str = "GET /v1/platform/resources";
const SCOPE: &str = "tollgate/platform";

async fn send(billing: &Billing, event: &ApiEvent) -> Answered {
    resources::handle(billing, event.request()).await.into()
}

async fn ask(api: &Api, event: ApiEvent) -> Answered {
    send(&api.billing, &event).await
}

#[tokio::test]
async fn prices_list_current_and_upcoming_page_by_page() {
    let api = Api::new().await;
    let vm = api.ledger.prices.iter().find(|price| price.sku.as_str() == "vm").unwrap().clone();
    let later = at("2026-11-22T12:00:00Z");
    let new = Price { rate: "9".parse().unwrap(), valid_from: later, ..vm.clone() };
    api.ledger.undisturbed.put_price(&new, at("2026-11-22T10:00:00Z")).await.unwrap();
    let all = ask(&api, ApiEvent::by(ALICE, "GET /v1/prices", "10:00:00")).await.body;
    let skus: Vec<&str> =
        all["items"].as_array().unwrap().iter().map(|item| item["sku"].as_str().unwrap()).collect();
    assert!(skus.is_sorted() && skus.len() > 1 && all["next"].is_null(), "{all}");
    let shown = all["items"].as_array().unwrap().iter().find(|item| item["sku"] == "vm").unwrap();
    assert_eq!(shown["rate"], vm.rate.shown());
    assert_eq!(
        shown["upcoming"],
        json!([{"rate": "9.00", "idle_rate": vm.idle_rate.shown(), "valid_from": later.to_string()}])
    );
    let mut paged = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let event = ApiEvent::by(ALICE, "GET /v1/prices", "10:00:00").with("limit", "1");
        let event = cursor.iter().fold(event, |event, cursor| event.with("cursor", cursor));
        let page = ask(&api, event).await.body;
        paged.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(json!(paged), all["items"]);
    let held = ask(&api, ApiEvent::by(ALICE, "GET /v1/prices", "12:00:00")).await.body;
    let held =
        held["items"].as_array().unwrap().iter().find(|item| item["sku"] == "vm").unwrap().clone();
    assert_eq!((&held["rate"], &held["upcoming"]), (&json!("9.00"), &json!([])));
    assert_eq!(
        ask(&api, ApiEvent::by(ALICE, "GET /v1/prices", "10:00:00").without_token()).await.status,
        401
    );
    let wrong =
        ask(&api, ApiEvent::by(ALICE, "GET /v1/prices", "10:00:00").with("limit", "0")).await;
    assert_eq!((wrong.status, wrong.code()), (400, "invalid_parameter"));
}

/// Alice with credit and a project of that name.
async fn with_credit(amount: &str) -> (Api, String) {
    let api = Api::new().await;
    api.ledger.open(ALICE, "10:00:00").await;
    api.ledger.credit(ALICE, "pi_1", amount, "10:00:00").await;
    let project = new_project(&api, ALICE).await;
    (api, project)
}

async fn new_project(api: &Api, account: &str) -> String {
    let made =
        ask(api, ApiEvent::by(account, PROJECTS, "10:00:00").json(&json!({"name": "site"}))).await;
    assert_eq!(made.status, 201);
    made.body["id"].as_str().unwrap().to_owned()
}

/// Only the platform may choose an ID.
fn wanted(project: &str, body: Value) -> ApiEvent {
    let event = ApiEvent::by(ALICE, CREATE, "10:20:00").at("project", project).json(&body);
    if body["id"].is_null() { event } else { event.scope(SCOPE) }
}

/// A running `vm` of that id.
async fn running(api: &Api, project: &str, id: &str) {
    let body = json!({"sku": "vm", "name": "web", "start": true, "id": id});
    assert_eq!(ask(api, wanted(project, body)).await.status, 201);
}

fn on(route: &str, project: &str, id: &str, now: &str) -> ApiEvent {
    ApiEvent::by(ALICE, route, now).at("project", project).at("id", id)
}

/// Refused with this code, and nothing written.
async fn refused(api: &Api, event: ApiEvent, status: u16, code: &str) -> Answered {
    let before = api.everything().await;
    let answered = ask(api, event.clone()).await;
    assert_eq!(
        (answered.status, answered.code()),
        (status, code),
        "{event:?}: {}",
        answered.shown()
    );
    assert_eq!(api.everything().await, before, "nothing is written: {event:?}");
    answered
}

/// The same event twice, and at once from two sandboxes: one row, and the same answer four times.
async fn once(api: &Api, event: ApiEvent, rows: u64) -> Answered {
    let event = event.key("k-1");
    let before = api.rows(ALICE).await;
    let other = api.another();
    let (first, second) = tokio::join!(send(&api.billing, &event), send(&other, &event));
    let third = send(&other, &event.clone().minutes_later(3)).await;
    assert_eq!((&first, &first), (&second, &third), "the same answer");
    assert_eq!(api.rows(ALICE).await, before + rows, "{}", first.shown());
    check(&api.ledger, ALICE).await;
    first
}

#[tokio::test]
async fn a_project_is_made_shown_and_listed() {
    let api = Api::new().await;
    let made = ask(
        &api,
        ApiEvent::by(ALICE, PROJECTS, "10:00:00").key("k").json(&json!({"name": "my site"})),
    )
    .await;
    insta::assert_snapshot!(made.shown(), @r#"
    201 {
      "id": "prj-qqgkrd35fe2h6h8ksqn7",
      "name": "my site"
    }
    "#);
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(
        ask(&api, ApiEvent::by(ALICE, PROJECT, "10:00:01").at("project", id)).await.body,
        made.body
    );
    let listed = ask(&api, ApiEvent::by(ALICE, "GET /v1/projects", "10:00:01")).await;
    assert_eq!(listed.body, json!({"items": [made.body], "next": null}));
    assert_eq!(api.rows(ALICE).await, 1, "the first call opens the account");
}

#[tokio::test]
async fn projects_are_listed_page_by_page() {
    let api = Api::new().await;
    for _ in 0..5 {
        new_project(&api, ALICE).await;
    }
    let list = |cursor: Option<String>| {
        let list = ApiEvent::by(ALICE, "GET /v1/projects", "10:00:01").with("limit", "2");
        match cursor {
            Some(cursor) => list.with("cursor", &cursor),
            None => list,
        }
    };
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = ask(&api, list(cursor)).await.body;
        found.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].to_string()));
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    found.dedup();
    assert_eq!(found.len(), 5);
}

#[tokio::test]
async fn repeated_project_request_makes_one_project_per_key() {
    let api = Api::new().await;
    api.ledger.open(ALICE, "10:00:00").await;
    let event = ApiEvent::by(ALICE, PROJECTS, "10:00:00").json(&json!({"name": "site"}));
    once(&api, event, 0).await;
    let listed = ask(&api, ApiEvent::by(ALICE, "GET /v1/projects", "10:00:01")).await;
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 1);
    let other =
        ApiEvent::by(ALICE, PROJECTS, "10:00:00").key("k-1").json(&json!({"name": "other"}));
    refused(&api, other, 422, "idempotency_key_reused").await;
    // Of two accounts the same key makes two.
    let bob = ask(
        &api,
        ApiEvent::by("bob", PROJECTS, "10:00:00").key("k-1").json(&json!({"name": "site"})),
    )
    .await;
    assert_eq!(bob.status, 201);
    assert_ne!(bob.body["id"], listed.body["items"][0]["id"]);
}

#[tokio::test]
async fn a_resource_is_created_and_started_in_one_row() {
    let (api, project) = with_credit("10").await;
    let event = wanted(&project, json!({"sku": "vm", "name": "web", "start": true, "id": "srv-1"}));
    let made = once(&api, event, 1).await;
    assert_eq!(made.status, 201);
    assert_eq!(
        made.body,
        json!({
            "id": "srv-1", "project": project, "sku": "vm", "kind": "instance", "name": "web", "state": "running",
            "rate_per_hour": "0.60", "cost_per_hour": "0.60", "since": "2026-11-22T10:20:00Z", "address": "kept",
        })
    );
    assert_eq!(ask(&api, on(GET, &project, "srv-1", "10:21:00")).await.body, made.body);
    let listed = ask(&api, ApiEvent::by(ALICE, LIST, "10:21:00").at("project", &project)).await;
    assert_eq!(listed.body, json!({"items": [made.body], "next": null}));
}

#[tokio::test]
async fn repeated_request_without_id_finds_its_resource() {
    let (api, project) = with_credit("10").await;
    let body = json!({"sku": "vm", "name": "web", "start": true});
    let made = once(&api, wanted(&project, body.clone()), 1).await;
    assert!(made.body["id"].as_str().unwrap().starts_with("srv-"), "{}", made.shown());
    let mut other = body.clone();
    other["name"] = json!("other");
    refused(&api, wanted(&project, other).key("k-1"), 422, "idempotency_key_reused").await;
    let second = ask(&api, wanted(&project, body)).await;
    assert_ne!(second.body["id"], made.body["id"], "without a key every request is one of its own");
}

#[tokio::test]
async fn every_step_of_a_resources_life_is_idempotent() {
    let (api, project) = with_credit("10").await;
    let made = once(
        &api,
        wanted(&project, json!({"sku": "vm", "name": "web", "start": false, "id": "srv-1"})),
        1,
    )
    .await;
    assert_eq!((made.status, &made.body["state"]), (201, &json!("new")));
    let mut seen = Vec::new();
    for (route, now) in [
        (START, "10:20:00"),
        (STOP, "10:30:00"),
        (DELETE, "10:35:00"),
        (RESTORE, "10:40:00"),
        (DELETE, "10:50:00"),
    ] {
        let mut event = on(route, &project, "srv-1", now);
        if route == DELETE && now == "10:50:00" {
            event = event.header("x-trace", "second");
            let answered = ask(&api, event).await;
            seen.push(answered);
            continue;
        }
        seen.push(once(&api, event, 1).await);
    }
    let states: Vec<_> = seen
        .iter()
        .map(|one| format!("{} {} {}", one.status, one.body["state"], one.body["address"]))
        .collect();
    assert_eq!(
        states,
        [
            r#"200 "running" "kept""#,
            r#"200 "stopped" "kept""#,
            r#"200 "deleted" "kept""#,
            r#"200 "running" "new""#,
            r#"200 "deleted" "new""#,
        ]
    );
    assert!(seen.iter().all(|one| one.body["name"] == "web"));
    // A repeated stop gets the same answer, whatever has changed since.
    let again = ask(&api, on(STOP, &project, "srv-1", "10:55:00").key("k-1")).await;
    assert_eq!(again, seen[1]);
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn start_reported_as_failed_costs_nothing() {
    let (api, project) = with_credit("10").await;
    running(&api, &project, "srv-1").await;
    let failed = json!({"reason": "start_failed"});
    refused(&api, on(STOP, &project, "srv-1", "10:25:00").json(&failed), 403, "forbidden").await;
    let event =
        ApiEvent::by("platform", STOP, "10:25:00").scope(SCOPE).header("Tollgate-Account", ALICE);
    let event = event.at("project", &project).at("id", "srv-1").json(&failed);
    let answered = once(&api, event, 1).await;
    assert_eq!((answered.status, &answered.body["state"]), (200, &json!("new")));
    assert_eq!(check(&api.ledger, ALICE).await.balance().to_string(), "10.00");
}

#[tokio::test]
async fn failed_start_that_its_customer_stopped_costs_nothing() {
    for end in [STOP, DELETE] {
        let (api, project) = with_credit("10").await;
        running(&api, &project, "srv-1").await;
        ask(&api, on(end, &project, "srv-1", "10:25:00")).await;
        let failed = json!({"reason": "start_failed"});
        let event = ApiEvent::by("platform", STOP, "10:30:00")
            .scope(SCOPE)
            .header("Tollgate-Account", ALICE)
            .at("project", &project)
            .at("id", "srv-1")
            .json(&failed);
        let answered = once(&api, event.clone(), 1).await;
        assert_eq!(answered.status, 200, "{}", answered.shown());
        assert_eq!(check(&api.ledger, ALICE).await.balance().to_string(), "10.00", "{end}");
        refused(&api, event.key("another"), 409, "wrong_condition").await;
    }
}

#[tokio::test]
async fn agreed_rates_come_from_the_platform_only() {
    let (api, project) = with_credit("10").await;
    let body = json!({"sku": "vm", "name": "web", "start": true, "rate": "0.5"});
    refused(&api, wanted(&project, body), 403, "forbidden").await;
    let body = json!({"sku": "vm", "name": "web", "start": true, "id": "srv-1", "rate": "0.5"});
    let made = ask(&api, wanted(&project, body).scope(SCOPE)).await;
    assert_eq!((made.status, &made.body["rate_per_hour"]), (201, &json!("0.50")));
}

#[tokio::test]
async fn refusal_for_credit_says_what_is_missing_and_where_to_add() {
    let (api, project) = with_credit("4.99").await;
    let event = wanted(&project, json!({"sku": "vm", "name": "web", "start": true}));
    let answered = refused(&api, event, 402, "credit_too_low").await;
    insta::assert_snapshot!(answered.shown(), @r#"
    402 {
      "action": {
        "add_credit": "https://billing.example/#add-credit"
      },
      "available": "4.99",
      "code": "credit_too_low",
      "detail": "This requires $5.00 of credit, and $4.99 is available.",
      "request_id": "r-1",
      "required": "5.00",
      "status": 402,
      "title": "Insufficient credit",
      "type": "urn:tollgate:problem:credit_too_low"
    }
    "#);
}

#[tokio::test]
async fn suspended_account_starts_nothing_and_shows_what_is_off() {
    let (api, project) = with_credit("5").await;
    running(&api, &project, "srv-1").await;
    api.ledger.settle(ALICE, "22:00:00").await;
    let shown = ask(&api, on(GET, &project, "srv-1", "22:00:00")).await;
    assert_eq!(
        (&shown.body["state"], &shown.body["since"]),
        (&json!("suspended"), &json!("2026-11-22T18:40:00Z"))
    );
    let answered =
        refused(&api, on(START, &project, "srv-1", "22:00:00"), 409, "account_suspended").await;
    assert_eq!(answered.body["action"]["add_credit"], "https://billing.example/#add-credit");
}

#[tokio::test]
async fn of_two_simultaneous_starts_one_is_refused() {
    let (api, project) = with_credit("10").await;
    let body = json!({"sku": "vm", "name": "web", "start": false, "id": "srv-1"});
    ask(&api, wanted(&project, body)).await;
    let (start, other) = (on(START, &project, "srv-1", "10:21:00"), api.another());
    let (first, second) = tokio::join!(send(&api.billing, &start), send(&other, &start));
    let mut both =
        [(first.status, first.code().to_owned()), (second.status, second.code().to_owned())];
    both.sort();
    assert_eq!(both, [(200, String::new()), (409, "wrong_condition".to_owned())]);
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn a_price_that_is_new_is_met_at_once() {
    let (api, project) = with_credit("10").await;
    running(&api, &project, "srv-1").await;
    let gpu = Price {
        sku: "gpu".parse().unwrap(),
        unit: tollgate::domain::prices::PriceUnit::Hour,
        kind: "instance".parse().unwrap(),
        rate: "2".parse().unwrap(),
        idle_rate: tollgate::domain::money::Rate::ZERO,
        valid_from: at("10:20:00"),
        display: tollgate::domain::prices::PriceDisplay::default(),
    };
    api.ledger.undisturbed.put_price(&gpu, gpu.valid_from).await.unwrap();
    let made =
        ask(&api, wanted(&project, json!({"sku": "gpu", "name": "gpu", "start": true}))).await;
    assert_eq!(made.status, 201, "{}", made.shown());
}

#[tokio::test]
async fn refused_resource_call_names_its_problem_writes_nothing() {
    let (api, project) = with_credit("10").await;
    running(&api, &project, "srv-1").await;
    let body = |sku: &str, name: &str, id: &str| json!({"sku": sku, "name": name, "start": true, "id": id});
    for (event, status, code) in [
        (wanted(&project, body("nope", "web", "srv-2")), 422, "unknown_sku"),
        (wanted(&project, body("tokens", "web", "srv-2")), 422, "unusable"),
        (wanted(&project, body("vm", " ", "srv-2")), 422, "unusable"),
        (wanted(&project, body("vm", "web", "srv-1")), 409, "already_exists"),
        (wanted("prj-none", body("vm", "web", "srv-2")), 404, "not_found"),
        (wanted(&project, body("vm", "web", "a/b")), 400, "invalid_body"),
        (on(START, &project, "srv-1", "10:21:00"), 409, "wrong_condition"),
        (on(RESTORE, &project, "srv-1", "10:21:00"), 409, "wrong_condition"),
        (on(START, &project, "none", "10:21:00"), 404, "not_found"),
        (on(STOP, &project, "none", "10:21:00"), 404, "not_found"),
        (on(RESTORE, &project, "none", "10:21:00"), 404, "not_found"),
        (on(DELETE, &project, "none", "10:21:00"), 404, "not_found"),
        (on(GET, &project, "none", "10:21:00"), 404, "not_found"),
        (on(STOP, "prj-none", "srv-1", "10:21:00"), 404, "not_found"),
        (ApiEvent::by(ALICE, LIST, "10:21:00").at("project", "prj-none"), 404, "not_found"),
        (ApiEvent::by(ALICE, PROJECT, "10:21:00").at("project", "prj-none"), 404, "not_found"),
        (
            ApiEvent::by(ALICE, LIST, "10:21:00").at("project", &project).with("limit", "0"),
            400,
            "invalid_parameter",
        ),
        (
            ApiEvent::by(ALICE, LIST, "10:21:00").at("project", &project).with("limit", "x"),
            400,
            "invalid_parameter",
        ),
        (
            ApiEvent::by(ALICE, "GET /v1/projects", "10:21:00").with("cursor", "a b"),
            400,
            "invalid_parameter",
        ),
        (ApiEvent::by(ALICE, "PATCH /v1/projects", "10:21:00"), 404, "not_found"),
    ] {
        refused(&api, event, status, code).await;
    }
    ask(&api, on(STOP, &project, "srv-1", "10:22:00")).await;
    refused(&api, on(STOP, &project, "srv-1", "10:23:00"), 409, "wrong_condition").await;
    ask(&api, on(DELETE, &project, "srv-1", "10:24:00")).await;
    refused(&api, on(DELETE, &project, "srv-1", "10:25:00"), 409, "wrong_condition").await;
    refused(&api, on(START, &project, "srv-1", "10:25:00"), 409, "wrong_condition").await;
}

#[tokio::test]
async fn customers_choose_no_resource_id() {
    let (api, project) = with_credit("10").await;
    let body = |id: &str| json!({"sku": "vm", "name": "web", "start": false, "id": id});
    let by_customer =
        |id: &str| ApiEvent::by(ALICE, CREATE, "10:20:00").at("project", &project).json(&body(id));
    for id in ["db-1", "..", "a/b"] {
        let answered = refused(&api, by_customer(id), 400, "invalid_body").await;
        assert_eq!(answered.body["parameter"], "id");
        let why = "id: only the platform may choose an ID. Leave it out, and one is generated.";
        assert_eq!(answered.body["detail"], why);
    }
    for id in ["..", ".", "-rf", "a~b", "a%2e", "a b"] {
        let answered = refused(&api, wanted(&project, body(id)), 400, "invalid_body").await;
        assert_eq!(answered.body["parameter"], "id", "{id}");
    }
    let generated = body("srv-0123456789abcdefghjk");
    let answered = refused(&api, wanted(&project, generated), 400, "invalid_body").await;
    let why = "id: IDs of this form are generated. Choose another one.";
    assert_eq!(answered.body["detail"], why);
}

#[tokio::test]
async fn chosen_id_is_unique_in_the_installation() {
    let (api, project) = with_credit("10").await;
    api.ledger.open("bob", "10:00:00").await;
    let of_bob = new_project(&api, "bob").await;
    let body = |id: &str| json!({"sku": "vm", "name": "web", "start": false, "id": id});
    let event = |account: &str, project: &str, id: &str, now: &str| {
        let event = ApiEvent::by("platform", CREATE, now).scope(SCOPE);
        event.header("Tollgate-Account", account).at("project", project).json(&body(id))
    };
    let made = ask(&api, event(ALICE, &project, "db-1", "10:20:00")).await;
    assert_eq!((made.status, &made.body["id"]), (201, &json!("db-1")));
    let taken = event("bob", &of_bob, "db-1", "10:20:00");
    let answered = refused(&api, taken.clone(), 409, "already_exists").await;
    assert_eq!(answered.body["detail"], "Resource db-1 already exists.");

    // Two at once.
    let (alices, bobs) = (
        event(ALICE, &project, "db-2", "10:21:00").key("k-a"),
        event("bob", &of_bob, "db-2", "10:21:00").key("k-b"),
    );
    let other = api.another();
    let (one, two) = tokio::join!(send(&api.billing, &alices), send(&other, &bobs));
    let mut both = [one.status, two.status];
    both.sort_unstable();
    assert_eq!(both, [201, 409], "{} {}", one.shown(), two.shown());
    // Both are repeated, and answered as before.
    let again = [ask(&api, alices).await.status, ask(&api, bobs).await.status];
    assert_eq!(again, [one.status, two.status]);

    // Purged: its account may use the ID again, and nobody else.
    ask(&api, on(DELETE, &project, "db-1", "10:30:00")).await;
    let later = "2026-12-07T10:30:00Z";
    api.ledger.settle(ALICE, later).await;
    let taken = event("bob", &of_bob, "db-1", later);
    assert_eq!(ask(&api, taken).await.code(), "already_exists");
    let made = ask(&api, event(ALICE, &project, "db-1", later)).await;
    assert_eq!(made.status, 201, "{}", made.shown());
    check(&api.ledger, ALICE).await;
    check(&api.ledger, "bob").await;
}

#[tokio::test]
async fn id_without_a_claim_keeps_working() {
    let (api, project) = with_credit("10").await;
    running(&api, &project, "old-1").await;
    let claim = api.ledger.client.delete_item().table_name(api.ledger.tables.accounts());
    let claim = claim.key("pk", AttributeValue::S("resource-id#old-1".to_owned()));
    claim.key("sk", AttributeValue::S("claim".to_owned())).send().await.unwrap();
    for (route, now) in
        [(STOP, "10:30:00"), (START, "10:31:00"), (DELETE, "10:35:00"), (RESTORE, "10:40:00")]
    {
        assert_eq!(ask(&api, on(route, &project, "old-1", now)).await.status, 200, "{route}");
    }
    check(&api.ledger, ALICE).await;
}

#[tokio::test]
async fn resources_of_other_accounts_are_not_found() {
    let (api, project) = with_credit("10").await;
    running(&api, &project, "srv-1").await;
    api.ledger.open("mallory", "10:00:00").await;
    api.ledger.credit("mallory", "pi_2", "10", "10:00:00").await;
    let by = |route| {
        ApiEvent::by("mallory", route, "10:21:00").at("project", &project).at("id", "srv-1")
    };
    for route in [PROJECT, LIST, GET, START, STOP, RESTORE, DELETE] {
        refused(&api, by(route), 404, "not_found").await;
    }
    let body = json!({"sku": "vm", "name": "web", "start": true});
    refused(&api, by(CREATE).json(&body), 404, "not_found").await;
    refused(&api, by(GET).header("Tollgate-Account", ALICE), 403, "forbidden").await;
    // The platform mistyped: it opens nothing.
    let platform = ApiEvent::by("platform", "GET /v1/projects", "10:21:00").scope(SCOPE);
    refused(&api, platform.header("Tollgate-Account", "alcie"), 404, "not_found").await;
}

#[tokio::test]
async fn bad_bodies_are_refused_on_every_route() {
    let (api, project) = with_credit("10").await;
    running(&api, &project, "srv-1").await;
    let huge = format!("\"{}\"", "x".repeat(300_000));
    let routes = [
        (PROJECTS, json!({"name": "x"})),
        (CREATE, json!({"sku": "vm", "name": "x", "start": true})),
        (START, json!({})),
        (STOP, json!({})),
        (RESTORE, json!({})),
        (DELETE, json!({})),
    ];
    for (route, good) in routes {
        let event = on(route, &project, "srv-1", "10:21:00").scope(SCOPE);
        let mut unknown = good.clone();
        unknown["surprise"] = json!(1);
        for body in [
            "not json".to_owned(),
            "[1]".to_owned(),
            "7".to_owned(),
            "\"x\"".to_owned(),
            unknown.to_string(),
        ] {
            refused(&api, event.clone().body(&body), 400, "invalid_body").await;
        }
        refused(&api, event.clone().body(&huge), 413, "body_too_large").await;
        refused(&api, event.clone().key("a b"), 400, "invalid_parameter").await;
        refused(&api, event.clone().without_token(), 401, "unauthorized").await;
        refused(&api, event.without_claim("sub"), 401, "unauthorized").await;
    }
    for body in [
        json!({"sku": "vm", "name": "x"}),
        json!({"sku": "vm", "name": "x", "start": "yes"}),
        json!({"sku": 1, "name": "x", "start": true}),
        json!({"sku": "vm", "name": 1, "start": true}),
        json!({"sku": "vm", "name": "x", "start": true, "rate": 0.5}),
        json!({"sku": "vm", "name": "x", "start": true, "rate": "-1"}),
        json!({"sku": "vm", "name": "x", "start": true, "id": ""}),
    ] {
        refused(&api, wanted(&project, body), 400, "invalid_body").await;
    }
    refused(
        &api,
        on(STOP, &project, "srv-1", "10:21:00").json(&json!({"reason": "mood"})),
        400,
        "invalid_body",
    )
    .await;
}

#[tokio::test]
async fn platform_lists_resources_that_should_run() {
    let (api, project) = with_credit("10").await;
    running(&api, &project, "srv-1").await;
    running(&api, &project, "srv-2").await;
    ask(&api, on(STOP, &project, "srv-2", "10:30:00")).await;
    api.ledger.open("bob", "10:00:00").await;
    api.ledger.credit("bob", "pi_2", "10", "10:00:00").await;
    api.ledger.start("bob", "web", &["b-1"], "11:00:00").await;
    let event = ApiEvent::by("platform", PLATFORM, "11:00:00").scope(SCOPE);
    let resource = |project: &str, id: &str, sku: &str, state: &str| json!({"id": id, "project": project, "sku": sku, "state": state, "address": "kept"});
    let alice = json!({
        "account": "alice", "seq": 4, "standing": "good",
        "resources": [resource(&project, "srv-1", "vm", "running"), resource(&project, "srv-2", "vm", "stopped")],
    });
    let bob = json!({
        "account": "bob", "seq": 2, "standing": "good", "resources": [resource("p", "b-1", "web", "running")],
    });
    let mut all = ask(&api, event.clone()).await.body;
    all["items"].as_array_mut().unwrap().sort_by_key(|item| item["account"].to_string());
    assert_eq!(all, json!({"items": [alice, bob], "failed": [], "next": null}));
    let since = ask(&api, event.clone().with("since", "2026-11-22T10:45:00Z")).await.body;
    assert_eq!(since["items"], json!([bob]));
    let first = ask(&api, event.clone().with("limit", "1")).await.body;
    let second =
        ask(&api, event.clone().with("limit", "1").with("cursor", first["next"].as_str().unwrap()))
            .await
            .body;
    let mut both = [first["items"][0].clone(), second["items"][0].clone()];
    both.sort_by_key(|item| item["account"].to_string());
    assert_eq!((both, &second["next"]), ([alice.clone(), bob], &Value::Null));
    api.ledger.settle(ALICE, "2026-11-24T00:00:00Z").await;
    let one = ask(&api, event.clone().with("account", ALICE)).await.body;
    assert_eq!(
        (&one["items"][0]["standing"], &one["items"][0]["resources"][0]["state"]),
        (&json!("suspended"), &json!("suspended"))
    );
    for (event, status, code) in [
        (ApiEvent::by(ALICE, PLATFORM, "11:00:00"), 403, "forbidden"),
        (event.clone().with("since", "yesterday"), 400, "invalid_parameter"),
        (event.clone().with("cursor", "!!"), 400, "invalid_parameter"),
        (event.clone().with("limit", "1000"), 400, "invalid_parameter"),
        (event.with("account", "nobody"), 404, "not_found"),
    ] {
        refused(&api, event, status, code).await;
    }
}

#[tokio::test]
async fn rate_outside_its_range_is_refused_by_field() {
    let (api, project) = with_credit("10").await;
    for rate in ["100000000000000000000000000", "0.000000000000000001"] {
        let body = json!({"sku": "vm", "name": "x", "start": false, "rate": rate});
        let answered =
            refused(&api, wanted(&project, body).scope(SCOPE), 400, "invalid_body").await;
        assert!(answered.body["detail"].as_str().unwrap().starts_with("rate: must"));
    }
}
