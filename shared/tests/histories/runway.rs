//! The runway equals the actual end of the credit if nothing else happens.

use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tollgate::domain::command::{BonusGrant, Command};
use tollgate::domain::event::{Change, ResourceChange, StandingChange, StopReason};
use tollgate::domain::money::Usd;
use tollgate::domain::settle::runway::runway;
use tollgate::domain::timestamp::{HOUR, Timestamp};

use crate::model::{Asked, ensure, micros};
use crate::steps::{Action, Flavour, History, Step, Wait};
use crate::world::World;
use crate::{Check, config};

/// How far the test walks.
const HOURS_MAX: i64 = 120;

#[derive(Clone, Debug)]
struct Funds {
    credit: i64,
    grants: Vec<(i64, i64, u8)>,
    /// SKUs that cost nothing while off.
    running: Vec<u8>,
    /// The correction by staff at the end.
    correction: i64,
    wait: i64,
}

fn funds() -> impl Strategy<Value = Funds> {
    let sku = prop::sample::select(vec![0_u8, 1, 3, 5, 6]);
    let grant = (0_i64..40_000_000, 1_i64..200 * HOUR, 0_u8..6);
    let amount = -30_000_000_i64..60_000_000;
    (0_i64..80_000_000, vec(grant, 0..4), vec(sku, 1..4), amount, 0_i64..3 * HOUR).prop_map(
        |(credit, grants, running, correction, wait)| Funds {
            credit,
            grants,
            running,
            correction,
            wait,
        },
    )
}

fn correct(world: &mut World, amount: i64) -> Check {
    let command =
        Command::Correct { amount: Usd::from_micros(amount), reason: "a test".to_owned() };
    world.command(&command, Asked { paid: amount, grant: 0 }).map(drop)
}

fn walk(world: &mut World, funds: &Funds) -> Check {
    correct(world, funds.credit)?;
    for (amount, seconds, excludes) in &funds.grants {
        let excludes = crate::world::excluded(*excludes)?;
        let (amount, expires_at) = (
            Usd::from_cents(amount / 10_000 + 1).map_err(|error| error.to_string())?,
            world.now.plus(*seconds),
        );
        let bonus = BonusGrant { amount, expires_at, excludes };
        world.command(
            &Command::Grant { bonus, reason: "a test".to_owned() },
            Asked { paid: 0, grant: micros(amount) },
        )?;
    }
    for sku in &funds.running {
        let action = Action::StartNew { sku: *sku, count: 1, agreed: 0 };
        world.step(&Step { wait: Wait::Seconds(7), action })?;
    }
    correct(world, funds.correction)?;
    world.step(&Step { wait: Wait::Seconds(funds.wait), action: Action::Settle })?;

    let prices = Rc::clone(&world.prices);
    let (account, policy) = (world.account.clone(), world.policy.clone());
    let start = world.now;
    let zero_at = runway(&world.view(&account, &prices, &policy)?)
        .map_err(|refusal| refusal.to_string())?
        .zero_at;
    if world.state().paid_through().is_none() {
        ensure!(zero_at.is_none(), "nothing is billed and the runway ends at {zero_at:?}");
        return Ok(());
    }
    let seen = world.rows.len();
    let ends_at = |world: &World| -> Option<Timestamp> {
        world.rows.get(seen..).unwrap_or_default().iter().find_map(|row| match &row.event.change {
            Change::Standing(StandingChange::Suspended { as_of, .. }) => Some(*as_of),
            // Recorded at once: the runs below are punctual.
            Change::Resource(ResourceChange::Stopped { why: StopReason::Credit, .. }) => {
                Some(row.event.at)
            }
            _ => None,
        })
    };
    while world.now - start < HOURS_MAX * HOUR {
        let next = crate::ahead::next_run(&world.view(&account, &prices, &policy)?, world.now);
        world.now = next;
        world.settle()?;
        if let Some(end) = ends_at(world) {
            ensure!(zero_at == Some(end), "it ends at {end}, the runway said {zero_at:?}");
            return Ok(());
        }
    }
    ensure!(
        zero_at.is_none_or(|zero_at| zero_at > world.now),
        "the runway said {zero_at:?}, and it goes on"
    );
    Ok(())
}

#[test]
fn a_runway_ends_where_hour_by_hour_something_stops() {
    let check = |funds: Funds| {
        let empty = History { flavour: Flavour::Grants, prelude: 0, steps: Vec::new() };
        let mut world = World::open(&empty).map_err(TestCaseError::fail)?;
        walk(&mut world, &funds)
            .map_err(|broken| TestCaseError::fail(format!("{broken}\n{}", world.transcript())))
    };
    if let Err(failure) = TestRunner::new(config(1_000)).run(&funds(), check) {
        let text = failure.to_string();
        assert!(text.is_empty(), "{text}");
    }
}
