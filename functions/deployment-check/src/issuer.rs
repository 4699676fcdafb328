//! Whether tokens have the issuer that they are said to have.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde::Deserialize;

/// How long connecting to it may take, in seconds.
const CONNECT_SECONDS: u64 = 3;
/// How long its answer may take, in seconds.
const ANSWER_SECONDS: u64 = 5;

/// Why no token of it would ever be accepted.
#[derive(Debug, thiserror::Error)]
#[error("the issuer of tokens (TOKEN_ISSUER) cannot be used: {address} {why}")]
pub(crate) struct NoIssuer {
    address: String,
    why: String,
}

/// What is read of an issuer's configuration.
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// Asks an issuer for its configuration, as API Gateway does when it makes the authorizer, long after the tables, which then stay and
/// are in the way. And API Gateway does not mind an issuer that calls itself otherwise: it only accepts none of its tokens.
/// (openid.net/specs/openid-connect-discovery-1_0.html, section 4.)
pub(crate) async fn check(issuer: &str) -> Result<(), NoIssuer> {
    let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let wrong = |why: String| NoIssuer { address: address.clone(), why };
    let timeouts = HttpConnectorSettings::builder()
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS))
        .read_timeout(Duration::from_secs(ANSWER_SECONDS))
        .build();
    let way = tollgate::aws::connector_to_anybody(timeouts).map_err(|error| wrong(error.to_string()))?;
    let text = fetched(&way, &address).await.map_err(wrong)?;
    let configuration: Configuration = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("is no OpenID configuration with issuer and jwks_uri: {error}")))?;
    if configuration.issuer != issuer {
        return Err(wrong(format!("says that the issuer is {:?}: set it so, to the letter", configuration.issuer)));
    }
    if configuration.jwks_uri.is_empty() {
        return Err(wrong("names no jwks_uri".to_owned()));
    }
    Ok(())
}

async fn fetched(way: &SharedHttpConnector, address: &str) -> Result<Vec<u8>, String> {
    let mut get = HttpRequest::empty();
    get.set_uri(address).map_err(|_| "is no address".to_owned())?;
    let answer = way.call(get).await.map_err(|error| format!("does not answer: {error}"))?;
    if !answer.status().is_success() {
        return Err(format!("answers with status {}", answer.status().as_u16()));
    }
    let body = aws_smithy_types::byte_stream::ByteStream::new(answer.into_body());
    let body = body.collect().await.map_err(|error| format!("breaks off: {error}"))?;
    Ok(body.into_bytes().to_vec())
}
