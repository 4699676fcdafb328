//! `POST /v1/admin/accounts`: takes over customers from elsewhere, with their balances.
//!
//! Entries come as JSON or as CSV. All are checked before the first is imported, and a request imports
//! at most [`ENTRIES_PER_REQUEST`] of them, so that it ends in time. Each account is imported once:
//! repeating an entry changes nothing.

mod entry;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Serialize;
use tollgate::domain::account::AccountState;
use tollgate::domain::command::{Command, OpeningBalance};
use tollgate::domain::decide::check_import;
use tollgate::domain::event::{Cause, Change, Event, StaffChange, import_claim};
use tollgate::domain::ids::AccountId;
use tollgate::domain::money::Usd;
use tollgate::domain::prices::PriceList;
use tollgate::domain::refusal::Refusal;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError, OnAccount};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::store::Plan;

use entry::{ImportEntry, read_entries};

pub(crate) const ROUTE: &str = "POST /v1/admin/accounts";
/// The largest body: ten thousand entries of 400 bytes. Lambda takes 6 MB.
pub(crate) const BODY_BYTES_MAX: usize = 4_000_000;

/// The most entries of a body.
const ENTRIES_MAX: usize = 10_000;
/// The most entries that one request imports.
const ENTRIES_PER_REQUEST: usize = 100;
/// How many accounts are imported at the same time. More would only wait for DynamoDB.
const ACCOUNTS_AT_ONCE: usize = 8;
/// The most problems of an answer.
const PROBLEMS_MAX: usize = 100;

/// The answer. Numbers of entries begin at 1.
#[derive(Debug, Default, Serialize)]
struct ImportView {
    /// Whether nothing was written.
    dry_run: bool,
    /// How many entries the body has.
    entries: usize,
    /// The sum of the paid credit of all entries that can be used, in USD.
    credit: String,
    /// The sum of their bonuses, in USD.
    bonus: String,
    /// Accounts that this request opened.
    opened: usize,
    /// Accounts that were open before.
    credited: usize,
    /// Accounts that had been imported before, from the same entry.
    unchanged: usize,
    /// Entries that were not imported: at most [`PROBLEMS_MAX`].
    problems: Vec<EntryProblemView>,
    /// Whether more entries have problems than these.
    more_problems: bool,
    /// The entry to go on from. Null when all are done.
    next: Option<usize>,
}

#[derive(Debug, Serialize)]
struct EntryProblemView {
    entry: usize,
    /// Null if it cannot be read.
    account: Option<String>,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ImportOutcome {
    Opened,
    Credited,
    Unchanged,
}

/// The parameter `dry_run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ImportMode {
    /// Everything is checked, and nothing is written.
    DryRun,
    Import,
}

#[derive(Debug, thiserror::Error)]
#[error("must be true or false")]
struct ImportModeError;

impl std::str::FromStr for ImportMode {
    type Err = ImportModeError;

    fn from_str(text: &str) -> Result<ImportMode, ImportModeError> {
        match text {
            "true" => Ok(ImportMode::DryRun),
            "false" => Ok(ImportMode::Import),
            _ => Err(ImportModeError),
        }
    }
}

/// Handles the route.
pub(crate) async fn import(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    check_issuer(billing, call)?;
    let mode = call.query("dry_run")?.unwrap_or(ImportMode::Import);
    let from: usize = call.query("from")?.unwrap_or(1);
    let read = read_entries(call)?;
    let entries = read.len();
    if from == 0 || from > entries {
        return Err(invalid("from", &format!("from: must be 1 to {entries}.")).into());
    }
    let next = from.saturating_add(ENTRIES_PER_REQUEST);
    let dry_run = mode == ImportMode::DryRun;
    let mut view = ImportView { dry_run, entries, ..ImportView::default() };
    view.next = (next <= entries).then_some(next);

    let prices = billing.prices(call.now).await?;
    // The account is the key, so the row has none.
    let cause = Cause::Staff { by: call.caller()?.subject.clone(), request: None };
    let (mut usable, mut credit, mut bonus) = (Vec::new(), Usd::ZERO, Usd::ZERO);
    for (place, entry) in (1..).zip(read) {
        let account = entry.as_ref().ok().map(|entry| entry.sub.clone());
        let checked = entry.map_err(ApiError::from).and_then(|entry| {
            let opening = check_entry(billing, &prices, call, &entry)?;
            Ok((entry, opening))
        });
        match checked {
            Ok((entry, opening)) => {
                credit += opening.credit;
                bonus += opening.bonus.as_ref().map_or(Usd::ZERO, |bonus| bonus.amount);
                if (from..next).contains(&place) {
                    usable.push((place, entry, opening));
                }
            }
            Err(ApiError::Problem(problem)) if dry_run => {
                view.add_problem(place, account, problem);
            }
            Err(ApiError::Problem(problem)) => return Err(refused(place, &problem).into()),
            Err(failed) => return Err(failed),
        }
    }
    (view.credit, view.bonus) = (credit.to_string(), bonus.to_string());
    let cause = &cause;
    let done = stream::iter(usable).map(|(place, entry, opening)| async move {
        let on = OnAccount::imported(billing, call, &entry.sub);
        let done = Box::pin(import_one(billing, &on, cause, mode, &entry, &opening)).await;
        (place, entry.sub, done)
    });
    let done: Vec<_> = done.buffered(ACCOUNTS_AT_ONCE).collect().await;
    for (place, account, done) in done {
        match done {
            Ok(ImportOutcome::Opened) => view.opened += 1,
            Ok(ImportOutcome::Credited) => view.credited += 1,
            Ok(ImportOutcome::Unchanged) => view.unchanged += 1,
            Err(failed) => {
                let problem = handler::item(billing, call, failed);
                view.add_problem(place, Some(account), problem);
            }
        }
    }
    view.problems.sort_by_key(|problem| problem.entry);
    ApiAnswer::ok(&view)
}

