//! A local cloud, started and stopped from a program.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use stripe_stand_in::{StandInConfig, StripeStandIn};
use time::UtcDateTime;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::aws::asynchronous::AsynchronousInvoker;
use crate::aws::dynamodb::DynamoDb;
use crate::aws::events::{Events, KeptEvent};
use crate::aws::gateway::Gateway;
use crate::aws::lambda::{Lambda, Setup};
use crate::aws::queues::Queues;
use crate::aws::scheduler::Scheduler;
use crate::aws::secrets::Secrets;
use crate::aws::services::{NOBODY, Services};
use crate::aws::skips::Skips;
use crate::aws::streams::{Readers, Streams};
use crate::aws::targets::Targets;
use crate::aws::tokens::Keys;
use crate::control::job::Job;
use crate::control::routes::{self, TokenRequest};
use crate::control::stripe::{self, Stripe};
use crate::control::world::{Kept, World};
use crate::runtime::agenda::{Activity, Agenda, Work};
use crate::runtime::calls::{Recorded, RecordedCall, RecordedRun};
use crate::runtime::clock::{self, Clock, Pace};
use crate::runtime::common::Common;
use crate::runtime::faults::LocalFault;
use crate::runtime::http::{self, Client};
use crate::runtime::log::{Line, Log, Sink};
use crate::runtime::names;
use crate::runtime::store::Store;
use crate::template::document::{Template, TemplateError};
use crate::template::resolve::Resolver;
use crate::template::wiring::{Function, Wiring};

/// How many processes a function without reserved concurrency may have.
const PROCESSES_MAX: usize = 4;

/// How long the parts get to end.
const STOP_MAX: Duration = Duration::from_secs(2);

/// The variable by which functions find Stripe.
const STRIPE_VARIABLE: &str = "STRIPE_API_BASE";

/// The configuration of a local cloud.
#[derive(Clone)]
pub struct CloudConfig {
    pub template: Template,
    /// Values of the template's parameters, with `{api}` for the address of the API. Missing ones
    /// have their defaults.
    pub parameters: BTreeMap<String, String>,
    /// Variables for every function. Those of the template win.
    pub environment: BTreeMap<String, String>,
    /// Where the binary of each function is, by its name.
    pub binaries: BTreeMap<String, PathBuf>,
    /// Where the state is kept; None keeps nothing.
    pub state: Option<PathBuf>,
    /// The port of the API; 0 is any.
    pub port: u16,
    /// The port of Stripe's pages; 0 is any.
    pub stripe_port: u16,
    /// How the clock moves.
    pub pace: Pace,
    /// Where a new clock begins; None is the time of day.
    pub start: Option<UtcDateTime>,
    /// How many processes a function without reserved concurrency may have.
    pub processes_max: usize,
    /// Run every occurrence of a schedule, even with nothing due in its index.
    pub every_minute: bool,
    /// Which Stripe there is.
    pub stripe: WhichStripe,
    /// Takes each line that functions print. It is kept too.
    pub log: Option<Sink>,
}

/// Which Stripe functions find.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhichStripe {
    /// The stand-in, with webhooks.
    StandIn,
    /// Stripe itself, with the key in the environment.
    Real,
}

/// Why a local cloud does not start.
#[derive(Debug, thiserror::Error)]
pub enum CloudStartError {
    /// The template has something that is not understood.
    #[error("the template cannot be used: {0}")]
    Template(#[from] TemplateError),
    /// Another program has the port.
    #[error("port {0} is in use")]
    PortInUse(u16),
    /// Another local cloud has the state.
    #[error("another local cloud is using {0}")]
    StateInUse(PathBuf),
    /// A function has no binary.
    #[error("there is no binary {0}")]
    NoBinary(String),
    /// Anything else about this machine.
    #[error("{0}")]
    Other(String),
}

/// A running local cloud. It stops when this is dropped, and its functions' processes with it.
///
/// It has threads of its own: neither a test that blocks nor one with a paused clock stops it.
#[derive(Debug)]
pub struct Cloud {
    world: Arc<World>,
    runtime: Option<Runtime>,
    urls: Urls,
}

/// Where the parts of a local cloud are.
#[derive(Clone, Debug)]
pub struct Urls {
    /// The HTTP API, and `/local/…`.
    pub api: String,
    /// DynamoDB, for `AWS_ENDPOINT_URL_DYNAMODB`.
    pub dynamodb: String,
    pub events: String,
    pub sqs: String,
    pub secrets: String,
    pub lambda: String,
    /// Stripe's API and pages, if the stand-in is used.
    pub stripe: Option<String>,
}

impl CloudConfig {
    /// A cloud that keeps nothing, on ports that the system chooses, with a running clock.
    #[must_use]
    pub fn new(template: Template, binaries: BTreeMap<String, PathBuf>) -> Self {
        Self {
            template,
            parameters: BTreeMap::new(),
            environment: BTreeMap::new(),
            binaries,
            state: None,
            port: 0,
            stripe_port: 0,
            pace: Pace::Running,
            start: None,
            processes_max: PROCESSES_MAX,
            every_minute: false,
            stripe: WhichStripe::StandIn,
            log: None,
        }
    }

