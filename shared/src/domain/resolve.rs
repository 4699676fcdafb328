//! Resolves a caller's request into a [`Command`], with the list of resources and the price list.
//!
//! Handlers know IDs. Decisions need rates, conditions and rows. Unknown names are refused here.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::account::{AccountState, Grant, Standing};
use crate::domain::budgets::needed;
use crate::domain::command::{
    Command, EndedStart, PastCharge, PastChargeKind, ResourceStart, ResourceStop, StartFailure,
    TakenCredit,
};
use crate::domain::decide::resources::{credit_for_starts, seconds_in_respite};
use crate::domain::decide::{RESOURCES_PER_ROW_MAX, check_room};
use crate::domain::event::{
    BilledLines, BillingChange, Change, Event, GrantChange, PaymentChange, ResourceChange,
    ResourceLine, StandingChange, StartKind, StopReason,
};
use crate::domain::funds::Fund;
use crate::domain::ids::{AccountId, PaymentId, ProjectId, ResourceId, Sku};
use crate::domain::money::{Quantity, Rate, Usd};
use crate::domain::prices::{Price, PriceUnit};
use crate::domain::refusal::Refusal;
use crate::domain::resources::{
    BilledMode, KeptData, Meter, Resource, ResourceAddress, ResourceCondition, ResourceStatus,
    ReturningResources, rated_at,
};
use crate::domain::settle::{idle_after_resume, restarts};
use crate::domain::snapshot::AccountSnapshot;
use crate::domain::timestamp::{HOUR, Timestamp};

/// The longest name of a resource, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// The maximum number of chosen IDs in a row. Each has a claim beside its resource, and a transaction
/// has at most 100 items.
pub const CHOSEN_IDS_PER_ROW_MAX: usize = 40;

/// A project as read. `account` is the owner, used for authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedProject {
    pub id: ProjectId,
    /// The owner, who pays.
    pub account: AccountId,
}

/// A resource that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewResource {
    /// The ID it will have.
    pub id: ResourceId,
    pub sku: Sku,
    /// The customer's name for it: 1 to 128 bytes without control characters.
    pub name: String,
    /// The agreed rate, in USD per hour. `None` for the list price.
    pub rate: Option<Rate>,
}

/// Creates resources without starting them.
///
/// # Errors
/// [`Refusal::UnknownProject`], [`Refusal::NameNotUsable`], [`Refusal::ResourceExists`],
/// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`], [`Refusal::TooManyAtOnce`].
pub fn create(
    view: &AccountSnapshot<'_>,
    project: &OwnedProject,
    new: &[NewResource],
    now: Timestamp,
) -> Result<Command, Refusal> {
    check_chosen(new)?;
    let resources = new
        .iter()
        .map(|one| new_resource(view, project, one, ResourceStatus::New, now))
        .collect::<Result<_, _>>()?;
    Ok(Command::Create { resources })
}

/// Creates and starts resources.
///
/// # Errors
/// As [`create`].
pub fn start_new(
    view: &AccountSnapshot<'_>,
    project: &OwnedProject,
    new: &[NewResource],
    now: Timestamp,
) -> Result<Command, Refusal> {
    check_chosen(new)?;
    let starts = new.iter().map(|one| {
        let resource = new_resource(view, project, one, ResourceStatus::Running, now)?;
        let rate = resource.rate_at(view.prices(), now)?;
        Ok(ResourceStart { resource, rate, idle: None })
    });
    start_beside(view, starts.collect::<Result<_, _>>()?, StartKind::Started)
}

/// Starts resources that exist.
///
/// # Errors
/// [`Refusal::UnknownResource`], [`Refusal::UnknownSku`], [`Refusal::AlreadyRunning`],
/// [`Refusal::Deleted`].
pub fn start(
    view: &AccountSnapshot<'_>,
    ids: &[ResourceId],
    now: Timestamp,
) -> Result<Command, Refusal> {
    let starts = ids.iter().map(|id| {
        let resource = find(view, id)?;
        match resource.condition(view.state()) {
            ResourceCondition::New | ResourceCondition::Suspended | ResourceCondition::Stopped => {
                started(view, resource, ResourceAddress::Kept, now)
            }
            ResourceCondition::Running => Err(Refusal::AlreadyRunning { resource: id.clone() }),
            ResourceCondition::Deleted { .. } => Err(Refusal::Deleted { resource: id.clone() }),
            ResourceCondition::Purged => Err(unknown(id)),
        }
    });
    start_beside(view, starts.collect::<Result<_, _>>()?, StartKind::Started)
}

