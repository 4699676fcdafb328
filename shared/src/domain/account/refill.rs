//! Automatic refills: the agreement, the card, and what is wanted or open.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::defaults::is_default;
use crate::domain::ids::{CardId, CustomerId};
use crate::domain::money::Usd;
use crate::domain::timestamp::Timestamp;

/// Refills from the saved card: the agreement and the current attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefillState {
    /// The terms that the customer accepted. `None` while refills are off.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<RefillAgreement>,
    /// The card that is charged.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub card: Option<CardId>,
    /// How the card was chosen. `Named` in rows of format 2.
    #[serde(rename = "cc", default, skip_serializing_if = "is_default")]
    pub card_choice: CardChoice,
    /// When the card expires. `None` if it is not known, and in rows of formats before 4.
    #[serde(rename = "ce", default, skip_serializing_if = "Option::is_none")]
    pub card_expiry: Option<CardExpiry>,
    /// No refill begins before this time, because the saved cards changed a moment ago and the
    /// customer may be paying. A credit ends it. `None` in rows of format 2.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub look_at: Option<Timestamp>,
    /// The maximum to charge per UTC calendar month, in USD, before tax.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub monthly_cap: Option<Usd>,
    /// A refill that is wanted and has not started yet.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<WantedRefill>,
    /// When to check again, because a backoff, the daily limit or the monthly cap blocks a refill.
    #[serde(rename = "ra", default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// The respite since the last credit. `None` in rows of format 2.
    #[serde(rename = "ru", default, skip_serializing_if = "Option::is_none")]
    pub respite: Option<RefillRespite>,
    /// The open attempt. There is at most one.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<RefillAttempt>,
    /// The number of attempts ever made. It is part of Stripe's idempotency keys.
    #[serde(rename = "n", default, skip_serializing_if = "is_default")]
    pub attempts_so_far: u32,
    /// The number of consecutive failures.
    #[serde(rename = "fs", default, skip_serializing_if = "is_default")]
    pub failures: u32,
    /// When the last attempt failed.
    #[serde(rename = "fa", default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// Why refills are paused.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<RefillPause>,
    /// Cards that the issuer refused permanently.
    #[serde(rename = "nc", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub never: BTreeSet<CardId>,
    /// The UTC day of the last successful refill, and the number on that day.
    #[serde(rename = "d", default, skip_serializing_if = "is_default")]
    pub today: (u32, u32),
    /// The UTC month of the last successful refill, and the amount charged in that month, in USD
    /// before tax.
    #[serde(rename = "mo", default, skip_serializing_if = "is_default")]
    pub this_month: (u32, Usd),
}

/// How the card that refills charge was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardChoice {
    /// The customer named the card.
    #[default]
    Named,
    /// The customer's default card at the time of the charge. The state has a copy of its ID, which
    /// changes of the saved cards keep up to date.
    Default,
}

impl CardChoice {
    pub(crate) fn is_named(&self) -> bool {
        *self == CardChoice::Named
    }
}

/// When the card that refills charge expires. No event of Stripe's reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardExpiry {
    /// The first instant after the card's last month (UTC).
    #[serde(rename = "t")]
    pub ends_at: Timestamp,
    /// When the customer is told, a month before. `None` once the customer was told.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<Timestamp>,
}

impl CardExpiry {
    /// The expiry of a card that is valid until `ends_at`, exclusive. The customer is told at the
    /// beginning of its last month.
    #[must_use]
    pub fn ending(ends_at: Timestamp) -> CardExpiry {
        CardExpiry { ends_at, warn_at: Some(ends_at.plus(-1).month_start()) }
    }
}

/// The time for which a wanted or open refill delays a suspension. It begins once between two
/// credits. A rejection brings its end forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefillRespite {
    #[serde(rename = "f")]
    pub from: Timestamp,
    /// The end, exclusive.
    #[serde(rename = "t")]
    pub until: Timestamp,
}

/// The refill terms that the customer saw and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefillAgreement {
    #[serde(rename = "at")]
    pub at: Timestamp,
    /// A balance below this amount triggers a refill, in USD.
    #[serde(rename = "t")]
    pub threshold: Usd,
    /// The credit of one refill, in USD, before tax. A charge is a multiple of it. With a target, it
    /// is the least that a charge buys: the target less the threshold.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// The maximum of one charge, in USD, before tax. `None`: the amount.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub max_charge: Option<Usd>,
    /// The balance that a charge brings the account to, in USD. `None`: a charge buys a multiple of
    /// the amount. `None` in rows of formats before 4.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Usd>,
}

/// A refill that is wanted and has not started yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedRefill {
    #[serde(rename = "s")]
    pub since: Timestamp,
    /// The credit to buy, in USD, before tax.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// The threshold, or the end of a trial.
    #[serde(rename = "y", default, skip_serializing_if = "is_default")]
    pub purpose: RefillPurpose,
}

/// The purpose of a refill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillPurpose {
    /// The balance is below the threshold.
    #[default]
    Threshold,
    /// The trial ended while a service was running.
    TrialRenewal,
}

/// An open refill attempt. Its values are fixed before the first request to Stripe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefillAttempt {
    /// Its number within the account.
    #[serde(rename = "n")]
    pub number: u32,
    /// When the refill was first wanted. The delay of a suspension counts from here.
    #[serde(rename = "w")]
    pub wanted_since: Timestamp,
    #[serde(rename = "b")]
    pub begun_at: Timestamp,
    /// The credit it buys, in USD, before tax.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// The card it charges.
    #[serde(rename = "c")]
    pub card: CardId,
    #[serde(rename = "u")]
    pub customer: CustomerId,
    /// Whether Stripe computes tax.
    #[serde(rename = "x", default, skip_serializing_if = "is_default")]
    pub tax: TaxMode,
    /// What it is for.
    #[serde(rename = "y", default, skip_serializing_if = "is_default")]
    pub purpose: RefillPurpose,
    /// When a payment that needs confirmation is canceled. `None` while Stripe processes the
    /// charge.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub void_at: Option<Timestamp>,
}

/// Whether Stripe computes tax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxMode {
    /// No tax is computed.
    #[default]
    Off,
    /// Stripe Tax (`automatic_tax`) is on.
    Automatic,
}

/// Why refills are paused although they are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillPause {
    /// The issuer refused the card permanently. Refills resume with another card.
    CardRefused,
    /// Too many consecutive failures. Refills resume with another card or when the customer turns
    /// them on again.
    Failures,
    /// The card was removed.
    CardGone,
    /// The card's issuer reported a payment as fraudulent. Refills resume when they are turned on
    /// again.
    FraudWarning,
    /// The card has expired. Refills resume when the issuer renews it, with another card, or when
    /// the customer agrees to this one again.
    CardExpired,
    /// Everything is off, and the customer did not confirm the payment of a refill. Refills resume
    /// with credit, with another card, or when the customer asks for one.
    Unconfirmed,
}
