//! What calls the functions: schedules, bus, queue, stream and Stripe's webhooks. Each delivers at
//! least once, and not always in time.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use time::UtcDateTime;
use tokio::sync::{Notify, mpsc};
use tollgate::domain::timestamp::Timestamp;
use tollgate::runtime::bus::BusEvent;
use tollgate_tests::api::ApiEvent;

use crate::clock::text_of;
use crate::dynamodb::CurrentReads;
use crate::functions::{ACCOUNTS, Functions, LEDGER};
use crate::network::{NetworkParts, SimulatedNetwork};
use crate::oracle::{PublishedEvent, check_event};
use crate::run::Sabotage;

const MINUTE: Duration = Duration::from_secs(60);
/// How long a message of the queue is hidden while it is worked on, as in the template.
const HIDDEN: Duration = Duration::from_secs(720);
/// How often a message of the queue is received before it is a dead letter, as in the template.
const RECEIVES_MAX: u32 = 5;
/// Messages of a batch of the queue, as in the template.
const BATCH: usize = 1;
/// Records of a batch of the stream, as in the template. All are of one cursor here.
const RECORDS: usize = 100;
/// For how long Lambda repeats a run of the hourly schedule that fails.
const HOURLY_REPEATED: Duration = Duration::from_secs(6 * 3_600);
/// How often a run of each minute is repeated at most, as in the template.
const MINUTE_ATTEMPTS_MAX: u32 = 3;
/// How often the bus delivers an event to a function that fails.
const ATTEMPTS_MAX: u32 = 12;

/// The cloud around the functions. Clones share it.
#[derive(Clone)]
pub struct SimulatedCloud(Rc<CloudParts>);

pub struct CloudParts {
    sabotage: Sabotage,
    pub network: SimulatedNetwork,
    pub functions: Functions,
    /// Accounts that may exist.
    pub accounts: Vec<String>,
    pub published: RefCell<Vec<PublishedEvent>>,
    /// Events that were on the bus before their rows, or with other figures.
    pub wrong_events: RefCell<Vec<String>>,
    /// Messages of the queue that were given up.
    pub dead_letters: RefCell<Vec<String>>,
    queue: RefCell<VecDeque<QueuedMessage>>,
    queued: Notify,
    /// Deliveries that are under way.
    busy: RefCell<usize>,
}

struct QueuedMessage {
    id: String,
    body: String,
    received: u32,
}

impl SimulatedCloud {
    #[must_use]
    pub fn new(
        network: SimulatedNetwork,
        functions: Functions,
        accounts: Vec<String>,
        sabotage: Sabotage,
    ) -> Self {
        Self(Rc::new(CloudParts {
            sabotage,
            network,
            functions,
            accounts,
            published: RefCell::default(),
            wrong_events: RefCell::default(),
            dead_letters: RefCell::default(),
            queue: RefCell::default(),
            queued: Notify::new(),
            busy: RefCell::default(),
        }))
    }

    #[must_use]
    pub fn parts(&self) -> &CloudParts {
        &self.0
    }

    fn net(&self) -> &NetworkParts {
        self.0.network.parts()
    }

    /// Starts everything that calls functions by itself.
    pub fn start(&self, events: mpsc::UnboundedReceiver<BusEvent>) {
        self.spawn(Self::minutes);
        self.spawn(Self::hours);
        self.spawn(Self::stream);
        self.spawn(Self::webhooks);
        self.spawn(Self::queue);
        let cloud = self.clone();
        tokio::task::spawn_local(async move { cloud.bus(events).await });
    }

