//! What the world is told of a row: domain events for the bus.
//!
//! A row is the outbox: the function `publish` turns each new one into these events, at least once,
//! in no promised order. So each carries the account's `seq` and the state that resulted; a
//! receiver drops what is older than what it has. Events are small: a suspension names the account,
//! not its ten thousand resources.
//!
//! The events of each kind of row are in `views::family`. Some events a customer should
//! read in a mail: these have a [`CustomerNotice`].

use serde::Serialize;

use super::credit_low::becomes_low;
use super::customer_notice::{CustomerNotice, notice_of};
use super::family;
use crate::domain::account::AccountState;
use crate::domain::event::RefillWant;
use crate::domain::ids::AccountId;
use crate::domain::policy::Policy;
use crate::domain::row::Row;

pub use super::event_detail::{DomainEventDetail, DomainEventResource};

/// One event for the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainEvent {
    /// `account#seq#n`: the same however often it is published.
    pub id: String,
    pub account: AccountId,
    /// The number of its row.
    pub seq: u64,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// The account after the row.
    pub state: DomainEventState,
    /// What happened: the bus's `detail-type` is [`DomainEventDetail::name`].
    #[serde(flatten)]
    pub news: DomainEventDetail,
    /// What the customer is to be told, if it is one of the events they should read in a mail.
    #[serde(skip)]
    pub warning: Option<CustomerNotice>,
}

/// The account after the row, as far as it matters to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainEventState {
    /// In USD, as a decimal.
    pub balance: String,
    /// `good`, `suspended`, `deleting`, `deleted` or `closed`.
    pub standing: &'static str,
    /// Whether nothing new may be started.
    pub frozen: bool,
    /// Absent while nothing is billed by time (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_through: Option<String>,
    /// When everything will be deleted, if it will (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_at: Option<String>,
}

/// Everything the world is told of a row, in a fixed order; nothing for an ordinary hour.
#[must_use]
pub fn notices(account: &AccountId, row: &Row, policy: &Policy) -> Vec<DomainEvent> {
    let mut news = family::view_of(&row.event.change).domain_events(row);
    if let Some(RefillWant::Now { amount, .. }) = row.event.want {
        news.push(DomainEventDetail::BalanceLow { refill: amount.to_string() });
    }
    if becomes_low(row, policy) {
        news.push(DomainEventDetail::CreditLow {});
    }
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

fn state_of(state: &AccountState) -> DomainEventState {
    DomainEventState {
        balance: state.balance().to_string(),
        standing: state.standing.name(),
        frozen: !state.frozen.is_empty(),
        paid_through: state.paid_through().map(|through| through.to_string()),
        delete_at: state.delete_at().map(|delete_at| delete_at.to_string()),
    }
}
