//! Customers: they pay, start and stop, and change their minds.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use time::UtcDateTime;
use tollgate_tests::api::Answered;

use crate::actors::ActorHabits;
use crate::actors::browser::Browser;
use crate::actors::requests::{Caller, Requester};
use crate::chance::Chance;
use crate::clock::ClockOwner;
use crate::cloud::SimulatedCloud;
use crate::network::NetworkParts;

/// A customer with a project and some resources. Clones are the same customer.
#[derive(Clone)]
pub struct SimulatedCustomer {
    pub account: String,
    pub requester: Requester,
    browser: Browser,
    chance: Chance,
    pub habits: Rc<ActorHabits>,
    pub owned: Rc<RefCell<OwnedThings>>,
    /// How many events of the bus were looked at.
    events_seen: Rc<RefCell<usize>>,
}

/// What a customer has.
#[derive(Debug, Default)]
pub struct OwnedThings {
    pub project: Option<String>,
    pub resources: Vec<String>,
}

/// What a customer does.
#[derive(Clone, Copy, Debug)]
pub enum CustomerAction {
    AddCredit,
    AddCreditWithRefill,
    SwitchRefillOn,
    SwitchRefillOff,
    RefillNow,
    SaveCard,
    ChangeDefaultCard,
    RemoveCard,
    OpenPortal,
    WriteCompany,
    Start,
    Stop,
    StartAgain,
    ChangeSeveral,
    Delete,
    Restore,
    /// Starts all that a suspension stopped.
    StartAll,
    /// Restores all that was deleted with the account.
    RestoreAll,
    /// Chooses whether resources restart after a suspension.
    ChooseRestart,
    /// Gives the project a budget, changes it, or removes it.
    ChangeBudget,
    Look,
    MakeMistake,
    /// Buys a commit plan, if one is offered.
    BuyPlan,
    /// Pays an invoice that staff issued.
    PayInvoice,
    /// Starts a trial, mostly in vain.
    StartTrial,
    /// Closes the account, if nothing is left. Seldom.
    Close,
    /// Removes all saved cards, then pays with another one.
    ReplaceCards,
    /// A script that does several things at once, at a full hour.
    RunScript,
}

impl CustomerAction {
    /// The usual weights of what not every run has.
    pub const USUAL: [(u32, Self); 26] = [
        (4, Self::AddCreditWithRefill),
        (2, Self::SwitchRefillOn),
        (1, Self::SwitchRefillOff),
        (1, Self::RefillNow),
        (1, Self::SaveCard),
        (1, Self::ChangeDefaultCard),
        (1, Self::RemoveCard),
        (1, Self::OpenPortal),
        (1, Self::WriteCompany),
        (4, Self::Stop),
        (4, Self::StartAgain),
        (2, Self::ChangeSeveral),
        (1, Self::Delete),
        (1, Self::Restore),
        (2, Self::StartAll),
        (1, Self::RestoreAll),
        (1, Self::ChooseRestart),
        (2, Self::ChangeBudget),
        (3, Self::Look),
        (1, Self::MakeMistake),
        (2, Self::BuyPlan),
        (2, Self::PayInvoice),
        (1, Self::StartTrial),
        (1, Self::Close),
        (1, Self::ReplaceCards),
        (3, Self::RunScript),
    ];

    /// What a script does.
    const SCRIPTED: [(u32, Self); 6] = [
        (4, Self::Start),
        (2, Self::Stop),
        (3, Self::StartAgain),
        (1, Self::Delete),
        (3, Self::Look),
        (1, Self::AddCredit),
    ];
}

const SKUS: [(u32, &str); 5] = [(3, "vm"), (4, "gpu"), (3, "app"), (2, "volume"), (1, "unknown")];
/// The most things that a script does at once.
const SCRIPT_MAX: u64 = 8;
/// How far apart the things are that happen at a full hour, in milliseconds.
const APART_MILLISECONDS: u64 = 500;
/// What is read, in any order.
const READ: [&str; 13] = [
    "/v1/budgets",
    "/v1/balance",
    "/v1/balance/history",
    "/v1/account",
    "/v1/account/returning",
    "/v1/transactions",
    "/v1/spending",
    "/v1/auto-refill",
    "/v1/payment-methods",
    "/v1/invoices",
    "/v1/trial",
    "/v1/commit-plans",
    "/v1/prices",
];
/// What makes a customer pay by hand.
const WORRIES: [&str; 5] =
    ["BalanceLow", "CreditLow", "RefillFailed", "Suspended", "PaymentFailed"];

