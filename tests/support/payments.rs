//! Checkout, webhook, refill and deletion on one ledger and one Stripe stand-in, each called as on AWS.
//!
//! Calls to DynamoDB and to Stripe pass through the same `Faults`, so that they are counted
//! together and a process can die between any two of them.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::wildcard_enum_match_arm,
    reason = "the tests of three functions read it beside its code"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::api::{Answered, Api, ApiEvent};
use crate::faults::{Crash, Faults};
use crate::ledger::{Ledger, PLATFORM_CLIENT, STAFF_CLIENT, TOKEN_ISSUER, at, named};
use crate::stand_in::serve;
use serde_json::{Value, json};
use stripe_stand_in::{Delivery, StandInConfig, StripeStandIn};
use tollgate::domain::account::{AccountState, CardChoice};
use tollgate::domain::command::{Command, RefillSettings, RefillTerms};
use tollgate::domain::event::{Cause, Change, PaymentChange};
use tollgate::domain::ids::AccountId;
use tollgate::domain::money::Usd;
use tollgate::domain::row::Row;
use tollgate::domain::timestamp::Timestamp;
use tollgate::runtime::account_event::AccountEvent;
use tollgate::runtime::billing::Billing;
use tollgate::runtime::delivery::DeliveryTime;
use tollgate::runtime::settings::Settings;
use tollgate::store::{CustomerProfile, Plan, RowOrder, Store};
use tollgate::stripe::{RetryPolicy, Stripe, StripeSettings, signature};

pub const ACME: &str = "acme";
pub const SECRET: &str = "whsec_test";
pub const VISA: &str = "4242424242424242";

pub struct PaymentWorld {
    pub api: Api,
    pub stand_in: StripeStandIn,
    pub checkout: checkout::CheckoutClients,
    pub webhook: stripe_webhook::WebhookClients,
    pub refill: auto_refill::RefillClients,
    pub deletion: confirm_deletion::DeletionClients,
    pub stripe: Stripe,
    clock: Arc<AtomicI64>,
    url: String,
}

impl PaymentWorld {
    pub async fn new() -> PaymentWorld {
        PaymentWorld::with(&[]).await
    }

