//! Idempotency keys of requests: items of the table `accounts` that count for a day.
//!
//! | `pk` | `sk` | what |
//! |---|---|---|
//! | `account#A` | `request-row#<key>` | the row that answers a request: `digest`, `row`; written in the row's transaction |
//! | `account#A` | `request#<key>` | a request that leaves no row: `asked_at`, `asked` (its digest), `answer` |
//!
//! Each has an `expires`, by which DynamoDB removes it late or never. The time is compared, so an
//! expired key is free at once.
//!
//! # Keys in the ledger
//!
//! A row of a format before 5 has its key among its claims in the ledger, where the release before
//! finds it. The format of a chain never goes back, so all these keys are older than the chain's
//! first row of format 5, and a day later they have expired. Until then a row of format 5 is
//! written under the condition that the ledger does not have its key either. Both conditions hold
//! in one transaction, so a request has one row even if functions that write both formats answer it
//! at the same time. Once format 5 is the oldest that any release writes, and a day later, the
//! condition can go.

use aws_sdk_dynamodb::types::{
    ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use super::accounts::unbuilt;
use super::claims::{ExistingClaim, REQUEST_KEY_SECONDS, claim_partition, claimed};
use super::item::{
    StoredItem, account_partition, item, malformed, number, number_of, text, text_of,
};
use super::{RecordOutcome, Store, StoreError};
use crate::domain::event::{Event, KeyedRequest, request_claim};
use crate::domain::ids::{AccountId, RequestKey};
use crate::domain::row::RowDigest;
use crate::domain::row_format::RowFormat;
use crate::domain::timestamp::Timestamp;

/// The oldest format whose rows have their keys in `accounts`.
const IN_ACCOUNTS: RowFormat = RowFormat::new(5);

/// The condition under which a key is free. It expires after the second in which it is a day old.
const FREE_IN_ACCOUNTS: &str = "attribute_not_exists(pk) OR expires < :now";
const FREE_IN_LEDGER: &str = "attribute_not_exists(account) OR expires < :now";

/// Where a row has the key of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyPlace {
    Ledger,
    Accounts,
}

impl KeyPlace {
    /// Of a row of this format.
    pub(super) fn of(format: RowFormat) -> KeyPlace {
        if format < IN_ACCOUNTS { KeyPlace::Ledger } else { KeyPlace::Accounts }
    }
}

/// The key of a row's request, on its way to the table `accounts`.
#[derive(Debug)]
pub(super) struct KeyWrite {
    pub(super) key: RequestKey,
    pub(super) digest: String,
    /// The time of the row.
    pub(super) at: Timestamp,
    /// The key itself, and the condition on the ledger.
    pub(super) writes: [TransactWriteItem; 2],
}

/// A request that leaves no row, kept so that it can be repeated and get the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedRequest {
    /// When it was first asked for.
    pub at: Timestamp,
    /// The digest of what was asked.
    pub digest: String,
    /// What was answered, as JSON, if it was.
    pub answer: Option<String>,
}

