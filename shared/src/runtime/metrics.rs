//! The summary of a run: one log line that CloudWatch also reads as metrics (embedded metric
//! format, docs.aws.amazon.com, "Specification: Embedded metric format").
//!
//! A handler returns its report, and its `main.rs` passes the summary to [`Metrics::write`]. One
//! line holds the text, under `fields` as in every other log line, and the numbers. The two cannot
//! disagree, and no filter depends on the wording. Every metric has a single dimension, `Function`.
//!
//! Lambda passes a JSON line through unchanged. Without its own timestamp the line counts as
//! `INFO`, which the template lets through. CloudWatch looks for `_aws` at the top of a line.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;

use crate::domain::timestamp::Timestamp;

/// The variable with the namespace, such as `Tollgate/prod`. Without it only the log line is
/// written, and no metrics.
const NAMESPACE: &str = "METRICS_NAMESPACE";

/// The destination of a function's metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    namespace: Option<String>,
    function: &'static str,
}

/// The summary of a run: text for readers of the log, and numbers for metrics.
///
/// Its size is bounded. CloudWatch drops lines above 256 KB, and without its line a run seems
/// missing. Failed accounts are counted here, and each has a log line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSummary {
    fields: BTreeMap<&'static str, Value>,
    metrics: Vec<RunMetric>,
}

/// A number of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RunMetric {
    name: &'static str,
    value: Measure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Count(u64),
    /// The seconds from this instant until the line is written.
    SecondsSince(Timestamp),
}

impl MetricsSummary {
    /// A summary with a message and no fields.
    #[must_use]
    pub fn new(message: &'static str) -> MetricsSummary {
        MetricsSummary {
            fields: BTreeMap::from([("message", Value::from(message))]),
            metrics: Vec::new(),
        }
    }

    /// Adds a text field that is not a metric.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl Into<Value>) -> MetricsSummary {
        self.fields.insert(name, value.into());
        self
    }

    /// Adds a count. Zero is written too, so that graphs and alarms see it.
    #[must_use]
    pub fn count(mut self, name: &'static str, count: impl TryInto<u64>) -> MetricsSummary {
        let value = Measure::Count(count.try_into().unwrap_or(u64::MAX));
        self.metrics.push(RunMetric { name, value });
        self
    }

    /// Adds the seconds from an instant until the line is written. Zero if the instant is later.
    #[must_use]
    pub fn seconds_since(mut self, name: &'static str, since: Timestamp) -> MetricsSummary {
        self.metrics.push(RunMetric { name, value: Measure::SecondsSince(since) });
        self
    }
}

/// A line in the embedded metric format.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "_aws")]
    metadata: Metadata<'a>,
    level: &'static str,
    fields: &'a BTreeMap<&'static str, Value>,
    #[serde(rename = "Function")]
    function: &'static str,
    #[serde(flatten)]
    values: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    /// Milliseconds since 1970.
    timestamp: u64,
    cloud_watch_metrics: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'a str,
    dimensions: [[&'static str; 1]; 1],
    metrics: Vec<Definition>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: &'static str,
    unit: &'static str,
}

impl Metrics {
    /// The metrics of a function, in the namespace of the variable `METRICS_NAMESPACE`.
    #[must_use]
    pub fn from_environment(function: &'static str) -> Metrics {
        let namespace =
            std::env::var(NAMESPACE).ok().filter(|namespace| !namespace.trim().is_empty());
        Metrics { namespace, function }
    }

    /// Writes the summary of a run as one line.
    pub fn write(&self, summary: &MetricsSummary) {
        let now_ms = now_ms();
        let Some(namespace) = &self.namespace else {
            let message = summary.fields.get("message").and_then(Value::as_str);
            tracing::info!(message, values = ?values(summary, now_ms), fields = ?summary.fields);
            return;
        };
        let Ok(mut line) = self.line(namespace, summary, now_ms) else { return };
        line.push('\n');
        // One write under the lock, so that no other line begins within it. A failed write is
        // ignored: the run's work is done, and a failed run would be repeated.
        let _unread = std::io::stdout().lock().write_all(line.as_bytes());
    }

    fn line(
        &self,
        namespace: &str,
        summary: &MetricsSummary,
        now_ms: u64,
    ) -> Result<String, serde_json::Error> {
        let definition =
            |metric: &RunMetric| Definition { name: metric.name, unit: metric.value.unit() };
        let metrics = summary.metrics.iter().map(definition).collect();
        let directive = Directive { namespace, dimensions: [["Function"]], metrics };
        serde_json::to_string(&Line {
            metadata: Metadata { timestamp: now_ms, cloud_watch_metrics: [directive] },
            level: "INFO",
            fields: &summary.fields,
            function: self.function,
            values: values(summary, now_ms),
        })
    }
}

impl Measure {
    fn unit(self) -> &'static str {
        match self {
            Measure::Count(_) => "Count",
            Measure::SecondsSince(_) => "Seconds",
        }
    }

    fn value(self, now_ms: u64) -> u64 {
        match self {
            Measure::Count(count) => count,
            Measure::SecondsSince(then) => {
                (now_ms / 1000).saturating_sub(u64::try_from(then.seconds()).unwrap_or_default())
            }
        }
    }
}

