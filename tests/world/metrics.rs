//! A function writes each metric of an alarm or of the dashboard in `infra/template.yaml`. An alarm
//! on a metric that nothing writes never fires, and nothing else would reveal it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tollgate::store::SHARDS;
use tollgate_local::log::Line;
use tollgate_local::template::{Resolver, Template};

use crate::support::{HOUR, Processes, World};

/// Where functions write metrics in the local cloud: the template's namespace.
const NAMESPACE: &str = "Tollgate/local";

/// The most bytes of a log line that CloudWatch has always taken.
const LINE_MAX_BYTES: usize = 256 * 1024;

/// The functions that count their work.
const COUNTING: [&str; 5] =
    ["hourly-debit", "settle-due", "auto-refill", "publish", "stripe-webhook"];

/// Stands for any value of a dimension.
const ANY: &str = "*";

/// A metric by its name and its dimensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Metric {
    name: String,
    dimensions: BTreeMap<String, String>,
}

impl Metric {
    fn new(name: &Value, dimensions: impl Iterator<Item = (String, String)>) -> Metric {
        Metric { name: name.as_str().unwrap().to_owned(), dimensions: dimensions.collect() }
    }

    /// Whether the alarm or dashboard uses this metric.
    fn is(&self, looked_at: &Metric) -> bool {
        let is_same =
            |((key, value), (other_key, other)): ((&String, &String), (&String, &String))| {
                key == other_key && (value == other || value == ANY || other == ANY)
            };
        self.name == looked_at.name
            && self.dimensions.len() == looked_at.dimensions.len()
            && self.dimensions.iter().zip(&looked_at.dimensions).all(is_same)
    }
}

#[tokio::test]
async fn every_watched_metric_is_emitted_with_its_figures() {
    let world = World::new(Processes::Several).await;
    world.cloud.run_every_minute();
    an_hour_a_refill_and_webhooks(&world).await;

    let lines = lines(&world).await;
    let written: BTreeSet<Metric> =
        lines.iter().flat_map(metrics_of_line).chain(of_filters()).collect();
    let looked_at: BTreeSet<Metric> = of_alarms().into_iter().chain(of_dashboard()).collect();
    let unwritten: Vec<&Metric> = looked_at
        .iter()
        .filter(|looked_at| !written.iter().any(|written| written.is(looked_at)))
        .collect();
    assert!(unwritten.is_empty(), "nobody writes {unwritten:#?}");
    let unseen: Vec<&Metric> = written
        .iter()
        .filter(|written| !looked_at.iter().any(|looked_at| written.is(looked_at)))
        .collect();
    assert!(unseen.is_empty(), "nobody looks at {unseen:#?}");

    let sum = |function: &str, name: &str| -> u64 {
        lines
            .iter()
            .filter(|line| line["Function"] == function)
            .filter_map(|line| line[name].as_u64())
            .sum()
    };
    let slices = u64::from(SHARDS);
    let hour = ["HoursStarted", "SlicesStarted", "SlicesSettled", "Accounts", "Rows", "Failed"];
    assert_eq!(hour.map(|name| sum("hourly-debit", name)), [1, slices, slices, 1, 1, 0]);
    let slices = lines.iter().filter(|line| line["fields"]["message"] == "slice settled");
    assert!(slices.clone().all(|line| line["SecondsAfterHour"].is_u64()));
    assert_eq!((sum("auto-refill", "Charged"), sum("auto-refill", "Failed")), (1, 0));
    let refill = lines.iter().find(|line| line["Charged"] == 1).unwrap();
    assert_eq!(refill["fields"]["account"], "alice", "what the runbook looks for: {refill}");
    assert_eq!((sum("stripe-webhook", "Refused"), sum("stripe-webhook", "NotUnderstood")), (1, 0));
    assert!(sum("stripe-webhook", "Handled") >= 3, "three events tell of a payment");
    let rows = u64::try_from(world.customer("alice").rows().len()).unwrap();
    assert!(sum("publish", "Records") >= rows, "each row is published, at least once");
    assert!(sum("publish", "Events") > 0);
    assert_eq!(sum("publish", "NotTaken"), 0);
    assert!(
        lines.iter().filter(|line| line["Function"] == "settle-due").count() >= 60,
        "one each minute"
    );
}

