//! The commit plans that staff offer. Each version is an item `commit-offers` / `version#…`, which is put
//! once and stays: `version`, `offers`, and who set them, when and why: `by`, `at`, `reason`.

use super::accounts::RecordOutcome;
use super::item::{StoredItem, item, malformed, number, number_of, parsed, text, text_of};
use super::{Store, StoreError};
use crate::domain::plans::CommitOffer;
use crate::domain::timestamp::Timestamp;

const COMMIT_OFFERS: &str = "commit-offers";

/// A version of the offers, and who set them, when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferDecision {
    /// Goes up by one with every change. 1 of the first.
    pub version: u64,
    pub offers: Vec<CommitOffer>,
    /// The subject of the token of the member of staff.
    pub by: String,
    pub at: Timestamp,
    pub reason: String,
}

impl Store {
    /// The current offers. `None` if staff never set any. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn commit_offers(&self) -> Result<Option<OfferDecision>, StoreError> {
        let read = self
            .client
            .query()
            .table_name(&self.tables.accounts)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(COMMIT_OFFERS))
            .scan_index_forward(false)
            .limit(1)
            .consistent_read(true)
            .send()
            .await;
        let read = read.map_err(|error| StoreError::of("Query", &error))?;
        let newest = read.items.unwrap_or_default().pop();
        newest.as_ref().map(decision).transpose().map_err(malformed("the commit offers"))
    }

    /// An earlier version of the offers, or the current one. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn commit_offers_of(
        &self,
        version: u64,
    ) -> Result<Option<OfferDecision>, StoreError> {
        let read = self.read_of(COMMIT_OFFERS, &sort_key(version)).send().await;
        let read = read.map_err(|error| StoreError::of("GetItem", &error))?;
        read.item.as_ref().map(decision).transpose().map_err(malformed("the commit offers"))
    }

    /// Sets the offers if `version - 1` is the current version. [`RecordOutcome::Existing`] if another
    /// change came first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn decide_commit_offers(
        &self,
        decision: &OfferDecision,
    ) -> Result<RecordOutcome, StoreError> {
        let OfferDecision { version, offers, by, at, reason } = decision;
        let current = self.commit_offers().await?;
        let current = current.map_or(0, |current| current.version);
        if current >= *version || current + 1 < *version {
            // Ours, if the answer to a request before was lost.
            return self.is_stored(decision).await;
        }
        let list = serde_json::to_string(offers);
        let list =
            list.map_err(|error| StoreError::Rejected { call: "PutItem", why: error.to_string() })?;
        let new = item([
            ("pk", text(COMMIT_OFFERS)),
            ("sk", text(sort_key(*version))),
            ("version", number(version)),
            ("offers", text(list)),
            ("by", text(by)),
            ("at", number(at.seconds())),
            ("reason", text(reason)),
        ]);
        match self.put_new(new).await? {
            RecordOutcome::New => Ok(RecordOutcome::New),
            RecordOutcome::Existing => self.is_stored(decision).await,
        }
    }

    async fn is_stored(&self, decision: &OfferDecision) -> Result<RecordOutcome, StoreError> {
        let stored = self.commit_offers_of(decision.version).await?;
        let is_ours = stored.as_ref() == Some(decision);
        Ok(if is_ours { RecordOutcome::New } else { RecordOutcome::Existing })
    }
}

/// In the order of the versions.
fn sort_key(version: u64) -> String {
    format!("version#{version:020}")
}

fn decision(item: &StoredItem) -> Result<OfferDecision, String> {
    let at = Timestamp::from_seconds(number_of(item, "at")?).map_err(|error| error.to_string())?;
    Ok(OfferDecision {
        version: number_of(item, "version")?,
        offers: serde_json::from_str(text_of(item, "offers")?)
            .map_err(|error| format!("offers: {error}"))?,
        by: parsed(item, "by")?,
        at,
        reason: parsed(item, "reason")?,
    })
}
