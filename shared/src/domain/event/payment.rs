//! Payments, refunds and disputes at Stripe.

use serde::{Deserialize, Serialize};

use super::{ChangeFamily, Claim, RowPlace};
use crate::domain::account::{
    AccountState, DisputePhase, DisputeState, Grant, OpenRefund, PendingPayment, RefillPause,
    RefillPurpose, TakenBack, TrialPhase,
};
use crate::domain::defaults::is_default;
use crate::domain::ids::{AccountId, DisputeId, FraudWarningId, PaymentId, PlanId, RefundId};
use crate::domain::money::{Rate, Usd};
use crate::domain::names::variant_names;
use crate::domain::payment_records::{RecordedChange, TakenTotals};
use crate::domain::timestamp::Timestamp;
use crate::domain::yes_no;

/// What Stripe reported about a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentChange {
    /// Stripe confirmed a payment.
    Credited {
        payment: PaymentId,
        /// The purpose of the payment.
        kind: CreditKind,
        /// The credit bought, in USD, before tax.
        credit: Usd,
        /// The amount Stripe received, in cents, including tax.
        received_cents: i64,
        /// The invoice that was paid, and its further payments. Empty in rows of formats before 4.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<PaymentId>,
        /// The commit plan that was bought. `None` for other payments, and in rows of formats before 6.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<PlanId>,
    },
    /// A delayed payment started.
    PaymentPending(PendingPayment),
    /// A delayed payment will not arrive.
    PaymentEnded {
        payment: PaymentId,
        how: PendingEnd,
        /// Whether the payment was recorded as pending.
        #[serde(with = "yes_no")]
        known: bool,
    },
    /// A refund or dispute took money, and its credit with it.
    TakenBack {
        by: TakeBack,
        /// The refunded or disputed payment.
        of: PaymentFacts,
        /// The amount in cents, including tax.
        cents: i64,
        /// The share of the payment's credit taken, before tax, in USD.
        credit: Usd,
        /// Whether the state keeps the total although everything is taken back. A dispute of the
        /// payment depends on it. No in rows whose totals stand in an item.
        #[serde(rename = "k", with = "yes_no", default, skip_serializing_if = "is_false")]
        keep: bool,
        /// What is taken back of the payment after the row, kept in an item. `None` in rows of
        /// formats before 5, which keep it in the state.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<TakenTotals>,
    },
    /// A refund or dispute was reversed.
    GivenBack {
        /// The refund or dispute that was reversed.
        by: TakeBack,
        /// The refunded or disputed payment.
        of: PaymentFacts,
        /// The amount in cents, including tax.
        cents: i64,
        /// The share of the payment's credit returned. Zero if the reversal was reported first.
        credit: Usd,
        /// Whether the refund or dispute was recorded.
        #[serde(with = "yes_no")]
        known: bool,
        /// Whether the state keeps the total although everything is taken back. No in rows whose
        /// totals stand in an item.
        #[serde(rename = "k", with = "yes_no", default, skip_serializing_if = "is_false")]
        keep: bool,
        /// What is taken back of the payment after the row, kept in an item. `None` in rows of
        /// formats before 5, and if nothing was recorded.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<TakenTotals>,
    },
    /// Stripe accepted a refund by staff. Its money is on the way to the customer.
    RefundSent {
        /// The row that took the credit.
        number: u64,
        refund: RefundId,
        /// The refunded payment.
        payment: PaymentId,
    },
    /// A customer disputes a payment. The account is frozen.
    DisputeOpened { dispute: DisputeId, payment: PaymentId },
    /// The bank decided a dispute.
    DisputeClosed { dispute: DisputeId, outcome: DisputeOutcome },
    /// Stripe moved money for a dispute, and its credit follows. No claim makes the row
    /// single: a dispute may move money several times, and each row leads from its head to the
    /// newest target.
    DisputeMoved {
        dispute: DisputeId,
        /// The disputed payment.
        of: PaymentFacts,
        /// The cents taken, including tax. Below zero if they were returned.
        cents: i64,
        /// The credit taken, before tax, in USD. Below zero if it was returned.
        credit: Usd,
        /// What the dispute and the payment hold after the row.
        after: DisputeTotals,
    },
    /// The status of a dispute changed. No claim makes the row single: a closed dispute may be
    /// closed again with another outcome.
    DisputeChanged {
        dispute: DisputeId,
        payment: PaymentId,
        phase: DisputePhase,
        /// What is taken back after the row, kept in items. `None` in rows of formats before 5.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<DisputeTotals>,
    },
    /// The card's issuer reported a payment as probably fraudulent. Refills pause.
    FraudWarned { warning: FraudWarningId, payment: PaymentId },
}

