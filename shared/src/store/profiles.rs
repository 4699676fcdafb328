//! Profiles: `account#A` / `profile` in the table of everything that changes. Each attribute is set
//! on its own, so that who sets one never undoes another.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};

use super::accounts::{account_partition, unbuilt};
use super::item::{Item, item, malformed, parsed, text, text_of};
use super::write::Write;
use super::{Fault, Recorded, Store};
use crate::domain::ids::AccountId;
use crate::domain::profile::{Company, Email, Profile};

/// The sort key of a profile.
const PROFILE: &str = "profile";

impl Store {
    /// What is known of a customer; nothing, if nothing was ever set. Strongly consistent.
    ///
    /// # Errors
    /// [`Fault`]
    pub async fn profile(&self, account: &AccountId) -> Result<Profile, Fault> {
        let item = self.account_item(account, PROFILE).await?.unwrap_or_default();
        let wrong = malformed(format!("the profile of {account}"));
        let email = email_of(account, &item)?;
        let company = match item.contains_key("company") {
            true => text_of(&item, "company")
                .and_then(|company| {
                    serde_json::from_str(company).map_err(|error| format!("company: {error}"))
                })
                .map_err(&wrong)?,
            false => Company::default(),
        };
        Ok(Profile { email, company })
    }

    /// The e-mail address, if there is one, whatever else the profile holds. Strongly consistent.
    ///
    /// # Errors
    /// [`Fault`]
    pub async fn email(&self, account: &AccountId) -> Result<Option<Email>, Fault> {
        email_of(account, &self.account_item(account, PROFILE).await?.unwrap_or_default())
    }

    /// Sets the e-mail address.
    ///
    /// # Errors
    /// [`Fault`]
    pub async fn set_email(&self, account: &AccountId, email: &Email) -> Result<(), Fault> {
        let update = Update::builder().update_expression("SET email = :email");
        self.update_profile(account, email, update).await.map(drop)
    }

    /// Sets the e-mail address if there is none: what a token says never replaces what the customer
    /// chose.
    ///
    /// # Errors
    /// [`Fault`]
    pub async fn fill_email(&self, account: &AccountId, email: &Email) -> Result<Recorded, Fault> {
        let update = Update::builder()
            .update_expression("SET email = :email")
            .condition_expression("attribute_not_exists(email)");
        self.update_profile(account, email, update).await
    }

    /// Sets what invoices say of the customer.
    ///
    /// # Errors
    /// [`Fault`]
    pub async fn set_company(&self, account: &AccountId, company: &Company) -> Result<(), Fault> {
        let written = serde_json::to_string(company);
        let written = written
            .map_err(|error| Fault::Rejected { call: "UpdateItem", why: error.to_string() })?;
        let update = Update::builder()
            .update_expression("SET company = :company")
            .expression_attribute_values(":company", text(written));
        self.update_account_item(account, PROFILE, update).await.map(drop)
    }

    async fn update_profile(
        &self,
        account: &AccountId,
        email: &Email,
        update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
    ) -> Result<Recorded, Fault> {
        let update = update
            .table_name(&self.tables.accounts)
            .set_key(Some(item([("pk", text(account_partition(account))), ("sk", text(PROFILE))])))
            .expression_attribute_values(":email", text(email.as_str()))
            .build()
            .map_err(|error| unbuilt(&error))?;
        match self.write(&[TransactWriteItem::builder().update(update).build()]).await? {
            Write::Done => Ok(Recorded::New),
            Write::Refused(_) => Ok(Recorded::Existing),
        }
    }
}

fn email_of(account: &AccountId, item: &Item) -> Result<Option<Email>, Fault> {
    let email = item.contains_key("email").then(|| parsed(item, "email")).transpose();
    email.map_err(malformed(format!("the profile of {account}")))
}
