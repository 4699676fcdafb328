//! The functions' own binaries, for tests that run the whole.

use std::collections::BTreeMap;
use std::path::PathBuf;
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

fn built(functions: &[Function]) -> BTreeMap<String, PathBuf> {
    let own = std::env::current_exe().expect("a test knows where it is");
    let directory = own.ancestors().nth(2).expect("a test is built in target/<profile>/deps");
    let profile = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut cargo = build::cargo();
    cargo.args(["build", "--quiet"]);
    cargo.args(["--profile", if profile == "debug" { "dev" } else { profile }]);
    cargo
        .arg("--target-dir")
        .arg(directory.parent().expect("a profile is built in the target directory"));
    for function in functions {
        cargo.args(["--bin", &function.binary]);
    }
    assert!(cargo.status().is_ok_and(|status| status.success()), "the functions cannot be built");
    functions
        .iter()
        .map(|function| (function.binary.clone(), directory.join(&function.binary)))
        .collect()
}
