//! What every family says of its own kinds of rows.

use super::{BilledLines, Claim, ListChange};
use crate::domain::account::AccountState;
use crate::domain::ids::AccountId;
use crate::domain::timestamp::Timestamp;

/// Number and time of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowPlace {
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
}

/// A family of changes. A default is what most families do.
pub(crate) trait ChangeFamily {
    /// The name rows of this kind have in the table's `type` attribute.
    fn name(&self) -> &'static str;

    /// Writes the change into the state, after the row's grants and funds.
    fn apply(&self, next: &mut AccountState, row: RowPlace);

    /// Begins a paid period that this row's funds are counted in.
    fn begin_period(&self, _next: &mut AccountState, _at: Timestamp) {}

    /// What was billed or given back for time.
    fn lines(&self) -> Option<&BilledLines> {
        None
    }

    fn lines_mut(&mut self) -> Option<&mut BilledLines> {
        None
    }

    /// Whether the row's amount counts as use during a trial.
    fn is_use(&self) -> bool {
        self.lines().is_some()
    }

    /// The keys of which each may be used once.
    fn claims(&self, _account: &AccountId) -> Vec<Claim> {
        Vec::new()
    }

    /// Whether a balance below the threshold makes a refill wanted after this row. Rows that spend
    /// do so, and rows that change what was agreed. Credit bought by hand, money taken back and
    /// staff's doings never charge a card by themselves.
    fn may_want_refill(&self) -> bool {
        false
    }

    /// What the row does to the list of resources and meters.
    fn list_change(&self, _at: Timestamp) -> ListChange<'_> {
        ListChange::Nothing
    }
}
