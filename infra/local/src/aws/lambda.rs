//! Lambda: functions, each in processes of its own, that poll the Runtime API served here.
//!
//! A process handles one invocation at a time and is reused. Another one is started while all are
//! busy, up to a limit: the function's reserved concurrency, or a small number, since this is one
//! machine. Above its reserved concurrency a function is throttled, as on AWS. Above the small
//! number an invocation waits.
//!
//! Deadlines are in real time, regardless of the cloud's clock. A process that takes too long is
//! killed. The next invocation replaces a crashed process.

pub(crate) mod invocation;
pub(crate) mod process;
pub(crate) mod runtime_api;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use crate::aws::lambda::invocation::{AtLimit, Invocation, Outcome, failure};
use crate::aws::lambda::process::{Handed, Instance};
use crate::runtime::agenda::Activity;
use crate::runtime::calls::{Recorded, RecordedRun};
use crate::runtime::clock;
use crate::runtime::common::Common;
use crate::runtime::names;
use crate::runtime::sync::lock;
use crate::template::wiring::Function;

/// How long a process may take until it polls for the first time. AWS gives ten seconds to a
/// release build on a machine of its own.
const INIT_MAX: Duration = Duration::from_secs(30);

/// How often an invocation is handed to another process because the previous one ended before
/// taking it.
const HAND_OVERS_MAX: usize = 5;

/// All functions and their processes.
#[derive(Debug)]
pub(crate) struct Lambda {
    common: Common,
    activity: Activity,
    runs: Arc<Recorded<RecordedRun>>,
    /// The pools by function name.
    functions: BTreeMap<String, Pool>,
    instances: Mutex<HashMap<String, Arc<Instance>>>,
    last_instance: AtomicU64,
    /// `http://127.0.0.1:PORT`, where processes find their Runtime API and all services.
    services: String,
    /// Variables of every process, in addition to those of the template.
    environment: BTreeMap<String, String>,
    stripe_variable: Option<String>,
}

#[derive(Debug)]
struct Pool {
    function: Function,
    binary: PathBuf,
    slots: Arc<Semaphore>,
    idle: Mutex<Vec<Arc<Instance>>>,
}

/// The environment in which functions run.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) binaries: BTreeMap<String, PathBuf>,
    pub(crate) services: String,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) stripe_variable: Option<String>,
    pub(crate) processes_max: usize,
}

impl Lambda {
    pub(crate) fn new(
        functions: &[Function],
        setup: Setup,
        common: Common,
        activity: Activity,
        runs: Arc<Recorded<RecordedRun>>,
    ) -> Self {
        let pool = |function: &Function| {
            let limit =
                function.reserved_concurrency.unwrap_or(usize::MAX).min(setup.processes_max);
            let binary = setup.binaries.get(&function.binary).cloned().unwrap_or_default();
            let slots = Arc::new(Semaphore::new(limit));
            (
                function.name.clone(),
                Pool { function: function.clone(), binary, slots, idle: Mutex::default() },
            )
        };
        Self {
            common,
            activity,
            runs,
            functions: functions.iter().map(pool).collect(),
            instances: Mutex::default(),
            last_instance: AtomicU64::new(0),
            services: setup.services,
            environment: setup.environment,
            stripe_variable: setup.stripe_variable,
        }
    }

    /// A function by any of its names: binary, function name or logical id.
    pub(crate) fn function(&self, name: &str) -> Option<&Function> {
        let mut functions = self.functions.values().map(|pool| &pool.function);
        functions.find(|function| function.is_named(name))
    }

    pub(crate) fn instance(&self, id: &str) -> Option<Arc<Instance>> {
        lock(&self.instances).get(id).cloned()
    }

    fn forget(&self, instance: &Instance) {
        lock(&self.instances).remove(&instance.id);
        if let Some(pool) = self.functions.get(&instance.function) {
            lock(&pool.idle).retain(|idle| idle.id != instance.id);
        }
    }

