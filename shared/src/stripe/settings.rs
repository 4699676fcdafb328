//! What the operator sets about Stripe: read from the environment once, when a function starts.

use super::metadata::installation;
use super::objects::Metadata;
use super::secret::StripeSecret;
use crate::domain::account::TaxMode;
use crate::runtime::settings::SettingsError;

const API_BASE: &str = "https://api.stripe.com";

/// What the operator sets about Stripe.
#[derive(Clone, PartialEq, Eq)]
pub struct StripeSettings {
    /// The key, what webhooks are signed with, and whether money is real. As they were when the
    /// function started: what holds now, [`Stripe`](super::Stripe) knows.
    pub secret: StripeSecret,
    /// `INSTALLATION`: tells the payments of installations that share a Stripe account apart. All
    /// payments count as this installation's if it is not set.
    pub installation: Option<String>,
    /// `STRIPE_API_BASE`: only for tests and the local cloud; Stripe's own address by default.
    pub api_base: String,
    /// `CHECKOUT_SUCCESS_URL`, by default `BILLING_URL?session={CHECKOUT_SESSION_ID}`.
    pub success_url: Option<String>,
    /// `CHECKOUT_CANCEL_URL`, by default `BILLING_URL?checkout=canceled`.
    pub cancel_url: Option<String>,
    /// Where setting up a card ends: `BILLING_URL?card=added`.
    pub card_added_url: Option<String>,
    /// The same without a card: `BILLING_URL?card=canceled`.
    pub card_canceled_url: Option<String>,
    /// Where a page that starts a trial ends: `BILLING_URL?trial={CHECKOUT_SESSION_ID}`.
    pub trial_url: Option<String>,
    /// The same without a card: `BILLING_URL?trial=canceled`.
    pub trial_canceled_url: Option<String>,
    /// `STRIPE_PORTAL_CONFIGURATION`: `bpc_…`; Stripe's own default if it is not set.
    pub portal_configuration: Option<String>,
    /// `PORTAL_RETURN_URL`, by default `BILLING_URL`.
    pub portal_return_url: Option<String>,
    /// `STRIPE_TAX`: `automatic` if Stripe computes tax; off by default.
    pub tax: TaxMode,
    /// `STRIPE_TAX_CODE`: the tax code of credit, `txcd_…`. Optional.
    pub tax_code: Option<String>,
    /// `STRIPE_PAYMENT_METHODS`: `card` by default; `us_bank_account` for a delayed one, separated
    /// by commas.
    pub payment_methods: Vec<String>,
    /// `STRIPE_INVOICES`: `off` if top-ups make no invoice (Stripe charges for them); on by
    /// default.
    pub invoices: InvoicePolicy,
    /// `REFILL_DEFAULT`: `on` if an API caller that says nothing about refills agrees to them; off
    /// by default.
    pub refill_default: RefillDefault,
}

/// Whether top-ups make an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoicePolicy {
    On,
    /// Only a receipt.
    Off,
}

/// What a caller agrees to who says nothing about refills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefillDefault {
    Off,
    /// To refills: below the smaller of $10 and a fifth of the first top-up, by $25.
    On,
}

