//! The mails of a story. Nobody sends them here: what they say is in the template's `CustomerMail`,
//! and when they are sent follows from the events.

use std::collections::BTreeMap;

use serde_json::{Value, json};

const TEMPLATE: &str = include_str!("../../../../template.yaml");

/// The mail that this event of an account makes: `at`, `what`, `amount` and `deadline`.
pub(super) fn mail(event: &Value) -> Option<Value> {
    let (what, detail) = (event["detail-type"].as_str()?, &event["detail"]);
    let notice = &detail["notice"];
    notice["email"].as_str()?;
    // Without a subject there is no mail of it.
    subjects().get(what)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (amount, deadline) = (text(&notice["amount"]), text(&notice["deadline"]));
    Some(json!({"at": detail["at"], "what": what, "amount": amount, "deadline": deadline}))
}

/// A mail in a line.
pub(super) fn line(mail: &Value) -> String {
    let text = |field: &str| mail[field].as_str().unwrap_or_default().to_owned();
    let (subject, amount) = (subjects().remove(&text("what")), text("amount"));
    let deadline = text("deadline").replace('T', " ").replace('Z', "");
    let amount = if amount.is_empty() { amount } else { format!("  ${amount}") };
    let deadline = if deadline.is_empty() { deadline } else { format!("  until {deadline}") };
    format!("mail: {}{amount}{deadline}", subject.unwrap_or_default())
}

/// The subjects, by the event that the mail is about.
fn subjects() -> BTreeMap<String, String> {
    let begins = TEMPLATE.split_once("StateMachineName: !Sub \"tollgate-${Stage}-customer-mail\"");
    let list = begins.and_then(|(_, machine)| machine.split_once("$lookup("));
    let list = list.and_then(|(_, list)| list.split_once("}, $states"));
    let read = list.and_then(|(list, _)| serde_json::from_str(&format!("{list}}}")).ok());
    read.unwrap_or_default()
}
