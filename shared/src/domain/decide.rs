//! `decide`: whether a command is allowed, and the row that records it.
//!
//! Each decision first checks for refusals, in the order of [`Refusal`]. After the last check it
//! must succeed. This code does not read the clock, the list of resources or any outside system.

mod budgets;
mod holds;
mod money;
mod refills;
mod refunds;
pub(crate) mod resources;

use crate::domain::account::{
    AccountState, BilledTotals, BudgetSpend, Grant, KeptCharge, RefillAgreement, RefillRespite,
    Standing, SuspensionReason,
};
use crate::domain::apply::{apply, is_without_credit};
use crate::domain::budgets::{named_spends, with_notices};
use crate::domain::command::Command;
use crate::domain::credit_low;
use crate::domain::event::{
    Cause, Change, Event, GrantChange, PaymentChange, RefillWant, ResourceChange, StaffChange,
    StandingChange, StopReason,
};
use crate::domain::funds::{Fund, FundDelta, Purse};
use crate::domain::money::Usd;
use crate::domain::policy::Policy;
use crate::domain::refill::{self, refill_under_way_since, respite_until};
use crate::domain::refusal::Refusal;
use crate::domain::row_format::RowFormat;
use crate::domain::settle::due;
use crate::domain::timestamp::Timestamp;

pub use budgets::check_room;
pub use money::{check_import, check_trial_offered};

/// The first format in which a credit may leave a respite as it is.
const RESPITE_KEPT: RowFormat = RowFormat::new(5);
/// The first format with accounts that their customers closed, or that were reopened.
const REOPENING_KNOWN: RowFormat = RowFormat::new(6);
const ERASURE_KNOWN: RowFormat = RowFormat::new(6);
/// The first format in which an account without anything billed by time is suspended at zero.
const SUSPENDED_AT_ZERO: RowFormat = RowFormat::new(6);

/// The maximum number of resources that one row changes. With the row, claims and schedule they fit
/// a DynamoDB transaction of 100 items (docs.aws.amazon.com, "TransactWriteItems").
pub const RESOURCES_PER_ROW_MAX: usize = 80;
/// The maximum length of a reason given by staff, in bytes.
pub const REASON_BYTES_MAX: usize = 500;

