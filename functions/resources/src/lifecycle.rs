//! Resources from their creation to their deletion and back.

use lambda_http::http::StatusCode;
use serde::{Deserialize, Serialize};
use tollgate::domain::command::Command;
use tollgate::domain::ids::{ProjectId, ResourceId, Sku};
use tollgate::domain::money::{Rate, RequestedRate};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::{self, NewResource};
use tollgate::domain::resources::Resource;
use tollgate::domain::row::Row;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::{ApiCall, PLATFORM_SCOPE};
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::store::{Plan, StoreError};

use crate::ids::new_id;
use crate::paging::{ListPage, limit};
use crate::shown::{ResourceView, after_row};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceRequest {
    sku: Sku,
    name: String,
    start: bool,
    #[serde(default)]
    id: Option<ResourceId>,
    #[serde(default)]
    rate: Option<RequestedRate>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StopRequest {
    #[serde(default)]
    reason: Option<StopReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum StopReason {
    /// The machine never came up.
    StartFailed,
}

/// Handles `POST /v1/projects/{project}/resources`.
pub(crate) async fn create(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let wanted: ResourceRequest = call.json()?;
    if wanted.rate.is_some() {
        call.caller_with(PLATFORM_SCOPE)?;
    }
    let on = OnAccount::of_caller(billing, call)?;
    let id = match wanted.id {
        Some(id) => chosen(id, call)?,
        None => new_id("srv-", on.account(), call)?,
    };
    let project_id: ProjectId = call.path("project")?;
    let project = billing.store.project(on.account(), &project_id).await?;
    let project = project.ok_or(Refusal::UnknownProject { project: project_id })?;
    let rate = wanted.rate.map(Rate::from);
    let new = [NewResource { id: id.clone(), sku: wanted.sku, name: wanted.name, rate }];
    let quotas = billing.quotas(on.account()).await?;
    let command = |view: &AccountSnapshot<'_>| {
        // Of a resource that exists, its creator learns that it does.
        if !view.billables().resources.contains_key(&id) {
            quotas.check_resources(view.billables().resources.len())?;
        }
        let now = time_of(view, call.now);
        if wanted.start {
            resolve::start_new(view, &project, &new, now)
        } else {
            resolve::create(view, &project, &new, now)
        }
    };
    let row = on.execute(call.cause(), Plan::on_snapshot(&command)).await?;
    answer(billing, &on, &row, &id, StatusCode::CREATED).await
}

/// Handles `GET /v1/projects/{project}/resources`.
pub(crate) async fn list(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let (limit, after) = (limit(call)?, call.query::<ResourceId>("cursor")?);
    let project: ProjectId = call.path("project")?;
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    if billing.store.project(on.account(), &project).await?.is_none() {
        return Err(Refusal::UnknownProject { project }.into());
    }
    let see = |view: &AccountSnapshot<'_>| {
        let all =
            view.billables().resources.values().filter(|resource| resource.project == project);
        let rest = all.filter(|resource| after.as_ref().is_none_or(|after| resource.id > *after));
        let shown = rest.filter_map(|resource| shown(view, resource, call.now).transpose());
        shown.collect::<Result<Vec<ResourceView>, Refusal>>()
    };
    let mut items = on.look(see).await?.map_err(StoreError::Unpriced)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| last.id().to_owned());
    ApiAnswer::ok(&ListPage { items, next })
}

/// Handles `GET /v1/projects/{project}/resources/{id}`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let target = ResourceTarget::of(call)?;
    let on = OnAccount::of_caller(billing, call)?;
    let see = |view: &AccountSnapshot<'_>| {
        let resource = target.find(view)?;
        shown(view, resource, call.now)?.ok_or_else(|| target.unknown())
    };
    let shown = on.look(see).await??;
    ApiAnswer::ok(&shown)
}

/// Handles `POST /v1/projects/{project}/resources/{id}/start`.
pub(crate) async fn start(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.no_body()?;
    change(billing, call, &|view, target, now| {
        resolve::start(view, std::slice::from_ref(&target.id), now)
    })
    .await
}

/// Handles `POST /v1/projects/{project}/resources/{id}/restore`.
pub(crate) async fn restore(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.no_body()?;
    change(billing, call, &|view, target, now| {
        resolve::restore(view, std::slice::from_ref(&target.id), now)
    })
    .await
}

/// Handles `DELETE /v1/projects/{project}/resources/{id}`.
pub(crate) async fn delete(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.no_body()?;
    change(billing, call, &|view, target, _| {
        resolve::delete(view, std::slice::from_ref(&target.id))
    })
    .await
}

