//! The content of a row: [`Event`] and its [`Change`].
//!
//! An event carries every decision, so that [`apply`](crate::domain::apply::apply) needs only the
//! previous state. It needs no price list, no policy and no list of resources. A reader can verify
//! a row from its content.
//!
//! Changes are grouped in families. The file of a family defines its kinds of rows: names, claims,
//! lines, and the effect on the state and the list of resources. Their texts and domain events are
//! in [`views::family`](crate::views).

mod billing;
mod budget;
mod family;
mod grant;
mod hold;
mod lines;
mod list_change;
mod payment;
mod refill;
mod resource;
mod staff;
mod standing;
mod stored_form;

use serde::{Deserialize, Serialize};

use crate::domain::account::{
    AccountState, BudgetSpend, Grant, KeptCharge, LowCause, RefillPurpose,
};
use crate::domain::funds::FundDelta;
use crate::domain::holds::HoldCut;
use crate::domain::ids::{AccountId, RequestKey, StaffId};
use crate::domain::money::{Rate, Usd};
use crate::domain::payment_records::RecordedChange;
use crate::domain::row_format::RowFormat;
use crate::domain::timestamp::Timestamp;
use crate::domain::yes_no;

pub use billing::BillingChange;
pub use budget::BudgetChange;
use family::ChangeFamily;
pub(crate) use family::RowPlace;
pub use grant::{AcceptedRefill, GrantChange};
pub use hold::HoldChange;
pub use lines::{BilledLines, ChunkedLines, MeterLine, ResourceLine};
pub use list_change::ListChange;
pub use payment::{
    CreditKind, DisputeOutcome, DisputeTotals, PaymentChange, PaymentFacts, PendingEnd,
    StaffRefund, TakeBack,
};
pub use refill::{RefillChange, RefillDecline};
pub use resource::{ResourceChange, StartKind, StopReason};
pub use staff::{StaffChange, import_claim};
pub use standing::StandingChange;

stored_form::families! {
    /// Payments, refunds and disputes at Stripe.
    Payment(PaymentChange),
    Grant(GrantChange),
    /// Resources and meters.
    Resource(ResourceChange),
    Billing(BillingChange),
    /// The standing of the whole account.
    Standing(StandingChange),
    /// Refills from the saved card.
    Refill(RefillChange),
    /// Actions of the operator's staff.
    Staff(StaffChange),
    /// Credit that is set aside.
    Hold(HoldChange),
    /// What projects may cost.
    Budget(BudgetChange),
}

/// The first format whose rows say who of the staff caused them.
const STAFF_KNOWN: RowFormat = RowFormat::new(6);

/// One fact about an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was decided (UTC). The time of the trigger, never earlier than the previous row.
    #[serde(skip)]
    pub at: Timestamp,
    /// What caused the row.
    #[serde(rename = "y", default, skip_serializing_if = "Cause::is_time")]
    pub cause: Cause,
    #[serde(rename = "e")]
    pub change: Change,
    /// Grants that the row adds or restores. Their money is in `funds`.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// The amount each fund pays or gains.
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub funds: Vec<FundDelta>,
    /// Whether the row leaves a refill wanted, and when.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub want: Option<RefillWant>,
    /// The end of the respite that the row begins. `None` in rows of format 2.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub respite_until: Option<Timestamp>,
    /// The start of that respite, if a credit left an earlier one as it was: the credit did not pay
    /// for the time that ran in it. `None` in rows of formats before 5.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub respite_from: Option<Timestamp>,
    /// What the row adds to the amount owed (above zero) or settles of it (below zero), in USD.
    #[serde(rename = "o", default, skip_serializing_if = "Usd::is_zero")]
    pub owed: Usd,
    /// Set if the charge for data that is kept while suspended changes. A rate of zero ends it.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptCharge>,
    /// Set if the customer is told of low credit, with the cause. `None` in rows of format 2.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub low: Option<LowCause>,
    /// Set if the row ends the last reason to delay the deletion. The customer is warned again at
    /// this time.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<Timestamp>,
    /// Whether the row spends or takes the last credit while nothing is billed by time. The account
    /// is suspended for it. False in rows of formats before 6.
    #[serde(rename = "z", with = "yes_no", default, skip_serializing_if = "is_false")]
    pub uses_up_credit: bool,
    /// What is left of holds from which the row takes credit. None in rows of formats before 6.
    #[serde(rename = "h", default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<HoldCut>,
    /// What the row spends of each budget, by month. None in rows of formats before 6.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub spends: Vec<BudgetSpend>,
}

