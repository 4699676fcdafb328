//! The examples of `infra/local/examples` against the cloud: a gateway that sells completions, and
//! a purchase.

use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tollgate_local::api::ApiClient;
use tollgate_tests::binaries;

use crate::support::{MINUTE, PLATFORM, Processes, World, token};

/// An example with what it needs to know of the cloud.
fn example(world: &World, name: &str) -> Command {
    let mut command = Command::new(binaries::example(name));
    command.env("TOLLGATE_API", &world.cloud.urls().api);
    command.env("TOLLGATE_TOKEN", token(&world.cloud, "platform", PLATFORM));
    command.stdout(Stdio::piped()).kill_on_drop(true);
    command
}

struct Gateway {
    process: Child,
    api: ApiClient,
}

impl Gateway {
    async fn start(world: &World) -> Gateway {
        let mut process = example(world, "gateway").spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let address = output.lines().next_line().await.unwrap().unwrap();
        Gateway { process, api: ApiClient::new(&address) }
    }

    /// Calls of so many clients at the same time, each until it is refused or not answered. How many
    /// calls were answered, and the last statuses.
    async fn serve(&self, clients: usize, account: &str, project: &str) -> (usize, Vec<u16>) {
        let clients = (0..clients).map(|_| async {
            let mut answered = 0;
            loop {
                let headers = [("account", account), ("project", project)];
                let reply = self.api.send("POST", "/completions", &headers, "").await;
                match reply.map(|reply| reply.status) {
                    Ok(200) => answered += 1,
                    Ok(status) => return (answered, status),
                    Err(_) => return (answered, 0),
                }
            }
        });
        let ended = join_all(clients).await;
        (ended.iter().map(|(answered, _)| answered).sum(), ended.iter().map(|end| end.1).collect())
    }
}

/// Tokens for $10 a million, and a domain name for $12.
async fn with_prices() -> World {
    let world = World::new(Processes::Several).await;
    let prices = json!({"prices": [
        {"sku": "output-tokens", "unit": "quantity", "kind": "meter", "rate": "0.00001",
            "name": "Output tokens", "unit_name": "1M tokens", "unit_size": "1000000"},
        {"sku": "domain-com", "unit": "quantity", "kind": "meter", "rate": "12.00"},
    ]});
    world.write(&world.operator, "PUT", "/v1/admin/prices", &prices).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_serves_what_the_credit_pays_and_no_call_more() {
    let world = with_prices().await;
    let alice = world.customer("alice");
    alice.top_up("5.00").await;
    let project = alice.project().await.replace("/v1/projects/", "");
    let gateway = Gateway::start(&world).await;
    let (answered, ends) = gateway.serve(200, "alice", &project).await;
    // A call costs a cent.
    assert_eq!((answered, alice.balance().await.as_str()), (500, "0.00"));
    assert!(ends.iter().all(|status| [402, 409].contains(status)), "{ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_gateway_gives_no_call_away_and_takes_none_twice() {
    let world = with_prices().await;
    let alice = world.customer("alice");
    alice.top_up("5.00").await;
    let project = alice.project().await.replace("/v1/projects/", "");
    let mut answered = 0;
    for pause in [150, 400, 250] {
        let mut gateway = Gateway::start(&world).await;
        let api = gateway.api.clone();
        let serving = Gateway { process: Command::new("true").spawn().unwrap(), api };
        let killed = async {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            gateway.process.kill().await.unwrap();
        };
        let ((served, _), ()) = tokio::join!(serving.serve(50, "alice", &project), killed);
        answered += served;
        // What it held is free again, and a capture that was under way has ended.
        world.cloud.idle().await;
        world.later(11 * MINUTE).await;
    }
    let gateway = Gateway::start(&world).await;
    answered += gateway.serve(200, "alice", &project).await.0;
    let spending = alice.read("/v1/spending?by=sku").await;
    let captured: usize = spending["items"][0]["quantity"].as_str().unwrap().parse().unwrap();
    let captured = captured / 1_000;
    assert!(answered <= captured && captured <= 500, "{answered} of {captured}");
    let balance = alice.balance().await;
    assert_eq!(balance, format!("{}.{:02}", (500 - captured) / 100, (500 - captured) % 100));
    assert_eq!(captured, 500, "all credit was used in the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn domain_name_is_bought_once_or_not_at_all() {
    let world = with_prices().await;
    let registry = std::env::temp_dir().join(format!("registry-{:016x}", fastrand::u64(..)));
    std::fs::create_dir(&registry).unwrap();
    for account in ["alice", "bob"] {
        world.customer(account).top_up("20.00").await;
    }
    let buy = async |account: &str, name: &str| {
        let project = world.customer(account).read("/v1/projects").await;
        let id = match project["items"][0]["id"].as_str() {
            Some(id) => id.to_owned(),
            None => world.customer(account).project().await.replace("/v1/projects/", ""),
        };
        let mut purchase = example(&world, "domain-purchase");
        let purchase = purchase.env("REGISTRY", &registry).args([account, &id, name]);
        let done = purchase.output().await.unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    let bought = (Some(0), "example.com belongs to alice".to_owned());
    for _ in 0..2 {
        assert_eq!(buy("alice", "example.com").await, bought);
    }
    assert_eq!(world.customer("alice").balance().await, "8.00");
    assert_eq!(buy("bob", "example.com").await, (Some(1), "example.com is taken".to_owned()));
    let bob = world.customer("bob").read("/v1/balance").await;
    assert_eq!((&bob["balance"], &bob["held"]), (&json!("20.00"), &json!("0.00")));
    let refused = (Some(1), "alice has too little credit for example.org".to_owned());
    assert_eq!(buy("alice", "example.org").await, refused);
    std::fs::remove_dir_all(&registry).unwrap();
}
