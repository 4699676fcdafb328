//! `GET /v1/allowance`: whether usage of a SKU is covered at this moment. It promises nothing: only a
//! hold does.

use serde::Serialize;
use tollgate::domain::account::AccountState;
use tollgate::domain::decide::check_room;
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
    reason: Option<NotAllowed>,
}

/// Why usage is not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum NotAllowed {
    Credit,
    Staff,
    Dispute,
    Closed,
    /// The project's budget does not cover the amount.
    Budget,
}

impl From<StartBlock> for NotAllowed {
    fn from(block: StartBlock) -> NotAllowed {
        match block {
            StartBlock::Credit => NotAllowed::Credit,
            StartBlock::Staff => NotAllowed::Staff,
            StartBlock::Dispute => NotAllowed::Dispute,
            StartBlock::Closed => NotAllowed::Closed,
        }
    }
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
    owned?.ok_or_else(|| Refusal::UnknownProject { project: project.clone() })?;
    rates?;
    let available = available(&state, &sku, unbilled?, call.now);
    let is_covered = available.is_positive() && available >= amount;
    let reason = match start_block(&state) {
        Some(blocked) => Some(blocked.into()),
        None if !is_covered => Some(NotAllowed::Credit),
        None => over_budget(&state, &project, amount, call.now).then_some(NotAllowed::Budget),
    };
    ApiAnswer::ok(&AllowanceView {
        allowed: reason.is_none(),
        available: available.to_string(),
        standing: state.standing.name(),
        reason,
    })
}

/// Whether a hold of this amount would be beyond the budget of the project, as the last row left it.
/// Usage that is not billed yet is not counted.
fn over_budget(state: &AccountState, project: &ProjectId, amount: Usd, now: Timestamp) -> bool {
    let state = &*state.without_expired_holds(now);
    // Without an amount the answer is whether anything is left.
    check_room(state, project, amount.max(Usd::from_micros(1)), now).is_err()
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
