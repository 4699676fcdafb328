//! `GET` and `PUT /v1/company`: what invoices say of the customer. It stands in the profile and is
//! written through to Stripe; before there is a customer there, it is kept for when there is one.

use tollgate::domain::profile::CompanyDetails;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::company::CompanyError;
use tollgate::runtime::billing::Billing;

use crate::AccountClients;

/// `GET /v1/company`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    ApiAnswer::ok(&billing.store.profile(on.account()).await?.company)
}

/// `PUT /v1/company`: the whole of it; what is left out is nothing. What Stripe refuses changes
/// nothing here either.
pub(crate) async fn put(clients: &AccountClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let company: CompanyDetails = call.json()?;
    let on = OnAccount::of_caller(&clients.billing, call)?;
    on.ensure_open().await?;
    let account = on.account();
    let store = &clients.billing.store;
    let work = async {
        let request = call.key_at_stripe();
        let set_before = store.profile(account).await?.company;
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
        // Who makes a customer reads the profile before and after; if it did both before this was
        // written, it is told here.
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
