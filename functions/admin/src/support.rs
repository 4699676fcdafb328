//! What the scope `tollgate/support` may do: look up, recover, and move money within limits.

use tollgate::domain::ids::AccountId;
use tollgate::domain::money::Usd;
use tollgate::domain::policy::SupportLimits;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::timestamp::DAY;
use tollgate::http::call::{ADMIN_SCOPE, ApiCall, SUPPORT_SCOPE};
use tollgate::http::handler::ApiError;
use tollgate::http::problem::Problem;
use tollgate::runtime::billing::Billing;
use tollgate::store::{CommandError, Counted, RequestCounter};

/// The template names the same routes.
const ROUTES: [&str; 8] = [
    "GET /v1/admin/payments/{id}",
    "POST /v1/admin/payments/{id}/recover",
    "POST /v1/admin/payments/{id}/refunds",
    "GET /v1/admin/accounts",
    "GET /v1/admin/accounts/{account}",
    "GET /v1/admin/accounts/{account}/transactions",
    "GET /v1/admin/accounts/{account}/verify",
    "POST /v1/admin/accounts/{account}/bonus",
];

/// Whether the caller has the scope, and it is enough for the route.
pub(crate) fn may(call: &ApiCall) -> Result<bool, Problem> {
    Ok(call.caller()?.has(SUPPORT_SCOPE) && ROUTES.contains(&call.route.as_str()))
}

/// The limits of the caller. `None` with `tollgate/admin`.
pub(crate) fn limits(billing: &Billing, call: &ApiCall) -> Result<Option<SupportLimits>, Problem> {
    let is_limited = !call.caller()?.has(ADMIN_SCOPE);
    Ok(is_limited.then_some(billing.settings.policy.support))
}

/// Does what moves an amount on an account, if that is within the caller's limit of the day. A
/// request that was carried out before is answered and counts once. A request that fails before its
/// row may leave an amount counted that did not move.
pub(crate) async fn within_day<T>(
    billing: &Billing,
    call: &ApiCall,
    account: &AccountId,
    amount: Usd,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let Some(SupportLimits { day_max, .. }) = limits(billing, call)? else { return work.await };
    let store = &billing.store;
    if let Some(key) = call.request_key()
        && store.answering_row(account, &key, call.now).await?.is_some()
    {
        return work.await;
    }
    let counter = RequestCounter::Support(&call.caller()?.subject);
    // An amount that is no number of cents is refused by the work itself.
    let by = cents(amount.or_zero().up_to_cents());
    match store.count_by(counter, DAY, by, cents(day_max), call.now).await? {
        Counted::Within => {}
        Counted::Full { .. } => return Err(Refusal::SupportDayLimit { max: day_max }.into()),
    }
    let done = work.await;
    if let Err(ApiError::Failure(failure)) = &done
        && matches!(**failure, CommandError::Refused(_))
    {
        store.uncount(counter, DAY, by, call.now).await?;
    }
    done
}

fn cents(amount: Usd) -> u32 {
    amount.to_cents().ok().and_then(|cents| u32::try_from(cents).ok()).unwrap_or(u32::MAX)
}
