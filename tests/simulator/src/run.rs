//! A run: a cloud, its actors and its weather from one seed, until nothing is left to do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::{Mutex, Once};
use std::time::Duration;

use serde_json::{Value, json};
use stripe_stand_in::{StandInConfig, StripeStandIn};
use time::UtcDateTime;
use time::macros::utc_datetime;
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;
use tollgate::runtime::bus::BusEvent;
use tollgate_tests::template::TestTemplate;

use crate::actors::ActorHabits;
use crate::actors::customer::SimulatedCustomer;
use crate::actors::outside::Outside;
use crate::actors::requests::Requester;
use crate::actors::staff::SimulatedStaff;
use crate::captures::SentCapture;
use crate::chance::Chance;
use crate::clock::{ClockOwner, ServiceClocks, VirtualClock};
use crate::cloud::SimulatedCloud;
use crate::dynamodb::{ConflictPolicy, CurrentReads, MemoryDynamoDb, TableSchema};
use crate::faults::FaultWeather;
use crate::functions::{ACCOUNTS, Functions, InstallationSettings, LEDGER, WEBHOOK_SECRET};
use crate::journal::Journal;
use crate::network::{NetworkParts, STRIPE_URL, SimulatedNetwork};
use crate::oracle::{PublishedEvent, RunBooks};

/// When a run can begin: on any day, and near the ends of a month, a year and a February.
const STARTS: [UtcDateTime; 5] = [
    utc_datetime!(2026-11-20 10:07),
    utc_datetime!(2026-11-20 10:07),
    utc_datetime!(2026-11-29 20:31),
    utc_datetime!(2026-12-31 03:00),
    utc_datetime!(2028-02-28 12:59),
];

/// How long customers pause at most between two actions, in minutes, in runs of at most so many hours.
const PAUSES: [(u64, [u64; 3]); 3] =
    [(150, [60, 200, 600]), (600, [200, 600, 3_000]), (u64::MAX, [600, 3_000, 12_000])];

const HOUR: Duration = Duration::from_secs(3_600);
/// How often rows are checked while actors live.
const CHECKED_EVERY: Duration = Duration::from_secs(600);
/// For so many hours what runs goes on without faults. The queue needs up to an hour for a message,
/// and the hourly schedule is repeated for six.
const CALM_HOURS_MIN: u64 = 2;
const CALM_HOURS_MAX: u64 = 8;
/// So long gateways serve calls after the last fault. Afterwards nothing may be due.
const GATEWAY_GOES_ON: Duration = Duration::from_secs(90 * 60);
/// After the last action Stripe repeats webhooks for three days, and a bank debit may take four.
const QUIET_HOURS_MAX: u64 = 8 * 24;
/// So long it is quiet at least.
const QUIET_HOURS_MIN: u64 = 6;

/// The account-hours of most runs, at most.
const ACCOUNT_HOURS: u64 = 120;

/// How large runs may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunScale {
    /// At most 720 account-hours.
    Day,
    /// Now and then 400 days and eight accounts.
    Night,
}

/// How large a run is, and what is left out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunPlan {
    pub seed: u64,
    pub hours: u64,
    pub accounts: usize,
    pub weather: WeatherKind,
    pub staff: StaffPresence,
    pub sabotage: Sabotage,
}

