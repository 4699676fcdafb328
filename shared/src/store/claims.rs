//! Claims and look-ups in the ledger table: who used a key that may be used once, and where Stripe's
//! ids lead.

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::{StoredItem, item, malformed, number, number_of, parsed, text};
use super::rows::RowOrder;
use super::{Store, StoreError};
use crate::domain::event::{Change, Claim, PaymentChange, PaymentFacts};
use crate::domain::ids::{AccountId, PaymentId};
use crate::domain::timestamp::{DAY, Timestamp};

/// How long the key of a request counts.
pub(super) const REQUEST_KEY_SECONDS: i64 = DAY;

/// Who used a key that may be used once, or where a look-up leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingClaim {
    pub key: String,
    pub account: AccountId,
    pub seq: u64,
    /// The digest of the request it answers, if it does.
    pub digest: Option<String>,
}

/// A payment that was credited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditedPayment {
    pub account: AccountId,
    pub seq: u64,
    /// What was credited, and what Stripe received.
    pub facts: PaymentFacts,
}

impl Store {
    /// Who used a key; `None` if nobody did. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn claim(&self, key: &str) -> Result<Option<ExistingClaim>, StoreError> {
        self.claimed(&claim_partition(key), key).await
    }

    /// Which account and row an id of Stripe's leads to; `None` if it was never noted.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn look_up(&self, stripe_id: &str) -> Result<Option<ExistingClaim>, StoreError> {
        self.claimed(&look_up_partition(stripe_id), stripe_id).await
    }

    /// Notes that ids of Stripe's lead to this row, so that support finds a payment by any of them.
    /// An id that leads somewhere already stays as it is: a replay may note them again.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn note_look_ups(
        &self,
        account: &AccountId,
        seq: u64,
        stripe_ids: &[&str],
    ) -> Result<(), StoreError> {
        for stripe_id in stripe_ids {
            let noted = owned_item(&look_up_partition(stripe_id), account, seq);
            self.write(&[self.put_in_ledger(noted)?]).await?;
        }
        Ok(())
    }

    /// Whose an object of Stripe's is; `None` if that was never noted. What a row tells of, and
    /// customers, are look-ups.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn owner(&self, stripe_id: &str) -> Result<Option<AccountId>, StoreError> {
        let owned = match self.claimed(&owner_partition(stripe_id), stripe_id).await? {
            Some(owned) => Some(owned),
            None => self.look_up(stripe_id).await?,
        };
        Ok(owned.map(|claimed| claimed.account))
    }

    /// Notes whose an object of Stripe's is, of which a row may tell later, and then looks it up: a
    /// payment page, an invoice, a card. The first note stays.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn note_owner(&self, account: &AccountId, stripe_id: &str) -> Result<(), StoreError> {
        let noted = owned_item(&owner_partition(stripe_id), account, 0);
        self.write(&[self.put_in_ledger(noted)?]).await?;
        Ok(())
    }

    /// What was credited for a payment; `None` if it was not (yet).
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn credited(
        &self,
        payment: &PaymentId,
    ) -> Result<Option<CreditedPayment>, StoreError> {
        let Some(claimed) = self.claim(&format!("stripe#{payment}#credit")).await? else {
            return Ok(None);
        };
        let ExistingClaim { account, seq, .. } = claimed;
        let page =
            self.rows(&account, seq..seq.saturating_add(1), RowOrder::OldestFirst, 1).await?;
        let facts = page.rows.into_iter().find_map(|row| {
            let Change::Payment(PaymentChange::Credited {
                payment, credit, received_cents, ..
            }) = row.event.change
            else {
                return None;
            };
            Some(PaymentFacts { payment, credit, received_cents })
        });
        Ok(facts.map(|facts| CreditedPayment { account, seq, facts }))
    }

    async fn claimed(
        &self,
        partition: &str,
        key: &str,
    ) -> Result<Option<ExistingClaim>, StoreError> {
        let found = self.ledger_item(partition, 0, &["owner", "row", "digest"]).await?;
        found.map(|found| claimed(key, &found)).transpose()
    }
}

pub(super) fn claim_item(
    claim: &Claim,
    account: &AccountId,
    seq: u64,
    at: Timestamp,
) -> StoredItem {
    let mut claimed = owned_item(&claim_partition(&claim.key), account, seq);
    if let Some(digest) = &claim.digest {
        claimed.insert("digest".to_owned(), text(digest));
        claimed.insert("expires".to_owned(), number(at.plus(REQUEST_KEY_SECONDS).seconds()));
    }
    claimed
}

pub(super) fn claimed(key: &str, item: &StoredItem) -> Result<ExistingClaim, StoreError> {
    let wrong = malformed(claim_partition(key));
    Ok(ExistingClaim {
        key: key.to_owned(),
        account: parsed(item, "owner").map_err(&wrong)?,
        seq: number_of(item, "row").map_err(&wrong)?,
        digest: item.get("digest").and_then(|digest| digest.as_s().ok()).cloned(),
    })
}

pub(super) fn claim_partition(key: &str) -> String {
    format!("claim#{key}")
}

fn owned_item(partition: &str, account: &AccountId, seq: u64) -> StoredItem {
    let attributes: [(&str, AttributeValue); 4] = [
        ("account", text(partition)),
        ("seq", number(0)),
        ("owner", text(account.as_str())),
        ("row", number(seq)),
    ];
    item(attributes)
}

fn look_up_partition(stripe_id: &str) -> String {
    format!("lookup#{stripe_id}")
}

fn owner_partition(stripe_id: &str) -> String {
    format!("owner#{stripe_id}")
}
