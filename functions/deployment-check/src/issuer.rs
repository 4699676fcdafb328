//! Checks that the configured issuer of tokens exists and has that name.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde::Deserialize;

use crate::CheckTimeouts;

/// The time limit to connect, in seconds.
const CONNECT_SECONDS: u64 = 3;
/// The time limit for the response, in seconds.
const ANSWER_SECONDS: u64 = 5;

/// Why API Gateway would accept no token of the issuer.
#[derive(Debug, thiserror::Error)]
#[error("the token issuer (TOKEN_ISSUER) cannot be used: {address} {why}")]
pub(crate) struct IssuerError {
    address: String,
    why: IssuerErrorKind,
}

#[derive(Debug, thiserror::Error)]
enum IssuerErrorKind {
    /// The issuer does not respond at the moment.
    #[error("{0}")]
    Away(String),
    /// Not an issuer, or another issuer.
    #[error("{0}")]
    Wrong(String),
}

impl IssuerError {
    /// Whether a later attempt may succeed.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self.why, IssuerErrorKind::Away(_))
    }
}

/// The fields read from an issuer's configuration.
#[derive(Deserialize)]
struct IssuerConfiguration {
    issuer: String,
    jwks_uri: String,
}

/// Reads the issuer's configuration.
///
/// API Gateway does the same when it creates the authorizer. At that point the tables exist, and a
/// failed deployment leaves them behind. API Gateway also accepts an issuer whose configuration has
/// another name, and then rejects all of its tokens
/// (openid.net/specs/openid-connect-discovery-1_0.html, section 4).
pub(crate) async fn check(issuer: &str, patience: CheckTimeouts) -> Result<(), IssuerError> {
    let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let mut attempt = 1;
    loop {
        match check_once(issuer, &address).await {
            Err(IssuerErrorKind::Away(_)) if attempt < patience.attempts_max => {
                attempt += 1;
                tokio::time::sleep(patience.pause).await;
            }
            checked => return checked.map_err(|why| IssuerError { address, why }),
        }
    }
}

async fn check_once(issuer: &str, address: &str) -> Result<(), IssuerErrorKind> {
    let text = fetched(address).await?;
    let configuration: IssuerConfiguration = serde_json::from_slice(&text).map_err(|error| {
        IssuerErrorKind::Wrong(format!(
            "is not an OpenID configuration with issuer and jwks_uri: {error}"
        ))
    })?;
    if configuration.issuer != issuer {
        let told = configuration.issuer;
        return Err(IssuerErrorKind::Wrong(format!(
            "names the issuer {told:?}. Set TOKEN_ISSUER to exactly this value"
        )));
    }
    if configuration.jwks_uri.is_empty() {
        return Err(IssuerErrorKind::Wrong("has no jwks_uri".to_owned()));
    }
    Ok(())
}

async fn fetched(address: &str) -> Result<Vec<u8>, IssuerErrorKind> {
    let mut get = HttpRequest::empty();
    get.set_uri(address).map_err(|_| IssuerErrorKind::Wrong("is not a valid URL".to_owned()))?;
    get.headers_mut().insert("accept", "application/json");
    // Some firewalls reject requests without a user agent.
    get.headers_mut().insert("user-agent", concat!("tollgate/", env!("CARGO_PKG_VERSION")));
    let answer = way_to_anybody()?
        .call(get)
        .await
        .map_err(|error| IssuerErrorKind::Away(format!("does not respond: {error}")))?;
    let status = answer.status();
    if status.is_server_error() || status.as_u16() == 429 {
        return Err(IssuerErrorKind::Away(format!("returned status {}", status.as_u16())));
    }
    if !status.is_success() {
        return Err(IssuerErrorKind::Wrong(format!("returned status {}", status.as_u16())));
    }
    let body = aws_smithy_types::byte_stream::ByteStream::new(answer.into_body());
    let body = body
        .collect()
        .await
        .map_err(|error| IssuerErrorKind::Away(format!("stopped responding: {error}")))?;
    Ok(body.into_bytes().to_vec())
}

fn way_to_anybody() -> Result<SharedHttpConnector, IssuerErrorKind> {
    let timeouts = HttpConnectorSettings::builder()
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS))
        .read_timeout(Duration::from_secs(ANSWER_SECONDS))
        .build();
    tollgate::runtime::aws::connector_to_anybody(timeouts)
        .map_err(|error| IssuerErrorKind::Wrong(error.to_string()))
}
