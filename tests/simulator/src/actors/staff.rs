//! Staff at our API.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_tests::api::Answered;
use tollgate_tests::ledger::TOKEN_ISSUER;

use crate::actors::ActorHabits;
use crate::actors::customer::SimulatedCustomer;
use crate::actors::outside::Outside;
use crate::actors::requests::{Caller, Requester};
use crate::chance::Chance;
use crate::clock::text_of;

/// What staff do.
#[derive(Clone, Copy, Debug)]
pub enum StaffAction {
    Bonus,
    WithdrawBonus,
    Correction,
    Freeze,
    Unfreeze,
    Suspend,
    Resume,
    Close,
    AbandonRefill,
    Quotas,
    Look,
    Price,
    Recover,
    Refund,
    Import,
    OfferPlans,
    IssueInvoice,
    VoidInvoice,
    InvoicePayment,
}

impl StaffAction {
    /// The usual weights of what not every run has.
    pub const USUAL: [(u32, Self); 18] = [
        (3, Self::WithdrawBonus),
        (2, Self::Correction),
        (2, Self::Freeze),
        (4, Self::Unfreeze),
        (2, Self::Suspend),
        (4, Self::Resume),
        (1, Self::Close),
        (2, Self::AbandonRefill),
        (1, Self::Quotas),
        (2, Self::Look),
        (2, Self::Price),
        (4, Self::Recover),
        (3, Self::Refund),
        (1, Self::Import),
        (3, Self::OfferPlans),
        (2, Self::IssueInvoice),
        (1, Self::VoidInvoice),
        (1, Self::InvoicePayment),
    ];
}

/// Staff.
pub struct SimulatedStaff {
    pub requester: Requester,
    pub chance: Chance,
    pub habits: Rc<ActorHabits>,
    pub customers: Vec<SimulatedCustomer>,
    pub outside: Outside,
}

impl SimulatedStaff {
    /// Acts until the end.
    pub async fn live(&self, until: time::UtcDateTime) {
        let clock = self.requester.cloud.parts().network.parts().clock;
        while clock.now() < until {
            let pause = self.chance.number(60..=self.habits.pause_minutes * 240);
            tokio::time::sleep(Duration::from_secs(pause)).await;
            if clock.now() < until {
                let action = *self.chance.weighted(&self.habits.staff);
                self.act(action).await;
            }
        }
    }

    /// Freezes are lifted, and suspensions end.
    pub async fn forgive(&self) {
        for customer in &self.customers {
            let at = [("account", customer.account.as_str())];
            for action in ["unfreeze", "resume"] {
                let path = format!("/v1/admin/accounts/{{account}}/{action}");
                self.ask("POST", &path, &at, &json!({"reason": "the end"})).await;
            }
        }
    }

