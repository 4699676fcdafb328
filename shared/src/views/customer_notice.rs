//! The content of a mail to a customer about a domain event.
//!
//! The address is not in the chain. The function `publish` adds it.

use rust_decimal::Decimal;

use super::event_detail::DomainEventDetail;
use crate::domain::account::{AccountState, Standing, SuspensionReason};
use crate::domain::credit_low::{counted_at, sure_credit};
use crate::domain::event::{Change, GrantChange, RefillChange, RefillDecline};
use crate::domain::ids::ProjectId;
use crate::domain::money::Usd;
use crate::domain::policy::Policy;
use crate::domain::row::Row;
use crate::domain::settle::runway::lasts_until;
use crate::domain::timestamp::{DAY, Timestamp};

/// A notice for a customer, as far as the row knows: what to do, until when, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerNotice {
    /// In USD, the amount charged to the card, the minimum credit to add, or the budget:
    ///
    /// - `BalanceLow`: the charge of the refill, before tax
    /// - `RefillFailed`, `RefillNeedsCustomer`: the failed or pending charge, before tax
    /// - `CreditLow`: the smallest top-up after which the credit lasts for a day
    /// - `Suspended`, `DeletionSoon`, `DeletionDue`, `Deleted`: the smallest top-up that restores
    ///   good standing. A start needs the credit of `START_CREDIT_MIN`. `None` for a suspension by
    ///   staff, which credit does not end
    /// - `TrialEnding`: the charge of the renewal, roughly, before tax. Without a renewal, the
    ///   smallest top-up that pays for a day
    /// - `BudgetSpent`: the budget
    /// - `CardExpiring`, `CardExpired`, `TrialStarted`, `TrialEnded`, `Closed`, `Reopened`: `None`
    pub amount: Option<Usd>,
    /// When it takes effect (UTC). `None` if there is no such time:
    ///
    /// - `BalanceLow`, `CreditLow`, `RefillFailed`, `CardExpired`: roughly when the credit is spent
    ///   ([`lasts_until`]) without a new payment
    /// - `RefillNeedsCustomer`: when the payment is canceled
    /// - `CardExpiring`: when the card is no longer valid
    /// - `Suspended`, `DeletionSoon`: when all resources are deleted
    /// - `DeletionDue`: now, the row's own time
    /// - `Deleted`: the last time to restore
    /// - `TrialStarted`, `TrialEnding`: the end of the trial
    /// - `BudgetSpent`: the end of its month
    /// - `TrialEnded`, `Closed`, `Reopened`: `None`
    pub deadline: Option<Timestamp>,
    /// Where the customer can act.
    pub place: NoticePlace,
}

/// Where a customer acts on a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticePlace {
    /// The Billing page, which explains the problem.
    Page,
    /// The section of the Billing page for adding credit.
    AddCredit,
    /// The section of the Billing page for refills and cards.
    Refill,
    /// The page of a project.
    Project(ProjectId),
    /// The invoice's page at Stripe.
    Invoice(String),
}

/// The notice for an event of a row. `None` if the event is not for customers.
pub(super) fn notice_of(
    detail: &DomainEventDetail,
    row: &Row,
    policy: &Policy,
) -> Option<CustomerNotice> {
    let (event, state) = (&row.event, &row.state);
    // A mail may be read a day later.
    let owed = state.owed_at(event.at.plus(DAY));
    let to_be_good =
        least_top_up(state.floor() + owed + Usd::from_micros(1) - state.available(), policy);
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
        // Not the card's fault: the refill was canceled, or Stripe failed before the charge.
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
        DomainEventDetail::CardExpiring { .. } => {
            (None, state.refill.card_expiry.map(|expiry| expiry.ends_at), NoticePlace::Refill)
        }
        DomainEventDetail::CardExpired { .. } => (None, lasts_until(state), NoticePlace::Refill),
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
        DomainEventDetail::Closed {} | DomainEventDetail::Reopened {} => {
            (None, None, NoticePlace::Page)
        }
        DomainEventDetail::TrialStarted { .. } => {
            (None, state.trial.as_ref().map(|trial| trial.ends_at), NoticePlace::Page)
        }
        DomainEventDetail::BudgetSpent { project, .. } => {
            let budget = state.budgets.iter().find(|budget| budget.project.as_str() == project)?;
            let place = NoticePlace::Project(budget.project.clone());
            (Some(budget.amount), Some(budget.month.next_month()), place)
        }
        DomainEventDetail::TrialEnding { .. } => trial_ending(&event.change, state, policy)?,
        DomainEventDetail::TrialEnded {} if state.standing == Standing::Closed => return None,
        // The notice of the renewal says so.
        DomainEventDetail::TrialEnded {} if state.refill.wanted.is_some() => return None,
        DomainEventDetail::TrialEnded {} => (None, None, NoticePlace::AddCredit),
        DomainEventDetail::AccountOpened {}
        | DomainEventDetail::Erased {}
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
        | DomainEventDetail::Frozen {}
        | DomainEventDetail::Unfrozen {} => return None,
    };
    Some(CustomerNotice { amount, deadline, place })
}

fn trial_ending(
    change: &Change,
    state: &AccountState,
    policy: &Policy,
) -> Option<(Option<Usd>, Option<Timestamp>, NoticePlace)> {
    let Change::Grant(GrantChange::TrialEnding { ends_at, renewal, .. }) = change else {
        return None;
    };
    let (amount, place) = match renewal {
        Some(renewal) => (*renewal, NoticePlace::Refill),
        None => (least_top_up(state.billed.rate.for_seconds(DAY), policy), NoticePlace::AddCredit),
    };
    Some((Some(amount), Some(*ends_at), place))
}

/// The amount that the card was to be charged, in USD before tax.
fn charged(change: &Change, state: &AccountState) -> Option<Usd> {
    if let Change::Refill(RefillChange::RefillFailed { amount, .. }) = change {
        return *amount;
    }
    state.refill.attempt.as_ref().map(|attempt| attempt.amount)
}

fn was_not_charged(change: &Change) -> bool {
    matches!(
        change,
        Change::Refill(RefillChange::RefillFailed {
            decline: RefillDecline::NotCharged | RefillDecline::CalledOff,
            ..
        })
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

/// The smallest top-up that covers the missing amount, in whole cents and within the limits of a
/// top-up. Above the maximum, several top-ups are needed, and this is the first.
fn least_top_up(missing: Usd, policy: &Policy) -> Usd {
    let missing = (missing.decimal() * Decimal::ONE_HUNDRED).ceil() / Decimal::ONE_HUNDRED;
    Usd::new(missing).unwrap_or(policy.topup_max).min(policy.topup_max).max(policy.topup_min)
}
