//! `GET /v1/admin/accounts?query=`: finds accounts by an ID, or by the beginning of an e-mail address,
//! a name or a project. Reading them settles nothing.

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate::domain::ids::{AccountId, PaymentId, ResourceId};
use tollgate::domain::profile::{EmailAddress, NonEmptyText};
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{ApiAnswer, ApiError};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::store::{SearchField, StoreError};

use crate::payments::{PREFIXES, PaymentRow, place};

/// The most characters of a query.
const QUERY_CHARACTERS_MAX: usize = 255;
/// The most accounts of an answer.
const ACCOUNTS_MAX: usize = 20;

#[derive(Debug, Serialize)]
struct FoundAccountsView {
    items: Vec<FoundAccountView>,
    /// Whether more accounts match than these.
    more: bool,
}

#[derive(Debug, Serialize)]
struct FoundAccountView {
    account: String,
    email: Option<EmailAddress>,
    /// The name of the company.
    name: Option<NonEmptyText>,
    balance: String,
    standing: &'static str,
    frozen: bool,
    /// What matched: `account`, `email`, `name`, `project`, `resource`, `transaction` or `stripe`.
    matched: &'static str,
    /// The row of a transaction, or of a payment at Stripe.
    seq: Option<u64>,
}

/// Why an account is in the answer.
#[derive(Clone, Copy, Debug)]
struct MatchedBy {
    kind: &'static str,
    seq: Option<u64>,
}

/// Handles `GET /v1/admin/accounts`.
pub(crate) async fn search(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let query: String = call.query("query")?.unwrap_or_default();
    let query = query.trim();
    if query.is_empty() || query.chars().count() > QUERY_CHARACTERS_MAX {
        let why = format!("query: must have 1 to {QUERY_CHARACTERS_MAX} characters.");
        return Err(Problem::new(ProblemCode::InvalidParameter, why)
            .with("parameter", "query")
            .into());
    }
    let (found, more) = matches(billing, query).await?;
    let mut items = Vec::new();
    for (account, why) in found {
        items.extend(shown(billing, &account, why).await?);
    }
    ApiAnswer::ok(&FoundAccountsView { items, more })
}

/// The accounts that match, and whether there are more. An ID is of one account, and then nothing
/// else is searched.
async fn matches(
    billing: &Billing,
    query: &str,
) -> Result<(BTreeMap<AccountId, MatchedBy>, bool), ApiError> {
    if let Some(found) = by_id(billing, query).await? {
        return Ok((BTreeMap::from([found]), false));
    }
    let find = |field| billing.store.find_accounts(field, query, ACCOUNTS_MAX);
    let (emails, names, projects) = tokio::try_join!(
        find(SearchField::Email),
        find(SearchField::Name),
        find(SearchField::Project),
    )?;
    let (mut matched, mut more) = (BTreeMap::new(), false);
    for (kind, found) in [("email", emails), ("name", names), ("project", projects)] {
        more |= found.more;
        for account in found.accounts {
            let is_full = matched.len() >= ACCOUNTS_MAX && !matched.contains_key(&account);
            more |= is_full;
            if !is_full {
                matched.entry(account).or_insert(MatchedBy { kind, seq: None });
            }
        }
    }
    Ok((matched, more))
}

/// The account with this ID of an account, a transaction, a resource or an object at Stripe.
async fn by_id(billing: &Billing, id: &str) -> Result<Option<(AccountId, MatchedBy)>, ApiError> {
    if let Some((account, seq)) = id.rsplit_once('#') {
        let (Ok(account), Ok(seq)) = (account.parse(), seq.parse()) else { return Ok(None) };
        let found = billing.store.row_with_lines(&account, seq).await?;
        return Ok(
            found.map(|row| (account, MatchedBy { kind: "transaction", seq: Some(row.seq) }))
        );
    }
    if let Ok(payment) = id.parse::<PaymentId>()
        && PREFIXES.iter().any(|prefix| id.starts_with(prefix))
        && let Some(PaymentRow { account, seq }) = place(billing, &payment).await?
    {
        return Ok(Some((account, MatchedBy { kind: "stripe", seq: Some(seq) })));
    }
    if let Ok(account) = id.parse::<AccountId>()
        && billing.store.head(&account).await?.is_some()
    {
        return Ok(Some((account, MatchedBy { kind: "account", seq: None })));
    }
    let Ok(resource) = id.parse::<ResourceId>() else { return Ok(None) };
    let owner = billing.store.owner_of_resource(&resource).await?;
    Ok(owner.map(|account| (account, MatchedBy { kind: "resource", seq: None })))
}

async fn shown(
    billing: &Billing,
    account: &AccountId,
    MatchedBy { kind, seq }: MatchedBy,
) -> Result<Option<FoundAccountView>, StoreError> {
    let (head, profile) =
        tokio::try_join!(billing.store.head(account), billing.store.profile(account))?;
    Ok(head.map(|head| FoundAccountView {
        account: account.to_string(),
        email: profile.email,
        name: profile.company.name,
        balance: head.state.balance().to_string(),
        standing: head.state.standing.name(),
        frozen: !head.state.frozen.is_empty(),
        matched: kind,
        seq,
    }))
}
