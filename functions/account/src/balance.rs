//! `GET /v1/balance`: what there is, what it goes for, and how long it lasts. The account is
//! settled first, so that what is shown is true now.

use serde::Serialize;
use tollgate::domain::account::{Grant, GrantKind};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::settle::runway::runway;
use tollgate::domain::snapshot::View;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::Call;
use tollgate::http::handler::{Answer, Failed, OnAccount};
use tollgate::runtime::billing::Billing;
use tollgate::store::Fault;

#[derive(Debug, Serialize)]
struct Balance {
    balance: String,
    currency: &'static str,
    /// Null while nothing is billed by time.
    paid_through: Option<String>,
    rate_per_hour: String,
    standing: &'static str,
    frozen: bool,
    runway: ShownRunway,
    grants: Vec<ShownGrant>,
}

/// Null: not in sight.
#[derive(Debug, Serialize)]
struct ShownRunway {
    zero_at: Option<String>,
    deleted_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShownGrant {
    kind: &'static str,
    remaining: String,
    expires_at: String,
    excludes: Vec<String>,
}

/// `GET /v1/balance`.
pub(crate) async fn get(billing: &Billing, call: &Call) -> Result<Answer, Failed> {
    let on = OnAccount::of_caller(billing, call)?;
    let balance = on.look(balance).await?.map_err(Fault::Unpriced)?;
    Answer::ok(&balance)
}

fn balance(view: &View<'_>) -> Result<Balance, Refusal> {
    let (state, runway) = (view.state(), runway(view)?);
    let shown = |instant: Option<Timestamp>| instant.map(|instant| instant.to_string());
    Ok(Balance {
        balance: state.balance().to_string(),
        currency: "usd",
        paid_through: shown(state.paid_through()),
        rate_per_hour: runway.rate_per_hour.shown(),
        standing: state.standing.name(),
        frozen: !state.frozen.is_empty(),
        runway: ShownRunway {
            zero_at: shown(runway.zero_at),
            deleted_at: shown(runway.deleted_at),
        },
        grants: state
            .grants
            .iter()
            .filter(|grant| grant.remaining.is_positive())
            .map(shown_grant)
            .collect(),
    })
}

fn shown_grant(grant: &Grant) -> ShownGrant {
    ShownGrant {
        kind: match grant.kind {
            GrantKind::Trial => "trial",
            GrantKind::Bonus => "bonus",
            GrantKind::Commit => "commit",
        },
        remaining: grant.remaining.to_string(),
        expires_at: grant.expires_at.to_string(),
        excludes: grant.excludes.iter().map(ToString::to_string).collect(),
    }
}
