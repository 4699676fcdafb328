//! The consumer of `infra/INTEGRATE.md` against the cloud: events in order, repeated, late and
//! lost.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tollgate_local::api::ApiClient;

use crate::consumer::{Consumer, Platform};
use crate::support::{ADMIN, Customer, PLATFORM, Processes, World, token};

/// A platform whose machines are entries of a set.
struct Simulated {
    api: ApiClient,
    running: BTreeSet<String>,
    changes: usize,
}

impl Simulated {
    fn new(world: &World) -> Simulated {
        let api = world.api.with_token(token(&world.cloud, "platform", PLATFORM));
        Simulated { api, running: BTreeSet::new(), changes: 0 }
    }
}

impl Platform for Simulated {
    async fn get(&self, path: &str) -> Result<Value, String> {
        self.api.get(path).await?.success()
    }

    fn apply(&mut self, resource: &Value) {
        let machine = resource["id"].as_str().unwrap().to_owned();
        let has_changed = if resource["state"] == "running" {
            self.running.insert(machine)
        } else {
            self.running.remove(&machine)
        };
        self.changes += usize::from(has_changed);
    }
}

/// Events of the bus that a rule for the platform would match, in the order of their rows.
async fn events(world: &World) -> Vec<Value> {
    world.cloud.idle().await;
    let kept = world.api.get("/local/events").await.unwrap().json();
    let kept = kept["events"].as_array().unwrap().iter().map(|kept| kept["event"].clone());
    let mut events: Vec<Value> = kept.filter(|event| event["detail"]["seq"].is_u64()).collect();
    events.sort_by_key(|event| event["detail"]["seq"].as_u64());
    events
}

fn named<'e>(events: &'e [Value], name: &str) -> &'e Value {
    events.iter().find(|event| event["detail-type"] == name).unwrap_or_else(|| panic!("no {name}"))
}

async fn customer_with_machines(world: &World, machines: usize) -> (Customer<'_>, String) {
    let alice = world.customer("alice");
    alice.bonus("100.00").await;
    let project = alice.project().await;
    let mut last = String::new();
    for _ in 0..machines {
        let path = alice.start(&project, "gpu").await;
        last = path.rsplit('/').next().unwrap().to_owned();
    }
    (alice, last)
}

async fn suspend(world: &World, account: &str) {
    let path = format!("/v1/admin/accounts/{account}/suspend");
    world.write(&world.operator, "POST", &path, &json!({"reason": "a test"})).await;
}

#[tokio::test]
async fn suspension_stops_machines_whatever_happens_to_events() {
    let world = World::new(Processes::Several).await;
    let (mut consumer, mut platform) = (Consumer::default(), Simulated::new(&world));
    let (alice, _) = customer_with_machines(&world, 2).await;

    // In order.
    let before = events(&world).await;
    for event in &before {
        consumer.on_event(&mut platform, event).await.unwrap();
    }
    assert_eq!((platform.running.len(), platform.changes), (2, 2));

    // Everything again, newest first.
    for event in before.iter().rev() {
        consumer.on_event(&mut platform, event).await.unwrap();
    }
    assert_eq!((platform.running.len(), platform.changes), (2, 2), "a repeated event does nothing");

    suspend(&world, &alice.account).await;
    let after = events(&world).await;
    consumer.on_event(&mut platform, named(&after, "Suspended")).await.unwrap();
    assert_eq!((platform.running.len(), platform.changes), (0, 4));

    // The start is delivered once more, after the suspension.
    consumer.on_event(&mut platform, named(&after, "ResourceStarted")).await.unwrap();
    assert_eq!((platform.running.len(), platform.changes), (0, 4), "a late event starts nothing");
}

#[tokio::test]
async fn timer_finds_a_start_and_a_suspension_whose_events_are_lost() {
    let world = World::new(Processes::Several).await;
    let (mut consumer, mut platform) = (Consumer::default(), Simulated::new(&world));
    let (alice, machine) = customer_with_machines(&world, 1).await;
    consumer.on_timer(&mut platform).await.unwrap();
    assert_eq!(platform.running, BTreeSet::from([machine]));

    // A suspended account with nothing to bill is no longer in the list.
    suspend(&world, &alice.account).await;
    world.cloud.idle().await;
    consumer.on_timer(&mut platform).await.unwrap();
    assert_eq!(platform.running, BTreeSet::new());
    assert_eq!(platform.changes, 2);
}

