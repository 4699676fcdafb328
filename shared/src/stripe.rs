//! Stripe: the only module (with the edge of the webhook) that knows Stripe's names. Inward there
//! are our own types.
//!
//! # How Stripe is asked
//!
//! [`Stripe`] makes the calls that the product needs, and no others. `async-stripe` writes the
//! requests; they are sent over one pooled HTTP client, the one of the AWS SDK, so that a function
//! has one TLS stack: with a timeout, our own idempotency keys, and a bounded number of repetitions
//! ([`StripeConnection`]). The answers are read with our own types ([`objects`]), which ask for nothing
//! but what is used: an answer of a newer shape must not lose a payment that was made. Every error
//! is one of [`StripeError`]; above all, whether the same call may simply be sent again
//! ([`StripeError::Unavailable`]) or whether what happened must be found out by looking
//! ([`StripeError::Unresolved`]: Stripe returns a stored 500 under its key for ever).
//!
//! The key and the webhooks' secrets are in Secrets Manager ([`secret`]), and are read again when
//! they were replaced.
//!
//! # What Stripe tells
//!
//! [`signature`] verifies, and [`webhook_event`] says what an event means to us.
//! [`payments`](crate::payments) records it: money in, money back, refills, cards. [`inspect`]
//! returns what Stripe says of an object, for support. [`setup`] is what must be there before any
//! of this works.
//!
//! Checked against Stripe's own OpenAPI of version [`API_VERSION`].

pub mod calls;
mod connection;
pub(crate) mod error;
mod error_chain;
pub mod inspect;
pub mod keys;
pub mod metadata;
pub mod objects;
pub mod secret;
pub mod settings;
pub mod setup;
pub mod signature;
pub mod webhook_event;

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use aws_types::SdkConfig;
use tokio::sync::OnceCell;

pub use connection::{RetryPolicy, StripeConnection};
pub use error::{DeclinedCharge, StripeError, StripeRejection};
pub use secret::StripeMode;
pub use settings::StripeSettings;

use crate::runtime::aws::connector_to_anybody;
use crate::runtime::settings::SettingsError;
use secret::{Keyring, SecretError, SecretVault, StripeSecret};

/// The version of Stripe's API that every call asks for, whatever the account's default is.
pub const API_VERSION: &str = "2026-08-26.dahlia";

/// How long Stripe may take to be connected, in seconds.
const CONNECT_SECONDS: u64 = 4;
/// How long one call may take, in seconds: a charge off session asks the card's bank, which may
/// need twenty.
const READ_SECONDS: u64 = 25;

/// Stripe, as the product needs it. Clones share connections.
#[derive(Clone, Debug)]
pub struct Stripe {
    connection: StripeConnection,
    settings: Arc<StripeSettings>,
    keyring: Arc<Keyring>,
}

impl Stripe {
    /// Stripe, reached over the SDK's own HTTP client.
    ///
    /// # Errors
    /// If this binary was built without that client (a mistake in its features).
    pub fn new(settings: StripeSettings) -> Result<Stripe, StripeStartError> {
        Ok(Stripe::over(connector()?, settings, RetryPolicy::default()))
    }

    /// The same over another HTTP client.
    #[must_use]
    pub fn over(
        connector: SharedHttpConnector,
        settings: StripeSettings,
        patience: RetryPolicy,
    ) -> Stripe {
        let keyring = Keyring::given(settings.secret.clone());
        Stripe::with(connector, settings, patience, keyring)
    }

    /// The same with a secret that can be read again.
    #[must_use]
    pub fn with(
        connector: SharedHttpConnector,
        settings: StripeSettings,
        patience: RetryPolicy,
        keyring: Keyring,
    ) -> Stripe {
        let keyring = Arc::new(keyring);
        let connection =
            StripeConnection::new(connector, &settings.api_base, Arc::clone(&keyring), patience);
        Stripe { connection, settings: Arc::new(settings), keyring }
    }