    /// A request as staff.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        at: &[(&str, &str)],
        body: &Value,
    ) -> Option<Answered> {
        self.requester.send(Caller::Staff, (method, path), at, body).await
    }

    async fn act(&self, action: StaffAction) {
        match action {
            StaffAction::Bonus => self.give_bonus().await,
            StaffAction::WithdrawBonus => self.withdraw_bonus().await,
            StaffAction::Correction => {
                let amount = *self.chance.pick(&["3.00", "-2.00"]);
                let body = json!({"amount": amount, "reason": "simulated"});
                self.on_account("POST", "correction", &body).await;
            }
            StaffAction::Freeze => self.for_a_reason("freeze").await,
            StaffAction::Unfreeze => self.for_a_reason("unfreeze").await,
            StaffAction::Suspend => self.for_a_reason("suspend").await,
            StaffAction::Resume => self.for_a_reason("resume").await,
            // Seldom: a closed account does nothing any longer.
            StaffAction::Close if self.chance.happens(200) => self.for_a_reason("close").await,
            StaffAction::Close if self.chance.happens(100) => self.for_a_reason("erase").await,
            StaffAction::Close => self.for_a_reason("reopen").await,
            StaffAction::AbandonRefill => self.for_a_reason("refill/abandon").await,
            StaffAction::Quotas => {
                let quotas = json!({"resources": self.chance.number(1..20), "reason": "simulated"});
                self.on_account("PUT", "quotas", &quotas).await;
            }
            StaffAction::Look => self.look().await,
            StaffAction::Price => self.change_price().await,
            StaffAction::Recover => self.recover().await,
            StaffAction::Refund => self.refund().await,
            StaffAction::Import => self.import().await,
            StaffAction::OfferPlans => self.offer_plans().await,
            StaffAction::IssueInvoice => self.issue_invoice().await,
            StaffAction::VoidInvoice => self.void_invoice().await,
            StaffAction::InvoicePayment => {
                let Some(payment) = self.outside.any_payment() else { return };
                let id = [("id", payment["id"].as_str().unwrap_or_default())];
                self.ask("POST", "/v1/admin/payments/{id}/invoice", &id, &Value::Null).await;
            }
        }
    }

    async fn for_a_reason(&self, action: &str) {
        self.on_account("POST", action, &json!({"reason": "simulated"})).await;
    }

    async fn give_bonus(&self) {
        let now = self.requester.cloud.parts().network.parts().clock.now();
        // Within this hour, this day or this week.
        let longest = *self.chance.pick(&[3_600, 86_400, 700_000]);
        let ends = now + Duration::from_secs(self.chance.number(60..=longest));
        let lists: [&[&str]; 4] = [&[], &[], &["gpu"], &["vm", "volume"]];
        let excludes = *self.chance.pick(&lists);
        let bonus = json!({
            "amount": self.chance.pick(&["10.00", "3.00", "0.01"]),
            "expires_at": text_of(ends),
            "excludes": excludes,
            "reason": "simulated",
        });
        self.on_account("POST", "bonus", &bonus).await;
    }

    /// Takes back any grant that the account has, or one that it has not.
    async fn withdraw_bonus(&self) {
        let customer = self.chance.pick(&self.customers);
        let account = ("account", customer.account.as_str());
        let shown = self.ask("GET", "/v1/admin/accounts/{account}", &[account], &Value::Null).await;
        let grants = shown.and_then(|shown| shown.body["grants"].as_array().cloned());
        let mut numbers: Vec<String> = grants.unwrap_or_default().iter().map(number_of).collect();
        numbers.push("7".to_owned());
        let number = ("number", self.chance.pick(&numbers).as_str());
        let route = "/v1/admin/accounts/{account}/grants/{number}/withdraw";
        self.ask("POST", route, &[account, number], &json!({"reason": "simulated"})).await;
    }

    /// Whether or not the customer has signed in, and sometimes with another balance than before.
    async fn import(&self) {
        let now = self.requester.cloud.parts().network.parts().clock.now();
        let customer = self.chance.pick(&self.customers);
        let mut entry = json!({
            "sub": customer.account.as_str(),
            "credit": self.chance.pick(&["7.654321", "7.654321", "0.01"]),
            "reference": "simulated",
        });
        if self.chance.happens(500) {
            entry["bonus"] = json!("2.00");
            entry["bonus_expires_at"] = json!(text_of(now + Duration::from_secs(90_000)));
        }
        let body = json!({"accounts": [entry]});
        self.ask("POST", "/v1/admin/accounts", &[("?issuer", TOKEN_ISSUER)], &body).await;
    }

    /// Other plans than before, or none. Sometimes without a look at what is offered.
    async fn offer_plans(&self) {
        let path = "/v1/admin/commit-offers";
        let shown = self.ask("GET", path, &[], &Value::Null).await;
        let version = shown.map_or(Value::Null, |shown| shown.body["version"].clone());
        let version = if self.chance.happens(100) { json!(0) } else { version };
        let percent = self.chance.pick(&[15, 10]);
        let mut offers = vec![
            json!({"id": "half", "months": 6, "price": "60.00", "bonus_percent": percent, "excludes": ["gpu"]}),
            json!({"id": "quarter", "months": 3, "price": "30.00", "bonus": "4.31"}),
        ];
        offers.truncate(*self.chance.pick(&[0, 1, 2, 2]));
        let body = json!({"version": version, "offers": offers, "reason": "simulated"});
        self.ask("PUT", path, &[], &body).await;
    }

    /// Of any size, sometimes paid by bank transfer at once.
    async fn issue_invoice(&self) {
        let customer = self.chance.pick(&self.customers);
        let cents = *self.chance.pick(&[700, 4_000, 90_000]);
        let credit = format!("{}.00", cents / 100);
        let wish = json!({"credit": credit, "due_days": 1, "reason": "simulated"});
        let path = "/v1/admin/accounts/{account}/invoices";
        let issued = self.ask("POST", path, &[("account", &customer.account)], &wish).await;
        let id = issued.and_then(|issued| issued.body["id"].as_str().map(str::to_owned));
        if let Some(id) = id.filter(|_| self.chance.happens(300)) {
            let pause = *self.chance.pick(&[10, 4_000, 200_000]);
            tokio::time::sleep(Duration::from_secs(self.chance.number(1..=pause))).await;
            let net = self.requester.cloud.parts().network.parts();
            net.weather.money_moves();
            let cents = cents + *self.chance.pick(&[0, 37]);
            let outcome = net.stand_in.bank_transfer(&id, cents);
            net.journal.note(format!("at Stripe: a bank transfer for {id}: {outcome:?}"));
            net.charged.notify_one();
        }
    }

    async fn void_invoice(&self) {
        let account = ("account", self.chance.pick(&self.customers).account.as_str());
        let list = "/v1/admin/accounts/{account}/invoices";
        let Some(shown) = self.ask("GET", list, &[account], &Value::Null).await else { return };
        let all = shown.body["invoices"].as_array().cloned().unwrap_or_default();
        if all.is_empty() {
            return;
        }
        let id = self.chance.pick(&all)["id"].as_str().unwrap_or_default().to_owned();
        let path = "/v1/admin/accounts/{account}/invoices/{invoice}/void";
        let of = [account, ("invoice", &id)];
        self.ask("POST", path, &of, &json!({"reason": "simulated"})).await;
    }

    async fn look(&self) {
        self.on_account("GET", "verify", &Value::Null).await;
        self.on_account("GET", "transactions", &Value::Null).await;
        self.on_account("GET", "invoices", &Value::Null).await;
        self.ask("GET", "/v1/admin/health", &[], &Value::Null).await;
        if let Some(payment) = self.outside.any_payment() {
            let id = [("id", payment["id"].as_str().unwrap_or_default())];
            self.ask("GET", "/v1/admin/payments/{id}", &id, &Value::Null).await;
        }
    }

    /// A page, a payment or an invoice, whatever became of it, and whether or not its events came.
    async fn recover(&self) {
        let kind = *self.chance.pick(&["checkout.session", "payment_intent", "invoice"]);
        let Some(object) = self.outside.any(kind) else { return };
        let id = [("id", object["id"].as_str().unwrap_or_default())];
        self.ask("POST", "/v1/admin/payments/{id}/recover", &id, &Value::Null).await;
    }

    /// A part of a payment, all that is left, or more than that.
    async fn refund(&self) {
        let Some(payment) = self.outside.any_payment() else { return };
        let id = [("id", payment["id"].as_str().unwrap_or_default())];
        let mut body = json!({"reason": "simulated"});
        if let Some(amount) = self.chance.pick(&[None, Some("1.00"), Some("5.00"), Some("30.00")]) {
            body["amount"] = json!(amount);
        }
        if self.chance.happens(300) {
            body["allow_negative"] = json!(true);
        }
        self.ask("POST", "/v1/admin/payments/{id}/refunds", &id, &body).await;
    }

    async fn change_price(&self) {
        let now = self.requester.cloud.parts().network.parts().clock.now();
        let hour = now.unix_timestamp() / 3_600 + 2;
        let from = time::UtcDateTime::from_unix_timestamp(hour * 3_600).expect("a time");
        let mut price = self
            .chance
            .pick(&[
                json!({"sku": "vm", "unit": "hour", "kind": "instance", "rate": "0.5"}),
                json!({"sku": "vm", "unit": "hour", "kind": "instance", "rate": "0.75"}),
                json!({"sku": "volume", "unit": "hour", "kind": "volume", "rate": "0.6", "idle_rate": "0.3"}),
                json!({"sku": "tokens", "unit": "quantity", "kind": "tokens", "rate": "0.00003"}),
            ])
            .clone();
        price["valid_from"] = json!(text_of(from));
        self.ask("PUT", "/v1/admin/prices", &[], &json!({"prices": [price]})).await;
    }

    async fn on_account(&self, method: &str, action: &str, body: &Value) {
        let customer = self.chance.pick(&self.customers);
        let path = format!("/v1/admin/accounts/{{account}}/{action}");
        self.ask(method, &path, &[("account", &customer.account)], body).await;
    }
}

fn number_of(grant: &Value) -> String {
    grant["number"].to_string()
}
