//! What must be set up at Stripe for all of this to work: a webhook endpoint with exactly the
//! events that matter and the version of the API that is understood, and a configuration of the
//! customer portal. `stripe-setup` makes it so, and `GET /v1/admin/health` looks whether it is.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use stripe_client_core::{RequestBuilder, StripeMethod};

use super::keys::IdempotencyKey;
use super::objects::{Metadata, NamedObject, ObjectList};
use super::{API_VERSION, Stripe, StripeError};
use crate::stripe::webhook_event::EVENTS;

/// Where the API takes webhooks.
pub const WEBHOOK_PATH: &str = "/v1/stripe/webhook";

/// By what our portal configuration is known.
const MARK: (&str, &str) = ("tollgate", "portal");

/// Stripe takes sixteen webhook endpoints of an account in each mode: one page has them all.
const PAGE: &str = "limit=100";

/// A webhook endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WebhookEndpoint {
    /// A Stripe ID, `we_…`.
    pub id: String,
    pub url: String,
    /// `enabled` or `disabled`.
    pub status: String,
    /// Which events, `*` for all.
    #[serde(default)]
    pub enabled_events: Vec<String>,
    /// In which version of the API events are written; the account's default if none is named. It
    /// never changes.
    pub api_version: Option<String>,
}

/// A webhook endpoint that was just made: only this answer shows what it signs with.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct NewWebhookEndpoint {
    /// A Stripe ID, `we_…`.
    pub id: String,
    /// The signing secret, `whsec_…`.
    pub secret: String,
}

/// Without the secret.
impl fmt::Debug for NewWebhookEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewWebhookEndpoint").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What the customer portal shows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PortalConfiguration {
    /// A Stripe ID, `bpc_…`.
    pub id: String,
    /// Whether sessions can be made with it.
    pub active: bool,
    /// Whether it is the one of sessions that name none.
    #[serde(default)]
    pub is_default: bool,
    /// Where it leads back to, if a session does not say.
    pub default_return_url: Option<String>,
    /// What can be done there.
    pub features: PortalFeatures,
    /// Ours has a mark.
    #[serde(default)]
    pub metadata: Metadata,
}

/// What can be done in the portal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PortalFeatures {
    /// Name, address, tax ids. Ours are set by `PUT /v1/company`, which keeps them.
    pub customer_update: PortalSwitch,
    pub invoice_history: PortalSwitch,
    pub payment_method_update: PortalSwitch,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct PortalSwitch {
    pub enabled: bool,
}

/// Whether Stripe computes tax.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TaxSettings {
    /// `active` or `pending`.
    pub status: String,
}

/// Our own account at Stripe.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OwnAccount {
    /// A Stripe ID, `acct_…`.
    pub id: String,
    /// Whether it may take payments.
    #[serde(default)]
    pub charges_enabled: bool,
}

impl WebhookEndpoint {
    /// What keeps it from being the one that is needed, in words; nothing if it is.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.status != "enabled" {
            faults.push(format!("its status is {}", self.status));
        }
        if !self.has_our_version() {
            let version = self.api_version.as_deref().unwrap_or("the account's default");
            faults.push(format!("its API version is {version}, not {API_VERSION}"));
        }
        let listed = |events: Vec<&str>| events.join(", ");
        let missing: Vec<&str> = EVENTS
            .into_iter()
            .filter(|event| !self.enabled_events.iter().any(|e| e == event))
            .collect();
        let foreign: Vec<&str> = self
            .enabled_events
            .iter()
            .map(String::as_str)
            .filter(|event| !EVENTS.contains(event))
            .collect();
        if !missing.is_empty() {
            faults.push(format!("it lacks the events {}", listed(missing)));
        }
        if !foreign.is_empty() {
            faults.push(format!("it has unexpected events {}", listed(foreign)));
        }
        faults
    }

    fn has_our_version(&self) -> bool {
        self.api_version.as_deref() == Some(API_VERSION)
    }
}

