//! A late run writes the same rows as punctual runs.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::test_runner::{TestCaseError, TestRunner};
use tollgate::domain::account::{AccountState, Standing};
use tollgate::domain::event::{BilledLines, BillingChange, Change, StandingChange};
use tollgate::domain::money::Usd;
use tollgate::domain::row::Row;
use tollgate::domain::timestamp::Timestamp;

use crate::ahead::next_run;
use crate::model::ensure;
use crate::steps::{Action, Flavour, History, How, Step, history};
use crate::world::{World, is_of_this_hour};
use crate::{Check, config};

/// Refills, staff actions, and usage that is reported late or was counted by an older release depend on
/// when a row is written, and are left out here.
fn is_the_same_at_any_time(action: &Action) -> bool {
    match action {
        Action::Credit { how, .. } => *how == How::TopUp,
        Action::Settle
        | Action::Grant { .. }
        | Action::WithdrawGrant { .. }
        | Action::Create { .. }
        | Action::StartNew { .. }
        | Action::Start { .. }
        | Action::Stop { .. }
        | Action::Delete { .. }
        | Action::FailStart { .. }
        | Action::StartTrial { .. }
        | Action::OpenMeter { .. }
        | Action::Hold { .. }
        | Action::ExtendHold { .. }
        | Action::ReleaseHold { .. }
        | Action::SetBudget { .. }
        | Action::RemoveBudget { .. }
        | Action::Refund { .. }
        | Action::Correct { .. }
        | Action::Import { .. }
        | Action::Freeze
        | Action::Unfreeze
        | Action::NewPrice { .. } => true,
        Action::Read { quantity, .. } => is_of_this_hour(*quantity),
        _ => false,
    }
}

/// Settles at every instant at which something is due, up to `now`.
fn run_punctually(world: &mut World, now: Timestamp) -> Check {
    while world.now < now && !world.is_long() {
        let (prices, account, policy) =
            (Rc::clone(&world.prices), world.account.clone(), world.policy.clone());
        let next = next_run(&world.view(&account, &prices, &policy)?, world.now).min(now);
        world.now = next;
        world.settle()?;
    }
    world.now = now;
    world.settle()
}

/// The total cost of each resource, and of each SKU's usage of each hour.
fn costs(world: &World) -> BTreeMap<String, Usd> {
    let mut costs: BTreeMap<String, Usd> = BTreeMap::new();
    for row in &world.rows {
        if let Some(BilledLines::Here(lines)) = row.event.change.lines() {
            for line in lines {
                *costs.entry(line.resource.to_string()).or_default() += line.amount;
            }
        }
        if let Change::Billing(BillingChange::Metered { lines, .. }) = &row.event.change {
            for line in lines {
                let usage = format!("{} of {:?}", line.sku, line.hour);
                *costs.entry(usage).or_default() += line.amount;
            }
        }
    }
    costs.retain(|_, cost| !cost.is_zero());
    costs
}

fn check_same(punctual: &World, late: &World) -> Check {
    let (costs, late_costs) = (costs(punctual), costs(late));
    ensure!(costs == late_costs, "punctual runs bill {costs:?}, a late one {late_costs:?}");
    let (one, other) = (punctual.state(), late.state());
    ensure!(
        one.balance() == other.balance(),
        "the balance is {} or, late, {}",
        one.balance(),
        other.balance()
    );
    ensure!(
        (one.paid, &one.grants) == (other.paid, &other.grants),
        "the funds differ: late {:?} {:?}",
        other.paid,
        other.grants
    );
    ensure!(
        one.period == other.period,
        "the period is {:?} or, late, {:?}",
        one.period,
        other.period
    );
    let billed =
        |state: &AccountState| (state.billed.running.clone(), state.billed.idle, state.billed.rate);
    ensure!(
        billed(one) == billed(other),
        "billed is {:?} or, late, {:?}",
        one.billed,
        other.billed
    );
    // The grace period counts from the row. A deletion writes off what is owed.
    let is_deleted = matches!(one.standing, Standing::Deleting(_) | Standing::Deleted(_));
    let owed = |state: &AccountState| (state.kept().copied(), state.owed_at(late.now));
    ensure!(
        is_deleted || owed(one) == owed(other),
        "owed is {:?} or, late, {:?}",
        one.kept(),
        other.kept()
    );
    // The instant of the suspension is the same, but where nothing is billed by time: there it is that
    // of the row before.
    let suspended = |world: &World| {
        world.rows.windows(2).find_map(|rows| match &rows[1].event.change {
            Change::Standing(StandingChange::Suspended { as_of, .. }) => {
                Some(rows[0].state.paid_through().map(|_| *as_of))
            }
            _ => None,
        })
    };
    let (one, other) = (suspended(punctual), suspended(late));
    ensure!(one == other, "suspended as of {one:?} or, late, {other:?}");
    Ok(())
}

fn run_both(steps: &[Step], punctual: &mut World, late: &mut World) -> Check {
    for step in steps.iter().filter(|step| is_the_same_at_any_time(&step.action)) {
        if punctual.is_long() || late.is_long() {
            return Ok(());
        }
        let now = punctual.after(step.wait);
        run_punctually(punctual, now)?;
        late.now = now;
        let suspended = punctual.state().standing != Standing::Good;
        late.settle()?;
        // What a hold releases pays what is owed, and ends a suspension, when its row is written.
        let is_paid = |row: &Row| ["resumed", "owed_paid"].contains(&row.event.change.name());
        if punctual.rows.iter().any(is_paid) {
            return Ok(());
        }
        check_same(punctual, late)?;
        if suspended {
            return Ok(());
        }
        for world in [&mut *punctual, &mut *late] {
            world.step_at(now, step)?;
            if let Action::Read { .. } = step.action {
                // What is billed at once is billed with the next second.
                world.now = now.plus(1);
                world.settle()?;
            }
        }
        if punctual.state().standing != Standing::Good {
            return check_same(punctual, late);
        }
    }
    Ok(())
}

/// Checks histories of a flavour; how often usage was billed in them.
fn check_histories(flavour: Flavour) -> usize {
    let metered = Cell::new(0);
    let check = |history: History| {
        let mut punctual = World::open(&history).map_err(TestCaseError::fail)?;
        let mut late = World::open(&history).map_err(TestCaseError::fail)?;
        run_both(&history.steps, &mut punctual, &mut late).map_err(|broken| {
            let (punctual, late) = (punctual.transcript(), late.transcript());
            TestCaseError::fail(format!("{broken}\n== punctual\n{punctual}\n== late\n{late}"))
        })?;
        let of_usage = |row: &&Row| row.event.change.name() == "metered";
        metered.set(metered.get() + late.rows.iter().filter(of_usage).count());
        Ok(())
    };
    if let Err(failure) = TestRunner::new(config(1_000)).run(&history(flavour), check) {
        let text = failure.to_string();
        assert!(text.is_empty(), "{flavour:?}: {text}");
    }
    metered.get()
}

#[test]
fn a_late_run_bills_what_punctual_runs_would_have_billed() {
    check_histories(Flavour::Resources);
}

#[test]
fn a_late_run_bills_the_usage_that_punctual_runs_would_have_billed() {
    let metered = check_histories(Flavour::Usage);
    assert!(metered > 500, "usage was billed only {metered} times");
}
