//! `ExpressionAttributeNames` and `ExpressionAttributeValues`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;

use super::super::error::{DynamoError, invalid, malformed, not_imitated};
use super::super::value::StoredValue;
use super::token::{Token, TokenReader};

/// docs.aws.amazon.com/amazondynamodb, "Reserved words in DynamoDB".
static RESERVED_WORDS: LazyLock<BTreeSet<&str>> =
    LazyLock::new(|| include_str!("../reserved_words.txt").split_whitespace().collect());

/// Names and values by placeholder, and which of them an expression used.
#[derive(Debug, Default)]
pub(in super::super) struct Placeholders {
    names: BTreeMap<String, String>,
    values: BTreeMap<String, StoredValue>,
    used: BTreeSet<String>,
}

impl Placeholders {
    pub(in super::super) fn read(request: &Value) -> Result<Self, DynamoError> {
        let mut placeholders = Self::default();
        for (name, value) in entries(request, "ExpressionAttributeNames", '#')? {
            let attribute =
                value.as_str().ok_or_else(|| malformed(format!("{name} is no text")))?;
            placeholders.names.insert(name.clone(), attribute.to_owned());
        }
        for (name, value) in entries(request, "ExpressionAttributeValues", ':')? {
            placeholders.values.insert(name.clone(), StoredValue::read(value)?);
        }
        Ok(placeholders)
    }

    /// Refuses placeholders that no expression of the request used.
    pub(in super::super) fn check_all_used(&self) -> Result<(), DynamoError> {
        let check = |kind: &str, names: &mut dyn Iterator<Item = &String>| {
            let unused: Vec<&str> =
                names.filter(|name| !self.used.contains(*name)).map(String::as_str).collect();
            if unused.is_empty() {
                return Ok(());
            }
            Err(invalid(format!(
                "Value provided in {kind} unused in expressions: keys: {{{}}}",
                unused.join(", ")
            )))
        };
        check("ExpressionAttributeNames", &mut self.names.keys())?;
        check("ExpressionAttributeValues", &mut self.values.keys())
    }

    /// The next token as the name of an attribute at the top of the item.
    pub(super) fn attribute(&mut self, tokens: &mut TokenReader) -> Result<String, DynamoError> {
        let name = match tokens.peek() {
            Some(Token::Word(word)) if word.starts_with(|first: char| first.is_ascii_digit()) => {
                return Err(tokens.syntax_error());
            }
            Some(Token::Word(word)) if RESERVED_WORDS.contains(&*word.to_ascii_uppercase()) => {
                return Err(tokens.fault(&format!(
                    "Attribute name is a reserved keyword; reserved keyword: {word}"
                )));
            }
            Some(Token::Word(word)) => word.clone(),
            Some(Token::Name(placeholder)) => {
                let Some(name) = self.names.get(placeholder) else {
                    return Err(tokens.fault(&format!(
                        "An expression attribute name used in the document path is not defined; \
                         attribute name: {placeholder}"
                    )));
                };
                self.used.insert(placeholder.clone());
                name.clone()
            }
            Some(Token::Value(_) | Token::Symbol(_)) | None => return Err(tokens.syntax_error()),
        };
        tokens.next();
        if matches!(tokens.peek(), Some(Token::Symbol("." | "["))) {
            return Err(not_imitated("paths into an attribute"));
        }
        Ok(name)
    }

    /// The next token as a value, if it is one.
    pub(super) fn value(
        &mut self,
        tokens: &mut TokenReader,
    ) -> Result<Option<StoredValue>, DynamoError> {
        let Some(Token::Value(placeholder)) = tokens.peek() else { return Ok(None) };
        let Some(value) = self.values.get(placeholder) else {
            return Err(tokens.fault(&format!(
                "An expression attribute value used in expression is not defined; attribute \
                 value: {placeholder}"
            )));
        };
        self.used.insert(placeholder.clone());
        tokens.next();
        Ok(Some(value.clone()))
    }
}

fn entries<'a>(
    request: &'a Value,
    parameter: &str,
    sigil: char,
) -> Result<Vec<(&'a String, &'a Value)>, DynamoError> {
    let value = &request[parameter];
    if value.is_null() {
        return Ok(Vec::new());
    }
    let object = value.as_object().ok_or_else(|| malformed(format!("{parameter} is no object")))?;
    if object.is_empty() {
        return Err(invalid(format!("{parameter} must not be empty")));
    }
    if let Some(name) = object.keys().find(|name| !name.starts_with(sigil) || name.len() == 1) {
        return Err(invalid(format!("{parameter} contains invalid key: {name}")));
    }
    Ok(object.iter().collect())
}
