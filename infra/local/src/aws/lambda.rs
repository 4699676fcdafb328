//! Lambda: functions, each in processes of its own, that poll the Runtime API served here.
//!
//! A process handles one invocation at a time and is used again. Another is started while all are
//! busy, up to a limit: the function's reserved concurrency, or a small number, since this is one
//! machine. Beyond its reserved concurrency a function is throttled, as on AWS; beyond the small
//! number an invocation waits.
//!
//! A deadline is real time, whatever the cloud's clock shows: a process that takes too long is
//! killed. One that crashed is replaced by the next invocation.

mod asynchronous;
mod process;
pub(crate) mod runtime_api;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use serde_json::{Value, json};
use time::UtcDateTime;
use tokio::sync::{Semaphore, oneshot};

pub(crate) use asynchronous::{AsynchronousInvocation, attempt};
pub(crate) use process::{Handed, Instance};

use crate::control::world::World;
use crate::runtime::calls::Run;
use crate::runtime::clock;
use crate::runtime::names;
use crate::runtime::sync::lock;
use crate::template::wiring::Function;

/// What a synchronous invocation may carry, there and back
/// (docs.aws.amazon.com/lambda, "Lambda quotas").
pub(crate) const PAYLOAD_MAX_BYTES: usize = 6 * 1024 * 1024;

/// How long a process may take until it polls for the first time. AWS gives ten seconds to a
/// release build on a machine of its own.
const INIT_MAX: Duration = Duration::from_secs(30);

/// How often an invocation is given to another process because the one it was given to had ended
/// before it took it.
const HAND_OVERS_MAX: usize = 5;

/// All functions and their processes.
#[derive(Debug)]
pub(crate) struct Lambda {
    /// By name.
    functions: BTreeMap<String, Pool>,
    instances: Mutex<HashMap<String, Arc<Instance>>>,
    last_instance: AtomicU64,
    /// `http://127.0.0.1:PORT`, where processes find their Runtime API and all services.
    services: String,
    /// Variables that every process gets, beside those of the template.
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

/// What came of an invocation.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The function's answer.
    Answer(Bytes),
    /// The function failed: `errorType`, `errorMessage`.
    Failed(Value),
    /// It was not invoked: too many invocations at once.
    Throttled,
}

/// What happens while a function is at its limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AtLimit {
    /// The invocation is throttled, if the limit is the function's own.
    Throttle,
    /// The invocation waits.
    Wait,
}

/// What an invocation is for.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    pub(crate) request_id: String,
    pub(crate) payload: Bytes,
    pub(crate) trigger: String,
    pub(crate) scheduled: Option<UtcDateTime>,
    pub(crate) at_limit: AtLimit,
}

/// Where and with what functions run.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) binaries: BTreeMap<String, PathBuf>,
    pub(crate) services: String,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) stripe_variable: Option<String>,
    pub(crate) processes_max: usize,
}

impl Lambda {
    pub(crate) fn new(functions: &[Function], setup: Setup) -> Self {
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
            functions: functions.iter().map(pool).collect(),
            instances: Mutex::default(),
            last_instance: AtomicU64::new(0),
            services: setup.services,
            environment: setup.environment,
            stripe_variable: setup.stripe_variable,
        }
    }

    pub(crate) fn instance(&self, id: &str) -> Option<Arc<Instance>> {
        lock(&self.instances).get(id).cloned()
    }

    fn know(&self, instance: &Arc<Instance>) {
        lock(&self.instances).insert(instance.id.clone(), Arc::clone(instance));
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

    /// Kills everything.
    pub(crate) fn stop(&self) {
        for instance in lock(&self.instances).values() {
            instance.kill();
        }
    }
}

impl Outcome {
    fn summary(&self) -> String {
        match self {
            Self::Answer(_) => "ok".to_owned(),
            Self::Throttled => "throttled".to_owned(),
            Self::Failed(error) => format!(
                "{}: {}",
                error["errorType"].as_str().unwrap_or("error"),
                error["errorMessage"].as_str().unwrap_or_default()
            ),
        }
    }
}

impl Invocation {
    /// An invocation that waits while the function is at its limit.
    pub(crate) fn new(payload: impl Into<Bytes>, trigger: &str) -> Self {
        Self {
            request_id: names::new_id(),
            payload: payload.into(),
            trigger: trigger.to_owned(),
            scheduled: None,
            at_limit: AtLimit::Wait,
        }
    }

    pub(crate) fn or_throttle(self) -> Self {
        Self { at_limit: AtLimit::Throttle, ..self }
    }
}

