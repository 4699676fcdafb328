//! The CloudFormation template, read as CloudFormation reads it.
//!
//! YAML's short forms (`!Ref`, `!Sub`, `!GetAtt`, …) become the long ones, so that the result is
//! plain JSON: `{"Ref": …}`, `{"Fn::Sub": …}`. [`Resolver`](super::Resolver) then answers these
//! functions as a stack that is deployed into the local cloud would.

use std::path::Path;

use saphyr::{LoadableYamlNode, Scalar, Tag, Yaml};
use serde_json::{Map, Value};

/// `infra/template.yaml`, or another template in its form.
#[derive(Clone, Debug)]
pub struct Template {
    pub(super) document: Value,
}

/// An error in a template, as text for its author.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(pub(crate) String);

impl Template {
    /// The deployed template of this repository.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is not a template.
    pub fn of_this_repository() -> Result<Self, TemplateError> {
        Self::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml")))
    }

    /// Reads a template from a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is no template.
    pub fn read(path: &Path) -> Result<Self, TemplateError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            TemplateError(format!("cannot read the template {}: {error}", path.display()))
        })?;
        Self::parse(&text)
    }

    /// Reads a template from YAML.
    ///
    /// # Errors
    ///
    /// If the text is not YAML, or YAML that CloudFormation does not read.
    pub fn parse(yaml: &str) -> Result<Self, TemplateError> {
        let documents = Yaml::load_from_str(yaml)
            .map_err(|error| TemplateError(format!("the template is not YAML: {error}")))?;
        let [document] = documents.as_slice() else {
            return Err(TemplateError(format!(
                "the template has {} YAML documents, not one",
                documents.len()
            )));
        };
        let document = to_json(document)?;
        if !document["Resources"].is_object() {
            return Err(TemplateError("the template has no Resources".to_owned()));
        }
        Ok(Self { document })
    }

    /// The whole template as JSON, with the long form of every function.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }
}

fn to_json(yaml: &Yaml<'_>) -> Result<Value, TemplateError> {
    Ok(match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => Value::from(*value),
        Yaml::Value(Scalar::Integer(value)) => Value::from(*value),
        Yaml::Value(Scalar::FloatingPoint(value)) => Value::from(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => Value::from(value.as_ref()),
        Yaml::Sequence(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Yaml::Mapping(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| Ok((key_of(key)?, to_json(value)?)))
                .collect::<Result<_, _>>()?,
        ),
        Yaml::Tagged(tag, argument) => long_form(tag, to_json(argument)?)?,
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            return Err(TemplateError(format!("CloudFormation has no such YAML: {yaml:?}")));
        }
    })
}

fn key_of(key: &Yaml<'_>) -> Result<String, TemplateError> {
    match to_json(key)? {
        Value::String(key) => Ok(key),
        // `200:` among the responses of an HTTP API is a key too.
        key @ (Value::Number(_) | Value::Bool(_)) => Ok(key.to_string()),
        key @ (Value::Null | Value::Array(_) | Value::Object(_)) => {
            Err(TemplateError(format!("a key of a template is a word, not {key}")))
        }
    }
}

/// `!Ref x` is `{"Ref": x}`, `!GetAtt a.b` is `{"Fn::GetAtt": ["a", "b"]}`, `!Other x` is
/// `{"Fn::Other": x}` (docs.aws.amazon.com/AWSCloudFormation, intrinsic function reference).
fn long_form(tag: &Tag, argument: Value) -> Result<Value, TemplateError> {
    let (function, argument) = match (tag.suffix.as_str(), argument) {
        (name @ ("Ref" | "Condition"), argument) => (name.to_owned(), argument),
        ("GetAtt", Value::String(path)) => {
            let (resource, attribute) = path.split_once('.').ok_or_else(|| {
                TemplateError(format!("!GetAtt {path} is not of the form Resource.Attribute"))
            })?;
            ("Fn::GetAtt".to_owned(), Value::from(vec![resource, attribute]))
        }
        (name, argument) => (format!("Fn::{name}"), argument),
    };
    Ok(Value::Object(Map::from_iter([(function, argument)])))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use serde_json::json;

    const TEMPLATE: &str = r#"
Parameters:
  Stage: { Type: String, Default: dev }
Resources:
  Things:
    Type: Example
    Properties:
      Name: !Sub "a-${Stage}-${Unknown}"
      Stage: !Ref Stage
      Other: !GetAtt Other.Unknown
      Chosen: !If [Big, 2, 1.5]
  Other:
    Type: Another
"#;

    #[test]
    fn short_forms_become_long_ones() {
        let template = Template::parse(TEMPLATE).unwrap();
        assert_eq!(
            template.document()["Resources"]["Things"]["Properties"],
            json!({
                "Name": {"Fn::Sub": "a-${Stage}-${Unknown}"},
                "Stage": {"Ref": "Stage"},
                "Other": {"Fn::GetAtt": ["Other", "Unknown"]},
                "Chosen": {"Fn::If": ["Big", 2, 1.5]},
            })
        );
    }

    #[test]
    fn parameters_are_replaced_by_what_is_given_or_their_default() {
        let template = Template::parse(TEMPLATE).unwrap();
        let resolved = |parameters: &BTreeMap<&str, &str>| {
            let [(logical_id, properties)] =
                template.resources("Example", parameters).try_into().unwrap();
            assert_eq!(logical_id, "Things");
            properties
        };

        let given = resolved(&BTreeMap::from([("Stage", "prod")]));
        assert_eq!(given["Name"], "a-prod-${Unknown}");
        assert_eq!(given["Stage"], "prod");
        assert_eq!(given["Other"], json!({"Fn::GetAtt": ["Other", "Unknown"]}));

        assert_eq!(resolved(&BTreeMap::new())["Stage"], "dev");
    }

    #[test]
    fn the_template_of_this_repository_has_both_tables() {
        let tables = Template::of_this_repository()
            .unwrap()
            .resources("AWS::DynamoDB::Table", &BTreeMap::from([("Stage", "here")]));
        let mut names: Vec<_> =
            tables.iter().map(|(_, table)| table["TableName"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["tollgate-here-accounts", "tollgate-here-ledger"]);
    }

    #[test]
    fn what_is_no_template_is_refused_with_a_reason() {
        let refused = |yaml| Template::parse(yaml).unwrap_err().to_string();
        assert!(refused("{").starts_with("the template is not YAML"));
        assert_eq!(refused("a: 1"), "the template has no Resources");
        assert!(refused("Resources: {A: !GetAtt b}").contains("Resource.Attribute"));
    }
}
