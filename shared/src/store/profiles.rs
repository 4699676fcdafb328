//! Profiles: `account#A` / `profile` in the table of everything that changes. Each attribute is set
//! on its own, so that who sets one never undoes another.

use aws_sdk_dynamodb::types::Update;

use super::customers::PROFILE;
use super::item::{StoredItem, malformed, parsed, text, text_of};
use super::search::SearchKey;
use super::write::WriteOutcome;
use super::{CommandError, RecordOutcome, Store, StoreError};
use crate::domain::ids::AccountId;
use crate::domain::profile::{AccountProfile, CompanyDetails, EmailAddress, NonEmptyText};
use crate::domain::refusal::Refusal;

/// The address, and where the index `search` has it.
const SET_EMAIL: &str = "SET email = :email, search_shard = :shard, search_text = :place";

impl Store {
    /// What is known of a customer; nothing, if nothing was ever set. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn profile(&self, account: &AccountId) -> Result<AccountProfile, StoreError> {
        let item = self.account_item(account, PROFILE).await?.unwrap_or_default();
        let wrong = malformed(format!("the profile of {account}"));
        let email = email_of(account, &item)?;
        let company = match item.contains_key("company") {
            true => text_of(&item, "company")
                .and_then(|company| {
                    serde_json::from_str(company).map_err(|error| format!("company: {error}"))
                })
                .map_err(&wrong)?,
            false => CompanyDetails::default(),
        };
        Ok(AccountProfile { email, company })
    }

    /// The e-mail address, if there is one, whatever else the profile holds. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn email(&self, account: &AccountId) -> Result<Option<EmailAddress>, StoreError> {
        email_of(account, &self.account_item(account, PROFILE).await?.unwrap_or_default())
    }

    /// Sets the e-mail address.
    ///
    /// # Errors
    /// [`CommandError::Refused`] with [`Refusal::Erased`]; [`CommandError::Fault`].
    pub async fn set_email(
        &self,
        account: &AccountId,
        email: &EmailAddress,
    ) -> Result<(), CommandError> {
        let update = Update::builder().update_expression(SET_EMAIL);
        kept(self.update_email(account, email, update).await?)
    }

    /// Sets the e-mail address if there is none: what a token says never replaces what the customer
    /// chose.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn fill_email(
        &self,
        account: &AccountId,
        email: &EmailAddress,
    ) -> Result<RecordOutcome, StoreError> {
        let update = Update::builder()
            .update_expression(SET_EMAIL)
            .condition_expression("attribute_not_exists(email)");
        self.update_email(account, email, update).await
    }

    /// Sets what invoices say of the customer.
    ///
    /// # Errors
    /// [`CommandError::Refused`] with [`Refusal::Erased`]; [`CommandError::Fault`].
    pub async fn set_company(
        &self,
        account: &AccountId,
        company: &CompanyDetails,
    ) -> Result<(), CommandError> {
        let written = serde_json::to_string(company);
        let written = written
            .map_err(|error| StoreError::Rejected { call: "UpdateItem", why: error.to_string() })?;
        let update = Update::builder()
            .update_expression("SET company = :company")
            .expression_attribute_values(":company", text(written));
        let name = company.name.as_ref().map(NonEmptyText::as_str);
        let writes = [self.kept_profile_update(account, update)?, self.name_write(account, name)?];
        kept(match self.write(&writes).await? {
            WriteOutcome::Done => RecordOutcome::New,
            WriteOutcome::Refused(_) => RecordOutcome::Existing,
        })
    }

    async fn update_email(
        &self,
        account: &AccountId,
        email: &EmailAddress,
        update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
    ) -> Result<RecordOutcome, StoreError> {
        let SearchKey { shard, place } = SearchKey::of_email(email);
        let update = update
            .expression_attribute_values(":email", text(email.as_str()))
            .expression_attribute_values(":shard", text(shard))
            .expression_attribute_values(":place", text(place));
        self.update_profile(account, update).await
    }
}

/// Nothing but an erasure refuses such a write.
fn kept(outcome: RecordOutcome) -> Result<(), CommandError> {
    match outcome {
        RecordOutcome::New => Ok(()),
        RecordOutcome::Existing => Err(Refusal::Erased.into()),
    }
}

fn email_of(account: &AccountId, item: &StoredItem) -> Result<Option<EmailAddress>, StoreError> {
    let email = item.contains_key("email").then(|| parsed(item, "email")).transpose();
    email.map_err(malformed(format!("the profile of {account}")))
}
