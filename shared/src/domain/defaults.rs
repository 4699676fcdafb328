//! Defaults that are not stored.

/// For `skip_serializing_if`: fields at their default are not stored.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
