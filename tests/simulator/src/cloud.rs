//! What calls the functions: schedules, bus, queue, stream and Stripe's webhooks. Each delivers at
//! least once, and not always in time.

use std::cell::{Ref, RefCell};
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

use crate::captures::CaptureLog;
use crate::clock::{ClockOwner, text_of};
use crate::dynamodb::{CurrentReads, MemoryDynamoDb, WriteNumber};
use crate::functions::{ACCOUNTS, Functions, LEDGER};
use crate::network::{NetworkParts, SimulatedNetwork};
use crate::oracle::{PublishedEvent, check_event};
use crate::run::Sabotage;
use crate::usage::ReportedUsage;

const MINUTE: Duration = Duration::from_secs(60);
/// How long a message of the queue is hidden while it is worked on, as in the template.
const HIDDEN: Duration = Duration::from_secs(720);
/// How often a message of the queue is received before it is a dead letter, as in the template.
const RECEIVES_MAX: u32 = 5;
/// Messages of a batch of the queue, as in the template.
const BATCH: usize = 1;
/// Records of a batch of the stream, as in the template.
const RECORDS: usize = 100;
/// How many batches of the stream are worked on at once, each of other accounts, as in the template.
const LANES: usize = 10;
/// For how long Lambda keeps an event for a function that cannot be invoked, unless the template says
/// otherwise.
const EVENT_KEPT: Duration = Duration::from_secs(6 * 3_600);
/// The same for `settle-due`, as in the template.
const MINUTE_KEPT: Duration = Duration::from_secs(300);
/// How often Lambda runs a function that fails for an event: again after one minute and after two.
const ATTEMPTS_MAX: u32 = 3;

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
    /// The projects of all customers, with their accounts.
    pub projects: RefCell<Vec<(String, String)>>,
    /// Messages of the queue that were given up.
    pub dead_letters: RefCell<Vec<String>>,
    /// What the platform reported of metered usage.
    pub reported: RefCell<ReportedUsage>,
    /// What gateways captured of their holds.
    pub captured: RefCell<CaptureLog>,
    queue: RefCell<VecDeque<QueuedMessage>>,
    queued: Notify,
    schedules: RefCell<Option<ScheduleLook>>,
    /// The records of the stream that wait.
    lanes: Vec<StreamLane>,
    /// Deliveries that are under way.
    busy: RefCell<usize>,
}

/// What the schedule items of all accounts say after a write.
#[derive(Clone)]
struct ScheduleLook {
    last_write: WriteNumber,
    /// When each account is due that is due at some time.
    due: Vec<(String, i64)>,
    has_billable: bool,
}

impl ScheduleLook {
    fn at(database: &mut MemoryDynamoDb, accounts: &[String], now: UtcDateTime) -> Self {
        let mut look =
            Self { last_write: database.last_write(), due: Vec::new(), has_billable: false };
        for account in accounts {
            let key = json!({"pk": {"S": format!("account#{account}")}, "sk": {"S": "schedule"}});
            let get = json!({"TableName": ACCOUNTS, "Key": key, "ConsistentRead": true});
            let found = database.call("GetItem", &get, now, &mut CurrentReads).body();
            let item = &found["Item"];
            let due = item["due_at"]["N"].as_str().and_then(|due| due.parse().ok());
            look.due.extend(due.map(|due| (account.clone(), due)));
            look.has_billable |= item["billable_shard"].is_object();
        }
        look
    }
}

