//! Stripe's form encoding: `metadata[account]=a`, `line_items[0][quantity]=1`,
//! `expand[]=latest_charge`.

use serde_json::{Map, Value, json};

use super::endpoints::{Endpoint, Parameter, ParameterKind};
use super::failure::Failure;

/// One value of a form with the way to it: `line_items[0][quantity]` is `["line_items", "0",
/// "quantity"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// The name as it was sent.
    pub(super) name: String,
    path: Vec<String>,
    /// The value, always text on the wire.
    pub(super) value: String,
}

/// Reads a query or a body. Empty brackets are given the next number of their list.
pub(super) fn decode(raw: &[u8]) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = Vec::new();
    for (name, value) in form_urlencoded::parse(raw) {
        let mut path = split(&name);
        for place in 0..path.len() {
            if path.get(place).is_some_and(String::is_empty) {
                let number = number_of(&leaves, &path, place).to_string();
                if let Some(segment) = path.get_mut(place) {
                    *segment = number;
                }
            }
        }
        leaves.push(Leaf { name: name.into_owned(), path, value: value.into_owned() });
    }
    leaves
}

/// The segments of a name.
fn split(name: &str) -> Vec<String> {
    let mut segments = name.split('[');
    let mut path = vec![segments.next().unwrap_or_default().to_owned()];
    path.extend(segments.map(|segment| segment.trim_end_matches(']').to_owned()));
    path
}

/// The index of `[]` at `place`: a new element as soon as the last one has this field.
fn number_of(leaves: &[Leaf], path: &[String], place: usize) -> usize {
    let (before, after) =
        (path.get(..place).unwrap_or_default(), path.get(place + 1..).unwrap_or_default());
    let of_list = || leaves.iter().filter(|leaf| leaf.path.get(..place) == Some(before));
    let last = of_list().filter_map(|leaf| leaf.path.get(place)?.parse::<usize>().ok()).max();
    let Some(last) = last else { return 0 };
    let taken = of_list()
        .filter(|leaf| leaf.path.get(place).map(String::as_str) == Some(last.to_string().as_str()))
        .any(|leaf| leaf.path.get(place + 1..).is_some_and(|rest| rest == after));
    if after.is_empty() || taken { last + 1 } else { last }
}

/// Checks the parameters against the endpoint's list and gives each value its type.
pub(super) fn check(endpoint: &Endpoint, leaves: &[Leaf]) -> Result<Value, Failure> {
    let mut tree = Value::Object(Map::new());
    for leaf in leaves {
        let Some((parameter, pattern)) = endpoint.parameter_at(&leaf.path) else {
            return Err(Failure::parameter_unknown(&leaf.name));
        };
        let value = typed(&parameter, leaf)?;
        insert(&mut tree, &pattern, &leaf.path, value);
    }
    let tree = lists(tree);
    for parameter in endpoint.parameters().filter(|parameter| parameter.required) {
        let first = parameter.name.split('[').next().unwrap_or_default();
        if tree.get(first).is_none_or(Value::is_null) {
            return Err(Failure::parameter_missing(parameter.name));
        }
    }
    Ok(tree)
}

/// The value with the type of its parameter. An empty text unsets, which is JSON's `null`.
fn typed(parameter: &Parameter, leaf: &Leaf) -> Result<Value, Failure> {
    let value = leaf.value.as_str();
    let refused = |failure: Failure| Err(failure.param(&leaf.name).before_work());
    match parameter.kind {
        ParameterKind::Text | ParameterKind::Map if value.is_empty() => Ok(Value::Null),
        ParameterKind::Text | ParameterKind::Map => Ok(json!(value)),
        ParameterKind::Integer => match value.parse::<i64>() {
            Ok(number) => Ok(json!(number)),
            Err(_) => refused(Failure::invalid_as(
                "parameter_invalid_integer",
                format!("Invalid integer: {value}"),
            )),
        },
        ParameterKind::Boolean => match value {
            "true" => Ok(json!(true)),
            "false" => Ok(json!(false)),
            _ => refused(Failure::invalid(format!("Invalid boolean: {value}"))),
        },
        ParameterKind::OneOf(values) if values.contains(&value) => Ok(json!(value)),
        ParameterKind::OneOf(values) => {
            let message = format!("Invalid {}: must be one of {}", leaf.name, values.join(", "));
            refused(Failure::invalid(message).outside())
        }
    }
}

/// Marks the elements of a list while the tree is built.
fn element(number: &str) -> String {
    format!("[]{number:0>8}")
}

fn insert(tree: &mut Value, pattern: &[&str], path: &[String], value: Value) {
    let mut place = tree;
    for (wanted, segment) in pattern.iter().zip(path) {
        let key = if *wanted == "[]" { element(segment) } else { segment.clone() };
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(fields) = place else { return };
        place = fields.entry(key).or_insert(Value::Null);
    }
    *place = value;
}

/// Turns marked objects into lists.
fn lists(tree: Value) -> Value {
    let Value::Object(fields) = tree else { return tree };
    let is_list = !fields.is_empty() && fields.keys().all(|key| key.starts_with("[]"));
    let mut fields: Vec<(String, Value)> =
        fields.into_iter().map(|(key, value)| (key, lists(value))).collect();
    if is_list {
        fields.sort_by(|(left, _), (right, _)| left.cmp(right));
        return Value::Array(fields.into_iter().map(|(_, value)| value).collect());
    }
    Value::Object(fields.into_iter().collect())
}

/// The fields of a plain form of a page. The last value of a name counts.
pub(super) fn fields(raw: &[u8]) -> std::collections::BTreeMap<String, String> {
    form_urlencoded::parse(raw)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}