/// Restores deleted resources within the restore window. They run again, with a new address.
///
/// # Errors
/// [`Refusal::UnknownResource`] (also after the window), [`Refusal::NotDeleted`],
/// [`Refusal::UnknownSku`].
pub fn restore(
    view: &AccountSnapshot<'_>,
    ids: &[ResourceId],
    now: Timestamp,
) -> Result<Command, Refusal> {
    let window_seconds = view.policy().restore_seconds;
    let starts = ids.iter().map(|id| {
        let resource = find(view, id)?;
        match resource.condition(view.state()) {
            ResourceCondition::Deleted { at } if now < at.plus(window_seconds) => {
                started(view, resource, ResourceAddress::New, now)
            }
            ResourceCondition::Deleted { .. } | ResourceCondition::Purged => Err(unknown(id)),
            ResourceCondition::New
            | ResourceCondition::Running
            | ResourceCondition::Suspended
            | ResourceCondition::Stopped => Err(Refusal::NotDeleted { resource: id.clone() }),
        }
    });
    let starts = starts.collect::<Result<_, _>>()?;
    let still_deleted = view
        .billables()
        .resources
        .values()
        .filter(|resource| {
            resource.status == ResourceStatus::Deleted && !ids.contains(&resource.id)
        })
        .filter(|resource| resource.condition(view.state()) != ResourceCondition::Purged);
    let purge_due = still_deleted.map(|resource| resource.since.plus(window_seconds)).min();
    start_beside(view, starts, StartKind::Restored { purge_due })
}

/// Starts what returns together, oldest change first, as many as one row takes.
///
/// # Errors
/// [`Refusal::AccountNotOpen`], [`Refusal::NothingStopped`], [`Refusal::NothingDeleted`],
/// [`Refusal::BudgetExceeded`] if no budget has room for any; as [`start`] and [`restore`].
pub fn start_returning(
    view: &AccountSnapshot<'_>,
    which: ReturningResources,
    now: Timestamp,
) -> Result<Command, Refusal> {
    if !view.state().is_open() {
        return Err(Refusal::AccountNotOpen);
    }
    let mut ids = returning(view, which, now);
    ids.truncate(RESOURCES_PER_ROW_MAX);
    if ids.is_empty() {
        check_any_room(view, which, now)?;
    }
    match (which, ids.is_empty()) {
        (ReturningResources::StoppedBySuspension, true) => Err(Refusal::NothingStopped),
        (ReturningResources::StoppedBySuspension, false) => start(view, &ids, now),
        (ReturningResources::DeletedWithAccount, true) => Err(Refusal::NothingDeleted),
        (ReturningResources::DeletedWithAccount, false) => restore(view, &ids, now),
    }
}

/// What a return together takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReturnOffer {
    /// How many resources there are, of which one request starts at most 80.
    pub resources: usize,
    /// The rate of those that one request starts, in USD per hour.
    pub rate: Rate,
    /// The credit that starting those takes now, in USD.
    pub required: Usd,
    /// The same for whoever pays first, in USD: a new hour may begin meanwhile, and what was stopped
    /// costs its idle rate from the end of a suspension on.
    pub required_later: Usd,
}

/// What a return together would take. Also while the account is suspended or deleted.
///
/// # Errors
/// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`].
pub fn offer(
    view: &AccountSnapshot<'_>,
    which: ReturningResources,
    now: Timestamp,
) -> Result<ReturnOffer, Refusal> {
    let resources = returning(view, which, now).len();
    if resources == 0 {
        return Ok(ReturnOffer::default());
    }
    let Command::Start { starts, running, .. } = start_returning(view, which, now)? else {
        return Ok(ReturnOffer::default());
    };
    let (state, policy) = (view.state(), view.policy());
    let left = state.paid_through().unwrap_or_else(|| now.hour().end()) - now;
    let required = credit_for_starts(state, &starts, &running, policy, left);
    let rate = starts.iter().map(|start| start.rate).sum();
    let (mut beside, mut idle) = (running, Rate::ZERO);
    if state.standing != Standing::Good {
        let good = AccountState { standing: Standing::Good, ..state.clone() };
        let started: BTreeSet<&ResourceId> =
            starts.iter().map(|start| &start.resource.id).collect();
        let billed = view.billables().billed(&good, view.prices(), now)?;
        for one in billed.iter().filter(|one| !started.contains(&one.resource.id)) {
            beside.push((one.resource.sku.clone(), one.rate));
            idle = idle + one.rate;
        }
    }
    let required_later =
        credit_for_starts(state, &starts, &beside, policy, HOUR) + idle.for_seconds(HOUR);
    Ok(ReturnOffer { resources, rate, required, required_later })
}

