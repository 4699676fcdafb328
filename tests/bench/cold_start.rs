//! The cost of a cold start: each release binary compared with a minimal function in the same run.
//!
//! Lambda's initialization ends when the function asks for its first event, and so does this
//! measurement. The results are ratios, because times of different machines do not compare. The
//! test needs the output of `sam build`, and `hello` built the same way:
//!
//! ```sh
//! sam build && cargo lambda build --release --bin hello
//! TOLLGATE_RELEASE=target/lambda cargo test --workspace --test bench cold_start -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tollgate_local::CloudConfig;
use tollgate_local::wiring::Function;

/// The number of starts of each binary. They take turns, so that other load affects all of them
/// alike.
const ROUNDS: usize = 31;
/// How long an initialisation may take, in percent of the smallest function's.
const TIME_PERCENT_MAX: u128 = 200;
/// How much memory it may need, in percent of the smallest function's.
const MEMORY_PERCENT_MAX: u128 = 250;
/// How large a binary may be, in bytes: it is fetched and mapped at each cold start.
const SIZE_MAX: u64 = 6_500_000;
/// The same if it asks Stripe.
const SIZE_WITH_STRIPE_MAX: u64 = 8_000_000;
/// The smallest function there is: `tests/bench/hello`.
const HELLO: &str = "hello";

/// A binary and its measurements.
struct Measured {
    name: String,
    path: PathBuf,
    environment: BTreeMap<String, String>,
    times: Vec<Duration>,
    /// Peak memory in kB.
    memory: Vec<u64>,
}

impl Measured {
    fn new(directory: &Path, name: &str, environment: BTreeMap<String, String>) -> Measured {
        let path = directory.join(name).join("bootstrap");
        Measured { name: name.to_owned(), path, environment, times: Vec::new(), memory: Vec::new() }
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path)
            .unwrap_or_else(|error| panic!("{}: {error}", self.path.display()))
            .len()
    }

    /// Starts it, waits until it asks for an event, and ends it.
    fn start(&mut self) {
        let runtime_api = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = Command::new(&self.path);
        command.env_clear().envs(&self.environment);
        command.env("AWS_LAMBDA_RUNTIME_API", runtime_api.local_addr().unwrap().to_string());
        command.stdout(Stdio::null());
        let started = Instant::now();
        let mut process = command.spawn().unwrap();
        let (_connection, asked) = first_request(&runtime_api);
        self.times.push(started.elapsed());
        assert!(
            asked.starts_with("GET /2018-06-01/runtime/invocation/next "),
            "{}: {asked}",
            self.name
        );
        self.memory.push(peak_kb(process.id()));
        process.kill().unwrap();
        process.wait().unwrap();
    }

    fn time(&self) -> Duration {
        median(&self.times)
    }

    fn peak(&self) -> u64 {
        median(&self.memory)
    }
}

fn median<T: Ord + Copy>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// A process's first request to the Runtime API, and the connection on which it waits for the
/// answer.
fn first_request(runtime_api: &TcpListener) -> (TcpStream, String) {
    let (mut connection, _) = runtime_api.accept().unwrap();
    let mut first = [0; 256];
    let read = connection.read(&mut first).unwrap();
    (connection, String::from_utf8_lossy(&first[..read]).into_owned())
}

/// The most memory a process has had, as the kernel counts it (proc(5), `VmHWM`).
fn peak_kb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The variables that Lambda and the template set.
fn environment(function: &Function) -> BTreeMap<String, String> {
    let lambda = [
        ("AWS_LAMBDA_FUNCTION_NAME", function.name.as_str()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "logs"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "logs"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "example"),
        ("AWS_SESSION_TOKEN", "example"),
        ("LD_LIBRARY_PATH", "/lib64:/usr/lib64"),
    ];
    let mut variables = function.environment.clone();
    variables.extend(lambda.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables
}

#[test]
fn a_cold_start_takes_little_longer_than_the_smallest_one() {
    let Some(directory) = std::env::var_os("TOLLGATE_RELEASE").map(PathBuf::from) else {
        eprintln!(
            "NOT RUN: TOLLGATE_RELEASE does not say where the release binaries are (see the top of tests/bench/cold_start.rs)"
        );
        return;
    };
    // Tests run in the directory of their package.
    let directory =
        if directory.is_relative() { Path::new("..").join(directory) } else { directory };
    let functions = CloudConfig::of_this_repository(BTreeMap::new()).unwrap().functions().unwrap();
    let mut hello = Measured::new(&directory, HELLO, environment(&functions[0]));
    let mut ours: Vec<Measured> = functions
        .iter()
        .map(|function| Measured::new(&directory, &function.binary, environment(function)))
        .collect();
    // The first one reads the files.
    for _ in 0..=ROUNDS {
        hello.start();
        ours.iter_mut().for_each(Measured::start);
    }
    println!("{:<16}{:>12}{:>10}{:>8}{:>10}{:>8}", "function", "bytes", "µs", "%", "peak kB", "%");
    let mut too_much = Vec::new();
    for one in std::iter::once(&hello).chain(&ours) {
        let time = one.time().as_micros() * 100 / hello.time().as_micros();
        let memory = u128::from(one.peak()) * 100 / u128::from(hello.peak());
        let (name, bytes, micros, peak) =
            (&one.name, one.bytes(), one.time().as_micros(), one.peak());
        println!("{name:<16}{bytes:>12}{micros:>10}{time:>8}{peak:>10}{memory:>8}");
        let asks_stripe = one.environment.contains_key("STRIPE_SECRET_ARN");
        let size_max =
            if asks_stripe && one.name != HELLO { SIZE_WITH_STRIPE_MAX } else { SIZE_MAX };
        if time > TIME_PERCENT_MAX || memory > MEMORY_PERCENT_MAX || bytes > size_max {
            too_much.push(name);
        }
    }
    assert!(
        too_much.is_empty(),
        "more than {TIME_PERCENT_MAX} % of hello's time, {MEMORY_PERCENT_MAX} % of its memory, or too large: {too_much:?}"
    );
}
