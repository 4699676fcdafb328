//! Decisions about refills from the saved card.

use super::{DecisionOutcome, check_no_attempt, check_reason};
use crate::domain::account::{
    AccountState, CardChoice, RefillAgreement, RefillAttempt, RefillPause, Standing, TaxMode,
    TrialPhase, TrialState,
};
use crate::domain::command::{RefillCharge, RefillSettings, RefillTerms};
use crate::domain::event::{AcceptedRefill, RefillChange, RefillDecline};
use crate::domain::ids::{CardId, CustomerId};
use crate::domain::money::Usd;
use crate::domain::policy::{Policy, check_cents, check_charge};
use crate::domain::refill::{ChargeTiming, allowed, is_off_too_long, still_missing};
use crate::domain::refusal::Refusal;
use crate::domain::row_format::RowFormat;
use crate::domain::timestamp::Timestamp;

/// The first format with targets and with the words of an agreement.
const TARGET_KNOWN: RowFormat = RowFormat::new(4);
/// The first format with the expiry of the charged card.
const EXPIRY_KNOWN: RowFormat = RowFormat::new(4);
/// The first format with refills that wait for a customer who did not confirm.
const WAIT_KNOWN: RowFormat = RowFormat::new(4);
/// The first format in which a change of cards does not cost a respite.
const RESPITE_KEPT: RowFormat = RowFormat::new(5);
/// The first format with the reason of staff who end an attempt.
const REASON_KNOWN: RowFormat = RowFormat::new(4);
/// The first format with the terms of trials.
const TRIAL_KNOWN: RowFormat = RowFormat::new(6);

pub(super) fn change(
    state: &AccountState,
    settings: &RefillSettings,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    // After a trial, the same terms are accepted anew: its renewal was not part of them.
    let is_over = |trial: &TrialState| trial.phase != TrialPhase::Active;
    let is_new = state.trial.as_ref().is_some_and(is_over) && policy.row_format >= TRIAL_KNOWN;
    let agreement = agreement(state, settings, policy, now)?
        .map(|agreed| RefillAgreement { at: if is_new { now } else { agreed.at }, ..agreed });
    Ok(DecisionOutcome::of(RefillChange::RefillChanged {
        agreement,
        card: settings.card.clone(),
        card_choice: written(settings.card_choice, policy),
        card_ends_at: known_end(settings, policy, now),
        monthly_cap: settings.monthly_cap,
        words: settings.words.clone().filter(|_| policy.row_format >= TARGET_KNOWN),
        look_at: None,
    }))
}

/// What the customer accepts about refills with something else.
pub(super) fn accepted(
    state: &AccountState,
    settings: &RefillSettings,
    policy: &Policy,
    now: Timestamp,
) -> Result<AcceptedRefill, Refusal> {
    Ok(AcceptedRefill {
        // It is accepted anew, with other words, even if the terms are the same.
        agreement: agreement(state, settings, policy, now)?
            .map(|agreed| RefillAgreement { at: now, ..agreed }),
        card: settings.card.clone(),
        card_choice: settings.card_choice,
        card_ends_at: known_end(settings, policy, now),
        words: settings.words.clone(),
    })
}

/// Whoever agrees to a card that has expired knows that its bank renewed it.
fn known_end(settings: &RefillSettings, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    settings.card_ends_at.filter(|ends_at| policy.row_format >= EXPIRY_KNOWN && now < *ends_at)
}

/// The agreement to the terms. `None` if they turn refills off.
fn agreement(
    state: &AccountState,
    settings: &RefillSettings,
    policy: &Policy,
    now: Timestamp,
) -> Result<Option<RefillAgreement>, Refusal> {
    // Format 3 does not know targets.
    let cap = settings.monthly_cap;
    cap.map(check_cents).transpose()?;
    let terms = settings.terms.map(|terms| check_terms(state, terms, cap, policy)).transpose()?;
    if let (Some(max_charge), Some(CheckedTerms { amount, .. })) = (settings.max_charge, terms) {
        check_charge(max_charge, amount, policy.refill.amount_max)?;
    }
    if state.standing == Standing::Closed {
        return Err(Refusal::Closed);
    }
    if let (Some(card), Some(_)) = (&settings.card, &settings.terms)
        && state.refill.never.contains(card)
    {
        return Err(Refusal::CardRefused { card: card.clone() });
    }
    // Format 2 does not know a maximum.
    let max_charge = settings.max_charge.filter(|_| policy.row_format >= RowFormat::new(3));
    // The agreement keeps its time as long as its terms stay. A new card does not renew it.
    Ok(terms.map(|CheckedTerms { threshold, amount, target }| {
        // A charge to the target is more than the amount if the balance is below the threshold.
        let to_target = || target.map(|target| target.min(policy.refill.amount_max));
        let max_charge = max_charge.or_else(to_target);
        let new = RefillAgreement { at: now, threshold, amount, max_charge, target };
        let is_as_before = |agreed: &RefillAgreement| RefillAgreement { at: now, ..*agreed } == new;
        state.refill.agreement.filter(is_as_before).unwrap_or(new)
    }))
}