/// What may return together, oldest change first. None whose time to be restored is over.
fn in_time<'v>(
    view: &'v AccountSnapshot<'_>,
    which: ReturningResources,
    now: Timestamp,
) -> Vec<&'v Resource> {
    let state = view.state();
    let mut returning = view.billables().returning(which, state);
    returning.retain(|resource| match resource.condition(state) {
        ResourceCondition::Deleted { at } => now < at.plus(view.policy().restore_seconds),
        ResourceCondition::New
        | ResourceCondition::Running
        | ResourceCondition::Suspended
        | ResourceCondition::Stopped
        | ResourceCondition::Purged => true,
    });
    returning
}

/// Checks that it is not for budgets that nothing returns.
fn check_any_room(
    view: &AccountSnapshot<'_>,
    which: ReturningResources,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (state, seconds) = (view.state(), seconds_to_pay(view.state(), now));
    for resource in in_time(view, which, now) {
        let cost = needed(resource.rate_at(view.prices(), now)?, seconds);
        check_room(state, &resource.project, cost, now)?;
    }
    Ok(())
}

/// How many seconds a start pays.
fn seconds_to_pay(state: &AccountState, now: Timestamp) -> i64 {
    state.paid_through().unwrap_or_else(|| now.hour().end()) - now
}

/// The resources that may return together, oldest change first. None whose time to be restored is
/// over, or for which the budget of its project has no room.
#[must_use]
pub fn returning(
    view: &AccountSnapshot<'_>,
    which: ReturningResources,
    now: Timestamp,
) -> Vec<ResourceId> {
    let (state, seconds) = (view.state(), seconds_to_pay(view.state(), now));
    let mut costs: BTreeMap<ProjectId, Usd> = BTreeMap::new();
    let mut returning = in_time(view, which, now);
    // Room for what it costs while it runs, although its time while stopped may be paid.
    returning.retain(|resource| {
        let rate = resource.rate_at(view.prices(), now).unwrap_or_default();
        let sum = costs.get(&resource.project).copied().unwrap_or_default();
        let cost = sum + needed(rate, seconds);
        let has_room = check_room(state, &resource.project, cost, now).is_ok();
        if has_room {
            costs.insert(resource.project.clone(), cost);
        }
        has_room
    });
    returning.into_iter().map(|resource| resource.id.clone()).collect()
}

/// A start, with the rates of everything that is billed beside it.
fn start_beside(
    view: &AccountSnapshot<'_>,
    starts: Vec<ResourceStart>,
    how: StartKind,
) -> Result<Command, Refusal> {
    let state = view.state();
    let billed = view.billables().billed(state, view.prices(), rated_at(state))?;
    let started: BTreeSet<&ResourceId> = starts.iter().map(|start| &start.resource.id).collect();
    let mut running = BTreeMap::<Sku, Rate>::new();
    for one in billed.iter().filter(|one| !started.contains(&one.resource.id)) {
        let rate = running.entry(one.resource.sku.clone()).or_default();
        *rate = *rate + one.rate;
    }
    Ok(Command::Start { starts, how, running: running.into_iter().collect() })
}

/// Stops running resources, and resources that ran when the account was suspended, so that they do
/// not restart.
///
/// # Errors
/// [`Refusal::UnknownResource`], [`Refusal::NotRunning`].
pub fn stop(view: &AccountSnapshot<'_>, ids: &[ResourceId]) -> Result<Command, Refusal> {
    let stops = ids.iter().map(|id| {
        let resource = find(view, id)?;
        match resource.condition(view.state()) {
            ResourceCondition::Running | ResourceCondition::Suspended => Ok(stopped(
                view,
                resource,
                resource.idle_rate_at(view.prices(), rated_at(view.state())),
            )),
            ResourceCondition::New
            | ResourceCondition::Stopped
            | ResourceCondition::Deleted { .. } => {
                Err(Refusal::NotRunning { resource: id.clone() })
            }
            ResourceCondition::Purged => Err(unknown(id)),
        }
    });
    Ok(Command::Stop { stops: stops.collect::<Result<_, _>>()? })
}

