//! The names of an enum's variants, as one list.

/// Gives an enum `name` and `NAMES`. A new variant without a name does not compile.
macro_rules! variant_names {
    ($(#[$doc:meta])* $type:ident {
        $($pattern:pat $(if $guard:expr)? => $name:literal,)+
    }) => {
        impl $type {
            /// The names of all variants. Two variants may have the same.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            $(#[$doc])*
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $($pattern $(if $guard)? => $name,)+
                }
            }
        }
    };
}

pub(crate) use variant_names;
