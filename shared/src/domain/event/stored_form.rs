//! How a [`Change`](super::Change) is stored: flat, as if all families were one enum.
//!
//! A row holds `{"credited": {…}}` or `"opened"`. The family is not stored. The reader takes the
//! tag, finds the family that has it, and lets that family read the content.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{self, DeserializeSeed, EnumAccess, IntoDeserializer as _, VariantAccess};

/// Defines [`Change`](super::Change) from its families, with all code that depends on the full
/// list.
macro_rules! families {
    ($($(#[$doc:meta])* $family:ident($change:ident),)+) => {
        /// What happened, by family. Each kind of row is a variant of its family's enum.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Change {
            $($(#[$doc])* $family($change),)+
        }

        impl Change {
            /// The names of all kinds of rows, see [`Change::name`].
            pub fn names() -> impl Iterator<Item = &'static str> {
                [$($change::NAMES),+].into_iter().flatten().copied()
            }

            /// The `type` attribute of rows of this kind.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Change::$family(change) => change.name(),)+
                }
            }

            fn family(&self) -> &dyn ChangeFamily {
                match self {
                    $(Change::$family(change) => change,)+
                }
            }

            fn family_mut(&mut self) -> &mut dyn ChangeFamily {
                match self {
                    $(Change::$family(change) => change,)+
                }
            }
        }

        $(impl From<$change> for Change {
            fn from(change: $change) -> Change {
                Change::$family(change)
            }
        })+

        impl serde::Serialize for Change {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Change::$family(change) => change.serialize(serializer),)+
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for Change {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Change, D::Error> {
                from.deserialize_enum("Change", &TAGS, ChangeVisitor)
            }
        }

        /// The tags of all families.
        static TAGS: std::sync::LazyLock<Vec<&'static str>> = std::sync::LazyLock::new(|| {
            [$(stored_form::tags_of::<$change>()),+].concat()
        });

        struct ChangeVisitor;

        impl<'de> serde::de::Visitor<'de> for ChangeVisitor {
            type Value = Change;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a kind of row")
            }

            fn visit_enum<A: serde::de::EnumAccess<'de>>(
                self,
                access: A,
            ) -> Result<Change, A::Error> {
                let (tag, content) = access.variant::<String>()?;
                $(if stored_form::tags_of::<$change>().contains(&tag.as_str()) {
                    let tagged = stored_form::TaggedContent { tag, content };
                    let tagged = serde::de::value::EnumAccessDeserializer::new(tagged);
                    return serde::Deserialize::deserialize(tagged).map(Change::$family);
                })+
                Err(serde::de::Error::unknown_variant(&tag, &TAGS))
            }
        }
    };
}

pub(super) use families;

/// A tag that was read, with content that was not. A family deserializes from it.
pub(super) struct TaggedContent<C> {
    pub(super) tag: String,
    pub(super) content: C,
}

impl<'de, C: VariantAccess<'de>> EnumAccess<'de> for TaggedContent<C> {
    type Error = C::Error;
    type Variant = C;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, C), C::Error> {
        let tag: StringDeserializer<C::Error> = self.tag.into_deserializer();
        Ok((seed.deserialize(tag)?, self.content))
    }
}

/// The tags of a family. A derived `Deserialize` names them when it refuses a tag, so no separate
/// list is needed.
pub(super) fn tags_of<F: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let no_tag: StrDeserializer<'_, KnownTags> = "".into_deserializer();
    match F::deserialize(no_tag) {
        Ok(_) => &[],
        Err(KnownTags(tags)) => tags,
    }
}

/// The tags that a refusal names.
#[derive(Debug)]
struct KnownTags(&'static [&'static str]);

impl fmt::Display for KnownTags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "knows {:?}", self.0)
    }
}

impl std::error::Error for KnownTags {}

impl de::Error for KnownTags {
    fn custom<T: fmt::Display>(_: T) -> KnownTags {
        KnownTags(&[])
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> KnownTags {
        KnownTags(known)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::super::{Change, GrantChange, PaymentChange, StandingChange, TAGS};
    use super::tags_of;
    use crate::domain::account::RestartPolicy;

    #[test]
    fn family_is_not_stored() {
        let granted = GrantChange::Granted { number: 1, reason: "hello".to_owned() };
        for (change, stored) in [
            (Change::from(StandingChange::Opened), json!("opened")),
            (granted.into(), json!({"granted": {"number": 1, "reason": "hello"}})),
            (
                StandingChange::RestartPolicyChosen(RestartPolicy::InOrder).into(),
                json!({"comeback_chosen": "in_order"}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&change).unwrap(), stored);
            assert_eq!(serde_json::from_value::<Change>(stored.clone()).unwrap(), change);
            assert_eq!(serde_json::from_str::<Change>(&stored.to_string()).unwrap(), change);
        }
    }

    #[test]
    fn no_two_families_know_the_same_tag() {
        let tags: BTreeSet<_> = TAGS.iter().collect();
        assert_eq!(tags.len(), TAGS.len());
        assert_eq!(tags_of::<PaymentChange>().first(), Some(&"credited"));
    }

    #[test]
    fn unreadable_change_is_an_error_that_says_why() {
        let why = |stored: Value| serde_json::from_value::<Change>(stored).unwrap_err().to_string();
        assert!(why(json!("unheard_of")).starts_with("unknown variant `unheard_of`, expected one"));
        assert!(why(json!({"granted": {"number": 1}})).contains("missing field `reason`"));
        assert!(why(json!(7)).contains("invalid type"));
    }
}