impl PortalConfiguration {
    /// What keeps customers from seeing their cards and invoices there, in words; nothing if they
    /// do.
    #[must_use]
    pub fn faults(&self) -> Vec<&'static str> {
        let faults = [
            (!self.active, "it is not active"),
            (!self.features.invoice_history.enabled, "invoices are not shown"),
            (!self.features.payment_method_update.enabled, "cards cannot be updated"),
        ];
        faults.into_iter().filter(|(is_so, _)| *is_so).map(|(_, fault)| fault).collect()
    }

    /// Whether it is the one that `stripe-setup` made.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.metadata.get(MARK.0).is_some_and(|mark| mark == MARK.1)
    }
}

/// What is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedSetup {
    /// Where the deployment takes webhooks.
    pub webhook_url: String,
    /// Where the portal leads back to, if a session does not say. Optional.
    pub return_url: Option<String>,
}

/// One change at Stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetupStep {
    /// A webhook endpoint is made.
    CreateEndpoint,
    /// It gets exactly the events that matter, and is enabled.
    UpdateEndpoint { id: String },
    /// One with the same address and another version, or a second one, gets no more events.
    DisableEndpoint { id: String },
    /// A portal configuration is made.
    CreatePortal,
    /// It is made what it should be.
    UpdatePortal { id: String },
}

impl fmt::Display for SetupStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupStep::CreateEndpoint => {
                write!(
                    f,
                    "create a webhook endpoint with {} events, API version {API_VERSION}",
                    EVENTS.len()
                )
            }
            SetupStep::UpdateEndpoint { id } => {
                write!(f, "enable {id} with exactly the {} expected events", EVENTS.len())
            }
            SetupStep::DisableEndpoint { id } => {
                write!(f, "disable the superseded endpoint {id} with the same URL")
            }
            SetupStep::CreatePortal => write!(f, "create a customer portal configuration"),
            SetupStep::UpdatePortal { id } => write!(f, "activate {id} with invoices and cards"),
        }
    }
}

/// What is to be changed; nothing if all is as it should be. The version of an endpoint cannot be
/// changed: another is made, and the old one disabled. What comes meanwhile Stripe sends again
/// until the new secret is known.
#[must_use]
pub fn plan(
    wanted: &WantedSetup,
    endpoints: &[WebhookEndpoint],
    portals: &[PortalConfiguration],
) -> Vec<SetupStep> {
    let mut steps = Vec::new();
    let here = || endpoints.iter().filter(|endpoint| endpoint.url == wanted.webhook_url);
    // One that is enabled is better than an older choice: its secret is the one in use.
    let ours = here()
        .filter(|endpoint| endpoint.has_our_version())
        .max_by_key(|endpoint| endpoint.status == "enabled");
    match ours {
        None => steps.push(SetupStep::CreateEndpoint),
        Some(endpoint) if !endpoint.faults().is_empty() => {
            steps.push(SetupStep::UpdateEndpoint { id: endpoint.id.clone() });
        }
        Some(_) => {}
    }
    let superseded = here()
        .filter(|other| other.status == "enabled" && ours.is_none_or(|ours| ours.id != other.id));
    steps.extend(superseded.map(|other| SetupStep::DisableEndpoint { id: other.id.clone() }));
    match portals.iter().find(|portal| portal.is_ours()) {
        None => steps.push(SetupStep::CreatePortal),
        Some(portal) => {
            let leads_elsewhere =
                wanted.return_url.is_some() && portal.default_return_url != wanted.return_url;
            if leads_elsewhere
                || portal.features.customer_update.enabled
                || !portal.faults().is_empty()
            {
                steps.push(SetupStep::UpdatePortal { id: portal.id.clone() });
            }
        }
    }
    steps
}

/// What a step left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetupResult {
    /// A new endpoint, with what it signs with.
    Endpoint(NewWebhookEndpoint),
    /// The portal configuration.
    Portal {
        /// A Stripe ID, `bpc_…`.
        id: String,
    },
    /// Nothing to be told.
    Changed,
}