variant_names! {
    /// The `type` attribute of rows of this kind.
    PaymentChange {
        PaymentChange::Credited { kind: CreditKind::TopUp, .. } => "topup",
        PaymentChange::Credited { kind: CreditKind::Refill { .. }, .. } => "auto_refill",
        PaymentChange::Credited { kind: CreditKind::Commit, .. } => "commit",
        PaymentChange::PaymentPending(_) => "payment_pending",
        PaymentChange::PaymentEnded { .. } => "payment_ended",
        PaymentChange::TakenBack { by: TakeBack::Refund(_), .. } => "refund",
        PaymentChange::TakenBack { by: TakeBack::Dispute(_), .. } => "dispute",
        PaymentChange::TakenBack { by: TakeBack::Staff(_), .. } => "refund_pending",
        PaymentChange::RefundSent { .. } => "refund_sent",
        PaymentChange::GivenBack { by: TakeBack::Staff(_), .. } => "refund_failed",
        PaymentChange::GivenBack { by: TakeBack::Refund(_), .. } => "refund_reversed",
        PaymentChange::GivenBack { by: TakeBack::Dispute(_), .. } => "dispute_reversed",
        PaymentChange::DisputeMoved { cents, .. } if *cents < 0 => "dispute_reversed",
        PaymentChange::DisputeMoved { .. } => "dispute",
        PaymentChange::DisputeOpened { .. }
        | PaymentChange::DisputeChanged { phase: DisputePhase::Open, .. } => "dispute_opened",
        PaymentChange::DisputeClosed { .. }
        | PaymentChange::DisputeChanged { phase: DisputePhase::Lost | DisputePhase::Over, .. } => "dispute_closed",
        PaymentChange::FraudWarned { .. } => "fraud_warning",
    }
}

impl ChangeFamily for PaymentChange {
    fn apply(&self, next: &mut AccountState, row: RowPlace) {
        self.apply_to_refunds(next, row);
        match self {
            PaymentChange::RefundSent { .. } => {}
            PaymentChange::Credited { payment, kind, credit, .. } => {
                apply_credit(next, payment, *kind, *credit, row.at);
            }
            PaymentChange::PaymentPending(pending) => next.pending.push(pending.clone()),
            PaymentChange::PaymentEnded { payment, .. } => end_pending(next, payment),
            PaymentChange::TakenBack { of, after: Some(_), .. }
            | PaymentChange::GivenBack { of, after: Some(_), .. } => {
                move_totals_to_item(next, &of.payment);
            }
            PaymentChange::TakenBack { of, cents, credit, keep, after: None, .. } => {
                let set = if *keep { keep_taken_back } else { set_taken_back };
                take_back(next, of, *cents, *credit, set);
            }
            PaymentChange::GivenBack { known: false, .. } => {}
            PaymentChange::GivenBack {
                of, cents, credit, known: true, keep, after: None, ..
            } => {
                let set = if *keep { keep_taken_back } else { set_taken_back };
                give_back(next, of, *cents, *credit, set);
            }
            PaymentChange::DisputeOpened { dispute, .. }
            | PaymentChange::DisputeClosed { dispute, outcome: DisputeOutcome::Lost } => {
                next.frozen.disputes.insert(dispute.clone());
            }
            PaymentChange::DisputeClosed { dispute, outcome: DisputeOutcome::Won } => {
                next.frozen.disputes.remove(dispute);
                next.refill.retry_at = Some(row.at);
            }
            PaymentChange::DisputeMoved { dispute, of, after, .. } if after.is_in_items() => {
                move_dispute_to_items(next, dispute, &of.payment);
            }
            PaymentChange::DisputeMoved { dispute, of, after, .. } => {
                keep_taken_back(next, of, after.payment_cents, after.payment_credit);
                let state = DisputeState {
                    cents: after.dispute_cents,
                    grants: after.grants.clone(),
                    ..dispute_or_new(next, dispute, &of.payment)
                };
                set_dispute(next, state);
            }
            PaymentChange::DisputeChanged { dispute, payment, phase, after } => {
                if phase.freezes() {
                    next.frozen.disputes.insert(dispute.clone());
                } else {
                    next.frozen.disputes.remove(dispute);
                    next.refill.retry_at = Some(row.at);
                }
                if after.is_some() {
                    move_dispute_to_items(next, dispute, payment);
                } else {
                    let state = dispute_or_new(next, dispute, payment);
                    set_dispute(next, DisputeState { phase: Some(*phase), ..state });
                }
            }
            PaymentChange::FraudWarned { .. } => {
                next.refill.paused = next.refill.paused.or(Some(RefillPause::FraudWarning));
            }
        }
    }