/// Decides a command at `now`, the time of its trigger (UTC).
///
/// # Errors
/// The first [`Refusal`] that applies. The caller must then append nothing.
pub fn decide(
    state: &AccountState,
    command: &Command,
    cause: Cause,
    policy: &Policy,
    now: Timestamp,
) -> Result<Event, Refusal> {
    check_open(state, command)?;
    check_time(state, now)?;
    // No row says yet that a hold has expired if its account could not be settled.
    let (recorded, state) = (state, &*state.without_expired_holds(now));
    let outcome = match command {
        Command::Open => Ok(DecisionOutcome::of(StandingChange::Opened)),
        Command::Credit { payment, kind, plan, bonus, also } => {
            let plan = (plan.as_ref(), bonus.as_ref());
            money::credit(state, payment, *kind, plan, also, policy, now)
        }
        Command::AwaitPayment(pending) => money::await_payment(pending, now),
        Command::EndPayment { payment, how } => Ok(money::end_payment(state, payment, *how)),
        Command::Grant { bonus, reason } => money::grant(state, bonus, reason, policy, now),
        Command::WithdrawGrant { number, reason } => {
            money::withdraw(state, *number, reason, policy, now)
        }
        Command::TakeBack { by, of, cents, before } => {
            money::take_back(state, by, of, *cents, *before, policy)
        }
        Command::GiveBack { by, of, cents, taken, before } => {
            let recorded = (taken.as_ref(), *before);
            money::give_back(state, by, of, *cents, recorded, policy, now)
        }
        Command::BeginRefund { of, terms, before } => {
            refunds::begin(state, of, terms, *before, policy)
        }
        Command::ConfirmRefund { number, refund, payment } => {
            refunds::confirm(state, *number, refund, payment)
        }
        Command::UndoRefund { refund, of, taken, before } => {
            refunds::undo(state, refund, of, (taken, *before), policy, now)
        }
        Command::OpenDispute { dispute, payment } => {
            Ok(DecisionOutcome::of(PaymentChange::DisputeOpened {
                dispute: dispute.clone(),
                payment: payment.clone(),
            }))
        }
        Command::CloseDispute { dispute, outcome } => {
            Ok(DecisionOutcome::of(PaymentChange::DisputeClosed {
                dispute: dispute.clone(),
                outcome: *outcome,
            }))
        }
        Command::ChangeDispute { head, dispute, payment, phase, before } => {
            check_head(state, *head)
                .map(|()| money::change_dispute(dispute, payment, *phase, before, policy))
        }
        Command::WarnOfFraud { warning, payment } => {
            Ok(DecisionOutcome::of(PaymentChange::FraudWarned {
                warning: warning.clone(),
                payment: payment.clone(),
            }))
        }
        Command::MoveDispute { head, dispute, of, cents, before } => check_head(state, *head)
            .and_then(|()| money::move_dispute(state, dispute, of, *cents, before, policy, now)),
        Command::Correct { amount, reason } => money::correct(*amount, reason),
        Command::Import(opening) => money::import(state, opening, policy, now),
        Command::StartTrial { card, refill } => {
            money::start_trial(state, card, refill.as_ref(), policy, now)
        }
        Command::Create { resources } => resources::create(state, resources),
        Command::Start { starts, how, running } => {
            resources::start(state, starts, *how, running, policy, now)
        }
        Command::FailStart(failure) => resources::fail_start(state, failure, policy, now),
        Command::Stop { stops } => resources::stop(state, stops, policy, now),
        Command::Delete { stops } => resources::delete(state, stops, policy, now),
        Command::OpenMeter(meter) => Ok(resources::open_meter(meter)),
        Command::Hold { project, skus, amount, seconds } => {
            holds::hold(state, (project, skus), *amount, *seconds, policy, now)
        }
        Command::ExtendHold { hold, skus, seconds } => {
            holds::extend(state, *hold, skus, *seconds, policy, now)
        }
        Command::CaptureHold { hold, usage, .. }
            if recorded.hold(*hold).is_some() && state.hold(*hold).is_none() =>
        {
            // This row says that it has expired.
            holds::capture_late(state, (*hold, true), usage, now)
        }
        Command::CaptureHold { hold, usage, is_last } => {
            holds::capture(state, (*hold, *is_last), usage, now)
        }
        Command::CaptureLate { hold, usage, ends } => {
            holds::capture_late(state, (*hold, *ends), usage, now)
        }
        Command::ReleaseHold { hold } => holds::release(state, *hold),
        Command::SetBudget { terms, so_far } => {
            budgets::set(state, terms, so_far.as_ref(), policy, now)
        }
        Command::RemoveBudget { project } => budgets::remove(state, project),
        Command::Suspend { stops, reason } => resources::suspend(state, stops, reason, policy, now),
        Command::Resume { billed, more } => resources::check_suspended_by_staff(state).map(|()| {
            let (billed, more) = (billed.clone(), *more);
            DecisionOutcome::of(StandingChange::Resumed { resources: Vec::new(), more, billed })
        }),
        Command::ConfirmDeletion { head } => confirm_deletion(state, *head),
        Command::Close { reason } => close(state, reason),
        Command::CloseByCustomer { shown, resources } => {
            close_by_customer(state, *shown, *resources, policy)
        }
        Command::Reopen { reason, billed } => reopen(state, reason, billed, policy),
        Command::Erase { reason } => erase(state, reason, policy),
        Command::Freeze { reason } => {
            check_reason(reason).map(|reason| DecisionOutcome::of(StaffChange::Frozen { reason }))
        }
        Command::Unfreeze { reason } => unfreeze(state, reason),
        Command::ChangeRefill(settings) => refills::change(state, settings, policy, now),
        Command::FollowCards { card, card_choice, card_ends_at } => {
            refills::follow_cards(state, card, *card_choice, *card_ends_at, policy, now)
        }
        Command::RefillNow => refills::refill_now(state, policy, now),
        Command::RemoveCard { card } => refills::remove_card(state, card),
        Command::BeginRefill { customer, tax } => {
            refills::begin(state, customer, *tax, policy, now)
        }
        Command::AskCustomer { attempt, url } => {
            refills::ask_customer(state, *attempt, url.clone(), policy, now)
        }
        Command::FailRefill { attempt, decline, code, reason } => {
            refills::fail(state, *attempt, *decline, code, reason.as_deref(), policy)
        }
        Command::ChooseRestartPolicy(_) if state.standing == Standing::Closed => {
            Err(Refusal::Closed)
        }
        Command::ChooseRestartPolicy(restart_policy) => {
            Ok(DecisionOutcome::of(StandingChange::RestartPolicyChosen(*restart_policy)))
        }
    };
    finish(state, outcome?, cause, policy, now)
}

