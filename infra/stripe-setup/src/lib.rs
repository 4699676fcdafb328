//! `stripe-setup`: sets up at Stripe the objects that a deployment needs, or lists the changes. It
//! is idempotent.
//!
//! [`tollgate::stripe::setup`] has the wanted setup and the plan. `GET /v1/admin/health` checks the
//! same setup.

use std::fmt::Write as _;

use tollgate::stripe::setup::{NewWebhookEndpoint, SetupResult, WEBHOOK_PATH, WantedSetup, plan};
use tollgate::stripe::{Stripe, StripeError, StripeMode};

/// The output of `--help`, and after a usage error.
pub const USAGE: &str = "\
Sets up Stripe for a deployment of Tollgate. A second run changes nothing.

    STRIPE_SECRET_KEY=sk_… cargo stripe-setup --webhook-url https://…/v1/stripe/webhook [OPTIONS]

    --webhook-url URL   the deployment's webhook URL: the template's output ApiEndpoint followed by /v1/stripe/webhook
    --return-url URL    the default return URL of the customer portal
    --dry-run           print the changes without making them
    --help              print this text";

/// The arguments of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupArguments {
    /// The wanted setup.
    pub wanted: WantedSetup,
    /// Whether anything is changed.
    pub run: SetupRun,
}

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupRun {
    /// Changes are listed, not made.
    Dry,
    /// The plan is carried out.
    Real,
}

impl SetupArguments {
    /// Reads the options. `None` for `--help`.
    ///
    /// # Errors
    /// The usage error, as text.
    pub fn read(mut words: impl Iterator<Item = String>) -> Result<Option<SetupArguments>, String> {
        let (mut webhook_url, mut return_url, mut run) = (None, None, SetupRun::Real);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} requires a value"));
            match word.as_str() {
                "--webhook-url" => webhook_url = Some(value()?),
                "--return-url" => return_url = Some(value()?),
                "--dry-run" => run = SetupRun::Dry,
                "--help" | "-h" => return Ok(None),
                unknown => return Err(format!("unknown argument {unknown}")),
            }
        }
        let webhook_url = webhook_url.ok_or("--webhook-url is required")?;
        let is_url = webhook_url.starts_with("https://") || webhook_url.starts_with("http://");
        if !is_url || !webhook_url.ends_with(WEBHOOK_PATH) {
            return Err(format!("{webhook_url} is not a URL that ends with {WEBHOOK_PATH}"));
        }
        Ok(Some(SetupArguments { wanted: WantedSetup { webhook_url, return_url }, run }))
    }
}

/// Reads the setup at Stripe, makes the necessary changes, and reports them and the manual steps.
///
/// # Errors
/// Requests that Stripe refuses or does not answer, as text.
pub async fn set_up(stripe: &Stripe, arguments: &SetupArguments) -> Result<String, String> {
    let failed = |error: StripeError| error.to_string();
    let lacks = stripe.lacks().await.map_err(failed)?;
    if !lacks.is_empty() {
        return Err(missing_permissions(&lacks));
    }
    let endpoints = stripe.webhook_endpoints().await.map_err(failed)?;
    let portals = stripe.portal_configurations().await.map_err(failed)?;
    let steps = plan(&arguments.wanted, &endpoints, &portals);
    let mode = match stripe.mode() {
        StripeMode::Test => "test mode",
        StripeMode::Live => "live mode",
    };
    let mut text =
        format!("Stripe, {mode}: the key has all permissions that the functions need.\n");
    if steps.is_empty() {
        text.push_str("Everything is already set up. Nothing was changed.\n");
    }
    let mut portal = portals.iter().find(|portal| portal.is_ours()).map(|portal| portal.id.clone());
    let mut secret = None;
    for step in &steps {
        if arguments.run == SetupRun::Dry {
            let _ = writeln!(text, "would {step}");
            continue;
        }
        let done = stripe
            .carry_out(step, &arguments.wanted)
            .await
            .map_err(|error| format!("{text}{step}: {error}"))?;
        let _ = writeln!(text, "done: {step}");
        match done {
            SetupResult::Endpoint(made) => secret = Some(made),
            SetupResult::Portal { id } => portal = Some(id),
            SetupResult::Changed => {}
        }
        // Stripe shows it this once: it must not be lost if a later step fails.
        if let Some(made) = secret.take() {
            text.push_str(&secret_note(&made));
        }
    }
    if let Some(portal) = portal {
        let _ = writeln!(text, "Set the parameter StripePortalConfiguration to {portal}");
    }
    if arguments.run == SetupRun::Real {
        text.push_str("The secret is JSON: {\"secret_key\": \"rk_… or sk_…\", \"webhook_secrets\": [\"whsec_…\"]}\n");
    }
    Ok(text)
}

fn missing_permissions(lacks: &[(&str, String)]) -> String {
    let listed: Vec<String> =
        lacks.iter().map(|(what, why)| format!("  {what}   ({why})")).collect();
    format!("The key lacks permissions. Nothing was changed:\n{}", listed.join("\n"))
}

fn secret_note(endpoint: &NewWebhookEndpoint) -> String {
    format!(
        "\nAdd this to webhook_secrets in the secret StripeSecretArn. Stripe never shows it again. Until \
         then webhooks are rejected, and Stripe retries them:\n\n  {}   (signs events from {})\n\n",
        endpoint.secret, endpoint.id
    )
}
