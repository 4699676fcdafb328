//! `verify`: whether an account's chain is what was appended.

use super::ledger::{Order, PAGE_ROWS, stored_row};
use super::{Fault, Store};
use crate::domain::event::Lines;
use crate::domain::ids::AccountId;
use crate::domain::row::{Head, RowFault, check_follows, check_lines, read};

/// A chain in which every row follows the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many rows it has.
    pub rows: u64,
    /// Its last row. A chain alone cannot show that its end was cut off: compare this with what was
    /// noted elsewhere.
    pub head: Head,
}

/// Why a chain is not verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// The first row that is wrong, missing or out of order.
    #[error(transparent)]
    Wrong(RowFault),
    /// It could not be read.
    #[error(transparent)]
    Unread(Fault),
}

impl Store {
    /// Walks an account's chain from its first row: numbers, hashes, times, states, amounts and
    /// lines.
    ///
    /// # Errors
    /// [`ChainFault::Wrong`] with the first row that is wrong; [`ChainFault::Unread`].
    pub async fn verify(&self, account: &AccountId) -> Result<Verified, ChainFault> {
        let mut head = Head::none();
        let mut rest = Some(0..u64::MAX);
        while let Some(numbers) = rest {
            let (items, remaining) =
                self.row_items(account, numbers, Order::OldestFirst, PAGE_ROWS).await?;
            for item in &items {
                let row = read(&stored_row(item)?)?;
                check_follows(&head, &row)?;
                if let Some(Lines::Chunked(committed)) = row.event.change.lines() {
                    let lines = self.joined_lines(account, row.seq, committed).await?;
                    check_lines(&row, &lines)?;
                }
                head = row.into();
            }
            rest = remaining;
        }
        Ok(Verified { rows: head.state.next_seq, head })
    }
}

impl From<RowFault> for ChainFault {
    fn from(fault: RowFault) -> ChainFault {
        ChainFault::Wrong(fault)
    }
}

impl From<Fault> for ChainFault {
    fn from(fault: Fault) -> ChainFault {
        match fault {
            Fault::Broken(wrong) => ChainFault::Wrong(wrong),
            Fault::Throttled { .. }
            | Fault::Unavailable { .. }
            | Fault::Contended { .. }
            | Fault::ListDisagrees
            | Fault::Unpriced(_)
            | Fault::NewerFormat { .. }
            | Fault::Malformed { .. }
            | Fault::Rejected { .. } => ChainFault::Unread(fault),
        }
    }
}
