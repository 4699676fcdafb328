//! The cost of a project in a month.

use serde_json::{Value, json};
use tollgate::domain::money::Usd;
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::ledger::{ALICE, named};

const BILLING: &str = "GET /v1/projects/{project}/billing";

async fn ask(api: &Api, event: &ApiEvent) -> Answered {
    if event.is_of("POST /v1/usage") {
        return ::usage::handle(&api.billing, event.request()).await.into();
    }
    resources::handle(&api.billing, event.request()).await.into()
}

async fn done(api: &Api, event: ApiEvent) -> Value {
    let answered = ask(api, &event).await;
    assert!(answered.status < 300, "{event:?}: {}", answered.shown());
    answered.body
}

async fn with_credit(amount: &str) -> (Api, String) {
    let api = Api::new().await;
    api.ledger.open(ALICE, "10:00:00").await;
    api.ledger.credit(ALICE, "pi_1", amount, "10:00:00").await;
    let made = ApiEvent::by(ALICE, "POST /v1/projects", "10:00:00").json(&json!({"name": "site"}));
    let project = done(&api, made).await["id"].as_str().unwrap().to_owned();
    (api, project)
}

async fn start_new(api: &Api, project: &str, sku: &str, id: &str, now: &str) {
    let body = json!({"sku": sku, "name": format!("the {id}"), "start": true, "id": id});
    let event =
        ApiEvent::by(ALICE, "POST /v1/projects/{project}/resources", now).at("project", project);
    done(api, event.scope("tollgate/platform").json(&body)).await;
}

async fn change(api: &Api, project: &str, id: &str, what: &str, now: &str) {
    let route = format!("POST /v1/projects/{{project}}/resources/{{id}}/{what}");
    done(api, ApiEvent::by(ALICE, &route, now).at("project", project).at("id", id)).await;
}

fn billing(project: &str, now: &str) -> ApiEvent {
    ApiEvent::by(ALICE, BILLING, now).at("project", project)
}

fn item<'a>(body: &'a Value, id: &str) -> &'a Value {
    body["items"].as_array().unwrap().iter().find(|item| item["resource"] == id).unwrap()
}

#[tokio::test]
async fn project_shows_each_resources_cost_in_the_month() {
    let (api, project) = with_credit("100").await;
    start_new(&api, &project, "vm", "web", "10:20:00").await;
    start_new(&api, &project, "big", "db", "10:20:00").await;
    let new = json!({"sku": "vm", "name": "spare", "start": false, "id": "spare"});
    let event = ApiEvent::by(ALICE, "POST /v1/projects/{project}/resources", "10:30:00")
        .at("project", &project);
    done(&api, event.scope("tollgate/platform").json(&new)).await;
    let report = json!({"project": project, "sku": "tokens", "reading": "1000000"});
    let event = ApiEvent::by("platform", "POST /v1/usage", "10:40:00").scope("tollgate/platform");
    done(&api, event.header("Tollgate-Account", ALICE).json(&report)).await;
    change(&api, &project, "db", "stop", "10:50:00").await;
    let shown = ask(&api, &billing(&project, "11:30:00").with("month", "2026-11")).await;
    insta::assert_snapshot!(shown.shown().replace(&project, "prj-1"), @r#"
    200 {
      "budget": null,
      "from": "2026-11-01T00:00:00Z",
      "items": [
        {
          "amount": "2.00",
          "hours": "0.0000",
          "kind": "tokens",
          "metered": {
            "labels": [
              {
                "amount": "2.00",
                "labels": {},
                "quantity": "1000000"
              }
            ],
            "quantity": "1000000",
            "rate": "0.000002",
            "unit_name": null,
            "unit_size": null
          },
          "name": "tokens",
          "rate_per_hour": null,
          "resource": null,
          "seconds": 0,
          "sku": "tokens",
          "state": null,
          "utilisation": null
        },
        {
          "amount": "1.00",
          "hours": "1.6667",
          "kind": "instance",
          "metered": null,
          "name": "the web",
          "rate_per_hour": "0.60",
          "resource": "web",
          "seconds": 6000,
          "sku": "vm",
          "state": "running",
          "utilisation": "0.0023"
        },
        {
          "amount": "0.60",
          "hours": "0.5000",
          "kind": "instance",
          "metered": null,
          "name": "the db",
          "rate_per_hour": "1.20",
          "resource": "db",
          "seconds": 1800,
          "sku": "big",
          "state": "stopped",
          "utilisation": "0.0010"
        },
        {
          "amount": "0.00",
          "hours": "0.0000",
          "kind": "instance",
          "metered": null,
          "name": "spare",
          "rate_per_hour": "0.60",
          "resource": "spare",
          "seconds": 0,
          "sku": "vm",
          "state": "new",
          "utilisation": "0.0000"
        }
      ],
      "month": "2026-11",
      "name": "site",
      "project": "prj-1",
      "to": "2026-11-22T11:30:00Z",
      "total": "3.60"
    }
    "#);
    let current = ask(&api, &billing(&project, "11:30:00")).await;
    assert_eq!(current, shown, "the current month is the default");
    let total: Usd = shown.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| named::<Usd>(item["amount"].as_str().unwrap()))
        .sum();
    assert_eq!(shown.body["total"], total.to_string());
    let balance = api.ledger.head(ALICE).await.state.balance();
    assert_eq!(named::<Usd>("100") - total, balance, "everything else is what is left");
}

