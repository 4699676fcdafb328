//! `GET /v1/admin/health`: whether all dependencies of a deployment exist and respond. The status
//! is 200 even if a check fails. The body has the result.

use std::time::Duration;

use serde::Serialize;
use tollgate::domain::account::TaxMode;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError};
use tollgate::stripe::setup::{PortalConfiguration, WEBHOOK_PATH, WebhookEndpoint};
use tollgate::stripe::{API_VERSION, Stripe, StripeError, StripeMode};

use crate::AdminClients;

/// The time limit for all calls to Stripe together. The HTTP API times out after thirty seconds.
const STRIPE_SECONDS: u64 = 20;

/// The key that the ledger check reads. No claim ever has it.
const NO_CLAIM: &str = "health";

/// The results of all checks.
#[derive(Debug, Serialize)]
struct HealthView {
    /// Whether all checks passed.
    ok: bool,
    checks: Vec<HealthCheck>,
}

/// The result of one check.
#[derive(Debug, Serialize)]
struct HealthCheck {
    name: &'static str,
    ok: bool,
    /// The finding, for humans.
    detail: String,
}

/// The finding, or the error.
type CheckResult = Result<String, String>;

impl HealthCheck {
    fn new(name: &'static str, found: CheckResult) -> HealthCheck {
        let ok = found.is_ok();
        HealthCheck { name, ok, detail: found.unwrap_or_else(|wrong| wrong) }
    }
}

/// Handles `GET /v1/admin/health`.
pub(crate) async fn get(clients: &AdminClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let store = &clients.billing.store;
    let ledger = store.claim(NO_CLAIM).await.map(|_none| "readable".to_owned());
    let accounts = store.prices().await.map(|prices| {
        let word = if prices == tollgate::domain::prices::PriceList::default() {
            "readable, no prices set"
        } else {
            "readable"
        };
        word.to_owned()
    });
    let bus = clients.bus.as_deref().filter(|bus| !bus.is_empty()).map(str::to_owned);
    let mut checks = vec![
        HealthCheck::new("ledger", ledger.map_err(|fault| fault.to_string())),
        HealthCheck::new("accounts", accounts.map_err(|fault| fault.to_string())),
        HealthCheck::new("bus", bus.ok_or_else(|| "EVENT_BUS is not set".to_owned())),
    ];
    match clients.stripe.get().await {
        Ok(stripe) => {
            let all =
                tokio::time::timeout(Duration::from_secs(STRIPE_SECONDS), of_stripe(stripe)).await;
            let too_slow = || {
                HealthCheck::new(
                    "stripe",
                    Err(format!("no response within {STRIPE_SECONDS} seconds")),
                )
            };
            checks.extend(all.unwrap_or_else(|_elapsed| vec![too_slow()]));
        }
        Err(error) => checks.push(HealthCheck::new("stripe", Err(error.to_string()))),
    }
    let health = HealthView { ok: checks.iter().all(|check| check.ok), checks };
    for wrong in health.checks.iter().filter(|check| !check.ok) {
        tracing::warn!(
            request_id = call.request_id,
            check = wrong.name,
            detail = wrong.detail,
            "not healthy"
        );
    }
    ApiAnswer::ok(&health)
}

async fn of_stripe(stripe: &Stripe) -> Vec<HealthCheck> {
    let reached = account(stripe).await;
    let is_reached = reached.is_ok();
    let mut checks = vec![HealthCheck::new("stripe", reached)];
    if is_reached {
        let (webhook, portal, tax) = tokio::join!(webhook(stripe), portal(stripe), tax(stripe));
        checks.push(HealthCheck::new("stripe_webhook", webhook));
        checks.push(HealthCheck::new("stripe_portal", portal));
        checks.push(HealthCheck::new("stripe_tax", tax));
        checks.push(HealthCheck::new("stripe_receipts", Ok(RECEIPTS.to_owned())));
    }
    checks
}

/// Stripe's API does not report it (API 2026-08-26).
const RECEIPTS: &str = "not checked. Stripe's API does not report whether customers get \
     e-mail receipts. See Customer emails in the dashboard's settings";

