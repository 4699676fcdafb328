//! The functions' own binaries, for tests that run the whole.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use tollgate_local::wiring::Function;
use tollgate_local::{CloudConfig, build};

/// The binaries beside the running test, built from the current sources. Features and profile are
/// those of the test, so that only changed code is built.
///
/// # Panics
/// If the template cannot be read, or a function cannot be built.
#[must_use]
pub fn of(config: &CloudConfig) -> BTreeMap<String, PathBuf> {
    static BUILT: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    BUILT.get_or_init(|| built(&config.functions().expect("the template is read"))).clone()
}

/// The examples of the local cloud beside the running test, built as the functions are.
///
/// # Panics
/// If an example cannot be built.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let (mut cargo, directory) = build();
    cargo.args(["--package", "tollgate-local", "--example", name]);
    assert!(cargo.status().is_ok_and(|status| status.success()), "{name} cannot be built");
    directory.join("examples").join(name)
}

fn built(functions: &[Function]) -> BTreeMap<String, PathBuf> {
    let (mut cargo, directory) = build();
    for function in functions {
        cargo.args(["--bin", &function.binary]);
    }
    assert!(cargo.status().is_ok_and(|status| status.success()), "the functions cannot be built");
    functions
        .iter()
        .map(|function| (function.binary.clone(), directory.join(&function.binary)))
        .collect()
}

/// A build with the profile of the test, and the directory that its binaries are in.
fn build() -> (Command, PathBuf) {
    let own = std::env::current_exe().expect("a test knows where it is");
    let directory = own.ancestors().nth(2).expect("a test is built in target/<profile>/deps");
    let profile = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut cargo = build::cargo();
    cargo.args(["build", "--quiet"]);
    cargo.args(["--profile", if profile == "debug" { "dev" } else { profile }]);
    cargo
        .arg("--target-dir")
        .arg(directory.parent().expect("a profile is built in the target directory"));
    (cargo, directory.to_owned())
}
