//! Money that came in or went back at Stripe.

use serde::{Deserialize, Serialize};

use super::{ChangeFamily, Claim, RowPlace};
use crate::domain::account::{AccountState, PendingPayment, RefillPurpose, TakenBack, TrialPhase};
use crate::domain::ids::{AccountId, DisputeId, PaymentId, RefundId};
use crate::domain::money::Usd;
use crate::domain::timestamp::Timestamp;
use crate::domain::yes_no;

/// What Stripe reported about a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentChange {
    /// A payment was confirmed by Stripe.
    Credited {
        payment: PaymentId,
        /// What it was for.
        kind: CreditKind,
        /// The credit bought, in USD, before tax.
        credit: Usd,
        /// What Stripe received, in cents, tax included.
        received_cents: i64,
    },
    /// A delayed payment was promised.
    PaymentPending(PendingPayment),
    /// A delayed payment will not come.
    PaymentEnded {
        payment: PaymentId,
        how: PendingEnd,
        /// Whether the chain had been told that it was pending.
        #[serde(with = "yes_no")]
        known: bool,
    },
    /// Stripe gave money back, or had it taken: its credit is gone.
    TakenBack {
        by: TakeBack,
        /// Of which payment.
        of: PaymentFacts,
        /// Cents of the payment, tax included.
        cents: i64,
        /// The share of the payment's credit that is gone, before tax, in USD.
        credit: Usd,
    },
    /// The taking back was undone.
    GivenBack {
        /// What was undone.
        by: TakeBack,
        /// Of which payment.
        of: PaymentFacts,
        /// Cents of the payment, tax included.
        cents: i64,
        /// The share of the payment's credit that is back; zero if it was undone before it was
        /// done.
        credit: Usd,
        /// Whether the taking had been recorded.
        #[serde(with = "yes_no")]
        known: bool,
    },
    /// A customer disputes a payment: the account is frozen.
    DisputeOpened { dispute: DisputeId, payment: PaymentId },
    /// The bank decided.
    DisputeClosed { dispute: DisputeId, outcome: DisputeOutcome },
}

impl ChangeFamily for PaymentChange {
    fn name(&self) -> &'static str {
        match self {
            PaymentChange::Credited { kind: CreditKind::TopUp, .. } => "topup",
            PaymentChange::Credited { kind: CreditKind::Refill { .. }, .. } => "auto_refill",
            PaymentChange::Credited { kind: CreditKind::Commit, .. } => "commit",
            PaymentChange::PaymentPending(_) => "payment_pending",
            PaymentChange::PaymentEnded { .. } => "payment_ended",
            PaymentChange::TakenBack { by: TakeBack::Refund(_), .. } => "refund",
            PaymentChange::TakenBack { by: TakeBack::Dispute(_), .. } => "dispute",
            PaymentChange::GivenBack { by: TakeBack::Refund(_), .. } => "refund_reversed",
            PaymentChange::GivenBack { by: TakeBack::Dispute(_), .. } => "dispute_reversed",
            PaymentChange::DisputeOpened { .. } => "dispute_opened",
            PaymentChange::DisputeClosed { .. } => "dispute_closed",
        }
    }

    fn apply(&self, next: &mut AccountState, row: RowPlace) {
        match self {
            PaymentChange::Credited { payment, kind, credit, .. } => {
                apply_credit(next, payment, *kind, *credit, row.at);
            }
            PaymentChange::PaymentPending(pending) => next.pending.push(pending.clone()),
            PaymentChange::PaymentEnded { payment, .. } => end_pending(next, payment),
            PaymentChange::TakenBack { of, cents, credit, .. } => {
                take_back(next, of, *cents, *credit);
            }
            PaymentChange::GivenBack { known: false, .. } => {}
            PaymentChange::GivenBack { of, cents, credit, known: true, .. } => {
                give_back(next, of, *cents, *credit);
            }
            PaymentChange::DisputeOpened { dispute, .. }
            | PaymentChange::DisputeClosed { dispute, outcome: DisputeOutcome::Lost } => {
                next.frozen.disputes.insert(dispute.clone());
            }
            PaymentChange::DisputeClosed { dispute, outcome: DisputeOutcome::Won } => {
                next.frozen.disputes.remove(dispute);
                next.refill.retry_at = Some(row.at);
            }
        }
    }

    fn claims(&self, _account: &AccountId) -> Vec<Claim> {
        match self {
            // A credit also ends whatever may still be reported of the payment being pending.
            PaymentChange::Credited { payment, .. } => vec![
                Claim::once(format!("stripe#{payment}#credit")),
                Claim::mark(format!("stripe#{payment}#pending")),
            ],
            PaymentChange::PaymentPending(pending) => {
                vec![Claim::once(format!("stripe#{}#pending", pending.payment))]
            }
            PaymentChange::PaymentEnded { known: true, .. } => Vec::new(),
            // A failure that is reported before the promise uses up the promise.
            PaymentChange::PaymentEnded { payment, known: false, .. } => {
                vec![Claim::once(format!("stripe#{payment}#pending"))]
            }
            PaymentChange::TakenBack { by, .. } => {
                vec![Claim::once(format!("stripe#{}#debit", by.as_str()))]
            }
            PaymentChange::GivenBack { by, known: true, .. } => {
                vec![Claim::once(format!("stripe#{}#reversal", by.as_str()))]
            }
            // A reversal that comes first claims both and moves nothing.
            PaymentChange::GivenBack { by, known: false, .. } => vec![
                Claim::once(format!("stripe#{}#reversal", by.as_str())),
                Claim::once(format!("stripe#{}#debit", by.as_str())),
            ],
            PaymentChange::DisputeOpened { dispute, .. } => {
                vec![Claim::once(format!("stripe#{dispute}#opened"))]
            }
            // The end of a dispute uses up its beginning, should that be reported later.
            PaymentChange::DisputeClosed { dispute, .. } => vec![
                Claim::once(format!("stripe#{dispute}#closed")),
                Claim::mark(format!("stripe#{dispute}#opened")),
            ],
        }
    }

    fn may_want_refill(&self) -> bool {
        match self {
            PaymentChange::Credited { kind: CreditKind::Refill { .. }, .. } => true,
            PaymentChange::Credited { kind: CreditKind::TopUp | CreditKind::Commit, .. }
            | PaymentChange::PaymentPending(_)
            | PaymentChange::PaymentEnded { .. }
            | PaymentChange::TakenBack { .. }
            | PaymentChange::GivenBack { .. }
            | PaymentChange::DisputeOpened { .. }
            | PaymentChange::DisputeClosed { .. } => false,
        }
    }
}

