//! Measurements instead of checks: the cost of an hour and the time of a cold start, each with its
//! bound.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy knows tests, but not what only tests call"
)]

mod cold_start;
mod usage_reports;
mod write_units;