async fn account(stripe: &Stripe) -> CheckResult {
    let mode = match stripe.mode() {
        StripeMode::Test => "test mode",
        StripeMode::Live => "live mode",
    };
    match stripe.own_account().await {
        Ok(account) if account.charges_enabled => {
            Ok(format!("reached as {} in {mode}", account.id))
        }
        Ok(account) => Err(format!("{} cannot accept payments yet ({mode})", account.id)),
        // Stripe accepted the key, and only that is checked.
        Err(StripeError::Rejected(no)) if no.status == 403 => Ok(format!("reached in {mode}")),
        Err(StripeError::Rejected(no)) if no.status == 401 => {
            Err(format!("Stripe rejected the key ({mode})"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Several stages may share a Stripe account, each with its own endpoint. All enabled endpoints
/// must be correct.
async fn webhook(stripe: &Stripe) -> CheckResult {
    let endpoints = stripe.webhook_endpoints().await.map_err(|error| unasked(&error))?;
    let takes_ours = |endpoint: &&WebhookEndpoint| endpoint.url.ends_with(WEBHOOK_PATH);
    let ours: Vec<&WebhookEndpoint> = endpoints.iter().filter(takes_ours).collect();
    let enabled: Vec<&WebhookEndpoint> =
        ours.iter().copied().filter(|one| one.status == "enabled").collect();
    let looked_at = if enabled.is_empty() { &ours } else { &enabled };
    if looked_at.is_empty() {
        return Err(format!("no webhook endpoint points to {WEBHOOK_PATH}. Run stripe-setup"));
    }
    let faults =
        |one: &&WebhookEndpoint| format!("{} ({}): {}", one.id, one.url, one.faults().join("; "));
    let wrong: Vec<String> = looked_at
        .iter()
        .copied()
        .filter(|one| !one.faults().is_empty())
        .map(|one| faults(&one))
        .collect();
    if !wrong.is_empty() {
        return Err(format!("{}. Run stripe-setup", wrong.join(". ")));
    }
    let urls: Vec<&str> = looked_at.iter().map(|one| one.url.as_str()).collect();
    Ok(format!(
        "{} with exactly the expected events, API version {API_VERSION}",
        urls.join(" and ")
    ))
}

async fn portal(stripe: &Stripe) -> CheckResult {
    let all = stripe.portal_configurations().await.map_err(|error| unasked(&error))?;
    let named = stripe.settings().portal_configuration.as_deref();
    let is_used = |one: &&PortalConfiguration| named.map_or(one.is_default, |id| one.id == id);
    let used = all.iter().find(is_used).ok_or_else(|| match named {
        Some(id) => {
            format!("STRIPE_PORTAL_CONFIGURATION is {id}, which does not exist. Run stripe-setup")
        }
        None => {
            "STRIPE_PORTAL_CONFIGURATION is not set, and Stripe has no default. Run stripe-setup"
                .to_owned()
        }
    })?;
    let faults = used.faults();
    if faults.is_empty() {
        Ok(format!("{} shows cards and invoices", used.id))
    } else {
        Err(format!("{}: {}", used.id, faults.join("; ")))
    }
}

async fn tax(stripe: &Stripe) -> CheckResult {
    match stripe.settings().tax {
        TaxMode::Off => Ok("off, STRIPE_TAX is not automatic".to_owned()),
        TaxMode::Automatic => match stripe.tax_settings().await {
            Ok(tax) if tax.status == "active" => Ok("automatic, active in Stripe".to_owned()),
            Ok(tax) => Err(format!(
                "STRIPE_TAX is automatic, but Stripe's tax settings are {}",
                tax.status
            )),
            Err(error) => Err(unasked(&error)),
        },
    }
}

/// A restricted key may lack the permission to read.
fn unasked(error: &StripeError) -> String {
    if let StripeError::Rejected(no) = error
        && no.status == 403
    {
        return format!("the key lacks the permission: {}", no.message);
    }
    error.to_string()
}
