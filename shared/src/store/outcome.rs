//! What a settling or a command came to.

use super::{ExistingClaim, StoreError};
use crate::domain::row::{ChainHead, Row};
use crate::domain::snapshot::AccountSnapshot;

/// Above this many seconds between a trigger's time and the account's last row, something is wrong
/// with a clock.
pub const CLOCK_BEHIND_ALARM_SECONDS: i64 = 300;

/// What a settling did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettleReport {
    /// Rows that were due.
    pub found: u32,
    /// Of these, rows that were appended.
    pub appended: u32,
    /// Of these, rows that another worker had recorded in the same words.
    pub already_there: u32,
    /// How often another row was faster, and everything was decided again.
    pub lost: u32,
    /// Usage entries without a price, or too large for any row.
    pub usage_skipped: usize,
    /// How many seconds the trigger's time lay before the account's last row at the most. The row's
    /// time was used.
    pub clock_behind_seconds: i64,
}

impl SettleReport {
    /// Whether the trigger's clock was further behind than can be explained.
    #[must_use]
    pub fn is_clock_alarm(&self) -> bool {
        self.clock_behind_seconds > CLOCK_BEHIND_ALARM_SECONDS
    }
}

/// An account that was settled, as it is now.
#[derive(Clone, Debug)]
pub struct SettledAccount<'a> {
    /// Its state and what it is billed for.
    pub view: AccountSnapshot<'a>,
    pub report: SettleReport,
}

/// What a command that was not refused came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandOutcome {
    /// It has its row.
    Appended(Box<CommandReceipt>),
    /// Its cause had its row before; nothing was written. Look whose: it may be another account's.
    AlreadyAppended(ExistingClaim),
}

/// A command's row, and the account after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandReceipt {
    /// As it is read again, but for the names that customers chose: it has them.
    pub row: Row,
    /// The account after this row and those that followed from it.
    pub head: ChainHead,
    /// What was settled before and after it.
    pub report: SettleReport,
    /// Why the account could not be settled before or after the command. The command counts all the
    /// same, and the next run settles; so does a second delivery of the same trigger.
    pub unsettled: Option<StoreError>,
}
