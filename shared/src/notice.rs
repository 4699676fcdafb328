//! What the world is told of a row: domain events for the bus.
//!
//! A row is the outbox: the function `publish` turns each new one into these events, at least once, in no promised
//! order. So each carries the account's `seq` and the state that resulted; a receiver drops what is older than what it
//! has. Events are small: a suspension names the account, not its ten thousand resources.

use serde::Serialize;

use crate::billables::{Resource, ResourceRef, Status};
use crate::event::{Change, CreditKind, PendingEnd, StartKind, StopReason, Want};
use crate::ids::AccountId;
use crate::row::Row;
use crate::state::{AccountState, Standing};

/// One event for the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// `account#seq#n`: the same however often it is published.
    pub id: String,
    /// The account.
    pub account: AccountId,
    /// The number of its row.
    pub seq: u64,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// The account after the row.
    pub state: NoticeState,
    /// What happened: the bus's `detail-type` is [`News::name`].
    #[serde(flatten)]
    pub news: News,
}

/// The account after the row, as far as it matters to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeState {
    /// In USD.
    pub balance: String,
    /// `good`, `suspended`, `deleting`, `deleted` or `closed`.
    pub standing: &'static str,
    /// Whether nothing new may be started.
    pub frozen: bool,
    /// Absent while nothing is billed by time (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_through: Option<String>,
    /// When everything will be deleted, if it will (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_at: Option<String>,
}

