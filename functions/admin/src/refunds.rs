//! `POST /v1/admin/payments/{id}/refunds`: refunds a payment, in part or whole.

use serde::{Deserialize, Serialize};
use tollgate::domain::command::RefundTerms;
use tollgate::domain::ids::{AccountId, PaymentId};
use tollgate::domain::money::Usd;
use tollgate::domain::row::Row;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::payments::payments;
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::{RefundStep, RefundablePayment};
use tollgate::store::Plan;
use tollgate::views::transaction::Transaction;

use crate::{AdminClients, support};

/// The prefixes of Stripe IDs of payments.
const PREFIXES: [&str; 4] = ["pi_", "cs_", "ch_", "in_"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundRequest {
    /// Credit in USD, before tax. Missing: all that is left of the payment.
    amount: Option<Usd>,
    reason: String,
    #[serde(default)]
    allow_negative: bool,
}

#[derive(Debug, Serialize)]
struct RefundView {
    account: String,
    /// The refunded payment, `pi_…`.
    payment: String,
    /// `sent`, `failed`, or `pending` while Stripe has not answered.
    status: &'static str,
    /// The refund at Stripe. Null until Stripe accepts it.
    refund: Option<String>,
    /// Why it failed, or why it is pending.
    why: Option<String>,
    /// The row that took the credit.
    row: Transaction,
}

/// Handles the route. The credit is taken first. If Stripe does not answer, the refund stays
/// pending, and `auto-refill` drives it on.
pub(crate) async fn refund(clients: &AdminClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let RefundRequest { amount, reason, allow_negative } = call.json()?;
    call.require_key()?;
    let billing = &clients.billing;
    let id: PaymentId = call.path("id")?;
    if !PREFIXES.iter().any(|prefix| id.as_str().starts_with(prefix)) {
        let why = "id: must begin with pi_, cs_, ch_ or in_.";
        return Err(Problem::new(ProblemCode::InvalidParameter, why)
            .with("parameter", "id")
            .into());
    }
    let payments = payments(billing, &clients.stripe, call).await?;
    let Some(RefundablePayment { account, facts, payments: paid_by }) =
        payments.refundable(&id).await?
    else {
        let why = format!("Nothing was credited for {id}.");
        return Err(Problem::new(ProblemCode::NotFound, why).into());
    };
    let payment = match &*paid_by {
        [payment] => payment.clone(),
        [] => {
            let why = format!("{id} was not paid through Stripe, so it cannot be refunded there.");
            return Err(Problem::new(ProblemCode::Unusable, why).into());
        }
        several => {
            let ids: Vec<&str> = several.iter().map(PaymentId::as_str).collect();
            let why = format!("{id} was paid by several payments. Name one: {}.", ids.join(", "));
            return Err(Problem::new(ProblemCode::Unusable, why).into());
        }
    };
    let limits = support::limits(billing, call)?;
    if limits.is_some() && amount.is_none() {
        let why = "amount: is needed with the scope tollgate/support.";
        return Err(Problem::new(ProblemCode::InvalidBody, why).with("parameter", "amount").into());
    }
    let payment_max = limits.map(|limits| limits.payment_max);
    let may_leave_debt = allow_negative;
    let terms = RefundTerms { payment, amount, reason, may_leave_debt, payment_max };
    let on = OnAccount::named(billing, call, &account);
    let cause = call.staff_cause()?;
    let begin = async { Ok(on.execute(cause, Plan::begin_refund(&facts, &terms)).await?) };
    let moved = amount.unwrap_or(Usd::ZERO);
    let row = support::within_day(billing, call, &account, moved, begin).await?;
    let step = Box::pin(payments.carry_out_refund(&account, row.seq)).await?;
    answer(&on, &account, &terms.payment, &row, step).await
}

async fn answer(
    on: &OnAccount<'_>,
    account: &AccountId,
    payment: &PaymentId,
    row: &Row,
    step: RefundStep,
) -> Result<ApiAnswer, ApiError> {
    let (status, refund, why) = match step {
        RefundStep::Sent { refund, .. } => ("sent", Some(refund.to_string()), None),
        RefundStep::Failed { why, .. } => ("failed", None, Some(why)),
        RefundStep::Open { why, .. } => ("pending", None, Some(why)),
    };
    let view = RefundView {
        account: account.to_string(),
        payment: payment.to_string(),
        status,
        refund,
        why,
        row: on.transaction(row).await?,
    };
    Ok(ApiAnswer::created(&view)?.of_account(account).of_row(row.seq))
}
