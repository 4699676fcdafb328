//! `PUT /v1/admin/accounts/{account}/quotas`: how many resources and projects an account may have.

use serde::{Deserialize, Serialize};
use tollgate::domain::decide::check_reason;
use tollgate::domain::ids::AccountId;
use tollgate::domain::quotas::{AccountQuotas, QUOTA_MAX};
use tollgate::domain::refusal::Refusal;
use tollgate::http::call::ApiCall;
use tollgate::http::handler::{self, ApiAnswer, ApiError};
use tollgate::http::problem::{Problem, ProblemCode};
use tollgate::runtime::billing::Billing;
use tollgate::store::QuotaDecision;

/// A quota that is left out is the installation's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotasRequest {
    #[serde(default)]
    resources: Option<u32>,
    #[serde(default)]
    projects: Option<u32>,
    reason: String,
}

/// An account's quotas. Who set them, when and why is null for the installation's quotas.
#[derive(Debug, Serialize)]
pub(crate) struct QuotasView {
    resources: u32,
    projects: u32,
    set_by: Option<String>,
    set_at: Option<String>,
    reason: Option<String>,
}

impl QuotasView {
    pub(crate) async fn read(
        billing: &Billing,
        account: &AccountId,
    ) -> Result<QuotasView, ApiError> {
        let decided = billing.store.quota_decision(account).await?;
        Ok(decided.map_or_else(
            || QuotasView::of_installation(billing.settings.policy.quotas),
            QuotasView::from,
        ))
    }

    fn of_installation(quotas: AccountQuotas) -> QuotasView {
        let AccountQuotas { resources, projects } = quotas;
        QuotasView { resources, projects, set_by: None, set_at: None, reason: None }
    }
}

impl From<QuotaDecision> for QuotasView {
    fn from(decision: QuotaDecision) -> QuotasView {
        let QuotaDecision { quotas: AccountQuotas { resources, projects }, by, at, reason } =
            decision;
        QuotasView {
            resources,
            projects,
            set_by: Some(by),
            set_at: Some(at.to_string()),
            reason: Some(reason),
        }
    }
}

/// Handles `PUT …/quotas`. The request replaces both quotas. A quota below what the account has
/// removes nothing. It refuses what would be added.
pub(crate) async fn put(billing: &Billing, call: &ApiCall) -> Result<ApiAnswer, ApiError> {
    let QuotasRequest { resources, projects, reason } = call.json()?;
    let account: AccountId = call.path("account")?;
    for (name, quota) in [("resources", resources), ("projects", projects)] {
        if quota.is_some_and(|quota| quota > QUOTA_MAX) {
            let why = format!("{name}: must be at most {QUOTA_MAX}.");
            return Err(Problem::new(ProblemCode::InvalidBody, why).with("parameter", name).into());
        }
    }
    check_reason(&reason)?;
    if billing.store.head(&account).await?.is_none() {
        return Err(Refusal::AccountNotOpen.into());
    }
    let installation = billing.settings.policy.quotas;
    let quotas = AccountQuotas {
        resources: resources.unwrap_or(installation.resources),
        projects: projects.unwrap_or(installation.projects),
    };
    let by = call.caller()?.subject.to_string();
    // A repeated request must not undo what was decided since.
    handler::once_since(billing, &account, call, |at| {
        decide(billing, call, &account, QuotaDecision { quotas, by, at, reason })
    })
    .await
}

async fn decide(
    billing: &Billing,
    call: &ApiCall,
    account: &AccountId,
    decision: QuotaDecision,
) -> Result<ApiAnswer, ApiError> {
    billing.store.decide_quotas(account, &decision).await?;
    let (request_id, by, reason) = (&call.request_id, &decision.by, &decision.reason);
    tracing::info!(request_id, %account, by, reason, quotas = ?decision.quotas, "quotas");
    ApiAnswer::ok(&QuotasView::from(decision))
}
