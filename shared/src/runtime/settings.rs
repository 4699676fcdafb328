//! The operator's settings, read from the environment once at start.
//!
//! Every field names its variable. An invalid value stops the start with a sentence that names the
//! variable.

use std::str::FromStr;

use crate::domain::ids::Sku;
use crate::domain::money::Usd;
use crate::domain::policy::Policy;
use crate::store::TableNames;

/// The operator's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `LEDGER_TABLE`, `ACCOUNTS_TABLE`: the names of the two tables. Required.
    pub tables: TableNames,
    /// The business rules in numbers, each with its own variable. See [`Settings::read`]. Defaults:
    /// [`Policy::default`].
    pub policy: Policy,
    /// `EMAIL_CLAIM`: the token claim with the e-mail address. `email` by default.
    pub email_claim: String,
    /// `TOKEN_ISSUER`: who issues the customers' tokens. Optional.
    pub token_issuer: Option<String>,
    /// `STAFF_CLIENTS`, `PLATFORM_CLIENTS`: the clients whose tokens may use the scopes of staff and
    /// of the platform, separated by commas. None by default.
    pub scope_clients: ScopeClients,
    /// `BILLING_URL`: the page where customers add credit, named in problem documents and notices.
    /// Optional.
    pub billing_url: Option<String>,
    /// `OPERATOR_CONTACT`: where customers get help and ask for higher limits. Optional.
    pub operator_contact: Option<String>,
}

/// The IDs of the issuer's clients whose tokens may use a scope. An empty list allows none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeClients {
    pub staff: Vec<String>,
    pub platform: Vec<String>,
}

/// Why a function cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A required variable is not set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// A variable has an invalid value.
    #[error("the environment variable {variable} cannot be used: {why}")]
    Unusable { variable: &'static str, why: String },
}

impl Settings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// [`SettingsError`] with the variable.
    pub fn from_environment() -> Result<Settings, SettingsError> {
        Settings::read(|variable| std::env::var(variable).ok())
    }

    /// Reads settings from any source of variables.
    ///
    /// The policy's variables: `TOPUP_MIN`, `TOPUP_MAX`, `BALANCE_MAX`, `START_CREDIT_MIN`,
    /// `SUPPORT_PAYMENT_MAX`, `SUPPORT_DAY_MAX`, `TRIAL_CREDIT` (USD), `GRACE_SECONDS`, `TRIAL_GRACE_SECONDS`, `RESTORE_SECONDS`, `TRIAL_SECONDS` (seconds),
    /// `TRIAL_SERVICES_MAX` (a number), `TRIAL_EXCLUDES` (SKUs, separated by commas).
    ///
    /// # Errors
    /// [`SettingsError`] with the variable.
    pub fn read(
        value_of: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Settings, SettingsError> {
        let environment = Environment { value_of };
        let tables = TableNames {
            ledger: environment.required("LEDGER_TABLE")?,
            accounts: environment.required("ACCOUNTS_TABLE")?,
        };
        Ok(Settings {
            tables,
            policy: environment.policy()?,
            email_claim: environment.optional("EMAIL_CLAIM").unwrap_or_else(|| "email".to_owned()),
            token_issuer: environment.optional("TOKEN_ISSUER"),
            scope_clients: ScopeClients {
                staff: environment.list("STAFF_CLIENTS"),
                platform: environment.list("PLATFORM_CLIENTS"),
            },
            billing_url: environment.optional("BILLING_URL"),
            operator_contact: environment.optional("OPERATOR_CONTACT"),
        })
    }
}

struct Environment<F> {
    value_of: F,
}