/// Handles `POST /v1/projects/{project}/resources/{id}/stop`.
pub(crate) async fn stop(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let reason = if call.body().is_empty() { None } else { call.json::<StopRequest>()?.reason };
    match reason {
        None => {
            change(billing, call, &|view, target, _| {
                resolve::stop(view, std::slice::from_ref(&target.id))
            })
            .await
        }
        Some(StopReason::StartFailed) => start_failed(billing, call).await,
    }
}

/// Everything the start was charged comes back, so only who runs the machines may say that it
/// failed.
async fn start_failed(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller_with(PLATFORM_SCOPE)?;
    let target = ResourceTarget::of(call)?;
    let on = OnAccount::of_caller(billing, call)?;
    // A resource never changes its project, so it may be looked at before the command is decided.
    on.look(|view| target.find(view).map(drop)).await??;
    let row = on.execute(call.cause(), Plan::fail_start(&target.id)).await?;
    answer(billing, &on, &row, &target.id, StatusCode::OK).await
}

/// What a request does to its resource. A `dyn`, so that the binary holds `change` once.
type Decision =
    dyn Fn(&AccountSnapshot<'_>, &ResourceTarget, Timestamp) -> Result<Command, Refusal> + Sync;

/// Carries out a command on the resource that the path names.
async fn change(
    billing: &Billing,
    call: &ApiCall,
    command: &Decision,
) -> Result<ApiAnswer, ApiError> {
    let target = ResourceTarget::of(call)?;
    let on = OnAccount::of_caller(billing, call)?;
    let in_project = |view: &AccountSnapshot<'_>| {
        target.find(view)?;
        command(view, &target, time_of(view, call.now))
    };
    let row = on.execute(call.cause(), Plan::on_snapshot(&in_project)).await?;
    answer(billing, &on, &row, &target.id, StatusCode::OK).await
}

/// The resource that a path names.
struct ResourceTarget {
    project: ProjectId,
    id: ResourceId,
}

impl ResourceTarget {
    fn of(call: &ApiCall) -> Result<ResourceTarget, Problem> {
        Ok(ResourceTarget { project: call.path("project")?, id: call.path("id")? })
    }

    fn find<'v>(&self, view: &'v AccountSnapshot<'_>) -> Result<&'v Resource, Refusal> {
        let found = view
            .billables()
            .resources
            .get(&self.id)
            .filter(|resource| resource.project == self.project);
        found.ok_or_else(|| self.unknown())
    }

    fn unknown(&self) -> Refusal {
        Refusal::UnknownResource { resource: self.id.clone() }
    }
}

/// The resource as the row left it.
async fn answer(
    billing: &Billing,
    on: &OnAccount<'_>,
    row: &Row,
    id: &ResourceId,
    status: StatusCode,
) -> Result<ApiAnswer, ApiError> {
    let resource = after_row(on, row, id).await?;
    let at = row.event.at;
    let prices = billing.prices(at).await?;
    let shown = match ResourceView::of(&resource, &row.state, &prices, at) {
        Err(Refusal::UnknownSku { .. }) => {
            ResourceView::of(&resource, &row.state, &*billing.fresh_prices(at).await?, at)?
        }
        shown => shown?,
    };
    let shown = shown.ok_or_else(|| Refusal::UnknownResource { resource: id.clone() })?;
    let answer = if status == StatusCode::CREATED {
        ApiAnswer::created(&shown)?
    } else {
        ApiAnswer::ok(&shown)?
    };
    Ok(answer.of_row(row.seq))
}

fn shown(
    view: &AccountSnapshot<'_>,
    resource: &Resource,
    now: Timestamp,
) -> Result<Option<ResourceView>, Refusal> {
    ResourceView::of(resource, view.state(), view.prices(), time_of(view, now))
}

/// The time of a row that is decided now: never before the account's last one.
fn time_of(view: &AccountSnapshot<'_>, now: Timestamp) -> Timestamp {
    now.max(view.state().at)
}

/// An ID that the platform chose. Customers cannot choose one: IDs name machines and addresses, which
/// belong to the platform.
fn chosen(id: ResourceId, call: &ApiCall) -> Result<ResourceId, Problem> {
    let wrong = |why: &str| {
        Problem::new(ProblemCode::InvalidBody, format!("id: {why}.")).with("parameter", "id")
    };
    if !call.caller()?.has(PLATFORM_SCOPE) {
        return Err(wrong(
            "only the platform may choose an ID. Leave it out, and one is generated",
        ));
    }
    if id.is_generated() {
        return Err(wrong("IDs of this form are generated. Choose another one"));
    }
    if !id.is_plain() {
        let why = "must contain only letters, digits, '-', '_' and '.', and start with a letter or \
                   digit";
        return Err(wrong(why));
    }
    Ok(id)
}
