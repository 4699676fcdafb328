//! `GET /v1/checkout-sessions/{id}` and `POST …/cancel`.

use serde_json::{Value, json};
use tollgate::http::handler::{ApiAnswer, ApiError};
use tollgate::payments::{PaymentError, Payments};
use tollgate::store::RowOrder;
use tollgate::stripe::StripeError;
use tollgate::stripe::objects::CheckoutSession;

/// Returns the status of the caller's own payment page. `paid` means that the credit is on the
/// balance. A session that Stripe reports as paid is credited here, so a customer who is back on
/// the page does not depend on a webhook.
pub(crate) async fn status(payments: Payments<'_>, id: &str) -> Result<ApiAnswer, ApiError> {
    let session = payments.stripe.retrieve_session(id).await?;
    credit(payments, &session).await;
    ApiAnswer::ok(&describe(payments, &session).await?)
}

/// Credits a paid session. A failure does not fail the request: the answer says `processing` until
/// the next request or the webhook succeeds.
async fn credit(payments: Payments<'_>, session: &CheckoutSession) {
    let id = &session.id;
    match payments.credit_session(session).await {
        Ok(_) => {}
        Err(
            failure @ (PaymentError::Refused(_)
            | PaymentError::Mismatch { .. }
            | PaymentError::UnknownCustomer { .. }),
        ) => tracing::error!(alarm = "event_not_recorded", session = id, why = %failure),
        Err(failure @ (PaymentError::Fault(_) | PaymentError::Stripe(_))) => {
            tracing::warn!(session = id, %failure, "the session is not credited yet");
        }
    }
}

/// Ends a payment page that nobody has paid at, and says where it stands.
pub(crate) async fn cancel(payments: Payments<'_>, id: &str) -> Result<ApiAnswer, ApiError> {
    match payments.stripe.expire_session(id).await {
        Ok(_) | Err(StripeError::Rejected(_)) => status(payments, id).await,
        Err(error) => Err(error.into()),
    }
}

async fn describe(payments: Payments<'_>, session: &CheckoutSession) -> Result<Value, ApiError> {
    let id = &session.id;
    match session.status.as_deref() {
        Some("open") => return Ok(json!({"id": id, "status": "open"})),
        Some("expired") => return Ok(json!({"id": id, "status": "expired"})),
        Some(_) | None => {}
    }
    let intent = session.payment_intent.as_ref();
    if let Some(payment) = intent.and_then(|intent| intent.id.parse().ok())
        && let Some(credited) = payments.billing.store.credited(&payment).await?
    {
        let seq = credited.seq;
        let page = payments
            .billing
            .store
            .rows(&credited.account, seq..seq + 1, RowOrder::OldestFirst, 1)
            .await?;
        let row = page.rows.first().map(|row| {
            json!({
                "seq": row.seq,
                "at": row.event.at.to_string(),
                "type": row.event.change.name(),
                "amount": row.event.amount().to_string(),
                "balance_after": row.state.balance().to_string(),
            })
        });
        return Ok(json!({"id": id, "status": "paid", "row": row}));
    }
    // A delayed payment that failed leaves its page complete and its payment without a method.
    let payment = intent
        .and_then(|intent| intent.object.as_ref())
        .and_then(|intent| intent.status.as_deref());
    let has_failed = matches!(payment, Some("requires_payment_method" | "canceled"));
    Ok(json!({"id": id, "status": if has_failed { "expired" } else { "processing" }}))
}
