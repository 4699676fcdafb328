//! What gateways asked of holds and what they were told, as a measure for what is billed.

use std::collections::BTreeMap;

use serde_json::Value;

/// The requests about the holds of all accounts.
#[derive(Debug, Default)]
pub struct CaptureLog {
    pub accounts: BTreeMap<String, AccountCaptures>,
}

/// The requests about the holds of one account.
#[derive(Debug, Default)]
pub struct AccountCaptures {
    pub captures: Vec<SentCapture>,
    /// The holds that answers showed, but for those of captures.
    pub shown: Vec<Value>,
}

/// A capture that was sent, perhaps many times with its key.
#[derive(Clone, Debug)]
pub struct SentCapture {
    /// The ID of the hold.
    pub hold: String,
    /// The `Idempotency-Key`.
    pub key: Option<String>,
    /// The body of the request.
    pub body: Value,
    /// The last answer, if there was one with success.
    pub answer: Option<Value>,
}

impl CaptureLog {
    /// Notes a capture that is about to be sent. Its place in the log.
    pub fn sent(&mut self, account: &str, capture: SentCapture) -> usize {
        let captures = &mut self.accounts.entry(account.to_owned()).or_default().captures;
        captures.push(capture);
        captures.len() - 1
    }

    /// Notes the answer of a capture.
    pub fn answered(&mut self, account: &str, place: usize, answer: Value) {
        let captures = self.accounts.get_mut(account).map(|account| &mut account.captures);
        if let Some(capture) = captures.and_then(|captures| captures.get_mut(place)) {
            capture.answer = Some(answer);
        }
    }

    /// Notes a hold as an answer showed it.
    pub fn shown(&mut self, account: &str, hold: Value) {
        self.accounts.entry(account.to_owned()).or_default().shown.push(hold);
    }
}
