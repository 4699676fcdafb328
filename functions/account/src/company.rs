//! `GET` and `PUT /v1/company`: what invoices say of the customer. It stands in the profile and is
//! written through to Stripe; before there is a customer there, it is kept for when there is one.

use tollgate::domain::profile::Company;
use tollgate::http::call::Call;
use tollgate::http::handler::{self, Answer, Failed, OnAccount};
use tollgate::http::problem::{Code, Problem};
use tollgate::payments::company::NotTold;
use tollgate::runtime::billing::Billing;

use crate::{Clients, desk, key_at_stripe};

/// `GET /v1/company`.
pub(crate) async fn get(billing: &Billing, call: &Call) -> Result<Answer, Failed> {
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    Answer::ok(&billing.store.profile(on.account()).await?.company)
}

/// `PUT /v1/company`: the whole of it; what is left out is nothing. What Stripe refuses changes
/// nothing here either.
pub(crate) async fn put(clients: &Clients, call: &Call) -> Result<Answer, Failed> {
    let company: Company = call.json()?;
    let on = OnAccount::of_caller(&clients.billing, call)?;
    on.ensure_open().await?;
    let account = on.account();
    let store = &clients.billing.store;
    let work = async {
        let request = key_at_stripe(call);
        let set_before = store.profile(account).await?.company;
        let before = store.customer_profile(account).await?.customer;
        if let Some(customer) = &before {
            let told = desk(clients, call)
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
            let told = desk(clients, call)
                .await?
                .write_company(account, &customer, &set_before, &company, &request)
                .await;
            told.map_err(refused)?;
        }
        Answer::ok(&company)
    };
    handler::once(&clients.billing, account, call, work).await
}

fn refused(why: NotTold) -> Failed {
    match why {
        NotTold::TaxId(why) => {
            Problem::new(Code::TaxIdRefused, why).with("parameter", "tax_id").into()
        }
        NotTold::Address(why) => {
            Problem::new(Code::AddressRefused, why).with("parameter", "address").into()
        }
        NotTold::Failure(failure) => failure.into(),
    }
}