fn apply_credit(
    next: &mut AccountState,
    payment: &PaymentId,
    kind: CreditKind,
    credit: Usd,
    at: Timestamp,
) {
    end_pending(next, payment);
    next.ever_paid = true;
    let CreditKind::Refill { attempt, purpose } = kind else {
        return;
    };
    next.refill.record_success(attempt, credit, at);
    if purpose == RefillPurpose::TrialRenewal {
        next.set_trial_phase(TrialPhase::Renewed);
    }
}

fn end_pending(next: &mut AccountState, payment: &PaymentId) {
    next.pending.retain(|pending| pending.payment != *payment);
}

/// A payment of which nothing or everything is taken back has no entry: the state stays small.
/// Every entry is a sum, so reports in any order lead to the same state.
fn take_back(next: &mut AccountState, of: &PaymentFacts, cents: i64, credit: Usd) {
    let before = next.taken_back_of(&of.payment).unwrap_or((0, Usd::ZERO));
    set_taken_back(next, of, before.0 + cents, before.1 + credit);
}

fn give_back(next: &mut AccountState, of: &PaymentFacts, cents: i64, credit: Usd) {
    let before = next.taken_back_of(&of.payment).unwrap_or((of.received_cents, of.credit));
    set_taken_back(next, of, before.0 - cents, before.1 - credit);
}

fn set_taken_back(next: &mut AccountState, of: &PaymentFacts, cents: i64, credit: Usd) {
    next.taken_back.retain(|entry| entry.payment != of.payment);
    let (none, all) = ((0, Usd::ZERO), (of.received_cents, of.credit));
    if (cents, credit) != none && (cents, credit) != all {
        next.taken_back.push(TakenBack { payment: of.payment.clone(), cents, credit });
    }
}

/// What a payment was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreditKind {
    /// Bought by hand.
    TopUp,
    /// By the saved card, on its own.
    Refill {
        /// The attempt's number.
        attempt: u32,
        /// For the threshold or the end of a trial.
        purpose: RefillPurpose,
    },
    /// A commit plan, whose bonus is a grant in the same row.
    Commit,
}

/// How a delayed payment ended without money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingEnd {
    /// Stripe said it failed.
    Failed,
    /// It was cancelled.
    Canceled,
    /// Nothing was heard of it for too long. If it comes after all, it is credited.
    Expired,
}

/// What took money back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakeBack {
    Refund(RefundId),
    /// A dispute whose money moved.
    Dispute(DisputeId),
}

/// What was credited for a payment, and what Stripe received for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentFacts {
    #[serde(rename = "p")]
    pub payment: PaymentId,
    /// The credit bought, in USD, before tax.
    #[serde(rename = "c")]
    pub credit: Usd,
    /// What Stripe received, in cents, tax included.
    #[serde(rename = "r")]
    pub received_cents: i64,
}

impl TakeBack {
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            TakeBack::Refund(refund) => refund.as_str(),
            TakeBack::Dispute(dispute) => dispute.as_str(),
        }
    }
}

/// How a dispute ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeOutcome {
    /// For the operator: the account is no longer frozen by it.
    Won,
    /// For the customer: staff decides when the account is unfrozen.
    Lost,
}