/// The result of a decision, before it becomes a row.
pub(crate) struct DecisionOutcome {
    pub(crate) change: Change,
    pub(crate) grants: Vec<Grant>,
    pub(crate) funds: Vec<FundDelta>,
    /// The change of the amount owed.
    pub(crate) owed: Usd,
    /// The new charge for data that is kept while suspended, if it changes.
    pub(crate) kept: Option<KeptCharge>,
    /// What lines whose resources the change does not name spend of budgets.
    pub(crate) spends: Vec<BudgetSpend>,
}

impl DecisionOutcome {
    /// A change that moves no money.
    pub(crate) fn of(change: impl Into<Change>) -> DecisionOutcome {
        DecisionOutcome::granting(change, Vec::new(), Vec::new())
    }

    /// A change that adds or restores grants.
    pub(crate) fn granting(
        change: impl Into<Change>,
        grants: Vec<Grant>,
        funds: Vec<FundDelta>,
    ) -> DecisionOutcome {
        let (change, owed) = (change.into(), Usd::ZERO);
        DecisionOutcome { change, grants, funds, owed, kept: None, spends: Vec::new() }
    }

    /// What it takes of paid credit, in USD.
    fn paid_credit_taken(&self) -> Usd {
        let of_paid = self.funds.iter().filter(|delta| delta.fund == Fund::Paid);
        -of_paid.map(|delta| delta.amount).sum::<Usd>()
    }

    pub(crate) fn moving(change: impl Into<Change>, funds: Vec<FundDelta>) -> DecisionOutcome {
        DecisionOutcome::granting(change, Vec::new(), funds)
    }

    /// The same, and the amount owed changes by so much.
    pub(crate) fn owing(self, owed: Usd) -> DecisionOutcome {
        DecisionOutcome { owed, ..self }
    }

    /// The same, and kept data costs this from now on.
    pub(crate) fn keeping(self, kept: Option<KeptCharge>) -> DecisionOutcome {
        DecisionOutcome { kept, ..self }
    }

    /// The same, and its lines spend this of budgets.
    pub(crate) fn spending(self, spends: Vec<BudgetSpend>) -> DecisionOutcome {
        DecisionOutcome { spends, ..self }
    }
}

/// Turns a decision into an event. Computes whether a refill is wanted and whether a deletion must
/// be announced again, and checks that the balance fits the ledger.
pub(crate) fn finish(
    state: &AccountState,
    outcome: DecisionOutcome,
    cause: Cause,
    policy: &Policy,
    now: Timestamp,
) -> Result<Event, Refusal> {
    let DecisionOutcome { change, grants, funds, owed, kept, mut spends } = outcome;
    spends.extend(named_spends(state, &change, now));
    let spends = with_notices(state, spends, &change, now);
    let mut event = Event {
        at: now,
        cause: cause.in_format(policy.row_format),
        change,
        grants,
        funds,
        owed,
        kept,
        low: None,
        want: None,
        respite_until: None,
        respite_from: None,
        warn_at: None,
        uses_up_credit: false,
        cuts: Vec::new(),
        spends,
    };
    let mut after = apply(state, &event);
    event.cuts = holds::cuts(&after.without_expired_holds(now), &event);
    if !event.cuts.is_empty() {
        after = apply(state, &event);
    }
    if !after.balance().is_bounded() || !after.paid.is_bounded() {
        return Err(Refusal::BalanceOverflow);
    }
    event.want = refill::want(&after, &event.change, policy, now);
    if let Some(respite) = respite_to_keep(state, &after, &event, policy) {
        (event.respite_from, event.respite_until) = (Some(respite.from), Some(respite.until));
    } else {
        event.respite_until = respite_to_begin(&after, &event, policy);
    }
    event.low = credit_low::low_to_tell(state, &event, &after, policy);
    event.warn_at = due::ends_hold_of_deletion(state, || apply(state, &event)).then_some(now);
    event.uses_up_credit = uses_up_credit(&event, &after, policy);
    Ok(event)
}

/// Whether a row leaves an account without credit: it spends or takes the last credit, stops the last
/// billed resource for a budget, or leaves a debt. While anything is billed by time, the end of the paid
/// time decides instead. Credit that expires is not spent.
fn uses_up_credit(event: &Event, after: &AccountState, policy: &Policy) -> bool {
    let ends_on_its_own = matches!(
        event.change,
        Change::Grant(
            GrantChange::GrantExpired { .. }
                | GrantChange::TrialEnded
                | GrantChange::TrialOver { .. }
        )
    );
    let is_spent = event.amount().is_negative() && !ends_on_its_own;
    let is_stopped = matches!(
        event.change,
        Change::Resource(ResourceChange::Stopped { why: StopReason::Budget, .. })
    );
    let is_used_up = is_spent || is_stopped || after.balance().is_negative();
    is_used_up && is_without_credit(after) && policy.row_format >= SUSPENDED_AT_ZERO
}

