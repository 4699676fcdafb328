//! Answers in DynamoDB's name, with its exact texts (docs.aws.amazon.com/amazondynamodb, "Error
//! handling with DynamoDB").

use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::Operation;

/// Why the first item of a transaction cancels it: code and message.
type Reason = (&'static str, &'static str);

pub(super) const CONFLICT: Reason = ("TransactionConflict", "Transaction is ongoing for the item");

pub(super) const THROTTLED: Reason = (
    "ThrottlingError",
    "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically \
     scaling your table or index so please try again shortly. If exceptions persist, check if you \
     have a hot key: \
     https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html",
);

pub(super) fn throttled() -> HttpResponse {
    refusal(
        "ProvisionedThroughputExceededException",
        "The level of configured provisioned throughput for the table was exceeded. Consider \
         increasing your provisioning level with the UpdateTable API.",
    )
}

pub(super) fn conflict() -> HttpResponse {
    refusal("TransactionConflictException", CONFLICT.1)
}

pub(super) fn canceled(request: &HttpRequest, (code, message): Reason) -> HttpResponse {
    let items = json(request)["TransactItems"].as_array().map_or(1, Vec::len);
    let mut reasons = vec![json!({ "Code": "None" }); items];
    reasons[0] = json!({ "Code": code, "Message": message });
    let mut codes = vec!["None"; items];
    codes[0] = code;
    answer(
        400,
        &json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": format!(
                "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
                codes.join(", ")
            ),
            "CancellationReasons": reasons,
        }),
    )
}

pub(super) fn internal_error() -> HttpResponse {
    answer(
        500,
        &json!({
            "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError",
            "message": "Internal server error",
        }),
    )
}

pub(super) fn unprocessed(request: &HttpRequest, operation: &Operation) -> HttpResponse {
    let asked = json(request)["RequestItems"].clone();
    if *operation == Operation::BatchGetItem {
        answer(200, &json!({ "Responses": {}, "UnprocessedKeys": asked }))
    } else {
        answer(200, &json!({ "UnprocessedItems": asked }))
    }
}

pub(super) fn json(request: &HttpRequest) -> Value {
    let bytes = request.body().bytes().expect("a request to DynamoDB has its body in memory");
    serde_json::from_slice(bytes).expect("a request to DynamoDB is JSON")
}

fn refusal(exception: &str, message: &str) -> HttpResponse {
    let exception = format!("com.amazonaws.dynamodb.v20120810#{exception}");
    answer(400, &json!({ "__type": exception, "message": message }))
}

fn answer(status: u16, body: &Value) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("a status of HTTP");
    let mut response = HttpResponse::new(status, SdkBody::from(body.to_string()));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    response
}
