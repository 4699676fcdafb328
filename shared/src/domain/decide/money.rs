//! Decisions about payments, refunds, disputes, bonuses and corrections.

use super::{DecisionOutcome, check_no_attempt, check_reason, check_standing, refills};
use crate::domain::account::{
    AccountState, DisputePhase, Grant, GrantKind, PendingPayment, Standing,
};
use crate::domain::command::{
    BonusGrant, CardFunding, CardWallet, OpeningBalance, RefillSettings, TakenCredit,
    TakenForDispute, TrialCard,
};
use crate::domain::event::{
    CreditKind, DisputeTotals, GrantChange, PaymentChange, PaymentFacts, PendingEnd, StaffChange,
    TakeBack,
};
use crate::domain::funds::{Fund, FundDelta};
use crate::domain::ids::{DisputeId, PaymentId, PlanId};
use crate::domain::money::Usd;
use crate::domain::payment_records::{RecordedTotals, TakenTotals};
use crate::domain::policy::{Policy, check_cents};
use crate::domain::refusal::Refusal;
use crate::domain::row_format::RowFormat;
use crate::domain::timestamp::Timestamp;

/// The first format in which a grant says when it was given.
const GIVEN_AT_KNOWN: RowFormat = RowFormat::new(6);
/// The first format that says which plan was bought.
const PLAN_KNOWN: RowFormat = RowFormat::new(6);
/// The first format in which staff take back bonuses.
const WITHDRAWN_KNOWN: RowFormat = RowFormat::new(6);
/// The first format that knows accounts with an opening balance.
const IMPORTS_KNOWN: RowFormat = RowFormat::new(6);

pub(super) fn credit(
    state: &AccountState,
    payment: &PaymentFacts,
    kind: CreditKind,
    (plan, bonus): (Option<&PlanId>, Option<&BonusGrant>),
    also: &[PaymentId],
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_cents(payment.credit)?;
    if payment.credit.to_cents().is_ok_and(|cents| cents > payment.received_cents) {
        let (credit, received_cents) = (payment.credit, payment.received_cents);
        return Err(Refusal::ReceivedTooLittle { credit, received_cents });
    }
    let mut funds = vec![gain(Fund::Paid, payment.credit)];
    let mut grants = Vec::new();
    // A bonus that has already expired never blocks the payment it came with.
    if let Some(bonus) = bonus.filter(|bonus| check_bonus(bonus, now).is_ok()) {
        let payment = Some(payment.payment.clone());
        let grant = Grant { payment, ..new_grant(state, GrantKind::Commit, bonus, policy, now) };
        funds.push(gain(Fund::Grant(grant.number), bonus.amount));
        grants.push(grant);
    }
    let change = PaymentChange::Credited {
        payment: payment.payment.clone(),
        kind,
        credit: payment.credit,
        received_cents: payment.received_cents,
        // Format 3 knows one payment only.
        also: if policy.row_format >= RowFormat::new(4) { also.to_vec() } else { Vec::new() },
        plan: plan.filter(|_| policy.row_format >= PLAN_KNOWN).cloned(),
    };
    Ok(DecisionOutcome::granting(change, grants, funds))
}

pub(super) fn await_payment(
    pending: &PendingPayment,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_cents(pending.amount)?;
    if pending.expires_at <= now {
        return Err(Refusal::ExpiryPast { now });
    }
    Ok(DecisionOutcome::of(PaymentChange::PaymentPending(pending.clone())))
}

pub(super) fn end_payment(
    state: &AccountState,
    payment: &PaymentId,
    how: PendingEnd,
) -> DecisionOutcome {
    let known = state.pending.iter().any(|pending| pending.payment == *payment);
    DecisionOutcome::of(PaymentChange::PaymentEnded { payment: payment.clone(), how, known })
}

pub(super) fn grant(
    state: &AccountState,
    bonus: &BonusGrant,
    reason: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_bonus(bonus, now)?;
    state.check_another_grant(now)?;
    let reason = check_reason(reason)?;
    let grant = new_grant(state, GrantKind::Bonus, bonus, policy, now);
    let number = grant.number;
    Ok(DecisionOutcome::granting(
        GrantChange::Granted { number, reason },
        vec![grant],
        vec![gain(Fund::Grant(number), bonus.amount)],
    ))
}

/// Credit of the grant that is held still pays for captures. What is left of it expires when its hold
/// ends.
pub(super) fn withdraw(
    state: &AccountState,
    number: u32,
    reason: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    let reason = check_reason(reason)?;
    if policy.row_format < WITHDRAWN_KNOWN {
        return Err(Refusal::WithdrawalsNotYet);
    }
    let lasts = |grant: &&Grant| grant.expires_at > now;
    let grant = state.grant(number).filter(lasts).ok_or(Refusal::UnknownGrant { number })?;
    match grant.kind {
        GrantKind::Bonus => {}
        GrantKind::Trial | GrantKind::Commit => return Err(Refusal::GrantNotByStaff { number }),
    }
    let amount = -state.free_of_grant(number);
    let delta = FundDelta { fund: Fund::Grant(number), amount, used: Usd::ZERO };
    let funds = if amount.is_zero() { Vec::new() } else { vec![delta] };
    Ok(DecisionOutcome::moving(GrantChange::GrantWithdrawn { number, reason }, funds))
}

