//! Quotas that staff set for an account: item `account#A` / `quotas`, with `resources`, `projects`,
//! and who set them, when and why: `by`, `at`, `reason`.

use aws_sdk_dynamodb::types::Update;

use super::item::{malformed, number, number_of, parsed, text};
use super::{Store, StoreError};
use crate::domain::ids::AccountId;
use crate::domain::quotas::AccountQuotas;
use crate::domain::timestamp::Timestamp;

pub(super) const QUOTAS: &str = "quotas";

/// The quotas that staff set for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaDecision {
    pub quotas: AccountQuotas,
    /// The subject of the token of whoever decided.
    pub by: String,
    pub at: Timestamp,
    pub reason: String,
}

impl Store {
    /// What staff decided. `None` if the installation's quotas apply. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn quota_decision(
        &self,
        account: &AccountId,
    ) -> Result<Option<QuotaDecision>, StoreError> {
        let Some(item) = self.account_item(account, QUOTAS).await? else { return Ok(None) };
        let wrong = malformed(format!("the quotas of {account}"));
        let at = number_of::<i64>(&item, "at").map_err(&wrong)?;
        Ok(Some(QuotaDecision {
            quotas: AccountQuotas {
                resources: number_of(&item, "resources").map_err(&wrong)?,
                projects: number_of(&item, "projects").map_err(&wrong)?,
            },
            by: parsed(&item, "by").map_err(&wrong)?,
            at: Timestamp::from_seconds(at).map_err(|error| wrong(error.to_string()))?,
            reason: parsed(&item, "reason").map_err(&wrong)?,
        }))
    }

    /// Replaces what staff decided before.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn decide_quotas(
        &self,
        account: &AccountId,
        decision: &QuotaDecision,
    ) -> Result<(), StoreError> {
        let QuotaDecision { quotas, by, at, reason } = decision;
        let update = Update::builder()
            .update_expression(
                "SET resources = :resources, projects = :projects, #by = :by, #at = :at, \
                 reason = :reason",
            )
            .expression_attribute_names("#by", "by")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":resources", number(quotas.resources))
            .expression_attribute_values(":projects", number(quotas.projects))
            .expression_attribute_values(":by", text(by))
            .expression_attribute_values(":at", number(at.seconds()))
            .expression_attribute_values(":reason", text(reason));
        self.update_account_item(account, QUOTAS, update).await.map(drop)
    }
}
