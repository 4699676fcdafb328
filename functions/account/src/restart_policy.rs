//! `PUT /v1/account/restart-policy`: whether resources restart when a suspension ends.

use serde::{Deserialize, Serialize};
use tollgate::domain::account::{AccountState, RestartPolicy};
use tollgate::domain::command::Command;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::runtime::billing::Billing;
use tollgate::store::Plan;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RestartPolicyBody {
    restart: RestartChoice,
}

/// What happens to resources that were stopped by a suspension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RestartChoice {
    /// They stay stopped until somebody starts them.
    Manual,
    /// They restart, oldest start first, as far as the credit reaches.
    InOrder,
}

impl From<RestartChoice> for RestartPolicy {
    fn from(choice: RestartChoice) -> RestartPolicy {
        match choice {
            RestartChoice::Manual => RestartPolicy::StayOff,
            RestartChoice::InOrder => RestartPolicy::InOrder,
        }
    }
}

impl From<RestartPolicy> for RestartChoice {
    fn from(policy: RestartPolicy) -> RestartChoice {
        match policy {
            RestartPolicy::StayOff => RestartChoice::Manual,
            RestartPolicy::InOrder => RestartChoice::InOrder,
        }
    }
}

/// Handles `PUT /v1/account/restart-policy`. A choice that is in force already has no row, unless the
/// request has an `Idempotency-Key`, which only a row records.
pub(crate) async fn put(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let body: RestartPolicyBody = call.json()?;
    let policy = RestartPolicy::from(body.restart);
    let on = OnAccount::of_caller(billing, call)?;
    let in_force = on.look(|view| view.state().restart_policy).await?;
    if in_force != policy || call.require_key().is_ok() {
        let choose = |_: &AccountState| Ok(Command::ChooseRestartPolicy(policy));
        on.execute(call.cause(), Plan::on_state(&choose)).await?;
    }
    ApiAnswer::ok(&body)
}