async fn an_hour_a_refill_and_webhooks(world: &World) {
    let alice = world.customer("alice");
    alice.top_up_with_refill("13.00", "10.00", "15.00").await;
    let project = alice.project().await;
    // At $4.00 an hour the balance falls below the threshold.
    alice.start(&project, "gpu").await;
    world.cloud.idle().await;
    let wrong = [("content-type", "application/json"), ("stripe-signature", "t=1,v1=00")];
    let refused =
        world.api.send("POST", "/v1/stripe/webhook", &wrong, "{}".to_owned()).await.unwrap();
    assert_eq!(refused.status, 400);
    world.later(HOUR).await;
    world.cloud.idle().await;
}

/// The lines of embedded metric format that functions printed, one of each run; each is as
/// CloudWatch wants it.
async fn lines(world: &World) -> Vec<Value> {
    let runs =
        world.cloud.runs(0).into_iter().filter(|run| COUNTING.contains(&run.function.as_str()));
    let runs: Vec<_> = runs.inspect(|run| assert_eq!(run.outcome, "ok", "{run:?}")).collect();
    // A run ends with its answer, but its output may still be on its way.
    for _ in 0..100 {
        if printed(world).len() >= runs.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let printed = printed(world);
    assert_eq!(printed.len(), runs.len(), "one of each run");
    let read = |line: Line| {
        assert!(line.text.len() < LINE_MAX_BYTES, "{line:?}");
        let value: Value =
            serde_json::from_str(&line.text).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert_eq!(value["Function"], *line.function, "{value}");
        check(&value);
        value
    };
    printed.into_iter().map(read).collect()
}

fn printed(world: &World) -> Vec<Line> {
    world.cloud.log().into_iter().filter(|line| line.text.contains("\"_aws\"")).collect()
}

/// The rules of docs.aws.amazon.com, "Specification: Embedded metric format", and Lambda's handling
/// of a JSON line.
fn check(line: &Value) {
    assert!(
        line["_aws"]["Timestamp"].as_u64().is_some_and(|at_ms| at_ms > 1_700_000_000_000),
        "{line}"
    );
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    assert_eq!(directives.len(), 1, "{line}");
    let members: BTreeSet<&str> =
        directives[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(["Dimensions", "Metrics", "Namespace"]), "{line}");
    assert_eq!(directives[0]["Namespace"], NAMESPACE);
    let sets = directives[0]["Dimensions"].as_array().unwrap();
    assert!(!sets.is_empty(), "{line}");
    for set in sets {
        let keys = set.as_array().unwrap();
        assert!((1..=30).contains(&keys.len()), "{line}");
        for key in keys {
            let value =
                line[key.as_str().unwrap()].as_str().unwrap_or_else(|| panic!("{key} of {line}"));
            assert!(
                (1..=1024).contains(&value.len()) && value.is_ascii() && !value.trim().is_empty(),
                "{line}"
            );
        }
    }
    let metrics = directives[0]["Metrics"].as_array().unwrap();
    assert!((1..=100).contains(&metrics.len()), "{line}");
    let names: BTreeSet<&str> =
        metrics.iter().map(|metric| metric["Name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), metrics.len(), "each once: {line}");
    for metric in metrics {
        assert_eq!(metric.as_object().unwrap().len(), 2, "{line}");
        assert!(["Count", "Seconds"].iter().any(|unit| metric["Unit"] == *unit), "{line}");
        let name = metric["Name"].as_str().unwrap();
        assert!((1..=255).contains(&name.len()) && line[name].is_u64(), "{name} of {line}");
    }
    // Another level than INFO would be let through or not, and a time of its own would make Lambda
    // heed the level.
    assert_eq!(line["level"], "INFO");
    assert!(
        ["timestamp", "time", "@timestamp"].iter().all(|name| line.get(name).is_none()),
        "{line}"
    );
}

fn metrics_of_line(line: &Value) -> Vec<Metric> {
    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    let keys = directive["Dimensions"][0].as_array().unwrap();
    let dimension = |key: &Value| {
        let key = key.as_str().unwrap();
        (key.to_owned(), line[key].as_str().unwrap().to_owned())
    };
    let metrics = directive["Metrics"].as_array().unwrap();
    metrics.iter().map(|metric| Metric::new(&metric["Name"], keys.iter().map(dimension))).collect()
}

fn resources(of_type: &str) -> Vec<(String, Value)> {
    let template = Template::of_this_repository().unwrap();
    Resolver::new(&template, BTreeMap::from([("Stage".to_owned(), "local".to_owned())]))
        .resources(of_type)
}

/// The metrics that filters extract from other lines. A dimension whose value is a field of the
/// line may have any value.
fn of_filters() -> Vec<Metric> {
    let filters = resources("AWS::Logs::MetricFilter");
    let transformations =
        filters.iter().flat_map(|(_, filter)| filter["MetricTransformations"].as_array().unwrap());
    let metric = |transformation: &Value| {
        assert_eq!(transformation["MetricNamespace"], NAMESPACE);
        let dimensions = transformation["Dimensions"].as_array().into_iter().flatten();
        let any =
            |dimension: &Value| (dimension["Key"].as_str().unwrap().to_owned(), ANY.to_owned());
        Metric::new(&transformation["MetricName"], dimensions.map(any))
    };
    transformations.map(metric).collect()
}

fn of_alarms() -> Vec<Metric> {
    let alarms = resources("AWS::CloudWatch::Alarm");
    let metrics = alarms.iter().flat_map(|(_, alarm)| {
        let parts = alarm["Metrics"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|part| &part["MetricStat"]["Metric"]);
        parts.chain(std::iter::once(alarm))
    });
    let ours = metrics.filter(|metric| metric["Namespace"] == NAMESPACE);
    let metric = |metric: &Value| {
        let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Metric::new(
            &metric["MetricName"],
            dimensions.map(move |dimension| (text(&dimension["Name"]), text(&dimension["Value"]))),
        )
    };
    let found: Vec<Metric> = ours.map(metric).collect();
    assert!(found.len() > 20, "{found:?}");
    found
}

fn of_dashboard() -> Vec<Metric> {
    let template = Template::of_this_repository().unwrap();
    let body =
        &template.document()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"];
    let body: Value =
        serde_json::from_str(&body.as_str().unwrap().replace("${Stage}", "local")).unwrap();
    let widgets = body["widgets"].as_array().unwrap().iter();
    let rows =
        widgets.flat_map(|widget| widget["properties"]["metrics"].as_array().into_iter().flatten());
    let rows: Vec<&Vec<Value>> = rows.map(|row| row.as_array().unwrap()).collect();
    let named = rows.iter().filter(|row| row[0] == NAMESPACE).map(|row| {
        let texts: Vec<&str> = row[2..].iter().filter_map(Value::as_str).collect();
        let dimensions = texts.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned()));
        Metric::new(&row[1], dimensions)
    });
    let searched = rows.iter().filter_map(|row| row[0]["expression"].as_str()).map(searched);
    named.chain(searched).collect()
}

/// The metric of `SEARCH('{namespace,dimension,…} MetricName="name"', …)`.
fn searched(expression: &str) -> Metric {
    let (_, after) = expression.split_once('{').unwrap();
    let (schema, after) = after.split_once('}').unwrap();
    let (namespace, keys) = schema.split_once(',').unwrap();
    // Quoted, because not all of it is letters.
    assert_eq!(namespace, format!("\"{NAMESPACE}\""), "{expression}");
    let name = after.split('"').nth(1).unwrap();
    Metric::new(&json!(name), keys.split(',').map(|key| (key.to_owned(), ANY.to_owned())))
}
