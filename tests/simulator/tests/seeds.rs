//! Runs of many seeds, as many as fit the time.

use std::num::NonZero;
use std::ops::Range;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tollgate_simulator::coverage::Coverage;
use tollgate_simulator::run::{
    RunFailure, RunPlan, RunScale, Sabotage, StaffPresence, run, shrink,
};

/// Plans in which something was found, in the product or in the simulator itself.
const FAILED_ONCE: [&str; 12] = [
    // The books took a part of a dispute that was returned for more than its share.
    "1030,24,1,quiet,present",
    // They did not count credit at Stripe that paid a refill in part.
    "64,34,1,quiet,present",
    // They counted a bank debit from its promise on.
    "13,11,1,quiet,absent",
    // They kept the data of an account that was closed.
    "200136,350,1,changing,present",
    // They asked for the freeze of a dispute that Stripe was still to tell of.
    "1157179989,17,4,changing,present",
    // They forbade a refund to take more than is left before the paid hour is over.
    "1735259349,34,1,changing,present",
    // They gave a wanted refill no time to wait for a bank debit that was promised.
    "700117,37,3,changing,present",
    // A failed start took what a stopped volume had paid before it.
    "700302,15,4,quiet,present",
    // A card was charged although a bank debit of two days before had come.
    "900108,36,3,changing,present",
    // A hold that expired in an account that could not be settled was shown as released.
    "3001290748,10,4,changing,present",
    // They counted a level that was reported after a later one, and was answered `not_newer`.
    "7000057,2,3,changing,absent",
    // They asked for the end of trial credit that a hold still kept.
    "1942457228,6,4,changing,present",
];

/// After so many failures no more seeds are begun.
const FAILURES_MAX: usize = 5;
/// How often the number of finished runs is printed.
const PROGRESS_RUNS: u64 = 100;
/// How many of the last steps of a failure are printed.
const LINES_SHOWN: usize = 60;
/// Runs that take longer are named.
const SLOW_RUN: Duration = Duration::from_secs(30);
/// The average run has so many faults at least.
const FAULTS_A_RUN: u64 = 50;

/// Runs that look for a smaller plan that fails.
const SHRINKING_RUNS_MAX: u32 = 12;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// How large runs are.
fn scale() -> RunScale {
    if std::env::var_os("TOLLGATE_NIGHT").is_some() { RunScale::Night } else { RunScale::Day }
}

/// Replays a seed or a plan with its log: `TOLLGATE_SEED=7 cargo test … -- replay --nocapture`.
#[test]
fn replay() {
    let drawn = number("TOLLGATE_SEED").map(|seed| RunPlan::drawn(seed, scale()));
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
            replay
                .args(["seeds::replay", "--exact", "--nocapture"])
                .env("TOLLGATE_SEED", "12")
                .env_remove("TOLLGATE_PLAN");
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
        (Sabotage::SchedulesStop, "and nothing happens"),
        (Sabotage::ClaimIsInvented, "has no row"),
        (Sabotage::EventIsWrong, "a row opened tells"),
        (Sabotage::EventIsLost, "has no event"),
        (Sabotage::UsageIsLost, "units are billed"),
        (Sabotage::CaptureIsLost, "no row bills what was captured"),
        (Sabotage::TaskPanics, "a panic"),
    ] {
        let mut failed = (1..=10).filter_map(|seed| {
            let drawn = RunPlan::drawn(seed, RunScale::Day);
            // What staff do could show the same in another way.
            let staff = StaffPresence::Absent;
            run(RunPlan { hours: 12, accounts: 2, sabotage, staff, ..drawn }).err()
        });
        // A function may meet it first.
        let failure = failed.find(|failure| failure.why.contains(rule));
        let failure = failure.unwrap_or_else(|| panic!("{sabotage:?} is not noticed"));
        let smaller = shrink(*failure, 6);
        assert!(smaller.plan.hours <= 12 && smaller.why.contains(rule), "{smaller}");
    }
}

#[test]
fn plans_are_read_as_they_are_written() {
    let plan = RunPlan::drawn(7, RunScale::Day);
    assert_eq!(plan.to_string().parse::<RunPlan>(), Ok(plan));
    assert!("7,1,2,stormy,absent".parse::<RunPlan>().is_err());
}