#[tokio::test]
async fn months_end_where_the_next_begin_and_add_up() {
    let (api, project) = with_credit("500").await;
    start_new(&api, &project, "vm", "web", "2026-11-30T12:00:00Z").await;
    api.ledger.settle(ALICE, "2026-11-30T12:00:01Z").await;
    for hour in 13..24 {
        api.ledger.settle(ALICE, &format!("2026-11-30T{hour}:00:00Z")).await;
    }
    for hour in 0..12 {
        api.ledger.settle(ALICE, &format!("2026-12-01T{hour:02}:00:00Z")).await;
    }
    let month = |month: &str| billing(&project, "2026-12-01T11:30:00Z").with("month", month);
    let november = ask(&api, &month("2026-11")).await.body;
    assert_eq!(
        (&november["to"], &november["total"]),
        (&json!("2026-12-01T00:00:00Z"), &json!("7.20"))
    );
    let web = item(&november, "web");
    // Twelve hours of thirty days.
    assert_eq!((&web["hours"], &web["utilisation"]), (&json!("12.0000"), &json!("0.0167")));
    let december = ask(&api, &month("2026-12")).await.body;
    let web = item(&december, "web");
    assert_eq!((&december["to"], &web["amount"]), (&json!("2026-12-01T11:30:00Z"), &json!("7.20")));
    // Half an hour is paid ahead, and did not run yet.
    assert_eq!((&web["hours"], &web["utilisation"]), (&json!("12.0000"), &json!("1.0000")));
    let october = ask(&api, &month("2026-10")).await.body;
    assert_eq!(
        (&october["items"], &october["total"]),
        (&json!([]), &json!("0.00")),
        "it was not there yet"
    );
}

#[tokio::test]
async fn a_volume_that_is_off_costs_and_does_not_run() {
    let (api, project) = with_credit("100").await;
    start_new(&api, &project, "volume", "disk", "10:00:00").await;
    change(&api, &project, "disk", "stop", "10:30:00").await;
    api.ledger.settle(ALICE, "11:00:00").await;
    change(&api, &project, "disk", "start", "11:45:00").await;
    let shown = ask(&api, &billing(&project, "12:00:00")).await.body;
    let disk = item(&shown, "disk");
    // Half an hour on, half an hour and three quarters off, a quarter on, and the hour that was
    // just paid.
    assert_eq!(disk["seconds"], json!(1_800 + 900 + 3_600), "{disk}");
    let expected =
        named::<Usd>("0.05") + named("0.02") + named("0.03") + named("0.025") + named("0.1");
    assert_eq!(disk["amount"], expected.to_string());
    api.ledger.settle(ALICE, "13:00:00").await;
    let delete = ApiEvent::by(ALICE, "DELETE /v1/projects/{project}/resources/{id}", "13:15:00");
    done(&api, delete.at("project", &project).at("id", "disk")).await;
    let shown = ask(&api, &billing(&project, "13:20:00")).await.body;
    let disk = item(&shown, "disk");
    assert_eq!(
        (&disk["seconds"], &disk["state"]),
        (&json!(1_800 + 900 + 3_600 + 900), &json!("deleted"))
    );
}

#[tokio::test]
async fn purged_resources_stay_on_the_bill() {
    let (api, project) = with_credit("100").await;
    start_new(&api, &project, "vm", "web", "10:00:00").await;
    let delete = ApiEvent::by(ALICE, "DELETE /v1/projects/{project}/resources/{id}", "11:00:00");
    done(&api, delete.at("project", &project).at("id", "web")).await;
    api.ledger.settle(ALICE, "2026-12-08T00:00:00Z").await;
    let shown =
        ask(&api, &billing(&project, "2026-12-08T00:00:00Z").with("month", "2026-11")).await.body;
    let expected = json!({"resource": "web", "name": null, "sku": "vm", "kind": "instance", "state": "purged",
        "rate_per_hour": null, "seconds": 3600, "hours": "1.0000", "amount": "0.60", "utilisation": "0.0014", "metered": null});
    assert_eq!(shown["items"], json!([expected]));
    // Another thing of the same name is another thing.
    start_new(&api, &project, "big", "web", "2026-12-08T01:00:00Z").await;
    let again =
        ask(&api, &billing(&project, "2026-12-08T01:00:00Z").with("month", "2026-11")).await.body;
    assert_eq!(again["items"], shown["items"]);
}

#[tokio::test]
async fn projects_of_others_and_months_that_are_none_are_refused() {
    let (api, project) = with_credit("100").await;
    start_new(&api, &project, "vm", "web", "10:00:00").await;
    for (event, status, code) in [
        (ApiEvent::by("mallory", BILLING, "10:30:00").at("project", &project), 404, "not_found"),
        (billing("prj-none", "10:30:00"), 404, "not_found"),
        (billing(&project, "10:30:00").with("month", "2026-13"), 400, "invalid_parameter"),
        (billing(&project, "10:30:00").with("month", "november"), 400, "invalid_parameter"),
        (billing(&project, "10:30:00").with("month", ""), 400, "invalid_parameter"),
        (billing(&project, "10:30:00").with("month", "2026-12"), 400, "invalid_parameter"),
        (billing(&project, "10:30:00").without_token(), 401, "unauthorized"),
    ] {
        let answered = ask(&api, &event).await;
        assert_eq!((answered.status, answered.code()), (status, code), "{event:?}");
    }
}
