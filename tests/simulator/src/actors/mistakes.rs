//! Requests that are refused, and that change nothing.

use serde_json::{Value, json};

use crate::actors::customer::SimulatedCustomer;
use crate::actors::requests::Caller;

/// Method, path and body of requests of a customer that make no sense.
fn senseless() -> [(&'static str, &'static str, Value); 11] {
    let terms = |threshold: &str, amount: &str| json!({"enabled": true, "threshold": threshold, "amount": amount});
    let pages = "/v1/checkout-sessions";
    [
        ("POST", pages, json!({"amount": "0.10"})),
        ("POST", pages, json!({"amount": "5000.00"})),
        ("POST", pages, json!({"amount": "five"})),
        ("POST", pages, json!({"amount": 5})),
        ("POST", pages, json!({"amount": "5.00", "surprise": true})),
        ("PUT", "/v1/auto-refill", terms("-1.00", "10.00")),
        ("PUT", "/v1/auto-refill", terms("5.00", "100000.00")),
        ("PUT", "/v1/company", json!({"name": "x", "tax_id": {"type": "eu_vat", "value": "?"}})),
        ("POST", "/v1/projects", json!({"name": ""})),
        ("POST", "/v1/usage", json!({"project": "p", "sku": "tokens", "reading": "1"})),
        ("PUT", "/v1/admin/prices", json!({"prices": []})),
    ]
}

impl SimulatedCustomer {
    /// Sends a request that makes no sense, or asks for what is not there or belongs to others. It
    /// must be refused.
    pub(super) async fn make_mistake(&self) {
        let chance = &self.requester.chance;
        if chance.happens(600) {
            let (method, path, body) = chance.pick(&senseless()).clone();
            self.send_mistake((method, path), &[], &body).await;
            return;
        }
        let all = self.requester.cloud.parts().projects.borrow().clone();
        let foreign = all.into_iter().filter(|(account, _)| *account != self.account);
        let mut projects: Vec<String> = foreign.map(|(_, project)| project).collect();
        projects.push("prj-unknown".to_owned());
        let project = chance.pick(&projects).as_str();
        let at = [("project", project), ("id", "srv-unknown")];
        let (route, at) = match chance.number(..3) {
            0 => (("GET", "/v1/projects/{project}"), &at[..1]),
            1 => (("POST", "/v1/projects/{project}/resources/{id}/start"), &at[..]),
            _ => (("GET", "/v1/projects/{project}/resources"), &at[..1]),
        };
        self.send_mistake(route, at, &Value::Null).await;
    }

    async fn send_mistake(&self, route: (&str, &str), at: &[(&str, &str)], body: &Value) {
        let customer = Caller::Customer(&self.account);
        let answered = self.requester.send(customer, route, at, body).await;
        if let Some(answered) = answered {
            let journal = &self.requester.cloud.parts().network.parts().journal;
            journal.violate(format!("{route:?} with {at:?} and {body}: {}", answered.status));
        }
    }
}
