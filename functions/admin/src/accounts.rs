//! `/v1/admin/accounts/{account}`: the account's state, the check of its chain, and changes by
//! staff.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tollgate::domain::account::{AccountState, Grant};
use tollgate::domain::command::{BonusGrant, Command};
use tollgate::domain::decide::check_reason;
use tollgate::domain::fund::Fund;
use tollgate::domain::holds::Hold;
use tollgate::domain::ids::{AccountId, Sku};
use tollgate::domain::money::Usd;
use tollgate::domain::policy::SupportLimits;
use tollgate::domain::profile::EmailAddress;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve;
use tollgate::domain::row::{ChainHead, Row};
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::http::payments::payments;
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::http::transactions;
use tollgate::payments::PaymentError;
use tollgate::payments::refill::RefillStep;
use tollgate::runtime::billing::Billing;
use tollgate::store::{ChainError, Plan};
use tollgate::views::budget::BudgetView;
use tollgate::views::transaction::Transaction;

use crate::quotas::QuotasView;
use crate::{AdminClients, support};

/// The reason, stored in the row. Customers read that of a bonus or correction among their
/// transactions, and all of them in an export.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasonRequest {
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BonusRequest {
    amount: Usd,
    /// A time in RFC 3339.
    expires_at: String,
    #[serde(default)]
    excludes: BTreeSet<Sku>,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CorrectionRequest {
    amount: Usd,
    reason: String,
}

/// The row that records a change, and the account after it.
#[derive(Debug, Serialize)]
struct ChangedView {
    account: String,
    seq: u64,
    at: String,
    #[serde(rename = "type")]
    kind: &'static str,
    amount: String,
    balance: String,
    standing: &'static str,
    frozen: bool,
}

/// An account as of its last row. Reading it settles nothing.
#[derive(Debug, Serialize)]
struct AccountView {
    account: String,
    email: Option<EmailAddress>,
    rows: u64,
    at: String,
    balance: String,
    /// The balance less what is held.
    available: String,
    held: String,
    holds: Vec<OpenHoldView>,
    paid_credit: String,
    /// What the next credit pays first.
    owed: String,
    /// Free credit, by number.
    grants: Vec<StaffGrantView>,
    /// Of its projects, in the current month.
    budgets: Vec<BudgetView>,
    standing: &'static str,
    frozen: bool,
    /// Whether the personal data of its customer was erased.
    erased: bool,
    paid_through: Option<String>,
    rate_per_hour: String,
    running: u64,
    idle: u32,
    meters: u32,
    pending_payments: usize,
    /// Refunds that Stripe has not answered.
    open_refunds: usize,
    /// The amount of one refill. Null while refills are off.
    auto_refill: Option<String>,
    quotas: QuotasView,
    head: String,
}

/// A hold that the last row left open.
#[derive(Debug, Serialize)]
struct OpenHoldView {
    id: String,
    held: String,
    expires_at: String,
}

/// Free credit, as the last row left it.
#[derive(Debug, Serialize)]
struct StaffGrantView {
    /// The number to withdraw it by.
    number: u32,
    /// `trial`, `bonus` or `commit`.
    kind: &'static str,
    amount: String,
    remaining: String,
    held: String,
    expires_at: String,
    excludes: Vec<String>,
}

/// A row for staff.
#[derive(Debug, Serialize)]
struct StaffTransactionView {
    /// As its customer reads it.
    row: Transaction,
    /// Who of the staff caused it: the `sub` of the token. Null for all other rows, and for those of
    /// formats before 6.
    by: Option<String>,
    /// Why, in their words.
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct AbandonedRefillView {
    account: String,
    attempt: u32,
    /// `abandoned`, or `credited` if the refill was paid after all.
    outcome: &'static str,
}

#[derive(Debug, Serialize)]
struct VerificationView {
    account: String,
    /// Whether all rows form a valid chain.
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    /// The hash of the last row, to compare with a copy stored elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    /// The error of the first invalid row.
    #[serde(skip_serializing_if = "Option::is_none")]
    wrong: Option<String>,
}

/// Handles `GET …`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let account: AccountId = call.path("account")?;
    let ChainHead { state, digest, .. } =
        billing.store.head(&account).await?.ok_or(Refusal::AccountNotOpen)?;
    let profile = billing.store.profile(&account).await?;
    let now = call.now.max(state.at);
    ApiAnswer::ok(&AccountView {
        account: account.to_string(),
        email: profile.email,
        rows: state.next_seq,
        at: state.at.to_string(),
        balance: state.balance().to_string(),
        available: state.available().to_string(),
        held: state.held().to_string(),
        holds: state.holds.iter().map(shown_hold).collect(),
        paid_credit: state.paid.to_string(),
        owed: state.owed.to_string(),
        grants: state.grants.iter().map(|grant| shown_grant(&state, grant)).collect(),
        budgets: state.budgets.iter().map(|budget| BudgetView::of(budget, now)).collect(),
        standing: state.standing.name(),
        frozen: !state.frozen.is_empty(),
        erased: state.erased,
        paid_through: state.paid_through().map(|through| through.to_string()),
        rate_per_hour: state.billed.rate.shown(),
        running: state.billed.running_count(),
        idle: state.billed.idle,
        meters: state.meters,
        pending_payments: state.pending.len(),
        open_refunds: state.open_refunds.len(),
        auto_refill: state.refill.agreement.map(|agreed| agreed.amount.to_string()),
        quotas: QuotasView::read(billing, &account).await?,
        head: digest.as_str().to_owned(),
    })
}

fn shown_hold(hold: &Hold) -> OpenHoldView {
    OpenHoldView {
        id: hold.id.to_string(),
        held: hold.amount().to_string(),
        expires_at: hold.expires_at.to_string(),
    }
}

fn shown_grant(state: &AccountState, grant: &Grant) -> StaffGrantView {
    StaffGrantView {
        number: grant.number,
        kind: grant.kind.name(),
        amount: grant.amount.to_string(),
        remaining: grant.remaining.to_string(),
        held: state.held_of(Fund::Grant(grant.number)).to_string(),
        expires_at: grant.expires_at.to_string(),
        excludes: grant.excludes.iter().map(ToString::to_string).collect(),
    }
}

/// Handles `GET …/transactions`: the account's rows, newest first, as its customer asks for them.
/// Reading them settles nothing.
pub(crate) async fn transactions(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let account: AccountId = call.path("account")?;
    let on = OnAccount::named(billing, call, &account);
    let show = |row: &Row, shown| StaffTransactionView {
        row: shown,
        by: row.event.cause.staff().map(ToString::to_string),
        reason: row.event.reason().map(str::to_owned),
    };
    ApiAnswer::ok(&transactions::page(&on, call, &transactions::OF_JSON, show).await?)
}

/// Handles `GET …/verify`: checks the whole chain.
pub(crate) async fn verify(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let account: AccountId = call.path("account")?;
    let shown = |verified, rows, head, wrong| VerificationView {
        account: account.to_string(),
        verified,
        rows,
        head,
        wrong,
    };
    match billing.store.verify(&account).await {
        Ok(chain) if chain.rows == 0 => Err(Refusal::AccountNotOpen.into()),
        Ok(chain) => {
            let head = chain.head.digest.as_str().to_owned();
            ApiAnswer::ok(&shown(true, Some(chain.rows), Some(head), None))
        }
        Err(ChainError::Wrong(fault)) => {
            tracing::error!(alarm = "chain_broken", %account, %fault);
            ApiAnswer::ok(&shown(false, None, None, Some(fault.to_string())))
        }
        Err(ChainError::Unread(fault)) => Err(fault.into()),
    }
}

/// Handles `POST …/bonus`.
pub(crate) async fn bonus(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let BonusRequest { amount, expires_at, excludes, reason } = call.json()?;
    let expires_at: Timestamp = expires_at.parse().map_err(|error| {
        Problem::new(ProblemCode::InvalidBody, format!("expires_at: {error}."))
            .with("parameter", "expires_at")
    })?;
    call.require_key()?;
    if let Some(SupportLimits { payment_max: max, .. }) = support::limits(billing, call)?
        && amount > max
    {
        return Err(Refusal::SupportBonusLimit { max }.into());
    }
    let bonus = BonusGrant { amount, expires_at, excludes };
    let grant =
        |_: &AccountState| Ok(Command::Grant { bonus: bonus.clone(), reason: reason.clone() });
    let account: AccountId = call.path("account")?;
    support::within_day(billing, call, &account, amount, on_state(billing, call, grant)).await
}

/// Handles `POST …/correction`.
pub(crate) async fn correction(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let CorrectionRequest { amount, reason } = call.json()?;
    call.require_key()?;
    on_state(billing, call, |_| Ok(Command::Correct { amount, reason: reason.clone() })).await
}

/// Handles `POST …/grants/{number}/withdraw`: takes back what is left of a bonus.
pub(crate) async fn withdraw(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let ReasonRequest { reason } = call.json()?;
    call.require_key()?;
    let number: u32 = call.path("number")?;
    on_state(billing, call, |_| Ok(Command::WithdrawGrant { number, reason: reason.clone() })).await
}

/// Handles `POST …/freeze`.
pub(crate) async fn freeze(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let ReasonRequest { reason } = call.json()?;
    on_state(billing, call, |_| Ok(Command::Freeze { reason: reason.clone() })).await
}

/// Handles `POST …/unfreeze`.
pub(crate) async fn unfreeze(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let ReasonRequest { reason } = call.json()?;
    on_state(billing, call, |_| Ok(Command::Unfreeze { reason: reason.clone() })).await
}

/// Handles `POST …/close`. Payment pages that are open end with the account.
pub(crate) async fn close(clients: &AdminClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let ReasonRequest { reason } = call.json()?;
    let close = |_: &AccountState| Ok(Command::Close { reason: reason.clone() });
    let closed = on_state(&clients.billing, call, close).await?;
    end_payables(clients, call).await?;
    Ok(closed)
}

/// Ends what could still be paid: whoever pays afterwards could not use the credit. Pages end by
/// themselves within the hour, so the account is closed even if Stripe does not answer.
async fn end_payables(clients: &AdminClients, call: &ApiCall) -> Result<(), ApiError> {
    let account: AccountId = call.path("account")?;
    if clients.billing.store.staff_invoices(&account).await?.iter().any(|one| !one.is_over) {
        let payments = payments(&clients.billing, &clients.stripe, call).await?;
        match Box::pin(payments.end_invoices(&account, &call.caller()?.subject)).await {
            Ok(false) => {}
            Ok(true) => tracing::warn!(%account, "an invoice of a closed account is being paid"),
            Err(error) => {
                tracing::warn!(%account, %error, "an invoice of a closed account stays open");
            }
        }
    }
    for page in clients.billing.store.unpaid_pages(&account).await?.pages {
        let Some(session) = page.session else { continue };
        let payments = payments(&clients.billing, &clients.stripe, call).await?;
        if let Err(error) = payments.end_page(&session).await {
            tracing::warn!(%account, session, %error, "a payment page of a closed account stays open");
        }
    }
    Ok(())
}

/// Handles `POST …/suspend`.
pub(crate) async fn suspend(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let ReasonRequest { reason } = call.json()?;
    on_view(billing, call, |view| resolve::suspend(view, &reason)).await
}

/// Handles `POST …/resume`.
pub(crate) async fn resume(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    // The row of a resumption has no field for the reason. The reason is still required, and
    // logged.
    let reason = reason(call)?;
    let answer =
        on_view(billing, call, |view| resolve::resume(view, call.now.max(view.state().at))).await?;
    tracing::info!(request_id = call.request_id, reason, "resumed");
    Ok(answer)
}

/// Handles `POST …/reopen`: opens a closed account again.
pub(crate) async fn reopen(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let reason = reason(call)?;
    let command = |view: &AccountSnapshot<'_>| {
        resolve::reopen(view, reason.clone(), call.now.max(view.state().at))
    };
    on_view(billing, call, command).await
}

