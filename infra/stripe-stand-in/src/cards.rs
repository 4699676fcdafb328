//! Stripe's published test cards, and their behavior.
//!
//! Source: <https://docs.stripe.com/testing>.

use super::failure::Decline;

/// A card with a number that Stripe publishes for testing.
#[derive(Clone, Copy, Debug)]
pub struct TestCard {
    /// The number typed into the payment page.
    pub number: &'static str,
    /// The id under which `POST /v1/payment_methods/{id}/attach` knows it; empty where Stripe has
    /// none.
    pub token: &'static str,
    /// `visa`, `mastercard`, …
    pub brand: &'static str,
    /// `credit`, `debit`, `prepaid`.
    pub funding: &'static str,
    /// The result of a charge.
    pub behavior: Behavior,
}

/// The behavior of a test card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// Every payment succeeds.
    Succeeds,
    /// Every payment, and saving it, is declined with this decline code.
    Declines(&'static str),
    /// Saving it and paying at the page succeed; every charge off session is declined.
    DeclinesOffSession,
    /// Asks for 3-D Secure; once it was set up for off-session use, charges off session pass.
    AuthenticatesUnlessSetUp,
    /// Asks for 3-D Secure each time; off session that is a decline.
    AlwaysAuthenticates,
    /// Asks for 3-D Secure, then is declined for insufficient funds.
    AuthenticatesThenDeclines,
    /// The payment succeeds and is disputed at once, for this reason.
    Disputed(&'static str),
    /// The payment succeeds and is queried by the bank: an inquiry, which moves no money.
    Inquired,
    /// The payment succeeds; a refund starts as `pending` and succeeds later.
    RefundSucceedsLater,
    /// The payment succeeds; a refund starts as `succeeded` and fails later.
    RefundFailsLater,
}

const fn card(number: &'static str, token: &'static str, behavior: Behavior) -> TestCard {
    TestCard { number, token, brand: "visa", funding: "credit", behavior }
}

const fn of(brand: &'static str, funding: &'static str, card: TestCard) -> TestCard {
    TestCard { brand, funding, ..card }
}

/// All supported test cards.
pub const TEST_CARDS: &[TestCard] = &[
    card("4242424242424242", "pm_card_visa", Behavior::Succeeds),
    of("visa", "debit", card("4000056655665556", "pm_card_visa_debit", Behavior::Succeeds)),
    of("mastercard", "credit", card("5555555555554444", "pm_card_mastercard", Behavior::Succeeds)),
    of(
        "mastercard",
        "debit",
        card("5200828282828210", "pm_card_mastercard_debit", Behavior::Succeeds),
    ),
    of(
        "mastercard",
        "prepaid",
        card("5105105105105100", "pm_card_mastercard_prepaid", Behavior::Succeeds),
    ),
    of("amex", "credit", card("378282246310005", "pm_card_amex", Behavior::Succeeds)),
    card("4000000000000002", "pm_card_visa_chargeDeclined", Behavior::Declines("generic_decline")),
    card(
        "4000000000009995",
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        Behavior::Declines("insufficient_funds"),
    ),
    card(
        "4000000000009987",
        "pm_card_visa_chargeDeclinedLostCard",
        Behavior::Declines("lost_card"),
    ),
    card(
        "4000000000009979",
        "pm_card_visa_chargeDeclinedStolenCard",
        Behavior::Declines("stolen_card"),
    ),
    card(
        "4000000000000069",
        "pm_card_chargeDeclinedExpiredCard",
        Behavior::Declines("expired_card"),
    ),
    card(
        "4000000000000127",
        "pm_card_chargeDeclinedIncorrectCvc",
        Behavior::Declines("incorrect_cvc"),
    ),
    card(
        "4000000000000119",
        "pm_card_chargeDeclinedProcessingError",
        Behavior::Declines("processing_error"),
    ),
    card("4100000000000019", "pm_card_radarBlock", Behavior::Declines("fraudulent")),
    card("4000000000000341", "pm_card_chargeCustomerFail", Behavior::DeclinesOffSession),
    card(
        "4000002500003155",
        "pm_card_authenticationRequiredOnSetup",
        Behavior::AuthenticatesUnlessSetUp,
    ),
    card("4000002760003184", "pm_card_authenticationRequired", Behavior::AlwaysAuthenticates),
    card(
        "4000008260003178",
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        Behavior::AuthenticatesThenDeclines,
    ),
    card("4000000000000259", "pm_card_createDispute", Behavior::Disputed("fraudulent")),
    card(
        "4000000000002685",
        "pm_card_createDisputeProductNotReceived",
        Behavior::Disputed("product_not_received"),
    ),
    card("4000000000001976", "pm_card_createDisputeInquiry", Behavior::Inquired),
    card("4000000000007726", "pm_card_pendingRefund", Behavior::RefundSucceedsLater),
    card("4000000000005126", "pm_card_refundFail", Behavior::RefundFailsLater),
];

/// The test card with this number.
pub(super) fn by_number(number: &str) -> Option<&'static TestCard> {
    TEST_CARDS.iter().find(|card| card.number == number)
}

/// The test card with this well-known payment method id.
pub(super) fn by_token(token: &str) -> Option<&'static TestCard> {
    TEST_CARDS.iter().find(|card| !card.token.is_empty() && card.token == token)
}

/// Why the page refuses a card number before any bank is asked.
pub(super) fn check_number(number: &str) -> Result<&'static TestCard, Decline> {
    match by_number(number) {
        Some(card) => Ok(card),
        None if has_check_digit(number) => Err(Decline::of("test_mode_live_card")),
        None => Err(Decline::of("incorrect_number")),
    }
}

/// The Luhn check digit.
fn has_check_digit(number: &str) -> bool {
    let digits: Option<Vec<u32>> = number.chars().map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits.filter(|digits| digits.len() >= 12) else { return false };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}
