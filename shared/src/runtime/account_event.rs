//! An event of the bus that asks a function to look at one account.

use serde::Deserialize;

use crate::domain::ids::AccountId;

/// The event. Its other fields are ignored: the function looks at the account's state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AccountEvent {
    /// The event's own time (RFC 3339, UTC).
    pub time: String,
    pub detail: AccountEventDetail,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AccountEventDetail {
    pub account: AccountId,
}