    /// With these variables set.
    pub async fn with(variables: &[(&'static str, &'static str)]) -> PaymentWorld {
        let clock = Arc::new(AtomicI64::new(at("10:00:00").seconds()));
        let of_stand_in = Arc::clone(&clock);
        let (stand_in, url) =
            serve(StandInConfig::default(), move || of_stand_in.load(Ordering::SeqCst)).await;
        stand_in.add_endpoint("http://webhook.test", SECRET, &["*"]);

        let api = Api::new().await;
        let variable = |name: &'static str| {
            let set = variables
                .iter()
                .find(|(set, _)| *set == name)
                .map(|(_, value)| (*value).to_owned());
            let names = api.ledger.names();
            set.or_else(|| match name {
                "LEDGER_TABLE" => Some(names.ledger),
                "ACCOUNTS_TABLE" => Some(names.accounts),
                "TOKEN_ISSUER" => Some(TOKEN_ISSUER.to_owned()),
                "STAFF_CLIENTS" => Some(STAFF_CLIENT.to_owned()),
                "PLATFORM_CLIENTS" => Some(PLATFORM_CLIENT.to_owned()),
                "BILLING_URL" => Some("https://billing.example/".to_owned()),
                "OPERATOR_CONTACT" => Some("sales@billing.example".to_owned()),
                // While the clock stands still, a limit never ends.
                "PAGES_PER_HOUR" | "PAGES_PER_DAY" => Some("1000".to_owned()),
                "STRIPE_REQUESTS_MAX" => Some("10000".to_owned()),
                "STRIPE_SECRET_KEY" => Some("sk_test_local".to_owned()),
                "STRIPE_API_BASE" => Some(url.clone()),
                "STRIPE_WEBHOOK_SECRETS" => Some(format!("whsec_old,{SECRET}")),
                _ => None,
            })
        };
        let settings = StripeSettings::read(variable).expect("settings of Stripe");
        let patience =
            RetryPolicy { pause_first: Duration::from_millis(1), ..RetryPolicy::default() };
        let stripe = Stripe::over(api.ledger.faults.connector(), settings, patience);
        let store: Store = api.ledger.store.clone();
        let billing = || Billing::new(store.clone(), Settings::read(variable).expect("settings"));
        PaymentWorld {
            checkout: checkout::CheckoutClients {
                billing: billing(),
                stripe: stripe.clone().into(),
            },
            webhook: stripe_webhook::WebhookClients {
                billing: billing(),
                stripe: stripe.clone().into(),
            },
            refill: auto_refill::RefillClients {
                billing: billing(),
                stripe: stripe.clone().into(),
            },
            deletion: confirm_deletion::DeletionClients {
                billing: billing(),
                stripe: stripe.clone().into(),
            },
            stripe,
            api,
            stand_in,
            clock,
            url,
        }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.api.ledger
    }

    pub fn faults(&self) -> &Faults {
        &self.api.ledger.faults
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.clock.load(Ordering::SeqCst)).expect("a time")
    }

    pub fn set_now(&self, now: &str) {
        self.clock.store(at(now).seconds(), Ordering::SeqCst);
    }

    pub fn advance(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// A request by Acme, at the clock's time.
    pub fn event(&self, route: &str) -> ApiEvent {
        ApiEvent::by(ACME, route, &self.now().to_string())
    }

    pub async fn call(&self, event: &ApiEvent) -> Answered {
        // Boxed, as the other handlers: they are many futures deep, and a test's stack is small.
        Box::pin(checkout::handle(&self.checkout, event.request())).await.into()
    }

    pub async fn create(&self, body: &Value) -> Answered {
        self.call(&self.event("POST /v1/checkout-sessions").json(body)).await
    }

    pub async fn status(&self, session: &str) -> Answered {
        self.call(&self.event("GET /v1/checkout-sessions/{id}").at("id", session)).await
    }

    /// Types a card (or other fields) into the payment page.
    pub async fn pay(&self, session: &str, form: &str) {
        self.post(&format!("/c/pay/{session}"), form).await;
    }

    /// A plain form post, as a browser sends it, past everything that is disturbed.
    pub async fn post(&self, path: &str, form: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let address = self.url.trim_start_matches("http://");
        let mut stream =
            tokio::net::TcpStream::connect(address).await.expect("the stand-in listens");
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(request.as_bytes()).await.expect("a request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    /// A session of so much, with these refill terms.
    pub async fn session(&self, amount: &str, auto_refill: Option<Value>) -> String {
        let mut body = json!({"amount": amount});
        if let Some(auto_refill) = auto_refill {
            body["auto_refill"] = auto_refill;
        }
        let created = self.create(&body).await;
        assert_eq!(created.status, 201, "{created:?}");
        created.body["id"].as_str().expect("an id").to_owned()
    }

    /// The pending webhooks of Stripe.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.stand_in.due_deliveries(self.now().seconds())
    }

    pub async fn deliver(&self, delivery: &Delivery) -> Answered {
        let mut event = self.event("POST /v1/stripe/webhook").without_token().body(&delivery.body);
        for (name, value) in &delivery.headers {
            event = event.header(name, value);
        }
        let answered: Answered =
            Box::pin(stripe_webhook::handle(&self.webhook, event.request())).await.answer.into();
        self.stand_in.delivered(delivery.id, Some(answered.status));
        answered
    }

    /// Delivers all webhooks, including those that result. Returns the statuses by type.
    pub async fn deliver_all(&self) -> Vec<(String, u16, String)> {
        let mut all = Vec::new();
        loop {
            let due = self.deliveries();
            if due.is_empty() {
                return all;
            }
            for delivery in due {
                let answered = self.deliver(&delivery).await;
                let outcome =
                    answered.body["outcome"].as_str().unwrap_or(answered.code()).to_owned();
                all.push((delivery.event_type, answered.status, outcome));
            }
        }
    }

    /// Delivers everything that ever happened once more.
    pub async fn deliver_everything_again(&self) -> Vec<(String, u16, String)> {
        self.stand_in.redeliver_all();
        self.deliver_all().await
    }

    /// An event of the test's own making, signed as Stripe signs.
    pub async fn tell(&self, event: &Value) -> Answered {
        let body = event.to_string();
        let signed = signature::sign(body.as_bytes(), SECRET, self.now().seconds());
        let event = self.event("POST /v1/stripe/webhook").without_token().body(&body);
        let request = event.header("stripe-signature", &signed).request();
        Box::pin(stripe_webhook::handle(&self.webhook, request)).await.answer.into()
    }

    /// A run of auto-refill, by an event of the bus.
    ///
    /// # Errors
    /// As the function.
    pub async fn try_refill(&self) -> Result<auto_refill::RefillReport, auto_refill::RefillError> {
        self.try_refill_at(self.now()).await
    }

    /// The same, by an older event that was queued.
    ///
    /// # Errors
    /// As the function.
    pub async fn try_refill_at(
        &self,
        time: Timestamp,
    ) -> Result<auto_refill::RefillReport, auto_refill::RefillError> {
        let event = json!({
            "version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "detail-type": "BalanceLow", "source": "tollgate",
            "account": "123456789012", "time": time.to_string(), "region": "eu-west-1", "resources": [],
            "detail": {"id": "acme#3#0", "account": ACME, "seq": 3, "at": time.to_string(), "refill": "25.00"},
        });
        let trigger: AccountEvent = serde_json::from_value(event).expect("an event of the bus");
        Box::pin(auto_refill::handle(&self.refill, &trigger, DeliveryTime::at(time))).await
    }

    pub async fn refill(&self) -> auto_refill::RefillReport {
        self.try_refill().await.expect("a run of auto-refill")
    }

    /// A run of confirm-deletion, by an event of the bus.
    pub async fn confirm_deletion(&self) -> confirm_deletion::DeletionReport {
        let time = self.now();
        let event = json!({"time": time.to_string(), "detail": {"account": ACME}});
        let trigger = serde_json::from_value(event).expect("an event of the bus");
        Box::pin(confirm_deletion::handle(&self.deletion, &trigger, DeliveryTime::at(time)))
            .await
            .expect("a run of confirm-deletion")
    }

    pub async fn state(&self) -> AccountState {
        self.ledger().head(ACME).await.state
    }

    pub async fn profile(&self) -> CustomerProfile {
        self.ledger().undisturbed.customer_profile(&acme()).await.expect("a profile")
    }

    pub async fn rows(&self) -> Vec<Row> {
        let rows = self
            .ledger()
            .undisturbed
            .rows(&acme(), 0..u64::MAX, RowOrder::OldestFirst, 1_000)
            .await;
        rows.expect("rows").rows
    }

    pub async fn names(&self) -> Vec<&'static str> {
        self.rows().await.iter().map(|row| row.event.change.name()).collect()
    }

    pub async fn count(&self, name: &str) -> usize {
        self.names().await.iter().filter(|found| **found == name).count()
    }

    /// Changes the refill terms, without faults.
    pub async fn agree(&self, threshold: &str, amount: &str) {
        let account = acme();
        let terms = Some(RefillTerms::multiple(named::<Usd>(threshold), named::<Usd>(amount)));
        let change = |state: &AccountState| {
            let (card, monthly_cap) = (state.refill.card.clone(), state.refill.monthly_cap);
            Ok(Command::ChangeRefill(RefillSettings {
                terms,
                card,
                card_choice: CardChoice::Named,
                monthly_cap,
                ..RefillSettings::default()
            }))
        };
        let trigger = self.ledger().trigger(&account, self.now());
        let store = &self.ledger().undisturbed;
        store
            .execute(trigger, Cause::Command, Plan::on_state(&change))
            .await
            .expect("an agreement");
    }

    /// An account with $25 from this card, refills agreed to, and one wanted.
    pub async fn wanting(&self, card: &str) {
        let terms = json!({"enabled": true, "threshold": "5", "amount": "25"});
        let session = self.session("25.00", Some(terms)).await;
        self.pay(&session, &format!("card={card}")).await;
        self.deliver_all().await;
        assert_eq!(self.state().await.balance(), named("25"), "{:?}", self.names().await);
        self.agree("30", "25").await;
        assert!(self.state().await.refill.wanted.is_some(), "a refill is wanted");
    }

    /// Checks all invariants of the account, and compares it with Stripe: every charge is credited
    /// once.
    pub async fn check(&self) {
        let account = crate::invariants::check(self.ledger(), ACME).await;
        let credited: i64 = account
            .rows
            .iter()
            .map(|row| match &row.event.change {
                Change::Payment(PaymentChange::Credited { received_cents, .. }) => *received_cents,
                _ => 0,
            })
            .sum();
        assert_eq!(
            self.charged_cents(),
            credited,
            "what was charged is what was credited: {:?}",
            self.names().await
        );
        assert_eq!(
            self.stand_in.calls_outside(),
            [],
            "nothing was called that Stripe does not have"
        );
    }

    /// The total that Stripe received, in cents.
    pub fn charged_cents(&self) -> i64 {
        let saved = self.stand_in.save().expect("the stand-in is saved");
        let objects = saved["objects"].as_array().expect("objects");
        let charges = objects
            .iter()
            .filter(|object| object["object"] == "charge" && object["status"] == "succeeded");
        charges.map(|charge| charge["amount"].as_i64().expect("an amount")).sum()
    }

    pub fn objects(&self, kind: &str) -> Vec<Value> {
        let saved = self.stand_in.save().expect("the stand-in is saved");
        let objects = saved["objects"].as_array().expect("objects");
        objects.iter().filter(|object| object["object"] == kind).cloned().collect()
    }
}

