//! `POST /v1/usage`: the platform reports what was used, singly or in batches. It is billed at the end
//! of its hour, or at once when everything that is not billed is worth a dollar or all the credit.

use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use tollgate::domain::event::Cause;
use tollgate::domain::ids::{AccountId, CounterName, ProjectId, RequestKey, Sku};
use tollgate::domain::money::{Quantity, REPORT_COST_MAX, ReportedQuantity, Usd};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::{self, OwnedProject};
use tollgate::domain::settle::metered::{USAGE_BY_HOUR, UnbilledList, bill_at_once_limit};
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::{MINUTE, Timestamp};
use tollgate::domain::usage::{LATE_SECONDS_MAX, UsageLabels};
use tollgate::http::call::{ApiCall, PLATFORM_SCOPE};
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::store::{
    CommandError, Plan, ReportOutcome, ReportRules, ReportedAmount, RowOrder, StoreError,
    UsageReport,
};

use crate::priced;

mod batch;

/// How far ahead, because clocks differ.
const EARLY_SECONDS_MAX: i64 = 5 * MINUTE;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageRequest {
    /// In a batch only.
    #[serde(default)]
    account: Option<AccountId>,
    project: ProjectId,
    sku: Sku,
    #[serde(default)]
    reading: Option<Quantity>,
    #[serde(default)]
    counter: Option<CounterName>,
    #[serde(default)]
    level: Option<Quantity>,
    #[serde(default)]
    gauge: Option<CounterName>,
    #[serde(default)]
    quantity: Option<ReportedQuantity>,
    #[serde(default)]
    id: Option<RequestKey>,
    #[serde(default)]
    at: Option<String>,
    #[serde(default)]
    labels: UsageLabels,
}

#[derive(Debug, Serialize)]
struct UsageView {
    /// `counted`, `not_newer` or `reading_went_back`.
    status: &'static str,
    /// What the counter showed before, if it showed as much or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<String>,
    /// What the gauge shows, if this report is not newer.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<String>,
}

/// Handles `POST /v1/usage`: one report, or a batch of them.
pub(crate) async fn report(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller_with(PLATFORM_SCOPE)?;
    if let Some(reports) = batch::reports(call)? {
        return batch::count_all(billing, call, reports).await;
    }
    let body: UsageRequest = call.json()?;
    if body.account.is_some() {
        let why = "is for batches. Name the account in the header Tollgate-Account.";
        return Err(invalid("account", why).into());
    }
    let on = OnAccount::of_caller(billing, call)?;
    // A key is noted for accounts that exist only.
    if call.request_key().is_some() {
        on.ensure_open().await?;
    }
    // Usage without `at` counts at the time of the first request under its key.
    handler::once_since(billing, on.account(), call, |first_at| async move {
        let CountedReport { view, worth, opened } =
            count(billing, call, (&on, &Opening::default()), body, first_at).await?;
        bill_at_once(billing, &on, worth, call.now).await;
        let answer = ApiAnswer::ok(&view)?;
        Ok(match opened {
            Some(seq) => answer.of_row(seq),
            None => answer,
        })
    })
    .await
}

/// A report that was answered.
struct CountedReport {
    view: UsageView,
    /// What it adds to the unbilled usage, in USD. `None` if it adds nothing.
    worth: Option<Usd>,
    /// The row that opened its meter.
    opened: Option<u64>,
}

