//! IDs: each kind has a type of its own, checked once at the edge.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("must not be empty")]
    Empty,
    /// Longer than this number of bytes.
    #[error("must be at most {0} bytes")]
    TooLong(usize),
    /// A character other than visible ASCII, or `#`, which separates the parts of keys.
    #[error("must contain only visible ASCII characters other than '#'")]
    Character,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $bytes_max:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                check(text, $bytes_max)?;
                Ok($name(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                check(&text, $bytes_max)?;
                Ok($name(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// A customer: the `sub` of the token, at most 255 ASCII characters (OpenID Connect Core 1.0,
    /// section 2: "MUST NOT exceed 255 ASCII characters").
    AccountId, 255;
    /// A member of the operator's staff: the `sub` of the token.
    StaffId, 255;
    /// A group of resources of one account.
    ProjectId, 64;
    /// Anything billed by time.
    ResourceId, 64;
    /// An entry of the price list.
    Sku, 64;
    /// The name of a label of metered usage, such as `api_key`.
    LabelName, 32;
    /// The value of a label of metered usage.
    LabelValue, 64;
    /// The name of a counter that the platform reads.
    CounterName, 64;
    /// The kind of a resource, such as `service`, `instance` or `volume`. The trial limits
    /// resources by kind.
    Kind, 32;
    /// A commit plan that staff offer.
    PlanId, 64;
    /// A Stripe PaymentIntent, `pi_…`. Stripe IDs have at most 255 characters.
    PaymentId, 255;
    /// A Stripe Refund, `re_…` (older ones `pyr_…`).
    RefundId, 255;
    /// A Stripe Dispute, `dp_…` (older ones `du_…`).
    DisputeId, 255;
    /// A Stripe Radar early fraud warning, `issfr_…`.
    FraudWarningId, 255;
    /// A Stripe PaymentMethod, `pm_…`: a saved card.
    CardId, 255;
    /// A Stripe Customer, `cus_…`.
    CustomerId, 255;
    /// The route and the caller's `Idempotency-Key`. Makes an API request idempotent.
    RequestKey, 320;
    /// Stripe's fingerprint of a card number. The same card has the same fingerprint for every
    /// customer.
    CardFingerprint, 64;
}

/// The prefix of the IDs of resources that were not chosen by the platform.
pub const GENERATED_PREFIX: &str = "srv-";
/// The characters after the prefix. They hold five bits each, so two of them never meet.
pub const GENERATED_CHARACTERS: usize = 20;
/// Digits and lower-case letters except `i`, `l`, `o` and `u`, which are misread.
pub const GENERATED_LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl ResourceId {
    /// Whether it has the form of a generated ID. Such IDs are never chosen, so they are unique
    /// without a claim.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.0.strip_prefix(GENERATED_PREFIX).is_some_and(|rest| {
            rest.len() == GENERATED_CHARACTERS
                && rest.bytes().all(|byte| GENERATED_LETTERS.contains(&byte))
        })
    }

    /// Whether it is safe in a path, a host name's label or a shell: letters, digits, `-`, `_` and
    /// `.`, of which the first is a letter or digit. IDs from before this rule may be otherwise.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        is_plain(&self.0)
    }
}

impl PlanId {
    /// Whether it is safe in a path, as [`ResourceId::is_plain`].
    #[must_use]
    pub fn is_plain(&self) -> bool {
        is_plain(&self.0)
    }
}

fn is_plain(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().all(is_plain) && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

impl CounterName {
    /// The counter of a report that names none.
    #[must_use]
    pub fn main() -> CounterName {
        CounterName("main".to_owned())
    }
}

fn check(text: &str, bytes_max: usize) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > bytes_max {
        return Err(IdError::TooLong(bytes_max));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(IdError::Character);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_ids_are_plain_and_unlike_generated_ones() {
        let id = |text: &str| text.parse::<ResourceId>().unwrap();
        for text in ["vm-1", "Db_2.eu", "7", "srv-1", "a..b"] {
            assert!(id(text).is_plain() && !id(text).is_generated(), "{text}");
        }
        for text in ["..", ".", "-rf", "_a", "a/b", "a~b", "a%2e", "a:b"] {
            assert!(!id(text).is_plain(), "{text}");
        }
        assert!(id("srv-0123456789abcdefghjk").is_generated());
        for text in
            ["srv-0123456789abcdefghji", "srv-0123456789abcdefghj", "prj-0123456789abcdefghjk"]
        {
            assert!(!id(text).is_generated(), "{text}");
        }
    }

    #[test]
    fn ids_are_short_visible_and_free_of_the_key_separator() {
        assert_eq!(
            "auth0|5f7c8ec7c33c6c004bbafe82".parse::<AccountId>().map(String::from).as_deref(),
            Ok("auth0|5f7c8ec7c33c6c004bbafe82")
        );
        assert_eq!("".parse::<AccountId>(), Err(IdError::Empty));
        assert_eq!("a".repeat(256).parse::<AccountId>(), Err(IdError::TooLong(255)));
        for text in ["a#b", "a b", "a\n", "ä"] {
            assert_eq!(text.parse::<Sku>(), Err(IdError::Character), "{text:?}");
        }
        assert!(serde_json::from_str::<Sku>("\"a#b\"").is_err(), "stored ids are checked as well");
    }
}