/// What the cloud does wrong, to see that the books notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    None,
    /// Webhooks are answered with success, and nobody looks at them.
    WebhooksAreLost,
    /// A row appears with a number that does not follow.
    RowIsInvented,
    /// An event is told of a row that does not exist.
    EventIsInvented,
    /// A row is written once more, with another word in it.
    RowIsChanged,
    /// No schedule looks at an account any more, or only much later.
    ScheduleIsChanged,
    /// The schedules call no function.
    SchedulesStop,
    /// A payment is claimed by a row that does not exist.
    ClaimIsInvented,
    /// A row tells what happened to none of its kind.
    EventIsWrong,
    /// The bus loses an event.
    EventIsLost,
    /// The platform reported what no meter counted.
    UsageIsLost,
    /// A gateway was told of a capture that no row bills.
    CaptureIsLost,
    /// A task panics, and nobody waits for it.
    TaskPanics,
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
    /// A plan whose size is drawn from the seed: mostly some days, now and then weeks.
    #[must_use]
    pub fn drawn(seed: u64, scale: RunScale) -> Self {
        let chance = Chance::new(seed, "plan");
        let (accounts, hours) = match (chance.number(..200), scale) {
            (0, RunScale::Night) => (chance.number(1..=8), chance.number(24 * 30..=24 * 400)),
            (0..6, _) => (1, chance.number(24 * 7..=24 * 30)),
            (6..24, _) => (chance.number(1..=2), chance.number(120..=300)),
            _ => {
                let accounts = chance.number(1..=4);
                (accounts, chance.number(12..=ACCOUNT_HOURS / accounts))
            }
        };
        Self {
            seed,
            hours,
            accounts: usize::try_from(accounts).unwrap_or(1),
            weather: WeatherKind::Changing,
            staff: StaffPresence::Present,
            sabotage: Sabotage::None,
        }
    }

    /// Plans with less in them, the most different first.
    fn smaller(self) -> Vec<Self> {
        let mut plans = Vec::new();
        if self.staff == StaffPresence::Present {
            plans.push(Self { staff: StaffPresence::Absent, ..self });
        }
        if self.weather == WeatherKind::Changing {
            plans.push(Self { weather: WeatherKind::Quiet, ..self });
        }
        if self.accounts > 1 {
            plans.push(Self { accounts: self.accounts - 1, ..self });
        }
        for hours in [self.hours / 2, self.hours * 3 / 4] {
            if (1..self.hours).contains(&hours) {
                plans.push(Self { hours, ..self });
            }
        }
        plans
    }
}

/// `seed,hours,accounts,weather,staff`, as [`RunPlan::from_str`] reads it.
impl fmt::Display for RunPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weather = match self.weather {
            WeatherKind::Changing => "changing",
            WeatherKind::Quiet => "quiet",
        };
        let staff = match self.staff {
            StaffPresence::Present => "present",
            StaffPresence::Absent => "absent",
        };
        write!(formatter, "{},{},{},{weather},{staff}", self.seed, self.hours, self.accounts)
    }
}

impl FromStr for RunPlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not seed,hours,accounts,weather,staff");
        let parts: Vec<&str> = text.split(',').collect();
        let [seed, hours, accounts, weather, staff] = parts[..] else { return Err(wrong()) };
        Ok(Self {
            seed: seed.parse().map_err(|_| wrong())?,
            hours: hours.parse().map_err(|_| wrong())?,
            accounts: accounts.parse().map_err(|_| wrong())?,
            weather: match weather {
                "changing" => WeatherKind::Changing,
                "quiet" => WeatherKind::Quiet,
                _ => return Err(wrong()),
            },
            staff: match staff {
                "present" => StaffPresence::Present,
                "absent" => StaffPresence::Absent,
                _ => return Err(wrong()),
            },
            sabotage: Sabotage::None,
        })
    }
}

/// The figures of a run.
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

