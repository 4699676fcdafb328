//! What the world is told of a row: domain events for the bus.
//!
//! A row is the outbox: the function `publish` turns each new one into these events, at least once,
//! in no promised order. So each carries the account's `seq` and the state that resulted; a
//! receiver drops what is older than what it has. Events are small: a suspension names the account,
//! not its ten thousand resources.
//!
//! Some of them a customer should read in a mail: these have a [`CustomerNotice`]. Who gets it is no part
//! of the chain: `publish` adds the address.

use rust_decimal::Decimal;
use serde::Serialize;

use crate::domain::account::{AccountState, Grant, RefillAgreement, Standing, SuspensionReason};
use crate::domain::apply::is_refill_possible;
use crate::domain::event::{
    BilledLines, Change, CreditKind, Event, PendingEnd, RefillDecline, RefillWant, StartKind,
    StopReason,
};
use crate::domain::funds::{Fund, FundDelta};
use crate::domain::ids::AccountId;
use crate::domain::money::{Rate, Usd};
use crate::domain::policy::Policy;
use crate::domain::refill::{ChargeTiming, allowed};
use crate::domain::resources::{Resource, ResourceRef, ResourceStatus};
use crate::domain::row::Row;
use crate::domain::settle::runway::lasts_until;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};

/// One event for the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainEvent {
    /// `account#seq#n`: the same however often it is published.
    pub id: String,
    /// The account.
    pub account: AccountId,
    /// The number of its row.
    pub seq: u64,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// The account after the row.
    pub state: DomainEventState,
    /// What happened: the bus's `detail-type` is [`DomainEventDetail::name`].
    #[serde(flatten)]
    pub news: DomainEventDetail,
    /// What the customer is to be told, if it is one of the events they should read in a mail.
    #[serde(skip)]
    pub warning: Option<CustomerNotice>,
}

/// What a customer is to be told, as far as the row knows: what to do, until when, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerNotice {
    /// In USD, what will be or was to be charged to the card, or else the least credit to add:
    ///
    /// - `BalanceLow`: what the refill charges, before tax
    /// - `RefillFailed`, `RefillNeedsCustomer`: what was to be charged, before tax
    /// - `CreditLow`: the least top-up after which the credit lasts for a day
    /// - `Suspended`, `DeletionSoon`, `DeletionDue`, `Deleted`: the least top-up that ends it; to
    ///   start something takes the credit of a start (`START_CREDIT_MIN`). `None` if credit does
    ///   not end it: staff suspended the account
    pub amount: Option<Usd>,
    /// When it takes effect (UTC); `None` if there is no such time:
    ///
    /// - `BalanceLow`, `CreditLow`, `RefillFailed`: about when the credit is used up
    ///   ([`lasts_until`]), if nothing comes in
    /// - `RefillNeedsCustomer`: when the payment is given up
    /// - `Suspended`, `DeletionSoon`: when everything is deleted
    /// - `DeletionDue`: at once, the row's own time
    /// - `Deleted`: until when it can be restored
    pub deadline: Option<Timestamp>,
    /// Where it is done.
    pub place: NoticePlace,
}

/// Where a customer does something about a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticePlace {
    /// The Billing page, which says what is the matter.
    Page,
    /// The section of the Billing page where credit is added.
    AddCredit,
    /// The section of the Billing page about refills and their card.
    Refill,
    /// Stripe's page of the invoice.
    Invoice(String),
}