    fn claims(&self, _account: &AccountId) -> Vec<Claim> {
        match self {
            // A credited payment is no longer pending, whatever is reported later.
            PaymentChange::Credited { payment, also, .. } => std::iter::once(payment)
                .chain(also)
                .map(|paid| Claim::once(format!("stripe#{paid}#credit")))
                .chain([Claim::mark(format!("stripe#{payment}#pending"))])
                .collect(),
            PaymentChange::PaymentPending(pending) => {
                vec![Claim::once(format!("stripe#{}#pending", pending.payment))]
            }
            PaymentChange::PaymentEnded { known: true, .. } => Vec::new(),
            // A failure reported before the pending payment makes the later report a no-op.
            PaymentChange::PaymentEnded { payment, known: false, .. } => {
                vec![Claim::once(format!("stripe#{payment}#pending"))]
            }
            PaymentChange::TakenBack { by, .. } => by.claims(&["debit"]),
            PaymentChange::GivenBack { by, known: true, .. } => by.claims(&["reversal"]),
            // A reversal reported first claims both keys and moves nothing.
            PaymentChange::GivenBack { by, known: false, .. } => by.claims(&["reversal", "debit"]),
            // The credit was taken by the row of staff. Events of the refund take nothing.
            PaymentChange::RefundSent { refund, .. } => {
                TakeBack::Refund(refund.clone()).claims(&["debit"])
            }
            PaymentChange::DisputeOpened { dispute, .. } => {
                vec![Claim::once(format!("stripe#{dispute}#opened"))]
            }
            // The end of a dispute makes a later report of its start a no-op.
            PaymentChange::DisputeClosed { dispute, .. } => vec![
                Claim::once(format!("stripe#{dispute}#closed")),
                Claim::mark(format!("stripe#{dispute}#opened")),
            ],
            // These make nothing single. From the first such row on, rows of older formats no
            // longer say what the dispute holds.
            PaymentChange::DisputeMoved { dispute, .. } => {
                vec![Claim::mark(format!("stripe#{dispute}#moved"))]
            }
            PaymentChange::DisputeChanged { dispute, .. } => {
                vec![Claim::mark(format!("stripe#{dispute}#changed"))]
            }
            PaymentChange::FraudWarned { warning, .. } => {
                vec![Claim::once(format!("stripe#{warning}#warning"))]
            }
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
            | PaymentChange::RefundSent { .. }
            | PaymentChange::DisputeOpened { .. }
            | PaymentChange::DisputeClosed { .. }
            | PaymentChange::DisputeMoved { .. }
            | PaymentChange::DisputeChanged { .. }
            | PaymentChange::FraudWarned { .. } => false,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            PaymentChange::TakenBack { by: TakeBack::Staff(refund), .. }
            | PaymentChange::GivenBack { by: TakeBack::Staff(refund), .. } => Some(&refund.reason),
            PaymentChange::Credited { .. }
            | PaymentChange::PaymentPending(_)
            | PaymentChange::PaymentEnded { .. }
            | PaymentChange::TakenBack { .. }
            | PaymentChange::GivenBack { .. }
            | PaymentChange::RefundSent { .. }
            | PaymentChange::DisputeOpened { .. }
            | PaymentChange::DisputeClosed { .. }
            | PaymentChange::DisputeMoved { .. }
            | PaymentChange::DisputeChanged { .. }
            | PaymentChange::FraudWarned { .. } => None,
        }
    }

    fn rate_before(&self, state: &AccountState) -> Option<Rate> {
        match self {
            PaymentChange::Credited { kind: CreditKind::Refill { .. }, .. }
            | PaymentChange::DisputeOpened { .. }
            | PaymentChange::DisputeClosed { .. }
            | PaymentChange::DisputeChanged { .. }
            | PaymentChange::FraudWarned { .. } => None,
            PaymentChange::Credited { kind: CreditKind::TopUp | CreditKind::Commit, .. }
            | PaymentChange::PaymentPending(_)
            | PaymentChange::PaymentEnded { .. }
            | PaymentChange::TakenBack { .. }
            | PaymentChange::GivenBack { .. }
            | PaymentChange::RefundSent { .. }
            | PaymentChange::DisputeMoved { .. } => Some(state.billed.rate),
        }
    }
}

