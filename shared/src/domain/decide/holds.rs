//! Decisions about holds.

use std::collections::BTreeSet;

use super::budgets::check_room;
use super::{DecisionOutcome, check_settled, check_standing};
use crate::domain::account::AccountState;
use crate::domain::command::CapturedUsage;
use crate::domain::event::{Change, Event, HoldChange, MeterLine};
use crate::domain::funds::{Fund, FundDelta, Purse};
use crate::domain::holds::{
    HOLD_SECONDS_MAX, HOLDS_KNOWN, HeldShare, Hold, HoldCut, HoldId, left_after,
};
use crate::domain::ids::{ProjectId, Sku};
use crate::domain::money::{Quantity, Usd};
use crate::domain::policy::Policy;
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::Timestamp;

pub(super) fn hold(
    state: &AccountState,
    (project, skus): (&ProjectId, &BTreeSet<Sku>),
    amount: Usd,
    seconds: i64,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    if policy.row_format < HOLDS_KNOWN {
        return Err(Refusal::HoldsNotYet);
    }
    check_settled(state, policy, now)?;
    if !amount.is_positive() {
        return Err(Refusal::AmountNotPositive);
    }
    check_standing(state)?;
    let max = policy.holds_max;
    if state.holds.len() >= usize::try_from(max).unwrap_or(usize::MAX) {
        return Err(Refusal::TooManyHolds { max });
    }
    check_room(state, project, amount, now)?;
    let expires_at = expiry(seconds, now);
    let shares = shares(state, skus, amount, expires_at, now)?;
    let (project, skus) = (project.clone(), skus.clone());
    Ok(DecisionOutcome::of(HoldChange::Held { project, skus, expires_at, shares }))
}

/// Sets the same amount aside anew, until later. A hold of which a refund took a part keeps what is
/// left.
pub(super) fn extend(
    state: &AccountState,
    id: HoldId,
    skus: &BTreeSet<Sku>,
    seconds: i64,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_settled(state, policy, now)?;
    check_standing(state)?;
    let hold = open(state, id)?;
    let expires_at = expiry(seconds, now);
    let mut without = state.clone();
    without.end_hold(id);
    if let Some(project) = &hold.project {
        check_room(&without, project, hold.amount(), now)?;
    }
    let shares = shares(&without, skus, hold.amount(), expires_at, now)?;
    Ok(DecisionOutcome::of(HoldChange::HoldExtended { hold: id, expires_at, shares }))
}

/// Bills what was used, from what is held first, then from free credit, and then below zero. In any
/// standing, because it was used.
pub(super) fn capture(
    state: &AccountState,
    (id, is_last): (HoldId, bool),
    usage: &[CapturedUsage],
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    let hold = open(state, id)?;
    let billed = BilledUsage::paid(state, hold.shares.clone(), usage, now);
    let left = (!is_last).then_some(billed.left);
    let change = HoldChange::HoldCaptured { hold: id, lines: billed.lines, left };
    Ok(DecisionOutcome::moving(change, billed.funds))
}

/// Bills what was used under a hold that is over, like any other usage.
pub(super) fn capture_late(
    state: &AccountState,
    (id, ends): (HoldId, bool),
    usage: &[CapturedUsage],
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    if state.hold(id).is_some() {
        return Err(Refusal::AccountChanged);
    }
    let billed = BilledUsage::paid(state, Vec::new(), usage, now);
    let change = HoldChange::CapturedLate { hold: id, lines: billed.lines, ends };
    Ok(DecisionOutcome::moving(change, billed.funds))
}

pub(super) fn release(state: &AccountState, id: HoldId) -> Result<DecisionOutcome, Refusal> {
    open(state, id)?;
    Ok(DecisionOutcome::of(HoldChange::HoldReleased { hold: id }))
}

fn open(state: &AccountState, id: HoldId) -> Result<&Hold, Refusal> {
    state.hold(id).ok_or(Refusal::HoldEnded { hold: id })
}

fn expiry(seconds: i64, now: Timestamp) -> Timestamp {
    now.plus(seconds.clamp(1, HOLD_SECONDS_MAX))
}

fn shares(
    state: &AccountState,
    skus: &BTreeSet<Sku>,
    amount: Usd,
    until: Timestamp,
    now: Timestamp,
) -> Result<Vec<HeldShare>, Refusal> {
    Purse::within_period(state, now)
        .hold(skus, amount, until)
        .map_err(|available| Refusal::CreditTooLow { required: amount, available })
}

/// Captured usage with what pays it.
struct BilledUsage {
    lines: Vec<MeterLine>,
    funds: Vec<FundDelta>,
    /// What is still held.
    left: Vec<HeldShare>,
}

impl BilledUsage {
    /// Pays usage from what is held, then from free credit, and then below zero.
    fn paid(
        state: &AccountState,
        held: Vec<HeldShare>,
        usage: &[CapturedUsage],
        now: Timestamp,
    ) -> BilledUsage {
        let mut purse = Purse::within_period(state, now);
        let mut left = held;
        let mut lines = Vec::new();
        for used in usage {
            let cost = used.rate.for_quantity(used.quantity);
            let mut shares = purse.draw_held(&left, cost);
            left = left_after(&left, &shares);
            let from_hold: Usd = shares.iter().map(|share| -share.amount).sum();
            shares.extend(purse.draw_beyond(&used.sku, cost - from_hold));
            let CapturedUsage { project, sku, labels, quantity, rate } = used.clone();
            let (hour, from) = (Some(now.hour().start()), Quantity::ZERO);
            let (to, amount) = (quantity, -cost);
            lines.push(MeterLine { project, sku, hour, labels, from, to, rate, amount, shares });
        }
        BilledUsage { lines, funds: purse.deltas(), left }
    }
}

/// What a row must take from holds: no grant keeps more for them than it has left, and what a refund,
/// dispute or correction takes of paid credit comes from free credit first, then from held credit,
/// the newest hold first. Usage takes nothing from holds. `after` is the account after the row.
pub(super) fn cuts(after: &AccountState, event: &Event) -> Vec<HoldCut> {
    let is_taken = matches!(event.change, Change::Payment(_) | Change::Staff(_));
    let moved = event.funds.iter().filter(|delta| delta.fund == Fund::Paid && is_taken);
    let taken: Usd = moved.map(|delta| -delta.amount).sum();
    let held: BTreeSet<Fund> =
        after.holds.iter().flat_map(|hold| &hold.shares).map(|one| one.fund).collect();
    let missing = |fund| match fund {
        // What usage left below zero is missing, too, but was not taken.
        Fund::Paid => (-after.free_paid()).min(taken).min(after.held_of(fund)),
        Fund::Grant(number) => -after.free_of_grant(number),
    };
    let mut excess: Vec<(Fund, Usd)> = held.into_iter().map(|fund| (fund, missing(fund))).collect();
    excess.retain(|(_, amount)| amount.is_positive());
    let mut cuts = Vec::new();
    for hold in after.holds.iter().rev() {
        let mut left = hold.shares.clone();
        for (fund, amount) in &mut excess {
            for share in left.iter_mut().filter(|share| share.fund == *fund) {
                let part = share.amount.min(*amount);
                share.amount -= part;
                *amount -= part;
            }
        }
        left.retain(|share| share.amount.is_positive());
        if left != hold.shares {
            cuts.push(HoldCut { id: hold.id, left });
        }
    }
    cuts
}
