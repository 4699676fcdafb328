//! Projects with their names, and what makes a request for one repeatable.
//!
//! A project is no row: it moves no money. Its id is derived from the request, so a repeated
//! request meets its own project, and the digest kept with it tells whether it is the same request.
//! So the key of a project never expires.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};

use super::accounts::{SortKeys, project_key};
use super::backoff::Backoff;
use super::item::{
    StoredItem, account_partition, item, malformed, number, number_of, parsed, text, text_of,
};
use super::search::SearchKey;
use super::write::WriteOutcome;
use super::{CommandError, Store, StoreError};
use crate::domain::ids::{AccountId, ProjectId};
use crate::domain::quotas::AccountQuotas;
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::Timestamp;

/// The item whose version goes up with every project of an account.
pub(super) const PROJECT_LIST: &str = "project-list";

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
    /// The projects are counted, and the new one is written only if none was added since. So the
    /// quota holds exactly, however many requests come at once.
    ///
    /// # Errors
    /// [`CommandError::Refused`] as [`AccountQuotas::check_projects`], or with [`Refusal::Erased`];
    /// [`CommandError::Fault`].
    pub async fn add_project(
        &self,
        account: &AccountId,
        project: &NamedProject,
        digest: &str,
        quotas: &AccountQuotas,
        now: Timestamp,
    ) -> Result<ProjectAdded, CommandError> {
        let SearchKey { shard, place } = SearchKey::of_project(&project.id);
        let new = item([
            ("pk", text(account_partition(account))),
            ("sk", text(project_key(&project.id))),
            ("search_shard", text(shard)),
            ("search_text", text(place)),
            ("name", text(&project.name)),
            ("digest", text(digest)),
            ("at", number(now.seconds())),
        ]);
        let mut losses = Backoff::for_losses();
        loop {
            // The version first: a project that is added later is not counted, and changes it.
            let version = self.project_list_version(account).await?;
            if let Some(known) = self.project_item(account, &project.id).await? {
                let is_same = text_of(&known, "digest").is_ok_and(|known| known == digest);
                return Ok(if is_same { ProjectAdded::There } else { ProjectAdded::KeyReused });
            }
            quotas.check_projects(self.projects(account).await?.len())?;
            let writes = [
                self.new_account_item(new.clone())?,
                self.next_project_list_version(account, version)?,
            ];
            if let WriteOutcome::Done = self.write(&writes).await? {
                return Ok(ProjectAdded::There);
            }
            let attempts = losses.attempts();
            losses.pause().await.map_err(|_| StoreError::Contended { attempts })?;
        }
    }

    /// `None` before the first project that a release with quotas added.
    async fn project_list_version(&self, account: &AccountId) -> Result<Option<u64>, CommandError> {
        let Some(item) = self.account_item(account, PROJECT_LIST).await? else { return Ok(None) };
        if item.contains_key("erased") {
            return Err(Refusal::Erased.into());
        }
        let version = number_of(&item, "version");
        Ok(version.map(Some).map_err(malformed(format!("the project list of {account}")))?)
    }

    fn next_project_list_version(
        &self,
        account: &AccountId,
        version: Option<u64>,
    ) -> Result<TransactWriteItem, StoreError> {
        let key = [("pk", text(account_partition(account))), ("sk", text(PROJECT_LIST))];
        let update = Update::builder()
            .set_key(Some(item(key)))
            .update_expression("SET version = :next")
            .expression_attribute_values(":next", number(version.unwrap_or_default() + 1));
        let update = match version {
            Some(version) => update
                .condition_expression("version = :version")
                .expression_attribute_values(":version", number(version)),
            None => update.condition_expression("attribute_not_exists(version)"),
        };
        self.account_update(update)
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
        let (partition, after) = (account_partition(account), after.map(project_key));
        let (items, next) = self
            .items_page(&partition, SortKeys::Beginning("project#"), after.as_deref(), Some(limit))
            .await?;
        let wrong = malformed(account.as_str());
        let projects = items.iter().map(named).collect::<Result<_, _>>().map_err(&wrong)?;
        let next = next.as_deref().map(id_of).transpose().map_err(wrong)?;
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
    let id = id_of(text_of(item, "sk")?)?;
    let name =
        if item.contains_key("name") { parsed(item, "name")? } else { id.as_str().to_owned() };
    Ok(NamedProject { id, name })
}

fn id_of(sort_key: &str) -> Result<ProjectId, String> {
    sort_key.trim_start_matches("project#").parse().map_err(|error| format!("sk: {error}"))
}
