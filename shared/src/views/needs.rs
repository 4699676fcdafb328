//! Why nothing can be started, and the credit that is missing, as customers and the page are told.

use serde::Serialize;

use crate::domain::account::{AccountState, Standing, SuspensionReason};
use crate::domain::money::Usd;
use crate::domain::timestamp::{HOUR, Timestamp};

/// Why resources cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartBlock {
    /// The credit is used up. New credit ends it.
    Credit,
    /// Staff suspended or froze the account.
    Staff,
    /// A payment is disputed.
    Dispute,
    /// The account is closed.
    Closed,
}

/// Why resources cannot be started; `None` if at most credit is missing. What credit does not end
/// comes first.
#[must_use]
pub fn start_block(state: &AccountState) -> Option<StartBlock> {
    let of_standing = match &state.standing {
        Standing::Good => None,
        Standing::Suspended(suspension) => Some(match suspension.reason {
            SuspensionReason::Credit => StartBlock::Credit,
            SuspensionReason::Staff => StartBlock::Staff,
        }),
        Standing::Deleting(_) | Standing::Deleted(_) => Some(StartBlock::Credit),
        Standing::Closed => return Some(StartBlock::Closed),
    };
    if !state.frozen.disputes.is_empty() {
        return Some(StartBlock::Dispute);
    }
    if state.frozen.staff { Some(StartBlock::Staff) } else { of_standing }
}

/// The credit that is missing for a start that takes `required`, in USD, rounded up to the cent. It
/// pays what will be owed in an hour, because paying takes time. `None` if credit alone makes no
/// start possible.
#[must_use]
pub fn missing_for_start(state: &AccountState, required: Usd, now: Timestamp) -> Option<Usd> {
    let owed = state.owed_at(now.plus(HOUR));
    let missing = (required + owed - state.available()).or_zero().up_to_cents();
    match start_block(state) {
        None => Some(missing),
        Some(StartBlock::Credit) => state.needed_to_resume(now).map(|resumes| resumes.max(missing)),
        Some(StartBlock::Staff | StartBlock::Dispute | StartBlock::Closed) => None,
    }
}
