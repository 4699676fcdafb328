//! The page's settings, read from the environment once at start.

use lambda_http::http::HeaderValue;
use serde::Serialize;

/// The settings that the page is served with.
#[derive(Clone, Debug)]
pub struct ConsoleSettings {
    /// `config.json`. `None` if there is no page.
    config: Option<String>,
    /// `staff/config.json`. `None` if there is no staff page.
    staff_config: Option<String>,
    content_security_policy: HeaderValue,
    /// Where the pages sign in. `None` without a page, or if tokens come from `/local/tokens`.
    sign_in_origins: Option<Vec<String>>,
}

/// Why the function cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageSettingsError {
    /// A required variable is not set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// A variable has an invalid value.
    #[error("the environment variable {variable} cannot be used: {why}")]
    Unusable { variable: &'static str, why: &'static str },
}

/// The body of `config.json`.
#[derive(Debug, Serialize)]
struct PageConfig {
    /// `oidc`, or `local` if tokens come from `/local/tokens`.
    mode: &'static str,
    issuer: String,
    client_id: String,
    scopes: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator_contact: Option<String>,
    currency: &'static str,
    topup: AmountLimits,
    refill: AmountLimits,
    /// Whether refills are first offered with the switch on.
    refill_preselected: bool,
    /// How long a deleted resource can be restored.
    restore_seconds: u32,
}

/// The body of `staff/config.json`.
#[derive(Debug, Serialize)]
struct StaffPageConfig {
    /// As of [`PageConfig`].
    mode: &'static str,
    issuer: String,
    client_id: String,
    scopes: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
}

/// The smallest and the largest amount that the API accepts, in USD.
#[derive(Debug, Serialize)]
struct AmountLimits {
    min: String,
    max: String,
}