/// Handles `POST …/erase`: erases the personal data of a closed account's customer. The row comes
/// first, so the account stays closed; whoever repeats a request that failed finishes it.
pub(crate) async fn erase(clients: &AdminClients, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let reason = reason(call)?;
    let (account, billing): (AccountId, _) = (call.path("account")?, &clients.billing);
    let erase = |_: &AccountState| Ok(Command::Erase { reason: reason.clone() });
    let erased = on_state(billing, call, erase).await?;
    end_payables(clients, call).await?;
    billing.store.begin_erasure(&account).await?;
    if let Some(customer) = billing.store.customer_profile(&account).await?.customer {
        let payments = payments(billing, &clients.stripe, call).await?;
        payments.delete_customer(&customer).await.map_err(PaymentError::from)?;
    }
    billing.store.erase(&account).await?;
    Ok(erased)
}

/// Handles `POST …/refill/abandon`: ends a refill that is stuck. Its invoice is made void first.
pub(crate) async fn abandon_refill(
    clients: &AdminClients,
    call: &ApiCall,
) -> Result<ApiAnswer, ApiError> {
    let reason = reason(call)?;
    let account: AccountId = call.path("account")?;
    handler::once(&clients.billing, &account, call, async {
        let payments = payments(&clients.billing, &clients.stripe, call).await?;
        let by = call.caller()?.subject.clone();
        let (attempt, outcome) = match Box::pin(payments.abandon(&account, by, &reason)).await? {
            RefillStep::Failed { attempt, .. } => (attempt, "abandoned"),
            RefillStep::Charged { attempt } => (attempt, "credited"),
            RefillStep::Open { attempt, .. }
            | RefillStep::Stuck { attempt, .. }
            | RefillStep::NeedsCustomer { attempt } => return Err(still_open(attempt).into()),
            RefillStep::NoCustomer | RefillStep::Waits { .. } => {
                return Err(Refusal::AccountNotOpen.into());
            }
        };
        ApiAnswer::ok(&AbandonedRefillView { account: account.to_string(), attempt, outcome })
    })
    .await
}

