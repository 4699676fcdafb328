//! `GET /v1/allowance`: whether usage of a SKU is covered at this moment. It promises nothing: only a
//! hold does.

use serde::Serialize;
use tollgate::domain::account::AccountState;
use tollgate::domain::funds::Purse;
use tollgate::domain::ids::{ProjectId, Sku};
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::{ApiCall, PLATFORM_SCOPE};
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::views::needs::{StartBlock, start_block};

use crate::priced;

#[derive(Debug, Serialize)]
struct AllowanceView {
    allowed: bool,
    /// The credit that may pay for the SKU, without what is held or used but not billed, in USD.
    available: String,
    standing: &'static str,
    /// Why not. Null if it is allowed.
    reason: Option<StartBlock>,
}

/// Handles `GET /v1/allowance`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller_with(PLATFORM_SCOPE)?;
    let project: ProjectId = required(call, "project")?;
    let sku: Sku = required(call, "sku")?;
    let amount: Usd = call.query("amount")?.unwrap_or(Usd::ZERO);
    let on = OnAccount::of_caller(billing, call)?;
    let (store, account) = (&billing.store, on.account());
    let (head, unbilled, owned, rates) = tokio::join!(
        store.head(account),
        store.unbilled(account),
        store.project(account, &project),
        priced::rates(billing, std::iter::once(&sku), call.now.hour().start(), call.now),
    );
    let state = head?.ok_or(Refusal::AccountNotOpen)?.state;
    owned?.ok_or(Refusal::UnknownProject { project })?;
    rates?;
    let available = available(&state, &sku, unbilled?, call.now);
    let blocked = start_block(&state);
    let is_covered = available.is_positive() && available >= amount;
    let reason = blocked.or((!is_covered).then_some(StartBlock::Credit));
    ApiAnswer::ok(&AllowanceView {
        allowed: reason.is_none(),
        available: available.to_string(),
        standing: state.standing.name(),
        reason,
    })
}

/// What the account has for a SKU, as its last row left it. What is due since then is not counted.
fn available(state: &AccountState, sku: &Sku, unbilled: Usd, now: Timestamp) -> Usd {
    let credit = Purse::within_period(&state.without_expired_holds(now), now).eligible_credit(sku);
    (credit - unbilled - state.owed_at(now)).or_zero()
}

fn required<T>(call: &ApiCall, name: &str) -> Result<T, Problem>
where
    T: std::str::FromStr<Err: std::fmt::Display + 'static>,
{
    call.query(name)?.ok_or_else(|| {
        Problem::new(ProblemCode::InvalidParameter, format!("{name}: is required."))
            .with("parameter", name)
    })
}
