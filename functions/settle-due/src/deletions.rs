//! Puts deletions on the bus once all accounts of a run are settled.

use std::time::Duration;

use tollgate::domain::ids::AccountId;
use tollgate::domain::timestamp::{MINUTE, Timestamp};
use tollgate::runtime::bus::{BusEvent, PublishError};

use crate::{SettleDueClients, event_of};

/// The `detail-type` of a deletion that Stripe must be asked about.
pub const DELETION_UNCONFIRMED: &str = "DeletionUnconfirmed";

/// Deletions of a run. Each takes two calls to Stripe as a rule, which allows 100 per second for all
/// that an installation does. The others follow in the next minutes.
pub const DELETIONS_MAX: usize = 50;

/// A deletion that has waited for so long is reported, in seconds: Stripe cannot be asked, or has a
/// payment that cannot be credited, or `confirm-deletion` does not run. Below an hour, because usage
/// can append a row at each full hour, from which the wait counts.
const WAITS_MAX_SECONDS: i64 = 45 * MINUTE;

/// The time for sending them. It is within the function's timeout.
const SENDING: Duration = Duration::from_secs(2);

/// An account whose grace period is over, and the time of its last row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WaitingDeletion {
    pub(crate) since: Timestamp,
    pub(crate) account: AccountId,
}

/// Sends those that have waited longest. Returns how many were sent, and why others could not be.
/// The next run sends them again.
pub(crate) async fn send(
    clients: &SettleDueClients,
    mut waiting: Vec<WaitingDeletion>,
    now: Timestamp,
) -> (u32, Option<PublishError>) {
    for WaitingDeletion { since, account } in &waiting {
        if now - *since >= WAITS_MAX_SECONDS {
            tracing::error!(alarm = "deletion_waits", %account, %since, "a deletion is not confirmed");
        }
    }
    waiting.sort_unstable();
    waiting.truncate(DELETIONS_MAX);
    if waiting.is_empty() {
        return (0, None);
    }
    let event = |waiting: &WaitingDeletion| event_of(DELETION_UNCONFIRMED, &waiting.account);
    let events: Vec<BusEvent> = waiting.iter().map(event).collect();
    let put = tokio::time::timeout(SENDING, clients.bus.put(&events)).await;
    let failed = match put {
        Ok(put) => put.err(),
        Err(_late) => {
            let why = "the bus did not answer in time".to_owned();
            Some(PublishError { places: (0..events.len()).collect(), why })
        }
    };
    let refused = failed.as_ref().map_or(0, |error| error.places.len());
    let sent = events.len().saturating_sub(refused);
    (u32::try_from(sent).unwrap_or(u32::MAX), failed)
}