/// Invokes a function and waits for what comes of it. The invocation goes on even if whoever waits
/// goes away.
pub(crate) async fn invoke(world: &Arc<World>, function: &str, invocation: Invocation) -> Outcome {
    let working = world.activity.begin();
    let task_world = Arc::clone(world);
    let function = function.to_owned();
    let task = tokio::spawn(async move {
        let _working = working;
        let at = clock::format(task_world.clock.now());
        let (trigger, scheduled) =
            (invocation.trigger.clone(), invocation.scheduled.map(clock::format));
        let outcome = run(&task_world, &function, invocation).await;
        let binary = task_world
            .function(&function)
            .map_or(function.clone(), |function| function.binary.clone());
        let summary = outcome.summary();
        task_world.runs.add(|_| Run { at, function: binary, trigger, scheduled, outcome: summary });
        outcome
    });
    task.await
        .unwrap_or_else(|error| Outcome::Failed(failure("LocalCloud.Panic", &error.to_string())))
}

async fn run(world: &Arc<World>, function: &str, invocation: Invocation) -> Outcome {
    let Some(pool) = world.lambda.functions.get(function) else {
        return Outcome::Failed(failure(
            "ResourceNotFoundException",
            &format!("Function not found: {function}"),
        ));
    };
    if world.faults.fails("invoke", &pool.function.binary) {
        return Outcome::Failed(failure("LocalCloud.Fault", "failed on demand, without being run"));
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
            None => match start(world, pool) {
                Ok(instance) => instance,
                Err(error) => return Outcome::Failed(failure("Runtime.InvalidEntrypoint", &error)),
            },
        };
        if let Some(outcome) = run_in(world, pool, &instance, &invocation).await {
            return outcome;
        }
    }
    Outcome::Failed(failure(
        "Runtime.ExitError",
        "the function's processes end before they take an invocation",
    ))
}

fn start(world: &Arc<World>, pool: &Pool) -> Result<Arc<Instance>, String> {
    let lambda = &world.lambda;
    let number = lambda.last_instance.fetch_add(1, Ordering::Relaxed) + 1;
    let id = format!("{}-{number}", pool.function.binary);
    let environment = environment(lambda, &pool.function, &id);
    process::start(world, &pool.function, &id, &pool.binary, environment)
}

/// What every function finds in its environment on AWS, and where the services are. Nothing of
/// this process's own environment: no credential and no proxy of whoever runs it.
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
        // A service that is not imitated is refused here, never asked for on AWS.
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

/// Runs an invocation in one process. None if the process ended before it took it.
async fn run_in(
    world: &Arc<World>,
    pool: &Pool,
    instance: &Arc<Instance>,
    invocation: &Invocation,
) -> Option<Outcome> {
    let (reply, answered) = oneshot::channel();
    let (taken, was_taken) = oneshot::channel();
    let handed = Handed {
        request_id: invocation.request_id.clone(),
        payload: invocation.payload.clone(),
        timeout: pool.function.timeout,
        taken,
        reply,
    };
    if !instance.hand(handed) {
        world.lambda.forget(instance);
        return None;
    }
    let is_taken = tokio::select! {
        biased;
        taken = was_taken => taken.is_ok(),
        () = instance.ended() => false,
        () = tokio::time::sleep(INIT_MAX) => false,
    };
    if !is_taken {
        instance.kill();
        world.lambda.forget(instance);
        // A process that was used before and has ended since is replaced; a new one that does not
        // even begin is an error of the function.
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
            instance.kill();
            instance.ended().await;
            world.lambda.forget(instance);
            let message = format!("Task timed out after {:.2} seconds", pool.function.timeout.as_secs_f64());
            world.log.line(&pool.function.binary, &format!("{} {message}", invocation.request_id));
            let message = format!("RequestId: {} Error: {message}", invocation.request_id);
            return Some(Outcome::Failed(failure("Sandbox.Timedout", &message)));
        }
    };
    match outcome {
        Some(outcome) => {
            // Whoever waits for the outcome finds in the log what the function said of it.
            instance.logged().await;
            lock(&pool.idle).push(Arc::clone(instance));
            Some(outcome)
        }
        None => {
            instance.ended().await;
            world.lambda.forget(instance);
            let message = format!(
                "RequestId: {} Error: Runtime exited {}",
                invocation.request_id,
                instance.exit()
            );
            Some(Outcome::Failed(failure("Runtime.ExitError", &message)))
        }
    }
}

fn failure(kind: &str, message: &str) -> Value {
    json!({"errorType": kind, "errorMessage": message})
}
