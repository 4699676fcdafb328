//! Asynchronous invocation. A failure is retried after one and after two minutes, by the cloud's
//! clock, and then reported to the destination or put into the dead-letter queue
//! (docs.aws.amazon.com/lambda, "Error handling for asynchronous invocation").

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::{Value, json};

use crate::aws::lambda::Lambda;
use crate::aws::lambda::invocation::{AtLimit, Invocation, Outcome};
use crate::aws::message::AsynchronousInvocation;
use crate::aws::targets::Targets;
use crate::runtime::agenda::Planner;
use crate::runtime::clock;
use crate::runtime::common::Common;
use crate::runtime::names;
use crate::template::wiring::{Function, Target};

/// The service that tries asynchronous invocations.
#[derive(Debug)]
pub(crate) struct AsynchronousInvoker {
    pub(crate) common: Common,
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) retries: Planner<AsynchronousInvocation>,
    pub(crate) targets: Arc<Targets>,
}

impl AsynchronousInvoker {
    /// Tries an invocation, and plans a retry if it fails.
    pub(crate) async fn attempt(&self, mut asynchronous: AsynchronousInvocation) {
        let Some(function) = self.lambda.function(&asynchronous.function).cloned() else { return };
        // The same request id at every attempt, as on AWS.
        let invocation = Invocation {
            request_id: asynchronous.request_id.clone(),
            payload: Bytes::from(asynchronous.payload.clone()),
            trigger: asynchronous.trigger.clone(),
            scheduled: asynchronous.scheduled.as_deref().and_then(clock::parse),
            at_limit: AtLimit::Wait,
        };
        let outcome = self.lambda.invoke(&function.name, invocation).await;
        asynchronous.tries += 1;
        let now = self.common.clock.now();
        let error = match outcome {
            Outcome::Answer(answer) => {
                if let Some(destination) = &function.asynchronous.on_success {
                    let response = serde_json::from_slice(&answer).unwrap_or_default();
                    self.report(&function, destination, &asynchronous, ("Success", response));
                }
                return;
            }
            Outcome::Failed(error) => error,
            Outcome::Throttled => {
                json!({"errorType": "TooManyRequestsException", "errorMessage": "Rate Exceeded."})
            }
        };
        let next = now + Duration::from_secs(60 * u64::from(asynchronous.tries));
        let since = clock::parse(&asynchronous.since).unwrap_or(now);
        let rules = &function.asynchronous;
        if asynchronous.tries <= rules.retries && next - since <= rules.age_max {
            self.retries.at(next, asynchronous);
            return;
        }
        self.give_up(&function, &asynchronous, error);
    }

    /// Puts the invocation into the dead-letter queue, and reports the failure to the destination.
    fn give_up(&self, function: &Function, asynchronous: &AsynchronousInvocation, error: Value) {
        let (binary, rules) = (&function.binary, &function.asynchronous);
        self.common.log.note(&format!(
            "{binary}: given up after {} tries ({})",
            asynchronous.tries, asynchronous.trigger
        ));
        if let Some(queue) = &rules.dead_letters {
            let text = |value: &str| json!({"DataType": "String", "StringValue": value});
            let attributes = json!({
                "RequestID": text(&asynchronous.request_id),
                "ErrorCode": {"DataType": "Number", "StringValue": "200"},
                "ErrorMessage": text(error["errorMessage"].as_str().unwrap_or_default()),
            });
            let now = self.common.clock.now();
            self.targets.dead_letter(queue, asynchronous.payload.clone(), attributes, now);
        }
        if let Some(destination) = &rules.on_failure {
            self.report(function, destination, asynchronous, ("RetriesExhausted", error));
        }
    }

    /// Sends the outcome of an invocation to a destination.
    fn report(
        &self,
        function: &Function,
        destination: &Target,
        asynchronous: &AsynchronousInvocation,
        (condition, response): (&str, Value),
    ) {
        let now = self.common.clock.now();
        let arn = names::function_arn(&function.name);
        let mut context = json!({"statusCode": 200, "executedVersion": "$LATEST"});
        if condition != "Success" {
            context["functionError"] = json!("Unhandled");
        }
        let record = json!({
            "version": "1.0",
            "timestamp": clock::format(now),
            "requestContext": {
                "requestId": asynchronous.request_id,
                "functionArn": format!("{arn}:$LATEST"),
                "condition": condition,
                "approximateInvokeCount": asynchronous.tries,
            },
            "requestPayload": serde_json::from_str::<Value>(&asynchronous.payload).unwrap_or_default(),
            "responseContext": context,
            "responsePayload": response,
        });
        let payload = match destination {
            Target::Function(_) | Target::Queue(_) => record,
            Target::Bus(_) => {
                let result = if condition == "Success" { "Success" } else { "Failure" };
                let resources = json!([destination.arn(), format!("{arn}:$LATEST")]);
                result_event(result, &clock::format_seconds(now), &resources, &record)
            }
        };
        self.targets.send(
            now,
            destination,
            payload.to_string(),
            &format!("destination of {}", function.binary),
            None,
        );
    }
}

/// The event by which Lambda reports an outcome to a bus.
fn result_event(result: &str, time: &str, resources: &Value, record: &Value) -> Value {
    json!({
        "version": "0",
        "id": names::new_id(),
        "detail-type": format!("Lambda Function Invocation Result - {result}"),
        "source": "lambda",
        "account": names::ACCOUNT,
        "time": time,
        "region": names::REGION,
        "resources": resources,
        "detail": record,
    })
}
