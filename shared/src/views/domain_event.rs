//! Domain events: the rows as published on the bus.
//!
//! A row is the outbox. The function `publish` turns each new row into these events, at least once
//! and in no guaranteed order. Each event carries the account's `seq` and the resulting state, so a
//! receiver can drop events older than its own state. Events are small: a suspension names the
//! account, not its ten thousand resources.
//!
//! `views::family` has the events of each kind of row. Events that customers should read in a mail
//! have a [`CustomerNotice`].

use serde::Serialize;

use super::customer_notice::{CustomerNotice, notice_of};
use super::family;
use crate::domain::account::{AccountState, BudgetSpend};
use crate::domain::credit_low::becomes_low;
use crate::domain::event::RefillWant;
use crate::domain::ids::AccountId;
use crate::domain::policy::Policy;
use crate::domain::row::Row;
use crate::domain::row_format::RowFormat;

pub use super::event_detail::{DomainEventDetail, DomainEventResource};

/// An event for the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainEvent {
    /// `account#seq#n`. The same each time it is published.
    pub id: String,
    pub account: AccountId,
    /// The number of the row.
    pub seq: u64,
    /// RFC 3339, UTC.
    pub at: String,
    /// The state after the row.
    pub state: DomainEventState,
    /// The content of the event. [`DomainEventDetail::name`] is the bus's `detail-type`.
    #[serde(flatten)]
    pub news: DomainEventDetail,
    /// The notice for the customer, if this event is mailed.
    #[serde(skip)]
    pub warning: Option<CustomerNotice>,
}

/// The state after a row, reduced to the fields for other systems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainEventState {
    /// In USD, as a decimal.
    pub balance: String,
    /// The balance less what holds keep, in USD.
    pub available: String,
    /// `good`, `suspended`, `deleting`, `deleted` or `closed`.
    pub standing: &'static str,
    /// Whether new starts are blocked.
    pub frozen: bool,
    /// Absent while nothing is billed by time (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_through: Option<String>,
    /// The planned time of the deletion, if there is one (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_at: Option<String>,
}

/// All domain events of a row, in a fixed order. An ordinary hour has none.
#[must_use]
pub fn notices(account: &AccountId, row: &Row, policy: &Policy) -> Vec<DomainEvent> {
    let mut news = family::view_of(&row.event.change).domain_events(row);
    if let Some(RefillWant::Now { amount, .. }) = row.event.want {
        news.push(DomainEventDetail::BalanceLow { refill: amount.to_string() });
    }
    if tells_low(row, policy) {
        news.push(DomainEventDetail::CreditLow {});
    }
    news.extend(row.event.spends.iter().filter_map(|spend| budget_spent(spend, &row.state)));
    let state = state_of(&row.state);
    news.into_iter()
        .enumerate()
        .map(|(number, news)| DomainEvent {
            id: format!("{account}#{}#{number}", row.seq),
            account: account.clone(),
            seq: row.seq,
            at: row.event.at.to_string(),
            state: state.clone(),
            warning: notice_of(&news, row, policy),
            news,
        })
        .collect()
}

/// The part of a budget of which a row tells. `state` is the state after the row.
fn budget_spent(spend: &BudgetSpend, state: &AccountState) -> Option<DomainEventDetail> {
    let (budget, percent) = (state.budget(&spend.project)?, spend.told?);
    Some(DomainEventDetail::BudgetSpent {
        project: budget.project.to_string(),
        percent,
        amount: budget.amount.to_string(),
        spent: budget.spent.to_string(),
        stop: budget.stops,
    })
}

/// Rows of format 2 do not record it and tell of it each time.
fn tells_low(row: &Row, policy: &Policy) -> bool {
    if row.format >= RowFormat::new(3) {
        row.event.low.is_some()
    } else {
        becomes_low(&row.event, &row.state, policy)
    }
}

fn state_of(state: &AccountState) -> DomainEventState {
    DomainEventState {
        balance: state.balance().to_string(),
        available: state.available().to_string(),
        standing: state.standing.name(),
        frozen: !state.frozen.is_empty(),
        paid_through: state.paid_through().map(|through| through.to_string()),
        delete_at: state.delete_at().map(|delete_at| delete_at.to_string()),
    }
}