    /// Kills every process of a function, by its name; how many there were.
    pub(crate) fn kill(&self, function: &str) -> usize {
        let instances: Vec<_> = lock(&self.instances)
            .values()
            .filter(|instance| instance.function == function)
            .cloned()
            .collect();
        for instance in &instances {
            instance.kill();
            // It takes a moment to die, and must not take the next invocation with it.
            if let Some(pool) = self.functions.get(function) {
                lock(&pool.idle).retain(|idle| idle.id != instance.id);
            }
        }
        instances.len()
    }

    /// Kills the processes of all functions.
    pub(crate) fn stop(&self) {
        for instance in lock(&self.instances).values() {
            instance.kill();
        }
    }

    /// Invokes a function and waits for the outcome. The invocation continues even if the caller
    /// disconnects.
    pub(crate) async fn invoke(
        self: &Arc<Self>,
        function: &str,
        invocation: Invocation,
    ) -> Outcome {
        let working = self.activity.begin();
        let lambda = Arc::clone(self);
        let function = function.to_owned();
        let task = tokio::spawn(async move {
            let _working = working;
            let at = clock::format(lambda.common.clock.now());
            let (trigger, scheduled) =
                (invocation.trigger.clone(), invocation.scheduled.map(clock::format));
            let outcome = lambda.run(&function, invocation).await;
            let pool = lambda.functions.get(&function);
            let binary = pool.map_or(function.clone(), |pool| pool.function.binary.clone());
            let summary = outcome.summary();
            lambda.runs.add(|_| RecordedRun {
                at,
                function: binary,
                trigger,
                scheduled,
                outcome: summary,
            });
            outcome
        });
        task.await.unwrap_or_else(|error| {
            Outcome::Failed(failure("LocalCloud.Panic", &error.to_string()))
        })
    }

    async fn run(self: &Arc<Self>, function: &str, invocation: Invocation) -> Outcome {
        let Some(pool) = self.functions.get(function) else {
            return Outcome::Failed(failure(
                "ResourceNotFoundException",
                &format!("Function not found: {function}"),
            ));
        };
        if self.common.faults.fails("invoke", &pool.function.binary) {
            return Outcome::Failed(failure(
                "LocalCloud.Fault",
                "failed on demand, without being run",
            ));
        }
        let reserved = pool.function.reserved_concurrency;
        if reserved == Some(0) {
            return Outcome::Throttled;
        }
        let slots = Arc::clone(&pool.slots);
        let slot = if reserved.is_some() && invocation.at_limit == AtLimit::Throttle {
            slots.try_acquire_owned().ok()
        } else {
            slots.acquire_owned().await.ok()
        };
        let Some(_slot) = slot else { return Outcome::Throttled };

        for _ in 0..HAND_OVERS_MAX {
            let idle = lock(&pool.idle).pop();
            let instance = match idle {
                Some(instance) => instance,
                None => match self.start(pool) {
                    Ok(instance) => instance,
                    Err(error) => {
                        return Outcome::Failed(failure("Runtime.InvalidEntrypoint", &error));
                    }
                },
            };
            if let Some(outcome) = self.run_in(pool, &instance, &invocation).await {
                return outcome;
            }
        }
        Outcome::Failed(failure(
            "Runtime.ExitError",
            "the function's processes end before they take an invocation",
        ))
    }

    fn start(self: &Arc<Self>, pool: &Pool) -> Result<Arc<Instance>, String> {
        let number = self.last_instance.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("{}-{number}", pool.function.binary);
        let instance = Instance::new(&id, &pool.function);
        // Recorded before it runs, because a quick process may ask for its first invocation before
        // this thread continues.
        lock(&self.instances).insert(id.clone(), Arc::clone(&instance));
        let environment = environment(self, &pool.function, &id);
        let (lambda, ended) = (Arc::clone(self), Arc::clone(&instance));
        let started = instance.start(&pool.binary, environment, &self.common.log, move || {
            lambda.forget(&ended);
        });
        match started {
            Ok(()) => Ok(instance),
            Err(error) => {
                self.forget(&instance);
                Err(error)
            }
        }
    }

