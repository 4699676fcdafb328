//! Idempotency keys: what is done once at Stripe, by name.
//!
//! Stripe keeps the answer to a key for at least 24 hours and returns it again, **including a
//! 500**; the same key with other parameters is an error (docs.stripe.com/api/idempotent_requests).

use crate::domain::ids::{AccountId, PaymentId};
use crate::domain::row::RowDigest;
use crate::stripe::metadata::RefundName;

/// The longest key Stripe takes, in bytes.
const BYTES_MAX: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The customer of an account.
    #[must_use]
    pub fn customer(account: &AccountId) -> IdempotencyKey {
        IdempotencyKey::of("customer", account, &[])
    }

    /// The customer of an account, if the key without the difference was used with other parameters
    /// (the e-mail address changed between two attempts) or leads to a customer that was deleted
    /// since.
    #[must_use]
    pub fn customer_again(account: &AccountId, difference: &str) -> IdempotencyKey {
        IdempotencyKey::of("customer", account, &[difference])
    }

    /// A checkout session: by the caller's own key.
    #[must_use]
    pub fn checkout(account: &AccountId, key: &str) -> IdempotencyKey {
        IdempotencyKey::of("checkout", account, &[key])
    }

    /// A page that adds a card: by the caller's own key.
    #[must_use]
    pub fn setup(account: &AccountId, key: &str) -> IdempotencyKey {
        IdempotencyKey::of("setup", account, &[key])
    }

    /// A page that starts a trial: by the caller's own key.
    #[must_use]
    pub fn trial(account: &AccountId, key: &str) -> IdempotencyKey {
        IdempotencyKey::of("trial", account, &[key])
    }

    /// A session of the customer portal: by the caller's own key.
    #[must_use]
    pub fn portal(account: &AccountId, key: &str) -> IdempotencyKey {
        IdempotencyKey::of("portal", account, &[key])
    }

    /// A tax id of a customer: by whatever asks for it, so that one that was removed can be added
    /// again.
    #[must_use]
    pub fn tax_id(account: &AccountId, key: &str) -> IdempotencyKey {
        IdempotencyKey::of("tax_id", account, &[key])
    }

    /// One step of a refill attempt.
    #[must_use]
    pub fn refill(account: &AccountId, attempt: u32, step: &str) -> IdempotencyKey {
        IdempotencyKey::of("refill", account, &[&attempt.to_string(), step])
    }

    /// One step of an invoice by staff: by the caller's own key.
    #[must_use]
    pub fn staff_invoice(account: &AccountId, key: &str, step: &str) -> IdempotencyKey {
        IdempotencyKey::of("invoice", account, &[key, step])
    }

    /// One step of the invoice of a payment that has none.
    #[must_use]
    pub fn receipt_invoice(account: &AccountId, payment: &PaymentId, step: &str) -> IdempotencyKey {
        IdempotencyKey::of("receipt", account, &[payment.as_str(), step])
    }

    /// A refund by staff.
    #[must_use]
    pub fn refund(name: &RefundName) -> IdempotencyKey {
        IdempotencyKey::of("refund", &name.account, &[&name.of_row()])
    }

    /// Something that is made by hand, once for each run of the command: a later run looks first
    /// whether it is there.
    #[must_use]
    pub fn once(what: &str) -> IdempotencyKey {
        IdempotencyKey(format!("stripe-setup/{what}/{:032x}", fastrand::u128(..)))
    }

    /// As Stripe takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts with slashes between them. An account whose own id has a slash could meet
    /// another's key, and long parts do not fit: such a part stands as its digest.
    fn of(what: &str, account: &AccountId, parts: &[&str]) -> IdempotencyKey {
        let account = account.as_str();
        let account = if account.contains('/') {
            RowDigest::of(&[account]).as_str().to_owned()
        } else {
            account.to_owned()
        };
        let rest: String = parts.iter().map(|part| format!("/{part}")).collect();
        let whole = format!("{what}/{account}{rest}");
        if whole.len() <= BYTES_MAX {
            return IdempotencyKey(whole);
        }
        IdempotencyKey(format!("{what}/{}", RowDigest::of(&[&whole]).as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_readable_unless_they_could_meet_or_do_not_fit() {
        let key = |account: &str| IdempotencyKey::refill(&account.parse().unwrap(), 3, "pay").0;
        assert_eq!(key("auth0|1"), "refill/auth0|1/3/pay");
        assert_eq!(IdempotencyKey::customer(&"a".parse().unwrap()).as_str(), "customer/a");
        assert_ne!(
            IdempotencyKey::checkout(&"a/b".parse().unwrap(), "c"),
            IdempotencyKey::checkout(&"a".parse().unwrap(), "b/c")
        );
        let long = "x".repeat(255);
        assert!(key(&long).len() <= BYTES_MAX);
        assert_ne!(key(&long), IdempotencyKey::refill(&long.parse().unwrap(), 4, "pay").0);
    }
}
