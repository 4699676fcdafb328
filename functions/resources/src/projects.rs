//! Projects: they group resources and move no money.

use serde::{Deserialize, Serialize};
use tollgate::domain::ids::ProjectId;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::NAME_BYTES_MAX;
use tollgate::domain::row::RowDigest;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::runtime::billing::Billing;
use tollgate::store::{NamedProject, ProjectAdded};

use crate::ids::new_id;
use crate::paging::{ListPage, limit};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProject {
    name: String,
}

#[derive(Debug, Serialize)]
struct ProjectView {
    id: String,
    name: String,
}

impl From<NamedProject> for ProjectView {
    fn from(project: NamedProject) -> ProjectView {
        ProjectView { id: project.id.into(), name: project.name }
    }
}

/// Handles `POST /v1/projects`.
pub(crate) async fn create(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let NewProject { name } = call.json()?;
    let on = OnAccount::of_caller(billing, call)?;
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(Refusal::NameNotUsable { bytes_max: NAME_BYTES_MAX }.into());
    }
    on.ensure_open().await?;
    let project = NamedProject { id: new_id("prj-", on.account(), call)?, name };
    let digest: RowDigest = call.digest();
    let (account, quotas) = (on.account(), billing.quotas(on.account()).await?);
    let added =
        billing.store.add_project(account, &project, digest.as_str(), &quotas, call.now).await?;
    match added {
        ProjectAdded::There => ApiAnswer::created(&ProjectView::from(project)),
        ProjectAdded::KeyReused => Err(Refusal::KeyReused.into()),
    }
}

/// Handles `GET /v1/projects`.
pub(crate) async fn list(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let (limit, after) = (limit(call)?, call.query::<ProjectId>("cursor")?);
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    let found = billing.store.named_projects(on.account(), after.as_ref(), limit).await?;
    let items: Vec<ProjectView> = found.projects.into_iter().map(ProjectView::from).collect();
    ApiAnswer::ok(&ListPage { items, next: found.next.map(String::from) })
}

/// Handles `GET /v1/projects/{project}`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let id: ProjectId = call.path("project")?;
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    let found = billing.store.named_project(on.account(), &id).await?;
    let project = found.ok_or(Refusal::UnknownProject { project: id })?;
    ApiAnswer::ok(&ProjectView::from(project))
}
