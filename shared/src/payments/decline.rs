//! Declined charges: whether to try again, and what the customer is told.
//!
//! Source of the codes: docs.stripe.com/declines/codes. That a card was reported lost or stolen, or
//! that a charge looks like fraud, must not be told to whoever holds it ("present as generic
//! decline", ibid.).

use crate::domain::event::RefillDecline;
use crate::stripe::DeclinedCharge;

/// How to go on after a declined charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclineClass {
    /// Never again with this card.
    Never,
    Later,
    /// The customer has to confirm the payment.
    NeedsCustomer,
}

impl DeclineClass {
    /// As a row records it; `None` for a payment that waits for its customer.
    #[must_use]
    pub fn decline(self) -> Option<RefillDecline> {
        match self {
            DeclineClass::Never => Some(RefillDecline::Never),
            DeclineClass::Later => Some(RefillDecline::Later),
            DeclineClass::NeedsCustomer => None,
        }
    }
}

/// What the customer can do about it: one button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclineButton {
    AnotherCard,
    /// Put in the card's details again.
    UpdateCard,
    /// Add credit by hand, perhaps a smaller amount.
    AddCredit,
    Confirm,
    /// Allow more in a month.
    RaiseCap,
    /// Nothing: it is tried again.
    Wait,
}

impl DeclineButton {
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            DeclineButton::AnotherCard => "Use another card",
            DeclineButton::UpdateCard => "Update card",
            DeclineButton::AddCredit => "Add credit",
            DeclineButton::Confirm => "Confirm payment",
            DeclineButton::RaiseCap => "Raise monthly limit",
            DeclineButton::Wait => "Try again",
        }
    }

    /// Its stable name in answers.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            DeclineButton::AnotherCard | DeclineButton::UpdateCard => "update_card",
            DeclineButton::AddCredit => "add_credit",
            DeclineButton::Confirm => "confirm",
            DeclineButton::RaiseCap => "raise_cap",
            DeclineButton::Wait => "retry_later",
        }
    }
}

/// What the customer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclineText {
    /// Our class of declines, a stable name: Stripe has some fifty codes, of which a customer may
    /// know a few.
    pub class: &'static str,
    pub sentence: &'static str,
    pub button: DeclineButton,
}

/// Codes after which a card is never charged again: lost, stolen, to be picked up, fraud, revoked
/// by its owner.
const NEVER: &[&str] = &[
    "fraudulent",
    "lost_card",
    "merchant_blacklist",
    "pickup_card",
    "restricted_card",
    "revocation_of_all_authorizations",
    "revocation_of_authorization",
    "stolen_card",
    "stop_payment_order",
];

/// The same, as the network's advice: Mastercard's 03 ("do not try again") and 21 ("stop recurring
/// payment"), and Stripe's own word for them.
const NEVER_ADVICE: &[&str] = &["03", "3", "21", "do_not_try_again"];

/// How to go on.
#[must_use]
pub fn class(declined: &DeclinedCharge) -> DeclineClass {
    let code = declined.code.as_str();
    if NEVER.contains(&code)
        || declined.advice.iter().any(|advice| NEVER_ADVICE.contains(&advice.as_str()))
    {
        return DeclineClass::Never;
    }
    if code == "authentication_required" {
        DeclineClass::NeedsCustomer
    } else {
        DeclineClass::Later
    }
}

/// What the customer is told of a decline code, as a row recorded it.
#[must_use]
pub fn told(code: &str) -> DeclineText {
    let (class, sentence, button) = match code {
        "authentication_required" => (
            "authentication_required",
            "Your bank requires you to confirm this payment.",
            DeclineButton::Confirm,
        ),
        "insufficient_funds" | "withdrawal_count_limit_exceeded" | "card_velocity_exceeded" => {
            let sentence = "Your card has insufficient funds or has reached its limit.";
            ("insufficient_funds", sentence, DeclineButton::AnotherCard)
        }
        "expired_card" | "invalid_expiry_month" | "invalid_expiry_year" => {
            ("expired_card", "Your card has expired.", DeclineButton::UpdateCard)
        }
        "incorrect_cvc" | "invalid_cvc" | "incorrect_number" | "invalid_number"
        | "incorrect_zip" | "incorrect_address" | "invalid_pin" | "incorrect_pin" => {
            ("incorrect_details", "Your card's details are incorrect.", DeclineButton::UpdateCard)
        }
        "card_not_supported"
        | "currency_not_supported"
        | "testmode_decline"
        | "test_mode_live_card" => {
            ("not_supported", "Your card is not supported.", DeclineButton::AnotherCard)
        }
        "invalid_account" | "new_account_information_available" => {
            let sentence = "Your card or its bank account is no longer valid.";
            ("card_not_valid", sentence, DeclineButton::UpdateCard)
        }
        "processing_error"
        | "issuer_not_available"
        | "reenter_transaction"
        | "try_again_later"
        | "approve_with_id" => (
            "bank_unavailable",
            "Your bank could not be reached. We'll try again later.",
            DeclineButton::AddCredit,
        ),
        "invalid_amount" => {
            ("amount_too_large", "The amount exceeds your card's limit.", DeclineButton::AddCredit)
        }
        // Everything else, and above all what must not be told.
        _ => (
            "declined",
            "Your card was declined. Contact your bank for details.",
            DeclineButton::AnotherCard,
        ),
    };
    DeclineText { class, sentence, button }
}

/// What the customer is told of an attempt that was given up and charged nothing.
#[must_use]
pub fn told_not_charged(code: &str) -> DeclineText {
    let (class, sentence, button) = match code {
        "superseded" => (
            "superseded",
            "You opened a payment page, so your card was not charged.",
            DeclineButton::Wait,
        ),
        "called_off" => (
            "called_off",
            "The refill was no longer needed or allowed, so your card was not charged.",
            DeclineButton::Wait,
        ),
        _ => (
            "not_charged",
            "The payment could not be processed. Your card was not charged.",
            DeclineButton::Wait,
        ),
    };
    DeclineText { class, sentence, button }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, advice: &[&str], expected: DeclineClass) {
        let advice = advice.iter().map(|advice| (*advice).to_owned()).collect();
        let declined = DeclinedCharge { code: code.to_owned(), advice, payment: None };
        assert_eq!(class(&declined), expected, "{declined:?}");
    }

    #[test]
    fn a_card_is_never_charged_again_when_its_issuer_said_so() {
        for code in
            ["lost_card", "stolen_card", "pickup_card", "fraudulent", "revocation_of_authorization"]
        {
            check(code, &[], DeclineClass::Never);
        }
        check("generic_decline", &["03"], DeclineClass::Never);
        check("do_not_honor", &["21"], DeclineClass::Never);
        check("insufficient_funds", &["do_not_try_again"], DeclineClass::Never);
        check("authentication_required", &[], DeclineClass::NeedsCustomer);
        for code in [
            "generic_decline",
            "insufficient_funds",
            "expired_card",
            "do_not_honor",
            "a_code_of_next_year",
        ] {
            check(code, &["02"], DeclineClass::Later);
        }
    }

    #[test]
    fn what_must_not_be_told_looks_like_any_other_decline() {
        for code in NEVER {
            assert_eq!(told(code), told("generic_decline"), "{code}");
        }
        assert_ne!(told("insufficient_funds"), told("generic_decline"));
        assert_eq!(told("expired_card").button.label(), "Update card");
    }
}
