//! Resources that start, stop or return together: those that a request names, those that a suspension
//! stopped, and those that were deleted with the account.

use serde::{Deserialize, Serialize};
use tollgate::domain::command::Command;
use tollgate::domain::event::{Change, ResourceChange};
use tollgate::domain::ids::ResourceId;
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::{self, ReturnOffer};
use tollgate::domain::resources::ReturningResources;
use tollgate::domain::row::Row;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::runtime::billing::Billing;
use tollgate::store::{Plan, StoreError};
use tollgate::views::needs::missing_for_start;

#[derive(Debug, Serialize)]
struct ReturningView {
    /// What `POST /v1/account/start` starts.
    start: OfferView,
    /// What `POST /v1/account/restore` restores.
    restore: OfferView,
}

#[derive(Debug, Serialize)]
struct OfferView {
    resources: usize,
    /// USD, of the resources that one request starts.
    rate_per_hour: String,
    /// The credit that is missing for them, in USD. Null if credit alone does not make it possible.
    needed: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StartRequest {
    /// Default: all that returns.
    #[serde(default)]
    resources: Option<Vec<ResourceId>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StopRequest {
    resources: Vec<ResourceId>,
}

#[derive(Debug, Serialize)]
struct ChangedView {
    /// The IDs of the resources that the request changed.
    resources: Vec<String>,
}

/// Handles `GET /v1/account/returning`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let on = OnAccount::of_caller(billing, call)?;
    let see = |view: &AccountSnapshot<'_>| -> Result<ReturningView, Refusal> {
        let offer = |which| offer(view, which, call.now.max(view.state().at));
        Ok(ReturningView {
            start: offer(ReturningResources::StoppedBySuspension)?,
            restore: offer(ReturningResources::DeletedWithAccount)?,
        })
    };
    ApiAnswer::ok(&on.look(see).await?.map_err(StoreError::Unpriced)?)
}

fn offer(
    view: &AccountSnapshot<'_>,
    which: ReturningResources,
    now: Timestamp,
) -> Result<OfferView, Refusal> {
    let offer = resolve::offer(view, which, now)?;
    let ReturnOffer { resources, rate, required, required_later } = offer;
    let missing = |required| missing_for_start(view.state(), required, now);
    let needed = match missing(required) {
        _ if resources == 0 => Some(Usd::ZERO),
        Some(missing) if missing.is_zero() => Some(missing),
        Some(_) => missing(required_later),
        None => None,
    };
    let needed = needed.map(|needed| needed.to_string());
    Ok(OfferView { resources, rate_per_hour: rate.shown(), needed })
}

/// Handles `POST /v1/account/start` and `POST /v1/account/restore`: those that the request names, all
/// or none; or as many as fit one row of those that return.
pub(crate) async fn start(
    billing: &Billing,
    call: &ApiCall,
    which: ReturningResources,
) -> Result<ApiAnswer, ApiError> {
    let StartRequest { resources } =
        if call.body().is_empty() { StartRequest::default() } else { call.json()? };
    change(billing, call, &|view, now| match (&resources, which) {
        (None, _) => resolve::start_returning(view, which, now),
        (Some(named), ReturningResources::StoppedBySuspension) => resolve::start(view, named, now),
        (Some(named), ReturningResources::DeletedWithAccount) => resolve::restore(view, named, now),
    })
    .await
}

/// Handles `POST /v1/account/stop`: all that the request names, or none.
pub(crate) async fn stop(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let StopRequest { resources } = call.json()?;
    change(billing, call, &|view, _| resolve::stop(view, &resources)).await
}

/// What a request does to several resources. A `dyn`, so that the binary holds `change` once.
type Decision<'d> = dyn Fn(&AccountSnapshot<'_>, Timestamp) -> Result<Command, Refusal> + Sync + 'd;

async fn change(
    billing: &Billing,
    call: &ApiCall,
    decision: &Decision<'_>,
) -> Result<ApiAnswer, ApiError> {
    let on = OnAccount::of_caller(billing, call)?;
    let command = |view: &AccountSnapshot<'_>| decision(view, call.now.max(view.state().at));
    let row = on.execute(call.cause(), Plan::on_snapshot(&command)).await?;
    Ok(ApiAnswer::ok(&ChangedView { resources: changed(&row) })?.of_row(row.seq))
}

fn changed(row: &Row) -> Vec<String> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "these requests make no other rows")]
    match &row.event.change {
        Change::Resource(ResourceChange::Started { resources, .. }) => {
            resources.iter().map(|resource| resource.id.to_string()).collect()
        }
        Change::Resource(ResourceChange::Stopped { resources, .. }) => {
            resources.iter().map(|resource| resource.id.to_string()).collect()
        }
        _ => Vec::new(),
    }
}
