//! The results of CloudFormation's intrinsic functions in the local cloud.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::runtime::names;
use crate::template::document::{Template, TemplateError};

/// Answers `Ref`, `Fn::GetAtt`, `Fn::Sub`, `Fn::Join`, `Fn::Split`, `Fn::Select` and `Fn::If` for
/// one set of parameters.
///
/// A function that it cannot answer stays as it is. The reader that needs a text there reports it.
#[derive(Clone, Debug)]
pub struct Resolver<'a> {
    template: &'a Template,
    parameters: BTreeMap<String, String>,
    /// Where queues are reached, the first part of their URLs.
    queues: String,
    /// Where the HTTP API is reached.
    api: Option<String>,
}

impl<'a> Resolver<'a> {
    /// A resolver with these parameters, and the template's defaults for the others.
    #[must_use]
    pub fn new(template: &'a Template, parameters: BTreeMap<String, String>) -> Self {
        Self { template, parameters, queues: names::DEPLOYED_QUEUES.to_owned(), api: None }
    }

    /// The same resolver for a cloud whose queues and API have these addresses.
    #[must_use]
    pub fn at(mut self, queues: String, api: String) -> Self {
        self.queues = queues;
        self.api = Some(api);
        self
    }

    /// The resources of one type that their conditions allow: logical id and resolved properties.
    #[must_use]
    pub fn resources(&self, resource_type: &str) -> Vec<(String, Value)> {
        self.all()
            .filter(|(_, resource)| resource["Type"] == resource_type)
            .map(|(logical_id, resource)| {
                (logical_id.clone(), self.resolve(&resource["Properties"]))
            })
            .collect()
    }

    /// Logical id and type of every resource that its condition allows.
    pub fn types(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all().filter_map(|(logical_id, resource)| {
            Some((logical_id.as_str(), resource["Type"].as_str()?))
        })
    }

    /// A section of the template, such as `Globals`, or `Metadata` of a resource, resolved.
    #[must_use]
    pub fn section(&self, path: &[&str]) -> Value {
        let mut value = &self.template.document;
        for key in path {
            value = &value[*key];
        }
        self.resolve(value)
    }

    /// Every parameter that has neither a given value nor a default.
    ///
    /// # Errors
    ///
    /// If there is one, with their names.
    pub fn check_parameters(&self) -> Result<(), TemplateError> {
        let declared = self.template.document["Parameters"].as_object();
        let missing: Vec<_> = declared
            .into_iter()
            .flat_map(Map::keys)
            .filter(|name| self.parameter(name).is_none())
            .map(String::as_str)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(TemplateError(format!(
            "these parameters of the template have no value: {}",
            missing.join(", ")
        )))
    }

    fn all(&self) -> impl Iterator<Item = (&String, &Value)> {
        let resources = self.template.document["Resources"].as_object();
        resources.into_iter().flatten().filter(|(_, resource)| {
            match resource["Condition"].as_str() {
                Some(condition) => self.condition(condition),
                None => true,
            }
        })
    }

