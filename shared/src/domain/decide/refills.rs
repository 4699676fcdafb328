//! Decisions about refills from the saved card.

use super::{Outcome, check_no_attempt};
use crate::domain::account::{AccountState, Attempt, RefillAgreement, RefillPause, Standing, Tax};
use crate::domain::command::RefillSettings;
use crate::domain::event::{Change, Decline};
use crate::domain::ids::{CardId, CustomerId};
use crate::domain::policy::{Policy, check_cents};
use crate::domain::refill::{Allowed, allowed};
use crate::domain::refusal::Refusal;
use crate::domain::timestamp::Timestamp;

pub(super) fn change(
    state: &AccountState,
    settings: &RefillSettings,
    policy: &Policy,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    if let Some((threshold, amount)) = settings.terms {
        policy.check_refill(threshold, amount)?;
    }
    if let Some(cap) = settings.monthly_cap {
        check_cents(cap)?;
    }
    if state.standing == Standing::Closed {
        return Err(Refusal::Closed);
    }
    if let (Some(card), Some(_)) = (&settings.card, &settings.terms)
        && state.refill.never.contains(card)
    {
        return Err(Refusal::CardRefused { card: card.clone() });
    }
    // The time of an agreement is the time of its terms: changing the card does not renew it.
    let agreement = settings.terms.map(|(threshold, amount)| match state.refill.agreement {
        Some(agreed) if agreed.threshold == threshold && agreed.amount == amount => agreed,
        Some(_) | None => RefillAgreement { at: now, threshold, amount },
    });
    Ok(Outcome::of(Change::RefillChanged {
        agreement,
        card: settings.card.clone(),
        monthly_cap: settings.monthly_cap,
    }))
}

pub(super) fn begin(
    state: &AccountState,
    customer: &CustomerId,
    tax: Tax,
    policy: &Policy,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    if state.standing == Standing::Closed {
        return Err(Refusal::Closed);
    }
    if !state.frozen.is_empty() {
        return Err(Refusal::Frozen);
    }
    check_no_attempt(state)?;
    let (Some(wanted), Some(card)) = (state.refill.wanted, &state.refill.card) else {
        return Err(Refusal::RefillNotWanted);
    };
    match allowed(&state.refill, wanted.amount, &policy.refill, now) {
        Allowed::Now => {}
        Allowed::At(_) | Allowed::Never => return Err(Refusal::RefillNotWanted),
    }
    Ok(Outcome::of(Change::RefillBegun(Attempt {
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

/// Only a card that refills would charge, or must never charge, is worth a row.
pub(super) fn remove_card(state: &AccountState, card: &CardId) -> Result<Outcome, Refusal> {
    if state.refill.card.as_ref() != Some(card) && !state.refill.never.contains(card) {
        return Err(Refusal::CardNotUsed { card: card.clone() });
    }
    Ok(Outcome::of(Change::CardRemoved { card: card.clone() }))
}

pub(super) fn ask_customer(
    state: &AccountState,
    attempt: u32,
    url: Option<String>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    if check_attempt(state, attempt)?.void_at.is_some() {
        return Err(Refusal::CustomerAlreadyAsked { attempt });
    }
    let void_at = now.plus(policy.refill.customer_patience_seconds);
    Ok(Outcome::of(Change::RefillNeedsCustomer { attempt, void_at, url }))
}

pub(super) fn fail(
    state: &AccountState,
    attempt: u32,
    decline: Decline,
    code: &str,
    policy: &Policy,
) -> Result<Outcome, Refusal> {
    // A refusal of a card that was replaced meanwhile says nothing of the new one.
    let open = check_attempt(state, attempt)?;
    let is_current = Some(&open.card) == state.refill.card.as_ref();
    let pause = match decline {
        Decline::Never | Decline::Later if !is_current => None,
        Decline::Never => Some(RefillPause::CardRefused),
        Decline::Later if state.refill.failures + 1 >= policy.refill.failures_max => {
            Some(RefillPause::Failures)
        }
        Decline::Later | Decline::NotCharged => None,
    };
    let (code, amount) = (code.to_owned(), Some(open.amount));
    Ok(Outcome::of(Change::RefillFailed { attempt, decline, code, pause, amount }))
}

fn check_attempt(state: &AccountState, attempt: u32) -> Result<&Attempt, Refusal> {
    match &state.refill.attempt {
        Some(open) if open.number == attempt => Ok(open),
        Some(_) | None => Err(Refusal::AttemptNotOpen { attempt }),
    }
}
