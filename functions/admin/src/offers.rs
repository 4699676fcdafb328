//! `GET` and `PUT /v1/admin/commit-offers`: the commit plans that customers can buy.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tollgate::domain::decide::check_reason;
use tollgate::domain::ids::{PlanId, Sku};
use tollgate::domain::money::Usd;
use tollgate::domain::plans::{CommitOffer, PlanMonths, PlanTerms, WrongOffer, check_offers};
use tollgate::domain::prices::PriceList;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::store::{OfferDecision, RecordOutcome};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OffersRequest {
    /// The version that the request replaces. 0 if nothing was offered before.
    version: u64,
    offers: Vec<OfferRequest>,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferRequest {
    id: PlanId,
    months: u8,
    /// In USD, before tax.
    price: String,
    /// In USD. Either this or `bonus_percent`.
    #[serde(default)]
    bonus: Option<String>,
    /// Of the price, in whole percent. Rounded up to a cent.
    #[serde(default)]
    bonus_percent: Option<u8>,
    /// SKUs that the bonus does not pay for.
    #[serde(default)]
    excludes: BTreeSet<Sku>,
    /// A time in RFC 3339. At once by default.
    #[serde(default)]
    available_from: Option<String>,
    /// A time in RFC 3339. Without end by default.
    #[serde(default)]
    available_until: Option<String>,
}

/// All offers. Who set them, when and why is null if nobody has set any.
#[derive(Debug, Serialize)]
struct OffersView {
    version: u64,
    offers: Vec<OfferView>,
    set_by: Option<String>,
    set_at: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct OfferView {
    id: String,
    months: u8,
    price: String,
    bonus: String,
    excludes: Vec<String>,
    available_from: Option<String>,
    available_until: Option<String>,
    /// Whether customers can buy it now.
    is_available: bool,
}

impl OfferView {
    fn of(offer: &CommitOffer, now: Timestamp) -> OfferView {
        let is_available = offer.is_available(now);
        let CommitOffer { price, terms, available_from, available_until } = offer;
        let PlanTerms { plan, months, bonus, excludes } = terms;
        OfferView {
            id: plan.to_string(),
            months: (*months).into(),
            price: price.to_string(),
            bonus: bonus.to_string(),
            excludes: excludes.iter().map(Sku::to_string).collect(),
            available_from: available_from.map(|from| from.to_string()),
            available_until: available_until.map(|until| until.to_string()),
            is_available,
        }
    }
}

impl OffersView {
    fn of(decided: Option<OfferDecision>, now: Timestamp) -> OffersView {
        let Some(OfferDecision { version, offers, by, at, reason }) = decided else {
            let (offers, set_by, set_at, reason) = (Vec::new(), None, None, None);
            return OffersView { version: 0, offers, set_by, set_at, reason };
        };
        OffersView {
            version,
            offers: offers.iter().map(|offer| OfferView::of(offer, now)).collect(),
            set_by: Some(by),
            set_at: Some(at.to_string()),
            reason: Some(reason),
        }
    }
}

/// Handles `GET /v1/admin/commit-offers`: the current offers, also those that are over or not yet
/// available, or those of an earlier `version`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let decided = match call.query::<u64>("version")? {
        None => billing.store.commit_offers().await?,
        Some(version) => {
            let unknown = || Problem::new(ProblemCode::NotFound, "There is no such version.");
            Some(billing.store.commit_offers_of(version).await?.ok_or_else(unknown)?)
        }
    };
    ApiAnswer::ok(&OffersView::of(decided, call.now))
}