    pub(crate) fn resolve(&self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                if let Some(resolved) = self.function(fields) {
                    return resolved;
                }
                let fields = fields.iter().map(|(key, field)| (key.clone(), self.resolve(field)));
                Value::Object(fields.filter(|(_, field)| !is_no_value(field)).collect())
            }
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.resolve(item))
                    .filter(|item| !is_no_value(item))
                    .collect(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    fn function(&self, fields: &Map<String, Value>) -> Option<Value> {
        let mut entries = fields.iter();
        let (Some((function, argument)), None) = (entries.next(), entries.next()) else {
            return None;
        };
        match function.as_str() {
            "Ref" => self.reference(argument.as_str()?).map(Value::String),
            "Fn::GetAtt" => self
                .attribute(argument.get(0)?.as_str()?, argument.get(1)?.as_str()?)
                .map(Value::String),
            "Fn::Sub" => self.sub(argument),
            "Fn::Join" => self.join(argument),
            "Fn::Split" => self.split(argument),
            "Fn::Select" => self.select(argument),
            "Fn::If" => {
                let condition = argument.get(0)?.as_str()?;
                self.template.document["Conditions"].get(condition)?;
                let branch = if self.condition(condition) { 1 } else { 2 };
                Some(self.resolve(argument.get(branch)?))
            }
            "Fn::Equals" | "Fn::Not" | "Fn::And" | "Fn::Or" => {
                Some(Value::Bool(self.holds(function, argument)))
            }
            _ => None,
        }
    }

    fn join(&self, argument: &Value) -> Option<Value> {
        let separator = argument.get(0)?.as_str()?;
        let items = self.resolve(argument.get(1)?);
        let texts: Option<Vec<String>> = items.as_array()?.iter().map(text).collect();
        Some(Value::String(texts?.join(separator)))
    }

    fn split(&self, argument: &Value) -> Option<Value> {
        let separator = argument.get(0)?.as_str()?;
        let whole = text(&self.resolve(argument.get(1)?))?;
        Some(whole.split(separator).map(Value::from).collect())
    }

    fn select(&self, argument: &Value) -> Option<Value> {
        let place: usize = text(argument.get(0)?)?.parse().ok()?;
        self.resolve(argument.get(1)?).get(place).cloned()
    }

    fn sub(&self, argument: &Value) -> Option<Value> {
        let (pattern, variables) = match argument.as_str() {
            Some(pattern) => (pattern, Value::Null),
            None => (argument.get(0)?.as_str()?, self.resolve(argument.get(1)?)),
        };
        let mut result = String::new();
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}')?;
            result.push_str(before);
            let value = if let Some(literal) = name.strip_prefix('!') {
                Some(format!("${{{literal}}}"))
            } else {
                variables.get(name).and_then(text).or_else(|| match name.split_once('.') {
                    Some((resource, attribute)) => self.attribute(resource, attribute),
                    None => self.reference(name),
                })
            };
            result.push_str(&value.unwrap_or_else(|| format!("${{{name}}}")));
            rest = after;
        }
        Some(Value::String(result + rest))
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.parameters.get(name).cloned().or_else(|| {
            self.template.document["Parameters"]
                .get(name)
                .and_then(|parameter| text(&parameter["Default"]))
        })
    }

    fn reference(&self, name: &str) -> Option<String> {
        let pseudo = match name {
            "AWS::Region" => names::REGION,
            "AWS::AccountId" => names::ACCOUNT,
            "AWS::Partition" => "aws",
            "AWS::URLSuffix" => "amazonaws.com",
            "AWS::StackName" => "tollgate-local",
            "AWS::NoValue" => NO_VALUE,
            _ => return self.parameter(name).or_else(|| self.physical_id(name)),
        };
        Some(pseudo.to_owned())
    }

    fn physical_id(&self, logical_id: &str) -> Option<String> {
        let resource = self.template.document["Resources"].get(logical_id)?;
        Some(match resource["Type"].as_str()? {
            "AWS::SQS::Queue" => format!("{}/{}", self.queues, self.name(logical_id, "QueueName")),
            "AWS::Serverless::Function" => self.name(logical_id, "FunctionName"),
            "AWS::DynamoDB::Table" => self.name(logical_id, "TableName"),
            "AWS::SNS::Topic" => names::arn("sns", &self.name(logical_id, "TopicName")),
            _ => self.name(logical_id, "Name"),
        })
    }

    fn attribute(&self, logical_id: &str, attribute: &str) -> Option<String> {
        let resource = self.template.document["Resources"].get(logical_id)?;
        let name = |property| self.name(logical_id, property);
        Some(match (resource["Type"].as_str()?, attribute) {
            ("AWS::SQS::Queue", "Arn") => names::arn("sqs", &name("QueueName")),
            ("AWS::SQS::Queue", "QueueName") => name("QueueName"),
            ("AWS::SQS::Queue", "QueueUrl") => self.physical_id(logical_id)?,
            ("AWS::Serverless::Function", "Arn") => names::function_arn(&name("FunctionName")),
            ("AWS::DynamoDB::Table", "Arn") => names::table_arn(&name("TableName")),
            ("AWS::DynamoDB::Table", "StreamArn") => names::stream_arn(&name("TableName")),
            ("AWS::Events::EventBus", "Arn") => {
                names::arn("events", &format!("event-bus/{}", name("Name")))
            }
            ("AWS::Events::EventBus", "Name") => name("Name"),
            ("AWS::Events::Rule", "Arn") => names::arn("events", &format!("rule/{}", name("Name"))),
            ("AWS::Serverless::HttpApi", "ApiEndpoint") => self.api.clone()?,
            ("AWS::Logs::LogGroup", "Arn") => {
                names::arn("logs", &format!("log-group:{}:*", name("LogGroupName")))
            }
            ("AWS::IAM::Role", "Arn") => names::arn("iam", &format!("role/{}", name("RoleName"))),
            _ => return None,
        })
    }

    /// The name a resource has been given, or else its logical id: a deployed stack would add its
    /// own name and a random part, which nothing may rely on.
    pub(crate) fn name(&self, logical_id: &str, property: &str) -> String {
        let given =
            self.resolve(&self.template.document["Resources"][logical_id]["Properties"][property]);
        given.as_str().map_or_else(|| logical_id.to_owned(), str::to_owned)
    }

    fn condition(&self, name: &str) -> bool {
        let condition = &self.template.document["Conditions"][name];
        let Some((function, argument)) =
            condition.as_object().and_then(|fields| fields.iter().next())
        else {
            return false;
        };
        self.holds(function, argument)
    }

    fn holds(&self, function: &str, argument: &Value) -> bool {
        let operand =
            |value: &Value| match value.as_object().and_then(|fields| fields.iter().next()) {
                Some((function, argument)) => self.holds(function, argument),
                None => value.as_bool().unwrap_or(false),
            };
        let operands = || argument.as_array().into_iter().flatten();
        match function {
            "Condition" => argument.as_str().is_some_and(|name| self.condition(name)),
            "Fn::Equals" => {
                let mut values = operands().map(|value| text(&self.resolve(value)));
                values.next() == values.next()
            }
            "Fn::Not" => !operands().all(operand),
            "Fn::And" => operands().all(operand),
            "Fn::Or" => operands().any(operand),
            _ => false,
        }
    }
}