/// Deletes resources, running or not.
///
/// # Errors
/// [`Refusal::UnknownResource`], [`Refusal::Deleted`].
pub fn delete(view: &AccountSnapshot<'_>, ids: &[ResourceId]) -> Result<Command, Refusal> {
    let stops = ids.iter().map(|id| {
        let resource = find(view, id)?;
        match resource.condition(view.state()) {
            ResourceCondition::New
            | ResourceCondition::Running
            | ResourceCondition::Suspended
            | ResourceCondition::Stopped => Ok(stopped(view, resource, None)),
            ResourceCondition::Deleted { .. } => Err(Refusal::Deleted { resource: id.clone() }),
            ResourceCondition::Purged => Err(unknown(id)),
        }
    });
    Ok(Command::Delete { stops: stops.collect::<Result<_, _>>()? })
}

/// Reverses a start that failed on the platform, also if the resource was stopped, suspended or
/// deleted meanwhile. `rows` are the account's rows, in order, with their lines, from the start or
/// earlier.
///
/// # Errors
/// [`Refusal::UnknownResource`], [`Refusal::NotRunning`].
pub fn fail_start<'r>(
    view: &AccountSnapshot<'_>,
    id: &ResourceId,
    rows: impl IntoIterator<Item = (&'r Event, &'r AccountState)>,
) -> Result<Command, Refusal> {
    let resource = find(view, id)?;
    let not_running = || Refusal::NotRunning { resource: id.clone() };
    let mut rows: Vec<(&Event, &AccountState)> = rows.into_iter().collect();
    // After a deletion of the whole account the item still says that it runs.
    let status = match (resource.condition(view.state()), resource.status) {
        (ResourceCondition::Running, _) => {
            let gone = GoneGrants::since(&rows);
            return failure(view, resource, rows, &gone).map(Command::FailStart);
        }
        (ResourceCondition::Suspended | ResourceCondition::Stopped, _) => resource.before,
        (ResourceCondition::Deleted { .. }, ResourceStatus::Deleted) => ResourceStatus::Deleted,
        (ResourceCondition::New | ResourceCondition::Deleted { .. }, _) => {
            return Err(not_running());
        }
        (ResourceCondition::Purged, _) => return Err(unknown(id)),
    };
    let started = rows.iter().rposition(|(event, _)| starts(event, id)).ok_or_else(not_running)?;
    let mut rows = rows.split_off(started);
    if rows.iter().any(|(event, _)| is_failure_of(event, id)) {
        return Err(not_running());
    }
    let ended = rows.iter().position(|(event, _)| ends(event, id)).ok_or_else(not_running)?;
    let respite = owed_in_respite(view, resource, &rows[..=ended])?;
    let (started_at, ended_at) = (rows[0].0.at, end_of(rows[ended].0));
    let rated = rated_at(rows[ended].1);
    let idle_then = resource.idle_rate_at(view.prices(), rated);
    let rate_then = resource.rate_at(view.prices(), rated)?;
    let kept_since =
        rows.iter().rev().find_map(|(event, _)| Some(event.kept?.from).filter(|_| suspends(event)));
    let gone = GoneGrants::since(&rows);
    if status == ResourceStatus::Stopped {
        // It existed before, and what is kept of it since the end is billed as before.
        rows.truncate(ended + 1);
    }
    let idle = billed_now(view, resource).map(|(_, rate)| rate);
    let kept = kept_rate(view, resource);
    let ended = EndedStart { at: ended_at, idle, kept, kept_since, respite };
    let then = idle.filter(|_| status == ResourceStatus::Stopped);
    let ended = Some(ended);
    let mut failure =
        StartFailure { started_at, status, then, ended, ..failure(view, resource, rows, &gone)? };
    if let Some(idle) = idle_then {
        leave_idle_parts(&mut failure.charges, rate_then, idle);
    }
    Ok(Command::FailStart(failure))
}

