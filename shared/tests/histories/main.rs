//! Random histories of the pure domain, checked row by row against an independent model.
//!
//! A history is an account with up to a hundred steps. In each step time passes and a request
//! arrives, valid or not. Everything runs as in production: [`tollgate::domain::settle`] first,
//! then [`tollgate::domain::resolve`] → [`tollgate::domain::decide`](mod@tollgate::domain::decide)
//! → [`tollgate::domain::row`], with claims as the store keeps them. Each row is read back from its
//! stored form.
//!
//! - [`steps`] defines histories, and how they are drawn and shrunk.
//! - [`world`] runs a history and records the results. Its modules carry out the actions by family.
//! - [`model`] keeps its own books, from the rows alone and without `apply`, and reports the
//!   invariant that a row breaks.
//! - [`ahead`] checks properties *between* rows: the next due row, and complete settling.
//! - [`late`], [`runway`], [`splitting`] check one property each.
//!
//! The seed is fixed, so that a run can be repeated. `PROPTEST_RNG_SEED` sets another seed, and
//! `PROPTEST_CASES` the number of histories.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a check looks at the rows it is about; a new kind of row must first of all pass the checks on every row"
)]

mod ahead;
mod late;
mod model;
mod runway;
mod splitting;
mod steps;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use tollgate::domain::event::{Change, ResourceChange, StopReason};

use steps::{Flavour, History, history};
use world::World;

/// The result of a check. The error names the broken invariant.
type Check = Result<(), String>;

/// Histories of each flavour: six flavours, so 15,000 in all.
const CASES: u32 = 2_500;

/// At least `cases`; the environment can only raise it.
fn config(cases: u32) -> Config {
    let environment = Config::default();
    let rng_seed = match environment.rng_seed {
        RngSeed::Random => RngSeed::Fixed(20_261_122),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    let chosen = std::env::var_os("PROPTEST_CASES").is_some();
    Config {
        cases: if chosen { environment.cases.max(cases) } else { cases },
        rng_seed,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..environment
    }
}

/// Checks histories of a flavour. Each of the `reached` kinds of rows must have come that often, so
/// that no state is only believed to be checked.
fn check_histories(flavour: Flavour, reached: &[(&str, u32)]) {
    let strategy = history(flavour);
    let counts = RefCell::new(BTreeMap::<&str, u32>::new());
    let check = |history: History| {
        let steps = &history.steps;
        let mut world = World::open(&history).map_err(TestCaseError::fail)?;
        let outcome = steps.iter().try_for_each(|step| world.step(step));
        outcome
            .map_err(|broken| TestCaseError::fail(format!("{broken}\n{}", world.transcript())))?;
        for row in &world.rows {
            let kind = match &row.event.change {
                Change::Resource(ResourceChange::Stopped { why: StopReason::Budget, .. }) => {
                    "stopped for a budget"
                }
                change => change.name(),
            };
            *counts.borrow_mut().entry(kind).or_default() += 1;
        }
        Ok(())
    };
    if let Err(failure) = TestRunner::new(config(CASES)).run(&strategy, check) {
        let text = failure.to_string();
        assert!(text.is_empty(), "{flavour:?}: {text}");
    }
    let counts = counts.into_inner();
    for (kind, least) in reached {
        let found = counts.get(kind).copied().unwrap_or_default();
        assert!(found >= *least, "{flavour:?}: {kind} less than {least} times in {counts:?}");
    }
}

#[test]
fn every_row_of_a_history_of_resources_keeps_the_invariants() {
    check_histories(Flavour::Resources, &[("stopped for a budget", 300)]);
}

#[test]
fn histories_of_grants_and_trials_keep_the_invariants() {
    check_histories(
        Flavour::Grants,
        &[
            ("trial", 400),
            ("trial_ending", 100),
            ("trial_ended", 300),
            ("hold", 1_000),
            ("hold_captured", 500),
            ("hold_extended", 20),
            ("hold_released", 20),
            ("hold_expired", 300),
        ],
    );
}

#[test]
fn every_row_of_a_history_of_refills_keeps_the_invariants() {
    check_histories(Flavour::Refills, &[]);
}

#[test]
fn histories_of_refunds_and_disputes_keep_the_invariants() {
    check_histories(Flavour::MoneyBack, &[]);
}

#[test]
fn histories_of_usage_keep_the_invariants() {
    let reached =
        [("metered", 4_000), ("meter_opened", 2_500), ("hold", 1_500), ("suspended", 1_500)];
    check_histories(Flavour::Usage, &reached);
}

#[test]
fn histories_of_suspensions_keep_the_invariants() {
    let reached = [
        ("suspended", 1_500),
        ("resumed", 1_000),
        ("deletion_announced", 250),
        ("deleting", 120),
        ("deleted", 50),
        ("restored", 120),
        ("purged", 500),
        ("closed", 100),
        ("reopened", 50),
        ("erased", 8),
    ];
    check_histories(Flavour::Standing, &reached);
}
