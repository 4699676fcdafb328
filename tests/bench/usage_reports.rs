//! What a usage report and a hold cost, in requests and capacity units, and that many of them are
//! counted exactly once. `TOLLGATE_REPORTS` sets how many are reported.

use std::time::Instant;

use futures_util::future::join_all;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tollgate::domain::money::Usd;
use tollgate::runtime::billing::Billing;
use tollgate::store::Store;
use tollgate_tests::api::{Answered, Api, ApiEvent};
use tollgate_tests::capacity::{CapacityMeter, ConsumedTotal};
use tollgate_tests::ledger::named;

const SCOPE: &str = "tollgate/platform";

/// A function whose calls are measured.
fn measured(api: &Api) -> (Billing, CapacityMeter) {
    let meter = CapacityMeter::default();
    let store = Store::new(meter.on(&api.ledger.client), api.ledger.names());
    (Billing::new(store, api.billing.settings.clone()), meter)
}

/// Accounts with $10 and a project each: name and project.
async fn accounts(api: &Api, count: usize) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for number in 0..count {
        let account = format!("customer-{number}");
        api.ledger.open(&account, "10:00:00").await;
        api.ledger.credit(&account, &format!("pi_{number}"), "10", "10:00:00").await;
        let event = ApiEvent::by(&account, "POST /v1/projects", "10:00:00");
        let event = event.json(&json!({"name": "site"}));
        let made: Answered = resources::handle(&api.billing, event.request()).await.into();
        all.push((account, made.body["id"].as_str().unwrap().to_owned()));
    }
    all
}

async fn ask(billing: &Billing, route: &str, path: &[(&str, &str)], body: &Value) -> Answered {
    let event = ApiEvent::by("platform", route, "10:10:00").scope(SCOPE);
    let event = event.header("Tollgate-Account", "customer-0").json(body);
    let event = path.iter().fold(event, |event, (name, value)| event.at(name, value));
    usage::handle(billing, event.request()).await.into()
}

fn report(account: &str, project: &str, id: &str) -> Value {
    json!({"account": account, "project": project, "sku": "tokens", "quantity": "100", "id": id})
}

/// A warm function's report: two gets, a transaction of two items, the hint and the head.
#[tokio::test]
async fn report_and_hold_cost_so_many_requests_and_units() {
    let api = Api::new().await;
    let (billing, meter) = measured(&api);
    let (_, project) = accounts(&api, 1).await.remove(0);
    let single =
        |id: &str| json!({"project": project, "sku": "tokens", "quantity": "100", "id": id});
    for id in ["u-1", "u-2"] {
        assert_eq!(ask(&billing, "POST /v1/usage", &[], &single(id)).await.status, 200);
    }
    let _ = meter.take_total();
    assert_eq!(ask(&billing, "POST /v1/usage", &[], &single("u-3")).await.status, 200);
    let of_report = meter.take_total();
    show("report", of_report);
    assert!(of_report.calls <= 4, "{of_report:?}");
    assert!(of_report.write_units <= 5.into() && of_report.read_units <= 2.into(), "{of_report:?}");

    let body = json!({"project": project, "skus": ["tokens"], "amount": "1"});
    let made = ask(&billing, "POST /v1/holds", &[], &body).await;
    assert_eq!(made.status, 201);
    show("hold", meter.take_total());
    let id = made.body["id"].as_str().unwrap();
    let body = json!({"usage": [{"sku": "tokens", "quantity": "5"}]});
    let path = [("hold", id)];
    assert_eq!(ask(&billing, "POST /v1/holds/{hold}/capture", &path, &body).await.status, 200);
    show("capture", meter.take_total());
    let event = ApiEvent::by("platform", "GET /v1/allowance", "10:10:00").scope(SCOPE);
    let event = event.header("Tollgate-Account", "customer-0");
    let event = event.with("project", &project).with("sku", "tokens");
    let allowed: Answered = usage::handle(&billing, event.request()).await.into();
    assert_eq!(allowed.status, 200);
    let of_allowance = meter.take_total();
    show("allowance", of_allowance);
    assert!(of_allowance.write_units.is_zero() && of_allowance.calls <= 3, "{of_allowance:?}");
}

