//! `GET /v1/admin/payments/{id}`: the account and row of a Stripe ID, and the payment's status at
//! Stripe. Support uses it to find a payment.

use serde::Serialize;
use serde_json::{Map, Value};
use tollgate::domain::ids::{AccountId, PaymentId};
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::views::transaction::Transaction;

use crate::AdminClients;

/// The prefixes of Stripe IDs that can be looked up.
const PREFIXES: [&str; 9] = ["cs_", "pi_", "ch_", "in_", "cus_", "re_", "pyr_", "dp_", "du_"];

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

/// The account and row of an ID.
struct PaymentRow {
    account: AccountId,
    seq: u64,
}

/// Handles `GET /v1/admin/payments/{id}`.
pub(crate) async fn get(clients: &AdminClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let billing = &clients.billing;
    let id: PaymentId = call.path("id")?;
    if !PREFIXES.iter().any(|prefix| id.as_str().starts_with(prefix)) {
        return Err(unknown(&id).into());
    }
    let PaymentRow { account, seq } = place(billing, &id).await?;
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

/// Finds the account and row of a payment. The claim of a payment is written with its row. The
/// look-ups of its other IDs follow and may be missing for a moment.
async fn place(billing: &Billing, id: &PaymentId) -> Result<PaymentRow, ApiError> {
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
            return Ok(PaymentRow { account: claimed.account, seq: claimed.seq });
        }
    }
    if let Some(found) = billing.store.look_up(id.as_str()).await? {
        return Ok(PaymentRow { account: found.account, seq: found.seq });
    }
    // The payment credited nothing, so only the account is known. The answer has the account's
    // first row.
    let account = billing.store.owner(id.as_str()).await?.ok_or_else(|| unknown(id))?;
    Ok(PaymentRow { account, seq: 0 })
}

fn unknown(id: &PaymentId) -> Problem {
    Problem::new(ProblemCode::NotFound, format!("No record of {id} found."))
}
