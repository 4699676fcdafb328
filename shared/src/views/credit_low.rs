//! When credit is low: it surely pays for less than a day, and no refill is on its way.

use super::family;
use crate::domain::account::{AccountState, Grant, RefillAgreement, Standing};
use crate::domain::event::{
    BillingChange, Change, Event, GrantChange, RefillChange, RefillDecline,
};
use crate::domain::funds::{Fund, FundDelta};
use crate::domain::money::{Rate, Usd};
use crate::domain::policy::Policy;
use crate::domain::refill::{ChargeTiming, allowed};
use crate::domain::row::Row;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};

/// Whether a row takes the credit below the limit, and nothing is under way that brings more.
pub(super) fn becomes_low(row: &Row, policy: &Policy) -> bool {
    let (state, event) = (&row.state, &row.event);
    let is_refilled = state.refill.wanted.is_some() || state.refill.attempt.is_some();
    let credit = sure_credit(state, counted_at(event));
    let is_low = low_below(state, state.billed.rate, policy).is_some_and(|limit| credit < limit);
    // What the customer reads of a declined card says until when the credit lasts: one mail for one
    // decline.
    let is_told = matches!(
        &event.change,
        Change::Refill(RefillChange::RefillFailed { decline, .. })
            if *decline != RefillDecline::NotCharged
    );
    if state.standing != Standing::Good || is_refilled || is_told || !is_low {
        return false;
    }
    let Some(rate) = family::view_of(&event.change).rate_before(state) else { return true };
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
        state.is_refill_possible() && allowed == ChargeTiming::Now
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
pub(super) fn sure_credit(state: &AccountState, at: Timestamp) -> Usd {
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
    let passed =
        if matches!(event.change, Change::Billing(BillingChange::Usage { .. })) { HOUR } else { 0 };
    let at = counted_at(event).plus(-passed);
    // What is used up may be gone from the state: then it counts, but for what ends by itself, for
    // that was foretold.
    let is_end = matches!(
        event.change,
        Change::Grant(GrantChange::GrantExpired { .. } | GrantChange::TrialEnded)
    );
    let counts = |delta: &&FundDelta| match delta.fund {
        Fund::Paid => true,
        Fund::Grant(number) => state.grant(number).map_or(!is_end, |grant| is_sure(grant, at)),
    };
    let moved: Usd = event.funds.iter().filter(counts).map(|delta| delta.amount).sum();
    sure_credit(state, at) - moved
}

/// From when on a row's credit is looked at: an hour from its beginning, so that a late run tells
/// what punctual runs would have told.
pub(super) fn counted_at(event: &Event) -> Timestamp {
    if let Change::Billing(BillingChange::Usage { from, .. }) = &event.change {
        *from
    } else {
        event.at
    }
}