#[tokio::test]
async fn many_reports_of_many_accounts_are_counted_once() {
    let reports: usize = std::env::var("TOLLGATE_REPORTS")
        .ok()
        .and_then(|reports| reports.parse().ok())
        .unwrap_or(2_000);
    let api = Api::new().await;
    let (billing, meter) = measured(&api);
    let accounts = accounts(&api, (reports / 100).max(10)).await;
    let began = Instant::now();
    for batch in 0..reports / 100 {
        let items: Vec<Value> = (0..100)
            .map(|item| {
                // Every tenth report of a batch repeats its first.
                let number = if item % 10 == 9 { batch * 100 } else { batch * 100 + item };
                let (account, project) = &accounts[number % accounts.len()];
                report(account, project, &format!("u-{number}"))
            })
            .collect();
        let answered = ask(&billing, "POST /v1/usage", &[], &json!({"reports": items})).await;
        let results = answered.body["results"].as_array().unwrap();
        let counted = json!({"status": "counted"});
        assert!(results.iter().all(|one| *one == counted), "{answered:?}");
    }
    let milliseconds = began.elapsed().as_millis().max(1);
    let total = meter.take_total();
    let each = Decimal::from(reports);
    println!(
        "{reports} reports in batches of 100: {} a second; of each {:.2} requests, {:.2} read and \
         {:.2} write units",
        1_000 * reports as u128 / milliseconds,
        Decimal::from(total.calls) / each,
        total.read_units / each,
        total.write_units / each,
    );
    let mut billed = Usd::ZERO;
    for (account, _) in &accounts {
        api.ledger.settle(account, "11:00:00").await;
        billed += named::<Usd>("10") - api.ledger.head(account).await.state.balance();
    }
    // Nine of ten are new, and 100 tokens cost $0.0002.
    let expected = named::<Usd>("0.0002").times(i64::try_from(reports / 10 * 9).unwrap());
    assert_eq!(billed, expected);
}

/// Five hundred reports of one account at once, each repeated until it is answered.
#[tokio::test]
async fn every_report_of_a_hot_account_is_counted_once() {
    const REPORTS: usize = 500;
    let api = Api::new().await;
    let (billing, meter) = measured(&api);
    let (account, project) = accounts(&api, 1).await.remove(0);
    let first = json!({"reports": [report(&account, &project, "u-first")]});
    ask(&billing, "POST /v1/usage", &[], &first).await;
    let _ = meter.take_total();
    let (billing, project) = (&billing, &project);
    let reported = (0..REPORTS).map(|number| async move {
        let body = json!({"project": project, "sku": "tokens", "quantity": "100", "id": format!("u-{number}")});
        let mut asked = 1;
        while ask(billing, "POST /v1/usage", &[], &body).await.status != 200 {
            asked += 1;
        }
        asked
    });
    let began = Instant::now();
    let asked: usize = join_all(reported).await.into_iter().sum();
    let milliseconds = began.elapsed().as_millis().max(1);
    let total = meter.take_total();
    println!(
        "{REPORTS} reports of one account at once: {} a second, {asked} asked, {:.2} requests each",
        1_000 * REPORTS as u128 / milliseconds,
        Decimal::from(total.calls) / Decimal::from(REPORTS),
    );
    let ledger = &api.ledger;
    ledger.settle(&account, "11:00:00").await;
    let billed = named::<Usd>("10") - ledger.head(&account).await.state.balance();
    let expected = named::<Usd>("0.0002").times(i64::try_from(REPORTS + 1).unwrap());
    assert_eq!(billed, expected);
}

fn show(what: &str, total: ConsumedTotal) {
    let ConsumedTotal { calls, read_units, write_units } = total;
    println!("{what}: {calls} requests, {read_units} read and {write_units} write units");
}