fn check_open(state: &AccountState, command: &Command) -> Result<(), Refusal> {
    match (state.is_open(), command) {
        (false, Command::Open) => Ok(()),
        (true, Command::Open) => Err(Refusal::AccountAlreadyOpen),
        (false, _) => Err(Refusal::AccountNotOpen),
        (true, _) => Ok(()),
    }
}

pub(crate) fn check_time(state: &AccountState, now: Timestamp) -> Result<(), Refusal> {
    if now < state.at { Err(Refusal::TimeBeforeLastRow { now, last: state.at }) } else { Ok(()) }
}

/// Checks that no row came since another system was asked.
fn check_head(state: &AccountState, head: u64) -> Result<(), Refusal> {
    if state.next_seq == head + 1 { Ok(()) } else { Err(Refusal::AccountChanged) }
}

/// Checks that all running resources are paid up to now, or that an open refill delays the
/// suspension.
fn check_settled(state: &AccountState, policy: &Policy, now: Timestamp) -> Result<(), Refusal> {
    match state.paid_through() {
        Some(paid_through)
            if paid_through <= now
                && respite_until(state, policy).is_none_or(|until| until <= now) =>
        {
            Err(Refusal::NotSettled { paid_through })
        }
        Some(_) | None => Ok(()),
    }
}

/// The end of the respite that a row begins.
fn respite_to_begin(after: &AccountState, event: &Event, policy: &Policy) -> Option<Timestamp> {
    let is_low = |agreed: RefillAgreement| after.available() < agreed.threshold;
    let is_under_way = refill_under_way_since(after).is_some();
    let is_wanted = matches!(event.want, Some(RefillWant::Now { .. }));
    let begins = is_wanted || (is_under_way && after.refill.agreement.is_some_and(is_low));
    let is_first = after.refill.respite.is_none() && policy.row_format >= RowFormat::new(3);
    (begins && is_first).then(|| event.at.plus(policy.respite_seconds))
}

/// The respite that a credit leaves as it is, because it does not pay for the time that ran in it.
/// Else each dollar would buy ten more minutes, and the time before it would be lost. `after` is the
/// account after the credit, in no respite.
fn respite_to_keep(
    state: &AccountState,
    after: &AccountState,
    event: &Event,
    policy: &Policy,
) -> Option<RefillRespite> {
    let respite = state.refill.respite?;
    let ran_unpaid = (event.at - after.paid_through()?).max(0);
    let ends = after.refill.respite.is_none() && ran_unpaid > 0;
    let to_pay = after.owed_at(event.at) + after.billed.rate.for_seconds(ran_unpaid);
    // A grant that excludes something may not be able to pay for it.
    let credit = Purse::within_period(after, event.at).unrestricted_credit();
    let keeps = ends && policy.row_format >= RESPITE_KEPT && credit < to_pay;
    keeps.then_some(respite)
}

/// Checks that the standing allows new resources.
fn check_standing(state: &AccountState) -> Result<(), Refusal> {
    if state.standing == Standing::Closed {
        return Err(Refusal::Closed);
    }
    if !state.frozen.is_empty() {
        return Err(Refusal::Frozen);
    }
    match &state.standing {
        Standing::Good => Ok(()),
        Standing::Suspended(suspension) if suspension.reason == SuspensionReason::Staff => {
            Err(Refusal::SuspendedByStaff)
        }
        Standing::Suspended(_) | Standing::Deleting(_) | Standing::Deleted(_) => {
            Err(Refusal::Suspended)
        }
        Standing::Closed => Err(Refusal::Closed),
    }
}

/// Checks the reason that staff gives.
///
/// # Errors
/// [`Refusal::ReasonNeeded`].
pub fn check_reason(reason: &str) -> Result<String, Refusal> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(Refusal::ReasonNeeded { bytes_max: REASON_BYTES_MAX });
    }
    Ok(reason.to_owned())
}

fn confirm_deletion(state: &AccountState, head: u64) -> Result<DecisionOutcome, Refusal> {
    let is_due = matches!(state.standing, Standing::Deleting(_))
        && state.next_seq == head + 1
        && !state.is_above_floor();
    if !is_due {
        return Err(Refusal::NotDeleting);
    }
    if !state.pending.is_empty() {
        return Err(Refusal::PaymentPending);
    }
    check_no_attempt(state)?;
    // What is owed is written off with the data that was kept.
    Ok(DecisionOutcome::of(StandingChange::Deleted).owing(-state.owed))
}