impl RunFailure {
    /// The words of the rule, without the figures and IDs of this run.
    #[must_use]
    pub fn rule(&self) -> String {
        let is_word = |word: &&str| {
            word.trim_end_matches([',', ':', ';']).bytes().all(|byte| byte.is_ascii_lowercase())
        };
        self.why.split_whitespace().filter(is_word).take(8).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for RunFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunFailure { plan, why, lines } = self;
        writeln!(formatter, "seed {}, step {}: {why}", plan.seed, lines.len())?;
        write!(
            formatter,
            "again: TOLLGATE_PLAN={plan} cargo test --workspace --test simulator -- replay --nocapture"
        )
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
    watch_panics();
    PANIC.take();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let local = LocalSet::new();
    let simulated = AssertUnwindSafe(|| runtime.block_on(local.run_until(simulate(plan))));
    catch_unwind(simulated).unwrap_or_else(|_| {
        let why = PANIC.take().unwrap_or_else(|| "a panic".to_owned());
        Err(Box::new(RunFailure { plan, why, lines: Vec::new() }))
    })
}

thread_local! {
    /// The first panic of this thread's run, in whatever task, and whoever caught it.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes panics from now on, before they are reported as usual.
fn watch_panics() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANIC.with(|first| {
                first.borrow_mut().get_or_insert_with(|| format!("a panic: {panic}"));
            });
            report(panic);
        }));
    });
}

/// The smallest plan found that fails, too: without staff, without faults, with fewer accounts or
/// hours. `runs_max` bounds the search.
#[must_use]
pub fn shrink(failure: RunFailure, runs_max: u32) -> RunFailure {
    let (mut smallest, mut runs) = (failure, 0);
    loop {
        let mut found = None;
        for smaller in smallest.plan.smaller() {
            if runs == runs_max {
                return smallest;
            }
            runs += 1;
            // Another rule would mislead.
            if let Err(failure) = run(smaller)
                && failure.rule() == smallest.rule()
            {
                found = Some(*failure);
                break;
            }
        }
        match found {
            Some(failure) => smallest = failure,
            None => return smallest,
        }
    }
}

async fn simulate(plan: RunPlan) -> Result<RunReport, Box<RunFailure>> {
    let run = Run::prepare(plan).await;
    let mut books = RunBooks::default();
    books.has_older_writers = run.has_older_writers;
    let failed = |why: String| {
        let lines = run.network.parts().journal.lines();
        Box::new(RunFailure { plan, why, lines })
    };
    run.live(&mut books).await.map_err(failed)?;
    run.calm_down(&mut books).await.map_err(failed)?;
    run.leave(&mut books).await.map_err(failed)?;
    run.finish(&books).map_err(failed)?;
    let journal = &run.network.parts().journal;
    Ok(RunReport {
        plan,
        lines: journal.lines(),
        reached: journal.reached(),
        rows: books.rows(),
        items: run.network.with_database(|database| database.canonical_dump()),
    })
}

/// A cloud with its actors.
struct Run {
    plan: RunPlan,
    network: SimulatedNetwork,
    cloud: SimulatedCloud,
    accounts: Vec<String>,
    customers: Vec<SimulatedCustomer>,
    staff: Rc<SimulatedStaff>,
    /// Whether some processes write an older row format.
    has_older_writers: bool,
}

impl Run {
    /// A cloud that has prices and nothing else.
    async fn prepare(plan: RunPlan) -> Self {
        let chance = |name: &str| Chance::new(plan.seed, name);
        let (network, events) = network_of(plan);
        let settings = InstallationSettings::drawn(&chance("installation"));
        let has_older_writers = settings.formats.contains(&5);
        let functions = Functions::new(network.clone(), chance("processes"), settings);
        let accounts: Vec<String> =
            (0..plan.accounts).map(|number| format!("account-{number}")).collect();
        let cloud =
            SimulatedCloud::new(network.clone(), functions, accounts.clone(), plan.sabotage);
        cloud.start(events);
        let habits = Rc::new(ActorHabits::drawn(&chance("habits"), pauses_of(plan)));
        let customer = |account: &String| {
            let chance = chance(&format!("customer {account}"));
            SimulatedCustomer::new(cloud.clone(), account.clone(), chance, Rc::clone(&habits))
        };
        let customers: Vec<SimulatedCustomer> = accounts.iter().map(customer).collect();
        let requester = Requester { cloud: cloud.clone(), chance: chance("staff's requests") };
        let outside = Outside { cloud: cloud.clone(), chance: chance("outside") };
        let staff = Rc::new(SimulatedStaff {
            requester,
            chance: chance("staff"),
            habits,
            customers: customers.clone(),
            outside,
        });
        let priced = staff.ask("PUT", "/v1/admin/prices", &[], &prices()).await;
        assert!(priced.is_some(), "the prices are set");
        Self { plan, network, cloud, accounts, customers, staff, has_older_writers }
    }

