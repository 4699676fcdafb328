//! A world: the cloud of the template with the functions' own binaries, and its users.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use stripe_stand_in::StripeStandIn;
use time::macros::utc_datetime;
use time::{Time, UtcDateTime};
use tollgate::store::IndexShard;
use tollgate_local::api::{ApiClient, ApiReply};
use tollgate_local::clock::Pace;
use tollgate_local::control::TokenRequest;
use tollgate_local::{Cloud, CloudConfig, format_time, seed};
use tollgate_tests::binaries;

/// The start of a test's clock by default: a full hour.
pub(crate) const START: UtcDateTime = utc_datetime!(2026-11-22 10:00);

/// A card that is never declined.
pub(crate) const GOOD_CARD: &str = "4242424242424242";

/// The scope of the operator's staff.
pub(crate) const ADMIN: &str = "tollgate/admin";

/// The scope of the platform that runs the machines.
pub(crate) const PLATFORM: &str = "tollgate/platform";

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The number of times that a client repeats a request without an answer.
pub(crate) const REPEATS_MAX: usize = 5;

/// The cloud, with the prices of the seed and a `gpu` for $4.00 an hour.
pub(crate) struct World {
    pub(crate) cloud: Cloud,
    pub(crate) api: ApiClient,
    pub(crate) operator: ApiClient,
}

/// A customer with an account.
pub(crate) struct Customer<'w> {
    pub(crate) world: &'w World,
    pub(crate) account: String,
    pub(crate) api: ApiClient,
}

/// How many processes a function may have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Processes {
    /// One process: calls come in the same order each time.
    One,
    /// Several, that race.
    Several,
}

pub(crate) fn config(processes: Processes, start: UtcDateTime) -> CloudConfig {
    let mut config = CloudConfig::of_this_repository(BTreeMap::new()).unwrap();
    config.binaries = binaries::of(&config);
    config.pace = Pace::Frozen;
    // While the clock stands still, no rate limit recovers.
    let limits = [
        ("ApiRateLimit", "10000"),
        ("ApiBurstLimit", "5000"),
        ("CheckoutRateLimit", "1000"),
        ("CheckoutBurstLimit", "1000"),
        ("PagesPerHour", "1000"),
        ("PagesPerDay", "1000"),
        ("NewAccountPagesPerHour", "100000"),
        ("StripeRequestsMax", "10000"),
    ];
    config.parameters.extend(limits.map(|(name, value)| (name.to_owned(), value.to_owned())));
    config.start = Some(start);
    if let Processes::One = processes {
        config.processes_max = 1;
    }
    config
}

impl World {
    /// Who issues the tokens of customers, as a value in a query.
    pub(crate) fn issuer(&self) -> String {
        let wiring = self.cloud.wiring();
        let api = wiring.api.as_ref().unwrap();
        let authorizer = &api.authorizers[api.default_authorizer.as_ref().unwrap()];
        tollgate::http::call::query_value(&authorizer.issuer)
    }

    pub(crate) async fn new(processes: Processes) -> World {
        World::from(START, processes).await
    }

    pub(crate) async fn from(start: UtcDateTime, processes: Processes) -> World {
        World::with(start, processes, &[]).await
    }

    /// The same with parameters of the template.
    pub(crate) async fn with(
        start: UtcDateTime,
        processes: Processes,
        parameters: &[(&str, &str)],
    ) -> World {
        let mut config = config(processes, start);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        config.parameters.extend(parameters.iter().map(owned));
        World::of(Cloud::start(config).await.unwrap()).await
    }

    /// In a cloud that was started.
    pub(crate) async fn of(cloud: Cloud) -> World {
        let api = ApiClient::new(&cloud.urls().api);
        let operator = api.with_token(token(&cloud, "operator", ADMIN));
        let world = World { cloud, api, operator };
        let mut prices = seed::prices();
        prices.push(json!({"sku": "gpu", "unit": "hour", "kind": "instance", "rate": "4.00"}));
        world.write(&world.operator, "PUT", "/v1/admin/prices", &json!({"prices": prices})).await;
        world
    }

