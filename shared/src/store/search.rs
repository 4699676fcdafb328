//! Finds accounts for staff: the sparse index `search`.
//!
//! An item that can be found has `search_text`, the text in lower case, and `search_shard`, the kind
//! of text with its first character, so that a search for the beginning of a text is one query.
//! E-mail addresses are found by the item `profile`, names of companies by `profile-name`, and
//! projects by their own items. Items that earlier releases wrote are found once they are written
//! again.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};

use super::accounts::unbuilt;
use super::indexes::account_of;
use super::item::{StoredItem, account_partition, item, text};
use super::{Store, StoreError};
use crate::domain::ids::{AccountId, ProjectId};
use crate::domain::profile::EmailAddress;

/// The item by which an account is found by the name of its company.
pub(super) const PROFILE_NAME: &str = "profile-name";
/// The attributes of the index. The export leaves them out.
pub(super) const SEARCH_ATTRIBUTES: [&str; 2] = ["search_shard", "search_text"];

/// How many characters of a text are in the partition's key.
const SHARD_CHARACTERS: usize = 1;
/// How many queries a search makes at most. An account may have many projects.
const QUERIES_MAX: usize = 5;
/// How many items each reads.
const ITEMS_READ: u32 = 100;

/// What a text is searched in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchField {
    Email,
    /// The name of the company.
    Name,
    Project,
}

/// Accounts that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAccounts {
    pub accounts: BTreeSet<AccountId>,
    /// Whether more may match.
    pub more: bool,
}

/// Where a text stands in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SearchKey {
    /// The partition: `search_shard`.
    pub(super) shard: String,
    /// The place in it: `search_text`.
    pub(super) place: String,
}

impl SearchKey {
    pub(super) fn of_email(email: &EmailAddress) -> SearchKey {
        SearchKey::new(SearchField::Email, email.as_str())
    }

    pub(super) fn of_project(project: &ProjectId) -> SearchKey {
        SearchKey::new(SearchField::Project, project.as_str())
    }

    /// In lower case, and with single spaces.
    fn new(field: SearchField, searched: &str) -> SearchKey {
        let words: Vec<String> = searched.split_whitespace().map(str::to_lowercase).collect();
        let place = words.join(" ");
        let name = match field {
            SearchField::Email => "email",
            SearchField::Name => "name",
            SearchField::Project => "project",
        };
        let begins: String = place.chars().take(SHARD_CHARACTERS).collect();
        SearchKey { shard: format!("{name}#{begins}"), place }
    }
}

impl Store {
    /// The accounts of which a text of this kind begins so, in any case, and whether there may be
    /// more than these. Eventually consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn find_accounts(
        &self,
        field: SearchField,
        beginning: &str,
        limit: usize,
    ) -> Result<FoundAccounts, StoreError> {
        let SearchKey { shard, place } = SearchKey::new(field, beginning);
        let (mut accounts, mut start) = (BTreeSet::new(), None);
        if place.is_empty() {
            return Ok(FoundAccounts { accounts, more: false });
        }
        for _ in 0..QUERIES_MAX {
            let query = self
                .index("search", ITEMS_READ)
                .key_condition_expression(
                    "search_shard = :shard AND begins_with(search_text, :place)",
                )
                .expression_attribute_values(":shard", text(&shard))
                .expression_attribute_values(":place", text(&place))
                .set_exclusive_start_key(start);
            let answer = query.send().await.map_err(|error| StoreError::of("Query", &error))?;
            for item in answer.items() {
                accounts.insert(account_of(item)?);
            }
            start = answer.last_evaluated_key;
            if start.is_none() || accounts.len() > limit {
                break;
            }
        }
        let more = start.is_some() || accounts.len() > limit;
        Ok(FoundAccounts { accounts: accounts.into_iter().take(limit).collect(), more })
    }

    /// Makes the account found by this name only, or by none.
    pub(super) fn name_write(
        &self,
        account: &AccountId,
        name: Option<&str>,
    ) -> Result<TransactWriteItem, StoreError> {
        let key = [("pk", text(account_partition(account))), ("sk", text(PROFILE_NAME))];
        let Some(name) = name else {
            let delete = Delete::builder()
                .table_name(&self.tables.accounts)
                .set_key(Some(item(key)))
                .build()
                .map_err(|error| unbuilt(&error))?;
            return Ok(TransactWriteItem::builder().delete(delete).build());
        };
        let SearchKey { shard, place } = SearchKey::new(SearchField::Name, name);
        let mut named: StoredItem = item(key);
        named.extend(item([("search_shard", text(shard)), ("search_text", text(place))]));
        self.account_put(Put::builder().set_item(Some(named)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_by_their_beginning_in_any_case() {
        let of = |field, searched: &str| {
            let SearchKey { shard, place } = SearchKey::new(field, searched);
            (shard, place)
        };
        let key = |shard: &str, place: &str| (shard.to_owned(), place.to_owned());
        assert_eq!(of(SearchField::Email, "Ada@Example.test"), key("email#a", "ada@example.test"));
        assert_eq!(of(SearchField::Name, " Ärzte \t und Co "), key("name#ä", "ärzte und co"));
        assert_eq!(of(SearchField::Name, "X"), key("name#x", "x"));
        assert_eq!(of(SearchField::Project, "prj-1"), key("project#p", "prj-1"));
    }
}
