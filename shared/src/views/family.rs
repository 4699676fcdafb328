//! The texts and domain events of each kind of row, by family of changes.

mod billing;
mod budget;
mod grant;
mod hold;
mod payment;
mod refill;
mod resource;
mod staff;
mod standing;

use super::event_detail::DomainEventDetail;
use super::transaction_type::TransactionType;
use crate::domain::event::{Change, Event, PaymentChange};
use crate::domain::fund::Fund;
use crate::domain::ids::PaymentId;
use crate::domain::money::Usd;
use crate::domain::row::Row;
use crate::domain::timestamp::{MINUTE, Timestamp};

/// The views of a family's rows. Defaults cover what most families do.
pub(super) trait FamilyView {
    /// The line in the account's history, in plain words. It shows the reasons that staff gave, and
    /// the admin API says so.
    fn description(&self, event: &Event) -> String;

    /// The domain events, in a fixed order.
    fn domain_events(&self, row: &Row) -> Vec<DomainEventDetail>;

    /// The transaction type, if the row moved money.
    fn transaction_type(&self) -> Option<TransactionType> {
        None
    }

    /// The payment of the row, if it has one.
    fn payment(&self) -> Option<&PaymentId> {
        None
    }
}

pub(super) fn view_of(change: &Change) -> &dyn FamilyView {
    match change {
        Change::Payment(change) => change,
        Change::Grant(change) => change,
        Change::Resource(change) => change,
        Change::Billing(change) => change,
        Change::Standing(change) => change,
        Change::Refill(change) => change,
        Change::Staff(change) => change,
        Change::Hold(change) => change,
        Change::Budget(change) => change,
    }
}

fn credit_added(row: &Row) -> DomainEventDetail {
    let event = &row.event;
    let of_grants = event.funds.iter().filter(|delta| delta.fund != Fund::Paid);
    let bonus: Usd = of_grants.map(|delta| delta.amount).sum();
    let plan = if let Change::Payment(PaymentChange::Credited { plan, .. }) = &event.change {
        plan.as_ref()
    } else {
        None
    };
    DomainEventDetail::CreditAdded {
        kind: event.change.name(),
        amount: event.amount().to_string(),
        bonus: bonus.to_string(),
        plan: plan.map(ToString::to_string),
    }
}

fn credit_taken(row: &Row) -> DomainEventDetail {
    let (kind, amount) = (row.event.change.name(), row.event.amount());
    DomainEventDetail::CreditTaken { kind, amount: (-amount).to_string() }
}

fn with_unused(stopped: usize, how: &str, amount: Usd) -> String {
    let what = format!("{} {how}", resources_called(stopped));
    if amount.is_zero() { what } else { format!("Unused time credited, {what}") }
}

fn resources_called(count: usize) -> String {
    if count == 1 { "1 resource".to_owned() } else { format!("{count} resources") }
}

/// `11:00–12:00`, in UTC; with seconds where they are not zero.
fn hours(from: Timestamp, through: Timestamp) -> String {
    format!("{}–{}", clock(from), clock(through))
}

fn clock(instant: Timestamp) -> String {
    let end = if instant.seconds() % MINUTE == 0 { 16 } else { 19 };
    instant.to_string().get(11..end).unwrap_or_default().to_owned()
}
