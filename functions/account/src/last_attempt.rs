//! The outcome of the last refill attempt, in plain words.
//!
//! The state has the open attempt and the times of the last failure and success. The row at that
//! time has the details, so a few reads suffice for any length of history.

use serde::Serialize;
use tollgate::domain::account::AccountState;
use tollgate::domain::event::{Change, CreditKind, PaymentChange, RefillChange, RefillDecline};
use tollgate::domain::ids::AccountId;
use tollgate::domain::money::Usd;
use tollgate::domain::row::Row;
use tollgate::domain::timestamp::{DAY, Timestamp};
use tollgate::payments::decline::{DeclineButton, DeclineText, told, told_not_charged};
use tollgate::runtime::billing::Billing;
use tollgate::store::{RowOrder, StoreError};

/// Stripe's decline code for an attempt that the customer must confirm.
const UNCONFIRMED: &str = "authentication_required";
/// The maximum number of reads per request: the rows of one day, even if they are large.
const READS_MAX: u32 = 30;

/// The outcome of the last refill attempt.
#[derive(Debug, Serialize)]
pub(crate) struct LastAttemptView {
    number: u32,
    /// The start of an open attempt, or the end of a finished one.
    at: String,
    amount: String,
    /// `open`, `paid`, `failed` or `needs_customer`.
    outcome: &'static str,
    /// Our class of decline. Null unless the charge was declined or canceled.
    code: Option<&'static str>,
    message: Option<&'static str>,
    action: Option<AttemptAction>,
}

#[derive(Debug, Serialize)]
struct AttemptAction {
    kind: &'static str,
    label: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl AttemptAction {
    fn of(button: DeclineButton, url: Option<String>) -> AttemptAction {
        AttemptAction { kind: button.kind(), label: button.label(), url }
    }
}

/// The last attempt according to this state. `confirm_url` is the page where its customer can
/// confirm it.
pub(crate) async fn last_attempt(
    billing: &Billing,
    account: &AccountId,
    state: &AccountState,
    confirm_url: Option<String>,
) -> Result<Option<LastAttemptView>, StoreError> {
    if let Some(open) = &state.refill.attempt {
        let asked = open.void_at.map(|_| told(UNCONFIRMED));
        return Ok(Some(LastAttemptView {
            number: open.number,
            at: open.begun_at.to_string(),
            amount: open.amount.to_string(),
            outcome: if asked.is_some() { "needs_customer" } else { "open" },
            code: asked.map(|told| told.class),
            message: asked.map(|told| told.sentence),
            action: asked.map(|told| AttemptAction::of(told.button, confirm_url)),
        }));
    }
    if state.refill.attempts_so_far == 0 {
        return Ok(None);
    }
    if let Some(failed) = failed(billing, account, state).await? {
        return Ok(Some(failed));
    }
    paid(billing, account, state).await
}

async fn failed(
    billing: &Billing,
    account: &AccountId,
    state: &AccountState,
) -> Result<Option<LastAttemptView>, StoreError> {
    let Some(failed_at) = state.refill.failed_at else { return Ok(None) };
    let rows =
        rows_of(billing, account, state, failed_at, failed_at.plus(1), "refill_failed").await?;
    for row in rows {
        let Change::Refill(RefillChange::RefillFailed { attempt, decline, code, .. }) =
            &row.event.change
        else {
            continue;
        };
        if *attempt != state.refill.attempts_so_far {
            continue;
        }
        let told = match decline {
            RefillDecline::Never | RefillDecline::Later => told(code),
            RefillDecline::NotCharged | RefillDecline::CalledOff => told_not_charged(code),
        };
        let amount = amount_before(billing, account, &row).await?;
        return Ok(Some(ended(&row, *attempt, amount, "failed", Some(told))));
    }
    Ok(None)
}

async fn paid(
    billing: &Billing,
    account: &AccountId,
    state: &AccountState,
) -> Result<Option<LastAttemptView>, StoreError> {
    let day = Timestamp::default().plus(i64::from(state.refill.today.0) * DAY);
    let rows = rows_of(billing, account, state, day, day.next_day(), "auto_refill").await?;
    for row in rows {
        let Change::Payment(PaymentChange::Credited {
            kind: CreditKind::Refill { attempt, .. },
            credit,
            ..
        }) = &row.event.change
        else {
            continue;
        };
        if *attempt == state.refill.attempts_so_far {
            let mut paid = ended(&row, *attempt, *credit, "paid", None);
            paid.action = state
                .refill
                .is_capped(state.at)
                .then(|| AttemptAction::of(DeclineButton::RaiseCap, None));
            return Ok(Some(paid));
        }
    }
    Ok(None)
}

/// The rows of a type in a time range, newest first, up to the last row of the state.
async fn rows_of(
    billing: &Billing,
    account: &AccountId,
    state: &AccountState,
    from: Timestamp,
    until: Timestamp,
    kind: &str,
) -> Result<Vec<Row>, StoreError> {
    let numbers = billing.store.numbers_between(account, from, until).await?;
    let numbers = numbers.start..numbers.end.min(state.next_seq);
    let found = billing
        .store
        .rows_of_types(account, numbers, RowOrder::NewestFirst, &[kind], u32::MAX, READS_MAX)
        .await?;
    Ok(found.rows)
}

/// The amount of the attempt that a row ended. The row before still has it open.
async fn amount_before(
    billing: &Billing,
    account: &AccountId,
    row: &Row,
) -> Result<Usd, StoreError> {
    let before = row.seq.saturating_sub(1)..row.seq;
    let page = billing.store.rows(account, before, RowOrder::OldestFirst, 1).await?;
    let open = page.rows.into_iter().next().and_then(|row| row.state.refill.attempt);
    Ok(open.map(|open| open.amount).unwrap_or_default())
}

fn ended(
    row: &Row,
    number: u32,
    amount: Usd,
    outcome: &'static str,
    told: Option<DeclineText>,
) -> LastAttemptView {
    LastAttemptView {
        number,
        at: row.event.at.to_string(),
        amount: amount.to_string(),
        outcome,
        code: told.map(|told| told.class),
        message: told.map(|told| told.sentence),
        action: told.map(|told| AttemptAction::of(told.button, None)),
    }
}
