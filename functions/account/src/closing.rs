//! `GET /v1/account/closing` and `DELETE /v1/account`: what a customer loses by closing the account,
//! and the closing itself.

use serde::{Deserialize, Serialize};
use tollgate::domain::command::Command;
use tollgate::domain::decide::{ClosingObstacle, check_closable};
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::{resources_left, resources_restorable};
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::payments::deletion::Clearance;
use tollgate::runtime::billing::Billing;
use tollgate::store::Plan;

use crate::AccountClients;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClosingRequest {
    /// The balance that the customer was shown.
    balance: Usd,
}

#[derive(Debug, Serialize)]
struct ClosingView {
    can_close: bool,
    /// Why not: `resources`, `refill`, `payment`, `frozen`, `suspended` or `closed`.
    why: Option<&'static str>,
    /// How many resources must be deleted first.
    resources: usize,
    /// How many deleted resources can no longer be restored afterwards.
    restorable: usize,
    /// The credit that can no longer be used, in USD.
    balance: String,
    auto_refill: bool,
}

#[derive(Debug, Serialize)]
struct ClosedView {
    closed: bool,
}

/// Handles `GET /v1/account/closing`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let on = OnAccount::of_caller(billing, call)?;
    ApiAnswer::ok(&on.look(|view| shown(view, call.now)).await?)
}

/// Handles `DELETE /v1/account`. Only the customer closes the account here. The platform does not, and
/// staff have a route of their own.
pub(crate) async fn close(clients: &AccountClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller()?.require_in_person("close the account")?;
    let body: ClosingRequest = call.json()?;
    let on = OnAccount::of_caller(&clients.billing, call)?;
    let is_closable = |view: &AccountSnapshot<'_>| {
        check_closable(view.state(), resources_left(view)).is_ok()
            && view.state().balance() == body.balance
    };
    // Whoever pays afterwards could not use the credit. What was paid is credited, which changes the
    // balance.
    if on.look(is_closable).await? {
        let payments = clients.payments(call).await?;
        if let Clearance::UnderWay(why) = Box::pin(payments.no_payment_comes(on.account())).await? {
            tracing::info!(account = %on.account(), why, "the account stays open");
            return Err(Refusal::PaymentPending.into());
        }
        let by = &call.caller()?.subject;
        if Box::pin(payments.end_invoices(on.account(), by)).await? {
            return Err(Refusal::PaymentPending.into());
        }
    }
    let close = |view: &AccountSnapshot<'_>| {
        Ok(Command::CloseByCustomer { shown: body.balance, resources: resources_left(view) })
    };
    let row = on.execute(call.cause(), Plan::on_snapshot(&close)).await?;
    Ok(ApiAnswer::ok(&ClosedView { closed: true })?.of_row(row.seq))
}

fn shown(view: &AccountSnapshot<'_>, now: Timestamp) -> ClosingView {
    let (state, resources) = (view.state(), resources_left(view));
    let why = check_closable(state, resources).err().map(|obstacle| match obstacle {
        ClosingObstacle::AlreadyClosed => "closed",
        ClosingObstacle::Frozen => "frozen",
        ClosingObstacle::SuspendedByStaff => "suspended",
        ClosingObstacle::Resources(_) => "resources",
        ClosingObstacle::Payment => "payment",
        ClosingObstacle::Refill(_) => "refill",
    });
    ClosingView {
        can_close: why.is_none(),
        why,
        resources,
        restorable: resources_restorable(view, now),
        balance: state.balance().to_string(),
        auto_refill: state.refill.agreement.is_some(),
    }
}