/// A resource that had been paid for as stopped was charged the difference by its start. What ended its
/// billing, a deletion or a suspension, gave back what had been paid before the start, too, and that
/// stays with the customer.
fn leave_idle_parts(charges: &mut [PastCharge], rate: Rate, idle: Rate) {
    let amount = |charge: &PastCharge| charge.shares.iter().map(|share| share.amount).sum::<Usd>();
    let difference = rate.without(idle);
    let Some(through) =
        charges.first().filter(|start| start.rate == difference).map(|start| start.through)
    else {
        return;
    };
    for back in charges.iter_mut().filter(|charge| charge.through == through) {
        let PastChargeKind::GivenBackAtEnd { unused_seconds: seconds } = back.kind else {
            continue;
        };
        let given = amount(back);
        let of_difference = if back.rate == rate {
            difference.for_seconds(seconds)
        } else if back.rate == idle {
            Usd::ZERO
        } else {
            continue;
        };
        let mut left = (given - of_difference).or_zero();
        for share in back.shares.iter_mut().rev() {
            let part = left.min(share.amount.or_zero());
            share.amount -= part;
            left -= part;
        }
    }
}

/// What the last of these rows recorded as owed for the resource's time in a respite, in USD.
fn owed_in_respite(
    view: &AccountSnapshot<'_>,
    resource: &Resource,
    rows: &[(&Event, &AccountState)],
) -> Result<Usd, Refusal> {
    let [.., (_, before), (end, _)] = rows else { return Ok(Usd::ZERO) };
    let rated = rated_at(before);
    let rate = resource.rate_at(view.prices(), rated)?;
    #[allow(clippy::wildcard_enum_match_arm, reason = "all other rows end what is kept, too")]
    let idle = match &end.change {
        Change::Resource(ResourceChange::Stopped { why: StopReason::Budget, .. }) => {
            return Ok(Usd::ZERO);
        }
        // Its kept data goes on to be billed.
        Change::Resource(ResourceChange::Stopped { .. }) => {
            resource.idle_rate_at(view.prices(), rated).unwrap_or_default()
        }
        _ => Rate::ZERO,
    };
    Ok(rate.without(idle).for_seconds(seconds_in_respite(before, end.at)))
}

/// Grants to which nothing is given any more: staff took them back, or their payment was fully
/// refunded.
#[derive(Default)]
struct GoneGrants {
    withdrawn: BTreeSet<u32>,
    refunded: BTreeSet<PaymentId>,
}

impl GoneGrants {
    fn since(rows: &[(&Event, &AccountState)]) -> GoneGrants {
        let mut gone = GoneGrants::default();
        for (event, after) in rows {
            if let Change::Grant(GrantChange::GrantWithdrawn { number, .. }) = &event.change {
                gone.withdrawn.insert(*number);
            }
            if let Change::Payment(
                PaymentChange::TakenBack { of, .. } | PaymentChange::DisputeMoved { of, .. },
            ) = &event.change
            {
                let in_item = event.recorded().map(|recorded| recorded.taken.cents);
                let in_state = || after.taken_back_of(&of.payment).map(|(cents, _)| cents);
                let is_all = |cents| cents >= of.received_cents;
                // Neither: nothing or everything is taken back. Only a dispute that moves its money
                // back leaves nothing.
                if in_item.or_else(in_state).map_or(!event.amount().is_positive(), is_all) {
                    gone.refunded.insert(of.payment.clone());
                }
            }
        }
        gone
    }

    fn contains(&self, grant: &Grant) -> bool {
        let is_refunded = |payment: &PaymentId| self.refunded.contains(payment);
        self.withdrawn.contains(&grant.number) || grant.payment.as_ref().is_some_and(is_refunded)
    }
}