    fn spawn<F: Future<Output = ()> + 'static>(&self, part: impl FnOnce(Self) -> F) {
        tokio::task::spawn_local(part(self.clone()));
    }

    /// Whether no delivery is under way or waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        *self.0.busy.borrow() == 0 && self.0.queue.borrow().is_empty()
    }

    /// The time that a trigger is delivered at.
    fn delivered(&self) -> Timestamp {
        Timestamp::from_seconds(self.net().clock.seconds()).expect("a time of this century")
    }

    /// `settle-due`, each minute. A minute in which nothing is due is skipped, as the run would find
    /// nothing.
    async fn minutes(self) {
        let clock = self.net().clock;
        let mut next = clock.now();
        let mut last_write = None;
        loop {
            next += MINUTE;
            clock.sleep_until(next).await;
            // Replicas and indexes are up to date after two minutes at most.
            let (before, now) =
                (last_write, self.0.network.with_database(|database| database.last_write()));
            last_write = Some(now);
            if let Some(before) = before {
                self.0.network.with_database(|database| database.forget_versions_before(before));
            }
            if !self.is_anything_due(next) || self.net().weather.misses("settle-due") {
                continue;
            }
            for delay in self.net().weather.deliveries("settle-due") {
                let cloud = self.clone();
                self.busily(async move {
                    tokio::time::sleep(Duration::from_secs(delay)).await;
                    for attempt in 0..MINUTE_ATTEMPTS_MAX {
                        tokio::time::sleep(MINUTE * attempt).await;
                        if cloud.net().weather.is_down("settle-due") {
                            continue;
                        }
                        let time = text_of(next);
                        let run = cloud.0.functions.minute(&time, cloud.delivered()).await;
                        cloud.log("settle-due", &run.clone().map(|()| String::new()));
                        if run.is_ok() {
                            return;
                        }
                    }
                });
            }
        }
    }

    fn is_anything_due(&self, now: UtcDateTime) -> bool {
        let due =
            |item: Value| item["due_at"]["N"].as_str().and_then(|due| due.parse::<i64>().ok());
        self.schedules().filter_map(due).any(|due| due <= now.unix_timestamp())
    }

    /// The items of the accounts that put them into the indexes.
    fn schedules(&self) -> impl Iterator<Item = Value> {
        self.0.accounts.iter().map(|account| {
            let key = json!({"pk": {"S": format!("account#{account}")}, "sk": {"S": "schedule"}});
            let get = json!({"TableName": ACCOUNTS, "Key": key, "ConsistentRead": true});
            let now = self.net().clock.now();
            let found = self
                .0
                .network
                .with_database(|database| database.call("GetItem", &get, now, &mut CurrentReads));
            found.body()["Item"].clone()
        })
    }

    async fn hours(self) {
        let clock = self.net().clock;
        let start = clock.now();
        let mut next = start - time::Duration::seconds(start.unix_timestamp().rem_euclid(3_600));
        loop {
            next += Duration::from_secs(3_600);
            clock.sleep_until(next).await;
            self.expire_items(next);
            // Without anything billable the workers would find nothing.
            let has_billable = self.schedules().any(|item| item["billable_shard"].is_object());
            if !has_billable || self.net().weather.misses("hourly-debit") {
                continue;
            }
            for delay in self.net().weather.deliveries("hourly-debit") {
                let cloud = self.clone();
                self.busily(async move {
                    tokio::time::sleep(Duration::from_secs(delay)).await;
                    let until = cloud.net().clock.now() + HOURLY_REPEATED;
                    let mut attempt: u64 = 0;
                    while cloud.net().clock.now() < until {
                        tokio::time::sleep(Duration::from_secs(30 * attempt.min(20))).await;
                        attempt += 1;
                        if cloud.net().weather.is_down("hourly-debit") {
                            continue;
                        }
                        let time = text_of(next);
                        let run = cloud.0.functions.hourly_start(&time, cloud.delivered()).await;
                        cloud.log("hourly-debit", &run.clone().map(|()| String::new()));
                        if run.is_ok() {
                            break;
                        }
                    }
                });
            }
        }
    }

    /// Removes what has expired, as DynamoDB does at some time within days.
    fn expire_items(&self, now: UtcDateTime) {
        if !self.net().weather.is_over() && self.net().chance.happens(300) {
            for table in [LEDGER, ACCOUNTS] {
                let removed =
                    self.0.network.with_database(|database| database.expire_items(table, now));
                if removed > 0 {
                    self.net().journal.reach(format!("expired items of {table}"));
                    self.net().written.notify_one();
                }
            }
        }
    }

    async fn bus(self, mut events: mpsc::UnboundedReceiver<BusEvent>) {
        let mut number = 0;
        while let Some(event) = events.recv().await {
            number += 1;
            let detail: Value = serde_json::from_str(&event.detail).expect("an event is JSON");
            match event.detail_type.as_str() {
                "HourlyDebitSlice" | "HourlyDebitAccount" => {
                    // A slice without accounts is left out: its worker would find nothing.
                    if event.detail_type == "HourlyDebitSlice" && !self.has_accounts(&detail) {
                        continue;
                    }
                    let deliveries = self.net().weather.deliveries("slice");
                    for (copy, delay) in deliveries.into_iter().enumerate() {
                        let body = json!({"detail-type": event.detail_type, "detail": detail});
                        let cloud = self.clone();
                        let id = format!("m-{number}-{copy}");
                        self.busily(async move {
                            tokio::time::sleep(Duration::from_secs(delay)).await;
                            cloud.enqueue(QueuedMessage {
                                id,
                                body: body.to_string(),
                                received: 0,
                            });
                        });
                    }
                    continue;
                }
                "RefillDue" => {}
                _ => {
                    let published =
                        PublishedEvent { name: event.detail_type.clone(), detail: detail.clone() };
                    let now = self.net().clock.now();
                    let checked = self
                        .0
                        .network
                        .with_database(|database| check_event(&published, database, now));
                    self.0.wrong_events.borrow_mut().extend(checked.err());
                    self.0.published.borrow_mut().push(published);
                }
            }
            if ["BalanceLow", "RefillDue"].contains(&event.detail_type.as_str()) {
                let account = detail["account"].as_str().unwrap_or_default().to_owned();
                for delay in self.net().weather.deliveries("event for auto-refill") {
                    let (cloud, account) = (self.clone(), account.clone());
                    self.busily(async move { cloud.deliver_refill(account, delay).await });
                }
            }
        }
    }

    async fn deliver_refill(&self, account: String, delay: u64) {
        // The event carries the time at which the bus took it.
        let time = self.net().clock.text();
        tokio::time::sleep(Duration::from_secs(delay)).await;
        for attempt in 0..ATTEMPTS_MAX {
            if !self.net().weather.is_down("auto-refill") {
                let run = self.0.functions.refill(&account, &time, self.delivered()).await;
                self.log(
                    &format!("auto-refill {account}"),
                    &run.clone().map(|steps| steps.join("; ")),
                );
                if run.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_secs(60 << attempt.min(6))).await;
        }
    }

    fn has_accounts(&self, slice: &Value) -> bool {
        let shard = slice["shard"].to_string();
        let query = json!({
            "TableName": ACCOUNTS,
            "IndexName": "billable",
            "KeyConditionExpression": "billable_shard = :shard",
            "ExpressionAttributeValues": {":shard": {"S": shard}},
            "Limit": 1,
        });
        let now = self.net().clock.now();
        let found = self
            .0
            .network
            .with_database(|database| database.call("Query", &query, now, &mut CurrentReads));
        found.body()["Items"].as_array().is_none_or(|items| !items.is_empty())
    }

    fn enqueue(&self, message: QueuedMessage) {
        self.0.queue.borrow_mut().push_back(message);
        self.0.queued.notify_one();
    }

    async fn queue(self) {
        loop {
            if self.0.queue.borrow().is_empty() {
                self.0.queued.notified().await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            let batch: Vec<QueuedMessage> = {
                let mut queue = self.0.queue.borrow_mut();
                let count = queue.len().min(BATCH);
                queue.drain(..count).collect()
            };
            let cloud = self.clone();
            self.busily(async move { cloud.work_on(batch).await });
        }
    }

    async fn work_on(&self, mut batch: Vec<QueuedMessage>) {
        for message in &mut batch {
            message.received += 1;
        }
        let messages: Vec<(String, String)> =
            batch.iter().map(|message| (message.id.clone(), message.body.clone())).collect();
        let run = if self.net().weather.is_down("hourly-debit") {
            Err("is down".to_owned())
        } else {
            self.0.functions.hourly_batch(&messages, self.delivered()).await
        };
        self.log("hourly-debit slices", &run.clone().map(|failed| format!("failed: {failed:?}")));
        let failed: BTreeSet<String> = match run {
            Ok(failed) => failed.into_iter().collect(),
            Err(_) => messages.into_iter().map(|(id, _)| id).collect(),
        };
        for message in batch.into_iter().filter(|message| failed.contains(&message.id)) {
            if message.received >= RECEIVES_MAX {
                self.net().journal.note(format!("dead letter: {}", message.body));
                self.0.dead_letters.borrow_mut().push(message.body);
                continue;
            }
            let cloud = self.clone();
            self.busily(async move {
                tokio::time::sleep(HIDDEN).await;
                cloud.enqueue(message);
            });
        }
    }

    /// The ledger's stream: in order, and again from the first record that failed.
    async fn stream(self) {
        let mut after: Option<String> = None;
        loop {
            self.net().written.notified().await;
            loop {
                tokio::time::sleep(Duration::from_millis(self.net().chance.number(50..900))).await;
                let mut records = self
                    .0
                    .network
                    .with_database(|database| database.stream_records(LEDGER, after.as_deref()));
                records.truncate(RECORDS);
                let Some(last) = records.last() else { break };
                let last = last["dynamodb"]["SequenceNumber"].as_str().map(str::to_owned);
                if self.net().weather.is_down("publish") {
                    tokio::time::sleep(MINUTE).await;
                    continue;
                }
                let run = self.0.functions.publish(&records).await;
                if run != Ok(None) {
                    self.log("publish", &run.clone().map(|failed| format!("failed: {failed:?}")));
                }
                match run {
                    Ok(None) => after = last,
                    Ok(Some(failed)) => {
                        let number = |record: &Value| {
                            record["dynamodb"]["SequenceNumber"].as_str().map(str::to_owned)
                        };
                        let done = records
                            .iter()
                            .take_while(|record| number(record).as_deref() != Some(&failed))
                            .last();
                        after = done.and_then(number).or(after);
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
                }
            }
        }
    }

    /// Stripe's webhooks. What is not answered with success is sent again by Stripe's own plan.
    async fn webhooks(self) {
        loop {
            let net = self.net();
            let due = net.stand_in.next_due();
            let wait = async {
                match due {
                    Some(due) => {
                        let ahead = u64::try_from(due - net.clock.seconds()).unwrap_or_default();
                        tokio::time::sleep(Duration::from_secs(ahead)).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::time::timeout(Duration::from_secs(86_400), async {
                let (changed, wait) =
                    (std::pin::pin!(net.charged.notified()), std::pin::pin!(wait));
                futures_util::future::select(changed, wait).await;
            })
            .await
            .unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(net.chance.number(1..500))).await;
            net.stand_in.settle(net.clock.seconds());
            for delivery in net.stand_in.due_deliveries(net.clock.seconds()) {
                for (copy, delay) in net.weather.deliveries("webhook").into_iter().enumerate() {
                    let (cloud, delivery) = (self.clone(), delivery.clone());
                    // Stripe signs when it sends, and a signature is valid for five minutes.
                    let delay = Duration::from_secs(delay.min(280))
                        + Duration::from_millis(net.chance.number(..3_000));
                    self.busily(async move {
                        tokio::time::sleep(delay).await;
                        let status = cloud.deliver_webhook(&delivery).await;
                        if copy == 0 {
                            cloud.net().stand_in.delivered(delivery.id, status);
                            cloud.net().charged.notify_one();
                        }
                    });
                }
            }
        }
    }

    async fn deliver_webhook(&self, delivery: &stripe_stand_in::Delivery) -> Option<u16> {
        if self.0.sabotage == Sabotage::WebhooksAreLost {
            return Some(200);
        }
        if self.net().weather.is_down("stripe-webhook") {
            return None;
        }
        let route = "POST /v1/stripe/webhook";
        let mut event = ApiEvent::by("stripe", route, &self.net().clock.text())
            .without_token()
            .body(&delivery.body);
        for (name, value) in &delivery.headers {
            event = event.header(name, value);
        }
        let answered = self.0.functions.api(route, &event).await;
        let shown = match &answered {
            Ok(answered) => format!("{} {}", answered.status, answered.body["outcome"]),
            Err(died) => format!("{died:?}"),
        };
        self.net()
            .journal
            .note(format!("webhook {} {}: {shown}", delivery.event_type, delivery.event));
        answered.ok().map(|answered| answered.status)
    }

    /// Runs a delivery beside the others.
    fn busily(&self, delivery: impl Future<Output = ()> + 'static) {
        *self.0.busy.borrow_mut() += 1;
        let parts = Rc::clone(&self.0);
        let delivery: Pin<Box<dyn Future<Output = ()>>> = Box::pin(delivery);
        tokio::task::spawn_local(async move {
            delivery.await;
            *parts.busy.borrow_mut() -= 1;
        });
    }

    fn log(&self, what: &str, run: &Result<String, String>) {
        match run {
            Ok(done) => self.net().journal.note(format!("{what}: {done}")),
            Err(error) => self.net().journal.note(format!("{what} failed: {error}")),
        }
    }
}
