//! A request's body as JSON, and what its caller is told of one that cannot be read: which field,
//! and what it must be. Texts of the parser, with lines and columns, never leave the system.

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::http::problem::{Problem, ProblemCode};

/// The body as JSON of the shape that is needed.
///
/// # Errors
/// [`ProblemCode::InvalidBody`], with the field in `parameter` unless the whole body is wrong.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.trim_ascii().is_empty() {
        return Err(wrong("The request body is empty. Send a JSON object."));
    }
    // Serde takes a list for a struct, and its values for the fields in their order: nobody means
    // that.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json);
    let ended = json.end();
    match (read, ended) {
        (Err(error), _) if error.inner().classify() != Category::Data => Err(not_json()),
        (Ok(_), Err(_)) => Err(not_json()),
        (Ok(_) | Err(_), _) if !is_object => Err(wrong("The request body must be a JSON object.")),
        (Err(error), _) => Err(of_field(&error)),
        (Ok(value), Ok(())) => Ok(value),
    }
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::InvalidBody, detail)
}

fn not_json() -> Problem {
    wrong("The request body is not valid JSON.")
}

/// The problem of a field: `auto_refill.threshold: must be a string.`
fn of_field(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let message = error.inner().to_string();
    // Serde writes the place behind every message.
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let path = error.path().to_string();
    let parent = if path == "." { String::new() } else { path };
    let (field, why) = explain(&parent, message);
    if field.is_empty() {
        return wrong(format!("The request body {why}."));
    }
    wrong(format!("{field}: {why}.")).with("parameter", field)
}

/// The field that a message of serde is about, and what is wrong with it.
fn explain(path: &str, message: &str) -> (String, String) {
    if let Some(name) = quoted(message, "missing field ") {
        return (inside(path, name), "is required".to_owned());
    }
    if let Some(name) = quoted(message, "duplicate field ") {
        return (inside(path, name), "must be given once".to_owned());
    }
    if let Some(name) = quoted(message, "unknown field ") {
        let why = match message.split_once(", expected ") {
            Some((_, known)) => format!("is not a field of this request. Use {}", plain(known)),
            None => "is not a field of this request".to_owned(),
        };
        return (inside(path, name), why);
    }
    let of = |start: &str| message.starts_with(start);
    if of("invalid type: ") || of("invalid value: ") || of("invalid length ") {
        let expected = message.split_once(", expected ").map_or("", |(_, expected)| expected);
        return (path.to_owned(), format!("must be {}", kind(expected)));
    }
    if of("unknown variant ") {
        let known = message.split_once(", expected ").map_or("", |(_, known)| known);
        return (path.to_owned(), format!("must be {}", plain(known)));
    }
    // The sentence of a type of ours: `must be an e-mail address such as name@example.com`.
    (path.to_owned(), message.to_owned())
}

/// The name between backticks after these words.
fn quoted<'a>(message: &'a str, words: &str) -> Option<&'a str> {
    message.strip_prefix(words)?.strip_prefix('`')?.split('`').next()
}

/// The name of a field inside another. The path may already end with it.
fn inside(path: &str, name: &str) -> String {
    let ends = path == name || path.strip_suffix(name).is_some_and(|start| start.ends_with('.'));
    match path {
        "" => name.to_owned(),
        path if ends => path.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// A list of names without the backticks: `amount or auto_refill`.
fn plain(names: &str) -> String {
    names.replace('`', "")
}

/// A type in JSON's words.
fn kind(expected: &str) -> String {
    let text = match expected {
        "a sequence" => "a list",
        "a map" => "an object",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        other if other.starts_with("struct ") || other.contains("enum ") => "an object",
        other => return plain(other),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;
    use crate::domain::profile::EmailAddress;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        _amount: String,
        _inner: Option<Inner>,
        #[serde(default)]
        _list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        _on: bool,
        _count: Option<u32>,
        _email: Option<EmailAddress>,
        _level: Option<Level>,
    }

    #[derive(Debug, Deserialize)]
    enum Level {
        #[serde(rename = "low")]
        _Low,
        #[serde(rename = "high")]
        _High,
    }

    #[track_caller]
    fn check(body: &str, parameter: Option<&str>, detail: &str) {
        let problem = read::<Wish>(body.as_bytes()).unwrap_err();
        let problem: Value = serde_json::to_value(&problem).unwrap();
        assert_eq!(problem["code"], "invalid_body", "{body}");
        assert_eq!(problem["detail"].as_str(), Some(detail), "{body}");
        assert_eq!(problem["parameter"].as_str(), parameter, "{body}");
    }

    #[test]
    fn every_wrong_field_is_named_with_what_it_must_be() {
        let email = "must be an e-mail address such as name@example.com.";
        for (body, parameter, why) in [
            ("{}", "_amount", "is required."),
            (r#"{"_amount":5.25}"#, "_amount", "must be a string."),
            (r#"{"_amount":"5","_amount":"5"}"#, "_amount", "must be given once."),
            (
                r#"{"_amount":"5","amuont":"5"}"#,
                "amuont",
                "is not a field of this request. Use one of _amount, _inner, _list.",
            ),
            (r#"{"_amount":"5","_inner":{}}"#, "_inner._on", "is required."),
            (r#"{"_amount":"5","_inner":true}"#, "_inner", "must be an object."),
            (r#"{"_amount":"5","_inner":{"_on":"yes"}}"#, "_inner._on", "must be true or false."),
            (
                r#"{"_amount":"5","_inner":{"_on":true,"_count":-1}}"#,
                "_inner._count",
                "must be a whole number that is not negative.",
            ),
            (r#"{"_amount":"5","_inner":{"_on":true,"_email":"x"}}"#, "_inner._email", email),
            (
                r#"{"_amount":"5","_inner":{"_on":true,"_level":"x"}}"#,
                "_inner._level",
                "must be low or high.",
            ),
            (r#"{"_amount":"5","_list":{}}"#, "_list", "must be a list."),
            (r#"{"_amount":"5","_list":[{"_on":true},{}]}"#, "_list[1]._on", "is required."),
        ] {
            check(body, Some(parameter), &format!("{parameter}: {why}"));
        }
    }

    #[test]
    fn whole_body_that_is_wrong_is_described_without_the_parsers_words() {
        check("", None, "The request body is empty. Send a JSON object.");
        check("{", None, "The request body is not valid JSON.");
        check(r#"{"_amount":"5"} x"#, None, "The request body is not valid JSON.");
        check("{'_amount': 5}", None, "The request body is not valid JSON.");
        for other in [r#"["5"]"#, "[]", "7", "null", r#""text""#] {
            check(other, None, "The request body must be a JSON object.");
        }
    }
}
