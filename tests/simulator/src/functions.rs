//! The functions as they are deployed: their handlers, each called in a process that may die.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_types::SdkConfig;
use serde_json::{Value, json};
use tollgate::domain::timestamp::Timestamp;
use tollgate::runtime::account_event::AccountEvent;
use tollgate::runtime::billing::Billing;
use tollgate::runtime::bus::Bus;
use tollgate::runtime::delivery::DeliveryTime;
use tollgate::runtime::settings::Settings;
use tollgate::store::{Store, TableNames};
use tollgate::stripe::{OnDemand, RetryPolicy, Stripe, StripeSettings};
use tollgate_tests::api::{Answered, ApiEvent};
use tollgate_tests::ledger::{PLATFORM_CLIENT, STAFF_CLIENT, TOKEN_ISSUER};

use crate::chance::Chance;
use crate::faults::Outlook;
use crate::network::{BUS_URL, DYNAMODB_URL, Died, STRIPE_URL, SimulatedNetwork, invoke};

/// The table of rows.
pub const LEDGER: &str = "ledger";
/// The table of everything that changes.
pub const ACCOUNTS: &str = "accounts";
/// The secret that webhooks are signed with.
pub const WEBHOOK_SECRET: &str = "whsec_simulated";

/// Processes that are kept between calls.
const IDLE_MAX: usize = 3;
/// Calls that start a process although one is idle, in a thousand.
const COLD_STARTS: u32 = 20;
/// The timeout of a function in the template, unless it has its own.
const API_TIMEOUT: Duration = Duration::from_secs(29);

/// How an installation is configured, and how far its deployment is.
#[derive(Clone, Debug)]
pub struct InstallationSettings {
    /// Row formats that processes write, one of them each.
    pub formats: Vec<u8>,
    /// `STRIPE_PAYMENT_METHODS`.
    pub payment_methods: &'static str,
    /// `STRIPE_INVOICES`.
    pub invoices: &'static str,
    /// `TRIAL_SECONDS`.
    pub trial_seconds: &'static str,
}

impl InstallationSettings {
    /// Settings that differ from run to run.
    #[must_use]
    pub fn drawn(chance: &Chance) -> Self {
        Self {
            formats: chance.pick(&[vec![6], vec![6], vec![5, 6]]).clone(),
            payment_methods: *chance.pick(&["card", "card,us_bank_account"]),
            invoices: *chance.pick(&["on", "on", "off"]),
            trial_seconds: *chance.pick(&["259200", "36000"]),
        }
    }
}

/// All functions. Clones share their processes.
#[derive(Clone)]
pub struct Functions {
    network: SimulatedNetwork,
    chance: Chance,
    settings: Rc<InstallationSettings>,
    /// Processes that wait for an invocation.
    idle: Rc<RefCell<Vec<FunctionProcess>>>,
    /// Whether all processes write the newest row format from now on.
    is_updated: Rc<Cell<bool>>,
}

/// A process of each function. What it cached is lost when it dies.
struct FunctionProcess {
    /// The row format that it writes.
    format: u8,
    resources: Billing,
    account: account::AccountClients,
    admin: admin::AdminClients,
    checkout: checkout::CheckoutClients,
    webhook: stripe_webhook::WebhookClients,
    refill: auto_refill::RefillClients,
    deletion: confirm_deletion::DeletionClients,
    debit: hourly_debit::DebitClients,
    due: settle_due::SettleDueClients,
    publish: publish::PublishClients,
}

impl Functions {
    #[must_use]
    pub fn new(network: SimulatedNetwork, chance: Chance, settings: InstallationSettings) -> Self {
        let (idle, is_updated) = (Rc::default(), Rc::default());
        Self { network, chance, settings: Rc::new(settings), idle, is_updated }
    }

    /// The update is over: processes that write an older row format are not used again.
    pub fn finish_update(&self) {
        self.is_updated.set(true);
        self.idle.borrow_mut().retain(|process| self.is_usable(process));
    }

    fn is_usable(&self, process: &FunctionProcess) -> bool {
        !self.is_updated.get() || Some(&process.format) == self.settings.formats.iter().max()
    }

