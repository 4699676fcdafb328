//! What is known of an account's customer at Stripe: more attributes of the item `account#A` /
//! `profile`, and one item `account#A` / `payment#<pi_…>` for each payment with the other ids it is
//! known by.
//!
//! Nothing here decides about money; what is missing is found out again from Stripe.

use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use serde::{Deserialize, Serialize};

use super::item::{
    StoredItem, account_partition, item, malformed, number, number_of, parsed, text, text_of,
};
use super::write::WriteOutcome;
use super::{CommandError, RecordOutcome, Store, StoreError};
use crate::domain::ids::{AccountId, CardId, CustomerId, PaymentId};
use crate::domain::refusal::Refusal;

/// The sort key of a profile.
pub(super) const PROFILE: &str = "profile";

/// What is known of an account's customer at Stripe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomerProfile {
    /// Stripe's customer; `None` before the first top-up, or after it was deleted there.
    pub customer: Option<CustomerId>,
    /// How many customers there were before that were deleted at Stripe.
    pub former: u32,
    /// All saved cards, newest first.
    pub cards: Vec<SavedCard>,
    /// The card Stripe's invoices are paid with, as it was last seen.
    pub default_card: Option<CardId>,
    /// Goes up with every change of the cards.
    pub cards_version: u64,
    /// The payment page that was last made, and may be open.
    pub open_session: Option<String>,
    /// Where the customer can confirm the payment of a refill attempt.
    pub confirmation: Option<RefillConfirmation>,
    /// Whether it is erased, or being erased.
    pub erased: bool,
}

/// A saved card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedCard {
    /// A Stripe ID, `pm_…`.
    pub id: CardId,
    /// Such as `visa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// The last four digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last4: Option<String>,
    /// 1 to 12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp_month: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp_year: Option<u16>,
    /// The same for the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// `credit`, `debit`, `prepaid`, `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub funding: Option<String>,
    /// `apple_pay`, `google_pay`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet: Option<String>,
}

impl CustomerProfile {
    /// The cards to show: the same number saved twice is shown once, by the default card if it is
    /// one of them, else by the newest.
    #[must_use]
    pub fn shown_cards(&self) -> Vec<&SavedCard> {
        let mut cards: Vec<&SavedCard> = self.cards.iter().collect();
        cards.sort_by_key(|card| Some(&card.id) != self.default_card.as_ref());
        let mut seen = std::collections::BTreeSet::new();
        cards.retain(|card| {
            card.fingerprint.as_ref().is_none_or(|print| seen.insert(print.clone()))
        });
        cards
    }
}

/// Where the customer can confirm a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefillConfirmation {
    /// Of which refill attempt.
    pub attempt: u32,
    pub url: String,
}

/// The other ids of a payment; what is not known (yet) is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentIds {
    /// A Stripe ID, `cs_…`.
    pub session: Option<String>,
    /// A Stripe ID, `ch_…`.
    pub charge: Option<String>,
    /// A Stripe ID, `in_…`.
    pub invoice: Option<String>,
}

