//! A run: a cloud, its actors and its weather from one seed, until nothing is left to do.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use stripe_stand_in::{StandInConfig, StripeStandIn};
use time::UtcDateTime;
use time::macros::utc_datetime;
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;
use tollgate_tests::template::TestTemplate;

use crate::actors::{ActorHabits, SimulatedCustomer, SimulatedStaff};
use crate::chance::Chance;
use crate::clock::VirtualClock;
use crate::cloud::SimulatedCloud;
use crate::dynamodb::{ConflictPolicy, MemoryDynamoDb, TableSchema};
use crate::faults::FaultWeather;
use crate::functions::{Functions, WEBHOOK_SECRET};
use crate::journal::Journal;
use crate::network::{NetworkParts, STRIPE_URL, SimulatedNetwork};
use crate::oracle::RunBooks;

const START: UtcDateTime = utc_datetime!(2026-11-20 10:07);

/// After the last action Stripe repeats webhooks for three days.
const QUIET_HOURS_MAX: u64 = 4 * 24;
/// So long it is quiet at least.
const QUIET_HOURS_MIN: u64 = 6;

/// How large a run is, and what is left out of it.
#[derive(Clone, Copy, Debug)]
pub struct RunPlan {
    pub seed: u64,
    pub hours: u64,
    pub accounts: usize,
    pub weather: WeatherKind,
    pub staff: StaffPresence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeatherKind {
    Changing,
    /// Nothing goes wrong.
    Quiet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaffPresence {
    Present,
    Absent,
}

impl RunPlan {
    /// A plan whose size is drawn from the seed, of at most so many account-hours.
    #[must_use]
    pub fn drawn(seed: u64, account_hours_max: u64) -> Self {
        let chance = Chance::new(seed, "plan");
        let accounts = chance.number(1..=4);
        let hours = chance.number(12..=(account_hours_max / accounts).max(12));
        Self {
            seed,
            hours,
            accounts: usize::try_from(accounts).unwrap_or(1),
            weather: WeatherKind::Changing,
            staff: StaffPresence::Present,
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct RunReport {
    pub plan: RunPlan,
    pub lines: Vec<String>,
    /// How often rows, faults and refusals were reached.
    pub reached: BTreeMap<String, u64>,
    pub rows: u64,
    /// All stored items at the end.
    pub items: String,
}

impl RunReport {
    /// How many faults there were.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.reached
            .iter()
            .filter(|(what, _)| what.starts_with("fault"))
            .map(|(_, count)| count)
            .sum()
    }
}

/// A rule that a run broke.
#[derive(Clone, Debug)]
pub struct RunFailure {
    pub plan: RunPlan,
    pub why: String,
    pub lines: Vec<String>,
}

impl fmt::Display for RunFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunFailure { plan, why, lines } = self;
        writeln!(formatter, "seed {}, step {}: {why}", plan.seed, lines.len())?;
        writeln!(formatter, "{plan:?}")
    }
}

/// Runs a plan in this thread.
///
/// # Errors
/// [`RunFailure`] with the rule that was broken.
///
/// # Panics
/// If the template or the tables cannot be read.
pub fn run(plan: RunPlan) -> Result<RunReport, Box<RunFailure>> {
    // Pauses and IDs of the product and of the SDKs are drawn from this generator.
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let local = LocalSet::new();
    runtime.block_on(local.run_until(simulate(plan)))
}

async fn simulate(plan: RunPlan) -> Result<RunReport, Box<RunFailure>> {
    let chance = |name: &str| Chance::new(plan.seed, name);
    let clock = VirtualClock::starting_at(START);
    let journal = Journal::new(clock);
    let weather = FaultWeather::new(plan.seed, clock, journal.clone());
    if plan.weather == WeatherKind::Quiet {
        weather.end();
    }
    let (bus, events) = mpsc::unbounded_channel();
    let config = StandInConfig {
        public_url: STRIPE_URL.to_owned(),
        seed: plan.seed,
        ..StandInConfig::default()
    };
    let stand_in = StripeStandIn::new(config, move || clock.seconds());
    stand_in.add_endpoint("http://webhook.test", WEBHOOK_SECRET, &["*"]);
    let mut database = MemoryDynamoDb::new(tables());
    if chance("conflicts").happens(500) {
        database.set_conflicts(ConflictPolicy::Refused);
    }
    let network = SimulatedNetwork::new(NetworkParts {
        database: Mutex::new(database),
        stand_in,
        bus,
        written: Notify::new(),
        charged: Notify::new(),
        clock,
        chance: chance("network"),
        weather: weather.clone(),
        journal: journal.clone(),
    });
    let formats = chance("formats").pick(&[vec![5], vec![5], vec![4, 5]]).clone();
    let functions = Functions::new(network.clone(), chance("processes"), formats);
    let accounts: Vec<String> =
        (0..plan.accounts).map(|number| format!("account-{number}")).collect();
    let cloud = SimulatedCloud::new(network.clone(), functions, accounts.clone());
    cloud.start(events);

    let habits = Rc::new(ActorHabits::drawn(&chance("habits")));
    let customers: Vec<SimulatedCustomer> = accounts
        .iter()
        .map(|account| {
            let chance = chance(&format!("customer {account}"));
            SimulatedCustomer::new(cloud.clone(), account.clone(), chance, Rc::clone(&habits))
        })
        .collect();
    let staff = SimulatedStaff {
        cloud: cloud.clone(),
        chance: chance("staff"),
        habits,
        customers: customers.clone(),
    };
    staff.admin("PUT", "/v1/admin/prices", &[], &prices()).await;
    let ends = clock.now() + Duration::from_secs(plan.hours * 3_600);
    for customer in customers.clone() {
        tokio::task::spawn_local(customer.live(ends));
    }
    let mut books = RunBooks::default();
    let failed =
        |why: String, journal: &Journal| Box::new(RunFailure { plan, why, lines: journal.lines() });
    let staff = Rc::new(staff);
    if plan.staff == StaffPresence::Present {
        let staff = Rc::clone(&staff);
        tokio::task::spawn_local(async move { staff.live(ends).await });
    }
    let storms = chance("storms");
    while clock.now() < ends {
        if storms.happens(60) && !weather.is_over() {
            blow(&weather, &storms);
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
        let checked = network
            .with_database(|database| books.advance(database, &accounts, clock.now(), &journal));
        checked.map_err(|why| failed(why, &journal))?;
    }
    weather.end();
    // The actors end within a pause.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    staff.forgive().await;
    for customer in &customers {
        customer.leave().await;
    }
    for hour in 0..QUIET_HOURS_MAX {
        let stripe = &network.parts().stand_in;
        if hour >= QUIET_HOURS_MIN && cloud.is_idle() && stripe.next_due().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let checked = network
            .with_database(|database| books.advance(database, &accounts, clock.now(), &journal));
        checked.map_err(|why| failed(why, &journal))?;
    }
    let parts = cloud.parts();
    let stripe = network.parts().stand_in.save().expect("plain JSON");
    let finished = network.with_database(|database| {
        books.finish(&stripe, &parts.told.borrow(), database, clock.now())
    });
    finished.map_err(|why| failed(why, &journal))?;
    let outside = network.parts().stand_in.calls_outside();
    if !outside.is_empty() {
        return Err(failed(format!("calls that Stripe does not know: {outside:?}"), &journal));
    }
    Ok(RunReport {
        plan,
        lines: journal.lines(),
        reached: journal.reached(),
        rows: books.rows(),
        items: network.with_database(|database| database.canonical_dump()),
    })
}

fn blow(weather: &FaultWeather, chance: &Chance) {
    const FUNCTIONS: [&str; 5] =
        ["publish", "stripe-webhook", "auto-refill", "settle-due", "hourly-debit"];
    match chance.number(..6) {
        0 => weather.outage("stripe", chance.number(1..=300)),
        1 => weather.outage(chance.pick::<&str>(&FUNCTIONS), chance.number(1..=120)),
        // Refills wait, and then meet payments that are not known yet.
        2 | 3 => {
            let minutes = chance.number(10..=180);
            weather.outage("auto-refill", minutes);
            weather.outage("stripe-webhook", minutes + 30);
        }
        _ => weather.storm(chance.number(1..=20)),
    }
}

fn tables() -> Vec<TableSchema> {
    let parameters = BTreeMap::from([("Stage", "simulated")]);
    let tables = TestTemplate::of_this_repository().resources("AWS::DynamoDB::Table", &parameters);
    let schema = |(_, mut properties): (String, Value)| {
        let name = properties["TableName"].as_str().unwrap_or_default();
        let short = name.rsplit('-').next().unwrap_or_default().to_owned();
        properties["TableName"] = short.into();
        TableSchema::from_cloudformation(&properties).expect("a table of the template")
    };
    tables.into_iter().map(schema).collect()
}

fn prices() -> Value {
    let price = |sku: &str, kind: &str, rate: &str, idle: &str| json!({"sku": sku, "unit": "hour", "kind": kind, "rate": rate, "idle_rate": idle});
    json!({"prices": [
        price("vm", "instance", "0.6", "0"),
        price("gpu", "instance", "4", "0"),
        price("volume", "volume", "0.5", "0.2"),
    ]})
}
