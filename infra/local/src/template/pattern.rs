//! Event patterns: which events a rule wants (docs.aws.amazon.com/eventbridge, "Event pattern
//! syntax"), and with the same syntax which records a mapping wants.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    alternatives: Vec<Fields>,
}

/// Why a value is no pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the event pattern is wrong: {0}")]
pub struct PatternError(String);

/// Every one of these must match.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Fields {
    fields: Vec<(String, Field)>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Field {
    /// The field is an object that matches.
    Object(Pattern),
    /// The field has a value, or has not, that one of these accepts.
    Values(Vec<Condition>),
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Condition {
    Equals(Value),
    Text(TextCondition),
    AnythingBut(Vec<Condition>),
    Numeric(Vec<(Comparison, Decimal)>),
    Exists,
    Missing,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum TextCondition {
    Prefix(String),
    PrefixIgnoringCase(String),
    Suffix(String),
    SuffixIgnoringCase(String),
    EqualsIgnoringCase(String),
    /// Parts between the stars.
    Wildcard(Vec<String>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// If EventBridge would refuse it, or it compares in a way not known here (`cidr`).
    pub fn read(pattern: &Value) -> Result<Self, PatternError> {
        let fields =
            pattern.as_object().ok_or_else(|| PatternError("it is not an object".to_owned()))?;
        if fields.is_empty() {
            return Err(PatternError("it is empty".to_owned()));
        }
        Self::of_fields(fields)
    }

    /// Whether an event, or another value, matches the pattern.
    #[must_use]
    pub fn matches(&self, event: &Value) -> bool {
        self.alternatives.iter().any(|alternative| {
            alternative.fields.iter().all(|(name, field)| field.matches(event.get(name)))
        })
    }

    fn of_fields(fields: &Map<String, Value>) -> Result<Self, PatternError> {
        let mut alternatives = vec![Fields::default()];
        for (name, value) in fields {
            if name == "$or" {
                // Every alternative so far with every one of these.
                let choices = value.as_array().filter(|choices| choices.len() > 1);
                let choices = choices
                    .ok_or_else(|| PatternError("$or has a list of two or more".to_owned()))?;
                let choices = choices.iter().map(Self::read).collect::<Result<Vec<_>, _>>()?;
                let choices: Vec<Fields> =
                    choices.into_iter().flat_map(|choice| choice.alternatives).collect();
                alternatives = alternatives
                    .iter()
                    .flat_map(|so_far| {
                        choices.iter().map(|choice| so_far.clone().and(choice.clone()))
                    })
                    .collect();
            } else {
                let field = Field::read(name, value)?;
                for alternative in &mut alternatives {
                    alternative.fields.push((name.clone(), field.clone()));
                }
            }
        }
        Ok(Self { alternatives })
    }
}

impl Fields {
    fn and(mut self, other: Self) -> Self {
        self.fields.extend(other.fields);
        self
    }
}

impl Field {
    fn read(name: &str, value: &Value) -> Result<Self, PatternError> {
        if let Some(fields) = value.as_object() {
            if fields.is_empty() {
                return Err(PatternError(format!("{name} is an empty object")));
            }
            return Pattern::of_fields(fields).map(Self::Object);
        }
        let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
            return Err(PatternError(format!("{name} must be an object or a list of one or more")));
        };
        items.iter().map(Condition::read).collect::<Result<_, _>>().map(Self::Values)
    }

    fn matches(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            // In a list of objects one must match.
            (Self::Object(pattern), Some(Value::Array(items))) => {
                items.iter().any(|item| pattern.matches(item))
            }
            (Self::Object(pattern), value) => pattern.matches(value.unwrap_or(&Value::Null)),
            (Self::Values(conditions), value) => {
                conditions.iter().any(|condition| condition.matches(value))
            }
        }
    }
}

impl Condition {
    fn read(value: &Value) -> Result<Self, PatternError> {
        let Some(fields) = value.as_object() else {
            if value.is_array() {
                return Err(PatternError(format!("{value} is a list in a list")));
            }
            return Ok(Self::Equals(value.clone()));
        };
        let mut entries = fields.iter();
        let (Some((name, argument)), None) = (entries.next(), entries.next()) else {
            return Err(PatternError(format!("{value} must have one comparison")));
        };
        let wrong = || PatternError(format!("{value} is no comparison known here"));
        match name.as_str() {
            "exists" => {
                Ok(if argument.as_bool().ok_or_else(wrong)? { Self::Exists } else { Self::Missing })
            }
            "numeric" => Self::numeric(argument).ok_or_else(wrong),
            "anything-but" => Self::anything_but(argument).ok_or_else(wrong),
            _ => TextCondition::read(name, argument).map(Self::Text).ok_or_else(wrong),
        }
    }

    fn anything_but(argument: &Value) -> Option<Self> {
        let plain = |value: &Value| {
            (value.is_string() || value.is_number()).then(|| Self::Equals(value.clone()))
        };
        let conditions: Option<Vec<Self>> = if let Value::Object(fields) = argument {
            let (name, argument) = fields.iter().next().filter(|_| fields.len() == 1)?;
            one_or_more(argument)
                .map(|argument| TextCondition::read(name, argument).map(Self::Text))
                .collect()
        } else {
            one_or_more(argument).map(plain).collect()
        };
        conditions.filter(|conditions| !conditions.is_empty()).map(Self::AnythingBut)
    }

    fn numeric(argument: &Value) -> Option<Self> {
        let items = argument.as_array()?;
        let (pairs, []) = items.as_chunks::<2>() else { return None };
        let comparison = |[operator, number]: &[Value; 2]| {
            let comparison = match operator.as_str()? {
                "<" => Comparison::Less,
                "<=" => Comparison::LessOrEqual,
                "=" => Comparison::Equal,
                ">=" => Comparison::GreaterOrEqual,
                ">" => Comparison::Greater,
                _ => return None,
            };
            Some((comparison, decimal(number)?))
        };
        let comparisons: Option<Vec<_>> = pairs.iter().map(comparison).collect();
        comparisons.filter(|comparisons| !comparisons.is_empty()).map(Self::Numeric)
    }

    /// A list matches if one of its values does.
    fn matches(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Missing, value) => value.is_none(),
            (_, None) => false,
            // `exists` sees leaves only.
            (Self::Exists, Some(value)) => !value.is_object(),
            (_, Some(Value::Array(items))) => items.iter().any(|item| self.matches_one(item)),
            (_, Some(value)) => self.matches_one(value),
        }
    }

    fn matches_one(&self, value: &Value) -> bool {
        match self {
            Self::Equals(wanted) => match (decimal(wanted), decimal(value)) {
                (Some(wanted), Some(value)) => wanted == value,
                _ => wanted == value,
            },
            Self::Text(condition) => value.as_str().is_some_and(|text| condition.matches(text)),
            Self::AnythingBut(conditions) => {
                !conditions.iter().any(|condition| condition.matches_one(value))
            }
            Self::Numeric(comparisons) => decimal(value).is_some_and(|value| {
                comparisons.iter().all(|(comparison, number)| comparison.holds(value, *number))
            }),
            Self::Exists => true,
            Self::Missing => false,
        }
    }
}

