//! Refills from the saved card: the agreement and each attempt.

use serde::{Deserialize, Serialize};

use super::{ChangeFamily, RowPlace};
use crate::domain::account::{
    AccountState, CardChoice, CardExpiry, RefillAgreement, RefillAttempt, RefillPause,
    RefillPurpose,
};
use crate::domain::ids::CardId;
use crate::domain::money::{Rate, Usd};
use crate::domain::names::variant_names;
use crate::domain::timestamp::Timestamp;

/// A change to refills. The money of a successful attempt is a
/// [`PaymentChange`](super::PaymentChange).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillChange {
    /// The settings changed. The row holds all of them.
    RefillChanged {
        /// The accepted terms. `None` if refills are off.
        agreement: Option<RefillAgreement>,
        /// The card to charge.
        card: Option<CardId>,
        /// How the card was chosen. `Named` in rows of format 2.
        #[serde(default, skip_serializing_if = "CardChoice::is_named")]
        card_choice: CardChoice,
        /// The first instant after the card's last month (UTC). `None` if it is not known, and in
        /// rows of formats before 4.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        card_ends_at: Option<Timestamp>,
        /// The maximum to charge per month.
        monthly_cap: Option<Usd>,
        /// The sentence in which the customer read the terms. `None` if it is not known, and in
        /// rows of formats before 4.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        words: Option<String>,
        /// Set if a change of the saved cards led to the row. No refill begins before this time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        look_at: Option<Timestamp>,
    },
    /// A saved card was removed.
    CardRemoved { card: CardId },
    /// The card that refills charge expires within a month.
    CardExpiring { card: CardId, ends_at: Timestamp },
    /// The card that refills charge has expired.
    CardExpired { card: CardId },
    /// It is time to check the balance again. The previous wanted refill ends, unless this row
    /// wants one.
    RefillDue,
    /// An attempt started. Stripe is asked only after this row.
    RefillBegun(RefillAttempt),
    /// The customer must confirm the payment.
    RefillNeedsCustomer {
        attempt: u32,
        /// The payment is canceled at this time.
        void_at: Timestamp,
        /// The confirmation page at Stripe, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// An attempt failed. Its invoice is void.
    RefillFailed {
        attempt: u32,
        /// How refills continue.
        decline: RefillDecline,
        /// Stripe's decline code, for staff.
        code: String,
        /// The reason, if refills pause now.
        pause: Option<RefillPause>,
        /// The credit to buy, in USD, before tax. `None` in rows of format 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Usd>,
        /// The reason of staff, who ended the attempt. `None` in rows of formats before 4.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

variant_names! {
    /// The `type` attribute of rows of this kind.
    RefillChange {
        RefillChange::RefillChanged { .. } => "refill_changed",
        RefillChange::CardRemoved { .. } => "card_removed",
        RefillChange::CardExpiring { .. } => "card_expiring",
        RefillChange::CardExpired { .. } => "card_expired",
        RefillChange::RefillDue => "refill_due",
        RefillChange::RefillBegun(_) => "refill_begun",
        RefillChange::RefillNeedsCustomer { .. } => "refill_needs_customer",
        RefillChange::RefillFailed { .. } => "refill_failed",
    }
}

impl ChangeFamily for RefillChange {
    fn reason(&self) -> Option<&str> {
        if let RefillChange::RefillFailed { reason, .. } = self { reason.as_deref() } else { None }
    }

    fn apply(&self, next: &mut AccountState, row: RowPlace) {
        if let (RefillChange::RefillChanged { agreement, .. }, Some(trial)) =
            (self, &mut next.trial)
            && next.refill.agreement != *agreement
        {
            // Terms that are accepted later say nothing of a renewal.
            trial.has_renewal_terms = false;
        }
        let refill = &mut next.refill;
        match self {
            RefillChange::RefillChanged {
                agreement,
                card,
                card_choice,
                card_ends_at,
                monthly_cap,
                words: _,
                look_at,
            } => {
                let is_same_card = refill.card == *card;
                // The issuer renewed the card. That answers no decline. Rows of formats before 4
                // have no expiry.
                let is_renewal = card_ends_at.is_some() && look_at.is_some() && is_same_card;
                if !is_renewal || refill.paused == Some(RefillPause::CardExpired) {
                    // A new card or renewed settings end every pause. The backoff stays.
                    refill.paused = None;
                }
                if !is_renewal {
                    refill.failures = 0;
                }
                let is_known =
                    |known: &CardExpiry| is_same_card && *card_ends_at == Some(known.ends_at);
                refill.card_expiry =
                    refill.card_expiry.filter(is_known).or(card_ends_at.map(CardExpiry::ending));
                // The same row decides under the new settings whether a refill is wanted.
                refill.wanted =
                    refill.wanted.filter(|wanted| wanted.purpose == RefillPurpose::TrialRenewal);
                refill.retry_at = None;
                refill.agreement = *agreement;
                refill.card.clone_from(card);
                refill.card_choice = *card_choice;
                refill.look_at = *look_at;
                refill.monthly_cap = *monthly_cap;
            }
            RefillChange::CardRemoved { card } => {
                refill.never.remove(card);
                if refill.card.as_ref() == Some(card) {
                    (refill.card, refill.card_expiry) = (None, None);
                    // The customer agreed to the default card, whichever it is.
                    if refill.card_choice == CardChoice::Named {
                        refill.paused = Some(RefillPause::CardGone);
                    }
                }
            }
            RefillChange::CardExpiring { .. } => {
                if let Some(expiry) = &mut refill.card_expiry {
                    expiry.warn_at = None;
                }
            }
            RefillChange::CardExpired { .. } => {
                refill.card_expiry = None;
                refill.paused = refill.paused.or(Some(RefillPause::CardExpired));
            }
            RefillChange::RefillDue => {
                (refill.retry_at, refill.wanted, refill.look_at) = (None, None, None);
                // The customer asked for a refill.
                refill.paused = refill.paused.filter(|why| *why != RefillPause::Unconfirmed);
            }
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
                if is_current && matches!(decline, RefillDecline::Never | RefillDecline::Later) {
                    refill.failures += 1;
                }
                if *decline != RefillDecline::CalledOff {
                    refill.failed_at = Some(row.at);
                }
                // A rejection ends the respite. Rows of format 2 have none.
                let is_rejected = matches!(decline, RefillDecline::Never | RefillDecline::Later);
                if let Some(respite) = refill.respite.as_mut().filter(|_| is_rejected) {
                    respite.until = respite.until.min(row.at);
                }
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
            | RefillChange::CardExpiring { .. }
            | RefillChange::CardExpired { .. }
            | RefillChange::RefillBegun(_)
            | RefillChange::RefillNeedsCustomer { .. } => false,
        }
    }

    fn rate_before(&self, state: &AccountState) -> Option<Rate> {
        match self {
            RefillChange::RefillChanged { .. }
            | RefillChange::CardRemoved { .. }
            | RefillChange::CardExpired { .. }
            | RefillChange::RefillFailed { .. } => None,
            RefillChange::RefillDue
            | RefillChange::CardExpiring { .. }
            | RefillChange::RefillBegun(_)
            | RefillChange::RefillNeedsCustomer { .. } => Some(state.billed.rate),
        }
    }
}

/// How refills continue after a decline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillDecline {
    /// The card is never charged again: lost, stolen, fraud, revoked, or Mastercard advice 03 and
    /// 21.
    Never,
    /// Any other decline. Retried later.
    Later,
    /// Not the card's fault: Stripe failed. It does not count toward a pause, and the next attempt
    /// waits for the backoff.
    NotCharged,
    /// The attempt was no longer needed or no longer agreed. The next one need not wait. Rows of
    /// format 2 say `NotCharged`.
    CalledOff,
}
