//! Projects: they group resources and move no money.

use serde::{Deserialize, Serialize};
use tollgate::domain::ids::ProjectId;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::NAME_BYTES_MAX;
use tollgate::domain::row::Digest;
use tollgate::http::call::Call;
use tollgate::http::handler::{Answer, Failed, OnAccount};
use tollgate::runtime::billing::Billing;
use tollgate::store::{NamedProject, ProjectAdded};

use crate::ids::new_id;
use crate::paging::{Page, limit};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProject {
    name: String,
}

#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    name: String,
}

impl From<NamedProject> for Shown {
    fn from(project: NamedProject) -> Shown {
        Shown { id: project.id.into(), name: project.name }
    }
}

/// `POST /v1/projects`.
pub(crate) async fn create(billing: &Billing, call: &Call) -> Result<Answer, Failed> {
    let NewProject { name } = call.json()?;
    let on = OnAccount::of_caller(billing, call)?;
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(Refusal::NameNotUsable { bytes_max: NAME_BYTES_MAX }.into());
    }
    on.ensure_open().await?;
    let project = NamedProject { id: new_id("prj-", on.account(), call)?, name };
    let digest: Digest = call.digest();
    match billing.store.add_project(on.account(), &project, digest.as_str(), call.now).await? {
        ProjectAdded::There => Answer::created(&Shown::from(project)),
        ProjectAdded::KeyReused => Err(Refusal::KeyReused.into()),
    }
}

/// `GET /v1/projects`.
pub(crate) async fn list(billing: &Billing, call: &Call) -> Result<Answer, Failed> {
    let (limit, after) = (limit(call)?, call.query::<ProjectId>("cursor")?);
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    let found = billing.store.named_projects(on.account(), after.as_ref(), limit).await?;
    let items: Vec<Shown> = found.projects.into_iter().map(Shown::from).collect();
    Answer::ok(&Page { items, next: found.next.map(String::from) })
}

/// `GET /v1/projects/{project}`.
pub(crate) async fn get(billing: &Billing, call: &Call) -> Result<Answer, Failed> {
    let id: ProjectId = call.path("project")?;
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    let found = billing.store.named_project(on.account(), &id).await?;
    let project = found.ok_or(Refusal::UnknownProject { project: id })?;
    Answer::ok(&Shown::from(project))
}