/// The value of `!Ref AWS::NoValue` until its property is removed.
const NO_VALUE: &str = "\u{0}AWS::NoValue";

fn is_no_value(value: &Value) -> bool {
    value.as_str() == Some(NO_VALUE)
}

/// CloudFormation's scalars are texts: `30` and `"30"` are the same.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(switch) => Some(switch.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Template {
    /// The resources of one type, such as `AWS::DynamoDB::Table`: logical id and properties, the
    /// latter with every function replaced that the template and `parameters` can answer.
    ///
    /// A parameter that `parameters` does not name has its default. Names of the pseudo parameters
    /// (`AWS::Region`) and of nothing known stay as they are.
    #[must_use]
    pub fn resources(
        &self,
        resource_type: &str,
        parameters: &BTreeMap<&str, &str>,
    ) -> Vec<(String, Value)> {
        let parameters = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Resolver::new(self, parameters).resources(resource_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEMPLATE: &str = r#"
Parameters:
  Stage: { Type: String, Default: dev }
  Required: { Type: String }
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  NotProd: !Not [!Condition IsProd]
Resources:
  Queue: { Type: AWS::SQS::Queue, Properties: { QueueName: !Sub "${Stage}-work" } }
  Bus: { Type: AWS::Events::EventBus, Properties: { Name: bus } }
  Only: { Type: Example, Condition: IsProd, Properties: {} }
  Thing:
    Type: Example
    Properties:
      Url: !Ref Queue
      Arn: !GetAtt Queue.Arn
      Text: !Sub ["${Queue.Arn}/${x}/${!Literal}/${AWS::Region}", { x: !Ref Stage }]
      Joined: !Join ["-", [a, !Ref Bus, 3]]
      Origin: !Select [2, !Split ["/", !Sub "https://${Stage}.example/page"]]
      Gone: !If [IsProd, here, !Ref "AWS::NoValue"]
      Kept: !If [NotProd, here, !Ref "AWS::NoValue"]
"#;

    #[test]
    fn functions_answer_with_the_local_names() {
        let template = Template::parse(TEMPLATE).unwrap();
        let resolver = Resolver::new(&template, BTreeMap::new());
        let [(_, thing)] = resolver.resources("Example").try_into().unwrap();
        assert_eq!(
            thing,
            json!({
                "Url": "https://sqs.us-east-1.amazonaws.com/000000000000/dev-work",
                "Arn": "arn:aws:sqs:us-east-1:000000000000:dev-work",
                "Text": "arn:aws:sqs:us-east-1:000000000000:dev-work/dev/${Literal}/us-east-1",
                "Joined": "a-bus-3",
                "Origin": "dev.example",
                "Kept": "here",
            })
        );
    }

    #[test]
    fn a_condition_decides_which_resources_there_are() {
        let template = Template::parse(TEMPLATE).unwrap();
        let resolver =
            Resolver::new(&template, BTreeMap::from([("Stage".to_owned(), "prod".to_owned())]));
        assert_eq!(resolver.resources("Example").len(), 2);
    }

    #[test]
    fn a_parameter_without_value_is_named() {
        let template = Template::parse(TEMPLATE).unwrap();
        let error = Resolver::new(&template, BTreeMap::new()).check_parameters().unwrap_err();
        assert_eq!(error.to_string(), "these parameters of the template have no value: Required");
    }
}
