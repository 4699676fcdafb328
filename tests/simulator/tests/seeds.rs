//! Runs of many seeds, as many as fit the time.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tollgate_simulator::run::{RunFailure, RunPlan, Sabotage, run, shrink};

/// The account-hours of a run at most.
const ACCOUNT_HOURS: u64 = 120;

/// Runs that look for a smaller plan that fails.
const SHRINKING_RUNS_MAX: u32 = 12;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// Replays a seed or a plan with its log: `TOLLGATE_SEED=7 cargo test … -- replay --nocapture`.
#[test]
fn replay() {
    let drawn = number("TOLLGATE_SEED").map(|seed| RunPlan::drawn(seed, ACCOUNT_HOURS));
    let named = std::env::var("TOLLGATE_PLAN").ok().map(|plan| plan.parse().unwrap());
    let Some(plan) = named.or(drawn) else { return };
    match run(plan) {
        Ok(report) => {
            println!("{}", report.lines.join("\n"));
            println!("{}", report.items);
            println!("{:#?}", report.reached);
            println!("{:?}: {} rows", report.plan, report.rows);
        }
        Err(failure) => {
            println!("{}", failure.lines.join("\n"));
            panic!("{failure}");
        }
    }
}

/// Each process has its own order of hash maps.
#[test]
fn same_seed_gives_the_same_run_in_another_process() {
    let runs: Vec<String> = (0..2)
        .map(|_| {
            let mut replay = Command::new(std::env::current_exe().unwrap());
            replay.args(["seeds::replay", "--exact", "--nocapture"]).env("TOLLGATE_SEED", "12");
            let output = replay.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    let steps = |run: &str| -> Vec<String> {
        run.lines().filter(|line| !line.starts_with("test ")).map(str::to_owned).collect()
    };
    let (one, other) = (steps(&runs[0]), steps(&runs[1]));
    assert!(one.len() > 100, "{runs:?}");
    for (place, (one, other)) in one.iter().zip(&other).enumerate() {
        assert_eq!(one, other, "step {place}");
    }
    assert_eq!(one.len(), other.len());
}

#[test]
fn books_notice_what_the_cloud_does_wrong() {
    for (sabotage, rule) in [
        (Sabotage::WebhooksAreLost, "are credited"),
        (Sabotage::RowIsInvented, "row 99999 follows row"),
        (Sabotage::EventIsInvented, "an event has no row"),
        (Sabotage::RowIsChanged, "was changed after it was written"),
        (Sabotage::ScheduleIsChanged, "and the schedule has"),
    ] {
        let failed = (1..=5).find_map(|seed| {
            let plan = RunPlan { hours: 12, accounts: 2, sabotage, ..RunPlan::drawn(seed, 24) };
            run(plan).err()
        });
        let failure = failed.unwrap_or_else(|| panic!("{sabotage:?} is not noticed"));
        assert!(failure.why.contains(rule), "{sabotage:?}: {}", failure.why);
        let smaller = shrink(*failure, 6);
        assert!(smaller.plan.hours <= 12 && smaller.why.contains(rule), "{smaller}");
    }
}

#[test]
fn plans_are_read_as_they_are_written() {
    let plan = RunPlan::drawn(7, ACCOUNT_HOURS);
    assert_eq!(plan.to_string().parse::<RunPlan>(), Ok(plan));
    assert!("7,1,2,stormy,absent".parse::<RunPlan>().is_err());
}

#[test]
fn seeds_hold_all_rules() {
    let seconds = number("TOLLGATE_SIMULATOR_SECONDS").unwrap_or(90);
    let base = number("TOLLGATE_SEED_BASE").unwrap_or(1);
    let count = number("TOLLGATE_SEEDS").unwrap_or(60);
    let (begun, next) = (Instant::now(), AtomicU64::new(base));
    let failures: Mutex<Vec<RunFailure>> = Mutex::default();
    let panicked: Mutex<Vec<u64>> = Mutex::default();
    let reached: Mutex<BTreeMap<String, u64>> = Mutex::default();
    let (runs, faults, hours) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while begun.elapsed() < Duration::from_secs(seconds) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= base + count {
                        break;
                    }
                    let plan = RunPlan::drawn(seed, ACCOUNT_HOURS);
                    let Ok(run) = std::panic::catch_unwind(|| run(plan)) else {
                        println!("seed {seed} panicked");
                        panicked.lock().unwrap().push(seed);
                        continue;
                    };
                    match run {
                        Ok(report) => {
                            runs.fetch_add(1, Ordering::Relaxed);
                            faults.fetch_add(report.faults(), Ordering::Relaxed);
                            let of_run = report.plan.hours * report.plan.accounts as u64;
                            hours.fetch_add(of_run, Ordering::Relaxed);
                            let mut reached = reached.lock().unwrap();
                            for (what, count) in report.reached {
                                *reached.entry(what).or_default() += count;
                            }
                        }
                        Err(failure) => {
                            println!("{failure}");
                            let smallest = shrink(*failure, SHRINKING_RUNS_MAX);
                            println!("smaller: {smallest}");
                            failures.lock().unwrap().push(smallest);
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let runs = runs.into_inner();
    println!(
        "seeds from {base}: {runs} runs of {} account-hours with {} faults in {:.0?}",
        hours.into_inner(),
        faults.into_inner(),
        begun.elapsed()
    );
    let reached = reached.into_inner().unwrap();
    println!("{reached:#?}");
    let seeds: Vec<u64> = failures.iter().map(|failure| failure.plan.seed).collect();
    assert!(failures.is_empty(), "{} of {} seeds failed: {seeds:?}", seeds.len(), runs);
    assert_eq!(panicked.into_inner().unwrap(), [0_u64; 0], "seeds that panicked");
    // The runs met what they are there to meet.
    assert!(runs >= 5.min(count), "only {runs} runs");
    if runs >= 20 {
        let rows =
            ["topup", "usage", "auto_refill", "refill_failed", "suspended", "refund", "dispute"];
        for row in rows {
            assert!(reached.contains_key(&format!("row {row}")), "no run has a row {row}");
        }
    }
}
