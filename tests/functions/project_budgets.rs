//! Budgets of projects, over their routes.

use serde_json::{Value, json};
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::ledger::ALICE;

const BUDGET: &str = "/v1/projects/{project}/budget";
const PLATFORM: &str = "tollgate/platform";

/// $100 of credit and a project.
struct Customer {
    api: Api,
    project: String,
}

impl Customer {
    async fn new() -> Customer {
        let api = Api::new().await;
        api.ledger.open(ALICE, "10:00:00").await;
        api.ledger.credit(ALICE, "pi_1", "100", "10:00:00").await;
        let event =
            ApiEvent::by(ALICE, "POST /v1/projects", "10:00:00").json(&json!({"name": "site"}));
        let made: Answered = resources::handle(&api.billing, event.request()).await.into();
        let project = made.body["id"].as_str().unwrap().to_owned();
        Customer { api, project }
    }

    fn event(&self, route: &str, now: &str) -> ApiEvent {
        ApiEvent::by(ALICE, route, now).at("project", &self.project)
    }

    async fn ask(&self, event: &ApiEvent) -> Answered {
        resources::handle(&self.api.billing, event.request()).await.into()
    }

    async fn set(&self, budget: Value, now: &str) -> Answered {
        self.ask(&self.event(&format!("PUT {BUDGET}"), now).json(&budget)).await
    }

    async fn start(&self, id: &str, now: &str) -> Answered {
        let event = self.event("POST /v1/projects/{project}/resources", now).scope(PLATFORM);
        let wish = json!({"sku": "vm", "name": id, "start": true, "id": id});
        self.ask(&event.json(&wish)).await
    }

    async fn usage(&self, event: ApiEvent) -> Answered {
        let event = event.scope(PLATFORM).header("Tollgate-Account", ALICE);
        ::usage::handle(&self.api.billing, event.request()).await.into()
    }

    async fn bill(&self, now: &str) -> Value {
        let event = self.event("GET /v1/projects/{project}/billing", now);
        self.ask(&event).await.body
    }

    /// How many rows the account has.
    async fn rows(&self) -> u64 {
        self.api.ledger.head(ALICE).await.state.next_seq
    }
}

fn stopping(amount: &str) -> Value {
    json!({"amount": amount, "stop": true})
}

fn telling(amount: &str) -> Value {
    json!({"amount": amount})
}

#[tokio::test]
async fn budget_counts_the_month_so_far_and_agrees_with_the_bill() {
    let customer = Customer::new().await;
    assert_eq!(customer.start("web", "10:20:00").await.status, 201);
    let set = customer.set(stopping("5"), "11:30:00").await;
    assert_eq!(
        set.body,
        json!({"project": customer.project, "amount": "5.00", "stop": true, "month": "2026-11",
               "spent": "1.00", "left": "4.00"}),
        "forty minutes and an hour at $0.60"
    );
    // The same again has no row, and another amount keeps the count.
    let rows = customer.rows().await;
    assert_eq!(customer.set(stopping("5.00"), "11:31:00").await.body, set.body);
    assert_eq!(customer.rows().await, rows);
    let changed = customer.set(telling("2"), "11:32:00").await.body;
    assert_eq!((&changed["spent"], &changed["left"]), (&json!("1.00"), &json!("1.00")));
    for now in ["12:30:00", "13:05:00", "15:59:59"] {
        let bill = customer.bill(now).await;
        assert_eq!(bill["budget"]["spent"], bill["total"], "{now}");
    }
    let list = customer.ask(&ApiEvent::by(ALICE, "GET /v1/budgets", "15:59:59")).await.body;
    assert_eq!(list["items"], json!([customer.bill("15:59:59").await["budget"]]));
}

#[tokio::test]
async fn project_is_stopped_and_its_starts_and_holds_are_refused() {
    let customer = Customer::new().await;
    customer.set(stopping("1.10"), "10:00:00").await;
    assert_eq!(customer.start("web", "10:00:00").await.status, 201);
    let refused = customer.start("db", "10:01:00").await;
    assert_eq!((refused.status, refused.code()), (409, "budget_exceeded"));
    assert_eq!(refused.body["required"], "0.59");
    assert_eq!(refused.body["available"], "0.50");
    let hold = json!({"project": customer.project, "skus": ["tokens"], "amount": "0.51"});
    let hold = |now| ApiEvent::by("platform", "POST /v1/holds", now).json(&hold);
    let refused = customer.usage(hold("10:02:00")).await;
    assert_eq!((refused.status, refused.code()), (409, "budget_exceeded"));
    let allowance = |now| {
        let event = ApiEvent::by("platform", "GET /v1/allowance", now);
        event.with("project", &customer.project).with("sku", "tokens").with("amount", "0.51")
    };
    let allowed = customer.usage(allowance("10:02:00")).await.body;
    assert_eq!((&allowed["allowed"], &allowed["reason"]), (&json!(false), &json!("budget")));
    // $0.50 pay fifty minutes of the second hour.
    for (now, state) in [("11:49:59", "running"), ("11:50:00", "stopped")] {
        let route = "GET /v1/projects/{project}/resources/{id}";
        let shown = customer.ask(&customer.event(route, now).at("id", "web")).await;
        assert_eq!(shown.body["state"], state, "{now}");
    }
    let start = customer.event("POST /v1/projects/{project}/resources/{id}/start", "11:51:00");
    let refused = customer.ask(&start.clone().at("id", "web")).await;
    assert_eq!((refused.status, refused.code()), (409, "budget_exceeded"));
    assert_eq!(customer.set(stopping("3"), "11:52:00").await.body["left"], "1.90");
    assert_eq!(customer.ask(&start.at("id", "web")).await.status, 200);
}

