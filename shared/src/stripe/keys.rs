//! Idempotency keys: what is done once at Stripe, by name.
//!
//! Stripe keeps the answer to a key for at least 24 hours and returns it again, **including a
//! 500**; the same key with other parameters is an error (docs.stripe.com/api/idempotent_requests).

use crate::domain::ids::AccountId;
use crate::domain::row::Digest;

/// The longest key Stripe takes, in bytes.
const BYTES_MAX: usize = 255;

/// An idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The customer of an account.
    #[must_use]
    pub fn customer(account: &AccountId) -> Key {
        Key::of("customer", account, &[])
    }

    /// The customer of an account, if the key without the difference was used with other parameters
    /// (the e-mail address changed between two attempts) or leads to a customer that was deleted
    /// since.
    #[must_use]
    pub fn customer_again(account: &AccountId, difference: &str) -> Key {
        Key::of("customer", account, &[difference])
    }

    /// A checkout session: by the caller's own key.
    #[must_use]
    pub fn checkout(account: &AccountId, key: &str) -> Key {
        Key::of("checkout", account, &[key])
    }

    /// A page that adds a card: by the caller's own key.
    #[must_use]
    pub fn setup(account: &AccountId, key: &str) -> Key {
        Key::of("setup", account, &[key])
    }

    /// A session of the customer portal: by the caller's own key.
    #[must_use]
    pub fn portal(account: &AccountId, key: &str) -> Key {
        Key::of("portal", account, &[key])
    }

    /// A tax id of a customer: by whatever asks for it, so that one that was removed can be added
    /// again.
    #[must_use]
    pub fn tax_id(account: &AccountId, key: &str) -> Key {
        Key::of("tax_id", account, &[key])
    }

    /// One step of a refill attempt.
    #[must_use]
    pub fn refill(account: &AccountId, attempt: u32, step: &str) -> Key {
        Key::of("refill", account, &[&attempt.to_string(), step])
    }

    /// Something that is made by hand, once for each run of the command: a later run looks first
    /// whether it is there.
    #[must_use]
    pub fn once(what: &str) -> Key {
        Key(format!("stripe-setup/{what}/{:032x}", fastrand::u128(..)))
    }

    /// As Stripe takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts with slashes between them. An account whose own id has a slash could meet
    /// another's key, and long parts do not fit: such a part stands as its digest.
    fn of(what: &str, account: &AccountId, parts: &[&str]) -> Key {
        let account = account.as_str();
        let account = if account.contains('/') {
            Digest::of(&[account]).as_str().to_owned()
        } else {
            account.to_owned()
        };
        let rest: String = parts.iter().map(|part| format!("/{part}")).collect();
        let whole = format!("{what}/{account}{rest}");
        if whole.len() <= BYTES_MAX {
            return Key(whole);
        }
        Key(format!("{what}/{}", Digest::of(&[&whole]).as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_readable_unless_they_could_meet_or_do_not_fit() {
        let key = |account: &str| Key::refill(&account.parse().unwrap(), 3, "pay").0;
        assert_eq!(key("auth0|1"), "refill/auth0|1/3/pay");
        assert_eq!(Key::customer(&"a".parse().unwrap()).as_str(), "customer/a");
        assert_ne!(
            Key::checkout(&"a/b".parse().unwrap(), "c"),
            Key::checkout(&"a".parse().unwrap(), "b/c")
        );
        let long = "x".repeat(255);
        assert!(key(&long).len() <= BYTES_MAX);
        assert_ne!(key(&long), Key::refill(&long.parse().unwrap(), 4, "pay").0);
    }
}