/// A failure of a resource that still runs.
fn failure(
    view: &AccountSnapshot<'_>,
    resource: &Resource,
    rows: Vec<(&Event, &AccountState)>,
    gone: &GoneGrants,
) -> Result<StartFailure, Refusal> {
    let id = &resource.id;
    let (mut charges, mut grants) = (Vec::new(), Vec::<Grant>::new());
    for (event, after) in rows {
        let latest = charges.last().map(|latest: &PastCharge| (latest.from, latest.through));
        let Some(charge) = charge_of(event, id).or_else(|| given_back(event, id, latest?)) else {
            continue;
        };
        let paid = |grant: &&Grant| {
            charge.shares.iter().any(|share| share.fund == Fund::Grant(grant.number))
        };
        grants.extend(after.grants.iter().filter(paid).cloned());
        charges.push(charge);
    }
    grants.retain(|grant| !gone.contains(grant));
    let (status, rated) = (resource.before, rated_at(view.state()));
    let then = match status {
        ResourceStatus::Stopped => resource.idle_rate_at(view.prices(), rated),
        ResourceStatus::New | ResourceStatus::Deleted | ResourceStatus::Running => None,
    };
    let rate = resource.rate_at(view.prices(), rated)?;
    let (resource, started_at) = (resource.reference(), resource.since);
    Ok(StartFailure { resource, started_at, rate, status, then, charges, grants, ended: None })
}

fn starts(event: &Event, id: &ResourceId) -> bool {
    #[allow(clippy::wildcard_enum_match_arm, reason = "no other row starts resources")]
    match &event.change {
        Change::Resource(ResourceChange::Started { resources, .. }) => {
            resources.iter().any(|one| one.id == *id)
        }
        Change::Standing(StandingChange::Resumed { resources, .. }) => {
            resources.iter().any(|one| one.id == *id)
        }
        _ => false,
    }
}

fn ends(event: &Event, id: &ResourceId) -> bool {
    #[allow(clippy::wildcard_enum_match_arm, reason = "no other row ends what runs")]
    match &event.change {
        Change::Resource(
            ResourceChange::Stopped { resources, .. }
            | ResourceChange::ResourcesDeleted { resources, .. },
        ) => resources.iter().any(|one| one.id == *id),
        _ => suspends(event),
    }
}

fn suspends(event: &Event) -> bool {
    matches!(&event.change, Change::Standing(StandingChange::Suspended { .. }))
}

/// The end of the time that ran before such a row.
fn end_of(event: &Event) -> Timestamp {
    if let Change::Resource(ResourceChange::Stopped { as_of, .. })
    | Change::Standing(StandingChange::Suspended { as_of, .. }) = &event.change
    {
        *as_of
    } else {
        event.at
    }
}

fn is_failure_of(event: &Event, id: &ResourceId) -> bool {
    matches!(&event.change, Change::Resource(ResourceChange::StartFailed { resource, .. }) if resource.id == *id)
}

/// Opens a meter in a project.
///
/// # Errors
/// [`Refusal::UnknownProject`], [`Refusal::UnknownSku`], [`Refusal::WrongUnit`],
/// [`Refusal::MeterExists`].
pub fn open_meter(
    view: &AccountSnapshot<'_>,
    project: &OwnedProject,
    sku: &Sku,
    now: Timestamp,
) -> Result<Command, Refusal> {
    check_project(view, project)?;
    view.prices().require(sku, PriceUnit::Quantity, now)?;
    let key = (project.id.clone(), sku.clone());
    if view.billables().meters.contains_key(&key) {
        return Err(Refusal::MeterExists { project: key.0, sku: key.1 });
    }
    let (project, sku) = key;
    Ok(Command::OpenMeter(Meter { project, sku, reading: Quantity::ZERO, billed: Quantity::ZERO }))
}

/// Stops everything, by staff.
///
/// # Errors
/// [`Refusal::UnknownSku`] if the price list lacks a running resource's SKU.
pub fn suspend(view: &AccountSnapshot<'_>, reason: &str) -> Result<Command, Refusal> {
    let billed = view.billables().billed(view.state(), view.prices(), rated_at(view.state()))?;
    let stops = billed
        .iter()
        .map(|one| ResourceStop {
            resource: one.resource.reference(),
            billed: Some((one.mode, one.rate)),
            then: None,
            kept: Rate::ZERO,
        })
        .collect();
    Ok(Command::Suspend { stops, reason: reason.to_owned() })
}

/// Ends a suspension by staff.
///
/// # Errors
/// [`Refusal::UnknownSku`] if the price list lacks a billed resource's SKU.
pub fn resume(view: &AccountSnapshot<'_>, now: Timestamp) -> Result<Command, Refusal> {
    Ok(Command::Resume { billed: idle_after_resume(view, now)?, more: restarts(view) })
}