    fn start(&self) -> FunctionProcess {
        let drawn = *self.chance.pick(&self.settings.formats);
        let newest = self.settings.formats.iter().copied().max();
        let format = newest.filter(|_| self.is_updated.get()).unwrap_or(drawn);
        let variable = |name: &'static str| match name {
            "LEDGER_TABLE" => Some(LEDGER.to_owned()),
            "ACCOUNTS_TABLE" => Some(ACCOUNTS.to_owned()),
            "TOKEN_ISSUER" => Some(TOKEN_ISSUER.to_owned()),
            "STAFF_CLIENTS" => Some(STAFF_CLIENT.to_owned()),
            "PLATFORM_CLIENTS" => Some(PLATFORM_CLIENT.to_owned()),
            "BILLING_URL" => Some("https://billing.example/".to_owned()),
            "STRIPE_SECRET_KEY" => Some("sk_test_local".to_owned()),
            "STRIPE_API_BASE" => Some(STRIPE_URL.to_owned()),
            "STRIPE_WEBHOOK_SECRETS" => Some(WEBHOOK_SECRET.to_owned()),
            "STRIPE_PAYMENT_METHODS" => Some(self.settings.payment_methods.to_owned()),
            "STRIPE_INVOICES" => Some(self.settings.invoices.to_owned()),
            "TRIAL_SECONDS" => Some(self.settings.trial_seconds.to_owned()),
            "ROW_FORMAT" => Some(format.to_string()),
            _ => None,
        };
        let aws = self.aws();
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(&aws)
            .endpoint_url(DYNAMODB_URL)
            .retry_partition(own_retries())
            .build();
        let events = aws_sdk_eventbridge::config::Builder::from(&aws)
            .endpoint_url(BUS_URL)
            .retry_partition(own_retries())
            .build();
        let store = Store::new(
            aws_sdk_dynamodb::Client::from_conf(dynamodb),
            TableNames { ledger: LEDGER.to_owned(), accounts: ACCOUNTS.to_owned() },
        );
        let bus = Bus::new(aws_sdk_eventbridge::Client::from_conf(events), "bus".to_owned());
        let billing = || {
            Billing::new(store.clone(), Settings::read(variable).expect("the settings are valid"))
        };
        let stripe = || -> OnDemand {
            let settings = StripeSettings::read(variable).expect("the settings are valid");
            let connector = SharedHttpConnector::new(self.network.clone());
            Stripe::over(connector, settings, RetryPolicy::default()).into()
        };
        FunctionProcess {
            format,
            resources: billing(),
            account: account::AccountClients { billing: billing(), stripe: stripe() },
            admin: admin::AdminClients { billing: billing(), stripe: stripe(), bus: None },
            checkout: checkout::CheckoutClients { billing: billing(), stripe: stripe() },
            webhook: stripe_webhook::WebhookClients { billing: billing(), stripe: stripe() },
            refill: auto_refill::RefillClients { billing: billing(), stripe: stripe() },
            deletion: confirm_deletion::DeletionClients { billing: billing(), stripe: stripe() },
            debit: hourly_debit::DebitClients {
                billing: billing(),
                bus: bus.clone(),
                budget: hourly_debit::BUDGET,
            },
            due: settle_due::SettleDueClients {
                billing: billing(),
                bus: bus.clone(),
                budget: settle_due::BUDGET,
            },
            publish: publish::PublishClients { billing: billing(), bus },
        }
    }

    /// What the SDKs' clients of a process have in common, as `runtime/aws.rs` makes it.
    fn aws(&self) -> SdkConfig {
        let credentials = Credentials::new("test", "test", None, None, "simulator");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(self.network.client())
            .sleep_impl(TokioSleep::new())
            .timeout_config(tollgate::runtime::aws::timeouts())
            .retry_config(RetryConfig::standard())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build()
    }

    /// Runs a handler in a process that does nothing else meanwhile. A process that dies is not
    /// used again.
    async fn run<T>(
        &self,
        function: &'static str,
        timeout: Duration,
        handler: impl AsyncFnOnce(&FunctionProcess) -> T,
    ) -> Result<T, Died> {
        let process = self.take_idle().unwrap_or_else(|| self.start());
        // The type ends here: handlers are many futures deep.
        let handler: Pin<Box<dyn Future<Output = T> + '_>> = Box::pin(handler(&process));
        let life = self.network.parts().weather.short_life(function);
        let done = invoke(function, life.unwrap_or(timeout), handler).await?;
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX && self.is_usable(&process) {
            idle.push(process);
        }
        Ok(done)
    }

    fn take_idle(&self) -> Option<FunctionProcess> {
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() || self.chance.happens(COLD_STARTS) {
            return None;
        }
        let last = u64::try_from(idle.len() - 1).unwrap_or_default();
        let place = usize::try_from(self.chance.number(..=last)).unwrap_or_default();
        Some(idle.swap_remove(place))
    }

    /// A request to the HTTP API.
    ///
    /// # Errors
    /// [`Died`], which API Gateway answers with 500 or 503.
    pub async fn api(&self, route: &str, event: &ApiEvent) -> Result<Answered, Died> {
        let request = event.request();
        let path = route.split_once(' ').map_or(route, |(_, path)| path);
        let function = function_of(path);
        let outlook = self.network.parts().weather.outlook();
        let answered = self
            .run(function, API_TIMEOUT, async |process| {
                Answered::from(match function {
                    "checkout" => checkout::handle(&process.checkout, request).await,
                    "stripe-webhook" => {
                        stripe_webhook::handle(&process.webhook, request).await.answer
                    }
                    "admin" => admin::handle(&process.admin, request).await,
                    "resources" => resources::handle(&process.resources, request).await,
                    "usage" => usage::handle(&process.resources, request).await,
                    _ => account::handle(&process.account, request).await,
                })
            })
            .await;
        let is_refused = |answered: &Answered| {
            // Processes of the release before make no holds while an update is under way.
            let is_update = answered.body["detail"].as_str().is_some_and(is_of_update);
            (answered.status >= 500 && !is_update)
                || (function == "stripe-webhook" && answered.status >= 300)
        };
        let failure = match &answered {
            Ok(answered) if is_refused(answered) => Some(answered.body.to_string()),
            Ok(_) => None,
            Err(died) => Some(format!("{died:?}")),
        };
        self.expect_success(outlook, route, failure);
        answered
    }

    /// While nothing goes wrong on the way, no function fails.
    fn expect_success(&self, outlook: Outlook, what: &str, failure: Option<String>) {
        if let Some(failure) = failure.filter(|_| outlook == Outlook::Calm) {
            self.network.parts().journal.violate(format!("{what} fails in the quiet: {failure}"));
        }
    }

    /// The hourly schedule.
    ///
    /// # Errors
    /// [`Died`], and the function's own failure as text.
    pub async fn hourly_start(&self, time: &str, delivered: Timestamp) -> Result<(), String> {
        let trigger = serde_json::from_value(json!({"time": time})).expect("a trigger");
        self.debit(trigger, delivered).await.map(|_| ())
    }

    /// A batch of the queue of slices. The IDs of the messages that must be delivered again.
    ///
    /// # Errors
    /// As [`Functions::hourly_start`].
    pub async fn hourly_batch(
        &self,
        messages: &[(String, String)],
        delivered: Timestamp,
    ) -> Result<Vec<String>, String> {
        let records: Vec<Value> =
            messages.iter().map(|(id, body)| json!({"messageId": id, "body": body})).collect();
        let trigger = serde_json::from_value(json!({"Records": records})).expect("a trigger");
        let outlook = self.network.parts().weather.outlook();
        let hourly_debit::DebitOutcome::Worked(worked) = self.debit(trigger, delivered).await?
        else {
            return Ok(Vec::new());
        };
        let failed = worked.batch_item_failures.iter();
        let failed: Vec<String> = failed.map(|failure| failure.item_identifier.clone()).collect();
        let failure = (!failed.is_empty()).then(|| format!("{failed:?}"));
        self.expect_success(outlook, "a slice", failure);
        Ok(failed)
    }

    async fn debit(
        &self,
        trigger: hourly_debit::DebitTrigger,
        delivered: Timestamp,
    ) -> Result<hourly_debit::DebitOutcome, String> {
        let delivered = DeliveryTime::at(delivered);
        let outlook = self.network.parts().weather.outlook();
        let run = self.run("hourly-debit", hourly_debit::TIMEOUT, async |process| {
            hourly_debit::handle(&process.debit, trigger, delivered).await
        });
        let done = finished(run.await);
        self.expect_success(outlook, "hourly-debit", done.as_ref().err().cloned());
        done
    }

    /// The schedule of each minute.
    ///
    /// # Errors
    /// As [`Functions::hourly_start`].
    pub async fn minute(&self, time: &str, delivered: Timestamp) -> Result<(), String> {
        let trigger = settle_due::MinuteTrigger { time: time.to_owned() };
        let delivered = DeliveryTime::at(delivered);
        let outlook = self.network.parts().weather.outlook();
        let run = self.run("settle-due", settle_due::TIMEOUT, async |process| {
            settle_due::handle(&process.due, &trigger, delivered).await
        });
        let done = finished(run.await);
        let failure = match &done {
            Ok(report) if report.settled.failed.is_empty() => None,
            Ok(report) => Some(format!("{:?}", report.settled.failed)),
            Err(error) => Some(error.clone()),
        };
        self.expect_success(outlook, "settle-due", failure);
        done.map(|_| ())
    }

    /// An event of the bus for `auto-refill`.
    ///
    /// # Errors
    /// As [`Functions::hourly_start`].
    pub async fn refill(
        &self,
        account: &str,
        time: &str,
        delivered: Timestamp,
    ) -> Result<Vec<String>, String> {
        let event = json!({"time": time, "detail": {"account": account}});
        let trigger: AccountEvent = serde_json::from_value(event).expect("a trigger");
        let delivered = DeliveryTime::at(delivered);
        let outlook = self.network.parts().weather.outlook();
        let run = self.run("auto-refill", auto_refill::TIMEOUT, async |process| {
            auto_refill::handle(&process.refill, &trigger, delivered).await
        });
        let done = finished(run.await);
        self.expect_success(outlook, "auto-refill", done.as_ref().err().cloned());
        let report = done?;
        if report.stuck > 0 {
            self.network.parts().journal.reach("refill that needs staff");
        }
        Ok(report.steps)
    }

    /// An event of the bus for `confirm-deletion`.
    ///
    /// # Errors
    /// As [`Functions::hourly_start`].
    pub async fn confirm_deletion(
        &self,
        account: &str,
        time: &str,
        delivered: Timestamp,
    ) -> Result<String, String> {
        let event = json!({"time": time, "detail": {"account": account}});
        let trigger: AccountEvent = serde_json::from_value(event).expect("a trigger");
        let delivered = DeliveryTime::at(delivered);
        let outlook = self.network.parts().weather.outlook();
        let run = self.run("confirm-deletion", confirm_deletion::TIMEOUT, async |process| {
            confirm_deletion::handle(&process.deletion, &trigger, delivered).await
        });
        let done = finished(run.await);
        self.expect_success(outlook, "confirm-deletion", done.as_ref().err().cloned());
        let report = done?;
        self.network.parts().journal.reach(match &report {
            confirm_deletion::DeletionReport::NothingToDo => "deletion that is not due".to_owned(),
            confirm_deletion::DeletionReport::Deleted => "deletion confirmed".to_owned(),
            confirm_deletion::DeletionReport::Paid => "deletion ended by a payment".to_owned(),
            confirm_deletion::DeletionReport::Waits { why, .. } => {
                format!("deletion that waits: {}", why.split(':').next().unwrap_or_default())
            }
        });
        Ok(format!("{report:?}"))
    }

    /// A batch of the ledger's stream. The number of the first record that was not published.
    ///
    /// # Errors
    /// [`Died`] as text: the whole batch is delivered again.
    pub async fn publish(&self, records: &[Value]) -> Result<Option<String>, String> {
        let batch = serde_json::from_value(json!({"Records": records})).expect("a batch");
        let outlook = self.network.parts().weather.outlook();
        let run = self.run("publish", API_TIMEOUT, async |process| {
            publish::handle(&process.publish, batch).await
        });
        let answered = run.await.map_err(|died| format!("{died:?}"));
        let failed = answered.map(|answered| {
            answered.batch_item_failures.first().map(|failure| failure.item_identifier.clone())
        });
        let failure = (failed != Ok(None)).then(|| format!("{failed:?}"));
        self.expect_success(outlook, "publish", failure);
        failed
    }
}

