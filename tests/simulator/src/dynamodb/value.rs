//! Attribute values, items and keys.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::error::{DynamoError, invalid, malformed, not_imitated};
use super::number::DecimalNumber;

/// An item: its attributes by name.
pub(super) type StoredAttributes = BTreeMap<String, StoredValue>;

/// Binary values and sets are absent: the product has none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum StoredValue {
    Text(String),
    Number(DecimalNumber),
    Bool(bool),
    Null,
    List(Vec<StoredValue>),
    Map(StoredAttributes),
}

impl StoredValue {
    pub(super) fn read(value: &Value) -> Result<Self, DynamoError> {
        let object = value.as_object().ok_or_else(|| malformed("an attribute is no object"))?;
        let mut types = object.iter();
        let (Some((kind, content)), None) = (types.next(), types.next()) else {
            return Err(invalid(
                "Supplied AttributeValue must contain exactly one of the supported datatypes",
            ));
        };
        let wrong = || malformed(format!("{content} is no value of the type {kind}"));
        match kind.as_str() {
            "S" => Ok(Self::Text(content.as_str().ok_or_else(wrong)?.to_owned())),
            "N" => DecimalNumber::parse(content.as_str().ok_or_else(wrong)?).map(Self::Number),
            "BOOL" => content.as_bool().map(Self::Bool).ok_or_else(wrong),
            "NULL" if *content == Value::Bool(true) => Ok(Self::Null),
            "NULL" => Err(invalid("Null attribute value types must have the value of true")),
            "L" => {
                let values = content.as_array().ok_or_else(wrong)?.iter();
                values.map(Self::read).collect::<Result<_, _>>().map(Self::List)
            }
            "M" => read_item(content).map(Self::Map),
            other => Err(not_imitated(format!("attributes of the type {other}"))),
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!({"S": text}),
            Self::Number(number) => json!({"N": number.to_string()}),
            Self::Bool(value) => json!({"BOOL": value}),
            Self::Null => json!({"NULL": true}),
            Self::List(values) => json!({"L": values.iter().map(Self::json).collect::<Vec<_>>()}),
            Self::Map(values) => json!({"M": item_json(values)}),
        }
    }

    /// The type as requests and schemas write it.
    pub(super) fn type_code(&self) -> &'static str {
        match self {
            Self::Text(_) => "S",
            Self::Number(_) => "N",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::List(_) => "L",
            Self::Map(_) => "M",
        }
    }

    /// Strings by their UTF-8 bytes, numbers by value. `None` for other types and for two types.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(mine), Self::Text(others)) => Some(mine.as_bytes().cmp(others.as_bytes())),
            (Self::Number(mine), Self::Number(others)) => Some(mine.cmp(others)),
            (
                Self::Text(_)
                | Self::Number(_)
                | Self::Bool(_)
                | Self::Null
                | Self::List(_)
                | Self::Map(_),
                _,
            ) => None,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(number) => number.size(),
            Self::Bool(_) | Self::Null => 1,
            Self::List(values) => 3 + values.iter().map(|value| value.size() + 1).sum::<usize>(),
            Self::Map(values) => 3 + values.len() + item_size(values),
        }
    }
}

pub(super) fn read_item(value: &Value) -> Result<StoredAttributes, DynamoError> {
    let object = value.as_object().ok_or_else(|| malformed("an item is no object"))?;
    let attribute = |(name, value): (&String, &Value)| {
        if name.is_empty() {
            return Err(invalid("One or more parameter values were invalid: empty attribute name"));
        }
        Ok((name.clone(), StoredValue::read(value)?))
    };
    object.iter().map(attribute).collect()
}

pub(super) fn item_json(item: &StoredAttributes) -> Value {
    Value::Object(
        item.iter().map(|(name, value)| (name.clone(), value.json())).collect::<Map<_, _>>(),
    )
}

/// Attribute names count, as in DynamoDB's limits.
pub(super) fn item_size(item: &StoredAttributes) -> usize {
    item.iter().map(|(name, value)| name.len() + value.size()).sum()
}

/// A value of a key.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum KeyValue {
    Number(DecimalNumber),
    /// Ordered by UTF-8 bytes, as `String` is.
    Text(String),
}

impl KeyValue {
    pub(super) fn of(value: &StoredValue) -> Option<Self> {
        match value {
            StoredValue::Text(text) => Some(Self::Text(text.clone())),
            StoredValue::Number(number) => Some(Self::Number(*number)),
            StoredValue::Bool(_)
            | StoredValue::Null
            | StoredValue::List(_)
            | StoredValue::Map(_) => None,
        }
    }

    pub(super) fn value(&self) -> StoredValue {
        match self {
            Self::Text(text) => StoredValue::Text(text.clone()),
            Self::Number(number) => StoredValue::Number(*number),
        }
    }

    /// For a [`Staleness`](super::Staleness), which decides by texts.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// The key of an item within its table. `sort` is `None` in a table without a sort key.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct ItemKey {
    pub(super) partition: KeyValue,
    pub(super) sort: Option<KeyValue>,
}

impl ItemKey {
    /// For a [`Staleness`](super::Staleness).
    pub(super) fn text(&self) -> String {
        match &self.sort {
            Some(sort) => format!("{} {}", self.partition.text(), sort.text()),
            None => self.partition.text(),
        }
    }
}
