//! What goes wrong at Stripe, sorted by what is to be done about it.

use serde::Deserialize;

use super::objects::{PaymentIntent, number_or_text};
use crate::domain::ids::PaymentId;

/// What goes wrong at Stripe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripeError {
    /// The card's bank, or Stripe, declined the charge.
    #[error("declined: {}", .0.code)]
    Declined(DeclinedCharge),
    /// The customer must confirm the payment in person.
    #[error("the customer must confirm the payment")]
    AuthenticationRequired {
        /// The payment, if Stripe names it.
        payment: Option<PaymentId>,
    },
    /// An idempotency key was used with other parameters: a mistake of ours, or something changed
    /// in between.
    #[error("{call}: the idempotency key was reused with different parameters: {why}")]
    KeyMisused { call: String, why: String },
    /// Too many calls at once, and it went on.
    #[error("{call}: rate limited")]
    RateLimited { call: String },
    /// No answer. The same call, under the same key, may be sent again.
    #[error("{call}: Stripe did not respond: {why}")]
    Unavailable { call: String, why: String },
    /// Stripe failed after it had begun (a 5xx, which it returns again for ever), or answered what
    /// nobody understands: whether it was done must be found out by looking, never by a new key.
    #[error("{call}: Stripe failed and the outcome is unknown: {why}")]
    Unresolved { call: String, why: String },
    /// There is no such thing.
    #[error("{call}: not found")]
    NotFound { call: String },
    /// Stripe does not accept the call: it was not carried out.
    #[error("{0}")]
    Rejected(StripeRejection),
}

/// A call that Stripe does not accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} was rejected ({status} {code}): {message}")]
pub struct StripeRejection {
    pub call: String,
    pub status: u16,
    /// Stripe's code, such as `resource_missing`.
    pub code: String,
    /// The parameter it is about, if it names one.
    pub param: Option<String>,
    pub message: String,
}

/// A charge that was declined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclinedCharge {
    /// The decline code, such as `insufficient_funds`; else Stripe's error code, such as
    /// `expired_card`.
    pub code: String,
    /// What the card network advises: Mastercard's merchant advice code, or Stripe's word for it.
    pub advice: Vec<String>,
    /// The payment, if Stripe names it.
    pub payment: Option<PaymentId>,
}

impl StripeError {
    /// Whether the same call may succeed later, under the same key, without anybody doing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            StripeError::RateLimited { .. } | StripeError::Unavailable { .. } => true,
            StripeError::Declined(_)
            | StripeError::AuthenticationRequired { .. }
            | StripeError::KeyMisused { .. }
            | StripeError::Unresolved { .. }
            | StripeError::NotFound { .. }
            | StripeError::Rejected(_) => false,
        }
    }
}

/// Which call it is about.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) is_keyed: bool,
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// It is the stored answer of an earlier call with the same key.
    pub(super) is_replayed: bool,
    /// `Stripe-Should-Retry`, if Stripe says anything.
    pub(super) should_retry: Option<bool>,
    pub(super) body: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StripeError,
    /// Whether the call may be repeated at once.
    pub(super) may_repeat: bool,
}

/// Sorts what came back; the body of a success.
pub(super) fn sort(call: &Call, answer: Result<Answer, String>) -> Result<Vec<u8>, Failure> {
    let answer = match answer {
        Ok(answer) if (200..300).contains(&answer.status) => return Ok(answer.body),
        Ok(answer) => answer,
        Err(why) => {
            let error = StripeError::Unavailable { call: call.name.clone(), why };
            return Err(Failure { error, may_repeat: true });
        }
    };
    let ErrorBody { error: body } = serde_json::from_slice(&answer.body).unwrap_or_default();
    let may_repeat = answer.should_retry != Some(false);
    let name = call.name.clone();
    Err(match (answer.status, body.kind.as_str()) {
        // Another call with the same key is at work, or an object is locked.
        (409, kind)
            if kind != "idempotency_error"
                || body.code.as_deref() == Some("idempotency_key_in_use") =>
        {
            Failure { error: StripeError::Unavailable { call: name, why: body.text() }, may_repeat }
        }
        (429, _) => Failure { error: StripeError::RateLimited { call: name }, may_repeat },
        (_, "idempotency_error") => Failure {
            error: StripeError::KeyMisused { call: name, why: body.text() },
            may_repeat: false,
        },
        (500.., _) => server_failure(call, &answer, &body),
        (_, "card_error") if !body.asks_for_authentication() => {
            Failure { error: StripeError::Declined(body.declined()), may_repeat: false }
        }
        (404, _) => Failure { error: StripeError::NotFound { call: name }, may_repeat: false },
        (_, _) if body.asks_for_authentication() => Failure {
            error: StripeError::AuthenticationRequired { payment: body.payment() },
            may_repeat: false,
        },
        (status, _) => {
            let (code, message) = (body.code.clone().unwrap_or_default(), body.text());
            let rejection =
                StripeRejection { call: name, status, code, param: body.param, message };
            Failure { error: StripeError::Rejected(rejection), may_repeat: false }
        }
    })
}

/// A stored 5xx never becomes anything else under its key. One that is not stored may pass, but
/// whoever gives up on it does not know either what was done.
fn server_failure(call: &Call, answer: &Answer, body: &ErrorDetail) -> Failure {
    let may_repeat = answer.should_retry != Some(false);
    let (name, why) = (call.name.clone(), format!("{}: {}", answer.status, body.text()));
    if !call.is_keyed {
        return Failure { error: StripeError::Unavailable { call: name, why }, may_repeat };
    }
    Failure {
        error: StripeError::Unresolved { call: name, why },
        may_repeat: may_repeat && !answer.is_replayed,
    }
}

