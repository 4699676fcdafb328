//! Who uses the cloud: customers, the platform and staff. Each draws what it does next.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use stripe_stand_in::{DisputeEnd, DisputeKind, NewDispute};
use tollgate_tests::api::{Answered, ApiEvent};

use crate::chance::Chance;
use crate::clock::text_of;
use crate::cloud::SimulatedCloud;

/// Requests of one wish are repeated this often at most.
const REPEATS_MAX: u32 = 6;

/// How likely the actors of a run do what.
#[derive(Clone, Debug)]
pub struct ActorHabits {
    /// The longest pause between two actions of a customer, in minutes.
    pub pause_minutes: u64,
    /// What a customer does, with weights.
    customer: Vec<(u32, CustomerAction)>,
    staff: Vec<(u32, StaffAction)>,
    /// Starts that fail on the platform, in a thousand.
    failing_starts: u32,
}

#[derive(Clone, Copy, Debug)]
enum CustomerAction {
    AddCredit,
    AddCreditWithRefill,
    SwitchRefillOn,
    SwitchRefillOff,
    RefillNow,
    Start,
    Stop,
    StartAgain,
    Delete,
    Restore,
    Look,
}

#[derive(Clone, Copy, Debug)]
enum StaffAction {
    Bonus,
    Correction,
    Freeze,
    Unfreeze,
    Suspend,
    Resume,
    Refund,
    Dispute,
    CloseDispute,
    Price,
}

impl ActorHabits {
    /// Habits that differ in kind from run to run.
    #[must_use]
    pub fn drawn(chance: &Chance) -> Self {
        use CustomerAction as C;
        use StaffAction as S;
        let weight = |usual: u32| *chance.pick(&[usual, usual, usual * 3, 0]);
        let mut customer = vec![(4, C::AddCredit), (4, C::Start)];
        customer.extend(
            [
                (4, C::AddCreditWithRefill),
                (2, C::SwitchRefillOn),
                (1, C::SwitchRefillOff),
                (1, C::RefillNow),
                (4, C::Stop),
                (4, C::StartAgain),
                (1, C::Delete),
                (1, C::Restore),
                (3, C::Look),
            ]
            .map(|(usual, action)| (weight(usual), action)),
        );
        let mut staff = vec![(1, S::Bonus)];
        staff.extend(
            [
                (1, S::Correction),
                (1, S::Freeze),
                (2, S::Unfreeze),
                (1, S::Suspend),
                (2, S::Resume),
                (2, S::Refund),
                (2, S::Dispute),
                (2, S::CloseDispute),
                (1, S::Price),
            ]
            .map(|(usual, action)| (weight(usual), action)),
        );
        Self {
            pause_minutes: *chance.pick(&[60, 200, 600]),
            customer,
            staff,
            failing_starts: *chance.pick(&[0, 50, 300]),
        }
    }
}

/// A customer with a project and some resources. Clones are the same customer.
#[derive(Clone)]
pub struct SimulatedCustomer {
    cloud: SimulatedCloud,
    pub account: String,
    chance: Chance,
    habits: Rc<ActorHabits>,
    owned: Rc<RefCell<OwnedThings>>,
    /// How many events of the bus were looked at.
    events_seen: Rc<RefCell<usize>>,
}

#[derive(Default)]
struct OwnedThings {
    project: Option<String>,
    resources: Vec<String>,
}

const GOOD_CARDS: [&str; 3] = ["4242424242424242", "5555555555554444", "4000000000000341"];
const BAD_CARD: &str = "4000000000000002";
const SKUS: [(u32, &str); 3] = [(3, "vm"), (2, "gpu"), (2, "volume")];

impl SimulatedCustomer {
    #[must_use]
    pub fn new(
        cloud: SimulatedCloud,
        account: String,
        chance: Chance,
        habits: Rc<ActorHabits>,
    ) -> Self {
        Self { cloud, account, chance, habits, owned: Rc::default(), events_seen: Rc::default() }
    }

    /// Acts until the end.
    pub async fn live(self, until: time::UtcDateTime) {
        let clock = self.cloud.parts().network.parts().clock;
        self.add_credit(None).await;
        while clock.now() < until {
            let action = *self.chance.weighted(&self.habits.customer);
            self.act(action).await;
            let pause = self.chance.number(1..=self.habits.pause_minutes * 60);
            let goes_on_at = clock.now() + Duration::from_secs(pause);
            while clock.now() < goes_on_at.min(until) {
                tokio::time::sleep(Duration::from_secs(self.chance.number(20..=300))).await;
                if self.is_worried() {
                    let terms = self.chance.happens(300).then(|| self.terms());
                    self.add_credit(terms).await;
                }
            }
        }
    }

