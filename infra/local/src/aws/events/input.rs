//! The input of a target: the whole event, a part of it, a constant, or a text that contains parts.

use serde_json::Value;
use time::UtcDateTime;

use crate::runtime::clock;
use crate::runtime::names;
use crate::template::wiring::Input;

/// The payload for one target.
///
/// # Errors
///
/// If a constant or a template does not produce JSON.
pub(super) fn apply(
    input: &Input,
    event: &Value,
    rule: &str,
    now: UtcDateTime,
) -> Result<String, String> {
    match input {
        Input::Event => Ok(event.to_string()),
        Input::Constant(text) => check(text.clone()),
        Input::Path(path) => Ok(at(event, path).unwrap_or(&Value::Null).to_string()),
        Input::Transformer { paths, template } => {
            let mut text = template
                .replace("<aws.events.rule-name>", rule)
                .replace("<aws.events.rule-arn>", &names::arn("events", &format!("rule/{rule}")))
                .replace("<aws.events.event.ingestion-time>", &clock::format_seconds(now))
                .replace("<aws.events.event.json>", &event.to_string())
                .replace("<aws.events.event>", &without_detail(event).to_string());
            for (name, path) in paths {
                let value =
                    at(event, path).cloned().unwrap_or_else(|| Value::String(String::new()));
                let placeholder = format!("<{name}>");
                text = replace(&text, &placeholder, &value);
            }
            check(text)
        }
    }
}

/// A string is put in without quotes where the template has quotes around it, and with quotes of
/// its own elsewhere; everything else as JSON.
fn replace(template: &str, placeholder: &str, value: &Value) -> String {
    let mut result = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once(placeholder) {
        result.push_str(before);
        let json = value.to_string();
        let inner = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
        let in_quotes = result.matches('"').count() - result.matches("\\\"").count();
        match inner {
            Some(inner) if in_quotes % 2 == 1 => result.push_str(inner),
            Some(_) | None => result.push_str(&json),
        }
        rest = after;
    }
    result + rest
}

fn check(text: String) -> Result<String, String> {
    match serde_json::from_str::<Value>(&text) {
        Ok(_) => Ok(text),
        // A template of several lines of text becomes one JSON string.
        Err(_) if !text.trim_start().starts_with(['{', '[']) => Ok(Value::String(text).to_string()),
        Err(error) => Err(format!("the input of the target is not JSON: {error}")),
    }
}

fn without_detail(event: &Value) -> Value {
    let mut event = event.clone();
    if let Some(fields) = event.as_object_mut() {
        fields.remove("detail");
    }
    event
}

/// Finds a path such as `$.detail.items[0].id` in an event.
fn at<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    let mut value = event;
    for part in path.strip_prefix('$')?.split('.').filter(|part| !part.is_empty()) {
        let (name, indexes) =
            part.split_once('[').map_or((part, None), |(name, rest)| (name, Some(rest)));
        if !name.is_empty() {
            value = value.get(name)?;
        }
        for index in indexes.into_iter().flat_map(|indexes| indexes.split('[')) {
            value = value.get(index.strip_suffix(']')?.parse::<usize>().ok()?)?;
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;
    use time::macros::utc_datetime;

    fn applied(input: &Input) -> Result<Value, String> {
        let event =
            json!({"id": "1", "detail": {"name": "a \"b\"", "n": 3, "list": [{"x": true}]}});
        apply(input, &event, "rule", utc_datetime!(2026-11-01 0:00))
            .map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_target_gets_what_its_input_says() {
        assert_eq!(applied(&Input::Path("$.detail.list[0].x".to_owned())).unwrap(), json!(true));
        assert_eq!(applied(&Input::Constant("{\"a\":1}".to_owned())).unwrap(), json!({"a": 1}));
        let paths = [("name", "$.detail.name"), ("n", "$.detail.n"), ("gone", "$.detail.gone")];
        let paths: BTreeMap<_, _> =
            paths.map(|(name, path)| (name.to_owned(), path.to_owned())).into();
        let template = r#"{"said": "it is <name>", "name": <name>, "n": <n>, "gone": "<gone>", "rule": "<aws.events.rule-name>"}"#;
        assert_eq!(
            applied(&Input::Transformer { paths: paths.clone(), template: template.to_owned() })
                .unwrap(),
            json!({"said": "it is a \"b\"", "name": "a \"b\"", "n": 3, "gone": "", "rule": "rule"})
        );
        assert_eq!(
            applied(&Input::Transformer { paths, template: "n is <n>".to_owned() }).unwrap(),
            json!("n is 3")
        );
    }

    #[test]
    fn an_input_that_does_not_come_out_as_json_is_a_failure() {
        assert!(applied(&Input::Constant("{".to_owned())).is_err());
    }
}
