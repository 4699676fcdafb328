//! The table of everything that changes: what goes with a row, the list of what an account is
//! billed for, projects and prices.

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::indexes::schedule;
use super::item::{
    StoredItem, account_partition, item, malformed, number, number_of, parsed, text, text_of,
};
use super::write::WriteOutcome;
use super::{CommandError, Store, StoreError};
use crate::domain::account::AccountState;
use crate::domain::event::{Event, ListChange};
use crate::domain::ids::{AccountId, ProjectId, ResourceId, Sku};
use crate::domain::money::Quantity;
use crate::domain::policy::Policy;
use crate::domain::prices::{Price, PriceList};
use crate::domain::refusal::Refusal;
use crate::domain::resolve::OwnedProject;
use crate::domain::resources::{BillableList, Meter, Resource};
use crate::domain::timestamp::Timestamp;

/// The partition of all prices: a few hundred items, read as a whole once a minute.
const PRICE_LIST: &str = "price-list";

/// Whether something had to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    New,
    /// It was there already and was left as it was.
    Existing,
}

/// Which items of a partition are read, by their sort keys.
#[derive(Clone, Copy, Debug)]
pub(super) enum SortKeys<'k> {
    All,
    Beginning(&'k str),
    /// Both included.
    Between(&'k str, &'k str),
}

/// A row on its way, with what is needed to tell what goes with it.
#[derive(Debug)]
pub(super) struct Appending<'a> {
    pub(super) account: &'a AccountId,
    pub(super) event: &'a Event,
    pub(super) before: &'a AccountState,
    pub(super) after: &'a AccountState,
    /// What the account was billed for before it.
    pub(super) list: &'a BillableList,
    pub(super) policy: &'a Policy,
}

