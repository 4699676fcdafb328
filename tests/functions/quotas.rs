//! How many resources and projects an account may have.

use admin::AdminClients;
use serde_json::{Value, json};
use tollgate::runtime::billing::Billing;
use tollgate::stripe::{Stripe, StripeSettings};
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::ALICE;

const PROJECTS: &str = "POST /v1/projects";
const CREATE: &str = "POST /v1/projects/{project}/resources";
const DELETE: &str = "DELETE /v1/projects/{project}/resources/{id}";
const QUOTAS: &str = "PUT /v1/admin/accounts/{account}/quotas";

/// Alice, whose installation allows two projects and three resources.
struct Installation {
    api: Api,
    billing: Billing,
}

impl Installation {
    async fn new() -> Installation {
        let api = Api::new().await;
        api.ledger.open(ALICE, "10:00:00").await;
        let billing = api.ledger.billing(&[
            ("RESOURCES_MAX", "3"),
            ("PROJECTS_MAX", "2"),
            ("OPERATOR_CONTACT", "help@billing.example"),
        ]);
        Installation { api, billing }
    }

    async fn ask(&self, event: ApiEvent) -> Answered {
        resources::handle(&self.billing, event.request()).await.into()
    }

    async fn project(&self, name: &str) -> Answered {
        let body = json!({"name": name});
        self.ask(ApiEvent::by(ALICE, PROJECTS, "10:00:00").key(name).json(&body)).await
    }

    async fn resource(&self, project: &str, name: &str) -> Answered {
        let body = json!({"sku": "vm", "name": name, "start": false});
        let event = ApiEvent::by(ALICE, CREATE, "10:20:00").key(name).at("project", project);
        self.ask(event.json(&body)).await
    }

    async fn staff(&self, route: &str, body: &Value) -> Answered {
        let event = ApiEvent::by("olga", route, "10:30:00").scope("tollgate/admin");
        let event = event.at("account", ALICE);
        self.staff_event(if body.is_null() { event } else { event.json(body) }).await
    }

    async fn staff_event(&self, event: ApiEvent) -> Answered {
        let settings = StripeSettings::read(|variable| match variable {
            "STRIPE_SECRET_KEY" => Some("sk_test_local".to_owned()),
            "STRIPE_API_BASE" => Some("http://127.0.0.1:9".to_owned()),
            _ => None,
        });
        let clients = AdminClients {
            billing: Billing::new(self.billing.store.clone(), self.billing.settings.clone()),
            stripe: Stripe::new(settings.unwrap()).unwrap().into(),
            bus: None,
        };
        admin::handle(&clients, event.request()).await.into()
    }

    async fn quotas(&self, body: &Value) -> Answered {
        self.staff(QUOTAS, body).await
    }

    async fn quotas_with_key(&self, body: &Value) -> Answered {
        let event = ApiEvent::by("olga", QUOTAS, "10:30:00").scope("tollgate/admin");
        self.staff_event(event.at("account", ALICE).key("k-1").json(body)).await
    }
}

#[track_caller]
fn refused(answered: &Answered, detail: &str, max: u32) {
    assert_eq!((answered.status, answered.code()), (409, "quota_reached"), "{}", answered.shown());
    assert_eq!((&answered.body["detail"], &answered.body["max"]), (&json!(detail), &json!(max)));
    assert_eq!(answered.body["action"]["contact"], "help@billing.example");
}

const RESOURCES_FULL: &str = "This account has reached its limit of 3 resources. Deleted resources \
    count until they can no longer be restored. Contact support for a higher limit.";

#[tokio::test]
async fn resource_quota_holds_for_requests_at_once() {
    let world = Installation::new().await;
    let project = world.project("p").await.body["id"].as_str().unwrap().to_owned();
    let names: Vec<String> = (0..12).map(|number| format!("r-{number}")).collect();
    let all = names.iter().map(|name| world.resource(&project, name));
    let all = futures_util::future::join_all(all).await;
    let made: Vec<usize> = (0..12).filter(|number| all[*number].status == 201).collect();
    assert_eq!(made.len(), 3);
    for answered in all.iter().filter(|answered| answered.status != 201) {
        refused(answered, RESOURCES_FULL, 3);
    }
    // Repeated, the first is answered as before.
    assert_eq!(world.resource(&project, &names[made[0]]).await, all[made[0]]);

    // Deleted resources can be restored, so they count. Purged ones do not.
    let id = all[made[0]].body["id"].as_str().unwrap();
    let delete = ApiEvent::by(ALICE, DELETE, "10:25:00").at("project", &project).at("id", id);
    assert_eq!(world.ask(delete).await.status, 200);
    refused(&world.resource(&project, "more").await, RESOURCES_FULL, 3);
    world.api.ledger.settle(ALICE, "2026-12-07T10:30:00Z").await;
    assert_eq!(world.resource(&project, "more").await.status, 201);
    refused(&world.resource(&project, "more-still").await, RESOURCES_FULL, 3);
    check(&world.api.ledger, ALICE).await;
}