fn close(state: &AccountState, reason: &str) -> Result<DecisionOutcome, Refusal> {
    let reason = check_reason(reason)?;
    if state.standing == Standing::Closed {
        return Err(Refusal::Closed);
    }
    let count = state.billed.count();
    if count > 0 {
        return Err(Refusal::StillRunning { count });
    }
    check_no_attempt(state)?;
    Ok(DecisionOutcome::of(StandingChange::Closed { reason }))
}

fn close_by_customer(
    state: &AccountState,
    shown: Usd,
    resources: usize,
    policy: &Policy,
) -> Result<DecisionOutcome, Refusal> {
    check_closable(state, resources).map_err(ClosingObstacle::refusal)?;
    let balance = state.balance();
    if shown != balance {
        return Err(Refusal::BalanceChanged { balance });
    }
    // Format 5 knows only those that staff closed.
    if policy.row_format < REOPENING_KNOWN {
        return Err(Refusal::AccountChanged);
    }
    Ok(DecisionOutcome::of(StandingChange::ClosedByCustomer))
}

/// Why a customer cannot close its account now, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosingObstacle {
    AlreadyClosed,
    Frozen,
    SuspendedByStaff,
    /// So many resources are not deleted.
    Resources(usize),
    /// A promised payment may still arrive.
    Payment,
    /// A refill attempt is open.
    Refill(u32),
}

impl ClosingObstacle {
    fn refusal(self) -> Refusal {
        match self {
            ClosingObstacle::AlreadyClosed => Refusal::Closed,
            ClosingObstacle::Frozen => Refusal::Frozen,
            ClosingObstacle::SuspendedByStaff => Refusal::SuspendedByStaff,
            ClosingObstacle::Resources(count) => Refusal::ResourcesLeft { count },
            ClosingObstacle::Payment => Refusal::PaymentPending,
            ClosingObstacle::Refill(attempt) => Refusal::AttemptOpen { attempt },
        }
    }
}

/// Checks whether a customer may close its account. `resources`: how many exist that are not deleted.
///
/// # Errors
/// The first [`ClosingObstacle`].
pub fn check_closable(state: &AccountState, resources: usize) -> Result<(), ClosingObstacle> {
    let by_staff = matches!(
        &state.standing,
        Standing::Suspended(suspension) if suspension.reason == SuspensionReason::Staff
    );
    if state.standing == Standing::Closed {
        return Err(ClosingObstacle::AlreadyClosed);
    }
    if !state.frozen.is_empty() {
        return Err(ClosingObstacle::Frozen);
    }
    if by_staff {
        return Err(ClosingObstacle::SuspendedByStaff);
    }
    if resources > 0 {
        return Err(ClosingObstacle::Resources(resources));
    }
    if !state.pending.is_empty() {
        return Err(ClosingObstacle::Payment);
    }
    match &state.refill.attempt {
        Some(attempt) => Err(ClosingObstacle::Refill(attempt.number)),
        None => Ok(()),
    }
}

fn reopen(
    state: &AccountState,
    reason: &str,
    billed: &BilledTotals,
    policy: &Policy,
) -> Result<DecisionOutcome, Refusal> {
    let reason = check_reason(reason)?;
    if state.standing != Standing::Closed || policy.row_format < REOPENING_KNOWN {
        return Err(Refusal::NotClosed);
    }
    if state.erased {
        return Err(Refusal::Erased);
    }
    Ok(DecisionOutcome::of(StandingChange::Reopened { reason, billed: billed.clone() }))
}

/// Also of an account that is erased: each row tells why, and whatever was left is erased after it.
fn erase(state: &AccountState, reason: &str, policy: &Policy) -> Result<DecisionOutcome, Refusal> {
    let reason = check_reason(reason)?;
    if state.standing != Standing::Closed || policy.row_format < ERASURE_KNOWN {
        return Err(Refusal::NotClosed);
    }
    // Who pays is needed until the payment has come. What was begun is finished all the same.
    if !state.erased {
        if !state.pending.is_empty() {
            return Err(Refusal::PaymentPending);
        }
        check_no_attempt(state)?;
    }
    Ok(DecisionOutcome::of(StaffChange::Erased { reason }))
}

fn unfreeze(state: &AccountState, reason: &str) -> Result<DecisionOutcome, Refusal> {
    let reason = check_reason(reason)?;
    if state.frozen.is_empty() {
        return Err(Refusal::NotFrozen);
    }
    Ok(DecisionOutcome::of(StaffChange::Unfrozen { reason }))
}

fn check_no_attempt(state: &AccountState) -> Result<(), Refusal> {
    match &state.refill.attempt {
        Some(attempt) => Err(Refusal::AttemptOpen { attempt: attempt.number }),
        None => Ok(()),
    }
}