    /// Staff offer a commit plan for 12 months.
    pub(crate) async fn offer_plans(&self, version: u64) {
        let year = json!({"id": "year", "months": 12, "price": "1200.00", "bonus_percent": 20});
        let offers = json!({"version": version, "offers": [year], "reason": "a test"});
        self.write(&self.operator, "PUT", "/v1/admin/commit-offers", &offers).await;
    }

    pub(crate) fn stripe(&self) -> &StripeStandIn {
        self.cloud.stripe().unwrap()
    }

    pub(crate) fn customer(&self, account: &str) -> Customer<'_> {
        let api = self.api.with_token(token(&self.cloud, account, ""));
        Customer { world: self, account: account.to_owned(), api }
    }

    /// Sends a request with one key, and repeats it until the function answers.
    pub(crate) async fn ask(
        &self,
        api: &ApiClient,
        method: &str,
        path: &str,
        body: &Value,
    ) -> ApiReply {
        let key = key();
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        for _ in 0..REPEATS_MAX {
            let answer = api.send(method, path, &headers, body.clone()).await.unwrap();
            if answer.status < 500 && answer.status != 429 {
                return answer;
            }
        }
        panic!("{method} {path} is not answered, however often it is repeated");
    }

    /// The same, and it must succeed.
    pub(crate) async fn write(
        &self,
        api: &ApiClient,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Value {
        let answer = self.ask(api, method, path, body).await;
        answer.success().unwrap_or_else(|error| panic!("{method} {path} {body}: {error}"))
    }

    pub(crate) async fn read(&self, api: &ApiClient, path: &str) -> Value {
        self.write(api, "GET", path, &Value::Null).await
    }

    /// Moves the clock to a time. Only the due work in between runs.
    pub(crate) async fn at(&self, when: UtcDateTime) {
        self.cloud.advance_to(when).await;
        assert_eq!(self.cloud.now(), when, "the clock never runs backwards");
    }

    /// The same on the day of [`START`], as `hh:mm:ss`.
    pub(crate) async fn at_time(&self, time: &str) {
        self.at(today(time)).await;
    }

    /// The resources of an account and their states, as the platform API lists them.
    pub(crate) async fn told_to_platform(&self, account: &str) -> Vec<String> {
        let platform = self.api.with_token(token(&self.cloud, "platform", PLATFORM));
        let told = self.read(&platform, &format!("/v1/platform/resources?account={account}")).await;
        let resources =
            told["items"][0]["resources"].as_array().unwrap_or_else(|| panic!("{told}")).iter();
        let shown = |resource: &Value| {
            format!("{} {}", resource["sku"], resource["state"]).replace('"', "")
        };
        resources.map(shown).collect()
    }

    pub(crate) async fn later(&self, by: Duration) {
        self.cloud.advance(by).await;
    }

    /// Gives the hourly run's function the slice that an account is in, once, as the queue does.
    pub(crate) async fn settle_slice(&self, account: &str, hour: UtcDateTime) -> ApiReply {
        self.settle_shard(IndexShard::of(&account.parse().unwrap()), hour).await
    }

    /// The same for the slice of a shard.
    pub(crate) async fn settle_shard(&self, shard: IndexShard, hour: UtcDateTime) -> ApiReply {
        let detail = json!({"time": format_time(hour), "shard": shard.number()});
        let event = json!({"detail-type": "HourlyDebitSlice", "detail": detail}).to_string();
        let batch = json!({"Records": [{"messageId": "m-1", "body": event}]});
        self.api.write("POST", "/local/functions/hourly-debit", &batch).await.unwrap()
    }

    /// Runs `settle-due` once, as its schedule does.
    pub(crate) async fn run_settle_due(&self) -> ApiReply {
        let trigger = json!({"time": format_time(self.cloud.now())});
        self.api.write("POST", "/local/functions/settle-due", &trigger).await.unwrap()
    }

    /// A fault, as `POST /local/faults` takes it.
    pub(crate) fn fault(&self, fault: Value) {
        self.cloud.faults(fault).unwrap();
    }

    pub(crate) fn no_faults(&self) {
        self.fault(json!({"clear": true}));
    }

    /// From now on only webhooks of this type are delivered. The others are repeated after five
    /// minutes.
    pub(crate) fn only_webhook(&self, event: &str) {
        // Of several faults the first that fits happens.
        self.fault(
            json!({"fault": "delay", "by": "0s", "delivery": "webhook", "name": event, "times": 0}),
        );
        self.fault(json!({"fault": "drop", "delivery": "webhook", "times": 0}));
    }

    /// From now on a schedule has no effect, so that hours pass quickly.
    pub(crate) fn without_schedule(&self, function: &str) {
        let schedules = &self.cloud.wiring().schedules;
        let binary = |name: &str| {
            let functions = &self.cloud.wiring().functions;
            functions
                .iter()
                .find(|function| function.name == name)
                .map(|function| function.binary.clone())
        };
        let of_function = schedules
            .iter()
            .find(|schedule| binary(schedule.target.name()).as_deref() == Some(function));
        let name = &of_function.unwrap().name;
        self.fault(json!({"fault": "drop", "delivery": "schedule", "name": name, "times": 0}));
    }
}

