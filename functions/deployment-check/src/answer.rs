//! The answer to CloudFormation.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use serde::Serialize;

use crate::request::{CheckRequest, ResponseUrl};

/// CloudFormation accepts answers of 4,096 bytes. Each character takes at most four bytes.
const REASON_CHARACTERS_MAX: usize = 700;
/// The number of attempts to send the answer.
const ATTEMPTS_MAX: u32 = 2;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// An answer to CloudFormation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckAnswer {
    pub status: CheckStatus,
    /// The reason, shown in the stack's events.
    pub reason: String,
    /// The resource's permanent name. A new name would make CloudFormation delete the old resource.
    pub physical_resource_id: String,
    /// Copied from the request.
    pub stack_id: String,
    /// Copied from the request.
    pub request_id: String,
    /// Copied from the request.
    pub logical_resource_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CheckStatus {
    /// The deployment continues.
    Success,
    /// The deployment is rolled back.
    Failed,
}

/// The answer was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CloudFormation did not accept the response: {0}")]
pub struct AnswerError(String);

impl CheckAnswer {
    /// The answer for a passed check.
    #[must_use]
    pub fn success(request: &CheckRequest) -> CheckAnswer {
        CheckAnswer::new(request, CheckStatus::Success, "the functions can start with this")
    }

    /// The answer for a failed check.
    #[must_use]
    pub fn failed(request: &CheckRequest, why: &str) -> CheckAnswer {
        CheckAnswer::new(request, CheckStatus::Failed, why)
    }

    fn new(request: &CheckRequest, status: CheckStatus, reason: &str) -> CheckAnswer {
        let physical =
            request.physical_resource_id.as_ref().unwrap_or(&request.logical_resource_id);
        CheckAnswer {
            status,
            reason: reason.chars().take(REASON_CHARACTERS_MAX).collect(),
            physical_resource_id: physical.clone(),
            stack_id: request.stack_id.clone(),
            request_id: request.request_id.clone(),
            logical_resource_id: request.logical_resource_id.clone(),
        }
    }

    /// Sends the answer to the address in the request.
    ///
    /// # Errors
    /// [`AnswerError`], without the address, because it is signed.
    pub(crate) async fn put(
        &self,
        way: &SharedHttpConnector,
        url: &ResponseUrl,
    ) -> Result<(), AnswerError> {
        let mut attempt = 1;
        loop {
            match self.put_once(way, url).await {
                Err(_) if attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                put => return put,
            }
        }
    }

    async fn put_once(
        &self,
        way: &SharedHttpConnector,
        url: &ResponseUrl,
    ) -> Result<(), AnswerError> {
        let body = serde_json::to_string(self).map_err(|error| AnswerError(error.to_string()))?;
        let length = body.len().to_string();
        let mut put = HttpRequest::new(SdkBody::from(body));
        put.set_method("PUT").map_err(|error| AnswerError(error.to_string()))?;
        put.set_uri(url.as_str()).map_err(|_| AnswerError("it is not a valid URL".to_owned()))?;
        // The signature covers an empty content type.
        put.headers_mut().insert("content-type", "");
        put.headers_mut().insert("content-length", length);
        let answer = way.call(put).await.map_err(|error| AnswerError(error.to_string()))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(AnswerError(format!("status {}", answer.status().as_u16())))
    }
}