/// The account after the row, as far as it matters to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainEventState {
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
pub enum DomainEventDetail {
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
    /// The credit that surely pays lasts for less than a day (or is below the agreed threshold, if
    /// that is lower and a refill would be allowed), and no refill is on its way. Told by the row
    /// that crosses the limit, and again by rows that cannot tell whether it was crossed before:
    /// those that change the limit or end a refill.
    CreditLow {},
    /// A refill attempt failed.
    RefillFailed { attempt: u32, paused: bool },
    /// A refill's payment waits for its customer.
    RefillNeedsCustomer { attempt: u32, void_at: String },
    /// A resource runs now.
    ResourceStarted { resource: DomainEventResource },
    /// A resource that had been deleted runs again and needs a new address.
    ResourceRestored { resource: DomainEventResource },
    /// A resource was stopped: `requested`, `credit` or `start_failed`.
    ResourceStopped { resource: DomainEventResource, reason: &'static str },
    /// A resource was deleted; it can be restored for a while.
    ResourceDeleted { resource: DomainEventResource },
    /// A resource is gone for good.
    ResourcePurged { resource: DomainEventResource },
    /// Everything is off as of an instant.
    Suspended { as_of: String },
    /// The standing is good again.
    Resumed {},
    /// Everything will be deleted, in a day at the earliest.
    DeletionSoon { delete_at: String },
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
pub struct DomainEventResource {
    /// Its id.
    pub id: String,
    /// Its project.
    pub project: String,
    /// What it is.
    pub sku: String,
    /// What kind of thing that is.
    pub kind: String,
}

impl DomainEventDetail {
    /// The bus's `detail-type`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            DomainEventDetail::AccountOpened {} => "AccountOpened",
            DomainEventDetail::CreditAdded { .. } => "CreditAdded",
            DomainEventDetail::CreditTaken { .. } => "CreditTaken",
            DomainEventDetail::CreditExpired { .. } => "CreditExpired",
            DomainEventDetail::PaymentPending { .. } => "PaymentPending",
            DomainEventDetail::PaymentFailed { .. } => "PaymentFailed",
            DomainEventDetail::BalanceLow { .. } => "BalanceLow",
            DomainEventDetail::CreditLow {} => "CreditLow",
            DomainEventDetail::RefillFailed { .. } => "RefillFailed",
            DomainEventDetail::RefillNeedsCustomer { .. } => "RefillNeedsCustomer",
            DomainEventDetail::ResourceStarted { .. } => "ResourceStarted",
            DomainEventDetail::ResourceRestored { .. } => "ResourceRestored",
            DomainEventDetail::ResourceStopped { .. } => "ResourceStopped",
            DomainEventDetail::ResourceDeleted { .. } => "ResourceDeleted",
            DomainEventDetail::ResourcePurged { .. } => "ResourcePurged",
            DomainEventDetail::Suspended { .. } => "Suspended",
            DomainEventDetail::Resumed {} => "Resumed",
            DomainEventDetail::DeletionSoon { .. } => "DeletionSoon",
            DomainEventDetail::DeletionDue {} => "DeletionDue",
            DomainEventDetail::Deleted {} => "Deleted",
            DomainEventDetail::Purged {} => "Purged",
            DomainEventDetail::Closed {} => "Closed",
            DomainEventDetail::Frozen {} => "Frozen",
            DomainEventDetail::Unfrozen {} => "Unfrozen",
            DomainEventDetail::TrialStarted { .. } => "TrialStarted",
            DomainEventDetail::TrialEnded {} => "TrialEnded",
        }
    }
}

/// Everything the world is told of a row, in a fixed order; nothing for an ordinary hour.
#[must_use]
pub fn notices(account: &AccountId, row: &Row, policy: &Policy) -> Vec<DomainEvent> {
    let mut news = news_of_change(row);
    if let Some(RefillWant::Now { amount, .. }) = row.event.want {
        news.push(DomainEventDetail::BalanceLow { refill: amount.to_string() });
    }
    if becomes_low(row, policy) {
        news.push(DomainEventDetail::CreditLow {});
    }
    let state = state_of(&row.state);
    news.into_iter()
        .enumerate()
        .map(|(number, news)| DomainEvent {
            id: format!("{account}#{}#{number}", row.seq),
            account: account.clone(),
            seq: row.seq,
            at: row.event.at.to_string(),
            state: state.clone(),
            warning: warning(&news, row, policy),
            news,
        })
        .collect()
}