impl SimulatedCustomer {
    #[must_use]
    pub fn new(
        cloud: SimulatedCloud,
        account: String,
        chance: Chance,
        habits: Rc<ActorHabits>,
    ) -> Self {
        let browser =
            Browser { cloud: cloud.clone(), account: account.clone(), chance: chance.clone() };
        let requester = Requester { cloud, chance: chance.clone() };
        Self {
            account,
            requester,
            browser,
            chance,
            habits,
            owned: Rc::default(),
            events_seen: Rc::default(),
        }
    }

    /// Acts until the end.
    pub async fn live(self, until: UtcDateTime) {
        let clock = self.requester.cloud.parts().network.parts().clock;
        if self.chance.happens(self.habits.trials) {
            self.start_trial().await;
        } else {
            self.add_credit(None).await;
        }
        while clock.now() < until {
            let action = *self.chance.weighted(&self.habits.customer);
            self.act(action).await;
            let pause = self.chance.number(1..=self.habits.pause_minutes * 60);
            let goes_on_at = clock.now() + Duration::from_secs(pause);
            // Mail is read within some minutes, or within an hour or two in a slow life.
            let reads_every = (self.habits.pause_minutes / 2).clamp(300, 7_200);
            while clock.now() < goes_on_at.min(until) {
                let pause = self.chance.number(20..=reads_every);
                tokio::time::sleep(Duration::from_secs(pause)).await;
                self.read_mail().await;
            }
        }
    }

    /// Ends everything that costs something.
    pub async fn leave(&self) {
        let resources = self.owned.borrow().resources.clone();
        for resource in resources {
            self.on_resource("DELETE", &resource, "").await;
        }
        self.ask("PUT", "/v1/auto-refill", &[], &json!({"enabled": false})).await;
    }

    /// A customer who learns that credit is low pays by hand, whether or not a card is about to be
    /// charged. One whose bank wants to be asked answers, soon or late.
    async fn read_mail(&self) {
        let news = self.news();
        if news.iter().any(|name| WORRIES.contains(&name.as_str()))
            && self.chance.happens(self.habits.worries)
        {
            let terms = self.chance.happens(300).then(|| self.terms());
            self.add_credit(terms).await;
        }
        if news.iter().any(|name| name == "RefillNeedsCustomer") && self.chance.happens(700) {
            let customer = self.clone();
            tokio::task::spawn_local(async move { customer.confirm_refill().await });
        }
    }

    /// The names of this account's events since the last look.
    fn news(&self) -> Vec<String> {
        let published = self.requester.cloud.parts().published.borrow();
        let mut seen = self.events_seen.borrow_mut();
        let new = published.iter().skip(*seen);
        let own = new.filter(|event| event.detail["account"] == self.account);
        let names = own.map(|event| event.name.clone()).collect();
        *seen = published.len();
        names
    }

    async fn confirm_refill(&self) {
        let pause = *self.chance.pick(&[60, 3_600, 100_000]);
        tokio::time::sleep(Duration::from_secs(self.chance.number(1..=pause))).await;
        let shown = self.read("/v1/auto-refill").await;
        let Some(url) =
            shown.and_then(|shown| Some(shown.body["confirm_url"].as_str()?.to_owned()))
        else {
            return;
        };
        self.browser.pay(&url, 0, 0).await;
    }

