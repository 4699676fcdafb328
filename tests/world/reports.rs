//! Usage that is reported in batches over HTTP is billed once, however often a batch is sent.
//!
//! There are few reports unless `TOLLGATE_REPORTS` names another number. The benchmark is
//!
//! ```text
//! TOLLGATE_REPORTS=100000 cargo test -p tollgate-tests --test world -- reports:: --nocapture
//! ```

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate::domain::money::Usd;
use tollgate_local::api::{ApiClient, ApiReply};

use crate::support::{HOUR, Processes, REPEATS_MAX, World, token};

/// Reports of one request.
const BATCH: usize = 100;
/// Reports of one account, on average.
const OF_ACCOUNT: usize = 100;
/// Requests that are on their way at once.
const AT_ONCE: usize = 8;
/// Every so many batches, one is sent twice.
const REPEATED: usize = 10;
/// In USD. A report is worth a fifth of a cent, so many accounts are billed by the hour only.
const RATE: &str = "0.00002";
const QUANTITY: usize = 100;
const CREDIT: &str = "10.00";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reports_over_http_are_billed_once() {
    let reports = std::env::var("TOLLGATE_REPORTS").unwrap_or_else(|_| "1000".to_owned());
    let reports: usize = reports.parse().unwrap();
    let world = Arc::new(World::new(Processes::Several).await);
    world.without_schedule("settle-due");
    let price = json!({"sku": "tokens", "unit": "quantity", "kind": "meter", "rate": RATE});
    world.write(&world.operator, "PUT", "/v1/admin/prices", &json!({"prices": [price]})).await;
    let accounts = Arc::new(accounts(&world, reports / OF_ACCOUNT).await);

    let begun = Instant::now();
    let platform = world.api.with_token(token(&world.cloud, "platform", "tollgate/platform"));
    each(reports / BATCH, |batch| {
        let (platform, accounts) = (platform.clone(), Arc::clone(&accounts));
        async move { report(&platform, &accounts, batch).await }
    })
    .await;
    let milliseconds = begun.elapsed().as_millis().max(1);
    println!("{reports} reports: {} a second", 1_000 * reports as u128 / milliseconds);

    world.later(HOUR).await;
    let worth: Usd = RATE.parse::<Usd>().unwrap().times(i64::try_from(QUANTITY).unwrap());
    for (number, (account, _)) in accounts.iter().enumerate() {
        let theirs = (number..reports).step_by(accounts.len()).count();
        let expected = CREDIT.parse::<Usd>().unwrap() - worth.times(i64::try_from(theirs).unwrap());
        assert_eq!(world.customer(account).balance().await, expected.to_string(), "{account}");
    }
}

/// Accounts with credit, and a project of each.
async fn accounts(world: &Arc<World>, count: usize) -> Vec<(String, String)> {
    each(count, |number| {
        let world = Arc::clone(world);
        async move {
            let customer = world.customer(&format!("account-{number}"));
            customer.bonus(CREDIT).await;
            let path = customer.project().await;
            (customer.account.clone(), path.rsplit('/').next().unwrap().to_owned())
        }
    })
    .await
}

/// One batch of reports of several accounts, each counted.
async fn report(platform: &ApiClient, accounts: &[(String, String)], batch: usize) {
    let item = |place: usize| {
        let number = batch * BATCH + place;
        let (account, project) = &accounts[number % accounts.len()];
        json!({"account": account, "project": project, "sku": "tokens",
            "quantity": QUANTITY.to_string(), "id": format!("u-{number}")})
    };
    let reports: Vec<Value> = (0..BATCH).map(item).collect();
    let times = if batch.is_multiple_of(REPEATED) { 2 } else { 1 };
    for _ in 0..times {
        let body = json!({ "reports": reports }).to_string();
        let answer = answered(platform, &body).await;
        let answer = answer.json();
        let results = answer["results"].as_array().unwrap();
        let is_counted = |result: &Value| result["status"] == "counted";
        assert!(results.len() == BATCH && results.iter().all(is_counted), "{answer}");
    }
}

/// A batch is repeated until it is answered. The id of each report is its key.
async fn answered(platform: &ApiClient, body: &str) -> ApiReply {
    let headers = [("content-type", "application/json")];
    for _ in 0..REPEATS_MAX {
        let answer = platform.send("POST", "/v1/usage", &headers, body.to_owned()).await.unwrap();
        if answer.status < 500 && answer.status != 429 {
            assert_eq!(answer.status, 200, "{}", answer.json());
            return answer;
        }
    }
    panic!("a batch is not answered, however often it is repeated");
}

/// What `work` makes of each number, a few at once.
async fn each<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: usize,
    work: impl Fn(usize) -> F,
) -> Vec<T> {
    let (mut tasks, mut done) = (JoinSet::new(), Vec::new());
    for number in 0..count {
        if tasks.len() == AT_ONCE {
            done.extend(tasks.join_next().await.map(Result::unwrap));
        }
        tasks.spawn(work(number));
    }
    while let Some(one) = tasks.join_next().await {
        done.push(one.unwrap());
    }
    done
}
