//! What is known of a customer and may be erased. Everything else is kept for the books: the rows,
//! and items that hold numbers, times, ids, and who of the staff did something and why.
//!
//! First the account is closed to what is personal: the row says that it is erased, and rows after
//! it write resources without names; then the marks in the profile and in the list of projects stop
//! whoever read them before. What there is then is erased, and nothing comes after it.

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem, Update};

use super::accounts::{body_of, unbuilt, with_body};
use super::customers::PROFILE;
use super::item::{StoredItem, account_partition, item, malformed, number, number_of, text};
use super::projects::PROJECT_LIST;
use super::{Store, StoreError};
use crate::domain::ids::AccountId;
use crate::domain::resources::Resource;

/// The answers of requests, which repeat what was asked.
const REQUESTS: &str = "request#";
const PROJECTS: &str = "project#";
const RESOURCES: &str = "billable#resource#";

impl Store {
    /// Marks profile and projects of an account whose row says that it is erased: nothing is written
    /// to them from now on.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn begin_erasure(&self, account: &AccountId) -> Result<(), StoreError> {
        // A project that is being added was counted by the version.
        let marks =
            [(PROFILE, "SET erased = :one"), (PROJECT_LIST, "SET erased = :one ADD version :one")];
        let mark = |(sort_key, expression)| {
            let key = [("pk", text(account_partition(account))), ("sk", text(sort_key))];
            let update = Update::builder()
                .set_key(Some(item(key)))
                .update_expression(expression)
                .expression_attribute_values(":one", number(1));
            self.account_update(update)
        };
        let marks: Vec<TransactWriteItem> =
            marks.map(mark).into_iter().collect::<Result<_, StoreError>>()?;
        self.write(&marks).await.map(drop)
    }

    /// Erases e-mail address, company, cards, and the names of projects and resources, and the
    /// answers that repeat them. Once more does no harm, and finishes what was begun.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn erase(&self, account: &AccountId) -> Result<(), StoreError> {
        let profile = Update::builder().update_expression(
            "REMOVE email, search_shard, search_text, company, customer, cards, default_card, open_session, confirmation",
        );
        self.update_account_item(account, PROFILE, profile).await?;
        self.write(&[self.name_write(account, None)?]).await?;
        let partition = account_partition(account);
        let projects = self.account_items(&partition, PROJECTS).await?;
        // What an earlier request did is not done again, so that many projects come to an end.
        for project in projects.iter().filter(|project| project.contains_key("name")) {
            self.write(&[self.without_name(project)?]).await?;
        }
        for request in self.account_items(&partition, REQUESTS).await? {
            self.write(&[self.deletion(&request)?]).await?;
        }
        for resource in self.account_items(&partition, RESOURCES).await? {
            self.erase_name(account, resource).await?;
        }
        Ok(())
    }

    fn without_name(&self, project: &StoredItem) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .set_key(Some(key_of(project)))
            .update_expression("REMOVE #name")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#name", "name");
        self.account_update(update)
    }

    fn deletion(&self, item: &StoredItem) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(&self.tables.accounts)
            .set_key(Some(key_of(item)))
            .build()
            .map_err(|error| unbuilt(&error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// If a row has changed the resource since, that row has written it without its name.
    async fn erase_name(&self, account: &AccountId, item: StoredItem) -> Result<(), StoreError> {
        let resource: Resource = body_of(account, &item)?;
        if resource.name.is_empty() {
            return Ok(());
        }
        let seq: u64 = number_of(&item, "seq").map_err(malformed(account.as_str()))?;
        let nameless = with_body(item, &Resource { name: String::new(), ..resource })?;
        let put = Put::builder()
            .condition_expression("seq = :seq")
            .expression_attribute_values(":seq", number(seq))
            .set_item(Some(nameless));
        self.write(&[self.account_put(put)?]).await.map(drop)
    }
}

fn key_of(item: &StoredItem) -> StoredItem {
    let of_key = |(name, _): &(String, _)| ["pk", "sk"].contains(&name.as_str());
    item.clone().into_iter().filter(of_key).collect()
}
