//! `GET` and `PUT /v1/company`: the billing details on invoices. They are stored in the profile and
//! at Stripe. Before the customer exists at Stripe, only the profile has them.

use tollgate::domain::account::TaxMode;
use tollgate::domain::ids::AccountId;
use tollgate::domain::profile::CompanyDetails;
use tollgate::domain::tax_ids;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::company::CompanyError;
use tollgate::runtime::billing::Billing;

use crate::AccountClients;

/// Handles `GET /v1/company`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    ApiAnswer::ok(&billing.store.profile(on.account()).await?.company)
}

/// Handles `PUT /v1/company`. The request replaces all details, and missing fields are cleared. If
/// Stripe refuses them, the profile does not change either.
pub(crate) async fn put(clients: &AccountClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let company: CompanyDetails = call.json()?;
    tax_ids::check(&company).map_err(|error| {
        Problem::new(ProblemCode::TaxIdRefused, format!("{error}."))
            .with("parameter", error.field())
    })?;
    let on = OnAccount::of_caller(&clients.billing, call)?;
    on.ensure_not_erased().await?;
    let account = on.account();
    let store = &clients.billing.store;
    let work = async {
        let request = call.key_at_stripe();
        let set_before = store.profile(account).await?.company;
        if set_before.address.is_some() && company.address.is_none() {
            check_address_unneeded(clients, call, account).await?;
        }
        let before = store.customer_profile(account).await?.customer;
        if let Some(customer) = &before {
            let told = clients
                .payments(call)
                .await?
                .write_company(account, customer, &set_before, &company, &request)
                .await;
            told.map_err(refused)?;
        }
        store.set_company(account, &company).await?;
        // The code that creates a customer reads the profile before and after. If it did both
        // before this write, the details are sent to Stripe here.
        let after = store.customer_profile(account).await?.customer;
        if let Some(customer) = after.filter(|after| Some(after) != before.as_ref()) {
            let told = clients
                .payments(call)
                .await?
                .write_company(account, &customer, &set_before, &company, &request)
                .await;
            told.map_err(refused)?;
        }
        ApiAnswer::ok(&company)
    };
    handler::once(&clients.billing, account, call, work).await
}

/// Refuses to take the address away while refills need it: without one, Stripe cannot compute their
/// tax, and would charge nothing.
async fn check_address_unneeded(
    clients: &AccountClients,
    call: &ApiCall,
    account: &AccountId,
) -> Result<(), ApiError> {
    let head = clients.billing.store.head(account).await?;
    if head.is_none_or(|head| head.state.refill.agreement.is_none()) {
        return Ok(());
    }
    match clients.unlimited_payments(call).await?.stripe.settings().tax {
        TaxMode::Off => Ok(()),
        TaxMode::Automatic => {
            let why = "The address determines the tax on refills. Turn off auto-refill before you \
                       remove it.";
            Err(Problem::new(ProblemCode::Conflict, why).with("parameter", "address").into())
        }
    }
}

fn refused(why: CompanyError) -> ApiError {
    match why {
        CompanyError::TaxId(why) => {
            Problem::new(ProblemCode::TaxIdRefused, why).with("parameter", "tax_id").into()
        }
        CompanyError::Address(why) => {
            Problem::new(ProblemCode::AddressRefused, why).with("parameter", "address").into()
        }
        CompanyError::Failure(failure) => failure.into(),
    }
}
