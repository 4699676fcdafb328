//! Items of DynamoDB as attributes by name.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;

use super::StoreError;
use crate::domain::ids::AccountId;

pub(super) type StoredItem = HashMap<String, AttributeValue>;

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(super) fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> StoredItem {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The attribute as text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn text_of<'i>(item: &'i StoredItem, name: &str) -> Result<&'i str, String> {
    let value = item.get(name).ok_or_else(|| format!("{name} is missing"))?;
    value.as_s().map(String::as_str).map_err(|_| format!("{name} is not text"))
}

/// The attribute as an id, or whatever else is read from text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parsed<T: FromStr<Err: Display>>(item: &StoredItem, name: &str) -> Result<T, String> {
    text_of(item, name)?.parse().map_err(|error| format!("{name}: {error}"))
}

/// The attribute as a number of whatever type reads it from decimal digits.
///
/// # Errors
/// What is wrong with it.
pub(super) fn number_of<T: FromStr<Err: Display>>(
    item: &StoredItem,
    name: &str,
) -> Result<T, String> {
    let value = item.get(name).ok_or_else(|| format!("{name} is missing"))?;
    let digits = value.as_n().map_err(|_| format!("{name} is not a number"))?;
    digits.parse().map_err(|error| format!("{name}: {error}"))
}

/// An item that is not what it should be, by its key.
pub(super) fn malformed(key: impl Into<String>) -> impl Fn(String) -> StoreError {
    let key = key.into();
    move |why| StoreError::Malformed { key: key.clone(), why }
}

pub(super) fn account_partition(account: &AccountId) -> String {
    format!("account#{account}")
}