impl ImportView {
    fn add_problem(&mut self, entry: usize, account: Option<AccountId>, problem: Problem) {
        if self.problems.len() == PROBLEMS_MAX {
            self.more_problems = true;
            return;
        }
        let account = account.map(|account| account.to_string());
        self.problems.push(EntryProblemView { entry, account, problem });
    }
}

/// An account is the `sub` of a token, so the entries must name subjects of the issuer whose tokens
/// are accepted here.
fn check_issuer(billing: &Billing, call: &ApiCall) -> Result<(), Problem> {
    let Some(expected) = &billing.settings.token_issuer else {
        let why = "The function's variable TOKEN_ISSUER is not set.";
        return Err(Problem::new(ProblemCode::Unavailable, why));
    };
    let issuer: Option<String> = call.query("issuer")?;
    match issuer {
        Some(issuer) if issuer == *expected => Ok(()),
        Some(_) => {
            let why = format!("issuer: must be {expected}, whose tokens are accepted here.");
            Err(invalid("issuer", &why))
        }
        None => {
            Err(invalid("issuer", "issuer: is required. The accounts are the sub of its tokens."))
        }
    }
}

fn invalid(parameter: &str, why: &str) -> Problem {
    Problem::new(ProblemCode::InvalidParameter, why).with("parameter", parameter)
}

fn refused(entry: usize, problem: &Problem) -> Problem {
    let why = format!(
        "Entry {entry}: {} This request imported nothing. A dry run shows all problems.",
        problem.detail()
    );
    Problem::new(ProblemCode::InvalidBody, why).with("entry", entry)
}

/// Checks an entry without its account, and whatever the time is: an entry that was imported in time
/// stays a good one. A failure that is no problem of the entry is one of all.
fn check_entry(
    billing: &Billing,
    prices: &PriceList,
    call: &ApiCall,
    entry: &ImportEntry,
) -> Result<OpeningBalance, ApiError> {
    let opening = entry.opening(prices)?;
    let nobody = AccountState::default();
    match check_import(&nobody, &opening, &billing.settings.policy, call.now) {
        Ok(()) | Err(Refusal::ExpiryPast { .. }) => Ok(opening),
        Err(refusal @ Refusal::ImportsNotYet) => Err(refusal.into()),
        Err(refusal) => Err(Problem::from(&refusal).into()),
    }
}

async fn import_one(
    billing: &Billing,
    on: &OnAccount<'_>,
    cause: &Cause,
    mode: ImportMode,
    entry: &ImportEntry,
    opening: &OpeningBalance,
) -> Result<ImportOutcome, ApiError> {
    let (store, account) = (&billing.store, on.account());
    let claim = import_claim(account);
    let (head, claimed) = tokio::try_join!(store.head(account), store.claim(&claim))?;
    let outcome = match (&claimed, &head) {
        (Some(_), _) => ImportOutcome::Unchanged,
        (None, Some(_)) => ImportOutcome::Credited,
        (None, None) => ImportOutcome::Opened,
    };
    if let Some(claimed) = claimed {
        check_same(&on.row(claimed.seq).await?.event, opening, claimed.seq)?;
    } else {
        // What is refused must not open the account. An open one is settled first.
        if mode == ImportMode::DryRun || head.is_none() {
            let state = head.map(|head| head.state).unwrap_or_default();
            check_import(&state, opening, &billing.settings.policy, on.now())?;
        }
        if mode == ImportMode::Import {
            let command = |_: &_| Ok(Command::Import(opening.clone()));
            let row = on.execute(cause.clone(), Plan::on_state(&command)).await?;
            check_same(&row.event, opening, row.seq)?;
        }
    }
    // Also if only the address was added to the entry, or its request was cut off before.
    if let Some(email) = entry.email.as_ref().filter(|_| mode == ImportMode::Import) {
        store.fill_email(account, email).await?;
    }
    Ok(outcome)
}

/// Checks that a row that imported the account did so from an entry with the same balance.
fn check_same(imported: &Event, opening: &OpeningBalance, seq: u64) -> Result<(), Refusal> {
    let OpeningBalance { credit, bonus, reference } = opening;
    let expected = StaffChange::Imported { credit: *credit, reference: reference.clone() };
    let is_bonus = match (imported.grants.as_slice(), bonus) {
        ([], None) => true,
        ([grant], Some(bonus)) => {
            (grant.amount, grant.expires_at) == (bonus.amount, bonus.ends_at())
                && grant.excludes == bonus.excludes
        }
        _ => false,
    };
    let is_same = imported.change == Change::Staff(expected) && is_bonus;
    if is_same { Ok(()) } else { Err(Refusal::ImportedOtherwise { seq }) }
}