impl TextCondition {
    fn read(name: &str, argument: &Value) -> Option<Self> {
        let ignoring_case =
            |argument: &Value| argument["equals-ignore-case"].as_str().map(str::to_lowercase);
        match (name, argument.as_str()) {
            ("prefix", Some(text)) => Some(Self::Prefix(text.to_owned())),
            ("prefix", None) => ignoring_case(argument).map(Self::PrefixIgnoringCase),
            ("suffix", Some(text)) => Some(Self::Suffix(text.to_owned())),
            ("suffix", None) => ignoring_case(argument).map(Self::SuffixIgnoringCase),
            ("equals-ignore-case", Some(text)) => {
                Some(Self::EqualsIgnoringCase(text.to_lowercase()))
            }
            ("wildcard", Some(text)) if !text.contains("**") && !text.contains('\\') => {
                Some(Self::Wildcard(text.split('*').map(str::to_owned).collect()))
            }
            _ => None,
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::PrefixIgnoringCase(prefix) => text.to_lowercase().starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::SuffixIgnoringCase(suffix) => text.to_lowercase().ends_with(suffix.as_str()),
            Self::EqualsIgnoringCase(other) => text.to_lowercase() == *other,
            Self::Wildcard(parts) => matches_wildcard(parts, text),
        }
    }
}

