//! Payments by their Stripe IDs. `GET /v1/admin/payments/{id}` finds account and row, and the
//! payment's status at Stripe. `POST …/recover` records a payment whose events never came.

use serde::Serialize;
use serde_json::{Map, Value};
use tollgate::domain::event::{Change, PaymentChange};
use tollgate::domain::ids::{AccountId, PaymentId};
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::payments::payments;
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::payments::{PaymentError, RecoveredPayment, Recovery};
use tollgate::runtime::billing::Billing;
use tollgate::store::{ExistingClaim, RowOrder, StoreError};
use tollgate::views::transaction::Transaction;

use crate::AdminClients;

/// The prefixes of Stripe IDs that can be looked up.
pub(crate) const PREFIXES: [&str; 9] =
    ["cs_", "pi_", "ch_", "in_", "cus_", "re_", "pyr_", "dp_", "du_"];

/// The prefixes of Stripe IDs that can be recovered.
const RECOVERED: [&str; 3] = ["cs_", "pi_", "in_"];

/// A payment in the ledger and at Stripe.
#[derive(Debug, Serialize)]
struct PaymentView {
    id: String,
    account: String,
    row: Transaction,
    /// The object at Stripe. Null if it does not exist or Stripe did not respond.
    stripe: Option<Map<String, Value>>,
    /// The error from Stripe. The ledger's part of the answer is still valid.
    stripe_error: Option<String>,
}

/// What a recovery found.
#[derive(Debug, Serialize)]
struct RecoveryView {
    id: String,
    /// `credited`, `already_credited`, `pending` or `unpaid`.
    outcome: &'static str,
    /// Stripe's status of a payment that is not paid.
    stripe_status: Option<String>,
    account: Option<String>,
    /// The row that credited it.
    row: Option<Transaction>,
    /// How many of its refunds and disputes were recorded now.
    recorded_now: u32,
    /// Why others could not be recorded.
    not_recorded: Vec<String>,
}

/// The account and row of an ID.
pub(crate) struct PaymentRow {
    pub(crate) account: AccountId,
    pub(crate) seq: u64,
}

/// Handles `GET /v1/admin/payments/{id}`.
pub(crate) async fn get(clients: &AdminClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let billing = &clients.billing;
    let id: PaymentId = call.path("id")?;
    if !PREFIXES.iter().any(|prefix| id.as_str().starts_with(prefix)) {
        return Err(unknown(&id).into());
    }
    let found = place(billing, &id).await?;
    let PaymentRow { account, seq } = found.ok_or_else(|| unknown(&id))?;
    let on = OnAccount::named(billing, call, &account);
    let row = on.transaction(&on.row(seq).await?).await?;
    let said = match clients.stripe.get().await {
        Ok(stripe) => stripe.inspect(&id).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let (stripe, stripe_error) = match said {
        Ok(said) => (said, None),
        Err(error) => {
            tracing::warn!(request_id = call.request_id, %id, error, "Stripe could not be asked");
            (None, Some(error))
        }
    };
    let shown =
        PaymentView { id: id.to_string(), account: account.to_string(), row, stripe, stripe_error };
    Ok(ApiAnswer::ok(&shown)?.of_row(seq))
}

/// Handles `POST /v1/admin/payments/{id}/recover`. Only money that Stripe received is credited, and
/// only once: a recovery takes the claims of the events that never came.
pub(crate) async fn recover(clients: &AdminClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.no_body()?;
    let billing = &clients.billing;
    let id: PaymentId = call.path("id")?;
    if !RECOVERED.iter().any(|prefix| id.as_str().starts_with(prefix)) {
        let why = "id: must begin with cs_, pi_ or in_.";
        return Err(Problem::new(ProblemCode::InvalidParameter, why)
            .with("parameter", "id")
            .into());
    }
    let payments = payments(billing, &clients.stripe, call).await?;
    let recovery = payments.recover(&id).await.map_err(|failure| match failure {
        PaymentError::Mismatch { .. } | PaymentError::UnknownCustomer { .. } => {
            Problem::new(ProblemCode::Unusable, format!("Not credited: {failure}.")).into()
        }
        PaymentError::Fault(_) | PaymentError::Refused(_) | PaymentError::Stripe(_) => {
            ApiError::from(failure)
        }
    })?;
    let mut view = RecoveryView {
        id: id.to_string(),
        outcome: "unpaid",
        stripe_status: None,
        account: None,
        row: None,
        recorded_now: 0,
        not_recorded: Vec::new(),
    };
    match recovery {
        Recovery::Credited(recovered) => {
            let RecoveredPayment { account, seq, is_new, recorded_now, not_recorded } = recovered;
            let on = OnAccount::named(billing, call, &account);
            view.row = Some(on.transaction(&on.row(seq).await?).await?);
            view.outcome = if is_new { "credited" } else { "already_credited" };
            (view.recorded_now, view.not_recorded) = (recorded_now, not_recorded);
            view.account = Some(account.to_string());
            return Ok(ApiAnswer::ok(&view)?.of_account(&account).of_row(seq));
        }
        Recovery::Pending { account } => {
            (view.outcome, view.account) = ("pending", Some(account.to_string()));
        }
        Recovery::Unpaid { status } => view.stripe_status = Some(status),
        Recovery::Unknown => {
            let why = format!("Stripe has no payment of this installation with the ID {id}.");
            return Err(Problem::new(ProblemCode::NotFound, why).into());
        }
    }
    ApiAnswer::ok(&view)
}

/// Finds the account and row of a payment. The claim of a payment is written with its row. The
/// look-ups of its other IDs follow and may be missing for a moment.
pub(crate) async fn place(
    billing: &Billing,
    id: &PaymentId,
) -> Result<Option<PaymentRow>, StoreError> {
    let claims = match id.as_str().split('_').next() {
        Some("pi") => vec![format!("stripe#{id}#credit"), format!("stripe#{id}#pending")],
        Some("re" | "pyr") => vec![format!("stripe#{id}#debit")],
        Some("dp" | "du") => {
            ["opened", "debit", "changed", "moved"].map(|step| format!("stripe#{id}#{step}")).into()
        }
        Some(_) | None => Vec::new(),
    };
    for claim in claims {
        if let Some(claimed) = billing.store.claim(&claim).await? {
            return Ok(Some(match claimed.key.strip_suffix("#debit") {
                Some(_) => taking_row(billing, claimed).await?,
                None => PaymentRow { account: claimed.account, seq: claimed.seq },
            }));
        }
    }
    if let Some(found) = billing.store.look_up(id.as_str()).await? {
        return Ok(Some(PaymentRow { account: found.account, seq: found.seq }));
    }
    // The payment credited nothing, so only the account is known. The answer has the account's
    // first row.
    let owner = billing.store.owner(id.as_str()).await?;
    Ok(owner.map(|account| PaymentRow { account, seq: 0 }))
}

/// The row that took the credit of a refund. For one by staff it is before the claim's.
async fn taking_row(billing: &Billing, claimed: ExistingClaim) -> Result<PaymentRow, StoreError> {
    let ExistingClaim { account, seq, .. } = claimed;
    let page = billing.store.rows(&account, seq..seq + 1, RowOrder::OldestFirst, 1).await?;
    let sent = page.rows.into_iter().next().map(|row| row.event.change);
    let Some(Change::Payment(PaymentChange::RefundSent { number, .. })) = sent else {
        return Ok(PaymentRow { account, seq });
    };
    Ok(PaymentRow { account, seq: number })
}

fn unknown(id: &PaymentId) -> Problem {
    Problem::new(ProblemCode::NotFound, format!("No record of {id} found."))
}