/// What a customer is to be told of some news of a row; `None` if it is for machines.
fn warning(news: &DomainEventDetail, row: &Row, policy: &Policy) -> Option<CustomerNotice> {
    let (event, state) = (&row.event, &row.state);
    let to_be_good = least_top_up(state.floor() + Usd::from_micros(1) - state.balance(), policy);
    let (amount, deadline, place) = match news {
        DomainEventDetail::BalanceLow { .. } => {
            let refill = state.refill.wanted.map(|wanted| wanted.amount);
            (refill, lasts_until(state), NoticePlace::Refill)
        }
        DomainEventDetail::CreditLow {} => {
            let missing =
                state.billed.rate.for_seconds(DAY) - sure_credit(state, counted_at(event));
            (Some(least_top_up(missing, policy)), lasts_until(state), NoticePlace::AddCredit)
        }
        // The card is not to blame: the refill was called off, or Stripe failed before it was
        // asked.
        DomainEventDetail::RefillFailed { .. } if was_not_charged(&event.change) => return None,
        DomainEventDetail::RefillFailed { .. } => {
            (charged(&event.change, state), lasts_until(state), NoticePlace::Refill)
        }
        DomainEventDetail::RefillNeedsCustomer { .. } => {
            let attempt = state.refill.attempt.as_ref();
            (
                charged(&event.change, state),
                attempt.and_then(|attempt| attempt.void_at),
                confirmed_at(&event.change),
            )
        }
        DomainEventDetail::Suspended { .. } if is_by_staff(state) => {
            (None, None, NoticePlace::Page)
        }
        DomainEventDetail::Suspended { .. } | DomainEventDetail::DeletionSoon { .. } => {
            (Some(to_be_good), delete_at(state), NoticePlace::AddCredit)
        }
        DomainEventDetail::DeletionDue {} => {
            (Some(to_be_good), Some(event.at), NoticePlace::AddCredit)
        }
        DomainEventDetail::Deleted {} => {
            (Some(to_be_good), Some(event.at.plus(policy.restore_seconds)), NoticePlace::AddCredit)
        }
        DomainEventDetail::AccountOpened {}
        | DomainEventDetail::CreditAdded { .. }
        | DomainEventDetail::CreditTaken { .. }
        | DomainEventDetail::CreditExpired { .. }
        | DomainEventDetail::PaymentPending { .. }
        | DomainEventDetail::PaymentFailed { .. }
        | DomainEventDetail::ResourceStarted { .. }
        | DomainEventDetail::ResourceRestored { .. }
        | DomainEventDetail::ResourceStopped { .. }
        | DomainEventDetail::ResourceDeleted { .. }
        | DomainEventDetail::ResourcePurged { .. }
        | DomainEventDetail::Resumed {}
        | DomainEventDetail::Purged {}
        | DomainEventDetail::Closed {}
        | DomainEventDetail::Frozen {}
        | DomainEventDetail::Unfrozen {}
        | DomainEventDetail::TrialStarted { .. }
        | DomainEventDetail::TrialEnded {} => return None,
    };
    Some(CustomerNotice { amount, deadline, place })
}

/// What the card was to be charged, in USD before tax.
fn charged(change: &Change, state: &AccountState) -> Option<Usd> {
    if let Change::RefillFailed { amount, .. } = change {
        return *amount;
    }
    state.refill.attempt.as_ref().map(|attempt| attempt.amount)
}

fn was_not_charged(change: &Change) -> bool {
    matches!(change, Change::RefillFailed { decline: RefillDecline::NotCharged, .. })
}

fn confirmed_at(change: &Change) -> NoticePlace {
    if let Change::RefillNeedsCustomer { url: Some(url), .. } = change {
        return NoticePlace::Invoice(url.clone());
    }
    NoticePlace::Refill
}

