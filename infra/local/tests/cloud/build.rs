//! The cargo that builds the functions.

use tollgate_local::build;

#[test]
fn cargo_inherits_no_variable_of_the_running_package() {
    let cargo = build::cargo();
    let removed: Vec<_> = cargo.get_envs().filter(|(_, value)| value.is_none()).collect();
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION_PATCH"] {
        assert!(std::env::var_os(name).is_some(), "cargo sets {name} for a test");
        assert!(removed.iter().any(|(found, _)| *found == name), "{name} is inherited");
    }
    assert!(removed.iter().all(|(name, _)| *name != "CARGO"), "{removed:?}");
}
