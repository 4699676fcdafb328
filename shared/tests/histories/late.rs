//! A late run writes the same rows as punctual runs.

use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::test_runner::{TestCaseError, TestRunner};
use tollgate::domain::account::Standing;
use tollgate::domain::event::{BilledLines, Change, StandingChange};
use tollgate::domain::ids::ResourceId;
use tollgate::domain::money::Usd;
use tollgate::domain::row::Row;
use tollgate::domain::timestamp::Timestamp;

use crate::ahead::next_run;
use crate::model::ensure;
use crate::steps::{Action, Flavour, History, How, Step, history};
use crate::world::World;
use crate::{Check, config};

/// Refills, meters and staff actions depend on when a row is written, and are left out here.
fn is_the_same_at_any_time(action: &Action) -> bool {
    match action {
        Action::Credit { how, .. } => *how == How::TopUp,
        Action::Settle
        | Action::Grant { .. }
        | Action::Create { .. }
        | Action::StartNew { .. }
        | Action::Start { .. }
        | Action::Stop { .. }
        | Action::Delete { .. }
        | Action::FailStart { .. }
        | Action::StartTrial { .. }
        | Action::Hold { .. }
        | Action::ExtendHold { .. }
        | Action::ReleaseHold { .. }
        | Action::Refund { .. }
        | Action::Correct { .. }
        | Action::Freeze
        | Action::Unfreeze
        | Action::NewPrice { .. } => true,
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

/// The total cost of each resource.
fn costs(world: &World) -> BTreeMap<ResourceId, Usd> {
    let mut costs: BTreeMap<ResourceId, Usd> = BTreeMap::new();
    for row in &world.rows {
        if let Some(BilledLines::Here(lines)) = row.event.change.lines() {
            for line in lines.iter().filter(|line| !line.amount.is_zero()) {
                *costs.entry(line.resource.clone()).or_default() += line.amount;
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
    let billed = |state: &tollgate::domain::account::AccountState| {
        (state.billed.running.clone(), state.billed.idle, state.billed.rate)
    };
    ensure!(
        billed(one) == billed(other),
        "billed is {:?} or, late, {:?}",
        one.billed,
        other.billed
    );
    ensure!(
        (one.kept(), one.owed_at(late.now)) == (other.kept(), other.owed_at(late.now)),
        "owed is {:?} or, late, {:?}",
        one.kept(),
        other.kept()
    );
    // The grace period counts from the row, so later rows may differ. The instant of the suspension
    // is the same.
    let suspended = |world: &World| {
        world.rows.iter().find_map(|row| match &row.event.change {
            Change::Standing(StandingChange::Suspended { as_of, .. }) => Some(*as_of),
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
        punctual.step_at(now, step)?;
        late.step_at(now, step)?;
    }
    Ok(())
}

#[test]
fn a_late_run_bills_what_punctual_runs_would_have_billed() {
    let strategy = history(Flavour::Resources);
    let check = |history: History| {
        let mut punctual = World::open(&history).map_err(TestCaseError::fail)?;
        let mut late = World::open(&history).map_err(TestCaseError::fail)?;
        run_both(&history.steps, &mut punctual, &mut late).map_err(|broken| {
            let (punctual, late) = (punctual.transcript(), late.transcript());
            TestCaseError::fail(format!("{broken}\n== punctual\n{punctual}\n== late\n{late}"))
        })
    };
    if let Err(failure) = TestRunner::new(config(1_000)).run(&strategy, check) {
        let text = failure.to_string();
        assert!(text.is_empty(), "{text}");
    }
}
