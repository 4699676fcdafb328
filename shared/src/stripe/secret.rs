//! Stripe's key, and what webhooks are signed with.
//!
//! A deployment keeps both in one secret of AWS Secrets Manager, whose ARN is in
//! `STRIPE_SECRET_ARN`, so that neither the template nor a function's configuration shows them:
//!
//! ```json
//! {"secret_key": "rk_live_…", "webhook_secrets": ["whsec_…"]}
//! ```
//!
//! Tests, and whoever hosts Tollgate differently, set `STRIPE_SECRET_KEY` and
//! `STRIPE_WEBHOOK_SECRETS` instead; they win.
//!
//! What is replaced in Secrets Manager is picked up without a deployment ([`Keyring`]): when Stripe
//! does not take the key, and when a webhook fits none of the secrets. Nothing here shows a secret,
//! in an error or in `Debug`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_secretsmanager::Client;
use aws_types::SdkConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::error_chain::chain;
use crate::domain::timestamp::{MINUTE, Timestamp};
use crate::runtime::settings::SettingsError;

/// Whether money is real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StripeMode {
    Test,
    Live,
}

impl StripeMode {
    /// What `livemode` Stripe's objects have in it.
    #[must_use]
    pub fn livemode(self) -> bool {
        self == StripeMode::Live
    }
}

/// How old a copy of the secret must be before a webhook that fits none of its secrets has it read
/// again: anybody can send such a webhook.
const COPY_SECONDS: i64 = MINUTE;

/// Stripe's key, and what webhooks are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct StripeSecret {
    key: String,
    webhook_secrets: Vec<String>,
    mode: StripeMode,
}

/// Why a secret is of no use. It never says what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager did not give it.
    #[error(
        "the secret {arn} (STRIPE_SECRET_ARN) cannot be read: {why}. The secret must exist, and the function's role needs \
         secretsmanager:GetSecretValue on it"
    )]
    Unreadable { arn: String, why: String },
    /// It is not what it should be.
    #[error(
        "the secret {arn} (STRIPE_SECRET_ARN) cannot be used: {why}. It must be \
         {{\"secret_key\": \"sk_… or rk_…\", \"webhook_secrets\": [\"whsec_…\"]}}"
    )]
    Unusable { arn: String, why: String },
}

