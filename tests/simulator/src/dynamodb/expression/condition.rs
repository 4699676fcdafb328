//! Conditions, and whether an item meets them.

use std::cmp::Ordering;

use super::super::value::{StoredAttributes, StoredValue};

#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) enum Condition {
    Compare {
        left: Operand,
        comparison: Comparison,
        right: Operand,
    },
    Between {
        value: Operand,
        low: Operand,
        high: Operand,
    },
    OneOf {
        value: Operand,
        list: Vec<Operand>,
    },
    Exists(String),
    NotExists(String),
    BeginsWith {
        value: Operand,
        prefix: Operand,
    },
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    /// In parentheses.
    Group(Box<Condition>),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) enum Operand {
    Attribute(String),
    Value(StoredValue),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Condition {
    /// Whether an item meets it. No item has no attributes.
    pub(in super::super) fn is_met(&self, item: &StoredAttributes) -> bool {
        match self {
            Self::Compare { left, comparison, right } => {
                comparison.holds(left.of(item), right.of(item))
            }
            Self::Between { value, low, high } => {
                let value = value.of(item);
                Comparison::AtLeast.holds(value, low.of(item))
                    && Comparison::AtMost.holds(value, high.of(item))
            }
            Self::OneOf { value, list } => {
                list.iter().any(|one| Comparison::Equal.holds(value.of(item), one.of(item)))
            }
            Self::Exists(name) => item.contains_key(name),
            Self::NotExists(name) => !item.contains_key(name),
            Self::BeginsWith { value, prefix } => match (value.of(item), prefix.of(item)) {
                (Some(StoredValue::Text(value)), Some(StoredValue::Text(prefix))) => {
                    value.starts_with(prefix.as_str())
                }
                (_, _) => false,
            },
            Self::And(left, right) => left.is_met(item) && right.is_met(item),
            Self::Or(left, right) => left.is_met(item) || right.is_met(item),
            Self::Not(condition) => !condition.is_met(item),
            Self::Group(condition) => condition.is_met(item),
        }
    }

    /// The attributes it names.
    pub(in super::super) fn attributes(&self) -> Vec<&str> {
        match self {
            Self::Compare { left, comparison: _, right } => names(&[left, right]),
            Self::Between { value, low, high } => names(&[value, low, high]),
            Self::OneOf { value, list } => {
                names(&[value].into_iter().chain(list).collect::<Vec<_>>())
            }
            Self::Exists(name) | Self::NotExists(name) => vec![name],
            Self::BeginsWith { value, prefix } => names(&[value, prefix]),
            Self::And(left, right) | Self::Or(left, right) => {
                let mut all = left.attributes();
                all.extend(right.attributes());
                all
            }
            Self::Not(condition) | Self::Group(condition) => condition.attributes(),
        }
    }
}

fn names<'a>(operands: &[&'a Operand]) -> Vec<&'a str> {
    let name = |operand: &&'a Operand| match operand {
        Operand::Attribute(name) => Some(name.as_str()),
        Operand::Value(_) => None,
    };
    operands.iter().filter_map(name).collect()
}

impl Operand {
    fn of<'a>(&'a self, item: &'a StoredAttributes) -> Option<&'a StoredValue> {
        match self {
            Self::Attribute(name) => item.get(name),
            Self::Value(value) => Some(value),
        }
    }
}

impl Comparison {
    pub(super) fn of_symbol(symbol: &str) -> Option<Self> {
        match symbol {
            "=" => Some(Self::Equal),
            "<>" => Some(Self::NotEqual),
            "<" => Some(Self::Less),
            "<=" => Some(Self::AtMost),
            ">" => Some(Self::Greater),
            ">=" => Some(Self::AtLeast),
            _ => None,
        }
    }

    /// An absent attribute, or one of another type, differs from every value and has no order.
    fn holds(self, left: Option<&StoredValue>, right: Option<&StoredValue>) -> bool {
        let (Some(left), Some(right)) = (left, right) else { return self == Self::NotEqual };
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left.order(right).is_some_and(Ordering::is_lt),
            Self::AtMost => left.order(right).is_some_and(Ordering::is_le),
            Self::Greater => left.order(right).is_some_and(Ordering::is_gt),
            Self::AtLeast => left.order(right).is_some_and(Ordering::is_ge),
        }
    }
}
