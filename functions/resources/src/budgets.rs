//! Budgets of projects: what a project may cost in a calendar month (UTC).

use serde::{Deserialize, Serialize};
use tollgate::domain::account::{AccountState, Budget};
use tollgate::domain::command::{BudgetTerms, Command, MonthSoFar};
use tollgate::domain::ids::ProjectId;
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resources::BillableList;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::store::{BoundedRead, CommandError, Plan, READS_MAX};
use tollgate::views::budget::BudgetView;
use tollgate::views::spending::{ServiceTime, SpendingSteps};

/// How often the month is added up before the request is refused, because the account keeps changing.
const ATTEMPTS_MAX: usize = 5;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetRequest {
    amount: Usd,
    #[serde(default)]
    stop: bool,
}

#[derive(Debug, Serialize)]
struct BudgetsView {
    items: Vec<BudgetView>,
}

/// Handles `GET /v1/budgets`.
pub(crate) async fn list(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    let shown = |state: &AccountState| {
        let now = call.now.max(state.at);
        state.budgets.iter().map(|one| BudgetView::of(one, now)).collect()
    };
    let items = on.look(|view| shown(view.state())).await?;
    ApiAnswer::ok(&BudgetsView { items })
}

/// Handles `PUT /v1/projects/{project}/budget`. A request that changes nothing writes no row, unless it
/// has an `Idempotency-Key`, which only a row records.
pub(crate) async fn put(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let BudgetRequest { amount, stop } = call.json()?;
    let project: ProjectId = call.path("project")?;
    let on = OnAccount::of_caller(billing, call)?;
    on.ensure_open().await?;
    if billing.store.project(on.account(), &project).await?.is_none() {
        return Err(Refusal::UnknownProject { project }.into());
    }
    let terms = BudgetTerms { project, amount, stops: stop };
    let has_key = call.require_key().is_ok();
    for _ in 0..ATTEMPTS_MAX {
        let (state, list) =
            on.look(|view| (view.state().clone(), view.billables().clone())).await?;
        let now = call.now.max(state.at);
        let known = state.budget(&terms.project);
        let in_force = |known: &&Budget| known.amount == amount && known.stops == stop && !has_key;
        if let Some(known) = known.filter(in_force) {
            return ApiAnswer::ok(&BudgetView::of(known, now));
        }
        let so_far = match known {
            Some(_) => None,
            None => {
                let month = now.month_start();
                let spent = spent_in(billing, call, &on, &terms.project, (month, &list)).await?;
                Some(MonthSoFar { head: state.next_seq.saturating_sub(1), month, spent })
            }
        };
        let set = |_: &AccountState| Ok(Command::SetBudget { terms: terms.clone(), so_far });
        let row = match on.execute(call.cause(), Plan::on_state(&set)).await {
            Err(CommandError::Refused(Refusal::AccountChanged)) => continue,
            decided => decided?,
        };
        let budget = row.state.budget(&terms.project).ok_or(Refusal::KeyReused)?;
        return Ok(ApiAnswer::ok(&BudgetView::of(budget, row.event.at))?.of_row(row.seq));
    }
    Err(Refusal::AccountChanged.into())
}

/// Handles `DELETE /v1/projects/{project}/budget`.
pub(crate) async fn delete(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.no_body()?;
    let project: ProjectId = call.path("project")?;
    let on = OnAccount::of_caller(billing, call)?;
    let remove = |_: &AccountState| Ok(Command::RemoveBudget { project: project.clone() });
    let row = on.execute(call.cause(), Plan::on_state(&remove)).await?;
    Ok(ApiAnswer::nothing().of_row(row.seq))
}

/// What the project's bill of a month says, in USD.
async fn spent_in(
    billing: &Billing,
    call: &ApiCall,
    on: &OnAccount<'_>,
    project: &ProjectId,
    (month, list): (Timestamp, &BillableList),
) -> Result<Usd, ApiError> {
    let time = (ServiceTime { from: month, until: month.next_month() }, SpendingSteps::Whole);
    let prices = billing.prices(call.now).await?;
    let BoundedRead::All(spending) =
        billing.store.spending(on.account(), time, list, &prices, READS_MAX).await?
    else {
        let why = "The account has too many rows in this month to add up what the project cost. \
                   Set the budget at the beginning of a month.";
        return Err(Problem::new(ProblemCode::TooMuch, why).into());
    };
    let of_project = spending.iter().filter(|((_, item), _)| item.project() == Some(project));
    Ok(of_project.map(|(_, spent)| spent.amount).sum())
}
