//! The Billing page in a real browser, served by the function `console` of a local cloud, with the
//! real functions behind it.
//!
//! On a machine without Chromium and its driver these tests print a message and pass. `.ci/run`
//! installs them, and npm's `oidc-provider` for the tests that sign in there. Every test saves screenshots under the build directory, in `tmp/page/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "clippy knows tests, but not what only tests call"
)]

mod browser;
mod budgets;
mod certified;
mod closing;
mod coming_back;
mod helping;
mod invoices;
mod metering;
mod paying;
mod plans;
mod provider;
mod returning;
mod showing;
mod signing_in;
mod signing_in_certified;
mod staff;
mod support;
mod trial;
