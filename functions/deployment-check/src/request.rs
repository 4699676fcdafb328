//! What CloudFormation asks.

use std::fmt;

use serde::Deserialize;

/// A request of CloudFormation to a custom resource, as far as it is of use here. Its properties
/// are not: they are there so that a change of them makes CloudFormation ask, and the functions
/// read variables.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckRequest {
    /// What is to be done with the resource.
    #[serde(rename = "RequestType")]
    pub asked: CheckedStage,
    /// Where the answer goes.
    #[serde(rename = "ResponseURL")]
    pub response_url: ResponseUrl,
    pub stack_id: String,
    pub request_id: String,
    /// The resource's name in the template.
    pub logical_resource_id: String,
    /// What was answered when it was made; nothing when it is.
    pub physical_resource_id: Option<String>,
}

/// What is to be done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum CheckedStage {
    /// It is made.
    Create,
    /// Its properties have changed; also back, when a deployment is rolled back.
    Update,
    /// It is removed.
    Delete,
}

/// An address to which whoever knows it may put an answer, once: it is signed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ResponseUrl(String);

impl ResponseUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Without the signature.
impl fmt::Debug for ResponseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseUrl(…)")
    }
}
