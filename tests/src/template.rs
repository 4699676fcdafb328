//! The CloudFormation template, read as CloudFormation reads it.
//!
//! YAML's short forms (`!Ref`, `!Sub`, `!GetAtt`, …) become the long ones, so that the result is
//! plain JSON: `{"Ref": …}`, `{"Fn::Sub": …}`.

use std::collections::BTreeMap;
use std::path::Path;

use saphyr::{LoadableYamlNode, Scalar, Tag, Yaml};
use serde_json::{Map, Value};

/// `infra/template.yaml`, or another template in its form.
#[derive(Clone, Debug)]
pub struct Template {
    document: Value,
}

impl Template {
    /// The template of this repository, which is the one that is deployed.
    #[must_use]
    pub fn of_this_repository() -> Self {
        Self::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/template.yaml")))
    }

    /// Reads a template from a file.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("cannot read the template {}: {error}", path.display()));
        Self::parse(&text)
    }

    /// Reads a template from YAML.
    #[must_use]
    pub fn parse(yaml: &str) -> Self {
        let documents = Yaml::load_from_str(yaml).expect("the template is YAML");
        let [document] = documents.as_slice() else {
            panic!("the template has {} YAML documents instead of one", documents.len());
        };
        Self { document: to_json(document) }
    }

    /// The whole template as JSON, with the long form of every function.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The resources of one type, such as `AWS::DynamoDB::Table`: logical id and properties, the
    /// latter with `Ref` and `Fn::Sub` of parameters replaced by their values.
    ///
    /// A parameter that `parameters` does not name has its default. Functions that only a deployed
    /// stack can answer (`Fn::GetAtt`, a `Ref` to a resource) stay as they are.
    #[must_use]
    pub fn resources(&self, resource_type: &str, parameters: &BTreeMap<&str, &str>) -> Vec<(String, Value)> {
        let resources = self.document["Resources"].as_object().expect("the template has Resources");
        resources
            .iter()
            .filter(|(_, resource)| resource["Type"] == resource_type)
            .map(|(logical_id, resource)| (logical_id.clone(), self.resolve(&resource["Properties"], parameters)))
            .collect()
    }

    fn resolve(&self, value: &Value, parameters: &BTreeMap<&str, &str>) -> Value {
        match value {
            Value::Object(fields) => {
                if let Some(resolved) = self.resolve_function(fields, parameters) {
                    return resolved;
                }
                let resolve_field = |(key, field): (&String, &Value)| (key.clone(), self.resolve(field, parameters));
                Value::Object(fields.iter().map(resolve_field).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(|item| self.resolve(item, parameters)).collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    /// The value of `{"Ref": "Parameter"}` or `{"Fn::Sub": "…${Parameter}…"}`.
    fn resolve_function(&self, fields: &Map<String, Value>, parameters: &BTreeMap<&str, &str>) -> Option<Value> {
        let mut entries = fields.iter();
        let (Some((function, argument)), None) = (entries.next(), entries.next()) else {
            return None;
        };
        match (function.as_str(), argument.as_str()?) {
            ("Ref", name) => self.parameter(name, parameters).map(Value::String),
            ("Fn::Sub", pattern) => Some(Value::String(self.substitute(pattern, parameters))),
            _ => None,
        }
    }

    fn substitute(&self, pattern: &str, parameters: &BTreeMap<&str, &str>) -> String {
        let mut result = String::new();
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').expect("every ${ of a Fn::Sub is closed");
            result.push_str(before);
            match self.parameter(name, parameters) {
                Some(value) => result.push_str(&value),
                None => result.push_str(&format!("${{{name}}}")),
            }
            rest = after;
        }
        result + rest
    }

    fn parameter(&self, name: &str, parameters: &BTreeMap<&str, &str>) -> Option<String> {
        if let Some(value) = parameters.get(name) {
            return Some((*value).to_owned());
        }
        match &self.document["Parameters"][name]["Default"] {
            Value::String(default) => Some(default.clone()),
            Value::Number(default) => Some(default.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

fn to_json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => Value::from(*value),
        Yaml::Value(Scalar::Integer(value)) => Value::from(*value),
        Yaml::Value(Scalar::FloatingPoint(value)) => Value::from(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => Value::from(value.as_ref()),
        Yaml::Sequence(items) => items.iter().map(to_json).collect(),
        Yaml::Mapping(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key_of(key), to_json(value))).collect())
        }
        Yaml::Tagged(tag, argument) => long_form(tag, to_json(argument)),
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            panic!("CloudFormation has no such YAML: {yaml:?}")
        }
    }
}

fn key_of(key: &Yaml<'_>) -> String {
    match to_json(key) {
        Value::String(key) => key,
        // `200:` among the responses of an HTTP API is a key too.
        key @ (Value::Number(_) | Value::Bool(_)) => key.to_string(),
        key @ (Value::Null | Value::Array(_) | Value::Object(_)) => {
            panic!("a key of a template is a word, not {key}")
        }
    }
}

/// `!Ref x` is `{"Ref": x}`, `!GetAtt a.b` is `{"Fn::GetAtt": ["a", "b"]}`, `!Other x` is
/// `{"Fn::Other": x}` (docs.aws.amazon.com/AWSCloudFormation, intrinsic function reference).
fn long_form(tag: &Tag, argument: Value) -> Value {
    let (function, argument) = match (tag.suffix.as_str(), argument) {
        (name @ ("Ref" | "Condition"), argument) => (name.to_owned(), argument),
        ("GetAtt", Value::String(path)) => {
            let (resource, attribute) = path.split_once('.').expect("!GetAtt Resource.Attribute");
            ("Fn::GetAtt".to_owned(), Value::from(vec![resource, attribute]))
        }
        (name, argument) => (format!("Fn::{name}"), argument),
    };
    Value::Object(Map::from_iter([(function, argument)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEMPLATE: &str = r#"
Parameters:
  Stage: { Type: String, Default: dev }
Resources:
  Things:
    Type: Example
    Properties:
      Name: !Sub "a-${Stage}-${AWS::Region}"
      Stage: !Ref Stage
      Other: !GetAtt Other.Arn
      Chosen: !If [Big, 2, 1.5]
  Other:
    Type: Another
"#;

    #[test]
    fn short_forms_become_long_ones() {
        let template = Template::parse(TEMPLATE);
        assert_eq!(
            template.document()["Resources"]["Things"]["Properties"],
            json!({
                "Name": {"Fn::Sub": "a-${Stage}-${AWS::Region}"},
                "Stage": {"Ref": "Stage"},
                "Other": {"Fn::GetAtt": ["Other", "Arn"]},
                "Chosen": {"Fn::If": ["Big", 2, 1.5]},
            })
        );
    }

    #[test]
    fn parameters_are_replaced_by_what_is_given_or_their_default() {
        let template = Template::parse(TEMPLATE);
        let resolved = |parameters: &BTreeMap<&str, &str>| {
            let [(logical_id, properties)] = template.resources("Example", parameters).try_into().unwrap();
            assert_eq!(logical_id, "Things");
            properties
        };

        let given = resolved(&BTreeMap::from([("Stage", "prod")]));
        assert_eq!(given["Name"], "a-prod-${AWS::Region}");
        assert_eq!(given["Stage"], "prod");
        assert_eq!(given["Other"], json!({"Fn::GetAtt": ["Other", "Arn"]}));

        assert_eq!(resolved(&BTreeMap::new())["Stage"], "dev");
    }

    #[test]
    fn the_template_of_this_repository_has_both_tables() {
        let tables =
            Template::of_this_repository().resources("AWS::DynamoDB::Table", &BTreeMap::from([("Stage", "here")]));
        let mut names: Vec<_> = tables.iter().map(|(_, table)| table["TableName"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["tollgate-here-accounts", "tollgate-here-ledger"]);
    }
}