    /// Runs an invocation in one process. `None` if the process ended before taking it.
    async fn run_in(
        &self,
        pool: &Pool,
        instance: &Arc<Instance>,
        invocation: &Invocation,
    ) -> Option<Outcome> {
        let (reply, answered) = oneshot::channel();
        let (taken, was_taken) = oneshot::channel();
        let handed = Handed {
            handed_at: self.common.clock.now(),
            request_id: invocation.request_id.clone(),
            payload: invocation.payload.clone(),
            timeout: pool.function.timeout,
            taken,
            reply,
        };
        if !instance.hand(handed) {
            self.forget(instance);
            return None;
        }
        if !is_taken(instance, was_taken).await {
            instance.kill();
            self.forget(instance);
            // A used process that has ended is replaced. A new one that does not start is an error
            // of the function.
            return if instance.was_ready() {
                None
            } else {
                Some(Outcome::Failed(instance.init_error()))
            };
        }
        let outcome = tokio::select! {
            biased;
            outcome = answered => outcome.ok(),
            () = instance.ended() => None,
            () = tokio::time::sleep(pool.function.timeout) => {
                return Some(self.time_out(pool, instance, invocation).await);
            }
        };
        let Some(outcome) = outcome else {
            return Some(self.exited(instance, invocation).await);
        };
        // A caller that has the outcome finds the function's lines in the log.
        instance.logged().await;
        lock(&pool.idle).push(Arc::clone(instance));
        Some(outcome)
    }

    /// Kills a process that runs longer than its function may.
    async fn time_out(&self, pool: &Pool, instance: &Instance, invocation: &Invocation) -> Outcome {
        instance.kill();
        instance.ended().await;
        self.forget(instance);
        let message =
            format!("Task timed out after {:.2} seconds", pool.function.timeout.as_secs_f64());
        let line = format!("{} {message}", invocation.request_id);
        self.common.log.line(&pool.function.binary, &line);
        let message = format!("RequestId: {} Error: {message}", invocation.request_id);
        Outcome::Failed(failure("Sandbox.Timedout", &message))
    }

    /// The outcome of an invocation whose process ended without an answer.
    async fn exited(&self, instance: &Instance, invocation: &Invocation) -> Outcome {
        instance.ended().await;
        self.forget(instance);
        let message = format!(
            "RequestId: {} Error: Runtime exited {}",
            invocation.request_id,
            instance.exit()
        );
        Outcome::Failed(failure("Runtime.ExitError", &message))
    }
}

/// Waits until the process takes the invocation. False if it ends before or takes too long.
async fn is_taken(instance: &Instance, was_taken: oneshot::Receiver<()>) -> bool {
    tokio::select! {
        biased;
        taken = was_taken => taken.is_ok(),
        () = instance.ended() => false,
        () = tokio::time::sleep(INIT_MAX) => false,
    }
}

/// The environment variables that AWS sets, and the addresses of the services. Nothing of this
/// process's own environment is passed on: no credential, no proxy.
fn environment(lambda: &Lambda, function: &Function, instance: &str) -> BTreeMap<String, String> {
    let base = format!("{}/{instance}", lambda.services);
    // On AWS host and port only; with a path the client wants the scheme too.
    let runtime_api = format!("{base}/runtime");
    let mut variables = lambda.environment.clone();
    variables.extend(function.environment.clone());
    let own = [
        ("AWS_LAMBDA_FUNCTION_NAME", function.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", instance.to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_RUNTIME_API", runtime_api),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_local".to_owned()),
        ("AWS_REGION", names::REGION.to_owned()),
        ("AWS_DEFAULT_REGION", names::REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("AWS_SESSION_TOKEN", "local".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("TZ", ":UTC".to_owned()),
        // A service that is not imitated is refused here, never called on AWS.
        ("AWS_ENDPOINT_URL", format!("{base}/unknown")),
        ("AWS_ENDPOINT_URL_DYNAMODB", format!("{base}/dynamodb")),
        ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", format!("{base}/dynamodb")),
        ("AWS_ENDPOINT_URL_EVENTBRIDGE", format!("{base}/events")),
        ("AWS_ENDPOINT_URL_LAMBDA", format!("{base}/lambda")),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", format!("{base}/secretsmanager")),
        ("AWS_ENDPOINT_URL_SQS", format!("{base}/sqs")),
    ];
    variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
    if let Some(variable) = &lambda.stripe_variable {
        variables.insert(variable.clone(), format!("{base}/stripe"));
    }
    variables
}
