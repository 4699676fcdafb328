//! Stripe: the only module (with the edge of the webhook) that knows Stripe's names. Inward there are our own types.
//!
//! # How Stripe is asked
//!
//! [`Stripe`] makes the calls that the product needs, and no others. `async-stripe` writes the requests; they are sent
//! over one pooled HTTP client, the one of the AWS SDK, so that a function has one TLS stack: with a timeout, our own
//! idempotency keys, and a bounded number of repetitions ([`Connection`]). The answers are read with our own types
//! ([`objects`]), which ask for nothing but what is used: an answer of a newer shape must not lose a payment that was
//! made. Every error is one of [`StripeError`]; above all, whether the same call may simply be sent again
//! ([`StripeError::Unavailable`]) or whether what happened must be found out by looking
//! ([`StripeError::Unresolved`]: Stripe returns a stored 500 under its key for ever).
//!
//! # What Stripe tells
//!
//! [`signature`] verifies, [`event`] says what an event means to us. [`payments`] records it: money in, money back, cards.
//! [`attempt`] drives one refill through its steps, or finds out by looking how far it came. [`said`] passes on what Stripe says
//! of an object, for support.
//!
//! Checked against Stripe's own OpenAPI of version [`API_VERSION`].

pub mod attempt;
pub mod calls;
pub mod cards;
pub mod company;
mod connection;
pub mod decline;
mod error;
pub mod event;
pub mod keys;
pub mod metadata;
pub mod objects;
mod own_cards;
mod page_calls;
pub mod payments;
pub mod said;
pub mod settings;
pub mod signature;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};

pub use connection::{Connection, Patience};
pub use error::{Declined, Rejection, StripeError};
pub use own_cards::CardAsked;
pub use settings::StripeSettings;

/// The version of Stripe's API that every call asks for, whatever the account's default is.
pub const API_VERSION: &str = "2026-08-26.dahlia";

/// How long Stripe may take to be connected, in seconds.
const CONNECT_SECONDS: u64 = 4;
/// How long one call may take, in seconds: a charge off session asks the card's bank, which may need twenty.
const READ_SECONDS: u64 = 25;

/// Stripe, as the product needs it. Clones share connections.
#[derive(Clone, Debug)]
pub struct Stripe {
    connection: Connection,
    settings: Arc<StripeSettings>,
}

impl Stripe {
    /// Stripe, reached over the SDK's own HTTP client.
    ///
    /// # Errors
    /// If this binary was built without that client (a mistake in its features).
    pub fn new(settings: StripeSettings) -> Result<Stripe, NoHttpClient> {
        let timeouts = HttpConnectorSettings::builder()
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS))
            .read_timeout(Duration::from_secs(READ_SECONDS))
            .build();
        let sleep = aws_smithy_async::rt::sleep::default_async_sleep();
        let connector = aws_smithy_http_client::default_connector(&timeouts, sleep).ok_or(NoHttpClient)?;
        Ok(Stripe::over(connector, settings, Patience::default()))
    }

    /// The same over another HTTP client.
    #[must_use]
    pub fn over(connector: SharedHttpConnector, settings: StripeSettings, patience: Patience) -> Stripe {
        let connection = Connection::new(connector, &settings.api_base, &settings.secret_key, patience);
        Stripe { connection, settings: Arc::new(settings) }
    }

    /// What the operator set.
    #[must_use]
    pub fn settings(&self) -> &StripeSettings {
        &self.settings
    }
}

/// Stripe, made when it is first needed: a function of which few routes need it starts without it.
#[derive(Debug)]
pub struct OnDemand {
    settings: Arc<StripeSettings>,
    made: OnceLock<Stripe>,
}

impl OnDemand {
    /// With what the operator set, which is read when the function starts: a mistake in it should show then.
    #[must_use]
    pub fn new(settings: StripeSettings) -> OnDemand {
        OnDemand { settings: Arc::new(settings), made: OnceLock::new() }
    }

    /// Stripe.
    ///
    /// # Errors
    /// As [`Stripe::new`].
    pub fn get(&self) -> Result<&Stripe, NoHttpClient> {
        match self.made.get() {
            Some(stripe) => Ok(stripe),
            None => {
                let stripe = Stripe::new(StripeSettings::clone(&self.settings))?;
                Ok(self.made.get_or_init(|| stripe))
            }
        }
    }
}

impl From<Stripe> for OnDemand {
    fn from(stripe: Stripe) -> OnDemand {
        OnDemand { settings: Arc::clone(&stripe.settings), made: OnceLock::from(stripe) }
    }
}

/// This binary has no HTTP client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this binary was built without an HTTP client")]
pub struct NoHttpClient;
