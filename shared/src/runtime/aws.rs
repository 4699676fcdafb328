//! The AWS configuration of a function, read only from the environment that Lambda sets.
//!
//! `aws-config` would also look for profiles, single sign-on and instance metadata, and bring along
//! their clients. In a function all of that costs size and start time. The variables are the
//! standard ones (docs.aws.amazon.com/lambda, "Defined runtime environment variables";
//! docs.aws.amazon.com/sdkref, "Service-specific endpoints"), so that a local cloud can replace
//! AWS.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::runtime::settings::SettingsError;

/// The roots of Amazon Trust Services. Every AWS endpoint's certificate has one of them
/// (amazontrust.com/repository). Reading the operating system's whole store takes ten times as
/// long.
const ROOTS: &str = include_str!("aws/amazon_roots.pem");

/// Region, credentials and endpoints from the process's environment.
///
/// # Errors
/// [`SettingsError`] with the variable that is missing or invalid.
pub fn config() -> Result<SdkConfig, SettingsError> {
    read(|variable| std::env::var(variable).ok())
}

/// The same from any source of variables, without the endpoints of single services.
///
/// # Errors
/// [`SettingsError`] with the variable that is missing or invalid.
pub fn read(value_of: impl Fn(&'static str) -> Option<String>) -> Result<SdkConfig, SettingsError> {
    let required = |variable| value_of(variable).ok_or(SettingsError::Missing(variable));
    let credentials = Credentials::new(
        required("AWS_ACCESS_KEY_ID")?,
        required("AWS_SECRET_ACCESS_KEY")?,
        value_of("AWS_SESSION_TOKEN"),
        None,
        "environment",
    );
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls()?)
        .build_https();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(required("AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(client)
        .sleep_impl(TokioSleep::new())
        .timeout_config(timeouts())
        .service_config(Endpoints);
    config.set_endpoint_url(value_of("AWS_ENDPOINT_URL"));
    Ok(config.build())
}

/// The SDK limits only the time to connect. A call that is never answered would hold its function
/// until Lambda ends it, and the accounts behind it would not be billed. DynamoDB answers within
/// milliseconds, so an attempt of three seconds is lost.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(10))
        .build()
}

/// An HTTP client for AWS addresses outside the SDK's services, such as presigned URLs.
///
/// # Errors
/// [`SettingsError`] if Amazon's roots cannot be used.
pub fn connector(timeouts: HttpConnectorSettings) -> Result<SharedHttpConnector, SettingsError> {
    Ok(connector_with(tls()?, timeouts))
}

/// An HTTP client for every server that the operating system trusts. It reads the system's
/// certificates here, so it is too slow where milliseconds count.
///
/// # Errors
/// [`SettingsError`] if they cannot be used.
pub fn connector_to_anybody(
    timeouts: HttpConnectorSettings,
) -> Result<SharedHttpConnector, SettingsError> {
    Ok(connector_with(tls_trusting(TrustStore::default())?, timeouts))
}

fn connector_with(tls: TlsContext, timeouts: HttpConnectorSettings) -> SharedHttpConnector {
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .connector_settings(timeouts)
        .sleep_impl(TokioSleep::new())
        .build();
    SharedHttpConnector::new(connector)
}

fn tls() -> Result<TlsContext, SettingsError> {
    tls_trusting(TrustStore::empty().with_pem_certificate(ROOTS))
}

fn tls_trusting(trust: TrustStore) -> Result<TlsContext, SettingsError> {
    let tls = TlsContext::builder().with_trust_store(trust).build();
    tls.map_err(|error| SettingsError::Unusable { variable: "AWS_REGION", why: error.to_string() })
}

/// `AWS_ENDPOINT_URL_<SERVICE>`: the service's ID in capitals, with underscores.
#[derive(Debug)]
struct Endpoints;

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace([' ', '-'], "_");
        std::env::var(format!("{}_{service}", key.env())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lambda_sets_is_enough_and_what_is_missing_is_named() {
        let value_of = |variable: &'static str| {
            (variable != "AWS_SESSION_TOKEN").then(|| format!("the-{variable}"))
        };
        let config = read(value_of).unwrap();
        assert_eq!(config.region().map(Region::as_ref), Some("the-AWS_REGION"));
        assert_eq!(config.endpoint_url(), Some("the-AWS_ENDPOINT_URL"));
        for missing in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            let without = read(|variable| value_of(variable).filter(|_| variable != missing));
            assert_eq!(without.err(), Some(SettingsError::Missing(missing)));
        }
    }

    #[test]
    fn the_roots_are_five_certificates() {
        assert_eq!(ROOTS.matches("-----BEGIN CERTIFICATE-----").count(), 5);
        assert_eq!(ROOTS.matches("-----END CERTIFICATE-----").count(), 5);
    }
}
