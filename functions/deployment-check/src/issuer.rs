//! Checks that the configured issuer of tokens exists and has that name, and that the page can sign
//! in there.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use console::ConsoleSettings;
use serde::Deserialize;

use crate::CheckTimeouts;

/// The time limit to connect, in seconds.
const CONNECT_SECONDS: u64 = 3;
/// The time limit for the response, in seconds.
const ANSWER_SECONDS: u64 = 5;

/// Why API Gateway would accept no token of the issuer.
#[derive(Debug, thiserror::Error)]
#[error("the token issuer ({variable}) cannot be used: {address} {why}")]
pub(crate) struct IssuerError {
    variable: &'static str,
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
    #[serde(default)]
    authorization_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint: Option<String>,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
}

/// An issuer as it was set.
pub(crate) struct IssuerSetting<'a> {
    /// The variable with its name.
    pub(crate) variable: &'static str,
    pub(crate) issuer: &'a str,
    /// The page that signs in at it.
    pub(crate) page: Option<&'a ConsoleSettings>,
}

/// Reads the issuer's configuration.
///
/// API Gateway does the same when it creates the authorizer. At that point the tables exist, and a
/// failed deployment leaves them behind. API Gateway also accepts an issuer whose configuration has
/// another name, and then rejects all of its tokens
/// (openid.net/specs/openid-connect-discovery-1_0.html, section 4).
pub(crate) async fn check(
    setting: &IssuerSetting<'_>,
    patience: CheckTimeouts,
) -> Result<(), IssuerError> {
    let issuer = setting.issuer.trim_end_matches('/');
    let address = format!("{issuer}/.well-known/openid-configuration");
    let mut attempt = 1;
    loop {
        match check_once(setting, &address).await {
            Err(IssuerErrorKind::Away(_)) if attempt < patience.attempts_max => {
                attempt += 1;
                tokio::time::sleep(patience.pause).await;
            }
            checked => {
                let variable = setting.variable;
                return checked.map_err(|why| IssuerError { variable, address, why });
            }
        }
    }
}

async fn check_once(setting: &IssuerSetting<'_>, address: &str) -> Result<(), IssuerErrorKind> {
    let text = fetched(address).await?;
    let configuration: IssuerConfiguration = serde_json::from_slice(&text).map_err(|error| {
        IssuerErrorKind::Wrong(format!(
            "is not an OpenID configuration with issuer and jwks_uri: {error}"
        ))
    })?;
    if configuration.issuer != setting.issuer {
        let (told, variable) = (configuration.issuer, setting.variable);
        return Err(IssuerErrorKind::Wrong(format!(
            "names the issuer {told:?}. Set {variable} to exactly this value"
        )));
    }
    if configuration.jwks_uri.is_empty() {
        return Err(IssuerErrorKind::Wrong("has no jwks_uri".to_owned()));
    }
    match setting.page {
        Some(page) if page.signs_in() => check_endpoints(&configuration, page),
        Some(_) | None => Ok(()),
    }
}

/// The page redirects to the first endpoint and sends requests to the others. Its content security
/// policy allows requests to the origins of `TOKEN_ISSUER` and `PAGE_CONNECT` only.
fn check_endpoints(
    configuration: &IssuerConfiguration,
    page: &ConsoleSettings,
) -> Result<(), IssuerErrorKind> {
    let missing = |name: &str| {
        IssuerErrorKind::Wrong(format!("has no {name}, so nobody can sign in on the page"))
    };
    if configuration.authorization_endpoint.is_none() {
        return Err(missing("authorization_endpoint"));
    }
    let Some(token) = &configuration.token_endpoint else {
        return Err(missing("token_endpoint"));
    };
    let called = [
        ("token_endpoint", Some(token)),
        ("userinfo_endpoint", configuration.userinfo_endpoint.as_ref()),
    ];
    for (name, endpoint) in called {
        let Some(endpoint) = endpoint.filter(|endpoint| !page.may_call(endpoint)) else { continue };
        return Err(IssuerErrorKind::Wrong(format!(
            "names the {name} {endpoint}, and the page may not call it. Add it to PAGE_CONNECT"
        )));
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