impl Store {
    /// What must be written together with a row, besides its claims.
    pub(super) fn companions(
        &self,
        row: &Appending<'_>,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut companions = match row.event.list_change() {
            ListChange::Nothing => Vec::new(),
            change
            @ (ListChange::Put(_) | ListChange::SetStatus { .. } | ListChange::Remove(_)) => {
                self.resource_writes(row, &change.resources())?
            }
            ListChange::AddMeter(meter) => {
                vec![self.new_account_item(meter_item(row.account, meter))?]
            }
            ListChange::BillMeters(lines) => lines
                .iter()
                .map(|line| self.billed_write(row.account, line))
                .collect::<Result<_, _>>()?,
        };
        companions.extend(self.record_writes(row)?);
        companions.extend(self.schedule_write(row)?);
        Ok(companions)
    }

    /// All resources and meters of an account. Strongly consistent page by page, but not over
    /// pages: whether it agrees with the account's state, [`AccountSnapshot::new`](crate::domain::snapshot::AccountSnapshot::new)
    /// says.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn billables(&self, account: &AccountId) -> Result<BillableList, StoreError> {
        let mut list = BillableList::default();
        for item in self.account_items(&account_partition(account), "billable#").await? {
            let key = text_of(&item, "sk").map_err(malformed(account.as_str()))?;
            if key.starts_with("billable#resource#") {
                let resource: Resource = body_of(account, &item)?;
                list.resources.insert(resource.id.clone(), resource);
            } else {
                let meter = meter_of(&item).map_err(malformed(format!("{key} of {account}")))?;
                list.meters.insert((meter.project.clone(), meter.sku.clone()), meter);
            }
        }
        Ok(list)
    }

    /// A project of the account; `None` if there is none of that id, whoever else may have one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn project(
        &self,
        account: &AccountId,
        id: &ProjectId,
    ) -> Result<Option<OwnedProject>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.tables.accounts)
            .key("pk", text(account_partition(account)))
            .key("sk", text(project_key(id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::of("GetItem", &error))?;
        Ok(answer.item.map(|_| OwnedProject { id: id.clone(), account: account.clone() }))
    }

    /// All projects of the account, by id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn projects(&self, account: &AccountId) -> Result<Vec<OwnedProject>, StoreError> {
        let items = self.account_items(&account_partition(account), "project#").await?;
        let project = |item: &StoredItem| {
            let id = text_of(item, "sk")?.trim_start_matches("project#").parse();
            Ok(OwnedProject {
                id: id.map_err(|error| format!("sk: {error}"))?,
                account: account.clone(),
            })
        };
        items
            .iter()
            .map(project)
            .collect::<Result<_, String>>()
            .map_err(malformed(account.as_str()))
    }

    /// Adds a project to its account.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn put_project(&self, project: &OwnedProject) -> Result<RecordOutcome, StoreError> {
        let key = [
            ("pk", text(account_partition(&project.account))),
            ("sk", text(project_key(&project.id))),
        ];
        self.put_new(item(key)).await
    }

    /// The whole price list. A price that an older release accepted although nobody could pay it is
    /// skipped, and the price before it stays in force.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn prices(&self) -> Result<PriceList, StoreError> {
        let items = self.account_items(PRICE_LIST, "sku#").await?;
        let all: Result<Vec<Price>, StoreError> =
            items.iter().map(|item| body_of::<Price>(&PRICE_LIST, item)).collect();
        let (usable, skipped): (Vec<Price>, Vec<Price>) =
            all?.into_iter().partition(Price::is_usable);
        for Price { sku, valid_from, rate, .. } in skipped {
            let has_later = |price: &Price| price.sku == sku && price.valid_from > valid_from;
            // A later price that can be used has repaired it.
            if !usable.iter().any(has_later) {
                tracing::error!(alarm = "value_skipped", %sku, %valid_from, %rate, "a price is skipped");
            }
        }
        Ok(usable.into_iter().collect())
    }

    /// Adds a price at `now` (UTC). A price that is there is never changed; the very same once more
    /// is no mistake.
    ///
    /// The first price of a SKU holds at once, whatever the hour, so there is exactly one: an item
    /// of its own, written with it, makes two of them at the same time impossible.
    ///
    /// # Errors
    /// [`CommandError::Refused`] as [`PriceList::check`]; [`CommandError::Fault`].
    pub async fn put_price(&self, price: &Price, now: Timestamp) -> Result<(), CommandError> {
        let (sku, valid_from) = (&price.sku, price.valid_from);
        let known = self.prices().await?;
        if known.at(sku, valid_from) == Some(price) {
            // Asked for twice, or at the same time as somebody else: it is as it was asked for.
            return Ok(());
        }
        known.check(price, now)?;
        let key = |sort_key| item([("pk", text(PRICE_LIST)), ("sk", text(sort_key))]);
        let new = with_body(key(format!("sku#{sku}#{valid_from}")), price)?;
        let mut writes = vec![self.new_account_item(new)?];
        if known.iter().all(|other| other.sku != *sku) {
            writes.push(self.new_account_item(key(format!("first#{sku}")))?);
        }
        if let WriteOutcome::Done = self.write(&writes).await? {
            return Ok(());
        }
        // Somebody was faster since the list was read; or the first answer was lost, and it was we
        // ourselves.
        let known = self.prices().await?;
        if known.at(sku, valid_from) == Some(price) {
            return Ok(());
        }
        known.check(price, now)?;
        Err(Refusal::PriceExists { sku: sku.clone(), valid_from }.into())
    }

    pub(super) async fn put_new(&self, item: StoredItem) -> Result<RecordOutcome, StoreError> {
        match self.write(&[self.new_account_item(item)?]).await? {
            WriteOutcome::Done => Ok(RecordOutcome::New),
            WriteOutcome::Refused(_) => Ok(RecordOutcome::Existing),
        }
    }

    /// All items of a partition whose sort key begins like this, page by page.
    pub(super) async fn account_items(
        &self,
        partition: &str,
        prefix: &str,
    ) -> Result<Vec<StoredItem>, StoreError> {
        self.items_of(partition, SortKeys::Beginning(prefix)).await
    }

    /// All items of a partition with these sort keys, page by page.
    pub(super) async fn items_of(
        &self,
        partition: &str,
        keys: SortKeys<'_>,
    ) -> Result<Vec<StoredItem>, StoreError> {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = self.items_page(partition, keys, after.as_deref(), None).await?;
            items.extend(page);
            if next.is_none() {
                return Ok(items);
            }
            after = next;
        }
    }

    /// Some items of a partition in the order of their sort keys, after the given one: as many as
    /// DynamoDB reads at once, or at most `limit`. With the key to go on after. Strongly consistent.
    pub(super) async fn items_page(
        &self,
        partition: &str,
        keys: SortKeys<'_>,
        after: Option<&str>,
        limit: Option<u32>,
    ) -> Result<(Vec<StoredItem>, Option<String>), StoreError> {
        let start = after.map(|key| item([("pk", text(partition)), ("sk", text(key))]));
        let query = self
            .client
            .query()
            .table_name(&self.tables.accounts)
            .expression_attribute_values(":pk", text(partition))
            .set_exclusive_start_key(start)
            .set_limit(limit.map(|limit| i32::try_from(limit.max(1)).unwrap_or(i32::MAX)))
            .consistent_read(true);
        let query = match keys {
            SortKeys::All => query.key_condition_expression("pk = :pk"),
            SortKeys::Beginning(prefix) => query
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":prefix", text(prefix)),
            SortKeys::Between(from, to) => query
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
                .expression_attribute_values(":from", text(from))
                .expression_attribute_values(":to", text(to)),
        };
        let answer = query.send().await.map_err(|error| StoreError::of("Query", &error))?;
        let next = answer.last_evaluated_key.as_ref().map(|key| text_of(key, "sk"));
        let next = next.transpose().map_err(malformed(partition))?.map(str::to_owned);
        Ok((answer.items.unwrap_or_default(), next))
    }

    /// One resource, deleted or not; `None` if there is none, or none any more. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn resource(
        &self,
        account: &AccountId,
        id: &ResourceId,
    ) -> Result<Option<Resource>, StoreError> {
        let item = self.account_item(account, &resource_key(id)).await?;
        item.map(|item| body_of(account, &item)).transpose()
    }

    /// Each resource that the row changes is written whole, if it still is as it was read.
    fn resource_writes(
        &self,
        row: &Appending<'_>,
        ids: &[&ResourceId],
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut after = BillableList::default();
        for id in ids {
            after
                .resources
                .extend(row.list.resources.get(*id).map(|known| (known.id.clone(), known.clone())));
        }
        after.apply(row.event, row.before.next_seq);
        if row.after.erased {
            // The row may have been decided with a list from before the erasure.
            after.resources.values_mut().for_each(|resource| resource.name.clear());
        }
        let write = |id: &&ResourceId| match (row.list.resources.get(*id), after.resources.get(*id))
        {
            (None, Some(new)) => self.new_account_item(resource_item(row.account, new)?),
            (Some(known), Some(changed)) => {
                self.changed_account_item(resource_item(row.account, changed)?, known.seq)
            }
            (Some(known), None) => self.removal(row.account, known),
            // The decision was taken with another list than the one given here.
            (None, None) => Err(StoreError::ListDisagrees),
        };
        ids.iter().map(write).collect()
    }

    fn schedule_write(&self, row: &Appending<'_>) -> Result<Option<TransactWriteItem>, StoreError> {
        let after = schedule(row.after, row.policy);
        if after == schedule(row.before, row.policy) {
            return Ok(None);
        }
        let key = [("pk", text(account_partition(row.account))), ("sk", text("schedule"))];
        let mut item = item(key);
        item.insert("seq".to_owned(), number(row.before.next_seq));
        item.extend(after.attributes(row.account));
        let put = Put::builder()
            .condition_expression("attribute_not_exists(seq) OR seq < :seq")
            .expression_attribute_values(":seq", number(row.before.next_seq));
        self.account_put(put.set_item(Some(item))).map(Some)
    }

    pub(super) fn new_account_item(
        &self,
        item: StoredItem,
    ) -> Result<TransactWriteItem, StoreError> {
        self.account_put(
            Put::builder().condition_expression("attribute_not_exists(pk)").set_item(Some(item)),
        )
    }

    fn changed_account_item(
        &self,
        item: StoredItem,
        seq: u64,
    ) -> Result<TransactWriteItem, StoreError> {
        let put = Put::builder()
            .condition_expression("seq = :seq")
            .expression_attribute_values(":seq", number(seq));
        self.account_put(put.set_item(Some(item)))
    }

    pub(super) fn account_put(
        &self,
        put: aws_sdk_dynamodb::types::builders::PutBuilder,
    ) -> Result<TransactWriteItem, StoreError> {
        let put = put.table_name(&self.tables.accounts).build().map_err(|error| unbuilt(&error))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    pub(super) fn account_update(
        &self,
        update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
    ) -> Result<TransactWriteItem, StoreError> {
        let update =
            update.table_name(&self.tables.accounts).build().map_err(|error| unbuilt(&error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    fn removal(
        &self,
        account: &AccountId,
        known: &Resource,
    ) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(&self.tables.accounts)
            .key("pk", text(account_partition(account)))
            .key("sk", text(resource_key(&known.id)))
            .condition_expression("seq = :seq")
            .expression_attribute_values(":seq", number(known.seq))
            .build()
            .map_err(|error| unbuilt(&error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}

pub(super) fn meter_key(account: &AccountId, project: &ProjectId, sku: &Sku) -> StoredItem {
    item([
        ("pk", text(account_partition(account))),
        ("sk", text(format!("billable#meter#{project}#{sku}"))),
    ])
}

pub(super) fn meter_of(item: &StoredItem) -> Result<Meter, String> {
    Ok(Meter {
        project: parsed(item, "project")?,
        sku: parsed(item, "sku")?,
        reading: number_of(item, "reading")?,
        billed: number_of(item, "billed")?,
    })
}

pub(super) fn quantity(quantity: Quantity) -> AttributeValue {
    number(quantity.decimal().normalize())
}

pub(super) fn unbuilt(error: &aws_sdk_dynamodb::error::BuildError) -> StoreError {
    StoreError::Rejected { call: "TransactWriteItems", why: error.to_string() }
}

pub(super) fn project_key(id: &ProjectId) -> String {
    format!("project#{id}")
}

fn resource_key(id: &ResourceId) -> String {
    format!("billable#resource#{id}")
}

fn resource_item(account: &AccountId, resource: &Resource) -> Result<StoredItem, StoreError> {
    let key = [
        ("pk", text(account_partition(account))),
        ("sk", text(resource_key(&resource.id))),
        ("seq", number(resource.seq)),
    ];
    with_body(item(key), resource)
}

fn meter_item(account: &AccountId, meter: &Meter) -> StoredItem {
    let mut all = meter_key(account, &meter.project, &meter.sku);
    all.extend(item([
        ("project", text(meter.project.as_str())),
        ("sku", text(meter.sku.as_str())),
        ("reading", quantity(meter.reading)),
        ("billed", quantity(meter.billed)),
    ]));
    all
}

pub(super) fn with_body(
    mut item: StoredItem,
    body: &impl Serialize,
) -> Result<StoredItem, StoreError> {
    let written = serde_json::to_string(body);
    let written = written
        .map_err(|error| StoreError::Rejected { call: "PutItem", why: error.to_string() })?;
    item.insert("body".to_owned(), text(written));
    Ok(item)
}

pub(super) fn body_of<T: DeserializeOwned>(
    owner: &impl std::fmt::Display,
    item: &StoredItem,
) -> Result<T, StoreError> {
    let key = item.get("sk").and_then(|key| key.as_s().ok()).map_or("an item", String::as_str);
    let read = text_of(item, "body")
        .and_then(|body| serde_json::from_str(body).map_err(|error| error.to_string()));
    read.map_err(malformed(format!("{key} of {owner}")))
}