/// Records of the stream that are published in their order. Those of an account are in one lane.
#[derive(Default)]
struct StreamLane {
    records: RefCell<VecDeque<Value>>,
    filled: Notify,
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
        // With ten lanes each account has its own. With one, batches are of several accounts.
        let lanes = *network.parts().chance.pick(&[LANES, 1]);
        Self(Rc::new(CloudParts {
            sabotage,
            network,
            functions,
            accounts,
            published: RefCell::default(),
            projects: RefCell::default(),
            dead_letters: RefCell::default(),
            reported: RefCell::default(),
            captured: RefCell::default(),
            queue: RefCell::default(),
            queued: Notify::new(),
            schedules: RefCell::default(),
            lanes: (0..lanes).map(|_| StreamLane::default()).collect(),
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
        for lane in 0..self.0.lanes.len() {
            self.spawn(move |cloud| cloud.publish_lane(lane));
        }
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
        let is_published = self.0.lanes.iter().all(|lane| lane.records.borrow().is_empty());
        *self.0.busy.borrow() == 0 && self.0.queue.borrow().is_empty() && is_published
    }

    /// The time that a trigger is delivered at.
    fn delivered(&self) -> Timestamp {
        let seconds = self.net().clocks.seconds_at(ClockOwner::Machine);
        Timestamp::from_seconds(seconds).expect("a time of this century")
    }

    /// `settle-due`, each minute. A minute in which nothing is due is skipped, as the run would find
    /// nothing.
    async fn minutes(self) {
        let clock = self.net().clock;
        let mut next = clock.now();
        let mut last_write = None;
        loop {
            next += MINUTE;
            self.sleep_until_scheduled(next).await;
            // Replicas and indexes are up to date after two minutes at most.
            let (before, now) =
                (last_write, self.0.network.with_database(|database| database.last_write()));
            last_write = Some(now);
            if let Some(before) = before {
                self.0.network.with_database(|database| database.forget_versions_before(before));
            }
            if !self.is_anything_due(next) || self.misses("settle-due") {
                continue;
            }
            for delay in self.net().weather.deliveries("settle-due") {
                let cloud = self.clone();
                self.busily(async move {
                    tokio::time::sleep(Duration::from_secs(delay)).await;
                    let run = async || {
                        let run = cloud.0.functions.minute(&text_of(next), cloud.delivered()).await;
                        run.map(|()| String::new())
                    };
                    cloud.invoke_for_event("settle-due", MINUTE_KEPT, run).await;
                });
            }
        }
    }

    fn misses(&self, schedule: &str) -> bool {
        self.0.sabotage == Sabotage::SchedulesStop || self.net().weather.misses(schedule)
    }

    /// Until the scheduler's clock shows this time.
    async fn sleep_until_scheduled(&self, time: UtcDateTime) {
        let ahead = self.net().clocks.ahead(ClockOwner::Scheduler);
        self.net().clock.sleep_until(time - time::Duration::seconds(ahead)).await;
    }

    fn is_anything_due(&self, now: UtcDateTime) -> bool {
        self.schedules().due.iter().any(|(_, due)| *due <= now.unix_timestamp())
    }

    /// What the accounts put into the indexes, looked up again after each write.
    fn schedules(&self) -> Ref<'_, ScheduleLook> {
        let now = self.net().clock.now();
        let (network, accounts) = (&self.0.network, &self.0.accounts);
        let last_write = network.with_database(|database| database.last_write());
        let is_known = |look: &ScheduleLook| look.last_write == last_write;
        if !self.0.schedules.borrow().as_ref().is_some_and(is_known) {
            let look = network.with_database(|database| ScheduleLook::at(database, accounts, now));
            *self.0.schedules.borrow_mut() = Some(look);
        }
        Ref::map(self.0.schedules.borrow(), |look| look.as_ref().expect("it was just looked up"))
    }

    async fn hours(self) {
        let clock = self.net().clock;
        let start = clock.now();
        let mut next = start - time::Duration::seconds(start.unix_timestamp().rem_euclid(3_600));
        loop {
            next += Duration::from_secs(3_600);
            self.sleep_until_scheduled(next).await;
            self.expire_items(next);
            // Without anything billable the workers would find nothing.
            if !self.schedules().has_billable || self.misses("hourly-debit") {
                continue;
            }
            for delay in self.net().weather.deliveries("hourly-debit") {
                let cloud = self.clone();
                self.busily(async move {
                    tokio::time::sleep(Duration::from_secs(delay)).await;
                    let run = async || {
                        let time = text_of(next);
                        let run = cloud.0.functions.hourly_start(&time, cloud.delivered()).await;
                        run.map(|()| String::new())
                    };
                    cloud.invoke_for_event("hourly-debit", EVENT_KEPT, run).await;
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
                "RefillDue" | "DeletionUnconfirmed" => {}
                _ => {
                    let published =
                        PublishedEvent { name: event.detail_type.clone(), detail: detail.clone() };
                    let now = self.net().clock.now();
                    let checked = self
                        .0
                        .network
                        .with_database(|database| check_event(&published, database, now));
                    if let Err(rule) = checked {
                        self.net().journal.violate(rule);
                    }
                    self.0.published.borrow_mut().push(published);
                }
            }
            let account = detail["account"].as_str().unwrap_or_default();
            match event.detail_type.as_str() {
                "BalanceLow" | "RefillDue" => {
                    for delay in self.net().weather.deliveries("event for auto-refill") {
                        let (cloud, account) = (self.clone(), account.to_owned());
                        self.busily(async move { cloud.deliver_refill(account, delay).await });
                    }
                }
                "DeletionUnconfirmed" => {
                    for delay in self.net().weather.deliveries("event for confirm-deletion") {
                        let (cloud, account) = (self.clone(), account.to_owned());
                        self.busily(async move { cloud.deliver_deletion(account, delay).await });
                    }
                }
                _ => {}
            }
        }
    }

    async fn deliver_refill(&self, account: String, delay: u64) {
        // The event carries the time at which the bus took it.
        let time = self.net().clocks.text_at(ClockOwner::Bus);
        tokio::time::sleep(Duration::from_secs(delay)).await;
        let run = async || {
            let steps = self.0.functions.refill(&account, &time, self.delivered()).await;
            steps.map(|steps| format!("{account}: {}", steps.join("; ")))
        };
        self.invoke_for_event("auto-refill", EVENT_KEPT, run).await;
    }

    async fn deliver_deletion(&self, account: String, delay: u64) {
        let time = self.net().clocks.text_at(ClockOwner::Bus);
        tokio::time::sleep(Duration::from_secs(delay)).await;
        let run = async || {
            let functions = &self.0.functions;
            let done = functions.confirm_deletion(&account, &time, self.delivered()).await;
            done.map(|done| format!("{account}: {done}"))
        };
        self.invoke_for_event("confirm-deletion", EVENT_KEPT, run).await;
    }

    /// Runs a function as Lambda does for an event: later if it is down, and twice more if it fails.
    async fn invoke_for_event(
        &self,
        function: &'static str,
        kept: Duration,
        run: impl AsyncFn() -> Result<String, String>,
    ) {
        let until = self.net().clock.now() + kept;
        let (mut waits, mut failed) = (0, 0);
        while self.net().clock.now() < until && failed < ATTEMPTS_MAX {
            if self.net().weather.is_down(function) {
                waits += 1;
                tokio::time::sleep(Duration::from_secs(1 << waits.min(8))).await;
                continue;
            }
            let done = run().await;
            self.log(function, &done);
            if done.is_ok() {
                return;
            }
            let died = done.is_err_and(|died| ["Killed", "TimedOut"].contains(&died.as_str()));
            if died && function == "auto-refill" {
                self.net().weather.refill_died();
            }
            failed += 1;
            tokio::time::sleep(MINUTE * failed).await;
        }
        self.net().journal.reach(format!("event given up by {function}"));
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

    /// The ledger's stream, each record in the lane of its account.
    async fn stream(self) {
        let mut after: Option<String> = None;
        loop {
            self.net().written.notified().await;
            let network = &self.0.network;
            let records =
                network.with_database(|database| database.stream_records(LEDGER, after.as_deref()));
            for record in records {
                after = number_of(&record);
                let account = record["dynamodb"]["Keys"]["account"]["S"].as_str();
                let account = account.unwrap_or_default().bytes();
                let place = account.fold(0, |sum, byte| sum + usize::from(byte));
                let lane = &self.0.lanes[place % self.0.lanes.len()];
                lane.records.borrow_mut().push_back(record);
                lane.filled.notify_one();
            }
        }
    }

    /// Publishes a lane in order, and again from the first record that failed.
    async fn publish_lane(self, lane: usize) {
        let lane = &self.0.lanes[lane];
        loop {
            if lane.records.borrow().is_empty() {
                lane.filled.notified().await;
                continue;
            }
            tokio::time::sleep(Duration::from_millis(self.net().chance.number(50..900))).await;
            if self.net().weather.is_down("publish") {
                tokio::time::sleep(MINUTE).await;
                continue;
            }
            let batch: Vec<Value> = lane.records.borrow().iter().take(RECORDS).cloned().collect();
            let run = self.0.functions.publish(&batch).await;
            if run != Ok(None) {
                self.log("publish", &run.clone().map(|failed| format!("failed: {failed:?}")));
            }
            let is_before =
                |record: &&Value, failed: &String| number_of(record) != Some(failed.clone());
            let published = match &run {
                Ok(None) => batch.len(),
                Ok(Some(failed)) => {
                    batch.iter().take_while(|record| is_before(record, failed)).count()
                }
                Err(_) => 0,
            };
            lane.records.borrow_mut().drain(..published);
            if run != Ok(None) {
                tokio::time::sleep(Duration::from_secs(1)).await;
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
                        let now = net.clocks.seconds_at(ClockOwner::Stripe);
                        let ahead = u64::try_from(due - now).unwrap_or_default();
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
            let now = net.clocks.seconds_at(ClockOwner::Stripe);
            net.stand_in.settle(now);
            for delivery in net.stand_in.due_deliveries(now) {
                for (copy, delay) in net.weather.deliveries("webhook").into_iter().enumerate() {
                    let (cloud, delivery) = (self.clone(), delivery.clone());
                    // Stripe signs when it sends, and a signature is valid for five minutes.
                    let delay = Duration::from_secs(delay.min(240))
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
        let mut event =
            ApiEvent::by("stripe", route, &self.net().clocks.text_at(ClockOwner::Gateway))
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

/// The sequence number of a record of the stream.
fn number_of(record: &Value) -> Option<String> {
    record["dynamodb"]["SequenceNumber"].as_str().map(str::to_owned)
}