/// What a function needs to be allowed, and a call that shows whether it is: about an object that
/// there is not, so that it changes nothing. Whoever may not, is told so before Stripe looks for
/// the object.
const NEEDS: [(&str, StripeMethod, &str, &str); 9] = [
    ("Customers: write", StripeMethod::Post, "/customers/cus_tollgate_none", "description=none"),
    (
        "Checkout Sessions: write",
        StripeMethod::Post,
        "/checkout/sessions/cs_tollgate_none/expire",
        "",
    ),
    ("PaymentIntents: read", StripeMethod::Get, "/payment_intents/pi_tollgate_none", ""),
    ("PaymentMethods: write", StripeMethod::Post, "/payment_methods/pm_tollgate_none/detach", ""),
    ("Invoices: write", StripeMethod::Post, "/invoices/in_tollgate_none/void", ""),
    (
        "Charges and Refunds: write",
        StripeMethod::Post,
        "/refunds",
        "payment_intent=pi_tollgate_none",
    ),
    ("Disputes: read", StripeMethod::Get, "/disputes/dp_tollgate_none", ""),
    (
        "Customer portal: write",
        StripeMethod::Post,
        "/billing_portal/sessions",
        "customer=cus_tollgate_none",
    ),
    ("Setup Intents: read", StripeMethod::Get, "/setup_intents/seti_tollgate_none", ""),
];

