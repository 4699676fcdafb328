//! The CloudFormation template, read by [`tollgate_local::template`], the reader of the local
//! cloud. Here a template that cannot be read is a panic, which is how a test fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;
use tollgate_local::template;

/// `infra/template.yaml`, or another template in its form.
#[derive(Clone, Debug)]
pub struct TestTemplate(template::Template);

impl TestTemplate {
    /// The deployed template of this repository.
    #[must_use]
    pub fn of_this_repository() -> Self {
        static READ: OnceLock<TestTemplate> = OnceLock::new();
        let read =
            || template::Template::of_this_repository().unwrap_or_else(|error| panic!("{error}"));
        READ.get_or_init(|| Self(read())).clone()
    }

    /// Reads a template from a file.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        Self(template::Template::read(path).unwrap_or_else(|error| panic!("{error}")))
    }

    /// Reads a template from YAML.
    #[must_use]
    pub fn parse(yaml: &str) -> Self {
        Self(template::Template::parse(yaml).unwrap_or_else(|error| panic!("{error}")))
    }

    /// The whole template as JSON, with the long form of every function.
    #[must_use]
    pub fn document(&self) -> &Value {
        self.0.document()
    }

    /// The resources of one type, such as `AWS::DynamoDB::Table`: logical id and properties, the
    /// latter with every function replaced that the template and `parameters` can answer.
    #[must_use]
    pub fn resources(
        &self,
        resource_type: &str,
        parameters: &BTreeMap<&str, &str>,
    ) -> Vec<(String, Value)> {
        self.0.resources(resource_type, parameters)
    }

    /// The same template for [`tollgate_local::CloudConfig`].
    #[must_use]
    pub fn into_inner(self) -> template::Template {
        self.0
    }
}