pub fn acme() -> AccountId {
    named(ACME)
}

/// Lets a process die after each of its calls (and before the first), in a world of its own each
/// time, runs it again, and looks. Dying before a call leaves the same world behind as dying after
/// the one before it: nothing is kept in a process. Returns how many calls there were.
pub async fn die_everywhere(
    prepare: impl AsyncFn(&PaymentWorld),
    process: impl AsyncFn(&PaymentWorld),
    look: impl AsyncFn(&PaymentWorld),
) -> usize {
    die_everywhere_with(&[], prepare, process, look).await
}

/// The same with these variables set.
pub async fn die_everywhere_with(
    variables: &[(&'static str, &'static str)],
    prepare: impl AsyncFn(&PaymentWorld),
    process: impl AsyncFn(&PaymentWorld),
    look: impl AsyncFn(&PaymentWorld),
) -> usize {
    let world = PaymentWorld::with(variables).await;
    prepare(&world).await;
    let _prepared = world.faults().take_calls();
    process(&world).await;
    let calls = world.faults().take_calls().len();
    look(&world).await;
    for crash in std::iter::once(Crash::BeforeCall(1)).chain((1..=calls).map(Crash::AfterCall)) {
        let world = PaymentWorld::with(variables).await;
        prepare(&world).await;
        world.faults().crash(crash);
        let died = world.faults().until_crash(process(&world)).await;
        assert!(died.is_err(), "{crash:?}: it did not die");
        world.faults().revive();
        world.advance(180);
        process(&world).await;
        look(&world).await;
    }
    calls
}