/// Resolves the reopening of a closed account. What was kept is billed again.
///
/// # Errors
/// As [`resume`].
pub fn reopen(
    view: &AccountSnapshot<'_>,
    reason: String,
    now: Timestamp,
) -> Result<Command, Refusal> {
    Ok(Command::Reopen { reason, billed: idle_after_resume(view, now)? })
}

/// How many resources exist that are not deleted. They are deleted before their customer closes the
/// account.
#[must_use]
pub fn resources_left(view: &AccountSnapshot<'_>) -> usize {
    let is_left = |resource: &&Resource| match resource.condition(view.state()) {
        ResourceCondition::Deleted { .. } | ResourceCondition::Purged => false,
        ResourceCondition::New
        | ResourceCondition::Running
        | ResourceCondition::Stopped
        | ResourceCondition::Suspended => true,
    };
    view.billables().resources.values().filter(is_left).count()
}

/// How many deleted resources could still be restored at `now`.
#[must_use]
pub fn resources_restorable(view: &AccountSnapshot<'_>, now: Timestamp) -> usize {
    let restore_seconds = view.policy().restore_seconds;
    let is_restorable = |resource: &&Resource| match resource.condition(view.state()) {
        ResourceCondition::Deleted { at } => now < at.plus(restore_seconds),
        ResourceCondition::New
        | ResourceCondition::Running
        | ResourceCondition::Stopped
        | ResourceCondition::Suspended
        | ResourceCondition::Purged => false,
    };
    view.billables().resources.values().filter(is_restorable).count()
}

/// The credit that a row took for a refund or dispute, from the row and the state before it. It is
/// used to give the credit back.
#[must_use]
pub fn taken(event: &Event, before: &AccountState) -> Option<TakenCredit> {
    let Change::Payment(PaymentChange::TakenBack { cents, credit, .. }) = &event.change else {
        return None;
    };
    let of_grant = |number| {
        event
            .funds
            .iter()
            .find(|delta| delta.fund == Fund::Grant(number))
            .map(|delta| -delta.amount)
    };
    let grants = before
        .grants
        .iter()
        .filter_map(|grant| {
            Some(Grant { remaining: of_grant(grant.number)?, used: Usd::ZERO, ..grant.clone() })
        })
        .collect();
    Some(TakenCredit { cents: *cents, credit: *credit, grants })
}

fn check_chosen(new: &[NewResource]) -> Result<(), Refusal> {
    let count = new.iter().filter(|one| !one.id.is_generated()).count();
    if count > CHOSEN_IDS_PER_ROW_MAX {
        return Err(Refusal::TooManyAtOnce { count, max: CHOSEN_IDS_PER_ROW_MAX });
    }
    Ok(())
}

fn new_resource(
    view: &AccountSnapshot<'_>,
    project: &OwnedProject,
    new: &NewResource,
    status: ResourceStatus,
    now: Timestamp,
) -> Result<Resource, Refusal> {
    check_project(view, project)?;
    let price = view.prices().require(&new.sku, PriceUnit::Hour, now)?;
    if new.name.trim().is_empty()
        || new.name.len() > NAME_BYTES_MAX
        || new.name.chars().any(char::is_control)
    {
        return Err(Refusal::NameNotUsable { bytes_max: NAME_BYTES_MAX });
    }
    if view.billables().resources.contains_key(&new.id) {
        return Err(Refusal::ResourceExists { resource: new.id.clone() });
    }
    Ok(Resource {
        id: new.id.clone(),
        project: project.id.clone(),
        sku: new.sku.clone(),
        kind: price.kind.clone(),
        name: new.name.clone(),
        rate: new.rate,
        status,
        since: now,
        seq: view.state().next_seq,
        created_at: now,
        before: ResourceStatus::New,
        keeps: keeps(price),
        address: ResourceAddress::Kept,
    })
}

fn check_project(view: &AccountSnapshot<'_>, project: &OwnedProject) -> Result<(), Refusal> {
    if project.account == *view.account() {
        Ok(())
    } else {
        Err(Refusal::UnknownProject { project: project.id.clone() })
    }
}

fn find<'v>(view: &'v AccountSnapshot<'_>, id: &ResourceId) -> Result<&'v Resource, Refusal> {
    view.billables().resources.get(id).ok_or_else(|| unknown(id))
}

fn unknown(id: &ResourceId) -> Refusal {
    Refusal::UnknownResource { resource: id.clone() }
}

