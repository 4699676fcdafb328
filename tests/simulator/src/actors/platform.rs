//! The platform that runs the customers' machines: starts that fail, and reports of usage.

use std::time::Duration;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use tollgate_tests::api::Answered;

use crate::actors::customer::SimulatedCustomer;
use crate::actors::requests::Caller;
use crate::chance::Chance;

/// The metered SKU.
const METERED: &str = "tokens";

impl SimulatedCustomer {
    /// The platform could not start a machine of this customer.
    pub(super) async fn fail_start(&self, project: &str, id: &str) {
        let chance = &self.requester.chance;
        let pause = *chance.pick(&[900, 900, 20_000]);
        tokio::time::sleep(Duration::from_secs(chance.number(1..=pause))).await;
        let path = [("project", project), ("id", id)];
        let route = ("POST", "/v1/projects/{project}/resources/{id}/stop");
        let body = json!({"reason": "start_failed"});
        self.requester.send(Caller::Platform(&self.account), route, &path, &body).await;
    }

    /// Reports what this customer used until the end, in one of three ways. Reports come late or
    /// twice.
    pub async fn report_usage(self, chance: Chance, until: time::UtcDateTime) {
        let Some(pause_minutes) = self.habits.report_minutes else { return };
        let clock = self.requester.cloud.parts().network.parts().clock;
        let (mut reading, mut restarts, has_counter) = (0, 0, chance.happens(500));
        // The same all the time, so that what is kept follows from the first and the last report.
        let level = (!has_counter && chance.happens(400)).then(|| chance.number(1..3_000));
        while clock.now() < until {
            let pause = chance.number(1..=pause_minutes * 60);
            tokio::time::sleep(Duration::from_secs(pause)).await;
            let Some(project) = self.owned.borrow().project.clone() else { continue };
            let mut report = json!({"project": project, "sku": METERED});
            if let Some(level) = level {
                report["level"] = json!(level.to_string());
                report["at"] = json!(clock.now().format(&Rfc3339).unwrap_or_default());
            } else if has_counter {
                if chance.happens(80) {
                    (reading, restarts) = (0, restarts + 1);
                }
                reading += chance.number(..20_000);
                report["reading"] = json!(reading.to_string());
                if restarts > 0 {
                    report["counter"] = json!(format!("process-{restarts}"));
                }
            } else {
                report["quantity"] = json!(chance.number(1..20_000).to_string());
                report["id"] = json!(format!("u-{:016x}", chance.number(..)));
            }
            // Some of it was used hours ago, or is counted for one of the customer's keys.
            if level.is_none() && chance.happens(150) {
                let seconds = i64::try_from(chance.number(1..30_000)).unwrap_or_default();
                let at = clock.now() - time::Duration::seconds(seconds);
                report["at"] = json!(at.format(&Rfc3339).unwrap_or_default());
            }
            if chance.happens(300) {
                report["labels"] = json!({"api_key": chance.pick(&["k1", "k2", "k3"])});
            }
            self.report(&report).await;
            if chance.happens(100) {
                let customer = self.clone();
                let late = chance.number(1..8_000);
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(Duration::from_secs(late)).await;
                    customer.report(&report).await;
                });
            }
            if chance.happens(50) {
                let route = ("GET", "/v1/platform/resources");
                let platform = Caller::Platform(&self.account);
                self.requester.send(platform, route, &[], &Value::Null).await;
            }
        }
    }

    async fn report(&self, report: &Value) {
        let reported = &self.requester.cloud.parts().reported;
        reported.borrow_mut().sent(&self.account, report);
        let route = ("POST", "/v1/usage");
        let answered =
            self.requester.send(Caller::Platform(&self.account), route, &[], report).await;
        // A level from before the one that is known changes nothing.
        let is_late_level = |answered: &Answered| {
            answered.body["status"] == "not_newer" && !report["level"].is_null()
        };
        if answered.is_some_and(|answered| !is_late_level(&answered)) {
            reported.borrow_mut().answered(&self.account, report);
        }
    }
}
