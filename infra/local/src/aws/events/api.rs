//! `PutEvents`, as EventBridge answers it.

use serde_json::{Value, json};
use time::UtcDateTime;

use crate::aws::aws_json::{Failure, Failures};
use crate::aws::events::Events;
use crate::aws::message::Event;
use crate::runtime::clock;
use crate::runtime::names;
use crate::template::wiring::Target;

/// The limit of a request (docs.aws.amazon.com/eventbridge, "Calculating PutEvents event entry
/// size").
const SIZE_MAX_BYTES: usize = 256 * 1024;

const ENTRIES_MAX: usize = 10;

/// Takes the entries of one request.
///
/// # Errors
///
/// If the request as a whole is refused. Errors of single entries are in the answer.
pub(crate) fn put_events(events: &Events, request: &Value) -> Result<Value, Failure> {
    let invalid = |message: String| Failures::EVENTS.validation(&message);
    let entries = request["Entries"].as_array().ok_or_else(|| {
        invalid("1 validation error detected: Value null at 'entries' failed to satisfy constraint: Member must not be null".to_owned())
    })?;
    if entries.is_empty() || entries.len() > ENTRIES_MAX {
        return Err(invalid(format!(
            "1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length between 1 and {ENTRIES_MAX}"
        )));
    }
    if entries.iter().map(size).sum::<usize>() > SIZE_MAX_BYTES {
        return Err(invalid(
            "Total size of the entries in the request is over the limit.".to_owned(),
        ));
    }
    let mut failed = 0;
    let answers: Vec<Value> = entries
        .iter()
        .map(|entry| {
            if events.common.faults.fails("put-events", entry["DetailType"].as_str().unwrap_or_default()) {
                failed += 1;
                return json!({"ErrorCode": "InternalFailure", "ErrorMessage": "Unexpected error occurred"});
            }
            match accept(events, entry) {
                Ok(id) => json!({"EventId": id}),
                Err((code, message)) => {
                    failed += 1;
                    json!({"ErrorCode": code, "ErrorMessage": message})
                }
            }
        })
        .collect();
    Ok(json!({"FailedEntryCount": failed, "Entries": answers}))
}

/// The size of an entry: 14 bytes for its time, and the UTF-8 of its texts.
fn size(entry: &Value) -> usize {
    let text = |value: &Value| value.as_str().map_or(0, str::len);
    let resources: usize = entry["Resources"].as_array().into_iter().flatten().map(text).sum();
    let time = if entry["Time"].is_null() { 0 } else { 14 };
    time + text(&entry["Source"]) + text(&entry["DetailType"]) + text(&entry["Detail"]) + resources
}

type Refused = (&'static str, String);

fn accept(events: &Events, entry: &Value) -> Result<String, Refused> {
    let required = |name: &str| {
        entry[name].as_str().filter(|text| !text.is_empty()).ok_or_else(|| {
            let message =
                format!("Parameter {name} is not valid. Reason: {name} is a required argument.");
            ("InvalidArgument", message)
        })
    };
    let source = required("Source")?;
    let detail_type = required("DetailType")?;
    if source.starts_with("aws.") {
        let message = format!("Not authorized to put events for {source}.");
        return Err(("NotAuthorizedForSourceException", message));
    }
    if detail_type.len() > 128 {
        let message =
            "Parameter DetailType is not valid. Reason: It is longer than 128 characters.";
        return Err(("InvalidArgument", message.to_owned()));
    }
    let detail: Value = serde_json::from_str(required("Detail")?)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| ("MalformedDetail", "Detail is malformed.".to_owned()))?;
    let bus = entry["EventBusName"].as_str().unwrap_or("default");
    let bus = Target::of_arn(bus).map_or_else(|| bus.to_owned(), |target| target.name().to_owned());
    // AWS takes an event for a bus that does not exist and drops it. Here a wrong name shows.
    if !events.buses.contains(&bus) {
        return Err(("ResourceNotFoundException", format!("Event bus {bus} does not exist.")));
    }
    let now = events.common.clock.now();
    let id = names::new_id();
    let event = json!({
        "version": "0",
        "id": id,
        "detail-type": detail_type,
        "source": source,
        "account": names::ACCOUNT,
        "time": clock::format_seconds(time_of(&entry["Time"]).unwrap_or(now)),
        "region": names::REGION,
        "resources": entry["Resources"].as_array().cloned().unwrap_or_default(),
        "detail": detail,
    });
    let fault = events.common.faults.delivery("put-events", detail_type);
    for _ in 0..fault.copies() {
        let event = Event { bus: bus.clone(), event: event.clone() };
        events.targets.events.at(now + fault.delay(), event);
    }
    Ok(id)
}

/// The SDKs write a time as seconds, with a fraction.
fn time_of(value: &Value) -> Option<UtcDateTime> {
    let Value::Number(number) = value else { return None };
    let text = number.to_string();
    let seconds = text.split('.').next()?;
    UtcDateTime::from_unix_timestamp(seconds.parse().ok()?).ok()
}
