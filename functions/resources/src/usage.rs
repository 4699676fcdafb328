//! `POST /v1/usage`: the platform reports what meters counted. Nothing is billed here: the next
//! settling does.

use serde::{Deserialize, Serialize};
use tollgate::domain::event::Cause;
use tollgate::domain::ids::{ProjectId, RequestKey, Sku};
use tollgate::domain::money::{Quantity, REPORT_COST_MAX, Rate, ReportedQuantity};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::{self, OwnedProject};
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::http::call::{ApiCall, PLATFORM_SCOPE};
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::store::{CommandError, Plan, ReportOutcome, StoreError, UsageReport};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageRequest {
    project: ProjectId,
    sku: Sku,
    #[serde(default)]
    reading: Option<Quantity>,
    #[serde(default)]
    quantity: Option<ReportedQuantity>,
    #[serde(default)]
    id: Option<RequestKey>,
}

/// What was reported, in one of two ways.
enum ReadingReport {
    /// What a counter shows that only grows.
    Reading { project: ProjectId, sku: Sku, reading: Quantity },
    /// What was used since the last report.
    Used(UsageReport),
}

#[derive(Debug, Serialize)]
struct UsageView {
    /// `counted`, `not_newer` or `repeated`.
    status: &'static str,
    /// What the meter shows, if it shows as much or more already.
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<String>,
}

/// Handles `POST /v1/usage`.
pub(crate) async fn report(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller_with(PLATFORM_SCOPE)?;
    let report = ReadingReport::of(call.json()?)?;
    let on = OnAccount::of_caller(billing, call)?;
    let (project, sku) = report.meter();
    let prices = billing.prices(call.now).await?;
    let rate = prices.at(sku, call.now).map_or(Rate::ZERO, |price| price.rate);
    let most = rate.reportable();
    let (mut reported, mut opened) = (report.send(billing, &on, call, most).await?, None);
    if reported == ReportOutcome::UnknownMeter {
        opened = open_meter(billing, &on, call, &report).await?;
        reported = report.send(billing, &on, call, most).await?;
    }
    let (status, reading) = match reported {
        ReportOutcome::Advanced => ("counted", None),
        ReportOutcome::NotNewer(reading) => ("not_newer", Some(reading.to_string())),
        ReportOutcome::Repeated => ("repeated", None),
        ReportOutcome::KeyReused => return Err(Refusal::KeyReused.into()),
        ReportOutcome::TooMuch => {
            let why = format!(
                "One report may add at most {most} units and ${REPORT_COST_MAX} to a meter, and a \
                 reading has a maximum."
            );
            return Err(Problem::new(ProblemCode::Unusable, why).into());
        }
        ReportOutcome::UnknownMeter => {
            return Err(Refusal::UnknownMeter { project: project.clone(), sku: sku.clone() }.into());
        }
    };
    let answer = ApiAnswer::ok(&UsageView { status, reading })?;
    Ok(match opened {
        Some(seq) => answer.of_row(seq),
        None => answer,
    })
}

impl ReadingReport {
    fn of(body: UsageRequest) -> Result<ReadingReport, Problem> {
        let UsageRequest { project, sku, reading, quantity, id } = body;
        match (reading, quantity, id) {
            (Some(reading), None, None) => Ok(ReadingReport::Reading { project, sku, reading }),
            (None, Some(quantity), Some(id)) => {
                let quantity = quantity.into();
                Ok(ReadingReport::Used(UsageReport { project, sku, quantity, id }))
            }
            _ => Err(Problem::new(
                ProblemCode::InvalidBody,
                "reading: send either reading, or quantity and id.",
            )
            .with("parameter", "reading")),
        }
    }

    fn meter(&self) -> (&ProjectId, &Sku) {
        match self {
            ReadingReport::Reading { project, sku, .. }
            | ReadingReport::Used(UsageReport { project, sku, .. }) => (project, sku),
        }
    }

    async fn send(
        &self,
        billing: &Billing,
        on: &OnAccount<'_>,
        call: &ApiCall,
        most: Quantity,
    ) -> Result<ReportOutcome, StoreError> {
        match self {
            ReadingReport::Reading { project, sku, reading } => {
                billing.store.report_reading(on.account(), project, sku, *reading, most).await
            }
            ReadingReport::Used(report) if report.quantity > most => Ok(ReportOutcome::TooMuch),
            ReadingReport::Used(report) => {
                billing.store.report_usage(on.account(), report, call.now).await
            }
        }
    }
}

/// Opens the meter of a first report; its row, unless another report was faster.
async fn open_meter(
    billing: &Billing,
    on: &OnAccount<'_>,
    call: &ApiCall,
    report: &ReadingReport,
) -> Result<Option<u64>, ApiError> {
    let (id, sku) = report.meter();
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
