//! `GET` and `PUT /v1/account`: the customer's profile.

use serde::{Deserialize, Serialize};
use tollgate::domain::profile::EmailAddress;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::payments::PaymentError;
use tollgate::runtime::billing::Billing;

use crate::AccountClients;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileRequest {
    email: EmailAddress,
}

#[derive(Debug, Serialize)]
struct ProfileView<'a> {
    id: &'a str,
    /// Null until it is known. Without it, nothing can be bought.
    email: Option<EmailAddress>,
}

/// Handles `GET /v1/account`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    ApiAnswer::ok(&ProfileView { id: on.account().as_str(), email: on.email().await? })
}

/// Handles `PUT /v1/account`. It appends no row, because no decision depends on the address. Stripe
/// gets the address too, because Stripe sends the receipts.
pub(crate) async fn put(clients: &AccountClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let ProfileRequest { email } = call.json()?;
    let billing = &clients.billing;
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_not_erased().await?;
    let work = async {
        billing.store.set_email(on.account(), &email).await?;
        if let Some(customer) = billing.store.customer_profile(on.account()).await?.customer {
            clients
                .payments(call)
                .await?
                .stripe
                .write_email(&customer, &email)
                .await
                .map_err(PaymentError::from)?;
        }
        ApiAnswer::ok(&ProfileView { id: on.account().as_str(), email: Some(email.clone()) })
    };
    handler::once(billing, on.account(), call, work).await
}