impl PaymentChange {
    /// What the items of the payment hold after the row. `None` if the row writes none.
    pub(super) fn recorded(&self) -> Option<RecordedChange> {
        match self {
            PaymentChange::TakenBack { of, cents, after, .. } => Some(RecordedChange {
                payment: of.payment.clone(),
                cents: *cents,
                taken: (*after)?,
                dispute: None,
            }),
            PaymentChange::GivenBack { of, cents, after, .. } => Some(RecordedChange {
                payment: of.payment.clone(),
                cents: -*cents,
                taken: (*after)?,
                dispute: None,
            }),
            PaymentChange::DisputeMoved { dispute, of, cents, after, .. } => {
                after.recorded(dispute, &of.payment, *cents)
            }
            PaymentChange::DisputeChanged { dispute, payment, after, .. } => {
                after.as_ref()?.recorded(dispute, payment, 0)
            }
            PaymentChange::Credited { .. }
            | PaymentChange::PaymentPending(_)
            | PaymentChange::PaymentEnded { .. }
            | PaymentChange::RefundSent { .. }
            | PaymentChange::DisputeOpened { .. }
            | PaymentChange::DisputeClosed { .. }
            | PaymentChange::FraudWarned { .. } => None,
        }
    }

    /// A refund by staff is open from the row that takes the credit to the row that ends it.
    fn apply_to_refunds(&self, next: &mut AccountState, row: RowPlace) {
        match self {
            PaymentChange::TakenBack { by: TakeBack::Staff(refund), .. } => {
                next.open_refunds.push(OpenRefund { number: refund.number, begun_at: row.at });
            }
            PaymentChange::GivenBack {
                by: TakeBack::Staff(StaffRefund { number, .. }), ..
            }
            | PaymentChange::RefundSent { number, .. } => {
                next.open_refunds.retain(|open| open.number != *number);
            }
            PaymentChange::Credited { .. }
            | PaymentChange::PaymentPending(_)
            | PaymentChange::PaymentEnded { .. }
            | PaymentChange::TakenBack { .. }
            | PaymentChange::GivenBack { .. }
            | PaymentChange::DisputeOpened { .. }
            | PaymentChange::DisputeClosed { .. }
            | PaymentChange::DisputeMoved { .. }
            | PaymentChange::DisputeChanged { .. }
            | PaymentChange::FraudWarned { .. } => {}
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

fn move_totals_to_item(next: &mut AccountState, payment: &PaymentId) {
    next.taken_back.retain(|entry| entry.payment != *payment);
}

fn move_dispute_to_items(next: &mut AccountState, dispute: &DisputeId, payment: &PaymentId) {
    move_totals_to_item(next, payment);
    next.disputes.retain(|known| known.dispute != *dispute);
}

/// Sets the cents and the credit taken back of a payment.
type SetTakenBack = fn(&mut AccountState, &PaymentFacts, i64, Usd);

/// Adds to the amount taken back. Payments with nothing or everything taken back have no entry, so
/// the state stays small. Entries are sums, so the order of reports does not matter.
fn take_back(
    next: &mut AccountState,
    of: &PaymentFacts,
    cents: i64,
    credit: Usd,
    set: SetTakenBack,
) {
    let before = next.taken_back_of(&of.payment).unwrap_or((0, Usd::ZERO));
    set(next, of, before.0 + cents, before.1 + credit);
}

fn give_back(
    next: &mut AccountState,
    of: &PaymentFacts,
    cents: i64,
    credit: Usd,
    set: SetTakenBack,
) {
    let before = next.taken_back_of(&of.payment).unwrap_or((of.received_cents, of.credit));
    set(next, of, before.0 - cents, before.1 - credit);
}

/// Sets the amount taken back of a payment with a dispute. The entry stays if everything was taken
/// back, so that nothing is taken a second time.
fn keep_taken_back(next: &mut AccountState, of: &PaymentFacts, cents: i64, credit: Usd) {
    next.taken_back.retain(|entry| entry.payment != of.payment);
    if (cents, credit) != (0, Usd::ZERO) {
        next.taken_back.push(TakenBack { payment: of.payment.clone(), cents, credit });
    }
}

fn dispute_or_new(state: &AccountState, dispute: &DisputeId, payment: &PaymentId) -> DisputeState {
    state.dispute(dispute).cloned().unwrap_or_else(|| DisputeState {
        dispute: dispute.clone(),
        payment: payment.clone(),
        phase: None,
        cents: 0,
        grants: Vec::new(),
    })
}

/// A dispute that is over and holds no money has no entry, so the state stays small.
fn set_dispute(next: &mut AccountState, state: DisputeState) {
    next.disputes.retain(|known| known.dispute != state.dispute);
    if state.cents != 0 || state.phase.is_some_and(DisputePhase::freezes) {
        next.disputes.push(state);
    }
}

fn set_taken_back(next: &mut AccountState, of: &PaymentFacts, cents: i64, credit: Usd) {
    next.taken_back.retain(|entry| entry.payment != of.payment);
    let (none, all) = ((0, Usd::ZERO), (of.received_cents, of.credit));
    if (cents, credit) != none && (cents, credit) != all {
        next.taken_back.push(TakenBack { payment: of.payment.clone(), cents, credit });
    }
}

/// The purpose of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreditKind {
    /// Bought by the customer.
    TopUp,
    /// Charged automatically to the saved card.
    Refill {
        /// The number of the attempt.
        attempt: u32,
        /// The threshold, or the end of a trial.
        purpose: RefillPurpose,
    },
    /// A commit plan. Its bonus is a grant in the same row.
    Commit,
}

/// Why a delayed payment brought no money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingEnd {
    /// Stripe reported a failure.
    Failed,
    /// The payment was canceled.
    Canceled,
    /// No report arrived in time. If the money arrives later, it is credited.
    Expired,
}

/// The reason why money was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakeBack {
    Refund(RefundId),
    /// A dispute that moved money.
    Dispute(DisputeId),
    /// A refund by staff. Stripe is asked after the row. Not in rows of formats before 6.
    Staff(StaffRefund),
}

