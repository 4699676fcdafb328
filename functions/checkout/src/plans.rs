//! `GET /v1/commit-plans` and `POST /v1/commit-plans/{plan}/checkout`.

use serde::{Deserialize, Serialize};
use tollgate::domain::ids::{PlanId, Sku};
use tollgate::domain::plans::{CommitOffer, PlanTerms};
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::Payments;
use tollgate::runtime::billing::Billing;

use crate::payment_page::{RefillTermsRequest, WantedPurchase, sell};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanRequest {
    /// The version of the offers that the customer read.
    version: u64,
    auto_refill: Option<RefillTermsRequest>,
}

#[derive(Debug, Serialize)]
struct PlansView {
    /// Goes up when staff change the offers. A purchase names it.
    version: u64,
    plans: Vec<PlanView>,
}

/// A plan that can be bought. Amounts are in USD.
#[derive(Debug, Serialize)]
struct PlanView {
    id: String,
    /// Before tax. The customer gets the same amount of credit, which never expires.
    price: String,
    bonus: String,
    /// Price and bonus together.
    credit: String,
    /// Calendar months until the bonus expires.
    months: u8,
    /// SKUs that the bonus does not pay for.
    excludes: Vec<String>,
    available_until: Option<String>,
}

impl From<&CommitOffer> for PlanView {
    fn from(offer: &CommitOffer) -> PlanView {
        let CommitOffer { price, terms, available_until, .. } = offer;
        let PlanTerms { plan, months, bonus, excludes } = terms;
        PlanView {
            id: plan.to_string(),
            price: price.to_string(),
            bonus: bonus.to_string(),
            credit: (*price + *bonus).to_string(),
            months: (*months).into(),
            excludes: excludes.iter().map(Sku::to_string).collect(),
            available_until: available_until.map(|until| until.to_string()),
        }
    }
}

/// Handles `GET /v1/commit-plans`: what can be bought now, the cheapest first.
pub(crate) async fn list(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let (version, offers) = current(billing).await?;
    let mut offers: Vec<CommitOffer> =
        offers.into_iter().filter(|offer| offer.is_available(call.now)).collect();
    offers.sort_by_key(|offer| (offer.price, offer.terms.bonus));
    ApiAnswer::ok(&PlansView { version, plans: offers.iter().map(PlanView::from).collect() })
}

/// Handles `POST /v1/commit-plans/{plan}/checkout`: makes a payment page, as for a top-up. Neither the
/// limit of a top-up nor that of the balance applies. Nobody buys other terms than those that were
/// read: the offers must still have the same version.
pub(crate) async fn checkout(
    payments: Payments<'_>,
    call: &ApiCall,
) -> Result<ApiAnswer, ApiError> {
    let PlanRequest { version: read, auto_refill } = call.json()?;
    let plan: PlanId = call.path("plan")?;
    let wish = async || {
        let (version, offers) = current(payments.billing).await?;
        if version != read {
            let why = "The plans on offer have changed. Look at them again before you buy one.";
            return Err(Problem::new(ProblemCode::OffersChanged, why).into());
        }
        let is_it =
            |offer: &CommitOffer| offer.terms.plan == plan && offer.is_available(payments.now);
        let unknown = || Problem::new(ProblemCode::NotFound, "This plan is not available.");
        Ok(WantedPurchase::Plan(offers.into_iter().find(is_it).ok_or_else(unknown)?))
    };
    sell(payments, call, auto_refill.as_ref(), wish).await
}

/// The version of the offers, and all of them.
async fn current(billing: &Billing) -> Result<(u64, Vec<CommitOffer>), ApiError> {
    let decided = billing.store.commit_offers().await?;
    Ok(decided.map_or((0, Vec::new()), |decided| (decided.version, decided.offers)))
}
