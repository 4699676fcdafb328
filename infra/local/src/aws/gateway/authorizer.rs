//! The authorizer: checks the token of a request against the route.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use time::UtcDateTime;

use crate::aws::gateway::answer::refusal;
use crate::aws::gateway::route::Matched;
use crate::aws::tokens::{self, Keys, Rejection};
use crate::template::wiring::{HttpApi, RouteAuthorizer};

/// The caller, on a route with an authorizer.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) claims: Value,
    pub(super) scopes: Value,
}

/// The caller. None on a route without an authorizer.
pub(super) fn authorize(
    keys: &Keys,
    now: UtcDateTime,
    api: &HttpApi,
    matched: &Matched<'_>,
    headers: &HeaderMap,
) -> Result<Option<Caller>, Box<Response>> {
    let RouteAuthorizer::Jwt { name, scopes } = &matched.route.authorizer else { return Ok(None) };
    let Some(authorizer) = api.authorizers.get(name) else {
        return Err(Box::new(refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")));
    };
    let unauthorized = |rejection: Rejection| {
        let detail = if rejection == Rejection::Missing {
            "Bearer".to_owned()
        } else {
            format!(
                "Bearer scope=\"{}\" error=\"invalid_token\" error_description=\"{rejection}\"",
                scopes.join(" ")
            )
        };
        Box::new(with_challenge(refusal(StatusCode::UNAUTHORIZED, "Unauthorized"), &detail))
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.ok_or_else(|| unauthorized(Rejection::Missing))?;
    // `Bearer` is optional.
    let token = match given.split_once(' ') {
        Some((kind, token)) if kind.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => return Err(unauthorized(Rejection::NotAToken)),
        None => given,
    };
    let claims = keys.check(authorizer, now, token).map_err(unauthorized)?;
    let own = tokens::scopes(&claims);
    if !scopes.is_empty() && !scopes.iter().any(|scope| own.contains(scope)) {
        let detail = format!(
            "Bearer scope=\"{}\" error=\"insufficient_scope\" error_description=\"insufficient scope\"",
            scopes.join(" ")
        );
        return Err(Box::new(with_challenge(refusal(StatusCode::FORBIDDEN, "Forbidden"), &detail)));
    }
    let scopes = if scopes.is_empty() { Value::Null } else { json!(own) };
    Ok(Some(Caller { claims, scopes }))
}

fn with_challenge(mut response: Response, challenge: &str) -> Response {
    if let Ok(challenge) = HeaderValue::from_str(challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
