//! Stripe's error bodies: `{"error": {"type", "code", "decline_code", "message", "param", …}}`.

use serde_json::{Map, Value, json};

/// An answer that is not a success.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) status: u16,
    /// The content of `error`.
    pub(super) error: Map<String, Value>,
    /// The stage at which the call was refused.
    pub(super) stage: Stage,
}

/// The stage at which a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The endpoint or parameter is not imitated.
    NotListed,
    /// It was refused before the endpoint began to work.
    BeforeWork,
    /// The endpoint began to work: only then an idempotency key keeps the answer.
    AtWork,
}

impl Failure {
    fn new(status: u16, kind: &str, code: Option<&str>, message: &str) -> Self {
        let mut error = Map::new();
        error.insert("type".to_owned(), json!(kind));
        error.insert("message".to_owned(), json!(message));
        if let Some(code) = code {
            error.insert("code".to_owned(), json!(code));
            let page = code.replace('_', "-");
            error.insert(
                "doc_url".to_owned(),
                json!(format!("https://stripe.com/docs/error-codes/{page}")),
            );
        }
        Self { status, error, stage: Stage::AtWork }
    }

    /// 400, an invalid request.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", None, &message.into())
    }

    /// 400 with a code.
    pub(super) fn invalid_as(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", Some(code), &message.into())
    }

    /// Names the parameter at fault.
    pub(super) fn param(mut self, param: &str) -> Self {
        self.error.insert("param".to_owned(), json!(param));
        self
    }

    /// Found before the endpoint began to work: an idempotency key does not keep it.
    pub(super) fn before_work(mut self) -> Self {
        self.stage = self.stage.min(Stage::BeforeWork);
        self
    }

    /// Marks a request for something that is not on the list.
    pub(super) fn outside(mut self) -> Self {
        self.stage = Stage::NotListed;
        self
    }

    /// A request that Stripe may support and the stand-in does not. It is refused, never answered
    /// with an invented success.
    pub(super) fn not_imitated(what: &str, param: &str) -> Self {
        Self::invalid(format!("{what} is not imitated by the Stripe stand-in"))
            .param(param)
            .outside()
    }

    /// 404, an object named by the URL.
    pub(super) fn missing(kind: &str, id: &str) -> Self {
        let mut failure = Self::missing_in("id", kind, id);
        failure.status = 404;
        failure
    }

    /// 400, an object named by a parameter.
    pub(super) fn missing_in(param: &str, kind: &str, id: &str) -> Self {
        let kind = match kind {
            "payment_method" => "PaymentMethod",
            "checkout.session" => "checkout.session",
            other => other,
        };
        Self::invalid_as("resource_missing", format!("No such {kind}: '{id}'")).param(param)
    }

    /// 404, no such endpoint.
    pub(super) fn unrecognized(method: &str, path: &str) -> Self {
        let mut failure = Self::invalid(format!(
            "Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at \
             https://support.stripe.com/."
        ))
        .outside();
        failure.status = 404;
        failure
    }

    /// 400, no such parameter.
    pub(super) fn parameter_unknown(param: &str) -> Self {
        Self::invalid_as("parameter_unknown", format!("Received unknown parameter: {param}"))
            .param(param)
            .outside()
    }

    /// 400, a parameter that must be there is not.
    pub(super) fn parameter_missing(param: &str) -> Self {
        Self::invalid_as("parameter_missing", format!("Missing required param: {param}."))
            .param(param)
            .before_work()
    }

    /// 400, a property that cannot be expanded.
    pub(super) fn not_expandable(path: &str) -> Self {
        Self::invalid(format!(
            "This property cannot be expanded ({path}). You may want to try expanding 'data.{path}' instead."
        ))
        .outside()
    }

    /// 401, no key or a wrong one.
    pub(super) fn unauthorized(key: Option<&str>) -> Self {
        let message = match key {
            None => "You did not provide an API key. You need to provide your API key in the Authorization header, \
                     using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
                .to_owned(),
            Some(key) => {
                let shown: String = key.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
                format!("Invalid API Key provided: {}{shown}", "*".repeat(key.chars().count().saturating_sub(4)))
            }
        };
        let mut failure = Self::invalid(message).before_work();
        failure.status = 401;
        failure
    }

    /// 400, the key was used for something else.
    pub(super) fn idempotency(message: &str) -> Self {
        Self::new(400, "idempotency_error", None, message).before_work()
    }

    /// 409, the first request with this key is still at work.
    pub(super) fn key_in_use(key: &str) -> Self {
        let message = format!(
            "There is currently another in-progress request using this Idempotent Key (that probably means you \
             submitted twice, and the other request is still going through): {key}. Please try again later."
        );
        let mut failure =
            Self::new(409, "idempotency_error", Some("idempotency_key_in_use"), &message)
                .before_work();
        failure.status = 409;
        failure
    }

    pub(super) fn rate_limited() -> Self {
        let message = "Request rate limit exceeded. Learn more about rate limits here: https://stripe.com/docs/rate-limits.";
        Self::new(429, "invalid_request_error", Some("rate_limit"), message).before_work()
    }

    /// 403, of a restricted key.
    pub(super) fn forbidden() -> Self {
        let message = "The provided key does not have the required permissions for this endpoint on this account.";
        Self::new(403, "invalid_request_error", None, message).before_work()
    }

    pub(super) fn internal() -> Self {
        let message = "An unknown error occurred. If you have any questions, we can help at https://support.stripe.com/.";
        Self::new(500, "api_error", None, message)
    }

    /// 402, a card that was declined.
    pub(super) fn card(decline: &Decline) -> Self {
        let mut failure = Self::new(402, "card_error", Some(&decline.code), &decline.message);
        failure.error.extend(decline.fields());
        failure
    }

    /// Adds a field to the error.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.error.insert(name.to_owned(), value);
        self
    }

    /// The whole answer.
    pub(super) fn body(&self) -> Value {
        json!({ "error": self.error })
    }
}

