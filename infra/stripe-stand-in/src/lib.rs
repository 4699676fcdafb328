//! The Stripe stand-in: Stripe's HTTP API, payment page, portal and webhooks on one machine.
//!
//! It implements the endpoints of [`ENDPOINTS`] and answers everything else with Stripe's own
//! error, never with an invented success. All times come from the given clock and all IDs from a
//! seed, so that a run can be repeated.
//!
//! It does not send webhooks. The caller asks for [`StripeStandIn::due_deliveries`], sends them and
//! reports the result by [`StripeStandIn::delivered`].
//!
//! - `endpoints`: the list of imitated endpoints; `form`: Stripe's form encoding, checked against
//!   it
//! - `requests`: one call: key, idempotency, faults, expansion, lists
//! - `account`: the objects, their events, and scheduled work
//! - `customers`, `checkout`, `payments`, `invoices`, `reversals`, `portal`: Stripe's behavior
//! - `deliveries`: webhooks, their signature and their retries
//! - `pages`: the pages for a browser
//! - `serve`: requests and answers, with a socket or without; [`http`]: the listener
//! - `control`: controls for tests and demonstrations

mod account;
mod cards;
mod checkout;
mod control;
mod customers;
mod deliveries;
mod endpoints;
mod failure;
mod form;
pub mod http;
mod invoices;
mod objects;
mod pages;
mod payments;
mod portal;
mod requests;
mod reversals;
mod serve;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use account::{Account, Settings};
pub use cards::{Behavior, TEST_CARDS, TestCard};
pub use control::{
    CardRule, DebitEnd, DeliveryPlan, DisputeEnd, DisputeKind, NewDispute, NotPossible, Order,
    StripeFault, StripeFaultKind,
};
pub use deliveries::Delivery;
pub use endpoints::{AnswerShape, ENDPOINTS, Endpoint, Parameter, ParameterKind};
pub use requests::StripeCall;

/// The configuration of a stand-in.
#[derive(Clone, Debug)]
pub struct StandInConfig {
    /// The keys it takes; all others get a 401.
    pub secret_keys: Vec<String>,
    /// Where browsers reach it, without a slash at the end: `http://127.0.0.1:8081`.
    pub public_url: String,
    /// The version written into events and answered if a call names none.
    pub api_version: String,
    /// The seed of all IDs.
    pub seed: u64,
    /// Automatic tax, in hundredths of a percent; 0 means that tax is not set up.
    pub tax_basis_points: i64,
    /// After how many seconds a bank debit is answered; `None` means only by
    /// [`StripeStandIn::resolve_debit`].
    pub bank_debit_seconds: Option<i64>,
    /// After how many seconds a refund of the cards for that succeeds or fails.
    pub refund_seconds: i64,
}

impl Default for StandInConfig {
    fn default() -> Self {
        Self {
            secret_keys: vec!["sk_test_local".to_owned()],
            public_url: "http://127.0.0.1:8081".to_owned(),
            api_version: "2026-08-26.dahlia".to_owned(),
            seed: 1,
            tax_basis_points: 0,
            bank_debit_seconds: None,
            refund_seconds: 60,
        }
    }
}

/// A stand-in. Clones share all state.
#[derive(Clone)]
pub struct StripeStandIn {
    account: Arc<Mutex<Account>>,
    config: Arc<StandInConfig>,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    release: Arc<watch::Sender<u64>>,
}

impl fmt::Debug for StripeStandIn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StripeStandIn")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl StripeStandIn {
    /// An empty account. `clock` gives Unix seconds.
    pub fn new(config: StandInConfig, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self::with_account(Account::default(), config, clock)
    }

    /// The account that [`Self::save`] wrote, with its calls, keys and deliveries.
    ///
    /// # Errors
    /// If `saved` is something else.
    pub fn load(
        saved: Value,
        config: StandInConfig,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Result<Self, serde_json::Error> {
        let account: Account = serde_json::from_value(saved)?;
        Ok(Self::with_account(account, config, clock))
    }

    fn with_account(
        mut account: Account,
        config: StandInConfig,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Self {
        if account.is_empty() {
            account.seed = config.seed;
        }
        account.settings = Settings {
            public_url: config.public_url.clone(),
            api_version: config.api_version.clone(),
            tax_basis_points: config.tax_basis_points,
            bank_debit_seconds: config.bank_debit_seconds,
            refund_seconds: config.refund_seconds,
        };
        account.serve_from(&config.public_url);
        account.reindex();
        account.forget_unfinished();
        account.forget_sent();
        Self {
            account: Arc::new(Mutex::new(account)),
            config: Arc::new(config),
            clock: Arc::new(clock),
            release: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Everything that is to be kept between runs.
    ///
    /// # Errors
    /// Never in practice: all of it is plain JSON.
    pub fn save(&self) -> Result<Value, serde_json::Error> {
        self.with(|account| serde_json::to_value(&*account))
    }

    /// The deliveries that are due. Each is handed out once, until [`Self::delivered`] reports its
    /// outcome.
    #[must_use]
    pub fn due_deliveries(&self, now: i64) -> Vec<Delivery> {
        self.at(now, Account::due)
    }

    /// Records the outcome of a delivery: the status of the answer, or `None` without an answer. A
    /// failed delivery is due again after five minutes, then after growing pauses, for three days.
    pub fn delivered(&self, id: u64, status: Option<u16>) {
        self.with(|account| account.delivered(id, status));
    }

    /// When something happens next on its own: a delivery, an expiry, a bank's answer. Unix
    /// seconds.
    #[must_use]
    pub fn next_due(&self) -> Option<i64> {
        self.with(|account| {
            let agenda = account.agenda.first().map(|(at, _, _)| *at);
            [agenda, account.next_delivery()].into_iter().flatten().min()
        })
    }

    /// Runs the work that is due until `now`, without a call: sessions expire, banks answer.
    pub fn settle(&self, now: i64) {
        self.at(now, |_| ());
    }

    /// Any object as Stripe would answer it, for tests.
    #[must_use]
    pub fn object(&self, id: &str) -> Option<Value> {
        self.with(|account| account.get(id).cloned())
    }

    /// Works on the account at the clock's time.
    fn with<T>(&self, work: impl FnOnce(&mut Account) -> T) -> T {
        self.at((self.clock)(), work)
    }

    fn at<T>(&self, now: i64, work: impl FnOnce(&mut Account) -> T) -> T {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.settle(now);
        work(&mut account)
    }
}
