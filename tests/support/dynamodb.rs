//! A DynamoDB for tests, with the tables of the template.
//!
//! The engine is `dynoxide-rs` in this process, in memory, on a loopback port that the system
//! chooses. It performs DynamoDB's checks, but never returns a transaction conflict, throttling or
//! an eventually consistent read. [`crate::faults`] injects the first two below the SDK.
//!
//! With `AWS_ENDPOINT_URL_DYNAMODB` in the environment every test uses that endpoint instead, with
//! region and credentials from the environment too.

use std::collections::BTreeMap;
use std::env;
use std::iter::repeat_with;
use std::thread;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder as CreateTable;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, GlobalSecondaryIndex, IndexStatus, KeySchemaElement, Projection,
    StreamSpecification, TableStatus, TimeToLiveSpecification,
};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::faults::Faults;
use crate::template::TestTemplate;

/// How long an embedded server waits for the requests it is answering when it is dropped.
const SHUTDOWN_SECONDS: u64 = 1;

/// How long a new table may take to become active. On AWS it takes a few seconds.
const ACTIVE_SECONDS: u64 = 60;

/// A running DynamoDB. Dropping it ends the embedded engine and everything in it.
#[derive(Debug)]
pub struct DynamoDb {
    endpoint: Endpoint,
    /// `None` if the endpoint comes from the environment.
    _embedded: Option<Embedded>,
}

impl DynamoDb {
    /// The endpoint that `AWS_ENDPOINT_URL_DYNAMODB` names, or else a new embedded engine. One for
    /// each test: it takes about a millisecond, and tests then share nothing.
    #[must_use]
    pub fn start() -> Self {
        match Endpoint::of_the_environment() {
            Some(endpoint) => Self { endpoint, _embedded: None },
            None => Self::embedded(),
        }
    }

    /// A new embedded engine, regardless of the environment.
    #[must_use]
    pub fn embedded() -> Self {
        let (server, url) = Embedded::start();
        Self { endpoint: Endpoint::with_dummy_credentials(url), _embedded: Some(server) }
    }

    /// The address, for `AWS_ENDPOINT_URL_DYNAMODB` of other programs.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// A client that nothing happens to, without retries: for preparing and for looking afterwards.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_through(&Faults::none(), Attempts::ONE)
    }

    /// A client whose calls pass through `faults`, with the given number of SDK attempts.
    #[must_use]
    pub fn client_through(&self, faults: &Faults, attempts: Attempts) -> Client {
        Client::from_conf(self.config(faults, attempts).build())
    }

    /// The same with the time-outs and the SDK attempts of a deployed function.
    #[must_use]
    pub fn client_as_deployed(&self, faults: &Faults) -> Client {
        let config = self.config(faults, Attempts::at_most(3));
        Client::from_conf(config.timeout_config(tollgate::runtime::aws::timeouts()).build())
    }

    fn config(&self, faults: &Faults, attempts: Attempts) -> aws_sdk_dynamodb::config::Builder {
        let retries = if attempts == Attempts::ONE {
            RetryConfig::disabled()
        } else {
            RetryConfig::standard()
                .with_max_attempts(attempts.0)
                .with_initial_backoff(Duration::from_millis(1))
                .with_max_backoff(Duration::from_millis(10))
        };
        aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint.url)
            .region(Region::new(self.endpoint.region.clone()))
            .credentials_provider(self.endpoint.credentials.clone())
            .http_client(SharedHttpClient::new(faults.clone()))
            .retry_config(retries)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
    }
}

/// How often the SDK may send one call, the first time included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attempts(u32);

impl Attempts {
    /// No retries: the caller sees every fault.
    pub const ONE: Self = Self(1);

    /// At most `attempts`; zero is one.
    #[must_use]
    pub const fn at_most(attempts: u32) -> Self {
        if attempts == 0 { Self::ONE } else { Self(attempts) }
    }
}

#[derive(Clone, Debug)]
struct Endpoint {
    url: String,
    region: String,
    credentials: Credentials,
}

