//! An hour costs in proportion to the accounts in it, however many rows there are already.
//!
//! The sizes are small unless `TOLLGATE_HOURS` names others. The benchmark is
//!
//! ```text
//! TOLLGATE_HOURS=200,1000,5000 cargo test -p tollgate-tests --test world -- hours --nocapture
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::support::{HOUR, Processes, World};

/// Small sizes that only check the benchmark. The indexes of the engine matter with thousands of
/// rows.
const SIZES: &str = "50,200";

/// Accounts that are made at once.
const AT_ONCE: usize = 8;

const HOURS: usize = 3;

/// How much more an account may cost among many than among few, in percent.
const GROWTH_MAX_PERCENT: u128 = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_costs_in_proportion_to_its_accounts() {
    let sizes = std::env::var("TOLLGATE_HOURS").unwrap_or_else(|_| SIZES.to_owned());
    let sizes: Vec<u32> = sizes.split(',').map(|size| size.parse().unwrap()).collect();
    let mut costs = Vec::new();
    for size in sizes {
        let begun = Instant::now();
        let world = Arc::new(World::new(Processes::Several).await);
        world.without_schedule("settle-due");
        accounts(&world, size).await;
        println!("{size} accounts are made in {:.1?}", begun.elapsed());
        let mut hours = Vec::new();
        for _ in 0..HOURS {
            hours.push(hour(&world).await);
        }
        for customer in ["account-0".to_owned(), format!("account-{}", size - 1)] {
            let rows = world.customer(&customer).rows().len();
            assert_eq!(rows, 3 + HOURS, "opened, bonus, started, and a row for each hour");
        }
        let cost = hours.iter().map(Hour::cost).min().unwrap();
        println!("{size} accounts: hours of {hours:.1?}");
        costs.push((size, cost.as_micros() / u128::from(size)));
    }
    println!("microseconds for each account: {costs:?}");
    for pair in costs.windows(2) {
        let [(few, of_few), (many, of_many)] = [pair[0], pair[1]];
        assert!(
            of_many * 100 <= of_few * GROWTH_MAX_PERCENT,
            "an account costs {of_many} µs among {many} and {of_few} µs among {few}"
        );
    }
}

/// Accounts with credit and a small machine.
async fn accounts(world: &Arc<World>, count: u32) {
    let mut tasks = JoinSet::new();
    for number in 0..count {
        if tasks.len() == AT_ONCE {
            tasks.join_next().await.unwrap().unwrap();
        }
        let world = Arc::clone(world);
        tasks.spawn(async move {
            let customer = world.customer(&format!("account-{number}"));
            customer.bonus("100.00").await;
            let project = customer.project().await;
            customer.start(&project, "vm-small").await;
        });
    }
    while let Some(made) = tasks.join_next().await {
        made.unwrap();
    }
    world.cloud.idle().await;
}

/// The duration of an hour.
#[derive(Debug)]
struct Hour {
    elapsed: Duration,
    /// The time of the processors in this process and its functions' processes, where it is known.
    processors: Option<Duration>,
}

impl Hour {
    /// CPU time does not depend on other load of the machine.
    fn cost(&self) -> Duration {
        self.processors.unwrap_or(self.elapsed)
    }
}

async fn hour(world: &World) -> Hour {
    let (begun, before) = (Instant::now(), processors());
    world.later(HOUR).await;
    let spent = |before: Duration| processors().map(|after| after.saturating_sub(before));
    Hour { elapsed: begun.elapsed(), processors: before.and_then(spent) }
}

/// The time of the processors that this process and its children have used so far: Linux's
/// `/proc/[pid]/stat`, in hundredths of a second.
fn processors() -> Option<Duration> {
    let own = std::process::id().to_string();
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc").ok()? {
        let Ok(stat) = std::fs::read_to_string(entry.ok()?.path().join("stat")) else { continue };
        // The program's name, in parentheses, may contain blanks.
        let (before, after) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = after.split(' ').collect();
        let process = before.split(' ').next()?;
        if process == own || fields.get(1).is_some_and(|parent| *parent == own) {
            let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
            ticks += number(11)? + number(12)?;
        }
    }
    Some(Duration::from_millis(ticks * 10))
}