impl Store {
    /// What is known of an account's customer; nothing, if there is none. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn customer_profile(
        &self,
        account: &AccountId,
    ) -> Result<CustomerProfile, StoreError> {
        let item = self.account_item(account, PROFILE).await?.unwrap_or_default();
        read_profile(&item).map_err(malformed(format!("the profile of {account}")))
    }

    /// Sets the customer, unless there is one: the one that is there afterwards.
    ///
    /// # Errors
    /// [`CommandError::Refused`] with [`Refusal::Erased`]; [`CommandError::Fault`].
    pub async fn set_customer(
        &self,
        account: &AccountId,
        customer: &CustomerId,
    ) -> Result<CustomerId, CommandError> {
        let update = Update::builder()
            .update_expression("SET customer = :customer")
            .condition_expression("attribute_not_exists(customer)")
            .expression_attribute_values(":customer", text(customer.as_str()));
        if self.update_profile(account, update).await? == RecordOutcome::New {
            return Ok(customer.clone());
        }
        let profile = self.customer_profile(account).await?;
        if profile.erased {
            return Err(Refusal::Erased.into());
        }
        Ok(profile.customer.unwrap_or_else(|| customer.clone()))
    }

    /// Forgets a customer that was deleted at Stripe, and its cards.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn forget_customer(
        &self,
        account: &AccountId,
        customer: &CustomerId,
    ) -> Result<RecordOutcome, StoreError> {
        let update = Update::builder()
            .update_expression(
                "REMOVE customer, cards, default_card ADD former :one, cards_version :one",
            )
            .condition_expression("customer = :customer")
            .expression_attribute_values(":customer", text(customer.as_str()))
            .expression_attribute_values(":one", number(1));
        self.update_profile(account, update).await
    }

    /// Writes the cards as Stripe has them, if nobody wrote them since `version` was read.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn put_cards(
        &self,
        account: &AccountId,
        cards: &[SavedCard],
        default_card: Option<&CardId>,
        version: u64,
    ) -> Result<RecordOutcome, StoreError> {
        let list = serde_json::to_string(cards);
        let list = list
            .map_err(|error| StoreError::Rejected { call: "UpdateItem", why: error.to_string() })?;
        let mut update = Update::builder()
            .condition_expression("attribute_not_exists(cards_version) OR cards_version = :version")
            .expression_attribute_values(":version", number(version))
            .expression_attribute_values(":next", number(version + 1))
            .expression_attribute_values(":cards", text(list));
        update = match default_card {
            Some(card) => update
                .update_expression(
                    "SET cards = :cards, cards_version = :next, default_card = :card",
                )
                .expression_attribute_values(":card", text(card.as_str())),
            None => update
                .update_expression("SET cards = :cards, cards_version = :next REMOVE default_card"),
        };
        self.update_profile(account, update).await
    }

    /// Notes the payment page that was last made, if the one before is still the known one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn replace_open_session(
        &self,
        account: &AccountId,
        known: Option<&str>,
        session: &str,
    ) -> Result<RecordOutcome, StoreError> {
        let update = Update::builder()
            .update_expression("SET open_session = :session")
            .expression_attribute_values(":session", text(session));
        let update = match known {
            Some(known) => update
                .condition_expression("open_session = :known")
                .expression_attribute_values(":known", text(known)),
            None => update.condition_expression("attribute_not_exists(open_session)"),
        };
        self.update_profile(account, update).await
    }

    /// Notes where the customer can confirm a refill's payment.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn set_confirmation(
        &self,
        account: &AccountId,
        confirmation: &RefillConfirmation,
    ) -> Result<(), StoreError> {
        let written = serde_json::to_string(confirmation);
        let written = written
            .map_err(|error| StoreError::Rejected { call: "UpdateItem", why: error.to_string() })?;
        let update = Update::builder()
            .update_expression("SET confirmation = :confirmation")
            .expression_attribute_values(":confirmation", text(written));
        self.update_profile(account, update).await.map(drop)
    }

    /// Notes the other ids of a payment; what is known already stays, what is new is added.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn note_payment(
        &self,
        account: &AccountId,
        payment: &PaymentId,
        ids: &PaymentIds,
    ) -> Result<(), StoreError> {
        let known = [("session", &ids.session), ("charge", &ids.charge), ("invoice", &ids.invoice)];
        let known: Vec<(&str, &String)> =
            known.iter().filter_map(|(name, id)| Some((*name, id.as_ref()?))).collect();
        if known.is_empty() {
            return Ok(());
        }
        let sets: Vec<String> = known
            .iter()
            .map(|(name, _)| format!("#{name} = if_not_exists(#{name}, :{name})"))
            .collect();
        let mut update = Update::builder().update_expression(format!("SET {}", sets.join(", ")));
        for (name, id) in known {
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), text(id));
        }
        self.update_account_item(account, &payment_key(payment), update).await.map(drop)
    }

    /// The other ids of a payment, as far as they are known.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn payment_ids(
        &self,
        account: &AccountId,
        payment: &PaymentId,
    ) -> Result<PaymentIds, StoreError> {
        let item = self.account_item(account, &payment_key(payment)).await?.unwrap_or_default();
        let id = |name: &str| item.get(name).and_then(|id| id.as_s().ok()).cloned();
        Ok(PaymentIds { session: id("session"), charge: id("charge"), invoice: id("invoice") })
    }

    pub(super) async fn account_item(
        &self,
        account: &AccountId,
        sort_key: &str,
    ) -> Result<Option<StoredItem>, StoreError> {
        let read = self.read_of(&account_partition(account), sort_key).send().await;
        Ok(read.map_err(|error| StoreError::of("GetItem", &error))?.item)
    }

    /// The read of one item of the table of everything that changes. Strongly consistent.
    pub(super) fn read_of(&self, partition: &str, sort_key: &str) -> GetItemFluentBuilder {
        self.client
            .get_item()
            .table_name(&self.tables.accounts)
            .key("pk", text(partition))
            .key("sk", text(sort_key))
            .consistent_read(true)
    }

    /// Writes to the profile, unless it is erased.
    pub(super) async fn update_profile(
        &self,
        account: &AccountId,
        update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
    ) -> Result<RecordOutcome, StoreError> {
        self.update_account_item(account, PROFILE, unless_erased(update)).await
    }

    /// The write to the profile, unless it is erased.
    pub(super) fn kept_profile_update(
        &self,
        account: &AccountId,
        update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
    ) -> Result<TransactWriteItem, StoreError> {
        let key = item([("pk", text(account_partition(account))), ("sk", text(PROFILE))]);
        self.account_update(unless_erased(update).set_key(Some(key)))
    }

    pub(super) async fn update_account_item(
        &self,
        account: &AccountId,
        sort_key: &str,
        update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
    ) -> Result<RecordOutcome, StoreError> {
        let key = item([("pk", text(account_partition(account))), ("sk", text(sort_key))]);
        match self.write(&[self.account_update(update.set_key(Some(key)))?]).await? {
            WriteOutcome::Done => Ok(RecordOutcome::New),
            WriteOutcome::Refused(_) => Ok(RecordOutcome::Existing),
        }
    }
}