impl<F: Fn(&'static str) -> Option<String>> Environment<F> {
    /// An empty value counts as not set, because a template parameter cannot be left out.
    fn optional(&self, variable: &'static str) -> Option<String> {
        (self.value_of)(variable).filter(|value| !value.trim().is_empty())
    }

    fn required(&self, variable: &'static str) -> Result<String, SettingsError> {
        self.optional(variable).ok_or(SettingsError::Missing(variable))
    }

    /// Values separated by commas. None if the variable is not set.
    fn list(&self, variable: &'static str) -> Vec<String> {
        let text = self.optional(variable).unwrap_or_default();
        text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        variable: &'static str,
        default: T,
    ) -> Result<T, SettingsError> {
        let Some(value) = self.optional(variable) else { return Ok(default) };
        value
            .trim()
            .parse()
            .map_err(|error: T::Err| SettingsError::Unusable { variable, why: error.to_string() })
    }

    fn amount(&self, variable: &'static str, default: Usd) -> Result<Usd, SettingsError> {
        let amount = self.parsed(variable, default)?;
        if amount.is_negative() || amount.to_cents().is_err() {
            return Err(SettingsError::Unusable {
                variable,
                why: "must be whole cents and not negative".to_owned(),
            });
        }
        Ok(amount)
    }

    /// A number of at least one.
    fn count(&self, variable: &'static str, default: u32) -> Result<u32, SettingsError> {
        match self.parsed(variable, default)? {
            0 => Err(SettingsError::Unusable { variable, why: "must be at least 1".to_owned() }),
            count => Ok(count),
        }
    }

    fn seconds(&self, variable: &'static str, default: i64) -> Result<i64, SettingsError> {
        let seconds: u32 = self.parsed(variable, u32::try_from(default).unwrap_or(u32::MAX))?;
        Ok(i64::from(seconds))
    }

    fn policy(&self) -> Result<Policy, SettingsError> {
        let mut policy = Policy::default();
        policy.topup_min = self.amount("TOPUP_MIN", policy.topup_min)?;
        policy.topup_max = self.amount("TOPUP_MAX", policy.topup_max)?;
        policy.balance_max = self.amount("BALANCE_MAX", policy.balance_max)?;
        policy.pages.per_hour = self.count("PAGES_PER_HOUR", policy.pages.per_hour)?;
        policy.pages.per_day = self.count("PAGES_PER_DAY", policy.pages.per_day)?;
        policy.pages.new_accounts_per_hour =
            self.count("NEW_ACCOUNT_PAGES_PER_HOUR", policy.pages.new_accounts_per_hour)?;
        policy.stripe_requests_max =
            self.count("STRIPE_REQUESTS_MAX", policy.stripe_requests_max)?;
        policy.quotas.resources = self.count("RESOURCES_MAX", policy.quotas.resources)?;
        policy.quotas.projects = self.count("PROJECTS_MAX", policy.quotas.projects)?;
        policy.refill.amount_min = self.amount("REFILL_MIN", policy.refill.amount_min)?;
        policy.refill.amount_max = self.amount("REFILL_MAX", policy.refill.amount_max)?;
        policy.start_credit_min = self.amount("START_CREDIT_MIN", policy.start_credit_min)?;
        policy.unbilled_max = self.amount("UNBILLED_MAX", policy.unbilled_max)?;
        policy.holds_max = self.count("HOLDS_MAX", policy.holds_max)?;
        let support = &mut policy.support;
        support.payment_max = self.amount("SUPPORT_PAYMENT_MAX", support.payment_max)?;
        support.day_max = self.amount("SUPPORT_DAY_MAX", support.day_max)?;
        policy.grace_seconds = self.seconds("GRACE_SECONDS", policy.grace_seconds)?;
        policy.trial_grace_seconds =
            self.seconds("TRIAL_GRACE_SECONDS", policy.trial_grace_seconds)?;
        policy.restore_seconds = self.seconds("RESTORE_SECONDS", policy.restore_seconds)?;
        policy.row_format = self.parsed("ROW_FORMAT", policy.row_format)?;
        policy.trial.credit = self.amount("TRIAL_CREDIT", policy.trial.credit)?;
        policy.trial.seconds = self.seconds("TRIAL_SECONDS", policy.trial.seconds)?;
        policy.trial.services_max = self.parsed("TRIAL_SERVICES_MAX", policy.trial.services_max)?;
        if let Some(excludes) = self.optional("TRIAL_EXCLUDES") {
            let skus = excludes.split(',').map(|sku| sku.trim().parse::<Sku>());
            let unusable = |error: crate::domain::ids::IdError| SettingsError::Unusable {
                variable: "TRIAL_EXCLUDES",
                why: error.to_string(),
            };
            policy.trial.excludes = skus.collect::<Result<_, _>>().map_err(unusable)?;
        }
        if policy.topup_min > policy.topup_max {
            let why = format!("must be at most TOPUP_MAX (${})", policy.topup_max);
            return Err(SettingsError::Unusable { variable: "TOPUP_MIN", why });
        }
        if policy.refill.amount_min > policy.refill.amount_max {
            let why = format!("must be at most REFILL_MAX (${})", policy.refill.amount_max);
            return Err(SettingsError::Unusable { variable: "REFILL_MIN", why });
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&'static str, &str)]) -> Result<Settings, SettingsError> {
        let tables = [("LEDGER_TABLE", "l"), ("ACCOUNTS_TABLE", "a")];
        Settings::read(|variable| {
            let of =
                |(name, value): &(&str, &str)| (*name == variable).then(|| (*value).to_owned());
            set.iter().find_map(of).or_else(|| tables.iter().find_map(of))
        })
    }

    #[test]
    fn what_is_not_set_has_the_products_defaults() {
        let settings = read(&[("BILLING_URL", "  ")]).unwrap();
        assert_eq!((settings.policy, settings.email_claim.as_str()), (Policy::default(), "email"));
        assert_eq!(settings.billing_url, None);
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named() {
        assert_eq!(Settings::read(|_| None), Err(SettingsError::Missing("LEDGER_TABLE")));
        let unusable = |set: &[(&'static str, &str)]| match read(set).unwrap_err() {
            SettingsError::Unusable { variable, .. } => variable,
            SettingsError::Missing(variable) => variable,
        };
        assert_eq!(unusable(&[("TOPUP_MAX", "lots")]), "TOPUP_MAX");
        assert_eq!(unusable(&[("TOPUP_MAX", "0.005")]), "TOPUP_MAX");
        assert_eq!(unusable(&[("TOPUP_MIN", "2000")]), "TOPUP_MIN");
        assert_eq!(unusable(&[("REFILL_MIN", "2000")]), "REFILL_MIN");
        assert_eq!(unusable(&[("GRACE_SECONDS", "-1")]), "GRACE_SECONDS");
        assert_eq!(unusable(&[("PAGES_PER_HOUR", "0")]), "PAGES_PER_HOUR");
        assert_eq!(unusable(&[("ROW_FORMAT", "1")]), "ROW_FORMAT");
        assert_eq!(unusable(&[("ROW_FORMAT", "99")]), "ROW_FORMAT");
        assert_eq!(unusable(&[("TRIAL_EXCLUDES", "vm,#")]), "TRIAL_EXCLUDES");
        let settings = read(&[("TRIAL_EXCLUDES", "vm, domain"), ("TOPUP_MAX", "500")]).unwrap();
        assert_eq!(
            (settings.policy.trial.excludes.len(), settings.policy.topup_max),
            (2, Usd::dollars(500))
        );
    }
}