/// The first part begins the text, the last ends it, the others follow each other in between.
fn matches_wildcard(parts: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = parts else {
        return parts.first().is_some_and(|only| only == text);
    };
    let Some(rest) = text.strip_prefix(first.as_str()) else { return false };
    let Some(mut rest) = rest.strip_suffix(last.as_str()) else { return false };
    for part in middle {
        match rest.split_once(part.as_str()) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

impl Comparison {
    fn holds(self, value: Decimal, number: Decimal) -> bool {
        match self {
            Self::Less => value < number,
            Self::LessOrEqual => value <= number,
            Self::Equal => value == number,
            Self::GreaterOrEqual => value >= number,
            Self::Greater => value > number,
        }
    }
}

/// The values of a list, or the one value that is none.
fn one_or_more(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice).iter()
}

/// A number without rounding, so that 0.1 is 0.10 and 1e1 is 10.
fn decimal(value: &Value) -> Option<Decimal> {
    let Value::Number(number) = value else { return None };
    let text = number.to_string();
    Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pattern_matches_what_eventbridge_would_match() {
        let check = |pattern: Value, event: Value, expected: bool| {
            let matches = Pattern::read(&pattern).unwrap().matches(&event);
            assert_eq!(matches, expected, "{pattern} on {event}");
        };
        check(json!({"source": ["a", "b"]}), json!({"source": "b", "more": 1}), true);
        check(json!({"source": ["a"]}), json!({"source": "A"}), false);
        check(json!({"source": ["a"], "id": ["1"]}), json!({"source": "a"}), false);
        check(json!({"detail": {"state": [null]}}), json!({"detail": {"state": null}}), true);
        check(json!({"detail": {"list": ["x"]}}), json!({"detail": {"list": ["y", "x"]}}), true);
        check(
            json!({"detail": {"list": {"id": [2]}}}),
            json!({"detail": {"list": [{"id": 1}, {"id": 2}]}}),
            true,
        );
        check(json!({"n": [300]}), json!({"n": 3.0e2}), true);
        check(json!({"n": [300]}), json!({"n": "300"}), false);
        check(json!({"a": [{"prefix": "ab"}]}), json!({"a": "abc"}), true);
        check(json!({"a": [{"prefix": {"equals-ignore-case": "AB"}}]}), json!({"a": "abc"}), true);
        check(json!({"a": [{"suffix": ".rs"}]}), json!({"a": "lib.rs"}), true);
        check(json!({"a": [{"suffix": ".rs"}]}), json!({"a": 1}), false);
        check(json!({"a": [{"equals-ignore-case": "Alice"}]}), json!({"a": "aLICE"}), true);
        check(json!({"a": [{"wildcard": "a*c*e"}]}), json!({"a": "abcde"}), true);
        check(json!({"a": [{"wildcard": "a*c*e"}]}), json!({"a": "ae"}), false);
        check(json!({"a": [{"anything-but": ["x", "y"]}]}), json!({"a": "z"}), true);
        check(json!({"a": [{"anything-but": ["x", "y"]}]}), json!({"a": "x"}), false);
        check(json!({"a": [{"anything-but": "x"}]}), json!({}), false);
        check(json!({"a": [{"anything-but": {"prefix": "x"}}]}), json!({"a": "xy"}), false);
        check(json!({"a": [{"anything-but": {"suffix": ["x", "y"]}}]}), json!({"a": "az"}), true);
        check(json!({"a": [{"numeric": [">", 0, "<=", 5]}]}), json!({"a": 5}), true);
        check(json!({"a": [{"numeric": [">", 0, "<=", 5]}]}), json!({"a": 5.000001}), false);
        check(json!({"a": [{"numeric": ["=", 0.3]}]}), json!({"a": 0.30}), true);
        check(json!({"a": [{"exists": true}]}), json!({"a": null}), true);
        check(json!({"a": [{"exists": true}]}), json!({"a": {}}), false);
        check(json!({"a": [{"exists": false}]}), json!({}), true);
        check(json!({"a": [{"exists": false}, "x"]}), json!({"a": "x"}), true);
        check(json!({"d": {"a": [{"exists": false}]}}), json!({}), true);
        let either = json!({"s": ["1"], "$or": [{"a": ["x"]}, {"b": [{"numeric": [">", 1]}]}]});
        check(either.clone(), json!({"s": "1", "a": "x"}), true);
        check(either.clone(), json!({"s": "1", "b": 2}), true);
        check(either, json!({"s": "1", "a": "y", "b": 1}), false);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            json!({}),
            json!([]),
            json!({"a": "x"}),
            json!({"a": []}),
            json!({"a": {}}),
            json!({"a": [["x"]]}),
            json!({"a": [{"cidr": "10.0.0.0/24"}]}),
            json!({"a": [{"numeric": [">"]}]}),
            json!({"a": [{"numeric": ["!", 1]}]}),
            json!({"a": [{"prefix": "x", "suffix": "y"}]}),
            json!({"a": [{"anything-but": []}]}),
            json!({"$or": [{"a": ["x"]}]}),
        ] {
            assert!(Pattern::read(&pattern).is_err(), "{pattern}");
        }
    }
}