impl Endpoint {
    fn of_the_environment() -> Option<Self> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let url = variable("AWS_ENDPOINT_URL_DYNAMODB")?;
        assert!(
            url.starts_with("http://"),
            "AWS_ENDPOINT_URL_DYNAMODB is {url}: these tests speak plain HTTP only"
        );
        let mut endpoint = Self::with_dummy_credentials(url);
        if let Some(region) = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")) {
            endpoint.region = region;
        }
        if let (Some(id), Some(secret)) =
            (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"))
        {
            let token = variable("AWS_SESSION_TOKEN");
            endpoint.credentials = Credentials::new(id, secret, token, None, "environment");
        }
        Some(endpoint)
    }

    fn with_dummy_credentials(url: String) -> Self {
        let credentials = Credentials::new("test", "test", None, None, "dummy");
        Self { url, region: "us-east-1".to_owned(), credentials }
    }
}

/// The engine's server in a thread of its own, so that neither a test that blocks nor one with a
/// paused clock stops it.
#[derive(Debug)]
struct Embedded {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Embedded {
    fn start() -> (Self, String) {
        // Bound here, so that the first connection waits in the backlog instead of being refused.
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("the address of the listener");
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("dynamodb".to_owned())
            .spawn(move || serve(listener, stopped))
            .expect("a thread for the embedded DynamoDB");
        (Self { stop: Some(stop), thread: Some(thread) }, format!("http://{address}"))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the embedded DynamoDB panicked");
        }
    }
}

fn serve(listener: std::net::TcpListener, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the embedded DynamoDB");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let database = tollgate_local::engine::in_memory().expect("a database in memory");
        let (asked, mut was_asked) = oneshot::channel::<()>();
        let server = dynoxide::server::serve_with_shutdown(listener, database, async {
            let _dropped = stopped.await;
            drop(asked);
        });
        let overdue = async {
            let _dropped = (&mut was_asked).await;
            tokio::time::sleep(Duration::from_secs(SHUTDOWN_SECONDS)).await;
        };
        tokio::select! {
            served = server => served.expect("the embedded DynamoDB serves"),
            () = overdue => {}
        }
    });
}

/// The tables of a template, under names that no other test uses.
#[derive(Clone, Debug)]
pub struct Tables {
    names: BTreeMap<String, String>,
}

impl Tables {
    /// Creates every table of `template` and waits until they and their indexes are active.
    ///
    /// The template's `Stage` is a random word, so the names differ from those of every other test.
    /// Properties that protect a deployed table and have no effect in a test are left out: point in
    /// time recovery, encryption, deletion protection, tags. An unknown property is an error, so
    /// that no table of a test silently differs from the deployed one.
    pub async fn create(client: &Client, template: &TestTemplate) -> Self {
        let stage: String =
            repeat_with(fastrand::alphanumeric).take(15).collect::<String>().to_lowercase();
        let stage = format!("t{stage}");
        let tables = template
            .resources("AWS::DynamoDB::Table", &BTreeMap::from([("Stage", stage.as_str())]));
        let mut names = BTreeMap::new();
        for (logical_id, properties) in tables {
            let name = text(&properties["TableName"]);
            create_table(client, &name, &properties).await;
            names.insert(logical_id, name);
        }
        Self { names }
    }

    /// The name of the append-only table.
    #[must_use]
    pub fn ledger(&self) -> &str {
        self.named("LedgerTable")
    }

    /// The name of the table of everything that changes.
    #[must_use]
    pub fn accounts(&self) -> &str {
        self.named("AccountsTable")
    }

    /// The name of the table with this logical id in the template.
    #[must_use]
    pub fn named(&self, logical_id: &str) -> &str {
        self.names
            .get(logical_id)
            .unwrap_or_else(|| panic!("the template has no table {logical_id}"))
    }