fn values(summary: &MetricsSummary, now_ms: u64) -> BTreeMap<&'static str, u64> {
    summary.metrics.iter().map(|metric| (metric.name, metric.value.value(now_ms))).collect()
}

/// The machine's clock, in milliseconds since 1970. No other code of a function reads it. A metric
/// is dated by when a run happened, not by the hour it was due for.
///
/// Dated by its trigger, a slice settled three hours late would count three hours ago. The alarm on
/// slow hours looks at the present and would not fire, and neither would the one on missed hours
/// when a delayed schedule arrives. [`MetricsSummary::seconds_since`] reports the delay of a slice
/// instead. CloudWatch also rejects data older than two weeks, and a queue may hold a trigger for
/// that long.
#[expect(
    clippy::disallowed_methods,
    reason = "when something was done is not business time; no row knows of it"
)]
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: Metrics = Metrics { namespace: None, function: "hourly-debit" };

    #[test]
    fn a_summary_is_one_line_of_embedded_metric_format() {
        let hour = "2026-11-22T11:00:00Z".parse().unwrap();
        let summary = MetricsSummary::new("slice settled")
            .field("handed_on", Vec::<String>::new())
            .count("Rows", 3_u32)
            .count("Failed", 0_usize)
            .seconds_since("SecondsAfterHour", hour);
        let line = METRICS.line("Tollgate/prod", &summary, 1_795_345_307_123).unwrap();
        assert_eq!(
            line,
            concat!(
                r#"{"_aws":{"Timestamp":1795345307123,"CloudWatchMetrics":[{"Namespace":"Tollgate/prod","#,
                r#""Dimensions":[["Function"]],"Metrics":[{"Name":"Rows","Unit":"Count"},{"Name":"Failed","Unit":"Count"},"#,
                r#"{"Name":"SecondsAfterHour","Unit":"Seconds"}]}]},"level":"INFO","#,
                r#""fields":{"handed_on":[],"message":"slice settled"},"Function":"hourly-debit","#,
                r#""Failed":0,"Rows":3,"SecondsAfterHour":107}"#
            )
        );
    }

    #[test]
    fn a_line_has_no_end_within_it_whatever_it_says() {
        let summary = MetricsSummary::new("refill run").field("steps", "two\nlines\r\u{2028}");
        assert!(!METRICS.line("Tollgate/dev", &summary, 0).unwrap().contains(['\n', '\r']));
    }

    #[test]
    fn what_lies_ahead_of_the_clock_is_not_late() {
        let summary = MetricsSummary::new("early")
            .seconds_since("SecondsAfterHour", Timestamp::from_seconds(60).unwrap());
        assert_eq!(values(&summary, 59_999), BTreeMap::from([("SecondsAfterHour", 0)]));
        assert_eq!(values(&summary, 61_000), BTreeMap::from([("SecondsAfterHour", 1)]));
    }
}
