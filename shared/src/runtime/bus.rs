//! Publishes events to the EventBridge bus, each at least once.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::DisplayErrorContext;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

/// The maximum entries of a call (docs.aws.amazon.com, "PutEvents").
const ENTRIES_MAX: usize = 10;
/// The maximum bytes of a call. EventBridge takes 256 KiB, counted over all parts of the entries.
const BYTES_MAX: usize = 200 * 1024;
/// The number of attempts before the trigger is retried.
const ATTEMPTS_MAX: u32 = 4;
/// The first pause between two attempts, in milliseconds. Each pause is twice as long as the
/// previous one.
const PAUSE_MS: u64 = 50;

/// An event for the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusEvent {
    /// The event type.
    pub detail_type: String,
    /// The event as JSON.
    pub detail: String,
}

/// The bus of this installation.
#[derive(Clone, Debug)]
pub struct Bus {
    client: Client,
    name: String,
    source: &'static str,
}

/// Some events were not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bus rejected {} events: {why}", places.len())]
pub struct PublishError {
    /// The positions of the failed events, in order.
    pub places: Vec<usize>,
    /// EventBridge's reason for the last failure.
    pub why: String,
}

impl Bus {
    /// The bus with this name. All events have the source `tollgate`. `time` is never set, so
    /// EventBridge sets it, and the triggered functions use it.
    #[must_use]
    pub fn new(client: Client, name: String) -> Bus {
        Bus { client, name, source: "tollgate" }
    }

    /// Publishes events in calls of the maximum size. Rejected events are retried alone a few
    /// times.
    ///
    /// # Errors
    /// [`PublishError`] with the events that failed in the end. All others were published.
    pub async fn put(&self, events: &[BusEvent]) -> Result<(), PublishError> {
        let mut waiting: Vec<usize> = (0..events.len()).collect();
        let mut why = String::new();
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                let pause_ms = PAUSE_MS << attempt;
                tokio::time::sleep(std::time::Duration::from_millis(
                    pause_ms / 2 + fastrand::u64(..=pause_ms / 2),
                ))
                .await;
            }
            let mut refused = Vec::new();
            for batch in batches(events, &waiting) {
                if let Err(reason) = self.put_batch(events, &batch, &mut refused).await {
                    why = reason;
                }
            }
            if refused.is_empty() {
                return Ok(());
            }
            refused.sort_unstable();
            waiting = refused;
        }
        Err(PublishError { places: waiting, why })
    }

    async fn put_batch(
        &self,
        events: &[BusEvent],
        batch: &[usize],
        refused: &mut Vec<usize>,
    ) -> Result<(), String> {
        let entries = batch.iter().filter_map(|place| events.get(*place)).map(|event| {
            PutEventsRequestEntry::builder()
                .event_bus_name(&self.name)
                .source(self.source)
                .detail_type(&event.detail_type)
                .detail(&event.detail)
                .build()
        });
        let answer = self.client.put_events().set_entries(Some(entries.collect())).send().await;
        let answer = answer.map_err(|error| {
            refused.extend_from_slice(batch);
            DisplayErrorContext(error).to_string()
        })?;
        let mut why = Ok(());
        for (place, entry) in batch.iter().zip(answer.entries()) {
            if let Some(code) = entry.error_code() {
                refused.push(*place);
                why = Err(format!("{code}: {}", entry.error_message().unwrap_or_default()));
            }
        }
        // Entries without a result in the answer count as failed.
        refused.extend(batch.iter().skip(answer.entries().len()));
        why
    }
}

/// Splits a list of positions into calls within EventBridge's limits.
fn batches(events: &[BusEvent], places: &[usize]) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for place in places {
        let size =
            events.get(*place).map_or(0, |event| event.detail.len() + event.detail_type.len() + 64);
        match batches.last_mut() {
            Some(batch) if batch.len() < ENTRIES_MAX && bytes + size <= BYTES_MAX => {
                batch.push(*place);
                bytes += size;
            }
            Some(_) | None => {
                batches.push(vec![*place]);
                bytes = size;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_hold_ten_events_and_not_too_many_bytes() {
        let event =
            |bytes: usize| BusEvent { detail_type: "T".to_owned(), detail: "x".repeat(bytes) };
        let small: Vec<BusEvent> = (0..23).map(|_| event(10)).collect();
        let places: Vec<usize> = (0..23).collect();
        assert_eq!(batches(&small, &places).iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 3]);
        let large: Vec<BusEvent> = (0..3).map(|_| event(90 * 1024)).collect();
        assert_eq!(batches(&large, &[0, 1, 2]), [vec![0, 1], vec![2]]);
        assert!(batches(&large, &[]).is_empty());
    }
}
