//! What a row says happened: [`Event`] and its [`Change`].
//!
//! An event carries every decision that was taken, so that [`apply`](crate::domain::apply::apply)
//! needs nothing but the state before it: no price list, no policy, no list of resources. A reader
//! of a row can check it.
//!
//! Changes come in families. A family's file holds its kinds of rows and all that the domain knows
//! of them: name, claims, lines, effect on state and list. Texts and domain events of a family are
//! in [`views::family`](crate::views).

mod billing;
mod family;
mod grant;
mod lines;
mod list_change;
mod payment;
mod refill;
mod resource;
mod staff;
mod standing;
mod stored_form;

use serde::{Deserialize, Serialize};

use crate::domain::account::{AccountState, Grant, RefillPurpose};
use crate::domain::funds::FundDelta;
use crate::domain::ids::{AccountId, RequestKey};
use crate::domain::money::Usd;
use crate::domain::timestamp::Timestamp;

pub use billing::BillingChange;
use family::ChangeFamily;
pub(crate) use family::RowPlace;
pub use grant::GrantChange;
pub use lines::{BilledLines, ChunkedLines, MeterLine, ResourceLine};
pub use list_change::ListChange;
pub use payment::{CreditKind, DisputeOutcome, PaymentChange, PaymentFacts, PendingEnd, TakeBack};
pub use refill::{RefillChange, RefillDecline};
pub use resource::{ResourceChange, StartKind, StopReason};
pub use staff::StaffChange;
pub use standing::StandingChange;

stored_form::families! {
    /// Money at Stripe.
    Payment(PaymentChange),
    /// Credit that was given.
    Grant(GrantChange),
    /// What the account is billed for.
    Resource(ResourceChange),
    Billing(BillingChange),
    /// The account as a whole.
    Standing(StandingChange),
    /// Refills from the saved card.
    Refill(RefillChange),
    /// The operator's staff.
    Staff(StaffChange),
}

/// One fact about an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was decided (UTC): the trigger's time, never before the row before it.
    #[serde(skip)]
    pub at: Timestamp,
    /// What made it.
    #[serde(rename = "y", default, skip_serializing_if = "Cause::is_time")]
    pub cause: Cause,
    #[serde(rename = "e")]
    pub change: Change,
    /// Grants this row adds to the account (or brings back), without money: that is in `funds`.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// What each fund pays or gains.
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub funds: Vec<FundDelta>,
    /// Whether this row leaves a refill wanted.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub want: Option<RefillWant>,
    /// Since this row nothing holds the deletion any more: from when on the customer is warned of
    /// it again.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<Timestamp>,
}

impl Event {
    /// What the row does to the balance, in USD: the sum over the funds.
    #[must_use]
    pub fn amount(&self) -> Usd {
        self.funds.iter().map(|delta| delta.amount).sum()
    }

    /// What the row does to the list of resources and meters.
    #[must_use]
    pub fn list_change(&self) -> ListChange<'_> {
        self.change.family().list_change(self.at)
    }

    /// The keys of which each may be used once: written in the row's transaction.
    #[must_use]
    pub fn claims(&self, account: &AccountId) -> Vec<Claim> {
        let mut claims = self.change.family().claims(account);
        if let Cause::Request { key, digest } = &self.cause {
            claims.push(Claim {
                key: request_claim(account, key),
                on_existing: OnExisting::Stop,
                digest: Some(digest.clone()),
            });
        }
        claims
    }
}

/// The key of the claim that makes a request of the API repeatable.
#[must_use]
pub fn request_claim(account: &AccountId, key: &RequestKey) -> String {
    format!("api#{account}#{key}")
}

/// What made a row. One cause, at most one row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Time: `paid_through` and the deadlines in the state say what is due, so the append itself
    /// makes it single.
    #[default]
    Time,
    /// Something Stripe told: the change names the object, whose claim makes it single.
    Stripe,
    /// A request, with the key that makes it repeatable and the digest of what was asked.
    Request {
        /// Route and `Idempotency-Key`.
        #[serde(rename = "k")]
        key: RequestKey,
        /// SHA-256 of the request: the same key with another request is an error.
        #[serde(rename = "d")]
        digest: String,
    },
    /// A request without a key: it may be repeated, as plain HTTP may.
    Command,
}

impl Cause {
    fn is_time(&self) -> bool {
        *self == Cause::Time
    }
}

/// A refill as a row leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillWant {
    Now {
        /// The credit to buy, in USD, before tax.
        #[serde(rename = "a")]
        amount: Usd,
        /// For the threshold or the end of a trial.
        #[serde(rename = "y")]
        purpose: RefillPurpose,
    },
    /// It would be wanted, but a back-off, the daily number or the monthly cap stands in the way
    /// until then.
    At(Timestamp),
}

/// A key of which there is one use, kept in the ledger table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The key, unique over all accounts.
    pub key: String,
    /// What to do if somebody claimed it before.
    pub on_existing: OnExisting,
    /// The digest of the request it answers, if it does.
    pub digest: Option<String>,
}

/// What a claim that already exists means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExisting {
    /// The cause has its row: append nothing.
    Stop,
    /// Fine: it only had to exist.
    GoOn,
}

impl Claim {
    fn once(key: String) -> Claim {
        Claim { key, on_existing: OnExisting::Stop, digest: None }
    }

    /// A key that only has to exist.
    fn mark(key: String) -> Claim {
        Claim { key, on_existing: OnExisting::GoOn, digest: None }
    }
}

impl Change {
    /// The name rows of this kind have in the table's `type` attribute.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.family().name()
    }

    /// What was billed or given back for time, if the row has lines.
    #[must_use]
    pub fn lines(&self) -> Option<&BilledLines> {
        self.family().lines()
    }

    /// The same row with other lines: how rows that do not fit one item are stored.
    #[must_use]
    pub fn with_lines(mut self, replacement: BilledLines) -> Change {
        if let Some(lines) = self.family_mut().lines_mut() {
            *lines = replacement;
        }
        self
    }

    pub(crate) fn apply(&self, next: &mut AccountState, row: RowPlace) {
        self.family().apply(next, row);
    }

    pub(crate) fn begin_period(&self, next: &mut AccountState, at: Timestamp) {
        self.family().begin_period(next, at);
    }

    pub(crate) fn is_use(&self) -> bool {
        self.family().is_use()
    }

    pub(crate) fn may_want_refill(&self) -> bool {
        self.family().may_want_refill()
    }
}