impl StripeSettings {
    /// Reads settings from anything that maps variables to values, the secret among them:
    /// `STRIPE_SECRET_KEY` and `STRIPE_WEBHOOK_SECRETS`.
    ///
    /// # Errors
    /// [`SettingsError`], naming the variable.
    pub fn read(
        value_of: impl Fn(&'static str) -> Option<String>,
    ) -> Result<StripeSettings, SettingsError> {
        let secret = StripeSecret::of_variables(&value_of)?
            .ok_or(SettingsError::Missing("STRIPE_SECRET_KEY"))?;
        StripeSettings::with(secret, value_of)
    }

    /// Reads everything but the secret.
    ///
    /// # Errors
    /// [`SettingsError`], naming the variable.
    pub fn with(
        secret: StripeSecret,
        value_of: impl Fn(&'static str) -> Option<String>,
    ) -> Result<StripeSettings, SettingsError> {
        let optional = |variable| {
            value_of(variable).map(|value| value.trim().to_owned()).filter(|v| !v.is_empty())
        };
        let switch = |variable, known: [&'static str; 2]| {
            let value = optional(variable);
            one_of(variable, value.as_deref(), known)
        };
        let methods = optional("STRIPE_PAYMENT_METHODS").unwrap_or_default();
        let mut payment_methods = parts_of(&methods);
        if payment_methods.is_empty() {
            payment_methods.push("card".to_owned());
        }
        let billing_url = optional("BILLING_URL");
        let page = |query: &str| billing_url.as_ref().map(|url| with_query(url, query));
        Ok(StripeSettings {
            secret,
            installation: optional("INSTALLATION"),
            api_base: optional("STRIPE_API_BASE").unwrap_or_else(|| API_BASE.to_owned()),
            success_url: optional("CHECKOUT_SUCCESS_URL")
                .or_else(|| page("session={CHECKOUT_SESSION_ID}")),
            cancel_url: optional("CHECKOUT_CANCEL_URL").or_else(|| page("checkout=canceled")),
            card_added_url: page("card=added"),
            card_canceled_url: page("card=canceled"),
            trial_url: page("trial={CHECKOUT_SESSION_ID}"),
            trial_canceled_url: page("trial=canceled"),
            portal_configuration: optional("STRIPE_PORTAL_CONFIGURATION"),
            portal_return_url: optional("PORTAL_RETURN_URL").or_else(|| billing_url.clone()),
            tax: if switch("STRIPE_TAX", ["off", "automatic"])? == "automatic" {
                TaxMode::Automatic
            } else {
                TaxMode::Off
            },
            tax_code: optional("STRIPE_TAX_CODE"),
            payment_methods,
            invoices: if switch("STRIPE_INVOICES", ["on", "off"])? == "on" {
                InvoicePolicy::On
            } else {
                InvoicePolicy::Off
            },
            refill_default: if switch("REFILL_DEFAULT", ["off", "on"])? == "on" {
                RefillDefault::On
            } else {
                RefillDefault::Off
            },
        })
    }

    /// Whether an object of a customer of ours is this installation's. Two installations that share
    /// a Stripe account may share a customer, too. Releases before November 2026 named none.
    #[must_use]
    pub fn is_own(&self, metadata: &Metadata) -> bool {
        let named = installation(metadata);
        named.is_none() || self.installation.is_none() || named == self.installation
    }
}

/// Without the secrets.
impl std::fmt::Debug for StripeSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StripeSettings")
            .field("api_base", &self.api_base)
            .field("mode", &self.secret.mode())
            .field("tax", &self.tax)
            .field("payment_methods", &self.payment_methods)
            .finish_non_exhaustive()
    }
}

/// The parts of a list that is separated by commas.
fn parts_of(list: &str) -> Vec<String> {
    let parts = list.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// A variable with two values, of which the first is the default.
fn one_of(
    variable: &'static str,
    value: Option<&str>,
    known: [&'static str; 2],
) -> Result<&'static str, SettingsError> {
    let Some(value) = value else { return Ok(known[0]) };
    known.into_iter().find(|known| *known == value).ok_or_else(|| {
        let why = format!("must be {} or {}, not {value}", known[0], known[1]);
        SettingsError::Unusable { variable, why }
    })
}

/// An address with one more parameter, before its fragment.
fn with_query(url: &str, query: &str) -> String {
    let (page, fragment) =
        url.split_once('#').map_or((url, None), |(page, fragment)| (page, Some(fragment)));
    let separator = if page.contains('?') { '&' } else { '?' };
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{page}{separator}{query}{fragment}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stripe::StripeMode;

    fn read(set: &[(&'static str, &str)]) -> Result<StripeSettings, SettingsError> {
        StripeSettings::read(|variable| {
            set.iter().find(|(name, _)| *name == variable).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_key_says_whether_money_is_real() {
        assert_eq!(
            read(&[("STRIPE_SECRET_KEY", "sk_test_1")]).unwrap().secret.mode(),
            StripeMode::Test
        );
        assert_eq!(
            read(&[("STRIPE_SECRET_KEY", "rk_live_1")]).unwrap().secret.mode(),
            StripeMode::Live
        );
        assert!(read(&[("STRIPE_SECRET_KEY", "pk_test_1")]).is_err());
        assert_eq!(read(&[]), Err(SettingsError::Missing("STRIPE_SECRET_KEY")));
    }

    #[test]
    fn pages_are_those_of_the_billing_page_unless_set() {
        let key = ("STRIPE_SECRET_KEY", "sk_test_1");
        let settings = read(&[key, ("BILLING_URL", "https://b.example/x#add")]).unwrap();
        assert_eq!(
            settings.success_url.as_deref(),
            Some("https://b.example/x?session={CHECKOUT_SESSION_ID}#add")
        );
        assert_eq!(settings.card_added_url.as_deref(), Some("https://b.example/x?card=added#add"));
        assert_eq!(settings.portal_return_url.as_deref(), Some("https://b.example/x#add"));
        assert_eq!(settings.payment_methods, ["card"]);
        assert!(read(&[key, ("STRIPE_TAX", "yes")]).is_err());
        let settings = read(&[key, ("STRIPE_WEBHOOK_SECRETS", "whsec_1, whsec_2,")]).unwrap();
        assert_eq!(settings.secret.webhook_secrets(), ["whsec_1", "whsec_2"]);
        assert!(!format!("{:?}", read(&[key]).unwrap()).contains("sk_test"));
    }
}