    /// Whether the customer just learned that credit is low, and pays by hand, whether or not a card
    /// is about to be charged.
    fn is_worried(&self) -> bool {
        let published = self.cloud.parts().published.borrow();
        let mut seen = self.events_seen.borrow_mut();
        let worries = ["BalanceLow", "CreditLow", "RefillFailed", "Suspended"];
        let is_news = published.iter().skip(*seen).any(|event| {
            event.detail["account"] == self.account && worries.contains(&event.name.as_str())
        });
        *seen = published.len();
        is_news && self.chance.happens(700)
    }

    /// Ends everything that costs something.
    pub async fn leave(&self) {
        let resources = self.owned.borrow().resources.clone();
        for resource in resources {
            self.on_resource("DELETE", &resource, "").await;
        }
        self.ask("PUT", "/v1/auto-refill", &[], &json!({"enabled": false})).await;
    }

    async fn act(&self, action: CustomerAction) {
        match action {
            CustomerAction::AddCredit => self.add_credit(None).await,
            CustomerAction::AddCreditWithRefill => {
                let terms = self.terms();
                self.add_credit(Some(terms)).await;
            }
            CustomerAction::SwitchRefillOn => {
                let terms = self.terms();
                self.ask("PUT", "/v1/auto-refill", &[], &terms).await;
            }
            CustomerAction::SwitchRefillOff => {
                self.ask("PUT", "/v1/auto-refill", &[], &json!({"enabled": false})).await;
            }
            CustomerAction::RefillNow => {
                self.ask("POST", "/v1/auto-refill/now", &[], &Value::Null).await;
            }
            CustomerAction::Start => self.start().await,
            CustomerAction::Stop => self.on_any_resource("POST", "/stop").await,
            CustomerAction::StartAgain => self.on_any_resource("POST", "/start").await,
            CustomerAction::Delete => self.on_any_resource("DELETE", "").await,
            CustomerAction::Restore => self.on_any_resource("POST", "/restore").await,
            CustomerAction::Look => {
                self.ask("GET", "/v1/balance", &[], &Value::Null).await;
            }
        }
    }

    fn terms(&self) -> Value {
        let threshold = *self.chance.pick(&["5.00", "12.00", "40.00"]);
        let amount = *self.chance.pick(&["10.00", "25.00", "60.00"]);
        json!({"enabled": true, "threshold": threshold, "amount": amount})
    }

    async fn add_credit(&self, terms: Option<Value>) {
        let mut wish = json!({"amount": self.chance.pick(&["5.00", "10.00", "25.00", "80.00"])});
        if let Some(terms) = terms {
            wish["auto_refill"] = terms;
        }
        let Some(page) = self.ask("POST", "/v1/checkout-sessions", &[], &wish).await else {
            return;
        };
        let (Some(id), Some(url)) = (page.body["id"].as_str(), page.body["url"].as_str()) else {
            return;
        };
        let (id, url) = (id.to_owned(), url.to_owned());
        let pause = *self.chance.pick(&[5, 30, 200, 1_500]);
        tokio::time::sleep(Duration::from_secs(self.chance.number(1..=pause))).await;
        let session = [("id", id.as_str())];
        match self.chance.number(..10) {
            0 => {}
            1 => {
                let cancel = "/v1/checkout-sessions/{id}/cancel";
                self.ask("POST", cancel, &session, &Value::Null).await;
            }
            2 => {
                self.browse(&url, &format!("card={BAD_CARD}")).await;
                self.browse(&url, &format!("card={}", GOOD_CARDS[0])).await;
            }
            _ => {
                let card = self.chance.pick(&GOOD_CARDS);
                self.browse(&url, &format!("card={card}")).await;
            }
        }
        if self.chance.happens(400) {
            self.ask("GET", "/v1/checkout-sessions/{id}", &session, &Value::Null).await;
        }
    }

    async fn project(&self) -> Option<String> {
        if let Some(project) = self.owned.borrow().project.clone() {
            return Some(project);
        }
        let made = self.ask("POST", "/v1/projects", &[], &json!({"name": "first"})).await?;
        let project = made.body["id"].as_str()?.to_owned();
        self.owned.borrow_mut().project = Some(project.clone());
        Some(project)
    }