    /// This repository's template, deployed here: the issuer of tokens is the local cloud's, and
    /// the page the API's own.
    ///
    /// # Errors
    ///
    /// If the template cannot be read.
    pub fn of_this_repository(binaries: BTreeMap<String, PathBuf>) -> Result<Self, TemplateError> {
        let parameters = [
            ("Stage", "local"),
            ("TokenIssuer", "{api}/local"),
            ("SignIn", "local"),
            ("StaffClients", names::STAFF_CLIENT),
            ("PlatformClients", names::PLATFORM_CLIENT),
            ("BillingUrl", "{api}/"),
            ("OperatorContact", "ops@example.test"),
            ("StripeSecretArn", &names::stripe_secret()),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Self {
            parameters: parameters.into(),
            ..Self::new(Template::of_this_repository()?, binaries)
        })
    }

    /// The functions of the template. They have to be built before the cloud can start.
    ///
    /// # Errors
    ///
    /// If the template is not understood.
    pub fn functions(&self) -> Result<Vec<Function>, TemplateError> {
        let resolver = Resolver::new(&self.template, self.parameters.clone());
        Ok(Wiring::read(
            &resolver.at(names::DEPLOYED_QUEUES.to_owned(), "http://127.0.0.1".to_owned()),
        )?
        .functions)
    }
}

impl fmt::Debug for CloudConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CloudConfig")
            .field("parameters", &self.parameters)
            .field("binaries", &self.binaries)
            .field("state", &self.state)
            .field("port", &self.port)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

impl Cloud {
    /// Starts a local cloud. It is ready when this returns.
    ///
    /// # Errors
    ///
    /// [`CloudStartError`], as text for the user.
    pub async fn start(config: CloudConfig) -> Result<Self, CloudStartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .thread_name("cloud")
            .enable_all()
            .build()
            .map_err(|error| CloudStartError::Other(error.to_string()))?;
        let started = runtime
            .spawn(build(config))
            .await
            .map_err(|error| CloudStartError::Other(error.to_string()));
        match started.flatten() {
            Ok((world, urls)) => Ok(Self { world, runtime: Some(runtime), urls }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Where its parts are.
    #[must_use]
    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    /// The wiring of the template.
    #[must_use]
    pub fn wiring(&self) -> &Wiring {
        &self.world.wiring
    }

    /// The Stripe stand-in, to decline cards and decide disputes.
    #[must_use]
    pub fn stripe(&self) -> Option<&StripeStandIn> {
        self.world.stripe.as_ref().map(|stripe| &stripe.stand_in)
    }

    #[must_use]
    pub fn now(&self) -> UtcDateTime {
        self.world.common.clock.now()
    }

    /// Moves the clock to a time, or not at all if it is past, running everything on the way, and
    /// waits until all is idle. Returns the invocations.
    pub async fn advance_to(&self, to: UtcDateTime) -> Vec<RecordedRun> {
        let world = Arc::clone(&self.world);
        self.inside(async move { world.advance(to).await }).await.unwrap_or_default()
    }

    /// Moves the clock by a length of time; see [`Cloud::advance_to`].
    pub async fn advance(&self, by: Duration) -> Vec<RecordedRun> {
        self.advance_to(self.now() + by).await
    }

    /// Waits until nothing is being done and nothing is due.
    pub async fn idle(&self) {
        self.advance(Duration::ZERO).await;
    }

    /// From now on every occurrence of a schedule runs, even with nothing due.
    pub fn run_every_minute(&self) {
        self.world.scheduler.skips.off();
    }

    /// From now on a run of a schedule is skipped that would find nothing due in its index.
    pub fn skip_idle_runs(&self) {
        self.world.scheduler.skips.on();
    }

    /// How many runs of schedules were skipped.
    #[must_use]
    pub fn skipped_runs(&self) -> u64 {
        self.world.scheduler.skips.count()
    }

    /// A token for the API.
    ///
    /// # Errors
    ///
    /// If the request names no account, as text.
    pub fn token(&self, request: &TokenRequest) -> Result<String, String> {
        routes::token(&self.world, request)
    }

    /// Sets a fault.
    ///
    /// # Errors
    ///
    /// If the fault is impossible, as text.
    pub fn fault(&self, fault: LocalFault) -> Result<(), String> {
        self.world.common.faults.set(fault)
    }

    /// As `POST /local/faults`: a fault in JSON, or `clear`, `kill`, `redeliver`.
    ///
    /// # Errors
    ///
    /// If the request is none of these, as text.
    pub fn faults(&self, request: Value) -> Result<Value, String> {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        routes::faults(&self.world, request)
    }

    /// Replaces the content of Stripe's secret, as an operator does in Secrets Manager.
    pub fn put_stripe_secret(&self, key: &str, webhook_secrets: &[&str]) {
        self.world.secrets.put(&names::stripe_secret(), &stripe::secret_text(key, webhook_secrets));
    }

    /// All events on a bus so far.
    #[must_use]
    pub fn events(&self) -> Vec<KeptEvent> {
        self.world.events.kept()
    }

    /// Messages in dead-letter queues: `{"count", "queues": {…}}`.
    #[must_use]
    pub fn dead_letters(&self) -> Value {
        routes::dead_letters_of(&self.world)
    }

    /// The rows of an account.
    ///
    /// # Errors
    ///
    /// If the template has no ledger, as text.
    pub fn ledger(&self, account: &str) -> Result<Vec<Value>, String> {
        routes::ledger_of(&self.world, account)
    }

    /// How many calls functions have made.
    #[must_use]
    pub fn calls_count(&self) -> u64 {
        self.world.calls.count()
    }

    /// The calls of functions after the first `after`.
    #[must_use]
    pub fn calls(&self, after: u64) -> Vec<RecordedCall> {
        self.world.calls.since(after)
    }

    /// The invocations after the first `after`.
    #[must_use]
    pub fn runs(&self, after: u64) -> Vec<RecordedRun> {
        self.world.runs.since(after)
    }

    /// The lines that functions printed.
    #[must_use]
    pub fn log(&self) -> Vec<Line> {
        self.world.common.log.kept()
    }

    async fn inside<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.runtime.as_ref()?.spawn(work).await.ok()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // Jobs that are being done are kept: the next run does them again.
        if let Err(error) = self.world.common.clock.stop() {
            self.world.common.log.note(&format!("the clock cannot be kept: {error}"));
        }
        self.world.keep();
        self.world.lambda.stop();
        if let Some(runtime) = self.runtime.take() {
            // A runtime may not be dropped where a task may be running, which this may be.
            let _panicked = std::thread::spawn(move || runtime.shutdown_timeout(STOP_MAX)).join();
        }
    }
}

async fn build(config: CloudConfig) -> Result<(Arc<World>, Urls), CloudStartError> {
    let state = config.state.as_deref();
    let store = Store::open(state).map_err(|error| state_error(state, &error))?;
    let kept: Kept = store.read().map_err(|error| state_error(state, &error))?;
    let clock = Clock::open(state, config.pace, config.start)
        .map(Arc::new)
        .map_err(|error| state_error(state, &error))?;

    // Time begins when everything answers: nothing falls due before.
    clock.hold();

    let (api_listener, api_url) = listen(config.port).await?;
    let (services_listener, services_url) = listen(0).await?;
    let stripe_listener = match config.stripe {
        WhichStripe::StandIn => Some(listen(config.stripe_port).await?),
        WhichStripe::Real => None,
    };
    let stripe_url = stripe_listener.as_ref().map(|(_, url)| url.clone());
    let service = |name: &str| format!("{services_url}/{NOBODY}/{name}");
    let urls = Urls {
        api: api_url,
        dynamodb: service("dynamodb"),
        events: service("events"),
        sqs: service("sqs"),
        secrets: service("secretsmanager"),
        lambda: service("lambda"),
        stripe: stripe_url,
    };
    let stand_in =
        urls.stripe.as_ref().map(|url| stand_in(url, &kept.stripe, &clock)).transpose()?;
    let keys = Keys::open(state).map_err(CloudStartError::Other)?;
    let (world, services) =
        assemble(config, store, clock, keys, stand_in, &urls, &services_url).await?;
    world.resume(kept);

    tokio::spawn(http::serve(services_listener, services.router()));
    tokio::spawn(http::serve(api_listener, routes::router(&world)));
    if let (Some((listener, _)), Some(stripe)) = (stripe_listener, &world.stripe) {
        tokio::spawn(http::serve(listener, stripe.router()));
    }
    world.common.clock.release();
    let running = Arc::clone(&world);
    tokio::spawn(async move { running.run().await });
    Ok((world, urls))
}

/// Makes every part, each with the parts it needs, from the innermost out.
async fn assemble(
    config: CloudConfig,
    store: Store,
    clock: Arc<Clock>,
    keys: Keys,
    stand_in: Option<StripeStandIn>,
    urls: &Urls,
    services_url: &str,
) -> Result<(Arc<World>, Arc<Services>), CloudStartError> {
    let queues_url = format!("{}/{}", urls.sqs, names::ACCOUNT);
    let wiring = read_wiring(&config, urls, &queues_url)?;
    let dynamodb = DynamoDb::start(config.state.as_deref(), &wiring.tables)
        .await
        .map_err(CloudStartError::Other)?;
    let stripe_variable = stand_in.is_some().then(|| STRIPE_VARIABLE.to_owned());
    let core = Core::new(config, clock, &wiring, dynamodb, services_url, stripe_variable);
    let transport = Transport::new(&core, &wiring, queues_url);
    let keys = Arc::new(keys);
    let gateway = Arc::new(Gateway::new(
        Arc::clone(&core.common.clock),
        wiring.api.clone(),
        Arc::clone(&keys),
        Arc::clone(&core.lambda),
    ));
    let stripe = stand_in.map(|stand_in| stripe(&core, stand_in, &gateway));
    let services = services(&core, &transport, stripe.as_ref());
    let world = Arc::new(World {
        asynchronous: asynchronous_invoker(&core, &transport),
        scheduler: scheduler(&core, &transport, &wiring),
        wiring,
        common: core.common,
        agenda: core.agenda,
        calls: core.calls,
        runs: core.runs,
        store,
        lambda: core.lambda,
        events: transport.events,
        queues: transport.queues,
        streams: transport.streams,
        dynamodb: core.dynamodb,
        gateway,
        keys,
        secrets: core.secrets,
        stripe,
        moving: tokio::sync::Mutex::default(),
        api_url: urls.api.clone(),
    });
    set_worker(&world);
    Ok((world, services))
}

/// Reads the template with the parameters of this cloud, and checks that every function is built.
fn read_wiring(
    config: &CloudConfig,
    urls: &Urls,
    queues_url: &str,
) -> Result<Wiring, CloudStartError> {
    let parameters = config
        .parameters
        .iter()
        .map(|(name, value)| (name.clone(), value.replace("{api}", &urls.api)));
    let resolver = Resolver::new(&config.template, parameters.collect())
        .at(queues_url.to_owned(), urls.api.clone());
    let wiring = Wiring::read(&resolver)?;
    check_binaries(&wiring, &config.binaries)?;
    Ok(wiring)
}

/// The parts that every other part needs: clock and agenda, tables, secrets, functions.
struct Core {
    common: Common,
    activity: Activity,
    agenda: Arc<Agenda<Job>>,
    calls: Arc<Recorded<RecordedCall>>,
    runs: Arc<Recorded<RecordedRun>>,
    skips: Arc<Skips>,
    dynamodb: Arc<DynamoDb>,
    secrets: Arc<Secrets>,
    lambda: Arc<Lambda>,
}

impl Core {
    fn new(
        config: CloudConfig,
        clock: Arc<Clock>,
        wiring: &Wiring,
        dynamodb: DynamoDb,
        services_url: &str,
        stripe_variable: Option<String>,
    ) -> Core {
        let secrets = Arc::new(Secrets::default());
        secrets.put(&names::stripe_secret(), &stripe_secret(config.stripe, &config.environment));
        let common = Common { clock, faults: Arc::default(), log: Arc::new(Log::new(config.log)) };
        let activity = Activity::new();
        let agenda = Arc::new(Agenda::new(Arc::clone(&common.clock), activity.clone()));
        let runs = Arc::<Recorded<RecordedRun>>::default();
        let setup = Setup {
            binaries: config.binaries,
            services: services_url.to_owned(),
            environment: config.environment,
            stripe_variable,
            processes_max: config.processes_max.max(1),
        };
        let lambda = Arc::new(Lambda::new(
            &wiring.functions,
            setup,
            common.clone(),
            activity.clone(),
            Arc::clone(&runs),
        ));
        Core {
            common,
            activity,
            agenda,
            calls: Arc::default(),
            runs,
            skips: Arc::new(Skips::new(config.every_minute.into())),
            dynamodb: Arc::new(dynamodb),
            secrets,
            lambda,
        }
    }
}

/// The parts that carry messages between functions.
struct Transport {
    queues: Arc<Queues>,
    targets: Arc<Targets>,
    events: Arc<Events>,
    streams: Arc<Streams>,
}

impl Transport {
    fn new(core: &Core, wiring: &Wiring, queues_url: String) -> Transport {
        let queues = Arc::new(Queues::new(
            wiring,
            queues_url,
            core.common.clone(),
            Arc::clone(&core.lambda),
            Arc::clone(&core.dynamodb),
            Arc::clone(&core.skips),
            core.agenda.planner(Job::PollQueue),
        ));
        let targets = Arc::new(Targets {
            invocations: core.agenda.planner(Job::Invoke),
            events: core.agenda.planner(Job::Publish),
            queues: Arc::clone(&queues),
        });
        let deliveries = core.agenda.planner(Job::Deliver);
        let events = Events::new(core.common.clone(), wiring, Arc::clone(&targets), deliveries);
        let streams = Streams {
            common: core.common.clone(),
            dynamodb: Arc::clone(&core.dynamodb),
            lambda: Arc::clone(&core.lambda),
            targets: Arc::clone(&targets),
            polls: core.agenda.planner(Job::PollStream),
            mappings: wiring.stream_mappings.clone(),
            readers: Readers::new(&wiring.stream_mappings),
        };
        Transport { queues, targets, events: Arc::new(events), streams: Arc::new(streams) }
    }
}

fn stripe(core: &Core, stand_in: StripeStandIn, gateway: &Arc<Gateway>) -> Arc<Stripe> {
    let webhooks = core.agenda.planner(|()| Job::DeliverWebhooks);
    Arc::new(Stripe::new(stand_in, core.common.clone(), Arc::clone(gateway), webhooks))
}

fn services(core: &Core, transport: &Transport, stripe: Option<&Arc<Stripe>>) -> Arc<Services> {
    Arc::new(Services {
        common: core.common.clone(),
        activity: core.activity.clone(),
        calls: Arc::clone(&core.calls),
        client: Client::new(),
        lambda: Arc::clone(&core.lambda),
        dynamodb: Arc::clone(&core.dynamodb),
        streams: Arc::clone(&transport.streams),
        events: Arc::clone(&transport.events),
        queues: Arc::clone(&transport.queues),
        secrets: Arc::clone(&core.secrets),
        targets: Arc::clone(&transport.targets),
        stripe: stripe.map(Stripe::router),
    })
}

fn asynchronous_invoker(core: &Core, transport: &Transport) -> AsynchronousInvoker {
    AsynchronousInvoker {
        common: core.common.clone(),
        lambda: Arc::clone(&core.lambda),
        retries: core.agenda.planner(Job::Invoke),
        targets: Arc::clone(&transport.targets),
    }
}

fn scheduler(core: &Core, transport: &Transport, wiring: &Wiring) -> Scheduler {
    Scheduler {
        common: core.common.clone(),
        schedules: wiring.schedules.clone(),
        targets: Arc::clone(&transport.targets),
        dynamodb: Arc::clone(&core.dynamodb),
        occurrences: core.agenda.planner(Job::Fire),
        skips: Arc::clone(&core.skips),
    }
}

/// Lets the agenda's jobs be done by the world.
fn set_worker(world: &Arc<World>) {
    // Weak, or the world would own itself by its agenda and never let go of its files.
    let weak = Arc::downgrade(world);
    world.agenda.set_worker(move |job| -> Work {
        let world = weak.upgrade();
        Box::pin(async move {
            if let Some(world) = world {
                world.perform(job).await;
            }
        })
    });
}

/// The stand-in's secrets, or Stripe's own, which functions also get in the environment.
fn stripe_secret(which: WhichStripe, environment: &BTreeMap<String, String>) -> String {
    let variable = |name: &str| environment.get(name).map_or("", String::as_str);
    match which {
        WhichStripe::StandIn => stripe::secret_text(stripe::KEY, &[stripe::SECRET]),
        WhichStripe::Real => {
            let secrets = variable("STRIPE_WEBHOOK_SECRETS").split(',').map(str::trim);
            let secrets: Vec<&str> = secrets.filter(|secret| !secret.is_empty()).collect();
            stripe::secret_text(variable("STRIPE_SECRET_KEY"), &secrets)
        }
    }
}

/// The stand-in with its saved state, or a new one with the webhook endpoint.
fn stand_in(url: &str, kept: &Value, clock: &Arc<Clock>) -> Result<StripeStandIn, CloudStartError> {
    let config = StandInConfig {
        secret_keys: vec![stripe::KEY.to_owned()],
        public_url: url.to_owned(),
        ..StandInConfig::default()
    };
    let clock = Arc::clone(clock);
    let now = move || clock.now().unix_timestamp();
    if !kept.is_null() {
        let loaded = StripeStandIn::load(kept.clone(), config, now);
        let unreadable =
            |error| CloudStartError::Other(format!("what Stripe was cannot be read: {error}"));
        let stand_in = loaded.map_err(unreadable)?;
        // Kept by a version that wanted other events, perhaps.
        stand_in.keep_endpoint(stripe::ENDPOINT, stripe::SECRET, &stripe::EVENTS);
        return Ok(stand_in);
    }
    let stand_in = StripeStandIn::new(config, now);
    let unsaved =
        |error| CloudStartError::Other(format!("the portal's settings cannot be saved: {error}"));
    stand_in.save_portal_settings().map_err(unsaved)?;
    stand_in.keep_endpoint(stripe::ENDPOINT, stripe::SECRET, &stripe::EVENTS);
    Ok(stand_in)
}

async fn listen(port: u16) -> Result<(TcpListener, String), CloudStartError> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            return CloudStartError::PortInUse(port);
        }
        CloudStartError::Other(format!("port {port} cannot be used: {error}"))
    })?;
    let address =
        listener.local_addr().map_err(|error| CloudStartError::Other(error.to_string()))?;
    Ok((listener, format!("http://{address}")))
}

fn check_binaries(
    wiring: &Wiring,
    binaries: &BTreeMap<String, PathBuf>,
) -> Result<(), CloudStartError> {
    let missing = wiring
        .functions
        .iter()
        .find(|function| !binaries.get(&function.binary).is_some_and(|file| file.exists()));
    missing.map_or(Ok(()), |function| Err(CloudStartError::NoBinary(function.binary.clone())))
}

fn state_error(state: Option<&Path>, error: &io::Error) -> CloudStartError {
    let state = state.unwrap_or(Path::new("")).to_owned();
    if error.kind() == io::ErrorKind::WouldBlock {
        return CloudStartError::StateInUse(state);
    }
    CloudStartError::Other(format!("the state in {} cannot be used: {error}", state.display()))
}

/// RFC 3339, as everything of the local cloud writes a time.
#[must_use]
pub fn format_time(when: UtcDateTime) -> String {
    clock::format(when)
}