fn started(
    view: &AccountSnapshot<'_>,
    resource: &Resource,
    address: ResourceAddress,
    now: Timestamp,
) -> Result<ResourceStart, Refusal> {
    let rate = resource.rate_at(view.prices(), now)?;
    let idle = billed_now(view, resource).map(|(_, rate)| (rate, resource.seq));
    let before = match resource.condition(view.state()) {
        ResourceCondition::New => ResourceStatus::New,
        ResourceCondition::Deleted { .. } => ResourceStatus::Deleted,
        ResourceCondition::Running
        | ResourceCondition::Suspended
        | ResourceCondition::Stopped
        | ResourceCondition::Purged => ResourceStatus::Stopped,
    };
    let resource = Resource {
        status: ResourceStatus::Running,
        since: now,
        seq: view.state().next_seq,
        before,
        keeps: keeps(view.prices().require(&resource.sku, PriceUnit::Hour, now)?),
        address,
        ..resource.clone()
    };
    Ok(ResourceStart { resource, rate, idle })
}

fn stopped(view: &AccountSnapshot<'_>, resource: &Resource, then: Option<Rate>) -> ResourceStop {
    let billed = billed_now(view, resource);
    let then = then.filter(|_| billed.is_some());
    ResourceStop { resource: resource.reference(), billed, then, kept: kept_rate(view, resource) }
}

/// What a resource that is kept during a suspension costs, at the prices of the suspension.
fn kept_rate(view: &AccountSnapshot<'_>, resource: &Resource) -> Rate {
    let as_of = match &view.state().standing {
        Standing::Suspended(suspension) if suspension.kept.is_some() => suspension.as_of,
        Standing::Good
        | Standing::Suspended(_)
        | Standing::Deleting(_)
        | Standing::Deleted(_)
        | Standing::Closed => return Rate::ZERO,
    };
    match resource.condition(view.state()) {
        ResourceCondition::Suspended | ResourceCondition::Stopped => {
            resource.idle_rate_at(view.prices(), as_of).unwrap_or_default()
        }
        ResourceCondition::New
        | ResourceCondition::Running
        | ResourceCondition::Deleted { .. }
        | ResourceCondition::Purged => Rate::ZERO,
    }
}

fn keeps(price: &Price) -> KeptData {
    if price.idle_rate.is_zero() { KeptData::Nothing } else { KeptData::Data }
}

/// How a resource is billed in the current period.
fn billed_now(view: &AccountSnapshot<'_>, resource: &Resource) -> Option<(BilledMode, Rate)> {
    let billed =
        view.billables().billed(view.state(), view.prices(), rated_at(view.state())).ok()?;
    billed.iter().find(|one| one.resource.id == resource.id).map(|one| (one.mode, one.rate))
}

/// The charge of a row for a resource.
fn charge_of(event: &Event, id: &ResourceId) -> Option<PastCharge> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "no other row charges for time")]
    let (lines, from, through) = match &event.change {
        Change::Resource(ResourceChange::Started { lines, through, .. }) => {
            (lines, event.at, *through)
        }
        Change::Billing(BillingChange::Usage { lines, from, through, .. }) => {
            (lines, *from, *through)
        }
        _ => return None,
    };
    let line = line_of(lines, id)?;
    let shares = line.shares.clone();
    Some(PastCharge { from, through, rate: line.rate, shares, kind: PastChargeKind::Paid })
}

/// What a row gave back for a resource that it stopped, of the charge for this time.
fn given_back(
    event: &Event,
    id: &ResourceId,
    (from, through): (Timestamp, Timestamp),
) -> Option<PastCharge> {
    let line = ends(event, id).then(|| line_of(event.change.lines()?, id)).flatten()?;
    let (rate, shares) = (line.rate, line.shares.clone());
    let kind = if matches!(&event.change, Change::Resource(ResourceChange::Stopped { .. })) {
        PastChargeKind::GivenBackByStop
    } else {
        PastChargeKind::GivenBackAtEnd { unused_seconds: line.seconds }
    };
    Some(PastCharge { from, through, rate, shares, kind })
}

fn line_of<'e>(lines: &'e BilledLines, id: &ResourceId) -> Option<&'e ResourceLine> {
    let BilledLines::Here(lines) = lines else { return None };
    lines.iter().find(|line| line.resource == *id)
}
