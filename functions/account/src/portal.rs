//! `POST /v1/portal-sessions`: Stripe's customer portal for invoices, cards and addresses.

use serde::Serialize;
use serde_json::json;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::stripe::keys::IdempotencyKey;

use crate::AccountClients;

#[derive(Debug, Serialize)]
struct PortalSessionView {
    url: String,
}

/// Handles `POST /v1/portal-sessions`. The portal changes which card refills charge.
pub(crate) async fn open(clients: &AccountClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.no_body()?;
    call.caller()?.require_in_person("open the customer portal")?;
    let on = OnAccount::of_caller(&clients.billing, call)?;
    on.ensure_open().await?;
    let account = on.account();
    let nobody = || {
        let why = "There is no billing history yet. Add credit or a card first.";
        Problem::new(ProblemCode::Conflict, why)
            .with_action(json!({"add_card": "POST /v1/payment-methods/sessions"}))
    };
    let work = async {
        let customer = clients.billing.store.customer_profile(account).await?.customer;
        let customer = customer.ok_or_else(nobody)?;
        let payments = clients.payments(call).await?;
        let unset =
            || Problem::new(ProblemCode::Internal, "The operator has not configured a return URL.");
        let return_url =
            payments.stripe.settings().portal_return_url.as_deref().ok_or_else(unset)?;
        let key = IdempotencyKey::portal(account, &call.key_at_stripe());
        let session = payments.stripe.create_portal_session(&customer, return_url, &key).await?;
        ApiAnswer::created(&PortalSessionView { url: session.url })
    };
    handler::once(&clients.billing, account, call, work).await
}