/// Why a bank or Stripe refused a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decline {
    pub(super) code: String,
    pub(super) decline_code: Option<String>,
    pub(super) message: String,
    pub(super) advice_code: Option<String>,
    pub(super) network_advice_code: Option<String>,
}

impl Decline {
    /// The decline with this decline code (or, for checks of the form, this code).
    pub(super) fn of(decline_code: &str) -> Self {
        let (code, message) = code_and_message(decline_code);
        let of_the_form = matches!(
            decline_code,
            "incorrect_number"
                | "invalid_expiry_month"
                | "invalid_expiry_year"
                | "payment_intent_authentication_failure"
                | "setup_intent_authentication_failure"
        );
        Self {
            code: code.to_owned(),
            decline_code: (!of_the_form).then(|| decline_code.to_owned()),
            message: message.to_owned(),
            advice_code: advice_of(decline_code).map(str::to_owned),
            network_advice_code: None,
        }
    }

    /// A debit that the bank of the customer sent back.
    pub(super) fn of_bank_debit() -> Self {
        Self {
            code: "payment_method_provider_decline".to_owned(),
            decline_code: None,
            message: "The payment failed because the bank account has insufficient funds."
                .to_owned(),
            advice_code: None,
            network_advice_code: None,
        }
    }

    /// The fields that errors, `last_payment_error` and charges share.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("code".to_owned(), json!(self.code));
        fields.insert("message".to_owned(), json!(self.message));
        let optional = [
            ("decline_code", &self.decline_code),
            ("advice_code", &self.advice_code),
            ("network_advice_code", &self.network_advice_code),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                fields.insert(name.to_owned(), json!(value));
            }
        }
        fields
    }

    /// `last_payment_error` and `last_setup_error`.
    pub(super) fn as_last_error(
        &self,
        charge: Option<&str>,
        payment_method: Option<&Value>,
    ) -> Value {
        let mut error = self.fields();
        let page = self.code.replace('_', "-");
        error.insert("type".to_owned(), json!("card_error"));
        error.insert(
            "doc_url".to_owned(),
            json!(format!("https://stripe.com/docs/error-codes/{page}")),
        );
        if let Some(charge) = charge {
            error.insert("charge".to_owned(), json!(charge));
        }
        if let Some(payment_method) = payment_method {
            error.insert("payment_method".to_owned(), payment_method.clone());
        }
        Value::Object(error)
    }
}

/// The error code and the message of a decline code.
fn code_and_message(decline_code: &str) -> (&'static str, &'static str) {
    match decline_code {
        "expired_card" => ("expired_card", "Your card has expired."),
        "incorrect_cvc" => ("incorrect_cvc", "Your card's security code is incorrect."),
        "incorrect_number" => ("incorrect_number", "Your card number is incorrect."),
        "invalid_expiry_month" => {
            ("invalid_expiry_month", "Your card's expiration month is invalid.")
        }
        "invalid_expiry_year" => ("invalid_expiry_year", "Your card's expiration year is invalid."),
        "processing_error" => (
            "processing_error",
            "An error occurred while processing your card. Try again in a little bit.",
        ),
        "authentication_required" => (
            "authentication_required",
            "Your card was declined. This transaction requires authentication.",
        ),
        "payment_intent_authentication_failure" => (
            "payment_intent_authentication_failure",
            "We are unable to authenticate your payment method. Please choose a different payment method and try \
             again.",
        ),
        "setup_intent_authentication_failure" => (
            "setup_intent_authentication_failure",
            "We are unable to authenticate your payment method. Please choose a different payment method and try \
             again.",
        ),
        "insufficient_funds" => ("card_declined", "Your card has insufficient funds."),
        "test_mode_live_card" => (
            "card_declined",
            "Your card was declined. Your request was in test mode, but used a non test (live) card. For a list \
             of valid test cards, visit: https://stripe.com/docs/testing.",
        ),
        _ => ("card_declined", "Your card was declined."),
    }
}

/// `advice_code`: what the issuer recommends to do next.
fn advice_of(decline_code: &str) -> Option<&'static str> {
    match decline_code {
        "lost_card"
        | "stolen_card"
        | "pickup_card"
        | "fraudulent"
        | "revocation_of_authorization"
        | "revocation_of_all_authorizations"
        | "stop_payment_order" => Some("do_not_try_again"),
        "incorrect_cvc" | "expired_card" => Some("confirm_card_data"),
        "generic_decline" | "insufficient_funds" | "processing_error" => Some("try_again_later"),
        _ => None,
    }
}