/// A refund by staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaffRefund {
    /// The row that takes the credit.
    #[serde(rename = "n")]
    pub number: u64,
    /// The payment at Stripe that the money goes back to, `pi_…`. The row's own, or one of several
    /// that paid its invoice.
    #[serde(rename = "p")]
    pub payment: PaymentId,
    /// Why staff refund it. In the row that gives the credit back: why Stripe refused it.
    #[serde(rename = "w")]
    pub reason: String,
}

/// The credit of a payment, and the amount Stripe received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentFacts {
    #[serde(rename = "p")]
    pub payment: PaymentId,
    /// The credit bought, in USD, before tax.
    #[serde(rename = "c")]
    pub credit: Usd,
    /// The amount Stripe received, in cents, including tax.
    #[serde(rename = "r")]
    pub received_cents: i64,
}

/// What is taken back after a row of a dispute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisputeTotals {
    /// The cents that the dispute holds, including tax.
    #[serde(rename = "d", default, skip_serializing_if = "is_default")]
    pub dispute_cents: i64,
    /// The total refunded or disputed of the payment, in cents, including tax.
    #[serde(rename = "c", default, skip_serializing_if = "is_default")]
    pub payment_cents: i64,
    /// The credit taken of the payment, before tax, in USD.
    #[serde(rename = "t", default, skip_serializing_if = "Usd::is_zero")]
    pub payment_credit: Usd,
    /// Grants that came with the payment. `remaining` is the amount that the dispute holds.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// The status of the dispute. `None` in rows of formats before 5, which keep all this in the
    /// state instead of items.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<DisputePhase>,
}

impl DisputeTotals {
    fn is_in_items(&self) -> bool {
        self.phase.is_some()
    }

    fn recorded(
        &self,
        dispute: &DisputeId,
        payment: &PaymentId,
        cents: i64,
    ) -> Option<RecordedChange> {
        self.is_in_items().then(|| RecordedChange {
            payment: payment.clone(),
            cents,
            taken: TakenTotals { cents: self.payment_cents, credit: self.payment_credit },
            dispute: Some(DisputeState {
                dispute: dispute.clone(),
                payment: payment.clone(),
                phase: self.phase,
                cents: self.dispute_cents,
                grants: self.grants.clone(),
            }),
        })
    }
}

impl TakeBack {
    /// `None` of a refund by staff: Stripe names it when it accepts it.
    #[must_use]
    pub fn stripe_id(&self) -> Option<&str> {
        match self {
            TakeBack::Refund(refund) => Some(refund.as_str()),
            TakeBack::Dispute(dispute) => Some(dispute.as_str()),
            TakeBack::Staff(_) => None,
        }
    }

    /// The key that is claimed when it takes credit (`debit`) or gives it back (`reversal`).
    /// `None` of a refund by staff: the state knows whether it is open.
    #[must_use]
    pub fn claim_key(&self, step: &str) -> Option<String> {
        self.stripe_id().map(|id| format!("stripe#{id}#{step}"))
    }

    fn claims(&self, steps: &[&str]) -> Vec<Claim> {
        steps.iter().filter_map(|step| self.claim_key(step)).map(Claim::once).collect()
    }
}

/// The outcome of a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeOutcome {
    /// The operator won. The dispute no longer freezes the account.
    Won,
    /// The customer won. Staff decide when to unfreeze the account.
    Lost,
}

/// For `skip_serializing_if`.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
