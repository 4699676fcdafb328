//! Payments that are expected, and payments of which money went back.

use serde::{Deserialize, Serialize};

use crate::domain::account::grant::Grant;
use crate::domain::defaults::is_default;
use crate::domain::ids::{DisputeId, PaymentId};
use crate::domain::money::Usd;
use crate::domain::timestamp::Timestamp;

/// A delayed payment (a bank debit) that has not arrived yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingPayment {
    #[serde(rename = "p")]
    pub payment: PaymentId,
    /// The expected credit, in USD.
    #[serde(rename = "a")]
    pub amount: Usd,
    /// The payment is ignored from this time on.
    #[serde(rename = "x")]
    pub expires_at: Timestamp,
}

/// A refund by staff that Stripe has not answered yet. Its row holds the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRefund {
    /// The row that took the credit.
    #[serde(rename = "n")]
    pub number: u64,
    #[serde(rename = "t")]
    pub begun_at: Timestamp,
}

/// A dispute, as Stripe last reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisputeState {
    #[serde(rename = "d")]
    pub dispute: DisputeId,
    #[serde(rename = "p")]
    pub payment: PaymentId,
    /// The recorded status. `None` if only rows of formats before 3 recorded it.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<DisputePhase>,
    /// The cents of the payment that the dispute holds, including tax.
    #[serde(rename = "c", default, skip_serializing_if = "is_default")]
    pub cents: i64,
    /// Grants that came with the payment. `remaining` is the amount that the dispute took.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// The status of a dispute, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputePhase {
    /// The bank has not decided yet. The account is frozen.
    Open,
    /// The customer won. The account stays frozen until staff decide.
    Lost,
    /// Won, closed or prevented. The dispute does not freeze the account.
    Over,
}

impl DisputePhase {
    /// Whether a dispute in this phase freezes its account.
    #[must_use]
    pub fn freezes(self) -> bool {
        match self {
            DisputePhase::Open | DisputePhase::Lost => true,
            DisputePhase::Over => false,
        }
    }
}

/// The refunded or disputed part of a payment, and the credit taken for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    #[serde(rename = "p")]
    pub payment: PaymentId,
    /// The total refunded or disputed, in cents, including tax. It exceeds the payment if it was
    /// refunded and disputed. The credit taken never does.
    #[serde(rename = "c")]
    pub cents: i64,
    /// The credit taken, before tax, in USD.
    #[serde(rename = "t")]
    pub credit: Usd,
}
