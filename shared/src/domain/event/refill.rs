//! Refills from the saved card: what was agreed, and each attempt.

use serde::{Deserialize, Serialize};

use super::{ChangeFamily, RowPlace};
use crate::domain::account::{
    AccountState, RefillAgreement, RefillAttempt, RefillPause, RefillPurpose,
};
use crate::domain::ids::CardId;
use crate::domain::money::Usd;
use crate::domain::timestamp::Timestamp;

/// A change to refills. The money of an attempt that succeeds is a [`PaymentChange`](super::PaymentChange).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillChange {
    /// Settings were changed: the whole of what is agreed to now.
    RefillChanged {
        /// What was agreed to; `None`: refills are off.
        agreement: Option<RefillAgreement>,
        /// The card to charge.
        card: Option<CardId>,
        /// The most to charge in a month.
        monthly_cap: Option<Usd>,
    },
    /// A saved card is gone.
    CardRemoved { card: CardId },
    /// The time came to look at the balance again. What was wanted before is no more, unless this
    /// row wants it.
    RefillDue,
    /// An attempt began; nothing has been asked of Stripe before this row.
    RefillBegun(RefillAttempt),
    /// The customer has to confirm the payment.
    RefillNeedsCustomer {
        attempt: u32,
        /// When it is given up.
        void_at: Timestamp,
        /// Stripe's page where it is confirmed, if Stripe named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// An attempt failed; its invoice is void.
    RefillFailed {
        attempt: u32,
        /// How to go on.
        decline: RefillDecline,
        /// Stripe's decline code, for staff.
        code: String,
        /// Whether attempts pause now.
        pause: Option<RefillPause>,
        /// The credit it was to buy, in USD, before tax; `None` in rows of format 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Usd>,
    },
}

impl ChangeFamily for RefillChange {
    fn name(&self) -> &'static str {
        match self {
            RefillChange::RefillChanged { .. } => "refill_changed",
            RefillChange::CardRemoved { .. } => "card_removed",
            RefillChange::RefillDue => "refill_due",
            RefillChange::RefillBegun(_) => "refill_begun",
            RefillChange::RefillNeedsCustomer { .. } => "refill_needs_customer",
            RefillChange::RefillFailed { .. } => "refill_failed",
        }
    }

    fn apply(&self, next: &mut AccountState, row: RowPlace) {
        let refill = &mut next.refill;
        match self {
            RefillChange::RefillChanged { agreement, card, monthly_cap } => {
                // What was wanted under the old settings is looked at anew, in the same row.
                refill.wanted =
                    refill.wanted.filter(|wanted| wanted.purpose == RefillPurpose::TrialRenewal);
                refill.retry_at = None;
                refill.agreement = *agreement;
                refill.card.clone_from(card);
                refill.monthly_cap = *monthly_cap;
                // Another card, or the customer's renewed wish, ends every pause; the back-off
                // stays.
                refill.paused = None;
                refill.failures = 0;
            }
            RefillChange::CardRemoved { card } => {
                refill.never.remove(card);
                if refill.card.as_ref() == Some(card) {
                    refill.card = None;
                    refill.paused = Some(RefillPause::CardGone);
                }
            }
            RefillChange::RefillDue => (refill.retry_at, refill.wanted) = (None, None),
            RefillChange::RefillBegun(attempt) => {
                refill.attempts_so_far = attempt.number;
                refill.attempt = Some(attempt.clone());
                refill.wanted = None;
                refill.retry_at = None;
            }
            RefillChange::RefillNeedsCustomer { void_at, .. } => {
                if let Some(attempt) = &mut refill.attempt {
                    attempt.void_at = Some(*void_at);
                }
            }
            RefillChange::RefillFailed { decline, pause, .. } => {
                let attempt = refill.attempt.take();
                let is_current =
                    attempt.as_ref().map(|attempt| &attempt.card) == refill.card.as_ref();
                if is_current && *decline != RefillDecline::NotCharged {
                    refill.failures += 1;
                }
                refill.failed_at = Some(row.at);
                refill.paused = refill.paused.or(*pause);
                if let (RefillDecline::Never, Some(attempt)) = (decline, attempt) {
                    refill.never.insert(attempt.card);
                }
            }
        }
    }

    fn may_want_refill(&self) -> bool {
        match self {
            RefillChange::RefillChanged { .. }
            | RefillChange::RefillDue
            | RefillChange::RefillFailed { .. } => true,
            RefillChange::CardRemoved { .. }
            | RefillChange::RefillBegun(_)
            | RefillChange::RefillNeedsCustomer { .. } => false,
        }
    }
}

/// How to go on after a declined refill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillDecline {
    /// Never again with this card: lost, stolen, fraud, revoked, Mastercard's advice 03 and 21.
    Never,
    /// Anything else: later again.
    Later,
    /// It was not the card's fault: Stripe failed, or the attempt was called off. It counts for no
    /// pause.
    NotCharged,
}