fn is_by_staff(state: &AccountState) -> bool {
    matches!(&state.standing, Standing::Suspended(suspension) if suspension.reason == SuspensionReason::Staff)
}

/// The least top-up that brings what is missing: in whole cents, no less than a top-up may be, and
/// no more: then several are needed, and this is the first.
fn least_top_up(missing: Usd, policy: &Policy) -> Usd {
    let missing = (missing.decimal() * Decimal::ONE_HUNDRED).ceil() / Decimal::ONE_HUNDRED;
    Usd::new(missing).unwrap_or(policy.topup_max).min(policy.topup_max).max(policy.topup_min)
}

/// Whether a row takes the credit below the limit, and nothing is under way that brings more.
fn becomes_low(row: &Row, policy: &Policy) -> bool {
    let (state, event) = (&row.state, &row.event);
    let is_refilled = state.refill.wanted.is_some() || state.refill.attempt.is_some();
    let credit = sure_credit(state, counted_at(event));
    let is_low = low_below(state, state.billed.rate, policy).is_some_and(|limit| credit < limit);
    // What the customer reads of a declined card says until when the credit lasts: one mail for one
    // decline.
    let is_told =
        matches!(event.change, Change::RefillFailed { .. }) && !was_not_charged(&event.change);
    if state.standing != Standing::Good || is_refilled || is_told || !is_low {
        return false;
    }
    let Some(rate) = rate_before(&event.change, state) else { return true };
    low_below(state, rate, policy).is_none_or(|limit| sure_credit_before(row) >= limit)
}

/// Below which credit it is low: a day's worth of what is billed, or the threshold of refills, if
/// that is lower and one would be allowed at the time of the row: until then it is still to be
/// expected. (A threshold of zero promises none.) `None` while nothing costs anything.
fn low_below(state: &AccountState, rate: Rate, policy: &Policy) -> Option<Usd> {
    if rate.is_zero() {
        return None;
    }
    let day = rate.for_seconds(DAY);
    let is_allowed = |agreed: &RefillAgreement| {
        let allowed = allowed(&state.refill, agreed.amount, &policy.refill, state.at);
        is_refill_possible(state) && allowed == ChargeTiming::Now
    };
    let threshold = state.refill.agreement.filter(is_allowed).map(|agreed| agreed.threshold);
    Some(
        threshold
            .filter(|threshold| threshold.is_positive())
            .map_or(day, |threshold| threshold.min(day)),
    )
}

/// The credit that surely pays for whatever runs in the day after an instant, in USD: what was
/// paid, and grants that exclude nothing and do not expire in it.
fn sure_credit(state: &AccountState, at: Timestamp) -> Usd {
    state.paid
        + state.grants.iter().filter(|grant| is_sure(grant, at)).map(|grant| grant.remaining).sum()
}

fn is_sure(grant: &Grant, at: Timestamp) -> bool {
    grant.excludes.is_empty() && grant.expires_at > at.plus(DAY)
}

/// The same before a row. While something runs, each hour has a row: whatever was sure an hour
/// before, was sure then. So the hour in which a grant has a day left tells of it.
fn sure_credit_before(row: &Row) -> Usd {
    let (state, event) = (&row.state, &row.event);
    let passed = if matches!(event.change, Change::Usage { .. }) { HOUR } else { 0 };
    let at = counted_at(event).plus(-passed);
    // What is used up may be gone from the state: then it counts, but for what ends by itself, for
    // that was foretold.
    let is_end = matches!(event.change, Change::GrantExpired { .. } | Change::TrialEnded);
    let counts = |delta: &&FundDelta| match delta.fund {
        Fund::Paid => true,
        Fund::Grant(number) => state.grant(number).map_or(!is_end, |grant| is_sure(grant, at)),
    };
    let moved: Usd = event.funds.iter().filter(counts).map(|delta| delta.amount).sum();
    sure_credit(state, at) - moved
}

