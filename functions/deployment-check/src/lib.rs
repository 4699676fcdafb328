//! `deployment-check`: a custom resource of the template. A deployment whose parameters the
//! functions could not start with, or whose secret cannot be read, fails with the sentence that
//! they would have logged, before a customer meets it.
//!
//! CloudFormation's own patterns and rules see each parameter's form. What they cannot see is here:
//! whether amounts go together, whether a list is one, whether the page could be served, whether
//! the issuer of tokens is one, whether the secret exists, may be read and holds a key. Stripe is
//! not asked: a deployment must not depend on Stripe being up, and a first one comes before the
//! webhook's secret is known.
//!
//! The answer is put where the request says
//! (docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide, "CloudFormation custom resource request
//! and response reference"). Whatever happens, there is one within half a minute: a deployment
//! waits for it.

mod answer;
mod issuer;
mod request;

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use aws_types::SdkConfig;
use console::ConsoleSettings;
use tollgate::runtime::settings::{Settings, SettingsError};
use tollgate::stripe::secret::SecretError;
use tollgate::stripe::{OnDemand, StartError, StripeMode};

pub use answer::{AnswerError, CheckAnswer, CheckStatus};
pub use request::{CheckRequest, CheckedStage, ResponseUrl};

/// The stage whose customers pay: the template's rules know it by the same name.
const PRODUCTION: &str = "prod";
/// How long it may take to connect to where the answer goes, in seconds.
const CONNECT_SECONDS: u64 = 2;
/// How long the answer may take, in seconds.
const ANSWER_SECONDS: u64 = 3;

/// What the function is built from.
#[derive(Debug)]
pub struct CheckClients {
    /// The cloud in which the secret is.
    pub aws: SdkConfig,
    /// The way to where the answer goes.
    pub way_back: SharedHttpConnector,
    /// How long secret and issuer are tried.
    pub patience: CheckTimeouts,
}

/// How long secret and issuer are tried. In a first deployment the function's role is seconds old,
/// and IAM takes its time until all of AWS knows what a role may do
/// (docs.aws.amazon.com/IAM/latest/UserGuide, "Changes that I make are not always immediately
/// visible").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckTimeouts {
    /// Between two attempts.
    pub pause: Duration,
    /// How often it is tried at the most.
    pub attempts_max: u32,
    /// After this all of it is given up. With it, and both attempts to put the answer, the function
    /// stays under Lambda's time-out.
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

/// IssuerErrorKind nothing should be deployed with this.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Page(#[from] console::PageSettingsError),
    #[error(transparent)]
    Issuer(#[from] issuer::IssuerError),
    #[error(transparent)]
    Stripe(#[from] StartError),
    #[error(
        "the secret (STRIPE_SECRET_ARN) holds a Stripe test key, and STAGE is prod. Test cards would buy credit"
    )]
    TestMode,
    #[error(
        "the secret (STRIPE_SECRET_ARN) or the token issuer (TOKEN_ISSUER) did not respond within {0:?}"
    )]
    Late(Duration),
}

/// The way to where the answer goes: an address in S3, signed in advance.
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

/// Checks what the functions are to start with, and answers CloudFormation.
///
/// # Errors
/// [`AnswerError`] if the answer could not be put where it belongs. CloudFormation then waits as long
/// as the template lets it.
pub async fn handle(
    clients: &CheckClients,
    value_of: impl Fn(&'static str) -> Option<String>,
    request: &CheckRequest,
) -> Result<CheckAnswer, AnswerError> {
    let checked = match request.asked {
        CheckedStage::Create => check(clients, value_of).await,
        // An issuer was there when the stack was made. That it is away now is no reason against a
        // release, nor against taking one back.
        CheckedStage::Update => match check(clients, value_of).await {
            Err(CheckError::Issuer(error)) if error.is_away() => {
                tracing::warn!(%error, "deployed all the same");
                Ok(())
            }
            checked => checked,
        },
        // There is nothing to remove, and a stack must be removable whatever its parameters are.
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
    Settings::read(&value_of)?;
    ConsoleSettings::read(&value_of)?;
    let issuer = value_of("TOKEN_ISSUER").unwrap_or_default();
    // Made anew for each request: what it has read once it does not read again.
    let stripe = OnDemand::read(&clients.aws, &value_of)?;
    let limit = clients.patience.give_up_after;
    // On the heap: the SDK's futures are so deep that the compiler gives up on one more around
    // them.
    let mode = Box::pin(mode(&stripe, clients.patience));
    let both = async { tokio::join!(mode, issuer::check(&issuer, clients.patience)) };
    let (mode, issued) =
        tokio::time::timeout(limit, both).await.map_err(|_| CheckError::Late(limit))?;
    if mode? == StripeMode::Test && value_of("STAGE").as_deref() == Some(PRODUCTION) {
        return Err(CheckError::TestMode);
    }
    Ok(issued?)
}

/// The mode of the key in the secret.
async fn mode(stripe: &OnDemand, patience: CheckTimeouts) -> Result<StripeMode, CheckError> {
    let mut attempt = 1;
    loop {
        match stripe.get().await {
            Ok(stripe) => return Ok(stripe.mode()),
            Err(StartError::Secret(SecretError::Unreadable { .. }))
                if attempt < patience.attempts_max =>
            {
                attempt += 1;
                tokio::time::sleep(patience.pause).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
