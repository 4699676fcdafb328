//! A resource as callers see it, from the list or from the row that changed it.

use std::collections::BTreeSet;

use serde::Serialize;
use tollgate::domain::account::{AccountState, Standing};
use tollgate::domain::event::{Change, ResourceChange, StandingChange};
use tollgate::domain::ids::ResourceId;
use tollgate::domain::money::Rate;
use tollgate::domain::prices::PriceList;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resources::{Resource, ResourceAddress, ResourceCondition, ResourceStatus};
use tollgate::domain::row::{Row, RowError};
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::handler::{ApiError, OnAccount};
use tollgate::store::StoreError;

/// A resource as callers see it.
#[derive(Debug, Serialize)]
pub(crate) struct ResourceView {
    id: String,
    project: String,
    sku: String,
    kind: String,
    name: String,
    /// `new`, `running`, `suspended`, `stopped` or `deleted`.
    state: &'static str,
    /// USD per hour while it runs.
    rate_per_hour: String,
    /// USD per hour in its state: of the data that is kept while it does not run.
    cost_per_hour: String,
    /// Since when it is in this state (RFC 3339, UTC).
    since: String,
    /// `new` if it was restored: the old address is gone.
    address: &'static str,
}

impl ResourceView {
    /// A resource of an account in this state; `None` if it is gone for good. `at` says whose
    /// hour's rate is shown.
    pub(crate) fn of(
        resource: &Resource,
        state: &AccountState,
        prices: &PriceList,
        at: Timestamp,
    ) -> Result<Option<ResourceView>, Refusal> {
        let condition = resource.condition(state);
        if condition == ResourceCondition::Purged {
            return Ok(None);
        }
        let rate: Rate = resource.rate_at(prices, at)?;
        Ok(Some(ResourceView {
            id: resource.id.to_string(),
            project: resource.project.to_string(),
            sku: resource.sku.to_string(),
            kind: resource.kind.to_string(),
            name: resource.shown_name().to_owned(),
            state: state_name(condition),
            rate_per_hour: rate.shown(),
            cost_per_hour: resource.cost_at(state, prices, at)?.shown(),
            since: since(resource, condition, state).to_string(),
            address: address_name(resource.address),
        }))
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// What a resource is, in one word.
pub(crate) fn state_name(condition: ResourceCondition) -> &'static str {
    match condition {
        ResourceCondition::New => "new",
        ResourceCondition::Running => "running",
        ResourceCondition::Suspended => "suspended",
        ResourceCondition::Stopped => "stopped",
        ResourceCondition::Deleted { .. } => "deleted",
        ResourceCondition::Purged => "purged",
    }
}

/// Whether it needs a new address.
pub(crate) fn address_name(address: ResourceAddress) -> &'static str {
    match address {
        ResourceAddress::Kept => "kept",
        ResourceAddress::New => "new",
    }
}

/// The one resource that a row changed, as it was after it: the answer to a repeated request is the
/// first one again. Rows do not hold its name, so that is the present one.
pub(crate) async fn after_row(
    on: &OnAccount<'_>,
    row: &Row,
    id: &ResourceId,
) -> Result<Resource, ApiError> {
    // A row that was written now has the name.
    if let Some(ResourceChangeView::Whole(resource)) = change_of(row, id)
        && !resource.name.is_empty()
    {
        return Ok(resource);
    }
    match on.resource(id).await? {
        Some(present) if present.seq == row.seq => Ok(present),
        // It has changed since.
        present => {
            let name = present.map(|present| present.name).unwrap_or_default();
            Ok(Resource { name, ..from_rows(on, row, id).await? })
        }
    }
}

/// The row of a stop names the resource and the row that had changed it before; that one, or one
/// before it, holds all of it but its name.
async fn from_rows(on: &OnAccount<'_>, row: &Row, id: &ResourceId) -> Result<Resource, ApiError> {
    let mut changes = Vec::new();
    let mut seen = BTreeSet::from([row.seq]);
    let mut current = row.clone();
    let mut resource = loop {
        match change_of(&current, id) {
            Some(ResourceChangeView::Whole(resource)) => break resource,
            Some(ResourceChangeView::Status(status, before)) => {
                changes.push((status, current.event.at, current.seq));
                // Rows name earlier rows only; should one not, the ledger is broken and this must
                // end.
                if !seen.insert(before) {
                    return Err(StoreError::from(RowError::Missing {
                        expected: before,
                        found: current.seq,
                    })
                    .into());
                }
                current = on.row(before).await?;
            }
            None => {
                return Err(StoreError::from(RowError::Missing {
                    expected: current.seq,
                    found: row.seq,
                })
                .into());
            }
        }
    };
    for (status, since, seq) in changes.into_iter().rev() {
        resource = Resource { status, since, seq, ..resource };
    }
    Ok(resource)
}

enum ResourceChangeView {
    Whole(Resource),
    /// The new status, and the row that had changed it before.
    Status(ResourceStatus, u64),
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "no other row changes a resource that is still there"
)]
fn change_of(row: &Row, id: &ResourceId) -> Option<ResourceChangeView> {
    let (references, status) = match &row.event.change {
        Change::Resource(
            ResourceChange::Created { resources } | ResourceChange::Started { resources, .. },
        ) => {
            return resources
                .iter()
                .find(|resource| resource.id == *id)
                .cloned()
                .map(ResourceChangeView::Whole);
        }
        Change::Resource(ResourceChange::StartFailed { resource, status, .. }) => {
            (std::slice::from_ref(resource), *status)
        }
        Change::Resource(ResourceChange::Stopped { resources, .. }) => {
            (resources.as_slice(), ResourceStatus::Stopped)
        }
        Change::Resource(ResourceChange::ResourcesDeleted { resources, .. }) => {
            (resources.as_slice(), ResourceStatus::Deleted)
        }
        Change::Standing(StandingChange::Resumed { resources, .. }) => {
            (resources.as_slice(), ResourceStatus::Running)
        }
        _ => return None,
    };
    let reference = references.iter().find(|reference| reference.id == *id)?;
    Some(ResourceChangeView::Status(status, reference.seq))
}

fn since(resource: &Resource, condition: ResourceCondition, state: &AccountState) -> Timestamp {
    match (condition, &state.standing) {
        (ResourceCondition::Deleted { at }, _) => at,
        (ResourceCondition::Suspended, Standing::Suspended(suspension)) => suspension.as_of,
        (
            ResourceCondition::New
            | ResourceCondition::Running
            | ResourceCondition::Suspended
            | ResourceCondition::Stopped
            | ResourceCondition::Purged,
            _,
        ) => resource.since,
    }
}
