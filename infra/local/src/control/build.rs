//! Builds the functions' binaries with cargo, and finds out where they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::template::wiring::Function;

/// The root of this repository.
#[must_use]
pub fn repository() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}

/// The variables that cargo sets for a program that it runs begin with these. The build script of
/// `ring` asks for some of them. If a cargo in that program inherited them, it would build `ring`
/// and everything above it again, and so would the next cargo that is run by hand.
const OF_THE_RUNNING_PACKAGE: [&str; 6] =
    ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_", "OUT_DIR"];

/// Cargo in this repository, in the environment in which cargo itself was run.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(repository());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_THE_RUNNING_PACKAGE.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Builds every function of this workspace, and returns the binaries by name, as
/// [`CloudConfig::binaries`](crate::control::cloud::CloudConfig::binaries) wants them. Cargo prints its
/// errors on standard error.
///
/// # Errors
///
/// If cargo cannot be run, or a function cannot be built.
pub fn functions(functions: &[Function]) -> Result<BTreeMap<String, PathBuf>, String> {
    if functions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut command = cargo();
    command.args(["build", "--quiet", "--message-format=json-render-diagnostics"]);
    for function in functions {
        command.args(["--bin", &function.binary]);
    }
    let output = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err("the functions cannot be built".to_owned());
    }
    // One JSON message in each line; docs: "External tools", "Artifact messages".
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let binaries = messages.filter_map(|message| {
        let name = message["target"]["name"].as_str()?.to_owned();
        Some((name, PathBuf::from(message["executable"].as_str()?)))
    });
    Ok(binaries.collect())
}