impl Stripe {
    /// All webhook endpoints.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn webhook_endpoints(&self) -> Result<Vec<WebhookEndpoint>, StripeError> {
        let list: ObjectList<WebhookEndpoint> =
            self.connection.ask(get_with("/webhook_endpoints", PAGE)).await?;
        Ok(list.data)
    }

    /// All configurations of the customer portal.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn portal_configurations(&self) -> Result<Vec<PortalConfiguration>, StripeError> {
        let list: ObjectList<PortalConfiguration> =
            self.connection.ask(get_with("/billing_portal/configurations", PAGE)).await?;
        Ok(list.data)
    }

    /// Whether tax can be computed.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn tax_settings(&self) -> Result<TaxSettings, StripeError> {
        self.connection.ask(get_with("/tax/settings", "")).await
    }

    /// Our own account.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn own_account(&self) -> Result<OwnAccount, StripeError> {
        self.connection.ask(get_with("/account", "")).await
    }

    /// What the key may not do of what functions need, with Stripe's words.
    ///
    /// # Errors
    /// [`StripeError`] if Stripe cannot be asked.
    pub async fn lacks(&self) -> Result<Vec<(&'static str, String)>, StripeError> {
        let mut lacks = Vec::new();
        for (what, method, path, form) in NEEDS {
            let mut request = RequestBuilder::new(method, path);
            if !form.is_empty() {
                request.body = Some(form.to_owned());
            }
            let answer: Result<NamedObject, StripeError> = self.connection.ask(request).await;
            match answer {
                Err(StripeError::Rejected(no)) if matches!(no.status, 401 | 403) => {
                    lacks.push((what, no.message));
                }
                Ok(_) | Err(StripeError::NotFound { .. } | StripeError::Rejected(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(lacks)
    }

    /// Makes one change.
    ///
    /// # Errors
    /// [`StripeError`]
    pub async fn carry_out(
        &self,
        step: &SetupStep,
        wanted: &WantedSetup,
    ) -> Result<SetupResult, StripeError> {
        match step {
            SetupStep::CreateEndpoint => {
                let mut form = endpoint_form();
                form.insert("url".to_owned(), wanted.webhook_url.clone());
                form.insert("api_version".to_owned(), API_VERSION.to_owned());
                form.insert("description".to_owned(), "Tollgate".to_owned());
                let request = post("/webhook_endpoints", &form);
                self.connection
                    .order(request, &IdempotencyKey::once("endpoint"))
                    .await
                    .map(SetupResult::Endpoint)
            }
            SetupStep::UpdateEndpoint { id } => {
                let mut form = endpoint_form();
                form.insert("disabled".to_owned(), "false".to_owned());
                self.change(&format!("/webhook_endpoints/{id}"), &form).await
            }
            SetupStep::DisableEndpoint { id } => {
                let form = Form::from([("disabled".to_owned(), "true".to_owned())]);
                self.change(&format!("/webhook_endpoints/{id}"), &form).await
            }
            SetupStep::CreatePortal => {
                let request = post("/billing_portal/configurations", &portal_form(wanted));
                let made: NamedObject =
                    self.connection.order(request, &IdempotencyKey::once("portal")).await?;
                Ok(SetupResult::Portal { id: made.id })
            }
            SetupStep::UpdatePortal { id } => {
                let mut form = portal_form(wanted);
                form.insert("active".to_owned(), "true".to_owned());
                self.change(&format!("/billing_portal/configurations/{id}"), &form).await
            }
        }
    }

    async fn change(&self, path: &str, form: &Form) -> Result<SetupResult, StripeError> {
        let _changed: NamedObject = self.connection.ask(post(path, form)).await?;
        Ok(SetupResult::Changed)
    }
}

type Form = BTreeMap<String, String>;

fn endpoint_form() -> Form {
    EVENTS
        .iter()
        .enumerate()
        .map(|(place, event)| (format!("enabled_events[{place}]"), (*event).to_owned()))
        .collect()
}

fn portal_form(wanted: &WantedSetup) -> Form {
    let (mark, value) = (format!("metadata[{}]", MARK.0), MARK.1);
    let mut form: Form = [
        ("features[customer_update][enabled]", "false"),
        ("features[invoice_history][enabled]", "true"),
        ("features[payment_method_update][enabled]", "true"),
        (mark.as_str(), value),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if let Some(url) = &wanted.return_url {
        form.insert("default_return_url".to_owned(), url.clone());
    }
    form
}

fn post(path: &str, form: &Form) -> RequestBuilder {
    RequestBuilder::new(StripeMethod::Post, path).form(form)
}

fn get_with(path: &str, query: &str) -> RequestBuilder {
    let mut request = RequestBuilder::new(StripeMethod::Get, path);
    request.query = Some(query.to_owned());
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(id: &str, version: &str, status: &str) -> WebhookEndpoint {
        WebhookEndpoint {
            id: id.to_owned(),
            url: "https://b.example/v1/stripe/webhook".to_owned(),
            status: status.to_owned(),
            enabled_events: EVENTS.map(str::to_owned).to_vec(),
            api_version: Some(version.to_owned()),
        }
    }

    #[track_caller]
    fn check(endpoints: &[WebhookEndpoint], expected: &[&str]) {
        let wanted = WantedSetup {
            webhook_url: "https://b.example/v1/stripe/webhook".to_owned(),
            return_url: None,
        };
        let steps = plan(&wanted, endpoints, &[]);
        let shown: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
        let shown: Vec<&str> =
            shown.iter().map(String::as_str).filter(|step| *step != "CreatePortal").collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn one_endpoint_of_our_version_is_enabled_in_the_end() {
        let old = "2024-01-01";
        check(&[], &["CreateEndpoint"]);
        check(&[endpoint("we_1", API_VERSION, "enabled")], &[]);
        check(&[endpoint("we_1", API_VERSION, "disabled")], &[r#"UpdateEndpoint { id: "we_1" }"#]);
        check(
            &[endpoint("we_1", old, "enabled")],
            &["CreateEndpoint", r#"DisableEndpoint { id: "we_1" }"#],
        );
        check(&[endpoint("we_2", API_VERSION, "enabled"), endpoint("we_1", old, "disabled")], &[]);
        let two = ["we_1", "we_2"].map(|id| endpoint(id, API_VERSION, "enabled"));
        check(&two, &[r#"DisableEndpoint { id: "we_1" }"#]);
        let elsewhere = WebhookEndpoint {
            url: "https://c.example".to_owned(),
            ..endpoint("we_1", old, "enabled")
        };
        check(&[elsewhere], &["CreateEndpoint"]);
        let all = WebhookEndpoint {
            enabled_events: vec!["*".to_owned()],
            ..endpoint("we_1", API_VERSION, "enabled")
        };
        check(&[all], &[r#"UpdateEndpoint { id: "we_1" }"#]);
    }
}
