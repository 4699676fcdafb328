//! Metered usage by clock hour. Usage has the price of the hour in which it happened, whenever it is
//! reported. Only credit that was valid in that hour pays for it. Credit that expired before the
//! report does not come back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{IdError, LabelName, LabelValue, ProjectId, Sku};
use crate::domain::money::Quantity;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};

/// How far back usage may be reported, in seconds. So long a level of a gauge counts at most without
/// another report.
pub const LATE_SECONDS_MAX: i64 = 3 * DAY;
/// The most labels of one report.
const LABELS_MAX: usize = 5;

/// Labels of a report, such as an API key's ID: at most five names, each with one value. Usage with
/// different labels is counted separately.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct UsageLabels(BTreeMap<LabelName, LabelValue>);

/// Why labels cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    #[error("must have at most {LABELS_MAX} names")]
    TooMany,
    #[error("{name}: {error}")]
    Text { name: String, error: IdError },
}

impl UsageLabels {
    /// The labels of usage whose own labels were too many to be counted separately: `other` is
    /// `true`.
    #[must_use]
    pub fn other() -> UsageLabels {
        let (name, value) = ("other".parse(), "true".parse());
        UsageLabels(name.ok().zip(value.ok()).into_iter().collect())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Name and value, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&LabelName, &LabelValue)> {
        self.0.iter()
    }
}

impl TryFrom<BTreeMap<String, String>> for UsageLabels {
    type Error = LabelError;

    fn try_from(labels: BTreeMap<String, String>) -> Result<UsageLabels, LabelError> {
        if labels.len() > LABELS_MAX {
            return Err(LabelError::TooMany);
        }
        let checked = labels.into_iter().map(|(name, value)| {
            let wrong = |error| LabelError::Text { name: name.clone(), error };
            Ok((name.parse().map_err(wrong)?, value.parse().map_err(wrong)?))
        });
        checked.collect::<Result<_, _>>().map(UsageLabels)
    }
}

/// The unit-hours of a level between two instants of one clock hour. Many short parts of an hour add up
/// to the whole.
#[must_use]
pub fn level_hours(level: Quantity, from: Timestamp, to: Timestamp) -> Quantity {
    let hour = from.hour().start();
    let since_hour = |at: Timestamp| level.for_seconds((at - hour).clamp(0, HOUR));
    since_hour(to).since(since_hour(from))
}

/// What usage is counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsageKey {
    /// The start of the clock hour (UTC).
    pub hour: Timestamp,
    pub project: ProjectId,
    pub sku: Sku,
    pub labels: UsageLabels,
}

/// The usage of one hour, as far as it is reported and billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HourlyUsage {
    pub reported: Quantity,
    pub billed: Quantity,
}