impl StripeSecret {
    /// A secret or restricted key (`sk_…`, `rk_…`), and what webhooks are signed with (`whsec_…`).
    ///
    /// # Errors
    /// What is wrong with the key, without it.
    pub fn new(key: String, webhook_secrets: Vec<String>) -> Result<StripeSecret, &'static str> {
        let is_secret = key.starts_with("sk_") || key.starts_with("rk_");
        let kind =
            key.split_once('_').filter(|_| is_secret).map(|(_, rest)| rest.starts_with("live_"));
        let is_live = kind.ok_or("a secret key starts with sk_ or rk_")?;
        let mode = if is_live { StripeMode::Live } else { StripeMode::Test };
        Ok(StripeSecret { key, webhook_secrets, mode })
    }

    /// From `STRIPE_SECRET_KEY` and `STRIPE_WEBHOOK_SECRETS` (separated by commas); none if the key
    /// is not set.
    ///
    /// # Errors
    /// [`SettingsError`], naming the variable.
    pub fn of_variables(
        value_of: &impl Fn(&'static str) -> Option<String>,
    ) -> Result<Option<StripeSecret>, SettingsError> {
        let Some(key) = value_of("STRIPE_SECRET_KEY").filter(|key| !key.trim().is_empty()) else {
            return Ok(None);
        };
        let list = value_of("STRIPE_WEBHOOK_SECRETS").unwrap_or_default();
        let webhooks =
            list.split(',').map(str::trim).filter(|secret| !secret.is_empty()).map(str::to_owned);
        let secret = StripeSecret::new(key.trim().to_owned(), webhooks.collect());
        let unusable = |why: &str| SettingsError::Unusable {
            variable: "STRIPE_SECRET_KEY",
            why: why.to_owned(),
        };
        secret.map(Some).map_err(unusable)
    }

    /// What stands in for one that is not read yet.
    pub(super) fn unread() -> StripeSecret {
        StripeSecret { key: String::new(), webhook_secrets: Vec::new(), mode: StripeMode::Test }
    }

    /// Whether money is real: what the key says.
    #[must_use]
    pub fn mode(&self) -> StripeMode {
        self.mode
    }

    /// What webhooks are signed with: two while one is being replaced.
    #[must_use]
    pub fn webhook_secrets(&self) -> &[String] {
        &self.webhook_secrets
    }

    /// As Stripe takes the key.
    pub(super) fn authorization(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:", self.key)))
    }

    /// Reads what is kept. The parser's own words could repeat what they are about, so they are not
    /// used.
    fn read(text: &str) -> Result<StripeSecret, &'static str> {
        let value: Value = serde_json::from_str(text).map_err(|_| "it is not JSON")?;
        let key = value["secret_key"].as_str().map(str::trim).ok_or("it has no secret_key")?;
        let none = Vec::new();
        let webhooks = match &value["webhook_secrets"] {
            Value::Null => &none,
            Value::Array(secrets) => secrets,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                return Err("webhook_secrets is not a list");
            }
        };
        let one = |secret: &Value| {
            secret.as_str().map(str::trim).filter(|secret| !secret.is_empty()).map(str::to_owned)
        };
        let webhooks: Option<Vec<String>> = webhooks.iter().map(one).collect();
        StripeSecret::new(
            key.to_owned(),
            webhooks.ok_or("a webhook secret is empty or not a string")?,
        )
    }
}

/// Without the secret.
impl fmt::Debug for StripeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.webhook_secrets.len();
        f.debug_struct("Secret")
            .field("mode", &self.mode)
            .field("webhook_secrets", &count)
            .finish_non_exhaustive()
    }
}

/// Where a secret is kept. It is read so seldom that the client is made for it each time, and not
/// when a function starts.
#[derive(Clone, Debug)]
pub struct SecretVault {
    aws: SdkConfig,
    arn: Arc<str>,
}

impl SecretVault {
    /// A secret of AWS Secrets Manager.
    #[must_use]
    pub fn new(aws: SdkConfig, arn: &str) -> SecretVault {
        SecretVault { aws, arn: arn.into() }
    }

    /// What is kept there now.
    ///
    /// # Errors
    /// [`SecretError`]
    pub async fn read(&self) -> Result<StripeSecret, SecretError> {
        let arn = || self.arn.to_string();
        let answer = Client::new(&self.aws).get_secret_value().secret_id(&*self.arn).send().await;
        // Only the words of the error and its causes: its `Debug` holds the answer, which may be
        // the secret.
        let answer =
            answer.map_err(|error| SecretError::Unreadable { arn: arn(), why: chain(&error) })?;
        let unusable = |why: &str| SecretError::Unusable { arn: arn(), why: why.to_owned() };
        let text = answer.secret_string().ok_or_else(|| unusable("it is not a string"))?;
        StripeSecret::read(text).map_err(unusable)
    }
}

/// The secret as it was last read, and where to read it again. One that was given is never read
/// again.
#[derive(Debug)]
pub struct Keyring {
    vault: Option<SecretVault>,
    current: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    secret: Arc<StripeSecret>,
    /// The time of the request for which it was last read again; the function's start has none.
    read_at: Option<Timestamp>,
}

impl Keyring {
    /// A secret that stays what it is.
    #[must_use]
    pub fn given(secret: StripeSecret) -> Keyring {
        Keyring {
            vault: None,
            current: Mutex::new(Held { secret: Arc::new(secret), read_at: None }),
        }
    }