    /// Deletes the tables: only worth its time on an endpoint that outlives the test.
    pub async fn delete(self, client: &Client) {
        for name in self.names.values() {
            client.delete_table().table_name(name).send().await.expect("a table is deleted");
        }
    }
}

async fn create_table(client: &Client, name: &str, properties: &Value) {
    let mut table = client.create_table().table_name(name);
    let mut time_to_live = None;
    for (property, value) in properties.as_object().expect("a table has properties") {
        table = match property.as_str() {
            "BillingMode" => table.billing_mode(text(value).as_str().into()),
            "AttributeDefinitions" => {
                list(value, attribute_definition).fold(table, CreateTable::attribute_definitions)
            }
            "KeySchema" => list(value, key_schema_element).fold(table, CreateTable::key_schema),
            "GlobalSecondaryIndexes" => {
                list(value, index).fold(table, CreateTable::global_secondary_indexes)
            }
            "StreamSpecification" => table.stream_specification(stream(value)),
            "TimeToLiveSpecification" => {
                time_to_live = Some(text(&value["AttributeName"]));
                table
            }
            "TableName"
            | "DeletionProtectionEnabled"
            | "PointInTimeRecoverySpecification"
            | "ResourcePolicy"
            | "SSESpecification"
            | "Tags" => table,
            unknown => panic!("table {name} has the property {unknown}, which tests do not know"),
        };
    }
    table.send().await.unwrap_or_else(|error| panic!("table {name} is not created: {error:?}"));
    wait_until_active(client, name).await;
    if let Some(attribute) = time_to_live {
        expire_by(client, name, attribute).await;
    }
}

async fn wait_until_active(client: &Client, name: &str) {
    let active = async {
        while !is_active(client, name).await {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(ACTIVE_SECONDS), active)
        .await
        .unwrap_or_else(|_| panic!("table {name} is not active after {ACTIVE_SECONDS} seconds"));
}

async fn is_active(client: &Client, name: &str) -> bool {
    let answer = client.describe_table().table_name(name).send().await.expect("a description");
    let table = answer.table().expect("a description has its table");
    table.table_status() == Some(&TableStatus::Active)
        && table
            .global_secondary_indexes()
            .iter()
            .all(|index| index.index_status() == Some(&IndexStatus::Active))
}

async fn expire_by(client: &Client, name: &str, attribute: String) {
    let specification = TimeToLiveSpecification::builder()
        .attribute_name(attribute)
        .enabled(true)
        .build()
        .expect("a time to live has attribute and switch");
    client
        .update_time_to_live()
        .table_name(name)
        .time_to_live_specification(specification)
        .send()
        .await
        .expect("time to live is switched on");
}

fn attribute_definition(value: &Value) -> AttributeDefinition {
    AttributeDefinition::builder()
        .attribute_name(text(&value["AttributeName"]))
        .attribute_type(text(&value["AttributeType"]).as_str().into())
        .build()
        .expect("an attribute has name and type")
}

fn key_schema_element(value: &Value) -> KeySchemaElement {
    KeySchemaElement::builder()
        .attribute_name(text(&value["AttributeName"]))
        .key_type(text(&value["KeyType"]).as_str().into())
        .build()
        .expect("a key has name and type")
}

fn index(value: &Value) -> GlobalSecondaryIndex {
    let projection = Projection::builder()
        .projection_type(text(&value["Projection"]["ProjectionType"]).as_str().into())
        .build();
    GlobalSecondaryIndex::builder()
        .index_name(text(&value["IndexName"]))
        .set_key_schema(Some(list(&value["KeySchema"], key_schema_element).collect()))
        .projection(projection)
        .build()
        .expect("an index has name and keys")
}

fn stream(value: &Value) -> StreamSpecification {
    StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(text(&value["StreamViewType"]).as_str().into())
        .build()
        .expect("a stream has its switch")
}

fn list<'a, T>(value: &'a Value, item: impl Fn(&Value) -> T + 'a) -> impl Iterator<Item = T> + 'a {
    value.as_array().expect("a list").iter().map(item)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text")).to_owned()
}
