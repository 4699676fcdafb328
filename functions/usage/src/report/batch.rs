//! Batches: up to a hundred reports, also of several accounts. Each is answered for itself, and one
//! that is refused stops no other.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate::domain::ids::{AccountId, CounterName, ProjectId, Sku};
use tollgate::domain::money::Usd;
use tollgate::http::call::{Acting, ApiCall};
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;

use super::{CountedReport, Opening, UsageRequest, UsageView, bill_at_once, count, invalid};

/// The most reports of a batch.
const REPORTS_MAX: usize = 100;
/// How many meters are counted at the same time. More would only wait for DynamoDB.
const METERS_AT_ONCE: usize = 16;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchRequest {
    reports: Vec<Value>,
}

/// The body of any batch, whatever its reports are.
#[derive(Debug, Deserialize)]
struct AnyBatch {
    #[serde(rename = "reports")]
    _reports: IgnoredAny,
}

#[derive(Debug, Serialize)]
struct BatchView {
    /// In the order of the reports.
    results: Vec<ItemView>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ItemView {
    Counted(UsageView),
    Refused {
        /// `refused`.
        status: &'static str,
        problem: Problem,
    },
}

/// What is counted in the order of its reports: a meter, or a gauge of it.
type MeterPart = (AccountId, ProjectId, Sku, Option<CounterName>);

/// The reports of the body, if it is a batch.
pub(super) fn reports(call: &ApiCall) -> Result<Option<Vec<Value>>, Problem> {
    if serde_json::from_slice::<AnyBatch>(call.body()).is_err() {
        return Ok(None);
    }
    let BatchRequest { reports } = call.json()?;
    if reports.is_empty() || reports.len() > REPORTS_MAX {
        let why = format!("must have 1 to {REPORTS_MAX} reports.");
        return Err(invalid("reports", &why));
    }
    if call.request_key().is_some() {
        let why = "Idempotency-Key: is not for batches. The id of each report is its key.";
        return Err(
            Problem::new(ProblemCode::InvalidParameter, why).with("parameter", "Idempotency-Key")
        );
    }
    Ok(Some(reports))
}

/// Readings of one counter are counted in their order, so the reports of a meter follow each other.
/// Those of a gauge do, too. A level that is counted for days takes a while, so gauges do not wait for
/// each other.
pub(super) async fn count_all(
    billing: &Billing,
    call: &ApiCall,
    reports: Vec<Value>,
) -> Result<ApiAnswer, ApiError> {
    let mut results: BTreeMap<usize, Result<CountedReport, ApiError>> = BTreeMap::new();
    let mut accounts: BTreeMap<usize, AccountId> = BTreeMap::new();
    let mut meters: BTreeMap<MeterPart, Vec<(usize, UsageRequest)>> = BTreeMap::new();
    for (place, report) in reports.iter().enumerate() {
        match addressed(call, report) {
            Ok((account, report)) => {
                accounts.insert(place, account.clone());
                let gauge = report.level.and(report.gauge.clone());
                let meter = (account, report.project.clone(), report.sku.clone(), gauge);
                meters.entry(meter).or_default().push((place, report));
            }
            Err(problem) => {
                results.insert(place, Err(problem.into()));
            }
        }
    }
    let openings: BTreeMap<&AccountId, Opening> =
        accounts.values().map(|account| (account, Opening::default())).collect();
    let openings = &openings;
    let counted = stream::iter(meters).map(|((account, ..), reports)| async move {
        let on = OnAccount::named(billing, call, &account);
        let opening = &openings[&account];
        let mut counted = Vec::new();
        for (place, report) in reports {
            let count = count(billing, call, (&on, opening), report, call.now);
            counted.push((place, Box::pin(count).await));
        }
        counted
    });
    let counted: Vec<_> = counted.buffer_unordered(METERS_AT_ONCE).collect().await;
    results.extend(counted.into_iter().flatten());
    bill(billing, call, &accounts, &results).await;
    let results = results.into_values().map(|result| match result {
        Ok(counted) => ItemView::Counted(counted.view),
        Err(failed) => {
            ItemView::Refused { status: "refused", problem: handler::item(billing, call, failed) }
        }
    });
    ApiAnswer::ok(&BatchView { results: results.collect() })
}

/// Bills each account that has much unbilled usage now, once.
async fn bill(
    billing: &Billing,
    call: &ApiCall,
    accounts: &BTreeMap<usize, AccountId>,
    results: &BTreeMap<usize, Result<CountedReport, ApiError>>,
) {
    let mut worths: BTreeMap<AccountId, Usd> = BTreeMap::new();
    for (place, result) in results {
        let worth = result.as_ref().ok().and_then(|counted| counted.worth);
        if let (Some(worth), Some(account)) = (worth, accounts.get(place)) {
            *worths.entry(account.clone()).or_default() += worth;
        }
    }
    let billed = stream::iter(worths).map(|(account, worth)| async move {
        let on = OnAccount::named(billing, call, &account);
        bill_at_once(billing, &on, Some(worth), call.now).await;
    });
    billed.buffer_unordered(METERS_AT_ONCE).collect::<Vec<()>>().await;
}

/// A report with its account: as it says, else as the header of the batch says.
fn addressed(call: &ApiCall, report: &Value) -> Result<(AccountId, UsageRequest), Problem> {
    let report: UsageRequest = handler::item_json(report)?;
    let caller = call.caller()?;
    let of_batch = match caller.acting {
        Acting::ForAnother => Some(caller.account.clone()),
        Acting::ForItself => None,
    };
    match report.account.clone().or(of_batch) {
        Some(account) => Ok((account, report)),
        None => {
            let why = "is required. The header Tollgate-Account names it for all reports.";
            Err(invalid("account", why))
        }
    }
}
