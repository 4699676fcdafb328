//! `POST /v1/usage`: the platform reports what meters counted. Nothing is billed here: the next
//! settling does.

use serde::{Deserialize, Serialize};
use tollgate::domain::event::Cause;
use tollgate::domain::ids::{ProjectId, RequestKey, Sku};
use tollgate::domain::money::Quantity;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::{self, Project};
use tollgate::domain::snapshot::View;
use tollgate::http::call::{Call, PLATFORM_SCOPE};
use tollgate::http::handler::{Answer, Failed, OnAccount};
use tollgate::http::problem::{Code, Problem};
use tollgate::runtime::billing::Billing;
use tollgate::store::{Failure, Fault, Reported, UsageReport};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    project: ProjectId,
    sku: Sku,
    #[serde(default)]
    reading: Option<Quantity>,
    #[serde(default)]
    quantity: Option<Quantity>,
    #[serde(default)]
    id: Option<RequestKey>,
}

/// What was reported, in one of two ways.
enum Report {
    /// What a counter shows that only grows.
    Reading { project: ProjectId, sku: Sku, reading: Quantity },
    /// What was used since the last report.
    Used(UsageReport),
}

#[derive(Debug, Serialize)]
struct Shown {
    /// `counted`, `not_newer` or `repeated`.
    status: &'static str,
    /// What the meter shows, if it shows as much or more already.
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<String>,
}

/// `POST /v1/usage`.
pub(crate) async fn report(billing: &Billing, call: &Call) -> Result<Answer, Failed> {
    call.caller_with(PLATFORM_SCOPE)?;
    let report = Report::of(call.json()?)?;
    let on = OnAccount::of_caller(billing, call)?;
    let (mut reported, mut opened) = (report.send(billing, &on, call).await?, None);
    if reported == Reported::UnknownMeter {
        opened = open_meter(billing, &on, call, &report).await?;
        reported = report.send(billing, &on, call).await?;
    }
    let (project, sku) = report.meter();
    let (status, reading) = match reported {
        Reported::Advanced => ("counted", None),
        Reported::NotNewer(reading) => ("not_newer", Some(reading.to_string())),
        Reported::Repeated => ("repeated", None),
        Reported::KeyReused => return Err(Refusal::KeyReused.into()),
        Reported::TooMuch => {
            return Err(Problem::new(
                Code::Unusable,
                "The meter's reading would exceed its maximum.",
            )
            .into());
        }
        Reported::UnknownMeter => {
            return Err(Refusal::UnknownMeter { project: project.clone(), sku: sku.clone() }.into());
        }
    };
    let answer = Answer::ok(&Shown { status, reading })?;
    Ok(match opened {
        Some(seq) => answer.of_row(seq),
        None => answer,
    })
}

impl Report {
    fn of(body: Body) -> Result<Report, Problem> {
        let Body { project, sku, reading, quantity, id } = body;
        match (reading, quantity, id) {
            (Some(reading), None, None) => Ok(Report::Reading { project, sku, reading }),
            (None, Some(quantity), Some(id)) => {
                Ok(Report::Used(UsageReport { project, sku, quantity, id }))
            }
            _ => Err(Problem::new(Code::InvalidBody, "Send either reading, or quantity and id.")),
        }
    }

    fn meter(&self) -> (&ProjectId, &Sku) {
        match self {
            Report::Reading { project, sku, .. }
            | Report::Used(UsageReport { project, sku, .. }) => (project, sku),
        }
    }

    async fn send(
        &self,
        billing: &Billing,
        on: &OnAccount<'_>,
        call: &Call,
    ) -> Result<Reported, Fault> {
        match self {
            Report::Reading { project, sku, reading } => {
                billing.store.report_reading(on.account(), project, sku, *reading).await
            }
            Report::Used(report) => {
                billing.store.report_usage(on.account(), report, call.now).await
            }
        }
    }
}

/// Opens the meter of a first report; its row, unless another report was faster.
async fn open_meter(
    billing: &Billing,
    on: &OnAccount<'_>,
    call: &Call,
    report: &Report,
) -> Result<Option<u64>, Failed> {
    let (id, sku) = report.meter();
    let project: Option<Project> = billing.store.project(on.account(), id).await?;
    let project = project.ok_or_else(|| Refusal::UnknownProject { project: id.clone() })?;
    let command =
        |view: &View<'_>| resolve::open_meter(view, &project, sku, call.now.max(view.state().at));
    match on.execute(Cause::Command, command).await {
        Ok(row) => Ok(Some(row.seq)),
        Err(Failure::Refused(Refusal::MeterExists { .. })) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}
