//! Projects with their names, and what makes a request for one repeatable.
//!
//! A project is no row: it moves no money. Its id is derived from the request, so a repeated
//! request meets its own project, and the digest kept with it tells whether it is the same request.

use super::accounts::project_key;
use super::item::{StoredItem, account_partition, item, malformed, number, parsed, text, text_of};
use super::{RecordOutcome, Store, StoreError};
use crate::domain::ids::{AccountId, ProjectId};
use crate::domain::timestamp::Timestamp;

/// A project as its account sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedProject {
    /// Its id, unique within the account.
    pub id: ProjectId,
    /// What the customer calls it.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectPage {
    /// In the order of their ids.
    pub projects: Vec<NamedProject>,
    /// The project after which to go on; `None` if these were the last.
    pub next: Option<ProjectId>,
}

/// What became of a project that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectAdded {
    /// It is there, by this request or by the same one before.
    There,
    /// Its id is that of another request's project: the idempotency key was used before.
    KeyReused,
}

impl Store {
    /// Adds a project at `now` (UTC); `digest` tells the same request from another one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn add_project(
        &self,
        account: &AccountId,
        project: &NamedProject,
        digest: &str,
        now: Timestamp,
    ) -> Result<ProjectAdded, StoreError> {
        let new = item([
            ("pk", text(account_partition(account))),
            ("sk", text(project_key(&project.id))),
            ("name", text(&project.name)),
            ("digest", text(digest)),
            ("at", number(now.seconds())),
        ]);
        match self.put_new(new).await? {
            RecordOutcome::New => Ok(ProjectAdded::There),
            RecordOutcome::Existing => {
                let known = self.project_item(account, &project.id).await?;
                let known = known.as_ref().and_then(|item| text_of(item, "digest").ok());
                Ok(if known == Some(digest) {
                    ProjectAdded::There
                } else {
                    ProjectAdded::KeyReused
                })
            }
        }
    }

    /// A project with its name; `None` if the account has none of that id. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn named_project(
        &self,
        account: &AccountId,
        id: &ProjectId,
    ) -> Result<Option<NamedProject>, StoreError> {
        let found = self.project_item(account, id).await?;
        found
            .as_ref()
            .map(named)
            .transpose()
            .map_err(malformed(format!("project {id} of {account}")))
    }

    /// At most `limit` projects of the account, after the given one. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn named_projects(
        &self,
        account: &AccountId,
        after: Option<&ProjectId>,
        limit: u32,
    ) -> Result<ProjectPage, StoreError> {
        let partition = account_partition(account);
        let answer = self
            .client
            .query()
            .table_name(&self.tables.accounts)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(&partition))
            .expression_attribute_values(":prefix", text("project#"))
            .set_exclusive_start_key(
                after.map(|id| item([("pk", text(&partition)), ("sk", text(project_key(id)))])),
            )
            .limit(i32::try_from(limit.max(1)).unwrap_or(i32::MAX))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::of("Query", &error))?;
        let read = |item: &StoredItem| named(item).map_err(malformed(account.as_str()));
        let next = answer
            .last_evaluated_key
            .as_ref()
            .map(|key| read(key).map(|project| project.id))
            .transpose()?;
        let projects = answer.items().iter().map(read).collect::<Result<_, _>>()?;
        Ok(ProjectPage { projects, next })
    }

    async fn project_item(
        &self,
        account: &AccountId,
        id: &ProjectId,
    ) -> Result<Option<StoredItem>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.tables.accounts)
            .key("pk", text(account_partition(account)))
            .key("sk", text(project_key(id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::of("GetItem", &error))?;
        Ok(answer.item)
    }
}

/// A project without a name is called as its id.
fn named(item: &StoredItem) -> Result<NamedProject, String> {
    let id = text_of(item, "sk")?.trim_start_matches("project#");
    let name = if item.contains_key("name") { parsed(item, "name")? } else { id.to_owned() };
    Ok(NamedProject { id: id.parse().map_err(|error| format!("sk: {error}"))?, name })
}