/// From when on a row's credit is looked at: an hour from its beginning, so that a late run tells
/// what punctual runs would have told.
fn counted_at(event: &Event) -> Timestamp {
    if let Change::Usage { from, .. } = &event.change { *from } else { event.at }
}

/// What was billed before a row, in USD an hour. `None` if the row does not tell, or changes the
/// limit and not the credit, or the limit may have been crossed while a refill was under way: then
/// it counts as crossed, for a warning too many is better than none.
fn rate_before(change: &Change, state: &AccountState) -> Option<Rate> {
    let rate = state.billed.rate;
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else raises no rate and leaves the limit as it is"
    )]
    match change {
        Change::Started { lines: BilledLines::Here(lines), .. } => {
            Some(rate.without(lines.iter().map(|line| line.rate).sum()))
        }
        Change::Started { lines: BilledLines::Chunked(_), .. }
        | Change::Usage { billed: Some(_), .. } => None,
        Change::Resumed { .. } => None,
        Change::RefillChanged { .. } | Change::CardRemoved { .. } => None,
        Change::Frozen { .. } | Change::Unfrozen { .. } => None,
        Change::DisputeOpened { .. } | Change::DisputeClosed { .. } => None,
        Change::RefillFailed { .. } | Change::Credited { kind: CreditKind::Refill { .. }, .. } => {
            None
        }
        _ => Some(rate),
    }
}