impl Store {
    /// The row that answers the request with this key, wherever it has the key. `None` if there is
    /// none, or if the key has expired at `now` (UTC). Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn answering_row(
        &self,
        account: &AccountId,
        key: &RequestKey,
        now: Timestamp,
    ) -> Result<Option<ExistingClaim>, StoreError> {
        if let Some(known) = self.known_key(KeyPlace::Accounts, account, key, now).await? {
            return Ok(Some(known));
        }
        self.known_key(KeyPlace::Ledger, account, key, now).await
    }

    /// The row that answers the request with this key, if it has the key in this place. One read,
    /// strongly consistent.
    pub(super) async fn known_key(
        &self,
        place: KeyPlace,
        account: &AccountId,
        key: &RequestKey,
        now: Timestamp,
    ) -> Result<Option<ExistingClaim>, StoreError> {
        let claim = request_claim(account, key);
        let is_live = |item: &StoredItem| !has_expired(item, now);
        match place {
            KeyPlace::Accounts => {
                let found = self.account_item(account, &row_key(key)).await?.filter(is_live);
                found.map(|item| key_of(&claim, account, &item)).transpose()
            }
            KeyPlace::Ledger => {
                let names = ["owner", "row", "digest", "expires"];
                let found = self.ledger_item(&claim_partition(&claim), 0, &names).await?;
                found.filter(is_live).map(|item| claimed(&claim, &item)).transpose()
            }
        }
    }

    /// The writes that make the request of a new row single. `None` if the row answers no request,
    /// or has its key among its claims.
    pub(super) fn key_write(
        &self,
        account: &AccountId,
        event: &Event,
        seq: u64,
        format: RowFormat,
    ) -> Result<Option<KeyWrite>, StoreError> {
        let (Some(KeyedRequest { key, digest }), KeyPlace::Accounts) =
            (event.cause.request(), KeyPlace::of(format))
        else {
            return Ok(None);
        };
        let at = event.at;
        let expires = at.plus(REQUEST_KEY_SECONDS);
        let new = item([
            ("pk", text(account_partition(account))),
            ("sk", text(row_key(key))),
            ("digest", text(digest)),
            ("row", number(seq)),
            ("expires", number(expires.seconds())),
        ]);
        let put = Put::builder()
            .table_name(&self.tables.accounts)
            .set_item(Some(new))
            .condition_expression(FREE_IN_ACCOUNTS)
            .expression_attribute_values(":now", number(at.seconds()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| unbuilt(&error))?;
        let check = ConditionCheck::builder()
            .table_name(&self.tables.ledger)
            .key("account", text(claim_partition(&request_claim(account, key))))
            .key("seq", number(0))
            .condition_expression(FREE_IN_LEDGER)
            .expression_attribute_values(":now", number(at.seconds()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|error| unbuilt(&error))?;
        let writes = [
            TransactWriteItem::builder().put(put).build(),
            TransactWriteItem::builder().condition_check(check).build(),
        ];
        Ok(Some(KeyWrite { key: key.clone(), digest: digest.clone(), at, writes }))
    }

    /// Notes a request before it is carried out, or finds the one that was noted under the same key.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn note_request(
        &self,
        account: &AccountId,
        key: &RequestKey,
        digest: &RowDigest,
        at: Timestamp,
    ) -> Result<NotedRequest, StoreError> {
        let sort_key = noted_key(key);
        let expires = at.plus(REQUEST_KEY_SECONDS);
        let update = Update::builder()
            .update_expression(
                "SET asked_at = :now, asked = :asked, expires = :expires REMOVE answer",
            )
            .condition_expression(FREE_IN_ACCOUNTS)
            .expression_attribute_values(":now", number(at.seconds()))
            .expression_attribute_values(":expires", number(expires.seconds()))
            .expression_attribute_values(":asked", text(digest.as_str()));
        if self.update_account_item(account, &sort_key, update).await? == RecordOutcome::New {
            return Ok(NotedRequest { at, digest: digest.as_str().to_owned(), answer: None });
        }
        let item = self.account_item(account, &sort_key).await?.unwrap_or_default();
        let wrong = malformed(format!("{sort_key} of {account}"));
        let at = number_of::<i64>(&item, "asked_at").map_err(&wrong)?;
        Ok(NotedRequest {
            at: Timestamp::from_seconds(at).map_err(|error| wrong(error.to_string()))?,
            digest: text_of(&item, "asked").map_err(&wrong)?.to_owned(),
            answer: item.get("answer").and_then(|answer| answer.as_s().ok()).cloned(),
        })
    }

    /// Notes what was answered to a request that was noted at this time.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn note_answer(
        &self,
        account: &AccountId,
        key: &RequestKey,
        noted_at: Timestamp,
        answer: &str,
    ) -> Result<(), StoreError> {
        // A note that expired meanwhile may be another request's, or gone.
        let update = Update::builder()
            .update_expression("SET answer = :answer")
            .condition_expression("asked_at = :at")
            .expression_attribute_values(":at", number(noted_at.seconds()))
            .expression_attribute_values(":answer", text(answer));
        self.update_account_item(account, &noted_key(key), update).await.map(drop)
    }
}

/// The claim that an item of `accounts` stands for.
pub(super) fn key_of(
    claim: &str,
    account: &AccountId,
    item: &StoredItem,
) -> Result<ExistingClaim, StoreError> {
    let wrong = malformed(claim);
    Ok(ExistingClaim {
        key: claim.to_owned(),
        account: account.clone(),
        seq: number_of(item, "row").map_err(&wrong)?,
        digest: Some(text_of(item, "digest").map_err(&wrong)?.to_owned()),
    })
}

fn has_expired(item: &StoredItem, now: Timestamp) -> bool {
    number_of::<i64>(item, "expires").is_ok_and(|expires| expires < now.seconds())
}

fn row_key(key: &RequestKey) -> String {
    format!("request-row#{key}")
}

fn noted_key(key: &RequestKey) -> String {
    format!("request#{key}")
}
