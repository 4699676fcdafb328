//! A resource as callers see it, from the list or from the row that changed it.

use std::collections::BTreeSet;

use serde::Serialize;
use tollgate::domain::account::{AccountState, Standing};
use tollgate::domain::event::Change;
use tollgate::domain::ids::ResourceId;
use tollgate::domain::money::Rate;
use tollgate::domain::prices::PriceList;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resources::{Address, Condition, Resource, Status};
use tollgate::domain::row::{Row, RowFault};
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::handler::{Failed, OnAccount};
use tollgate::store::Fault;

/// A resource as callers see it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    id: String,
    project: String,
    sku: String,
    kind: String,
    name: String,
    /// `new`, `running`, `suspended`, `stopped` or `deleted`.
    state: &'static str,
    /// USD per hour while it runs.
    rate_per_hour: String,
    /// Since when it is in this state (RFC 3339, UTC).
    since: String,
    /// `new` if it was restored: the old address is gone.
    address: &'static str,
}

impl Shown {
    /// A resource of an account in this state; `None` if it is gone for good. `at` says whose
    /// hour's rate is shown.
    pub(crate) fn of(
        resource: &Resource,
        state: &AccountState,
        prices: &PriceList,
        at: Timestamp,
    ) -> Result<Option<Shown>, Refusal> {
        let condition = resource.condition(state);
        if condition == Condition::Purged {
            return Ok(None);
        }
        let rate: Rate = resource.rate_at(prices, at)?;
        Ok(Some(Shown {
            id: resource.id.to_string(),
            project: resource.project.to_string(),
            sku: resource.sku.to_string(),
            kind: resource.kind.to_string(),
            name: resource.name.clone(),
            state: state_name(condition),
            rate_per_hour: rate.shown(),
            since: since(resource, condition, state).to_string(),
            address: address_name(resource.address),
        }))
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// What a resource is, in one word.
pub(crate) fn state_name(condition: Condition) -> &'static str {
    match condition {
        Condition::New => "new",
        Condition::Running => "running",
        Condition::Suspended => "suspended",
        Condition::Stopped => "stopped",
        Condition::Deleted { .. } => "deleted",
        Condition::Purged => "purged",
    }
}

/// Whether it needs a new address.
pub(crate) fn address_name(address: Address) -> &'static str {
    match address {
        Address::Kept => "kept",
        Address::New => "new",
    }
}

/// The one resource that a row changed, as it was after it.
///
/// The row of a stop names the resource and the row that had changed it before; that one, or one
/// before it, holds all of it. So the answer to a repeated request is the first one again, whatever
/// happened since.
pub(crate) async fn after_row(
    on: &OnAccount<'_>,
    row: &Row,
    id: &ResourceId,
) -> Result<Resource, Failed> {
    let mut changes = Vec::new();
    let mut seen = BTreeSet::from([row.seq]);
    let mut current = row.clone();
    let mut resource = loop {
        match change_of(&current, id) {
            Some(Changed::Whole(resource)) => break resource,
            Some(Changed::Status(status, before)) => {
                changes.push((status, current.event.at, current.seq));
                // Rows name earlier rows only; should one not, the ledger is broken and this must
                // end.
                if !seen.insert(before) {
                    return Err(Fault::from(RowFault::Missing {
                        expected: before,
                        found: current.seq,
                    })
                    .into());
                }
                current = on.row(before).await?;
            }
            None => {
                return Err(Fault::from(RowFault::Missing {
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

enum Changed {
    Whole(Resource),
    /// The new status, and the row that had changed it before.
    Status(Status, u64),
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "no other row changes a resource that is still there"
)]
fn change_of(row: &Row, id: &ResourceId) -> Option<Changed> {
    let (references, status) = match &row.event.change {
        Change::Created { resources } | Change::Started { resources, .. } => {
            return resources
                .iter()
                .find(|resource| resource.id == *id)
                .cloned()
                .map(Changed::Whole);
        }
        Change::StartFailed { resource, status, .. } => (std::slice::from_ref(resource), *status),
        Change::Stopped { resources, .. } => (resources.as_slice(), Status::Stopped),
        Change::ResourcesDeleted { resources, .. } => (resources.as_slice(), Status::Deleted),
        Change::Resumed { resources, .. } => (resources.as_slice(), Status::Running),
        _ => return None,
    };
    let reference = references.iter().find(|reference| reference.id == *id)?;
    Some(Changed::Status(status, reference.seq))
}

fn since(resource: &Resource, condition: Condition, state: &AccountState) -> Timestamp {
    match (condition, &state.standing) {
        (Condition::Deleted { at }, _) => at,
        (Condition::Suspended, Standing::Suspended(suspension)) => suspension.as_of,
        (
            Condition::New
            | Condition::Running
            | Condition::Suspended
            | Condition::Stopped
            | Condition::Purged,
            _,
        ) => resource.since,
    }
}