/// Handles `PUT /v1/admin/commit-offers`. The request replaces all offers. What was bought, or is being
/// paid for, stays as it was offered.
pub(crate) async fn put(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let OffersRequest { version, offers, reason } = call.json()?;
    check_reason(&reason)?;
    let offers: Vec<CommitOffer> =
        offers.into_iter().map(CommitOffer::try_from).collect::<Result<_, _>>()?;
    check_offers(&offers).map_err(|refusal| Problem::from(&refusal).with("parameter", "offers"))?;
    check_known(&offers, &billing.store.prices().await?)?;
    let (by, version) = (call.caller()?.subject.to_string(), version.saturating_add(1));
    handler::once_since(billing, &call.caller()?.account, call, |at| {
        decide(billing, call, OfferDecision { version, offers, by, at, reason })
    })
    .await
}

async fn decide(
    billing: &Billing,
    call: &ApiCall,
    decision: OfferDecision,
) -> Result<ApiAnswer, ApiError> {
    if billing.store.decide_commit_offers(&decision).await? == RecordOutcome::Existing {
        let why = "The offers have changed since this version. Read them, and try again with the \
                   current version.";
        return Err(Problem::new(ProblemCode::OffersChanged, why).into());
    }
    let OfferDecision { version, by, reason, .. } = &decision;
    tracing::info!(request_id = call.request_id, version, by, reason, "commit offers");
    ApiAnswer::ok(&OffersView::of(Some(decision), call.now))
}

impl TryFrom<OfferRequest> for CommitOffer {
    type Error = Problem;

    fn try_from(wanted: OfferRequest) -> Result<CommitOffer, Problem> {
        let OfferRequest { id, bonus, bonus_percent, excludes, .. } = wanted;
        let field = |name: &str, why: String| wrong(name, format!("{name} of {id}: {why}."));
        let usd = |name: &str, text: &str| -> Result<Usd, Problem> {
            text.parse().map_err(|error| {
                let why = format!("{name} of {id}: {error}.");
                Problem::new(ProblemCode::InvalidAmount, why).with("parameter", name)
            })
        };
        let time = |name: &str, text: Option<String>| -> Result<Option<Timestamp>, Problem> {
            text.map(|text| text.parse::<Timestamp>())
                .transpose()
                .map_err(|error| field(name, error.to_string()))
        };
        let is_percent = bonus_percent.is_some();
        let months = PlanMonths::try_from(wanted.months)
            .map_err(|error| field("months", error.to_string()))?;
        let price = usd("price", &wanted.price)?;
        let bonus = match (bonus, bonus_percent) {
            (Some(bonus), None) => usd("bonus", &bonus)?,
            (None, Some(percent)) => price.pro_rata(percent.into(), 100).up_to_cents(),
            (Some(_), Some(_)) | (None, None) => {
                return Err(field("bonus", "set either bonus or bonus_percent".to_owned()));
            }
        };
        let available_from = time("available_from", wanted.available_from)?;
        let available_until = time("available_until", wanted.available_until)?;
        let terms = PlanTerms { plan: id.clone(), months, bonus, excludes };
        let offer = CommitOffer { price, terms, available_from, available_until };
        offer.check().map_err(|WrongOffer { field, refusal }| {
            // Who gave a percentage knows no amount of the bonus.
            let field = if field == "bonus" && is_percent { "bonus_percent" } else { field };
            Problem::from(&refusal).with("parameter", field).with("offer", id.to_string())
        })?;
        Ok(offer)
    }
}

/// A SKU that is mistyped would exclude nothing, and sold plans are not changed.
fn check_known(offers: &[CommitOffer], prices: &PriceList) -> Result<(), Problem> {
    let is_known = |sku: &&Sku| prices.iter().any(|price| price.sku == **sku);
    let mut excluded = offers.iter().flat_map(|offer| &offer.terms.excludes);
    match excluded.find(|sku| !is_known(sku)) {
        Some(sku) => {
            Err(Problem::from(&Refusal::UnknownSku { sku: sku.clone() })
                .with("parameter", "excludes"))
        }
        None => Ok(()),
    }
}

fn wrong(name: &str, why: String) -> Problem {
    Problem::new(ProblemCode::InvalidBody, why).with("parameter", name)
}