pub(super) fn correct(amount: Usd, reason: &str) -> Result<DecisionOutcome, Refusal> {
    if amount.is_zero() {
        return Err(Refusal::AmountNotPositive);
    }
    let reason = check_reason(reason)?;
    Ok(DecisionOutcome::moving(StaffChange::Corrected { reason }, vec![gain(Fund::Paid, amount)]))
}

pub(super) fn import(
    state: &AccountState,
    opening: &OpeningBalance,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_import(state, opening, policy, now)?;
    let OpeningBalance { credit, bonus, reference } = opening;
    let (mut grants, mut funds) = (Vec::new(), Vec::new());
    if credit.is_positive() {
        funds.push(gain(Fund::Paid, *credit));
    }
    if let Some(bonus) = bonus {
        let grant = new_grant(state, GrantKind::Bonus, bonus, policy, now);
        funds.push(gain(Fund::Grant(grant.number), bonus.amount));
        grants.push(grant);
    }
    let change = StaffChange::Imported { credit: *credit, reference: reference.clone() };
    Ok(DecisionOutcome::granting(change, grants, funds))
}

/// Checks whether an account may be imported so.
///
/// # Errors
/// [`Refusal::AmountNotPositive`], those of a bonus, [`Refusal::ImportsNotYet`], [`Refusal::Closed`],
/// [`Refusal::InTrial`].
pub fn check_import(
    state: &AccountState,
    OpeningBalance { credit, bonus, .. }: &OpeningBalance,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), Refusal> {
    if credit.is_negative() {
        return Err(Refusal::AmountNotPositive);
    }
    if let Some(bonus) = bonus {
        check_bonus(bonus, now)?;
        state.check_another_grant(now)?;
    }
    if policy.row_format < IMPORTS_KNOWN {
        return Err(Refusal::ImportsNotYet);
    }
    if state.standing == Standing::Closed {
        return Err(Refusal::Closed);
    }
    // Paid credit would end the terms that the customer accepted.
    if state.is_in_trial() { Err(Refusal::InTrial) } else { Ok(()) }
}

pub(super) fn start_trial(
    state: &AccountState,
    card: &TrialCard,
    refill: Option<&RefillSettings>,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_trial_offered(state, policy)?;
    match (card.funding, card.wallet) {
        (CardFunding::Credit | CardFunding::Debit, CardWallet::None) => {}
        (CardFunding::Prepaid | CardFunding::Unknown, _) | (_, CardWallet::Some) => {
            return Err(Refusal::TrialCard);
        }
    }
    let ends_at = now.plus(policy.trial.seconds - 1).hour().end();
    let refill =
        refill.map(|settings| refills::accepted(state, settings, policy, now)).transpose()?;
    let excludes = policy.trial.excludes.clone();
    let bonus = BonusGrant { amount: policy.trial.credit, expires_at: ends_at, excludes };
    let grant = new_grant(state, GrantKind::Trial, &bonus, policy, now);
    let number = grant.number;
    Ok(DecisionOutcome::granting(
        GrantChange::TrialStarted {
            number,
            ends_at,
            fingerprint: card.fingerprint.clone(),
            refill,
        },
        vec![grant],
        vec![gain(Fund::Grant(number), bonus.amount)],
    ))
}

/// Checks whether the account may have a trial, before a card is known.
///
/// # Errors
/// [`Refusal::TrialNotOffered`], [`Refusal::TrialUsed`], and those of the standing.
pub fn check_trial_offered(state: &AccountState, policy: &Policy) -> Result<(), Refusal> {
    check_standing(state)?;
    if state.ever_paid || state.trial.is_some() || !state.pending.is_empty() {
        return Err(Refusal::TrialUsed);
    }
    // What is decided at its end is known from this format on.
    if policy.trial.credit.is_zero() || policy.row_format < RowFormat::new(6) {
        return Err(Refusal::TrialNotOffered);
    }
    check_no_attempt(state)
}