fn news_of_change(row: &Row) -> Vec<DomainEventDetail> {
    let change = &row.event.change;
    let (kind, amount) = (change.name(), row.event.amount());
    match change {
        Change::Opened => vec![DomainEventDetail::AccountOpened {}],
        Change::Credited {
            kind: CreditKind::TopUp | CreditKind::Refill { .. } | CreditKind::Commit,
            ..
        }
        | Change::Granted { .. }
        | Change::GivenBack { .. } => {
            vec![DomainEventDetail::CreditAdded { kind, amount: amount.to_string() }]
        }
        Change::TakenBack { .. } => {
            vec![DomainEventDetail::CreditTaken { kind, amount: (-amount).to_string() }]
        }
        Change::Corrected { .. } if amount.is_negative() => {
            vec![DomainEventDetail::CreditTaken { kind, amount: (-amount).to_string() }]
        }
        Change::Corrected { .. } => {
            vec![DomainEventDetail::CreditAdded { kind, amount: amount.to_string() }]
        }
        Change::GrantExpired { .. } => {
            vec![DomainEventDetail::CreditExpired { amount: (-amount).to_string() }]
        }
        Change::PaymentPending(pending) => {
            let (payment, amount) = (pending.payment.to_string(), pending.amount.to_string());
            vec![DomainEventDetail::PaymentPending { payment, amount }]
        }
        Change::PaymentEnded { payment, how, .. } => {
            let reason = match how {
                PendingEnd::Failed => "failed",
                PendingEnd::Canceled => "canceled",
                PendingEnd::Expired => "expired",
            };
            vec![DomainEventDetail::PaymentFailed { payment: payment.to_string(), reason }]
        }
        Change::Started { resources, how: StartKind::Started, .. } => resources
            .iter()
            .map(|resource| DomainEventDetail::ResourceStarted { resource: resource.into() })
            .collect(),
        Change::Started { resources, how: StartKind::Restored { .. }, .. } => resources
            .iter()
            .map(|resource| DomainEventDetail::ResourceRestored { resource: resource.into() })
            .collect(),
        Change::StartFailed { resource, status, .. } => {
            let resource = resource.into();
            match status {
                ResourceStatus::Deleted => vec![DomainEventDetail::ResourceDeleted { resource }],
                ResourceStatus::New | ResourceStatus::Running | ResourceStatus::Stopped => {
                    vec![DomainEventDetail::ResourceStopped { resource, reason: "start_failed" }]
                }
            }
        }
        Change::Stopped { resources, why, .. } => {
            let reason = match why {
                StopReason::Requested => "requested",
                StopReason::Credit => "credit",
            };
            resources
                .iter()
                .map(|resource| DomainEventDetail::ResourceStopped {
                    resource: resource.into(),
                    reason,
                })
                .collect()
        }
        Change::ResourcesDeleted { resources, .. } => resources
            .iter()
            .map(|resource| DomainEventDetail::ResourceDeleted { resource: resource.into() })
            .collect(),
        Change::Purged { resources, deletion, .. } => {
            let account = deletion.map(|_| DomainEventDetail::Purged {});
            let single = resources
                .iter()
                .map(|resource| DomainEventDetail::ResourcePurged { resource: resource.into() });
            account.into_iter().chain(single).collect()
        }
        Change::Suspended { as_of, .. } => {
            vec![DomainEventDetail::Suspended { as_of: as_of.to_string() }]
        }
        Change::Resumed { resources, .. } => {
            let started = resources
                .iter()
                .map(|resource| DomainEventDetail::ResourceStarted { resource: resource.into() });
            std::iter::once(DomainEventDetail::Resumed {}).chain(started).collect()
        }
        Change::DeletionAnnounced { delete_at } => {
            vec![DomainEventDetail::DeletionSoon { delete_at: delete_at.to_string() }]
        }
        Change::DeletionDue => vec![DomainEventDetail::DeletionDue {}],
        Change::Deleted => vec![DomainEventDetail::Deleted {}],
        Change::Closed { .. } => vec![DomainEventDetail::Closed {}],
        Change::TrialStarted { ends_at, .. } => vec![
            DomainEventDetail::TrialStarted { ends_at: ends_at.to_string() },
            DomainEventDetail::CreditAdded { kind, amount: amount.to_string() },
        ],
        Change::TrialEnded => vec![DomainEventDetail::TrialEnded {}],
        Change::RefillFailed { attempt, pause, .. } => {
            vec![DomainEventDetail::RefillFailed { attempt: *attempt, paused: pause.is_some() }]
        }
        Change::RefillNeedsCustomer { attempt, void_at, .. } => {
            vec![DomainEventDetail::RefillNeedsCustomer {
                attempt: *attempt,
                void_at: void_at.to_string(),
            }]
        }
        Change::Frozen { .. } | Change::DisputeOpened { .. } => vec![DomainEventDetail::Frozen {}],
        Change::DisputeClosed { .. } if row.state.frozen.is_empty() => {
            vec![DomainEventDetail::Unfrozen {}]
        }
        Change::DisputeClosed { .. } => vec![DomainEventDetail::Frozen {}],
        Change::Unfrozen { .. } => vec![DomainEventDetail::Unfrozen {}],
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

fn delete_at(state: &AccountState) -> Option<Timestamp> {
    match &state.standing {
        Standing::Suspended(suspension) => suspension.delete_at,
        Standing::Good | Standing::Deleting(_) | Standing::Deleted(_) | Standing::Closed => None,
    }
}

fn state_of(state: &AccountState) -> DomainEventState {
    DomainEventState {
        balance: state.balance().to_string(),
        standing: state.standing.name(),
        frozen: !state.frozen.is_empty(),
        paid_through: state.paid_through().map(|through| through.to_string()),
        delete_at: delete_at(state).map(|delete_at| delete_at.to_string()),
    }
}

impl From<&Resource> for DomainEventResource {
    fn from(resource: &Resource) -> DomainEventResource {
        DomainEventResource::from(&resource.reference())
    }
}

impl From<&ResourceRef> for DomainEventResource {
    fn from(resource: &ResourceRef) -> DomainEventResource {
        DomainEventResource {
            id: resource.id.to_string(),
            project: resource.project.to_string(),
            sku: resource.sku.to_string(),
            kind: resource.kind.to_string(),
        }
    }
}
