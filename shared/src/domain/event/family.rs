//! The interface of a family of changes.

use super::{BilledLines, Claim, ListChange};
use crate::domain::account::AccountState;
use crate::domain::ids::AccountId;
use crate::domain::money::Rate;
use crate::domain::timestamp::Timestamp;

/// Number and time of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowPlace {
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
}

/// A family of changes. Defaults cover what most families do.
pub(crate) trait ChangeFamily {
    /// Applies the change to the state, after the row's grants and funds.
    fn apply(&self, next: &mut AccountState, row: RowPlace);

    /// Starts a paid period before the row's funds are counted.
    fn begin_period(&self, _next: &mut AccountState, _at: Timestamp) {}

    /// The lines billed or given back for time.
    fn lines(&self) -> Option<&BilledLines> {
        None
    }

    fn lines_mut(&mut self) -> Option<&mut BilledLines> {
        None
    }

    /// Removes the names that customers chose: they stand in items only.
    fn forget_names(&mut self) {}

    /// Whether the row's amount counts as usage during a trial.
    fn is_use(&self) -> bool {
        self.lines().is_some()
    }

    /// Why staff did it, in their words, or why Stripe refused it.
    fn reason(&self) -> Option<&str> {
        None
    }

    /// Unique keys of the change.
    fn claims(&self, _account: &AccountId) -> Vec<Claim> {
        Vec::new()
    }

    /// Whether a balance below the threshold after this row triggers a refill.
    ///
    /// Rows that spend credit or change the agreement do. Manual top-ups, refunds, disputes and
    /// staff actions never cause a charge.
    fn may_want_refill(&self) -> bool {
        false
    }

    /// The change to the list of resources and meters.
    fn list_change(&self, _at: Timestamp) -> ListChange<'_> {
        ListChange::Nothing
    }

    /// The rate before the row, in USD per hour. `state` is the state after it.
    ///
    /// `None` if the row does not contain it, or if the limit of low credit may have been crossed
    /// without a notice: the row changes the limit but not the credit, or a refill was pending. The
    /// limit then counts as crossed, because an extra notice is better than a missing one.
    fn rate_before(&self, state: &AccountState) -> Option<Rate> {
        Some(state.billed.rate)
    }
}