/// Terms within the limits.
#[derive(Clone, Copy)]
struct CheckedTerms {
    threshold: Usd,
    amount: Usd,
    target: Option<Usd>,
}

fn check_terms(
    state: &AccountState,
    terms: RefillTerms,
    monthly_cap: Option<Usd>,
    policy: &Policy,
) -> Result<CheckedTerms, Refusal> {
    let RefillTerms { threshold, charge } = terms;
    let (amount, target) = match charge {
        RefillCharge::Multiple { amount } => (amount, None),
        RefillCharge::ToTarget { .. } if policy.row_format < TARGET_KNOWN => {
            return Err(Refusal::RefillTermsNeeded);
        }
        RefillCharge::ToTarget { target } if target <= threshold => {
            return Err(Refusal::TargetBelowThreshold { threshold });
        }
        RefillCharge::ToTarget { target } => (target - threshold, Some(target)),
    };
    state.check_refill_terms(threshold, amount, monthly_cap, policy)?;
    Ok(CheckedTerms { threshold, amount, target })
}

/// The saved cards often change because the customer is paying manually with a new one, so the
/// balance is checked a little later.
pub(super) fn follow_cards(
    state: &AccountState,
    card: &CardId,
    card_choice: CardChoice,
    card_ends_at: Option<Timestamp>,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    if state.standing == Standing::Closed {
        return Err(Refusal::Closed);
    }
    let Some(agreement) = state.refill.agreement else { return Err(Refusal::RefillNotWanted) };
    if state.refill.never.contains(card) {
        return Err(Refusal::CardRefused { card: card.clone() });
    }
    let card_ends_at = card_ends_at.filter(|_| policy.row_format >= EXPIRY_KNOWN);
    let known_end = state.refill.card_expiry.map(|expiry| expiry.ends_at);
    let is_renewal = card_ends_at != known_end && card_ends_at.is_some_and(|ends_at| now < ends_at);
    if state.refill.card.as_ref() == Some(card) && !is_renewal {
        return Err(Refusal::RefillNotWanted);
    }
    // Format 2 does not know it, and checks at once.
    let is_known = policy.row_format >= RowFormat::new(3);
    let looks_later = is_known && !would_lose_respite(state, card, policy, now);
    Ok(DecisionOutcome::of(RefillChange::RefillChanged {
        agreement: Some(agreement),
        card: Some(card.clone()),
        card_choice: written(card_choice, policy),
        card_ends_at,
        monthly_cap: state.refill.monthly_cap,
        words: None,
        look_at: looks_later.then(|| now.plus(policy.refill.card_patience_seconds)),
    }))
}

/// Whether waiting for the look at another card would suspend the account although a refill is
/// wanted or open: the paid time ends before it, and the wait is no respite. The refill goes on with
/// the new card instead. Before it begins, Stripe is asked whether the customer is paying.
fn would_lose_respite(
    state: &AccountState,
    card: &CardId,
    policy: &Policy,
    now: Timestamp,
) -> bool {
    let refill = &state.refill;
    let in_flight = refill.attempt.as_ref().is_some_and(|attempt| attempt.void_at.is_none());
    let look_at = now.plus(policy.refill.card_patience_seconds);
    policy.row_format >= RESPITE_KEPT
        && refill.card.as_ref() != Some(card)
        && (in_flight || refill.wanted.is_some())
        && state.paid_through().is_some_and(|paid_through| paid_through <= look_at)
}

/// Format 2 knows named cards only.
fn written(card_choice: CardChoice, policy: &Policy) -> CardChoice {
    if policy.row_format >= RowFormat::new(3) { card_choice } else { CardChoice::Named }
}

pub(super) fn refill_now(
    state: &AccountState,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_chargeable(state)?;
    let is_low = state.refill.agreement.is_some_and(|agreed| state.available() < agreed.threshold);
    let is_possible = is_possible_if_asked(state)
        && (!state.is_on_trial_terms() || state.renewal_due().is_some());
    if !is_low || !is_possible || is_off_too_long(state, policy, now) {
        return Err(Refusal::RefillNotWanted);
    }
    Ok(DecisionOutcome::of(RefillChange::RefillDue))
}

