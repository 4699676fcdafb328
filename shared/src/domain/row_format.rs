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
//! 2. Once it runs everywhere, the new format is written: by the next release, or by this one
//!    deployed again with the setting `ROW_FORMAT`.
//!
//! A chain's format never goes back: an older function would read a newer state and lose what it
//! does not know. [`encode`](crate::domain::row::encode) takes the higher of the two.

use serde::{Deserialize, Serialize};

/// A version of the stored form of a row.
///
/// 6: the refill terms that were accepted with a trial; a trial that ends when its credit is used,
/// and the notices of its end; accounts that their customers closed, or that staff reopened or
/// erased; metered usage by its own hour, with counters and labels; holds; who of the staff caused
/// a row; refunds by staff; opening balances. Under format 5 none of these is decided. The names of
/// resources stand in their items only. Rows of trials in older formats exist in tests only, because
/// no route began one.
///
/// 5: what was taken back of payments is in items, and rows say what these hold; the idempotency key
/// of a request is an item and no claim in the ledger (`store/requests.rs`); a credit that does not
/// pay for a respite leaves it as it is; another default card ends none. Under format 4 none of
/// these is decided.
///
/// 4: refills to a target balance, with the words that the customer accepted; the expiry of the card
/// that refills charge; refills that wait for a customer who did not confirm, and those that staff
/// ended; all payments of an invoice. Under format 3 none of these is decided.
///
/// 3: the respite of a wanted refill and what is owed; terms with a maximum per charge; attempts
/// that were called off; disputes that moved money more than once. Under format 2 none of these is
/// decided.
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
    pub const READABLE: RowFormat = RowFormat(6);
    /// The format this release writes, unless the account's last row has a newer one or the
    /// operator chose an older one (the setting `ROW_FORMAT`).
    pub const WRITTEN: RowFormat = RowFormat(6);
    /// The oldest format this release can still write.
    const WRITABLE_MIN: RowFormat = RowFormat(2);
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

/// Not a format that this release can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a row format from {min} to {max}", min = RowFormat::WRITABLE_MIN, max = RowFormat::READABLE)]
pub struct RowFormatError;

impl std::str::FromStr for RowFormat {
    type Err = RowFormatError;

    fn from_str(text: &str) -> Result<RowFormat, RowFormatError> {
        let format = text.parse().map(RowFormat).map_err(|_| RowFormatError)?;
        let is_writable = (RowFormat::WRITABLE_MIN..=RowFormat::READABLE).contains(&format);
        is_writable.then_some(format).ok_or(RowFormatError)
    }
}

impl std::fmt::Display for RowFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
