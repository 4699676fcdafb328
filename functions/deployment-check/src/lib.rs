//! `deployment-check`: a custom resource of the template. If the functions could not start with the
//! parameters, or the secret cannot be read, the deployment fails with the error that the functions
//! would have logged.
//!
//! CloudFormation's own patterns and rules check the form of each parameter. This function checks
//! the rest: whether amounts are consistent, lists are valid, the page can be served, the issuer of
//! tokens is one, and the secret exists, is readable and has a key. It does not call Stripe. A
//! deployment must not depend on Stripe, and the first one comes before the webhook's secret is
//! known.
//!
//! The answer goes to the address in the request
//! (docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide, "CloudFormation custom resource request
//! and response reference"). It is always sent within half a minute, because the deployment waits
//! for it.

mod answer;
mod issuer;
mod request;

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use aws_types::SdkConfig;
use console::ConsoleSettings;
use issuer::IssuerSetting;
use tollgate::runtime::settings::{ScopeClients, Settings, SettingsError};
use tollgate::stripe::secret::SecretError;
use tollgate::stripe::{OnDemand, StripeMode, StripeStartError};

pub use answer::{AnswerError, CheckAnswer, CheckStatus};
pub use request::{CheckRequest, CheckedStage, ResponseUrl};

/// The stage with paying customers. The template's rules use the same name.
const PRODUCTION: &str = "prod";
/// The time limit to connect to the answer's address, in seconds.
const CONNECT_SECONDS: u64 = 2;
/// The time limit for sending the answer, in seconds.
const ANSWER_SECONDS: u64 = 3;

/// The parts that the function is built from.
#[derive(Debug)]
pub struct CheckClients {
    /// The AWS configuration for reading the secret.
    pub aws: SdkConfig,
    /// The HTTP client for the answer.
    pub way_back: SharedHttpConnector,
    /// The time limits for reading the secret and the issuer.
    pub patience: CheckTimeouts,
}

/// The time limits for reading the secret and the issuer. In a first deployment the function's role
/// is seconds old, and IAM takes time until all of AWS knows its permissions
/// (docs.aws.amazon.com/IAM/latest/UserGuide, "Changes that I make are not always immediately
/// visible").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckTimeouts {
    /// The pause between two attempts.
    pub pause: Duration,
    /// The maximum number of attempts.
    pub attempts_max: u32,
    /// The limit for everything together. With it and both attempts to send the answer, the
    /// function stays within Lambda's timeout.
    pub give_up_after: Duration,
}

impl Default for CheckTimeouts {
    fn default() -> CheckTimeouts {
        CheckTimeouts {
            pause: Duration::from_secs(2),
            attempts_max: 7,
            give_up_after: Duration::from_secs(18),
        }
    }
}

/// Why the deployment must fail.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Page(#[from] console::PageSettingsError),
    #[error(transparent)]
    Issuer(#[from] issuer::IssuerError),
    #[error(transparent)]
    Stripe(#[from] StripeStartError),
    /// Every customer signs in with the page's client, and a provider may give its users any scope.
    #[error(
        "the Billing page's client (PAGE_CLIENT_ID) is listed in {0}. Every customer could get that scope. Use another client"
    )]
    PageClientListed(&'static str),
    /// Customers could sign in on the page.
    #[error(
        "the staff page (STAFF_PAGE_CLIENT_ID) needs an issuer of its own (STAFF_ISSUER). At TOKEN_ISSUER, customers could sign in there and get its scope"
    )]
    StaffPageForCustomers,
    /// Nobody could do anything on the page.
    #[error(
        "the staff page's client (STAFF_PAGE_CLIENT_ID) is not listed in STAFF_CLIENTS. Its tokens would have no scope"
    )]
    StaffPageClientNotListed,
    #[error(
        "STAFF_AUDIENCE is {0:?}, which TOKEN_AUDIENCE lists, and both have the same issuer. Customers' tokens would count as staff's. Use another audience"
    )]
    StaffAudienceShared(String),
    #[error(
        "the secret (STRIPE_SECRET_ARN) holds a Stripe test key, and STAGE is prod. Test cards would buy credit"
    )]
    TestMode,
    #[error(
        "the secret (STRIPE_SECRET_ARN) or a token issuer (TOKEN_ISSUER, STAFF_ISSUER) did not respond within {0:?}"
    )]
    Late(Duration),
}

/// The HTTP client for the answer, whose address is a presigned URL of S3.
///
/// # Errors
/// [`SettingsError`] if Amazon's certificates cannot be used.
pub fn way_back() -> Result<SharedHttpConnector, SettingsError> {
    let timeouts = HttpConnectorSettings::builder()
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS))
        .read_timeout(Duration::from_secs(ANSWER_SECONDS))
        .build();
    tollgate::runtime::aws::connector(timeouts)
}