#[tokio::test]
async fn creator_without_a_key_learns_that_its_resource_exists() {
    let world = Installation::new().await;
    let project = world.project("p").await.body["id"].as_str().unwrap().to_owned();
    let create = async |id: &str| {
        let body = json!({"sku": "vm", "name": id, "start": false, "id": id});
        let event = ApiEvent::by("platform", CREATE, "10:20:00").at("project", &project);
        let event = event.scope("tollgate/platform").header("Tollgate-Account", ALICE);
        world.ask(event.json(&body)).await
    };
    for id in ["vm-1", "vm-2", "vm-3"] {
        assert_eq!(create(id).await.status, 201);
    }
    assert_eq!(create("vm-3").await.code(), "already_exists");
    refused(&create("vm-4").await, RESOURCES_FULL, 3);
}

#[tokio::test]
async fn project_quota_holds_for_requests_at_once() {
    let world = Installation::new().await;
    let names: Vec<String> = (0..12).map(|number| format!("p-{number}")).collect();
    let all = futures_util::future::join_all(names.iter().map(|name| world.project(name))).await;
    let made: Vec<usize> = (0..12).filter(|number| all[*number].status == 201).collect();
    assert_eq!(made.len(), 2);
    let full =
        "This account has reached its limit of 2 projects. Contact support for a higher limit.";
    for answered in all.iter().filter(|answered| answered.status != 201) {
        refused(answered, full, 2);
    }
    assert_eq!(world.project(&names[made[0]]).await, all[made[0]]);
    let other = json!({"name": "other"});
    let reused = ApiEvent::by(ALICE, PROJECTS, "10:00:00").key(&names[made[0]]).json(&other);
    assert_eq!(world.ask(reused).await.code(), "idempotency_key_reused");
}

#[tokio::test]
async fn staff_set_quotas_of_an_account_with_a_reason() {
    let world = Installation::new().await;
    for (body, status, code) in [
        (json!({"resources": 5}), 400, "invalid_body"),
        (json!({"resources": 5, "reason": " "}), 422, "unusable"),
        (json!({"resources": 10_001, "reason": "a test"}), 400, "invalid_body"),
        (json!({"projects": -1, "reason": "a test"}), 400, "invalid_body"),
        (json!({"meters": 1, "reason": "a test"}), 400, "invalid_body"),
    ] {
        let answered = world.quotas(&body).await;
        assert_eq!((answered.status, answered.code()), (status, code), "{body}");
    }
    let project = world.project("p").await.body["id"].as_str().unwrap().to_owned();
    for number in 0..3 {
        assert_eq!(world.resource(&project, &format!("r-{number}")).await.status, 201);
    }
    refused(&world.resource(&project, "r-3").await, RESOURCES_FULL, 3);

    let raised = json!({"resources": 4, "reason": "they pay by invoice"});
    let expected = json!({
        "resources": 4, "projects": 2, "set_by": "olga", "set_at": "2026-11-22T10:30:00Z",
        "reason": "they pay by invoice",
    });
    assert_eq!(world.quotas(&raised).await.body, expected);
    let shown = world.staff("GET /v1/admin/accounts/{account}", &Value::Null).await;
    assert_eq!(shown.body["quotas"], expected);
    assert_eq!(world.resource(&project, "r-3").await.status, 201);
    assert_eq!(world.resource(&project, "r-4").await.code(), "quota_reached");

    // Below what there is, everything stays and nothing is added.
    let lowered = json!({"resources": 1, "projects": 0, "reason": "misuse"});
    assert_eq!(world.quotas(&lowered).await.status, 200);
    assert_eq!(world.resource(&project, "r-4").await.body["max"], 1);
    assert_eq!(world.project("q").await.body["max"], 0);
    let list = ApiEvent::by(ALICE, "GET /v1/projects/{project}/resources", "10:40:00");
    let list = world.ask(list.at("project", &project)).await;
    assert_eq!(list.body["items"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn repeated_quotas_do_not_undo_later_ones() {
    let world = Installation::new().await;
    let raised = json!({"resources": 4, "reason": "they pay by invoice"});
    let first = world.quotas_with_key(&raised).await;
    assert_eq!(first.status, 200, "{}", first.shown());
    let lowered = json!({"resources": 1, "reason": "misuse"});
    assert_eq!(world.quotas(&lowered).await.status, 200);
    assert_eq!(world.quotas_with_key(&raised).await, first);
    assert_eq!(world.quotas_with_key(&lowered).await.code(), "idempotency_key_reused");
    let shown = world.staff("GET /v1/admin/accounts/{account}", &Value::Null).await;
    assert_eq!(shown.body["quotas"]["resources"], 1);
}