    /// A secret that was read there.
    #[must_use]
    pub fn kept(secret: StripeSecret, vault: SecretVault) -> Keyring {
        Keyring { vault: Some(vault), ..Keyring::given(secret) }
    }

    /// The secret as it was last read.
    #[must_use]
    pub fn current(&self) -> Arc<StripeSecret> {
        Arc::clone(&self.held().secret)
    }

    /// For who met a webhook that fits none of the secrets: the secret as it is now, or none if it
    /// was read for a request less than a minute before.
    ///
    /// # Errors
    /// [`SecretError`]
    pub async fn read_again(
        &self,
        now: Timestamp,
    ) -> Result<Option<Arc<StripeSecret>>, SecretError> {
        let Some(vault) = &self.vault else { return Ok(None) };
        {
            let mut held = self.held();
            let is_fresh =
                |at: Timestamp| at.seconds().abs_diff(now.seconds()) < COPY_SECONDS.unsigned_abs();
            if held.read_at.is_some_and(is_fresh) {
                return Ok(None);
            }
            // Also if it fails: who is not Stripe must not make Secrets Manager be asked again and
            // again.
            held.read_at = Some(now);
        }
        self.read(vault).await.map(Some)
    }

    /// Whether there is another key than this one, which Stripe does not take.
    pub(super) async fn replaces(&self, refused: &StripeSecret) -> bool {
        if self.current().key != refused.key {
            return true;
        }
        let Some(vault) = &self.vault else { return false };
        match self.read(vault).await {
            Ok(secret) => secret.key != refused.key,
            Err(error) => {
                tracing::warn!(%error, "Stripe does not take the key, and it cannot be read again");
                false
            }
        }
    }

    /// A key of the other mode is not taken: what is in the ledger would not be at Stripe.
    async fn read(&self, vault: &SecretVault) -> Result<Arc<StripeSecret>, SecretError> {
        let secret = Arc::new(vault.read().await?);
        let mut held = self.held();
        if secret.mode != held.secret.mode {
            let why = format!(
                "its key is in {:?} mode, but this deployment is in {:?} mode",
                secret.mode, held.secret.mode
            );
            return Err(SecretError::Unusable { arn: vault.arn.to_string(), why });
        }
        held.secret = Arc::clone(&secret);
        Ok(secret)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_key_and_a_list() {
        let secret = StripeSecret::read(
            r#"{"secret_key": " rk_live_1 ", "webhook_secrets": ["whsec_1", " whsec_2"]}"#,
        )
        .unwrap();
        assert_eq!(
            (secret.mode(), secret.webhook_secrets()),
            (StripeMode::Live, ["whsec_1", "whsec_2"].map(str::to_owned).as_slice())
        );
        assert_eq!(secret.authorization(), "Basic cmtfbGl2ZV8xOg==");
        assert!(
            StripeSecret::read(r#"{"secret_key": "sk_test_1"}"#)
                .unwrap()
                .webhook_secrets()
                .is_empty()
        );
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said_without_it() {
        let wrong = [
            ("sk_test_1", "it is not JSON"),
            ("{}", "it has no secret_key"),
            (r#"{"secret_key": "pk_test_1"}"#, "a secret key starts with sk_ or rk_"),
            (
                r#"{"secret_key": "sk_test_1", "webhook_secrets": "whsec_1"}"#,
                "webhook_secrets is not a list",
            ),
            (
                r#"{"secret_key": "sk_test_1", "webhook_secrets": [""]}"#,
                "a webhook secret is empty or not a string",
            ),
        ];
        for (text, why) in wrong {
            assert_eq!(StripeSecret::read(text), Err(why));
        }
        let shown = format!(
            "{:?}",
            Keyring::given(
                StripeSecret::new("sk_test_1".to_owned(), vec!["whsec_1".to_owned()]).unwrap()
            )
        );
        assert!(!shown.contains("sk_") && !shown.contains("whsec_"), "{shown}");
    }
}