/// Checks the functions' configuration and answers CloudFormation.
///
/// # Errors
/// [`AnswerError`] if the answer could not be sent. CloudFormation then waits until the
/// template's timeout.
pub async fn handle(
    clients: &CheckClients,
    value_of: impl Fn(&'static str) -> Option<String>,
    request: &CheckRequest,
) -> Result<CheckAnswer, AnswerError> {
    let checked = match request.asked {
        CheckedStage::Create => check(clients, value_of).await,
        // The issuer existed when the stack was created, and API Gateway reads a new one itself. An
        // outage now must not block a release or a rollback.
        CheckedStage::Update => match check(clients, value_of).await {
            Err(CheckError::Issuer(error)) if error.is_away() => {
                tracing::warn!(%error, "deployed all the same");
                Ok(())
            }
            checked => checked,
        },
        // Nothing needs deleting, and a stack must be deletable with any parameters.
        CheckedStage::Delete => Ok(()),
    };
    let answer = match checked {
        Ok(()) => CheckAnswer::success(request),
        Err(unfit) => {
            tracing::error!(%unfit, "this cannot be deployed");
            CheckAnswer::failed(request, &unfit.to_string())
        }
    };
    answer.put(&clients.way_back, &request.response_url).await?;
    Ok(answer)
}

async fn check(
    clients: &CheckClients,
    value_of: impl Fn(&'static str) -> Option<String>,
) -> Result<(), CheckError> {
    let settings = Settings::read(&value_of)?;
    let page = ConsoleSettings::read(&value_of)?;
    let page_client = value_of("PAGE_CLIENT_ID").unwrap_or_default();
    check_page_client(page_client.trim(), &settings.scope_clients)?;
    let staff_client = value_of("STAFF_PAGE_CLIENT_ID").unwrap_or_default();
    let staff_client = staff_client.trim();
    let issuer = value_of("TOKEN_ISSUER").unwrap_or_default();
    let staff = value_of("STAFF_ISSUER").filter(|issuer| !issuer.trim().is_empty());
    check_staff_page(staff_client, &settings.scope_clients, &issuer, staff.as_deref())?;
    // Created for each request, because it caches the secret.
    let stripe = OnDemand::read(&clients.aws, &value_of)?;
    let limit = clients.patience.give_up_after;
    // Boxed, because the compiler's recursion limit is reached with one more future around the
    // SDK's.
    let mode = Box::pin(mode(&stripe, clients.patience));
    check_staff_audience(&value_of, &issuer, staff.as_deref())?;
    let issuers = async {
        let console = (!page_client.trim().is_empty()).then_some(&page);
        let customers = IssuerSetting { variable: "TOKEN_ISSUER", issuer: &issuer, page: console };
        let customers = issuer::check(&customers, clients.patience);
        let staff = async {
            let Some(issuer) = &staff else { return Ok(()) };
            let page = (!staff_client.is_empty()).then_some(&page);
            let staff = IssuerSetting { variable: "STAFF_ISSUER", issuer, page };
            issuer::check(&staff, clients.patience).await
        };
        match tokio::join!(customers, staff) {
            // One that is wrong stays wrong, so it is reported before one that is away.
            (Err(away), Err(wrong)) if away.is_away() => Err(wrong),
            (customers, staff) => customers.and(staff),
        }
    };
    let both = async { tokio::join!(mode, issuers) };
    let (mode, issued) =
        tokio::time::timeout(limit, both).await.map_err(|_| CheckError::Late(limit))?;
    if mode? == StripeMode::Test && value_of("STAGE").as_deref() == Some(PRODUCTION) {
        return Err(CheckError::TestMode);
    }
    Ok(issued?)
}

/// With an issuer and an audience of customers, a customer's token would be one for staff.
fn check_staff_audience(
    value_of: impl Fn(&'static str) -> Option<String>,
    issuer: &str,
    staff_issuer: Option<&str>,
) -> Result<(), CheckError> {
    let Some(own) = value_of("STAFF_AUDIENCE").filter(|own| !own.trim().is_empty()) else {
        return Ok(());
    };
    let of_customers = value_of("TOKEN_AUDIENCE").unwrap_or_default();
    let is_shared = of_customers.split(',').any(|audience| audience.trim() == own.trim());
    let is_same_issuer = staff_issuer.is_none_or(|staff| staff == issuer);
    if is_shared && is_same_issuer {
        return Err(CheckError::StaffAudienceShared(own));
    }
    Ok(())
}

/// The page's client may use neither the scope of staff nor that of the platform.
fn check_page_client(page_client: &str, clients: &ScopeClients) -> Result<(), CheckError> {
    for (variable, listed) in
        [("STAFF_CLIENTS", &clients.staff), ("PLATFORM_CLIENTS", &clients.platform)]
    {
        if listed.iter().any(|client| client == page_client) {
            return Err(CheckError::PageClientListed(variable));
        }
    }
    Ok(())
}

/// Everybody at its issuer can sign in on the page, and a provider may give them any scope.
fn check_staff_page(
    client: &str,
    clients: &ScopeClients,
    issuer: &str,
    staff_issuer: Option<&str>,
) -> Result<(), CheckError> {
    if client.is_empty() {
        return Ok(());
    }
    if staff_issuer.is_none_or(|staff| staff.trim() == issuer.trim()) {
        return Err(CheckError::StaffPageForCustomers);
    }
    if clients.staff.iter().any(|listed| listed == client) {
        Ok(())
    } else {
        Err(CheckError::StaffPageClientNotListed)
    }
}

/// The mode of the key in the secret.
async fn mode(stripe: &OnDemand, patience: CheckTimeouts) -> Result<StripeMode, CheckError> {
    let mut attempt = 1;
    loop {
        match stripe.get().await {
            Ok(stripe) => return Ok(stripe.mode()),
            Err(StripeStartError::Secret(SecretError::Unreadable { .. }))
                if attempt < patience.attempts_max =>
            {
                attempt += 1;
                tokio::time::sleep(patience.pause).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
