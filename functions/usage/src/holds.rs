//! `/v1/holds`: credit that is set aside before it is used. The platform holds a dollar, serves calls
//! from it, and captures what they cost.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tollgate::domain::account::AccountState;
use tollgate::domain::command::{CapturedUsage, Command};
use tollgate::domain::event::{Change, HoldChange, MeterLine};
use tollgate::domain::holds::{HOLD_LINES_MAX, HOLD_SECONDS, HOLD_SECONDS_MAX, Hold, HoldId};
use tollgate::domain::ids::{ProjectId, Sku};
use tollgate::domain::money::{REPORT_COST_MAX, ReportedQuantity, Usd};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::OwnedProject;
use tollgate::domain::row::Row;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;
use tollgate::domain::usage::UsageLabels;
use tollgate::http::call::{ApiCall, PLATFORM_SCOPE};
use tollgate::http::handler::{ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::store::{CommandError, Plan, RowOrder};

use crate::priced;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldRequest {
    project: ProjectId,
    skus: BTreeSet<Sku>,
    amount: Usd,
    #[serde(default = "usual_seconds")]
    expires_in: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtendRequest {
    #[serde(default = "usual_seconds")]
    expires_in: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureRequest {
    #[serde(default)]
    usage: Vec<UsedQuantity>,
    #[serde(default = "yes", rename = "final")]
    is_last: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsedQuantity {
    sku: Sku,
    quantity: ReportedQuantity,
    #[serde(default)]
    labels: UsageLabels,
}

fn usual_seconds() -> i64 {
    HOLD_SECONDS
}

fn yes() -> bool {
    true
}

#[derive(Debug, Serialize)]
struct HoldView {
    id: String,
    /// `open`, `captured`, `released` or `expired`.
    status: &'static str,
    project: String,
    skus: Vec<String>,
    /// What was set aside at first, in USD.
    amount: String,
    /// What is still set aside, in USD.
    held: String,
    /// RFC 3339, in UTC. Null once it has ended.
    expires_at: Option<String>,
    #[serde(flatten)]
    credit: CreditView,
}

#[derive(Debug, Serialize)]
struct CaptureView {
    id: String,
    /// `open` after a capture that was not the last, else `captured`.
    status: &'static str,
    /// What this capture billed, in USD.
    captured: String,
    lines: Vec<CapturedLine>,
    /// What is still set aside, in USD.
    held: String,
    #[serde(flatten)]
    credit: CreditView,
}

#[derive(Debug, Serialize)]
struct CapturedLine {
    sku: String,
    quantity: String,
    /// USD per unit.
    rate: String,
    amount: String,
}

/// The credit of the account after it, in USD.
#[derive(Debug, Serialize)]
struct CreditView {
    balance: String,
    available: String,
}

impl CreditView {
    fn of(state: &AccountState) -> CreditView {
        let (balance, available) = (state.balance().to_string(), state.available().to_string());
        CreditView { balance, available }
    }
}

/// A hold as it was made.
struct MadeHold {
    id: HoldId,
    project: ProjectId,
    skus: BTreeSet<Sku>,
    amount: Usd,
}

impl MadeHold {
    fn of(row: &Row) -> Option<MadeHold> {
        let Change::Hold(HoldChange::Held { project, skus, shares, .. }) = &row.event.change else {
            return None;
        };
        Some(MadeHold {
            id: HoldId::of_row(row.seq),
            project: project.clone(),
            skus: skus.clone(),
            amount: shares.iter().map(|share| share.amount).sum(),
        })
    }

    /// As it is in this state, or as it ended if it is not open. What has expired is not, written or
    /// not.
    fn shown(&self, state: &AccountState, ended: HoldEnd, now: Timestamp) -> HoldView {
        let is_known = state.hold(self.id).is_some();
        let state = &*state.without_expired_holds(now);
        let open = state.hold(self.id);
        HoldView {
            id: self.id.to_string(),
            status: match open {
                Some(_) => "open",
                None if is_known => HoldEnd::Expired.name(),
                None => ended.name(),
            },
            project: self.project.to_string(),
            skus: self.skus.iter().map(ToString::to_string).collect(),
            amount: self.amount.to_string(),
            held: open.map_or(Usd::ZERO, Hold::amount).to_string(),
            expires_at: open.map(|hold| hold.expires_at.to_string()),
            credit: CreditView::of(state),
        }
    }
}

/// Handles `POST /v1/holds`.
pub(crate) async fn create(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller_with(PLATFORM_SCOPE)?;
    let HoldRequest { project, skus, amount, expires_in } = call.json()?;
    if skus.is_empty() || skus.len() > HOLD_LINES_MAX {
        return Err(invalid("skus", &format!("must have 1 to {HOLD_LINES_MAX} SKUs")).into());
    }
    check_seconds(expires_in)?;
    let on = OnAccount::of_caller(billing, call)?;
    let hour = call.now.hour().start();
    let (owned, rates) = tokio::join!(
        billing.store.project(on.account(), &project),
        priced::rates(billing, skus.iter(), hour, call.now),
    );
    let owned: Option<OwnedProject> = owned?;
    if owned.is_none() {
        on.ensure_open().await?;
        return Err(Refusal::UnknownProject { project }.into());
    }
    rates?;
    let command = |_: &AccountSnapshot<'_>| {
        let (project, skus) = (project.clone(), skus.clone());
        Ok(Command::Hold { project, skus, amount, seconds: expires_in })
    };
    // What is due must be known to have been paid before anything is set aside.
    let row = on.execute(call.cause(), Plan::on_snapshot(&command)).await?;
    let made = MadeHold::of(&row).ok_or(Refusal::KeyReused)?;
    let shown = made.shown(&row.state, HoldEnd::Released, row.event.at);
    Ok(ApiAnswer::created(&shown)?.of_row(row.seq))
}

/// Handles `GET /v1/holds/{hold}`.
pub(crate) async fn get(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller_with(PLATFORM_SCOPE)?;
    let on = OnAccount::of_caller(billing, call)?;
    let made = made(billing, call, &on).await?;
    let (end, state) = end_and_state(billing, &on, &made).await?;
    ApiAnswer::ok(&made.shown(&state, end, call.now))
}

/// Handles `POST /v1/holds/{hold}/extend`.
pub(crate) async fn extend(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller_with(PLATFORM_SCOPE)?;
    let ExtendRequest { expires_in } = call.json()?;
    check_seconds(expires_in)?;
    let on = OnAccount::of_caller(billing, call)?;
    let made = made(billing, call, &on).await?;
    let command = |_: &AccountSnapshot<'_>| {
        let (hold, skus) = (made.id, made.skus.clone());
        Ok(Command::ExtendHold { hold, skus, seconds: expires_in })
    };
    let row = on.execute(call.cause(), Plan::on_snapshot(&command)).await?;
    let shown = made.shown(&row.state, HoldEnd::Released, row.event.at);
    Ok(ApiAnswer::ok(&shown)?.of_row(row.seq))
}

/// Handles `POST /v1/holds/{hold}/release`. A hold that ended without its capture stays as it is.
pub(crate) async fn release(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller_with(PLATFORM_SCOPE)?;
    call.no_body()?;
    let on = OnAccount::of_caller(billing, call)?;
    let made = made(billing, call, &on).await?;
    let command = |_: &AccountState| Ok(Command::ReleaseHold { hold: made.id });
    let (end, answer) = match on.execute(call.cause(), Plan::on_state(&command)).await {
        Ok(row) => {
            let end = end_by(&on, &made, &row).await?;
            let shown = made.shown(&row.state, end, row.event.at);
            (end, ApiAnswer::ok(&shown)?.of_row(row.seq))
        }
        Err(CommandError::Refused(Refusal::HoldEnded { .. })) => {
            let (end, state) = end_and_state(billing, &on, &made).await?;
            (end, ApiAnswer::ok(&made.shown(&state, end, call.now))?)
        }
        Err(failure) => return Err(failure.into()),
    };
    match end {
        HoldEnd::Captured => Err(Refusal::HoldEnded { hold: made.id }.into()),
        HoldEnd::Released | HoldEnd::Expired => Ok(answer),
    }
}

/// Handles `POST /v1/holds/{hold}/capture`.
pub(crate) async fn capture(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    call.caller_with(PLATFORM_SCOPE)?;
    let request: CaptureRequest = call.json()?;
    check_lines(&request)?;
    let CaptureRequest { usage, is_last } = request;
    if !is_last {
        // Only the last capture is known by its hold.
        call.require_key()?;
    }
    let on = OnAccount::of_caller(billing, call)?;
    let made = made(billing, call, &on).await?;
    let usage = captured(billing, call, &made, usage).await?;
    let hold = made.id;
    let command =
        |_: &AccountState| Ok(Command::CaptureHold { hold, usage: usage.clone(), is_last });
    match on.execute(call.cause(), Plan::on_state(&command)).await {
        Ok(row) if is_capture(&row) => shown_capture(&made, &row),
        Ok(_) | Err(CommandError::Refused(Refusal::HoldEnded { .. })) => {
            capture_ended(billing, call, &on, &made, &usage).await
        }
        Err(failure) => Err(failure.into()),
    }
}

/// A hold that was captured answers its last capture. One that was released or has expired takes
/// one capture more.
async fn capture_ended(
    billing: &Billing,
    call: &ApiCall,
    on: &OnAccount<'_>,
    made: &MadeHold,
    usage: &[CapturedUsage],
) -> Result<ApiAnswer, ApiError> {
    let mut ended = end_row(billing, on, made).await?;
    loop {
        if let Some(row) = ended.as_ref().filter(|row| is_capture(row)) {
            return shown_capture(made, row);
        }
        // A hold ends with its account, without a row of its own. Should its last capture be just
        // becoming visible, the claim of that row stops this one.
        let ends = ended.is_none();
        let command = |_: &AccountState| {
            let (hold, usage) = (made.id, usage.to_vec());
            Ok(Command::CaptureLate { hold, usage, ends })
        };
        let row = on.execute(call.cause(), Plan::on_state(&command)).await?;
        if is_capture(&row) {
            return shown_capture(made, &row);
        }
        ended = Some(row);
    }
}

/// The row that ended the hold, if it has one.
async fn end_row(
    billing: &Billing,
    on: &OnAccount<'_>,
    made: &MadeHold,
) -> Result<Option<Row>, ApiError> {
    match billing.store.claim(&made.id.end_claim(on.account())).await? {
        Some(claimed) => Ok(Some(on.row(claimed.seq).await?)),
        None => Ok(None),
    }
}

/// How the hold ended, if it did, and the account as it stands.
async fn end_and_state(
    billing: &Billing,
    on: &OnAccount<'_>,
    made: &MadeHold,
) -> Result<(HoldEnd, AccountState), ApiError> {
    let head = billing.store.head(on.account()).await?.ok_or(Refusal::AccountNotOpen)?;
    let ended = match head.state.hold(made.id) {
        Some(_) => None,
        None => end_row(billing, on, made).await?,
    };
    let end = match &ended {
        Some(row) => end_by(on, made, row).await?,
        None => HoldEnd::Released,
    };
    Ok((end, head.state))
}

/// How the hold ended, by the row that ended it.
async fn end_by(on: &OnAccount<'_>, made: &MadeHold, row: &Row) -> Result<HoldEnd, ApiError> {
    // The row that closes or erases an account ends its holds, too.
    let Change::Hold(change) = &row.event.change else { return Ok(HoldEnd::Released) };
    Ok(match change {
        HoldChange::HoldCaptured { .. } => HoldEnd::Captured,
        HoldChange::HoldExpired { .. } => HoldEnd::Expired,
        // No row had ended the hold. If the account still had it, its time was over.
        HoldChange::CapturedLate { .. } => {
            let before = on.row(row.seq.saturating_sub(1)).await?;
            let had_it = before.state.hold(made.id).is_some();
            if had_it { HoldEnd::Expired } else { HoldEnd::Released }
        }
        HoldChange::HoldReleased { .. }
        | HoldChange::Held { .. }
        | HoldChange::HoldExtended { .. } => HoldEnd::Released,
    })
}

/// The hold in the path, as it was made.
async fn made(billing: &Billing, call: &ApiCall, on: &OnAccount<'_>) -> Result<MadeHold, ApiError> {
    let id: HoldId = call.path("hold")?;
    let seqs = id.seq()..id.seq().saturating_add(1);
    let rows = billing.store.rows(on.account(), seqs, RowOrder::OldestFirst, 1).await?.rows;
    let made = rows.first().and_then(MadeHold::of);
    made.ok_or_else(|| Refusal::UnknownHold { hold: id }.into())
}

async fn captured(
    billing: &Billing,
    call: &ApiCall,
    made: &MadeHold,
    usage: Vec<UsedQuantity>,
) -> Result<Vec<CapturedUsage>, ApiError> {
    if let Some(other) = usage.iter().find(|used| !made.skus.contains(&used.sku)) {
        let refusal = Refusal::SkuNotHeld { hold: made.id, sku: other.sku.clone() };
        return Err(refusal.into());
    }
    let (hour, skus) = (call.now.hour().start(), usage.iter().map(|used| &used.sku));
    let rates = priced::rates(billing, skus, hour, call.now).await?;
    let mut captured = Vec::with_capacity(usage.len());
    for (number, (UsedQuantity { sku, quantity, labels }, rate)) in
        usage.into_iter().zip(rates).enumerate()
    {
        let (quantity, project) = (quantity.into(), made.project.clone());
        if quantity > rate.reportable() {
            let (field, most) = (format!("usage[{number}].quantity"), rate.reportable());
            let why =
                format!("{field}: one entry may bill at most {most} units and ${REPORT_COST_MAX}.");
            return Err(Problem::new(ProblemCode::Unusable, why).with("parameter", field).into());
        }
        captured.push(CapturedUsage { project, sku, labels, quantity, rate });
    }
    Ok(captured)
}

fn shown_capture(made: &MadeHold, row: &Row) -> Result<ApiAnswer, ApiError> {
    let open = row.state.hold(made.id);
    let lines: &[MeterLine] =
        if let Change::Hold(change) = &row.event.change { change.lines() } else { &[] };
    let view = CaptureView {
        id: made.id.to_string(),
        status: if open.is_some() { "open" } else { "captured" },
        captured: (-row.event.amount()).to_string(),
        lines: lines.iter().map(shown_line).collect(),
        held: open.map_or(Usd::ZERO, Hold::amount).to_string(),
        credit: CreditView::of(&row.state),
    };
    Ok(ApiAnswer::ok(&view)?.of_row(row.seq))
}

fn shown_line(line: &MeterLine) -> CapturedLine {
    CapturedLine {
        sku: line.sku.to_string(),
        quantity: line.to.to_string(),
        rate: line.rate.shown(),
        amount: (-line.amount).to_string(),
    }
}

fn is_capture(row: &Row) -> bool {
    matches!(
        row.event.change,
        Change::Hold(HoldChange::HoldCaptured { .. } | HoldChange::CapturedLate { .. })
    )
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HoldEnd {
    Captured,
    /// Also with its account.
    Released,
    Expired,
}

impl HoldEnd {
    fn name(self) -> &'static str {
        match self {
            HoldEnd::Captured => "captured",
            HoldEnd::Released => "released",
            HoldEnd::Expired => "expired",
        }
    }
}

fn check_seconds(seconds: i64) -> Result<(), Problem> {
    if (1..=HOLD_SECONDS_MAX).contains(&seconds) {
        return Ok(());
    }
    Err(invalid("expires_in", &format!("must be 1 to {HOLD_SECONDS_MAX} seconds")))
}

fn check_lines(CaptureRequest { usage, is_last }: &CaptureRequest) -> Result<(), Problem> {
    if usage.len() > HOLD_LINES_MAX {
        return Err(invalid("usage", &format!("must have at most {HOLD_LINES_MAX} entries")));
    }
    if usage.is_empty() && !*is_last {
        return Err(invalid("usage", "must not be empty unless final is true"));
    }
    Ok(())
}

fn invalid(field: &str, why: &str) -> Problem {
    Problem::new(ProblemCode::InvalidBody, format!("{field}: {why}.")).with("parameter", field)
}
