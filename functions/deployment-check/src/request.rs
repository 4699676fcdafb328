//! The request from CloudFormation.

use std::fmt;

use serde::Deserialize;

/// A request of CloudFormation to a custom resource, reduced to the fields used here. The
/// properties are left out. They exist so that their change makes CloudFormation send a request.
/// The functions read variables.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckRequest {
    /// The requested action.
    #[serde(rename = "RequestType")]
    pub asked: CheckedStage,
    /// The address for the answer.
    #[serde(rename = "ResponseURL")]
    pub response_url: ResponseUrl,
    pub stack_id: String,
    pub request_id: String,
    /// The resource's name in the template.
    pub logical_resource_id: String,
    /// The ID from the answer to the creation. `None` during the creation.
    pub physical_resource_id: Option<String>,
}

/// The requested action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum CheckedStage {
    /// The resource is created.
    Create,
    /// The properties changed, also in a rollback.
    Update,
    /// The resource is deleted.
    Delete,
}

/// A presigned address for one answer. It must stay secret.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ResponseUrl(String);

impl ResponseUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Leaves out the signature.
impl fmt::Debug for ResponseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseUrl(…)")
    }
}
