//! `GET /v1/platform/resources`: what should run. The platform compares it with what does, and
//! acts.
//!
//! It walks the index of accounts that have something billable, shard by shard. An account that is
//! not in it has nothing that runs; `account` asks for one, wherever it is (a suspension's event
//! names the account alone).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use tollgate::domain::account::Standing;
use tollgate::domain::ids::AccountId;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resources::ResourceCondition;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;
use tollgate::http::call::{ApiCall, PLATFORM_SCOPE};
use tollgate::http::handler::{ApiAnswer, ApiError};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::{Billing, Visit};
use tollgate::store::{CommandError, IndexShard, StoreError};

use crate::paging::limit;
use crate::shown::{address_name, state_name};

/// A page ends after so many resources, however few accounts they belong to: at 150 bytes each 1.5
/// MB, and Lambda answers at most 6 MB (docs.aws.amazon.com, "Lambda quotas"); one account more may
/// follow with 10,000 of its own.
const RESOURCES_PER_PAGE: usize = 10_000;
/// A page ends after so many accounts were looked at, however few of them changed since: about two
/// seconds of reads.
const ACCOUNTS_PER_PAGE: usize = 400;

#[derive(Debug, Serialize)]
struct PlatformView {
    items: Vec<PlatformAccountView>,
    /// Accounts that could not be read: ask for them again, one by one.
    failed: Vec<String>,
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct PlatformAccountView {
    account: String,
    /// Its last row: what an event with an older one says is outdated.
    seq: u64,
    standing: &'static str,
    resources: Vec<PlatformResourceView>,
}

#[derive(Debug, Serialize)]
struct PlatformResourceView {
    id: String,
    project: String,
    sku: String,
    state: &'static str,
    address: &'static str,
}

/// Where a walk goes on: in this shard, after this account.
struct PlatformCursor {
    shard: IndexShard,
    after: Option<AccountId>,
}

/// Handles `GET /v1/platform/resources`.
pub(crate) async fn what_should_run(
    billing: &Billing,
    call: &ApiCall,
) -> Result<ApiAnswer, ApiError> {
    call.caller_with(PLATFORM_SCOPE)?;
    let since: Option<Timestamp> = call.query("since")?;
    if let Some(account) = call.query::<AccountId>("account")? {
        let found = read(billing, &account, call.now).await?.ok_or(Refusal::AccountNotOpen)?;
        return ApiAnswer::ok(&PlatformView {
            items: vec![found.shown],
            failed: Vec::new(),
            next: None,
        });
    }
    let accounts_max = usize::try_from(limit(call)?).unwrap_or(usize::MAX);
    let mut place = PlatformCursor::of(call)?;
    let mut shown = PlatformView { items: Vec::new(), failed: Vec::new(), next: None };
    let (mut looked_at, mut resources) = (0, 0);
    while let Some(current) = place.take() {
        let page = billing.store.billable(current.shard, current.after.as_ref(), 50).await?;
        let mut last = None;
        for account in page.accounts {
            if shown.items.len() >= accounts_max
                || looked_at >= ACCOUNTS_PER_PAGE
                || resources >= RESOURCES_PER_PAGE
            {
                let after = last.or(current.after);
                shown.next = Some(PlatformCursor { shard: current.shard, after }.to_string());
                return ApiAnswer::ok(&shown);
            }
            looked_at += 1;
            match read(billing, &account, call.now).await {
                Ok(Some(found)) if since.is_none_or(|since| found.at >= since) => {
                    resources += found.shown.resources.len();
                    shown.items.push(found.shown);
                }
                Ok(_) => {}
                Err(cause) => {
                    tracing::error!(%account, %cause, "cannot be read");
                    shown.failed.push(account.to_string());
                }
            }
            last = Some(account);
        }
        place = PlatformCursor::following(current.shard, page.next);
    }
    ApiAnswer::ok(&shown)
}

impl PlatformCursor {
    /// Where the call's cursor says, by default at the first shard.
    fn of(call: &ApiCall) -> Result<Option<PlatformCursor>, Problem> {
        match call.query.get("cursor") {
            Some(cursor) => PlatformCursor::parse(cursor),
            None => Ok(PlatformCursor::first()),
        }
    }

    fn first() -> Option<PlatformCursor> {
        IndexShard::new(0).map(|shard| PlatformCursor { shard, after: None })
    }

    /// After a page of a shard: the shard's next page or the next shard. None at the end.
    fn following(shard: IndexShard, next: Option<AccountId>) -> Option<PlatformCursor> {
        if let Some(after) = next {
            return Some(PlatformCursor { shard, after: Some(after) });
        }
        IndexShard::new(shard.number() + 1).map(|shard| PlatformCursor { shard, after: None })
    }

    fn parse(cursor: &str) -> Result<Option<PlatformCursor>, Problem> {
        let wrong = || {
            Problem::new(
                ProblemCode::InvalidParameter,
                "cursor: must come from an earlier page of this list.",
            )
            .with("parameter", "cursor")
        };
        let decoded =
            URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(wrong)?;
        let (shard, after) = decoded.split_once('#').ok_or_else(wrong)?;
        let shard = shard.parse().ok().and_then(IndexShard::new).ok_or_else(wrong)?;
        let after = if after.is_empty() { None } else { Some(after.parse().map_err(|_| wrong())?) };
        Ok(Some(PlatformCursor { shard, after }))
    }
}

impl std::fmt::Display for PlatformCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let after = self.after.as_ref().map_or("", AccountId::as_str);
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("{}#{after}", self.shard.number())))
    }
}

/// An account's last row's time, and what should run.
struct FoundAccount {
    at: Timestamp,
    shown: PlatformAccountView,
}

/// `None` if the account does not exist.
async fn read(
    billing: &Billing,
    account: &AccountId,
    now: Timestamp,
) -> Result<Option<FoundAccount>, StoreError> {
    let see = |view: &AccountSnapshot<'_>| FoundAccount { at: view.state().at, shown: shown(view) };
    match billing.look(Visit::of(account, now), see).await {
        Ok(found) => Ok(Some(found)),
        Err(CommandError::Refused(_not_open)) => Ok(None),
        Err(CommandError::Fault(fault)) => Err(fault),
    }
}

fn shown(view: &AccountSnapshot<'_>) -> PlatformAccountView {
    let state = view.state();
    let resources = view
        .billables()
        .resources
        .values()
        .filter(|resource| resource.condition(state) != ResourceCondition::Purged);
    let resources = resources.map(|resource| PlatformResourceView {
        id: resource.id.to_string(),
        project: resource.project.to_string(),
        sku: resource.sku.to_string(),
        state: state_name(resource.condition(state)),
        address: address_name(resource.address),
    });
    PlatformAccountView {
        account: view.account().to_string(),
        seq: state.next_seq.saturating_sub(1),
        standing: Standing::name(&state.standing),
        resources: resources.collect(),
    }
}