impl ConsoleSettings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// [`PageSettingsError`] with the variable.
    pub fn from_environment() -> Result<ConsoleSettings, PageSettingsError> {
        ConsoleSettings::read(|variable| std::env::var(variable).ok())
    }

    /// Reads settings from any source of variables: `SIGN_IN` (`oidc` by default, or `local`),
    /// `TOKEN_ISSUER` (required for `oidc`), `PAGE_CLIENT_ID` (without it there is no page),
    /// `PAGE_SCOPES` (`openid email` by default), `PAGE_AUDIENCE`, `PAGE_CONNECT` (the address that
    /// issues tokens, if it differs from the issuer), `STAFF_PAGE_CLIENT_ID` (without it there is no
    /// staff page, unless sign-in is local), `STAFF_ISSUER` (`TOKEN_ISSUER` by default),
    /// `STAFF_AUDIENCE`, `STAFF_PAGE_SCOPES` (`openid email tollgate/admin` by default),
    /// `OPERATOR_CONTACT`, and the limits that the API
    /// reads too: `REFILL_CONSENT` (`preselected` by default, or `unselected`), `TOPUP_MIN`, `TOPUP_MAX`, `REFILL_MIN`, `REFILL_MAX`, `RESTORE_SECONDS`.
    ///
    /// # Errors
    /// [`PageSettingsError`] with the variable.
    pub fn read(
        value_of: impl Fn(&'static str) -> Option<String>,
    ) -> Result<ConsoleSettings, PageSettingsError> {
        let optional = |variable| {
            value_of(variable)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let required = |variable| optional(variable).ok_or(PageSettingsError::Missing(variable));
        let mode = sign_in_mode(optional("SIGN_IN").as_deref())?;
        let is_local = mode == "local";
        let issuer = if is_local {
            optional("TOKEN_ISSUER").unwrap_or_default()
        } else {
            required("TOKEN_ISSUER")?
        };
        let client_id = optional("PAGE_CLIENT_ID");
        let has_page = is_local || client_id.is_some();
        // The page sends requests to the issuer, for its configuration and for tokens, and to no
        // other origin.
        let mut origins = Vec::new();
        if !is_local {
            origins.push(origin(&issuer, "TOKEN_ISSUER")?);
        }
        let staff = StaffPageConfig {
            mode,
            issuer: optional("STAFF_ISSUER").unwrap_or_else(|| issuer.clone()),
            client_id: optional("STAFF_PAGE_CLIENT_ID").unwrap_or_default(),
            scopes: optional("STAFF_PAGE_SCOPES")
                .unwrap_or_else(|| "openid email tollgate/admin".to_owned()),
            audience: optional("STAFF_AUDIENCE").or_else(|| optional("PAGE_AUDIENCE")),
        };
        let has_staff_page = is_local || !staff.client_id.is_empty();
        if has_staff_page && !is_local && staff.issuer != issuer {
            origins.push(origin(&staff.issuer, "STAFF_ISSUER")?);
        }
        for other in optional("PAGE_CONNECT").unwrap_or_default().split_whitespace() {
            origins.push(origin(other, "PAGE_CONNECT")?);
        }
        let connect: String = origins.iter().map(|origin| format!(" {origin}")).collect();
        let content_security_policy = policy_with(&connect)?;
        let signs_in = client_id.is_some() || has_staff_page;
        let sign_in_origins = (signs_in && !is_local).then_some(origins);
        let config = PageConfig {
            mode,
            issuer,
            client_id: client_id.unwrap_or_default(),
            scopes: optional("PAGE_SCOPES").unwrap_or_else(|| "openid email".to_owned()),
            audience: optional("PAGE_AUDIENCE"),
            operator_contact: optional("OPERATOR_CONTACT"),
            currency: "usd",
            topup: AmountLimits {
                min: amount("TOPUP_MIN", optional("TOPUP_MIN"), "1.00")?,
                max: amount("TOPUP_MAX", optional("TOPUP_MAX"), "1000.00")?,
            },
            refill: AmountLimits {
                min: amount("REFILL_MIN", optional("REFILL_MIN"), "1.00")?,
                max: amount("REFILL_MAX", optional("REFILL_MAX"), "1000.00")?,
            },
            refill_preselected: is_preselected(optional("REFILL_CONSENT").as_deref())?,
            restore_seconds: seconds("RESTORE_SECONDS", optional("RESTORE_SECONDS"), 14 * 86_400)?,
        };
        let config = has_page.then(|| json(&config, "OPERATOR_CONTACT")).transpose()?;
        let staff_config =
            has_staff_page.then(|| json(&staff, "STAFF_PAGE_CLIENT_ID")).transpose()?;
        Ok(ConsoleSettings { config, staff_config, content_security_policy, sign_in_origins })
    }

    /// Whether there is a page that signs in at an issuer.
    #[must_use]
    pub fn signs_in(&self) -> bool {
        self.sign_in_origins.is_some()
    }

    /// Whether the page that signs in may send requests to this address.
    #[must_use]
    pub fn may_call(&self, address: &str) -> bool {
        let allowed = self.sign_in_origins.iter().flatten();
        origin(address, "PAGE_CONNECT")
            .is_ok_and(|origin| allowed.into_iter().any(|allowed| *allowed == origin))
    }

    /// The body of `config.json`, as JSON.
    pub(crate) fn config(&self) -> Option<&str> {
        self.config.as_deref()
    }

    /// The body of `staff/config.json`, as JSON.
    pub(crate) fn staff_config(&self) -> Option<&str> {
        self.staff_config.as_deref()
    }

    /// The origins from which the page may load content.
    pub(crate) fn content_security_policy(&self) -> HeaderValue {
        self.content_security_policy.clone()
    }
}

fn json(config: &impl Serialize, variable: &'static str) -> Result<String, PageSettingsError> {
    let why = "it is not valid text";
    serde_json::to_string(config).map_err(|_| PageSettingsError::Unusable { variable, why })
}

/// An amount in USD as the page's script reads it: digits, and at most two decimals.
fn amount(
    variable: &'static str,
    value: Option<String>,
    default: &str,
) -> Result<String, PageSettingsError> {
    let value = value.unwrap_or_else(|| default.to_owned());
    let (whole, cents) = value.split_once('.').unwrap_or((&value, "00"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(whole) && is_number(cents) && cents.len() <= 2 {
        Ok(value)
    } else {
        Err(PageSettingsError::Unusable { variable, why: "it is not an amount in USD" })
    }
}

fn seconds(
    variable: &'static str,
    value: Option<String>,
    default: u32,
) -> Result<u32, PageSettingsError> {
    let wrong = |_| PageSettingsError::Unusable { variable, why: "it is not a number of seconds" };
    value.map_or(Ok(default), |value| value.parse().map_err(wrong))
}

fn is_preselected(variable: Option<&str>) -> Result<bool, PageSettingsError> {
    match variable {
        None | Some("preselected") => Ok(true),
        Some("unselected") => Ok(false),
        Some(_) => Err(PageSettingsError::Unusable {
            variable: "REFILL_CONSENT",
            why: "it is neither preselected nor unselected",
        }),
    }
}

fn sign_in_mode(variable: Option<&str>) -> Result<&'static str, PageSettingsError> {
    match variable {
        None | Some("oidc") => Ok("oidc"),
        Some("local") => Ok("local"),
        Some(_) => Err(PageSettingsError::Unusable {
            variable: "SIGN_IN",
            why: "it is neither oidc nor local",
        }),
    }
}

/// The content security policy, with the origins that the page may send requests to.
fn policy_with(connect: &str) -> Result<HeaderValue, PageSettingsError> {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'{connect}; \
         form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::try_from(policy).map_err(|_| PageSettingsError::Unusable {
        variable: "TOKEN_ISSUER",
        why: "it is not a valid URL",
    })
}

/// `https://issuer.example` of `https://issuer.example/path`. It must not contain characters that
/// end a directive of the policy.
fn origin(issuer: &str, variable: &'static str) -> Result<String, PageSettingsError> {
    let wrong = PageSettingsError::Unusable { variable, why: "it is not an https:// URL" };
    let (scheme, rest) = issuer.split_once("://").ok_or_else(|| wrong.clone())?;
    let host = rest.split('/').next().unwrap_or_default();
    let is_plain =
        host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    if !["https", "http"].contains(&scheme) || host.is_empty() || !is_plain {
        return Err(wrong);
    }
    Ok(format!("{scheme}://{host}"))
}
