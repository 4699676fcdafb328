//! `GET /v1/balance`: the balance, the current rate, and how long the credit lasts. The account is
//! settled first, so the answer is current.

use serde::Serialize;
use tollgate::domain::account::Grant;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::settle::runway::runway;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::runtime::billing::Billing;
use tollgate::store::StoreError;
use tollgate::views::needs::{StartBlock, missing_for_start, start_block};

use crate::restart_policy::RestartChoice;

#[derive(Debug, Serialize)]
struct BalanceView {
    balance: String,
    /// The balance less what is held for usage to come. Starts and time are paid from it.
    available: String,
    held: String,
    currency: &'static str,
    /// Null while nothing is billed by time.
    paid_through: Option<String>,
    rate_per_hour: String,
    standing: &'static str,
    frozen: bool,
    /// Why resources cannot be started. Null in good standing.
    reason: Option<StartBlock>,
    /// The cost of time that ran without credit. The next credit pays it first.
    owed: String,
    /// The credit that ends the suspension. Null while the account is not suspended for lack of
    /// credit.
    needed_to_resume: Option<String>,
    /// The credit that is missing for a start, at least. Null if credit alone makes none possible.
    needed_to_start: Option<String>,
    /// What happens to resources that a suspension stopped.
    restart: RestartChoice,
    runway: RunwayView,
    grants: Vec<GrantView>,
}

/// Null if the end is not in sight.
#[derive(Debug, Serialize)]
struct RunwayView {
    zero_at: Option<String>,
    deleted_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct GrantView {
    kind: &'static str,
    remaining: String,
    expires_at: String,
    excludes: Vec<String>,
}

/// Handles `GET /v1/balance`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let on = OnAccount::of_caller(billing, call)?;
    let balance = on.look(|view| balance(view, call.now)).await?.map_err(StoreError::Unpriced)?;
    ApiAnswer::ok(&balance)
}

fn balance(view: &AccountSnapshot<'_>, now: Timestamp) -> Result<BalanceView, Refusal> {
    let (state, runway) = (view.state(), runway(view)?);
    let shown = |instant: Option<Timestamp>| instant.map(|instant| instant.to_string());
    Ok(BalanceView {
        balance: state.balance().to_string(),
        available: state.available().to_string(),
        held: state.held().to_string(),
        currency: "usd",
        paid_through: shown(state.paid_through()),
        // Data that is kept during a suspension is owed.
        rate_per_hour: state.kept().map_or(runway.rate_per_hour, |kept| kept.rate).shown(),
        standing: state.standing.name(),
        frozen: !state.frozen.is_empty(),
        reason: start_block(state),
        owed: state.owed_at(now).to_string(),
        needed_to_resume: state.needed_to_resume(now).map(|needed| needed.to_string()),
        needed_to_start: missing_for_start(state, view.policy().start_credit_min, now)
            .map(|missing| missing.to_string()),
        restart: state.restart_policy.into(),
        runway: RunwayView { zero_at: shown(runway.zero_at), deleted_at: shown(runway.deleted_at) },
        grants: state
            .grants
            .iter()
            .filter(|grant| grant.remaining.is_positive())
            .map(shown_grant)
            .collect(),
    })
}

fn shown_grant(grant: &Grant) -> GrantView {
    GrantView {
        kind: grant.kind.name(),
        remaining: grant.remaining.to_string(),
        expires_at: grant.expires_at.to_string(),
        excludes: grant.excludes.iter().map(ToString::to_string).collect(),
    }
}