/// Takes back the credit of a refunded or disputed part of a payment. The amount is pro rata and
/// cumulative: the parts add up to the whole, and the last part absorbs the rounding. Parts that
/// exceed the payment together take no more than its credit. The bonus of the payment is reduced in
/// the same proportion.
pub(super) fn take_back(
    state: &AccountState,
    by: &TakeBack,
    of: &PaymentFacts,
    cents: i64,
    before: RecordedTotals,
    policy: &Policy,
) -> Result<DecisionOutcome, Refusal> {
    check_part(of, cents)?;
    let taken = before.taken.unwrap_or_default();
    let credit = (credit_of(of, taken.cents + cents) - taken.credit).or_zero();
    let left = of.received_cents - taken.cents;
    let mut funds = vec![gain(Fund::Paid, -credit)];
    funds.extend(grants_taken(state, of, cents, left));
    // A payment that was refunded may still be disputed, and the other way round. Rows of format 2
    // forget that everything is taken back, and would take it twice.
    let after = TakenTotals { cents: taken.cents + cents, credit: taken.credit + credit };
    let is_all = after.cents >= of.received_cents;
    let keep = keeps_total(state, of) || (is_all && policy.row_format >= RowFormat::new(3));
    let after = before.stay_in_item(policy).then_some(after);
    let (by, of, keep) = (by.clone(), of.clone(), keep && after.is_none());
    let change = PaymentChange::TakenBack { by, of, cents, credit, keep, after };
    Ok(DecisionOutcome::moving(change, funds))
}

/// The credit that is taken for so many cents of a payment: never more than the payment's.
fn credit_of(of: &PaymentFacts, cents: i64) -> Usd {
    of.credit.pro_rata(cents.clamp(0, of.received_cents), of.received_cents)
}

/// The share of the payment's bonus that is taken for so many of its cents.
fn grants_taken(
    state: &AccountState,
    of: &PaymentFacts,
    cents: i64,
    left: i64,
) -> impl Iterator<Item = FundDelta> {
    let with_it = state.grants.iter().filter(|grant| grant.payment.as_ref() == Some(&of.payment));
    with_it.filter_map(move |grant| {
        let part_of =
            |amount: Usd| if left <= cents { amount } else { amount.pro_rata(cents, left) };
        // Prepaid time does not return to the grant either.
        let (amount, used) = (-part_of(grant.remaining), -part_of(grant.used));
        let taken = !amount.is_zero() || !used.is_zero();
        taken.then_some(FundDelta { fund: Fund::Grant(grant.number), amount, used })
    })
}

/// Whether the state must keep the amount taken back of a payment when it is all of it. A payment
/// with a dispute can be taken back more than once.
fn keeps_total(state: &AccountState, of: &PaymentFacts) -> bool {
    let is_all = |(cents, _)| cents >= of.received_cents;
    state.taken_back_of(&of.payment).is_some_and(is_all)
        || state.disputes.iter().any(|dispute| dispute.payment == of.payment)
}

/// Records the status of a dispute.
pub(super) fn change_dispute(
    dispute: &DisputeId,
    payment: &PaymentId,
    phase: DisputePhase,
    before: &TakenForDispute,
    policy: &Policy,
) -> DecisionOutcome {
    let after = before.payment().stay_in_item(policy).then(|| DisputeTotals {
        dispute_cents: before.dispute_cents,
        payment_cents: before.payment_cents,
        payment_credit: before.payment_credit,
        grants: before.grants.clone(),
        phase: Some(phase),
    });
    let (dispute, payment) = (dispute.clone(), payment.clone());
    DecisionOutcome::of(PaymentChange::DisputeChanged { dispute, payment, phase, after })
}

/// Moves the credit taken for a dispute to its target, in either direction. The payment's refunds
/// and disputes add up, and take at most its credit together. Returned credit goes to the grants it
/// was taken from, unless they expired.
pub(super) fn move_dispute(
    state: &AccountState,
    dispute: &DisputeId,
    of: &PaymentFacts,
    target: i64,
    before: &TakenForDispute,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    if of.received_cents <= 0 {
        return Err(Refusal::AmountNotPositive);
    }
    let cents = target - before.dispute_cents;
    let payment_cents = before.payment_cents + cents;
    let credit = credit_of(of, payment_cents) - before.payment_credit;
    // Rounding never moves a micro-dollar against the money.
    let credit = if cents > 0 { credit.or_zero() } else { -(-credit).or_zero() };
    let mut funds = vec![gain(Fund::Paid, -credit)];
    let (mut grants, mut restored) = (before.grants.clone(), Vec::new());
    if cents > 0 {
        let left = of.received_cents - before.payment_cents;
        let taken: Vec<FundDelta> = grants_taken(state, of, cents, left).collect();
        for grant in &state.grants {
            let Some(delta) = taken.iter().find(|delta| delta.fund == Fund::Grant(grant.number))
            else {
                continue;
            };
            let amount = -delta.amount;
            match grants.iter_mut().find(|held| held.number == grant.number) {
                Some(held) => held.remaining += amount,
                None => {
                    grants.push(Grant { remaining: amount, used: Usd::ZERO, ..grant.clone() });
                }
            }
        }
        funds.extend(taken);
    } else {
        grants.retain(|held| held.expires_at > now);
        for held in &mut grants {
            let back = held.remaining.pro_rata(-cents, before.dispute_cents);
            held.remaining -= back;
            funds.push(gain(Fund::Grant(held.number), back));
            if state.grant(held.number).is_none() {
                restored.push(Grant { remaining: Usd::ZERO, used: Usd::ZERO, ..held.clone() });
            }
        }
    }
    grants.retain(|held| held.remaining.is_positive());
    let payment_credit = before.payment_credit + credit;
    // A dispute that has no status yet freezes nothing.
    let phase = before.phase.unwrap_or(DisputePhase::Over);
    let phase = before.payment().stay_in_item(policy).then_some(phase);
    let after =
        DisputeTotals { dispute_cents: target, payment_cents, payment_credit, grants, phase };
    let (dispute, of) = (dispute.clone(), of.clone());
    let change = PaymentChange::DisputeMoved { dispute, of, cents, credit, after };
    Ok(DecisionOutcome::granting(change, restored, funds))
}