    async fn act(&self, action: CustomerAction) {
        match action {
            CustomerAction::AddCredit => self.add_credit(None).await,
            CustomerAction::AddCreditWithRefill => {
                let terms = self.terms();
                self.add_credit(Some(terms)).await;
            }
            CustomerAction::SwitchRefillOn => self.switch_refill_on().await,
            CustomerAction::SwitchRefillOff => {
                self.ask("PUT", "/v1/auto-refill", &[], &json!({"enabled": false})).await;
            }
            CustomerAction::RefillNow => {
                self.ask("POST", "/v1/auto-refill/now", &[], &Value::Null).await;
            }
            CustomerAction::SaveCard => self.save_card().await,
            CustomerAction::ChangeDefaultCard => {
                self.on_any_card("PUT", "/v1/payment-methods/{id}/default").await;
            }
            CustomerAction::RemoveCard => {
                self.on_any_card("DELETE", "/v1/payment-methods/{id}").await;
            }
            CustomerAction::OpenPortal => self.open_portal().await,
            CustomerAction::WriteCompany => {
                let name = format!("Company {}", self.chance.number(..10));
                self.ask("PUT", "/v1/company", &[], &json!({"name": name})).await;
            }
            CustomerAction::Start => self.start().await,
            CustomerAction::Stop => self.on_any_resource("POST", "/stop").await,
            CustomerAction::StartAgain => self.on_any_resource("POST", "/start").await,
            CustomerAction::ChangeSeveral => self.change_several().await,
            CustomerAction::Delete => self.on_any_resource("DELETE", "").await,
            CustomerAction::Restore => self.on_any_resource("POST", "/restore").await,
            CustomerAction::StartAll => {
                self.ask("POST", "/v1/account/start", &[], &Value::Null).await;
            }
            CustomerAction::RestoreAll => {
                self.ask("POST", "/v1/account/restore", &[], &Value::Null).await;
            }
            CustomerAction::ChooseRestart => {
                let restart = *self.chance.pick(&["in_order", "in_order", "manual"]);
                let choice = json!({"restart": restart});
                self.ask("PUT", "/v1/account/restart-policy", &[], &choice).await;
            }
            CustomerAction::ChangeBudget => self.change_budget().await,
            CustomerAction::BuyPlan => self.buy_plan().await,
            CustomerAction::PayInvoice => self.pay_invoice().await,
            CustomerAction::StartTrial => self.start_trial().await,
            CustomerAction::Close => self.close().await,
            CustomerAction::MakeMistake => self.make_mistake().await,
            CustomerAction::Look => {
                self.read(self.chance.pick::<&str>(&READ)).await;
            }
            CustomerAction::ReplaceCards => {
                for card in self.saved_cards().await {
                    let route = "/v1/payment-methods/{id}";
                    self.ask("DELETE", route, &[("id", &card)], &Value::Null).await;
                }
                let pause = *self.chance.pick(&[10, 3_600]);
                tokio::time::sleep(Duration::from_secs(self.chance.number(1..=pause))).await;
                self.add_credit(None).await;
            }
            CustomerAction::RunScript => self.run_script().await,
        }
    }