/// As many seeds as `TOLLGATE_SEEDS` says, or what fits `TOLLGATE_SIMULATOR_SECONDS`, but at least
/// `TOLLGATE_SEEDS_MIN`. With `TOLLGATE_NIGHT` runs are larger, and each kind of row must be reached.
#[test]
fn seeds_hold_all_rules() {
    let seconds = number("TOLLGATE_SIMULATOR_SECONDS").unwrap_or(40);
    let base = number("TOLLGATE_SEED_BASE").unwrap_or(1);
    let count = number("TOLLGATE_SEEDS").unwrap_or(60);
    let at_least = number("TOLLGATE_SEEDS_MIN").unwrap_or(5).min(count);
    let scale = scale();
    println!("seeds from {base}: at most {count} in {seconds} s");
    let runs = SeedRuns::new(scale);
    runs.run_all(base..base + count, at_least, Duration::from_secs(seconds));
    println!("{}\n{}", runs.coverage.lock().unwrap(), runs.figures());
    runs.assert_held(at_least);
    let coverage = runs.coverage.lock().unwrap();
    let finished = runs.finished();
    let faults = runs.faults.load(Ordering::Relaxed);
    assert!(finished < 20 || faults >= finished * FAULTS_A_RUN, "{}", runs.figures());
    if scale == RunScale::Night {
        assert!(
            coverage.missing_rows().is_empty(),
            "no seed reaches {:?}",
            coverage.missing_rows()
        );
    } else if finished >= 20 {
        let missing = coverage.missing_rows();
        let usual = [
            "topup",
            "usage",
            "auto_refill",
            "refill_failed",
            "suspended",
            "metered",
            "hold",
            "hold_extended",
            "hold_captured",
            "hold_released",
            "hold_expired",
        ];
        for row in usual {
            assert!(!missing.contains(row), "no run has a row {row}");
        }
    }
}

/// Plans in which something was found once.
#[test]
fn plans_that_failed_once_hold() {
    let runs = SeedRuns::new(RunScale::Day);
    for plan in FAILED_ONCE {
        runs.run(plan.parse().unwrap());
    }
    runs.assert_held(FAILED_ONCE.len() as u64);
}

/// Runs on two threads, and what came out.
struct SeedRuns {
    scale: RunScale,
    begun: Instant,
    coverage: Mutex<Coverage>,
    failures: Mutex<Vec<RunFailure>>,
    finished: AtomicU64,
    faults: AtomicU64,
    account_hours: AtomicU64,
}

impl SeedRuns {
    fn new(scale: RunScale) -> Self {
        Self {
            scale,
            begun: Instant::now(),
            coverage: Mutex::default(),
            failures: Mutex::default(),
            finished: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            account_hours: AtomicU64::new(0),
        }
    }

    /// Runs the seeds in their order, until all are begun or the time is over, but so many at least.
    fn run_all(&self, seeds: Range<u64>, at_least: u64, time: Duration) {
        let next = AtomicU64::new(seeds.start);
        let work = || {
            let needed = seeds.start + at_least;
            while self.begun.elapsed() < time || next.load(Ordering::Relaxed) < needed {
                if self.failures.lock().unwrap().len() >= FAILURES_MAX {
                    break;
                }
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    break;
                }
                self.run(RunPlan::drawn(seed, self.scale));
            }
        };
        let threads = std::thread::available_parallelism().map_or(2, NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
    }

    fn run(&self, plan: RunPlan) {
        let begun = Instant::now();
        let done = run(plan);
        if begun.elapsed() > SLOW_RUN {
            println!("TOLLGATE_PLAN={plan} took {:.0?}", begun.elapsed());
        }
        match done {
            Ok(report) => {
                let finished = self.finished.fetch_add(1, Ordering::Relaxed) + 1;
                if finished.is_multiple_of(PROGRESS_RUNS) {
                    println!("{finished} runs in {:.0?}", self.begun.elapsed());
                }
                self.faults.fetch_add(report.faults(), Ordering::Relaxed);
                let account_hours = plan.hours * plan.accounts as u64;
                self.account_hours.fetch_add(account_hours, Ordering::Relaxed);
                self.coverage.lock().unwrap().add(&report.reached);
            }
            Err(failure) => {
                println!("{failure}");
                let smallest = shrink(*failure, SHRINKING_RUNS_MAX);
                let last = smallest.lines.len().saturating_sub(LINES_SHOWN);
                println!("{}\nsmaller: {smallest}", smallest.lines[last..].join("\n"));
                self.failures.lock().unwrap().push(smallest);
            }
        }
    }

    fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    fn figures(&self) -> String {
        let (runs, elapsed) = (self.finished(), self.begun.elapsed());
        let hours = self.account_hours.load(Ordering::Relaxed);
        format!(
            "{runs} runs of {hours} account-hours with {} faults in {elapsed:.0?}: {} account-hours a second, {} runs a minute",
            self.faults.load(Ordering::Relaxed),
            hours / elapsed.as_secs().max(1),
            runs * 60 / elapsed.as_secs().max(1)
        )
    }

    fn assert_held(&self, at_least: u64) {
        let failures = self.failures.lock().unwrap();
        let failed: Vec<String> = failures.iter().map(|failure| failure.plan.to_string()).collect();
        assert!(failed.is_empty(), "{} plans failed: {failed:?}", failed.len());
        let runs = self.finished();
        assert!(runs >= at_least, "only {runs} runs, and not {at_least}");
    }
}
