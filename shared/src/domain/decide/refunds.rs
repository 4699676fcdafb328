//! Decisions about refunds by staff. The credit is taken by the first row, before Stripe is asked.

use super::{DecisionOutcome, check_reason, money};
use crate::domain::account::AccountState;
use crate::domain::command::{RefundTerms, TakenCredit};
use crate::domain::event::{PaymentChange, PaymentFacts, StaffRefund, TakeBack};
use crate::domain::ids::{PaymentId, RefundId};
use crate::domain::money::Usd;
use crate::domain::payment_records::{RecordedTotals, TakenTotals};
use crate::domain::policy::{Policy, check_cents};
use crate::domain::refusal::Refusal;
use crate::domain::row_format::RowFormat;
use crate::domain::timestamp::Timestamp;

/// The first format that knows refunds by staff.
const REFUNDS_KNOWN: RowFormat = RowFormat::new(6);
/// Each open refund is a part of every row's state.
const OPEN_MAX: usize = 10;

pub(super) fn begin(
    state: &AccountState,
    of: &PaymentFacts,
    terms: &RefundTerms,
    before: RecordedTotals,
    policy: &Policy,
) -> Result<DecisionOutcome, Refusal> {
    let reason = check_reason(&terms.reason)?;
    let cents = cents_to_refund(of, terms.amount, before.taken.unwrap_or_default())?;
    if policy.row_format < REFUNDS_KNOWN {
        return Err(Refusal::RefundsNotYet);
    }
    if state.open_refunds.len() >= OPEN_MAX {
        return Err(Refusal::TooManyRefunds { max: OPEN_MAX });
    }
    let (number, payment) = (state.next_seq, terms.payment.clone());
    let by = TakeBack::Staff(StaffRefund { number, payment, reason });
    let taken = money::take_back(state, &by, of, cents, before, policy)?;
    let credit: Usd = taken.paid_credit_taken();
    let before = before.taken.unwrap_or_default().credit;
    if let Some(max) = terms.payment_max.filter(|max| before + credit > *max) {
        return Err(Refusal::SupportPaymentLimit { left: (max - before).or_zero() });
    }
    let available = state.free_paid().or_zero();
    if credit > available && !terms.may_leave_debt {
        return Err(Refusal::RefundAboveCredit { credit, available });
    }
    Ok(taken)
}

/// The cents of the payment, tax included, for so much of its credit.
fn cents_to_refund(
    of: &PaymentFacts,
    amount: Option<Usd>,
    taken: TakenTotals,
) -> Result<i64, Refusal> {
    let cents_left = of.received_cents - taken.cents;
    let credit_left = of.credit - taken.credit;
    if cents_left <= 0 || !credit_left.is_positive() {
        return Err(Refusal::NothingLeftToRefund);
    }
    let Some(amount) = amount else { return Ok(cents_left) };
    check_cents(amount)?;
    if amount > credit_left {
        return Err(Refusal::AmountTooLarge { max: credit_left });
    }
    if amount == credit_left {
        return Ok(cents_left);
    }
    // Rounded down, so that no more credit is taken than was asked for.
    let whole = of.credit.to_cents().unwrap_or(i64::MAX);
    let part = amount.to_cents().unwrap_or_default();
    let cents = i128::from(of.received_cents) * i128::from(part) / i128::from(whole.max(1));
    Ok(i64::try_from(cents).unwrap_or(cents_left).clamp(1, cents_left))
}

pub(super) fn confirm(
    state: &AccountState,
    number: u64,
    refund: &RefundId,
    payment: &PaymentId,
) -> Result<DecisionOutcome, Refusal> {
    check_refund_open(state, number)?;
    let (refund, payment) = (refund.clone(), payment.clone());
    Ok(DecisionOutcome::of(PaymentChange::RefundSent { number, refund, payment }))
}

pub(super) fn undo(
    state: &AccountState,
    refund: &StaffRefund,
    of: &PaymentFacts,
    (taken, before): (&TakenCredit, RecordedTotals),
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_refund_open(state, refund.number)?;
    let by = TakeBack::Staff(refund.clone());
    money::give_back(state, &by, of, taken.cents, (Some(taken), before), policy, now)
}

fn check_refund_open(state: &AccountState, number: u64) -> Result<(), Refusal> {
    if state.open_refunds.iter().any(|open| open.number == number) {
        Ok(())
    } else {
        Err(Refusal::RefundNotOpen { number })
    }
}
