//! `verify`: whether an account's chain is what was appended.

use super::rows::{PAGE_ROWS, RowOrder};
use super::{Store, StoreError};
use crate::domain::event::BilledLines;
use crate::domain::ids::AccountId;
use crate::domain::row::{ChainHead, RowError, check_follows, check_lines};

/// A chain in which every row follows the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedChain {
    /// How many rows it has.
    pub rows: u64,
    /// Its last row. A chain alone cannot show that its end was cut off: compare this with what was
    /// noted elsewhere.
    pub head: ChainHead,
}

/// Why a chain is not verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The first row that is wrong, missing or out of order.
    #[error(transparent)]
    Wrong(RowError),
    /// It could not be read.
    #[error(transparent)]
    Unread(StoreError),
}

impl Store {
    /// Walks an account's chain from its first row: numbers, hashes, times, states, amounts and
    /// lines.
    ///
    /// # Errors
    /// [`ChainError::Wrong`] with the first row that is wrong; [`ChainError::Unread`].
    pub async fn verify(&self, account: &AccountId) -> Result<VerifiedChain, ChainError> {
        let mut head = ChainHead::none();
        let mut rest = Some(0..u64::MAX);
        while let Some(numbers) = rest {
            let (items, remaining) =
                self.row_items(account, numbers, RowOrder::OldestFirst, PAGE_ROWS).await?;
            for item in &items {
                let row = self.decoded(item)?;
                check_follows(&head, &row)?;
                if let Some(BilledLines::Chunked(committed)) = row.event.change.lines() {
                    let lines = self.joined_lines(account, row.seq, committed).await?;
                    check_lines(&row, &lines)?;
                }
                head = row.into();
            }
            rest = remaining;
        }
        Ok(VerifiedChain { rows: head.state.next_seq, head })
    }
}

impl From<RowError> for ChainError {
    fn from(fault: RowError) -> ChainError {
        ChainError::Wrong(fault)
    }
}

impl From<StoreError> for ChainError {
    fn from(fault: StoreError) -> ChainError {
        match fault {
            StoreError::Broken(wrong) => ChainError::Wrong(wrong),
            StoreError::Throttled { .. }
            | StoreError::Unavailable { .. }
            | StoreError::Contended { .. }
            | StoreError::ListDisagrees
            | StoreError::Unpriced(_)
            | StoreError::NewerFormat { .. }
            | StoreError::Malformed { .. }
            | StoreError::Rejected { .. }
            | StoreError::Panicked { .. } => ChainError::Unread(fault),
        }
    }
}
