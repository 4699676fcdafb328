//! Puts refills on the bus while accounts are still settled.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tollgate::domain::ids::AccountId;
use tollgate::runtime::bus::{BusEvent, PublishError};

use crate::{SettleDueClients, event_of};

/// The `detail-type` of a wanted or open refill, or of a refund, that must continue.
pub const REFILL_DUE: &str = "RefillDue";

/// Refills per call of the bus, which takes ten. Fewer are sent if no more wait.
const AT_ONCE: usize = 10;
/// The time for the last refills after the accounts. It is within the function's timeout.
const LAST_REFILLS: Duration = Duration::from_secs(5);

/// The refills of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RefillsSent {
    pub(crate) sent: u32,
    /// Why others could not be sent. The next run sends them.
    pub(crate) failed: Option<PublishError>,
}

/// Sends the refill of each account that arrives, until no more can arrive.
pub(crate) async fn send(
    clients: &SettleDueClients,
    accounts: UnboundedReceiver<AccountId>,
) -> RefillsSent {
    let report = RefCell::new(RefillsSent::default());
    let sending = send_each(clients, accounts, &report);
    let is_late =
        tokio::time::timeout(clients.budget.finishing + LAST_REFILLS, sending).await.is_err();
    let mut report = report.into_inner();
    if is_late {
        let why = "the bus did not answer in time".to_owned();
        report.failed = Some(PublishError { places: Vec::new(), why });
    }
    report
}

async fn send_each(
    clients: &SettleDueClients,
    mut accounts: UnboundedReceiver<AccountId>,
    report: &RefCell<RefillsSent>,
) {
    let accounts = stream::poll_fn(move |context| accounts.poll_recv(context));
    let mut batches = accounts.ready_chunks(AT_ONCE);
    while let Some(accounts) = batches.next().await {
        let event = |account: &AccountId| event_of(REFILL_DUE, account);
        let events: Vec<BusEvent> = accounts.iter().map(event).collect();
        let put = clients.bus.put(&events).await;
        let mut report = report.borrow_mut();
        let refused = put.as_ref().err().map_or(0, |error| error.places.len());
        let sent = events.len().saturating_sub(refused);
        report.sent += u32::try_from(sent).unwrap_or(u32::MAX);
        report.failed = put.err().or(report.failed.take());
    }
}
