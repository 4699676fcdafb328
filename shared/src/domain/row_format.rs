//! The versions of the stored form of rows.
//!
//! # How a new format reaches production
//!
//! Functions are replaced one after another, and a release may be rolled back. A row that an older
//! function cannot read stops its account until that function is replaced. So a format is readable
//! one release before it is written:
//!
//! 1. A release reads the new format and still writes the old one ([`RowFormat::WRITTEN`] is lower
//!    than [`RowFormat::READABLE`]). What a newer format adds is not decided under an older one.
//! 2. Once it runs everywhere, the next release writes the new format.
//!
//! A chain's format never goes back: an older function would read a newer state and lose what it
//! does not know. [`encode`](crate::domain::row::encode) takes the higher of the two.

use serde::{Deserialize, Serialize};

/// A version of the stored form of a row.
///
/// 2: a suspension says when its deletion is announced, which has a row; refills that failed or
/// wait for their customer say of what amount and where. Format 1 leaves these out: customers
/// suspended under it were told the deadline then, and are not warned again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowFormat(u16);

impl RowFormat {
    /// The newest format this release reads. It reads every older one, too, and never appends
    /// after a row of a newer one.
    pub const READABLE: RowFormat = RowFormat(2);
    /// The format this release writes, unless the account's last row has a newer one.
    pub const WRITTEN: RowFormat = RowFormat(2);
    /// Of a chain without rows.
    pub(crate) const NONE: RowFormat = RowFormat(0);

    /// This version.
    #[must_use]
    pub const fn new(version: u16) -> RowFormat {
        RowFormat(version)
    }

    /// As a number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl std::fmt::Display for RowFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
