//! Key conditions: one partition, and perhaps a range of its sort keys.

use std::ops::Bound;

use super::super::error::{DynamoError, invalid};
use super::super::schema::{KeyAttribute, KeySchema};
use super::super::value::{KeyValue, StoredValue};
use super::condition::{Comparison, Condition, Operand};
use super::parse_condition;
use super::placeholders::Placeholders;

const KIND: &str = "KeyConditionExpression";

#[derive(Clone, Debug)]
pub(in super::super) struct KeyCondition {
    pub(in super::super) partition: KeyValue,
    /// Unbounded if the condition names no sort key, or there is none.
    pub(in super::super) sort: SortRange,
}

#[derive(Clone, Debug)]
pub(in super::super) struct SortRange {
    pub(in super::super) low: Bound<KeyValue>,
    pub(in super::super) high: Bound<KeyValue>,
}

impl SortRange {
    const ALL: Self = Self { low: Bound::Unbounded, high: Bound::Unbounded };

    pub(in super::super) fn contains(&self, key: &KeyValue) -> bool {
        let is_high_enough = match &self.low {
            Bound::Included(low) => key >= low,
            Bound::Excluded(low) => key > low,
            Bound::Unbounded => true,
        };
        is_high_enough
            && match &self.high {
                Bound::Included(high) => key <= high,
                Bound::Excluded(high) => key < high,
                Bound::Unbounded => true,
            }
    }
}

impl KeyCondition {
    pub(in super::super) fn parse(
        expression: &str,
        placeholders: &mut Placeholders,
        keys: &KeySchema,
    ) -> Result<Self, DynamoError> {
        let condition = parse_condition(KIND, expression, placeholders)?;
        let mut parts = Vec::new();
        conjuncts(condition, &mut parts)?;
        let (mut partition, mut sort) = (None, None);
        for part in parts {
            let (name, range) = key_range(part)?;
            if name == keys.partition.name {
                let KeyRange::Equal(value) = range else {
                    return Err(invalid("Query key condition not supported"));
                };
                let value = key_value(&keys.partition, &value)?;
                if partition.replace(value).is_some() {
                    return Err(too_many(&name));
                }
                continue;
            }
            let Some(attribute) = keys.sort.as_ref().filter(|sort| sort.name == name) else {
                let missed = keys.sort.as_ref().unwrap_or(&keys.partition);
                return Err(missed_key(&missed.name));
            };
            if sort.replace(sort_range(attribute, range)?).is_some() {
                return Err(too_many(&name));
            }
        }
        let partition = partition.ok_or_else(|| missed_key(&keys.partition.name))?;
        Ok(Self { partition, sort: sort.unwrap_or(SortRange::ALL) })
    }
}

enum KeyRange {
    Equal(StoredValue),
    Less(StoredValue),
    AtMost(StoredValue),
    Greater(StoredValue),
    AtLeast(StoredValue),
    Between(StoredValue, StoredValue),
    BeginsWith(StoredValue),
}

/// The parts between the `AND`s, without their parentheses.
fn conjuncts(condition: Condition, parts: &mut Vec<Condition>) -> Result<(), DynamoError> {
    let unsupported = |operator: &str| {
        let message = format!("Invalid {KIND}: Invalid operator used in {KIND}: {operator}");
        Err(invalid(message))
    };
    match condition {
        Condition::And(left, right) => {
            conjuncts(*left, parts)?;
            conjuncts(*right, parts)
        }
        Condition::Group(inner) => conjuncts(*inner, parts),
        Condition::Or(..) => unsupported("OR"),
        Condition::Not(_) => unsupported("NOT"),
        Condition::OneOf { .. } => unsupported("IN"),
        Condition::Exists(_) => unsupported("attribute_exists"),
        Condition::NotExists(_) => unsupported("attribute_not_exists"),
        Condition::Compare { comparison: Comparison::NotEqual, .. } => unsupported("<>"),
        Condition::Compare { .. } | Condition::Between { .. } | Condition::BeginsWith { .. } => {
            parts.push(condition);
            Ok(())
        }
    }
}

