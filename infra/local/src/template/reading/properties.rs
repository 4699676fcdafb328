//! Properties of a resource, and errors in them as text.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::template::document::TemplateError;
use crate::template::wiring::Target;

/// The properties of a resource or of a part of one, and the name of their owner.
#[derive(Clone, Debug)]
pub(super) struct Properties<'a> {
    owner: String,
    value: &'a Value,
}

impl<'a> Properties<'a> {
    pub(super) fn of(owner: &str, value: &'a Value) -> Self {
        Self { owner: owner.to_owned(), value }
    }

    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// A part of these, which may be missing.
    pub(super) fn part(&self, name: &str) -> Self {
        Self { owner: format!("{}.{name}", self.owner), value: &self.value[name] }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.value.as_object().into_iter().flat_map(Map::iter)
    }

    pub(super) fn only(&self, known: &[&str]) -> Result<(), TemplateError> {
        match self.all().find(|(property, _)| !known.contains(&property.as_str())) {
            Some((property, _)) => Err(self.unknown(property)),
            None => Ok(()),
        }
    }

    pub(super) fn unknown(&self, property: &str) -> TemplateError {
        TemplateError(format!(
            "{}: the local cloud does not know the property {property}",
            self.owner
        ))
    }

    pub(super) fn wrong(&self, property: &str, what: &str) -> TemplateError {
        TemplateError(format!("{}: {property} is {}, not {what}", self.owner, self.value[property]))
    }

    pub(super) fn optional(&self, property: &str) -> Option<&'a Value> {
        self.value.get(property).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, property: &str) -> Result<&'a str, TemplateError> {
        self.value[property].as_str().ok_or_else(|| self.wrong(property, "a text"))
    }

    pub(super) fn optional_text(&self, property: &str) -> Result<Option<&'a str>, TemplateError> {
        self.optional(property).map(|_| self.text(property)).transpose()
    }

    pub(super) fn number(&self, property: &str) -> Result<Option<u64>, TemplateError> {
        let Some(value) = self.optional(property) else { return Ok(None) };
        value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .map(Some)
            .ok_or_else(|| self.wrong(property, "a whole number"))
    }

    pub(super) fn count(&self, property: &str) -> Result<u32, TemplateError> {
        self.optional_count(property)?.ok_or_else(|| self.wrong(property, "a whole number"))
    }

    pub(super) fn optional_count(&self, property: &str) -> Result<Option<u32>, TemplateError> {
        let number = self.number(property)?;
        number
            .map(|number| u32::try_from(number).map_err(|_| self.wrong(property, "a small number")))
            .transpose()
    }

    pub(super) fn size(&self, property: &str, default: usize) -> Result<usize, TemplateError> {
        let number = self.number(property)?;
        number.map_or(Ok(default), |number| {
            usize::try_from(number).map_err(|_| self.wrong(property, "a small number"))
        })
    }

    pub(super) fn seconds(&self, property: &str, default: u64) -> Result<Duration, TemplateError> {
        Ok(Duration::from_secs(self.number(property)?.unwrap_or(default)))
    }

    pub(super) fn is_true(&self, property: &str) -> bool {
        self.value[property].as_bool().unwrap_or(false) || self.value[property] == "true"
    }

    /// `State: DISABLED`, `Enabled: false`: whether the trigger is switched off.
    pub(super) fn is_disabled(&self) -> bool {
        self.value["State"] == "DISABLED"
            || self.value["Enabled"] == false
            || self.value["Enabled"] == "false"
    }

    pub(super) fn target(&self, property: &str) -> Result<Target, TemplateError> {
        let arn = self.text(property)?;
        Target::of_arn(arn)
            .ok_or_else(|| self.wrong(property, "the ARN of a function, a queue or a bus"))
    }

    pub(super) fn queue(&self, property: &str) -> Result<String, TemplateError> {
        match self.target(property)? {
            Target::Queue(name) => Ok(name),
            Target::Function(_) | Target::Bus(_) => Err(self.wrong(property, "the ARN of a queue")),
        }
    }

    pub(super) fn list(&self, property: &str) -> &'a [Value] {
        self.value[property].as_array().map_or(&[], Vec::as_slice)
    }

    pub(super) fn texts(&self, property: &str) -> Vec<String> {
        match &self.value[property] {
            Value::String(text) => vec![text.clone()],
            Value::Array(items) => {
                items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
        }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }
}
