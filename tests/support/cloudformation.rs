//! Where CloudFormation waits for a custom resource's answer: on AWS, an address in S3 that was
//! signed in advance.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};

/// As AWS shows stacks.
const STACK: &str = "arn:aws:cloudformation:us-east-1:123456789012:stack/tollgate/6f0b2b70-0000-11ef-8d5c-0affffffffff";

/// A CloudFormation that asks one custom resource, and waits.
#[derive(Debug)]
pub struct CloudFormation {
    url: String,
    put: Arc<Mutex<Put>>,
}

#[derive(Debug, Default)]
struct Put {
    answers: Vec<Value>,
    refusals: usize,
}

impl CloudFormation {
    /// One that waits on this machine.
    pub async fn new() -> CloudFormation {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its number");
        let put = Arc::new(Mutex::new(Put::default()));
        let router = Router::new().fallback(take).with_state(Arc::clone(&put));
        tokio::spawn(async move { axum::serve(listener, router).await });
        CloudFormation { url: format!("http://{address}"), put }
    }

    /// The request to do this with a resource (`Create`, `Update`, `Delete`).
    #[must_use]
    pub fn request(&self, to: &str) -> Value {
        let mut request = json!({
            "RequestType": to,
            "ResponseURL": format!("{}{SIGNED}", self.url),
            "StackId": STACK,
            "RequestId": "8a3b1f66-6c2f-4a6e-9d0e-7d5f7c1e2b3a",
            "ResourceType": "AWS::CloudFormation::CustomResource",
            "LogicalResourceId": "DeploymentCheck",
            "ResourceProperties": {"ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:check", "ServiceTimeout": "60"},
        });
        if to != "Create" {
            request["PhysicalResourceId"] = json!("DeploymentCheck");
        }
        if to == "Update" {
            request["OldResourceProperties"] = json!({"TopupMin": "1.00"});
        }
        request
    }

    /// Refuses answers, this many times.
    pub fn refuse(&self, times: usize) {
        lock(&self.put).refusals = times;
    }

    /// The answers since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Value> {
        std::mem::take(&mut lock(&self.put).answers)
    }
}

/// The part of the address that must arrive unchanged, because S3 signs it.
const SIGNED: &str =
    "/arn%3Aaws%3Acloudformation/check%7Cone?AWSAccessKeyId=AKIA&Expires=1&Signature=a%2Fb%3D";

async fn take(
    State(put): State<Arc<Mutex<Put>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    // S3 would find that the signature does not match; and it takes no body of unknown length.
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = method == Method::PUT
        && uri.path_and_query().is_some_and(|asked| asked.as_str() == SIGNED)
        && header("content-type") == Some("");
    if !signed {
        return StatusCode::FORBIDDEN;
    }
    if header("content-length") != Some(&body.len().to_string()) {
        return StatusCode::LENGTH_REQUIRED;
    }
    let mut put = lock(&put);
    if put.refusals > 0 {
        put.refusals -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    put.answers.push(serde_json::from_slice(&body).expect("JSON"));
    StatusCode::OK
}

fn lock(put: &Mutex<Put>) -> std::sync::MutexGuard<'_, Put> {
    put.lock().unwrap_or_else(PoisonError::into_inner)
}