    /// The actors live in the weather of the plan.
    async fn live(&self, books: &mut RunBooks) -> Result<(), String> {
        let NetworkParts { clock, weather, .. } = self.network.parts();
        let chance = |name: &str| Chance::new(self.plan.seed, name);
        if self.plan.weather == WeatherKind::Changing {
            weather.begin();
        }
        let ends = clock.now() + HOUR * u32::try_from(self.plan.hours).unwrap_or(u32::MAX);
        for customer in &self.customers {
            let usage = chance(&format!("usage of {}", customer.account));
            tokio::task::spawn_local(customer.clone().live(ends));
            tokio::task::spawn_local(customer.clone().report_usage(usage, ends));
            let calls = chance(&format!("gateway of {}", customer.account));
            // It goes on in the quiet for a while.
            tokio::task::spawn_local(customer.clone().serve_calls(calls, ends + GATEWAY_GOES_ON));
        }
        if self.plan.staff == StaffPresence::Present {
            let staff = Rc::clone(&self.staff);
            tokio::task::spawn_local(async move { staff.live(ends).await });
            let staff = Rc::clone(&self.staff);
            tokio::task::spawn_local(async move { staff.outside.live(&staff.habits, ends).await });
        }
        let storms = chance("storms");
        while clock.now() < ends {
            if storms.happens(60) && !weather.is_over() {
                blow(weather, &storms);
            }
            tokio::time::sleep(CHECKED_EVERY).await;
            self.check(books)?;
        }
        weather.end();
        Ok(())
    }

    /// Nothing goes wrong any longer, and what runs goes on: within hours everything is as it should
    /// be. Customers end within an action.
    async fn calm_down(&self, books: &mut RunBooks) -> Result<(), String> {
        self.cloud.parts().functions.finish_update();
        let given_up = self.cloud.parts().dead_letters.borrow().len();
        sabotage(self.plan.sabotage, &self.cloud, self.network.parts().clock);
        for hour in 0..CALM_HOURS_MAX {
            if hour >= CALM_HOURS_MIN && self.cloud.is_idle() {
                break;
            }
            tokio::time::sleep(HOUR).await;
            self.check(books)?;
        }
        // Between two runs of the schedules.
        tokio::time::sleep(Duration::from_secs(150)).await;
        self.check(books)?;
        if let Some(letter) = self.cloud.parts().dead_letters.borrow().get(given_up) {
            return Err(format!("given up in the quiet: {letter}"));
        }
        let NetworkParts { clock, stand_in, .. } = self.network.parts();
        // What Stripe sends again later is not known yet.
        let has_told_all = stand_in.next_due().is_none();
        let stripe = has_told_all.then(|| stand_in.save().expect("plain JSON"));
        let stripe = stripe.as_ref();
        self.network.with_database(|database| books.check_calm(stripe, database, clock.now()))
    }

    /// Everything that costs something is ended, and Stripe repeats its webhooks until the last one
    /// is answered.
    async fn leave(&self, books: &mut RunBooks) -> Result<(), String> {
        let given_up = self.cloud.parts().dead_letters.borrow().len();
        self.staff.forgive().await;
        for customer in &self.customers {
            customer.leave().await;
        }
        let stand_in = &self.network.parts().stand_in;
        let is_done = || self.cloud.is_idle() && stand_in.next_due().is_none();
        for hour in 0..QUIET_HOURS_MAX {
            if hour >= QUIET_HOURS_MIN && is_done() {
                break;
            }
            tokio::time::sleep(HOUR).await;
            self.check(books)?;
        }
        if !is_done() {
            return Err("deliveries never end".to_owned());
        }
        match self.cloud.parts().dead_letters.borrow().get(given_up) {
            Some(letter) => Err(format!("given up in the quiet: {letter}")),
            None => Ok(()),
        }
    }

