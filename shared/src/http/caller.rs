//! Who calls: the claims of a token that the HTTP API's JWT authorizer has checked.
//!
//! A provider hands a scope to every user of a client that may ask for it. So the scopes of staff
//! and of the platform count only in tokens of the clients that the operator listed.

use std::collections::BTreeMap;

use lambda_http::http::HeaderValue;

use crate::domain::ids::{AccountId, StaffId};
use crate::domain::profile::EmailAddress;
use crate::http::problem::{Problem, ProblemCode};
use crate::runtime::settings::Settings;

/// The scope that may act for another account (header `Tollgate-Account`): the platform that runs
/// the machines.
pub const PLATFORM_SCOPE: &str = "tollgate/platform";
/// The scope that may use all of `/v1/admin`.
pub const ADMIN_SCOPE: &str = "tollgate/admin";
/// The scope that may look accounts and payments up, recover payments, and refund and give bonuses
/// within limits.
pub const SUPPORT_SCOPE: &str = "tollgate/support";
/// The claims in which providers name the client of a token: `azp` (OpenID Connect Core 1.0, section
/// 2), `client_id` (RFC 9068, section 2.2), `appid` (Entra ID, tokens of version 1.0), and `cid`
/// (Okta).
const CLIENT_CLAIMS: [&str; 4] = ["azp", "client_id", "appid", "cid"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCaller {
    /// Who called: the token's `sub`.
    pub subject: StaffId,
    /// For which account: the token's `sub`, or the one the platform named.
    pub account: AccountId,
    /// Whether that account is the token's own.
    pub acting: Acting,
    /// The token's e-mail address, if it has one and is the account's own.
    pub email: Option<EmailAddress>,
    scopes: TokenScopes,
}

/// For whom somebody calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acting {
    /// For the token's own account.
    ForItself,
    /// For the account named in `Tollgate-Account`.
    ForAnother,
}

/// What a token allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TokenScopes {
    held: Vec<String>,
    /// Scopes in the token that its client may not use, with the reason.
    withheld: Vec<(&'static str, String)>,
}

impl ApiCaller {
    /// Whether the token has a scope, and its client may use it.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.scopes.has(scope)
    }

    /// Makes sure that the token has a scope. `lacking` is the detail for a token without it.
    ///
    /// # Errors
    /// [`ProblemCode::Forbidden`].
    pub fn require(&self, scope: &str, lacking: impl FnOnce() -> String) -> Result<(), Problem> {
        self.scopes.require(scope, lacking)
    }

    /// Makes sure that the customer calls in person, for what nobody else may agree to.
    ///
    /// # Errors
    /// [`ProblemCode::Forbidden`] if the platform calls for the customer.
    pub fn require_in_person(&self, what: &str) -> Result<(), Problem> {
        match self.acting {
            Acting::ForItself => Ok(()),
            Acting::ForAnother => {
                let why = format!("Only the customer can {what}, with a token of their own.");
                Err(Problem::new(ProblemCode::Forbidden, why))
            }
        }
    }
}

/// The caller with these claims, for the account that `Tollgate-Account` names, else for their own.
pub(super) fn read(
    claims: &BTreeMap<String, String>,
    acting_for: Option<&HeaderValue>,
    settings: &Settings,
) -> Result<ApiCaller, Problem> {
    let unauthorized = |why: &str| Problem::new(ProblemCode::Unauthorized, why);
    let subject = claims.get("sub").ok_or_else(|| unauthorized("The token has no sub claim."))?;
    let invalid = |_| unauthorized("The token's sub claim is not a valid account ID.");
    let own: AccountId = subject.parse().map_err(invalid)?;
    let subject: StaffId = subject.parse().map_err(invalid)?;
    let scopes = TokenScopes::of(claims, settings);
    let Some(other) = acting_for else {
        let email = claims.get(&settings.email_claim).and_then(|claim| claim.parse().ok());
        return Ok(ApiCaller { subject, account: own, acting: Acting::ForItself, email, scopes });
    };
    scopes.require(PLATFORM_SCOPE, || {
        format!("The Tollgate-Account header requires the scope {PLATFORM_SCOPE}.")
    })?;
    let account = other.to_str().ok().and_then(|account| account.parse().ok());
    let account = account.ok_or_else(|| {
        Problem::new(
            ProblemCode::InvalidParameter,
            "The Tollgate-Account header is not a valid account ID.",
        )
        .with("parameter", "Tollgate-Account")
    })?;
    Ok(ApiCaller { subject, account, acting: Acting::ForAnother, email: None, scopes })
}

impl TokenScopes {
    fn of(claims: &BTreeMap<String, String>, settings: &Settings) -> TokenScopes {
        // As API Gateway does, which compares them with the route's before this.
        let scope = claims.get("scope").or_else(|| claims.get("scp"));
        let held = scope.into_iter().flat_map(|text| listed(text)).collect();
        let mut scopes = TokenScopes { held, withheld: Vec::new() };
        let clients = &settings.scope_clients;
        scopes.keep_for(ADMIN_SCOPE, "StaffClients", &clients.staff, claims);
        scopes.keep_for(SUPPORT_SCOPE, "StaffClients", &clients.staff, claims);
        scopes.keep_for(PLATFORM_SCOPE, "PlatformClients", &clients.platform, claims);
        scopes
    }

    /// Withholds a scope from a token whose client is not one of those that may use it.
    fn keep_for(
        &mut self,
        scope: &'static str,
        parameter: &str,
        allowed: &[String],
        claims: &BTreeMap<String, String>,
    ) {
        // A token that names several clients counts only if all of them are listed.
        let clients: Vec<&String> =
            CLIENT_CLAIMS.iter().filter_map(|claim| claims.get(*claim)).collect();
        let is_allowed = !clients.is_empty() && clients.iter().all(|one| allowed.contains(one));
        if !self.has(scope) || is_allowed {
            return;
        }
        self.held.retain(|held| held != scope);
        let client = match clients.iter().find(|client| !allowed.contains(client)) {
            Some(client) => format!("This token's client is {client:?}."),
            None => format!("This token names no client ({}).", CLIENT_CLAIMS.join(", ")),
        };
        let rule = if allowed.is_empty() {
            format!("The parameter {parameter} is empty, so no client may use the scope {scope}.")
        } else {
            format!("Only clients in the parameter {parameter} may use the scope {scope}.")
        };
        self.withheld.push((scope, format!("{rule} {client}")));
    }

    fn has(&self, scope: &str) -> bool {
        self.held.iter().any(|held| held == scope)
    }

    fn require(&self, scope: &str, lacking: impl FnOnce() -> String) -> Result<(), Problem> {
        if self.has(scope) {
            return Ok(());
        }
        let withheld = self.withheld.iter().find(|(withheld, _)| *withheld == scope);
        let why = withheld.map_or_else(lacking, |(_, why)| why.clone());
        Err(Problem::new(ProblemCode::Forbidden, why))
    }
}

/// The scopes of a claim: separated by spaces, or a list, which API Gateway writes as `[a b]`.
fn listed(claim: &str) -> Vec<String> {
    let inner = claim.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(claim);
    inner.split_whitespace().map(str::to_owned).collect()
}