/// For `skip_serializing_if`, which passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Event {
    /// The event as rows of format 6 and later hold it: without the names that customers chose.
    #[must_use]
    pub fn without_names(mut self) -> Event {
        self.change.family_mut().forget_names();
        self
    }

    /// The change of the balance, in USD: the sum over all funds.
    #[must_use]
    pub fn amount(&self) -> Usd {
        self.funds.iter().map(|delta| delta.amount).sum()
    }

    /// Why staff did it, in their words, or why Stripe refused a refund of theirs.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.change.family().reason()
    }

    /// The change to the list of resources and meters.
    #[must_use]
    pub fn list_change(&self) -> ListChange<'_> {
        self.change.family().list_change(self.at)
    }

    /// What the items of a payment hold after the row. `None` if it writes none.
    #[must_use]
    pub fn recorded(&self) -> Option<RecordedChange> {
        match &self.change {
            Change::Payment(change) => change.recorded(),
            Change::Grant(_)
            | Change::Resource(_)
            | Change::Billing(_)
            | Change::Standing(_)
            | Change::Refill(_)
            | Change::Staff(_)
            | Change::Hold(_)
            | Change::Budget(_) => None,
        }
    }

    /// Unique keys that are written in the row's transaction. The row's format says where the key
    /// of a request stands.
    #[must_use]
    pub fn claims(&self, account: &AccountId) -> Vec<Claim> {
        let mut claims = self.change.family().claims(account);
        if let Some(KeyedRequest { key, digest }) = self.cause.request() {
            claims.push(Claim {
                key: request_claim(account, key),
                on_existing: OnExisting::Stop,
                digest: Some(digest.clone()),
            });
        }
        claims
    }
}

/// The claim key that makes an API request idempotent.
#[must_use]
pub fn request_claim(account: &AccountId, key: &RequestKey) -> String {
    format!("api#{account}#{key}")
}

/// The cause of a row. Each cause leads to at most one row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Time passed. `paid_through` and the deadlines in the state say what is due, so appending the
    /// row is itself idempotent.
    #[default]
    Time,
    /// A report from Stripe. The claim on the Stripe object makes it idempotent.
    Stripe,
    /// An API request with an idempotency key.
    Request(KeyedRequest),
    /// A request without a key. A retry may repeat its effect, as with plain HTTP.
    Command,
    /// A request of the operator's staff. Rows of formats before 6 do not say whose it was, and have
    /// one of the two above.
    Staff {
        #[serde(rename = "s")]
        by: StaffId,
        /// `None` of a request without a key.
        #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
        request: Option<KeyedRequest>,
    },
}

/// A request with an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedRequest {
    /// The route and the `Idempotency-Key`.
    #[serde(rename = "k")]
    pub key: RequestKey,
    /// SHA-256 of the request. The same key with another request is an error.
    #[serde(rename = "d")]
    pub digest: String,
}

impl Cause {
    /// The request, if it has a key.
    #[must_use]
    pub fn request(&self) -> Option<&KeyedRequest> {
        match self {
            Cause::Request(request) => Some(request),
            Cause::Staff { request, .. } => request.as_ref(),
            Cause::Time | Cause::Stripe | Cause::Command => None,
        }
    }

    /// Who of the operator's staff caused it.
    #[must_use]
    pub fn staff(&self) -> Option<&StaffId> {
        if let Cause::Staff { by, .. } = self { Some(by) } else { None }
    }

    /// The same cause as rows of a format have it.
    pub(crate) fn in_format(self, format: RowFormat) -> Cause {
        let Cause::Staff { by, request } = self else { return self };
        if format >= STAFF_KNOWN {
            return Cause::Staff { by, request };
        }
        request.map_or(Cause::Command, Cause::Request)
    }

    fn is_time(&self) -> bool {
        *self == Cause::Time
    }
}

/// A refill that a row leaves wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefillWant {
    Now {
        /// The credit to buy, in USD, before tax.
        #[serde(rename = "a")]
        amount: Usd,
        /// The threshold, or the end of a trial.
        #[serde(rename = "y")]
        purpose: RefillPurpose,
    },
    /// Blocked until then by a backoff, the daily limit or the monthly cap.
    At(Timestamp),
}

/// A unique key in the ledger table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Unique across all accounts.
    pub key: String,
    /// How to react if the key exists.
    pub on_existing: OnExisting,
    /// The digest of the request that the row answers.
    pub digest: Option<String>,
}

/// The meaning of an existing claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExisting {
    /// The cause already has its row. Append nothing.
    Stop,
    /// The key only has to exist. Continue.
    GoOn,
}

impl Claim {
    fn once(key: String) -> Claim {
        Claim { key, on_existing: OnExisting::Stop, digest: None }
    }

    /// A claim that only has to exist.
    fn mark(key: String) -> Claim {
        Claim { key, on_existing: OnExisting::GoOn, digest: None }
    }
}

impl Change {
    /// The lines billed or given back for time, if the row has any.
    #[must_use]
    pub fn lines(&self) -> Option<&BilledLines> {
        self.family().lines()
    }

    /// The metered usage that the row bills.
    #[must_use]
    pub fn meter_lines(&self) -> &[MeterLine] {
        match self {
            Change::Billing(BillingChange::Metered { lines, .. }) => lines,
            Change::Hold(change) => change.lines(),
            Change::Payment(_)
            | Change::Grant(_)
            | Change::Resource(_)
            | Change::Billing(_)
            | Change::Standing(_)
            | Change::Refill(_)
            | Change::Staff(_)
            | Change::Budget(_) => &[],
        }
    }

    /// The same change with other lines. Rows too large for one item are stored this way.
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

    pub(crate) fn rate_before(&self, state: &AccountState) -> Option<Rate> {
        self.family().rate_before(state)
    }
}
