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

use crate::support::{HOUR, Processes, World, processors};

/// Small sizes that only check the benchmark. The indexes of the engine matter with thousands of
/// rows.
const SIZES: &str = "50,200";

/// Accounts that are made at once.
const AT_ONCE: usize = 8;

const HOURS: usize = 3;

/// How much more an account may cost among many than among few, in percent.
const GROWTH_MAX_PERCENT: u128 = 120;

/// How often all sizes are measured at most. Other tests use this process, too, and can only make an
/// hour look dearer, so the cheapest hour of each size counts.
const ROUNDS_MAX: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_costs_in_proportion_to_its_accounts() {
    let sizes = std::env::var("TOLLGATE_HOURS").unwrap_or_else(|_| SIZES.to_owned());
    let mut measured = Vec::new();
    for size in sizes.split(',').map(|size| size.parse::<u32>().unwrap()) {
        measured.push(MeasuredWorld::new(size).await);
    }
    for _ in 0..ROUNDS_MAX {
        for world in &mut measured {
            world.measure().await;
        }
        if measured.windows(2).all(|pair| is_in_proportion(&pair[0], &pair[1])) {
            break;
        }
    }
    for pair in measured.windows(2) {
        let [few, many] = [&pair[0], &pair[1]];
        assert!(
            is_in_proportion(few, many),
            "an account costs {} µs among {} and {} µs among {}",
            many.micros(),
            many.size,
            few.micros(),
            few.size
        );
    }
}

fn is_in_proportion(few: &MeasuredWorld, many: &MeasuredWorld) -> bool {
    many.micros() * 100 <= few.micros() * GROWTH_MAX_PERCENT
}

/// A cloud with so many accounts, and what its hours cost so far.
struct MeasuredWorld {
    size: u32,
    world: Arc<World>,
    hours: Vec<Hour>,
}

impl MeasuredWorld {
    async fn new(size: u32) -> MeasuredWorld {
        let begun = Instant::now();
        let world = Arc::new(World::new(Processes::Several).await);
        world.without_schedule("settle-due");
        accounts(&world, size).await;
        println!("{size} accounts are made in {:.1?}", begun.elapsed());
        MeasuredWorld { size, world, hours: Vec::new() }
    }

    async fn measure(&mut self) {
        for _ in 0..HOURS {
            self.hours.push(hour(&self.world).await);
        }
        let rows = 3 + self.hours.len();
        for customer in ["account-0".to_owned(), format!("account-{}", self.size - 1)] {
            let found = self.world.customer(&customer).rows().len();
            assert_eq!(found, rows, "opened, bonus, started, and a row for each hour");
        }
        println!("{} accounts: {} µs each, hours of {:.1?}", self.size, self.micros(), self.hours);
    }

    /// The cheapest hour by account, in microseconds.
    fn micros(&self) -> u128 {
        let processors = self.hours.iter().filter_map(|hour| hour.processors).min();
        let elapsed = self.hours.iter().map(|hour| hour.elapsed).min();
        let cost = processors.or(elapsed).unwrap();
        cost.as_micros() / u128::from(self.size)
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
    /// The time of the processors in this process and its functions' processes, where it is known. It
    /// does not depend on other load of the machine.
    processors: Option<Duration>,
}

async fn hour(world: &World) -> Hour {
    let (begun, before) = (Instant::now(), processors());
    world.later(HOUR).await;
    let spent = |before: Duration| processors().and_then(|after| after.checked_sub(before));
    Hour { elapsed: begun.elapsed(), processors: before.and_then(spent) }
}
