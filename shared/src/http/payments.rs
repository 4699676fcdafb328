//! What the routes that ask Stripe do the same way: get the client, and answer what fails there.

use crate::domain::ids::AccountId;
use crate::domain::refusal::Refusal;
use crate::http::call::ApiCall;
use crate::http::handler::{ApiError, FailureSeverity};
use crate::http::problem::{Problem, ProblemCode};
use crate::payments::{PaymentError, Payments};
use crate::runtime::billing::Billing;
use crate::store::{CommandError, Counted, RequestCounter};
use crate::stripe::{OnDemand, Stripe, StripeError};

/// The length of the windows in which an account's requests are counted.
const WINDOW_SECONDS: i64 = 10;

/// Takes a customer's request from the account's budget for routes that call Stripe, so that one
/// account cannot use up Stripe's calls for all. The account must be open.
///
/// # Errors
/// [`Refusal::TooManyRequests`]; [`StoreError`](crate::store::StoreError).
pub async fn take_from_budget(
    billing: &Billing,
    account: &AccountId,
    call: &ApiCall,
) -> Result<(), CommandError> {
    let max = billing.settings.policy.stripe_requests_max;
    let counter = RequestCounter::ToStripe(account);
    match billing.store.count(counter, WINDOW_SECONDS, max, call.now).await? {
        Counted::Within => Ok(()),
        Counted::Full { until } => {
            Err(Refusal::TooManyRequests { wait_seconds: until - call.now }.into())
        }
    }
}

/// Ledger and Stripe at the time of one call.
///
/// # Errors
/// [`ProblemCode::Unavailable`] if Stripe's secret cannot be read or used.
pub async fn payments<'a>(
    billing: &'a Billing,
    stripe: &'a OnDemand,
    call: &ApiCall,
) -> Result<Payments<'a>, Problem> {
    let detail = "Stripe is temporarily unavailable. Try again in a moment.";
    let stripe = stripe_or_problem(stripe, call, detail).await?;
    Ok(Payments { billing, stripe, now: call.now })
}

/// Stripe, or a problem with this detail.
///
/// # Errors
/// [`ProblemCode::Unavailable`] if Stripe's secret cannot be read or used.
pub async fn stripe_or_problem<'a>(
    stripe: &'a OnDemand,
    call: &ApiCall,
    detail: &str,
) -> Result<&'a Stripe, Problem> {
    stripe.get().await.map_err(|error| {
        tracing::error!(
            alarm = "stripe_not_started",
            request_id = call.request_id,
            route = call.route,
            %error
        );
        Problem::new(ProblemCode::Unavailable, detail)
    })
}

impl From<PaymentError> for ApiError {
    fn from(failure: PaymentError) -> ApiError {
        match failure {
            PaymentError::Fault(fault) => fault.into(),
            PaymentError::Refused(refusal) => refusal.into(),
            PaymentError::Stripe(error) => error.into(),
            PaymentError::Mismatch { .. } | PaymentError::UnknownCustomer { .. } => {
                defect(failure.to_string())
            }
        }
    }
}

impl From<StripeError> for ApiError {
    fn from(error: StripeError) -> ApiError {
        let cause = error.to_string();
        let transient = |code, detail: &str| ApiError::Elsewhere {
            problem: Problem::new(code, detail),
            cause: cause.clone(),
            severity: FailureSeverity::Transient,
        };
        match error {
            StripeError::RateLimited { .. } => {
                let detail = "Too many requests to the payment provider. Try again shortly.";
                ApiError::Elsewhere {
                    problem: Problem::new(ProblemCode::Throttled, detail).with_retry_after(1),
                    cause,
                    severity: FailureSeverity::Transient,
                }
            }
            StripeError::KeyMisused { .. } => transient(
                ProblemCode::IdempotencyKeyReused,
                "The account changed since this idempotency key was first used. Use a new key.",
            ),
            StripeError::Unavailable { .. } => transient(
                ProblemCode::Unavailable,
                "The payment provider is not responding. Nothing was charged. Try again.",
            ),
            StripeError::Declined(_)
            | StripeError::AuthenticationRequired { .. }
            | StripeError::Unresolved { .. }
            | StripeError::NotFound { .. }
            | StripeError::Rejected(_) => defect(cause),
        }
    }
}

fn defect(cause: String) -> ApiError {
    let detail = "Nothing was charged. The error was logged. If it persists, contact support.";
    let problem = Problem::new(ProblemCode::Internal, detail);
    ApiError::Elsewhere { problem, cause, severity: FailureSeverity::Defect }
}