fn unless_erased(
    update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
    let is_kept = "attribute_not_exists(erased)";
    let condition = match update.get_condition_expression() {
        Some(condition) => format!("({condition}) AND {is_kept}"),
        None => is_kept.to_owned(),
    };
    update.condition_expression(condition)
}

fn read_profile(item: &StoredItem) -> Result<CustomerProfile, String> {
    let has = |name: &str| item.contains_key(name);
    let json = |name: &str| text_of(item, name);
    Ok(CustomerProfile {
        customer: has("customer").then(|| parsed(item, "customer")).transpose()?,
        former: has("former").then(|| number_of(item, "former")).transpose()?.unwrap_or_default(),
        cards: match has("cards") {
            true => {
                serde_json::from_str(json("cards")?).map_err(|error| format!("cards: {error}"))?
            }
            false => Vec::new(),
        },
        default_card: has("default_card").then(|| parsed(item, "default_card")).transpose()?,
        cards_version: has("cards_version")
            .then(|| number_of(item, "cards_version"))
            .transpose()?
            .unwrap_or_default(),
        open_session: has("open_session").then(|| parsed(item, "open_session")).transpose()?,
        confirmation: match has("confirmation") {
            true => Some(
                serde_json::from_str(json("confirmation")?)
                    .map_err(|error| format!("confirmation: {error}"))?,
            ),
            false => None,
        },
        erased: has("erased"),
    })
}

fn payment_key(payment: &PaymentId) -> String {
    format!("payment#{payment}")
}
