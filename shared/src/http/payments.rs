//! What the routes that ask Stripe do the same way: get the client, and answer what fails there.

use crate::http::call::ApiCall;
use crate::http::handler::{ApiError, FailureSeverity};
use crate::http::problem::{Problem, ProblemCode};
use crate::payments::{PaymentError, Payments};
use crate::runtime::billing::Billing;
use crate::stripe::{OnDemand, Stripe, StripeError};

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
            StripeError::RateLimited { .. } => transient(
                ProblemCode::Throttled,
                "Too many requests to the payment provider. Try again shortly.",
            ),
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
