//! A month passes in a minute, and leaves the rows that it leaves when every minute is run.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::UtcDateTime;
use tollgate_local::api::ApiClient;
use tollgate_local::{Cloud, CloudConfig};

use crate::support::{
    ADMIN, Customer, HOUR, MINUTE, Processes, START, World, config, processors, token,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Of the month these hours are run minute by minute: some in which nothing is due, and those in
/// which something ends in the middle of an hour. The whole month takes half an hour, and is run
/// so with `TOLLGATE_EVERY_MINUTE=all`.
const EVERY_MINUTE: [(u32, u32); 7] =
    [(0, 1), (2, 3), (323, 324), (430, 431), (679, 680), (683, 684), (719, 720)];

const HOURS: u32 = 30 * 24;

const ACCOUNTS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

/// A directory that is removed when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("tollgate-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn copy_from(&self, other: &Path) {
        for file in std::fs::read_dir(other).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), self.0.join(file.file_name())).unwrap();
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn kept_in(directory: &Directory) -> CloudConfig {
    let mut config = config(Processes::Several, START);
    config.state = Some(directory.0.clone());
    config
}

/// The world of a state that was kept, in which prices are set already.
async fn resumed(directory: &Directory) -> World {
    let cloud = Cloud::start(kept_in(directory)).await.unwrap();
    let api = ApiClient::new(&cloud.urls().api);
    let operator = api.with_token(token(&cloud, "operator", ADMIN));
    World { cloud, api, operator }
}

/// Ten accounts. Some run all month, others are suspended in the middle of an hour, or have a bonus
/// that ends. None is suspended so early that its deletion waits to be confirmed: from then on
/// every minute has something due.
async fn make(world: &World) {
    const LATER: &str = "2027-01-01T00:00:00Z";
    for (number, account) in ACCOUNTS.iter().enumerate() {
        let customer = world.customer(account);
        customer.read("/v1/account").await;
        let (bonuses, sku): (&[(&str, &str)], &str) = match number % 5 {
            0 => (&[("900.00", LATER)], "vm-large"),
            // Lasts for 684 hours and 22.5 minutes.
            1 => (&[("900.00", LATER), ("900.00", LATER), ("937.50", LATER)], "gpu"),
            2 => (&[("200.00", "2026-12-10T09:17:43Z"), ("900.00", LATER)], "postgres"),
            3 => (&[("500.00", "2026-12-05T22:40:00Z"), ("900.00", LATER)], "vm-large"),
            // Lasts for 680 hours and 24 minutes.
            _ => (&[("900.00", LATER), ("801.00", LATER)], "vm-gpu"),
        };
        for (amount, ends) in bonuses {
            bonus(&customer, amount, ends).await;
        }
        let project = customer.project().await;
        customer.start(&project, sku).await;
        world.later(MINUTE * 3).await;
    }
}

async fn bonus(customer: &Customer<'_>, amount: &str, ends: &str) {
    let bonus = json!({"amount": amount, "expires_at": ends, "excludes": [], "reason": "a test"});
    let path = format!("/v1/admin/accounts/{}/bonus", customer.account);
    customer.world.write(&customer.world.operator, "POST", &path, &bonus).await;
}

/// The rows of all accounts as they are stored. Two runs have the same rows of time to the byte; a
/// row of another cause has a random `nonce`.
fn rows(world: &World) -> Vec<Value> {
    let mut rows: Vec<Value> =
        ACCOUNTS.iter().flat_map(|account| world.customer(account).rows()).collect();
    for row in &mut rows {
        row.as_object_mut().unwrap().remove("nonce");
    }
    rows
}

/// What may explain a row that is not the same: failed runs, and what functions told of it.
fn explanation(world: &World) -> String {
    let failed = world.cloud.runs(0).into_iter().filter(|run| run.outcome != "ok");
    let failed = failed.map(|run| format!("{run:?}"));
    let told =
        world.cloud.log().into_iter().map(|line| format!("{}: {}", line.function, line.text));
    let told = told.filter(|line| {
        line.starts_with("settle-due") || line.contains("ERROR") || line.contains("WARN")
    });
    failed.chain(told).collect::<Vec<_>>().join("\n")
}

/// `hours` after the start of the month, which is a full hour.
fn at(begin: UtcDateTime, hours: u32) -> UtcDateTime {
    begin + HOUR * hours
}

#[tokio::test]
async fn a_month_leaves_the_same_rows_when_idle_minutes_are_skipped() {
    let (first, second) = (Directory::new("month"), Directory::new("month-every-minute"));
    let world = {
        let cloud = Cloud::start(kept_in(&first)).await.unwrap();
        let api = ApiClient::new(&cloud.urls().api);
        let operator = api.with_token(token(&cloud, "operator", ADMIN));
        let world = World { cloud, api, operator };
        let mut prices = tollgate_local::seed::prices();
        prices.push(json!({"sku": "gpu", "unit": "hour", "kind": "instance", "rate": "4.00"}));
        world.write(&world.operator, "PUT", "/v1/admin/prices", &json!({"prices": prices})).await;
        world
    };
    make(&world).await;
    world.at(START + HOUR).await;
    drop(world);
    second.copy_from(&first.0);

    let world = resumed(&first).await;
    let begin = world.cloud.now();
    let (begun, before) = (Instant::now(), processors());
    world.later(DAY * 30).await;
    let elapsed = begun.elapsed();
    let spent = before.and_then(|before| processors()?.checked_sub(before));
    let lines = world.cloud.log();
    let line = lines.iter().rfind(|line| line.text.starts_with("clock: moved 30d")).unwrap();
    println!("{}", line.text);
    assert!(world.cloud.skipped_runs() > 40_000, "{}", line.text);
    let skipping = rows(&world);
    let explanation = explanation(&world);
    drop(world);

    let world = resumed(&second).await;
    assert_eq!(world.cloud.now(), begin);
    let all = std::env::var("TOLLGATE_EVERY_MINUTE").is_ok_and(|which| which == "all");
    let stretches = if all { vec![(0, HOURS)] } else { EVERY_MINUTE.to_vec() };
    for (from, to) in stretches {
        world.at(at(begin, from)).await;
        world.cloud.run_every_minute();
        let before = world.cloud.skipped_runs();
        world.at(at(begin, to)).await;
        assert_eq!(world.cloud.skipped_runs(), before);
        world.cloud.skip_idle_runs();
    }
    world.at(at(begin, HOURS)).await;
    let every_minute = rows(&world);
    assert_eq!(skipping.len(), every_minute.len());
    for (one, other) in skipping.iter().zip(&every_minute) {
        assert_eq!(one.to_string(), other.to_string(), "{explanation}");
    }
    for kind in ["suspended", "expired"] {
        assert!(skipping.iter().any(|row| row["type"] == kind), "there is no row `{kind}`");
    }
    println!("{} rows, 30 days in {elapsed:.1?}, processors {spent:.1?}", skipping.len());
    // Other tests of this ring use the processors, too, so the bound is checked on request.
    if let Ok(seconds) = std::env::var("TOLLGATE_MONTH_SECONDS") {
        assert!(elapsed <= Duration::from_secs(seconds.parse().unwrap()), "{elapsed:.1?}");
    }
}