/// What happened. Amounts are strings in USD, times RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the fields are named by what they hold")]
pub enum News {
    /// The account was opened.
    AccountOpened {},
    /// Credit came in; `kind` is the row's [`Change::name`].
    CreditAdded { kind: &'static str, amount: String },
    /// Credit was taken by a refund or dispute; `kind` is the row's [`Change::name`].
    CreditTaken { kind: &'static str, amount: String },
    /// A grant's time was over with something left of it.
    CreditExpired { amount: String },
    /// A delayed payment was promised.
    PaymentPending { payment: String, amount: String },
    /// A delayed payment will not come: `failed`, `canceled` or `expired`.
    PaymentFailed { payment: String, reason: &'static str },
    /// A refill of this much is wanted.
    BalanceLow { refill: String },
    /// A refill attempt failed.
    RefillFailed { attempt: u32, paused: bool },
    /// A refill's payment waits for its customer.
    RefillNeedsCustomer { attempt: u32, void_at: String },
    /// A resource runs now.
    ResourceStarted { resource: NoticeResource },
    /// A resource that had been deleted runs again and needs a new address.
    ResourceRestored { resource: NoticeResource },
    /// A resource was stopped: `requested`, `credit` or `start_failed`.
    ResourceStopped { resource: NoticeResource, reason: &'static str },
    /// A resource was deleted; it can be restored for a while.
    ResourceDeleted { resource: NoticeResource },
    /// A resource is gone for good.
    ResourcePurged { resource: NoticeResource },
    /// Everything is off as of an instant.
    Suspended { as_of: String },
    /// The standing is good again.
    Resumed {},
    /// The grace is over.
    DeletionDue {},
    /// Everything was deleted.
    Deleted {},
    /// What was deleted with the whole account is gone for good.
    Purged {},
    /// The account was closed.
    Closed {},
    /// The account is frozen.
    Frozen {},
    /// The account is no longer frozen.
    Unfrozen {},
    /// A trial began.
    TrialStarted { ends_at: String },
    /// A trial ended.
    TrialEnded {},
}

/// A resource as events name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeResource {
    /// Its id.
    pub id: String,
    /// Its project.
    pub project: String,
    /// What it is.
    pub sku: String,
    /// What kind of thing that is.
    pub kind: String,
}

impl News {
    /// The bus's `detail-type`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            News::AccountOpened {} => "AccountOpened",
            News::CreditAdded { .. } => "CreditAdded",
            News::CreditTaken { .. } => "CreditTaken",
            News::CreditExpired { .. } => "CreditExpired",
            News::PaymentPending { .. } => "PaymentPending",
            News::PaymentFailed { .. } => "PaymentFailed",
            News::BalanceLow { .. } => "BalanceLow",
            News::RefillFailed { .. } => "RefillFailed",
            News::RefillNeedsCustomer { .. } => "RefillNeedsCustomer",
            News::ResourceStarted { .. } => "ResourceStarted",
            News::ResourceRestored { .. } => "ResourceRestored",
            News::ResourceStopped { .. } => "ResourceStopped",
            News::ResourceDeleted { .. } => "ResourceDeleted",
            News::ResourcePurged { .. } => "ResourcePurged",
            News::Suspended { .. } => "Suspended",
            News::Resumed {} => "Resumed",
            News::DeletionDue {} => "DeletionDue",
            News::Deleted {} => "Deleted",
            News::Purged {} => "Purged",
            News::Closed {} => "Closed",
            News::Frozen {} => "Frozen",
            News::Unfrozen {} => "Unfrozen",
            News::TrialStarted { .. } => "TrialStarted",
            News::TrialEnded {} => "TrialEnded",
        }
    }
}

/// Everything the world is told of a row, in a fixed order; nothing for an ordinary hour.
#[must_use]
pub fn notices(account: &AccountId, row: &Row) -> Vec<Notice> {
    let mut news = news_of_change(row);
    if let Some(Want::Now { amount, .. }) = row.event.want {
        news.push(News::BalanceLow { refill: amount.to_string() });
    }
    let state = state_of(&row.state);
    news.into_iter()
        .enumerate()
        .map(|(number, news)| Notice {
            id: format!("{account}#{}#{number}", row.seq),
            account: account.clone(),
            seq: row.seq,
            at: row.event.at.to_string(),
            state: state.clone(),
            news,
        })
        .collect()
}

fn news_of_change(row: &Row) -> Vec<News> {
    let change = &row.event.change;
    let (kind, amount) = (change.name(), row.event.amount());
    match change {
        Change::Opened => vec![News::AccountOpened {}],
        Change::Credited { kind: CreditKind::TopUp | CreditKind::Refill { .. } | CreditKind::Commit, .. }
        | Change::Granted { .. }
        | Change::GivenBack { .. } => vec![News::CreditAdded { kind, amount: amount.to_string() }],
        Change::TakenBack { .. } => vec![News::CreditTaken { kind, amount: (-amount).to_string() }],
        Change::Corrected { .. } if amount.is_negative() => {
            vec![News::CreditTaken { kind, amount: (-amount).to_string() }]
        }
        Change::Corrected { .. } => vec![News::CreditAdded { kind, amount: amount.to_string() }],
        Change::GrantExpired { .. } => vec![News::CreditExpired { amount: (-amount).to_string() }],
        Change::PaymentPending(pending) => {
            let (payment, amount) = (pending.payment.to_string(), pending.amount.to_string());
            vec![News::PaymentPending { payment, amount }]
        }
        Change::PaymentEnded { payment, how, .. } => {
            let reason = match how {
                PendingEnd::Failed => "failed",
                PendingEnd::Canceled => "canceled",
                PendingEnd::Expired => "expired",
            };
            vec![News::PaymentFailed { payment: payment.to_string(), reason }]
        }
        Change::Started { resources, how: StartKind::Started, .. } => {
            resources.iter().map(|resource| News::ResourceStarted { resource: resource.into() }).collect()
        }
        Change::Started { resources, how: StartKind::Restored { .. }, .. } => {
            resources.iter().map(|resource| News::ResourceRestored { resource: resource.into() }).collect()
        }
        Change::StartFailed { resource, status, .. } => {
            let resource = resource.into();
            match status {
                Status::Deleted => vec![News::ResourceDeleted { resource }],
                Status::New | Status::Running | Status::Stopped => {
                    vec![News::ResourceStopped { resource, reason: "start_failed" }]
                }
            }
        }
        Change::Stopped { resources, why, .. } => {
            let reason = match why {
                StopReason::Requested => "requested",
                StopReason::Credit => "credit",
            };
            resources.iter().map(|resource| News::ResourceStopped { resource: resource.into(), reason }).collect()
        }
        Change::ResourcesDeleted { resources, .. } => {
            resources.iter().map(|resource| News::ResourceDeleted { resource: resource.into() }).collect()
        }
        Change::Purged { resources, deletion, .. } => {
            let account = deletion.map(|_| News::Purged {});
            let single = resources.iter().map(|resource| News::ResourcePurged { resource: resource.into() });
            account.into_iter().chain(single).collect()
        }
        Change::Suspended { as_of, .. } => vec![News::Suspended { as_of: as_of.to_string() }],
        Change::Resumed { resources, .. } => {
            let started = resources.iter().map(|resource| News::ResourceStarted { resource: resource.into() });
            std::iter::once(News::Resumed {}).chain(started).collect()
        }
        Change::DeletionDue => vec![News::DeletionDue {}],
        Change::Deleted => vec![News::Deleted {}],
        Change::Closed { .. } => vec![News::Closed {}],
        Change::TrialStarted { ends_at, .. } => vec![
            News::TrialStarted { ends_at: ends_at.to_string() },
            News::CreditAdded { kind, amount: amount.to_string() },
        ],
        Change::TrialEnded => vec![News::TrialEnded {}],
        Change::RefillFailed { attempt, pause, .. } => {
            vec![News::RefillFailed { attempt: *attempt, paused: pause.is_some() }]
        }
        Change::RefillNeedsCustomer { attempt, void_at } => {
            vec![News::RefillNeedsCustomer { attempt: *attempt, void_at: void_at.to_string() }]
        }
        Change::Frozen { .. } | Change::DisputeOpened { .. } => vec![News::Frozen {}],
        Change::DisputeClosed { .. } if row.state.frozen.is_empty() => vec![News::Unfrozen {}],
        Change::DisputeClosed { .. } => vec![News::Frozen {}],
        Change::Unfrozen { .. } => vec![News::Unfrozen {}],
        Change::Created { .. }
        | Change::MeterOpened(_)
        | Change::Usage { .. }
        | Change::Metered { .. }
        | Change::RefillChanged { .. }
        | Change::CardRemoved { .. }
        | Change::RefillDue
        | Change::RefillBegun(_)
        | Change::ComebackChosen(_) => Vec::new(),
    }
}

fn state_of(state: &AccountState) -> NoticeState {
    let delete_at = match &state.standing {
        Standing::Suspended(suspension) => suspension.delete_at,
        Standing::Good | Standing::Deleting(_) | Standing::Deleted(_) | Standing::Closed => None,
    };
    NoticeState {
        balance: state.balance().to_string(),
        standing: state.standing.name(),
        frozen: !state.frozen.is_empty(),
        paid_through: state.paid_through().map(|through| through.to_string()),
        delete_at: delete_at.map(|delete_at| delete_at.to_string()),
    }
}

impl From<&Resource> for NoticeResource {
    fn from(resource: &Resource) -> NoticeResource {
        NoticeResource::from(&resource.reference())
    }
}

impl From<&ResourceRef> for NoticeResource {
    fn from(resource: &ResourceRef) -> NoticeResource {
        NoticeResource {
            id: resource.id.to_string(),
            project: resource.project.to_string(),
            sku: resource.sku.to_string(),
            kind: resource.kind.to_string(),
        }
    }
}
