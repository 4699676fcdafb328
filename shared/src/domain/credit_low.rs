//! When credit is low: the credit that surely pays lasts for less than a day, and no refill is
//! pending. The customer is told at most once a day for each cause.

use crate::domain::account::{AccountState, Grant, LowCause, LowTold, RefillAgreement, Standing};
use crate::domain::event::{
    BillingChange, Change, Event, GrantChange, RefillChange, RefillDecline, RefillWant,
};
use crate::domain::funds::{Fund, FundDelta};
use crate::domain::money::{Rate, Usd};
use crate::domain::policy::Policy;
use crate::domain::refill::{ChargeTiming, allowed};
use crate::domain::row_format::RowFormat;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};

fn cause_of(change: &Change) -> LowCause {
    match change {
        Change::Billing(_) | Change::Hold(_) => LowCause::Usage,
        Change::Resource(_) => LowCause::Resources,
        Change::Refill(_) => LowCause::Refills,
        Change::Payment(_)
        | Change::Grant(_)
        | Change::Standing(_)
        | Change::Staff(_)
        | Change::Budget(_) => LowCause::Account,
    }
}

/// Whether the customer must be told of low credit, and why. `before` and `after` are the states
/// around the row. Rows of format 2 do not record it: see [`becomes_low`].
pub(crate) fn low_to_tell(
    before: &AccountState,
    event: &Event,
    after: &AccountState,
    policy: &Policy,
) -> Option<LowCause> {
    let cause = cause_of(&event.change);
    let is_told = before.low_told.get(&cause).is_some_and(|at| is_recent(*at, counted_at(event)));
    let is_known = policy.row_format >= RowFormat::new(3);
    // A hold moves no money, so only the state before it says what was available.
    let sure_before = if matches!(event.change, Change::Hold(_)) {
        sure_credit(before, event.at)
    } else {
        sure_credit_before(event, after)
    };
    (is_known && !is_told && falls_low(event, after, sure_before, policy)).then_some(cause)
}

/// Records that a row tells of low credit.
pub(crate) fn record_told(told: &mut LowTold, event: &Event) {
    let Some(cause) = event.low else { return };
    let now = counted_at(event);
    told.insert(cause, now);
    told.retain(|_, at| is_recent(*at, now));
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    now - at < DAY
}

/// Whether a row of format 2 takes the credit below the limit while no refill is pending. `state` is
/// the state after the row.
pub(crate) fn becomes_low(event: &Event, state: &AccountState, policy: &Policy) -> bool {
    falls_low(event, state, sure_credit_before(event, state), policy)
}

/// `sure_before`: the sure credit before the row, in USD.
fn falls_low(event: &Event, state: &AccountState, sure_before: Usd, policy: &Policy) -> bool {
    let is_wanted = matches!(event.want, Some(RefillWant::Now { .. }));
    let is_refilled = is_wanted || state.refill.wanted.is_some() || state.refill.attempt.is_some();
    let credit = sure_credit(state, counted_at(event));
    let is_low = low_below(state, state.billed.rate, policy).is_some_and(|limit| credit < limit);
    // The notice of a declined card already contains the end of the credit. Each decline sends one
    // mail.
    let is_told = matches!(
        &event.change,
        Change::Refill(RefillChange::RefillFailed { decline, .. })
            if matches!(decline, RefillDecline::Never | RefillDecline::Later)
    );
    // The end of a trial has notices of its own.
    let is_told = is_told || state.is_in_trial();
    if state.standing != Standing::Good || is_refilled || is_told || !is_low {
        return false;
    }
    let Some(rate) = event.change.rate_before(state) else { return true };
    low_below(state, rate, policy).is_none_or(|limit| sure_before >= limit)
}

/// The limit of low credit: the cost of one day, or the refill threshold if it is lower and a
/// refill is allowed at the time of the row. Above the threshold, a refill is still expected. A
/// threshold of zero does not count. `None` while nothing costs anything.
fn low_below(state: &AccountState, rate: Rate, policy: &Policy) -> Option<Usd> {
    if rate.is_zero() {
        return None;
    }
    let day = rate.for_seconds(DAY);
    let is_allowed = |agreed: &RefillAgreement| {
        let allowed = allowed(&state.refill, agreed.amount, &policy.refill, state.at);
        state.is_refill_possible() && allowed == ChargeTiming::Now
    };
    let threshold = state.refill.agreement.filter(is_allowed).map(|agreed| agreed.threshold);
    Some(
        threshold
            .filter(|threshold| threshold.is_positive())
            .map_or(day, |threshold| threshold.min(day)),
    )
}

/// The credit that surely pays for everything in the day after an instant, in USD: paid credit, and
/// grants that exclude nothing and do not expire within that day, without what is held.
pub(crate) fn sure_credit(state: &AccountState, at: Timestamp) -> Usd {
    let sure = state.grants.iter().filter(|grant| is_sure(grant, at));
    state.free_paid() + sure.map(|grant| state.free_of_grant(grant.number)).sum()
}

fn is_sure(grant: &Grant, at: Timestamp) -> bool {
    grant.excludes.is_empty() && grant.expires_at > at.plus(DAY)
}

/// The sure credit before a row. While resources run, each hour has a row, so all credit that was
/// sure an hour earlier was counted then. The hour in which a grant has one day left therefore
/// reports it.
fn sure_credit_before(event: &Event, state: &AccountState) -> Usd {
    let passed =
        if matches!(event.change, Change::Billing(BillingChange::Usage { .. })) { HOUR } else { 0 };
    let at = counted_at(event).plus(-passed);
    // A spent grant may be missing from the state, so its share counts. An expiry does not count,
    // because it was announced.
    let is_end = matches!(
        event.change,
        Change::Grant(
            GrantChange::GrantExpired { .. }
                | GrantChange::TrialEnded
                | GrantChange::TrialOver { .. }
        )
    );
    let counts = |delta: &&FundDelta| match delta.fund {
        Fund::Paid => true,
        Fund::Grant(number) => state.grant(number).map_or(!is_end, |grant| is_sure(grant, at)),
    };
    let moved: Usd = event.funds.iter().filter(counts).map(|delta| delta.amount).sum();
    sure_credit(state, at) - moved
}

/// When a row's credit is examined. For a usage row it is the start of its period, so that a late
/// run reports the same events as punctual runs.
pub(crate) fn counted_at(event: &Event) -> Timestamp {
    if let Change::Billing(BillingChange::Usage { from, .. }) = &event.change {
        *from
    } else {
        event.at
    }
}