fn still_open(attempt: u32) -> Problem {
    let why = format!("Stripe is still processing refill attempt {attempt}. Try again later.");
    Problem::new(ProblemCode::Conflict, why)
}

fn reason(call: &ApiCall) -> Result<String, ApiError> {
    let ReasonRequest { reason } = call.json()?;
    Ok(check_reason(&reason)?)
}

/// Staff changes to money and standing work even if the price list lacks a running resource's SKU.
async fn on_state(
    billing: &Billing,
    call: &ApiCall,
    command: impl Fn(&AccountState) -> Result<Command, Refusal> + Sync,
) -> Result<ApiAnswer, ApiError> {
    let account: AccountId = call.path("account")?;
    let on = OnAccount::named(billing, call, &account);
    changed(&account, &on.execute(call.staff_cause()?, Plan::on_state(&command)).await?)
}

async fn on_view(
    billing: &Billing,
    call: &ApiCall,
    command: impl Fn(&AccountSnapshot<'_>) -> Result<Command, Refusal> + Sync,
) -> Result<ApiAnswer, ApiError> {
    let account: AccountId = call.path("account")?;
    let on = OnAccount::named(billing, call, &account);
    changed(&account, &on.execute(call.staff_cause()?, Plan::on_snapshot(&command)).await?)
}

fn changed(account: &AccountId, row: &Row) -> Result<ApiAnswer, ApiError> {
    let (event, state) = (&row.event, &row.state);
    let answer = ApiAnswer::ok(&ChangedView {
        account: account.to_string(),
        seq: row.seq,
        at: event.at.to_string(),
        kind: event.change.name(),
        amount: event.amount().to_string(),
        balance: state.balance().to_string(),
        standing: state.standing.name(),
        frozen: !state.frozen.is_empty(),
    })?;
    Ok(answer.of_row(row.seq))
}