/// A customer who asks for a refill ends the wait for their confirmation.
fn is_possible_if_asked(state: &AccountState) -> bool {
    if state.refill.paused != Some(RefillPause::Unconfirmed) {
        return state.is_refill_possible();
    }
    let mut asked = state.clone();
    asked.refill.paused = None;
    asked.is_refill_possible()
}

pub(super) fn begin(
    state: &AccountState,
    customer: &CustomerId,
    tax: TaxMode,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    check_chargeable(state)?;
    let (Some(wanted), Some(card)) = (state.refill.wanted, &state.refill.card) else {
        return Err(Refusal::RefillNotWanted);
    };
    let amount = still_missing(state, wanted, now);
    match allowed(&state.refill, amount, &policy.refill, now) {
        ChargeTiming::Now => {}
        ChargeTiming::At(_) | ChargeTiming::Never => return Err(Refusal::RefillNotWanted),
    }
    Ok(DecisionOutcome::of(RefillChange::RefillBegun(RefillAttempt {
        number: state.refill.attempts_so_far + 1,
        wanted_since: wanted.since,
        begun_at: now,
        amount,
        card: card.clone(),
        customer: customer.clone(),
        tax,
        purpose: wanted.purpose,
        void_at: None,
    })))
}

/// Records a removed card only if refills charge it or must never charge it.
pub(super) fn remove_card(state: &AccountState, card: &CardId) -> Result<DecisionOutcome, Refusal> {
    if state.refill.card.as_ref() != Some(card) && !state.refill.never.contains(card) {
        return Err(Refusal::CardNotUsed { card: card.clone() });
    }
    Ok(DecisionOutcome::of(RefillChange::CardRemoved { card: card.clone() }))
}

pub(super) fn ask_customer(
    state: &AccountState,
    attempt: u32,
    url: Option<String>,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    if check_attempt(state, attempt)?.void_at.is_some() {
        return Err(Refusal::CustomerAlreadyAsked { attempt });
    }
    let void_at = now.plus(policy.refill.customer_patience_seconds);
    Ok(DecisionOutcome::of(RefillChange::RefillNeedsCustomer { attempt, void_at, url }))
}

pub(super) fn fail(
    state: &AccountState,
    attempt: u32,
    decline: RefillDecline,
    code: &str,
    reason: Option<&str>,
    policy: &Policy,
) -> Result<DecisionOutcome, Refusal> {
    let reason = reason.map(check_reason).transpose()?;
    // A decline of a replaced card says nothing about the new card.
    let open = check_attempt(state, attempt)?;
    let is_current = Some(&open.card) == state.refill.card.as_ref();
    // The customer has not come back while everything is off. Another attempt would ask them once
    // more, and delay the deletion again.
    let is_unconfirmed = open.void_at.is_some()
        && state.standing != Standing::Good
        && policy.row_format >= WAIT_KNOWN;
    let pause = match decline {
        RefillDecline::Never | RefillDecline::Later if !is_current => None,
        RefillDecline::Never => Some(RefillPause::CardRefused),
        RefillDecline::Later if state.refill.failures + 1 >= policy.refill.failures_max => {
            Some(RefillPause::Failures)
        }
        RefillDecline::Later if is_unconfirmed => Some(RefillPause::Unconfirmed),
        RefillDecline::Later | RefillDecline::NotCharged | RefillDecline::CalledOff => None,
    };
    // Format 2 does not know it, and waits an hour.
    let is_known = policy.row_format >= RowFormat::new(3);
    let decline = match decline {
        RefillDecline::CalledOff if !is_known => RefillDecline::NotCharged,
        RefillDecline::CalledOff
        | RefillDecline::NotCharged
        | RefillDecline::Later
        | RefillDecline::Never => decline,
    };
    let (code, amount) = (code.to_owned(), Some(open.amount));
    let reason = reason.filter(|_| policy.row_format >= REASON_KNOWN);
    Ok(DecisionOutcome::of(RefillChange::RefillFailed {
        attempt,
        decline,
        code,
        pause,
        amount,
        reason,
    }))
}

fn check_attempt(state: &AccountState, attempt: u32) -> Result<&RefillAttempt, Refusal> {
    match &state.refill.attempt {
        Some(open) if open.number == attempt => Ok(open),
        Some(_) | None => Err(Refusal::AttemptNotOpen { attempt }),
    }
}

/// Checks that a card may be charged, as far as the account is concerned.
fn check_chargeable(state: &AccountState) -> Result<(), Refusal> {
    if state.standing == Standing::Closed {
        return Err(Refusal::Closed);
    }
    if !state.frozen.is_empty() {
        return Err(Refusal::Frozen);
    }
    check_no_attempt(state)
}
