//! One call to Stripe, repeated where that is safe.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use serde::de::DeserializeOwned;
use stripe_client_core::{RequestBuilder, StripeMethod};
use tokio::time::Instant;

use super::error::{Answer, StripeError, sort};
use super::error_chain::chain;
use super::keys::IdempotencyKey;
use super::secret::Keyring;
use super::{API_VERSION, error};

/// How long a call is repeated. Stripe's own libraries repeat twice, half a second to five seconds
/// apart (docs.stripe.com/error-low-level); jittered, so that functions that met once do not meet
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a call is sent at the most.
    pub attempts_max: u32,
    /// The first pause is drawn from zero to this; each later bound is twice as long.
    pub pause_first: Duration,
    /// After this much time no further attempt begins: behind an HTTP API somebody waits, 30
    /// seconds at the most.
    pub begin_within: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempts_max: 4,
            pause_first: Duration::from_millis(500),
            begin_within: Duration::from_secs(8),
        }
    }
}

/// Stripe's status for a key that it does not take (any longer).
const UNAUTHORIZED: u16 = 401;

/// The way to Stripe: one pooled HTTP client, address and key.
#[derive(Clone)]
pub struct StripeConnection {
    connector: SharedHttpConnector,
    base: Arc<str>,
    keyring: Arc<Keyring>,
    patience: RetryPolicy,
}

impl StripeConnection {
    pub(super) fn new(
        connector: SharedHttpConnector,
        base: &str,
        keyring: Arc<Keyring>,
        patience: RetryPolicy,
    ) -> StripeConnection {
        StripeConnection { connector, base: base.trim_end_matches('/').into(), keyring, patience }
    }

    /// Sends a call that changes nothing, or the same however often it is sent.
    ///
    /// # Errors
    /// [`StripeError`]
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, StripeError> {
        self.send(request, None).await
    }

    /// Sends a call that must be carried out once: whoever sends it again under the same key gets
    /// the same answer.
    ///
    /// # Errors
    /// [`StripeError`]
    pub(super) async fn order<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        key: &IdempotencyKey,
    ) -> Result<T, StripeError> {
        self.send(request, Some(key)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        key: Option<&IdempotencyKey>,
    ) -> Result<T, StripeError> {
        let call = error::Call { name: name_of(&request), is_keyed: key.is_some() };
        let began = Instant::now();
        let mut attempt = 1;
        let mut refused_key = None;
        loop {
            let secret = self.keyring.current();
            let answer = self.send_once(&request, key, &secret.authorization()).await;
            // Nothing was carried out. The key may have been replaced since it was read: once, it
            // is looked for.
            if matches!(&answer, Ok(answer) if answer.status == UNAUTHORIZED)
                && refused_key.replace(Arc::clone(&secret)).is_none()
                && self.keyring.replaces(&secret).await
            {
                continue;
            }
            let failure = match sort(&call, answer) {
                Ok(body) => return read(&call, &body),
                Err(failure) => failure,
            };
            let goes_on = attempt < self.patience.attempts_max
                && began.elapsed() < self.patience.begin_within;
            if !failure.may_repeat || !goes_on {
                return Err(failure.error);
            }
            let bound = self.patience.pause_first.saturating_mul(1 << (attempt - 1).min(8));
            let pause_us = fastrand::u64(0..=u64::try_from(bound.as_micros()).unwrap_or(u64::MAX));
            tokio::time::sleep(Duration::from_micros(pause_us)).await;
            attempt += 1;
        }
    }

    async fn send_once(
        &self,
        request: &RequestBuilder,
        key: Option<&IdempotencyKey>,
        authorization: &str,
    ) -> Result<Answer, String> {
        let request = self.http_request(request, key, authorization)?;
        let response = self.connector.call(request).await.map_err(|error| chain(&error))?;
        let header = |name: &str| response.headers().get(name).map(str::to_owned);
        let (status, replayed, retry) = (
            response.status().as_u16(),
            header("idempotent-replayed"),
            header("stripe-should-retry"),
        );
        let body = aws_smithy_types::byte_stream::ByteStream::new(response.into_body());
        let body = body.collect().await.map_err(|error| chain(&error))?;
        Ok(Answer {
            status,
            is_replayed: replayed.as_deref() == Some("true"),
            should_retry: retry.map(|retry| retry == "true"),
            body: body.into_bytes().to_vec(),
        })
    }

    fn http_request(
        &self,
        request: &RequestBuilder,
        key: Option<&IdempotencyKey>,
        authorization: &str,
    ) -> Result<HttpRequest, String> {
        let query = request.query.as_deref().filter(|query| !query.is_empty());
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let (method, form) = match request.method {
            StripeMethod::Get => ("GET", None),
            StripeMethod::Post => ("POST", Some(request.body.clone().unwrap_or_default())),
            StripeMethod::Delete => ("DELETE", None),
        };
        let mut http = HttpRequest::new(form.clone().map_or_else(SdkBody::empty, SdkBody::from));
        http.set_method(method).map_err(|error| error.to_string())?;
        http.set_uri(format!("{}/v1{}{query}", self.base, request.path))
            .map_err(|error| error.to_string())?;
        let headers = http.headers_mut();
        headers.insert("authorization", authorization.to_owned());
        headers.insert("stripe-version", API_VERSION);
        headers.insert("user-agent", concat!("tollgate/", env!("CARGO_PKG_VERSION")));
        if let Some(form) = form {
            headers.insert("content-type", "application/x-www-form-urlencoded");
            headers.insert("content-length", form.len().to_string());
        }
        if let Some(key) = key {
            headers.insert("idempotency-key", key.as_str().to_owned());
        }
        Ok(http)
    }
}

/// Without the secret key.
impl fmt::Debug for StripeConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("base", &self.base)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// An answer that cannot be read says nothing of what was done: a call that changes something must
/// be settled by looking.
fn read<T: DeserializeOwned>(call: &error::Call, body: &[u8]) -> Result<T, StripeError> {
    serde_json::from_slice(body).map_err(|error| {
        let (name, why) = (call.name.clone(), format!("the response cannot be read: {error}"));
        if call.is_keyed {
            StripeError::Unresolved { call: name, why }
        } else {
            StripeError::Unavailable { call: name, why }
        }
    })
}

/// Such as `POST /invoices/in_1/pay`.
fn name_of(request: &RequestBuilder) -> String {
    let method = match request.method {
        StripeMethod::Get => "GET",
        StripeMethod::Post => "POST",
        StripeMethod::Delete => "DELETE",
    };
    format!("{method} {}", request.path)
}