#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    error: ErrorDetail,
}

/// The error in an answer, or a payment's last error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct ErrorDetail {
    #[serde(rename = "type", default)]
    kind: String,
    code: Option<String>,
    decline_code: Option<String>,
    message: Option<String>,
    param: Option<String>,
    #[serde(default, deserialize_with = "number_or_text")]
    network_advice_code: Option<String>,
    advice_code: Option<String>,
    payment_intent: Option<Box<PaymentIntent>>,
}

impl ErrorDetail {
    fn text(&self) -> String {
        self.message.clone().unwrap_or_else(|| self.code.clone().unwrap_or_default())
    }

    fn payment(&self) -> Option<PaymentId> {
        self.payment_intent.as_ref().and_then(|intent| intent.id.parse().ok())
    }

    /// Stripe has several words for it, by call and version.
    fn asks_for_authentication(&self) -> bool {
        let words = [
            "authentication_required",
            "invoice_payment_intent_requires_action",
            "payment_intent_authentication_failure",
            "authentication_not_handled",
        ];
        [&self.code, &self.decline_code]
            .into_iter()
            .flatten()
            .any(|code| words.contains(&code.as_str()))
    }

    /// As a decline; one that asks for authentication has that as its code, whatever word Stripe
    /// used.
    pub(crate) fn declined(&self) -> DeclinedCharge {
        let code = match (&self.decline_code, &self.code) {
            _ if self.asks_for_authentication() => "authentication_required".to_owned(),
            (Some(code), _) | (None, Some(code)) => code.clone(),
            (None, None) => "unknown".to_owned(),
        };
        let advice =
            [&self.network_advice_code, &self.advice_code].into_iter().flatten().cloned().collect();
        DeclinedCharge { code, advice, payment: self.payment() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an attempt under a key (or none) came to, by status, `Idempotent-Replayed`,
    /// `Stripe-Should-Retry` and body.
    fn sorted(answered: (u16, bool, Option<bool>), body: &str, key: Option<()>) -> Failure {
        let (status, is_replayed, should_retry) = answered;
        let answer = Answer { status, is_replayed, should_retry, body: body.as_bytes().to_vec() };
        sort(&Call { name: "POST /x".to_owned(), is_keyed: key.is_some() }, Ok(answer)).unwrap_err()
    }

    /// The kind of error, and `again` if the call is repeated.
    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        let failure = sorted((status, false, None), body, Some(()));
        let (expected, again) =
            expected.split_once(", ").map_or((expected, ""), |(kind, again)| (kind, again));
        assert!(
            format!("{:?}", failure.error).starts_with(expected),
            "{status} {body}: {:?}",
            failure.error
        );
        assert_eq!(failure.may_repeat, again == "again", "{status} {body}");
    }

    #[test]
    fn errors_are_sorted_by_what_is_to_be_done() {
        let card = |codes: &str| format!(r#"{{"error":{{"type":"card_error",{codes}}}}}"#);
        let request =
            |codes: &str| format!(r#"{{"error":{{"type":"invalid_request_error",{codes}}}}}"#);
        let key = |codes: &str| format!(r#"{{"error":{{"type":"idempotency_error",{codes}}}}}"#);
        check(402, &card(r#""code":"card_declined","decline_code":"lost_card""#), "Declined");
        check(402, &card(r#""code":"authentication_required""#), "AuthenticationRequired");
        check(
            400,
            &request(r#""code":"invoice_payment_intent_requires_action""#),
            "AuthenticationRequired",
        );
        check(400, &key(r#""message":"Keys for idempotent requests""#), "KeyMisused");
        check(409, &key(r#""code":"idempotency_key_in_use""#), "Unavailable, again");
        check(409, &request(r#""code":"lock_timeout""#), "Unavailable, again");
        check(429, &request(r#""code":"rate_limit""#), "RateLimited, again");
        check(404, &request(r#""code":"resource_missing""#), "NotFound");
        check(400, &request(r#""code":"parameter_unknown","param":"x""#), "Rejected");
        check(401, "not json", "Rejected");
        check(500, "", "Unresolved, again");
        check(503, "<html>", "Unresolved, again");
    }

    #[test]
    fn stored_500_is_never_repeated_nor_resolved_by_failures() {
        assert!(!sorted((500, true, None), "", Some(())).may_repeat);
        assert!(!sorted((500, false, Some(false)), "", Some(())).may_repeat);
        assert!(matches!(
            sorted((500, false, None), "", None).error,
            StripeError::Unavailable { .. }
        ));
        let refused =
            sort(&Call { name: "x".to_owned(), is_keyed: true }, Err("refused".to_owned()))
                .unwrap_err();
        assert!(refused.may_repeat && refused.error.may_pass());
    }

    #[test]
    fn advice_of_the_network_is_kept_as_number_or_text() {
        for advice in ["\"03\"", "3"] {
            let body = format!(
                r#"{{"error":{{"type":"card_error","code":"card_declined","network_advice_code":{advice}}}}}"#
            );
            let StripeError::Declined(declined) = sorted((402, false, None), &body, Some(())).error
            else {
                panic!()
            };
            assert_eq!((declined.code.as_str(), declined.advice.len()), ("card_declined", 1));
        }
    }
}
