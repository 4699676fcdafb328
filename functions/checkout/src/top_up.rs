//! `POST /v1/checkout-sessions`.

use serde::Deserialize;
use serde_json::json;
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError};
use tollgate::http::problem::Problem;
use tollgate::payments::Payments;

use crate::payment_page::{RefillTermsRequest, WantedPurchase, sell, usd};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckoutRequest {
    amount: String,
    auto_refill: Option<RefillTermsRequest>,
}

/// Makes a payment page for a top-up.
pub(crate) async fn checkout(
    payments: Payments<'_>,
    call: &ApiCall,
) -> Result<ApiAnswer, ApiError> {
    let CheckoutRequest { amount, auto_refill } = call.json()?;
    let amount = amount_of(payments, &amount)?;
    sell(payments, call, auto_refill.as_ref(), async || Ok(WantedPurchase::TopUp(amount))).await
}

fn amount_of(payments: Payments<'_>, amount: &str) -> Result<Usd, Problem> {
    let amount = usd(amount, "amount")?;
    payments.billing.settings.policy.check_topup(amount).map_err(|refusal| {
        let problem = Problem::from(&refusal);
        match (&refusal, &payments.billing.settings.operator_contact) {
            (Refusal::AmountTooLarge { .. }, Some(contact)) => {
                problem.with_action(json!({"contact": contact}))
            }
            _ => problem,
        }
    })?;
    Ok(amount)
}
