//! What was taken back of payments.
//!
//! From row format 5 on it stands in items beside the rows: one for each payment that money went
//! back from, and one for each dispute. The state of an account stays small that way, however many
//! payments are refunded or disputed. A row says all that its items hold after it, so they can be
//! made anew from the rows. Entries that rows of older formats left in the state hold until the next
//! row about their payment moves them to items.

use serde::{Deserialize, Serialize};

use crate::domain::account::{AccountState, DisputeState};
use crate::domain::ids::{DisputeId, PaymentId};
use crate::domain::money::Usd;
use crate::domain::policy::Policy;
use crate::domain::row_format::RowFormat;

/// The first format whose rows keep this in items.
const IN_ITEMS: RowFormat = RowFormat::new(5);

/// What refunds and disputes took of a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenTotals {
    /// The total refunded or disputed, in cents, including tax. It exceeds the payment if it was
    /// refunded and disputed. The credit taken never does.
    #[serde(rename = "c")]
    pub cents: i64,
    /// The credit taken, before tax, in USD.
    #[serde(rename = "t")]
    pub credit: Usd,
}

/// What is recorded of a payment before a row that takes of it or gives back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordedTotals {
    /// `None` if nothing was taken back, or if rows of formats before 3 took everything.
    pub taken: Option<TakenTotals>,
    /// Whether an item holds it.
    pub in_item: bool,
}

impl RecordedTotals {
    /// Whether the next row keeps the totals in an item. What stands in an item stays there, even
    /// if an older format is written again: the state no longer knows it.
    #[must_use]
    pub fn stay_in_item(self, policy: &Policy) -> bool {
        self.in_item || policy.row_format >= IN_ITEMS
    }
}

/// What the items of a payment hold after a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedChange {
    pub payment: PaymentId,
    /// The cents that the row takes. Below zero if it gives back.
    pub cents: i64,
    pub taken: TakenTotals,
    /// The dispute that the row is about, if it is about one.
    pub dispute: Option<DisputeState>,
}

/// The items of one payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentRecords {
    pub taken: Option<TakenTotals>,
    pub disputes: Vec<DisputeState>,
}

impl PaymentRecords {
    /// What is recorded of a payment. The state holds what rows of older formats recorded.
    #[must_use]
    pub fn totals(&self, state: &AccountState, payment: &PaymentId) -> RecordedTotals {
        let in_state = state.taken_back_of(payment);
        let in_state = in_state.map(|(cents, credit)| TakenTotals { cents, credit });
        RecordedTotals { taken: in_state.or(self.taken), in_item: self.taken.is_some() }
    }

    /// What is recorded of a dispute of the payment.
    #[must_use]
    pub fn dispute(&self, state: &AccountState, dispute: &DisputeId) -> Option<DisputeState> {
        let in_items = || self.disputes.iter().find(|known| known.dispute == *dispute);
        state.dispute(dispute).or_else(in_items).cloned()
    }

    /// Replaces what a row changes.
    pub fn apply(&mut self, change: RecordedChange) {
        self.taken = Some(change.taken);
        if let Some(dispute) = change.dispute {
            self.disputes.retain(|known| known.dispute != dispute.dispute);
            self.disputes.push(dispute);
        }
    }
}
