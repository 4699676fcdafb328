//! The runway: how long the credit lasts if nothing changes.

use crate::domain::account::{AccountState, Grant, Standing};
use crate::domain::funds::{Fund, FundDelta, Purse};
use crate::domain::money::{Rate, Usd};
use crate::domain::refusal::Refusal;
use crate::domain::resources::BilledResource;
use crate::domain::settle::grace_seconds;
use crate::domain::settle::period::{PeriodCharge, order, pay, reach};
use crate::domain::snapshot::AccountSnapshot;
use crate::domain::timestamp::{HOUR, Timestamp};

/// How long the credit lasts with no top-up, no refill, no start or stop, and no new price. A budget
/// that stops something on the way makes it last longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditRunway {
    /// The current total rate, in USD per hour.
    pub rate_per_hour: Rate,
    /// The first instant that is not fully covered (UTC). `None` if it is more than [`YEARS_MAX`]
    /// years away, or nothing costs anything.
    pub zero_at: Option<Timestamp>,
    /// When all resources will be deleted (UTC): the end of the current or future grace period.
    pub deleted_at: Option<Timestamp>,
}

/// The horizon of a runway.
pub const YEARS_MAX: i64 = 10;

/// The runway of a settled account.
///
/// # Errors
/// [`Refusal::UnknownSku`] if the price list lacks a running resource's SKU.
pub fn runway(view: &AccountSnapshot<'_>) -> Result<CreditRunway, Refusal> {
    let state = view.state();
    let rate_per_hour = state.billed.rate;
    let deleted_at = match &state.standing {
        Standing::Suspended(suspension) => suspension.delete_at,
        Standing::Good | Standing::Deleting(_) | Standing::Deleted(_) | Standing::Closed => None,
    };
    let Some(paid_through) = state.paid_through() else {
        return Ok(CreditRunway { rate_per_hour, zero_at: None, deleted_at });
    };
    let billed = view.billables().billed(state, view.prices(), paid_through)?;
    let zero_at = zero_at(state, &billed, paid_through);
    let deleted_at = zero_at.map(|zero_at| zero_at.plus(grace_seconds(view)));
    Ok(CreditRunway { rate_per_hour, zero_at, deleted_at })
}

/// Roughly when the credit is spent if nothing changes (UTC), from the state alone. A row can
/// compute it without the list and the prices.
///
/// A grant counts until it expires as if it paid for everything. Resources that it excludes end
/// sooner. Whether credit is *low* depends on the credit that surely pays:
/// [`DomainEventDetail::CreditLow`](crate::views::domain_event::DomainEventDetail::CreditLow).
/// `None` while nothing that runs costs anything.
#[must_use]
pub fn lasts_until(state: &AccountState) -> Option<Timestamp> {
    let paid_through = state.paid_through()?;
    let rate = state.billed.rate.decimal();
    if rate.is_zero() {
        return None;
    }
    let seconds = |credit: Usd| {
        // Divided last, because the quotient is rounded.
        let scaled = credit.decimal().checked_mul(HOUR.into());
        let seconds = scaled.and_then(|scaled| scaled.checked_div(rate));
        seconds
            .and_then(|seconds| i64::try_from(seconds.floor()).ok())
            .unwrap_or(YEARS_MAX * 366 * 24 * HOUR)
    };
    let free = |grant: &Grant| state.free_of_grant(grant.number);
    let mut grants: Vec<_> = state.grants.iter().filter(|one| free(one).is_positive()).collect();
    grants.sort_by_key(|grant| grant.expires_at);
    let granted_until = grants.into_iter().fold(paid_through, |until, grant| {
        let usable = (grant.expires_at - until).max(0);
        until.plus(seconds(free(grant)).min(usable))
    });
    // The grants pay a debt.
    Some(granted_until.plus(seconds(state.free_paid())).max(paid_through))
}

/// Steps through the hours as the hourly run will, and takes all equal hours in one step: as many
/// as the fund that ends first can pay, up to the next expiry.
fn zero_at(
    state: &AccountState,
    billed: &[BilledResource<'_>],
    paid_through: Timestamp,
) -> Option<Timestamp> {
    let horizon = paid_through.plus(YEARS_MAX * 366 * 24 * HOUR);
    let mut ahead = state.clone();
    let mut from = paid_through;
    while from < horizon {
        let mut charges: Vec<PeriodCharge<'_>> = billed.iter().map(PeriodCharge::from).collect();
        let mut purse = Purse::for_new_period(&ahead, from);
        order(&mut charges, &purse);
        let end = from.hour().end();
        let through = reach(&purse, &charges, &[], from, end);
        if through < end {
            return Some(through);
        }
        pay(&mut purse, &charges, from, through)?;
        let deltas = purse.deltas();
        if deltas.iter().all(|delta| delta.amount.is_zero()) {
            return None;
        }
        let hours = if end - from == HOUR { equal_hours(&ahead, &deltas, from) } else { 1 };
        spend(&mut ahead, &deltas, hours);
        from = from.plus((hours - 1) * HOUR).hour().end();
    }
    None
}

fn spend(state: &mut AccountState, deltas: &[FundDelta], hours: i64) {
    for delta in deltas {
        let amount = delta.amount.times(hours);
        match delta.fund {
            Fund::Paid => state.paid += amount,
            Fund::Grant(number) => {
                state
                    .grants
                    .iter_mut()
                    .filter(|grant| grant.number == number)
                    .for_each(|grant| grant.remaining += amount);
            }
        }
    }
}

/// How many hours equal to the one at `from` can follow, including that hour: until a fund holds
/// less than an hour's cost, or a grant expires.
fn equal_hours(state: &AccountState, deltas: &[FundDelta], from: Timestamp) -> i64 {
    let by_funds = deltas.iter().filter(|delta| delta.amount.is_negative()).map(|delta| {
        let held = match delta.fund {
            Fund::Paid => state.free_paid(),
            Fund::Grant(number) => state.free_of_grant(number),
        };
        i64::try_from((held.decimal() / -delta.amount.decimal()).floor()).unwrap_or(i64::MAX)
    });
    let by_expiry = state
        .grants
        .iter()
        .filter(|grant| grant.remaining.is_positive() && grant.expires_at > from)
        .map(|grant| (grant.expires_at - from + HOUR - 1) / HOUR);
    // A debt comes first: all funds together never go below a balance of zero.
    let all: Usd = deltas.iter().map(|delta| -delta.amount).sum();
    let unexpired = state.grants.iter().filter(|grant| grant.expires_at > from);
    let free = state.free_paid() + unexpired.map(|grant| state.free_of_grant(grant.number)).sum();
    let by_balance = all.is_positive().then(|| free.decimal() / all.decimal());
    let by_balance = by_balance.map(|hours| i64::try_from(hours.floor()).unwrap_or(i64::MAX));
    by_funds.chain(by_expiry).chain(by_balance).min().unwrap_or(1).clamp(1, YEARS_MAX * 366 * 24)
}
