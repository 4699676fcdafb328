//! `cargo local`: the whole cloud on this machine.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;
use tollgate_local::control::arguments::{LocalArguments, USAGE};
use tollgate_local::control::greeting;
use tollgate_local::log::Line;
use tollgate_local::{Cloud, CloudConfig, CloudStartError, build, demo, seed};

fn main() -> ExitCode {
    let arguments = match LocalArguments::read(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        Err(reason) => return fail(&format!("{reason}\n\n{USAGE}")),
    };
    run(arguments).unwrap_or_else(|reason| fail(&reason))
}

fn run(arguments: LocalArguments) -> Result<ExitCode, String> {
    let demonstration = arguments.demonstration();
    // Another template has other functions, which may not take the seed.
    let content = if arguments.has_own_template() { Content::AsItIs } else { Content::Seeded };
    let mut config = arguments.config()?;
    let functions = config.functions().map_err(|error| error.to_string())?;
    config.binaries = build::functions(&functions)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    if let Some(form) = demonstration {
        let outcome = runtime.block_on(demo::run(demo::config(config), form))?;
        return Ok(if outcome.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    config.log = Some(Arc::new(|line: &Line| {
        say(&format!("{:>14} | {}", line.function, brief(&line.text)));
    }));
    runtime.block_on(serve(config, content)).map(|()| ExitCode::SUCCESS)
}

/// The content of a cloud when it begins.
#[derive(Clone, Copy, Debug)]
enum Content {
    Seeded,
    AsItIs,
}

/// Removes the span that the Lambda runtime adds to every line, because nobody searches a million
/// requests here. Metrics of a function are printed as text.
fn brief(text: &str) -> String {
    if let Some(counted) = counted(text) {
        return counted;
    }
    match text
        .split_once("Lambda runtime invoke{")
        .and_then(|(before, rest)| Some((before, rest.split_once("}: ")?.1)))
    {
        Some((before, message)) => format!("{before}{message}"),
        None => text.to_owned(),
    }
}

/// The text of a line of embedded metric format: its message, the fields that are set, and the
/// metrics that are not zero.
fn counted(text: &str) -> Option<String> {
    let line: Value = serde_json::from_str(text).ok()?;
    let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array()?;
    let values = metrics.iter().filter_map(|metric| {
        let name = metric["Name"].as_str()?;
        Some((name, &line[name])).filter(|(_, value)| **value != 0)
    });
    let fields = line["fields"].as_object()?;
    let is_word = |(name, value): &(&str, &Value)| *name != "message" && !value.is_null();
    let fields = fields.iter().map(|(name, value)| (name.as_str(), value)).filter(is_word);
    let said = fields.chain(values).map(|(name, value)| format!(" {name}={value}"));
    let message = line["fields"]["message"].as_str()?;
    Some(format!(" INFO {message}{}", said.collect::<String>()))
}

async fn serve(config: CloudConfig, content: Content) -> Result<(), String> {
    let state = config.state.clone();
    let cloud = Cloud::start(config).await.map_err(|error| advice(&error))?;
    let seed = match content {
        Content::Seeded => Some(seed::plant(&cloud).await?),
        Content::AsItIs => None,
    };
    say(&greeting::text(&cloud, state.as_deref(), seed.as_ref()));
    stopped().await;
    say("\nStopping.");
    drop(cloud);
    Ok(())
}

/// The advice for an error.
fn advice(error: &CloudStartError) -> String {
    match error {
        CloudStartError::PortInUse(port) => format!(
            "Port {port} is in use, perhaps by another local cloud. Stop it or choose other ports:\n\n    cargo local --port 0"
        ),
        CloudStartError::StateInUse(directory) => format!(
            "Another local cloud is using {}. Stop it or keep the state in another directory:\n\n    cargo local --state DIRECTORY --port 0",
            directory.display()
        ),
        CloudStartError::Template(_) | CloudStartError::NoBinary(_) | CloudStartError::Other(_) => {
            error.to_string()
        }
    }
}

/// Waits for Ctrl-C, or for the signal that ends a service.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminated {
            Some(terminated) => terminated.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}

fn say(text: &str) {
    use std::io::Write as _;
    // The reader may have closed the output. That is no reason to end.
    let _gone = writeln!(std::io::stdout(), "{text}");
}

#[expect(clippy::print_stderr, reason = "what a command prints is its surface")]
fn fail(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}