/// Counts a report. Bills nothing.
async fn count(
    billing: &Billing,
    call: &ApiCall,
    (on, opening): (&OnAccount<'_>, &Opening),
    body: UsageRequest,
    first_at: Timestamp,
) -> Result<CountedReport, ApiError> {
    let report = usage_report(body, first_at)?;
    let (hour, sku) = (report.at.hour().start(), std::iter::once(&report.sku));
    let rates = priced::rates(billing, sku, hour, call.now).await?;
    let rate = rates.first().copied().unwrap_or_default();
    opening.check_not_after(billing, on.account(), &report).await?;
    let format = billing.settings.policy.row_format;
    if format < USAGE_BY_HOUR && needs_its_hour(&report) {
        let why = "counter, level, at and labels are available once rows of format 6 are written.";
        return Err(Problem::new(ProblemCode::Unusable, why).into());
    }
    let rules = ReportRules { step_max: rate.reportable(), format, now: call.now };
    let (mut reported, mut opened) =
        (billing.store.report(on.account(), &report, rules).await?, None);
    if reported == ReportOutcome::UnknownMeter {
        opened = open_meter(billing, on, call, &report).await?;
        reported = billing.store.report(on.account(), &report, rules).await?;
    }
    let mut worth = None;
    let (status, shown) = match reported {
        ReportOutcome::Counted(added) | ReportOutcome::Repeated(added) => {
            worth = Some(rate.for_quantity(added));
            ("counted", None)
        }
        ReportOutcome::NotNewer(shown) => ("not_newer", Some(shown.to_string())),
        ReportOutcome::WentBack(reading) => {
            let (account, sku) = (on.account(), &report.sku);
            tracing::error!(alarm = "reading_went_back", %account, %sku, %reading, "a counter went back");
            ("reading_went_back", Some(reading.to_string()))
        }
        ReportOutcome::KeyReused => return Err(Refusal::KeyReused.into()),
        ReportOutcome::TooMuch => {
            let most = rules.step_max;
            let why = format!(
                "One report, or one hour of a level, may add at most {most} units and \
                 ${REPORT_COST_MAX} to a meter, and a reading has a maximum."
            );
            return Err(Problem::new(ProblemCode::Unusable, why).into());
        }
        ReportOutcome::UnknownMeter => {
            let UsageReport { project, sku, .. } = report;
            return Err(Refusal::UnknownMeter { project, sku }.into());
        }
    };
    let is_gauge = matches!(report.amount, ReportedAmount::Level { .. });
    let (level, reading) = if is_gauge { (shown, None) } else { (None, shown) };
    Ok(CountedReport { view: UsageView { status, reading, level }, worth, opened })
}

/// Bills what is not billed, if it is much. Reports that cannot be billed now are counted, and the
/// next report or the end of the hour bills them.
async fn bill_at_once(billing: &Billing, on: &OnAccount<'_>, worth: Option<Usd>, now: Timestamp) {
    let Some(worth) = worth else { return };
    if let Err(fault) = bill_if_limit_reached(billing, on, worth, now).await {
        tracing::warn!(account = %on.account(), %fault, "usage is not billed at once");
    }
}

fn invalid(field: &str, why: &str) -> Problem {
    Problem::new(ProblemCode::InvalidBody, format!("{field}: {why}")).with("parameter", field)
}

/// Whether a report says more than releases before format 6 count.
fn needs_its_hour(report: &UsageReport) -> bool {
    let is_new = match &report.amount {
        ReportedAmount::Quantity { .. } => false,
        ReportedAmount::Reading { counter, .. } => *counter != CounterName::main(),
        ReportedAmount::Level { .. } => true,
    };
    report.stated_at.is_some() || is_new || !report.labels.is_empty()
}

fn usage_report(body: UsageRequest, now: Timestamp) -> Result<UsageReport, Problem> {
    let UsageRequest { account: _, project, sku, at, labels, .. } = body;
    let UsageRequest { reading, counter, level, gauge, quantity, id, .. } = body;
    let stated_at: Option<Timestamp> =
        at.map(|at| at.parse()).transpose().map_err(|error| invalid("at", &format!("{error}.")))?;
    let at = stated_at.unwrap_or(now);
    if at > now.plus(EARLY_SECONDS_MAX) || at < now.plus(-LATE_SECONDS_MAX) {
        let why = "must be at most 72 hours in the past and five minutes in the future.";
        return Err(invalid("at", why));
    }
    let amount = match ((quantity, id), (reading, counter), (level, gauge)) {
        ((Some(quantity), Some(id)), (None, None), (None, None)) => {
            ReportedAmount::Quantity { quantity: quantity.into(), id }
        }
        ((None, None), (Some(reading), counter), (None, None)) => {
            let counter = counter.unwrap_or_else(CounterName::main);
            ReportedAmount::Reading { counter, reading }
        }
        ((None, None), (None, None), (Some(level), gauge)) => {
            let gauge = gauge.unwrap_or_else(CounterName::main);
            ReportedAmount::Level { gauge, level }
        }
        _ => {
            let why = "Send one of these: quantity with id, reading (optionally counter), or level \
                       with at (optionally gauge).";
            return Err(Problem::new(ProblemCode::InvalidBody, why));
        }
    };
    if matches!(amount, ReportedAmount::Level { .. }) && stated_at.is_none() {
        let why = "is required with level, so that a repeated report is not a new one.";
        return Err(invalid("at", why));
    }
    // The clock of the platform may be ahead of ours.
    Ok(UsageReport { project, sku, at: at.min(now), stated_at, labels, amount })
}

/// When an account was opened, read at most once for all its reports of a request.
#[derive(Debug, Default)]
struct Opening(OnceCell<Option<Timestamp>>);

impl Opening {
    async fn at(
        &self,
        billing: &Billing,
        account: &AccountId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let read = || async {
            let first = billing.store.rows(account, 0..1, RowOrder::OldestFirst, 1).await?.rows;
            Ok(first.first().map(|row| row.event.at))
        };
        self.0.get_or_try_init(read).await.copied()
    }

    /// Usage must not be of a time before the account was opened.
    async fn check_not_after(
        &self,
        billing: &Billing,
        account: &AccountId,
        report: &UsageReport,
    ) -> Result<(), ApiError> {
        if report.stated_at.is_none() {
            return Ok(());
        }
        match self.at(billing, account).await? {
            Some(opened_at) if report.at < opened_at => {
                let why = format!("at: must not be before the account was opened at {opened_at}.");
                Err(Problem::new(ProblemCode::Unusable, why).with("parameter", "at").into())
            }
            _ => Ok(()),
        }
    }
}

/// Bills everything that is not billed, if it is worth a dollar or all the credit. `worth`: of this
/// report, in USD.
async fn bill_if_limit_reached(
    billing: &Billing,
    on: &OnAccount<'_>,
    worth: Usd,
    now: Timestamp,
) -> Result<(), CommandError> {
    let (store, account) = (&billing.store, on.account());
    let (unbilled, head) = tokio::join!(store.add_unbilled(account, worth), store.head(account));
    let Some(state) = head?.map(|head| head.state) else { return Ok(()) };
    let limit = bill_at_once_limit(&state, &billing.settings.policy);
    // At most once a second. Later usage of that second waits for the next report or run.
    let may_bill = state.usage_billed_at.is_none_or(|billed_at| billed_at < now);
    // Without the sum, the account itself tells.
    if !may_bill || unbilled.as_ref().is_ok_and(|unbilled| *unbilled < limit) {
        return Ok(());
    }
    let left = on.look(|view| UnbilledList::of(view, now).cost()).await?;
    // What the end of an hour billed is still in the sum, and is taken out here, too.
    let billed = (unbilled? - left).or_zero();
    if !billed.is_zero() {
        store.take_unbilled(account, billed).await?;
    }
    Ok(())
}

/// Opens the meter of a first report; its row, unless another report was faster.
async fn open_meter(
    billing: &Billing,
    on: &OnAccount<'_>,
    call: &ApiCall,
    report: &UsageReport,
) -> Result<Option<u64>, ApiError> {
    let (id, sku) = (&report.project, &report.sku);
    let project: Option<OwnedProject> = billing.store.project(on.account(), id).await?;
    let project = project.ok_or_else(|| Refusal::UnknownProject { project: id.clone() })?;
    let command = |view: &AccountSnapshot<'_>| {
        resolve::open_meter(view, &project, sku, call.now.max(view.state().at))
    };
    match on.execute(Cause::Command, Plan::on_snapshot(&command)).await {
        Ok(row) => Ok(Some(row.seq)),
        Err(CommandError::Refused(Refusal::MeterExists { .. })) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}
