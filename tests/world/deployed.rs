//! Rules of AWS about the template that no linter checks.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_local::template::Template;

fn resources(of_type: &str) -> BTreeMap<String, Value> {
    let template = Template::of_this_repository().unwrap();
    let resources = template.document()["Resources"].as_object().unwrap();
    let of_type = resources.iter().filter(|(_, resource)| resource["Type"] == of_type);
    of_type.map(|(name, resource)| (name.clone(), resource["Properties"].clone())).collect()
}

/// SQS refuses others: "Policy statement must apply to a single resource."
#[test]
fn every_queue_has_a_policy_of_its_own_that_names_no_other() {
    let policies: Vec<Value> = resources("AWS::SQS::QueuePolicy").into_values().collect();
    for (queue, _) in resources("AWS::SQS::Queue") {
        let own = policies.iter().filter(|policy| policy["Queues"] == json!([{"Ref": queue}]));
        let [policy] = own.collect::<Vec<_>>()[..] else {
            panic!("{queue} has not one policy of its own")
        };
        for statement in policy["PolicyDocument"]["Statement"].as_array().unwrap() {
            assert_eq!(statement["Resource"], json!({"Fn::GetAtt": [queue, "Arn"]}), "{queue}");
        }
    }
}

/// The age of the oldest message ignores messages that were received three times
/// (docs.aws.amazon.com/AWSSimpleQueueService, "Available CloudWatch metrics for Amazon SQS"). A
/// slice that keeps failing would disappear from it before the alarm fires.
#[test]
fn failing_slice_alarms_before_it_is_a_dead_letter() {
    let seconds = |value: &Value| value.as_i64().unwrap();
    let received_twice =
        2 * seconds(&resources("AWS::SQS::Queue")["HourlyDebitQueue"]["VisibilityTimeout"]);
    let alarm = &resources("AWS::CloudWatch::Alarm")["SlicesUnfinished"];
    assert_eq!(alarm["MetricName"], "ApproximateAgeOfOldestMessage");
    let rings_after = seconds(&alarm["Threshold"])
        + seconds(&alarm["Period"]) * seconds(&alarm["EvaluationPeriods"]);
    assert!(
        rings_after < received_twice,
        "{rings_after} s, and it is received the third time after {received_twice} s"
    );
}

/// A run knows its timeout from its code. It ends before, so that the rest is handed on. 256 MB
/// would be 0.145 vCPU, and 1,769 MB is one (docs.aws.amazon.com/lambda, "Configure Lambda function
/// memory").
#[test]
fn functions_that_bill_fit_their_timeout_and_have_one_vcpu() {
    let functions = resources("AWS::Serverless::Function");
    for (name, timeout, budget) in [
        ("HourlyDebitFunction", hourly_debit::TIMEOUT, hourly_debit::BUDGET),
        ("SettleDueFunction", settle_due::TIMEOUT, settle_due::BUDGET),
    ] {
        assert_eq!(functions[name]["Timeout"], timeout.as_secs(), "{name}");
        assert_eq!(functions[name]["MemorySize"], 1_769, "{name}");
        let margin = timeout.checked_sub(budget.finishing).unwrap();
        assert!(margin >= Duration::from_secs(10), "{name} has {margin:?} for the bus");
        assert!(budget.starting < budget.finishing, "{name}");
    }
    assert_eq!(functions["AutoRefillFunction"]["Timeout"], auto_refill::TIMEOUT.as_secs());
    assert_eq!(
        functions["ConfirmDeletionFunction"]["Timeout"],
        confirm_deletion::TIMEOUT.as_secs()
    );
}