    /// Starts a script at the next full hour, together with all that the clock calls then.
    async fn run_script(&self) {
        let NetworkParts { clock, clocks, .. } = self.requester.cloud.parts().network.parts();
        let shown = clocks.seconds_at(ClockOwner::Scheduler);
        let full_hour = clock.seconds() + 3_600 - shown.rem_euclid(3_600);
        clock.sleep_until(UtcDateTime::from_unix_timestamp(full_hour).expect("a time")).await;
        for _ in 0..self.chance.number(2..=SCRIPT_MAX) {
            let action = *self.chance.weighted(&CustomerAction::SCRIPTED);
            let pause = Duration::from_millis(self.chance.number(..APART_MILLISECONDS));
            let customer = self.clone();
            let act: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
                tokio::time::sleep(pause).await;
                customer.act(action).await;
            });
            tokio::task::spawn_local(act);
        }
    }

    fn terms(&self) -> Value {
        let threshold = *self.chance.pick(&["5.00", "12.00", "40.00"]);
        let amount = *self.chance.pick(&["10.00", "25.00", "60.00"]);
        json!({"enabled": true, "threshold": threshold, "amount": amount})
    }

    async fn switch_refill_on(&self) {
        let mut terms = self.terms();
        if self.chance.happens(300) {
            terms["monthly_cap"] = json!(self.chance.pick(&["30.00", "100.00"]));
        }
        if self.chance.happens(300) {
            terms["max_charge"] = json!(self.chance.pick(&["60.00", "100.00"]));
        }
        if self.chance.happens(300) {
            terms["mode"] = json!("to_target");
            terms["target"] = json!(self.chance.pick(&["45.00", "90.00"]));
            terms.as_object_mut().map(|terms| terms.remove("amount"));
        }
        let saved = if self.chance.happens(300) { self.saved_cards().await } else { Vec::new() };
        if !saved.is_empty() {
            terms["payment_method"] = json!(self.chance.pick(&saved));
        }
        self.ask("PUT", "/v1/auto-refill", &[], &terms).await;
    }

    async fn add_credit(&self, terms: Option<Value>) {
        let mut wish = json!({"amount": self.chance.pick(&["5.00", "10.00", "25.00", "80.00"])});
        if let Some(terms) = terms {
            wish["auto_refill"] = terms;
        }
        let page = self.ask("POST", "/v1/checkout-sessions", &[], &wish).await;
        self.pay_at(page).await;
    }

    /// Any plan, whether or not it is offered, and sometimes of older offers.
    async fn buy_plan(&self) {
        let plan = [("plan", *self.chance.pick(&["half", "quarter"]))];
        let Some(shown) = self.read("/v1/commit-plans").await else { return };
        let version =
            if self.chance.happens(50) { json!(1) } else { shown.body["version"].clone() };
        let mut wish = json!({"version": version});
        if self.chance.happens(300) {
            wish["auto_refill"] = self.terms();
        }
        let page = self.ask("POST", "/v1/commit-plans/{plan}/checkout", &plan, &wish).await;
        self.pay_at(page).await;
    }

    async fn pay_invoice(&self) {
        let Some(shown) = self.read("/v1/invoices").await else { return };
        if let Some(url) = shown.body["open"][0]["hosted_url"].as_str() {
            self.requester.cloud.parts().network.parts().weather.money_moves();
            self.browser.pay(url, self.habits.bank_debits, self.habits.old_cards).await;
        }
    }

    /// Pays at a page, leaves it, or cancels it.
    async fn pay_at(&self, page: Option<Answered>) {
        let Some(page) = page else { return };
        let (Some(id), Some(url)) = (page.body["id"].as_str(), page.body["url"].as_str()) else {
            return;
        };
        let session = [("id", id)];
        let pause = *self.chance.pick(&[5, 30, 200, 1_500]);
        tokio::time::sleep(Duration::from_secs(self.chance.number(1..=pause))).await;
        match self.chance.number(..10) {
            0 => {}
            1 => {
                let cancel = "/v1/checkout-sessions/{id}/cancel";
                self.ask("POST", cancel, &session, &Value::Null).await;
            }
            _ => {
                self.requester.cloud.parts().network.parts().weather.money_moves();
                self.browser.pay(url, self.habits.bank_debits, self.habits.old_cards).await;
            }
        }
        if self.chance.happens(400) {
            self.ask("GET", "/v1/checkout-sessions/{id}", &session, &Value::Null).await;
        }
    }

    /// Starts a trial, and comes back from Stripe's page or not.
    async fn start_trial(&self) {
        let mut terms = json!({"enabled": self.chance.happens(600)});
        if self.chance.happens(300) && terms["enabled"] == true {
            terms = self.terms();
        }
        let wish = json!({"auto_refill": terms});
        let Some(page) = self.ask("POST", "/v1/trial", &[], &wish).await else { return };
        let (Some(id), Some(url)) = (page.body["id"].as_str(), page.body["url"].as_str()) else {
            return;
        };
        let pause = *self.chance.pick(&[5, 200, 4_000]);
        tokio::time::sleep(Duration::from_secs(self.chance.number(1..=pause))).await;
        self.browser.pay(url, 0, self.habits.old_cards).await;
        if self.chance.happens(500) {
            self.ask("GET", "/v1/trial", &[("?session", id)], &Value::Null).await;
        }
    }

    /// Looks at what is lost, and closes the account if it is little enough. Sometimes everything is
    /// deleted first.
    async fn close(&self) {
        if self.chance.happens(500) {
            let resources = self.owned.borrow().resources.clone();
            for resource in resources {
                self.on_resource("DELETE", &resource, "").await;
            }
        }
        let Some(lost) = self.read("/v1/account/closing").await else { return };
        if lost.body["can_close"] == false && self.chance.happens(700) {
            return;
        }
        let shown = json!({"balance": lost.body["balance"]});
        self.ask("DELETE", "/v1/account", &[], &shown).await;
    }

    async fn save_card(&self) {
        let page = self.ask("POST", "/v1/payment-methods/sessions", &[], &Value::Null).await;
        if let Some(url) = page.as_ref().and_then(|page| page.body["url"].as_str()) {
            self.browser.pay(url, 0, self.habits.old_cards).await;
        }
    }

    async fn open_portal(&self) {
        let saved = self.saved_cards().await;
        let portal = self.ask("POST", "/v1/portal-sessions", &[], &Value::Null).await;
        if let Some(url) = portal.as_ref().and_then(|portal| portal.body["url"].as_str()) {
            self.browser.change_cards_in_portal(url, &saved, self.habits.old_cards).await;
        }
    }

    async fn on_any_card(&self, method: &str, route: &str) {
        let saved = self.saved_cards().await;
        if !saved.is_empty() {
            let card = self.chance.pick(&saved).clone();
            self.ask(method, route, &[("id", &card)], &Value::Null).await;
        }
    }

    async fn saved_cards(&self) -> Vec<String> {
        let shown = self.read("/v1/payment-methods").await;
        let items = shown.and_then(|shown| shown.body["items"].as_array().cloned());
        let items = items.unwrap_or_default();
        items.iter().filter_map(|card| card["id"].as_str().map(str::to_owned)).collect()
    }

    /// The customer's project, which is made if there is none.
    pub(super) async fn project(&self) -> Option<String> {
        if let Some(project) = self.owned.borrow().project.clone() {
            return Some(project);
        }
        let made = self.ask("POST", "/v1/projects", &[], &json!({"name": "first"})).await?;
        let project = made.body["id"].as_str()?.to_owned();
        // Another one may have been made meanwhile. It stays the only one that is used.
        let project = self.owned.borrow_mut().project.get_or_insert(project).clone();
        let all = &self.requester.cloud.parts().projects;
        all.borrow_mut().push((self.account.clone(), project.clone()));
        Some(project)
    }

    async fn start(&self) {
        let Some(project) = self.project().await else { return };
        let sku = self.chance.weighted(&SKUS);
        let wish = json!({"sku": sku, "name": "one", "start": self.chance.happens(900)});
        let path = [("project", project.as_str())];
        let route = "/v1/projects/{project}/resources";
        let Some(made) = self.ask("POST", route, &path, &wish).await else { return };
        let Some(id) = made.body["id"].as_str().map(str::to_owned) else { return };
        self.owned.borrow_mut().resources.push(id.clone());
        self.may_fail_to_start(project, id);
    }

    async fn change_budget(&self) {
        let Some(project) = self.project().await else { return };
        let path = [("project", project.as_str())];
        let route = "/v1/projects/{project}/budget";
        if self.chance.happens(200) {
            self.ask("DELETE", route, &path, &Value::Null).await;
            return;
        }
        let amount = *self.chance.pick(&["2.00", "15.00", "60.00", "200.00", "0.50"]);
        let budget = json!({"amount": amount, "stop": self.chance.happens(700)});
        self.ask("PUT", route, &path, &budget).await;
    }

    fn may_fail_to_start(&self, project: String, id: String) {
        if self.chance.happens(self.habits.failing_starts) {
            let customer = self.clone();
            tokio::task::spawn_local(async move { customer.fail_start(&project, &id).await });
        }
    }

    async fn on_any_resource(&self, method: &str, action: &str) {
        let resources = self.owned.borrow().resources.clone();
        if !resources.is_empty() {
            let resource = self.chance.pick(&resources).clone();
            self.on_resource(method, &resource, action).await;
        }
    }

    async fn change_several(&self) {
        let mut resources = self.owned.borrow().resources.clone();
        resources.retain(|_| self.chance.happens(500));
        let paths =
            ["/v1/account/start", "/v1/account/stop", "/v1/account/stop", "/v1/account/restore"];
        let named = json!({"resources": resources});
        self.ask("POST", self.chance.pick::<&str>(&paths), &[], &named).await;
    }

    async fn on_resource(&self, method: &str, resource: &str, action: &str) {
        let Some(project) = self.owned.borrow().project.clone() else { return };
        let path = [("project", project.as_str()), ("id", resource)];
        let route = format!("/v1/projects/{{project}}/resources/{{id}}{action}");
        let done = self.ask(method, &route, &path, &Value::Null).await;
        if done.is_some() && ["/start", "/restore"].contains(&action) {
            self.may_fail_to_start(project.clone(), resource.to_owned());
        }
    }

    async fn read(&self, path: &str) -> Option<Answered> {
        self.ask("GET", path, &[], &Value::Null).await
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        at: &[(&str, &str)],
        body: &Value,
    ) -> Option<Answered> {
        self.requester.send(Caller::Customer(&self.account), (method, path), at, body).await
    }
}