    /// What must hold at the end.
    fn finish(&self, books: &RunBooks) -> Result<(), String> {
        let (parts, net) = (self.cloud.parts(), self.network.parts());
        let stripe = net.stand_in.save().expect("plain JSON");
        self.network.with_database(|database| {
            let published = parts.published.borrow();
            books.finish(&stripe, &published, database, net.clock.now())
        })?;
        books.check_usage(&parts.reported.borrow())?;
        books.check_captures(&parts.captured.borrow())?;
        let outside = net.stand_in.calls_outside();
        if outside.is_empty() {
            return Ok(());
        }
        Err(format!("calls that Stripe does not know: {outside:?}"))
    }

    /// Checks what was noted elsewhere, and the rows that are new.
    fn check(&self, books: &mut RunBooks) -> Result<(), String> {
        let NetworkParts { clock, journal, .. } = self.network.parts();
        let broken = PANIC.with_borrow(Clone::clone).or_else(|| journal.violation());
        if let Some(rule) = broken {
            return Err(rule);
        }
        self.network
            .with_database(|database| books.advance(database, &self.accounts, clock.now(), journal))
    }
}

fn pauses_of(plan: RunPlan) -> &'static [u64] {
    let fits = |(hours, _): &&(u64, [u64; 3])| plan.hours <= *hours;
    PAUSES.iter().find(fits).map(|(_, pauses)| pauses.as_slice()).unwrap_or_default()
}

/// The services, without any caller.
fn network_of(plan: RunPlan) -> (SimulatedNetwork, mpsc::UnboundedReceiver<BusEvent>) {
    let chance = |name: &str| Chance::new(plan.seed, name);
    let world = chance("world");
    let clock = VirtualClock::starting_at(*world.pick(&STARTS));
    let clocks = ServiceClocks::drawn(clock, &chance("clocks"));
    let journal = Journal::new(clock);
    let weather = FaultWeather::new(plan.seed, clock, journal.clone());
    let (bus, events) = mpsc::unbounded_channel();
    let config = StandInConfig {
        public_url: STRIPE_URL.to_owned(),
        seed: plan.seed,
        bank_debit_seconds: Some(*world.pick(&[3_600, 86_400, 4 * 86_400])),
        refund_seconds: *world.pick(&[60, 86_400]),
        ..StandInConfig::default()
    };
    let at_stripe = clocks.clone();
    let stand_in = StripeStandIn::new(config, move || at_stripe.seconds_at(ClockOwner::Stripe));
    stand_in.add_endpoint("http://webhook.test", WEBHOOK_SECRET, &["*"]);
    stand_in.save_portal_settings().expect("nothing refuses them");
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
        clocks,
        chance: chance("network"),
        weather,
        journal,
    });
    (network, events)
}