    async fn start(&self) {
        let Some(project) = self.project().await else { return };
        let sku = self.chance.weighted(&SKUS);
        let wish = json!({"sku": sku, "name": "one", "start": true});
        let path = [("project", project.as_str())];
        let route = "/v1/projects/{project}/resources";
        let Some(made) = self.ask("POST", route, &path, &wish).await else { return };
        let Some(id) = made.body["id"].as_str().map(str::to_owned) else { return };
        self.owned.borrow_mut().resources.push(id.clone());
        if self.chance.happens(self.habits.failing_starts) {
            let customer = self.clone();
            tokio::task::spawn_local(async move { customer.fail_start(&project, &id).await });
        }
    }

    /// The platform could not start the machine.
    async fn fail_start(&self, project: &str, id: &str) {
        tokio::time::sleep(Duration::from_secs(self.chance.number(1..=900))).await;
        let path = [("project", project), ("id", id)];
        let route = "/v1/projects/{project}/resources/{id}/stop";
        let body = json!({"reason": "start_failed"});
        self.request("POST", route, &path, &body, |event, account| {
            event
                .claim("sub", "platform")
                .scope("tollgate/platform")
                .header("tollgate-account", account)
        })
        .await;
    }

    async fn on_any_resource(&self, method: &str, action: &str) {
        let resources = self.owned.borrow().resources.clone();
        if !resources.is_empty() {
            let resource = self.chance.pick(&resources).clone();
            self.on_resource(method, &resource, action).await;
        }
    }

    async fn on_resource(&self, method: &str, resource: &str, action: &str) {
        let Some(project) = self.owned.borrow().project.clone() else { return };
        let path = [("project", project.as_str()), ("id", resource)];
        let route = format!("/v1/projects/{{project}}/resources/{{id}}{action}");
        self.ask(method, &route, &path, &Value::Null).await;
    }

    async fn browse(&self, url: &str, form: &str) {
        let net = self.cloud.parts().network.parts();
        let request = Request::post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .expect("a browser's request");
        let status = net.stand_in.respond(request).await.status();
        net.charged.notify_one();
        net.journal.note(format!("{} pays with {form}: {status}", self.account));
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        at: &[(&str, &str)],
        body: &Value,
    ) -> Option<Answered> {
        self.request(method, path, at, body, |event, _| event).await
    }

    /// Sends a request with one key until it is answered. `None` if it was refused or never
    /// answered.
    async fn request(
        &self,
        method: &str,
        path: &str,
        at: &[(&str, &str)],
        body: &Value,
        caller: impl Fn(ApiEvent, &str) -> ApiEvent,
    ) -> Option<Answered> {
        let parts = self.cloud.parts();
        let (net, route) = (parts.network.parts(), format!("{method} {path}"));
        let key = format!("{}-{:016x}", self.account, self.chance.number(..));
        for attempt in 0..REPEATS_MAX {
            let mut event = ApiEvent::by(&self.account, &route, &net.clock.text());
            event = at.iter().fold(event, |event, (name, value)| event.at(name, value));
            if method != "GET" {
                event = event.key(&key);
            }
            if !body.is_null() {
                event = event.json(body);
            }
            let answered = parts.functions.api(&route, &caller(event, &self.account)).await;
            let shown = match &answered {
                Ok(answered) => format!("{} {}", answered.status, answered.code()),
                Err(died) => format!("{died:?}"),
            };
            net.journal.note(format!("{} {route} {at:?} {body}: {shown}", self.account));
            match answered {
                Ok(answered) if answered.status < 400 => return Some(answered),
                Ok(answered) if answered.status < 500 && answered.status != 429 => {
                    net.journal.reach(format!("refusal {}", answered.code()));
                    return None;
                }
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
        }
        None
    }
}

/// Staff: bonus, freeze, refunds in Stripe's dashboard, and prices.
pub struct SimulatedStaff {
    pub cloud: SimulatedCloud,
    pub chance: Chance,
    pub habits: Rc<ActorHabits>,
    pub customers: Vec<SimulatedCustomer>,
}

impl SimulatedStaff {
    /// Acts until the end.
    pub async fn live(&self, until: time::UtcDateTime) {
        let clock = self.cloud.parts().network.parts().clock;
        while clock.now() < until {
            let pause = self.chance.number(60..=self.habits.pause_minutes * 240);
            tokio::time::sleep(Duration::from_secs(pause)).await;
            if clock.now() < until {
                let action = *self.chance.weighted(&self.habits.staff);
                self.act(action).await;
            }
        }
    }

