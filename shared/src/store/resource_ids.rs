//! Chosen resource IDs are unique in the installation: item `resource-id#R` / `claim` with its
//! `owner`, written in the transaction of the row that creates the resource.
//!
//! The claim stays when the resource is purged, so that no other account ever gets the ID. Its account
//! may use it again. Resources from before this rule have no claim.

use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};

use super::accounts::Appending;
use super::item::{item, malformed, number, parsed, text};
use super::{Store, StoreError};
use crate::domain::event::ListChange;
use crate::domain::ids::{AccountId, ResourceId};

const CLAIM: &str = "claim";

/// The claim of a chosen ID, on its way.
#[derive(Debug)]
pub(super) struct IdClaim {
    pub(super) id: ResourceId,
    pub(super) write: TransactWriteItem,
}

impl Store {
    /// The account that has a chosen ID, or had it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn owner_of_resource(
        &self,
        id: &ResourceId,
    ) -> Result<Option<AccountId>, StoreError> {
        let read = self.read_of(&partition(id), CLAIM).send().await;
        let found = read.map_err(|error| StoreError::of("GetItem", &error))?.item;
        let owner = found.map(|claim| parsed(&claim, "owner")).transpose();
        owner.map_err(malformed(format!("the claim of the resource {id}")))
    }

    /// The claims of the chosen IDs that a row uses for the first time.
    pub(super) fn id_claims(&self, row: &Appending<'_>) -> Result<Vec<IdClaim>, StoreError> {
        let change = row.event.list_change();
        let ids = match &change {
            ListChange::Put(_) => change.resources(),
            ListChange::Nothing
            | ListChange::SetStatus { .. }
            | ListChange::Remove(_)
            | ListChange::AddMeter(_)
            | ListChange::BillMeters(_) => Vec::new(),
        };
        let is_new = |id: &&&ResourceId| !row.list.resources.contains_key(**id);
        let chosen = ids.iter().filter(is_new).filter(|id| !id.is_generated());
        chosen.map(|id| self.id_claim(row, id)).collect()
    }

    fn id_claim(&self, row: &Appending<'_>, id: &ResourceId) -> Result<IdClaim, StoreError> {
        let claim = item([
            ("pk", text(partition(id))),
            ("sk", text(CLAIM)),
            ("owner", text(row.account.as_str())),
            ("row", number(row.before.next_seq)),
        ]);
        let put = Put::builder()
            .table_name(&self.tables.accounts)
            .set_item(Some(claim))
            .condition_expression("attribute_not_exists(pk) OR #owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(row.account.as_str()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| StoreError::Rejected { call: "PutItem", why: error.to_string() })?;
        let write = TransactWriteItem::builder().put(put).build();
        Ok(IdClaim { id: id.clone(), write })
    }
}

fn partition(id: &ResourceId) -> String {
    format!("resource-id#{id}")
}