fn sabotage(what: Sabotage, cloud: &SimulatedCloud, clock: VirtualClock) {
    let parts = cloud.parts();
    match what {
        Sabotage::None | Sabotage::WebhooksAreLost | Sabotage::SchedulesStop => {}
        Sabotage::RowIsInvented => parts.network.with_database(|database| {
            let is_opening =
                |item: &&Value| item["seq"]["N"] == "0" && item["type"]["S"] == "opened";
            let items = database.items(LEDGER);
            // A small run may have none.
            let Some(mut row) = items.iter().find(is_opening).cloned() else { return };
            row["seq"] = json!({"N": "99999"});
            let put = json!({"TableName": LEDGER, "Item": row});
            let done = database.call("PutItem", &put, clock.now(), &mut CurrentReads);
            assert!(done.result.is_ok(), "{done:?}");
        }),
        Sabotage::RowIsChanged => {
            let rows = parts.network.with_database(|database| database.items(LEDGER));
            let is_topup = |item: &&Value| item["type"]["S"] == "topup";
            let Some(mut row) = rows.iter().find(is_topup).cloned() else { return };
            let body = row["body"]["S"].as_str().unwrap_or_default().replace("pi_", "pj_");
            row["body"]["S"] = body.into();
            overwrite(cloud, LEDGER, &row);
        }
        Sabotage::ScheduleIsChanged => {
            let items = parts.network.with_database(|database| database.items(ACCOUNTS));
            for mut item in items.into_iter().filter(|item| item["sk"]["S"] == "schedule") {
                item["due_shard"] = json!({"S": "0"});
                item["due_at"] = json!({"N": "4000000000"});
                overwrite(cloud, ACCOUNTS, &item);
            }
        }
        Sabotage::EventIsInvented => invent_event(cloud, "CreditAdded", 88_888),
        Sabotage::EventIsWrong => invent_event(cloud, "Suspended", 0),
        Sabotage::EventIsLost => {
            let is_opening = |event: &PublishedEvent| event.name == "AccountOpened";
            parts.published.borrow_mut().retain(|event| !is_opening(event));
        }
        Sabotage::ClaimIsInvented => {
            let claim = json!({
                "account": {"S": "claim#stripe#pi_invented#credit"},
                "seq": {"N": "0"},
                "owner": {"S": parts.accounts[0]},
                "row": {"N": "99999"},
            });
            overwrite(cloud, LEDGER, &claim);
        }
        Sabotage::UsageIsLost => {
            let report = json!({"quantity": "1", "id": "u-lost"});
            let mut reported = parts.reported.borrow_mut();
            reported.sent(&parts.accounts[0], &report);
            reported.answered(&parts.accounts[0], &report);
        }
        Sabotage::CaptureIsLost => {
            let capture = SentCapture {
                hold: "hold-1".to_owned(),
                key: Some("k-lost".to_owned()),
                body: json!({"usage": [{"sku": "tokens", "quantity": "1"}]}),
                answer: Some(json!({"id": "hold-1"})),
            };
            parts.captured.borrow_mut().sent(&parts.accounts[0], capture);
        }
        Sabotage::TaskPanics => {
            tokio::task::spawn_local(async { unreachable!("sabotage") });
        }
    }
}

fn invent_event(cloud: &SimulatedCloud, name: &str, seq: u64) {
    let account = &cloud.parts().accounts[0];
    let detail = json!({"account": account, "seq": seq, "state": {"balance": "0.00"}});
    let event = BusEvent { detail_type: name.to_owned(), detail: detail.to_string() };
    // Nobody listens only after the end.
    let _ = cloud.parts().network.parts().bus.send(event);
}

/// Writes an item, perhaps over one that is there.
fn overwrite(cloud: &SimulatedCloud, table: &str, item: &Value) {
    let now = cloud.parts().network.parts().clock.now();
    let put = json!({"TableName": table, "Item": item});
    cloud.parts().network.with_database(|database| {
        let done = database.call("PutItem", &put, now, &mut CurrentReads);
        assert!(done.result.is_ok(), "{done:?}");
    });
}

fn blow(weather: &FaultWeather, chance: &Chance) {
    const FUNCTIONS: [&str; 6] = [
        "publish",
        "stripe-webhook",
        "auto-refill",
        "confirm-deletion",
        "settle-due",
        "hourly-debit",
    ];
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
        json!({"sku": "tokens", "unit": "quantity", "kind": "tokens", "rate": "0.00002"}),
        json!({"sku": "calls", "unit": "quantity", "kind": "calls", "rate": "0.0005"}),
        price("vm", "instance", "0.6", "0"),
        price("gpu", "instance", "4", "0"),
        price("app", "service", "1.5", "0"),
        price("volume", "volume", "0.5", "0.2"),
    ]})
}