    /// What the operator set.
    #[must_use]
    pub fn settings(&self) -> &StripeSettings {
        &self.settings
    }

    /// Whether money is real: what the key says. An event of the other mode is never credited.
    #[must_use]
    pub fn mode(&self) -> StripeMode {
        self.settings.secret.mode()
    }

    /// The secret as it was last read.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }
}

/// Stripe, made when it is first needed: a function starts without its secret, and without the
/// certificates by which Stripe is known.
#[derive(Debug)]
pub struct OnDemand {
    source: Source,
    made: OnceCell<Stripe>,
}

/// What Stripe is made from.
#[derive(Debug)]
enum Source {
    Given(Box<StripeSettings>),
    /// The settings lack only the secret, which is here.
    Kept(Box<StripeSettings>, Box<SecretVault>),
}

impl OnDemand {
    /// With what the operator set.
    #[must_use]
    pub fn new(settings: StripeSettings) -> OnDemand {
        OnDemand { source: Source::Given(Box::new(settings)), made: OnceCell::new() }
    }

    /// With what the process's environment says, which is read now: a mistake in it should show
    /// when a function starts. The secret is not.
    ///
    /// # Errors
    /// [`SettingsError`], naming the variable.
    pub fn from_environment(aws: &SdkConfig) -> Result<OnDemand, SettingsError> {
        OnDemand::read(aws, |variable| std::env::var(variable).ok())
    }

    /// The same from anything that maps variables to values.
    ///
    /// # Errors
    /// [`SettingsError`], naming the variable.
    pub fn read(
        aws: &SdkConfig,
        value_of: impl Fn(&'static str) -> Option<String>,
    ) -> Result<OnDemand, SettingsError> {
        if let Some(secret) = StripeSecret::of_variables(&value_of)? {
            return Ok(OnDemand::new(StripeSettings::with(secret, value_of)?));
        }
        let arn = value_of("STRIPE_SECRET_ARN").filter(|arn| !arn.trim().is_empty());
        let arn = arn.ok_or(SettingsError::Missing("STRIPE_SECRET_ARN (or STRIPE_SECRET_KEY)"))?;
        let settings = StripeSettings::with(StripeSecret::unread(), value_of)?;
        let vault = Box::new(SecretVault::new(aws.clone(), arn.trim()));
        Ok(OnDemand { source: Source::Kept(Box::new(settings), vault), made: OnceCell::new() })
    }

    /// Stripe. What fails is tried again when it is needed again.
    ///
    /// # Errors
    /// [`StripeStartError`]
    pub async fn get(&self) -> Result<&Stripe, StripeStartError> {
        let make = async || match &self.source {
            Source::Given(settings) => Stripe::new(StripeSettings::clone(settings)),
            Source::Kept(settings, vault) => {
                let secret = vault.read().await?;
                let settings =
                    StripeSettings { secret: secret.clone(), ..StripeSettings::clone(settings) };
                let keyring = Keyring::kept(secret, SecretVault::clone(vault));
                Ok(Stripe::with(connector()?, settings, RetryPolicy::default(), keyring))
            }
        };
        self.made.get_or_try_init(make).await
    }
}

impl From<Stripe> for OnDemand {
    fn from(stripe: Stripe) -> OnDemand {
        let settings = StripeSettings::clone(&stripe.settings);
        OnDemand {
            source: Source::Given(Box::new(settings)),
            made: OnceCell::new_with(Some(stripe)),
        }
    }
}

fn connector() -> Result<SharedHttpConnector, SettingsError> {
    let timeouts = HttpConnectorSettings::builder()
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS))
        .read_timeout(Duration::from_secs(READ_SECONDS))
        .build();
    connector_to_anybody(timeouts)
}

/// Why there is no Stripe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripeStartError {
    /// A variable is missing or cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The secret cannot be read or used.
    #[error(transparent)]
    Secret(#[from] SecretError),
}