/// Reverses exactly the amount that was taken. If another refund or dispute covers a part of it,
/// that part stays taken, with its share of the bonus. A reversal that is reported before its refund or dispute moves nothing
/// and makes the later report a no-op.
pub(super) fn give_back(
    state: &AccountState,
    by: &TakeBack,
    of: &PaymentFacts,
    cents: i64,
    (taken, before): (Option<&TakenCredit>, RecordedTotals),
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_part(of, cents)?;
    let change = |cents, credit, known, after: Option<TakenTotals>| PaymentChange::GivenBack {
        by: by.clone(),
        of: of.clone(),
        cents,
        credit,
        known,
        keep: known && after.is_none() && keeps_total(state, of),
        after,
    };
    let Some(taken) = taken else {
        return Ok(DecisionOutcome::of(change(cents, Usd::ZERO, false, None)));
    };
    let all = TakenTotals { cents: of.received_cents, credit: of.credit };
    let total = before.taken.unwrap_or(all);
    let credit = credit_given_back(total, of, taken);
    let after = TakenTotals { cents: total.cents - taken.cents, credit: total.credit - credit };
    let after = before.stay_in_item(policy).then_some(after);
    let back = |grant: &Grant| grant.remaining.share(credit, taken.credit);
    let returns = |grant: &&Grant| grant.expires_at > now && !back(grant).is_zero();
    let alive = || taken.grants.iter().filter(returns);
    let mut funds = vec![gain(Fund::Paid, credit)];
    funds.extend(alive().map(|grant| gain(Fund::Grant(grant.number), back(grant))));
    let gone = alive().filter(|grant| state.grant(grant.number).is_none());
    let grants = gone
        .map(|grant| Grant { remaining: Usd::ZERO, used: Usd::ZERO, ..grant.clone() })
        .collect();
    Ok(DecisionOutcome::granting(change(taken.cents, credit, true, after), grants, funds))
}

fn credit_given_back(total: TakenTotals, of: &PaymentFacts, taken: &TakenCredit) -> Usd {
    let by_target = total.credit - credit_of(of, total.cents - taken.cents);
    let (less, more) = (by_target.min(taken.credit), by_target.max(taken.credit));
    // A difference below the share of one cent is rounding.
    if more - less < of.credit.pro_rata(1, of.received_cents) {
        taken.credit
    } else {
        by_target.or_zero()
    }
}

fn check_part(of: &PaymentFacts, cents: i64) -> Result<(), Refusal> {
    if cents <= 0 || of.received_cents <= 0 {
        return Err(Refusal::AmountNotPositive);
    }
    if cents > of.received_cents {
        return Err(Refusal::AmountTooLarge {
            max: Usd::from_cents(of.received_cents).unwrap_or(of.credit),
        });
    }
    Ok(())
}

fn check_bonus(bonus: &BonusGrant, now: Timestamp) -> Result<(), Refusal> {
    check_cents(bonus.amount)?;
    if bonus.expires_at <= now {
        return Err(Refusal::ExpiryPast { now });
    }
    Ok(())
}

fn new_grant(
    state: &AccountState,
    kind: GrantKind,
    bonus: &BonusGrant,
    policy: &Policy,
    now: Timestamp,
) -> Grant {
    Grant {
        number: state.grants_so_far + 1,
        kind,
        amount: bonus.amount,
        remaining: Usd::ZERO,
        used: Usd::ZERO,
        expires_at: bonus.ends_at(),
        given_at: (policy.row_format >= GIVEN_AT_KNOWN).then_some(now),
        excludes: bonus.excludes.clone(),
        payment: None,
    }
}

/// A change of a fund that is not payment for time.
fn gain(fund: Fund, amount: Usd) -> FundDelta {
    FundDelta { fund, amount, used: Usd::ZERO }
}