/// A time on the day of [`START`], as `hh:mm:ss`.
pub(crate) fn today(time: &str) -> UtcDateTime {
    let parts: Vec<u8> = time.split(':').map(|part| part.parse().unwrap()).collect();
    START.replace_time(Time::from_hms(parts[0], parts[1], parts[2]).unwrap())
}

/// A token for an account; no scope if it is empty.
pub(crate) fn token(cloud: &Cloud, account: &str, scope: &str) -> String {
    let scope = (!scope.is_empty()).then(|| scope.to_owned());
    cloud
        .token(&TokenRequest { account: account.to_owned(), scope, ..TokenRequest::default() })
        .unwrap()
}

/// A new idempotency key.
pub(crate) fn key() -> String {
    format!("{:032x}", fastrand::u128(..))
}

impl Customer<'_> {
    pub(crate) async fn write(&self, method: &str, path: &str, body: &Value) -> Value {
        self.world.write(&self.api, method, path, body).await
    }

    pub(crate) async fn read(&self, path: &str) -> Value {
        self.world.read(&self.api, path).await
    }

    /// Opens a payment page.
    pub(crate) async fn page(&self, wish: &Value) -> Value {
        self.write("POST", "/v1/checkout-sessions", wish).await
    }

    /// Pays at a page as a browser does. Nothing is waited for.
    pub(crate) async fn pay(&self, page: &Value, card: &str) {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let url = page["url"].as_str().unwrap();
        let answer = self.world.api.send("POST", url, &form, format!("card={card}")).await.unwrap();
        assert_eq!(answer.status, 303, "{card}: {}", String::from_utf8_lossy(&answer.body));
    }

    /// Adds credit from the operator, which is available at once.
    pub(crate) async fn bonus(&self, amount: &str) {
        // The first call opens the account.
        self.read("/v1/account").await;
        let bonus = json!({"amount": amount, "expires_at": "2027-01-01T00:00:00Z", "excludes": [], "reason": "a test"});
        let path = format!("/v1/admin/accounts/{}/bonus", self.account);
        self.world.write(&self.world.operator, "POST", &path, &bonus).await;
    }

    /// Adds credit, and waits until it is available.
    pub(crate) async fn top_up(&self, amount: &str) {
        let page = self.page(&json!({"amount": amount})).await;
        self.pay(&page, GOOD_CARD).await;
        self.world.cloud.idle().await;
    }

    /// Adds credit and agrees to refills.
    pub(crate) async fn top_up_with_refill(&self, amount: &str, threshold: &str, refill: &str) {
        let refill = json!({"enabled": true, "threshold": threshold, "amount": refill});
        let page = self.page(&json!({"amount": amount, "auto_refill": refill})).await;
        self.pay(&page, GOOD_CARD).await;
        self.world.cloud.idle().await;
    }

    /// Makes a project; its path.
    pub(crate) async fn project(&self) -> String {
        let project = self.write("POST", "/v1/projects", &json!({"name": "first"})).await;
        format!("/v1/projects/{}", project["id"].as_str().unwrap())
    }

    /// Starts a new resource; its path.
    pub(crate) async fn start(&self, project: &str, sku: &str) -> String {
        let wish = json!({"sku": sku, "name": "one", "start": true});
        let resource = self.write("POST", &format!("{project}/resources"), &wish).await;
        format!("{project}/resources/{}", resource["id"].as_str().unwrap())
    }

    pub(crate) async fn stop(&self, resource: &str) -> Value {
        self.write("POST", &format!("{resource}/stop"), &Value::Null).await
    }

    /// The balance that the Billing page shows.
    pub(crate) async fn balance(&self) -> String {
        self.read("/v1/balance").await["balance"].as_str().unwrap().to_owned()
    }

    /// The notices for the customer on the bus, in the order of the rows, each once.
    pub(crate) async fn notices(&self) -> Vec<(String, Value)> {
        let all = self.world.api.get("/local/events").await.unwrap().json();
        let events = all["events"].as_array().unwrap().iter().map(|kept| &kept["event"]);
        let is_ours = |event: &&Value| {
            event["detail"]["account"] == self.account && event["detail"]["notice"].is_object()
        };
        let by_row = |event: &Value| {
            let name = event["detail-type"].as_str().unwrap().to_owned();
            (
                (event["detail"]["seq"].as_u64().unwrap(), name.clone()),
                (name, event["detail"]["notice"].clone()),
            )
        };
        events.filter(is_ours).map(by_row).collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// The address of the Billing page.
    pub(crate) fn page_address(&self) -> String {
        let functions = &self.world.cloud.wiring().functions;
        functions.iter().find(|function| function.binary == "publish").unwrap().environment["BILLING_URL"].clone()
    }

    /// The rows of the ledger as they are stored.
    pub(crate) fn rows(&self) -> Vec<Value> {
        self.world.cloud.ledger(&self.account).unwrap()
    }

    /// Type, amount and balance of each row, in order.
    pub(crate) fn story(&self) -> Vec<String> {
        self.rows().iter().map(meaning).collect()
    }

    /// The types of its rows.
    pub(crate) fn types(&self) -> Vec<String> {
        self.rows().iter().map(|row| row["type"].as_str().unwrap().to_owned()).collect()
    }

    /// The payment at Stripe of the first row of a type.
    pub(crate) fn payment(&self, kind: &str) -> String {
        let row = self.rows().into_iter().find(|row| row["type"] == kind).unwrap();
        row["body"]["x"]["e"]["credited"]["payment"].as_str().unwrap().to_owned()
    }

    /// The same with the time of day of each.
    pub(crate) fn diary(&self) -> Vec<String> {
        let time = |row: &Value| {
            UtcDateTime::from_unix_timestamp(row["at"].as_i64().unwrap()).unwrap().time()
        };
        let entry = |row: &Value| {
            let (hour, minute, second) = time(row).as_hms();
            format!("{hour:02}:{minute:02}:{second:02} {}", meaning(row))
        };
        self.rows().iter().map(entry).collect()
    }
}

fn meaning(row: &Value) -> String {
    let text = |name: &str| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
    ["type", "amount", "balance"].map(text).join(" ")
}

/// The time of the processors that this process and its children have used so far, those that ended
/// included: Linux's `/proc/[pid]/stat`, in hundredths of a second.
pub(crate) fn processors() -> Option<Duration> {
    let own = std::process::id().to_string();
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc").ok()? {
        let Ok(stat) = std::fs::read_to_string(entry.ok()?.path().join("stat")) else { continue };
        // The program's name, in parentheses, may contain blanks.
        let (before, after) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = after.split(' ').collect();
        let process = before.split(' ').next()?;
        if process == own || fields.get(1).is_some_and(|parent| *parent == own) {
            let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
            ticks += number(11)? + number(12)?;
            if process == own {
                ticks += number(13)? + number(14)?;
            }
        }
    }
    Some(Duration::from_millis(ticks * 10))
}