#[tokio::test]
async fn credit_that_runs_out_stops_the_machine_at_that_second() {
    let world = World::new(Processes::Several).await;
    let (mut consumer, mut platform) = (Consumer::default(), Simulated::new(&world));
    let alice = world.customer("alice");
    // An hour and a quarter at $4.00 an hour.
    alice.bonus("5.00").await;
    let project = alice.project().await;
    alice.start(&project, "gpu").await;
    world.without_schedule("settle-due");
    world.at_time("11:14:00").await;
    world.no_faults();
    for event in &events(&world).await {
        consumer.on_event(&mut platform, event).await.unwrap();
    }
    assert_eq!(platform.running.len(), 1);

    world.at_time("11:15:00").await;
    consumer.on_event(&mut platform, named(&events(&world).await, "Suspended")).await.unwrap();
    assert_eq!(platform.running, BTreeSet::new());
}

/// A `curl` command of the document, as a shell would split it.
struct Command {
    method: String,
    path: String,
    token: String,
    acts_for: Option<String>,
    key: Option<String>,
    content_type: String,
    body: String,
}

/// The blocks of the document in this language, one after the other.
fn blocks(language: &str) -> String {
    let path = tollgate_local::build::repository().join("infra/INTEGRATE.md");
    let document = std::fs::read_to_string(path).unwrap();
    let fence = format!("```{language}\n");
    let blocks = document.split(&fence).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap()).collect()
}

fn commands() -> Vec<Command> {
    let text = blocks("sh").replace("\\\n", " ");
    text.split("curl ").skip(1).map(command).collect()
}

fn command(text: &str) -> Command {
    let header = |name: &str| {
        let (_, rest) = text.split_once(&format!("-H \"{name}: "))?;
        rest.split('"').next().map(str::to_owned)
    };
    let body = text.split_once("-d '").and_then(|(_, rest)| rest.split('\'').next());
    let file = text.contains("--data-binary @customers.csv").then(|| blocks("csv"));
    let lines: Option<Vec<&str>> = file.as_ref().map(|file| file.lines().map(str::trim).collect());
    let body = lines.map(|lines| lines.join("\n")).or(body.map(str::to_owned));
    let method = text.split_once("-X ").and_then(|(_, rest)| rest.split(' ').next());
    let path = text.split_once("\"$API").and_then(|(_, rest)| rest.split('"').next());
    Command {
        method: method.unwrap_or(if body.is_some() { "POST" } else { "GET" }).to_owned(),
        path: path.unwrap_or_else(|| panic!("no path in {text}")).to_owned(),
        token: header("authorization").unwrap(),
        acts_for: header("tollgate-account"),
        key: header("idempotency-key"),
        content_type: header("content-type").unwrap_or_else(|| "application/json".to_owned()),
        body: body.unwrap_or_default(),
    }
}

#[tokio::test]
async fn commands_of_the_document_are_accepted_and_repeatable() {
    let world = World::new(Processes::One).await;
    let alice = world.customer("alice");
    alice.bonus("17.50").await;
    let project = alice.project().await;
    let project = project.replace("/v1/projects/", "");
    let issuer = world.issuer();
    let filled = |text: &str| {
        let text = text.replace("PROJECT", &project).replace("ACCOUNT", &alice.account);
        text.replace("$ISSUER", &issuer).replace("$1", "false").replace("$from", "1")
    };
    let mut commands = commands();
    assert_eq!(commands.len(), 9);
    // These need the prices and the credit of later sections.
    let needs_both =
        |path: &str| path.starts_with("/v1/holds") || path.starts_with("/v1/allowance");
    commands.sort_by_key(|command| needs_both(&command.path));
    let mut hold = String::new();
    for _ in 0..2 {
        for command in &commands {
            let scope = if command.token == "Bearer $PLATFORM" { PLATFORM } else { ADMIN };
            let mut api = world.api.with_token(token(&world.cloud, "staff", scope));
            if let Some(account) = &command.acts_for {
                api = api.acting_for(filled(account));
            }
            let key = command.key.as_ref().map(|key| filled(key));
            let key = key.iter().map(|key| ("idempotency-key", key.as_str()));
            let headers: Vec<_> =
                key.chain([("content-type", command.content_type.as_str())]).collect();
            let path = filled(&command.path).replace("HOLD", &hold);
            let answer = api.send(&command.method, &path, &headers, filled(&command.body)).await;
            let answer = answer.unwrap().success();
            let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
            if path == "/v1/holds" {
                hold = answer["id"].as_str().unwrap().to_owned();
            }
        }
    }
    let rows = alice.story();
    for once in ["hold 0", "hold_captured -0.35"] {
        let found = rows.iter().filter(|row| row.starts_with(once)).count();
        assert_eq!(found, 1, "{once}: {rows:?}");
    }
    for (account, row) in [("auth0|17", "imported 17.5 "), ("auth0|18", "imported 0")] {
        let rows = world.customer(account).story();
        let found = rows.iter().filter(|shown| shown.starts_with(row)).count();
        assert_eq!(found, 1, "{account}: {rows:?}");
    }
    assert_eq!(alice.read("/v1/balance").await["standing"], "good");
    assert_eq!(world.told_to_platform("alice").await, ["vm-small running"]);
}