fn key_range(part: Condition) -> Result<(String, KeyRange), DynamoError> {
    let unsupported = || invalid("Query key condition not supported");
    match part {
        Condition::Compare { left, comparison, right } => {
            // `:value < key` is `key > :value`.
            let (name, value, comparison) = match (left, right) {
                (Operand::Attribute(name), Operand::Value(value)) => (name, value, comparison),
                (Operand::Value(value), Operand::Attribute(name)) => {
                    (name, value, mirrored(comparison))
                }
                (Operand::Attribute(_), Operand::Attribute(_))
                | (Operand::Value(_), Operand::Value(_)) => return Err(unsupported()),
            };
            let range = match comparison {
                Comparison::Equal => KeyRange::Equal(value),
                Comparison::Less => KeyRange::Less(value),
                Comparison::AtMost => KeyRange::AtMost(value),
                Comparison::Greater => KeyRange::Greater(value),
                Comparison::AtLeast => KeyRange::AtLeast(value),
                Comparison::NotEqual => return Err(unsupported()),
            };
            Ok((name, range))
        }
        Condition::Between {
            value: Operand::Attribute(name),
            low: Operand::Value(low),
            high: Operand::Value(high),
        } => Ok((name, KeyRange::Between(low, high))),
        Condition::BeginsWith {
            value: Operand::Attribute(name),
            prefix: Operand::Value(prefix),
        } => Ok((name, KeyRange::BeginsWith(prefix))),
        Condition::Between { .. }
        | Condition::BeginsWith { .. }
        | Condition::OneOf { .. }
        | Condition::Exists(_)
        | Condition::NotExists(_)
        | Condition::And(..)
        | Condition::Or(..)
        | Condition::Not(_)
        | Condition::Group(_) => Err(unsupported()),
    }
}

fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::AtMost => Comparison::AtLeast,
        Comparison::Greater => Comparison::Less,
        Comparison::AtLeast => Comparison::AtMost,
        Comparison::Equal | Comparison::NotEqual => comparison,
    }
}

fn sort_range(attribute: &KeyAttribute, range: KeyRange) -> Result<SortRange, DynamoError> {
    let key = |value: StoredValue| key_value(attribute, &value);
    let (low, high) = match range {
        KeyRange::Equal(value) => {
            let value = key(value)?;
            (Bound::Included(value.clone()), Bound::Included(value))
        }
        KeyRange::Less(value) => (Bound::Unbounded, Bound::Excluded(key(value)?)),
        KeyRange::AtMost(value) => (Bound::Unbounded, Bound::Included(key(value)?)),
        KeyRange::Greater(value) => (Bound::Excluded(key(value)?), Bound::Unbounded),
        KeyRange::AtLeast(value) => (Bound::Included(key(value)?), Bound::Unbounded),
        KeyRange::Between(low, high) => (Bound::Included(key(low)?), Bound::Included(key(high)?)),
        KeyRange::BeginsWith(prefix) => {
            let prefix = key(prefix)?;
            let after = match &prefix {
                KeyValue::Text(prefix) => after_prefix(prefix),
                KeyValue::Number(_) => return Err(invalid("Query key condition not supported")),
            };
            let high =
                after.map_or(Bound::Unbounded, |after| Bound::Excluded(KeyValue::Text(after)));
            (Bound::Included(prefix), high)
        }
    };
    Ok(SortRange { low, high })
}

/// The lowest text above all that begin with the prefix. `None` if there is none. Code points and
/// UTF-8 bytes have the same order.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = match last {
            // Surrogates are no characters.
            '\u{D7FF}' => Some('\u{E000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

fn key_value(attribute: &KeyAttribute, value: &StoredValue) -> Result<KeyValue, DynamoError> {
    let key = KeyValue::of(value).filter(|_| attribute.has_type_of(value));
    let key = key.ok_or_else(|| {
        invalid(
            "One or more parameter values were invalid: Condition parameter type does not match \
             schema type",
        )
    })?;
    if key == KeyValue::Text(String::new()) {
        return Err(invalid(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute \
             cannot contain an empty string value. Key: {}",
            attribute.name
        )));
    }
    Ok(key)
}

fn missed_key(name: &str) -> DynamoError {
    invalid(format!("Query condition missed key schema element: {name}"))
}

fn too_many(name: &str) -> DynamoError {
    invalid(format!(
        "Invalid {KIND}: {KIND}s must only contain one condition per key; attribute: {name}"
    ))
}
