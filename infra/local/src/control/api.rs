//! A client of the API and of `/local/…`, for the seed, the demonstration and tests. They use the
//! cloud like any other client.

use std::fmt;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::Value;

use crate::runtime::http::Client;

/// Requests to one address, with one token if it has one.
#[derive(Clone)]
pub struct ApiClient {
    client: Client,
    url: String,
    token: Option<String>,
    /// For whom the platform acts: the header `Tollgate-Account`.
    account: Option<String>,
}

#[derive(Clone, Debug)]
pub struct ApiReply {
    pub status: u16,
    pub headers: HeaderMap,
    /// The unparsed body.
    pub body: Bytes,
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ApiClient").field("url", &self.url).finish_non_exhaustive()
    }
}

impl ApiClient {
    /// Requests without a token.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            client: Client::new(),
            url: url.trim_end_matches('/').to_owned(),
            token: None,
            account: None,
        }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// The same for another account, as the platform asks.
    #[must_use]
    pub fn acting_for(&self, account: impl Into<String>) -> Self {
        Self { account: Some(account.into()), ..self.clone() }
    }

    /// Sends a request with any headers and body.
    ///
    /// # Errors
    ///
    /// If no answer arrives, as text.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<ApiReply, String> {
        let mut all = HeaderMap::new();
        let token = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let token = token.iter().map(|token| (header::AUTHORIZATION.as_str(), token.as_str()));
        let account = self.account.iter().map(|account| ("tollgate-account", account.as_str()));
        for (name, value) in token.chain(account).chain(headers.iter().copied()) {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
            all.insert(name, value);
        }
        let method = Method::try_from(method).map_err(|error| error.to_string())?;
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        let (status, headers, body) = self.client.send(method, &url, &all, body.into()).await?;
        Ok(ApiReply { status: status.as_u16(), headers, body })
    }

    /// `GET`.
    ///
    /// # Errors
    ///
    /// If no answer arrives, as text.
    pub async fn get(&self, path: &str) -> Result<ApiReply, String> {
        self.send("GET", path, &[], Bytes::new()).await
    }

    /// `POST` or `PUT` with a JSON body.
    ///
    /// # Errors
    ///
    /// If no answer arrives, as text.
    pub async fn write(&self, method: &str, path: &str, body: &Value) -> Result<ApiReply, String> {
        self.send(method, path, &[("content-type", "application/json")], body.to_string()).await
    }
}

impl ApiReply {
    /// The body in JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body, if the status is a success.
    ///
    /// # Errors
    ///
    /// Status and body, as text.
    pub fn success(&self) -> Result<Value, String> {
        if (200..300).contains(&self.status) {
            return Ok(self.json());
        }
        Err(format!("{}: {}", self.status, String::from_utf8_lossy(&self.body)))
    }
}
