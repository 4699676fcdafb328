//! Reading requests. What is not imitated is refused here.

use serde_json::Value;

use super::error::{DynamoError, invalid, malformed, not_imitated};
use super::expression::condition::Condition;
use super::expression::parse_condition;
use super::expression::placeholders::Placeholders;
use super::value::{StoredAttributes, read_item};

/// The parameters of a call, or of one action of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallParameters<'a> {
    name: &'a str,
    body: &'a Value,
}

impl<'a> CallParameters<'a> {
    /// Refuses every parameter that is not in `known`.
    pub(super) fn read(
        name: &'a str,
        body: &'a Value,
        known: &[&str],
    ) -> Result<Self, DynamoError> {
        let object = body.as_object().ok_or_else(|| malformed(format!("{name} is no object")))?;
        let mut present = object.iter().filter(|(_, value)| !value.is_null());
        if let Some((parameter, _)) = present.find(|(name, _)| !known.contains(&name.as_str())) {
            return Err(not_imitated(format!("{name} with the parameter {parameter}")));
        }
        Ok(Self { name, body })
    }

    pub(super) fn body(&self) -> &'a Value {
        self.body
    }

    pub(super) fn text(&self, parameter: &str) -> Result<Option<&'a str>, DynamoError> {
        let value = &self.body[parameter];
        if value.is_null() {
            return Ok(None);
        }
        value.as_str().map(Some).ok_or_else(|| malformed(format!("{parameter} is no text")))
    }

    pub(super) fn required_text(&self, parameter: &str) -> Result<&'a str, DynamoError> {
        self.text(parameter)?.ok_or_else(|| self.missing(parameter))
    }

    pub(super) fn switch(&self, parameter: &str) -> Result<Option<bool>, DynamoError> {
        let value = &self.body[parameter];
        if value.is_null() {
            return Ok(None);
        }
        value.as_bool().map(Some).ok_or_else(|| malformed(format!("{parameter} is no switch")))
    }

    /// At least 1.
    pub(super) fn limit(&self) -> Result<Option<usize>, DynamoError> {
        let value = &self.body["Limit"];
        if value.is_null() {
            return Ok(None);
        }
        let limit = value.as_u64().and_then(|limit| usize::try_from(limit).ok());
        limit.filter(|limit| *limit > 0).map(Some).ok_or_else(|| {
            invalid("Value at 'limit' failed to satisfy constraint: at least 1 is needed")
        })
    }

    pub(super) fn item(&self, parameter: &str) -> Result<StoredAttributes, DynamoError> {
        let value = &self.body[parameter];
        if value.is_null() {
            return Err(self.missing(parameter));
        }
        read_item(value)
    }

    pub(super) fn list(&self, parameter: &str) -> Result<&'a [Value], DynamoError> {
        let list = self.body[parameter].as_array().map(Vec::as_slice);
        list.ok_or_else(|| self.missing(parameter))
    }

    /// One of the imitated values of a parameter.
    pub(super) fn one_of<T: Copy>(
        &self,
        parameter: &str,
        values: &[(&str, T)],
    ) -> Result<Option<T>, DynamoError> {
        let Some(wanted) = self.text(parameter)? else { return Ok(None) };
        let found = values.iter().find(|(name, _)| *name == wanted);
        let found = found.ok_or_else(|| not_imitated(format!("{parameter} {wanted}")))?;
        Ok(Some(found.1))
    }

    pub(super) fn condition(
        &self,
        parameter: &'static str,
        placeholders: &mut Placeholders,
    ) -> Result<Option<Condition>, DynamoError> {
        let expression = self.text(parameter)?;
        expression.map(|text| parse_condition(parameter, text, placeholders)).transpose()
    }

    fn missing(&self, parameter: &str) -> DynamoError {
        invalid(format!("{} has no parameter {parameter}", self.name))
    }
}
