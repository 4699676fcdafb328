//! What a customer should read in a mail about a domain event.
//!
//! The address is no part of the chain: the function `publish` adds it.

use rust_decimal::Decimal;

use super::credit_low::{counted_at, sure_credit};
use super::event_detail::DomainEventDetail;
use crate::domain::account::{AccountState, Standing, SuspensionReason};
use crate::domain::event::{Change, RefillChange, RefillDecline};
use crate::domain::money::Usd;
use crate::domain::policy::Policy;
use crate::domain::row::Row;
use crate::domain::settle::runway::lasts_until;
use crate::domain::timestamp::{DAY, Timestamp};

/// What a customer is to be told, as far as the row knows: what to do, until when, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerNotice {
    /// In USD, what will be or was to be charged to the card, or else the least credit to add:
    ///
    /// - `BalanceLow`: what the refill charges, before tax
    /// - `RefillFailed`, `RefillNeedsCustomer`: what was to be charged, before tax
    /// - `CreditLow`: the least top-up after which the credit lasts for a day
    /// - `Suspended`, `DeletionSoon`, `DeletionDue`, `Deleted`: the least top-up that ends it; to
    ///   start something takes the credit of a start (`START_CREDIT_MIN`). `None` if credit does
    ///   not end it: staff suspended the account
    pub amount: Option<Usd>,
    /// When it takes effect (UTC); `None` if there is no such time:
    ///
    /// - `BalanceLow`, `CreditLow`, `RefillFailed`: about when the credit is used up
    ///   ([`lasts_until`]), if nothing comes in
    /// - `RefillNeedsCustomer`: when the payment is given up
    /// - `Suspended`, `DeletionSoon`: when everything is deleted
    /// - `DeletionDue`: at once, the row's own time
    /// - `Deleted`: until when it can be restored
    pub deadline: Option<Timestamp>,
    /// Where it is done.
    pub place: NoticePlace,
}

/// Where a customer does something about a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticePlace {
    /// The Billing page, which says what is the matter.
    Page,
    /// The section of the Billing page where credit is added.
    AddCredit,
    /// The section of the Billing page about refills and their card.
    Refill,
    /// Stripe's page of the invoice.
    Invoice(String),
}

/// What a customer is to be told of an event of a row; `None` if it is for machines.
pub(super) fn notice_of(
    detail: &DomainEventDetail,
    row: &Row,
    policy: &Policy,
) -> Option<CustomerNotice> {
    let (event, state) = (&row.event, &row.state);
    let to_be_good = least_top_up(state.floor() + Usd::from_micros(1) - state.balance(), policy);
    let (amount, deadline, place) = match detail {
        DomainEventDetail::BalanceLow { .. } => {
            let refill = state.refill.wanted.map(|wanted| wanted.amount);
            (refill, lasts_until(state), NoticePlace::Refill)
        }
        DomainEventDetail::CreditLow {} => {
            let missing =
                state.billed.rate.for_seconds(DAY) - sure_credit(state, counted_at(event));
            (Some(least_top_up(missing, policy)), lasts_until(state), NoticePlace::AddCredit)
        }
        // The card is not to blame: the refill was called off, or Stripe failed before it was
        // asked.
        DomainEventDetail::RefillFailed { .. } if was_not_charged(&event.change) => return None,
        DomainEventDetail::RefillFailed { .. } => {
            (charged(&event.change, state), lasts_until(state), NoticePlace::Refill)
        }
        DomainEventDetail::RefillNeedsCustomer { .. } => {
            let attempt = state.refill.attempt.as_ref();
            (
                charged(&event.change, state),
                attempt.and_then(|attempt| attempt.void_at),
                confirmed_at(&event.change),
            )
        }
        DomainEventDetail::Suspended { .. } if is_by_staff(state) => {
            (None, None, NoticePlace::Page)
        }
        DomainEventDetail::Suspended { .. } | DomainEventDetail::DeletionSoon { .. } => {
            (Some(to_be_good), state.delete_at(), NoticePlace::AddCredit)
        }
        DomainEventDetail::DeletionDue {} => {
            (Some(to_be_good), Some(event.at), NoticePlace::AddCredit)
        }
        DomainEventDetail::Deleted {} => {
            (Some(to_be_good), Some(event.at.plus(policy.restore_seconds)), NoticePlace::AddCredit)
        }
        DomainEventDetail::AccountOpened {}
        | DomainEventDetail::CreditAdded { .. }
        | DomainEventDetail::CreditTaken { .. }
        | DomainEventDetail::CreditExpired { .. }
        | DomainEventDetail::PaymentPending { .. }
        | DomainEventDetail::PaymentFailed { .. }
        | DomainEventDetail::ResourceStarted { .. }
        | DomainEventDetail::ResourceRestored { .. }
        | DomainEventDetail::ResourceStopped { .. }
        | DomainEventDetail::ResourceDeleted { .. }
        | DomainEventDetail::ResourcePurged { .. }
        | DomainEventDetail::Resumed {}
        | DomainEventDetail::Purged {}
        | DomainEventDetail::Closed {}
        | DomainEventDetail::Frozen {}
        | DomainEventDetail::Unfrozen {}
        | DomainEventDetail::TrialStarted { .. }
        | DomainEventDetail::TrialEnded {} => return None,
    };
    Some(CustomerNotice { amount, deadline, place })
}

/// What the card was to be charged, in USD before tax.
fn charged(change: &Change, state: &AccountState) -> Option<Usd> {
    if let Change::Refill(RefillChange::RefillFailed { amount, .. }) = change {
        return *amount;
    }
    state.refill.attempt.as_ref().map(|attempt| attempt.amount)
}

fn was_not_charged(change: &Change) -> bool {
    matches!(
        change,
        Change::Refill(RefillChange::RefillFailed { decline: RefillDecline::NotCharged, .. })
    )
}

fn confirmed_at(change: &Change) -> NoticePlace {
    if let Change::Refill(RefillChange::RefillNeedsCustomer { url: Some(url), .. }) = change {
        return NoticePlace::Invoice(url.clone());
    }
    NoticePlace::Refill
}

fn is_by_staff(state: &AccountState) -> bool {
    matches!(&state.standing, Standing::Suspended(suspension) if suspension.reason == SuspensionReason::Staff)
}

/// The least top-up that brings what is missing: in whole cents, no less than a top-up may be, and
/// no more: then several are needed, and this is the first.
fn least_top_up(missing: Usd, policy: &Policy) -> Usd {
    let missing = (missing.decimal() * Decimal::ONE_HUNDRED).ceil() / Decimal::ONE_HUNDRED;
    Usd::new(missing).unwrap_or(policy.topup_max).min(policy.topup_max).max(policy.topup_min)
}