    async fn act(&self, action: StaffAction) {
        let net = self.cloud.parts().network.parts();
        let reason = json!({"reason": "simulated"});
        match action {
            StaffAction::Bonus => {
                let hours = self.chance.number(1..200);
                let ends = net.clock.now() + Duration::from_secs(hours * 3_600);
                let bonus = json!({"amount": "10.00", "expires_at": text_of(ends), "excludes": [], "reason": "simulated"});
                self.on_account("POST", "bonus", &bonus).await;
            }
            StaffAction::Correction => {
                let amount = *self.chance.pick(&["3.00", "-2.00"]);
                self.on_account(
                    "POST",
                    "correction",
                    &json!({"amount": amount, "reason": "simulated"}),
                )
                .await;
            }
            StaffAction::Freeze => self.on_account("POST", "freeze", &reason).await,
            StaffAction::Unfreeze => self.on_account("POST", "unfreeze", &reason).await,
            StaffAction::Suspend => self.on_account("POST", "suspend", &reason).await,
            StaffAction::Resume => self.on_account("POST", "resume", &reason).await,
            StaffAction::Refund => {
                if let Some((payment, cents)) = self.any_payment() {
                    let part = *self.chance.pick(&[cents, cents / 2, cents / 3]);
                    let done = net.stand_in.refund_in_dashboard(&payment, Some(part));
                    net.journal
                        .note(format!("staff refunds {part} of {payment}: {}", done.is_ok()));
                    net.charged.notify_one();
                }
            }
            StaffAction::Dispute => {
                if let Some((payment, _)) = self.any_payment() {
                    let new = NewDispute {
                        payment: payment.clone(),
                        amount: None,
                        reason: "fraudulent".to_owned(),
                        kind: DisputeKind::Chargeback,
                    };
                    let done = net.stand_in.dispute(&new);
                    net.journal.note(format!("a bank disputes {payment}: {}", done.is_ok()));
                    net.charged.notify_one();
                }
            }
            StaffAction::CloseDispute => {
                let open = self.objects("dispute");
                if !open.is_empty() {
                    let dispute =
                        self.chance.pick(&open)["id"].as_str().unwrap_or_default().to_owned();
                    let end =
                        if self.chance.happens(500) { DisputeEnd::Won } else { DisputeEnd::Lost };
                    let done = net.stand_in.close_dispute(&dispute, end);
                    net.journal.note(format!("a bank closes {dispute}: {}", done.is_ok()));
                    net.charged.notify_one();
                }
            }
            StaffAction::Price => {
                let hour = net.clock.now().unix_timestamp() / 3_600 + 2;
                let from = time::UtcDateTime::from_unix_timestamp(hour * 3_600).expect("a time");
                let rate = *self.chance.pick(&["0.5", "0.75"]);
                let price = json!({"sku": "vm", "unit": "hour", "kind": "instance", "rate": rate, "valid_from": text_of(from)});
                self.admin("PUT", "/v1/admin/prices", &[], &json!({"prices": [price]})).await;
            }
        }
    }

    /// Freezes are lifted, and suspensions end.
    pub async fn forgive(&self) {
        for customer in &self.customers {
            let at = [("account", customer.account.as_str())];
            for action in ["unfreeze", "resume"] {
                let path = format!("/v1/admin/accounts/{{account}}/{action}");
                self.admin("POST", &path, &at, &json!({"reason": "the end"})).await;
            }
        }
    }

    async fn on_account(&self, method: &str, action: &str, body: &Value) {
        let customer = self.chance.pick(&self.customers);
        let path = format!("/v1/admin/accounts/{{account}}/{action}");
        self.admin(method, &path, &[("account", &customer.account)], body).await;
    }

    /// A request as staff.
    pub async fn admin(
        &self,
        method: &str,
        path: &str,
        at: &[(&str, &str)],
        body: &Value,
    ) -> Option<Answered> {
        let customer = &self.customers[0];
        customer
            .request(method, path, at, body, |event, _| {
                event.claim("sub", "staff-1").scope("tollgate/admin")
            })
            .await
    }

    fn any_payment(&self) -> Option<(String, i64)> {
        let paid: Vec<Value> = self
            .objects("payment_intent")
            .into_iter()
            .filter(|intent| intent["status"] == "succeeded")
            .collect();
        let intent = (!paid.is_empty()).then(|| self.chance.pick(&paid))?;
        Some((intent["id"].as_str()?.to_owned(), intent["amount_received"].as_i64()?))
    }

    fn objects(&self, kind: &str) -> Vec<Value> {
        let saved = self.cloud.parts().network.parts().stand_in.save().expect("plain JSON");
        let objects = saved["objects"].as_array().cloned().unwrap_or_default();
        objects.into_iter().filter(|object| object["object"] == kind).collect()
    }
}
