//! What limits are counted by: items in the table of everything that changes.
//!
//! | `pk` | `sk` | what |
//! |---|---|---|
//! | `account#A` | `pages` | the payment pages of the last day that are not known to be paid: `pages` (JSON), `version` |
//! | `account#A` | `requests-to-stripe#B` | requests in the ten seconds from B on (Unix seconds): `taken` |
//! | `limits` | `new-account-pages#B` | payment pages of accounts that never paid, in the hour from B on: `taken` |
//! | `limits` | `support#S#B` | what a member of staff refunded and gave in the day from B on: `taken`, in cents |
//!
//! Each has an `expires`, by which DynamoDB removes it late or never. The times of pages are
//! compared, and the key of a counter says its time, so nothing depends on the removal.

use aws_sdk_dynamodb::types::Update;

use super::item::{
    StoredItem, account_partition, item, malformed, number, number_of, text, text_of,
};
use super::write::WriteOutcome;
use super::{RecordOutcome, Store, StoreError};
use crate::domain::ids::{AccountId, StaffId};
use crate::domain::payment_pages::MadePage;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};

const PAGES: &str = "pages";

/// The payment pages of an account that are not known to be paid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnpaidPages {
    pub pages: Vec<MadePage>,
    /// Goes up with every change.
    version: u64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestCounter<'a> {
    /// An account's requests to routes that call Stripe.
    ToStripe(&'a AccountId),
    /// Payment pages of all accounts that never paid.
    NewAccountPages,
    /// Cents that a member of staff with limits moved.
    Support(&'a StaffId),
}

/// Whether one more was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Within,
    /// The window is full until then.
    Full {
        until: Timestamp,
    },
}

impl RequestCounter<'_> {
    /// Of the window that begins then, in Unix seconds.
    fn key(self, begins: i64) -> StoredItem {
        let all = || "limits".to_owned();
        let (partition, name) = match self {
            RequestCounter::ToStripe(account) => {
                (account_partition(account), "requests-to-stripe".to_owned())
            }
            RequestCounter::NewAccountPages => (all(), "new-account-pages".to_owned()),
            RequestCounter::Support(staff) => (all(), format!("support#{staff}")),
        };
        item([("pk", text(partition)), ("sk", text(format!("{name}#{begins}")))])
    }
}

impl Store {
    /// The payment pages of an account that are not known to be paid. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn unpaid_pages(&self, account: &AccountId) -> Result<UnpaidPages, StoreError> {
        let Some(item) = self.account_item(account, PAGES).await? else {
            return Ok(UnpaidPages::default());
        };
        let wrong = malformed(format!("the payment pages of {account}"));
        let pages = text_of(&item, "pages")
            .and_then(|pages| serde_json::from_str(pages).map_err(|error| error.to_string()))
            .map_err(&wrong)?;
        Ok(UnpaidPages { pages, version: number_of(&item, "version").map_err(&wrong)? })
    }

    /// Replaces them at `now` (UTC), if nobody changed them since they were read.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn put_unpaid_pages(
        &self,
        account: &AccountId,
        unpaid: &UnpaidPages,
        now: Timestamp,
    ) -> Result<RecordOutcome, StoreError> {
        let pages = serde_json::to_string(&unpaid.pages);
        let pages = pages
            .map_err(|error| StoreError::Rejected { call: "UpdateItem", why: error.to_string() })?;
        let update = Update::builder()
            .update_expression("SET pages = :pages, version = :next, expires = :expires")
            .condition_expression("attribute_not_exists(version) OR version = :version")
            .expression_attribute_values(":pages", text(pages))
            .expression_attribute_values(":version", number(unpaid.version))
            .expression_attribute_values(":next", number(unpaid.version + 1))
            .expression_attribute_values(":expires", number(now.plus(2 * DAY).seconds()));
        self.update_account_item(account, PAGES, update).await
    }

    /// Takes so many back of the window that `now` (UTC) is in.
    ///
    /// # Errors
    /// [`StoreError`]. It may have been taken back then.
    pub async fn uncount(
        &self,
        counter: RequestCounter<'_>,
        seconds: i64,
        by: u32,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let begins = now.seconds().div_euclid(seconds) * seconds;
        let update = Update::builder()
            .set_key(Some(counter.key(begins)))
            .update_expression("ADD taken :less")
            .condition_expression("taken >= :by")
            .expression_attribute_values(":less", number(-i64::from(by)))
            .expression_attribute_values(":by", number(by));
        self.write(&[self.account_update(update)?]).await.map(drop)
    }

    /// Counts one more in the window that `now` (UTC) is in, unless that has `max` already. Windows
    /// follow each other without a gap, each `seconds` long. One write.
    ///
    /// # Errors
    /// [`StoreError`]. One more may have been counted then.
    pub async fn count(
        &self,
        counter: RequestCounter<'_>,
        seconds: i64,
        max: u32,
        now: Timestamp,
    ) -> Result<Counted, StoreError> {
        self.count_by(counter, seconds, 1, max, now).await
    }

    /// The same for several at once, all of them or none.
    ///
    /// # Errors
    /// As [`Store::count`].
    pub async fn count_by(
        &self,
        counter: RequestCounter<'_>,
        seconds: i64,
        by: u32,
        max: u32,
        now: Timestamp,
    ) -> Result<Counted, StoreError> {
        let begins = now.seconds().div_euclid(seconds) * seconds;
        let ends = begins.saturating_add(seconds);
        let full = Counted::Full { until: Timestamp::from_seconds(ends).unwrap_or(now) };
        let Some(room) = max.checked_sub(by) else { return Ok(full) };
        let update = Update::builder()
            .set_key(Some(counter.key(begins)))
            .update_expression("SET expires = :expires ADD taken :by")
            .condition_expression("attribute_not_exists(taken) OR taken <= :room")
            .expression_attribute_values(":expires", number(ends.saturating_add(HOUR)))
            .expression_attribute_values(":by", number(by))
            .expression_attribute_values(":room", number(room));
        match self.write(&[self.account_update(update)?]).await? {
            WriteOutcome::Done => Ok(Counted::Within),
            WriteOutcome::Refused(_) => Ok(full),
        }
    }
}
