//! Decisions about refills from the saved card.

use super::{DecisionOutcome, check_no_attempt};
use crate::domain::account::{
    AccountState, CardChoice, RefillAgreement, RefillAttempt, RefillPause, Standing, TaxMode,
};
use crate::domain::command::RefillSettings;
use crate::domain::event::{RefillChange, RefillDecline};
use crate::domain::ids::{CardId, CustomerId};
use crate::domain::policy::{Policy, check_cents, check_charge};
use crate::domain::refill::{ChargeTiming, allowed, is_off_too_long};
use crate::domain::refusal::Refusal;
use crate::domain::row_format::RowFormat;
use crate::domain::timestamp::Timestamp;

pub(super) fn change(
    state: &AccountState,
    settings: &RefillSettings,
    policy: &Policy,
    now: Timestamp,
) -> Result<DecisionOutcome, Refusal> {
    if let Some((threshold, amount)) = settings.terms {
        policy.check_refill(threshold, amount)?;
    }
    if let Some(cap) = settings.monthly_cap {
        check_cents(cap)?;
        if let Some((_, amount)) = settings.terms
            && cap < amount
        {
            return Err(Refusal::CapBelowAmount { amount });
        }
    }
    if let (Some(max_charge), Some((_, amount))) = (settings.max_charge, settings.terms) {
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
    let agreement = settings.terms.map(|(threshold, amount)| match state.refill.agreement {
        Some(agreed)
            if (agreed.threshold, agreed.amount, agreed.max_charge)
                == (threshold, amount, max_charge) =>
        {
            agreed
        }
        Some(_) | None => RefillAgreement { at: now, threshold, amount, max_charge },
    });
    Ok(DecisionOutcome::of(RefillChange::RefillChanged {
        agreement,
        card: settings.card.clone(),
        card_choice: written(settings.card_choice, policy),
        monthly_cap: settings.monthly_cap,
        look_at: None,
    }))
}

/// The saved cards often change because the customer is paying manually with a new one, so the
/// balance is checked a little later.
pub(super) fn follow_cards(
    state: &AccountState,
    card: &CardId,
    card_choice: CardChoice,
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
    // Format 2 does not know it, and checks at once.
    let is_known = policy.row_format >= RowFormat::new(3);
    Ok(DecisionOutcome::of(RefillChange::RefillChanged {
        agreement: Some(agreement),
        card: Some(card.clone()),
        card_choice: written(card_choice, policy),
        monthly_cap: state.refill.monthly_cap,
        look_at: is_known.then(|| now.plus(policy.refill.card_patience_seconds)),
    }))
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
    let is_low = state.refill.agreement.is_some_and(|agreed| state.balance() < agreed.threshold);
    if !is_low || !state.is_refill_possible() || is_off_too_long(state, policy, now) {
        return Err(Refusal::RefillNotWanted);
    }
    Ok(DecisionOutcome::of(RefillChange::RefillDue))
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
    match allowed(&state.refill, wanted.amount, &policy.refill, now) {
        ChargeTiming::Now => {}
        ChargeTiming::At(_) | ChargeTiming::Never => return Err(Refusal::RefillNotWanted),
    }
    Ok(DecisionOutcome::of(RefillChange::RefillBegun(RefillAttempt {
        number: state.refill.attempts_so_far + 1,
        wanted_since: wanted.since,
        begun_at: now,
        amount: wanted.amount,
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
    policy: &Policy,
) -> Result<DecisionOutcome, Refusal> {
    // A decline of a replaced card says nothing about the new card.
    let open = check_attempt(state, attempt)?;
    let is_current = Some(&open.card) == state.refill.card.as_ref();
    let pause = match decline {
        RefillDecline::Never | RefillDecline::Later if !is_current => None,
        RefillDecline::Never => Some(RefillPause::CardRefused),
        RefillDecline::Later if state.refill.failures + 1 >= policy.refill.failures_max => {
            Some(RefillPause::Failures)
        }
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
    Ok(DecisionOutcome::of(RefillChange::RefillFailed { attempt, decline, code, pause, amount }))
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