/// Retries are limited by a budget that all clients of an operating-system process share by default.
/// Here each client has its own, so that no run changes another.
fn own_retries() -> RetryPartition {
    RetryPartition::custom("simulator").token_bucket(TokenBucket::default()).build()
}

/// Beginnings of the paths of `resources`.
const OF_RESOURCES: [&str; 7] = [
    "/v1/projects",
    "/v1/platform",
    "/v1/prices",
    "/v1/account/returning",
    "/v1/account/start",
    "/v1/account/stop",
    "/v1/account/restore",
];

/// Beginnings of the paths of `usage`.
const OF_USAGE: [&str; 3] = ["/v1/usage", "/v1/holds", "/v1/allowance"];

/// The function that has this route in the template.
fn function_of(path: &str) -> &'static str {
    let is = |prefix: &str| path.starts_with(prefix);
    if ["/v1/checkout-sessions", "/v1/commit-plans", "/v1/trial"].into_iter().any(is) {
        "checkout"
    } else if is("/v1/stripe/webhook") {
        "stripe-webhook"
    } else if is("/v1/admin") {
        "admin"
    } else if OF_USAGE.into_iter().any(is) {
        "usage"
    } else if OF_RESOURCES.into_iter().any(is) {
        "resources"
    } else {
        "account"
    }
}

fn finished<T, E: std::fmt::Display>(run: Result<Result<T, E>, Died>) -> Result<T, String> {
    match run {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(died) => Err(format!("{died:?}")),
    }
}

fn is_of_update(detail: &str) -> bool {
    detail.contains("the service is being updated")
}