#[tokio::test]
async fn budget_is_removed_once_and_belongs_to_its_customer() {
    let customer = Customer::new().await;
    let route = format!("DELETE {BUDGET}");
    let delete = customer.event(&route, "10:01:00").json(&json!({}));
    let missing = customer.ask(&delete).await;
    assert_eq!((missing.status, missing.code()), (404, "not_found"));
    customer.set(stopping("5"), "10:01:00").await;
    let keyed = delete.key("k-1");
    assert_eq!(customer.ask(&keyed).await.status, 204);
    assert_eq!(customer.ask(&keyed).await.status, 204, "the same request");
    assert!(customer.bill("10:02:00").await["budget"].is_null());
    customer.api.ledger.open("bob", "10:00:00").await;
    for (method, body) in [("PUT", telling("1")), ("DELETE", json!({}))] {
        let event = ApiEvent::by("bob", &format!("{method} {BUDGET}"), "10:02:00");
        let event = event.at("project", &customer.project);
        let answered = customer.ask(&event.json(&body)).await;
        assert_eq!((answered.status, answered.code()), (404, "not_found"), "{method}");
    }
}

/// The hour's row may come between the customer's request and the row of the budget.
#[tokio::test]
async fn budget_at_the_turn_of_the_month_counts_the_new_month() {
    let customer = Customer::new().await;
    assert_eq!(customer.start("web", "2026-11-30T20:00:00Z").await.status, 201);
    customer.api.ledger.settle(ALICE, "2026-12-01T00:00:00Z").await;
    let set = customer.set(stopping("2.5"), "2026-11-30T23:59:59Z").await.body;
    assert_eq!((&set["month"], &set["spent"]), (&json!("2026-12"), &json!("0.60")));
    let bill = customer.bill("2026-12-01T00:00:01Z").await;
    assert_eq!(bill["total"], "0.60");
    assert_eq!(bill["budget"], set);
}

#[tokio::test]
async fn a_repeated_request_undoes_no_later_budget() {
    let customer = Customer::new().await;
    let put = |budget: Value, key: &str| {
        let event = customer.event(&format!("PUT {BUDGET}"), "10:01:00");
        event.json(&budget).key(key)
    };
    customer.set(stopping("6"), "10:00:30").await;
    for (amount, key) in [("6", "k-1"), ("7", "k-2"), ("6", "k-1")] {
        assert_eq!(customer.ask(&put(stopping(amount), key)).await.status, 200);
    }
    assert_eq!(customer.bill("10:02:00").await["budget"]["amount"], "7.00");
    let reused = customer.ask(&put(stopping("7"), "k-1")).await;
    assert_eq!((reused.status, reused.code()), (422, "idempotency_key_reused"));
}

#[tokio::test]
async fn bad_budgets_are_refused_by_their_field_and_write_nothing() {
    let customer = Customer::new().await;
    let rows = customer.rows().await;
    for (body, status) in [
        (json!({}), 400),
        (json!({"amount": "much"}), 400),
        (json!({"amount": "0"}), 422),
        (json!({"amount": "-1"}), 422),
        (json!({"amount": "1", "stop": "yes"}), 400),
        (json!({"amount": "1", "month": "2026-11"}), 400),
    ] {
        let event = customer.event(&format!("PUT {BUDGET}"), "10:01:00").json(&body);
        let answered = customer.ask(&event).await;
        assert_eq!(answered.status, status, "{body}: {}", answered.shown());
    }
    assert_eq!(customer.rows().await, rows);
}

/// A row between the reading of the month and the row of the budget is counted, too.
#[tokio::test]
async fn budgets_and_starts_at_once_count_everything_once() {
    let customer = Customer::new().await;
    assert_eq!(customer.start("web", "10:20:00").await.status, 201);
    let start = |n: u32| {
        let customer = &customer;
        async move { customer.start(&format!("vm-{n}"), "10:30:00").await.status }
    };
    let (set, one, two, three) =
        tokio::join!(customer.set(telling("50"), "10:30:00"), start(1), start(2), start(3));
    assert_eq!((one, two, three), (201, 201, 201));
    assert!(set.status == 200 || set.status == 409, "{}", set.shown());
    if set.status != 200 {
        assert_eq!(customer.set(telling("50"), "10:30:01").await.status, 200);
    }
    let bill = customer.bill("10:40:00").await;
    assert_eq!(bill["budget"]["spent"], bill["total"]);
}
